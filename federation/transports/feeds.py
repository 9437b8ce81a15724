"""What every transport checks before it publishes a feed. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from federation.model import FEED_FILE, HEAD_FILE
from journal import ORIGIN


def files_before_head(origin: str, names: Sequence[str]) -> list[str]:
    """The files of a feed that are made visible before its head, in their order: blobs and slices [F4].

    ValueError when it is none: the caller is at fault.
    """
    if not ORIGIN.fullmatch(origin) or HEAD_FILE not in names or not all(map(FEED_FILE.fullmatch, names)):
        raise ValueError(f"no feed to publish: {origin!r}, {names!r}")
    return [name for name in names if name != HEAD_FILE]
