"""Documents: files that are one small JSON object: who a store is, where it stands, projections, cursors, brakes.

Each is read strictly (UTF-8, unique keys, finite numbers, bounded depth and size), and asked for what it must hold.
Nothing secret is shown: of a private key only whose it is, of `local.json` not the whole id of the machine.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, NoReturn

from eventsync.inspecting.found import Inspection, Row
from eventsync.inspecting.reading import Source, names_beside
from federation.nesting import nests_too_deep
from journal import MAX_SEQ, STORE_FORMAT, Version, has_too_many_values, origin_of, payload_digest

MOST_BYTES: Final = 16 * 1024 * 1024 + 64 * 1024  # a projection holds a whole payload, and is indented
_HEX: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_MACHINE_CHARS: Final = 6  # enough to tell two machines apart


class Parsed(NamedTuple):
    """A JSON value, or why there is none."""

    value: Any
    why: str | None


class _Refused(ValueError):
    """What JSON allows and no file of ours has."""


def parsed(data: bytes, most_bytes: int) -> Parsed:
    """The JSON value that some bytes are. Limits come before the parser."""
    if len(data) > most_bytes:
        return Parsed(None, f"more than {most_bytes} bytes")
    if not data.strip(b"\0 \t\r\n"):
        return Parsed(None, "empty" if not data.strip() else "nothing but NULs, as a power cut leaves it [P3]")
    try:
        text = data.decode("utf-8")
        if has_too_many_values(data) or nests_too_deep(text):
            return Parsed(None, "too many values, or nested too deep")
        return Parsed(_STRICT.decode(text), None)
    except UnicodeDecodeError as error:
        return Parsed(None, f"not UTF-8 at byte {error.start}")
    except json.JSONDecodeError as error:
        return Parsed(None, f"not JSON: {error.msg} in line {error.lineno}, character {error.colno}")
    except (ValueError, RecursionError) as error:
        return Parsed(None, f"not JSON: {error}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Refused("a key stands twice")
    return found


def _no_number(text: str) -> NoReturn:
    raise _Refused(f"{text} is no number")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise _Refused(f"number {text[:40]} is not finite")
    return value


_STRICT: Final = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_number, parse_float=_finite)


# --- asking ----------------------------------------------------------------------------------------------------------


class _Asked(NamedTuple):
    """What a key must hold, in words and as a test."""

    expected: str
    holds: Callable[[Any], bool]


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_SEQ


_COUNT: Final = _Asked("a number from 0 to 2^53-1", _is_count)
_TEXT: Final = _Asked("a text", lambda value: isinstance(value, str))
_FLAG: Final = _Asked("true or false", lambda value: isinstance(value, bool))
_DIGEST: Final = _Asked("64 hex digits", lambda value: isinstance(value, str) and _HEX.fullmatch(value) is not None)
_SEQS: Final = _Asked(
    "an object of origin and seq", lambda value: isinstance(value, dict) and all(map(_is_count, value.values()))
)
_LIST: Final = _Asked("a list", lambda value: isinstance(value, list))


def opened(source: Source, found: Inspection, asked: Mapping[str, _Asked], optional: Mapping[str, _Asked]) -> Any:
    """The object of a file with all that is asked of it; None, and told, when it is none or lacks something."""
    value, why = parsed(source.data, MOST_BYTES)
    if why is None and not isinstance(value, dict):
        why = "not a JSON object"
    if why is not None:
        found.tell_error("not-json", why)
        return None
    found.content = value
    wrong = [
        f"{key} is {'missing' if key not in value else f'not {rule.expected}'}"
        for key, rule in {**asked, **optional}.items()
        if (key in value or key in asked) and not (key in value and rule.holds(value[key]))
    ]
    for message in wrong:
        found.tell_error("wrong-key", message)
    return None if wrong else value


# --- the kinds -------------------------------------------------------------------------------------------------------


def store(source: Source, found: Inspection) -> None:
    """store.json: is the origin that of the key [I1]?"""
    texts = dict.fromkeys(["origin_store_id", "public_key", "name", "created_at"], _TEXT)
    value = opened(source, found, {"format": _COUNT, **texts}, {"previous": _LIST})
    if value is None:
        return
    found.facts = {key: value[key] for key in ("origin_store_id", "name", "created_at", "public_key", "format")}
    found.facts["previous"] = len(value.get("previous", []))
    if value["format"] > STORE_FORMAT:
        found.tell_too_new(f"store format {value['format']}, known is {STORE_FORMAT} [J12]")
    elif _origin_of(value["public_key"]) != value["origin_store_id"]:
        found.tell_error("identity", "the origin is not the one of the public key [I1]")


def _origin_of(public_key: str) -> str:
    try:
        return origin_of(base64.b64decode(public_key, validate=True))
    except (binascii.Error, ValueError):
        return ""


def local(source: Source, found: Inspection) -> None:
    """local.json: where a store stands, and what it last published."""
    value = opened(source, found, {}, dict.fromkeys(["machine_id", "path", "folder_id"], _TEXT))
    if value is None:
        return
    machine = value.get("machine_id", "")
    if len(machine) > _MACHINE_CHARS:
        found.content = {**value, "machine_id": f"{machine[:_MACHINE_CHARS]}…"}
    published = value.get("published")
    known = published if isinstance(published, dict) else {}
    found.facts = {
        "path": value.get("path"),
        "published_seq": known.get("last_seq") if _is_count(known.get("last_seq")) else None,
        "gen": known.get("gen") if _is_count(known.get("gen")) else None,
        "redaction_left": isinstance(value.get("redacting"), dict),
    }
    if published is not None and (not known or found.facts["published_seq"] is None):
        found.tell_error("wrong-key", "published is no memory of a publish [J11]")


def projection(source: Source, found: Inspection) -> None:
    """The projection of an entity: is the payload the one that was written [P1]?"""
    asked = {**dict.fromkeys(["item_type", "item_id", "version"], _TEXT), "entity_rev": _COUNT, "seq": _COUNT}
    value = opened(source, found, asked, {"context": _SEQS, "claims": _SEQS, "payload_digest": _TEXT, "private": _FLAG})
    if value is None:
        return
    found.facts = {key: value.get(key) for key in ("item_type", "item_id", "entity_rev", "seq", "version")}
    found.facts["private"] = value.get("private", False)
    try:
        Version.parse(value["version"])
    except ValueError:
        found.tell_error("wrong-key", "version is not origin@seq#digest [K1]")
    if payload_digest(value.get("payload")) != value.get("payload_digest"):
        found.tell_error("payload-changed", "the payload is not the one that was written: payload_digest differs [P1]")
    place = source.path.absolute().parent
    if place.parent.name == "entities" and (place.name, source.name.partition(".json")[0]) != (
        value["item_type"],
        value["item_id"],
    ):
        found.tell_error("wrong-place", f"stands as {place.name}/{source.name} [P1]")


def watermark(source: Source, found: Inspection) -> None:
    """projections.json: how far the projections go [P4]."""
    value = opened(source, found, {"applied_seq": _COUNT, "synced_seq": _COUNT, "boot_id": _TEXT}, {})
    if value is None:
        return
    found.facts = {key: value[key] for key in ("applied_seq", "synced_seq", "boot_id")}
    if value["synced_seq"] > value["applied_seq"]:
        found.tell_error("wrong-key", "synced_seq is above applied_seq [P4]")


def cursor(source: Source, found: Inspection) -> None:
    """A cursor: how far a reader has read."""
    value = opened(source, found, {"seq": _COUNT, "c": _DIGEST}, {"segment": _COUNT, "offset": _COUNT})
    if value is not None:
        found.facts = {"reader": source.name.removesuffix(".json"), "seq": value["seq"], "c": value["c"]}


def brake(source: Source, found: Inspection) -> None:
    """brake.json: what is left to a person [K5]."""
    value = opened(source, found, {"after_seq": _COUNT, "pending": _FLAG}, {})
    if value is not None:
        found.facts = {"after_seq": value["after_seq"], "pending": value["pending"]}


def bridge(source: Source, found: Inspection) -> None:
    """bridge.json: what was copied of another program's store."""
    value = opened(source, found, {"name": _TEXT, "segments": _LIST}, {})
    if value is None:
        return
    found.facts = {"name": value["name"], "segments": len(value["segments"])}
    found.content = None  # its rows say it all
    found.rows = _copied(value["segments"], found, frozenset(names_beside(source.path)))


