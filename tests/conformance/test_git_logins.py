"""Git where somebody asks who we are: http with a login, ssh with keys. Nobody is prompted, nothing leaks [R2]."""

from __future__ import annotations

import http.server
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

import pytest

from federation.errors import RemoteRefused, SourceUnavailable
from federation.model import HEAD_FILE
from federation.transports import Wanted
from federation.transports.git_login import find_login
from federation.transports.urls import GitUrl, parse
from tests.conformance.test_git import GitPlace
from tests.conformance.test_transports import A, own_feed
from tests.servers.git_servers import PASSWORD, USER, HttpServer, SshServer, git_daemon, program, remove_proxies
from tests.servers.processes import PATIENCE_SECONDS
from tests.servers.web_server import WebServer

HEAD = Wanted(HEAD_FILE, 1_000)


@pytest.fixture(autouse=True)
def _git_of_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """git finds the helpers of a config that only this test writes."""
    config = tmp_path / "gitconfig"
    config.touch()
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("HOME", str(tmp_path))
    remove_proxies(monkeypatch)
    for name in ("GIT_ASKPASS", "SSH_ASKPASS"):
        monkeypatch.delenv(name, raising=False)
    return config


@pytest.fixture
def server(tmp_path: Path) -> Iterator[HttpServer]:
    found = HttpServer(tmp_path)
    yield found
    found.stop()


def place_at(server: HttpServer, tmp_path: Path, login: str = "") -> GitPlace:
    name = f"bus{len(list(tmp_path.glob('*.git')))}.git"
    return GitPlace(tmp_path / name, f"git+http://{login}127.0.0.1:{server.port}/{name}", tmp_path / "memory")


def helper(folder: Path, user: str, password: str) -> str:
    """A credential helper that knows one login, and notes what it is asked and told."""
    path = folder / "helper"
    path.write_text(
        f'#!/bin/sh\necho "$1" >> {folder}/helped\ncat >> {folder}/helped\n'
        f'[ "$1" = get ] && printf "username=%s\\npassword=%s\\n" "{user}" "{password}"\n'
    )
    path.chmod(0o755)
    return f"[credential]\n\thelper = {path}\n"


# --- http ------------------------------------------------------------------------------------------------------------


def test_without_a_login_there_is_one_try(server: HttpServer, tmp_path: Path) -> None:
    with pytest.raises(RemoteRefused, match="asks for credentials"):
        place_at(server, tmp_path).transport().origins()
    assert len(server.requests) == 1


def test_a_login_in_the_url_is_sent_at_once(server: HttpServer, tmp_path: Path) -> None:
    place = place_at(server, tmp_path, f"{USER}:{quote(PASSWORD, safe='')}@")
    place.plant(f"{A}/{HEAD_FILE}", b"1")
    assert place.transport().origins().origins == (A,)


@pytest.mark.parametrize("login", [f"{USER}:wrong-SECRET@", "SECRET@", f"nobody:{quote(PASSWORD, safe='')}@"])
def test_a_login_that_is_not_taken_is_refused_and_not_told(server: HttpServer, tmp_path: Path, login: str) -> None:
    with pytest.raises(RemoteRefused) as caught:
        place_at(server, tmp_path, login).transport().origins()
    assert "SECRET" not in str(caught.value) and PASSWORD not in str(caught.value)


def test_the_login_of_the_users_git_is_found_when_it_is_asked_for(
    server: HttpServer, tmp_path: Path, _git_of_nobody: Path
) -> None:
    _git_of_nobody.write_text(helper(tmp_path, USER, PASSWORD))
    place = place_at(server, tmp_path)
    place.transport().publish(A, own_feed(tmp_path / "feed", head=b"1"), [HEAD_FILE], frozenset())
    way = place.transport()
    assert way.origins().origins == (A,)
    (tmp_path / "staging").mkdir()
    assert way.fetch(A, [HEAD], tmp_path / "staging") == (HEAD_FILE,)
    helped = (tmp_path / "helped").read_text()
    assert "protocol=http\n" in helped and f"host=127.0.0.1:{server.port}\n" in helped
    assert helped.count("get\n") == 2, "once for each command, and the helper is never told anything"
    assert "store\n" not in helped and "erase\n" not in helped


def test_a_helper_whose_login_is_not_taken_is_asked_once(
    server: HttpServer, tmp_path: Path, _git_of_nobody: Path
) -> None:
    _git_of_nobody.write_text(helper(tmp_path, USER, "wrong"))
    way = place_at(server, tmp_path).transport()
    for _ in range(2):
        with pytest.raises(RemoteRefused):
            way.origins()
    assert (tmp_path / "helped").read_text().count("get\n") == 1


