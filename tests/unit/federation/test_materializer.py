"""From mirrored lines to foreign heads: once, in order, and whatever the lines hold."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federation.errors import DamagedFeed
from federation.folder import FeedFolder
from federation.index import Index, Row, database_at
from federation.materializer import FLUSH_ENTITIES, materialize
from journal import Disk, Version, stub
from tests.integration.conftest import quick_folder
from tests.integration.forger import Forged, Forger

LOCAL = "es1" + "l" * 32

__all__ = ["quick_folder"]


def is_self(origin: str, seq: int) -> bool:
    return origin == LOCAL


class Mirrored:
    """A forger's feed as a mirror holds it, and the index over it."""

    def __init__(self, folder: Path, forger: Forger | None = None) -> None:
        self.folder = folder
        self.forger = forger or Forger()
        self.index = Index.open(Disk(), folder / "index.sqlite3")
        self.feed = FeedFolder(Disk(), folder / self.forger.origin)

    def put(self, found: Forged | None = None) -> Forged:
        """Let the mirror hold this feed."""
        found = found or self.forger.feed()
        found.put_into(self.folder)
        self.feed.forget_cached()
        return found

    def materialize(self, index: Index | None = None) -> int:
        """Bring the index up to the mirror; how many record lines were taken."""
        return materialize(self.feed, self.forger.origin, index or self.index, is_self)

    def rows(self) -> dict[str, Row]:
        """All rows by `type/id`."""
        return {f"{row.item_type}/{row.item_id}": row for row in self.index.rows(settled_too=True)}

    def row(self, key: str = "plan/x") -> Row:
        return self.rows()[key]

    def everything(self) -> list[str]:
        """The whole index as text."""
        assert self.index.path is not None
        with contextlib.closing(sqlite3.connect(self.index.path)) as database:
            return list(database.iterdump())


@pytest.fixture
def mirrored(quick_folder: Path) -> Iterator[Mirrored]:
    found = Mirrored(quick_folder)
    yield found
    found.index.close()


# --- heads -----------------------------------------------------------------------------------------------------------


def test_each_entity_has_one_row_its_newest_record(mirrored: Mirrored) -> None:
    """[F7]"""
    forger = mirrored.forger
    forger.record("a", summary="first", context={forger.origin: 1})
    forger.record("b")
    forger.edit("a", summary="second", entity_rev=2, context={forger.origin: 3}, claims={LOCAL: 9})
    forger.record("b", action="delete", entity_rev=2)
    forger.record("a", item_type="decision")
    mirrored.put()
    assert mirrored.materialize() == 5
    rows = mirrored.rows()
    assert list(rows) == ["plan/a", "plan/b", "decision/a"]  # by seq
    found = rows["plan/a"]
    assert (found.seq, found.entity_rev, found.action, found.summary) == (3, 2, "update", "second")
    assert found.digest == forger.lines[2].after.c.hex()
    assert found.foreign_head().context == {forger.origin: 3}
    assert found.foreign_head().claims == {LOCAL: 9}
    assert (rows["plan/b"].tombstone, rows["plan/b"].action) == (1, "delete")
    assert mirrored.feed.line_at(found.slice, found.offset, found.length) == forger.lines[2].data


def test_a_copy_is_its_root_and_an_authored_record_itself(mirrored: Mirrored) -> None:
    """[K1] [K2]"""
    forger = mirrored.forger
    root = Version(LOCAL, 4, "0" * 12)
    forger.record("copy", action="accept", root=str(root), context={LOCAL: 4})
    forger.record("own")
    mirrored.put()
    mirrored.materialize()
    assert mirrored.row("plan/copy").foreign_head().version == root
    own = mirrored.row("plan/own").foreign_head()
    assert own.version == Version(forger.origin, 2, forger.state.c.hex()[:12])
    assert own.full_context == {forger.origin: 2}


