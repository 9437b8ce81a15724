"""Commands that keep a store small, quick and clean: checkpoint, gc, redact."""

from __future__ import annotations

import click

from eventsync import app, redact_report, store_report
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
            console.document(store_report.checkpoint_document(taken))
        console.note(store_report.checkpoint_line(taken))


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
            console.document(store_report.archived_document(done))
        console.note(store_report.archived_line(done))


@click.command(
    "redact",
    cls=Command,
    example="""
    eventsync redact 12 --reason 'a token slipped in'
    eventsync redact 12 13 --reason 'a token slipped in' --yes
    """,
)
@click.argument("seqs", metavar="SEQ...", type=click.IntRange(min=1), nargs=-1, required=True)
@click.option("--reason", required=True, help="Why; kept in the journal, and shown to others for what was published.")
@click.option("--yes", is_flag=True, help="Do it. Without this it is only told what would be done.")
@pass_console
def redact(console: Console, seqs: tuple[int, ...], reason: str, yes: bool) -> None:
    """Take what records said out of every file of the store, for good.

    SEQ is the number of a record, as `log` shows it. That there was one, of which entity and which rev, stays. What was
    published is taken back from others too, when they next read this store's feed.
    """
    from federation.errors import DecisionNeeded

    with opened_store(console) as store:
        done = app.redact(store, console.around, seqs, reason) if yes else app.plan_redaction(store, seqs)
        if console.json:
            console.document(redact_report.redact_document(done))
        elif yes:
            for line in redact_report.done_lines(done):
                console.note(line)
        else:
            console.answer(redact_report.plan_lines(done))
        left = redact_report.left_line(done.plan)
        if left is not None:
            console.warn(left)
        if done.plan.lines and not yes:
            raise DecisionNeeded("redacting cannot be undone: it needs --yes", rule="J16")
