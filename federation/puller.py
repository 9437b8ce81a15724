"""Puller: fetch, verify, keep, materialize, for every origin of every remote.

    fetch head → verify → fetch missing slices into staging → verify them from the pin → mirror (durable) → materialize

Verify first, persist after: whatever is wrong with a feed, nothing of it was kept. Their fault is a value and the loop
goes on [F6]; only a damaged store of our own stops it. The second lock is taken after the network is done with [J9].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from federation import bridge
from federation.brainclaw import project_id
from federation.bridge import BridgeSource
from federation.errors import FederationError, SourceUnavailable
from federation.feed import build_slice
from federation.folder import pack
from federation.holdings import Holdings
from federation.mirror import BRIDGE_PREFIX, Brake
from federation.model import (
    BRAKE_CHANGES,
    BRAKE_DELETIONS,
    HEAD_FILE,
    MAX_HEAD_BYTES,
    MAX_SLICE_FILE_BYTES,
    Counts,
    Head,
    OriginPull,
    Pin,
    Refusal,
    RemotePull,
    Result,
    Slice,
)
from federation.transports import Transport, Wanted
from federation.verification import (
    Broken,
    State,
    compare,
    read_head,
    same_lines,
    split_slice,
    start_state,
    unpack_slice,
    walk,
)

SKIP_START: Final = b'{"v":2,"skip":'


class Remote(NamedTuple):
    """A named place and how to reach it. `url` is for people: no secrets in it [R2]."""

    name: str
    url: str
    connect: Callable[[], Transport | BridgeSource]
    held_before: bool = False  # a pull from here found feeds once
    pushed_before: bool = False  # a push to here worked once


class Settings(NamedTuple):
    """How a pull is done."""

    confirm: bool = False  # a person lifts the brake
    dry_run: bool = False  # verify and report, keep nothing


def pull(holdings: Holdings, remotes: Sequence[Remote], settings: Settings) -> list[RemotePull]:
    """Pull every remote, one after the other, and return what each origin came to. Never raises for foreign faults.

    Raises StoreCopied, StoreLocked, DamagedStore, DamagedFeed, DiskFailed for faults of our own.
    """
    holdings.store.refuse_when_copied()
    with holdings.lock():
        holdings.refresh()  # brakes that a killed pull left pending are decided on what is there now
        for origin in holdings.mirror.origins():
            _settle_brake(holdings, origin)
    with holdings.staging() as area:
        return [_pull_remote(holdings, remote, area, settings) for remote in remotes]


def _pull_remote(holdings: Holdings, remote: Remote, area: Path, settings: Settings) -> RemotePull:
    try:
        place = remote.connect()
        if isinstance(place, BridgeSource):
            bridged = _pull_bridge(holdings, place, settings)
            return RemotePull(remote.name, remote.url, None, () if bridged is None else (bridged,))
        listing = place.origins()
        if not listing.origins and remote.held_before:
            raise SourceUnavailable("held feeds before and is empty now; nothing was changed", rule="DESIGN 5")
        foreign = [origin for origin in listing.origins if origin != holdings.store.origin]  # [F8]
        pulled = [_pull_origin(holdings, place, origin, area, settings) for origin in foreign]
    except FederationError as error:
        return RemotePull(remote.name, remote.url, error, ())
    return RemotePull(remote.name, remote.url, None, tuple(pulled), listing.ignored)


# --- one signed origin -----------------------------------------------------------------------------------------------


class _Checked(NamedTuple):
    """A feed that may enter the mirror: its head, and slice files in staging in the order they continue ours."""

    head: Head
    pin: Pin | None
    slices: tuple[Path, ...]
    marks: tuple[State, ...]
    records: int


def _pull_origin(holdings: Holdings, place: Transport, origin: str, area: Path, settings: Settings) -> OriginPull:
    staging = area / origin
    holdings.store.disk.make_folder(staging)
    try:
        found = _check(holdings, place, origin, staging)
        if isinstance(found, Refusal):
            return _refused(holdings, origin, found, staging, settings)
        if settings.dry_run:
            return _report(holdings, origin, Result.NEW if found.pin is None else _result(found), found.records)
        with holdings.lock():
            if holdings.mirror.feed(origin).pin() != found.pin:  # another pull was faster: look again at what is held
                found = _check(holdings, place, origin, staging)
                if isinstance(found, Refusal):
                    return _refused(holdings, origin, found, staging, settings)
            return _keep(holdings, origin, found, settings)
    except SourceUnavailable as error:
        refusal = Refusal(Result.INCOMPLETE, error.message, "F5", path=error.path)
        return _refused(holdings, origin, refusal, staging, settings)
    finally:
        holdings.store.disk.remove_tree(staging)


def _check(holdings: Holdings, place: Transport, origin: str, staging: Path) -> _Checked | Refusal:
    """Fetch and verify; nothing leaves staging [F5]."""
    feed = holdings.mirror.feed(origin)
    feed.forget_cached()
    if holdings.mirror.fork_evidence(origin):
        return Refusal(Result.FORK, "frozen since its feed contradicted itself", "F5", path=f"{origin}/fork")
    if HEAD_FILE not in place.fetch(origin, [Wanted(HEAD_FILE, MAX_HEAD_BYTES)], staging):
        return Refusal(Result.INCOMPLETE, "no head.json, or not a regular file of a size we take", "F5", path=origin)
    raw = holdings.store.disk.read(staging / HEAD_FILE)
    pin = feed.pin()
    held = feed.head()
    if held is not None and raw == held.raw:
        return _Checked(held, pin, (), (), 0)
    head = read_head(raw, origin, lambda other, seq: _start_known(holdings, other, seq))
    if isinstance(head, Refusal):
        return head
    row = compare(head, pin, _MarkedFeed(holdings, origin) if pin is not None else None)
    if isinstance(row, Refusal):
        return row
    if row is Result.UP_TO_DATE:
        newest = head if held is None or head.gen > held.gen else held
        return _Checked(newest, pin, (), (), 0)
    return _check_slices(holdings, place, head, pin, staging)


class _MarkedFeed:
    """Our mirror of an origin, with remembered places for comparing older heads."""

    def __init__(self, holdings: Holdings, origin: str) -> None:
        self._holdings, self._origin = holdings, origin

    @property
    def start_seq(self) -> int:
        """The seq before the first line of the mirror."""
        head = self._holdings.mirror.feed(self._origin).head()
        return 0 if head is None else head.start_seq

    def at(self, seq: int) -> tuple[str, str] | None:
        """(c, t) after the line that ends at a seq."""
        mark = self._holdings.index.mark_before(self._origin, seq)
        return self._holdings.mirror.feed(self._origin).at(seq, mark)


def _start_known(holdings: Holdings, origin: str, seq: int) -> str | None:
    if origin not in holdings.mirror.origins():
        return None
    at = holdings.mirror.feed(origin).at(seq)
    return None if at is None else at[0]


def _check_slices(
    holdings: Holdings, place: Transport, head: Head, pin: Pin | None, staging: Path
) -> _Checked | Refusal:
    state = start_state(head) if pin is None else State(pin.seq, bytes.fromhex(pin.c), bytes.fromhex(pin.t))
    wanted = [entry for entry in head.slices if entry.last_seq > state.seq]
    asked = [Wanted(entry.file_name, min(MAX_SLICE_FILE_BYTES, entry.raw_bytes + 64 * 1024)) for entry in wanted]
    had = frozenset(place.fetch(head.origin, asked, staging))
    bad = Result.REFUSED if pin is None else Result.FORK
    files: list[Path] = []
    marks: list[State] = []
    records = 0
    for entry in wanted:
        where = f"{head.origin}/{entry.file_name}"
        packed = holdings.store.disk.read(staging / entry.file_name) if entry.file_name in had else b""
        raw = unpack_slice(packed, entry)
        if raw is None:
            return Refusal(Result.INCOMPLETE, "slice is missing or does not match the head", "F5", path=where)
        new = _new_lines(holdings, head, entry, raw, state)
        after = new if isinstance(new, Broken) else walk(new.lines, state, frozenset(head.redacted), new.first_line)
        if not isinstance(after, Broken) and after.seq != entry.last_seq:
            after = Broken(f"slice ends at seq {after.seq}, its name says {entry.last_seq}", None, entry.last_seq)
        if isinstance(new, Broken) or isinstance(after, Broken):
            broken = new if isinstance(new, Broken) else after
            assert isinstance(broken, Broken)
            return Refusal(bad, broken.message, "F5", path=where, line=broken.line, seq=broken.seq)
        files.append(_file_to_keep(holdings, head, entry, new, state, staging))
        records += sum(not line.startswith(SKIP_START) for line in new.lines)
        state = after
        marks.append(state)
    if (state.c.hex(), state.t.hex()) != (head.c, head.t):
        return Refusal(bad, "lines do not recompute to the head's c and t", "F5", path=f"{head.origin}/{HEAD_FILE}")
    return _Checked(head, pin, tuple(files), tuple(marks), records)


class _New(NamedTuple):
    """The lines of a slice behind our pin, and the number of the first of them in its file."""

    lines: list[bytes]
    first_line: int


def _new_lines(holdings: Holdings, head: Head, entry: Slice, raw: bytes, state: State) -> _New | Broken:
    """What a slice holds behind our pin; of one that reaches below it (merged since) the rest must be what we hold."""
    straddles = entry.first_seq <= state.seq
    prev_c = _c_before(holdings, head, entry.first_seq) if straddles else state.c
    lines = split_slice(raw, entry, head.origin, prev_c, head.previous)
    if isinstance(lines, Broken) or not straddles:
        return lines if isinstance(lines, Broken) else _New(lines, 2)
    held = [line.data for line in holdings.mirror.feed(head.origin).lines(entry.first_seq - 1)]
    wrong = same_lines(held, lines[: len(held)], frozenset(head.redacted))
    return _New(lines[len(held) :], 2 + len(held)) if wrong is None else wrong


def _c_before(holdings: Holdings, head: Head, first_seq: int) -> bytes:
    at = _MarkedFeed(holdings, head.origin).at(first_seq - 1)
    return b"" if at is None else bytes.fromhex(at[0])


def _file_to_keep(holdings: Holdings, head: Head, entry: Slice, new: _New, state: State, staging: Path) -> Path:
    """The slice as fetched; of one that reaches below our pin only what is new, cut as a slice of its own [F3]."""
    if entry.first_seq == state.seq + 1:
        return staging / entry.file_name
    lines = b"".join(line + b"\n" for line in new.lines)
    built = build_slice(head.origin, state.seq + 1, entry.last_seq, state.c, head.previous, lines)
    path = staging / built.slice.file_name
    holdings.store.disk.replace(path, pack(built.raw))
    return path


# --- keeping it ------------------------------------------------------------------------------------------------------


def _keep(holdings: Holdings, origin: str, found: _Checked, settings: Settings) -> OriginPull:
    """Under the lock: mirror first, durable; then the index."""
    held = holdings.mirror.feed(origin).head_bytes()
    if found.slices or held is None:
        if found.pin is not None and holdings.mirror.brake(origin) is None:
            holdings.mirror.set_brake(origin, Brake(found.pin.seq, pending=True))
        holdings.mirror.take(origin, found.slices, found.head.raw)
        holdings.index.add_marks(origin, found.marks)
    elif held != found.head.raw:
        holdings.mirror.replace_head(origin, found.head.raw)
    if settings.confirm:
        holdings.mirror.release_brake(origin)
    if found.slices or held is None or settings.confirm:
        holdings.refresh()
        _settle_brake(holdings, origin)
    return _report(holdings, origin, _result(found), found.records)


def _result(found: _Checked) -> Result:
    if found.pin is None:
        return Result.NEW
    return Result.UPDATED if found.slices else Result.UP_TO_DATE


def _settle_brake(holdings: Holdings, origin: str) -> None:
    """Decide a pending brake, and release one under which nothing is open any more [K5]."""
    brake = holdings.mirror.brake(origin)
    if brake is None:
        return
    changes, deletions = holdings.index.open_after(origin, brake.after_seq)
    if brake.pending and (changes > BRAKE_CHANGES or deletions > BRAKE_DELETIONS):
        holdings.mirror.set_brake(origin, Brake(brake.after_seq, pending=False))
    elif brake.pending or changes == 0:
        holdings.mirror.release_brake(origin)


def _report(holdings: Holdings, origin: str, result: Result, records: int) -> OriginPull:
    brake = holdings.mirror.brake(origin)
    return OriginPull(
        origin,
        holdings.name(origin),
        result,
        records,
        holdings.pin(origin),
        holdings.counts(origin),
        braked=brake is not None and not brake.pending,
        warnings=(*bridge.describe(holdings.index.notes(origin)), *_contradictions(holdings, origin)),
    )


def _refused(holdings: Holdings, origin: str, refusal: Refusal, staging: Path, settings: Settings) -> OriginPull:
    """Report a refusal. A fork is kept as evidence, and freezes its origin until a person decides [F5]."""
    evidence = holdings.store.disk.read_if_there(staging / HEAD_FILE)
    if refusal.result is Result.FORK and evidence is not None and not settings.dry_run:
        with holdings.lock():
            holdings.mirror.freeze(origin, evidence)
    known = holdings.mirror.feed(origin).pin() is not None
    counts = holdings.counts(origin) if known else Counts()
    name = holdings.name(origin) if known else ""
    return OriginPull(origin, name, refusal.result, 0, holdings.pin(origin), counts, refusal)


def _contradictions(holdings: Holdings, origin: str) -> Iterator[str]:
    """What a head says it saw of others and what we hold of them: reported, and freezes nothing [F2]."""
    head = None if origin.startswith(BRIDGE_PREFIX) else holdings.mirror.feed(origin).head()
    for other, (seq, c, t) in (head.saw if head is not None else {}).items():
        own = other == holdings.store.origin
        feed = holdings.own if own else holdings.mirror.feed(other)
        known = feed.head()
        if known is None or seq > known.last_seq:
            if own:
                yield f"{origin} says it read us up to seq {seq}, which we never published"
        elif seq == known.last_seq and (c, t) != (known.c, known.t):
            yield f"{origin} and we hold different content of {other} at seq {seq}"


# --- one bridged store -----------------------------------------------------------------------------------------------


def _pull_bridge(holdings: Holdings, source: BridgeSource, settings: Settings) -> OriginPull | None:
    """Copy and read another program's store (DESIGN 10); None where its journal was never on."""
    project = project_id(source.config())
    if project is None:
        raise SourceUnavailable("config.yaml names no project_id", rule="DESIGN 10")
    origin = BRIDGE_PREFIX + project
    with holdings.lock():
        folder = holdings.bridge(origin)
        before = holdings.index.position(origin)[0]
        if folder.is_new() and not source.segments():
            return None
        found = bridge.plan_copy(folder, source)
        if isinstance(found, Refusal):
            counts = holdings.counts(origin)
            return OriginPull(origin, folder.name, found.result, 0, before, counts, found)
        if settings.dry_run:
            return OriginPull(origin, found.state.name, found.result, 0, before, holdings.counts(origin))
        if found.changed and not folder.is_new() and holdings.mirror.brake(origin) is None:
            holdings.mirror.set_brake(origin, Brake(before, pending=True))
        if found.touched:
            folder.store(found.state, found.changed)
        if settings.confirm:
            holdings.mirror.release_brake(origin)
        records = holdings.materialize(origin)
        holdings.refresh()
        _settle_brake(holdings, origin)
        return _report(holdings, origin, found.result, records)
