"""Watched: a folder that only a child of ours touches, because a file system over a network may hang whoever does.

No program gets out of a system call that a dead server never answers; a child can be left in it. The child is a fork
of this process, made before threads are: it costs a millisecond, and each question a small fraction of one. It has a
session of its own, holds nothing open but two pipes and what it looks at, and ends with this process [R1].
"""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import select
import signal
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from federation.bridge import BridgeSource, SourceSegment
from federation.errors import InvalidUrl, SourceUnavailable
from federation.transports import Listing, Transport, Wanted
from federation.transports.child import LAST_WAIT_SECONDS, ready
from journal import Disk

_MAX_SECONDS: Final = 86_400
_SIZE_BYTES: Final = 8  # before each message
_PIECE: Final = 1024 * 1024
_LOOK_AGAIN_SECONDS: Final = 0.0005


def read_deadline(values: Mapping[str, Any]) -> float:
    """The one setting of a folder, in seconds; InvalidUrl for any other key, or when it is no such number."""
    unknown = sorted(values.keys() - {"deadline_seconds"})
    if unknown:
        raise InvalidUrl(f"a directory remote has no setting {unknown[0]!r}")
    seconds = values["deadline_seconds"]
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not 1 <= seconds <= _MAX_SECONDS:
        raise InvalidUrl(f"deadline_seconds is a number between 1 and {_MAX_SECONDS}")
    return float(seconds)


class Watch:
    """A child that answers questions about a place. `open` is called in it, and gives what it will ask there."""

    def __init__(self, path: Path, open: Callable[[], Transport | BridgeSource]) -> None:  # noqa: A002 - what it does
        self.path = path
        self.deadline_seconds = 0.0  # of each question
        self._given_up: SourceUnavailable | None = None
        questions, answers = os.pipe(), os.pipe()
        self._child = _fork(lambda: _answer_all(open, questions[0], answers[1]), (questions[0], answers[1]))
        os.close(questions[0])
        os.close(answers[1])
        self._mouth, self._ear = questions[1], answers[0]
        for descriptor in (self._mouth, self._ear):
            os.set_blocking(descriptor, False)

    @property
    def is_over(self) -> bool:
        """Whether the child is gone: it was late once, or `end` was called."""
        return self._child == 0

    def open(self, deadline_seconds: float, disk: Disk) -> Transport | BridgeSource:
        """The place as a transport or a bridged store; from now on no question may take longer than that.

        The disk is for what is fetched. Raises what opening raises, and SourceUnavailable when it is late.
        """
        self.deadline_seconds = deadline_seconds
        return WatchedBridge(self) if self.ask("open") else WatchedFolder(self, disk)

    def ask(self, method: str, *arguments: object) -> Any:
        """Let the child call a method of the place; raises what that raises.

        SourceUnavailable when there is no answer within the deadline: the child is killed, and all that is asked later
        gets the same error at once.
        """
        if self._given_up is not None:
            raise self._given_up
        deadline = time.monotonic() + self.deadline_seconds
        try:
            self._send(_packed((method, arguments)), deadline)
            size = int.from_bytes(self._receive(_SIZE_BYTES, deadline), "big")
            good, value = pickle.loads(self._receive(size, deadline))
        except TimeoutError:
            raise self._give_up(f"did not answer within {self.deadline_seconds:g} seconds") from None
        except (EOFError, BrokenPipeError):
            raise self._give_up("was given up: the process that looks at it has ended") from None
        if not good:
            raise value
        return value

    def _give_up(self, why: str) -> SourceUnavailable:
        self.end()
        self._given_up = SourceUnavailable(why, path=self.path, rule="R1")
        return self._given_up

    def end(self) -> None:
        """Kill the child, whatever it does, and take note of its end where that can be had."""
        child, self._child = self._child, 0
        if child == 0:
            return
        os.close(self._mouth)
        os.close(self._ear)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        deadline = time.monotonic() + LAST_WAIT_SECONDS
        while os.waitpid(child, os.WNOHANG) == (0, 0) and time.monotonic() < deadline:
            time.sleep(_LOOK_AGAIN_SECONDS)

    def _send(self, data: bytes, deadline: float) -> None:
        left = memoryview(data)
        while left:
            if not ready(self._mouth, select.POLLOUT, deadline):
                raise TimeoutError
            left = left[os.write(self._mouth, left[:_PIECE]) :]

    def _receive(self, size: int, deadline: float) -> bytes:
        data = bytearray()
        while len(data) < size:
            if not ready(self._ear, select.POLLIN, deadline):
                raise TimeoutError
            piece = os.read(self._ear, min(size - len(data), _PIECE))
            if not piece:
                raise EOFError
            data += piece
        return bytes(data)


