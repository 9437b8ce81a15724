"""Merging between whole stores: the version both build on, the record that is written, and what others make of it."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from eventsync.sharing import Sharing
from federation.ancestry import Base, NoBase
from federation.errors import CandidateMoved, ConflictUndecided
from federation.inbox import Difference, Filter
from federation.merging import label
from federation.model import Candidate, DecisionReport, Resolution, Verdict
from federation.receipts import receipts
from journal import Record
from tests.integration.forger import Forger
from tests.integration.world import (
    World,
    accept,
    accept_all,
    answers,
    candidates,
    entities,
    meet,
    payload,
    pull,
    put,
    rebuilt,
    remove,
    share,
    verdicts,
)


def write(store: Sharing, **fields: Any) -> None:
    """The entity plan/p, whole."""
    with store.store.mutate(agent="test") as mutation:
        mutation.put("plan", "p", fields)


def edit(store: Sharing, **fields: Any) -> None:
    """Change some fields of plan/p."""
    write(store, **{**payload(store, "p"), **fields})


def together(world: World, *names: str, **fields: Any) -> list[Sharing]:
    """Stores that all have plan/p of the first one, and know it of each other."""
    stores = [world.store(name) for name in names]
    write(stores[0], **fields)
    meet(*stores)
    for store in stores[1:]:
        accept_all(store)
    meet(*stores)
    return stores


def of(store: Sharing, origin: Sharing) -> Candidate:
    """The candidate plan/p from one other store."""
    (found,) = [item for item in candidates(store) if item.origin == origin.store.origin and item.item_id == "p"]
    return found


def merge(store: Sharing, origin: Sharing) -> DecisionReport:
    """accept --merge of plan/p from one other store"""
    return store.deciding("test").accept([of(store, origin).id], Resolution.MERGE)


def difference(store: Sharing, origin: Sharing) -> Difference:
    """diff of plan/p from one other store"""
    return store.inbox.diff(of(store, origin).id)


def newest(store: Sharing) -> Record:
    """The last record of a journal."""
    (found,) = store.store.log(last=1)
    return found


# --- the record ------------------------------------------------------------------------------------------------------


def test_a_merge_is_a_version_of_its_own_that_has_seen_both_sides(world: World) -> None:
    """[K1] [K2] No root, the cause, and the context of both; both versions stay in the history."""
    a, b = together(world, "a", "b", title="One", status="open")
    edit(a, title="Two")
    edit(b, status="done")
    meet(a, b)
    assert of(a, b).verdict == Verdict.CONFLICT
    theirs, ours = newest(b), newest(a)
    report = merge(a, b)
    assert payload(a, "p") == {"title": "Two", "status": "done"}
    record = newest(a)
    assert [(found.action, found.entity_rev) for found in report.written] == [("accept", 3)]
    assert (record.root, record.cause) == (None, f"{b.store.origin}@{theirs.seq}")
    assert record.context == {a.store.origin: record.seq, b.store.origin: theirs.seq}
    assert (record.summary, ours.seq) == ("Two", 2)
    history = [found.payload_bytes for found in a.store.log() if found.item_id == "p"]
    assert history == [b'{"title":"One","status":"open"}', ours.payload_bytes, record.payload_bytes]
    assert of(a, b).verdict == Verdict.KNOWN


def test_what_was_merged_is_an_update_to_everybody_else(world: World) -> None:
    """[K3] Three stores: who merges has seen both, so nobody is asked about a conflict again."""
    a, b, c = together(world, "a", "b", "c", title="One", status="open", n=1)
    edit(a, title="Two")
    edit(b, status="done")
    meet(a, b, c)
    merge(a, b)
    meet(a, b, c)
    assert of(b, a).verdict == Verdict.UPDATE
    assert {str(of(c, a).verdict), str(of(c, b).verdict)} == {"update"}
    for store in (b, c):
        accept_all(store)
        meet(a, b, c)
    for store in (a, b, c):
        assert payload(store, "p") == {"title": "Two", "status": "done", "n": 1}
        assert not list(store.inbox.candidates(Filter()))
    assert receipts(a.holdings, b.store.origin)[0] > 0  # b's accept of the merge is a receipt of ours


def test_two_that_merge_at_once_have_the_same_and_ask_nobody(world: World) -> None:
    """[K3] [K5]"""
    a, b = together(world, "a", "b", title="One", status="open", tags=["x"])
    edit(a, title="Two", tags=["x", "a"])
    edit(b, status="done", tags=["x", "b"])
    meet(a, b)
    merge(a, b)
    merge(b, a)
    assert payload(a, "p") == payload(b, "p") == {"title": "Two", "status": "done", "tags": ["x", "a", "b"]}
    meet(a, b)
    assert of(a, b).verdict == of(b, a).verdict == Verdict.IDENTICAL
    edit(a, n=1)
    meet(a, b)
    assert of(b, a).verdict == Verdict.CONFLICT  # it has not seen that b merged too
    merge(b, a)
    assert payload(b, "p") == {"title": "Two", "status": "done", "tags": ["x", "a", "b"], "n": 1}


def test_a_merge_without_a_conflict_is_an_accept_like_any_other(world: World) -> None:
    """[K1] An unmodified copy, with its root."""
    a, b = together(world, "a", "b", title="One")
    edit(b, title="Two")
    meet(b, a)
    merge(a, b)
    assert newest(a).root == f"{b.store.origin}@{newest(b).seq}#{newest(b).c[:12]}"


# --- the base --------------------------------------------------------------------------------------------------------


def base(store: Sharing, origin: Sharing) -> Base:
    """What a candidate and the local entity both build on."""
    found = difference(store, origin).base
    assert isinstance(found, Base), found
    return found


def test_the_base_is_the_newest_local_record_that_the_other_side_has_seen(world: World) -> None:
    a, b = together(world, "a", "b", n=1)
    for number in (2, 3):
        edit(a, n=number)
        meet(a, b)
        accept_all(b)
        meet(a, b)
    edit(b, by="b")
    edit(a, n=4)
    edit(a, n=5)
    meet(a, b)
    assert base(a, b) == Base(a.store.origin, 3, 3, {"n": 3})
    assert base(b, a).payload == {"n": 3}


def test_a_copy_of_their_version_can_be_the_base(world: World) -> None:
    """What was accepted from them unmodified is their version [K1]."""
    a, b = together(world, "a", "b", n=1)
    edit(b, n=2)
    meet(a, b)
    accept_all(a)
    edit(a, here=True)
    edit(b, there=True)
    meet(a, b)
    assert base(a, b) == Base(a.store.origin, 2, 2, {"n": 2})
    merge(a, b)
    assert payload(a, "p") == {"n": 2, "here": True, "there": True}


def test_where_no_local_record_was_seen_it_is_the_newest_of_theirs_that_is_included_here(world: World) -> None:
    """c has what a wrote only as a part of b's version, and a has never seen anything of c."""
    a, b, c = (world.store(name) for name in "abc")
    write(a, n=1, m=1)
    meet(a, b)
    accept_all(b)
    edit(b, by="b")
    share(b)
    pull(c)
    accept(c, next(item.id for item in candidates(c) if item.origin == b.store.origin))
    assert entities(c) == {"plan/p": (1, {"n": 1, "m": 1, "by": "b"})}
    edit(c, m=3)
    edit(a, n=2)
    meet(a, c)
    assert base(c, a) == Base(a.store.origin, 1, 1, {"n": 1, "m": 1})
    merge(c, a)
    assert payload(c, "p") == {"n": 2, "m": 3, "by": "b"}


