"""What people write for times and spans."""

from __future__ import annotations

import time

import pytest

from eventsync.errors import InvalidArgument
from eventsync.times import after_span, ago, until_time

NOW = "2026-11-22T12:00:00.000Z"


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("30m", "2026-11-22T12:30:00.000Z"),
        ("12h", "2026-11-23T00:00:00.000Z"),
        ("3d", "2026-11-25T12:00:00.000Z"),
        (" 2 w ", "2026-12-06T12:00:00.000Z"),
    ],
)
def test_a_span_counts_from_now(text: str, at: str) -> None:
    assert after_span(text, NOW) == at


@pytest.mark.parametrize("text", ["", "3", "d", "-3d", "0d", "3 days", "1.5h", "9999999d", "999999w"])
def test_what_is_no_span_is_told(text: str) -> None:
    with pytest.raises(InvalidArgument):
        after_span(text, NOW)


def test_a_time_with_a_zone_is_that_time() -> None:
    assert until_time("2026-12-24T09:00+02:00", NOW) == "2026-12-24T07:00:00.000Z"
    assert until_time("2026-12-24T09:00:00.5Z", NOW) == "2026-12-24T09:00:00.500Z"


def test_a_time_without_a_zone_is_local_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Etc/GMT-3")
    time.tzset()
    try:
        assert until_time("2026-12-24", NOW) == "2026-12-23T21:00:00.000Z"
        assert until_time("2026-12-24T09:00", NOW) == "2026-12-24T06:00:00.000Z"
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    "text", ["", "tomorrow", "2026-13-01", "12:00", "2026-11-22T11:59Z", NOW, "0001-01-01", "9999-12-31T23:59-12:00"]
)
def test_what_is_no_time_to_come_is_told(text: str) -> None:
    with pytest.raises(InvalidArgument):
        until_time(text, NOW)


@pytest.mark.parametrize(
    ("then", "told"),
    [
        ("2026-11-22T12:00:00.000Z", "just now"),
        ("2026-11-22T11:58:00.000Z", "2 minutes ago"),
        ("2026-11-22T10:01:00.000Z", "119 minutes ago"),
        ("2026-11-22T10:00:00Z", "2 hours ago"),
        ("2026-11-20T12:00:00+00:00", "2 days ago"),
        ("0001-01-01T00:00:00Z", "739941 days ago"),
        ("2026-11-22T12:00:30.000Z", "just now"),
        ("2026-11-22T13:00:00.000Z", "in the future"),
        ("2026-11-22T12:00:00", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_how_long_ago_a_time_was_is_told_as_people_say_it(then: str, told: str | None) -> None:
    """The time may be foreign text."""
    assert ago(then, "2026-11-22T12:00:00.000Z") == told
