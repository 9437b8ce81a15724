"""Inbox report: candidates, what differs in them, and what was decided, as JSON documents or lines of text.

Pure, as `report` is. Everything foreign passes `text`; in JSON it stands in data fields, and candidates are marked
`"trust": "foreign"`. A line with a style is coloured on a terminal; what it says does not hang on the colour.
"""

from __future__ import annotations

import difflib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from eventsync import attachments
from eventsync.brake_report import BRAKED
from eventsync.exits import TABLE
from eventsync.report import Document, key_of, short_origin, table, who_of
from eventsync.text import clean, clean_lines, pad, pretty_json, shorten, width

if TYPE_CHECKING:
    from federation.grouping import Offer
    from federation.inbox import Difference
    from federation.merging import Change
    from federation.model import Candidate, DecisionReport, Left

_FEW_DELETIONS: Final = 3  # of one origin that a terminal shows one by one
_LONGEST: Final = 2_000  # columns of one text on one line; what is longer is cut
_NAMED: Final = 3  # sources of one offer that are named; of more the first two, and how many others
_LISTED: Final = 5  # ids in one line
_OTHER: Final = "other content"  # of an entity that the line above is about too
_ONE_LINE: Final = 100  # columns that a value may take beside its name; a longer one is shown in lines of its own


class Styled(NamedTuple):
    """A line of text and what it is, for those who see colours."""

    text: str
    style: str | None = None  # of `console`


# --- JSON ------------------------------------------------------------------------------------------------------------


def candidate_row(found: Candidate, offer: Offer | None = None) -> Document:
    """One candidate of `inbox`; the one that stands for all that are alike brings their sources."""
    alike = (found,) if offer is None else offer.candidates
    return {
        "id": found.id,
        "origin_store_id": found.origin,
        "origin_name": found.origin_name,
        "item_type": found.item_type,
        "item_id": found.item_id,
        "seq": found.seq,
        "entity_rev": found.entity_rev,
        "action": found.action,
        "verdict": str(found.verdict),
        "label": found.label,
        "summary": found.summary,
        "digest": found.digest,
        "payload": found.payload,
        "held": found.held,
        "rule": found.rule,
        "false_claim": found.false_claim,
        "snoozed": found.snoozed is not None,
        "snoozed_until": None if found.snoozed is None else found.snoozed.until,
        "group": alike[0].id,
        "sources": [_source(one) for one in alike] if alike[0].id == found.id else [],
        "trust": "foreign",
    }


def _source(found: Candidate) -> Document:
    return {"id": found.id, "origin_store_id": found.origin, "origin_name": found.origin_name}


def diff_document(found: Difference) -> Document:
    """A candidate, what is here, what both build on, and what they come to together."""
    from federation.ancestry import Base
    from federation.merging import label

    candidate, head, base, merged = found.candidate, found.local_head, found.base, found.merged
    local = None
    if head is not None:
        local = _side(head.entity_rev, head.seq, found.local, deleted=head.deleted)
    ready = merged is not None and not merged.undecided and (isinstance(base, Base) or candidate.verdict != "conflict")
    return {
        "candidate": candidate_row(candidate._replace(payload=found.foreign), next(iter(found.offers), None)),
        "others": [offer.lead.id for offer in found.offers[1:]],
        "local": local,
        "foreign": _side(candidate.entity_rev, candidate.seq, found.foreign, deleted=found.foreign_deleted),
        "base": {
            "origin_store_id": base.origin,
            **_side(base.entity_rev, base.seq, base.payload, deleted=base.payload is None),
        }
        if isinstance(base, Base)
        else None,
        "no_base": None if isinstance(base, Base) else base.reason,
        "changes": [
            {"path": label(change.path), "change": str(change.side)} for change in (merged.changes if merged else ())
        ],
        "merged": merged.value if merged is not None and ready and isinstance(merged.value, dict) else None,
    }


