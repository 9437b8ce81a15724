"""Child processes: where a transport does what may last too long or want too much.

A child has a process group of its own, a wall-clock deadline and limits; whatever happens here (a result, an error,
Ctrl-C), its whole group is killed and reaped before `run` returns [R1]. A worker ends also when this process is killed,
because its standard input ends then. What it has to know goes in by a pipe: no secret stands on a command line [R2].
A thread that waits for a child can be told to stop. The worker's side of this is `worker`.
"""

from __future__ import annotations

import contextlib
import os
import select
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Final, NamedTuple

from federation.errors import SourceUnavailable

MAX_OUTPUT_BYTES: Final = 64 * 1024 * 1024
_MAX_ERROR_BYTES: Final = 64 * 1024  # of what a child says on standard error; the rest is read and dropped
_PIPE_BYTES: Final = 64 * 1024
_LOOK_AGAIN_SECONDS: Final = 0.5  # at a child that closed its outputs and did not end
# A process in the middle of a system call that the kernel does not interrupt, such as one on a dead network file
# system, dies when that returns: it does no more by itself, and is not waited for.
LAST_WAIT_SECONDS: Final = 2.0


class Stopped(BaseException):
    """Nobody wants the answer any more; no error that a transport may get over."""


class Stop:
    """One call from one thread to all that heed it, however many and whenever they look."""

    def __init__(self) -> None:
        self._ear, self._mouth = os.pipe()

    def fileno(self) -> int:
        """Can be read once it was called."""
        return self._ear

    @property
    def was_called(self) -> bool:
        """Whether somebody called."""
        listening = select.poll()
        listening.register(self._ear, select.POLLIN)
        return bool(listening.poll(0))

    def call(self) -> None:
        """Let whatever waits for a child, now or later, kill it and raise Stopped."""
        os.write(self._mouth, b"!")

    def close(self) -> None:
        """Nobody listens any more."""
        os.close(self._ear)
        os.close(self._mouth)


_heeded = threading.local()


def heed(stop: Stop) -> None:
    """Let this thread wait for children no longer than until `stop` is called."""
    _heeded.stop = stop


def heeded() -> Stop | None:
    """What this thread heeds, if anything."""
    return getattr(_heeded, "stop", None)


def ready(descriptor: int, event: int, deadline: float) -> bool:
    """Wait until a descriptor can be used as `event` says, or was closed; False at the deadline, a monotonic time.

    Raises Stopped when this thread is told to stop.
    """
    waiting, stop = select.poll(), heeded()
    waiting.register(descriptor, event)
    if stop is not None:
        waiting.register(stop, select.POLLIN)
    while (left := deadline - time.monotonic()) > 0:
        found = dict(waiting.poll(left * 1000))
        if stop is not None and stop.fileno() in found:
            raise Stopped
        if descriptor in found:
            return True
    return False


class Ended(NamedTuple):
    """How a child ended. `output` is what it said until then: when `late`, perhaps half of it."""

    code: int | None
    output: bytes
    errors: bytes
    late: bool


def run(
    argv: Sequence[str],
    *,
    given: bytes = b"",
    deadline_seconds: float,
    environment: Mapping[str, str] | None = None,
) -> Ended:
    """Run a program with `given` as its whole standard input, away from the working directory.

    `environment` is added to ours. Raises SourceUnavailable when it cannot be started or says more than we take.
    """
    with _started(argv, environment, ()) as process:
        return _listen(process, given, deadline_seconds, ends=True)


def run_worker(module: str, job: bytes, *, deadline_seconds: float, descriptors: Sequence[int]) -> Ended:
    """Run a module of this program as a worker: one line as its job, `descriptors` inherited under their numbers.

    It sees the modules that we see, and nothing in the working directory. Raises as `run`.
    """
    path = os.pathsep.join(entry for entry in sys.path if entry)
    argv = [sys.executable, "-P", "-m", module]
    with _started(argv, {"PYTHONPATH": path}, descriptors) as process:
        return _listen(process, job + b"\n", deadline_seconds, ends=False)


