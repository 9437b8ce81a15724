"""Heads, slices and the transcript as bytes: against the fixed vectors, hostile heads, and how slices are merged."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from federation import feed
from federation.feed import FeedLine, MalformedHead
from federation.model import MAX_SLICE_BYTES, candidate_id
from federation.signing import is_signed, sign
from journal import chain_start, link, split_c
from tests.integration.forger import Forger

# The fixed inputs of the format, and the bytes they must give (docs/format.md).
SEED = bytes(range(32))
PUBLIC_KEY = "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
ORIGIN = "es1tc5ikmckyy47b5k5vkybvvwvsk7ejijf"
C_0 = "e67c6c9fd9c3eb5ff5dbd88472fb31242a8ad074a7164be95a425b01e654476d"
T_START = "063c30dadc6d5548985bfe689bc46af8f50d333e509b9d6921a30e6c924f0056"
_START = '"ts":"2026-11-22T12:00:00.000Z","writer":"w_1-00ff00ff","agent":"vector"'
RECORD_1 = (
    '{"v":2,"seq":1,' + _START + ',"action":"create","item_type":"plan","item_id":"pln_1","entity_rev":1,'
    '"summary":"grüße","payload":{"title":"Plan ✓","n":1},"salt":"00112233445566aa",'
    '"c":"7182c17d121a8bb738776b474b2e7ecd75a13b20fcefce0a0fb6955a5f55117e"}'
).encode()
RECORD_2 = (
    '{"v":2,"seq":2,' + _START + ',"action":"create","item_type":"session","item_id":"s1","entity_rev":1,'
    '"payload":{"secret":true},"salt":"00112233445566ab",'
    '"c":"0e40bef3c5ad616545ef5abbeea936b990ae3b5b0f2113364ea18d2f8419add2"}'
).encode()
RECORD_3 = (
    '{"v":2,"seq":3,' + _START + ',"action":"create","item_type":"decision","item_id":"dec_1","entity_rev":1,'
    '"payload":{"title":"to be redacted"},"salt":"00112233445566ac",'
    '"c":"b18d13c5a3ff7e90c9425a5e02c90a010ede7f560797d7a038c1424eb9d78870"}'
).encode()
RECORD_4 = (
    '{"v":2,"seq":4,' + _START + ',"action":"update","item_type":"plan","item_id":"pln_1","entity_rev":2,'
    '"context":{"es1tc5ikmckyy47b5k5vkybvvwvsk7ejijf":4},"payload":{"title":"Plan","n":2},"salt":"00112233445566ad",'
    '"c":"c08d4660339aa0689e86f8fd204ca56c734ecd1d810007ace8d668c67b0ce6d4"}'
).encode()
SKIP = b'{"v":2,"skip":[2,2],"c":"0e40bef3c5ad616545ef5abbeea936b990ae3b5b0f2113364ea18d2f8419add2"}'
FEED_LINES = (RECORD_1, SKIP, RECORD_3, RECORD_4)
TRANSCRIPT = (
    "ffee1a4b2fb8b67625a1bea6037386d4e40cf720cdee934ea8220fa5eafb5283",
    "a275e579c94c1b62c0b1298950b9616d86b71833d4667c751bc716928a1f6c89",
    "562c7bcccae6057d182027632b8913bf3748da7b98478c23567a5ec45e3d5340",
    "def54cb48a917d10e09878e790821b34bd62f8235542e0fac1a0127e5461c5c0",
)
SLICE_HEADER = (
    b'{"v":2,"segment":{"format":1,"origin_store_id":"es1tc5ikmckyy47b5k5vkybvvwvsk7ejijf","first_seq":1,'
    b'"prev_c":"e67c6c9fd9c3eb5ff5dbd88472fb31242a8ad074a7164be95a425b01e654476d","previous":[]}}'
)
SLICE_NAME = "seg-00000001-00000004-e5d2f4348fcd.jsonl"
SLICE_BLAKE3 = "e5d2f4348fcdfb5b42572ae752e73011f29106cd74ef4358ed6df96baa6425de"
HEAD_CANONICAL = (
    b'{"c":"c08d4660339aa0689e86f8fd204ca56c734ecd1d810007ace8d668c67b0ce6d4","format":1,"gen":1,"last_seq":4,'
    b'"name":"vector","origin_store_id":"es1tc5ikmckyy47b5k5vkybvvwvsk7ejijf","previous":[],'
    b'"public_key":"A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=","published_at":"2026-11-22T12:00:01.000Z",'
    b'"redacted":[],"saw":{},'
    b'"slices":[{"blake3":"e5d2f4348fcdfb5b42572ae752e73011f29106cd74ef4358ed6df96baa6425de",'
    b'"name":"seg-00000001-00000004-e5d2f4348fcd.jsonl","raw_bytes":1234}],'
    b'"start":{"c":"e67c6c9fd9c3eb5ff5dbd88472fb31242a8ad074a7164be95a425b01e654476d","seq":0},'
    b'"t":"def54cb48a917d10e09878e790821b34bd62f8235542e0fac1a0127e5461c5c0"}'
)
SIGNATURE = "EIYB1Zzqqd6lacJpUMmk5+pwgUFlE/AeXPaHJOYhH0Lb9rr3Sc1gscasu2tziq5VPLgUrA9KfOopkqfuW+GWCQ=="
CANDIDATE = "cnd_9f343c0b1628"

# --- vectors ---------------------------------------------------------------------------------------------------------


def test_the_chain_of_the_vectors_is_that_of_their_journal() -> None:
    """[J4]"""
    c = chain_start(ORIGIN)
    assert c.hex() == C_0
    for line in (RECORD_1, RECORD_2, RECORD_3, RECORD_4):
        parts = split_c(line)
        assert parts is not None
        body, own = parts
        assert link(c, body) == own
        c = own


def test_the_transcript_takes_one_step_per_feed_line() -> None:
    """[F2]"""
    t = feed.transcript_start(ORIGIN, 0, bytes.fromhex(C_0))
    assert t.hex() == T_START
    steps = [(b"L", 1, 1), (b"S", 2, 2), (b"L", 3, 3), (b"L", 4, 4)]
    for (kind, first, last), line, wanted in zip(steps, FEED_LINES, TRANSCRIPT, strict=True):
        c = line[-66:-2].decode()
        t = feed.transcript_step(t, kind, first, last, bytes.fromhex(c))
        assert t.hex() == wanted


def test_a_withheld_record_becomes_this_skip_line_and_is_read_back() -> None:
    """[F1]"""
    c = bytes.fromhex(RECORD_2[-66:-2].decode())
    assert feed.skip_line(2, 2, c) == SKIP
    assert feed.parse_skip(SKIP) == (2, 2, c)


@pytest.mark.parametrize(
    "line",
    [
        SKIP[:-1],
        SKIP + b" ",
        SKIP.replace(b"[2,2]", b"[0,2]"),
        SKIP.replace(b"[2,2]", b"[02,2]"),
        SKIP.replace(b"[2,2]", b"[2, 2]"),
        SKIP.replace(b"[2,2]", b"[2]"),
        SKIP.replace(b"0e40", b"0E40"),
        SKIP.replace(b'"v":2', b'"v":3'),
        SKIP.replace(b"[2,2]", b"[2,12345678901234567]"),
        RECORD_1,
        b"",
    ],
)
def test_what_is_no_skip_line_to_the_byte_is_none(line: bytes) -> None:
    assert feed.parse_skip(line) is None


def test_a_slice_is_the_pure_function_of_its_lines_that_the_vectors_fix() -> None:
    """[F3]"""
    lines = b"".join(line + b"\n" for line in FEED_LINES)
    built = feed.build_slice(ORIGIN, 1, 4, bytes.fromhex(C_0), [], lines)
    assert built.raw == SLICE_HEADER + b"\n" + lines
    assert built.slice == (SLICE_NAME, 1, 4, 1234, SLICE_BLAKE3)
    assert built.slice.file_name == SLICE_NAME + ".zst"
    assert feed.body_of(built.raw) == lines


def test_a_head_gives_these_canonical_bytes_and_this_signature() -> None:
    """[F2] [I1]"""
    file = b'{"head":' + HEAD_CANONICAL + b',"signature":"' + SIGNATURE.encode() + b'"}\n'
    head, signed, signature = feed.parse_head(file)
    assert signed == b"eventsync.head/1\n" + HEAD_CANONICAL
    assert feed.canonical(feed.head_value(head)) == HEAD_CANONICAL
    assert signature == base64.b64decode(SIGNATURE) == sign(SEED, signed)
    assert is_signed(PUBLIC_KEY, ORIGIN, signed, signature)
    assert feed.head_file(feed.head_value(head), signature) == file
    assert head.raw == file
    assert [tuple(entry) for entry in head.slices] == [(SLICE_NAME, 1, 4, 1234, SLICE_BLAKE3)]


def test_the_order_of_keys_and_spaces_in_the_file_do_not_matter_to_the_signature() -> None:
    """[F2]"""
    shuffled = dict(reversed(json.loads(HEAD_CANONICAL).items()))
    file = json.dumps({"signature": SIGNATURE, "head": shuffled}, indent=2, ensure_ascii=True).encode()
    head, signed, signature = feed.parse_head(file)
    assert is_signed(head.public_key, head.origin, signed, signature)


def test_a_signature_covers_every_field() -> None:
    """[F2]"""
    value = json.loads(HEAD_CANONICAL)
    for key in value:
        other = value | {key: [*value[key], 1] if isinstance(value[key], list) else "another"}
        assert not is_signed(PUBLIC_KEY, ORIGIN, feed.signed_bytes(other), base64.b64decode(SIGNATURE)), key


@pytest.mark.parametrize(
    ("key", "origin"),
    [
        (PUBLIC_KEY, "es1" + "a" * 32),
        (PUBLIC_KEY[:-4], ORIGIN),
        ("no base64 at all", ORIGIN),
        ("A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg= ", ORIGIN),
        (base64.b64encode(bytes(32)).decode(), ORIGIN),
    ],
)
def test_a_key_that_the_origin_is_not_made_from_signs_nothing(key: str, origin: str) -> None:
    """[I1]"""
    signed = b"eventsync.head/1\n" + HEAD_CANONICAL
    assert not is_signed(key, origin, signed, base64.b64decode(SIGNATURE))


@pytest.mark.parametrize("signature", [b"", b"\0" * 64, b"\0" * 63, b"\0" * 65])
def test_bytes_that_are_no_signature_are_none(signature: bytes) -> None:
    """[F2]"""
    assert not is_signed(PUBLIC_KEY, ORIGIN, b"eventsync.head/1\n" + HEAD_CANONICAL, signature)


def test_the_id_of_a_candidate_is_that_of_the_vectors() -> None:
    assert candidate_id(ORIGIN, "plan", "pln_1") == CANDIDATE
    assert candidate_id(ORIGIN, "plan", "\ud800").startswith("cnd_")  # bridged ids may hold lone surrogates


# --- heads that are none ---------------------------------------------------------------------------------------------


def forged(change: Callable[[dict[str, Any]], None] | None = None, **fields: Any) -> bytes:
    """A signed head of two slices and three records, with a fault."""
    forger = Forger()
    for item_id in ("a", "b", "c"):
        forger.record(item_id)
    return forger.feed(cuts=[2], change=change, **fields).files["head.json"]


def refused(raw: bytes) -> str:
    with pytest.raises(MalformedHead) as caught:
        feed.parse_head(raw)
    assert not caught.value.too_new
    return str(caught.value)


def test_a_forged_head_without_a_fault_is_read() -> None:
    head, signed, signature = feed.parse_head(forged())
    assert is_signed(head.public_key, head.origin, signed, signature)
    assert [(entry.first_seq, entry.last_seq) for entry in head.slices] == [(1, 2), (3, 3)]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"7",
        b'"head"',
        b'{"head":{}}',
        b'{"head":{},"signature":""}',
        b'{"head":null,"signature":""}',
        b'{"head":[1],"signature":""}',
        b'{"head":"x","signature":""}',
        b"\xff\xfe",
        b"\xef\xbb\xbf" + forged(),
        forged()[:-3],
        forged() + b"x",
        b"[" * 100_000,
        b'{"head":' * 50_000,
        forged().replace(b'"signature":"', b'"signature":" '),
        forged().replace(b'"signature":"', b'"signature":5,"x":"'),
    ],
)
def test_bytes_that_are_no_head_are_refused(raw: bytes) -> None:
    """[F2]"""
    assert refused(raw)


@pytest.mark.parametrize("number", ["1.0", "1e2", "-0.0", "NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("key", ["gen", "last_seq", "format"])
def test_numbers_that_are_no_integers_are_refused(key: str, number: str) -> None:
    """[F2]"""
    raw = forged().replace(b'"%s":' % key.encode(), b'"%s":%s,"x":' % (key.encode(), number.encode()), 1)
    assert "not an integer" in refused(raw)


@pytest.mark.parametrize("key", ["gen", "saw", "slices", "origin_store_id", "t"])
def test_a_key_that_stands_twice_is_refused(key: str) -> None:
    """[F2] Two readers might take different ones."""
    value = json.loads(forged())["head"][key]
    again = b'"%s":%s,' % (key.encode(), json.dumps(value).encode())
    raw = forged().replace(b'"%s":' % key.encode(), again + b'"%s":' % key.encode(), 1)
    assert "stands twice" in refused(raw)


def test_a_signature_that_stands_twice_is_refused() -> None:
    """[F2]"""
    assert "stands twice" in refused(forged().replace(b'"signature":', b'"signature":"AAAA","signature":'))


@pytest.mark.parametrize(
    "fields",
    [
        {"gen": "1"},
        {"gen": None},
        {"gen": True},
        {"gen": 0},
        {"gen": -1},
        {"gen": 2**53},
        {"gen": 10**400},
        {"last_seq": "3"},
        {"last_seq": -1},
        {"last_seq": 2**53},
        {"last_seq": 10**30},
        {"format": 0},
        {"format": -1},
        {"format": "1"},
        {"format": None},
        {"format": True},
        {"name": 5},
        {"name": "x" * 201},
        {"name": "\ud800"},
        {"published_at": "2" * 41},
        {"published_at": None},
        {"origin_store_id": 5},
        {"public_key": None},
        {"c": "E6" + "0" * 62},
        {"c": "0" * 63},
        {"c": "0" * 65},
        {"c": "0" * 63 + "\n"},
        {"t": "g" * 64},
        {"t": None},
        {"start": {"seq": 0}},
        {"start": {"seq": -1, "c": C_0}},
        {"start": {"seq": 0, "c": ""}},
        {"start": {"seq": "0", "c": C_0}},
        {"start": 0},
        {"redacted": [2, 1]},
        {"redacted": [1, 1]},
        {"redacted": ["1"]},
        {"redacted": [0]},
        {"redacted": [-5]},
        {"redacted": [2**53]},
        {"redacted": {}},
        {"saw": []},
        {"saw": {"somebody": {"seq": 1, "c": C_0, "t": C_0}}},
        {"saw": {ORIGIN: {"seq": 1, "c": C_0}}},
        {"saw": {ORIGIN: {"seq": 1, "c": C_0, "t": "x"}}},
        {"saw": {ORIGIN: {"seq": -1, "c": C_0, "t": C_0}}},
        {"saw": {ORIGIN: {"seq": 2**53, "c": C_0, "t": C_0}}},
        {"saw": {f"{ORIGIN}@1": {"seq": 1, "c": C_0, "t": C_0}}},
        {"saw": {"../../x": {"seq": 1, "c": C_0, "t": C_0}}},
        {"previous": None},
        {"previous": ["x"]},
        {"previous": [{"origin": ORIGIN, "last_seq": 2**70, "c": C_0, "t": C_0}]},
        {"previous": [{"origin": ORIGIN, "last_seq": 2, "c": C_0, "t": C_0, "more": 1}]},
        {"previous": [{"origin": [[]], "last_seq": 2, "c": C_0, "t": C_0}]},
        {"previous": [{"deep": [[[[[[]]]]]]}]},
        {"slices": None},
        {"slices": {}},
        {"slices": [1]},
    ],
    ids=lambda fields: str(fields)[:60],
)
def test_fields_of_another_type_or_out_of_range_are_refused(fields: dict[str, Any]) -> None:
    """[F2] [F5]"""
    raw = json.dumps({"head": json.loads(forged())["head"] | fields, "signature": SIGNATURE}).encode()
    assert refused(raw)


@pytest.mark.parametrize("key", json.loads(HEAD_CANONICAL))
def test_a_head_without_one_of_its_keys_is_refused(key: str) -> None:
    """[F2]"""
    value = json.loads(forged())
    del value["head"][key]
    assert key in refused(json.dumps(value).encode())


def test_a_key_that_a_later_version_may_add_is_signed_and_otherwise_read_over() -> None:
    """[F2]"""
    forger = Forger()
    forger.record()
    head, signed, signature = feed.parse_head(forger.feed(more={"deep": [1, "ä"]}).files["head.json"])
    assert is_signed(head.public_key, head.origin, signed, signature)
    assert b'"more":{"deep":[1,"\xc3\xa4"]}' in signed


def test_the_label_of_a_previous_origin_is_read_in_the_order_that_slice_headers_use() -> None:
    """[I2] [J8] A head's keys are sorted; the header of a slice has them as the journal writes them."""
    c = RECORD_4[-66:-2].decode()
    entry = {"origin": ORIGIN, "last_seq": 4, "c": c, "t": TRANSCRIPT[3]}
    forger = Forger(start=(4, bytes.fromhex(c)), previous=[entry])
    forger.record()
    head, _, _ = feed.parse_head(forger.feed().files["head.json"])
    assert [list(found) for found in head.previous] == [["origin", "last_seq", "c", "t"]]
    assert list(head.previous) == [entry]


