"""What rsync is really asked: how often, with which words and environment; and what its versions are worth."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from federation.errors import ProgramUnusable, RemoteReadOnly, RemoteRefused, SourceUnavailable
from federation.model import HEAD_FILE
from federation.transports import Wanted
from federation.transports.rsync import RsyncTransport, check_program, in_a_child
from tests.conformance.test_rsync import RsyncPlace
from tests.conformance.test_transports import BLOB, S1, S2, S3, A, B, own_feed
from tests.servers.git_servers import SshServer
from tests.servers.listener import Counting, Listener
from tests.servers.processes import PATIENCE_SECONDS
from tests.servers.rsync_servers import (
    MODULE,
    PASSWORD,
    USER,
    counting,
    in_this_process,
    login_needed,
    rsync_daemon,
)

CAP = 1_000_000
HEAD = Wanted(HEAD_FILE, CAP)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Listener]:
    with rsync_daemon(tmp_path, tmp_path / "server") as server:
        yield server


@pytest.fixture
def place(tmp_path: Path, daemon: Listener) -> RsyncPlace:
    return RsyncPlace(tmp_path / "bus", f"rsync://127.0.0.1:{daemon.port}/{MODULE}/bus", tmp_path / "ours")


@pytest.fixture
def staging(tmp_path: Path) -> Path:
    (tmp_path / "staging").mkdir(mode=0o700)
    return tmp_path / "staging"


# --- how often -------------------------------------------------------------------------------------------------------


def pulled(place: RsyncPlace, staging: Path, changed: Sequence[str]) -> list[Sequence[str]]:
    """The calls of a pull of all origins, some of which have something new."""
    calls: list[Sequence[str]] = []
    way = place.way(counting(in_this_process, calls))
    for origin in way.origins().origins:
        assert way.fetch(origin, [HEAD], staging) == (HEAD_FILE,)
        if origin in changed:
            assert way.fetch(origin, [Wanted(S1, CAP), Wanted(S2, CAP)], staging) == (S1, S2)
    return calls


@pytest.mark.parametrize("origins", [1, 20])
def test_a_pull_is_a_list_the_heads_and_a_call_for_each_feed_that_changed(
    place: RsyncPlace, staging: Path, origins: int
) -> None:
    names = ["es1" + "abcdefghijklmnopqrst"[number] * 32 for number in range(origins)]
    for name in names:
        for number in range(1, 40):
            place.plant(f"{name}/seg-{number:08}-{number:08}-0123456789ab.jsonl.zst", b"x" * 1000)
        for file in (HEAD_FILE, S1, S2):
            place.plant(f"{name}/{file}", file.encode())
    assert len(pulled(place, staging, [])) == 2
    assert len(pulled(place, staging, names[:1])) == 3
    assert len(pulled(place, staging, names)) == 2 + origins


def push(place: RsyncPlace, feed: Path, names: Sequence[str], *, first: bool = False) -> list[str]:
    """The calls of a push, as the pusher makes them, each by the option that tells it from the others."""
    calls: list[Sequence[str]] = []
    way = place.way(counting(in_this_process, calls))
    if first:
        way.create()
    area = feed.parent / "area"
    area.mkdir(exist_ok=True)
    there = way.fetch(A, [HEAD], area)
    if not there or (area / HEAD_FILE).read_bytes() != (feed / HEAD_FILE).read_bytes() or way.missing(A, feed, names):
        way.publish(A, feed, names, frozenset())
    marks = {"--list-only": "list", "--files-from=-": "send", "--delete": "remove", "--dirs": "make"}
    return [next((name for mark, name in marks.items() if mark in call), "bring") for call in calls]


def test_a_push_takes_as_many_calls_as_it_has_steps(place: RsyncPlace, tmp_path: Path) -> None:
    feed = own_feed(tmp_path / "feed", head=b"1", s1=b"1")
    assert push(place, feed, [S1, HEAD_FILE], first=True) == ["list", "bring", "list", "send", "send"]
    assert push(place, feed, [S1, HEAD_FILE]) == ["bring", "list"]
    own_feed(feed, head=b"2", s2=b"2")
    assert push(place, feed, [S1, S2, HEAD_FILE]) == ["bring", "list", "send", "send"]
    own_feed(feed, head=b"3", s3=b"3", blob=b"blob")
    assert push(place, feed, [BLOB, S1, S3, HEAD_FILE]) == ["bring", "list", "send", "send", "send", "remove"]


def test_the_first_push_makes_the_folder_when_it_alone_is_missing(place: RsyncPlace, tmp_path: Path) -> None:
    feed = own_feed(tmp_path / "feed", head=b"1")
    place.path.rmdir()
    assert push(place, feed, [HEAD_FILE], first=True) == ["list", "make", "bring", "list", "send"]
    assert place.content() == {f"{A}/{HEAD_FILE}": b"1"}
    assert [path.name for path in tmp_path.rglob("empty")] == ["empty"]
    place.path.rename(tmp_path / "elsewhere")
    with pytest.raises(SourceUnavailable, match="no such folder"):
        place.transport().publish(A, feed, [HEAD_FILE], frozenset())
    assert not place.path.exists()


def test_what_a_killed_push_left_goes_with_the_next(place: RsyncPlace, tmp_path: Path) -> None:
    left = [".head.json.Xy12Zz", f".{S1}.abcdef", BLOB.replace("/ab0", "/.ab0") + ".123456"]
    for name in [*left, "notes", ".notes.Xy12Zz"]:
        place.plant(f"{A}/{name}", b"half")
    feed = own_feed(tmp_path / "feed", head=b"1")
    assert push(place, feed, [HEAD_FILE]) == ["bring", "list", "send", "remove"]
    assert set(place.content()) == {f"{A}/{name}" for name in (HEAD_FILE, "notes", ".notes.Xy12Zz")}


def test_nothing_above_the_folder_is_made(tmp_path: Path, daemon: Listener) -> None:
    place = RsyncPlace(tmp_path / "bus", f"rsync://127.0.0.1:{daemon.port}/{MODULE}/a/b", tmp_path / "ours")
    with pytest.raises(SourceUnavailable, match="could not be written"):
        place.transport().create()
    assert not (tmp_path / "a").exists()


def test_a_list_of_many_strange_names_is_one_call_and_names_them_only(place: RsyncPlace) -> None:
    for number in range(500):
        place.plant(f"strange-{number}/{HEAD_FILE}", b"")
        place.plant(f"{A}/strange-{number}", b"")
    place.plant(f"{A}/{HEAD_FILE}", b"head")
    assert place.transport().origins() == ((A,), 1000)


# --- how much --------------------------------------------------------------------------------------------------------


def test_of_heads_that_are_held_only_what_differs_is_transferred(
    tmp_path: Path, daemon: Listener, staging: Path
) -> None:
    counter = Counting(daemon.port)
    held = tmp_path / "held"
    content = {origin: os.urandom(40_000) for origin in (A, B)}
    with Listener(counter) as server:
        place = RsyncPlace(tmp_path / "bus", f"rsync://127.0.0.1:{server.port}/{MODULE}/bus", tmp_path / "ours")
        for origin, head in content.items():
            place.plant(f"{origin}/{HEAD_FILE}", head)
            (held / origin).mkdir(parents=True)
            (held / origin / HEAD_FILE).write_bytes(head)
        later = content[A] + b"a little more"
        place.plant(f"{A}/{HEAD_FILE}", later)
        moved = []
        for folders in ((), (tmp_path / "nothing", held)):
            way = place.way(in_this_process, *folders)
            counter.down_bytes = 0
            assert way.origins().origins == (A, B)
            for origin, head in ((A, later), (B, content[B])):
                assert way.fetch(origin, [HEAD], staging) == (HEAD_FILE,)
                assert (staging / HEAD_FILE).read_bytes() == head
            moved.append(counter.down_bytes)
    assert moved[0] > 80_000 and moved[1] < 4_000


def test_a_head_that_only_looks_like_the_one_that_is_held_is_brought(
    place: RsyncPlace, tmp_path: Path, staging: Path
) -> None:
    """Same name, same size, same time: what rsync takes for the same file, if it is let."""
    held = tmp_path / "held" / A / HEAD_FILE
    held.parent.mkdir(parents=True)
    held.write_bytes(b"former")
    place.plant(f"{A}/{HEAD_FILE}", b"latest")
    for path in (held, place.path / A / HEAD_FILE):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    assert place.way(in_this_process, tmp_path / "held").fetch(A, [HEAD], staging) == (HEAD_FILE,)
    assert (staging / HEAD_FILE).read_bytes() == b"latest"
    assert held.read_bytes() == b"former"


# --- what stands in the place ----------------------------------------------------------------------------------------


def test_another_store_is_read_and_never_written(place: RsyncPlace, staging: Path, tmp_path: Path) -> None:
    place.plant(f".eventsync/feed/{A}/{HEAD_FILE}", b"head")
    place.plant(f".eventsync/feed/{A}/{S1}", b"1")
    place.plant(".eventsync/store.json", b"{}")
    place.plant(f"{B}/{HEAD_FILE}", b"not of the store")
    way = place.transport()
    assert way.origins() == ((A,), 0)
    assert way.fetch(A, [HEAD], staging) == (HEAD_FILE,)
    assert way.fetch(A, [Wanted(S1, CAP)], staging) == (S1,)
    feed = own_feed(tmp_path / "feed", head=b"1")
    with pytest.raises(RemoteReadOnly, match="is a store"):
        way.create()
    with pytest.raises(RemoteReadOnly, match="is a store"):
        way.publish(B, feed, [HEAD_FILE], frozenset())


def test_what_lies_inside_a_store_is_never_a_bus(tmp_path: Path, daemon: Listener) -> None:
    (tmp_path / ".eventsync").mkdir()
    url = f"rsync://127.0.0.1:{daemon.port}/{MODULE}/.eventsync/feed"
    place = RsyncPlace(tmp_path / ".eventsync" / "feed", url, tmp_path / "ours")
    with pytest.raises(RemoteReadOnly, match="is a store"):
        place.transport().publish(A, own_feed(tmp_path / "feed", head=b"1"), [HEAD_FILE], frozenset())
    place.plant(f"{A}/{HEAD_FILE}", b"head")
    assert place.transport().origins().origins == (A,)


@pytest.mark.parametrize(
    ("name", "text"), [(HEAD_FILE, "holds one feed"), (".brainclaw/config.yaml", "only read in a folder")]
)
def test_what_is_no_bus_is_told(place: RsyncPlace, name: str, text: str) -> None:
    place.plant(name, b"x")
    with pytest.raises(SourceUnavailable, match=text):
        place.transport().origins()


def test_a_link_in_the_place_of_our_feed_is_not_written_through(place: RsyncPlace, tmp_path: Path) -> None:
    place.plant(f"{B}/{HEAD_FILE}", b"of another")
    place.plant_link(A, B)
    with pytest.raises(SourceUnavailable, match="is no folder"):
        place.transport().publish(A, own_feed(tmp_path / "feed", head=b"1"), [HEAD_FILE], frozenset())
    assert place.content() == {f"{B}/{HEAD_FILE}": b"of another"}


def test_a_link_in_the_place_of_our_blobs_is_replaced(place: RsyncPlace, tmp_path: Path) -> None:
    place.plant("elsewhere/ab/notes", b"of another")
    place.plant_link(f"{A}/blobs", "../elsewhere")
    feed = own_feed(tmp_path / "feed", head=b"1", blob=b"blob")
    place.transport().publish(A, feed, [BLOB, HEAD_FILE], frozenset())
    assert place.content() == {
        "elsewhere/ab/notes": b"of another",
        f"{A}/{BLOB}": b"blob",
        f"{A}/{HEAD_FILE}": b"1",
    }


# --- what a daemon may refuse ----------------------------------------------------------------------------------------


def daemon_place(tmp_path: Path, *settings: str, user: str = "", **remote: object) -> tuple[RsyncPlace, Listener]:
    server = rsync_daemon(tmp_path, tmp_path / "server", *settings)
    return RsyncPlace(
        tmp_path / "bus", f"rsync://{user}127.0.0.1:{server.port}/{MODULE}/bus", tmp_path / "ours", **remote
    ), server


@pytest.mark.parametrize("way_in", ["url", "file"])
def test_a_login_is_given_and_a_wrong_one_refused(tmp_path: Path, way_in: str) -> None:
    from urllib.parse import quote

    for password, let_in in ((PASSWORD, True), ("wrong", False)):
        folder = tmp_path / password.replace("/", "-")
        folder.mkdir()
        (folder / "login").write_text(password + "\n")
        (folder / "login").chmod(0o600)
        user = f"{USER}:{quote(password, safe='')}@" if way_in == "url" else f"{USER}@"
        settings = {} if way_in == "url" else {"password_file": str(folder / "login")}
        place, server = daemon_place(folder, *login_needed(folder / "server"), user=user, **settings)
        with server:
            if let_in:
                assert place.transport().origins() == ((), 0)
                continue
            with pytest.raises(RemoteRefused, match="auth failed") as caught:
                place.transport().origins()
            assert password not in str(caught.value)


def test_without_a_login_nobody_is_asked(tmp_path: Path) -> None:
    place, server = daemon_place(tmp_path, *login_needed(tmp_path / "server"))
    with server, pytest.raises(RemoteRefused, match="auth failed"):
        place.way(in_a_child).origins()


def test_a_password_file_that_others_can_read_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "login").write_text(PASSWORD)
    (tmp_path / "login").chmod(0o644)
    settings = {"password_file": str(tmp_path / "login")}
    place, server = daemon_place(tmp_path, *login_needed(tmp_path / "server"), user=f"{USER}@", **settings)
    with server, pytest.raises((SourceUnavailable, RemoteRefused), match=r"password file|auth failed"):
        place.transport().origins()


def test_a_module_that_is_read_only_can_be_pulled_from(tmp_path: Path, staging: Path) -> None:
    place, server = daemon_place(tmp_path, "read only = yes")
    with server:
        place.plant(f"{A}/{HEAD_FILE}", b"head")
        way = place.transport()
        assert way.origins().origins == (A,)
        assert way.fetch(A, [HEAD], staging) == (HEAD_FILE,)
        feed = own_feed(tmp_path / "feed", head=b"1")
        with pytest.raises(RemoteReadOnly, match="read only"):
            place.transport().publish(B, feed, [HEAD_FILE], frozenset())
        place.path.rename(tmp_path / "elsewhere")
        with pytest.raises(RemoteReadOnly, match="read only"):
            place.transport().create()


def test_a_server_that_knows_no_fsync_is_written_without(tmp_path: Path) -> None:
    place, server = daemon_place(tmp_path, "refuse options = fsync")
    with server:
        calls: list[Sequence[str]] = []
        feed = own_feed(tmp_path / "feed", head=b"1", s1=b"1")
        place.way(counting(in_this_process, calls)).publish(A, feed, [S1, HEAD_FILE], frozenset())
        assert place.content() == {f"{A}/{HEAD_FILE}": b"1", f"{A}/{S1}": b"1"}
        assert ["--fsync" in call for call in calls] == [False, True, False, False]


def test_a_server_that_removes_nothing_has_the_new_head_all_the_same(tmp_path: Path) -> None:
    place, server = daemon_place(tmp_path, "refuse options = delete")
    with server:
        feed = own_feed(tmp_path / "feed", head=b"1", s1=b"1")
        place.transport().publish(A, feed, [S1, HEAD_FILE], frozenset())
        own_feed(feed, head=b"2", s2=b"2")
        with pytest.raises(SourceUnavailable, match="refuse --delete"):
            place.transport().publish(A, feed, [S2, HEAD_FILE], frozenset())
        assert place.content()[f"{A}/{HEAD_FILE}"] == b"2"


# --- what the program sees -------------------------------------------------------------------------------------------

RECORDING = """#!{python}
import json, os, sys
seen = {{"argv": sys.argv, "environment": dict(os.environ), "given": sys.stdin.read(), "cwd": os.getcwd()}}
with open({seen!r}, "a") as file:
    file.write(json.dumps(seen) + "\\n")
