"""Tasks: what one process does and measures. `python -m benchmarks.tasks TASK …` prints what came out as JSON.

Each task has a process of its own, so that none inherits another's memory, caches or open databases.
"""

from __future__ import annotations

import gc
import importlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks import limit
from benchmarks.feeds import entities, make_feed, make_feed_in_steps
from benchmarks.stores import make_store, open_store, remote_at
from benchmarks.watch import Seen, watch
from federation.holdings import Holdings
from federation.model import HEAD_FILE, Result
from federation.publisher import publish
from federation.puller import Settings, pull
from federation.withholding import PublishSettings

Answer = dict[str, Any]
_REPEATS: Final = 7


def feed(bus: str, entity_count: str, *publishes: str) -> Answer:
    """Make a feed."""
    origin = make_feed(Path(bus), [int(count) for count in publishes], known=entities(int(entity_count)))
    files = list((Path(bus) / origin).glob("seg-*"))
    raw = sum(entry["raw_bytes"] for entry in _head(Path(bus) / origin)["slices"])
    return {"slices": len(files), "raw_bytes": raw, "packed_bytes": sum(file.stat().st_size for file in files)}


def feed_in_steps(bus: str, entity_count: str, *publishes: str) -> Answer:
    """Make a feed that can be shown as it was after each publish."""
    make_feed_in_steps(Path(bus), [int(count) for count in publishes], known=entities(int(entity_count)))
    return {}


def store(folder: str, records: str) -> Answer:
    """Make a store with a history."""
    make_store(Path(folder), int(records))
    return {}


def limit_program(bus: str) -> Answer:
    """Take a feed in with as little as can be done."""
    (origin,) = Path(bus).iterdir()
    with tempfile.TemporaryDirectory(dir=Path(bus).parent) as folder, _timed() as taken:
        count = limit.take_in(origin, Path(folder) / "heads.sqlite3")
    return {**_times(taken), "records": count, "peak_kib": _peak_kib()}


def git_fetch(url: str, folder: str) -> Answer:
    """What git itself needs to bring all feeds of a repository into an empty one."""
    subprocess.run(["git", "init", "--quiet", "--bare", folder], check=True)
    with _timed() as taken:
        subprocess.run(["git", "-C", folder, "fetch", "--quiet", url, "refs/eventsync/*:refs/eventsync/*"], check=True)
    return _times(taken)


def first_pull(place: str, folder: str) -> Answer:
    """Pull a feed into a store that has nothing yet, and is made for it."""
    make_store(Path(folder))
    with _timed() as taken:
        records = _pull(Path(folder), place, Result.NEW)
    return {**_times(taken), "records": records, "peak_kib": _peak_kib()}


def pull_again(bus: str, folder: str) -> Answer:
    """Pull when there is nothing new, as a new command would; the first time is not counted."""

    def once() -> None:
        _pull(Path(folder), bus, Result.UP_TO_DATE)

    seen, times = _repeated(once)
    slices = len(seen.opened_like(".zst"))
    return {**times, "head_bytes": _head_bytes(bus), "counts": {**seen.counts, "slices opened": slices}}


def pull_more(bus: str, folder: str) -> Answer:
    """Pull what a publish added since the last pull; what checks signatures is loaded before."""
    importlib.import_module("cryptography.hazmat.primitives.asymmetric.ed25519")
    with watch() as seen, _timed() as taken:
        records = _pull(Path(folder), bus, Result.UPDATED)
    return {**_times(taken), "records": records, "head_bytes": _head_bytes(bus), "counts": seen.counts}


def increment(place: str, folder: str, *others: str) -> Answer:
    """Pull what is new from one place, then look at others that hold the same, so that they know it too."""
    importlib.import_module("cryptography.hazmat.primitives.asymmetric.ed25519")
    with _timed() as taken:
        records = _pull(Path(folder), place, Result.UPDATED)
    for other in others:
        _pull(Path(folder), other, Result.UP_TO_DATE)
    return {**_times(taken), "records": records}


def grow(folder: str, repository: str, publishes: str, records: str) -> Answer:
    """Publish to a git repository again and again, and let git tidy it up in the end."""
    from benchmarks import growth  # it loads git's library

    place = Path(repository)
    feed_bytes = growth.publish_often(Path(folder), place, publishes=int(publishes), records=int(records))
    grown = growth.size_of(place)
    growth.collect(place)
    return {"feed_bytes": feed_bytes, "grown": grown._asdict(), "collected": growth.size_of(place)._asdict()}


