"""Every limit of J10, and what a record of each class of J2 must have, at the door of a mutation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from journal import (
    ACTIONS,
    MAX_CONTEXT_ENTRIES,
    MAX_LINE_BYTES,
    MAX_SEQ,
    ActionClass,
    Draft,
    InvalidInput,
    LocalHead,
    NoSuchEntity,
    Version,
    chain_start,
    check_item_id,
    check_item_type,
    check_payload,
    decode_record,
)
from journal.machine import Machine
from journal.model import MAX_PAYLOAD_BYTES, MAX_SUMMARY_CHARS, Place
from journal.mutation import Author, Mutation, Sealed, seal
from tests.doubles.machines import FixedMachine

ORIGIN = "es1" + "a" * 32
OTHER = "es1" + "b" * 32


@pytest.fixture
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    return FixedMachine(tmp_path_factory.getbasetemp())


def nothing(item_type: str, item_id: str) -> None:
    """An empty store."""


def head(item_id: str = "p1", **changes: Any) -> LocalHead:
    found = LocalHead(
        "plan",
        item_id,
        3,
        7,
        "0" * 64,
        Version(ORIGIN, 7, "0" * 12),
        {ORIGIN: 7},
        {},
        False,
        False,
        None,
        Place(1, 0, 0),
    )
    return found._replace(**changes)


def mutation(*heads: LocalHead) -> Mutation:
    known = {(item.item_type, item.item_id): item for item in heads}

    def other_case(item_type: str, item_id: str) -> str | None:
        return next((i for t, i in known if t == item_type and i.lower() == item_id.lower() and i != item_id), None)

    return Mutation(lambda item_type, item_id: known.get((item_type, item_id)), other_case)


def sealed(
    drafts: list[Draft], machine: Machine, *, find: Callable[[str, str], LocalHead | None] = nothing, last_seq: int = 7
) -> list[Sealed]:
    return seal(
        drafts,
        origin=ORIGIN,
        last_seq=last_seq,
        last_c=chain_start(ORIGIN),
        author=Author("test"),
        machine=machine,
        head=find,
    )


# --- payloads --------------------------------------------------------------------------------------------------------


def nested(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


@pytest.mark.parametrize(
    ("payload", "what"),
    [
        (b'{"a":1,"a":2}', "key 'a' stands twice"),
        (b'{"x":{"a":1,"b":2,"a":3}}', "key 'a' stands twice"),
        (b'{"a":NaN}', "NaN is not a JSON number"),
        (b'{"a":Infinity}', "Infinity is not"),
        (b'{"a":-Infinity}', "-Infinity is not"),
        (b'{"a":1e999}', "1e999 is not finite"),
        (b'{"a":-1e999}', "is not finite"),
        (b'{"a":1' + b"0" * 400 + b"}", "is not finite"),
        (b'{"a":1' + b"0" * 5000 + b"}", "is not finite"),
        (b'{"a":"\\ud800"}', "lone surrogate"),
        (b'{"\\udfff":1}', "lone surrogate"),
        (b'{"a":["\\ud83d\\ud83d\\ude00"]}', "lone surrogate"),
        (b'{"a":"\xff"}', "not UTF-8"),
        (b'{"a":"\xed\xa0\x80"}', "not UTF-8"),
        (nested(65), "deeper than 64"),
        (b'{"a":' + b"[" * 64 + b"]" * 64 + b"}", "deeper than 64"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "deeper than 64"),
        (b"[]", "not a JSON object"),
        (b'"text"', "not a JSON object"),
        (b"null", "not a JSON object"),
        (b"", "Expecting value"),
        (b"{", "Expecting"),
        (b'{"a":1}x', "Extra data"),
        (b'{"a":01}', "Expecting"),
        (b"{'a':1}", "Expecting"),
        (b'{"a":"\x01"}', "control character"),
        (b"\xef\xbb\xbf{}", "Expecting value"),
    ],
)
def test_a_payload_that_breaks_a_limit_is_refused_by_name(payload: bytes, what: str) -> None:
    """[J10]"""
    with pytest.raises(InvalidInput, match=what) as caught:
        check_payload(payload)
    assert caught.value.rule == "J10"


@pytest.mark.parametrize(
    ("payload", "where"),
    [
        (b'{"steps":[{},{"cost":NaN}]}', "at steps[1].cost"),
        (b'{"a":{"b":[0,1e999]}}', "at a.b[1]"),
        (b'{"a":{"b":1' + b"0" * 5000 + b"}}", "at a.b"),
        (b'{"a":[{"x":1,"x":2}]}', "at a[0]"),
        (b'{"a":{"b":"\\ud800"}}', "at a.b"),
        (b'{"a":{"\\udfff":1}}', "at a"),
        (nested(65), "at " + ".".join("a" * 64)),
        (b'{"odd key!":{"gr\xc3\xbcn":NaN}}', "at ['odd key!']['grün']"),
        (b'{"' + b"k" * 500 + b'":{"a":NaN}}', "at ['" + "k" * 40 + "'].a"),
        (b'{"a":' * 60 + b"NaN" + b"}" * 60, "a.a.a"),
        (b'{"a":1,"a":2}', "stands twice"),
    ],
)
def test_where_a_payload_breaks_a_limit_is_told(payload: bytes, where: str) -> None:
    """[J10] The name of the field, as people write it, and not longer than a line."""
    with pytest.raises(InvalidInput) as caught:
        check_payload(payload)
    assert caught.value.message.endswith(where) or where in caught.value.message
    assert len(caught.value.message) < 300


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ({"a": [{"b": float("nan")}]}, "number nan is not finite at a[0].b"),
        ({"a": {"b": float("-inf")}}, "number -inf is not finite at a.b"),
        ({"a": {1, 2}}, "set is no JSON value at a"),
        ({"a": ({"b": b"x"},)}, "bytes is no JSON value at a[0].b"),
        ({"a": "\ud800"}, "a lone surrogate at a"),
        ({"a": {"\ud800": 1}}, "a key: a lone surrogate at a"),
        ({"a": {(1, 2): 1}}, "keys must be str"),
    ],
)
def test_where_a_value_is_no_payload_is_told(value: dict[str, Any], what: str) -> None:
    """[J10]"""
    with pytest.raises(InvalidInput) as caught:
        mutation().put("plan", "p1", value)
    assert what in caught.value.message


@pytest.mark.parametrize("field", ["agent", "agent_id", "session_id"])
def test_a_field_beside_the_payload_is_named(machine: Machine, field: str) -> None:
    """[J10]"""

    def sealed_by(text: str) -> None:
        author = Author("test")._replace(**{field: text})
        draft = Draft("create", "plan", "p1", b"{}")
        last_c = chain_start(ORIGIN)
        seal([draft], origin=ORIGIN, last_seq=1, last_c=last_c, author=author, machine=machine, head=nothing)

    with pytest.raises(InvalidInput, match=f"^{field} is not Unicode text"):
        sealed_by("\ud800")
    with pytest.raises(InvalidInput, match=f"the limit is 262144; most of it is {field}"):
        sealed_by("x" * 300_000)


@pytest.mark.parametrize(
    "payload",
    [
        b"{}",
        nested(64),
        b'{"a":1e308}',
        b'{"a":-0.0}',
        b'{"a":"\\ud83d\\ude00"}',
        b'{"a":{"b":1},"b":{"b":1}}',
        b' {"a":1}',
    ],
)
def test_a_payload_within_the_limits_is_taken(payload: bytes) -> None:
    """[J10]"""
    assert isinstance(check_payload(payload), dict)


@pytest.mark.parametrize(
    "value", [{"a": float("nan")}, {"a": float("inf")}, {"a": {1, 2}}, {"a": b"x"}, {1: "a", "1": "b"}, {"a": "\ud800"}]
)
def test_a_value_that_is_no_such_payload_is_refused(value: dict[Any, Any]) -> None:
    """[J10]"""
    with pytest.raises(InvalidInput, match="J10"):
        mutation().put("plan", "p1", value)


def test_a_value_that_holds_itself_is_refused() -> None:
    """[J10]"""
    value: dict[str, Any] = {}
    value["self"] = value
    with pytest.raises(InvalidInput, match="J10"):
        mutation().put("plan", "p1", value)


def test_a_payload_may_have_16_mib_and_no_more() -> None:
    """[J10]"""
    frame = len(b'{"a":""}')
    block = mutation()
    block.put("plan", "p1", {"a": "x" * (MAX_PAYLOAD_BYTES - frame)})
    with pytest.raises(InvalidInput, match="payload of plan/p2 has 16777217 bytes, the limit is 16777216"):
        block.put("plan", "p2", {"a": "x" * (MAX_PAYLOAD_BYTES - frame + 1)})
    assert [draft.item_id for draft in block.drafts] == ["p1"]


# --- ids and types ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("item_id", ["a", "A1", "pln_2290bc70", "a.b-c_d", "a" * 127, "console", "com10", "0"])
def test_an_id_that_is_a_file_name_everywhere_is_taken(item_id: str) -> None:
    """[J10]"""
    assert check_item_id(item_id) == item_id


@pytest.mark.parametrize(
    "item_id",
    [
        *(
            "",
            "a" * 128,
            ".a",
            "-a",
            "_a",
            "a.",
            "a..",
            "a/b",
            "../a",
            "a\\b",
            "a b",
            "a\n",
            "a\0",
            "ä",
            "a\u202e",
            "\ud800",
        ),
        *("con", "CON", "Nul", "nul.json", "aux.x.y", "prn", "com1", "COM0", "lpt9", "lpt9.txt", "a:b", "a*", "１"),
    ],
)
def test_an_id_that_is_no_file_name_somewhere_is_refused(item_id: str) -> None:
    """[J10]"""
    with pytest.raises(InvalidInput, match="J10"):
        check_item_id(item_id)
    with pytest.raises(InvalidInput, match="J10"):
        mutation().put("plan", item_id, {})
    with pytest.raises(InvalidInput, match="J10"):
        mutation().delete("plan", item_id)


@pytest.mark.parametrize("item_type", ["", "Plan", "1plan", "_plan", "a" * 65, "a-b", "a.b", "plän", "plan\n", "pl an"])
def test_a_type_that_breaks_its_pattern_is_refused(item_type: str) -> None:
    """[J10]"""
    with pytest.raises(InvalidInput, match="J10"):
        check_item_type(item_type)
    with pytest.raises(InvalidInput, match="J10"):
        mutation().put(item_type, "p1", {})


def test_a_type_may_have_64_characters() -> None:
    """[J10]"""
    assert check_item_type("a" * 64)


def test_an_id_that_differs_only_in_case_from_one_in_the_store_is_refused() -> None:
    """[J10]: on many systems both would be one file."""
    block = mutation(head("Plan-A"))
    with pytest.raises(InvalidInput, match="'plan-a' differs from 'Plan-A' only in case"):
        block.put("plan", "plan-a", {})
    block.put("decision", "plan-a", {})
    block.put("plan", "Plan-A", {})


def test_ids_that_differ_only_in_case_are_refused_within_one_batch() -> None:
    """[J10]"""
    block = mutation()
    block.put("plan", "Twin", {})
    with pytest.raises(InvalidInput, match="'tWIN' differs from 'Twin' only in case"):
        block.put("plan", "tWIN", {})


def test_an_id_that_was_deleted_keeps_its_spelling() -> None:
    """[J10] [J3]: a tombstone is still an entity."""
    with pytest.raises(InvalidInput, match="only in case"):
        mutation(head("Plan-A", deleted=True)).put("plan", "PLAN-A", {})


def test_a_refused_record_leaves_no_trace_in_the_block() -> None:
    """What a caller catches and skips must not get in the way of what comes later."""
    block = mutation()
    with pytest.raises(InvalidInput):
        block.put("plan", "Twin", {"a": "x" * MAX_PAYLOAD_BYTES})
    block.put("plan", "twin", {})
    assert [draft.item_id for draft in block.drafts] == ["twin"]


def test_a_decision_about_a_twin_is_no_twin() -> None:
    """A foreign entity that differs only in case can be rejected: no file comes of it."""
    block = mutation(head("Plan-A"))
    block.add(Draft("reject", "plan", "plan-a", cause=f"{OTHER}@3"))
    assert len(block.drafts) == 1


# --- the rest of a record --------------------------------------------------------------------------------------------


def test_a_context_may_have_256_entries_and_no_more(machine: Machine) -> None:
    """[J10]: the store's own entry counts."""
    full = {f"brainclaw:p{number}": 1 for number in range(MAX_CONTEXT_ENTRIES)}
    most = dict(list(full.items())[1:])
    record = sealed([Draft("update", "plan", "p1", b"{}", context=most)], machine)[0].record
    assert len(record.context or {}) == MAX_CONTEXT_ENTRIES
    with pytest.raises(InvalidInput, match="more than 256 entries"):
        sealed([Draft("update", "plan", "p1", b"{}", context=full)], machine)
    with pytest.raises(InvalidInput, match="more than 256 entries"):
        mutation().add(Draft("update", "plan", "p1", b"{}", context={**full, OTHER: 1}))
    with pytest.raises(InvalidInput, match="more than 256 entries"):
        mutation().add(Draft("update", "plan", "p1", b"{}", claims={**full, OTHER: 1}))


