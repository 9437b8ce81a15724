"""Secrets in URLs, looked for in everything that the program says, writes and starts [R2].

They may stand in config.toml and in what a person types; nowhere else: in no output, no file, no command line.
"""

from __future__ import annotations

import base64
import http.server
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

import pytest

from tests.cli.answers import Answer, Run
from tests.servers import git_servers, rsync_servers
from tests.servers.git_servers import HttpServer, remove_proxies
from tests.servers.listener import Listener, silent
from tests.servers.processes import Started
from tests.servers.repositories import Repository

USER: Final = "QUAFFLE"  # a token often stands in place of the user
PASSWORD: Final = "BLUDGER/with@all:sorts"
MARKS: Final = (
    *("QUAFFLE", "BLUDGER", "with@all", "with%40all", "p@ss", "p%40ss", "w/rd", "w%2Frd"),
    base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()[:16],
    base64.b64encode(f"{git_servers.USER}:{git_servers.PASSWORD}".encode()).decode()[:16],
)


class Server(http.server.ThreadingHTTPServer):
    """Says nothing of clients that leave."""

    def handle_error(self, request: object, client_address: object) -> None:
        """Quiet."""


class Echo(http.server.BaseHTTPRequestHandler):
    """A server that repeats who it was told we are, wherever there is room for it."""

    status = 500

    def do_GET(self) -> None:
        sent = self.headers.get("Authorization", "")
        said = base64.b64decode(sent.removeprefix("Basic ")).decode()
        body = f"{said} {sent} https://{said}@example.org/\n".encode()
        self.send_response(self.status, f"no {said}")
        self.send_header("Location", f"http://{quote(said, safe=':')}@127.0.0.1:1/elsewhere")
        self.send_header("WWW-Authenticate", f'Basic realm="{said}"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Quiet."""


class Redirect(Echo):
    status = 302


class Refuse(Echo):
    status = 401


@contextmanager
def serving(handler: type[Echo]) -> Iterator[int]:
    server = Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=[0.05])
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Watcher:
    """Looks at the command lines of all that a test starts, again and again."""

    def __init__(self, started: Started) -> None:
        self.seen: set[str] = set()
        self._started, self._done = started, threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def _look(self) -> None:
        while not self._done.wait(0.02):
            self.seen |= set(self._started.alive("").values())

    def stop(self) -> None:
        self._done.set()
        self._thread.join()


@pytest.fixture
def watcher(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watcher]:
    remove_proxies(monkeypatch)
    found = Watcher(Started(monkeypatch))
    yield found
    found.stop()


