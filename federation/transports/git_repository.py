"""A git repository on this machine, read and written in place.

Runs in a worker. Nothing in it is run, no hook and no filter, and no config of the user's is read. Objects are durable
before the ref that leads to them [F4]; the ref moves only from what it was seen to be.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from dulwich.errors import NotGitRepository
from dulwich.file import FileLocked
from dulwich.objects import ObjectID, ShaFile
from dulwich.refs import Ref
from dulwich.repo import Repo, UnsupportedExtension, UnsupportedVersion

from federation.transports.git_job import Caps, Entry, Failure
from federation.transports.git_objects import BLOB, COMMIT, Place, Spool, tree_of, walk_tree

_SYMBOLIC: Final = b"ref:"
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class Repository:
    """One repository, open."""

    def __init__(self, repo: Repo, caps: Caps) -> None:
        self._repo, self._caps = repo, caps
        self._objects = repo.object_store
        self._objects.fsync_object_files = True
        self._objects.loose_object_size_limit = caps.object_bytes

    def refs(self, prefix: str) -> Mapping[str, str]:
        """Refs behind a prefix; an empty id stands for one that is no plain ref to an object."""
        base = Ref(prefix.encode())
        found = {}
        for name in self._repo.refs.subkeys(base):
            value = self._repo.refs.read_ref(Ref(base + name))
            if value is None:
                raise Failure("unreachable", f"the ref {name.decode('utf-8', 'replace')!r} cannot be read")
            is_id = len(value) == 40 and not value.startswith(_SYMBOLIC)
            found[name.decode("utf-8", "surrogateescape")] = value.decode("ascii", "replace") if is_id else ""
        return found

    def kind(self, object_id: str) -> int | None:
        """What kind of object that is."""
        found = self._get(object_id)
        return None if found is None else found[0]

    def read(self, object_id: str, kind: int) -> bytes | None:
        """The bytes of an object of that kind."""
        found = self._get(object_id)
        return None if found is None or found[0] != kind else found[1]

    def _get(self, object_id: str) -> tuple[int, bytes] | None:
        try:
            kind, data = self._objects.get_raw(ObjectID(object_id.encode()))
        except KeyError:
            return None
        if len(data) > self._caps.object_bytes:
            raise Failure("damaged", f"an object of {len(data)} bytes")
        return kind, data

    def ids_in(self, commit_id: str | None, is_entered: Callable[[str], object]) -> frozenset[str]:
        """The ids that the tree of a commit names; none where commit or tree is not there any more."""
        commit = None if commit_id is None else self.read(commit_id, COMMIT)
        tree_id = None if commit is None else tree_of(commit)
        entries = None if tree_id is None else walk_tree(tree_id, self, is_entered)
        return frozenset(entry.id for entry in entries or ())

    def place(self, entry: Entry) -> Place | None:
        """Nothing lies in a spool."""
        return None

    def add(self, objects: Iterable[ShaFile]) -> None:
        """Write objects that are not there yet, durable when it returns."""
        folders = set()
        for found in objects:
            self._objects.add_object(found)
            folders.add(os.path.join(self._objects.path, found.id[:2].decode()))
        for folder in [*sorted(folders), os.fspath(self._objects.path)]:
            _sync(folder)

    def move(self, name: str, old: str | None, new: str) -> bool:
        """Make a ref point to a commit if it still is as it was seen, None for not there; whether it was."""
        ref, refs = Ref(name.encode()), self._repo.refs
        try:
            if old is None:
                moved = refs.add_if_new(ref, ObjectID(new.encode()))
            else:
                moved = refs.set_if_equals(ref, ObjectID(old.encode()), ObjectID(new.encode()))
        except FileLocked as error:
            raise Failure("raced", "another process holds the ref's lock") from error
        folder = os.path.dirname(os.path.join(os.fspath(self._repo.commondir()), name))
        if moved and os.path.isdir(folder):
            _sync(folder)
        return moved


class Difference:
    """What a commit in place holds beyond another one, whose ids are `held`: a source whose blobs go into a spool."""

    def __init__(self, repository: Repository, held: frozenset[str], spool: Spool) -> None:
        self._held, self._spool = held, spool
        self.kind, self.read = repository.kind, repository.read

    def place(self, entry: Entry) -> Place | None:
        """Bring a blob into the spool, unless it is held."""
        data = None if entry.id in self._held else self.read(entry.id, BLOB)
        if data is None:
            return None
        self._spool.add(entry.id, BLOB, data)
        return self._spool.place(entry)


@contextlib.contextmanager
def opened(path: str, caps: Caps) -> Iterator[Repository]:
    """The repository at a path, bare or the one of a work tree."""
    try:
        repo = Repo(path)
    except NotGitRepository as error:
        raise Failure("unreachable", "is no git repository" if os.path.isdir(path) else "is not there") from error
    except (UnsupportedVersion, UnsupportedExtension) as error:
        raise Failure("format", f"is in a format this program does not know: {error}") from error
    with repo:
        if repo.object_format.name != "sha1":
            raise Failure("format", f"holds {repo.object_format.name} objects; only sha1 repositories are supported")
        yield Repository(repo, caps)


def _sync(folder: str) -> None:
    descriptor = os.open(folder, _FOLDER)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
