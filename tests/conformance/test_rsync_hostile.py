"""Rsync servers that lie, break off or are killed, and programs that leave what they should not: each file counts.

Lies are told by somebody in the middle, who changes what a real server says to the real program.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from federation.errors import FederationError, SourceUnavailable
from federation.model import HEAD_FILE
from federation.transports import Wanted
from federation.transports.child import Ended
from federation.transports.rsync import RsyncTransport, Work, in_a_child
from federation.transports.rsync_command import Command
from tests.conformance.test_rsync import RsyncPlace
from tests.conformance.test_rsync_calls import fake
from tests.conformance.test_transports import S1, S2, S3, A, files_in, own_feed
from tests.servers.git_servers import program
from tests.servers.listener import Listener
from tests.servers.rsync_servers import MODULE, Between, Replacing, in_this_process, rsync_daemon

CAP = 1_000_000
HEAD = Wanted(HEAD_FILE, CAP)
SLICES = [Wanted(name, CAP) for name in (S1, S2, S3)]


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Listener]:
    with rsync_daemon(tmp_path, tmp_path / "server") as server:
        yield server


def place_behind(daemon: Listener, tmp_path: Path) -> RsyncPlace:
    return RsyncPlace(tmp_path / "bus", f"rsync://127.0.0.1:{daemon.port}/{MODULE}/bus", tmp_path / "ours")


@pytest.fixture
def place(tmp_path: Path, daemon: Listener) -> RsyncPlace:
    return place_behind(daemon, tmp_path)


@pytest.fixture
def staging(tmp_path: Path) -> Path:
    (tmp_path / "staging").mkdir(mode=0o700)
    return tmp_path / "staging"


def way_over(server: Listener, tmp_path: Path, work: Work = in_a_child) -> RsyncTransport:
    url = f"rsync://127.0.0.1:{server.port}/{MODULE}/bus"
    return RsyncPlace(tmp_path / f"unused-{server.port}", url, tmp_path / "ours").way(work)


# --- lies ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [b"/evil.json", b"/HEAD.JSON", b"/../x.json", b"/./ad.json", b"//ead.json"])
def test_a_name_that_was_not_asked_for_is_not_taken(
    place: RsyncPlace, daemon: Listener, staging: Path, tmp_path: Path, name: bytes
) -> None:
    place.plant(f"{A}/{HEAD_FILE}", b"content")
    before = set(tmp_path.rglob("*"))
    lie = Replacing(b"/head.json", name)
    with Listener(Between(daemon.port, down=lie)) as server:
        way = way_over(server, tmp_path)
        try:
            assert way.fetch(A, [HEAD], staging) == ()
        except SourceUnavailable as error:
            assert str(error).isprintable()
    assert lie.count == 1
    assert set(tmp_path.rglob("*")) - before == {tmp_path / f"unused-{server.port}"}


def test_a_size_that_is_a_lie_fills_no_disk(place: RsyncPlace, daemon: Listener, staging: Path, tmp_path: Path) -> None:
    place.plant(f"{A}/{S1}", b"x" * 0x6A5B4C)
    lie = Replacing(b"\x6a\x4c\x5b", b"\x00\x00\x0a")  # 6.9 MB, told as 2560 bytes
    largest = 0

    def looking(command: Command, deadline_seconds: float) -> Ended:
        nonlocal largest
        ended = in_a_child(command, deadline_seconds)
        sizes = [path.lstat().st_size for path in Path(command.argv[-1]).rglob("*") if not path.is_dir()]
        largest = max([largest, *sizes])
        return ended

    with Listener(Between(daemon.port, down=lie)) as server:
        way = way_over(server, tmp_path, looking)
        with pytest.raises(SourceUnavailable):
            way.fetch(A, [Wanted(S1, 4096)], staging)
    assert lie.count == 1
    assert largest <= 4096
    assert list(staging.iterdir()) == []


# --- breaking off ----------------------------------------------------------------------------------------------------


def noise(size: int) -> bytes:
    """Bytes that do not repeat."""
    return b"".join(number.to_bytes(4, "big") for number in range(size // 4))


@pytest.mark.parametrize("after_bytes", [0, 30, 100, 1_000, 50_000, 150_000, 250_000, 300_300])
def test_what_arrived_whole_before_a_cut_counts_and_nothing_else(
    place: RsyncPlace, daemon: Listener, staging: Path, tmp_path: Path, after_bytes: int
) -> None:
    for name in (S1, S2, S3):
        place.plant(f"{A}/{name}", noise(100_000))
    with Listener(Between(daemon.port, down_bytes=after_bytes)) as server:
        way = way_over(server, tmp_path, in_this_process)
        try:
            had = way.fetch(A, SLICES, staging)
        except SourceUnavailable:
            had = ()
        else:
            assert had == (S1, S2, S3), "a part of it is an error of the place"
    arrived = files_in(staging)
    assert set(had) <= arrived.keys()
    assert all(content == noise(100_000) for content in arrived.values())
    assert place.transport().fetch(A, SLICES, staging) == (S1, S2, S3)


@pytest.mark.parametrize("after_bytes", [0, 30, 300, 2_000, 60_000, 160_000])
def test_a_push_that_is_cut_leaves_whole_files_and_the_former_head(tmp_path: Path, after_bytes: int) -> None:
    names = [S1, S2, S3, HEAD_FILE]
    feed = own_feed(tmp_path / "feed", head=b"former", s1=noise(1_000))
    with rsync_daemon(tmp_path, tmp_path / "server") as daemon:
        place = place_behind(daemon, tmp_path)
        place.transport().publish(A, feed, [S1, HEAD_FILE], frozenset())
        own_feed(feed, head=b"new", s2=noise(80_000), s3=noise(90_000))
        with Listener(Between(daemon.port, up_bytes=after_bytes)) as server, pytest.raises(SourceUnavailable):
            way_over(server, tmp_path, in_this_process).publish(A, feed, names, frozenset())
    # Nobody writes there any more.
    there = {path: content for path, content in place.content().items() if "/." not in path}
    sent = {f"{A}/{name}": content for name, content in files_in(feed).items()}
    assert there.items() <= (sent | {f"{A}/{HEAD_FILE}": b"former"}).items()
    assert there[f"{A}/{HEAD_FILE}"] == b"former" and f"{A}/{S1}" in there
    with rsync_daemon(tmp_path, tmp_path / "server") as daemon:
        way_over(daemon, tmp_path, in_this_process).publish(A, feed, names, frozenset())
    assert place.content() == sent


# --- exit codes ------------------------------------------------------------------------------------------------------

LOSING = """#!{python}
import os, signal, subprocess, sys
from pathlib import Path
ran = subprocess.run([{rsync!r}, *sys.argv[1:]])
for name in {lost!r}:
    for path in Path(sys.argv[-1]).rglob(name):
        path.unlink()
{more}
print("rsync: something went wrong", file=sys.stderr)
sys.exit({code}) if {code} < 128 else os.kill(os.getpid(), {code} - 128)
"""


def losing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, lost: tuple[str, ...] = (), more: str = ""
) -> None:
    """An rsync that does its work, loses some of it, and ends as it likes."""
    script = LOSING.format(python=sys.executable, rsync=program("rsync"), lost=lost, code=code, more=more)
    fake(tmp_path / "bin", script, monkeypatch)


CODES = [0, 1, 5, 10, 11, 12, 23, 24, 25, 30, 35, 137, 139]


@pytest.mark.parametrize("code", CODES)
def test_when_all_is_there_no_exit_code_takes_it_away(
    place: RsyncPlace, staging: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    for name in (S1, S2, S3):
        place.plant(f"{A}/{name}", name.encode())
    losing(tmp_path, monkeypatch, code)
    assert place.way(in_a_child).fetch(A, SLICES, staging) == (S1, S2, S3)


@pytest.mark.parametrize("code", CODES)
def test_when_something_is_missing_the_exit_code_tells_whether_it_is_there(
    place: RsyncPlace, staging: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    for name in (S1, S2, S3):
        place.plant(f"{A}/{name}", name.encode())
    losing(tmp_path, monkeypatch, code, (S2,))
    way = place.way(in_a_child)
    if code in (0, 24):
        assert way.fetch(A, SLICES, staging) == (S1, S3)
    else:
        with pytest.raises(SourceUnavailable, match="something went wrong"):
            way.fetch(A, SLICES, staging)
    assert files_in(staging) == {name: name.encode() for name in (S1, S3)}


@pytest.mark.parametrize("code", [code for code in CODES if code != 0])
def test_a_push_believes_only_a_call_that_went_well(
    place: RsyncPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    feed = own_feed(tmp_path / "feed", head=b"1", s1=b"1")
    losing(tmp_path, monkeypatch, code)
    with pytest.raises(FederationError):
        place.way(in_a_child).publish(A, feed, [S1, HEAD_FILE], frozenset())
    assert f"{A}/{HEAD_FILE}" not in place.content()


def test_a_push_that_left_something_out_does_not_send_the_head(place: RsyncPlace, tmp_path: Path) -> None:
    def skipping(command: Command, deadline_seconds: float) -> Ended:
        return in_this_process(command._replace(given=command.given.replace(f"{S2}\n", "")), deadline_seconds)

    feed = own_feed(tmp_path / "feed", head=b"1", s1=b"1", s2=b"2")
    with pytest.raises(SourceUnavailable, match=f"did not take {S2}"):
        place.way(skipping).publish(A, feed, [S1, S2, HEAD_FILE], frozenset())
    assert place.content() == {f"{A}/{S1}": b"1"}


@pytest.mark.parametrize("code", [23, 0])
def test_a_feed_that_cannot_be_read_hides_no_other_and_is_not_missing(
    place: RsyncPlace, staging: Path, tmp_path: Path, code: int
) -> None:
    """[F6]: the folder of one origin cannot be looked into. (A test may run as root, whom nothing is hidden from.)"""
    other = "es1" + "b" * 32
    for origin in (A, other):
        place.plant(f"{origin}/{HEAD_FILE}", origin.encode())

    def hiding(command: Command, deadline_seconds: float) -> Ended:
        given = command.given.replace(f"+ /{A}/head.json\n", "")
        ended = in_this_process(command._replace(given=given), deadline_seconds)
        output = b"\n".join(line for line in ended.output.split(b"\n") if f"{A}/".encode() not in line)
        return ended._replace(code=code, output=output, errors=b"rsync: opendir failed: Permission denied (13)\n")

    way = place.way(hiding)
    assert way.origins().origins == ((A, other) if code else (other,))
    assert way.fetch(other, [HEAD], staging) == (HEAD_FILE,)
    if code:
        with pytest.raises(SourceUnavailable, match="Permission denied"):
            way.fetch(A, [HEAD], staging)


# --- what a program leaves -------------------------------------------------------------------------------------------

LEFT: dict[str, Callable[[Path], str]] = {
    "a link": lambda secret: f"path.unlink(); path.symlink_to({str(secret)!r})",
    "a link on the way": lambda secret: "path.unlink(); folder.rmdir(); folder.symlink_to(elsewhere)",
    "a folder": lambda secret: "path.unlink(); path.mkdir()",
    "a pipe": lambda secret: "path.unlink(); os.mkfifo(path)",
    "a large file": lambda secret: "os.truncate(path, 2_000_000)",
    "another name": lambda secret: "path.rename(folder / 'HEAD.JSON')",
}


@pytest.mark.parametrize("what", LEFT)
def test_what_is_no_regular_file_of_our_size_is_not_taken(
    place: RsyncPlace, staging: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    place.plant(f"{A}/{HEAD_FILE}", b"head")
    secret = tmp_path / "elsewhere" / HEAD_FILE
    secret.parent.mkdir()
    secret.write_text("not yours")
    setup = f"elsewhere = {str(secret.parent)!r}; folder = Path(sys.argv[-1]) / {A!r}; path = folder / {HEAD_FILE!r}; "
    losing(tmp_path, monkeypatch, 0, more=setup + LEFT[what](secret))
    assert place.way(in_this_process).fetch(A, [HEAD], staging) == ()
    assert list(staging.iterdir()) == []
    assert secret.read_text() == "not yours"


def test_what_lies_beside_is_gone_with_the_folder_it_came_to(
    place: RsyncPlace, staging: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.plant(f"{A}/{HEAD_FILE}", b"head")
    more = "root = Path(sys.argv[-1]); (root / 'x').mkdir(); (root / 'x' / 'y').touch(); (root / 'z').symlink_to('/')"
    losing(tmp_path, monkeypatch, 0, more=more)
    assert place.way(in_a_child).fetch(A, [HEAD], staging) == (HEAD_FILE,)
    assert files_in(staging) == {HEAD_FILE: b"head"}
    assert os.listdir(staging) == [HEAD_FILE]  # noqa: PTH208 (and nothing hidden)
