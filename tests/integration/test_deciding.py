"""The inbox between whole stores: every verdict, every decision, and the record it leaves."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from eventsync.sharing import Sharing
from federation.errors import DecisionNeeded, NoSuchCandidate
from federation.inbox import Filter
from federation.model import Candidate, Verdict
from federation.publisher import publish
from federation.withholding import PublishSettings
from journal import InvalidInput, Record
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
    reject,
    remove,
    share,
    tree,
    verdicts,
)


def newest(store: Sharing) -> Record:
    """The last record of a journal."""
    (found,) = store.store.log(last=1)
    return found


def one(store: Sharing, key: str) -> Candidate:
    """The candidate of an entity, settled or not."""
    (found,) = [item for item in candidates(store) if f"{item.item_type}/{item.item_id}" == key]
    return found


def both_have(world: World, *names: str) -> tuple[Sharing, Sharing]:
    """Two stores that have the same entities, and know it."""
    a, b = world.store("a"), world.store("b")
    put(a, *names)
    meet(a, b)
    accept_all(b)
    meet(b, a)
    return a, b


# --- each verdict ----------------------------------------------------------------------------------------------------


def test_new_is_taken_as_an_unmodified_copy_that_names_its_root(world: World) -> None:
    """[K1] [K2] [J2] One record: the payload taken, with cause, root and context."""
    a, b = world.store("a"), world.store("b")
    put(b, "other")
    put(a, "p1", text="grüße", n=1.50)
    meet(a, b)
    assert one(b, "plan/p1").verdict == Verdict.NEW
    report = accept(b, "plan/p1")
    assert [(w.action, w.item_type, w.item_id, w.entity_rev) for w in report.written] == [("accept", "plan", "p1", 1)]
    record, original = newest(b), newest(a)
    assert record.cause == f"{a.store.origin}@1"
    assert record.root == f"{a.store.origin}@1#{original.c[:12]}"
    assert record.context == {a.store.origin: 1}
    assert record.payload_bytes == original.payload_bytes
    assert one(b, "plan/p1").verdict == Verdict.KNOWN


def test_an_accepted_copy_comes_home_as_an_echo_and_to_others_as_a_duplicate(world: World) -> None:
    """[K3] Labels of known."""
    a, b, c = world.store("a"), world.store("b"), world.store("c")
    put(a, "p1")
    meet(a, b, c)
    accept(b, "plan/p1")
    accept(c, "plan/p1")
    meet(b, c, a)
    pull(b)
    assert {(item.origin, item.label) for item in candidates(a)} == {
        (b.store.origin, "echo"),
        (c.store.origin, "echo"),
    }
    assert {(item.origin_name, str(item.verdict), item.label) for item in candidates(b)} == {
        ("a", "known", None),
        ("c", "known", "duplicate"),
    }


def test_update_and_gone_follow_when_the_other_side_has_seen_our_latest(world: World) -> None:
    """[K3]"""
    a, b = both_have(world, "p1", "p2")
    put(b, "p1", title="by b")
    remove(b, "p2")
    meet(b, a)
    assert verdicts(a) == {"plan/p1": "update", "plan/p2": "gone"}
    report = accept_all(a)
    assert [(w.action, w.item_id, w.entity_rev) for w in report.written] == [("accept", "p1", 2), ("delete", "p2", 2)]
    assert payload(a, "p1") == {"title": "by b"}
    assert entities(a)["plan/p2"] == (2, None)
    meet(a, b)
    assert set(verdicts(b).values()) == {"known"}
    assert not list(b.inbox.candidates(Filter()))


def test_an_update_goes_back_and_forth_without_growing(world: World) -> None:
    """[K2] Rings stop: what was taken is known to who wrote it."""
    a, b = both_have(world, "p1")
    for number in range(3):
        for one_side, other in ((a, b), (b, a)):
            put(one_side, "p1", title=f"{number} {one_side.store.name}")
            meet(one_side, other)
            assert verdicts(other) == {"plan/p1": "update"}
            accept_all(other)
            meet(other, one_side)
            assert verdicts(one_side) == {"plan/p1": "known"}
    assert entities(a)["plan/p1"] == entities(b)["plan/p1"]


def test_the_same_payload_on_both_sides_asks_nobody(world: World) -> None:
    """[K3] As JSON values: the order of keys and the way a number is written do not count."""
    a, b = world.store("a"), world.store("b")
    with a.store.mutate() as mutation:
        mutation.put("plan", "p1", {"n": 1, "title": "x"})
    with b.store.mutate() as mutation:
        mutation.put("plan", "p1", {"title": "x", "n": 1.0})
    meet(a, b)
    assert verdicts(b) == {"plan/p1": "identical"}
    assert not list(b.inbox.candidates(Filter()))
    assert accept_all(b).written == ()


def test_accepting_what_is_identical_joins_the_contexts_and_an_edit_without_that_conflicts(world: World) -> None:
    """[K3]"""
    a, b = world.store("a"), world.store("b")
    put(a, "p1", "p2")
    put(b, "p1", "p2")
    meet(a, b)
    accept(b, "plan/p1")
    assert newest(b).context == {a.store.origin: 1, b.store.origin: 1}
    put(b, "p1", title="b")
    put(b, "p2", title="b")
    meet(b, a)
    assert verdicts(a) == {"plan/p1": "update", "plan/p2": "conflict"}


def test_both_sides_deleted_it_is_identical_too(world: World) -> None:
    """[K3]"""
    a, b = both_have(world, "p1")
    remove(a, "p1")
    remove(b, "p1")
    meet(a, b)
    assert (verdicts(a), verdicts(b)) == ({"plan/p1": "identical"}, {"plan/p1": "identical"})


def test_the_tombstone_of_what_we_never_had_is_known(world: World) -> None:
    """[K3] Deletions pass through stores that had the entity, or relays."""
    a, b = world.store("a"), world.store("b")
    put(a, "p1")
    remove(a, "p1")
    meet(a, b)
    assert verdicts(b) == {"plan/p1": "known"}


@pytest.mark.parametrize(
    ("local", "foreign"),
    [
        (lambda s: put(s, "p1", title="local"), lambda s: put(s, "p1", title="foreign")),
        (lambda s: put(s, "p1", title="local"), lambda s: remove(s, "p1")),
        (lambda s: remove(s, "p1"), lambda s: put(s, "p1", title="foreign")),
    ],
    ids=["edit and edit", "edit and delete", "delete and edit"],
)
def test_neither_has_seen_the_other_is_a_conflict_for_a_person(
    world: World, local: Callable[[Sharing], None], foreign: Callable[[Sharing], None]
) -> None:
    """[K3] [K5] It is left as it is; with `theirs` it is an authored version of ours, and the other side follows."""
    a, b = both_have(world, "p1", "p2")
    local(a)
    foreign(b)
    put(b, "p2", title="harmless")
    meet(a, b)
    assert verdicts(a) == {"plan/p1": "conflict", "plan/p2": "update"}
    before = tree(a.store.folder / "journal")
    with pytest.raises(DecisionNeeded, match="conflict"):
        accept(a, "plan/p1")
    with pytest.raises(DecisionNeeded, match="conflict"):
        accept(a, "plan/p2", "plan/p1")  # all or none
    assert tree(a.store.folder / "journal") == before

    report = accept_all(a)
    assert [written.item_id for written in report.written] == ["p2"]
    assert [(left.verdict, left.id) for left in report.left] == [("conflict", one(a, "plan/p1").id)]

    accept(a, "plan/p1", theirs=True)
    record = newest(a)
    assert record.root is None
    assert record.cause == f"{b.store.origin}@{one(a, 'plan/p1').seq}"
    assert record.context == {a.store.origin: record.seq, b.store.origin: one(a, "plan/p1").seq}
    assert entities(a)["plan/p1"][1] == entities(b)["plan/p1"][1]
    assert verdicts(a)["plan/p1"] == "known"
    meet(a, b)
    assert verdicts(b)["plan/p1"] in ("update", "gone", "identical")
    accept_all(b)
    meet(b, a)
    assert not list(a.inbox.candidates(Filter()))
    assert entities(a)["plan/p1"][1] == entities(b)["plan/p1"][1]


def test_all_conflicts_can_be_taken_at_once(world: World) -> None:
    """[K5]"""
    a, b = both_have(world, "p1", "p2")
    put(a, "p1", "p2", side="a")
    put(b, "p1", "p2", side="b")
    meet(a, b)
    report = accept_all(a, theirs=True)
    assert (len(report.written), report.left) == (2, ())
    assert payload(a, "p1")["side"] == payload(a, "p2")["side"] == "b"


def test_a_delete_and_re_creation_are_followed(world: World) -> None:
    """[J3] [K2] The context survives."""
    a, b = both_have(world, "p1")
    remove(a, "p1")
    put(a, "p1", title="again")
    meet(a, b)
    assert verdicts(b) == {"plan/p1": "update"}
    accept_all(b)
    assert entities(a)["plan/p1"][1] == entities(b)["plan/p1"][1] == {"title": "again"}


def test_an_edit_by_a_third_store_reaches_the_first_through_the_second(world: World) -> None:
    """[K1] [K2] Copies are known by their root, wherever they come from."""
    a, b, c = world.store("a"), world.store("b"), world.store("c")
    put(a, "p1")
    meet(a, b, c)
    accept_all(b)
    accept_all(c)
    meet(b, c)
    put(c, "p1", title="by c")
    meet(c, b)
    accept_all(b)
    share(b)
    run = pull(a)
    assert run.exit_code == 0
    found = {item.origin: str(item.verdict) for item in candidates(a)}
    assert found == {b.store.origin: "update", c.store.origin: "update"}
    assert accept_all(a).left == ()
    assert {str(item.verdict) for item in candidates(a)} == {"known"}
    meet(a, b, c)
    for store in (a, b, c):
        assert not list(store.inbox.candidates(Filter()))
        assert payload(store, "p1") == {"title": "by c"}


# --- batches ---------------------------------------------------------------------------------------------------------


def test_one_many_and_all_are_one_batch_each(world: World) -> None:
    """[J6] One lock, one write, one fsync."""
    a, b = world.store("a"), world.store("b")
    put(a, *(f"p{number}" for number in range(7)))
    meet(a, b)
    accept(b, "plan/p0")
    assert newest(b).batch is None
    accept(b, "plan/p1", "plan/p2")
    assert [record.batch for record in b.store.log(last=2)] == [(1, 2), (2, 2)]
    accept_all(b)
    assert [record.batch for record in b.store.log(last=4)] == [(number, 4) for number in range(1, 5)]


@pytest.mark.parametrize(("wrong", "error"), [("cnd_000000000000", NoSuchCandidate), ("", NoSuchCandidate)])
def test_a_wrong_name_among_good_ones_accepts_none(world: World, wrong: str, error: type[Exception]) -> None:
    a, b = world.store("a"), world.store("b")
    put(a, "p1", "p2")
    meet(a, b)
    with pytest.raises(error):
        accept(b, "plan/p1", wrong)
    with pytest.raises(error):
        reject(b, "plan/p1", wrong)
    assert entities(b) == {}
    assert set(verdicts(b).values()) == {"new"}


def test_an_id_may_be_cut_short_while_it_is_unique(world: World) -> None:
    a, b = world.store("a"), world.store("b")
    put(a, *(f"p{number}" for number in range(20)))
    meet(a, b)
    ids = [item.id for item in candidates(b)]
    short = next(
        text[:length] for text in ids for length in (5, 6, 7) if sum(o.startswith(text[:length]) for o in ids) == 1
    )
    assert len(accept(b, short).written) == 1
    with pytest.raises(NoSuchCandidate, match="more than one"):
        accept(b, _shared_start(ids))


def _shared_start(ids: list[str]) -> str:
    starts = [text[4:5] for text in ids]
    return next(start for start in starts if starts.count(start) > 1)


def test_what_is_named_twice_is_accepted_once(world: World) -> None:
    a, b = world.store("a"), world.store("b")
    put(a, "p1")
    meet(a, b)
    assert len(accept(b, "plan/p1", "plan/p1").written) == 1
    again = accept(b, "plan/p1")
    assert (again.written, [left.verdict for left in again.left]) == ((), ["known"])


def test_two_origins_that_offer_the_same_entity_are_not_taken_one_over_the_other(world: World) -> None:
    """[K3] Nothing is lost silently: the second is judged against the first."""
    a, b, c = world.store("a"), world.store("b"), world.store("c")
    put(a, "p1", side="a")
    put(b, "p1", side="b")
    meet(a, b, c)
    ids = [item.id for item in candidates(c)]
    with pytest.raises(DecisionNeeded, match="one entity"):
        accept(c, *ids)
    assert entities(c) == {}
    report = accept_all(c)
    assert len(report.written) == 1
    assert [left.verdict for left in report.left] == ["conflict"]
    assert sorted(str(item.verdict) for item in candidates(c)) == ["conflict", "known"]


def test_a_filter_says_which_are_meant(world: World) -> None:
    a, b, c = world.store("a"), world.store("b"), world.store("c")
    put(a, "p1")
    put(a, "d1", item_type="decision")
    put(b, "p2")
    meet(a, b, c)

    def accept_of(**wanted: str) -> list[str | None]:
        report = c.deciding("test").accept_all(Filter(**wanted))  # type: ignore[arg-type]
        return [written.item_id for written in report.written]

    assert accept_of(item_type="decision") == ["d1"]
    assert accept_of(origin=b.store.origin) == ["p2"]
    assert accept_of(verdict="update") == []
    assert accept_of() == ["p1"]


def test_nothing_open_is_nothing_to_do(world: World) -> None:
    store = world.store("a")
    report = accept_all(store)
    assert (report.written, report.left) == ((), ())
    assert store.store.position().seq == 0


# --- rejecting -------------------------------------------------------------------------------------------------------


def test_a_reject_covers_that_version_from_whomever_it_comes_and_no_other(world: World) -> None:
    """[K5] For good; a newer version is a new question."""
    a, b, c = world.store("a"), world.store("b"), world.store("c")
    put(a, "p1")
    meet(a, b, c)
    reject(c, "plan/p1")
    record = newest(c)
    assert (record.action, record.item_type, record.item_id) == ("reject", "plan", "p1")
    assert record.root == f"{a.store.origin}@1#{newest(a).c[:12]}"
    assert record.payload_bytes is None
    assert entities(c) == {}
    accept_all(b)
    meet(b, c)
    assert {(item.origin_name, str(item.verdict)) for item in candidates(c)} == {("a", "known"), ("b", "known")}
    put(b, "p1", title="later")
    meet(b, c)
    assert {(item.origin_name, str(item.verdict)) for item in candidates(c)} == {("a", "known"), ("b", "new")}


def test_a_reject_over_a_conflict_keeps_ours_and_the_other_side_still_conflicts(world: World) -> None:
    """[K5] A reject never enters a context."""
    a, b = both_have(world, "p1")
    put(a, "p1", side="a")
    put(b, "p1", side="b")
    meet(a, b)
    reject(a, "plan/p1")
    assert verdicts(a) == {"plan/p1": "known"}
    assert payload(a, "p1")["side"] == "a"
    put(a, "p1", side="a again")
    meet(a, b)
    assert verdicts(b) == {"plan/p1": "conflict"}


def test_rejecting_again_writes_nothing(world: World) -> None:
    a, b = world.store("a"), world.store("b")
    put(a, "p1")
    meet(a, b)
    assert len(reject(b, "plan/p1").written) == 1
    assert reject(b, "plan/p1").written == ()
    assert b.store.position().seq == 1


def test_a_deletion_can_be_rejected(world: World) -> None:
    """[K5]"""
    a, b = both_have(world, "p1")
    remove(a, "p1")
    meet(a, b)
    reject(b, "plan/p1")
    assert (verdicts(b), payload(b, "p1")) == ({"plan/p1": "known"}, {"title": "p1"})


# --- receipts --------------------------------------------------------------------------------------------------------


def test_decisions_about_ours_are_counted_by_version_also_through_others(world: World) -> None:
    """(DESIGN 8) Receipts need no back channel."""
    a, b, c = world.store("a"), world.store("b"), world.store("c")
    put(a, "p1", "p2", "p3")
    meet(a, b)
    accept(b, "plan/p1", "plan/p2")
    reject(b, "plan/p3")
    share(b)
    pull(c)
    b_copies = [item.id for item in candidates(c) if item.origin_name == "b"]
    c.deciding("test").accept(b_copies)  # from b, of a's
    share(c)
    pull(a)
    found = {status.name: (status.they_accepted, status.they_rejected) for status in a.status().origins}
    assert found == {"b": (2, 1), "c": (2, 0)}
    pull(a)
    assert answers(rebuilt(a))["receipts"] == {b.store.origin: (2, 1), c.store.origin: (2, 0)}


def test_a_decision_over_a_conflict_is_a_receipt_too(world: World) -> None:
    a, b = world.store("a"), world.store("b")
    put(a, "p1", side="a")
    put(b, "p1", side="b")
    meet(a, b)
    accept(b, "plan/p1", theirs=True)
    meet(b, a)
    (status,) = a.status().origins
    assert (status.they_accepted, status.they_rejected) == (1, 0)


# --- what our journal cannot hold ------------------------------------------------------------------------------------

BREAKING: dict[str, dict[str, Any]] = {
    "an empty id": {"item_id": ""},
    "an id with a slash": {"item_id": "../../x"},
    "an id that ends in a dot": {"item_id": "x."},
    "a device name": {"item_id": "con"},
    "an id that is too long": {"item_id": "x" * 128},
    "an id beyond all": {"item_id": "x" * 5_000},
    "an id with a zero": {"item_id": "a\0b"},
    "a type that is none": {"item_type": "Plan"},
    "an empty type": {"item_type": ""},
    "a payload nested too deep": {"payload": json.loads('{"a":' * 65 + "1" + "}" * 65)},
    "a lone surrogate": {"payload": {"text": "\\ud800"}},
}


@pytest.mark.parametrize("case", BREAKING)
def test_a_candidate_that_breaks_our_limits_stays_and_can_be_rejected(world: World, case: str) -> None:
    """[J10] Accepting it exits 2 naming the limit; `--all` lists it in `left` and takes the rest."""
    store, forger = world.store("a"), Forger()
    fields = dict(BREAKING[case])
    forger.record(fields.pop("item_id", "bad"), **fields)
    if case == "a lone surrogate":
        forger.lines.clear()
        forger.chained(b'{"v":2,"seq":1,"action":"create","item_type":"plan","item_id":"bad","payload":{"a":"\\ud800"}')
    forger.record("good")
    forger.feed().put_into(world.bus)
    assert pull(store).exit_code == 0
    bad, good = candidates(store)
    assert good.item_id == "good"
    expected = DecisionNeeded if bad.verdict == Verdict.UNREADABLE else InvalidInput
    for ids in ([bad.id], [good.id, bad.id]):
        with pytest.raises(expected) as caught:
            store.deciding("test").accept(ids)
        assert expected is DecisionNeeded or getattr(caught.value, "rule", None) == "J10"
        assert entities(store) == {}
    report = accept_all(store)
    assert [written.item_id for written in report.written] == ["good"]
    assert [left.id for left in report.left] == [bad.id]
    assert report.left[0].reason

    store.deciding("test").reject([bad.id], reason="too much")
    record = newest(store)
    assert (record.action, record.cause) == ("reject", f"{forger.origin}@1")
    assert [str(item.verdict) for item in candidates(store)] == ["known", "known"]
    assert accept_all(store).left == ()
    before = answers(store)
    assert answers(rebuilt(store)) == before
    store.publish()
    assert store.push(store.remotes(None)).exit_code == 0
    other = world.store("other")
    assert pull(other).exit_code == 0


def test_an_id_that_differs_only_in_case_from_ours_is_left(world: World) -> None:
    """[J10] One file on many systems."""
    a, b = world.store("a"), world.store("b")
    put(a, "Plan-1", "p2")
    put(b, "plan-1")
    meet(a, b)
    assert verdicts(b) == {"plan/Plan-1": "new", "plan/p2": "new"}
    with pytest.raises(InvalidInput, match="case"):
        accept(b, "plan/Plan-1")
    report = accept_all(b)
    assert [written.item_id for written in report.written] == ["p2"]
    assert "case" in report.left[0].reason
    reject(b, "plan/Plan-1")
    assert set(verdicts(b).values()) == {"known"}
    assert list(entities(b)) == ["plan/p2", "plan/plan-1"]


def test_two_candidates_that_differ_only_in_case_are_not_both_taken(world: World) -> None:
    """[J10]"""
    a, b, c = world.store("a"), world.store("b"), world.store("c")
    put(a, "X1")
    put(b, "x1")
    meet(a, b, c)
    report = accept_all(c)
    assert len(report.written) == 1
    assert len(entities(c)) == 1
    report = accept_all(c)
    assert report.written == ()
    assert "case" in report.left[0].reason


def test_claims_of_many_never_grow_beyond_what_a_record_may_have(world: World) -> None:
    """[J10] [K4] Fewer of them yield at worst a conflict."""
    store = world.store("a")
    forgers = [Forger(seed) for seed in (7, 8)]
    for number, forger in enumerate(forgers):
        others = {f"brainclaw:p{number}_{entry}": 1 for entry in range(200)}
        forger.record("p1", context={forger.origin: 1} | others, payload={"title": "same"})
        forger.feed().put_into(world.bus)
        assert pull(store).exit_code == 0
        accept_all(store)
    assert newest(store).claims is not None
    (identical,) = [item for item in candidates(store) if item.verdict != Verdict.KNOWN]
    store.deciding("test").accept([identical.id])
    record = newest(store)
    assert len(record.claims or {}) == 256
    assert record.context == {forger.origin: 1 for forger in forgers}


# --- claims ----------------------------------------------------------------------------------------------------------


def test_a_lie_about_what_was_seen_of_us_is_a_conflict_and_flags_who_told_it(world: World) -> None:
    """[K4] It yields at worst a conflict."""
    a, liar = world.store("a"), Forger()
    put(a, "p1")
    share(a)
    liar.record("p1", context={liar.origin: 1, a.store.origin: 99}, payload={"title": "trust me"})
    liar.feed().put_into(world.bus)
    pull(a)
    assert verdicts(a) == {"plan/p1": "conflict"}
    assert a.holdings.index.flagged_origins() == [liar.origin]


def test_what_became_true_by_a_publish_is_judged_again(world: World) -> None:
    """[K4] A copy of this store published what was not shown yet when it was judged."""
    a, b = both_have(world, "p1")
    put(a, "p1", title="a2")
    share(a)
    pull(b)
    accept_all(b)
    put(b, "p1", title="b after a2")
    share(b)
    pull(a)
    assert verdicts(a) == {"plan/p1": "update"}
    before = answers(a)
    assert answers(rebuilt(a)) == before


def test_a_withheld_version_cannot_have_been_seen(world: World) -> None:
    """[K4] [F1]"""
    a, liar = world.store("a"), Forger()
    put(a, "p1", private=True)
    share(a)
    liar.record("p1", context={liar.origin: 1, a.store.origin: 1}, payload={"title": "I know"})
    liar.feed().put_into(world.bus)
    pull(a)
    assert verdicts(a) == {"plan/p1": "conflict"}


def test_a_record_that_does_not_name_itself_is_unreadable(world: World) -> None:
    """[K4]"""
    a, liar = world.store("a"), Forger()
    liar.record("p1", context={"es1" + "a" * 32: 1})
    liar.record("p2", context={liar.origin: 1})
    liar.record("p3", root="es1" + "a" * 32 + "@5#" + "0" * 12, context={"es1" + "a" * 32: 4})
    liar.feed().put_into(world.bus)
    pull(a)
    assert set(verdicts(a).values()) == {"unreadable"}
    assert all(item.label for item in candidates(a))


def test_types_that_a_store_does_not_publish_itself_can_be_accepted(world: World) -> None:
    """[F1] The filter is about what goes out."""
    a, b = world.store("a"), world.store("b")
    put(a, "i1", item_type="idea")
    publish(a.holdings, PublishSettings(frozenset(["idea"])))
    a.push(a.remotes(None))
    pull(b)
    accept(b, "idea/i1")
    assert entities(b) == {"idea/i1": (1, {"title": "i1"})}


def test_a_difference_shows_both_sides(world: World) -> None:
    a, b = both_have(world, "p1")
    put(a, "p1", side="a")
    put(b, "p1", side="b")
    meet(a, b)
    found = a.inbox.diff(one(a, "plan/p1").id)
    assert (found.local, found.foreign) == ({"title": "p1", "side": "a"}, {"title": "p1", "side": "b"})
    remove(a, "p1")
    found = a.inbox.diff(one(a, "plan/p1").id)
    assert found.local is None
    assert found.local_head is not None
    assert found.local_head.deleted
