"""unseen: what is new to a reader, and what it has acknowledged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from journal import Store
from tests.cli.answers import Program, Run, Start


@pytest.fixture(autouse=True)
def _store(store: Path) -> None:
    """Every test here has a store."""


def test_unseen_tells_what_is_new_until_it_is_acknowledged(run: Run) -> None:
    run("put", "plan", "p", "--set", "title=Ship it")
    for _ in range(2):
        (line,) = run("unseen", "claude").out.splitlines()
        assert line.split()[2:] == ["create", "plan/p", "rev", "1", "Ship", "it"]
    assert run("unseen", "claude", "--ack").out.splitlines()[1:] == ["seen by claude up to seq 1"]
    assert run("unseen", "claude").out == "nothing is new to claude\n"
    assert run("unseen", "codex", "-q").out != ""
    assert run("unseen", "claude", "-q").out == ""


def test_unseen_as_json(run: Run) -> None:
    run("put", "plan", "p", "--set", "title=Ship it")
    run("put", "plan", "p", "--set", "title=Ship it now")
    run("unseen", "claude", "--limit", "1", "--ack")
    document = run("unseen", "Claude", "--ack", "--json").document
    assert document.pop("records") == run("log", "--since", "1", "--json").document["records"]
    assert document == {
        "reader": "claude",
        "since": 1,
        "last_seq": 2,
        "gap": False,
        "parked": None,
        "acked": True,
    }
    document = run("unseen", "claude", "--json").document
    assert (document["records"], document["since"], document["acked"]) == ([], 2, False)


def test_on_a_terminal_a_hundred_are_shown_and_only_those_are_acknowledged(run: Run, terminal: Program) -> None:
    with Store.open(".").mutate() as mutation:
        for number in range(250):
            mutation.put("note", f"n{number}", {"n": number})
    lines = terminal("unseen", "claude", "--ack").out.splitlines()
    assert len(lines) == 102
    assert lines[0].split()[0] == "1"
    assert lines[-2:] == ["150 more: --limit N shows more, --json all", "seen by claude up to seq 100"]
    document = run("unseen", "claude", "--json").document
    assert [record["seq"] for record in document["records"]] == list(range(101, 251))


def test_what_nobody_took_is_not_acknowledged(store: Path, start: Start) -> None:
    """The reader of a pipe may leave before it has all."""
    import subprocess

    with Store.open(".").mutate() as mutation:
        for number in range(1_000):
            mutation.put("note", f"n{number}", {"n": number}, summary="x" * 300)
    process = start("unseen", "claude", "--ack", "--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(60) == 0
    assert process.stderr.read() == b""
    process.stderr.close()
    assert not (store / "cursors").exists()


def test_a_cursor_that_cannot_be_read_is_an_error_with_a_way_out(run: Run, store: Path) -> None:
    """[J11]"""
    run("put", "plan", "p", "--set", "title=Ship it")
    run("unseen", "claude", "--ack")
    path = store / "cursors" / "claude.json"
    path.write_text("{")
    answer = run("unseen", "claude", "--json")
    assert (answer.code, answer.document["records"]) == (12, [])
    assert (answer.error["class"], answer.error["path"], answer.error["rule"]) == (
        "cursor_unreadable",
        str(path),
        "J11",
    )
    assert "--since SEQ --ack" in answer.error["hint"]
    assert run("verify").code == 12
    assert run("unseen", "claude", "--since", "0", "--ack").code == 0
    assert json.loads(path.read_text())["seq"] == 1
    assert run("verify").code == 0


@pytest.mark.parametrize("arguments", [["../x"], ["a b"], ["claude", "--since", "-1"], ["claude", "--limit", "0"], []])
def test_unseen_refuses_what_makes_no_sense(run: Run, arguments: list[str]) -> None:
    answer = run("unseen", *arguments, "--json")
    assert (answer.code, answer.document["records"], answer.document["acked"]) == (2, [], False)


def test_records_that_are_parked_are_counted(run: Run, store: Path) -> None:
    library = Store.open(".")
    library.roll_bytes = 300
    for number in range(3):
        with library.mutate() as mutation:
            mutation.put("note", "n", {"n": number})
    library.close()
    oldest, second = sorted((store / "journal").glob("seg-*.jsonl"))[:2]
    oldest.rename(store / oldest.name)
    document = run("unseen", "claude", "--json").document
    assert document["gap"] is True
    assert document["parked"]["first_seq"] == 1
    assert document["parked"]["last_seq"] == int(second.name[4:12]) - 1
    assert document["records"][0]["seq"] == int(second.name[4:12])
    assert run("unseen", "claude").out.startswith("seqs 1 to ")