def test_skips_are_no_records(mirrored: Mirrored) -> None:
    """[F1]"""
    mirrored.forger.skip(5)
    mirrored.forger.record("x")
    mirrored.forger.skip()
    mirrored.put()
    assert mirrored.materialize() == 1
    assert mirrored.index.position(mirrored.forger.origin)[0] == 7


def test_what_was_materialized_once_is_not_again(mirrored: Mirrored) -> None:
    """[F7] Applying the same (origin, seq) twice changes nothing."""
    mirrored.forger.record("x")
    mirrored.put()
    mirrored.materialize()
    before = mirrored.everything()
    assert mirrored.materialize() == 0
    assert mirrored.everything() == before


def test_an_origin_without_a_mirror_has_nothing(mirrored: Mirrored) -> None:
    before = mirrored.everything()
    assert mirrored.materialize() == 0
    assert mirrored.everything() == before


def test_what_a_machine_is_doing_and_journal_internals_are_never_candidates(mirrored: Mirrored) -> None:
    """[J2] (DESIGN 8)"""
    forger = mirrored.forger
    for item_type in ("claim", "assignment", "agent_run", "session", "runtime_note", "journal"):
        forger.record("x", item_type=item_type)
    forger.record("x", item_type="session", action="session_start", payload=None)
    forger.record(None, item_type="journal", action="journal_note")
    forger.record("x", action="snooze", payload=None, cause=f"{LOCAL}@1")
    forger.record(None, action="create")
    mirrored.put()
    assert mirrored.materialize() == 10
    assert mirrored.rows() == {}
    assert mirrored.index.notes(forger.origin) == {}


@st.composite
def histories(draw: st.DrawFn) -> Forger:
    """What a store may have written about four entities."""
    forger = Forger()
    for _ in range(draw(st.integers(1, 14))):
        item_id = draw(st.sampled_from("abcd"))
        match draw(st.sampled_from(["edit", "delete", "skip", "reject", "odd"])):
            case "edit":
                forger.edit(item_id, entity_rev=forger.state.seq + 1)
            case "delete":
                forger.record(item_id, action="delete")
            case "skip":
                forger.skip(draw(st.integers(1, 3)))
            case "reject":
                forger.record(item_id, action="reject", payload=None, cause=f"{LOCAL}@{draw(st.integers(1, 3))}")
            case "odd":
                forger.record(item_id, summary=7)
    return forger


@given(histories(), st.data())
@settings(max_examples=40)
def test_a_feed_taken_in_parts_gives_what_it_gives_at_once(
    tmp_path_factory: pytest.TempPathFactory, forger: Forger, data: st.DataObject
) -> None:
    """[F7] Wherever it is cut into slices and pulls."""
    from tempfile import TemporaryDirectory

    cuts = sorted(data.draw(st.sets(st.integers(1, max(1, len(forger.lines) - 1)), max_size=4)))
    cuts = [cut for cut in cuts if cut < len(forger.lines)]
    with TemporaryDirectory(dir=_quick()) as first, TemporaryDirectory(dir=_quick()) as second:
        parts, whole = Mirrored(Path(first), forger), Mirrored(Path(second), forger)
        taken = 0
        for count, end in enumerate([*cuts, len(forger.lines)]):
            part = forger.copy()
            del part.lines[end:]
            parts.put(part.feed(cuts=cuts[:count]))
            taken += parts.materialize()
        whole.put(forger.feed(cuts=cuts))
        assert whole.materialize() == taken
        assert parts.everything() == whole.everything()
        parts.index.close()
        whole.index.close()


def _quick() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def test_a_slice_that_reaches_below_the_position_is_taken_behind_it(mirrored: Mirrored) -> None:
    """[F3] [F7] Mirrors are cut anew by a rebuild of a relay; the position is a seq, not a file."""
    forger = mirrored.forger
    forger.record("a")
    forger.record("b")
    mirrored.put()
    mirrored.materialize()
    forger.record("c")
    forger.edit("a")
    mirrored.put(forger.feed())
    assert mirrored.materialize() == 2
    assert [(key, row.seq) for key, row in mirrored.rows().items()] == [("plan/b", 2), ("plan/c", 3), ("plan/a", 4)]


