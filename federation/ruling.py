"""Ruling: what rules come to, and the decisions they make after a pull.

A rule decides as a person would, by the same records; `agent` says which rule it was. What a person has had a hand in,
what the brake or the cap holds, and what comes from an origin that is not to be believed, is a person's [K5]. Run again
over the same inbox it decides nothing more, so whatever a killed pull left undone the next one does.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from federation.deciding import Deciding, Undecided
from federation.inbox import Filter, Inbox
from federation.model import NO_PAYLOAD, Candidate, Left
from federation.rules import Action, Rule, first_fitting
from federation.settling import Decisions, covering
from journal import Draft, Written


class Passed(enum.StrEnum):
    """Why no rule touches a candidate."""

    BRAKED = "braked"
    CAPPED = "capped"
    PERSON = "person"  # snoozed, or a decision about it was taken back
    FROZEN = "frozen"  # its origin contradicts itself, and nobody has said which half is true [F5]
    WAITING = "waiting"  # its payload is not here yet


class Ruled(NamedTuple):
    """An open candidate and what the rules say of it."""

    candidate: Candidate
    rule: Rule | None  # the first that fits
    passed: Passed | None = None

    @property
    def is_decided(self) -> bool:
        """Whether a rule decides it now."""
        return self.passed is None and self.rule is not None and self.rule.action is not Action.HOLD


class Made(NamedTuple):
    """A decision that a rule made."""

    rule: str
    candidate: Candidate
    written: Written


class RuleRun(NamedTuple):
    """What the rules came to in one run: `left` by rule, since a candidate broke our limits; `held` by rule."""

    made: tuple[Made, ...] = ()
    left: tuple[tuple[str, Left], ...] = ()
    held: Mapping[str, int] = {}
    error: Exception | None = None  # why nothing could be decided
    cache_problem: str | None = None


NO_RULES: Final = RuleRun()


def ruled(inbox: Inbox, rules: Sequence[Rule], wanted: Filter | None = None) -> Iterator[Ruled]:
    """All open candidates, by origin and seq, each with what the rules say of it. Nothing is written."""
    passing = _Passing(inbox)
    for candidate in inbox.candidates(wanted or Filter()):
        yield Ruled(candidate, first_fitting(rules, candidate), passing.why(candidate))


class _Passing:
    """What is left to a person, for one look through the inbox."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox, self._holdings = inbox, inbox.holdings
        self._touched = Decisions(inbox.holdings.index.last_words("snooze", "reopen"))
        self._origins: dict[str, tuple[bool, int | None]] = {}

    def why(self, candidate: Candidate) -> Passed | None:
        frozen, braked_after = self._of(candidate.origin)
        if frozen:
            return Passed.FROZEN
        if braked_after is not None and candidate.seq > braked_after:
            return Passed.BRAKED
        if candidate.held:
            return Passed.CAPPED
        if self._is_touched(candidate):
            return Passed.PERSON
        return Passed.WAITING if candidate.label == NO_PAYLOAD else None

    def _of(self, origin: str) -> tuple[bool, int | None]:
        """Whether an origin is frozen, and the seq after which it is braked."""
        if origin not in self._origins:
            brake = self._holdings.brake(origin)
            after = None if brake is None or brake.pending else brake.after_seq
            self._origins[origin] = self._holdings.trust.is_frozen(origin), after
        return self._origins[origin]

    def _is_touched(self, candidate: Candidate) -> bool:
        """Whether the last word on this version was a person's, and left it open."""
        if not self._touched:
            return False
        return covering(self._holdings, self._inbox.row_of(candidate), self._touched.on) is not None


# --- deciding --------------------------------------------------------------------------------------------------------


def run_rules(deciding: Deciding, inbox: Inbox, rules: Sequence[Rule]) -> RuleRun:
    """Decide what rules can decide of the inbox as it is, as one batch, durable on return.

    Of several candidates of one entity the first is decided; the others are judged against that and looked at again, in
    a batch of their own where they are still open. Errors as `Deciding.accept_all`.
    """
    with deciding.under_lock():
        found = list(ruled(inbox, rules))
        held = Counter(item.rule.name for item in found if item.rule is not None and _is_held(item))
        waiting = [item for item in found if item.is_decided]
        made: list[Made] = []
        left: list[tuple[str, Left]] = []
        problem: str | None = None
        while waiting:
            chosen = _one_of_each_entity(waiting)
            drafts = _drafts(deciding, inbox, chosen, left)
            if drafts:
                report = deciding.write([draft for _, draft in drafts])
                pairs = zip(drafts, report.written, strict=True)
                made += [Made(_name(item), item.candidate, written) for (item, _), written in pairs]
                problem = problem or report.cache_problem
            rest = {item.candidate.id for item in waiting} - {item.candidate.id for item in chosen}
            again = ruled(inbox, rules) if rest else ()
            waiting = [item for item in again if item.candidate.id in rest and item.is_decided]
        return RuleRun(tuple(made), tuple(left), dict(held), cache_problem=problem)


def _is_held(item: Ruled) -> bool:
    return item.passed is None and item.rule is not None and item.rule.action is Action.HOLD


def _name(item: Ruled) -> str:
    return "" if item.rule is None else item.rule.name


def _one_of_each_entity(found: Sequence[Ruled]) -> list[Ruled]:
    """The first of each entity; ids that differ only in case are one, since only one of them can be here [J10]."""
    first: dict[tuple[str, str], Ruled] = {}
    for item in found:
        first.setdefault((item.candidate.item_type, item.candidate.item_id.lower()), item)
    return list(first.values())


def _drafts(
    deciding: Deciding, inbox: Inbox, chosen: Sequence[Ruled], left: list[tuple[str, Left]]
) -> list[tuple[Ruled, Draft]]:
    """The records that rules make of candidates; what would break our limits is added to what is left."""
    drafts: list[tuple[Ruled, Draft]] = []
    for item in chosen:
        rule, row = item.rule, inbox.row_of(item.candidate)
        if rule is None:
            continue
        draft = deciding.rejection(row, rule.reason) if rule.action is Action.REJECT else deciding.planned(row)
        if isinstance(draft, Undecided):
            facts = (item.candidate.id, row.item_type, row.item_id, str(item.candidate.verdict))
            left.append((rule.name, Left(*facts, draft.reason)))
        else:
            drafts.append((item, draft._replace(agent=rule.agent)))
    return drafts