class WatchedFolder:
    """A directory as a remote, through a watch. Each file that is fetched has the whole deadline."""

    is_local = True

    def __init__(self, watch: Watch, disk: Disk) -> None:
        self._watch, self._disk = watch, disk

    def create(self) -> None:
        """As DirectoryTransport, like all here."""
        self._watch.ask("create")

    def origins(self) -> Listing:
        """The origins whose head.json is here."""
        found: Listing = self._watch.ask("origins")
        return found

    def fetch(self, origin: str, wanted: Sequence[Wanted], into: Path) -> tuple[str, ...]:
        """Copy what can be had, file by file: what takes long because it is much does not hang."""
        had = []
        for item in wanted:
            data: bytes | None = self._watch.ask("read", origin, item)
            if data is not None:
                self._disk.make_folder((into / item.name).parent)
                self._disk.replace(into / item.name, data)  # not by the child: it may be killed at any time
                had.append(item.name)
        return tuple(had)

    def kept(self, origin: str) -> None:
        """Nothing to remember."""

    def missing(self, origin: str, folder: Path, names: Sequence[str]) -> tuple[str, ...]:
        """Which of these files are not there whole."""
        found: tuple[str, ...] = self._watch.ask("missing", origin, folder, list(names))
        return found

    def publish(self, origin: str, folder: Path, names: Sequence[str], keep: frozenset[str]) -> None:
        """Make a feed visible; where that is late, the next push goes on with what is not there yet."""
        self._watch.ask("publish", origin, folder, list(names), keep)

    def publish_anew(self, origin: str, folder: Path, names: Sequence[str], keep: frozenset[str]) -> bool:
        """The same: what was removed is nowhere."""
        self.publish(origin, folder, names, keep)
        return True


class WatchedBridge:
    """Another program's store, through a watch; as BrainclawSource."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def config(self) -> bytes:
        """config.yaml."""
        found: bytes = self._watch.ask("config")
        return found

    def label(self) -> str:
        """The name of the project's folder."""
        found: str = self._watch.ask("label")
        return found

    def segments(self) -> list[SourceSegment]:
        """The segments of its journal."""
        found: list[SourceSegment] = self._watch.ask("segments")
        return found

    def read(self, name: str, max_bytes: int) -> bytes:
        """The bytes of one segment."""
        found: bytes = self._watch.ask("read", name, max_bytes)
        return found


# --- in the child ----------------------------------------------------------------------------------------------------


def _fork(work: Callable[[], None], kept: tuple[int, int]) -> int:
    """Do work in a copy of this process that shares nothing with it but two descriptors; its process id."""
    with warnings.catch_warnings():
        # Other threads are not in the copy, and may have held a lock: it takes none that is theirs.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            _leave_all_but(kept)
            work()
        finally:
            os._exit(0)  # nothing that this process was about to do is done twice
    return child


def _leave_all_but(kept: tuple[int, int]) -> None:
    """Terminal, locks, databases and pipes are the parent's: held open here they would outlive it."""
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    gc.disable()  # what the parent left lying about must not close descriptors that are used anew
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    low, high = sorted(kept)
    os.closerange(3, low)
    os.closerange(low + 1, high)
    os.closerange(high + 1, os.sysconf("SC_OPEN_MAX"))


def _answer_all(open_place: Callable[[], Transport | BridgeSource], ear: int, mouth: int) -> None:
    """Answer until nobody asks any more."""
    place: Any = None
    with os.fdopen(ear, "rb") as questions, os.fdopen(mouth, "wb") as answers:
        while size := int.from_bytes(questions.read(_SIZE_BYTES), "big"):
            method, arguments = pickle.loads(questions.read(size))
            try:
                if method == "open":
                    place = open_place()
                    answer: tuple[bool, object] = True, isinstance(place, BridgeSource)
                else:
                    answer = True, getattr(place, method)(*arguments)
            except Exception as error:  # noqa: BLE001 - it is raised where the question was asked
                answer = False, error
            answers.write(_packed(answer))
            answers.flush()


def _packed(value: object) -> bytes:
    data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    return len(data).to_bytes(_SIZE_BYTES, "big") + data
