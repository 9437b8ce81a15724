"""Deciders: which rule settled a candidate?

The journal says it, in the agent of the record that decided. It is read through once for a list of settled candidates,
and never for any other.
"""

from __future__ import annotations

from functools import cached_property

from federation.holdings import Holdings
from federation.index import Row
from federation.rules import rule_named_by
from federation.settling import covering
from journal import DamagedStore, Query


class Deciders:
    """The decisions of rules, for one look through an inbox."""

    def __init__(self, holdings: Holdings) -> None:
        self._holdings = holdings

    @cached_property
    def _rules(self) -> dict[int, str]:
        """The seqs of our records that rules made. A log that cannot be read names none: `verify` tells of that."""
        try:
            records = self._holdings.store.history.records(Query())
            named = ((record.seq, rule_named_by(record.agent)) for record in records)
            return {seq: rule for seq, rule in named if rule is not None}
        except DamagedStore:
            return {}

    def of(self, row: Row) -> str | None:
        """The rule that settled what a row shows; None when it was somebody else, or nobody."""
        at = covering(self._holdings, row, self._holdings.index.decided_on)
        return None if at is None else self._rules.get(at)
