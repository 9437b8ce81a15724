"""The command that lets a store sync by itself: schedule."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import click

from eventsync import exits, schedule, scheduling
from eventsync.cli.commands import Command, opened_store, pass_console
from eventsync.cli.console import Console
from eventsync.errors import InvalidArgument
from eventsync.schedule import Job, When
from eventsync.scheduling import Done
from federation.errors import DecisionNeeded
from journal import Store

_KEPT_VARIABLE: Final = "EVENTSYNC_DATA_DIR"  # without it the private key would not be found


class Planned(NamedTuple):
    """A schedule in one of the three forms: texts by file name, or one line of a crontab without a name."""

    kind: str
    job: Job
    when: When

    @property
    def texts(self) -> Mapping[str | None, str]:
        """What there is to put in place."""
        found: dict[str | None, str] = {}
        if self.kind == "cron":
            found[None] = schedule.cron_line(self.job, self.when)
        elif self.kind == "systemd":
            found.update(schedule.units(self.job, self.when))
        else:
            found.update(schedule.agent(self.job, self.when))
        return found


@click.command(
    "schedule",
    cls=Command,
    example="""
    eventsync schedule
    eventsync schedule --every 15m --install
    eventsync schedule --at 02:30 --systemd
    eventsync schedule --remove --yes
    """,
)
@click.option("--every", "span", metavar="SPAN", help="How often: 15m, 1h (the default), 6h or 1d.")
@click.option("--at", "time", metavar="TIME", help="Once a day, at this time: 02:30.")
@click.option("--systemd", "kind", flag_value="systemd", help="As a user's timer of systemd.")
@click.option("--cron", "kind", flag_value="cron", help="As a line of the user's crontab.")
@click.option("--launchd", "kind", flag_value="launchd", help="As a launch agent of macOS; only printed.")
@click.option("--print", "action", flag_value="print", help="Show what there is to put in place; the default.")
@click.option("--install", "action", flag_value="install", help="Put it in place.")
@click.option("--remove", "action", flag_value="remove", help="Take it out again.")
@click.option("--yes", is_flag=True, help="Install or remove without a question.")
@pass_console
def schedule_command(
    console: Console, span: str | None, time: str | None, kind: str | None, action: str | None, yes: bool
) -> None:
    """Let this store sync by itself: print or install what cron or systemd need for that.

    The minutes follow from the origin of the store, so that not all machines knock at once.
    """
    if span and time:
        raise InvalidArgument("give --every or --at, not both")
    action, kind = action or "print", kind or _usual_kind()
    with opened_store(console) as store:
        when = schedule.daily_at(time) if time else schedule.every(span or "1h", store.origin)
        planned = Planned(kind, schedule.checked(_job(store)), when)
        done = Done(False) if action == "print" else _changed(console, store, planned, action, yes)
    _tell(console, planned, action, done)


def _usual_kind() -> str:
    if sys.platform == "darwin":
        return "launchd"
    return "systemd" if shutil.which("crontab") is None and shutil.which("systemctl") else "cron"


def _job(store: Store) -> Job:
    kept = os.environ.get(_KEPT_VARIABLE)
    command = (*_program(), "--store", str(store.folder.absolute()), "sync", "--quiet")
    return Job(store.origin, command, {_KEPT_VARIABLE: os.path.abspath(kept)} if kept else {})  # noqa: PTH100 - no symlink is followed


def _program() -> tuple[str, ...]:
    """This program, by a path that does not depend on where or by whom it is run."""
    started = Path(sys.argv[0])
    if started.name == "eventsync" and started.is_file():
        return (str(started.absolute()),)
    found = shutil.which("eventsync")
    return (os.path.abspath(found),) if found else (sys.executable, "-m", "eventsync")  # noqa: PTH100


def _changed(console: Console, store: Store, planned: Planned, action: str, yes: bool) -> Done:
    if planned.kind == "launchd":
        raise InvalidArgument("launchd is only printed: put it into ~/Library/LaunchAgents and load it there")
    if action == "install":
        store.refuse_when_copied()
    if not yes and not console.ask(f"{action} the schedule of this store ({planned.kind})?"):
        raise DecisionNeeded(f"nothing was changed: to {action} it needs your word, or --yes")
    origins = [store.origin, *(previous.origin for previous in store.previous)]
    if planned.kind == "cron":
        return scheduling.change_crontab(origins, planned.texts[None] if action == "install" else None)
    folder = schedule.unit_folder(Path.home(), os.environ.get("XDG_CONFIG_HOME"))
    if action == "install":
        units = schedule.units(planned.job, planned.when)
        return scheduling.install_units(store.disk, folder, units, f"{planned.job.unit}.timer")
    names = [f"{planned.job._replace(origin=origin).unit}{end}" for origin in origins for end in (".timer", ".service")]
    return scheduling.remove_units(store.disk, folder, names)


def _tell(console: Console, planned: Planned, action: str, done: Done) -> None:
    console.exit_code = exits.PARTLY if done.warnings else exits.DONE
    if console.json:
        console.document(_document(planned, action, done))
        return
    for warning in done.warnings:
        console.warn(warning)
    if action == "print":
        for name, text in planned.texts.items():
            console.answer([] if name is None else [f"# {name}"])
            console.answer(text.rstrip("\n").split("\n"))
        return
    words = {"install": "installed", "remove": "removed"}[action]
    console.note(f"schedule {words} ({planned.kind})" if done.changed else f"nothing to {action}: it is so already")


def _document(planned: Planned, action: str, done: Done) -> dict[str, Any]:
    return {
        "kind": planned.kind,
        "action": action,
        "command": list(planned.job.command),
        "files": [{"name": name, "text": text} for name, text in planned.texts.items()],
        "changed": done.changed,
        "warnings": list(done.warnings),
    }
