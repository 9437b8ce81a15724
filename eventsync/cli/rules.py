"""Commands on rules: rules, rules list, rules test."""

from __future__ import annotations

from pathlib import Path

import click

from eventsync import rules_report
from eventsync.cli.commands import Command, CommandWithVerbs, opened_store, pass_console
from eventsync.cli.console import Console
from eventsync.ruling import rehearse
from eventsync.sharing import sharing

_HERE = "eventsync.cli.rules"


@click.command(
    "rules",
    cls=CommandWithVerbs,
    verbs={"list": f"{_HERE}:list_", "test": f"{_HERE}:test"},
    example="""
    eventsync rules
    eventsync rules test
    """,
)
@click.pass_context
def rules(context: click.Context) -> None:
    """List the rules in config.toml, which decide about candidates after each pull.

    The first rule that fits a candidate counts. `rules test` shows what they would do now.
    """
    if context.invoked_subcommand is None:
        _list(context.ensure_object(Console))


@click.command("list", cls=Command, document="rules list", example="eventsync rules list")
@pass_console
def list_(console: Console) -> None:
    """List the rules, as `eventsync rules` does."""
    _list(console)


def _list(console: Console) -> None:
    with opened_store(console) as store, sharing(store) as found:
        if console.json:
            console.document({"rules": [rules_report.rule_row(rule) for rule in found.rules]})
            return
        console.answer(map(rules_report.rule_line, found.rules))
        if not found.rules:
            console.note("no rules; docs/cli.md tells under `Deciding by rule` how to write one")


@click.command(
    "test",
    cls=Command,
    document="rules test",
    example="""
    eventsync rules test
    eventsync rules test --config draft.toml --type plan
    """,
)
@click.option("--origin", metavar="ORIGIN", help="Only of one origin: its id, a beginning of it, or its name.")
@click.option("--type", "item_type", metavar="TYPE", help="Only of one item type.")
@click.option("--config", metavar="FILE", type=click.Path(path_type=Path), help="Try the rules in this file instead.")
@pass_console
def test(console: Console, origin: str | None, item_type: str | None, config: Path | None) -> None:
    """Show what the rules would do with the inbox as it is, and what is left to you.

    Nothing is decided, and nothing is fetched.
    """
    with opened_store(console) as store, sharing(store) as found:
        stale = found.holdings.look()
        seen = rehearse(found, config, found.origin_named(origin), item_type)
        if console.json:
            console.document(rules_report.rehearsal_document(seen))
        else:
            console.answer(rules_report.rehearsal_lines(seen))
        if stale:
            console.warn(f"candidates may be missing here: {stale}")
