"""brainclaw: what does the journal of that program say?

Pure: bytes of `.brainclaw` files in, values out; what is read, when and from where is decided elsewhere. Keeps the
lines that program's own reader keeps (FORMAT.md §2), folds them as its reducer does; each line it drops has a reason.
Two limits are ours: 16 MiB a line, 256 levels of nesting. Those of our own journal [J10] do not apply here: texts may
hold lone surrogates, payloads may hold numbers and keys that we would refuse.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any, Final, Literal, NamedTuple, NoReturn

from blake3 import blake3

from federation.nesting import MAX_NESTING as MAX_NESTING
from federation.nesting import nests_too_deep

MAX_LINE_BYTES: Final = 16 * 1024 * 1024
MAX_INTEGER: Final = 2**53 - 1  # what JavaScript calls a safe integer

MEMORY_FAMILIES: Final = frozenset({"plan", "decision", "trap", "constraint", "handoff"})

_ACTIONS_OF: Final[Mapping[str, str]] = {
    "entity-state": "create update accept reject claim release_claim rollback upgrade backfill",
    "tombstone": "delete",
    "journal-meta": "checkpoint_ref journal_note seq_repair federation_apply",
    "observability": "session_start session_end assignment_offered assignment_progress run_progress",
    "registry-lifecycle": (
        "assignment_created assignment_accepted assignment_started assignment_completed assignment_cancelled"
        " assignment_failed assignment_blocked assignment_timed_out assignment_expired assignment_retrying"
        " assignment_rerouted assignment_amended run_created run_launching run_waiting_input run_running run_blocked"
        " run_completed run_failed run_cancelled run_timed_out run_interrupted run_amended"
    ),
}
ACTION_CLASSES: Final[Mapping[str, str]] = {
    action: name for name, actions in _ACTIONS_OF.items() for action in actions.split()
}
"""Their 42 actions. An action that is not here makes its line unreadable, for them as for us."""


class BridgedRecord(NamedTuple):
    """One record of theirs, as far as we use it.

    `payload` is the document's own text, in UTF-8; keys may be there twice, and then the last counts. The texts may
    hold lone surrogates, which no UTF-8 encoder takes. `digest` is the BLAKE3 of the line's bytes as on disk.
    """

    seq: int
    ts: str
    writer: str
    agent: str
    action: str
    item_type: str
    item_id: str | None
    entity_rev: int | None
    summary: str | None
    payload: bytes | None
    digest: str


class BridgedLine(NamedTuple):
    """A line that is not empty: where it lies in its segment (newline left out), and its record or why it has none."""

    offset: int
    length: int
    record: BridgedRecord | None
    skipped: str | None


class Fold(NamedTuple):
    """What a run of lines comes to. `gaps` are the ranges of seqs, both ends included, missing below the highest."""

    live: dict[tuple[str, str], BridgedRecord]
    records: int
    skipped: int
    duplicate_seqs: list[int]
    gaps: list[tuple[int, int]]


# --- names and identity ----------------------------------------------------------------------------------------------

_PROJECT_ID_LINE: Final = re.compile(rb"""^(?:project_id|"project_id"|'project_id')[ \t]*:(.*)$""", re.MULTILINE)
_PROJECT_ID: Final = re.compile(rb"""[ \t]+(["']?)(prj_[0-9a-f]{32})\1(?:[ \t]+\#.*|[ \t]*)\r?""")
_SEGMENT: Final = re.compile(r"seg-[0-9]{1,16}\.jsonl")


def project_id(config_yaml: bytes) -> str | None:
    """The store's identity as config.yaml has it, or None where it is absent, malformed or said twice."""
    lines = _PROJECT_ID_LINE.findall(config_yaml.removeprefix(b"\xef\xbb\xbf"))
    found = _PROJECT_ID.fullmatch(lines[0]) if len(lines) == 1 else None
    return found[2].decode("ascii") if found else None


def segment_order(names: Iterable[str]) -> list[str]:
    """The segments among these file names in the order to read them: by number, where their reader sorts as text."""
    return sorted(filter(_SEGMENT.fullmatch, names), key=lambda name: (int(name[4:-6]), name))


def ignored_segments(names: Iterable[str]) -> list[str]:
    """The names their reader takes for segments and we do not: copies, conflicts, numbers that are none."""
    return sorted(
        name for name in names if name.startswith("seg-") and name.endswith(".jsonl") and not _SEGMENT.fullmatch(name)
    )


# --- lines -----------------------------------------------------------------------------------------------------------


def stable_length(raw: bytes) -> int:
    """How many leading bytes of a segment that may still grow are settled.

    All up to the last newline; and a last line without one if it is a whole record, since their reader takes it and
    their writer goes on with a newline. What is left may be a write in progress.
    """
    settled = raw.rfind(b"\n") + 1
    return settled if isinstance(_read(raw[settled:]), str) else len(raw)


def read_lines(raw: bytes, start: int = 0) -> Iterator[BridgedLine]:
    """The lines of a segment from the byte `start`, which begins a line; offsets count from the beginning of `raw`.

    The end without newline is read too, as their reader does: cut a segment that may still grow at its stable_length.
    """
    while start < len(raw):
        newline = raw.find(b"\n", start)
        end = len(raw) if newline < 0 else newline
        if end > start:
            found = _read(raw[start:end])
            record, reason = (None, found) if isinstance(found, str) else (found, None)
            yield BridgedLine(start, end - start, record, reason)
        start = end + 1


def _read(line: bytes) -> BridgedRecord | str:
    """The record of a line, or why their reader or our limits refuse it."""
    if len(line) > MAX_LINE_BYTES:
        return "longer than 16 MiB"
    text = line.decode("utf-8", "replace")
    if nests_too_deep(text):
        return f"nested deeper than {MAX_NESTING} levels"
    try:
        members = _members_of_line(text)
    except ValueError:
        return "not a JSON object"
    by_key = {member.key: member for member in members}  # of equal keys the last counts, as in JSON.parse
    fields = {key: member.value for key, member in by_key.items()}
    reason = _refused(fields)
    if reason:
        return reason
    payload = _payload(text, by_key["payload"]) if "payload" in by_key else None
    return _record(fields, payload, blake3(line).hexdigest())


def _record(fields: Mapping[str, Any], payload: bytes | None, digest: str) -> BridgedRecord:
    rev = fields.get("entity_rev")
    return BridgedRecord(
        seq=int(fields["seq"]),
        ts=fields["ts"],
        writer=fields["writer"],
        agent=fields["agent"],
        action=fields["action"],
        item_type=fields["item_type"],
        item_id=fields.get("item_id"),
        entity_rev=None if rev is None else int(rev),
        summary=fields.get("summary"),
        payload=payload,
        digest=digest,
    )


def _payload(text: str, payload: _Member) -> bytes:
    """The document's own text; only a member `__proto__`, which their reader drops, makes it be put together anew."""
    if "__proto__" not in payload.value:
        return text[payload.value_start : payload.end].encode()
    members, _ = _members(text, payload.value_start)
    kept = (text[member.start : member.end] for member in members if member.key != "__proto__")
    return f"{{{','.join(kept)}}}".encode()


# --- what their schema keeps -----------------------------------------------------------------------------------------


class _Rule(NamedTuple):
    expected: str
    holds: Callable[[Any], bool]


_TEXT: Final = _Rule("a string", lambda value: isinstance(value, str))
_WORD: Final = _Rule("a string that is not empty", lambda value: isinstance(value, str) and value != "")
_COUNT: Final = _Rule(
    "an integer from 1 to 2^53-1",
    lambda value: isinstance(value, float) and value.is_integer() and 1 <= value <= MAX_INTEGER,
)
_REFERENCE: Final = _Rule(
    "an object of sha256 and bytes",
    lambda value: isinstance(value, dict) and _TEXT.holds(value.get("sha256")) and _COUNT.holds(value.get("bytes")),
)
_REQUIRED: Final[Mapping[str, _Rule]] = {
    "v": _Rule("2", lambda value: isinstance(value, float) and value == 2),
    "seq": _COUNT,
    "ts": _TEXT,
    "writer": _WORD,
    "agent": _WORD,
    "action": _Rule("an action they know", lambda value: isinstance(value, str) and value in ACTION_CLASSES),
    "item_type": _WORD,
}
_OPTIONAL: Final[Mapping[str, _Rule]] = {
    **dict.fromkeys(["agent_id", "session_id", "user", "item_id", "summary"], _TEXT),
    "entity_rev": _COUNT,
    "payload": _Rule("an object", lambda value: isinstance(value, dict)),
    "payload_ref": _REFERENCE,
}


def _refused(fields: Mapping[str, object]) -> str | None:
    """Why their schema refuses these fields of a line, or None; fields it does not know are nothing to it."""
    for key in _REQUIRED:
        if key not in fields:
            return f"{key} is missing"
    for key, rule in (*_REQUIRED.items(), *_OPTIONAL.items()):
        if key in fields and not rule.holds(fields[key]):
            return f"{key} is not {rule.expected}"
    return None


# --- JSON as JSON.parse reads it -------------------------------------------------------------------------------------


class _Member(NamedTuple):
    """A member of an object: its key, its value with every number as a double, and where the two stand in the text."""

    key: str
    value: Any
    start: int
    value_start: int
    end: int


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


# json rather than msgspec: msgspec refuses lone surrogates even in what it leaves raw.
_DECODER: Final = json.JSONDecoder(parse_int=float, parse_constant=_refuse_constant)
_OPENING: Final = re.compile(r"[ \t\n\r]*\{[ \t\n\r]*")
_CLOSING: Final = re.compile(r"\}[ \t\n\r]*")
_COLON: Final = re.compile(r"[ \t\n\r]*:[ \t\n\r]*")
_SEPARATOR: Final = re.compile(r"[ \t\n\r]*([,}])[ \t\n\r]*")


def _members_of_line(text: str) -> list[_Member]:
    members, end = _members(text, 0)
    if end != len(text):
        raise ValueError("something follows the object")
    return members


def _members(text: str, at: int) -> tuple[list[_Member], int]:
    """The members, equal keys included, of the object that starts at `at`, and where the next thing after it starts.

    Raises ValueError where JSON.parse would throw.
    """
    at = _expect(_OPENING, text, at).end()
    empty = _CLOSING.match(text, at)
    if empty:
        return [], empty.end()
    members: list[_Member] = []
    sign = ","
    while sign == ",":
        key, key_end = _DECODER.raw_decode(text, at)
        if not isinstance(key, str):
            raise ValueError("a key is not a string")
        value_start = _expect(_COLON, text, key_end).end()
        value, end = _DECODER.raw_decode(text, value_start)
        members.append(_Member(key, value, at, value_start, end))
        separator = _expect(_SEPARATOR, text, end)
        at, sign = separator.end(), separator[1]
    return members, at


def _expect(pattern: re.Pattern[str], text: str, at: int) -> re.Match[str]:
    found = pattern.match(text, at)
    if found is None:
        raise ValueError(f"not JSON at {at}")
    return found


# --- what it comes to ------------------------------------------------------------------------------------------------


def effect(record: BridgedRecord) -> Literal["state", "tombstone"] | None:
    """What a record does to its entity: a whole new state, its end, or nothing. As their reducer has it."""
    if not record.item_id:
        return None
    match ACTION_CLASSES[record.action]:
        case "tombstone":
            return "tombstone"
        case "entity-state" if record.payload is not None:
            return "state"
    return None


def fold(lines: Iterable[BridgedLine]) -> Fold:
    """Reduce lines, segment after segment, to the entities that live.

    In file order, whatever the seqs say; a revision is never compared. `live` is in order of the first state since the
    last end. Its key is the pair where theirs joins the two with a colon, which differs only for types with a colon.
    """
    live: dict[tuple[str, str], BridgedRecord] = {}
    seqs: list[int] = []
    skipped = 0
    for line in lines:
        record = line.record
        if record is None:
            skipped += 1
            continue
        seqs.append(record.seq)
        key = (record.item_type, record.item_id or "")
        match effect(record):
            case "state":
                live[key] = record
            case "tombstone":
                live.pop(key, None)
    seqs.sort()
    pairs = list(pairwise([0, *seqs]))
    duplicates = sorted({seq for before, seq in pairs if before == seq})
    gaps = [(before + 1, seq - 1) for before, seq in pairs if seq > before + 1]
    return Fold(live, len(seqs), skipped, duplicates, gaps)
