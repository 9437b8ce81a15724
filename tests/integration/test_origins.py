"""What people decide about whole origins: a fork settled either way, a block, a mirror put aside; and that it lasts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from eventsync import exits, origins
from eventsync.errors import InvalidArgument, UnknownOrigin
from eventsync.sharing import Sharing
from federation.errors import ForkUndecided, NoSuchHead
from federation.inbox import Filter
from federation.model import HEAD_FILE, Result
from federation.origins import HELD, Decision, block, forget, trust
from federation.transports import Wanted
from federation.transports.directory import DirectoryTransport
from tests.integration.forger import Forged, Forger
from tests.integration.world import (
    World,
    accept,
    accept_all,
    answers,
    by_origin,
    candidates,
    entities,
    only,
    place_remote,
    pull,
    put,
    rebuilt,
    reject,
    share,
    tree,
    verdicts,
)


@pytest.fixture
def reader(world: World) -> Sharing:
    """A store that pulled from the empty bus once."""
    store = world.store("reader")
    pull(store)
    return store


class Forked:
    """An origin that signed two histories, which part behind p2: the reader holds p3, the other one has q3."""

    def __init__(self, world: World, reader: Sharing) -> None:
        self.bus = world.bus
        self.reader = reader
        self.held = Forger()
        for name in ("p1", "p2"):
            self.held.record(name)
        self.other = self.held.copy()
        self.held.record("p3")
        self.other.record("q3")
        self.held.feed(cuts=[2]).put_into(self.bus)
        assert only(pull(reader)).result is Result.NEW
        self.show_other(gen=2)
        assert only(pull(reader)).result is Result.FORK

    @property
    def origin(self) -> str:
        return self.held.origin

    @property
    def evidence(self) -> list[str]:
        return self.reader.holdings.mirror.fork_evidence(self.origin)

    def show_other(self, **settings: Any) -> Forged:
        found = self.other.feed(cuts=[2], **settings)
        found.put_into(self.bus)
        return found

    def trust(self, chosen: str | None = None) -> Decision:
        return trust(self.reader.holdings, self.origin, chosen, agent="test")


@pytest.fixture
def forked(world: World, reader: Sharing) -> Forked:
    return Forked(world, reader)


def digits(name: str) -> str:
    return name.removeprefix("head-").removesuffix(".json")


def assert_lasting(store: Sharing) -> None:
    """Caches made anew say the same [T1], and nothing is found to be wrong."""
    before = answers(store)
    states = [(status.origin, status.state) for status in store.status().origins]
    assert answers(rebuilt(store)) == before
    store.holdings.trust.refresh()
    assert [(status.origin, status.state) for status in store.status().origins] == states
    assert [finding for finding in store.store.verify().findings if finding.severity == "error"] == []


# --- a fork: keep what is held ---------------------------------------------------------------------------------------


def test_a_fork_waits_for_a_choice_and_nothing_is_written_without_one(forked: Forked) -> None:
    """[F5]"""
    before = forked.reader.store.position()
    with pytest.raises(ForkUndecided):
        forked.trust()
    for wrong in ("", "zz", "head"):
        with pytest.raises(NoSuchHead):
            forked.trust(wrong)
    assert forked.reader.store.position() == before
    assert only(pull(forked.reader)).result is Result.FORK


def test_keeping_what_is_held_refuses_the_other_for_good_and_takes_what_is_honest(forked: Forked) -> None:
    """[F5] [T1] The same bad feed three times is refused three times; then honest data is taken."""
    shown = candidates(forked.reader)
    (record,) = forked.trust(HELD).written
    assert (record.action, record.item_type, record.item_id) == ("origin_trust", "journal", None)
    assert forked.reader.status().origins[0].state == "ok"
    assert_lasting(forked.reader)
    for _ in range(3):
        run = pull(forked.reader)
        assert (only(run).result, run.exit_code) == (Result.REFUSED, exits.FOREIGN_REFUSED)
        assert "decided against" in str(only(run).refusal)
        assert candidates(forked.reader) == shown
    assert [entry.times for entry in forked.reader.holdings.quarantine.entries()] == [4]
    forked.held.record("p4")
    forked.held.feed(gen=3, cuts=[2]).put_into(forked.bus)
    assert only(pull(forked.reader)).result is Result.UPDATED
    assert set(verdicts(forked.reader)) == {"plan/p1", "plan/p2", "plan/p3", "plan/p4"}
    assert len(forked.evidence) == 1  # what was signed stays signed
    assert_lasting(forked.reader)


def test_another_contradiction_is_another_fork_and_a_person_may_change_their_mind(forked: Forked) -> None:
    """[F5]"""
    forked.trust(HELD)
    (first,) = forked.evidence
    forked.other.record("q4")
    forked.show_other(gen=3)
    assert only(pull(forked.reader)).result is Result.FORK
    assert forked.reader.holdings.trust.unsettled(forked.origin) == [name for name in forked.evidence if name != first]
    forked.trust(digits(first))
    assert only(pull(forked.reader)).result is Result.NEW
    assert set(verdicts(forked.reader)) == {"plan/p1", "plan/p2", "plan/q3", "plan/q4"}


def test_nothing_is_written_where_there_is_nothing_to_decide(forked: Forked) -> None:
    forked.trust(HELD)
    before = forked.reader.store.position()
    assert forked.trust(HELD) == Decision()
    assert forked.trust() == Decision()
    assert forked.reader.store.position() == before


# --- a fork: take the other ------------------------------------------------------------------------------------------


def test_taking_the_other_puts_the_mirror_aside_whole_and_brings_only_what_comes_by_that_head(forked: Forked) -> None:
    """[F5] [T1] Never deleted; decisions stay."""
    reader = forked.reader
    accept(reader, "plan/p1")
    reject(reader, "plan/p2")
    mirror = reader.holdings.mirror.path(forked.origin)
    before = tree(mirror)
    decision = forked.trust(digits(forked.evidence[0])[:4])
    assert decision.parked is not None
    parked = tree(decision.parked, without=["parking.json"])
    assert parked == before
    assert not mirror.exists()
    assert candidates(reader) == []
    assert_lasting(reader)

    forked.held.record("p4")
    forked.held.feed(gen=9, cuts=[2]).put_into(forked.bus)  # goes further than the chosen head, and elsewhere
    for _ in range(3):
        run = pull(reader)
        assert (only(run).result, run.exit_code) == (Result.REFUSED, exits.FOREIGN_REFUSED)
        assert "not the history that you chose" in str(only(run).refusal)
        assert candidates(reader) == []
    assert not mirror.exists()

    short = forked.other.copy()
    del short.lines[2:]
    short.feed(gen=1).put_into(forked.bus)
    run = pull(reader)
    assert (only(run).result, run.exit_code) == (Result.STALE, exits.DONE)
    assert not mirror.exists()

    forked.other.record("q4")
    forked.show_other(gen=3)
    assert only(pull(reader)).result is Result.NEW
    assert verdicts(reader) == {"plan/p1": "known", "plan/p2": "known", "plan/q3": "new", "plan/q4": "new"}
    assert_lasting(reader)


@pytest.mark.parametrize("cuts", [[], [1], [2], [3], [1, 2, 3, 4]])
def test_the_chosen_head_is_found_however_its_lines_are_cut_since(forked: Forked, cuts: Sequence[int]) -> None:
    """[F3] [F5]"""
    forked.trust(digits(forked.evidence[0]))
    for name in ("q4", "q5"):
        forked.other.record(name)
    forked.other.feed(gen=4, cuts=cuts).put_into(forked.bus)
    assert only(pull(forked.reader)).result is Result.NEW


def test_a_feed_that_begins_behind_the_chosen_head_is_not_that_history(forked: Forked) -> None:
    """[F5] Whoever holds the key may sign a start; it must not get around what was chosen."""
    forked.trust(digits(forked.evidence[0]))
    label = [{"origin": "es1" + "a" * 32, "last_seq": 3, "c": "0" * 64, "t": "0" * 64}]
    liar = Forger(7, start=(3, b"\1" * 32), previous=label)
    assert liar.origin == forked.origin
    liar.record("evil")
    liar.feed(gen=9).put_into(forked.bus)
    run = pull(forked.reader)
    assert (only(run).result, run.exit_code) == (Result.REFUSED, exits.FOREIGN_REFUSED)
    assert candidates(forked.reader) == []


# --- blocking --------------------------------------------------------------------------------------------------------


@pytest.fixture
def authors(world: World, reader: Sharing) -> list[Sharing]:
    """Two stores that the reader pulled from."""
    found = [world.store("bad"), world.store("good")]
    for author in found:
        put(author, *(f"{author.store.name}{number}" for number in range(3)))
        share(author)
    pull(reader)
    return found


def test_a_blocked_origin_is_out_of_sight_and_passed_over_and_comes_back_as_it_was(
    world: World, reader: Sharing, authors: list[Sharing]
) -> None:
    """[F6] [T1]"""
    bad, good = authors
    accept(reader, "plan/bad0")
    reject(reader, "plan/bad1")
    before = answers(reader)
    (record,) = block(reader.holdings, bad.store.origin, reason="its key is lost", agent="test").written
    assert record.action == "origin_block"
    assert block(reader.holdings, bad.store.origin, reason=None, agent="test") == Decision()
    assert {item.origin for item in candidates(reader)} == {good.store.origin}
    assert_lasting(reader)

    for author in authors:
        put(author, "news")
        share(author)
    run = pull(reader)
    found = by_origin(run)
    assert (found[bad.store.origin].result, found[bad.store.origin].last_seq) == (Result.BLOCKED, 3)
    assert found[good.store.origin].result is Result.UPDATED
    assert run.exit_code == exits.DONE
    assert {item.origin for item in candidates(reader)} == {good.store.origin}
    assert bad.store.origin not in reader.publish().left_out
    status = {status.origin: status for status in reader.status().origins}[bad.store.origin]
    assert (status.state, status.pending) == ("blocked", 0)
    assert entities(reader).keys() == {"plan/bad0"}  # what was accepted stays

    trust(reader.holdings, bad.store.origin, None, agent="test")
    after = answers(reader)
    origin = bad.store.origin
    assert [item for item in after["candidates"] if item["origin"] == origin] == [
        item for item in before["candidates"] if item["origin"] == origin
    ]
    assert after["counts"][origin] == before["counts"][origin]
    assert_lasting(reader)
    assert by_origin(pull(reader))[origin].result is Result.UPDATED


def test_nothing_decides_about_what_is_blocked(reader: Sharing, authors: list[Sharing]) -> None:
    block(reader.holdings, authors[0].store.origin, reason=None, agent="test")
    assert {written.item_id for written in accept_all(reader).written} == {"good0", "good1", "good2"}
    assert list(reader.inbox.candidates(Filter(origin=authors[0].store.origin, settled_too=True))) == []


def test_a_head_no_longer_tells_how_far_a_blocked_origin_was_read(reader: Sharing, authors: list[Sharing]) -> None:
    """[F2]"""
    bad, good = authors
    reader.publish()
    head = reader.holdings.own.head()
    assert head is not None and set(head.saw) == {bad.store.origin, good.store.origin}
    block(reader.holdings, bad.store.origin, reason=None, agent="test")
    reader.publish()
    head = reader.holdings.own.head()
    assert head is not None and set(head.saw) == {good.store.origin}


def test_an_origin_can_be_blocked_before_it_is_met(world: World, reader: Sharing) -> None:
    author = world.store("author")
    put(author, "p1")
    share(author)
    block(reader.holdings, author.store.origin, reason=None, agent="test")
    assert only(pull(reader)).result is Result.BLOCKED
    assert not reader.holdings.mirror.path(author.store.origin).exists()
    trust(reader.holdings, author.store.origin, None, agent="test")
    assert only(pull(reader)).result is Result.NEW


def test_a_brake_outlasts_a_block(world: World, reader: Sharing, authors: list[Sharing]) -> None:
    """[K5] That nothing is shown is no look at it."""
    bad = authors[0]
    put(bad, *(f"many{number}" for number in range(1_001)))
    share(bad)
    assert pull(reader).exit_code == exits.DECISION
    held = reader.holdings.counts(bad.store.origin)
    block(reader.holdings, bad.store.origin, reason=None, agent="test")
    pull(reader)
    trust(reader.holdings, bad.store.origin, None, agent="test")
    assert reader.holdings.counts(bad.store.origin) == held
    assert held.held >= 1_001


def test_claims_about_a_blocked_origin_are_checked_as_before(world: World, reader: Sharing) -> None:
    """[K4] A block changes what is shown, not what is known."""
    author, copier = world.store("author"), world.store("copier")
    put(author, "p1", "p2")
    share(author)
    pull(copier)
    accept_all(copier)
    share(copier)
    pull(reader)
    reject(reader, *(item.id for item in candidates(reader) if item.origin == author.store.origin))
    before = {item.item_id: item.verdict for item in candidates(reader) if item.origin == copier.store.origin}
    block(reader.holdings, author.store.origin, reason=None, agent="test")
    assert {item.item_id: item.verdict for item in candidates(reader)} == before
    assert_lasting(reader)


# --- forgetting ------------------------------------------------------------------------------------------------------


def test_what_was_held_of_a_forgotten_origin_stands_aside_and_a_pull_begins_anew(
    world: World, reader: Sharing, authors: list[Sharing]
) -> None:
    """[T1] [F10]"""
    bad, good = authors
    accept(reader, "plan/bad0")
    mirror = reader.holdings.mirror.path(bad.store.origin)
    before = tree(mirror)
    decision = forget(reader.holdings, bad.store.origin, agent="test")
    assert decision.parked is not None and tree(decision.parked, without=["parking.json"]) == before
    assert {item.origin for item in candidates(reader)} == {good.store.origin}
    assert entities(reader).keys() == {"plan/bad0"}
    assert_lasting(reader)
    assert forget(reader.holdings, bad.store.origin, agent="test") == Decision()
    assert by_origin(pull(reader))[bad.store.origin].result is Result.NEW
    assert {item.item_id: str(item.verdict) for item in candidates(reader) if item.origin == bad.store.origin} == {
        "bad0": "known",
        "bad1": "new",
        "bad2": "new",
    }
    second = forget(reader.holdings, bad.store.origin, agent="test")
    assert reader.holdings.mirror.parked(bad.store.origin) == [decision.parked, second.parked]


def test_who_is_blocked_and_forgotten_stays_blocked(reader: Sharing, authors: list[Sharing]) -> None:
    bad = authors[0]
    block(reader.holdings, bad.store.origin, reason=None, agent="test")
    forget(reader.holdings, bad.store.origin, agent="test")
    assert by_origin(pull(reader))[bad.store.origin].result is Result.BLOCKED
    assert_lasting(reader)


def test_a_fork_ends_with_the_origin_that_is_forgotten(forked: Forked) -> None:
    """[F5] What begins anew has no pin: whichever history stands there is taken."""
    decision = forget(forked.reader.holdings, forked.origin, agent="test")
    assert decision.parked is not None and list((decision.parked / "fork").iterdir())
    assert forked.reader.holdings.quarantine.entries() == []
    assert only(pull(forked.reader)).result is Result.NEW
    assert "plan/q3" in verdicts(forked.reader)


def test_a_damaged_mirror_can_be_put_aside_and_is_fetched_again(reader: Sharing, authors: list[Sharing]) -> None:
    """[T1] The way out when a disk turned bytes of what was held."""
    bad = authors[0]
    shown = candidates(reader)
    (head,) = reader.holdings.mirror.path(bad.store.origin).glob(HEAD_FILE)
    head.write_bytes(b"\0" * 10)
    reader.holdings.mirror.feed(bad.store.origin).forget_cached()
    assert by_origin(pull(reader))[bad.store.origin].result is Result.INCOMPLETE
    forget(reader.holdings, bad.store.origin, agent="test")
    assert by_origin(pull(reader))[bad.store.origin].result is Result.NEW
    assert candidates(reader) == shown


# --- two at once -----------------------------------------------------------------------------------------------------


class Between(DirectoryTransport):
    """A place at which something happens when the first slice is asked for."""

    def __init__(self, path: Path, store: Sharing, what: Callable[[], object]) -> None:
        super().__init__(path, store.store.disk)
        self._what: list[Callable[[], object]] = [what]

    def fetch(self, origin: str, wanted: Sequence[Wanted], into: Path) -> tuple[str, ...]:
        if wanted and wanted[0].name != HEAD_FILE and self._what:
            self._what.pop()()
        return super().fetch(origin, wanted, into)


def test_what_is_decided_while_a_pull_fetches_is_heeded_by_it(world: World, reader: Sharing) -> None:
    """[F5] [J9] A pull holds no lock while it waits for others; what it fetched may be unwanted when it comes back."""
    author = world.store("author")
    put(author, "p1")
    share(author)
    other = world.again(reader)

    def decide() -> None:
        block(other.holdings, author.store.origin, reason=None, agent="test")

    place = Between(world.bus, reader, decide)
    assert only(pull(reader, [place_remote(lambda: place)])).result is Result.BLOCKED
    assert not reader.holdings.mirror.path(author.store.origin).exists()


def test_a_pull_that_was_overtaken_by_a_choice_does_not_bring_the_other_history_back(
    world: World, forked: Forked
) -> None:
    """[F5]"""
    other = world.again(forked.reader)
    other.store.machine.writer = "w_2-00ff00ff"
    forget(forked.reader.holdings, forked.origin, agent="test")  # no pin: whatever stands there would be taken
    forked.held.feed(gen=5, cuts=[2]).put_into(forked.bus)

    def decide() -> None:
        """Somebody else pulls the same, meets the fork, and chooses the history that does not stand there now."""
        assert only(pull(other)).result is Result.NEW
        forked.show_other(gen=6)
        assert only(pull(other)).result is Result.FORK
        (name,) = other.holdings.mirror.fork_evidence(forked.origin)
        trust(other.holdings, forked.origin, digits(name), agent="test")
        forked.held.feed(gen=5, cuts=[2]).put_into(forked.bus)

    place = Between(world.bus, forked.reader, decide)
    found = only(pull(forked.reader, [place_remote(lambda: place)]))
    assert found.result in (Result.STALE, Result.REFUSED)
    assert not forked.reader.holdings.mirror.path(forked.origin).exists()


# --- who is meant ----------------------------------------------------------------------------------------------------


def test_a_name_that_two_origins_give_themselves_means_neither(world: World, reader: Sharing) -> None:
    """Names are foreign text: nobody gets decided about in the name of another."""
    forger, twin = Forger(7), Forger(8)
    for one in (forger, twin):
        one.record("p1")
    forger.feed(name="laptop").put_into(world.bus)
    pull(reader)
    assert origins.meant(reader, "laptop") == forger.origin
    twin.feed(name="laptop").put_into(world.bus)
    pull(reader)
    with pytest.raises(UnknownOrigin, match="more than one"):
        origins.block(reader, "laptop", None, "test")
    twin.feed(gen=2, name=forger.origin).put_into(world.bus)
    pull(reader)
    assert origins.meant(reader, forger.origin) == forger.origin
    assert origins.meant(reader, forger.origin[:8]) == forger.origin
    for wrong in ("", "es1", "nobody"):
        with pytest.raises(UnknownOrigin):
            origins.meant(reader, wrong)
    with pytest.raises(InvalidArgument):
        origins.block(reader, reader.store.origin, None, "test")


def test_what_is_told_of_an_origin_shows_both_sides_of_its_fork(world: World, forked: Forked) -> None:
    """[F5]"""
    details = origins.details(forked.reader, forked.origin[:9])
    (fork,) = details.forks
    assert (fork.held.last_seq, fork.other.last_seq) == (3, 3)
    assert (fork.agree_up_to, fork.is_exact) == (2, False)  # its head was enough: no slice was fetched
    assert len(fork.only_held) == len(fork.only_other) == 1
    assert details.status.state == "fork"
    assert details.found_at == ["bus"]


def test_where_both_sides_part_is_told_to_the_record_where_slices_of_the_other_are_kept(
    world: World, reader: Sharing
) -> None:
    """[F5]"""
    held = Forger()
    for name in ("p1", "p2", "p3"):
        held.record(name)
    other = held.copy()
    del other.lines[2:]
    for name in ("q3", "q4"):
        other.record(name)
    held.feed().put_into(world.bus)
    pull(reader)
    other.feed(gen=2).put_into(world.bus)
    assert only(pull(reader)).result is Result.FORK
    (fork,) = origins.details(reader, held.origin).forks
    assert (fork.agree_up_to, fork.is_exact) == (2, True)
    for path in reader.holdings.quarantine.folder.rglob("seg-*"):
        path.write_bytes(path.read_bytes()[:-1])  # not what was signed any more
    (fork,) = origins.details(world.reopened(reader), held.origin).forks
    assert (fork.agree_up_to, fork.is_exact) == (0, False)


def test_evidence_that_was_changed_is_told_and_never_believed(forked: Forked) -> None:
    path = forked.reader.holdings.mirror.path(forked.origin) / "fork" / forked.evidence[0]
    path.write_bytes(path.read_bytes().replace(b'"gen":2', b'"gen":7'))
    details = origins.details(forked.reader, forked.origin)
    assert details.forks == ()
    assert details.problem is not None and "evidence" in details.problem
    assert only(pull(forked.reader)).result is Result.FORK
