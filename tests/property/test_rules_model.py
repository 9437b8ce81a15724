"""Rules against the truth: stores that decide by rule settle nothing falsely, go over nothing unseen, and come to rest.

The stores of the causality model; the rules are the real ones. Where a person has to decide, rules leave it open.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import pytest

from federation.model import Verdict
from federation.rules import DECIDABLE, Action, Rule
from tests.property.causality_oracle import Broken
from tests.property.causality_rules import ACCEPT, ACCEPT_NEWS, RULE_LISTS, RuledWorld
from tests.property.causality_traces import ENTITIES, Shape, Step, trace

TRACES = 600
DEEP_TRACES = 4_000
RINGS = {
    "pair": ((1,), (0,)),
    "ring of 3": ((2,), (0,), (1,)),
    "ring of 4": ((3,), (0,), (1,), (2,)),
    "diamond and back": ((1, 2), (0, 3), (0, 3), (1, 2)),
    "everyone": ((1, 2, 3), (0, 2, 3), (0, 1, 3), (0, 1, 2)),
}
each_ring = pytest.mark.parametrize("sees", RINGS.values(), ids=RINGS)
Sees = tuple[tuple[int, ...], ...]


def told(world: RuledWorld, what: object) -> str:
    return f"{what}\n  " + "\n  ".join(world.story)


def play(seeds: range, *, liar: bool = False) -> int:
    """Play traces in which stores have rules; how much those decided."""
    decided = 0
    for seed in seeds:
        played = trace(seed, liar=liar)
        rng = random.Random(seed)
        world = RuledWorld(played.shape, {number: rng.choice(RULE_LISTS) for number in range(played.shape.stores)})
        try:
            world.play(played.steps)
        except Broken as broken:
            raise AssertionError(told(world, f"seed {seed}: {broken}")) from None
        decided += world.decided
    return decided


@pytest.mark.parametrize("liar", [False, True], ids=["honest", "with a liar"])
def test_whatever_rules_decide_every_verdict_stays_true(liar: bool) -> None:
    """[K3] [K4] [K5] Settled never returns, and no rule goes over what its author never saw."""
    assert play(range(TRACES), liar=liar) > TRACES


@pytest.mark.deep
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("liar", [False, True], ids=["honest", "with a liar"])
def test_whatever_rules_decide_every_verdict_stays_true_deep(liar: bool) -> None:
    assert play(range(1_000_000, 1_000_000 + DEEP_TRACES), liar=liar) > DEEP_TRACES


def everybody(sees: Sees, rule: Rule) -> Mapping[int, Sequence[Rule]]:
    """The same rule for all stores."""
    return dict.fromkeys(range(len(sees)), (rule,))


def edited(sees: Sees, rules: Mapping[int, Sequence[Rule]], seed: int) -> tuple[RuledWorld, random.Random]:
    """Stores that wrote to all entities at once and now and then looked: conflicts among it."""
    rng = random.Random(seed)
    world = RuledWorld(Shape(len(sees), 2, sees), rules)
    for _ in range(12):
        store = rng.choice(world.stores)
        key = ENTITIES[rng.randrange(2)]
        held = store.heads.get(key)
        gone = held is not None and not held.head.deleted and rng.random() < 0.2
        store.write(key, None if gone else b'{"edit":%d}' % rng.randrange(5 if seed % 2 else 1_000))
        world.do(Step(rng.choice(["sync", "pull", "publish"]), rng.randrange(len(sees)), rng.randrange(99), 1))
    return world, rng


@each_ring
@pytest.mark.parametrize("rule", [ACCEPT, ACCEPT_NEWS], ids=["all", "news"])
def test_rings_with_rules_stop_growing_whatever_was_written_at_once(sees: Sees, rule: Rule) -> None:
    """[K5] Stores that accept by rule from each other come to rest in a few laps, conflicts or not."""
    for seed in range(40):
        world, rng = edited(sees, everybody(sees, rule), seed)
        world.laps_at_once = seed % 3 == 0
        try:
            world.come_to_rest(rng, most_laps=len(sees) + 3)
            assert world.come_to_rest(rng, most_laps=1) == 0
        except Broken as broken:
            raise AssertionError(told(world, f"seed {seed}: {broken}")) from None
        left = {verdict for _, _, verdict in world.open()}
        assert left <= {Verdict.CONFLICT, *({Verdict.GONE} if rule is ACCEPT_NEWS else set())}, told(world, left)


@each_ring
def test_stores_that_follow_each_other_by_rule_agree_where_nothing_was_written_at_once(sees: Sees) -> None:
    """[K5] One edit after the other, each once all is quiet."""
    for seed in range(30):
        rng = random.Random(seed)
        world = RuledWorld(Shape(len(sees), 2, sees), everybody(sees, ACCEPT))
        world.laps_at_once = seed % 3 == 0
        for number in range(6):
            rng.choice(world.stores).write(ENTITIES[number % 2], b'{"edit":%d}' % number)
            world.come_to_rest(rng, most_laps=len(sees) + 3)
            assert not world.open(), told(world, "something is open")
            assert world.disagreement() is None, told(world, world.disagreement())


def test_a_rule_that_took_conflicts_would_never_come_to_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """[K5]: why none can. The model would see it."""
    monkeypatch.setitem(DECIDABLE, Action.ACCEPT, frozenset([*DECIDABLE[Action.ACCEPT], Verdict.CONFLICT]))
    monkeypatch.setattr(RuledWorld, "_check_seen", lambda *_: None)
    with pytest.raises(Broken, match="rules still write"):
        for seed in range(20):
            world, rng = edited(RINGS["ring of 3"], everybody(RINGS["ring of 3"], ACCEPT), seed)
            world.laps_at_once = True
            world.come_to_rest(rng, most_laps=40)
