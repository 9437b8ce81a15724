"""How a conflict is shown, merged and edited at the command line; what was looked at is what is accepted."""

from __future__ import annotations

import json
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.cli.answers import Answer, Program, Run


class Conflict:
    """plan/p here and in another store, both made from one version."""

    def __init__(self, run: Run, tmp_path: Path, **base: Any) -> None:
        self._run = run
        self._there = tmp_path / "there"
        self._put(base)
        assert run("publish").code == 0
        assert run("init", str(self._there), "--name", "there").code == 0
        assert run("pull", ".", "--store", str(self._there)).code == 0
        assert run("accept", "--all", "--store", str(self._there)).code == 0

    def _put(self, payload: Mapping[str, Any], store: Path | None = None) -> None:
        words = () if store is None else ("--store", str(store))
        answer = self._run("put", "plan", "p", "--file", "-", *words, stdin=json.dumps(payload).encode())
        assert answer.code == 0, answer

    def here(self, **payload: Any) -> None:
        self._put(payload)

    def there(self, **payload: Any) -> None:
        """Written there, and pulled."""
        self._put(payload, self._there)
        assert self._run("publish", "--store", str(self._there)).code == 0
        assert self._run("pull", str(self._there)).code == 0

    def rm_there(self) -> None:
        assert self._run("rm", "plan", "p", "--store", str(self._there)).code == 0
        assert self._run("publish", "--store", str(self._there)).code == 0
        assert self._run("pull", str(self._there)).code == 0

    @property
    def candidate(self) -> Any:
        (found,) = self._run("inbox", "--json").document["candidates"]
        return found

    @property
    def payload(self) -> Any:
        return self._run("show", "plan", "p", "--json").document["payload"]

    @property
    def records(self) -> int:
        return len(self._run("log", "--json").document["records"])


@pytest.fixture
def title_and_status(run: Run, store: Path, tmp_path: Path) -> Conflict:
    """Each side changed another key."""
    conflict = Conflict(run, tmp_path, title="One", status="open")
    conflict.here(title="Two", status="open")
    conflict.there(title="One", status="done")
    return conflict


@pytest.fixture
def two_titles(run: Run, store: Path, tmp_path: Path) -> Conflict:
    """Both sides changed the title."""
    conflict = Conflict(run, tmp_path, title="One", n=1)
    conflict.here(title="Two", n=1)
    conflict.there(title="Three", n=2)
    return conflict


# --- diff ------------------------------------------------------------------------------------------------------------


def test_a_conflict_is_shown_place_by_place_against_its_base(run: Run, title_and_status: Conflict) -> None:
    candidate = title_and_status.candidate
    first, whence, *rest = run("diff", candidate["id"]).out.splitlines()
    assert first == f"{candidate['id']}  conflict  plan/p"
    assert whence.startswith("from there (es1") and whence.endswith(f"seq 2, digest {candidate['digest'][:12]}")
    assert rest == [
        "both build on seq 1 (rev 1) here",
        "title  changed here",
        '  base    "One"',
        '  local   "Two"',
        "status  changed there",
        '  base    "open"',
        '  foreign "done"',
        f"`eventsync accept {candidate['id']} --merge` takes what only one side changed",
    ]


