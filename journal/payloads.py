"""Payloads as bytes: written and read as strictly as [J10] asks, with the field named that breaks a limit.

Pure. A value becomes compact JSON. What is read is an object with unique keys, finite numbers, Unicode text, at most
64 levels and a million values, or InvalidInput says which of that it is not, and where.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final

from journal.errors import InvalidInput
from journal.model import MAX_DEPTH, MAX_VALUES

# Possessive, and content with a string that never ends, so that no input takes more than one pass.
_MARKS: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[,\[{]', re.DOTALL)
_QUOTE: Final = ord('"')
_PLAIN_KEY: Final = re.compile(r"[A-Za-z0-9_-]{1,40}", re.ASCII)
_MAX_WHERE: Final = 160  # characters of the name of a field

_Path = tuple["_Path", str] | None  # the path of what it stands in, and the last step


# --- writing ---------------------------------------------------------------------------------------------------------


def encode_payload(value: Any) -> bytes:
    """Compact UTF-8 JSON of a caller's value; InvalidInput when it is none. `check_payload` looks for the rest."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        found = next(_faults(value, _why_no_json), None)
        what = str(error) if found is None else f"{found[1]}{_at(found[0])}"
        raise InvalidInput(f"payload cannot be written as JSON: {what}", rule="J10") from None


def _why_no_json(item: object) -> str | None:
    if isinstance(item, float) and not math.isfinite(item):
        return f"number {item} is not finite"
    if isinstance(item, str):
        return None if _is_unicode(item) else "a lone surrogate"
    known = item is None or isinstance(item, bool | int | float | dict | list | tuple)
    return None if known else f"{type(item).__name__} is no JSON value"


# --- reading ---------------------------------------------------------------------------------------------------------


def check_payload(data: bytes) -> Any:
    """Parse a payload and return its value; InvalidInput names the limit it breaks [J10], and where."""
    if has_too_many_values(data):
        raise InvalidInput(f"payload has more than {MAX_VALUES} values", rule="J10")
    try:
        value = _STRICT.decode(data.decode("utf-8"))
    except UnicodeDecodeError:
        raise InvalidInput("payload is not UTF-8", rule="J10") from None
    except RecursionError:
        raise InvalidInput(f"payload is deeper than {MAX_DEPTH} levels", rule="J10") from None
    except _Broken as error:
        where = _at(_first(_faults(_LENIENT.decode(data.decode("utf-8")), _why_broken)))
        raise InvalidInput(f"payload: {error}{where}", rule="J10") from None
    except ValueError as error:
        raise InvalidInput(f"payload: {error}", rule="J10") from None
    if not isinstance(value, dict):
        raise InvalidInput("payload is not a JSON object", rule="J10")
    _check_tree(value)
    return value


def has_too_many_values(data: bytes) -> bool:
    """Whether there are more values than we hold in memory; commas in texts are no ends of values."""
    if data.count(b",") + data.count(b"[") + data.count(b"{") <= MAX_VALUES:  # nearly every payload
        return False
    marks = (found for found in _MARKS.finditer(data) if data[found.start()] != _QUOTE)
    return next(itertools.islice(marks, MAX_VALUES, None), None) is not None


class _Broken(ValueError):
    """A number or key that JSON has, and we have not."""


class _Fault(str):
    """Stands in a tree in the place of what is broken."""

    __slots__ = ()


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Broken(f"key {_twice(pairs)[:80]!r} stands twice")
    return found


def _twice(pairs: list[tuple[str, Any]]) -> str:
    return Counter(key for key, _ in pairs).most_common(1)[0][0]


def _refuse_constant(text: str) -> float:
    raise _Broken(f"{text} is not a JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise _Broken(f"number {text[:40]} is not finite")
    return value


def _finite_integer(text: str) -> int:
    _finite(text)  # most readers have no other numbers than these
    return int(text)


_STRICT: Final = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=_finite, parse_int=_finite_integer
)


def _check_tree(value: Any) -> None:
    """Depth and text of a parsed payload, level by level, so that no input exhausts the stack."""
    level, depth = [value], 0
    while level:
        depth += 1
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below += [*item.keys(), *item.values()]
            elif isinstance(item, list):
                below += item
            elif isinstance(item, str) and not _is_unicode(item):
                where = _at(_first(_faults(value, _why_no_text)))
                raise InvalidInput(f"payload has a lone surrogate{where}", rule="J10")
        if depth > MAX_DEPTH and any(isinstance(item, dict | list) for item in level):
            where = _at(_first(_faults(value, lambda _: None, deepest=MAX_DEPTH)))
            raise InvalidInput(f"payload is deeper than {MAX_DEPTH} levels{where}", rule="J10")
        level = below


def _why_no_text(item: object) -> str | None:
    return "no text" if isinstance(item, str) and not _is_unicode(item) else None


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


# --- which field -----------------------------------------------------------------------------------------------------


def _lenient_pairs(pairs: list[tuple[str, Any]]) -> Any:
    found = dict(pairs)
    return found if len(found) == len(pairs) else _Fault(_twice(pairs))


_LENIENT: Final = json.JSONDecoder(
    object_pairs_hook=_lenient_pairs,
    parse_constant=_Fault,
    parse_float=lambda text: _Fault(text) if math.isinf(float(text)) else 0.0,
    parse_int=lambda text: _Fault(text) if math.isinf(float(text)) else 0,
)


def _why_broken(item: object) -> str | None:
    return str(item) if isinstance(item, _Fault) else None


def _faults(
    value: Any, why: Callable[[object], str | None], *, deepest: int | None = None
) -> Iterator[tuple[_Path, str]]:
    """Where in a value something is wrong, and what, in the order of the text; also what lies deeper than `deepest`.

    A value that holds itself ends where it does so.
    """
    stack: list[tuple[_Path, Any, int]] = [(None, value, 1)]
    while stack:
        path, item, depth = stack.pop()
        reason = why(item)
        is_deeper = deepest is not None and depth > deepest and isinstance(item, dict | list)
        if reason is not None or is_deeper:
            yield path, reason or ""
        below: list[tuple[str, Any]] = []
        if isinstance(item, dict):
            bad = next((key for key in item if why(key) is not None), None)
            if bad is not None:
                yield path, f"a key: {why(bad)}"
            below = [(_step(key), found) for key, found in item.items()]
        elif isinstance(item, list | tuple):
            below = [(f"[{number}]", found) for number, found in enumerate(item)]
        if depth < 1_000:
            stack += [((path, step), found, depth + 1) for step, found in reversed(below)]


def _first(faults: Iterator[tuple[_Path, str]]) -> _Path:
    return next(faults, (None, ""))[0]


def _step(key: object) -> str:
    text = str(key)
    return f".{text}" if _PLAIN_KEY.fullmatch(text) else f"[{text[:40]!r}]"


def _at(path: _Path) -> str:
    """Where that is, as people write it: ` at steps[2].cost`; nothing for the payload itself."""
    steps: list[str] = []
    while path is not None:
        path, step = path
        steps.append(step)
    text = "".join(reversed(steps)).removeprefix(".")
    return f" at {text if len(text) <= _MAX_WHERE else text[:_MAX_WHERE] + '…'}" if text else ""
