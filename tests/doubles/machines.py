"""A machine whose clock, salts and boots are told to it, so that a store made twice has the same bytes."""

from __future__ import annotations

from itertools import count
from pathlib import Path

from journal import Machine


class FixedMachine(Machine):
    """Time goes on by one second per record, salts count up; the folder is the real one."""

    writer = "w_1-00ff00ff"
    machine_id = "machine-a"

    def __init__(self, data_folder: Path, *, boot_id: str = "boot-1") -> None:
        super().__init__(data_folder)
        self.boot_id = boot_id
        self._seconds = count()
        self._salts = count(1)

    def now(self) -> str:
        seconds = next(self._seconds)
        return f"2026-11-22T{seconds // 3600 % 24:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.000Z"

    def salt(self) -> str:
        return f"{next(self._salts):016x}"
