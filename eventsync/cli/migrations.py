"""The command migrate."""

from __future__ import annotations

from pathlib import Path

import click

from eventsync import exits, migration
from eventsync.cli.commands import Command, opened_store, pass_console
from eventsync.cli.console import Console


@click.command(
    "migrate",
    cls=Command,
    example="""
    eventsync migrate ../my-project --dry-run
    eventsync migrate ../my-project
    """,
)
@click.argument("source", metavar="SRC", type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Tell what would be taken, and write nothing.")
@pass_console
def migrate(console: Console, source: Path, dry_run: bool) -> None:
    """Take over a .brainclaw store: SRC, or the one in the folder SRC. It is only read.

    Plans, decisions, constraints, traps, handoffs and instructions become entities here, in one batch. A second run
    writes nothing. Exits with 3 when something was parked: named, and not taken.
    """
    with opened_store(console) as store:
        done = migration.preview(store, source) if dry_run else migration.migrate(store, console.around, source)
        if done.parked:
            console.exit_code = exits.PARTLY
        if done.has_changed:
            console.warn(migration.changed_line(done))
        if console.json:
            console.document(migration.document(done, dry_run=dry_run))
            return
        console.answer(migration.lines(done, "would be taken" if dry_run else "taken"))
