"""A store folder that somebody else made, as it comes out of a clone or an archive: whoever looks at it runs none of
its commands, writes nothing elsewhere, and has an answer.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.cli.answers import Run


def test_a_repository_hidden_in_a_store_runs_no_command(run: Run, store: Path, tmp_path: Path) -> None:
    trap, spy = tmp_path / "sprung", tmp_path / "spy"
    spy.write_text(f"#!/bin/sh\ntouch '{trap}'\n")
    spy.chmod(0o700)
    assert run("put", "plan", "p1", "--set", "title=x").code == 0
    (store / ".gitignore").write_text("*\n!.gitignore\n!entities/\n")
    # git takes a folder for a repository when these four are in it.
    (store / "objects").mkdir()
    (store / "refs").mkdir()
    (store / "HEAD").write_text("ref: refs/heads/main\n")
    (store / "config").write_text(
        f'[core]\nrepositoryformatversion = 0\nbare = false\nworktree = ..\nfsmonitor = "{spy}"\n'
    )
    for command in (["add", "-f", "entities/plan/p1.json"], ["update-index", "--fsmonitor"]):
        subprocess.run(["git", *command], cwd=store, check=True)
    assert trap.exists(), "git obeys it"
    trap.unlink()
    assert run("doctor").code == 0
    assert run("doctor", "--fix").code == 0
    assert not trap.exists()


ORIGIN = "es1" + "a" * 32
SMALL_FILES = {
    "local.json": "status",
    "projections.json": "status",
    "federation/runs.jsonl": "status",
    f"federation/quarantine/{ORIGIN}/0123456789ab/reason.json": "origin list",
    "cursors/bob.json": "unseen bob",
}


@pytest.mark.parametrize("name", SMALL_FILES)
@pytest.mark.parametrize("nested", [b"[" * 200_000, b'{"times":1e999,"x":' + b'{"a":' * 100_000])
def test_a_file_of_a_store_that_nests_without_end_has_an_answer(
    run: Run, store: Path, name: str, nested: bytes
) -> None:
    path = store / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(nested)
    for command in (SMALL_FILES[name].split(), ["doctor"], ["doctor", "--fix"]):
        answer = run(*command)
        assert answer.code != 1, answer.err


@pytest.mark.parametrize("label", [ORIGIN, ORIGIN[:12]])
def test_who_is_called_by_the_id_of_another_is_not_meant_by_it(
    run: Run, store: Path, tmp_path: Path, label: str
) -> None:
    bus, liar = tmp_path / "bus", tmp_path / "liar"
    bus.mkdir()
    for command in (
        ["init", str(liar), "--name", label],
        ["put", "plan", "p1", "--set", "title=x", "--store", str(liar)],
        ["remote", "add", "hub", str(bus), "--store", str(liar)],
        ["push", "hub", "--store", str(liar)],
        ["remote", "add", "hub", str(bus)],
        ["pull", "hub"],
    ):
        assert run(*command).code == 0
    answer = run("accept", "--all", "--origin", label)
    assert "no origin is called" in answer.err
    assert run("ls").out == "no entities\n"


def test_nothing_is_written_through_a_link_that_waits_in_a_store(run: Run, store: Path, tmp_path: Path) -> None:
    """Logs and temporary files by names that can be guessed: what the link leads to stays as it is."""
    elsewhere, bus = tmp_path / "elsewhere", tmp_path / "bus"
    elsewhere.write_text("mine")
    bus.mkdir()
    assert run("put", "plan", "p", "--set", "a=1").code == 0
    assert run("remote", "add", "bus", str(bus)).code == 0
    (store / "federation").mkdir(mode=0o700, exist_ok=True)
    log = store / "federation" / "runs.jsonl"
    log.unlink(missing_ok=True)
    for link in (
        log,
        store / "entities" / "plan" / f".tmp-{os.getpid()}-p.json",
        store / f".tmp-{os.getpid()}-local.json",
    ):
        link.symlink_to(elsewhere)
    for words in (
        ["put", "plan", "p", "--set", "a=2"],
        ["publish"],
        ["pull", "bus"],
        ["put", "plan", "p", "--set", "a=3"],
    ):
        assert run(*words).code != 1, words
        assert elsewhere.read_text() == "mine", words
