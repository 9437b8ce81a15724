"""A power cut behind a command that said it was done: what it made durable can still be found under its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from journal import Store
from tests.doubles.disks import PowerCutDisk
from tests.doubles.machines import FixedMachine
from tests.doubles.stores import tree
from tests.integration.world import World, pull, put, share

pytestmark = pytest.mark.crash


def test_the_first_publish_survives_a_power_cut(world: World, tmp_path: Path) -> None:
    """[T1] [F4]: local.json speaks of the feed, so its folder must be there."""
    ada = world.store("ada")
    put(ada, "p1")
    disk = PowerCutDisk(ada.store.folder)
    disk.sync_all()
    world.reopened(ada, disk=disk).publish()
    left = tmp_path / "left"
    disk.cut(left)
    disk.close()
    feed = tree(ada.store.folder / "feed")
    assert feed
    assert tree(left / "feed") == feed


def test_the_first_pull_survives_a_power_cut(world: World, tmp_path: Path) -> None:
    """[T1] [F4]: a mirror that a pull reported is there, and with it the pin."""
    ada, ben = world.store("ada"), world.store("ben")
    put(ada, "p1")
    share(ada)
    disk = PowerCutDisk(ben.store.folder)
    disk.sync_all()
    pull(world.reopened(ben, disk=disk))
    left = tmp_path / "left"
    disk.cut(left)
    disk.close()
    mirror = tree(ben.store.folder / "federation" / "mirror")
    assert mirror
    assert tree(left / "federation" / "mirror") == mirror


def test_the_key_of_a_new_store_survives_a_power_cut(tmp_path: Path) -> None:
    """[I1]: without it the store could publish nothing, ever."""
    (tmp_path / "user").mkdir()
    disk = PowerCutDisk(tmp_path)
    data = tmp_path / "user" / "data"
    disk.sync_all()
    store = Store.init(tmp_path / "project", disk=disk, machine=FixedMachine(data), data_folder=data)
    store.close()
    left = tmp_path.with_name(tmp_path.name + "-left")
    disk.cut(left)
    disk.close()
    key = store.private_key_path
    assert (left / key.relative_to(tmp_path)).read_bytes() == key.read_bytes()