def test_nested_values_lists_and_long_texts_are_told_by_what_differs(run: Run, store: Path, tmp_path: Path) -> None:
    long = {str(n): f"value number {n}" for n in range(9)}
    steps = [{"id": "a", "done": False}, {"id": "b", "done": False}]
    base = {"owner": {"name": "ada"}, "steps": steps, "tags": ["x"], "text": "one\ntwo\nthree", "long": [long]}
    conflict = Conflict(run, tmp_path, **base)
    conflict.here(
        **{**base, "owner": {"name": "eve"}, "tags": ["x", "here"], "text": "one\n2\nthree", "steps": steps[::-1]}
    )
    conflict.there(
        **{
            **base,
            "owner": {"name": "bob"},
            "tags": ["x", "there"],
            "steps": [{"id": "a", "done": True}, steps[1]],
            "long": [{**long, "4": "other"}],
        }
    )
    lines = run("diff", conflict.candidate["id"]).out.splitlines()[3:]
    assert lines == [
        "owner.name  changed on both sides: undecided",
        '  base    "ada"',
        '  local   "eve"',
        '  foreign "bob"',
        "steps (order)  changed here",
        '  base    ["a", "b"]',
        '  local   ["b", "a"]',
        "steps[a].done  changed there",
        "  base    false",
        "  foreign true",
        "tags  changed on both sides, and goes together",
        '  base    ["x"]',
        '  local   ["x", "here"]',
        '  foreign ["x", "there"]',
        "text  changed here",
        "  local",
        "    @@ -1,3 +1,3 @@",
        "     one",
        "    -two",
        "    +2",
        "     three",
        "long  changed there",
        "  foreign",
        "    @@ -5,5 +5,5 @@",
        '         "2": "value number 2",',
        '         "3": "value number 3",',
        '    -    "4": "value number 4",',
        '    +    "4": "other",',
        '         "5": "value number 5",',
        '         "6": "value number 6",',
        f"1 place undecided: `eventsync accept {conflict.candidate['id']} --edit` lets you decide, "
        "--theirs takes all of theirs",
    ]


def test_what_was_put_in_and_taken_out_is_told_as_that(run: Run, store: Path, tmp_path: Path) -> None:
    conflict = Conflict(run, tmp_path, a=1, b=1, c=1)
    conflict.here(b=1, c=1, d=1, e=1)
    conflict.there(a=1, b=1, e=1)
    lines = run("diff", conflict.candidate["id"]).out.splitlines()[3:-1]
    assert [line for line in lines if not line.startswith(" ")] == [
        "c  removed there",
        "d  added here",
        "e  added on both sides alike",
        "a  removed here",
    ]
    assert lines[:3] == ["c  removed there", "  base    1", "  foreign (nothing)"]


def test_two_that_were_made_apart_have_no_base_and_it_is_said(run: Run, store: Path, tmp_path: Path) -> None:
    there = ("--store", str(tmp_path / "there"))
    run("init", str(tmp_path / "there"), "--name", "there")
    run("put", "plan", "p", "--set", "n=1", *there)
    run("publish", *there)
    run("put", "plan", "p", "--set", "n=2")
    run("pull", str(tmp_path / "there"))
    (found,) = run("inbox", "--json").document["candidates"]
    lines = run("diff", found["id"]).out.splitlines()[2:]
    assert lines[0] == "no version that both build on: neither side has seen a version of the other"
    assert lines[1:4] == ["n  added on both sides: undecided", "  local   2", "  foreign 1"]
    document = run("diff", found["id"], "--json").document
    assert (document["base"], document["no_base"]) == (None, "neither side has seen a version of the other")
    assert (document["merged"], document["changes"]) == (None, [{"path": "n", "change": "undecided"}])


def test_a_deletion_against_a_change_says_who_deleted(run: Run, store: Path, tmp_path: Path) -> None:
    conflict = Conflict(run, tmp_path, n=1)
    conflict.here(n=2)
    conflict.rm_there()
    lines = run("diff", conflict.candidate["id"]).out.splitlines()
    assert "deleted there" in lines and '-  "n": 2' in lines
    document = run("diff", conflict.candidate["id"], "--json").document
    assert document["foreign"]["deleted"] is True
    assert document["changes"] == [{"path": "", "change": "undecided"}]


def test_a_diff_is_coloured_on_a_terminal_and_nowhere_else(terminal: Program, run: Run, two_titles: Conflict) -> None:
    name = two_titles.candidate["id"]
    coloured = terminal("diff", name).out
    assert "\x1b[1;31mtitle  changed on both sides: undecided\x1b[0m\n" in coloured
    assert "\x1b[32mn  changed there\x1b[0m\n" in coloured
    plain = run("diff", name).out
    assert "\x1b" not in plain
    assert terminal("diff", name, env={"NO_COLOR": "1"}).out == plain


