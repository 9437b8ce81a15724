"""Ways: the one place that turns a remote's URL into a transport, with what is kept on this side for it.

Holds the children that look at folders which may hang, until it is closed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from federation.bridge import BridgeSource
from federation.transports import Transport, git_settings, rsync_settings, urls
from federation.transports.brainclaw import BrainclawSource
from federation.transports.directory import DirectoryTransport, is_brainclaw
from federation.transports.mounts import may_hang
from federation.transports.watched import Watch, read_deadline
from journal import Disk, Store

Way = Callable[[], Transport | BridgeSource]


class Ways:
    """Ways from one store to its remotes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._watches: dict[Path, Watch] = {}
        self._warnings: dict[str, None] = {}

    def close(self) -> None:
        """Let go of the places that were reached."""
        while self._watches:
            self._watches.popitem()[1].end()

    def warnings(self) -> list[str]:
        """What a person should know of the programs that remotes were reached by, each once."""
        return list(self._warnings)

    def to(self, url: urls.Url | urls.GitUrl | urls.RsyncUrl, settings: Mapping[str, Any], seconds: float) -> Way:
        """How to connect; settings that are wrong are told then. `seconds` is the deadline where they name none.

        What is called may last, and may be called in a thread; this is called before there are any.
        """
        if isinstance(url, urls.Url):
            return self._to_folder(url.path, settings, seconds)
        reach = partial(self._by_git, url) if url.kind == "git" else partial(self._by_rsync, url)
        return partial(reach, {"deadline_seconds": seconds, **settings})

    def _to_folder(self, path: Path, settings: Mapping[str, Any], seconds: float) -> Way:
        """A folder is looked at by a child where it may hang, or where a person wants a deadline."""
        if not settings and not may_hang(path):
            return partial(open_folder, path, self._store.disk)
        watch = self._watches.get(path)
        if watch is None or watch.is_over:
            watch = self._watches[path] = Watch(path, partial(open_folder, path, self._store.disk))
        found = watch
        return lambda: found.open(read_deadline({"deadline_seconds": seconds, **settings}), self._store.disk)

    def _by_git(self, url: urls.GitUrl, settings: Mapping[str, Any]) -> Transport:
        from federation.transports import git  # only who uses it pays for it

        memory = self._store.folder / "federation" / "git"
        return git.GitTransport(url, git_settings.read_settings(settings), self._store.disk, memory)

    def _by_rsync(self, url: urls.RsyncUrl, settings: Mapping[str, Any]) -> Transport:
        from federation.transports import rsync  # only who uses it pays for it

        found = rsync_settings.read_settings(settings)
        warning = rsync.check_program(found.deadline_seconds)
        self._warnings |= {} if warning is None else {warning: None}
        folder = self._store.folder / "federation"
        held = (folder / "mirror", self._store.folder / "feed")
        home = os.path.expanduser("~")  # noqa: PTH111 (a text)
        return rsync.RsyncTransport(url, found, self._store.disk, folder / "rsync", home, held=held)


def check_settings(url: urls.Url | urls.GitUrl | urls.RsyncUrl, settings: Mapping[str, Any]) -> None:
    """InvalidUrl when a transport would not take these settings; no value is repeated, which may be anything."""
    if isinstance(url, urls.Url):
        read_deadline({"deadline_seconds": 1, **settings})
    elif isinstance(url, urls.GitUrl):
        git_settings.read_settings(settings)
    else:
        rsync_settings.read_settings(settings)


def open_folder(path: Path, disk: Disk) -> Transport | BridgeSource:
    """What stands at a path: a `.brainclaw` store, or a place for feeds."""
    bridged = is_brainclaw(path)
    return DirectoryTransport(path, disk) if bridged is None else BrainclawSource(bridged)
