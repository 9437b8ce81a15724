"""Publisher: from the journal to feed/, verbatim, filtered, signed.

Under the store lock, after the tail is durable: copies the lines that were written since the last publish, puts a skip
stub where something is withheld [F1], writes slices, then the head, each durable before the next [F4]. The cost is that
of what is new.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from federation import feed
from federation.errors import DamagedFeed, SecretFound
from federation.feed import Built, FeedLine
from federation.folder import FeedFolder, SliceFile, pack
from federation.holdings import Holdings
from federation.model import HEAD_FILE, SLICE_NAME, SLICE_SUFFIX, Head, PublishReport, Slice, Withheld
from federation.secrets import find_secret
from federation.signing import sign
from federation.verification import State
from journal import JOURNAL_TYPE, Entry, Position, Store, chain_start, is_temporary

DEFAULT_TYPES: Final = ("plan", "decision", "trap", "constraint", "handoff", "note")
Saw = Mapping[str, tuple[int, str, str]]


class PublishSettings(NamedTuple):
    """What a person configured under [publish]."""

    types: frozenset[str] = frozenset(DEFAULT_TYPES)
    saw: bool = True


class Plan(NamedTuple):
    """What a publish would do: lines to add, what they withhold and why, and where the journal then stands."""

    lines: tuple[FeedLine, ...]
    published: int
    withheld: tuple[Withheld, ...]
    position: Position


def publish(holdings: Holdings, settings: PublishSettings, *, allow_secrets: bool = False) -> PublishReport:
    """Publish what is new; nothing new (records or `saw`) writes nothing.

    Durable on return. Raises SecretFound, DamagedFeed (a feed that is lost or not ours [T1]), StoreCopied, and what
    `Store.settle` raises; then the former head still stands.
    """
    store, own = holdings.store, holdings.own
    with holdings.lock(), store.lock():
        position = store.settle()
        own.forget_cached()
        head = _known_head(store, own)
        plan = _plan(store, settings, head, position)
        if not allow_secrets:
            _refuse_secrets(plan.lines)
        saw = holdings.saw() if settings.saw else {}
        if not plan.lines and (dict(head.saw) if head is not None else {}) == saw:
            gen, slices = (head.gen, len(head.slices)) if head is not None else (0, 0)
            return PublishReport(store.origin, head.last_seq if head else 0, gen, 0, {}, slices, False)
        written = _write(store, own, head, plan, saw)
        holdings.index.add_marks(
            store.origin, [State(written.last_seq, bytes.fromhex(written.c), bytes.fromhex(written.t))]
        )
        holdings.index.ask_flagged_again()
    withheld = Counter((entry.item_type, entry.reason) for entry in plan.withheld)
    return PublishReport(
        store.origin, written.last_seq, written.gen, plan.published, dict(withheld), len(written.slices), True
    )


def explain(holdings: Holdings, settings: PublishSettings) -> Plan:
    """What a publish would do now; writes nothing but caches."""
    with holdings.lock(), holdings.store.lock():
        position = holdings.store.settle()
        holdings.own.forget_cached()
        return _plan(holdings.store, settings, _known_head(holdings.store, holdings.own), position)


def _known_head(store: Store, own: FeedFolder) -> Head | None:
    """The head we published last. A lost or older feed is never made again from today's filter [T1]."""
    head = own.head()
    last = store.local().get("published")
    if head is None and last is None:
        return None
    if last is not None and (head is None or (head.gen, head.last_seq) < (last["gen"], last["last_seq"])):
        raise DamagedFeed(
            f"the feed published up to seq {last['last_seq']} is not here any more", path=own.folder, rule="T1"
        )
    return head


# --- what goes out ---------------------------------------------------------------------------------------------------


