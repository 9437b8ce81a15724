"""Relaying: the use case of handing on feeds of others, after a push or at the end of a sync; prints nothing.

Who relays to where is in config.toml (`relay = true` of a remote), or said with a push.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from eventsync import exits
from federation.errors import FederationError
from federation.model import PushReport
from federation.puller import Remote
from federation.relaying import Passed, RelayReport, relay

if TYPE_CHECKING:
    from eventsync.sharing import Sharing

# What a push of our own came to where others' feeds can be pushed as well.
_REACHED: Final = frozenset(["pushed", "up_to_date", "nothing_to_publish", "refused"])
_CODES: Final[Mapping[Passed, int]] = {
    Passed.RELAYED: exits.DONE,
    Passed.UP_TO_DATE: exits.DONE,
    Passed.NEWER_THERE: exits.DONE,
    Passed.HELD_BACK: exits.DONE,
    Passed.REFUSED: exits.FOREIGN_REFUSED,
    Passed.INCOMPLETE: exits.UNAVAILABLE,
    Passed.DAMAGED: exits.DAMAGED,
    Passed.UNAVAILABLE: exits.UNAVAILABLE,
}


class RelayRun(NamedTuple):
    """A relay to one or several remotes."""

    remotes: Sequence[RelayReport]
    exit_code: int


def relay_after(
    sharing: Sharing, remotes: Sequence[Remote], pushed: Sequence[PushReport], *, confirmed: bool = False
) -> RelayRun:
    """Pass on what is mirrored here to remotes that were just pushed to, but for those that could not be written to."""
    reached = [remote for remote, report in zip(remotes, pushed, strict=True) if report.result in _REACHED]
    asked = {remote.name: remote.relayed_before for remote in reached}
    reports = relay(
        sharing.holdings,
        reached,
        confirmed=confirmed,
        ended=lambda report: _note(sharing, report, asked[report.name]),
    )
    return RelayRun(reports, exits.combine([code for report in reports for code in _codes(report)]))


def _note(sharing: Sharing, report: RelayReport, asked: bool) -> None:
    """A line in the run log. The origins in it say that a person agreed to pass on feeds to there."""
    if not report.name:
        return
    there = {Passed.RELAYED, Passed.UP_TO_DATE} if asked else {Passed.RELAYED}
    origins = [found.origin for found in report.origins if found.result in there]
    failed = [found for found in report.origins if _CODES[found.result] != exits.DONE]
    error = report.error or (FederationError(f"{failed[0].origin}: {failed[0].reason}") if failed else None)
    sharing.run_log.add("relay", report.name, report.url, "relayed", error=error, origins=origins)


def _codes(report: RelayReport) -> list[int]:
    found = [_CODES[origin.result] for origin in report.origins]
    return [*found, exits.exit_of(report.error).code] if report.error is not None else found
