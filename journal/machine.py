"""The machine: clock, randomness, environment, and what tells this computer, this boot and this folder from others.

The one room of the journal that knows time and chance; a Store is given a Machine, so tests and fixtures give a fixed
one. `boot_id` serves P4, the fingerprint serves I2.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path


def default_data_folder() -> Path:
    """Where private keys are kept: EVENTSYNC_DATA_DIR, else the platform's data folder."""
    chosen = os.environ.get("EVENTSYNC_DATA_DIR")
    if chosen:
        return Path(chosen)
    import platformdirs

    return Path(platformdirs.user_data_path("eventsync"))


class Machine:
    """This computer. Every answer is cheap; none is guessed: what cannot be told is an empty string."""

    def __init__(self, data_folder: Path) -> None:
        self._data_folder = data_folder

    def now(self) -> str:
        """The time in UTC, ISO 8601 with milliseconds and Z. For people only: nothing is ordered by it [J1]."""
        return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def salt(self) -> str:
        """16 random hex digits, so that a redacted line cannot be guessed from its c [J4]."""
        return os.urandom(8).hex()

    @property
    def process_id(self) -> int:
        """The number of this process; a forked child has another."""
        return os.getpid()

    @cached_property
    def writer(self) -> str:
        """The name of this process in records: `w_<pid>-<nonce>`."""
        return f"w_{self.process_id}-{os.urandom(4).hex()}"

    @cached_property
    def boot_id(self) -> str:
        """What changes at every boot of this computer [P4]."""
        if sys.platform == "darwin":
            import subprocess

            asked = subprocess.run(["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"], capture_output=True, timeout=5)
            return asked.stdout.decode("ascii", "replace").strip()
        return _first_line(Path("/proc/sys/kernel/random/boot_id"))

    @cached_property
    def machine_id(self) -> str:
        """What tells this installation from others [I2]; made once in the data folder where the system has none."""
        found = _first_line(Path("/etc/machine-id"))
        if found:
            return found
        own = self._data_folder / "machine-id"
        if not own.exists():
            own.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            own.write_text(os.urandom(16).hex() + "\n", encoding="ascii")
        return _first_line(own)

    def folder_id(self, folder: Path) -> str:
        """The inode of a folder: a copy of it has another [I2]."""
        return str(folder.stat().st_ino)


def _first_line(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        return ""
