"""Index and projections: what can be deleted, what must not be ahead, and what they remember that the log lost."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
import tempfile
import warnings
from pathlib import Path

import pytest

from journal import DamagedStore, DiskFailed, LogShorterThanKnown, NoSuchEntity, Store, StoreLocked
from journal.projection import payload_digest
from tests.doubles.disks import CountingDisk, QuickDisk
from tests.doubles.stores import (
    delete,
    drop_index,
    new_store,
    projection,
    put,
    reopened,
    state,
    tail,
    tree,
)


def mark(store: Store) -> dict[str, object]:
    found: dict[str, object] = json.loads((store.folder / "projections.json").read_bytes())
    return found


def cut_to(store: Store, seq: int) -> None:
    """Shorten the log to its first records, as a restore from an old backup does."""
    path = tail(store)
    lines = path.read_bytes().split(b"\n")
    ends = [number for number, line in enumerate(lines) if f'"seq":{seq + 1},'.encode() in line]
    path.write_bytes(b"\n".join(lines[: ends[0] - 1]))


# --- what can be deleted [T1] ----------------------------------------------------------------------------------------


def test_without_its_index_a_store_gives_the_same_answers(store: Store) -> None:
    """[J11] [T1]"""
    put(store, "p1", "p2")
    put(store, "p1", n=2)
    delete(store, "p2")
    before, position = state(store), store.position()
    drop_index(store)
    again = reopened(store)
    assert state(again) == before
    assert again.position() == position
    assert again.stale is None


def test_without_its_index_a_store_goes_on_writing(store: Store) -> None:
    """[J3] [J10] [T1]: revs and spellings come from the log."""
    put(store, "p1", "Other")
    delete(store, "p1")
    drop_index(store)
    again = reopened(store)
    put(again, "p1")
    assert again.get("plan", "p1").head[2:4] == (3, 4)
    drop_index(again)
    with pytest.raises(Exception, match="only in case"):
        put(reopened(again), "other")


@pytest.mark.parametrize("content", [b"", b"no database", b"\0" * 8192, b"SQLite format 3\0" + b"x" * 4096])
def test_an_unreadable_index_is_built_again(store: Store, content: bytes) -> None:
    """[J11] [T1]"""
    put(store, "p1")
    drop_index(store)
    (store.folder / "index.sqlite3").write_bytes(content)
    again = reopened(store)
    assert [head.item_id for head in again.list()] == ["p1"]
    put(again, "p1")
    assert again.last_commit.cache_problem is None
    assert again.get("plan", "p1").head.entity_rev == 2


def test_an_index_with_damaged_pages_is_built_again(store: Store) -> None:
    """[J11] [T1]: found only when its rows are read."""
    for number in range(60):
        put(store, f"p{number}", text="x" * 200)
    store.close()
    path = store.folder / "index.sqlite3"
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    path.write_bytes(data)
    again = reopened(store)
    assert len(again.list()) == 60
    put(again, "p1")
    assert reopened(again).get("plan", "p1").head.entity_rev == 2


def test_an_index_of_another_layout_is_built_again(store: Store) -> None:
    """[J11] [J12]: a later program lays it out anew, and so do we."""
    put(store, "p1")
    store.close()
    with sqlite3.connect(store.folder / "index.sqlite3") as db:
        db.execute("PRAGMA user_version = 99999")
    db.close()
    assert [head.item_id for head in reopened(store).list()] == ["p1"]


def test_an_index_that_does_not_fit_the_log_is_built_again(store: Store, tmp_path: Path) -> None:
    """[J11]: a cache whose (seq, c) does not fit otherwise is dropped."""
    other = new_store(tmp_path / "other")
    put(store, "p1", n=1)
    put(other, "p1", n=2)
    put(other, "p2", n=2)
    shutil.copy(tail(other), tail(store))
    again = reopened(store)
    assert state(again) == {("plan", "p1"): (1, {"title": "p1", "n": 2}), ("plan", "p2"): (1, {"title": "p2", "n": 2})}
    assert json.loads(projection(again, "p1").read_bytes())["payload"]["n"] == 2
    assert again.verify().findings == []


def test_an_index_that_is_behind_replays_only_the_gap(store: Store) -> None:
    """[P1]"""
    for number in range(50):
        put(store, f"p{number}", text="x" * 1000)
    store.close()
    kept = store.folder / "kept"
    shutil.copy(store.folder / "index.sqlite3", kept)
    put(store, "late")
    store.close()
    shutil.copy(kept, store.folder / "index.sqlite3")
    disk = CountingDisk()
    again = reopened(store, disk=disk)
    assert again.list()[0].item_id == "late"
    assert disk.bytes_read < 8_000


def test_deleted_projections_are_written_again_by_rebuild(store: Store) -> None:
    """[T1]"""
    put(store, "p1", "p2")
    delete(store, "p2")
    before = tree(store.folder / "entities")
    shutil.rmtree(store.folder / "entities")
    (store.folder / "projections.json").unlink()
    store.rebuild()
    assert tree(store.folder / "entities") == before
    assert state(store) == state(reopened(store))


def test_a_rebuild_takes_away_what_is_of_no_live_entity(store: Store) -> None:
    """[P3]: but not what it cannot read."""
    put(store, "p1", "gone")
    stray = projection(store, "gone")
    content = stray.read_bytes()
    delete(store, "gone")
    stray.write_bytes(content)
    foreign = projection(store, "mine")
    foreign.write_text("half a thought")
    (store.folder / "journal" / ".tmp-77-seg-00000009.jsonl").write_text("torn")
    store.rebuild()
    assert not stray.exists()
    assert foreign.read_text() == "half a thought"
    assert [path.name for path in (store.folder / "journal").iterdir()] == ["seg-00000001.jsonl"]


def test_all_caches_deleted_make_the_same_store(store: Store) -> None:
    """[T1]"""
    store.roll_bytes = 600
    for number in range(9):
        put(store, f"p{number % 4}", n=number)
    delete(store, "p3")
    before = state(store), tree(store.folder / "entities"), store.position()
    drop_index(store)
    shutil.rmtree(store.folder / "entities")
    (store.folder / "projections.json").unlink()
    again = reopened(store)
    again.refresh()
    assert (state(again), tree(again.folder / "entities"), again.position()) == before


# --- a log that lost records [J11] -----------------------------------------------------------------------------------


def test_a_truncated_log_is_not_written_to(store: Store) -> None:
    """[J11]"""
    for number in range(4):
        put(store, f"p{number}")
    cut_to(store, 2)
    before = tail(store).read_bytes()
    again = reopened(store)
    with pytest.raises(LogShorterThanKnown, match=r"the log ends at seq 2, but seq 4 was written \[J11\]") as caught:
        put(again, "p9")
    assert caught.value.seq == 4
    assert tail(store).read_bytes() == before


def test_reads_of_a_truncated_log_say_that_they_are_stale(store: Store) -> None:
    """[J11]"""
    for number in range(4):
        put(store, f"p{number}")
    cut_to(store, 2)
    again = reopened(store)
    again.list()
    assert again.stale is not None
    assert "the log ends at seq 2, but seq 4 was written" in again.stale
    assert again.get("plan", "p0").payload == {"title": "p0"}
    assert again.stale is not None


@pytest.mark.parametrize("witness", ["index.sqlite3", "projections.json", "local.json"])
def test_each_cache_alone_remembers_how_long_the_log_was(store: Store, witness: str) -> None:
    """[J11]"""
    for number in range(4):
        put(store, f"p{number}")
    store.update_local(published={"last_seq": 4, "gen": 1, "c": store.position().c.hex(), "t": ""})
    cut_to(store, 3)
    store.close()
    for name in ("index.sqlite3", "projections.json"):
        if name != witness:
            (store.folder / name).unlink()
    if witness != "local.json":
        store.update_local(published=None)
    again = reopened(store)
    with pytest.raises(LogShorterThanKnown, match="ends at seq 3"):
        put(again, "p9")
    with pytest.raises(LogShorterThanKnown, match="ends at seq 3"):
        again.rebuild()
    assert (store.folder / witness).exists(), "what remembers is not deleted"
    again.list()
    assert "seq 4 was written" in (again.stale or "")


def test_a_log_without_its_newest_segment_is_data_loss(store: Store) -> None:
    """[J11]"""
    store.roll_bytes = 500
    for number in range(6):
        put(store, f"p{number}")
    tail(store).unlink()
    again = reopened(store)
    with pytest.raises(LogShorterThanKnown):
        put(again, "p9")
    assert [head.item_id for head in again.list()][:2] == ["p0", "p1"]
    assert again.stale is not None


def test_a_log_without_its_first_segment_is_data_loss(store: Store) -> None:
    """[J11]: reading does not begin in the middle as if nothing had been before."""
    store.roll_bytes = 500
    for number in range(6):
        put(store, f"p{number}")
    (store.folder / "journal" / "seg-00000001.jsonl").unlink()
    drop_index(store)
    again = reopened(store)
    with pytest.raises(DamagedStore, match=r"the log begins at seq \d"):
        again.list()
    with pytest.raises(DamagedStore, match=r"the log begins at seq \d"):
        put(again, "p9")


def test_a_store_without_any_segment_is_not_empty(store: Store) -> None:
    """[J11]: unreadable is never empty, and a store never begins again at seq 1."""
    put(store, "p1")
    tail(store).unlink()
    for index_is_there in (True, False):
        if not index_is_there:
            drop_index(store)
        again = reopened(store)
        with pytest.raises(DamagedStore):
            put(again, "p2")
        with pytest.raises(DamagedStore):
            again.get("plan", "p1")
    shutil.rmtree(store.folder / "journal")
    with pytest.raises(DamagedStore, match="no segment is left"):
        reopened(store).list()


def test_damage_in_the_middle_is_told_by_every_read(store: Store) -> None:
    """[J7]: corruption is never silent."""
    for number in range(5):
        put(store, f"p{number}")
    path = tail(store)
    path.write_bytes(path.read_bytes().replace(b'"title":"p1"', b'"title":"xx"'))
    drop_index(store)
    again = reopened(store)
    assert [head.item_id for head in again.list()] == ["p0", "p2", "p3", "p4"]
    assert "are damaged, records are missing [J7]" in (again.stale or "")
    put(again, "p9")
    assert again.get("plan", "p9").head.seq == 6


# --- projections -----------------------------------------------------------------------------------------------------


def test_a_projection_says_what_the_log_says(store: Store) -> None:
    put(store, "p1", n=1)
    found = json.loads(projection(store, "p1").read_bytes())
    head = store.get("plan", "p1").head
    assert found == {
        "item_type": "plan",
        "item_id": "p1",
        "entity_rev": 1,
        "seq": 1,
        "version": str(head.version),
        "context": {store.origin: 1},
        "claims": {},
        "payload": {"title": "p1", "n": 1},
        "payload_digest": payload_digest({"n": 1, "title": "p1"}),
    }
    assert mark(store) == {"applied_seq": 1, "synced_seq": 0, "boot_id": "boot-1"}


def test_a_projection_goes_with_its_entity(store: Store) -> None:
    put(store, "p1")
    delete(store, "p1")
    assert not projection(store, "p1").exists()


def test_a_projection_with_equal_bytes_is_not_written_again(store: Store) -> None:
    """[P1]"""
    put(store, "p1", "p2")
    (store.folder / "projections.json").unlink()
    disk = CountingDisk()
    again = reopened(store, disk=disk)
    again.refresh()
    assert [path.name for path in disk.written] == ["projections.json"]
    assert mark(again)["applied_seq"] == 2


def test_only_the_projections_that_changed_are_written(store: Store) -> None:
    """[P1]"""
    put(store, "p1", "p2", "p3")
    disk = CountingDisk()
    again = reopened(store, disk=disk)
    put(again, "p2", n=1)
    assert [path.name for path in disk.written] == ["p2.json", "projections.json"]


def test_the_watermark_is_written_after_the_files_it_speaks_of(store: Store) -> None:
    """[P1]: never ahead of the log."""

    class Refuses(QuickDisk):
        def _rename(self, source: Path, target: Path) -> None:
            if target.name == "p2.json":
                raise OSError(28, "no space")
            super()._rename(source, target)

    put(store, "p1")
    again = reopened(store, disk=Refuses())
    put(again, "p2")
    assert again.last_commit.written[0].seq == 2
    assert "no space" in (again.last_commit.cache_problem or "")
    assert mark(store)["applied_seq"] == 1
    put(again, "p3")
    assert "no space" in (again.last_commit.cache_problem or ""), "the gap is tried again, not forgotten"
    assert mark(store)["applied_seq"] == 1
    after = reopened(again)
    after.refresh()
    assert projection(after, "p2").exists()
    assert projection(after, "p3").exists()
    assert mark(after)["applied_seq"] == 3


def test_a_projection_is_never_put_back_to_an_older_rev(store: Store) -> None:
    """[P2]"""
    put(store, "p1")
    path = projection(store, "p1")
    newer = json.loads(path.read_bytes()) | {"entity_rev": 9, "seq": 90, "version": f"{store.origin}@90#{'9' * 12}"}
    path.write_text(json.dumps(newer))
    (store.folder / "projections.json").unlink()
    again = reopened(store)
    again.refresh()
    assert json.loads(path.read_bytes())["entity_rev"] == 9
    delete(again, "p1")
    assert json.loads(path.read_bytes())["entity_rev"] == 9
    again.rebuild()
    assert path.exists(), "it may be all that is left of what it speaks of"
    assert [finding.id for finding in again.verify().findings] == ["log-too-short"]


def test_a_projection_that_cannot_be_parsed_is_flagged_and_never_unlinked(store: Store) -> None:
    """[P3]"""
    put(store, "p1", "p2")
    projection(store, "p1").write_text("{ half edited")
    projection(store, "p2").write_text("{ half edited too")
    flagged = [(finding.severity, finding.message, finding.path) for finding in store.verify().findings]
    assert flagged == [
        ("warning", "the projection cannot be parsed [P3]", str(projection(store, item_id))) for item_id in ("p1", "p2")
    ]
    delete(store, "p1")
    assert projection(store, "p1").read_text() == "{ half edited"
    put(store, "p2")
    aside = projection(store, "p2").with_name("p2.json.unreadable-4")
    assert aside.read_text() == "{ half edited too"
    assert json.loads(projection(store, "p2").read_bytes())["seq"] == 4
    store.rebuild()
    assert (projection(store, "p1").exists(), aside.exists()) == (True, True)
    assert [finding.severity for finding in store.verify().findings] == ["warning", "warning"]


def test_after_a_reboot_lost_projections_are_written_again_from_the_synced_point(store: Store) -> None:
    """[P4]: a watermark may outlive the file it speaks of."""
    store.roll_bytes = 1_000
    for number in range(5):
        put(store, f"p{number}")
    synced = mark(store)["synced_seq"]
    assert isinstance(synced, int)
    assert 0 < synced < 5
    before = tree(store.folder / "entities")
    (store.folder / "entities" / "plan" / f"p{synced}.json").write_bytes(b"")  # seq synced + 1
    (store.folder / "entities" / "plan" / "p4.json").unlink()
    same_boot = reopened(store)
    same_boot.refresh()
    assert tree(store.folder / "entities") != before
    disk = CountingDisk()
    rebooted = reopened(same_boot, disk=disk, boot_id="boot-2")
    rebooted.refresh()
    assert tree(store.folder / "entities") == before
    assert [path.name for path in disk.written] == [f"p{synced}.json", "p4.json", "projections.json"]
    assert mark(rebooted) == {"applied_seq": 5, "synced_seq": synced, "boot_id": "boot-2"}


def test_a_deletion_that_a_reboot_took_back_is_done_again(store: Store) -> None:
    """[P4]"""
    put(store, "p1")
    content = projection(store, "p1").read_bytes()
    delete(store, "p1")
    projection(store, "p1").write_bytes(content)
    reopened(store, boot_id="boot-2").refresh()
    assert not projection(store, "p1").exists()


def test_a_write_after_a_reboot_looks_at_the_files_first(store: Store) -> None:
    """[P4]"""
    put(store, "p1", "p2")
    projection(store, "p1").unlink()
    put(reopened(store, boot_id="boot-2"), "p3")
    assert projection(store, "p1").exists()
    assert mark(store) == {"applied_seq": 3, "synced_seq": 0, "boot_id": "boot-2"}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"applied_seq":"x"}', b"\xff"])
def test_an_unreadable_watermark_means_that_nothing_was_applied(store: Store, content: bytes) -> None:
    """[P1]"""
    put(store, "p1")
    projection(store, "p1").unlink()
    (store.folder / "projections.json").write_bytes(content)
    reopened(store).refresh()
    assert projection(store, "p1").exists()


# --- when caches cannot be written -----------------------------------------------------------------------------------


def test_a_failing_index_does_not_make_a_durable_mutation_fail(store: Store) -> None:
    """After the fsync the records are there; only the cache is behind."""
    put(store, "p1")
    store.close()
    with sqlite3.connect(store.folder / "index.sqlite3") as db:
        db.execute("CREATE TRIGGER full BEFORE INSERT ON entities BEGIN SELECT RAISE(ABORT, 'it is full'); END")
    db.close()
    put(store, "p2")
    assert [item.seq for item in store.last_commit.written] == [2]
    assert "it is full" in str(store.last_commit.cache_problem)
    assert [head.item_id for head in store.list()] == ["p1", "p2"]
    put(store, "p2")
    assert store.get("plan", "p2").head.entity_rev == 2
    assert store.last_commit == store.last_commit._replace(cache_problem=None)


def test_a_store_whose_index_cannot_be_opened_reads_and_writes_all_the_same(store: Store) -> None:
    """[J3]: its revs come from the log."""
    put(store, "p1")
    drop_index(store)
    (store.folder / "index.sqlite3").mkdir()
    again = reopened(store)
    assert [head.item_id for head in again.list()] == ["p1"]
    assert again.stale is None
    put(again, "p1", n=2)
    assert again.last_commit.written[0].entity_rev == 2
    assert "index" in (again.last_commit.cache_problem or "")
    assert again.get("plan", "p1").payload == {"title": "p1", "n": 2}
    with pytest.raises(DiskFailed):
        again.rebuild()
    (store.folder / "index.sqlite3").rmdir()
    put(again, "p1", n=3)
    written, problem = again.last_commit
    assert written[0].entity_rev == 3
    assert not problem


class NoLock(QuickDisk):
    """A disk that gives no lock: a folder one may not write to."""

    def lock(self, path: Path, timeout_seconds: float):  # type: ignore[no-untyped-def]
        raise DiskFailed("cannot lock: read-only file system", path=path, rule="J9")


def test_a_store_one_may_not_write_to_can_be_read(store: Store) -> None:
    put(store, "p1", "p2")
    again = reopened(store, disk=NoLock())
    assert state(again) == state(store)
    assert again.stale is None


def test_a_store_one_may_not_write_to_says_what_it_lacks_when_its_index_is_behind(store: Store) -> None:
    put(store, "p1")
    kept = (store.folder / "index.sqlite3").with_name("kept")
    store.close()
    shutil.copy(store.folder / "index.sqlite3", kept)
    put(store, "p2")
    drop_index(store)
    shutil.copy(kept, store.folder / "index.sqlite3")
    again = reopened(store, disk=NoLock())
    assert [head.item_id for head in again.list()] == ["p1"]
    assert "cannot lock" in (again.stale or "")
    (store.folder / "index.sqlite3").unlink()
    again = reopened(store, disk=NoLock())
    assert [head.item_id for head in again.list()] == ["p1", "p2"], "without an index the log itself is read"
    assert again.stale is None


class Busy(QuickDisk):
    """A disk whose lock somebody else holds."""

    def lock(self, path: Path, timeout_seconds: float):  # type: ignore[no-untyped-def]
        raise StoreLocked("held", path=path, rule="J9")


def test_while_another_writes_reads_are_stale_and_say_so(store: Store) -> None:
    """[J9]: a reader rather serves what it has than waits."""
    put(store, "p1")
    again = reopened(store, disk=Busy())
    assert [head.item_id for head in again.list()] == ["p1"]
    assert again.stale is None
    behind = (store.folder / "index.sqlite3").read_bytes()
    put(store, "p2")
    put(store, "c1", item_type="claim")
    drop_index(store)
    (store.folder / "index.sqlite3").write_bytes(behind)
    again = reopened(store, disk=Busy())
    assert [head.item_id for head in again.list("plan")] == ["p1"]
    assert again.stale == "another process is writing"
    assert [record.seq for record in again.log()] == [1, 2, 3]


def test_while_another_writes_execution_types_are_read_through_the_log(store: Store) -> None:
    """A claim is about this moment: a stale one is no answer."""
    put(store, "c1", item_type="claim", n=1)
    store.close()
    behind = (store.folder / "index.sqlite3").read_bytes()
    put(store, "c1", item_type="claim", n=2)
    put(store, "c2", item_type="claim")
    drop_index(store)
    (store.folder / "index.sqlite3").write_bytes(behind)
    again = reopened(store, disk=Busy())
    assert again.get("claim", "c1").payload["n"] == 2
    assert [head.item_id for head in again.list("claim")] == ["c1", "c2"]
    assert again.stale == "another process is writing"


def test_while_the_first_index_is_built_by_another_the_log_itself_is_read(store: Store) -> None:
    """[J11]: an index that was never filled is not an empty store."""
    put(store, "p1")
    drop_index(store)
    again = reopened(store, disk=Busy())
    assert [head.item_id for head in again.list()] == ["p1"]
    assert again.head("plan", "p1") is not None
    with pytest.raises(NoSuchEntity):
        again.get("plan", "p2")


def read_as_nobody(store: Store) -> int:
    """Exit code of a child without the rights of root: 0 when it could read the store."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the child touches nothing that threads may hold
        pid = os.fork()
    if pid == 0:
        try:
            os.setgid(65534)
            os.setuid(65534)
            found = Store.open(store.folder, data_folder=store.data_folder, lock_timeout=0.1)
            os._exit(0 if found.get("plan", "p1").payload == {"title": "p1"} and found.stale is None else 1)
        except BaseException:  # noqa: BLE001 (nothing of the test may go on in the child)
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.skipif(os.geteuid() != 0, reason="the test below does the same as the user it runs as")
def test_a_read_only_folder_is_read_without_the_rights_of_root() -> None:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to others
        Path(folder).chmod(0o755)
        store = new_store(Path(folder) / "project")
        put(store, "p1")
        store.close()
        for path in [store.folder.parent, *store.folder.parent.rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)
        assert read_as_nobody(store) == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere; the test above leaves its rights behind")
def test_a_read_only_folder_is_read(store: Store) -> None:
    put(store, "p1")
    store.close()
    folders = [store.folder, *(path for path in store.folder.rglob("*") if path.is_dir())]
    for path in folders:
        path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        found = Store.open(store.folder, data_folder=store.data_folder, lock_timeout=0.1)
        assert found.get("plan", "p1").payload == {"title": "p1"}
        assert found.stale is None
        found.close()
    finally:
        for path in folders:
            path.chmod(0o700)