def test_two_that_wrote_the_same_entity_apart_have_no_base(world: World) -> None:
    a, b = world.store("a"), world.store("b")
    write(a, n=1)
    write(b, n=2)
    meet(a, b)
    seen = difference(a, b)
    assert isinstance(seen.base, NoBase)
    with pytest.raises(ConflictUndecided, match="nothing to merge on: neither side has seen a version of the other"):
        merge(a, b)
    assert payload(a, "p") == {"n": 1}


def test_a_deletion_can_be_the_base(world: World) -> None:
    """Deleted on both sides, and made again on both: nothing was there, so all of it was put in."""
    a, b = together(world, "a", "b", n=1)
    remove(a, "p")
    meet(a, b)
    accept_all(b)
    meet(a, b)
    write(a, here=1)
    write(b, there=1)
    meet(a, b)
    assert base(a, b).payload is None
    merge(a, b)
    assert payload(a, "p") == {"here": 1, "there": 1}


def test_a_version_that_was_never_shown_is_no_base_whoever_claims_it(world: World) -> None:
    """[K4] The forger names our private record, which nobody can have seen."""
    a = world.store("a")
    forger = Forger()
    with a.store.mutate(agent="test") as mutation:
        mutation.put("plan", "p", {"n": 1}, private=True)
    share(a)
    forger.record("p", payload={"n": 2}, context={a.store.origin: 1, forger.origin: 1})
    forger.feed().put_into(world.bus)
    pull(a)
    (found,) = candidates(a)
    assert found.verdict == Verdict.CONFLICT
    assert isinstance(a.inbox.diff(found.id).base, NoBase)


