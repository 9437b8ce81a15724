"""Checkpoints: every line of one, whether each stands where it must, and whether the last one counts them [J14].

Read piece by piece: memory is bounded, however large the file is. Whether the log vouches for it, and whether what it
says is true, only the store it was made in can tell; its BLAKE3 is what a `checkpoint_ref` record names.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec
from blake3 import blake3

from eventsync.inspecting.found import Inspection, Row
from eventsync.inspecting.lines import peek
from eventsync.inspecting.reading import Source
from journal import CHECKPOINT_FORMAT, DamagedStore, Version, decode_checkpoint_line

_NAME: Final = re.compile(r"cp-([0-9]{8,16})\.jsonl", re.ASCII)
_MAX_LINE_BYTES: Final = 1024 * 1024  # as those who use checkpoints have it
_ORDER: Final = ("checkpoint", "entity", "decision", "lost", "end")
_WORDS: Final = ("seq", "action", "item_type", "item_id", "entity_rev", "c")


class _Placed(NamedTuple):
    """One line and where it stands; `ends` is False when its newline is missing."""

    number: int
    byte: int
    data: bytes
    ends: bool


class _Said(NamedTuple):
    """What a line says: its kind and values, or why it says nothing."""

    kind: str
    values: Mapping[str, Any]
    why: str | None


def checkpoint(source: Source, found: Inspection) -> None:
    """A checkpoint, line by line."""
    found.rows = _rows(source, found)


def _rows(source: Source, found: Inspection) -> Iterator[Row]:
    counts: Counter[str] = Counter()
    digest, before = blake3(), ""
    end: Mapping[str, int] | None = None
    for line in _lines_of(source, digest):
        said = _said(line)
        why = said.why or _why_not_here(said.kind, before, line.number)
        if why is not None:
            found.tell_error("checkpoint-line", why, line=line.number, byte=line.byte, seq=said.values.get("seq"))
            counts["damaged"] += 1
            row = Row("damaged", summary=peek(line.data), note=why)
        else:
            before = said.kind
            counts[said.kind] += 1
            if said.kind == "checkpoint":
                _tell_top(source, found, said.values)
            elif said.kind == "end":
                end = said.values
            row = _row(said, line.data)
        yield row.at(line.number, line.byte, len(line.data))
    kept = {"entities": counts["entity"], "decisions": counts["decision"], "lost": counts["lost"]}
    found.facts |= {**kept, "damaged": counts["damaged"], "blake3": digest.hexdigest()}
    if end is None:
        found.tell_error("checkpoint-end", "the line that counts the others is missing: the file was cut short [J14]")
    elif any(end[key] != count for key, count in kept.items()):
        found.tell_error("checkpoint-end", "the last line counts other lines than there are [J14]")


def _lines_of(source: Source, digest: Any) -> Iterator[_Placed]:
    """Each line; of one that is too long only the beginning, and then nothing more but the digest of it all."""
    number, at, rest, is_too_long = 1, 0, b"", False
    for chunk in source.chunks():
        digest.update(chunk)
        if is_too_long:
            continue
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield _Placed(number, at, line, True)
            number, at = number + 1, at + len(line) + 1
        is_too_long = len(rest) > _MAX_LINE_BYTES
    if rest:
        yield _Placed(number, at, rest, False)


def _said(line: _Placed) -> _Said:
    if not line.ends:
        return _Said("", {}, "the file ends within this line, or it is too long [J14]")
    try:
        found = decode_checkpoint_line(line.data)
        values = msgspec.structs.asdict(found)
        if "version" in values:
            Version.parse(values["version"])
    except DamagedStore as error:
        return _Said("", {}, f"{error.message} [J14]")
    except ValueError as error:
        return _Said("", {}, f"{error} [K1]")
    return _Said(str(found.__struct_config__.tag), values, None)


def _why_not_here(kind: str, before: str, number: int) -> str | None:
    """The top comes first and once, then entities, decisions, ranges, and the end, behind which nothing stands."""
    if number == 1 or kind == "checkpoint" or before == "end":
        is_right = number == 1 and kind == "checkpoint"
    else:
        is_right = not before or _ORDER.index(kind) >= _ORDER.index(before)
    return None if is_right else "stands where it must not [J14]"


def _tell_top(source: Source, found: Inspection, values: Mapping[str, Any]) -> None:
    found.facts |= {key: values[key] for key in ("origin_store_id", "seq", "c", "format")}
    named = _NAME.fullmatch(source.name)
    if values["format"] > CHECKPOINT_FORMAT:
        found.tell_too_new(f"checkpoint format {values['format']}, known is {CHECKPOINT_FORMAT} [J12]")
    if named is not None and int(named[1]) != values["seq"]:
        message = f"the name says seq {int(named[1])}, the first line {values['seq']} [J14]"
        found.tell_error("wrong-place", message, line=1)


def _row(said: _Said, data: bytes) -> Row:
    kind, values = said.kind, said.values
    summary = values.get("cause") if kind == "decision" else values.get("summary")
    if kind in ("lost", "end"):
        summary = peek(data)
    words = {key: values[key] for key in _WORDS if key in values}
    return Row("tombstone" if values.get("deleted") else kind, summary=summary, **words)
