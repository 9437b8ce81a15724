"""Remotes side by side: none waits for another, and what is ours is done by one thread [J9] [F6].

The places of these tests answer when something has been seen to happen, never after a time. Were remotes pulled one
after the other, they would wait for what comes later, and fail.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from eventsync import exits
from eventsync.sharing import Sharing
from federation.abreast import AT_ONCE, Errand, abreast, away
from federation.errors import SourceUnavailable
from federation.model import HEAD_FILE, RemotePull, Result
from federation.puller import Settings
from federation.puller import pull as pull_all
from federation.transports import Listing, Wanted
from federation.transports.child import run
from tests.doubles.memory import MemoryPlace, MemoryTransport
from tests.integration.forger import Forged, Forger
from tests.integration.world import World, answers, place_remote, pull, put, rebuilt

PATIENCE_SECONDS = 30


def wait_for(seen: Callable[[], object]) -> None:
    """Wait until something has happened; TimeoutError when it does not."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not seen():
        if time.monotonic() > deadline:
            raise TimeoutError("it did not happen")
        time.sleep(0.005)


class Waiting(MemoryTransport):
    """A way to a place that answers no sooner than something was seen."""

    def __init__(
        self,
        place: MemoryPlace,
        *,
        origins: Callable[[], object] = lambda: True,
        fetch: Callable[[str], object] = lambda name: True,
    ) -> None:
        super().__init__(place)
        self._before_origins, self._before_fetch = origins, fetch

    def origins(self) -> Listing:
        wait_for(self._before_origins)
        return super().origins()

    def fetch(self, origin: str, wanted: Sequence[Wanted], into: Path) -> tuple[str, ...]:
        for item in wanted:
            wait_for(lambda name=item.name: self._before_fetch(name))  # type: ignore[misc]
        return super().fetch(origin, wanted, into)


def holding(*feeds: Forged) -> MemoryPlace:
    return MemoryPlace({f"{feed.origin}/{name}": data for feed in feeds for name, data in feed.files.items()})


def forged(*item_ids: str, seed: int = 7) -> Forged:
    forger = Forger(seed)
    for item_id in item_ids:
        forger.record(item_id)
    return forger.feed()


def mirrored(store: Sharing, feed: Forged) -> bool:
    """Whether the mirror holds this very feed."""
    path = store.holdings.mirror.path(feed.origin) / HEAD_FILE
    return path.exists() and path.read_bytes() == feed.files[HEAD_FILE]


# --- pulling ---------------------------------------------------------------------------------------------------------


def test_a_slow_remote_holds_up_no_other_and_reports_keep_their_order(world: World) -> None:
    reader = world.store("reader")
    slow, quick = forged("a", seed=1), forged("b", seed=2)
    ended: list[str] = []
    remotes = [
        place_remote(
            lambda: Waiting(holding(slow), origins=lambda: mirrored(reader, quick) and ended == ["quick"]), name="slow"
        ),
        place_remote(lambda: MemoryTransport(holding(quick)), name="quick"),
    ]

    def note(found: RemotePull) -> None:
        assert reader.holdings.index.position(found.origins[0].origin)[0] == 1  # and it is materialized
        ended.append(found.name)

    reports = pull_all(reader.holdings, remotes, Settings(), note)
    assert ended == ["quick", "slow"]
    assert [(found.name, found.origins[0].result) for found in reports] == [("slow", Result.NEW), ("quick", Result.NEW)]


def test_a_slow_fetch_holds_up_no_other(world: World) -> None:
    reader = world.store("reader")
    slow, quick = forged("a", seed=1), forged("b", seed=2)

    def slices(name: str) -> bool:
        return name == HEAD_FILE or mirrored(reader, quick)

    remotes = [
        place_remote(lambda: Waiting(holding(slow), fetch=slices), name="slow"),
        place_remote(lambda: MemoryTransport(holding(quick)), name="quick"),
    ]
    run = pull(reader, remotes)
    assert [found.origins[0].records for found in run.remotes] == [1, 1]


def test_what_fails_stops_no_other_and_waits_for_none(world: World) -> None:
    reader = world.store("reader")
    first, last = forged("a", seed=1), forged("b", seed=2)

    def breaks() -> Waiting:
        wait_for(lambda: mirrored(reader, last))
        raise SourceUnavailable("is gone")

    remotes = [
        place_remote(lambda: MemoryTransport(holding(first)), name="first"),
        place_remote(breaks, name="broken"),
        place_remote(lambda: MemoryTransport(holding(last)), name="last"),
    ]
    run = pull(reader, remotes)
    assert [found.error is None for found in run.remotes] == [True, False, True]
    assert run.exit_code == exits.PARTLY


