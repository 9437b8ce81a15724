"""Start-up: a command loads what it needs and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.answers import environment

HEAVY = {"cryptography", "dulwich", "pydantic", "rich", "tomlkit", "zstandard", "federation"}


def loaded(*arguments: str) -> set[str]:
    """The top packages that a command loads."""
    run = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "eventsync", *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line for line in run.stderr.splitlines() if line.startswith("import time:")]
    return {line.rsplit("|", 1)[1].strip().split(".")[0] for line in lines}


@pytest.mark.parametrize("arguments", [["--version"], ["put", "--help"], ["rebuild", "--help"], ["log", "--help"]])
def test_help_and_version_do_not_wait_for_the_journal(arguments: list[str]) -> None:
    assert not loaded(*arguments) & (HEAVY | {"journal", "msgspec", "blake3", "sqlite3"})


@pytest.mark.parametrize("arguments", [["put", "note", "n", "--set", "n=1"], ["ls"], ["log"], ["unseen", "a", "--ack"]])
def test_local_commands_wait_for_nothing_that_only_sharing_needs(store: Path, arguments: list[str]) -> None:
    assert not loaded(*arguments) & HEAVY
