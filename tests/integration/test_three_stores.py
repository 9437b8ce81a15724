"""Three stores, one bus, any verbs in any order, faults included: what must hold after each of them.

A trace is made from a seed and played over real stores on a real disk; one that fails is cut down to the steps that
matter. Few seeds by default; EVENTSYNC_DEEP=1 plays many.
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import pytest

from eventsync import exits
from eventsync.sharing import Sharing
from federation.audit import audit
from federation.errors import ConflictUndecided, UndoStopped
from federation.inbox import Filter
from federation.model import OPEN_VERDICTS, Candidate, Resolution, Result, Verdict
from journal import DiskFailed, Version
from tests.doubles.disks import Died, FaultyDisk
from tests.integration.world import (
    World,
    accept_all,
    answers,
    candidates,
    entities,
    over,
    pull,
    put,
    rebuilt,
    remove,
    tree,
)

DEEP = os.environ.get("EVENTSYNC_DEEP") == "1"
SEEDS = range(1_000) if DEEP else range(14)
STEPS = 80 if DEEP else 50
NAMES = ("a", "b", "c")
BLOB = "x" * 66_000  # too long for a line
ENTITIES = ("a1", "b1", "c1", "p1")  # all but the last have one store that begins them
FINE = {Result.NEW, Result.UPDATED, Result.UP_TO_DATE, Result.STALE}
BY_RULE = {Verdict.NEW, Verdict.UPDATE, Verdict.GONE}
RULES = [
    '[[rules]]\norigin = "*"\naction = "accept"\n',
    '[[rules]]\norigin = "*"\naction = "accept"\nverdicts = ["new", "update"]\n',
    '[[rules]]\norigin = "*"\naction = "hold"\nitem_id = "p1"\n',
    '[[rules]]\norigin = "*"\naction = "accept"\nitem_id = "[ab]1"\n',
]
# How often each verb comes, of all of them.
VERBS: Final = {
    "write": 14, "delete": 3, "hide": 1, "publish": 3, "share": 8, "pull": 6, "pull twice": 3, "sync": 6,
    "accept": 10, "theirs": 4, "merge": 4, "reject": 7, "undo": 4, "accept all": 4, "rebuild": 2, "older bus": 3,
    "kill": 4, "refuse": 3, "quiet day": 1,
}  # fmt: skip


class Step(NamedTuple):
    """One verb of one store; what the number chooses depends on what is there."""

    verb: str
    store: str
    pick: int


class Decided(NamedTuple):
    """An entity, and the version of it that was decided about."""

    key: str
    version: str


def trace(seed: int) -> list[Step]:
    """The trace of a seed."""
    rng = random.Random(seed)
    verbs = rng.choices(list(VERBS), weights=list(VERBS.values()), k=STEPS)
    return [Step(verb, rng.choice(NAMES), rng.randrange(60)) for verb in verbs]


class Play:
    """Three stores, and what is known of what was done to them."""

    def __init__(self, folder: Path, rules: Mapping[str, str]) -> None:
        self.world = World(folder)
        self.stores = {name: self.world.store(name) for name in NAMES}
        self.rules = rules
        for name, text in rules.items():
            path = self.stores[name].store.folder / "config.toml"
            path.write_text(path.read_text() + text)
            self.stores[name] = self.world.reopened(self.stores[name])
        self.reopened: dict[str, set[Decided]] = {name: set() for name in NAMES}  # what a person took back
        self.decided: dict[str, set[Decided]] = {name: set() for name in NAMES}
        self.undone: dict[str, set[str]] = {name: set() for name in NAMES}  # causes that may come twice
        self.apart: set[str] = set()  # entities that stores need not agree on: private or rejected somewhere
        self.older: list[tuple[str, Path]] = []
        self.done: Counter[str] = Counter()
        self._number = 0
        self._verbs: dict[str, Callable[[str, int], None]] = {
            "write": self.write,
            "delete": self.delete,
            "hide": self.hide,
            "publish": lambda name, _: self._done("published", self.stores[name].publish().changed),
            "share": lambda name, _: self.share(name),
            "pull": lambda name, _: self._done("records pulled", self.pull(name)),
            "pull twice": lambda name, _: self.pull_twice(name),
            "sync": lambda name, _: self.sync(name),
            "quiet day": lambda *_: self.quiet_day(),
            "accept": lambda name, pick: self.decide(name, pick, "accept"),
            "theirs": lambda name, pick: self.decide(name, pick, "theirs"),
            "merge": lambda name, pick: self.decide(name, pick, "merge"),
            "undo": lambda name, _: self.undo(name),
            "reject": lambda name, pick: self.decide(name, pick, "reject"),
            "accept all": lambda name, _: self.accept_all(name),
            "rebuild": lambda name, _: self.rebuild(name),
            "older bus": lambda _, pick: self.put_back_an_older_feed(pick),
            "kill": lambda name, pick: self.with_a_fault(name, pick, kills=True),
            "refuse": lambda name, pick: self.with_a_fault(name, pick, kills=False),
        }

    def play(self, steps: Sequence[Step]) -> None:
        """Do all of it, and come to rest."""
        for step in steps:
            self._verbs[step.verb](step.store, step.pick)
            self.settled_stays_settled(step.store)
        self.come_to_rest()
        for store in self.stores.values():
            assert [found for found in store.store.verify().findings if found.severity == "error"] == []
            assert list(audit(store.holdings)) == []

    def _done(self, what: str, count: int = 1) -> None:
        self.done[what] += count

    # --- verbs ---

    def write(self, name: str, pick: int) -> None:
        """put or edit; now and then what others may have written too."""
        self._number += 1
        item_id = ENTITIES[pick % len(ENTITIES)]
        live = {head.item_id for head in self.stores[name].store.list("plan")}
        known = item_id in live or item_id[0] in (name, "p")
        long: dict[str, Any] = {"text": BLOB} if pick % 7 == 0 else {}
        put(self.stores[name], item_id if known else f"{name}1", n=0 if pick % 5 == 0 else self._number, **long)

    def hide(self, name: str, pick: int) -> None:
        """put --private"""
        self._number += 1
        self.apart.add(f"plan/{ENTITIES[pick % len(ENTITIES)]}")
        put(self.stores[name], ENTITIES[pick % len(ENTITIES)], n=self._number, private=True)

    def delete(self, name: str, pick: int) -> None:
        """rm"""
        live = [head.item_id for head in self.stores[name].store.list("plan")]
        if live:
            remove(self.stores[name], live[pick % len(live)])

    def share(self, name: str) -> None:
        """publish and push"""
        store = self.stores[name]
        store.publish()
        (report,) = store.push(store.remotes(None)).remotes
        assert report.result in ("pushed", "up_to_date", "nothing_to_publish"), report
        if report.result == "pushed":
            target = self.world.folder / f"older-{len(self.older)}"
            shutil.copytree(self.world.bus / store.store.origin, target)
            self.older.append((name, target))

    def pull(self, name: str) -> int:
        """pull: nothing is refused; only rules write, and nothing about what a person took back [K1] [K5]."""
        store = self.stores[name]
        before = store.store.position().seq
        touched = {decided(item) for item in self.open(name)} & self.reopened[name] if self.rules else set()
        run = pull(store)
        assert run.exit_code == exits.DONE, run
        assert {found.result for remote in run.remotes for found in remote.origins} <= FINE, run
        assert run.rules.error is None
        assert store.store.position().seq == before + len(run.rules.made)
        made = {decided(found.candidate) for found in run.rules.made}
        assert not made & touched
        assert {found.candidate.verdict for found in run.rules.made} <= BY_RULE
        self.decided[name] |= made
        self._done("made by rules", len(made))
        return sum(found.records for remote in run.remotes for found in remote.origins)

    def pull_twice(self, name: str) -> None:
        """[F7] pull, pull = pull"""
        self.pull(name)
        store = self.stores[name]
        before = answers(store), tree(store.store.folder / "federation" / "mirror")
        assert self.pull(name) == 0
        assert (answers(store), tree(store.store.folder / "federation" / "mirror")) == before

    def sync(self, name: str) -> None:
        """sync, and accept what comes"""
        self.share(name)
        self.pull(name)
        self.accept_all(name)

    def quiet_day(self) -> None:
        """Everybody syncs, twice."""
        for name in (*NAMES, *NAMES):
            self.sync(name)

    def accept_all(self, name: str) -> None:
        """accept --all: what it does not leave is open no more; identical versions are no decision [K3]."""
        before = {item.id: item for item in self.open(name)}
        report = accept_all(self.stores[name])
        left = {found.id for found in report.left}
        assert {before[found.id].verdict for found in report.left} <= OPEN_VERDICTS
        assert len(report.written) <= len(before.keys() - left)
        after = {item.id: item.verdict for item in candidates(self.stores[name])}
        assert {after[id_] for id_ in before.keys() - left} <= {Verdict.KNOWN, Verdict.IDENTICAL}
        self.decided[name] |= {decided(item) for id_, item in before.items() if after[id_] is Verdict.KNOWN}
        self._done("accepted", len(report.written))
        self._done("left", len(left))

    def decide(self, name: str, pick: int, verb: str) -> None:
        """accept, accept --theirs or reject of one candidate; where there is none, after looking for some"""
        store = self.stores[name]
        if not self.open(name):
            for other in NAMES:
                self.share(other)
            self.pull(name)
        before = found = self.open(name)
        if verb == "accept":
            found = [item for item in found if item.verdict is not Verdict.CONFLICT]
        if not found:
            return
        item = found[pick % len(found)]
        if verb == "reject":
            report = store.deciding("test").reject([item.id])
            self.apart.add(decided(item).key)
        elif verb == "merge":
            try:
                report = store.deciding("test").accept([item.id], Resolution.MERGE)
            except ConflictUndecided:
                self._done("merge stopped")
                return
        else:
            report = store.deciding("test").accept([item.id], over(verb == "theirs"))
        settled = {decided(one) for one in before if one.id in (item.id, *report.together)}
        assert len(report.written) == (len(settled) if verb == "reject" else 1)
        self.decided[name] |= settled
        self._done(f"{verb} {item.verdict}")
        self._done("settled along with it", len(report.together))

    def undo(self, name: str) -> None:
        """inbox undo: what it reopens may be asked again [K5]."""
        store = self.stores[name]
        try:
            report = store.deciding("test").undo()
        except UndoStopped:
            self._done("undo stopped")
            return
        since = store.store.position().seq - len(report.written)
        for record in store.store.log(since=since):
            if record.action == "reopen":
                reopened = Decided(f"{record.item_type}/{record.item_id}", record.root or "")
                self.decided[name].discard(reopened)
                self.reopened[name].add(reopened)
                self.undone[name].add(record.cause or "")
                self._forget_what_only_that_settled(store, name, record.item_type, record.item_id or "")
        self._done("undone", len(report.written))

    def _forget_what_only_that_settled(self, store: Sharing, name: str, item_type: str, item_id: str) -> None:
        """What was alike was settled by the context of the accept, and by no decision of its own [K2] [K5]."""
        head = store.store.head(item_type, item_id)
        for found in [found for found in self.decided[name] if found.key == f"{item_type}/{item_id}"]:
            version = Version.parse(found.version)
            included = head is not None and head.context.get(version.origin, 0) >= version.seq
            if not included and not store.holdings.index.decided_on(version, item_type, item_id):
                self.decided[name].discard(found)

    def rebuild(self, name: str) -> None:
        """[T1] All caches deleted: the same answers."""
        before = answers(self.stores[name])
        assert answers(rebuilt(self.stores[name])) == before

    # --- faults ---

    def put_back_an_older_feed(self, pick: int) -> None:
        """Somebody restores a part of the bus."""
        if self.older:
            name, path = self.older[pick % len(self.older)]
            folder = self.world.bus / self.stores[name].store.origin
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(path, folder)

    def with_a_fault(self, name: str, pick: int, *, kills: bool) -> None:
        """The process ends at some write, or the disk refuses it."""
        disk = FaultyDisk(10**9, kills=kills)
        store = self.world.reopened(self.stores[name], disk=disk)
        disk.at = disk.count + 1 + pick // 8
        verbs: Sequence[Callable[[], object]] = (
            lambda: (store.publish(), store.push(store.remotes(None))),
            lambda: pull(store),
            lambda: accept_all(store),
            lambda: put(store, f"{name}1", n=-pick),
        )
        try:
            verbs[pick % 4]()
        except (Died, DiskFailed):
            assert disk.has_struck
        self._done("faults", disk.has_struck)
        self.stores[name] = self.world.reopened(store)

    # --- what must hold ---

    def open(self, name: str) -> list[Candidate]:
        """The open candidates of a store."""
        return [item for item in candidates(self.stores[name], Filter()) if item.verdict in OPEN_VERDICTS]

    def settled_stays_settled(self, name: str) -> None:
        """[K3] [K5] What was decided is never asked again, from whomever it comes."""
        assert {decided(item) for item in self.open(name)} & self.decided[name] == set()

    def come_to_rest(self) -> None:
        """Everybody shares and accepts until nothing is new: rings stop growing, and all agree."""
        for _ in range(12):
            before = [store.store.position().seq for store in self.stores.values()]
            for name in NAMES:
                self.share(name)
            for name in NAMES:
                self.pull(name)
                self.accept_all(name)
            if before == [store.store.position().seq for store in self.stores.values()]:
                break
        else:
            raise AssertionError("twelve rounds, and there is still something to accept")
        for name in NAMES:
            self.settled_stays_settled(name)
            self.nothing_was_applied_twice(name)
        self.all_agree()

    def nothing_was_applied_twice(self, name: str) -> None:
        """No (origin, seq) causes two records."""
        causes = Counter(record.cause for record in self.stores[name].store.log() if record.cause is not None)
        assert [cause for cause, count in causes.items() if count > 1 and cause not in self.undone[name]] == []

    def all_agree(self) -> None:
        """Stores that accept everything agree on every entity they both had, where nobody has to decide."""
        apart = self.apart.union(*({decided(item).key for item in self.open(name)} for name in NAMES))
        found: dict[str, set[str]] = {}
        for store in self.stores.values():
            for key, (_, payload) in entities(store).items():
                if key not in apart:
                    found.setdefault(key, set()).add(repr(payload))
        assert {key: payloads for key, payloads in found.items() if len(payloads) > 1} == {}
        self._done("agreed", len(found))


def decided(item: Candidate) -> Decided:
    """What a decision about a candidate is about."""
    return Decided(f"{item.item_type}/{item.item_id}", str(item.version))


def rules_of(seed: int) -> dict[str, str]:
    """Which stores have which rules: every other trace has some."""
    rng = random.Random(seed)
    texts = {name: "".join(rng.sample(RULES, rng.randint(0, 2))) for name in NAMES}
    return {name: text for name, text in texts.items() if text and seed % 2}


def played(steps: Sequence[Step], rules: Mapping[str, str] = MappingProxyType({})) -> Counter[str]:
    """Play a trace in a world of its own; what it came to."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        play = Play(Path(folder), rules)
        try:
            play.play(steps)
        finally:
            play.world.close_all()
        return play.done


