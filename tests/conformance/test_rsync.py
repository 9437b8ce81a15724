"""Rsync keeps the contract of all transports: from a daemon, and over ssh."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from federation.transports.rsync import RsyncTransport, Work
from federation.transports.rsync_settings import read_settings
from federation.transports.urls import RsyncUrl, parse
from journal import Disk
from tests.conformance.test_transports import Bus, Place, TransportConformance
from tests.servers.git_servers import SshServer
from tests.servers.processes import PATIENCE_SECONDS
from tests.servers.rsync_servers import MODULE, breaking_after, home, in_this_process, rsync_daemon


class RsyncPlace(Bus):
    """A folder, and how this store reaches it."""

    def __init__(self, path: Path, url: str, folder: Path, **settings: object) -> None:
        super().__init__(path)
        self._url, self._folder = parse(url), folder
        self._settings = read_settings({"deadline_seconds": PATIENCE_SECONDS, **settings})

    def transport(self, *, fails_after: int | None = None) -> RsyncTransport:
        return self.way(in_this_process if fails_after is None else breaking_after(fails_after))

    def way(self, work: Work, *held: Path) -> RsyncTransport:
        assert isinstance(self._url, RsyncUrl)
        return RsyncTransport(self._url, self._settings, Disk(), self._folder, home(), held=held, work=work)


class TestDaemon(TransportConformance):
    @pytest.fixture
    def place(self, tmp_path: Path) -> Iterator[Place]:
        with rsync_daemon(tmp_path, tmp_path / "server") as server:
            yield RsyncPlace(tmp_path / "bus", f"rsync://127.0.0.1:{server.port}/{MODULE}/bus", tmp_path / "ours")


@pytest.fixture(scope="session")
def ssh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    server = SshServer(tmp_path_factory.mktemp("ssh") / "server")
    server.keep_open()
    yield server
    server.stop()


class TestSsh(TransportConformance):
    @pytest.fixture
    def place(self, tmp_path: Path, ssh: SshServer) -> Place:
        url = f"rsync+ssh://{ssh.user}@127.0.0.1:{ssh.port}{tmp_path}/bus"
        return RsyncPlace(tmp_path / "bus", url, tmp_path / "ours", ssh_config=str(ssh.config))
