"""Forks: two histories that one origin signed, side by side, so that a person can decide whom to believe [F5].

Reads and says. Where both part is told by what both heads list; and to the record where the slices of the other one are
in quarantine. What is not verified counts for nothing here.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from federation.divergence import to_compare
from federation.errors import DamagedFeed
from federation.feed import body_of
from federation.holdings import Holdings
from federation.model import HEAD_FILE, Head, Slice
from federation.origins import evidence_head
from federation.verification import line_end, unpack_slice


class Fork(NamedTuple):
    """Our head of an origin, and one that contradicts it."""

    held: Head
    other: Head
    path: Path  # of the other head
    settled: bool  # a person decided against it
    agree_up_to: int  # seq up to which both are the same
    is_exact: bool  # else they may agree further: the slices of the other one are not here
    only_held: tuple[str, ...]  # names of slices
    only_other: tuple[str, ...]


def forks_of(holdings: Holdings, origin: str) -> Iterator[Fork]:
    """Each head that contradicts our mirror and is kept. DamagedFeed when evidence or mirror is not whole."""
    unsettled = holdings.trust.unsettled(origin)
    held = holdings.mirror.feed(origin).head()
    for name in holdings.mirror.fork_evidence(origin):
        if held is None:
            raise DamagedFeed("evidence of a fork, and no head beside it", path=holdings.mirror.path(origin), rule="F5")
        other = evidence_head(holdings, origin, name)
        ours, theirs = _names(held), _names(other)
        agree, is_exact = _agree_up_to(holdings, held, other)
        yield Fork(
            held,
            other,
            holdings.mirror.path(origin) / "fork" / name,
            name not in unsettled,
            agree,
            is_exact,
            tuple(name for name in ours if name not in theirs),
            tuple(name for name in theirs if name not in ours),
        )


def _names(head: Head) -> list[str]:
    return [entry.name for entry in head.slices]


def _agree_up_to(holdings: Holdings, held: Head, other: Head) -> tuple[int, bool]:
    same, slices = to_compare(held, other)
    folder = _quarantined(holdings, other)
    ours = holdings.mirror.feed(held.origin).lines(same)
    redacted = {*held.redacted, *other.redacted}
    for entry in slices:
        lines = None if folder is None else _lines(holdings, folder, entry)
        if lines is None:
            return same, False
        for line in lines:
            mine = next(ours, None)
            if mine is None or (mine.data != line and line_end(line) not in redacted):
                return same, True
            same = line_end(mine.data)
    return same, True


def _quarantined(holdings: Holdings, head: Head) -> Path | None:
    """Where the slices of a head are kept, if they are."""
    for entry in holdings.quarantine.entries(head.origin):
        if holdings.store.disk.read_if_there(entry.path / HEAD_FILE) == head.raw:
            return entry.path
    return None


def _lines(holdings: Holdings, folder: Path, entry: Slice) -> list[bytes] | None:
    """The lines of a slice that is what its head signed; None where it is not there, or another."""
    packed = holdings.store.disk.read_if_there(folder / entry.file_name)
    raw = None if packed is None else unpack_slice(packed, entry)
    return None if raw is None or b"\n" not in raw else body_of(raw)[:-1].split(b"\n")
