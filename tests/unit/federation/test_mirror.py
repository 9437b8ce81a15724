"""Verified foreign feeds on disk: durable in order, whole after any kill, frozen by evidence, braked for a person."""

from __future__ import annotations

from pathlib import Path

import pytest

from federation.errors import DamagedFeed
from federation.mirror import Brake, Mirror
from federation.model import HEAD_FILE
from journal import Disk
from tests.doubles.disks import CountingDisk, Died, FaultyDisk, QuickDisk
from tests.integration.forger import Forged, Forger
from tests.integration.world import tree


def mirror_at(folder: Path, disk: Disk | None = None) -> Mirror:
    return Mirror(disk or QuickDisk(), folder / "federation")


def staged(folder: Path, found: Forged, names: list[str] | None = None) -> list[Path]:
    """The slices of a feed, in a staging folder."""
    staging = folder / "staging"
    staging.mkdir(exist_ok=True)
    paths = []
    for name in found.slices if names is None else names:
        (staging / name).write_bytes(found.files[name])
        paths.append(staging / name)
    return paths


def take(mirror: Mirror, folder: Path, found: Forged, names: list[str] | None = None) -> None:
    mirror.take(found.origin, staged(folder, found, names), found.files[HEAD_FILE])


def feed_of(count: int, *, gen: int = 1, forger: Forger | None = None) -> Forged:
    forger = forger or Forger()
    while len(forger.lines) < count:
        forger.record(f"p{len(forger.lines) + 1}")
    return forger.feed(gen=gen, cuts=range(1, count))


def lines(mirror: Mirror, origin: str) -> list[bytes]:
    return [line.data for line in mirror.feed(origin).lines(0)]


# --- taking ----------------------------------------------------------------------------------------------------------


def test_a_store_without_mirrors_has_no_origins(tmp_path: Path) -> None:
    mirror = mirror_at(tmp_path)
    assert mirror.origins() == []
    assert mirror.feed(Forger().origin).head() is None
    assert mirror.feed(Forger().origin).pin() is None
    assert list(mirror.feed(Forger().origin).lines(0)) == []
    assert not (tmp_path / "federation").exists()


def test_what_is_taken_stands_verbatim_and_is_the_pin(tmp_path: Path) -> None:
    """[T1] [F5]"""
    mirror, forger = mirror_at(tmp_path), Forger()
    found = feed_of(3, gen=5, forger=forger)
    take(mirror, tmp_path, found)
    assert tree(mirror.path(found.origin)) == dict(found.files)
    assert mirror.origins() == [found.origin]
    assert mirror.feed(found.origin).pin() == (5, 3, forger.state.c.hex(), forger.state.t.hex())
    assert lines(mirror, found.origin) == [line.data for line in forger.lines]
    assert not list((tmp_path / "staging").iterdir())


def test_slices_are_durable_before_the_head_that_speaks_of_them(tmp_path: Path) -> None:
    """[F4] Content, then name, for each slice; the head last."""

    class Diary(QuickDisk):
        def __init__(self) -> None:
            super().__init__()
            self.said: list[str] = []

        def sync(self, path: Path) -> None:
            self.said.append(f"sync {path.name}")
            super().sync(path)

        def _rename(self, source: Path, target: Path) -> None:
            self.said.append(f"name {target.name}")
            super()._rename(source, target)

    disk = Diary()
    mirror, found = mirror_at(tmp_path, disk), feed_of(2)
    take(mirror, tmp_path, found)
    one, two = found.slices
    folder = found.origin
    made = [f"sync {name}" for name in (tmp_path.name, "federation", "mirror")]  # each folder in the one above it
    assert disk.said[: disk.said.index(f"sync {one}")] == made
    assert disk.said[disk.said.index(f"sync {one}") :] == [
        *(f"sync {one}", f"name {one}", f"sync {folder}"),
        *(f"sync {two}", f"name {two}", f"sync {folder}"),
        *(f"name {HEAD_FILE}", f"sync {folder}"),
    ]


