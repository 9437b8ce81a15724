"""The command line: parse, call the app, print the report, exit. `main()` is the program.

Every way out of it is here: what a command raises becomes a message and an exit code by the table in `exits`. Commands
stand in modules that are loaded when they are used; to add one, write it in a module of its group and name it below.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Final, NoReturn

import click

from eventsync import __version__, exits, report
from eventsync.app import Surroundings
from eventsync.cli.commands import Group, MissingCommand, NoSuchCommand
from eventsync.cli.console import Console, ReaderLeft
from eventsync.errors import OutputFailed, Terminated

NAME: Final = "eventsync"
_COMPLETE: Final = "_EVENTSYNC_COMPLETE"  # the variable that a shell's completion script sets

_ENTITIES: Final = "eventsync.cli.entities"
_STORES: Final = "eventsync.cli.stores"
_EXCHANGE: Final = "eventsync.cli.exchange"
_INBOX: Final = "eventsync.cli.inboxes"

program: Final = Group(
    name=NAME,
    help="""Keep what agents decide, plan and learn in an append-only journal, and let stores learn from each other.

    A store is a folder .eventsync, found by walking up from here.""",
    epilog="""\b
    EVENTSYNC_STORE         the store, as --store
    EVENTSYNC_AGENT         who writes, as it stands in the records (cli)
    EVENTSYNC_DATA_DIR      where private keys are kept
    EVENTSYNC_LOCK_TIMEOUT  seconds to wait for another process (10)
    VISUAL, EDITOR          what `edit` opens
    NO_COLOR                no colour on a terminal

    \b
    Completion: put one of these into the startup file of your shell.
      eval "$(_EVENTSYNC_COMPLETE=bash_source eventsync)"
      eval "$(_EVENTSYNC_COMPLETE=zsh_source eventsync)"
      _EVENTSYNC_COMPLETE=fish_source eventsync | source""",
    sections={
        "Entities": {
            **dict.fromkeys(["put", "edit", "rm", "show", "ls"], _ENTITIES),
            **dict.fromkeys(["log", "unseen"], "eventsync.cli.history"),
            "schema": "eventsync.cli.schemas",
        },
        "Other stores": {
            "remote": "eventsync.cli.remotes",
            "origin": "eventsync.cli.origins",
            "peers": "eventsync.cli.peers",
            **dict.fromkeys(["publish", "push", "pull", "sync", "status"], _EXCHANGE),
            "schedule": "eventsync.cli.schedules:schedule_command",
        },
        "What they have": {
            **dict.fromkeys(["inbox", "diff", "accept", "reject", "snooze"], _INBOX),
            "review": "eventsync.cli.reviews",
            "rules": "eventsync.cli.rules",
        },
        "The store": {
            **dict.fromkeys(["init", "verify", "rebuild"], _STORES),
            "doctor": "eventsync.cli.doctors",
            **dict.fromkeys(["checkpoint", "gc", "redact"], "eventsync.cli.upkeep"),
            "inspect": "eventsync.cli.inspections",
            "migrate": "eventsync.cli.migrations",
            "identity": "eventsync.cli.identities",
            "demo": "eventsync.cli.demos",
        },
    },
    params=[
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            help="Show the version and exit.",
            callback=lambda context, _, value: _print_version(context) if value else None,
        )
    ],
)


def main(arguments: Sequence[str] | None = None, *, group: Group = program) -> int:
    """Run the program and return its exit code; the interpreter is left as it was found."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if _COMPLETE in os.environ:
        from click.shell_completion import shell_complete

        return shell_complete(group, {}, NAME, _COMPLETE, os.environ[_COMPLETE])
    console = Console(Surroundings.of_process())
    with _sigterm_as_exception():
        try:
            _run(group, console, given)
        except ReaderLeft:  # everything is done but the telling
            pass
    return console.exit_code


def _run(group: Group, console: Console, arguments: Sequence[str]) -> None:
    try:
        with group.make_context(NAME, list(arguments), obj=console) as context:
            group.invoke(context)
        console.flush()
    except click.exceptions.Exit as end:
        console.exit_code = end.exit_code
        console.flush()
    except ReaderLeft:
        raise
    except (Exception, KeyboardInterrupt, Terminated) as error:  # noqa: BLE001 - each is told, with its exit code
        console.json = console.json or _asks_for_json(arguments)
        _fail(console, error)


def _fail(console: Console, error: BaseException) -> None:
    """Complete standard output, tell the error on standard error, and set the exit code."""
    row = exits.exit_of(error)
    console.exit_code = row.code
    message = _message(error, row)
    hint = "; ".join(filter(None, [_hint(error, row), *getattr(error, "__notes__", [])])) or None
    try:
        console.complete()
        console.flush()
    except (OutputFailed, ReaderLeft) as unread:
        console.detail(str(unread))  # the error that led here is what is told
    if console.json:
        console.error_document(report.error_document(row, error, message, hint))
        return
    if isinstance(error, MissingCommand) and error.ctx is not None:
        console.error_lines(error.ctx.get_help().splitlines())
    if row.code == exits.BUG and console.verbose:
        console.error_lines("".join(traceback.format_exception(error)).splitlines())
    console.error(message, hint)


def _message(error: BaseException, row: exits.Exit) -> str:
    """What happened, and where, in one line."""
    if isinstance(error, click.ClickException):
        text = error.format_message().rstrip(".")
        return text[:1].lower() + text[1:]
    if isinstance(error, KeyboardInterrupt | Terminated | click.Abort):
        return row.slug
    if isinstance(error, OSError):
        return f"{'' if error.filename is None else f'{error.filename}: '}{error.strerror or error}"
    return str(error) if hasattr(error, "message") else f"{type(error).__name__}: {error}"


def _hint(error: BaseException, row: exits.Exit) -> str | None:
    """What helps: the row's hint, or for a usage error the help of the command it was about."""
    if isinstance(error, NoSuchCommand) and error.near:
        return f"did you mean {' or '.join(error.near)}?"
    context = error.ctx if isinstance(error, click.UsageError) else None
    return row.hint if context is None else f"`{context.command_path} --help` shows how it is used"


def _asks_for_json(arguments: Sequence[str]) -> bool:
    """Whether --json stands among the options, for errors that come before it was parsed."""
    options = list(arguments)
    return "--json" in (options[: options.index("--")] if "--" in options else options)


def _print_version(context: click.Context) -> NoReturn:
    console = context.find_object(Console)
    if console is not None:
        console.answer([f"{NAME} {__version__}"])
    context.exit()


@contextmanager
def _sigterm_as_exception() -> Iterator[None]:
    """Let SIGTERM end the program as Ctrl-C does, with all `finally` blocks run."""

    def terminate(_: int, __: FrameType | None) -> NoReturn:
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
