"""Git objects from hostile places: a pack becomes plain bytes in a spool, a commit leads to the files of a feed.

Runs in a worker. The pack is parsed once and dropped; nothing of it stays on this machine. No size is believed before
it is checked: of the pack, of an object, of what a delta says it will become, of all together. In a tree only regular
files (mode 100644) are looked at, and only under names that were asked for: whatever else it says does nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
import tempfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, Protocol

from dulwich.errors import ApplyDeltaError, ChecksumMismatch
from dulwich.objects import ObjectID, Tree
from dulwich.pack import DeltaChainIterator, UnpackedObject, UnresolvedDeltas, unpack_object

from federation.transports.git_job import FOLDER, REGULAR, Caps, Entry, Failure

COMMIT: Final = 1
TREE: Final = 2
BLOB: Final = 3
_DELTAS: Final = (6, 7)  # by offset, by id
_ID_BYTES: Final = 20
_PACK_HEADER: Final = struct.Struct(">4sLL")
_READ_BYTES: Final = 64 * 1024
_MAX_LINES: Final = 200_000  # of a tree with its folders: what is told of it stays small


class Place(NamedTuple):
    """Where an object stands in the spool."""

    kind: int
    offset: int
    size: int


class Spool:
    """Objects one after the other in a file that has no name: it is gone when the last who holds it ends."""

    def __init__(self, descriptor: int, caps: Caps) -> None:
        self._descriptor, self._caps = descriptor, caps
        self._end = 0
        self._places: dict[str, Place] = {}

    def add(self, object_id: str, kind: int, data: bytes) -> None:
        """Keep an object; Failure when that is more than we take."""
        if object_id in self._places:
            return
        if self._end + len(data) > self._caps.inflated_bytes or len(self._places) >= self._caps.objects:
            raise _damaged("more objects than are taken at once")
        with _disk():
            written = 0
            while written < len(data):
                written += os.pwrite(self._descriptor, data[written:], self._end + written)
        self._places[object_id] = Place(kind, self._end, len(data))
        self._end += len(data)

    def kind(self, object_id: str) -> int | None:
        """What kind of object that is."""
        found = self._places.get(object_id)
        return None if found is None else found.kind

    def read(self, object_id: str, kind: int) -> bytes | None:
        """The bytes of an object of that kind."""
        found = self._places.get(object_id)
        if found is None or found.kind != kind:
            return None
        return os.pread(self._descriptor, found.size, found.offset)

    def place(self, entry: Entry) -> Place | None:
        """Where a blob stands."""
        found = self._places.get(entry.id)
        return found if found is not None and found.kind == BLOB else None


def _damaged(what: str) -> Failure:
    return Failure("damaged", what)


@contextlib.contextmanager
def _disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Failure("disk", error.strerror or type(error).__name__) from error


# --- packs -----------------------------------------------------------------------------------------------------------


class Pack:
    """A pack as it comes in: kept in a file without a name until it is complete, never larger than is taken."""

    def __init__(self, folder: Path, caps: Caps) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - close() closes it
        self._caps = caps
        self._size = 0

    def write(self, data: bytes) -> int:
        """Take the next bytes; Failure when they are too many."""
        self._size += len(data)
        if self._size > self._caps.received_bytes:
            raise _damaged(f"more than {self._caps.received_bytes} bytes of objects")
        with _disk():
            return self._file.write(data)

    def close(self) -> None:
        """Drop it."""
        self._file.close()

    def unpack(self, spool: Spool) -> None:
        """Check the pack, and put all its objects into the spool. Failure when it is not a whole pack."""
        if self._size == 0:
            return  # nothing was wanted
        try:
            self._unpack(spool)
        except (zlib.error, ApplyDeltaError, UnresolvedDeltas, ChecksumMismatch) as error:
            raise _damaged(f"a damaged pack: {error}") from error
        except (AssertionError, EOFError, IndexError, KeyError, TypeError, ValueError, struct.error) as error:
            # What the parser of the library does with bytes it did not expect.
            raise _damaged(f"a damaged pack: {type(error).__name__}") from error

    def _unpack(self, spool: Spool) -> None:
        self._check_sum()
        self._file.seek(0)
        signature, version, count = _PACK_HEADER.unpack(self._file.read(_PACK_HEADER.size))
        if signature != b"PACK" or version not in (2, 3):
            raise _damaged("no pack")
        if count > self._caps.objects:
            raise _damaged(f"a pack of {count} objects")
        objects = _Objects(self._file, hashlib.sha1)
        offset, inflated = _PACK_HEADER.size, 0
        for _ in range(count):
            found, offset = self._read_one(offset)
            inflated += found.decomp_len or 0
            if inflated > self._caps.inflated_bytes:
                raise _damaged("objects that inflate to more than is taken at once")
            objects.record(found)
        for object_id, kind, data in objects:
            spool.add(object_id, kind, data)

    def _check_sum(self) -> None:
        """The last bytes are the SHA-1 of all before them: a pack that was cut off ends otherwise."""
        self._file.seek(0)
        digest, left = hashlib.sha1(), self._size - _ID_BYTES
        while left > 0 and (data := self._file.read(min(left, _READ_BYTES))):
            digest.update(data)
            left -= len(data)
        if left != 0 or self._file.read() != digest.digest():
            raise _damaged("a pack that was cut off")

    def _read_one(self, offset: int) -> tuple[UnpackedObject, int]:
        """The object at an offset, and where the next begins; sizes are checked before anything is inflated."""
        self._file.seek(offset)
        size = _declared_size(self._file)
        if size > self._caps.object_bytes:
            raise _damaged(f"an object of {size} bytes")
        self._file.seek(offset)
        found, unused = unpack_object(_reading(self._file), hashlib.sha1)
        found.offset = offset
        if found.pack_type_num in _DELTAS:
            becomes = _delta_result_size(b"".join(found.decomp_chunks))
            if becomes > self._caps.object_bytes:
                raise _damaged(f"an object of {becomes} bytes")
        return found, self._file.tell() - len(unused)


class _Objects(DeltaChainIterator[tuple[str, int, bytes]]):
    """All objects of a pack, deltas applied: (id, kind, bytes)."""

    def _result(self, unpacked: UnpackedObject) -> tuple[str, int, bytes]:
        assert unpacked.obj_type_num is not None and unpacked.obj_chunks is not None
        return unpacked.sha().hex(), unpacked.obj_type_num, b"".join(unpacked.obj_chunks)


def _reading(file: IO[bytes]) -> Callable[[int], bytes]:
    def read(size: int) -> bytes:
        data = file.read(size)
        if not data:
            raise _damaged("a pack that was cut off")
        return data

    return read


def _declared_size(file: IO[bytes]) -> int:
    """The size that the header of an object names: 4 bits, then 7 of each further byte."""
    byte = file.read(1)[0]
    size, shift = byte & 0x0F, 4
    while byte & 0x80:
        byte = file.read(1)[0]
        size |= (byte & 0x7F) << shift
        shift += 7
    return size


def _delta_result_size(delta: bytes) -> int:
    """The second of the two sizes at the start of a delta: what applying it gives."""
    at = 0
    while delta[at] & 0x80:
        at += 1
    size = shift = 0
    for byte in delta[at + 1 :]:
        size |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            break
    return size


# --- trees and commits -----------------------------------------------------------------------------------------------


def tree_of(commit: bytes) -> str | None:
    """The id of a commit's tree."""
    line = commit.partition(b"\n")[0]
    found = line.removeprefix(b"tree ")
    if len(line) != len(b"tree ") + 2 * _ID_BYTES or found == line:
        return None
    with contextlib.suppress(ValueError):
        return bytes.fromhex(found.decode("ascii", "replace")).hex()
    return None


