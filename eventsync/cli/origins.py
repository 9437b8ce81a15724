"""Commands on the stores this one learns from, each as a whole: origin list, show, trust, block, forget."""

from __future__ import annotations

import click

from eventsync import origin_report, origins
from eventsync.cli.commands import Command, Group, opened_store, pass_console
from eventsync.cli.console import Console
from eventsync.sharing import sharing
from federation.origins import HELD

origin = Group(
    name="origin",
    help="The stores this one learns from: what is known of each, and whom to believe.",
    sections={"Commands": {name: f"{__name__}:origin_{name}" for name in ("list", "show", "trust", "block", "forget")}},
)

_origin = click.argument("wanted", metavar="ORIGIN")


@click.command("list", cls=Command, document="origin list", example="eventsync origin list")
@pass_console
def origin_list(console: Console) -> None:
    """List all origins that were ever pulled, refused or decided about."""
    with opened_store(console) as store, sharing(store) as found:
        listed = origins.listed(found)
        if console.json:
            console.document(origin_report.list_document(listed))
        elif listed:
            console.answer_table(origin_report.list_lines(listed, store.machine.now(), console.columns))
        else:
            console.note("no other store is known yet; `eventsync pull` brings what they published")


@click.command("show", cls=Command, document="origin show", example="eventsync origin show es1k7q")
@_origin
@pass_console
def origin_show(console: Console, wanted: str) -> None:
    """Show what is known of an origin: key, pin, receipts, refusals, both sides of a fork.

    ORIGIN is its id, a unique beginning of it, or the name that it alone gives itself.
    """
    with opened_store(console) as store, sharing(store) as found:
        details = origins.details(found, wanted)
        if console.json:
            console.document(origin_report.details_document(details))
        else:
            console.answer(origin_report.details_lines(details, store.machine.now()))


@click.command(
    "trust",
    cls=Command,
    document="origin trust",
    example="""
    eventsync origin trust es1k7q
    eventsync origin trust es1k7q --keep
    eventsync origin trust es1k7q --take 3fa9c21b77de
    """,
)
@_origin
@click.option("--keep", is_flag=True, help="Of a fork: believe the history that is here, against all others so far.")
@click.option("--take", metavar="HEAD", help="Of a fork: believe the history of that head; `origin show` names it.")
@pass_console
def origin_trust(console: Console, wanted: str, keep: bool, take: str | None) -> None:
    """End the block of an origin, or settle a fork: say which of two histories is believed.

    With --take what is here is put aside, never deleted, and the next pull takes only a feed that comes by that head.
    Decisions about candidates stay as they are.
    """
    if keep and take is not None:
        raise click.UsageError("give --keep or --take, not both")
    with opened_store(console) as store, sharing(store) as found:
        told = origins.trust(found, wanted, HELD if keep else take, console.around.agent)
        _tell(console, told, "there is nothing to decide")


@click.command(
    "block", cls=Command, document="origin block", example='eventsync origin block es1k7q --reason "key lost"'
)
@_origin
@click.option("--reason", help="Why, for whoever looks at it later.")
@pass_console
def origin_block(console: Console, wanted: str, reason: str | None) -> None:
    """Keep an origin out of sight: its candidates go, and pulls pass it over and say so. `origin trust` undoes it.

    What was accepted from it stays.
    """
    with opened_store(console) as store, sharing(store) as found:
        told = origins.block(found, wanted, reason, console.around.agent)
        _tell(console, told, "it is blocked already")


@click.command("forget", cls=Command, document="origin forget", example="eventsync origin forget es1k7q")
@_origin
@pass_console
def origin_forget(console: Console, wanted: str) -> None:
    """Put aside what is held of an origin: its candidates go, what was accepted from it stays.

    A pull that finds it again begins anew, as with any new origin; `origin block` keeps it away. This is also the way
    out when what is held of it was damaged.
    """
    with opened_store(console) as store, sharing(store) as found:
        told = origins.forget(found, wanted, console.around.agent)
        _tell(console, told, "nothing of it is held")


def _tell(console: Console, told: origins.OriginDecision, nothing: str) -> None:
    if console.json:
        console.document(origin_report.decision_document(told))
        return
    for line in origin_report.decision_lines(told, nothing):
        console.note(line)
