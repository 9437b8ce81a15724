"""Inbox: candidates as people and agents meet them, and the decisions they take.

A decision is a local record, nothing else: an accept is one record with cause, root and context, a reject names the
version it covers (K1, K2, K5). Nothing foreign changes anything by itself.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from federation.causality import join
from federation.errors import ConflictUndecided, DamagedFeed, DecisionNeeded, NoSuchCandidate
from federation.holdings import Holdings
from federation.index import Row
from federation.model import OPEN_CAP, OPEN_VERDICTS, Candidate, DecisionReport, Left, Verdict, candidate_id
from journal import (
    Draft,
    InvalidInput,
    LocalHead,
    Ref,
    Version,
    check_draft,
    check_item_id,
    check_item_type,
    check_payload,
)

Title = Callable[[Mapping[str, Any]], str | None]
_UNNAMED_TYPE: Final = "unnamed"  # of a decision about an entity whose type or id our journal cannot hold


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


class Inbox:
    """The candidates of one store; `title` finds a line for lists in a payload whose record brings none."""

    def __init__(self, holdings: Holdings, title: Title = lambda _: None) -> None:
        self._holdings = holdings
        self._title = title

    # --- looking ---

    def candidates(self, wanted: Filter, *, payloads: bool = False) -> Iterator[Candidate]:
        """Candidates by origin and seq, open ones first come; lazily, so that long lists can be streamed.

        None of a mirror that cannot be read: `Holdings.left_out` tells of it.
        """
        opened: Counter[str] = Counter()
        rows = self._holdings.index.rows(
            origin=wanted.origin,
            item_type=wanted.item_type,
            verdict=wanted.verdict,
            settled_too=wanted.settled_too,
        )
        for row in list(rows):
            if row.origin in self._holdings.damaged:
                continue
            try:
                braked = self._is_braked(row)
                if row.verdict in OPEN_VERDICTS and not braked:
                    opened[row.origin] += 1
                held = row.verdict in OPEN_VERDICTS and (braked or opened[row.origin] > OPEN_CAP)
                found = self._candidate(row, held, payloads)
            except DamagedFeed:
                continue  # its origin stands in `damaged` now
            yield found

    def _is_braked(self, row: Row) -> bool:
        brake = self._holdings.brake(row.origin)
        return brake is not None and not brake.pending and row.seq > brake.after_seq

    def held(self, wanted: Filter) -> int:
        """How many open candidates are beyond the cap or left to a person by the brake."""
        if wanted.item_type is not None or wanted.verdict is not None:
            return sum(candidate.held for candidate in self.candidates(wanted))
        origins = [wanted.origin] if wanted.origin else self._holdings.mirror.origins()
        return sum(self._holdings.counts(origin).held for origin in origins)

    def _candidate(self, row: Row, held: bool, payloads: bool) -> Candidate:
        return Candidate(
            _id(row),
            row.origin,
            self._holdings.name(row.origin),
            row.item_type,
            row.item_id,
            row.seq,
            row.entity_rev,
            row.action,
            Verdict(row.verdict or Verdict.UNREADABLE),
            row.label,
            row.summary,
            row.digest,
            row.foreign_head().version,
            held,
            self._holdings.payload(row) if payloads else None,
        )

    def payload(self, candidate: Candidate) -> object:
        """The payload of a candidate as a value; None for a tombstone or where it cannot be read."""
        try:
            return self._holdings.payload(self._row_of(candidate))
        except DamagedFeed:
            return None

    def find(self, wanted: str) -> Row:
        """The row of a candidate id or a unique beginning of one; NoSuchCandidate otherwise."""
        return self._find_all([wanted])[0]

    def _find_all(self, wanted: Sequence[str]) -> list[Row]:
        """The same for several, in one look through the inbox; a row that is meant twice comes once."""
        found: dict[str, list[Row]] = {text.removeprefix("cnd_"): [] for text in wanted}
        lengths = {len(text) for text in found if text}
        for row in self._holdings.index.rows(settled_too=True):
            digits = _id(row).removeprefix("cnd_")
            for length in lengths:
                if digits[:length] in found:
                    found[digits[:length]].append(row)
        for text in wanted:
            rows = found[text.removeprefix("cnd_")]
            if len(rows) != 1:
                raise NoSuchCandidate(f"{'no' if not rows else 'more than one'} candidate {text[:40]!r}")
        return _distinct(rows[0] for rows in found.values())

    def diff(self, wanted: str) -> Difference:
        """A candidate beside the local entity."""
        row = self.find(wanted)
        local = self._holdings.store.head(row.item_type, row.item_id)
        payload = None if local is None or local.deleted else self._holdings.store.payload_bytes(local)
        return Difference(
            self._candidate(row, self._is_braked(row), payloads=False),
            None if payload is None else check_payload(payload),
            self._holdings.payload(row),
            local,
        )

    # --- deciding ---

    def accept(self, wanted: Sequence[str], *, theirs: bool, agent: str) -> DecisionReport:
        """Accept named candidates as one batch, all or none.

        NoSuchCandidate, ConflictUndecided (without `theirs`), DecisionNeeded (an unreadable one), InvalidInput (its id
        or payload breaks our limits [J10]) and DamagedFeed (our mirror of it cannot be read) write nothing.
        """
        with self._deciding():
            rows = self._judged(wanted)
            for row in rows:
                reason = self._refusal(row, theirs) or _twice(row, rows)
                if reason is not None:
                    name = f"{_id(row)} ({row.item_type}/{row.item_id})"
                    undecided = row.verdict == Verdict.CONFLICT and not theirs
                    kind = ConflictUndecided if undecided else DecisionNeeded
                    raise kind(f"{name}: {reason}", seq=row.seq, rule="K3")
            open_rows, settled = _without_settled(rows)
            return self._commit([self._draft(row) for row in open_rows], agent)._replace(left=settled)

    def accept_all(self, wanted: Filter, *, theirs: bool, agent: str) -> DecisionReport:
        """Accept what is open, the first thousand of each origin, as one batch; the rest is in `left` with a reason, or
        counted as held.

        Of several origins that offer the same entity the first is accepted; the others are judged against it, and are
        left when that does not settle them.
        """
        with self._deciding():
            drafts: dict[tuple[str, str], Draft] = {}
            left: list[Left] = []
            held: Counter[bool] = Counter()  # by whether the brake holds it
            doubles: list[Row] = []
            for candidate in self.candidates(wanted):
                if candidate.verdict not in OPEN_VERDICTS:
                    continue
                row = self._row_of(candidate)
                if candidate.held:
                    held[self._is_braked(row)] += 1
                    continue
                reason = self._refusal(row, theirs)
                key = (row.item_type, row.item_id.lower())
                if reason is None and key in drafts:
                    doubles.append(row)
                elif reason is None:
                    try:
                        draft = self._draft(row)
                    except DamagedFeed:
                        left.append(_left(row, candidate.verdict, "our mirror of it cannot be read"))
                        continue
                    reason = self._limit_broken(draft)
                    if reason is None:
                        drafts[key] = draft
                if reason is not None:
                    left.append(_left(row, candidate.verdict, reason))
            report = self._commit(list(drafts.values()), agent)
            left += [found for row in doubles if (found := self._still_open(row)) is not None]
            return report._replace(left=tuple(left), capped=held[False], braked=held[True])

    def _still_open(self, row: Row) -> Left | None:
        """Whether a candidate is open beside another of the same entity that was just accepted."""
        now = self._holdings.index.row(row.origin, row.item_type, row.item_id)
        if now is None or now.verdict not in OPEN_VERDICTS:
            return None
        return _left(row, now.verdict, "another origin's version of this entity was accepted: look again")

    def reject(self, wanted: Sequence[str], *, reason: str | None, agent: str) -> DecisionReport:
        """Reject named candidates as one batch: each covers exactly the version it shows, for good [K5]."""
        with self._deciding():
            rows, settled = _without_settled(self._judged(wanted))
            return self._commit([self._reject(row, reason) for row in rows], agent)._replace(left=settled)

    def _reject(self, row: Row, reason: str | None) -> Draft:
        """The decision: on the version; on the record alone where its root may be a lie that nothing binds [K5].

        That is so of what is unreadable, and of an entity whose type or id our journal cannot hold [J10].
        """
        version = Version(row.origin, row.seq, row.digest[:12])
        try:
            entity: tuple[str, str | None] = (check_item_type(row.item_type), check_item_id(row.item_id))
            version = version if row.verdict == Verdict.UNREADABLE else row.foreign_head().version
        except InvalidInput:
            entity = (_UNNAMED_TYPE, None)
        cause, root = str(Ref(row.origin, row.seq)), str(version)
        return Draft("reject", *entity, summary=reason, cause=cause, root=root)

    @contextlib.contextmanager
    def _deciding(self) -> Iterator[None]:
        """Decide on what is there now: under the lock, with everything judged."""
        self._holdings.store.refuse_when_copied()
        with self._holdings.lock():
            self._holdings.refresh()
            yield

    def _judged(self, wanted: Sequence[str]) -> list[Row]:
        """The rows of candidates, each once; DamagedFeed where nothing could be judged."""
        rows = self._find_all(wanted)
        for row in rows:
            if row.origin in self._holdings.damaged:
                raise self._holdings.damaged[row.origin]
        return rows

    def _row_of(self, candidate: Candidate) -> Row:
        row = self._holdings.index.row(candidate.origin, candidate.item_type, candidate.item_id)
        if row is None:
            raise NoSuchCandidate(f"no candidate {candidate.id}")
        return row

    def _refusal(self, row: Row, theirs: bool) -> str | None:
        """Why a candidate cannot be accepted as asked, or None."""
        if row.verdict == Verdict.CONFLICT and not theirs:
            return "conflict: neither side has seen the other"
        if row.verdict == Verdict.UNREADABLE:
            return f"unreadable: {row.label}"
        return None

    def _limit_broken(self, draft: Draft) -> str | None:
        """Which of our limits a record would break [J10], or None."""
        try:
            check_draft(draft)
        except InvalidInput as error:
            return error.message
        other = self._holdings.store.same_id_in_other_case(draft.item_type, draft.item_id or "")
        return None if other is None else f"item id differs from {other!r} only in case"

    def _commit(self, drafts: Sequence[Draft], agent: str) -> DecisionReport:
        if not drafts:
            return DecisionReport((), ())
        store = self._holdings.store
        with store.mutate(agent=agent) as mutation:
            for draft in drafts:
                mutation.add(draft)
        committed = store.last_commit
        self._holdings.refresh()
        return DecisionReport(tuple(committed.written), (), committed.cache_problem)

    def _draft(self, row: Row) -> Draft:
        """One record for an accept: an unmodified copy, or over a conflict an authored version of ours [K1] [K2]."""
        foreign = row.foreign_head()
        local = self._holdings.store.head(row.item_type, row.item_id)
        joined = join(foreign, local, self._holdings)
        authored = row.verdict == Verdict.CONFLICT
        if authored:
            joined.context.setdefault(self._holdings.store.origin, 1)  # its own seq comes here: it counts for the limit
        return Draft(
            "delete" if row.tombstone else "accept",
            row.item_type,
            row.item_id,
            None if row.tombstone else self._holdings.payload_bytes(row),
            summary=row.summary or self._title_of(row),
            cause=str(Ref(row.origin, row.seq)),
            root=None if authored else str(foreign.version),
            context=joined.context,
            claims=joined.claims,
        )

    def _title_of(self, row: Row) -> str | None:
        payload = self._holdings.payload(row)
        return self._title(payload) if isinstance(payload, dict) else None


def _id(row: Row) -> str:
    return candidate_id(row.origin, row.item_type, row.item_id)


def _left(row: Row, verdict: str, reason: str) -> Left:
    return Left(_id(row), row.item_type, row.item_id, verdict, reason)


def _without_settled(rows: Sequence[Row]) -> tuple[list[Row], tuple[Left, ...]]:
    """The rows there is something to decide about, and those that stay as they are."""
    settled = tuple(_left(row, Verdict.KNOWN, "settled before") for row in rows if row.verdict == Verdict.KNOWN)
    return [row for row in rows if row.verdict != Verdict.KNOWN], settled


def _twice(row: Row, rows: Sequence[Row]) -> str | None:
    """Why one of several candidates of the same entity cannot be accepted with the others."""
    key = (row.item_type, row.item_id.lower())
    same = [other for other in rows if (other.item_type, other.item_id.lower()) == key]
    return None if len(same) == 1 else "several candidates of one entity: accept one, then look at the others again"


def _distinct(rows: Iterable[Row]) -> list[Row]:
    return list(dict.fromkeys(rows))
