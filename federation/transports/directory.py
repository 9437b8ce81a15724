"""A directory as a remote: a bus that many stores share, or, to read only, another store or one feed.

Others write here while we look, and may mean harm: below the folder that the person named, nothing is opened by path or
through a symlink, only regular files with names of our own patterns are read, and only as many bytes as were asked
for. All fsyncs of this transport live here. Keeps F4. No deadline: where the folder may hang, `watched` asks for us.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path
from typing import Final, NamedTuple

from federation.errors import InvalidUrl, PlaceMissing, RemoteReadOnly, SourceUnavailable
from federation.model import FEED_FILE, FEED_FOLDER, HEAD_FILE
from federation.transports import Listing, Wanted
from federation.transports.feeds import files_before_head
from journal import ORIGIN, Disk

STORE_FOLDER: Final = ".eventsync"
BRAINCLAW_FOLDER: Final = ".brainclaw"
_FEED_FOLDER: Final = "feed"
_TEMPORARY: Final = ".tmp-"  # before the name of a feed file: readers ignore it, the next publish removes it

_ROOT: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC  # the path was given to us: a symlink in it is meant
_FOLDER: Final = _ROOT | os.O_NOFOLLOW
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NOTHING: Final = -1  # where a descriptor would be: a call that got it by mistake fails
_SHARED_MODE: Final = 0o666  # less the umask: a bus is there to be read by others

# Missing, or something else than we open: a file where a folder should be, a symlink, a socket.
_NOT_THERE: Final = frozenset([errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO])
# Some network and FUSE file systems know no fsync of a folder. Like restic's local backend, we go on there.
_NO_FSYNC: Final = frozenset([errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.ENOTTY])


class _Kind(enum.Enum):
    BUS = "a bus"
    STORE = "a store"
    FEED = "one feed"


class _Place(NamedTuple):
    """What stands at the path. `folder` holds the feeds, or is the feed; _NOTHING in a store that published none."""

    kind: _Kind
    path: Path
    folder: int


class _Feed(NamedTuple):
    """The open folder of one origin."""

    folder: int
    path: Path


def is_brainclaw(path: Path) -> Path | None:
    """The `.brainclaw` folder that a path is or contains, unless it contains a `.eventsync` too."""
    with _unavailable("cannot be examined", path):
        if _is_folder(path / STORE_FOLDER):
            return None
        found = path if _real(path).name == BRAINCLAW_FOLDER else path / BRAINCLAW_FOLDER
        return found if _is_folder(found) else None


class DirectoryTransport:
    """Feeds in a directory of this machine. The disk is our own store's: for staging and feed, never for the place."""

    is_local = True

    def __init__(self, path: Path, disk: Disk) -> None:
        self._path, self._disk = path, disk

    # --- the contract ---

    def origins(self) -> Listing:
        """The origins whose head.json is here. One that may not be read is listed: fetch will say what is wrong."""
        with ExitStack() as opened:
            place = self._look(opened)
            if place.folder == _NOTHING:
                return Listing(())
            with _unavailable("cannot be listed", place.path):
                if place.kind is _Kind.FEED:
                    has_head, ignored = _feed_seen(place.folder)
                    return Listing((_real(self._path).name,) if has_head else (), ignored)
                return self._feeds_seen(place.folder)

    def fetch(self, origin: str, wanted: Sequence[Wanted], into: Path) -> tuple[str, ...]:
        """Copy what can be had of the wanted files into a private folder: neither verified nor durable yet.

        Raises SourceUnavailable when the place, the feed or a file cannot be read, DiskFailed when `into` cannot be
        written; files copied before that stay.
        """
        with ExitStack() as opened:
            feed = self._feed_to_read(origin, opened)
            return tuple([item.name for item in wanted if self._take(feed, item, into)]) if feed else ()

    def read(self, origin: str, item: Wanted) -> bytes | None:
        """The bytes of one wanted file, None when it cannot be had; raises as `fetch`, and writes nothing."""
        with ExitStack() as opened:
            feed = self._feed_to_read(origin, opened)
            return None if feed is None else self._bytes_of(feed, item)

    def kept(self, origin: str) -> None:
        """Nothing to remember: a directory is read as it stands."""

    def missing(self, origin: str, folder: Path, names: Sequence[str]) -> tuple[str, ...]:
        """What has no regular file of our size there, by a look at the folder: nothing is opened, nothing tidied."""
        with ExitStack() as opened:
            feed = self._feed_to_read(origin, opened)
            with _unavailable("cannot be listed", self._path / origin):
                there = dict(self._files_seen(feed.folder)) if feed else {}
        return tuple(name for name in names if there.get(name) != self._disk.size(folder / name))

    def publish(self, origin: str, folder: Path, names: Sequence[str], keep: frozenset[str]) -> None:
        """Make the feed in `folder` visible, head.json last, then remove feed files that are listed no more [F4].

        Makes the bus when that folder alone is missing. Raises SourceUnavailable, RemoteReadOnly, or DamagedStore when
        our own files cannot be read. The place then holds whole files only, and the former head: or the new one, when
        all that failed was to make that durable or to remove what is old.
        """
        files = files_before_head(origin, names)
        self.create()
        with ExitStack() as opened:
            feed = self._feed_to_write(origin, opened)
            there = self._tidy(feed)
            for name in files:
                # Another size: torn by a program that copies files without a rename.
                if name not in there or there[name] != self._disk.size(folder / name):
                    self._put(feed, name, self._disk.read(folder / name))
            self._put(feed, HEAD_FILE, self._disk.read(folder / HEAD_FILE))
            with _unavailable("is published, but what it lists no more cannot be removed", feed.path):
                self._remove(feed, sorted(there.keys() - {*files, HEAD_FILE} - keep))

    def publish_anew(self, origin: str, folder: Path, names: Sequence[str], keep: frozenset[str]) -> bool:
        """The same: what was removed is nowhere."""
        self.publish(origin, folder, names, keep)
        return True

    def create(self) -> None:
        """Make the folder of a bus, durably, when it alone is missing: nothing above it is ever made."""
        _refuse_unless_bus(_kind_of_name(_real(self._path)), self._path)
        refused = _unavailable("cannot be made", self._path)
        with refused, contextlib.suppress(FileExistsError), ExitStack() as opened:
            os.mkdir(self._path)
            self._sync(self._open(self._path.parent, _ROOT, None, opened))

    # --- which kind of place ---

    def _look(self, opened: ExitStack) -> _Place:
        with _unavailable("cannot be opened", self._path):
            root = self._open_root(opened)
            real = _real(self._path)
            if real.name == STORE_FOLDER:
                return self._look_into_store(root, self._path, opened)
            if _status(STORE_FOLDER, root) is not None:
                store = self._open(STORE_FOLDER, _FOLDER, root, opened)
                return self._look_into_store(store, self._path / STORE_FOLDER, opened)
            kind = _kind_of_name(real)
            if kind is _Kind.BUS and _is_bare_repository(root):
                raise InvalidUrl("is a git repository and no folder to share; git+file:// says so", path=self._path)
            if kind is _Kind.BUS and _is_feed_without_origin(root):
                raise SourceUnavailable("holds one feed, and must be named by its origin (es1...)", path=self._path)
            return _Place(kind, self._path, root)

    def _open_root(self, opened: ExitStack) -> int:
        try:
            return self._open(self._path, _ROOT, None, opened)
        except FileNotFoundError as error:
            if _kind_of_name(self._path) is _Kind.BUS and os.path.isdir(self._path.parent):
                raise PlaceMissing(f"cannot be opened: {error.strerror}", path=self._path) from error
            raise

    def _look_into_store(self, store: int, path: Path, opened: ExitStack) -> _Place:
        try:
            feeds = self._open(_FEED_FOLDER, _FOLDER, store, opened)
        except FileNotFoundError:
            return _Place(_Kind.STORE, path, _NOTHING)
        return _Place(_Kind.STORE, path / _FEED_FOLDER, feeds)

    # --- reading ---

    def _feeds_seen(self, folder: int) -> Listing:
        origins, ignored = [], 0
        with os.scandir(folder) as entries:
            for entry in entries:
                if not ORIGIN.fullmatch(entry.name) or not entry.is_dir(follow_symlinks=False):
                    ignored += 1
                    continue
                has_head, beside = self._feed_seen_in(folder, entry.name)
                ignored += beside
                if has_head:
                    origins.append(entry.name)
        return Listing(tuple(sorted(origins)), ignored)

    def _feed_seen_in(self, folder: int, origin: str) -> tuple[bool, int]:
        try:
            with ExitStack() as opened:
                return _feed_seen(self._open(origin, _FOLDER, folder, opened))
        except OSError as error:
            # An unreadable feed must not hide the others [F6], nor look like none: fetch will meet the same error.
            return error.errno not in _NOT_THERE, 0

    def _files_seen(self, folder: int, before: str = "") -> Iterator[tuple[str, int]]:
        """Names in the folder of a feed and in those of its blobs, with sizes; -1 for what is no regular file."""
        with os.scandir(folder) as entries:
            for entry in entries:
                name = before + entry.name
                if not entry.is_dir(follow_symlinks=False):
                    status = entry.stat(follow_symlinks=False)
                    yield name, status.st_size if stat.S_ISREG(status.st_mode) else -1
                elif FEED_FOLDER.fullmatch(name):
                    with ExitStack() as opened:
                        yield from self._files_seen(self._open(entry.name, _FOLDER, folder, opened), name + "/")

    def _feed_to_read(self, origin: str, opened: ExitStack) -> _Feed | None:
        place = self._look(opened)
        if place.folder == _NOTHING or not ORIGIN.fullmatch(origin):
            return None
        if place.kind is _Kind.FEED:
            return _Feed(place.folder, place.path) if origin == _real(self._path).name else None
        path = place.path / origin
        with _unavailable("cannot be opened", path):
            folder = self._open_if_there(origin, _FOLDER, place.folder, opened)
        return None if folder is None else _Feed(folder, path)

    def _take(self, feed: _Feed, item: Wanted, into: Path) -> bool:
        data = self._bytes_of(feed, item)
        if data is not None:
            self._disk.make_folder((into / item.name).parent)
            self._disk.replace(into / item.name, data)
        return data is not None

    def _bytes_of(self, feed: _Feed, item: Wanted) -> bytes | None:
        with _unavailable("cannot be read", feed.path / item.name):
            return self._read_capped(feed, item) if FEED_FILE.fullmatch(item.name) else None

    def _read_capped(self, feed: _Feed, item: Wanted) -> bytes | None:
        """The bytes of a regular file; it is looked at before it is opened, since opening a device can do things."""
        with ExitStack() as opened:
            folder, name = self._enter(feed, item.name, opened)
            seen = None if folder is None else _status(name, folder)
            if seen is None or not stat.S_ISREG(seen.st_mode) or seen.st_size > item.max_bytes:
                return None
            descriptor = self._open_if_there(name, _READ, folder, opened)
            if descriptor is None or not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None  # replaced since we looked
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                data = file.read(item.max_bytes + 1)
        return data if len(data) <= item.max_bytes else None

    def _enter(self, feed: _Feed, name: str, opened: ExitStack) -> tuple[int | None, str]:
        """The folder that a file of a feed stands in, None when there is none, and the file's name there."""
        *folders, last = name.split("/")
        within: int | None = feed.folder
        for folder in folders:
            within = None if within is None else self._open_if_there(folder, _FOLDER, within, opened)
        return within, last

    def _open_if_there(self, name: str, flags: int, within: int | None, opened: ExitStack) -> int | None:
        try:
            return self._open(name, flags, within, opened)
        except OSError as error:
            if error.errno in _NOT_THERE:
                return None
            raise

    # --- writing ---

    def _feed_to_write(self, origin: str, opened: ExitStack) -> _Feed:
        kind, path, bus = self._look(opened)
        _refuse_unless_bus(kind, self._path)
        with _unavailable("cannot be made or opened", path / origin):
            with contextlib.suppress(FileExistsError):
                os.mkdir(origin, dir_fd=bus)
            folder = self._open(origin, _FOLDER, bus, opened)
            self._sync(bus)  # the feed's name: a head in a folder that is lost is lost too
        return _Feed(folder, path / origin)

    def _tidy(self, feed: _Feed) -> dict[str, int]:
        """Sizes of the feed files that are there, after what an interrupted publish left is gone."""
        with _unavailable("cannot be tidied", feed.path):
            seen = dict(self._files_seen(feed.folder))
            for name in filter(_is_left_over, seen):
                with ExitStack() as opened:
                    self._unlink_beside(feed, [name], opened)
        return {name: size for name, size in seen.items() if FEED_FILE.fullmatch(name)}

    def _put(self, feed: _Feed, name: str, data: bytes) -> None:
        """Make one file visible, whole and durable: temp file, fsync, rename, fsync of the folder [F4]."""
        with _unavailable("cannot be written", feed.path / name), ExitStack() as opened:
            folder, last = self._make_way(feed, name, opened)
            temporary = _TEMPORARY + last
            try:
                with ExitStack() as written:
                    descriptor = self._open(temporary, _CREATE, folder, written)
                    self._write(descriptor, data)
                    self._sync(descriptor)  # content before name: a rename must never show a torn file
                self._rename(temporary, last, folder)
            except OSError:
                with contextlib.suppress(OSError):
                    self._unlink(temporary, folder)
                raise
            self._sync(folder)  # a slice must not be lost when the head that lists it is not

    def _make_way(self, feed: _Feed, name: str, opened: ExitStack) -> tuple[int, str]:
        """The folder that a file of a feed belongs into, made durably where it is missing, and its name there."""
        *folders, last = name.split("/")
        within = feed.folder
        for folder in folders:
            with contextlib.suppress(FileExistsError):
                os.mkdir(folder, dir_fd=within)
            self._sync(within)  # whoever made it
            within = self._open(folder, _FOLDER, within, opened)
        return within, last

    def _remove(self, feed: _Feed, names: Sequence[str]) -> None:
        for _, beside in groupby(names, key=lambda name: name.rpartition("/")[0]):
            with ExitStack() as opened:
                folder = self._unlink_beside(feed, list(beside), opened)
                if folder is not None:
                    self._sync(folder)  # what was redacted must not come back [F9]

    def _unlink_beside(self, feed: _Feed, names: Sequence[str], opened: ExitStack) -> int | None:
        """Remove files of one folder, and return that; not durable yet."""
        folder, _ = self._enter(feed, names[0], opened)
        if folder is None:
            return None
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                self._unlink(name.rpartition("/")[2], folder)
        return folder

    # --- the system calls, each where a test can make it fail ---

    def _open(self, name: str | Path, flags: int, within: int | None, opened: ExitStack) -> int:
        descriptor = os.open(name, flags, _SHARED_MODE, dir_fd=within)
        opened.callback(os.close, descriptor)
        return descriptor

    def _write(self, descriptor: int, data: bytes) -> None:
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(data)

    def _fsync(self, descriptor: int) -> None:
        os.fsync(descriptor)

    def _rename(self, old: str, new: str, folder: int) -> None:
        os.rename(old, new, src_dir_fd=folder, dst_dir_fd=folder)

    def _unlink(self, name: str, folder: int) -> None:
        os.unlink(name, dir_fd=folder)

    def _sync(self, descriptor: int) -> None:
        try:
            self._fsync(descriptor)
        except OSError as error:
            if error.errno not in _NO_FSYNC:
                raise


