"""`kill -9` while the program writes: what it acknowledged is there once, and the next run needs no repair."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.crash.killing import (
    MOMENTS,
    Ended,
    Program,
    answer,
    assert_clean,
    folder_for_stores,
    moments,
    running,
    spawned,
)

pytestmark = pytest.mark.crash


@pytest.fixture(scope="module")
def program() -> Iterator[Program]:
    with running() as found:
        yield found


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    with folder_for_stores(tmp_path) as found:
        answer(found, "init", str(found))
        yield found


def put(name: str, number: int) -> list[str]:
    """A put that writes little, or a blob, by turns."""
    return ["put", "note", f"{name}{number}", "--set", f"text={'x' * (90_000 if number % 4 == 0 else 20)}"]


def records(folder: Path, item_id: str) -> list[Any]:
    """All records about an entity."""
    found: list[Any] = answer(folder, "log", "--entity", f"note/{item_id}")["records"]
    return found


def check(program: Program, folder: Path, line: list[str], killed: Ended) -> None:
    """What was said is so, once; the same command then does its work, once as well."""
    before = records(folder, line[2])
    if killed.code == 0 or killed.out:
        assert len(before) == 1, killed
    assert len(before) <= 1
    assert program.run(folder, *line).code == 0
    after = records(folder, line[2])
    assert [record["entity_rev"] for record in after] == [*range(1, len(before) + 2)]
    assert answer(folder, "show", *line[1:3])["entity_rev"] == len(after)
    assert_clean(folder)


def test_a_put_that_is_killed_is_there_once_or_not_at_all(program: Program, folder: Path) -> None:
    runs = [program.run(folder, *put("whole", number)) for number in range(6)]
    for number, moment in enumerate(moments("put", runs)):
        line = put("n", number)
        check(program, folder, line, program.run(folder, *line, kill_after=moment))
    listed = {entity["item_id"] for entity in answer(folder, "ls")["entities"]}
    assert listed == {f"whole{n}" for n in range(6)} | {f"n{n}" for n in range(MOMENTS)}


def test_a_put_may_be_killed_while_python_still_starts(program: Program, folder: Path) -> None:
    runs = [spawned(folder, *put("whole", number)) for number in range(2)]
    for number, moment in enumerate(moments("spawned put", runs)[::3]):
        line = put("n", number)
        check(program, folder, line, spawned(folder, *line, kill_after=moment))


def test_kill_after_kill_loses_nothing_that_was_said(program: Program, folder: Path) -> None:
    """No run in between that heals: tails of several crashes lie behind each other."""
    runs = [program.run(folder, *put("whole", number)) for number in range(6)]
    said = []
    for number, moment in enumerate(moments("kill after kill", runs)):
        killed = program.run(folder, *put("n", number), kill_after=moment)
        if killed.code == 0 or killed.out:
            said.append(f"n{number}")
    assert all(len(records(folder, item_id)) == 1 for item_id in said)
    assert program.run(folder, *put("last", 1)).code == 0
    assert_clean(folder)
