"""Publisher: from the journal to feed/, verbatim, filtered, signed.

Under the store lock, after the tail is durable: copies the lines that were written since the last publish, puts a skip
stub where something is withheld [F1], writes slices, then the head, each durable before the next [F4]. The cost is that
of what is new.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from federation import feed
from federation.errors import DamagedFeed, SecretFound
from federation.feed import FeedLine
from federation.folder import FeedFolder, SliceFile
from federation.holdings import Holdings
from federation.model import HEAD_FILE, SLICE_NAME, SLICE_SUFFIX, Head, PublishReport, Slice, Withheld
from federation.outgoing import Outgoing
from federation.own_head import Saw, next_head, previous_of, remember, seen_of_others, start_of, tiers_of
from federation.packing import pack
from federation.redaction import finish_feed
from federation.secrets import find_secret
from federation.verification import State
from federation.withholding import PublishSettings
from journal import DamagedStore, Store, decode_record, is_temporary


class Plan(NamedTuple):
    """What a publish would do: how many records go out, which do not and why, and which would stop it."""

    published: int
    withheld: tuple[Withheld, ...]
    secrets: tuple[Withheld, ...]


def publish(holdings: Holdings, settings: PublishSettings, *, allow_secrets: bool = False) -> PublishReport:
    """Publish what is new; nothing new (records or `saw`) writes nothing.

    Durable on return. Raises SecretFound, DamagedFeed (a feed that is lost or not ours [T1]), InvalidInput (a name that
    others would not take), StoreCopied, and what `Store.settle` raises; then the former head still stands. Memory is
    that of one slice, whatever is new.
    """
    store, own = holdings.store, holdings.own
    with holdings.lock(), store.lock():
        position = store.settle()
        finish_feed(holdings)
        own.forget_cached()
        head = _known_head(store, own)
        new = Outgoing(holdings, settings, head, position)
        if not allow_secrets:
            _refuse_secrets(store, new.lines())
        saw = seen_of_others(holdings) if settings.saw else {}
        if new.is_empty and (dict(head.saw) if head is not None else {}) == saw:
            gen, slices = (head.gen, len(head.slices)) if head is not None else (0, 0)
            return PublishReport(store.origin, head.last_seq if head else 0, gen, 0, {}, slices, False)
        withheld: Counter[tuple[str, str]] = Counter()
        left_out: list[str] = []
        lines = _with_blobs(
            store, own, new.lines(lambda entry: withheld.update([(entry.item_type, entry.reason)])), left_out.append
        )
        written = _write(store, own, head, new, saw, lines)
        holdings.index.add_marks(
            store.origin, [State(written.last_seq, bytes.fromhex(written.c), bytes.fromhex(written.t))]
        )
        holdings.index.ask_again_after_publish(holdings.own_feeds.origins)
    count = written.last_seq - (head.last_seq if head is not None else start_of(store).seq) - withheld.total()
    report = PublishReport(
        store.origin, written.last_seq, written.gen, count, dict(withheld), len(written.slices), True
    )
    return report._replace(left_out=tuple(left_out))


def explain(holdings: Holdings, settings: PublishSettings) -> Plan:
    """What a publish would do now; writes nothing but caches."""
    store = holdings.store
    with holdings.lock(), store.lock():
        position = store.settle()
        holdings.own.forget_cached()
        withheld: list[Withheld] = []
        new = Outgoing(holdings, settings, _known_head(store, holdings.own), position)
        published, secrets = 0, []
        for line in new.lines(withheld.append):
            published += line.kind == feed.RECORD_KIND
            if _secret_in(store, line) is not None:
                record = decode_record(line.data)
                secrets.append(Withheld(line.first, record.item_type, record.item_id, "secret"))
        return Plan(published, tuple(withheld), tuple(secrets))


def _known_head(store: Store, own: FeedFolder) -> Head | None:
    """The head we published last. A lost, older or other feed is never made again from today's filter [T1]."""
    head = own.head()
    last = store.published()
    if last is None:
        return head  # none yet, or killed before it was noted down
    if head is None or (head.gen, head.last_seq) < (last["gen"], last["last_seq"]):
        raise DamagedFeed(
            f"the feed published up to seq {last['last_seq']} is not here any more", path=own.folder, rule="T1"
        )
    if head.gen == last["gen"] and (head.last_seq, head.c, head.t) != (last["last_seq"], last["c"], last["t"]):
        raise DamagedFeed("the feed here is not the one that was published last", path=own.folder, rule="T1")
    return head


# --- what goes out ---------------------------------------------------------------------------------------------------


def _refuse_secrets(store: Store, lines: Iterable[FeedLine]) -> None:
    for line in lines:
        kind = _secret_in(store, line)
        if kind is not None:
            raise SecretFound(f"the record with seq {line.first} looks as if it held {kind}", seq=line.first, rule="F1")


def _secret_in(store: Store, line: FeedLine) -> str | None:
    if line.kind != feed.RECORD_KIND:
        return None
    found = find_secret(line.data)
    if found is None and line.has_blob:
        with contextlib.suppress(DamagedStore):  # what cannot be read does not go out
            return find_secret(store.payload_of(decode_record(line.data)) or b"")
    return found


def _with_blobs(
    store: Store, own: FeedFolder, lines: Iterable[FeedLine], left_out: Callable[[str], None]
) -> Iterator[FeedLine]:
    """The same lines, each once its payload stands in our feed, durably: blobs before slices [F4].

    A payload that is missing or damaged here is told; its line goes out without it, and everything else goes on.
    """
    for line in lines:
        if line.has_blob:
            try:
                own.blobs.write(store.payload_of(decode_record(line.data)) or b"")
            except DamagedStore as error:
                left_out(str(error))
        yield line


# --- writing it ------------------------------------------------------------------------------------------------------


def _write(
    store: Store, own: FeedFolder, head: Head | None, new: Outgoing, saw: Saw, lines: Iterable[FeedLine]
) -> Head:
    """Write new slices, merged ones, then the head, each durable before the next [F4]."""
    store.disk.make_folder_durably(own.folder)
    state = start_of(store) if head is None else State(head.last_seq, bytes.fromhex(head.c), bytes.fromhex(head.t))
    slices = list(head.slices) if head is not None else []
    tiers = tiers_of(store, slices)
    for run in feed.cut(lines):
        body = b"".join(line.data + b"\n" for line in run)
        built = feed.build_slice(store.origin, run[0].first, run[-1].last, state.c, previous_of(store), body)
        store.disk.replace_durably(own.folder / built.slice.file_name, pack(built.raw))
        for line in run:
            state = State(line.last, line.c, feed.transcript_step(state.t, line.kind, line.first, line.last, line.c))
        slices.append(built.slice)
        tiers.append(0)
    _merge(store, own, slices, tiers)
    after = next_head(store, head, state, slices, saw)
    store.disk.replace_durably(own.folder / HEAD_FILE, after.raw)
    own.forget_cached()
    remember(store, after, tiers, new.position)
    _remove_old(store, own, after, head)
    return after


def _merge(store: Store, own: FeedFolder, slices: list[Slice], tiers: list[int]) -> None:
    """Merge small slices in place, tier by tier [F3]."""
    while (span := feed.plan_merge([entry.raw_bytes for entry in slices], tiers)) is not None:
        first, end = span
        parts = [own.raw(SliceFile(s.first_seq, s.last_seq, s.blake3[:12], s.name)) for s in slices[first:end]]
        lines = b"".join(feed.body_of(part) for part in parts)
        ends = (slices[first].first_seq, slices[end - 1].last_seq)
        merged = feed.build_slice(store.origin, *ends, feed.prev_c_of(parts[0]), previous_of(store), lines)
        store.disk.replace_durably(own.folder / merged.slice.file_name, pack(merged.raw))
        slices[first:end] = [merged.slice]
        tiers[first:end] = [min(tiers[first] + 1, feed.TOP_TIER)]


def _remove_old(store: Store, own: FeedFolder, head: Head, before: Head | None) -> None:
    """Remove what left the feed one publish ago: who read the former head still finds its slices."""
    keep = {entry.file_name for entry in head.slices}
    keep |= {entry.file_name for entry in before.slices} if before is not None else set()
    for name in store.disk.names(own.folder):
        is_slice = SLICE_NAME.fullmatch(name.removesuffix(SLICE_SUFFIX)) is not None
        if is_temporary(name) or (is_slice and name not in keep):
            store.disk.remove(Path(own.folder) / name)
