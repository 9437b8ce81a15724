"""init, rebuild, verify and identity: the store as a whole."""

from __future__ import annotations

import json
import shutil
import stat
from pathlib import Path

import pytest

from journal import ORIGIN, Store
from tests.cli.answers import Run

# --- init ------------------------------------------------------------------------------------------------------------


def test_init_makes_a_store_here(run: Run) -> None:
    answer = run("init")
    origin = Store.open(".").origin
    assert (answer.code, answer.out) == (0, f"store {origin} made in {Path('.eventsync').absolute()}\n")
    assert stat.S_IMODE(Path(".eventsync").stat().st_mode) == 0o700


def test_init_as_json(run: Run) -> None:
    document = run("init", "notes", "--name", "laptop", "--json").document
    assert ORIGIN.fullmatch(document.pop("origin_store_id"))
    path = str(Path("notes/.eventsync").absolute())
    assert document == {"name": "laptop", "path": path, "adopted": None, "left": []}


def test_a_store_is_named_after_its_folder(run: Run) -> None:
    run("init", "deep/er")
    assert Store.open("deep/er").name == "er"


def test_init_may_be_given_the_store_folder_itself(run: Run) -> None:
    assert run("init", "notes/.eventsync").code == 0
    assert Path("notes/.eventsync/store.json").is_file()


