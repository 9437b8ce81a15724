"""The words of the journal: refs, versions, the table of actions, projections as documents."""

from __future__ import annotations

import json

import msgspec
import pytest

from journal import ACTIONS, EXECUTION_TYPES, ActionClass, Draft, Line, LocalHead, Record, Ref, Version
from journal.codec import Entry
from journal.errors import DamagedStore, JournalError, LogShorterThanKnown
from journal.model import Place
from journal.projection import changes_entity, document, head_of, parse_document

ORIGIN = "es1" + "a" * 32


def entry(**values: object) -> Entry:
    usual = {"v": 2, "seq": 7, "action": "create", "item_type": "plan", "item_id": "p1", "entity_rev": 1}
    record = msgspec.convert(usual | values, Record)
    return Entry(Line(100, b"x" * 50, b"\0" * 32), record, False)


@pytest.mark.parametrize("text", [f"{ORIGIN}@7#0123456789ab", f"{ORIGIN}@7", "brainclaw:project_1@9"])
def test_a_version_comes_back_as_it_was_written(text: str) -> None:
    """[K1]"""
    assert str(Version.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "@",
            ORIGIN,
            f"{ORIGIN}@",
            f"{ORIGIN}@0",
            f"{ORIGIN}@07",
            f"{ORIGIN}@-1",
            f"{ORIGIN}@٧",
            "es1a@7",
            "x:y@7",
        ),
        *(f"{ORIGIN}@7#xyz", f"{ORIGIN}@7#0123456789ab\n", f" {ORIGIN}@7", f"{ORIGIN}@9007199254740992"),
    ],
)
def test_what_is_no_version_is_refused(text: str) -> None:
    """[K1]"""
    with pytest.raises(ValueError, match="not a version"):
        Version.parse(text)


def test_a_ref_is_origin_and_seq() -> None:
    assert Ref.parse(f"{ORIGIN}@7") == Ref(ORIGIN, 7)
    assert str(Ref(ORIGIN, 7)) == f"{ORIGIN}@7"


def test_every_action_has_one_class() -> None:
    """[J2]"""
    assert {*ACTIONS.values()} == set(ActionClass)
    assert ACTIONS["accept"] is ActionClass.STATE
    assert ACTIONS["delete"] is ActionClass.TOMBSTONE
    assert {action for action, kind in ACTIONS.items() if kind is ActionClass.DECISION} == {
        "reject",
        "reopen",
        "snooze",
    }


def test_what_a_machine_is_doing_is_told_from_what_it_learned() -> None:
    assert {"claim", "session"} <= EXECUTION_TYPES
    assert not EXECUTION_TYPES & {"plan", "decision", "trap", "constraint", "handoff", "note"}


def test_a_draft_leaves_private_and_context_to_the_store() -> None:
    draft = Draft("create", "plan", "p1", b"{}")
    assert (draft.private, draft.context) == (None, None)


def test_an_error_says_where_what_and_which_rule() -> None:
    error = LogShorterThanKnown("the log ends at seq 3", path="journal/seg-00000001.jsonl", line=7, seq=4, rule="J11")
    assert str(error) == "journal/seg-00000001.jsonl:7: the log ends at seq 3 [J11]"
    assert isinstance(error, DamagedStore)
    assert str(JournalError("what")) == "what"


# --- projections -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "changes"),
    [
        ({"payload": b"{}"}, True),
        ({"action": "delete"}, True),
        ({"redacted": True}, True),
        ({"action": "reject", "entity_rev": None}, False),
        ({"action": "journal_note", "item_type": "journal", "item_id": None, "entity_rev": None}, False),
        ({"action": "session_start", "entity_rev": None}, False),
        ({"action": "a_later_action", "payload": b"{}"}, False),
        ({}, False),
    ],
)
def test_only_snapshots_and_tombstones_change_an_entity(values: dict[str, object], changes: bool) -> None:
    """[J2]"""
    if "payload" in values:
        values = values | {"payload": msgspec.Raw(b"{}")}
    assert changes_entity(entry(**values).record) is changes


def test_a_head_knows_its_version_and_where_it_stands() -> None:
    """[K1] [K2]"""
    head = head_of(entry(c="ab" * 32), 1, ORIGIN)
    assert head.version == Version(ORIGIN, 7, "abababababab")
    assert head.context == {ORIGIN: 7}
    assert head.place == Place(1, 100, 50)


def test_the_version_of_a_copy_is_its_root() -> None:
    """[K1]"""
    root = "es1" + "b" * 32 + "@3#0123456789ab"
    assert str(head_of(entry(action="accept", root=root, context={}), 1, ORIGIN).version) == root


@pytest.mark.parametrize("values", [{"root": "nonsense"}, {"item_id": None}, {"entity_rev": None}])
def test_a_head_that_cannot_be_is_damage(values: dict[str, object]) -> None:
    with pytest.raises(DamagedStore):
        head_of(entry(**values), 1, ORIGIN)


def head() -> LocalHead:
    return head_of(entry(), 1, ORIGIN)


def test_a_projection_is_pretty_sorted_and_the_same_bytes_for_the_same_record() -> None:
    data = document(head(), {"z": 1, "a": "grüße"})
    assert data == document(head(), {"a": "grüße", "z": 1})
    assert data.decode().splitlines()[:3] == ["{", '  "claims": {},', '  "context": {']
    assert "grüße" in data.decode()
    assert data.endswith(b"}\n")
    assert set(json.loads(data)) == {
        *("item_type", "item_id", "entity_rev", "seq", "version", "context", "claims", "payload", "payload_digest"),
    }


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b'{"seq":"1"}', b"\0" * 100, b"\xff", b"[" * 100_000])
def test_what_is_no_projection_is_not_taken_for_one(data: bytes) -> None:
    """[P3]"""
    assert parse_document(data) is None
