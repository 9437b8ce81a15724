"""A git clone of a store whose entities git tracks, as a person meets it [I2]."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.answers import Answer, Run


def git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main")
    done = subprocess.run(
        ["git", "-C", str(folder), *identity, *words], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


class Person:
    """Works in two checkouts of one repository, with a bus beside them."""

    def __init__(self, run: Run, folder: Path) -> None:
        self._run = run
        self.folder = folder

    def __call__(self, store: str, *words: str, code: int = 0) -> Answer:
        answer = self._run(*words, "--store", str(self.folder / store))
        assert answer.code == code, answer
        return answer

    def verdicts(self, store: str) -> dict[str, str]:
        rows = self(store, "inbox", "--all", "--json").document["candidates"]
        return {row["item_id"]: row["verdict"] for row in rows}


@pytest.fixture
def person(run: Run, tmp_path: Path) -> Person:
    """A tracked store with a commit of what git sees, and a clone of that."""
    found = Person(run, tmp_path)
    (tmp_path / "first").mkdir()
    git(tmp_path / "first", "init", "-q")
    found._run("init", str(tmp_path / "first"), "--track")
    found("first", "put", "plan", "shown", "--set", "title=Shown")
    found("first", "put", "plan", "mine", "--set", "title=Mine")
    found("first", "put", "plan", "secret", "--set", "title=Secret", "--private")
    found("first", "put", "session", "s1", "--set", "a=1")
    found("first", "remote", "add", "bus", str(tmp_path / "bus"))
    found("first", "sync")
    found("first", "edit", "plan", "mine", "--set", "n=2")
    git(tmp_path / "first", "add", "-A")
    git(tmp_path / "first", "commit", "-qm", "plans")
    git(tmp_path, "clone", "-q", "first", "second")
    return found


def test_git_sees_entities_that_others_may_see_and_nothing_else(person: Person) -> None:
    """[F1] [I1]: no key, no identity, nothing private, nothing of what a machine is doing."""
    assert git(person.folder / "first", "ls-files").split() == [
        ".eventsync/.gitignore",
        ".eventsync/entities/plan/mine.json",
        ".eventsync/entities/plan/shown.json",
    ]


@pytest.mark.parametrize("words", [["ls"], ["put", "plan", "p", "--set", "a=1"], ["sync"], ["status"], ["verify"]])
def test_every_command_in_the_clone_tells_what_is_here_and_what_helps(person: Person, words: list[str]) -> None:
    answer = person("second", *words, code=10)
    assert "only entity files are here, and no journal" in answer.err
    assert "`eventsync init` makes a store of its own from them" in answer.err


def test_the_story_of_a_clone(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was there is known, what the clone edits is an update at the first, what was unpublished comes along."""
    monkeypatch.chdir(person.folder / "second")
    made = person._run("init", "--json").document
    assert (made["adopted"], made["left"]) == (2, [])
    assert person("second", "verify").out == "ok\n"
    assert "copy of es1" in person("second", "show", "plan", "shown").out
    assert json.loads(person("second", "show", "plan", "mine", "--json").out)["payload"] == {"title": "Mine", "n": 2}
    person("second", "remote", "add", "bus", str(person.folder / "bus"))
    person("second", "pull")
    assert set(person.verdicts("second").values()) == {"known"}
    person("second", "edit", "plan", "shown", "--set", "by=second")
    person("second", "sync")
    person("first", "sync")
    assert person.verdicts("first") == {"shown": "update", "mine": "known"}
    person("first", "accept", "--all")
    person("first", "sync")
    person("second", "sync")
    assert set(person.verdicts("second").values()) == {"known"}
    assert person("first", "identity", "show").out.split()[1] != person("second", "identity", "show").out.split()[1]


def test_files_that_cannot_be_taken_are_told_and_put_aside(person: Person) -> None:
    path = person.folder / "second" / ".eventsync" / "entities" / "plan" / "mine.json"
    path.write_text("<<<<<<< HEAD\n" + path.read_text())
    answer = person("second", "init", code=3)
    assert "1 entity taken over" in answer.out
    assert "mine.json: cannot be parsed; it was put aside" in answer.err
    assert path.with_name("mine.json.unreadable-0").exists()
    again = person("second", "init", code=2)
    assert "there is a store already" in again.err


def test_a_clone_without_a_file_of_git_keeps_its_store_to_itself(person: Person) -> None:
    """Where somebody copied the entities alone."""
    shutil.rmtree(person.folder / "second" / ".git")
    (person.folder / "second" / ".eventsync" / ".gitignore").unlink()
    person("second", "init")
    assert (person.folder / "second" / ".eventsync" / ".gitignore").read_text() == "*\n"
