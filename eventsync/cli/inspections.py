"""The command inspect."""

from __future__ import annotations

from itertools import chain, islice
from pathlib import Path

import click

from eventsync import exits, inspect_report, report
from eventsync.cli.commands import Command, pass_console
from eventsync.cli.console import Console
from eventsync.text import shorten


@click.command(
    "inspect",
    cls=Command,
    example="""
    eventsync inspect .eventsync/journal/seg-00000001.jsonl
    eventsync inspect head.json --json
    """,
)
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    metavar="N",
    help="The first N lines of it; without it 100 on a terminal, else all.",
)
@pass_console
def inspect(console: Console, file: Path, limit: int | None) -> None:
    """Show what is in one file of a store or feed, and what is wrong with it.

    Needs no store: a copy of the file is enough. Changes nothing. Exits with 12 when the file is damaged.
    """
    from eventsync.inspecting import inspect

    found = inspect(file)
    most = console.rows if limit is None else limit
    shown = found.rows if most is None else islice(found.rows, most)
    if console.json:
        console.stream(
            "rows",
            map(inspect_report.row_value, shown),
            lambda: inspect_report.rest_document(found, sum(1 for _ in found.rows)),
        )
    else:
        console.answer(inspect_report.top_lines(found))
        first = next(shown, None)
        if first is not None:
            console.answer([inspect_report.rows_header()] if first.line is not None else [])
            rows = map(inspect_report.row_line, chain([first], shown))
            console.answer(rows if console.columns is None else (shorten(row, console.columns) for row in rows))
        left = sum(1 for _ in found.rows)
        content = inspect_report.content_lines(found)
        kept = content if most is None else content[:most]
        console.answer(kept)
        if left or len(kept) < len(content):
            console.answer([report.rest_line(left or len(content) - len(kept), "more")])
        console.answer(inspect_report.closing_lines(found))
    if not found.is_whole:
        console.exit_code = exits.TOO_NEW if found.is_too_new else exits.DAMAGED
