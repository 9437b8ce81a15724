"""Store: what callers use. One directory, one journal; `mutate` is the one way to write.

Composes log and caches and keeps their order: log first and durable, then index, then files, then the watermark [J5]
[P1]. Reads catch up with the log when the lock is free and otherwise say in `stale` why they may lack records.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from heapq import merge
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from journal import checkpoints, identity
from journal.birth import LOCK_FILE, STORE_FOLDER, check_name, make_store
from journal.caches import BUSY, Caches
from journal.checkpoints import Taken
from journal.cursors import Cursors, Unseen
from journal.disk import Disk
from journal.entity_files import EntityFiles
from journal.errors import EntityRedacted, NoSuchEntity, StoreCopied, StoreLocked
from journal.findings import Report
from journal.history import History, Query
from journal.identity import Previous, StoreFile
from journal.index import Position, Torn
from journal.log import Gap, Log
from journal.machine import Machine, default_data_folder
from journal.model import ROLL_BYTES, BlobRef, Committed, Decided, Entity, LocalHead, Record
from journal.mutation import Author, Mutation
from journal.redaction import Redaction, is_left
from journal.schemas import lifted
from journal.takeover import Renewed, is_under, left_at, new_file
from journal.writing import Writer

if TYPE_CHECKING:
    from journal.archive import Archived

LOCK_TIMEOUT_SECONDS: Final = 10.0
_RENEWING: Final = Author("identity")  # the agent of what is written anew under a new identity
_READ_LOCK_SECONDS: Final = 0.05  # a reader rather serves marked `stale` than waits


class Store:
    """One store, open. Cheap to open; safe to use from several processes; not from several threads or across a fork."""

    def __init__(self, folder: Path, *, disk: Disk, machine: Machine, data_folder: Path, lock_timeout: float) -> None:
        self.folder = folder
        self.disk = disk
        self.machine = machine
        self.data_folder = data_folder
        self.lock_timeout = lock_timeout
        self.file: StoreFile = identity.read_store_file(disk, folder)
        self.stale: str | None = None  # why the last read may lack records, None when it lacks none
        self.last_commit = Committed([], None)
        self.roll_bytes = ROLL_BYTES
        self._log = Log(disk, folder / "journal")
        self._caches = Caches(disk, folder, self._log, machine)
        self._cursors = Cursors(disk, folder, self._log)
        self.redaction = Redaction(self, self._log, self._caches)
        self._locked_by: int | None = None  # the process that holds the lock through this Store
        self._taken_over = ("", 0)  # the origin and segment that were last seen to go together
        self._mutating = False
        self._newer: dict[tuple[str, str], LocalHead] = {}  # read through the log while another process writes

    # --- opening ---

    @classmethod
    def open(
        cls,
        path: Path | str,
        *,
        disk: Disk | None = None,
        machine: Machine | None = None,
        data_folder: Path | None = None,
        lock_timeout: float = LOCK_TIMEOUT_SECONDS,
    ) -> Store:
        """Open the store at a `.eventsync` folder or its parent. Writes nothing.

        Raises NotAStore, FormatTooNew [J12], DamagedStore.
        """
        data = data_folder or default_data_folder()
        folder = Path(path).absolute()
        folder = folder if folder.name == STORE_FOLDER else folder / STORE_FOLDER
        return cls(
            folder,
            disk=disk or Disk(),
            machine=machine or Machine(data),
            data_folder=data,
            lock_timeout=lock_timeout,
        )

    @classmethod
    def init(
        cls,
        path: Path | str,
        *,
        name: str | None = None,
        tracked: Collection[str] = (),
        disk: Disk | None = None,
        machine: Machine | None = None,
        data_folder: Path | None = None,
        seed: bytes | None = None,
    ) -> Store:
        """Make a store in `path` (its `.eventsync` folder) with a new key, whole or not at all, durable on return [I1].

        Raises StoreExists when there is one, DiskFailed otherwise.
        """
        disk, data = disk or Disk(), data_folder or default_data_folder()
        machine = machine or Machine(data)
        folder = make_store(
            Path(path).absolute(), name=name, tracked=tracked, disk=disk, machine=machine, data_folder=data, seed=seed
        )
        return cls.open(folder, disk=disk, machine=machine, data_folder=data)

    def close(self) -> None:
        """Close the cache; the store can be used again afterwards."""
        self._caches.close()

    # --- who and where ---

    @property
    def origin(self) -> str:
        """The origin id in force."""
        return self.file.origin_store_id

    @property
    def name(self) -> str:
        """The label people gave it; never an identity."""
        return self.file.name

    @property
    def previous(self) -> Sequence[Previous]:
        """Origins this store had before."""
        return self.file.previous

    @property
    def private_key_path(self) -> Path:
        """Where the private key is kept, whether it is there or not."""
        return identity.key_path(self.data_folder, self.origin)

    def private_key(self) -> bytes:
        """The raw private key; KeyMissing when it is not on this machine."""
        return identity.read_key(self.disk, self.data_folder, self.origin)

    def moved(self) -> list[str]:
        """Which facts say that this store is not where it was (machine_id, path, folder_id); empty when it is [I2]."""
        return identity.moved_facts(self.local(), identity.fingerprint(self.machine, self.folder))

    def keep_identity(self) -> None:
        """A person says that this is the moved store itself, not a copy: write down where it stands now [I2]."""
        self.update_local(**identity.fingerprint(self.machine, self.folder))

    def refuse_when_copied(self) -> None:
        """Raise StoreCopied when the store is not where it was; every writing command asks this first [I2]."""
        self._refuse_when_copied(self.local())

    def _refuse_when_copied(self, local: Mapping[str, Any]) -> None:
        moved = identity.moved_facts(local, identity.fingerprint(self.machine, self.folder))
        if moved:
            text = f"the store was copied, moved or restored: {identity.moved_words(moved)}"
            raise StoreCopied(text, path=self.folder, rule="I2")

    def local(self) -> dict[str, Any]:
        """local.json: where the store stands, and what callers keep beside that."""
        return identity.read_local(self.disk, self.folder)

    def published(self) -> dict[str, Any] | None:
        """What local.json keeps of the last publish under the origin in force; None before the first."""
        return identity.published_of(self.local(), self.file)

    def update_local(self, **values: Any) -> None:
        """Change keys of local.json, durably, under the store lock."""
        with self.lock():
            identity.write_local(self.disk, self.folder, self.local() | values)

    # --- writing ---

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the store lock; StoreLocked after the timeout [J9]. Held already by this Store, it stays held.

        Never around network I/O.
        """
        with self._lock(self.lock_timeout):
            yield

    @contextlib.contextmanager
    def _lock(self, timeout_seconds: float) -> Iterator[None]:
        if self._holds_lock():
            yield
            return
        with self.disk.lock(self.folder / LOCK_FILE, timeout_seconds):
            self._locked_by = self.machine.process_id
            try:
                yield
            finally:
                self._locked_by = None

    def _holds_lock(self) -> bool:
        return self._locked_by is not None and self._locked_by == self.machine.process_id

    @contextlib.contextmanager
    def mutate(
        self, *, agent: str = "unknown", agent_id: str | None = None, session_id: str | None = None
    ) -> Iterator[Mutation]:
        """One lock, one batch, one fsync, all or nothing: what the block adds is on disk when it ends.

        An exception in the block writes nothing. Raises StoreLocked, StoreCopied, InvalidInput, LogShorterThanKnown,
        DamagedStore, FormatTooNew with nothing written; DiskFailed with the log as it was [J5]. `last_commit` holds
        what was written.
        """
        self._refuse_when_mutating()
        self.last_commit = Committed([], None)
        with self.lock():
            position = self._ready()
            mutation = Mutation(self.head, self.same_id_in_other_case)
            self._mutating = True
            try:
                yield mutation
            finally:
                self._mutating = False
            if mutation.drafts:
                writer = self._writer(position, Author(agent, agent_id, session_id))
                self.last_commit = writer.commit(mutation.drafts, mutation.head, self.roll_bytes)

    def _refuse_when_mutating(self) -> None:
        if self._mutating:
            raise StoreLocked("a mutation of this store is open already", path=self.folder, rule="J9")

    def settle(self) -> Position:
        """Catch up and make the tail durable, before others are told of it [J7]; the caller holds `lock()`.

        Returns the position of the last record. Raises as `mutate`.
        """
        position = self._ready()
        self._log.sync(position)
        return position

    def _ready(self) -> Position:
        """The end of the log, once it is sure that this store may write there."""
        self.file = identity.read_store_file(self.disk, self.folder)  # another process may have renewed it [I2]
        local = self.local()
        self._refuse_when_copied(local)
        position = self._caches.catch_up(identity.published_seq(local))
        if (self.origin, position.segment) != self._taken_over and not is_under(self._log, self.file):
            position = self._take_over(position)
        self._taken_over = self.origin, position.segment
        if is_left(local, "store") and self.redaction.finish():  # what an interrupted one left comes first [J16]
            position = self._caches.catch_up(identity.published_seq(local))
        return position

    def _writer(self, position: Position, author: Author) -> Writer:
        return Writer(self._log, self._caches, self.machine, self.file, author, position)

    # --- a new identity [I2] ---

    def renew(self, *, at: int | None = None, name: str | None = None, seed: bytes | None = None) -> Renewed:
        """Leave the origin in force at seq `at`, or at the end of the log, and go on under a new one [I2].

        The key is on disk before anything speaks of it; store.json is what decides; the first segment under the new
        origin follows here or before the next write. So a crash leaves the old identity or the new one, whole.
        InvalidInput when no record has that seq, or for a name nobody could show; else as `mutate`, never StoreCopied.
        """
        self._refuse_when_mutating()
        with self.lock():
            self.file = identity.read_store_file(self.disk, self.folder)
            writer = self._writer(self._caches.catch_up(identity.published_seq(self.local())), _RENEWING)
            writer.note_torn_tail(self.head)
            end = writer.position
            self._log.sync(end)  # what we leave must be on disk before we say where it ends [J7]
            left = left_at(self._log, end, at, self.file, self.local())
            name = self.name if name is None else check_name(name)
            file = new_file(self.file, left, name, identity.make_key(self.disk, self.data_folder, seed))
            identity.write_store_file(self.disk, self.folder, file)
            self.file = file
            self.keep_identity()
            return Renewed(left, self._take_over(end).seq - end.seq)

    def _take_over(self, position: Position) -> Position:
        writer = self._writer(position, _RENEWING)
        writer.take_over(self.head)
        return writer.position

    # --- reading ---

    def refresh(self) -> None:
        """Bring the caches up to the log before reading; when that cannot be, say so in `stale` and go on.

        DamagedStore and FormatTooNew are raised only when nothing can be read: unreadable is never empty [J11].
        """
        self._newer = {}
        self.stale = self._caches.refresh(
            lambda: self._lock(_READ_LOCK_SECONDS), lambda: identity.published_seq(self.local())
        )
        if self.stale == BUSY:
            self._newer = self._caches.newer_execution_heads()

    def head(self, item_type: str, item_id: str) -> LocalHead | None:
        """The newest local record of an entity, tombstones included, as the index has it."""
        return self._caches.ask(lambda index: index.head(item_type, item_id))

    def heads(self, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], LocalHead]:
        """The newest local records of many entities; those that never were here are left out."""
        return self._caches.ask(lambda index: index.heads(keys))

    def same_id_in_other_case(self, item_type: str, item_id: str) -> str | None:
        """An id of the type that differs from this one only in case, if there is one [J10]."""
        return self._caches.ask(lambda index: index.same_id_in_other_case(item_type, item_id))

    def get(self, item_type: str, item_id: str) -> Entity:
        """A live entity with its payload in the newest version of its schema.

        NoSuchEntity when there is none, EntityRedacted when its newest record says nothing any more [J16].
        """
        self.refresh()
        head = self._newer.get((item_type, item_id)) or self.head(item_type, item_id)
        if head is None or head.deleted:
            raise NoSuchEntity(f"no entity {item_type}/{item_id}")
        payload = self._log.payload(head)
        if payload is None:
            raise EntityRedacted(f"{item_type}/{item_id} is redacted", seq=head.seq, rule="J16")
        return Entity(head, dict(lifted(item_type, payload)))

    @property
    def history(self) -> History:
        """The log, for those who ask for other records than the newest of each entity."""
        return History(self._log, self._refreshed, self._telling)

    def _refreshed(self) -> Position:
        self.refresh()
        return self.position()

    def list(self, type: str | None = None, *, deleted: bool = False) -> list[LocalHead]:  # noqa: A002 the public face says so
        """Heads of live entities by type and id; with `deleted` the tombstones too."""
        return [*self.each(type, deleted=deleted)]

    def each(self, item_type: str | None = None, *, deleted: bool = False) -> Iterator[LocalHead]:
        """The same one after the other, for lists that may be long; what is written meanwhile may be among them."""
        self.refresh()
        newer = sorted(head for key, head in self._newer.items() if item_type in (None, head.item_type))
        kept = (head for head in self._caches.heads(item_type) if head[:2] not in self._newer)
        return (head for head in merge(kept, newer, key=lambda head: head[:2]) if deleted or not head.deleted)

    def log(self, since: int = 0, *, last: int | None = None) -> Iterator[Record]:
        """Records after seq `since`, oldest first; with `last` only that many of the newest. Void ones are left out.

        `stale` is complete when the last record was taken: some damage shows only then.
        """
        return self.history.records(Query(since), last=last)

    def _telling(self, start: Position, since: int | None = None) -> Iterator[Gap]:
        """The log behind a position; says in `stale` when records are damaged, or fewer than the caches know of.

        `since`: after which seq they are asked for, when that may be before the position [J11].
        """
        end, known_seq = start, self.position().seq
        if since is not None and start.seq > since:
            self.stale = self.stale or f"records before seq {start.seq + 1} are gone [J11]"
        for gap in self.gaps(start):
            if any(bad.broken for bad in gap.bad):
                self.stale = self.stale or f"{gap.segment.path.name}: records are damaged [J7]"
            end = gap.position
            yield gap
        if end.seq < known_seq:
            self.stale = self.stale or f"the log ends at seq {end.seq}, but seq {known_seq} was written [J11]"

    def unseen(self, reader: str, *, since: int | None = None) -> Unseen:
        """What a reader did not acknowledge yet, all of it at first; or what came after seq `since` instead.

        Raises InvalidInput for a name that is none, CursorUnreadable, and LogShorterThanKnown when the reader has seen
        more than there is [J11].
        """
        return self._cursors.unseen(reader, since, self._refreshed(), self._telling)

    def ack(self, reader: str, seq: int) -> None:
        """A reader has seen the log up to this record; durable on return. NoSuchRecord when there is none."""
        with self.lock():
            self._cursors.move(reader, seq, self._caches.catch_up(identity.published_seq(self.local())))

    def gaps(self, after: Position | None = None) -> Iterator[Gap]:
        """The log behind a position, segment by segment, with void records and bad ranges.

        Under `lock()` all of it; without, less a batch at the end that another process may be writing just now.
        """
        start, known_seq = after or self._log.start(), self.position().seq
        if self._holds_lock():
            return self._log.gaps(start, known_seq)
        return self._log.gaps_while_written(start, known_seq)

    def position(self) -> Position:
        """How far the caches have applied the log; callers may keep it and come back for what is new."""
        return self._caches.ask(lambda index: index.position()) or self._log.start()

    def decisions(self, up_to: int, *, since: int = 0) -> Iterator[Decided]:
        """Records about foreign ones after a seq and up to another, in log order, as far as the caches know the log."""
        return self._caches.ask(lambda index: index.decisions(up_to, since))

    def decisions_on_origins(self) -> Sequence[Decided]:
        """The same about whole origins, all of them."""
        return self._caches.ask(lambda index: index.decisions_on_origins())

    def fits(self, position: Position) -> bool:
        """Whether a kept position is still one of this log."""
        return self._log.fits(position)

    def position_at(self, seq: int) -> Position:
        """A position at or before a seq, at the start of a segment."""
        return self._log.position_at(seq)

    def payload_bytes(self, head: LocalHead) -> bytes | None:
        """The payload of a head, out of its line or its blob; None for a tombstone or a redacted record."""
        return self._log.payload_bytes(head)

    def payload_of(self, record: Record) -> bytes | None:
        """The same of any record of this store; DamagedStore when its blob is missing or damaged."""
        return self._log.payload_of(record)

    def keep_payload(self, payload: bytes) -> BlobRef:
        """Keep a checked payload, durably, for a Draft that names it; the caller holds `lock()` until that is there."""
        return self._log.blobs.write(payload)

    # --- caches ---

    def checkpoint(self) -> Taken:
        """Write down all that the store holds, so that a rebuild need not read the whole log [J14]; see `take`."""
        return checkpoints.take(self, self._caches.checkpoints)

    def checkpoint_is_due(self) -> bool:
        """Whether the log grew enough since the last checkpoint; asked when callers wait for nothing any more."""
        return self._caches.checkpoints.is_due()

    def gc(self) -> Archived:
        """Put segments behind the second-newest checkpoint into the archive; see `park` [J15]."""
        from journal import archive

        return archive.park(self, self._log, self._caches.checkpoints)

    def rebuild(self) -> str | None:
        """Delete index and projections and make them again from the log; what could not be, None when all could.

        LogShorterThanKnown when they remember more than the log holds: then nothing is deleted [J11].
        """
        with self.lock():
            return self._caches.rebuild(identity.published_seq(self.local()))

    def verify(self) -> Report:
        """Check everything that can be checked from the log, and change nothing."""
        from journal.verification import verify

        return verify(self.disk, self.folder, self._log, self.file, self.machine)

    def bad_ranges(self) -> Iterable[Torn]:
        """Byte ranges of the log that belong to no record: (segment, offset, end, broken)."""
        return self._caches.ask(lambda index: index.bad_ranges())

    @property
    def entity_files(self) -> EntityFiles:
        """The projections, for verification."""
        return self._caches.files

    @property
    def segments(self) -> Log:
        """The log, for verification."""
        return self._log
