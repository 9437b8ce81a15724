"""App: the use cases of one store. Composes the rooms below and is the only place that passes clock, folder and
environment down to them.

Each function does one thing a person asks for and returns what there is to tell; nothing is printed here. The journal
is loaded when a store is opened, so that `--help` and `--version` do not wait for it.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from eventsync import attachments
from eventsync.editor import edited
from eventsync.errors import ChangedMeanwhile, InputUnreadable, InvalidArgument
from eventsync.text import clean

if TYPE_CHECKING:
    from federation.redaction import RedactReport
    from journal import Adopted, Committed, Finding, LocalHead, Previous, Query, Record, Store, Told

MAX_INPUT_BYTES: Final = 32 * 1024 * 1024  # of a --file: twice any payload, which may be written with more blanks
_SUMMARY_KEYS: Final = ("title", "text", "name", "summary")
_SUMMARY_CHARS: Final = 120

Payload = Mapping[str, Any]
Change = Callable[[dict[str, Any]], Payload]


class Surroundings(NamedTuple):
    """What the process was given: where to look for the store, who acts, how long to wait, which editor."""

    folder: Path = Path()
    store: str | None = None
    agent: str = "cli"
    lock_timeout: str | None = None  # seconds, as somebody wrote them
    editor: str | None = None

    @classmethod
    def of_process(cls, environment: Mapping[str, str] = os.environ) -> Surroundings:
        """As the environment says; the folder is the working directory."""
        return cls(
            store=environment.get("EVENTSYNC_STORE") or None,
            agent=environment.get("EVENTSYNC_AGENT") or "cli",
            lock_timeout=environment.get("EVENTSYNC_LOCK_TIMEOUT") or None,
            editor=environment.get("VISUAL") or environment.get("EDITOR") or None,
        )


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        seconds = float(text)
        if math.isfinite(seconds) and seconds >= 0:
            return seconds
    raise InvalidArgument(f"EVENTSYNC_LOCK_TIMEOUT is {text!r}, not a number of seconds")


# --- the store -------------------------------------------------------------------------------------------------------


class StoreFacts(NamedTuple):
    """Who a store is, and whether it stands where it stood."""

    origin: str
    name: str
    public_key: str
    created_at: str
    path: Path
    private_key_path: Path
    private_key_here: bool
    moved: Sequence[str]
    previous: Sequence[Previous]


class Rebuilt(NamedTuple):
    """What a rebuild made again, and what it had to go without."""

    last_seq: int
    entities: int
    left_out: Sequence[str]


@contextlib.contextmanager
def opened(around: Surroundings) -> Iterator[Store]:
    """The store meant by --store, by EVENTSYNC_STORE, or by the nearest folder above; NotAStore when there is none."""
    from journal import Store, find_store

    path = find_store(_existing(around.folder)) if around.store is None else Path(around.store)
    timeout = around.lock_timeout
    store = Store.open(path) if timeout is None else Store.open(path, lock_timeout=_seconds(timeout))
    try:
        yield store
    finally:
        store.close()


def _existing(folder: Path) -> Path:
    from journal import NotAStore

    try:
        return folder.absolute()
    except FileNotFoundError:
        raise NotAStore("the working directory is gone") from None


class Made(NamedTuple):
    """A store that was made; `adopted` tells of entity files that it was made from, as git brings them."""

    facts: StoreFacts
    adopted: Adopted | None


def init(around: Surroundings, folder: Path | None, *, name: str | None, tracked: Collection[str]) -> Made:
    """Make a store in a folder, which is made too if need be; StoreExists when there is one.

    From entity files alone, as a git clone brings them, it is made with all that they say [I2].
    """
    from journal import MAX_NAME_CHARS, Disk, Machine, Store, adopt, default_data_folder, is_bare

    parent = (folder or Path(around.store or around.folder)).absolute()
    parent = parent.parent if parent.name == ".eventsync" else parent
    label = (
        clean(parent.name)[:MAX_NAME_CHARS] or None if name is None else name
    )  # a folder may have any bytes for a name
    disk, data_folder, inside = Disk(), default_data_folder(), parent / ".eventsync"
    if not is_bare(disk, inside):
        return Made(facts_of(Store.init(parent, name=label, tracked=tracked)), None)
    adopted = adopt(
        inside,
        name=label or "store",
        disk=disk,
        machine=Machine(data_folder),
        data_folder=data_folder,
        title=summary_of,
    )
    with contextlib.closing(Store.open(inside)) as store:
        store.refresh()
        return Made(facts_of(store), adopted)


def facts_of(store: Store) -> StoreFacts:
    """Who this store is."""
    from journal import DamagedStore

    try:
        here = bool(store.private_key())
    except DamagedStore:
        here = False
    return StoreFacts(
        origin=store.origin,
        name=store.name,
        public_key=store.file.public_key,
        created_at=store.file.created_at,
        path=store.folder,
        private_key_path=store.private_key_path,
        private_key_here=here,
        moved=store.moved(),
        previous=store.previous,
    )


def keep_identity(store: Store) -> Sequence[str]:
    """Take this place for the store's own from now on, and return which facts differed [I2]."""
    with store.lock():
        moved = store.moved()
        store.keep_identity()
    return moved


