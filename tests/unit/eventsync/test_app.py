"""What the use cases decide without a disk: summaries and surroundings."""

from __future__ import annotations

from typing import Any

import pytest

from eventsync.app import Surroundings, summary_of


@pytest.mark.parametrize(
    ("payload", "summary"),
    [
        ({"title": "Ship it", "text": "other"}, "Ship it"),
        ({"text": "\n  first line \nsecond"}, "first line"),
        ({"title": "", "name": "ada"}, "ada"),
        ({"title": 3, "summary": "short"}, "short"),
        ({"body": "nothing to show"}, None),
        ({}, None),
        ({"title": "x" * 120}, "x" * 120),
        ({"title": "x" * 121}, "x" * 119 + "…"),
    ],
)
def test_a_summary_is_the_first_line_of_what_names_the_entity(payload: dict[str, Any], summary: str | None) -> None:
    assert summary_of(payload) == summary


def test_surroundings_are_what_the_environment_says() -> None:
    around = Surroundings.of_process({"EVENTSYNC_STORE": "s", "EVENTSYNC_AGENT": "ci", "VISUAL": "vi", "EDITOR": "ed"})
    assert (around.store, around.agent, around.editor) == ("s", "ci", "vi")


def test_empty_variables_count_as_absent() -> None:
    around = Surroundings.of_process({"EVENTSYNC_STORE": "", "EVENTSYNC_AGENT": "", "VISUAL": "", "EDITOR": "ed"})
    assert (around.store, around.agent, around.editor) == (None, "cli", "ed")
