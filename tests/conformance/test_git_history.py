"""Git over time: what a transfer moves, what a ref may do behind our back, and that nothing accumulates here.

What is checked is counted (bytes, connections, objects, files), not timed.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from dulwich.objects import Blob, Commit, ObjectID, Tree
from dulwich.refs import Ref
from dulwich.repo import Repo

from federation.errors import RepositoryUnsupported, SourceUnavailable
from federation.model import HEAD_FILE
from federation.transports import Listing, Wanted
from federation.transports.git import GitTransport
from federation.transports.git_job import Job
from tests.conformance.test_git import GitPlace
from tests.conformance.test_transports import S1, S2, S3, A, B, own_feed
from tests.servers.git_servers import git_daemon, program
from tests.servers.listener import Counting, Listener
from tests.servers.repositories import FILE, PREFIX
from tests.servers.working import in_this_process

CAP = 1_000_000
HEAD = Wanted(HEAD_FILE, CAP)
MANY = 1_000


def slice_name(first: int) -> str:
    return f"seg-{first:08d}-{first:08d}-0123456789ab.jsonl.zst"


def random_bytes(size: int, seed: int) -> bytes:
    """Bytes that no compression makes smaller, the same in every run."""
    import random

    return random.Random(seed).randbytes(size)


class Bus(GitPlace):
    """A repository behind git daemon, with a counter on the way."""

    def __init__(self, folder: Path) -> None:
        self.counter = Counting(0)
        self.daemon = git_daemon(folder)
        self.counter = Counting(self.daemon.port)
        self.proxy = Listener(self.counter)
        super().__init__(folder / "bus.git", f"git://127.0.0.1:{self.proxy.port}/bus.git", folder / "memory")

    def moved(self) -> tuple[int, int]:
        """Bytes to us, and connections, since it was asked last."""
        found = (self.counter.down_bytes, self.proxy.accepted)
        self.counter.down_bytes = self.proxy.accepted = 0
        return found

    def stop(self) -> None:
        self.proxy.stop()
        self.daemon.stop()


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Bus]:
    found = Bus(tmp_path)
    yield found
    found.stop()


@pytest.fixture
def staging(tmp_path: Path) -> Path:
    folder = tmp_path / "staging"
    folder.mkdir()
    return folder


@pytest.fixture
def in_place(tmp_path: Path) -> GitPlace:
    return GitPlace(tmp_path / "bus.git", str(tmp_path / "bus.git"), tmp_path / "memory")


def pull(way: GitTransport, into: Path, *names: str) -> list[str]:
    """What the puller does with each origin: the head first, then slices, then what was brought is kept."""
    found: list[str] = []
    for origin in way.origins().origins:
        had = way.fetch(origin, [HEAD], into)
        had += way.fetch(origin, [Wanted(name, CAP) for name in names], into) if names else ()
        found += had
        way.kept(origin)
    return found


# --- what moves ------------------------------------------------------------------------------------------------------


def test_a_pull_of_nothing_new_is_one_short_list(bus: Bus, staging: Path) -> None:
    bus.plant(f"{A}/{HEAD_FILE}", b"head")
    bus.plant(f"{A}/{S1}", random_bytes(100_000, 1))
    assert pull(bus.transport(), staging, S1) == [HEAD_FILE, S1]
    bus.moved()
    assert pull(bus.transport(), staging) == [HEAD_FILE]
    down, connections = bus.moved()
    assert connections == 1
    assert down < 500


def test_refs_of_others_do_not_make_it_longer(bus: Bus, staging: Path) -> None:
    bus.plant(f"{A}/{HEAD_FILE}", b"head")
    tip = bus.tip(A)
    lines = "".join(f"{tip} refs/heads/topic-{number}\n{tip} refs/tags/v{number}\n" for number in range(MANY))
    (bus.path / "packed-refs").write_text(lines)
    pull(bus.transport(), staging)
    bus.moved()
    assert pull(bus.transport(), staging) == [HEAD_FILE]
    assert bus.moved()[0] < 500


def test_a_thousand_origins_are_listed_by_one_connection_and_brought_by_a_few(bus: Bus, staging: Path) -> None:
    names = "abcdefghijklmnopqrstuvwxyz234567"
    origins = [f"es1{names[n // 1024]}{names[n // 32 % 32]}{names[n % 32]}{'a' * 29}" for n in range(MANY)]
    bus.plant(f"{origins[0]}/{HEAD_FILE}", b"head")
    tip = bus.tip(origins[0])
    (bus.path / "packed-refs").write_text("".join(f"{tip} {PREFIX}{origin}\n" for origin in sorted(origins)))
    assert pull(bus.transport(), staging) == [HEAD_FILE] * MANY
    assert bus.moved()[1] == MANY // 50  # fifty by fifty, the first with the list
    assert pull(bus.transport(), staging) == [HEAD_FILE] * MANY
    down, connections = bus.moved()
    assert (connections, down < 100 * MANY) == (1, True)


def test_a_first_pull_brings_the_feed_and_not_its_history(bus: Bus, staging: Path) -> None:
    for number in range(50):
        bus.plant(f"{A}/{S1}", random_bytes(5_000, number))
        bus.plant(f"{A}/{HEAD_FILE}", b"head %d" % number)
    pull(bus.transport(), staging, S1)
    assert bus.moved()[0] < 8_000
    assert bus.counter.objects == [4]


def test_an_increment_brings_what_is_new_whatever_stood_there_before(bus: Bus, staging: Path) -> None:
    moved = []
    for number in range(1, 31):
        bus.plant_tree(
            A,
            [
                (FILE, b"head.json", b"head %d" % number),
                *((FILE, slice_name(n).encode(), random_bytes(3_000, n)) for n in range(1, number + 1)),
            ],
        )
        assert pull(bus.transport(), staging, slice_name(number)) == [HEAD_FILE, slice_name(number)]
        moved.append(bus.moved())
    assert {connections for _, connections in moved[1:]} == {1}
    assert bus.counter.objects == [4] * 30  # a slice, the head, a tree and a commit
    assert max(down for down, _ in moved) < 3_000 + 30 * 40 + 1_000  # the slice, a tree of thirty, the rest
    growth = moved[-1][0] - moved[1][0]
    assert growth < 30 * 40  # only the tree grows


def test_several_missed_publishes_are_brought_by_one_pack(bus: Bus, staging: Path) -> None:
    bus.plant(f"{A}/{HEAD_FILE}", b"head 0")
    pull(bus.transport(), staging)
    for number in range(1, 11):
        bus.plant(f"{A}/{slice_name(number)}", random_bytes(1_000, number))
    bus.plant(f"{A}/{HEAD_FILE}", b"head 1")
    bus.moved()
    names = [slice_name(number) for number in range(1, 11)]
    bus.counter.objects.clear()
    assert pull(bus.transport(), staging, *names) == [HEAD_FILE, *names]
    assert bus.moved()[1] == 1
    assert bus.counter.objects == [10 + 1 + 11 + 11]  # slices, one head, trees, commits: all that lies between


def test_a_push_sends_what_is_new_and_nothing_else(bus: Bus, tmp_path: Path) -> None:
    feed = own_feed(tmp_path / "feed", head=b"0")
    names: list[str] = []
    sent = []
    for number in range(1, 21):
        names.append(slice_name(number))
        (feed / names[-1]).write_bytes(random_bytes(3_000, number))
        (feed / HEAD_FILE).write_bytes(b"head %d" % number)
        bus.counter.up_bytes = 0
        bus.transport().publish(A, feed, [*names, HEAD_FILE], frozenset())
        sent.append(bus.counter.up_bytes)
    assert bus.counter.objects == [4] * 20
    assert max(sent) < 3_000 + 20 * 40 + 1_500
    assert len(bus.history(A)) == 20
    assert len(bus.content()) == 21


def test_a_push_reads_of_our_own_feed_only_what_is_new(bus: Bus, tmp_path: Path) -> None:
    feed = own_feed(tmp_path / "feed", head=b"1", s1=b"1")
    bus.transport().publish(A, feed, [S1, HEAD_FILE], frozenset())
    (feed / S1).unlink()  # nobody asks for it
    own_feed(feed, head=b"2", s2=b"2")
    bus.transport().publish(A, feed, [S1, S2, HEAD_FILE], frozenset())
    assert bus.content() == {f"{A}/{HEAD_FILE}": b"2", f"{A}/{S1}": b"1", f"{A}/{S2}": b"2"}


def test_our_own_head_there_is_known_without_a_transfer(bus: Bus, tmp_path: Path, staging: Path) -> None:
    feed = own_feed(tmp_path / "feed", head=b"1", s1=random_bytes(50_000, 1))
    bus.transport().publish(A, feed, [S1, HEAD_FILE], frozenset())
    bus.moved()
    assert bus.transport().fetch(A, [HEAD], staging) == (HEAD_FILE,)
    assert (staging / HEAD_FILE).read_bytes() == b"1"
    down, connections = bus.moved()
    assert (connections, down < 500) == (1, True)


def test_a_look_whether_our_feed_is_whole_there_is_one_list(bus: Bus, tmp_path: Path, staging: Path) -> None:
    feed, names = own_feed(tmp_path / "feed", head=b"1", s1=random_bytes(50_000, 1)), [S1, HEAD_FILE]
    bus.transport().publish(A, feed, names, frozenset())
    for forgotten in (False, True, False):
        if forgotten:
            shutil.rmtree(tmp_path / "memory")
        bus.moved()
        way = bus.transport()
        assert (way.fetch(A, [HEAD], staging), way.missing(A, feed, names)) == ((HEAD_FILE,), ())
        down, connections = bus.moved()
        assert (connections, down < (52_000 if forgotten else 500)) == (1, True)


def test_what_others_put_in_the_place_of_our_slice_is_missing(either: GitPlace, tmp_path: Path) -> None:
    """Of the same size, even: a tree tells what is in a file."""
    feed, names = own_feed(tmp_path / "feed", head=b"1", s1=b"1", s2=b"2"), [S1, S2, HEAD_FILE]
    either.transport().publish(A, feed, names, frozenset())
    either.plant(f"{A}/{S2}", b"x")
    way = either.transport()
    assert way.missing(A, feed, names) == (S2,)
    way.publish(A, feed, names, frozenset())
    assert either.transport().missing(A, feed, names) == ()
    assert either.content()[f"{A}/{S2}"] == b"2"


# --- what stays here -------------------------------------------------------------------------------------------------


def fetch_again_and_again(bus: Bus, staging: Path, rounds: int) -> None:
    bus.plant(f"{A}/{S1}", random_bytes(20_000, 0))
    commits = []
    for number in range(rounds):
        bus.plant(f"{A}/{HEAD_FILE}", b"head %06d" % number)
        commits.append(bus.tip(A))
    memory = bus.path.parent / "memory"
    moved, files = [], []
    for commit in commits:
        bus.set_ref(A, commit)
        assert pull(bus.transport(), staging, S1 if commit is commits[0] else HEAD_FILE)[0] == HEAD_FILE
        moved.append(bus.moved())
        files.append(sorted(path.stat().st_size for path in memory.rglob("*") if path.is_file()))
    assert len(set(map(str, files))) == 1, "the memory of a remote has one size, whatever was fetched"
    assert [connections for _, connections in moved[1:]] == [1] * (rounds - 1)
    assert max(down for down, _ in moved[1:]) < 1_000


def test_nothing_accumulates_over_many_fetches(bus: Bus, staging: Path) -> None:
    fetch_again_and_again(bus, staging, 30)


@pytest.mark.deep
def test_nothing_accumulates_over_six_hundred_fetches(bus: Bus, staging: Path) -> None:
    fetch_again_and_again(bus, staging, 600)


def test_what_is_remembered_can_be_deleted_or_torn_at_any_time(bus: Bus, staging: Path) -> None:
    bus.plant(f"{A}/{HEAD_FILE}", b"head")
    bus.plant(f"{A}/{S1}", b"1")
    memory = bus.path.parent / "memory"
    for content in (b"", b"{", b"[]", b'{"commit":1}', b'{"commit":"' + b"0" * 40 + b'","head_id":"x"}', b"\xff"):
        assert pull(bus.transport(), staging, S1) == [HEAD_FILE, S1]
        for path in [path for path in memory.rglob("*") if path.is_file()]:
            path.write_bytes(content)
        assert bus.transport().fetch(A, [HEAD, Wanted(S1, CAP)], staging) == (HEAD_FILE, S1)


def test_slices_that_are_asked_for_again_are_brought_whole(bus: Bus, staging: Path) -> None:
    """The mirror was lost, or parked, but not what is remembered of the remote."""
    bus.plant(f"{A}/{HEAD_FILE}", b"head")
    bus.plant(f"{A}/{S1}", b"1")
    pull(bus.transport(), staging, S1)
    (staging / S1).unlink()
    assert pull(bus.transport(), staging, S1) == [HEAD_FILE, S1]


def test_a_fetch_that_was_not_kept_is_made_again(bus: Bus, staging: Path) -> None:
    bus.plant(f"{A}/{HEAD_FILE}", b"head 1")
    pull(bus.transport(), staging)
    bus.plant(f"{A}/{HEAD_FILE}", b"head 2")
    bus.plant(f"{A}/{S1}", b"1")
    for _ in range(2):  # refused, or killed
        assert bus.transport().fetch(A, [HEAD, Wanted(S1, CAP)], staging) == (HEAD_FILE, S1)
    assert (staging / HEAD_FILE).read_bytes() == b"head 2"


# --- refs that move --------------------------------------------------------------------------------------------------


@pytest.fixture(params=["daemon", "in place"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[GitPlace]:
    if request.param == "in place":
        yield GitPlace(tmp_path / "bus.git", str(tmp_path / "bus.git"), tmp_path / "memory")
        return
    found = Bus(tmp_path)
    yield found
    found.stop()


def test_an_empty_repository_without_a_branch_is_an_empty_bus(either: GitPlace, tmp_path: Path, staging: Path) -> None:
    (either.path / "HEAD").write_text("ref: refs/heads/there-is-none\n")
    assert either.transport().origins() == Listing((), 0)
    assert either.transport().fetch(A, [HEAD], staging) == ()
    either.transport().publish(A, own_feed(tmp_path / "feed", head=b"1"), [HEAD_FILE], frozenset())
    assert either.transport().origins() == Listing((A,), 0)


def test_a_ref_that_was_deleted_is_published_again(either: GitPlace, tmp_path: Path, staging: Path) -> None:
    feed = own_feed(tmp_path / "feed", head=b"1", s1=b"1")
    either.transport().publish(A, feed, [S1, HEAD_FILE], frozenset())
    either.set_ref(A, None)
    way = either.transport()
    assert way.fetch(A, [HEAD], staging) == ()
    way.publish(A, feed, [S1, HEAD_FILE], frozenset())
    assert either.content() == {f"{A}/{HEAD_FILE}": b"1", f"{A}/{S1}": b"1"}
    assert len(either.history(A)) == 1


def test_a_deleted_ref_of_another_is_nothing_to_fetch_and_no_error(either: GitPlace, staging: Path) -> None:
    either.plant(f"{A}/{HEAD_FILE}", b"a")
    either.plant(f"{B}/{HEAD_FILE}", b"b")
    pull(either.transport(), staging)
    either.set_ref(A, None)
    assert either.transport().origins() == Listing((B,), 0)
    assert either.transport().fetch(A, [HEAD], staging) == ()


def test_the_same_feed_in_an_unrelated_history_is_the_same_feed(either: GitPlace, staging: Path) -> None:
    entries = [(FILE, HEAD_FILE.encode(), b"head"), (FILE, S1.encode(), random_bytes(50_000, 1))]
    either.plant_tree(A, entries)
    pull(either.transport(), staging, S1)
    either.plant_tree(A, [*entries, (FILE, b"z.txt", b"rewritten")], parent=False)
    assert len(either.history(A)) == 1
    (staging / HEAD_FILE).unlink()
    assert pull(either.transport(), staging) == [HEAD_FILE]
    assert (staging / HEAD_FILE).read_bytes() == b"head"
    if isinstance(either, Bus):
        either.moved()
    assert pull(either.transport(), staging) == [HEAD_FILE]
    if isinstance(either, Bus):
        assert either.moved()[0] < 500  # it came once more, and that was it


def test_a_ref_that_was_set_back_is_read_as_it_is(either: GitPlace, staging: Path) -> None:
    either.plant(f"{A}/{S1}", b"1")
    either.plant(f"{A}/{HEAD_FILE}", b"old")
    old = either.tip(A)
    either.plant(f"{A}/{S2}", b"2")
    either.plant(f"{A}/{HEAD_FILE}", b"new")
    pull(either.transport(), staging, S1, S2)
    either.set_ref(A, old)
    assert pull(either.transport(), staging, S1, S2) == [HEAD_FILE, S1]
    assert (staging / HEAD_FILE).read_bytes() == b"old"


def test_history_that_the_server_threw_away_is_brought_whole(bus: Bus, staging: Path) -> None:
    bus.plant(f"{A}/{HEAD_FILE}", b"head 1")
    bus.plant(f"{A}/{S1}", b"1")
    pull(bus.transport(), staging, S1)
    entries = [(FILE, HEAD_FILE.encode(), b"head 2"), (FILE, S1.encode(), b"1"), (FILE, S2.encode(), b"2")]
    bus.plant_tree(A, entries, parent=False)
    subprocess.run([program("git"), "-C", str(bus.path), "gc", "--quiet", "--prune=now"], check=True)
    assert pull(bus.transport(), staging, S1, S2) == [HEAD_FILE, S1, S2]
    assert (staging / HEAD_FILE).read_bytes() == b"head 2"


def test_our_feed_over_what_somebody_else_put_there_is_sent_as_far_as_it_differs(
    either: GitPlace, tmp_path: Path
) -> None:
    feed = own_feed(tmp_path / "feed", head=b"2", s1=b"1", s2=b"2")
    either.transport().publish(A, feed, [S1, HEAD_FILE], frozenset())
    either.plant(f"{A}/{S1}", b"something else")
    either.plant(f"{A}/notes.txt", b"mine")
    either.transport().publish(A, feed, [S1, S2, HEAD_FILE], frozenset())
    assert either.content() == {
        f"{A}/{HEAD_FILE}": b"2",
        f"{A}/{S1}": b"1",
        f"{A}/{S2}": b"2",
        f"{A}/notes.txt": b"mine",
    }


# --- what was taken back ---


def objects_behind(place: GitPlace, origin: str) -> set[str]:
    """All that a ref leads to."""
    argv = [program("git"), "-C", str(place.path), "rev-list", "--objects", f"{PREFIX}{origin}"]
    ran = subprocess.run(argv, capture_output=True, text=True, check=True)
    return {line.split()[0] for line in ran.stdout.splitlines()}


def test_nothing_leads_to_what_was_taken_back_and_git_removes_it(either: GitPlace, tmp_path: Path) -> None:
    """[F9]"""
    feed = own_feed(tmp_path / "feed", head=b"1", s1=b"the secret", s2=b"2")
    either.transport().publish(A, feed, [S1, S2, HEAD_FILE], frozenset())
    either.plant(f"{B}/{HEAD_FILE}", b"b")
    secret = str(either.stamps()[f"{A}/{S1}"], "ascii")  # type: ignore[call-overload]
    assert secret in objects_behind(either, A)
    own_feed(feed, head=b"2", s3=b"3")
    assert either.transport().publish_anew(A, feed, [S2, S3, HEAD_FILE], frozenset()) is True
    assert secret not in objects_behind(either, A)
    assert len(either.history(A)) == 1
    subprocess.run([program("git"), "-C", str(either.path), "gc", "--quiet", "--prune=now"], check=True)
    with Repo(either.path) as repo:
        assert ObjectID(secret.encode()) not in repo.object_store
    own_feed(feed, head=b"3")
    either.transport().publish(A, feed, [S2, S3, HEAD_FILE], frozenset())
    assert len(either.history(A)) == 2
    assert either.content()[f"{B}/{HEAD_FILE}"] == b"b"


def test_a_new_beginning_costs_who_pulls_the_feed_once_more(bus: Bus, tmp_path: Path, staging: Path) -> None:
    feed = own_feed(tmp_path / "feed", head=b"1", s1=random_bytes(50_000, 1), s2=b"2")
    bus.transport().publish(A, feed, [S1, S2, HEAD_FILE], frozenset())
    reader = GitPlace(tmp_path / "unused.git", f"git://127.0.0.1:{bus.proxy.port}/bus.git", tmp_path / "reader")
    assert pull(reader.transport(), staging, S1, S2) == [HEAD_FILE, S1, S2]
    own_feed(feed, head=b"2", s3=b"3")
    bus.transport().publish_anew(A, feed, [S1, S3, HEAD_FILE], frozenset())
    moved = []
    for new in ([S3], []):
        bus.moved()
        assert pull(reader.transport(), staging, *new) == [HEAD_FILE, *new]
        moved.append(bus.moved()[0])
    assert moved[0] < 52_000 and moved[1] < 500


@pytest.mark.parametrize("how", ["a setting for branches", "a hook"])
def test_a_server_that_insists_on_its_history_gets_the_feed_all_the_same(tmp_path: Path, how: str) -> None:
    prefix = "refs/heads/eventsync/" if how == "a setting for branches" else PREFIX
    with git_daemon(tmp_path) as daemon:
        url = f"git://127.0.0.1:{daemon.port}/bus.git"
        place = GitPlace(tmp_path / "bus.git", url, tmp_path / "memory", ref_prefix=prefix)
        if how == "a hook":
            hook = place.path / "hooks" / "update"
            hook.parent.mkdir(exist_ok=True)
            hook.write_text('#!/bin/sh\n[ "$2" = 0000000000000000000000000000000000000000 ] ||')
            hook.write_text(f'{hook.read_text()} git merge-base --is-ancestor "$2" "$3"\n')
            hook.chmod(0o755)
        else:
            with (place.path / "config").open("a") as config:
                config.write("[receive]\n\tdenyNonFastForwards = true\n")
        feed = own_feed(tmp_path / "feed", head=b"1", s1=b"the secret")
        assert place.transport().publish_anew(A, feed, [S1, HEAD_FILE], frozenset()) is True  # there was none
        first = place.refs()[prefix + A]
        own_feed(feed, head=b"2", s2=b"2")
        assert place.transport().publish_anew(A, feed, [S2, HEAD_FILE], frozenset()) is False
        assert place.transport().missing(A, feed, [S2, HEAD_FILE]) == ()
        with Repo(place.path) as repo:
            commit = repo[ObjectID(place.refs()[prefix + A].encode())]
            assert isinstance(commit, Commit) and commit.parents == [first.encode()]


# --- two at once -----------------------------------------------------------------------------------------------------


def test_of_two_who_publish_at_once_one_wins_and_the_other_reports(either: GitPlace, tmp_path: Path) -> None:
    mine = own_feed(tmp_path / "mine", head=b"mine", s1=b"1")
    theirs = own_feed(tmp_path / "theirs", head=b"theirs", s2=b"2")
    one, other = either.transport(), either.transport()
    for way in (one, other):
        assert way.fetch(A, [HEAD], tmp_path) == ()  # both look, then both publish
    other.publish(A, theirs, [S2, HEAD_FILE], frozenset())
    with pytest.raises(SourceUnavailable, match=r"nothing was overwritten"):
        one.publish(A, mine, [S1, HEAD_FILE], frozenset())
    assert either.content() == {f"{A}/{HEAD_FILE}": b"theirs", f"{A}/{S2}": b"2"}


@pytest.mark.parametrize("before", [False, True])
def test_a_ref_that_moves_between_the_look_and_the_send_stays(either: GitPlace, tmp_path: Path, before: bool) -> None:
    """Narrower than two publishers can be told to be: the ref moves when the worker is about to send."""
    feed = own_feed(tmp_path / "feed", head=b"mine")
    if before:
        either.transport().publish(A, feed, [HEAD_FILE], frozenset())

    def overtaken(job: Job, deadline_seconds: float) -> object:
        if job.task == "send":
            either.plant(f"{A}/{HEAD_FILE}", b"theirs")
        return in_this_process(job, deadline_seconds)

    with pytest.raises(SourceUnavailable, match=r"nothing was overwritten"):
        either.way(overtaken).publish(A, feed, [HEAD_FILE], frozenset())  # type: ignore[arg-type]
    assert either.content() == {f"{A}/{HEAD_FILE}": b"theirs"}


def test_a_ref_that_moves_while_the_server_takes_the_push_stays(bus: Bus, tmp_path: Path) -> None:
    """The server compares, too: its hook runs between what it told us and what it does."""
    feed = own_feed(tmp_path / "feed", head=b"mine")
    bus.plant(f"{B}/{HEAD_FILE}", b"theirs")
    hook = bus.path / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\nunset GIT_QUARANTINE_PATH\ngit update-ref {PREFIX}{A} {bus.tip(B)}\n")
    hook.chmod(0o755)
    with pytest.raises(SourceUnavailable, match=r"nothing was overwritten"):
        bus.transport().publish(A, feed, [HEAD_FILE], frozenset())
    assert bus.tip(A) == bus.tip(B)


def test_a_stale_lock_on_the_ref_is_reported_and_left(in_place: GitPlace, tmp_path: Path) -> None:
    lock = in_place.path / f"{PREFIX}{A}.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    with pytest.raises(SourceUnavailable, match="lock"):
        in_place.transport().publish(A, own_feed(tmp_path / "feed", head=b"1"), [HEAD_FILE], frozenset())
    assert lock.exists() and in_place.tip(A) is None


# --- beside a project ------------------------------------------------------------------------------------------------


def test_a_clone_and_a_pull_of_a_project_stay_free_of_our_refs(bus: Bus, tmp_path: Path) -> None:
    with Repo(bus.path) as repo:
        blob = Blob.from_string(b"print('hello')\n")
        tree = Tree()
        tree.add(b"main.py", 0o100644, blob.id)
        commit = Commit()
        commit.tree, commit.message = tree.id, b"project\n"
        commit.author = commit.committer = b"somebody <somebody@localhost>"
        commit.author_time = commit.commit_time = 1_700_000_000
        commit.author_timezone = commit.commit_timezone = 0
        for found in (blob, tree, commit):
            repo.object_store.add_object(found)
        repo.refs[Ref(b"refs/heads/main")] = commit.id
        repo.refs.set_symbolic_ref(Ref(b"HEAD"), Ref(b"refs/heads/main"))
    bus.transport().publish(A, own_feed(tmp_path / "feed", head=b"1", s1=b"1"), [S1, HEAD_FILE], frozenset())
    feed_blob = bus.stamps()[f"{A}/{S1}"]
    assert isinstance(feed_blob, bytes)

    def git(*args: str) -> str:
        ran = subprocess.run([program("git"), *args], capture_output=True, text=True, check=True)
        return ran.stdout

    url, clone = f"git://127.0.0.1:{bus.daemon.port}/bus.git", str(tmp_path / "clone")
    git("clone", "--quiet", url, clone)
    bus.transport().publish(A, own_feed(tmp_path / "feed", head=b"2", s2=b"2"), [S1, S2, HEAD_FILE], frozenset())
    git("-C", clone, "pull", "--quiet")
    git("-C", clone, "fetch", "--quiet", "--tags", "--prune")
    assert "eventsync" not in git("-C", clone, "for-each-ref")
    assert "eventsync" not in git("-C", clone, "branch", "--all")
    objects = git("-C", clone, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)").split()
    assert sorted(objects) == sorted(found.id.decode() for found in (blob, tree, commit))
    assert feed_blob.decode() not in objects


def test_another_prefix_for_forges_that_take_only_branches(tmp_path: Path, staging: Path) -> None:
    place = GitPlace(
        tmp_path / "bus.git", str(tmp_path / "bus.git"), tmp_path / "memory", ref_prefix="refs/heads/eventsync/"
    )
    place.plant(f"{B}/{HEAD_FILE}", b"of the usual prefix")
    place.transport().publish(A, own_feed(tmp_path / "feed", head=b"1"), [HEAD_FILE], frozenset())
    assert f"refs/heads/eventsync/{A}" in place.refs()
    assert place.transport().origins() == Listing((A,), 0)
    assert place.transport().fetch(A, [HEAD], staging) == (HEAD_FILE,)


# --- other kinds of repositories -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["daemon", "in place"])
def test_a_repository_of_sha256_is_refused_with_the_reason(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "other.git"
    argv = [program("git"), "init", "--quiet", "--bare", "--object-format=sha256", str(path)]
    subprocess.run(argv, check=True)
    with git_daemon(tmp_path) as daemon:
        url = str(path) if kind == "in place" else f"git://127.0.0.1:{daemon.port}/other.git"
        place = GitPlace(tmp_path / "unused.git", url, tmp_path / "memory")
        feed = own_feed(tmp_path / "feed", head=b"1")
        with pytest.raises(RepositoryUnsupported, match="sha256"):
            place.transport().origins()
        with pytest.raises(RepositoryUnsupported, match="sha256"):
            place.transport().publish(A, feed, [HEAD_FILE], frozenset())


def test_what_is_no_repository_is_unavailable_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "folder.git").mkdir()
    (tmp_path / "file.git").touch()
    for name, said in (("folder.git", "no git repository"), ("file.git", "."), ("missing.git", "is not there")):
        place = GitPlace(tmp_path / f"unused-{name}", str(tmp_path / name), tmp_path / "memory")
        with pytest.raises(SourceUnavailable, match=said):
            place.transport().origins()


def test_a_packed_and_collected_repository_is_read_in_place(in_place: GitPlace, tmp_path: Path, staging: Path) -> None:
    feed = own_feed(tmp_path / "feed", head=b"1", s1=random_bytes(5_000, 1))
    for number in range(5):
        (feed / HEAD_FILE).write_bytes(b"a head that deltas well " * 50 + b"%d" % number)
        in_place.transport().publish(A, feed, [S1, HEAD_FILE], frozenset())
    subprocess.run([program("git"), "-C", str(in_place.path), "gc", "--quiet"], check=True)
    assert not list(in_place.path.glob(f"refs/eventsync/{A}")), "the ref is packed"
    assert pull(in_place.transport(), staging, S1) == [HEAD_FILE, S1]
    (feed / HEAD_FILE).write_bytes(b"after")
    own_feed(feed, s3=b"3")
    in_place.transport().publish(A, feed, [S1, S3, HEAD_FILE], frozenset())
    assert in_place.content()[f"{A}/{HEAD_FILE}"] == b"after"
    ran = subprocess.run([program("git"), "-C", str(in_place.path), "fsck", "--strict"], capture_output=True)
    assert ran.returncode == 0, ran.stderr
    assert isinstance(in_place.tip(A), str) and ObjectID(in_place.tip(A).encode())  # type: ignore[union-attr]
