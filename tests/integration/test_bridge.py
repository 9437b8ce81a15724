"""The other program's store as a remote: copied as far as it is settled, read in file order, never written."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from eventsync import exits
from eventsync.sharing import PullRun, Sharing
from federation import mirrored
from federation.model import BRAKE_CHANGES, Result
from tests.integration.world import (
    World,
    accept_all,
    answers,
    candidates,
    entities,
    only,
    pull,
    put,
    rebuilt,
    refusal,
    reject,
    tree,
    verdicts,
)

PROJECT = "prj_" + "0123456789abcdef" * 2
ORIGIN = f"brainclaw:{PROJECT}"


def line(seq: int, item_id: str | None, action: str = "update", **fields: Any) -> bytes:
    """A record as that program writes it: keys in its order, absent ones left out."""
    value = {
        "v": 2,
        "seq": seq,
        "ts": "2026-06-10T14:03:22.114Z",
        "writer": "w_1-abcdef",
        "agent": "claude",
        "action": action,
        "item_type": "plan",
        "item_id": item_id,
        "entity_rev": seq,
        "payload": {"id": item_id, "text": f"{item_id} at {seq} ✓ 🙂"},
    } | fields
    if action == "delete":
        value["payload"] = None
    return json.dumps({k: v for k, v in value.items() if v is not None}, ensure_ascii=False).encode()


class Source:
    """A `.brainclaw` folder."""

    def __init__(self, parent: Path) -> None:
        self.folder = parent / "their project" / ".brainclaw"
        self.events = self.folder / "events"
        self.events.mkdir(parents=True)
        (self.folder / "config.yaml").write_text(f"project_id: {PROJECT}\nstore:\n  journal:\n    mode: dual\n")
        self._time = 1_700_000_000

    def write(self, data: bytes, segment: int = 1) -> None:
        """Let a segment hold these bytes; its time moves on, as on a disk that is slower than a test."""
        path = self.events / f"seg-{segment:08d}.jsonl"
        path.write_bytes(data)
        self._time += 1
        os.utime(path, (self._time, self._time))

    def batch(self, *lines: bytes) -> bytes:
        """One append of that program."""
        return b"\n" + b"\n".join(lines) + b"\n"


@pytest.fixture
def source(world: World) -> Source:
    return Source(world.folder)


def reader_of(world: World, source: Source, name: str = "reader") -> Sharing:
    store = world.store(name)
    store.remove_remote("bus")
    store.add_remote("theirs", str(source.folder))
    return store


def heads(store: Sharing) -> list[tuple[Any, ...]]:
    """What a store knows of the source."""
    return [(i.item_type, i.item_id, i.seq, i.action, i.payload, i.summary, i.verdict) for i in candidates(store)]


def history(rng: random.Random, count: int) -> bytes:
    """What that program may have written, torn tails and garbage included."""
    data, seq = b"", 0
    while seq < count:
        lines = []
        for _ in range(rng.randint(1, 4)):
            seq += rng.choice([0, 1, 1, 1, 2])
            action = rng.choice(["create", "update", "update", "delete", "session_start", "claim"])
            item_type = rng.choice(["plan", "decision", "trap", "claim", "note"])
            lines.append(line(max(seq, 1), f"x{rng.randint(1, 6)}", action, item_type=item_type))
        data += b"\n" + b"\n".join(lines) + b"\n"
        if rng.random() < 0.3:
            torn = line(seq + 1, "torn")
            data += b"\n" + torn[: rng.randrange(1, len(torn))]  # a crash; their writer goes on with a newline
        if rng.random() < 0.1:
            data += b"\ngarbage \xff\xfe\n"
    return data


# --- growing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_pulls_at_any_bytes_of_a_growing_segment_come_to_what_one_pull_at_the_end_gives(
    world: World, source: Source, seed: int
) -> None:
    """A grown tail is picked up; a write in progress is not read yet."""
    rng = random.Random(seed)
    data = history(rng, 60)
    reader = reader_of(world, source)
    records = 0
    for end in sorted({rng.randrange(len(data)) for _ in range(12)} | {len(data)}):
        source.write(data[:end])
        run = pull(reader)
        assert run.exit_code == exits.DONE, run
        records += sum(found.records for found in run.remotes[0].origins)
    once = reader_of(world, source, "once")
    assert only(pull(once)).records == records
    assert heads(reader) == heads(once)
    assert answers(reader)["notes"] == answers(once)["notes"]
    before = answers(reader)
    assert answers(rebuilt(reader)) == before


def test_pulling_twice_changes_nothing_and_opens_no_segment(world: World, source: Source) -> None:
    """[F7]"""
    source.write(source.batch(line(1, "a"), line(2, "b")))
    reader = reader_of(world, source)
    assert (only(pull(reader)).result, only(pull(reader)).result) == (Result.NEW, Result.UP_TO_DATE)
    before = tree(reader.store.folder, without=("runs.jsonl", "federation.lock", "journal.lock"))
    (source.events / "seg-00000001.jsonl").chmod(0)
    run = pull(reader)
    (source.events / "seg-00000001.jsonl").chmod(0o600)
    assert (only(run).result, only(run).records, run.exit_code) == (Result.UP_TO_DATE, 0, exits.DONE)
    assert tree(reader.store.folder, without=("runs.jsonl", "federation.lock", "journal.lock")) == before


def test_a_last_line_without_its_newline_is_a_record_when_it_is_whole(world: World, source: Source) -> None:
    """Their reader takes it, and their writer goes on behind it."""
    first = source.batch(line(1, "a"))
    source.write(first + b"\n" + line(2, "b"))
    reader = reader_of(world, source)
    assert only(pull(reader)).records == 2
    source.write(first + b"\n" + line(2, "b") + source.batch(line(3, "c")))
    assert only(pull(reader)).records == 1
    assert [item[1] for item in heads(reader)] == ["a", "b", "c"]


# --- contradictions --------------------------------------------------------------------------------------------------


def assert_refused(run: PullRun, result: Result, code: int, word: str) -> None:
    found = refusal(run)
    assert (found.result, run.exit_code) == (result, code)
    assert word in str(found)


@pytest.mark.parametrize("longer", [False, True])
def test_a_rewritten_prefix_is_refused_and_nothing_changes(world: World, source: Source, longer: bool) -> None:
    """Exit 5: what was copied is kept as it was."""
    data = source.batch(line(1, "a"), line(2, "b")) + source.batch(line(3, "c"))
    source.write(data)
    reader = reader_of(world, source)
    pull(reader)
    mirror = reader.store.folder / "federation" / "mirror"
    before = tree(mirror), answers(reader)
    rewritten = data.replace(b'"a at 1', b'"A at 1')
    source.write(rewritten + (source.batch(line(4, "d")) if longer else b""))
    assert_refused(pull(reader), Result.REFUSED, exits.FOREIGN_REFUSED, "rewritten")
    assert (tree(mirror), answers(reader)) == before
    source.write(data + source.batch(line(4, "d")))
    assert only(pull(reader)).records == 1


def test_a_record_that_went_on_after_it_was_copied_is_refused(world: World, source: Source) -> None:
    data = b"\n" + line(1, "a")
    source.write(data)
    reader = reader_of(world, source)
    pull(reader)
    source.write(data + b" and more\n")
    assert_refused(pull(reader), Result.REFUSED, exits.FOREIGN_REFUSED, "went on")


def test_a_source_that_holds_less_is_stale(world: World, source: Source) -> None:
    """[F5] An older copy that came back: exit 0, and nothing is forgotten."""
    one, two = source.batch(line(1, "a"), line(2, "b")), source.batch(line(3, "c"))
    source.write(one)
    source.write(two, 3)
    reader = reader_of(world, source)
    pull(reader)
    before = answers(reader)
    source.write(two[:-20], 3)
    assert_refused(pull(reader), Result.STALE, exits.DONE, "less")
    (source.events / "seg-00000003.jsonl").unlink()
    assert_refused(pull(reader), Result.STALE, exits.DONE, "less")
    assert answers(reader) == before
    source.write(two, 3)
    assert pull(reader).exit_code == exits.DONE
    assert answers(reader) == before


# --- order -----------------------------------------------------------------------------------------------------------


def test_records_count_in_file_order_and_duplicate_seqs_are_reported(world: World, source: Source) -> None:
    """The later line wins whatever its seq; a seq that stands again is raised above the last."""
    source.write(source.batch(line(5, "a"), line(6, "b"), line(6, "a"), line(2, "b", text="late"), line(9, "c")))
    reader = reader_of(world, source)
    found = only(pull(reader))
    assert [(item[1], item[2]) for item in heads(reader)] == [("a", 7), ("b", 8), ("c", 9)]
    assert "2 records with a seq used before (6, 2)" in found.warnings[0]
    assert candidates(reader)[0].payload == {"id": "a", "text": "a at 6 ✓ 🙂"}


def test_segments_are_read_by_number_and_not_as_text(world: World, source: Source) -> None:
    """[J8] Past seq 99,999,999 the two differ."""
    source.write(source.batch(line(99_999_999, "a", payload={"n": 1})), 99_999_999)
    (source.events / "seg-100000000.jsonl").write_bytes(source.batch(line(100_000_000, "a", payload={"n": 2})))
    (source.events / "seg-100000000.sync-conflict.jsonl").write_bytes(source.batch(line(1, "x")))
    (source.events / "seg-.jsonl").write_bytes(source.batch(line(1, "y")))
    (source.events / "meta.json").write_text("{}")
    reader = reader_of(world, source)
    assert only(pull(reader)).records == 2
    (found,) = candidates(reader)
    assert (found.seq, found.payload) == (100_000_000, {"n": 2})


def test_a_segment_that_comes_late_is_read_in_its_place(world: World, source: Source) -> None:
    """[T1] A copy program may bring files in any order: in the end the answers are those of a rebuild."""
    segments = {
        1: source.batch(line(1, "a"), line(2, "b"), line(3, "gone"), line(4, "d")),
        5: source.batch(line(5, "b", payload={"n": 5}), line(6, "gone", "delete")),
        7: source.batch(line(7, "c"), line(8, "a", payload={"n": 8})),
    }
    reader = reader_of(world, source)
    for segment in (5, 7, 1):
        source.write(segments[segment], segment)
        assert pull(reader).exit_code == exits.DONE
    found = {item[1]: (item[2], item[4]) for item in heads(reader)}
    assert found == {
        "a": (8, {"n": 8}),
        "b": (5, {"n": 5}),
        "c": (7, {"id": "c", "text": "c at 7 ✓ 🙂"}),
        "d": (4, {"id": "d", "text": "d at 4 ✓ 🙂"}),
        "gone": (6, None),
    }
    before = answers(reader)
    assert answers(rebuilt(reader)) == before
    once = reader_of(world, source, "once")
    pull(once)
    assert heads(once) == heads(reader)


def test_an_earlier_segment_that_grows_late_is_read_in_its_place(world: World, source: Source) -> None:
    """[T1]"""
    first, rest = source.batch(line(1, "a")), source.batch(line(2, "b"), line(3, "a", payload={"n": 3}))
    source.write(first)
    source.write(source.batch(line(4, "c")), 4)
    reader = reader_of(world, source)
    pull(reader)
    source.write(first + rest)
    pull(reader)
    assert {item[1]: item[2] for item in heads(reader)} == {"a": 3, "b": 2, "c": 4}
    before = answers(reader)
    assert answers(rebuilt(reader)) == before


# --- what is taken ---------------------------------------------------------------------------------------------------


def test_only_what_was_learned_becomes_a_candidate(world: World, source: Source) -> None:
    """Its memory families; states and tombstones, as its own reducer has it."""
    families = ["plan", "decision", "trap", "constraint", "handoff"]
    others = ["claim", "assignment", "agent_run", "candidate", "runtime_note", "sequence", "state", "journal", "note"]
    lines = [line(seq, "x", item_type=name) for seq, name in enumerate([*families, *others], 1)]
    lines += [line(50, "s", "session_start"), line(51, "n", payload=None), line(52, None), line(53, "never", "delete")]
    source.write(source.batch(*lines))
    reader = reader_of(world, source)
    assert only(pull(reader)).records == len(lines)
    found = verdicts(reader)
    assert {key for key, verdict in found.items() if verdict == "new"} == {f"{name}/x" for name in families}
    assert {key for key, verdict in found.items() if verdict != "new"} == {"plan/never"}


def test_an_accepted_record_of_theirs_is_a_copy_and_their_next_edit_an_update(world: World, source: Source) -> None:
    """[K1] [K3]"""
    data = source.batch(line(1, "a"), line(2, "b"))
    source.write(data)
    reader = reader_of(world, source)
    pull(reader)
    accept_all(reader)
    (first, _) = list(reader.store.log())
    assert first.cause == f"{ORIGIN}@1"
    assert first.root is not None
    assert first.root.startswith(f"{ORIGIN}@1#")
    assert set(verdicts(reader).values()) == {"known"}
    data += source.batch(line(3, "a"), line(4, "b", "delete"))
    source.write(data)
    pull(reader)
    before = answers(reader)
    assert {key: str(verdict) for key, verdict in verdicts(reader).items()}.keys() == {"plan/a", "plan/b"}
    assert answers(rebuilt(reader)) == before
    accept_all(reader, theirs=True)
    assert entities(reader)["plan/a"][1] == {"id": "a", "text": "a at 3 ✓ 🙂"}
    assert entities(reader)["plan/b"][1] is None


def test_payloads_that_our_journal_cannot_hold_are_shown_and_left(world: World, source: Source) -> None:
    """[J10] Lone surrogates, keys that stand twice, numbers that are none; 300 KB become a blob [J13]."""
    bad: Mapping[str, bytes] = {
        "surrogate": b'{"a":"\\ud83d"}',
        "twice": b'{"a":1,"a":2}',
        "huge": b'{"a":"' + b"x" * 300_000 + b'"}',
        "infinite": b'{"a":1e999}',
    }
    lines = [
        line(seq, name, payload={"x": 1}).replace(b'{"x": 1}', data) for seq, (name, data) in enumerate(bad.items(), 1)
    ]
    source.write(source.batch(*lines, line(9, "fine")))
    reader = reader_of(world, source)
    assert only(pull(reader)).records == 5
    report = accept_all(reader)
    assert [written.item_id for written in report.written] == ["huge", "fine"]
    assert entities(reader)["plan/huge"][1] == {"a": "x" * 300_000}
    assert len(report.left) == 3
    assert json.dumps([item.payload for item in candidates(reader)])


def test_the_brake_holds_for_a_bridged_store_too(world: World, source: Source) -> None:
    """[K5]"""
    data = source.batch(line(1, "first"))
    source.write(data)
    reader = reader_of(world, source)
    assert pull(reader).exit_code == exits.DONE
    data += source.batch(*(line(seq, f"x{seq}") for seq in range(2, BRAKE_CHANGES + 3)))
    source.write(data)
    run = pull(reader)
    assert (only(run).braked, run.exit_code) == (True, exits.DECISION)
    assert [written.item_id for written in accept_all(reader).written] == ["first"]
    assert not only(pull(reader, confirm=True)).braked
    assert len(accept_all(reader).written) == 1_000


# --- the place -------------------------------------------------------------------------------------------------------


def test_a_project_whose_journal_was_never_on_has_no_origins(world: World, source: Source) -> None:
    """Exit 0: there is nothing to read yet."""
    shutil.rmtree(source.events)
    reader = reader_of(world, source)
    for make in (False, True):
        if make:
            source.events.mkdir()
        run = pull(reader)
        assert (run.remotes[0].origins, run.exit_code) == ((), exits.DONE)
    assert reader.holdings.mirror.origins() == []


@pytest.mark.parametrize("config", [None, "", "project_id: nonsense\n", "name: x\n"])
def test_a_project_without_an_identity_cannot_be_read(world: World, source: Source, config: str | None) -> None:
    """Exit 75: it may be in the middle of being made."""
    source.write(source.batch(line(1, "a")))
    path = source.folder / "config.yaml"
    path.unlink()
    if config is not None:
        path.write_text(config)
    reader = reader_of(world, source)
    run = pull(reader)
    assert run.exit_code == exits.UNAVAILABLE
    assert reader.holdings.mirror.origins() == []


def test_their_files_are_never_written_and_no_lock_of_theirs_is_taken(world: World, source: Source) -> None:
    """Not a byte, not a name, not a time."""
    source.write(source.batch(line(1, "a")))
    reader = reader_of(world, source)
    project = source.folder.parent

    def seen() -> dict[str, tuple[int, int, bytes]]:
        return {
            path.relative_to(project).as_posix(): (
                path.stat().st_mtime_ns,
                path.stat().st_mode,
                path.read_bytes() if path.is_file() else b"",
            )
            for path in sorted(project.rglob("*"))
        }

    before = seen()
    pull(reader)
    accept_all(reader)
    put(reader, "a", title="edited")
    reader.publish()
    run = reader.push(reader.remotes(None))
    assert [report.result for report in run.remotes] == ["read_only"]
    rebuilt(reader)
    pull(reader)
    assert seen() == before


@pytest.mark.parametrize("what", ["segment", "events", "config.yaml"])
def test_nothing_is_read_through_a_symlink(world: World, source: Source, what: str) -> None:
    """A foreign folder must not make us read elsewhere."""
    source.write(source.batch(line(1, "a")))
    secret = world.folder / "secret"
    path = {"segment": source.events / "seg-00000002.jsonl", "events": source.events}.get(what, source.folder / what)
    if path.is_dir():
        shutil.copytree(path, secret)
        shutil.rmtree(path)
    else:
        secret.write_bytes(path.read_bytes() if path.exists() else source.batch(line(2, "secret")))
        path.unlink(missing_ok=True)
    path.symlink_to(secret)
    reader = reader_of(world, source)
    pull(reader)
    assert "plan/secret" not in verdicts(reader)
    assert what == "segment" or reader.holdings.mirror.origins() == []


def test_seqs_at_the_end_of_all_seqs_poison_no_journal(world: World, source: Source) -> None:
    """[J10] What stands behind 2^53-1 could be named by no decision: it is told, and never a candidate."""
    top = 2**53 - 1
    source.write(source.batch(line(top - 1, "a"), line(top, "b"), line(top, "c"), line(5, "d"), line(6, None)))
    reader = reader_of(world, source)
    found = only(pull(reader))
    assert any("3 records behind the highest seq" in text for text in found.warnings)
    assert verdicts(reader) == {"plan/a": "new", "plan/b": "new"}
    reject(reader, "plan/b")
    assert [written.item_id for written in accept_all(reader).written] == ["a"]
    assert set(verdicts(reader).values()) == {"known"}
    before = answers(reader)
    assert answers(rebuilt(reader)) == before
    assert [record.seq for record in mirrored.records(reader.holdings, ORIGIN, 0)] == [top - 1, top]
