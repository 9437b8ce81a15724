"""Where lines start, in files that may be nothing but newlines."""

from __future__ import annotations

import random

import pytest

from eventsync.inspecting.lines import LineStarts


@pytest.mark.parametrize("share", [0.0, 0.0001, 0.3, 1.0])
def test_each_line_starts_behind_the_newline_before_it(share: float) -> None:
    chance = random.Random(share)
    data = bytes(ord("\n") if chance.random() < share else ord("x") for _ in range(200_000))
    starts, ends = LineStarts(data), [at for at, byte in enumerate(data) if byte == ord("\n")]
    for line in {1, *chance.choices(range(1, len(ends) + 2), k=50), len(ends) + 1}:
        assert starts.of(line) == (0 if line == 1 else ends[line - 2] + 1)
    assert starts.of(0) is None and starts.of(len(ends) + 2) is None


def test_an_empty_file_has_one_line() -> None:
    assert (LineStarts(b"").of(1), LineStarts(b"").of(2)) == (0, None)
