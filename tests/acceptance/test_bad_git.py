"""Git remotes that are wrong or mean harm, as somebody at the command line meets them: the exit code, what is said, and
that nothing is half done. What is good beside it is taken.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.acceptance.people import Person, Told
from tests.integration.forger import Forged, Forger
from tests.servers.git_servers import git_daemon, program
from tests.servers.hostile import (
    BLOB,
    MIB,
    REF_DELTA,
    LyingServer,
    bombs,
    delta_sizes,
    feed,
    header,
    line,
    object_id,
    objects_of,
    pack,
    packed,
)
from tests.servers.listener import Answering, Listener
from tests.servers.repositories import FILE, LINK, PREFIX, Repository

EXECUTABLE, SUBMODULE = 0o100755, 0o160000
ROOT = Path(__file__).resolve().parents[2]


def forged(key: int) -> Forged:
    """A good feed."""
    forger = Forger(key)
    forger.record(f"plan_of_{key}")
    return forger.feed()


@contextmanager
def untouched(person: Person) -> Iterator[None]:
    """Nothing is kept, nothing is staged, nothing is open for a decision, and nobody else's file is there."""
    before = files_in(person.folder)
    yield
    assert files_in(person.folder) == before
    assert person.inbox() == []


def files_in(folder: Path) -> set[str]:
    """What lies below a folder, but for caches, locks and the log of runs."""
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    return {name for name in names if not name.endswith((".lock", "runs.jsonl")) and "sqlite3" not in name}


def results(told: Told) -> dict[str, str]:
    """What came of each origin, and of a remote that failed as a whole."""
    remotes = told.document["remotes"]
    found = {origin["origin_store_id"]: origin["result"] for remote in remotes for origin in remote["origins"]}
    return found | {remote["name"]: remote["error"]["class"] for remote in remotes if remote["error"]}


def add(person: Person, name: str, url: str, **settings: object) -> None:
    """A remote, with settings that only the config file has."""
    person.run("remote", "add", name, url)
    config = person.store / "config.toml"
    lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items())
    config.write_text(config.read_text() + lines)


# --- trees -----------------------------------------------------------------------------------------------------------

NAMES = [b"..", b".", b".git", b".GIT", b"git~1", b"../../evil", b"/etc/evil", b"a/b", b"\x1b[2J", b"x\ny", b"\xff\xfe"]


@pytest.fixture(params=["in place", "daemon"])
def repository(request: pytest.FixtureRequest, place: Path) -> Iterator[tuple[Repository, str]]:
    """A repository, and how to reach it."""
    found = Repository(place / "bus.git")
    if request.param == "in place":
        yield found, str(found.path)
        return
    with git_daemon(place) as daemon:
        yield found, f"git://127.0.0.1:{daemon.port}/bus.git"


def tree_of(good: Forged, mode: int, *, left_out: Sequence[str] = ()) -> list[tuple[int, bytes, bytes]]:
    """A feed among names that mean harm, and twins of its own that differ in case or in kind."""
    files = [(FILE, name.encode(), data) for name, data in good.files.items() if name not in left_out]
    twins = [twin for name in good.files for twin in ((FILE, name.upper().encode()), (mode, name.encode()))]
    hostile = [*((mode, name) for name in NAMES), *twins]
    return [*((kind, name, b"evil") for kind, name in hostile), *files, (mode, b"last", b"evil")]


@pytest.mark.parametrize("mode", [EXECUTABLE, LINK, SUBMODULE])
def test_the_good_files_of_a_hostile_tree_are_taken(repository: tuple[Repository, str], place: Path, mode: int) -> None:
    bus, url = repository
    good = forged(1)
    bus.plant_tree(good.origin, tree_of(good, mode))
    person = Person(place / "here")
    before = files_in(place)
    answer = person.run("pull", url)
    assert (answer.code, results(answer)) == (0, {good.origin: "new"})
    assert [item["item_id"] for item in person.inbox()] == ["plan_of_1"]
    new = {name.rpartition("/")[2] for name in files_in(place) - before}
    assert new == {*good.files, f"{good.origin}.json", f"{good.origin}.head"}  # the mirror, and the commit it came from


