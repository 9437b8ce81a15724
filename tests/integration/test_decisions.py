"""Deciding over whole stores: what one decision covers, what it leaves open, and that a rebuild knows the same [T1]."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from eventsync.sharing import Sharing
from federation.errors import DecisionNeeded
from federation.inbox import Filter
from federation.model import Candidate, DecisionReport, Resolution
from journal import Draft, InvalidInput, Ref, Version
from tests.doubles.disks import CountingDisk
from tests.integration.forger import Forger
from tests.integration.world import (
    World,
    accept,
    accept_all,
    answers,
    by_origin,
    candidates,
    entities,
    payload,
    pull,
    rebuilt,
    reject,
    share,
    tree,
)

QUIET = ("runs.jsonl", "federation.lock", "journal.lock", "index.sqlite3-wal")
KEY = ("plan", "good")


def of(store: Sharing, origin: str, item_id: str = "good") -> Candidate:
    """The candidate of one origin about one entity."""
    (found,) = [item for item in candidates(store) if (item.origin, item.item_id) == (origin, item_id)]
    return found


def verdict(store: Sharing, origin: str, item_id: str = "good") -> str:
    """The verdict on what one origin has of one entity."""
    return str(of(store, origin, item_id).verdict)


def version(forger: Forger, seq: int) -> Version:
    """The version that a forged record is."""
    return Version(forger.origin, seq, forger.lines[seq - 1].after.c.hex()[:12])


def left(report: DecisionReport) -> dict[str, tuple[str, str]]:
    """What a decision left, by candidate id."""
    return {item.id: (item.verdict, item.reason) for item in report.left}


def written(report: DecisionReport) -> list[str | None]:
    """The ids of the entities that a decision wrote, in order."""
    return [record.item_id for record in report.written]


def same_when_rebuilt(store: Sharing) -> None:
    """What is kept is what the journal and the mirrors say."""
    before = answers(store)
    assert answers(rebuilt(store)) == before


# --- several candidates of one entity --------------------------------------------------------------------------------


@pytest.mark.parametrize("other_id", ["good", "GOOD"])
def test_two_candidates_of_one_entity_are_never_accepted_in_one_batch(world: World, other_id: str) -> None:
    """[K3] [J6] The second would be judged against what the first makes of the entity, and nobody looked at that."""
    reader, one, other = world.store("reader"), Forger(1), Forger(2)
    one.record("good")
    one.record("beside")
    other.record(other_id, payload={"title": "other"})
    for forger in (one, other):
        forger.feed().put_into(world.bus)
    pull(reader)
    ids = [of(reader, one.origin).id, of(reader, one.origin, "beside").id, of(reader, other.origin, other_id).id]
    before = tree(reader.store.folder, without=QUIET)
    with pytest.raises(DecisionNeeded, match=r"several candidates of one entity"):
        reader.deciding("test").accept(ids, Resolution.THEIRS)
    assert tree(reader.store.folder, without=QUIET) == before
    assert written(reader.deciding("test").accept(ids[:2])) == ["good", "beside"]


def competing(world: World, say: Callable[[Forger, Forger], None]) -> tuple[Sharing, Forger, Forger]:
    """A reader that knows an entity from two origins, the one that comes first in its inbox first."""
    reader = world.store("reader")
    one, other = sorted((Forger(1), Forger(2)), key=lambda forger: forger.origin)
    say(one, other)
    for forger in (one, other):
        forger.feed().put_into(world.bus)
    pull(reader)
    return reader, one, other


def test_of_two_versions_that_conflict_the_first_is_taken_and_the_other_is_left(world: World) -> None:
    """[K3] [K5]"""

    def say(one: Forger, other: Forger) -> None:
        one.record("good")
        other.record("good", payload={"title": "other"})
        other.record("beside")

    reader, one, other = competing(world, say)
    assert (verdict(reader, one.origin), verdict(reader, other.origin)) == ("new", "new")
    report = accept_all(reader)
    assert written(report) == ["good", "beside"]
    assert payload(reader, "good") == {"title": "good 1"}
    found = of(reader, other.origin)
    assert left(report) == {found.id: ("conflict", "another origin's version of this entity was accepted: look again")}
    assert accept_all(reader).written == ()
    same_when_rebuilt(reader)


def test_a_copy_beside_its_root_and_an_equal_payload_are_settled_with_the_one_that_is_taken(world: World) -> None:
    """[K2] [K3] Both are known from then on: nobody is asked, whatever is written here later."""

    def say(one: Forger, other: Forger) -> None:
        one.record("good")
        one.record("same", payload={"n": 1})
        other.record(
            "good", action="accept", payload={"title": "good 1"}, root=str(version(one, 1)), context={one.origin: 1}
        )
        other.record("same", payload={"n": 1.0})

    reader, _, other = competing(world, say)
    report = accept_all(reader)
    assert (written(report), report.left) == (["good", "same"], ())
    assert verdict(reader, other.origin, "good") == "known"
    assert verdict(reader, other.origin, "same") == "known"
    same_when_rebuilt(reader)


def test_an_update_of_what_is_taken_is_left_and_then_taken(world: World) -> None:
    """[K3] It is judged again once the other is here: until then nobody could say that it is an update."""

    def say(one: Forger, other: Forger) -> None:
        one.record("good")
        other.record("good", context={one.origin: 1, other.origin: 1}, payload={"title": "later"})

    reader, _, other = competing(world, say)
    report = accept_all(reader)
    assert written(report) == ["good"]
    assert left(report)[of(reader, other.origin).id][0] == "update"
    report = accept_all(reader)
    assert (written(report), report.left) == (["good"], ())
    assert payload(reader, "good") == {"title": "later"}
    same_when_rebuilt(reader)


def test_what_differs_only_in_case_is_one_entity_here(world: World) -> None:
    """[J10]"""

    def say(one: Forger, other: Forger) -> None:
        one.record("good")
        other.record("GOOD")

    reader, _, other = competing(world, say)
    report = accept_all(reader)
    assert written(report) == ["good"]
    assert left(report)[of(reader, other.origin, "GOOD").id][0] == "new"
    (reason,) = [reason for _, reason in left(accept_all(reader)).values()]
    assert "only in case" in reason


# --- limits [J10] ----------------------------------------------------------------------------------------------------


def bad_id(forger: Forger, reader: Sharing) -> str:
    forger.record("../up")
    return "../up"


def device_name(forger: Forger, reader: Sharing) -> str:
    forger.record("con.txt")
    return "con.txt"


def deep_payload(forger: Forger, reader: Sharing) -> str:
    value: Any = 1
    for _ in range(70):
        value = [value]
    forger.record("deep", payload={"deep": value})
    return "deep"


def crowded_context(forger: Forger, reader: Sharing) -> str:
    """Ours names 256 origins, theirs one more."""
    context = {f"es1{number:032}".translate(str.maketrans("0189", "abcd")): 1 for number in range(1, 256)}
    with reader.store.mutate(agent="test") as mutation:
        mutation.add(Draft("create", "plan", "crowded", b"{}", context=context))
    share(reader)
    own = reader.store.origin
    seq = reader.store.position().seq
    forger.record("crowded", context={forger.origin: forger.state.seq + 1, own: seq})
    return "crowded"


@pytest.mark.parametrize("break_limit", [bad_id, device_name, deep_payload, crowded_context])
def test_a_candidate_that_breaks_a_limit_of_ours_is_left_and_stops_no_other(
    world: World, break_limit: Callable[[Forger, Sharing], str]
) -> None:
    """[J10] `accept` of it says which limit, and writes nothing."""
    reader, forger = world.store("reader"), Forger()
    forger.record("before")
    item_id = break_limit(forger, reader)
    forger.record("after")
    forger.feed().put_into(world.bus)
    pull(reader)
    name = of(reader, forger.origin, item_id).id
    before = entities(reader)
    report = accept_all(reader)
    assert written(report) == ["before", "after"]
    assert list(left(report)) == [name]
    ((_, reason),) = left(report).values()
    with pytest.raises(InvalidInput) as refused:
        accept(reader, name)
    assert refused.value.message == reason
    assert entities(reader).keys() == before.keys() | {"plan/before", "plan/after"}
    assert list(left(accept_all(reader))) == [name]  # it stays, and is told each time
    same_when_rebuilt(reader)


@pytest.mark.parametrize(
    ("item_type", "item_id"), [("plan", "../up"), ("plan", "x" * 200), ("Plan of ours", "p1"), ("plan", "nul")]
)
def test_what_our_journal_cannot_hold_can_be_rejected(world: World, item_type: str, item_id: str) -> None:
    """[K5] [J10] For good: the decision names the record alone."""
    reader, forger = world.store("reader"), Forger()
    forger.record(item_id, item_type=item_type)
    forger.record("good")
    forger.feed().put_into(world.bus)
    pull(reader)
    reject(reader, of(reader, forger.origin, item_id).id)
    assert verdict(reader, forger.origin, item_id) == "known"
    assert verdict(reader, forger.origin) == "new"
    same_when_rebuilt(reader)
    assert verdict(reader, forger.origin, item_id) == "known"
    forger.edit(item_id, item_type=item_type)
    forger.feed(gen=2).put_into(world.bus)
    pull(reader)
    assert verdict(reader, forger.origin, item_id) == "new"  # a newer version is a new question
    same_when_rebuilt(reader)


# --- the last word counts --------------------------------------------------------------------------------------------


def reopen(store: Sharing, candidate: Candidate, *, root: Version | None) -> None:
    """What undoes a reject, as a record."""
    cause = str(Ref(candidate.origin, candidate.seq))
    with store.store.mutate(agent="test") as mutation:
        item = (candidate.item_type, candidate.item_id)
        mutation.add(Draft("reopen", *item, cause=cause, root=None if root is None else str(root)))


@pytest.mark.parametrize("with_root", [True, False])
def test_a_reject_that_was_reopened_and_rejected_again_stays_rejected(world: World, with_root: bool) -> None:
    """[K5] [T1] Decisions are taken in log order, by the cache as they come and by a rebuild at once."""
    reader, forger = world.store("reader"), Forger()
    forger.record("good")
    forger.feed().put_into(world.bus)
    pull(reader)
    found = of(reader, forger.origin)
    for last, expected in (("reject", "known"), ("reopen", "new")) * 2:
        if last == "reject":
            reject(reader, found.id)
        else:
            reopen(reader, found, root=found.version if with_root else None)
        assert verdict(reader, forger.origin) == expected
        same_when_rebuilt(reader)
        assert verdict(reader, forger.origin) == expected


@pytest.mark.parametrize("odd", [{"v": 3}, {"root": "nothing"}, {"action": "unheard_of"}], ids=["v", "root", "action"])
def test_a_decision_that_names_only_its_cause_covers_the_record_where_that_cannot_be_read(
    world: World, odd: Mapping[str, Any]
) -> None:
    """[K5] [J2] Another program may leave out the root; nothing that was decided may stop the inbox."""
    reader, forger = world.store("reader"), Forger()
    forger.record("good", **odd)
    forger.feed().put_into(world.bus)
    pull(reader)
    found = of(reader, forger.origin)
    assert found.verdict == "unreadable"
    cause = str(Ref(found.origin, found.seq))
    for action, expected in (("reject", "known"), ("reopen", "unreadable")):
        with reader.store.mutate(agent="test") as mutation:
            mutation.add(Draft(action, *KEY, cause=cause))
        assert verdict(reader, forger.origin) == expected
        same_when_rebuilt(reader)


@pytest.mark.parametrize("item_id", ["good", None])
def test_a_decision_about_nothing_decides_nothing(world: World, item_id: str | None) -> None:
    """[K5] [J2]"""
    reader, forger = world.store("reader"), Forger()
    forger.record("good")
    forger.feed().put_into(world.bus)
    pull(reader)
    with reader.store.mutate(agent="test") as mutation:
        mutation.add(Draft("reject", "plan", item_id, cause="nothing"))
        mutation.add(Draft("reject", "plan", item_id, cause="nothing", root="nothing"))
    assert verdict(reader, forger.origin) == "new"
    same_when_rebuilt(reader)


# --- a decision is about an entity [K5] ------------------------------------------------------------------------------


def junk(honest: Forger, seq: int, **fields: Any) -> Forger:
    """A liar that calls its `junk` a copy of a record of an honest origin."""
    liar = Forger(9)
    liar.record(
        **{
            "item_id": "junk",
            "action": "accept",
            "root": str(version(honest, seq)),
            "context": {honest.origin: seq},
            "payload": {"spam": True},
        }
        | fields
    )
    return liar


def copy_of(author: Forger, seq: int) -> dict[str, Any]:
    """What an honest copy of a forged record says, but for the payload."""
    item_id = json.loads(author.lines[seq - 1].data)["item_id"]
    return {
        "item_id": item_id,
        "action": "accept",
        "root": str(version(author, seq)),
        "context": {author.origin: seq},
    }


def honest() -> Forger:
    forger = Forger(3)
    forger.record("good")
    return forger


@pytest.mark.parametrize(
    ("decide", "item_id", "mirrored"),
    [
        (reject, "junk", "before"),
        (reject, "junk", "after"),
        (accept, "junk", "after"),
        (reject, "../junk", "before"),
        (reject, "../junk", "after"),
    ],
)
def test_a_decision_about_a_false_copy_never_settles_the_entity_it_names(
    world: World, decide: Callable[..., DecisionReport], item_id: str, mirrored: str
) -> None:
    """[K5] [K4] Before and after a rebuild, with the origin it names mirrored before or after."""
    reader, author = world.store("reader"), honest()
    liar = junk(author, 1, item_id=item_id)
    liar.feed().put_into(world.bus)
    if mirrored == "before":
        author.feed().put_into(world.bus)
    pull(reader)
    assert verdict(reader, liar.origin, item_id) == ("unreadable" if mirrored == "before" else "new")
    decide(reader, of(reader, liar.origin, item_id).id)
    assert verdict(reader, liar.origin, item_id) == "known"
    author.feed().put_into(world.bus)
    pull(reader)
    assert verdict(reader, liar.origin, item_id) == "known"
    assert verdict(reader, author.origin) == "new"
    same_when_rebuilt(reader)
    assert verdict(reader, author.origin) == "new"
    accept(reader, of(reader, author.origin).id)
    assert payload(reader, "good") == {"title": "good 1"}


@pytest.mark.parametrize(
    "lie",
    [
        {"payload": {"spam": True}},
        {"payload": {"title": "good 1"}, "root": f"{honest().origin}@1#{'0' * 12}"},
        {"payload": {"title": "good 1"}, "root": f"{honest().origin}@1"},
        {"action": "delete", "payload": None},
    ],
    ids=["payload", "digest", "no digest", "kind"],
)
def test_a_false_copy_of_what_we_mirror_is_unreadable_and_settles_nothing_but_itself(
    world: World, lie: Mapping[str, Any]
) -> None:
    """[K4] [K5]"""
    reader, author = world.store("reader"), honest()
    liar = junk(author, 1, item_id="good", **lie)
    author.feed().put_into(world.bus)
    liar.feed().put_into(world.bus)
    pull(reader)
    found = of(reader, liar.origin)
    assert (found.verdict, found.label) == ("unreadable", "a copy that differs from the record it names")
    assert list(left(accept_all(reader))) == [found.id]
    assert verdict(reader, author.origin) == "known"

    other = world.store("other")
    pull(other)
    reject(other, of(other, liar.origin).id)
    assert (verdict(other, liar.origin), verdict(other, author.origin)) == ("known", "new")
    same_when_rebuilt(other)
    assert (verdict(other, liar.origin), verdict(other, author.origin)) == ("known", "new")


def test_a_copy_is_compared_as_json_values(world: World) -> None:
    """[K3] [K4] Who copies may write it anew."""
    reader, author = world.store("reader"), Forger(3)
    author.record("good", payload={"a": 1, "b": [1.5]})
    author.feed().put_into(world.bus)
    copier = junk(author, 1, item_id="good", payload={"b": [1.5], "a": 1.0})
    copier.feed().put_into(world.bus)
    pull(reader)
    assert verdict(reader, copier.origin) == "new"


def test_a_false_copy_is_found_out_when_the_record_it_names_is_pulled(world: World) -> None:
    """[K4] Kept verdicts are asked again; a rebuild says the same."""
    reader, author = world.store("reader"), honest()
    liar = junk(author, 1, item_id="good")
    liar.feed().put_into(world.bus)
    pull(reader)
    assert verdict(reader, liar.origin) == "new"
    author.feed().put_into(world.bus)
    pull(reader)
    assert verdict(reader, liar.origin) == "unreadable"
    same_when_rebuilt(reader)


# --- what a copy says is no proof [K4] -------------------------------------------------------------------------------


def test_the_newest_version_of_an_origin_is_not_what_its_copies_say(world: World) -> None:
    """[K4] [T1] L calls its own copy a version, and T copies that; then L really edits."""
    reader, author = world.store("reader"), honest()
    liar = junk(author, 1, item_id="good", payload={"title": "good 1"})
    liar.record(
        "good", action="accept", root=str(version(author, 1)), payload={"title": "good 1"}, context={
            author.origin: 1, liar.origin: 1
        }
    )  # fmt: skip
    third = Forger(5)
    third.record("good", action="accept", root=str(version(liar, 1)), context={liar.origin: 1}, payload={"n": 1})
    for forger in (liar, third):
        forger.feed().put_into(world.bus)
    pull(reader)
    assert reader.holdings.facts.newest_version(liar.origin, *KEY) == 0
    assert verdict(reader, third.origin) == "unreadable"
    same_when_rebuilt(reader)
    liar.edit("good", context={author.origin: 1, liar.origin: 3})
    liar.feed(gen=2).put_into(world.bus)
    pull(reader)
    assert reader.holdings.facts.newest_version(liar.origin, *KEY) == 3
    assert verdict(reader, third.origin) == "unreadable"
    same_when_rebuilt(reader)
    accept(reader, of(reader, liar.origin).id)
    same_when_rebuilt(reader)


# --- what a redaction leaves [F9] ------------------------------------------------------------------------------------


@pytest.mark.parametrize("settle", [accept, reject])
def test_a_redacted_copy_of_what_is_settled_is_known(world: World, settle: Callable[..., DecisionReport]) -> None:
    """[K2] [K3] [F9] The stub keeps root and context; known comes before unreadable."""
    reader, author = world.store("reader"), honest()
    copier = junk(author, 1, item_id="good", payload={"title": "good 1"})
    copier.redact(1)
    author.feed().put_into(world.bus)
    copier.feed().put_into(world.bus)
    pull(reader)
    found = of(reader, copier.origin)
    assert (found.verdict, found.label, found.version) == ("unreadable", "redacted", version(author, 1))
    settle(reader, of(reader, author.origin).id)
    found = of(reader, copier.origin)
    assert (found.verdict, found.label) == ("known", "duplicate")
    same_when_rebuilt(reader)


def test_a_redacted_record_is_known_to_who_has_a_later_version(world: World) -> None:
    """[K2] [F9]"""
    reader, author, follower = world.store("reader"), honest(), Forger(4)
    follower.record("good", context={author.origin: 1, follower.origin: 1})
    author.feed().put_into(world.bus)
    follower.feed().put_into(world.bus)
    pull(reader)
    accept(reader, of(reader, follower.origin).id)
    assert verdict(reader, author.origin) == "known"
    other = world.store("other")
    author.redact(1)
    author.feed(gen=2).put_into(world.bus)
    pull(other)
    assert verdict(other, author.origin) == "unreadable"
    accept(other, of(other, follower.origin).id)
    assert verdict(other, author.origin) == "known"
    same_when_rebuilt(other)


def test_nothing_is_written_by_looking(world: World) -> None:
    """[K3] Verdicts are computed, not recorded."""
    reader, author = world.store("reader"), honest()
    author.feed().put_into(world.bus)
    pull(reader)
    before = reader.store.position()
    assert [item.verdict for item in candidates(reader, Filter())] == ["new"]
    assert reader.store.position() == before


# --- cost ------------------------------------------------------------------------------------------------------------


def test_copies_in_any_order_cost_about_the_same(world: World) -> None:
    """[K4] Each is compared with the record it names, and those are looked for slice by slice."""
    author = Forger(1)
    for number in range(800):
        author.record(f"p{number}", payload={"n": number})
    author.feed(cuts=range(100, 800, 100)).put_into(world.bus)
    numbers = list(range(800))
    costs: list[int] = []
    for order in (numbers, sorted(numbers, key=lambda number: number % 100)):
        copier = Forger(2)
        for number in order:
            copier.record(**copy_of(author, number + 1), payload={"n": number})
        copier.feed().put_into(world.bus)
        disk = CountingDisk()
        reader = world.store(f"reader{len(costs)}", disk=disk)
        disk.reset()
        assert by_origin(pull(reader))[copier.origin].candidates.open == 800
        costs.append(disk.bytes_read)
    assert costs[1] < 1.2 * costs[0]
