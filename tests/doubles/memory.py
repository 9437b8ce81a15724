"""A remote that lives in memory: the transport for tests of more than one store.

Passes the conformance suite of all transports. A MemoryPlace is shared by the stores that push to it and pull from it;
tests put into `files` what other people and programs might leave there, and make the place vanish or fail.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from federation.errors import SourceUnavailable
from federation.model import FEED_FILE, HEAD_FILE
from federation.transports import Listing, Wanted
from journal import ORIGIN, Disk


class Link(NamedTuple):
    """A symlink that somebody left in the place."""

    target: str


@dataclass
class MemoryPlace:
    """Files by their path in the place, `<origin>/<name>` for those of a feed; `written` lists what publishes wrote."""

    files: dict[str, bytes | Link] = field(default_factory=dict)
    written: list[str] = field(default_factory=list)
    reachable: bool = True


class MemoryTransport:
    """A way to the place. With `fails_after` it breaks down when so many files were made visible."""

    def __init__(self, place: MemoryPlace, *, is_local: bool = False, fails_after: int | None = None) -> None:
        self.is_local = is_local
        self._place = place
        self._left = fails_after

    def create(self) -> None:
        """Nothing is needed but the place itself."""
        self._reach()

    def origins(self) -> Listing:
        """The origins that have a head."""
        self._reach()
        origins, ignored = [], 0
        for name in {path.partition("/")[0] for path in self._place.files}:
            if not ORIGIN.fullmatch(name) or name in self._place.files:
                ignored += 1
                continue
            feed = self._feed(name)
            known = {file for file, content in feed.items() if FEED_FILE.fullmatch(file) and isinstance(content, bytes)}
            outside = {file.partition("/")[0] for file in feed} - {file.partition("/")[0] for file in known}
            ignored += len({file for file in outside if file != "blobs" or file in feed})
            if HEAD_FILE in known:
                origins.append(name)
        return Listing(tuple(sorted(origins)), ignored)

    def fetch(self, origin: str, wanted: Sequence[Wanted], into: Path) -> tuple[str, ...]:
        """Write what can be had into a folder."""
        self._reach()
        feed = self._feed(origin) if ORIGIN.fullmatch(origin) else {}
        had = []
        for name, max_bytes in wanted:
            content = feed.get(name) if FEED_FILE.fullmatch(name) else None
            if isinstance(content, bytes) and len(content) <= max_bytes:
                Disk().make_folder((into / name).parent)
                (into / name).touch(mode=0o600)
                (into / name).write_bytes(content)
                had.append(name)
        return tuple(had)

    def kept(self, origin: str) -> None:
        """Nothing to remember."""

    def missing(self, origin: str, folder: Path, names: Sequence[str]) -> tuple[str, ...]:
        """What is not there, or not with our size."""
        self._reach()
        there = self._feed(origin)
        sizes = {name: len(content) for name, content in there.items() if isinstance(content, bytes)}
        return tuple(name for name in names if sizes.get(name) != Disk().size(folder / name))

    def publish(self, origin: str, folder: Path, names: Sequence[str], keep: frozenset[str]) -> None:
        """Write what is new, the head last; then remove what nobody lists."""
        self._reach()
        if not ORIGIN.fullmatch(origin) or HEAD_FILE not in names or not all(map(FEED_FILE.fullmatch, names)):
            raise ValueError(f"no feed to publish: {origin!r}, {names!r}")
        for name in [*(name for name in names if name != HEAD_FILE), HEAD_FILE]:
            content = Disk().read(folder / name)
            there = self._feed(origin).get(name)
            if name == HEAD_FILE or not isinstance(there, bytes) or len(there) != len(content):
                self._write(f"{origin}/{name}", content)
        for name in self._feed(origin):
            if FEED_FILE.fullmatch(name) and name not in {*names, *keep}:
                del self._place.files[f"{origin}/{name}"]

    def publish_anew(self, origin: str, folder: Path, names: Sequence[str], keep: frozenset[str]) -> bool:
        """The same: what was removed is nowhere."""
        self.publish(origin, folder, names, keep)
        return True

    def _reach(self) -> None:
        if not self._place.reachable:
            raise SourceUnavailable("is gone", path="memory")

    def _feed(self, origin: str) -> Mapping[str, bytes | Link]:
        """What lies in an origin's folder, and in the folders in it."""
        files = self._place.files.items()
        return {path.removeprefix(f"{origin}/"): content for path, content in files if path.startswith(f"{origin}/")}

    def _write(self, path: str, content: bytes) -> None:
        if self._left == 0:
            raise SourceUnavailable("broke down", path=path)
        if self._left is not None:
            self._left -= 1
        self._place.files[path] = content
        self._place.written.append(path)
