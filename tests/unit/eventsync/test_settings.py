"""`--set key=value`: JSON if it reads as JSON, text otherwise, dots reach into objects."""

from __future__ import annotations

from typing import Any

import click
import pytest

from eventsync.cli.settings import apply_settings, parse_setting


def applied(*texts: str, to: dict[str, Any] | None = None) -> dict[str, Any]:
    return apply_settings(to or {}, [parse_setting(text) for text in texts])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("k=plain words", "plain words"),
        ("k=3", 3),
        ("k=1.5", 1.5),
        ("k=true", True),
        ("k=null", None),
        ('k="3"', "3"),
        ('k=[1, "a"]', [1, "a"]),
        ('k={"a": {}}', {"a": {}}),
        ("k=", ""),
        ("k=a=b", "a=b"),
        ("k=[1", "[1"),
        ("k=NaN", "NaN"),
        ("k=-Infinity", "-Infinity"),
        ("k=" + "[" * 100_000, "[" * 100_000),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_value_is_json_if_it_reads_as_json(text: str, value: Any) -> None:
    assert applied(text) == {"k": value}


def test_dots_reach_into_objects() -> None:
    assert applied("a.b.c=1", "a.d=2", to={"a": {"x": 0}, "y": 1}) == {"a": {"x": 0, "b": {"c": 1}, "d": 2}, "y": 1}


def test_the_payload_given_is_not_touched() -> None:
    before = {"a": {"b": 1}}
    applied("a.b=2", to=before)
    assert before == {"a": {"b": 1}}


@pytest.mark.parametrize("text", ["novalue", "=1", ".a=1", "a.=1", "a..b=1", 'k={"a":1,"a":2}'])
def test_what_is_no_setting_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        parse_setting(text)


@pytest.mark.parametrize("texts", [["a=1", "a=2"], ["a=1", "a.b=2"], ["a.b=1", "a.b=1"]])
def test_settings_that_collide_are_refused(texts: list[str]) -> None:
    with pytest.raises(click.BadParameter):
        applied(*texts)


def test_a_key_below_what_is_no_object_is_refused_by_name() -> None:
    with pytest.raises(click.BadParameter, match=r"'a\.b' is not an object"):
        applied("a.b.c=1", to={"a": {"b": "text"}})
