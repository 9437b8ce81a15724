"""Cursors: each reader has read so far; what it has not seen is shown once, and nothing is passed over in silence."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from journal import CursorUnreadable, Draft, InvalidInput, LogShorterThanKnown, Store, StoreLocked
from tests.doubles.disks import CountingDisk
from tests.doubles.machines import FixedMachine
from tests.doubles.stores import delete, put, reopened, tail, tree


def shown(store: Store, reader: str = "agent") -> list[int]:
    return [record.seq for record in store.unseen(reader)]


def read_all(store: Store, reader: str = "agent") -> list[int]:
    unseen = store.unseen(reader)
    found = [record.seq for record in unseen]
    store.ack(reader, unseen.seq)
    return found


def cursor(store: Store, reader: str = "agent") -> Path:
    return store.folder / "cursors" / f"{reader}.json"


# --- reading on ------------------------------------------------------------------------------------------------------


def test_everything_is_new_to_a_new_reader(store: Store) -> None:
    put(store, "p1")
    put(store, "p2")
    delete(store, "p1")
    assert shown(store) == [1, 2, 3]
    assert shown(store) == [1, 2, 3]
    assert not cursor(store).exists()


def test_what_was_acknowledged_does_not_come_again(store: Store) -> None:
    assert read_all(store) == []
    put(store, "p1", "p2", "p3")
    assert read_all(store) == [1, 2, 3]
    assert read_all(store) == []
    put(store, "p1")
    assert read_all(reopened(store)) == [4]


def test_readers_do_not_know_of_each_other(store: Store) -> None:
    put(store, "p1")
    assert read_all(store, "ada") == [1]
    put(store, "p2")
    assert shown(store, "ada") == [2]
    assert shown(store, "ben") == [1, 2]


def test_what_came_while_a_reader_was_reading_is_still_new(store: Store) -> None:
    put(store, "p1")
    unseen = store.unseen("agent")
    put(reopened(store), "p2")
    assert [record.seq for record in unseen] == [1]
    store.ack("agent", unseen.seq)
    assert shown(store) == [2]


def test_only_what_was_taken_counts_as_seen(store: Store) -> None:
    """Inside a batch too, where no reading can begin [J6]."""
    put(store, "p1", "p2", "p3")
    put(store, "p4")
    for seq in (1, 2, 3, 4):
        unseen = store.unseen("agent")
        assert next(unseen).seq == unseen.seq == seq
        store.ack("agent", unseen.seq)
    assert shown(store) == []


def test_a_reader_can_go_back(store: Store) -> None:
    put(store, "p1", "p2", "p3")
    assert read_all(store) == [1, 2, 3]
    assert [record.seq for record in store.unseen("agent", since=1)] == [2, 3]
    assert shown(store) == []
    store.ack("agent", 1)
    assert shown(store) == [2, 3]
    store.ack("agent", 0)
    assert shown(store) == [1, 2, 3]


def test_names_that_differ_only_in_case_are_one_reader(store: Store) -> None:
    put(store, "p1")
    assert read_all(store, "Claude-Code") == [1]
    assert shown(store, "claude-code") == []
    assert [path.name for path in (store.folder / "cursors").iterdir()] == ["claude-code.json"]


@pytest.mark.parametrize(
    "reader", ["", ".", "..", "../x", "a/b", "a b", "é", "a.", "con", "NUL.x", "-a", "x" * 65, "a\n"]
)
def test_a_name_that_is_no_file_name_is_refused(store: Store, reader: str) -> None:
    """[J10]: and nothing is written."""
    with pytest.raises(InvalidInput, match="J10"):
        store.unseen(reader)
    with pytest.raises(InvalidInput, match="J10"):
        store.ack(reader, 0)
    assert not (store.folder / "cursors").exists()


# --- what is shown ---------------------------------------------------------------------------------------------------


def test_what_the_journal_writes_for_itself_is_passed_over(store: Store) -> None:
    """But for redactions: a reader has to forget."""
    put(store, "p1")
    with store.mutate() as mutation:
        mutation.add(Draft("genesis", "journal", payload=b"{}"))
        mutation.add(Draft("redact", "journal", payload=b"{}"))
        mutation.add(Draft("origin_trust", "journal", payload=b"{}"))
    assert read_all(store) == [1, 3]
    assert json.loads(cursor(store).read_bytes())["seq"] == 4


def test_void_records_are_passed_over(store: Store) -> None:
    """[J6]"""
    put(store, "p1")
    put(store, "p2", "p3")
    path = tail(store)
    path.write_bytes(path.read_bytes()[:-40])
    again = reopened(store)
    again.close()
    for name in ("index.sqlite3", "projections.json"):  # they know of the batch
        (store.folder / name).unlink()
    put(again, "p4")
    seqs = read_all(again)
    assert seqs[0] == 1
    assert 2 not in seqs
    assert read_all(again) == []


def test_damaged_records_are_told_of(store: Store) -> None:
    """[J7]: what follows is shown, and `stale` says that something is missing."""
    put(store, "p1")
    put(store, "p2")
    put(store, "p3")
    path = tail(store)
    path.write_bytes(path.read_bytes().replace(b'"title":"p2"', b'"title":"xx"'))
    again = reopened(store)
    assert shown(again) == [1, 3]
    assert again.stale is not None and "damaged" in again.stale


def test_reading_goes_over_segments(store: Store) -> None:
    store.roll_bytes = 500
    for number in range(10):
        put(store, f"p{number}", f"q{number}")
    assert len(store.segments.segments()) > 3
    for seq in range(21):
        store.ack("agent", seq)
        assert shown(store) == list(range(seq + 1, 21))


def test_the_oldest_segments_may_be_gone(store: Store) -> None:
    """Then the reader is told which seqs it is not shown."""
    store.roll_bytes = 1_500
    for number in range(10):
        put(store, f"p{number}")
    store.ack("behind", 2)
    oldest, second = store.segments.segments()[:2]
    store.ack("there", second.first_seq - 1)
    oldest.path.rename(store.folder / oldest.path.name)
    live = list(range(second.first_seq, 11))
    for reader, first_seq in (("behind", 3), ("new", 1)):
        unseen = store.unseen(reader)
        assert unseen.parked is not None
        assert unseen.parked[:2] == (first_seq, second.first_seq - 1)
        assert [record.seq for record in unseen] == live
    unseen = store.unseen("there")
    assert unseen.parked is None
    assert [record.seq for record in unseen] == live


def test_parked_records_are_summed_up(store: Store) -> None:
    """What a gc put into the archive: how many records of which types, less the journal's own; acknowledged, they are
    behind the reader."""
    store.roll_bytes = 1_500
    for number in range(12):
        put(store, f"p{number}", item_type="plan" if number % 3 else "note")
    read_all(store, "early")
    store.checkpoint()
    put(store, "between")
    store.checkpoint()
    assert store.gc().moved
    oldest = store.segments.live()[0].first_seq
    unseen = store.unseen("agent")
    records = [record for record in store.log() if record.seq < oldest and record.item_type != "journal"]
    counts = Counter(record.item_type for record in records)
    assert unseen.parked == (1, oldest - 1, counts.total(), dict(counts))
    assert set(counts) == {"plan", "note"}
    assert next(unseen).seq >= oldest
    assert store.unseen("early").parked is None
    read_all(store)
    assert store.unseen("agent").since == store.position().seq
    assert store.unseen("agent").parked is None
    store.segments.archived()[0].path.unlink()
    assert store.unseen("another").parked == (1, oldest - 1, None, None)


# --- when something is wrong -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 20,
        b"{}",
        b"[]",
        b'{"seq":1}',
        b'{"seq":-1,"c":"' + b"0" * 64 + b'"}',
        b'{"seq":1,"c":"00"}',
        b'{"seq":1,"c":"zz"}',
        b'{"seq":1.5,"c":"' + b"0" * 64 + b'"}',
    ],
)
def test_a_cursor_that_cannot_be_read_is_named(store: Store, content: bytes) -> None:
    """[J11]: it is never taken for a reader that has seen nothing."""
    put(store, "p1")
    read_all(store)
    cursor(store).write_bytes(content)
    with pytest.raises(CursorUnreadable, match=r"agent\.json: .* \[J11\]"):
        store.unseen("agent")
    (finding,) = store.verify().findings
    assert (finding.id, finding.severity, finding.path) == ("cursor-unreadable", "error", str(cursor(store)))
    assert cursor(store).read_bytes() == content
    assert [record.seq for record in store.unseen("agent", since=0)] == [1]
    store.ack("agent", 1)
    assert shown(store) == []
    assert store.verify().findings == []


def test_a_cursor_ahead_of_the_log_is_data_loss(store: Store) -> None:
    """[J11]"""
    put(store, "p1")
    kept = tree(store.folder)
    put(store, "p2")
    read_all(store)
    store.close()
    for name, data in kept.items():  # all but the cursor comes from a backup
        (store.folder / name).write_bytes(data)
    (store.folder / "index.sqlite3").unlink()
    again = reopened(store)
    with pytest.raises(LogShorterThanKnown, match=r"the log ends at seq 1, but this reader has seen seq 2 \[J11\]"):
        again.unseen("agent")
    errors = [finding.message for finding in again.verify().findings if finding.severity == "error"]
    assert "the log ends at seq 1, but reader agent remembers seq 2 [J11]" in errors


def test_a_cursor_of_another_past_is_named(store: Store) -> None:
    """[J11]: the seq is there, and is another record than the reader has seen."""
    put(store, "p1")
    put(store, "p2")
    read_all(store)
    put(store, "p3")
    found = json.loads(cursor(store).read_bytes())
    for changed in ({"c": "0" * 64}, {"c": "0" * 64, "segment": 0}):
        cursor(store).write_text(json.dumps(found | changed))
        with pytest.raises(CursorUnreadable, match=r"seq 2 is not the one that this reader has seen \[J11\]"):
            store.unseen("agent")
        assert [finding.id for finding in store.verify().findings] == ["cursor-differs"]


@pytest.mark.parametrize("place", [{"segment": 0}, {"offset": 3}, {"segment": 9, "offset": 10**9}, {"offset": -5}])
def test_where_the_line_stood_may_be_wrong(store: Store, place: dict[str, int]) -> None:
    """It saves reading and no more: a redaction moves lines."""
    put(store, "p1")
    put(store, "p2")
    read_all(store)
    put(store, "p3")
    found = json.loads(cursor(store).read_bytes())
    cursor(store).write_text(json.dumps(found | place))
    assert shown(store) == [3]


def test_what_was_never_written_cannot_be_acknowledged(store: Store) -> None:
    put(store, "p1")
    for seq in (2, 99):
        with pytest.raises(InvalidInput, match=f"no record with seq {seq}"):
            store.ack("agent", seq)
    assert shown(store) == [1]


def test_files_that_are_no_cursors_are_left_alone(store: Store) -> None:
    put(store, "p1")
    read_all(store)
    names = {".tmp-7-agent.json", "agent (copy).json", "AGENT.json", "notes.txt"}
    for name in names:
        (store.folder / "cursors" / name).write_bytes(b"x")
    found = store.verify().findings
    assert {(item.id, item.severity) for item in found} == {("stray-file", "info")}
    assert {Path(str(item.path)).name for item in found} == names
    assert shown(store) == []


def test_reading_needs_no_lock_and_acknowledging_does(store: Store) -> None:
    """[J9]"""
    put(store, "p1")
    reader = Store.open(
        store.folder, machine=FixedMachine(store.data_folder), data_folder=store.data_folder, lock_timeout=0.01
    )
    with store.lock():
        assert shown(reader) == [1]
        with pytest.raises(StoreLocked):
            reader.ack("agent", 1)
    assert shown(reader) == [1]
    reader.close()


def test_a_rebuild_keeps_the_cursors(store: Store) -> None:
    """[T1]: they are no caches."""
    put(store, "p1")
    read_all(store)
    store.rebuild()
    put(store, "p2")
    assert shown(store) == [2]


# --- costs -----------------------------------------------------------------------------------------------------------


def test_a_reader_pays_for_what_is_new(store: Store) -> None:
    """Not for what it has seen; and to acknowledge it is two syncs, nothing when it stands there already."""
    costs = []
    for rounds in (1, 20):
        for number in range(rounds):
            put(store, *(f"p{number}-{part}" for part in range(50)))
        read_all(store)
        put(store, "new")
        disk = CountingDisk()
        again = reopened(store, disk=disk)
        assert len(shown(again)) == 1
        costs.append(disk.bytes_read)
        disk.reset()
        again.ack("agent", again.position().seq)
        assert disk.calls["fsync"] == 2
        again.ack("agent", again.position().seq)
        assert disk.calls["fsync"] == 2
    assert costs[1] < costs[0] + 1_000
