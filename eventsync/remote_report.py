"""Remote report: what a remote is, whose feeds were seen there, and how the other side is set up, as JSON or text.

Pure, as `report` is. Names of feeds are foreign text.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from eventsync.report import Document, error_value, who_of
from eventsync.text import clean
from federation.errors import PlaceMissing

if TYPE_CHECKING:
    from eventsync.sharing import RemoteDetails, RemoteStatus
    from federation.probing import FeedSeen, Probe
    from federation.transports.urls import GitUrl, RsyncUrl, Url

    Place = Url | GitUrl | RsyncUrl

_MOST_SHOWN: Final = 20  # feeds that are named one by one


def remote_document(remote: RemoteStatus) -> Document:
    """A remote and what the run log says of it."""
    return remote._asdict()


def details_document(details: RemoteDetails) -> Document:
    """The same, with what else is known of it."""
    return {
        **remote_document(details.status),
        "kind": details.kind,
        "settings": dict(details.settings),
        "other_side": list(details.other_side),
    }


def details_lines(details: RemoteDetails) -> Iterator[str]:
    """A remote, how it went there last, and what has to be there."""
    status = details.status
    yield f"{clean(status.name)}  {clean(status.url)}"
    for key, value in details.settings.items():
        yield f"  {key} = {clean(str(value).lower() if isinstance(value, bool) else str(value))}"
    yield f"  last success: {status.last_success_at or 'never'}"
    yield f"  last try: {status.last_try_at or 'never'}"
    yield f"  last error: {clean(status.last_error or 'none')}"
    yield "  the other side:"
    for line in details.other_side:
        yield f"    {clean(line)}"


def added_document(name: str, url: str, found: Probe | None) -> Document:
    """A remote that was added, and what a look at it found; no look is null."""
    return {"name": name, "url": url, "probe": None if found is None else _probe_document(found)}


def _probe_document(found: Probe) -> Document:
    return {
        "error": error_value(found.error),
        "origins": [
            {
                "origin_store_id": feed.origin,
                "name": feed.name,
                "last_seq": feed.last_seq,
                "own": feed.is_own,
                "refusal": feed.refusal,
            }
            for feed in found.feeds
        ],
        "ignored": found.ignored,
    }


def probe_lines(found: Probe) -> Iterator[str]:
    """Whose feeds are there."""
    for feed in found.feeds[:_MOST_SHOWN]:
        yield f"  {_feed_line(feed)}"
    if len(found.feeds) > _MOST_SHOWN:
        yield f"  and {len(found.feeds) - _MOST_SHOWN} more"
    if isinstance(found.error, PlaceMissing):
        yield "  nothing stands there yet: the first push makes the folder, but nothing above it"
    elif not found.feeds and found.error is None:
        yield "  reached, and there are no feeds yet"


def next_line(name: str, url: Place, found: Probe | None) -> str:
    """What to do with a remote that was added. A place that is not on this machine needs a person's word once [F1]."""
    others = [feed for feed in found.feeds if not feed.is_own] if found is not None else []
    pull = f"`eventsync pull {clean(name)}` brings what they have, " if others else ""
    if url.kind == "directory" or url.scheme == "file":
        return f"next: {pull}`eventsync sync` publishes to all remotes and pulls from them"
    return f"next: {pull}`eventsync push {clean(name)} --yes` publishes there; from then on `eventsync sync` does both"


def _feed_line(feed: FeedSeen) -> str:
    own = ", this store's own" if feed.is_own else ""
    state = "" if feed.last_seq is None else f"  records up to seq {feed.last_seq}"
    state = f"  not to be believed: {clean(feed.refusal)}" if feed.refusal else state
    return f"{who_of(feed.name, feed.origin)}{own}{state}"


def probe_problem(name: str, found: Probe) -> str | None:
    """Why a place could not be looked at, and what helps; None where it could, or where nothing is wrong with that."""
    if found.error is None or isinstance(found.error, PlaceMissing):
        return None
    helps = f"`eventsync remote show {name}` tells what has to be there"
    return f"{name} was added, and cannot be reached now: {found.error}; {helps}"
