"""What only a directory can be: four kinds of place, hostile files, a disk that fails at any call."""

from __future__ import annotations

import errno
import gc
import os
import shutil
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from federation.errors import RemoteReadOnly, SourceUnavailable
from federation.model import FEED_FILE, HEAD_FILE
from federation.transports import Listing, Wanted
from federation.transports.directory import DirectoryTransport, is_brainclaw
from journal import Disk, DiskFailed

A = "es1" + "a" * 32
B = "es1" + "b" * 32
S1 = "seg-00000001-00000009-0123456789ab.jsonl.zst"
S2 = "seg-00000010-00000019-0123456789ab.jsonl.zst"
S3 = "seg-00000020-00000029-0123456789ab.jsonl.zst"
CAP = 1000
HEAD = Wanted(HEAD_FILE, CAP)


def way(path: Path) -> DirectoryTransport:
    return DirectoryTransport(path, Disk())


def feed(folder: Path, **files: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / {"head": HEAD_FILE, "s1": S1, "s2": S2, "s3": S3}[name]).write_bytes(content)
    return folder


def tree(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder, None for what is no regular file."""
    found = {str(path.relative_to(folder)): path for path in folder.rglob("*")}
    return {name: path.read_bytes() if stat.S_ISREG(path.lstat().st_mode) else None for name, path in found.items()}


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def bus(tmp_path: Path) -> Path:
    folder = tmp_path / "bus"
    folder.mkdir()
    return folder


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return feed(tmp_path / "own", head=b"head", s1=b"1", s2=b"2")


@pytest.fixture
def staging(tmp_path: Path) -> Path:
    folder = tmp_path / "staging"
    folder.mkdir()
    return folder


@pytest.fixture(autouse=True)
def _every_descriptor_is_closed() -> Iterator[None]:
    gc.collect()  # what earlier tests let go of is closed now, and not in the middle of this one
    before = set(names_in(Path("/dev/fd")))
    yield
    assert set(names_in(Path("/dev/fd"))) <= before


# --- which kind of place ---------------------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a store in it that publishes A and mirrors B."""
    store = tmp_path / "project" / ".eventsync"
    feed(store / "feed" / A, head=b"a", s1=b"1")
    feed(store / "federation" / "mirror" / B, head=b"b")
    feed(store / "journal" / "checkpoints")
    return tmp_path / "project"


@pytest.mark.parametrize("place", [".", ".eventsync", ".eventsync/feed", f".eventsync/feed/{A}"])
def test_the_feed_of_another_store_is_read(project: Path, staging: Path, place: str) -> None:
    assert way(project / place).origins() == Listing((A,), 0)
    assert way(project / place).fetch(A, [HEAD, Wanted(S1, CAP)], staging) == (HEAD_FILE, S1)
    assert way(project / place).fetch(B, [HEAD], staging) == ()
    assert tree(staging) == {HEAD_FILE: b"a", S1: b"1"}


@pytest.mark.parametrize(
    "place",
    [
        ".",
        ".eventsync",
        ".eventsync/feed",
        f".eventsync/feed/{A}",
        ".eventsync/federation/mirror",
        ".eventsync/journal",
        ".eventsync/missing",
    ],
)
@pytest.mark.parametrize("origin", [A, B])
def test_nothing_is_published_into_a_store(project: Path, own: Path, place: str, origin: str) -> None:
    before = tree(project)
    with pytest.raises(RemoteReadOnly):
        way(project / place).publish(origin, own, [S1, HEAD_FILE], frozenset())
    assert tree(project) == before


def test_a_store_that_published_nothing_has_no_origins(project: Path, staging: Path) -> None:
    shutil.rmtree(project / ".eventsync" / "feed")
    assert way(project).origins() == Listing(())
    assert way(project).fetch(A, [HEAD], staging) == ()


def test_a_store_behind_a_symlink_is_neither_followed_nor_taken_for_a_bus(
    project: Path, tmp_path: Path, own: Path
) -> None:
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / ".eventsync").symlink_to(project / ".eventsync")
    with pytest.raises(SourceUnavailable):
        way(tmp_path / "linked").origins()
    with pytest.raises(SourceUnavailable):
        way(tmp_path / "linked").publish(A, own, [HEAD_FILE], frozenset())


