"""A pull that is killed while it sets, decides or releases a brake: whatever command comes next decides it [K5]."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from eventsync.sharing import Sharing
from federation.inbox import Filter
from federation.mirror import Brake
from federation.model import BRAKE_CHANGES
from tests.doubles.disks import Died, QuickDisk
from tests.integration.forger import Forger
from tests.integration.world import World, accept_all, answers, candidates, only, pull, rebuilt

FEW, MANY = 3, BRAKE_CHANGES + 1


class BrakeDisk(QuickDisk):
    """Ends the process at the nth change of a brake's file, before it or after it."""

    def __init__(self, at: int, *, after: bool) -> None:
        super().__init__()
        self.left = at
        self._after = after

    def _rename(self, source: Path, target: Path) -> None:
        self._change(target, lambda: super(BrakeDisk, self)._rename(source, target))

    def remove(self, path: Path) -> None:
        self._change(path, lambda: super(BrakeDisk, self).remove(path))

    def _change(self, path: Path, change: Callable[[], None]) -> None:
        self.left -= path.name == "brake.json"
        if path.name != "brake.json" or self.left:
            change()
            return
        if self._after:
            change()
        raise Died


def look(store: Sharing) -> None:
    assert store.holdings.look() is None


def accept(store: Sharing) -> None:
    accept_all(store)


def rebuild(store: Sharing) -> None:
    rebuilt(store)


def open_ids(store: Sharing) -> list[str]:
    """What `accept --all` would take."""
    return [item.item_id for item in candidates(store, Filter()) if not item.held]


@pytest.mark.parametrize("next_command", [look, accept, pull, rebuild])
@pytest.mark.parametrize("after", [False, True], ids=["before it", "after it"])
@pytest.mark.parametrize("at", [1, 2], ids=["setting it", "deciding it"])
@pytest.mark.parametrize("count", [FEW, MANY])
def test_a_brake_holds_or_releases_whatever_was_killed(
    world: World, count: int, at: int, after: bool, next_command: Callable[[Sharing], object]
) -> None:
    """[K5] Many changes wait for a person and few do not; what was there before is open all the time."""
    reader, forger = world.store("reader"), Forger()
    forger.record("p0")
    forger.feed().put_into(world.bus)
    pull(reader)
    for number in range(count):
        forger.record(f"more{number}")
    forger.feed(gen=2).put_into(world.bus)
    reader = world.reopened(reader, disk=BrakeDisk(at, after=after))
    with pytest.raises(Died):
        pull(reader)
    reader = world.reopened(reader)
    taken = at == 2
    assert reader.holdings.pin(forger.origin) == (1 + count if taken else 1)
    next_command(reader)
    pull(reader)
    brake = reader.holdings.mirror.brake(forger.origin)
    assert (brake is not None) == (count == MANY)
    assert brake is None or brake == Brake(1, False)
    here = [] if count == MANY else [f"more{number}" for number in range(count)]
    if next_command is not accept:
        here = ["p0", *here]
    elif taken:
        here = []
    assert open_ids(reader) == here
    if count == MANY:
        assert only(pull(reader)).candidates.held == MANY
    before = answers(reader)
    assert answers(rebuilt(reader)) == before
