"""`kill -9` while stores share: a bus can be read at any moment, no candidate is lost, nothing is taken twice."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from journal import Store
from tests.crash.killing import Ended, Program, answer, assert_clean, folder_for_stores, moments, running, spawned
from tests.doubles.disks import QuickDisk

pytestmark = pytest.mark.crash

TAKEN = {"new", "updated", "up_to_date"}


class Pair:
    """Two stores and a bus between them: the author writes and pushes, the reader pulls and accepts."""

    def __init__(self, folder: Path) -> None:
        self.author, self.reader, self.bus = folder / "author", folder / "reader", folder / "bus"
        self._chance = random.Random(1)
        self._written = 0
        for store in (self.author, self.reader):
            answer(store, "init", str(store))
            answer(store, "remote", "add", "bus", str(self.bus))
        self.write()
        answer(self.author, "push")

    def write(self, count: int = 4) -> None:
        """Let the author write: new entities and changes of old ones."""
        store = Store.open(self.author, disk=QuickDisk())
        with store.mutate(agent="test") as mutation:
            for number in self._chance.sample(range(30), count):
                self._written += 1
                mutation.put(
                    "plan",
                    f"p{number}",
                    {"n": self._written, "text": "x" * (70_000 if self._written % 5 == 0 else 500)},
                )
        store.close()

    def wanted(self) -> dict[str, Any]:
        """What the reader should have been offered: each entity of the author as it is now."""
        store = Store.open(self.author, disk=QuickDisk())
        found = {head.item_id: (head.seq, store.get("plan", head.item_id).payload) for head in store.list()}
        store.close()
        return found

    def offered(self) -> dict[str, Any]:
        """What the reader has in its inbox, settled ones too; an entity that is there twice fails."""
        found = answer(self.reader, "inbox", "--all")["candidates"]
        assert set(Counter(candidate["item_id"] for candidate in found).values()) <= {1}
        return {candidate["item_id"]: (candidate["seq"], candidate["payload"]) for candidate in found}

    def can_read(self, place: Path) -> str:
        """Pull from a place into the reader, which must work; what it came to."""
        remotes = answer(self.reader, "pull", str(place))["remotes"]
        ((origin,),) = [remote["origins"] for remote in remotes]
        assert origin["result"] in TAKEN, origin
        return str(origin["result"])

    def check(self) -> None:
        """Both stores are clean, and everything that was written has reached the reader."""
        assert self.offered() == self.wanted()
        for store in (self.author, self.reader):
            assert_clean(store)


@pytest.fixture(scope="module")
def program() -> Iterator[Program]:
    with running() as found:
        yield found


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with folder_for_stores(tmp_path) as folder:
        yield Pair(folder)


def whole_runs(program: Program, pair: Pair, folder: Path, *arguments: str) -> list[Ended]:
    """The command when nobody kills it, a few times, each with something to do."""
    found = []
    for _ in range(4):
        pair.write()
        if folder == pair.reader:
            answer(pair.author, "push")
        found.append(program.run(folder, *arguments))
    assert [run.code for run in found] == [0] * 4
    return found


def test_a_feed_can_be_read_whenever_a_publish_is_killed(program: Program, pair: Pair) -> None:
    for moment in moments("publish", whole_runs(program, pair, pair.author, "publish")):
        pair.write()
        killed = program.run(pair.author, "publish", kill_after=moment)
        result = pair.can_read(pair.author)
        if killed.code == 0 or killed.out:
            assert result != "up_to_date"
            assert pair.offered() == pair.wanted()
        assert program.run(pair.author, "publish").code == 0
        pair.can_read(pair.author)
        pair.check()


def test_a_bus_can_be_read_whenever_a_push_is_killed(program: Program, pair: Pair) -> None:
    for moment in moments("push", whole_runs(program, pair, pair.author, "push", "bus")):
        pair.write()
        killed = program.run(pair.author, "push", "bus", kill_after=moment)
        pair.can_read(pair.bus)
        if killed.code == 0 or killed.out:
            assert pair.offered() == pair.wanted()
        assert program.run(pair.author, "push", "bus").code == 0
        pair.can_read(pair.bus)
        pair.check()
        assert [path for path in pair.bus.rglob("*") if path.name.startswith(".tmp-")] == []


def test_no_candidate_is_lost_whenever_a_pull_is_killed(program: Program, pair: Pair) -> None:
    for number, moment in enumerate(moments("pull", whole_runs(program, pair, pair.reader, "pull", "bus"))):
        pair.write()
        answer(pair.author, "push")
        killed = program.run(pair.reader, "pull", "bus", kill_after=moment)
        if killed.code == 0 or killed.out:
            assert pair.offered() == pair.wanted()
        if number % 3 == 0:
            continue  # the next one is killed as well
        assert program.run(pair.reader, "pull", "bus").code == 0
        pair.check()
    assert program.run(pair.reader, "pull", "bus").code == 0
    pair.check()
    assert [*(pair.reader / ".eventsync" / "federation" / "staging").glob("*es1*")] == []


def causes(folder: Path) -> Counter[str]:
    """How many records there are for each version that was accepted."""
    return Counter(record["cause"] for record in answer(folder, "log")["records"] if record["cause"])


def test_an_accept_that_is_killed_takes_all_once_or_nothing(program: Program, pair: Pair) -> None:
    runs = []
    for _ in range(4):
        pair.write()
        answer(pair.author, "push")
        pair.can_read(pair.bus)
        runs.append(program.run(pair.reader, "accept", "--all"))
    for moment in moments("accept", runs):
        pair.write()
        answer(pair.author, "push")
        pair.can_read(pair.bus)
        before = causes(pair.reader)
        killed = program.run(pair.reader, "accept", "--all", kill_after=moment)
        taken = causes(pair.reader) - before
        assert taken.total() in ((4,) if killed.code == 0 or killed.out else (0, 4))
        assert program.run(pair.reader, "accept", "--all").code == 0
        assert answer(pair.reader, "inbox")["candidates"] == []
        after = causes(pair.reader)
        assert (after.total() - before.total(), max(after.values())) == (4, 1)
        pair.check()
    accepted = {
        entity["item_id"]: answer(pair.reader, "show", "plan", entity["item_id"])["payload"]
        for entity in answer(pair.reader, "ls")["entities"]
    }
    assert accepted == {item_id: payload for item_id, (_, payload) in pair.wanted().items()}


@pytest.mark.parametrize("command", ["push", "pull"])
def test_processes_of_their_own_may_be_killed_from_their_first_moment_on(
    program: Program, pair: Pair, command: str
) -> None:
    folder = pair.author if command == "push" else pair.reader
    runs = [spawned(folder, command) for _ in range(2)]
    for moment in moments(f"spawned {command}", runs)[::3]:
        pair.write()
        if command == "pull":
            answer(pair.author, "push")
        spawned(folder, command, kill_after=moment)
        answer(pair.author, "push")
        pair.can_read(pair.bus)
        pair.check()
