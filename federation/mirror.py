"""Mirror: verified foreign feeds, verbatim, one folder per origin.

A truth [T1]: what is here was verified, and nothing unverified gets in. New slices are made durable before the head
that speaks of them [F4]. Evidence of a fork stands in fork/ beside the feed and freezes it [F5].
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from blake3 import blake3

from federation.errors import DamagedFeed
from federation.folder import FeedFolder
from federation.model import BRAKE_CHANGES, BRAKE_DELETIONS, HEAD_FILE, SLICE_NAME, SLICE_SUFFIX, BrakeLimits
from journal import ORIGIN, BlobRef, Disk, is_temporary

BRIDGE_PREFIX: Final = "brainclaw:"
_BRIDGE_FOLDER: Final = "brainclaw-"
_BRAKE_FILE: Final = "brake.json"
_PARKING_FILE: Final = "parking.json"


class Brake(NamedTuple):
    """Records after `after_seq` are left to a person; `pending` while it is not yet known whether they are too many.

    The limits are those of the pull that set it: whoever decides it later goes by them.
    """

    after_seq: int
    pending: bool
    limits: BrakeLimits = BrakeLimits()


def evidence_name(head: bytes) -> str:
    """The name of a head among the evidence of a fork."""
    return f"head-{blake3(head).hexdigest()[:12]}.json"


class Mirror:
    """All mirrors of one store."""

    def __init__(self, disk: Disk, federation_folder: Path) -> None:
        self._disk = disk
        self.folder = federation_folder / "mirror"
        self._parked = federation_folder / "parked"
        self._folders: dict[str, FeedFolder] = {}

    def origins(self) -> list[str]:
        """The origins that are mirrored here, bridged ones included, sorted."""
        if not self._disk.is_folder(self.folder):
            return []
        found = []
        for name in self._disk.names(self.folder):
            if ORIGIN.fullmatch(name):
                found.append(name)
            elif name.startswith(_BRIDGE_FOLDER):
                found.append(BRIDGE_PREFIX + name.removeprefix(_BRIDGE_FOLDER))
        return found

    def feed(self, origin: str) -> FeedFolder:
        """The mirrored feed of a signed origin, empty where there is none."""
        if origin not in self._folders:
            self._folders[origin] = FeedFolder(self._disk, self.path(origin))
        return self._folders[origin]

    def path(self, origin: str) -> Path:
        """The folder of an origin; the bridge's colon is no file name everywhere."""
        return self.folder / origin.replace(BRIDGE_PREFIX, _BRIDGE_FOLDER)

    def take_blobs(self, origin: str, packed: Mapping[BlobRef, Path]) -> None:
        """Move verified blobs into the mirror, each durable: before the slices whose lines refer to them [F4]."""
        for ref, path in packed.items():
            self.feed(origin).blobs.take(ref.blake3, path)

    def take(self, origin: str, slices: Sequence[Path], head: bytes) -> None:
        """Put verified slices and their head in place: slices durable first, the head last [F4].

        Killed in between, the mirror still holds what the former head speaks of; left-over slices go at the next take.
        """
        folder = self.path(origin)
        self._disk.make_folder_durably(folder)
        self._remove_leftovers(origin)
        for path in slices:
            self._disk.sync(path)  # copied by a transport: durable before the name that counts
            self._disk.move_durably(path, folder / path.name)
        self.replace_head(origin, head)

    def replace_head(self, origin: str, head: bytes) -> None:
        """Replace a head by a later one over the same lines (merges, `saw`), durably."""
        self._disk.replace_durably(self.path(origin) / HEAD_FILE, head)
        self.feed(origin).forget_cached()

    def _remove_leftovers(self, origin: str) -> None:
        folder, pin = self.path(origin), self.feed(origin).pin()
        for name in self._disk.names(folder):
            found = SLICE_NAME.fullmatch(name.removesuffix(SLICE_SUFFIX))
            if is_temporary(name) or (found and (pin is None or int(found[2]) > pin.seq)):
                self._disk.remove(folder / name)

    # --- forks ---

    def fork_evidence(self, origin: str) -> list[str]:
        """Names of what contradicts our mirror; not empty means that the origin is frozen."""
        folder = self.path(origin) / "fork"
        return [name for name in sorted(self._disk.each_name(folder)) if not is_temporary(name)]

    def freeze(self, origin: str, head: bytes) -> None:
        """Keep a contradicting head beside ours as evidence, durably; the same one once [F5]."""
        folder = self.path(origin) / "fork"
        self._disk.make_folder_durably(folder)
        self._disk.replace_durably(folder / evidence_name(head), head)

    def evidence(self, origin: str, name: str) -> bytes:
        """A head that contradicts our mirror; DamagedFeed when it is not what its name says."""
        path = self.path(origin) / "fork" / name
        data = self._disk.read_if_there(path)
        if data is None or evidence_name(data) != name:
            raise DamagedFeed("not the head that was kept as evidence", path=path, rule="F5")
        return data

    # --- parking ---

    def begin_parking(self, origin: str, after_seq: int) -> None:
        """Say in the mirror, durably, that a record behind that seq will put it aside; done before the record."""
        data = json.dumps({"after_seq": after_seq}).encode() + b"\n"
        self._disk.replace_durably(self.path(origin) / _PARKING_FILE, data)

    def parking(self, origin: str) -> int | None:
        """Behind which of our seqs the record stands that puts this mirror aside, if that was begun."""
        path = self.path(origin) / _PARKING_FILE
        data = self._disk.read_if_there(path)
        if data is None:
            return None
        try:
            return int(json.loads(data)["after_seq"])
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            raise DamagedFeed("not a parking file", path=path) from None

    def stop_parking(self, origin: str) -> None:
        """The record was never written: the mirror stays."""
        self._disk.remove(self.path(origin) / _PARKING_FILE)

    def park(self, origin: str, seq: int) -> Path:
        """Put a whole mirror aside, durably: nothing is read from there, and nothing is deleted."""
        source = self.path(origin)
        target = self._parked / source.name / f"{seq:08d}"
        self._disk.make_folder_durably(target.parent)
        self._disk.rename_folder(source, target)
        self._disk.sync_folder(self.folder)
        self.feed(origin).forget_cached()
        return target

    def parked(self, origin: str) -> list[Path]:
        """Where former mirrors of an origin stand, oldest first."""
        folder = self._parked / self.path(origin).name
        return [folder / name for name in sorted(self._disk.each_name(folder))]

    # --- brake ---

    def brake(self, origin: str) -> Brake | None:
        """The brake on an origin, if one is set; DamagedFeed when it cannot be read."""
        path = self.path(origin) / _BRAKE_FILE
        data = self._disk.read_if_there(path)
        if data is None:
            return None
        try:
            value = json.loads(data)
            numbers = (
                value["after_seq"],
                value.get("max_changes", BRAKE_CHANGES),
                value.get("max_deletions", BRAKE_DELETIONS),
            )
            if isinstance(value["pending"], bool) and all(type(number) is int and number >= 0 for number in numbers):
                return Brake(numbers[0], value["pending"], BrakeLimits(*numbers[1:]))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            pass
        raise DamagedFeed("not a brake file", path=path)

    def set_brake(self, origin: str, brake: Brake) -> None:
        """Leave what comes after a seq to a person, durably and before it is taken."""
        self._disk.make_folder_durably(self.path(origin))
        value = {
            "after_seq": brake.after_seq,
            "pending": brake.pending,
            "max_changes": brake.limits.changes,
            "max_deletions": brake.limits.deletions,
        }
        self._disk.replace_durably(self.path(origin) / _BRAKE_FILE, json.dumps(value).encode() + b"\n")

    def release_brake(self, origin: str) -> None:
        """A person looked, or there was nothing to look at."""
        self._disk.remove(self.path(origin) / _BRAKE_FILE)