def test_a_history_with_a_gap_gives_no_base(world: World) -> None:
    """An older version would take back what was undone since."""
    a, b = together(world, "a", "b", n=1, m=1)
    edit(a, n=2)
    meet(a, b)
    accept_all(b)
    edit(b, m=2)
    edit(a, n=3)
    meet(a, b)
    assert base(a, b).payload == {"n": 2, "m": 1}
    (log,) = (a.store.folder / "journal").glob("seg-*.jsonl")
    log.write_bytes(log.read_bytes().replace(b'{"n":2', b'{"n":7', 1))
    again = world.again(a)
    found = again.inbox.diff(of(again, b).id).base
    assert found == NoBase("rev 2 of its history cannot be read here")
    with pytest.raises(ConflictUndecided, match="rev 2 of its history cannot be read here"):
        merge(again, b)


# --- what stops it ---------------------------------------------------------------------------------------------------


def test_what_both_sides_changed_stops_a_merge_and_is_named(world: World) -> None:
    a, b = together(world, "a", "b", title="One", owner={"name": "ada", "at": "home"}, n=1)
    edit(a, title="Two", owner={"name": "eve", "at": "home"})
    edit(b, title="Three", owner={"name": "bob", "at": "home"}, n=2)
    meet(a, b)
    before = a.store.position().seq
    with pytest.raises(ConflictUndecided, match=r"changed on both sides: title, owner\.name"):
        merge(a, b)
    assert a.store.position().seq == before
    assert of(a, b).verdict == Verdict.CONFLICT


def test_a_deletion_against_a_change_stops_a_merge(world: World) -> None:
    for first, second in ((0, 1), (1, 0)):
        (world.folder / f"{first}").mkdir()
        place = World(world.folder / f"{first}")
        stores = together(place, "a", "b", n=1)
        remove(stores[first], "p")
        edit(stores[second], n=2)
        meet(*stores)
        for here, there in ((0, 1), (1, 0)):
            with pytest.raises(ConflictUndecided, match="changed on both sides: deleted on one side"):
                merge(stores[here], stores[there])
        place.close_all()


def test_of_several_that_are_merged_one_that_stops_stops_all(world: World) -> None:
    a, b = together(world, "a", "b", n=1)
    put(b, "new")
    edit(a, n=2)
    edit(b, n=3)
    meet(a, b)
    ids = [found.id for found in candidates(a) if found.verdict != Verdict.KNOWN]
    with pytest.raises(ConflictUndecided):
        a.deciding("test").accept(ids, Resolution.MERGE)
    assert set(entities(a)) == {"plan/p"}


def test_accepting_all_with_merge_leaves_what_it_cannot_decide(world: World) -> None:
    a, b = together(world, "a", "b", n=1, m=1)
    put(a, "q", n=1, m=1)
    meet(a, b)
    accept_all(b)
    edit(a, n=2)
    edit(b, n=3)
    put(a, "q", n=2, m=1)
    put(b, "q", n=1, m=2)
    put(b, "new")
    meet(a, b)
    report = a.deciding("test").accept_all(Filter(), Resolution.MERGE)
    assert [found.item_id for found in report.written] == ["q", "new"]
    assert [(left.item_id, left.reason) for left in report.left] == [("p", "conflict: changed on both sides: n")]
    assert payload(a, "q") == {"title": "q", "n": 2, "m": 2}


# --- by hand ---------------------------------------------------------------------------------------------------------