print("drwxr-xr-x 4096 2026/06/10 14:03:22 .")
"""


def fake(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch, name: str = "rsync") -> Path:
    """A program of that name before all others on the path."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder / name


def recorded(tmp_path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (tmp_path / "seen").read_text().splitlines()]


@pytest.mark.parametrize("url", ["rsync://me:SE%20CRET@127.0.0.1:1/module", "me@127.0.0.1:my bus"])
def test_the_program_sees_what_was_decided_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, staging: Path
) -> None:
    fake(tmp_path / "bin", RECORDING.format(python=sys.executable, seen=str(tmp_path / "seen")), monkeypatch)
    for name in ("RSYNC_RSH", "RSYNC_OLD_ARGS", "RSYNC_PASSWORD", "RSYNC_CONNECT_PROG", "RSYNC_PROTECT_ARGS"):
        monkeypatch.setenv(name, "touch-this")
    way = RsyncPlace(tmp_path / "unused", url, tmp_path / "ours").way(in_a_child)
    assert way.origins().origins == ()
    assert way.missing(A, own_feed(tmp_path / "feed", head=b"1"), [HEAD_FILE]) == (HEAD_FILE,)
    found = recorded(tmp_path)
    assert len(found) == 2
    for seen in found:
        environment = seen["environment"]
        assert isinstance(environment, dict) and isinstance(seen["argv"], list)
        own = {name: value for name, value in environment.items() if name.startswith("RSYNC_")}
        assert own == ({"RSYNC_PASSWORD": "SE CRET"} if url.startswith("rsync:") else {})
        assert (environment["HOME"], environment["LC_ALL"], seen["cwd"]) == ("/dev/null", "C", "/")
        assert "CRET" not in " ".join(seen["argv"]) and "touch-this" not in json.dumps(seen)
        assert seen["argv"][-2:-1] == ["--"]


