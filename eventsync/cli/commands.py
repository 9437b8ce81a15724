"""Commands: what all commands share. Common options, an example in each help, suggestions for typos, loading on demand.

A group names the module of each command in a table; the module is imported when the command is used or listed.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import click

from eventsync import app, report, store_report
from eventsync.cli.console import Console

if TYPE_CHECKING:
    from journal import Committed, Store

pass_console: Final = click.make_pass_decorator(Console)


class NoSuchCommand(click.UsageError):
    """A command nobody knows, and those it is near to."""

    def __init__(self, name: str, near: Sequence[str], context: click.Context) -> None:
        super().__init__(f"no such command: {name}", context)
        self.near = near


class MissingCommand(click.UsageError):
    """A group was called without any of its commands."""


# --- options ---------------------------------------------------------------------------------------------------------


def common_options() -> list[click.Parameter]:
    """The options that every command takes, and that the program takes before a command."""
    return [
        _common(["--store"], _set_store, metavar="PATH", help="The store, or the folder it is in."),
        _common(["--json"], _set_json, is_flag=True, help="Print one JSON document; errors are JSON too."),
        _common(["-q", "--quiet"], _set_quiet, is_flag=True, help="Print answers and errors only."),
        _common(["-v", "--verbose"], _set_verbose, is_flag=True, help="Tell more, on standard error."),
        _common(["-h", "--help"], _print_help, is_flag=True, is_eager=True, help="Show this page and exit."),
    ]


def _common(names: list[str], act: Callable[[Console, Any], None], **settings: Any) -> click.Option:
    """An option that acts on the console, and does nothing when it is absent or a shell only completes words."""

    def callback(context: click.Context, _: click.Parameter, value: Any) -> None:
        console = context.find_object(Console)
        if value and console is not None and not context.resilient_parsing:
            act(console, value)

    return click.Option(names, expose_value=False, callback=callback, **settings)


def _set_store(console: Console, path: str) -> None:
    console.around = console.around._replace(store=path)


def _set_json(console: Console, _: bool) -> None:
    console.json = True


def _set_quiet(console: Console, _: bool) -> None:
    console.quiet = True


def _set_verbose(console: Console, _: bool) -> None:
    console.verbose = True


def _print_help(console: Console, _: bool) -> None:
    context = click.get_current_context()
    console.answer([context.get_help()])
    context.exit()


@click.pass_context
def _miss_a_command(context: click.Context) -> None:
    if context.invoked_subcommand is None:
        raise MissingCommand("missing command", context)


# --- commands and groups ---------------------------------------------------------------------------------------------


class Command(click.Command):
    """One command: its help ends with an example, and its JSON document has a shape in `report.EMPTY`."""

    def __init__(self, name: str, *, example: str, document: str | None = None, **settings: Any) -> None:
        super().__init__(name, add_help_option=False, **settings)
        self.example = example
        self.document = document or name
        self.params += common_options()

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Begin the command; from here on its empty document is the answer to any error."""
        console = parent.find_object(Console) if parent is not None else None
        if console is not None:
            console.empty = report.EMPTY[self.document]
        return super().make_context(info_name, args, parent, **extra)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the example."""
        with formatter.section("Example"):
            for line in self.example.strip().splitlines():
                formatter.write(f"{' ' * formatter.current_indent}{line.strip()}\n")


class CommandWithVerbs(Command, click.Group):
    """A command that does something by itself and has others below it, in a table of verb → `module:name`."""

    def __init__(self, name: str, *, verbs: Mapping[str, str], **settings: Any) -> None:
        super().__init__(name, invoke_without_command=True, subcommand_metavar="", **settings)
        self.verbs = verbs

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs below this command."""
        return list(self.verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a verb; None when there is no such."""
        return _loaded(self.verbs, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb; NoSuchCommand knows what it may have been meant to be."""
        _refuse_unknown(self, ctx, args[0])
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the verbs, each with the whole first sentence of its help."""
        found = [(verb, self.get_command(ctx, verb)) for verb in self.verbs]
        with formatter.section("Commands"):
            formatter.write_dl([(verb, command.get_short_help_str(90)) for verb, command in found if command])


class Group(click.Group):
    """A group whose commands stand in sections of its help, each a table of command → `module` or `module:name`."""

    def __init__(self, name: str, *, sections: Mapping[str, Mapping[str, str]], **settings: Any) -> None:
        super().__init__(
            name,
            callback=_miss_a_command,
            invoke_without_command=True,
            add_help_option=False,
            subcommand_metavar="COMMAND [ARGS]...",
            **settings,
        )
        self.sections = sections
        self.params += common_options()

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order of the sections."""
        return [name for section in self.sections.values() for name in section]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a command; None when the name is in no table."""
        found = (_loaded(section, cmd_name) for section in self.sections.values())
        return next((command for command in found if command is not None), None)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; NoSuchCommand knows what it may have been meant to be."""
        _refuse_unknown(self, ctx, args[0])
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands by section."""
        for title, section in self.sections.items():
            commands = [(name, self.get_command(ctx, name)) for name in section]
            with formatter.section(title):
                formatter.write_dl([(name, found.get_short_help_str(90)) for name, found in commands if found])


def _loaded(table: Mapping[str, str], name: str) -> click.Command | None:
    """The command that a table names, as `module` or `module:name`."""
    if name not in table:
        return None
    module, _, found = table[name].partition(":")
    command: click.Command = getattr(importlib.import_module(module), found or name)
    return command


def _refuse_unknown(group: click.Group, context: click.Context, name: str) -> None:
    if group.get_command(context, name) is None and not context.resilient_parsing:
        raise NoSuchCommand(name, difflib.get_close_matches(name, group.list_commands(context)), context)


# --- what many commands do -------------------------------------------------------------------------------------------


@contextmanager
def opened_store(console: Console) -> Iterator[Store]:
    """The store a command is about; tells afterwards when a cache was behind or could not be kept up."""
    with app.opened(console.around) as store:
        console.detail(f"store {store.folder}")
        yield store
        if store.stale is not None:
            console.warn(f"the newest records may be missing here: {store.stale}")
        if store.last_commit.cache_problem is not None:
            console.warn(f"the records are written, but a cache is behind: {store.last_commit.cache_problem}")
        if store.last_commit.written and store.checkpoint_is_due():
            _checkpoint(console, store)


def _checkpoint(console: Console, store: Store) -> None:
    """Take the checkpoint that is due, now that what was asked for is done and told; the next command may try again."""
    from journal import JournalError

    console.flush()
    try:
        console.detail(store_report.checkpoint_line(store.checkpoint()))
    except JournalError as error:
        console.detail(f"no checkpoint: {error}")


def print_written(console: Console, committed: Committed, otherwise: str) -> None:
    """Tell what was written, or that nothing was."""
    if console.json:
        console.document(report.records_document(committed.written))
        return
    for line in [report.written_line(record) for record in committed.written] or [otherwise]:
        console.note(line)
