"""Whatever is written is read back: records, payloads, and the chain over them."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from journal import InvalidInput, Line, Record, chain_start, check_payload, decode_record, seq_of, stub
from journal.codec import encode_record, entries, scan
from journal.payloads import encode_payload

ORIGIN = "es1" + "a" * 32
START = chain_start(ORIGIN)

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
numbers = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=20,
)
payloads = st.dictionaries(text, values, max_size=5)
vectors = st.dictionaries(st.sampled_from([f"es1{letter * 32}" for letter in "abcd"]), st.integers(1, 2**53 - 1))


@st.composite
def records(draw: st.DrawFn) -> Record:
    payload = draw(st.none() | payloads)
    return Record(
        v=2,
        seq=draw(st.integers(1, 2**53 - 1)),
        ts="2026-11-22T12:00:00.000Z",
        writer="w_1-00ff00ff",
        agent=draw(text),
        agent_id=draw(st.none() | text),
        session_id=draw(st.none() | text),
        action=draw(st.sampled_from(["create", "update", "delete", "reject", "journal_note", "of_later"])),
        item_type="plan",
        item_id=draw(st.none() | st.just("p1")),
        entity_rev=draw(st.none() | st.integers(1, 2**53 - 1)),
        summary=draw(st.none() | text),
        batch=draw(st.none() | st.tuples(st.integers(1, 9), st.integers(2, 9))),
        private=draw(st.booleans()),
        cause=draw(st.none() | text),
        root=draw(st.none() | text),
        context=draw(st.none() | vectors),
        claims=draw(st.none() | vectors),
        payload=msgspec.UNSET if payload is None else msgspec.Raw(encode_payload(payload)),
        salt="0123456789abcdef",
    )


@given(st.lists(records(), max_size=6))
def test_records_are_read_as_they_were_written(written: list[Record]) -> None:
    """[J4] [J5]"""
    data, c = b"", START
    for record in written:
        line, c = encode_record(record, c)
        data += b"\n" + line + b"\n"
    found = scan(data, 0, START)
    assert len(found) == len(written)
    for item, record in zip(found, written, strict=True):
        assert isinstance(item, Line)
        read = decode_record(item.data)
        assert msgspec.structs.replace(read, c="", payload=msgspec.UNSET) == msgspec.structs.replace(
            record, payload=msgspec.UNSET
        )
        assert read.payload_bytes == record.payload_bytes
        assert (read.c, seq_of(item.data)) == (item.c.hex(), record.seq)


@given(payloads)
def test_a_payload_comes_back_as_the_same_value(payload: dict[str, Any]) -> None:
    """[J10]: what is taken is the same to every reader."""
    data = encode_payload(payload)
    assert check_payload(data) == payload
    assert json.loads(data) == payload
    assert b"\n" not in data


@given(st.binary(max_size=60) | values.map(lambda value: json.dumps(value).encode()))
def test_no_bytes_are_taken_for_a_payload_that_are_none(data: bytes) -> None:
    """[J10]: an object of JSON, or InvalidInput; nothing else is raised."""
    try:
        value = check_payload(data)
    except InvalidInput as error:
        assert error.rule == "J10"
    else:
        assert json.loads(data) == value
        assert isinstance(value, dict)


@given(records())
def test_a_stub_keeps_rev_and_causality_and_nothing_a_person_wrote(record: Record) -> None:
    """[F9]"""
    line, _ = encode_record(record, START)
    found = decode_record(stub(line))
    kept = ("v", "seq", "action", "item_type", "item_id", "entity_rev", "batch", "cause", "root", "context", "claims")
    assert [getattr(found, name) for name in (*kept, "private")] == [
        getattr(record, name) for name in (*kept, "private")
    ]
    assert (found.redacted, found.summary, found.payload_bytes, found.salt, found.agent) == (True, None, None, "", "")
    assert stub(line) == stub(stub(line))


@given(st.lists(records(), max_size=8))
def test_only_whole_batches_count(written: list[Record]) -> None:
    """[J6]: all n, one after the other."""
    data, c = b"", START
    for record in written:
        line, c = encode_record(record, c)
        data += b"\n" + line + b"\n"
    found = entries([item for item in scan(data, 0, START) if isinstance(item, Line)])
    assert [entry.record.batch for entry in found] == [record.batch for record in written]
    at = 0
    while at < len(found):
        batch = found[at].record.batch
        size = 1 if batch is None or found[at].void else batch[1]
        run = found[at : at + size]
        if not found[at].void and batch is not None:
            assert [entry.record.batch for entry in run] == [(n + 1, size) for n in range(size)]
        assert len({entry.void for entry in run}) == 1
        at += size