def verify(store: Store) -> Sequence[Finding]:
    """What is not as it must be: in the store, in the feed it publishes, in what it holds of others."""
    from federation.audit import audit
    from federation.holdings import Holdings

    with contextlib.closing(Holdings(store)) as holdings:
        return [*store.verify().findings, *audit(holdings)]


def rebuild(store: Store) -> Rebuilt:
    """Make index, projections and what is known of others again, from the journal and the mirrors [T1]."""
    from federation.holdings import Holdings

    holdings = Holdings(store)
    with contextlib.closing(holdings), holdings.lock():
        problem = store.rebuild()
        holdings.rebuild()
        left_out = [*filter(None, [problem]), *holdings.left_out()]
    return Rebuilt(store.position().seq, len(store.list()), left_out)


def plan_redaction(store: Store, seqs: Sequence[int]) -> RedactReport:
    """What a redaction of these records would do [J16]."""
    from federation.holdings import Holdings
    from federation.redaction import plan

    with contextlib.closing(Holdings(store)) as holdings:
        return plan(holdings, seqs)


def redact(store: Store, around: Surroundings, seqs: Sequence[int], reason: str) -> RedactReport:
    """Redact records in the store and in what it publishes, for good [J16] [F9]."""
    from federation.holdings import Holdings
    from federation.redaction import redact

    with contextlib.closing(Holdings(store)) as holdings:
        return redact(holdings, seqs, reason, around.agent)


# --- reading ---------------------------------------------------------------------------------------------------------


class Shown(NamedTuple):
    """An entity as one record left it; payload is None for a tombstone and for a redacted record."""

    item_type: str
    item_id: str
    entity_rev: int
    seq: int
    context: Mapping[str, int]
    root: str | None
    payload: Payload | None
    redacted: bool = False


def show(store: Store, item_type: str, item_id: str, *, rev: int | None = None, at: int | None = None) -> Shown:
    """A live entity, one rev of it, or what it was at a seq; NoSuchEntity when it was not there."""
    from journal import EntityRedacted

    if rev is not None:
        return _shown(store, store.history.rev(item_type, item_id, rev))
    if at is not None:
        return _shown(store, store.history.entity_at(item_type, item_id, at))
    try:
        head, payload = store.get(item_type, item_id)
    except EntityRedacted:
        head, payload = store.heads([(item_type, item_id)])[(item_type, item_id)], None
    is_redacted = payload is None
    return Shown(item_type, item_id, head.entity_rev, head.seq, head.context, _root(head), payload, is_redacted)


def _shown(store: Store, told: Told) -> Shown:
    head, record = told.head(), told.record
    data = store.payload_of(record)
    payload = None if data is None else json.loads(data)
    return Shown(*head[:4], head.context, record.root, payload, record.redacted)


def _root(head: LocalHead) -> str | None:
    """The authored version this head is a copy of; None when it was authored here [K1]."""
    authored = (head.version.seq, head.version.digest) == (head.seq, head.c[:12])
    return None if authored else str(head.version)


@contextlib.contextmanager
def entities(
    store: Store, item_type: str | None, *, deleted: bool = False, at: int | None = None
) -> Iterator[Iterator[LocalHead]]:
    """Heads of live entities by type and id, with `deleted` the tombstones too, as they are or were at a seq."""
    if at is None:
        yield store.each(item_type, deleted=deleted)
        return
    with store.history.entities_at(at, item_type) as heads:
        yield (head for head in heads if deleted or not head.deleted)


def records(store: Store, query: Query, last: int | None = None) -> Iterator[Record]:
    """The records asked for, oldest first, or the newest so many; of another origin what its feed shows us."""
    if query.origin in (None, store.origin, *(previous.origin for previous in store.previous)):
        return store.history.records(query, last=last)
    found = _mirrored(store, query)
    return found if last is None else iter(deque(found, maxlen=last))


def _mirrored(store: Store, query: Query) -> Iterator[Record]:
    from eventsync.sharing import sharing
    from federation import mirrored

    with sharing(store) as found:
        origin = found.origin_named(query.origin)
        yield from filter(query.wants, mirrored.records(found.holdings, origin or "", query.since))


class Schema(NamedTuple):
    """What the payload of an item type is held to when it declares this version."""

    item_type: str
    schema_version: int
    schema: Mapping[str, Any]


