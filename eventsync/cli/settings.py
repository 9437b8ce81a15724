"""Settings: what `--set key=value` means. Pure."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

import click


class Setting(NamedTuple):
    """One `--set`: the keys that lead to a place, and what is put there."""

    keys: tuple[str, ...]
    value: Any


def parse_setting(text: str) -> Setting:
    """Read `a.b=value`; click.BadParameter when there is no `=` or a key is empty."""
    key, equals, value = text.partition("=")
    keys = tuple(key.split("."))
    if not equals or not all(keys):
        raise click.BadParameter(f"{text[:80]!r} is not KEY=VALUE")
    return Setting(keys, _value(value))


def apply_settings(payload: Mapping[str, Any], settings: Sequence[Setting]) -> dict[str, Any]:
    """A copy of the payload with all settings in it; click.BadParameter when two of them, or one and it, collide."""
    changed = copy.deepcopy(dict(payload))
    seen: set[tuple[str, ...]] = set()
    for keys, value in settings:
        if keys in seen:
            raise click.BadParameter(f"{'.'.join(keys)!r} is set twice", param_hint="--set")
        seen.add(keys)
        place = changed
        for depth, key in enumerate(keys[:-1], start=1):
            inner = place.setdefault(key, {})
            if not isinstance(inner, dict):
                raise click.BadParameter(f"{'.'.join(keys[:depth])!r} is not an object", param_hint="--set")
            place = inner
        place[keys[-1]] = value
    return changed


def _value(text: str) -> Any:
    """The JSON value a text is, or the text itself."""
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse)
    except _KeyTwice as error:
        raise click.BadParameter(str(error)) from None
    except (ValueError, RecursionError):
        return text


class _KeyTwice(Exception):
    """JSON that reads, and says two things at once."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _KeyTwice("an object has the same key twice")
    return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
