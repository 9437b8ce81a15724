"""Redaction in one store: stubs in place of lines, text in no file, chain and causality as before."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from blake3 import blake3

from journal import DamagedStore, Draft, EntityRedacted, InvalidInput, Store, stub
from journal.redaction import Plan
from tests.doubles.disks import CountingDisk
from tests.doubles.searching import files_with
from tests.doubles.stores import (
    chain_lines,
    delete,
    drop_index,
    projection,
    put,
    reopened,
    seqs,
    tail,
    tree,
)

SECRET = "hünter2-Zürich"
OTHER = "kept-text"


def nothing(_: int) -> bool:
    """Nothing was published."""
    return False


def redact(store: Store, *wanted: int, published: tuple[int, ...] = (), reason: str = "a reason") -> Plan:
    """Redact records, from plan to end; nobody made a feed of them."""
    with store.lock():
        plan = store.redaction.plan(wanted, lambda seq: seq in published)
        store.redaction.begin(plan, reason, "test")
        store.redaction.finish()
        store.redaction.done("feed")
    return plan


def lines(store: Store) -> dict[int, bytes]:
    """Every line of the log, by its seq."""
    return {entry.record.seq: entry.line.data for gap in store.gaps() for entry in gap.entries}


@pytest.fixture
def filled(store: Store) -> Store:
    """p1 says the secret in seq 2 and 3, and not in 1 and 5; n1 says it in 4, private, and is deleted in 6."""
    put(store, "p1")
    with store.mutate(agent="test") as mutation:
        mutation.put("plan", "p1", {"text": SECRET}, summary=SECRET)
        mutation.put("plan", "p1", {"text": [SECRET], "n": 1}, summary=f"the {SECRET}")
    with store.mutate(agent="test") as mutation:
        mutation.put("note", "n1", {"text": SECRET}, summary=OTHER, private=True)
    put(store, "p1", text=OTHER)
    delete(store, "n1", "note")
    put(store, "p2", text=OTHER)
    return store


def test_what_is_redacted_stands_in_no_file(filled: Store) -> None:
    """[J16]: not in the log, not in any cache, not in what SQLite keeps beside its file."""
    assert set(files_with(filled.folder, SECRET)) == {
        "journal/seg-00000001.jsonl",
        "index.sqlite3-wal",
    }
    filled.checkpoint()
    redact(filled, 2, 3, 4)
    assert files_with(filled.folder, SECRET) == []
    filled.close()
    assert files_with(filled.folder, SECRET) == []
    assert files_with(filled.folder, OTHER) != []
    assert filled.verify().findings == []


def test_a_stub_stands_where_the_line_began_and_no_other_line_moves(filled: Store) -> None:
    """[J16]: what is left of it is newlines; places and positions that somebody keeps stay true."""
    before, file = lines(filled), tail(filled).read_bytes()
    position, heads = filled.position(), filled.list(deleted=True)
    redact(filled, 2, 4)
    after = tail(filled).read_bytes()
    for seq, line in before.items():
        at = file.index(line)
        wanted = stub(line) if seq in (2, 4) else line
        assert after[at : at + len(line)] == wanted.ljust(len(line), b"\n")
    assert filled.fits(position)
    assert next(filled.gaps(position)).entries[0].record.action == "redact"
    assert filled.list(deleted=True) == heads
    assert {seq: data for seq, data in lines(filled).items() if seq in before} == before | {
        seq: stub(before[seq]) for seq in (2, 4)
    }


def test_chain_and_causality_stay(filled: Store) -> None:
    """[J3] [J4] [K2] [J16]: c, rev, context, version and private of what is redacted are as they were."""
    before = {head.item_id: head for head in filled.list(deleted=True)}
    chain = [line[-66:-2] for line in chain_lines(filled)]
    redact(filled, 5, 6)
    after = {head.item_id: head for head in filled.list(deleted=True)}
    for item_id, head in before.items():
        assert after[item_id]._replace(summary=None, place=head.place) == head._replace(summary=None)
    assert [line[-66:-2] for line in chain_lines(filled)][: len(chain)] == chain
    put(filled, "p1", n=3)
    assert filled.get("plan", "p1").head.entity_rev == before["p1"].entity_rev + 1
    assert filled.verify().findings == []


def test_an_entity_whose_newest_record_is_redacted_says_so(filled: Store) -> None:
    """[J16]: it is there, without payload and summary."""
    redact(filled, 5)
    with pytest.raises(EntityRedacted, match="plan/p1 is redacted"):
        filled.get("plan", "p1")
    (head,) = [head for head in filled.list() if head.item_id == "p1"]
    assert (head.entity_rev, head.seq, head.summary) == (4, 5, None)
    assert filled.history.rev("plan", "p1", 4).record.redacted
    assert json.loads(projection(filled, "p1").read_bytes())["payload"] is None
    assert filled.history.rev("plan", "p1", 1).record.payload_bytes is not None


def test_the_audit_records_stay_and_tell_what_was_published_apart(filled: Store) -> None:
    """[J16] [F9]: one for others with what they saw, one for us with the rest."""
    before = lines(filled)
    redact(filled, 2, 3, 4, published=(2, 3), reason="it slipped in")
    public, private = [record for record in filled.log() if record.action == "redact"]
    assert (public.private, private.private) == (False, True)
    assert (public.summary, public.agent) == ("it slipped in", "test")
    digests = {seq: blake3(stub(before[seq])).hexdigest() for seq in (2, 3, 4)}
    assert json.loads(public.payload_bytes or b"") == {
        "reason": "it slipped in",
        "lines": [{"seq": seq, "blake3": digests[seq]} for seq in (2, 3)],
    }
    assert json.loads(private.payload_bytes or b"")["lines"] == [{"seq": 4, "blake3": digests[4]}]


@pytest.mark.parametrize(("published", "kinds"), [((), [True]), ((2,), [False])])
def test_a_record_that_lists_nothing_is_not_written(
    filled: Store, published: tuple[int, ...], kinds: list[bool]
) -> None:
    """[J16]: that seqs were withheld is told to nobody."""
    redact(filled, 2, published=published)
    assert [record.private for record in filled.log() if record.action == "redact"] == kinds


def test_redacting_again_changes_nothing(filled: Store) -> None:
    """[J16]"""
    redact(filled, 2)
    before = tree(filled.folder / "journal")
    plan = redact(filled, 2)
    assert (plan.lines, plan.already) == ((), (2,))
    assert tree(filled.folder / "journal") == before


def test_what_else_may_say_the_same_is_listed(filled: Store) -> None:
    """[J2] [J16]: every rev is a whole snapshot, so a text often stands in its neighbours."""
    with filled.lock():
        assert filled.redaction.plan([2], nothing).left == (1, 3, 5)


def test_void_records_of_the_entity_go_too(store: Store) -> None:
    """[J6] [J16]: a batch that a crash cut short holds what was written again later."""
    put(store, "p1")
    with store.mutate(agent="test") as mutation:
        mutation.put("plan", "p1", {"text": SECRET})
        mutation.put("plan", "p2", {"text": OTHER})
    store.close()
    path = tail(store)
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b'{"v":2,"seq":3')] + b'{"v":2,"se')
    drop_index(store)
    (store.folder / "projections.json").unlink()
    projection(store, "p2").unlink()
    again = reopened(store)
    with again.mutate(agent="test") as mutation:
        mutation.put("plan", "p1", {"text": SECRET})
    seq = again.position().seq
    plan = redact(again, seq)
    assert [(line.seq, line.why) for line in plan.lines] == [(2, "void"), (seq, "asked")]
    assert files_with(again.folder, SECRET) == []
    assert [finding.severity for finding in again.verify().findings] == ["info"]


def test_what_a_crash_left_in_the_log_goes_too(store: Store) -> None:
    """[J7] [J16]: half a record is no record, and holds text all the same."""
    put(store, "p1")
    store.close()
    with tail(store).open("ab") as log:
        log.write(f'\n{{"v":2,"seq":2,"ts":"x","payload":{{"text":"{SECRET}'.encode())
    again = reopened(store)
    with again.mutate(agent="test") as mutation:
        mutation.put("plan", "p2", {"text": SECRET})
    redact(again, again.position().seq)
    assert files_with(again.folder, SECRET) == []
    assert again.verify().findings == []
    assert seqs(again) == [1, 3, 4, 5]


def test_a_blob_goes_with_every_record_that_refers_to_it(store: Store) -> None:
    """[J13] [J16]: what it says stands in one file for all of them."""
    long = SECRET + "x" * 70_000
    put(store, "p1", text=OTHER)
    for item_id in ("p2", "p3"):
        with store.mutate(agent="test") as mutation:
            mutation.put("plan", item_id, {"text": long})
    with store.mutate(agent="test") as mutation:
        mutation.put("plan", "p4", {"text": OTHER + "y" * 70_000})
    plan = redact(store, 2)
    assert [(line.seq, line.why) for line in plan.lines] == [(2, "asked"), (3, "same_blob")]
    assert files_with(store.folder, SECRET) == []
    with pytest.raises(EntityRedacted):
        store.get("plan", "p3")
    assert store.get("plan", "p4").payload["text"].startswith(OTHER)
    assert store.verify().findings == []


def test_a_blob_that_no_record_refers_to_goes_too(store: Store) -> None:
    """[J13] [J16]: a crash between blob and record left it; the text was then written again."""
    put(store, "p1", text=SECRET)
    with store.lock():
        store.keep_payload(json.dumps({"text": SECRET + "x" * 70_000}).encode())
    redact(store, 1)
    assert files_with(store.folder, SECRET) == []


def test_projections_that_were_put_aside_and_left_over_files_go_too(filled: Store) -> None:
    """[P3] [J16]"""
    folder = filled.folder / "entities" / "plan"
    (folder / "p1.json.unreadable-2").write_text(SECRET)
    (folder / "p2.json.unreadable-7").write_text("of somebody else")
    (folder / ".tmp-77-p1.json").write_text(SECRET)
    (filled.folder / "journal" / ".tmp-77-seg-00000001.jsonl").write_text(SECRET)
    redact(filled, 2, 3, 4)
    assert files_with(filled.folder, SECRET) == []
    assert (folder / "p2.json.unreadable-7").exists()


def test_checkpoints_are_written_anew_and_still_hold(filled: Store) -> None:
    """[J14] [J16]: with new digests that the log vouches for."""
    with filled.mutate(agent="test") as mutation:
        mutation.put("plan", "p9", {"text": SECRET}, summary=SECRET)
    filled.checkpoint()
    put(filled, "p3")
    filled.checkpoint()
    old = sorted((filled.folder / "journal" / "checkpoints").iterdir())
    assert len(files_with(filled.folder / "journal" / "checkpoints", SECRET)) == 2
    redact(filled, 2, 3, 4, 8)
    assert sorted((filled.folder / "journal" / "checkpoints").iterdir()) == old
    assert files_with(filled.folder, SECRET) == []
    assert filled.verify().findings == []
    before = filled.list(deleted=True)
    disk = CountingDisk()
    drop_index(filled)
    again = reopened(filled, disk=disk)
    assert again.list(deleted=True) == before
    again.rebuild()
    assert again.list(deleted=True) == before
    assert files_with(filled.folder, SECRET) == []


def test_a_checkpoint_that_cannot_be_read_is_removed(filled: Store) -> None:
    """[J16]: who knows what is in it."""
    filled.checkpoint()
    put(filled, "p3")
    path = filled.checkpoint().path
    path.write_bytes(path.read_bytes()[:-30] + SECRET.encode())
    orphan = path.with_name("cp-00000004.jsonl")
    orphan.write_text(SECRET)
    redact(filled, 2, 3, 4)
    assert files_with(filled.folder, SECRET) == []
    assert not path.exists()
    assert not orphan.exists()


def test_archived_segments_are_redacted_like_live_ones(filled: Store) -> None:
    """[J15] [J16]"""
    filled.roll_bytes = 300
    for number in range(2):
        put(filled, "p3", n=number)
        filled.checkpoint()
    assert filled.gc().moved
    assert files_with(filled.folder / "journal" / "archive", SECRET)
    redact(filled, 2, 3, 4)
    assert files_with(filled.folder, SECRET) == []
    assert filled.verify().findings == []
    assert state_of(reopened(filled)) == state_of(filled)


def state_of(store: Store) -> list[object]:
    return [head._replace(place=head.place) for head in store.list(deleted=True)]


def test_a_segment_that_stands_in_both_places_is_redacted_in_both(filled: Store) -> None:
    """[J15] [J16]: a gc was interrupted."""
    filled.roll_bytes = 300
    put(filled, "p3")
    archive = filled.folder / "journal" / "archive"
    archive.mkdir()
    (archive / "seg-00000001.jsonl").write_bytes((filled.folder / "journal" / "seg-00000001.jsonl").read_bytes())
    redact(filled, 2, 3, 4)
    assert files_with(filled.folder, SECRET) == []
    assert [finding.id for finding in filled.verify().findings] == ["archived-twice"]


def test_a_decision_can_be_redacted_and_still_counts(store: Store) -> None:
    """[K5] [J16]: its reason goes, what it decided stays."""
    cause = f"{store.origin}@1"
    with store.mutate(agent="test") as mutation:
        mutation.add(Draft("reject", "plan", "x1", cause=cause, summary=SECRET))
    redact(store, 1)
    assert files_with(store.folder, SECRET) == []
    assert [(record.seq, record.action, record.cause) for record in store.decisions(9)] == [(1, "reject", cause)]


def test_lines_behind_redacted_ones_are_read_as_fast_as_before(store: Store) -> None:
    """[J16]: what a line chains from is found behind any number of newlines."""
    put(store, "p1", text="x" * 60_000)
    put(store, "p2", text="x" * 60_000)
    put(store, "p3")
    for number in range(100):
        put(store, f"q{number}", text="x" * 5_000)
    redact(store, 1, 2)
    disk = CountingDisk()
    again = reopened(store, disk=disk)
    again.refresh()
    disk.reset()
    assert again.get("plan", "p3").payload["title"] == "p3"
    assert disk.bytes_read < 200_000 < tail(store).stat().st_size
    with pytest.raises(EntityRedacted):
        again.get("plan", "p2")


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seq", "message"), [(99, "no record with seq 99"), (8, "seq 8 is a record of the journal itself, which stays")]
)
def test_only_records_about_something_can_be_redacted(filled: Store, seq: int, message: str) -> None:
    """[J16]: the audit record stays."""
    redact(filled, 2)
    before = tree(filled.folder / "journal")
    with filled.lock(), pytest.raises(InvalidInput, match=message):
        filled.redaction.plan([3, seq], nothing)
    assert tree(filled.folder / "journal") == before


@pytest.mark.parametrize("reason", ["", "  ", "x" * 1_001])
def test_a_redaction_needs_a_reason(filled: Store, reason: str) -> None:
    """[J10] [J16]"""
    before = tree(filled.folder / "journal")
    with pytest.raises(InvalidInput, match="a reason has 1 to 1000 characters"):
        redact(filled, 2, reason=reason)
    assert tree(filled.folder / "journal") == before


def test_damage_in_the_log_comes_first(filled: Store) -> None:
    """[J7] [J16]: in damaged bytes nobody can find what is to be redacted, and no mending could bring it back."""
    path = tail(filled)
    path.write_bytes(path.read_bytes().replace(b'"title":"p1"}', b'"title":"p9"}', 1))
    with filled.lock(), pytest.raises(DamagedStore, match="what is to be redacted may stand there too"):
        filled.redaction.plan([5], nothing)


# --- verify ----------------------------------------------------------------------------------------------------------


def test_a_stub_that_no_record_lists_is_damage(filled: Store) -> None:
    """[J16] [F9]: it is taken for what it is only where a record says that it must be there."""
    path = tail(filled)
    line = lines(filled)[7]
    path.write_bytes(path.read_bytes().replace(line, stub(line).ljust(len(line), b"\n")))
    drop_index(filled)
    (found,) = [finding for finding in reopened(filled).verify().findings if finding.severity == "error"]
    assert (found.id, found.seq) == ("stub-unlisted", 7)
    assert "a stub that is not listed by a redact record [J16]" in found.message


def test_a_stub_that_was_changed_is_damage(filled: Store) -> None:
    """[J16]: its c cannot be recomputed, but its digest is listed."""
    redact(filled, 5)
    path = tail(filled)
    path.write_bytes(
        path.read_bytes().replace(b'"redacted":true,"action":"update"', b'"redacted":true,"action":"create"')
    )
    found = {finding.id for finding in reopened(filled).verify().findings if finding.severity == "error"}
    assert "stub-unlisted" in found


def test_a_redaction_that_is_not_finished_is_told(filled: Store) -> None:
    """[J16]"""
    with filled.lock():
        plan = filled.redaction.plan([2, 3], nothing)
        filled.redaction.begin(plan, "a reason", "test")
    found = [finding for finding in reopened(filled).verify().findings if finding.severity == "error"]
    assert [(finding.id, finding.seq, finding.fixable) for finding in found] == [
        ("redaction-unfinished", 2, True),
        ("redaction-unfinished", 3, True),
    ]


def test_the_next_command_that_writes_ends_what_was_interrupted(filled: Store) -> None:
    """[J16]"""
    with filled.lock():
        plan = filled.redaction.plan([2, 3, 4], nothing)
        filled.redaction.begin(plan, "a reason", "test")
    filled.close()
    assert files_with(filled.folder, SECRET)
    again = reopened(filled)
    put(again, "p7")
    assert files_with(again.folder, SECRET) == []
    assert again.verify().findings == []
    assert again.local()["redacting"] == {"since": 7, "left": ["feed"], "blobs": []}


def test_the_index_that_was_redacted_has_no_page_with_the_text(filled: Store, tmp_path: Path) -> None:
    """[J16]: also one that was never closed, and one with free pages."""
    for number in range(200):
        with filled.mutate(agent="test") as mutation:
            mutation.put("note", "n2", {"n": number}, summary=f"{SECRET} {number}" * 5)
    wanted = [record.seq for record in filled.log() if record.summary and SECRET in record.summary]
    redact(filled, *wanted, 3, 2, 4)
    assert files_with(filled.folder, SECRET) == []
    with sqlite3.connect(filled.folder / "index.sqlite3") as db:
        assert db.execute("SELECT count(*) FROM entities WHERE summary LIKE ?", (f"%{SECRET}%",)).fetchone() == (0,)
    db.close()
