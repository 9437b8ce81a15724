"""Rules at the command line: what they say, what they would do, what they did, and what a person can do about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.answers import Run

RULES = """
[[rules]]
name = "quiet"
origin = "*"
type = "note"
action = "reject"
reason = "no notes here"

[[rules]]
name = "look"
origin = "*"
item_id = "p1"
action = "hold"

[[rules]]
origin = "*"
types = ["plan"]
verdicts = ["new", "update"]
action = "accept"
"""


@pytest.fixture
def other(run: Run, store: Path, tmp_path: Path) -> Path:
    """Another store with plans, a note and a trap, which is a remote of the one here."""
    folder = tmp_path / "other"
    assert run("init", str(folder), "--name", "other").code == 0
    for item_type, item_id in (("plan", "p1"), ("plan", "p2"), ("note", "n1"), ("trap", "t1")):
        assert run("put", item_type, item_id, "--set", f"title={item_id}", "--store", str(folder)).code == 0
    assert run("publish", "--store", str(folder)).code == 0
    assert run("remote", "add", "other", str(folder)).code == 0
    return folder


def write(path: Path, text: str = RULES) -> None:
    path.write_text((path.read_text() if path.exists() else "") + text)


def test_rules_are_listed_in_their_order(run: Run, store: Path) -> None:
    assert run("rules").out == "no rules; docs/cli.md tells under `Deciding by rule` how to write one\n"
    write(store / "config.toml")
    told = run("rules").out
    assert told == run("rules", "list").out
    assert told.splitlines() == [
        "quiet: reject what is note, from anybody who signs (no notes here)",
        "look: hold what is of any type called p1, from anybody who signs",
        "3: accept what is new, update plan, from anybody who signs",
    ]
    assert run("rules", "--json").document["rules"][2] == {
        "name": "3",
        "action": "accept",
        "origins": None,
        "types": ["plan"],
        "verdicts": ["new", "update"],
        "item_id": None,
        "reason": None,
    }


def test_a_pull_tells_what_the_rules_did_and_log_and_inbox_tell_it_later(run: Run, other: Path, store: Path) -> None:
    write(store / "config.toml")
    answer = run("pull", "other")
    assert answer.code == 0
    assert answer.out.splitlines()[-4:] == [
        "rule 3: accepted 1: plan/p2",
        "rule quiet: rejected 1: note/n1",
        "rule look: 1 candidate held for you",
        "2 candidates open; `eventsync inbox` shows them",
    ]
    first, second = run("log").out.splitlines()
    assert first.endswith("by rule:3") and second.endswith("by rule:quiet")
    assert [record["agent"] for record in run("log", "--json").document["records"]] == ["rule:3", "rule:quiet"]
    told = {
        row["item_id"]: (row["verdict"], row["rule"]) for row in run("inbox", "--all", "--json").document["candidates"]
    }
    assert told == {"p1": ("new", "look"), "p2": ("known", "3"), "n1": ("known", "quiet"), "t1": ("new", None)}
    assert "known (by rule quiet)" in run("inbox", "--all").out
    assert "new (held by rule look)" in run("inbox").out
    answer = run("accept", "--all")
    assert answer.code == 22 and "plan/p1  held by rule 'look'" in answer.out
    assert run("pull", "other", "--quiet").out == ""


def test_json_has_the_records_and_what_is_left_and_held(run: Run, other: Path, store: Path) -> None:
    assert run("put", "plan", "P2", "--set", "a=1").code == 0
    write(store / "config.toml")
    rules = run("sync", "--json").document["pull"]["rules"]
    assert rules["records"] == [
        {"seq": 2, "action": "reject", "item_type": "note", "item_id": "n1", "entity_rev": None, "rule": "quiet"}
    ]
    (left,) = rules["left"]
    assert (left["rule"], left["item_id"], left["verdict"]) == ("3", "p2", "new")
    assert "only in case" in left["reason"]
    assert rules["held"] == [{"rule": "look", "count": 1}]
    assert rules["error"] is None
    answer = run("pull", "other")
    assert answer.code == 0 and "rule 3 left plan/p2" in answer.err
    assert run("pull", "other", "--quiet").err == ""


def test_undo_takes_back_what_the_rules_did_for_good(run: Run, other: Path, store: Path) -> None:
    write(store / "config.toml")
    run("pull", "other")
    answer = run("inbox", "undo")
    assert answer.code == 0 and "note/n1 open again" in answer.out
    assert "rule 3" not in run("pull", "other").out
    assert len(run("inbox", "--json").document["candidates"]) == 4
    assert "snoozed, or decided once and taken back: a person's" in run("rules", "test").out


def test_a_rehearsal_counts_names_and_decides_nothing(run: Run, other: Path, store: Path, tmp_path: Path) -> None:
    run("pull", "other")
    draft = tmp_path / "draft.toml"
    write(draft)
    answer = run("rules", "test", "--config", str(draft))
    assert answer.code == 0
    lines = answer.out.splitlines()
    assert lines[1].startswith("  1 candidate: new note/n1 from other (es1")
    assert lines[3].startswith("  1 candidate: new plan/p1 from other")
    assert lines[5].startswith("  1 candidate: new plan/p2 from other")
    assert lines[6].startswith("no rule: 1 candidate: new trap/t1 from other")
    document = run("rules", "test", "--config", str(draft), "--type", "plan", "--json").document
    assert [(row["item_id"], row["rule"], row["passed"]) for row in document["candidates"]] == [
        ("p1", "look", None),
        ("p2", "3", None),
    ]
    assert [rule["matched"] for rule in document["rules"]] == [0, 1, 1]
    assert run("log").out == ""
    assert run("rules", "test").out.startswith("no rule: 4 candidates")
    assert run("rules", "test", "--origin", "nobody").code == 2


def test_what_the_brake_holds_is_told_apart(run: Run, other: Path, store: Path) -> None:
    run("pull", "other")
    write(store / "config.toml", f"max_changes = 0\n{RULES}")
    run("put", "plan", "p3", "--set", "a=1", "--store", str(other))
    run("publish", "--store", str(other))
    assert run("pull", "other").code == 22
    told = run("rules", "test").out
    assert "left alone: 1 candidate: new plan/p3" in told
    assert "held by the brake: `eventsync pull --confirm` releases them" in told


@pytest.mark.parametrize("words", [("rules",), ("rules", "test"), ("inbox",), ("accept", "--all"), ("pull", "other")])
def test_a_rule_that_is_wrong_stops_what_would_go_by_it(
    run: Run, other: Path, store: Path, words: tuple[str, ...]
) -> None:
    run("pull", "other")
    write(store / "config.toml", '\n[[rules]]\norigin = "*"\naction = "accept"\nverdict = "conflict"\n')
    answer = run(*words, "--json")
    assert (answer.code, answer.error["class"], answer.error["line"]) == (2, "invalid_config", 7)
    assert "a person decides that" in answer.error["message"]
    assert answer.error["path"].endswith("config.toml")


def test_a_file_to_try_has_to_be_there(run: Run, store: Path) -> None:
    answer = run("rules", "test", "--config", "nowhere.toml", "--json")
    assert (answer.code, answer.error["class"], answer.error["path"]) == (2, "input_unreadable", "nowhere.toml")
