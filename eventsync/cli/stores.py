"""Commands on the store as a whole: init, verify, rebuild."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import click

from eventsync import app, exits, store_report
from eventsync.cli.commands import Command, opened_store, pass_console
from eventsync.cli.console import Console


@click.command(
    "init",
    cls=Command,
    example="""
    eventsync init
    eventsync init notes --name laptop-notes
    """,
)
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@click.option("--name", help="A label for people; without it the name of the folder.")
@click.option("--track", is_flag=True, help="Let git track the entities, for people who want to see diffs.")
@pass_console
def init(console: Console, folder: Path | None, name: str | None, track: bool) -> None:
    """Make a store in DIR, or here, with a key of its own.

    The private key is kept outside the store, so that copying a store never copies it. Where git brought the entity
    files of a tracked store, the new store begins with what they say.
    """
    facts, adopted = app.init(console.around, folder, name=name, tracked=_published_types() if track else ())
    left = () if adopted is None else adopted.left
    console.exit_code = exits.PARTLY if left else exits.DONE
    for found in left:
        console.warn(store_report.left_out_line(found))
    if console.json:
        console.document(store_report.made_document(facts, adopted))
    console.note(store_report.made_line(facts.origin, facts.path))
    if adopted is not None:
        console.note(store_report.adopted_line(adopted.taken))


def _published_types() -> Collection[str]:
    from federation.withholding import DEFAULT_TYPES

    return DEFAULT_TYPES


@click.command(
    "verify",
    cls=Command,
    example="""
    eventsync verify
    eventsync verify --json
    """,
)
@pass_console
def verify(console: Console) -> None:
    """Read everything and say what is not as it must be. Changes nothing.

    Exits with 12 when something is damaged.
    """
    with opened_store(console) as store:
        findings = app.verify(store)
        ok = all(finding.severity != "error" for finding in findings)
        if not ok:
            console.exit_code = exits.DAMAGED
        if console.json:
            console.document(store_report.findings_document(findings, ok))
            return
        console.answer(map(store_report.finding_line, findings))
        console.note(store_report.findings_line(findings))


@click.command("rebuild", cls=Command, example="eventsync rebuild")
@pass_console
def rebuild(console: Console) -> None:
    """Delete the caches and make them again from the journal.

    Index and entity files are caches: nothing that was recorded is lost. Exits with 12 when something cannot be read:
    the rest is there.
    """
    with opened_store(console) as store:
        rebuilt = app.rebuild(store)
        for text in rebuilt.left_out:
            console.exit_code = exits.DAMAGED
            console.warn(f"left out: {text}")
        if console.json:
            console.document(
                {"last_seq": rebuilt.last_seq, "entities": rebuilt.entities, "left_out": list(rebuilt.left_out)}
            )
        console.note(f"rebuilt up to seq {rebuilt.last_seq}: {rebuilt.entities} entities")