def _copied(segments: Sequence[Any], found: Inspection, names: frozenset[str]) -> Iterator[Row]:
    for number, entry in enumerate(segments, 1):
        shape = {"name": _TEXT, "bytes": _COUNT, "blake3": _DIGEST, "stamp": _TEXT}
        if not isinstance(entry, dict) or any(not rule.holds(entry.get(key)) for key, rule in shape.items()):
            found.tell_error("wrong-key", f"segment {number} of the list is not name, bytes, blake3 and stamp")
            continue
        note = None if entry["name"] in names else "not here"
        yield Row("segment", summary=entry["name"], size_bytes=entry["bytes"], c=entry["blake3"], note=note)


def private_key(source: Source, found: Inspection) -> None:
    """A private key: whose it is, and never what it is [I1]."""
    try:
        seed = base64.b64decode(source.data.strip(), validate=True)
    except (binascii.Error, ValueError):
        seed = b""
    if len(seed) != 32:
        found.tell_error("not-a-key", "not a private key: base64 of 32 bytes is one [I1]")
        return
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    found.facts = {"origin_store_id": origin_of(public), "public_key": base64.b64encode(public).decode("ascii")}
    if source.name != f"{origin_of(public)}.key":
        found.tell_error("identity", "the name is not the origin of this key [I1]")