def _side(rev: int | None, seq: int, payload: object, *, deleted: bool) -> Document:
    return {"entity_rev": rev, "seq": seq, "deleted": deleted, "payload": payload}


def left_rows(left: Iterable[Left]) -> list[Document]:
    """Candidates that a decision left as they were."""
    return [
        {
            "id": entry.id,
            "item_type": entry.item_type,
            "item_id": entry.item_id,
            "verdict": str(entry.verdict),
            "reason": entry.reason,
        }
        for entry in left
    ]


# --- lists -----------------------------------------------------------------------------------------------------------


def offer_lines(found: Iterable[Offer], alike: Mapping[str, Offer], columns: int | None) -> Iterator[str]:
    """A table of offers, each a line of the candidate that stands for it. `alike` knows all sources by candidate id.

    A label tells why one is what it is where there is no summary.
    """
    rows, before = [], None
    for offer in found:
        one = offer.lead
        entity = key_of(one.item_type, one.item_id)
        what = clean(one.summary or one.label or "")
        row = (one.id, _verdict_words(one), entity, sources_of(alike.get(one.id, offer)))
        is_other = entity == before and one.id in alike and one.verdict != "unreadable"
        rows.append((*row, f"{_OTHER}: {what}" if is_other else what))
        before = entity
    if rows:
        yield from table(["ID", "VERDICT", "ENTITY", "FROM", "SUMMARY"], rows, columns)


def sources_of(offer: Offer) -> str:
    """Whom an offer comes from: `laptop, build box and 3 more`."""
    names = [shorten(clean(one.origin_name or short_origin(one.origin)), 24) for one in offer.candidates]
    if len(names) <= _NAMED:
        return ", ".join(names)
    return f"{', '.join(names[: _NAMED - 1])} and {len(names) - _NAMED + 1} more"


Deletions = Mapping[str, Sequence["Candidate"]]  # by origin


def deletions_apart(found: Sequence[Candidate]) -> tuple[list[Candidate], Deletions]:
    """Candidates without the deletions of an origin that offers many of them, and those."""
    gone: dict[str, list[Candidate]] = {}
    for candidate in found:
        if candidate.verdict == "gone":
            gone.setdefault(candidate.origin, []).append(candidate)
    apart = {origin: deletions for origin, deletions in gone.items() if len(deletions) > _FEW_DELETIONS}
    return [item for item in found if item.verdict != "gone" or item.origin not in apart], apart


def deletion_lines(apart: Deletions) -> Iterator[str]:
    """One line for the deletions of one origin."""
    for origin, found in apart.items():
        who = shorten(clean(found[0].origin_name), 40) or short_origin(origin)
        names = ", ".join(key_of(item.item_type, item.item_id) for item in found[:_FEW_DELETIONS])
        yield f"{len(found)} deletions from {who}: {names}, … `eventsync inbox --verdict gone` lists them"


def _verdict_words(candidate: Candidate) -> str:
    if candidate.snoozed is not None:
        until = "" if candidate.snoozed.until is None else f" until {clean(candidate.snoozed.until[:16])}Z"
        return f"{candidate.verdict} (snoozed{until})"
    if candidate.held:
        return f"{candidate.verdict} (held)"
    by = "by" if candidate.verdict == "known" else "held by"
    return f"{candidate.verdict}" + ("" if candidate.rule is None else f" ({by} rule {clean(candidate.rule)})")


def _left_lines(left: Sequence[Left]) -> Iterator[str]:
    """Candidates that a decision left as they were, and after conflicts how one is decided."""
    beside = Counter(entry.lead for entry in left if entry.lead not in (None, entry.id))
    shown = {entry.id for entry in left}
    for entry in left:
        if entry.lead is None or entry.lead == entry.id or entry.lead not in shown:
            more = f" (and {beside[entry.id]} alike)" if beside[entry.id] else ""
            yield f"left: {entry.id}  {key_of(entry.item_type, entry.item_id)}  {clean(entry.reason)}{more}"
    if any(entry.verdict == "conflict" for entry in left):
        yield f"{TABLE['ConflictUndecided'].hint}"


