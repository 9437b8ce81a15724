"""Killing: the program as processes that are ended at any moment of their run, as by `kill -9` or the kernel.

One process loads the program and forks for each command, so that moments are spread over what the command does and not
over the start of Python; `spawned` starts a real one where the start belongs to it.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import eventsync
from tests.cli.answers import Answer
from tests.doubles.stores import quick_folder

ROOT = Path(eventsync.__file__).parents[1]
DEEP = os.environ.get("EVENTSYNC_DEEP") == "1"
# Moments of a kill in one test: spread over the run time of the command, the first ones very early, the last too late.
MOMENTS = 200 if DEEP else 12


class Ended(NamedTuple):
    """A command that has ended; code is None when it was killed."""

    code: int | None
    seconds: float
    out: str
    err: str


def moments(seed: str, runs: Iterable[Ended]) -> list[float]:
    """Seconds after which to kill: one in each part of a run and a bit beyond its end, in an order of chance.

    `runs` tell how long the command takes when nobody kills it; the first ones fill caches.
    """
    chance, seconds = random.Random(seed), statistics.median([run.seconds for run in runs][1:])
    found = [(number + chance.random()) / MOMENTS * seconds * 1.15 for number in range(MOMENTS)]
    chance.shuffle(found)
    return found


class Program:
    """The program, loaded once, run in a process of its own for each command."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.killing"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def run(self, folder: Path, *arguments: str, kill_after: float | None = None) -> Ended:
        """Run a command with a folder as working directory; kill it after some seconds, if it still runs then."""
        assert self._process.stdin is not None and self._process.stdout is not None
        environment = {name: value for name, value in os.environ.items() if name.startswith(("EVENTSYNC_", "XDG_"))}
        request = [str(folder), arguments, kill_after, environment]
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return Ended(*json.loads(self._process.stdout.readline()))


def spoken(folder: Path, *arguments: str) -> Answer:
    """What a command says and how it ends; in this process, which is quick."""
    from eventsync.cli import main

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([*arguments, "--store", str(folder), "--json"])
    return Answer(code, out.getvalue(), err.getvalue())


def answer(folder: Path, *arguments: str) -> Any:
    """The JSON document of a command that must work."""
    told = spoken(folder, *arguments)
    assert told.code == 0, told.err
    return told.document


def assert_clean(folder: Path) -> None:
    """`verify` finds no error, whatever has happened."""
    assert answer(folder, "verify")["ok"]


@contextlib.contextmanager
def folder_for_stores(on_disk: Path) -> Iterator[Path]:
    """In memory, where most tests are quick and no run waits for others' writes; on a disk when there is time."""
    if DEEP:
        yield on_disk
        return
    with quick_folder() as folder:
        yield folder


def spawned(folder: Path, *arguments: str, kill_after: float | None = None) -> Ended:
    """The same, as a person starts it."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "eventsync", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        out, err = process.communicate(timeout=kill_after)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate(timeout=60)
    code = None if process.returncode == -signal.SIGKILL else process.returncode
    return Ended(code, time.perf_counter() - start, out, err)


# --- the process that forks ------------------------------------------------------------------------------------------


def _serve() -> None:
    """Answer requests from standard input until it ends."""
    import importlib

    from eventsync.cli import program

    for section in program.sections.values():
        for module in section.values():
            importlib.import_module(module.partition(":")[0])
    for name in ("filelock", "cryptography.hazmat.primitives.asymmetric.ed25519"):
        importlib.import_module(name)
    for line in sys.stdin:
        folder, arguments, kill_after, environment = json.loads(line)
        os.environ.update(environment)
        ended = _forked(folder, arguments, kill_after)
        sys.stdout.write(json.dumps(ended) + "\n")
        sys.stdout.flush()


def _forked(folder: str, arguments: list[str], kill_after: float | None) -> Ended:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        start = time.perf_counter()
        child = os.fork()
        if child == 0:
            _become_the_program(folder, arguments, out.fileno(), err.fileno())
        if kill_after is not None:
            time.sleep(kill_after)
            os.kill(child, signal.SIGKILL)  # it is not reaped yet: the number is still its own
        _, status = os.waitpid(child, 0)
        seconds = time.perf_counter() - start
        code = None if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        return Ended(code, seconds, *(_text(file.fileno()) for file in (out, err)))


def _become_the_program(folder: str, arguments: list[str], out: int, err: int) -> None:
    from eventsync.cli import main

    code = 1
    with contextlib.suppress(BaseException):  # whatever happens, this process must not go on as the one it was
        os.chdir(folder)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(err, 2)
        code = main(arguments)
        sys.stdout.flush()
    os._exit(code)


def _text(file: int) -> str:
    size = os.fstat(file).st_size
    return os.pread(file, size, 0).decode()


@contextlib.contextmanager
def running() -> Iterator[Program]:
    """The program, until the block ends."""
    program = Program()
    try:
        yield program
    finally:
        program.close()


if __name__ == "__main__":
    _serve()
