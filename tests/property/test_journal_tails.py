"""Whatever a crash or a power cut leaves at the end of the log: what was acknowledged is there, once, and nothing else.

A log is written by mutations, each one write and one fsync. What is acknowledged was synced; the rest may be there in
part. Each test tears or zeroes the end, opens the store as the next command does, writes, and looks.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from journal import BadRange, Line, Store, chain_start, decode_record
from journal.codec import entries, scan
from tests.doubles.disks import Died, QuickDisk, TearingDisk
from tests.doubles.stores import delete, drop_index, new_store, notes, put, quick_folder, reopened, seqs, state, tail

State = dict[tuple[str, str], tuple[int, Mapping[str, Any] | None]]


@contextlib.contextmanager
def a_store() -> Iterator[Store]:
    with quick_folder() as folder:
        store = new_store(folder / "project")
        yield store
        store.close()


def fill(store: Store) -> None:
    """Mutations of every kind; the last is a batch with text of more than one byte per letter."""
    put(store, "p1", text="ä")
    put(store, "p1", "p2", "p3", n=1)
    delete(store, "p3")
    put(store, "p2", text="grüße ✓ 🎉")
    put(store, "p3", n=2)
    put(store, "p1", "p4", "p5", text="日本語 🎉 ü")


@dataclass(frozen=True)
class Written:
    """A log, its length after each mutation, and the state of the store then."""

    log: bytes
    lengths: list[int]
    states: list[State]


@pytest.fixture(scope="module")
def written() -> Written:
    lengths: list[int] = []
    states: list[State] = []
    with a_store() as store:

        class Measuring(QuickDisk):
            def append(self, path: Path, data: bytes, at: int) -> None:
                lengths.append(at)
                states.append(state(Store.open(store.folder, disk=QuickDisk(), data_folder=store.data_folder)))
                super().append(path, data, at)

        fill(reopened(store, disk=Measuring()))
        log = tail(store).read_bytes()
        return Written(log, [*lengths, len(log)], [*states, state(store)])


# --- cuts ------------------------------------------------------------------------------------------------------------


def test_any_cut_reads_as_a_prefix(written: Written) -> None:
    """[J5] [J6] [J7]: at every byte of the log, whole mutations or nothing of them."""
    start = written.lengths[0]
    whole = scan(written.log[start:], start, chain_start("es1tc5ikmckyy47b5k5vkybvvwvsk7ejijf"))
    lines = [item for item in whole if isinstance(item, Line)]
    assert len(lines) == len(whole)
    for cut in range(start, len(written.log)):
        found = scan(written.log[start:cut], start, chain_start("es1tc5ikmckyy47b5k5vkybvvwvsk7ejijf"))
        good = [item for item in found if isinstance(item, Line)]
        assert [item.data for item in good] == [item.data for item in lines[: len(good)]]
        assert all(item.end <= cut for item in found)
        assert len(found) - len(good) <= 1
        counting = [entry.record.seq for entry in entries(good) if not entry.void]
        mutations = sum(1 for length in written.lengths[1:] if length - 1 <= cut)
        ends = [decode_record(item.data).seq for item in lines if item.end <= written.lengths[mutations]]
        assert counting == ends


@given(fraction=st.floats(0, 1))
@example(fraction=1)
def test_a_store_cut_anywhere_goes_on_from_its_last_whole_mutation(written: Written, fraction: float) -> None:
    """[J5] [J6] [J7]: nothing that was absent appears later, and no seq is used twice."""
    start = written.lengths[0]
    cut = start + round(fraction * (len(written.log) - start))
    mutations = sum(1 for length in written.lengths[1:] if length - 1 <= cut)
    with a_store() as store:
        tail(store).write_bytes(written.log[:cut])
        again = reopened(store)
        assert state(again) == written.states[mutations]
        used = seqs(again)
        put(again, "after")
        assert seqs(again)[: len(used)] == used
        expected = written.states[mutations] | {("plan", "after"): (1, {"title": "after"})}
        assert state(again) == expected
        drop_index(again)
        assert state(reopened(again)) == expected
        assert tail(again).read_bytes().startswith(written.log[:cut])
        found = [finding for finding in again.verify().findings if finding.severity != "info"]
        assert found == []


def test_only_the_newline_is_missing_and_the_record_is_adopted(written: Written) -> None:
    """[J7]: by readers and writers alike, and without a note."""
    with a_store() as store:
        tail(store).write_bytes(written.log[:-1])
        assert [record.seq for record in store.log()] == list(range(1, 11))
        again = reopened(store)
        assert state(again) == written.states[-1]
        put(again, "after")
        assert tail(again).read_bytes().startswith(written.log[:-1] + b"\n{")
        assert notes(again) == []
        assert again.verify().findings == []


def test_a_cut_inside_a_letter_is_a_torn_tail_like_any_other(written: Written) -> None:
    """[J7]"""
    cut = written.log.rindex("語".encode()) + 1
    with a_store() as store:
        tail(store).write_bytes(written.log[:cut])
        put(reopened(store), "after")
        again = reopened(store)
        assert notes(again)[0]["ranges"][0]["end"] == cut
        assert state(again) == written.states[-2] | {("plan", "after"): (1, {"title": "after"})}


# --- NULs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 511, 512, 4_095, 4_096, 65_536, 70_000])
def test_nuls_behind_the_log_are_named_and_left_where_they_are(written: Written, count: int) -> None:
    """[J7]: what a file system leaves that had grown the file, but not written it."""
    with a_store() as store:
        tail(store).write_bytes(written.log + b"\0" * count)
        again = reopened(store)
        assert state(again) == written.states[-1]
        put(again, "after")
        assert seqs(again) == list(range(1, 13))
        assert notes(again) == [
            {
                "kind": "torn_tail",
                "ranges": [
                    {
                        "segment": "seg-00000001.jsonl",
                        "start": len(written.log),
                        "end": len(written.log) + count,
                        "blake3": notes(again)[0]["ranges"][0]["blake3"],
                    }
                ],
                "torn": None,
            }
        ]
        assert tail(again).read_bytes().startswith(written.log + b"\0" * count + b"\n{")
        assert [finding.id for finding in again.verify().findings] == ["torn-tail"]


def test_a_note_is_no_part_of_the_callers_batch(written: Written) -> None:
    """[J6] [J7]: its own write, its own fsync."""
    with a_store() as store:
        tail(store).write_bytes(written.log + b"\0")
        again = reopened(store)
        put(again, "q1", "q2")
        assert [record.batch for record in again.log(last=3)] == [None, (1, 2), (2, 2)]
        assert [item.item_id for item in again.last_commit.written] == ["q1", "q2"]


# --- crashes, one after the other ------------------------------------------------------------------------------------


def keep(share: float) -> Callable[[bytes], bytes]:
    return lambda data: data[: round(share * len(data))]


def zero(start: float, length: float) -> Callable[[bytes], bytes]:
    """A power cut that kept later pages and lost earlier ones."""

    def tear(data: bytes) -> bytes:
        first = round(start * len(data))
        last = min(first + max(round(length * len(data)), 1), len(data))
        return data[:first] + b"\0" * (last - first) + data[last:]

    return tear


def grow(count: int) -> Callable[[bytes], bytes]:
    return lambda data: b"\0" * count


tears = st.one_of(
    st.builds(keep, st.floats(0, 1)),
    st.builds(zero, st.floats(0, 1), st.floats(0, 1)),
    st.builds(lambda one, two: lambda data: two(one(data)), *[st.builds(zero, st.floats(0, 1), st.floats(0, 0.2))] * 2),
    st.builds(grow, st.integers(1, 5_000)),
)


@dataclass(frozen=True)
class Step:
    """A mutation of some entities; perhaps it is torn, perhaps caches are lost and the machine starts anew."""

    ids: tuple[str, ...]
    tear: Callable[[bytes], bytes] | None
    at: int  # which append: 1 is the note on an older tail, if there is one
    loses_index: bool
    reboots: bool


steps = st.builds(
    Step,
    st.lists(st.sampled_from(["p1", "p2", "p3", "p4"]), min_size=1, max_size=5).map(tuple),
    st.none() | tears,
    st.integers(1, 2),
    st.booleans(),
    st.booleans(),
)


def write(store: Store, number: int, step: Step) -> bytes | None:
    """Do the mutation of a step; returns the bytes whose write was torn, None when it was acknowledged."""
    if step.tear is None:
        put(store, *step.ids, n=number)
        return None
    disk = TearingDisk(step.tear, step.at)
    dying = reopened(store, disk=disk)
    try:
        put(dying, *step.ids, n=number)
    except Died:
        assert disk.torn is not None
        return disk.torn
    return None


def after(before: State, number: int, step: Step) -> State:
    found = dict(before)
    for item_id in step.ids:
        rev = found.get(("plan", item_id), (0, None))[0] + 1
        found[("plan", item_id)] = (rev, {"title": item_id, "n": number})
    return found


def is_whole(torn: bytes, left: bytes) -> bool:
    """Whether all of a mutation reached the disk; the last newline may be missing. A note is no mutation."""
    return (
        b'"journal_note"' not in torn and left[: len(torn) - 1] == torn[:-1] and left[len(torn) - 1 :] in (b"", b"\n")
    )


@given(st.lists(steps, min_size=1, max_size=7))
@example([Step(("p1",), None, 1, False, False), *[Step(("p1", "p2"), keep(0.5), 2, False, False)] * 3])
@example([Step(("p1",), None, 1, False, False), *[Step(("p1", "p2", "p3"), zero(0.1, 0.1), 2, True, True)] * 3])
@example([Step(("p1",), None, 1, False, False), Step(("p1", "p2", "p3"), zero(0.1, 0.1), 1, True, True)] * 2)
@example(
    [
        Step(("p1",), None, 1, True, True),
        Step(("p1",), keep(0.3), 1, True, True),
        Step(("p2",), keep(0.9), 1, True, True),
    ]
)
def test_whatever_tears_what_was_acknowledged_is_there_and_nothing_else(plan: list[Step]) -> None:
    """[J1] [J5] [J6] [J7] [J11] [P4]: no record is lost, none comes back, no seq is used twice, no false alarm."""
    with a_store() as store:
        expected: State = {}
        seen: dict[int, str] = {}
        for number, step in enumerate(plan):
            length = tail(store).stat().st_size
            torn = write(store, number, step)
            left = tail(store).read_bytes()[length:]
            if torn is None or (left.endswith(torn) and b'"journal_note"' not in torn) or is_whole(torn, left):
                expected = after(expected, number, step)
            if step.loses_index:
                drop_index(store)
            store = reopened(store, boot_id=f"boot-{number}" if step.reboots else None)
            assert state(store) == expected
            assert store.stale is None
            found = {entry.record.seq: entry.record.c for gap in store.gaps() for entry in gap.entries}
            assert seqs(store) == sorted(found), "a seq stands once, and later ones behind it"
            assert seen.items() <= found.items(), "what was read once is read for ever"
            seen = found
            assert [finding for finding in store.verify().findings if finding.severity != "info"] == []
        put(store, "last")
        expected = expected | {("plan", "last"): (1, {"title": "last"})}
        drop_index(store)
        assert state(reopened(store)) == expected
        assert not [item for item in _bad(store) if item.broken]
        assert [finding for finding in store.verify().findings if finding.severity != "info"] == []


def _bad(store: Store) -> list[BadRange]:
    return [item for gap in store.gaps() for item in gap.bad]


def test_three_torn_tails_in_a_row_are_named_one_by_one() -> None:
    """[J7]"""
    with a_store() as store:
        put(store, "p1")
        for _ in range(3):
            with pytest.raises(Died):
                put(reopened(store, disk=TearingDisk(keep(0.4))), "lost", "lost2")
            put(reopened(store), "kept")
        again = reopened(store)
        assert [note["torn"] for note in notes(again)] == [[2, 2], [5, 5], [8, 8]]
        assert seqs(again) == [1, 3, 4, 6, 7, 9, 10]
        assert state(again)[("plan", "kept")][0] == 3
        assert ("plan", "lost") not in state(again)
        assert [finding.severity for finding in again.verify().findings] == ["info"] * 3


def test_a_tail_torn_while_a_tail_is_named_is_named_with_it() -> None:
    """[J7]: one range, from the last good record on."""
    with a_store() as store:
        put(store, "p1")
        start = tail(store).stat().st_size
        for _ in range(3):
            with pytest.raises(Died):
                put(reopened(store, disk=TearingDisk(keep(0.7), at=1)), "lost")
        end = tail(store).stat().st_size
        put(reopened(store), "kept")
        again = reopened(store)
        assert [(item["start"], item["end"]) for note in notes(again) for item in note["ranges"]] == [(start + 1, end)]
        assert state(again).keys() == {("plan", "p1"), ("plan", "kept")}


@pytest.mark.parametrize("hole", range(5))
def test_a_power_cut_that_kept_later_pages_is_no_damage(hole: int) -> None:
    """[J7]: zeros inside the last batch, which nobody was told of, are a torn tail."""

    def lose_a_record(data: bytes) -> bytes:
        lines = data.split(b"\n\n")
        lines[hole] = b"\0" * len(lines[hole])
        return b"\n\n".join(lines)

    with a_store() as store:
        put(store, "p1")
        with pytest.raises(Died):
            put(reopened(store, disk=TearingDisk(lose_a_record)), "q1", "q2", "q3", "q4", "q5")
        again = reopened(store, boot_id="boot-2")
        assert state(again) == {("plan", "p1"): (1, {"title": "p1"})}
        assert again.stale is None
        assert [finding.severity for finding in again.verify().findings if finding.id != "void-batch"] == ["info"]
        put(again, "p2")
        assert min(seq for seq in seqs(again) if seq > 1 + hole) == 7 - (hole == 4)
        drop_index(again)
        assert state(reopened(again)).keys() == {("plan", "p1"), ("plan", "p2")}
        assert again.verify().ok


def test_zeros_in_a_batch_that_was_acknowledged_are_damage() -> None:
    """[J7]: the same bytes, but somebody was told."""
    with a_store() as store:
        put(store, "p1")
        put(store, "q1", "q2", "q3", "q4")
        path = tail(store)
        lines = path.read_bytes().split(b"\n\n")
        lines[2] = b"\0" * len(lines[2])
        path.write_bytes(b"\n\n".join(lines))
        again = reopened(store)
        assert "corruption" in {finding.id for finding in again.verify().findings}
        assert not again.verify().ok
