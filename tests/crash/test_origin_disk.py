"""The disk refuses, or the process ends, at every call of a decision about an origin.

After each the same command is given again, and everything ends where a life without faults ends: decided once, the
mirror whole in one place, and every cache in line with the records.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eventsync.sharing import Sharing
from federation.errors import FederationError
from federation.model import Result
from federation.origins import HELD, block, forget, state_of, trust
from journal import Disk, JournalError
from tests.crash.killing import DEEP
from tests.doubles.disks import CountingDisk, Died, FaultyDisk, QuickDisk, Share
from tests.doubles.stores import quick_folder
from tests.integration.forger import Forger
from tests.integration.world import World, accept, answers, only, pull, put, rebuilt, tree

pytestmark = pytest.mark.crash

EVERY = 1 if DEEP else 3  # of the calls, which one is struck


class Life:
    """A reader whose one origin signed two histories, with its disk as it is given."""

    def __init__(self, folder: Path, disk: Disk) -> None:
        folder.mkdir()
        self.world = World(folder)
        self.held = Forger()
        for name in ("p1", "p2"):
            self.held.record(name)
        other = self.held.copy()
        self.held.record("p3")
        other.record("q3")
        reader = self.world.store("reader")
        put(reader, "own")
        self.held.feed(cuts=[2]).put_into(self.world.bus)
        pull(reader)
        accept(reader, "plan/p1")
        other.feed(gen=2, cuts=[2]).put_into(self.world.bus)
        assert only(pull(reader)).result is Result.FORK
        (name,) = reader.holdings.mirror.fork_evidence(self.held.origin)
        self.digits = name.removeprefix("head-").removesuffix(".json")
        self.reader = self.world.reopened(reader, disk=disk)

    def end(self) -> Any:
        """Where it ends."""
        self.reader.holdings.look()
        found = answers(self.reader)
        assert answers(rebuilt(self.reader)) == found
        assert [finding for finding in self.reader.store.verify().findings if finding.severity == "error"] == []
        mirror = self.reader.holdings.mirror
        return (
            found,
            state_of(self.reader.holdings, self.held.origin),
            tree(mirror.folder),
            [tree(path, without=["parking.json"]) for path in mirror.parked(self.held.origin)],
            [record.action for record in self.reader.store.decisions_on_origins()],
        )

    def close(self) -> None:
        self.world.close_all()


def keep(life: Life, reader: Sharing) -> None:
    trust(reader.holdings, life.held.origin, HELD, agent="test")


def take(life: Life, reader: Sharing) -> None:
    trust(reader.holdings, life.held.origin, life.digits, agent="test")


def block_it(life: Life, reader: Sharing) -> None:
    block(reader.holdings, life.held.origin, reason="no", agent="test")


def forget_it(life: Life, reader: Sharing) -> None:
    forget(reader.holdings, life.held.origin, agent="test")


Verb = Callable[[Life, Sharing], None]


def calls(folder: Path, verb: Verb, share: Share) -> tuple[list[int], Any]:
    """The numbers of the calls that can be done in such a share, and where a life without faults ends."""
    disk = CountingDisk()
    life = Life(folder, disk)
    disk.reset()
    verb(life, life.reader)
    found, end = disk.numbers(share), life.end()
    life.close()
    return found, end


@pytest.mark.parametrize("share", ["none", "half", "all"])
@pytest.mark.parametrize("verb", [keep, take, block_it, forget_it])
def test_a_decision_about_an_origin_that_fails_at_any_call_is_done_again_and_ends_the_same(
    verb: Verb, share: Share
) -> None:
    """[T1] [F5]"""
    with quick_folder() as folder:
        numbers, end = calls(folder / "counted", verb, share)
        assert numbers
        for number, at in enumerate(numbers[::EVERY]):
            life = Life(folder / str(at), FaultyDisk(at, share, kills=bool(number % 2)))
            disk = life.reader.store.disk
            assert isinstance(disk, FaultyDisk)
            disk.count = 0  # opening is not what is looked at
            with contextlib.suppress(Died, FederationError, JournalError):
                verb(life, life.reader)
            life.reader = life.world.reopened(life.reader, disk=QuickDisk())
            verb(life, life.reader)
            assert life.end() == end, at
            life.close()
