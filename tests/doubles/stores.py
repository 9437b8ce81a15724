"""Stores for tests, and how to look at them from outside."""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from journal import Disk, Machine, Store
from tests.doubles.disks import QuickDisk
from tests.doubles.machines import FixedMachine

SEED = bytes(range(32))  # the key of docs/format.md's examples
Key = tuple[str, str]
_MEMORY = "/dev/shm"  # SQLite waits for the platter; those who make stores by the hundred cannot


@contextlib.contextmanager
def quick_folder() -> Iterator[Path]:
    """A folder in memory where there is one, for as long as the block lasts."""
    with tempfile.TemporaryDirectory(dir=_MEMORY if os.access(_MEMORY, os.W_OK) else None) as folder:
        yield Path(folder)


def new_store(folder: Path, *, disk: Disk | None = None, machine: Machine | None = None) -> Store:
    """A store in `folder` with a fixed key, clock and salts; its data folder stands beside it."""
    data_folder = folder.with_name(folder.name + "-data")
    return Store.init(
        folder,
        disk=disk or QuickDisk(),
        machine=machine or FixedMachine(data_folder),
        data_folder=data_folder,
        seed=SEED,
    )


def reopened(store: Store, *, disk: Disk | None = None, boot_id: str | None = None) -> Store:
    """The same store as the next command sees it, after a reboot if there is a new boot id."""
    store.close()
    machine = FixedMachine(store.data_folder, boot_id=boot_id or store.machine.boot_id)
    return Store.open(store.folder, disk=disk or QuickDisk(), machine=machine, data_folder=store.data_folder)


def put(store: Store, *ids: str, item_type: str = "plan", **payload: Any) -> None:
    """Write entities in one batch; the payload of each has its id as title."""
    with store.mutate(agent="test") as mutation:
        for item_id in ids:
            mutation.put(item_type, item_id, {"title": item_id, **payload})


def delete(store: Store, item_id: str, item_type: str = "plan") -> None:
    """Delete one entity."""
    with store.mutate(agent="test") as mutation:
        mutation.delete(item_type, item_id)


def state(store: Store) -> dict[Key, tuple[int, Mapping[str, Any] | None]]:
    """Rev and payload of every entity; None is the payload of a tombstone."""
    return {
        (head.item_type, head.item_id): (
            head.entity_rev,
            None if head.deleted else store.get(head.item_type, head.item_id).payload,
        )
        for head in store.list(deleted=True)
    }


def seqs(store: Store) -> list[int]:
    """The seqs of all records in the log, void ones too."""
    return [entry.record.seq for gap in store.gaps() for entry in gap.entries]


def tail(store: Store) -> Path:
    """The segment that is written to."""
    return max((store.folder / "journal").glob("seg-*.jsonl"))


def chain_lines(store: Store) -> list[bytes]:
    """The record lines of a store, as they stand in its segments."""
    return [
        line
        for path in sorted((store.folder / "journal").glob("seg-*.jsonl"))
        for line in path.read_bytes().split(b"\n")[1:]
        if line
    ]


def projection(store: Store, item_id: str, item_type: str = "plan") -> Path:
    """Where the projection of an entity stands."""
    return store.folder / "entities" / item_type / f"{item_id}.json"


def notes(store: Store) -> list[dict[str, Any]]:
    """The payloads of all journal notes."""
    return [json.loads(record.payload_bytes or b"") for record in store.log() if record.action == "journal_note"]


def drop_index(store: Store) -> None:
    """Delete the index as a person would."""
    store.close()
    for path in store.folder.glob("index.sqlite3*"):
        path.unlink()


def tree(folder: Path) -> dict[str, bytes]:
    """All files below a folder, less what SQLite keeps beside its file for those who have it open."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not re.search(r"-shm$", path.name)
    }