def test_one_feed_is_read_by_its_name(tmp_path: Path, staging: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    feed(tmp_path / A, head=b"a", s1=b"1")
    (tmp_path / A / "notes.txt").touch()
    (tmp_path / "latest").symlink_to(A)
    monkeypatch.chdir(tmp_path / A)
    for path in (tmp_path / A, tmp_path / "latest", Path()):
        assert way(path).origins() == Listing((A,), 1)
        assert way(path).fetch(A, [HEAD], staging) == (HEAD_FILE,)
        assert way(path).fetch(B, [HEAD], staging) == ()


def test_one_feed_without_a_head_has_no_origins(tmp_path: Path) -> None:
    assert way(feed(tmp_path / A, s1=b"1")).origins() == Listing(())


def test_nothing_is_published_into_one_feed(tmp_path: Path, own: Path) -> None:
    feed(tmp_path / A, head=b"a")
    for origin, name in ((A, A), (B, A), (B, B)):
        with pytest.raises(RemoteReadOnly):
            way(tmp_path / name).publish(origin, own, [HEAD_FILE], frozenset())
    assert tree(tmp_path / A) == {HEAD_FILE: b"a"}
    assert not (tmp_path / B).exists()


def test_a_feed_whose_folder_was_renamed_is_refused_with_the_reason(tmp_path: Path, own: Path) -> None:
    feed(tmp_path / "copy", head=b"a", s1=b"1")
    with pytest.raises(SourceUnavailable, match="must be named by its origin"):
        way(tmp_path / "copy").origins()
    with pytest.raises(SourceUnavailable, match="must be named by its origin"):
        way(tmp_path / "copy").publish(A, own, [HEAD_FILE], frozenset())
    assert tree(tmp_path / "copy") == {HEAD_FILE: b"a", S1: b"1"}


def test_a_head_that_was_dropped_into_a_bus_is_ignored(bus: Path) -> None:
    feed(bus / A, head=b"a")
    feed(bus, head=b"dropped")
    assert way(bus).origins() == Listing((A,), 1)


@pytest.mark.parametrize("name", ["missing", "missing/too", "file", "file/below", "loop", "dangling", "fifo"])
def test_a_place_that_is_no_folder_is_unavailable(tmp_path: Path, staging: Path, name: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("nowhere")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(SourceUnavailable, match=f"{name}: cannot be opened"):
        way(tmp_path / name).origins()
    with pytest.raises(SourceUnavailable, match=f"{name}: cannot be opened"):
        way(tmp_path / name).fetch(A, [HEAD], staging)


def test_a_bus_behind_a_symlink_is_the_bus(bus: Path, tmp_path: Path, own: Path) -> None:
    (tmp_path / "link").symlink_to(bus)
    way(tmp_path / "link").publish(A, own, [S1, HEAD_FILE], frozenset())
    assert way(bus).origins() == Listing((A,), 0)


def test_a_bus_is_made_by_the_first_publish(tmp_path: Path, own: Path) -> None:
    way(tmp_path / "new").publish(A, own, [S1, S2, HEAD_FILE], frozenset())
    assert way(tmp_path / "new").origins() == Listing((A,), 0)


def test_a_bus_is_made_once_and_nothing_above_it(tmp_path: Path, own: Path) -> None:
    way(tmp_path / "new").create()
    way(tmp_path / "new").create()
    assert way(tmp_path / "new").origins() == Listing((), 0)
    for path in (tmp_path / "no" / "bus", tmp_path / "no" / "such" / "bus"):
        with pytest.raises(SourceUnavailable, match="cannot be made"):
            way(path).publish(A, own, [S1, HEAD_FILE], frozenset())
    assert not (tmp_path / "no").exists()


def test_a_file_in_the_place_of_a_bus_stays(tmp_path: Path, own: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(SourceUnavailable):
        way(tmp_path / "file").publish(A, own, [HEAD_FILE], frozenset())
    assert (tmp_path / "file").read_bytes() == b"mine"


def test_a_brainclaw_folder_is_found_by_itself_and_in_its_project(tmp_path: Path) -> None:
    found = tmp_path / "theirs" / ".brainclaw"
    found.mkdir(parents=True)
    assert is_brainclaw(found) == found
    assert is_brainclaw(tmp_path / "theirs") == found
    assert is_brainclaw(tmp_path) is None
    assert is_brainclaw(tmp_path / "missing") is None
    assert is_brainclaw(tmp_path / "missing" / ".brainclaw") is None


def test_a_project_with_both_programs_is_ours_unless_theirs_is_named(project: Path) -> None:
    (project / ".brainclaw").mkdir()
    assert is_brainclaw(project) is None
    assert is_brainclaw(project / ".brainclaw") == project / ".brainclaw"


def test_a_brainclaw_folder_that_is_a_file_or_a_symlink_is_none(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / ".brainclaw").touch()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / ".brainclaw").symlink_to(tmp_path)
    assert is_brainclaw(tmp_path / "one") is None
    assert is_brainclaw(tmp_path / "other") is None


def test_nothing_is_published_into_a_brainclaw_folder(tmp_path: Path, own: Path) -> None:
    (tmp_path / ".brainclaw").mkdir()
    with pytest.raises(RemoteReadOnly):
        way(tmp_path / ".brainclaw").publish(A, own, [HEAD_FILE], frozenset())
    assert tree(tmp_path / ".brainclaw") == {}


# --- hostile files ---------------------------------------------------------------------------------------------------


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        here = Path.cwd()
        os.chdir(path.parent)  # the path of a socket may have about a hundred bytes
        try:
            listening.bind(path.name)
        finally:
            os.chdir(here)


class NotingWhatIsOpened(DirectoryTransport):
    def __init__(self, path: Path) -> None:
        super().__init__(path, Disk())
        self.opened: list[str] = []

    def _open(self, name: str | Path, flags: int, within: int | None, opened: ExitStack) -> int:
        self.opened.append(Path(name).name)
        return super()._open(name, flags, within, opened)


def test_what_is_seen_to_be_no_regular_file_or_too_large_is_not_even_opened(bus: Path, staging: Path) -> None:
    feed(bus / A, s1=b"x" * (CAP + 1), s3=b"3")
    os.mkfifo(bus / A / S2)  # opening the end of a pipe, or a device, can do things
    place = NotingWhatIsOpened(bus)
    assert place.fetch(A, [Wanted(name, CAP) for name in (S1, S2, S3, "notes.txt")], staging) == (S3,)
    assert place.opened == ["bus", A, S3]


@pytest.mark.parametrize("make", [os.mkfifo, make_socket, Path.mkdir])
def test_what_is_no_regular_file_never_blocks_and_is_never_taken(
    bus: Path, staging: Path, make: Callable[[Path], None]
) -> None:
    feed(bus / A, head=b"a", s2=b"2")
    (bus / B).mkdir()
    for path in (bus / A / S1, bus / B / HEAD_FILE, bus / ("es1" + "c" * 32)):
        make(path)
    assert way(bus).origins().origins == (A,)
    assert way(bus).fetch(A, [Wanted(S1, CAP), Wanted(S2, CAP)], staging) == (S2,)
    assert way(bus).fetch(B, [HEAD], staging) == ()
    assert tree(staging) == {S2: b"2"}


class SwappedFiles(DirectoryTransport):
    """Somebody puts something else in the place of a file just before we open it."""

    def __init__(self, path: Path, name: str, swap: Callable[[Path], object]) -> None:
        super().__init__(path, Disk())
        self._name, self._swap = name, swap

    def _open(self, name: str | Path, flags: int, within: int | None, opened: ExitStack) -> int:
        if name == self._name:
            self._swap(self._path / A / name)
        return super()._open(name, flags, within, opened)


def replaced(make: Callable[[Path], None]) -> Callable[[Path], None]:
    def swap(path: Path) -> None:
        path.unlink()
        make(path)

    return swap


@pytest.mark.parametrize(
    "swap",
    [
        Path.unlink,
        replaced(os.mkfifo),
        replaced(make_socket),
        replaced(Path.mkdir),
        replaced(lambda path: path.symlink_to(S2)),
        lambda path: path.write_bytes(b"x" * (CAP + 1)),
    ],
    ids=["gone", "fifo", "socket", "folder", "symlink", "grown"],
)
def test_a_file_that_is_swapped_under_our_hands_is_left_out(
    bus: Path, staging: Path, swap: Callable[[Path], object]
) -> None:
    feed(bus / A, head=b"a", s1=b"1", s2=b"2")
    assert SwappedFiles(bus, S1, swap).fetch(A, [Wanted(S1, CAP), Wanted(S2, CAP)], staging) == (S2,)
    assert tree(staging) == {S2: b"2"}


def test_our_feed_is_not_published_through_a_symlink(bus: Path, tmp_path: Path, own: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (bus / A).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SourceUnavailable, match=A):
        way(bus).publish(A, own, [S1, HEAD_FILE], frozenset())
    assert tree(tmp_path / "elsewhere") == {}


def test_no_file_elsewhere_is_written_through_links_that_wait_in_our_feed(bus: Path, tmp_path: Path, own: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"precious")
    (bus / A).mkdir()
    for name in (f".tmp-{S1}", S2):
        (bus / A / name).symlink_to(precious)
    for name in (f".tmp-{HEAD_FILE}", HEAD_FILE):
        os.link(precious, bus / A / name)
    way(bus).publish(A, own, [S1, S2, HEAD_FILE], frozenset())
    assert precious.read_bytes() == b"precious"
    assert tree(bus) == {A: None, f"{A}/{S1}": b"1", f"{A}/{S2}": b"2", f"{A}/{HEAD_FILE}": b"head"}


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_no_file_elsewhere_is_written_through_a_link_that_comes_in_between(
    bus: Path, tmp_path: Path, own: Path, link: Callable[[Path, Path], None]
) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"precious")
    place = SwappedFiles(bus, f".tmp-{S1}", lambda path: link(precious, path))
    with pytest.raises(SourceUnavailable, match=S1):
        place.publish(A, own, [S1, HEAD_FILE], frozenset())
    assert precious.read_bytes() == b"precious"


def test_a_folder_with_the_name_of_a_slice_is_never_removed(bus: Path, own: Path) -> None:
    feed(bus / A / S3, head=b"precious")
    way(bus).publish(A, own, [S1, HEAD_FILE], frozenset())
    assert (bus / A / S3 / HEAD_FILE).read_bytes() == b"precious"
    with pytest.raises(SourceUnavailable, match=S3):
        way(bus).publish(A, feed(own, s3=b"3"), [S3, HEAD_FILE], frozenset())
    assert (bus / A / S3 / HEAD_FILE).read_bytes() == b"precious"
    assert not (bus / A / f".tmp-{S3}").exists()


# --- unreadable is never empty ---------------------------------------------------------------------------------------


class Unreadable(DirectoryTransport):
    """One name in the place cannot be opened."""

    def __init__(self, path: Path, name: str | Path, code: int) -> None:
        super().__init__(path, Disk())
        self._name, self._code = name, code

    def _open(self, name: str | Path, flags: int, within: int | None, opened: ExitStack) -> int:
        if name == self._name:
            raise OSError(self._code, os.strerror(self._code))
        return super()._open(name, flags, within, opened)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO, errno.ESTALE])
