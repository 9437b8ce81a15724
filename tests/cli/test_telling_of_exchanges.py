"""What is told of pushes and pulls that did not go well: where, once, and as an error only when it is one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cli.answers import Run


@pytest.fixture
def other(run: Run, store: Path, tmp_path: Path) -> Path:
    """The folder of another store that has published one plan."""
    folder = tmp_path / "other"
    assert run("init", str(folder)).code == 0
    assert run("put", "plan", "pln_1", "--set", "a=1", "--store", str(folder)).code == 0
    assert run("publish", "--store", str(folder)).code == 0
    return folder


def test_a_path_that_is_not_there_is_named_once(run: Run, store: Path, tmp_path: Path) -> None:
    answer = run("pull", str(tmp_path / "nowhere"))
    assert answer.code == 75
    assert answer.err.count(str(tmp_path / "nowhere")) == 1


def test_a_push_to_a_place_that_is_only_read_is_an_error_when_the_place_was_named(run: Run, other: Path) -> None:
    run("put", "plan", "pln_2", "--set", "a=1")
    run("remote", "add", "other", str(other))
    unnamed = run("sync")
    assert (unnamed.code, unnamed.err) == (0, "")
    named = run("push", "other", "-q")
    assert (named.code, named.out) == (2, "")
    assert "is a store, not a bus" in named.err


def test_an_older_feed_is_a_warning(run: Run, other: Path, tmp_path: Path) -> None:
    shutil.copytree(other / ".eventsync" / "feed", tmp_path / "older")
    run("put", "plan", "pln_1", "--set", "a=2", "--store", str(other))
    run("publish", "--store", str(other))
    run("pull", str(other))
    answer = run("pull", str(tmp_path / "older"))
    assert answer.code == 0
    assert answer.err.startswith("eventsync: warning: ")
    assert run("pull", "-q", str(tmp_path / "older")) == (0, "", "")


def test_a_pull_that_works_does_not_hide_a_push_that_fails(run: Run, other: Path, tmp_path: Path) -> None:
    bus = tmp_path / "bus"
    run("put", "plan", "pln_2", "--set", "a=1")
    run("remote", "add", "bus", str(bus))
    assert run("sync").code == 0
    origin = run("identity", "show", "--json").document["origin_store_id"]
    (bus / origin / "head.json").write_text("{}")  # not ours: a push must not go over it
    assert run("sync").code == 3
    (row,) = run("status", "--json").document["remotes"]
    assert row["last_success_at"] == row["last_try_at"]
    assert "head there cannot be believed" in row["last_error"]


def test_a_remote_that_can_only_be_read_has_no_error(run: Run, other: Path) -> None:
    run("put", "plan", "pln_2", "--set", "a=1")
    run("remote", "add", "other", str(other))
    run("sync")
    (row,) = run("status", "--json").document["remotes"]
    assert row["last_error"] is None


def test_a_possible_secret_is_named_by_its_seq_and_not_shown(run: Run, store: Path) -> None:
    secret = "AKIA" + "ABCDEFGHIJKLMNOP"
    run("put", "plan", "pln_1", "--set", "a=1")
    run("put", "plan", "pln_2", "--set", f"key={secret}")
    answer = run("publish")
    assert (answer.code, answer.out) == (22, "")
    assert "the record with seq 2 (plan/pln_2, payload.key) looks as if it held an AWS access key" in answer.err
    assert secret not in answer.err


def test_a_pull_ends_with_what_is_open_and_where_it_is_seen(run: Run, other: Path) -> None:
    last = "1 candidate open; `eventsync inbox` shows them"
    assert run("pull", str(other)).out.splitlines()[-1] == last
    assert run("pull", str(other)).out.splitlines()[-1] == last
    assert run("pull", str(other), "-q").out == ""
    assert "origins" in run("pull", str(other), "--json").document["remotes"][0]
    run("accept", "--all")
    assert "candidate" not in run("pull", str(other)).out


def test_a_publish_that_only_tells_how_far_others_were_read_says_so(run: Run, other: Path) -> None:
    assert run("publish").out == "nothing to publish yet\n"
    run("pull", str(other))
    assert run("publish").out == "nothing new but how far others were read (gen 1)\n"
    assert run("publish").out == "nothing new to publish (seq 0)\n"


def test_explain_names_the_record_that_would_stop_the_publish(run: Run, store: Path) -> None:
    secret = "AKIA" + "ABCDEFGHIJKLMNOP"
    run("put", "plan", "pln_1", "--set", f"key={secret}")
    run("put", "session", "ses_1", "--set", f"key={secret}")  # it does not go out
    run("put", "plan", "pln_2", "--set", "a=1")
    answer = run("publish", "--explain")
    assert answer.code == 0
    assert answer.out.splitlines() == [
        "would stop at a possible secret; with --yes it would publish 2 records and withhold 1",
        "  publish 2 records of plan (pln_1, pln_2)",
        "  withhold 1 record of session: type is not in [publish].types (ses_1)",
        "  the record with seq 1 (plan/pln_1, payload.key) looks as if it held an AWS access key",
    ]
    assert run("publish", "--explain", "-v").out.splitlines()[1:4] == [
        "  seq 1  plan/pln_1  goes out",
        "  seq 2  session/ses_1  type is not in [publish].types",
        "  seq 3  plan/pln_2  goes out",
    ]
    document = run("publish", "--explain", "--json").document
    assert [(found["seq"], found["reason"]) for found in document["explain"]] == [
        (1, "secret"),
        (2, "type"),
        (3, None),
    ]
    (finding,) = document["findings"]
    assert finding == {
        "seq": 1,
        "item_type": "plan",
        "item_id": "pln_1",
        "what": "an AWS access key",
        "place": "payload.key",
        "kind": "secret",
    }
    assert document["withheld"] == {"session": 1}
