"""How decisions about candidates are told: what was left and why, what is held, and what a person can do about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from federation.model import OPEN_CAP
from journal import Store
from tests.cli.answers import Run

LAST = (
    "`eventsync diff CND` shows both; `accept CND --merge` or `--edit` puts them together, `--theirs` takes theirs, "
    "`reject CND` keeps yours"
)


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


# --- what is held ----------------------------------------------------------------------------------------------------


def write(folder: Path, numbers: range, **payload: object) -> None:
    """One batch of notes, or of their deletions without a payload."""
    with Store.open(folder).mutate() as mutation:
        for number in numbers:
            if payload:
                mutation.put("note", f"n{number}", payload)
            else:
                mutation.delete("note", f"n{number}")


@pytest.fixture
def braked(run: Run, store: Path, tmp_path: Path) -> Path:
    """22 entities that were accepted are deleted by their author, all at once."""
    other = tmp_path / "other"
    assert run("init", str(other), "--name", "other").code == 0
    write(other, range(22), text="x")
    run("publish", "--store", str(other))
    run("pull", str(other))
    assert run("accept", "--all").code == 0
    write(other, range(22))
    run("publish", "--store", str(other))
    assert run("pull", str(other)).code == 22
    return other


def test_what_the_brake_holds_needs_a_decision_and_the_way_out_is_told(run: Run, braked: Path) -> None:
    answer = run("accept", "--all")
    assert (answer.code, answer.out) == (
        22,
        "22 are held after an unusually large pull: `eventsync inbox --all` shows them, "
        "`eventsync pull --confirm` releases them\n",
    )
    answer = run("accept", "--all", "--json")
    assert (answer.code, answer.document) == (22, {"records": [], "left": [], "together": [], "held": 22, "snoozed": 0})
    assert run("pull", "--confirm", str(braked)).code == 0
    assert run("accept", "--all").code == 0


def test_status_tells_how_many_are_held(run: Run, braked: Path) -> None:
    answer = run("status")
    assert "seq 44, 22 open, all held" in answer.out
    assert answer.out.endswith("22 candidates open, all held; `eventsync inbox --all` shows them\n")
    run("accept", run("inbox", "--json").document["candidates"][0]["id"])
    assert "21 open, all held" in run("status").out
    seen = run("status", "--json").document
    assert (seen["held"], seen["origins"][0]["held"]) == (21, 21)


def test_inbox_shows_held_ones_with_all_and_marks_them(run: Run, braked: Path) -> None:
    assert run("inbox").out == "22 more are held; `eventsync inbox --all` shows them\n"
    lines = run("inbox", "--all").out.splitlines()
    assert sum("gone (held)" in line for line in lines) == 22
    assert not any("more are held" in line for line in lines)


def test_beyond_the_cap_it_is_run_again(run: Run, store: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    assert run("init", str(other)).code == 0
    write(other, range(OPEN_CAP + 30), text="x")
    run("publish", "--store", str(other))
    run("pull", str(other))
    answer = run("accept", "--all")
    assert (answer.code, answer.out.splitlines()[-1]) == (0, "30 more are held: run it again")
    assert run("status", "--json").document["pending"] == 30
    answer = run("accept", "--all")
    assert (answer.code, len(answer.out.splitlines())) == (0, 30)


# --- what an accept writes -------------------------------------------------------------------------------------------


def test_an_accepted_record_without_a_summary_gets_one_from_its_payload(run: Run, store: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    run("init", str(other))
    write(other, range(1), text="Ask about the raise\nnot before Monday")
    write(other, range(1, 2), number=7)
    run("publish", "--store", str(other))
    run("pull", str(other))
    assert [found["summary"] for found in run("inbox", "--json").document["candidates"]] == [None, None]
    run("accept", "--all")
    seen = run("ls", "--json").document["entities"]
    assert [entity["summary"] for entity in seen] == ["Ask about the raise", None]
