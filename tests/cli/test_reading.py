"""show, ls and log: what they tell, as text and as JSON."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from journal import Store
from tests.cli.answers import Run


@pytest.fixture(autouse=True)
def _store(store: Path) -> None:
    """Every test here has a store."""


@pytest.fixture
def origin() -> str:
    return Store.open(".").origin


# --- show ------------------------------------------------------------------------------------------------------------


def test_show_prints_a_header_and_the_payload(run: Run) -> None:
    run("put", "plan", "p", "--set", "title=größer")
    assert run("show", "plan", "p").out == 'plan/p  rev 1  seq 1\n{\n  "title": "größer"\n}\n'


def test_show_as_json(run: Run, origin: str) -> None:
    run("put", "plan", "p", "--set", "title=größer")
    assert run("show", "plan", "p", "--json").document == {
        "item_type": "plan",
        "item_id": "p",
        "entity_rev": 1,
        "seq": 1,
        "context": {origin: 1},
        "root": None,
        "payload": {"title": "größer"},
    }


def test_show_tells_of_what_version_an_entity_is_a_copy(run: Run, origin: str) -> None:
    from journal import Draft

    root = f"es1{'a' * 32}@5#{'0' * 12}"
    store = Store.open(".")
    with store.mutate() as mutation:
        mutation.add(
            Draft("accept", "plan", "p", b'{"n":1}', cause=f"es1{'a' * 32}@5", root=root, context={f"es1{'a' * 32}": 5})
        )
    for arguments in ([], ["--rev", "1"]):
        assert run("show", "plan", "p", *arguments, "--json").document["root"] == root
        assert f"copy of {root}\n" in run("show", "plan", "p", *arguments).out


def test_show_can_go_back_to_any_rev(run: Run) -> None:
    for number in (1, 2, 3):
        run("put", "plan", "p", "--set", f"n={number}")
    shown = run("show", "plan", "p", "--rev", "2", "--json").document
    assert (shown["entity_rev"], shown["seq"], shown["payload"]) == (2, 2, {"n": 2})


def test_show_of_the_rev_that_deleted_says_so(run: Run) -> None:
    run("put", "plan", "p", "--set", "n=1")
    run("rm", "plan", "p")
    assert run("show", "plan", "p", "--rev", "2").out == "plan/p  rev 2  seq 2\ndeleted\n"
    assert run("show", "plan", "p", "--rev", "2", "--json").document["payload"] is None


@pytest.mark.parametrize("arguments", [["plan", "p"], ["plan", "p", "--rev", "9"], ["Plan", "../p"]])
def test_show_of_what_is_not_there_prints_the_empty_document(run: Run, arguments: list[str]) -> None:
    answer = run("show", *arguments, "--json")
    assert answer.code == 2
    assert answer.error["class"] == "no_such_entity"
    assert answer.document == {
        "item_type": None,
        "item_id": None,
        "entity_rev": None,
        "seq": None,
        "context": {},
        "root": None,
        "payload": None,
    }


def test_show_can_go_back_to_any_seq(run: Run, origin: str) -> None:
    run("put", "plan", "p", "--set", "n=1")
    run("put", "note", "n", "--set", "n=1")
    run("put", "plan", "p", "--set", "n=2")
    run("rm", "plan", "p")
    for at, seq, payload in ((1, 1, {"n": 1}), (2, 1, {"n": 1}), (3, 3, {"n": 2})):
        shown = run("show", "plan", "p", "--at", str(at), "--json").document
        assert (shown["seq"], shown["payload"], shown["context"]) == (seq, payload, {origin: seq})
    for never in ("0", "4"):
        assert run("show", "plan", "p", "--at", never, "--json").error["class"] == "no_such_entity"
    assert run("show", "plan", "p", "--at", "1", "--rev", "1").code == 2


# --- ls --------------------------------------------------------------------------------------------------------------


def test_ls_is_a_table_by_type_and_id(run: Run) -> None:
    run("put", "plan", "p", "--set", "title=Ship it")
    run("put", "note", "a-long-id", "--set", "n=1")
    assert run("ls").out.splitlines() == [
        "TYPE  ID         REV  SEQ  SUMMARY",
        "note  a-long-id  1    2",
        "plan  p          1    1    Ship it",
    ]


def test_ls_as_json(run: Run) -> None:
    run("put", "plan", "p", "--set", "title=Ship it")
    entity = {"item_type": "plan", "item_id": "p", "entity_rev": 1, "seq": 1, "summary": "Ship it", "deleted": False}
    assert run("ls", "--json").document == {"entities": [entity], "stale": False}


def test_ls_of_nothing(run: Run) -> None:
    assert run("ls").out == "no entities\n"
    assert run("ls", "--json").document == {"entities": [], "stale": False}


def test_ls_can_be_of_one_type_and_of_so_many(run: Run) -> None:
    for name in ("a", "b", "c"):
        run("put", "note", name, "--set", "n=1")
    run("put", "plan", "p", "--set", "n=1")
    assert [e["item_type"] for e in run("ls", "plan", "--json").document["entities"]] == ["plan"]
    assert [e["item_id"] for e in run("ls", "--limit", "2", "--json").document["entities"]] == ["a", "b"]
    assert run("ls", "--limit", "3").out.splitlines()[-1].startswith("1 more")


def test_ls_shows_deleted_entities_only_when_asked(run: Run) -> None:
    run("put", "note", "n", "--set", "n=1")
    run("rm", "note", "n")
    assert run("ls", "--json").document["entities"] == []
    (entity,) = run("ls", "--deleted", "--json").document["entities"]
    assert (entity["deleted"], entity["entity_rev"]) == (True, 2)
    assert "n (deleted)" in run("ls", "--deleted").out


def test_ls_can_go_back_to_any_seq(run: Run) -> None:
    run("put", "note", "a", "--set", "n=1", "--summary", "was")
    run("put", "plan", "p", "--set", "n=1")
    run("put", "note", "a", "--set", "n=2", "--summary", "is")
    run("rm", "plan", "p")
    assert run("ls", "--at", "0").out == "no entities\n"
    (entity,) = run("ls", "--at", "1", "--json").document["entities"]
    assert (entity["item_id"], entity["entity_rev"], entity["summary"]) == ("a", 1, "was")
    assert [e["item_id"] for e in run("ls", "--at", "3", "--json").document["entities"]] == ["a", "p"]
    assert [e["item_id"] for e in run("ls", "--at", "4", "--json").document["entities"]] == ["a"]
    assert [e["item_id"] for e in run("ls", "plan", "--at", "4", "--deleted", "--json").document["entities"]] == ["p"]
    assert run("ls", "--at", "3", "--limit", "1").out.splitlines()[-1].startswith("1 more")


def test_ls_in_a_pipe_lists_everything(run: Run) -> None:
    with Store.open(".").mutate() as mutation:
        for number in range(250):
            mutation.put("note", f"n{number}", {"n": number}, summary="x" * 200)
    lines = run("ls").out.splitlines()
    assert len(lines) == 251
    assert lines[1].endswith("x" * 200)


def test_a_list_that_may_lack_records_says_so(run: Run, store: Path) -> None:
    run("put", "note", "n", "--set", "n=1")
    (store / "projections.json").unlink()  # a cache is behind, and another process holds the lock
    with (store / "journal.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        listed = run("ls", "--json")
        assert (listed.code, listed.document["stale"]) == (0, True)
        assert "missing here" in listed.error["message"]
        assert run("ls").err.startswith("eventsync: warning: ")
        assert run("ls", "-q").err == ""
    assert run("ls", "--json").document["stale"] is False


def test_a_record_is_safe_when_a_cache_is_not_and_that_is_told(run: Run, store: Path) -> None:
    (store / "entities" / "note").write_text("in the way of a folder", encoding="utf-8")
    written = run("put", "note", "n", "--set", "n=1", "--json")
    assert (written.code, written.document["records"][0]["seq"]) == (0, 1)
    assert "a cache is behind" in written.error["message"]
    assert run("put", "note", "n", "--set", "n=2").err.startswith("eventsync: warning: ")
    assert run("show", "note", "n", "--json").document["payload"] == {"n": 2}


# --- log -------------------------------------------------------------------------------------------------------------


def test_log_tells_every_record_the_newest_last(run: Run) -> None:
    run("put", "plan", "p", "--set", "title=Ship it")
    run("rm", "plan", "p")
    first, second = run("log").out.splitlines()
    assert first.split() == ["1", first.split()[1], "create", "plan/p", "rev", "1", "Ship", "it"]
    assert second.split()[2:] == ["delete", "plan/p", "rev", "2"]


def test_log_as_json(run: Run) -> None:
    run("put", "plan", "p", "--set", "title=Ship it")
    (record,) = run("log", "--json").document["records"]
    assert record.pop("ts").endswith("Z")
    assert record == {
        "seq": 1,
        "agent": "cli",
        "action": "create",
        "item_type": "plan",
        "item_id": "p",
        "entity_rev": 1,
        "summary": "Ship it",
        "cause": None,
        "root": None,
    }


def test_log_can_be_narrowed(run: Run, origin: str) -> None:
    for name in ("a", "b", "a", "b", "a"):
        run("put", "note", name, "--set", "n=1")

    def seqs(*arguments: str) -> list[int]:
        return [record["seq"] for record in run("log", *arguments, "--json").document["records"]]

    assert seqs("--entity", "note/a") == [1, 3, 5]
    assert seqs("--since", "3") == [4, 5]
    assert seqs("--limit", "2") == [4, 5]
    assert seqs("--entity", "note/a", "--limit", "2") == [3, 5]
    assert seqs("--origin", origin) == [1, 2, 3, 4, 5]
    assert seqs("--since", "99") == []
    assert seqs("--entity", "note/nobody") == []
    assert seqs("--at", "3") == [1, 2, 3]
    assert seqs("--at", "4", "--since", "1", "--entity", "note/b") == [2, 4]
    assert seqs("--at", "3", "--limit", "1") == [3]
    assert run("log", "--limit", "2").out.splitlines()[0].startswith("3 older: ")
    assert run("log", "--limit", "2", "--since", "1").out.splitlines()[0].startswith("2 older: ")
    assert run("log", "--limit", "2", "--entity", "note/a").out.splitlines()[0].startswith("more older: ")
    assert len(run("log", "--limit", "5").out.splitlines()) == 5


@pytest.mark.parametrize(
    "arguments",
    [
        ["--entity", "note"],
        ["--entity", "/a"],
        ["--since", "-1"],
        ["--since", "x"],
        ["--limit", "0"],
        ["--at", "-1"],
        ["--follow", "--at", "3"],
        ["--follow", "--origin", "x"],
    ],
)
def test_log_refuses_what_makes_no_sense(run: Run, arguments: list[str]) -> None:
    answer = run("log", *arguments, "--json")
    assert (answer.code, answer.document, answer.error["class"]) == (2, {"records": []}, "usage")


@pytest.mark.parametrize("command", [["log"], ["ls"], ["show", "note", "a"]])
def test_what_the_log_does_not_reach_yet_cannot_be_asked_for(run: Run, command: list[str]) -> None:
    run("put", "note", "a", "--set", "n=1")
    answer = run(*command, "--at", "2", "--json")
    assert (answer.code, answer.error["class"], answer.error["seq"]) == (2, "no_such_record", 2)


def test_log_of_an_origin_nobody_knows_is_refused(run: Run) -> None:
    answer = run("log", "--origin", "es1nobody", "--json")
    assert (answer.code, answer.document, answer.error["class"]) == (2, {"records": []}, "unknown_origin")


def test_a_log_that_breaks_off_is_still_a_document(run: Run, store: Path) -> None:
    run("put", "note", "a", "--set", "n=1")
    segment = store / "journal" / "seg-00000001.jsonl"
    (segment.parent / "seg-00000002.jsonl").write_bytes(b"not a header\n")
    answer = run("log", "--json")
    assert answer.code == 12
    assert [record["seq"] for record in answer.document["records"]] == [1]
    assert answer.error["path"].endswith("seg-00000002.jsonl")
