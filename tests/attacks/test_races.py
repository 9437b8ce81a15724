"""Two pulls race on one pin: what was verified from a pin that moved meanwhile is never kept for that reason alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from eventsync.sharing import Sharing
from federation.model import HEAD_FILE, Result
from federation.transports import Wanted
from federation.transports.directory import DirectoryTransport
from tests.doubles.stores import quick_folder
from tests.integration.forger import Forger
from tests.integration.world import World, answers, only, place_remote, pull, rebuilt


class Overtaken(DirectoryTransport):
    """A place that brings its slices only after something else was done: another process was faster."""

    def __init__(self, path: Path, store: Sharing, first: Callable[[], object]) -> None:
        super().__init__(path, store.store.disk)
        self._first = [first]

    def fetch(self, origin: str, wanted: Sequence[Wanted], into: Path) -> tuple[str, ...]:
        if wanted and wanted[0].name != HEAD_FILE and self._first:
            self._first.pop()()
        return super().fetch(origin, wanted, into)


class Race:
    """A reader that holds two records, as two processes have it open, and two places for the slow and the quick one."""

    def __init__(self, folder: Path) -> None:
        self.world = World(folder)
        self.slow = self.world.store("reader")
        self.held = Forger()
        for name in ("p1", "p2"):
            self.held.record(name)
        self.slow_bus, self.quick_bus = folder / "slow", folder / "quick"
        self.held.feed().put_into(self.quick_bus)
        self.held.feed().put_into(self.slow_bus)
        pull(self.slow, [place_remote(lambda: DirectoryTransport(self.quick_bus, self.slow.store.disk))])
        self.quick = self.world.again(self.slow)
        self.quick.store.machine.writer = "w_2-00ff00ff"

    def branch(self, *names: str) -> Forger:
        found = self.held.copy()
        for name in names:
            found.record(name)
        return found

    def run(self, slow: Forger, quick: Forger) -> tuple[Result, Result]:
        """The slow pull has its head already when the quick one takes all of its own."""
        results: list[Result] = []
        slow.feed(gen=2, cuts=[2]).put_into(self.slow_bus)
        quick.feed(gen=2, cuts=[2]).put_into(self.quick_bus)

        def overtake() -> None:
            place = DirectoryTransport(self.quick_bus, self.quick.store.disk)
            results.append(only(pull(self.quick, [place_remote(lambda: place)])).result)

        place = Overtaken(self.slow_bus, self.slow, overtake)
        found = only(pull(self.slow, [place_remote(lambda: place)]))
        return found.result, results[0]

    def mirrored(self) -> list[bytes]:
        return [line.data for line in self.slow.holdings.mirror.feed(self.held.origin).lines(0)]


@pytest.fixture
def race() -> Iterator[Race]:
    with quick_folder() as folder:
        found = Race(folder)
        yield found
        found.world.close_all()


def lines(forger: Forger) -> list[bytes]:
    return [line.data for line in forger.lines]


def test_the_same_news_from_two_places_is_taken_once(race: Race) -> None:
    """[F5] [F7]"""
    news = race.branch("p3")
    assert race.run(news, news) == (Result.UP_TO_DATE, Result.UPDATED)
    assert race.mirrored() == lines(news)
    before = answers(race.slow)
    assert answers(rebuilt(race.slow)) == before


def test_who_goes_further_continues_what_the_faster_one_took(race: Race) -> None:
    """[F5]"""
    short, long = race.branch("p3"), race.branch("p3", "p4")
    assert race.run(long, short) == (Result.UPDATED, Result.UPDATED)
    assert race.mirrored() == lines(long)


def test_who_is_behind_the_faster_one_is_stale_and_freezes_nothing(race: Race) -> None:
    """[F5]"""
    short, long = race.branch("p3"), race.branch("p3", "p4")
    assert race.run(short, long) in [(Result.STALE, Result.UPDATED), (Result.UP_TO_DATE, Result.UPDATED)]
    assert race.mirrored() == lines(long)
    assert not race.slow.holdings.trust.is_frozen(race.held.origin)


def test_two_histories_that_race_end_with_one_of_them_and_a_fork(race: Race) -> None:
    """[F5] Both continue the pin that both pulls began with; they contradict each other, not the pin."""
    first, second = race.branch("q3", "q4"), race.branch("p3")
    assert race.run(first, second) == (Result.FORK, Result.UPDATED)
    assert race.mirrored() == lines(second)
    assert race.slow.holdings.trust.is_frozen(race.held.origin)
