"""Places: a bus, and the same feed wherever else it can be pulled from, served on the loopback.

A kind of remote is one line in `serving`; one that holds a copy of its own is brought up to date in `publish`.
`benchmarks.remotes` measures all kinds alike.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.feeds import show_step
from benchmarks.stores import transport_to
from federation.model import HEAD_FILE
from journal import Disk
from tests.servers.git_servers import git_daemon
from tests.servers.rsync_servers import MODULE, rsync_daemon

DIRECTORY: Final = "directory"
DAEMON: Final = "git daemon"


class Places(NamedTuple):
    """Where the feed of a bus can be pulled from: URLs by the kind of remote."""

    bus: Path
    repository: Path
    urls: dict[str, str]

    def show(self, gen: int) -> None:
        """Let every place hold the feed as it was after so many publishes."""
        show_step(self.bus, gen)
        self.publish()

    def publish(self) -> None:
        """Bring the places that hold a copy to what the bus shows."""
        (folder,) = self.bus.iterdir()
        head = json.loads((folder / HEAD_FILE).read_bytes())["head"]
        names = [f"{entry['name']}.zst" for entry in head["slices"]]
        transport = transport_to(str(self.repository), Disk(), self.repository.with_suffix(".memory"))
        transport.publish(folder.name, folder, [*names, HEAD_FILE], frozenset())


@contextmanager
def serving(bus: Path) -> Iterator[Places]:
    """The feed on a bus at a place of each kind, as long as the block lasts."""
    repository = bus.with_name(f"{bus.name}.git")
    subprocess.run(["git", "init", "--quiet", "--bare", str(repository)], check=True)
    rsync = rsync_daemon(bus.parent, bus.with_name(f"{bus.name}-rsyncd"))
    with git_daemon(bus.parent) as daemon, rsync as rsyncd:
        urls = {
            DIRECTORY: str(bus),
            "git, in place": str(repository),
            DAEMON: f"git://127.0.0.1:{daemon.port}/{repository.name}",
            "rsync daemon": f"rsync://127.0.0.1:{rsyncd.port}/{MODULE}/{bus.name}",
        }
        places = Places(bus, repository, urls)
        places.publish()
        yield places
