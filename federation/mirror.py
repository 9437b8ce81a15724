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


class Brake(NamedTuple):
    """Records after `after_seq` are left to a person; `pending` while it is not yet known whether they are too many.

    The limits are those of the pull that set it: whoever decides it later goes by them.
    """

    after_seq: int
    pending: bool
    limits: BrakeLimits = BrakeLimits()


class Mirror:
    """All mirrors of one store."""

    def __init__(self, disk: Disk, federation_folder: Path) -> None:
        self._disk = disk
        self.folder = federation_folder / "mirror"
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
        return self._disk.names(folder) if self._disk.is_folder(folder) else []

    def freeze(self, origin: str, head: bytes) -> None:
        """Keep a contradicting head beside ours as evidence, durably; the same one once [F5]."""
        folder = self.path(origin) / "fork"
        self._disk.make_folder_durably(folder)
        self._disk.replace_durably(folder / f"head-{blake3(head).hexdigest()[:12]}.json", head)

    # --- brake ---

    def brake(self, origin: str) -> Brake | None:
        """The brake on an origin, if one is set; DamagedFeed when it cannot be read."""
        path = self.path(origin) / _BRAKE_FILE
        data = self._disk.read_if_there(path)
        if data is None:
            return None
        try:
            value = json.loads(data)
            limits = BrakeLimits(
                int(value.get("max_changes", BRAKE_CHANGES)), int(value.get("max_deletions", BRAKE_DELETIONS))
            )
            return Brake(int(value["after_seq"]), bool(value["pending"]), limits)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise DamagedFeed("not a brake file", path=path) from None

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
