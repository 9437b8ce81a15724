"""Remotes: what each kind of remote adds to a pull, and how a git repository grows that stores publish to.

Compared within one run: with what git itself needs for the same transfer, and with the same after a long history.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Final

from benchmarks.feeds import show_step
from benchmarks.figures import Bench, Figure, Section, fewest, milliseconds, speed_of
from benchmarks.places import DAEMON, DIRECTORY, Places, serving

MOST_OVER_GIT: Final = 1.5  # times what git's own fetch and the pull from a folder take together
MOST_OVER_SHORT: Final = 1.3  # times what an increment takes after a short history
STEP: Final = 100  # records of an increment
PUBLISHED: Final = 10  # records of a publish whose place grows
MOST_GROWTH: Final = 12 * 1024  # bytes of a repository for each publish
_FIRST_STEP: Final = 3  # after the history, and a step from which on every kind of remote is known
_MOST_KINDS: Final = 6  # of remotes: for each there are steps to take
_JUDGED: Final = "processor_seconds"
_CLOCKS: Final = {"processor_seconds": "processor time", "seconds": "on the clock"}


def sections(bench: Bench) -> Iterator[Section]:
    """All measurements, each as it is done."""
    with serving(bench.feed(bench.sizes.speed)[0]) as places:
        yield _first_pulls(bench, places)
    yield _increments(bench)
    yield _growth(bench)


def _first_pulls(bench: Bench, places: Places) -> Section:
    """Everything in turns, so that what else the machine does concerns all alike."""
    events = bench.sizes.speed
    fetches: list[dict[str, Any]] = []
    pulls: dict[str, list[dict[str, Any]]] = {kind: [] for kind in places.urls}
    for _ in range(bench.sizes.repeats):
        fetches.append(bench.run("git_fetch", places.urls[DAEMON], bench.new("fetched")))
        for kind, url in places.urls.items():
            pulls[kind].append(bench.run("first_pull", url, bench.new("store")))
    figures = [
        Figure("git fetch from the daemon, into an empty repository", speed_of(fewest(fetches, "seconds"), events))
    ]
    figures += [Figure(f"pull, {kind}", speed_of(fewest(found, "seconds"), events)) for kind, found in pulls.items()]
    for clock, said in _CLOCKS.items():
        parts = fewest(fetches, clock) + fewest(pulls[DIRECTORY], clock)
        ratio = fewest(pulls[DAEMON], clock) / parts
        bound = f"at most {MOST_OVER_GIT:g}"
        figures.append(
            Figure(f"git daemon / (git fetch + directory), {said}", f"{ratio:.2f}", bound, ratio <= MOST_OVER_GIT)
        )
    return Section(f"First pull of {events:,} events from each kind of remote", figures)


def _increments(bench: Bench) -> Section:
    """The same small pull into a store with a short and into one with a long history, from each kind in turn."""
    short, long = bench.sizes.increments
    with ExitStack() as opened:
        stores = {size: _Grown(bench, size, opened) for size in (short, long)}
        kinds = list(stores[short].places.urls)
        for gen in range(_FIRST_STEP, _FIRST_STEP + bench.sizes.repeats * len(kinds)):
            for store in stores.values():
                store.increment(kinds[gen % len(kinds)], gen)
    figures = []
    for kind in kinds:
        for clock, said in _CLOCKS.items():
            before, after = (fewest(stores[size].taken[kind], clock) for size in (short, long))
            figures.append(
                Figure(
                    f"{kind}, {said}",
                    f"{milliseconds(before)} → {milliseconds(after)}, {after / before:.2f} times",
                    f"at most {MOST_OVER_SHORT:g}" if clock == _JUDGED else "",
                    after / before <= MOST_OVER_SHORT if clock == _JUDGED else None,
                )
            )
    return Section(f"Pull of {STEP} new records, after {short:,} and after {long:,} events", figures)


class _Grown:
    """A store that holds a history, and its source, which goes on."""

    def __init__(self, bench: Bench, size: int, opened: ExitStack) -> None:
        self._bench, self._store = bench, bench.new("store")
        self.taken: dict[str, list[dict[str, Any]]] = defaultdict(list)
        bus, steps = bench.new("bus"), 1 + bench.sizes.repeats * _MOST_KINDS
        bench.run("feed_in_steps", bus, bench.sizes.speed // 10, size, *[STEP] * steps)
        show_step(bus, 1)
        self.places = opened.enter_context(serving(bus))
        bench.run("first_pull", self.places.urls[DIRECTORY], self._store)
        self.increment(DIRECTORY, _FIRST_STEP - 1)
        self.taken.clear()  # from now on every kind knows what is here

    def increment(self, kind: str, gen: int) -> None:
        """Publish once more, and pull that from one kind of remote; the others only learn that it is here."""
        self.places.show(gen)
        others = [url for other, url in self.places.urls.items() if other != kind]
        self.taken[kind].append(self._bench.run("increment", self.places.urls[kind], self._store, *others))


def _growth(bench: Bench) -> Section:
    """What a repository becomes that nobody tidies up, and what git makes of it."""
    publishes = bench.sizes.publishes
    found = bench.run("grow", bench.new("store"), bench.new("grown").with_suffix(".git"), publishes, PUBLISHED)
    each = found["grown"]["size_bytes"] / publishes
    return Section(
        f"A git repository after {publishes:,} publishes of {PUBLISHED} records",
        [
            Figure("the feed itself", _kilobytes(found["feed_bytes"])),
            Figure("the repository", _size(found["grown"])),
            Figure("of which for each publish", f"{each:,.0f} bytes", f"at most {MOST_GROWTH:,}", each <= MOST_GROWTH),
            Figure("after git gc", _size(found["collected"])),
        ],
    )


def _size(found: dict[str, int]) -> str:
    disk = _kilobytes(found["disk_bytes"])
    return f"{_kilobytes(found['size_bytes'])} in {found['objects']:,} objects, {disk} of disk"


def _kilobytes(size: int) -> str:
    return f"{size / 1e3:,.0f} kB"
