"""What is told of remotes that are not there, or cannot be added: the class of each error, and a hint that helps."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.answers import Run


@pytest.mark.parametrize(
    ("words", "code", "slug", "helps"),
    [
        (("pull",), 10, "unknown_remote", "`eventsync remote add NAME PATH`"),
        (("pull", "nobody"), 10, "unknown_remote", "`eventsync remote add NAME PATH`"),
        (("remote", "show", "nobody"), 10, "unknown_remote", "`eventsync remote list`"),
        (("remote", "add", "bus", "/elsewhere"), 2, "remote_exists", "`eventsync remote set-url NAME URL`"),
        (("remote", "rename", "other", "bus"), 2, "remote_exists", "`eventsync remote list`"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_the_hint_names_the_command_that_helps(
    run: Run, store: Path, words: tuple[str, ...], code: int, slug: str, helps: str
) -> None:
    if words != ("pull",):
        for name in ("bus", "other"):
            assert run("remote", "add", name, f"/nowhere/{name}").code == 0
    answer = run(*words, "--json")
    assert (answer.code, answer.error["class"]) == (code, slug)
    assert helps in answer.error["hint"]


@pytest.mark.parametrize("name", ["a b", "", "x" * 65])
def test_a_bad_name_is_a_mistake_of_the_command_not_of_the_config(run: Run, store: Path, name: str) -> None:
    answer = run("remote", "add", name, "/x", "--json")
    assert (answer.code, answer.error["class"]) == (2, "usage")
    assert "is no name for a remote" in answer.error["message"]


def test_a_place_that_is_missing_may_be_a_drive_that_is(run: Run, store: Path) -> None:
    answer = run("pull", "/nowhere/at/all")
    assert answer.code == 75
    assert answer.err.endswith("hint: is the drive mounted, the network there? nothing was changed, try again later\n")


def test_the_hint_after_a_possible_secret_does_not_promise_what_an_edit_cannot_do(run: Run, store: Path) -> None:
    run("put", "plan", "pln_1", "--set", "key=AKIA" + "ABCDEFGHIJKLMNOP")
    hint = run("publish", "--json").error["hint"]
    assert "docs/format.md, `When something is wrong`" in hint
    assert "--private" not in hint
