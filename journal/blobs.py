"""Blobs: payloads too long for a line, each in a file named by its BLAKE3.

    journal/blobs/ab/ab<62 hex>

A blob is durable before the record that refers to it is written [J13]; what is the same content is one file, however
many records refer to it. One that nothing refers to was left by a crash: it does no harm, and nothing here removes it.
Content is checked at each read: a blob that is missing or wrong is an error of the record that needs it, and of no
other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from journal.codec import blob_ref
from journal.disk import Disk, is_temporary
from journal.errors import DamagedStore
from journal.model import MAX_INLINE_BYTES, BlobRef, Draft

_FOLDER: Final = re.compile(r"[0-9a-f]{2}", re.ASCII)
_NAME: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)


class Blobs:
    """The blobs in one folder. Who writes or removes holds the store lock."""

    def __init__(self, disk: Disk, folder: Path) -> None:
        self._disk = disk
        self.folder = folder

    def path(self, digest: str) -> Path:
        """Where the content with that BLAKE3 (64 hex) stands."""
        return self.folder / digest[:2] / digest

    def read(self, ref: BlobRef) -> bytes:
        """The content that a record refers to; DamagedStore names the file when it is missing or another.

        Reads no more bytes than the record says, and none when the file has another size.
        """
        path = self.path(ref.blake3)
        size = self._disk.size(path)
        if size is None:
            raise DamagedStore("the blob is missing", path=path, rule="J13")
        data = self._disk.read(path, 0, ref.size_bytes) if size == ref.size_bytes else b""
        if blob_ref(data) != ref:
            raise DamagedStore("the blob is damaged", path=path, rule="J13")
        return data

    def write(self, data: bytes) -> BlobRef:
        """Keep content, durably, and return the reference to it. What stands there already and is good stays."""
        ref = blob_ref(data)
        path = self.path(ref.blake3)
        if self._is_there(ref):
            self._disk.sync(path)  # by whomever it was written, and whether or not they lived to sync it
            self._disk.sync_folder(path.parent)
        else:
            self._disk.make_folder(path.parent)
            for name in filter(is_temporary, self._disk.names(path.parent)):
                self._disk.remove(path.parent / name)  # of one who was killed: we hold the lock
            self._disk.replace_durably(path, data)
        self._disk.sync_folder(self.folder)
        self._disk.sync_folder(self.folder.parent)
        return ref

    def settle(self, drafts: Iterable[Draft]) -> None:
        """Make durable what drafts that are about to be written refer to.

        DamagedStore when one names a blob that is not there. What was written before that stays.
        """
        for draft in drafts:
            if draft.payload is not None and len(draft.payload) > MAX_INLINE_BYTES:
                self.write(draft.payload)
            elif draft.blob is not None and self._disk.size(self.path(draft.blob.blake3)) != draft.blob.size_bytes:
                raise DamagedStore("the blob is missing", path=self.path(draft.blob.blake3), rule="J13")

    def names(self) -> Iterator[str]:
        """The digests of all blobs that are here, in no order; other files are passed over."""
        return (path.name for path in self._files() if path == self.path(path.name) and _NAME.fullmatch(path.name))

    def left_over(self) -> Iterator[Path]:
        """What interrupted writes left behind."""
        return (path for path in self._files() if is_temporary(path.name))

    def _files(self) -> Iterator[Path]:
        for folder in self._disk.each_name(self.folder):
            if _FOLDER.fullmatch(folder) and self._disk.is_folder(self.folder / folder):
                yield from (self.folder / folder / name for name in self._disk.each_name(self.folder / folder))

    def remove(self, digest: str) -> None:
        """Remove content, durably; fine when it is not there. Only when no record refers to it any more."""
        path = self.path(digest)
        if self._disk.is_folder(path.parent):
            self._disk.remove(path)
            self._disk.sync_folder(path.parent)  # what was redacted must not come back [F9]

    def _is_there(self, ref: BlobRef) -> bool:
        try:
            return bool(self.read(ref))
        except DamagedStore:
            return False