def test_a_place_that_cannot_be_read_is_unavailable(bus: Path, staging: Path, own: Path, code: int) -> None:
    feed(bus / A, head=b"a")
    place = Unreadable(bus, bus, code)
    with pytest.raises(SourceUnavailable, match=os.strerror(code)):
        place.origins()
    with pytest.raises(SourceUnavailable, match=os.strerror(code)):
        place.fetch(A, [HEAD], staging)
    with pytest.raises(SourceUnavailable, match=os.strerror(code)):
        place.publish(A, own, [HEAD_FILE], frozenset())


@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO])
def test_a_feed_that_cannot_be_read_is_neither_hidden_nor_in_the_way_of_others(
    bus: Path, staging: Path, code: int
) -> None:
    feed(bus / A, head=b"a")
    feed(bus / B, head=b"b")
    place = Unreadable(bus, A, code)
    assert place.origins() == Listing((A, B), 0)
    with pytest.raises(SourceUnavailable, match=A):
        place.fetch(A, [HEAD], staging)
    assert place.fetch(B, [HEAD], staging) == (HEAD_FILE,)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO])
def test_a_file_that_cannot_be_read_is_not_taken_for_a_missing_one(bus: Path, staging: Path, code: int) -> None:
    feed(bus / A, head=b"a", s1=b"1")
    with pytest.raises(SourceUnavailable, match=f"{S1}: cannot be read"):
        Unreadable(bus, S1, code).fetch(A, [HEAD, Wanted(S1, CAP)], staging)


