"""Feeds: heads, slices and packed payloads. A head is judged by itself; a slice by its head, where that stands beside
it: is it listed, are its bytes those that were signed, where does the transcript lead [F2] [F3]?
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from blake3 import blake3

from eventsync.inspecting.documents import parsed
from eventsync.inspecting.found import Inspection, Row
from eventsync.inspecting.lines import kind_of_record, of_record, peek
from eventsync.inspecting.reading import Source, Unpacked, head_beside, names_beside, read_beside, unpacked
from federation.feed import MalformedHead, parse_head
from federation.lone_slice import LoneSlice, SeenFeedLine
from federation.model import (
    MAX_HEAD_BYTES,
    MAX_SLICE_BYTES,
    MAX_SLICE_FILE_BYTES,
    SLICE_NAME,
    SLICE_SUFFIX,
    Head,
    Refusal,
    Slice,
)
from federation.packing import unpack
from federation.verification import Broken, State, read_head, split_slice, start_state, walk
from journal import MAX_PAYLOAD_BYTES, InvalidInput, check_payload

_SIMPLE: Final = ("origin_store_id", "name", "gen", "last_seq", "c", "t", "published_at", "public_key", "format")
_EVIDENCE: Final = re.compile(r"head-([0-9a-f]{12})\.json", re.ASCII)


# --- heads -----------------------------------------------------------------------------------------------------------


def head(source: Source, found: Inspection) -> None:
    """head.json, or one that was kept as evidence of a fork: signature, origin, slices [F2] [F5]."""
    value, why = parsed(source.data, MAX_HEAD_BYTES)
    body = value.get("head") if isinstance(value, dict) else None
    found.facts = _simple_facts(body if isinstance(body, dict) else {})
    if why is not None:
        found.tell_error("not-json", why)
        return
    try:
        good, _, _ = parse_head(source.data)
    except MalformedHead as error:
        found.content = value if isinstance(value, dict) else None
        if error.too_new:
            found.tell_too_new(f"{error} [J12]")
        else:
            found.tell_error("head", f"{error} [F2]")
        return
    _judge_head(source, found, good)
    found.rows = _slice_rows(good, frozenset(names_beside(source.path)))


def _simple_facts(body: Mapping[str, Any]) -> dict[str, Any]:
    return {key: body[key] for key in _SIMPLE if isinstance(body.get(key), str | int)}


def _judge_head(source: Source, found: Inspection, good: Head) -> None:
    judged = read_head(source.data, good.origin, lambda *_: None)
    why = judged.message if isinstance(judged, Refusal) else None
    found.facts |= {
        "start_seq": good.start_seq,
        "previous": len(good.previous),
        "redacted": len(good.redacted),
        "saw": {origin: seq for origin, (seq, _, _) in good.saw.items()},
        "slices": len(good.slices),
        "signature": why or "good: made by the key that the origin is made from",
    }
    if why is not None:
        found.tell_error("signature", f"{why} [F5]")
    named = _EVIDENCE.fullmatch(source.name)
    if named is not None and blake3(source.data).hexdigest()[:12] != named[1]:
        found.tell_error("wrong-place", "the content is not the one that the name was made of [F5]")
    if named is not None:
        _tell_held(source, found, good)


def _tell_held(source: Source, found: Inspection, good: Head) -> None:
    """What the mirror holds that this head contradicts."""
    raw = read_beside(source.path.absolute().parent, "head.json", MAX_HEAD_BYTES)
    try:
        held = None if raw is None else parse_head(raw)[0]
    except MalformedHead:
        held = None
    if held is not None and held.origin == good.origin:
        found.facts["held"] = {"gen": held.gen, "last_seq": held.last_seq, "c": held.c, "t": held.t}


def _slice_rows(good: Head, names: frozenset[str]) -> Iterator[Row]:
    for entry in good.slices:
        note = None if {entry.file_name, entry.name} & names else "not here"
        yield Row(
            "slice",
            seq=entry.first_seq,
            last_seq=entry.last_seq,
            size_bytes=entry.raw_bytes,
            summary=entry.name,
            c=entry.blake3,
            note=note,
        )


# --- slices ----------------------------------------------------------------------------------------------------------


def slice_(source: Source, found: Inspection) -> None:
    """A slice, packed or not: content, chain, and the transcript where its head is beside it."""
    content = unpacked(source.data) if source.is_packed else _plain(source)
    raw = content.raw
    if content.why is not None:
        found.tell_error("packing", content.why)
    signed = _verified_head(source)
    named = SLICE_NAME.fullmatch(source.name.removesuffix(SLICE_SUFFIX))
    first = int(named[1]) if named is not None else None
    alone = LoneSlice(raw, None if signed is None or first is None else _state_before(source, signed, first))
    if alone.header is None and raw:
        message = alone.why or "not a slice"
        if message.endswith("[J12]"):
            found.tell_too_new(message)
        else:
            found.tell_error("slice-header", message, line=1, byte=0)
    found.facts = {
        "origin_store_id": None if alone.header is None else alone.header.origin_store_id,
        "first_seq": None if alone.header is None else alone.header.first_seq,
        "prev_c": None if alone.header is None else alone.header.prev_c,
        "raw_bytes": len(raw),
        "blake3": alone.digest,
    }
    if named is not None and content.why is None and alone.digest[:12] != named[3]:
        found.tell_error("wrong-hash", "the content is not the one that the name was made of [F3]")
    if named is not None and alone.header is not None and alone.header.first_seq != first:
        found.tell_error("wrong-place", f"the name says seq {first}, the header {alone.header.first_seq} [F3]", line=1)
    if signed is not None:
        _tell_listed(source, found, alone, signed)
    redacted = None if signed is None else frozenset(signed.redacted)
    found.rows = _feed_rows(alone, found, redacted, None if named is None else int(named[2]), signed)


def _plain(source: Source) -> Unpacked:
    why = None
    if source.path.name.endswith(SLICE_SUFFIX):
        why = "cannot be unpacked: it does not begin as zstd does [F3]"
        return Unpacked(b"", why)
    if len(source.data) > MAX_SLICE_BYTES:
        why = f"longer than any slice: more than {MAX_SLICE_BYTES} bytes [F3]"
    return Unpacked(source.data[:MAX_SLICE_BYTES], why)


def _verified_head(source: Source) -> Head | None:
    """The head beside a slice, when it is one and its signature is good."""
    raw = head_beside(source.path)
    try:
        origin = None if raw is None else parse_head(raw)[0].origin
    except MalformedHead:
        return None
    good = None if raw is None or origin is None else read_head(raw, origin, lambda *_: None)
    return good if isinstance(good, Head) else None


def _tell_listed(source: Source, found: Inspection, alone: LoneSlice, signed: Head) -> None:
    name = source.name.removesuffix(SLICE_SUFFIX)
    entry = next((entry for entry in signed.slices if entry.name == name), None)
    found.facts["listed"] = entry is not None
    if entry is not None and (entry.blake3, entry.raw_bytes) != (alone.digest, found.facts["raw_bytes"]):
        found.tell_error("wrong-hash", "the content is not what the head beside it signed [F3]")
    if alone.header is not None and alone.header.origin_store_id != signed.origin:
        found.tell_error("wrong-place", "stands beside the head of another origin [F5]", line=1)
    if not alone.follows:
        found.tell_error("chain", "does not go on from the slice before it, which stands beside it [J4]", line=1)


class _Beside(NamedTuple):
    first: int
    last: int
    name: str


def _state_before(source: Source, signed: Head, first: int) -> State | None:
    """Where the slices before this one lead; None where they are not all beside it, and whole."""
    listed = {entry.name for entry in signed.slices}
    there: dict[int, _Beside] = {}
    for name in names_beside(source.path):
        found = SLICE_NAME.fullmatch(name.removesuffix(SLICE_SUFFIX))
        if found is not None:
            file = _Beside(int(found[1]), int(found[2]), name)
            other = there.get(file.first)
            if other is None or file.name.removesuffix(SLICE_SUFFIX) in listed:
                there[file.first] = file
    state = start_state(signed)
    while state.seq + 1 < first:
        file_before = there.get(state.seq + 1)
        after = None if file_before is None else _walked(source, signed, file_before, state)
        if after is None or after.seq <= state.seq:
            return None
        state = after
    return state if state.seq + 1 == first else None


def _walked(source: Source, signed: Head, file: _Beside, state: State) -> State | None:
    data = read_beside(source.path, file.name, MAX_SLICE_FILE_BYTES)
    raw = unpack(data, MAX_SLICE_BYTES) if data is not None and file.name.endswith(SLICE_SUFFIX) else data
    if raw is None:
        return None
    entry = Slice(file.name.removesuffix(SLICE_SUFFIX), file.first, file.last, len(raw), blake3(raw).hexdigest())
    lines = split_slice(raw, entry, signed.origin, state.c, signed.previous)
    after = lines if isinstance(lines, Broken) else walk(lines, state, frozenset(signed.redacted))
    return None if isinstance(after, Broken) else after


def _feed_rows(
    alone: LoneSlice, found: Inspection, redacted: frozenset[int] | None, named_last: int | None, signed: Head | None
) -> Iterator[Row]:
    counts: Counter[str] = Counter()
    for line in alone.lines(redacted):
        row = _feed_row(line)
        counts[row.kind] += 1
        if line.fault is not None:
            found.tell_error("feed-line", line.fault, line=line.line_number, byte=line.offset, seq=line.first_seq)
        yield row
    state, t = alone.state, alone.state.t.hex() if alone.has_transcript else None
    found.facts |= {f"{kind}s": counts[kind] for kind in ("record", "stub", "skip")}
    found.facts |= {"damaged": counts["damaged"], "last_seq": state.seq, "last_c": state.c.hex(), "transcript": t}
    if found.is_whole and named_last is not None and state.seq != named_last:
        found.tell_error("wrong-place", f"the name says it ends at seq {named_last}, it ends at {state.seq} [F3]")
    if signed is not None and state.seq == signed.last_seq and t not in (None, signed.t):
        found.tell_error("transcript", "does not lead to the transcript that the head beside it signed [F2]")


def _feed_row(line: SeenFeedLine) -> Row:
    place = {"line": line.line_number, "byte": line.offset, "size_bytes": len(line.data), "note": line.fault}
    chain = "broken" if line.fault is not None else "follows" if line.kind in ("record", "unreadable") else "taken"
    if line.record is None or line.fault is not None:
        kind = "damaged" if line.fault is not None else "skip" if line.kind == "skip" else "unreadable"
        text = None if kind == "skip" else peek(line.data)
        row = Row(kind, seq=line.first_seq, last_seq=line.last_seq, summary=text, chain=chain)
        if line.record is not None:
            row = of_record(line.record, kind)._replace(chain=chain)
        return row._replace(**place)  # type: ignore[arg-type]
    return of_record(line.record, kind_of_record(line.record))._replace(chain=chain, **place)  # type: ignore[arg-type]


# --- payloads --------------------------------------------------------------------------------------------------------


def blob(source: Source, found: Inspection) -> None:
    """A payload too long for its line, as it stands in a journal, or packed in a feed [J13]."""
    content = unpacked(source.data) if source.is_packed else Unpacked(source.data, None)
    raw = content.raw
    digest = blake3(raw).hexdigest()
    found.facts = {"blake3": digest, "raw_bytes": len(raw)}
    name = source.name.removesuffix(SLICE_SUFFIX)
    if source.name.endswith(SLICE_SUFFIX) and not source.is_packed:
        found.tell_error("packing", "cannot be unpacked: it does not begin as zstd does [F3]")
        return
    if content.why is not None:
        found.tell_error("packing", content.why)
        return
    if re.fullmatch(r"[0-9a-f]{64}", name) and name != digest:
        found.tell_error("wrong-hash", "the content is not the one that it is named by [J13]")
    if source.size_bytes > MAX_PAYLOAD_BYTES and not source.is_packed:
        found.tell_error("too-long", f"longer than any payload: {source.size_bytes} bytes [J10]")
        return
    try:
        found.content = check_payload(raw)
    except InvalidInput as error:
        found.tell_error("payload", f"{error.message} [{error.rule}]")
        found.facts["begins"] = peek(raw)
