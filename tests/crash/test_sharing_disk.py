"""The disk refuses, or the process ends, at every write, fsync, rename and truncate of publish, push, pull and accept.

After each: what was acknowledged is there, doing the same again ends where a life without faults ends, and a third
store that reads the bus finds no contradiction.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from eventsync.sharing import Sharing
from federation.errors import FederationError
from federation.puller import Settings
from journal import Disk, JournalError
from tests.crash.killing import DEEP
from tests.doubles.disks import CountingDisk, Died, FaultyDisk, QuickDisk, Share
from tests.doubles.stores import quick_folder
from tests.integration.world import (
    World,
    accept,
    accept_all,
    entities,
    pull,
    put,
    reject,
    remove,
    share,
    verdicts,
)

pytestmark = pytest.mark.crash

BLOB = "x" * 66_000  # too long for a line
EVERY = 1 if DEEP else 5  # of the calls, which one is struck


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    with quick_folder() as folder:
        yield folder


def _publish(store: Sharing) -> int:
    store.publish()
    return 0


def _push(store: Sharing) -> int:
    return store.push(store.remotes(None)).exit_code


def _pull(store: Sharing) -> int:
    return store.pull(store.remotes(None), Settings()).exit_code


def _decide(store: Sharing) -> int:
    """Accept one by name, reject one, and take the rest; what an earlier try has settled is left alone."""
    store.holdings.look()
    found = {name for name, verdict in verdicts(store).items() if verdict in ("new", "update", "gone", "conflict")}
    if "plan/p1" in found:
        accept(store, "plan/p1", theirs=True)
    if "plan/p2" in found:
        reject(store, "plan/p2")
    accept_all(store)
    return 0


STEPS: list[Callable[[Sharing], int]] = [_pull, _decide, _publish, _push]


class Life:
    """A world in which `reader` lives through the steps, twice, with its disk as it is given."""

    def __init__(self, folder: Path, disk: Disk) -> None:
        folder.mkdir()
        self.world = World(folder)
        self.author = self.world.store("author")
        put(self.author, "p1", "p2", "p3", "p4")
        put(self.author, "long", text=BLOB)
        share(self.author)
        reader = self.world.store("reader")
        put(reader, "p1", "own", text="mine")
        put(reader, "own", text=BLOB)
        self.reader = self.world.reopened(reader, disk=disk)

    def go_on(self) -> None:
        """What the author does between the two rounds."""
        put(self.author, "p3", "p5", text="again")
        put(self.author, "long", text=BLOB + "!")
        remove(self.author, "p4")
        share(self.author)

    def rounds(self) -> Iterator[Callable[[Sharing], int]]:
        yield from STEPS
        self.go_on()
        yield from STEPS

    def end(self) -> Any:
        """Where it ends: what the reader holds, and what a third store sees of both."""
        third = self.world.store("third")
        run = pull(third)
        assert run.exit_code == 0, run
        accepted = accept_all(third)
        assert [finding for finding in self.reader.store.verify().findings if finding.severity == "error"] == []
        return entities(self.reader), verdicts(self.reader), len(accepted.written), len(accepted.left), entities(third)

    def close(self) -> None:
        self.world.close_all()


def calls(tmp_path: Path, share: Share) -> tuple[list[int], Any]:
    """The numbers of the calls that can be done in such a share, and where a life without faults ends."""
    disk = CountingDisk()
    life = Life(tmp_path / "counted", disk)
    disk.reset()
    for step in life.rounds():
        assert step(life.reader) == 0
    found = disk.numbers(share)
    end = life.end()
    life.close()
    assert len(found) > 20
    return found[::EVERY], end


def strike(folder: Path, at: int, share: Share, *, kills: bool) -> tuple[Life, bool]:
    """Live until a call is struck; what failed is done again with a disk that works. Whether anything failed."""
    life = Life(folder, FaultyDisk(at, share, kills=kills))
    disk = life.reader.store.disk
    assert isinstance(disk, FaultyDisk)
    disk.count = 0  # opening is not what is looked at
    failed = False
    for step in life.rounds():
        code = -1
        with contextlib.suppress(Died, FederationError, JournalError):
            code = step(life.reader)
        if code == 0:
            continue
        assert disk.has_struck
        failed = True
        life.reader = life.world.reopened(life.reader, disk=QuickDisk())
        for earlier in STEPS[: STEPS.index(step) + 1]:
            assert earlier(life.reader) == 0
    if not failed:
        life.reader = life.world.reopened(life.reader, disk=QuickDisk())
    return life, failed


@pytest.mark.parametrize("share", ["none", "half", "all"])
@pytest.mark.parametrize("kills", [True, False], ids=["dies", "is refused"])
def test_sharing_that_fails_at_any_call_is_done_again_and_ends_the_same(
    tmp_path: Path, share: Share, kills: bool
) -> None:
    """[F4] [F5] [F7] [K1]: nothing twice, nothing half, nothing lost."""
    numbers, end = calls(tmp_path, share)
    failures = 0
    for at in numbers:
        life, failed = strike(tmp_path / str(at), at, share, kills=kills)
        failures += failed
        assert life.end() == end, at
        life.close()
    assert failures > len(numbers) // 4
