"""Blobs of a feed: payloads that stand beside its slices, packed, each under the BLAKE3 of its content [J13].

    blobs/ab/ab<62 hex>.zst

Nobody signs them: a signed line names a blob by its hash, and so whatever has that hash is what was signed. What is
read here was checked, every time. One that is missing or wrong is an error of the records that refer to it alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from federation.errors import BlobUnreadable
from federation.model import MAX_SLICE_FILE_BYTES, blob_file
from federation.nesting import nests_too_deep
from federation.packing import pack, unpack
from federation.transports import Wanted
from journal import BlobRef, Disk, JournalError, blob_ref, has_too_many_values, is_temporary, parse_blob_ref

_PACKING_BYTES: Final = 64 * 1024  # what packing may add to content that cannot be made smaller
_HINT: Final = b"payload_ref"


class _Line(msgspec.Struct):
    payload_ref: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Object(msgspec.Struct):
    """Any JSON object: all its keys are passed over, so that nothing is made of them."""


_decode_line: Final = msgspec.json.Decoder(_Line).decode
_decode_object: Final = msgspec.json.Decoder(_Object).decode


def ref_in(line: bytes) -> BlobRef | None:
    """Where the payload of a feed line stands when it is not in the line; None for all other lines."""
    if _HINT not in line:
        return None
    try:
        found = _decode_line(line).payload_ref
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return None if found is msgspec.UNSET else parse_blob_ref(found)


def refs_in(raw: bytes, lines: Iterable[bytes]) -> frozenset[BlobRef]:
    """Those of lines of a slice, which is `raw`: in most slices there is none, and one look tells."""
    return frozenset(ref for line in lines if (ref := ref_in(line)) is not None) if _HINT in raw else frozenset()


def wanted(ref: BlobRef) -> Wanted:
    """How a blob is asked for."""
    return Wanted(blob_file(ref.blake3), min(ref.size_bytes + _PACKING_BYTES, MAX_SLICE_FILE_BYTES))


def unpacked(packed: bytes, ref: BlobRef) -> bytes | None:
    """The content of a packed blob, when it is what a line refers to; memory is bounded by what the line says."""
    data = unpack(packed, ref.size_bytes)
    return data if data is not None and blob_ref(data) == ref else None


def is_payload(data: bytes) -> bool:
    """Whether content is a JSON object that may be read: not too deep, and of no more values than a payload may have.

    Nothing is made of it, so that nobody's bytes take more memory than they are.
    """
    try:
        _decode_object(data)
        text = data.decode("utf-8")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return not has_too_many_values(data) and not nests_too_deep(text)


class FeedBlobs:
    """The blobs in the folder of one feed, our own or a mirror."""

    def __init__(self, disk: Disk, feed_folder: Path) -> None:
        self._disk = disk
        self._folder = feed_folder

    def path(self, digest: str) -> Path:
        """Where the content with that BLAKE3 stands."""
        return self._folder / blob_file(digest)

    def is_there(self, digest: str) -> bool:
        """Whether there is a file for it; what it holds is not looked at."""
        return self._disk.size(self.path(digest)) is not None

    def files(self) -> Iterator[Path]:
        """All files where blobs stand, left-over ones too, in no order."""
        root = self.path("00").parent.parent
        for folder in self._disk.each_name(root):
            if self._disk.is_folder(root / folder):
                yield from (root / folder / name for name in self._disk.each_name(root / folder))

    def read(self, ref: BlobRef) -> bytes:
        """The content that a line refers to; BlobUnreadable names the file when it is missing or another."""
        path = self.path(ref.blake3)
        size = self._disk.size(path)
        if size is None:
            raise BlobUnreadable("the payload is not here", path=path, rule="J13")
        try:
            packed = self._disk.read(path) if size <= wanted(ref).max_bytes else b""
        except JournalError as error:
            raise BlobUnreadable(f"the payload {error.message}", path=path, rule="J13") from error
        data = unpacked(packed, ref)
        if data is None:
            raise BlobUnreadable("the payload is not what its record refers to", path=path, rule="J13")
        return data

    def is_good(self, ref: BlobRef) -> bool:
        """Whether the content is here, whole."""
        try:
            return bool(self.read(ref))
        except BlobUnreadable:
            return False

    def write(self, data: bytes) -> None:
        """Put content here, packed and durably, under the lock; what is good already stays."""
        ref = blob_ref(data)
        path = self.path(ref.blake3)
        self._disk.make_folder_durably(path.parent)
        if self.is_good(ref):
            self._disk.sync(path)  # by whomever it was written, and whether or not they lived to sync it
            self._disk.sync_folder(path.parent)
        else:
            for name in filter(is_temporary, self._disk.names(path.parent)):
                self._disk.remove(path.parent / name)  # of one who was killed: we hold the lock
            self._disk.replace_durably(path, pack(data))

    def take(self, digest: str, packed: Path) -> None:
        """Move a verified file here, durably."""
        path = self.path(digest)
        self._disk.make_folder_durably(path.parent)
        self._disk.sync(packed)  # copied by a transport: durable before the name that counts
        self._disk.move_durably(packed, path)

    def remove(self, digest: str) -> None:
        """Remove content, durably; fine when it is not here. Only when no line of the feed refers to it any more."""
        path = self.path(digest)
        if self._disk.is_folder(path.parent):
            self._disk.remove(path)
            self._disk.sync_folder(path.parent)
