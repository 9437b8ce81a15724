"""Brake report: what one pull brought that is more than usual, before and after a person released it.

Pure, as `report` is. Everything foreign passes `text`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from eventsync.report import Document, key_of
from eventsync.text import clean, shorten

if TYPE_CHECKING:
    from federation.model import Load, OriginPull, RemotePull

BRAKED: Final = "`eventsync inbox --all` shows them, `eventsync pull --confirm` releases them"
_MOST_KINDS: Final = 8  # in one line of text


class Refused(NamedTuple):
    """What is told of a brake: an error, lines below it, and what to run next."""

    message: str
    lines: tuple[str, ...]
    hint: str


def load_document(load: Load | None) -> Document | None:
    """What a brake holds, or held until now."""
    if load is None:
        return None
    return {
        "changes": load.changes,
        "deletions": load.deletions,
        "max_changes": load.limits.changes,
        "max_deletions": load.limits.deletions,
        "kinds": [
            {"verdict": str(verdict), "item_type": item_type, "count": count}
            for (verdict, item_type), count in _most_first(load)
        ],
        "examples": [
            {"id": found.id, "item_type": found.item_type, "item_id": found.item_id, "verdict": str(found.verdict)}
            for found in load.examples
        ],
    }


def refused(report: RemotePull) -> Iterator[Refused]:
    """What the brake holds of each origin of a remote: for standard error, even with -q."""
    for found in report.origins:
        if found.braked:
            yield _refused(report, found)


def _refused(report: RemotePull, found: OriginPull) -> Refused:
    who = f"{report.name or report.url}: {found.name or found.origin}"
    message = f"{who}: more changes at once than usual, all of them are held for you"
    if found.load is None:
        return Refused(message, (), BRAKED)
    pull = f"eventsync pull {report.name} --confirm" if report.name else "eventsync pull --confirm"
    hint = f"`eventsync inbox --all --origin {found.origin[:11]}` lists them, `{pull}` releases all; or decide by id"
    return Refused(f"{message}: {_much(found.load)}", (*load_lines(found.load),), hint)


def _much(load: Load) -> str:
    limits = load.limits
    deletions = f", {load.deletions} of them deletions" if load.deletions else ""
    return f"{load.changes} changes{deletions}, where {limits.changes} and {limits.deletions} are allowed"


def load_lines(load: Load) -> Iterator[str]:
    """How many of which verdict and type, and a few by name."""
    yield f"  {kinds_of(load)}"
    if load.examples:
        named = (f"{found.verdict} {key_of(found.item_type, found.item_id)} ({found.id})" for found in load.examples)
        yield f"  such as {', '.join(named)}"


def kinds_of(load: Load) -> str:
    """How many of which verdict and type, on one line."""
    kinds = _most_first(load)
    shown = [f"{count} {verdict} {shorten(clean(item_type), 64)}" for (verdict, item_type), count in kinds]
    rest = len(shown) - _MOST_KINDS
    return ", ".join(shown[:_MOST_KINDS]) + (f" and {rest} more kinds" if rest > 0 else "")


def _most_first(load: Load) -> list[tuple[tuple[str, str], int]]:
    return sorted(load.kinds.items(), key=lambda kind: (-kind[1], kind[0]))


def released_lines(found: OriginPull) -> Iterator[str]:
    """What `pull --confirm` released."""
    if found.load is not None and not found.braked:
        yield f"    released: {_much(found.load)}"
        yield from (f"    {line}" for line in load_lines(found.load))
