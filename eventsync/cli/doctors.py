"""The command for the worst night: doctor."""

from __future__ import annotations

import getpass
from pathlib import Path

import click

from eventsync import ailments, doctor_report, programs
from eventsync import doctor as doctors
from eventsync.cli.commands import Command, pass_console
from eventsync.cli.console import Console
from eventsync.errors import InvalidArgument


@click.command(
    "doctor",
    cls=Command,
    example="""
    eventsync doctor
    eventsync doctor --fix
    eventsync doctor --fix --from backup/notes
    """,
)
@click.option("--fix", is_flag=True, help="Put right what can be without losing anything; copies are kept first.")
@click.option(
    "--from",
    "places",
    metavar="PATH",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A folder that may have what is damaged here: a backup, a store that pulls this one, a bus.",
)
@pass_console
def doctor(console: Console, fix: bool, places: tuple[Path, ...]) -> None:
    """Look at everything that can be wrong with a store, and say what it means. Changes nothing without --fix.

    Damaged records come back from the own feed, from remotes that are folders, or from where --from says. Exits with 12
    when an error stays; the JSON document can go into a bug report as it is.
    """
    if places and not fix:
        raise InvalidArgument("--from is for --fix")
    for place in places:
        if not place.is_dir():
            raise InvalidArgument(f"--from: no folder {str(place)!r}")
    visit = (
        doctors.mend(console.around, places=[place.absolute() for place in places])
        if fix
        else doctors.visit(console.around)
    )
    found, hidden = list(visit.findings), _places(visit)
    console.exit_code = ailments.exit_code(found)
    if console.json:
        ok = not any(item.severity == "error" for item in found)
        told = programs.versions(), programs.machine()
        console.document(doctor_report.document(visit, hidden, *told, ok=ok))
        return
    console.answer_styled(doctor_report.lines(visit, hidden))
    console.note(doctor_report.last_line(found, is_fixing=fix))


def _places(visit: doctors.Visit) -> doctor_report.Places:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # nobody that this machine knows
        user = ""
    return doctor_report.Places(visit.folder, doctors.keys_folder(), Path.home(), user)
