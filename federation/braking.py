"""Braking: did one pull bring more than a person expects?

What came behind a brake is left to a person [K5]: no `accept --all` and no rule takes it. The brake itself is a file in
the mirror, set before anything is taken (docs/decisions/0011); here it is decided, by the limits of the pull that set
it, and what it holds is told.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from federation.model import OPEN_VERDICTS, BrakeLimits, Example, Load, Verdict, candidate_id

if TYPE_CHECKING:
    from collections.abc import Iterable

    from federation.holdings import Holdings
    from federation.index import Row
    from federation.mirror import Brake

_EXAMPLES: Final = 3  # of deletions, and as many of all else


def is_too_much(load: Load) -> bool:
    """Whether so much waits for a person."""
    return load.changes > load.limits.changes or load.deletions > load.limits.deletions


def settle(holdings: Holdings, origin: str) -> None:
    """Decide a pending brake, and release one under which nothing is open any more [K5].

    Not while the mirror cannot be read: what cannot be counted may be too much.
    """
    brake = None if origin in holdings.damaged else holdings.brake(origin)
    if brake is None or holdings.trust.is_blocked(origin):  # nothing of a blocked origin is shown, so nobody looked
        return
    load = behind(holdings, origin, brake.after_seq, brake.limits)
    if brake.pending and is_too_much(load):
        holdings.mirror.set_brake(origin, brake._replace(pending=False))
    elif brake.pending or load.changes == 0:
        holdings.mirror.release_brake(origin)


def held(holdings: Holdings, origin: str) -> Load | None:
    """What the brake on an origin holds, None when there is none; DamagedFeed when it cannot be read."""
    brake = holdings.brake(origin)
    if brake is None or brake.pending:
        return None
    return behind(holdings, origin, brake.after_seq, brake.limits)


def release(holdings: Holdings, origin: str) -> Brake | None:
    """A person looked: the brake goes. Returns what it was; DamagedFeed when it cannot be read."""
    brake = holdings.brake(origin)
    holdings.mirror.release_brake(origin)
    return brake


def told(holdings: Holdings, origin: str, released: Brake | None = None) -> Load | None:
    """What the brake on an origin holds, or what one held that was just released, with examples; None for neither."""
    brake = None if origin in holdings.damaged else holdings.brake(origin) or released
    if brake is None:
        return None
    load = behind(holdings, origin, brake.after_seq, brake.limits)
    stands = not brake.pending or (brake is released and is_too_much(load))
    return _with_examples(holdings, origin, brake.after_seq, load) if stands and load.changes else None


def behind(holdings: Holdings, origin: str, seq: int, limits: BrakeLimits) -> Load:
    """What is open of an origin behind a seq, counted; no examples."""
    kinds: dict[tuple[Verdict, str], int] = {}
    deletions = 0
    for verdict, item_type, tombstone, count in holdings.index.open_after(origin, seq):
        kind = (Verdict(verdict), item_type)
        kinds[kind] = kinds.get(kind, 0) + count
        deletions += count if tombstone else 0
    return Load(kinds, deletions, limits, ())


def _with_examples(holdings: Holdings, origin: str, seq: int, load: Load) -> Load:
    """The same with a few candidates to look at: deletions first, since they take something away."""
    rows = [row for row in holdings.index.rows(origin=origin) if row.seq > seq and row.verdict in OPEN_VERDICTS]
    deletions = (row for row in rows if row.tombstone)
    others = (row for row in rows if not row.tombstone)
    return load._replace(examples=(*_examples(deletions), *_examples(others)))


def _examples(rows: Iterable[Row]) -> list[Example]:
    return [
        Example(
            candidate_id(row.origin, row.item_type, row.item_id),
            row.item_type,
            row.item_id,
            Verdict(row.verdict or Verdict.UNREADABLE),
        )
        for row in islice(rows, _EXAMPLES)
    ]