def test_nobody_is_prompted(server: HttpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asking = tmp_path / "asking"
    asking.write_text(f"#!/bin/sh\ntouch {tmp_path}/asked\necho secret\n")
    asking.chmod(0o755)
    for name in ("GIT_ASKPASS", "SSH_ASKPASS"):
        monkeypatch.setenv(name, str(asking))
    with pytest.raises(RemoteRefused):
        place_at(server, tmp_path).transport().origins()
    assert not (tmp_path / "asked").exists()


def test_no_git_is_no_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    url = parse("git+https://example.org/bus")
    assert isinstance(url, GitUrl)
    assert find_login(url, PATIENCE_SECONDS) is None


@pytest.mark.parametrize("text", ["git+http://example.org/bus", "git://127.0.0.1/bus"])
def test_no_login_is_looked_for_where_it_must_not_be_sent(tmp_path: Path, _git_of_nobody: Path, text: str) -> None:
    _git_of_nobody.write_text(helper(tmp_path, USER, PASSWORD))
    url = parse(text)
    assert isinstance(url, GitUrl)
    assert find_login(url, PATIENCE_SECONDS) is None
    assert not (tmp_path / "helped").exists()


@pytest.fixture(scope="module")
def encrypted() -> Iterator[WebServer]:
    found = WebServer(encrypted=True)
    yield found
    found.stop()


def test_https_takes_the_login_of_the_users_git_from_a_server_whose_certificate_is_believed(
    encrypted: WebServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, _git_of_nobody: Path
) -> None:
    _git_of_nobody.write_text(helper(tmp_path, USER, PASSWORD))
    url = f"git+https://127.0.0.1:{encrypted.port}{tmp_path}/bus.git"
    place = GitPlace(tmp_path / "bus.git", url, tmp_path / "memory")
    with pytest.raises(SourceUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
        place.transport().origins()
    assert not (tmp_path / "helped").exists(), "nobody is asked for a password before that"

    monkeypatch.setenv("SSL_CERT_FILE", str(encrypted.certificate))
    place.transport().publish(A, own_feed(tmp_path / "feed", head=b"1"), [HEAD_FILE], frozenset())
    assert place.transport().origins().origins == (A,)
    assert "protocol=https\n" in (tmp_path / "helped").read_text()


def test_the_config_of_the_users_git_changes_nothing(
    server: HttpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, _git_of_nobody: Path
) -> None:
    """No rewritten place, no proxy, no header that may be a secret, no command: what a URL says is what is done."""
    lines = ["[http]", "extraHeader = X-Secret: SECRET", "proxy = http://127.0.0.1:1", "cookieFile = /secret"]
    lines += [f"[core]\nsshCommand = touch {tmp_path}/ran\n[protocol]\nallow = never"]
    with git_daemon(tmp_path) as daemon:
        urls = [
            f"git+http://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:{server.port}",
            f"git://127.0.0.1:{daemon.port}",
        ]
        for url in ["http://127.0.0.1", *urls]:
            lines += [f'[url "git://127.0.0.1:1/"]\ninsteadOf = {url.removeprefix("git+")}']
        _git_of_nobody.write_text("\n".join([*lines, ""]))
        monkeypatch.setenv("GIT_SSH_COMMAND", f"touch {tmp_path}/ran")
        for number, url in enumerate(urls):
            place = GitPlace(tmp_path / f"{number}.git", f"{url}/{number}.git", tmp_path / "memory")
            place.transport().publish(A, own_feed(tmp_path / "feed", head=b"1"), [HEAD_FILE], frozenset())
            assert place.transport().origins().origins == (A,)
    assert server.requests and "SECRET" not in str(server.headers)
    assert not (tmp_path / "ran").exists()


class Answers(http.server.BaseHTTPRequestHandler):
    """Says what the path asks for, and notes who is told a login."""

    told: ClassVar[list[str | None]] = []

    def do_GET(self) -> None:
        Answers.told.append(self.headers.get("Authorization"))
        status = int(self.path.split("/")[1])
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("Location", f"http://localhost:{self.server.server_address[1]}/200/bus/info/refs")  # type: ignore[index]
        body = b"<html>sign in</html>"
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Quiet."""


@pytest.mark.parametrize(
    ("status", "error", "said"),
    [
        (200, SourceUnavailable, "smart protocol"),
        (301, SourceUnavailable, "has moved"),
        (302, SourceUnavailable, "has moved"),
        (307, SourceUnavailable, "has moved"),
        (403, RemoteRefused, "403"),
        (404, SourceUnavailable, "is no git repository"),
        (407, RemoteRefused, "proxy"),
        (500, SourceUnavailable, "500"),
    ],
)
def test_every_answer_of_a_web_server_has_its_error(
    tmp_path: Path, status: int, error: type[Exception], said: str
) -> None:
    Answers.told.clear()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        url = f"git+http://me:SECRET@127.0.0.1:{server.server_address[1]}/{status}/bus"
        with pytest.raises(error, match=said) as caught:
            GitPlace(tmp_path / "unused.git", url, tmp_path / "memory").transport().origins()
    finally:
        server.shutdown()
        server.server_close()
    assert "SECRET" not in str(caught.value)
    assert len(Answers.told) == 1, "nobody is asked twice, and no redirect is followed"


def test_a_push_larger_than_what_git_buffers_goes_through(server: HttpServer, tmp_path: Path) -> None:
    from tests.conformance.test_git_history import random_bytes

    place = place_at(server, tmp_path, f"{USER}:{quote(PASSWORD, safe='')}@")
    feed = own_feed(tmp_path / "feed", head=b"1", s1=random_bytes(3_000_000, 1))
    place.transport().publish(A, feed, [path.name for path in feed.iterdir()], frozenset())
    assert len(place.content()) == 2


# --- ssh -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ssh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    server = SshServer(tmp_path_factory.mktemp("ssh") / "server")
    yield server
    server.stop()


def ssh_place(server: SshServer, tmp_path: Path, **changes: str) -> GitPlace:
    config = tmp_path / "ssh_config"
    lines = server.config.read_text().splitlines()
    config.write_text("".join(f"{name} {value}\n" for name, value in changes.items()) + "\n".join(lines) + "\n")
    url = f"git+ssh://{server.user}@127.0.0.1:{server.port}{tmp_path}/bus.git"
    return GitPlace(tmp_path / "bus.git", url, tmp_path / "memory", ssh_config=str(config))


def test_a_key_that_is_not_taken_is_refused(ssh: SshServer, tmp_path: Path) -> None:
    argv = [program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "other")]
    subprocess.run(argv, check=True)
    place = ssh_place(ssh, tmp_path)
    config = tmp_path / "ssh_config"
    config.write_text(config.read_text().replace(str(ssh.config.parent / "user_key"), str(tmp_path / "other")))
    with pytest.raises(RemoteRefused, match="Permission denied"):
        place.transport().origins()


def test_a_host_that_is_not_known_is_refused_and_not_learned(ssh: SshServer, tmp_path: Path) -> None:
    (tmp_path / "known").touch()
    with pytest.raises(RemoteRefused, match="Host key verification failed"):
        ssh_place(ssh, tmp_path, UserKnownHostsFile=str(tmp_path / "known")).transport().origins()
    assert (tmp_path / "known").read_text() == ""


def test_a_key_with_a_passphrase_prompts_nobody(
    ssh: SshServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    argv = [program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "phrase", "-f", str(tmp_path / "locked")]
    subprocess.run(argv, check=True)
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    place = ssh_place(ssh, tmp_path)
    config = tmp_path / "ssh_config"
    config.write_text(config.read_text().replace(str(ssh.config.parent / "user_key"), str(tmp_path / "locked")))
    with pytest.raises(RemoteRefused):
        place.transport().origins()


def test_a_repository_that_is_not_there_says_what_git_said(ssh: SshServer, tmp_path: Path) -> None:
    place = ssh_place(ssh, tmp_path)
    place.vanish()
    with pytest.raises(SourceUnavailable, match="does not appear to be a git repository"):
        place.transport().origins()


def test_a_path_with_spaces_and_quotes_of_other_alphabets_arrives_whole(ssh: SshServer, tmp_path: Path) -> None:
    path = tmp_path / "mit Leerzeichen – börse" / "bus.git"
    path.parent.mkdir()
    url = f"git+ssh://{ssh.user}@127.0.0.1:{ssh.port}{quote(str(path))}"
    place = GitPlace(path, url, tmp_path / "memory", ssh_config=str(ssh.config))
    place.plant(f"{A}/{HEAD_FILE}", b"1")
    assert place.transport().origins().origins == (A,)


def test_the_short_form_reaches_what_the_config_names(ssh: SshServer, tmp_path: Path) -> None:
    config = tmp_path / "ssh_config"
    host = f"Host bus-host\n  HostName 127.0.0.1\n  Port {ssh.port}\n  User {ssh.user}\n"
    config.write_text(ssh.config.read_text() + host)
    place = GitPlace(tmp_path / "bus.git", f"bus-host:{tmp_path}/bus.git", tmp_path / "memory", ssh_config=str(config))
    place.plant(f"{A}/{HEAD_FILE}", b"1")
    assert place.transport().origins().origins == (A,)


def test_ssh_opens_nothing_beside_the_one_session(ssh: SshServer, tmp_path: Path) -> None:
    """What a config may ask for between people: forwarding, local commands, a connection that stays."""
    place = ssh_place(
        ssh,
        tmp_path,
        ForwardAgent="yes",
        LocalForward="127.0.0.1:1 127.0.0.1:2",
        ExitOnForwardFailure="yes",
        PermitLocalCommand="yes",
        LocalCommand=f"touch {tmp_path}/ran",
        ControlMaster="auto",
        ControlPath=f"{tmp_path}/control",
        ControlPersist="60",
    )
    assert place.transport().origins().origins == ()
    assert not (tmp_path / "ran").exists() and not (tmp_path / "control").exists()
