"""Passing on feeds of others: byte for byte what they signed, only ever what is newer, and each origin by itself."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from eventsync.relaying import RelayRun, relay_after
from eventsync.sharing import Sharing
from federation.errors import DecisionNeeded, SourceUnavailable
from federation.model import HEAD_FILE, PushReport, Result
from federation.origins import HELD, block, forget, trust
from federation.puller import Remote, Settings
from federation.relaying import OriginRelay, Passed
from tests.doubles.memory import Link, MemoryPlace, MemoryTransport
from tests.integration.forger import Forger
from tests.integration.test_bridged_stores import Bridged
from tests.integration.test_new_identity import renewed
from tests.integration.world import (
    World,
    accept_all,
    by_origin,
    candidates,
    entities,
    feed_lines,
    folder_remote,
    head_of,
    only,
    place_remote,
    pull,
    put,
    rebuilt,
    share,
    tree,
    verdicts,
)

BLOB = "x" * 70_000


def relayed(store: Sharing, remote: Remote, *, confirmed: bool = False) -> RelayRun:
    """Relay to a place, as after a push that found it."""
    pushed = PushReport(remote.name, remote.url, "up_to_date", None, None)
    return relay_after(store, [remote], [pushed], confirmed=confirmed)


def told(run: RelayRun) -> dict[str, OriginRelay]:
    """What it came to, by origin."""
    (remote,) = run.remotes
    assert remote.error is None, remote
    return {found.origin: found for found in remote.origins}


def results(run: RelayRun) -> dict[str, Passed]:
    """The same, without the reasons."""
    return {origin: found.result for origin, found in told(run).items()}


class Chain:
    """Ada writes, Ben reads her on the bus and relays to a hub, where Cleo reads."""

    def __init__(self, world: World) -> None:
        self.world, self.hub = world, world.folder / "hub"
        self.hub.mkdir()
        self.ada, self.ben, self.cleo = world.store("ada"), world.store("ben"), world.store("cleo", bus=self.hub)
        self.origin = self.ada.store.origin
        self.to_hub = folder_remote(self.hub, self.ben, pushed_before=True)

    def pass_on(self) -> RelayRun:
        """Ada shares what she has, Ben takes it and relays it."""
        share(self.ada)
        pull(self.ben)
        return relayed(self.ben, self.to_hub)

    @property
    def on_bus(self) -> Path:
        return self.world.bus / self.origin

    @property
    def on_hub(self) -> Path:
        return self.hub / self.origin


@pytest.fixture
def chain(world: World) -> Chain:
    return Chain(world)


# --- from hub to hub -------------------------------------------------------------------------------------------------


def test_a_feed_comes_through_a_relay_as_its_author_signed_it(chain: Chain) -> None:
    """[F10] [K5] And what becomes of it comes back to her, the same way."""
    put(chain.ada, "p1", "p2")
    assert results(chain.pass_on()) == {chain.origin: Passed.RELAYED}
    assert tree(chain.on_hub) == tree(chain.on_bus)
    assert only(pull(chain.cleo)).result is Result.NEW
    assert {item.origin for item in candidates(chain.cleo)} == {chain.origin}
    accept_all(chain.cleo)
    share(chain.cleo)
    pull(chain.ben, [chain.to_hub])
    back = folder_remote(chain.world.bus, chain.ben, pushed_before=True)
    assert results(relayed(chain.ben, back)) == {
        chain.origin: Passed.UP_TO_DATE,
        chain.cleo.store.origin: Passed.RELAYED,
    }
    pull(chain.ada)
    (status,) = [found for found in chain.ada.status().origins if found.name == "cleo"]
    assert (status.they_have_seq, status.they_accepted, status.they_rejected) == (2, 2, 0)


def test_a_mirror_with_another_cut_gives_the_slices_that_the_head_lists(chain: Chain) -> None:
    """[F3] [F10] decision 0010: the mirror has a slice of each pull, the feed merged them all."""
    for number in range(40):
        put(chain.ada, f"p{number}", private=number % 5 == 4)
        share(chain.ada)
        pull(chain.ben)
    mirror = chain.ben.holdings.mirror.path(chain.origin)
    listed = {entry["name"] + ".zst" for entry in head_of(mirror)["slices"]}
    assert not listed <= set(tree(mirror))
    assert results(relayed(chain.ben, chain.to_hub)) == {chain.origin: Passed.RELAYED}
    assert listed <= set(tree(chain.on_hub))
    assert feed_lines(chain.on_hub) == feed_lines(chain.on_bus)
    pull(chain.cleo)
    assert verdicts(chain.cleo) == verdicts(chain.ben)


def test_what_grows_is_passed_on_with_what_is_new_alone(chain: Chain) -> None:
    """[F10] Sending costs what is new; slices that left the head go one relay later, as with a push [F3]."""
    place = MemoryPlace()
    hub = place_remote(lambda: MemoryTransport(place, is_local=True), pushed_before=True)
    for number in range(20):
        put(chain.ada, f"p{number}")
        share(chain.ada)
        pull(chain.ben)
        place.written.clear()
        assert results(relayed(chain.ben, hub)) == {chain.origin: Passed.RELAYED}
        assert [path.partition("/")[2].partition("-")[0] for path in place.written] == ["seg", HEAD_FILE]
    place.written.clear()
    assert results(relayed(chain.ben, hub)) == {chain.origin: Passed.UP_TO_DATE}
    assert place.written == []
    assert len(place.files) == 1 + len(head_of(chain.on_bus)["slices"])  # those that were merged went later


def test_payloads_beside_the_feed_go_along(chain: Chain) -> None:
    """[J13]"""
    put(chain.ada, "p1", text=BLOB)
    chain.pass_on()
    put(chain.ada, "p2", text=BLOB + "y")
    chain.pass_on()
    assert tree(chain.on_hub) == tree(chain.on_bus)
    pull(chain.cleo)
    assert sorted(item.payload["text"] for item in candidates(chain.cleo)) == [BLOB, BLOB + "y"]


def test_a_feed_that_lacks_a_payload_is_not_passed_on_unless_the_place_has_it(chain: Chain) -> None:
    """[J13] [F10]: incomplete, and the others go on."""
    other = chain.world.store("other")
    put(other, "o1")
    share(other)
    put(chain.ada, "p1", text=BLOB)
    share(chain.ada)
    (blob,) = [path for path in chain.on_bus.rglob("*.zst") if path.parent.parent.name == "blobs"]
    data = blob.read_bytes()
    blob.unlink()
    pull(chain.ben)
    run = relayed(chain.ben, chain.to_hub)
    assert results(run) == {chain.origin: Passed.INCOMPLETE, other.store.origin: Passed.RELAYED}
    assert run.exit_code == 3
    assert not chain.on_hub.exists()
    there = chain.on_hub / blob.relative_to(chain.on_bus)
    there.parent.mkdir(parents=True)
    there.write_bytes(b"another")
    assert results(relayed(chain.ben, chain.to_hub))[chain.origin] is Passed.INCOMPLETE
    there.write_bytes(data)
    assert results(relayed(chain.ben, chain.to_hub))[chain.origin] is Passed.RELAYED
    assert there.read_bytes() == data
    pull(chain.cleo)
    assert candidates(chain.cleo)[0].payload == {"title": "p1", "text": BLOB}


def test_an_owner_who_reaches_the_hub_goes_on_from_what_was_relayed(chain: Chain) -> None:
    """[R3] A relay is no other copy."""
    put(chain.ada, "p1")
    chain.pass_on()
    put(chain.ada, "p2")
    chain.ada.publish()
    there = folder_remote(chain.hub, chain.ada)
    assert [found.result for found in chain.ada.push([there]).remotes] == ["pushed"]
    assert results(relayed(chain.ben, chain.to_hub)) == {chain.origin: Passed.NEWER_THERE}
    assert results(chain.pass_on()) == {chain.origin: Passed.UP_TO_DATE}


# --- only ever raised ------------------------------------------------------------------------------------------------


def test_a_relay_that_is_behind_changes_nothing(chain: Chain) -> None:
    """[F10]"""
    put(chain.ada, "p1")
    chain.pass_on()
    put(chain.ada, "p2")
    share(chain.ada)
    shutil.rmtree(chain.on_hub)
    shutil.copytree(chain.on_bus, chain.on_hub)
    before = tree(chain.hub)
    assert results(relayed(chain.ben, chain.to_hub)) == {chain.origin: Passed.NEWER_THERE}
    assert tree(chain.hub) == before


def test_a_head_that_only_says_more_is_passed_on_too(chain: Chain) -> None:
    """[F10] Of two heads at one seq the higher gen: `saw` travels."""
    put(chain.ada, "p1")
    put(chain.cleo, "c1")
    chain.pass_on()
    before = head_of(chain.on_hub)
    folder_remote(chain.hub, chain.ada)
    share(chain.cleo)
    pull(chain.ada, [folder_remote(chain.hub, chain.ada)])
    assert results(chain.pass_on())[chain.origin] is Passed.RELAYED
    after = head_of(chain.on_hub)
    assert (after["last_seq"], after["gen"]) == (before["last_seq"], before["gen"] + 1)
    assert list(after["saw"]) == [chain.cleo.store.origin]


BAD_HEADS = {
    "nothing": lambda forger, honest: b"",
    "no head": lambda forger, honest: b"{}",
    "half of it": lambda forger, honest: honest[:-40],
    "another signature": lambda forger, honest: honest.replace(b'"name":"ada"', b'"name":"eve"'),
    "of another origin": lambda forger, honest: forger.feed().files[HEAD_FILE],
    "more than anybody reads": lambda forger, honest: honest + b" " * 9_000_000,
}


@pytest.mark.parametrize("bad", BAD_HEADS)
def test_what_nobody_would_believe_is_not_overwritten(chain: Chain, bad: str) -> None:
    """[F10] It is refused, with the reason, and others go on."""
    other, forger = chain.world.store("other"), Forger()
    put(other, "o1")
    share(other)
    forger.record()
    put(chain.ada, "p1")
    share(chain.ada)
    pull(chain.ben)
    chain.on_hub.mkdir()
    honest = (chain.on_bus / HEAD_FILE).read_bytes()
    (chain.on_hub / HEAD_FILE).write_bytes(BAD_HEADS[bad](forger, honest))  # type: ignore[no-untyped-call]
    before = tree(chain.on_hub)
    run = relayed(chain.ben, chain.to_hub)
    assert results(run) == {chain.origin: Passed.REFUSED, other.store.origin: Passed.RELAYED}
    assert run.exit_code == 3
    assert f"{chain.origin}/{HEAD_FILE}" in (told(run)[chain.origin].reason or "")
    assert tree(chain.on_hub) == before


def test_a_link_in_the_place_of_a_head_is_followed_by_nobody(chain: Chain) -> None:
    place = MemoryPlace()
    hub = place_remote(lambda: MemoryTransport(place, is_local=True), pushed_before=True)
    put(chain.ada, "p1")
    share(chain.ada)
    pull(chain.ben)
    place.files[f"{chain.origin}/{HEAD_FILE}"] = Link("../elsewhere")
    assert results(relayed(chain.ben, hub)) == {chain.origin: Passed.RELAYED}
    assert isinstance(place.files[f"{chain.origin}/{HEAD_FILE}"], bytes)


def forked(forger: Forger, length: int, **fields: int) -> Forger:
    """The same key, another history."""
    other = Forger(forger.key[0])
    for number in range(length):
        other.record(f"other{number}")
    return other


@pytest.mark.parametrize("length", [1, 3, 5])
def test_what_contradicts_what_we_hold_is_left_and_told(world: World, length: int) -> None:
    """[F5] [F10] Another history is never written over; of a longer one the head alone does not tell, readers will."""
    ben, forger, hub = world.store("ben"), Forger(), world.folder / "hub"
    for number in range(3):
        forger.record(f"p{number}")
    forger.feed(gen=2).put_into(world.bus)
    pull(ben)
    forked(forger, length).feed(gen=1 if length < 4 else 3).put_into(hub)
    before = tree(hub)
    found = results(relayed(ben, folder_remote(hub, ben, pushed_before=True)))
    assert found == {forger.origin: Passed.REFUSED if length < 4 else Passed.NEWER_THERE}
    assert tree(hub) == before
    assert ben.holdings.mirror.fork_evidence(forger.origin) == []  # a relay freezes nobody


@pytest.mark.parametrize(("seqs", "gens"), [((3, 4), (5, 4)), ((4, 3), (4, 5))])
def test_a_head_that_is_newer_and_older_at_once_is_refused(
    world: World, seqs: tuple[int, int], gens: tuple[int, int]
) -> None:
    """[F10] (seq, gen) are raised both, or not at all: no honest store publishes such two."""
    ben, forger, hub = world.store("ben"), Forger(), world.folder / "hub"
    states = []
    for number in range(4):
        forger.record(f"p{number}")
        states.append(forger.copy())
    here, there = (states[seq - 1].feed(gen=gen) for seq, gen in zip(seqs, gens, strict=True))
    here.put_into(world.bus)
    pull(ben)
    there.put_into(hub)
    before = tree(hub)
    assert results(relayed(ben, folder_remote(hub, ben, pushed_before=True))) == {forger.origin: Passed.REFUSED}
    assert tree(hub) == before


# --- what stays here -------------------------------------------------------------------------------------------------


def test_what_is_frozen_damaged_bridged_or_our_own_is_not_passed_on(chain: Chain) -> None:
    """[F5] [F6] [F10] [I2]: the rest is."""
    ben, world = chain.ben, chain.world
    put(ben, "b1")
    share(ben)
    twin = world.copied(ben, "twin")  # goes on under what is a former origin of ben's soon
    ben, _ = renewed(world, world.reopened(ben))
    put(twin, "t1")
    share(twin)
    damaged, forger, bridged = world.store("damaged"), Forger(), Bridged(world.folder)
    put(damaged, "d1")
    share(damaged)
    forger.record("f1")
    forger.feed().put_into(world.bus)
    bridged.record(1, "x")
    put(chain.ada, "p1")
    share(chain.ada)
    pull(ben)
    ben.pull([*ben.remotes(str(bridged.folder))], Settings())
    forked(forger, 1).feed().put_into(world.bus)
    pull(ben)
    for path in ben.holdings.mirror.path(damaged.store.origin).glob("seg-*"):
        path.write_bytes(b"")
    assert {bridged.origin, twin.store.origin} <= set(ben.holdings.mirror.origins())
    ben = world.reopened(ben)
    run = relayed(ben, folder_remote(chain.hub, ben, pushed_before=True))
    assert results(run) == {
        chain.origin: Passed.RELAYED,
        damaged.store.origin: Passed.DAMAGED,
        forger.origin: Passed.HELD_BACK,
    }
    assert run.exit_code == 3
    assert sorted(path.name for path in chain.hub.iterdir()) == [chain.origin]


def test_what_a_person_blocked_or_forgot_is_not_passed_on_until_it_is_trusted_again(chain: Chain) -> None:
    """[F10]: records of the journal decide, so it holds after a rebuild too."""
    other = chain.world.store("other")
    put(other, "o1")
    share(other)
    put(chain.ada, "p1")
    share(chain.ada)
    pull(chain.ben)
    block(chain.ben.holdings, chain.origin, reason="spam", agent="test")
    forget(chain.ben.holdings, other.store.origin, agent="test")
    assert results(relayed(rebuilt(chain.ben), chain.to_hub)) == {}
    assert sorted(path.name for path in chain.hub.iterdir()) == []
    trust(chain.ben.holdings, chain.origin, None, agent="test")
    pull(chain.ben)
    assert set(results(relayed(chain.ben, chain.to_hub)).values()) == {Passed.RELAYED}


def test_the_history_that_a_person_chose_is_passed_on_and_the_other_one_stays_where_it_is(world: World) -> None:
    """[F5] [F10] Elsewhere others decide for themselves."""
    ben, forger, hub = world.store("ben"), Forger(), world.folder / "hub"
    forger.record("p1")
    forger.feed().put_into(world.bus)
    pull(ben)
    forked(forger, 1).feed(gen=2).put_into(world.bus)
    pull(ben)
    there = folder_remote(hub, ben)
    assert results(relayed(ben, there)) == {forger.origin: Passed.HELD_BACK}
    trust(ben.holdings, forger.origin, HELD, agent="test")
    assert results(relayed(ben, there)) == {forger.origin: Passed.RELAYED}
    assert results(relayed(ben, folder_remote(world.bus, ben))) == {forger.origin: Passed.REFUSED}


# --- a place that breaks down ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", range(8))
def test_a_relay_that_breaks_down_shows_whole_feeds_and_is_made_good(chain: Chain, after: int) -> None:
    """[F4] [F6] Wherever it is cut: readers get what was there before, or what is new, whole."""
    place = MemoryPlace()
    whole = place_remote(lambda: MemoryTransport(place, is_local=True), pushed_before=True)
    broken = place_remote(
        lambda: MemoryTransport(place, is_local=True, fails_after=after), pushed_before=True, name="broken"
    )
    put(chain.ada, "p1")
    share(chain.ada)
    pull(chain.ben)
    relayed(chain.ben, whole)
    other = chain.world.store("other")
    put(other, "o1", text=BLOB)
    share(other)
    put(chain.ada, "p2", text=BLOB)
    share(chain.ada)
    pull(chain.ben)
    found = results(relayed(chain.ben, broken))
    assert set(found.values()) <= {Passed.RELAYED, Passed.UNAVAILABLE}
    run = pull(chain.cleo, [whole])
    assert {item.result for item in by_origin(run).values()} <= {Result.NEW}, run
    assert set(results(relayed(chain.ben, whole)).values()) <= {Passed.RELAYED, Passed.UP_TO_DATE}
    run = pull(chain.cleo, [whole])
    assert {item.result for item in by_origin(run).values()} <= {Result.NEW, Result.UPDATED, Result.UP_TO_DATE}, run
    accept_all(chain.cleo)
    assert set(entities(chain.cleo)) == {"plan/p1", "plan/p2", "plan/o1"}


class WithoutOne(MemoryTransport):
    """A hub that drops what is sent of one origin, or cannot be asked for it."""

    def __init__(self, place: MemoryPlace, origin: str, *, says_so: bool) -> None:
        super().__init__(place, is_local=True)
        self._dropped, self._says_so = origin, says_so

    def publish(self, origin: str, folder: Path, names: Sequence[str], keep: frozenset[str]) -> None:
        if origin != self._dropped:
            super().publish(origin, folder, names, keep)
        elif self._says_so:
            raise SourceUnavailable("will not have it", path="hub")


@pytest.mark.parametrize("says_so", [True, False])
def test_a_hub_that_drops_one_origin_harms_no_other(chain: Chain, says_so: bool) -> None:
    """[F6] [F10]"""
    other = chain.world.store("other")
    put(other, "o1")
    share(other)
    put(chain.ada, "p1")
    share(chain.ada)
    pull(chain.ben)
    place = MemoryPlace()
    for dropped, kept in ((chain.origin, other.store.origin), (other.store.origin, chain.origin)):
        place.files.clear()

        def dropping(dropped: str = dropped) -> WithoutOne:
            return WithoutOne(place, dropped, says_so=says_so)

        run = relayed(chain.ben, place_remote(dropping, pushed_before=True))
        assert results(run) == {kept: Passed.RELAYED, dropped: Passed.UNAVAILABLE if says_so else Passed.RELAYED}
        assert {path.partition("/")[0] for path in place.files} == {kept}


# --- asking ----------------------------------------------------------------------------------------------------------


def test_the_first_relay_to_a_place_that_is_not_local_needs_a_person(chain: Chain) -> None:
    """[F10] As the first push does [F1]; where nothing would be sent nobody is asked."""
    place = MemoryPlace()
    remote = place_remote(lambda: MemoryTransport(place), pushed_before=True)
    assert relayed(chain.ben, remote).exit_code == 0
    put(chain.ada, "p1")
    share(chain.ada)
    pull(chain.ben)
    run = relayed(chain.ben, remote)
    assert isinstance(run.remotes[0].error, DecisionNeeded)
    assert (run.exit_code, place.files) == (22, {})
    assert results(relayed(chain.ben, remote, confirmed=True)) == {chain.origin: Passed.RELAYED}
    put(chain.ada, "p2")
    share(chain.ada)
    pull(chain.ben)
    assert results(relayed(chain.ben, remote._replace(relayed_before=True))) == {chain.origin: Passed.RELAYED}


def test_a_word_that_was_given_once_is_remembered(chain: Chain) -> None:
    """The run log tells; a place that got nothing new since is still one that a person named."""
    ben = chain.ben
    config = ben.store.folder / "config.toml"
    config.write_text(config.read_text() + f'\n[remotes.hub]\nurl = "{chain.hub}"\nrelay = true\n')
    ben = chain.world.reopened(ben)
    assert [remote.relayed_before for remote in ben.remotes("hub")] == [False]
    put(chain.ada, "p1")
    share(chain.ada)
    for _ in range(3):
        run = ben.sync()
        assert run.exit_code == 0
        assert [remote.name for remote in run.relay.remotes] == ["hub"]
        assert [remote.relayed_before for remote in ben.remotes("hub")] == [True]
    assert chain.on_hub.exists()  # in the sync that pulled it
    runs = [json.loads(line) for line in (ben.store.folder / "federation" / "runs.jsonl").read_text().splitlines()]
    assert [run["origins"] for run in runs if run["verb"] == "relay"] == [[chain.origin]] * 3
