"""Causality by example: one test per line of the tables K1 to K5. Random worlds are in tests/property."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from federation.causality import ForeignHead, Joined, Judgement, PutBack, is_taken_back, join, judge, put_back
from federation.model import Verdict
from journal import MAX_CONTEXT_ENTRIES, LocalHead, Version
from journal.model import Place

A, B, C, D = (f"es1{letter * 32}" for letter in "abcd")
OURS = D
OLD = f"es1{'o' * 32}"  # an origin of ours from before a renew
KEY = ("plan", "x")


@dataclass
class Known:
    """Facts of the store D: what it showed, how far it pinned others, and which mirrored records are versions of x."""

    pins: Mapping[str, int] = field(default_factory=dict)
    versions: Mapping[str, list[int]] = field(default_factory=dict)
    others: Mapping[str, list[int]] = field(default_factory=dict)  # mirrored, of another entity
    copies: bool | None = None  # whether a copy is the mirrored record it names; None: that one is not shown
    published: frozenset[int] = frozenset(range(1, 100))
    old_last_seq: int = 0
    taken_back: frozenset[tuple[str, int]] = frozenset()  # versions of ours that accepts made, and undo took back

    def is_self(self, origin: str, seq: int) -> bool:
        return origin == OURS or (origin == OLD and seq <= self.old_last_seq)

    def shown(self, seq: int) -> bool:
        return seq in self.published

    def undone(self, origin: str, seq: int, item_type: str, item_id: str) -> bool:
        return (origin, seq) in self.taken_back

    def pin(self, origin: str) -> int:
        return self.pins.get(origin, 0)

    def newest_version(self, origin: str, item_type: str, item_id: str) -> int:
        return max(self.versions.get(origin, []), default=0)

    def is_version(self, origin: str, seq: int, item_type: str, item_id: str) -> bool | None:
        if seq in self.versions.get(origin, []):
            return True
        return False if seq in self.others.get(origin, []) else None

    def is_copy(self, foreign: ForeignHead) -> bool | None:
        return self.copies


def version(origin: str, seq: int) -> Version:
    return Version(origin, seq, f"{seq:012x}")


def foreign(
    origin: str,
    seq: int,
    context: Mapping[str, int] | None = None,
    *,
    root: Version | None = None,
    claims: Mapping[str, int] | None = None,
    tombstone: bool = False,
    unreadable: str | None = None,
) -> ForeignHead:
    digest = version(origin, seq).digest + "0" * 52
    return ForeignHead(origin, *KEY, seq, digest, tombstone, root, context, claims or {}, unreadable)


def local(
    head: Version,
    context: Mapping[str, int] | None = None,
    *,
    claims: Mapping[str, int] | None = None,
    deleted: bool = False,
) -> LocalHead:
    context = {head.origin: head.seq} if context is None else context
    place = Place(1, 0, 0)
    return LocalHead(*KEY, 1, 1, "c" * 64, head, context, claims or {}, deleted, False, None, place)


def judged(
    head: ForeignHead,
    ours: LocalHead | None = None,
    facts: Known | None = None,
    *,
    decided: bool = False,
    same: bool = False,
) -> Judgement:
    return judge(head, ours, decided=decided, same_payload=lambda: same, facts=facts or Known({head.origin: head.seq}))


def joined(head: ForeignHead, ours: LocalHead | None = None, facts: Known | None = None) -> Joined:
    return join(head, ours, facts or Known({head.origin: head.seq}, {head.origin: [head.seq]}))


# --- versions and contexts -------------------------------------------------------------------------------------------


def test_an_authored_record_is_its_own_version() -> None:
    """[K1]"""
    assert foreign(A, 3).version == version(A, 3)


def test_a_copy_is_the_version_of_its_root() -> None:
    """[K1]"""
    assert foreign(B, 7, {A: 3}, root=version(A, 3)).version == version(A, 3)


def test_an_absent_context_names_the_record_itself() -> None:
    """[K2]"""
    assert foreign(A, 3).full_context == {A: 3}


def test_a_join_takes_the_maximum_of_both_and_adds_nothing() -> None:
    """[K2]: an authored record adds itself when it is sealed."""
    facts = Known({A: 9, B: 9}, {A: [2, 5], B: [1, 4]})
    found = joined(foreign(A, 5, {A: 5, B: 1}), local(version(OURS, 3), {OURS: 3, A: 2, B: 4}), facts)
    assert found == Joined({OURS: 3, A: 5, B: 4}, {}, ())


def test_a_join_without_a_local_record_is_what_the_other_side_says() -> None:
    """[K2]"""
    assert joined(foreign(A, 5)) == Joined({A: 5}, {}, ())


# --- the table of verdicts -------------------------------------------------------------------------------------------


def test_what_never_was_here_is_new() -> None:
    """[K3]"""
    assert judged(foreign(A, 1)) == Judgement(Verdict.NEW)


def test_a_tombstone_of_what_never_was_here_is_known() -> None:
    """[K3]"""
    assert judged(foreign(A, 1, tombstone=True)).verdict is Verdict.KNOWN


def test_a_version_in_our_context_is_known() -> None:
    """[K3]"""
    assert judged(foreign(A, 3), local(version(OURS, 1), {OURS: 1, A: 3})) == Judgement(Verdict.KNOWN)


def test_a_version_older_than_our_context_is_known() -> None:
    """[K3]"""
    assert judged(foreign(A, 2), local(version(A, 3))).verdict is Verdict.KNOWN


def test_a_version_newer_than_our_context_is_not_known() -> None:
    """[K3]"""
    assert judged(foreign(A, 4), local(version(A, 3))).verdict is not Verdict.KNOWN


def test_our_own_version_that_comes_back_is_an_echo() -> None:
    """[K3]"""
    copy = foreign(A, 3, {OURS: 1}, root=version(OURS, 1))
    assert judged(copy, local(version(OURS, 1))) == Judgement(Verdict.KNOWN, "echo")


def test_a_copy_of_a_version_we_have_is_a_duplicate() -> None:
    """[K3]"""
    copy = foreign(B, 3, {A: 1}, root=version(A, 1))
    assert judged(copy, local(version(A, 1))) == Judgement(Verdict.KNOWN, "duplicate")


@pytest.mark.parametrize("ours", [None, local(version(OURS, 1))])
def test_a_decision_covers_a_version_from_whomever_it_comes(ours: LocalHead | None) -> None:
    """[K5]"""
    assert judged(foreign(A, 3), ours, decided=True).verdict is Verdict.KNOWN
    assert judged(foreign(B, 9, {A: 3}, root=version(A, 3)), ours, decided=True).verdict is Verdict.KNOWN


def test_what_is_settled_stays_settled_when_it_is_redacted() -> None:
    """[K3]: known comes before unreadable."""
    head = foreign(A, 3, unreadable="redacted")
    assert judged(head, decided=True).verdict is Verdict.KNOWN
    assert judged(head, local(version(A, 3))).verdict is Verdict.KNOWN


def test_what_cannot_be_read_is_unreadable_and_says_why() -> None:
    """[K3]"""
    assert judged(foreign(A, 3, unreadable="redacted")) == Judgement(Verdict.UNREADABLE, "redacted")


def test_the_same_payload_is_identical_however_it_came_about() -> None:
    """[K3]"""
    ours = local(version(OURS, 1))
    assert judged(foreign(A, 1), ours, same=True).verdict is Verdict.IDENTICAL
    assert judged(foreign(A, 2, {A: 2, OURS: 1}), ours, same=True).verdict is Verdict.IDENTICAL


def test_two_tombstones_are_identical() -> None:
    """[K3]"""
    ours = local(version(OURS, 1), deleted=True)
    assert judged(foreign(A, 1, tombstone=True), ours).verdict is Verdict.IDENTICAL


def test_an_edit_that_has_seen_our_latest_is_an_update() -> None:
    """[K3]"""
    assert judged(foreign(A, 2, {A: 2, OURS: 1}), local(version(OURS, 1))) == Judgement(Verdict.UPDATE)


def test_a_deletion_that_has_seen_our_latest_is_gone() -> None:
    """[K3]"""
    head = foreign(A, 2, {A: 2, OURS: 1}, tombstone=True)
    assert judged(head, local(version(OURS, 1))) == Judgement(Verdict.GONE)


def test_edits_that_have_not_seen_each_other_conflict() -> None:
    """[K3]"""
    assert judged(foreign(A, 2, {A: 2, OURS: 1}), local(version(OURS, 3))) == Judgement(Verdict.CONFLICT)


@pytest.mark.parametrize("deleted_here", [True, False])
def test_an_edit_against_a_delete_is_a_conflict(deleted_here: bool) -> None:
    """[K3]"""
    head = foreign(A, 2, tombstone=not deleted_here)
    assert judged(head, local(version(OURS, 3), deleted=deleted_here), same=True).verdict is Verdict.CONFLICT


def test_what_is_created_again_after_a_tombstone_is_an_update_to_those_who_deleted_too() -> None:
    """[K2] [K3]: context goes on over the tombstone, so there is no second beginning."""
    ours = local(version(A, 2), deleted=True)  # we accepted the deletion A@2
    assert judged(foreign(A, 3), ours).verdict is Verdict.UPDATE


def test_what_is_created_again_without_having_seen_our_deletion_is_a_conflict() -> None:
    """[K3]"""
    ours = local(version(OURS, 5), {OURS: 5, A: 2}, deleted=True)
    assert judged(foreign(A, 3, {A: 3, OURS: 4}), ours).verdict is Verdict.CONFLICT


def test_an_old_record_from_before_our_deletion_is_known() -> None:
    """[K3]"""
    assert judged(foreign(A, 1), local(version(A, 2), deleted=True)).verdict is Verdict.KNOWN


@pytest.mark.parametrize(
    ("head", "ours", "times"),
    [
        (foreign(A, 1), local(version(A, 1)), 0),
        (foreign(A, 1), None, 0),
        (foreign(A, 1, tombstone=True), local(version(OURS, 1)), 0),
        (foreign(A, 1), local(version(OURS, 1)), 1),
    ],
    ids=["known", "new", "tombstone", "conflict"],
)
def test_payloads_are_compared_once_and_only_where_it_matters(
    head: ForeignHead, ours: LocalHead | None, times: int
) -> None:
    """[K3]: they stand in mirrors and journals, far away."""
    asked = 0

    def same_payload() -> bool:
        nonlocal asked
        asked += 1
        return False

    judge(head, ours, decided=False, same_payload=same_payload, facts=Known({A: 1}))
    assert asked == times


# --- through others --------------------------------------------------------------------------------------------------


def test_a_copy_of_a_copy_of_a_copy_is_new_where_only_neighbours_are_pulled() -> None:
    """[K1] [K4]: A → B → C → D. Each knows its neighbour only, and the root lies beyond the pins of C and D."""
    root = version(A, 1)
    by_b = join(foreign(A, 1), None, Known({A: 1}, {A: [1]}))
    at_b = foreign(B, 1, by_b.context, root=root, claims=by_b.claims)
    by_c = join(at_b, None, Known({B: 1}))
    at_c = foreign(C, 1, by_c.context, root=root, claims=by_c.claims)
    assert (by_c.context, by_c.claims) == ({}, {A: 1})
    assert judged(at_c, facts=Known({C: 1})).verdict is Verdict.NEW
    assert join(at_c, None, Known({C: 1})) == Joined({}, {A: 1}, ())


def test_an_edit_of_a_copy_is_an_update_to_who_has_the_copy_by_claims_alone() -> None:
    """[K3] [K4]: claims count for update."""
    ours = local(version(A, 1), {}, claims={A: 1})
    assert judged(foreign(C, 2, {C: 2}, claims={A: 1}), ours).verdict is Verdict.UPDATE


def test_claims_do_not_count_for_known() -> None:
    """[K4]"""
    ours = local(version(B, 2), {B: 2}, claims={A: 3})
    assert judged(foreign(A, 3), ours).verdict is Verdict.CONFLICT


def test_a_version_beyond_our_pin_may_be_known_better_later() -> None:
    """[K4]: the verdict is asked again when the mirror of A gets there."""
    ours = local(version(A, 3), {}, claims={A: 3})
    assert judged(foreign(B, 2, {B: 2, A: 4}), ours) == Judgement(Verdict.UPDATE, waits_on=(A, 4))


def test_a_copy_whose_root_lies_beyond_our_pin_may_be_told_better_later() -> None:
    """[K4]: our mirror of A may show that A@4 is another entity."""
    copy = foreign(B, 2, {A: 4}, root=version(A, 4))
    assert judged(copy) == Judgement(Verdict.NEW, root_waits_on=(A, 4))
    assert judged(copy, facts=Known({A: 4, B: 2}, {A: [4]})) == Judgement(Verdict.NEW)


# --- what cannot be --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("context", [{}, {B: 1}, {A: 2}, {A: 4}])
def test_an_authored_record_that_does_not_name_itself_is_unreadable(context: dict[str, int]) -> None:
    """[K4]"""
    found = judged(foreign(A, 3, context))
    assert found[:2] == (Verdict.UNREADABLE, "authored, but its context does not name itself")
    assert found.false_entry == ((A, 4) if context == {A: 4} else None)


def test_a_copy_whose_context_and_claims_do_not_reach_its_root_is_unreadable() -> None:
    """[K4]"""
    found = judged(foreign(B, 3, {A: 4, B: 2}, root=version(A, 5), claims={A: 3}))
    assert found == Judgement(Verdict.UNREADABLE, "a copy whose context does not reach its root")


@pytest.mark.parametrize("vectors", [({A: 5}, {}), ({}, {A: 5}), ({A: 6}, {A: 1})])
def test_a_copy_that_reaches_its_root_by_context_or_claims_is_read(
    vectors: tuple[dict[str, int], dict[str, int]],
) -> None:
    """[K4]"""
    context, claims = vectors
    assert judged(foreign(B, 3, context, root=version(A, 5), claims=claims)).verdict is Verdict.NEW


def test_256_entries_are_read_and_257_are_unreadable() -> None:
    """[K4]"""

    def many(count: int) -> dict[str, int]:
        return {f"es1{number:032}": 1 for number in range(count)}

    assert judged(foreign(A, 1, {A: 1, **many(MAX_CONTEXT_ENTRIES - 1)})).verdict is Verdict.NEW
    assert judged(foreign(A, 1, {A: 1, **many(MAX_CONTEXT_ENTRIES)})).verdict is Verdict.UNREADABLE
    assert judged(foreign(A, 1, claims=many(MAX_CONTEXT_ENTRIES))).verdict is Verdict.NEW
    assert judged(foreign(A, 1, claims=many(MAX_CONTEXT_ENTRIES + 1))).verdict is Verdict.UNREADABLE


@pytest.mark.parametrize("seq", [3, 4])
def test_a_copy_of_a_later_record_of_its_own_origin_is_unreadable(seq: int) -> None:
    """[K4]"""
    found = judged(foreign(A, 3, {A: seq}, root=version(A, seq)))
    assert found == Judgement(Verdict.UNREADABLE, "a copy of a later record", false_entry=(A, seq))


def test_a_copy_of_a_version_of_ours_that_we_do_not_have_is_unreadable() -> None:
    """[K4]"""
    head = foreign(A, 3, {OURS: 9}, root=version(OURS, 9))
    for ours in (None, local(version(OURS, 8))):
        assert judged(head, ours).label == "a copy of a version of ours that we do not have"


@pytest.mark.parametrize("pinned", [2, 9])
def test_a_copy_that_differs_from_the_mirrored_record_it_names_is_unreadable(pinned: int) -> None:
    """[K4]: in digest, entity, kind or payload."""
    head = foreign(B, 3, {A: 2}, root=version(A, 2))
    found = judged(head, facts=Known({A: pinned, B: 3}, copies=False))
    assert found == Judgement(Verdict.UNREADABLE, "a copy that differs from the record it names")


@pytest.mark.parametrize("copies", [True, None], ids=["the same", "withheld"])
def test_a_copy_of_what_we_mirror_or_of_what_its_origin_withholds_is_read(copies: bool | None) -> None:
    """[K4]: of what is withheld nobody can tell what it is."""
    head = foreign(B, 3, {A: 2}, root=version(A, 2))
    assert judged(head, facts=Known({A: 9, B: 3}, copies=copies)) == Judgement(Verdict.NEW)


def test_a_copy_is_not_compared_with_what_lies_beyond_our_pin() -> None:
    """[K4]: nothing above it was verified."""
    head = foreign(B, 3, {A: 2}, root=version(A, 2))
    found = judged(head, facts=Known({A: 1, B: 3}, copies=False))
    assert found == Judgement(Verdict.NEW, root_waits_on=(A, 2))


def test_a_false_copy_of_what_we_have_stays_known() -> None:
    """[K3]: known comes before unreadable; nobody is asked about a lie on what is settled."""
    head = foreign(B, 3, {A: 2}, root=version(A, 2))
    assert judged(head, local(version(A, 2)), Known({A: 9, B: 3}, copies=False)) == Judgement(
        Verdict.KNOWN, "duplicate"
    )


def test_an_entry_for_what_we_never_published_counts_as_absent() -> None:
    """[K4]: nobody but a copy of this store can have seen it, and anybody can say so: no lie, and not enough."""
    facts = Known({A: 2}, published=frozenset([1]))
    found = judged(foreign(A, 2, {A: 2, OURS: 3}), local(version(OURS, 3)), facts)
    assert found == Judgement(Verdict.CONFLICT, waits_on=(OURS, 3))


def test_an_entry_above_all_we_ever_wrote_counts_as_absent() -> None:
    """[K4]"""
    found = judged(foreign(A, 2, {A: 2, OURS: 7}), local(version(OURS, 3)))
    assert found == Judgement(Verdict.CONFLICT, false_entry=(OURS, 7))


def test_a_false_entry_does_not_spoil_a_true_claim() -> None:
    """[K4]"""
    head = foreign(A, 2, {A: 2, OURS: 7}, claims={OURS: 3})
    assert judged(head, local(version(OURS, 3))) == Judgement(Verdict.UPDATE, false_entry=(OURS, 7))


def test_an_entry_of_an_origin_above_its_own_record_counts_as_absent() -> None:
    """[K4]: a copy says that it includes what its origin had not written yet."""
    head = foreign(A, 2, {A: 5, B: 1}, root=version(B, 1))
    found = judged(head, local(version(A, 4), {A: 4}), Known({A: 2, B: 1}))
    assert found == Judgement(Verdict.CONFLICT, false_entry=(A, 5))


def test_a_copy_does_not_include_itself() -> None:
    """[K2] [K4]: a copy adds nothing."""
    head = foreign(A, 2, {A: 2, B: 1}, root=version(B, 1))
    assert joined(head, facts=Known({A: 2, B: 1}, {B: [1]})) == Joined({B: 1}, {}, ((A, 2),))


def test_an_entry_for_a_mirrored_record_of_another_entity_counts_as_absent() -> None:
    """[K4]"""
    facts = Known({A: 2, B: 9}, others={B: [5]})
    found = judged(foreign(A, 2, {A: 2, B: 5}), local(version(B, 4)), facts)
    assert found == Judgement(Verdict.CONFLICT, false_entry=(B, 5))
    assert joined(foreign(A, 2, {A: 2, B: 5}), None, facts) == Joined({A: 2}, {}, ((B, 5),))


@pytest.mark.parametrize("ours", [None, local(version(OURS, 2)), local(version(B, 1), {B: 1})])
@pytest.mark.parametrize("same", [False, True])
@pytest.mark.parametrize("decided", [False, True])
def test_who_says_it_has_seen_what_we_never_wrote_is_flagged_whatever_the_verdict(
    ours: LocalHead | None, same: bool, decided: bool
) -> None:
    """[K4]"""
    head = foreign(A, 2, {A: 2, OURS: 7})
    assert judged(head, ours, decided=decided, same=same).false_entry == (OURS, 7)


def test_who_passes_on_in_claims_what_cannot_be_is_not_flagged() -> None:
    """[K4]: claims are what others said."""
    ours = local(version(OURS, 2))
    found = judged(foreign(A, 2, {A: 2}, claims={OURS: 7}), ours)
    assert found == Judgement(Verdict.CONFLICT)


@pytest.mark.parametrize(("newest", "kept"), [([3], {A: 2, B: 3}), ([3, 6], {A: 2}), ([], {A: 2})])
def test_an_entry_that_a_mirror_does_not_show_is_a_claim(newest: list[int], kept: dict[str, int]) -> None:
    """[K4]: as above our pin, but for what the mirror does show."""
    facts = Known({A: 2, B: 9}, {A: [2], B: newest})
    found = joined(foreign(A, 2, {A: 2, B: 5}), None, facts)
    assert found == Joined(kept, {B: 5}, ())


def test_an_entry_for_a_withheld_record_is_taken() -> None:
    """[K4]: nobody can tell what it is."""
    facts = Known({A: 2, B: 9})
    assert judged(foreign(A, 2, {A: 2, B: 5}), local(version(B, 4)), facts).verdict is Verdict.UPDATE


def test_a_former_origin_is_ours_up_to_its_last_record() -> None:
    """[K4] [I2]"""
    ours = local(version(OLD, 4))
    head = foreign(A, 2, {A: 2, OLD: 4})
    assert judged(head, ours, Known({A: 2}, old_last_seq=4)).verdict is Verdict.UPDATE
    above = foreign(A, 2, {OLD: 4}, root=version(OLD, 4))
    assert judged(above, ours, Known({A: 2}, old_last_seq=4)) == Judgement(Verdict.KNOWN, "echo")


def test_a_version_under_a_former_origin_is_shown_by_a_copy_under_the_new_one() -> None:
    """[K4] [I2]: what was published again as a copy after the renew."""
    head, ours = foreign(A, 2, {A: 2, OLD: 4}), local(version(OLD, 4))
    assert judged(head, ours, Known({A: 2}, old_last_seq=4, published=frozenset())).verdict is Verdict.CONFLICT
    facts = Known({A: 2}, old_last_seq=4, published=frozenset([7]))
    assert judged(head, ours._replace(seq=7), facts) == Judgement(Verdict.UPDATE)


def test_what_another_copy_of_the_store_writes_under_our_former_origin_is_as_foreign_as_any() -> None:
    """[K4] [I2] [F8]: the store that we were copied from goes on."""
    ours, head = local(version(OLD, 4)), foreign(A, 2, {A: 2, OLD: 6})
    assert judged(head, ours, Known({A: 2}, old_last_seq=4)) == Judgement(Verdict.UPDATE, waits_on=(OLD, 6))
    assert judged(head, ours, Known({A: 2, OLD: 6}, {OLD: [6]}, old_last_seq=4)) == Judgement(Verdict.UPDATE)
    assert joined(head, ours, Known({A: 2}, {A: [2]}, old_last_seq=4)) == Joined({A: 2, OLD: 4}, {OLD: 6}, ())


def test_only_what_we_saw_of_another_copy_of_the_store_includes_what_we_never_showed() -> None:
    """[K4] [I2]: its versions build on all that both had; anybody may say that it has seen one."""
    ours, head = local(version(OLD, 4)), foreign(A, 2, {A: 2, OLD: 6})
    secret = frozenset[int]()
    unseen = Known({A: 2}, old_last_seq=4, published=secret)
    assert judged(head, ours, unseen) == Judgement(Verdict.CONFLICT, waits_on=(OLD, 4))
    withheld = Known({A: 2, OLD: 6}, old_last_seq=4, published=secret)
    assert judged(head, ours, withheld) == Judgement(Verdict.CONFLICT, waits_on=(OLD, 4))
    seen = Known({A: 2, OLD: 6}, {OLD: [6]}, old_last_seq=4, published=secret)
    assert judged(head, ours, seen) == Judgement(Verdict.UPDATE)
    assert judged(foreign(OLD, 6), ours, withheld) == Judgement(Verdict.UPDATE)


# --- what an accept takes over ---------------------------------------------------------------------------------------


def test_entries_above_our_pin_go_to_claims_and_leave_the_newest_we_hold() -> None:
    """[K4]"""
    head = foreign(A, 2, {A: 2, B: 9})
    assert joined(head, facts=Known({A: 2, B: 5}, {A: [2], B: [3]})) == Joined({A: 2, B: 3}, {B: 9}, ())


def test_entries_of_origins_we_never_pinned_go_to_claims_alone() -> None:
    """[K4]"""
    assert joined(foreign(A, 2, {A: 2, B: 9})) == Joined({A: 2}, {B: 9}, ())


def test_an_entry_at_our_pin_goes_to_the_context() -> None:
    """[K4]"""
    head = foreign(A, 2, {A: 2, B: 5})
    assert joined(head, facts=Known({A: 2, B: 5}, {A: [2], B: [5]})) == Joined({A: 2, B: 5}, {}, ())


def test_claims_are_joined_and_carried_and_never_become_context() -> None:
    """[K4]"""
    head = foreign(A, 2, claims={B: 4, C: 1})
    facts = Known({A: 2, B: 9, C: 9}, {A: [2], B: [4], C: [1]})
    ours = local(version(OURS, 1), claims={B: 3, C: 6})
    assert joined(head, ours, facts) == Joined({OURS: 1, A: 2}, {B: 4, C: 6}, ())


def test_what_others_claim_of_us_is_not_carried() -> None:
    """[K4]: we know better."""
    found = joined(foreign(A, 2, {A: 2}, claims={OURS: 1}), local(version(OURS, 3)))
    assert found == Joined({OURS: 3, A: 2}, {}, ())


def test_a_false_claim_is_left_out_and_told() -> None:
    """[K4]"""
    found = joined(foreign(A, 2, {A: 2, OURS: 8}, claims={OURS: 9}), local(version(OURS, 3)))
    assert found == Joined({OURS: 3, A: 2}, {}, ((OURS, 8), (OURS, 9)))


def test_entries_we_include_already_are_not_asked_about() -> None:
    """[K4]: a version of ours that we withheld, and showed only within a later copy, is no lie."""
    facts = Known({A: 2, B: 9}, {A: [2]}, {B: [4]}, published=frozenset())
    head = foreign(A, 2, {A: 2, OURS: 3, B: 4}, claims={C: 1})
    ours = local(version(OURS, 3), {OURS: 3, B: 4, C: 2})
    assert joined(head, ours, facts) == Joined({A: 2, OURS: 3, B: 4, C: 2}, {}, ())


def test_claims_that_say_no_more_than_the_context_are_dropped() -> None:
    """[K4]: ours as well, once the versions themselves were accepted."""
    ours = local(version(B, 4), {B: 4}, claims={A: 1, C: 7})
    facts = Known({A: 2, B: 9}, {A: [2], B: [4]})
    assert joined(foreign(A, 2, {A: 2}), ours, facts) == Joined({A: 2, B: 4}, {C: 7}, ())


def test_of_more_claims_than_a_record_holds_that_of_the_root_is_kept() -> None:
    """[K4]: a copy must reach its root; what else is dropped yields at worst a conflict."""
    many = {f"es1{number:032}": 1 for number in range(MAX_CONTEXT_ENTRIES)}
    root = version(f"es1{'z' * 32}", 5)
    ours = local(version(OURS, 1), claims=many)
    found = joined(foreign(A, 2, {}, root=root, claims={root.origin: 5}), ours, Known({A: 2}))
    assert len(found.claims) == MAX_CONTEXT_ENTRIES
    assert found.claims[root.origin] == 5
    assert found.claims.items() <= {*many.items(), (root.origin, 5)}
    assert found.false_entries == ()


def test_our_copy_reaches_its_root_whatever_else_its_source_says() -> None:
    """[K4]: otherwise nobody could read what we publish. B@4 is no version of x, B@3 is."""
    head = foreign(A, 2, {B: 4}, root=version(B, 3))
    facts = Known({A: 2, B: 9}, {B: [3]}, {B: [4]})
    assert judged(head, facts=facts).verdict is Verdict.NEW
    found = joined(head, facts=facts)
    assert max(found.context.get(B, 0), found.claims.get(B, 0)) >= 3


# --- what was undone -------------------------------------------------------------------------------------------------


def test_an_undo_of_what_is_new_leaves_what_counts_as_never_had() -> None:
    """[K3] [K5] The tombstone names what was accepted and does not reach it."""
    found = put_back(None, version(A, 3))
    assert found == PutBack(version(A, 3), {}, {})
    nothing = local(found.root, found.context, deleted=True)
    assert is_taken_back(nothing)
    assert judged(foreign(A, 3), nothing).verdict is Verdict.NEW
    assert judged(foreign(A, 5, tombstone=True), nothing).verdict is Verdict.KNOWN
    assert not is_taken_back(local(version(OURS, 4), deleted=True))
    assert not is_taken_back(local(version(A, 3), {}, claims={A: 3}, deleted=True))


def test_an_undo_is_a_copy_of_the_former_head_with_what_that_included() -> None:
    """[K5]"""
    former = local(version(OURS, 2), {OURS: 2, B: 4}, claims={C: 1})
    assert put_back(former, version(A, 3)) == PutBack(version(OURS, 2), {OURS: 2, B: 4}, {C: 1})


@pytest.mark.parametrize("ours", [None, local(version(OURS, 2))])
def test_what_others_took_back_asks_nobody(ours: LocalHead | None) -> None:
    """[K3] A tombstone that is a copy and does not reach its root; a live copy of that kind cannot be read [K4]."""
    taken_back = foreign(B, 9, {}, root=version(A, 3), tombstone=True)
    assert judged(taken_back, ours).verdict is Verdict.KNOWN
    assert judged(taken_back._replace(tombstone=False), ours).verdict is Verdict.UNREADABLE
    assert judged(taken_back._replace(root=None), ours).verdict is Verdict.UNREADABLE
    assert judged(taken_back._replace(unreadable="redacted"), ours).verdict is Verdict.UNREADABLE


def test_a_version_of_ours_that_was_undone_is_known_and_no_lie() -> None:
    """[K3] [K4]"""
    ours, facts = local(version(OURS, 2)), Known({A: 9}, taken_back=frozenset([(OURS, 4)]))
    assert judged(foreign(A, 7, {OURS: 4}, root=version(OURS, 4)), ours, facts) == Judgement(Verdict.KNOWN, "echo")
    assert judged(foreign(A, 7, {A: 7, OURS: 4}), ours, facts) == Judgement(Verdict.UPDATE)
    assert judged(foreign(A, 7, {A: 7, OURS: 5}), ours, facts) == Judgement(Verdict.CONFLICT, None, (OURS, 5))
    assert joined(foreign(A, 7, {A: 7}, claims={OURS: 4}), ours, facts).context == {A: 7, OURS: 4}