@pytest.fixture
def urls(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Remotes whose URLs hold secrets: some work, and the others fail in every way there is."""
    login = f"{USER}:{quote(PASSWORD, safe='')}"
    Repository(tmp_path / "bus.git")
    (tmp_path / "module").mkdir()
    web = HttpServer(tmp_path)
    with ExitStack() as opened:
        opened.callback(web.stop)
        needed = rsync_servers.login_needed(tmp_path / "daemon")
        daemon = opened.enter_context(rsync_servers.rsync_daemon(tmp_path / "module", tmp_path / "daemon", *needed))
        quiet = opened.enter_context(Listener(silent))
        echo, redirect, refuse = (opened.enter_context(serving(kind)) for kind in (Echo, Redirect, Refuse))
        with Listener(silent) as gone:
            nobody = gone.port
        web_login = f"{git_servers.USER}:{quote(git_servers.PASSWORD, safe='')}"
        wrong = f"{rsync_servers.USER}:{quote(PASSWORD, safe='')}"  # rsync has its user on its command line, no secret
        rsync_login = f"{rsync_servers.USER}:{quote(rsync_servers.PASSWORD, safe='')}"
        yield {
            "web": f"git+http://{web_login}@127.0.0.1:{web.port}/bus.git",
            "wrong": f"git+http://{login}@127.0.0.1:{web.port}/bus.git",
            "missing": f"git+http://{web_login}@127.0.0.1:{web.port}/none.git",
            "echo": f"git+http://{login}@127.0.0.1:{echo}/bus.git",
            "redirect": f"git+http://{login}@127.0.0.1:{redirect}/bus.git",
            "refuse": f"git+http://{login}@127.0.0.1:{refuse}/bus.git",
            "nobody": f"git+https://{login}@127.0.0.1:{nobody}/bus.git",
            "rsync": f"rsync://{rsync_login}@127.0.0.1:{daemon.port}/{rsync_servers.MODULE}/bus",
            "rsync-wrong": f"rsync://{wrong}@127.0.0.1:{daemon.port}/{rsync_servers.MODULE}/bus",
            "rsync-nobody": f"rsync://{wrong}@127.0.0.1:{nobody}/{rsync_servers.MODULE}/bus",
            "silent": f"git+https://{login}@127.0.0.1:{quiet.port}/bus.git",
        }


def marks_in(text: str) -> list[str]:
    return [mark for mark in MARKS if mark in text]


def check(told: Answer) -> None:
    assert marks_in(told.out + told.err) == [], told


def test_no_secret_of_a_url_is_said_written_or_shown(
    run: Run, store: Path, tmp_path: Path, urls: dict[str, str], watcher: Watcher
) -> None:
    tables = [f'[remotes.{name}]\nurl = "{url}"\n' for name, url in urls.items()]
    (store / "config.toml").write_text("".join(tables) + "deadline_seconds = 1\n")  # of the last one
    check(run("put", "plan", "pln_1", "--set", "title=x"))
    for words in (
        ["push", "--all", "--yes", "-v"],
        ["pull", "--all", "--json"],
        ["sync", "-v"],
        ["status"],
        ["status", "--json"],
        ["remote", "list"],
        ["remote", "list", "--json"],
        ["verify", "--json"],
    ):
        check(run(*words))
    codes = {}
    for name in urls:
        for words in (["remote", "show", name], ["remote", "show", name, "--json"], ["pull", name, "-v"]):
            told = run(*words)
            check(told)
            codes[name] = told.code
    assert codes == {
        **dict.fromkeys(("web", "rsync"), 0),
        **dict.fromkeys(("wrong", "refuse", "rsync-wrong"), 4),
        **dict.fromkeys(("missing", "echo", "redirect", "nobody", "silent", "rsync-nobody"), 75),
    }

    (store / "config.toml").unlink()
    left = [path for path in store.rglob("*") if path.is_file()]
    assert (store / "federation" / "runs.jsonl") in left
    for path in left:
        assert marks_in(f"{path.relative_to(store)} {path.read_bytes().decode('latin-1')}") == [], path
    assert any("git_worker" in line for line in watcher.seen)
    assert any("rsync_worker" in line for line in watcher.seen)
    assert any("rsync://" in line for line in watcher.seen)
    assert marks_in(" ".join(watcher.seen)) == []


def test_a_secret_that_is_typed_is_said_by_nobody(
    run: Run, store: Path, urls: dict[str, str], watcher: Watcher
) -> None:
    """It may stand on the command line of the program itself, because a person put it there."""
    for name, url in urls.items():
        if name != "silent":
            told = run("remote", "add", name, url, "-v")
            check(told)
            assert told.code == 0 and "***@127.0.0.1" in told.out
    for words in (
        ["remote", "add", "json", urls["wrong"], "--json"],
        ["remote", "add", "web", urls["web"], "--json"],
        ["remote", "set-url", "web", urls["wrong"]],
        ["remote", "set-url", "web", urls["echo"], "--json"],
        ["pull", urls["wrong"]],
        ["push", urls["refuse"], "--yes", "--json"],
        ["remote", "rename", "web", "net", "--json"],
        ["remote", "remove", "net", "--json"],
    ):
        check(run(*words))
    assert any("git_worker" in line for line in watcher.seen)
    assert marks_in(" ".join(watcher.seen)) == []


@pytest.mark.parametrize(
    "url",
    [
        "https://QUAFFLE:BLUDGER@example.org/bus.git",
        "git+https://QUAFFLE:BLUDGER/p@ss@example.org/bus.git",
        "git+https://QUAFFLE@example.org/bus.git?token=BLUDGER",
        "git+https://example.org/bus.git#BLUDGER",
        "git+http://QUAFFLE:BLUDGER@example.org/bus.git",
        "git+ssh://me:BLUDGER@example.org/bus.git",
        "git+https://QUAFFLE:BLUDGER@example.org:port/bus.git",
        "git+https://QUAFFLE:BLUDGER@-oProxyCommand=x/bus.git",
        "rsync://me:BLUDGER@example.org",
        "rsync://me:BLUDGER@example.org/$(x)",
        "ftp://me:BLUDGER@example.org/bus",
        "ext::sh -c BLUDGER",
        "me:BLUDGER@example.org:bus.git",
        "git+https://QUAFFLE:BLUDGER@example.org/bus\n.git",
    ],
)
def test_a_url_that_is_refused_is_repeated_without_its_secrets(run: Run, store: Path, url: str) -> None:
    for words in (["remote", "add", "bus", url], ["remote", "add", "bus", url, "--json", "-v"], ["pull", url]):
        told = run(*words)
        check(told)
        assert told.code == 2
    (store / "config.toml").write_text(f"[remotes.bus]\nurl = '''{url}'''\n")
    for words in (["pull", "bus"], ["status", "--json"], ["remote", "list"], ["remote", "show", "bus", "-v"], ["sync"]):
        check(run(*words))


def test_a_config_with_a_mistake_is_told_without_what_stands_there(run: Run, store: Path) -> None:
    url = f"git+https://{USER}:BLUDGER@example.org/bus.git"
    for text in (
        f'[remotes.bus]\nurl = "{url}\n',
        f'[remotes.bus]\nurl = ["{url}"]\n',
        f'[remotes."{url}"]\nurl = "x"\n',
        f'[remotes.bus]\nurl = "{url}"\nref_prefix = "{url}"\n',
        f'[remotes.bus]\nurl = "{url}"\ndeadline_seconds = "{url}"\n',
        f'[remotes.bus]\nurl = "{url}"\nssh_config = "BLUDGER"\n',
        f'[remote]\nurl = "{url}"\n',
    ):
        (store / "config.toml").write_text(text)
        for words in (["pull", "--all"], ["pull", "--all", "--json", "-v"], ["remote", "show", "bus"], ["status"]):
            told = run(*words)
            check(told)
        assert run("pull", "--all").code == 2
