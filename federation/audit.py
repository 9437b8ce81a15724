"""Audit: is what we publish, and what we hold of others, still what was signed?

Reads own feed and mirrors whole and writes nothing: signatures, slice hashes, chain and transcript (F2, F3, F5).
Findings come in the shape of `Store.verify`, so that one command shows both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from federation.blobs import ref_in
from federation.errors import BlobUnreadable, DamagedFeed
from federation.folder import FeedFolder
from federation.holdings import Holdings
from federation.index_audit import audit_index
from federation.mirror import BRIDGE_PREFIX
from federation.model import HEAD_FILE, Head, Refusal, Slice
from federation.taking_back import Told
from federation.verification import Broken, line_end, read_head, split_slice, start_state, walk
from journal import BlobRef, Finding, JournalError

_OWN: Final = "feed-damaged"


def audit(holdings: Holdings) -> Iterator[Finding]:
    """What is wrong with the own feed, the mirrors and the index over them, one finding each."""
    yield from _own(holdings)
    yield from audit_index(holdings)
    for origin in holdings.mirror.origins():
        if origin.startswith(BRIDGE_PREFIX):
            yield from _bridge(holdings, origin)
            yield from _brake(holdings, origin)
            continue
        yield from _feed(holdings.mirror.feed(origin), origin, "mirror-damaged")
        yield from _brake(holdings, origin)
        for name in holdings.trust.unsettled(origin):
            path = holdings.mirror.path(origin) / "fork" / name
            yield Finding(
                "origin-forked", "warning", f"{origin} signed two contradicting feeds", str(path), None, None, False
            )


def _own(holdings: Holdings) -> Iterator[Finding]:
    store, own = holdings.store, holdings.own
    try:
        head = own.head()
    except DamagedFeed as error:
        yield _error(_OWN, error.message, error.path, error.seq)
        return
    last = store.published()
    if head is None and last is not None:
        yield _error("feed-lost", f"the feed published up to seq {last['last_seq']} is gone [T1]", own.folder, None)
    yield from _feed(own, store.origin, _OWN)


def _feed(feed: FeedFolder, origin: str, finding: str) -> Iterator[Finding]:
    try:
        raw = feed.head_bytes()
        if raw is None:
            return
        head = read_head(raw, origin, lambda *_: None)
        if isinstance(head, Refusal):
            yield _error(finding, f"{head.message} [{head.rule}]", feed.folder / HEAD_FILE, head.seq)
            return
        yield from _lines(feed, head, finding)
    except (DamagedFeed, JournalError) as error:
        yield _error(finding, error.message, error.path or feed.folder, error.seq)


def _lines(feed: FeedFolder, head: Head, finding: str) -> Iterator[Finding]:
    state, seen, told = start_state(head), set[BlobRef](), Told(head.redacted)
    for file in feed.slices():
        raw = feed.raw(file)
        entry = Slice(file.name, file.first_seq, file.last_seq, len(raw), file.digest)
        lines = split_slice(raw, entry, head.origin, state.c, head.previous)
        after = lines if isinstance(lines, Broken) else walk(lines, state, frozenset(head.redacted))
        if isinstance(after, Broken):
            path = feed.folder / entry.file_name
            yield Finding(finding, "error", f"{after.message} [F5]", str(path), after.line, after.seq, False)
            return
        state = after
        told.add([] if isinstance(lines, Broken) else lines)
        yield from _blobs(feed, [] if isinstance(lines, Broken) else lines, seen, finding)
    if (state.seq, state.c.hex(), state.t.hex()) != (head.last_seq, head.c, head.t):
        text = "the lines do not recompute to the head's c and t [F5]"
        yield _error(finding, text, feed.folder / HEAD_FILE, head.last_seq)
    yield from _redactions(told, head, feed.folder / HEAD_FILE, finding)


def _redactions(told: Told, head: Head, path: Path, finding: str) -> Iterator[Finding]:
    """A stub is the one that a record of the same feed lists; of our own feed that may be published yet [F9]."""
    for seq in head.redacted:
        listed = told.listed.get(seq)
        if seq in told.stubs and listed != told.stubs[seq] and (listed is not None or finding != _OWN):
            yield _error(finding, "is redacted to a stub that no record of its feed lists [F9]", path, seq)


def _blobs(feed: FeedFolder, lines: Sequence[bytes], seen: set[BlobRef], finding: str) -> Iterator[Finding]:
    """The payloads that lines refer to, each once [J13]. What a mirror lacks was never had, and is asked for again."""
    for line in lines:
        ref = ref_in(line)
        if ref is None or ref in seen:
            continue
        seen.add(ref)
        try:
            feed.blobs.read(ref)
        except BlobUnreadable as error:
            message, seq = f"{error.message} [{error.rule}]", line_end(line)
            if finding == _OWN:
                yield _error("feed-blob-damaged", message, error.path, seq)
            elif feed.blobs.is_there(ref.blake3):
                yield _error("mirror-blob-damaged", message, error.path, seq)
            else:
                yield Finding("mirror-blob-missing", "warning", message, error.path, None, seq, False)


def _bridge(holdings: Holdings, origin: str) -> Iterator[Finding]:
    folder = holdings.bridge(origin)
    try:
        for copied in folder.state().segments:
            folder.raw(copied)
    except (DamagedFeed, JournalError) as error:
        yield _error("mirror-damaged", error.message, error.path or folder.folder, error.seq)


def _brake(holdings: Holdings, origin: str) -> Iterator[Finding]:
    try:
        holdings.mirror.brake(origin)
    except DamagedFeed as error:
        yield _error("mirror-damaged", error.message, error.path, None)


def _error(finding: str, message: str, path: Path | str | None, seq: int | None) -> Finding:
    return Finding(finding, "error", message, None if path is None else str(path), None, seq, False)
