"""Real processes at one store: several writers, one that is killed, one that is stopped while it holds the lock."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from journal import Store, StoreLocked
from tests.doubles.stores import put, seqs, state

pytestmark = pytest.mark.crash

ROOT = Path(__file__).resolve().parents[2]
KILLS = 200 if os.environ.get("EVENTSYNC_DEEP") == "1" else 6


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store on the real disk and the real machine."""
    found = Store.init(tmp_path / "project", data_folder=tmp_path / "data")
    yield found
    found.close()


@contextlib.contextmanager
def child(store: Store, program: str) -> Iterator[subprocess.Popen[str]]:
    """A process that runs a program on the store; it is killed when the block ends."""
    head = f"from pathlib import Path\nfrom journal import Store\nstore = Store.open({str(store.folder)!r}, " + (
        f"data_folder=Path({str(store.data_folder)!r}))\n"
    )
    running = subprocess.Popen(
        [sys.executable, "-c", head + textwrap.dedent(program)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    try:
        yield running
    finally:
        running.kill()
        running.wait()
        output(running).close()


def output(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stdout is not None
    return process.stdout


def other(store: Store, *, lock_timeout: float) -> Store:
    return Store.open(store.folder, data_folder=store.data_folder, lock_timeout=lock_timeout)


# --- killed ----------------------------------------------------------------------------------------------------------


def test_what_a_killed_writer_acknowledged_is_there(store: Store) -> None:
    """[J1] [J5] [J9]: kill -9 at any moment, again and again; no record is lost, no seq used twice."""
    store.roll_bytes = 20_000
    acknowledged: dict[int, str] = {}
    chance = random.Random(7)
    program = """
        store.roll_bytes = 20_000
        for number in range(10_000):
            with store.mutate(agent="victim") as mutation:
                for part in range(1 + number % 3):
                    mutation.put("plan", f"p{number % 5}-{part}", {"n": number, "text": "ü" * 200})
            print(*(f"{item.seq}:{item.c}" for item in store.last_commit.written), flush=True)
    """
    for _ in range(KILLS):
        with child(store, program) as victim:
            lines = iter(output(victim))
            first = next(lines)
            time.sleep(chance.uniform(0, 0.15))
            victim.send_signal(signal.SIGKILL)
            for line in [first, *lines]:
                if line.endswith("\n"):
                    acknowledged.update((int(seq), c) for seq, c in (item.split(":") for item in line.split()))
        found = {entry.record.seq: entry.record.c for gap in store.gaps() for entry in gap.entries if not entry.void}
        assert acknowledged.items() <= found.items()
        assert seqs(store) == sorted(set(seqs(store)))
        assert [finding for finding in store.verify().findings if finding.severity == "error"] == []
        put(store, "between")
        assert store.stale is None
    assert len(acknowledged) >= KILLS
    assert [finding for finding in store.verify().findings if finding.severity != "info"] == []


# --- together --------------------------------------------------------------------------------------------------------


def test_four_writers_share_the_seqs_among_them(store: Store) -> None:
    """[J1] [J9]: dense and unique."""
    program = """
        import sys
        for number in range(50):
            with store.mutate(agent="worker") as mutation:
                mutation.put("plan", "shared", {"n": number})
            print(store.last_commit.written[0].seq)
    """
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(child(store, program)) for _ in range(4)]
        written = [[int(line) for line in output(worker)] for worker in workers]
        assert [worker.wait() for worker in workers] == [0] * 4
    assert sorted(seq for part in written for seq in part) == list(range(1, 201))
    assert seqs(store) == list(range(1, 201))
    assert [record.entity_rev for record in store.log()] == list(range(1, 201))
    assert len({record.writer for record in store.log()}) == 4
    assert store.verify().findings == []


# --- the lock [J9] ---------------------------------------------------------------------------------------------------

HOLDS = """
    import time
    with store.lock():
        print("held", flush=True)
        time.sleep(60)
"""


def test_a_lock_that_is_held_is_waited_for_only_so_long(store: Store) -> None:
    """[J9]: a clear error; and reading goes on."""
    put(store, "p1")
    with child(store, HOLDS) as holder:
        assert output(holder).readline() == "held\n"
        waiting = other(store, lock_timeout=0.3)
        before = time.monotonic()
        with pytest.raises(StoreLocked, match=r"another process has held the lock for 0.3 s \[J9\]"):
            put(waiting, "p2")
        assert 0.3 <= time.monotonic() - before < 3
        assert state(waiting) == {("plan", "p1"): (1, {"title": "p1"})}
        assert waiting.verify().findings == []


def test_a_lock_dies_with_its_process(store: Store) -> None:
    """[J9]: no pid files, no stealing."""
    with child(store, HOLDS) as holder:
        assert output(holder).readline() == "held\n"
        holder.kill()
        holder.wait()
        put(other(store, lock_timeout=2), "p1")
    assert seqs(store) == [1]


def test_a_stopped_writer_holds_others_up_until_the_timeout_and_no_longer(store: Store) -> None:
    """[J9]"""
    with child(store, HOLDS) as holder:
        assert output(holder).readline() == "held\n"
        holder.send_signal(signal.SIGSTOP)
        before = time.monotonic()
        with pytest.raises(StoreLocked):
            put(other(store, lock_timeout=0.3), "p1")
        assert time.monotonic() - before < 3
        holder.send_signal(signal.SIGCONT)
        holder.kill()
        holder.wait()
    put(store, "p1")
    assert seqs(store) == [1]


@pytest.mark.parametrize(
    "start",
    [
        "child = subprocess.Popen(['sleep', '60'], close_fds=False).pid",
        "child = os.fork() or time.sleep(60)",
    ],
    ids=["a program", "a fork"],
)
def test_a_lock_is_not_inherited_by_children(store: Store, start: str) -> None:
    """[J9]: close-on-exec; what the holder started may outlive it without the lock."""
    program = f"""
        import os, subprocess, time
        with store.lock():
            {start}
            print(child, flush=True)
            time.sleep(60)
    """
    with child(store, program) as holder:
        started = int(output(holder).readline())
        try:
            holder.kill()
            holder.wait()
            os.kill(started, 0)  # it is still there
            put(other(store, lock_timeout=2), "p1")
        finally:
            os.kill(started, signal.SIGKILL)
    assert seqs(store) == [1]


def test_a_forked_child_does_not_believe_that_it_holds_the_lock(store: Store) -> None:
    """[J9]: the Store of the parent, used in the child."""
    program = """
        import os
        from journal import StoreLocked
        store.lock_timeout = 0.2
        with store.lock():
            pid = os.fork()
            if pid == 0:
                try:
                    with store.lock():
                        os._exit(1)
                except StoreLocked:
                    os._exit(0)
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
    """
    with child(store, program) as parent:
        assert output(parent).readline() == "0\n"
