"""What a person meets when one pull brings more than usual: what it is, what to run next, what was released."""

from __future__ import annotations

from pathlib import Path

import pytest

from eventsync.brake_report import load_lines
from federation.model import BrakeLimits, Example, Load, Verdict
from journal import Store
from tests.cli.answers import Program, Run

HOSTILE = "\x1b[2J\u202efake"


@pytest.fixture
def braked(run: Run, store: Path, tmp_path: Path) -> str:
    """22 notes that were accepted are deleted by their author, all at once, and one is new; the origin's id."""
    other = tmp_path / "other"
    assert run("init", str(other), "--name", "other").code == 0
    for gone in (False, True):
        with Store.open(other).mutate(agent="test") as mutation:
            for number in range(22):
                if gone:
                    mutation.delete("note", f"n{number}")
                else:
                    mutation.put("note", f"n{number}", {"text": "x"})
            mutation.put("note", "more", {"text": str(gone)})
        assert run("publish", "--store", str(other)).code == 0
        if not gone:
            assert run("remote", "add", "other", str(other)).code == 0
            assert run("pull", "other").code == 0
            assert run("accept", "--all").code == 0
    return str(run("identity", "show", "--store", str(other), "--json").document["origin_store_id"])


def test_a_pull_of_too_much_shows_what_it_is_and_what_to_run_next(run: Run, braked: str) -> None:
    answer = run("pull", "other", "--quiet")
    assert (answer.code, answer.out) == (22, "")
    error, kinds, examples, hint = answer.err.splitlines()
    assert "more changes at once than usual, all of them are held for you: 23 changes, 22 of them deletions" in error
    assert error.endswith("where 1000 and 20 are allowed")
    assert kinds == "  22 gone note, 1 update note"
    assert examples.startswith("  such as gone note/n0 (cnd_")
    assert examples.count("gone note") == 3 and "update note/more" in examples
    assert f"`eventsync inbox --all --origin {braked[:11]}` lists them" in hint
    assert "`eventsync pull other --confirm` releases all" in hint
    assert len(run("inbox", "--all", "--origin", braked[:11], "--verdict", "gone").out.splitlines()) == 23


def test_json_has_the_same_as_data(run: Run, braked: str) -> None:
    answer = run("pull", "other", "--json")
    (found,) = answer.document["remotes"][0]["origins"]
    assert (answer.code, found["braked"]) == (22, True)
    brake = found["brake"]
    assert {key: brake[key] for key in ("changes", "deletions", "max_changes", "max_deletions")} == {
        "changes": 23,
        "deletions": 22,
        "max_changes": 1000,
        "max_deletions": 20,
    }
    assert brake["kinds"] == [
        {"verdict": "gone", "item_type": "note", "count": 22},
        {"verdict": "update", "item_type": "note", "count": 1},
    ]
    assert [example["verdict"] for example in brake["examples"]] == ["gone", "gone", "gone", "update"]
    assert run("status", "--json").document["origins"][0]["brake"] == brake


def test_status_tells_what_is_braked_and_confirm_what_it_releases(run: Run, braked: str) -> None:
    assert run("pull", "other").code == 22
    assert "held by the brake: 22 gone note, 1 update note; `eventsync pull --confirm` releases" in run("status").out
    answer = run("pull", "other", "--confirm")
    assert answer.code == 0
    assert "    released: 23 changes, 22 of them deletions" in answer.out
    assert "      22 gone note, 1 update note\n" in answer.out
    assert "held by the brake" not in run("status").out
    assert "released" not in run("pull", "other", "--confirm").out


def test_a_terminal_shows_many_deletions_of_one_origin_on_one_line(run: Run, braked: str, terminal: Program) -> None:
    assert run("pull", "other", "--confirm").code == 0
    told = terminal("inbox").out
    assert "22 deletions from other" in told
    assert ": note/n0, note/n1, note/n2, … `eventsync inbox --verdict gone` lists them\n" in told
    assert told.count("gone") == 1 and "update" in told
    assert terminal("inbox", "--verdict", "gone").out.count("gone ") == 22
    assert len(run("inbox", "--json").document["candidates"]) == 23


def test_what_others_call_their_things_steers_no_terminal() -> None:
    example = Example("cnd_0", HOSTILE, HOSTILE, Verdict.NEW)
    kinds = {(Verdict.NEW, f"{number}{HOSTILE * 50}"): 1 for number in range(10)}
    told = "".join(load_lines(Load(kinds, 0, BrakeLimits(), (example,))))
    assert not set(told) & {"\x1b", "\u202e"}
    assert len(told) < 1_000 and "and 2 more kinds" in told


@pytest.mark.parametrize("setting", ["max_changes = -1", "max_deletions = true", "max_changes = '5'"])
def test_a_limit_that_is_none_is_an_error_with_its_place(run: Run, braked: str, store: Path, setting: str) -> None:
    path = store / "config.toml"
    path.write_text(path.read_text() + setting + "\n")
    answer = run("pull", "other", "--json")
    assert (answer.code, answer.error["class"]) == (2, "invalid_config")
    assert answer.error["line"] == 3 and f"remotes.other.{setting.split(' ')[0]}" in answer.error["message"]