def shrunk(steps: list[Step], rules: Mapping[str, str]) -> list[Step]:
    """The same trace less what it does not need to fail."""
    size = len(steps) // 2
    while size:
        at = 0
        while at < len(steps):
            fewer = steps[:at] + steps[at + size :]
            try:
                played(fewer, rules)
                at += size
            except Exception:  # noqa: BLE001 - whatever it is that fails
                steps = fewer
        size //= 2
    return steps


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_three_stores_do_they_come_to_rest_and_agree(seed: int) -> None:
    """[F7] [K3] [K5] [T1]"""
    steps, rules = trace(seed), rules_of(seed)
    try:
        assert played(steps, rules)["agreed"] >= 0
    except Exception as error:
        text = "\n".join(f"    {step}," for step in shrunk(steps, rules))
        error.add_note(f"seed {seed}, rules {rules}, shrunk to:\n{text}")
        raise


def test_the_traces_meet_every_verdict_and_every_decision() -> None:
    """What the machine never does, it never tests."""
    total: Counter[str] = Counter()
    for seed in range(6):
        total += played(trace(1_000_000 + seed), rules_of(1_000_000 + seed))
    wanted = [
        "accept new",
        "accept update",
        "theirs conflict",
        "reject new",
        "accepted",
        "left",
        "faults",
        "agreed",
        "undone",
        "made by rules",
    ]
    assert [what for what in wanted if total[what] < 2] == []
    assert total["accept gone"] + total["theirs gone"] + total["reject gone"] > 0