def test_the_index_of_another_mirror_is_forgotten(mirrored: Mirrored) -> None:
    """[T1] A mirror that was restored from a backup is read from its start."""
    forger = mirrored.forger
    forger.record("a")
    old = forger.feed()
    forger.record("b")
    mirrored.put()
    mirrored.materialize()
    mirrored.put(old)
    assert mirrored.materialize() == 1
    assert list(mirrored.rows()) == ["plan/a"]
    assert mirrored.index.position(forger.origin) == (1, f"{forger.lines[0].after.c.hex()} 0")


# --- memory and transactions -----------------------------------------------------------------------------------------


class Killed(BaseException):
    """The process ends here."""


class FragileIndex(Index):
    """Dies at a flush: before it, or after some of its rows."""

    def __init__(self, path: Path, *, at: int, rows: int = 0) -> None:
        super().__init__(database_at(Disk(), path))
        self.flushes = 0
        self._at = at
        self._rows = rows

    def flush(self, origin: str, rows: Any, position: tuple[int, str], **more: Any) -> None:
        self.flushes += 1
        super().flush(origin, self._some(rows) if self.flushes == self._at else rows, position, **more)

    def _some(self, rows: Any) -> Iterator[Row]:
        yield from list(rows)[: self._rows]
        raise Killed


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_position_and_effect_move_in_one_transaction(quick_folder: Path, rows: int) -> None:
    """[F7] Killed in the middle of a flush, the index is as before; run again, it is as if never killed."""
    mirrored = Mirrored(quick_folder)
    mirrored.forger.record("old")
    mirrored.put()
    mirrored.materialize()
    before = mirrored.everything()
    for name in "abc":
        mirrored.forger.record(name, action="accept", root=f"{LOCAL}@1#{'0' * 12}", context={LOCAL: 1})
    mirrored.put()
    fragile = FragileIndex(quick_folder / "index.sqlite3", at=1, rows=rows)
    with pytest.raises(Killed):
        mirrored.materialize(fragile)
    fragile.close()
    assert mirrored.everything() == before
    assert mirrored.materialize() == 3
    after = mirrored.everything()
    mirrored.index.close()

    (quick_folder / "other").mkdir()
    undisturbed = Mirrored(quick_folder / "other", mirrored.forger)
    undisturbed.put(mirrored.forger.feed())
    undisturbed.materialize()
    assert undisturbed.everything() == after
    undisturbed.index.close()


def test_memory_is_bounded_by_flushing_at_slice_ends_and_a_kill_in_between_loses_only_the_rest(
    quick_folder: Path,
) -> None:
    """[F7] Flushed when 20,000 entities changed; what was flushed stays, with its position."""
    forger = Forger()
    for number in range(FLUSH_ENTITIES + 5):
        forger.record(f"p{number}")
    first_end = len(forger.lines)
    forger.record("late")
    forger.edit("p0")
    found = forger.feed(cuts=[first_end])
    mirrored = Mirrored(quick_folder, forger)
    mirrored.put(found)
    fragile = FragileIndex(quick_folder / "index.sqlite3", at=2)
    with pytest.raises(Killed):
        mirrored.materialize(fragile)
    assert fragile.flushes == 2
    fragile.close()
    assert mirrored.index.position(forger.origin) == (first_end, "")
    assert len(mirrored.rows()) == first_end
    assert mirrored.materialize() == 2
    assert mirrored.index.position(forger.origin) == (first_end + 2, f"{forger.state.c.hex()} 0")
    assert (mirrored.row("plan/late").seq, mirrored.row("plan/p0").seq) == (first_end + 1, first_end + 2)
    mirrored.index.close()


