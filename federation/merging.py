"""Merging: two sides changed one payload; what can be put together, and what only a person can decide.

Pure. Three JSON values in (base, local, foreign), one value out, with the places where both sides differ from the base
told one by one. Which version is the base is found in `ancestry`. The result does not depend on which side is called
local: two stores that merge the same versions write the same value, and need not ask each other again [K5].

    objects                         key by key, and so on inside
    lists of objects with an `id`   element by element, whatever their places; the order counts as a value of its own
    lists of plain values           where both sides only put something in: all of it, each in its place
    all else                        is one value: changed on both sides, it is undecided
"""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

_MAX_LEVELS: Final = 64  # a deeper value is one value; no payload of ours is deeper [J10]
_PLAIN_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*", re.ASCII)


class Absent(enum.Enum):
    """What stands where nothing stands: no such key, no such element, no such entity. JSON's null is a value."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT


class Element(NamedTuple):
    """A step into a list: the `id` of the element; None for the order of the list itself."""

    id: str | int | None


Path = tuple[str | Element, ...]


class Side(enum.StrEnum):
    """Who changed a place, against the base."""

    LOCAL = "local"  # only here: it stays
    FOREIGN = "foreign"  # only there: it is taken
    BOTH = "both"  # both in the same way
    JOINED = "joined"  # both, and the two go together
    UNDECIDED = "undecided"  # both, and only a person can tell


class Change(NamedTuple):
    """One place where local, foreign and base are not all the same; ABSENT where one of them has nothing."""

    path: Path
    side: Side
    base: object
    local: object
    foreign: object


class Merged(NamedTuple):
    """What came of it. `value` is ABSENT where it is deleted; an undecided place holds its Change."""

    value: object
    changes: tuple[Change, ...]

    @property
    def undecided(self) -> list[Change]:
        """The places that only a person can decide."""
        return [change for change in self.changes if change.side is Side.UNDECIDED]


class _Three(NamedTuple):
    """The three values of one place."""

    base: object
    local: object
    foreign: object


def merge(base: object, local: object, foreign: object) -> Merged:
    """Put two payloads together that were made from one base; ABSENT for a side that has deleted it."""
    return _merged((), _Three(base, local, foreign))


def same_json(one: object, other: object) -> bool:
    """Whether two parsed JSON values are the same: 1 and 1.0 are, 1 and true are not, order of keys does not count."""
    stack = [(one, other)]
    while stack:
        a, b = stack.pop()
        if isinstance(a, dict) and isinstance(b, dict):
            if a.keys() != b.keys():
                return False
            stack += [(a[key], b[key]) for key in a]
        elif isinstance(a, list) and isinstance(b, list):
            if len(a) != len(b):
                return False
            stack += zip(a, b, strict=True)
        elif isinstance(a, bool) or isinstance(b, bool):
            if a is not b:
                return False
        elif a != b or isinstance(a, str) != isinstance(b, str):
            return False
    return True


def _merged(path: Path, at: _Three) -> Merged:
    inside = None
    if len(path) < _MAX_LEVELS:
        inside = _merged_objects(path, at) or _merged_elements(path, at)
    return inside or _merged_values(path, at)


def _merged_values(path: Path, at: _Three) -> Merged:
    """The three as values that have no inside."""
    if same_json(at.local, at.foreign):
        return Merged(at.local, () if same_json(at.base, at.local) else _change(path, Side.BOTH, at))
    if same_json(at.base, at.local):
        return Merged(at.foreign, _change(path, Side.FOREIGN, at))
    if same_json(at.base, at.foreign):
        return Merged(at.local, _change(path, Side.LOCAL, at))
    joined = _joined(at)
    if joined is not None:
        return Merged(joined, _change(path, Side.JOINED, at))
    (undecided,) = _change(path, Side.UNDECIDED, at)
    return Merged(undecided, (undecided,))


def _change(path: Path, side: Side, at: _Three) -> tuple[Change]:
    return (Change(path, side, *at),)


# --- objects ---------------------------------------------------------------------------------------------------------


def _merged_objects(path: Path, at: _Three) -> Merged | None:
    """Key by key, in the order of the local keys; None where not all of them are objects."""
    base = {} if at.base is ABSENT else at.base
    local, foreign = at.local, at.foreign
    if not (isinstance(base, dict) and isinstance(local, dict) and isinstance(foreign, dict)):
        return None
    if at.base is ABSENT and same_json(local, foreign):
        return None  # put in alike on both sides: one change, not one for each key
    value: dict[str, object] = {}
    changes: list[Change] = []
    for key in dict.fromkeys([*local, *foreign, *base]):
        three = _Three(base.get(key, ABSENT), local.get(key, ABSENT), foreign.get(key, ABSENT))
        found = _merged((*path, key), three)
        changes += found.changes
        if found.value is not ABSENT:
            value[key] = found.value
    return Merged(value, tuple(changes))


# --- lists of objects with an id -------------------------------------------------------------------------------------

_Key = tuple[str, Any]  # of an element: comparable, and the same for 1 and 1.0


def _merged_elements(path: Path, at: _Three) -> Merged | None:
    """Element by element; None where they have no ids, or where both sides put them in orders of their own."""
    lists = _by_id(at)
    if lists is None:
        return None
    base, local, foreign = lists
    skeleton = _order(*lists)
    if skeleton is None:
        return None
    values: dict[_Key, object] = {}
    changes: list[Change] = []
    for key in dict.fromkeys([*local, *foreign, *base]):
        three = _Three(base.get(key, ABSENT), local.get(key, ABSENT), foreign.get(key, ABSENT))
        found = _merged((*path, Element(key[1])), three)
        changes += found.changes
        if found.value is not ABSENT:
            values[key] = found.value
    woven = _woven(skeleton, [*local], [*foreign])
    return Merged([values[key] for key in woven if key in values], (*_reordered(path, lists), *changes))


def _by_id(at: _Three) -> tuple[dict[_Key, object], ...] | None:
    """Each of the three as elements by id; None where one of them is no such list, or all are empty."""
    found: list[dict[_Key, object]] = []
    for value in (at.base, at.local, at.foreign):
        elements = [] if value is ABSENT and value is at.base else value
        if not isinstance(elements, list):
            return None
        by_id = {}
        for element in elements:
            key = _plain_key(element.get("id")) if isinstance(element, dict) else None
            if key is None or key[0] not in ("text", "number") or isinstance(key[1], float):
                return None
            by_id[key] = element
        if len(by_id) != len(elements):
            return None
        found.append(by_id)
    return tuple(found) if any(found) else None


def _order(*lists: Mapping[_Key, object]) -> list[_Key] | None:
    """The order of what all three have: that of the side that changed it; None when both did, in two ways."""
    base, local, foreign = ([key for key in one if all(key in other for other in lists)] for one in lists)
    if base in (local, foreign):
        return foreign if base == local else local
    return local if local == foreign else None


def _reordered(path: Path, lists: Sequence[Mapping[_Key, object]]) -> Iterator[Change]:
    """The change of order, told by the ids, where there is one."""
    orders = [[key[1] for key in one if all(key in other for other in lists)] for one in lists]
    base, local, foreign = orders
    if not base == local == foreign:
        side = Side.BOTH if local == foreign else Side.FOREIGN if base == local else Side.LOCAL
        yield Change((*path, Element(None)), side, base, local, foreign)


# --- lists of plain values -------------------------------------------------------------------------------------------


def _joined(at: _Three) -> list[object] | None:
    """What both sides put into a list of plain values, together; None where one of them did anything else."""
    keyed = [_keyed([] if value is ABSENT and value is at.base else value) for value in at]
    if any(one is None for one in keyed):
        return None
    base, local, foreign = (one for one in keyed if one is not None)
    if any([key for key in side if key in base] != [*base] for side in (local, foreign)):
        return None
    both = {**foreign, **local}
    return [both[key] for key in _woven([*base], [*local], [*foreign])]


def _keyed(value: object) -> dict[_Key, object] | None:
    """The values of a list by what they are; None for what is no list, or holds a value twice or one with an inside."""
    if not isinstance(value, list):
        return None
    keys = [_plain_key(item) for item in value]
    found = {key: item for key, item in zip(keys, value, strict=True) if key is not None}
    return found if len(found) == len(value) else None


def _plain_key(value: object) -> _Key | None:
    match value:
        case None:
            return ("null", 0)
        case bool():
            return ("boolean", value)
        case int() | float():
            return ("number", value)
        case str():
            return ("text", value)
        case _:
            return None


def _woven(skeleton: Sequence[_Key], *sides: Sequence[_Key]) -> list[_Key]:
    """The skeleton, with what each side has beside it behind the same element as there.

    Where both have something in one place, the smaller run goes first, whosever it is; each key comes once.
    """
    standing = set(skeleton)
    runs: list[dict[_Key | None, list[_Key]]] = []
    for side in sides:
        anchor: _Key | None = None
        found: dict[_Key | None, list[_Key]] = {}
        for key in side:
            if key in standing:
                anchor = key
            else:
                found.setdefault(anchor, []).append(key)
        runs.append(found)
    woven: list[_Key] = []
    for at in (None, *skeleton):
        woven += [at] if at is not None else []
        for run in sorted(found.get(at, []) for found in runs):
            woven += run
    return list(dict.fromkeys(woven))


# --- for people ------------------------------------------------------------------------------------------------------


def label(path: Path) -> str:
    """A place as people read it: `steps[s1].owner`; foreign text. "" is the whole."""
    text = ""
    for step in path:
        if isinstance(step, Element):
            text += " (order)" if step.id is None else f"[{step.id}]"
        else:
            key = step if _PLAIN_KEY.fullmatch(step) else json.dumps(step, ensure_ascii=False)
            text += f".{key}" if text else key
    return text


MARK: Final = "<<< undecided >>>"
_IN_PLACE: Final = "put one value in the place of this object, or take it out"
_WHOLE: Final = "deleted on one side, changed on the other: take this line out to keep what stands below"


def marked(merged: Merged) -> tuple[dict[str, Any], str]:
    """A payload for an editor, and the key that marks undecided places in it: one that no payload has.

    Where the entity was deleted on one side, the whole is what the other has, marked at its top.
    """
    mark = MARK
    while _has_key(merged.value, mark):
        mark = f"<{mark}>"
    whole = merged.value
    if isinstance(whole, Change):
        kept = whole.foreign if whole.local is ABSENT else whole.local
        return {mark: _WHOLE, **(kept if isinstance(kept, dict) else {})}, mark
    value = _marked(whole, mark)
    return (value if isinstance(value, dict) else {}), mark


def _marked(value: object, mark: str) -> object:
    if isinstance(value, Change):
        sides = {"base": value.base, "local": value.local, "foreign": value.foreign}
        return {mark: _IN_PLACE, **{name: side for name, side in sides.items() if side is not ABSENT}}
    if isinstance(value, dict):
        return {key: _marked(item, mark) for key, item in value.items()}
    if isinstance(value, list):
        return [_marked(item, mark) for item in value]
    return value


def _has_key(value: object, wanted: str) -> bool:
    return any(wanted in item for item, _ in _objects_in(value))


def left_undecided(payload: object, mark: str) -> list[str]:
    """The places of an edited payload that are still marked, as people read them."""
    return [label(path) or "all of it" for item, path in _objects_in(payload) if mark in item]


def _objects_in(value: object) -> Iterator[tuple[Mapping[str, object], Path]]:
    """All objects in a value, and where they stand; places in lists without ids count from 0."""
    stack: list[tuple[object, Path]] = [(value, ())]
    while stack:
        item, path = stack.pop()
        if isinstance(item, Change):
            stack += [(side, path) for side in item[2:]]
        elif isinstance(item, dict):
            yield item, path
            stack += [(inner, (*path, key)) for key, inner in reversed(item.items())]
        elif isinstance(item, list):
            stack += [(inner, (*path, Element(number))) for number, inner in reversed([*enumerate(item)])]