def test_json_has_all_three_and_what_they_come_to(run: Run, title_and_status: Conflict) -> None:
    document = run("diff", title_and_status.candidate["id"], "--json").document
    assert document["base"]["payload"] == {"title": "One", "status": "open"}
    assert document["local"]["payload"] == {"title": "Two", "status": "open"}
    assert document["foreign"]["payload"] == {"title": "One", "status": "done"}
    assert document["merged"] == {"title": "Two", "status": "done"}
    assert document["changes"] == [{"path": "title", "change": "local"}, {"path": "status", "change": "foreign"}]
    assert document["base"]["origin_store_id"] == run("identity", "show", "--json").document["origin_store_id"]


def test_foreign_keys_and_values_cannot_reach_the_terminal_raw(run: Run, store: Path, tmp_path: Path) -> None:
    conflict = Conflict(run, tmp_path, n=1)
    conflict.here(n=2)
    conflict.there(n=1, **{"\x1b]0;x\x07key": "\x1b[2Jclear\n\u202eline"})
    answer = run("diff", conflict.candidate["id"])
    assert not set(answer.out) & {"\x1b", "\x07", "\u202e"}
    conflict.here(n=2, **{"\x1b]0;x\x07key": "mine"})
    answer = run("accept", conflict.candidate["id"], "--merge")
    assert (answer.code, set(answer.err) & {"\x1b", "\x07"}) == (22, set())


# --- merge -----------------------------------------------------------------------------------------------------------


def test_merge_takes_what_only_one_side_changed(run: Run, title_and_status: Conflict) -> None:
    answer = run("accept", title_and_status.candidate["id"], "--merge")
    assert (answer.code, answer.out) == (0, "plan/p accepted (seq 3, rev 3)\n")
    assert title_and_status.payload == {"title": "Two", "status": "done"}
    assert run("inbox").out == "inbox is empty\n"
    assert run("show", "plan", "p", "--rev", "2", "--json").document["payload"] == {"title": "Two", "status": "open"}


def test_a_merge_that_stops_names_the_places_and_writes_nothing(run: Run, two_titles: Conflict) -> None:
    before = two_titles.records
    answer = run("accept", two_titles.candidate["id"], "--merge", "--json")
    assert (answer.code, answer.error["class"], answer.document["records"]) == (22, "conflict_undecided", [])
    assert answer.error["message"].endswith("(plan/p): conflict: changed on both sides: title")
    assert two_titles.records == before
    answer = run("accept", "--all", "--merge")
    assert answer.code == 22
    assert "conflict: changed on both sides: title\n" in answer.out


@pytest.mark.parametrize(
    "words",
    [
        ["cnd_1", "--merge", "--theirs"],
        ["cnd_1", "--edit", "--merge"],
        ["--all", "--edit"],
        ["cnd_1", "cnd_2", "--edit"],
        ["cnd_1", "cnd_2", "--digest", "0" * 12],
        ["--all", "--digest", "0" * 12],
        ["cnd_1", "--digest", "123"],
        ["cnd_1", "--digest", "g" * 12],
    ],
)
def test_what_does_not_go_together_is_a_usage_error(run: Run, store: Path, words: list[str]) -> None:
    answer = run("accept", *words, "--json")
    assert (answer.code, answer.error["class"]) == (2, "usage")


# --- digest ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", [["accept", "--merge"], ["accept", "--theirs"], ["accept", "--edit"], ["reject"]])
def test_another_record_than_the_one_looked_at_is_not_decided(
    run: Run, title_and_status: Conflict, monkeypatch: pytest.MonkeyPatch, verb: list[str]
) -> None:
    monkeypatch.setenv("EDITOR", "true")
    seen = title_and_status.candidate
    title_and_status.there(title="One", status="done", more=1)
    before = title_and_status.records
    answer = run(verb[0], seen["id"], *verb[1:], "--digest", seen["digest"], "--json")
    assert (answer.code, answer.error["class"]) == (22, "candidate_moved")
    assert title_and_status.records == before
    assert run(verb[0], seen["id"], *verb[1:], "--digest", title_and_status.candidate["digest"][:12]).code == 0
    assert title_and_status.records == before + 1


