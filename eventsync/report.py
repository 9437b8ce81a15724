"""Report: values → what is printed, as JSON documents or as lines of text. The shapes of docs/cli.md stand here, once.

Pure. JSON is ASCII, keys are stable and all there, null where there is nothing. Lines of text are clean: every word
that a record, a file name or a person brought in has passed `text`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from eventsync import attachments
from eventsync.exits import exit_of
from eventsync.text import clean, pad, pretty_json, shorten, width

if TYPE_CHECKING:
    from eventsync.app import Shown
    from eventsync.exits import Exit
    from journal import LocalHead, Parked, Record, Written

Document = Mapping[str, Any]

# What each command prints with --json when it could not do its work: every key, and nothing in it.
EMPTY: Final[Mapping[str, Document]] = MappingProxyType(
    {
        "init": {"origin_store_id": None, "name": None, "path": None, "adopted": None, "left": []},
        "put": {"records": [], "left": []},
        "edit": {"records": [], "left": []},
        "rm": {"records": [], "left": []},
        "show": {
            "item_type": None,
            "item_id": None,
            "entity_rev": None,
            "seq": None,
            "context": {},
            "root": None,
            "payload": None,
        },
        "ls": {"entities": [], "stale": False},
        "log": {"records": []},
        "unseen": {
            "records": [],
            "reader": None,
            "since": None,
            "last_seq": None,
            "gap": False,
            "parked": None,
            "acked": False,
        },
        "schema": {"schemas": []},
        "verify": {"ok": False, "findings": []},
        "doctor": {
            "ok": False,
            "findings": [],
            "fixed": [],
            "backup": None,
            "versions": {},
            "platform": {},
        },
        "checkpoint": {
            "seq": None,
            "path": None,
            "blake3": None,
            "entities": None,
            "decisions": None,
            "written": False,
        },
        "redact": {"lines": [], "already": [], "left": [], "records": [], "feed_changed": False},
        "inspect": {
            "kind": None,
            "path": None,
            "size_bytes": None,
            "whole": False,
            "rows": [],
            "rows_left": 0,
            "facts": {},
            "content": None,
            "faults": [],
        },
        "gc": {"moved": [], "live": None, "archived": None, "behind_seq": None},
        "rebuild": {"last_seq": None, "entities": None, "left_out": []},
        "migrate": {
            "source": None,
            "format": None,
            "taken": {},
            "records": [],
            "here": 0,
            "parked": [],
            "left": [],
            "before_seq": None,
            "changed": False,
            "dry_run": False,
        },
        "identity show": {
            "origin_store_id": None,
            "name": None,
            "public_key": None,
            "created_at": None,
            "path": None,
            "private_key_path": None,
            "private_key_here": None,
            "moved": [],
            "previous": [],
        },
        "remote add": {"name": None, "url": None, "probe": None},
        "remote list": {"remotes": []},
        "remote show": {
            "name": None,
            "url": None,
            "last_success_at": None,
            "last_try_at": None,
            "last_error": None,
            "kind": None,
            "settings": {},
            "other_side": [],
        },
        "remote remove": {"name": None},
        "remote rename": {"name": None},
        "remote set-url": {"name": None, "url": None},
        "origin list": {"origins": []},
        "origin show": {
            "origin_store_id": None,
            "name": None,
            "state": None,
            "last_seq": None,
            "published_at": None,
            "pending": 0,
            "held": 0,
            "found_at": [],
            "quarantined": 0,
            "parked": [],
            "public_key": None,
            "pin": None,
            "start": None,
            "previous": [],
            "they_have_seq": None,
            "they_accepted": 0,
            "they_rejected": 0,
            "they_took_back": None,
            "receipts": [],
            "flagged": False,
            "blocked_because": None,
            "chosen": None,
            "forks": [],
            "problem": None,
            "quarantine": [],
        },
        **{
            f"origin {verb}": {"origin_store_id": None, "name": None, "state": None, "parked": None, "records": []}
            for verb in ("trust", "block", "forget")
        },
        "publish": {
            "origin_store_id": None,
            "last_seq": None,
            "gen": None,
            "published": 0,
            "withheld": {},
            "slices": 0,
            "left_out": [],
            "explain": None,
            "findings": [],
        },
        "push": {"remotes": [], "relay": None, "exit_code": None},
        "pull": {"remotes": [], "rules": None, "exit_code": None},
        "sync": {
            "publish": None,
            "publish_error": None,
            "push": None,
            "pull": None,
            "relay": None,
            "exit_code": None,
        },
        "schedule": {
            "kind": None,
            "action": None,
            "command": [],
            "files": [],
            "changed": False,
            "warnings": [],
        },
        "inbox": {"candidates": [], "held": 0, "snoozed": 0},
        "inbox undo": {"records": [], "left": []},
        "diff": {
            "candidate": None,
            "others": [],
            "local": None,
            "foreign": None,
            "base": None,
            "no_base": None,
            "changes": [],
            "merged": None,
        },
        "accept": {"records": [], "left": [], "together": [], "held": 0, "snoozed": 0},
        "reject": {"records": [], "left": [], "together": []},
        "snooze": {"records": [], "left": [], "together": []},
        "peers": {"peers": []},
        "review": {},
        "rules": {"rules": []},
        "rules list": {"rules": []},
        "rules test": {"rules": [], "candidates": []},
        "status": {"store": None, "pending": 0, "held": 0, "remotes": [], "origins": []},
        "demo": {"ok": False, "seconds": None, "lines": []},
        "identity keep": {"origin_store_id": None, "path": None, "moved": []},
        "identity renew": {
            "origin_store_id": None,
            "left": None,
            "rewritten": 0,
            "republished": 0,
            "behind": 0,
        },
        "identity republish": {"origin_store_id": None, "republished": 0},
    }
)

_TIME_WIDTH: Final = len("2026-06-10T14:03:22.114Z")
_DONE_WORDS: Final = MappingProxyType(
    {
        "create": "created",
        "update": "updated",
        "delete": "deleted",
        "accept": "accepted",
        "reject": "rejected",
        "rollback": "put back",
        "reopen": "open again",
        "snooze": "snoozed",
    }
)


# --- JSON ------------------------------------------------------------------------------------------------------------


def dump(document: Any) -> str:
    """A document as ASCII JSON."""
    return json.dumps(document, ensure_ascii=True)


def dump_list(key: str, rest: Document) -> tuple[str, str]:
    """What stands before and after the items of a document whose one long list is `key`, first of its keys."""
    after = "".join(f", {dump(name)}: {dump(value)}" for name, value in rest.items() if name != key)
    return "{" + f"{dump(key)}: [", "]" + after + "}"


def error_document(row: Exit, error: BaseException, message: str, hint: str | None) -> Document:
    """The object that stands on stderr when a command fails with --json.

    Our own errors bring facts and a message without them; for all others `message` says everything.
    """
    ours = hasattr(error, "message") and hasattr(error, "path")
    facts = {key: getattr(error, key, None) if ours else None for key in ("path", "line", "seq", "rule")}
    text = getattr(error, "message", message) if ours else message
    return {"error": {"class": row.slug, "exit_code": row.code, "message": text, **facts, "hint": hint}}


def error_value(error: Exception | None) -> Document | None:
    """An error within a report, in the shape errors have on stderr; None where there is none."""
    if error is None:
        return None
    row = exit_of(error)
    value: Document = error_document(row, error, str(error), row.hint)["error"]
    return value


def entity_row(head: LocalHead) -> Document:
    """One entity of `ls`."""
    return {
        "item_type": head.item_type,
        "item_id": head.item_id,
        "entity_rev": head.entity_rev,
        "seq": head.seq,
        "summary": head.summary,
        "deleted": head.deleted,
    }


def record_row(record: Record) -> Document:
    """One record of `log`."""
    return {
        "seq": record.seq,
        "ts": record.ts,
        "action": record.action,
        "item_type": record.item_type,
        "item_id": record.item_id,
        "entity_rev": record.entity_rev,
        "summary": record.summary,
        "cause": record.cause,
        "root": record.root,
        "agent": record.agent or None,
    }


def parked_value(parked: Parked | None) -> Document | None:
    """What a reader cannot be shown, because it stands in the archive."""
    if parked is None:
        return None
    return {**parked._asdict(), "types": None if parked.types is None else dict(parked.types)}


def records_document(written: Sequence[Written], left: Sequence[Any] = ()) -> Document:
    """What put, edit, rm and later accept and reject have written, and what they left."""
    rows = [
        {
            "seq": record.seq,
            "action": record.action,
            "item_type": record.item_type,
            "item_id": record.item_id,
            "entity_rev": record.entity_rev,
        }
        for record in written
    ]
    return {"records": rows, "left": list(left)}


def shown_document(shown: Shown) -> Document:
    """An entity, or one rev of it."""
    return {
        "item_type": shown.item_type,
        "item_id": shown.item_id,
        "entity_rev": shown.entity_rev,
        "seq": shown.seq,
        "context": dict(shown.context),
        "root": shown.root,
        "payload": shown.payload,
    }


# --- text ------------------------------------------------------------------------------------------------------------


def key_of(item_type: str, item_id: str | None) -> str:
    """How an entity is named in text: `type/id`."""
    return clean(item_type if item_id is None else f"{item_type}/{item_id}")


def short_origin(origin: str) -> str:
    """Enough of an origin id to tell it from others on a screen."""
    return clean(origin if origin.startswith("brainclaw:") else f"{origin[:11]}…")


def who_of(name: str, origin: str) -> str:
    """How a store is named in text: its label, if it gives itself one, and enough of its origin."""
    return f"{shorten(clean(name), 40)} ({short_origin(origin)})" if name else short_origin(origin)


def written_line(record: Written) -> str:
    """One record that was just written."""
    done = _DONE_WORDS.get(record.action, record.action)
    rev = "" if record.entity_rev is None else f", rev {record.entity_rev}"
    return f"{key_of(record.item_type, record.item_id)} {clean(done)} (seq {record.seq}{rev})"


def shown_lines(shown: Shown) -> Iterator[str]:
    """A small header and the payload."""
    yield f"{key_of(shown.item_type, shown.item_id)}  rev {shown.entity_rev}  seq {shown.seq}"
    if shown.root is not None:
        yield f"copy of {clean(shown.root)}"
    if shown.payload is not None:
        yield pretty_json(attachments.brief(shown.payload))
    else:
        yield "redacted" if shown.redacted else "deleted"


def entity_lines(heads: Sequence[LocalHead], columns: int | None) -> Iterator[str]:
    """A table of entities, cut to so many columns or not at all; the first line is its header."""
    rows = [
        [
            clean(head.item_type),
            clean(head.item_id) + (" (deleted)" if head.deleted else ""),
            str(head.entity_rev),
            str(head.seq),
            clean(head.summary or ""),
        ]
        for head in heads
    ]
    yield from table(["TYPE", "ID", "REV", "SEQ", "SUMMARY"], rows, columns)


def record_line(record: Record) -> str:
    """One record of the log."""
    from federation.rules import rule_named_by

    rev = "" if record.entity_rev is None else f" rev {record.entity_rev}"
    summary = "" if not record.summary else f"  {clean(record.summary)}"
    key = key_of(record.item_type, record.item_id)
    origin, at, seq = (record.cause or "").rpartition("@")
    cause = f"  from {short_origin(origin)}{at}{clean(seq)}" if at else ""
    when = pad("redacted", _TIME_WIDTH) if record.redacted else clean(record.ts)
    rule = "" if rule_named_by(record.agent) is None else f"  by {clean(record.agent)}"
    return f"{record.seq:>6}  {when}  {pad(clean(record.action), 7)} {key}{rev}{summary}{cause}{rule}"


def parked_line(parked: Parked) -> str:
    """What a reader cannot be shown, in one line."""
    types = ", ".join(f"{count} of {clean(name)}" for name, count in (parked.types or {}).items())
    what = "records" if parked.records is None else count_of(parked.records, "record")
    found = f"seqs {parked.first_seq} to {parked.last_seq} are parked in the archive: {what}"
    return f"{found} ({types})" if types else found


def rest_line(left: int | str, order: str) -> str:
    """The line that counts what a terminal was spared."""
    return f"{left} {order}: --limit N shows more, --json all"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], columns: int | None) -> Iterator[str]:
    """Rows of clean cells under a header; the last cell is cut where a line would be longer than `columns`."""
    widths = [max(width(cell) for cell in cells) for cells in zip(header, *rows, strict=True)]
    for row in (header, *rows):
        line = "  ".join(pad(cell, wide) for cell, wide in zip(row, widths, strict=True)).rstrip()
        yield line if columns is None else shorten(line, columns)


def count_of(number: int, name: str) -> str:
    """`1 entity`, `2 entities`."""
    if number != 1:
        name = f"{name[:-1]}ies" if name.endswith("y") else f"{name}s"
    return f"{number} {name}"


def chunks(rows: Iterable[Document]) -> Iterator[str]:
    """The items of a long list, one a line, as they come."""
    separator = "\n"
    for row in rows:
        yield separator + dump(row)
        separator = ",\n"
