"""Console: the terminal, or what stands in its place. The only room that writes to standard output and standard error.

Answers (what was asked for) and notes (what was done) go to standard output, warnings and errors to standard error.
With --json standard output is one document and each line of standard error one object. -q leaves answers and errors.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, TextIO

import click

from eventsync import report
from eventsync.app import Surroundings
from eventsync.errors import InvalidArgument, OutputFailed
from eventsync.text import clean

ROWS_ON_A_TERMINAL: Final = 100
_STYLES: Final = {
    "error": "1;31",
    "warning": "33",
    "header": "1",
    "removed": "31",
    "added": "32",
    "hunk": "36",
    "local": "36",
    "foreign": "32",
    "undecided": "1;31",
}


class ReaderLeft(Exception):
    """Whoever read standard output has gone; there is nobody to tell."""


class Console:
    """Standard output and error of this process, and what -q, -v, --json and --store made of them."""

    def __init__(self, around: Surroundings) -> None:
        self.around = around
        self.json = self.quiet = self.verbose = False
        self.empty: Mapping[str, Any] = {}  # the document of the command that runs, with nothing in it
        self.exit_code = 0
        self._out: TextIO = _usable(sys.stdout)
        self._error: TextIO = _usable(sys.stderr)
        self._to_close: str | None = None  # what completes the document that was begun
        self._answered = False

    # --- standard output ---

    @property
    def rows(self) -> int | None:
        """How many rows of a list are shown when nobody said; None for all."""
        return ROWS_ON_A_TERMINAL if self._out.isatty() and not self.json else None

    @property
    def columns(self) -> int | None:
        """How wide a line may be; None where nothing wraps."""
        return shutil.get_terminal_size().columns if self._out.isatty() else None

    def note(self, line: str) -> None:
        """Tell what was done."""
        if not self.json and not self.quiet:
            self.write(line + "\n")

    def answer(self, lines: Iterable[str]) -> None:
        """Show what was asked for: lines that are clean already."""
        for line in lines:
            self.write(line + "\n")

    def give(self, data: bytes) -> None:
        """Write bytes as they are, for a file or another program; InvalidArgument on a terminal, which would obey them.

        Raises as `write`.
        """
        if self._out.isatty():
            raise InvalidArgument("an attachment goes to a file or a pipe, not to a terminal")
        self.flush()
        try:
            self._out.buffer.write(data)
            self._out.buffer.flush()
        except OSError as error:
            self._give_up(error)

    def answer_styled(self, lines: Iterable[tuple[str, str | None]]) -> None:
        """Show what was asked for: clean lines, each with a style or none."""
        for text, style in lines:
            self.write((text if style is None else self._styled(style, text, self._out)) + "\n")

    def answer_table(self, lines: Iterable[str]) -> None:
        """Show a table; its first line is the header."""
        for number, line in enumerate(lines):
            self.write((self._styled("header", line, self._out) if number == 0 else line) + "\n")

    def document(self, document: Mapping[str, Any]) -> None:
        """Print the one JSON document of a command."""
        self._answered = True
        self.write(report.dump(document) + "\n")

    def stream(
        self, key: str, rows: Iterable[Mapping[str, Any]], rest: Callable[[], Mapping[str, Any]] | None = None
    ) -> None:
        """Print the document of a command whose long list is `key`, item by item.

        `rest` is asked for its other keys when the last item is written: some are known only then.
        """
        before, after = report.dump_list(key, self.empty)
        self._answered, self._to_close = True, f"\n{after}\n"
        self.write(before)
        for chunk in report.chunks(rows):
            self.write(chunk)
        if rest is not None:
            _, after = report.dump_list(key, {**self.empty, **rest()})
            self._to_close = f"\n{after}\n"
        self.complete()

    def lines(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Print one object a line, as they come, and no document."""
        self._answered = True
        for row in rows:
            self.write(report.dump(row) + "\n")

    def wait(self, seconds: float) -> None:
        """Let time pass; ReaderLeft as soon as nobody reads standard output any more."""
        try:
            descriptor = self._out.fileno()
        except OSError:  # no file: nobody can leave
            time.sleep(seconds)
            return
        watch = select.poll()
        watch.register(descriptor, 0)
        found = watch.poll(seconds * 1000)
        if any(event & (select.POLLERR | select.POLLHUP) for _, event in found):
            raise ReaderLeft("nobody reads standard output")
        if found:  # it cannot be watched
            time.sleep(seconds)

    def complete(self) -> None:
        """Make standard output a whole document, whatever happened: at every exit code."""
        rest, self._to_close = self._to_close, None
        if rest is not None:
            self.write(rest)
        elif self.json and not self._answered:
            self.document(self.empty)

    def write(self, text: str) -> None:
        """Write clean text; ReaderLeft when nobody reads, OutputFailed when it cannot be taken."""
        try:
            self._out.write(text)
        except OSError as error:
            self._give_up(error)

    def flush(self) -> None:
        """Hand over what was written; raises as `write`."""
        try:
            self._out.flush()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self._out = _redirected_to_nothing(self._out)
        if isinstance(error, BrokenPipeError):
            raise ReaderLeft("nobody reads standard output") from None
        raise OutputFailed(f"cannot be written: {error.strerror}", path="standard output") from None

    # --- standard error ---

    def detail(self, line: str) -> None:
        """Tell with -v how something was done."""
        if self.verbose and not self.json:
            self._tell(f"eventsync: {clean(line)}")

    def warn(self, message: str) -> None:
        """Tell what a person should know although the command worked."""
        if not self.quiet:
            self.alarm(message)

    def alarm(self, message: str) -> None:
        """Tell what a person should look at although the command worked, even one who wants to hear nothing."""
        if self.json:
            self._tell(report.dump({"warning": {"message": message}}))
        else:
            self._tell(f"{self._styled('warning', 'eventsync: warning:', self._error)} {clean(message)}")

    def error(self, message: str, hint: str | None) -> None:
        """Tell a person what went wrong, and what helps."""
        self._tell(f"{self._styled('error', 'eventsync: error:', self._error)} {clean(message)}")
        if hint:
            self._tell(f"hint: {clean(hint)}")

    def error_lines(self, lines: Iterable[str]) -> None:
        """Write longer texts, such as a traceback or a help page, where errors go."""
        for line in lines:
            self._tell(clean(line))

    def error_document(self, document: Mapping[str, Any]) -> None:
        """Tell a program what went wrong."""
        self._tell(report.dump(document))

    @property
    def can_ask(self) -> bool:
        """Whether there is a person to ask: a terminal, and not --json."""
        return not self.json and sys.stdin is not None and sys.stdin.isatty() and self._error.isatty()

    def key(self, keys: Mapping[str, str]) -> str:
        """Wait for one of some keys, which are told with what they do; q where the person or the terminal is gone."""
        self.flush()
        told = ", ".join(f"[{key}] {text}" for key, text in keys.items())
        while True:
            self._error.write(f"{clean(told)}: ")
            self._error.flush()
            try:
                pressed = str(click.getchar()).lower()
            except (EOFError, OSError):
                return "q"
            self._error.write("\n")
            if pressed in keys:
                return pressed

    def ask(self, question: str) -> bool | None:
        """Ask a person for yes or no; None where there is nobody to ask."""
        if not self.can_ask:
            return None
        self.flush()
        self._error.write(f"{clean(question)} [y/N] ")
        self._error.flush()
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    def _tell(self, line: str) -> None:
        with contextlib.suppress(OSError):  # nobody is left to be told
            self._error.write(line + "\n")
            self._error.flush()

    def _styled(self, style: str, text: str, stream: TextIO) -> str:
        plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not stream.isatty()
        return text if plain else f"\x1b[{_STYLES[style]}m{text}\x1b[0m"


def _usable(stream: TextIO | None) -> TextIO:
    """The stream, set so that no character can make it fail; nothing where the process was given none."""
    if stream is None:
        return _nothing()
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")
    return stream


def _redirected_to_nothing(stream: TextIO) -> TextIO:
    """Let what is still buffered go nowhere, or the interpreter would fail on it when it ends."""
    with contextlib.suppress(OSError, ValueError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, stream.fileno())
        os.close(nothing)
    return _nothing()


def _nothing() -> TextIO:
    return Path(os.devnull).open("w", encoding="utf-8")  # it lives as long as the process
