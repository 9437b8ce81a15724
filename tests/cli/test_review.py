"""Going through the inbox at a terminal: a key answers each candidate, at once and for good."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import termios
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from journal import Store
from tests.cli.answers import Answer, Run, command_line, environment

PROMPT = b"[q] quit: "
SECONDS = 60


def typed(keys: Sequence[bytes], *arguments: str) -> Answer:
    """`review` on a terminal, where each key is pressed when it is asked for."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command_line("review", *arguments),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        env=environment({"COLUMNS": "100", "TERM": "dumb"}),
    )
    os.close(theirs)
    text, waiting = b"", list(keys)
    while select.select([ours], [], [], SECONDS)[0]:
        try:
            text += os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if text.count(PROMPT) > len(keys) - len(waiting) and waiting:
            _until_it_listens(ours)
            os.write(ours, waiting.pop(0))
    os.close(ours)
    code = process.wait(SECONDS)
    assert not waiting, text.decode()
    return Answer(code, text.decode().replace("\r\n", "\n"), "")


def _until_it_listens(terminal: int) -> None:
    """What is typed before a question is thrown away, lest it answer what nobody has seen."""
    deadline = time.monotonic() + SECONDS
    while termios.tcgetattr(terminal)[3] & termios.ICANON:
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def inbox(run: Run, store: Path, tmp_path: Path) -> Path:
    """Four candidates of another store, of which the last is a conflict."""
    other = tmp_path / "other"
    assert run("init", str(other), "--name", "other").code == 0
    with Store.open(other).mutate(agent="ben") as mutation:
        for number in range(1, 5):
            mutation.put("plan", f"p{number}", {"title": f"title {number}"})
    run("put", "plan", "p4", "--set", "title=mine")
    assert run("publish", "--store", str(other)).code == 0
    assert run("pull", str(other)).code == 0
    return other


def verdicts(run: Run) -> dict[str, str]:
    return {one["item_id"]: one["verdict"] for one in run("inbox", "--json").document["candidates"]}


def test_each_key_does_what_its_command_does(run: Run, inbox: Path) -> None:
    answer = typed([b"a", b"r", b"z", b"t"])
    assert answer.code == 0, answer.out
    assert "1 of 4, from other" in answer.out and "title 1" in answer.out
    assert "decided: 1 by accept, 1 by reject, 1 by snooze, 1 by theirs; 1 open, 0 held" in answer.out
    actions = [record["action"] for record in run("log", "--json").document["records"]]
    assert actions == ["create", "accept", "reject", "snooze", "accept"]
    assert verdicts(run) == {}
    assert run("show", "plan", "p4", "--json").document["payload"] == {"title": "title 4"}


def test_a_conflict_cannot_be_taken_as_it_is(run: Run, inbox: Path) -> None:
    answer = typed([b"s", b"s", b"s", b"q"])
    last = answer.out.rpartition("4 of 4")[2]
    assert "[a]" not in last and "[m] merge, [t] theirs, [e] edit, [r] reject" in last
    answer = typed([b"s", b"s", b"s", b"m", b"q"])  # both sides wrote the title: it is asked again
    assert answer.code == 0 and answer.out.count("4 of 4") == 2
    assert verdicts(run)["p4"] == "conflict"


def test_the_last_answer_can_be_taken_back_and_is_asked_again(run: Run, inbox: Path) -> None:
    answer = typed([b"a", b"u", b"r", b"q"])
    assert answer.code == 0 and answer.out.count("1 of 4") == 2
    assert "[u] undo" not in answer.out.split("[q] quit: ")[0]
    assert verdicts(run) == {"p2": "new", "p3": "new", "p4": "conflict"}
    assert "p1" not in [entity["item_id"] for entity in run("ls", "--json").document["entities"]]


def test_only_the_last_answer_is_taken_back_and_taking_it_back_is_not(run: Run, inbox: Path) -> None:
    """Undoing is a decision too: undone, the answer would count again."""
    answer = typed([b"a", b"a", b"u", b"u", b"q"])
    assert answer.code == 0, answer.out
    assert "p1" not in verdicts(run)
    assert verdicts(run)["p2"] == "new"
    assert answer.out.count("[u] undo the last one") == 2


@pytest.mark.parametrize(("end", "code"), [(b"q", 0), (b"\x04", 0), (b"\x03", 130)])
def test_whoever_stops_keeps_what_was_decided(run: Run, inbox: Path, end: bytes, code: int) -> None:
    answer = typed([b"a", end])
    assert answer.code == code, answer.out
    assert verdicts(run) == {"p2": "new", "p3": "new", "p4": "conflict"}


def test_keys_that_mean_nothing_do_nothing_and_an_empty_inbox_asks_nothing(run: Run, inbox: Path) -> None:
    answer = typed([b"x", b"\r", b"q"])
    assert answer.code == 0
    assert len(verdicts(run)) == 4
    answer = typed([], "--type", "note")
    assert (answer.code, "decided: nothing" in answer.out) == (0, True)


def test_without_a_terminal_it_says_what_to_use(run: Run, inbox: Path) -> None:
    answer = run("review")
    assert (answer.code, answer.out) == (2, "")
    assert re.search("for a person at a terminal; `eventsync inbox --json`", answer.err)
    assert run("review", "--json").code == 2
