"""Rules: what a person has said beforehand about candidates of a kind.

Pure. The first rule that fits a candidate is the one that counts. A rule does what a person could do with `accept`,
`reject`, or by leaving it: it never takes the foreign side of a conflict, since two stores would swap for ever, and
never what cannot be read [K5].
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from federation.mirror import BRIDGE_PREFIX
from federation.model import OPEN_VERDICTS, Candidate, Verdict

AGENT_PREFIX: Final = "rule:"  # of the agent in records that a rule made


class Action(enum.StrEnum):
    """What a rule does about a candidate."""

    ACCEPT = "accept"
    REJECT = "reject"
    HOLD = "hold"  # it stays in the inbox, and `accept --all` leaves it


# What each action can be about.
DECIDABLE: Final[Mapping[Action, frozenset[Verdict]]] = {
    Action.ACCEPT: frozenset([Verdict.NEW, Verdict.UPDATE, Verdict.GONE]),
    Action.REJECT: OPEN_VERDICTS,
    Action.HOLD: OPEN_VERDICTS,
}


class Rule(NamedTuple):
    """One rule; None is any. An origin that nobody signed has to be named."""

    name: str
    action: Action
    origins: frozenset[str] | None = None
    types: frozenset[str] | None = None
    verdicts: frozenset[Verdict] | None = None
    item_id: str | None = None  # a pattern with * and ?
    reason: str | None = None

    @property
    def agent(self) -> str:
        """Who wrote a record that this rule made."""
        return AGENT_PREFIX + self.name

    def fits(self, candidate: Candidate) -> bool:
        """Whether the rule is about a candidate."""
        about = DECIDABLE[self.action] if self.verdicts is None else self.verdicts & DECIDABLE[self.action]
        return (
            candidate.verdict in about
            and self._is_from(candidate.origin)
            and (self.types is None or candidate.item_type in self.types)
            and (self.item_id is None or fnmatchcase(candidate.item_id, self.item_id))
        )

    def _is_from(self, origin: str) -> bool:
        return not origin.startswith(BRIDGE_PREFIX) if self.origins is None else origin in self.origins


def first_fitting(rules: Sequence[Rule], candidate: Candidate) -> Rule | None:
    """The rule that counts for a candidate, or None."""
    return next((rule for rule in rules if rule.fits(candidate)), None)


def rule_named_by(agent: str) -> str | None:
    """The rule that made a record, by its agent; None when it was no rule."""
    return agent.removeprefix(AGENT_PREFIX) if agent.startswith(AGENT_PREFIX) else None
