"""What a pull refuses is kept beside the mirrors, for people, and for nobody else."""

from __future__ import annotations

import pytest

from eventsync.sharing import Sharing
from federation.model import HEAD_FILE, Result
from federation.puller import Settings
from tests.doubles.disks import QuickDisk
from tests.integration.forger import Forged, Forger
from tests.integration.world import World, answers, by_origin, only, pull, put, rebuilt, share, tree


@pytest.fixture
def reader(world: World) -> Sharing:
    store = world.store("reader")
    pull(store)
    return store


def forger_of(count: int) -> Forger:
    forger = Forger()
    for number in range(1, count + 1):
        forger.record(f"p{number}")
    return forger


def unsigned(forger: Forger) -> Forged:
    found = forger.feed()
    return found._replace(files=dict(found.files) | {HEAD_FILE: Forger(8).signed(found.head)})


def test_a_refused_head_is_kept_once_and_counted_however_often_it_is_met(world: World, reader: Sharing) -> None:
    """[F5] [T1] Nothing that is shown depends on it."""
    forger = forger_of(2)
    found = unsigned(forger)
    found.put_into(world.bus)
    before = answers(reader)
    for _ in range(3):
        assert only(pull(reader)).result is Result.REFUSED
    (entry,) = reader.holdings.quarantine.entries()
    assert (entry.origin, entry.times, entry.remote, entry.rule) == (forger.origin, 3, "bus", "F5")
    assert "bad signature" in entry.message
    assert (entry.path / HEAD_FILE).read_bytes() == found.files[HEAD_FILE]
    assert answers(rebuilt(reader)) == before
    assert len(reader.holdings.quarantine.entries()) == 1


def test_of_a_fork_the_slices_are_kept_that_were_fetched(world: World, reader: Sharing) -> None:
    """[F5]"""
    forger = forger_of(2)
    forger.feed().put_into(world.bus)
    pull(reader)
    forger.record("p3")
    bad = forger.feed(gen=2, cuts=[2], c="0" * 64)
    bad.put_into(world.bus)
    assert only(pull(reader)).result is Result.FORK
    (entry,) = reader.holdings.quarantine.entries(forger.origin)
    assert {path.name: path.read_bytes() for path in entry.path.iterdir() if path.suffix == ".zst"} == {
        name: bad.files[name] for name in bad.slices[1:]
    }
    pull(reader)  # frozen: nothing was fetched
    assert [found.times for found in reader.holdings.quarantine.entries()] == [1]


def test_a_dry_run_keeps_nothing(world: World, reader: Sharing) -> None:
    unsigned(forger_of(2)).put_into(world.bus)
    before = tree(reader.store.folder)
    reader.pull(reader.remotes(None), Settings(dry_run=True))
    assert tree(reader.store.folder) == before


def test_a_disk_that_cannot_keep_it_stops_nobody(world: World) -> None:
    """[F6] A refused feed costs other origins nothing, also where the disk is full."""

    class NoRoomForBadThings(QuickDisk):
        def replace(self, path: object, data: bytes) -> None:
            from journal import DiskFailed

            if "quarantine" in str(path):
                raise DiskFailed("no space left", path=str(path))
            super().replace(path, data)  # type: ignore[arg-type]

    reader, honest = world.store("reader", disk=NoRoomForBadThings()), world.store("honest")
    put(honest, "fine")
    share(honest)
    forger = forger_of(2)
    unsigned(forger).put_into(world.bus)
    found = by_origin(pull(reader))
    assert found[honest.store.origin].result is Result.NEW
    assert found[forger.origin].result is Result.REFUSED
    assert "could not be kept" in found[forger.origin].warnings[0]
