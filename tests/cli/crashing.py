"""A command with a fault, for the tests of what a fault looks like."""

from __future__ import annotations

import click

from eventsync.cli.commands import Command


@click.command("crash", cls=Command, document="put", example="eventsync crash")
def crash() -> None:
    """Fail."""
    raise ZeroDivisionError("\x1b[2Jhostile")
