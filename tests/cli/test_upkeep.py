"""checkpoint and gc, and the checkpoint that comes by itself after a command answered."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from journal import Store
from tests.cli.answers import Run


@pytest.fixture
def library(store: Path) -> Store:
    """The store of the test, with small segments."""
    found = Store.open(store)
    found.roll_bytes = 500
    return found


def put(library: Store, *ids: str, text: str = "") -> None:
    with library.mutate() as mutation:
        for item_id in ids:
            mutation.put("note", item_id, {"text": text})


def test_checkpoint_tells_what_it_wrote(run: Run, store: Path, library: Store) -> None:
    put(library, "n1", "n2")
    answer = run("checkpoint")
    assert (answer.code, answer.out) == (0, "checkpoint at seq 2: 2 entities, 0 decisions\n")
    document = run("checkpoint", "--json").document
    path = store / "journal" / "checkpoints" / "cp-00000002.jsonl"
    assert (document["seq"], document["path"], document["written"]) == (2, str(path), False)
    assert run("checkpoint").out.startswith("nothing is new since the checkpoint at seq 2")
    (reference,) = [row for row in run("log", "--json").document["records"] if row["action"] == "checkpoint_ref"]
    assert reference["summary"] == path.name


def test_gc_moves_and_says_why_not(run: Run, store: Path, library: Store) -> None:
    put(library, "n1")
    assert "nothing moved: there are not two checkpoints yet" in run("gc").out
    for number in range(2):
        put(library, f"a{number}")
        put(library, f"b{number}")
        library.checkpoint()
    before = run("log").out, run("ls").out
    document = run("gc", "--json").document
    assert document["moved"] == sorted(path.name for path in (store / "journal" / "archive").iterdir())
    assert len(document["moved"]) == document["archived"] > 0
    assert (run("log").out, run("ls").out) == before
    assert run("gc").out.startswith("0 segments moved behind the checkpoint at seq ")
    assert run("verify").out == "ok\n"
    assert run("show", "note", "n1", "--rev", "1").code == 0


def test_a_lost_archive_is_explained_and_the_rest_works(run: Run, store: Path, library: Store) -> None:
    for number in range(2):
        put(library, f"a{number}")
        put(library, f"b{number}")
        library.checkpoint()
    assert run("gc").code == 0
    (store / "journal" / "archive").rename(store.parent / "elsewhere")
    answer = run("verify")
    assert answer.code == 12
    assert "older records are gone [J11], from journal/archive too" in answer.out
    assert run("put", "note", "n9", "--set", "text=x").code == 0
    assert len(run("ls", "--json").document["entities"]) == 5
    answer = run("log")
    assert answer.code == 0
    assert "records before seq" in answer.err
    answer = run("show", "note", "a0", "--json")
    assert (answer.code, answer.error["class"]) == (12, "damaged_store")
    assert "in neither journal nor journal/archive" in answer.error["message"]


def test_a_checkpoint_comes_by_itself_after_the_answer(run: Run, store: Path, library: Store) -> None:
    """[J14]: once a segment is full."""
    library.roll_bytes = 10 * 1024 * 1024
    put(library, *(f"n{number}" for number in range(170)), text="x" * 64_000)
    checkpoints = store / "journal" / "checkpoints"
    answer = run("put", "note", "first", "--set", "text=a", "-v")
    assert answer.out == "note/first created (seq 171, rev 1)\n"
    assert "eventsync: checkpoint at seq 171: 171 entities" in answer.err
    assert [path.name for path in checkpoints.iterdir()] == ["cp-00000171.jsonl"]
    assert "checkpoint at" not in run("put", "note", "second", "--set", "text=a", "-v").err
    assert len([*checkpoints.iterdir()]) == 1


def test_a_checkpoint_that_cannot_be_made_fails_no_command(run: Run, store: Path, library: Store) -> None:
    """[J14]: it is told only to who asks."""
    put(library, *(f"n{number}" for number in range(170)), text="x" * 64_000)
    (store / "journal" / "checkpoints").write_text("in the way")
    answer = run("put", "note", "first", "--set", "text=a", "--json")
    assert (answer.code, answer.err) == (0, "")
    assert json.loads(answer.out)["records"][0]["seq"] == 171
    assert "no checkpoint: " in run("put", "note", "second", "--set", "text=a", "-v").err
    assert run("checkpoint").code == 14
