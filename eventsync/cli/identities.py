"""Commands on who a store is: identity show, identity keep."""

from __future__ import annotations

import click

from eventsync import app, report
from eventsync.cli.commands import Command, Group, opened_store, pass_console
from eventsync.cli.console import Console

identity = Group(
    name="identity",
    help="Who this store is, and whether it is still the one it was.",
    sections={"Commands": {"show": f"{__name__}:identity_show", "keep": f"{__name__}:identity_keep"}},
)


@click.command("show", cls=Command, document="identity show", example="eventsync identity show")
@pass_console
def identity_show(console: Console) -> None:
    """Show origin, name and key, and whether the store was moved."""
    with opened_store(console) as store:
        facts = app.facts_of(store)
        if console.json:
            console.document(report.identity_document(facts))
        else:
            console.answer(report.identity_lines(facts))


@click.command("keep", cls=Command, document="identity keep", example="eventsync identity keep")
@pass_console
def identity_keep(console: Console) -> None:
    """Say that this store was moved, and that no other copy of it is in use.

    Two copies that both write under one identity contradict each other, and others will refuse both.
    """
    with opened_store(console) as store:
        moved = app.keep_identity(store)
        if console.json:
            console.document({"origin_store_id": store.origin, "path": str(store.folder), "moved": moved})
        console.note(report.kept_line(store.origin, moved))
