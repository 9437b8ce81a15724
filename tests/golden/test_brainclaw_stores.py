"""The bridge's reader over real stores of that program, against what its own reader says of them."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from federation.brainclaw import (
    ACTION_CLASSES,
    MEMORY_FAMILIES,
    BridgedLine,
    BridgedRecord,
    Fold,
    fold,
    ignored_segments,
    project_id,
    read_lines,
    segment_order,
    stable_length,
)

STORES = Path(__file__).resolve().parents[2].parent / "shared" / "brainclaw"
pytestmark = pytest.mark.skipif(not STORES.is_dir(), reason=f"the stores of that program are not at {STORES}")

JOURNALS = pytest.mark.parametrize("name", ["v2-small", "v2-torn"])


def oracle(name: str) -> Any:
    return json.loads((STORES / name / "oracle.json").read_bytes())


def segments(name: str) -> dict[str, bytes]:
    folder = STORES / name / ".brainclaw" / "events"
    return {found: (folder / found).read_bytes() for found in segment_order(path.name for path in folder.iterdir())}


def lines_of(name: str) -> Iterator[BridgedLine]:
    for raw in segments(name).values():
        yield from read_lines(raw)


def records_of(name: str) -> list[BridgedRecord]:
    return [line.record for line in lines_of(name) if line.record]


def entities(result: Fold) -> list[dict[str, Any]]:
    return [
        {
            "item_type": record.item_type,
            "item_id": record.item_id,
            "entity_rev": record.entity_rev,
            "payload": json.loads(record.payload or b"null"),
        }
        for record in result.live.values()
    ]


@pytest.mark.parametrize("name", ["v1-legacy", "v2-small", "v2-torn"])
def test_the_project_id_is_theirs(name: str) -> None:
    assert project_id((STORES / name / ".brainclaw" / "config.yaml").read_bytes()) == oracle(name)["project_id"]


def test_a_store_without_a_journal_has_nothing_to_read() -> None:
    assert not (STORES / "v1-legacy" / ".brainclaw" / "events").exists()
    assert fold([]).records == oracle("v1-legacy")["counts"]["records"]


@JOURNALS
def test_the_segments_are_those_they_read(name: str) -> None:
    folder = STORES / name / ".brainclaw" / "events"
    assert list(segments(name)) == [segment["segment"] for segment in oracle(name)["segments"]]
    assert ignored_segments(path.name for path in folder.iterdir()) == []
    for segment, raw in zip(oracle(name)["segments"], segments(name).values(), strict=True):
        assert hashlib.sha256(raw).hexdigest() == segment["sha256"]


@JOURNALS
def test_what_lives_is_what_their_reducer_says_in_its_order(name: str) -> None:
    assert entities(fold(lines_of(name))) == list(oracle(name)["live"].values())


@JOURNALS
def test_the_five_memory_families_are_theirs(name: str) -> None:
    counts = Counter(item_type for item_type, _ in fold(lines_of(name)).live if item_type in MEMORY_FAMILIES)
    found = [entity for entity in entities(fold(lines_of(name))) if entity["item_type"] in MEMORY_FAMILIES]
    expected = oracle(name)
    assert found == [entity for entity in expected["live"].values() if entity["item_type"] in MEMORY_FAMILIES]
    state = expected["memory_state_counts"]
    assert counts == {
        "constraint": state["active_constraints"],
        "decision": state["recent_decisions"],
        "trap": state["known_traps"],
        "handoff": state["open_handoffs"],
        "plan": state["plan_items"],
    }


@JOURNALS
def test_the_counts_are_theirs(name: str) -> None:
    result, records, counts = fold(lines_of(name)), records_of(name), oracle(name)["counts"]
    assert result.records == len(records) == counts["records"]
    assert result.skipped == counts["skipped_lines"]
    assert result.duplicate_seqs == counts["duplicate_seqs"]
    assert len(result.live) == counts["live_entities"]
    assert len({record.writer for record in records}) == counts["distinct_writers"]
    assert Counter(ACTION_CLASSES[record.action] for record in records) == counts["by_class"]
    assert Counter(record.action for record in records) == counts["by_action"]
    assert Counter(record.item_type for record in records) == counts["by_item_type"]


@JOURNALS
def test_the_records_replay_as_theirs_byte_for_byte(name: str) -> None:
    replay = [
        [
            record.seq,
            record.writer,
            record.action,
            record.item_type,
            record.item_id,
            record.entity_rev,
            None if record.payload is None else hashlib.sha256(record.payload).hexdigest(),
        ]
        for record in records_of(name)
    ]
    assert replay == oracle(name)["replay"]


@JOURNALS
def test_the_skipped_lines_are_the_ones_they_skip(name: str) -> None:
    for segment, raw in zip(oracle(name)["segments"], segments(name).values(), strict=True):
        skipped = [line for line in read_lines(raw) if line.skipped]
        assert [raw[: line.offset].count(b"\n") for line in skipped] == [x["line_index"] for x in segment["skipped"]]
        assert {line.skipped for line in skipped} <= {"not a JSON object"}


def test_seqs_lost_in_torn_lines_are_gaps() -> None:
    assert fold(lines_of("v2-small")).gaps == []
    assert fold(lines_of("v2-torn")).gaps == [(201, 201), (205, 205)]


def test_a_segment_with_a_torn_end_is_settled_up_to_its_last_newline() -> None:
    [whole] = segments("v2-small").values()
    [torn] = segments("v2-torn").values()
    assert stable_length(whole) == len(whole)
    assert stable_length(torn) == torn.rfind(b"\n") + 1 < len(torn)
    assert fold(read_lines(torn[: stable_length(torn)])).live == fold(read_lines(torn)).live


@JOURNALS
def test_every_prefix_of_a_store_reads_as_a_prefix(name: str) -> None:
    """What was taken from a growing segment is never taken back; cuts stand at odd places over the whole file."""
    [raw] = segments(name).values()
    lines = list(read_lines(raw))
    for cut in range(0, len(raw), 997):
        settled = stable_length(raw[:cut])
        before = list(read_lines(raw[:settled]))
        assert before == lines[: len(before)]
        assert list(read_lines(raw, settled)) == lines[len(before) :]
