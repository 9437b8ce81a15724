"""Inbox: candidates as people and agents meet them: lists of them, and one beside what is here.

Looks only; what is decided about them is in `deciding`. Verdicts are those of causality (K3), held is what is beyond
the cap or under the brake (K5).
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import NamedTuple

from federation.ancestry import Base, NoBase, base_of
from federation.deciders import Deciders
from federation.errors import BlobUnreadable, DamagedFeed, NoSuchCandidate
from federation.grouping import Offer, offers
from federation.holdings import Holdings
from federation.index import Row
from federation.merging import ABSENT, Merged, merge
from federation.model import NO_PAYLOAD, OPEN_CAP, OPEN_VERDICTS, Candidate, Verdict, candidate_id
from federation.rules import Action, Rule, first_fitting
from federation.snoozing import Snoozes
from journal import MAX_SEQ, LocalHead, check_payload


class Filter(NamedTuple):
    """Which candidates are meant; None is any."""

    origin: str | None = None
    item_type: str | None = None
    verdict: str | None = None
    settled_too: bool = False


class Difference(NamedTuple):
    """A candidate beside what is here: payloads as values, None where there is none."""

    candidate: Candidate
    local: object
    foreign: object
    local_head: LocalHead | None
    base: Base | NoBase
    foreign_deleted: bool
    offers: Sequence[Offer] = ()  # all of the entity, first the one that the candidate is part of

    @property
    def merged(self) -> Merged | None:
        """What both come to together: without a base all that is not the same is undecided.

        None where one of them is there and cannot be read.
        """
        if self.foreign is None and not self.foreign_deleted:
            return None
        if self.local is None and self.local_head is not None and not self.local_head.deleted:
            return None
        base = self.base.payload if isinstance(self.base, Base) else None
        return merge(*(ABSENT if payload is None else payload for payload in (base, self.local, self.foreign)))


class Inbox:
    """The candidates of one store; `rules` that hold some of them mark those."""

    def __init__(self, holdings: Holdings, rules: Sequence[Rule] = ()) -> None:
        self.holdings = holdings
        self._rules = rules

    def candidates(self, wanted: Filter, *, payloads: bool = False) -> Iterator[Candidate]:
        """Candidates by origin and seq, open ones first come; lazily, so that long lists can be streamed.

        None of a mirror that cannot be read: `Holdings.left_out` tells of it.
        """
        rows = self.holdings.index.rows(
            origin=wanted.origin,
            item_type=wanted.item_type,
            verdict=wanted.verdict,
            settled_too=wanted.settled_too,
        )
        return self._all(self._met(list(rows)), payloads)

    def _met(self, rows: Iterable[Row]) -> Iterator[tuple[Row, bool]]:
        """Rows of mirrors that can be read, and whether each is held [K5]."""
        opened: Counter[str] = Counter()
        braked_after = cache(self._braked_after)
        for row in rows:
            if row.origin in self.holdings.damaged:
                continue
            try:
                braked = row.seq > braked_after(row.origin)
            except DamagedFeed:
                continue
            if row.verdict in OPEN_VERDICTS and not braked:
                opened[row.origin] += 1
            yield row, row.verdict in OPEN_VERDICTS and (braked or opened[row.origin] > OPEN_CAP)

    def _holder(self, candidate: Candidate) -> str | None:
        rule = first_fitting(self._rules, candidate)
        return rule.name if rule is not None and rule.action is Action.HOLD else None

    def is_braked(self, row: Row | Candidate) -> bool:
        """Whether the brake leaves a candidate to a person [K5]."""
        return row.seq > self._braked_after(row.origin)

    def _braked_after(self, origin: str) -> int:
        brake = self.holdings.brake(origin)
        return MAX_SEQ if brake is None or brake.pending else brake.after_seq

    # --- what several origins offer ---

    def offers(self) -> Mapping[str, Offer]:
        """By candidate id the offer that it is part of, for open candidates of entities that several origins offer.

        Every other candidate stands for itself. Reads rows, and payloads of these entities only.
        """
        rows = list(self.holdings.index.rows())
        times = Counter((row.item_type, row.item_id) for row in rows)
        shared = (found for found in self._met(rows) if times[found[0].item_type, found[0].item_id] > 1)
        return {one.id: offer for offer in self.offers_of(self._all(shared)) for one in offer.candidates}

    def offered(self, row: Row) -> list[Offer]:
        """The offers of the entity that a row is about; the one that the row is part of, first."""
        beside = self.holdings.index.rows(item_type=row.item_type, item_id=row.item_id)
        rows = [one for one in dict.fromkeys([row, *beside]) if one.origin not in self.holdings.damaged]
        found = self.offers_of(self._all((one, self.is_braked(one)) for one in rows))
        return sorted(found, key=lambda offer: id_of(row) not in {one.id for one in offer.candidates})

    def offers_of(self, candidates: Iterable[Candidate]) -> list[Offer]:
        """Candidates by what they offer."""
        return offers(candidates, self._content)

    def _all(self, found: Iterable[tuple[Row, bool]], payloads: bool = False) -> Iterator[Candidate]:
        """Rows, and whether they are held, as candidates."""
        snoozes, deciders = Snoozes(self.holdings), Deciders(self.holdings)
        for row, held in found:
            with contextlib.suppress(DamagedFeed):  # its origin stands in `damaged` now
                one = self.candidate(row, held, payloads)
                if one.verdict in OPEN_VERDICTS:
                    yield one._replace(snoozed=snoozes.of(row), rule=self._holder(one))
                else:
                    yield one._replace(rule=deciders.of(row))

    def _content(self, candidate: Candidate) -> bytes | None:
        row = self.row_of(candidate)
        try:
            return b"" if row.tombstone else self.holdings.payload_bytes(row)
        except (BlobUnreadable, DamagedFeed):
            return None

    # --- candidates ---

    def held(self, wanted: Filter) -> int:
        """How many open candidates are beyond the cap or left to a person by the brake."""
        if wanted.item_type is not None or wanted.verdict is not None:
            return sum(candidate.held for candidate in self.candidates(wanted))
        origins = [wanted.origin] if wanted.origin else self.holdings.mirror.origins()
        return sum(self.holdings.counts(origin).held for origin in origins)

    def candidate(self, row: Row, held: bool, payloads: bool) -> Candidate:
        """A row as a candidate, with the verdict that stands in it."""
        verdict, label, payload = Verdict(row.verdict or Verdict.UNREADABLE), row.label, None
        try:
            payload = self.holdings.payload(row) if payloads else None
        except BlobUnreadable:  # as the next look will have it
            if verdict is not Verdict.KNOWN:
                verdict, label = Verdict.UNREADABLE, NO_PAYLOAD
        return Candidate(
            id_of(row),
            row.origin,
            self.holdings.name(row.origin),
            row.item_type,
            row.item_id,
            row.seq,
            row.entity_rev,
            row.action,
            verdict,
            label,
            row.summary,
            row.digest,
            row.foreign_head().version,
            held,
            payload,
            false_claim=row.lie,
        )

    def payload(self, candidate: Candidate) -> object:
        """The payload of a candidate as a value; None for a tombstone or where it cannot be read."""
        try:
            return self.holdings.payload(self.row_of(candidate))
        except (BlobUnreadable, DamagedFeed):
            return None

    def find(self, wanted: str) -> Row:
        """The row of a candidate id or a unique beginning of one; NoSuchCandidate otherwise."""
        return self.find_all([wanted])[0]

    def find_all(self, wanted: Sequence[str]) -> list[Row]:
        """The same for several, in one look through the inbox; a row that is meant twice comes once."""
        found: dict[str, list[Row]] = {text.removeprefix("cnd_"): [] for text in wanted}
        lengths = {len(text) for text in found if text}
        for row in self.holdings.index.rows(settled_too=True):
            digits = id_of(row).removeprefix("cnd_")
            for length in lengths:
                if digits[:length] in found:
                    found[digits[:length]].append(row)
        for text in wanted:
            rows = found[text.removeprefix("cnd_")]
            if len(rows) != 1:
                raise NoSuchCandidate(f"{'no' if not rows else 'more than one'} candidate {text[:40]!r}")
        return _distinct(rows[0] for rows in found.values())

    def row_of(self, candidate: Candidate) -> Row:
        """The row of a candidate; NoSuchCandidate when it is there no more."""
        row = self.holdings.index.row(candidate.origin, candidate.item_type, candidate.item_id)
        if row is None:
            raise NoSuchCandidate(f"no candidate {candidate.id}")
        return row

    def diff(self, wanted: str) -> Difference:
        """A candidate, the local entity, what both build on, and what others offer of it."""
        row = self.find(wanted)
        return self.difference(row)._replace(offers=self.offered(row))

    def difference(self, row: Row) -> Difference:
        """The same for a row."""
        local = self.holdings.store.head(row.item_type, row.item_id)
        payload = None if local is None or local.deleted else self.holdings.store.payload_bytes(local)
        candidate = self.candidate(row, self.is_braked(row), payloads=True)
        return Difference(
            candidate,
            None if payload is None else check_payload(payload),
            candidate.payload,
            local,
            base_of(self.holdings, row, local),
            bool(row.tombstone),
        )


def id_of(row: Row) -> str:
    """The id of a candidate."""
    return candidate_id(row.origin, row.item_type, row.item_id)


def _distinct(rows: Iterable[Row]) -> list[Row]:
    return list(dict.fromkeys(rows))