def test_format_2_is_told_as_too_new_whatever_else_it_has() -> None:
    """[J12] What a later program writes is no fault."""
    for change in ({}, {"slices": "elsewhere"}, {"gen": None}):
        raw = json.dumps({"head": json.loads(forged())["head"] | {"format": 2} | change, "signature": SIGNATURE})
        with pytest.raises(MalformedHead, match="format 2") as caught:
            feed.parse_head(raw.encode())
        assert caught.value.too_new


def slices_with(change: Callable[[list[dict[str, Any]]], object]) -> bytes:
    def apply(head: dict[str, Any]) -> None:
        change(head["slices"])

    return forged(apply)


def named(first: int, last: int, digest: str = "0" * 64, raw_bytes: int = 100) -> dict[str, Any]:
    return {"name": f"seg-{first:08d}-{last:08d}-{digest[:12]}.jsonl", "raw_bytes": raw_bytes, "blake3": digest}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda s: s.pop(), "end at seq 2"),
        (lambda s: s.clear(), "end at seq 0"),
        (lambda s: s.pop(0), "at seq 1"),
        (lambda s: s.reverse(), "at seq 1"),
        (lambda s: s.append(named(4, 4)), "end at seq 4"),
        (lambda s: s.append(named(3, 3)), "at seq 4"),
        (lambda s: s.__setitem__(1, named(2, 3)), "at seq 3"),
        (lambda s: s.__setitem__(1, named(4, 4)), "at seq 3"),
        (lambda s: s.__setitem__(1, named(3, 2)), "at seq 3"),
        (lambda s: s.insert(1, named(3, 2)), "at seq 3"),
        (lambda s: s[0].update(name="seg-1-2-000000000000.jsonl"), "not a slice name"),
        (lambda s: s[0].update(name="../seg-00000001-00000002-000000000000.jsonl"), "not a slice name"),
        (lambda s: s[0].update(name=s[0]["name"] + "\n"), "not a slice name"),
        (lambda s: s[0].update(name=s[0]["name"] + ".zst"), "not a slice name"),
        (lambda s: s[0].update(name="seg-00000001-00000002-00000000000\u0660.jsonl"), "not a slice name"),
        (lambda s: s[0].update(blake3="f" * 64), "not a slice name"),
        (lambda s: s[0].update(blake3=s[0]["blake3"].upper()), "digest"),
        (lambda s: s[0].update(raw_bytes=0), "0 bytes"),
        (lambda s: s[0].update(raw_bytes=-1), "-1 bytes"),
        (lambda s: s[0].update(raw_bytes=MAX_SLICE_BYTES + 1), "bytes"),
        (lambda s: s[0].update(raw_bytes="100"), "raw_bytes"),
    ],
)
def test_slices_that_leave_a_gap_overlap_or_lie_about_themselves_are_refused(
    change: Callable[[list[dict[str, Any]]], object], why: str
) -> None:
    """[F2] [F3]"""
    assert why in refused(slices_with(change))


