"""Git in its own process: deadlines hold whatever the other side does, nothing is left, no secret is seen [R1] [R2].

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

from federation.errors import FederationError, RemoteRefused, SourceUnavailable
from federation.model import HEAD_FILE
from federation.transports import Wanted
from federation.transports.child import Ended, run, run_worker
from federation.transports.git import GitTransport
from federation.transports.git_dialogue import in_a_child
from federation.transports.git_job import Job
from tests.conformance.test_git import GitPlace
from tests.conformance.test_transports import S1, A, B, own_feed
from tests.servers.git_servers import PASSWORD, USER, HttpServer, SshServer, git_daemon, remove_proxies
from tests.servers.listener import Answering, Listener, cutting, dripping, silent
from tests.servers.processes import PATIENCE_SECONDS, Started, alive, wait_for

CAP = 1_000_000
SPEAKING_GIT = ("git_worker", "ssh ", "credential")  # workers, and what they start
HEAD = Wanted(HEAD_FILE, CAP)
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    remove_proxies(monkeypatch)


@pytest.fixture(autouse=True)
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[Started]:
    """What a test starts; nothing of it that speaks git is left behind."""
    found = Started(monkeypatch)
    yield found
    wait_for(lambda: not found.alive(*SPEAKING_GIT))


def way_to(url: str, tmp_path: Path, **settings: object) -> GitTransport:
    name = f"unused-{len(list(tmp_path.iterdir()))}.git"
    return GitPlace(tmp_path / name, url, tmp_path / "memory", **settings).way(in_a_child)


def ways_in(server: Listener) -> list[str]:
    return [f"git://127.0.0.1:{server.port}/bus", f"git+http://127.0.0.1:{server.port}/bus"]


# --- it works at all -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["in place", "daemon"])
def test_a_worker_does_what_it_is_asked(tmp_path: Path, kind: str) -> None:
    with git_daemon(tmp_path) as daemon:
        url = str(tmp_path / "bus.git") if kind == "in place" else f"git://127.0.0.1:{daemon.port}/bus.git"
        place = GitPlace(tmp_path / "bus.git", url, tmp_path / "memory")
        feed = own_feed(tmp_path / "feed", head=b"1", s1=b"1")
        place.way(in_a_child).publish(A, feed, [S1, HEAD_FILE], frozenset())
        place.plant(f"{B}/{HEAD_FILE}", b"b")
        way = place.way(in_a_child)
        (tmp_path / "staging").mkdir()
        assert way.origins().origins == (A, B)
        assert way.fetch(B, [HEAD], tmp_path / "staging") == (HEAD_FILE,)
        way.kept(B)
        assert sorted(path.name for path in (tmp_path / "memory").iterdir()) == [
            path.name for path in memory_folders(tmp_path)
        ]


def memory_folders(tmp_path: Path) -> list[Path]:
    """The folders of remotes; files without a name are not seen."""
    return sorted(path for path in (tmp_path / "memory").iterdir() if path.is_dir())


def test_the_whole_way_over_ssh(tmp_path: Path) -> None:
    server = SshServer(tmp_path / "ssh")
    try:
        url = f"git+ssh://{server.user}@127.0.0.1:{server.port}{tmp_path}/bus.git"
        place = GitPlace(tmp_path / "bus.git", url, tmp_path / "memory", ssh_config=str(server.config))
        place.way(in_a_child).publish(A, own_feed(tmp_path / "feed", head=b"1"), [HEAD_FILE], frozenset())
        assert place.way(in_a_child).origins().origins == (A,)
    finally:
        server.stop()


def test_ssh_that_passes_no_protocol_on_lists_in_the_old_way(tmp_path: Path) -> None:
    server = SshServer(tmp_path / "ssh", outdated=True)
    try:
        url = f"git+ssh://{server.user}@127.0.0.1:{server.port}{tmp_path}/bus.git"
        place = GitPlace(tmp_path / "bus.git", url, tmp_path / "memory", ssh_config=str(server.config))
        place.plant(f"{A}/{HEAD_FILE}", b"1")
        assert place.transport().origins().origins == (A,)
    finally:
        server.stop()


def test_a_process_that_is_left_behind_is_seen_wherever_it_hangs(started: Started) -> None:
    subprocess.run(["sh", "-c", "sleep 1234 >/dev/null 2>&1 &"], check=True)  # nobody's child by now
    (found,) = started.alive("sleep 1234")
    os.kill(found, signal.SIGKILL)
    wait_for(lambda: not started.alive("sleep 1234"))


# --- deadlines -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [silent, dripping])
@pytest.mark.parametrize("scheme", ["git", "http", "ssh"])
def test_a_server_that_never_ends_is_left_at_the_deadline(tmp_path: Path, answer: Answering, scheme: str) -> None:
    with Listener(answer) as server:
        host = f"127.0.0.1:{server.port}/bus"
        url = {"git": f"git://{host}", "http": f"git+http://{host}", "ssh": f"git+ssh://{host}"}[scheme]
        with pytest.raises(SourceUnavailable, match=r"within 1 seconds|unreachable|cut off|answer"):
            way_to(url, tmp_path, deadline_seconds=1, ssh_config="/dev/null").origins()
        with pytest.raises(SourceUnavailable):
            way = way_to(url, tmp_path, deadline_seconds=1, ssh_config="/dev/null")
            way.publish(A, own_feed(tmp_path / "feed", head=b"1"), [HEAD_FILE], frozenset())


@pytest.mark.parametrize("answer", [cutting, lambda connection: None])
def test_a_connection_that_is_cut_is_unavailable(tmp_path: Path, answer: Answering) -> None:
    with Listener(answer) as server:
        for url in ways_in(server):
            with pytest.raises(SourceUnavailable):
                way_to(url, tmp_path, deadline_seconds=PATIENCE_SECONDS).origins()


def test_nobody_there_is_unavailable_at_once(tmp_path: Path) -> None:
    with Listener(silent) as server:
        port = server.port
    for url in (f"git://127.0.0.1:{port}/bus", f"git+http://127.0.0.1:{port}/bus", f"git+ssh://127.0.0.1:{port}/bus"):
        with pytest.raises(SourceUnavailable, match="refused"):
            way_to(url, tmp_path, deadline_seconds=PATIENCE_SECONDS, ssh_config="/dev/null").origins()


def test_a_repository_in_place_that_hangs_is_left_at_the_deadline(tmp_path: Path) -> None:
    place = GitPlace(tmp_path / "bus.git", str(tmp_path / "bus.git"), tmp_path / "memory", deadline_seconds=1)
    (place.path / "refs" / "eventsync").mkdir(parents=True)
    os.mkfifo(place.path / "refs" / "eventsync" / A)
    with pytest.raises(SourceUnavailable, match="within 1 seconds"):
        place.way(in_a_child).origins()


def test_a_place_that_lists_and_then_stalls_is_given_up_after_four_deadlines(tmp_path: Path) -> None:
    place = GitPlace(tmp_path / "bus.git", str(tmp_path / "bus.git"), tmp_path / "memory")
    listing = b'{"listing":{' + b",".join(b'"es1%s":"%040d"' % (bytes([n]) * 32, n) for n in range(97, 117)) + b"}}\n"
    asked = []

    def stalls(job: Job, deadline_seconds: float) -> Ended:
        asked.append(job.only)
        return Ended(None, listing, b"", late=True)

    way = place.way(stalls)
    failed = 0
    for origin in way.origins().origins:
        try:
            way.fetch(origin, [HEAD], tmp_path)
        except SourceUnavailable:
            failed += 1
    assert (failed, len(asked)) == (20, 4)


# --- what a person or the system does --------------------------------------------------------------------------------

PULLING = """
import sys
from pathlib import Path
from tests.conformance.test_git import GitPlace
from federation.transports.git_dialogue import in_a_child
url, folder = sys.argv[1], Path(sys.argv[2])
place = GitPlace(folder / "unused.git", url, folder / "memory", deadline_seconds=100, ssh_config="/dev/null")
place.way(in_a_child).origins()
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("scheme", ["git", "git+ssh"])
def test_no_worker_outlives_a_pull_that_is_ended(
    tmp_path: Path, started: Started, how: signal.Signals, scheme: str
) -> None:
    with Listener(silent) as server:
        argv = [sys.executable, "-c", PULLING, f"{scheme}://127.0.0.1:{server.port}/bus", str(tmp_path)]
        pulling = subprocess.Popen(
            argv, cwd=ROOT, stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(ROOT)}
        )
        try:
            wait_for(lambda: server.accepted == 1)
            assert started.alive(*SPEAKING_GIT)
            pulling.send_signal(how)
            pulling.wait(PATIENCE_SECONDS)
            wait_for(lambda: not started.alive(*SPEAKING_GIT))
        finally:
            pulling.kill()
            pulling.wait()


