"""Relaying: pass on the feeds of others that we hold verified, to places that their owners may never reach [F10].

    what stands there → older, the same, newer or contradictory? → stage what it lacks → blobs, slices, head [F4]

Nothing is believed because of a relay: readers check what the owner signed. A place only ever gets what is newer than
what it shows, whole; a feed that cannot be passed on holds up no other [F6]. Slices are the bytes that the head lists,
made from our lines where our mirror has another cut [F3]. What is frozen, damaged, bridged or our own stays here.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from federation import feed
from federation.abreast import Errand, abreast, away
from federation.blobs import ref_in, unpacked, wanted
from federation.bridge import BridgeSource
from federation.errors import DamagedFeed, DecisionNeeded, FederationError, RemoteReadOnly, SourceUnavailable
from federation.fetching import MarkedFeed, start_known
from federation.folder import FeedFolder
from federation.holdings import Holdings
from federation.mirror import BRIDGE_PREFIX
from federation.model import HEAD_FILE, MAX_HEAD_BYTES, Head, Pin, Refusal, Result, Slice, blob_file
from federation.packing import pack
from federation.puller import Remote
from federation.transports import Transport, Wanted
from federation.verification import Held, compare, line_end, read_head, unpack_slice
from journal import BlobRef, Disk

_UNASKED: Final = "the first relay of others' feeds to a remote that is not local needs --yes"
_KEPT: Final = "what was redacted can still be found there: the place keeps its history; who runs it can remove it"


class Passed(enum.StrEnum):
    """What a relay did for one origin at one place."""

    RELAYED = "relayed"
    UP_TO_DATE = "up_to_date"
    NEWER_THERE = "newer_there"
    HELD_BACK = "held_back"  # frozen: nobody knows whom to believe
    REFUSED = "refused"  # what stands there contradicts what we hold, or is no head
    INCOMPLETE = "incomplete"  # we lack a part of it
    DAMAGED = "damaged"  # our mirror is
    UNAVAILABLE = "unavailable"


class OriginRelay(NamedTuple):
    """The same, with the reason where it was not passed on."""

    origin: str
    name: str
    result: Passed
    last_seq: int
    reason: str | None = None
    warnings: tuple[str, ...] = ()


class RelayReport(NamedTuple):
    """What a relay did at one remote; error is None when it was reached and may be written to."""

    name: str
    url: str
    error: Exception | None
    origins: tuple[OriginRelay, ...]


def relay(
    holdings: Holdings,
    remotes: Sequence[Remote],
    *,
    confirmed: bool = False,
    ended: Callable[[RelayReport], None] = lambda _: None,
) -> list[RelayReport]:
    """Pass on what we mirror to all remotes, side by side; a report for each, in their order.

    `ended` hears each report as soon as it is there. Faults of a place or of one feed are in its report; faults of our
    own are raised. The first time at a place that is not local needs a person's word: `confirmed`.
    """
    holdings.store.refuse_when_copied()
    with holdings.lock():
        holdings.refresh()  # what heads redact is gone from the mirrors before they are passed on [F9]
    with holdings.staging() as area:
        errands = [
            Errand(remote.url, _relay_to(holdings, remote, area / str(number), confirmed))
            for number, remote in enumerate(remotes)
        ]
        return abreast(errands, ended)


async def _relay_to(holdings: Holdings, remote: Remote, area: Path, confirmed: bool) -> RelayReport:
    done: list[OriginRelay] = []
    try:
        place = await away(remote.connect)
        if isinstance(place, BridgeSource):
            raise RemoteReadOnly("another program's store is only read")
        if not remote.pushed_before:
            await away(place.create)
        listed = frozenset((await away(place.origins)).origins)
        asked = place.is_local or confirmed or remote.relayed_before
        for origin in _of_others(holdings):
            done.append(await _relay_origin(holdings, place, origin, listed, area / origin, asked))
    except FederationError as error:
        return RelayReport(remote.name, remote.url, error, tuple(done))
    return RelayReport(remote.name, remote.url, None, tuple(done))


def _of_others(holdings: Holdings) -> list[str]:
    """The signed origins in our mirrors that nobody blocked. Another copy that goes on under ours tells of itself."""
    own = holdings.own_feeds.origins
    return [
        origin
        for origin in holdings.mirror.origins()
        if not (origin in own or origin.startswith(BRIDGE_PREFIX) or holdings.trust.is_blocked(origin))
    ]


async def _relay_origin(
    holdings: Holdings, place: Transport, origin: str, listed: frozenset[str], staging: Path, asked: bool
) -> OriginRelay:
    """One origin, from looking at its head there to publishing it: what a transport saw in between still holds."""
    disk = holdings.store.disk
    disk.make_folder(staging)
    try:
        if holdings.trust.is_frozen(origin):
            return _told(holdings, origin, Passed.HELD_BACK, "frozen since its feed contradicted itself [F5]")
        there = await _head_there(holdings, place, origin, listed, staging)
        if isinstance(there, Refusal):
            return _told(holdings, origin, Passed.REFUSED, str(there))
        parcel = _parcel(holdings, origin, there, staging, asked)
        if isinstance(parcel, OriginRelay):
            return parcel
        if not await _are_there(holdings, place, origin, parcel.lacking, staging):
            return _told(holdings, origin, Passed.INCOMPLETE, "a payload of it is neither here nor there [J13]")
        warnings = await _send(place, origin, parcel, staging)
        return _told(holdings, origin, Passed.RELAYED, None, warnings)
    except DamagedFeed as error:
        return _told(holdings, origin, Passed.DAMAGED, f"our mirror of it: {error}")
    except SourceUnavailable as error:
        return _told(holdings, origin, Passed.UNAVAILABLE, str(error))
    finally:
        disk.remove_tree(staging)


def _told(
    holdings: Holdings, origin: str, result: Passed, reason: str | None = None, warnings: tuple[str, ...] = ()
) -> OriginRelay:
    return OriginRelay(origin, holdings.name(origin), result, holdings.pin(origin), reason, warnings)


# --- what stands there -----------------------------------------------------------------------------------------------


async def _head_there(
    holdings: Holdings, place: Transport, origin: str, listed: frozenset[str], staging: Path
) -> Head | Refusal | None:
    """The head under an origin, None where there is none; a Refusal for what no reader would believe: it stays."""
    wanted_head = [Wanted(HEAD_FILE, MAX_HEAD_BYTES)]
    if HEAD_FILE in await away(lambda: place.fetch(origin, wanted_head, staging)):
        raw = holdings.store.disk.read(staging / HEAD_FILE)
        return read_head(raw, origin, lambda other, seq: start_known(holdings, other, seq))
    if origin in listed:
        return Refusal(Result.REFUSED, "no file that a head can be", "F5", path=f"{origin}/{HEAD_FILE}")
    return None


def compared(there: Head | None, ours: Head, held: Held) -> Passed | Refusal:
    """Whether what stands there may be raised to what we hold: RELAYED for yes. Only ever (seq, gen) of both [F10]."""
    if there is None:
        return Passed.RELAYED
    found = compare(there, Pin(ours.gen, ours.last_seq, ours.c, ours.t), held)
    if isinstance(found, Refusal) and found.result is Result.FORK:
        return found._replace(result=Result.REFUSED)
    newer = there.last_seq > ours.last_seq or there.gen > ours.gen
    older = there.last_seq < ours.last_seq or there.gen < ours.gen
    where = f"{ours.origin}/{HEAD_FILE}"
    if newer and older:
        return Refusal(Result.REFUSED, "is both newer and older than what we hold", "F10", path=where)
    if older and not set(there.redacted) <= set(ours.redacted):
        return Refusal(Result.REFUSED, "redacts what the newer one that we hold shows", "F9", path=where)
    return Passed.NEWER_THERE if newer else Passed.RELAYED if older else Passed.UP_TO_DATE


# --- what it lacks ---------------------------------------------------------------------------------------------------


class Parcel(NamedTuple):
    """What is staged to be sent: files in their order, those there that stay, blobs that we lack."""

    names: tuple[str, ...]
    keep: frozenset[str]
    lacking: tuple[BlobRef, ...]
    takes_back: bool


def _parcel(holdings: Holdings, origin: str, there: Head | None, staging: Path, asked: bool) -> Parcel | OriginRelay:
    """Stage what a place lacks, under the lock, so that no pull or redaction changes the mirror meanwhile.

    Or what there is to tell when nothing is to be sent. DecisionNeeded when something is, and nobody was asked.
    """
    with holdings.lock():
        held = holdings.mirror.feed(origin)
        ours = held.head()
        if ours is None:
            return _told(holdings, origin, Passed.INCOMPLETE, "not here any more")
        found = compared(there, ours, MarkedFeed(holdings, origin))
        if isinstance(found, Refusal):
            return _told(holdings, origin, Passed.REFUSED, str(found))
        if found is not Passed.RELAYED:
            return _told(holdings, origin, found)
        if not asked:
            raise DecisionNeeded(_UNASKED, rule="F10")
        holdings.refresh()
        if origin in holdings.damaged:
            raise holdings.damaged[origin]
        return _staged(holdings, origin, ours, there, staging)


def _staged(holdings: Holdings, origin: str, ours: Head, there: Head | None, staging: Path) -> Parcel | OriginRelay:
    disk, held = holdings.store.disk, holdings.mirror.feed(origin)
    shown = {entry.name for entry in there.slices} if there is not None else set()
    new = [entry for entry in ours.slices if entry.name not in shown]
    for entry in new:
        packed = _packed(held, ours, entry)
        if packed is None:
            text = f"{entry.name} cannot be made from our lines [F3]"
            return _told(holdings, origin, Passed.INCOMPLETE, text)
        disk.replace(staging / entry.file_name, packed)
    refs = {
        ref for line in held.lines(0 if there is None else there.last_seq) if (ref := ref_in(line.data)) is not None
    }
    here = {ref for ref in refs if _stage_blob(disk, held, ref, staging)}
    disk.replace(staging / HEAD_FILE, ours.raw)
    takes_back = there is not None and not set(ours.redacted) <= set(there.redacted)
    listed = {entry.file_name for entry in ours.slices}
    listed |= set() if takes_back or there is None else {entry.file_name for entry in there.slices}
    keep = listed | {blob_file(ref.blake3) for ref in holdings.index.blobs(origin)}
    names = (*(blob_file(ref.blake3) for ref in sorted(here)), *(entry.file_name for entry in new), HEAD_FILE)
    return Parcel(names, frozenset(keep), tuple(sorted(refs - here)), takes_back)


def _packed(held: FeedFolder, head: Head, entry: Slice) -> bytes | None:
    """The file of a slice that a head lists: as it came, or cut anew; None where our lines do not give those bytes."""
    packed = held.packed(entry.name)
    if packed is not None and unpack_slice(packed, entry) is not None:
        return packed
    before = head.start_c if entry.first_seq == head.start_seq + 1 else held.c_at(entry.first_seq - 1)
    lines = b"".join(line + b"\n" for line in _lines(held, entry))
    built = feed.build_slice(
        head.origin, entry.first_seq, entry.last_seq, bytes.fromhex(before or ""), head.previous, lines
    )
    return pack(built.raw) if built.slice == entry else None


def _lines(held: FeedFolder, entry: Slice) -> Iterator[bytes]:
    for line in held.lines(entry.first_seq - 1):
        if line_end(line.data) > entry.last_seq:
            return
        yield line.data


def _stage_blob(disk: Disk, held: FeedFolder, ref: BlobRef, staging: Path) -> bool:
    """Put a payload beside the slices; whether it is here, whole."""
    if not held.blobs.is_good(ref):
        return False
    path = staging / blob_file(ref.blake3)
    disk.make_folder(path.parent)
    disk.replace(path, disk.read(held.blobs.path(ref.blake3)))
    return True


async def _are_there(
    holdings: Holdings, place: Transport, origin: str, lacking: Sequence[BlobRef], staging: Path
) -> bool:
    """Whether the place has the payloads that we lack, whole."""
    for ref in lacking:
        had = await away(partial(place.fetch, origin, [wanted(ref)], staging))
        if not had or unpacked(holdings.store.disk.read(staging / blob_file(ref.blake3)), ref) is None:
            return False
    return True


async def _send(place: Transport, origin: str, parcel: Parcel, staging: Path) -> tuple[str, ...]:
    """Make it visible, the head last [F4]; what a person should know of it."""
    if not parcel.takes_back:
        await away(lambda: place.publish(origin, staging, parcel.names, parcel.keep))
        return ()
    return () if await away(lambda: place.publish_anew(origin, staging, parcel.names, parcel.keep)) else (_KEPT,)
