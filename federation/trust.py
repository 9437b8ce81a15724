"""Trust: what people decided about whole origins, as records of the journal tell it [T1].

`origin_block` keeps an origin out of sight, `origin_forget` puts its mirror aside, `origin_trust` ends a block, or
settles a fork by the choice of one history. What is told here is a function of these records and of the mirrors; only
the last step of putting a mirror aside is done here, when the command that decided it was stopped.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from typing import Any, Final, NamedTuple

from federation.errors import DamagedFeed
from federation.mirror import Mirror, evidence_name
from federation.model import Head, Pin
from journal import DamagedStore, Decided, Query, Store

TRUST: Final = "origin_trust"
BLOCK: Final = "origin_block"
FORGET: Final = "origin_forget"


class Stance(NamedTuple):
    """Where an origin stands by what people decided; seqs are those of our records, 0 for none."""

    blocked_at: int = 0
    forgotten_at: int = 0
    chosen_at: int = 0  # a history of it was chosen there, and it was not forgotten since


class Choice(NamedTuple):
    """The history that a person chose: what it must show at a seq, and the heads that were decided against."""

    pin: Pin
    settled: frozenset[str]  # names of evidence
    took: str | None  # the name of the evidence that was chosen; None for the history that was here


class Trust:
    """What one store decided about origins."""

    def __init__(self, store: Store, mirror: Mirror) -> None:
        self._store = store
        self._mirror = mirror
        self._stances: Mapping[str, Stance] | None = None
        self._last_seq = 0
        self._choices: dict[int, Choice] = {}

    def refresh(self) -> None:
        """Look at the journal anew."""
        self._store.refresh()
        self._stances = None

    @property
    def stances(self) -> Mapping[str, Stance]:
        """All origins that a person decided about, as far as the journal's caches know it."""
        if self._stances is None:
            found = self._store.decisions_on_origins()
            stances: dict[str, Stance] = {}
            for record in found:
                origin = origin_of(record)
                stances[origin] = _after(stances.get(origin, Stance()), record)
            self._stances = stances
            self._last_seq = found[-1].seq if found else 0
        return self._stances

    @property
    def mark(self) -> str:
        """What stands in a cache that depends on these decisions; another one means to begin it anew."""
        return f" trust@{self._last_seq}" if self.stances else ""

    def of(self, origin: str) -> Stance:
        """Where an origin stands."""
        return self.stances.get(origin, Stance())

    def is_blocked(self, origin: str) -> bool:
        """Whether nothing of it is pulled, shown or passed on."""
        return self.of(origin).blocked_at > 0

    def reason(self, origin: str) -> str | None:
        """Why it was blocked, as the person said; None where nobody did."""
        told = self._store.history.newest_first(_only(self.of(origin).blocked_at))
        return next((found.record.summary for found in told), None) if self.is_blocked(origin) else None

    # --- forks ---

    def choice(self, origin: str) -> Choice | None:
        """The history that was chosen last; DamagedStore when the record of it cannot be read: then nobody knows."""
        at = self.of(origin).chosen_at
        if at and at not in self._choices:
            self._choices[at] = self._read(at)
        return self._choices[at] if at else None

    def unsettled(self, origin: str) -> list[str]:
        """Names of the evidence in the mirror that nobody decided about yet; any of it freezes the origin [F5]."""
        evidence = self._mirror.fork_evidence(origin)
        choice = self.choice(origin) if evidence else None
        return [name for name in evidence if choice is None or name not in choice.settled]

    def is_frozen(self, origin: str) -> bool:
        """Whether an origin contradicted itself, and waits for a person."""
        return bool(self.unsettled(origin))

    def is_settled(self, origin: str, head: bytes) -> bool:
        """Whether these bytes are a head that a person decided against."""
        choice = self.choice(origin)
        return choice is not None and evidence_name(head) in choice.settled

    def _read(self, at: int) -> Choice:
        for told in self._store.history.newest_first(_only(at)):
            try:
                value = json.loads(told.record.payload_bytes or b"")
                took = value.get("took")
                settled = frozenset(map(str, value["settled"]))
                return Choice(Pin(**value["head"]), settled, None if took is None else str(took))
            except (ValueError, KeyError, TypeError):
                break
        raise DamagedStore("the record that chose a history of an origin cannot be read", seq=at, rule="F5")

    # --- what was stopped ---

    def finish_parking(self, noting_damage: Callable[[str], AbstractContextManager[None]]) -> None:
        """Put mirrors aside whose record is there, and let go of those whose record never came.

        The caller holds the lock of sharing. What cannot be read is noted as damage of that origin.
        """
        for origin in self._mirror.origins():
            with suppress(DamagedFeed), noting_damage(origin):
                after = self._mirror.parking(origin)
                stance = self.of(origin)
                seq = max(stance.forgotten_at, stance.chosen_at)
                if after is not None and seq > after:
                    self._mirror.park(origin, seq)
                elif after is not None:
                    self._mirror.stop_parking(origin)


def origin_of(record: Decided) -> str:
    """The origin that such a record is about: its cause is `origin@seq`, the last record held of it, 0 for none."""
    return record.cause.rpartition("@")[0]


def payload_of_choice(origin: str, head: Head, settled: list[str], took: str | None) -> dict[str, Any]:
    """What a record says that chooses the history a head stands for."""
    pin = Pin(head.gen, head.last_seq, head.c, head.t)
    payload = {"origin": origin, "head": pin._asdict(), "settled": settled}
    return payload if took is None else {**payload, "took": took}


def _after(stance: Stance, record: Decided) -> Stance:
    """Where an origin stands after one more record. Who forgets an origin that is blocked keeps it blocked."""
    if record.action == BLOCK:
        return stance._replace(blocked_at=record.seq)
    if record.action == FORGET:
        return stance._replace(forgotten_at=record.seq, chosen_at=0)
    chosen_at = stance.chosen_at if record.root is None else record.seq
    return stance._replace(blocked_at=0, chosen_at=chosen_at)


def _only(seq: int) -> Query:
    return Query(since=seq - 1, until=seq)
