"""Outgoing: what the journal has that the feed has not, line by line: a record to the byte, or a skip and the reason.

Reads the journal and writes nothing. What was withheld stays withheld; the tombstone of an entity and decisions about
it go where its newest state went, so that they tell nobody of what was kept back [F1].
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

import msgspec

from federation import feed
from federation.errors import DamagedFeed
from federation.feed import FeedLine
from federation.holdings import Holdings
from federation.model import Head, Withheld
from federation.own_head import start_of
from federation.verification import State
from federation.withholding import PublishSettings, Withholding
from journal import JOURNAL_TYPE, ActionClass, DamagedStore, Entry, InvalidInput, Position, Record, check_payload

_Key = tuple[str, str]


def _ignore(_: Withheld) -> None:
    """Nobody asked what is withheld."""


class Outgoing:
    """What is new, read anew each time it is asked for: it may be large."""

    def __init__(self, holdings: Holdings, settings: PublishSettings, head: Head | None, position: Position) -> None:
        self._holdings = holdings
        self._store = holdings.store
        self._settings = settings
        self._filter = Withholding(settings)
        self._end = position.seq
        last = (
            start_of(self._store)
            if head is None
            else State(head.last_seq, bytes.fromhex(head.c), bytes.fromhex(head.t))
        )
        self._last, self._last_c = last.seq, last.c.hex()
        self._passed = self._last if head is not None else holdings.own_feeds.passed()
        self.is_empty = self._end <= self._last
        self._newest: Mapping[_Key, str] = {}  # entities that are kept back, and why
        self._single: dict[int, str] = {}  # records that are, beside those that say so in their line
        self._judge()
        self.position = position

    def lines(self, withheld: Callable[[Withheld], None] = _ignore) -> Iterator[FeedLine]:
        """The feed lines to add: records verbatim, and skips, cut where this publish ends and never joined [F1]."""
        at, skip = self._last, None
        for entry, origin in self._entries():
            seq, c = entry.record.seq, entry.line.c
            for torn in range(at + 1, seq):
                withheld(Withheld(torn, JOURNAL_TYPE, None, "torn"))
            reason = "former" if origin != self._store.origin else self._why_withheld(entry)
            if reason is None:
                if skip is not None:
                    yield skip
                    skip = None
                if seq != at + 1:
                    raise DamagedFeed(f"seq {at + 1} to {seq - 1} are missing from the journal", seq=at + 1, rule="J1")
                has_blob = entry.record.payload_ref is not msgspec.UNSET
                yield FeedLine(feed.RECORD_KIND, seq, seq, c, entry.line.data, has_blob)
            else:
                withheld(Withheld(seq, entry.record.item_type, entry.record.item_id, reason))
                first = skip.first if skip is not None else at + 1
                skip = FeedLine(feed.SKIP_KIND, first, seq, c, feed.skip_line(first, seq, c))
            at = seq
        if skip is not None:
            yield skip

    # --- reading ---

    def _entries(self) -> Iterator[tuple[Entry, str]]:
        """Journal entries after the last publish, void ones too, with the origin they were written under.

        Begins to read where that publish ended.
        """
        if self.is_empty:
            return
        start = self._reading_start()
        joined = self._last == 0 or start.seq == self._last
        for gap in self._store.gaps(start):
            for bad in gap.bad:
                if bad.broken:
                    text = f"the journal is damaged at byte {bad.offset}; a feed of it could never be verified"
                    raise DamagedFeed(text, path=gap.segment.path, rule="J7")
            for entry in gap.entries:
                if entry.record.seq == self._last:
                    joined = entry.record.c == self._last_c
                if self._last < entry.record.seq <= self._end:
                    if not joined:
                        text = f"the feed does not end with our record of seq {self._last}"
                        raise DamagedFeed(text, seq=self._last, rule="T1")
                    yield entry, gap.origin

    def _reading_start(self) -> Position:
        kept = (self._store.published() or {}).get("position")
        if kept is not None and (kept[0], kept[1]) == (self._last, self._last_c):
            position = Position(kept[0], bytes.fromhex(kept[1]), *kept[2:])
            if self._store.fits(position):
                return position
        return self._store.position_at(max(self._last - 1, 0))

    # --- judging ---

    def _why_withheld(self, entry: Entry) -> str | None:
        record = entry.record
        if entry.void:
            return "void"
        if record.item_type == JOURNAL_TYPE:
            return None if record.action == "redact" and not record.private else "internal"
        if record.redacted:  # nobody saw it, and nobody needs to see that it is gone
            return "redacted"
        newest = self._newest.get(_key(record))
        return newest or self._single.get(record.seq) or self._plain_reason(record)

    def _plain_reason(self, record: Record) -> str | None:
        """What a record says itself, but for its payload."""
        return "private" if record.private else None if record.item_type in self._settings.types else "type"

    def _judge(self) -> None:
        """Look at all that is new before any of it is shown: what is kept back by now is so from its beginning.

        Keeps only entities that are kept back or followed, and seqs of records whose payload is.
        """
        followed = {_key(record) for record in self._said() if _follows(record)}
        known: dict[_Key, str | None] = {}
        early: dict[int, _Key] = {}
        for record in self._said():
            key, reason = _key(record), self._plain_reason(record)
            if reason == "type":
                continue
            if reason is None and not _follows(record):
                reason = self._payload_reason(record)
            elif reason is None and key in known:
                reason = known[key]
            elif reason is None:
                early[record.seq] = key
                continue
            if reason is None and key not in followed:
                known.pop(key, None)
            elif record.item_id is not None:
                known[key] = reason
            if reason not in (None, "private"):
                self._single[record.seq] = reason
        kept_back = self._kept_back(set(early.values()))
        self._single |= dict.fromkeys((seq for seq, key in early.items() if key in kept_back), "entity")
        self._newest = {key: reason for key, reason in known.items() if reason is not None}

    def _said(self) -> Iterator[Record]:
        """The new records that say something of entities and may go out."""
        for (_, record, void), origin in self._entries():
            if not (void or record.redacted or record.item_type == JOURNAL_TYPE) and origin == self._store.origin:
                yield record

    def _payload_reason(self, record: Record) -> str | None:
        """Why what a record says is kept back. What cannot be read cannot be judged: it is kept back too."""
        if not (self._settings.asks_for_payloads and record.has_payload):
            return None
        try:
            return self._filter.reason(check_payload(self._store.payload_of(record) or b""))
        except (DamagedStore, InvalidInput):
            return "unreadable"

    def _kept_back(self, keys: Collection[_Key]) -> frozenset[_Key]:
        """Entities whose newest state that a publish went past was not shown by it; stubs are passed over."""
        if not keys or self._passed == 0:
            return frozenset()
        self._holdings.take_in_own_feed()
        shown = self._holdings.facts.shown
        heads = self._store.heads(sorted(keys))
        asked = [key for key, head in heads.items() if head.seq > self._passed or not shown(head.seq)]
        try:
            found = self._store.history.newest_of(asked, self._passed)
        except DamagedStore:  # older segments are gone: nobody knows what was shown of these
            return frozenset(asked)
        return frozenset(key for key, record in found.items() if not shown(record.seq))


def _key(record: Record) -> _Key:
    return record.item_type, record.item_id or ""


def _follows(record: Record) -> bool:
    """Whether a record only speaks of an entity that is there; what it brings itself (a snooze its end) is no state."""
    return record.item_id is not None and record.action_class in (ActionClass.TOMBSTONE, ActionClass.DECISION)
