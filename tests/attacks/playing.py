"""Playing an attack: a reader with a neighbour at the same place, three bad pulls, and then honest data.

    hold the honest feed → show the attack → pull three times → settle a fork → show good news → pull

What must never happen is told as a problem; an attack without problems was answered as its row says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from eventsync import exits
from eventsync.sharing import PullRun, Sharing
from federation.model import Candidate, OriginPull, Result
from federation.origins import HELD, state_of, trust
from tests.attacks.corpus import Attack, good_news, held_feed, honest
from tests.attacks.places import Place
from tests.integration.forger import Forger
from tests.integration.world import World, by_origin, candidates, pull, tree

TIMES = 3
# Nothing of the store depends on these: the run log, what is kept for people, locks, and caches [T1].
_NOT_COMPARED = ("federation/runs.jsonl", "federation/quarantine/", "federation/index.sqlite3", "federation/git/")


class Outcome(NamedTuple):
    """What came of an attack."""

    attack: Attack
    result: Result | None
    exit_code: int | None
    message: str
    problems: tuple[str, ...]


def play(attack: Attack, place: Place, folder: Path) -> Outcome:
    """Let one attack run its course in an empty folder."""
    world = World(folder)
    try:
        return _Game(attack, place, world).outcome()
    finally:
        world.close_all()


class _Game:
    def __init__(self, attack: Attack, place: Place, world: World) -> None:
        self._attack = attack
        self._place = place
        self._reader = world.store("reader")
        self._remote = place.remote(self._reader)
        self._forger = honest()
        self._neighbour = Forger(8)
        pull(self._reader, [self._remote])  # from here on all folders are there
        self._seen: tuple[Result | None, int | None, str] = (None, None, "")

    def outcome(self) -> Outcome:
        problems = tuple(self._problems())
        return Outcome(self._attack, *self._seen, problems)

    def _problems(self) -> Iterator[str]:
        if self._attack.pinned:
            self._place.show(self._forger.origin, held_feed(self._forger).files)
            if self._pull()[0].result is not Result.NEW:
                yield "the honest feed was not taken at first"
        before, shown = self._kept(), self._shown()
        self._place.show(self._forger.origin, self._attack.build(self._forger.copy()).files)
        for time in range(TIMES):
            yield from self._bad_pull(time)
            if self._shown() != shown:
                yield f"pull {time + 1}: candidates changed"
        if self._kept() != before:
            yield f"the store changed: {sorted(_changed(before, self._kept()))}"
        yield from self._recovery()

    def _bad_pull(self, time: int) -> Iterator[str]:
        """One more pull of the same; from the second one on there is an honest neighbour, with news each time."""
        attack, neighbour = self._attack, self._neighbour
        if time:
            neighbour.record(f"n{time}")
            self._place.show(neighbour.origin, neighbour.feed(gen=time, cuts=range(1, time)).files)
        found, run = self._pull()
        told = "" if found.refusal is None else str(found.refusal)
        if time == 0:
            self._seen = found.result, run.exit_code, told
            if run.exit_code != attack.code:
                yield f"exit code {run.exit_code}, not {attack.code}"
            if attack.words not in told or (found.refusal is not None and found.refusal.rule != attack.rule):
                yield f"told as {told!r}"
        if found.result is not attack.result:
            yield f"pull {time + 1}: {found.result}, not {attack.result}"
        if time:
            honest_one = by_origin(run)[neighbour.origin]
            if honest_one.result not in (Result.NEW, Result.UPDATED):
                yield f"pull {time + 1}: the neighbour is {honest_one.result}"
            if run.exit_code != (exits.PARTLY if attack.code else exits.DONE):
                yield f"pull {time + 1}: exit code {run.exit_code}"

    def _recovery(self) -> Iterator[str]:
        """A fork is settled by a person; then honest data is taken, as if nothing had been."""
        frozen = state_of(self._reader.holdings, self._forger.origin) == "fork"
        if frozen is not (self._attack.result is Result.FORK):
            yield "frozen" if frozen else "not frozen"
        if frozen:
            trust(self._reader.holdings, self._forger.origin, HELD, agent="test")
        self._place.show(self._forger.origin, good_news(self._forger).files)
        found, _ = self._pull()
        if found.result is not (Result.UPDATED if self._attack.pinned else Result.NEW):
            yield f"good news: {found.result}: {found.refusal}"
        if [item.item_id for item in self._shown()] != ["p1", "p2", "p6", "p7", "news"]:
            yield f"good news: {[item.item_id for item in self._shown()]}"

    # --- what is seen ---

    def _pull(self) -> tuple[OriginPull, PullRun]:
        run = pull(self._reader, [self._remote])
        return by_origin(run)[self._forger.origin], run

    def _shown(self) -> list[Candidate]:
        return [item for item in candidates(self._reader) if item.origin == self._forger.origin]

    def _kept(self) -> Mapping[str, bytes]:
        """All that a refusal may not touch; of a fork the evidence is kept, and the neighbour is no matter of ours."""
        mirror = "federation/mirror/"
        aside = (*_NOT_COMPARED, f"{mirror}{self._neighbour.origin}/", f"{mirror}{self._forger.origin}/fork/")
        found = tree(_folder(self._reader), without=["federation.lock", "journal.lock"])
        return {name: data for name, data in found.items() if not name.startswith(aside) and name != mirror}


def _folder(store: Sharing) -> Path:
    return store.store.folder


def _changed(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> set[str]:
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
