"""Merging by example: what is put together, in which order, and what only a person can decide."""

from __future__ import annotations

from typing import Any

import pytest

from federation.merging import ABSENT, MARK, Change, Element, Side, label, left_undecided, marked, merge, same_json


def told(base: object, local: object, foreign: object) -> dict[str, str]:
    """The places that changed, and by whom."""
    return {label(change.path): str(change.side) for change in merge(base, local, foreign).changes}


# --- objects ---------------------------------------------------------------------------------------------------------


def test_what_only_one_side_changed_is_taken_from_it() -> None:
    base = {"title": "Ship", "status": "open", "n": 1}
    local = {"title": "Ship it", "status": "open", "n": 1}
    foreign = {"title": "Ship", "status": "done", "n": 1}
    merged = merge(base, local, foreign)
    assert merged.value == {"title": "Ship it", "status": "done", "n": 1}
    assert told(base, local, foreign) == {"title": "local", "status": "foreign"}


def test_objects_are_merged_inside_however_deep() -> None:
    base = {"owner": {"name": "ada", "at": {"city": "Turin", "zip": "1"}}}
    local = {"owner": {"name": "eve", "at": {"city": "Turin", "zip": "1"}}}
    foreign = {"owner": {"name": "ada", "at": {"city": "Rome", "zip": "1"}, "tel": 7}}
    assert merge(base, local, foreign).value == {"owner": {"name": "eve", "at": {"city": "Rome", "zip": "1"}, "tel": 7}}


def test_the_same_change_on_both_sides_is_no_question() -> None:
    assert merge({"a": 1}, {"a": 2}, {"a": 2}).value == {"a": 2}
    assert told({"a": 1}, {"a": 2, "b": {"c": 1}}, {"a": 2.0, "b": {"c": 1}}) == {"a": "both", "b": "both"}


def test_different_changes_of_one_value_are_undecided() -> None:
    merged = merge({"a": 1, "b": 1}, {"a": 2, "b": 2}, {"a": 3, "b": 1})
    (undecided,) = merged.undecided
    assert undecided == Change(("a",), Side.UNDECIDED, 1, 2, 3)
    assert merged.value == {"a": undecided, "b": 2}


def test_what_one_side_took_out_is_gone_unless_the_other_changed_it() -> None:
    base = {"a": {"x": 1}, "b": {"x": 1}}
    merged = merge(base, {}, {"a": {"x": 1}, "b": {"x": 2}})
    assert [(label(found.path), found.local) for found in merged.undecided] == [("b", ABSENT)]
    assert "a" not in dict(merged.value)  # type: ignore[call-overload]


def test_both_may_put_in_an_object_under_one_key() -> None:
    assert merge({}, {"owner": {"name": "ada"}}, {"owner": {"tel": 7}}).value == {"owner": {"name": "ada", "tel": 7}}


def test_a_value_that_became_an_object_on_both_sides_is_one_value() -> None:
    assert told({"a": 1}, {"a": {"x": 1}}, {"a": {"y": 1}}) == {"a": "undecided"}


def test_null_is_a_value_and_true_is_not_one() -> None:
    assert merge({"a": 1}, {"a": None}, {"a": 1}).value == {"a": None}
    assert told({"a": 1}, {"a": True}, {"a": 1.0}) == {"a": "local"}


# --- lists of objects with an id -------------------------------------------------------------------------------------


def steps(*names: Any, **changed: Any) -> list[Any]:
    return [{"id": name, "done": changed.get(str(name), False)} for name in names]


def test_elements_with_an_id_are_merged_each_by_itself() -> None:
    merged = merge(steps("a", "b", "c"), steps("a", "b", "c", b=True), steps("a", "b", "c", c=True))
    assert merged.value == steps("a", "b", "c", b=True, c=True)
    assert [label(change.path) for change in merged.changes] == ["[b].done", "[c].done"]


def test_what_each_side_put_in_stands_where_it_was_put() -> None:
    merged = merge(steps("a", "b"), steps("a", "x", "b"), steps("a", "b", "y"))
    assert merged.value == steps("a", "x", "b", "y")
    assert merge(steps("a"), steps("a", "x"), steps("a", "m")).value == steps("a", "m", "x")  # in one place: by id


def test_an_element_that_one_side_took_out_is_gone() -> None:
    assert merge(steps("a", "b"), steps("b"), steps("a", "b", b=True)).value == steps("b", b=True)


def test_an_element_taken_out_here_and_changed_there_is_undecided() -> None:
    merged = merge({"s": steps("a", "b")}, {"s": steps("b")}, {"s": steps("a", "b", a=True)})
    assert [label(found.path) for found in merged.undecided] == ["s[a]"]


def test_an_order_that_one_side_changed_is_taken() -> None:
    merged = merge(steps("a", "b", "c"), steps("a", "b", "c", a=True), steps("c", "a", "b"))
    assert merged.value == steps("c", "a", "b", a=True)
    assert [(label(change.path), str(change.side)) for change in merged.changes] == [
        (" (order)", "foreign"),
        ("[a].done", "local"),
    ]


def test_two_orders_make_the_list_one_value() -> None:
    merged = merge({"s": steps("a", "b", "c")}, {"s": steps("b", "a", "c")}, {"s": steps("a", "c", "b")})
    assert [label(found.path) for found in merged.undecided] == ["s"]