@pytest.mark.parametrize("first", [None, 2])
def test_a_take_killed_anywhere_leaves_the_former_feed_or_the_new_one(tmp_path: Path, first: int | None) -> None:
    """[F4] [T1] What is left over goes at the next take, which comes to the same."""
    kills = 0
    for at in range(1, 40):
        folder = tmp_path / f"{at}"
        folder.mkdir()
        forger = Forger()
        before = None
        if first is not None:
            before = feed_of(first, forger=forger)
            take(mirror_at(folder), folder, before)
        old_lines = [line.data for line in forger.lines]
        found = feed_of(5, gen=2, forger=forger)
        names = found.slices[first or 0 :]
        disk = FaultyDisk(at, kills=True)
        try:
            take(mirror_at(folder, disk), folder, found, names)
        except Died:
            kills += 1
        else:
            break
        mirror = mirror_at(folder)
        assert lines(mirror, found.origin) in (old_lines, [line.data for line in forger.lines])
        if mirror.feed(found.origin).pin() is None or lines(mirror, found.origin) == old_lines:
            take(mirror, folder, found, names)
        files = dict(found.files) | ({} if before is None else {name: before.files[name] for name in before.slices})
        assert tree(mirror.path(found.origin)) == files
    assert kills >= 4


def test_a_take_that_the_disk_refuses_leaves_the_former_feed(tmp_path: Path) -> None:
    """[F4]"""
    from journal import DiskFailed

    forger = Forger()
    take(mirror_at(tmp_path), tmp_path, feed_of(2, forger=forger))
    old_lines = [line.data for line in forger.lines]
    found = feed_of(4, gen=2, forger=forger)
    for at in range(1, 40):
        try:
            take(mirror_at(tmp_path, FaultyDisk(at)), tmp_path, found, found.slices[2:])
        except DiskFailed:
            assert lines(mirror_at(tmp_path), found.origin) in (old_lines, [line.data for line in forger.lines])
        else:
            break
    assert lines(mirror_at(tmp_path), found.origin) == [line.data for line in forger.lines]
    assert at > 3


def test_a_later_head_over_the_same_lines_takes_no_slice(tmp_path: Path) -> None:
    """[F5] Merges and `saw` change the head alone."""
    forger = Forger()
    disk = CountingDisk()
    mirror, found = mirror_at(tmp_path, disk), feed_of(3, forger=forger)
    take(mirror, tmp_path, found)
    disk.reset()
    merged = forger.feed(gen=2)
    mirror.replace_head(found.origin, merged.files[HEAD_FILE])
    assert [path.name for path in disk.written] == [HEAD_FILE]
    assert mirror.feed(found.origin).pin() == (2, 3, forger.state.c.hex(), forger.state.t.hex())
    assert lines(mirror, found.origin) == [line.data for line in forger.lines]


def test_names_that_are_no_origins_are_passed_over(tmp_path: Path) -> None:
    mirror = mirror_at(tmp_path)
    take(mirror, tmp_path, feed_of(1))
    for name in ("es1short", "ES1" + "a" * 32, ".tmp-x", "lost+found"):
        (mirror.folder / name).mkdir()
    (mirror.folder / "brainclaw-prj_0").mkdir()
    assert mirror.origins() == ["brainclaw:prj_0", Forger().origin]
    assert mirror.path("brainclaw:prj_0").name == "brainclaw-prj_0"


# --- reading ---------------------------------------------------------------------------------------------------------


def test_a_line_is_found_by_its_seq_and_a_withheld_one_is_not_there(tmp_path: Path) -> None:
    forger = Forger()
    forger.record("a")
    forger.skip(3)
    forger.record("b")
    mirror, found = mirror_at(tmp_path), forger.feed(cuts=[2])
    take(mirror, tmp_path, found)
    feed = mirror.feed(found.origin)
    assert feed.find(1) == forger.lines[0].data
    assert feed.find(5) == forger.lines[2].data
    assert [feed.find(seq) for seq in (0, 2, 3, 4, 6, 10**9)] == [None] * 6


def test_c_and_t_are_known_where_a_line_ends_and_nowhere_else(tmp_path: Path) -> None:
    """[F5] What older heads are compared with."""
    forger = Forger()
    forger.record("a")
    forger.skip(3)
    forger.record("b")
    mirror, found = mirror_at(tmp_path), forger.feed(cuts=[2])
    take(mirror, tmp_path, found)
    feed = mirror.feed(found.origin)
    states = {state.seq: state for state in (forger.start, *(line.after for line in forger.lines))}
    for seq in range(7):
        for mark in (None, *(state for state in states.values() if state.seq <= seq)):
            known = states.get(seq)
            assert feed.at(seq, mark) == (None if known is None else (known.c.hex(), known.t.hex()))


