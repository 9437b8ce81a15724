"""Payload schemas: asked of those who declare one, lifted when read, and never in the way of others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from journal import NEWEST_VERSION, Draft, SchemaFailed, Store, json_schema, lifted, why_wrong
from tests.doubles.stores import chain_lines, projection

ROOT = Path(__file__).resolve().parents[3]
TYPES = sorted(NEWEST_VERSION)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
FIELDS = ["tags", "scope", "steps", "text", "title", "from", "contract", "status", "review", "x"]
PAYLOADS = st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=5), VALUES, max_size=6)


def write(store: Store, payload: dict[str, Any], item_type: str = "plan") -> None:
    with store.mutate() as mutation:
        mutation.put(item_type, "p1", payload)


# --- what is asked of whom -------------------------------------------------------------------------------------------


@given(PAYLOADS, st.sampled_from([*TYPES, "session", "anything"]))
def test_nothing_is_asked_of_a_payload_that_declares_nothing(payload: dict[str, Any], item_type: str) -> None:
    payload.pop("schema_version", None)
    assert why_wrong(item_type, payload) is None
    assert lifted(item_type, payload) is payload


@given(PAYLOADS, VALUES)
def test_nothing_is_asked_of_a_type_that_has_no_schema(payload: dict[str, Any], version: object) -> None:
    payload["schema_version"] = version
    assert why_wrong("invention", payload) is None
    assert lifted("invention", payload) is payload


@pytest.mark.parametrize("item_type", TYPES)
@pytest.mark.parametrize("version", [1, 2])
def test_unknown_keys_pass_untouched(item_type: str, version: int) -> None:
    payload = {"schema_version": version, "x": [1, {"y": None}], "Text": 3}
    assert why_wrong(item_type, payload) is None
    assert lifted(item_type, payload).items() >= {"x": [1, {"y": None}], "Text": 3}.items()


@pytest.mark.parametrize(
    ("item_type", "payload", "reason"),
    [
        ("plan", {"title": 3}, "title: input should be a valid string"),
        ("plan", {"tags": "a,b"}, "tags: input should be a valid list"),
        ("plan", {"tags": ["a", 3]}, "tags.1: input should be a valid string"),
        ("plan", {"steps": [{}, {"text": False}]}, "steps.1.text: input should be a valid string"),
        ("handoff", {"from": 7}, "from: input should be a valid string"),
        ("handoff", {"contract": {"files_touched": [None]}}, "contract.files_touched.0: input should be a valid"),
        ("decision", {"outcome": []}, "outcome: "),
        ("trap", {"severity": 1}, "severity: "),
        ("constraint", {"expires_at": 1}, "expires_at: "),
        ("note", {"text": {}}, "text: "),
        ("claim", {"agent": 1.5}, "agent: "),
    ],
)
def test_a_field_that_is_not_what_it_must_be_is_named(item_type: str, payload: dict[str, Any], reason: str) -> None:
    found = why_wrong(item_type, {"schema_version": 2, **payload})
    assert found is not None
    assert found.startswith(reason)


@pytest.mark.parametrize("version", [None, "2", 2.0, True, 0, -1, [], {}])
def test_a_version_that_is_none_is_named(version: object) -> None:
    assert why_wrong("plan", {"schema_version": version}) == "schema_version: is not a positive integer"


def test_a_later_version_is_never_guessed_at() -> None:
    assert why_wrong("plan", {"schema_version": 3}) == "newer format: schema_version 3 of plan, known is 2"
    later = {"schema_version": 3, "tags": "a,b"}
    assert lifted("plan", later) is later


def test_what_is_wrong_is_not_repeated() -> None:
    """It may be foreign, or a secret."""
    found = why_wrong("plan", {"schema_version": 2, "steps": "hunter2", "tags": {"hunter2": 1}})
    assert found is not None
    assert "hunter2" not in found


# --- lifting ---------------------------------------------------------------------------------------------------------


@given(PAYLOADS, st.sampled_from(TYPES), st.integers(-1, 5))
def test_lifting_never_fails_and_lifts_once(payload: dict[str, Any], item_type: str, version: int) -> None:
    payload["schema_version"] = version
    before = json.dumps(payload, sort_keys=True)
    found = lifted(item_type, payload)
    assert json.dumps(payload, sort_keys=True) == before
    assert lifted(item_type, found) == found
    assert found["schema_version"] == (2 if version == 1 else version)
    if version != 1:
        assert found is payload


def test_each_step_does_what_the_paper_says() -> None:
    assert lifted("plan", {"schema_version": 1, "tags": " a,b ,,c"}) == {
        "schema_version": 2,
        "tags": ["a", "b", "c"],
    }
    for item_type in TYPES:
        scope = {"scope": "project"} if item_type in ("decision", "trap", "constraint") else {}
        assert lifted(item_type, {"schema_version": 1}) == {"schema_version": 2, **scope}
        assert lifted(item_type, {"schema_version": 1, "scope": "team"})["scope"] == "team"


def test_every_step_leads_to_the_next_version() -> None:
    from journal.schemas import _STEPS

    assert set(NEWEST_VERSION.values()) == {max(_STEPS) + 1}
    assert sorted(_STEPS) == list(range(1, max(_STEPS) + 1))


# --- in a store ------------------------------------------------------------------------------------------------------


def test_a_put_that_fails_its_schema_writes_nothing(store: Store) -> None:
    before = chain_lines(store)
    for payload in ({"schema_version": 2, "title": 3}, {"schema_version": 3}, {"schema_version": "x"}):
        with pytest.raises(SchemaFailed, match="payload of plan/p1: "):
            write(store, payload)
    with pytest.raises(SchemaFailed), store.mutate() as mutation:
        mutation.put("plan", "good", {})
        mutation.put("plan", "bad", {"schema_version": 2, "tags": 1})
    assert chain_lines(store) == before
    write(store, {"schema_version": 2, "title": "fine", "tags": ("a", "b")})  # as JSON it is a list


def test_an_old_payload_is_lifted_when_it_is_read_and_nowhere_else(store: Store) -> None:
    """[J2]: the record and its projection keep what was written."""
    old = {"schema_version": 1, "tags": "a,b"}
    write(store, old)
    head, payload = store.get("plan", "p1")
    assert payload == {"schema_version": 2, "tags": ["a", "b"]}
    assert json.loads(store.payload_bytes(head) or b"") == old
    assert json.loads(projection(store, "p1").read_bytes())["payload"] == old
    assert json.loads(store.history.rev("plan", "p1", 1).record.payload_bytes or b"") == old
    assert store.verify().findings == []


def test_what_is_in_the_log_is_read_whatever_a_schema_says_of_it(store: Store) -> None:
    """An accept brought it, or an earlier program wrote it."""
    wrong = b'{"schema_version":1,"title":[3],"tags":7}'
    with store.mutate() as mutation:
        mutation.add(Draft("backfill", "plan", "p1", wrong))
    assert store.get("plan", "p1").payload == {"schema_version": 2, "title": [3], "tags": 7}
    assert store.verify().findings == []


# --- published schemas -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("item_type", TYPES)
def test_a_json_schema_says_what_is_checked(item_type: str) -> None:
    schema = json_schema(item_type)
    assert schema["title"] == item_type
    assert schema["required"] == ["schema_version"]
    assert schema["properties"]["schema_version"]["const"] == NEWEST_VERSION[item_type]
    assert schema["additionalProperties"] is True
    assert {"tags", "text", "status"} <= schema["properties"].keys()
    assert all(name.isidentifier() and not name.endswith("_") for name in schema["properties"])


PROGRAM = """
import sys
from pathlib import Path
from journal import Store
store = Store.init(Path(sys.argv[1]), data_folder=Path(sys.argv[2]))
with store.mutate() as mutation:
    mutation.put("plan", "p2", {"title": 3})
    mutation.put("session", "s", {"schema_version": "x"})
store.get("plan", "p2")
assert "pydantic" not in sys.modules
with store.mutate() as mutation:
    mutation.put("plan", "p2", {"schema_version": 2})
assert "pydantic" in sys.modules
"""


def test_who_declares_nothing_waits_for_nothing(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "project"), str(tmp_path / "data")],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr
