"""Stores that share no place, hubs between them, relays in any order, with delays, drops and faults.

    chain    a ─ h1 ─ b ─ h2 ─ c                    ring     a ─ h1 ─ b ─ h2 ─ c ─ h3 ─ a
    diamond  a ─ h1 ─ b ─ h3 ─ d,  a ─ h2 ─ c ─ h3

A trace is made from a seed and played over real stores and folders. After each step no feed at any hub is older than
before; at rest everybody knows and has everything, and nothing grows any more. EVENTSYNC_DEEP=1 plays many.
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from eventsync import exits
from eventsync.relaying import RelayRun, relay_after
from eventsync.sharing import Sharing
from federation.audit import audit
from federation.model import PushReport, Result
from federation.redaction import redact
from federation.relaying import Passed
from journal import DiskFailed
from tests.doubles.disks import Died, FaultyDisk
from tests.integration.world import World, accept_all, answers, entities, head_of, pull, put, rebuilt, remove, tree

DEEP = os.environ.get("EVENTSYNC_DEEP") == "1"
SEEDS = range(100) if DEEP else range(1)
STEPS = 70
WAYS: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "chain": {"a": ("h1",), "b": ("h1", "h2"), "c": ("h2",)},
    "ring": {"a": ("h1", "h3"), "b": ("h1", "h2"), "c": ("h2", "h3")},
    "diamond": {"a": ("h1", "h2"), "b": ("h1", "h3"), "c": ("h2", "h3"), "d": ("h3",)},
}
FINE = {Result.NEW, Result.UPDATED, Result.UP_TO_DATE, Result.STALE}
VERBS: Final = {
    "write": 16, "delete": 2, "redact": 4, "push": 12, "pull": 12, "relay": 14, "accept": 12, "sync": 4, "rebuild": 1,
    "delay": 4, "drop": 3, "fault": 8,
}  # fmt: skip
BLOB = "x" * 66_000


class Step(NamedTuple):
    """One verb of one store at one of its hubs; what the number chooses depends on what is there."""

    verb: str
    store: str
    hub: str
    pick: int


class Play:
    """The stores and hubs of one way to stand, and what is known of them."""

    def __init__(self, folder: Path, ways: Mapping[str, tuple[str, ...]], lost: tuple[str, str] | None = None) -> None:
        self.world, self.ways = World(folder), ways
        self.hubs = {hub: folder / hub for hubs in ways.values() for hub in hubs}
        self.stores = {name: self.world.store(name, bus=self.hubs[hubs[0]]) for name, hubs in ways.items()}
        for name, hubs in ways.items():
            for hub in hubs:
                self.stores[name].add_remote(hub, str(self.hubs[hub]))
            self.stores[name].remove_remote("bus")
            config = self.stores[name].store.folder / "config.toml"
            config.write_text(config.read_text().replace('"\n', '"\nrelay = true\n'))
            self.stores[name] = self.world.reopened(self.stores[name])
        self.lost = lost  # a hub, and the store whose feed never stays there
        self.older: list[tuple[str, str, Path]] = []
        self.done: Counter[str] = Counter()
        self._verbs: dict[str, Callable[[Step], None]] = {
            "write": self.write, "delete": self.delete, "redact": self.redact, "push": self.push, "pull": self.pull,
            "relay": self.relay, "accept": self.accept, "sync": self.sync, "rebuild": self.rebuild,
            "delay": self.delay, "drop": self.drop, "fault": self.fault,
        }  # fmt: skip

    def trace(self, seed: int) -> list[Step]:
        """The steps of a seed."""
        rng = random.Random(seed)
        steps = []
        for verb in rng.choices(list(VERBS), weights=list(VERBS.values()), k=STEPS):
            store = rng.choice(list(self.ways))
            steps.append(Step(verb, store, rng.choice(self.ways[store]), rng.randrange(1_000)))
        return steps

    def play(self, steps: list[Step]) -> None:
        """Do all of it, and come to rest."""
        for step in steps:
            before = self.heads()
            self._verbs[step.verb](step)
            if step.verb not in ("delay", "drop"):
                self.only_raised(before)
            self.lose()
        self.come_to_rest()

    # --- verbs ---

    def write(self, step: Step) -> None:
        """put: now and then what others may have written too, and what is too long for a line."""
        self.done["writes"] += 1
        store, item_id = self.stores[step.store], f"{step.store}{step.pick % 3}"
        live = [head.item_id for head in store.store.list("plan")]
        if live and step.pick % 3 == 0:
            item_id = live[step.pick % len(live)]
        text = BLOB if step.pick % 10 == 0 else "short"
        put(store, item_id, n=f"{step.store}{self.done['writes']}", text=text)

    def delete(self, step: Step) -> None:
        """rm"""
        live = [head.item_id for head in self.stores[step.store].store.list("plan") if head.item_id[0] == step.store]
        if live:
            remove(self.stores[step.store], live[step.pick % len(live)])

    def redact(self, step: Step) -> None:
        """redact a former version of something of our own: what is current stays, so that all can agree."""
        store = self.stores[step.store]
        current = {head.seq for head in store.store.list(deleted=True)}
        plans = [record for record in store.store.log() if record.item_type == "plan" and record.cause is None]
        old = [record.seq for record in plans if not record.redacted and record.seq not in current]
        if old:
            redact(store.holdings, [old[step.pick % len(old)]], "slipped in", "test")
            self.done["redacted"] += 1

    def push(self, step: Step) -> None:
        """push"""
        store = self.stores[step.store]
        store.publish()
        (report,) = store.push(store.remotes(step.hub)).remotes
        assert report.result in ("pushed", "up_to_date", "nothing_to_publish"), report
        path = self.hubs[step.hub] / store.store.origin
        if report.result == "pushed":
            target = self.world.folder / f"older-{len(self.older)}"
            shutil.copytree(path, target)
            self.older.append((step.hub, store.store.origin, target))

    def pull(self, step: Step) -> None:
        """pull: whoever put it there, nothing is refused."""
        store = self.stores[step.store]
        if self.hubs[step.hub].exists():
            run = pull(store, [store.remotes(step.hub)[0]._replace(held_before=False)])
            assert run.exit_code == exits.DONE, run
            assert {found.result for remote in run.remotes for found in remote.origins} <= FINE, run

    def relay(self, step: Step) -> None:
        """push --relay: nothing is refused, and nothing sent twice."""
        found = self.relayed(self.stores[step.store], step.hub)
        assert found.exit_code == exits.DONE, found
        results = [origin.result for remote in found.remotes for origin in remote.origins]
        assert set(results) <= {Passed.RELAYED, Passed.UP_TO_DATE, Passed.NEWER_THERE}, found
        self.done.update(map(str, results))
        before = tree(self.hubs[step.hub])
        again = self.relayed(self.stores[step.store], step.hub)
        assert Passed.RELAYED not in {origin.result for remote in again.remotes for origin in remote.origins}
        assert tree(self.hubs[step.hub]) == before

    def relayed(self, store: Sharing, hub: str) -> RelayRun:
        (remote,) = store.remotes(hub)
        return relay_after(store, [remote], [PushReport(remote.name, remote.url, "up_to_date", None, None)])

    def accept(self, step: Step) -> None:
        """accept --all --theirs: whoever is asked takes what others have, so that all can agree."""
        self.done["accepted"] += len(accept_all(self.stores[step.store]).written)

    def sync(self, step: Step) -> None:
        """What cron does at every hub, with relays."""
        run = self.stores[step.store].sync()
        assert {found.result for remote in run.pull.remotes for found in remote.origins} <= FINE, run
        codes = [run.push.exit_code, run.relay.exit_code]
        assert codes == [exits.DONE, exits.DONE], run
        self.done["passed on"] += sum(
            found.result is Passed.RELAYED for remote in run.relay.remotes for found in remote.origins
        )

    def rebuild(self, step: Step) -> None:
        """[T1]"""
        before = answers(self.stores[step.store])
        assert answers(rebuilt(self.stores[step.store])) == before

    # --- what goes wrong ---

    def delay(self, step: Step) -> None:
        """A hub shows an origin as it was."""
        if self.older:
            hub, origin, path = self.older[step.pick % len(self.older)]
            shutil.rmtree(self.hubs[hub] / origin, ignore_errors=True)
            shutil.copytree(path, self.hubs[hub] / origin)

    def drop(self, step: Step) -> None:
        """A hub loses an origin."""
        found = sorted(self.hubs[step.hub].glob("es1*"))
        if found:
            shutil.rmtree(found[step.pick % len(found)])

    def lose(self) -> None:
        """The hub that never keeps one origin."""
        if self.lost is not None:
            hub, name = self.lost
            shutil.rmtree(self.hubs[hub] / self.stores[name].store.origin, ignore_errors=True)

    def fault(self, step: Step) -> None:
        """A relay ends at some write of this store's disk, killed or refused."""
        disk = FaultyDisk(10**9, kills=step.pick % 2 == 0)
        store = self.world.reopened(self.stores[step.store], disk=disk)
        disk.at = disk.count + 1 + step.pick // 100
        try:
            self.relayed(store, step.hub)
        except (Died, DiskFailed):
            self.done["faults"] += 1
        self.stores[step.store] = self.world.reopened(store)

    # --- what must hold ---

    def heads(self) -> dict[tuple[str, str], tuple[int, int]]:
        """(seq, gen) of every feed at every hub."""
        return {
            (hub, path.parent.name): (head["last_seq"], head["gen"])
            for hub, folder in self.hubs.items()
            for path in folder.glob("es1*/head.json")
            for head in [head_of(path.parent)]
        }

    def only_raised(self, before: Mapping[tuple[str, str], tuple[int, int]]) -> None:
        """[F10]"""
        after = self.heads()
        assert before.keys() <= after.keys()
        assert [key for key in before if after[key] < before[key] or after[key][1] < before[key][1]] == []

    def come_to_rest(self) -> None:
        """Everybody syncs and accepts until nothing changes at any hub or in any journal: rings stop growing."""
        for _ in range(14):
            before = [tree(folder) for folder in self.hubs.values()], self.seqs()
            for name, hubs in self.ways.items():
                self.sync(Step("sync", name, hubs[0], 0))
                self.lose()
                accept_all(self.stores[name], theirs=name == "a")  # one decides, so that conflicts end
            if before == ([tree(folder) for folder in self.hubs.values()], self.seqs()):
                break
        else:
            raise AssertionError("fourteen rounds, and something still grows")
        self.everybody_knows_everybody()
        self.all_agree()
        for store in self.stores.values():
            assert list(audit(store.holdings)) == []

    def seqs(self) -> list[int]:
        return [store.store.position().seq for store in self.stores.values()]

    def everybody_knows_everybody(self) -> None:
        """[F6] Whatever was dropped of one: all others are known everywhere, as far as they published."""
        kept = {name: store for name, store in self.stores.items() if self.lost is None or name != self.lost[1]}
        for name, store in self.stores.items():
            for other, whole in kept.items():
                own = whole.holdings.own.head()
                if other != name and own is not None:
                    held = store.holdings.head(whole.store.origin)
                    assert held is not None, (name, other)
                    assert (held.last_seq, held.c, held.redacted) == (own.last_seq, own.c, own.redacted)

    def all_agree(self) -> None:
        """Stores that accept everything have the same, however far apart they are; deletions need not go to all."""
        found = [
            {key: value for key, (_, value) in entities(store).items() if value is not None}
            for store in self.stores.values()
        ]
        assert [other for other in found if other != found[0]] == [], found
        self.done["agreed"] += len(found[0])


def played(way: str, seed: int, lost: tuple[str, str] | None = None) -> Counter[str]:
    """Play the trace of a seed; what it came to."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        play = Play(Path(folder), WAYS[way], lost)
        try:
            play.play(play.trace(seed))
        finally:
            play.world.close_all()
        return play.done


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_stores_and_hubs_do_all_come_to_know_and_have_the_same(way: str, seed: int) -> None:
    """[F10] [F7] [K3]"""
    assert played(way, seed)["agreed"] > 0


@pytest.mark.parametrize(("way", "hub", "name"), [("ring", "h1", "a"), ("diamond", "h3", "b")])
def test_a_hub_that_never_keeps_one_origin_harms_no_other(way: str, hub: str, name: str) -> None:
    """[F6] [F10]"""
    assert played(way, 77, (hub, name))["agreed"] > 0


def test_the_traces_do_what_they_are_for() -> None:
    """What the machine never does, it never tests."""
    total = played("ring", 6) + played("chain", 7)
    wanted = ("relayed", "newer_there", "up_to_date", "passed on", "accepted", "redacted", "faults", "agreed")
    assert [what for what in wanted if not total[what]] == []
