"""What a person is told before anything goes out: what is found in records, and what a setting makes of it [F1]."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.answers import Run

TOKEN = "ghp_" + "a1B2" * 9
HOME = "/".join(["", "home", "alice", "src"])
Settings = Callable[..., None]


@pytest.fixture
def settings(store: Path) -> Settings:
    """Writes the table [publish]."""

    def write(**keys: object) -> None:
        lines = [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
        (store / "config.toml").write_text("\n".join(["[publish]", *lines, ""]))

    return write


def test_home_folders_are_told_of_and_go_out(run: Run, settings: Settings) -> None:
    run("put", "plan", "pln_1", "--set", f"path={HOME}", "--set", "title=x")
    answer = run("publish")
    assert answer.code == 0
    assert answer.out == "published 1 record up to seq 1 (gen 1)\n"
    assert answer.err == (
        "eventsync: warning: the record with seq 1 (plan/pln_1, payload.path) holds a path of somebody's home folder; "
        "[publish].home_paths says what is done about that\n"
    )
    run("put", "plan", "pln_2", "--set", "title=x")
    assert run("publish").err == ""  # what is out is out
    run("put", "plan", "pln_1", "--set", f"path={HOME}")
    assert run("publish", "-q").err == ""


def test_sync_and_push_tell_of_them_too_and_json_has_them(run: Run, store: Path, tmp_path: Path) -> None:
    run("remote", "add", "bus", str(tmp_path / "bus"))
    run("put", "plan", "pln_1", "--set", f"path={HOME}")
    assert "(plan/pln_1, payload.path)" in run("push", "bus").err
    run("put", "plan", "pln_1", "--set", f"path={HOME}", "--set", "n=2")
    assert "(plan/pln_1, payload.path)" in run("sync").err
    run("put", "plan", "pln_1", "--set", f"path={HOME}", "--set", "n=3")
    (found,) = run("publish", "--json").document["findings"]
    assert (found["seq"], found["kind"], found["place"]) == (3, "personal", "payload.path")
    assert "alice" not in json.dumps(found)


def test_many_of_them_are_counted(run: Run, store: Path) -> None:
    for number in range(8):
        run("put", "plan", f"pln_{number}", "--set", f"path={HOME}")
    lines = run("publish").err.splitlines()
    assert len(lines) == 6
    assert lines[-1] == "eventsync: warning: 3 more records of these hold something of that kind"


def test_home_folders_stop_a_publish_where_a_person_wants_that(run: Run, settings: Settings, store: Path) -> None:
    settings(home_paths="stop")
    run("put", "plan", "pln_1", "--set", f"path={HOME}")
    answer = run("publish", "--json")
    assert (answer.code, answer.error["class"]) == (22, "personal_found")
    assert "alice" not in answer.err
    assert not [*(store / "feed").rglob("head.json")]
    assert run("sync").code == 22
    assert run("publish", "--explain").out.splitlines()[-1].endswith("holds a path of somebody's home folder")
    assert run("publish", "--yes").code == 0


def test_home_folders_are_nobodys_business_where_a_person_says_so(run: Run, settings: Settings) -> None:
    settings(home_paths="allow")
    run("put", "plan", "pln_1", "--set", f"path={HOME}")
    assert run("publish").err == ""


def test_names_of_this_user_are_told_of(run: Run, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER", "quaffleburger")
    run("put", "plan", "pln_1", "--set", "note=Ask QuaffleBurger about it")
    answer = run("publish")
    assert "(plan/pln_1, payload.note) holds the name of this user or machine" in answer.err
    assert "burger" not in answer.err.lower()


def test_a_false_alarm_is_named_once_and_for_all(run: Run, settings: Settings) -> None:
    run("put", "plan", "pln_1", "--set", f"example={TOKEN}")
    assert run("sync").code == 22
    settings(not_secret=["plan/pln_1"])
    assert run("sync").code == 0
    run("put", "plan", "pln_2", "--set", f"example={TOKEN}")
    assert run("sync").code == 22


def test_a_store_whose_name_is_a_secret_publishes_nothing(run: Run, tmp_path: Path) -> None:
    run("init", str(tmp_path / "other"), "--name", TOKEN)
    run("put", "plan", "pln_1", "--set", "a=1", "--store", str(tmp_path / "other"))
    answer = run("publish", "--store", str(tmp_path / "other"))
    assert answer.code == 22
    assert TOKEN not in answer.err


def test_a_library_that_is_not_there_is_no_reason_to_look_less(
    run: Run, settings: Settings, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "detect_secrets", None)
    settings(secret_scan="library")
    run("put", "plan", "pln_1", "--set", "a=1")
    answer = run("publish", "--json")
    assert (answer.code, answer.error["class"]) == (2, "library_missing")
    assert not [*(store / "feed").rglob("head.json")]
    assert run("sync").code == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('types = ["Plan"]', "publish.types"),
        ('not_secret = ["plan"]', "publish.not_secret"),
        ('home_paths = "no"', "publish.home_paths"),
        ('withhold_paths = ["/"]', "publish.withhold_paths.0: names no file"),
        ('withhold_tags = [""]', "publish.withhold_tags"),
        ('secret_scan = "off"', "publish.secret_scan"),
    ],
)
def test_a_setting_that_is_none_is_named_and_nothing_goes_out(run: Run, store: Path, text: str, told: str) -> None:
    run("put", "plan", "pln_1", "--set", "a=1")
    (store / "config.toml").write_text(f"[publish]\n{text}\n")
    answer = run("publish")
    assert answer.code == 2
    assert f"config.toml:2: {told}" in answer.err
    assert not [*(store / "feed").rglob("head.json")]