@pytest.mark.parametrize("way", ["option", "environment"])
def test_init_without_a_folder_makes_the_store_that_is_meant(
    run: Run, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    if way == "environment":
        monkeypatch.setenv("EVENTSYNC_STORE", "meant")
    assert run("init", *(["--store", "meant"] if way == "option" else [])).code == 0
    assert Path("meant/.eventsync").is_dir()


def test_init_never_touches_a_store_that_is_there(run: Run, store: Path) -> None:
    before = (store / "store.json").read_bytes()
    answer = run("init", "--json")
    assert (answer.code, answer.error["class"]) == (2, "store_exists")
    assert answer.document == {"origin_store_id": None, "name": None, "path": None, "adopted": None, "left": []}
    assert (store / "store.json").read_bytes() == before


@pytest.mark.parametrize("track", [True, False])
def test_git_tracks_entities_only_when_asked(run: Run, track: bool) -> None:
    run("init", *(["--track"] if track else []))
    assert ("!entities/" in Path(".eventsync/.gitignore").read_text()) == track


@pytest.mark.parametrize("name", ["", "  ", "x" * 101, "a\x1bb", "a\nb", "\udcff"])
def test_a_name_that_cannot_be_shown_is_refused(run: Run, name: str) -> None:
    assert run("init", "--name", name).code == 2
    assert not Path(".eventsync").exists()


def test_a_folder_with_a_name_of_any_bytes_can_have_a_store(run: Run) -> None:
    folder = Path("caf\udce9\x1b")
    folder.mkdir()
    answer = run("init", str(folder))
    assert answer.code == 0
    assert "\x1b" not in answer.out
    assert Store.open(folder).name == "caf\\udce9\\x1b"


# --- finding a store -------------------------------------------------------------------------------------------------


def test_a_store_is_found_from_below_it(run: Run, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("a/b").mkdir(parents=True)
    monkeypatch.chdir("a/b")
    assert run("ls").code == 0


@pytest.mark.parametrize("place", [".", ".eventsync"])
def test_a_store_can_be_named(run: Run, store: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    run("put", "note", "n", "--set", "n=1")
    named = str(Path(place).absolute())
    monkeypatch.chdir("/")
    assert run("ls").code == 10
    assert "note" in run("ls", "--store", named).out
    assert "note" in run("--store", named, "ls").out
    monkeypatch.setenv("EVENTSYNC_STORE", named)
    assert "note" in run("ls").out
    assert run("ls", "--store", "/nowhere").code == 10  # what is typed goes before what is set


# --- rebuild ---------------------------------------------------------------------------------------------------------


def test_rebuild_gives_the_same_answers(run: Run, store: Path) -> None:
    run("put", "note", "n", "--set", "n=1")
    run("put", "note", "m", "--set", "n=1")
    run("rm", "note", "m")
    before = run("ls", "--deleted", "--json").out
    (store / "entities/note/n.json").write_text("spoilt", encoding="utf-8")
    (store / "index.sqlite3").write_bytes(b"spoilt")
    assert run("rebuild").out == "rebuilt up to seq 3: 1 entities\n"
    assert run("ls", "--deleted", "--json").out == before
    assert json.loads((store / "entities/note/n.json").read_bytes())["payload"] == {"n": 1}


def test_rebuild_as_json(run: Run, store: Path) -> None:
    assert run("rebuild", "--json").document == {"last_seq": 0, "entities": 0, "left_out": []}


# --- verify ----------------------------------------------------------------------------------------------------------


def test_verify_of_a_good_store_is_ok(run: Run, store: Path) -> None:
    run("put", "note", "n", "--set", "n=1")
    assert run("verify")[:2] == (0, "ok\n")
    assert run("verify", "--json").document == {"ok": True, "findings": []}
    assert run("verify", "-q").out == ""


def test_verify_names_what_is_damaged_and_changes_nothing(run: Run, store: Path) -> None:
    for number in range(3):
        run("put", "note", "n", "--set", f"title=number {number}")
    segment = store / "journal" / "seg-00000001.jsonl"
    spoilt = segment.read_bytes().replace(b"number 1", b"NUMBER 1")
    segment.write_bytes(spoilt)
    answer = run("verify", "--json")
    assert answer.code == 12
    assert answer.document["ok"] is False
    errors = [finding for finding in answer.document["findings"] if finding["severity"] == "error"]
    assert errors
    for finding in answer.document["findings"]:
        assert list(finding) == ["id", "severity", "message", "path", "line", "seq", "fixable"]
    assert any("seg-00000001.jsonl" in (finding["path"] or "") for finding in errors)
    text = run("verify")
    assert text.code == 12
    assert "error: " in text.out
    assert segment.read_bytes() == spoilt


def test_verify_without_a_store_prints_the_empty_document(run: Run) -> None:
    answer = run("verify", "--json")
    assert (answer.code, answer.document) == (10, {"ok": False, "findings": []})


# --- identity --------------------------------------------------------------------------------------------------------


def test_identity_show_tells_who_the_store_is(run: Run, store: Path) -> None:
    opened = Store.open(".")
    assert run("identity", "show", "--json").document == {
        "origin_store_id": opened.origin,
        "name": "here",
        "public_key": opened.file.public_key,
        "created_at": opened.file.created_at,
        "path": str(store),
        "private_key_path": str(opened.private_key_path),
        "private_key_here": True,
        "moved": [],
        "previous": [],
    }
    assert opened.origin in run("identity", "show").out
    assert f"private key  {opened.private_key_path}\n" in run("identity", "show").out
    assert opened.private_key_path.is_file()


def test_identity_show_tells_when_the_private_key_is_elsewhere(
    run: Run, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVENTSYNC_DATA_DIR", str(tmp_path / "empty"))
    assert run("identity", "show", "--json").document["private_key_here"] is False
    assert "not on this machine" in run("identity", "show").out


def test_a_moved_store_writes_again_after_identity_keep(
    run: Run, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = tmp_path / "elsewhere"
    shutil.move(store.parent, moved)
    monkeypatch.chdir(moved)
    assert run("put", "note", "n", "--set", "n=1").code == 22
    assert run("identity", "show", "--json").document["moved"] == ["path"]
    assert run("identity", "keep", "--json").document["moved"] == ["path"]
    assert run("identity", "show", "--json").document["moved"] == []
    assert run("put", "note", "n", "--set", "n=1").code == 0


def test_a_moved_store_is_told_in_words_with_what_can_be_done(
    run: Run, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(store.parent, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    assert "not as it was: its path and folder differ\n" in run("identity", "show").out
    refused, warned = run("put", "note", "n", "--set", "n=1").err, run("status").err
    for told in (refused, warned):
        assert "copied, moved or restored: its path and folder differ" in told
        assert "`eventsync identity keep` if it was moved" in told
        assert "`eventsync identity renew` if another one goes on" in told


def test_identity_keep_never_asks_and_may_be_repeated(run: Run, store: Path) -> None:
    assert run("identity", "keep").out == f"{Store.open('.').origin} stays here, as it was\n"
    assert run("identity", "keep", "--json").document["moved"] == []