def test_what_a_person_makes_of_it_is_a_version_that_has_seen_both(world: World) -> None:
    a, b = together(world, "a", "b", n=1)
    edit(a, n=2)
    edit(b, n=3)
    meet(a, b)
    a.deciding("test").accept_edited(difference(a, b), {"n": 23, "title": "both"})
    assert (payload(a, "p"), newest(a).root, newest(a).summary) == ({"n": 23, "title": "both"}, None, "both")
    meet(a, b)
    assert (of(a, b).verdict, of(b, a).verdict) == (Verdict.KNOWN, Verdict.UPDATE)


def test_an_edit_that_changes_nothing_of_theirs_is_a_copy(world: World) -> None:
    """[K1]"""
    a, b = world.store("a"), world.store("b")
    write(b, n=1)
    meet(a, b)
    a.deciding("test").accept_edited(difference(a, b), {"n": 1})
    assert newest(a).root is not None
    meet(a, b)
    assert of(b, a).label == "echo"


def test_an_entity_that_was_deleted_there_can_be_kept(world: World) -> None:
    a, b = together(world, "a", "b", n=1)
    remove(b, "p")
    meet(a, b)
    assert of(a, b).verdict == Verdict.GONE
    a.deciding("test").accept_edited(difference(a, b), {"n": 1, "kept": True})
    meet(a, b)
    assert (of(a, b).verdict, of(b, a).verdict) == (Verdict.KNOWN, Verdict.UPDATE)


@pytest.mark.parametrize("moves", ["here", "there"])
def test_what_changed_while_it_was_edited_is_not_accepted(world: World, moves: str) -> None:
    a, b = together(world, "a", "b", n=1)
    edit(a, n=2)
    edit(b, n=3)
    meet(a, b)
    seen = difference(a, b)
    edit(a if moves == "here" else b, n=4)
    meet(a, b)
    before = a.store.position().seq
    with pytest.raises(CandidateMoved):
        a.deciding("test").accept_edited(seen, {"n": 23})
    assert a.store.position().seq == before


@pytest.mark.parametrize("verb", ["accept", "reject"])
def test_what_was_seen_is_what_is_decided(world: World, verb: str) -> None:
    """[K5] The digest names the record that somebody looked at."""
    a, b = together(world, "a", "b", n=1)
    edit(b, n=2)
    meet(a, b)
    seen = of(a, b)
    edit(b, n=3)
    meet(a, b)
    decide = getattr(a.deciding("test"), verb)
    with pytest.raises(CandidateMoved, match="is another record now"):
        decide([seen.id], digest=seen.digest)
    assert payload(a, "p") == {"n": 1}
    assert of(a, b).verdict == Verdict.UPDATE
    assert len(decide([seen.id], digest=of(a, b).digest[:12]).written) == 1


# --- whatever three stores do ----------------------------------------------------------------------------------------

FIELDS: Final = tuple(f"f{number}" for number in range(8))


class Event(NamedTuple):
    """One value that somebody wrote into one field; every value is written once."""

    field: str
    value: int