@pytest.mark.parametrize("seq", [0, -1, MAX_SEQ + 1])
def test_a_context_entry_is_a_seq(seq: int) -> None:
    """[J10]: 1 ≤ seq ≤ 2^53-1."""
    with pytest.raises(InvalidInput, match="has seq"):
        mutation().add(Draft("update", "plan", "p1", b"{}", context={OTHER: seq}))


def test_a_summary_may_have_a_thousand_characters_and_no_more() -> None:
    """[J10]"""
    block = mutation()
    block.put("plan", "p1", {}, summary="x" * MAX_SUMMARY_CHARS)
    with pytest.raises(InvalidInput, match="summary is longer"):
        block.put("plan", "p2", {}, summary="x" * (MAX_SUMMARY_CHARS + 1))


def test_a_line_may_have_256_kib_and_no_more(machine: Machine) -> None:
    """[J10]"""
    short = len(sealed([Draft("genesis", "journal", cause="")], machine)[0].line)
    line = sealed([Draft("genesis", "journal", cause="x" * (MAX_LINE_BYTES - short))], machine)[0].line
    assert len(line) == MAX_LINE_BYTES
    with pytest.raises(InvalidInput, match="record has 262145 bytes, the limit is 262144"):
        sealed([Draft("genesis", "journal", cause="x" * (MAX_LINE_BYTES - short + 1))], machine)


