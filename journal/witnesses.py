"""Witnesses: what is known of the log outside the log, and how far each of them says that it went [J11].

A log that ends before any of them lost records. Looked at before the log is, so that the log holds all they speak of.
Reads only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple

from journal import identity
from journal.caches import INDEX_FILE
from journal.checkpoints import Checkpoints
from journal.cursors import Cursor, Cursors
from journal.disk import Disk, is_temporary
from journal.entity_files import WATERMARK_FILE, EntityFiles, Watermark
from journal.errors import CacheUnreadable, DamagedStore, DiskFailed
from journal.findings import Findings
from journal.index import Index, Position
from journal.log import Log

_INDEX: Final = "the index"
WATERMARK: Final = "the watermark of the projections"
_CHECKPOINT: Final = "a checkpoint"
PUBLISH: Final = "the last publish"


class Remembered(NamedTuple):
    """What is known of the log outside the log, as it was before the log was looked at."""

    folder: Path
    cache: Index | None
    position: Position | None
    mark: Watermark
    published: dict[str, Any]
    cursors: dict[Path, Cursor]
    checkpoint_seq: int

    @property
    def seqs(self) -> dict[str, int]:
        """The highest seq that each of them remembers."""
        return {
            _INDEX: 0 if self.position is None else self.position.seq,
            WATERMARK: self.mark.applied_seq,
            _CHECKPOINT: self.checkpoint_seq,
            PUBLISH: identity.published_seq({"published": self.published}),
            **{f"reader {path.stem}": cursor.seq for path, cursor in self.cursors.items()},
        }

    @property
    def paths(self) -> dict[str, Path]:
        """Where each of them is kept."""
        return {
            _INDEX: self.folder / INDEX_FILE,
            WATERMARK: self.folder / WATERMARK_FILE,
            _CHECKPOINT: self.folder / "journal" / "checkpoints",
            PUBLISH: self.folder / identity.LOCAL_FILE,
            **{f"reader {path.stem}": path for path in self.cursors},
        }

    @property
    def anchors(self) -> dict[int, str]:
        """Seq → c, where one of them knows both: what the log must be there."""
        found = {cursor.seq: cursor.c for cursor in self.cursors.values()}
        if isinstance(self.published.get("c"), str):
            found[self.seqs[PUBLISH]] = self.published["c"]
        if self.position is not None:
            found[self.position.seq] = self.position.c.hex()
        return found

    def close(self) -> None:
        """Let go of the index."""
        if self.cache is not None:
            self.cache.close()


def remember(disk: Disk, folder: Path, log: Log, checkpoints: Checkpoints, found: Findings) -> Remembered:
    """Ask all of them; what cannot be read is a finding, and remembers nothing. The caller closes what is returned."""
    files, mark = EntityFiles(disk, folder), Watermark()
    try:
        mark = files.watermark()
    except DamagedStore as error:
        found.add("projections-behind", "warning", error.message, path=files.mark_path, fixable=True)
    cursors: dict[Path, Cursor] = {}
    for path, cursor in Cursors(disk, folder, log).all():
        if isinstance(cursor, Cursor):
            cursors[path] = cursor
        else:
            found.add_error("cursor-unreadable", cursor)
    for path in Cursors(disk, folder, log).strays():
        is_left = is_temporary(path.name)
        text = "left behind by an interrupted write" if is_left else "no cursor: it is not read"
        found.add("stray-file", "info", text, path=path, fixable=is_left)
    published: dict[str, Any] = {}
    try:
        kept = identity.read_local(disk, folder).get("published")
        published = kept if isinstance(kept, dict) else {}
    except DamagedStore as error:
        found.add_error("identity", error)
    index, position = None, None
    try:
        index = Index.look(disk, folder / INDEX_FILE)
        position = None if index is None else index.position()
        if index is not None:
            index.check()
    except (CacheUnreadable, DiskFailed) as error:
        found.add("index-unreadable", "warning", error.message, path=error.path, fixable=True)
        index, position = None, None
    return Remembered(folder, index, position, mark, published, cursors, checkpoints.known_seq())