class Play:
    """Three stores that edit fields of one entity and merge; beside them what each version truly includes."""

    def __init__(self, world: World) -> None:
        self.stores = dict(zip("abc", together(world, "a", "b", "c", **dict.fromkeys(FIELDS, 0)), strict=True))
        self.before: dict[Event, frozenset[Event]] = {}  # what its author had when it was written
        self.includes: dict[str, frozenset[Event]] = {}  # by version
        self.merges = self.by_hand = 0
        self._next = 0
        for store in self.stores.values():
            self.includes[self.version(store)] = frozenset()

    def version(self, store: Sharing) -> str:
        head = store.store.head("plan", "p")
        assert head is not None
        return str(head.version)

    def write(self, store: Sharing, field: str) -> None:
        self._next += 1
        had = self.includes[self.version(store)]
        edit(store, **{field: self._next})
        self._wrote(store, had, [Event(field, self._next)])

    def _wrote(self, store: Sharing, had: frozenset[Event], events: list[Event]) -> None:
        self.before |= dict.fromkeys(events, had)
        self.includes[self.version(store)] = had | frozenset(events)

    def accept(self, store: Sharing) -> None:
        """accept --all --merge, one candidate after the other"""
        for item in [found for found in candidates(store, Filter()) if found.verdict != Verdict.UNREADABLE]:
            had = self.includes[self.version(store)] | self.includes[str(item.version)]
            conflict = store.inbox.diff(item.id).candidate.verdict == Verdict.CONFLICT
            try:
                store.deciding("test").accept([item.id], Resolution.MERGE)
            except ConflictUndecided:
                continue
            self.merges += conflict
            self.includes.setdefault(self.version(store), had)

    def decide(self, store: Sharing) -> bool:
        """A person puts a new value into every field that is undecided."""
        for item in candidates(store, Filter(verdict="conflict")):
            seen = store.inbox.diff(item.id)
            had = self.includes[self.version(store)] | self.includes[str(item.version)]
            merged = seen.merged
            assert merged is not None and isinstance(merged.value, dict)
            events = [Event(label(change.path), self._next + n) for n, change in enumerate(merged.undecided, 1)]
            self._next += len(events)
            value = {**merged.value, **{event.field: event.value for event in events}}
            store.deciding("test").accept_edited(seen, value)
            self._wrote(store, had, events)
            self.by_hand += 1
            return True
        return False

    def sync(self, store: Sharing) -> None:
        share(store)
        pull(store)
        self.accept(store)

    def nothing_was_lost(self, store: Sharing) -> None:
        """Every value that is not here any more was seen by who wrote the one that is."""
        includes, here = self.includes[self.version(store)], payload(store, "p")
        for event in includes:
            now = Event(event.field, here[event.field])
            assert now == event or event in self.before[now], (event, now)
        assert {Event(field, value) for field, value in here.items() if value} <= includes

    def come_to_rest(self, rng: random.Random) -> None:
        for _ in range(40):
            before = [store.store.position().seq for store in self.stores.values()]
            for store in rng.sample(list(self.stores.values()), 3):
                self.sync(store)
                self.nothing_was_lost(store)
            quiet = before == [store.store.position().seq for store in self.stores.values()]
            if quiet and not any(self.decide(store) for store in self.stores.values()):
                return
        raise AssertionError("forty rounds, and there is still something to merge")


def played(seed: int) -> Iterator[Play]:
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        world = World(Path(folder))
        try:
            play = Play(world)
            for _ in range(30):
                store = play.stores[rng.choice("abc")]
                step = rng.random()
                if step < 0.5:
                    play.write(store, rng.choice(FIELDS))
                elif step < 0.7:
                    share(store)
                elif step < 0.95:
                    play.sync(store)
                else:
                    play.decide(store)
                play.nothing_was_lost(store)
            play.come_to_rest(rng)
            yield play
        finally:
            world.close_all()


@pytest.mark.parametrize("seed", range(6))
def test_stores_that_merge_and_accept_everything_agree_and_nothing_is_lost(seed: int) -> None:
    """[K1] [K2] [K5] Whatever a field does not say any more, its writer had seen."""
    for play in played(seed):
        says = [payload(store, "p") for store in play.stores.values()]
        assert says[0] == says[1] == says[2]
        everything = frozenset(play.before)
        assert all(play.includes[play.version(store)] == everything for store in play.stores.values())


@pytest.mark.deep
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("part", range(4))
def test_stores_that_merge_and_accept_everything_agree_and_nothing_is_lost_deep(part: int) -> None:
    for seed in range(1_000 * (part + 1), 1_000 * (part + 1) + 100):
        test_stores_that_merge_and_accept_everything_agree_and_nothing_is_lost(seed)


def test_the_traces_merge_and_need_a_person_too() -> None:
    """What the machine never does, it never tests."""
    plays = [play for seed in range(1_000_000, 1_000_003) for play in played(seed)]
    assert sum(play.merges for play in plays) > 5
    assert sum(play.by_hand for play in plays) > 0


def test_a_merge_survives_a_rebuild(world: World) -> None:
    """[T1]"""
    a, b = together(world, "a", "b", n=1, m=1)
    edit(a, n=2)
    edit(b, m=2)
    meet(a, b)
    merge(a, b)
    before = answers(a)
    assert answers(rebuilt(a)) == before
    assert verdicts(a) == {"plan/p": "known"}