def put(folder: str) -> Answer:
    """Write a new entity, as a new command would."""
    numbers = iter(range(1_000))

    def once() -> None:
        opened = open_store(Path(folder))
        with opened.mutate(agent="benchmark") as mutation:
            mutation.put("plan", f"put_{next(numbers)}", {"title": "a plan", "status": "open"}, summary="a plan")
        opened.close()

    seen, times = _repeated(once)
    return {**times, "counts": seen.counts}


def get(folder: str) -> Answer:
    """Read an entity, as a new command would."""
    opened = open_store(Path(folder))
    key = opened.list()[-1][:2]
    opened.close()

    def once() -> None:
        reader = open_store(Path(folder))
        reader.get(*key)
        reader.close()

    seen, times = _repeated(once)
    return {**times, "counts": seen.counts}


def publish_more(folder: str) -> Answer:
    """Publish everything; then write ten records and publish those, which is what is measured."""
    _publish(Path(folder))
    opened = open_store(Path(folder))
    with opened.mutate(agent="benchmark") as mutation:
        for number in range(10):
            mutation.put("plan", f"more_{number}", {"title": "a plan", "status": "open"}, summary="a plan")
    opened.close()
    with watch() as seen, _timed() as taken:
        records = _publish(Path(folder))
    return {**_times(taken), "records": records, "counts": seen.counts}


# --- how it is measured ----------------------------------------------------------------------------------------------


class _Taken(NamedTuple):
    """What a block took, on the clock and of the processor."""

    seconds: float = 0.0
    processor_seconds: float = 0.0  # of this process, and of those that it started and waited for

    @classmethod
    def now(cls) -> _Taken:
        """So far."""
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return cls(time.perf_counter(), time.process_time() + children.ru_utime + children.ru_stime)


@contextmanager
def _timed() -> Iterator[Callable[[], _Taken]]:
    """What the block took, told when it has ended; what lies around from before is tidied first."""
    gc.collect()
    start, end = _Taken.now(), _Taken()
    yield lambda: _Taken(*(after - before for before, after in zip(start, end, strict=True)))
    end = _Taken.now()


def _times(taken: Callable[[], _Taken]) -> Answer:
    return taken()._asdict()


def _repeated(once: Callable[[], None]) -> tuple[Seen, Answer]:
    """What one run does, and the least times of several; a first run loads modules and fills caches."""
    once()
    with watch() as seen:
        once()
    times = []
    for _ in range(_REPEATS):
        with _timed() as taken:
            once()
        times.append(_times(taken))
    return seen, {clock: min(each[clock] for each in times) for clock in _Taken._fields}


def _peak_kib() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "linux" else peak // 1024  # elsewhere it is counted in bytes


def _head(feed_folder: Path) -> Answer:
    head: Answer = json.loads((feed_folder / "head.json").read_bytes())["head"]
    return head


def _head_bytes(bus: str) -> int:
    (head,) = Path(bus).glob(f"*/{HEAD_FILE}")
    return head.stat().st_size


def _pull(folder: Path, place: str, expected: Result) -> int:
    opened = open_store(folder)
    holdings = Holdings(opened)
    (remote,) = pull(holdings, [remote_at(holdings, place)], Settings())
    holdings.close()
    opened.close()
    if remote.error is not None or [origin.result for origin in remote.origins] != [expected]:
        raise RuntimeError(f"pull came to {remote}, not {expected}")
    return remote.origins[0].records


def _publish(folder: Path) -> int:
    opened = open_store(folder)
    holdings = Holdings(opened)
    report = publish(holdings, PublishSettings())
    holdings.close()
    opened.close()
    return report.published


TASKS: Final[dict[str, Callable[..., Answer]]] = {
    task.__name__: task
    for task in (
        feed,
        feed_in_steps,
        store,
        limit_program,
        git_fetch,
        first_pull,
        pull_again,
        pull_more,
        increment,
        put,
        get,
        publish_more,
        grow,
    )
}


if __name__ == "__main__":
    print(json.dumps(TASKS[sys.argv[1]](*sys.argv[2:])))
