"""Schedule: what cron, systemd or launchd must be told so that a store syncs by itself.

Pure. An origin, a time and a command in; lines and files out. A store syncs at minutes that follow from its origin:
machines with the same interval do not all knock at one door at once. Of a crontab only the block between our own two
marks is ever touched.
"""

from __future__ import annotations

import hashlib
import plistlib
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from eventsync.errors import InvalidArgument, ScheduleFailed
from eventsync.text import clean

_HOUR: Final = 60  # minutes
_DAY: Final = 24 * _HOUR
_SPAN: Final = re.compile(r"([1-9][0-9]{0,3})\s*([mhd])", re.ASCII)
_TIME: Final = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])", re.ASCII)
_UNIT_MINUTES: Final = {"m": 1, "h": _HOUR, "d": _DAY}
MADE_BY: Final = "# made by `eventsync schedule`, which takes it out again"


class When(NamedTuple):
    """The minutes of each hour, and the hours; None is every hour."""

    hours: tuple[int, ...] | None
    minutes: tuple[int, ...]


class Job(NamedTuple):
    """What runs for which store: a command whose words need no shell, and what it needs of the environment."""

    origin: str
    command: tuple[str, ...]
    environment: Mapping[str, str]

    @property
    def unit(self) -> str:
        """The name of its units."""
        return f"eventsync-{self.origin[:15]}"


def checked(job: Job) -> Job:
    """The job; InvalidArgument for a path that a line of text cannot hold."""
    for word in (*job.command, *job.environment.values()):
        if clean(word) != word:
            raise InvalidArgument(f"a path that cannot be written in one line: {word!r}")
    return job


# --- times -----------------------------------------------------------------------------------------------------------


def every(span: str, origin: str) -> When:
    """So often, at minutes that follow from the origin; InvalidArgument for what does not divide an hour or a day."""
    found = _SPAN.fullmatch(span.strip())
    minutes = int(found[1]) * _UNIT_MINUTES[found[2]] if found else 0
    whole = _HOUR if minutes < _HOUR else _DAY
    if minutes == 0 or whole % minutes or (minutes > _HOUR and minutes % _HOUR):
        raise InvalidArgument(
            f"{span[:40]!r} divides no hour and no day: 5m, 10m, 15m, 20m, 30m, 1h, 2h, 6h, 12h or 1d"
        )
    offset = int.from_bytes(hashlib.sha256(origin.encode()).digest()[:8], "big") % minutes
    if minutes <= _HOUR:
        return When(None, tuple(range(offset, _HOUR, minutes)))
    return When(tuple(range(offset // _HOUR, 24, minutes // _HOUR)), (offset % _HOUR,))


def daily_at(text: str) -> When:
    """Once a day; InvalidArgument for what is no time."""
    found = _TIME.fullmatch(text.strip())
    if found is None:
        raise InvalidArgument(f"{text[:40]!r} is no time of day: 02:30")
    return When((int(found[1]),), (int(found[2]),))


# --- cron ------------------------------------------------------------------------------------------------------------


def cron_line(job: Job, when: When) -> str:
    """The line of a crontab; cron itself reads % as a newline."""
    settings = [f"{name}={shlex.quote(value)}" for name, value in job.environment.items()]
    words = " ".join([*settings, *map(shlex.quote, job.command)]).replace("%", "\\%")
    minutes, hours = (",".join(map(str, found)) for found in (when.minutes, when.hours or ()))
    return f"{minutes} {hours or '*'} * * * {words}"


def marks(origin: str) -> tuple[str, str]:
    """The lines before and after what is ours."""
    return f"# >>> eventsync {origin}", f"# <<< eventsync {origin}"


def with_block(crontab: bytes, origins: Sequence[str], line: str | None) -> bytes:
    """A crontab with our block for the first origin, or with none; every other byte as it was.

    Blocks of the other origins, which the store had before, go. ScheduleFailed where a mark has no other half.
    """
    first, last = marks(origins[0])
    block = b"" if line is None else f"{first}\n{line}\n{last}\n".encode()
    for origin in origins[1:]:
        less = _replaced(crontab, origin, b"")
        crontab = crontab if less is None else less
    found = _replaced(crontab, origins[0], block)
    if found is not None or not block:
        return crontab if found is None else found
    return crontab + (b"" if not crontab or crontab.endswith(b"\n") else b"\n") + block


def _replaced(crontab: bytes, origin: str, block: bytes) -> bytes | None:
    """A crontab with other lines where a block of ours is; None where there is none."""
    first, last = (mark.encode() for mark in marks(origin))
    lines = crontab.splitlines(keepends=True)
    places = [[at for at, line in enumerate(lines) if line.strip() == mark] for mark in (first, last)]
    if places == [[], []]:
        return None
    if len(places[0]) != 1 or len(places[1]) != 1 or places[0][0] > places[1][0]:
        raise ScheduleFailed(f"the marks of eventsync {origin[:15]} in the crontab are no pair any more")
    return b"".join([*lines[: places[0][0]], block, *lines[places[1][0] + 1 :]])


# --- systemd ---------------------------------------------------------------------------------------------------------


def units(job: Job, when: When) -> dict[str, str]:
    """The service and the timer, by file name."""
    program, *words = job.command
    settings = [f"Environment={_quoted(f'{name}={value}')}" for name, value in job.environment.items()]
    arguments = " ".join([_quoted(program), *(_quoted(word).replace("$", "$$") for word in words)])
    hours = "*" if when.hours is None else ",".join(f"{hour:02}" for hour in when.hours)
    minutes = ",".join(f"{minute:02}" for minute in when.minutes)
    about = f"Description=eventsync sync of {job.origin}"
    service = [MADE_BY, "[Unit]", about, "", "[Service]", "Type=oneshot", *settings, f"ExecStart={arguments}", ""]
    timer = [MADE_BY, "[Unit]", about, "", "[Timer]", f"OnCalendar=*-*-* {hours}:{minutes}:00", "Persistent=true", ""]
    timer += ["[Install]", "WantedBy=timers.target", ""]
    return {f"{job.unit}.service": "\n".join(service), f"{job.unit}.timer": "\n".join(timer)}


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


# --- launchd ---------------------------------------------------------------------------------------------------------


def agent(job: Job, when: When) -> dict[str, str]:
    """The property list of a launch agent, by file name."""
    hours = [{}] if when.hours is None else [{"Hour": hour} for hour in when.hours]
    value = {
        "Label": job.unit,
        "ProgramArguments": list(job.command),
        "EnvironmentVariables": dict(job.environment),
        "StartCalendarInterval": [{**hour, "Minute": minute} for hour in hours for minute in when.minutes],
    }
    return {f"{job.unit}.plist": plistlib.dumps(value).decode()}


def unit_folder(home: Path, config: str | None) -> Path:
    """Where a user's units stand."""
    return (Path(config) if config and config.startswith("/") else home / ".config") / "systemd" / "user"