def _kind_of_name(real: Path) -> _Kind:
    """What a place is by its path alone: what lies inside a store is never a bus."""
    if ORIGIN.fullmatch(real.name):
        return _Kind.FEED
    return _Kind.STORE if {STORE_FOLDER, BRAINCLAW_FOLDER} & set(real.parts) else _Kind.BUS


def _refuse_unless_bus(kind: _Kind, path: Path) -> None:
    if kind is not _Kind.BUS:
        raise RemoteReadOnly(f"is {kind.value}, not a bus", path=path)


def _is_feed_without_origin(root: int) -> bool:
    """A transport never looks into head.json: a feed whose folder a person renamed has no origin."""
    return _status(HEAD_FILE, root) is not None and not any(map(ORIGIN.fullmatch, os.listdir(root)))


def _is_bare_repository(root: int) -> bool:
    """Feeds put beside the objects of a repository are seen by nobody who takes it for one."""
    return all(_status(name, root) is not None for name in ("HEAD", "objects", "refs"))


def _is_left_over(name: str) -> bool:
    """Whether that is what an interrupted publish left of a feed file."""
    folder, slash, last = name.rpartition("/")
    return last.startswith(_TEMPORARY) and FEED_FILE.fullmatch(folder + slash + last[len(_TEMPORARY) :]) is not None


def _feed_seen(feed: int) -> tuple[bool, int]:
    """Whether a head is there, and how many things beside it that belong to no feed."""
    has_head, ignored = False, 0
    with os.scandir(feed) as entries:
        for entry in entries:
            if FEED_FOLDER.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                continue  # what it holds is looked at by name only: it may be much
            if not FEED_FILE.fullmatch(entry.name) or not entry.is_file(follow_symlinks=False):
                ignored += 1
            elif entry.name == HEAD_FILE:
                has_head = True
    return has_head, ignored


def _status(name: str | Path, within: int | None) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=within, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _is_folder(path: Path) -> bool:
    found = _status(path, None)
    return found is not None and stat.S_ISDIR(found.st_mode)


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


@contextlib.contextmanager
def _unavailable(what: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SourceUnavailable(f"{what}: {error.strerror}", path=path) from error
