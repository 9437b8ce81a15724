"""Commands on what was recorded: unseen."""

from __future__ import annotations

from itertools import chain, islice

import click

from eventsync import report
from eventsync.cli.commands import Command, opened_store, pass_console
from eventsync.cli.console import Console
from journal import Unseen

_SEQ = click.IntRange(min=0)
_COUNT = click.IntRange(min=1)


@click.command(
    "unseen",
    cls=Command,
    example="""
    eventsync unseen claude --json
    eventsync unseen claude --ack
    """,
)
@click.argument("reader", metavar="READER")
@click.option("--ack", is_flag=True, help="Take what is shown for seen: the next call begins behind it.")
@click.option("--since", type=_SEQ, metavar="SEQ", help="Begin after this record, whatever was seen before.")
@click.option("--limit", type=_COUNT, metavar="N", help="The oldest so many; without it 100 on a terminal, else all.")
@pass_console
def unseen(console: Console, reader: str, ack: bool, since: int | None, limit: int | None) -> None:
    """Show what READER has not seen yet, the newest last.

    READER is any name; each has a cursor of its own, and to a new one everything is new.
    """
    with opened_store(console) as store:
        found = store.unseen(reader, since=since)

        def settle() -> int:
            """How far it was shown; that is acknowledged once it is out."""
            seq = found.seq
            console.flush()
            if ack:
                store.ack(reader, seq)
            return seq

        shown = islice(found, limit or console.rows)
        if console.json:
            console.stream("records", map(report.record_row, shown), lambda: _rest(reader, found, settle(), ack))
            return
        if found.parked is not None:
            console.answer([report.parked_line(found.parked)])
        first = next(shown, None)
        if first is not None:
            console.answer(map(report.record_line, chain([first], shown)))
        seq, left = settle(), sum(1 for _ in found)
        if left:
            console.answer([report.rest_line(left, "more")])
        if first is None:
            console.note(f"nothing is new to {reader.lower()}")
        elif ack:
            console.note(f"seen by {reader.lower()} up to seq {seq}")


def _rest(reader: str, found: Unseen, seq: int, acked: bool) -> report.Document:
    return {
        "reader": reader.lower(),
        "since": found.since,
        "last_seq": seq,
        "gap": found.parked is not None,
        "parked": report.parked_value(found.parked),
        "acked": acked,
    }
