"""The command on what others are doing: peers."""

from __future__ import annotations

import click

from eventsync import peer_report
from eventsync.cli.commands import Command, opened_store, pass_console
from eventsync.cli.console import Console
from eventsync.sharing import sharing


@click.command(
    "peers",
    cls=Command,
    example="""
    eventsync peers
    eventsync peers laptop --json
    """,
)
@click.argument("wanted", metavar="ORIGIN", required=False)
@pass_console
def peers(console: Console, wanted: str | None) -> None:
    """Show what other stores are doing just now: their claims, assignments, runs and sessions.

    Only shown, never taken over. ORIGIN is an id, a beginning of it, or the name that it alone gives itself.
    """
    from federation import peers as told

    with opened_store(console) as store, sharing(store) as found:
        listed = told.peers(found.holdings, found.origin_named(wanted))
        if console.json:
            console.document(peer_report.document(listed))
        elif listed:
            console.answer_table(peer_report.lines(listed, store.machine.now(), console.columns))
        else:
            console.note("no other store shows what it is doing")
        for text in found.holdings.left_out():
            console.warn(f"left out: {text}")
