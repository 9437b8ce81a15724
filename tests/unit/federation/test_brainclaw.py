"""The bridge's reader: names, hostile lines, cuts, and what the lines come to."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from federation.brainclaw import (
    ACTION_CLASSES,
    MAX_LINE_BYTES,
    MAX_NESTING,
    BridgedRecord,
    effect,
    fold,
    ignored_segments,
    project_id,
    read_lines,
    segment_order,
    stable_length,
)

ID = "prj_" + "0123456789abcdef" * 2
FIELDS: dict[str, Any] = {
    "v": 2,
    "seq": 7,
    "ts": "2026-06-10T14:03:22.114Z",
    "writer": "w_9002-c2dc1e",
    "agent": "claude-code",
    "action": "update",
    "item_type": "plan",
    "item_id": "pln_2290bc70",
    "entity_rev": 3,
    "summary": "étape 🦀",
    "payload": {"id": "pln_2290bc70", "text": "日本 🦀"},
}


def line(**changes: Any) -> bytes:
    """A record as their writer writes it, with changed fields; a field set to ... is left out."""
    fields = {key: value for key, value in {**FIELDS, **changes}.items() if value is not ...}
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()


def with_raw(key: str, value: bytes) -> bytes:
    """The record with the text of one value given byte for byte."""
    return line(**{key: ...})[:-1] + b',"' + key.encode() + b'":' + value + b"}"


def record_of(raw: bytes) -> BridgedRecord:
    [only] = read_lines(raw)
    assert only.record is not None, only.skipped
    return only.record


def reason_of(raw: bytes) -> str:
    [only] = read_lines(raw)
    assert only.skipped is not None, only.record
    assert only.record is None
    return only.skipped


# --- names and identity ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config",
    [
        f"project_id: {ID}",
        f"schema_version: 2\nproject_id: {ID}\nname: x\n",
        f"project_id: {ID}\r\nname: x\r\n",
        f"\ufeffproject_id: {ID}\n",
        f'project_id: "{ID}"\n',
        f"project_id: '{ID}'  # ours\n",
        f"project_id:\t{ID} \t\n",
        f'"project_id" : {ID} #\n',
        f"# project_id: prj_1\nnested:\n  project_id: prj_2\nproject_id: {ID}\n",
    ],
)
def test_the_project_id_is_read_from_the_text_of_the_config(config: str) -> None:
    assert project_id(config.encode()) == ID


@pytest.mark.parametrize(
    "config",
    [
        "",
        "project_id:",
        "project_id: \n" + ID,
        f"project_id:{ID}",
        f"project_id: {ID.upper()}",
        f"project_id: {ID}0",
        f"project_id: {ID[:-1]}",
        f"project_id: {ID}#no comment without a space",
        f"project_id: {ID} more",
        f"project_id: \"{ID}'",
        f'project_id: "{ID}',
        f"project_id: ../{ID}",
        f" project_id: {ID}",
        f"store:\n  project_id: {ID}",
        f"# project_id: {ID}",
        f"my_project_id: {ID}",
        f"project_id: {ID}\nproject_id: {ID}",
    ],
)
def test_a_project_id_that_is_not_exactly_one_is_none(config: str) -> None:
    assert project_id(config.encode()) is None


def test_a_config_that_is_not_utf8_still_tells_its_project_id() -> None:
    assert project_id(b"name: \xff\xfe\nproject_id: " + ID.encode() + b"\n") == ID


def test_segments_are_read_by_number_past_eight_digits() -> None:
    names = ["seg-100000001.jsonl", "seg-99999990.jsonl", "seg-00000001.jsonl", "seg-1000000000000000.jsonl"]
    assert segment_order(names) == [names[2], names[1], names[0], names[3]]
    assert segment_order(names) != sorted(names)


def test_equal_numbers_have_a_fixed_order() -> None:
    assert segment_order(["seg-1.jsonl", "seg-01.jsonl"]) == segment_order(["seg-01.jsonl", "seg-1.jsonl"])


def test_names_only_their_reader_takes_are_told_apart_from_names_nobody_reads() -> None:
    strange = ["seg-.jsonl", "seg-1 (copy).jsonl", "seg-00000001.sync-conflict-x.jsonl", "seg-" + "9" * 17 + ".jsonl"]
    strange += ["seg-\u0661.jsonl", "seg-1\n.jsonl", "seg--1.jsonl"]
    nobody = ["meta.json", "checkpoints", "seg-00000001.jsonl.tmp", "seg-00000001.jsonl\n", ".seg-1.jsonl"]
    names = [*strange, *nobody, "seg-00000001.jsonl"]
    assert segment_order(names) == ["seg-00000001.jsonl"]
    assert ignored_segments(names) == sorted(strange)


# --- one line --------------------------------------------------------------------------------------------------------


def test_a_record_is_read_whole() -> None:
    raw = line()
    assert record_of(raw) == BridgedRecord(
        seq=7,
        ts="2026-06-10T14:03:22.114Z",
        writer="w_9002-c2dc1e",
        agent="claude-code",
        action="update",
        item_type="plan",
        item_id="pln_2290bc70",
        entity_rev=3,
        summary="étape 🦀",
        payload='{"id":"pln_2290bc70","text":"日本 🦀"}'.encode(),
        digest=blake3(raw).hexdigest(),
    )


def test_optional_fields_may_be_absent() -> None:
    record = record_of(line(item_id=..., entity_rev=..., summary=..., payload=...))
    assert (record.item_id, record.entity_rev, record.summary, record.payload) == (None, None, None, None)


@pytest.mark.parametrize("key", ["v", "seq", "ts", "writer", "agent", "action", "item_type"])
def test_a_required_field_must_be_there(key: str) -> None:
    assert reason_of(line(**{key: ...})) == f"{key} is missing"


@pytest.mark.parametrize("key", [*FIELDS, "agent_id", "session_id", "user", "payload_ref"])
@pytest.mark.parametrize("value", [None, True, [], [1], 0.5])
def test_no_field_takes_null_or_another_type(key: str, value: object) -> None:
    assert reason_of(line(**{key: value})).startswith(f"{key} is not ")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("v", 1),
        ("v", 3),
        ("v", "2"),
        ("seq", 0),
        ("seq", -1),
        ("seq", 1.5),
        ("seq", "1"),
        ("seq", 2**53),
        ("entity_rev", 0),
        ("entity_rev", 2**53),
        ("writer", ""),
        ("agent", ""),
        ("item_type", ""),
        ("action", ""),
        ("action", "Update"),
        ("action", "reopen"),
        ("action", {}),
        ("payload", "x"),
        ("payload", 1),
        ("payload_ref", {}),
        ("payload_ref", {"sha256": "x"}),
        ("payload_ref", {"sha256": 1, "bytes": 1}),
        ("payload_ref", {"sha256": "x", "bytes": 0}),
        ("payload_ref", {"sha256": "x", "bytes": None}),
    ],
)
def test_their_schema_refuses(key: str, value: object) -> None:
    assert reason_of(line(**{key: value})).startswith(f"{key} is not ")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ts", ""),
        ("ts", "yesterday"),
        ("item_id", ""),
        ("summary", ""),
        ("user", ""),
        ("seq", 2**53 - 1),
        ("payload", {}),
        ("payload_ref", {"sha256": "", "bytes": 1, "more": None}),
        ("item_type", "loop"),
        ("unknown", None),
        ("__proto__", {"seq": 1}),
        ("constructor", 1),
    ],
)
def test_their_schema_keeps(key: str, value: object) -> None:
    assert record_of(line(**{key: value}))


@pytest.mark.parametrize("text", [b"2.0", b"2e0", b"20e-1", b"0.2E+1", b"2.0000000000000000000001"])
def test_a_number_is_the_double_it_denotes(text: bytes) -> None:
    assert record_of(with_raw("v", text)).seq == 7
    assert record_of(with_raw("seq", text)).seq == 2


@pytest.mark.parametrize("text", [b"9007199254740991.6", b"9007199254740993", b"1e400", b"-0", b"1e-400", b"1" * 5000])
def test_a_number_out_of_range_is_refused_as_a_double(text: bytes) -> None:
    assert reason_of(with_raw("seq", text)).startswith("seq is not ")


@pytest.mark.parametrize("text", [b"1e999", b"1" * 5000, b"-0", b"0.10", b"1E2"])
def test_a_payload_keeps_its_numbers_as_written(text: bytes) -> None:
    assert record_of(with_raw("payload", b'{"n":' + text + b"}")).payload == b'{"n":' + text + b"}"


@pytest.mark.parametrize(
    "text",
    [
        b"NaN",
        b"Infinity",
        b"-Infinity",
        b"01",
        b"1.",
        b"+1",
        b".5",
        b"nul",
        b"[1,]",
        b'{"a":1,}',
        b"{,}",
        b"{1:2}",
        b"{'a':1}",
        b'{"a"}',
        b'"\x00"',
        b'"a\tb"',
        b'"\\x"',
        b'"\\u12G4"',
        b'"',
        b"{",
        b"[",
        b"]",
        b"\xef\xbc\x91",
        b"1,",
        b"",
    ],
)
def test_what_json_parse_refuses_is_refused_anywhere_in_a_line(text: bytes) -> None:
    assert reason_of(with_raw("payload", text)) == "not a JSON object"
    assert reason_of(with_raw("payload", b'{"a":[' + text + b'],"b":' + text + b"}")) == "not a JSON object"
    assert reason_of(with_raw("unknown", text)) == "not a JSON object"


@pytest.mark.parametrize(
    "raw", [b"this is not json", b"[]", b"2", b"null", b'""', b"{", b"}", b"{}{}", b"\r", b" ", b"\x00", b"\xff"]
)
def test_a_line_that_is_no_object_is_skipped(raw: bytes) -> None:
    assert reason_of(raw) == "not a JSON object"


def test_a_key_is_a_string() -> None:
    assert reason_of(line()[:-1] + b",1:2}") == "not a JSON object"


def test_an_empty_object_lacks_everything() -> None:
    assert reason_of(b" { } ") == "v is missing"


def test_of_equal_keys_the_last_counts() -> None:
    assert record_of(with_raw("seq", b'"x","se\\u0071":9')).seq == 9
    assert reason_of(with_raw("seq", b'9,"seq":null')).startswith("seq is not ")
    assert record_of(with_raw("payload", b'1,"payload":{"b":2}')).payload == b'{"b":2}'


def test_equal_keys_in_a_payload_stay() -> None:
    assert record_of(with_raw("payload", b'{"a":1,"a":2}')).payload == b'{"a":1,"a":2}'


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (b'{"__proto__":{"x":1}}', b"{}"),
        (b'{"a":1e999,"\\u005f_proto__":[1],"b": 2 }', b'{"a":1e999,"b": 2}'),
        (b'{ "__proto__":1, "c":"\\ud83d", "__proto__":2 }', b'{"c":"\\ud83d"}'),
        (b'{"a":{"__proto__":1}}', b'{"a":{"__proto__":1}}'),
    ],
)
def test_a_payload_loses_the_key_their_reader_drops(text: bytes, kept: bytes) -> None:
    assert record_of(with_raw("payload", text)).payload == kept


def test_outer_spaces_and_cr_are_harmless_and_part_of_the_digest() -> None:
    raw = b" \t" + line() + b" \r"
    assert record_of(raw) == record_of(line())._replace(digest=blake3(raw).hexdigest())


@pytest.mark.parametrize("space", ["\v", "\f", "\u00a0", "\u2028", "\ufeff", "\u0000"])
def test_other_spaces_are_not(space: str) -> None:
    assert reason_of(space.encode() + line()) == "not a JSON object"
    assert reason_of(line() + space.encode()) == "not a JSON object"


def test_spaces_between_tokens_are_harmless() -> None:
    raw = json.dumps(FIELDS, indent=1).replace("\n", "\t\r").encode()
    assert json.loads(record_of(raw).payload or b"") == FIELDS["payload"]


@pytest.mark.parametrize(
    ("bad", "shown"),
    [(b"\xff", "\ufffd"), (b"\xf0\x9f\xa6", "\ufffd"), (b"\xed\xa0\x80", "\ufffd" * 3), (b"\xc3(", "\ufffd(")],
)
def test_bad_utf8_is_replaced_before_parsing(bad: bytes, shown: str) -> None:
    raw = with_raw("payload", b'{"t":"' + bad + b'"}').replace("étape".encode(), bad)
    record = record_of(raw)
    assert record.summary == f"{shown} 🦀"
    assert record.payload == f'{{"t":"{shown}"}}'.encode()
    assert record.digest == blake3(raw).hexdigest()


def test_lone_surrogates_are_kept() -> None:
    record = record_of(with_raw("summary", b'"\\ud83d"').replace(b'"text":"', b'"text":"\\udc00'))
    assert record.summary == "\ud83d"
    assert json.loads(record.payload or b"")["text"] == "\udc00日本 🦀"
    assert record_of(with_raw("item_id", b'"\\ud83e\\udd80"')).item_id == "🦀"


def test_a_line_may_have_16_mib_and_no_byte_more() -> None:
    room = MAX_LINE_BYTES - len(line(summary=""))
    assert record_of(line(summary="x" * room)).summary == "x" * room
    assert reason_of(line(summary="x" * (room + 1))) == "longer than 16 MiB"


@pytest.mark.parametrize("brackets", [(b"[", b"]"), (b'{"a":', b"}")])
def test_nesting_has_a_limit_that_does_not_depend_on_the_caller(brackets: tuple[bytes, bytes]) -> None:
    def nested(levels: int) -> bytes:
        return with_raw("unknown", brackets[0] * levels + b"1" + brackets[1] * levels)

    assert record_of(nested(MAX_NESTING - 1))
    assert reason_of(nested(MAX_NESTING)) == f"nested deeper than {MAX_NESTING} levels"
    assert reason_of(nested(1_000_000)) == f"nested deeper than {MAX_NESTING} levels"
    assert reason_of(brackets[0] * 1_000_000) == f"nested deeper than {MAX_NESTING} levels"


def test_many_brackets_are_not_deep_ones() -> None:
    assert record_of(line(payload={"wide": [[]] * 1_000, "text": '[{"\\' * 1_000}))
    assert reason_of(b"]" * 1_000 + b"[" * MAX_NESTING + b'"\\') == "not a JSON object"


def test_a_hostile_line_takes_one_pass() -> None:
    """A string that never ends and is full of quotes would take minutes if each of them were tried."""
    assert reason_of(b"[]" * 2 * MAX_NESTING + b'"' + b'\\"' * 1_000_000) == "not a JSON object"


# --- many lines ------------------------------------------------------------------------------------------------------


def test_lines_know_where_they_lie() -> None:
    raw = b"\n" + line(seq=1) + b"\n\n\r\n" + line(seq=2) + b"\nrest"
    lines = list(read_lines(raw))
    assert [raw[found.offset : found.offset + found.length] for found in lines] == [
        line(seq=1),
        b"\r",
        line(seq=2),
        b"rest",
    ]
    assert [found.record and found.record.seq for found in lines] == [1, None, 2, None]


def test_reading_goes_on_where_it_stopped() -> None:
    first = b"\n" + line(seq=1)
    raw = first + b"\n\n" + line(seq=2) + b"\n"
    assert stable_length(first) == len(first)
    assert list(read_lines(first)) + list(read_lines(raw, len(first))) == list(read_lines(raw))
    assert list(read_lines(raw, len(raw))) == []


def test_a_byte_order_mark_spoils_only_its_own_line() -> None:
    assert [found.skipped for found in read_lines(b"\xef\xbb\xbf\n" + line())] == ["not a JSON object", None]
    assert reason_of(b"\xef\xbb\xbf" + line()) == "not a JSON object"


def test_every_cut_of_two_records_settles_whole_records_only() -> None:
    raw = b"\n" + line(seq=1) + b"\n\n" + line(seq=2) + b"\n"
    ends = [len(line(seq=1)) + 1, len(raw) - 1]
    for cut in range(len(raw) + 1):
        settled = raw[: stable_length(raw[:cut])]
        assert fold(read_lines(settled)).skipped == 0
        assert fold(read_lines(settled)).records == sum(end <= cut for end in ends)
        assert cut - len(settled) < len(line(seq=2))


@given(
    summaries=st.lists(st.text(), min_size=1, max_size=3),
    cut=st.integers(min_value=0),
    ending=st.sampled_from([b"", b"\n"]),
)
def test_the_settled_part_of_any_cut_reads_as_a_prefix(summaries: list[str], cut: int, ending: bytes) -> None:
    raw = b"".join(b"\n" + line(seq=seq, summary=text) + b"\n" for seq, text in enumerate(summaries, 1))
    raw = raw[:-1] + ending
    cut %= len(raw) + 1
    length = stable_length(raw[:cut])
    before = list(read_lines(raw[:length]))
    assert all(found.record for found in before)
    assert before + list(read_lines(raw, length)) == list(read_lines(raw))


def test_a_tail_that_is_no_record_waits_for_its_newline() -> None:
    for tail in [b"this is not json", b"   ", line()[:-1], line(v=1), line() + b"\xf0", b"x" * (MAX_LINE_BYTES + 1)]:
        assert stable_length(b"\n" + tail) == 1
        assert stable_length(b"\n" + tail + b"\n") == len(tail) + 2
    assert stable_length(b"") == 0


PIECES = st.sampled_from(
    [
        *b'{}[]:,"\\\n\r\t 01.eE-+\x00\x80\xf0\xff',
        b"\\ud800",
        b"__proto__",
        b"null",
        b"true",
        b"NaN",
        b'"seq":1',
        line(),
    ]
).map(lambda piece: piece if isinstance(piece, bytes) else bytes([piece]))


@given(st.one_of(st.binary(), st.lists(PIECES).map(b"".join)))
def test_no_bytes_make_the_reader_raise_or_lose_a_line(raw: bytes) -> None:
    lines = list(read_lines(raw))
    assert [raw[found.offset : found.offset + found.length] for found in lines] == [x for x in raw.split(b"\n") if x]
    assert all((found.record is None) != (found.skipped is None) for found in lines)
    assert stable_length(raw) in {raw.rfind(b"\n") + 1, len(raw)}
    assert fold(lines).records + fold(lines).skipped == len(lines)
    project_id(raw)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text().filter("__proto__".__ne__), JSON_VALUES, max_size=4), st.booleans())
def test_any_payload_comes_back_as_the_same_value(payload: dict[str, object], ascii_only: bool) -> None:
    raw = with_raw("payload", json.dumps(payload, ensure_ascii=ascii_only).encode())
    assert json.loads(record_of(raw).payload or b"") == payload


# --- what it comes to ------------------------------------------------------------------------------------------------


def test_they_have_42_actions_in_five_classes() -> None:
    assert Counter(ACTION_CLASSES.values()) == {
        "entity-state": 9,
        "tombstone": 1,
        "journal-meta": 4,
        "observability": 5,
        "registry-lifecycle": 23,
    }


@pytest.mark.parametrize("action", ACTION_CLASSES)
def test_only_a_state_with_a_payload_and_a_delete_have_an_effect(action: str) -> None:
    expected = {"entity-state": "state", "tombstone": "tombstone"}.get(ACTION_CLASSES[action])
    assert effect(record_of(line(action=action))) == expected
    bare = record_of(line(action=action, payload=..., payload_ref={"sha256": "x", "bytes": 1}))
    assert effect(bare) == (expected if expected == "tombstone" else None)
    for nobody in ("", ...):
        assert effect(record_of(line(action=action, item_id=nobody))) is None


def folded(*records: bytes) -> Any:
    return fold(read_lines(b"\n".join(records)))


def test_the_later_line_wins_whatever_its_seq_or_revision() -> None:
    result = folded(line(seq=9, entity_rev=5, payload={"n": 1}), line(seq=2, entity_rev=1, payload={"n": 2}))
    assert [(record.seq, record.payload) for record in result.live.values()] == [(2, b'{"n":2}')]


def test_entities_stand_in_the_order_of_their_first_state_since_their_end() -> None:
    result = folded(
        line(seq=1, item_id="a"),
        line(seq=2, item_id="b"),
        line(seq=3, item_id="c"),
        line(seq=4, item_id="a", action="upgrade"),
        line(seq=5, item_id="b", action="delete"),
        line(seq=6, item_id="b", action="create"),
        line(seq=7, item_id="c", action="delete", payload=...),
        line(seq=8, item_id="d", action="delete"),
        line(seq=9, item_id="a", item_type="trap"),
    )
    assert [(key, record.seq) for key, record in result.live.items()] == [
        (("plan", "a"), 4),
        (("plan", "b"), 6),
        (("trap", "a"), 9),
    ]


def test_a_state_without_payload_changes_nothing() -> None:
    assert list(folded(line(seq=1), line(seq=2, payload=...)).live.values()) == [record_of(line(seq=1))]


def test_duplicates_and_gaps_are_told_in_order() -> None:
    result = folded(*(line(seq=seq) for seq in [16, 3, 3, 5, 16, 4, 3]), b"torn")
    assert result.duplicate_seqs == [3, 16]
    assert result.gaps == [(1, 2), (6, 15)]
    assert (result.records, result.skipped) == (7, 1)


def test_nothing_folds_to_nothing() -> None:
    assert fold([]) == ({}, 0, 0, [], [])
