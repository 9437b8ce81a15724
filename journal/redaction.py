"""Redaction: replace records by their stubs for good, and keep a record of that [J16].

    plan → mark in local.json → `redact` records, durable → erasure → the mark is taken back

Once the records are there the redaction will be done, whatever comes between: `erasure` does it, and every writing
command ends what an interrupted one left. The mark lists the rooms that are not done yet: the store itself, and the
feed that others made of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import msgspec
from blake3 import blake3

from journal import identity
from journal.caches import Caches
from journal.checkpoints import vouch
from journal.codec import Entry, ListedStub, RedactPayload, listed_in, stub
from journal.erasure import Erasure, Wanted
from journal.errors import DamagedStore, InvalidInput, NoSuchRecord
from journal.log import Log
from journal.model import BACKUPS_FOLDER, JOURNAL_TYPE, MAX_SUMMARY_CHARS, Draft, Written

if TYPE_CHECKING:
    from journal.store import Store

Room = Literal["store", "feed"]
Why = Literal["asked", "same_blob", "void"]
ROOMS: Final[Sequence[Room]] = ("store", "feed")
_MARK: Final = "redacting"  # in local.json: {"since": seq before the records, "left": rooms, "blobs": digests}
_MOST_IN_A_RECORD: Final = 500  # of 90 bytes each, so that the payload stays in its line


class RedactedLine(NamedTuple):
    """A record that is to be redacted, and why: it was asked for, or it holds the same blob, or it is void."""

    seq: int
    action: str
    item_type: str
    item_id: str | None
    entity_rev: int | None
    published: bool
    why: Why
    stub_digest: str


class Plan(NamedTuple):
    """What a redaction would do. `left` are other records of the same entities, which may say the same."""

    lines: tuple[RedactedLine, ...]
    already: tuple[int, ...]
    left: tuple[int, ...]
    blobs: tuple[str, ...]


class Redaction:
    """The redaction of one store; whoever calls holds its lock."""

    def __init__(self, store: Store, log: Log, caches: Caches) -> None:
        self._store = store
        self._log = log
        self._erasure = Erasure(store.disk, log, caches)
        self._is_at_work = False

    # --- what it would do ---

    def plan(self, seqs: Collection[int], is_published: Callable[[int], bool]) -> Plan:
        """Look up what is to be redacted; writes nothing.

        Raises NoSuchRecord, InvalidInput for a record of the journal itself; DamagedStore when records are
        damaged, since what they say could not be found.
        """
        end = self._store.settle()
        asked = [entry for seq in sorted(set(seqs)) for entry in [self._find(seq)]]
        keys = {(entry.record.item_type, entry.record.item_id) for entry in asked}
        blobs = {entry.record.blob.blake3 for entry in asked if entry.record.blob is not None}
        lines = {entry.record.seq: _line(entry, is_published, "asked") for entry in asked if not entry.record.redacted}
        left: list[int] = []
        for entry in self._entries(end.seq):
            record = entry.record
            is_of_them = (record.item_type, record.item_id) in keys
            if record.seq in lines or record.redacted or record.item_type == JOURNAL_TYPE:
                continue
            if record.blob is not None and record.blob.blake3 in blobs:
                lines[record.seq] = _line(entry, is_published, "same_blob")
            elif entry.void and is_of_them:
                lines[record.seq] = _line(entry, is_published, "void")
            elif is_of_them and (record.has_payload or record.summary):
                left.append(record.seq)
        already = tuple(entry.record.seq for entry in asked if entry.record.redacted)
        return Plan(tuple(lines[seq] for seq in sorted(lines)), already, tuple(left), tuple(sorted(blobs)))

    def _find(self, seq: int) -> Entry:
        for gap in self._log.gaps(self._log.position_at(seq - 1), seq):
            for entry in gap.entries:
                if entry.record.seq == seq:
                    if entry.record.item_type == JOURNAL_TYPE:
                        raise InvalidInput(f"seq {seq} is a record of the journal itself, which stays", seq=seq)
                    return entry
            break
        raise NoSuchRecord(f"no record with seq {seq}", seq=seq)

    def _entries(self, known_seq: int) -> Iterator[Entry]:
        for gap in self._log.gaps(self._log.position_at(0), known_seq):
            for bad in gap.bad:
                if bad.broken:
                    text = f"bytes {bad.offset} to {bad.end} are damaged: what is to be redacted may stand there too"
                    raise DamagedStore(text, path=gap.segment.path, rule="J16")
            yield from gap.entries

    # --- doing it ---

    def begin(self, plan: Plan, reason: str, agent: str) -> list[Written]:
        """Write the records, durably: from then on the redaction will be done, whatever comes between.

        One lists what was published and is published itself; another, private, the rest. InvalidInput for a reason that
        is empty or too long; raises as `Store.mutate` with nothing redacted.
        """
        if not reason.strip() or len(reason) > MAX_SUMMARY_CHARS:
            raise InvalidInput(f"a reason has 1 to {MAX_SUMMARY_CHARS} characters", rule="J10")
        seq, pending = self._store.settle().seq, _pending(self._store.local())
        mark = {
            "since": min(seq, pending.get("since", seq)),
            "left": list(ROOMS),
            "blobs": sorted({*plan.blobs, *pending.get("blobs", ())}),
        }
        self._store.update_local(**{_MARK: mark})
        with self._at_work(), self._store.mutate(agent=agent) as mutation:
            for is_private in (False, True):
                lines = [line for line in plan.lines if line.published is not is_private]
                for at in range(0, len(lines), _MOST_IN_A_RECORD):
                    mutation.add(_draft(reason, lines[at : at + _MOST_IN_A_RECORD], is_private))
        return self._store.last_commit.written

    def finish(self) -> bool:
        """Erase in the store what its records list, if that is left to be done; whether it was.

        Raises DiskFailed or DamagedStore with some of it done; done again it goes on.
        """
        if self._is_at_work or not is_left(self._store.local(), "store"):
            return False
        with self._at_work():
            local, listed = self._store.local(), self.listed()
            if listed:
                wanted = Wanted(listed, _pending(local).get("blobs", ()))
                seqs = self._store.position().seq, identity.published_seq(local)
                self._erasure.erase(wanted, *seqs, partial(vouch, self._store))
                self._store.disk.remove_tree(self._store.folder / BACKUPS_FOLDER)  # copies of any of these files
                self._store.disk.sync_folder(self._store.folder)
            self.done("store")
        return True

    @contextlib.contextmanager
    def _at_work(self) -> Iterator[None]:
        """What is written meanwhile is part of the redaction, and does not wait for its end."""
        self._is_at_work = True
        try:
            yield
        finally:
            self._is_at_work = False

    def listed(self, *, private: bool | None = None) -> dict[int, str]:
        """What the records of a redaction that is not done yet list; with `private` only one kind of them."""
        pending = _pending(self._store.local())
        if not pending:
            return {}
        found: dict[int, str] = {}
        for gap in self._log.gaps(self._log.position_at(pending["since"]), self._store.position().seq):
            for entry in gap.entries:
                if not entry.void and private in (None, entry.record.private):
                    found |= listed_in(entry.record)
        return found

    def done(self, room: Room) -> None:
        """A room is done; durable on return."""
        pending = _pending(self._store.local())
        left = [other for other in pending.get("left", ()) if other != room]
        self._store.update_local(**{_MARK: {**pending, "left": left} if left else None})


def is_left(local: Mapping[str, Any], room: Room) -> bool:
    """Whether local.json says that a redaction is still to be done in a room."""
    return room in _pending(local).get("left", ())


def _pending(local: Mapping[str, Any]) -> Mapping[str, Any]:
    found = local.get(_MARK)
    return found if isinstance(found, dict) else {}


def _line(
    entry: Entry, is_published: Callable[[int], bool], why: Literal["asked", "same_blob", "void"]
) -> RedactedLine:
    record = entry.record
    digest = blake3(stub(entry.line.data)).hexdigest()
    published = not entry.void and is_published(record.seq)
    return RedactedLine(
        record.seq, record.action, record.item_type, record.item_id, record.entity_rev, published, why, digest
    )


def _draft(reason: str, lines: Iterable[RedactedLine], is_private: bool) -> Draft:
    payload = RedactPayload(reason, [ListedStub(line.seq, line.stub_digest) for line in lines])
    return Draft("redact", JOURNAL_TYPE, payload=msgspec.json.encode(payload), summary=reason, private=is_private)