def test_lines_behind_a_seq_begin_with_the_one_that_ends_behind_it(tmp_path: Path) -> None:
    forger = Forger()
    forger.record("a")
    forger.skip(3)
    forger.record("b")
    mirror, found = mirror_at(tmp_path), forger.feed(cuts=[1])
    take(mirror, tmp_path, found)
    feed = mirror.feed(found.origin)
    data = [line.data for line in forger.lines]
    for seq, expected in {0: data, 1: data[1:], 2: data[1:], 3: data[1:], 4: data[2:], 5: []}.items():
        assert [line.data for line in feed.lines(seq)] == expected
    for line in feed.lines(0):
        assert feed.line_at(line.slice_first, line.offset, len(line.data)) == line.data


def damage_slice(folder: Path) -> None:
    path = min(folder.glob("seg-*"))
    path.write_bytes(path.read_bytes()[:-9])


def lose_slice(folder: Path) -> None:
    min(folder.glob("seg-*")).unlink()


def swap_slices(folder: Path) -> None:
    one, two, *_ = sorted(folder.glob("seg-*"))
    data = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(data)


def damage_head(folder: Path) -> None:
    (folder / HEAD_FILE).write_bytes(b'{"head":{}}')


@pytest.mark.parametrize("damage", [damage_slice, lose_slice, swap_slices, damage_head])
def test_a_damaged_mirror_is_told_and_never_taken_for_an_empty_one(tmp_path: Path, damage: object) -> None:
    """[T1]"""
    assert callable(damage)
    mirror, found = mirror_at(tmp_path), feed_of(3)
    take(mirror, tmp_path, found)
    damage(mirror.path(found.origin))
    for ask in (lambda feed: list(feed.lines(0)), lambda feed: feed.find(1), lambda feed: feed.at(1)):
        with pytest.raises(DamagedFeed):
            ask(mirror_at(tmp_path).feed(found.origin))


# --- forks -----------------------------------------------------------------------------------------------------------


def test_evidence_freezes_its_origin_and_the_same_is_kept_once(tmp_path: Path) -> None:
    """[F5] Both heads are kept."""
    mirror, found = mirror_at(tmp_path), feed_of(2)
    take(mirror, tmp_path, found)
    assert mirror.fork_evidence(found.origin) == []
    heads = [feed_of(2, gen=gen).files[HEAD_FILE] for gen in (2, 3)]
    for head in (*heads, heads[0]):
        mirror.freeze(found.origin, head)
    names = mirror.fork_evidence(found.origin)
    kept = [(mirror.path(found.origin) / "fork" / name).read_bytes() for name in names]
    assert sorted(kept) == sorted(heads)
    assert mirror.feed(found.origin).head_bytes() == found.files[HEAD_FILE]
    assert lines(mirror, found.origin)
    assert mirror.origins() == [found.origin]


# --- brakes ----------------------------------------------------------------------------------------------------------


def test_a_brake_is_kept_until_it_is_released(tmp_path: Path) -> None:
    """[K5]"""
    mirror, origin = mirror_at(tmp_path), Forger().origin
    assert mirror.brake(origin) is None
    for brake in (Brake(7, pending=True), Brake(7, pending=False)):
        mirror.set_brake(origin, brake)
        assert mirror_at(tmp_path).brake(origin) == brake
    mirror.release_brake(origin)
    assert mirror_at(tmp_path).brake(origin) is None
    mirror.release_brake(origin)  # fine when there is none


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"after_seq":"x","pending":true}', b"\xff"])
def test_a_brake_that_cannot_be_read_is_no_released_one(tmp_path: Path, data: bytes) -> None:
    """[K5] [T1]"""
    mirror, found = mirror_at(tmp_path), feed_of(1)
    take(mirror, tmp_path, found)
    (mirror.path(found.origin) / "brake.json").write_bytes(data)
    with pytest.raises(DamagedFeed):
        mirror.brake(found.origin)


def test_a_brake_alone_is_no_feed(tmp_path: Path) -> None:
    """[K5] It is set before the slices are taken, so that a kill in between leaves it."""
    mirror, found = mirror_at(tmp_path), feed_of(1)
    mirror.set_brake(found.origin, Brake(0, pending=True))
    assert mirror.feed(found.origin).pin() is None
    take(mirror, tmp_path, found)
    assert mirror.brake(found.origin) == Brake(0, pending=True)
