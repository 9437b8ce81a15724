"""Real processes at one store: several writers, one that is killed, one that is stopped while it holds the lock."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, NamedTuple

import pytest

from journal import Query, Store, StoreLocked
from tests.doubles.stores import put, seqs, state

pytestmark = pytest.mark.crash

ROOT = Path(__file__).resolve().parents[2]
DEEP = os.environ.get("EVENTSYNC_DEEP") == "1"
KILLS = 200 if DEEP else 6
WRITERS, PUTS = (8, 200) if DEEP else (4, 50)
READS = 2_000 if DEEP else 150


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


def test_many_writers_share_the_seqs_among_them(store: Store) -> None:
    """[J1] [J3] [J9]: dense and unique, over segments too."""
    program = f"""
        store.roll_bytes = 30_000
        for number in range({PUTS}):
            with store.mutate(agent="worker") as mutation:
                mutation.put("plan", "shared", {{"n": number}})
            print(store.last_commit.written[0].seq)
    """
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(child(store, program)) for _ in range(WRITERS)]
        written = [[int(line) for line in output(worker)] for worker in workers]
        assert [worker.wait() for worker in workers] == [0] * WRITERS
    whole = list(range(1, WRITERS * PUTS + 1))
    assert sorted(seq for part in written for seq in part) == whole
    assert seqs(store) == whole
    assert [record.entity_rev for record in store.log()] == whole
    assert len({record.writer for record in store.log()}) == WRITERS
    assert len(store.segments.segments()) > 1
    assert store.verify().findings == []


# --- reading while others write --------------------------------------------------------------------------------------

WRITES = """
    import time
    store.roll_bytes = 20_000
    for number in range(2_000):  # the log must not outgrow those who read all of it
        with store.mutate(agent="writer") as mutation:
            for part in range(1 + number % 3):
                mutation.put("plan", f"NAME-{number % 40}-{part}", {"n": number, "text": "ü" * (number % 300)})
        print(*(f"{item.item_id}:{item.entity_rev}:{item.seq}" for item in store.last_commit.written), flush=True)
    time.sleep(3600)
"""
PARKS = """
    while True:
        store.checkpoint()
        store.gc()
        print("parked", flush=True)
"""


class Acknowledged:
    """What a process has said so far: the newest rev of each entity, and the highest seq."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.revs: dict[str, int] = {}
        self.seq = 0
        self._process = process
        self._thread = threading.Thread(target=self._listen)

    def __enter__(self) -> Acknowledged:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._thread.join()

    def _listen(self) -> None:
        for line in output(self._process):
            for item in line.split() if line.endswith("\n") and ":" in line else ():
                item_id, rev, seq = item.split(":")
                self.revs[item_id] = int(rev)
                self.seq = int(seq)


class Look(NamedTuple):
    """One reading of the store, and what was said before it: the rev of each entity, and the highest seq."""

    reader: Store
    revs: Mapping[str, int]
    seq: int
    chance: random.Random

    def some(self) -> list[str]:
        return self.chance.sample(sorted(self.revs), min(5, len(self.revs)))

    def lists(self) -> None:
        listed = {head.item_id: head.entity_rev for head in self.reader.list("plan")}
        assert [item_id for item_id, rev in self.revs.items() if listed.get(item_id, 0) < rev] == []

    def gets(self) -> None:
        for item_id in self.some():
            head, payload = self.reader.get("plan", item_id)
            assert head.entity_rev >= self.revs[item_id]
            assert payload["text"] == "ü" * (payload["n"] % 300)

    def reads_files(self) -> None:
        for item_id in self.some():
            path = self.reader.folder / "entities" / "plan" / f"{item_id}.json"
            assert json.loads(path.read_bytes())["entity_rev"] >= self.revs[item_id]

    def reads_the_log(self) -> None:
        since = max(self.seq - 50, 0)
        found = [record.seq for record in self.reader.log(since=since)]
        assert found == list(range(since + 1, since + 1 + len(found)))
        assert since + len(found) >= self.seq

    def asks_for_one(self) -> None:
        for item_id in self.some()[:1]:
            found = [record.entity_rev for record in self.reader.history.records(Query(entity=("plan", item_id)))]
            assert found == list(range(1, len(found) + 1))
            assert len(found) >= self.revs[item_id]

    def asks_what_is_new(self) -> None:
        unseen = self.reader.unseen("agent")
        found = [record.seq for record in unseen]
        assert found == sorted(found)
        assert unseen.seq >= self.seq
        if self.chance.random() < 0.3:
            self.reader.ack("agent", unseen.seq)


LOOKS = [Look.lists, Look.gets, Look.reads_files, Look.reads_the_log, Look.asks_for_one, Look.asks_what_is_new]


@pytest.mark.timeout(600)
def test_reading_while_others_write_roll_and_park_never_misses_what_was_acknowledged(store: Store) -> None:
    """[J7] [J8] [J9] [P1]: every answer parses, and holds all that was said before it was asked for."""
    chance = random.Random(11)
    put(store, "first")
    with contextlib.ExitStack() as stack:
        said = [
            stack.enter_context(Acknowledged(stack.enter_context(child(store, WRITES.replace("NAME", name)))))
            for name in "ab"
        ]
        stack.enter_context(Acknowledged(stack.enter_context(child(store, PARKS))))
        readers = [other(store, lock_timeout=20) for _ in range(3)]
        reads = 0
        while reads < READS or len(store.segments.archived()) < 2:
            reads += 1
            revs = {item_id: rev for one in said for item_id, rev in dict(one.revs).items()}
            seq = max(one.seq for one in said)
            chance.choice(LOOKS)(Look(chance.choice(readers), revs, seq, chance))
            if chance.random() < 0.05:  # as a command that begins
                readers.append(other(store, lock_timeout=20))
                readers.pop(0).close()
    for reader in readers:
        reader.close()
    assert min(len(one.revs) for one in said) > 5
    assert [finding for finding in store.verify().findings if finding.severity != "info"] == []


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