def test_ssh_and_its_helpers_see_the_home_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = RECORDING.format(python=sys.executable, seen=str(tmp_path / "seen"))
    fake(tmp_path / "bin", script.replace("sys.stdin.read()", "None"), monkeypatch, "ssh")
    settings = {"ssh_config": str(tmp_path / "my 'config'"), "deadline_seconds": PATIENCE_SECONDS}
    with pytest.raises(SourceUnavailable):
        RsyncPlace(tmp_path / "unused", "rsync+ssh://me@127.0.0.1:2222/srv/my bus", tmp_path / "ours", **settings).way(
            in_a_child
        ).origins()
    (seen,) = recorded(tmp_path)
    argv, environment = seen["argv"], seen["environment"]
    assert isinstance(argv, list) and isinstance(environment, dict)
    assert environment["HOME"] == os.path.expanduser("~")  # noqa: PTH111 (compared as a text)
    assert argv[1:3] == ["-F", settings["ssh_config"]]
    assert "BatchMode=yes" in argv and argv[argv.index("-p") + 1] == "2222"
    assert not any("my bus" in word for word in argv), "the other side's shell gets no path with a space"


def test_an_alias_of_the_user_changes_nothing(
    place: RsyncPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / ".popt").write_text("rsync alias --recursive --version\nrsync alias --list-only --version\n")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    place.plant(f"{A}/{HEAD_FILE}", b"head")
    assert place.way(in_a_child).origins().origins == (A,)


