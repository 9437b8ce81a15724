"""Merging, for any payloads: nothing is lost, nothing invented, and both sides come to the same."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from federation.merging import ABSENT, Change, Merged, Side, left_undecided, marked, merge, same_json

KEYS = st.sampled_from(["title", "status", "steps", "tags", "id", "a.b"])
PLAIN = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 2), st.sampled_from([0.0, 1.0, 2.5]), st.sampled_from("abc")
)
ELEMENTS = st.lists(
    st.fixed_dictionaries({"id": st.sampled_from(["s1", "s2", "s3", 4, 5]), "v": PLAIN}),
    max_size=4,
    unique_by=lambda element: element["id"],
)
VALUES = st.recursive(
    st.one_of(PLAIN, ELEMENTS, st.lists(PLAIN, max_size=4)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=8,
)
PAYLOADS = st.dictionaries(KEYS, VALUES, max_size=4)
# Three payloads of one key are alike often enough that something can be merged.
THREE = st.tuples(PAYLOADS, PAYLOADS, PAYLOADS)


def first(found: list[Any]) -> Any:
    return found[0] if found else 0


@st.composite
def edits(draw: st.DrawFn, before: Any) -> Any:
    """A value as somebody left it: most of it as it was, or something else altogether."""
    match before:
        case dict():
            after = {key: draw(edits(value)) for key, value in before.items() if draw(st.integers(0, 5))}
            return after | draw(st.dictionaries(KEYS, VALUES, max_size=1))
        case list():
            kept: list[Any] = [draw(edits(value)) for value in before if draw(st.integers(0, 5))]
            for value in draw(st.lists(st.one_of(PLAIN, ELEMENTS.map(first)), max_size=2)):
                kept.insert(draw(st.integers(0, len(kept))), value)
            return draw(st.permutations(kept)) if draw(st.integers(0, 5)) == 0 else kept
        case _:
            return draw(VALUES) if draw(st.integers(0, 3)) == 0 else before


@st.composite
def histories(draw: st.DrawFn) -> tuple[Any, Any, Any]:
    """A payload, and what two people made of it."""
    base = draw(PAYLOADS)
    return base, draw(edits(base)), draw(edits(base))


EITHER = st.one_of(THREE, histories())


def same(one: Merged, other: Merged) -> bool:
    return same_json(plain(one.value), plain(other.value))


def plain(value: object) -> object:
    """A merged value with undecided places as values that do not tell the sides apart."""
    match value:
        case Change():
            both = sorted(map(repr, (canonical(value.local), canonical(value.foreign))))
            return {"?": [repr(canonical(value.base)), *both]}
        case dict():
            return {key: plain(item) for key, item in value.items()}
        case list():
            return [plain(item) for item in value]
        case _:
            return value


def canonical(value: object) -> object:
    """Numbers as floats and objects sorted: what is the same JSON value has the same repr."""
    match value:
        case dict():
            return sorted((key, canonical(item)) for key, item in value.items())
        case list():
            return [canonical(item) for item in value]
        case bool():
            return value
        case int() | float():
            return float(value) + 0.0
        case _:
            return value


def at(value: object, path: tuple[object, ...]) -> object:
    """What stands at a path of keys; ABSENT where nothing does."""
    for key in path:
        value = value.get(key, ABSENT) if isinstance(value, dict) else ABSENT
    return value


def paths_of_keys(value: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every place in an object that keys alone lead to."""
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from paths_of_keys(inner, (*path, key))


@given(EITHER)
def test_which_side_is_local_does_not_matter(three: tuple[Any, Any, Any]) -> None:
    """[K5] Two stores that merge at the same time come to the same."""
    base, local, foreign = three
    here, there = merge(base, local, foreign), merge(base, foreign, local)
    assert same(here, there)
    swapped = {Side.LOCAL: Side.FOREIGN, Side.FOREIGN: Side.LOCAL}
    assert {(change.path, change.side) for change in here.changes} == {
        (change.path, swapped.get(change.side, change.side)) for change in there.changes
    }


@given(PAYLOADS, PAYLOADS)
def test_a_payload_merged_with_itself_is_itself(base: Any, local: Any) -> None:
    found = merge(base, local, local)
    assert same_json(found.value, local)
    assert {change.side for change in found.changes} <= {Side.BOTH}


