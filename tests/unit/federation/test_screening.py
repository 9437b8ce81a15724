"""Findings: which record and which field, and never what stands there [F1]."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from federation.fields import fields_of
from federation.personal import Personal
from federation.screening import PERSONAL, SECRET, Finding, Screening
from federation.secrets import find_secret

TOKEN = "ghp_" + "a1B2" * 9
HOME = "/".join(["", "home", "alice", "src"])


def line(**keys: Any) -> bytes:
    value = {
        "v": 2,
        "seq": 7,
        "ts": "2026-06-10T14:03:22.114Z",
        "writer": "w_12345-ab12cd34",
        "agent": "claude-code",
        "action": "update",
        "item_type": "plan",
        "item_id": "pln_1",
        "entity_rev": 3,
        "payload": {"title": "x"},
        **keys,
        "salt": "0123456789abcdef",
        "c": "ab" * 32,
    }
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def only(found: list[Finding]) -> Finding:
    (finding,) = found
    return finding


PLACES: list[tuple[dict[str, Any], str]] = [
    ({"payload": {"a": {"b": [1, {"c": f"x {TOKEN}"}]}}}, "payload.a.b[1].c"),
    ({"payload": {TOKEN: 1}}, "payload.? (the key)"),
    ({"payload": {"a b": {"c": TOKEN}}}, "payload.?.c"),
    ({"payload": {"list": [[TOKEN]]}}, "payload.list[0][0]"),
    ({"summary": TOKEN}, "summary"),
    ({"agent": TOKEN}, "agent"),
    ({"agent_id": TOKEN}, "agent_id"),
    ({"session_id": TOKEN}, "session_id"),
    ({"payload": {"tags": ["a", TOKEN]}}, "payload.tags[1]"),
    ({"action": "reject", "payload": None, "summary": f"because {TOKEN}"}, "summary"),
    ({"later": {"key": TOKEN}}, "later.key"),
    ({"payload": {"attachment": {"name": TOKEN, "text": ""}}}, "payload.attachment.name"),
]


@pytest.mark.parametrize(("keys", "place"), PLACES, ids=[place for _, place in PLACES])
def test_a_secret_is_found_in_every_place_of_a_record_and_the_place_is_named(keys: dict[str, Any], place: str) -> None:
    finding = only(Screening().findings(line(**keys), None))
    assert finding == Finding(7, "plan", "pln_1", "a GitHub token", place, SECRET)
    assert TOKEN not in str(finding)


def test_an_id_that_is_a_secret_is_not_said() -> None:
    finding = only(Screening().findings(line(item_id=TOKEN), None))
    assert finding[2:] == (None, "a GitHub token", "item_id", SECRET)
    assert str(finding) == "the record with seq 7 (plan, item_id)"
    both = only(Screening().findings(line(item_id=TOKEN, agent=TOKEN), None))
    assert both.item_id is None


def test_a_payload_beside_its_line_is_looked_through_as_if_it_stood_there() -> None:
    finding = only(Screening().findings(line(payload=None), json.dumps({"a": ["x" * 90_000, TOKEN]}).encode()))
    assert finding.place == "payload.a[1]"


WRAPPED = {
    "base64": base64.b64encode(f"user={TOKEN}\n".encode()).decode(),
    "in a longer run": "host/path/" + base64.b64encode(f"key={TOKEN}".encode()).decode(),
    "url-safe": base64.urlsafe_b64encode(b"\xff\xfe\xfb" + TOKEN.encode()).decode(),
    "without padding": base64.b64encode(f"{TOKEN}!".encode()).decode().rstrip("="),
    "in lines": base64.encodebytes(b"\x00" * 40 + f"{TOKEN} and more of it, over lines".encode()).decode(),
    "lines of 64": "\n".join(
        [base64.b64encode(b"\x01" * 30 + TOKEN.encode() + b"\x01" * 30).decode()[at : at + 64] for at in (0, 64, 128)]
    ),
    "twice": base64.b64encode(base64.b64encode(TOKEN.encode())).decode(),
    "utf-16": base64.b64encode(TOKEN.encode("utf-16-le")).decode(),
    "json in a text": json.dumps({"a": json.dumps({"b": f"\n{TOKEN}"})}),
    "escaped twice": json.dumps("".join(f"\\u{ord(sign):04x}" for sign in TOKEN)),
    "with NULs": "\0".join(TOKEN),
    "a file": base64.b64encode(bytes(range(256)) * 99 + TOKEN.encode() + bytes(range(256)) * 99).decode(),
}


@pytest.mark.parametrize("text", WRAPPED.values(), ids=list(WRAPPED))
@pytest.mark.parametrize("shift", range(4))
def test_a_secret_that_is_wrapped_is_found_and_its_field_is_named(text: str, shift: int) -> None:
    padded = "x " * shift + text
    finding = only(Screening().findings(line(payload={"n": 1, "note": padded}), None))
    assert (finding.what, finding.place) == ("a GitHub token", "payload.note")


@pytest.mark.parametrize("size", [(1 << 20) + 37, 2_100_000])
def test_a_large_file_hides_nothing_where_it_is_looked_at_in_pieces(size: int) -> None:
    for at in (0, size // 2, (1 << 20) * 3 // 4 - 20, size - len(TOKEN)):
        data = bytearray(b"\x80" * size)
        data[at : at + len(TOKEN)] = TOKEN.encode()
        payload = json.dumps({"attachment": {"name": "x", "base64": base64.b64encode(data).decode()}}).encode()
        assert find_secret(payload) == "a GitHub token", at


def test_ordinary_base64_digests_and_paths_are_no_secret() -> None:
    texts = [
        base64.b64encode(bytes(range(256)) * 40).decode(),
        "src/federation/transports/directory_of_many_things.py",
        "sha256-" + base64.b64encode(bytes(32)).decode(),
        "0123456789abcdef" * 4,
        "https://user:${PASSWORD}@host/x",
        "https://user:<password>@host/x",
        "https://***@host/x and https://me:***@host/x",
        "Authorization: Bearer <token>",
        "Authorization: Bearer your-token-goes-here-please",
        "basic knowledge of authorization",
    ]
    assert Screening().findings(line(payload={"texts": texts}), None) == []


def test_a_person_may_say_that_it_is_none() -> None:
    known = Screening(frozenset(["plan/pln_1"]))
    assert known.findings(line(summary=TOKEN), None) == []
    assert len(known.findings(line(item_id="pln_2", summary=TOKEN), None)) == 1


def test_a_library_is_asked_of_each_text() -> None:
    seen: list[str] = []

    def library(text: str) -> str | None:
        seen.append(text)
        return "a riddle" if "sphinx" in text else None

    finding = only(Screening(library=library).findings(line(payload={"a": [1, "the sphinx"]}), None))
    assert (finding.what, finding.place) == ("a riddle", "payload.a[1]")
    assert "claude-code" in seen
    assert "ab" * 32 not in seen  # what is random in every record is none of its business
    assert Screening(frozenset(["plan/pln_1"]), library).findings(line(summary="sphinx"), None) == []


def test_what_is_personal_is_named_beside_a_secret() -> None:
    both = Screening(personal=Personal(["alice"])).findings(line(summary=TOKEN, payload={"path": HOME}), None)
    assert [(found.kind, found.place) for found in both] == [(SECRET, "summary"), (PERSONAL, "payload.path")]
    assert "alice" not in str(both[1])
    assert "alice" not in both[1].what


def test_places_stay_short_and_on_one_line() -> None:
    value: Any = "x"
    for _ in range(60):
        value = {"\x1b[31m": {"k" * 40: value}}
    places = [field.place for field in fields_of(value)]
    assert max(map(len, places)) <= 130
    assert all(place.isprintable() for place in places)