def parse_tree(raw: bytes) -> Iterator[Entry]:
    """The lines of a tree in their order, up to the first that is none."""
    at = 0
    while at < len(raw):
        end = raw.find(b"\0", at)
        mode, space, name = raw[at:end].partition(b" ")
        digest = raw[end + 1 : end + 1 + _ID_BYTES]
        if end < 0 or not space or not mode.isdigit() or len(mode) > 6 or len(digest) != _ID_BYTES:
            return
        with contextlib.suppress(ValueError):
            yield Entry(int(mode, 8), name.decode("latin-1"), digest.hex())
        at = end + 1 + _ID_BYTES


def walk_tree(tree_id: str, source: Source, is_entered: Callable[[str], object]) -> list[Entry] | None:
    """All lines of a tree, those of the folders that are entered under their whole names; None when it is not there.

    A folder that cannot be had stands there as itself. Failure when there are more than anybody publishes.
    """
    raw = source.read(tree_id, TREE)
    if raw is None:
        return None
    found, folders = [], [("", raw)]
    for before, lines in folders:
        entered = set()
        for entry in parse_tree(lines):
            name = before + ("/" if "/" in entry.name else entry.name)  # a slash in a name is no folder, and no name
            below = None
            if entry.mode == FOLDER and is_entered(name) and name not in entered:
                entered.add(name)
                below = source.read(entry.id, TREE)
            if below is None:
                found.append(entry._replace(name=name))
            else:
                folders.append((name + "/", below))
        if len(found) > _MAX_LINES:
            raise _damaged(f"a feed of more than {_MAX_LINES} files")
    return found