# --- edit ------------------------------------------------------------------------------------------------------------


class Editor:
    """A program that stands for a person: it keeps what it was shown, and does to it what a test says."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        path = folder / "editor"
        path.write_text(
            f'#!/bin/sh\ncp "$1" "{folder}/shown"\n[ ! -e "{folder}/after" ] || cp "{folder}/after" "$1"\n'
            f'[ ! -e "{folder}/script" ] || sh "{folder}/script"\n'
        )
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("EDITOR", str(path))

    @property
    def shown(self) -> Any:
        return json.loads((self._folder / "shown").read_text())

    def types(self, text: str) -> None:
        (self._folder / "after").write_text(text)

    def meanwhile(self, script: str) -> None:
        (self._folder / "script").write_text(script)


@pytest.fixture
def editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Editor:
    return Editor(tmp_path, monkeypatch)


MARK = {"<<< undecided >>>": "put one value in the place of this object, or take it out"}


def test_the_editor_gets_the_merge_with_undecided_places_marked(run: Run, two_titles: Conflict, editor: Editor) -> None:
    editor.types('{"title": "Two and three", "n": 2}')
    answer = run("accept", two_titles.candidate["id"], "--edit")
    assert (answer.code, answer.out) == (0, "plan/p accepted (seq 3, rev 3)\n")
    assert editor.shown == {"title": {**MARK, "base": "One", "local": "Two", "foreign": "Three"}, "n": 2}
    assert two_titles.payload == {"title": "Two and three", "n": 2}
    assert run("inbox").out == "inbox is empty\n"


def kept(answer: Answer) -> Path:
    """Where the text of a failed edit is kept."""
    return Path(answer.error["hint"].rsplit("your text is kept in ", 1)[1])


def test_what_is_left_undecided_is_refused_and_the_text_is_kept(run: Run, two_titles: Conflict, editor: Editor) -> None:
    before = two_titles.records
    answer = run("accept", two_titles.candidate["id"], "--edit", "--json")
    assert (answer.code, answer.error["class"]) == (22, "conflict_undecided")
    assert answer.error["message"].endswith("still undecided: title")
    editor.types(json.dumps({"a": 1, "l": [{"x": MARK}], "title": MARK}))
    answer = run("accept", two_titles.candidate["id"], "--edit", "--json")
    assert answer.error["message"].endswith("still undecided: l[0].x, title")
    assert json.loads(kept(answer).read_text())["a"] == 1
    assert two_titles.records == before


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 1, "a": 2}'])
def test_what_is_no_payload_is_refused_and_kept(run: Run, two_titles: Conflict, editor: Editor, text: str) -> None:
    before = two_titles.records
    editor.types(text)
    answer = run("accept", two_titles.candidate["id"], "--edit", "--json")
    assert (answer.code, answer.error["class"]) == (2, "invalid_input")
    assert kept(answer).read_text() == text
    assert two_titles.records == before


def test_an_editor_that_gives_up_leaves_everything(run: Run, two_titles: Conflict, editor: Editor) -> None:
    before = two_titles.records
    editor.meanwhile("exit 1")
    answer = run("accept", two_titles.candidate["id"], "--edit", "--json")
    assert (answer.code, answer.error["class"], two_titles.records) == (2, "editor_failed", before)


def test_without_an_editor_nothing_is_accepted(run: Run, two_titles: Conflict) -> None:
    answer = run("accept", two_titles.candidate["id"], "--edit", "--json")
    assert (answer.code, answer.error["class"]) == (2, "editor_failed")


def test_what_changes_here_while_it_is_edited_is_not_written_over(
    run: Run, program: Program, two_titles: Conflict, editor: Editor
) -> None:
    import sys

    editor.types('{"title": "Two and three"}')
    editor.meanwhile(f"PYTHONPATH={':'.join(sys.path)} {sys.executable} -m eventsync put plan p --set n=9 -q")
    answer = run("accept", two_titles.candidate["id"], "--edit", "--json")
    assert (answer.code, answer.error["class"]) == (22, "candidate_moved")
    assert json.loads(kept(answer).read_text()) == {"title": "Two and three"}
    assert two_titles.payload == {"n": 9}


def test_a_merge_that_is_decided_is_taken_as_it_is_when_nobody_changes_it(
    run: Run, title_and_status: Conflict, editor: Editor
) -> None:
    assert run("accept", title_and_status.candidate["id"], "--edit").code == 0
    assert editor.shown == title_and_status.payload == {"title": "Two", "status": "done"}


def test_two_that_were_made_apart_can_be_put_together_by_hand(
    run: Run, store: Path, tmp_path: Path, editor: Editor
) -> None:
    there = ("--store", str(tmp_path / "there"))
    run("init", str(tmp_path / "there"))
    run("put", "plan", "p", "--set", "n=1", "--set", "same=1", "--set", "there=1", *there)
    run("publish", *there)
    run("put", "plan", "p", "--set", "n=2", "--set", "same=1")
    run("pull", str(tmp_path / "there"))
    (found,) = run("inbox", "--json").document["candidates"]
    editor.types('{"n": 3}')
    assert run("accept", found["id"], "--edit").code == 0
    assert editor.shown == {"n": {**MARK, "local": 2, "foreign": 1}, "same": 1, "there": 1}


def test_a_deletion_there_is_marked_at_the_top_until_somebody_decides_to_keep(
    run: Run, store: Path, tmp_path: Path, editor: Editor
) -> None:
    conflict = Conflict(run, tmp_path, n=1)
    conflict.here(n=2)
    conflict.rm_there()
    answer = run("accept", conflict.candidate["id"], "--edit", "--json")
    assert (answer.code, answer.error["message"].rsplit(": ", 1)[1]) == (22, "all of it")
    assert [*editor.shown] == ["<<< undecided >>>", "n"]
    editor.types('{"n": 2}')
    assert run("accept", conflict.candidate["id"], "--edit").code == 0
    assert (conflict.payload, run("inbox").out) == ({"n": 2}, "inbox is empty\n")


def test_what_is_shown_in_the_editor_hides_nothing(run: Run, store: Path, tmp_path: Path, editor: Editor) -> None:
    """Escapes of JSON stand for what nobody can see; the payload is the same."""
    conflict = Conflict(run, tmp_path, n=1)
    conflict.here(n=2)
    conflict.there(n=1, text="a\u202eb\u200bc\x9b")
    assert run("accept", conflict.candidate["id"], "--edit").code == 0
    assert "\\u202eb\\u200bc\\u009b" in (tmp_path / "shown").read_text()
    assert conflict.payload == {"n": 2, "text": "a\u202eb\u200bc\x9b"}


def test_a_candidate_whose_name_no_journal_can_hold_opens_no_editor(
    run: Run, store: Path, tmp_path: Path, editor: Editor
) -> None:
    """[J10] Its name would be that of a file."""
    from tests.integration.forger import Forger

    forger = Forger()
    forger.record("../../p")
    forger.feed().put_into(tmp_path / "bus")
    assert run("pull", str(tmp_path / "bus")).code == 0
    (found,) = run("inbox", "--json").document["candidates"]
    answer = run("accept", found["id"], "--edit", "--json")
    assert (answer.code, answer.error["rule"]) == (2, "J10")
    assert not (tmp_path / "shown").exists()


# --- undo ------------------------------------------------------------------------------------------------------------


def test_undo_brings_entity_and_candidate_back_and_undone_it_is_as_before(run: Run, title_and_status: Conflict) -> None:
    run("accept", title_and_status.candidate["id"], "--theirs")
    answer = run("inbox", "undo")
    assert (answer.code, answer.out) == (0, "plan/p put back (seq 4, rev 4)\nplan/p open again (seq 5)\n")
    assert title_and_status.payload == {"title": "Two", "status": "open"}
    assert title_and_status.candidate["verdict"] == "conflict"
    again = run("inbox", "undo", "--json").document
    assert [record["action"] for record in again["records"]] == ["accept"]
    assert title_and_status.payload == {"title": "One", "status": "done"}
    assert run("inbox").out == "inbox is empty\n"


def test_the_values_that_lost_stay_in_the_history(run: Run, title_and_status: Conflict) -> None:
    run("accept", title_and_status.candidate["id"], "--theirs")
    run("inbox", "undo")
    records = run("log", "--entity", "plan/p", "--json").document["records"]
    assert [(record["action"], record["entity_rev"]) for record in records] == [
        ("create", 1),
        ("update", 2),
        ("accept", 3),
        ("rollback", 4),
        ("reopen", None),
    ]
    shown = [run("show", "plan", "p", "--rev", str(rev), "--json").document["payload"] for rev in (2, 3, 4)]
    assert shown == [{"title": t, "status": s} for t, s in (("Two", "open"), ("One", "done"), ("Two", "open"))]


def test_undo_stops_where_somebody_went_on(run: Run, title_and_status: Conflict) -> None:
    run("accept", title_and_status.candidate["id"], "--merge")
    title_and_status.here(title="Later")
    answer = run("inbox", "undo", "--json")
    assert (answer.code, answer.error["class"], answer.document["records"]) == (22, "undo_stopped", [])
    assert answer.error["message"] == "plan/p was changed since, by seq 4"


def test_there_may_be_nothing_to_undo(run: Run, store: Path) -> None:
    assert run("inbox", "undo") == (0, "nothing was decided yet\n", "")
    assert run("inbox", "undo", "--json").document == {"records": [], "left": []}


def test_a_mistyped_verb_of_the_inbox_gets_a_suggestion(run: Run, store: Path) -> None:
    answer = run("inbox", "undoo", "--json")
    assert (answer.code, answer.error["hint"]) == (2, "did you mean undo?")


# --- snooze, and the inbox as it was ---------------------------------------------------------------------------------


def test_a_snoozed_candidate_is_out_of_sight_and_counted(run: Run, title_and_status: Conflict) -> None:
    name = title_and_status.candidate["id"]
    assert run("snooze", name, "--for", "3d").out == "plan/p snoozed (seq 3)\n"
    assert run("inbox").out == "inbox is empty\n1 snoozed: `eventsync inbox --all` shows them\n"
    assert "  conflict (snoozed until 2" in run("inbox", "--all").out
    document = run("inbox", "--json").document
    assert (document["candidates"], document["snoozed"]) == ([], 1)
    (row,) = run("inbox", "--all", "--json").document["candidates"]
    assert (row["snoozed"], row["verdict"], row["snoozed_until"][-1]) == (True, "conflict", "Z")
    answer = run("accept", "--all", "--merge", "--json")
    assert (answer.code, answer.document["records"], answer.document["snoozed"]) == (0, [], 1)
    assert run("status", "--json").document["pending"] == 1
    assert run("accept", name, "--merge").code == 0


@pytest.mark.parametrize(
    "words", [["--until", "2020-01-01"], ["--until", "soon"], ["--for", "3"], ["--for", "3d", "--until", "2099-01-01"]]
)
def test_a_snooze_needs_a_time_to_come(run: Run, title_and_status: Conflict, words: list[str]) -> None:
    before = title_and_status.records
    answer = run("snooze", title_and_status.candidate["id"], *words, "--json")
    assert (answer.code, answer.error["class"], title_and_status.records) == (2, "usage", before)


def test_the_inbox_is_shown_as_it_was(run: Run, title_and_status: Conflict) -> None:
    run("accept", title_and_status.candidate["id"], "--merge")
    assert run("inbox").out == "inbox is empty\n"
    assert "  conflict  plan/p" in run("inbox", "--at", "2").out
    assert "  update   plan/p" in run("inbox", "--at", "1").out
    (row,) = run("inbox", "--at", "0", "--json").document["candidates"]
    assert (row["verdict"], row["payload"]) == ("new", {"title": "One", "status": "done"})
    assert run("inbox", "--at", "3").out == "inbox is empty\n"
    answer = run("inbox", "--at", "9", "--json")
    assert (answer.code, answer.error["class"], answer.document["candidates"]) == (2, "no_such_record", [])