def test_a_mirror_that_cannot_be_read_is_told_and_what_was_taken_stays(mirrored: Mirrored) -> None:
    """[F7] [T1] Unreadable is never empty."""
    mirrored.forger.record("a")
    mirrored.put()
    mirrored.materialize()
    before = mirrored.everything()
    mirrored.forger.record("b")
    found = mirrored.put(mirrored.forger.feed(cuts=[1]))
    path = mirrored.folder / mirrored.forger.origin / found.slices[1]
    good = path.read_bytes()
    for bad in (good[:-10], b"", b"junk"):
        path.write_bytes(bad)
        with pytest.raises(DamagedFeed):
            mirrored.materialize()
        assert mirrored.everything() == before
    path.unlink()
    mirrored.feed.forget_cached()
    with pytest.raises(DamagedFeed, match="no slice holds seq 2"):
        mirrored.materialize()
    path.write_bytes(good)
    mirrored.feed.forget_cached()
    assert mirrored.materialize() == 1


# --- what cannot be read ---------------------------------------------------------------------------------------------


def raw(forger: Forger, text: bytes, item_id: bytes = b"x") -> None:
    """A chained line with an invalid part of any bytes at its end."""
    start = b'{"v":2,"seq":%d,"action":"create","item_type":"plan","item_id":"%b"' % (forger.state.seq + 1, item_id)
    forger.chained(start + b',"entity_rev":1,' + text)