def test_the_last_seq_is_the_last_number_every_reader_has(machine: Machine) -> None:
    """[J10]: 2^53-1."""
    assert sealed([Draft("genesis", "journal")], machine, last_seq=MAX_SEQ - 1)[0].record.seq == 2**53 - 1
    with pytest.raises(InvalidInput, match="full"):
        sealed([Draft("genesis", "journal"), Draft("genesis", "journal")], machine, last_seq=MAX_SEQ - 1)


@pytest.mark.parametrize("field", ["summary", "agent"])
def test_text_that_is_not_unicode_is_refused(field: str, machine: Machine) -> None:
    """[J10]"""
    author = Author("a\ud800" if field == "agent" else "test")
    draft = Draft("genesis", "journal", summary="\udc00" if field == "summary" else None)
    with pytest.raises(InvalidInput, match="not Unicode"):
        seal([draft], origin=ORIGIN, last_seq=0, last_c=b"\0" * 32, author=author, machine=machine, head=nothing)


# --- classes [J2] ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("draft", "what"),
    [
        (Draft("invent", "plan", "p1", b"{}"), "unknown action"),
        (Draft("create", "plan", None, b"{}"), "without an item id"),
        (Draft("create", "plan", "p1"), "without a payload"),
        (Draft("accept", "plan", "p1"), "without a payload"),
        (Draft("delete", "plan"), "without an item id"),
        (Draft("delete", "plan", "p1", b"{}"), "with a payload"),
        (Draft("session_start", "session", "s1", b"{}"), "with a payload"),
        (Draft("reject", "plan", "p1"), "without a cause"),
        (Draft("genesis", "plan"), "of item type 'plan'"),
        (Draft("create", "journal", "p1", b"{}"), "of item type 'journal'"),
    ],
)
def test_a_record_has_what_its_class_asks_for(draft: Draft, what: str) -> None:
    """[J2]"""
    with pytest.raises(InvalidInput, match=what):
        mutation().add(draft)


