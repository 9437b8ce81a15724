"""Errors of the local store, as one tree.

    JournalError
    ├── NotAStore            no store at this place
    │   └── OnlyEntityFiles  ... but what git brought of one: `adoption` makes a store of it [I2]
    ├── StoreExists          there is one already
    ├── StoreLocked          another process holds the lock past the timeout [J9]
    ├── StoreCopied          copied, moved or restored: identity undecided [I2]
    ├── FormatTooNew         written by a later eventsync [J12]
    ├── InvalidInput         a caller's record breaks a limit; nothing was written [J10]
    │   ├── SchemaFailed     a payload is not what the schema it declares says
    │   ├── NoSuchEntity     the entity a caller names is not there
    │   └── NoSuchRecord     the log has no record with this seq
    ├── DamagedStore         local data is not what it must be
    │   ├── KeyMissing            the private key is not on this machine, or is none [I1]
    │   ├── LogShorterThanKnown   records were lost: caches remember more than the log holds [J11]
    │   ├── CacheUnreadable       a cache is no such cache: it is dropped and built again [T1]
    │   └── CursorUnreadable      what a reader has seen cannot be told [J11]
    └── DiskFailed           the disk refused; the log is as it was before
        └── StoreReadOnly    ... or could not be put back as it was [J5]

Errors carry facts and say what and where, without advice: advice and exit codes are one table in `eventsync.exits`.
"""

from __future__ import annotations

from pathlib import Path


class LocatedError(Exception):
    """What happened and where, as facts; text is `where: what [rule]`. The base of the trees in all packages."""

    def __init__(
        self,
        message: str,
        *,
        path: Path | str | None = None,
        line: int | None = None,
        seq: int | None = None,
        rule: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.path = None if path is None else str(path)
        self.line = line
        self.seq = seq
        self.rule = rule

    def __str__(self) -> str:
        where = "" if self.path is None else self.path if self.line is None else f"{self.path}:{self.line}"
        text = f"{where}: {self.message}" if where else self.message
        return f"{text} [{self.rule}]" if self.rule else text


class JournalError(LocatedError):
    """Base of all errors of the local store."""


class NotAStore(JournalError):
    """No store where one was expected; nothing was read or written."""


class OnlyEntityFiles(NotAStore):
    """Entity files without a journal, as a git clone brings them; nothing was read or written."""


class StoreExists(JournalError):
    """`init` found a store already; it is untouched."""


class StoreLocked(JournalError):
    """Another process holds the store lock; nothing was written."""


class StoreCopied(JournalError):
    """The store is not where it was made: writing waits for a decision on its identity."""


class FormatTooNew(JournalError):
    """The format is newer than this program: reading what is known goes on, writing does not."""


class InvalidInput(JournalError):
    """What a caller gave breaks a limit or names nothing; nothing was written."""


class SchemaFailed(InvalidInput):
    """A payload declares a schema and does not follow it; nothing was written."""


class NoSuchEntity(InvalidInput):
    """The entity a caller names does not exist or is deleted."""


class NoSuchRecord(InvalidInput):
    """The log does not hold the seq a caller names."""


class EntityRedacted(InvalidInput):
    """The newest record of the entity a caller wants to read is redacted: only writing it anew gives it a payload."""


class DamagedStore(JournalError):
    """Local data cannot be read as what it must be; it is left as found."""


class KeyMissing(DamagedStore):
    """The private key of the store is not here or cannot be read: nothing can be signed."""


class LogShorterThanKnown(DamagedStore):
    """The log ends before what index, projections or feed remember: records were lost."""


class CacheUnreadable(DamagedStore):
    """A cache cannot be read as what it must be; the store builds it again, so callers hardly meet this."""


class CursorUnreadable(DamagedStore):
    """A reader's cursor is no cursor, or not one of this log; it is left as found."""


class DiskFailed(JournalError):
    """The disk refused a write or an fsync; the log has its former length again."""


class StoreReadOnly(DiskFailed):
    """A failed write could not be undone: this process writes no more to the store."""