UNREADABLE: dict[str, dict[str, Any]] = {
    "redacted": {"redacted": True},
    "a later version": {"v": 3},
    "a version far later": {"v": 999_999},
    "an action nobody knows": {"action": "mystery"},
    "an action of another type": {"action": 5},
    "a context that is a list": {"context": []},
    "a context that is text": {"context": "x"},
    "a context below 1": {"context": {LOCAL: 0}},
    "a context beyond all seqs": {"context": {LOCAL: 2**53}},
    "a context beyond 64 bits": {"context": {LOCAL: 2**70}},
    "a context of no origins": {"context": {"somebody": 1}},
    "a context of text": {"context": {LOCAL: "1"}},
    "a context of too many to look at": {"context": {f"brainclaw:p{n}": 1 for n in range(4097)}},
    "claims that are none": {"claims": 7},
    "a root that is none": {"root": "nonsense"},
    "a root of another type": {"root": 5},
    "a cause of another type": {"cause": 5},
    "a payload that is a list": {"payload": [1]},
    "a payload that is text": {"payload": "x"},
    "no payload": {"payload": None},
    "a payload that stands elsewhere": {"payload": None, "payload_ref": {"blake3": "x"}},
    "a summary of another type": {"summary": 5},
    "a rev beyond all": {"entity_rev": 10**30},
    "a rev beyond 64 bits": {"entity_rev": 2**63},
    "a rev below 1": {"entity_rev": 0},
    "a rev that is no integer": {"entity_rev": 1.5},
    "a rev that is true": {"entity_rev": True},
    "a batch that is none": {"batch": "x"},
    "a batch of three": {"batch": [1, 2, 3]},
    "a salt of another type": {"salt": 5},
    "private by another word": {"private": "yes"},
    "redacted by another word": {"redacted": 5},
    "an agent of another type": {"agent": []},
    "an agent id of another type": {"agent_id": 5},
    "a session of another type": {"session_id": {}},
    "a time of another type": {"ts": 5},
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_a_record_that_cannot_be_read_is_shown_as_such_and_stops_nothing(mirrored: Mirrored, case: str) -> None:
    """[K3] [F6] Kept, shown, never guessed; whatever the journal would not decode is no record here either."""
    forger = mirrored.forger
    forger.record("before")
    forger.record("x", **UNREADABLE[case])
    forger.record("after")
    mirrored.put()
    assert mirrored.materialize() == 3
    rows = mirrored.rows()
    assert list(rows) == ["plan/before", "plan/x", "plan/after"]
    assert [key for key, row in rows.items() if row.unreadable] == ["plan/x"]
    found = rows["plan/x"]
    assert (found.seq, found.digest) == (2, forger.lines[1].after.c.hex())
    assert found.root is None
    assert found.foreign_head().version == Version(forger.origin, 2, found.digest[:12])
    assert mirrored.feed.line_at(found.slice, found.offset, found.length) == forger.lines[1].data


@pytest.mark.parametrize(
    "text",
    [
        b'"payload":{"a":"\xff\xfe"}',
        b'"payload":{"a":"\xed\xa0\x80"}',
        b'"summary":"\xc3","payload":{}',
        b'"payload":' + b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
        b'"payload":{},"seq":7',
        b'"payload":{},"v":1',
        b'"payload":{},"redacted":true',
        b'"payload":{},"redacted":true,"redacted":false,"seq":1',
    ],
    ids=lambda text: text[:30].decode("ascii", "replace"),
)
def test_bytes_that_two_readers_could_take_in_two_ways_are_unreadable(mirrored: Mirrored, text: bytes) -> None:
    """[K3] Invalid UTF-8, nesting without end, and a seq, version or redaction said twice."""
    mirrored.forger.record("before")
    raw(mirrored.forger, text)
    mirrored.forger.record("after")
    mirrored.put()
    assert mirrored.materialize() == 3
    found = mirrored.row()
    assert found.unreadable
    assert (found.seq, found.digest) == (2, mirrored.forger.lines[1].after.c.hex())
    assert not mirrored.row("plan/after").unreadable


@pytest.mark.parametrize(
    "text",
    [
        b'{"v":2,"seq":1',
        b'{"v":2,"seq":1,,,',
        b'{"v":2,"seq":1,"item_type":"plan","item_id":["x"]',
        b'{"v":2,"seq":1,"item_type":5,"item_id":"x"',
        b'{"v":2,"seq":1,"item_type":"plan","item_id":""' + b',"summary":5',
        b'{"v":2,"seq":1,"item_type":"plan","item_id":"\\ud800","action":"create"',
        b'{"v":2,"seq":1,"item_type":"plan","item_id":"' + b"x" * 600 + b'","summary":5',
        b'{"v":2,"seq":1,"x":' + b"[" * 200_000,
    ],
    ids=lambda text: text[:60].decode("ascii", "replace"),
)
def test_a_line_that_names_no_entity_is_counted_and_told(mirrored: Mirrored, text: bytes) -> None:
    """[F6] Nothing is lost silently."""
    mirrored.forger.chained(text)
    mirrored.forger.record("after")
    mirrored.put()
    assert mirrored.materialize() == 2
    assert list(mirrored.rows()) == ["plan/after"]
    assert mirrored.index.notes(mirrored.forger.origin) == {"unreadable_lines": 1}


def test_how_deep_a_line_may_nest_does_not_depend_on_who_asks(mirrored: Mirrored) -> None:
    """[T1] Parsers recurse on the stack of their caller; a rebuild must find what a pull found."""
    depths = (200, 300, 900, 990)
    for depth in depths:
        payload = b'{"a":' * depth + b"1" + b"}" * depth
        raw(mirrored.forger, b'"payload":' + payload, item_id=b"d%d" % depth)
    mirrored.put()

    def deep(levels: int) -> None:
        if levels:
            deep(levels - 1)
        else:
            mirrored.materialize()

    deep(400)
    assert {key: bool(row.unreadable) for key, row in mirrored.rows().items()} == {
        "plan/d200": False,
        "plan/d300": True,
        "plan/d900": True,
        "plan/d990": True,
    }


def test_an_unreadable_line_takes_the_place_of_an_older_record_and_leaves_it_to_a_newer(mirrored: Mirrored) -> None:
    """[F7] The newest record of an entity counts, readable or not."""
    forger = mirrored.forger
    forger.record("x")
    forger.record("x", summary=5)
    forger.record("y", summary=5)
    forger.edit("y")
    mirrored.put()
    mirrored.materialize()
    assert [(row.seq, bool(row.unreadable)) for row in mirrored.rows().values()] == [(2, True), (4, False)]
    forger.edit("x")
    forger.record("y", v=3)
    mirrored.put()
    mirrored.materialize()
    assert [(row.seq, bool(row.unreadable)) for row in mirrored.rows().values()] == [(5, False), (6, True)]


def test_a_listed_stub_is_shown_as_redacted_with_what_it_still_says(mirrored: Mirrored) -> None:
    """[F9]"""
    forger = mirrored.forger
    forger.record("x", entity_rev=4, context={forger.origin: 1, LOCAL: 3}, summary="gone")
    data = stub(forger.lines[0].data)
    mirrored.put(forger.feed(bodies={0: data + b"\n"}, redacted=[1]))
    assert mirrored.materialize() == 1
    found = mirrored.row()
    assert (found.unreadable, found.entity_rev, found.summary) == ("redacted", 4, None)


def test_ids_that_our_journal_cannot_hold_are_kept_as_they_are(mirrored: Mirrored) -> None:
    """[J10] is a limit at write; what others wrote is shown."""
    names = ["", " ", "a/b", "..", "CON", "a\0b", "\u202eevil", "x" * 512, "ünï", "P", "p"]
    for name in names:
        mirrored.forger.record(name)
    mirrored.put()
    mirrored.materialize()
    assert [row.item_id for row in mirrored.rows().values()] == names
    assert not any(row.unreadable for row in mirrored.rows().values())


def test_names_and_texts_longer_than_anybody_reads_are_cut(mirrored: Mirrored) -> None:
    mirrored.forger.record("x" * 5_000)
    mirrored.forger.record("y", summary="s" * 100_000)
    mirrored.put()
    mirrored.materialize()
    long, summary = mirrored.rows().values()
    assert (len(long.item_id), long.unreadable) == (512, "item type or id too long")
    assert summary.summary == "s" * 1_000
    assert summary.unreadable is None


# --- receipts --------------------------------------------------------------------------------------------------------


def test_receipts_are_decisions_about_versions_of_ours_each_counted_once(mirrored: Mirrored) -> None:
    """[K5] (DESIGN 8): by root where there is one, so that relays count too."""
    forger, other = mirrored.forger, "es1" + "o" * 32
    forger.record("a", action="accept", cause=f"{LOCAL}@1", root=f"{LOCAL}@1#{'0' * 12}", context={LOCAL: 1})
    forger.record("b", action="accept", cause=f"{other}@7", root=f"{LOCAL}@2#{'0' * 12}", context={LOCAL: 2})
    forger.record("b", action="accept", cause=f"{LOCAL}@2", root=f"{LOCAL}@2#{'0' * 12}", context={LOCAL: 2})
    forger.record("c", action="accept", cause=f"{LOCAL}@3", context={forger.origin: 4, LOCAL: 3})
    forger.record("d", action="delete", cause=f"{LOCAL}@4", root=f"{LOCAL}@4#{'0' * 12}", context={LOCAL: 4})
    forger.record("e", action="reject", payload=None, cause=f"{LOCAL}@5", root=f"{LOCAL}@5#{'0' * 12}")
    forger.record("f", action="accept", cause=f"{other}@1", root=f"{other}@1#{'0' * 12}", context={other: 1})
    forger.record("g", action="snooze", payload=None, cause=f"{LOCAL}@6")
    forger.record("h", action="reject", payload=None, cause="nonsense")
    mirrored.put()
    mirrored.materialize()
    ours = {LOCAL: 9}
    assert mirrored.index.receipts.count(forger.origin, ours) == {"accept": 4, "reject": 1}
    assert mirrored.index.receipts.count(forger.origin, {LOCAL: 3}) == {"accept": 3}
    assert mirrored.index.receipts.count(other, ours) == {}
    assert mirrored.index.receipts.of_others(forger.origin, ours) == []
