"""Abreast: several remotes at once, while all that concerns this store is done in one thread.

Work on a remote is a coroutine. What it awaits, `away(call)`, is done in another thread; whatever stands between two
awaits is done in the caller's thread, one piece after the other, in the order in which answers come. So a slow remote
holds up no other, nothing of ours needs a lock against ourselves, and no lock is held over network I/O [J9].
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine, Generator, Sequence
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Final, Generic, NamedTuple, Self, TypeVar, cast

from federation.transports.child import Stop, Stopped, heed

AT_ONCE: Final = 16  # places; more than that wait for each other, since each may keep a process busy

Result = TypeVar("Result")
Call = Callable[[], Any]
Work = Coroutine[Call, Any, Result]


class away(Generic[Result]):
    """`await away(place.origins)` gives what the call gives, which may take long.

    The call touches a remote and staging, and nothing else of this store.
    """

    def __init__(self, call: Callable[[], Result]) -> None:
        self._call = call

    def __await__(self) -> Generator[Call, Any, Result]:
        return cast(Result, (yield self._call))


class Errand(NamedTuple, Generic[Result]):
    """Work on a place. Errands to one place are done one after the other."""

    place: str
    work: Work[Result]


def abreast(errands: Sequence[Errand[Result]], ended: Callable[[Result], None]) -> list[Result]:
    """Do all errands; their results in the order of the errands. `ended` hears each result as soon as it is there.

    What an errand raises ends all of them, and so does Ctrl-C: before this raises, children are killed and threads have
    ended; no errand goes on behind its last await.
    """
    by_place: dict[str, list[int]] = {}
    for number, errand in enumerate(errands):
        by_place.setdefault(errand.place, []).append(number)
    places = iter(by_place.values())
    results: dict[int, Result] = {}

    async def take_next_places() -> None:
        for numbers in places:  # one iterator for all: whoever is free takes the next
            for number in numbers:
                results[number] = await errands[number].work
                ended(results[number])

    runners = [take_next_places() for _ in range(min(AT_ONCE, len(by_place)))]
    try:
        with _Threads(len(runners)) as threads:
            _drive(runners, threads)
    finally:
        for left in (*runners, *(errand.work for errand in errands)):
            left.close()
    return [results[number] for number in range(len(errands))]


class _Answer(NamedTuple):
    """What the call of a runner came to."""

    runner: int
    value: Any = None
    error: BaseException | None = None


def _drive(runners: Sequence[Work[None]], threads: _Threads) -> None:
    """Let each runner go on as soon as its answer is there, until all have ended."""
    answers = [_Answer(number) for number in reversed(range(len(runners)))]  # to nothing yet: they may begin
    going = len(runners)
    while going:
        number, value, error = answers.pop() if answers else threads.answers.get()
        try:
            call = runners[number].send(value) if error is None else runners[number].throw(error)
        except StopIteration:
            going -= 1
        else:
            threads.ask(number, call)


class _Threads:
    """A thread for the calls of each runner. When it is left, they end, with all that they wait for."""

    def __init__(self, count: int) -> None:
        self.answers: SimpleQueue[_Answer] = SimpleQueue()
        self._calls: list[SimpleQueue[Call | None]] = [SimpleQueue() for _ in range(count)]
        self._stop = Stop()
        # Daemons: should a second Ctrl-C come while they are waited for, they go down with the process.
        self._threads = [threading.Thread(target=self._answer, args=[number], daemon=True) for number in range(count)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.call()
        for calls in self._calls:
            calls.put(None)
        for thread in self._threads:
            thread.join()
        self._stop.close()

    def ask(self, runner: int, call: Call) -> None:
        """Let the thread of a runner answer; the answer comes into the queue of all."""
        self._calls[runner].put(call)

    def _answer(self, runner: int) -> None:
        heed(self._stop)
        while (call := self._calls[runner].get()) is not None:
            try:
                answer = _Answer(runner, value=call())
            except Stopped:
                return
            except BaseException as error:  # noqa: BLE001 - it is raised where the call is awaited
                answer = _Answer(runner, error=error)
            self.answers.put(answer)
