"""Errors of the tool itself, as one tree; those of the store and of sharing have trees of their own.

    ToolError
    ├── ConfigError           config.toml is not what it must be
    ├── RemoteExists          a remote of that name is configured already
    ├── UnknownOrigin         no records of that origin are here
    ├── InvalidArgument       an argument that only the use case can judge
    ├── InputUnreadable       a file the person names, or standard input, cannot be read
    ├── NotOurFile            a file that a person wants to look into is none of a store or feed
    ├── LibraryMissing        a library that a setting asks for is not installed
    ├── EditorFailed          the editor did not start, or gave up
    ├── ScheduleFailed        a crontab or a unit cannot be read or written, or is not ours
    ├── ChangedMeanwhile      what was edited is no longer what was shown
    └── OutputFailed          standard output does not take what is written
    Terminated                SIGTERM; passes every `except Exception`, as Ctrl-C does

Facts only: advice and exit codes are one table in `exits`.
"""

from __future__ import annotations

from pathlib import Path


class ToolError(Exception):
    """Base of all errors of the tool; the same facts as the errors of the rooms below."""

    def __init__(self, message: str, *, path: Path | str | None = None, line: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.path = None if path is None else str(path)
        self.line = line

    def __str__(self) -> str:
        where = "" if self.path is None else self.path if self.line is None else f"{self.path}:{self.line}"
        return f"{where}: {self.message}" if where else self.message


class ConfigError(ToolError):
    """config.toml cannot be used as it is; it is untouched."""


class RemoteExists(ToolError):
    """A remote of that name is configured already; nothing was changed."""


class UnknownOrigin(ToolError):
    """No records of that origin are here."""


class InvalidArgument(ToolError):
    """What the person asked for cannot be; nothing was done."""


class InputUnreadable(ToolError):
    """What should be read in cannot be read; nothing was written."""


class LibraryMissing(ToolError):
    """A setting asks for a library that is not installed; nothing was done without it."""


class NotOurFile(ToolError):
    """The file is of no kind that a store or a feed has; what is in it is not shown."""


class EditorFailed(ToolError):
    """The editor did not run to a good end; nothing was written."""


class ScheduleFailed(ToolError):
    """A crontab or a unit cannot be read or written, or is not ours; what is not ours is untouched."""


class ChangedMeanwhile(ToolError):
    """Somebody else changed the entity while it was edited; nothing was written."""


class OutputFailed(ToolError):
    """Standard output did not take what was written; what the command did is done."""


class Terminated(BaseException):
    """The process was asked to end; blocks with `finally` run on the way out."""