def test_many_remotes_with_the_same_feed_take_it_once(world: World) -> None:
    """All have fetched before any is kept: the first is taken, the others look again."""
    reader = world.store("reader")
    feed = forged("a", "b", "c")
    count = 5
    together = threading.Barrier(count)

    class Together(MemoryTransport):
        def fetch(self, origin: str, wanted: Sequence[Wanted], into: Path) -> tuple[str, ...]:
            had = super().fetch(origin, wanted, into)
            if HEAD_FILE not in had and not together.broken:
                together.wait(PATIENCE_SECONDS)
            return had

    remotes = [place_remote(lambda: Together(holding(feed)), name=f"r{number}") for number in range(count)]
    run = pull(reader, remotes)
    results = [found.origins[0].result for found in run.remotes]
    assert sorted(results) == [Result.NEW, *[Result.UP_TO_DATE] * (count - 1)]
    assert sum(found.origins[0].records for found in run.remotes) == 3
    shown = answers(reader)
    assert len(shown["candidates"]) == 3
    assert answers(rebuilt(reader)) == shown


def test_a_feed_that_was_taken_from_elsewhere_meanwhile_is_looked_at_again(world: World) -> None:
    """What was fetched for an older mirror contradicts a newer one, and is no fork for that [F5]."""
    reader = world.store("reader")
    forger = Forger(7)
    for number in range(4):
        forger.record(f"p{number}")
    pull(reader, [place_remote(lambda: MemoryTransport(holding(forger.feed(gen=1))))])
    for number in range(4, 8):
        forger.record(f"p{number}")
    newer = forger.feed(gen=2)  # one slice that reaches below what the reader holds
    apart = forger.feed(gen=2, cuts=[4])
    asked = threading.Event()

    def slices(name: str) -> bool:
        if name != HEAD_FILE:
            asked.set()  # its head was compared with the mirror
        return name == HEAD_FILE or mirrored(reader, apart)

    remotes = [
        place_remote(lambda: Waiting(holding(newer), fetch=slices), name="slow"),
        place_remote(lambda: Waiting(holding(apart), origins=asked.is_set), name="quick"),
    ]
    run = pull(reader, remotes)
    assert [found.origins[0].result for found in run.remotes] == [Result.UP_TO_DATE, Result.UPDATED]
    assert run.exit_code == exits.DONE
    assert not reader.holdings.mirror.fork_evidence(newer.origin)


# --- pushing ---------------------------------------------------------------------------------------------------------


def test_a_slow_remote_holds_up_no_push_to_another(world: World) -> None:
    author = world.store("author")
    put(author, "p1")
    author.publish()
    slow, quick = MemoryPlace(), MemoryPlace()
    head = f"{author.store.origin}/{HEAD_FILE}"
    remotes = [
        place_remote(lambda: Waiting(slow, fetch=lambda _: head in quick.files), name="slow"),
        place_remote(lambda: MemoryTransport(quick), name="quick"),
    ]
    run = author.push(remotes, confirmed=True)
    assert [(found.name, found.result) for found in run.remotes] == [("slow", "pushed"), ("quick", "pushed")]
    assert slow.files == quick.files


# --- errands ---------------------------------------------------------------------------------------------------------


def test_more_places_than_go_at_once_are_all_visited_and_one_place_by_one_at_a_time() -> None:
    visited: list[int] = []

    async def visit(number: int) -> int:
        def go() -> int:
            visited.append(number)
            return number

        return await away(go) * 10

    count = 3 * AT_ONCE
    ended: list[int] = []
    errands = [Errand(f"place {number // 2}", visit(number)) for number in range(count)]
    assert abreast(errands, ended.append) == [number * 10 for number in range(count)]
    assert sorted(ended) == [number * 10 for number in range(count)]
    assert all(visited.index(number) < visited.index(number + 1) for number in range(0, count, 2))
    assert abreast([], ended.append) == []


def test_what_a_call_raises_can_be_met_where_it_was_awaited() -> None:
    async def forgiving() -> str:
        try:
            await away(lambda: 1 // 0)
        except ZeroDivisionError as error:
            return str(error)
        return ""

    assert abreast([Errand("place", forgiving())], lambda _: None) == ["integer division or modulo by zero"]


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt])
def test_what_an_errand_raises_ends_the_others_with_all_they_started(
    tmp_path: Path, fault: type[BaseException]
) -> None:
    cleaned: list[str] = []

    async def endless() -> None:
        try:
            await away(lambda: run(["sh", "-c", f"echo $$ > {tmp_path}/child; exec sleep 600"], deadline_seconds=600))
        finally:
            cleaned.append("endless")

    async def broken() -> None:
        await away(lambda: wait_for(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text()))
        raise fault

    before = threading.active_count()
    with pytest.raises(fault):
        abreast([Errand("a", endless()), Errand("b", broken())], lambda _: None)
    assert cleaned == ["endless"]
    assert threading.active_count() == before
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "child").read_text()), 0)
