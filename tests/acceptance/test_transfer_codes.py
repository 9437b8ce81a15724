"""How a transfer that does not work ends, over every kind of remote: 75 to try again, 4 for a login, 10 for no remote.

All kinds stand in one config, so that the code of the whole run says that they failed alike.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.acceptance.people import Person, run
from tests.servers import rsync_servers
from tests.servers.git_servers import HttpServer, SshServer, remove_proxies
from tests.servers.listener import Answering, Listener, cutting, dripping, silent
from tests.servers.processes import Started, wait_for
from tests.servers.repositories import Repository
from tests.servers.rsync_servers import MODULE, login_needed, rsync_daemon

SHORT_SECONDS = 2
LONG_SECONDS = 600


@pytest.fixture(autouse=True)
def _nothing_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    remove_proxies(monkeypatch)
    started = Started(monkeypatch)
    yield
    wait_for(lambda: not started.alive("worker", "ssh ", "rsync"))


def schemes(port: int) -> dict[str, str]:
    """A URL of each kind that goes over the network."""
    here = f"127.0.0.1:{port}"
    return {
        "git": f"git://{here}/bus",
        "git-http": f"git+http://{here}/bus",
        "git-https": f"git+https://{here}/bus",
        "git-ssh": f"git+ssh://{here}/bus",
        "rsync": f"rsync://{here}/{MODULE}/bus",
        "rsync-ssh": f"rsync+ssh://{here}/bus",
    }


def person(place: Path, urls: dict[str, str], seconds: int, config: Path | None = None) -> Person:
    """Somebody with something to push, and these remotes."""
    made = Person(place / "here")
    made.write({"p1": {"title": "x"}})
    settings = {name: f'ssh_config = "{config or "/dev/null"}"\n' if "ssh" in name else "" for name in urls}
    tables = [f'[remotes.{name}]\nurl = "{url}"\n{settings[name]}' for name, url in urls.items()]
    limits = f"[limits]\ntransfer_seconds = {seconds}\n"
    (made.store / "config.toml").write_text("".join([*tables, limits]))
    return made


def codes(someone: Person, verb: str, code: int) -> dict[str, int]:
    """What each remote came to; the whole command ends with `code`."""
    told = someone.run(verb, "--all", *(["--yes"] if verb == "push" else []))
    assert (told.code, told.document["exit_code"]) == (code, code), told
    return {found["name"]: found["error"]["exit_code"] for found in told.document["remotes"]}


def nothing(connection: socket.socket) -> None:
    """Hang up at once."""


@pytest.mark.parametrize("verb", ["pull", "push"])
@pytest.mark.parametrize(
    ("answer", "seconds"),
    [(silent, SHORT_SECONDS), (dripping, SHORT_SECONDS), (cutting, LONG_SECONDS), (nothing, LONG_SECONDS)],
)
def test_a_server_that_is_silent_drips_or_hangs_up_is_75(
    place: Path, answer: Answering, seconds: int, verb: str
) -> None:
    with Listener(answer) as server:
        someone = person(place, schemes(server.port), seconds)
        assert codes(someone, verb, 75) == dict.fromkeys(schemes(0), 75)
    assert [remote["last_success_at"] for remote in someone.ask("status")["remotes"]] == [None] * 6


@pytest.mark.parametrize("verb", ["pull", "push"])
def test_where_nobody_is_there_it_is_75_at_once(place: Path, verb: str) -> None:
    with Listener(silent) as server:
        port = server.port
    someone = person(place, {**schemes(port), "folder": "/nowhere/at/all", "repository": "/nowhere/bus.git"}, 600)
    assert set(codes(someone, verb, 75).values()) == {75}


@pytest.mark.parametrize("verb", ["pull", "push"])
def test_a_login_that_is_not_taken_is_4(place: Path, verb: str) -> None:
    Repository(place / "bus.git")
    (place / "module").mkdir()
    with ExitStack() as opened:
        web = HttpServer(place)
        opened.callback(web.stop)
        ssh, other = SshServer(place / "ssh"), SshServer(place / "other")
        opened.callback(ssh.stop)
        opened.callback(other.stop)
        # The keys of one server, and the address of the other: whom it knows, and who we are, do not fit.
        known = other.config.read_text().replace(str(other.config.parent / "known_hosts"), str(place / "known_hosts"))
        (place / "config").write_text(known)
        (place / "known_hosts").write_text((ssh.config.parent / "known_hosts").read_text())
        daemon = opened.enter_context(rsync_daemon(place / "module", place / "daemon", *login_needed(place / "daemon")))
        on_ssh = f"{ssh.user}@127.0.0.1:{ssh.port}{place}"
        urls = {
            "http": f"git+http://somebody:wrong@127.0.0.1:{web.port}/bus.git",
            "http-nobody": f"git+http://127.0.0.1:{web.port}/bus.git",
            "git-ssh": f"git+ssh://{on_ssh}/bus.git",
            "rsync-ssh": f"rsync+ssh://{on_ssh}/bus",
            "rsync": f"rsync://{rsync_servers.USER}:wrong@127.0.0.1:{daemon.port}/{MODULE}/bus",
            "rsync-nobody": f"rsync://127.0.0.1:{daemon.port}/{MODULE}/bus",
        }
        someone = person(place, urls, LONG_SECONDS, place / "config")
        assert codes(someone, verb, 4) == dict.fromkeys(urls, 4)
        (place / "known_hosts").unlink()
        code = someone.run(verb, "git-ssh").code
        assert code == 4  # a host that nobody vouches for


def test_a_remote_that_nobody_named_is_10(place: Path) -> None:
    someone = person(place, {"folder": str(place / "bus")}, 600)
    for words in (
        ["pull", "nobody"],
        ["push", "nobody"],
        ["remote", "show", "nobody"],
        ["remote", "set-url", "nobody", "/x"],
        ["remote", "rename", "nobody", "x"],
        ["remote", "remove", "nobody"],
    ):
        told = someone.run(*words)
        assert (told.code, told.error["class"]) == (10, "unknown_remote"), words
    assert run("pull", "--store", str(place / "no-store")).code == 10
