"""Times: what people write for a time or a span, in the form that records have: UTC, to the millisecond.

Pure, but for the zone of this machine: a time without one is local time, as on the wall.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from eventsync.errors import InvalidArgument

_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGES: Final = (("days", 86_400), ("hours", 3_600), ("minutes", 60))
_SPAN: Final = re.compile(r"([1-9][0-9]{0,5})\s*([mhdw])", re.ASCII)


def until_time(text: str, now: str) -> str:
    """The time that a person names, such as 2026-12-24T09:00; InvalidArgument when it is none, or over."""
    try:
        named = datetime.fromisoformat(text)
        at = _written((named if named.tzinfo else named.astimezone()).astimezone(UTC))
    except (ValueError, OverflowError, OSError):
        raise InvalidArgument(f"{text[:80]!r} is no time: 2026-12-24, 2026-12-24T09:00 or 2026-12-24T09:00Z") from None
    if at <= now:
        raise InvalidArgument(f"{text[:80]!r} is over")
    return at


def after_span(text: str, now: str) -> str:
    """The time so much later than now: 30m, 12h, 3d or 2w; InvalidArgument when it is none."""
    found = _SPAN.fullmatch(text.strip())
    if found is None:
        raise InvalidArgument(f"{text[:80]!r} is no span of time: 30m, 12h, 3d or 2w")
    try:
        return _written(datetime.fromisoformat(now) + timedelta(**{_UNITS[found[2]]: int(found[1])}))
    except OverflowError:
        raise InvalidArgument(f"{text[:80]!r} is too long") from None


def ago(text: str, now: str) -> str | None:
    """How long ago a time was, as people say it; None for what is no time. One that is yet to come says so."""
    try:
        seconds = int((datetime.fromisoformat(now) - datetime.fromisoformat(text)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None
    if seconds < -60:
        return "in the future"
    for unit, size in _AGES:
        if seconds >= 2 * size:
            return f"{seconds // size} {unit} ago"
    return "just now"


def _written(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
