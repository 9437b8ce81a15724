"""Adoption: a store from entity files alone, as a git clone of a tracked store brings them, under a new identity [I2].

Each file becomes one `backfill`, all in one batch: an unmodified copy of the version it names, with the context it has.
So whoever has that version already is not asked again, and what is changed here is an update there [K1] [K2]. What
somebody changed by hand in the file is no copy: it becomes an edit on top of that version.

    key → local.json with a mark → store.json → journal, made beside its place and renamed → local.json without the mark

The rename decides. Before it there are only the entity files, which nobody touched; after it there is a store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from journal import identity
from journal.birth import IGNORE_ALL, LOCK_FILE, check_name
from journal.blobs import Blobs
from journal.codec import chain_start, encode_header
from journal.disk import Disk
from journal.entity_files import ENTITIES_FOLDER, IGNORE_FILE
from journal.errors import DamagedStore, InvalidInput, StoreExists
from journal.machine import Machine
from journal.model import (
    BLOBS_FOLDER,
    MAX_PAYLOAD_BYTES,
    MAX_SUMMARY_CHARS,
    Draft,
    Version,
    check_item_id,
    check_item_type,
)
from journal.mutation import Author, check_draft, seal
from journal.payloads import encode_payload
from journal.projection import parse_document, payload_digest

_JOURNAL: Final = "journal"
_MAKING: Final = "journal.tmp-"
_MAX_FILE_BYTES: Final = 2 * MAX_PAYLOAD_BYTES + 1024 * 1024  # indented, and with the longest contexts
Title = Callable[[Mapping[str, Any]], str | None]


class LeftOut(NamedTuple):
    """An entity file that was not taken, and why."""

    path: Path
    reason: str


class Adopted(NamedTuple):
    """A store that was made from entity files."""

    folder: Path
    taken: int
    left: tuple[LeftOut, ...]


def adopt(
    folder: Path, *, name: str, disk: Disk, machine: Machine, data_folder: Path, title: Title, seed: bytes | None = None
) -> Adopted:
    """Make a store from the entity files in a `.eventsync` folder, durable on return [I2].

    Files that are not as this program writes them are put aside, never deleted [P3]. Raises StoreExists when there is
    one, InvalidInput for a name nobody could show, DiskFailed; then the entity files are as they were.
    """
    check_name(name)
    disk.make_private(folder)
    with disk.lock(folder / LOCK_FILE, 0):
        if not identity.is_bare(disk, folder):
            raise StoreExists("there is a store already", path=folder)
        drafts, left = _read(disk, folder / ENTITIES_FOLDER, title)
        public_key = identity.make_key(disk, data_folder, seed)
        origin = identity.origin_of(public_key)
        for part in ("federation", "feed"):
            disk.make_folder(folder / part)
        if disk.size(folder / IGNORE_FILE) is None:
            disk.replace_durably(folder / IGNORE_FILE, IGNORE_ALL)
        local: dict[str, Any] = dict(identity.fingerprint(machine, folder))
        identity.write_local(disk, folder, {**local, identity.ADOPTING: True})
        file = identity.StoreFile.of_key(public_key, name=name, created_at=machine.now())
        identity.write_store_file(disk, folder, file)
        _make_journal(disk, folder, origin, drafts, machine)
        identity.write_local(disk, folder, local)
        for found in left:
            disk.set_aside(found.path, found.path.with_name(f"{found.path.name}.unreadable-0"))
        return Adopted(folder, len(drafts), tuple(left))


def _make_journal(disk: Disk, folder: Path, origin: str, drafts: list[Draft], machine: Machine) -> None:
    for name in disk.names(folder):
        if name.startswith(_MAKING):
            disk.remove_tree(folder / name)  # of an adoption that was interrupted
    making = folder / f"{_MAKING}{origin[-8:]}"
    disk.make_folder(making)
    c = chain_start(origin)
    sealed = seal(
        drafts, origin=origin, last_seq=0, last_c=c, author=Author("init"), machine=machine, head=lambda *_: None
    )
    Blobs(disk, making / BLOBS_FOLDER).settle(drafts)  # before the lines that refer to them [J13]
    lines = b"".join(b"\n" + item.line + b"\n" for item in sealed)
    disk.replace_durably(making / "seg-00000001.jsonl", encode_header(origin, 1, c) + b"\n" + lines)
    disk.rename_folder(making, folder / _JOURNAL)


# --- reading the files -----------------------------------------------------------------------------------------------


def _read(disk: Disk, folder: Path, title: Title) -> tuple[list[Draft], list[LeftOut]]:
    drafts: list[Draft] = []
    left: list[LeftOut] = []
    seen: dict[tuple[str, str], str] = {}
    for path in sorted(_files(disk, folder)):
        try:
            draft = _draft(disk, path, title)
            other = seen.setdefault((draft.item_type, (draft.item_id or "").lower()), draft.item_id or "")
            if other != draft.item_id:
                raise InvalidInput(f"item id differs from {other!r} only in case", rule="J10")
            drafts.append(draft)
        except (DamagedStore, InvalidInput) as error:
            left.append(LeftOut(path, error.message))
    return drafts, left


def _files(disk: Disk, folder: Path) -> Iterator[Path]:
    for name in disk.names(folder):
        if disk.is_folder(folder / name):
            for file in disk.names(folder / name):
                if file.endswith(".json") and not file.startswith("."):
                    yield folder / name / file


def _draft(disk: Disk, path: Path, title: Title) -> Draft:
    """What a file says, as the record that takes it over; InvalidInput or DamagedStore says why it cannot be."""
    item_type, item_id = check_item_type(path.parent.name), check_item_id(path.name.removesuffix(".json"))
    if (disk.size(path) or 0) > _MAX_FILE_BYTES:
        raise InvalidInput("larger than any entity file", rule="J10")
    value = parse_document(disk.read(path))
    if value is None:
        raise DamagedStore("cannot be parsed")
    if (value.get("item_type"), value.get("item_id")) != (item_type, item_id):
        raise DamagedStore("speaks of another entity than its name")
    payload = value.get("payload")
    if not isinstance(payload, dict):
        raise DamagedStore("has no payload")
    version, context, claims = _version(value.get("version")), _vector(value, "context"), _vector(value, "claims")
    if max(context.get(version.origin, 0), claims.get(version.origin, 0)) < version.seq:
        raise DamagedStore("its context does not reach its version")
    summary = title(payload)
    draft = Draft(
        "backfill",
        item_type,
        item_id,
        encode_payload(payload),
        summary=None if summary is None else summary[:MAX_SUMMARY_CHARS],
        private=value.get("private") is True,
        root=str(version) if value.get("payload_digest") == payload_digest(payload) else None,
        context=context,
        claims=claims,
    )
    check_draft(draft)
    return draft


def _version(text: object) -> Version:
    try:
        version = Version.parse(text if isinstance(text, str) else "")
    except ValueError:
        raise DamagedStore("its version is none") from None
    if not version.digest:
        raise DamagedStore("its version has no digest")
    return version


def _vector(value: Mapping[str, Any], key: str) -> dict[str, int]:
    found = value.get(key)
    try:
        if isinstance(found, dict) and all(type(seq) is int for seq in found.values()):
            return {Version.parse(f"{origin}@{seq}").origin: seq for origin, seq in found.items()}
    except ValueError:
        pass
    raise DamagedStore(f"its {key} is no map of origins to seqs")