@pytest.mark.parametrize(
    "draft",
    [
        *(Draft(action, "plan", "p1", b"{}") for action, kind in ACTIONS.items() if kind is ActionClass.STATE),
        Draft("delete", "plan", "p1", cause=f"{OTHER}@3", root=f"{OTHER}@3#0123456789ab"),
        Draft("reject", "plan", "p1", cause=f"{OTHER}@3"),
        Draft("session_start", "session", "s1"),
        Draft("journal_note", "journal", payload=b"{}"),
        Draft("origin_trust", "journal", ORIGIN),
    ],
)
def test_a_record_of_each_class_is_taken(draft: Draft) -> None:
    """[J2]"""
    block = mutation()
    block.add(draft)
    assert block.drafts == [draft]


def test_putting_creates_once_and_then_updates() -> None:
    """[J2]"""
    block = mutation(head("p2"), head("p3", deleted=True))
    for item_id in ("p1", "p1", "p2", "p3"):
        block.put("plan", item_id, {})
    assert [draft.action for draft in block.drafts] == ["create", "update", "update", "create"]


def test_deleting_what_is_not_there_is_refused() -> None:
    block = mutation(head("p1"), head("p2", deleted=True))
    block.delete("plan", "p1")
    for item_id in ("p1", "p2", "p3"):
        with pytest.raises(NoSuchEntity, match=f"no entity plan/{item_id}"):
            block.delete("plan", item_id)


