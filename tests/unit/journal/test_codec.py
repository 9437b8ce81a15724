"""Framing, chain, batches and tails, without a disk."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from journal import BadRange, DamagedStore, FormatTooNew, Line, Record, chain_start, decode_record, seq_of, split_c
from journal.codec import decode_header, encode_header, encode_record, entries, scan, settle_tail, torn_note

START = chain_start("es1" + "a" * 32)


def record(seq: int, *, batch: tuple[int, int] | None = None, action: str = "create", title: str = "t") -> Record:
    return Record(
        v=2,
        seq=seq,
        ts="2026-11-22T12:00:00.000Z",
        writer="w_1-00ff00ff",
        agent="test",
        action=action,
        item_type="plan",
        item_id=f"p{seq}",
        entity_rev=1,
        summary=title,
        batch=batch,
        salt="0" * 16,
    )


def chained(records: Sequence[Record], c: bytes = START) -> list[bytes]:
    lines = []
    for item in records:
        line, c = encode_record(item, c)
        lines.append(line)
    return lines


def framed(lines: Sequence[bytes]) -> bytes:
    return b"".join(b"\n" + line + b"\n" for line in lines)


def c_of(line: bytes) -> bytes:
    parts = split_c(line)
    assert parts is not None
    return parts[1]


def seqs(found: Sequence[Line | BadRange]) -> list[int | str]:
    """Seqs of good lines, `broken` and `fragment` for what lies between."""
    return [
        seq_of(item.data) or 0 if isinstance(item, Line) else ("broken" if item.broken else "fragment")
        for item in found
    ]


# --- framing and chain [J4] [J5] -------------------------------------------------------------------------------------


def test_framed_lines_are_found_where_they_stand() -> None:
    """[J5]: `\\n` + JSON + `\\n`."""
    lines = chained([record(1), record(2)])
    found = scan(framed(lines), 100, START)
    assert [(item.offset, item.data) for item in found if isinstance(item, Line)] == [
        (101, lines[0]),
        (103 + len(lines[0]), lines[1]),
    ]
    assert found[-1].end == 100 + len(framed(lines))


def test_a_record_that_lacks_only_its_newline_is_adopted() -> None:
    """[J7]"""
    found = scan(framed(chained([record(1), record(2)]))[:-1], 0, START)
    assert seqs(found) == [1, 2]
    assert isinstance(found[-1], Line)
    assert not found[-1].terminated


def test_half_a_record_at_the_end_is_a_fragment() -> None:
    """[J7]"""
    data = framed(chained([record(1), record(2)]))
    found = scan(data[:-40], 0, START)
    assert seqs(found) == [1, "fragment"]
    assert found[-1] == BadRange(found[0].end + 1, len(data) - 40, False, 2)


@pytest.mark.parametrize("count", [1, 511, 4096, 70_000])
def test_nuls_at_the_end_are_a_fragment_and_what_is_written_behind_them_is_read(count: int) -> None:
    """[J7]: what a power cut leaves."""
    first, second = chained([record(1), record(2)])
    data = framed([first]) + b"\0" * count
    assert seqs(scan(data, 0, START)) == [1, "fragment"]
    assert seqs(scan(data + framed([second]), 0, START)) == [1, "fragment", 2]


def test_a_changed_line_breaks_the_chain_and_reading_goes_on_behind_it() -> None:
    """[J4] [J7]: corruption is counted, never silent."""
    lines = chained([record(n) for n in range(1, 5)])
    lines[1] = lines[1].replace(b'"summary":"t"', b'"summary":"x"')
    assert seqs(scan(framed(lines), 0, START)) == [1, "broken", 3, 4]


def test_a_line_that_is_gone_takes_the_next_with_it_since_nothing_vouches_for_it() -> None:
    """[J7]: reading goes on from the next line's own c."""
    lines = chained([record(n) for n in range(1, 6)])
    assert seqs(scan(framed([lines[0], lines[2], lines[3], lines[4]]), 0, START)) == [1, "broken", 4, 5]


def test_a_flipped_byte_anywhere_is_seen() -> None:
    """[J4]: c covers every byte of the line and all before it."""
    lines = chained([record(1), record(2), record(3)])
    data = framed(lines)
    inside = range(2, len(lines[0]))
    for at in inside:
        damaged = bytearray(data)
        damaged[at] ^= 1
        assert 1 not in seqs(scan(bytes(damaged), 0, START)), at


def test_a_writer_that_steps_over_a_tail_with_whole_lines_in_it_makes_it_a_fragment() -> None:
    """[J7]: a power cut keeps later pages of a batch; the note behind them chains from before the batch."""
    good, *batch = chained([record(1), *(record(n, batch=(n - 1, 5)) for n in range(2, 7))])
    lost = framed(batch).replace(batch[0], b"\0" * len(batch[0]))
    assert seqs(scan(framed([good]) + lost, 0, START)) == [1, "broken", 4, 5, 6]
    note, after = chained([record(7, action="journal_note"), record(8)], c_of(good))
    assert seqs(scan(framed([good]) + lost + framed([note, after]), 0, START)) == [1, "fragment", 7, 8]


