"""Ailments: ONE table of what `doctor` can find: how bad it is, what it means, what --fix does, where it is explained.

Pure, and imports nothing of the rooms below: doctor has to work where they do not. docs/doctor.md has a section for
each row, with the row's id as its title; a test compares both.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from eventsync import exits

Severity = Literal["error", "warning", "info"]
# What --fix does: mends it whenever it is found; only when the finding says that it can; tries, with what others have;
# or leaves it to a person.
Fix = Literal["always", "as found", "tries", "never"]
PAPER: Final = "docs/doctor.md"


class Ailment(NamedTuple):
    """One row. `severity` is the gravest that it comes with; an error that stays ends doctor with `exit_code`."""

    severity: Severity
    fix: Fix
    sentence: str
    exit_code: int = exits.DAMAGED


class Found(NamedTuple):
    """One thing that is not as it should be: the shape of `journal.Finding`, without the journal."""

    id: str
    message: str
    path: str | None = None
    line: int | None = None
    seq: int | None = None
    severity: Severity = "warning"
    fixable: bool = False


TABLE: Final[Mapping[str, Ailment]] = MappingProxyType(
    {
        # The store as a whole.
        "no-store": Ailment("error", "never", "There is no store here or above.", exits.NOT_HERE),
        "only-entity-files": Ailment("error", "never", "Entity files are here, and no journal.", exits.NOT_HERE),
        "store-unreadable": Ailment("error", "never", "The store cannot be opened."),
        "format-too-new": Ailment("error", "never", "A newer program wrote this.", exits.TOO_NEW),
        "store-copied": Ailment(
            "error", "never", "The store is not where it was: writing waits for a person.", exits.DECISION
        ),
        "identity": Ailment("error", "never", "store.json or local.json is not what it must be."),
        "config-invalid": Ailment("error", "never", "config.toml cannot be used as it is.", exits.USAGE),
        "check-failed": Ailment("error", "never", "Something could not be looked at."),
        # The log.
        "corruption": Ailment("error", "tries", "Bytes of the log are no records any more."),
        "segment-unreadable": Ailment("error", "tries", "A file of the log cannot be read as one."),
        "segment-header": Ailment("error", "tries", "The first line of a segment is not what it must be there."),
        "record-unreadable": Ailment("error", "never", "A record is whole, but says nothing that can be read."),
        "record-incomplete": Ailment("error", "never", "A record lacks what its action needs."),
        "seq-not-dense": Ailment("error", "never", "Seqs are missing, or stand twice."),
        "rev-jump": Ailment("error", "never", "The revs of an entity do not follow each other."),
        "log-too-short": Ailment("error", "tries", "The log lost records that others still know of."),
        "watermark-wrong": Ailment("error", "always", "projections.json says what cannot be: the log is whole."),
        "published-differs": Ailment("error", "never", "The log is not the one that was published."),
        "blob-damaged": Ailment("error", "tries", "The payload of a record is missing or damaged."),
        "blob-unreferenced": Ailment("info", "never", "A payload that no record needs lies here."),
        "archive-differs": Ailment("error", "never", "A segment is archived and live, and both differ."),
        "archived-twice": Ailment("info", "always", "A segment is archived and live: an interrupted gc."),
        "stub-unlisted": Ailment("error", "never", "A record is redacted, and nobody asked for it."),
        "redaction-unfinished": Ailment("error", "always", "A redaction was interrupted."),
        "torn-tail": Ailment("info", "never", "A crash left half a record; nothing is lost."),
        "void-batch": Ailment("info", "never", "Part of a batch was lost in a crash, and does not count."),
        "stray-file": Ailment("info", "as found", "A file that is not part of the log stands in its folder."),
        # Caches and cursors.
        "index-unreadable": Ailment("warning", "always", "The index cannot be read."),
        "index-differs": Ailment("error", "always", "An index is not what it is made from."),
        "index-behind": Ailment("info", "always", "The index lacks the newest records."),
        "index-in-use": Ailment("info", "never", "Another process is at work: one index was not looked at."),
        "projections-behind": Ailment("info", "always", "The entity files lack the newest records."),
        "projection-differs": Ailment("warning", "as found", "An entity file is not what the log says."),
        "checkpoint-differs": Ailment("warning", "always", "A checkpoint cannot be relied on."),
        "checkpoint-unused": Ailment("info", "never", "A checkpoint that no record vouches for lies here."),
        "cursor-unreadable": Ailment("error", "never", "Nobody knows any more how far a reader has read."),
        "cursor-differs": Ailment("error", "never", "A reader has seen another record than the log has."),
        # What is published, and what is held of others.
        "feed-damaged": Ailment("error", "tries", "The feed that this store publishes is damaged."),
        "feed-lost": Ailment("error", "tries", "The feed that this store publishes is gone."),
        "feed-behind": Ailment("error", "tries", "The feed is older than what this store published last."),
        "feed-blob-damaged": Ailment("error", "tries", "A published payload is missing or damaged."),
        "mirror-damaged": Ailment("error", "tries", "What is held of another store is damaged."),
        "mirror-blob-damaged": Ailment("error", "tries", "A payload of another store is damaged."),
        "mirror-blob-missing": Ailment("warning", "tries", "A payload of another store never came."),
        "origin-forked": Ailment("warning", "never", "Another store signed two feeds that contradict each other."),
        "quarantined": Ailment("info", "never", "Bytes of another store were refused, and are kept to be looked at."),
        # Where the store stands.
        "network-filesystem": Ailment("warning", "never", "The store is on a file system of another machine."),
        "synced-folder": Ailment("warning", "never", "A program that syncs files may change the store."),
        "disk-nearly-full": Ailment("warning", "never", "The disk is nearly full."),
        "permissions": Ailment("warning", "always", "Others on this machine may read the store, or we may not write."),
        "foreign-owner": Ailment("warning", "never", "A file of the store belongs to another user."),
        "key-missing": Ailment("error", "never", "The private key is not here: nothing can be published."),
        "key-wrong": Ailment("error", "never", "The private key is not the one of this store."),
        "key-permissions": Ailment("warning", "always", "Others on this machine may read the private key."),
        "private-file-tracked": Ailment("warning", "never", "Git shows others an entity that is private."),
        "leftover": Ailment("info", "always", "An interrupted command left a file behind."),
        "backups": Ailment("info", "never", "Copies of what doctor changed are kept."),
        # The machine.
        "foreign-package": Ailment("error", "never", "Another package took the name of one of ours.", exits.USAGE),
        "program-differs": Ailment("warning", "never", "The shell starts another eventsync than this one."),
        "tool-missing": Ailment("warning", "never", "A remote needs a program that is not installed."),
        "tool-too-old": Ailment("error", "never", "A remote needs a newer program.", exits.USAGE),
        "tool-old": Ailment("warning", "never", "A program that a remote needs has known weaknesses."),
    }
)


def anchor(ailment: str) -> str:
    """Where an ailment is explained."""
    return f"{PAPER}#{ailment}"


def ailing(ailment: str, message: str, *, path: Path | str | None = None, seq: int | None = None) -> Found:
    """A finding as grave as its row says."""
    row = TABLE[ailment]
    where = None if path is None else str(path)
    return Found(ailment, message, where, None, seq, row.severity, row.fix in ("always", "tries"))


def exit_code(findings: list[Found]) -> int:
    """The exit code of what stays: that of the errors among it."""
    return exits.combine([TABLE[found.id].exit_code for found in findings if found.severity == "error"])
