"""What the git transport and its worker say to each other, as values and as JSON.

Pure, and light: the worker starts anew for each job, so nothing heavy is imported here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

REGULAR = 0o100644  # the mode of a file; executables, symlinks and submodules have others
FOLDER = 0o040000


class Failure(Exception):
    """Why it did not work. The kinds: unreachable, damaged (what came), disk (of this machine), unauthorized,
    not let in, read only, raced (the ref moved meanwhile), keeps (its history), format (of the repository).
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind, self.message = kind, message


class Address(NamedTuple):
    """Where a repository is, piece by piece: never one text that a library takes apart in its own way."""

    scheme: str  # file, git, ssh, http or https
    host: str
    port: int | None
    user: str | None
    password: str | None
    path: str
    ssh_config: str | None = None


class Caps(NamedTuple):
    """How much of a place is taken in one transfer."""

    received_bytes: int  # over the wire
    inflated_bytes: int  # of all objects together
    object_bytes: int  # of one object
    objects: int


class Entry(NamedTuple):
    """One line of a tree. The bytes of a name are read as latin-1, so that any of them can be told.

    What stands in a folder that is looked into has the folder's name and a slash before its own.
    """

    mode: int
    name: str
    id: str


class Job(NamedTuple):
    """What is to be done, with a file without a name (`spool`) for the content of what is brought or sent."""

    task: str  # "bring" or "send"
    address: Address
    prefix: str  # of refs, ends in a slash
    caps: Caps
    spool: int  # a descriptor
    scratch: str  # a folder for more files without names
    # bring:
    refs: str = ""  # a pattern: names behind the prefix that may be brought
    folders: str = ""  # a pattern: names of folders in a tree that are looked into
    files: str = ""  # a pattern: names in a tree, with those of their folders, that may be brought
    kept: Mapping[str, str] = {}  # by name behind the prefix, commits whose content the parent holds
    only: Sequence[str] | None = None  # these names; None: whatever changed since it was kept
    at_most: int = 0  # names
    whole: bool = False  # the newest state, without relying on what is kept
    # send:
    name: str = ""  # behind the prefix
    old: str | None = None  # the commit that the ref has to be at, None for no ref
    parent: str | None = None  # the commit that the new one comes after; None: nothing leads to what was before
    there: Sequence[Entry] = ()  # the tree of that commit, where it is one that we made
    entries: Sequence[Entry] = ()
    blobs: Sequence[tuple[int, int]] = ()  # offset and size in the spool


class Found(NamedTuple):
    """What stands behind a ref. `entries` is None when it could not be had without more of its history."""

    commit: str  # empty when the ref leads to something else
    entries: tuple[Entry, ...] | None
    files: Mapping[str, tuple[int, int]]  # offset and size in the spool
    plain: bool = False  # whether a tree with these lines, written by us, would be the same


class Answer(NamedTuple):
    """What a worker said. `listing` is told before anything is brought; `failure` is a kind and a message."""

    listing: Mapping[str, str] | None = None
    brought: Mapping[str, Found] | None = None
    sent: str | None = None
    failure: tuple[str, str] | None = None


def encode_job(job: Job) -> bytes:
    """One line."""
    value = {**job._asdict(), "address": job.address._asdict(), "caps": job.caps._asdict()}
    return json.dumps(value, separators=(",", ":")).encode()


def decode_job(data: bytes) -> Job:
    """What the parent sent."""
    value = json.loads(data)
    value["address"] = Address(**value["address"])
    value["caps"] = Caps(**value["caps"])
    value["there"], value["entries"] = entries_of(value["there"]), entries_of(value["entries"])
    value["blobs"] = [(offset, size) for offset, size in value["blobs"]]
    return Job(**value)


def decode_answer(data: bytes) -> Answer:
    """What a worker said, up to where it was stopped; each line is whole or is not counted."""
    answer = Answer()
    for line in data.split(b"\n")[:-1]:
        value = json.loads(line)
        if "listing" in value:
            answer = answer._replace(listing=value["listing"])
        elif "brought" in value:
            answer = answer._replace(brought={name: _found(told) for name, told in value["brought"].items()})
        elif "sent" in value:
            answer = answer._replace(sent=value["sent"])
        else:
            answer = answer._replace(failure=tuple(value["failure"]))
    return answer


def entries_of(value: Sequence[Sequence[Any]]) -> tuple[Entry, ...]:
    """Lines of a tree as they stand in JSON."""
    return tuple(Entry(mode, name, object_id) for mode, name, object_id in value)


def _found(told: Mapping[str, Any]) -> Found:
    entries = None if told["entries"] is None else entries_of(told["entries"])
    files = {name: (offset, size) for name, (offset, size) in told["files"].items()}
    return Found(told["commit"], entries, files, told["plain"])