def schemas(item_type: str | None) -> Sequence[Schema]:
    """The newest schema of an item type, or of all that have one; InvalidArgument when it has none."""
    from journal import NEWEST_VERSION, json_schema

    if item_type is not None and item_type not in NEWEST_VERSION:
        raise InvalidArgument(f"no schema for {item_type!r}: there is one for {', '.join(NEWEST_VERSION)}")
    chosen = NEWEST_VERSION if item_type is None else [item_type]
    return [Schema(name, NEWEST_VERSION[name], json_schema(name)) for name in chosen]


def attachment_of(shown: Shown) -> attachments.Attachment:
    """The file attached to an entity; InvalidArgument when there is none."""
    found = None if shown.payload is None else attachments.attachment_of(shown.payload)
    if found is None:
        raise InvalidArgument(f"{shown.item_type}/{shown.item_id} has no attachment")
    return found


# --- writing ---------------------------------------------------------------------------------------------------------


class Content(NamedTuple):
    """What put writes; no summary: the first line of the payload's title; private None: as it was [F1]."""

    payload: Payload
    summary: str | None = None
    private: bool | None = None


def put(store: Store, around: Surroundings, item_type: str, item_id: str, content: Content) -> Committed:
    """Write an entity whole, durable on return."""
    with store.mutate(agent=around.agent) as mutation:
        summary = summary_of(content.payload) if content.summary is None else content.summary
        mutation.put(item_type, item_id, content.payload, summary=summary, private=content.private)
    return store.last_commit


def remove(store: Store, around: Surroundings, item_type: str, item_id: str) -> Committed:
    """Write a tombstone; NoSuchEntity when there is nothing to delete."""
    with store.mutate(agent=around.agent) as mutation:
        mutation.delete(item_type, item_id)
    return store.last_commit


class Edit(NamedTuple):
    """What edit does to an entity: change its payload, and whether it is private; None: as it was [F1]."""

    change: Change
    private: bool | None = None


def edit(store: Store, around: Surroundings, item_type: str, item_id: str, wanted: Edit) -> Committed:
    """Change an entity under the lock; nothing is written when it comes out as it was."""
    from journal import Draft

    with store.mutate(agent=around.agent) as mutation:
        head, payload = store.get(item_type, item_id)
        before = json.dumps(payload, sort_keys=True)  # compared as text: True == 1 as Python values
        after = wanted.change(payload)
        changed = json.dumps(after, sort_keys=True) != before
        if changed:
            mutation.put(item_type, item_id, after, summary=summary_of(after), private=wanted.private)
        elif wanted.private not in (None, head.private):
            as_it_stands = Draft("update", item_type, item_id, store.payload_bytes(head), private=wanted.private)
            mutation.add(as_it_stands._replace(summary=head.summary))
    return store.last_commit


def edit_by_hand(store: Store, around: Surroundings, item_type: str, item_id: str) -> Committed:
    """Let a person change the payload in an editor, not under the lock; ChangedMeanwhile when another was faster."""
    before = store.get(item_type, item_id)
    store.refuse_when_copied()  # rather now than after an hour in the editor

    with edited(around.editor, before.payload, f"{item_type}-{item_id}") as after:

        def take(_: Payload) -> Payload:
            head = store.head(item_type, item_id)
            if head is None or head.seq != before.head.seq:
                raise ChangedMeanwhile(f"somebody else changed {item_type}/{item_id} while it was edited")
            return after

        return edit(store, around, item_type, item_id, Edit(take))


def summary_of(payload: Payload) -> str | None:
    """The first line of title, text, name or summary, or the name of what is attached; at most 120 characters."""
    attached = payload.get(attachments.KEY)
    name = attached.get("name") if isinstance(attached, dict) else None
    for value in (*map(payload.get, _SUMMARY_KEYS), name):
        line = value.strip().split("\n", 1)[0].strip() if isinstance(value, str) else ""
        if line:
            return line if len(line) <= _SUMMARY_CHARS else line[: _SUMMARY_CHARS - 1] + "…"
    return None


def read_payload(file: str) -> Payload:
    """The JSON object in a file, or on standard input for `-`; InvalidInput as strict as the journal is [J10]."""
    from journal import InvalidInput, check_payload

    try:
        payload: Payload = check_payload(_read_input(file))
    except InvalidInput as error:
        error.path = "standard input" if file == "-" else file
        raise
    return payload


def _read_input(file: str) -> bytes:
    name = "standard input" if file == "-" else file
    try:
        if file != "-":
            with Path(file).open("rb") as source:
                data = source.read(MAX_INPUT_BYTES + 1)
        elif sys.stdin is None:
            raise InputUnreadable("is closed", path=name)
        else:
            data = sys.stdin.buffer.read(MAX_INPUT_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL
        raise InputUnreadable(f"cannot be read: {getattr(error, 'strerror', None) or error}", path=name) from None
    if len(data) > MAX_INPUT_BYTES:
        raise InputUnreadable(f"has more than {MAX_INPUT_BYTES} bytes", path=name)
    return data
