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
from typing import Final, NamedTuple

from federation import feed
from federation.errors import DamagedFeed, PersonalFound, SecretFound
from federation.feed import FeedLine
from federation.folder import FeedFolder, SliceFile
from federation.holdings import Holdings
from federation.model import HEAD_FILE, SLICE_NAME, SLICE_SUFFIX, Head, PersonalFindings, PublishReport, Slice
from federation.outgoing import Outgoing
from federation.own_head import Saw, next_head, previous_of, remember, seen_of_others, start_of, tiers_of
from federation.packing import pack
from federation.redaction import finish_feed
from federation.screening import PERSONAL, SECRET, Finding, Screening
from federation.secrets import find_secret
from federation.verification import State
from federation.withholding import PublishSettings
from journal import DamagedStore, Store, decode_record, is_temporary

_STRICT: Final = Screening()
_MAX_PERSONAL: Final = 100  # findings that a report names


class Planned(NamedTuple):
    """One new record, and what a publish would do with it: the reason why it is kept back, or None."""

    seq: int
    item_type: str
    item_id: str | None
    reason: str | None


class Plan(NamedTuple):
    """What a publish would do: with each new record, and what was found in those that would go out."""

    records: tuple[Planned, ...]
    findings: tuple[Finding, ...]

    @property
    def published(self) -> int:
        """How many records would go out."""
        return sum(record.reason is None for record in self.records)

    @property
    def withheld(self) -> list[Planned]:
        """Those that would not."""
        return [record for record in self.records if record.reason is not None]


def publish(
    holdings: Holdings, settings: PublishSettings, screening: Screening = _STRICT, *, allow_findings: bool = False
) -> PublishReport:
    """Publish what is new; nothing new (records or `saw`) writes nothing.

    Durable on return. Raises SecretFound and PersonalFound unless a person allows what is found, DamagedFeed (a feed
    that is lost or not ours [T1]), InvalidInput (a name that others would not take), StoreCopied, and what
    `Store.settle` raises; then the former head still stands. Memory is that of one slice, whatever is new.
    """
    store, own = holdings.store, holdings.own
    with holdings.lock(), store.lock():
        position = store.settle()
        finish_feed(holdings)
        own.forget_cached()
        head = _known_head(store, own)
        new = Outgoing(holdings, settings, head, position)
        personal = _passed(_screened(store, new.lines(), screening), screening, allow_findings)
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
    return report._replace(left_out=tuple(left_out), personal=personal)


def explain(holdings: Holdings, settings: PublishSettings, screening: Screening = _STRICT) -> Plan:
    """What a publish would do now; writes nothing but caches."""
    store = holdings.store
    with holdings.lock(), store.lock():
        position = store.settle()
        holdings.own.forget_cached()
        records: list[Planned] = []
        new = Outgoing(holdings, settings, _known_head(store, holdings.own), position)
        for line in new.lines(lambda found: records.append(Planned(*found))):
            if line.kind == feed.RECORD_KIND:
                record = decode_record(line.data)
                records.append(Planned(record.seq, record.item_type, record.item_id, None))
        findings = tuple(_screened(store, new.lines(), screening))
        return Plan(tuple(sorted(records, key=lambda record: record.seq)), findings)


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


def _screened(store: Store, lines: Iterable[FeedLine], screening: Screening) -> Iterator[Finding]:
    """What is found in the records that would go out, and in the name that stands in the head."""
    if find_secret(store.name.encode("utf-8", "replace")) is not None:
        raise SecretFound("the name of this store looks as if it held a secret", path=store.folder, rule="F1")
    for line in lines:
        if line.kind == feed.RECORD_KIND:
            blob = None
            if line.has_blob:
                with contextlib.suppress(DamagedStore):  # what cannot be read does not go out
                    blob = store.payload_of(decode_record(line.data))
            yield from screening.findings(line.data, blob)


def _passed(findings: Iterable[Finding], screening: Screening, allowed: bool) -> PersonalFindings:
    """What is personal and goes out all the same. Raises at the first finding that stops a publish."""
    first: list[Finding] = []
    count = 0
    for found in findings:
        if found.kind == SECRET and not allowed:
            raise SecretFound(f"{found} looks as if it held {found.what}", seq=found.seq, rule="F1")
        if found.kind == PERSONAL and screening.stop_at_personal and not allowed:
            raise PersonalFound(f"{found} holds {found.what}", seq=found.seq, rule="F1")
        if found.kind == PERSONAL:
            count += 1
            first += [found] if count <= _MAX_PERSONAL else []
    return PersonalFindings(tuple(first), count)


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
