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
MIB: Final = 1024 * 1024
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


def delta_sizes(base: int, result: int) -> bytes:
    """The two sizes at the start of a delta."""

    def number(value: int) -> bytes:
        out = bytearray()
        while value > 0x7F:
            out.append(value & 0x7F | 0x80)
            value >>= 7
        return bytes([*out, value])

    return number(base) + number(result)


def bombs(before: Sequence[bytes], base: str) -> dict[str, bytes]:
    """Packs that mean harm, for a place of which 4 MiB are taken at once.

    In each, the objects `before` stand in front of the bad part; `base` is the id of one of them, of one byte.
    """
    zeros = zlib.compress(b"\0" * (3 * MIB), 9)
    return {
        "an object that says it is huge": pack([*before, header(BLOB, 10**12) + zeros]),
        "an object that is larger than it says": pack([*before, header(BLOB, 1_000) + zeros]),
        "an object that is smaller than it says": pack([*before, packed(BLOB, b"x", size=1_000)]),
        "objects that inflate to more than is taken": pack([*before, *[header(BLOB, 3 * MIB) + zeros] * 3]),
        "a delta that becomes huge": pack(
            [*before, packed(REF_DELTA, delta_sizes(1, 10**12) + b"\x01x", between=bytes.fromhex(base))]
        ),
        "a delta that says less than it becomes": pack(
            [*before, packed(REF_DELTA, delta_sizes(1, 1) + b"\x90\x01" * 500_000, between=bytes.fromhex(base))]
        ),
        "a delta of an object that is not there": pack(
            [*before, packed(REF_DELTA, delta_sizes(1, 1) + b"\x01x", between=b"\7" * 20)]
        ),
        "a delta of itself": pack([*before, packed(OFS_DELTA, delta_sizes(1, 1) + b"\x01x", between=b"\0")]),
        "a delta of what stands before the pack": pack(
            [*before, packed(OFS_DELTA, delta_sizes(1, 1) + b"\x01x", between=b"\xff\xff\x7f")]
        ),
        "an empty delta": pack([*before, packed(REF_DELTA, b"", between=bytes.fromhex(base))]),
        "a kind that does not exist": pack([*before, packed(5, b"x")]),
        "more objects than there are": pack(before, count=1_000),
        "four billion objects": pack(before, count=2**32 - 1),
        "fewer objects than there are": pack(before, count=1),
        "a pack that is cut": pack(before)[:-30],
        "a sum that is wrong": pack(before)[:-1] + b"\0",
        "a pack of another version": b"PACK\0\0\0\x09" + b"\0" * 24,
        "no pack": b"<html>hello</html>" * 10,
        "one byte": b"P",
    }


def objects_of(files: Sequence[tuple[int, bytes]]) -> list[bytes]:
    return [packed(kind, content) for kind, content in files]


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
