"""Redact report: what a redaction would do, or did → JSON and lines of text, in the shapes of docs/cli.md. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from eventsync.report import key_of, records_document
from eventsync.text import clean

if TYPE_CHECKING:
    from journal import Plan, RedactedLine, Written

_WHY: Final = {
    "asked": "",
    "same_blob": ", holds the same payload",
    "void": ", part of a batch that never counted",
}


def redact_document(plan: Plan, records: Sequence[Written], *, feed_changed: bool) -> Mapping[str, Any]:
    """What is or would be redacted, and the records that tell of it."""
    return {
        "lines": [
            {
                "seq": line.seq,
                "action": line.action,
                "item_type": line.item_type,
                "item_id": line.item_id,
                "entity_rev": line.entity_rev,
                "published": line.published,
                "why": line.why,
            }
            for line in plan.lines
        ],
        "already": list(plan.already),
        "left": list(plan.left),
        "records": records_document(records)["records"],
        "feed_changed": feed_changed,
    }


def plan_lines(plan: Plan) -> Iterator[str]:
    """What would be redacted, one record a line."""
    yield from map(_line, plan.lines)
    if plan.already:
        yield f"redacted already: seq {_seqs(plan.already)}"


def done_lines(plan: Plan) -> Iterator[str]:
    """What was redacted, and what others may still have."""
    yield from plan_lines(plan)
    if not plan.lines:
        yield "nothing to redact"
        return
    published = sum(line.published for line in plan.lines)
    yield f"redacted {len(plan.lines)} of the records; the text is in no file of this store any more"
    if published:
        yield f"{published} of them were published: who has them takes them back when they read your next push"


def left_line(plan: Plan) -> str | None:
    """Other records of the same entities that may say the same; None when there are none."""
    if not plan.left:
        return None
    return f"other records of the same entities stay, and may say the same: seq {_seqs(plan.left)}"


def _line(line: RedactedLine) -> str:
    rev = "" if line.entity_rev is None else f" rev {line.entity_rev}"
    shown = "published" if line.published else "not published"
    return f"{line.seq:>6}  {clean(line.action)} {key_of(line.item_type, line.item_id)}{rev}, {shown}{_WHY[line.why]}"


def _seqs(seqs: Sequence[int]) -> str:
    shown = ", ".join(str(seq) for seq in seqs[:20])
    return shown if len(seqs) <= 20 else f"{shown} and {len(seqs) - 20} more"
