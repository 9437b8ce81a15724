"""Whole stores over rsync, as people use them: what they are told, which exit codes they get, what they never see."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventsync import exits
from tests.acceptance.people import Person, Told
from tests.conformance.test_rsync_calls import fake
from tests.servers.git_servers import SshServer, program
from tests.servers.listener import Counting, Listener, silent
from tests.servers.rsync_servers import MODULE, PASSWORD, USER, login_needed, rsync_daemon

pytestmark = pytest.mark.timeout(180)

# The real program, but for what a test wants of it: LOST are files that do not arrive, ENDS how each call ends.
CHANGED = """#!{python}
import subprocess, sys
from pathlib import Path
if sys.argv[1:] == ["--version"]:
    print("rsync  version {version}  protocol version 32")
    sys.exit(0)
code = subprocess.run([{rsync!r}, *sys.argv[1:]]).returncode
for path in Path(sys.argv[-1]).rglob({lost!r}):
    path.unlink()
    code = {ends}
sys.exit(code)
"""


def change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, lost: str = "nothing", ends: int = 0, version: str = "3.4.1"
) -> None:
    values = {"lost": lost, "ends": ends, "version": version}
    fake(tmp_path / "bin", CHANGED.format(python=sys.executable, rsync=program("rsync"), **values), monkeypatch)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Listener]:
    (tmp_path / "bus").mkdir()
    with rsync_daemon(tmp_path, tmp_path / "server") as server:
        yield server


@pytest.fixture
def people(tmp_path: Path, daemon: Listener) -> tuple[Person, Person, Person]:
    """Three, each with the bus as a remote; the first two have published something there."""
    found = []
    for name in ("ada", "bob", "eve"):
        person = Person(tmp_path / name)
        person.ask("remote", "add", "bus", f"rsync://127.0.0.1:{daemon.port}/{MODULE}/bus", "--no-probe")
        found.append(person)
    for person in found[:2]:
        person.write({f"{person.folder.name}-{number}": {"title": str(number)} for number in range(3)})
        person.ask("push", "--yes")
    return found[0], found[1], found[2]


def results(told: Told) -> dict[str, str]:
    """What a pull came to, by the name that an origin gives itself, or the beginning of its id."""
    (remote,) = told.document["remotes"]
    return {found["name"] or found["origin_store_id"]: found["result"] for found in remote["origins"]}


@pytest.mark.parametrize("ends", [0, 23, 137])
def test_a_feed_that_came_in_part_is_incomplete_and_nothing_of_it_is_kept(
    people: tuple[Person, Person, Person], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: int
) -> None:
    ada, bob, eve = people
    eve.pull()
    for person in (ada, bob):
        person.write({f"{person.folder.name}-later": {"title": "later"}})
        person.ask("push")
    before = eve.truths()
    with monkeypatch.context() as only_now:
        change(tmp_path, only_now, lost="seg-00000004-*", ends=ends)
        told = eve.run("pull")
    assert (told.code, results(told)) == (exits.UNAVAILABLE, {"ada": "incomplete", "bob": "incomplete"})
    assert eve.truths() == before
    assert {found["result"] for found in eve.pull().values()} == {"updated"}


def test_a_feed_that_lacks_a_slice_stops_no_other(people: tuple[Person, Person, Person], tmp_path: Path) -> None:
    ada, _, eve = people
    (lost,) = (tmp_path / "bus" / ada.origin).glob("seg-*")
    lost.unlink()
    told = eve.run("pull")
    assert told.code == exits.PARTLY
    assert results(told) == {ada.origin: "incomplete", "bob": "new"}
    assert ada.run("push").document["remotes"][0]["warnings"] == [
        "files of our feed were lost there; they were published again"
    ]
    assert results(eve.run("pull")) == {"ada": "new", "bob": "up_to_date"}


@pytest.fixture
def ssh(tmp_path: Path) -> Iterator[SshServer]:
    server = SshServer(tmp_path / "ssh")
    server.keep_open()
    yield server
    server.stop()


def test_a_store_on_another_machine_is_pulled_from_without_a_bus(tmp_path: Path, ssh: SshServer) -> None:
    ada, bob = Person(tmp_path / "ada"), Person(tmp_path / "bob")
    ada.write({"pln_1": {"title": "1"}})
    ada.ask("publish")
    for path in ("ada", "ada/.eventsync"):
        bob.run(
            "remote",
            "add",
            path.replace("/.", "-"),
            f"rsync+ssh://{ssh.user}@127.0.0.1:{ssh.port}{tmp_path}/{path}",
        )
        config = bob.store / "config.toml"
        config.write_text(f"{config.read_text()}ssh_config = {str(ssh.config)!r}\n")
    assert [found["result"] for found in bob.pull("ada").values()] == ["new"]
    before = ada.truths()
    bob.write({"pln_2": {"title": "2"}})
    sync = bob.run("sync")
    assert [remote["result"] for remote in sync.document["push"]["remotes"]] == ["read_only"] * 2
    assert sync.code == exits.DONE
    assert bob.run("push", "ada", "--yes").code == exits.USAGE
    assert ada.truths() == before


def test_a_pull_of_nothing_new_moves_hardly_a_byte(tmp_path: Path, daemon: Listener) -> None:
    counter = Counting(daemon.port)
    with Listener(counter) as server:
        ada, bob = Person(tmp_path / "ada"), Person(tmp_path / "bob")
        for person in (ada, bob):
            person.ask("remote", "add", "bus", f"rsync://127.0.0.1:{server.port}/{MODULE}/bus", "--no-probe")
        for number in range(12):
            ada.write({f"pln_{number}": {"title": "x" * 1_000}})
            ada.ask("publish")
        ada.ask("push", "--yes")
        bob.pull()
        for person, command in ((bob, "pull"), (ada, "push")):
            counter.down_bytes = counter.up_bytes = 0
            person.ask(command)
            assert counter.down_bytes + counter.up_bytes < 3_500


# --- the program of this machine -------------------------------------------------------------------------------------


def test_an_old_rsync_is_warned_of_once(
    people: tuple[Person, Person, Person], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(tmp_path, monkeypatch, version="3.2.7")
    eve = people[2]
    eve.ask("remote", "add", "again", eve.ask("remote", "list")["remotes"][0]["url"], "--no-probe")
    eve.write({"eve-1": {"title": "1"}})
    for command in (["pull", "--all"], ["push", "--all", "--yes"], ["sync"]):
        told = eve.run(*command)
        assert told.code == exits.DONE
        (line,) = told.err.splitlines()
        assert "rsync 3.2.7" in json.loads(line)["warning"]["message"]


def test_without_rsync_the_other_remotes_are_pulled(
    people: tuple[Person, Person, Person], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    eve = people[2]
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    told = eve.run("pull")
    (remote,) = told.document["remotes"]
    assert (told.code, remote["error"]["class"]) == (exits.USAGE, "program_unusable")
    assert "not installed" in remote["error"]["message"]
    eve.ask("remote", "add", "folder", str(tmp_path / "bus"), "--no-probe")
    assert eve.run("pull", "--all").code == exits.PARTLY
    assert len(eve.inbox()) == 6


def test_a_silent_server_ends_with_75_and_other_remotes_are_pulled(people: tuple[Person, Person, Person]) -> None:
    eve = people[2]
    with Listener(silent) as server:
        eve.ask("remote", "add", "bad", f"rsync://127.0.0.1:{server.port}/{MODULE}", "--no-probe")
        config = eve.store / "config.toml"
        config.write_text(config.read_text() + "deadline_seconds = 1\n")
        told = eve.run("pull", "bad")
        assert told.code == exits.UNAVAILABLE and "within 1 seconds" in told.out
        told = eve.run("pull", "--all")
    assert told.code == exits.PARTLY
    assert {remote["name"]: remote["error"] is None for remote in told.document["remotes"]} == {
        "bus": True,
        "bad": False,
    }


@pytest.mark.parametrize(
    "setting", ["deadline_second = 1", "deadline_seconds = 0", 'ref_prefix = "refs/x"', 'password_file = "-"']
)
def test_a_setting_that_is_none_is_an_error_that_names_it(people: tuple[Person, Person, Person], setting: str) -> None:
    config = people[2].store / "config.toml"
    config.write_text(config.read_text() + setting + "\n")
    told = people[2].run("pull")
    assert told.code == exits.USAGE
    assert setting.split()[0] in told.out


# --- secrets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("password", [PASSWORD, "wrong"])
def test_no_command_shows_the_password_in_a_url(tmp_path: Path, password: str) -> None:
    from urllib.parse import quote

    (tmp_path / "bus").mkdir()
    with rsync_daemon(tmp_path, tmp_path / "server", *login_needed(tmp_path / "server")) as server:
        hidden = quote(password, safe="")
        url = f"rsync://{USER}:{hidden}@127.0.0.1:{server.port}/{MODULE}/bus"
        person = Person(tmp_path / "ada")
        person.write({"pln_1": {"title": "1"}})
        said = [
            person.run("remote", "add", "bus", url),
            person.run("remote", "set-url", "bus", url),
            person.run("remote", "list"),
            person.run("remote", "show", "bus"),
            person.run("pull", url),
            person.run("push", "--yes"),
            person.run("sync"),
            person.run("status"),
        ]
    good = password == PASSWORD
    assert [told.code for told in said[4:7]] == [exits.DONE if good else exits.AUTHENTICATION] * 3
    assert not [told for told in said if password in told.out + told.err or hidden in told.out + told.err]
    kept = [
        path for path in tmp_path.joinpath("ada").rglob("*") if path.is_file() and hidden.encode() in path.read_bytes()
    ]
    assert [path.name for path in kept] == ["config.toml"]


def test_a_command_that_needs_no_rsync_loads_none(people: tuple[Person, Person, Person]) -> None:
    root = Path(__file__).resolve().parents[2]
    for arguments, loads in ((["remote", "list"], False), (["pull"], True)):
        code = (
            "import sys; sys.path.insert(0, sys.argv[1]); from eventsync.cli import main; code = main(sys.argv[2:]);"
            "print(code, 'federation.transports.rsync' in sys.modules, 'dulwich' in sys.modules)"
        )
        argv = [sys.executable, "-c", code, str(root), *arguments, "--store", str(people[2].folder)]
        ran = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True, env=dict(os.environ))
        assert ran.stdout.splitlines()[-1] == f"0 {loads} False"
