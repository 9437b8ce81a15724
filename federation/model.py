"""The words of federation as values: heads, slices, pins, refusals, verdicts, candidates, reports.

Pure. One table per fact: results of a pull, verdicts, limits on foreign bytes stand here and nowhere else.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from blake3 import blake3

from federation.screening import Finding
from journal import Version, Written

# Limits on foreign bytes, checked before anything is parsed.
MAX_HEAD_BYTES: Final = 8 * 1024 * 1024
MAX_SLICE_BYTES: Final = 16 * 1024 * 1024  # raw [F2]
MAX_SLICE_FILE_BYTES: Final = MAX_SLICE_BYTES + 1024 * 1024  # zstd of incompressible data grows a little
HEAD_FILE: Final = "head.json"
SLICE_SUFFIX: Final = ".zst"
MAX_REDACTED: Final = 100_000  # of one feed: readers hold what is listed of each in memory
SLICE_NAME: Final = re.compile(r"seg-([0-9]{8,16})-([0-9]{8,16})-([0-9a-f]{12})\.jsonl", re.ASCII)
FEED_FOLDER: Final = re.compile(r"blobs(?:/[0-9a-f]{2})?", re.ASCII)
FEED_FILE: Final = re.compile(
    r"head\.json|seg-[0-9]{8,16}-[0-9]{8,16}-[0-9a-f]{12}\.jsonl\.zst|blobs/([0-9a-f]{2})/\1[0-9a-f]{62}\.zst", re.ASCII
)


def blob_file(digest: str) -> str:
    """The name in a feed of the blob whose content has that BLAKE3 [J13]."""
    return f"blobs/{digest[:2]}/{digest}.zst"


BLOBS_AT_ONCE: Final = 10_000  # of one origin, that are asked for in one pull; the rest in the next
BLOB_BYTES_AT_ONCE: Final = 1024 * 1024 * 1024  # of them, unpacked; as soon as there are so many the rest waits
NO_PAYLOAD: Final = "its payload is not here"  # why a candidate is unreadable
OPEN_CAP: Final = 1_000  # open candidates per origin that a terminal and `accept --all` see at once [K5]
BRAKE_CHANGES: Final = 1_000  # that one pull may bring from a known origin, before a person has to look [K5]
BRAKE_DELETIONS: Final = 20  # of them


class Slice(NamedTuple):
    """An immutable file of a feed: first and last seq, and what is signed of its raw bytes."""

    name: str
    first_seq: int
    last_seq: int
    raw_bytes: int
    blake3: str

    @property
    def file_name(self) -> str:
        """The name on disk and on the wire, where slices are compressed."""
        return self.name + SLICE_SUFFIX


class Head(NamedTuple):
    """A verified or own head.json [F2]. `raw` is the whole file as received or written."""

    gen: int
    origin: str
    public_key: str
    name: str
    start_seq: int
    start_c: str
    previous: tuple[Any, ...]
    last_seq: int
    c: str
    t: str
    slices: tuple[Slice, ...]
    redacted: tuple[int, ...]
    published_at: str
    saw: Mapping[str, tuple[int, str, str]]
    raw: bytes

    @property
    def place(self) -> str:
        """What the feed is at its last seq; c and t alone would not tell when lines were redacted [F9]."""
        return f"{self.c} {len(self.redacted)}"


class Pin(NamedTuple):
    """What was last verified of an origin: derived from the head in its mirror [F5]."""

    gen: int
    seq: int
    c: str
    t: str


class Result(enum.StrEnum):
    """What a pull did for one origin."""

    NEW = "new"
    UPDATED = "updated"
    UP_TO_DATE = "up_to_date"
    STALE = "stale"
    INCOMPLETE = "incomplete"
    REFUSED = "refused"
    FORK = "fork"
    BLOCKED = "blocked"  # by a person here: nothing was fetched


class Refusal(NamedTuple):
    """Why a feed was not taken: their fault, a value."""

    result: Result  # STALE, INCOMPLETE, REFUSED or FORK
    message: str
    rule: str
    path: str | None = None
    line: int | None = None
    seq: int | None = None
    too_new: bool = False
    damaged: bool = False  # our own mirror is, not what they sent

    def __str__(self) -> str:
        where = "" if self.path is None else self.path if self.line is None else f"{self.path}:{self.line}"
        seq = "" if self.seq is None else f"seq {self.seq}: "
        return f"{where}{': ' if where else ''}{seq}{self.message} [{self.rule}]"


class Verdict(enum.StrEnum):
    """What causality says of a foreign head [K3]."""

    KNOWN = "known"
    UNREADABLE = "unreadable"
    NEW = "new"
    IDENTICAL = "identical"
    UPDATE = "update"
    GONE = "gone"
    CONFLICT = "conflict"


OPEN_VERDICTS: Final = frozenset([Verdict.NEW, Verdict.UPDATE, Verdict.GONE, Verdict.CONFLICT, Verdict.UNREADABLE])


class Resolution(enum.Enum):
    """What an accept does about a conflict [K5]."""

    LEAVE = "leave"  # it is left to a person
    THEIRS = "theirs"  # the foreign version goes over the local one
    MERGE = "merge"  # what only one side changed is taken from there


class Snooze(NamedTuple):
    """A candidate is out of sight until a time, in UTC as records have it; without one until something newer comes."""

    until: str | None


class BrakeLimits(NamedTuple):
    """How much one pull may bring from a known origin before it is left to a person [K5]."""

    changes: int = BRAKE_CHANGES
    deletions: int = BRAKE_DELETIONS


class Example(NamedTuple):
    """A candidate as one of many."""

    id: str
    item_type: str
    item_id: str
    verdict: Verdict


class Load(NamedTuple):
    """What is open of an origin behind a seq: how much of which verdict and type, deletions, a few of them."""

    kinds: Mapping[tuple[Verdict, str], int]
    deletions: int
    limits: BrakeLimits
    examples: tuple[Example, ...]

    @property
    def changes(self) -> int:
        """How many there are."""
        return sum(self.kinds.values())


class Candidate(NamedTuple):
    """The newest record of one foreign entity, as the inbox shows it. Everything in it is foreign text."""

    id: str
    origin: str
    origin_name: str
    item_type: str
    item_id: str
    seq: int
    entity_rev: int | None
    action: str
    verdict: Verdict
    label: str | None  # echo, duplicate or a reason
    summary: str | None
    digest: str
    version: Version
    held: bool  # beyond the cap, or left to a person by the brake
    payload: Any = None
    snoozed: Snooze | None = None  # as this machine's clock has it: it only hides
    rule: str | None = None  # which one holds it, or of a settled one which decided it
    false_claim: str | None = None  # origin@seq that it says it includes, and that cannot be [K4]


def candidate_id(origin: str, item_type: str, item_id: str) -> str:
    """`cnd_` + 12 hex of BLAKE3 of canonical [origin, item_type, item_id]."""
    import json

    text = json.dumps([origin, item_type, item_id], ensure_ascii=False, separators=(",", ":"))
    return "cnd_" + blake3(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


# --- reports ---------------------------------------------------------------------------------------------------------


class PersonalFindings(NamedTuple):
    """What goes out and names a person or a machine: the first of them, and how many there are."""

    first: tuple[Finding, ...] = ()
    total: int = 0


class PublishReport(NamedTuple):
    """What a publish did; `changed` is False when there was nothing new and nothing was written."""

    origin: str
    last_seq: int
    gen: int
    published: int
    withheld: Mapping[tuple[str, str], int]  # (item type, reason) → records
    slices: int
    changed: bool
    left_out: tuple[str, ...] = ()  # payloads that cannot be read here, and what is wrong with them
    personal: PersonalFindings = PersonalFindings()


class Withheld(NamedTuple):
    """One record a publish keeps back, and why."""

    seq: int
    item_type: str
    item_id: str | None
    reason: str  # see [F1]


class PushReport(NamedTuple):
    """What a push did for one remote. error is None when it worked."""

    name: str
    url: str
    result: str  # pushed, up_to_date, read_only, nothing_to_publish, needs_decision, refused, unavailable or failed
    error: Exception | None
    last_seq: int | None
    warnings: tuple[str, ...] = ()


class Counts(NamedTuple):
    """Candidates of one origin: open (the first thousand), settled, and held (beyond the cap, or braked)."""

    open: int = 0
    settled: int = 0
    held: int = 0


class OriginPull(NamedTuple):
    """What a pull did for one origin."""

    origin: str
    name: str
    result: Result
    records: int
    last_seq: int
    candidates: Counts
    refusal: Refusal | None = None
    braked: bool = False
    warnings: tuple[str, ...] = ()
    load: Load | None = None  # what the brake holds, or what a person released just now


class Vanished(NamedTuple):
    """A feed that stood in a place before, and does not any more."""

    origin: str
    name: str


class RemotePull(NamedTuple):
    """What a pull did for one remote; error is None when it was reached."""

    name: str
    url: str
    error: Exception | None
    origins: tuple[OriginPull, ...]
    ignored: int = 0  # files of no feed that stood in the place
    vanished: tuple[Vanished, ...] = ()


class Left(NamedTuple):
    """A candidate that an accept or reject left as it was."""

    id: str
    item_type: str
    item_id: str
    verdict: str
    reason: str
    lead: str | None = None  # the candidate that stands for it, where several are alike


class DecisionReport(NamedTuple):
    """What an accept or reject wrote, and what it left."""

    written: tuple[Written, ...]
    left: tuple[Left, ...]
    cache_problem: str | None = None
    capped: int = 0  # open ones beyond the cap of their origin: the next accept of all takes them [K5]
    braked: int = 0  # open ones that the brake leaves to a person [K5]
    snoozed: int = 0  # open ones that are out of sight
    together: tuple[str, ...] = ()  # ids of candidates that are alike those named, and were decided along with them


class OriginStatus(NamedTuple):
    """One foreign origin as this store knows it."""

    origin: str
    name: str
    last_seq: int
    state: str  # as `origins.state_of` has it
    pending: int
    held: int  # of those pending
    they_have_seq: int | None
    they_accepted: int
    they_rejected: int
    they_took_back: bool | None = None  # whether they read our newest redaction; None when there is none, or unknown
    load: Load | None = None  # what the brake holds
    published_at: str | None = None  # when its newest publish was made, as it says; foreign text
    flagged: bool = False  # some record of it claims what cannot be [K4]
