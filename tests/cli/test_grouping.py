"""What several stores offer alike, as a person and a program meet it: one line, all its sources, one decision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cli.answers import Run

NAMES = ("laptop", "desk", "tower", "phone")


@pytest.fixture
def team(run: Run, store: Path, tmp_path: Path) -> None:
    """Four stores that found the same trap, a fifth that thinks otherwise; this one has pulled from all."""
    for name in (*NAMES, "rebel"):
        there = ("--store", str(tmp_path / name))
        assert run("init", str(tmp_path / name), "--name", name).code == 0
        title = "Retry on 409" if name == "rebel" else "Never retry on 409"
        run("put", "trap", "t1", "--set", f"title={title}", *there)
        run("publish", *there)
        assert run("pull", str(tmp_path / name)).code == 0


def rows(run: Run) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = run("inbox", "--json").document["candidates"]
    return found


def leads(run: Run) -> list[dict[str, Any]]:
    return [row for row in rows(run) if row["group"] == row["id"]]


@pytest.mark.usefixtures("team")
def test_the_inbox_has_a_line_for_each_content_and_a_row_for_each_candidate(run: Run) -> None:
    """Stores cost a second to make: everything that only looks is in here."""
    one, other = sorted(leads(run), key=lambda row: -len(row["sources"]))
    assert [sorted(source["origin_name"] for source in row["sources"]) for row in (one, other)] == [
        sorted(NAMES),
        ["rebel"],
    ]
    alike = [row for row in rows(run) if row["group"] == one["id"]]
    assert {row["id"] for row in alike} == {source["id"] for source in one["sources"]}
    assert [row["sources"] for row in alike if row != one] == [[], [], []]

    lines = run("inbox").out.splitlines()
    assert [line[:16] for line in lines[1:3]] in ([one["id"], other["id"]], [other["id"], one["id"]])
    assert [" and 2 more  " in line for line in lines].count(True) == 1
    assert ["  other content: " in line for line in lines] == [False, False, True, False]
    assert lines[3] == "5 candidates in 2 lines: what several origins offer alike is decided at once"

    (phone,) = [row for row in rows(run) if row["origin_name"] == "phone"]
    (line,) = run("inbox", "--origin", "phone").out.splitlines()[1:]
    assert line.startswith(phone["id"])
    assert line.endswith(" and 2 more  Never retry on 409")

    lines = run("diff", one["id"]).out.splitlines()
    assert lines[2].startswith("the same from ")
    assert lines[2].endswith(" and 2 more")
    assert lines[3] == f"also offered by rebel with other content: {other['id']}  new"
    document = run("diff", one["id"], "--json").document
    assert (document["others"], len(document["candidate"]["sources"])) == ([other["id"]], 4)
    assert "5 candidates open" in run("status").out


@pytest.mark.usefixtures("team")
def test_a_decision_is_about_all_of_them_and_says_so(run: Run) -> None:
    (one,) = [row for row in leads(run) if len(row["sources"]) == 4]
    others = {source["id"] for source in one["sources"]} - {one["id"]}
    for verb, records in (("accept", 1), ("reject", 4), ("snooze", 4)):
        assert run(verb, one["id"], "--digest", "0" * 12).code == 22
        document = run(verb, one["id"], "--digest", one["digest"], "--json").document
        assert (len(document["records"]), set(document["together"]), document["left"]) == (records, others, [])
        assert [row["origin_name"] for row in rows(run)] == ["rebel"]
        assert run("inbox", "undo").code == 0
        assert len(rows(run)) == 5
    *told, last = run("reject", one["id"]).out.splitlines()
    assert len(told) == 4
    assert last.startswith("decided too, since other origins offer the same: cnd_")
    assert all(found in last for found in others)


@pytest.mark.usefixtures("team")
def test_what_is_left_is_one_line_too(run: Run) -> None:
    run("put", "trap", "t1", "--set", "title=Mine")
    answer = run("accept", "--all")
    assert answer.code == 22
    left = [line for line in answer.out.splitlines() if line.startswith("left: ")]
    assert len(left) == 2
    assert [line.endswith("neither side has seen the other (and 3 alike)") for line in left].count(True) == 1
    assert len(run("accept", "--all", "--json").document["left"]) == 5
