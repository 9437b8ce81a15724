"""Stores: stores with as long a history as is asked for, written with the journal's codec in seconds.

The log is what so many mutations would have left; index and entity files come from the first read, as after a rebuild.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from benchmarks.feeds import Entity, entities, lines
from benchmarks.watch import CountingDisk
from federation.holdings import Holdings
from federation.puller import Remote
from federation.transports import Transport
from federation.transports.directory import DirectoryTransport
from federation.transports.urls import GitUrl, RsyncUrl, parse
from journal import Disk, Store, encode_header
from journal.model import ROLL_BYTES

SEED: Final = bytes(range(1, 33))  # not that of the feeds: a store passes its own feed over


def make_store(folder: Path, records: int = 0, *, known: list[Entity] | None = None) -> None:
    """A store in a folder that is not there yet, with so many records about some entities."""
    store = Store.init(folder, data_folder=data_of(folder), seed=SEED)
    if records:
        _write_log(store.folder / "journal", store.origin, records, known or entities())
        store.refresh()
    store.close()


def open_store(folder: Path) -> Store:
    """The store as a command would open it, on a disk whose reads can be seen."""
    return Store.open(folder, data_folder=data_of(folder), disk=CountingDisk())


def data_of(folder: Path) -> Path:
    """Where the key of a store lies: beside it."""
    return folder.with_name(f"{folder.name}-data")


def copy_store(folder: Path, target: Path) -> None:
    """The same store once more; a person would be asked which of the two it is, so that is settled here."""
    shutil.copytree(folder, target)
    shutil.copytree(data_of(folder), data_of(target))
    store = open_store(target)
    store.keep_identity()
    store.close()


def remote_at(holdings: Holdings, place: str) -> Remote:
    """A place as the remote of a store, whatever kind it is."""
    memory = holdings.store.folder / "federation" / "git"
    return Remote("bus", place, lambda: transport_to(place, holdings.store.disk, memory))


def transport_to(place: str, disk: Disk, memory: Path) -> Transport:
    """A way to a place; `memory` is a folder for kinds that remember something of it."""
    url = parse(place)
    if isinstance(url, GitUrl):
        from federation.transports.git import GitTransport  # loaded where it is measured
        from federation.transports.git_settings import GitSettings

        return GitTransport(url, GitSettings(), disk, memory)
    if isinstance(url, RsyncUrl):
        from federation.transports.rsync import RsyncTransport
        from federation.transports.rsync_settings import RsyncSettings

        return RsyncTransport(url, RsyncSettings(), disk, memory.with_name("rsync"), "/")
    return DirectoryTransport(url.path, disk)


def directory(holdings: Holdings, bus: Path) -> Remote:
    """A bus as the remote of a store."""
    return Remote("bus", str(bus), lambda: DirectoryTransport(bus, holdings.store.disk))


def _write_log(folder: Path, origin: str, records: int, known: list[Entity]) -> None:
    path = folder / "seg-00000001.jsonl"
    data, c = bytearray(path.read_bytes()), b""
    for line in lines(origin, records, known):
        if len(data) >= ROLL_BYTES:
            path.write_bytes(data)
            path = folder / f"seg-{line.first:08d}.jsonl"
            data = bytearray(encode_header(origin, line.first, c) + b"\n")
        data += b"\n" + line.data + b"\n"
        c = line.c
    path.write_bytes(data)