# --- secrets ---------------------------------------------------------------------------------------------------------


def test_no_secret_is_seen_on_a_command_line_or_in_an_environment(tmp_path: Path, started: Started) -> None:
    seen: list[str] = []

    def watching(connection: object) -> None:
        for process in started.alive(""):
            try:
                seen.append(Path(f"/proc/{process}/cmdline").read_text())
                seen.append(Path(f"/proc/{process}/environ").read_text())
            except OSError:
                continue

    with Listener(watching) as server:
        url = f"git+http://me:SECRET@127.0.0.1:{server.port}/bus"
        with pytest.raises(SourceUnavailable) as caught:
            way_to(url, tmp_path, deadline_seconds=PATIENCE_SECONDS).origins()
    assert any("git_worker" in line for line in seen)
    assert not any("SECRET" in line for line in seen)
    assert "SECRET" not in str(caught.value) and "SECRET" not in repr(caught.value.__dict__)


@pytest.mark.parametrize("password", [PASSWORD, "wrong-SECRET"])
def test_no_secret_is_in_what_a_remote_leaves_here(tmp_path: Path, password: str) -> None:
    from urllib.parse import quote

    server = HttpServer(tmp_path)
    try:
        url = f"git+http://{USER}:{quote(password, safe='')}@127.0.0.1:{server.port}/bus.git"
        place = GitPlace(tmp_path / "bus.git", url, tmp_path / "memory")
        place.plant(f"{A}/{HEAD_FILE}", b"head")
        (tmp_path / "staging").mkdir()
        way = place.way(in_a_child)
        said = ""
        try:
            assert way.origins().origins == (A,)
            way.fetch(A, [HEAD], tmp_path / "staging")
            way.kept(A)
        except FederationError as error:
            assert isinstance(error, RemoteRefused)
            said = str(error)
    finally:
        server.stop()
    left = [path.read_text() + str(path) for path in (tmp_path / "memory").rglob("*") if path.is_file()]
    assert not any(secret in text for text in [*left, said] for secret in (password, quote(password, safe="")))


