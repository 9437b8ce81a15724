"""What callers of a Store may count on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from journal import (
    DamagedStore,
    Disk,
    Draft,
    FormatTooNew,
    InvalidInput,
    NoSuchEntity,
    NotAStore,
    Store,
    StoreExists,
    StoreLocked,
    find_store,
)
from journal.codec import decode_header
from tests.doubles.stores import (
    chain_lines,
    delete,
    drop_index,
    new_store,
    projection,
    put,
    reopened,
    seqs,
    state,
    tail,
)

# --- opening ---------------------------------------------------------------------------------------------------------


def test_a_new_store_is_empty_and_sound(store: Store) -> None:
    assert store.list() == []
    assert list(store.log()) == []
    assert store.verify().findings == []
    assert store.stale is None


def test_two_stores_made_alike_have_the_same_bytes(tmp_path: Path) -> None:
    stores = [new_store(tmp_path / name) for name in ("one", "two")]
    for store in stores:
        put(store, "p1", "p2")
        delete(store, "p1")
    assert tail(stores[0]).read_bytes() == tail(stores[1]).read_bytes()


def test_a_store_is_not_made_over_another(store: Store) -> None:
    put(store, "p1")
    with pytest.raises(StoreExists):
        new_store(store.folder.parent)
    assert store.get("plan", "p1").payload == {"title": "p1"}


def test_a_store_is_opened_by_its_folder_or_the_one_above(store: Store) -> None:
    for path in (store.folder, store.folder.parent, str(store.folder.parent)):
        assert Store.open(path, data_folder=store.data_folder).origin == store.origin


def test_a_folder_without_a_store_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(NotAStore):
        Store.open(tmp_path)


def test_a_store_is_found_from_below(store: Store) -> None:
    below = store.folder.parent / "a" / "b"
    below.mkdir(parents=True)
    assert find_store(below) == store.folder
    assert find_store(store.folder / "journal") == store.folder
    with pytest.raises(NotAStore):
        find_store(store.folder.parent.parent / "elsewhere")


def test_a_store_file_of_a_later_format_is_not_opened(store: Store) -> None:
    """[J12]"""
    path = store.folder / "store.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(FormatTooNew, match=r"store format 2, known is 1 \[J12\]"):
        reopened(store)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": 1}', '{"format": "1"}', "[" * 100_000])
def test_an_unreadable_store_file_is_damage_and_no_empty_store(store: Store, text: str) -> None:
    """[J11]"""
    (store.folder / "store.json").write_text(text)
    with pytest.raises(DamagedStore, match="not a store file"):
        reopened(store)


# --- writing ---------------------------------------------------------------------------------------------------------


def test_what_was_put_can_be_read_by_the_next_command(store: Store) -> None:
    put(store, "p1", n=1)
    put(store, "p1", n=2)
    put(store, "p2")
    delete(store, "p2")
    found = {("plan", "p1"): (2, {"title": "p1", "n": 2}), ("plan", "p2"): (2, None)}
    assert state(store) == found
    assert state(reopened(store)) == found


def test_a_mutation_is_one_batch_and_says_what_it_wrote(store: Store) -> None:
    """[J1] [J6]"""
    put(store, "p1", "p2")
    assert [(item.seq, item.action, item.item_id, item.entity_rev) for item in store.last_commit.written] == [
        (1, "create", "p1", 1),
        (2, "create", "p2", 1),
    ]
    assert store.last_commit.cache_problem is None
    assert [record.batch for record in store.log()] == [(1, 2), (2, 2)]


def test_a_record_is_framed_by_newlines_and_the_last_key_is_c(store: Store) -> None:
    """[J4] [J5]"""
    before = tail(store).read_bytes()
    put(store, "p1")
    line = tail(store).read_bytes().removeprefix(before)
    assert line[:1] == line[-1:] == b"\n"
    assert list(json.loads(line)) == [
        *("v", "seq", "ts", "writer", "agent", "action", "item_type", "item_id", "entity_rev", "payload", "salt", "c"),
    ]


def test_an_error_in_the_block_writes_nothing(store: Store) -> None:
    before = tail(store).read_bytes()
    with pytest.raises(ZeroDivisionError), store.mutate() as mutation:
        mutation.put("plan", "p1", {})
        raise ZeroDivisionError
    with pytest.raises(InvalidInput), store.mutate() as mutation:
        mutation.put("plan", "p1", {})
        mutation.put("plan", "p1.", {})
    assert tail(store).read_bytes() == before
    assert store.last_commit.written == []


def test_a_block_that_adds_nothing_writes_nothing(store: Store) -> None:
    before = tail(store).read_bytes()
    with store.mutate():
        pass
    assert tail(store).read_bytes() == before


def test_a_mutation_within_a_mutation_is_refused_at_once(store: Store) -> None:
    """[J9]: one lock, one batch."""
    with store.mutate() as mutation:
        mutation.put("plan", "p1", {})
        with pytest.raises(StoreLocked, match="open already"), store.mutate():
            raise AssertionError
    assert state(store) == {("plan", "p1"): (1, {})}


def test_a_store_may_be_read_and_settled_within_its_own_lock(store: Store) -> None:
    """[J9]: the lock is held once, however often it is asked for."""
    with store.lock():
        put(store, "p1")
        assert store.settle().seq == 1
        store.update_local(kept="yes")
        assert store.get("plan", "p1").head.seq == 1
    assert store.local()["kept"] == "yes"


def test_a_rev_is_never_reset(store: Store) -> None:
    """[J3]"""
    put(store, "p1")
    delete(store, "p1")
    put(store, "p1")
    put(store, "p1")
    assert [record.entity_rev for record in store.log()] == [1, 2, 3, 4]
    assert reopened(store).get("plan", "p1").head.entity_rev == 4


def test_a_twin_of_an_entity_in_the_store_is_refused(store: Store) -> None:
    """[J10]"""
    put(store, "Alpha")
    delete(store, "Alpha")
    with pytest.raises(InvalidInput, match="only in case"):
        put(store, "alpha")
    assert seqs(store) == [1, 2]


def test_private_is_kept_until_it_is_put_public(store: Store) -> None:
    """[F1]"""
    with store.mutate() as mutation:
        mutation.put("plan", "p1", {}, private=True)
    put(store, "p1")
    assert store.list()[0].private
    with store.mutate() as mutation:
        mutation.put("plan", "p1", {}, private=False)
    put(store, "p1")
    assert not store.list()[0].private


# --- reading ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("item_id", ["p9", "", "../x", "\ud800", "ä", "a" * 5000])
def test_what_is_not_there_is_said_not_to_be_there(store: Store, item_id: str) -> None:
    put(store, "p1")
    with pytest.raises(NoSuchEntity):
        store.get("plan", item_id)
    delete(store, "p1")
    with pytest.raises(NoSuchEntity):
        store.get("plan", "p1")


def test_the_list_is_sorted_and_leaves_out_tombstones_unless_asked(store: Store) -> None:
    put(store, "p2", "p1")
    put(store, "d1", item_type="decision")
    delete(store, "p2")
    assert [(head.item_type, head.item_id) for head in store.list()] == [("decision", "d1"), ("plan", "p1")]
    assert [head.item_id for head in store.list("plan")] == ["p1"]
    assert [(head.item_id, head.deleted) for head in store.list("plan", deleted=True)] == [("p1", False), ("p2", True)]


def test_the_log_gives_what_came_after_a_seq_or_the_newest(store: Store) -> None:
    store.roll_bytes = 700
    for number in range(12):
        put(store, f"p{number}")
    assert len(store.segments.segments()) > 3
    assert [record.seq for record in store.log()] == list(range(1, 13))
    assert [record.seq for record in store.log(since=7)] == [8, 9, 10, 11, 12]
    assert [record.seq for record in store.log(last=5)] == [8, 9, 10, 11, 12]
    assert [record.seq for record in store.log(since=10, last=5)] == [11, 12]
    assert [record.seq for record in store.log(since=99)] == []
    assert [record.seq for record in store.log(last=0)] == []


def why_stale(store: Store) -> str:
    return store.stale or ""


def test_a_log_that_was_damaged_says_so_when_it_was_read(store: Store) -> None:
    """[J7] [J11]: the caches still know what was there."""
    put(store, "p1")
    put(store, "p2")
    put(store, "p3", "p4")
    path, sound = tail(store), tail(store).read_bytes()
    for at, seqs_left, why in ((2, [1, 3, 4], "records are damaged [J7]"), (4, [1, 2], "but seq 4 was written [J11]")):
        path.write_bytes(sound.replace(f'"title":"p{at}"'.encode(), b'"title":"xx"'))
        again = reopened(store)
        records = again.log()
        assert again.stale is None
        assert [record.seq for record in records] == seqs_left
        assert why_stale(again).endswith(why)


def test_a_former_rev_can_be_had(store: Store) -> None:
    put(store, "p1", n=1)
    put(store, "p1", n=2)
    told = store.history.rev("plan", "p1", 1)
    assert json.loads(told.record.payload_bytes or b"") == {"title": "p1", "n": 1}
    assert told.origin == store.origin
    with pytest.raises(NoSuchEntity):
        store.history.rev("plan", "p1", 3)


def test_a_reader_sees_what_another_process_wrote(store: Store) -> None:
    other = Store.open(store.folder, data_folder=store.data_folder, machine=store.machine)
    assert other.list() == []
    put(store, "p1")
    assert [head.item_id for head in other.list()] == ["p1"]
    assert other.stale is None


def test_a_kept_position_finds_what_is_new(store: Store) -> None:
    put(store, "p1")
    kept = store.position()
    put(store, "p2")
    put(store, "p3")
    assert [entry.record.seq for gap in store.gaps(kept) for entry in gap.entries] == [2, 3]
    assert store.fits(kept)
    assert not store.fits(kept._replace(c=b"\0" * 32))


def test_a_reader_never_stands_inside_a_batch_that_is_being_written(store: Store, tmp_path: Path) -> None:
    """[J6]: a write is not seen at once; without the lock its end is left for the next reading."""
    put(store, "p1")
    twin = new_store(tmp_path / "twin")
    put(twin, "p1")
    before = tail(twin).stat().st_size
    put(twin, "q1", "q2", "q3")
    batch = tail(twin).read_bytes()[before:]
    middle = batch.index(b"\n\n", batch.index(b'"q2"')) + 1
    store.refresh()
    with tail(store).open("ab") as file:
        file.write(batch[:middle])
    gaps = list(store.gaps())
    assert [entry.record.seq for gap in gaps for entry in gap.entries] == [1]
    assert gaps[-1].position.seq == 1
    with tail(store).open("ab") as file:
        file.write(batch[middle:])
    rest = [entry for gap in store.gaps(gaps[-1].position) for entry in gap.entries]
    assert [(entry.record.seq, entry.void) for entry in rest] == [(2, False), (3, False), (4, False)]


def test_a_batch_that_a_crash_left_open_is_void_for_everybody_once_it_is_settled(store: Store, tmp_path: Path) -> None:
    """[J6]: its seqs stay used, and no reader takes it for loss."""
    put(store, "p1")
    put(store, "q1", "q2", "q3")
    path = tail(store)
    lines = path.read_bytes().split(b"\n\n")
    path.write_bytes(b"\n\n".join(lines[:4]) + b"\n")
    drop_index(store)
    (store.folder / "projections.json").unlink()
    again = reopened(store)
    assert [record.seq for record in again.log()] == [1]
    assert again.stale is None
    assert [(entry.record.seq, entry.void) for gap in again.gaps() for entry in gap.entries] == [
        (1, False),
        (2, True),
        (3, True),
    ]
    put(again, "p2")
    assert again.last_commit.written[0].seq == 4
    assert [record.seq for record in again.log()] == [1, 4]


def test_a_damaged_record_is_not_served(store: Store) -> None:
    """[J4]: never silent, not even while the index still points at it."""
    put(store, "p1", note="the truth")
    put(store, "p2")
    path = tail(store)
    path.write_bytes(path.read_bytes().replace(b"the truth", b"the tooth"))
    with pytest.raises(DamagedStore, match="the record is damaged") as caught:
        store.get("plan", "p1")
    assert (caught.value.path, caught.value.line, caught.value.rule) == (str(path), 3, "J4")
    assert store.get("plan", "p2").payload == {"title": "p2"}


def test_a_record_behind_a_fragment_is_served(store: Store) -> None:
    """[J7]: what stands before it says nothing about it."""
    put(store, "p1")
    with tail(store).open("ab") as file:
        file.write(b'\n{"v":2,"torn')
    put(store, "p2")
    assert store.get("plan", "p2").payload == {"title": "p2"}


# --- segments [J8] ---------------------------------------------------------------------------------------------------


def test_a_full_segment_is_followed_by_one_that_is_named_by_its_first_seq(store: Store) -> None:
    """[J8]"""
    store.roll_bytes = 500
    for number in range(3):
        put(store, f"p{number}", "q")
    names = [path.name for path in sorted((store.folder / "journal").glob("seg-*"))]
    assert names == ["seg-00000001.jsonl", "seg-00000003.jsonl", "seg-00000005.jsonl"]
    lines = chain_lines(store)
    header = decode_header(tail(store).read_bytes().split(b"\n")[0])
    assert (header.first_seq, header.origin_store_id, header.previous) == (5, store.origin, [])
    assert header.prev_c == json.loads(lines[3])["c"]
    assert store.verify().findings == []
    assert state(reopened(store)) == state(store)


def test_an_empty_segment_is_not_rolled_again(store: Store) -> None:
    """[J8]: two segments never have the same first seq."""
    store.roll_bytes = 1
    put(store, "p1")
    put(store, "p2")
    assert [segment.first_seq for segment in store.segments.segments()] == [1, 2]


def test_segments_are_ordered_by_number(store: Store) -> None:
    """[J8]: not as text."""
    folder = store.folder / "journal"
    for name in ("seg-100000000.jsonl", "seg-00000009.jsonl", "seg-99999999.jsonl"):
        (folder / name).write_bytes(b"{}\n")
    for name in ("seg-000000012.jsonl", "seg-1.jsonl", "seg-00000002.jsonl.sync-conflict", ".tmp-1-seg-00000002.jsonl"):
        (folder / name).write_bytes(b"{}\n")
    assert [segment.first_seq for segment in store.segments.segments()] == [1, 9, 99_999_999, 100_000_000]


def test_a_segment_that_was_born_but_not_written_to_is_gone_on_with(store: Store) -> None:
    """[J8]: a crash between roll and append."""
    put(store, "p1")
    position = store.position()
    store.segments.roll(position, store.origin, [])
    again = reopened(store)
    assert state(again) == {("plan", "p1"): (1, {"title": "p1"})}
    put(again, "p2")
    assert tail(again).name == "seg-00000002.jsonl"
    assert again.verify().findings == []


@pytest.mark.parametrize("old", [b'"format":1', b'{"v":2,"segment"'])
def test_a_segment_of_a_later_format_is_not_written_to(store: Store, old: bytes) -> None:
    """[J12]: read-only, with a message naming the version."""
    put(store, "p1")
    path = tail(store)
    path.write_bytes(path.read_bytes().replace(old, old.replace(b"1" if b"format" in old else b"2", b"7"), 1))
    before = path.read_bytes()
    again = reopened(store)
    assert [head.item_id for head in again.list()] == ["p1"]
    with pytest.raises(FormatTooNew, match=r"segment format \d \(v\d\)"):
        put(again, "p2")
    assert path.read_bytes() == before


def test_what_stands_before_a_later_format_is_read_and_the_reason_is_told(store: Store) -> None:
    """[J12]"""
    from journal.codec import encode_record
    from journal.model import Record

    put(store, "p1")
    batch = [
        Record(v=v, seq=2 + n, action="create", item_type="plan", item_id=f"q{n}", entity_rev=1, batch=(n + 1, 2))
        for n, v in enumerate((2, 3))
    ]
    c = store.position().c
    with tail(store).open("ab") as file:
        for record in batch:
            line, c = encode_record(record, c)
            file.write(b"\n" + line + b"\n")
    for again in (reopened(store), Store.open(store.folder, data_folder=store.data_folder, machine=store.machine)):
        assert [head.item_id for head in again.list()] == ["p1"]
        assert again.stale is not None
        assert "record format v3, known is v2 [J12]" in again.stale
        assert again.position().seq == 1, "a later program will read the batch whole"
        with pytest.raises(FormatTooNew) as caught:
            put(again, "p2")
        assert (caught.value.path, caught.value.line) == (str(tail(store)), 7)


def test_a_mutation_may_hold_decisions_and_notes(store: Store) -> None:
    """[J2]"""
    with store.mutate() as mutation:
        mutation.add(Draft("reject", "plan", "p7", cause="es1" + "b" * 32 + "@3"))
        mutation.add(Draft("origin_trust", "journal", "es1" + "b" * 32))
        mutation.add(Draft("session_start", "session", "s1"))
    assert state(store) == {}
    assert [record.action for record in store.log()] == ["reject", "origin_trust", "session_start"]
    assert projection(store, "p7").exists() is False


def test_the_disk_is_not_asked_when_a_store_is_opened(store: Store, tmp_path: Path) -> None:
    """Opening writes nothing."""

    class Untouched(Disk):
        def _write(self, descriptor: int, data: bytes) -> int:
            raise AssertionError

    found = Store.open(store.folder, disk=Untouched(), data_folder=store.data_folder)
    assert (found.name, found.origin) == ("project", store.origin)
