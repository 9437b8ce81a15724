"""Entity files: the projections on disk and their watermark.

A cache for people and tools: `entities/<type>/<id>.json`, replaced atomically, only when the bytes differ, never ahead
of the log [P1], never back to an older rev [P2]. A file nobody can parse is flagged and not unlinked [P3]; after a
reboot files are written again from the last synced point [P4].
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from journal.disk import Disk, is_temporary
from journal.errors import DamagedStore
from journal.model import LocalHead
from journal.projection import document, parse_document

Payload = Callable[[LocalHead], Mapping[str, Any] | None]
Find = Callable[[str, str], LocalHead | None]
WATERMARK_FILE: Final = "projections.json"
ENTITIES_FOLDER: Final = "entities"
IGNORE_FILE: Final = ".gitignore"
_SUFFIX: Final = ".json"
_ASIDE: Final = ".json.unreadable-"  # a file somebody may have worked on, put aside for the one that replaced it


class Watermark(msgspec.Struct, frozen=True):
    """`projections.json`: how far the files go, how far they are durable, and in which boot that was written."""

    applied_seq: int = 0
    synced_seq: int = 0
    boot_id: str = ""

    def behind(self, boot_id: str) -> int:
        """The seq after which files must be looked at again: applied_seq, or synced_seq after a reboot [P4]."""
        return self.applied_seq if self.boot_id == boot_id else self.synced_seq


def watermark_bytes(mark: Watermark) -> bytes:
    """The content of `projections.json`."""
    return msgspec.json.encode(mark) + b"\n"


class Drift(NamedTuple):
    """A file that is not what the log says; `found_seq` is the seq it speaks of, 0 when it cannot be told."""

    path: Path
    message: str
    seq: int | None
    found_seq: int
    cannot_be_parsed: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """Type and id of the entity that the file is, or would be, of."""
        return (self.path.parent.name, self.path.name.removesuffix(_SUFFIX))


class PrivateNames:
    """What git must not see of a store whose entities it tracks: `entities/<type>/.gitignore`, which ignores itself.

    A file that git has seen already it goes on to track, whatever is ignored: `doctor` tells of those.
    """

    def __init__(self, disk: Disk, store_folder: Path) -> None:
        self._disk = disk
        self._rules = store_folder / IGNORE_FILE

    @cached_property
    def is_tracked(self) -> bool:
        """Whether people let git track the entities."""
        return b"!entities/" in (self._disk.read_if_there(self._rules) or b"")

    def keep(self, head: LocalHead, path: Path) -> None:
        """See to it that the file of an entity is ignored if it is private, and not if it is not."""
        if not self.is_tracked:
            return
        rules = path.with_name(IGNORE_FILE)
        before = self._disk.read_if_there(rules)
        if before is None and not head.private:
            return
        names = {line for line in (before or b"").decode("utf-8", "replace").splitlines() if line}
        names = (names | {f"/{path.name}"}) if head.private else (names - {f"/{path.name}"})
        after = "".join(f"{name}\n" for name in sorted({f"/{IGNORE_FILE}", *names})).encode()
        if after != before:
            self._disk.make_folder(path.parent)
            self._disk.replace(rules, after)


class EntityFiles:
    """The projections of one store."""

    def __init__(self, disk: Disk, store_folder: Path) -> None:
        self._disk = disk
        self._folder = store_folder / ENTITIES_FOLDER
        self._ignored = PrivateNames(disk, store_folder)
        self.mark_path = store_folder / WATERMARK_FILE

    @property
    def is_tracked(self) -> bool:
        """Whether people let git track the entities."""
        return self._ignored.is_tracked

    def watermark(self) -> Watermark:
        """The watermark as on disk; a missing or unreadable one counts as nothing applied: it is a cache."""
        data = self._disk.read_if_there(self.mark_path)
        try:
            return msgspec.json.decode(data or b"{}", type=Watermark)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return Watermark()

    def write(self, heads: Iterable[LocalHead], payload: Payload) -> DamagedStore | None:
        """Bring the files of these entities to their heads; unchanged bytes are not written again.

        A file with a higher rev and seq than the log knows is left as it is [P2]; `drift` reports it. So is one whose
        record is damaged: the first such damage is returned, and the others are brought up to date.
        """
        damage: DamagedStore | None = None
        for head in heads:
            path = self.path(head)
            found = self._disk.read_if_there(path)
            if head.deleted:
                self._remove(path, found, head)
                continue
            try:
                wanted = document(head, payload(head))
            except DamagedStore as error:
                damage = damage or error
                continue
            self._ignored.keep(head, path)
            if found != wanted and not _is_newer(found, head):
                self._write(path, found, wanted, head.seq)
        return damage

    def _write(self, path: Path, found: bytes | None, wanted: bytes, seq: int) -> None:
        if found is None:
            self._disk.make_folder(path.parent)
        elif parse_document(found) is None and found.strip(b"\0"):
            # somebody may have worked on it; what a power cut left is empty or NULs [P3]
            self._disk.set_aside(path, path.with_name(f"{path.name.removesuffix(_SUFFIX)}{_ASIDE}{seq}"))
        self._disk.replace(path, wanted)

    def mark(self, before: Watermark, applied_seq: int, boot_id: str) -> Watermark:
        """Move applied_seq, after the files it speaks of."""
        after = Watermark(applied_seq, min(before.synced_seq, applied_seq), boot_id)
        if after != before:
            self._disk.replace(self.mark_path, watermark_bytes(after))
        return after

    def sync(self, before: Watermark) -> Watermark:
        """Make all files durable and move synced_seq to applied_seq: once per roll [P4]."""
        self._disk.sync_all()
        after = Watermark(before.applied_seq, before.applied_seq, before.boot_id)
        self._disk.replace_durably(self.mark_path, watermark_bytes(after))
        return after

    def forget(self) -> None:
        """Drop the watermark, so that every file is looked at again."""
        self._disk.remove(self.mark_path)

    def erase(self, keys: Collection[tuple[str, str]], find: Find, payload: Payload) -> None:
        """Write the files of these entities anew, durably, and remove what stands beside them [J16].

        That is what was put aside [P3], and what interrupted writes of any entity left. A file whose record is damaged
        stays, if it is of that record.
        """
        for folder in [self._folder / name for name in self._disk.each_name(self._folder)]:
            if self._disk.is_folder(folder):
                for name in [*self._disk.each_name(folder)]:
                    if is_temporary(name) or (_ASIDE in name and (folder.name, name.partition(_ASIDE)[0]) in keys):
                        self._disk.remove(folder / name)
        for item_type, item_id in keys:
            self._write_anew(self._folder / item_type / f"{item_id}{_SUFFIX}", find(item_type, item_id), payload)

    def _write_anew(self, path: Path, head: LocalHead | None, payload: Payload) -> None:
        if not self._disk.is_folder(path.parent):
            return
        try:
            wanted = None if head is None or head.deleted else document(head, payload(head))
        except DamagedStore:
            found = self._disk.read_if_there(path)
            wanted = found if found is not None and head is not None and _seq_in(found) == head.seq else None
        if wanted is not None:
            self._disk.replace_durably(path, wanted)
        else:
            self._disk.remove(path)
            self._disk.sync_folder(path.parent)

    def drift(self, heads: Iterable[LocalHead], payload: Payload, find: Find) -> Iterator[Drift]:
        """Files of these entities that differ from a fresh fold or are missing, and files of no live entity.

        Holds one entity at a time. Writes nothing. Where git tracks the files it may have brought those of another
        store, whose seqs say nothing of this log.
        """
        for found in self._drift(heads, payload, find):
            yield found._replace(found_seq=0) if self._ignored.is_tracked else found

    def _drift(self, heads: Iterable[LocalHead], payload: Payload, find: Find) -> Iterator[Drift]:
        for head in heads:
            if not head.deleted:
                try:
                    data = self._disk.read_if_there(self.path(head))
                except DamagedStore as error:
                    yield Drift(self.path(head), f"the projection cannot be used: {error.message}", head.seq, 0, True)
                    continue
                if data is None:
                    yield Drift(self.path(head), "the projection is missing", head.seq, 0)
                elif data != self._wanted(head, payload):
                    yield _drift(self.path(head), data, "the projection is not what the log says", head.seq)
        for path in self._files():
            if _ASIDE in path.name:
                yield Drift(path, "a projection that could not be parsed was put aside", None, 0, True)
            elif path.name.endswith(_SUFFIX) and not _is_live(find(path.parent.name, path.name.removesuffix(_SUFFIX))):
                try:
                    data = self._disk.read_if_there(path)
                except DamagedStore as error:
                    yield Drift(path, f"a projection of no live entity: {error.message}", None, 0, True)
                    continue
                yield _drift(path, data, "a projection of no live entity", None)

    def remove_strays(self, find: Find, last_seq: int) -> None:
        """Remove parsable files of entities that are not live; others stay and are flagged [P3].

        One that speaks of a later seq than the log has stays too: it may be all that is left of it [J11].
        """
        for path in self._files():
            if path.name.endswith(_SUFFIX):
                head = find(path.parent.name, path.name.removesuffix(_SUFFIX))
                found = None if _is_live(head) else self._disk.read_if_there(path)
                if found is not None and _seq_in(found) <= last_seq:
                    self._remove(path, found, head)

    def last_seq(self) -> int:
        """The highest seq that any file speaks of, put aside or not: what is known beside the log [J11]."""
        return max((_seq_in(self._disk.read_if_there(path) or b"") for path in self._files()), default=0)

    def path(self, head: LocalHead) -> Path:
        """Where an entity's projection stands."""
        return self._folder / head.item_type / f"{head.item_id}{_SUFFIX}"

    def _wanted(self, head: LocalHead, payload: Payload) -> bytes | None:
        try:
            return document(head, payload(head))
        except DamagedStore:  # then the log itself is reported
            return None

    def _files(self) -> Iterator[Path]:
        for folder in self._disk.each_name(self._folder):
            if self._disk.is_folder(self._folder / folder):
                for name in self._disk.each_name(self._folder / folder):
                    if not name.startswith("."):
                        yield self._folder / folder / name

    def _remove(self, path: Path, found: bytes | None, head: LocalHead | None) -> None:
        if found is not None and parse_document(found) is not None and not (head and _is_newer(found, head)):
            self._disk.remove(path)


def _drift(path: Path, data: bytes | None, message: str, seq: int | None) -> Drift:
    if data is None or parse_document(data) is None:
        return Drift(path, "the projection cannot be parsed", seq, 0, True)
    return Drift(path, message, seq, _seq_in(data))


def _is_live(head: LocalHead | None) -> bool:
    return head is not None and not head.deleted


def _is_newer(found: bytes | None, head: LocalHead) -> bool:
    value = parse_document(found) if found else None
    rev = value.get("entity_rev") if value else None
    if value is None or not isinstance(rev, int) or value.get("version") == str(head.version):
        return False
    return rev > head.entity_rev and int(value["seq"]) > head.seq


def _seq_in(data: bytes) -> int:
    value = parse_document(data)
    return 0 if value is None else int(value["seq"])