def grouped_line(offers: int, candidates: int) -> str:
    """That some lines stand for several candidates."""
    return f"{candidates} candidates in {offers} lines: what several origins offer alike is decided at once"


def decided_lines(decided: DecisionReport) -> Iterator[str]:
    """What a decision came to beside its records: what it settled too, what it left, what it was not about."""
    yield from _together_lines(decided)
    yield from _left_lines(decided.left)
    yield from _held_lines(decided)


def _together_lines(decided: DecisionReport) -> Iterator[str]:
    """Candidates that were decided along with those that records were written for."""
    ids = decided.together
    if ids:
        more = f" and {len(ids) - _LISTED} more" if len(ids) > _LISTED else ""
        yield f"decided too, since other origins offer the same: {', '.join(ids[:_LISTED])}{more}"


def _held_lines(decided: DecisionReport) -> Iterator[str]:
    """Candidates that an accept of all did not offer, and what helps."""
    if decided.braked:
        yield f"{decided.braked} are held after an unusually large pull: {BRAKED}"
    if decided.snoozed:
        yield f"{decided.snoozed} snoozed: `eventsync inbox --all` shows them"
    if decided.capped:
        yield f"{decided.capped} more are held: run it again"


# --- one candidate beside what is here -------------------------------------------------------------------------------


def diff_lines(found: Difference) -> Iterator[Styled]:
    """A candidate beside what is here: place by place where both sides went on from one base, else line by line."""
    candidate = found.candidate
    entity = key_of(candidate.item_type, candidate.item_id)
    yield Styled(f"{candidate.id}  {candidate.verdict}  {entity}", "header")
    who = who_of(candidate.origin_name, candidate.origin)
    yield Styled(f"from {who}, seq {candidate.seq}, digest {clean(candidate.digest[:12])}")
    yield from _offered_lines(found.offers)
    if candidate.label:
        yield Styled(clean(candidate.label))
    if candidate.false_claim:
        yield Styled(f"says that it includes {clean(candidate.false_claim)}, which cannot be: that counts for nothing")
    if found.local_head is None or found.local_head.deleted:
        yield Styled("not here" if found.local_head is None else "deleted here")
    if found.foreign_deleted:
        yield Styled("deleted there")
    if candidate.verdict == "conflict":
        yield Styled(_base_line(found))
    if candidate.verdict == "conflict" and isinstance(found.local, dict) and isinstance(found.foreign, dict):
        yield from _three_ways(found)
    else:
        yield from _two_ways(found.local, found.foreign)
    if candidate.verdict == "conflict":
        yield Styled(_way_out(found))


def _offered_lines(offers: Sequence[Offer]) -> Iterator[Styled]:
    """Who else offers the same, and who something else."""
    if offers and len(offers[0].candidates) > 1:
        yield Styled(f"the same from {sources_of(offers[0])}")
    for offer in offers[1:]:
        one = offer.lead
        yield Styled(f"also offered by {sources_of(offer)} with {_OTHER}: {one.id}  {one.verdict}")


def _base_line(found: Difference) -> str:
    """What both sides of a conflict build on, and whose it is."""
    from federation.ancestry import NoBase

    base = found.base
    if isinstance(base, NoBase):
        return f"no version that both build on: {clean(base.reason)}"
    whose = "theirs" if base.origin == found.candidate.origin else "here"
    rev = "" if base.entity_rev is None else f" (rev {base.entity_rev})"
    deleted = ", a deletion" if base.payload is None else ""
    return f"both build on seq {base.seq}{rev} {whose}{deleted}"