def _plan(store: Store, settings: PublishSettings, head: Head | None, position: Position) -> Plan:
    entries = list(_new_entries(store, head, position))
    private = _private_entities(entries)
    lines: list[FeedLine] = []
    withheld: list[Withheld] = []
    published = 0
    at = head.last_seq if head is not None else _start(store).seq
    for entry in entries:
        seq, c = entry.record.seq, entry.line.c
        withheld += [Withheld(torn, JOURNAL_TYPE, None, "torn") for torn in range(at + 1, seq)]
        reason = _why_withheld(entry, settings, private)
        if reason is not None:
            withheld.append(Withheld(seq, entry.record.item_type, entry.record.item_id, reason))
        if reason is None and seq == at + 1:
            lines.append(FeedLine(feed.RECORD_KIND, seq, seq, c, entry.line.data))
        elif reason is None:
            raise DamagedFeed(f"seq {at + 1} to {seq - 1} are missing from the journal", seq=at + 1, rule="J1")
        elif lines and lines[-1].kind == feed.SKIP_KIND:
            lines[-1] = _skip(lines[-1].first, seq, c)
        else:
            lines.append(_skip(at + 1, seq, c))
        published += reason is None
        at = seq
    return Plan(tuple(lines), published, tuple(withheld), position)


def _skip(first: int, last: int, c: bytes) -> FeedLine:
    return FeedLine(feed.SKIP_KIND, first, last, c, feed.skip_line(first, last, c))


def _new_entries(store: Store, head: Head | None, position: Position) -> Iterator[Entry]:
    """Journal entries after the last publish, void ones too; begins to read where that publish ended."""
    last = head.last_seq if head is not None else 0
    if position.seq <= last:
        return
    for gap in store.gaps(_reading_start(store, head)):
        for bad in gap.bad:
            if bad.broken:
                raise DamagedFeed(
                    f"the journal is damaged at byte {bad.offset}; a feed of it could never be verified",
                    path=gap.segment.path,
                    rule="J7",
                )
        for entry in gap.entries:
            if last < entry.record.seq <= position.seq:
                yield entry


def _reading_start(store: Store, head: Head | None) -> Position | None:
    if head is None:
        return None
    kept = (store.local().get("published") or {}).get("position")
    if kept is not None and kept[0] == head.last_seq:
        position = Position(kept[0], bytes.fromhex(kept[1]), *kept[2:])
        if store.fits(position):
            return position
    return store.position_at(head.last_seq)


def _private_entities(entries: Sequence[Entry]) -> frozenset[tuple[str, str | None]]:
    """Entities that are private as of their newest record: nothing of them that is unpublished goes out [F1]."""
    state = {
        (entry.record.item_type, entry.record.item_id): entry.record.private for entry in entries if not entry.void
    }
    return frozenset(key for key, private in state.items() if private)


def _why_withheld(entry: Entry, settings: PublishSettings, private: frozenset[tuple[str, str | None]]) -> str | None:
    record = entry.record
    if entry.void:
        return "void"
    if record.item_type == JOURNAL_TYPE:
        return None if record.action == "redact" and not record.private else "internal"
    if record.private or (record.item_type, record.item_id) in private:
        return "private"
    return None if record.item_type in settings.types else "type"


def _refuse_secrets(lines: Sequence[FeedLine]) -> None:
    for line in lines:
        kind = find_secret(line.data) if line.kind == feed.RECORD_KIND else None
        if kind is not None:
            raise SecretFound(f"the record with seq {line.first} looks as if it held {kind}", seq=line.first, rule="F1")


# --- writing it ------------------------------------------------------------------------------------------------------


def _start(store: Store) -> State:
    """Where a feed of this origin begins: {0, c_0}, or the newest previous origin after a renew [F2]."""
    if store.previous:
        newest = store.previous[-1]
        c = bytes.fromhex(newest.c)
        return State(newest.last_seq, c, feed.transcript_start(store.origin, newest.last_seq, c))
    c = chain_start(store.origin)
    return State(0, c, feed.transcript_start(store.origin, 0, c))


def _previous(store: Store) -> list[dict[str, Any]]:
    return [msgspec.to_builtins(entry) for entry in store.previous]


