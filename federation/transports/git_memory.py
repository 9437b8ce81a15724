"""What we remember of a git remote: for each origin the commit whose feed we hold, and its head.json.

A cache: without it a transfer brings everything once more. Nothing is believed because of it: a commit is named by what
it holds, and a head counts only while it hashes to the id that stands in that commit.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any, Final, NamedTuple

from federation.transports.git_job import Entry, entries_of
from journal import ORIGIN, Disk

_COMMIT: Final = ".json"
_HEAD: Final = ".head"
_TREE: Final = ".tree"
_KEY_DIGITS: Final = 16
_ID: Final = re.compile(r"[0-9a-f]{40}", re.ASCII)


class Remembered(NamedTuple):
    """A commit whose feed we hold, and the id of the head.json in it."""

    commit: str
    head_id: str


class Memory:
    """A folder with small files for each origin, for one remote."""

    def __init__(self, disk: Disk, folder: Path, place: str) -> None:
        """`place` is what tells this remote from others; it must hold no secret."""
        self._disk = disk
        self.folder = folder / hashlib.sha256(place.encode()).hexdigest()[:_KEY_DIGITS]
        self._known: dict[str, Remembered | None] = {}

    def commits(self) -> dict[str, str]:
        """The commit that is remembered of each origin."""
        if not self._disk.is_folder(self.folder):
            return {}
        names = [name.removesuffix(_COMMIT) for name in self._disk.names(self.folder) if name.endswith(_COMMIT)]
        found = {origin: self.of(origin) for origin in names if ORIGIN.fullmatch(origin)}
        return {origin: remembered.commit for origin, remembered in found.items() if remembered is not None}

    def of(self, origin: str) -> Remembered | None:
        """What is remembered of an origin; None when there is nothing, or nothing that can be read."""
        if origin not in self._known:
            value = self._read(origin + _COMMIT) or {}
            found = Remembered(str(value.get("commit")), str(value.get("head_id")))
            self._known[origin] = found if all(map(_ID.fullmatch, found)) else None
        return self._known[origin]

    def head(self, origin: str, head_id: str) -> bytes | None:
        """The head.json with that id, if it is the one that is remembered."""
        data = self._disk.read_if_there(self.folder / (origin + _HEAD))
        return data if data is not None and blob_id(data) == head_id else None

    def entries(self, origin: str, commit: str) -> tuple[Entry, ...] | None:
        """The tree of that commit, if it is one that we published last."""
        value = self._read(origin + _TREE)
        if value is None or value.get("commit") != commit:
            return None
        return entries_of(value["entries"])

    def keep(self, origin: str, commit: str, head: bytes) -> None:
        """Remember a commit; called when its feed is durable here, or there."""
        remembered = Remembered(commit, blob_id(head))
        if self.of(origin) == remembered:
            return
        self._disk.make_folder(self.folder)
        self._disk.replace(self.folder / (origin + _HEAD), head)
        self._write(origin + _COMMIT, remembered._asdict())
        self._known[origin] = remembered

    def keep_published(self, origin: str, commit: str, head: bytes, entries: tuple[Entry, ...]) -> None:
        """Remember a commit that we made, and its tree."""
        self.keep(origin, commit, head)
        self._write(origin + _TREE, {"commit": commit, "entries": entries})

    def _read(self, name: str) -> dict[str, Any] | None:
        """What a power cut left of a file is as good as nothing: none of them is durable."""
        data = self._disk.read_if_there(self.folder / name)
        try:
            value = None if data is None else json.loads(data)
        except ValueError:
            return None
        return value if isinstance(value, dict) else None

    def _write(self, name: str, value: dict[str, Any]) -> None:
        self._disk.replace(self.folder / name, json.dumps(value, separators=(",", ":")).encode() + b"\n")


def blob_id(data: bytes) -> str:
    """The name that git gives to the content of a file."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
