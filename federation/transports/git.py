"""A git repository as a remote: one ref per origin, whose commit's tree is the feed.

A transfer brings what is new since the commit whose feed we hold; where that does not do, the newest state, whole. What
it brings lies in a file without a name until it is copied, so nothing accumulates here but a few small files per
origin: that commit, its head.json, and the tree of what we published. All speaking to the repository is done by a
worker, in a process of its own with a deadline and limits [R1].
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from federation.errors import SourceUnavailable
from federation.model import FEED_FILE, FEED_FOLDER, HEAD_FILE
from federation.transports import Listing, Wanted
from federation.transports.feeds import files_before_head
from federation.transports.git_dialogue import AT_ONCE, Dialogue, HistoryKept, Spool, Work, in_a_child
from federation.transports.git_job import FOLDER, REGULAR, Answer, Entry, Found
from federation.transports.git_memory import Memory, blob_id
from federation.transports.git_settings import GitSettings
from federation.transports.urls import GitUrl
from journal import ORIGIN, Disk

_MODES: Final = frozenset([REGULAR, 0o100755, 0o120000, FOLDER, 0o160000])
_NO_NAMES: Final = frozenset(["", ".", "..", ".git", "git~1"])


class GitTransport:
    """Feeds in a git repository. The disk is our own store's; `folder` is this transport's, in that store."""

    def __init__(
        self, url: GitUrl, settings: GitSettings, disk: Disk, folder: Path, *, work: Work = in_a_child
    ) -> None:
        self.is_local = url.scheme == "file"
        self._display, self._disk = url.display, disk
        self._memory = Memory(disk, folder, f"{url.display}\n{settings.ref_prefix}")
        self._dialogue = Dialogue(url, settings, disk, folder, work)
        self._tips: dict[str, str] | None = None  # commits of origins, as listed
        self._strange_refs = 0
        self._brought: dict[str, _Brought] = {}  # by the last transfer of several, and by later ones of one
        self._one_by_one = False  # a transfer of several failed: one of them may have spoiled it

    # --- the contract ---

    def create(self) -> None:
        """Nothing: `git init --bare` makes a repository."""

    def origins(self) -> Listing:
        """The origins that have a feed. Brings what changed, so that one connection does for all of it.

        Of those that could not be brought it is not known whether they have a head: they are listed, and fetch tells.
        """
        self._tips = None
        tips = self._bring(None)
        ignored, headless = self._strange_refs, set()
        for origin in list(self._brought):
            brought = self._with_tree(origin)
            if brought is not None:
                ignored += brought.strangers
                headless |= set() if HEAD_FILE in brought.regular else {origin}
        return Listing(tuple(sorted(tips.keys() - headless)), ignored)

    def fetch(self, origin: str, wanted: Sequence[Wanted], into: Path) -> tuple[str, ...]:
        """Copy what can be had of the wanted files into a private folder: neither verified nor durable yet.

        The head.json of a commit that is remembered costs no transfer.
        """
        if not ORIGIN.fullmatch(origin) or self._tip(origin) is None:
            return ()
        names = {item.name for item in wanted}
        known = self._known_head(origin) if names == {HEAD_FILE} else None
        brought = self._with_files(origin, names) if known is None else None
        had = []
        for item in wanted:
            data = known if brought is None else self._read(origin, brought, item)
            if data is not None and len(data) <= item.max_bytes:
                self._disk.make_folder((into / item.name).parent)
                self._disk.replace(into / item.name, data)
                had.append(item.name)
        return tuple(had)

    def kept(self, origin: str) -> None:
        """Remember the commit that was brought of this origin, so that the next transfer begins there."""
        brought = self._brought.get(origin)
        head = None if brought is None else self._read(origin, brought, Wanted(HEAD_FILE, brought.most_bytes))
        if brought is not None and head is not None:
            self._memory.keep(origin, brought.found.commit, head)

    def missing(self, origin: str, folder: Path, names: Sequence[str]) -> tuple[str, ...]:
        """What the tree of our ref does not have, or has with other content.

        A tree that we made is known, and costs no transfer; one that is found good is remembered as if we had made it.
        """
        tip = self._tip(origin)
        if tip is None:
            return tuple(names)
        published = self._memory.entries(origin, tip)
        there = _regular(self._entries_there(origin) if published is None else published)
        if published is not None:
            return tuple(name for name in names if name not in there)
        lost = tuple(name for name in names if there.get(name) != blob_id(self._disk.read(folder / name)))
        found = self._brought[origin].found
        if not lost and found.plain:
            self._memory.keep_published(origin, tip, self._disk.read(folder / HEAD_FILE), found.entries or ())
        return lost

    def publish(self, origin: str, folder: Path, names: Sequence[str], keep: frozenset[str]) -> None:
        """Make the feed in `folder` visible by moving one ref from where it was seen: all of it at once, or nothing.

        Raises SourceUnavailable, also when somebody else moved it meanwhile, RemoteReadOnly, RemoteRefused, or
        DamagedStore when our own files cannot be read.
        """
        new = self._prepared(origin, folder, names, keep)
        self._send(origin, new, parent=new.tip)

    def publish_anew(self, origin: str, folder: Path, names: Sequence[str], keep: frozenset[str]) -> bool:
        """As `publish`, by a commit without a parent: the ref leads to no commit before it, if the place takes that."""
        new = self._prepared(origin, folder, names, keep)
        try:
            self._send(origin, new, parent=None)
        except HistoryKept:
            self._send(origin, new, parent=new.tip)
            return False
        return True

    def _prepared(self, origin: str, folder: Path, names: Sequence[str], keep: frozenset[str]) -> _New:
        """What is to stand behind the ref, as far as it is not there."""
        files = files_before_head(origin, names)
        tip = self._tip(origin)
        published = None if tip is None else self._memory.entries(origin, tip)
        there = () if tip is None else published or self._entries_there(origin)
        tree = {entry.name: entry for entry in there if _stays(entry, {*names, *keep})}
        spool, blobs = self._dialogue.spool(), []
        for name in files:
            if published is not None and name in tree:
                continue  # we sent it: files of one name have one content
            data = self._disk.read(folder / name)
            entry = Entry(REGULAR, name, blob_id(data))
            if tree.get(name) != entry:
                blobs.append(spool.add(data))
                tree[name] = entry
        head = self._disk.read(folder / HEAD_FILE)
        blobs.append(spool.add(head))
        tree[HEAD_FILE] = Entry(REGULAR, HEAD_FILE, blob_id(head))
        return _New(tip, published or (), tuple(tree.values()), spool, blobs, head)

    def _send(self, origin: str, new: _New, *, parent: str | None) -> None:
        self._tips = None  # whatever comes of it, what was listed is old
        tree = {"there": new.there, "entries": new.entries, "blobs": new.blobs}
        commit = self._dialogue.send(new.spool, origin, new.tip, parent=parent, **tree)
        self._memory.keep_published(origin, commit, new.head, new.entries)

    # --- what stands there ---

    def _tip(self, origin: str) -> str | None:
        """The commit of an origin's ref, None where there is no such ref; lists the refs when that was not done yet."""
        tips = self._bring([origin]) if self._tips is None else self._tips
        return tips.get(origin)

    def _is_kept(self, origin: str) -> bool:
        """Whether the commit that was listed is the one that is remembered."""
        remembered = self._memory.of(origin)
        return remembered is not None and self._tips is not None and remembered.commit == self._tips.get(origin)

    def _known_head(self, origin: str) -> bytes | None:
        remembered = self._memory.of(origin)
        return self._memory.head(origin, remembered.head_id) if remembered and self._is_kept(origin) else None

    def _entries_there(self, origin: str) -> tuple[Entry, ...]:
        """The tree of an origin whose ref is there; SourceUnavailable when that leads to no tree."""
        self._with_files(origin, set())
        brought = self._with_tree(origin)
        if brought is not None and brought.lacks_folders:
            brought = self._bring_one(origin, whole=True)
        if brought is None or not brought.found.commit:
            raise SourceUnavailable("what stands in the place of our feed is no commit", path=self._display)
        return brought.found.entries or ()

    def _read(self, origin: str, brought: _Brought, item: Wanted) -> bytes | None:
        """A file of what was brought. The head.json may be one that we remember, and that did not come again."""
        if not FEED_FILE.fullmatch(item.name) or item.name not in brought.regular:
            return None
        if item.name in brought.found.files:
            offset, size = brought.found.files[item.name]
            return brought.spool.read(offset, size) if size <= item.max_bytes else None
        return self._memory.head(origin, brought.regular[item.name]) if item.name == HEAD_FILE else None

    # --- bringing ---

    def _with_files(self, origin: str, names: set[str]) -> _Brought:
        """An origin with these files; brought whole where what is new does not hold them."""
        brought = self._brought.get(origin)
        if brought is None and not self._is_kept(origin):
            brought = self._bring_next(origin)
        if brought is not None and not brought.lacks(names - self._remembered(origin, brought)):
            return brought
        return self._bring_one(origin, whole=True)

    def _remembered(self, origin: str, brought: _Brought) -> set[str]:
        """The files in a tree that are remembered: its head.json, where it is the one that was kept last."""
        head_id = brought.regular.get(HEAD_FILE)
        return set() if head_id is None or self._memory.head(origin, head_id) is None else {HEAD_FILE}

    def _with_tree(self, origin: str) -> _Brought | None:
        """What was brought of an origin, brought whole where its tree did not come; None when it cannot be had."""
        brought = self._brought[origin]
        if brought.found.entries is None:
            try:
                brought = self._bring_one(origin, whole=True)
            except SourceUnavailable:
                return None
        return None if brought.found.entries is None else brought

    def _bring_next(self, origin: str) -> _Brought:
        """An origin, and in the same transfer those after it that are to be brought: they will be asked for next."""
        later = [other for other in sorted(self._tips or ()) if other > origin and not self._is_kept(other)]
        if later and not self._one_by_one:
            self._bring([origin, *later][:AT_ONCE])
        return self._brought.get(origin) or self._bring_one(origin, whole=False)

    def _bring_one(self, origin: str, *, whole: bool) -> _Brought:
        """One origin alone, so that no other spoils it; SourceUnavailable when it cannot be had."""
        spool = self._dialogue.spool()
        answer = self._dialogue.bring(spool, self._memory.commits(), [origin], whole=whole)
        self._take_listing(answer)
        found = (answer.brought or {}).get(origin)
        if found is None:
            raise self._dialogue.error(answer)
        self._brought[origin] = _Brought(found, spool)
        return self._brought[origin]

    def _bring(self, only: Sequence[str] | None) -> Mapping[str, str]:
        """The commits of all origins; brings several at once: all that changed, or these.

        What was brought before is dropped. Raises when not even the list could be had; when only the bringing failed,
        each has to be brought alone from now on.
        """
        self._brought = {}
        spool = self._dialogue.spool()
        answer = self._dialogue.bring(spool, self._memory.commits(), only)
        tips = self._take_listing(answer)
        self._one_by_one = self._one_by_one or answer.brought is None
        self._brought = {origin: _Brought(found, spool) for origin, found in (answer.brought or {}).items()}
        return tips

    def _take_listing(self, answer: Answer) -> Mapping[str, str]:
        listing = answer.listing or {}
        tips = {name: tip for name, tip in listing.items() if ORIGIN.fullmatch(name) and tip}
        if self._tips is None:
            self._tips, self._strange_refs = tips, len(listing) - len(tips)
        for origin in answer.brought or {}:
            self._tips[origin] = tips[origin]  # it may have moved since it was listed first
        return self._tips


