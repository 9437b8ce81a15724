"""Two stores, accept half, pull again: over every kind of remote there is, with the same answers over all of them.

A new kind of remote is one function and one line in REMOTES. The servers are real ones, on the loopback.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest

from tests.acceptance.people import Person
from tests.servers.git_servers import PASSWORD, USER, SshServer, git_daemon, remove_proxies
from tests.servers.repositories import Repository
from tests.servers.rsync_servers import MODULE, rsync_daemon
from tests.servers.web_server import WebServer


class Where(NamedTuple):
    """A place, and what has to stand in config.toml beside its URL."""

    url: str
    settings: Mapping[str, str] = MappingProxyType({})


def empty(path: Path) -> Path:
    path.mkdir()
    return path


@contextmanager
def directory(folder: Path) -> Iterator[Where]:
    yield Where(str(empty(folder / "bus")))


@contextmanager
def git_path(folder: Path) -> Iterator[Where]:
    yield Where(str(Repository(folder / "bus.git").path))


@contextmanager
def git_file_url(folder: Path) -> Iterator[Where]:
    yield Where(f"git+file://{Repository(folder / 'bus.git').path}", {"ref_prefix": "refs/heads/eventsync"})


@contextmanager
def git_over_daemon(folder: Path) -> Iterator[Where]:
    Repository(folder / "bus.git")
    with git_daemon(folder) as daemon:
        yield Where(f"git://127.0.0.1:{daemon.port}/bus.git")


@contextmanager
def git_over_ssh(folder: Path) -> Iterator[Where]:
    path = Repository(folder / "bus.git").path
    server = SshServer(folder / "ssh")
    server.keep_open()
    yield Where(f"git+ssh://{server.user}@127.0.0.1:{server.port}{path}", {"ssh_config": str(server.config)})
    server.stop()


@contextmanager
def git_over_http(folder: Path) -> Iterator[Where]:
    path = Repository(folder / "bus.git").path
    server = WebServer()
    yield Where(f"git+http://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:{server.port}{path}")
    server.stop()


@contextmanager
def rsync_over_daemon(folder: Path) -> Iterator[Where]:
    with rsync_daemon(folder, folder / "rsyncd") as daemon:
        yield Where(f"rsync://127.0.0.1:{daemon.port}/{MODULE}/{empty(folder / 'bus').name}")


@contextmanager
def rsync_over_ssh(folder: Path) -> Iterator[Where]:
    server = SshServer(folder / "ssh")
    server.keep_open()
    bus = empty(folder / "bus")
    yield Where(f"rsync+ssh://{server.user}@127.0.0.1:{server.port}{bus}", {"ssh_config": str(server.config)})
    server.stop()


REMOTES: dict[str, Callable[[Path], AbstractContextManager[Where]]] = {
    "directory": directory,
    "git, path": git_path,
    "git, file url, other refs": git_file_url,
    "git, daemon": git_over_daemon,
    "git, ssh": git_over_ssh,
    "git, http": git_over_http,
    "rsync, daemon": rsync_over_daemon,
    "rsync, ssh": rsync_over_ssh,
}


@pytest.fixture(params=list(REMOTES))
def bus(request: pytest.FixtureRequest, place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Where]:
    remove_proxies(monkeypatch)
    (place / "servers").mkdir()
    with REMOTES[request.param](place / "servers") as found:
        yield found


def person_at(bus: Where, folder: Path) -> Person:
    person = Person(folder)
    person.run("remote", "add", "bus", bus.url)
    config = person.store / "config.toml"
    lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in bus.settings.items())
    config.write_text(config.read_text() + lines)
    return person


def own(name: str) -> dict[str, Any]:
    """Twelve entities: half only this person has, a quarter both have alike, a quarter both have but differ in."""
    only = {f"{name}-{number}": {"title": f"{name} {number}"} for number in range(6)}
    same = {f"same-{number}": {"title": f"same {number}"} for number in range(3)}
    return only | same | {f"other-{number}": {"title": f"{number} of {name}"} for number in range(3)}


def told(answer: dict[str, Any]) -> list[tuple[str, int, int]]:
    """What a pull says of each origin."""
    (remote,) = answer["remotes"]
    assert remote["error"] is None
    return [(found["result"], found["records"], found["candidates"]["open"]) for found in remote["origins"]]


def verdicts(person: Person, *options: str) -> dict[str, str]:
    return {item["item_id"]: item["verdict"] for item in person.inbox(*options)}


def test_two_stores_accept_half_and_pull_again(bus: Where, place: Path) -> None:
    ada, bob = person_at(bus, place / "ada"), person_at(bus, place / "bob")
    assert told(ada.ask("pull")) == []  # nobody is there yet, which is fine
    for name, person in (("ada", ada), ("bob", bob)):
        person.write(own(name))
        assert person.ask("push", "--yes")["remotes"][0]["result"] == "pushed"
    assert told(ada.ask("pull")) == told(bob.ask("pull")) == [("new", 12, 9)]
    expected = {f"ada-{n}": "new" for n in range(6)} | {f"other-{n}": "conflict" for n in range(3)}
    assert verdicts(bob) == expected

    half = [item["id"] for item in bob.inbox() if item["verdict"] == "new"][:3]
    bob.ask("accept", *half)
    rejected = next(item["id"] for item in bob.inbox() if item["verdict"] == "conflict")
    bob.ask("reject", rejected)
    left = verdicts(bob)
    assert bob.ask("push")["remotes"][0]["result"] == "pushed"
    journals = [person.journal() for person in (ada, bob)]
    assert (told(ada.ask("pull")), told(bob.ask("pull"))) == ([("updated", 4, 9)], [("up_to_date", 0, 5)])
    assert (told(ada.ask("pull")), told(bob.ask("pull"))) == ([("up_to_date", 0, 9)], [("up_to_date", 0, 5)])
    assert [person.journal() for person in (ada, bob)] == journals
    assert verdicts(bob) == left
    assert verdicts(ada) == {f"bob-{n}": "new" for n in range(6)} | {f"other-{n}": "conflict" for n in range(3)}
    for seen in ("pushed", "up_to_date"):  # what Ada has seen of Bob is new, once
        assert [person.ask("push")["remotes"][0]["result"] for person in (ada, bob)] == [seen, "up_to_date"]

    bob.write({"bob-0": {"title": "changed"}})
    sync = bob.run("sync")
    assert (sync.code, sync.document["push"]["remotes"][0]["result"]) == (0, "pushed")
    assert told(ada.ask("pull")) == [("updated", 1, 9)]
    payloads = {item["item_id"]: item["payload"] for item in ada.inbox()}
    assert payloads["bob-0"] == {"title": "changed"}