def _way_out(found: Difference) -> str:
    """What a person can do about a conflict."""
    merged, name = found.merged, found.candidate.id
    count = 0 if merged is None else len(merged.undecided)
    if merged is None or count:
        places = "" if not count else f"{count} place{'s' if count > 1 else ''} undecided: "
        return f"{places}`eventsync accept {name} --edit` lets you decide, --theirs takes all of theirs"
    return f"`eventsync accept {name} --merge` takes what only one side changed"


def _two_ways(local: object, foreign: object) -> Iterator[Styled]:
    sides = (None if side is None else pretty_json(attachments.brief(side)) for side in (local, foreign))
    before, after = ([] if side is None else side.splitlines() for side in sides)
    changed = difflib.unified_diff(before, after, "local", "foreign", n=3, lineterm="")
    yield from [_coloured(line) for line in changed] or [Styled("the payloads are the same")]


def _coloured(line: str) -> Styled:
    """A line of a unified diff."""
    styles = {"-": "removed", "+": "added", "@": "hunk"}
    return Styled(line, None if line.startswith(("---", "+++")) else styles.get(line[:1]))


def _three_ways(found: Difference) -> Iterator[Styled]:
    from federation.merging import label

    changes = () if found.merged is None else found.merged.changes
    for change in changes:
        style, words = _WHO[str(change.side)]
        yield Styled(f"{clean(label(change.path))}  {_done(change)}{words}", style)
        yield from _sides(change)
    if not changes:
        yield Styled("the payloads are the same")


_WHO: Final = {
    "local": ("local", "here"),
    "foreign": ("foreign", "there"),
    "both": (None, "on both sides alike"),
    "joined": (None, "on both sides, and goes together"),
    "undecided": ("undecided", "on both sides: undecided"),
}


def _done(change: Change) -> str:
    from federation.merging import ABSENT

    if change.base is ABSENT:
        return "added "
    one = change.foreign if str(change.side) == "foreign" else change.local
    return "removed " if one is ABSENT and str(change.side) != "undecided" else "changed "


def _sides(change: Change) -> Iterator[Styled]:
    """The values of one place: the base, and those of the sides that changed it."""
    from federation.merging import ABSENT

    side = str(change.side)
    shown = [("foreign", change.foreign)] if side == "foreign" else [("local", change.local)]
    shown += [("foreign", change.foreign)] if side in ("joined", "undecided") else []
    before = [] if change.base is ABSENT else _lines_of(change.base)
    if before and not any(
        len(before) > 1 and len(_lines_of(value)) > 1 for _, value in shown
    ):  # else it shows in those
        yield from _value_lines("base", change.base, [])
    for name, value in shown:
        yield from _value_lines("both" if side == "both" else name, value, before)


def _value_lines(name: str, value: object, before: Sequence[str]) -> Iterator[Styled]:
    """A value on one line if it is short, else in lines: as the difference to the base where that has many too."""
    lines = _lines_of(value)
    if len(lines) == 1:
        yield Styled(f"  {pad(name, 8)}{lines[0]}")
        return
    yield Styled(f"  {name}")
    if len(before) > 1:
        lines = list(difflib.unified_diff(before, lines, n=2, lineterm=""))[2:]
        yield from (Styled(f"    {line.text}", line.style) for line in map(_coloured, lines))
    else:
        yield from (Styled(f"    {line}") for line in lines)


def _lines_of(value: object) -> list[str]:
    """A value as clean lines: plain text of several lines as such, all else as JSON."""
    from federation.merging import ABSENT

    if value is ABSENT:
        return ["(nothing)"]
    if isinstance(value, str) and "\n" in value:
        return clean_lines(value).split("\n")
    short = clean(json.dumps(value, ensure_ascii=False))
    if isinstance(value, str):
        return [shorten(short, _LONGEST)]
    is_short = width(short) <= _ONE_LINE or not isinstance(value, dict | list)
    return [short] if is_short else pretty_json(value).split("\n")
