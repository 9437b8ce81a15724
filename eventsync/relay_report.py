"""Relay report: which feeds of others a relay passed on, as a JSON document or lines of text.

Pure, as `report` is. Names of stores and what is wrong with their feeds are foreign text.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from eventsync.exits import exit_of
from eventsync.report import Document, error_value, who_of
from eventsync.text import clean

if TYPE_CHECKING:
    from eventsync.relaying import RelayRun
    from federation.relaying import OriginRelay, RelayReport

_THERE: Final = ("up_to_date", "newer_there")
_PROBLEMS: Final = {
    "refused": "nothing was changed there; pulling from there tells more, docs/format.md [F10] what is compared",
    "incomplete": "nothing of it was sent; `eventsync pull --all` asks for what is missing here",
    "damaged": "nothing of it was sent; `eventsync verify` lists what is damaged",
    "unavailable": "the others went on; a later relay begins where this one stopped",
}


def relay_document(run: RelayRun) -> Document:
    """What a relay did for each remote, and for each origin that is mirrored here."""
    rows = [
        {
            "name": report.name or None,
            "url": report.url,
            "error": error_value(report.error),
            "origins": [_origin_document(found) for found in report.origins],
        }
        for report in run.remotes
    ]
    return {"remotes": rows, "exit_code": run.exit_code}


def _origin_document(found: OriginRelay) -> Document:
    return {
        "origin_store_id": found.origin,
        "name": found.name,
        "result": str(found.result),
        "last_seq": found.last_seq,
        "reason": found.reason,
        "warnings": list(found.warnings),
    }


def relay_lines(run: RelayRun) -> Iterator[str]:
    """A line for each feed that was passed on, or is held back, and one for all that are there already."""
    for report in run.remotes:
        where = clean(report.name or report.url)
        for found in report.origins:
            if found.result == "relayed":
                yield f"{where}  relayed {_who(found)}, seq {found.last_seq}"
            elif found.result == "held_back":
                tells = f"`eventsync origin show {clean(found.origin)}` tells more"
                yield f"{where}  not relayed {_who(found)}: {clean(found.reason or '')}; {tells}"
        there = sum(found.result in _THERE for found in report.origins)
        if there or (not report.origins and report.error is None):
            yield f"{where}  {_already(there)}"


def _already(count: int) -> str:
    if not count:
        return "nothing to relay: no feed of another store is held here"
    return f"{count} feed{'' if count == 1 else 's'} of others {'was' if count == 1 else 'were'} there already"


def relay_problems(run: RelayRun) -> Iterator[tuple[str, str | None]]:
    """What could not be passed on, and what helps: for standard error, even with -q."""
    for report in run.remotes:
        where = report.name or report.url
        if report.error is not None:
            yield _at(where, report.error), _hint(report)
        for found in report.origins:
            hint = _PROBLEMS.get(str(found.result))
            if hint is not None:
                yield f"{where}: relay of {found.name or found.origin}: {found.result}: {found.reason}", hint


def _at(where: str, error: Exception) -> str:
    return str(error) if str(error).startswith(where) else f"{where}: {error}"


def _hint(report: RelayReport) -> str | None:
    row = exit_of(report.error) if report.error is not None else None
    if row is not None and row.slug == "decision_needed":
        return f"nothing was sent; `eventsync push {report.name or 'REMOTE'} --relay --yes` does it, and is asked once"
    return None if row is None else row.hint


def relay_alarms(run: RelayRun) -> Iterator[str]:
    """What a person has to see to: for standard error, even with -q."""
    for report in run.remotes:
        for found in report.origins:
            yield from (f"{report.name or report.url}: {found.name}: {warning}" for warning in found.warnings)


def _who(found: OriginRelay) -> str:
    return who_of(found.name, found.origin)
