"""The command schema."""

from __future__ import annotations

import click

from eventsync import app
from eventsync.cli.commands import Command, pass_console
from eventsync.cli.console import Console
from eventsync.text import pretty_json


@click.command(
    "schema",
    cls=Command,
    example="""
    eventsync schema plan
    eventsync schema --json
    """,
)
@click.argument("item_type", metavar="[TYPE]", required=False)
@pass_console
def schema(console: Console, item_type: str | None) -> None:
    """Print the JSON Schema of an item type, or of all that have one.

    A payload with the key schema_version is held to it; all other payloads are free.
    """
    found = app.schemas(item_type)
    if console.json:
        console.document({"schemas": [one._asdict() for one in found]})
    elif item_type is None:
        console.answer([pretty_json({one.item_type: one.schema for one in found})])
    else:
        console.answer(pretty_json(one.schema) for one in found)
