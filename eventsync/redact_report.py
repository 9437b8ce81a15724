"""Redact report: what a redaction would do, or did → JSON and lines of text, in the shapes of docs/cli.md. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from eventsync.report import key_of, records_document
from eventsync.text import clean

if TYPE_CHECKING:
    from federation.redaction import RedactReport
    from journal import Plan, RedactedLine

_WHY: Final = {
    "asked": "",
    "same_blob": ", holds the same payload",
    "void": ", part of a batch that never counted",
}


def redact_document(found: RedactReport) -> Mapping[str, Any]:
    """What is or would be redacted, and the records that tell of it."""
    return {
        "lines": [
            {
                "seq": line.seq,
                "action": line.action,
                "item_type": line.item_type,
                "item_id": line.item_id,
                "entity_rev": line.entity_rev,
                "published": line.published or line.seq in found.former,
                "former_origin": found.former.get(line.seq),
                "why": line.why,
            }
            for line in found.plan.lines
        ],
        "already": list(found.plan.already),
        "left": list(found.plan.left),
        "records": records_document(found.records)["records"],
        "feed_changed": found.feed_changed,
    }


def plan_lines(found: RedactReport) -> Iterator[str]:
    """What would be redacted, one record a line, and who cannot be told of it."""
    yield from (_line(line, found.former) for line in found.plan.lines)
    if found.plan.already:
        yield f"redacted already: seq {_seqs(found.plan.already)}"
    for origin in dict.fromkeys(found.former.values()):
        seqs = [seq for seq, other in found.former.items() if other == origin]
        yield f"published under {origin}, a former identity: who has it keeps it, tell them; seq {_seqs(seqs)}"


def done_lines(found: RedactReport) -> Iterator[str]:
    """What was redacted, and what others may still have."""
    yield from plan_lines(found)
    if not found.plan.lines:
        yield "nothing to redact"
        return
    published = sum(line.published for line in found.plan.lines)
    where = "the text is in no file of this store any more"
    if found.plan.left:
        where = "the text is gone unless another record of the same entities says it too"
    yield f"redacted {len(found.plan.lines)} of the records; {where}"
    if published:
        yield f"{published} of them were published: who has them takes them back when they read your next push"


def left_line(plan: Plan) -> str | None:
    """Other records of the same entities that may say the same; None when there are none."""
    if not plan.left:
        return None
    return f"other records of the same entities stay, and may say the same: seq {_seqs(plan.left)}"


def _line(line: RedactedLine, former: Mapping[int, str]) -> str:
    rev = "" if line.entity_rev is None else f" rev {line.entity_rev}"
    shown = "published" if line.published or line.seq in former else "not published"
    return f"{line.seq:>6}  {clean(line.action)} {key_of(line.item_type, line.item_id)}{rev}, {shown}{_WHY[line.why]}"


def _seqs(seqs: Sequence[int]) -> str:
    shown = ", ".join(str(seq) for seq in seqs[:20])
    return shown if len(seqs) <= 20 else f"{shown} and {len(seqs) - 20} more"
