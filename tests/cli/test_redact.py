"""redact: told without --yes, done with it, and shown afterwards for what it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.answers import Run
from tests.doubles.searching import files_with

SECRET = "hunter2"


@pytest.fixture
def filled(run: Run, store: Path) -> Path:
    for value in ("fine", SECRET, f"{SECRET} again"):
        assert run("put", "plan", "p1", "--set", f"title={value}").code == 0
    assert run("put", "session", "s1", "--set", f"title={SECRET}").code == 0
    assert run("publish").code == 0
    return store


def test_without_yes_it_is_only_told(run: Run, filled: Path) -> None:
    before = run("log").out
    answer = run("redact", "2", "4", "--reason", "oops")
    assert answer.code == 22
    assert answer.out.splitlines() == [
        "     2  update plan/p1 rev 2, published",
        "     4  create session/s1 rev 1, not published",
    ]
    assert "other records of the same entities stay, and may say the same: seq 1, 3" in answer.err
    assert "redacting cannot be undone: it needs --yes [J16]" in answer.err
    document = run("redact", "2", "--reason", "oops", "--json").document
    assert [row["seq"] for row in document["lines"]] == [2]
    assert document["records"] == []
    assert run("log").out == before


def test_with_yes_the_text_is_in_no_file(run: Run, filled: Path) -> None:
    answer = run("redact", "2", "3", "4", "--reason", "oops", "--yes")
    assert answer.code == 0
    assert answer.out.splitlines()[-2:] == [
        "redacted 3 of the records; the text is gone unless another record of the same entities says it too",
        "2 of them were published: who has them takes them back when they read your next push",
    ]
    assert files_with(filled, SECRET) == []
    assert run("verify").out == "ok\n"
    assert run("publish").code == 0
    assert run("redact", "2", "--reason", "again", "--yes").out == "redacted already: seq 2\nnothing to redact\n"


def test_the_text_is_not_said_to_be_gone_while_another_record_may_say_it(run: Run, filled: Path) -> None:
    assert "in no file" not in run("redact", "2", "--reason", "oops", "--yes").out
    assert files_with(filled, SECRET) != []


def test_a_seq_that_is_not_there_is_answered_with_where_to_look(run: Run, filled: Path) -> None:
    error = run("redact", "99", "--reason", "r", "--json").error
    assert (error["class"], "`eventsync log --limit 1`" in error["hint"]) == ("no_such_record", True)


def test_the_document_tells_all_of_it(run: Run, filled: Path) -> None:
    document = run("redact", "3", "--reason", "oops", "--yes", "--json").document
    assert document["lines"] == [
        {
            "seq": 3,
            "action": "update",
            "item_type": "plan",
            "item_id": "p1",
            "entity_rev": 3,
            "published": True,
            "former_origin": None,
            "why": "asked",
        }
    ]
    assert (document["left"], document["already"], document["feed_changed"]) == ([1, 2], [], True)
    assert [row["action"] for row in document["records"]] == ["redact"]


def test_what_is_redacted_is_shown_as_such(run: Run, filled: Path) -> None:
    assert run("redact", "3", "--reason", "oops", "--yes").code == 0
    assert run("show", "plan", "p1").out.splitlines() == ["plan/p1  rev 3  seq 3", "redacted"]
    assert run("show", "plan", "p1", "--rev", "3").out.splitlines()[-1] == "redacted"
    document = run("show", "plan", "p1", "--json").document
    assert (document["entity_rev"], document["payload"]) == (3, None)
    assert "     3  redacted                  update  plan/p1 rev 3\n" in run("log").out
    (row,) = [row for row in run("ls", "plan", "--json").document["entities"] if row["item_id"] == "p1"]
    assert (row["entity_rev"], row["summary"]) == (3, None)
    answer = run("edit", "plan", "p1", "--set", "a=1", "--json")
    assert (answer.code, answer.error["class"]) == (2, "entity_redacted")
    assert run("put", "plan", "p1", "--set", "title=new").out == "plan/p1 updated (seq 6, rev 4)\n"
    assert run("show", "plan", "p1", "--rev", "1").code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["99", "--reason", "r", "--yes"], 2, "no record with seq 99"),
        (["1", "--reason", " ", "--yes"], 2, "a reason has 1 to 1000 characters"),
        (["--reason", "r"], 2, "missing argument"),
        (["1"], 2, "missing option '--reason'"),
        (["0", "--reason", "r"], 2, "invalid value"),
    ],
)
def test_what_makes_no_sense_is_refused(run: Run, filled: Path, arguments: list[str], code: int, message: str) -> None:
    answer = run("redact", *arguments)
    assert (answer.code, message in answer.err) == (code, True)
    assert files_with(filled, SECRET)


def test_the_audit_record_cannot_be_redacted(run: Run, filled: Path) -> None:
    assert run("redact", "2", "--reason", "oops", "--yes").code == 0
    answer = run("redact", "5", "--reason", "oops", "--yes")
    assert answer.code == 2
    assert "seq 5 is a record of the journal itself, which stays" in answer.err


def test_who_saw_it_under_a_former_identity_cannot_be_told_and_the_person_is(run: Run, filled: Path) -> None:
    """[I2]: nothing can be added to the feed of an identity that was left."""
    former = run("identity", "show", "--json").document["origin_store_id"]
    assert run("identity", "renew", "--yes").code == 0
    told = f"published under {former}, a former identity: who has it keeps it, tell them; seq 2"
    answer = run("redact", "2", "--reason", "oops")
    assert answer.out.splitlines() == ["     2  update plan/p1 rev 2, published", told]
    document = run("redact", "2", "4", "--reason", "oops", "--json").document
    assert [(row["published"], row["former_origin"]) for row in document["lines"]] == [(True, former), (False, None)]
    answer = run("redact", "2", "--reason", "oops", "--yes")
    assert told in answer.out.splitlines()
    assert "they read your next push" not in answer.out