def test_names_that_other_shells_would_read_work_over_ssh(tmp_path: Path, ssh: SshServer) -> None:
    path = tmp_path / "my bus, 100% börse"
    url = f"rsync+ssh://{ssh.user}@127.0.0.1:{ssh.port}{path}"
    place = RsyncPlace(path, url, tmp_path / "ours", ssh_config=str(ssh.config))
    place.transport().publish(A, own_feed(tmp_path / "feed", head=b"1", s1=b"1"), [S1, HEAD_FILE], frozenset())
    assert place.transport().origins().origins == (A,)


@pytest.fixture(scope="module")
def ssh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    server = SshServer(tmp_path_factory.mktemp("ssh") / "server")
    yield server
    server.stop()


def test_a_key_that_is_kept_to_rrsync_is_enough(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    from tests.servers.git_servers import program

    server = SshServer(tmp_path / "ssh")
    keys = tmp_path / "ssh" / "authorized_keys"
    keys.write_text(f'restrict,command="{program("rrsync")} {tmp_path}/bus" {keys.read_text()}')
    try:
        place = RsyncPlace(
            tmp_path / "bus",
            f"rsync+ssh://{server.user}@127.0.0.1:{server.port}/~/.",
            tmp_path / "ours",
            ssh_config=str(server.config),
        )
        feed = own_feed(tmp_path / "feed", head=b"1", s1=b"1", blob=b"blob")
        way: RsyncTransport = place.transport()
        way.create()
        way.publish(A, feed, [BLOB, S1, HEAD_FILE], frozenset())
        own_feed(feed, head=b"2", s2=b"2")
        place.transport().publish(A, feed, [S2, HEAD_FILE], frozenset())
        assert place.content() == {f"{A}/{HEAD_FILE}": b"2", f"{A}/{S2}": b"2"}
        assert place.transport().origins().origins == (A,)
    finally:
        server.stop()


# --- versions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("says", "warning"),
    [("3.2.7", "before 3.4.0"), ("3.3.9", "before 3.4.0"), ("3.4.0", None), ("3.5.0", None), ("4.0.0", None)],
)
def test_an_old_rsync_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, warning: str | None
) -> None:
    fake(tmp_path / "bin", f"#!/bin/sh\necho 'rsync  version {says}  protocol version 32'\n", monkeypatch)
    found = check_program(PATIENCE_SECONDS)
    assert found is None if warning is None else (found is not None and warning in found and says in found)


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ("echo 'rsync  version 3.2.6  protocol version 31'", "rsync 3.2.6 is too old: at least 3.2.7 is needed"),
        ("echo 'rsync  version 3.1.3  protocol version 31'", "too old"),
        ("echo 'openrsync: protocol version 29'", "another program of that name"),
        ("exit 1", "does not start"),
    ],
)
def test_an_rsync_that_cannot_be_used_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, text: str
) -> None:
    fake(tmp_path / "bin", f"#!/bin/sh\n{script}\n", monkeypatch)
    with pytest.raises(ProgramUnusable, match=text):
        check_program(PATIENCE_SECONDS)


def test_no_rsync_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ProgramUnusable, match="not installed"):
        check_program(PATIENCE_SECONDS)
