"""What the end of an rsync call means: one of our errors for its exit code and its words. Pure.

An exit code says what went wrong on which side, not which files arrived: that is looked up where they should stand.
The other side chooses its words freely: they are cut, cleaned, and believed only as far as they choose the error.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from federation.errors import FederationError, ProgramUnusable, RemoteReadOnly, RemoteRefused, SourceUnavailable
from federation.transports.child import Ended
from federation.transports.rsync_worker import CANNOT_START

DONE: Final = 0
PARTIAL: Final = 23  # some files could not be read, or the place itself
VANISHED: Final = 24  # some files went while it looked
_SSH_FAILED: Final = 255
_NO_CONNECTION: Final = frozenset([2, 5, 10, 12, 14, 30, 35, 127, _SSH_FAILED])
_MEANINGS: Final = {
    2: "the other side speaks no rsync that we understand",
    5: "the daemon refused",
    10: "cannot be reached",
    11: "could not be written",
    12: "the transfer was cut off",
    14: "ssh cannot be started",
    PARTIAL: "not all of it could be read or written",
    VANISHED: "files went while they were read",
    30: "the other side fell silent",
    35: "the other side fell silent",
    127: "rsync is not installed there",
    _SSH_FAILED: "ssh did not get in",
}
_MAX_SAID: Final = 300  # characters that are repeated
_NOISE: Final = re.compile(r"rsync error: |rsync: connection unexpectedly closed|rsync: \S+ (?:read|write) error: |$")
_TAGS: Final = re.compile(r"^(?:@?ERROR: |rsync: )(?:\[\w+\] )?")
# Of ssh, which goes on with the ways in that it tried; a file system says (13).
_SSH_REFUSED: Final = re.compile(
    r"permission denied(?:, please| \([a-z])|host key verification failed|too many authentication failures"
)
_NOT_LET_IN: Final = {
    5: re.compile("auth failed|access denied"),
    12: _SSH_REFUSED,  # rsync may see the pipe to ssh break before it hears how ssh ended
    _SSH_FAILED: _SSH_REFUSED,
}
_READ_ONLY: Final = ("module is read only", "read-only server")


class Failure(NamedTuple):
    """Why a call did not do what was asked; `of_place` when every other one would fail the same way."""

    error: FederationError
    of_place: bool


def failure(ended: Ended, display: str, deadline_seconds: float, meaning: str | None = None) -> Failure:
    """What an ended call comes to, when something is missing; `meaning` is for who knows more than the exit code."""
    if ended.late:
        return Failure(SourceUnavailable(f"was not done within {deadline_seconds:g} seconds", path=display), False)
    lines = _lines(ended.errors)
    lower = " ".join(lines).lower()
    meaning = meaning or _MEANINGS.get(ended.code or 0, f"rsync ended with code {ended.code}")
    said = "; ".join(_TAGS.sub("", line) for line in lines if not _NOISE.match(line))[-_MAX_SAID:]
    message = f"{meaning}: {said}" if said else meaning
    if ended.code == CANNOT_START:
        return Failure(ProgramUnusable(f"rsync cannot be started: {said}"), True)
    if any(words in lower for words in _READ_ONLY):
        return Failure(RemoteReadOnly(said, path=display), True)
    if ended.code in _NOT_LET_IN and _NOT_LET_IN[ended.code].search(lower):
        return Failure(RemoteRefused(said, path=display), True)
    return Failure(SourceUnavailable(message, path=display), ended.code in _NO_CONNECTION)


def knows_no_fsync(ended: Ended) -> bool:
    """Whether the other side did not take --fsync: it is older than 3.2.4, or does not want to."""
    return ended.code not in (DONE, None) and b"--fsync" in ended.errors


def _lines(errors: bytes) -> list[str]:
    """The last lines of what was said, without what would move a terminal."""
    lines = errors.decode("utf-8", "replace").split("\n")
    return ["".join(sign if sign.isprintable() else " " for sign in line).strip() for line in lines if line][-6:]