def test_a_head_that_ends_before_its_start_is_refused() -> None:
    """[F2]"""
    forger = Forger(start=(5, bytes(32)), previous=[])
    assert "out of range" in refused(forger.feed(last_seq=4).files["head.json"])


def test_a_feed_of_nothing_is_a_head_without_slices() -> None:
    """[F2] A store that only read others tells so."""
    head, _, _ = feed.parse_head(Forger().feed().files["head.json"])
    assert (head.slices, head.last_seq, head.c) == ((), 0, head.start_c)


# --- cutting and merging ---------------------------------------------------------------------------------------------


def lines_of(sizes: Sequence[int]) -> list[FeedLine]:
    return [FeedLine(b"L", seq, seq, b"", bytes(size)) for seq, size in enumerate(sizes, 1)]


@given(st.lists(st.integers(1, 120), max_size=60), st.integers(50, 200))
def test_cutting_keeps_the_lines_in_order_and_each_slice_within_its_room(sizes: list[int], room: int) -> None:
    """[F3]"""
    runs = list(feed.cut(lines_of(sizes), room))
    assert [line for run in runs for line in run] == lines_of(sizes)
    for run in runs:
        assert run
        assert sum(len(line.data) + 1 for line in run) <= room or len(run) == 1
    for run, after in itertools.pairwise(runs):
        assert sum(len(line.data) + 1 for line in run) + len(after[0].data) + 1 > room  # no slice is cut too early


