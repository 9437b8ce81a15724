"""Processes that one test started, wherever they hang by now: told from all others by a mark in their environment.

Every process inherits the mark from the one that started it, so those that were left behind are found too, and nothing
that another test, or a fixture that lives longer, has running is taken for one of them.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

PATIENCE_SECONDS: Final = 100  # until something that must happen is given up: a hang, on a machine of any speed
_MARK: Final = "TEST_THAT_STARTED_THIS"


class Started:
    """The processes that this test started since this was made, and what they started in turn."""

    def __init__(self, environment: pytest.MonkeyPatch) -> None:
        self._mark = f"{_MARK}={uuid.uuid4().hex}"
        environment.setenv(*self._mark.split("=", 1))

    def alive(self, *words: str) -> dict[int, str]:
        """Command lines, by process, of those that still run and have one of these words in theirs."""
        found = {}
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit() and int(folder.name) != os.getpid():
                line = self._command_line(folder)
                if any(word in line for word in words):
                    found[int(folder.name)] = line
        return found

    def _command_line(self, folder: Path) -> str:
        """Empty for a process of others, for one that has ended, and for one that is only waited for."""
        try:
            marked = self._mark.encode() in (folder / "environ").read_bytes().split(b"\0")
            return (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode() if marked else ""
        except OSError:
            return ""


def wait_for(done: Callable[[], bool]) -> None:
    """Return when it has happened."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not done():
        assert time.monotonic() < deadline, f"it did not happen within {PATIENCE_SECONDS} seconds"
        time.sleep(0.02)


def alive(process: int) -> bool:
    """Whether a process runs; one that has ended and is not waited for yet does not."""
    try:
        return " Z " not in Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
