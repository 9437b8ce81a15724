"""Acknowledging while the disk refuses or the process ends: the cursor stands where it stood, or where it should."""

from __future__ import annotations

from pathlib import Path

import pytest

from journal import DiskFailed
from tests.doubles.disks import Died, FaultyDisk, PowerCutDisk, Share
from tests.doubles.stores import new_store, put, reopened

pytestmark = pytest.mark.crash


def seen(folder: Path, disk: FaultyDisk | None = None) -> list[int]:
    """What is new to the agent in a store with three records, of which it acknowledges the second one and then all."""
    store = new_store(folder)
    put(store, "p1")
    put(store, "p2")
    store.ack("agent", 2)
    put(store, "p3")
    faulty = reopened(store, disk=disk)
    try:
        faulty.ack("agent", 3)
    except (DiskFailed, Died):
        pass
    finally:
        faulty.close()
    again = reopened(store)
    found = [record.seq for record in again.unseen("agent")]
    left = "left behind by an interrupted write"
    assert all((found.id, found.message) == ("stray-file", left) for found in again.verify().findings)
    again.close()
    return found


@pytest.mark.parametrize("share", ["none", "half", "all"])
@pytest.mark.parametrize("kills", [False, True], ids=["refused", "killed"])
def test_an_acknowledgement_happens_wholly_or_not_at_all(tmp_path: Path, share: Share, kills: bool) -> None:
    for at in range(1, 20):
        disk = FaultyDisk(at, share, kills=kills)
        assert seen(tmp_path / f"{at}", disk) in ([3], [])
        if not disk.has_struck:
            assert at > 4  # write, fsync, rename and the fsync of the folder were each refused once
            return
    pytest.fail("the calls never end")


def test_an_acknowledged_cursor_outlives_a_power_cut(tmp_path: Path) -> None:
    store = new_store(tmp_path / "project")
    put(store, "p1")
    disk = PowerCutDisk(store.folder)
    disk.sync_all()
    again = reopened(store, disk=disk)
    again.ack("agent", 1)
    disk.cut(tmp_path / "after")
    disk.close()
    assert (tmp_path / "after" / "cursors" / "agent.json").read_bytes() == (
        store.folder / "cursors" / "agent.json"
    ).read_bytes()
    again.close()
