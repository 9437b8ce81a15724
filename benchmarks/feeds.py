"""Feeds: signed feeds of any size, made from a seed without a store. The same arguments give the same bytes.

Lines are made by the journal's codec and slices by the feed's rules, so that a pull meets what a publish would have
written; only index and projections of a publishing store are left out, which is what makes it fast.
"""

from __future__ import annotations

import base64
import itertools
import random
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from federation import feed
from federation.feed import FeedLine
from federation.model import HEAD_FILE, Head, Slice
from federation.packing import pack
from federation.signing import sign
from federation.verification import State
from journal import RECORD_VERSION, Record, chain_start, origin_of
from journal.codec import encode_record

SEED: Final = bytes(range(32))
ENTITIES: Final = 10_000
LINE_BYTES: Final = 1_200
_ENVELOPE_BYTES: Final = 400  # what a line has beside its text
_TYPES: Final = ("plan", "decision", "trap", "constraint", "handoff", "note")
_SYLLABLES: Final = (
    "ba",
    "che",
    "dor",
    "en",
    "fi",
    "gru",
    "hal",
    "i",
    "ko",
    "lem",
    "mi",
    "nos",
    "or",
    "pe",
    "qui",
    "ra",
)


def public_key(seed: bytes = SEED) -> bytes:
    """The raw public key of a seed."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


class Entity(NamedTuple):
    """An entity that records are made about; its text is most of each snapshot."""

    item_type: str
    item_id: str
    text: str


def entities(count: int = ENTITIES, line_bytes: int = LINE_BYTES) -> list[Entity]:
    """Entities with a text of their own; every 20th has letters beyond ASCII."""
    chance = random.Random(7)
    words = ["".join(chance.choices(_SYLLABLES, k=chance.randint(1, 4))) for _ in range(2_000)]
    found = []
    for number in range(count):
        text = " ".join(chance.choices(words, k=300))
        text = (text * (line_bytes // len(text) + 1))[: line_bytes - _ENVELOPE_BYTES]
        text = text if number % 20 else "é→" + text[5:]
        found.append(Entity(_TYPES[number % len(_TYPES)], f"{_TYPES[number % len(_TYPES)][:3]}_{number:08x}", text))
    return found


def records(events: int, known: list[Entity]) -> Iterator[Record]:
    """One record after the other, each a snapshot of one of the entities, chosen by chance."""
    chance = random.Random(11)
    revs: dict[str, int] = {}
    for seq in range(1, events + 1):
        item_type, item_id, text = known[int(chance.random() * len(known))]
        rev = revs[item_id] = revs.get(item_id, 0) + 1
        payload = f'{{"title":"{item_id}","status":"open","step":{rev},"text":"{text}"}}'
        yield Record(
            v=RECORD_VERSION,
            seq=seq,
            ts="2026-06-10T14:03:22.114Z",
            writer="w_4711-00ff00ff",
            agent="benchmark",
            action="create" if rev == 1 else "update",
            item_type=item_type,
            item_id=item_id,
            entity_rev=rev,
            summary=f"step {rev} of {item_id}",
            payload=msgspec.Raw(payload.encode("utf-8")),
            salt=f"{seq:016x}",
        )


def lines(origin: str, events: int, known: list[Entity]) -> Iterator[FeedLine]:
    """The chained lines of a journal that holds nothing but these records."""
    c = chain_start(origin)
    for record in records(events, known):
        data, c = encode_record(record, c)
        yield FeedLine(feed.RECORD_KIND, record.seq, record.seq, c, data)


def make_feed(bus: Path, publishes: Sequence[int], *, known: list[Entity] | None = None, seed: bytes = SEED) -> str:
    """Write a signed feed of records to a bus and return its origin.

    `publishes` says how many records each publish brought: none shares a slice with the next.
    """
    origin = origin_of(public_key(seed))
    rest = lines(origin, sum(publishes), known or entities())
    parts = (itertools.islice(rest, count) for count in publishes)
    return write_feed(bus, itertools.chain.from_iterable(map(feed.cut, parts)), gen=len(publishes), seed=seed)


def make_feed_in_steps(bus: Path, publishes: Sequence[int], *, known: list[Entity] | None = None) -> str:
    """Write the same feed, with the head of each publish beside the bus; `show_step` shows it as it was then."""
    writer, rest = _Writer(bus, SEED), lines(origin_of(public_key()), sum(publishes), known or entities())
    heads_of(bus).mkdir()
    for gen, count in enumerate(publishes, start=1):
        for run in feed.cut(itertools.islice(rest, count)):
            writer.add(run)
        (heads_of(bus) / str(gen)).write_bytes(writer.head(gen))
    return writer.origin


def heads_of(bus: Path) -> Path:
    """The folder with the heads of a feed that was made in steps."""
    return bus.with_name(f"{bus.name}-heads")


def show_step(bus: Path, gen: int) -> None:
    """Let the feed on a bus be what it was after so many publishes. Slices that came later lie there unlisted."""
    (folder,) = bus.iterdir()
    (folder / HEAD_FILE).write_bytes((heads_of(bus) / str(gen)).read_bytes())


def write_feed(bus: Path, slices: Iterable[list[FeedLine]], *, gen: int = 1, seed: bytes = SEED) -> str:
    """Write a signed feed with these lines in each slice, and return its origin; one slice in memory at a time."""
    writer = _Writer(bus, seed)
    for run in slices:
        writer.add(run)
    (writer.folder / HEAD_FILE).write_bytes(writer.head(gen))
    return writer.origin


class _Writer:
    """Slices of a feed in a bus, and the head that lists those written so far."""

    def __init__(self, bus: Path, seed: bytes) -> None:
        self._seed, self._key = seed, public_key(seed)
        self.origin = origin_of(self._key)
        self.folder = bus / self.origin
        self.folder.mkdir(parents=True)
        self._start = chain_start(self.origin)
        self._state = State(0, self._start, feed.transcript_start(self.origin, 0, self._start))
        self._listed: list[Slice] = []

    def add(self, run: list[FeedLine]) -> None:
        """Write a slice."""
        body = b"".join(line.data + b"\n" for line in run)
        piece = feed.build_slice(self.origin, run[0].first, run[-1].last, self._state.c, (), body)
        (self.folder / piece.slice.file_name).write_bytes(pack(piece.raw))
        self._listed.append(piece.slice)
        for line in run:
            t = feed.transcript_step(self._state.t, line.kind, line.first, line.last, line.c)
            self._state = State(line.last, line.c, t)

    def head(self, gen: int) -> bytes:
        """The signed head."""
        head = Head(
            gen=gen,
            origin=self.origin,
            public_key=base64.b64encode(self._key).decode("ascii"),
            name="benchmark",
            start_seq=0,
            start_c=self._start.hex(),
            previous=(),
            last_seq=self._state.seq,
            c=self._state.c.hex(),
            t=self._state.t.hex(),
            slices=tuple(self._listed),
            redacted=(),
            published_at="2026-06-10T14:03:22.114Z",
            saw={},
            raw=b"",
        )
        value = feed.head_value(head)
        return feed.head_file(value, sign(self._seed, feed.signed_bytes(value)))
