"""Pusher: make our feed visible at a remote, without ever overwriting another copy of this store.

Reads our own head there first: if that is not a prefix of ours, another copy has published and the remote stays as
it is [R3]. Slices go before the head [F4]; what left the feed goes one push later.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from federation.abreast import Errand, abreast, away
from federation.bridge import BridgeSource
from federation.divergence import agreed_with, to_compare
from federation.errors import (
    DamagedFeed,
    DecisionNeeded,
    FederationError,
    ForeignDataRefused,
    OtherCopyPublished,
    RemoteReadOnly,
    SourceUnavailable,
)
from federation.fetching import wanted_slice
from federation.holdings import Holdings
from federation.model import HEAD_FILE, MAX_HEAD_BYTES, Head, PushReport, Refusal, blob_file
from federation.puller import Remote
from federation.secrets import find_secret
from federation.transports import Transport, Wanted
from federation.verification import read_head
from journal import DamagedStore

_TRIES: Final = 3  # how often a push goes on with what others published meanwhile


def push(
    holdings: Holdings,
    remotes: Sequence[Remote],
    *,
    confirmed: bool = False,
    ended: Callable[[PushReport], None] = lambda _: None,
) -> list[PushReport]:
    """Push what was published to all remotes, side by side; a report for each, in their order.

    `ended` hears each report as soon as it is there. Faults of a place are in its report; faults of our own are raised.
    The first push to a place that is not local needs a person's word: `confirmed`.
    """
    holdings.store.refuse_when_copied()
    head = holdings.own.head()
    if head is None:
        reports = [PushReport(remote.name, remote.url, "nothing_to_publish", None, None) for remote in remotes]
        for report in reports:
            ended(report)
        return reports
    with holdings.staging() as area:
        errands = [
            Errand(remote.url, _push(holdings, remote, head, area / str(number), confirmed))
            for number, remote in enumerate(remotes)
        ]
        return abreast(errands, ended)


async def _push(holdings: Holdings, remote: Remote, head: Head, area: Path, confirmed: bool) -> PushReport:
    try:
        warnings = await _publish_at(holdings, remote, head, area, confirmed)
        for _ in range(_TRIES):
            newest = _newest(holdings) if warnings is not None else None
            if newest is None or newest.raw == head.raw:
                break
            head = newest  # another process published meanwhile: its head may stand there without its slices [F4]
            await _publish_at(holdings, remote, head, area, confirmed)
    except DamagedFeed:
        raise
    except RemoteReadOnly as error:
        return PushReport(remote.name, remote.url, "read_only", error, None)
    except ForeignDataRefused as error:
        return PushReport(remote.name, remote.url, "refused", error, None)
    except DecisionNeeded as error:
        return PushReport(remote.name, remote.url, "needs_decision", error, None)
    except SourceUnavailable as error:
        return PushReport(remote.name, remote.url, "unavailable", error, None)
    except FederationError as error:
        return PushReport(remote.name, remote.url, "failed", error, None)
    result = "up_to_date" if warnings is None else "pushed"
    return PushReport(remote.name, remote.url, result, None, head.last_seq, warnings or ())


def _newest(holdings: Holdings) -> Head | None:
    holdings.own.forget_cached()
    return holdings.own.head()


async def _publish_at(
    holdings: Holdings, remote: Remote, head: Head, area: Path, confirmed: bool
) -> tuple[str, ...] | None:
    """Make our feed visible there and return what a person should know of it; None when it was there already."""
    origin = holdings.store.origin
    place = await away(remote.connect)
    if isinstance(place, BridgeSource):
        raise RemoteReadOnly("another program's store is only read")
    if not remote.pushed_before:
        await away(place.create)  # never again later: a drive that is not mounted must not be made up
    there = await _head_there(holdings, place, area)
    here, lost = _blobs(holdings)
    names = [*here, *(entry.file_name for entry in head.slices), HEAD_FILE]
    same = there is not None and there.raw == head.raw
    if same and not await away(lambda: place.missing(origin, holdings.own.folder, names)):
        return None
    if there is None and not (place.is_local or confirmed or remote.pushed_before):
        raise DecisionNeeded("the first push to a remote that is not local needs --yes", rule="F1")
    await _refuse_other_copy(holdings, head, there, place, area)
    taken_back = there is not None and not set(head.redacted) <= set(there.redacted)  # nobody is to find it there [F9]
    slices = [entry.file_name for entry in there.slices] if there is not None and not taken_back else []
    keep = frozenset([*slices, *lost])
    if taken_back and not await away(lambda: place.publish_anew(origin, holdings.own.folder, names, keep)):
        return ("what was redacted can still be found there: the place keeps its history; who runs it can remove it",)
    if not taken_back:
        await away(lambda: place.publish(origin, holdings.own.folder, names, keep))
    if there is None and remote.showed_before:
        return ("our feed was not there any more; it was published again",)
    return ("files of our feed were lost there; they were published again",) if same else ()


def _blobs(holdings: Holdings) -> tuple[list[str], list[str]]:
    """The blobs that our feed's lines refer to: files that are here, and names of those that are lost [J13].

    What is lost from the feed is put there again where the journal has it, unless it looks like a secret. What cannot
    be had stays wherever it was pushed to.
    """
    own, journal = holdings.own.blobs, holdings.store.segments.blobs
    here: list[str] = []
    lost: list[str] = []
    with holdings.lock():
        holdings.take_in_own_feed()
        for ref in sorted(holdings.index.blobs(holdings.store.origin)):
            if not own.is_there(ref.blake3):
                with contextlib.suppress(DamagedStore):
                    data = journal.read(ref)
                    if find_secret(data) is None:
                        own.write(data)
            (here if own.is_there(ref.blake3) else lost).append(blob_file(ref.blake3))
    return here, lost


async def _head_there(holdings: Holdings, place: Transport, area: Path) -> Head | None:
    """Our own head as it stands at the remote, None where we never pushed; ForeignDataRefused when it is not ours."""
    origin, disk = holdings.store.origin, holdings.store.disk
    disk.make_folder(area)
    if HEAD_FILE not in await away(lambda: place.fetch(origin, [Wanted(HEAD_FILE, MAX_HEAD_BYTES)], area)):
        return None
    found = read_head(disk.read(area / HEAD_FILE), origin, lambda *_: None)
    if isinstance(found, Refusal):
        raise ForeignDataRefused(f"our head there cannot be believed: {found.message}", path=found.path, rule="R3")
    return found


async def _refuse_other_copy(holdings: Holdings, head: Head, there: Head | None, place: Transport, area: Path) -> None:
    """Another copy of this store has published when its head is not a prefix of ours [R3]."""
    if there is None:
        return
    known = None
    if there.last_seq <= head.last_seq and there.gen <= head.gen:
        mark = holdings.index.mark_before(head.origin, there.last_seq)
        known = holdings.own.at(there.last_seq, mark)
    if known == (there.c, there.t):
        return
    same, slices = to_compare(head, there)
    wanted = [wanted_slice(entry) for entry in slices]
    await away(lambda: place.fetch(head.origin, wanted, area))
    seq = agreed_with(holdings.store, slices, same, area)
    raise OtherCopyPublished(
        f"holds a feed of this store that we did not publish (gen {there.gen}, seq {there.last_seq}; "
        f"ours is gen {head.gen}, seq {head.last_seq}); "
        + ("where they part cannot be told now" if seq is None else f"both agree up to seq {seq}"),
        path=f"{head.origin}/{HEAD_FILE}",
        seq=seq,
        rule="R3",
    )
