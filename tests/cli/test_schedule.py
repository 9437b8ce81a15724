"""A store that syncs by itself: what is printed, and what is put into a crontab or a folder of units, and out again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cli.answers import Run

CRONTAB = """#!/bin/sh
echo "$@" >> "$HOME/calls"
[ -e "$HOME/broken" ] && { echo 'crontab: permission denied' >&2; exit 1; }
case "$1" in
-l) [ -e "$HOME/crontab" ] || { echo "no crontab for you" >&2; exit 1; }; exec cat "$HOME/crontab";;
-) exec cat > "$HOME/crontab";;
esac
"""
SYSTEMCTL = """#!/bin/sh
echo "$@" >> "$HOME/calls"
[ ! -e "$HOME/broken" ] || { echo 'Failed to connect to bus' >&2; exit 1; }
"""


@pytest.fixture
def home(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, with programs that only look like those of the system."""
    found, programs = tmp_path / "home", tmp_path / "programs"
    found.mkdir()
    programs.mkdir()
    for name, script in (("crontab", CRONTAB), ("systemctl", SYSTEMCTL)):
        (programs / name).write_text(script)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("HOME", str(found))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    return found


def calls(home: Path) -> list[str]:
    path = home / "calls"
    return path.read_text().splitlines() if path.exists() else []


def test_the_line_is_printed_and_nothing_else_is_done(run: Run, home: Path, store: Path) -> None:
    answer = run("schedule", "--cron", "--every", "6h")
    assert answer.code == 0
    (line,) = answer.out.splitlines()
    assert line.endswith(f"--store {store} sync --quiet")
    minute, hours, *rest = line.split(" ")[:5]
    assert (minute.isdigit(), len(hours.split(",")), rest) == (True, 4, ["*", "*", "*"])
    assert calls(home) == []
    (file,) = run("schedule", "--cron", "--every", "6h", "--json").document["files"]
    assert file == {"name": None, "text": line}


def test_it_is_put_into_a_crontab_and_taken_out_and_other_lines_stay(run: Run, home: Path) -> None:
    crontab = home / "crontab"
    crontab.write_bytes(b"# mine, \xff\n5 4 * * * backup\n")
    before = crontab.read_bytes()
    assert run("schedule", "--cron", "--install", "--yes").out == "schedule installed (cron)\n"
    with_it = crontab.read_bytes()
    assert with_it.startswith(before)
    assert run("schedule", "--cron").out.encode() in with_it
    assert run("schedule", "--cron", "--install", "--yes").out == "nothing to install: it is so already\n"
    assert crontab.read_bytes() == with_it
    assert run("schedule", "--cron", "--at", "02:30", "--install", "--yes").code == 0
    assert b"\n30 2 * * * " in crontab.read_bytes()
    assert run("schedule", "--cron", "--remove", "--yes").out == "schedule removed (cron)\n"
    assert crontab.read_bytes() == before
    assert run("schedule", "--cron", "--remove", "--yes", "--json").document["changed"] is False
    assert calls(home).count("-") == 3


def test_the_first_crontab_of_a_user_is_made(run: Run, home: Path) -> None:
    assert run("schedule", "--cron", "--install", "--yes").code == 0
    assert (home / "crontab").read_text().count("\n") == 3


def test_nobody_is_asked_without_a_terminal_and_nothing_is_changed(run: Run, home: Path) -> None:
    for kind in ("--cron", "--systemd"):
        answer = run("schedule", kind, "--install", "--json")
        assert (answer.code, answer.error["class"]) == (22, "decision_needed")
    assert calls(home) == []
    assert list(home.iterdir()) == []


def test_a_crontab_that_cannot_be_read_is_not_empty(run: Run, home: Path) -> None:
    (home / "crontab").write_text("5 4 * * * backup\n")
    (home / "broken").touch()
    answer = run("schedule", "--cron", "--install", "--yes", "--json")
    assert (answer.code, answer.error["class"]) == (2, "schedule_failed")
    assert "permission denied" in answer.error["message"]
    assert calls(home) == ["-l"]
    assert (home / "crontab").read_text() == "5 4 * * * backup\n"


def test_units_are_written_started_stopped_and_removed(run: Run, home: Path) -> None:
    folder = home / ".config" / "systemd" / "user"
    assert run("schedule", "--systemd", "--install", "--yes").out == "schedule installed (systemd)\n"
    printed = run("schedule", "--systemd", "--json").document["files"]
    assert {path.name: path.read_text() for path in folder.iterdir()} == {one["name"]: one["text"] for one in printed}
    timer = printed[1]["name"]
    assert calls(home) == ["--user daemon-reload", f"--user enable --now {timer}"]
    assert run("schedule", "--systemd", "--install", "--yes", "--json").document["changed"] is False
    assert run("schedule", "--systemd", "--remove", "--yes").out == "schedule removed (systemd)\n"
    assert list(folder.iterdir()) == []
    assert calls(home)[-2:] == [f"--user disable --now {timer}", "--user daemon-reload"]


def test_a_timer_that_cannot_be_started_is_told_with_what_to_type(run: Run, home: Path) -> None:
    (home / "broken").touch()
    answer = run("schedule", "--systemd", "--install", "--yes")
    assert answer.code == 3
    assert "Failed to connect to bus: still to be typed: `systemctl --user daemon-reload`; `systemctl" in answer.err


def test_a_unit_of_somebody_else_is_left_alone(run: Run, home: Path) -> None:
    folder = home / ".config" / "systemd" / "user"
    folder.mkdir(parents=True)
    name = run("schedule", "--systemd", "--json").document["files"][1]["name"]
    (folder / name).write_text("[Timer]\n")
    for action in ("--install", "--remove"):
        answer = run("schedule", "--systemd", action, "--yes", "--json")
        assert (answer.code, answer.error["class"]) == (2, "schedule_failed")
    assert {path.name: path.read_text() for path in folder.iterdir()} == {name: "[Timer]\n"}
    assert calls(home) == []


def test_what_cannot_be_done_is_refused(run: Run, home: Path) -> None:
    for arguments in (
        ["--every", "7m"],
        ["--at", "25:00"],
        ["--every", "1h", "--at", "02:30"],
        ["--launchd", "--install"],
    ):
        assert run("schedule", *arguments).code == 2
    assert run("schedule", "--launchd").out.startswith("# eventsync-es1")
    assert calls(home) == []
