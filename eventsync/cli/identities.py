"""Commands on who a store is: identity show, keep, renew, republish."""

from __future__ import annotations

import click

from eventsync import app, store_report
from eventsync.cli.commands import Command, Group, opened_store, pass_console
from eventsync.cli.console import Console
from federation.errors import DecisionNeeded

identity = Group(
    name="identity",
    help="Who this store is, and whether it is still the one it was.",
    sections={"Commands": {name: f"{__name__}:identity_{name}" for name in ("show", "keep", "renew", "republish")}},
)


@click.command("show", cls=Command, document="identity show", example="eventsync identity show")
@pass_console
def identity_show(console: Console) -> None:
    """Show origin, name and key, and whether the store was moved."""
    with opened_store(console) as store:
        facts = app.facts_of(store)
        if console.json:
            console.document(store_report.identity_document(facts))
        else:
            console.answer(store_report.identity_lines(facts))


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
        console.note(store_report.kept_line(store.origin, moved))


@click.command(
    "renew",
    cls=Command,
    document="identity renew",
    example="""
    eventsync identity renew --name laptop
    eventsync identity renew --at 41 --yes
    """,
)
@click.option("--at", metavar="SEQ", type=click.IntRange(min=0), help="Leave the old identity at this record.")
@click.option("--name", help="Another label for people.")
@click.option("--publish-live", is_flag=True, help="Write all that is live again, for readers of the new feed alone.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_console
def identity_renew(console: Console, at: int | None, name: str | None, publish_live: bool, yes: bool) -> None:
    """Give this store an identity of its own: it is a copy, was restored, or lost its key.

    Its records stay its own, and the next ones go out under the new identity. What another copy goes on writing under
    the old one can be pulled. What this copy wrote after SEQ is written once more, so that nothing is lost.
    """
    from eventsync import renewing

    with opened_store(console) as store:
        if not yes:
            for line in store_report.prospect_lines(renewing.prospect(store, at)):
                console.note(line)
            answer = console.ask("take a new identity? this cannot be taken back")
            if not answer:
                text = "a new identity cannot be taken back: it needs --yes" if answer is None else "left as it is"
                raise DecisionNeeded(text, rule="I2")
        renewed = renewing.renew(store, console.around, at, name)
        behind = renewing.standing_behind(store)
        if publish_live or (
            behind and not yes and console.ask(f"{store_report.behind_line(behind)}; show them again?")
        ):
            renewed = renewed._replace(republished=renewed.republished + renewing.show_again(store, console.around))
            behind = 0
        if console.json:
            console.document(store_report.renewal_document(renewed, behind))
        for line in store_report.renewal_lines(renewed, behind):
            console.note(line)


@click.command("republish", cls=Command, document="identity republish", example="eventsync identity republish")
@pass_console
def identity_republish(console: Console) -> None:
    """Write again, as copies, what stands only in feeds of former identities.

    Whoever has it already is not asked again. The next publish shows it.
    """
    from eventsync import renewing

    with opened_store(console) as store:
        count = renewing.show_again(store, console.around)
        if console.json:
            console.document({"origin_store_id": store.origin, "republished": count})
        console.note(store_report.republished_line(count))
