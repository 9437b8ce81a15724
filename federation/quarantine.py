"""Quarantine: bytes of feeds that were refused, with the reason, so that people can see what somebody tried.

For people only: nothing is ever read from here into mirrors or inbox, and all of it can be deleted. Written under the
lock, after all limits, as regular files, and small: the same bytes again are counted, and where there is too much the
oldest go first. A feed that is only incomplete is not kept: it is probably still being copied.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from blake3 import blake3

from federation.model import FEED_FILE, HEAD_FILE, Refusal, Result
from journal import ORIGIN, Disk, JournalError

REASON_FILE: Final = "reason.json"
KEPT_RESULTS: Final = frozenset([Result.REFUSED, Result.FORK])


class Room(NamedTuple):
    """How much is kept at most."""

    entry_bytes: int = 32 * 1024 * 1024  # a head and at least one slice of the largest kind fit
    origin_bytes: int = 64 * 1024 * 1024
    total_bytes: int = 256 * 1024 * 1024
    origin_entries: int = 16
    total_entries: int = 256


class Quarantined(NamedTuple):
    """One refused feed as it is kept. Everything but path, sizes and times may hold foreign text."""

    origin: str
    path: Path
    files: tuple[str, ...]
    size_bytes: int
    first_at: str  # times in UTC, as records have them; "" in an entry that cannot be read
    last_at: str
    times: int  # how often these very bytes were met
    remote: str  # where they stood last: a name, or a URL without secrets [R2]
    result: str
    rule: str
    message: str


class Quarantine:
    """The quarantine of one store."""

    def __init__(self, disk: Disk, federation_folder: Path, room: Room | None = None) -> None:
        self._disk = disk
        self.folder = federation_folder / "quarantine"
        self._room = room or Room()
        self._kept: dict[Path, Quarantined] | None = None

    def entries(self, origin: str | None = None) -> list[Quarantined]:
        """What is kept, of one origin or of all, the oldest first; one whose reason cannot be read says so."""
        found = [entry for entry in self._known().values() if origin in (None, entry.origin)]
        return sorted(found, key=lambda entry: (entry.last_at, entry.path))

    def keep(self, origin: str, staging: Path, refusal: Refusal, *, remote: str, now: str) -> Quarantined | None:
        """Keep what was fetched of a refused feed; the same bytes again are only counted. The caller holds the lock.

        Not durable. None when there is nothing to keep. DiskFailed leaves at most an entry without a reason.
        """
        if not ORIGIN.fullmatch(origin) or refusal.result not in KEPT_RESULTS:
            return None
        files = dict(self._that_fit(staging, refusal))
        if not files:
            return None
        path = self.folder / origin / _digest(files)
        before = self._known().get(path)
        if before is None or not before.times:
            self._disk.make_folder(path)
            for name, data in files.items():
                self._disk.replace(path / name, data)
        entry = Quarantined(
            origin,
            path,
            tuple(files),
            sum(map(len, files.values())),
            now if before is None else before.first_at or now,
            now,
            1 if before is None else before.times + 1,
            remote,
            str(refusal.result),
            refusal.rule,
            str(refusal),
        )
        self._disk.replace(path / REASON_FILE, _reason(entry, refusal))
        self._known()[path] = entry
        self._make_room(entry)
        return entry

    def drop(self, origin: str) -> None:
        """Remove all that is kept of an origin."""
        for entry in self.entries(origin):
            self._remove(entry)

    # --- inside ---

    def _that_fit(self, staging: Path, refusal: Refusal) -> Iterator[tuple[str, bytes]]:
        """The head, what the refusal is about, and then the other files of a feed, as long as there is room."""
        left = self._room.entry_bytes
        about = (refusal.path or "").rpartition("/")[2]
        names = [name for name in self._disk.names(staging) if FEED_FILE.fullmatch(name)]
        for name in sorted(names, key=lambda name: (name != HEAD_FILE, name != about, name)):
            size = self._disk.size(staging / name)
            if size is not None and size <= left:
                left -= size
                yield name, self._disk.read(staging / name)

    def _known(self) -> dict[Path, Quarantined]:
        if self._kept is None:
            self._kept = {entry.path: entry for entry in self._looked_up()}
        return self._kept

    def _looked_up(self) -> Iterator[Quarantined]:
        for origin in sorted(self._disk.each_name(self.folder)):
            for name in sorted(self._disk.each_name(self.folder / origin)):
                yield self._read(origin, self.folder / origin / name)

    def _read(self, origin: str, path: Path) -> Quarantined:
        names = sorted(self._disk.each_name(path))
        size = sum(self._disk.size(path / name) or 0 for name in names if name != REASON_FILE)
        try:
            value = json.loads(self._disk.read(path / REASON_FILE))
            texts = [str(value[key]) for key in ("remote", "result", "rule", "message")]
            files = tuple(name for name in names if name != REASON_FILE)
            return Quarantined(
                origin, path, files, size, str(value["first_at"]), str(value["last_at"]), int(value["times"]), *texts
            )
        except (JournalError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
            return Quarantined(origin, path, tuple(names), size, "", "", 0, "", "", "", "its reason cannot be read")

    def _make_room(self, newest: Quarantined) -> None:
        """Let the oldest go until what is left fits, first of the same origin, then of all; never the newest."""
        room = self._room
        self._fit(newest.origin, newest, room.origin_bytes, room.origin_entries)
        self._fit(None, newest, room.total_bytes, room.total_entries)

    def _fit(self, origin: str | None, newest: Quarantined, max_bytes: int, max_entries: int) -> None:
        found = self.entries(origin)
        size, count = sum(entry.size_bytes for entry in found), len(found)
        for entry in found:
            if size <= max_bytes and count <= max_entries:
                return
            if entry.path != newest.path:
                self._remove(entry)
                size, count = size - entry.size_bytes, count - 1

    def _remove(self, entry: Quarantined) -> None:
        self._disk.remove_tree(entry.path)
        self._known().pop(entry.path, None)
        if not self.entries(entry.origin):
            self._disk.remove_tree(entry.path.parent)


def _digest(files: Mapping[str, bytes]) -> str:
    told: Sequence[str] = [f"{name} {blake3(data).hexdigest()}" for name, data in sorted(files.items())]
    return blake3("\n".join(told).encode()).hexdigest()[:12]


def _reason(entry: Quarantined, refusal: Refusal) -> bytes:
    value: dict[str, Any] = {
        "origin_store_id": entry.origin,
        "first_at": entry.first_at,
        "last_at": entry.last_at,
        "times": entry.times,
        "remote": entry.remote,
        "result": entry.result,
        "rule": entry.rule,
        "message": entry.message,
        "path": refusal.path,
        "line": refusal.line,
        "seq": refusal.seq,
        "files": list(entry.files),
    }
    return json.dumps(value, indent=2).encode() + b"\n"
