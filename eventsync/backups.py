"""Backups: copies of what doctor is about to change, each durable before the change.

    .eventsync/backups/doctor-<time>/<the file's place in the store>

The folder is made when the first copy is. Nothing ever reads it, but people; a redaction removes it, since what was
redacted may stand there [J16].
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from journal import BACKUPS_FOLDER

if TYPE_CHECKING:
    from journal import Store

_CHUNK_BYTES: Final = 1024 * 1024


class Backup:
    """The copies of one run."""

    def __init__(self, store: Store) -> None:
        self._store = store
        stamp = store.machine.now().replace(":", "").replace("-", "")
        self.folder = store.folder / BACKUPS_FOLDER / f"doctor-{stamp}"
        self.is_used = False

    def keep(self, path: Path) -> None:
        """Copy a file of the store, durably; the first copy of each stays. DiskFailed: then nothing may be changed."""
        disk = self._store.disk
        target = self.folder / path.relative_to(self._store.folder)
        if disk.size(path) is None or disk.size(target) is not None:
            return
        disk.make_folder_durably(target.parent)
        disk.stream_durably(target, disk.chunks(path, _CHUNK_BYTES))
        self.is_used = True
