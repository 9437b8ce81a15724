"""Traces: what people do with a few stores, made from a seed, played, and cut down to the steps that matter.

A step is plain numbers, read against the world as it then is: any subset of a trace can be played, so a failing one
shrinks by leaving steps out.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final, NamedTuple

from federation.model import OPEN_VERDICTS, Verdict
from journal import Draft, Ref, Version
from tests.property.causality_oracle import Broken, Oracle
from tests.property.causality_stores import Feed, Key, Line, MemoryStore, Rules, changes_entity, named

ENTITIES: Final[tuple[Key, ...]] = (("plan", "x"), ("note", "y"))
AS_THEY_ARE: Final = frozenset([Verdict.NEW, Verdict.UPDATE, Verdict.GONE, Verdict.IDENTICAL])
Verb = Callable[[MemoryStore, "Step"], str | None]
# How often each verb comes, of all of them.
VERBS: Final = {
    "write": 14, "remove": 3, "publish": 8, "pull": 8, "pull old": 3, "relay": 5, "sync": 14, "pass on": 16,
    "accept": 14, "accept all": 4, "theirs": 5, "merge": 3, "reject": 2, "reopen": 1, "undo": 4,
}  # fmt: skip
# What happens to whole stores [I2]; and how many identities there are at most in one world.
FATES: Final = {"copy": 3, "clone": 3, "renew": 2, "back up": 3, "restore": 3, "republish": 3}
MOST_IDENTITIES: Final = 8


class Shape(NamedTuple):
    """Which stores there are, whom each pulls from, and which of them lies."""

    stores: int
    entities: int
    sees: tuple[tuple[int, ...], ...]
    liars: tuple[int, ...] = ()


class Step(NamedTuple):
    """One verb of one store; what the numbers choose depends on what is there."""

    verb: str
    store: int
    pick: int
    value: int


_NO_NUMBERS: Final = Step("pass on", 0, 0, 0)


class Trace(NamedTuple):
    """A world and what happens in it."""

    shape: Shape
    steps: tuple[Step, ...]


# --- making them -----------------------------------------------------------------------------------------------------


def trace(seed: int, *, liar: bool = False) -> Trace:
    """The trace of a seed."""
    rng = random.Random(seed)
    stores = rng.randint(3 if liar else 2, 5)
    entities, sees = rng.randint(1, 2), _topology(rng, stores)
    shape = Shape(stores, entities, sees, tuple(rng.sample(range(stores), rng.randint(1, 2))) if liar else ())
    verbs = VERBS | {"lie": 30, "reject": 8} if liar else VERBS
    verbs = verbs | FATES if seed % 4 == 3 else verbs
    chosen = rng.choices(list(verbs), list(verbs.values()), k=rng.randint(30, 80))
    return Trace(
        shape, tuple(Step(verb, rng.randrange(stores), rng.randrange(1 << 20), _value(rng)) for verb in chosen)
    )


def _value(rng: random.Random) -> int:
    """What is written: often the same as elsewhere, so that identical payloads meet."""
    return rng.randrange(3) if rng.random() < 0.5 else rng.randrange(3, 1 << 20)


def _topology(rng: random.Random, stores: int) -> tuple[tuple[int, ...], ...]:
    everyone = range(stores)
    match rng.randrange(4):
        case 0:
            return tuple(tuple(other for other in everyone if other != store) for store in everyone)
        case 1:
            return tuple(((store - 1) % stores,) for store in everyone)
        case 2:
            return tuple(tuple(near for near in (store - 1, store + 1) if near in everyone) for store in everyone)
        case _:
            return tuple(
                tuple(rng.sample([other for other in everyone if other != store], rng.randint(1, stores - 1)))
                for store in everyone
            )


# --- playing them ----------------------------------------------------------------------------------------------------


def origin_of_model(number: int) -> str:
    """The origin of the nth store; people read its fourth letter."""
    return "es1" + "abcdefghijkl"[number] * 32


class World:
    """Some stores, the oracle that watches them, and what happened so far in words."""

    def __init__(self, shape: Shape, rules: Rules | None = None) -> None:
        rules = rules or Rules()
        self.shape = shape
        self.stores = [MemoryStore(origin_of_model(number), rules) for number in range(shape.stores)]
        self.oracle = Oracle(frozenset(self.stores[liar].origin for liar in shape.liars))
        self.story: list[str] = []
        self.sees = [list(near) for near in shape.sees]
        self.bus = {store.origin: store.feed for store in self.stores}
        self._served = [[store.origin] for store in self.stores]  # the feeds that stand where each store pushes
        self._backups: dict[int, tuple[MemoryStore, set[tuple[Key, Ref]]]] = {}
        self._verbs: dict[str, Verb] = {
            "write": self._write,
            "remove": self._remove,
            "publish": self._publish,
            "pull": self._pull,
            "pull old": self._pull_old,
            "relay": self._relay,
            "sync": self._sync,
            "pass on": self._pass_on,
            "accept": self._accept,
            "accept all": self._accept_all,
            "theirs": self._theirs,
            "merge": self._merge,
            "reject": self._reject,
            "reopen": self._reopen,
            "undo": self._undo,
            "lie": self._lie,
            "copy": self._copy,
            "clone": self._clone,
            "renew": self._renew,
            "back up": self._back_up,
            "restore": self._restore,
            "republish": self._republish,
        }

    def play(self, steps: Sequence[Step]) -> None:
        """Do all steps; Broken tells the first rule that does not hold."""
        for step in steps:
            self.do(step)

    def do(self, step: Step) -> None:
        """Do one step, then look at every verdict of the store that did it."""
        # Copies come after those that were there from the beginning: half of what they could do is theirs.
        extra = len(self.stores) - self.shape.stores
        number = self.shape.stores + step.value % extra if extra and step.pick % 3 == 0 else step.store
        store = self.stores[number]
        if step.verb == "lie":
            store = self.stores[self.shape.liars[step.store % len(self.shape.liars)]]
        try:
            told = self._verbs[step.verb](store, step) or self._instead(step)(store, step)
        except Broken:
            store = self.stores[number]  # a restored one is another
            self.story.append(f"{named(store.origin)} {step.verb}: {_told(store.log[-1])}")
            raise
        if told is None:
            return
        self.story.append(f"{named(store.origin)} {told}")
        store = self.stores[number] if step.verb == "restore" else store  # another one stands in its place
        if store.origin not in self.oracle.liars:
            self.oracle.check(store)

    def _instead(self, step: Step) -> Verb:
        """What is done when there is nothing to do: look for news."""
        return self._sync if step.value % 2 else self._pass_on

    def settle(self, rng: random.Random, most_laps: int) -> int:
        """Let all stores pull, accept all and publish, in any order, until nothing moves; how many laps that took."""
        for lap in range(most_laps):
            moved = False
            for store in rng.sample(self.stores, len(self.stores)):
                told = self._pass_on(store, _NO_NUMBERS)
                if told is not None:
                    moved = True
                    self.story.append(f"{named(store.origin)} {told}")
                    self.oracle.check(store)
            if not moved:
                return lap
        raise Broken(f"after {most_laps} laps records are still written")

    def open(self) -> list[tuple[MemoryStore, Line, Verdict]]:
        """What waits for a person, in all stores."""
        judged = [(store, line, store.judge(line).verdict) for store in self.stores for line in store.rows()]
        return [found for found in judged if found[2] in OPEN_VERDICTS]

    def disagreement(self) -> str | None:
        """An entity that two stores have with different payloads, or None."""
        for key in ENTITIES:
            held = {named(store.origin): store.heads[key].line for store in self.stores if key in store.heads}
            if len({line.record.payload_bytes for line in held.values()}) > 1:
                return f"{key[1]}: " + ", ".join(f"{name} has {_told(line)}" for name, line in held.items())
        return None

    # --- verbs: each tells what it did, None when there was nothing to do ---

    def _write(self, store: MemoryStore, step: Step) -> str | None:
        """put or edit; mostly of what the store has, or all would be conflicts."""
        keys = [key for key in ENTITIES[: self.shape.entities] if key in store.heads]
        if not keys or step.pick % 8 == 0:
            keys = list(ENTITIES[: self.shape.entities]) if store is self.stores[0] or step.pick % 8 == 0 else []
        if not keys:
            return None
        key = keys[step.pick // 8 % len(keys)]
        private = {0: True, 1: False, 2: False}.get(step.pick // 16 % 32)
        return "writes " + self._wrote(store, key, lambda: store.write(key, _payload(step.value), private=private))

    def _remove(self, store: MemoryStore, step: Step) -> str | None:
        key = ENTITIES[step.pick % self.shape.entities]
        if key not in store.heads or store.heads[key].head.deleted:
            return None
        return "removes " + self._wrote(store, key, lambda: store.write(key, None))

    def _publish(self, store: MemoryStore, step: Step) -> str | None:
        withheld = frozenset({0: ["plan"], 1: ["note"]}.get(step.pick % 16, []))
        if not store.publish(withheld):
            return None
        return f"publishes up to {store.feed.last_seq}" + (f" without {', '.join(withheld)}" if withheld else "")

    def _pull(self, store: MemoryStore, step: Step) -> str | None:
        origin, feed = self._some_feed(store, step)
        return self._take(store, origin, feed.lines, feed.last_seq)

    def _some_feed(self, store: MemoryStore, step: Step) -> tuple[str, Feed]:
        found = list(self._near(self.stores.index(store)))
        return found[step.pick % len(found)]

    def _near(self, number: int) -> Iterator[tuple[str, Feed]]:
        """The feeds that a store can pull: those of its neighbours, and what it left under former origins."""
        own = self.stores[number].origin
        for near in (*self.sees[number], number):
            yield from ((origin, self.bus[origin]) for origin in self._served[near] if origin != own)

    def _pull_old(self, store: MemoryStore, step: Step) -> str | None:
        origin, feed = self._some_feed(store, step)
        if not feed.states:
            return None
        return self._take(store, origin, feed.lines, feed.states[step.value % len(feed.states)])

    def _relay(self, store: MemoryStore, step: Step) -> str | None:
        """Take a third store's feed as a neighbour's mirror holds it [F10]."""
        near = self.sees[self.stores.index(store)]
        via = self.stores[near[step.pick % len(near)]]
        if not via.mirrors:
            return None
        origin, mirror = sorted(via.mirrors.items())[step.value % len(via.mirrors)]
        return self._take(store, origin, mirror.lines, mirror.pin)

    def _take(self, store: MemoryStore, origin: str, lines: dict[int, Line], last_seq: int) -> str | None:
        return f"pulls {named(origin)} up to {last_seq}" if store.take(origin, lines, last_seq) else None

    def _sync(self, store: MemoryStore, step: Step) -> str | None:
        told = ["publishes"] if store.publish() else []
        for origin, feed in self._near(self.stores.index(store)):
            told.append(self._take(store, origin, feed.lines, feed.last_seq) or "")
        return ", ".join(filter(None, told)) or None

    def _pass_on(self, store: MemoryStore, step: Step) -> str | None:
        """What a schedule does: pull all, accept all, publish."""
        told = [self._sync(store, step), self._accept_all(store, step), "publishes" if store.publish() else None]
        return ", ".join(filter(None, told)) or None

    def _accept(self, store: MemoryStore, step: Step) -> str | None:
        return self._decide(store, step, AS_THEY_ARE, store.accept, "accepts")

    def _theirs(self, store: MemoryStore, step: Step) -> str | None:
        return self._decide(store, step, frozenset([Verdict.CONFLICT]), store.accept, "takes")

    def _merge(self, store: MemoryStore, step: Step) -> str | None:
        verdicts = frozenset([Verdict.CONFLICT, Verdict.UPDATE])
        return self._decide(store, step, verdicts, lambda line: store.merge(line, _payload(step.value)), "merges")

    def _decide(
        self, store: MemoryStore, step: Step, verdicts: frozenset[Verdict], act: Callable[[Line], Line], verb: str
    ) -> str | None:
        found = [(line, verdict) for line in store.rows() if (verdict := store.judge(line).verdict) in verdicts]
        if not found:
            return None
        line, verdict = found[step.pick % len(found)]
        told = self._wrote(store, line.key, partial(act, line))
        return f"{verb} {named(line.origin)}@{line.record.seq} ({verdict}): {told}"

    def _accept_all(self, store: MemoryStore, step: Step) -> str | None:
        """Of several origins that offer the same entity the first is taken; conflicts stay."""
        verdicts = OPEN_VERDICTS - {Verdict.CONFLICT, Verdict.UNREADABLE}
        taken: dict[Key, Line] = {}
        for line in store.rows():
            if store.judge(line).verdict in verdicts:
                taken.setdefault(line.key, line)
        told = [self._wrote(store, line.key, partial(store.accept, line)) for line in taken.values()]
        return f"accepts all: {'; '.join(told)}" if told else None

    def _reject(self, store: MemoryStore, step: Step) -> str | None:
        found = [line for line in store.rows() if store.judge(line).verdict is not Verdict.KNOWN]
        if not found:
            return None
        line = found[step.pick % len(found)]
        store.reject(line)
        version = store.rejections[-1][0]
        return f"rejects {named(line.origin)}@{line.record.seq} (version {named(Ref(*version[:2]))})"

    def _reopen(self, store: MemoryStore, step: Step) -> str | None:
        if not store.rejections:
            return None
        rejected = store.rejections[step.pick % len(store.rejections)]
        store.reopen(rejected)
        return f"reopens {named(Ref(*rejected[0][:2]))} of {rejected[1][1]}"

    def _undo(self, store: MemoryStore, step: Step) -> str | None:
        """inbox undo: of any accept on which nothing was built; the last one is such a one."""
        found = store.undoable()
        if not found:
            return None
        accepted = found[step.pick % len(found)]
        told = self._wrote(store, accepted.record.key, lambda: store.undo(accepted))
        self.oracle.forget(store, accepted.record.key)
        return f"undoes {named(Ref(*accepted.record.own[:2]))}: {told}"

    def _wrote(self, store: MemoryStore, key: Key, act: Callable[[], Line]) -> str:
        """Let a store write a record about an entity, look at the record, and tell it."""
        held = store.heads.get(key)
        line = act()
        if store.origin not in self.oracle.liars:
            self.oracle.check_record(store, line, held.head if held else None)
            if line.record.cause is not None and not line.lied and store.joined is not None:
                self.oracle.check_join(store.joined)
        return _told(line)

    # --- copies and new identities [I2] ---

    def _new_origin(self) -> str:
        return origin_of_model(len(self.bus))

    def _may_renew(self, store: MemoryStore) -> bool:
        return len(self.bus) < MOST_IDENTITIES and store.origin not in self.oracle.liars

    def _renewed(self, store: MemoryStore, at: int | None, number: int) -> str:
        """Give a store an identity of its own, and look at what it writes."""
        before, origin = store.origin, self._new_origin()
        heads = {key: held.head for key, held in store.heads.items()}
        lines = store.renew(origin, at)
        self.oracle.renewed(before, origin)
        self.bus[origin] = store.feed
        self._served[number].append(origin)
        for line in lines:
            self.oracle.check_record(store, line, heads.get(line.key))
        told = f", says again {'; '.join(map(_told, lines))}" if lines else ""
        return f"is {named(origin)} from now on, and {named(before)} up to {store.previous[-1].last_seq}{told}"

    def _copy(self, store: MemoryStore, step: Step) -> str | None:
        """`cp -r`, and a new identity for the copy; who pulled from the original pulls from both."""
        if not self._may_renew(store):
            return None
        number = self._settle_beside(store, store.copied())
        return "is copied: the copy " + self._renewed(self.stores[number], None, number)

    def _clone(self, store: MemoryStore, step: Step) -> str | None:
        """`git clone` of a store whose entity files git tracks, and a store made from them."""
        if not self._may_renew(store):
            return None
        origin = self._new_origin()
        clone, lines = store.adopted(origin)
        number = self._settle_beside(store, clone)
        self.bus[origin] = clone.feed
        self._served[number].append(origin)
        for line in lines:
            self.oracle.check_record(clone, line, store.heads[line.key].head)
        return f"is cloned by its files: {named(origin)} has {'; '.join(map(_told, lines)) or 'nothing'}"

    def _settle_beside(self, store: MemoryStore, other: MemoryStore) -> int:
        """A new store pulls from another and its neighbours, and they from it."""
        number, new = self.stores.index(store), len(self.stores)
        self.stores.append(other)
        self._served.append([])
        for near in self.sees:
            near.extend([new] if number in near else [])
        self.sees.append([number, *(near for near in self.sees[number] if near != new)])
        self.sees[number].append(new)
        return new

    def _renew(self, store: MemoryStore, step: Step) -> str | None:
        """The key was lost, or a person wants another identity; the feed under the old one stays where it is."""
        if not self._may_renew(store):
            return None
        return self._renewed(store, None, self.stores.index(store))

    def _back_up(self, store: MemoryStore, step: Step) -> str | None:
        if store.origin in self.oracle.liars:
            return None
        self._backups[self.stores.index(store)] = store.copied(), self.oracle.known_by(store.origin)
        return f"is backed up at {store.last_seq}"

    def _restore(self, store: MemoryStore, step: Step) -> str | None:
        """Go back to the backup, write on under the old identity until that is noticed, and take a new one there."""
        number = self.stores.index(store)
        if number not in self._backups or not self._may_renew(store):
            return None
        backup, known = self._backups[number]
        self.stores[number] = restored = backup.copied()
        self.oracle.restored(restored.origin, known)
        at = restored.last_seq
        told = []
        for write in range(step.value % 4):
            key = ENTITIES[(step.pick + write) % self.shape.entities]
            told.append(_told(restored.write(key, _payload(step.value + write) if (step.pick + write) % 5 else None)))
        return f"is restored to {at}, writes {'; '.join(told) or 'nothing'} and {self._renewed(restored, at, number)}"

    def _republish(self, store: MemoryStore, step: Step) -> str | None:
        if not store.previous or store.origin in self.oracle.liars:
            return None
        heads = {key: held.head for key, held in store.heads.items()}
        lines = store.republish()
        for line in lines:
            self.oracle.check_record(store, line, heads[line.key])
        return f"shows again {'; '.join(map(_told, lines))}" if lines else None

    # --- lies ---

    def _lie(self, store: MemoryStore, step: Step) -> str:
        """Write a record whose context, claims, root and cause are whatever serves."""
        rng = random.Random(step.pick)
        key = ENTITIES[rng.randrange(self.shape.entities)]
        seq = store.last_seq + 1
        payload = None if rng.random() < 0.15 else _payload(step.value)
        root = rng.choice(list(self._versions(rng, key))) if rng.random() < 0.4 else None
        draft = Draft(
            "delete" if payload is None else "accept", *key, payload, root=None if root is None else str(root)
        )
        context = dict(self._entries(rng, key, 0.6))
        claims = dict(self._entries(rng, key, 0.3))
        if root is None and rng.random() < 0.9:
            context[store.origin] = seq
        if root is not None and rng.random() < 0.8:
            vector = rng.choice([context, claims])
            vector[root.origin] = max(vector.get(root.origin, 0), root.seq)
        line = store.forge(draft, None if rng.random() < 0.05 else context, claims)
        return f"lies {_told(line)}"

    def _versions(self, rng: random.Random, key: Key) -> Iterator[Version]:
        """What a root can name: what was published of this or another entity, or what nobody wrote."""
        for store in self.stores:
            lines = list(store.feed.lines.values())
            yield from [line.foreign.version for line in lines if changes_entity(line) and line.key == key][-1:] * 4
            yield from (line.foreign.version for line in rng.sample(lines, min(3, len(lines))) if changes_entity(line))
            yield Version(store.origin, rng.randint(1, store.last_seq + 3), f"{rng.randrange(1 << 48):012x}")

    def _entries(self, rng: random.Random, key: Key, share: float) -> Iterator[tuple[str, int]]:
        """What a vector can name: true versions, shown or not, and seqs at random."""
        for store in self.stores:
            if rng.random() < share:
                seqs = [line.record.seq for line in store.log if changes_entity(line) and line.key == key]
                wild = rng.randint(1, store.last_seq + 3)
                yield store.origin, rng.choice(seqs) if seqs and rng.random() < 0.7 else wild


def _payload(value: int) -> bytes:
    return b'{"v":%d}' % value


# --- telling them ----------------------------------------------------------------------------------------------------


def _told(line: Line) -> str:
    record, foreign = line.record, line.foreign
    context = ",".join(f"{named(origin)}{seq}" for origin, seq in sorted(foreign.full_context.items()))
    claims = ",".join(f"{named(origin)}{seq}" for origin, seq in sorted(foreign.claims.items()))
    return (
        f"{named(line.origin)}@{record.seq} {record.item_id}="
        f"{'gone' if foreign.tombstone else (record.payload_bytes or b'').decode()}"
        + (f" copy of {named(line.version)}" if foreign.root else "")
        + f" {{{context}}}"
        + (f" claims {{{claims}}}" if claims else "")
        + (" private" if record.private else "")
    )


# --- cutting them down -----------------------------------------------------------------------------------------------


class Failure(NamedTuple):
    """A trace that breaks a rule, as short as it gets."""

    seed: int
    trace: Trace
    reason: str
    story: tuple[str, ...]

    def __str__(self) -> str:
        sees = "; ".join(
            f"{named(origin_of_model(store))} pulls {', '.join(named(origin_of_model(other)) for other in near)}"
            for store, near in enumerate(self.trace.shape.sees)
        )
        liars = ", ".join(named(origin_of_model(liar)) for liar in self.trace.shape.liars)
        told = "\n".join(f"  {number}. {line}" for number, line in enumerate(self.story, 1))
        lies = f"; liars: {liars}" if liars else ""
        return f"seed {self.seed}: {self.reason}\n  ({sees}{lies})\n{told}"


def failure_of(played: Trace, rules: Rules | None = None) -> tuple[str, tuple[str, ...]] | None:
    """The first rule a trace breaks and the story up to there, or None."""
    world = World(played.shape, rules)
    for step in played.steps:
        try:
            world.do(step)
        except Broken as broken:
            return str(broken), tuple(world.story)
    return None


def shrink(seed: int, failing: Trace, rules: Rules | None = None) -> Failure:
    """Leave out steps, many at once and then few, as long as some rule stays broken and until none can go."""
    steps: tuple[Step, ...] = failing.steps
    before: tuple[Step, ...] = ()
    while steps != before:
        before = steps
        for size in (len(steps) // 2, len(steps) // 4, 8, 4, 3, 2, 1):
            steps = _without(failing.shape, steps, max(size, 1), rules)
    shortest = Trace(failing.shape, steps)
    reason, story = failure_of(shortest, rules) or ("", ())
    return Failure(seed, shortest, reason, story)


def _without(shape: Shape, steps: tuple[Step, ...], size: int, rules: Rules | None) -> tuple[Step, ...]:
    at = 0
    while at < len(steps):
        fewer = steps[:at] + steps[at + size :]
        if failure_of(Trace(shape, fewer), rules):
            steps = fewer
        else:
            at += 1
    return steps


def play_all(seeds: Sequence[int], *, liar: bool = False, rules: Rules | None = None) -> Counter[str]:
    """Play the traces of many seeds, and count those in which something was seen.

    AssertionError tells the first that breaks a rule, cut down.
    """
    counts: Counter[str] = Counter()
    for seed in seeds:
        played = trace(seed, liar=liar)
        world = World(played.shape, rules)
        try:
            world.play(played.steps)
        except Broken:
            raise AssertionError(f"\n{shrink(seed, played, rules)}") from None
        counts["traces"] += 1
        counts.update(what for what, times in world.oracle.counts.items() if times)
    return counts
