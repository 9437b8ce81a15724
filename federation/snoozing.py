"""Snoozing: which candidates are out of sight just now?

A snooze is a record of ours about one version, as a reject is; it settles nothing [K5]. The clock of this machine only
hides: a time that cannot be, because the clock was wrong then or is wrong now, shows the candidate.
"""

from __future__ import annotations

import json
from functools import cached_property

from federation.holdings import Holdings
from federation.index import Row
from federation.model import Snooze
from federation.settling import Decisions, covering
from journal import Query, encode_payload


def snooze_payload(until: str | None) -> bytes:
    """What the record of a snooze says."""
    return encode_payload({"until": until})


class Snoozes:
    """The snoozes of one store, for one look through its inbox."""

    def __init__(self, holdings: Holdings) -> None:
        self._holdings = holdings
        self._in_force: dict[int, Snooze | None] = {}  # by the seq of our record

    @cached_property
    def _kept(self) -> Decisions:
        return Decisions(self._holdings.index.last_words("snooze"))

    @cached_property
    def _now(self) -> str:
        return self._holdings.store.machine.now()

    def of(self, row: Row) -> Snooze | None:
        """The snooze on what a row shows, if it is in force now."""
        at = covering(self._holdings, row, self._kept.on) if self._kept else None
        return None if at is None else self._read(at)

    def _read(self, at: int) -> Snooze | None:
        if at not in self._in_force:
            self._in_force[at] = self._looked_up(at)
        return self._in_force[at]

    def _looked_up(self, at: int) -> Snooze | None:
        """What a record of ours says, while it holds: from when it was written until its time."""
        for told in self._holdings.store.history.newest_first(Query(since=at - 1, until=at)):
            payload = told.record.payload_bytes
            until = None if payload is None else json.loads(payload).get("until")
            if isinstance(until, str | None) and told.record.ts <= self._now and (until is None or self._now < until):
                return Snooze(until)
        return None
