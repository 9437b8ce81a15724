"""What every transport checks before it publishes a feed. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from federation.model import FEED_FILE, HEAD_FILE
from journal import ORIGIN


def slices_to_publish(origin: str, names: Sequence[str]) -> list[str]:
    """The slices among the names of a feed, in their order; ValueError when that is none: the caller is at fault."""
    if not ORIGIN.fullmatch(origin) or HEAD_FILE not in names or not all(map(FEED_FILE.fullmatch, names)):
        raise ValueError(f"no feed to publish: {origin!r}, {names!r}")
    return [name for name in names if name != HEAD_FILE]
