"""Grouping: what several origins offer alike is one offer, and one line in the inbox.

Pure. Candidates in, offers out. Alike are open candidates of one entity with the same payload as JSON values, or all
deletions, whoever made the versions: a person is asked about a content, not about its ways here. What only says that it
is a copy of the same version is not alike: its word for it can be a lie [K4].
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from blake3 import blake3

from federation.model import Candidate, Verdict
from journal import InvalidInput, check_payload

# What stands for several: what can be accepted without a choice, before what cannot.
_EASE: Final = (Verdict.NEW, Verdict.UPDATE, Verdict.GONE, Verdict.CONFLICT)
Content = Callable[[Candidate], bytes | None]


class Offer(NamedTuple):
    """Candidates that are alike; the one that stands for them comes first."""

    candidates: tuple[Candidate, ...]

    @property
    def lead(self) -> Candidate:
        """The one that stands for all."""
        return self.candidates[0]


def offers(candidates: Iterable[Candidate], content: Content) -> list[Offer]:
    """What is offered: in the order of the candidates, but all offers of one entity next to each other.

    `content` gives the payload of a candidate, b"" for a deletion, None for what cannot be read. It is asked only where
    several candidates of one entity are open.
    """
    return _arranged(candidates, lambda found: _names(found, content))


def regrouped(candidates: Iterable[Candidate], known: Mapping[str, Offer]) -> list[Offer]:
    """The same for candidates of which it is known by id what is alike: a part of them, or with another lead."""
    return _arranged(candidates, lambda found: [known[one.id].lead.id if one.id in known else one.id for one in found])


def _arranged(candidates: Iterable[Candidate], names: Callable[[Sequence[Candidate]], Sequence[str]]) -> list[Offer]:
    entities: dict[tuple[str, str], list[Candidate]] = {}
    for candidate in candidates:
        entities.setdefault((candidate.item_type, candidate.item_id), []).append(candidate)
    found: list[Offer] = []
    for beside in entities.values():
        alike: dict[str, list[Candidate]] = {}
        for name, candidate in zip(names(beside), beside, strict=True):
            alike.setdefault(name, []).append(candidate)
        found += map(lead_first, alike.values())
    return found


def lead_first(candidates: Iterable[Candidate]) -> Offer:
    """Candidates that are alike as one offer: one that is met, needs no choice and comes from its author leads."""
    return Offer(tuple(sorted(candidates, key=_preference)))


def _preference(found: Candidate) -> tuple[object, ...]:
    is_copy = (found.version.origin, found.version.seq) != (found.origin, found.seq)
    ease = _EASE.index(found.verdict) if found.verdict in _EASE else len(_EASE)
    return found.held, found.rule is not None, found.snoozed is not None, ease, is_copy, found.origin


def _names(candidates: Sequence[Candidate], content: Content) -> list[str]:
    """A name for each, which those have in common that are alike; one payload in memory at a time."""
    names = [candidate.id for candidate in candidates]
    readable = [number for number, one in enumerate(candidates) if one.verdict in _EASE]
    if len(readable) < 2:
        return names
    for number in readable:
        payload = content(candidates[number])
        names[number] = names[number] if payload is None else blake3(payload).hexdigest()
    first = {names[number]: number for number in reversed(readable)}
    if len(first) == 1:
        return names
    # Written differently, it may still be the same.
    same = {name: _name_of_value(content(candidates[number])) or name for name, number in first.items()}
    return [same.get(name, name) for name in names]


def _name_of_value(payload: bytes | None) -> str | None:
    """What payloads have in common that are the same JSON value; None for what is no payload [J10]."""
    try:
        value = check_payload(payload or b"")
    except InvalidInput:
        return None
    return blake3(json.dumps(_plain(value), sort_keys=True).encode()).hexdigest()


def _plain(value: object) -> object:
    """A JSON value with numbers as `same_json` compares them: 1.0 is 1."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
