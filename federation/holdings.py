"""Holdings: what one store knows of others: its mirrors, and the index over them.

Keeps the index up to journal and mirrors, and every row judged (K3, K4). Holds the second lock, which serializes
publish, pull and accept [J9]. Everything here but the mirrors can be deleted and comes back the same [T1].
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Final

from federation import braking, mirrored
from federation.blobs import ref_in
from federation.bridge import BridgeFolder, materialize_bridge
from federation.causality import Judgement, judge, same_payload
from federation.errors import BlobUnreadable, DamagedFeed
from federation.evidence import Evidence
from federation.feed import parse_skip
from federation.folder import FeedFolder
from federation.index import Index, Row
from federation.materializer import fails_schema, materialize
from federation.mirror import BRIDGE_PREFIX, Brake, Mirror
from federation.model import (
    BLOB_BYTES_AT_ONCE,
    BLOBS_AT_ONCE,
    NO_PAYLOAD,
    OPEN_CAP,
    Counts,
    Head,
)
from federation.own_feeds import OwnFeeds
from federation.quarantine import Quarantine
from federation.settling import covering, decided_by, version_named
from federation.staging import staging_folder
from federation.taking_back import take_back_everywhere
from federation.trust import Trust
from journal import (
    CacheUnreadable,
    DamagedStore,
    DiskFailed,
    LocalHead,
    Record,
    Ref,
    Store,
    StoreLocked,
    Version,
    drop,
)

_JUDGED_AT_ONCE: Final = 2_000
_READ_LOCK_SECONDS: Final = 0.05
_INDEX_FILE: Final = "index.sqlite3"


class Holdings:
    """The federation side of one open store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.folder = store.folder / "federation"
        self.mirror = Mirror(store.disk, self.folder)
        self.trust = Trust(store, self.mirror)
        self.quarantine = Quarantine(store.disk, self.folder)
        self.own_feeds = OwnFeeds(store)
        self.damaged: dict[str, DamagedFeed] = {}  # origins whose mirror cannot be read: the others go on [F6]
        self.blobs_at_once, self.blob_bytes_at_once = BLOBS_AT_ONCE, BLOB_BYTES_AT_ONCE  # of one origin in one pull
        self.missed = False  # whether something was asked that cannot be read now

    @cached_property
    def index(self) -> Index:
        """The cache, opened when first needed; begun anew when it is of another identity of this store [I2]."""
        self.store.disk.make_folder_durably(self.folder)
        whose = self.identity
        found = Index.open(self.store.disk, self.index_path)
        if found.identity() not in (None, whose):
            found.close()
            drop(self.store.disk, self.index_path)
            found = Index.open(self.store.disk, self.index_path)
        if found.identity() is None:
            found.set_identity(whose)
        return found

    @property
    def identity(self) -> str:
        """What the index depends on besides mirrors and journal: who we are [I2], and whom people blocked or forgot."""
        return self.own_feeds.identity + self.trust.mark

    @property
    def index_path(self) -> Path:
        """Where the cache is kept."""
        return self.folder / _INDEX_FILE

    @property
    def lock_path(self) -> Path:
        """The second lock [J9]."""
        return self.folder / "federation.lock"

    def with_own_index(self) -> Holdings:
        """The same, with an index in memory that nobody else sees, and nothing in it yet."""
        found = Holdings(self.store)
        found.index = Index.in_memory()
        return found

    @cached_property
    def facts(self) -> Evidence:
        """What claims are checked against [K4]."""
        return Evidence(self)

    @property
    def own(self) -> FeedFolder:
        """The feed this store publishes."""
        return self.own_feeds.feed(self.store.origin)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Serialize publish, pull and accept; StoreLocked after the timeout. Never held over network I/O [J9]."""
        self.store.disk.make_folder_durably(self.folder)
        with self.store.disk.lock(self.lock_path, self.store.lock_timeout):
            yield

    @contextlib.contextmanager
    def staging(self) -> Iterator[Path]:
        """A private folder for what is fetched, gone afterwards."""
        with staging_folder(self.store, self.folder / "staging", self.lock) as own:
            yield own

    def close(self) -> None:
        """Close the cache."""
        if "index" in self.__dict__:
            self.index.close()
            del self.__dict__["index"]

    # --- keeping up ---

    def refresh(self) -> None:
        """Materialize what mirrors hold, take in the journal, judge what changed. The caller holds `lock()`.

        A mirror that cannot be read is left out and stands in `damaged`.
        """
        try:
            self._refresh()
        except CacheUnreadable:  # a cache: what cannot be read is begun anew [T1]
            self._drop_index()
            self._refresh()

    def _refresh(self) -> None:
        self.damaged.clear()
        self._look_at_trust()
        if take_back_everywhere(self):
            self._drop_index()  # what others redacted may stand in any page of it [F9]
        self.index.ask_doubtful_again()
        self.take_in_everything()
        self.judge_all()
        for origin in self.mirror.origins():
            braking.settle(self, origin)

    def _look_at_trust(self) -> None:
        """Take notice of what people decided about origins since; an index made before that is begun anew [T1]."""
        self.trust.refresh()
        self.trust.finish_parking(self.noting_damage)
        if self.index.identity() not in (None, self.identity):
            self._drop_index()

    def _refresh_in_memory(self) -> None:
        self.close()
        self.index = Index.in_memory()
        self.damaged.clear()
        self.take_in_everything()
        self.judge_all()

    def take_in_everything(self) -> None:
        """Bring the index up to mirrors, own feed and journal; verdicts are not yet asked for."""
        for origin in self.mirror.origins():
            if self.trust.is_blocked(origin):
                continue  # its mirror stays what claims are checked against [K4]
            with contextlib.suppress(DamagedFeed), self.noting_damage(origin):
                self.materialize(origin)
                self._look_for_blobs(origin)
                self.brake(origin)
        self.take_in_own_feed()
        self.take_in_journal()

    @contextlib.contextmanager
    def noting_damage(self, origin: str) -> Iterator[None]:
        """Whoever finds out that a mirror cannot be read says so, for all that come after."""
        try:
            yield
        except DamagedFeed as error:
            self.damaged.setdefault(origin, error)
            raise

    def left_out(self) -> list[str]:
        """What could not be read of others, and is missing from all that is shown of them."""
        return [str(error) for error in self.damaged.values()]

    def look(self) -> str | None:
        """Refresh before reading, if the lock is free; else why what is read may lack something."""
        try:
            self.store.disk.make_folder_durably(self.folder)
            with self.store.disk.lock(self.lock_path, _READ_LOCK_SECONDS):
                self.refresh()
        except StoreLocked:
            return "another process is publishing, pulling or deciding"
        except DiskFailed:  # full, or not to be written: a reader needs no file
            self._refresh_in_memory()
        return self.store.stale or ("; ".join(f"left out: {text}" for text in self.left_out()) or None)

    def materialize(self, origin: str) -> int:
        """Bring the index up to one mirror; how many record lines were taken [F7]."""
        if origin.startswith(BRIDGE_PREFIX):
            return materialize_bridge(self.bridge(origin), origin, self.index)
        feed, own_seq = self.mirror.feed(origin), self.own_feeds.left_at(origin)
        return materialize(feed, origin, self.index, self.is_self, after_seq=own_seq)

    def _look_for_blobs(self, origin: str) -> None:
        """Take notice of payloads that were missing and are here now, however they came."""
        missing = self.index.missing_blobs(origin, self.blobs_at_once)
        came = [ref for ref in missing if self.mirror.feed(origin).blobs.is_good(ref)]
        if came:
            self.index.set_missing(origin, came, missing=False)

    def bridge(self, origin: str) -> BridgeFolder:
        """The mirror of a bridged store."""
        return BridgeFolder(self.store.disk, self.mirror.path(origin))

    def take_in_own_feed(self) -> None:
        """Learn which of our records the feed withholds, which nobody can have seen [K4], and its blobs [J13]."""
        head = self.own.head()
        position, place = self.index.position(self.store.origin)
        if head is None or (position, place) == (head.last_seq, head.place):
            return
        if place and place.partition(" ")[2] != head.place.partition(" ")[2]:
            self.index.forget(self.store.origin)  # lines that we read are others now [F9]
            position = 0
        ranges, blobs = [], set()
        for line in self.own.lines(position):
            skip, ref = parse_skip(line.data), ref_in(line.data)
            if skip is not None:
                ranges.append(skip[:2])
            if ref is not None:
                blobs.add(ref)
        self.index.add_own(self.store.origin, ranges, blobs, (head.last_seq, head.place))

    def take_in_journal(self) -> None:
        """Learn of local records since the last time: touched entities are judged again, decisions are kept."""
        self.store.refresh()
        kept = self.index.local_position()
        if kept is not None and not self.store.fits(kept):  # another journal, or this one as it was before [J11]
            self.index.forget_local(self.store.origin)
            self.take_in_own_feed()
            kept = None
        if kept is not None and kept.seq == self.store.position().seq:
            return
        if kept is None:  # all that was ever decided is known without reading the log
            position = self.store.position()
            found = self.store.decisions(position.seq)
            self.index.apply_local((), (), [own for record in found for own in decided_by(self, record)], position)
            return
        for gap in self.store.gaps(kept):
            records = [entry.record for entry in gap.entries if not entry.void]
            decided = [found for record in records for found in decided_by(self, record)]
            touched = [(record.item_type, record.item_id) for record in records if record.item_id is not None]
            causes = [version_named(record.cause) for record in records if record.item_id is None]
            unnamed = [Ref(*cause[:2]) for cause in causes if cause is not None]
            self.index.apply_local(touched, unnamed, decided, gap.position)

    def judge_all(self) -> None:
        """Compute every verdict that is not known, and keep it; what a damaged mirror holds waits for its repair."""
        while rows := self.index.unjudged(_JUDGED_AT_ONCE, without=self.damaged):
            heads = self.store.heads([(row.item_type, row.item_id) for row in rows])
            anything = self.index.has_decisions()
            judged: list[tuple[Row, Judgement, bool]] = []
            for row in sorted(rows, key=_root_of):
                if row.origin in self.damaged:
                    continue
                self.missed = False
                try:
                    found = self._judge(row, heads.get((row.item_type, row.item_id)), anything)
                except BlobUnreadable:
                    continue  # that is known now, and the row is asked again
                except DamagedFeed:
                    if row.origin not in self.damaged:
                        raise  # not the mirror: a feed of our own
                    continue
                judged.append((row, found, self.missed))
            self.index.set_verdicts(judged)

    def _judge(self, row: Row, local: LocalHead | None, anything_decided: bool) -> Judgement:
        """The verdict on one row [K3]."""
        foreign = row.foreign_head()
        if row.blob is not None:
            foreign = foreign._replace(unreadable=self._why_unreadable(row, row.blob))
        return judge(
            foreign,
            local,
            decided=anything_decided and covering(self, row, self.index.decided_on) is not None,
            same_payload=lambda: local is not None and self.is_same_payload(row, local),
            facts=self.facts,
        )

    def _why_unreadable(self, row: Row, blob: str) -> str | None:
        """The same of a payload that stands beside the feed: it is not looked at before it is here."""
        if self.index.is_missing(row.origin, blob):
            return NO_PAYLOAD
        return fails_schema(row.item_type, self.payload_bytes(row) or b"")

    def is_same_payload(self, row: Row, local: LocalHead) -> bool:
        """Whether both payloads are the same JSON value; one that cannot be read is never the same."""
        theirs = self.payload_bytes(row)
        try:
            return same_payload(self.store.payload_bytes(local), theirs)
        except DamagedStore:
            self.missed = True
            return False

    # --- reading ---

    def payload_bytes(self, row: Row) -> bytes | None:
        """The payload of a foreign head; errors as `mirrored.payload_bytes`."""
        return mirrored.payload_bytes(self, row)

    def payload_of(self, record: Record, origin: str) -> bytes | None:
        """The payload of any record in a mirror; errors as `mirrored.payload_of`."""
        return mirrored.payload_of(self, record, origin)

    def payload(self, row: Row) -> object:
        """The payload of a foreign head as a value, None where there is none to show."""
        return mirrored.shown_value(self.payload_bytes(row))

    def name(self, origin: str) -> str:
        """The label an origin gives itself, "" where its mirror cannot be read; foreign text."""
        if origin.startswith(BRIDGE_PREFIX):
            with contextlib.suppress(DamagedFeed), self.noting_damage(origin):
                return self.bridge(origin).name
            return ""
        head = self.head(origin)
        return head.name if head is not None else ""

    def head(self, origin: str) -> Head | None:
        """The head in the mirror of a signed origin; None where there is none, or it cannot be read."""
        with contextlib.suppress(DamagedFeed), self.noting_damage(origin):
            if origin not in self.damaged:
                return self.mirror.feed(origin).head()
        self.missed = True
        return None

    def counts(self, origin: str) -> Counts:
        """Open, settled and held candidates of an origin [K5]; none of one whose mirror cannot be read."""
        load = None
        with contextlib.suppress(DamagedFeed):
            load = braking.held(self, origin)
        if origin in self.damaged:
            return Counts()
        opened, settled = self.index.counts(origin)
        braked = 0 if load is None else load.changes
        shown = min(opened - braked, OPEN_CAP)
        return Counts(shown, settled, opened - shown)

    def brake(self, origin: str) -> Brake | None:
        """The brake on an origin, if one is set; DamagedFeed when it cannot be read."""
        with self.noting_damage(origin):
            return self.mirror.brake(origin)

    # --- whose a record is, and how far a mirror goes ---

    def is_self(self, origin: str, seq: int) -> bool:
        """Whether a record is ours; of former origins up to their last seq [F8]."""
        return origin == self.store.origin or seq <= self.own_feeds.left_at(origin)

    @property
    def published_seq(self) -> int:
        """How far our feed went, under the origin in force; where it is lost, as local.json remembers it [T1]."""
        head = self.own.head()
        return head.last_seq if head is not None else (self.store.published() or {}).get("last_seq", 0)

    def pin(self, origin: str) -> int:
        """The seq up to which we verified an origin; 0 for one whose mirror cannot be read."""
        if origin.startswith(BRIDGE_PREFIX):
            return self.index.position(origin)[0]
        head = self.head(origin)
        return 0 if head is None else head.last_seq

    def mirrored_line(self, origin: str, seq: int) -> bytes | None:
        """A record line of a mirror; None where it is not shown, or cannot be read, and then it was `missed`."""
        if origin.startswith(BRIDGE_PREFIX) or origin not in self.mirror.origins():
            return None
        with contextlib.suppress(DamagedFeed), self.noting_damage(origin):
            if origin not in self.damaged:
                return self.mirror.feed(origin).find(seq)
        self.missed = True
        return None

    # --- rebuilding ---

    def _drop_index(self) -> None:
        self.close()
        drop(self.store.disk, self.index_path)
        self.store.disk.sync_folder(self.folder)

    def rebuild(self) -> None:
        """Delete the index and make it again from mirrors and journal."""
        self._drop_index()
        self.store.disk.remove_tree(self.folder / "staging")
        self.refresh()


def _root_of(row: Row) -> tuple[str, int]:
    """Where the record stands that a copy is compared with: neighbours are judged together, from one slice."""
    return ("", 0) if row.root is None else Version.parse(row.root)[:2]
