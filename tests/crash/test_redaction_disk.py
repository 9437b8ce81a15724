"""The disk refuses, or the process ends, at every write, fsync, rename and removal of a redaction.

Before its record is durable nothing was redacted; from then on it will be, by the next command that writes, and the
text is in no file. Nothing else is lost on the way.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from journal import DiskFailed, EntityRedacted, Store
from tests.crash.killing import DEEP
from tests.doubles.disks import CountingDisk, Died, FaultyDisk, PowerCutDisk, QuickDisk, Share
from tests.doubles.machines import FixedMachine
from tests.doubles.searching import files_with
from tests.doubles.stores import delete, drop_index, new_store, put, quick_folder, reopened

pytestmark = pytest.mark.crash

SECRET = "hünter2-Zürich"


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    with quick_folder() as folder:
        yield folder


def prepared(folder: Path) -> Store:
    """A store with the secret in live and archived segments, a checkpoint, a blob and a projection."""
    store = new_store(folder)
    store.roll_bytes = 900
    with store.mutate(agent="test") as mutation:
        mutation.put("plan", "old", {"text": SECRET}, summary=SECRET)
        mutation.put("plan", "long", {"text": SECRET + "x" * 70_000})
    for number in range(2):
        for also in range(3):
            put(store, f"q{number}{also}", n=number)
        store.checkpoint()
    assert store.gc().moved
    with store.mutate(agent="test") as mutation:
        mutation.put("plan", "new", {"text": SECRET}, summary=SECRET)
    delete(store, "q00")
    return store


def secret_seqs(store: Store) -> list[int]:
    return [record.seq for record in store.log() if record.item_id in ("old", "long", "new")]


def redact(store: Store) -> None:
    with store.lock():
        plan = store.redaction.plan(secret_seqs(store), lambda seq: seq == 1)
        store.redaction.begin(plan, "a reason", "test")
        store.redaction.finish()
        store.redaction.done("feed")


def others(store: Store) -> dict[str, object]:
    """What must not change: all that is not redacted, and of the rest all but what it said."""
    found: dict[str, object] = {}
    for head in store.list(deleted=True):
        try:
            payload = None if head.deleted else store.get(head.item_type, head.item_id).payload
        except EntityRedacted:
            payload = None
        redacted = head.item_id in ("old", "long", "new")
        found[head.item_id] = (head.entity_rev, head.seq, head.c, head.version, None if redacted else payload)
    return found


def is_announced(store: Store) -> bool:
    return any(record.action == "redact" for record in store.log())


def check(store: Store, before: dict[str, object]) -> None:
    """Redacted wholly or not at all once the next command wrote; and wholly when it is done again."""
    assert others(store) == before
    put(store, "after")
    assert is_announced(store) == (files_with(store.folder, SECRET) == [])
    redact(store)
    assert files_with(store.folder, SECRET) == []
    assert is_announced(store)
    again = reopened(store)
    assert {key: value for key, value in others(again).items() if key != "after"} == before
    assert [finding for finding in again.verify().findings if finding.severity != "info"] == []
    drop_index(again)
    rebuilt = reopened(again)
    rebuilt.rebuild()
    assert {key: value for key, value in others(rebuilt).items() if key != "after"} == before
    assert files_with(rebuilt.folder, SECRET) == []


@pytest.mark.parametrize("kills", [True, False])
@pytest.mark.parametrize("share", ["none", "half", "all"])
def test_a_fault_at_any_call_leaves_a_redaction_that_can_be_ended(tmp_path: Path, share: Share, kills: bool) -> None:
    """[J16]: failed or killed, at each call, having done none, half or all of it."""
    counting = CountingDisk()
    redact(reopened(prepared(tmp_path / "counted"), disk=counting))
    calls = counting.numbers(share)
    assert len(calls) > 15
    announced = 0
    for at in calls if DEEP else calls[int(kills) :: 2]:
        store = prepared(tmp_path / f"at{at}")
        before = others(store)
        struck = reopened(store, disk=FaultyDisk(at, share, kills=kills))
        try:
            redact(struck)
        except (Died, DiskFailed):
            pass
        struck.close()
        again = reopened(store)
        announced += is_announced(again)
        check(again, before)
    assert 0 < announced <= len(calls)


def test_what_is_redacted_does_not_come_back_after_a_power_cut(tmp_path: Path) -> None:
    """[J16]: of files and names only what was synced is left, and nothing of that has the text."""
    project = tmp_path / "project"
    project.mkdir()
    disk = PowerCutDisk(project)
    store = prepared(project)
    before = others(store)
    disk.sync_all()
    redact(reopened(store, disk=disk))
    left = tmp_path / "left"
    disk.cut(left)
    assert files_with(left, SECRET) == []
    again = Store.open(
        left, disk=QuickDisk(), machine=FixedMachine(left, boot_id="boot-2"), data_folder=store.data_folder
    )
    again.keep_identity()
    assert others(again) == before
    assert [finding for finding in again.verify().findings if finding.severity != "info"] == []
    disk.close()
