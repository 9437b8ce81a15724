"""What a person sees on a terminal, and what hostile text can do there: nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from journal import Store
from tests.cli.answers import Program, Run

HOSTILE = "\x1b[2J\x1b]0;owned\x07\x9b1m\u202egnp.exe\u200b\r\nfake: plan deleted\x08"
STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]")


@pytest.fixture(autouse=True)
def _store(store: Path) -> None:
    """Every test here has a store."""


def fill(count: int) -> None:
    with Store.open(".").mutate() as mutation:
        for number in range(count):
            mutation.put("note", f"n{number:03d}", {"n": number}, summary=f"number {number} " + "x" * 100)


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def test_a_long_list_stops_at_100_rows_and_counts_the_rest(terminal: Program) -> None:
    fill(130)
    lines = plain(terminal("ls").out).splitlines()
    assert len(lines) == 1 + 100 + 1
    assert lines[-1] == "30 more: --limit N shows more, --json all"
    assert len(plain(terminal("ls", "--limit", "120").out).splitlines()) == 122
    lines = plain(terminal("log").out).splitlines()
    assert len(lines) == 1 + 100
    assert lines[0] == "30 older: --limit N shows more, --json all"
    assert lines[-1].startswith("   130  ")


def test_json_on_a_terminal_is_whole_too(terminal: Program) -> None:
    fill(130)
    assert terminal("ls", "--json").out.count('"item_id"') == 130
    assert terminal("log", "--json").out.count('"item_id"') == 130


def test_a_table_fits_the_terminal(terminal: Program) -> None:
    fill(3)
    lines = plain(terminal("ls").out).splitlines()
    assert max(map(len, lines)) == 80
    assert lines[1].endswith("…")


@pytest.mark.parametrize(("env", "styled"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_colour_is_for_terminals_that_want_it(terminal: Program, env: dict[str, str], styled: bool) -> None:
    fill(1)
    assert ("\x1b[" in terminal("ls", env=env).out) == styled
    assert ("\x1b[" in terminal("show", "note", "nobody", env=env).out) == styled


def test_a_pipe_gets_no_colour(run: Run) -> None:
    fill(1)
    assert "\x1b" not in run("ls").out + run("show", "note", "nobody").err


@pytest.mark.parametrize(
    "arguments",
    [["ls"], ["ls", "--deleted"], ["show", "note", "n"], ["show", "note", "n", "--rev", "1"], ["log"], ["-v", "ls"]],
)
def test_hostile_text_is_inert_on_a_terminal(terminal: Program, arguments: list[str]) -> None:
    with Store.open(".").mutate(agent=HOSTILE) as mutation:
        mutation.put("note", "n", {"title": HOSTILE, HOSTILE: [HOSTILE]}, summary=HOSTILE)
        mutation.put("note", "gone", {"title": HOSTILE}, summary=HOSTILE)
        mutation.delete("note", "gone", summary=HOSTILE)
    out = plain(terminal(*arguments).out)
    assert not STEERING.search(out)
    assert "owned" in out
    assert not any(line.startswith("fake") for line in out.splitlines())


@pytest.mark.parametrize(
    "arguments",
    [
        ["show", HOSTILE.replace("\0", ""), HOSTILE],
        ["put", "note", HOSTILE, "--set", "n=1"],
        ["put", "note", "n", "--file", HOSTILE],
        ["put", "note", "n", "--set", HOSTILE],
        ["log", "--origin", HOSTILE],
        ["--store", HOSTILE, "ls"],
        [HOSTILE],
        ["ls", f"--{HOSTILE}"],
        ["init", "--name", HOSTILE],
    ],
)
def test_hostile_arguments_are_inert_in_errors(terminal: Program, arguments: list[str]) -> None:
    answer = terminal(*arguments)
    assert answer.code in (2, 10)
    assert not STEERING.search(plain(answer.out))
    assert not any(line.startswith("fake") for line in answer.out.splitlines())


def test_hostile_names_of_the_environment_are_inert(terminal: Program) -> None:
    out = terminal("edit", "note", "n", env={"EDITOR": HOSTILE, "EVENTSYNC_LOCK_TIMEOUT": HOSTILE}).out
    assert not STEERING.search(plain(out))


def test_json_of_hostile_text_is_ascii_and_inert(run: Run) -> None:
    with Store.open(".").mutate() as mutation:
        mutation.put("note", "n", {"title": HOSTILE}, summary=HOSTILE)
    for arguments in (["ls"], ["show", "note", "n"], ["log"]):
        answer = run(*arguments, "--json")
        assert answer.out.isascii()
        assert not STEERING.search(answer.out)
    assert run("show", "note", "n", "--json").document["payload"]["title"] == HOSTILE


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_an_output_that_knows_few_characters_gets_escapes(program: Program, encoding: str) -> None:
    with Store.open(".").mutate() as mutation:
        mutation.put("note", "n", {"title": "日本…"}, summary="日本…")
    answer = program("ls", env={"PYTHONIOENCODING": encoding})
    assert answer.code == 0
    assert "\\u65e5\\u672c\\u2026" in answer.out


def test_details_go_to_standard_error_and_only_when_asked(run: Run) -> None:
    assert run("ls", "-v").err == f"eventsync: store {Path('.eventsync').absolute()}\n"
    assert run("ls").err == ""
