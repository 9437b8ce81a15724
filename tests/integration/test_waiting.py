"""Candidates that wait out of sight, and the inbox as it was at an earlier seq."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from eventsync.sharing import Sharing
from federation.hindsight import candidates_at
from federation.inbox import Filter
from federation.model import Candidate, Snooze, Verdict
from journal import NoSuchRecord
from tests.doubles.machines import FixedMachine
from tests.integration.world import (
    EVERYTHING,
    World,
    accept,
    accept_all,
    candidates,
    pull,
    put,
    rebuilt,
    reject,
    remove,
    share,
)

LATER = "2026-11-25T12:00:00.000Z"


class Clock(FixedMachine):
    """A machine whose clock a test sets."""

    at = "2026-11-22T12:00:00.000Z"

    def now(self) -> str:
        return self.at


@pytest.fixture
def clock(world: World) -> Clock:
    return Clock(world.keys)


@pytest.fixture
def author(world: World) -> Sharing:
    """A store that shares plan/p and plan/q."""
    store = world.store("author")
    put(store, "p", "q")
    share(store)
    return store


@pytest.fixture
def reader(world: World, author: Sharing, clock: Clock) -> Sharing:
    """A store with this clock, that has pulled from the author."""
    found = world.reopened(world.store("reader"), machine=clock)
    pull(found)
    return found


def snooze(store: Sharing, item_id: str, until: str | None = LATER) -> None:
    (found,) = [item for item in candidates(store) if item.item_id == item_id]
    store.deciding("test").snooze([found.id], until)


def asleep(store: Sharing) -> dict[str, Snooze]:
    """The candidates that are out of sight."""
    return {item.item_id: item.snoozed for item in candidates(store) if item.snoozed is not None}


# --- snooze ----------------------------------------------------------------------------------------------------------


def test_a_snoozed_candidate_waits_until_its_time_and_stays_open(reader: Sharing, clock: Clock) -> None:
    """[K5] It settles nothing."""
    snooze(reader, "p")
    assert asleep(reader) == {"p": Snooze(LATER)}
    assert {item.verdict for item in candidates(reader)} == {Verdict.NEW}
    assert reader.pending() == (2, 0)
    clock.at = "2026-11-25T11:59:59.999Z"
    assert asleep(reader) == {"p": Snooze(LATER)}
    clock.at = LATER
    assert asleep(reader) == {}


def test_a_snooze_without_a_time_ends_with_the_next_version(author: Sharing, reader: Sharing) -> None:
    snooze(reader, "p", None)
    snooze(reader, "q")
    put(author, "p", "q", n=2)
    share(author)
    pull(reader)
    assert asleep(reader) == {}


@pytest.mark.parametrize("now", ["1970-01-01T00:00:00.000Z", "2026-11-22T11:59:59.999Z", "2099-01-01T00:00:00.000Z"])
def test_a_clock_that_is_wrong_now_hides_nothing(reader: Sharing, clock: Clock, now: str) -> None:
    snooze(reader, "p")
    clock.at = now
    assert asleep(reader) == {}


@pytest.mark.parametrize("then", ["1970-01-01T00:00:00.000Z", "2099-01-01T00:00:00.000Z"])
def test_a_clock_that_was_wrong_then_hides_nothing_for_ever(reader: Sharing, clock: Clock, then: str) -> None:
    now, clock.at = clock.at, then
    snooze(reader, "p", then[:4] + "-01-04T00:00:00.000Z")
    assert asleep(reader) != {}
    clock.at = now
    assert asleep(reader) == {}


def test_accepting_all_leaves_what_waits_and_counts_it(reader: Sharing) -> None:
    snooze(reader, "p")
    report = accept_all(reader)
    assert ([found.item_id for found in report.written], report.left, report.snoozed) == (["q"], (), 1)
    accept(reader, "plan/p")  # by its id it can be decided
    assert asleep(reader) == {}


def test_a_snooze_survives_a_rebuild_and_is_replaced_by_the_next(reader: Sharing) -> None:
    """[T1]"""
    snooze(reader, "p")
    snooze(reader, "p", None)
    assert asleep(reader) == asleep(rebuilt(reader)) == {"p": Snooze(None)}


def test_a_snooze_is_undone_and_done_again(reader: Sharing) -> None:
    snooze(reader, "p")
    reader.deciding("test").undo()
    assert asleep(reader) == {}
    reader.deciding("test").undo()
    assert asleep(reader) == {"p": Snooze(LATER)}


def test_a_snooze_of_what_is_settled_writes_nothing(reader: Sharing) -> None:
    reject(reader, "plan/p")
    seq = reader.store.position().seq
    snooze(reader, "p")
    assert reader.store.position().seq == seq


def test_others_make_nothing_of_a_snooze(world: World, reader: Sharing) -> None:
    """[F7] It is in the feed, as decisions are, and no candidate."""
    snooze(reader, "p")
    share(reader)
    third = world.store("third")
    pull(third)
    assert {item.origin_name for item in candidates(third)} == {"author"}
    assert third.holdings.index.notes(reader.store.origin) == {}


# --- hindsight -------------------------------------------------------------------------------------------------------


def then(store: Sharing, seq: int, wanted: Filter = EVERYTHING) -> Sequence[Candidate]:
    assert store.holdings.look() is None
    return list(candidates_at(store.inbox, seq, wanted, payloads=True))


def verdicts_at(store: Sharing, seq: int) -> dict[str, str]:
    return {item.item_id: str(item.verdict) for item in then(store, seq)}


def test_the_inbox_is_judged_by_what_was_here_and_decided_then(world: World) -> None:
    a, b = world.store("a"), world.store("b")
    put(a, "p", "q", "r")
    share(a)
    pull(b)
    steps = [verdicts_at(b, 0)]
    accept(b, "plan/p")
    steps.append(verdicts_at(b, 1))
    reject(b, "plan/q")
    put(b, "r", mine=1)
    steps.append(verdicts_at(b, 3))
    assert steps == [
        {"p": "new", "q": "new", "r": "new"},
        {"p": "known", "q": "new", "r": "new"},
        {"p": "known", "q": "known", "r": "conflict"},
    ]
    assert [verdicts_at(b, seq) for seq in (0, 1, 3)] == steps
    assert verdicts_at(b, 3) == {item.item_id: str(item.verdict) for item in candidates(b)}
    assert [item.item_id for item in then(b, 1, Filter())] == ["q", "r"]
    assert [item.item_id for item in then(b, 3, Filter(verdict="known"))] == ["p", "q"]


def test_what_was_decided_later_is_shown_as_the_record_that_was_decided_about(world: World) -> None:
    a, b = world.store("a"), world.store("b")
    put(a, "p", n=1)
    share(a)
    pull(b)
    accept_all(b)
    put(a, "p", n=2)
    share(a)
    pull(b)
    (first,) = then(b, 0)
    assert (first.seq, first.payload, first.verdict) == (1, {"title": "p", "n": 1}, Verdict.NEW)
    (second,) = then(b, 1)
    assert (second.seq, second.payload, second.verdict) == (2, {"title": "p", "n": 2}, Verdict.UPDATE)


def test_an_undo_and_a_deletion_are_of_their_time_too(world: World) -> None:
    a, b = world.store("a"), world.store("b")
    put(a, "p", n=1)
    share(a)
    pull(b)
    accept_all(b)
    b.deciding("test").undo()
    accept_all(b)
    remove(b, "p")
    assert [verdicts_at(b, seq)["p"] for seq in range(6)] == ["new", "known", "known", "new", "known", "known"]


def test_an_inbox_of_the_future_is_told_to_be_none(world: World) -> None:
    a = world.store("a")
    put(a, "p")
    with pytest.raises(NoSuchRecord):
        then(a, 2)