@pytest.mark.parametrize("mode", [EXECUTABLE, LINK, SUBMODULE])
@pytest.mark.parametrize("lost", ["head.json", "slice"])
def test_a_feed_whose_own_file_is_no_plain_file_is_incomplete_and_the_others_are_pulled(
    repository: tuple[Repository, str], place: Path, mode: int, lost: str
) -> None:
    bus, url = repository
    bad, good = forged(1), forged(2)
    bus.plant_tree(bad.origin, tree_of(bad, mode, left_out=["head.json"] if lost == "head.json" else bad.slices))
    person = Person(place / "here")
    with untouched(person):
        answer = person.run("pull", url)
        expected = (75, {bad.origin: "incomplete"}) if lost == "slice" else (0, {})  # without a head there is no feed
        assert (answer.code, results(answer)) == expected
    bus.plant_tree(good.origin, tree_of(good, mode))
    answer = person.run("pull", url)
    assert (answer.code, results(answer)) == (
        (3, {bad.origin: "incomplete", good.origin: "new"}) if lost == "slice" else (0, {good.origin: "new"})
    )
    assert [item["item_id"] for item in person.inbox()] == ["plan_of_2"]


# --- packs -----------------------------------------------------------------------------------------------------------


class Bus:
    """A server with a feed whose pack is bad, beside a good one."""

    def __init__(self, bad_pack: Callable[[Sequence[bytes], str], bytes], *, alone: bool = False) -> None:
        self.bad, self.good = forged(1), forged(2)
        self._bad_tip, bad_objects = feed({**self.bad.files, "padding": b"1"})
        self._good_tip, self._good_objects = feed(self.good.files)
        self._bad_pack = bad_pack(objects_of(bad_objects), object_id(BLOB, b"1"))
        refs = {PREFIX + self.bad.origin: self._bad_tip, PREFIX + self.good.origin: self._good_tip}
        if alone:
            del refs[PREFIX + self.good.origin]
        self.listener = Listener(LyingServer(refs, self._answer))
        self.url = f"git://127.0.0.1:{self.listener.port}/bus"

    def _answer(self, wanted: frozenset[str]) -> bytes:
        return self._bad_pack if self._bad_tip in wanted else pack(objects_of(self._good_objects))


@pytest.mark.parametrize("bomb", list(bombs([], "")))
def test_a_pack_bomb_of_one_feed_leaves_it_as_it_was_and_the_others_are_pulled(place: Path, bomb: str) -> None:
    bus = Bus(lambda before, base: bombs(before, base)[bomb])
    person = Person(place / "here")
    add(person, "bus", bus.url, max_mib=1)
    with bus.listener:
        answer = person.run("pull")
        assert (answer.code, results(answer)) == (3, {bus.bad.origin: "incomplete", bus.good.origin: "new"})
    assert [item["item_id"] for item in person.inbox()] == ["plan_of_2"]
    assert not (person.store / "federation" / "mirror" / bus.bad.origin).exists()


@pytest.mark.parametrize("bomb", ["an object that says it is huge", "a pack that is cut"])
def test_a_pack_bomb_alone_is_75_and_leaves_nothing(place: Path, bomb: str) -> None:
    bus = Bus(lambda before, base: bombs(before, base)[bomb], alone=True)
    person = Person(place / "here")
    add(person, "bus", bus.url, max_mib=1)
    with bus.listener, untouched(person):
        for _ in range(2):
            answer = person.run("pull")
            assert (answer.code, results(answer)) == (75, {bus.bad.origin: "incomplete"})


def many_zeros(before: Sequence[bytes], base: str) -> bytes:
    """384 MiB of objects in a pack of two."""
    size = 16 * MIB
    return pack([*before, *(header(BLOB, size) + zlib.compress(bytes([n]) * size, 1) for n in range(24))])


def many_copies(before: Sequence[bytes], base: str) -> bytes:
    """A delta that says it becomes 16 MiB, and becomes 64 GiB."""
    content = b"\0" * (16 * MIB)
    copies = delta_sizes(len(content), len(content)) + b"\xf0\xff\xff\xff" * 4_096
    return pack(
        [*before, packed(BLOB, content), packed(REF_DELTA, copies, between=bytes.fromhex(object_id(BLOB, content)))]
    )


MEASURED = """
import resource, sys
from eventsync.cli import main
code = main(sys.argv[1:])
with open("/proc/self/status") as status:  # what ru_maxrss says of ourselves counts the process that started us, too
    (ours,) = [int(line.split()[1]) for line in status if line.startswith("VmHWM:")]
workers = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(code, ours // 1024, workers // 1024, file=sys.stderr)
"""


