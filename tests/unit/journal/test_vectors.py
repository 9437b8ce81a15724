"""The exact bytes that fixed inputs must give: what any other program that reads our format is written against."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from journal import Record, chain_start, decode_record, encode_header, link, origin_of, split_c, stub
from journal.codec import encode_record

HERE = Path(__file__).resolve()
PUBLISHED = HERE.parents[4] / "shared" / "vectors.json"


@pytest.fixture(scope="module")
def vectors() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(HERE.with_name("vectors.json").read_text(encoding="utf-8"))
    return found


def test_the_copy_of_the_vectors_is_what_was_published(vectors: dict[str, Any]) -> None:
    if not PUBLISHED.exists():
        pytest.skip("the published vectors are not beside this project; the copy stands for itself")
    published = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    assert vectors == {key: published[key] for key in vectors}


def test_the_origin_is_a_hash_of_the_public_key(vectors: dict[str, Any]) -> None:
    """[I1]"""
    assert origin_of(base64.b64decode(vectors["public_key_base64"])) == vectors["origin_store_id"]


def test_the_chain_begins_with_the_origin(vectors: dict[str, Any]) -> None:
    """[J4]"""
    assert chain_start(vectors["origin_store_id"]).hex() == vectors["c_0"]


def test_each_line_chains_from_the_line_before(vectors: dict[str, Any]) -> None:
    """[J4]"""
    c = chain_start(vectors["origin_store_id"])
    for text in vectors["journal_lines"]:
        body, own = split_c(text.encode()) or (b"", b"")
        assert link(c, body) == own
        c = own


def test_a_record_is_encoded_to_the_bytes_it_was_decoded_from(vectors: dict[str, Any]) -> None:
    """[J4] and the key order on disk."""
    c = chain_start(vectors["origin_store_id"])
    for text in vectors["journal_lines"]:
        line, c = encode_record(decode_record(text.encode()), c)
        assert line.decode() == text


def test_a_header_is_a_function_of_what_it_says(vectors: dict[str, Any]) -> None:
    """[J8]"""
    origin = vectors["origin_store_id"]
    assert encode_header(origin, 1, chain_start(origin)).decode() == vectors["slice_header"]


def test_a_stub_is_a_function_of_its_line(vectors: dict[str, Any]) -> None:
    """[F9]: every reader builds the same."""
    found = stub(vectors["journal_lines"][2].encode())
    assert found.decode() == vectors["redact_stub_of_seq_3"]
    assert blake3(found).hexdigest() == vectors["stub_blake3"]


def test_a_stub_can_be_read_and_its_stub_is_itself(vectors: dict[str, Any]) -> None:
    found = vectors["redact_stub_of_seq_3"].encode()
    record = decode_record(found)
    assert isinstance(record, Record)
    assert (record.redacted, record.payload_bytes, record.c[:8]) == (True, None, "b18d13c5")
    assert stub(found) == found
