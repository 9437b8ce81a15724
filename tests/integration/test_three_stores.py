"""Three stores, one bus, any verbs in any order, faults included: what must hold after each of them.

A hypothesis machine over real stores on a real disk. Few runs by default; EVENTSYNC_DEEP=1 makes many.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from eventsync import exits
from eventsync.sharing import Sharing
from federation.audit import audit
from federation.inbox import Filter
from federation.model import OPEN_VERDICTS, Result, Verdict
from journal import DiskFailed, JournalError
from tests.doubles.disks import Died, FaultyDisk
from tests.integration.world import (
    World,
    accept_all,
    answers,
    candidates,
    entities,
    pull,
    put,
    rebuilt,
    remove,
    tree,
)

DEEP = os.environ.get("EVENTSYNC_DEEP") == "1"
NAMES = ("a", "b", "c")
ENTITIES = ("a1", "b1", "c1", "p1")  # all but the last have one store that begins them
stores = st.sampled_from(NAMES)
entity_ids = st.sampled_from(ENTITIES)
picks = st.integers(0, 5)
FINE = {Result.NEW, Result.UPDATED, Result.UP_TO_DATE, Result.STALE}
Decided = tuple[str, str]  # type/id and the version that was decided about


class ThreeStores(RuleBasedStateMachine):
    """What people do, and what must never happen."""

    def __init__(self) -> None:
        super().__init__()
        quick = "/dev/shm" if Path("/dev/shm").is_dir() else None
        self._folder = tempfile.TemporaryDirectory(dir=quick)
        self.world = World(Path(self._folder.name))
        self.stores = {name: self.world.store(name) for name in NAMES}
        self.decided: dict[str, set[Decided]] = {name: set() for name in NAMES}
        self.rejected: set[str] = set()
        self.private: set[str] = set()
        self.older: list[dict[str, Path]] = []
        self.number = 0

    @initialize(names=st.lists(st.tuples(stores, entity_ids), max_size=3))
    def begin(self, names: list[tuple[str, str]]) -> None:
        """Some have something to begin with."""
        for name, item_id in names:
            self.write(name, item_id, False)

    def teardown(self) -> None:
        """Whatever happened, it comes to an end that all agree on."""
        try:
            self.comes_to_rest()
            for store in self.stores.values():
                assert [found for found in store.store.verify().findings if found.severity == "error"] == []
                assert list(audit(store.holdings)) == []
        finally:
            self.world.close_all()
            self._folder.cleanup()

    # --- verbs ---

    @rule(name=stores, item_id=entity_ids, same=st.sampled_from([True, False, False]))
    def write(self, name: str, item_id: str, same: bool) -> None:
        """put or edit; now and then what others may have written too."""
        self.number += 1
        live = {head.item_id for head in self.stores[name].store.list("plan")}
        known = item_id in live or item_id[0] in (name, "p")
        put(self.stores[name], item_id if known else f"{name}1", n=0 if same else self.number)

    @rule(name=stores, item_id=entity_ids)
    def hide(self, name: str, item_id: str) -> None:
        """put --private"""
        self.number += 1
        self.private.add(f"plan/{item_id}")
        put(self.stores[name], item_id, n=self.number, private=True)

    @rule(name=stores, pick=picks)
    def delete(self, name: str, pick: int) -> None:
        """rm"""
        live = [head.item_id for head in self.stores[name].store.list("plan")]
        if live:
            remove(self.stores[name], live[pick % len(live)])

    @rule(name=stores)
    def share(self, name: str) -> None:
        """publish and push"""
        self.stores[name].publish()
        self.push(name)

    @rule(name=stores)
    def sync(self, name: str) -> None:
        """sync, and accept what comes"""
        self.share(name)
        self.pull(name)
        self.accept_all(name)

    @rule()
    def everybody_syncs(self) -> None:
        """A quiet day."""
        for name in (*NAMES, *NAMES):
            self.sync(name)

    @rule(name=stores)
    def publish(self, name: str) -> None:
        """publish alone"""
        self.stores[name].publish()

    def push(self, name: str) -> None:
        store = self.stores[name]
        (report,) = store.push(store.remotes(None)).remotes
        assert report.result in ("pushed", "up_to_date", "nothing_to_publish"), report
        if report.result == "pushed":
            self.older.append({name: self._kept(store)})

    def _kept(self, store: Sharing) -> Path:
        """A copy of the feed as it stands on the bus now."""
        target = self.world.folder / f"older-{len(self.older)}"
        shutil.copytree(self.world.bus / store.store.origin, target)
        return target

    @rule(name=stores)
    def pull(self, name: str) -> None:
        """pull"""
        self._pull(name)
        self.settled_stays_settled(name)

    def _pull(self, name: str) -> int:
        store = self.stores[name]
        before = store.store.position().seq
        run = pull(store)
        assert run.exit_code in (exits.DONE, exits.DECISION), run
        assert {found.result for remote in run.remotes for found in remote.origins} <= FINE, run
        assert store.store.position().seq == before
        return sum(found.records for remote in run.remotes for found in remote.origins)

    @rule(name=stores)
    def pull_twice(self, name: str) -> None:
        """[F7] pull, pull = pull"""
        self._pull(name)
        store = self.stores[name]
        before = answers(store), tree(store.store.folder / "federation" / "mirror")
        assert self._pull(name) == 0
        assert (answers(store), tree(store.store.folder / "federation" / "mirror")) == before

    @rule(name=stores)
    def accept_all(self, name: str) -> None:
        """accept --all"""
        open_before = self._open(name)
        report = accept_all(self.stores[name])
        assert {left.verdict for left in report.left} <= {Verdict.CONFLICT, Verdict.UPDATE, Verdict.GONE}
        taken = {f"{written.item_type}/{written.item_id}" for written in report.written}
        left = {found.id for found in report.left}
        self.decided[name] |= {
            (key, version) for id_, key, version in open_before if key in taken and id_ not in left
        } & self._settled(name)
        self.settled_stays_settled(name)

    @rule(name=stores, pick=picks, verb=st.sampled_from(["accept", "theirs", "reject"]))
    def decide(self, name: str, pick: int, verb: str) -> None:
        """accept, accept --theirs or reject of one candidate"""
        store = self.stores[name]
        found = [item for item in candidates(store, Filter()) if item.verdict in OPEN_VERDICTS]
        if verb == "accept":
            found = [item for item in found if item.verdict is not Verdict.CONFLICT]
        if not found:
            return
        item = found[pick % len(found)]
        key = f"{item.item_type}/{item.item_id}"
        if verb == "reject":
            report = store.inbox.reject([item.id], reason=None, agent="test")
            self.rejected.add(key)
        else:
            report = store.inbox.accept([item.id], theirs=verb == "theirs", agent="test")
        assert len(report.written) == 1
        self.decided[name].add((key, str(item.version)))
        self.settled_stays_settled(name)

    @rule(name=stores)
    def rebuild(self, name: str) -> None:
        """[T1] All caches deleted: the same answers."""
        before = answers(self.stores[name])
        assert answers(rebuilt(self.stores[name])) == before

    # --- faults ---

    @precondition(lambda self: self.older)
    @rule(pick=st.integers(0, 30))
    def put_back_an_older_feed(self, pick: int) -> None:
        """Somebody restores the bus, or a part of it."""
        for name, path in self.older[pick % len(self.older)].items():
            folder = self.world.bus / self.stores[name].store.origin
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(path, folder)

    @rule(name=stores, at=st.integers(1, 14), verb=st.sampled_from(["share", "pull", "accept_all", "write"]))
    def kill(self, name: str, at: int, verb: str) -> None:
        """The process ends at any write."""
        self._with_disk(name, FaultyDisk(10**9, kills=True), at, verb)

    @rule(name=stores, at=st.integers(1, 14), verb=st.sampled_from(["share", "pull", "accept_all", "write"]))
    def refuse(self, name: str, at: int, verb: str) -> None:
        """The disk refuses one write."""
        self._with_disk(name, FaultyDisk(10**9), at, verb)

    def _with_disk(self, name: str, disk: FaultyDisk, at: int, verb: str) -> None:
        store = self.world.reopened(self.stores[name], disk=disk)
        disk.at = disk.count + at
        verbs: dict[str, Callable[[], object]] = {
            "share": lambda: (store.publish(), store.push(store.remotes(None))),
            "pull": lambda: pull(store),
            "accept_all": lambda: accept_all(store),
            "write": lambda: put(store, "p1", n=-at),
        }
        try:
            verbs[verb]()
        except (Died, DiskFailed, JournalError):
            assert disk.has_struck
        self.stores[name] = self.world.reopened(store)
        self.settled_stays_settled(name)

    # --- what must hold ---

    def _open(self, name: str) -> set[tuple[str, str, str]]:
        return {
            (item.id, f"{item.item_type}/{item.item_id}", str(item.version))
            for item in candidates(self.stores[name], Filter())
        }

    def _settled(self, name: str) -> set[Decided]:
        return {
            (f"{item.item_type}/{item.item_id}", str(item.version))
            for item in candidates(self.stores[name])
            if item.verdict is Verdict.KNOWN
        }

    def settled_stays_settled(self, name: str) -> None:
        """[K3] [K5] What was decided is never asked again, from whomever it comes."""
        again = {(key, version) for _, key, version in self._open(name)} & self.decided[name]
        assert not again

    def comes_to_rest(self) -> None:
        """Everybody shares and accepts until nothing is new: rings stop growing, and all agree."""
        for _ in range(12):
            before = [store.store.position().seq for store in self.stores.values()]
            for name in NAMES:
                self.stores[name].publish()
                self.push(name)
            for name in NAMES:
                self._pull(name)
                accept_all(self.stores[name])
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
        assert [cause for cause, count in causes.items() if count > 1] == []

    def all_agree(self) -> None:
        """Stores that accept everything agree on every entity they both had, where nobody has to decide."""
        apart = self.rejected | self.private
        for name in NAMES:
            apart |= {key for _, key, _ in self._open(name)}
        found: dict[str, set[str]] = {}
        for store in self.stores.values():
            for key, (_, payload) in entities(store).items():
                if key not in apart:
                    found.setdefault(key, set()).add(repr(payload))
        assert {key: payloads for key, payloads in found.items() if len(payloads) > 1} == {}


TestThreeStores = ThreeStores.TestCase
TestThreeStores.settings = settings(
    max_examples=1_000 if DEEP else 20,
    stateful_step_count=60 if DEEP else 35,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
