"""What verify finds, and that it changes nothing."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import msgspec
import pytest

from journal import Disk, Draft, Finding, Record, Report, Store
from journal.codec import encode_record
from journal.findings import Findings
from tests.doubles.disks import CountingDisk
from tests.doubles.stores import delete, drop_index, new_store, projection, put, reopened, tail, tree


def filled(store: Store, *, roll_bytes: int = 700) -> Store:
    store.roll_bytes = roll_bytes
    for number in range(6):
        put(store, f"p{number % 4}", f"q{number}", n=number)
    delete(store, "p3")
    return store


def found(store: Store) -> list[tuple[str, str]]:
    return [(finding.severity, finding.id) for finding in store.verify().findings]


def only(store: Store, kind: str) -> Finding:
    findings = [finding for finding in store.verify().findings if finding.id == kind]
    assert len(findings) == 1, findings
    return findings[0]


def replace(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert data.count(old) >= 1
    path.write_bytes(data.replace(old, new, 1))


def append(store: Store, *records: Record) -> None:
    """Write records behind the log as another program might: well chained, and not checked."""
    c = store.position().c
    with tail(store).open("ab") as file:
        for record in records:
            line, c = encode_record(record, c)
            file.write(b"\n" + line + b"\n")


def record(seq: int, **values: object) -> Record:
    usual = {"v": 2, "seq": seq, "action": "create", "item_type": "plan", "item_id": f"x{seq}", "entity_rev": 1}
    return msgspec.json.decode(json.dumps(usual | {"payload": {}} | values), type=Record)


# --- sound stores ----------------------------------------------------------------------------------------------------


def test_a_sound_store_has_no_findings(store: Store) -> None:
    report = filled(store).verify()
    assert report == Report([], 13, 13)
    assert report.ok


def test_verifying_changes_no_byte(store: Store) -> None:
    """Read-only: it does not even heal."""
    filled(store)
    with tail(store).open("ab") as file:
        file.write(b"\ntorn")
    projection(store, "p1").write_text("{")
    replace(store.folder / "journal" / "seg-00000001.jsonl", b'"n":0', b'"n":9')
    for prepare in ("in use", "closed", "without an index"):
        if prepare == "closed":
            store.close()
        elif prepare == "without an index":
            drop_index(store)
        before = tree(store.folder)
        assert not store.verify().ok
        assert tree(store.folder) == before


def test_verifying_writes_nothing_through_the_disk(store: Store) -> None:
    filled(store)
    disk = CountingDisk()
    again = reopened(store, disk=disk)
    assert again.verify().ok
    assert set(disk.calls) == {"read"}


def test_verifying_does_not_wait_for_a_writer(store: Store) -> None:
    filled(store)
    other = Store.open(store.folder, machine=store.machine, data_folder=store.data_folder, lock_timeout=0)
    with store.lock():
        assert other.verify().findings == []


def test_what_others_write_meanwhile_is_not_looked_at(store: Store) -> None:
    """A report speaks of the moment it began."""
    filled(store)

    class Writing(Disk):
        """Another process writes as soon as the projections are looked at."""

        wrote = 0

        def read_if_there(self, path: Path, start: int = 0, size: int = -1) -> bytes | None:
            if path.parent.name == "plan" and self.wrote < 3:
                self.wrote += 1
                put(store, "p1", path.stem, n=100 + self.wrote)
                delete(store, "p2" if self.wrote == 1 else f"q{self.wrote}")
                put(store, f"new{self.wrote}")
            return super().read_if_there(path, start, size)

    disk = Writing()
    report = Store.open(store.folder, machine=store.machine, data_folder=store.data_folder, disk=disk).verify()
    assert disk.wrote == 3
    assert report == Report([], 13, 13)


def test_a_report_is_bounded_whatever_the_damage() -> None:
    findings = Findings()
    for number in range(2_500):
        findings.add("seq-not-dense", "error", f"seq {number}")
    assert len(findings.all()) == 1_001
    assert findings.all()[-1].message == "1500 more of this kind"


def test_a_finding_says_where_and_what() -> None:
    finding = Finding("seq-not-dense", "error", "seq 19, expected 18 [J1]", "journal/seg-00000001.jsonl", 7, 19)
    assert str(finding) == "journal/seg-00000001.jsonl:7: seq 19, expected 18 [J1]"


# --- the log ---------------------------------------------------------------------------------------------------------


def test_corruption_is_an_error_with_its_line_and_seq(store: Store) -> None:
    """[J4] [J7]"""
    filled(store, roll_bytes=10_000)
    path = tail(store)
    lines = path.read_bytes().split(b"\n")
    number = next(at for at, line in enumerate(lines) if b'"seq":4,' in line)
    replace(path, b'"seq":4,', b'"seq":5,')
    finding = only(store, "corruption")
    assert (finding.severity, finding.path, finding.line, finding.seq) == ("error", str(path), number + 1, 4)
    assert "records behind seq 3 are lost [J7]" in finding.message
    assert not store.verify().ok


def test_what_follows_from_damage_is_told_less_loudly(store: Store) -> None:
    """[J3]: a rev that jumps after a break is a warning."""
    filled(store, roll_bytes=10_000)
    path = tail(store)
    line = next(line for line in path.read_bytes().split(b"\n") if b'"seq":1,' in line)
    replace(path, line, b"x" * len(line))
    drop_index(store)
    severities = dict(reversed(found(store)))
    assert (severities["error"], severities["warning"]) == ("corruption", "rev-jump")
    assert only(store, "rev-jump").message == "rev 2 of plan/p0, expected 1 [J3]"


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        (b'"first_seq":3', b'"first_seq":4', "first_seq 4 in seg-00000003.jsonl [J8]"),
        (b'"origin_store_id":"es1', b'"origin_store_id":"es2', "which this store never had [I1]"),
        (b'"prev_c":"', b'"prev_c":"00', "does not go on from seq 2"),
    ],
)
def test_a_header_that_does_not_follow_is_an_error(store: Store, old: bytes, new: bytes, what: str) -> None:
    """[J8]"""
    filled(store)
    path = store.folder / "journal" / "seg-00000003.jsonl"
    data = path.read_bytes()
    at = data.index(old)
    path.write_bytes(data[:at] + new + data[at + len(new) :])
    findings = [finding for finding in store.verify().findings if finding.id == "segment-header"]
    assert [(item.severity, item.path, item.line) for item in findings[:1]] == [("error", str(path), 1)]
    assert what in " ".join(item.message for item in findings)


@pytest.mark.parametrize("content", [b"", b"{}\n", b"no newline", b"\xff\n"])
def test_a_segment_without_a_header_is_an_error_and_the_others_are_looked_at(store: Store, content: bytes) -> None:
    """[J8]"""
    filled(store)
    (store.folder / "journal" / "seg-00000003.jsonl").write_bytes(content)
    report = store.verify()
    assert [finding.id for finding in report.findings][:2] == ["segment-unreadable", "segment-header"]
    assert report.last_seq == 13


def test_a_lost_segment_is_an_error(store: Store) -> None:
    """[J8] [J11]"""
    filled(store)
    (store.folder / "journal" / "seg-00000003.jsonl").unlink()
    assert "does not go on from seq 2" in only(store, "segment-header").message


def test_a_lost_first_segment_is_an_error(store: Store) -> None:
    """[J11]"""
    filled(store)
    (store.folder / "journal" / "seg-00000001.jsonl").unlink()
    assert "older records are gone [J11]" in only(store, "segment-header").message


def test_a_chain_that_does_not_begin_with_the_origin_is_an_error(store: Store) -> None:
    """[J4]"""
    header = json.loads(tail(store).read_bytes())
    replace(tail(store), header["segment"]["prev_c"].encode(), b"0" * 64)
    assert "does not begin with the first origin [J4]" in only(store, "segment-header").message


def test_a_seq_that_is_missing_is_an_error(store: Store) -> None:
    """[J1]: dense."""
    put(store, "p1")
    append(store, record(3), record(3, item_id="y"), record(2, item_id="z"))
    messages = [finding.message for finding in store.verify().findings if finding.id == "seq-not-dense"]
    assert messages == ["seq 3, expected 2 [J1]", "seq 3, expected 4 [J1]", "seq 2, expected 4 [J1]"]


def test_seqs_that_a_note_names_as_torn_are_not_missing(store: Store) -> None:
    """[J1] [J7]"""
    put(store, "p1")
    note = {"kind": "torn_tail", "ranges": [], "torn": [2, 4]}
    append(store, record(5, action="journal_note", item_type="journal", item_id=None, entity_rev=None, payload=note))
    assert [item for item in found(store) if item[0] == "error"] == []
    other = new_store(store.folder.parent.parent / "other")
    put(other, "p1")
    append(other, record(6, action="journal_note", item_type="journal", item_id=None, entity_rev=None, payload=note))
    assert only(other, "seq-not-dense").message == "seq 6, expected 2 [J1]"


def test_a_torn_tail_is_told_and_no_error(store: Store) -> None:
    """[J7]"""
    put(store, "p1")
    start = tail(store).stat().st_size
    with tail(store).open("ab") as file:
        file.write(b'\n{"v":2,"seq":2,"ts"')
    finding = only(store, "torn-tail")
    assert (finding.severity, finding.line, finding.seq) == ("info", 5, 1)
    assert finding.message == f"bytes {start + 1} to {start + 20} are a torn tail, not named yet [J7]"
    put(store, "p2")
    assert only(store, "torn-tail").message.endswith("are a torn tail, named by seq 3 [J7]")
    assert store.verify().ok


def test_a_batch_that_is_not_all_there_is_told(store: Store) -> None:
    """[J6]"""
    put(store, "p1")
    append(store, *(record(n, batch=[n - 1, 5]) for n in (2, 3)))
    put(reopened(store), "p2")
    finding = only(store, "void-batch")
    assert (finding.severity, finding.seq, finding.line) == ("info", 2, 5)
    assert finding.message == "records 2 to 3 are part of a batch that is not all there, and do not count [J6]"
    append(reopened(store), *(record(n, batch=[n - 4, 3]) for n in (5, 6)))
    again = reopened(store)
    put(again, "p3", "p4")
    seqs = [item.message[:14] for item in again.verify().findings if item.id == "void-batch"]
    assert seqs == ["records 2 to 3", "records 5 to 6"]


def test_a_rev_that_jumps_is_an_error(store: Store) -> None:
    """[J3]"""
    put(store, "p1")
    append(store, record(2, item_id="p1", entity_rev=3), record(3, item_id="p1", entity_rev=4))
    assert only(store, "rev-jump").message == "rev 3 of plan/p1, expected 2 [J3]"
    assert only(store, "rev-jump").severity == "error"


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ({"entity_rev": None}, "record-incomplete"),
        ({"item_id": None}, "record-incomplete"),
        ({"root": "nonsense"}, "record-unreadable"),
    ],
)
def test_a_record_that_lacks_what_it_needs_is_an_error(store: Store, values: dict[str, object], kind: str) -> None:
    """[J2] [K1]"""
    put(store, "p1")
    append(store, record(2, **values))
    finding = only(store, kind)
    assert (finding.severity, finding.line, finding.seq) == ("error", 5, 2)


def test_a_chained_line_that_is_no_record_is_an_error_and_reading_goes_on(store: Store) -> None:
    """[J2]"""
    from journal.codec import seal

    put(store, "p1")
    line, c = seal(store.position().c, b'{"v":2,"seq":2,"ts":7')
    after, _ = encode_record(record(3), c)
    with tail(store).open("ab") as file:
        file.write(b"\n" + line + b"\n\n" + after + b"\n")
    report = store.verify()
    finding = only(store, "record-unreadable")
    assert (finding.severity, finding.line, finding.seq) == ("error", 5, 2)
    assert report.last_seq == 3
    assert "seq-not-dense" not in {item.id for item in report.findings}


def test_a_format_that_is_too_new_is_an_error_and_the_end_of_the_check(store: Store) -> None:
    """[J12]"""
    put(store, "p1")
    append(store, record(2, v=3), record(3))
    finding = only(store, "format-too-new")
    assert (finding.severity, finding.line, finding.path) == ("error", 5, str(tail(store)))
    assert finding.message == "record format v3, known is v2 [J12]"
    assert [item.id for item in store.verify().findings] == ["format-too-new"]
    replace(tail(store), b'"format":1', b'"format":2')
    assert [item.message for item in store.verify().findings] == ["segment format 2 (v2) [J12]"]


def test_files_that_are_no_segments_are_told(store: Store) -> None:
    """[J8]"""
    folder = store.folder / "journal"
    (folder / ".tmp-9-seg-00000002.jsonl").write_text("")
    (folder / "seg-00000001.sync-conflict-2026.jsonl").write_text("")
    assert [(item.severity, item.fixable) for item in store.verify().findings] == [("info", True), ("info", False)]


# --- what others remember [J11] --------------------------------------------------------------------------------------


@pytest.mark.parametrize("witness", ["index.sqlite3", "projections.json", "local.json"])
def test_a_log_shorter_than_anything_remembers_is_an_error(store: Store, witness: str) -> None:
    """[J11]"""
    put(store, "p1")
    length = tail(store).stat().st_size
    put(store, "p2")
    store.update_local(published={"last_seq": 2})
    store.close()
    shutil.rmtree(store.folder / "entities")
    for name in {"index.sqlite3", "projections.json"} - {witness}:
        (store.folder / name).unlink()
    if witness != "local.json":
        store.update_local(published=None)
    tail(store).write_bytes(tail(store).read_bytes()[:length])
    finding = only(store, "log-too-short")
    assert (finding.severity, finding.seq) == ("error", 2)
    assert finding.message.startswith("the log ends at seq 1, but the ")
    assert finding.message.endswith("remembers seq 2 [J11]")


def test_a_projection_of_a_record_the_log_lost_is_an_error(store: Store) -> None:
    """[J11]"""
    put(store, "p1")
    length = tail(store).stat().st_size
    put(store, "p2")
    drop_index(store)
    (store.folder / "projections.json").unlink()
    tail(store).write_bytes(tail(store).read_bytes()[:length])
    finding = only(store, "log-too-short")
    assert (finding.severity, finding.path, finding.seq) == ("error", str(projection(store, "p2")), 2)


def test_another_record_than_the_published_one_is_an_error(store: Store) -> None:
    """[J11]: the log was put back and went on differently."""
    put(store, "p1")
    store.update_local(published={"last_seq": 1, "c": "00" * 32})
    assert only(store, "published-differs").severity == "error"
    store.update_local(published={"last_seq": 1, "c": store.position().c.hex()})
    assert store.verify().findings == []


def test_a_store_without_a_segment_is_an_error(store: Store) -> None:
    """[J11]"""
    put(store, "p1")
    tail(store).unlink()
    report = store.verify()
    assert not report.ok
    assert "no segment is left [J11]" in [finding.message for finding in report.findings]


# --- identity --------------------------------------------------------------------------------------------------------


def test_an_origin_that_is_not_of_the_key_is_an_error(store: Store) -> None:
    """[I1]"""
    path = store.folder / "store.json"
    path.write_text(path.read_text().replace('"A6EHv', '"B6EHv'))
    assert only(reopened(store), "identity").message.endswith("is not the one of the public key [I1]")


def test_an_unreadable_memory_of_the_place_is_an_error(store: Store) -> None:
    """[I2]"""
    (store.folder / "local.json").write_text("{")
    assert only(store, "identity").message == "not JSON [I2]"


# --- caches ----------------------------------------------------------------------------------------------------------


def test_an_index_that_lies_is_an_error_that_can_be_fixed(store: Store) -> None:
    """[P1]"""
    filled(store)
    store.close()
    with sqlite3.connect(store.folder / "index.sqlite3") as db:
        db.execute("UPDATE entities SET entity_rev = 7 WHERE item_id = 'p1'")
        db.execute("DELETE FROM entities WHERE item_id = 'q1'")
        db.execute(
            "INSERT INTO entities SELECT item_type, 'zz', 'zz', 1, 1, c, origin, 1, version_digest, context, "
            "claims, 0, 0, NULL, segment, offset, length FROM entities WHERE item_id = 'p1'"
        )
    db.close()
    findings = [item for item in store.verify().findings if item.id == "index-differs"]
    assert {(item.severity, item.fixable) for item in findings} == {("error", True)}
    assert [item.message for item in findings] == [
        "the index has plan/p1 rev 7 at seq 11, the log plan/p1 rev 2 at seq 11 [P1]",
        "the index has no such entity, the log plan/q1 rev 1 at seq 4 [P1]",
        "the index has plan/zz rev 1 at seq 1, the log no such entity [P1]",
    ]
    store.rebuild()
    assert store.verify().findings == []


def test_an_index_that_is_behind_is_told_and_no_error(store: Store) -> None:
    """[P1]"""
    put(store, "p1", "p2")
    store.close()
    behind = (store.folder / "index.sqlite3").read_bytes()
    put(store, "p1", "p3")
    drop_index(store)
    (store.folder / "index.sqlite3").write_bytes(behind)
    assert found(store) == [("info", "index-behind")]
    assert only(store, "index-behind").message == "the index is at seq 2, the log at seq 4 [P1]"


@pytest.mark.parametrize("content", [b"no database", b"SQLite format 3\0" + b"x" * 4096])
def test_an_index_that_cannot_be_read_is_a_warning(store: Store, content: bytes) -> None:
    """[T1]: the next command builds it again."""
    put(store, "p1")
    drop_index(store)
    (store.folder / "index.sqlite3").write_bytes(content)
    assert [(item.severity, item.id, item.fixable) for item in store.verify().findings] == [
        ("warning", "index-unreadable", True)
    ]
    assert (store.folder / "index.sqlite3").read_bytes() == content


def test_no_index_and_no_projections_are_no_finding_but_that_they_are_behind(store: Store) -> None:
    """[T1]: caches can be deleted."""
    put(store, "p1")
    drop_index(store)
    assert found(store) == []
    shutil.rmtree(store.folder / "entities")
    (store.folder / "projections.json").unlink()
    assert found(store) == [("info", "projections-behind")]


def test_an_index_of_another_log_is_a_warning(store: Store) -> None:
    """[J11]: it will be dropped."""
    other = new_store(store.folder.parent.parent / "other")
    put(other, "p1", n=2)
    put(store, "p1", n=1)
    other.close()
    drop_index(store)
    shutil.copy(other.folder / "index.sqlite3", store.folder / "index.sqlite3")
    assert found(store) == [("warning", "index-differs")]


def test_projections_that_drifted_are_warnings_that_can_be_fixed(store: Store) -> None:
    """[P1] [P2] [P3]"""
    filled(store)
    replace(projection(store, "p1"), b'"n": 5', b'"n": 6')
    projection(store, "q2").unlink()
    projection(store, "q3").write_text("{")
    shutil.copy(projection(store, "q4"), projection(store, "stranger"))
    findings = {
        Path(item.path or "").name: (item.severity, item.message, item.fixable) for item in store.verify().findings
    }
    assert findings == {
        "p1.json": ("warning", "the projection is not what the log says [P1]", True),
        "q2.json": ("warning", "the projection is missing [P1]", True),
        "q3.json": ("warning", "the projection cannot be parsed [P3]", True),
        "stranger.json": ("warning", "a projection of no live entity [P1]", True),
    }
    assert store.verify().ok
    store.rebuild()
    left = store.verify().findings
    assert [Path(item.path or "").name for item in left] == ["q3.json.unreadable-8"]


def test_files_with_odd_names_among_the_projections_do_no_harm(store: Store) -> None:
    put(store, "p1")
    folder = projection(store, "p1").parent
    for name in (b"\xff\xfe.json", "ä.json".encode(), b"a b.json", b".hidden.json"):
        Path(f"{folder}/{name.decode('utf-8', 'surrogateescape')}").write_bytes(b"{}")
    (store.folder / "entities" / "notes.txt").write_text("mine")
    assert [item.message for item in store.verify().findings] == ["the projection cannot be parsed [P3]"] * 3


# --- bounds ----------------------------------------------------------------------------------------------------------


def test_a_log_is_read_once_segment_by_segment(store: Store) -> None:
    """Memory is bounded by one segment: no read is longer than one."""
    filled(store)
    sizes = [path.stat().st_size for path in (store.folder / "journal").glob("seg-*")]

    class Measuring(Disk):
        longest = 0

        def _read(self, descriptor: int, size: int, start: int) -> bytes:
            data = super()._read(descriptor, size, start)
            Measuring.longest = max(Measuring.longest, len(data))
            return data

    assert reopened(store, disk=Measuring()).verify().ok
    assert 0 < Measuring.longest <= max(sizes)


def test_a_decision_has_no_rev_and_is_sound(store: Store) -> None:
    """[J2]"""
    with store.mutate() as mutation:
        mutation.add(Draft("reject", "plan", "p1", cause="es1" + "b" * 32 + "@3"))
    assert store.verify().findings == []
