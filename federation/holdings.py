"""Holdings: what one store knows of others: its mirrors, the index over them, and the facts causality asks for.

Keeps the index up to journal and mirrors, and every row judged (K3, K4). Holds the second lock, which serializes
publish, pull and accept [J9]. Everything here but the mirrors can be deleted and comes back the same [T1].
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Final

from federation.bridge import BridgeFolder, materialize_bridge
from federation.causality import Judgement, judge
from federation.errors import DamagedFeed
from federation.feed import parse_skip
from federation.folder import FeedFolder
from federation.index import Index, Row
from federation.materializer import materialize
from federation.mirror import BRIDGE_PREFIX, Mirror
from federation.model import OPEN_CAP, Counts
from federation.verification import line_end
from journal import (
    ActionClass,
    DamagedStore,
    FormatTooNew,
    InvalidInput,
    LocalHead,
    Record,
    Ref,
    Store,
    StoreLocked,
    Version,
    check_payload,
    decode_record,
    drop,
)

_JUDGED_AT_ONCE: Final = 2_000
_READ_LOCK_SECONDS: Final = 0.05
_STAGING_LOCK: Final = "lock"
_INDEX_FILE: Final = "index.sqlite3"


class Holdings:
    """The federation side of one open store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.folder = store.folder / "federation"
        self.mirror = Mirror(store.disk, self.folder)

    @cached_property
    def index(self) -> Index:
        """The cache, opened when first needed."""
        self.store.disk.make_folder(self.folder)
        return Index(self.store.disk, self.folder / _INDEX_FILE)

    @cached_property
    def own(self) -> FeedFolder:
        """The feed this store publishes."""
        return FeedFolder(self.store.disk, self.store.folder / "feed" / self.store.origin)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Serialize publish, pull and accept; StoreLocked after the timeout. Never held over network I/O [J9]."""
        self.store.disk.make_folder(self.folder)
        with self.store.disk.lock(self.folder / "federation.lock", self.store.lock_timeout):
            yield

    @contextlib.contextmanager
    def staging(self) -> Iterator[Path]:
        """A private folder for what is fetched, gone afterwards. What a killed process left is swept here.

        Its owner holds a lock in it, so that a folder nobody holds is known to be left behind.
        """
        disk, root = self.store.disk, self.folder / "staging"
        own = root / self.store.machine.writer
        with contextlib.ExitStack() as held:
            with self.lock():
                disk.make_folder(own)
                held.enter_context(disk.lock(own / _STAGING_LOCK, 0))
                self._sweep(root, own.name)
            held.callback(disk.remove_tree, own)
            yield own

    def _sweep(self, root: Path, own: str) -> None:
        for name in self.store.disk.names(root):
            if name == own:
                continue
            with contextlib.suppress(StoreLocked), self.store.disk.lock(root / name / _STAGING_LOCK, 0):
                self.store.disk.remove_tree(root / name)

    def close(self) -> None:
        """Close the cache."""
        if "index" in self.__dict__:
            self.index.close()
            del self.__dict__["index"]

    # --- keeping up ---

    def refresh(self) -> None:
        """Materialize what mirrors hold, take in the journal, judge what changed. The caller holds `lock()`."""
        for origin in self.mirror.origins():
            self.materialize(origin)
        self.take_in_own_feed()
        self.take_in_journal()
        self.judge_all()

    def look(self) -> str | None:
        """Refresh before reading, if the lock is free; else why what is read may lack something."""
        path = self.folder / "federation.lock"
        self.store.disk.make_folder(self.folder)
        try:
            with self.store.disk.lock(path, _READ_LOCK_SECONDS):
                self.refresh()
        except StoreLocked:
            return "another process is publishing, pulling or deciding"
        return self.store.stale

    def materialize(self, origin: str) -> int:
        """Bring the index up to one mirror; how many record lines were taken [F7]."""
        if origin.startswith(BRIDGE_PREFIX):
            return materialize_bridge(self.bridge(origin), origin, self.index)
        return materialize(self.mirror.feed(origin), origin, self.index, self.is_self)

    def bridge(self, origin: str) -> BridgeFolder:
        """The mirror of a bridged store."""
        return BridgeFolder(self.store.disk, self.mirror.path(origin))

    def take_in_own_feed(self) -> None:
        """Learn which of our records the feed withholds, so that nobody can claim to have seen them [K4]."""
        head = self.own.head()
        position, c = self.index.position(self.store.origin)
        if head is None or (position, c) == (head.last_seq, head.c):
            return
        skips = [parse_skip(line.data) for line in self.own.lines(position)]
        ranges = [skip[:2] for skip in skips if skip is not None]
        self.index.add_withheld(self.store.origin, ranges, (head.last_seq, head.c))

    def take_in_journal(self) -> None:
        """Learn of local records since the last time: touched entities are judged again, decisions are kept."""
        self.store.refresh()
        kept = self.index.local_position()
        if kept is not None and not self.store.fits(kept):
            kept = None
        if kept is not None and kept.seq == self.store.position().seq:
            return
        for gap in self.store.gaps(kept):
            records = [entry.record for entry in gap.entries if not entry.void]
            decided = [found for record in records for found in self._decisions(record)]
            touched = [(record.item_type, record.item_id) for record in records if record.item_id is not None]
            unnamed = [Ref.parse(r.cause) for r in records if r.item_id is None and r.cause is not None]
            self.index.apply_local(touched, unnamed, decided, gap.position)

    def _decisions(self, record: Record) -> Iterator[tuple[Version, str]]:
        """The version a record decides about: every accept of any kind, every reject, and what undoes one [K3] [K5]."""
        accepts = record.action_class in (ActionClass.STATE, ActionClass.TOMBSTONE) and record.cause is not None
        if not accepts and record.action not in ("reject", "reopen"):
            return
        action = "accept" if accepts else record.action
        if record.root is not None:
            yield Version.parse(record.root), action
        elif record.cause is not None:
            yield self._version_of_cause(record.cause), action

    def _version_of_cause(self, cause: str) -> Version:
        """The authored version behind a record that was accepted over a conflict: our record names only its cause."""
        version = Version.parse(cause)
        line = self._mirrored_line(version.origin, version.seq)
        if line is None:
            return version
        found = decode_record(line)
        return Version.parse(found.root) if found.root else Version(version.origin, version.seq, found.c[:12])

    def judge_all(self) -> None:
        """Compute every verdict that is not known, and keep it."""
        while rows := self.index.unjudged(_JUDGED_AT_ONCE):
            heads = self.store.heads([(row.item_type, row.item_id) for row in rows])
            anything = self.index.has_decisions()
            judged = [(row, self._judge(row, heads.get((row.item_type, row.item_id)), anything)) for row in rows]
            self.index.set_verdicts(judged)

    def _judge(self, row: Row, local: LocalHead | None, anything_decided: bool) -> Judgement:
        """The verdict on one row [K3]."""
        foreign = row.foreign_head()
        return judge(
            foreign,
            local,
            decided=anything_decided and self.index.is_decided(foreign.version),
            same_payload=lambda: local is not None and self._same_payload(row, local),
            facts=self,
        )

    def _same_payload(self, row: Row, local: LocalHead) -> bool:
        """Whether both payloads are the same JSON value; one that cannot be read is never the same."""
        ours = self.store.payload_bytes(local)
        theirs = self.payload_bytes(row)
        if ours is None or theirs is None:
            return False
        if ours == theirs:
            return True
        try:
            return same_json(check_payload(ours), check_payload(theirs))
        except InvalidInput:
            return False

    # --- reading ---

    def payload_bytes(self, row: Row) -> bytes | None:
        """The payload of a foreign head as it stands in the mirror; None for tombstones and unreadable records."""
        if row.tombstone or row.unreadable is not None:
            return None
        if row.origin.startswith(BRIDGE_PREFIX):
            return self.bridge(row.origin).payload_at(row.slice, row.offset, row.length)
        line = self._line_of(row)
        record = decode_record(line)
        if record.seq != row.seq or record.c != row.digest:
            raise DamagedFeed("not the line the index speaks of", path=self.mirror.path(row.origin), seq=row.seq)
        return record.payload_bytes

    def _line_of(self, row: Row) -> bytes:
        feed = self.mirror.feed(row.origin)
        try:
            return feed.line_at(row.slice, row.offset, row.length)
        except DamagedFeed:
            found = feed.find(row.seq)  # the mirror was cut anew since the row was written
            if found is None:
                raise
            return found

    def payload(self, row: Row) -> object:
        """The payload as a value, None where there is none to show."""
        data = self.payload_bytes(row)
        try:
            return None if data is None else json.loads(data)
        except (ValueError, RecursionError):
            return None

    def records(self, origin: str, since: int) -> Iterator[Record]:
        """What an origin's feed shows after a seq, oldest first; a line nobody can decode is told as such."""
        if origin.startswith(BRIDGE_PREFIX):
            yield from (record for record in self.bridge(origin).records() if record.seq > since)
            return
        for line in self.mirror.feed(origin).lines(since):
            if parse_skip(line.data) is None:
                yield _told(line.data)

    def name(self, origin: str) -> str:
        """The label an origin gives itself; foreign text."""
        if origin.startswith(BRIDGE_PREFIX):
            return self.bridge(origin).name
        head = self.mirror.feed(origin).head()
        return head.name if head is not None else ""

    def counts(self, origin: str) -> Counts:
        """Open, settled and held candidates of an origin [K5]."""
        opened, settled = self.index.counts(origin)
        brake = self.mirror.brake(origin)
        braked = 0 if brake is None or brake.pending else self.index.open_after(origin, brake.after_seq)[0]
        shown = min(opened - braked, OPEN_CAP)
        return Counts(shown, settled, opened - shown)

    def saw(self) -> dict[str, tuple[int, str, str]]:
        """How far we have read others, as our head tells them [F2]."""
        found = {}
        for origin in self.mirror.origins():
            pin = None if origin.startswith(BRIDGE_PREFIX) else self.mirror.feed(origin).pin()
            if pin is not None:
                found[origin] = (pin.seq, pin.c, pin.t)
        return found

    # --- facts for causality [K4] ---

    def is_self(self, origin: str, seq: int) -> bool:
        """Whether a record is ours; previous origins up to their last seq [F8]."""
        if origin == self.store.origin:
            return True
        return any(entry.origin == origin and seq <= entry.last_seq for entry in self.store.previous)

    def shown(self, origin: str, seq: int) -> bool:
        """Whether our feed ever showed that record; of a previous origin, up to where that feed went."""
        if origin != self.store.origin:
            return FeedFolder(self.store.disk, self.store.folder / "feed" / origin).find(seq) is not None
        return seq <= self.index.position(origin)[0] and not self.index.is_withheld(seq)

    def pin(self, origin: str) -> int:
        """The seq up to which we verified an origin."""
        if origin.startswith(BRIDGE_PREFIX):
            return self.index.position(origin)[0]
        pin = self.mirror.feed(origin).pin()
        return 0 if pin is None else pin.seq

    def newest_version(self, origin: str, item_type: str, item_id: str) -> int:
        """The newest version of an entity that an origin authored, as far as we hold it."""
        row = self.index.row(origin, item_type, item_id)
        if row is None or row.unreadable is not None:
            return 0
        head = row.foreign_head()
        newest = head.full_context.get(origin, 0)
        return newest if newest <= row.seq else 0

    def is_version(self, origin: str, seq: int, item_type: str, item_id: str) -> bool | None:
        """Whether a mirrored record is an authored version of that entity; None where the feed does not show it."""
        line = self._mirrored_line(origin, seq)
        if line is None:
            return None
        try:
            record = decode_record(line)
        except (DamagedStore, FormatTooNew):
            return None
        is_entity = record.action_class in (ActionClass.STATE, ActionClass.TOMBSTONE)
        return is_entity and record.root is None and (record.item_type, record.item_id) == (item_type, item_id)

    def _mirrored_line(self, origin: str, seq: int) -> bytes | None:
        if origin.startswith(BRIDGE_PREFIX) or origin not in self.mirror.origins():
            return None
        return self.mirror.feed(origin).find(seq)

    # --- rebuilding ---

    def rebuild(self) -> None:
        """Delete the index and make it again from mirrors and journal."""
        self.close()
        drop(self.store.disk, self.folder / _INDEX_FILE)
        self.store.disk.remove_tree(self.folder / "staging")
        self.refresh()


def _told(line: bytes) -> Record:
    try:
        return decode_record(line)
    except (DamagedStore, FormatTooNew):
        seq = line_end(line)
        return Record(v=0, seq=seq, ts="", writer="", agent="", action="unreadable", item_type="unreadable")


def same_json(one: object, other: object) -> bool:
    """Whether two parsed JSON values are the same: 1 and 1.0 are, 1 and true are not, order of keys does not count."""
    stack = [(one, other)]
    while stack:
        a, b = stack.pop()
        if isinstance(a, dict) and isinstance(b, dict):
            if a.keys() != b.keys():
                return False
            stack += [(a[key], b[key]) for key in a]
        elif isinstance(a, list) and isinstance(b, list):
            if len(a) != len(b):
                return False
            stack += zip(a, b, strict=True)
        elif isinstance(a, bool) or isinstance(b, bool):
            if a is not b:
                return False
        elif a != b or isinstance(a, str) != isinstance(b, str):
            return False
    return True
