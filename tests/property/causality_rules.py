"""Stores with rules for the model of causality: what the real rules say is done after each pull, by the model's stores.

Which rule fits is asked of `federation.rules`; what that comes to is judged by the oracle as any other record is.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from federation.model import Candidate, Verdict, candidate_id
from federation.rules import Action, Rule, first_fitting
from journal import Ref
from tests.property.causality_oracle import Broken, here
from tests.property.causality_stores import Decided, Line, MemoryStore, named
from tests.property.causality_traces import Shape, Step, World

ACCEPT: Final = Rule("all", Action.ACCEPT)
ACCEPT_NEWS: Final = Rule("news", Action.ACCEPT, verdicts=frozenset([Verdict.NEW, Verdict.UPDATE]))
REJECT_NOTES: Final = Rule("quiet", Action.REJECT, types=frozenset(["note"]))
HOLD_PLANS: Final = Rule("look", Action.HOLD, types=frozenset(["plan"]))
RULE_LISTS: Final[Sequence[Sequence[Rule]]] = (
    (),
    (ACCEPT,),
    (ACCEPT_NEWS,),
    (HOLD_PLANS, ACCEPT),
    (REJECT_NOTES, ACCEPT_NEWS),
)
_PULLS: Final = frozenset(["pull", "pull old", "relay", "sync", "pass on"])


def candidate_of(line: Line, verdict: Verdict) -> Candidate:
    """A foreign head as rules see it."""
    return Candidate(
        candidate_id(line.origin, *line.key),
        line.origin,
        "",
        *line.key,
        line.record.seq,
        line.record.entity_rev,
        line.record.action,
        verdict,
        None,
        None,
        line.foreign.digest,
        line.foreign.version,
        False,
    )


class RuledWorld(World):
    """A world in which stores have rules, by their number; a store without has none."""

    def __init__(self, shape: Shape, rules: Mapping[int, Sequence[Rule]]) -> None:
        super().__init__(shape)
        self.rules = rules
        self.touched: dict[int, set[Decided]] = {}  # decisions that a person took back: no rule decides these again
        self.decided = 0
        self.laps_at_once = False

    def do(self, step: Step) -> None:
        """Do one step; after a pull come the rules."""
        decisions = [set(store.decisions) for store in self.stores]
        super().do(step)
        for number, (store, before) in enumerate(zip(self.stores, decisions, strict=False)):
            self.touched.setdefault(number, set()).update(before - store.decisions.keys())
        if step.verb in _PULLS:
            for number, store in enumerate(self.stores):
                if store.origin not in self.oracle.liars:
                    self.apply(number, store)

    def apply(self, number: int, store: MemoryStore) -> int:
        """Let the rules of a store decide until none fits any more; how much they decided."""
        rules, count = self.rules.get(number % self.shape.stores, ()), 0
        while (found := self._next(number, store, rules)) is not None:
            rule, line = found
            told = self._ruled(store, rule, line)
            self.story.append(f"{named(store.origin)} {rule.agent} {rule.action}s {told}")
            self.oracle.check(store)
            count += 1
        self.decided += count
        return count

    def _next(self, number: int, store: MemoryStore, rules: Sequence[Rule]) -> tuple[Rule, Line] | None:
        """What a rule decides next: of a row that is open, that no person took back, and that none holds."""
        for line in store.rows():
            rule = first_fitting(rules, candidate_of(line, store.judge(line).verdict))
            if rule is None or rule.action is Action.HOLD or self._is_touched(number, line):
                continue
            return rule, line
        return None

    def _is_touched(self, number: int, line: Line) -> bool:
        versions = (line.own, line.foreign.version)
        return any(decided[0] in versions and decided[1] == line.key for decided in self.touched.get(number, ()))

    def _ruled(self, store: MemoryStore, rule: Rule, line: Line) -> str:
        if rule.action is Action.REJECT:
            store.reject(line)
            return f"{named(line.origin)}@{line.record.seq}"
        self._check_seen(store, line)
        return self._wrote(store, line.key, partial(store.accept, line))

    def _check_seen(self, store: MemoryStore, line: Line) -> None:
        """No rule goes over an edit that its author had not seen: by what is true, not by what vectors say."""
        held = here(store, line)
        if held is None or line.lied or held.line.lied:
            return  # what a lie can do is the oracle's
        if Ref(*held.head.version[:2]) not in line.truth:
            raise Broken(f"a rule of {named(store.origin)} goes over what {named(line.origin)} never saw [K5]")

    def come_to_rest(self, rng: random.Random, most_laps: int) -> int:
        """All stores pull, rule and publish until nothing moves; how many laps that took.

        One after the other, or with `laps_at_once` all see what the others had at the end of the lap before.
        """
        for lap in range(most_laps):
            order = rng.sample(range(len(self.stores)), len(self.stores))
            if not (self._at_once(order) if self.laps_at_once else self._in_turn(order)):
                return lap
        raise Broken(f"after {most_laps} laps rules still write")

    def _in_turn(self, order: Sequence[int]) -> bool:
        moved = False
        for number in order:
            moved |= self._looks(number) | self.stores[number].publish()
        return moved

    def _at_once(self, order: Sequence[int]) -> bool:
        looked = [self._looks(number) for number in order]
        published = [self.stores[number].publish() for number in order]
        return True in looked + published

    def _looks(self, number: int) -> bool:
        """Pull from all without a publish of one's own, and rule."""
        store = self.stores[number]
        taken = [self._take(store, origin, feed.lines, feed.last_seq) for origin, feed in self._near(number)]
        return any([*taken, self.apply(number, store)])
