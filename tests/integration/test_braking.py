"""How much one pull may bring: limits of a remote and of the store, kept with the brake; what it holds [K5]."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eventsync.sharing import Sharing
from federation.inbox import Filter
from federation.mirror import Brake
from federation.model import BrakeLimits
from journal import Disk
from tests.doubles.disks import Died, QuickDisk
from tests.integration.forger import Forger
from tests.integration.world import World, accept_all, candidates, only, pull, rebuilt


def configure(store: Sharing, text: str) -> None:
    """Add lines to the table of the remote, which stands at the end, or further tables."""
    path = store.store.folder / "config.toml"
    path.write_text(path.read_text() + text)


def known(world: World, text: str, *, disk: Disk | None = None) -> tuple[Sharing, Forger]:
    """A reader with these settings that knows an origin, and has accepted what it had."""
    reader, forger = world.store("reader"), Forger()
    for number in range(4):
        forger.record(f"p{number}")
    forger.feed().put_into(world.bus)
    pull(reader)
    accept_all(reader)
    configure(reader, text)
    return world.reopened(reader, disk=disk), forger


def add(world: World, forger: Forger, count: int, *, gen: int) -> None:
    start = len(forger.lines)
    for number in range(count):
        forger.record(f"more{start + number}")
    forger.feed(gen=gen).put_into(world.bus)


@pytest.mark.parametrize(
    "text",
    [
        "max_changes = 2\n",
        "[limits]\nmax_changes = 2\n",
        "max_changes = 2\n[limits]\nmax_changes = 1000\n",
    ],
)
def test_a_pull_may_bring_as_much_as_the_remote_says_and_else_the_store(world: World, text: str) -> None:
    """[K5] A remote goes before [limits]."""
    reader, forger = known(world, text)
    add(world, forger, 2, gen=2)
    assert not only(pull(reader)).braked
    accept_all(reader)
    add(world, forger, 3, gen=3)
    found = only(pull(reader))
    assert found.braked
    assert found.candidates == (0, 6, 3)
    assert found.load is not None
    assert (found.load.changes, found.load.deletions, found.load.limits) == (3, 0, BrakeLimits(changes=2))
    assert dict(found.load.kinds) == {("new", "plan"): 3}
    assert [example.item_id for example in found.load.examples] == ["more6", "more7", "more8"]


def test_nothing_is_taken_unseen_where_the_limit_is_zero(world: World) -> None:
    reader, forger = known(world, "max_changes = 0\nmax_deletions = 0\n")
    add(world, forger, 1, gen=2)
    assert only(pull(reader)).braked


def test_deletions_have_a_limit_of_their_own_and_are_the_first_examples(world: World) -> None:
    reader, forger = known(world, "max_deletions = 1\n")
    forger.record("other")
    for number in range(2):
        forger.record(f"p{number}", action="delete")
    forger.feed(gen=2).put_into(world.bus)
    load = only(pull(reader)).load
    assert load is not None
    assert (load.changes, load.deletions) == (3, 2)
    assert [(found.verdict, found.item_id) for found in load.examples] == [
        ("gone", "p0"),
        ("gone", "p1"),
        ("new", "other"),
    ]


def test_a_person_is_shown_what_was_released(world: World) -> None:
    reader, forger = known(world, "max_changes = 2\n")
    add(world, forger, 3, gen=2)
    pull(reader)
    found = only(pull(reader, confirm=True))
    assert not found.braked
    assert found.load is not None and found.load.changes == 3
    assert only(pull(reader, confirm=True)).load is None
    add(world, forger, 3, gen=3)
    found = only(pull(reader, confirm=True))  # what it brings itself
    assert found.load is not None and found.load.changes == 3


class DiesBeforeItDecides(QuickDisk):
    """Ends the process when a brake that was set is changed."""

    def __init__(self) -> None:
        super().__init__()
        self.written = 0

    def _rename(self, source: Path, target: Path) -> None:
        self.written += target.name == "brake.json"
        if target.name == "brake.json" and self.written == 2:
            raise Died
        super()._rename(source, target)


def test_a_killed_pull_is_decided_by_its_own_limits(world: World) -> None:
    """[K5] Whoever looks next may have other limits, or none at all: the file says which."""
    reader, forger = known(world, "max_changes = 2\n", disk=DiesBeforeItDecides())
    add(world, forger, 3, gen=2)
    with pytest.raises(Died):
        pull(reader)
    reader = world.reopened(reader)
    kept = reader.holdings.mirror.path(forger.origin) / "brake.json"
    assert json.loads(kept.read_bytes()) == {
        "after_seq": 4,
        "pending": True,
        "max_changes": 2,
        "max_deletions": 20,
    }
    configure(reader, "[limits]\nmax_changes = 1000\n")
    assert all(item.held for item in candidates(reader, Filter()))
    assert reader.holdings.mirror.brake(forger.origin) == Brake(4, False, BrakeLimits(changes=2))
    assert all(item.held for item in candidates(rebuilt(reader), Filter()))


def test_a_brake_that_was_written_before_it_had_limits_has_the_usual_ones(world: World) -> None:
    reader, forger = known(world, "")
    path = reader.holdings.mirror.path(forger.origin) / "brake.json"
    path.write_text('{"after_seq": 3, "pending": false}')
    assert reader.holdings.mirror.brake(forger.origin) == Brake(3, False)
