"""Checkpoints: what a store holds, written out of band, verified, and used instead of most of the log."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from blake3 import blake3

from journal import DiskFailed, Draft, Finding, FormatTooNew, LogShorterThanKnown, Store
from journal.checkpoint_file import Content, Reading, Writing
from journal.index import Position, Torn
from journal.model import Decided, LocalHead, Place, Version
from tests.doubles.disks import CountingDisk, QuickDisk
from tests.doubles.stores import chain_lines, delete, drop_index, new_store, put, reopened, state, tail, tree

ORIGIN = "es1tc5ikmckyy47b5k5vkybvvwvsk7ejijf"


def filled(store: Store, *, roll_bytes: int = 1_500) -> Store:
    """A life over several segments: puts, batches, deletions, a decision, private ones."""
    store.roll_bytes = roll_bytes
    put(store, "p1", "p2", text="grüße")
    put(store, "p1", n=2)
    delete(store, "p2")
    with store.mutate(agent="test") as mutation:
        mutation.put("note", "n1", {"secret": True}, private=True)
        mutation.add(Draft("reject", "plan", "x1", cause=f"{ORIGIN}@7", root=f"{ORIGIN}@7#0123456789ab", summary="no"))
    for number in range(6):
        put(store, f"q{number}", "p1", n=number)
    return store


def files(store: Store) -> list[Path]:
    return sorted((store.folder / "journal" / "checkpoints").glob("cp-*.jsonl"))


def checkpoint_findings(store: Store) -> list[Finding]:
    return [finding for finding in store.verify().findings if finding.id.startswith("checkpoint")]


def answers(store: Store) -> object:
    """All that a store answers, but for where it reads."""
    return state(store), store.list(deleted=True), list(store.log()), store.position(), [*store.decisions(10**9)]


# --- taking one ------------------------------------------------------------------------------------------------------


def test_a_checkpoint_holds_what_a_rebuild_needs(store: Store) -> None:
    """[J14]: heads and tombstones with summary and place, all decisions, position; its BLAKE3 stands in the log."""
    filled(store)
    heads, decided, position = store.list(deleted=True), [*store.decisions(10**9)], store.position()
    taken = store.checkpoint()
    data = taken.path.read_bytes()
    reading = Reading([data], blake3(data).hexdigest())
    assert reading.top.position[:4] == position[:4]
    assert reading.top.origin_store_id == store.origin
    found = reading.content()
    assert [*found.heads] == heads
    assert [*found.decided] == decided
    assert [*found.lost] == []
    assert [(record.action, record.root) for record in decided] == [("reject", f"{ORIGIN}@7#0123456789ab")]
    reference = list(store.log())[-1]
    assert (reference.action, reference.seq, reference.item_type) == ("checkpoint_ref", taken.seq + 1, "journal")
    assert msgspec.json.decode(reference.payload_bytes or b"") == {
        "file": taken.path.name,
        "seq": position.seq,
        "c": position.c.hex(),
        "bytes": len(data),
        "blake3": blake3(data).hexdigest(),
        "entities": len(heads),
        "decisions": 1,
    }


def test_nothing_new_makes_no_new_checkpoint(store: Store) -> None:
    """[J14]: what vouches for a checkpoint is nothing new."""
    filled(store)
    first = store.checkpoint()
    before = tree(store.folder / "journal")
    again = store.checkpoint()
    assert (again.path, again.digest, again.counts, again.is_new) == (first.path, first.digest, first.counts, False)
    assert tree(store.folder / "journal") == before
    put(store, "more")
    assert store.checkpoint().is_new


def test_the_two_newest_are_kept(store: Store) -> None:
    """[J14]"""
    taken = []
    for number in range(4):
        put(store, "p1", n=number)
        taken.append(store.checkpoint().path)
    assert files(store) == taken[-2:]


def test_a_damaged_one_is_no_reason_to_drop_a_good_one(store: Store) -> None:
    """[J14]: the two that are kept were read whole."""
    taken = []
    for number in range(2):
        put(store, "p1", n=number)
        taken.append(store.checkpoint().path)
    taken[1].write_bytes(taken[1].read_bytes().replace(b'"n', b'"m'))
    data = taken[1].read_bytes()
    taken[1].write_bytes(data[:-5] + b"1" + data[-4:])
    put(store, "p1", n=3)
    taken.append(store.checkpoint().path)
    assert files(store) == taken


def test_others_write_while_a_checkpoint_is_written(store: Store) -> None:
    """[J9] [J14]: the lock is not held meanwhile, and the file is of one moment."""
    filled(store)

    class Writing(QuickDisk):
        wrote = False

        def _write(self, descriptor: int, data: bytes) -> int:
            if b'"is":"checkpoint"' in data and not self.wrote:
                self.wrote = True
                put(other, "meanwhile")
            return super()._write(descriptor, data)

    other, disk = reopened(store), Writing()
    seq = other.position().seq
    taking = reopened(store, disk=disk)
    taken = taking.checkpoint()
    assert disk.wrote
    assert (taken.seq, [record.item_id for record in taking.log(since=seq)]) == (seq, ["meanwhile", None])
    drop_index(taking)
    assert ("plan", "meanwhile") in state(reopened(taking))
    assert reopened(taking).verify().findings == []


def test_a_checkpoint_is_due_when_the_log_grew_by_as_much_as_it_takes(store: Store) -> None:
    """[J14]: all checkpoints together are no more to write than the log."""
    store.roll_bytes = 2_000
    assert not store.checkpoint_is_due()
    written = 0
    for number in range(60):
        put(store, f"p{number:03}")
        if store.checkpoint_is_due():
            written += store.checkpoint().path.stat().st_size
            assert not store.checkpoint_is_due()
    log = sum(path.stat().st_size for path in (store.folder / "journal").glob("seg-*"))
    assert len(files(store)) == 2
    assert 0 < written <= log


# --- using it --------------------------------------------------------------------------------------------------------


def test_a_rebuild_from_a_checkpoint_gives_the_same_answers(store: Store) -> None:
    """[T1] [J14]: index and projections from the checkpoint and the records after it."""
    filled(store)
    store.checkpoint()
    put(store, "p1", n=99)
    delete(store, "q3")
    before, projections = answers(store), tree(store.folder / "entities")
    shutil.rmtree(store.folder / "entities")
    store.rebuild()
    assert answers(store) == before
    assert tree(store.folder / "entities") == projections
    drop_index(store)
    assert answers(reopened(store)) == before


def test_a_rebuild_reads_no_segment_that_a_checkpoint_covers(store: Store) -> None:
    """[J14]: and of the one it ends in only the rest."""
    filled(store, roll_bytes=10**9)
    for number in range(300):
        put(store, f"big{number}", text="x" * 3_000)
    checkpoint = store.checkpoint().path.stat().st_size
    put(store, "last")
    store.close()
    for path in store.folder.glob("index.sqlite3*"):
        path.unlink()
    disk = CountingDisk()
    assert len(reopened(store, disk=disk).list()) == 309
    assert tail(store).stat().st_size > 900_000
    assert disk.bytes_read < checkpoint + 30_000


def test_one_who_may_not_write_reads_from_a_checkpoint_too(store: Store) -> None:
    """[J14]: the fold in memory begins there."""
    filled(store)
    store.checkpoint()
    before = state(store)
    drop_index(store)

    class Locked(QuickDisk):
        def make_file(self, path: Path) -> None:
            raise DiskFailed("read-only", path=path)

    assert state(reopened(store, disk=Locked())) == before


@pytest.fixture
def two(store: Store) -> tuple[Store, object]:
    """A store with two checkpoints and something after each, and what it answers."""
    filled(store)
    store.checkpoint()
    put(store, "between", n=1)
    store.checkpoint()
    put(store, "after", n=1)
    return store, answers(store)


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def lie(data: bytes) -> bytes:
    return data.replace(b'"entity_rev":1', b'"entity_rev":7', 1)


def longer(data: bytes) -> bytes:
    return data + b'{"is":"end","entities":0,"decisions":0,"lost":0}\n'


def newer(data: bytes) -> bytes:
    return data.replace(b'"format":1', b'"format":2', 1)


@pytest.mark.parametrize("damage", [cut, lie, longer, newer, lambda _: b"", lambda _: b"\0" * 900, lambda _: b"{}\n"])
@pytest.mark.parametrize("which", [1, 2])
def test_a_checkpoint_that_is_not_whole_is_passed_over(two: tuple[Store, object], damage: object, which: int) -> None:
    """[J14]: for the one before, and in the end for the log; `verify` names the file."""
    store, before = two
    assert callable(damage)
    for path in files(store)[-which:]:
        path.write_bytes(damage(path.read_bytes()))
    drop_index(store)
    again = reopened(store)
    assert answers(again) == before
    again.rebuild()
    assert answers(again) == before
    found = checkpoint_findings(again)
    assert {finding.path for finding in found} == {str(path) for path in files(store)[-which:]}
    assert {(finding.severity, finding.fixable) for finding in found} == {("warning", True)}


def test_every_byte_of_a_checkpoint_counts(two: tuple[Store, object]) -> None:
    """[J14]: one flipped bit anywhere, and it is passed over and named."""
    store, before = two
    path = files(store)[-1]
    data = path.read_bytes()
    for at in range(0, len(data), max(len(data) // 60, 1)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        assert [finding.path for finding in checkpoint_findings(store)] == [str(path)]
        drop_index(store)
        assert answers(reopened(store)) == before
    path.write_bytes(data)
    assert checkpoint_findings(store) == []


def test_a_checkpoint_that_no_record_vouches_for_is_not_read(two: tuple[Store, object]) -> None:
    """[J14]: who made it ended before that. It is told, and does no harm."""
    store, before = two
    newest = files(store)[-1]
    orphan = newest.with_name("cp-00000099.jsonl")
    orphan.write_bytes(newest.read_bytes())
    position = store.position()
    line = chain_lines(store)[-1]
    assert line
    honest = newest.with_name(f"cp-{position.seq:08d}.jsonl")
    content = Content(store.list(deleted=True)[:1], [], [])
    honest.write_bytes(b"".join(Writing(store.origin, position, content).parts()))
    drop_index(store)
    assert answers(reopened(store)) == before
    found = {finding.path: finding for finding in checkpoint_findings(store)}
    assert found[str(honest)].id == "checkpoint-unused"
    assert found[str(orphan)].id == "checkpoint-differs"
    assert reopened(store).verify().ok


def test_a_checkpoint_that_a_record_vouches_for_and_that_lies_is_found_out(store: Store) -> None:
    """[J14]: by the comparison with a fresh fold."""
    filled(store)
    with store.mutate() as mutation:
        mutation.put("plan", "p9", {})
    taken = store.checkpoint()
    reading = Reading([taken.path.read_bytes()])
    heads, decided, lost = reading.content()
    wrong = [head._replace(entity_rev=head.entity_rev + (head.item_id == "p9")) for head in heads]
    writing = Writing(store.origin, reading.top.position, Content(wrong, [*decided], [*lost]))
    taken.path.write_bytes(b"".join(writing.parts()))
    with store.mutate() as mutation:
        payload = msgspec.json.encode({"seq": taken.seq, "blake3": writing.digest})
        mutation.add(Draft("checkpoint_ref", "journal", payload=payload))
    (found,) = checkpoint_findings(store)
    assert "does not hold what the log says of seq" in found.message
    assert store.gc().behind_seq is None


def test_a_log_shorter_than_a_checkpoint_remembers_lost_records(store: Store) -> None:
    """[J11]: also when index and projections are gone too."""
    filled(store, roll_bytes=10**9)
    length = tail(store).stat().st_size
    put(store, "lost")
    store.checkpoint()
    store.close()
    with tail(store).open("r+b") as log:
        log.truncate(length)
    drop_index(store)
    (store.folder / "projections.json").unlink()
    with pytest.raises(LogShorterThanKnown, match=r"the log ends at seq 18, but seq 19 was written \[J11\]"):
        put(reopened(store), "more")
    assert "log-too-short" in {finding.id for finding in reopened(store).verify().findings}


def test_a_checkpoint_of_another_store_is_none_of_ours(store: Store, tmp_path: Path) -> None:
    """[J11] [J14]: it neither fills the index nor stops anybody."""
    other = Store.init(tmp_path / "other", disk=QuickDisk(), data_folder=tmp_path / "other-data")
    for number in range(9):
        put(other, f"p{number}")
    foreign = other.checkpoint().path
    put(store, "p1")
    (store.folder / "journal" / "checkpoints").mkdir()
    shutil.copy(foreign, store.folder / "journal" / "checkpoints")
    drop_index(store)
    again = reopened(store)
    put(again, "p2")
    assert state(again).keys() == {("plan", "p1"), ("plan", "p2")}


def test_what_is_wrong_in_the_index_does_not_get_into_a_checkpoint(store: Store) -> None:
    """[T1] [J14]: it is made of the log; so a rebuild heals the index."""
    filled(store)
    before = state(store)
    store.close()
    with sqlite3.connect(store.folder / "index.sqlite3") as db:
        db.execute("UPDATE entities SET entity_rev = 77 WHERE item_id = 'p1'")
    db.close()
    again = reopened(store)
    again.checkpoint()
    assert checkpoint_findings(again) == []
    again.rebuild()
    assert state(again) == before


def test_an_index_that_cannot_be_written_does_not_matter(store: Store) -> None:
    """[J14]"""
    put(store, "p1")
    drop_index(store)
    (store.folder / "index.sqlite3").mkdir()
    again = reopened(store)
    put(again, "p2")
    assert again.checkpoint().counts.entities == 2


# --- the file --------------------------------------------------------------------------------------------------------


def heads(count: int) -> Iterator[LocalHead]:
    for number in range(count):
        yield LocalHead(
            item_type="plan",
            item_id=f"p{number:06}",
            entity_rev=number % 7 + 1,
            seq=number + 1,
            c="ab" * 32,
            version=Version(ORIGIN, number + 1, "ab" * 6),
            context={ORIGIN: number + 1},
            claims={} if number % 2 else {ORIGIN: 1},
            deleted=number % 3 == 0,
            private=number % 5 == 0,
            summary=None if number % 4 else "a\nb “✓”",
            place=Place(1, 200 * number, 180),
        )


def test_a_checkpoint_is_written_and_read_piece_by_piece() -> None:
    """[J14]: memory does not depend on what the store holds."""
    position = Position(9, b"\1" * 32, 1, 90, 90)
    decided = [Decided(3, "reject", "plan", None, f"{ORIGIN}@1", None)]
    lost = [Torn(1, 10, 20, True)]
    writing = Writing(ORIGIN, position, Content(heads(20_000), decided, lost))
    parts = [*writing.parts()]
    assert len(parts) > 3
    assert max(map(len, parts)) < 1_100_000
    data = b"".join(parts)
    assert (writing.digest, writing.size_bytes) == (blake3(data).hexdigest(), len(data))
    pieces = [data[at : at + 777] for at in range(0, len(data), 777)]
    reading = Reading(pieces, writing.digest)
    content = reading.content()
    assert all(one == other for one, other in zip(content.heads, heads(20_000), strict=True))
    assert ([*content.decided], [*content.lost]) == (decided, lost)


def test_an_empty_checkpoint_is_one() -> None:
    """[J14]"""
    data = b"".join(Writing(ORIGIN, Position(0, b"\0" * 32, 1, 90, 90), Content([], [], [])).parts())
    assert [[*part] for part in Reading([data]).content()] == [[], [], []]


def test_a_later_format_is_said_to_be_one() -> None:
    """[J12]"""
    data = b"".join(Writing(ORIGIN, Position(0, b"\0" * 32, 1, 90, 90), Content([], [], [])).parts())
    with pytest.raises(FormatTooNew, match="checkpoint format 2"):
        Reading([newer(data)])


def test_a_store_made_twice_has_the_same_checkpoint(tmp_path: Path) -> None:
    """[J14]: a pure function of the log."""
    one, other = (filled(new_store(tmp_path / name)).checkpoint() for name in ("a", "b"))
    assert one.path.read_bytes() == other.path.read_bytes()
