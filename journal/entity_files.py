"""Entity files: the projections on disk and their watermark.

A cache for people and tools: `entities/<type>/<id>.json`, replaced atomically, only when the bytes differ, never ahead of
the log [P1], never back to an older rev [P2]. A file nobody can parse is flagged and not unlinked [P3]; after a reboot
files are written again from the last synced point [P4].
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from journal.disk import Disk
from journal.model import LocalHead
from journal.projection import document, parse_document

Payload = Callable[[LocalHead], dict[str, Any] | None]


class Watermark(msgspec.Struct, frozen=True):
    """`projections.json`: how far the files go, how far they are durable, and in which boot that was written."""

    applied_seq: int = 0
    synced_seq: int = 0
    boot_id: str = ""


class Drift(NamedTuple):
    """A file that is not what the log says."""

    path: Path
    message: str
    seq: int | None


class EntityFiles:
    """The projections of one store."""

    def __init__(self, disk: Disk, store_folder: Path) -> None:
        self._disk = disk
        self._folder = store_folder / "entities"
        self._mark_path = store_folder / "projections.json"

    def watermark(self) -> Watermark:
        """The watermark as on disk; a missing or unreadable one counts as nothing applied: it is a cache."""
        data = self._disk.read_if_there(self._mark_path)
        try:
            return msgspec.json.decode(data or b"{}", type=Watermark)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return Watermark()

    def behind(self, boot_id: str) -> int:
        """The seq after which files must be looked at again: applied_seq, or synced_seq after a reboot [P4]."""
        mark = self.watermark()
        return mark.applied_seq if mark.boot_id == boot_id else mark.synced_seq

    def write(self, heads: Iterable[LocalHead], payload: Payload) -> None:
        """Bring the files of these entities to their heads; unchanged bytes are not written again.

        A file with a higher rev and seq than the log knows is left as it is [P2]; `drift` reports it.
        """
        for head in heads:
            path = self.path(head)
            if head.deleted:
                self._remove(path)
                continue
            found = self._disk.read_if_there(path)
            wanted = document(head, payload(head))
            if found != wanted and not _is_newer(found, head):
                self._disk.make_folder(path.parent)
                self._disk.replace(path, wanted)

    def mark(self, applied_seq: int, boot_id: str) -> None:
        """Move applied_seq, after the files it speaks of."""
        mark = self.watermark()
        synced = min(mark.synced_seq, applied_seq)
        self._disk.replace(self._mark_path, msgspec.json.encode(Watermark(applied_seq, synced, boot_id)) + b"\n")

    def sync(self, boot_id: str) -> None:
        """Make all files durable and move synced_seq to applied_seq: once per roll [P4]."""
        self._disk.sync_all()
        applied = self.watermark().applied_seq
        mark = Watermark(applied, applied, boot_id)
        self._disk.replace_durably(self._mark_path, msgspec.json.encode(mark) + b"\n")

    def forget(self) -> None:
        """Drop the watermark, so that every file is looked at again."""
        self._disk.remove(self._mark_path)

    def drift(self, heads: Iterable[LocalHead], payload: Payload) -> list[Drift]:
        """Files that differ from a fresh fold, are missing, or should not be there. Writes nothing."""
        found: list[Drift] = []
        expected: set[Path] = set()
        for head in heads:
            path = self.path(head)
            if head.deleted:
                continue
            expected.add(path)
            data = self._disk.read_if_there(path)
            if data is None:
                found.append(Drift(path, "projection is missing", head.seq))
            elif data != document(head, payload(head)):
                what = "is not what the log says" if parse_document(data) else "cannot be parsed"
                found.append(Drift(path, f"projection {what}", head.seq))
        return found + [Drift(path, "projection of no live entity", None) for path in self._files() - expected]

    def remove_strays(self, live: set[Path]) -> None:
        """Remove parsable files of entities that are not live; others stay and are flagged [P3]."""
        for path in sorted(self._files() - live):
            self._remove(path)

    def path(self, head: LocalHead) -> Path:
        """Where an entity's projection stands."""
        return self._folder / head.item_type / f"{head.item_id}.json"

    def _files(self) -> set[Path]:
        if not self._disk.is_folder(self._folder):
            return set()
        folders = [self._folder / name for name in self._disk.names(self._folder)]
        return {
            folder / name
            for folder in folders
            if self._disk.is_folder(folder)
            for name in self._disk.names(folder)
            if name.endswith(".json") and not name.startswith(".")
        }

    def _remove(self, path: Path) -> None:
        data = self._disk.read_if_there(path)
        if data is not None and parse_document(data) is not None:
            self._disk.remove(path)


def _is_newer(found: bytes | None, head: LocalHead) -> bool:
    value = parse_document(found) if found else None
    rev = value.get("entity_rev") if value else None
    return isinstance(rev, int) and value is not None and rev > head.entity_rev and value["seq"] > head.seq