def test_a_note_steps_over_a_tail_with_many_holes() -> None:
    """[J7]"""
    good, *batch = chained([record(1), *(record(n, batch=(n - 1, 100)) for n in range(2, 102))])
    batch[::3] = [b"\0" * len(line) for line in batch[::3]]
    note = chained([record(102, action="journal_note")], c_of(good))
    found = scan(framed([good, *batch, *note]), 0, START)
    assert seqs(found) == [1, "fragment", 102]
    assert isinstance(found[1], BadRange)
    assert found[1].top_seq == 100  # the line of 101 is lost


def test_damage_before_a_tail_stays_damage() -> None:
    """[J7]"""
    lines = chained([record(n) for n in range(1, 5)])
    tail = chained([record(5, batch=(1, 3)), record(6, batch=(2, 3)), record(7, batch=(3, 3))], c_of(lines[-1]))
    note = chained([record(8, action="journal_note")], c_of(lines[-1]))
    lines[1] = b"x" * len(lines[1])
    tail[0] = b"\0" * len(tail[0])
    assert seqs(scan(framed(lines + tail + note), 0, START)) == [1, "broken", 4, "fragment", 8]


# --- the end of the log [J7] -----------------------------------------------------------------------------------------


def holed(first_is_lost: bool) -> bytes:
    """Two single records, then a batch of four of which a power cut lost a page."""
    lines = chained([record(1), record(2), *(record(n, batch=(n - 2, 4)) for n in range(3, 7))])
    at = 2 if first_is_lost else 3
    lines[at] = b"\0" * len(lines[at])
    return framed(lines)


@pytest.mark.parametrize("first_is_lost", [True, False])
def test_a_hole_in_the_last_batch_is_a_torn_tail(first_is_lost: bool) -> None:
    """[J7]"""
    found = settle_tail(scan(holed(first_is_lost), 0, START), known_seq=2)
    assert seqs(found) == ([1, 2, "fragment"] if first_is_lost else [1, 2, 3, "fragment"])
    assert isinstance(found[-1], BadRange)
    assert (found[-1].end, found[-1].top_seq) == (len(holed(True)), 6)


def test_two_holes_in_the_last_batch_are_one_torn_tail() -> None:
    """[J7]"""
    lines = chained([record(1), *(record(n, batch=(n - 1, 8)) for n in range(2, 10))])
    lines[1] = lines[5] = b"\0" * len(lines[1])
    assert seqs(settle_tail(scan(framed(lines), 0, START), known_seq=1)) == [1, "fragment"]


def test_a_hole_before_an_acknowledged_record_is_damage() -> None:
    """[J7]: acknowledged means that it was on disk."""
    assert seqs(settle_tail(scan(holed(True), 0, START), known_seq=6)) == [1, 2, "broken", 5, 6]


def test_a_hole_before_a_later_mutation_is_damage() -> None:
    """[J7]: each mutation is synced before the next begins."""
    lines = chained([record(n) for n in range(1, 6)])
    lines[1] = b"\0" * len(lines[1])
    assert seqs(settle_tail(scan(framed(lines), 0, START), known_seq=0)) == [1, "broken", 4, 5]


def test_a_note_names_the_bytes_and_the_seqs_of_a_tail() -> None:
    """[J7]: seqs readable in it stay used."""
    torn = framed(chained([record(8, batch=(1, 2)), record(9, batch=(2, 2))]))[1:-60]
    note, top_seq = torn_note(torn, "seg-00000001.jsonl", 5000, 7)
    assert top_seq == 9
    assert note["torn"] == [8, 9]
    assert note["ranges"][0] | {"blake3": ""} == {
        "segment": "seg-00000001.jsonl",
        "start": 5000 - len(torn),
        "end": 5000,
        "blake3": "",
    }


def test_a_number_in_a_payload_is_not_taken_for_a_seq() -> None:
    """[J7]"""
    torn = b'{"v":2,"seq":8,"payload":{"inner":{"v":2,"seq":999999,"x":1}}'
    assert torn_note(torn, "seg-00000001.jsonl", 500, 7)[1] == 8


def test_a_tail_without_a_readable_seq_uses_none() -> None:
    """[J7]"""
    note, top_seq = torn_note(b'{"v":2,"se', "seg-00000001.jsonl", 500, 7)
    assert (note["torn"], top_seq) == (None, 7)


# --- batches [J6] ----------------------------------------------------------------------------------------------------


