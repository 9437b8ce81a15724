"""The main job over every kind of remote, by the command line alone, against real servers: all give the same answers.

Two stores put, publish, push, pull, accept half, go on, and pull again, which changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import pytest

from tests.acceptance.people import Person
from tests.servers import git_servers, rsync_servers
from tests.servers.git_servers import HttpServer, SshServer, git_daemon, remove_proxies
from tests.servers.repositories import Repository
from tests.servers.rsync_servers import login_needed, rsync_daemon
from tests.servers.web_server import WebServer


class Reached(NamedTuple):
    """How a place is reached, and what config.toml says beside the URL."""

    push: str
    pull: str
    folder: Path  # where it stands on this disk
    settings: str = ""


GIT_LOGIN: Final = f"{git_servers.USER}:{quote(git_servers.PASSWORD, safe='')}"
Build = Callable[[Path], Any]  # a context manager that gives a Reached


@contextmanager
def a_directory(place: Path) -> Iterator[Reached]:
    yield Reached(str(place / "bus"), str(place / "bus"), place / "bus")


@contextmanager
def a_directory_with_a_deadline(place: Path) -> Iterator[Reached]:
    yield Reached(str(place / "bus"), (place / "bus").as_uri(), place / "bus", "deadline_seconds = 600")


@contextmanager
def a_git_repository_in_place(place: Path) -> Iterator[Reached]:
    path = repository(place)
    yield Reached(str(path), f"git+file://{path}", path)


@contextmanager
def a_git_repository_by_url_with_other_refs(place: Path) -> Iterator[Reached]:
    path = repository(place)
    yield Reached(f"git+file://{path}", str(path), path, 'ref_prefix = "refs/heads/eventsync"')


@contextmanager
def a_git_daemon(place: Path) -> Iterator[Reached]:
    path = repository(place)
    with git_daemon(place) as daemon:
        url = f"git://127.0.0.1:{daemon.port}/bus.git"
        yield Reached(url, url, path)


@contextmanager
def a_git_daemon_that_is_only_read(place: Path) -> Iterator[Reached]:
    path = repository(place)
    with git_daemon(place, writable=False) as daemon:
        url = f"git://127.0.0.1:{daemon.port}/bus.git"
        yield Reached(str(path), url, path, 'ref_prefix = "refs/heads/eventsync"')


@contextmanager
def git_over_ssh(place: Path) -> Iterator[Reached]:
    path = repository(place)
    with ssh_server(place) as server:
        url = f"git+ssh://{server.user}@127.0.0.1:{server.port}{path}"
        yield Reached(url, url, path, f'ssh_config = "{server.config}"')


@contextmanager
def git_over_http_with_a_login(place: Path) -> Iterator[Reached]:
    path = repository(place)
    server = HttpServer(place)
    try:
        url = f"git+http://{GIT_LOGIN}@127.0.0.1:{server.port}/bus.git"
        yield Reached(url, url, path)
    finally:
        server.stop()


@contextmanager
def git_behind_nginx_with_a_login(place: Path) -> Iterator[Reached]:
    path = repository(place)
    server = WebServer()
    try:
        url = f"git+http://{GIT_LOGIN}@127.0.0.1:{server.port}{path}"
        yield Reached(url, url, path)
    finally:
        server.stop()


@contextmanager
def an_rsync_daemon(place: Path) -> Iterator[Reached]:
    (place / "module").mkdir()
    with rsync_daemon(place / "module", place / "daemon") as daemon:
        url = f"rsync://127.0.0.1:{daemon.port}/{rsync_servers.MODULE}/bus"
        yield Reached(url, url, place / "module" / "bus")


@contextmanager
def an_rsync_daemon_with_a_login(place: Path) -> Iterator[Reached]:
    (place / "module").mkdir()
    with rsync_daemon(place / "module", place / "daemon", *login_needed(place / "daemon")) as daemon:
        login = f"{rsync_servers.USER}:{quote(rsync_servers.PASSWORD, safe='')}"
        url = f"rsync://{login}@127.0.0.1:{daemon.port}/{rsync_servers.MODULE}/bus"
        yield Reached(url, url, place / "module" / "bus")


@contextmanager
def rsync_over_ssh(place: Path) -> Iterator[Reached]:
    with ssh_server(place) as server:
        url = f"rsync+ssh://{server.user}@127.0.0.1:{server.port}{place}/bus"
        yield Reached(url, url, place / "bus", f'ssh_config = "{server.config}"')


@contextmanager
def ssh_server(place: Path) -> Iterator[SshServer]:
    server = SshServer(place / "ssh")
    try:
        server.keep_open()
        yield server
    finally:
        server.stop()


def repository(place: Path) -> Path:
    return Repository(place / "bus.git").path


KINDS: Final = [
    a_directory,
    a_directory_with_a_deadline,
    a_git_repository_in_place,
    a_git_repository_by_url_with_other_refs,
    a_git_daemon,
    a_git_daemon_that_is_only_read,
    git_over_ssh,
    git_over_http_with_a_login,
    git_behind_nginx_with_a_login,
    an_rsync_daemon,
    an_rsync_daemon_with_a_login,
    rsync_over_ssh,
]


def person(folder: Path, way: Reached, names: Sequence[str] = ("to", "from")) -> Person:
    """A store that pushes to its first remote and pulls from its last."""
    made = Person(folder)
    tables = [
        f'[remotes.{name}]\nurl = "{url}"\n{way.settings}\n'
        for name, url in zip(names, (way.push, way.pull), strict=False)
    ]
    (made.store / "config.toml").write_text("\n".join(tables))
    return made


def verdicts(reader: Person) -> dict[str, str]:
    return {f"{found['item_type']}/{found['item_id']}": found["verdict"] for found in reader.inbox("--all")}


def taken(reader: Person) -> tuple[Any, ...]:
    """What a pull from the one other store came to."""
    (found,) = reader.pull("from").values()
    return found["result"], found["records"], found["last_seq"], tuple(found["candidates"].values())


@pytest.mark.parametrize("build", KINDS)
def test_two_stores_come_to_the_same_answers(place: Path, monkeypatch: pytest.MonkeyPatch, build: Build) -> None:
    remove_proxies(monkeypatch)
    with build(place) as way:
        ada, ben = person(place / "ada", way), person(place / "ben", way)
        ada.write(
            {**{f"p{number}": {"n": number} for number in range(8)}, "both": {"by": "ada"}, "same": {"by": "all"}}
        )
        ada.ask("put", "note", "n1", "--set", "text=mine", "--private")
        ada.ask("put", "session", "s1", "--set", "a=1")
        ben.write({"both": {"by": "ben"}, "same": {"by": "all"}})

        assert [found["result"] for found in ada.ask("push", "to", "--yes")["remotes"]] == ["pushed"]
        assert [found["result"] for found in ben.ask("push", "to", "--yes")["remotes"]] == ["pushed"]
        assert taken(ben) == ("new", 10, 12, (9, 1, 0))
        assert verdicts(ben) == {
            **{f"plan/p{number}": "new" for number in range(8)},
            "plan/both": "conflict",
            "plan/same": "identical",
        }
        ids = {found["item_id"]: found["id"] for found in ben.inbox()}
        ben.ask("accept", *(ids[f"p{number}"] for number in range(4)))
        ben.ask("reject", ids["both"])
        assert [found["result"] for found in ben.ask("push", "to")["remotes"]] == ["pushed"]

        assert taken(ada) == ("new", 7, 7, (1, 5, 0))
        assert verdicts(ada) == {
            **{f"plan/p{number}": "known" for number in range(4)},
            "plan/both": "conflict",
            "plan/same": "identical",
        }
        (told,) = ada.ask("status")["origins"]
        assert (told["they_have_seq"], told["they_accepted"], told["they_rejected"]) == (12, 4, 1)

        ada.ask("edit", "plan", "p0", "--set", "n=100")
        ada.ask("rm", "plan", "p1")
        assert [found["result"] for found in ada.ask("push", "to")["remotes"]] == ["pushed"]
        assert taken(ben) == ("updated", 2, 14, (6, 4, 0))
        assert {found["item_id"]: found["verdict"] for found in ben.inbox()} == {
            "p0": "update",
            "p1": "gone",
            **{f"p{number}": "new" for number in range(4, 8)},
        }
        assert ben.entities() == {
            **{f"plan/p{number}": {"n": number} for number in range(4)},
            "plan/both": {"by": "ben"},
            "plan/same": {"by": "all"},
        }

        before = [(someone.truths(), someone.inbox("--all"), someone.journal()) for someone in (ada, ben)]
        assert taken(ben) == ("up_to_date", 0, 14, (6, 4, 0))
        assert taken(ada) == ("up_to_date", 0, 7, (1, 5, 0))
        assert [(someone.truths(), someone.inbox("--all"), someone.journal()) for someone in (ada, ben)] == before
        for someone in (ada, ben):
            assert someone.ask("verify")["ok"]


def test_a_git_daemon_that_takes_no_pushes_is_no_fault_of_a_sync(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remove_proxies(monkeypatch)
    with a_git_daemon_that_is_only_read(place) as way:
        reader = Person(place / "reader")
        reader.ask("remote", "add", "daemon", way.pull)
        reader.write({"p1": {"n": 1}})
        assert reader.run("sync").code == 22  # nobody has said yet that this may be shown there
        told = reader.run("push", "daemon", "--yes")
        assert (told.code, told.document["remotes"][0]["error"]["class"]) == (2, "remote_read_only")
        assert [found["result"] for found in reader.ask("sync")["push"]["remotes"]] == ["read_only"]
        assert reader.ask("status")["remotes"][0]["last_error"] is None


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


def open_ones(someone: Person) -> dict[str, str]:
    return {item["item_id"]: item["verdict"] for item in someone.inbox()}


@pytest.mark.parametrize("build", KINDS)
def test_two_stores_accept_half_and_pull_again(place: Path, monkeypatch: pytest.MonkeyPatch, build: Build) -> None:
    remove_proxies(monkeypatch)
    (place / "servers").mkdir()
    with build(place / "servers") as way:
        way.folder.mkdir(exist_ok=True)
        accept_half(place, way)


def accept_half(place: Path, way: Reached) -> None:
    ada, bob = (person(place / name, way, ["bus"]) for name in ("ada", "bob"))
    assert told(ada.ask("pull")) == []  # nobody is there yet, which is fine
    for name, someone in (("ada", ada), ("bob", bob)):
        someone.write(own(name))
        assert someone.ask("push", "--yes")["remotes"][0]["result"] == "pushed"
    assert told(ada.ask("pull")) == told(bob.ask("pull")) == [("new", 12, 9)]
    expected = {f"ada-{n}": "new" for n in range(6)} | {f"other-{n}": "conflict" for n in range(3)}
    assert open_ones(bob) == expected

    half = [item["id"] for item in bob.inbox() if item["verdict"] == "new"][:3]
    bob.ask("accept", *half)
    rejected = next(item["id"] for item in bob.inbox() if item["verdict"] == "conflict")
    bob.ask("reject", rejected)
    left = open_ones(bob)
    assert bob.ask("push")["remotes"][0]["result"] == "pushed"
    journals = [someone.journal() for someone in (ada, bob)]
    assert (told(ada.ask("pull")), told(bob.ask("pull"))) == ([("updated", 4, 9)], [("up_to_date", 0, 5)])
    assert (told(ada.ask("pull")), told(bob.ask("pull"))) == ([("up_to_date", 0, 9)], [("up_to_date", 0, 5)])
    assert [someone.journal() for someone in (ada, bob)] == journals
    assert open_ones(bob) == left
    assert open_ones(ada) == {f"bob-{n}": "new" for n in range(6)} | {f"other-{n}": "conflict" for n in range(3)}
    for seen in ("pushed", "up_to_date"):  # what Ada has seen of Bob is new, once
        assert [someone.ask("push")["remotes"][0]["result"] for someone in (ada, bob)] == [seen, "up_to_date"]

    bob.write({"bob-0": {"title": "changed"}})
    sync = bob.run("sync")
    assert (sync.code, sync.document["push"]["remotes"][0]["result"]) == (0, "pushed")
    assert told(ada.ask("pull")) == [("updated", 1, 9)]
    payloads = {item["item_id"]: item["payload"] for item in ada.inbox()}
    assert payloads["bob-0"] == {"title": "changed"}


@pytest.mark.parametrize("build", [a_directory, a_git_daemon, an_rsync_daemon])
def test_a_store_learns_of_another_through_a_relay(place: Path, monkeypatch: pytest.MonkeyPatch, build: Build) -> None:
    """[F10] Ada never reaches the hub, Cleo reaches nothing else; other people's records need a word of their own."""
    remove_proxies(monkeypatch)
    with build(place) as way:
        near = Reached(str(place / "near"), str(place / "near"), place / "near")
        ada, ben, cleo = person(place / "ada", near), person(place / "ben", way), person(place / "cleo", way)
        ben.ask("remote", "add", "near", near.push)
        ada.write({"p1": {"n": 1}, "p2": {"n": 2}})
        ben.write({"b1": {"n": 3}})
        ada.ask("push", "to")
        ben.pull("near")
        ben.ask("push", "to", "--yes")

        needs_word = not way.push.startswith("/")
        told = ben.run("push", "to", "--relay")
        assert told.code == (3 if needs_word else 0), told
        if needs_word:
            (asked,) = told.document["relay"]["remotes"]
            assert (asked["error"]["class"], asked["origins"]) == ("decision_needed", [])
        assert relayed(ben, "to", "--yes") == ["relayed" if needs_word else "up_to_date"]
        assert relayed(ben, "to") == ["up_to_date"]

        assert {found["last_seq"] for found in cleo.pull("from").values()} == {1, 2}
        ids = {found["item_id"]: found["id"] for found in cleo.inbox()}
        cleo.ask("accept", ids["p1"])
        cleo.ask("reject", ids["p2"])
        cleo.ask("push", "to", "--yes")
        ada.ask("edit", "plan", "p1", "--set", "n=10")
        ada.ask("push", "to")
        ben.pull("near")
        ben.pull("to")
        assert relayed(ben, "to") == ["relayed", "up_to_date"]
        assert relayed(ben, "near") == ["up_to_date", "relayed"]

        ada.pull("from")
        names = {found["origin_store_id"]: found for found in ada.ask("status")["origins"]}
        told_by = names[cleo.ask("status")["store"]["origin_store_id"]]
        assert (told_by["they_have_seq"], told_by["they_accepted"], told_by["they_rejected"]) == (2, 1, 1)
        assert {found["item_id"] for found in cleo.inbox() if found["verdict"] == "update"} == set()
        cleo.pull("from")
        assert {found["item_id"] for found in cleo.inbox() if found["verdict"] == "update"} == {"p1"}


def relayed(store: Person, *words: str) -> list[str]:
    """What a relay came to for each origin, by their names."""
    (remote,) = store.ask("push", *words, "--relay")["relay"]["remotes"]
    assert remote["error"] is None
    return [found["result"] for found in sorted(remote["origins"], key=lambda found: found["name"])]
