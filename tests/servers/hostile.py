"""A git server that lies: it lists what it is told to, and answers a want with whatever bytes the test made.

Speaks the old protocol, as little of it as a fetch needs. Packs are put together here byte by byte, so that they can be
wrong in any place.
"""

from __future__ import annotations

import hashlib
import socket
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Final

COMMIT: Final = 1
TREE: Final = 2
BLOB: Final = 3
OFS_DELTA: Final = 6
REF_DELTA: Final = 7
_KINDS: Final = {COMMIT: b"commit", TREE: b"tree", BLOB: b"blob"}


def object_id(kind: int, content: bytes) -> str:
    return hashlib.sha1(b"%s %d\0" % (_KINDS[kind], len(content)) + content).hexdigest()


def commit(tree_id: str, message: str = "x") -> bytes:
    who = b"somebody <somebody@localhost> 1700000000 +0000"
    return b"tree %s\nauthor %s\ncommitter %s\n\n%s\n" % (tree_id.encode(), who, who, message.encode())


def tree(entries: Sequence[tuple[int, bytes, str]]) -> bytes:
    return b"".join(b"%o %s\0" % (mode, name) + bytes.fromhex(found) for mode, name, found in entries)


def header(kind: int, size: int) -> bytes:
    """The start of an object in a pack: kind and size, whatever they say."""
    first, rest = (kind << 4) | (size & 15), size >> 4
    out = bytearray()
    while rest:
        out.append(first | 0x80)
        first, rest = rest & 0x7F, rest >> 7
    return bytes([*out, first])


def packed(kind: int, content: bytes, *, size: int | None = None, between: bytes = b"") -> bytes:
    """An object in a pack; `size` is a lie, `between` names the base of a delta."""
    return header(kind, len(content) if size is None else size) + between + zlib.compress(content)


def pack(objects: Sequence[bytes], *, count: int | None = None) -> bytes:
    """A pack with a good sum."""
    body = struct.pack(">4sLL", b"PACK", 2, len(objects) if count is None else count) + b"".join(objects)
    return body + hashlib.sha1(body).digest()


def feed(files: Mapping[str, bytes]) -> tuple[str, list[tuple[int, bytes]]]:
    """A commit over a tree of files, and all its objects."""
    blobs = [(BLOB, content) for content in files.values()]
    raw = tree([(0o100644, name.encode(), object_id(BLOB, content)) for name, content in sorted(files.items())])
    top = commit(object_id(TREE, raw))
    return object_id(COMMIT, top), [(COMMIT, top), (TREE, raw), *blobs]


def line(data: bytes) -> bytes:
    return b"%04x" % (len(data) + 4) + data


class LyingServer:
    """Refs to list, and for each set of commits that is wanted the bytes behind NAK; a missing set is cut off."""

    def __init__(self, refs: Mapping[str, str], answers: Callable[[frozenset[str]], bytes | None]) -> None:
        self._refs, self._answers = refs, answers
        self.wanted: list[frozenset[str]] = []

    def __call__(self, connection: socket.socket) -> None:
        stream = connection.makefile("rwb")
        _read_line(stream)
        rows = [f"{found} {name}" for name, found in sorted(self._refs.items())] or ["0" * 40 + " capabilities^{}"]
        stream.write(line(rows[0].encode() + b"\0shallow ofs-delta\n"))
        stream.write(b"".join(line(row.encode() + b"\n") for row in rows[1:]) + b"0000")
        stream.flush()
        wants = set()
        while (said := _read_line(stream)) is not None:
            wants |= {said.split()[1].decode()} if said.startswith(b"want ") else set()
        if not wants:
            return
        while (said := _read_line(stream)) is not None and said.strip() != b"done":
            pass
        self.wanted.append(frozenset(wants))
        answer = self._answers(frozenset(wants))
        if answer is None:
            return
        stream.write(b"".join(line(b"shallow " + want.encode()) for want in wants) + b"0000" + line(b"NAK\n") + answer)
        stream.flush()


def _read_line(stream: object) -> bytes | None:
    """One line; None for a flush, or when there is no more."""
    size = stream.read(4)  # type: ignore[attr-defined]
    if len(size) < 4 or int(size, 16) < 4:
        return None
    found: bytes = stream.read(int(size, 16) - 4)  # type: ignore[attr-defined]
    return found
