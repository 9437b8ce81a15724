"""Commands that keep a store small and quick: checkpoint, gc."""

from __future__ import annotations

import click

from eventsync import report
from eventsync.cli.commands import Command, opened_store, pass_console
from eventsync.cli.console import Console


@click.command("checkpoint", cls=Command, example="eventsync checkpoint")
@pass_console
def checkpoint(console: Console) -> None:
    """Write down all that the store holds, so that a rebuild need not read the whole log.

    One is made by itself whenever the log has grown enough. The two newest are kept.
    """
    with opened_store(console) as store:
        taken = store.checkpoint()
        if console.json:
            console.document(report.checkpoint_document(taken))
        console.note(report.checkpoint_line(taken))


@click.command(
    "gc",
    cls=Command,
    example="""
    eventsync gc
    eventsync gc --json
    """,
)
@pass_console
def gc(console: Console) -> None:
    """Put old segments of the log aside, into journal/archive. Nothing is deleted.

    Only what the second-newest checkpoint covers is moved, and only after the whole log and the checkpoints were read
    and agree. What is in the archive is still read where it is needed: keep the folder.
    """
    with opened_store(console) as store:
        done = store.gc()
        if console.json:
            console.document(report.archived_document(done))
        console.note(report.archived_line(done))
