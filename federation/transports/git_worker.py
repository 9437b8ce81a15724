"""The child that speaks git: one job in, lines of JSON out. `federation.transports.git` starts it and reads them.

    {"listing": {name: id}}                 what stands behind the prefix, told before anything is brought
    {"brought": {name: {commit, entries, files}}}
    {"sent": id}
    {"failure": [kind, message]}            instead of what was asked for

Knows no feed: which names are wanted, the job says. What it brings lies in the spool, a file that the parent opened.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from dulwich.errors import GitProtocolError, SendPackError
from dulwich.objects import Blob, Commit, ObjectID, ShaFile, Tree
from dulwich.pack import UnpackedObject, full_unpacked_object
from dulwich.refs import Ref

from federation.transports.git_job import Failure, Job, decode_job
from federation.transports.git_objects import Names, Pack, Spool, describe, trees_of
from federation.transports.git_wire import connect, explained
from federation.transports.worker import Limits, take_job

_WHOLE: Final = 1  # commits of history that are asked for where nothing is known: the newest
_AUTHOR: Final = b"eventsync <eventsync@localhost>"  # a commit says nothing of who made it: the signed head does
_MESSAGE: Final = b"feed\n"
_NO_SERVICE: Final = "access denied or repository not exported"  # of a git daemon, for a service too
_RACED: Final = ("lock", "failed to update ref", "fetch first", "incorrect old value")
_PEELED: Final = "^{}"

Tell = Callable[[Mapping[str, Any]], None]


def main() -> None:
    """The way in of the process."""
    job = decode_job(take_job(Limits()))
    answer(job, lambda told: _write(json.dumps(told, separators=(",", ":")).encode() + b"\n"))


def answer(job: Job, tell: Tell) -> None:
    """Do a job, and tell what came of it."""
    try:
        with explained():
            if job.task == "bring":
                _bring(job, tell)
            else:
                _send(job, tell)
    except Failure as error:
        tell({"failure": [error.kind, error.message]})


def _write(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


# --- bringing --------------------------------------------------------------------------------------------------------


def _bring(job: Job, tell: Tell) -> None:
    if job.address.scheme == "file":
        _bring_in_place(job, tell)
    else:
        _bring_over_wire(job, tell)


def _names(job: Job) -> Names:
    return Names(re.compile(job.folders).fullmatch, re.compile(job.files).fullmatch)


def _wanted(job: Job, listing: Mapping[str, str]) -> list[str]:
    """The names to bring: of those asked for, or of all that changed since it was kept."""
    pattern = re.compile(job.refs)
    names = job.only if job.only is not None else sorted(filter(pattern.fullmatch, listing))
    there = [name for name in names if listing.get(name)]
    if job.whole:
        return there
    return [name for name in there if job.kept.get(name) != listing[name]][: job.at_most]


def _bring_in_place(job: Job, tell: Tell) -> None:
    """Read the trees, and what they hold beyond those of the kept commits."""
    from federation.transports.git_repository import Difference, opened  # not needed for what is elsewhere

    spool, names = Spool(job.spool, job.caps), _names(job)
    with opened(job.address.path, job.caps) as repository:
        listing = repository.refs(job.prefix)
        tell({"listing": listing})
        brought = {}
        for name in _wanted(job, listing):
            held = frozenset() if job.whole else repository.ids_in(job.kept.get(name), names.is_entered)
            brought[name] = describe(listing[name], Difference(repository, held, spool), names)
    tell({"brought": brought})


def _bring_over_wire(job: Job, tell: Tell) -> None:
    """Two rounds at most: what is new since the kept commits, then the newest state of what is not known at all."""
    round_ = _Round(job, tell)
    spool = Spool(job.spool, job.caps)
    nothing_kept = job.kept.keys().isdisjoint(job.kept if job.only is None else job.only)
    if not (job.whole or nothing_kept):
        round_.fetch(spool, known=True)
    if job.whole or nothing_kept or round_.left:
        round_.fetch(spool, known=False)
    names = _names(job)
    tell({"brought": {name: describe(commit, spool, names) for name, commit in round_.chosen.items()}})


class _Round:
    """The choice of what to ask a server for, made when its refs are known."""

    def __init__(self, job: Job, tell: Tell) -> None:
        self._job, self._tell = job, tell
        self._listed = False
        self._known = True
        self.chosen: dict[str, str] = {}
        self.left: list[str] = []  # names for the round without kept commits

    def fetch(self, spool: Spool, *, known: bool) -> None:
        """List, choose and fetch over one connection; the pack is parsed and dropped."""
        self._known = known
        client, path = connect(self._job.address, self._job.caps.received_bytes)
        with contextlib.closing(Pack(Path(self._job.scratch), self._job.caps)) as pack:
            result = client.fetch_pack(
                path,
                self._choose,
                _Haves(self._kept()),
                pack.write,
                ref_prefix=[self._job.prefix.encode()],
                depth=None if known else _WHOLE,
            )
            _refuse_format(result.object_format)
            pack.unpack(spool)

    def _kept(self) -> Iterator[str]:
        """Asked for after the choice was made."""
        if self._known:
            yield from {self._job.kept[name]: None for name in self.chosen}

    def _choose(self, refs: Mapping[Ref, ObjectID], depth: int | None = None) -> list[ObjectID]:
        prefix = self._job.prefix.encode()
        listing = {
            name.removeprefix(prefix).decode("utf-8", "surrogateescape"): commit.decode("ascii", "replace")
            for name, commit in refs.items()
            if name.startswith(prefix)
        }
        listing = {name: commit for name, commit in listing.items() if not name.endswith(_PEELED)}
        if any(len(commit) != 40 for commit in listing.values()):
            _refuse_format("sha256")
        if not self._listed:
            self._tell({"listing": listing})
            self._listed = True
        wanted = _wanted(self._job, listing)
        if self._known:
            self.left = [name for name in wanted if name not in self._job.kept]
        names = [name for name in wanted if self._job.whole or (name in self._job.kept) == self._known]
        self.chosen.update({name: listing[name] for name in names})
        return [ObjectID(commit.encode()) for commit in sorted({listing[name] for name in names})]


class _Haves:
    """What the library asks for commits that we have: those we name, and no more."""

    def __init__(self, commits: Iterator[str]) -> None:
        self._left = commits

    def __next__(self) -> ObjectID | None:
        found = next(self._left, None)
        return None if found is None else ObjectID(found.encode())

    next = __next__

    def ack(self, sha: ObjectID) -> None:
        """The server has it too."""

    def nak(self) -> None:
        """The server has none of them."""


def _refuse_format(name: str | None) -> None:
    if name not in (None, "sha1"):
        raise Failure("format", f"holds {name} objects; only sha1 repositories are supported")


# --- sending ---------------------------------------------------------------------------------------------------------


def _send(job: Job, tell: Tell) -> None:
    there = {tree.id for tree in trees_of(job.there)}
    trees = trees_of(job.entries)
    commit = _commit(trees[-1], job.parent)
    new = _New(job, [*(tree for tree in trees if tree.id not in there), commit])
    if job.address.scheme == "file":
        _put_in_place(job, commit, new)
    else:
        _send_over_wire(job, commit, new)
    tell({"sent": commit.id.decode()})


class _New:
    """The objects of a commit that are not there yet, blobs first; one blob is in memory at a time."""

    def __init__(self, job: Job, last: Sequence[ShaFile]) -> None:
        self._job, self._last = job, last

    def __len__(self) -> int:
        return len(self._job.blobs) + len(self._last)

    def __iter__(self) -> Iterator[ShaFile]:
        for offset, size in self._job.blobs:
            yield Blob.from_string(os.pread(self._job.spool, size, offset))
        yield from self._last


def _put_in_place(job: Job, commit: Commit, objects: _New) -> None:
    from federation.transports.git_repository import opened  # not needed for what is elsewhere

    with opened(job.address.path, job.caps) as repository:
        repository.add(objects)
        if not repository.move(job.prefix + job.name, job.old, commit.id.decode()):
            raise Failure("raced", "changed while we looked at it")


def _commit(tree: Tree, parent: str | None) -> Commit:
    commit = Commit()
    commit.tree = tree.id
    commit.parents = [] if parent is None else [ObjectID(parent.encode())]
    commit.author = commit.committer = _AUTHOR
    commit.author_time = commit.commit_time = int(time.time())
    commit.author_timezone = commit.commit_timezone = 0
    commit.message = _MESSAGE
    return commit


def _send_over_wire(job: Job, commit: Commit, objects: _New) -> None:
    ref = Ref((job.prefix + job.name).encode())

    def update(there: dict[Ref, ObjectID]) -> dict[Ref, ObjectID]:
        found = there.get(ref)
        if (None if found is None else found.decode("ascii", "replace")) != job.old:
            raise Failure("raced", "changed while we looked at it")
        return {ref: commit.id}

    def pack(*_: object, **__: object) -> tuple[int, Iterator[UnpackedObject]]:
        return len(objects), map(full_unpacked_object, objects)

    client, path = connect(job.address, job.caps.received_bytes)
    try:
        result = client.send_pack(path, update, pack)
    except SendPackError as error:
        said = error.args[0].decode("utf-8", "replace") if error.args else ""
        raise Failure("unreachable", f"could not take what was sent: {said[:200]}") from error
    except GitProtocolError as error:
        if job.address.scheme == "git" and _NO_SERVICE in str(error):  # its refs were listed just now: it is shared
            raise Failure("read only", "the daemon takes no pushes") from error
        raise
    _read_status(job, ref, result.ref_status)


def _read_status(job: Job, ref: bytes, status: Mapping[bytes, str | None] | None) -> None:
    """A ref that was refused is no error to the library."""
    if status is None or ref not in status:
        raise Failure("unreachable", "does not say whether it took what was sent")
    said = status[ref]
    if said is None:
        return
    refused = "read only" if job.parent == job.old else "keeps"
    kind = "raced" if any(words in said for words in _RACED) else refused
    raise Failure(kind, f"refuses {ref.decode('utf-8', 'replace')}: {said[:200]}")


if __name__ == "__main__":
    main()
