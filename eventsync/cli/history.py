"""Commands on what was recorded: log, unseen."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING

import click

from eventsync import app, exits, report
from eventsync.cli.commands import Command, opened_store, pass_console
from eventsync.cli.console import Console

if TYPE_CHECKING:
    from journal import Query, Record, Store, Unseen

_SEQ = click.IntRange(min=0)
_COUNT = click.IntRange(min=1)
_LOOK_SECONDS = 0.2  # how often --follow looks: soon enough for people, and it costs names and one size


def _entity(_: click.Context, __: click.Parameter, value: str | None) -> tuple[str, str] | None:
    if value is None:
        return None
    item_type, slash, item_id = value.partition("/")
    if not (item_type and slash and item_id):
        raise click.BadParameter(f"{value!r} is not TYPE/ID")
    return item_type, item_id


@click.command(
    "log",
    cls=Command,
    example="""
    eventsync log --limit 20
    eventsync log --entity plan/pln_1
    eventsync log --since 120 --json
    eventsync log --follow
    """,
)
@click.option("--entity", metavar="TYPE/ID", callback=_entity, help="Only records of this entity.")
@click.option("--origin", metavar="ORIGIN", help="Only records this origin wrote.")
@click.option("--since", type=_SEQ, default=0, metavar="SEQ", help="Only records after this one.")
@click.option("--at", type=_SEQ, metavar="SEQ", help="Only records up to this one.")
@click.option("--limit", type=_COUNT, metavar="N", help="The newest N; without it 100 on a terminal, else all.")
@click.option("--follow", is_flag=True, help="Go on and show what is written, until Ctrl-C; with --json a line each.")
@pass_console
def log(
    console: Console,
    entity: tuple[str, str] | None,
    origin: str | None,
    since: int,
    at: int | None,
    limit: int | None,
    follow: bool,
) -> None:
    """Show the records of the journal, the newest last."""
    from journal import MAX_SEQ, Query

    if follow and (origin is not None or at is not None):
        raise click.UsageError("--follow goes on with what this store writes: it takes neither --origin nor --at")
    query, most = Query(since, MAX_SEQ if at is None else at, entity, origin), limit or console.rows
    if follow:
        _follow(console, query, most)
        return
    with opened_store(console) as store:
        if console.json:
            console.stream("records", map(report.record_row, app.records(store, query, limit)))
            return
        if most is None:
            console.answer(map(report.record_line, app.records(store, query)))
            return
        records = [*app.records(store, query, most + 1)]
        if len(records) > most:
            # Not counted but computed: seqs are dense, and who asks for the newest should not pay for the oldest.
            count = "more" if entity or origin else str(records[-most].seq - since - 1)
            console.answer([report.rest_line(count, "older")])
        console.answer(map(report.record_line, records[-most:]))


def _follow(console: Console, query: Query, most: int | None) -> None:
    """Show what is there, then what comes, until Ctrl-C or until nobody reads: both are ends, and no errors."""
    try:
        with opened_store(console) as store:
            coming = _coming(console, store, query, most)
            if console.json:
                console.lines(map(report.record_row, coming))
            else:
                console.answer(map(report.record_line, coming))
    except KeyboardInterrupt:
        console.exit_code = exits.INTERRUPTED


def _coming(console: Console, store: Store, query: Query, most: int | None) -> Iterator[Record]:
    follower, warned = store.history.follow(), None
    yield from store.history.records(query._replace(until=follower.seq), last=most)
    while True:
        console.flush()
        if store.stale not in (None, warned):
            warned = store.stale
            console.warn(f"records may be missing here: {warned}")
        console.wait(_LOOK_SECONDS)
        yield from follower.new(query)


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
