"""Git keeps the contract of all transports: a bare repository in place, git daemon, ssh, and http with a login."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from federation.errors import SourceUnavailable
from federation.model import HEAD_FILE
from federation.transports import Listing
from federation.transports.git import GitTransport
from federation.transports.git_dialogue import Work
from federation.transports.git_settings import read_settings
from federation.transports.urls import GitUrl, parse
from journal import Disk
from tests.conformance.test_transports import S1, S2, S3, A, Place, TransportConformance, own_feed
from tests.servers.git_servers import PASSWORD, USER, SshServer, git_daemon, remove_proxies
from tests.servers.listener import Counting, Listener
from tests.servers.processes import PATIENCE_SECONDS
from tests.servers.repositories import Repository
from tests.servers.web_server import WebServer
from tests.servers.working import breaking_while_sending, in_this_process


class GitPlace(Repository):
    """A repository, and how this store reaches it."""

    def __init__(self, path: Path, url: str, memory: Path, **settings: object) -> None:
        super().__init__(path)
        found = parse(url)
        assert isinstance(found, GitUrl)
        self.url, self._memory = found, memory
        self.settings = read_settings({"deadline_seconds": PATIENCE_SECONDS, **settings})

    def transport(self, *, fails_after: int | None = None) -> GitTransport:
        return self.way(in_this_process if fails_after is None else breaking_while_sending)

    def way(self, work: Work) -> GitTransport:
        return GitTransport(self.url, self.settings, Disk(), self._memory, work=work)


class GitConformance(TransportConformance):
    """The suite. Git publishes all at once, so what breaks off leaves less than the contract allows: nothing."""

    @pytest.mark.parametrize("visible", range(1))
    def test_a_publish_that_breaks_off_leaves_the_former_head_with_all_its_slices(
        self, place: Place, tmp_path: Path, visible: int
    ) -> None:
        former = {f"{A}/{HEAD_FILE}": b"1", f"{A}/{S1}": b"1"}
        feed = own_feed(tmp_path / "feed", head=b"1", s1=b"1")
        place.transport().publish(A, feed, [S1, HEAD_FILE], frozenset())
        own_feed(feed, head=b"2", s2=b"2", s3=b"3")
        names = [HEAD_FILE, S2, S3]
        with pytest.raises(SourceUnavailable):
            place.transport(fails_after=visible).publish(A, feed, names, frozenset())
        assert place.content() == former
        assert place.transport().origins() == Listing((A,), 0)

        place.transport().publish(A, feed, names, frozenset())
        assert place.content() == {f"{A}/{HEAD_FILE}": b"2", f"{A}/{S2}": b"2", f"{A}/{S3}": b"3"}


class TestInPlace(GitConformance):
    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return GitPlace(tmp_path / "bus.git", str(tmp_path / "bus.git"), tmp_path / "memory")


class TestDaemon(GitConformance):
    @pytest.fixture
    def place(self, tmp_path: Path) -> Iterator[Place]:
        with git_daemon(tmp_path) as server:
            yield GitPlace(tmp_path / "bus.git", f"git://127.0.0.1:{server.port}/bus.git", tmp_path / "memory")


@pytest.fixture(scope="session")
def ssh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    server = SshServer(tmp_path_factory.mktemp("ssh") / "server")
    server.keep_open()
    yield server
    server.stop()


class TestSsh(GitConformance):
    @pytest.fixture
    def place(self, tmp_path: Path, ssh: SshServer) -> Place:
        url = f"git+ssh://{ssh.user}@127.0.0.1:{ssh.port}{tmp_path}/bus.git"
        return GitPlace(tmp_path / "bus.git", url, tmp_path / "memory", ssh_config=str(ssh.config))


@pytest.fixture(scope="session")
def web() -> Iterator[WebServer]:
    server = WebServer()
    yield server
    server.stop()


class TestHttp(GitConformance):
    @pytest.fixture
    def place(self, tmp_path: Path, web: WebServer, monkeypatch: pytest.MonkeyPatch) -> Place:
        remove_proxies(monkeypatch)
        login = f"{USER}:{quote(PASSWORD, safe='')}"
        url = f"git+http://{login}@127.0.0.1:{web.port}{tmp_path}/bus.git"
        return GitPlace(tmp_path / "bus.git", url, tmp_path / "memory")

    def test_all_that_is_asked_in_one_transfer_goes_over_one_connection(
        self, tmp_path: Path, web: WebServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        remove_proxies(monkeypatch)
        with Listener(Counting(web.port)) as proxy:
            url = f"git+http://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:{proxy.port}{tmp_path}/bus.git"
            place = GitPlace(tmp_path / "bus.git", url, tmp_path / "memory")
            for number in range(1, 4):
                place.plant(f"{A}/{HEAD_FILE}", b"head %d" % number)
                assert place.transport().origins().origins == (A,)
                assert proxy.accepted == number
