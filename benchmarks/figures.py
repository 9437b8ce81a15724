"""Figures: which measurements are taken, what they are compared with, and what they must not exceed.

Times are the least of several, taken in turns, and only their ratios have bounds: those hardly depend on the machine,
or on what else it does just now. Counts have bounds of their own: work that a command does must not grow with what was
done before it.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[1]
LEAST_RATIO: Final = 0.5  # of what the bytes themselves cost
MOST_MEMORY: Final = 1.10
MOST_SLOWDOWN: Final = 2.0  # far above noise, far below anything that grows with history
ROOM_BYTES: Final = 16 * 1024  # what may be read more: longer numbers, other pieces of the log
HEAD_READS: Final = 20  # how often a head, which lists all slices, may be read in one command
HEAVY: Final = ("cryptography", "dulwich", "pydantic", "rich")
_MODULES: Final = (
    "import json, sys; from eventsync.cli import main; code = main(sys.argv[1:]); "
    "sys.stderr.write(json.dumps(sorted(sys.modules))); sys.exit(code)"
)


class Sizes(NamedTuple):
    """How large the measurements are, in events or records; pairs are compared with each other."""

    speed: int  # of the first pull that is timed
    small: int  # pulled before a pull with nothing or little new
    large: int
    repeats: int
    memory: tuple[int, int]  # of first pulls whose peak is compared; from some 100,000 on all buffers are full
    history: tuple[int, int]  # of stores in which one thing is done
    different: tuple[int, int]  # of first pulls in which each record is about another entity
    increments: tuple[int, int]  # pulled before an increment from each kind of remote
    publishes: int  # to one git repository


FULL: Final = Sizes(
    speed=100_000,
    small=10_000,
    large=1_000_000,
    repeats=5,
    memory=(100_000, 1_000_000),
    history=(10, 100_000),
    different=(10_000, 100_000),
    increments=(10_000, 1_000_000),
    publishes=1_000,
)
QUICK: Final = Sizes(
    speed=50_000,
    small=10_000,
    large=50_000,
    repeats=3,
    memory=(100_000, 200_000),
    history=(10, 20_000),
    different=(5_000, 20_000),
    increments=(5_000, 50_000),
    publishes=100,
)


class Figure(NamedTuple):
    """One line of the table; `holds` is None where nothing is promised."""

    what: str
    value: str
    bound: str = ""
    holds: bool | None = None


class Section(NamedTuple):
    """Figures that belong together."""

    title: str
    figures: list[Figure]


class Bench:
    """Runs tasks in processes of their own, within one folder, and keeps feeds for those who need the same."""

    def __init__(self, folder: Path, sizes: Sizes) -> None:
        self.folder = folder
        self.sizes = sizes
        self._names = itertools.count()
        self._feeds: dict[tuple[int, ...], tuple[Path, dict[str, Any]]] = {}

    def sections(self) -> Iterator[Section]:
        """All measurements, each as it is done."""
        yield self._speed()
        yield from self._pulls()
        yield self._different()
        yield self._entities()
        yield self._publishes()
        yield self._starts()

    # --- the measurements ---

    def _speed(self) -> Section:
        events = self.sizes.speed
        bus, made = self.feed(events)
        limits, pulls = [], []
        for _ in range(self.sizes.repeats):
            limits.append(self.run("limit_program", bus))
            pulls.append(self.run("first_pull", bus, self.new("store")))
        ratio = fewest(limits, "processor_seconds") / fewest(pulls, "processor_seconds")
        on_the_clock = fewest(limits, "seconds") / fewest(pulls, "seconds")
        size = f"{made['raw_bytes'] / 1e6:.0f} MB, packed {made['packed_bytes'] / 1e6:.0f} MB"
        return Section(
            f"First pull of {events:,} events about {events // 10:,} entities ({size}, {made['slices']} slices)",
            [
                Figure("the limit: read, unpack, hash, decode, keep", speed_of(fewest(limits, "seconds"), events)),
                Figure("pull: verified twice, durable, judged", speed_of(fewest(pulls, "seconds"), events)),
                Figure("limit / pull, on the clock, with all waiting for the disk", f"{on_the_clock:.2f}"),
                Figure(
                    "limit / pull, processor time", f"{ratio:.2f}", f"at least {LEAST_RATIO:.2f}", ratio >= LEAST_RATIO
                ),
            ],
        )

    def _pulls(self) -> Iterator[Section]:
        """First pulls of several sizes for their memory; then again, with nothing or little new, into the same."""
        small, large, more = self.sizes.small, self.sizes.large, 10 * self.sizes.small
        stores = {events: self.new("store") for events in sorted({*self.sizes.memory, small, large, more})}
        peaks = {
            events: self.run("first_pull", self.feed(events)[0], folder)["peak_kib"]
            for events, folder in stores.items()
        }
        yield self._memory(peaks)
        again = {events: self.run("pull_again", self.feed(events)[0], stores[events]) for events in (small, large)}
        opened = sum(found["counts"]["slices opened"] for found in again.values())
        yield Section(
            f"Pull with nothing new, after {small:,} and after {large:,} events",
            [*_compared(again, small, large), Figure("slices opened", str(opened), "none", opened == 0)],
        )
        added = {events: self.run("pull_more", self.feed(events, 10)[0], stores[events]) for events in (small, more)}
        yield Section(
            f"Pull of 10 new records, after {small:,} and after {more:,} events",
            _compared(added, small, more, timed=False),
        )

    def _memory(self, peaks: dict[int, int]) -> Section:
        less, more = self.sizes.memory
        small, large = peaks[less], peaks[more]
        growth = large / small
        return Section(
            f"Memory of a first pull, {self.sizes.speed // 10:,} entities",
            [
                Figure(f"peak with {less:,} events", f"{small / 1024:.0f} MiB"),
                Figure(f"peak with {more:,} events", f"{large / 1024:.0f} MiB"),
                Figure("growth", f"{growth:.2f}", f"at most {MOST_MEMORY:.2f}", growth <= MOST_MEMORY),
            ],
        )

    def _different(self) -> Section:
        """First pulls with nothing to coalesce: all is written, judged and counted, and must not cost more and more."""
        few, many = self.sizes.different
        seconds = {}
        for events in (few, many):
            bus, _ = self.feed(events, entities=events)
            seconds[events] = self.run("first_pull", bus, self.new("store"))["processor_seconds"]
        growth = seconds[many] / many / (seconds[few] / few)
        return Section(
            "First pull when each record is about another entity, processor time",
            [
                Figure(f"{few:,} entities", speed_of(seconds[few], few)),
                Figure(f"{many:,} entities", speed_of(seconds[many], many)),
                Figure("time for each", f"{growth:.2f} times", f"at most {MOST_SLOWDOWN:g}", growth <= MOST_SLOWDOWN),
            ],
        )

    def _entities(self) -> Section:
        few, many = self.sizes.history
        stores = {records: self._store(records) for records in (few, many)}
        figures = []
        for task in ("put", "get"):
            found = {records: self.run(task, stores[records]) for records in (few, many)}
            figures += [figure._replace(what=f"{task}: {figure.what}") for figure in _compared(found, few, many)]
        return Section(f"One put and one get in a store of {few:,} and of {many:,} records", figures)

    def _publishes(self) -> Section:
        few, many = 1_000, self.sizes.history[1]
        found = {records: self.run("publish_more", self._store(records)) for records in (few, many)}
        return Section(
            f"Publish of 10 records, after {few:,} and after {many:,}", _compared(found, few, many, timed=False)
        )

    def _starts(self) -> Section:
        """Whole commands as a person calls them, in a store that has pulled once."""
        bus, _ = self.feed(100)
        folder = self.new("store")
        self.run("first_pull", bus, folder)
        arguments = ["--store", str(folder)]
        commands = {
            "eventsync --version": ["--version"],
            "eventsync put": ["put", "plan", "p", "--set", "title=a plan", *arguments],
            "eventsync pull, nothing new": ["pull", str(bus), *arguments],
        }
        environment = {**os.environ, "EVENTSYNC_DATA_DIR": str(folder.with_name(f"{folder.name}-data"))}
        figures = [Figure("python, doing nothing", milliseconds(self._least(["-c", "pass"], environment)))]
        for name, line in commands.items():
            seconds = self._least(["-m", "eventsync", *line], environment)
            modules = json.loads(_call(["-c", _MODULES, *line], environment).stderr)
            loaded = sorted({module.split(".")[0] for module in modules} & set(HEAVY))
            none = name != "eventsync pull, nothing new"
            figures.append(
                Figure(
                    name,
                    f"{milliseconds(seconds)}, {len(modules)} modules{''.join(f', {heavy}' for heavy in loaded)}",
                    f"none of {', '.join(HEAVY)}" if none else "",
                    not loaded if none else None,
                )
            )
        return Section("Start of a command, wall clock", figures)

    # --- how they are run ---

    def _least(self, line: list[str], environment: dict[str, str]) -> float:
        taken = []
        for _ in range(2 * self.sizes.repeats + 1):
            start = time.perf_counter()
            _call(line, environment)
            taken.append(time.perf_counter() - start)
        return min(taken)

    def run(self, task: str, *arguments: object) -> dict[str, Any]:
        """What came of a task that had a process of its own."""
        ended = _call(["-m", "benchmarks.tasks", task, *map(str, arguments)], dict(os.environ))
        answer: dict[str, Any] = json.loads(ended.stdout)
        return answer

    def feed(self, *publishes: int, entities: int | None = None) -> tuple[Path, dict[str, Any]]:
        """A bus with a feed, made once; each publish is a slice of its own."""
        wanted = (entities or self.sizes.speed // 10, *publishes)
        if wanted not in self._feeds:
            bus = self.new("bus")
            self._feeds[wanted] = bus, self.run("feed", bus, *wanted)
        return self._feeds[wanted]

    def _store(self, records: int) -> Path:
        folder = self.new("store")
        self.run("store", folder, records)
        return folder

    def new(self, kind: str) -> Path:
        """A path that nothing is at."""
        return self.folder / f"{kind}-{next(self._names)}"


def fewest(answers: list[dict[str, Any]], what: str) -> float:
    found: float = min(answer[what] for answer in answers)
    return found


def _call(line: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    ended = subprocess.run(
        [sys.executable, *line], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if ended.returncode != 0:
        raise RuntimeError(f"{' '.join(line)[:200]} ended with {ended.returncode}:\n{ended.stderr}")
    return ended


def _compared(found: dict[int, dict[str, Any]], less: int, more: int, *, timed: bool = True) -> list[Figure]:
    """Time and counts after a short and after a long history, which must be the same but for noise."""
    figures = []
    for clock, said in (("seconds", "time"), ("processor_seconds", "processor time")):
        before, after = (found[size][clock] for size in (less, more))
        judged = timed and clock == "processor_seconds"
        bound = f"at most {MOST_SLOWDOWN:g} times" if judged else ""
        times = f"{milliseconds(before)} → {milliseconds(after)}"
        figures.append(Figure(said, times, bound, after <= MOST_SLOWDOWN * before if judged else None))
    heads = found[more].get("head_bytes", 0) - found[less].get("head_bytes", 0)
    for what in ("files opened", "bytes read", "fsyncs", "SQL statements"):
        before, after = (found[size]["counts"][what] for size in (less, more))
        room = ROOM_BYTES + HEAD_READS * heads if what == "bytes read" else 0
        bound = f"at most {room // 1024} KiB more" if room else "the same"
        figures.append(Figure(what, f"{before:,} → {after:,}", bound, after <= before + room))
    return figures


def speed_of(seconds: float, events: int) -> str:
    return f"{seconds:.2f} s, {events / seconds:,.0f} records a second"


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"