@pytest.mark.parametrize(
    "odd", [[{"name": "x"}], [{"id": None}], [{"id": 1.5}], [{"id": True}], steps("a", "a"), ["a", {"id": "a"}]]
)
def test_a_list_whose_elements_have_no_ids_of_their_own_is_one_value(odd: list[Any]) -> None:
    assert told({"s": odd}, {"s": [*odd, *steps("b")]}, {"s": [*odd, *steps("c")]}) == {"s": "undecided"}


# --- lists of plain values -------------------------------------------------------------------------------------------


def test_what_both_sides_put_into_a_list_of_plain_values_is_all_there() -> None:
    merged = merge({"tags": ["a", "b"]}, {"tags": ["a", "x", "b"]}, {"tags": ["0", "a", "b", "c"]})
    assert merged.value == {"tags": ["0", "a", "x", "b", "c"]}
    assert [str(change.side) for change in merged.changes] == ["joined"]


def test_two_new_lists_of_plain_values_go_together() -> None:
    assert merge({}, {"tags": ["b", 1]}, {"tags": ["a", 1.0]}).value == {"tags": ["a", 1, "b"]}


@pytest.mark.parametrize(
    ("local", "foreign"),
    [
        (["a"], ["a", "b", "c"]),  # one took something out
        (["b", "a"], ["a", "b", "c"]),  # one changed the order
        (["a", "b", "b"], ["a", "b", "c"]),  # a value twice
        (["a", "b", ["x"]], ["a", "b", "c"]),  # a value with an inside
        ("a, b", ["a", "b", "c"]),
    ],
)
def test_any_other_change_of_both_leaves_the_list_undecided(local: Any, foreign: Any) -> None:
    assert told({"tags": ["a", "b"]}, {"tags": local}, {"tags": foreign}) == {"tags": "undecided"}


# --- the whole -------------------------------------------------------------------------------------------------------


def test_a_deletion_against_a_change_is_undecided_as_a_whole() -> None:
    (undecided,) = merge({"a": 1}, {"a": 2}, ABSENT).undecided
    assert (label(undecided.path), undecided.foreign) == ("", ABSENT)


def test_a_deletion_of_what_nobody_changed_is_a_deletion() -> None:
    assert merge({"a": 1}, {"a": 1}, ABSENT).value is ABSENT


def test_without_a_base_only_what_is_the_same_or_on_one_side_is_decided() -> None:
    merged = merge(ABSENT, {"a": 1, "b": 1, "c": 1}, {"a": 1, "b": 2, "d": 1})
    assert [label(found.path) for found in merged.undecided] == ["b"]
    assert {key for key, value in dict(merged.value).items() if value == 1} == {"a", "c", "d"}  # type: ignore[call-overload]


def nested(levels: int, inside: object) -> object:
    for _ in range(levels):
        inside = {"in": inside}
    return inside


def test_what_is_deeper_than_any_payload_of_ours_is_one_value() -> None:
    """[J10] A bridged record may go deeper; no depth makes the program fail."""
    found = merge(*(nested(300, {name: 1}) for name in ("base", "local", "foreign")))
    (undecided,) = found.undecided
    assert len(undecided.path) == 64


# --- for people ------------------------------------------------------------------------------------------------------


def test_a_place_is_named_as_people_write_it() -> None:
    assert label(("steps", Element("s1"), "owner")) == "steps[s1].owner"
    assert label(("a.b", "c d", "e")) == '"a.b"."c d".e'
    assert label((Element(3), "x")) == "[3].x"


def test_undecided_places_are_marked_and_found_until_they_are_decided() -> None:
    payload, mark = marked(merge({"a": 1, "l": {}}, {"a": 2, "l": {"x": 1}}, {"l": {"x": 2}}))
    assert mark == MARK
    assert payload["a"] == {MARK: payload["a"][MARK], "base": 1, "local": 2}
    assert payload["l"]["x"] == {MARK: payload["a"][MARK], "local": 1, "foreign": 2}
    assert left_undecided(payload, mark) == ["a", "l.x"]
    payload["l"]["x"] = 3
    assert left_undecided(payload, mark) == ["a"]
    del payload["a"]
    assert left_undecided(payload, mark) == []


def test_a_deletion_against_a_change_is_marked_at_its_top() -> None:
    for local, foreign in (({"a": 2}, ABSENT), (ABSENT, {"a": 2})):
        payload, mark = marked(merge({"a": 1}, local, foreign))
        assert [*payload] == [MARK, "a"]
        assert left_undecided(payload, mark) == ["all of it"]


def test_no_key_of_a_payload_is_taken_for_the_mark() -> None:
    payload, mark = marked(merge({}, {MARK: {f"<{MARK}>": 1}, "a": 1}, {"a": 2}))
    assert mark == f"<<{MARK}>>"
    assert left_undecided(payload, mark) == ["a"]


def test_the_same_json_value() -> None:
    assert same_json({"a": [1, {"b": None}]}, {"a": [1.0, {"b": None}]})
    assert not same_json([1], [True])
    assert not same_json("1", 1)
    assert not same_json({"a": 1}, {"a": 1, "b": 1})
