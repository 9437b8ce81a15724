"""Growth: what a git repository becomes when a store publishes to it again and again."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple

from benchmarks.feeds import entities
from benchmarks.stores import make_store, open_store
from federation.holdings import Holdings
from federation.publisher import publish
from federation.puller import Remote
from federation.pusher import push
from federation.transports.git import GitTransport
from federation.transports.git_settings import GitSettings
from federation.transports.urls import GitUrl, parse
from federation.withholding import PublishSettings
from tests.servers.working import in_this_process


class Size(NamedTuple):
    """Of a repository."""

    objects: int
    size_bytes: int  # of its files
    disk_bytes: int  # that they occupy


def publish_often(folder: Path, repository: Path, *, publishes: int, records: int) -> int:
    """Write and publish so many records, so often, to a new repository in place; how many bytes the feed has then.

    The worker that writes to the repository works in this process: what it writes is what counts here.
    """
    _git("init", "--quiet", "--bare", str(repository))
    make_store(folder)
    opened, known = open_store(folder), entities(records)
    holdings = Holdings(opened)
    remote = _remote(holdings, repository, folder.with_name(f"{folder.name}-memory"))
    for number in range(publishes):
        with opened.mutate(agent="benchmark") as mutation:
            for item_type, item_id, text in known:
                mutation.put(item_type, item_id, {"title": item_id, "step": number, "text": text}, summary="a step")
        publish(holdings, PublishSettings())
        (report,) = push(holdings, [remote])
        if report.result != "pushed":
            raise RuntimeError(f"push came to {report}")
    feed_bytes = sum(path.stat().st_size for path in holdings.own.folder.iterdir())
    holdings.close()
    opened.close()
    return feed_bytes


def size_of(repository: Path) -> Size:
    """What it is now."""
    found = [path.stat() for path in repository.rglob("*") if path.is_file()]
    listed = _git("-C", str(repository), "cat-file", "--batch-all-objects", "--batch-check=%(objectname)")
    return Size(
        len(listed.split()), sum(status.st_size for status in found), sum(512 * status.st_blocks for status in found)
    )


def collect(repository: Path) -> None:
    """Let git tidy it up, as a server does now and then."""
    _git("-C", str(repository), "gc", "--quiet")


def _remote(holdings: Holdings, repository: Path, memory: Path) -> Remote:
    url = parse(str(repository))
    assert isinstance(url, GitUrl)
    disk = holdings.store.disk
    return Remote("bus", str(repository), lambda: GitTransport(url, GitSettings(), disk, memory, work=in_this_process))


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout
