"""A folder on another machine as a remote, by the rsync of this system: from a daemon, or over ssh.

    pull: list the place → the heads of all feeds → the slices of each feed that changed
    push: our head → list our feed → blobs → slices → head → remove what the feed lists no more

Each arrow is one call, in a child with a deadline [R1]. What a call brings stands in a folder of its own first, and is
looked at there: only names that were asked for, only regular files, capped in size. An exit code proves nothing; the
signed head tells what is missing. Keeps F4 as far as the rsync of the other side can: --fsync, and renames in place.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable, Mapping, Sequence
from math import ceil
from pathlib import Path
from typing import Final

from federation.errors import FederationError, PlaceMissing, ProgramUnusable, RemoteReadOnly, SourceUnavailable
from federation.model import FEED_FILE, HEAD_FILE, MAX_HEAD_BYTES
from federation.transports import Listing, Wanted, rsync_command
from federation.transports.child import Ended, run, run_worker
from federation.transports.feeds import files_before_head
from federation.transports.rsync_answer import DONE, PARTIAL, VANISHED, failure, knows_no_fsync
from federation.transports.rsync_command import BRAINCLAW, STORE, STORE_FEEDS, Command, Seen, read_listing, way_to
from federation.transports.rsync_settings import RsyncSettings
from federation.transports.urls import RsyncUrl
from journal import ORIGIN, Disk, DiskFailed

_WORKER: Final = "federation.transports.rsync_worker"
_OLDEST: Final = (3, 2, 7)  # the first to check every name that a server sends against what was asked for
_MENDED: Final = (3, 4, 0)  # the first without the ways for a server to write elsewhere that were found in 2024
_MAX_LATE: Final = 2  # calls in a row that miss their deadline: then it is the place, and not one large feed
_HEADS_BYTES: Final = 64 * 1024 * 1024  # of heads that are brought together, and held in memory
_HEAD_GROWTH: Final = 16 * 1024  # bytes by which a head may grow between the listing and the transfer
_NO_FOLDER: Final = "there is no such folder, or none that we may read"
_MISSING: Final = re.compile(rb"change_dir .* failed: No such file or directory")
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NOT_THERE: Final = frozenset([errno.ENOENT, errno.ENOTDIR, errno.ELOOP])

Work = Callable[[Command, float], Ended]


def in_a_child(command: Command, deadline_seconds: float) -> Ended:
    """Let a worker make a call, in a process of its own."""
    job = rsync_command.encode_command(command)
    return run_worker(_WORKER, job, deadline_seconds=deadline_seconds, descriptors=())


def check_program(deadline_seconds: float) -> str | None:
    """A warning when the rsync of this machine is an old one; ProgramUnusable when it is missing or too old."""
    try:
        ended = run(["rsync", "--version"], deadline_seconds=deadline_seconds)
    except SourceUnavailable:
        raise ProgramUnusable("rsync is not installed on this machine") from None
    version = rsync_command.read_version(ended.output)
    if version is None:
        raise ProgramUnusable("the rsync of this machine does not start, or is another program of that name")
    if version < _OLDEST:
        raise ProgramUnusable(f"rsync {_dotted(version)} is too old: at least {_dotted(_OLDEST)} is needed")
    if version >= _MENDED:
        return None
    return (
        f"rsync {_dotted(version)}: malicious servers can harm releases before {_dotted(_MENDED)}, "
        "unless your system has mended this one"
    )


def _dotted(version: Sequence[int]) -> str:
    return ".".join(map(str, version))


class RsyncTransport:
    """Feeds in a folder that rsync reaches: a bus, or, to read only, another store.

    The disk is our own store's; `folder` is this transport's, in that store; `home` is that of the user. The folders
    `held` have heads that this store holds, each as `<origin>/head.json`: what they have needs no transfer.
    """

    is_local = False

    def __init__(
        self,
        url: RsyncUrl,
        settings: RsyncSettings,
        disk: Disk,
        folder: Path,
        home: str,
        *,
        held: Sequence[Path] = (),
        work: Work = in_a_child,
    ) -> None:
        self._display, self._settings, self._disk, self._work = url.display, settings, disk, work
        self._empty = folder / "empty"  # folders without files
        self._way = way_to(url, settings, home)
        self._is_inside_store = bool({STORE, BRAINCLAW} & set(url.path.split("/")))
        self._fsync: tuple[str, ...] = ("--fsync",)  # until the other side turns out not to know it
        self._late = 0
        self._given_up: FederationError | None = None  # each later call gets the same error at once
        self._held = held
        self._feeds = self._way  # the feeds may stand in a folder of the place
        self._seen: Seen | None = None  # by the last listing of the place
        self._heads: dict[str, bytes | None] = {}  # brought and not yet asked for; None is missing
        self._own: dict[str, Mapping[str, int]] = {}  # what stands in our feed, listed for the push that is going on

    # --- the contract ---

    def create(self) -> None:
        """Make the folder when it alone is missing: nothing above it is ever made."""
        ended, seen = self._list(rsync_command.list_kind(self._way))
        if seen.is_folder:
            self._refuse_unless_bus(seen)
        elif ended.code == PARTIAL:
            self._disk.make_folder(self._empty)
            self._do(rsync_command.make(self._way, self._empty))
        else:
            raise self._failure(ended)

    def origins(self) -> Listing:
        """The origins whose head.json is here. One that could not be looked into is listed: fetch will say why."""
        ended, seen = self._list(rsync_command.list_place(self._way))
        self._check_listed(ended, seen, DONE, PARTIAL, VANISHED)
        self._feeds = self._way
        if STORE in seen.others:
            self._feeds = self._way.below(STORE_FEEDS)
            seen = read_listing(ended.output, STORE_FEEDS)
        elif BRAINCLAW in seen.others:
            raise SourceUnavailable("holds a .brainclaw store: such a one is only read in a folder", path=self._display)
        elif HEAD_FILE in seen.others and not seen.feeds:
            raise SourceUnavailable("holds one feed: the remote is the folder above it", path=self._display)
        self._seen, self._heads = seen, {}
        unread = {origin for origin in seen.folders if ended.code == PARTIAL and not seen.feeds[origin]}
        return Listing(tuple(sorted({*seen.with_heads(), *unread})), seen.ignored)

    def fetch(self, origin: str, wanted: Sequence[Wanted], into: Path) -> tuple[str, ...]:
        """Copy what can be had of the wanted files into a private folder: neither verified nor durable yet.

        The heads of the origins that were listed come together, with the first one that is asked for.
        """
        asked = {item.name: item.max_bytes for item in wanted if FEED_FILE.fullmatch(item.name)}
        if not ORIGIN.fullmatch(origin) or (self._seen is not None and origin not in self._seen.folders):
            return ()
        if asked.keys() == {HEAD_FILE} and self._seen is not None:
            if origin not in self._heads:
                self._bring_heads(self._seen, origin, into)
            if origin in self._heads:
                return self._put_head(self._heads.pop(origin), asked[HEAD_FILE], into)
        had = self._bring_files(origin, asked, into)
        return tuple(item.name for item in wanted if item.name in had)

    def kept(self, origin: str) -> None:
        """Nothing to remember: what the mirror holds is not asked for."""

    def missing(self, origin: str, folder: Path, names: Sequence[str]) -> tuple[str, ...]:
        """What has no regular file of our size there, by a listing of our feed, which the next publish uses too."""
        there = self._own[origin] = self._list_own(origin)
        return tuple(name for name in names if there.get(name) != self._disk.size(folder / name))

    def publish(self, origin: str, folder: Path, names: Sequence[str], keep: frozenset[str]) -> None:
        """Make the feed in `folder` visible, head.json last, then remove feed files that are listed no more [F4].

        Raises SourceUnavailable, RemoteReadOnly, RemoteRefused, or DamagedStore when our own files cannot be read. The
        place then holds whole files only, and the former head: or the new one, when only the removal failed.
        """
        files = files_before_head(origin, names)
        sizes = {name: self._disk.size(folder / name) for name in names}
        for name in [name for name in names if sizes[name] is None]:
            self._disk.read(folder / name)  # says what is wrong with our own feed
        there = self._own.pop(origin) if origin in self._own else self._list_own(origin)
        # Another size: torn by a program that copies files without a rename.
        changed = [name for name in files if there.get(name) != sizes[name]]
        # Rsync has an order of its own: what must be there before something else goes in a call before it [F4].
        self._send(origin, folder, [name for name in changed if "/" in name])
        self._send(origin, folder, [name for name in changed if "/" not in name])
        self._send(origin, folder, [HEAD_FILE])
        gone = sorted(there.keys() - {*files, HEAD_FILE} - keep)
        for path in {(self._empty / name).parent for name in gone}:
            self._disk.make_folder(path)  # rsync looks for what to remove in folders that it finds here
        if gone:
            self._do(rsync_command.remove(self._way, origin, self._empty, gone))

    def publish_anew(self, origin: str, folder: Path, names: Sequence[str], keep: frozenset[str]) -> bool:
        """The same: what was removed is nowhere."""
        self.publish(origin, folder, names, keep)
        return True

    # --- reading ---

    def _bring_heads(self, seen: Seen, first: str, into: Path) -> None:
        """Bring the head of an origin, and with it those behind it: they will be asked for next.

        One that failed is asked for alone later, to learn why.
        """
        origins: list[str] = []
        most = 0
        for origin in [origin for origin in seen.with_heads() if origin >= first]:
            most = max(most, min(seen.feeds[origin][HEAD_FILE] + _HEAD_GROWTH, MAX_HEAD_BYTES))
            if origins and most * (len(origins) + 1) > _HEADS_BYTES:
                break
            origins.append(origin)
        if len(origins) < 2:
            return
        heads: dict[str, bytes] = {}
        paths = {f"{origin}/{HEAD_FILE}": most for origin in origins}
        ended = self._bring(paths, into, lambda path, data: heads.update({path: data}))
        for origin, path in zip(origins, paths, strict=True):
            if path in heads or ended.code == DONE:
                self._heads[origin] = heads.get(path)

    def _put_head(self, head: bytes | None, max_bytes: int, into: Path) -> tuple[str, ...]:
        if head is None or len(head) > max_bytes:
            return ()
        self._disk.replace(into / HEAD_FILE, head)
        return (HEAD_FILE,)

    def _bring_files(self, origin: str, asked: Mapping[str, int], into: Path) -> set[str]:
        """Bring files of one origin. When not all came, the place has to say that they are not there."""
        sizes = {} if self._seen is None else self._seen.feeds[origin]
        wanted = {name: most for name, most in asked.items() if 0 <= sizes.get(name, 0) <= most}
        mib = sum(sizes.get(name, most) for name, most in wanted.items()) / 1024 / 1024
        if mib > self._settings.max_mib:
            raise SourceUnavailable(f"has {ceil(mib)} MiB to bring, more than max_mib = {self._settings.max_mib}")
        had: set[str] = set()

        def take(path: str, data: bytes) -> None:
            name = path.removeprefix(f"{origin}/")
            self._disk.make_folder((into / name).parent)
            self._disk.replace(into / name, data)
            had.add(name)

        if wanted:
            ended = self._bring({f"{origin}/{name}": most for name, most in wanted.items()}, into, take)
            if len(had) < len(wanted) and ended.code not in (DONE, VANISHED):
                raise self._failure(ended)
        return had

    def _bring(self, wanted: Mapping[str, int], into: Path, take: Callable[[str, bytes], None]) -> Ended:
        """Bring files by their paths into a folder of their own below `into`, and take what can be taken from there."""
        area = into / ".rsync"
        self._disk.make_folder(area)
        try:
            held = self._held if all(path.endswith(HEAD_FILE) for path in wanted) else ()
            ended = self._ask(rsync_command.bring(self._feeds, wanted, area, max(wanted.values()), held=held))
            for path, most in wanted.items():
                data = _read_regular(area, path, most)
                if data is not None:
                    take(path, data)
        finally:
            self._disk.remove_tree(area)
        return ended

    # --- writing ---

    def _list_own(self, origin: str) -> Mapping[str, int]:
        """What stands in the place of our feed, by name, with sizes; -1 for what is no regular file."""
        ended, seen = self._list(rsync_command.list_feed(self._way, origin))
        self._check_listed(ended, seen, DONE, VANISHED)
        self._refuse_unless_bus(seen)
        if origin in seen.feeds and origin not in seen.folders:
            raise SourceUnavailable("what stands in the place of our feed is no folder", path=self._display)
        return seen.feeds.get(origin, {})

    def _refuse_unless_bus(self, seen: Seen) -> None:
        if self._is_inside_store or {STORE, BRAINCLAW} & seen.others:
            raise RemoteReadOnly("is a store, not a bus", path=self._display)

    def _send(self, origin: str, folder: Path, names: Sequence[str]) -> None:
        """Send files of ours; exit code 0 and the names of all of them, or an error."""
        if not names:
            return
        ended = self._ask(rsync_command.send(self._way, origin, folder, names, *self._fsync))
        if self._fsync and knows_no_fsync(ended):
            self._fsync = ()
            ended = self._ask(rsync_command.send(self._way, origin, folder, names))
        if ended.code != DONE:
            raise self._failure(ended)
        left = sorted(set(names) - set(ended.output.decode("utf-8", "replace").split("\n")))
        if left:
            raise SourceUnavailable(f"did not take {left[0]}", path=self._display)

    # --- calling ---

    def _list(self, command: Command) -> tuple[Ended, Seen]:
        ended = self._ask(command)
        return ended, read_listing(ended.output)

    def _check_listed(self, ended: Ended, seen: Seen, *good: int) -> None:
        if not seen.is_folder and ended.code == PARTIAL and _MISSING.search(ended.errors):
            raise PlaceMissing("there is no such folder", path=self._display)
        if not seen.is_folder or ended.code not in good:
            raise self._failure(ended, None if seen.is_folder or ended.code != PARTIAL else _NO_FOLDER)

    def _do(self, command: Command) -> None:
        """Make a call that has to be done wholly."""
        ended = self._ask(command)
        if ended.code != DONE:
            raise self._failure(ended)

    def _ask(self, command: Command) -> Ended:
        """Make a call, however it ends; at once the last error when the place was given up."""
        if self._given_up is not None:
            raise self._given_up
        ended = self._work(command, self._settings.deadline_seconds)
        self._late = self._late + 1 if ended.late else 0
        if self._late == _MAX_LATE:
            self._given_up = self._failure(ended)
        return ended

    def _failure(self, ended: Ended, meaning: str | None = None) -> FederationError:
        """The error for a call that did not do what was asked; remembered when no other call would fare better."""
        found = failure(ended, self._display, self._settings.deadline_seconds, meaning)
        if found.of_place:
            self._given_up = found.error
        return found.error


def _read_regular(area: Path, path: str, max_bytes: int) -> bytes | None:
    """What arrived under a path; None where it is missing, something else, or too large. Nobody writes there now."""
    if os.path.realpath(area / path) != os.path.join(os.path.realpath(area), path):
        return None  # a symlink on the way
    try:
        descriptor = os.open(area / path, _READ)
    except OSError as error:
        if error.errno in _NOT_THERE:
            return None
        raise DiskFailed(f"cannot be opened: {error.strerror}", path=area / path) from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > max_bytes:
            return None
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)