@pytest.mark.parametrize("name", [".eventsync", "feed"])
def test_a_store_that_cannot_be_read_is_unavailable(project: Path, name: str) -> None:
    with pytest.raises(SourceUnavailable, match=os.strerror(errno.EACCES)):
        Unreadable(project, name, errno.EACCES).origins()


class FullDisk(Disk):
    def _write(self, descriptor: int, data: bytes) -> int:
        return super()._write(descriptor, data[: len(data) // 2])


def test_a_full_disk_of_our_own_is_told_from_a_place_that_fails(bus: Path, staging: Path) -> None:
    feed(bus / A, head=b"head")
    with pytest.raises(DiskFailed):
        DirectoryTransport(bus, FullDisk()).fetch(A, [HEAD], staging)
    assert tree(staging) == {}


# --- durable, and in order -------------------------------------------------------------------------------------------


class Watched(DirectoryTransport):
    """Notes every call that writes; the one with the number `fails_at` fails, after half of what it had to write."""

    def __init__(self, path: Path, *, fails_at: int = -1, code: int = errno.EIO) -> None:
        super().__init__(path, Disk())
        self.calls: list[str] = []
        self._fails_at, self._code = fails_at, code
        self._names: dict[int, str] = {}

    def _note(self, call: str) -> None:
        self.calls.append(call)
        if len(self.calls) - 1 == self._fails_at:
            raise OSError(self._code, os.strerror(self._code))

    def _open(self, name: str | Path, flags: int, within: int | None, opened: ExitStack) -> int:
        if flags & os.O_CREAT:
            self._note(f"create {name}")
        descriptor = super()._open(name, flags, within, opened)
        self._names[descriptor] = Path(name).name
        return descriptor

    def _write(self, descriptor: int, data: bytes) -> None:
        if len(self.calls) == self._fails_at:
            super()._write(descriptor, data[: len(data) // 2])
        self._note(f"write {self._names[descriptor]}")
        super()._write(descriptor, data)

    def _fsync(self, descriptor: int) -> None:
        self._note(f"fsync {self._names[descriptor]}")
        super()._fsync(descriptor)

    def _rename(self, old: str, new: str, folder: int) -> None:
        self._note(f"rename {old} {new}")
        super()._rename(old, new, folder)

    def _unlink(self, name: str, folder: int) -> None:
        self._note(f"unlink {name}")
        super()._unlink(name, folder)


def put(name: str) -> list[str]:
    return [
        f"create .tmp-{name}",
        f"write .tmp-{name}",
        f"fsync .tmp-{name}",
        f"rename .tmp-{name} {name}",
        f"fsync {A}",
    ]


def test_each_file_is_durable_before_the_next_and_old_ones_go_last(bus: Path, own: Path) -> None:
    feed(bus / A, head=b"old", s3=b"3")
    place = Watched(bus)
    place.publish(A, own, [HEAD_FILE, S1, S2], frozenset())  # [F4]
    assert place.calls == ["fsync bus", *put(S1), *put(S2), *put(HEAD_FILE), f"unlink {S3}", f"fsync {A}"]


def test_a_new_bus_is_durable_before_what_is_in_it(tmp_path: Path, own: Path) -> None:
    place = Watched(tmp_path / "new")
    place.publish(A, own, [HEAD_FILE], frozenset())
    assert place.calls == [f"fsync {tmp_path.name}", "fsync new", *put(HEAD_FILE)]


def test_a_call_that_fails_leaves_a_whole_feed_and_the_next_publish_mends_it(tmp_path: Path, own: Path) -> None:
    former, new = {S1: b"old slice", HEAD_FILE: b"old head"}, {S2: b"a new slice", S3: b"another", HEAD_FILE: b"new"}
    feed(own, s2=new[S2], s3=new[S3], head=new[HEAD_FILE])
    failed = 0
    while True:
        path = tmp_path / f"bus-{failed}"
        feed(path / A, s1=former[S1], head=former[HEAD_FILE])
        (path / A / f".tmp-{S3}").write_bytes(b"left by a killed publish")
        place = Watched(path, fails_at=failed)
        try:
            place.publish(A, own, [S2, S3, HEAD_FILE], frozenset())
            break
        except SourceUnavailable as error:
            assert os.strerror(errno.EIO) in str(error) and str(path) in str(error)
        there = {name: (path / A / name).read_bytes() for name in names_in(path / A) if FEED_FILE.fullmatch(name)}
        shown = former if there[HEAD_FILE] == former[HEAD_FILE] else new
        assert shown.items() <= there.items(), f"call {failed}: {place.calls[-1]}"
        assert there.items() <= (former | shown).items() | new.items(), f"call {failed}: {place.calls[-1]}"
        way(path).publish(A, own, [S2, S3, HEAD_FILE], frozenset())
        assert tree(path / A) == new, f"call {failed}: {place.calls[-1]}"
        failed += 1
    assert failed == len(
        ["fsync bus", f"unlink .tmp-{S3}", *put(S2), *put(S3), *put(HEAD_FILE), f"unlink {S1}", "fsync"]
    )


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EACCES])
def test_a_place_that_cannot_be_written_says_which_file_and_why(bus: Path, own: Path, code: int) -> None:
    with pytest.raises(SourceUnavailable, match=f"{A}/{S1}: cannot be written: {os.strerror(code)}"):
        Watched(bus, fails_at=1, code=code).publish(A, own, [S1, HEAD_FILE], frozenset())
    assert tree(bus) == {A: None}


class WithoutFsync(DirectoryTransport):
    def _fsync(self, descriptor: int) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))


