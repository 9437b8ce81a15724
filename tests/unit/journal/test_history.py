"""History: whoever asks for some records gets those that reading all of them would give, and reads less."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from journal import DamagedStore, Draft, FormatTooNew, NoSuchEntity, NoSuchRecord, Query, Record, Store
from journal.codec import Line, mark_void
from journal.history import _entries
from tests.doubles.disks import CountingDisk
from tests.doubles.stores import delete, new_store, put, quick_folder, reopened, state, tail

P1 = ("plan", "p1")


@pytest.fixture(scope="module")
def lively() -> Iterator[Store]:
    """A store over many segments with batches, deletions, decisions, a void batch and a torn tail in it."""
    with quick_folder() as folder:
        store = new_store(folder / "project")
        chance = random.Random(3)
        for number in range(60):
            store.roll_bytes = 2_500
            name = f"p{chance.randrange(6)}"
            if number % 11 == 5:
                put(store, name, "torn", n=number)
                path = tail(store)
                path.write_bytes(path.read_bytes()[: -chance.randrange(5, 250)])
                store = forgotten(store)
            elif number % 4 == 0:
                put(store, *(f"p{part}" for part in range(chance.randrange(1, 5))), n=number)
            elif number % 7 == 3 and store.head("plan", name):
                with store.mutate() as mutation:
                    mutation.put("note", name, {"text": '"item_type":"plan","item_id":"p1"'})
            elif (head := store.head("plan", name)) is not None and not head.deleted and number % 3 == 0:
                delete(store, name)
            else:
                put(store, name, n=number)
            if number % 9 == 0:
                cause = f"es1{'a' * 32}@{number + 1}"
                with store.mutate() as mutation:
                    mutation.add(Draft("reject", "plan", name, cause=cause, root=cause + "#" + "0" * 12))
        assert len(store.segments.segments()) > 8
        yield store
        store.close()


def forgotten(store: Store) -> Store:
    """The same store without a cache that knows more than the log."""
    store.close()
    for path in [*store.folder.glob("index.sqlite3*"), store.folder / "projections.json"]:
        path.unlink(missing_ok=True)
    return reopened(store)


def everything(store: Store) -> list[Record]:
    return [entry.record for gap in store.gaps() for entry in gap.entries if not entry.void]


def last_seq(store: Store) -> int:
    return store.position().seq


# --- records ---------------------------------------------------------------------------------------------------------


def test_every_question_has_the_answer_that_reading_everything_gives(lively: Store) -> None:
    records = everything(lively)
    chance = random.Random(5)
    keys = [None, *sorted({(record.item_type, record.item_id or "") for record in records}), ("plan", "nobody")]
    for _ in range(150):
        since, until = (chance.randrange(last_seq(lively) + 1) for _ in range(2))
        query = Query(since, until, chance.choice(keys), chance.choice([None, lively.origin, "es1other"]))
        wanted = [record for record in records if query.wants(record) and query.origin in (None, lively.origin)]
        assert list(lively.history.records(query)) == wanted
        for last in (0, 1, 3, 1000):
            assert list(lively.history.records(query, last=last)) == wanted[len(wanted) - min(last, len(wanted)) :]


def test_a_payload_that_looks_like_another_entity_is_not_taken_for_it(lively: Store) -> None:
    found = list(lively.history.records(Query(entity=P1)))
    assert found
    assert {(record.item_type, record.item_id) for record in found} == {P1}
    assert {"create", "update", "delete", "reject"} == {record.action for record in found}


@pytest.mark.parametrize("key", [("plan", "ü"), ("plan", "\ud800"), ("plan", '"'), ("", ""), ("journal", "None")])
def test_what_is_no_id_of_ours_has_no_records(lively: Store, key: tuple[str, str]) -> None:
    assert list(lively.history.records(Query(entity=key))) == []


def test_the_future_cannot_be_asked_about(lively: Store) -> None:
    end = last_seq(lively)
    for ask in (
        lambda seq: lively.history.records(Query(until=seq)),
        lambda seq: lively.history.entity_at("plan", "p1", seq),
        lambda seq: lively.history.entities_at(seq).__enter__(),
    ):
        with pytest.raises(NoSuchRecord, match=f"the log ends at seq {end}, before seq {end + 1}"):
            ask(end + 1)


def test_segments_that_do_not_name_an_entity_are_not_looked_into(store: Store) -> None:
    """One that cannot be read at all does not matter then; and what stands before one that does matter comes first."""
    put(store, "p1")
    store.roll_bytes = 1
    put(store, "p2")
    put(store, "p1")
    put(store, "p3")
    paths = [segment.path for segment in store.segments.segments()]
    paths[1].write_bytes(paths[1].read_bytes().replace(b'{"v":2,"seq"', b'{"v":9,"seq"'))
    assert [record.seq for record in store.history.records(Query(entity=P1))] == [1, 3]
    assert [record.seq for record in store.history.records(Query(entity=("plan", "p2")))] == []  # it does not chain


def test_a_record_of_a_later_version_is_named(store: Store) -> None:
    """[J12]: with file and line, and what stands before it comes first."""
    from journal.codec import seal

    put(store, "p1")
    put(store, "p1")
    path = tail(store)
    line = path.read_bytes().split(b"\n")[-2]
    later, _ = seal(store.position().c, line[: line.rindex(b',"c"')].replace(b'"v":2,"seq":2', b'"v":3,"seq":3'))
    path.write_bytes(path.read_bytes() + b"\n" + later + b"\n")
    for query, last in ((Query(entity=P1), None), (Query(), 5), (Query(entity=P1), 1)):
        with pytest.raises(FormatTooNew, match=rf"{path.name}:7: record format v3.* \[J12\]"):
            list(store.history.records(query, last=last))
    found = store.history.records(Query(entity=P1))
    assert [next(found).seq, next(found).seq] == [1, 2]


def test_the_newest_records_cost_one_segment(lively: Store) -> None:
    disk = CountingDisk()
    again = reopened(lively, disk=disk)
    again.refresh()
    disk.reset()
    assert len(list(again.log(last=1))) == 1
    newest = disk.bytes_read
    again.close()
    assert newest < 4 * 2_500


def decoded(records: list[tuple[Line, Record]], line: Line) -> Record:
    return next(record for known, record in records if known is line)


def test_batches_are_judged_as_in_a_whole_segment() -> None:
    """[J6]: also those that nobody of us would write."""
    chance = random.Random(1)
    for _ in range(1_000):
        batches = [
            None if chance.random() < 0.3 else (chance.randrange(-1, 5), chance.randrange(0, 4)) for _ in range(7)
        ]
        if chance.random() < 0.7:
            batches[2:5] = [(1, 3), (2, 3), (3, 3)]
        lines = [Line(seq, bytes([65 + chance.randrange(2)]), b"") for seq in range(7)]
        records = [
            (line, Record(v=2, seq=seq + 1, action="x", item_type="x", batch=batch))
            for seq, (line, batch) in enumerate(zip(lines, batches, strict=True))
        ]
        wanted = [entry for entry in mark_void(records) if entry.line.data == b"A" and not entry.void]
        decode = partial(decoded, records)
        found = [entry for entry in _entries(lines, re.compile(b"A").search, decode) if not entry.void]
        assert found == wanted, batches


# --- the store as it was ---------------------------------------------------------------------------------------------


def test_the_store_as_it_was_is_the_store_as_it_was(tmp_path: Path) -> None:
    """[J2] [J3]: at every seq, for every entity, over deletion and creation anew."""
    store = new_store(tmp_path / "project")
    store.roll_bytes = 1_000
    was = {0: state(store)}
    for number in range(12):
        name = f"p{number % 3}"
        if number % 4 == 3 and state(store)[("plan", name)][1] is not None:
            delete(store, name)
        else:
            put(store, name, n=number)
        was[last_seq(store)] = state(store)
    for seq, before in was.items():
        with store.history.entities_at(seq) as heads:
            found = {head[:2]: (head.entity_rev, head.deleted) for head in heads}
        assert found == {key: (rev, payload is None) for key, (rev, payload) in before.items()}
        with store.history.entities_at(seq, "note") as heads:
            assert list(heads) == []
        for key, (rev, payload) in before.items():
            if payload is None:
                with pytest.raises(NoSuchEntity, match=f"at seq {seq}"):
                    store.history.entity_at(*key, seq)
            else:
                told = store.history.entity_at(*key, seq)
                assert (told.record.entity_rev, told.head().deleted) == (rev, False)
    with pytest.raises(NoSuchEntity):
        store.history.entity_at("plan", "p0", 0)
    store.close()


# --- lists -----------------------------------------------------------------------------------------------------------


def test_a_long_list_is_the_same_page_by_page(store: Store) -> None:
    with store.mutate() as mutation:
        for number in range(2_500):
            mutation.put(("note", "plan", "trap")[number % 3], f"i{number:04}", {"n": number})
    for item_type in (None, "note", "plan", "trap", "nothing"):
        heads = [head[:2] for head in store._caches.ask(lambda index: [*index.all_heads()])]
        wanted = [key for key in heads if item_type in (None, key[0])]
        assert [head[:2] for head in store.each(item_type)] == wanted == [head[:2] for head in store.list(item_type)]
    assert len(store.list()) == 2_500


def test_a_list_goes_on_when_the_index_breaks_in_the_middle(store: Store) -> None:
    """[T1]: it is a cache; the log is folded instead."""
    with store.mutate() as mutation:
        for number in range(2_500):
            mutation.put("plan", f"i{number:04}", {"n": number})
    again = reopened(store)
    heads = again.each()
    first = [next(heads) for _ in range(1_000)]
    path = store.folder / "index.sqlite3"
    again._caches.close()
    path.write_bytes(b"no database, and long enough to be looked at as one" * 100)
    assert [head.item_id for head in [*first, *heads]] == [f"i{number:04}" for number in range(2_500)]
    again.close()


# --- following -------------------------------------------------------------------------------------------------------


def test_a_follower_is_told_each_record_once(store: Store) -> None:
    """Over rolls, batches, and whoever writes them."""
    store.roll_bytes = 700
    put(store, "p0")
    follower = store.history.follow()
    assert list(follower.new(Query())) == []
    told = []
    other = reopened(store)
    other.roll_bytes = 700
    for number in range(10):
        put(other if number % 2 else store, f"p{number}", f"q{number}")
        if number % 3 == 0:
            told += [record.seq for record in follower.new(Query())]
    told += [record.seq for record in follower.new(Query())]
    assert told == list(range(2, 22))
    assert follower.seq == 21
    assert list(follower.new(Query())) == []
    other.close()


def test_a_follower_may_ask_for_some_only(store: Store) -> None:
    follower = store.history.follow()
    put(store, "p1", "p2")
    put(store, "p2")
    assert [record.seq for record in follower.new(Query(entity=P1))] == [1]
    put(store, "p1")
    assert [record.seq for record in follower.new(Query(entity=P1, origin=store.origin))] == [4]
    put(store, "p1")
    assert list(follower.new(Query(origin="es1other"))) == []


def test_looking_costs_no_reading_while_nothing_is_new(store: Store) -> None:
    for number in range(20):
        put(store, f"p{number}")
    disk = CountingDisk()
    follower = reopened(store, disk=disk).history.follow()
    disk.reset()
    for _ in range(10):
        assert list(follower.new(Query())) == []
    assert (disk.calls, disk.bytes_read) == ({}, 0)
    put(store, "new")
    assert [record.seq for record in follower.new(Query())] == [21]
    assert disk.bytes_read < 6_000  # the header is read in one piece of 4 KiB


def test_a_batch_is_told_when_all_of_it_is_there(store: Store) -> None:
    """[J6]"""
    put(store, "p1")
    follower = store.history.follow()
    put(reopened(store), "p2", "p3")
    path = tail(store)
    data = path.read_bytes()
    path.write_bytes(data[:-30])
    store = forgotten(store)
    assert list(follower.new(Query())) == []
    path.write_bytes(data)
    assert [record.seq for record in follower.new(Query())] == [2, 3]


def test_a_torn_tail_is_passed_over(store: Store) -> None:
    """[J7]: its note and what comes behind it are told."""
    put(store, "p1")
    follower = store.history.follow()
    path = tail(store)
    path.write_bytes(path.read_bytes() + b'\n{"v":2,"seq":2,"ts":"2026')
    assert list(follower.new(Query())) == []
    put(reopened(store), "p2")
    assert [(record.seq, record.action) for record in follower.new(Query())] == [(3, "journal_note"), (4, "create")]


def test_a_write_that_was_taken_back_is_forgotten(store: Store) -> None:
    """[J5]: a reader without the lock may have seen it; what comes in its place is told too."""
    put(store, "p1")
    follower = store.history.follow()
    path = tail(store)
    before = path.read_bytes()
    put(reopened(store), "p2")
    assert [record.seq for record in follower.new(Query())] == [2]
    path.write_bytes(before)
    store = forgotten(store)
    assert list(follower.new(Query())) == []
    put(store, "another")
    assert [(record.seq, record.item_id) for record in follower.new(Query())] == [(2, "another")]
    path.write_bytes(before)
    put(forgotten(store), "another-one")
    assert [(record.seq, record.item_id) for record in follower.new(Query())] == [(2, "another-one")]


def test_what_was_not_taken_comes_again(store: Store) -> None:
    follower = store.history.follow()
    put(store, "p1", "p2")
    assert next(follower.new(Query())).seq == 1
    assert [record.seq for record in follower.new(Query())] == [1, 2]


def test_a_follower_tells_of_damage(store: Store) -> None:
    """[J7] [J11]"""
    put(store, "p1")
    follower = store.history.follow()
    put(store, "p2")
    put(store, "p3")
    path = tail(store)
    path.write_bytes(path.read_bytes().replace(b'"title":"p2"', b'"title":"xx"'))
    assert [record.seq for record in follower.new(Query())] == [3]
    assert store.stale is not None and "damaged" in store.stale
    path.unlink()
    with pytest.raises(DamagedStore, match="J11"):
        list(follower.new(Query()))
