"""Lines: files that people could read line by line: segments, copies of another program's, the list of runs."""

from __future__ import annotations

import bisect
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

from eventsync.inspecting.documents import parsed
from eventsync.inspecting.found import Inspection, Row
from eventsync.inspecting.reading import Source
from federation.brainclaw import BridgedRecord, read_lines
from journal import JOURNAL_TYPE, LoneSegment, Record, SeenLine

PEEK: Final = 120  # characters of a line that nobody can read
_MAX_RUN_BYTES: Final = 1024 * 1024  # of one line; what a run tells is short
_BLOCK_BYTES: Final = 64 * 1024  # newlines are counted by so many bytes
_CHAIN_WORDS: Final = {
    "follows": "follow from the line before",
    "taken": "taken as they stand",
    "broken": "do not follow",
}
_SEGMENT_NAME: Final = re.compile(r"seg-([0-9]{8,16})\.jsonl", re.ASCII)


def peek(data: bytes) -> str:
    """The beginning of a line, so that a person can tell what it was."""
    text = data[: PEEK * 4].decode("utf-8", "replace")
    return text if len(text) <= PEEK and len(data) <= PEEK * 4 else text[:PEEK] + "…"


def of_record(record: Record, kind: str) -> Row:
    """The row of a record, without its place."""
    return Row(
        kind,
        seq=record.seq,
        ts=record.ts or None,
        action=record.action,
        item_type=record.item_type,
        item_id=record.item_id,
        entity_rev=record.entity_rev,
        batch=record.batch,
        summary=record.summary,
        c=record.c or None,
    )


def kind_of_record(record: Record) -> str:
    """What people call such a line."""
    if record.redacted:
        return "stub"
    return "note" if (record.item_type, record.action) == (JOURNAL_TYPE, "journal_note") else "record"


# --- segments --------------------------------------------------------------------------------------------------------


def segment(source: Source, found: Inspection) -> None:
    """A segment of a log: chain, batches, tails [J4] [J6] [J7]."""
    alone = LoneSegment(source.data, source.path)
    header = alone.header
    named = _SEGMENT_NAME.fullmatch(source.name)
    if header is not None:
        found.facts = {
            "origin_store_id": header.origin_store_id,
            "first_seq": header.first_seq,
            "prev_c": header.prev_c,
            "previous": len(header.previous),
        }
        if named is not None and int(named[1]) != header.first_seq:
            found.tell_error("wrong-place", f"the name says seq {int(named[1])}, the header {header.first_seq} [J8]")
    _tell_too_long(source, found)
    starts = LineStarts(source.data)
    for finding in alone.findings():
        found.take(finding, None if finding.line is None else starts.of(finding.line))
    found.rows = _segment_rows(alone, found)


class LineStarts:
    """Where each line starts: newlines are counted by blocks, for a file may be nothing but newlines."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        counts = (data.count(b"\n", at, at + _BLOCK_BYTES) for at in range(0, len(data), _BLOCK_BYTES))
        self._before = [0, *itertools.accumulate(counts)]  # newlines before each block, and in all

    def of(self, line: int) -> int | None:
        """The byte that a line, counted from 1, starts at; None where there is no such line."""
        if not 1 <= line <= self._before[-1] + 1:
            return None
        block = max(bisect.bisect_left(self._before, line - 1) - 1, 0)
        at = block * _BLOCK_BYTES
        for _ in range(line - 1 - self._before[block]):
            at = self._data.index(b"\n", at) + 1
        return at


def _tell_too_long(source: Source, found: Inspection) -> None:
    if source.size_bytes > len(source.data):
        message = f"only the first {len(source.data)} of {source.size_bytes} bytes were looked at"
        found.tell("too-long", "warning", message, byte=len(source.data))


def _segment_rows(alone: LoneSegment, found: Inspection) -> Iterator[Row]:
    counts: Counter[str] = Counter()
    chains: Counter[str] = Counter()
    seqs: list[int] = []
    last_c = alone.header.prev_c if alone.header is not None else None
    for line in alone.lines():
        row = _segment_row(line)
        counts[row.kind] += 1
        chains[line.chain] += 1
        if line.chain != "broken" and line.record is not None:
            seqs = [seqs[0] if seqs else line.record.seq, line.record.seq]
            last_c = line.record.c
        yield row
    found.facts |= {f"{kind}s": counts[kind] for kind in ("record", "stub", "note")}
    found.facts |= {"damaged": counts["damaged"], "void": counts["void"]}
    found.facts |= {"last_seq": seqs[-1] if seqs else None, "last_c": last_c}
    found.facts["chain"] = ", ".join(f"{chains[how]} {what}" for how, what in _CHAIN_WORDS.items() if chains[how])


def _segment_row(line: SeenLine) -> Row:
    if line.record is None:
        row = Row("damaged", summary=peek(line.data), note=line.why)
    elif line.chain == "broken":
        row = of_record(line.record, "damaged")._replace(note="does not follow from the line before")
    else:
        row = of_record(line.record, "void" if line.void else kind_of_record(line.record))
    return row._replace(chain=line.chain).at(line.line_number, line.offset, len(line.data))


def bridged(source: Source, found: Inspection) -> None:
    """A copied segment of another program's store, read as that program does."""
    _tell_too_long(source, found)
    found.rows = _bridged_rows(source, found)


def _bridged_rows(source: Source, found: Inspection) -> Iterator[Row]:
    counts: Counter[str] = Counter()
    number, counted = 1, 0
    for line in read_lines(source.data):
        number += source.data.count(b"\n", counted, line.offset)
        counted = line.offset
        counts["passed over" if line.record is None else "record"] += 1
        if line.record is None:
            row = Row("passed over", summary=peek(source.data[line.offset :][: line.length]), note=line.skipped)
            found.tell("passed-over", "info", line.skipped or "", line=number, byte=line.offset)
        else:
            row = _bridged_row(line.record)
        yield row.at(number, line.offset, line.length)
    found.facts |= {"records": counts["record"], "passed_over": counts["passed over"]}


def _bridged_row(record: BridgedRecord) -> Row:
    return Row(
        "record",
        seq=record.seq,
        ts=record.ts,
        action=record.action,
        item_type=record.item_type,
        item_id=record.item_id,
        entity_rev=record.entity_rev,
        summary=record.summary,
        c=record.digest,
    )


# --- runs -------------------------------------------------------------------------------------------------------------


def runs(source: Source, found: Inspection) -> None:
    """runs.jsonl: one line for each pull and push, for people."""
    _tell_too_long(source, found)
    found.rows = _run_rows(source, found)


def _run_rows(source: Source, found: Inspection) -> Iterator[Row]:
    count, at = 0, 0
    for number, data in enumerate(source.data.split(b"\n"), 1):
        value, why = parsed(data, _MAX_RUN_BYTES) if data else ({}, None)
        if why is not None or not isinstance(value, dict):
            message = why or "not a JSON object"
            found.tell_error("not-json", message, line=number, byte=at)
            yield Row("damaged", number, at, len(data), summary=peek(data), note=message)
        elif data:
            count += 1
            words = [str(value[key]) for key in ("verb", "remote", "result") if isinstance(value.get(key), str)]
            error = value.get("error")
            told = "" if error is None else f": {error if isinstance(error, str) else json.dumps(error)[:PEEK]}"
            ts = value.get("ts")
            row = Row("run", number, at, len(data), ts=ts if isinstance(ts, str) else None)
            yield row._replace(summary=" ".join(words) + told)
        at += len(data) + 1
    found.facts |= {"runs": count}
