"""migrate: what it tells, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.answers import Run

PROJECT = "prj_" + "0123456789abcdef" * 2


@pytest.fixture(autouse=True)
def _store(store: Path) -> None:
    """Every test here has a store."""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "theirs" / ".brainclaw"
    (folder / "coordination/plans").mkdir(parents=True)
    (folder / "coordination/claims").mkdir(parents=True)
    (folder / "config.yaml").write_text(f"project_id: {PROJECT}\n")
    (folder / "coordination/plans/pln_1.json").write_text('{"id":"pln_1","text":"Ship \\u001b[2J it"}')
    (folder / "coordination/claims/clm_1.json").write_text("{}")
    return folder


def test_a_migration_is_told(run: Run, source: Path) -> None:
    answer = run("migrate", str(source.parent))
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.splitlines() == [
        f"brainclaw:{PROJECT} (v1): 1 plan taken",
        "left there, since no memory of a project: 1 claim",
    ]
    assert "Ship \\x1b[2J it" in run("ls").out
    again = run("migrate", str(source))
    assert (again.code, again.out) == (0, f"brainclaw:{PROJECT} was migrated before (seq 1): nothing was written\n")


def test_a_migration_as_json(run: Run, source: Path) -> None:
    told = run("migrate", str(source), "--dry-run", "--json").document
    assert run("log", "--json").document["records"] == []
    document = run("migrate", str(source), "--json").document
    assert [record["action"] for record in document["records"]] == ["genesis", "backfill"]
    assert {**told, "records": document["records"], "dry_run": False} == document
    del document["records"]
    assert document == {
        "source": f"brainclaw:{PROJECT}",
        "format": "v1",
        "taken": {"plan": 1},
        "here": 0,
        "parked": [],
        "left": [{"item_type": "claim", "entities": 1, "reason": "no memory"}],
        "before_seq": None,
        "changed": False,
        "dry_run": False,
    }
    assert run("migrate", str(source), "--json").document["before_seq"] == 1


def test_what_was_parked_is_named_and_the_exit_code_says_so(run: Run, source: Path) -> None:
    (source / "coordination/plans/\x1b[31m.json").write_text("{}")
    (source / "coordination/plans/pln_2.json").write_text("[]")
    answer = run("migrate", str(source))
    assert answer.code == 3
    assert answer.out.splitlines()[2:] == [
        "parked: plan/\\x1b[31m: it has no id",
        "parked: plan/pln_2: payload is not a JSON object",
    ]


def test_a_source_that_went_on_is_told_of(run: Run, source: Path) -> None:
    run("migrate", str(source))
    (source / "coordination/plans/pln_2.json").write_text('{"id":"pln_2"}')
    answer = run("migrate", str(source), "--json")
    assert (answer.code, answer.document["changed"]) == (0, True)
    (warning,) = [json.loads(line) for line in answer.err.splitlines()]
    assert "keeps no journal to pull from" in warning["warning"]["message"]


def test_where_there_is_no_such_store_it_is_said(run: Run, tmp_path: Path) -> None:
    answer = run("migrate", str(tmp_path), "--json")
    assert (answer.code, answer.error["class"], answer.error["path"]) == (2, "no_project", str(tmp_path))
    assert answer.document["records"] == []
