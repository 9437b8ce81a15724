"""A new identity: no line is rewritten, seqs and chain go on, and what was left stays ours up to a seq [I2]."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from journal import DamagedStore, Header, InvalidInput, KeyMissing, LocalHead, Store, StoreCopied, StoreLocked, Version
from journal.identity import Previous
from journal.model import MAX_CONTEXT_ENTRIES, Place
from journal.renewal import Past, is_own, leave, taken_over
from tests.doubles.disks import QuickDisk
from tests.doubles.machines import FixedMachine
from tests.doubles.stores import chain_lines, delete, drop_index, new_store, put, reopened, seqs, state, tail, tree

SEED = bytes(range(1, 33))
A, B, C = (f"es1{letter * 32}" for letter in "abc")


def header(store: Store, number: int = -1) -> Header:
    return store.segments.header(store.segments.segments()[number])[0]


def record(store: Store, seq: int) -> dict[str, object]:
    found: dict[str, object] = json.loads(chain_lines(store)[seq - 1])
    return found


def copied(store: Store, folder: Path) -> Store:
    """The folder of a store, copied as `cp -r` does it."""
    store.close()
    shutil.copytree(store.folder, folder / ".eventsync")
    machine = FixedMachine(store.data_folder)
    return Store.open(folder, disk=QuickDisk(), machine=machine, data_folder=store.data_folder)


# --- what is left, as values -----------------------------------------------------------------------------------------


def left(origin: str, last_seq: int, t: str = "t") -> Previous:
    return Previous(origin, last_seq, f"c{last_seq}", t)


def test_former_origins_are_kept_in_order_and_cut_where_the_last_one_is_left() -> None:
    """[I2]"""
    before = [left(A, 4), left(B, 9)]
    assert leave(before, left(C, 12)) == [*before, left(C, 12)]
    assert leave(before, left(C, 9)) == [*before, left(C, 9)]
    assert leave(before, left(C, 6)) == [left(A, 4), Previous(B, 6, "c6", ""), left(C, 6)]
    assert leave(before, left(C, 2)) == [Previous(A, 2, "c2", ""), Previous(B, 2, "c2", ""), left(C, 2)]


def test_a_former_origin_is_ours_up_to_where_it_was_left() -> None:
    """[I2] [F8]"""
    assert is_own([left(A, 4)], A, 4)
    assert not is_own([left(A, 4)], A, 5)
    assert not is_own([left(A, 4)], B, 1)


def head(version: Version, seq: int, context: dict[str, int], *, deleted: bool = False) -> LocalHead:
    digest = version.digest if version.seq == seq else "f" * 12
    place = Place(1, 0, 0)
    return LocalHead("plan", "x", 3, seq, digest + "0" * 52, version, context, {C: 7}, deleted, True, "s", place)


def test_what_was_authored_is_authored_anew_on_top_of_what_stays_ours() -> None:
    """[K2]"""
    draft = taken_over(head(Version(A, 8, "a" * 12), 8, {A: 8, B: 2}), b"{}", {A: 5})
    assert (draft.action, draft.payload, draft.root, draft.private) == ("backfill", b"{}", None, True)
    assert (draft.context, draft.claims) == ({A: 5, B: 2}, {C: 7})


def test_what_was_never_there_before_has_nothing_of_the_former_origin_in_its_context() -> None:
    """[K2]"""
    assert taken_over(head(Version(A, 8, "a" * 12), 8, {A: 8}), b"{}", {A: 0}).context == {}


def test_a_copy_stays_a_copy_and_a_deletion_a_deletion() -> None:
    """[K1]"""
    draft = taken_over(head(Version(B, 2, "b" * 12), 8, {A: 6, B: 2}, deleted=True), None, {A: 5})
    assert (draft.action, draft.payload, draft.root) == ("delete", None, f"{B}@2#{'b' * 12}")
    assert draft.context == {A: 5, B: 2}


def test_a_full_context_makes_room_for_the_record_itself() -> None:
    """[J10] [K4]: fewer entries make at worst a conflict."""
    context = {f"es1{number:032d}": 1 for number in range(MAX_CONTEXT_ENTRIES)}
    draft = taken_over(head(Version(A, 8, "a" * 12), 8, context), b"{}", {})
    assert draft.context is not None
    assert len(draft.context) == MAX_CONTEXT_ENTRIES - 1


def test_only_what_this_log_wrote_under_an_origin_is_measured_by_where_that_was_left() -> None:
    """[I2]: the entry of another copy, which went on under it, stays."""
    past = Past([left(A, 4), left(B, 9)], [("plan", "x")])
    past.add(1, A, [])
    past.add(5, B, [])
    assert past.kept(head(Version(B, 7, "b" * 12), 7, {A: 6, B: 7})) == {}
    past = Past([left(A, 4)], [("plan", "x")])
    past.add(1, A, [])
    assert past.kept(head(Version(A, 6, "a" * 12), 6, {A: 6, B: 2})) == {A: 0}


# --- a store ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Store:
    found = new_store(tmp_path / "project")
    put(found, "p1", "p2")
    put(found, "p1", n=2)
    return found


def test_seqs_and_chain_go_on_under_the_new_origin(store: Store) -> None:
    """[I2] [J4] [J8]"""
    former, lines, before = store.origin, chain_lines(store), state(store)
    renewed = store.renew(seed=SEED)
    last_c = record(store, 3)["c"]
    assert store.origin != former
    assert renewed == (Previous(former, 3, str(last_c), ""), 0)
    assert list(store.previous) == [renewed.left]
    assert (header(store).origin_store_id, header(store).first_seq, header(store).prev_c) == (store.origin, 4, last_c)
    assert [json.loads(bytes(entry)) for entry in header(store).previous] == [
        {"origin": former, "last_seq": 3, "c": last_c, "t": ""}
    ]
    put(store, "p1", n=3)
    assert chain_lines(store)[:3] == lines
    assert record(store, 4)["context"] == {former: 3, store.origin: 4}
    again = reopened(store)
    assert (again.origin, seqs(again)) == (store.origin, [1, 2, 3, 4])
    assert state(again) == before | {("plan", "p1"): (3, {"title": "p1", "n": 3})}
    assert again.verify().findings == []
    drop_index(again)
    assert state(again) == state(reopened(again))


def test_a_copy_stops_until_it_has_an_identity_of_its_own(store: Store, tmp_path: Path) -> None:
    """[I2]"""
    copy = copied(store, tmp_path / "copy")
    with pytest.raises(StoreCopied):
        put(copy, "p3")
    copy.renew(seed=SEED)
    put(copy, "p3")
    put(reopened(store), "p4")
    assert copy.moved() == []
    assert (record(copy, 4)["item_id"], record(store, 4)["item_id"]) == ("p3", "p4")
    assert copy.private_key() != store.private_key()


def test_a_lost_key_is_made_good_by_a_new_identity(store: Store) -> None:
    """[I1]"""
    store.private_key_path.unlink()
    with pytest.raises(KeyMissing):
        store.private_key()
    store.renew(seed=SEED)
    assert len(store.private_key()) == 32


def test_what_was_written_after_the_seq_is_said_anew(store: Store) -> None:
    """[I2] `--at`: entities whose newest record came later, deletions too; in the first batch of the new segment."""
    former = store.origin
    put(store, "p3")
    delete(store, "p2")
    put(store, "p4", private=True)
    with store.mutate(agent="test") as mutation:
        mutation.put("plan", "p4", {"title": "p4"}, private=True)
    before = state(store)
    renewed = store.renew(at=2, seed=SEED)
    assert renewed.written == 4
    assert (renewed.left.last_seq, renewed.left.c) == (2, record(store, 2)["c"])
    assert header(store).first_seq == 8
    told = {str(record(store, seq)["item_id"]): record(store, seq) for seq in range(8, 12)}
    assert {name: found["action"] for name, found in told.items()} == {
        "p1": "backfill", "p3": "backfill", "p2": "delete", "p4": "backfill"
    }  # fmt: skip
    assert told["p1"]["context"] == {former: 1, store.origin: told["p1"]["seq"]}
    assert "context" not in told["p3"]
    assert told["p2"]["context"] == {former: 2, store.origin: told["p2"]["seq"]}
    assert told["p4"]["private"] is True
    after = state(store)
    assert {key: found[1] for key, found in after.items()} == {key: found[1] for key, found in before.items()}
    assert store.verify().findings == []
    again = reopened(store)
    drop_index(again)
    assert state(again) == after


def test_a_renewed_store_can_be_renewed_again_and_cut_before_the_first_time(store: Store) -> None:
    """[I2]: what was chosen wrongly is chosen anew."""
    first = store.origin
    store.renew(seed=SEED)
    second = store.origin
    put(store, "p1", n=4)
    store.renew(at=2, seed=bytes(range(2, 34)))
    assert [(entry.origin, entry.last_seq) for entry in store.previous] == [(first, 2), (second, 2)]
    told = record(store, 5)
    assert (told["item_id"], told["context"]) == ("p1", {first: 1, store.origin: 5})
    assert store.verify().findings == []


def test_a_store_without_records_takes_a_new_identity(tmp_path: Path) -> None:
    """[I2] [J4]: its chain stays the one that begins with the first origin."""
    store = new_store(tmp_path / "project")
    first = store.origin
    store.renew(seed=SEED)
    assert len(store.segments.segments()) == 1
    assert header(store).origin_store_id == store.origin
    put(store, "p1")
    assert [(entry.origin, entry.last_seq) for entry in store.previous] == [(first, 0)]
    assert reopened(store).verify().findings == []


@pytest.mark.parametrize("at", [4, 9])
def test_a_seq_that_no_record_has_is_refused_and_nothing_is_changed(store: Store, at: int) -> None:
    before = tree(store.folder)
    with pytest.raises(InvalidInput, match=f"no record has seq {at}, the log ends at 3"):
        store.renew(at=at)
    assert {name: data for name, data in tree(store.folder).items() if "index" not in name} == {
        name: data for name, data in before.items() if "index" not in name
    }


def test_a_torn_tail_is_named_before_the_old_identity_is_left(store: Store) -> None:
    """[J7]"""
    with tail(store).open("ab") as file:
        file.write(b'\n{"v":2,"seq":4,"ts":"20')
    renewed = store.renew(seed=SEED)
    assert renewed.left.last_seq == 5
    put(store, "p3")
    assert seqs(store) == [1, 2, 3, 5, 6]
    assert [finding.id for finding in reopened(store).verify().findings] == ["torn-tail"]


def test_a_process_that_had_the_store_open_goes_on_under_the_new_identity(store: Store) -> None:
    """[I2]: it must not write under an origin that was left."""
    other = Store.open(
        store.folder, disk=QuickDisk(), machine=FixedMachine(store.data_folder), data_folder=store.data_folder
    )
    put(other, "p5")
    store.renew(seed=SEED)
    put(other, "p6")
    assert other.origin == store.origin
    put(store, "p5", n=2)
    assert record(store, 6)["context"] == {store.previous[0].origin: 4, store.origin: 6}


def test_no_identity_is_changed_within_a_mutation(store: Store) -> None:
    with pytest.raises(StoreLocked), store.mutate(agent="test") as mutation:
        mutation.put("plan", "p3", {})
        store.renew(seed=SEED)
    assert seqs(store) == [1, 2, 3]


def test_a_store_file_of_another_store_is_told_and_nothing_is_written(store: Store, tmp_path: Path) -> None:
    """[I1]: as when git brings one in."""
    other = new_store(tmp_path / "other")
    other.renew(seed=SEED)
    (store.folder / "store.json").write_bytes(
        (other.folder / "store.json").read_bytes().replace(store.origin.encode(), A.encode())
    )
    with pytest.raises(DamagedStore, match=r"which store\.json does not know \[I1\]"):
        put(reopened(store), "p3")
    assert seqs(store) == [1, 2, 3]


def test_what_cannot_be_read_any_more_is_not_said_anew(store: Store) -> None:
    """[J7]: a damaged record does not keep a store from its new identity."""
    put(store, "p3")
    drop = chain_lines(store)[3]
    path = tail(store)
    path.write_bytes(path.read_bytes().replace(drop, drop.replace(b"p3", b"q3")))
    put_later = reopened(store)
    renewed = put_later.renew(at=2, seed=SEED)
    assert renewed.written >= 1
    assert put_later.get("plan", "p1").payload["n"] == 2
