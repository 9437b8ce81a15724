"""Rules report: what rules say, what they did after a pull, and what they would do; as JSON or as lines of text.

Pure, as `report` is. Everything foreign passes `text`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from eventsync.inbox_report import left_rows
from eventsync.report import Document, count_of, error_value, key_of, records_document, short_origin, who_of
from eventsync.text import clean
from federation.rules import DECIDABLE

if TYPE_CHECKING:
    from eventsync.ruling import Rehearsal
    from federation.rules import Rule
    from federation.ruling import Made, Ruled, RuleRun

_EXAMPLES: Final = 3
_MORE_EXAMPLES: Final = 10  # of what no rule is about
_DONE: Final = {"accept": "accepted", "delete": "accepted", "reject": "rejected"}
_PASSED: Final = {
    "braked": "held by the brake: `eventsync pull --confirm` releases them",
    "capped": "beyond the cap: the next pull takes them",
    "person": "snoozed, or decided once and taken back: a person's",
    "frozen": "of a store that contradicts itself: `eventsync status` names it",
    "waiting": "without their payload, which is not here yet",
}


# --- JSON ------------------------------------------------------------------------------------------------------------


def rule_row(rule: Rule) -> Document:
    """One rule, with null for what may be anything."""
    return {
        "name": rule.name,
        "action": str(rule.action),
        "origins": None if rule.origins is None else sorted(rule.origins),
        "types": None if rule.types is None else sorted(rule.types),
        "verdicts": None if rule.verdicts is None else sorted(map(str, rule.verdicts)),
        "item_id": rule.item_id,
        "reason": rule.reason,
    }


def run_document(run: RuleRun) -> Document:
    """What rules did after a pull."""
    written = records_document([made.written for made in run.made])["records"]
    left = left_rows(entry for _, entry in run.left)
    return {
        "records": [{**row, "rule": made.rule} for row, made in zip(written, run.made, strict=True)],
        "left": [{**row, "rule": name} for row, (name, _) in zip(left, run.left, strict=True)],
        "held": [{"rule": name, "count": count} for name, count in run.held.items()],
        "error": error_value(run.error),
    }


def rehearsal_document(found: Rehearsal) -> Document:
    """What rules would do now, candidate by candidate."""
    matched = Counter(item.rule for item in found.candidates if item.passed is None)
    return {
        "rules": [{**rule_row(rule), "matched": matched[rule]} for rule in found.rules],
        "candidates": [
            {
                "id": item.candidate.id,
                "origin_store_id": item.candidate.origin,
                "origin_name": item.candidate.origin_name,
                "item_type": item.candidate.item_type,
                "item_id": item.candidate.item_id,
                "verdict": str(item.candidate.verdict),
                "rule": None if item.rule is None else item.rule.name,
                "passed": None if item.passed is None else str(item.passed),
            }
            for item in found.candidates
        ],
    }


# --- text ------------------------------------------------------------------------------------------------------------


def rule_line(rule: Rule) -> str:
    """What a rule says, as a sentence."""
    verdicts = sorted(rule.verdicts or (DECIDABLE[rule.action] if rule.action == "accept" else ()))
    about = [", ".join(verdicts)] if verdicts else []
    about.append(clean(" or ".join(sorted(rule.types))) if rule.types else "of any type")
    about += [f"called {clean(rule.item_id)}"] if rule.item_id else []
    whose = "anybody who signs" if rule.origins is None else " or ".join(map(short_origin, sorted(rule.origins)))
    why = f" ({clean(rule.reason)})" if rule.reason else ""
    return f"{rule.name}: {rule.action} what is {' '.join(about)}, from {whose}{why}"


def run_lines(run: RuleRun) -> Iterator[str]:
    """What rules did: one line for each rule and kind of decision."""
    made: dict[tuple[str, str], list[Made]] = {}
    for found in run.made:
        made.setdefault((found.rule, _DONE[found.written.action]), []).append(found)
    for (rule, done), found_all in made.items():
        names = [key_of(found.candidate.item_type, found.candidate.item_id) for found in found_all]
        yield f"rule {rule}: {done} {len(names)}: {_few(names, _EXAMPLES)}"
    for rule, count in run.held.items():
        yield f"rule {rule}: {count_of(count, 'candidate')} held for you"


def run_warnings(run: RuleRun) -> Iterator[str]:
    """What a rule could not accept."""
    for rule, entry in run.left:
        yield f"rule {rule} left {key_of(entry.item_type, entry.item_id)} ({entry.id}): {clean(entry.reason)}"
    if run.cache_problem is not None:
        yield f"the records are written, but a cache is behind: {run.cache_problem}"


def rehearsal_lines(found: Rehearsal) -> Iterator[str]:
    """What rules would do now: each with a few examples, then what no rule is about, and what is a person's."""
    for rule in found.rules:
        yield rule_line(rule)
        yield f"  {_counted([item for item in found.candidates if item.rule == rule and item.passed is None])}"
    others = [item for item in found.candidates if item.rule is None and item.passed is None]
    if others:
        yield f"no rule: {_counted(others, _MORE_EXAMPLES)}"
    for reason, words in _PASSED.items():
        passed = [item for item in found.candidates if item.passed == reason]
        if passed:
            yield f"left alone: {_counted(passed)}"
            yield f"  {words}"
    if not found.candidates:
        yield "inbox is empty"


def _counted(found: Sequence[Ruled], most: int = _EXAMPLES) -> str:
    names = [_named(item) for item in found]
    return f"{count_of(len(found), 'candidate')}{': ' if found else ''}{_few(names, most)}"


def _named(item: Ruled) -> str:
    candidate = item.candidate
    who = who_of(candidate.origin_name, candidate.origin)
    return f"{candidate.verdict} {key_of(candidate.item_type, candidate.item_id)} from {who}"


def _few(names: Sequence[str], most: int) -> str:
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
