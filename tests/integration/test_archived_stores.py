"""Sharing with old segments in the archive: what is published, pulled and decided is the same."""

from __future__ import annotations

import shutil
from pathlib import Path

from eventsync.sharing import Sharing
from federation.model import Result
from tests.integration.world import (
    World,
    accept,
    answers,
    feed_lines,
    only,
    own_feed,
    pull,
    put,
    rebuilt,
    reject,
    remove,
    share,
    verdicts,
)


def archive(store: Sharing) -> Path:
    """Put aside what can be put aside."""
    for number in range(2):
        put(store, "filler", item_type="session", n=number)
        store.store.checkpoint()
    assert store.store.gc().moved
    return store.store.folder / "journal" / "archive"


def test_what_is_archived_is_published_all_the_same(world: World) -> None:
    """[F1] [J15]: byte for byte, from where the last publish ended."""
    a, b = world.store("a"), world.store("b")
    a.store.roll_bytes = 900
    put(a, "p0")
    share(a)
    for number in range(8):
        put(a, f"p{number}", n=number)
    remove(a, "p3")
    wanted = [
        line
        for path in sorted((a.store.folder / "journal").glob("seg-*"))
        for line in path.read_bytes().split(b"\n")[1:]
        if line
    ]
    archive(a)
    share(world.reopened(a))
    assert feed_lines(own_feed(a))[: len(wanted)] == wanted
    assert only(pull(b)).result is Result.NEW
    assert verdicts(b)["plan/p7"] == "new"


def test_what_was_decided_is_known_without_the_log(world: World) -> None:
    """[T1] [J14] [J15]: decisions and receipts come from index and checkpoint, the archive is not even there."""
    a, b = world.store("a"), world.store("b")
    put(a, "p1", "p2", "p3")
    share(a)
    pull(b)
    b.store.roll_bytes = 700
    accept(b, "plan/p1")
    reject(b, "plan/p2")
    put(b, "own")
    put(b, "own", n=1)
    before = {key: value for key, value in verdicts(b).items() if key.startswith("plan/p")}
    folder = archive(b)
    everything = answers(b)
    b = rebuilt(world.reopened(b))
    assert answers(b) == everything
    shutil.rmtree(folder)
    b = rebuilt(world.reopened(b))
    assert {key: value for key, value in verdicts(b).items() if key.startswith("plan/p")} == before
    assert before == {"plan/p1": "known", "plan/p2": "known", "plan/p3": "new"}
    put(a, "p2", n=2)
    share(a)
    assert only(pull(b)).result is Result.UPDATED
    assert verdicts(b)["plan/p2"] == "new"
