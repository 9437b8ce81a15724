"""Birth: how a store comes into being, whole or not at all, and how it is found again.

A store is made beside its place under another name and renamed when all of it is durable [I1]. Makes no decision but
the layout of the folder.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from pathlib import Path
from typing import Final

from journal import identity
from journal.codec import chain_start, encode_header
from journal.disk import Disk
from journal.entity_files import ENTITIES_FOLDER, IGNORE_FILE
from journal.errors import DiskFailed, InvalidInput, JournalError, NotAStore, StoreExists
from journal.machine import Machine
from journal.model import MAX_NAME_CHARS, check_item_type

STORE_FOLDER: Final = ".eventsync"
LOCK_FILE: Final = "journal.lock"
_PARTS: Final = ("journal", "entities", "federation", "feed")
IGNORE_ALL: Final = b"*\n"


def make_store(
    parent: Path,
    *,
    name: str | None,
    tracked: Collection[str],
    disk: Disk,
    machine: Machine,
    data_folder: Path,
    seed: bytes | None,
) -> Path:
    """Make a store in `parent` with a new key, and return its folder; durable on return.

    `tracked` are item types whose entities git is let to see.

    Raises StoreExists when there is one, InvalidInput for a name nobody could show, DiskFailed otherwise; then nothing
    is left but perhaps an unused key.
    """
    label = _label(name, parent)
    folder = parent / STORE_FOLDER
    if disk.size(folder) is not None:
        raise StoreExists("there is a store already", path=folder)
    public_key = identity.make_key(disk, data_folder, seed)
    origin = identity.origin_of(public_key)
    making = parent / f"{STORE_FOLDER}.tmp-{origin[-8:]}"
    try:
        _fill(making, folder, origin, public_key, label, disk, machine)
        disk.replace_durably(making / IGNORE_FILE, _ignore_rules(tracked))
        disk.rename_folder(making, folder)
    except JournalError:
        late = disk.is_folder(making) and disk.is_folder(folder)
        with contextlib.suppress(DiskFailed):  # the first error is the one to tell
            disk.remove_tree(making)
        if late:
            raise StoreExists("another process made a store here", path=folder) from None
        raise
    return folder


def _ignore_rules(tracked: Collection[str]) -> bytes:
    """What git is told. Never store.json: who pulls another store's would not be himself any more [I1]."""
    rules = [f"!{IGNORE_FILE}", "!entities/"] if tracked else []
    for item_type in sorted(tracked):
        rules += [f"!entities/{check_item_type(item_type)}/", f"!entities/{item_type}/*.json"]
    return IGNORE_ALL + "".join(f"{rule}\n" for rule in rules).encode("ascii")


def _label(name: str | None, parent: Path) -> str:
    """The name for people; without one that of the folder, as far as it can be shown."""
    if name is None:
        return "".join(filter(str.isprintable, parent.name))[:MAX_NAME_CHARS].strip() or "store"
    return check_name(name)


def check_name(name: str) -> str:
    """Return the name of a store; InvalidInput when others could not show it [F2]."""
    if not (name.isprintable() and name.strip() and len(name) <= MAX_NAME_CHARS):
        raise InvalidInput(f"a name has 1 to {MAX_NAME_CHARS} printable characters", rule="J10")
    return name


def _fill(making: Path, folder: Path, origin: str, public_key: bytes, name: str, disk: Disk, machine: Machine) -> None:
    for part in _PARTS:
        disk.make_folder(making / part)
    disk.make_file(making / LOCK_FILE)
    header = encode_header(origin, 1, chain_start(origin)) + b"\n"
    disk.replace_durably(making / "journal" / "seg-00000001.jsonl", header)
    local = identity.fingerprint(machine, making) | {"path": str(folder.resolve())}
    identity.write_local(disk, making, local)
    file = identity.StoreFile.of_key(public_key, name=name, created_at=machine.now())
    identity.write_store_file(disk, making, file)


def find_store(start: Path) -> Path:
    """The `.eventsync` folder of a directory or of the nearest one above it; NotAStore when there is none."""
    disk, start = Disk(), start.absolute()
    for folder in (start, *start.parents):
        for candidate in (folder, folder / STORE_FOLDER):
            if candidate.name == STORE_FOLDER and _holds_anything(disk, candidate):
                return candidate
    raise NotAStore("no store here or above", path=start)


def _holds_anything(disk: Disk, folder: Path) -> bool:
    """Whether a store is here, or what is left of one: a store further up is not the one that is meant."""
    parts = (identity.STORE_FILE, "journal", ENTITIES_FOLDER)
    return any(disk.size(folder / part) is not None for part in parts)
