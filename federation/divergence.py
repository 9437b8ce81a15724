"""Divergence: where does a feed under an origin of ours stop being what our own journal says?

Two copies of a store agree up to some seq, and since lines are chained, on nothing behind it. Reads and says; what is
refused, and what a person can do with the seq, stands with those who ask (R3, I2).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from federation.feed import body_of, parse_skip
from federation.model import Head, Slice
from federation.verification import line_end, unpack_slice
from journal import Store, split_c


def agreed(store: Store, lines: Iterable[bytes], after_seq: int, most: int) -> tuple[int, bool]:
    """The last seq, not above `most`, at which feed lines that begin after a seq end as our journal has it.

    And whether all lines up to `most` do. A seq that our journal does not have counts for nothing.
    """
    ours = (
        (entry.record.seq, entry.line.c) for gap in store.gaps(store.position_at(after_seq)) for entry in gap.entries
    )
    seq, c = 0, b""
    same = after_seq
    for line in lines:
        end = line_end(line)
        if end > most:
            break
        while seq < end:
            seq, c = next(ours, (most + 1, b""))
        if seq == end and c != c_of(line):
            return same, False
        same = end if seq == end else same
    return same, True


def c_of(line: bytes) -> bytes:
    """The c after a verified feed line."""
    skip, parts = parse_skip(line), split_c(line)
    return skip[2] if skip is not None else parts[1] if parts is not None else b""


def to_compare(known: Head, there: Head) -> tuple[int, list[Slice]]:
    """Up to which seq both heads list the same slices, and those of the other one behind that: they must be fetched."""
    listed, same = {entry.name for entry in known.slices}, there.start_seq
    for number, entry in enumerate(there.slices):
        if entry.name not in listed:
            return same, list(there.slices[number:])
        same = entry.last_seq
    return same, []


def agreed_with(store: Store, slices: Iterable[Slice], same: int, folder: Path) -> int | None:
    """The last seq up to which fetched slices, which begin behind `same`, are what our journal says.

    None when one is not there or is not what the head lists: nothing is guessed.
    """
    for entry in slices:
        packed = store.disk.read_if_there(folder / entry.file_name)
        raw = None if packed is None else unpack_slice(packed, entry)
        if raw is None:
            return None
        same, whole = agreed(store, body_of(raw)[:-1].split(b"\n"), same, entry.last_seq)
        if not whole:
            break
    return same
