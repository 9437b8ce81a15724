"""Fields: the texts of a record with the names of the places where they stand, keys of objects too.

Pure. A place is named by keys and numbers, such as `payload.steps[2].text`; a key that is itself what somebody looks
for, or cannot be shown on a line, is named by `?`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

_PLAIN_KEY: Final = re.compile(r"[A-Za-z0-9_-]{1,40}")
_MAX_PLACE: Final = 120  # characters


class Field(NamedTuple):
    """A text, and where it stands; of a key the place of its object."""

    place: str
    text: str


def fields_of(value: Any, hides: Callable[[str], bool] = lambda _: False) -> Iterator[Field]:
    """All texts of a JSON value in their order, keys first; a key that `hides` finds something in is not named."""
    waiting: list[tuple[str, Any]] = [("", value)]
    while waiting:
        place, found = waiting.pop()
        if isinstance(found, str):
            yield Field(place, found)
        elif isinstance(found, list):
            waiting += [(_cut(f"{place}[{at}]"), inner) for at, inner in enumerate(found)][::-1]
        elif isinstance(found, dict):
            named = [(key, "?" if _is_hidden(key, hides) else key, inner) for key, inner in found.items()]
            yield from (Field(_cut(f"{place}.{shown} (the key)".lstrip(".")), key) for key, shown, _ in named)
            waiting += [(_cut(f"{place}.{shown}".lstrip(".")), inner) for _, shown, inner in named][::-1]


def _is_hidden(key: str, hides: Callable[[str], bool]) -> bool:
    return _PLAIN_KEY.fullmatch(key) is None or hides(key)


def _cut(place: str) -> str:
    return place if len(place) <= _MAX_PLACE else place[: _MAX_PLACE - 1] + "…"
