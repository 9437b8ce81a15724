"""Inspect report: what is in a file, as a JSON document or as lines of text.

Pure. Everything that stands in the file, its name included, has passed `text` before it is a line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from eventsync import attachments
from eventsync.report import Document, count_of
from eventsync.text import clean, pad, pretty_json

if TYPE_CHECKING:
    from eventsync.inspecting.found import Fault, Inspection, Row

_LABEL_COLUMNS: Final = 17
_MOST_IN_A_FACT: Final = 20  # entries of one fact that are shown to people


# --- JSON ------------------------------------------------------------------------------------------------------------


def row_value(row: Row) -> Document:
    """One row, with all keys."""
    return {**row._asdict(), "batch": None if row.batch is None else list(row.batch)}


def rest_document(found: Inspection, left: int) -> Document:
    """All but the rows, when these have been read."""
    return {
        "kind": found.kind,
        "path": str(found.path),
        "size_bytes": found.size_bytes,
        "whole": found.is_whole,
        "rows_left": left,
        "facts": found.facts,
        "content": found.content,
        "faults": [fault._asdict() for fault in found.faults],
    }


# --- text ------------------------------------------------------------------------------------------------------------


def top_lines(found: Inspection) -> Iterator[str]:
    """What file it is."""
    yield clean(f"{found.kind}  {found.path}  {count_of(found.size_bytes, 'byte')}")


def rows_header() -> str:
    """What stands above rows that have a place."""
    return f"{'LINE':>6}{'BYTE':>10}  {pad('KIND', 9)}  {pad('SEQ', 6)}"


def row_line(row: Row) -> str:
    """One row: where it stands, what it says, and what is wrong with it."""
    where = "" if row.line is None else f"{row.line:>6}{row.byte or 0:>10}  "
    seqs = "" if row.seq is None else str(row.seq) if row.last_seq in (None, row.seq) else f"{row.seq}-{row.last_seq}"
    parts = [
        pad(clean(row.kind), 9),
        pad(seqs, 6),
        clean(" ".join(filter(None, [row.action, _entity(row)]))),
        "" if row.entity_rev is None else f"rev {row.entity_rev}",
        "" if row.batch is None else f"batch {row.batch[0]}/{row.batch[1]}",
        clean(row.summary or ""),
        "" if row.line is not None else f"{row.size_bytes} bytes" if row.size_bytes is not None else "",
        f"[{clean(row.note)}]" if row.note else "",
    ]
    return where + "  ".join(filter(None, parts)).rstrip()


def _entity(row: Row) -> str | None:
    return row.item_type if row.item_id is None else f"{row.item_type}/{row.item_id}"


def closing_lines(found: Inspection) -> Iterator[str]:
    """The facts and the faults, when the rows have been read, and whether the file is whole."""
    for name, value in found.facts.items():
        yield pad(clean(name.replace("_", " ")), _LABEL_COLUMNS) + _fact(value)
    for fault in found.faults:
        yield fault_line(fault)
    if not found.is_whole:
        errors = sum(1 for fault in found.faults if fault.severity == "error")
        yield f"damaged: {count_of(errors, 'error')}"
    else:
        yield "whole"


def content_lines(found: Inspection) -> Sequence[str]:
    """The JSON value of a file that is one; an attachment is only named."""
    if found.content is None:
        return []
    value = attachments.brief(found.content) if isinstance(found.content, dict) else found.content
    return pretty_json(value).split("\n")


def fault_line(fault: Fault) -> str:
    """One thing that is wrong, and where."""
    places = [
        f"{name} {value}"
        for name, value in (("line", fault.line), ("byte", fault.byte), ("seq", fault.seq))
        if value is not None
    ]
    return clean(f"{fault.severity}: {', '.join(places)}{': ' if places else ''}{fault.message}")


def _fact(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        shown = [f"{name} {part}" for name, part in list(value.items())[:_MOST_IN_A_FACT]]
        more = [] if len(value) <= _MOST_IN_A_FACT else [f"{len(value) - _MOST_IN_A_FACT} more"]
        return clean(", ".join([*shown, *more]) or "none")
    return "unknown" if value is None else clean(str(value))
