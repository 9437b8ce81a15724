"""Migration: taking over a store of another program, as a use case, and what it comes to as JSON or text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from eventsync.app import Surroundings, summary_of
from eventsync.report import Document, key_of, records_document
from eventsync.text import clean

if TYPE_CHECKING:
    from federation.migration import Migrated
    from federation.transports.brainclaw import BrainclawSource
    from journal import Store

_FOLDER: Final = ".brainclaw"


def migrate(store: Store, around: Surroundings, source: Path) -> Migrated:
    """Take over what lives in a `.brainclaw` store, once, as one batch; durable on return."""
    from federation import migration

    return migration.migrate(store, migration.read_source(_opened(source)), title=summary_of, agent=around.agent)


def preview(store: Store, source: Path) -> Migrated:
    """What `migrate` would do now; writes nothing."""
    from federation import migration

    return migration.preview(store, migration.read_source(_opened(source)), title=summary_of)


def _opened(source: Path) -> BrainclawSource:
    from federation.errors import NoProject
    from federation.transports.brainclaw import BrainclawSource

    folder = source if source.resolve().name == _FOLDER else source / _FOLDER
    if not folder.is_dir():
        raise NoProject("no .brainclaw store here", path=source)
    return BrainclawSource(folder)


def document(done: Migrated, *, dry_run: bool) -> Document:
    """What was taken, parked and left."""
    return {
        "source": done.found.origin,
        "format": done.found.format,
        "taken": dict(done.taken),
        "records": records_document(done.written)["records"],
        "here": done.here,
        "parked": [entry._asdict() for entry in done.parked],
        "left": [entry._asdict() for entry in done.found.left],
        "before_seq": done.before,
        "changed": done.has_changed,
        "dry_run": dry_run,
    }


def lines(done: Migrated, verb: str) -> Iterator[str]:
    """The same for people."""
    found = done.found
    if done.before is not None:
        yield f"{found.origin} was migrated before (seq {done.before}): nothing was written"
        return
    taken = _counted(done.taken.items())
    yield f"{found.origin} ({found.format}): {taken or 'nothing'} {verb}"
    if done.here:
        yield f"{done.here} here already"
    if found.left:
        left = _counted((entry.item_type, entry.entities) for entry in found.left)
        yield f"left there, since no memory of a project: {left}"
    for entry in done.parked:
        yield f"parked: {key_of(entry.item_type, entry.item_id)}: {clean(entry.reason)}"


def changed_line(done: Migrated) -> str:
    """What to do about a source that went on since it was taken over."""
    if done.found.format == "v2":
        return "the source has changed since: `eventsync pull` from it shows what is new as candidates"
    return "the source has changed since, and keeps no journal to pull from: put what is new there by hand"


def _counted(counts: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{count} {clean(item_type)}" for item_type, count in counts)
