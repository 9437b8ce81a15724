"""Transports: how a named place is reached. A transport moves named files and never interprets them.

The whole contract, kept by one conformance suite (tests/conformance): name the origins a place holds, bring named
files into a staging folder, publish named files of a feed with the head last. Foreign names and files never get past it
unless they match our own pattern (`federation.model.FEED_FILE`); only regular files are taken, capped in size.

A feed is a folder with files of three kinds. The names of blobs have folders in them, at each place as here:

    head.json    seg-00000001-00000420-<12 hex>.jsonl.zst    blobs/ab/ab<62 hex>.zst

All are immutable but head.json. A transport treats slices and blobs alike, and looks into neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol


class Listing(NamedTuple):
    """What a place holds: origin ids, sorted, and how many names were ignored."""

    origins: tuple[str, ...]
    ignored: int = 0


class Wanted(NamedTuple):
    """A file asked for by name, and the most bytes it may have."""

    name: str
    max_bytes: int


class Transport(Protocol):
    """A reached place."""

    is_local: bool  # no network: a first push needs no confirmation

    def create(self) -> None:
        """Make the place ready for a first push, where that takes no more than an empty folder; else do nothing.

        Raises SourceUnavailable or RemoteReadOnly.
        """
        ...

    def origins(self) -> Listing:
        """The origins whose feeds are here. A reachable place without feeds gives none.

        Raises SourceUnavailable when the place cannot be reached or is not there.
        """
        ...

    def fetch(self, origin: str, wanted: Sequence[Wanted], into: Path) -> tuple[str, ...]:
        """Copy files of an origin's feed into an existing private folder; return the names that could be had.

        A file comes to stand there under its whole name; the folders of blobs are made, mode 0700. One that is missing,
        too large, or not a regular file is left out (the caller says `incomplete`). Nothing else appears there.
        Raises SourceUnavailable when the place fails as a whole, or this feed cannot be read: unreadable is never
        missing.
        """
        ...

    def kept(self, origin: str) -> None:
        """What was fetched of this origin last is held here for good: the next fetch need bring only what is new.

        Called after it was made durable. A hint, which nothing may depend on; a place that is read as it stands
        needs none.
        """
        ...

    def missing(self, origin: str, folder: Path, names: Sequence[str]) -> tuple[str, ...]:
        """Which of these files of the feed in `folder` are not there whole, in their order.

        Asked when the head that is there is ours already: what it lists may have been lost or torn since, and readers
        would find the feed incomplete for ever. It tells what one listing tells (of a folder, names and sizes; of a git
        ref, the ids in its tree), and brings and opens nothing when nothing changed, since every push of nothing new
        asks. What it names, `publish` makes whole again. Raises SourceUnavailable as `fetch`.
        """
        ...

    def publish(self, origin: str, folder: Path, names: Sequence[str], keep: frozenset[str]) -> None:
        """Make the feed in `folder` visible: files in order, each durable before the next, head.json last [F4].

        `names` lists the whole feed, blobs before slices. Files already there (same name, same size: both are
        immutable) are not sent again, except head.json. Feed files there, blobs included, that are neither in `names`
        nor in `keep` are removed afterwards. Raises SourceUnavailable or RemoteReadOnly; the place then holds whole
        files only and the former head, or the new one when only the removal failed.
        """
        ...

    def publish_anew(self, origin: str, folder: Path, names: Sequence[str], keep: frozenset[str]) -> bool:
        """As `publish`, when something was taken back: nothing that stands there then leads to what was removed [F9].

        Whether that is so. A place that shows nothing but files has no more to do for it; one with a history has to
        begin a new one, and where that is refused it holds the feed as after `publish`. Raises as `publish`.
        """
        ...