# --- child processes as such -----------------------------------------------------------------------------------------


def test_a_program_hears_all_that_is_given_and_is_heard_to_its_end() -> None:
    given = bytes(range(256)) * 4_000
    ended = run(["cat"], given=given, deadline_seconds=PATIENCE_SECONDS)
    assert (ended.code, ended.output == given, ended.errors, ended.late) == (0, True, b"", False)


def test_what_a_program_says_on_standard_error_is_cut() -> None:
    ended = run(["sh", "-c", "yes complaint | head -c 1000000 >&2; exit 3"], deadline_seconds=PATIENCE_SECONDS)
    assert (ended.code, len(ended.errors)) == (3, 64 * 1024)


def test_a_program_that_leaves_others_behind_takes_them_along(tmp_path: Path) -> None:
    ended = run(
        ["sh", "-c", f"sleep 1000 >/dev/null 2>&1 & echo $! > {tmp_path}/left; exit 0"],
        deadline_seconds=PATIENCE_SECONDS,
    )
    assert ended.code == 0
    wait_for(lambda: not alive(int((tmp_path / "left").read_text())))


def test_a_program_that_is_late_is_ended_with_what_it_said_so_far() -> None:
    said = b""
    for seconds in (1, 4, 16, 64):  # a machine may be so busy that it says nothing so soon
        if not said:
            ended = run(["sh", "-c", "echo begun; sleep 1000"], deadline_seconds=seconds)
            assert (ended.code, ended.late) == (None, True)
            said = ended.output
    assert said == b"begun\n"


def test_a_program_that_does_not_listen_stops_nobody() -> None:
    ended = run(["sh", "-c", "exec 0<&-; echo deaf"], given=b"x" * 1_000_000, deadline_seconds=PATIENCE_SECONDS)
    assert (ended.code, ended.output) == (0, b"deaf\n")


def test_a_program_is_run_away_from_here_and_one_that_is_missing_is_unavailable() -> None:
    assert run(["pwd"], deadline_seconds=PATIENCE_SECONDS).output == b"/\n"
    with pytest.raises(SourceUnavailable, match="cannot be started"):
        run(["/there/is/no/such/program"], deadline_seconds=PATIENCE_SECONDS)


def test_a_worker_that_breaks_down_says_why_by_its_last_line(tmp_path: Path) -> None:
    ended = run_worker(
        "federation.transports.git_worker", b"no json", deadline_seconds=PATIENCE_SECONDS, descriptors=[]
    )
    assert ended.code == 1 and b"JSONDecodeError" in ended.errors


def test_a_worker_that_wants_too_much_memory_breaks_down_alone(tmp_path: Path) -> None:
    code = (
        "from federation.transports.worker import Limits, take_job\n"
        "take_job(Limits(memory_bytes=200_000_000))\n"
        "bytearray(400_000_000)\n"
    )
    (tmp_path / "greedy.py").write_text(code)
    sys.path.append(str(tmp_path))
    try:
        ended = run_worker("greedy", b"{}", deadline_seconds=PATIENCE_SECONDS, descriptors=[])
    finally:
        sys.path.remove(str(tmp_path))
    assert ended.code == 1 and b"MemoryError" in ended.errors