def test_a_file_system_that_knows_no_fsync_is_still_a_bus(bus: Path, own: Path) -> None:
    WithoutFsync(bus, Disk()).publish(A, own, [S1, HEAD_FILE], frozenset())
    assert way(bus).origins() == Listing((A,), 0)


def test_what_a_killed_publish_left_is_removed_and_what_others_left_is_not(bus: Path, own: Path) -> None:
    (bus / A).mkdir()
    (bus / B).mkdir()
    others = [bus / A / ".tmp-notes", bus / A / ".syncthing.head.json.tmp", bus / B / f".tmp-{S1}"]
    for path in (*others, bus / A / f".tmp-{S1}", bus / A / f".tmp-{HEAD_FILE}"):
        path.write_bytes(b"half")
    way(bus).publish(A, own, [S2, HEAD_FILE], frozenset())
    assert names_in(bus / A) == sorted([".syncthing.head.json.tmp", ".tmp-notes", HEAD_FILE, S2])
    assert all(path.read_bytes() == b"half" for path in others)


def test_others_may_read_what_is_published_as_far_as_the_umask_allows(bus: Path, own: Path) -> None:
    for umask, origin in ((0o027, A), (0o002, B)):
        former = os.umask(umask)
        try:
            way(bus).publish(origin, own, [S1, HEAD_FILE], frozenset())
        finally:
            os.umask(former)
        assert stat.S_IMODE((bus / origin).stat().st_mode) == 0o777 & ~umask
        assert {stat.S_IMODE(path.stat().st_mode) for path in (bus / origin).iterdir()} == {0o666 & ~umask}
