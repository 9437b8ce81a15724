"""Schemas: what the payload of a well-known item type holds, for those who say that theirs does.

A payload opts in by its key `schema_version`; without it, and for any other item type, nothing is looked at. Old
payloads are lifted step by step when an entity is read; what stands in a record is never changed, and is what digests
and comparisons speak of [K3]. Loads pydantic only where a payload is checked or a schema is printed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

VERSION_KEY: Final = "schema_version"
# Raised whenever the same payload may be judged otherwise than before: caches of such judgements are built anew.
SCHEMAS_EDITION: Final = 1

# 1 and 2 mean what they mean in documents of brainclaw, so that what comes from there says the truth.
NEWEST_VERSION: Final[Mapping[str, int]] = MappingProxyType(
    dict.fromkeys(["plan", "decision", "trap", "constraint", "handoff", "note", "claim"], 2)
)

Payload = Mapping[str, Any]
Step = Callable[[str, Payload], Payload]


def lifted(item_type: str, payload: Payload) -> Payload:
    """The payload in the newest version of its schema; as it is when it declares none, or one that is not known."""
    newest, version = NEWEST_VERSION.get(item_type, 0), payload.get(VERSION_KEY)
    if type(version) is int and version in _STEPS:
        while version < newest:
            payload = {**_STEPS[version](item_type, payload), VERSION_KEY: version + 1}
            version += 1
    return payload


def why_wrong(item_type: str, payload: Payload) -> str | None:
    """Which field of a payload is not what its schema says, in words; None when none is, or when it declares no schema.

    Names fields and never what stands in them: that may be foreign, or a secret.
    """
    newest, version = NEWEST_VERSION.get(item_type), payload.get(VERSION_KEY)
    if newest is None or VERSION_KEY not in payload:
        return None
    if type(version) is not int or version < 1:
        return f"{VERSION_KEY}: is not a positive integer"
    if version > newest:
        return f"newer format: {VERSION_KEY} {version} of {item_type}, known is {newest}"
    from journal.payload_models import first_error

    return first_error(item_type, lifted(item_type, payload))


def json_schema(item_type: str) -> Mapping[str, Any]:
    """The JSON Schema of the newest version of an item type that is in NEWEST_VERSION."""
    from journal.payload_models import json_schema_of

    return json_schema_of(item_type)


# --- steps, each from one version to the next: they take any payload, and change only what they understand -----------


def _to_second(item_type: str, payload: Payload) -> Payload:
    """Tags were also written as one text with commas; what a decision, constraint or trap holds for was not said."""
    changed = dict(payload)
    if isinstance(payload.get("tags"), str):
        changed["tags"] = [tag for part in payload["tags"].split(",") if (tag := part.strip())]
    if item_type in ("decision", "constraint", "trap"):
        changed.setdefault("scope", "project")
    return changed


_STEPS: Final[Mapping[int, Step]] = MappingProxyType({1: _to_second})