class _New(NamedTuple):
    """What a push is about to make of a ref."""

    tip: str | None  # the commit it is at
    there: Sequence[Entry]  # the tree of that, where we made it
    entries: tuple[Entry, ...]
    spool: Spool  # with the content of those that are not there
    blobs: Sequence[tuple[int, int]]
    head: bytes


class _Brought(NamedTuple):
    """What a transfer brought of one origin."""

    found: Found
    spool: Spool

    @property
    def regular(self) -> dict[str, str]:
        """Ids of the feed files in the tree."""
        return _regular(self.found.entries or ())

    @property
    def strangers(self) -> int:
        """How many lines of the tree are no part of a feed; a ref that leads to no commit counts as one.

        What stands in the folders of blobs is looked at by name only.
        """
        lines = [entry.name for entry in self.found.entries or () if not _is_folder(entry)]
        return _count_outside(lines) - _count_outside(self.regular) if self.found.commit else 1

    @property
    def lacks_folders(self) -> bool:
        """Whether a folder of blobs did not come: it is as it was in the commit that is remembered."""
        return any(map(_is_folder, self.found.entries or ()))

    @property
    def most_bytes(self) -> int:
        """The size of the largest file."""
        return max((size for _, size in self.found.files.values()), default=0)

    def lacks(self, names: set[str]) -> bool:
        """Whether the tree, a folder that one of these files may be in, or one that is in it did not come."""
        if self.found.entries is None or not (names & self.regular.keys()) <= self.found.files.keys():
            return True
        left = {entry.name for entry in self.found.entries if _is_folder(entry)}
        return any({name.partition("/")[0], name.rpartition("/")[0]} & left for name in names)


def _is_folder(entry: Entry) -> bool:
    """Whether a line is a folder of blobs that was not looked into."""
    return entry.mode == FOLDER and FEED_FOLDER.fullmatch(entry.name) is not None


def _count_outside(names: Iterable[str]) -> int:
    return sum(FEED_FOLDER.fullmatch(name.rpartition("/")[0]) is None for name in names)


def _regular(entries: Sequence[Entry]) -> dict[str, str]:
    """Ids of the feed files in a tree; of several with one name the first that is a regular file."""
    ids: dict[str, str] = {}
    for entry in entries:
        if entry.mode == REGULAR and FEED_FILE.fullmatch(entry.name):
            ids.setdefault(entry.name, entry.id)
    return ids


def _stays(entry: Entry, names: set[str]) -> bool:
    """Whether a line of the tree goes into the next one: files of the feed by name, and what belongs to others."""
    if FEED_FILE.fullmatch(entry.name):
        return entry.mode == REGULAR and entry.name in names
    folder, _, name = entry.name.rpartition("/")
    is_there = not folder or FEED_FOLDER.fullmatch(folder) is not None
    return is_there and entry.mode in _MODES and name.lower() not in _NO_NAMES