def void(records: Sequence[Record]) -> list[int]:
    lines = [item for item in scan(framed(chained(records)), 0, START) if isinstance(item, Line)]
    return [entry.record.seq for entry in entries(lines) if entry.void]


def test_a_batch_that_is_all_there_counts() -> None:
    """[J6]"""
    assert void([record(1), record(2, batch=(1, 2)), record(3, batch=(2, 2)), record(4)]) == []


def test_a_batch_that_ends_early_is_void() -> None:
    """[J6]"""
    assert void([record(1), record(2, batch=(1, 3)), record(3, batch=(2, 3)), record(4)]) == [2, 3]
    assert void([record(1), record(2, batch=(1, 3)), record(3, batch=(2, 3))]) == [2, 3]


def test_a_batch_without_its_beginning_is_void() -> None:
    """[J6]"""
    assert void([record(1), record(3, batch=(2, 3)), record(4, batch=(3, 3)), record(5)]) == [3, 4]


def test_a_batch_cut_by_another_batch_is_void_and_the_other_counts() -> None:
    """[J6]"""
    assert void([record(1, batch=(1, 3)), record(2, batch=(1, 2)), record(3, batch=(2, 2))]) == [1]


def test_a_batch_whose_size_changes_is_void() -> None:
    """[J6]"""
    assert void([record(1, batch=(1, 2)), record(2, batch=(2, 3)), record(3)]) == [1, 2]


# --- records and headers [J8] [J12] ----------------------------------------------------------------------------------


def test_a_record_of_a_later_version_is_named_as_such() -> None:
    """[J12]"""
    line = chained([record(1)])[0].replace(b'{"v":2,', b'{"v":3,')
    with pytest.raises(FormatTooNew, match=r"record format v3, known is v2 \[J12\]"):
        decode_record(line)


def test_a_record_of_a_later_version_may_look_different() -> None:
    """[J12]"""
    with pytest.raises(FormatTooNew, match="v4"):
        decode_record(b'{"v":4,"number":1}')


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"x",
        b"[]",
        b'{"v":2}',
        b'{"v":2,"seq":"1","action":"create","item_type":"plan"}',
        b'{"seq":1,"v":2,"action":"create","item_type":"plan"}',
        b'{"v":2, "seq":1,"action":"create","item_type":"plan"}',
        b'{"v":2,"seq":1,"action":"create","item_type":"plan","seq":2}',
        b'{"v":2,"seq":0,"action":"create","item_type":"plan"}',
        b'{"v":2,"seq":-1,"action":"create","item_type":"plan"}',
        b'{"v":2,"seq":99999999999999999,"action":"create","item_type":"plan"}',
        b'{"v":2,"seq":1,"action":"create","item_type":"plan","summary":"\xff"}',
        b'{"v":2,"seq":1,"action":"create","item_type":"plan","payload":{"a":"\xff"}}',
        b'{"v":2,"seq":1,"action":"create","item_type":"plan","payload":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_what_is_no_record_is_damage(line: bytes) -> None:
    """[J2]"""
    with pytest.raises(DamagedStore, match="not a record"):
        decode_record(line)


def test_unknown_keys_are_read_over() -> None:
    line = chained([record(1)])[0].replace(b',"salt"', b',"mood":"fine","salt"')
    assert decode_record(line).seq == 1


def test_a_header_comes_back_as_it_was_written() -> None:
    """[J8]"""
    previous = [{"origin": "es1" + "b" * 32, "last_seq": 7, "c": "00", "t": "11"}]
    header = decode_header(encode_header("es1" + "a" * 32, 8, START, previous))
    assert (header.format, header.origin_store_id, header.first_seq) == (1, "es1" + "a" * 32, 8)
    assert bytes.fromhex(header.prev_c) == START
    assert [json.loads(bytes(item)) for item in header.previous] == previous


@pytest.mark.parametrize(("old", "new"), [(b'"format":1', b'"format":2'), (b'{"v":2', b'{"v":3')])
def test_a_header_of_a_later_format_is_named_as_such(old: bytes, new: bytes) -> None:
    """[J12]"""
    with pytest.raises(FormatTooNew, match="J12"):
        decode_header(encode_header("es1" + "a" * 32, 1, START).replace(old, new))


@pytest.mark.parametrize("line", [b"", b"{}", b'{"v":2,"segment":{}}', b'{"v":2,"segment":{"format":1}}'])
def test_what_is_no_header_is_damage(line: bytes) -> None:
    """[J8]"""
    with pytest.raises(DamagedStore, match="J8"):
        decode_header(line)


def test_a_header_without_a_chain_value_is_damage() -> None:
    """[J8]"""
    line = encode_header("es1" + "a" * 32, 1, START).replace(START.hex().encode(), b"zz")
    with pytest.raises(DamagedStore, match="chain value"):
        decode_header(line)