@given(PAYLOADS, PAYLOADS)
def test_where_only_one_side_changed_anything_all_of_it_is_taken(base: Any, changed: Any) -> None:
    for local, foreign, side in ((base, changed, Side.FOREIGN), (changed, base, Side.LOCAL)):
        found = merge(base, local, foreign)
        assert same_json(found.value, changed)
        assert {change.side for change in found.changes} <= {side}
        assert bool(found.changes) == (not same_json(base, changed))


@given(EITHER)
def test_merging_again_changes_nothing(three: tuple[Any, Any, Any]) -> None:
    base, local, foreign = three
    found = merge(base, local, foreign)
    if not found.undecided:
        for again in (merge(base, found.value, foreign), merge(base, local, found.value)):
            assert not again.undecided
            assert same_json(again.value, found.value)


@given(EITHER)
def test_no_change_of_one_side_is_lost_and_none_is_invented(three: tuple[Any, Any, Any]) -> None:
    """Whatever keys lead to: changed on one side it is as there, changed on neither as it was."""
    base, local, foreign = three
    found = merge(base, local, foreign)
    for path in {path for value in three for path in paths_of_keys(value)}:
        b, mine, other, after = (at(value, path) for value in (base, local, foreign, found.value))
        if any(isinstance(at(found.value, path[:n]), Change) for n in range(len(path))):
            continue  # inside a place that is undecided as a whole
        if isinstance(after, Change):
            assert not any(same_json(*pair) for pair in ((b, mine), (b, other), (mine, other)))
        elif same_json(b, mine):
            assert same_json(after, other)
        elif same_json(b, other) or same_json(mine, other):
            assert same_json(after, mine)


@given(EITHER)
def test_no_plain_value_comes_from_nowhere(three: tuple[Any, Any, Any]) -> None:
    base, local, foreign = three
    known = {repr(leaf) for value in (local, foreign) for leaf in leaves(canonical(value))}
    assert {repr(leaf) for leaf in leaves(canonical(without_changes(merge(base, local, foreign).value)))} <= known


def without_changes(value: object) -> object:
    match value:
        case Change():
            return []
        case dict():
            return {key: without_changes(item) for key, item in value.items()}
        case list():
            return [without_changes(item) for item in value]
        case _:
            return value


def leaves(value: object) -> Iterator[object]:
    if isinstance(value, list | tuple):
        for item in value:
            yield from leaves(item)
    else:
        yield value


@given(EITHER)
def test_an_element_of_a_list_is_changed_as_if_the_list_were_an_object(three: tuple[Any, Any, Any]) -> None:
    """Lists of objects with ids: places do not count, and what is inside is merged as it would be under its id."""
    base, local, foreign = ({"steps": elements(value)} for value in three)
    as_objects = [{str(item["id"]): item for item in value["steps"]} for value in (base, local, foreign)]
    found, wanted = merge(base, local, foreign), merge(*as_objects)
    if isinstance(found.value, dict) and isinstance(found.value["steps"], list):
        by_id = {name_of(item): item for item in found.value["steps"]}
        assert same_json(plain(by_id), plain(wanted.value))


def name_of(item: Any) -> str:
    """The id of a merged element, decided or not."""
    if isinstance(item, Change):
        return name_of(item.local if item.foreign is ABSENT else item.foreign)
    return str(item["id"])


def elements(value: Any) -> list[Any]:
    """Some elements with ids, made from any payload."""
    return [{"id": key, "v": item} for key, item in value.items()]


@given(EITHER)
@settings(max_examples=50)
def test_the_sides_are_left_as_they_were(three: tuple[Any, Any, Any]) -> None:
    before = copy.deepcopy(three)
    merged = merge(*three)
    marked(merged)
    assert repr(three) == repr(before)


@given(EITHER)
def test_what_is_marked_for_an_editor_is_found_again(three: tuple[Any, Any, Any]) -> None:
    """As many places are marked as are undecided, whatever keys the payloads have."""
    merged = merge(*three)
    payload, mark = marked(merged)
    assert len(left_undecided(payload, mark)) == len(merged.undecided)
    if not merged.undecided:
        assert same_json(payload, merged.value)
