"""Rsync in its own process: deadlines hold whatever the other side does, nothing is left, no secret is seen [R1] [R2].

These start the real worker. What is asserted of time is only that it ends, with room for a busy machine.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from federation.errors import RemoteRefused, SourceUnavailable
from federation.model import HEAD_FILE
from federation.transports import Wanted
from federation.transports.child import Ended
from federation.transports.rsync import RsyncTransport, in_a_child
from federation.transports.rsync_command import Command
from tests.conformance.test_rsync import RsyncPlace
from tests.conformance.test_transports import S1, S2, A, B, own_feed
from tests.servers.git_servers import SshServer
from tests.servers.listener import Answering, Listener, cutting, dripping, silent
from tests.servers.processes import PATIENCE_SECONDS, Started, wait_for
from tests.servers.rsync_servers import MODULE, PASSWORD, USER, Between, login_needed, rsync_daemon, trickle

CAP = 1_000_000
HEAD = Wanted(HEAD_FILE, CAP)
SPEAKING_RSYNC = ("rsync_worker", "rsync --no-motd", "ssh -")  # workers, and what they start
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[Started]:
    """What a test starts; nothing of it that speaks rsync is left behind."""
    found = Started(monkeypatch)
    yield found
    wait_for(lambda: not found.alive(*SPEAKING_RSYNC))


def way_to(url: str, tmp_path: Path, **settings: object) -> RsyncTransport:
    name = f"unused-{len(list(tmp_path.iterdir()))}"
    return RsyncPlace(tmp_path / name, url, tmp_path / "ours", **settings).way(in_a_child)


def url_of(scheme: str, port: int) -> str:
    return f"rsync://127.0.0.1:{port}/{MODULE}" if scheme == "daemon" else f"rsync+ssh://127.0.0.1:{port}/srv/bus"


# --- it works at all -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["daemon", "ssh"])
def test_a_worker_does_what_it_is_asked(tmp_path: Path, kind: str) -> None:
    ssh = SshServer(tmp_path / "ssh")
    with rsync_daemon(tmp_path, tmp_path / "server") as daemon:
        urls = {
            "daemon": f"rsync://127.0.0.1:{daemon.port}/{MODULE}/bus",
            "ssh": f"rsync+ssh://{ssh.user}@127.0.0.1:{ssh.port}{tmp_path}/bus",
        }
        place = RsyncPlace(tmp_path / "bus", urls[kind], tmp_path / "ours", ssh_config=str(ssh.config))
        feed = own_feed(tmp_path / "feed", head=b"1", s1=b"1", s2=b"2")
        place.path.rmdir()
        way = place.way(in_a_child)
        way.create()
        way.publish(A, feed, [S1, S2, HEAD_FILE], frozenset())
        place.plant(f"{B}/{HEAD_FILE}", b"b")
        way = place.way(in_a_child)
        (tmp_path / "staging").mkdir()
        assert way.origins().origins == (A, B)
        assert way.fetch(B, [HEAD], tmp_path / "staging") == (HEAD_FILE,)
        assert way.fetch(A, [Wanted(S1, CAP), Wanted(S2, CAP)], tmp_path / "staging") == (S1, S2)
    ssh.stop()


# --- deadlines -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [silent, dripping])
@pytest.mark.parametrize("scheme", ["daemon", "ssh"])
def test_a_server_that_never_ends_is_left_at_the_deadline(tmp_path: Path, answer: Answering, scheme: str) -> None:
    with Listener(answer) as server:
        settings = {"deadline_seconds": 1, "ssh_config": "/dev/null"}
        with pytest.raises(SourceUnavailable, match=r"within 1 seconds|did not get in|refused|no rsync"):
            way_to(url_of(scheme, server.port), tmp_path, **settings).origins()
        way = way_to(url_of(scheme, server.port), tmp_path, **settings)
        with pytest.raises(SourceUnavailable):
            way.publish(A, own_feed(tmp_path / "feed", head=b"1"), [HEAD_FILE], frozenset())


def test_a_transfer_that_trickles_is_left_at_the_deadline(tmp_path: Path) -> None:
    with rsync_daemon(tmp_path, tmp_path / "server") as daemon:
        place = RsyncPlace(tmp_path / "bus", url_of("daemon", daemon.port), tmp_path / "ours")
        place.plant(f"{A}/{HEAD_FILE}", b"head")
        with Listener(Between(daemon.port, down=trickle)) as server:
            way = way_to(f"rsync://127.0.0.1:{server.port}/{MODULE}/bus", tmp_path, deadline_seconds=1)
            with pytest.raises(SourceUnavailable, match="within 1 seconds"):
                way.origins()


@pytest.mark.parametrize("scheme", ["daemon", "ssh"])
@pytest.mark.parametrize("answer", [cutting, lambda connection: None])
def test_a_connection_that_is_cut_is_unavailable(tmp_path: Path, answer: Answering, scheme: str) -> None:
    with Listener(answer) as server:
        settings = {"deadline_seconds": PATIENCE_SECONDS, "ssh_config": "/dev/null"}
        way = way_to(url_of(scheme, server.port), tmp_path, **settings)
        for _ in range(3):
            with pytest.raises(SourceUnavailable):
                way.origins()
        assert server.accepted == 1, "a place that failed as a whole is not tried again"


@pytest.mark.parametrize("scheme", ["daemon", "ssh"])
def test_nobody_there_is_unavailable_at_once(tmp_path: Path, scheme: str) -> None:
    with Listener(silent) as server:
        port = server.port
    with pytest.raises(SourceUnavailable, match="Connection refused"):
        way_to(url_of(scheme, port), tmp_path, deadline_seconds=PATIENCE_SECONDS, ssh_config="/dev/null").origins()


def test_a_host_that_nobody_knows_is_no_way_in(tmp_path: Path) -> None:
    server = SshServer(tmp_path / "ssh")
    url = f"rsync+ssh://{server.user}@127.0.0.1:{server.port}{tmp_path}/bus"
    (tmp_path / "ssh" / "known_hosts").write_text("")
    with pytest.raises(RemoteRefused, match="Host key verification failed"):
        way_to(url, tmp_path, deadline_seconds=PATIENCE_SECONDS, ssh_config=str(server.config)).origins()
    server.stop()


def test_a_place_that_lists_and_then_stalls_is_given_up_after_two_deadlines(tmp_path: Path) -> None:
    listing = listing_of({"es1" + letter * 32: {HEAD_FILE: 7} for letter in "abcdefghij"})
    calls: list[Command] = []

    def stalls(command: Command, deadline_seconds: float) -> Ended:
        calls.append(command)
        if "--list-only" in command.argv:
            return Ended(0, listing, b"", late=False)
        return Ended(None, b"", b"", late=True)

    way = RsyncPlace(tmp_path / "unused", "host:bus", tmp_path / "ours").way(stalls)
    for origin in way.origins().origins:
        with pytest.raises(SourceUnavailable, match="within"):
            way.fetch(origin, [HEAD], tmp_path)
    assert len(calls) == 3


def listing_of(sizes: dict[str, dict[str, int]]) -> bytes:
    """What rsync says of a place with these files."""
    when = "2026/06/10 14:03:22"
    lines = [f"drwxr-xr-x 4096 {when} .", *(f"drwxr-xr-x 4096 {when} {name}" for name in sizes)]
    lines += [
        f"-rw-r--r-- {size} {when} {name}/{file}" for name, files in sizes.items() for file, size in files.items()
    ]
    return "\n".join(lines).encode()


def test_heads_come_together_as_far_as_they_fit_in_memory(tmp_path: Path) -> None:
    mib = 1024 * 1024
    listing = listing_of({"es1" + letter * 32: {HEAD_FILE: 7 * mib} for letter in "abcdefghijklmnopqrst"})
    asked: list[int] = []

    def nothing_comes(command: Command, deadline_seconds: float) -> Ended:
        if "--list-only" not in command.argv:
            asked.append(command.given.count(HEAD_FILE))
            assert command.file_bytes is not None and asked[-1] * command.file_bytes <= 64 * mib
        return Ended(0, listing, b"", late=False)

    way = RsyncPlace(tmp_path / "unused", "host:bus", tmp_path / "ours").way(nothing_comes)
    assert [way.fetch(origin, [Wanted(HEAD_FILE, 8 * mib)], tmp_path) for origin in way.origins().origins] == [()] * 20
    assert asked == [9, 9, 2]


def test_more_than_may_come_at_once_is_not_asked_for(tmp_path: Path) -> None:
    mib = 1024 * 1024
    calls: list[Command] = []

    def nothing_comes(command: Command, deadline_seconds: float) -> Ended:
        calls.append(command)
        return Ended(0, listing_of({A: {HEAD_FILE: 7, S1: mib, S2: mib + 1}}), b"", late=False)

    way = RsyncPlace(tmp_path / "unused", "host:bus", tmp_path / "ours", max_mib=2).way(nothing_comes)
    way.origins()
    with pytest.raises(SourceUnavailable, match="3 MiB to bring, more than max_mib = 2"):
        way.fetch(A, [Wanted(S1, 17 * mib), Wanted(S2, 17 * mib)], tmp_path)
    assert len(calls) == 1
    assert way.fetch(A, [Wanted(S1, 17 * mib)], tmp_path) == ()
    assert len(calls) == 2


# --- what a person or the system does --------------------------------------------------------------------------------

PULLING = """
import sys
from pathlib import Path
from tests.conformance.test_rsync import RsyncPlace
from federation.transports.rsync import in_a_child
url, folder = sys.argv[1], Path(sys.argv[2])
place = RsyncPlace(folder / "unused", url, folder / "ours", deadline_seconds=100, ssh_config="/dev/null")
place.way(in_a_child).origins()
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("scheme", ["daemon", "ssh"])
def test_no_worker_outlives_a_pull_that_is_ended(
    tmp_path: Path, started: Started, how: signal.Signals, scheme: str
) -> None:
    with Listener(silent) as server:
        argv = [sys.executable, "-c", PULLING, url_of(scheme, server.port), str(tmp_path)]
        pulling = subprocess.Popen(
            argv, cwd=ROOT, stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(ROOT)}
        )
        try:
            wait_for(lambda: server.accepted == 1)
            assert started.alive(*SPEAKING_RSYNC)
            pulling.send_signal(how)
            pulling.wait(PATIENCE_SECONDS)
            wait_for(lambda: not started.alive(*SPEAKING_RSYNC))
        finally:
            pulling.kill()
            pulling.wait()


