"""Puller: fetch, verify, keep, materialize, for every origin of every remote.

    fetch head → verify → fetch missing slices into staging → verify them from the pin → mirror (durable) → materialize

Verify first, persist after: whatever is wrong with a feed, nothing of it was kept. Their fault is a value and the loop
goes on [F6]; only a damaged store of our own stops it. Remotes are pulled side by side: what is awaited is done at the
remote, all else in this thread. The second lock is taken after the network is done with [J9].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from federation import braking, bridge
from federation.abreast import Errand, abreast, away
from federation.brainclaw import project_id
from federation.bridge import BridgeSource
from federation.errors import DamagedFeed, FederationError, SourceUnavailable
from federation.fetching import Checked, fetch_blobs, fetch_feed
from federation.holdings import Holdings
from federation.mirror import BRIDGE_PREFIX, Brake
from federation.model import HEAD_FILE, BrakeLimits, Counts, Head, OriginPull, Refusal, RemotePull, Result, Vanished
from federation.quarantine import KEPT_RESULTS
from federation.taking_back import copies_here
from federation.transports import Transport
from journal import BlobRef, DiskFailed

_TRIES: Final = 3  # how often a pull looks again when another one was faster


class Remote(NamedTuple):
    """A named place and how to reach it. `url` is for people: no secrets in it [R2]."""

    name: str
    url: str
    connect: Callable[[], Transport | BridgeSource]
    held_before: bool = False  # a pull from here found feeds once
    pushed_before: bool = False  # a push to here worked once
    found_last: frozenset[str] = frozenset()  # origins of others whose feeds the last pull found here
    showed_before: bool = False  # one under the origin in force did
    limits: BrakeLimits = BrakeLimits()  # how much a pull from here may bring at once [K5]
    relayed_before: bool = False  # so did one of others' feeds


class Settings(NamedTuple):
    """How a pull is done."""

    confirm: bool = False  # a person lifts the brake
    dry_run: bool = False  # verify and report, keep nothing
    limits: BrakeLimits = BrakeLimits()  # of the remote


def pull(
    holdings: Holdings,
    remotes: Sequence[Remote],
    settings: Settings,
    ended: Callable[[RemotePull], None] = lambda _: None,
) -> list[RemotePull]:
    """Pull all remotes side by side; what each of its origins came to, in the order of the remotes.

    `ended` hears of each remote as soon as it is done; what came from it is in mirror and index then. Foreign faults
    are in the reports. Raises StoreCopied, StoreLocked, DamagedStore, DamagedFeed, DiskFailed for faults of our own.
    """
    holdings.store.refuse_when_copied()
    with holdings.lock():
        holdings.refresh()  # what a killed pull left undone is done before anything new comes
    with holdings.staging() as area:
        errands = [
            Errand(remote.url, _pull_remote(holdings, remote, area / str(number), settings))
            for number, remote in enumerate(remotes)
        ]
        return abreast(errands, ended)


async def _pull_remote(holdings: Holdings, remote: Remote, area: Path, settings: Settings) -> RemotePull:
    settings = settings._replace(limits=remote.limits)
    try:
        place = await away(remote.connect)
        if isinstance(place, BridgeSource):
            bridged = await _pull_bridge(holdings, place, settings)
            return RemotePull(remote.name, remote.url, None, () if bridged is None else (bridged,))
        listing = await away(place.origins)
        if not listing.origins and remote.held_before:
            raise SourceUnavailable("held feeds before and is empty now; nothing was changed", rule="F6")
        foreign = [origin for origin in listing.origins if origin != holdings.store.origin]  # [F8]
        source = Source(place, remote.name or remote.url)
        pulled = [await _pull_origin(holdings, source, origin, area, settings) for origin in foreign]
    except FederationError as error:
        return RemotePull(remote.name, remote.url, error, ())
    missing = sorted(remote.found_last.difference(foreign) & set(holdings.mirror.origins()))
    vanished = tuple(Vanished(origin, holdings.name(origin)) for origin in missing)
    return RemotePull(remote.name, remote.url, None, tuple(pulled), listing.ignored, vanished)


class Source(NamedTuple):
    """A place that was reached, and how people call it."""

    place: Transport
    name: str


def _blocked(holdings: Holdings, origin: str) -> OriginPull:
    """Nothing is fetched of an origin that a person blocked."""
    return OriginPull(origin, holdings.name(origin), Result.BLOCKED, 0, holdings.pin(origin), Counts())


# --- one signed origin -----------------------------------------------------------------------------------------------


async def _pull_origin(holdings: Holdings, source: Source, origin: str, area: Path, settings: Settings) -> OriginPull:
    staging, feed, place = area / origin, holdings.mirror.feed(origin), source.place
    holdings.store.disk.make_folder(staging)
    try:
        for _ in range(_TRIES):
            stance, pin = holdings.trust.of(origin), feed.pin()
            if stance.blocked_at:
                return _blocked(holdings, origin)
            found = await fetch_feed(holdings, place, origin, staging)
            if isinstance(found, Refusal):
                if feed.pin() != pin:
                    continue  # judged by a mirror that another pull has changed meanwhile
                if found.result is Result.STALE and pin is not None and not settings.dry_run:
                    place.kept(origin)  # all of it is in our mirror
                return _refused(holdings, origin, found, staging, settings, source.name)
            if settings.dry_run:
                return _report(holdings, origin, _result(found), found.records)
            blobs = await fetch_blobs(holdings, place, origin, found.blobs, staging)
            with holdings.lock():
                holdings.trust.refresh()
                # Else another pull was faster, or a person decided: look again, without the lock [J9].
                if feed.pin() == found.pin and holdings.trust.of(origin) == stance:
                    pulled = _keep(holdings, origin, found, blobs, settings)
                    if not holdings.index.missing_blobs(origin, 1):
                        place.kept(origin)
                    return pulled
        raise SourceUnavailable("other pulls of this origin were faster each time")
    except SourceUnavailable as error:
        refusal = Refusal(Result.INCOMPLETE, error.message, "F5", path=error.path)
        return _refused(holdings, origin, refusal, staging, settings, source.name)
    except DamagedFeed as error:
        holdings.damaged[origin] = error
        refusal = Refusal(Result.INCOMPLETE, f"our mirror of it: {error.message}", "T1", error.path, damaged=True)
        return OriginPull(origin, "", refusal.result, 0, 0, Counts(), refusal)
    finally:
        holdings.store.disk.remove_tree(staging)


# --- keeping it ------------------------------------------------------------------------------------------------------


def _keep(
    holdings: Holdings, origin: str, found: Checked, blobs: Mapping[BlobRef, Path], settings: Settings
) -> OriginPull:
    """Under the lock: mirror first, durable, blobs before what refers to them; then the index."""
    before = holdings.mirror.feed(origin).head()
    held = None if before is None else before.raw
    redacted = before is not None and before.redacted != found.head.redacted
    holdings.mirror.take_blobs(origin, blobs)
    if found.slices or held is None:
        if found.pin is not None and holdings.mirror.brake(origin) is None:
            holdings.mirror.set_brake(origin, Brake(found.pin.seq, pending=True, limits=settings.limits))
        holdings.mirror.take(origin, found.slices, found.head.raw)
        holdings.index.add_marks(origin, found.marks)
    elif held != found.head.raw:
        holdings.mirror.replace_head(origin, found.head.raw)
    released = braking.release(holdings, origin) if settings.confirm else None
    if found.slices or held is None or blobs or redacted or settings.confirm:
        holdings.refresh()
    if origin in holdings.damaged:
        raise holdings.damaged[origin]
    return _report(holdings, origin, _result(found), found.records, released)


def _result(found: Checked) -> Result:
    if found.pin is None:
        return Result.NEW
    return Result.UPDATED if found.slices else Result.UP_TO_DATE


def _report(holdings: Holdings, origin: str, result: Result, records: int, released: Brake | None = None) -> OriginPull:
    brake = holdings.brake(origin)
    return OriginPull(
        origin,
        holdings.name(origin),
        result,
        records,
        holdings.pin(origin),
        holdings.counts(origin),
        braked=brake is not None and not brake.pending,
        warnings=(
            *bridge.describe(holdings.index.notes(origin)),
            *_lacking(holdings, origin),
            *_contradictions(holdings, origin),
            *_copies(holdings, origin),
            *(_false_claims(holdings, origin) if records else ()),
        ),
        load=braking.told(holdings, origin, released),
    )


def _false_claims(holdings: Holdings, origin: str) -> Iterator[str]:
    """What it says it has seen and cannot have seen [K4]: told when it brings something, and shown by status."""
    found = holdings.index.false_claims(origin)
    if found:
        item_type, item_id, said = found[0]
        more = "" if len(found) == 1 else f", and {len(found) - 1} more of its records are like that"
        yield f"{origin} says that {item_type}/{item_id} includes {said}, which cannot be and counts for nothing{more}"


def _copies(holdings: Holdings, origin: str) -> Iterator[str]:
    """Our own records that still say what this origin redacted [F9]."""
    for copy in copies_here(holdings):
        if copy.of.origin == origin:
            yield f"{origin} redacted what our seq {copy.seq} took over: {copy.item_type}/{copy.item_id}"


def _lacking(holdings: Holdings, origin: str) -> Iterator[str]:
    count = len(holdings.index.missing_blobs(origin, holdings.blobs_at_once))
    if count:
        yield f"{count} payload(s) of {origin} could not be had, or are wrong there; the next pull asks again"


def _refused(
    holdings: Holdings, origin: str, refusal: Refusal, staging: Path, settings: Settings, where: str
) -> OriginPull:
    """Report a refusal. A fork is kept as evidence, and freezes its origin until a person decides [F5]."""
    warnings: tuple[str, ...] = ()
    if refusal.result in KEPT_RESULTS and not settings.dry_run:
        with holdings.lock():
            refusal = _with_evidence(holdings, origin, refusal, staging)
            warnings = tuple(_quarantine(holdings, origin, refusal, staging, where))
    known = holdings.head(origin) is not None
    counts = holdings.counts(origin) if known else Counts()
    name = holdings.name(origin) if known else ""
    return OriginPull(origin, name, refusal.result, 0, holdings.pin(origin), counts, refusal, warnings=warnings)


def _with_evidence(holdings: Holdings, origin: str, refusal: Refusal, staging: Path) -> Refusal:
    """Keep the head of a fork as evidence; one that a person decided against is refused, and freezes nothing."""
    evidence = holdings.store.disk.read_if_there(staging / HEAD_FILE)
    if refusal.result is not Result.FORK or evidence is None:
        return refusal
    if holdings.trust.is_settled(origin, evidence):
        text = "is a history that you decided against; what you chose stands"
        return Refusal(Result.REFUSED, text, "F5", path=f"{origin}/{HEAD_FILE}", seq=refusal.seq)
    holdings.mirror.freeze(origin, evidence)
    return refusal


def _quarantine(holdings: Holdings, origin: str, refusal: Refusal, staging: Path, where: str) -> Iterator[str]:
    """Keep what was refused, for people; that it cannot be kept stops nobody [F6]."""
    try:
        holdings.quarantine.keep(origin, staging, refusal, remote=where, now=holdings.store.machine.now())
    except DiskFailed as error:
        yield f"what was refused could not be kept: {error}"


def _contradictions(holdings: Holdings, origin: str) -> Iterator[str]:
    """What a head says it saw of others and what we hold of them: reported, and freezes nothing [F2]."""
    head = None if origin.startswith(BRIDGE_PREFIX) else holdings.head(origin)
    for other, (seq, c, t) in (head.saw if head is not None else {}).items():
        own = other == holdings.store.origin
        known = holdings.own.head() if own else holdings.head(other)
        if other in holdings.damaged:
            continue
        if known is None or seq > known.last_seq:
            if own and seq > holdings.published_seq:
                yield f"{origin} says it read us up to seq {seq}, which we never published"
        elif _held_at(holdings, other, known, seq) not in (None, (c, t)):
            yield f"{origin} and we hold different content of {other} at seq {seq}"


def _held_at(holdings: Holdings, origin: str, known: Head, seq: int) -> tuple[str, str] | None:
    """(c, t) of a feed at a seq, where that is remembered: nothing is read for it."""
    if seq == known.last_seq:
        return known.c, known.t
    mark = holdings.index.mark_before(origin, seq)
    return (mark.c.hex(), mark.t.hex()) if mark is not None and mark.seq == seq else None


# --- one bridged store -----------------------------------------------------------------------------------------------


async def _pull_bridge(holdings: Holdings, source: BridgeSource, settings: Settings) -> OriginPull | None:
    """Copy and read another program's store; None where its journal was never on."""
    project = project_id(await away(source.config))
    if project is None:
        raise SourceUnavailable("config.yaml names no project_id")
    origin = BRIDGE_PREFIX + project
    if holdings.trust.is_blocked(origin):
        return _blocked(holdings, origin)
    folder = holdings.bridge(origin)
    for _ in range(_TRIES):
        held = folder.state()
        if folder.is_new() and not await away(source.segments):
            return None
        found = await away(lambda: bridge.plan_copy(folder, source))
        if isinstance(found, Refusal) or settings.dry_run:
            refusal = found if isinstance(found, Refusal) else None
            name = found.state.name if isinstance(found, bridge.Copy) else folder.name
            counts = holdings.counts(origin)
            return OriginPull(origin, name, found.result, 0, holdings.pin(origin), counts, refusal)
        with holdings.lock():
            if folder.state() == held:  # else another pull was faster
                return _keep_bridge(holdings, origin, found, settings)
    raise SourceUnavailable("other pulls of this store were faster each time")


def _keep_bridge(holdings: Holdings, origin: str, found: bridge.Copy, settings: Settings) -> OriginPull:
    folder, before = holdings.bridge(origin), holdings.pin(origin)
    if found.changed and not folder.is_new() and holdings.mirror.brake(origin) is None:
        holdings.mirror.set_brake(origin, Brake(before, pending=True, limits=settings.limits))
    if found.touched:
        folder.store(found.state, found.changed)
    released = braking.release(holdings, origin) if settings.confirm else None
    records = holdings.materialize(origin)
    holdings.refresh()
    return _report(holdings, origin, found.result, records, released)
