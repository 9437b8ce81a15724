"""put, edit and rm: what they write, what they say, what they refuse."""

from __future__ import annotations

import json
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest

from journal import Store
from tests.cli.answers import Program, Run


def payload_of(item_type: str, item_id: str) -> dict[str, Any]:
    return Store.open(".").get(item_type, item_id).payload


@pytest.fixture(autouse=True)
def _store(store: Path) -> None:
    """Every test here has a store."""


@pytest.fixture
def editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A script that EDITOR names; tests write what it does to the file it is given."""
    script = tmp_path / "editor with spaces.sh"
    monkeypatch.setenv("EDITOR", f"sh '{script}'")
    return script


# --- put -------------------------------------------------------------------------------------------------------------


def test_put_creates_and_then_updates(run: Run) -> None:
    assert run("put", "plan", "pln_1", "--set", "title=Ship it").out == "plan/pln_1 created (seq 1, rev 1)\n"
    assert run("put", "plan", "pln_1", "--set", "title=Shipped").out == "plan/pln_1 updated (seq 2, rev 2)\n"
    assert payload_of("plan", "pln_1") == {"title": "Shipped"}


def test_put_as_json(run: Run) -> None:
    written = run("put", "plan", "pln_1", "--set", "n=1", "--json")
    record = {"seq": 1, "action": "create", "item_type": "plan", "item_id": "pln_1", "entity_rev": 1}
    assert (written.code, written.document) == (0, {"records": [record], "left": []})
    assert written.err == ""


def test_put_reads_a_file_or_standard_input(run: Run) -> None:
    Path("in.json").write_text('{"title": "from a file"}', encoding="utf-8")
    assert run("put", "note", "n1", "--file", "in.json").code == 0
    assert run("put", "note", "n2", "--file", "-", stdin='{"title": "größer"}'.encode()).code == 0
    assert payload_of("note", "n1") == {"title": "from a file"}
    assert payload_of("note", "n2") == {"title": "größer"}


def test_quiet_put_says_nothing(run: Run) -> None:
    assert run("put", "note", "n1", "--set", "a=1", "-q") == (0, "", "")


def test_options_may_stand_before_the_command(run: Run) -> None:
    assert run("--json", "put", "note", "n1", "--set", "a=1").document["records"][0]["seq"] == 1


def test_put_takes_the_summary_given_or_the_title(run: Run) -> None:
    run("put", "note", "n1", "--set", "title=from the title")
    run("put", "note", "n2", "--set", "title=unused", "--summary", "given")
    run("put", "note", "n3", "--set", "a=1")
    assert [head.summary for head in Store.open(".").list()] == ["from the title", "given", None]


def test_private_stays_until_public(run: Run) -> None:
    def is_private() -> bool:
        (head,) = Store.open(".").list()
        return head.private

    run("put", "note", "n1", "--set", "a=1", "--private")
    assert is_private()
    run("put", "note", "n1", "--set", "a=2")
    assert is_private()
    run("put", "note", "n1", "--set", "a=3", "--public")
    assert not is_private()


def test_the_record_names_who_wrote_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run("put", "note", "n1", "--set", "a=1")
    monkeypatch.setenv("EVENTSYNC_AGENT", "claude-code")
    run("put", "note", "n2", "--set", "a=1")
    assert [record.agent for record in Store.open(".").log()] == ["cli", "claude-code"]


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["put", "note", "n1"], "--file or by --set"),
        (["put", "note", "n1", "--set", "a=1", "--file", "-"], "--file or by --set"),
        (["put", "note"], "missing argument 'ID'"),
        (["put", "note", "n1", "--set", "a"], "not KEY=VALUE"),
        (["put", "note", "n1", "--set", "a=1", "--set", "a.b=1"], "'a' is not an object"),
        (["put", "Note", "n1", "--set", "a=1"], "item type 'Note'"),
        (["put", "note", "../n1", "--set", "a=1"], "item id '../n1'"),
        (["put", "note", "n1", "--set", "a=\udcff"], "payload"),
        (["put", "note", "n1", "--set", "a=1", "--summary", "\udcff"], "not Unicode"),
        (["put", "note", "n1", "--set", "a=1e999"], "payload"),
        (
            ["put", "note", "n1", "--set", "a=" + "x" * 17_000_000],
            "payload of note/n1 has 17000008 bytes, the limit is 16777216",
        ),
        (["put", "note", "n1", "--file", "nowhere.json"], "nowhere.json: cannot be read"),
        (["put", "note", "n1", "--file", "."], ".: cannot be read"),
        (["put", "note", "n1", "--file", "a\0b"], "cannot be read"),
        (["put", "note", "n1", "--attach", "nowhere.log"], "nowhere.log: cannot be read"),
        (["put", "note", "n1", "--attach", "a\0b"], "cannot be read"),
        (["put", "note", "n1", "--attach", "/dev/null"], "/dev/null: is no regular file"),
        (["put", "note", "n1", "--attach", "a", "--attach", "b"], "one file is attached"),
        (["put", "note", "n1", "--attach", "a", "--set", "a=1", "--file", "-"], "--file or by --set"),
    ],
)
def test_what_put_cannot_write_is_a_usage_error(run: Run, arguments: list[str], what: str) -> None:
    answer = run(*arguments)
    assert answer.code == 2
    assert answer.err.startswith("eventsync: error: ")
    assert what in answer.err
    assert run("ls", "--json").document["entities"] == []


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b"{", b'{"a": NaN}', b'{"a": 1, "a": 2}', b"\xff", b'{"a": "\\ud800"}', b"{}" + b" " * 34_000_000],
)
def test_standard_input_is_read_as_strictly_as_the_journal_is(run: Run, text: bytes) -> None:
    answer = run("put", "note", "n1", "--file", "-", stdin=text)
    assert answer.code == 2
    assert "standard input" in answer.err


def test_an_id_that_differs_only_in_case_is_refused(run: Run) -> None:
    run("put", "note", "n1", "--set", "a=1")
    assert run("put", "note", "N1", "--set", "a=1").code == 2


# --- edit ------------------------------------------------------------------------------------------------------------


def test_edit_changes_the_keys_it_is_given(run: Run) -> None:
    run("put", "plan", "p", "--set", "title=old", "--set", "owner.name=ada")
    assert (
        run("edit", "plan", "p", "--set", "title=new", "--set", "owner.age=36").out == "plan/p updated (seq 2, rev 2)\n"
    )
    assert payload_of("plan", "p") == {"title": "new", "owner": {"name": "ada", "age": 36}}
    assert Store.open(".").list()[0].summary == "new"


@pytest.mark.parametrize("arguments", [["--set", "n=1"], []])
def test_an_edit_that_changes_nothing_writes_nothing(run: Run, arguments: list[str], editor: Path) -> None:
    editor.write_text("true", encoding="utf-8")
    run("put", "plan", "p", "--set", "n=1")
    assert run("edit", "plan", "p", *arguments).out == "plan/p is as it was, nothing was written\n"
    assert run("edit", "plan", "p", *arguments, "--json").document == {"records": [], "left": []}


def test_a_number_and_a_truth_value_are_not_the_same(run: Run) -> None:
    run("put", "plan", "p", "--set", "n=1")
    assert run("edit", "plan", "p", "--set", "n=true").out.startswith("plan/p updated")


@pytest.mark.parametrize("arguments", [["--set", "n=1"], []])
def test_editing_what_is_not_there_is_refused(run: Run, arguments: list[str], editor: Path) -> None:
    answer = run("edit", "plan", "p", *arguments, "--json")
    assert answer.code == 2
    assert answer.document == {"records": [], "left": []}
    assert answer.error["class"] == "no_such_entity"


def test_the_editor_gets_pretty_json_in_a_private_file(run: Run, editor: Path, tmp_path: Path) -> None:
    editor.write_text(
        f'cp -p "$1" "{tmp_path}/seen"; stat -c %a "$(dirname "$1")" > "{tmp_path}/mode"', encoding="utf-8"
    )
    run("put", "plan", "p", "--set", "title=größer")
    run("edit", "plan", "p")
    assert (tmp_path / "seen").read_text(encoding="utf-8") == '{\n  "title": "größer"\n}\n'
    assert (tmp_path / "mode").read_text().strip() == "700"


def test_what_the_editor_leaves_is_written_and_its_file_is_gone(run: Run, editor: Path, tmp_path: Path) -> None:
    editor.write_text(f'echo "{{\\"title\\": \\"by hand\\"}}" > "$1"; echo "$1" > "{tmp_path}/where"', encoding="utf-8")
    run("put", "plan", "p", "--set", "title=old")
    assert run("edit", "plan", "p").code == 0
    assert payload_of("plan", "p") == {"title": "by hand"}
    assert not Path((tmp_path / "where").read_text().strip()).parent.exists()


def test_what_the_editor_prints_does_not_spoil_the_document(program: Program, run: Run, editor: Path) -> None:
    run("put", "plan", "p", "--set", "n=1")
    editor.write_text("echo chatter", encoding="utf-8")
    answer = program("edit", "plan", "p", "--json")
    assert answer.document == {"records": [], "left": []}
    assert answer.err == "chatter\n"


def test_visual_goes_before_editor(run: Run, editor: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    editor.write_text("exit 1", encoding="utf-8")
    monkeypatch.setenv("VISUAL", "true")
    run("put", "plan", "p", "--set", "n=1")
    assert run("edit", "plan", "p").code == 0


@pytest.mark.parametrize("text", ['{"title": ', "", "[1]"])
def test_text_that_is_no_payload_is_kept_and_its_place_is_told(run: Run, editor: Path, text: str) -> None:
    editor.write_text(f"printf '%s' '{text}' > \"$1\"", encoding="utf-8")
    run("put", "plan", "p", "--set", "title=old")
    answer = run("edit", "plan", "p", "--json")
    kept = Path(answer.error["path"])
    assert answer.code == 2
    assert f"your text is kept in {kept}" in answer.error["hint"]
    assert kept.read_text(encoding="utf-8") == text
    assert payload_of("plan", "p") == {"title": "old"}
    shutil.rmtree(kept.parent)


def test_the_line_of_broken_json_is_told(run: Run, editor: Path) -> None:
    editor.write_text('printf \'{\\n "a": 1,\\n oops\\n}\' > "$1"', encoding="utf-8")
    run("put", "plan", "p", "--set", "n=1")
    error = run("edit", "plan", "p", "--json").error
    assert error["line"] == 3
    shutil.rmtree(Path(error["path"]).parent)


def test_an_edit_that_somebody_overtook_is_refused_and_kept(run: Run, editor: Path, tmp_path: Path) -> None:
    run("put", "plan", "p", "--set", "n=1")
    other = tmp_path / "other.py"
    other.write_text(
        "from journal import Store\nwith Store.open('.').mutate() as m:\n    m.put('plan', 'p', {'n': 2})\n",
        encoding="utf-8",
    )
    import sys

    root = Path(__file__).parents[2]
    editor.write_text(
        f"echo '{{\"n\": 3}}' > \"$1\"; PYTHONPATH='{root}' '{sys.executable}' '{other}'", encoding="utf-8"
    )
    answer = run("edit", "plan", "p", "--json")
    assert (answer.code, answer.error["class"]) == (22, "changed_meanwhile")
    assert payload_of("plan", "p") == {"n": 2}
    kept = Path(answer.error["hint"].rsplit(" ", 1)[1])
    assert json.loads(kept.read_text(encoding="utf-8")) == {"n": 3}
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    shutil.rmtree(kept.parent)


@pytest.mark.parametrize("command", ["exit 3", 'rm -r "$(dirname "$1")"'])
def test_an_editor_that_fails_writes_nothing(run: Run, editor: Path, command: str) -> None:
    editor.write_text(command, encoding="utf-8")
    run("put", "plan", "p", "--set", "n=1")
    answer = run("edit", "plan", "p", "--json")
    assert (answer.code, answer.error["class"]) == (2, "editor_failed")
    assert payload_of("plan", "p") == {"n": 1}


@pytest.mark.parametrize("editor_command", ["no-such-editor", "'", None])
def test_without_an_editor_the_error_says_what_to_do(
    run: Run, monkeypatch: pytest.MonkeyPatch, editor_command: str | None
) -> None:
    if editor_command:
        monkeypatch.setenv("EDITOR", editor_command)
    run("put", "plan", "p", "--set", "n=1")
    answer = run("edit", "plan", "p")
    assert answer.code == 2
    assert "set EDITOR" in answer.err


# --- rm --------------------------------------------------------------------------------------------------------------


def test_rm_leaves_a_tombstone_and_the_history(run: Run) -> None:
    run("put", "plan", "p", "--set", "title=old")
    assert run("rm", "plan", "p").out == "plan/p deleted (seq 2, rev 2)\n"
    assert run("show", "plan", "p").code == 2
    assert run("show", "plan", "p", "--rev", "1", "--json").document["payload"] == {"title": "old"}


def test_rm_as_json(run: Run) -> None:
    run("put", "plan", "p", "--set", "n=1")
    record = {"seq": 2, "action": "delete", "item_type": "plan", "item_id": "p", "entity_rev": 2}
    assert run("rm", "plan", "p", "--json").document == {"records": [record], "left": []}


def test_rm_of_what_is_not_there_is_refused(run: Run) -> None:
    answer = run("rm", "plan", "p")
    assert answer.code == 2
    assert "no entity plan/p" in answer.err
    assert "eventsync ls" in answer.err


def test_edit_makes_an_entity_private_or_public_and_leaves_its_payload(run: Run, store: Path) -> None:
    run("put", "plan", "p", "--set", "a=1", "--summary", "Mine")
    assert run("edit", "plan", "p", "--private").out == "plan/p updated (seq 2, rev 2)\n"
    assert run("edit", "plan", "p", "--private").out == "plan/p is as it was, nothing was written\n"
    (entity,) = run("ls", "--json").document["entities"]
    assert (entity["entity_rev"], entity["summary"]) == (2, "Mine")
    assert run("publish", "--json").document["withheld"] == {"plan": 2}
    assert run("edit", "plan", "p", "--public", "--set", "a=2").code == 0
    assert run("show", "plan", "p", "--json").document["payload"] == {"a": 2}
    assert run("publish", "--json").document["published"] == 1


def test_edit_with_set_alone_leaves_an_entity_private(run: Run, store: Path) -> None:
    run("put", "plan", "p", "--set", "a=1", "--private")
    run("edit", "plan", "p", "--set", "a=2")
    assert run("publish", "--json").document["withheld"] == {"plan": 2}
