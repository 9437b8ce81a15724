"""Deciding: what people, agents and rules answer to candidates.

A decision is a local record, nothing else: an accept is one record with cause, root and context, a reject names the
version it covers (K1, K2, K5). It is taken on what is there then: under the lock, with everything judged.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from federation.ancestry import NoBase
from federation.causality import including, join
from federation.errors import (
    BlobUnreadable,
    CandidateMoved,
    ConflictUndecided,
    DamagedFeed,
    DecisionNeeded,
    UndoStopped,
)
from federation.grouping import Offer
from federation.inbox import Difference, Filter, Inbox, id_of
from federation.index import Row
from federation.merging import label, same_json
from federation.model import OPEN_VERDICTS, DecisionReport, Left, Resolution, Verdict
from federation.snoozing import snooze_payload
from federation.undoing import drafts_of_undo
from journal import (
    DamagedStore,
    Draft,
    InvalidInput,
    Ref,
    Version,
    check_draft,
    check_item_id,
    check_item_type,
    check_payload,
    encode_authored,
    naming_blob,
)

Title = Callable[[Mapping[str, Any]], str | None]
_ANOTHER: Final = "another origin's version of this entity was accepted: look again"
_UNNAMED_TYPE: Final = "unnamed"  # of a decision about an entity whose type or id our journal cannot hold


class Undecided(NamedTuple):
    """Why a candidate cannot be accepted as asked, and which error that is when a person named it."""

    reason: str
    error: type[DecisionNeeded] = DecisionNeeded


class Deciding:
    """The decisions of one agent; `title` finds a line for lists in a payload whose record brings none."""

    def __init__(self, inbox: Inbox, agent: str, title: Title = lambda _: None) -> None:
        self._inbox = inbox
        self._holdings = inbox.holdings
        self._agent = agent
        self._title = title
        self._offers: dict[Row, Offer] = {}

    # --- accepting ---

    def accept(
        self, wanted: Sequence[str], resolution: Resolution = Resolution.LEAVE, *, digest: str | None = None
    ) -> DecisionReport:
        """Accept named candidates as one batch, all or none; `digest` is that of the one that was looked at.

        NoSuchCandidate, CandidateMoved, ConflictUndecided (a conflict that `resolution` does not settle),
        DecisionNeeded (an unreadable one), InvalidInput (its id or payload breaks our limits [J10]), DamagedFeed and
        BlobUnreadable (our mirror of it cannot be read) write nothing.
        """
        with self.under_lock():
            named, settled = _without_settled(self._judged(wanted, digest))
            rows = list({self._offer_of(row).lead.id: self._easiest(row) for row in named}.values())
            drafts = []
            for row in rows:
                found = self._draft(row, resolution)
                found = found if isinstance(found, Undecided) else _twice(row, rows) or found
                if isinstance(found, Undecided):
                    name = f"{id_of(row)} ({row.item_type}/{row.item_id})"
                    raise found.error(f"{name}: {found.reason}", seq=row.seq, rule="K3")
                drafts.append(found)
            offers = [self._offer_of(row) for row in rows]
            return self._with_those_beside(self.write(drafts)._replace(left=settled), rows, offers)

    def _easiest(self, row: Row) -> Row:
        """Of candidates that are alike the named one, or where that conflicts one that has seen what is here."""
        lead = self._offer_of(row).lead
        is_easier = row.verdict == Verdict.CONFLICT != lead.verdict and not lead.held
        return self._inbox.row_of(lead) if is_easier else row

    def _offer_of(self, row: Row) -> Offer:
        """All that is alike a candidate; looked up once for a decision."""
        if row not in self._offers:
            self._offers[row] = self._inbox.offered(row)[0]
        return self._offers[row]

    def _with_those_beside(
        self, report: DecisionReport, rows: Iterable[Row], offers: Sequence[Offer]
    ) -> DecisionReport:
        """A report that tells which candidates were settled along with those that records were written for."""
        left = [entry for offer in offers for entry in self._still_open(offer, _ANOTHER)]
        done = {id_of(row) for row in rows} | {entry.id for entry in left}
        together = tuple(one.id for offer in offers for one in offer.candidates if one.id not in done)
        return report._replace(left=(*report.left, *left), together=together)

    def accept_edited(self, seen: Difference, payload: Mapping[str, Any]) -> DecisionReport:
        """Accept a candidate with a payload that a person made of it: a version of ours over both sides [K1].

        What comes out as it is there, and is no conflict, is an accept like any other. CandidateMoved when candidate or
        entity is not what was `seen`, DecisionNeeded, InvalidInput and DamagedFeed write nothing.
        """
        with self.under_lock():
            (row,) = self._judged([seen.candidate.id], seen.candidate.digest)
            local = self._holdings.store.head(row.item_type, row.item_id)
            if (local and local.seq) != (seen.local_head and seen.local_head.seq):
                raise CandidateMoved(f"{row.item_type}/{row.item_id} was changed here while it was edited", rule="K5")
            if row.verdict == Verdict.KNOWN:
                return DecisionReport((), _without_settled([row])[1])
            if row.verdict == Verdict.UNREADABLE:
                raise DecisionNeeded(f"{seen.candidate.id}: unreadable: {row.label}", seq=row.seq, rule="K3")
            as_it_is = row.verdict != Verdict.CONFLICT and same_json(payload, seen.foreign)
            offers = [self._offer_of(row)]
            report = self.write([self._copy(row) if as_it_is else self._written(row, payload)])
            return self._with_those_beside(report, [row], offers)

    def accept_all(self, wanted: Filter, resolution: Resolution = Resolution.LEAVE) -> DecisionReport:
        """Accept what is open, the first thousand of each origin, as one batch; the rest is in `left` with a reason, or
        counted as held.

        Of several offers of one entity the first is accepted, which settles all candidates that are alike; the others
        are judged against it, and are left when that does not settle them.
        """
        with self.under_lock():
            found = [one for one in self._inbox.candidates(wanted) if one.verdict in OPEN_VERDICTS]
            awake = [one for one in found if one.snoozed is None]
            held = Counter(self._inbox.is_braked(one) for one in awake if one.held)
            drafts: dict[tuple[str, str], Draft] = {}
            rows: list[Row] = []
            undecided: list[tuple[Offer, str]] = []
            for offer in self._inbox.offers_of(one for one in awake if not one.held):
                row = self._inbox.row_of(offer.lead)
                key = (row.item_type, row.item_id.lower())
                planned = self._planned_freely(offer, row, resolution)
                if isinstance(planned, Undecided):
                    undecided.append((offer, planned.reason))
                elif key in drafts:
                    undecided.append((offer, _ANOTHER))
                else:
                    drafts[key] = planned
                    rows.append(row)
            offers = [self._offer_of(row) for row in rows]
            report = self.write(list(drafts.values()))
            left = tuple(entry for offer, reason in undecided for entry in self._still_open(offer, reason))
            report = report._replace(left=left, capped=held[False], braked=held[True], snoozed=len(found) - len(awake))
            return self._with_those_beside(report, rows, offers)

    def _planned_freely(self, offer: Offer, row: Row, resolution: Resolution) -> Draft | Undecided:
        """The record for an offer, unless a rule holds all that is alike."""
        if offer.lead.rule is not None:
            return Undecided(f"held by rule {offer.lead.rule!r}")
        return self.planned(row, resolution)

    def planned(self, row: Row, resolution: Resolution = Resolution.LEAVE) -> Draft | Undecided:
        """The record for one of many, none of which may stop the others."""
        try:
            draft = self._draft(row, resolution)
            if isinstance(draft, Draft):
                check_draft(draft)
        except (BlobUnreadable, DamagedFeed):
            return Undecided("our mirror of it cannot be read")
        except DamagedStore as error:
            return Undecided(f"what is here cannot be read: {error}")
        except InvalidInput as error:
            return Undecided(error.message)
        other = self._holdings.store.same_id_in_other_case(row.item_type, row.item_id)
        return draft if other is None else Undecided(f"item id differs from {other!r} only in case")

    def _still_open(self, offer: Offer, reason: str) -> Iterator[Left]:
        """The candidates of an offer that are open after something else was accepted, or cannot be read."""
        for one in offer.candidates:
            now = self._inbox.row_of(one)
            if one.verdict is Verdict.UNREADABLE:
                yield _left(now, one.verdict, reason)
            elif now.verdict is not None and now.verdict in OPEN_VERDICTS:
                yield _left(now, now.verdict, reason)._replace(lead=offer.lead.id)

    # --- records ---

    def _draft(self, row: Row, resolution: Resolution) -> Draft | Undecided:
        """One record for an accept: an unmodified copy, or over a conflict an authored version of ours [K1] [K2]."""
        if row.verdict == Verdict.UNREADABLE:
            return Undecided(f"unreadable: {row.label}")
        if row.verdict != Verdict.CONFLICT:
            return self._copy(row)
        match resolution:
            case Resolution.LEAVE:
                return Undecided("conflict: neither side has seen the other", ConflictUndecided)
            case Resolution.THEIRS:
                payload = None if row.tombstone else self._holdings.payload_bytes(row)
                return naming_blob(self._authored(row, payload, row.summary or self._title_of(row)))
            case Resolution.MERGE:
                return self._merge(row)

    def _merge(self, row: Row) -> Draft | Undecided:
        """What only one side changed, of both [K5]; undecided where there is no base, or both changed one thing."""
        seen = self._inbox.difference(row)
        if isinstance(seen.base, NoBase):
            return Undecided(f"conflict: nothing to merge on: {seen.base.reason}", ConflictUndecided)
        if not row.tombstone:
            check_payload(self._holdings.payload_bytes(row) or b"")  # no merge makes good what breaks our limits [J10]
        merged = seen.merged
        if merged is None:
            return Undecided("conflict: what is here was redacted", ConflictUndecided)
        if merged.undecided:
            places = ", ".join(label(change.path) or "deleted on one side" for change in merged.undecided)
            return Undecided(f"conflict: changed on both sides: {places}", ConflictUndecided)
        if not isinstance(merged.value, dict):
            return self._authored(row, None, row.summary)
        return self._written(row, merged.value)

    def _copy(self, row: Row) -> Draft:
        payload = None if row.tombstone else self._holdings.payload_bytes(row)
        version = row.foreign_head().version
        return naming_blob(self._accepted(row, payload, row.summary or self._title_of(row), root=version))

    def _written(self, row: Row, payload: Mapping[str, Any]) -> Draft:
        """What somebody here made of both sides; SchemaFailed as for a put."""
        return self._authored(row, encode_authored(row.item_type, row.item_id, payload), self._title(payload))

    def _authored(self, row: Row, payload: bytes | None, summary: str | None) -> Draft:
        return self._accepted(row, payload, summary, root=None)

    def _accepted(self, row: Row, payload: bytes | None, summary: str | None, *, root: Version | None) -> Draft:
        """A record that builds on a candidate and on what is here; without a root it is a version of our own."""
        local = self._holdings.store.head(row.item_type, row.item_id)
        joined = join(row.foreign_head(), local, self._holdings.facts)
        joined = including(joined, self._versions_beside(row))
        if root is None:
            joined.context.setdefault(self._holdings.store.origin, 1)  # its own seq comes here: it counts for the limit
        return Draft(
            "delete" if payload is None else "accept",
            row.item_type,
            row.item_id,
            payload,
            summary=summary,
            cause=str(Ref(row.origin, row.seq)),
            root=None if root is None else str(root),
            context=joined.context,
            claims=joined.claims,
        )

    def _versions_beside(self, row: Row) -> list[Version]:
        """The versions of candidates that are alike, as far as we hold them: what is accepted includes these too [K2].

        Not what the brake or a rule holds: that is left to a person.
        """
        free = [one for one in self._offer_of(row).candidates if not one.held and one.rule is None]
        beside = [self._inbox.row_of(one) for one in free]
        heads = [one.foreign_head() for one in beside if one != row]
        return [one.version for one in heads if one.root is None or self._holdings.facts.is_copy(one)]

    def _title_of(self, row: Row) -> str | None:
        payload = self._holdings.payload(row)
        return self._title(payload) if isinstance(payload, dict) else None

    # --- rejecting ---

    def reject(self, wanted: Sequence[str], *, reason: str | None = None, digest: str | None = None) -> DecisionReport:
        """Reject candidates and those alike as one batch: each covers exactly the version it shows, for good [K5].

        Errors as `accept`.
        """
        with self.under_lock():
            rows, settled = _without_settled(self._judged(wanted, digest))
            return self._decline(rows, lambda row: self.rejection(row, reason))._replace(left=settled)

    def snooze(self, wanted: Sequence[str], until: str | None, *, digest: str | None = None) -> DecisionReport:
        """Let named candidates wait out of sight until a time in UTC, or until something newer comes; none is settled.

        Errors as `accept`.
        """
        with self.under_lock():
            rows, settled = _without_settled(self._judged(wanted, digest))
            payload = snooze_payload(until)
            return self._decline(rows, lambda row: self._snooze(row, payload))._replace(left=settled)

    def _decline(self, rows: Sequence[Row], draft: Callable[[Row], Draft]) -> DecisionReport:
        """Write one decision for each version that is shown by candidates, or by those alike, as one batch."""
        beside = [self._inbox.row_of(one) for row in rows for one in self._offer_of(row).candidates]
        drafts: dict[str | None, Draft] = {}
        for row in [*rows, *beside]:
            found = draft(row)
            drafts.setdefault(f"{found.item_type}/{found.item_id} {found.root}", found)
        ids = dict.fromkeys(map(id_of, [*rows, *beside]))
        return self.write(list(drafts.values()))._replace(together=tuple(ids)[len(rows) :])

    def _snooze(self, row: Row, payload: bytes) -> Draft:
        return self.rejection(row, None)._replace(action="snooze", payload=payload)

    def rejection(self, row: Row, reason: str | None) -> Draft:
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

    # --- undoing ---

    def undo(self, meant: int | None = None) -> DecisionReport:
        """Take the last decision back, and all that was decided in one batch with it; nothing where there is none.

        The records of `undoing`. UndoStopped, also where something was decided after the seq that is `meant`, writes
        nothing.
        """
        with self.under_lock():
            store = self._holdings.store
            if meant is not None and any(True for _ in store.decisions(store.position().seq, since=meant)):
                raise UndoStopped("somebody decided something else since", seq=meant, rule="K5")
            return self.write(drafts_of_undo(self._holdings))

    # --- together ---

    @contextlib.contextmanager
    def under_lock(self) -> Iterator[None]:
        """Decide on what is there now: under the lock, with everything judged."""
        self._holdings.store.refuse_when_copied()
        with self._holdings.lock():
            self._holdings.refresh()
            self._offers.clear()
            yield

    def _judged(self, wanted: Sequence[str], digest: str | None) -> list[Row]:
        """The rows of candidates, each once; DamagedFeed where nothing could be judged.

        CandidateMoved when one of them does not begin with the `digest` of what was looked at.
        """
        rows = self._inbox.find_all(wanted)
        for row in rows:
            if row.origin in self._holdings.damaged:
                raise self._holdings.damaged[row.origin]
            if digest is not None and not row.digest.startswith(digest):
                text = f"{id_of(row)} is another record now: seq {row.seq}, digest {row.digest[:12]}"
                raise CandidateMoved(text, seq=row.seq, rule="K5")
        return rows

    def write(self, drafts: Sequence[Draft]) -> DecisionReport:
        """Write what was decided, as one batch, durable on return; the caller is `under_lock()`."""
        if not drafts:
            return DecisionReport((), ())
        store = self._holdings.store
        with store.lock(), store.mutate(agent=self._agent) as mutation:
            for draft in drafts:
                mutation.add(draft)
            for draft in drafts:
                self._keep_blob(draft)
        committed = store.last_commit
        self._holdings.refresh()
        self._offers.clear()
        return DecisionReport(tuple(committed.written), (), committed.cache_problem)

    def _keep_blob(self, draft: Draft) -> None:
        """Keep here the blob that a draft names, one in memory at a time [J13]; nothing was refused by now."""
        if draft.blob is not None:
            origin = Ref.parse(draft.cause or "").origin
            row = self._holdings.index.row(origin, draft.item_type, draft.item_id or "")
            self._holdings.store.keep_payload((row and self._holdings.payload_bytes(row)) or b"")


def _left(row: Row, verdict: str, reason: str) -> Left:
    return Left(id_of(row), row.item_type, row.item_id, verdict, reason)


def _without_settled(rows: Sequence[Row]) -> tuple[list[Row], tuple[Left, ...]]:
    """The rows there is something to decide about, and those that stay as they are."""
    settled = tuple(_left(row, Verdict.KNOWN, "settled before") for row in rows if row.verdict == Verdict.KNOWN)
    return [row for row in rows if row.verdict != Verdict.KNOWN], settled


def _twice(row: Row, rows: Sequence[Row]) -> Undecided | None:
    """Why one of several candidates of the same entity cannot be accepted with the others."""
    key = (row.item_type, row.item_id.lower())
    same = [other for other in rows if (other.item_type, other.item_id.lower()) == key]
    if len(same) == 1:
        return None
    return Undecided("several candidates of one entity: accept one, then look at the others again")
