"""Redaction: take records back from what we publish, as far as that reaches.

The journal erases what is its own [J16]; here the own feed follows: slices with stubs in the place of lines, and a head
that lists them, signed anew, over the same c and t [F9]. Begun under both locks, in this order: mark and `redact`
records, journal, feed. What was interrupted is ended by the next redaction or publish.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import NamedTuple

from federation import feed
from federation.blobs import ref_in
from federation.folder import FeedFolder, SliceFile
from federation.holdings import Holdings
from federation.model import HEAD_FILE, MAX_REDACTED, SLICE_NAME, SLICE_SUFFIX, Head, Slice
from federation.own_head import signed
from federation.packing import pack
from federation.taking_back import listed_by
from federation.verification import line_end
from journal import InvalidInput, Plan, Store, Written, is_left, is_temporary, stub


class RedactReport(NamedTuple):
    """What a redaction did: its plan, the records that tell of it, and whether the feed had to be written anew."""

    plan: Plan
    records: tuple[Written, ...]
    feed_changed: bool
    former: Mapping[int, str] = MappingProxyType({})  # seq → the former origin under which others saw it


def plan(holdings: Holdings, seqs: Collection[int]) -> RedactReport:
    """What a redaction would do; writes nothing but caches. Errors as `journal.redaction.Redaction.plan`."""
    with holdings.lock(), holdings.store.lock():
        found = _planned(holdings, seqs)
        return RedactReport(found, (), False, _former(holdings, found))


def _former(holdings: Holdings, found: Plan) -> Mapping[int, str]:
    """What was published under an identity that this store had before: no head of that feed will ever tell of it."""
    own = holdings.own_feeds
    owners = {line.seq: own.owner(line.seq) for line in found.lines if not line.published}
    return {seq: origin for seq, origin in owners.items() if origin != own.origins[0] and own.has_line(origin, seq)}


def _planned(holdings: Holdings, seqs: Collection[int]) -> Plan:
    found = holdings.store.redaction.plan(seqs, lambda seq: holdings.own.find(seq) is not None)
    head = holdings.own.head()
    check_room(0 if head is None else len(head.redacted), sum(line.published for line in found.lines))
    return found


def check_room(listed: int, more: int) -> None:
    """Refuse a redaction that would make readers refuse our feed: they take so many redacted seqs and no more [F9]."""
    if listed + more > MAX_REDACTED:
        text = f"{listed} records of the feed are redacted, and {more} more make more than {MAX_REDACTED}"
        raise InvalidInput(text, rule="F9")


def redact(holdings: Holdings, seqs: Collection[int], reason: str, agent: str) -> RedactReport:
    """Redact records here and in what we publish; durable on return, and then the text is in no file of the store.

    What others hold of it goes when they read the next publish. Raises InvalidInput and DamagedStore with nothing done;
    DiskFailed, DamagedStore or DamagedFeed with a redaction that is announced and will be ended.
    """
    store = holdings.store
    store.refuse_when_copied()
    with holdings.staging():
        pass  # sweeps what killed pulls left
    with holdings.lock(), store.lock():
        finish_feed(holdings)
        found = _planned(holdings, seqs)
        if not found.lines:
            return RedactReport(found, (), False)
        former = _former(holdings, found)
        if any(line.published for line in found.lines):
            store.private_key()  # rather now than when half of it is done
        written = store.redaction.begin(found, reason, agent)
        store.redaction.finish()
        for origin in holdings.own_feeds.origins:
            holdings.quarantine.drop(origin)  # feeds of another copy of us that were refused
        return RedactReport(found, tuple(written), finish_feed(holdings), former)


def finish_feed(holdings: Holdings) -> bool:
    """Bring the own feed up to a redaction that is not done there; the caller holds both locks.

    Returns whether anything of it was written anew. Done again it goes on where it was stopped.
    """
    store = holdings.store
    store.settle()  # the journal comes first
    if not is_left(store.local(), "feed"):
        return False
    changed = _redact_own(store, holdings.own)
    for former in store.previous:  # shown to nobody any more: its head needs no signature
        folder = FeedFolder(store.disk, store.folder / "feed" / former.origin)
        changed |= _redact_feed(store, folder, store.redaction.listed(), _unsigned)
    store.redaction.done("feed")
    return changed


def _unsigned(head: Head) -> bytes:
    return feed.head_file(feed.head_value(head), b"")


def _redact_own(store: Store, own: FeedFolder) -> bool:
    own.forget_cached()
    changed = _redact_feed(store, own, store.redaction.listed(private=False), lambda head: signed(head, store).raw)
    head, published = own.head(), store.published()
    if changed and head is not None and published is not None:
        store.update_local(published={**published, "gen": head.gen})
    own.forget_cached()
    return changed


def _redact_feed(store: Store, own: FeedFolder, seqs: Collection[int], seal: Callable[[Head], bytes]) -> bool:
    """Slices durable, then the head, then all that it does not list is removed: nobody must find it here any more."""
    head = own.head()
    if head is None:
        return False
    stubs = {seq for seq in sorted(seqs) if own.find(seq) is not None}
    is_new = not stubs <= set(head.redacted)
    if is_new:
        head = head._replace(
            gen=head.gen + 1,
            slices=tuple(_redact_slice(store, own, head, entry, stubs) for entry in head.slices),
            redacted=tuple(sorted({*head.redacted, *stubs})),
            published_at=store.machine.now(),
        )
        store.disk.replace_durably(own.folder / HEAD_FILE, seal(head))
        own.forget_cached()
    _remove_unlisted(store, own, head)
    return is_new


def _redact_slice(store: Store, own: FeedFolder, head: Head, entry: Slice, stubs: Collection[int]) -> Slice:
    """A slice with stubs in the place of lines, durable; the same one when it has none of them [F3]."""
    if not any(entry.first_seq <= seq <= entry.last_seq for seq in stubs):
        return entry
    raw = own.raw(SliceFile(entry.first_seq, entry.last_seq, entry.blake3[:12], entry.name))
    lines = feed.body_of(raw)[:-1].split(b"\n")
    short = [stub(line) if feed.parse_skip(line) is None and line_end(line) in stubs else line for line in lines]
    body = b"".join(line + b"\n" for line in short)
    built = feed.build_slice(head.origin, entry.first_seq, entry.last_seq, feed.prev_c_of(raw), head.previous, body)
    store.disk.replace_durably(own.folder / built.slice.file_name, pack(built.raw))
    return built.slice


def _remove_unlisted(store: Store, own: FeedFolder, head: Head) -> None:
    """Remove, durably, slices that the head does not list, blobs that no line refers to, and left-over files."""
    listed = {entry.file_name for entry in head.slices}
    for name in store.disk.names(own.folder):
        is_slice = SLICE_NAME.fullmatch(name.removesuffix(SLICE_SUFFIX)) is not None
        if is_temporary(name) or (is_slice and name not in listed):
            store.disk.remove(own.folder / name)
    store.disk.sync_folder(own.folder)
    own.forget_cached()
    files = set(own.blobs.files())
    if files:
        files -= {own.blobs.path(ref.blake3) for line in own.lines(0) if (ref := ref_in(line.data)) is not None}
    for path in sorted(files):
        store.disk.remove(path)
        store.disk.sync_folder(path.parent)


def newest_redaction(own: FeedFolder) -> int | None:
    """The seq of the newest record in our feed that tells of a redaction; None when nothing in it is redacted."""
    head = own.head()
    for file in reversed(own.slices()) if head is not None and head.redacted else ():
        found = [line for line in feed.body_of(own.raw(file)).split(b"\n") if listed_by(line)]
        if found:
            return line_end(found[-1])
    return None