@pytest.mark.parametrize("bomb", [many_zeros, many_copies])
def test_a_pack_bomb_fills_no_memory(place: Path, bomb: Callable[[Sequence[bytes], str], bytes]) -> None:
    bus = Bus(bomb)
    person = Person(place / "here")
    add(person, "bus", bus.url, max_mib=16)
    with bus.listener:
        argv = [sys.executable, "-c", MEASURED, "pull", "--store", str(person.folder)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        ran = subprocess.run(argv, capture_output=True, text=True, check=True, env=environment)
    code, ours, workers = map(int, ran.stderr.splitlines()[-1].split())
    assert code == 3
    assert max(ours, workers) < 250, "MiB at most, of any process"
    assert [item["item_id"] for item in person.inbox()] == ["plan_of_2"]


# --- servers that lie about sizes ------------------------------------------------------------------------------------


def saying(data: bytes) -> Answering:
    """Says this whatever it is asked, and hangs up."""

    def answer(connection: object) -> None:
        connection.recv(65536)  # type: ignore[attr-defined]
        connection.sendall(data)  # type: ignore[attr-defined]

    return answer


KIND = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-advertisement\r\n"
LIES = {
    "a line that is longer than it says": ("git", b"0008" + b"0" * 40 + b" refs/eventsync/x\n0000"),
    "a line that is shorter than it says": ("git", b"fff0" + b"0" * 40 + b" refs/eventsync/x\n"),
    "a line of a negative size": ("git", b"-001" + b"0" * 60),
    "a list that never ends": ("git", line(b"1" * 40 + b" refs/heads/" + b"x" * 60_000) * 40),
    "an answer that is shorter than it says": ("git+http", KIND + b"Content-Length: 1000000000000\r\n\r\n001e# serv"),
    "an answer that is longer than it says": ("git+http", KIND + b"Content-Length: 4\r\n\r\n" + b"001e# service=x" * 9),
    "an answer of a negative size": ("git+http", KIND + b"Content-Length: -1\r\n\r\n" + b"0" * 2 * MIB),
    "a piece that is longer than it says": (
        "git+http",
        KIND + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n001e# service=git-upload-pack\n",
    ),
    "an answer that inflates": (
        "git+http",
        KIND + b"Content-Encoding: deflate\r\nConnection: close\r\n\r\n" + zlib.compress(b"0" * 64 * MIB, 9),
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_server_that_lies_about_sizes_is_75_and_the_other_remote_is_pulled(
    place: Path, monkeypatch: pytest.MonkeyPatch, lie: str
) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    scheme, data = LIES[lie]
    person = Person(place / "here")
    with Listener(saying(data)) as server:
        add(person, "liar", f"{scheme}://127.0.0.1:{server.port}/bus", max_mib=1)
        with untouched(person):
            answer = person.run("pull")
            assert (answer.code, results(answer)) == (75, {"liar": "source_unavailable"})
        good = forged(2)
        Repository(place / "good.git").plant_tree(good.origin, tree_of(good, EXECUTABLE))
        person.ask("remote", "add", "good", str(place / "good.git"))
        answer = person.run("pull", "--all")
    assert (answer.code, results(answer)) == (3, {"liar": "source_unavailable", good.origin: "new"})


# --- repositories that are none, or of another kind ------------------------------------------------------------------


@pytest.mark.parametrize("command", ["pull", "push", "sync"])
def test_a_repository_of_sha256_is_told_and_left(place: Path, command: str) -> None:
    argv = [program("git"), "init", "--quiet", "--bare", "--object-format=sha256", str(place / "other.git")]
    subprocess.run(argv, check=True)
    person = Person(place / "here")
    person.write({"p": {}})
    add(person, "other", str(place / "other.git"))
    before = files_in(place / "other.git")
    answer = person.run(command)
    assert answer.code == 2
    assert '"class": "repository_unsupported"' in answer.out
    assert "sha256" in answer.out and "only sha1 repositories are supported" in answer.out
    assert files_in(place / "other.git") == before


@pytest.mark.parametrize("what", ["missing", "a folder", "a file"])
def test_what_is_no_repository_is_75(place: Path, what: str) -> None:
    path = place / "no.git"
    if what == "a folder":
        path.mkdir()
    elif what == "a file":
        path.touch()
    person = Person(place / "here")
    answer = person.run("pull", str(path))
    assert (answer.code, list(results(answer).values())) == (75, ["source_unavailable"])
    assert str(path) in answer.out
