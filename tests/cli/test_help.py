"""Help, version, suggestions, completion: finding one's way."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import eventsync
from eventsync import report
from eventsync.cli import program as root
from eventsync.cli.commands import Command, CommandWithVerbs, Group
from eventsync.cli.console import Console
from tests.cli.answers import Program, Run


def all_commands(group: click.Group = root, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        if isinstance(found, Command):
            yield (*path, name), found
        if isinstance(found, Group | CommandWithVerbs):
            yield from all_commands(found, (*path, name))
        else:
            assert isinstance(found, Command)


COMMANDS = dict(all_commands())


def examples(command: Command) -> list[str]:
    return [line.strip() for line in command.example.strip().splitlines()]


def test_the_version_is_that_of_the_project(run: Run) -> None:
    project = tomllib.loads((Path(eventsync.__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    assert run("--version") == (0, f"eventsync {project['project']['version']}\n", "")


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example(run: Run, path: tuple[str, ...]) -> None:
    answer = run(*path, "--help")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith(f"Usage: eventsync {' '.join(path)} ")
    for option in ("--json", "--quiet", "--verbose", "--store", "--help"):
        assert option in answer.out
    for example in examples(COMMANDS[path]):
        assert example in answer.out
    assert run(*path, "-h") == answer


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_example_can_be_typed(path: tuple[str, ...]) -> None:
    typed = [re.sub(r"^[A-Z]+=\w+ ", "", example) for example in examples(COMMANDS[path])]
    typed = [example for example in typed if example.startswith("eventsync ")]  # the others show where a line goes
    assert typed
    for example in typed:
        words = shlex.split(example.partition(" > ")[0])[1:]  # where the output goes is the shell's affair
        assert tuple(words[: len(path)]) == path
        COMMANDS[path].make_context(path[-1], words[len(path) :])  # parses, and runs nothing


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_has_the_shape_of_its_document_under_its_name(path: tuple[str, ...]) -> None:
    assert COMMANDS[path].document == " ".join(path)
    assert COMMANDS[path].document in report.EMPTY


def test_every_empty_document_belongs_to_a_command() -> None:
    assert set(report.EMPTY) == {" ".join(path) for path in COMMANDS}


def test_the_help_of_the_program_lists_all_commands(run: Run) -> None:
    out = run("--help").out
    for path in COMMANDS:
        assert re.search(rf"^  {path[0]} ", out, re.MULTILINE)


@pytest.mark.parametrize("command", ["inbox", "rules"])
def test_what_a_verb_does_is_said_whole(run: Run, command: str) -> None:
    verbs = run(command, "--help").out.split("Commands:")[1]
    assert "..." not in verbs


def test_no_help_is_wider_than_a_terminal(run: Run) -> None:
    for path in [(), ("identity",), *COMMANDS]:
        assert max(map(len, run(*path, "--help").out.splitlines())) <= 80, path


def test_what_a_command_does_is_said_whole_in_the_list() -> None:
    short = {path: command.get_short_help_str(90) for path, command in COMMANDS.items()}
    assert [path for path, text in short.items() if text.endswith("...")] == []


@pytest.mark.parametrize("arguments", [[], ["identity"]])
def test_without_a_command_the_help_is_shown_as_an_error(run: Run, arguments: list[str]) -> None:
    answer = run(*arguments)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("Usage: eventsync")
    assert "eventsync: error: missing command" in answer.err
    as_json = run(*arguments, "--json")
    assert (as_json.code, as_json.document, as_json.error["class"]) == (2, {}, "usage")


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        (["pt"], "did you mean put?"),
        (["lgo"], "did you mean log?"),
        (["verfiy"], "did you mean verify?"),
        (["identity", "sow"], "did you mean show?"),
        (["quux"], "`eventsync --help` shows how it is used"),
    ],
)
def test_a_typo_gets_a_suggestion(run: Run, typed: list[str], hint: str) -> None:
    answer = run(*typed)
    assert answer.code == 2
    assert f"no such command: {typed[-1]}" in answer.err
    assert answer.err.endswith(f"hint: {hint}\n")
    as_json = run(*typed, "--json")
    assert (as_json.document, as_json.error["hint"]) == ({}, hint)


def test_a_typo_in_an_option_gets_a_suggestion(run: Run) -> None:
    assert "--limit" in run("ls", "--limt", "3").err


def test_a_hostile_command_name_is_inert(run: Run) -> None:
    assert "\x1b" not in run("\x1b[2J").err


@pytest.mark.parametrize(
    ("shell", "words"), [("bash", "complete -"), ("zsh", "#compdef eventsync"), ("fish", "complete ")]
)
def test_a_shell_gets_its_completion_script(program: Program, shell: str, words: str) -> None:
    answer = program(env={"_EVENTSYNC_COMPLETE": f"{shell}_source", "PATH": "/usr/bin:/bin"})
    assert answer.code == 0
    assert words in answer.out


def test_commands_and_options_are_completed(program: Program) -> None:
    def completed(words: str) -> list[str]:
        env = {
            "_EVENTSYNC_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split(" ")) - 1),
        }
        return [line.partition(",")[2] for line in program(env=env).out.splitlines()]

    assert completed("eventsync reb") == ["rebuild"]
    assert completed("eventsync identity ") == ["show", "keep", "renew", "republish"]
    assert "--deleted" in completed("eventsync ls --")


def test_every_option_the_console_knows_starts_unset() -> None:
    from eventsync.app import Surroundings

    console = Console(Surroundings())
    assert (console.json, console.quiet, console.verbose) == (False, False, False)
