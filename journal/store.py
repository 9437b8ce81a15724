"""Store: what callers use. One directory, one journal; `mutate` is the one way to write.

Composes log, index and entity files and keeps their order: log first and durable, then index, then files, then the
watermark [J5] [P1]. Reads catch up with the log when the lock is free and otherwise say that they are stale.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from journal import identity
from journal.codec import Entry, chain_start, decode_record, encode_header, encode_payload, scan, BadRange
from journal.disk import FOLDER_MODE, Disk
from journal.entity_files import EntityFiles
from journal.errors import (
    DamagedStore,
    DiskFailed,
    FormatTooNew,
    InvalidInput,
    JournalError,
    LogShorterThanKnown,
    NoSuchEntity,
    NotAStore,
    StoreCopied,
    StoreExists,
    StoreLocked,
)
from journal.identity import Previous, StoreFile
from journal.index import Index, Position, drop
from journal.log import Gap, Log
from journal.machine import Machine
from journal.model import JOURNAL_TYPE, ROLL_BYTES, STORE_FORMAT, Draft, LocalHead, Place, Record, Written
from journal.mutation import Author, Mutation, Sealed, seal
from journal.projection import changes_entity, head_of

STORE_FOLDER = ".eventsync"
LOCK_TIMEOUT_SECONDS = 10.0
_READ_LOCK_SECONDS = 0.05  # a reader rather serves marked `stale` than waits
_GITIGNORE_ALL = b"*\n"
_GITIGNORE_TRACK = b"*\n!.gitignore\n!store.json\n!entities/\n!entities/**\n"


class Entity(NamedTuple):
    """A live entity: its head and its payload as a value."""

    head: LocalHead
    payload: dict[str, Any]


class Committed(NamedTuple):
    """What a mutation left on disk."""

    written: list[Written]
    cache_problem: str | None  # the records are safe; index or files will be caught up by the next command


class Store:
    """One store, open. Cheap to open; safe to use from several processes; not from several threads at once."""

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
        self._files = EntityFiles(disk, folder)
        self._cache: Index | None = None

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
        data = data_folder or identity.default_data_folder()
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
        track: bool = False,
        disk: Disk | None = None,
        machine: Machine | None = None,
        data_folder: Path | None = None,
        seed: bytes | None = None,
    ) -> Store:
        """Make a store in `path` (its `.eventsync` folder) with a new key, whole or not at all, durable on return [I1].

        Raises StoreExists when there is one, DiskFailed otherwise.
        """
        disk, data = disk or Disk(), data_folder or identity.default_data_folder()
        machine = machine or Machine(data)
        parent = Path(path).absolute()
        folder = parent / STORE_FOLDER
        if disk.size(folder) is not None:
            raise StoreExists("there is a store already", path=folder)
        public_key = identity.make_key(disk, data, seed)
        origin = identity.origin_of(public_key)
        making = parent / f"{STORE_FOLDER}.tmp-{origin[-8:]}"
        disk.make_folder(making)
        making.chmod(FOLDER_MODE)
        for part in ("journal", "entities", "federation", "feed"):
            disk.make_folder(making / part)
        header = encode_header(origin, 1, chain_start(origin)) + b"\n"
        disk.replace_durably(making / "journal" / "seg-00000001.jsonl", header)
        disk.replace_durably(making / ".gitignore", _GITIGNORE_TRACK if track else _GITIGNORE_ALL)
        local = identity.fingerprint(machine, making) | {"path": str(folder.resolve())}
        identity.write_local(disk, making, local)
        value = {
            "format": STORE_FORMAT,
            "origin_store_id": origin,
            "public_key": identity.base64.b64encode(public_key).decode("ascii"),
            "name": name or parent.name or "store",
            "created_at": machine.now(),
            "previous": [],
        }
        disk.replace_durably(making / identity.STORE_FILE, (json.dumps(value, indent=2) + "\n").encode())
        disk.rename_folder(making, folder)
        return cls.open(folder, disk=disk, machine=machine, data_folder=data)

    def close(self) -> None:
        """Close the cache; the store can be used again afterwards."""
        if self._cache is not None:
            self._cache.close()
            self._cache = None

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

    def private_key(self) -> bytes:
        """The raw private key; DamagedStore when it is not on this machine."""
        return identity.read_key(self.disk, self.data_folder, self.origin)

    def moved(self) -> list[str]:
        """Which facts say that this store is not where it was (machine_id, path, folder_id); empty when it is [I2]."""
        return identity.moved_facts(self.local(), identity.fingerprint(self.machine, self.folder))

    def keep_identity(self) -> None:
        """A person says that this is the moved store itself, not a copy: write down where it stands now [I2]."""
        here = identity.fingerprint(self.machine, self.folder)
        identity.write_local(self.disk, self.folder, self.local() | here)

    def refuse_when_copied(self) -> None:
        """Raise StoreCopied when the store is not where it was; every writing command asks this first [I2]."""
        moved = self.moved()
        if moved:
            raise StoreCopied(f"the store was copied, moved or restored ({', '.join(moved)} differ)", path=self.folder, rule="I2")

    def local(self) -> dict[str, Any]:
        """local.json: where the store stands, and what callers keep beside that."""
        return identity.read_local(self.disk, self.folder)

    def update_local(self, **values: Any) -> None:
        """Change keys of local.json, durably."""
        identity.write_local(self.disk, self.folder, self.local() | values)

    # --- writing ---

    @contextlib.contextmanager
    def mutate(
        self, *, agent: str = "unknown", agent_id: str | None = None, session_id: str | None = None
    ) -> Iterator[Mutation]:
        """One lock, one batch, one fsync, all or nothing: what the block adds is on disk when it ends.

        An exception in the block writes nothing. Raises StoreLocked, StoreCopied, InvalidInput, LogShorterThanKnown,
        DamagedStore, FormatTooNew with nothing written; DiskFailed with the log as it was [J5]. `last_commit` holds
        what was written.
        """
        self.last_commit = Committed([], None)
        with self.lock():
            self.refuse_when_copied()
            self._catch_up()
            index = self._index()
            mutation = Mutation(index.head, index.same_id_in_other_case)
            yield mutation
            if mutation.drafts:
                self._commit(mutation.drafts, Author(agent, agent_id, session_id))

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the store lock; StoreLocked after the timeout [J9]. Never around network I/O."""
        with self.disk.lock(self.folder / "journal.lock", self.lock_timeout):
            yield

    def _commit(self, drafts: Sequence[Draft], author: Author) -> None:
        position = self._ready_position()
        position = self._note_torn_tail(position, author)
        if position.size >= self.roll_bytes:
            position = self._roll(position)
        sealed = self._append(drafts, position, author)
        written = [
            Written(r.seq, r.action, r.item_type, r.item_id, r.entity_rev, r.c) for r in (item.record for item in sealed)
        ]
        self.last_commit = Committed(written, self.last_commit.cache_problem)

    def _ready_position(self) -> Position:
        position = self._index().position()
        if position is None:
            raise DamagedStore("index lost its position", path=self._index().path)
        return position

    def _append(self, drafts: Sequence[Draft], position: Position, author: Author, skipped: int = 0) -> list[Sealed]:
        sealed = seal(
            drafts,
            origin=self.origin,
            last_seq=position.seq + skipped,
            last_c=position.c,
            author=author,
            machine=self.machine,
            head=self._index().head,
        )
        places = self._log.append(position, [item.line for item in sealed])
        end = places[-1].offset + places[-1].length + 1
        after = Position(sealed[-1].record.seq, sealed[-1].c, position.segment, end, end)
        heads = [
            head_of(Entry(_line_at(item, place), item.record, False), place.segment, self.origin)
            for item, place in zip(sealed, places, strict=True)
            if changes_entity(item.record)
        ]
        try:
            self._index().apply(heads, after, ())
            self._write_files(after.seq)
        except (DiskFailed, DamagedStore, sqlite3.Error) as error:  # the records are safe: a cache may be behind [P1]
            self.close()
            self.last_commit = Committed([], str(error))
        return sealed

    def _note_torn_tail(self, position: Position, author: Author) -> Position:
        """Name what a crash left behind the last good record, in one record of its own, before the caller's [J7].

        Its own write and fsync: so the unsynced end of a log is always one batch, which tells tails from damage.
        """
        if position.offset >= position.size:
            return position
        tail = self._log.tail_bytes(position)
        torn = tail.lstrip(b"\n")
        if not torn:
            return position
        start = position.size - len(torn)
        seqs = [item.top_seq for item in scan(torn, start, position.c) if isinstance(item, BadRange)]
        most = position.seq + 1 + len(torn) // 64  # no record is shorter: a larger number is not a seq of ours
        top = max([seq for seq in seqs if position.seq < seq <= most], default=position.seq)
        note = {
            "kind": "torn_tail",
            "ranges": [
                {
                    "segment": f"seg-{position.segment:08d}.jsonl",
                    "start": start,
                    "end": position.size,
                    "blake3": _blake3(torn),
                }
            ],
            "torn": [position.seq + 1, top] if top > position.seq else None,
        }
        draft = Draft("journal_note", JOURNAL_TYPE, payload=encode_payload(note), summary="torn tail")
        self._append([draft], position, author, skipped=top - position.seq)
        self._catch_up()
        return self._ready_position()

    def _roll(self, position: Position) -> Position:
        self._log.sync(position)  # nothing may stand behind a tail that is not on disk [J7]
        previous = [{"origin": p.origin, "last_seq": p.last_seq, "c": p.c, "t": p.t} for p in self.file.previous]
        position = self._log.roll(position, self.origin, previous)
        self._files.sync(self.machine.boot_id)
        return position

    # --- catching up ---

    def _index(self) -> Index:
        if self._cache is None:
            self._cache = Index(self.folder / "index.sqlite3")
        return self._cache

    def _known_seq(self) -> int:
        """The highest seq anything outside the log remembers [J11]."""
        position = self._index().position()
        published = self.local().get("published") or {}
        return max(position.seq if position else 0, self._files.watermark().applied_seq, int(published.get("last_seq", 0)))

    def _catch_up(self) -> None:
        """Replay what the caches lack; holds the store lock. LogShorterThanKnown when the log lost records [J11]."""
        index = self._index()
        position = index.position()
        if position is not None and not self._log.fits(position):
            self._drop_misfit(position)
            index, position = self._index(), None
        if position is None or not self._log.is_at_end(position):
            self._replay(index, position or self._log.start())
        position = self._ready_position()
        known = self._known_seq()
        if position.seq < known:
            raise LogShorterThanKnown(
                f"the log ends at seq {position.seq}, but seq {known} was written", path=self._log.folder, seq=known, rule="J11"
            )
        if self._files.behind(self.machine.boot_id) < position.seq:
            self._write_files(position.seq)

    def _drop_misfit(self, position: Position) -> None:
        end = self._log.start().seq
        for gap in self._log.gaps(self._log.start()):
            end = gap.position.seq
        if end < position.seq:
            raise LogShorterThanKnown(
                f"the log ends at seq {end}, but seq {position.seq} was written",
                path=self._log.folder,
                seq=position.seq,
                rule="J11",
            )
        self.close()
        drop(self.folder / "index.sqlite3")

    def _replay(self, index: Index, position: Position) -> None:
        self._log.sync(self._log_end(position))  # found, not written by us: durable before the index speaks of it [J7]
        for gap in self._log.gaps(position, self._known_seq()):
            heads = [
                head_of(entry, gap.segment.first_seq, gap.origin)
                for entry in gap.entries
                if not entry.void and changes_entity(entry.record)
            ]
            torn = [(gap.segment.first_seq, bad.offset, bad.end, bad.broken) for bad in gap.bad]
            index.apply(heads, gap.position, torn)

    def _log_end(self, position: Position) -> Position:
        return position._replace(segment=self._log.segments()[-1].first_seq)

    def _write_files(self, applied_seq: int) -> None:
        heads = self._index().heads_after(self._files.behind(self.machine.boot_id))
        self._files.write(list(heads), self._payload)
        self._files.mark(applied_seq, self.machine.boot_id)

    def refresh(self) -> None:
        """Bring the caches up to the log before reading; when that cannot be, say so in `stale` and go on."""
        self.stale = None
        position = self._index().position()
        if position is not None and self._log.is_at_end(position):
            if self._files.behind(self.machine.boot_id) >= position.seq:
                return
        try:
            with self.disk.lock(self.folder / "journal.lock", _READ_LOCK_SECONDS):
                self._catch_up()
        except StoreLocked:
            self.stale = "another process is writing"
        except (DamagedStore, FormatTooNew, DiskFailed) as error:
            self.stale = str(error)

    # --- reading ---

    def head(self, item_type: str, item_id: str) -> LocalHead | None:
        """The newest local record of an entity, tombstones included, as the index has it."""
        return self._index().head(item_type, item_id)

    def heads(self, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], LocalHead]:
        """The newest local records of many entities; those that never were here are left out."""
        return self._index().heads(keys)

    def get(self, item_type: str, item_id: str) -> Entity:
        """A live entity with its payload; NoSuchEntity when there is none."""
        self.refresh()
        head = self.head(item_type, item_id)
        payload = None if head is None or head.deleted else self._payload(head)
        if head is None or payload is None:
            raise NoSuchEntity(f"no entity {item_type}/{item_id}")
        return Entity(head, payload)

    def get_rev(self, item_type: str, item_id: str, entity_rev: int) -> tuple[Record, str]:
        """The record that made one rev of an entity, and the origin it was written under; NoSuchEntity otherwise."""
        for gap in self.gaps():
            for entry in gap.entries:
                record = entry.record
                if not entry.void and (record.item_type, record.item_id, record.entity_rev) == (item_type, item_id, entity_rev):
                    return record, gap.origin
        raise NoSuchEntity(f"no rev {entity_rev} of {item_type}/{item_id}")

    def list(self, type: str | None = None, *, deleted: bool = False) -> list[LocalHead]:
        """Heads of live entities by type and id; with `deleted` the tombstones too."""
        self.refresh()
        return [head for head in self._index().all_heads(type) if deleted or not head.deleted]

    def log(self, since: int = 0, *, last: int | None = None) -> Iterator[Record]:
        """Records after seq `since`, oldest first; with `last` only that many of the newest. Void ones are left out."""
        found = (e.record for gap in self.gaps(self._log.position_at(since)) for e in gap.entries if not e.void)
        newer = (record for record in found if record.seq > since)
        return newer if last is None else iter(deque(newer, maxlen=last))

    def gaps(self, after: Position | None = None) -> Iterator[Gap]:
        """The log behind a position, segment by segment, with void records and bad ranges: for publishing and verify."""
        return self._log.gaps(after or self._log.start())

    def position(self) -> Position:
        """How far the caches have applied the log; callers may keep it and come back for what is new."""
        return self._index().position() or self._log.start()

    def fits(self, position: Position) -> bool:
        """Whether a kept position is still one of this log."""
        return self._log.fits(position)

    def position_at(self, seq: int) -> Position:
        """A position at or before a seq, at the start of a segment."""
        return self._log.position_at(seq)

    def payload_bytes(self, head: LocalHead) -> bytes | None:
        """The payload of a head as it stands in the log; None for a tombstone or a redacted record."""
        record = self._record_at(head.place)
        if record.seq != head.seq or record.c != head.c:
            raise DamagedStore("not the line the index speaks of", path=self.folder / "journal", seq=head.seq, rule="J11")
        return record.payload_bytes

    def _record_at(self, place: Place) -> Record:
        try:
            return decode_record(self._log.line_at(place))
        except JournalError as error:
            error.path = error.path or str(self._log.folder / f"seg-{place.segment:08d}.jsonl")
            raise

    def _payload(self, head: LocalHead) -> dict[str, Any] | None:
        data = self.payload_bytes(head)
        return None if data is None else json.loads(data)

    # --- caches ---

    def rebuild(self) -> None:
        """Delete index and projections and make them again from the log.

        LogShorterThanKnown when they remember more than the log holds: then nothing is deleted [J11].
        """
        with self.lock():
            known = self._known_seq()
            end = self._log.start().seq
            for gap in self._log.gaps(self._log.start(), known):
                end = gap.position.seq
            if end < known:
                raise LogShorterThanKnown(
                    f"the log ends at seq {end}, but seq {known} was written", path=self._log.folder, seq=known, rule="J11"
                )
            self.close()
            drop(self.folder / "index.sqlite3")
            self._files.forget()
            self._catch_up()
            live = {self._files.path(head) for head in self._index().all_heads() if not head.deleted}
            self._files.remove_strays(live)

    def bad_ranges(self) -> Iterable[tuple[int, int, int, bool]]:
        """Byte ranges of the log that belong to no record: (segment, offset, end, broken)."""
        return self._index().bad_ranges()

    @property
    def entity_files(self) -> EntityFiles:
        """The projections, for verification."""
        return self._files

    @property
    def segments(self) -> Log:
        """The log, for verification."""
        return self._log


def find_store(start: Path) -> Path:
    """The `.eventsync` folder of a directory or of the nearest one above it; NotAStore when there is none."""
    start = start.absolute()
    for folder in (start, *start.parents):
        if folder.name == STORE_FOLDER and (folder / identity.STORE_FILE).exists():
            return folder
        if (folder / STORE_FOLDER / identity.STORE_FILE).exists():
            return folder / STORE_FOLDER
    raise NotAStore("no store here or above", path=start)


def _blake3(data: bytes) -> str:
    from blake3 import blake3

    return str(blake3(data).hexdigest())


def _line_at(item: Sealed, place: Place) -> Any:
    from journal.codec import Line

    return Line(place.offset, item.line, item.c)


__all__ = ["Committed", "Entity", "InvalidInput", "Mapping", "Store", "find_store"]