class Source(Protocol):
    """Where objects are looked up."""

    def kind(self, object_id: str) -> int | None:
        """What kind of object that is; None when it cannot be had."""
        ...

    def read(self, object_id: str, kind: int) -> bytes | None:
        """The bytes of an object of that kind; None when it cannot be had."""
        ...

    def place(self, entry: Entry) -> Place | None:
        """Where a blob stands in the spool; None when it cannot be had."""
        ...


class Names(NamedTuple):
    """Which names in a tree are looked at: folders that are entered, and files that are brought."""

    is_entered: Callable[[str], object]
    is_wanted: Callable[[str], object]


def describe(commit_id: str, source: Source, names: Names) -> Mapping[str, Any]:
    """What a ref leads to, as the parent is told (git_job.Found)."""
    if source.kind(commit_id) not in (None, COMMIT):
        return {"commit": "", "entries": [], "files": {}, "plain": False}
    commit = source.read(commit_id, COMMIT)
    tree_id = None if commit is None else tree_of(commit)
    entries = None if tree_id is None else walk_tree(tree_id, source, names.is_entered)
    if entries is None:
        return {"commit": commit_id, "entries": None, "files": {}, "plain": False}
    files: dict[str, tuple[int, int]] = {}
    for entry in entries:
        if entry.mode == REGULAR and entry.name not in files and names.is_wanted(entry.name):
            found = source.place(entry)
            if found is not None:
                files[entry.name] = (found.offset, found.size)
    plain = trees_of(entries)[-1].id.decode() == tree_id
    return {"commit": commit_id, "entries": entries, "files": files, "plain": plain}


def trees_of(entries: Sequence[Entry]) -> list[Tree]:
    """The tree with these lines, last, after those of the folders in it."""
    tree, below = Tree(), defaultdict[str, list[Entry]](list)
    for entry in entries:
        folder, slash, name = entry.name.partition("/")
        if slash:
            below[folder].append(entry._replace(name=name))
        else:
            tree.add(entry.name.encode("latin-1"), entry.mode, ObjectID(entry.id.encode()))
    found: list[Tree] = []
    for folder, inside in below.items():
        found += trees_of(inside)
        tree.add(folder.encode("latin-1"), FOLDER, found[-1].id)
    return [*found, tree]
