"""How decisions about candidates are told: what was left and why, what is held, and what a person can do about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.answers import Run

LAST = "`eventsync diff CND` shows both; `accept CND --theirs` takes theirs, `reject CND` keeps yours"


@pytest.fixture
def conflict(run: Run, store: Path, tmp_path: Path) -> str:
    """The id of a candidate for plan/pln_1 that conflicts; plan/pln_2 of the same origin is new."""
    other = ("--store", str(tmp_path / "other"))
    assert run("init", str(tmp_path / "other")).code == 0
    for item_id in ("pln_1", "pln_2"):
        assert run("put", "plan", item_id, "--set", "title=Theirs", *other).code == 0
    assert run("publish", *other).code == 0
    assert run("put", "plan", "pln_1", "--set", "title=Mine").code == 0
    assert run("pull", str(tmp_path / "other")).code == 0
    found = run("inbox", "--verdict", "conflict", "--json").document["candidates"]
    return str(found[0]["id"])


def test_what_is_left_is_named_and_the_last_line_says_what_can_be_done(run: Run, conflict: str) -> None:
    answer = run("accept", "--all")
    assert answer.code == 22
    accepted, left, last = answer.out.splitlines()
    assert accepted.startswith("plan/pln_2 accepted")
    assert left == f"left: {conflict}  plan/pln_1  conflict: neither side has seen the other"
    assert last == LAST


def test_json_names_the_entity_that_is_left(run: Run, conflict: str) -> None:
    (left,) = run("accept", "--all", "--json").document["left"]
    assert (left["id"], left["item_type"], left["item_id"], left["verdict"]) == (conflict, "plan", "pln_1", "conflict")


def test_a_conflict_that_nobody_decided_has_a_class_and_a_hint_of_its_own(run: Run, conflict: str) -> None:
    answer = run("accept", conflict, "--json")
    assert (answer.code, answer.error["class"], answer.error["hint"]) == (22, "conflict_undecided", LAST)
    assert run("accept", conflict).err.endswith(f"hint: {LAST}\n")


@pytest.mark.parametrize("verb", ["accept", "reject"])
def test_what_was_settled_before_is_told_and_is_no_failure(run: Run, conflict: str, verb: str) -> None:
    assert run("reject", conflict).code == 0
    answer = run(verb, conflict)
    assert (answer.code, answer.out) == (0, f"left: {conflict}  plan/pln_1  settled before\n")
    (left,) = run(verb, conflict, "--json").document["left"]
    assert left["verdict"] == "known"
