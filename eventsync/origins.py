"""Origins: the use cases around the stores this one learns from, each as a whole. Prints nothing.

An origin is meant by its id, a unique beginning of it, or the label that only one origin gives itself. Labels are
foreign text: one that two origins have names nobody, and neither does one that reads as an id.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from eventsync.errors import InvalidArgument, UnknownOrigin
from federation import braking
from federation import origins as verbs
from federation.errors import DamagedFeed
from federation.forks import Fork, forks_of
from federation.mirror import BRIDGE_PREFIX
from federation.model import Head, OriginStatus
from federation.origins import Decision, known, state_of
from federation.quarantine import Quarantined
from federation.receipts import TheirDecision, newest_decisions, standing
from federation.redaction import newest_redaction
from federation.trust import Choice
from journal import ORIGIN

if TYPE_CHECKING:
    from eventsync.sharing import Sharing
    from federation.holdings import Holdings


_READS_AS_ID: Final = re.compile(r"es1[a-z2-7]*", re.ASCII)


class OriginDetails(NamedTuple):
    """All that is known of one origin."""

    status: OriginStatus
    head: Head | None  # in our mirror; None for a bridged origin, and where there is no mirror
    found_at: Sequence[str]  # remotes whose last pull found it
    flagged: bool  # it claims what cannot be [K4]
    blocked_because: str | None
    choice: Choice | None
    receipts: Sequence[TheirDecision]  # its newest decisions about what is ours
    forks: Sequence[Fork]
    problem: str | None  # why its mirror or the evidence cannot be read
    quarantine: Sequence[Quarantined]
    parked: Sequence[Path]


class OriginDecision(NamedTuple):
    """What a person's word about an origin came to."""

    origin: str
    name: str
    state: str
    decision: Decision


def named(holdings: Holdings, wanted: str, among: Iterable[str]) -> str:
    """The origin a person means: its id, a beginning of it, or its label, if it means one alone; else UnknownOrigin."""
    origins = list(among)
    if wanted in origins:
        return wanted
    may_be_label = _READS_AS_ID.fullmatch(wanted) is None  # else whoever is called so stands in for one who is not here
    found = [
        origin for origin in origins if origin.startswith(wanted) or (may_be_label and holdings.name(origin) == wanted)
    ]
    if len(found) != 1:
        raise UnknownOrigin(f"{'no' if not found else 'more than one'} origin is called {wanted[:200]!r}")
    return found[0]


def meant(found: Sharing, wanted: str) -> str:
    """The same among all that anything here speaks of."""
    return named(found.holdings, wanted, known(found.holdings))


def status_of(holdings: Holdings, origin: str, redacted: int | None) -> OriginStatus:
    """Where one origin stands; `redacted` is the seq of our newest record that tells of a redaction."""
    counts = holdings.counts(origin)
    theirs = standing(holdings, origin, redacted)
    head = None if origin.startswith(BRIDGE_PREFIX) else holdings.head(origin)
    return OriginStatus(
        origin,
        holdings.name(origin),
        holdings.pin(origin),
        state_of(holdings, origin),
        counts.open + counts.held,
        counts.held,
        theirs.have_seq,
        *theirs.receipts,
        theirs.took_back,
        braking.told(holdings, origin),
        None if head is None else head.published_at,
        origin in holdings.index.flagged_origins(),
    )


# --- looking ---------------------------------------------------------------------------------------------------------


def listed(found: Sharing) -> list[OriginDetails]:
    """All origins that are known here, by id; without their forks."""
    found.holdings.look()
    return [_details(found, origin, ()) for origin in known(found.holdings)]


def details(found: Sharing, wanted: str) -> OriginDetails:
    """One origin, with what contradicts it."""
    found.holdings.look()
    origin = meant(found, wanted)
    try:
        return _details(found, origin, tuple(forks_of(found.holdings, origin)))
    except DamagedFeed as error:
        return _details(found, origin, ())._replace(problem=str(error))


def _details(found: Sharing, origin: str, forks: Sequence[Fork]) -> OriginDetails:
    holdings = found.holdings
    head = None if origin.startswith(BRIDGE_PREFIX) else holdings.head(origin)
    damage = holdings.damaged.get(origin)
    return OriginDetails(
        status_of(holdings, origin, newest_redaction(holdings.own)),
        head,
        found.remotes_that_showed(origin),
        origin in holdings.index.flagged_origins(),
        holdings.trust.reason(origin),
        holdings.trust.choice(origin),
        newest_decisions(holdings, origin),
        forks,
        None if damage is None else str(damage),
        holdings.quarantine.entries(origin),
        holdings.mirror.parked(origin),
    )


# --- deciding --------------------------------------------------------------------------------------------------------


def block(found: Sharing, wanted: str, reason: str | None, agent: str) -> OriginDecision:
    """Keep an origin out of sight; a whole id may be one that was never met."""
    is_whole_id = ORIGIN.fullmatch(wanted) is not None
    origin = wanted if is_whole_id else meant(found, wanted)
    if origin == found.store.origin:
        raise InvalidArgument("that is this store itself")
    return _told(found, origin, verbs.block(found.holdings, origin, reason=reason, agent=agent))


def forget(found: Sharing, wanted: str, agent: str) -> OriginDecision:
    """Put what is held of an origin aside."""
    origin = meant(found, wanted)
    name = found.holdings.name(origin)
    return _told(found, origin, verbs.forget(found.holdings, origin, agent=agent))._replace(name=name)


def trust(found: Sharing, wanted: str, chosen: str | None, agent: str) -> OriginDecision:
    """End a block, and settle a fork by a choice: HELD, or the first digits of the head that is believed instead."""
    origin = meant(found, wanted)
    name = found.holdings.name(origin)
    return _told(found, origin, verbs.trust(found.holdings, origin, chosen, agent=agent))._replace(name=name)


def _told(found: Sharing, origin: str, decision: Decision) -> OriginDecision:
    return OriginDecision(origin, found.holdings.name(origin), state_of(found.holdings, origin), decision)
