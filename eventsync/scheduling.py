"""Scheduling: put a schedule in place, and take it out again, through the programs whose affair it is.

A crontab is read and written by `crontab` alone, units stand in a folder of their own. What cannot be read is not
empty: then nothing is written. Asked twice, the second time changes nothing.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from eventsync.errors import ScheduleFailed
from eventsync.schedule import MADE_BY, with_block
from journal import Disk

_SECONDS: Final = 60  # for a program that answers at once


class Done(NamedTuple):
    """Whether anything was changed, and what is left to a person."""

    changed: bool
    warnings: tuple[str, ...] = ()


def change_crontab(origins: Sequence[str], line: str | None) -> Done:
    """Put the line of the first origin into the user's crontab, or take all of them out.

    ScheduleFailed leaves the crontab as it was, unless it says that it was read back otherwise.
    """
    before = _crontab()
    after = with_block(before, origins, line)
    if after == before:
        return Done(False)
    written = _run(["crontab", "-"], after)
    if written.returncode != 0:
        raise ScheduleFailed(f"crontab took no change: {_told(written)}")
    if _crontab() != after:
        raise ScheduleFailed("the crontab is not what was written: look at it with `crontab -l`")
    return Done(True)


def _crontab() -> bytes:
    found = _run(["crontab", "-l"], b"")
    if found.returncode == 0:
        return found.stdout
    if b"no crontab" in found.stderr.lower():
        return b""
    raise ScheduleFailed(f"the crontab cannot be read: {_told(found)}")


def install_units(disk: Disk, folder: Path, units: Mapping[str, str], timer: str) -> Done:
    """Write the units and start the timer; what cannot be started is left to a person, with the command to type.

    ScheduleFailed when a file of that name is not ours: nothing is written then.
    """
    new = {folder / name: text.encode() for name, text in units.items()}
    changed = {path: data for path, data in new.items() if _ours(disk, path) != data}
    disk.make_folder_durably(folder)
    for path, data in changed.items():
        disk.replace_durably(path, data)
    return Done(bool(changed), _systemctl(["daemon-reload"], ["enable", "--now", timer]))


def remove_units(disk: Disk, folder: Path, names: Sequence[str]) -> Done:
    """Stop the timers and remove the units; errors as `install_units`."""
    there = [name for name in names if _ours(disk, folder / name) is not None]
    if not there:
        return Done(False)
    warnings = _systemctl(*(["disable", "--now", name] for name in there if name.endswith(".timer")))
    for name in there:
        disk.remove(folder / name)
    return Done(True, (*warnings, *_systemctl(["daemon-reload"])))


def _ours(disk: Disk, path: Path) -> bytes | None:
    data = disk.read_if_there(path)
    if data is not None and not data.startswith(MADE_BY.encode()):
        raise ScheduleFailed("was not made by eventsync schedule, and is left as it is", path=path)
    return data


def _systemctl(*commands: Sequence[str]) -> tuple[str, ...]:
    """Run them one by one; from the first that fails on, they are for a person to type."""
    for number, words in enumerate(commands):
        try:
            ended = _run(["systemctl", "--user", *words], b"")
            problem = None if ended.returncode == 0 else _told(ended)
        except ScheduleFailed as error:
            problem = error.message
        if problem is not None:
            left = "; ".join(f"`systemctl --user {' '.join(rest)}`" for rest in commands[number:])
            return (f"{problem}: still to be typed: {left}",)
    return ()


def _run(words: Sequence[str], data: bytes) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "LC_ALL": "C"}  # what it says is compared
    try:
        return subprocess.run(words, input=data, capture_output=True, env=environment, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ScheduleFailed(f"{words[0]} cannot be run: {getattr(error, 'strerror', None) or 'no answer'}") from None


def _told(ended: subprocess.CompletedProcess[bytes]) -> str:
    text = ended.stderr.decode("utf-8", "replace").strip()
    return text[:300] or f"it ended with code {ended.returncode}"