@contextlib.contextmanager
def _started(
    argv: Sequence[str], environment: Mapping[str, str] | None, descriptors: Sequence[int]
) -> Iterator[subprocess.Popen[bytes]]:
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            cwd="/",  # nothing that lies around here may configure it
            env={**os.environ, **(environment or {})},
            pass_fds=descriptors,
            start_new_session=True,
        )
    except OSError as error:
        raise SourceUnavailable(f"{argv[0]} cannot be started: {error.strerror}") from error
    try:
        yield process
    finally:
        # PermissionError is what macOS says of a group of which only dead processes are left.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(LAST_WAIT_SECONDS)


def _listen(process: subprocess.Popen[bytes], given: bytes, deadline_seconds: float, *, ends: bool) -> Ended:
    """Feed it and hear it out; `ends` closes its standard input behind what was given."""
    deadline = time.monotonic() + deadline_seconds
    talk = _Talk(process, given, ends=ends)
    with talk.waiting:
        while talk.is_open:
            left = deadline - time.monotonic()
            if left <= 0:
                return Ended(None, bytes(talk.output), bytes(talk.errors), late=True)
            for key, _ in talk.waiting.select(left):
                if isinstance(key.fileobj, Stop):
                    raise Stopped
                talk.move(key.fd)
    while process.poll() is None:
        left = deadline - time.monotonic()
        if left <= 0:
            return Ended(None, bytes(talk.output), bytes(talk.errors), late=True)
        stop = heeded()
        if stop is not None and stop.was_called:
            raise Stopped
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(min(left, _LOOK_AGAIN_SECONDS))
    return Ended(process.returncode, bytes(talk.output), bytes(talk.errors), late=False)


class _Talk:
    """The three pipes of a child, none of which may block us while another waits."""

    def __init__(self, process: subprocess.Popen[bytes], given: bytes, *, ends: bool) -> None:
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        self._stdin: IO[bytes] = process.stdin
        self._given, self._ends = memoryview(given), ends
        self.output, self.errors = bytearray(), bytearray()
        self._into = {process.stdout.fileno(): self.output, process.stderr.fileno(): self.errors}
        self.waiting = selectors.DefaultSelector()
        for descriptor in self._into:
            self.waiting.register(descriptor, selectors.EVENT_READ)
        os.set_blocking(self._stdin.fileno(), False)
        self.waiting.register(self._stdin.fileno(), selectors.EVENT_WRITE)
        stop = heeded()
        if stop is not None:
            self.waiting.register(stop, selectors.EVENT_READ)

    @property
    def is_open(self) -> bool:
        """Whether it may still say something."""
        return any(descriptor in self.waiting.get_map() for descriptor in self._into)

    def move(self, descriptor: int) -> None:
        """Move what can be moved through a pipe that is ready."""
        if descriptor in self._into:
            self._hear(descriptor)
        else:
            self._say(descriptor)

    def _hear(self, descriptor: int) -> None:
        said = os.read(descriptor, _PIPE_BYTES)
        if not said:
            self.waiting.unregister(descriptor)
            return
        heard = self._into[descriptor]
        if heard is self.errors:
            heard += said[: max(0, _MAX_ERROR_BYTES - len(heard))]
            return
        heard += said
        if len(heard) > MAX_OUTPUT_BYTES:
            raise SourceUnavailable(f"more than {MAX_OUTPUT_BYTES} bytes of answer")

    def _say(self, descriptor: int) -> None:
        try:
            self._given = self._given[os.write(descriptor, self._given[:_PIPE_BYTES]) :]
        except BrokenPipeError:
            self._given = self._given[:0]  # it ended without hearing us out: what it said tells why
        if not self._given:
            self.waiting.unregister(descriptor)
            if self._ends:
                self._stdin.close()
