"""The command demo."""

from __future__ import annotations

import time

import click

from eventsync import demo as story
from eventsync.cli.commands import Command, pass_console
from eventsync.cli.console import Console


@click.command("demo", cls=Command, example="eventsync demo")
@pass_console
def demo(console: Console) -> None:
    """Let stores in a temporary folder share over a folder and a git repository, and tell."""
    lines: list[str] = []
    begun = time.monotonic()
    story.run(lines.append if console.json else console.note)
    if console.json:
        console.document({"ok": True, "seconds": round(time.monotonic() - begun, 3), "lines": lines})
