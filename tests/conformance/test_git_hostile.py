"""Git from hostile places: trees, packs and servers that lie. Only the good file is taken, and nobody else suffers."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from federation.errors import RemoteReadOnly, SourceUnavailable
from federation.model import HEAD_FILE
from federation.transports import Listing, Wanted
from federation.transports.git_job import Caps, Failure
from federation.transports.git_objects import Pack, parse_tree
from federation.transports.git_objects import Spool as WorkerSpool
from tests.conformance.test_git import GitPlace
from tests.conformance.test_transports import S1, S2, S3, A, B, own_feed
from tests.servers.git_servers import git_daemon, program, remove_proxies
from tests.servers.hostile import (
    BLOB,
    MIB,
    REF_DELTA,
    LyingServer,
    bombs,
    delta_sizes,
    feed,
    line,
    object_id,
    objects_of,
    pack,
    packed,
)
from tests.servers.listener import Listener
from tests.servers.repositories import FILE, FOLDER, LINK

CAP = 1_000_000
HEAD = Wanted(HEAD_FILE, CAP)
EXECUTABLE = 0o100755
SUBMODULE = 0o160000


@pytest.fixture
def staging(tmp_path: Path) -> Path:
    folder = tmp_path / "staging"
    folder.mkdir()
    return folder


@pytest.fixture(params=["daemon", "in place"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[GitPlace]:
    if request.param == "in place":
        yield GitPlace(tmp_path / "bus.git", str(tmp_path / "bus.git"), tmp_path / "memory")
        return
    with git_daemon(tmp_path) as daemon:
        yield GitPlace(tmp_path / "bus.git", f"git://127.0.0.1:{daemon.port}/bus.git", tmp_path / "memory")


# --- trees -----------------------------------------------------------------------------------------------------------

NAMES = [
    b"..",
    b".",
    b".git",
    b".GIT",
    b"git~1",
    b".git\xe2\x80\x8c",
    b"../../evil",
    b"/etc/passwd",
    b"a/b",
    b"\x1b[2J",
    b"line\nbreak",
    b"\xff\xfe",
    b"head.json ",
    b"HEAD.JSON",
    S1.upper().encode(),
    S1.replace("seg", "Seg").encode(),
    b"con",
    b"x" * 5_000,
]


@pytest.mark.parametrize("mode", [FILE, EXECUTABLE, LINK, SUBMODULE])
def test_one_good_slice_is_taken_from_a_hostile_tree(place: GitPlace, staging: Path, mode: int) -> None:
    hostile = [(mode, name, b"hostile %d" % number) for number, name in enumerate(NAMES)]
    place.plant_tree(A, [*hostile[:9], (FILE, HEAD_FILE.encode(), b"head"), (FILE, S1.encode(), b"good"), *hostile[9:]])
    way = place.transport()
    assert way.origins() == Listing((A,), len(NAMES))
    asked = [Wanted(name.decode("latin-1"), CAP) for name in NAMES]
    assert way.fetch(A, [HEAD, *asked, Wanted(S1, CAP)], staging) == (HEAD_FILE, S1)
    assert {path.name: path.read_bytes() for path in staging.iterdir()} == {HEAD_FILE: b"head", S1: b"good"}


def test_a_tree_that_git_itself_does_not_serve_stops_none_of_the_others(place: GitPlace, staging: Path) -> None:
    """A name of no bytes, and a folder that is none: the server gives up, and in place there is nothing to follow."""
    place.plant_tree(A, [(FILE, b"", b"x"), (FOLDER, b"folder", b"none"), (FILE, HEAD_FILE.encode(), b"a")])
    place.plant(f"{B}/{HEAD_FILE}", b"b")
    way = place.transport()
    assert way.origins().origins == (A, B)
    assert way.fetch(B, [HEAD], staging) == (HEAD_FILE,)
    try:
        assert way.fetch(A, [HEAD], staging) == (HEAD_FILE,)
    except SourceUnavailable as error:
        assert "the transfer failed" in str(error) or "cut off" in str(error)


@pytest.mark.parametrize("mode", [EXECUTABLE, LINK, SUBMODULE, 0o100664, 0o100600, 0])
def test_a_slice_that_is_no_plain_file_is_left_out(place: GitPlace, staging: Path, mode: int) -> None:
    place.plant_tree(A, [(FILE, HEAD_FILE.encode(), b"head"), (mode, S1.encode(), b"1"), (FILE, S2.encode(), b"2")])
    way = place.transport()
    assert way.fetch(A, [HEAD, Wanted(S1, CAP), Wanted(S2, CAP)], staging) == (HEAD_FILE, S2)


@pytest.mark.parametrize("mode", [EXECUTABLE, LINK, SUBMODULE])
def test_of_twins_with_one_name_the_plain_file_is_taken(place: GitPlace, staging: Path, mode: int) -> None:
    twins = [(mode, S1.encode(), b"evil"), (FILE, S1.encode(), b"good"), (mode, S1.encode(), b"evil too")]
    place.plant_tree(A, [(FILE, HEAD_FILE.encode(), b"head"), *twins])
    assert place.transport().fetch(A, [Wanted(S1, CAP)], staging) == (S1,)
    assert (staging / S1).read_bytes() == b"good"


def test_what_others_planted_in_our_tree_goes_on_only_if_git_allows_it(place: GitPlace, tmp_path: Path) -> None:
    planted = [(FILE, name, b"planted") for name in (b"..", b".git", b".GIT", b"a/b", b"notes.txt")]
    place.plant_tree(A, sorted([(FILE, HEAD_FILE.encode(), b"theirs"), *planted], key=lambda entry: entry[1]))
    place.transport().publish(A, own_feed(tmp_path / "feed", head=b"ours"), [HEAD_FILE], frozenset())
    assert place.content() == {f"{A}/{HEAD_FILE}": b"ours", f"{A}/notes.txt": b"planted"}


def test_a_ref_to_something_else_than_a_commit_is_no_feed(place: GitPlace, tmp_path: Path, staging: Path) -> None:
    place.plant(A, b"a blob where a commit should be")
    place.plant(f"{B}/{HEAD_FILE}", b"b")
    assert place.transport().origins() == Listing((B,), 1)
    assert place.transport().fetch(A, [HEAD], staging) == ()
    with pytest.raises(SourceUnavailable, match="no commit"):
        place.transport().publish(A, own_feed(tmp_path / "feed", head=b"1"), [HEAD_FILE], frozenset())


@pytest.mark.parametrize("size", [0, 1, 7, 26, 27, 40])
def test_a_tree_that_ends_anywhere_is_read_up_to_there(size: int) -> None:
    raw = b"100644 a\0" + b"\1" * 20 + b"40000 b\0" + b"\2" * 20
    assert [entry.name for entry in parse_tree(raw[:size])] == (["a"] if size >= 29 else [])
    assert [entry.name for entry in parse_tree(raw)] == ["a", "b"]
    assert list(parse_tree(b"100649 a\0" + b"\1" * 20)) == []  # 9 is no octal digit


# --- packs -----------------------------------------------------------------------------------------------------------


GOOD_TIP, GOOD = feed({HEAD_FILE: b"b", S2: b"2"})
BAD_TIP, BAD = feed({HEAD_FILE: b"a", S1: b"1"})
BASE = object_id(BLOB, b"1")


BOMBS = bombs(objects_of(BAD), BASE)


class Hostile:
    """A server with a bad feed (A) beside a good one (B)."""

    def __init__(self, bad: bytes | None, folder: Path) -> None:
        self.server = LyingServer({f"refs/eventsync/{A}": BAD_TIP, f"refs/eventsync/{B}": GOOD_TIP}, self._answer)
        self._bad = bad
        self.listener = Listener(self.server)
        url = f"git://127.0.0.1:{self.listener.port}/bus"
        self.place = GitPlace(folder / "unused.git", url, folder / "memory", max_mib=1)

    def _answer(self, wanted: frozenset[str]) -> bytes | None:
        return self._bad if BAD_TIP in wanted else pack(objects_of(GOOD))


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bad_pack_of_one_stops_none_of_the_others(bomb: str, tmp_path: Path, staging: Path) -> None:
    hostile = Hostile(BOMBS[bomb], tmp_path)
    with hostile.listener:
        way = hostile.place.transport()
        assert way.origins() == Listing((A, B), 0)  # one transfer for both failed; what they hold is not known yet
        if bomb == "fewer objects than there are":  # then the feed is not in it
            assert way.fetch(A, [Wanted(S1, CAP)], staging) == ()
        else:
            with pytest.raises(SourceUnavailable, match=r"pack|object|broke down"):
                way.fetch(A, [HEAD], staging)
        assert way.fetch(B, [HEAD, Wanted(S2, CAP)], staging) == (HEAD_FILE, S2)
    assert sorted(path.name for path in staging.iterdir()) == [HEAD_FILE, S2]


def test_more_bytes_than_are_taken_are_not_even_received(tmp_path: Path, staging: Path) -> None:
    hostile = Hostile(pack([*objects_of(BAD), packed(BLOB, random.Random(1).randbytes(2 * MIB))]), tmp_path)
    with hostile.listener:
        way = hostile.place.transport()
        way.origins()
        with pytest.raises(SourceUnavailable, match="more than 1048576 bytes"):
            way.fetch(A, [HEAD], staging)
        assert way.fetch(B, [HEAD], staging) == (HEAD_FILE,)


def test_a_server_that_hangs_up_on_one_stops_none_of_the_others(tmp_path: Path, staging: Path) -> None:
    hostile = Hostile(None, tmp_path)
    with hostile.listener:
        way = hostile.place.transport()
        assert way.origins() == Listing((A, B), 0)
        with pytest.raises(SourceUnavailable):
            way.fetch(A, [HEAD], staging)
        assert way.fetch(B, [HEAD], staging) == (HEAD_FILE,)


def test_a_pack_without_the_files_of_its_tree_is_incomplete(tmp_path: Path, staging: Path) -> None:
    hostile = Hostile(pack(objects_of(BAD[:3])), tmp_path)  # commit, tree and head; the slice is not sent
    with hostile.listener:
        way = hostile.place.transport()
        way.origins()
        assert way.fetch(A, [HEAD, Wanted(S1, CAP)], staging) == (HEAD_FILE,)


def test_a_list_without_end_is_cut(tmp_path: Path) -> None:
    def endless(connection: socket.socket) -> None:
        connection.recv(65536)
        row = line(f"{GOOD_TIP} refs/heads/".encode() + b"x" * 60_000)
        for _ in range(100):
            connection.sendall(row)

    with Listener(endless) as server:
        place = GitPlace(tmp_path / "unused.git", f"git://127.0.0.1:{server.port}/bus", tmp_path / "memory", max_mib=1)
        with pytest.raises(SourceUnavailable, match="more bytes than are taken"):
            place.transport().origins()


ANSWERS = [
    b"",
    b"0000",
    b"0001",
    b"0004",
    b"fffe",
    b"-001",
    b"000eversion 2\n0000",
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.2\r\n",
    line(b"ERR \x1b[2Jno such repository\n"),
    line(b"zzzz refs/heads/x\0shallow\n") + b"0000",
    line(b"0" * 40 + b" refs/eventsync/" + A.encode() + b"\0\n") + b"0000",
    line(b"\xff" * 40 + b" refs/eventsync/" + A.encode() + b"\0\n") + b"0000",
    line(b"1" * 40) + b"0000",
    b"\0" * 1_000,
    bytes(range(256)) * 10,
]


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("scheme", ["git", "git+http"])
def test_any_answer_is_unavailable_or_an_empty_list_and_moves_no_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes, scheme: str
) -> None:
    remove_proxies(monkeypatch)

    def say(connection: socket.socket) -> None:
        connection.recv(65536)
        kind = b"Content-Type: application/x-git-upload-pack-advertisement"
        http = b"HTTP/1.1 200 OK\r\n%s\r\nContent-Length: %d\r\n\r\n" % (kind, len(answer))
        connection.sendall((http if scheme == "git+http" else b"") + answer)

    with Listener(say) as server:
        place = GitPlace(tmp_path / "unused.git", f"{scheme}://127.0.0.1:{server.port}/bus", tmp_path / "memory")
        try:
            assert place.transport().origins().origins in ((), (A,))
        except SourceUnavailable as error:
            assert str(error).isprintable()


# --- the parser of packs, with bytes turned at random ----------------------------------------------------------------


def unpack(data: bytes, folder: Path) -> int:
    """How many objects come out; Failure when it is no good pack."""
    import contextlib
    import tempfile

    caps = Caps(MIB, 4 * MIB, MIB, 1_000)
    with tempfile.TemporaryFile(dir=folder) as file, contextlib.closing(Pack(folder, caps)) as found:
        spool = WorkerSpool(file.fileno(), caps)
        found.write(data)
        found.unpack(spool)
        return file.seek(0, 2)


def test_a_pack_with_turned_bits_is_refused_and_nothing_else_happens(tmp_path: Path) -> None:
    chance = random.Random(20261123)
    text = b"a head that deltas well " * 20
    delta = delta_sizes(len(text), len(text) + 1) + b"\xb0" + len(text).to_bytes(2, "little") + b"\x01!"
    objects = [
        *objects_of(BAD),
        packed(BLOB, text),
        packed(REF_DELTA, delta, between=bytes.fromhex(object_id(BLOB, text))),
    ]
    good = pack(objects)
    assert unpack(good, tmp_path) == sum(len(content) for _, content in BAD) + 2 * len(text) + 1
    for _ in range(2_000):
        turned = bytearray(good[:-20])
        for _ in range(chance.randint(1, 4)):
            turned[chance.randrange(4, len(turned))] = chance.randrange(256)
        import hashlib

        with_sum = bytes(turned) + hashlib.sha1(turned).digest()
        try:
            unpack(with_sum, tmp_path)
        except Failure as failure:
            assert failure.kind == "damaged"


# --- servers that refuse ---------------------------------------------------------------------------------------------


def test_a_server_that_lets_nobody_push_is_read_only(tmp_path: Path) -> None:
    with git_daemon(tmp_path, writable=False) as daemon:
        place = GitPlace(tmp_path / "bus.git", f"git://127.0.0.1:{daemon.port}/bus.git", tmp_path / "memory")
        with pytest.raises((RemoteReadOnly, SourceUnavailable)):
            place.transport().publish(A, own_feed(tmp_path / "feed", head=b"1"), [HEAD_FILE], frozenset())
        assert place.content() == {}


def test_a_ref_that_a_hook_refuses_is_reported_though_the_library_does_not(tmp_path: Path) -> None:
    with git_daemon(tmp_path) as daemon:
        place = GitPlace(tmp_path / "bus.git", f"git://127.0.0.1:{daemon.port}/bus.git", tmp_path / "memory")
        hook = place.path / "hooks" / "update"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text("#!/bin/sh\nexit 1\n")
        hook.chmod(0o755)
        with pytest.raises(RemoteReadOnly, match="hook declined"):
            place.transport().publish(A, own_feed(tmp_path / "feed", head=b"1"), [HEAD_FILE], frozenset())
        assert place.tip(A) is None


def test_no_hook_of_a_repository_in_place_is_run(tmp_path: Path) -> None:
    place = GitPlace(tmp_path / "bus.git", str(tmp_path / "bus.git"), tmp_path / "memory")
    (place.path / "hooks").mkdir(exist_ok=True)
    for name in ("pre-receive", "update", "post-receive", "post-update", "reference-transaction", "post-commit"):
        hook = place.path / "hooks" / name
        hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\nexit 1\n")
        hook.chmod(0o755)
    with (place.path / "config").open("a") as config:
        config.write(f"[core]\n\tfsmonitor = touch {tmp_path}/ran\n\tsshCommand = touch {tmp_path}/ran\n")
    place.transport().publish(A, own_feed(tmp_path / "feed", head=b"1", s3=b"3"), [S3, HEAD_FILE], frozenset())
    assert place.transport().origins().origins == (A,)
    assert not (tmp_path / "ran").exists()
    assert program("git")