# --- secrets ---------------------------------------------------------------------------------------------------------


def test_a_password_is_on_no_command_line_and_in_the_environment_of_rsync_only(
    tmp_path: Path, started: Started
) -> None:
    lines: list[str] = []
    knowing: set[str] = set()

    def watching(connection: object) -> None:
        for process, line in started.alive("").items():
            lines.append(line)
            try:
                if "SECRET" in Path(f"/proc/{process}/environ").read_text():
                    knowing.add(line.split()[0])
            except OSError:
                continue

    with Listener(watching) as server:
        url = f"rsync://me:SECRET@127.0.0.1:{server.port}/{MODULE}"
        with pytest.raises(SourceUnavailable) as caught:
            way_to(url, tmp_path, deadline_seconds=PATIENCE_SECONDS).origins()
    assert any("rsync_worker" in line for line in lines)
    assert not any("SECRET" in line for line in lines)
    assert knowing == {"rsync"}
    assert "SECRET" not in str(caught.value) and "SECRET" not in repr(caught.value.__dict__)


@pytest.mark.parametrize("password", [PASSWORD, "wrong-SECRET"])
def test_no_secret_is_in_what_a_remote_leaves_here(tmp_path: Path, password: str) -> None:
    from urllib.parse import quote

    with rsync_daemon(tmp_path, tmp_path / "server", *login_needed(tmp_path / "server")) as server:
        url = f"rsync://{USER}:{quote(password, safe='')}@127.0.0.1:{server.port}/{MODULE}/bus"
        place = RsyncPlace(tmp_path / "bus", url, tmp_path / "ours")
        place.plant(f"{A}/{HEAD_FILE}", b"head")
        (tmp_path / "staging").mkdir()
        way, said = place.way(in_a_child), ""
        try:
            assert way.origins().origins == (A,)
            assert way.fetch(A, [HEAD], tmp_path / "staging") == (HEAD_FILE,)
        except RemoteRefused as error:
            said = str(error)
        assert bool(said) is (password != PASSWORD)
    folders = [tmp_path / "ours", tmp_path / "staging"]
    left = [path.read_text() for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert not any(secret in text for text in [*left, said] for secret in (password, quote(password, safe="")))
