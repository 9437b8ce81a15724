"""Whole stores over git, as people use them: what they are told, which exit codes they get, and what they never see."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from eventsync import exits
from eventsync.cli import main
from eventsync.sharing import Sharing
from federation.errors import DecisionNeeded
from federation.model import Result
from federation.puller import Settings
from tests.integration.world import World, by_origin, candidates, only, pull, put, share
from tests.servers.git_servers import git_daemon
from tests.servers.listener import Counting, Listener, silent
from tests.servers.repositories import Repository

pytestmark = pytest.mark.timeout(180)


class GitWorld(World):
    """Stores whose bus is a git repository, in place or behind a daemon; what moves to its clients is counted."""

    def __init__(self, folder: Path, *, in_place: bool) -> None:
        super().__init__(folder)
        self.repository = Repository(folder / "bus.git")
        self._daemon = git_daemon(folder)
        self.counter = Counting(self._daemon.port)
        self._proxy = Listener(self.counter)
        self.url = str(folder / "bus.git") if in_place else f"git://127.0.0.1:{self._proxy.port}/bus.git"

    def on_git(self, name: str) -> Sharing:
        found = self.store(name)
        found.set_url("bus", self.url)
        return found

    def moved(self) -> int:
        found, self.counter.down_bytes = self.counter.down_bytes, 0
        return found

    def stop(self) -> None:
        self.close_all()
        self._proxy.stop()
        self._daemon.stop()


@pytest.fixture(params=["in place", "daemon"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[GitWorld]:
    found = GitWorld(tmp_path, in_place=request.param == "in place")
    yield found
    found.stop()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[GitWorld]:
    found = GitWorld(tmp_path, in_place=True)
    yield found
    found.stop()


@pytest.fixture
def far(tmp_path: Path) -> Iterator[GitWorld]:
    found = GitWorld(tmp_path, in_place=False)
    yield found
    found.stop()


def first_share(store: Sharing) -> None:
    store.publish()
    assert store.push(store.remotes(None), confirmed=True).exit_code == exits.DONE


def test_stores_learn_from_each_other(either: GitWorld) -> None:
    one, two = either.on_git("one"), either.on_git("two")
    put(one, "pln_1")
    put(two, "pln_2")
    for store in (one, two):
        first_share(store)
    for store, other in ((one, two), (two, one)):
        found = only(pull(store))
        assert (found.origin, found.result, found.records) == (other.store.origin, Result.NEW, 1)
    put(one, "pln_3")
    share(one)
    assert (only(pull(two)).result, only(pull(two)).result) == (Result.UPDATED, Result.UP_TO_DATE)
    assert [candidate.item_id for candidate in candidates(two)] == ["pln_1", "pln_3"]


def test_a_pull_of_nothing_new_moves_hardly_a_byte(far: GitWorld) -> None:
    one, two = far.on_git("one"), far.on_git("two")
    put(one, *(f"pln_{number}" for number in range(50)))
    first_share(one)
    pull(two)
    far.moved()
    assert only(pull(two)).result is Result.UP_TO_DATE
    assert far.moved() < 500
    share(one)  # nothing new either
    assert far.moved() < 500


def test_a_dry_run_keeps_nothing_and_the_next_pull_brings_it_all(far: GitWorld) -> None:
    one, two = far.on_git("one"), far.on_git("two")
    put(one, "pln_1")
    first_share(one)
    for _ in range(2):
        assert only(two.pull(two.remotes(None), Settings(dry_run=True))).result is Result.NEW
    assert not [path for path in (two.store.folder / "federation" / "git").rglob("*") if path.is_file()]
    assert only(pull(two)).result is Result.NEW


def test_a_mirror_that_is_gone_is_pulled_again(world: GitWorld) -> None:
    import shutil

    one, two = world.on_git("one"), world.on_git("two")
    put(one, "pln_1")
    first_share(one)
    pull(two)
    shutil.rmtree(two.store.folder / "federation" / "mirror")
    again = world.reopened(two)
    assert only(pull(again)).result is Result.NEW


def test_a_place_that_is_behind_another_costs_a_list_and_stays_stale(far: GitWorld, tmp_path: Path) -> None:
    one, two = far.on_git("one"), far.on_git("two")
    (tmp_path / "folder").mkdir()
    for store in (one, two):
        store.add_remote("folder", str(tmp_path / "folder"))
    put(one, "pln_1")
    first_share(one)
    put(one, "pln_2")
    one.publish()
    one.push(one.remotes("folder"), confirmed=True)
    assert only(pull(two, two.remotes("folder"))).result is Result.NEW
    assert only(pull(two, two.remotes("bus"))).result is Result.STALE
    far.moved()
    assert only(pull(two, two.remotes("bus"))).result is Result.STALE
    assert far.moved() < 500


def test_the_first_push_to_a_server_needs_a_word_and_a_deleted_ref_does_not(far: GitWorld) -> None:
    one = far.on_git("one")
    put(one, "pln_1")
    one.publish()
    (report,) = one.push(one.remotes(None)).remotes
    assert isinstance(report.error, DecisionNeeded)
    first_share(one)
    far.repository.set_ref(one.store.origin, None)
    run = one.push(one.remotes(None))
    assert run.exit_code == exits.DONE
    assert run.remotes[0].warnings == ("our feed was not there any more; it was published again",)
    assert far.repository.tip(one.store.origin) is not None


def test_a_feed_that_vanished_from_the_bus_deletes_nothing(world: GitWorld) -> None:
    one, two, three = (world.on_git(name) for name in ("one", "two", "three"))
    for store in (one, two):
        put(store, "pln_1")
        first_share(store)
    pull(three)
    world.repository.set_ref(one.store.origin, None)
    for told in (True, False):  # once
        found = pull(three)
        assert set(by_origin(found)) == {two.store.origin}
        assert [vanished.origin for vanished in found.remotes[0].vanished] == [one.store.origin] * told
        assert found.exit_code == exits.DONE
    assert {candidate.origin for candidate in candidates(three)} == {one.store.origin, two.store.origin}
    world.repository.set_ref(two.store.origin, None)
    run = pull(three)  # it held feeds, and is empty now
    assert (run.exit_code, run.remotes[0].origins) == (exits.UNAVAILABLE, ())


def test_another_copy_of_a_store_that_published_is_never_overwritten(far: GitWorld) -> None:
    one = far.on_git("one")
    put(one, "pln_1")
    first_share(one)
    copy = far.copied(one, "copy")
    one = far.reopened(one)
    for store, item in ((copy, "pln_copy"), (one, "pln_one")):
        put(store, item)
        store.publish()
    assert copy.push(copy.remotes(None)).exit_code == exits.DONE
    before = far.repository.content()
    run = one.push(one.remotes(None))
    assert run.exit_code == exits.FOREIGN_REFUSED
    assert far.repository.content() == before


def test_a_feed_that_was_tampered_with_is_refused_and_the_others_are_pulled(world: GitWorld) -> None:
    one, two, three = (world.on_git(name) for name in ("one", "two", "three"))
    for store in (one, two):
        put(store, "pln_1")
        first_share(store)
    path = next(path for path in world.repository.content() if path.startswith(one.store.origin) and "seg-" in path)
    world.repository.plant(path, b"garbage")
    run = pull(three)
    found = by_origin(run)
    assert (found[one.store.origin].result, found[two.store.origin].result) == (Result.INCOMPLETE, Result.NEW)
    assert run.exit_code == exits.PARTLY


# --- on the command line ---------------------------------------------------------------------------------------------

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The program in a store of its own: exit code, and all it said."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def call(*arguments: str) -> tuple[int, str]:
        capsys.readouterr()
        code = main(list(arguments))
        said = capsys.readouterr()
        return code, said.out + said.err

    assert call("init")[0] == 0
    return call


def test_no_command_shows_the_secret_in_a_url(run: Run, tmp_path: Path) -> None:
    url = "git+https://me:SECRET@127.0.0.1:1/team/bus"
    said = [
        run("remote", "add", "bus", url),
        run("remote", "set-url", "bus", url),
        run("remote", "list"),
        run("remote", "show", "bus", "--json"),
        run("put", "plan", "pln_1", "--set", "title=one"),
        run("pull"),
        run("pull", "--json"),
        run("pull", url),
        run("push", "--yes"),
        run("push", "--yes", "--json"),
        run("sync"),
        run("status"),
        run("status", "--json"),
        run("remote", "add", "other", "git+https://me:SECRET@host:99999/bus"),
    ]
    assert [code for code, _ in said].count(exits.UNAVAILABLE) == 6
    assert not [text for _, text in said if "SECRET" in text]
    kept = [path for path in (tmp_path / "here").rglob("*") if path.is_file() and b"SECRET" in path.read_bytes()]
    assert [path.name for path in kept] == ["config.toml"]


def test_nothing_that_was_redacted_is_left_behind_the_ref(run: Run, tmp_path: Path) -> None:
    """[F9]"""
    bus = Repository(tmp_path / "bus.git")
    run("remote", "add", "bus", str(bus.path))
    for number in (1, 2):
        run("put", "plan", f"pln_{number}", "--set", "title=one")
        assert run("push")[0] == 0
    (origin,) = [ref.rpartition("/")[2] for ref in bus.refs()]
    assert len(bus.history(origin)) == 2
    assert run("redact", "1", "--reason", "a slip", "--yes")[0] == 0
    code, said = run("push", "--json")
    assert (code, json.loads(said)["remotes"][0]["warnings"]) == (0, [])
    assert len(bus.history(origin)) == 1
    run("put", "plan", "pln_3", "--set", "title=three")
    assert run("push")[0] == 0
    assert len(bus.history(origin)) == 2


def test_a_silent_server_ends_with_75_and_other_remotes_are_pulled(run: Run, tmp_path: Path) -> None:
    Repository(tmp_path / "good.git")
    with Listener(silent) as server:
        assert run("remote", "add", "--no-probe", "bad", f"git://127.0.0.1:{server.port}/bus.git")[0] == 0
        config = tmp_path / "here" / ".eventsync" / "config.toml"
        config.write_text(config.read_text() + "deadline_seconds = 1\n")
        code, said = run("pull", "bad", "--json")
        assert code == exits.UNAVAILABLE and "no answer within 1 seconds" in said
        assert run("remote", "add", "good", str(tmp_path / "good.git"))[0] == 0
        code, said = run("pull", "--all", "--json")
    assert code == exits.PARTLY
    assert [remote["error"] is None for remote in json.loads(said)["remotes"]] == [False, True]


@pytest.mark.parametrize(
    "setting",
    ["deadline_second = 1", "deadline_seconds = 0", 'ref_prefix = "heads"', 'ssh_config = "-oProxyCommand=x"'],
)
def test_a_setting_that_is_none_is_an_error_that_names_it(run: Run, tmp_path: Path, setting: str) -> None:
    Repository(tmp_path / "bus.git")
    run("remote", "add", "bus", str(tmp_path / "bus.git"))
    config = tmp_path / "here" / ".eventsync" / "config.toml"
    config.write_text(config.read_text() + setting + "\n")
    code, said = run("pull", "--json")
    assert code == exits.USAGE
    assert setting.split()[0] in said


def test_a_short_command_loads_no_git(run: Run, tmp_path: Path) -> None:
    import subprocess
    import sys

    Repository(tmp_path / "bus.git")
    run("remote", "add", "bus", str(tmp_path / "bus.git"))
    root = Path(__file__).resolve().parents[2]
    for arguments, loads in ((["remote", "list"], False), (["pull"], True)):
        code = (
            "import sys; sys.path.insert(0, sys.argv[1]); from eventsync.cli import main; code = main(sys.argv[2:]);"
            "print(code, 'federation.transports.git' in sys.modules, 'dulwich' in sys.modules)"
        )
        ran = subprocess.run(
            [sys.executable, "-c", code, str(root), *arguments], capture_output=True, text=True, check=True
        )
        assert ran.stdout.splitlines()[-1] == f"0 {loads} False", "the library is loaded by the worker alone"