def _write(store: Store, own: FeedFolder, head: Head | None, plan: Plan, saw: Saw) -> Head:
    store.disk.make_folder(own.folder)
    start = _start(store)
    state = start if head is None else State(head.last_seq, bytes.fromhex(head.c), bytes.fromhex(head.t))
    slices = list(head.slices) if head is not None else []
    tiers = _tiers(store, slices)
    built: dict[str, Built] = {}
    for run in feed.cut(plan.lines):
        piece = feed.build_slice(
            store.origin, run[0].first, run[-1].last, state.c, _previous(store), b"".join(x.data + b"\n" for x in run)
        )
        for line in run:
            state = State(line.last, line.c, feed.transcript_step(state.t, line.kind, line.first, line.last, line.c))
        built[piece.slice.name] = piece
        slices.append(piece.slice)
        tiers.append(0)
    _merge(store, own, slices, tiers, built, start)
    wanted = {entry.name for entry in slices}
    for piece in built.values():
        if piece.slice.name in wanted:
            store.disk.replace_durably(own.folder / piece.slice.file_name, pack(piece.raw))
    after = _sign(store, head, start, state, slices, saw)
    store.disk.replace_durably(own.folder / HEAD_FILE, after.raw)
    own.forget_cached()
    _remember(store, after, tiers, plan.position)
    _remove_old(store, own, after, head)
    return after


def _tiers(store: Store, slices: Sequence[Slice]) -> list[int]:
    """How often each slice was merged: kept in local.json, guessed from the size where that is lost."""
    kept = (store.local().get("published") or {}).get("tiers")
    if isinstance(kept, list) and len(kept) == len(slices):
        return [int(tier) for tier in kept]
    bounds = (64 * 1024, 1024 * 1024, 8 * 1024 * 1024)
    return [sum(entry.raw_bytes > bound for bound in bounds) for entry in slices]


def _merge(
    store: Store, own: FeedFolder, slices: list[Slice], tiers: list[int], built: dict[str, Built], start: State
) -> None:
    """Merge small slices in place, tier by tier [F3]."""
    while (span := feed.plan_merge([entry.raw_bytes for entry in slices], tiers)) is not None:
        first, end = span
        parts = [built[s.name].raw if s.name in built else _raw_of(own, s) for s in slices[first:end]]
        prev_c = start.c if first == 0 else None
        header_c = prev_c or _prev_c(parts[0])
        merged = feed.build_slice(
            store.origin,
            slices[first].first_seq,
            slices[end - 1].last_seq,
            header_c,
            _previous(store),
            b"".join(feed.body_of(part) for part in parts),
        )
        built[merged.slice.name] = merged
        slices[first:end] = [merged.slice]
        tiers[first:end] = [min(tiers[first] + 1, feed.TOP_TIER)]


def _prev_c(raw: bytes) -> bytes:
    header = msgspec.json.decode(raw[: raw.index(b"\n")])
    return bytes.fromhex(header["segment"]["prev_c"])


def _raw_of(own: FeedFolder, entry: Slice) -> bytes:
    return own.raw(SliceFile(entry.first_seq, entry.last_seq, entry.blake3[:12], entry.name))


def _sign(store: Store, head: Head | None, start: State, state: State, slices: Sequence[Slice], saw: Saw) -> Head:
    unsigned = Head(
        gen=1 if head is None else head.gen + 1,
        origin=store.origin,
        public_key=store.file.public_key,
        name=store.name,
        start_seq=start.seq,
        start_c=start.c.hex(),
        previous=tuple(_previous(store)),
        last_seq=state.seq,
        c=state.c.hex(),
        t=state.t.hex(),
        slices=tuple(slices),
        redacted=head.redacted if head is not None else (),
        published_at=store.machine.now(),
        saw=saw,
        raw=b"",
    )
    value = feed.head_value(unsigned)
    return unsigned._replace(raw=feed.head_file(value, sign(store.private_key(), feed.signed_bytes(value))))


def _remember(store: Store, head: Head, tiers: list[int], position: Position) -> None:
    store.update_local(
        published={
            "gen": head.gen,
            "last_seq": head.last_seq,
            "c": head.c,
            "t": head.t,
            "tiers": tiers,
            "position": [position.seq, position.c.hex(), *position[2:]],
        }
    )


def _remove_old(store: Store, own: FeedFolder, head: Head, before: Head | None) -> None:
    """Remove what left the feed one publish ago: who read the former head still finds its slices."""
    keep = {entry.file_name for entry in head.slices}
    keep |= {entry.file_name for entry in before.slices} if before is not None else set()
    for name in store.disk.names(own.folder):
        is_slice = SLICE_NAME.fullmatch(name.removesuffix(SLICE_SUFFIX)) is not None
        if is_temporary(name) or (is_slice and name not in keep):
            store.disk.remove(Path(own.folder) / name)
