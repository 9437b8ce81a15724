"""Commands on entities: put, edit, rm, show, ls."""

from __future__ import annotations

from itertools import islice

import click

from eventsync import app, attachments, report
from eventsync.cli.commands import Command, opened_store, pass_console, print_written
from eventsync.cli.console import Console
from eventsync.cli.settings import Setting, apply_settings, parse_setting

_SEQ = click.IntRange(min=0)
_COUNT = click.IntRange(min=1)


def _settings(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> tuple[Setting, ...]:
    return tuple(map(parse_setting, values))


_type = click.argument("item_type", metavar="TYPE")
_id = click.argument("item_id", metavar="ID")
_set = click.option(
    "--set",
    "settings",
    metavar="KEY=VALUE",
    multiple=True,
    callback=_settings,
    help="Set one key; a.b reaches into objects; the value is JSON if it reads as JSON, else text.",
)
_private = click.option(
    "--private/--public", default=None, help="Keep the entity from others, or not; without either it stays as it is."
)
_at = click.option("--at", type=_SEQ, metavar="SEQ", help="As the store was after this record.")


@click.command(
    "put",
    cls=Command,
    example="""
    eventsync put plan pln_1 --set title='Ship it' --set steps='["build", "test"]'
    eventsync put decision dec_7 --file decision.json --private
    eventsync put note crash_3 --attach trace.log --set title='Crash on start'
    """,
)
@_type
@_id
@click.option("--file", metavar="PATH", help="Read the whole payload, a JSON object, from a file; - is standard input.")
@_set
@click.option("--attach", metavar="PATH", multiple=True, help="Put a file in, alone or beside other keys.")
@click.option("--summary", help="One line for lists; without it the first line of title, text, name or summary.")
@_private
@pass_console
def put(
    console: Console,
    item_type: str,
    item_id: str,
    file: str | None,
    settings: tuple[Setting, ...],
    attach: tuple[str, ...],
    summary: str | None,
    private: bool | None,
) -> None:
    """Write an entity whole: create it, or replace what it says.

    TYPE is a word such as plan, decision, trap, constraint, handoff or note; ID is its name among those of that type.
    """
    if (file is None) == (not settings) and not (attach and file is None):
        raise click.UsageError("give the payload by --file or by --set, one of them, or --attach a file")
    if len(attach) > 1:
        raise click.UsageError("one file is attached to an entity: give the others ids of their own")
    payload = apply_settings({}, settings) if file is None else app.read_payload(file)
    for path in attach:
        payload = attachments.attached_to(payload, attachments.read_file(path))
    with opened_store(console) as store:
        written = app.put(store, console.around, item_type, item_id, app.Content(payload, summary, private))
        print_written(console, written, "")


@click.command(
    "edit",
    cls=Command,
    example="""
    eventsync edit plan pln_1 --set done=true --set owner.name=ada
    eventsync edit plan pln_1 --private
    EDITOR=nano eventsync edit plan pln_1
    """,
)
@_type
@_id
@_set
@_private
@pass_console
def edit(console: Console, item_type: str, item_id: str, settings: tuple[Setting, ...], private: bool | None) -> None:
    """Change keys of an entity, whether it is private, or all of it in your editor.

    Without an option the payload is opened in VISUAL or EDITOR. What comes back unchanged is not written.
    """
    with opened_store(console) as store:
        if settings or private is not None:
            wanted = app.Edit(lambda payload: apply_settings(payload, settings), private)
            written = app.edit(store, console.around, item_type, item_id, wanted)
        else:
            written = app.edit_by_hand(store, console.around, item_type, item_id)
        print_written(console, written, f"{report.key_of(item_type, item_id)} is as it was, nothing was written")


@click.command("rm", cls=Command, example="eventsync rm plan pln_1")
@_type
@_id
@pass_console
def rm(console: Console, item_type: str, item_id: str) -> None:
    """Delete an entity. Its history stays: `log` and `show --rev` still have it."""
    with opened_store(console) as store:
        print_written(console, app.remove(store, console.around, item_type, item_id), "")


@click.command(
    "show",
    cls=Command,
    example="""
    eventsync show plan pln_1
    eventsync show plan pln_1 --rev 2 --json
    eventsync show plan pln_1 --at 120
    eventsync show note crash_3 --attachment > trace.log
    """,
)
@_type
@_id
@click.option("--rev", type=_COUNT, metavar="N", help="As it was at this rev.")
@_at
@click.option("--attachment", is_flag=True, help="Give the attached file instead, byte by byte, to a file or pipe.")
@pass_console
def show(console: Console, item_type: str, item_id: str, rev: int | None, at: int | None, attachment: bool) -> None:
    """Show an entity as it is, or as it was."""
    if rev is not None and at is not None:
        raise click.UsageError("--rev and --at both say which one, give one of them")
    if attachment and console.json:
        raise click.UsageError("--attachment gives bytes, --json a document that has them too: give one of them")
    with opened_store(console) as store:
        shown = app.show(store, item_type, item_id, rev=rev, at=at)
        if attachment:
            console.give(app.attachment_of(shown).data)
        elif console.json:
            console.document(report.shown_document(shown))
        else:
            console.answer(report.shown_lines(shown))


@click.command(
    "ls",
    cls=Command,
    example="""
    eventsync ls
    eventsync ls plan --limit 20
    eventsync ls --deleted --json
    eventsync ls --at 120
    """,
)
@click.argument("item_type", metavar="[TYPE]", required=False)
@click.option("--deleted", is_flag=True, help="Also those that were deleted.")
@_at
@click.option("--limit", type=_COUNT, metavar="N", help="At most so many; without it 100 on a terminal, else all.")
@pass_console
def ls(console: Console, item_type: str | None, deleted: bool, at: int | None, limit: int | None) -> None:
    """List entities by type and id."""
    with opened_store(console) as store, app.entities(store, item_type, deleted=deleted, at=at) as heads:
        shown = islice(heads, limit or console.rows)
        if console.json:
            console.stream("entities", map(report.entity_row, shown), lambda: {"stale": store.stale is not None})
            return
        rows = [*shown]
        if not rows:
            console.note("no entities")
            return
        console.answer_table(report.entity_lines(rows, console.columns))
        left = sum(1 for _ in heads)
        if left:
            console.answer([report.rest_line(left, "more")])
