"""Places that feeds are pulled from, as whoever runs them can fill them: a folder, and a bare git repository."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from eventsync.sharing import Sharing
from federation.puller import Remote
from federation.transports.git import GitTransport
from federation.transports.git_settings import read_settings
from federation.transports.urls import GitUrl, parse
from tests.integration.world import folder_remote, place_remote
from tests.servers.repositories import FILE, Repository
from tests.servers.working import in_this_process

DEADLINE_SECONDS = 60


class Place(Protocol):
    """A remote in the hands of somebody hostile."""

    def show(self, origin: str, files: Mapping[str, bytes]) -> None:
        """Let these files stand under an origin, and nothing that stood there before. No names with folders."""
        ...

    def remote(self, store: Sharing) -> Remote:
        """The place as a store reaches it."""
        ...


class Folder:
    """A directory."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "hostile"
        self._path.mkdir()

    def show(self, origin: str, files: Mapping[str, bytes]) -> None:
        shutil.rmtree(self._path / origin, ignore_errors=True)
        (self._path / origin).mkdir()
        for name, data in files.items():
            (self._path / origin / name).write_bytes(data)

    def remote(self, store: Sharing) -> Remote:
        return folder_remote(self._path, store)


class BareGit:
    """A bare repository; each showing is a commit on top of the one before, as a push makes it."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "hostile.git"
        self._memory = folder / "memory"
        self._repository = Repository(self._path)

    def show(self, origin: str, files: Mapping[str, bytes]) -> None:
        self._repository.plant_tree(origin, [(FILE, name.encode(), data) for name, data in sorted(files.items())])

    def remote(self, store: Sharing) -> Remote:
        url, settings = parse(str(self._path)), read_settings({"deadline_seconds": DEADLINE_SECONDS})
        assert isinstance(url, GitUrl)
        return place_remote(lambda: GitTransport(url, settings, store.store.disk, self._memory, work=in_this_process))