# --- sealing ---------------------------------------------------------------------------------------------------------


def test_records_of_one_mutation_are_one_batch_with_seqs_one_after_the_other(machine: Machine) -> None:
    """[J1] [J6]"""
    found = sealed([Draft("create", "plan", f"p{n}", b"{}") for n in range(3)], machine)
    assert [(item.record.seq, item.record.batch) for item in found] == [(8, (1, 3)), (9, (2, 3)), (10, (3, 3))]
    assert sealed([Draft("create", "plan", "p1", b"{}")], machine)[0].record.batch is None


def test_a_rev_counts_on_over_delete_and_create(machine: Machine) -> None:
    """[J3]"""
    drafts = [Draft("delete", "plan", "p1"), Draft("create", "plan", "p1", b"{}"), Draft("update", "plan", "p1", b"{}")]
    found = sealed(drafts, machine, find=lambda *_: head(entity_rev=3))
    assert [item.record.entity_rev for item in found] == [4, 5, 6]


def test_records_without_an_entity_have_no_rev(machine: Machine) -> None:
    """[J2] [J3]"""
    drafts = [Draft("reject", "plan", "p1", cause=f"{OTHER}@3"), Draft("session_start", "session", "s1")]
    assert [item.record.entity_rev for item in sealed(drafts, machine, find=lambda *_: head())] == [None, None]


def test_private_sticks_to_an_entity_its_tombstone_and_decisions(machine: Machine) -> None:
    """[F1]"""
    drafts = [
        Draft("update", "plan", "p1", b"{}"),
        Draft("delete", "plan", "p1"),
        Draft("reject", "plan", "p1", cause=f"{OTHER}@3"),
        Draft("create", "plan", "p1", b"{}", private=False),
        Draft("update", "plan", "p1", b"{}"),
    ]
    found = sealed(drafts, machine, find=lambda *_: head(private=True))
    assert [item.record.private for item in found] == [True, True, True, False, False]


def test_an_authored_record_adds_itself_to_the_context(machine: Machine) -> None:
    """[K2]"""
    found = sealed([Draft("update", "plan", "p1", b"{}")], machine, find=lambda *_: head(context={ORIGIN: 7, OTHER: 2}))
    assert found[0].record.context == {ORIGIN: 8, OTHER: 2}


def test_a_context_that_says_nothing_new_is_left_out(machine: Machine) -> None:
    """[K2]: absent = {origin: seq}."""
    assert sealed([Draft("create", "plan", "p1", b"{}")], machine)[0].record.context is None
    assert b'"context"' not in sealed([Draft("create", "plan", "p1", b"{}")], machine)[0].line


def test_a_copy_brings_its_context_and_adds_nothing(machine: Machine) -> None:
    """[K1] [K2]"""
    root = f"{OTHER}@5#0123456789ab"
    draft = Draft("accept", "plan", "p1", b"{}", cause=f"{OTHER}@5", root=root, context={OTHER: 5}, claims={OTHER: 9})
    record = sealed([draft], machine, find=lambda *_: head(claims={ORIGIN: 1}))[0].record
    assert (record.root, record.context, record.claims) == (root, {OTHER: 5}, {OTHER: 9})


def test_each_line_has_a_salt_of_its_own(machine: Machine) -> None:
    """[J4]: a redacted line cannot be guessed from its c."""
    found = sealed([Draft("create", "plan", f"p{n}", b"{}") for n in range(5)], machine)
    salts = [decode_record(item.line).salt for item in found]
    assert len({*salts}) == 5
    assert {len(salt) for salt in salts} == {16}


def test_a_real_machine_gives_16_hex_digits_of_salt(tmp_path_factory: pytest.TempPathFactory) -> None:
    """[J4]"""
    machine = Machine(tmp_path_factory.getbasetemp())
    salts = {machine.salt() for _ in range(50)}
    assert len(salts) == 50
    assert all(len(bytes.fromhex(salt)) == 8 for salt in salts)
