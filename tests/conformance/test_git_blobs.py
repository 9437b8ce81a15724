"""Blobs in a git tree: folders as in a feed, of which a transfer moves only what changed.

What is checked is counted (bytes, transfers), not timed.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from dulwich.objects import Commit, ObjectID, Tree
from dulwich.repo import Repo

from federation.errors import SourceUnavailable
from federation.model import FEED_FOLDER, HEAD_FILE
from federation.transports import Listing, Wanted
from federation.transports.child import Ended
from federation.transports.git import GitTransport
from federation.transports.git_job import Address, Caps, Job, decode_job, encode_job
from federation.transports.git_objects import trees_of
from journal import Disk
from tests.conformance.test_git import GitPlace
from tests.conformance.test_git_history import CAP, HEAD, Bus, bus, in_place, random_bytes, staging
from tests.conformance.test_transports import BESIDE, BLOB, OTHER, S1, S2, A, files_in, own_feed
from tests.servers.repositories import FILE, FOLDER
from tests.servers.working import in_this_process

__all__ = ["bus", "either", "in_place", "staging"]
MANY = 500


def blob_name(number: int) -> str:
    digest = f"{number * 37 % 256:02x}{number:062x}"
    return f"blobs/{digest[:2]}/{digest}.zst"


@pytest.fixture(params=["bus", "in_place"])
def either(request: pytest.FixtureRequest) -> GitPlace:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, GitPlace)
    return found


class Jobs:
    """A worker that remembers what it was asked for."""

    def __init__(self) -> None:
        self.done: list[Job] = []

    def __call__(self, job: Job, deadline_seconds: float) -> Ended:
        self.done.append(job)
        return in_this_process(job, deadline_seconds)


def pull(place: GitPlace, into: Path, *names: str, work: Jobs | None = None) -> list[str]:
    """What another store does: the head, the rest file by file as it learns of them, then what was brought is kept."""
    way = GitTransport(place.url, place.settings, Disk(), into.parent / "another memory", work=work or in_this_process)
    assert way.origins().origins == (A,)
    had = list(way.fetch(A, [HEAD], into))
    for name in names:
        had += way.fetch(A, [Wanted(name, CAP)], into)
    way.kept(A)
    return had


def test_a_new_blob_comes_with_the_transfer_of_what_is_new(either: GitPlace, staging: Path, tmp_path: Path) -> None:
    feed = own_feed(tmp_path / "feed", head=b"1", s1=b"1", blob=random_bytes(50_000, 1), other=b"another")
    either.transport().publish(A, feed, [BLOB, OTHER, S1, HEAD_FILE], frozenset())
    assert pull(either, staging, S1, BLOB, OTHER) == [HEAD_FILE, S1, BLOB, OTHER]
    own_feed(feed, head=b"2", s2=b"2", beside=b"in a folder that was there")
    either.transport().publish(A, feed, [BLOB, BESIDE, OTHER, S1, S2, HEAD_FILE], frozenset())
    work = Jobs()
    assert pull(either, staging, S2, BESIDE, work=work) == [HEAD_FILE, S2, BESIDE]
    assert files_in(staging) == files_in(feed)
    assert [job.whole for job in work.done] == [False]


def test_a_blob_that_is_not_new_is_brought_when_it_is_asked_for(
    either: GitPlace, staging: Path, tmp_path: Path
) -> None:
    feed = own_feed(tmp_path / "feed", head=b"1", blob=b"blob", beside=b"beside", other=b"other")
    either.transport().publish(A, feed, [BLOB, BESIDE, OTHER, HEAD_FILE], frozenset())
    pull(either, staging)
    assert pull(either, staging, BLOB) == [HEAD_FILE, BLOB]  # nothing changed there, and we lost it
    own_feed(feed, head=b"2")
    either.transport().publish(A, feed, [BLOB, BESIDE, OTHER, HEAD_FILE], frozenset())
    assert pull(either, staging, OTHER, BESIDE) == [HEAD_FILE, OTHER, BESIDE]  # its folder did not change
    assert files_in(staging) == files_in(feed)


def test_a_blob_that_no_tree_has_is_not_looked_for_in_all_of_it(
    either: GitPlace, staging: Path, tmp_path: Path
) -> None:
    feed = own_feed(tmp_path / "feed", head=b"1", s1=b"1")
    either.transport().publish(A, feed, [S1, HEAD_FILE], frozenset())
    work = Jobs()
    assert pull(either, staging, BLOB, work=work) == [HEAD_FILE]
    assert [job.whole for job in work.done] == [False]


def test_a_push_and_a_pull_of_one_record_move_nothing_of_many_blobs(bus: Bus, staging: Path, tmp_path: Path) -> None:
    names = [blob_name(number) for number in range(MANY)]
    feed = own_feed(tmp_path / "feed", head=b"1", s1=b"1")
    for name in names:
        (feed / name).parent.mkdir(parents=True, exist_ok=True)
        (feed / name).write_bytes(name.encode())
    bus.transport().publish(A, feed, [*names, S1, HEAD_FILE], frozenset())
    pull(bus, staging, S1)
    bus.moved()
    own_feed(feed, head=b"2", s2=b"2")
    work = Jobs()
    bus.way(work).publish(A, feed, [*names, S1, S2, HEAD_FILE], frozenset())
    sent = [job for job in work.done if job.task == "send"]
    assert [len(job.blobs) for job in sent] == [2]
    there, trees = ({tree.id for tree in trees_of(entries)} for entries in (sent[0].there, sent[0].entries))
    assert len(trees - there) == 1  # the tree above all, of some 250
    bus.moved()
    assert pull(bus, staging, S2) == [HEAD_FILE, S2]
    assert bus.moved()[0] < 2_000


def test_what_others_put_beside_blobs_stays_when_it_has_a_name(in_place: GitPlace, tmp_path: Path) -> None:
    in_place.plant(f"{A}/blobs/README", b"ours")
    in_place.plant(f"{A}/blobs/zz/deep/file", b"ours too")
    in_place.plant(f"{A}/{OTHER}", b"listed no more")
    feed = own_feed(tmp_path / "feed", head=b"1", blob=b"blob")
    in_place.transport().publish(A, feed, [BLOB, HEAD_FILE], frozenset())
    expected = {HEAD_FILE: b"1", BLOB: b"blob", "blobs/README": b"ours", "blobs/zz/deep/file": b"ours too"}
    assert in_place.content() == {f"{A}/{name}": data for name, data in expected.items()}


def test_the_memory_of_what_was_published_can_be_lost(either: GitPlace, tmp_path: Path) -> None:
    feed = own_feed(tmp_path / "feed", head=b"1", blob=b"blob", other=b"other")
    either.transport().publish(A, feed, [BLOB, OTHER, HEAD_FILE], frozenset())
    for path in (tmp_path / "memory").rglob("*.tree"):
        path.unlink()
    own_feed(feed, head=b"2", beside=b"beside")
    either.transport().publish(A, feed, [BLOB, BESIDE, OTHER, HEAD_FILE], frozenset())
    assert either.content() == {f"{A}/{name}": data for name, data in files_in(feed).items()}


def test_a_tree_as_git_writes_it_leads_to_the_same_folders(in_place: GitPlace, tmp_path: Path) -> None:
    feed = own_feed(tmp_path / "feed", head=b"1", s1=b"1", blob=b"blob", beside=b"beside", other=b"other")
    in_place.transport().publish(A, feed, [BLOB, BESIDE, OTHER, S1, HEAD_FILE], frozenset())
    with Repo(in_place.path) as repo:
        commit = repo[ObjectID((in_place.tip(A) or "").encode())]
        assert isinstance(commit, Commit)
        tree = repo[commit.tree]
        assert isinstance(tree, Tree)
        assert [(name, mode) for name, mode, _ in tree.items()] == [
            (b"blobs", FOLDER),
            (HEAD_FILE.encode(), FILE),
            (S1.encode(), FILE),
        ]


# --- hostile trees ---------------------------------------------------------------------------------------------------


def test_a_slash_in_a_name_is_no_folder(in_place: GitPlace, staging: Path, tmp_path: Path) -> None:
    in_place.plant_tree(
        A, [(FILE, HEAD_FILE.encode(), b"head"), (FILE, BLOB.encode(), b"not in a folder"), (FILE, b"/" * 9_000, b"")]
    )
    way = in_place.transport()
    assert way.origins() == Listing((A,), 2)
    assert way.fetch(A, [HEAD, Wanted(BLOB, CAP)], staging) == (HEAD_FILE,)
    feed = own_feed(tmp_path / "feed", head=b"1", other=b"other")
    in_place.transport().publish(A, feed, [OTHER, HEAD_FILE], frozenset())
    assert in_place.content() == {f"{A}/{name}": data for name, data in files_in(feed).items()}


def test_folders_that_lead_to_the_same_lines_again_and_again_are_refused(in_place: GitPlace, staging: Path) -> None:
    """A few objects must not become more lines than the memory of this machine holds."""
    with Repo(in_place.path) as repo:
        inside = Tree.from_raw_string(Tree.type_num, (b"100644 x\0" + b"\1" * 20) * 2_000)
        folders = b"".join(b"40000 %02x\0" % n + bytes.fromhex(inside.id.decode()) for n in range(256))
        for tree in (inside, Tree.from_raw_string(Tree.type_num, folders)):
            repo.object_store.add_object(tree)
    in_place.plant_tree(A, [(FILE, HEAD_FILE.encode(), b"head")], folders={b"blobs": tree.id})
    with pytest.raises(SourceUnavailable, match="more than 200000 files"):
        in_place.transport().fetch(A, [HEAD], staging)


def test_a_job_tells_its_worker_which_folders_are_looked_into() -> None:
    address = Address("file", "", None, None, None, "/x")
    job = Job("bring", address, "refs/x/", Caps(1, 1, 1, 1), 3, "/tmp", folders=FEED_FOLDER.pattern)
    job = decode_job(encode_job(job))
    entered = re.compile(job.folders).fullmatch
    names = ["blobs", "blobs/ab", "blobs/00"]
    assert all(map(entered, names))
    assert not any(map(entered, ["", "blob", "blobs/", "blobs/abc", "blobs/AB", "blobs/ab/cd", "/blobs", "x"]))
