"""May these bytes enter our mirror? Every answer of the core, on values alone; the whole table is in test_pin_table."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from federation import feed
from federation.model import Head, Pin, Refusal, Result, Slice
from federation.packing import pack
from federation.verification import (
    Broken,
    State,
    compare,
    line_end,
    read_head,
    same_lines,
    split_slice,
    start_state,
    unpack_slice,
    walk,
)
from journal import MAX_LINE_BYTES, stub
from tests.integration.forger import Forged, Forger

Kinds = Sequence[str]


def forger_of(kinds: Kinds = "LLSL") -> Forger:
    """A forger with records (L), skips of one (S) and of three (W)."""
    forger = Forger()
    for number, kind in enumerate(kinds):
        if kind == "L":
            forger.record(f"p{number}")
        else:
            forger.skip(3 if kind == "W" else 1)
    return forger


def head_of(found: Forged) -> Head:
    head = read_head(found.files["head.json"], found.origin, nothing_known)
    assert isinstance(head, Head), head
    return head


def nothing_known(origin: str, seq: int) -> str | None:
    return None


class Mirrored:
    """What a mirror answers that holds all lines of a forger."""

    def __init__(self, forger: Forger) -> None:
        self.start_seq = forger.start.seq
        states = [forger.start, *(line.after for line in forger.lines)]
        self._states = {state.seq: (state.c.hex(), state.t.hex()) for state in states}

    def at(self, seq: int) -> tuple[str, str] | None:
        return self._states.get(seq)


def pin_of(forger: Forger, gen: int = 1) -> Pin:
    return Pin(gen, forger.state.seq, forger.state.c.hex(), forger.state.t.hex())


# --- heads -----------------------------------------------------------------------------------------------------------


def test_a_signed_head_is_read() -> None:
    """[F2] [F5]"""
    forger = forger_of()
    head = head_of(forger.feed())
    assert (head.origin, head.last_seq, head.gen) == (forger.origin, 4, 1)


def refused(raw: bytes, origin: str, known: str | None = None) -> Refusal:
    found = read_head(raw, origin, lambda *_: known)
    assert isinstance(found, Refusal)
    assert found.path == f"{origin}/head.json"
    return found


def test_a_head_signed_by_another_key_is_refused() -> None:
    """[F5]"""
    forger, other = forger_of(), Forger(8)
    found = refused(other.signed(forger.feed().head), forger.origin)
    assert (found.result, found.rule) == (Result.REFUSED, "F5")
    assert "bad signature" in found.message


def test_a_head_that_brings_the_key_it_is_signed_with_is_refused_when_the_origin_is_not_made_from_it() -> None:
    """[I1] [F5]"""
    forger, other = forger_of(), Forger(8)
    head = dict(forger.feed().head) | {"public_key": base64.b64encode(other.public_key).decode()}
    assert "bad signature" in refused(other.signed(head), forger.origin).message


def test_the_head_of_another_origin_is_refused_however_well_signed() -> None:
    """[F5]"""
    forger, other = forger_of(), Forger(8)
    assert "another origin" in refused(forger.feed().files["head.json"], other.origin).message


def test_a_later_format_is_told_apart_from_a_fault() -> None:
    """[J12]"""
    forger = forger_of()
    found = refused(forger.feed(format=2).files["head.json"], forger.origin)
    assert (found.too_new, found.result, found.rule) == (True, Result.REFUSED, "F2")
    assert not refused(forger.feed(gen=0).files["head.json"], forger.origin).too_new


def test_a_first_origin_starts_at_c_0_and_nowhere_else() -> None:
    """[F2] [F5]"""
    forger = forger_of()
    raw = forger.feed(start={"seq": 0, "c": "0" * 64}).files["head.json"]
    assert "start.c" in refused(raw, forger.origin).message


def renewed(label: Sequence[dict[str, object]]) -> Forger:
    forger = Forger(start=(4, b"\4" * 32), previous=label)
    forger.record()
    return forger


LABEL = [{"origin": "es1" + "a" * 32, "last_seq": 4, "c": "04" * 32, "t": "05" * 32}]


def test_a_start_above_zero_must_name_a_previous_origin() -> None:
    """[F2] [I2]"""
    forger = renewed([])
    assert "previous" in refused(forger.feed().files["head.json"], forger.origin).message


def test_a_start_above_zero_is_checked_against_the_mirror_of_the_previous_origin_where_there_is_one() -> None:
    """[F2] [I2]"""
    forger = renewed(LABEL)
    raw = forger.feed().files["head.json"]
    assert isinstance(read_head(raw, forger.origin, lambda *_: None), Head)
    assert isinstance(read_head(raw, forger.origin, lambda *_: "04" * 32), Head)
    asked: list[tuple[str, int]] = []
    read_head(raw, forger.origin, lambda origin, seq: asked.append((origin, seq)))
    assert asked == [("es1" + "a" * 32, 4)]
    assert "previous origin" in refused(raw, forger.origin, known="06" * 32).message


# --- a head against the pin ------------------------------------------------------------------------------------------


def test_an_origin_that_was_never_pinned_is_new() -> None:
    """[F5]"""
    assert compare(head_of(forger_of().feed()), None, None) is Result.NEW


def test_a_longer_feed_is_an_update_and_the_same_one_is_up_to_date_whatever_its_gen() -> None:
    """[F5]"""
    short, long = forger_of("LL"), forger_of("LLSL")
    assert compare(head_of(long.feed(gen=2)), pin_of(short), Mirrored(short)) is Result.UPDATED
    assert compare(head_of(long.feed(gen=7)), pin_of(long), Mirrored(long)) is Result.UP_TO_DATE
    assert compare(head_of(long.feed(gen=1)), pin_of(long), Mirrored(long)) is Result.UP_TO_DATE


def test_an_older_head_is_stale_by_its_seq_and_by_its_gen_and_says_when_it_was_published() -> None:
    """[F5]"""
    short, long = forger_of("LL"), forger_of("LLSL")
    for head, pin in [
        (head_of(short.feed(gen=1)), pin_of(long, gen=2)),
        (head_of(short.feed(gen=9)), pin_of(long, gen=2)),
        (head_of(long.feed(gen=1)), pin_of(long, gen=2)),
        (head_of(forger_of("LLSLL").feed(gen=1)), pin_of(long, gen=2)),
    ]:
        found = compare(head, pin, Mirrored(long))
        assert isinstance(found, Refusal)
        assert found.result is Result.STALE
        assert "2026-11-22T12:00:00.000Z" in found.message


def other_way(kinds: Kinds, at: int) -> Forger:
    """The same lines up to one, then others."""
    forger = Forger()
    forger.lines = forger_of(kinds).lines[:at]
    while len(forger.lines) < len(kinds):
        forger.record("other", entity_rev=9)
    return forger


@pytest.mark.parametrize("at", [0, 1, 3])
@pytest.mark.parametrize("gen", [1, 5])
def test_another_c_or_t_at_a_seq_we_hold_is_a_fork_whatever_the_gen(at: int, gen: int) -> None:
    """[F5]"""
    found = compare(
        head_of(other_way("LLLL", at).feed(gen=gen)), pin_of(forger_of("LLLL"), 3), Mirrored(forger_of("LLLL"))
    )
    assert isinstance(found, Refusal)
    assert (found.result, found.seq) == (Result.FORK, 4)


def test_the_same_c_by_another_transcript_is_a_fork() -> None:
    """[F5] What was shown once was withheld to another reader."""
    forger = forger_of("LL")
    head = head_of(forger.feed(t="0" * 64, gen=2))
    found = compare(head, pin_of(forger), Mirrored(forger))
    assert isinstance(found, Refusal)
    assert found.result is Result.FORK


def test_a_head_that_ends_inside_a_skip_we_hold_is_a_fork() -> None:
    """[F5]"""
    held, inside = forger_of("LWL"), forger_of("LS")
    found = compare(head_of(inside.feed()), pin_of(held), Mirrored(held))
    assert isinstance(found, Refusal)
    assert (found.result, found.seq) == (Result.FORK, 2)
    assert "inside" in found.message


def test_a_start_that_moved_is_a_fork_even_where_c_and_t_agree() -> None:
    """[F5] A mirror that took it would lack lines that its head no longer speaks of."""
    forger = forger_of("LLLL")
    moved = forger.copy()
    moved.previous = [*LABEL]
    start = {"seq": 2, "c": forger.lines[1].after.c.hex()}
    raw = moved.raw_slice(2, 4)
    slices = [{"name": _name(3, 4, raw), "raw_bytes": len(raw), "blake3": _digest(raw)}]
    head = moved.head(slices, gen=2) | {"start": start}
    read = read_head(moved.signed(head), moved.origin, nothing_known)
    assert isinstance(read, Head)
    for held in (forger_of("LLLL"), forger_of("LL"), forger_of("LLL")):
        found = compare(read, pin_of(held), Mirrored(held))
        assert isinstance(found, Refusal), held.state.seq
        assert found.result is Result.FORK
        assert "starts" in found.message


def _name(first: int, last: int, raw: bytes) -> str:
    return f"seg-{first:08d}-{last:08d}-{_digest(raw)[:12]}.jsonl"


def _digest(raw: bytes) -> str:
    from blake3 import blake3

    return blake3(raw).hexdigest()


# --- slices ----------------------------------------------------------------------------------------------------------


def slice_of(forger: Forger) -> tuple[bytes, Slice]:
    raw = forger.raw_slice(0, len(forger.lines))
    return raw, Slice(_name(1, forger.state.seq, raw), 1, forger.state.seq, len(raw), _digest(raw))


def test_a_slice_unpacks_to_what_was_signed() -> None:
    """[F3]"""
    raw, entry = slice_of(forger_of("L" * 200))
    assert unpack_slice(pack(raw), entry) == raw


@given(st.data())
def test_a_slice_file_with_any_byte_changed_or_cut_off_gives_what_was_signed_or_nothing(data: st.DataObject) -> None:
    """[F3]"""
    raw, entry = slice_of(forger_of("LSL"))
    packed = bytearray(pack(raw))
    at = data.draw(st.integers(0, len(packed) - 1))
    if data.draw(st.booleans()):
        packed[at] ^= data.draw(st.integers(1, 255))
    else:
        del packed[at:]
    assert unpack_slice(bytes(packed), entry) in (None, raw)


@pytest.mark.parametrize("packed", [b"", b"\0", b"junk" * 100, b"\x28\xb5\x2f\xfd", b"\x28\xb5\x2f\xfd" + b"\xff" * 60])
def test_bytes_that_zstd_did_not_write_give_nothing(packed: bytes) -> None:
    """[F3]"""
    _, entry = slice_of(forger_of("L"))
    assert unpack_slice(packed, entry) is None


def test_a_bomb_is_given_up_when_it_passes_the_signed_size() -> None:
    """[F3] 2 GiB of zeros in some kilobytes, against a signed size of 100: memory is capped by what was signed."""
    import tracemalloc

    compressor = zstandard.ZstdCompressor(level=3).compressobj()
    zeros = bytes(16 * 1024 * 1024)
    bomb = b"".join([*(compressor.compress(zeros) for _ in range(16)), compressor.flush()])
    entry = Slice("seg-00000001-00000001-000000000000.jsonl", 1, 1, 100, "0" * 64)
    tracemalloc.start()
    assert unpack_slice(bomb, entry) is None
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * 1024 * 1024


def test_a_slice_of_another_size_or_content_than_signed_gives_nothing() -> None:
    """[F3]"""
    raw, entry = slice_of(forger_of("LL"))
    for other in (raw[:-1], raw + b"\n", raw.replace(b"p1", b"p2"), b""):
        assert unpack_slice(pack(other), entry) is None
    assert unpack_slice(pack(raw), entry._replace(raw_bytes=len(raw) + 1)) is None


def test_a_slice_written_by_another_compressor_is_as_good() -> None:
    """[F3] Hashes are of raw bytes: a relay may compress in its own way."""
    raw, entry = slice_of(forger_of("L" * 50))
    for compressor in (
        zstandard.ZstdCompressor(level=19),
        zstandard.ZstdCompressor(level=1, write_content_size=False, write_checksum=False),
    ):
        assert unpack_slice(compressor.compress(raw), entry) == raw


def broken(raw: bytes, forger: Forger) -> Broken:
    entry = Slice("", 1, forger.state.seq, len(raw), "")
    found = split_slice(raw, entry, forger.origin, forger.start.c, forger.previous)
    assert isinstance(found, Broken)
    return found


def test_a_slice_is_split_into_its_lines() -> None:
    """[F3]"""
    forger = forger_of("LSL")
    raw, entry = slice_of(forger)
    assert split_slice(raw, entry, forger.origin, forger.start.c, []) == [line.data for line in forger.lines]


def test_a_slice_whose_header_is_not_the_one_its_place_asks_for_is_broken() -> None:
    """[F3] [J8]"""
    forger = forger_of("LL")
    raw, _ = slice_of(forger)
    head, _, rest = raw.partition(b"\n")
    for header in (
        head.replace(b'"first_seq":1', b'"first_seq":2'),
        head.replace(forger.origin.encode(), b"es1" + b"a" * 32),
        head.replace(forger.start.c.hex().encode(), b"0" * 64),
        head.replace(b'"format":1', b'"format":2'),
        head.replace(b'"previous":[]', b'"previous":[{}]'),
        head + b" ",
        b"",
    ):
        found = broken(header + b"\n" + rest, forger)
        assert (found.line, "header" in found.message) == (1, True)


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (b"", None),
        (b"x", None),
        (b"x\ny", None),
        (b"x\n\n", 3),
        (b"\nx\n", 2),
        (b"x\n\ny\n", 3),
    ],
)
def test_a_slice_without_a_last_newline_or_with_a_blank_line_is_broken(body: bytes, line: int | None) -> None:
    """[F2] Lines each end with a newline, and there are no blanks."""
    forger = forger_of("L")
    assert broken(forger.raw_slice(0, 1, body=body), forger).line == line


# --- lines -----------------------------------------------------------------------------------------------------------


def walked(forger: Forger, redacted: Sequence[int] = ()) -> State | Broken:
    return walk([line.data for line in forger.lines], forger.start, redacted)


@given(st.text("LSW", max_size=12))
def test_walking_over_honest_lines_comes_to_the_state_that_was_signed(kinds: str) -> None:
    """[J4] [F2]"""
    forger = forger_of(kinds)
    assert walked(forger) == forger.state
    assert start_state(head_of(forger.feed())) == forger.start


@given(st.text("LSW", min_size=1, max_size=8), st.data())
def test_a_walk_may_stop_anywhere_and_go_on_from_there(kinds: str, data: st.DataObject) -> None:
    """[F5] What is behind the pin is checked from the pin."""
    forger = forger_of(kinds)
    lines = [line.data for line in forger.lines]
    at = data.draw(st.integers(0, len(lines)))
    half = walk(lines[:at], forger.start, ())
    assert isinstance(half, State)
    assert walk(lines[at:], half, ()) == forger.state


@given(st.data())
def test_a_record_with_any_byte_changed_breaks_the_walk_or_the_transcript(data: st.DataObject) -> None:
    """[J4]"""
    forger = forger_of("LLSL")
    number = data.draw(st.sampled_from([0, 1, 3]))
    line = bytearray(forger.lines[number].data)
    line[data.draw(st.integers(0, len(line) - 1))] ^= data.draw(st.integers(1, 255))
    lines = [item.data for item in forger.lines]
    lines[number] = bytes(line)
    found = walk(lines, forger.start, ())
    assert isinstance(found, Broken)
    assert found.line == number + 2


@pytest.mark.parametrize("kinds", ["LL", "LS"])
def test_a_line_left_out_is_a_gap(kinds: str) -> None:
    """[J1] [F2]"""
    forger = forger_of(kinds + "L")
    lines = [line.data for line in forger.lines]
    del lines[1]
    found = walk(lines, forger.start, ())
    assert isinstance(found, Broken)
    assert (found.line, found.seq) == (3, 2)


@pytest.mark.parametrize(("first", "last"), [(1, 3), (3, 3), (2, 1), (2, 0), (4, 4)])
def test_a_skip_that_does_not_follow_is_broken(first: int, last: int) -> None:
    """[F1] [F2] Overlaps, gaps, and skips of nothing."""
    forger = forger_of("L")
    line = b'{"v":2,"skip":[%d,%d],"c":"%s"}' % (first, last, b"0" * 64)
    found = walk([forger.lines[0].data, line], forger.start, ())
    assert isinstance(found, Broken)
    assert (found.line, found.seq) == (3, 2)


@pytest.mark.parametrize(
    "line",
    [
        b"{}",
        b"[]",
        b"null",
        b'{"seq":1,"v":2}',
        b'{"v":2,"seq":0,"c":"' + b"0" * 64 + b'"}',
        b'{"v":2,"seq":01,"c":"' + b"0" * 64 + b'"}',
        b'{"v":2, "seq":1,"c":"' + b"0" * 64 + b'"}',
        b'{"v":2,"seq":1}',
        b'{"v":2,"seq":1,"c":""}',
        b'{"v":2,"seq":2,"c":"' + b"0" * 64 + b'"}',
        b'{"v":2,"skip":[1,1]}',
        b'{"v":2,"segment":{}}',
        b"\xff",
        b"\r",
    ],
)
def test_lines_that_are_none_break_the_walk(line: bytes) -> None:
    """[F2]"""
    forger = Forger()
    found = walk([line], forger.start, ())
    assert isinstance(found, Broken)
    assert (found.line, found.seq) == (2, 1)


def test_a_line_longer_than_any_journal_writes_is_broken() -> None:
    """[J10]"""
    forger = Forger()
    forger.record(payload={"text": "x" * (MAX_LINE_BYTES + 70_000)})
    assert isinstance(walked(forger), Broken)


def test_a_line_of_a_later_version_is_walked_over_like_any_other() -> None:
    """[J12] What it means is not asked here."""
    forger = Forger()
    forger.record(v=3, payload=None, something={"new": True})
    assert walked(forger) == forger.state


# --- stubs -----------------------------------------------------------------------------------------------------------


def stubbed(forger: Forger, number: int) -> Forger:
    other = forger.copy()
    line = other.lines[number]
    other.lines[number] = line._replace(data=stub(line.data))
    return other


def test_a_stub_that_the_head_lists_stands_for_its_record() -> None:
    """[F9] Chain and transcript survive a redaction."""
    forger = forger_of("LLL")
    redacted = stubbed(forger, 1)
    assert redacted.lines[1].data != forger.lines[1].data
    assert walked(redacted, [2]) == forger.state


def test_a_stub_that_the_head_does_not_list_is_broken() -> None:
    """[F9]"""
    found = walked(stubbed(forger_of("LLL"), 1), [1, 3])
    assert isinstance(found, Broken)
    assert (found.line, found.seq) == (3, 2)


def test_a_stub_with_another_c_breaks_the_chain_of_the_next_record() -> None:
    """[F9] [J4]"""
    other = stubbed(forger_of("LLL"), 1)
    data = other.lines[1].data
    other.lines[1] = other.lines[1]._replace(data=data[:-66] + b"0" * 64 + b'"}')
    assert isinstance(walked(other, [2]), Broken)


def test_lines_we_hold_are_the_same_when_nothing_changed() -> None:
    """[F5]"""
    lines = [line.data for line in forger_of("LSL").lines]
    assert same_lines(lines, list(lines), ()) is None


def test_a_line_we_hold_may_become_its_listed_stub_and_nothing_else() -> None:
    """[F5] [F9]"""
    forger = forger_of("LSL")
    held = [line.data for line in forger.lines]
    redacted = [line.data for line in stubbed(forger, 2).lines]
    assert same_lines(held, redacted, [3]) is None
    for lines, listed in [
        (redacted, []),
        ([held[0], held[1], redacted[2].replace(b'"p2"', b'"p9"')], [3]),
        ([held[0], held[1], held[2].replace(b"p2", b"p3")], [3]),
        ([held[0], held[2], held[1]], [1, 2, 3]),
        ([redacted[2], held[1], held[2]], [1, 3]),
    ]:
        found = same_lines(held, lines, listed)
        assert isinstance(found, Broken)
        assert "differs" in found.message


def test_fewer_or_more_lines_than_we_hold_are_not_the_same() -> None:
    """[F5]"""
    held = [line.data for line in forger_of("LSL").lines]
    for lines in (held[:2], [*held, held[0]], []):
        assert isinstance(same_lines(held, lines, ()), Broken)


def test_the_end_of_a_line_is_the_last_seq_it_stands_for() -> None:
    forger = forger_of("LW")
    assert [line_end(line.data) for line in forger.lines] == [1, 4]
    assert line_end(stub(forger.lines[0].data)) == 1
    assert line_end(b"junk") == 0


def test_a_transcript_tells_a_skip_of_three_from_three_skips() -> None:
    """[F2] It fixes exactly what was shown in which form."""
    three, one = forger_of("LSSS"), forger_of("LW")
    assert three.state.seq == one.state.seq
    assert three.state.t != one.state.t
    assert feed.transcript_start(three.origin, 0, three.start.c) != feed.transcript_start(
        three.origin, 1, three.start.c
    )