def test_a_journal_line_of_any_allowed_length_fits_one_slice_with_its_header() -> None:
    """[J10] [F3] The room for lines leaves a slice of at most 16 MiB raw."""
    (run,) = feed.cut(lines_of([256 * 1024] * 63))
    body = b"".join(line.data + b"\n" for line in run)
    built = feed.build_slice(ORIGIN, 1, 63, bytes(32), [], body)
    assert built.slice.raw_bytes <= MAX_SLICE_BYTES


class Piece(NamedTuple):
    """A slice of a simulated feed: which publishes it holds, its size, and how often its bytes were written again."""

    first: int
    last: int
    size: int
    tier: int
    rewrites: int


class Simulated(NamedTuple):
    """What a run of publishes came to."""

    pieces: list[Piece]
    most_files: int  # beyond what the bound allows: at most 0
    most_rewrites: int


HEADER = len(SLICE_HEADER) + 1


def simulate(sizes: Sequence[int], room: int = feed.ROOM, tier: int = 0) -> Simulated:
    """Publish pieces of these sizes one after the other, as the publisher does, and look after each.

    Of a higher tier each piece stands for as many publishes as it takes, rewritten as often.
    """
    pieces: list[Piece] = []
    over = most_rewrites = 0
    for at, size in enumerate(sizes):
        pieces.append(Piece(at, at, size + HEADER, tier, tier))
        while (span := feed.plan_merge([p.size for p in pieces], [p.tier for p in pieces], room)) is not None:
            pieces[span[0] : span[1]] = [merged(pieces[span[0] : span[1]], room)]
        big = sum(piece.size > room // 2 for piece in pieces)
        over = max(over, len(pieces) - (60 * (big + 1) + big))
        most_rewrites = max(most_rewrites, max(piece.rewrites for piece in pieces))
    return Simulated(pieces, over, most_rewrites)


def merged(parts: list[Piece], room: int) -> Piece:
    assert len(parts) >= 2  # so that merging ends
    assert len({part.tier for part in parts}) == 1
    assert all(part.size <= room // 2 for part in parts)
    assert all(one.last + 1 == other.first for one, other in itertools.pairwise(parts))
    size = sum(part.size - HEADER for part in parts) + HEADER
    assert size <= room
    tier = min(parts[0].tier + 1, feed.TOP_TIER)
    return Piece(parts[0].first, parts[-1].last, size, tier, max(part.rewrites for part in parts) + 1)


def in_order(found: Simulated, count: int) -> bool:
    return [at for piece in found.pieces for at in range(piece.first, piece.last + 1)] == list(range(count))


@pytest.mark.parametrize("size", [150, 6_000, 100_000])
def test_5000_publishes_of_one_size_stay_few_files_and_are_rewritten_three_times_at_most(size: int) -> None:
    """[F3]"""
    found = simulate([size] * 5_000)
    assert in_order(found, 5_000)
    assert found.most_rewrites <= 3
    assert found.most_files <= 0
    assert len(found.pieces) <= 60 + 2 * 5_000 * size / MAX_SLICE_BYTES


@given(st.integers(0, 2**32), st.sampled_from([100_000, 1_000_000, feed.ROOM]))
@settings(max_examples=10)
def test_publishes_of_any_size_keep_their_order_and_the_bounds(seed: int, largest: int) -> None:
    """[F3] Files: at most 15 of each of four tiers before, between and behind slices of more than half the room."""
    import random

    rng = random.Random(seed)
    sizes = [int(largest ** rng.uniform(0.3, 1)) for _ in range(400)]
    found = simulate(sizes)
    assert in_order(found, 400)
    assert found.most_files <= 0
    assert found.most_rewrites <= 3


def test_slices_of_more_than_half_the_room_are_never_rewritten_and_part_the_rest() -> None:
    """[F3] The worst case for the number of files: small publishes between large ones stay as they are."""
    found = simulate(([150] * 15 + [feed.ROOM // 2 + 1]) * 20)
    assert found.most_rewrites == 0
    assert len(found.pieces) == 16 * 20
    assert found.most_files <= 0


def test_beyond_65_536_tiny_publishes_the_top_tier_is_merged_again_and_then_left() -> None:
    """[F3] The true bound on rewriting: 3 up to there, and 5 for ever, since no line is shorter than a skip."""
    top_slice = feed.MERGE_COUNT**feed.TOP_TIER * len(SKIP)
    found = simulate([top_slice] * 400, tier=feed.TOP_TIER)  # as after 1,638,400 publishes of one skip each
    assert in_order(found, 400)
    assert found.most_rewrites == 5
    assert found.most_files <= 0


@given(st.lists(st.tuples(st.integers(1, 200), st.integers(0, 3)), max_size=80), st.integers(100, 400))
def test_a_merge_takes_neighbours_of_one_tier_that_fit(found: list[tuple[int, int]], room: int) -> None:
    """[F3]"""
    sizes, tiers = [size for size, _ in found], [tier for _, tier in found]
    span = feed.plan_merge(sizes, tiers, room)
    runs = [tier for tier in range(4) if has_run(sizes, tiers, tier, room)]
    assert (span is not None) == bool(runs)
    if span is not None:
        first, end = span
        assert end - first >= 2
        assert {*tiers[first:end]} == {runs[0]}
        assert sum(sizes[first:end]) <= room


def has_run(sizes: Sequence[int], tiers: Sequence[int], tier: int, room: int) -> bool:
    run = longest = 0
    for size, own in zip(sizes, tiers, strict=True):
        run = run + 1 if own == tier and size <= room // 2 else 0
        longest = max(longest, run)
    return longest >= feed.MERGE_COUNT


def test_a_merged_slice_has_the_lines_of_its_parts_under_one_header() -> None:
    """[F3]"""
    forger = Forger()
    for number in range(6):
        forger.record(f"p{number}")
    parts = [forger.raw_slice(0, 2), forger.raw_slice(2, 5), forger.raw_slice(5, 6)]
    built = feed.build_slice(forger.origin, 1, 6, forger.start.c, [], b"".join(feed.body_of(part) for part in parts))
    assert built.raw == forger.raw_slice(0, 6)
    assert built.slice.blake3 == blake3(built.raw).hexdigest()
