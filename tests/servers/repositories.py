"""A bare repository as other people reach it, behind the transport's back: what they plant, and what stands there.

Written and read with the library's parts for objects and refs only; nothing of our own transport is used.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

from dulwich.objects import Blob, Commit, ObjectID, Tree
from dulwich.refs import Ref, check_ref_format
from dulwich.repo import Repo

PREFIX: Final = "refs/eventsync/"
_ENCODED: Final = "x-"  # before the hex of a name that no ref can have
FILE: Final = 0o100644
LINK: Final = 0o120000
FOLDER: Final = 0o040000


class Repository:
    """A bare repository that is a bus. Paths are `<origin>/<name>`; what has no folder stands as a ref to a blob."""

    def __init__(self, path: Path) -> None:
        self.path = path
        Repo.init_bare(path, mkdir=True).close()

    # --- what others do ---

    def plant(self, path: str, content: bytes) -> None:
        self._put(path, content, FILE)

    def plant_link(self, path: str, target: str) -> None:
        self._put(path, target.encode(), LINK)

    def plant_tree(
        self,
        origin: str,
        entries: Sequence[tuple[int, bytes, bytes]],
        *,
        folders: Mapping[bytes, ObjectID] = MappingProxyType({}),
        parent: bool = True,
    ) -> str:
        """A tree of any (mode, name, content), in any order and as often as it is said: one that nobody checked.

        `folders` are trees that are there already.
        """
        with Repo(self.path) as repo:
            raw = b""
            for mode, name, content in entries:
                blob = Blob.from_string(content)
                repo.object_store.add_object(blob)
                raw += b"%o %s\0" % (mode, name) + bytes.fromhex(blob.id.decode())
            for name, found in folders.items():
                raw += b"40000 %s\0" % name + bytes.fromhex(found.decode())
            tree = Tree.from_raw_string(Tree.type_num, raw)
            assert isinstance(tree, Tree)
            return self._commit(repo, _ref(origin), tree, parent=parent)

    def set_ref(self, origin: str, commit: str | None) -> None:
        """Move a ref where it was not before, or with None remove it: what a force-push does."""
        with Repo(self.path) as repo:
            if commit is None:
                del repo.refs[_ref(origin)]
            else:
                repo.refs[_ref(origin)] = ObjectID(commit.encode())

    def vanish(self) -> None:
        self.path.rename(self.path.with_name("elsewhere"))

    # --- what stands there ---

    def tip(self, origin: str) -> str | None:
        with Repo(self.path) as repo:
            found = repo.refs.as_dict(Ref(PREFIX.encode())).get(Ref(origin.encode()))
            return None if found is None else found.decode()

    def history(self, origin: str) -> list[str]:
        """The commits of an origin, newest first."""
        tip = self.tip(origin)
        found = []
        with Repo(self.path) as repo:
            while tip is not None:
                found.append(tip)
                commit = repo[ObjectID(tip.encode())]
                assert isinstance(commit, Commit)
                tip = commit.parents[0].decode() if commit.parents else None
        return found

    def content(self) -> dict[str, bytes]:
        with Repo(self.path) as repo:
            return {path: repo.object_store.get_raw(found)[1] for path, found in self._files(repo)}

    def stamps(self) -> dict[str, object]:
        with Repo(self.path) as repo:
            return dict(self._files(repo))

    def refs(self) -> dict[str, str]:
        with Repo(self.path) as repo:
            return {name.decode(): found.decode() for name, found in repo.refs.as_dict().items()}

    def size_bytes(self) -> int:
        """All of it on disk."""
        return sum(path.stat().st_size for path in self.path.rglob("*") if path.is_file())

    def files(self) -> int:
        return sum(path.is_file() for path in self.path.rglob("*"))

    # --- how ---

    def _put(self, path: str, content: bytes, mode: int) -> None:
        top, _, rest = path.partition("/")
        blob = Blob.from_string(content)
        with Repo(self.path) as repo:
            repo.object_store.add_object(blob)
            if not rest:
                repo.refs[_ref(top)] = blob.id
                return
            tree = self._tree(repo, _ref(top))
            self._add(repo, tree, rest, mode, blob.id)
            self._commit(repo, _ref(top), tree, parent=True)

    def _add(self, repo: Repo, tree: Tree, path: str, mode: int, found: ObjectID) -> None:
        name, _, rest = path.partition("/")
        if not rest:
            tree.add(os.fsencode(name), mode, found)
            return
        below = Tree()
        if os.fsencode(name) in tree:
            old = repo[tree[os.fsencode(name)][1]]
            assert isinstance(old, Tree)
            below = old
        self._add(repo, below, rest, mode, found)
        repo.object_store.add_object(below)
        tree.add(os.fsencode(name), FOLDER, below.id)

    def _tree(self, repo: Repo, ref: Ref) -> Tree:
        if ref not in repo.refs:
            return Tree()
        commit = repo[repo.refs[ref]]
        assert isinstance(commit, Commit)
        tree = repo[commit.tree]
        assert isinstance(tree, Tree)
        return tree

    def _commit(self, repo: Repo, ref: Ref, tree: Tree, *, parent: bool) -> str:
        commit = Commit()
        commit.tree = tree.id
        commit.parents = [repo.refs[ref]] if parent and ref in repo.refs else []
        commit.author = commit.committer = b"somebody <somebody@localhost>"
        commit.author_time = commit.commit_time = 1_700_000_000
        commit.author_timezone = commit.commit_timezone = 0
        commit.message = b"planted\n"
        repo.object_store.add_object(tree)
        repo.object_store.add_object(commit)
        repo.refs[ref] = commit.id
        return commit.id.decode()

    def _files(self, repo: Repo) -> Iterator[tuple[str, ObjectID]]:
        for ref, tip in repo.refs.as_dict(Ref(PREFIX.encode())).items():
            name = ref.decode()
            name = bytes.fromhex(name.removeprefix(_ENCODED)).decode() if name.startswith(_ENCODED) else name
            found = repo[tip]
            if isinstance(found, Commit):
                yield from ((f"{name}/{path}", blob) for path, blob in _files_below(repo, found.tree, ""))
            else:
                yield name, tip


def _files_below(repo: Repo, tree_id: ObjectID, before: str) -> Iterator[tuple[str, ObjectID]]:
    tree = repo[tree_id]
    assert isinstance(tree, Tree)
    for name, mode, found in tree.items():
        path = before + os.fsdecode(name)
        if mode == FOLDER:
            yield from _files_below(repo, found, path + "/")
        elif mode == FILE:
            yield path, found


def _ref(name: str) -> Ref:
    plain = Ref((PREFIX + name).encode())
    return plain if check_ref_format(plain) else Ref(f"{PREFIX}{_ENCODED}{name.encode().hex()}".encode())
