"""verify names every kind of damage: which file, which line, which seq. One table of what can go wrong with a store."""

from __future__ import annotations

import errno
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from eventsync import app
from eventsync.sharing import Sharing
from federation.packing import pack, unpack
from journal import Finding, FormatTooNew, JournalError
from tests.doubles.disks import QuickDisk
from tests.doubles.stores import quick_folder
from tests.integration.world import World, accept, pull, put, reject, remove, share

BLOB = "x" * 66_000  # too long for a line


class House(NamedTuple):
    """A store that has everything a store can have, and how to look at it."""

    world: World
    store: Sharing
    folder: Path
    kept: dict[Path, bytes]

    def find(self, pattern: str, number: int = 0) -> Path:
        return sorted(path for path in self.folder.glob(pattern) if path.is_file())[number]

    def findings(self, **settings: Any) -> list[Finding]:
        found = self.world.reopened(self.store, **settings)
        try:
            return list(app.verify(found.store))
        finally:
            self.world.close(found)

    def restore(self) -> None:
        for path in sorted(self.folder.rglob("*"), reverse=True):
            if path.is_dir() and (path in self.kept or not any(path in kept.parents for kept in self.kept)):
                shutil.rmtree(path)
            elif path.is_file() and path not in self.kept:
                path.unlink()
        for path, data in self.kept.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.is_file() or path.read_bytes() != data:
                path.write_bytes(data)


@pytest.fixture(scope="module")
def built() -> Iterator[House]:
    """Archive, live segments, checkpoints, blobs, a feed and a mirror of several slices, decisions, a cursor."""
    with quick_folder() as folder:
        world = World(folder)
        author, reader = world.store("author"), world.store("reader")
        reader.store.roll_bytes = 1_500
        for number in range(4):
            put(reader, f"mine{number}", text=f"here {number}")
        put(reader, "blob", text=BLOB)
        put(reader, "gone")
        remove(reader, "gone")
        for number in range(3):
            put(author, "p1", f"q{number}", text=f"there {number}")
            share(author)
        put(author, "long", text=BLOB + "y")
        share(author)
        share(reader)
        assert pull(reader).exit_code == 0
        accept(reader, "plan/p1", "plan/long")
        reject(reader, "plan/q1")
        share(reader)
        with reader.store.lock():
            reader.store.ack("claude", 4)
        reader.store.checkpoint()
        put(reader, "more1")
        put(reader, "more2")
        reader.store.checkpoint()
        put(reader, "more3")
        share(reader)
        assert len(reader.store.gc().moved) == 2
        assert reader.holdings.look() is None
        store = reader.store.folder
        world.close_all()
        kept = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
        yield House(world, reader, store, kept)


@pytest.fixture
def house(built: House) -> Iterator[House]:
    yield built
    built.restore()


def test_a_sound_store_has_no_findings(house: House) -> None:
    assert house.findings() == []


# --- the table -------------------------------------------------------------------------------------------------------

Damage = Callable[[Path], object]


class Case(NamedTuple):
    """One kind of damage: the file, what is done to it, and the finding that names it."""

    name: str
    pattern: str
    damage: Damage
    id: str
    line: int | None = None
    seq: int | None = None
    severity: str = "error"
    path: str | None = None  # where the finding points, if not to the file
    number: int = 0  # of the files that the pattern finds


def replaced(old: bytes, new: bytes) -> Damage:
    def damage(path: Path) -> None:
        data = path.read_bytes()
        assert old in data, (path, old)
        path.write_bytes(data.replace(old, new, 1))

    return damage


def repacked(old: bytes, new: bytes) -> Damage:
    def damage(path: Path) -> None:
        raw = unpack(path.read_bytes(), 10**7) or b""
        assert old in raw, (path, old)
        path.write_bytes(pack(raw.replace(old, new, 1)))

    return damage


def written(data: bytes) -> Damage:
    return lambda path: path.write_bytes(data)


def cut(length: int) -> Damage:
    return lambda path: path.write_bytes(path.read_bytes()[:length])


def beside(name: str, data: bytes) -> Damage:
    """Another file in the same folder."""
    return lambda path: path.with_name(name).write_bytes(data)


def changed(**values: Any) -> Damage:
    return lambda path: path.write_text(json.dumps({**json.loads(path.read_bytes()), **values}))


def published(**values: Any) -> Damage:
    def damage(path: Path) -> None:
        local = json.loads(path.read_bytes())
        path.write_text(json.dumps({**local, "published": {**local["published"], **values}}))

    return damage


def sql(statement: str) -> Damage:
    def damage(path: Path) -> None:
        with sqlite3.connect(path) as database:
            database.execute(statement)
        database.close()

    return damage


def folder(path: Path) -> None:
    """A folder in its place."""
    path.unlink()
    path.mkdir()


def forked(path: Path) -> None:
    (path.parent / "fork").mkdir()
    (path.parent / "fork" / "head-000000000000.json").write_bytes(path.read_bytes())


SEALED, NEWEST = "journal/seg-00000010.jsonl", "journal/seg-00000014.jsonl"
OLDEST = "journal/archive/seg-00000001.jsonl"
CHECKPOINT = "journal/checkpoints/cp-00000013.jsonl"
BLOBS, FEED, MIRROR = "journal/blobs/ba/*", "feed/*/", "federation/mirror/*/"
gone = Path.unlink

CASES = [
    # The log.
    Case("a byte", SEALED, replaced(b'"more1"', b'"MORE1"'), "corruption", 7, 12),
    Case("a byte of the last line", SEALED, replaced(b'"seq":13,"ts', b'"seq":19,"ts'), "corruption", 9, 13),
    Case("a byte of the newest line", NEWEST, replaced(b'"more3"', b'"MORE3"'), "corruption", 5, 15),
    Case("a byte in the archive", OLDEST, replaced(b"here 1", b"HERE 1"), "corruption", 5, 2),
    Case("a newer record", SEALED, replaced(b'{"v":2,"seq":12', b'{"v":3,"seq":12'), "corruption", 7, 12),
    Case("cut short", SEALED, cut(900), "corruption", 5, 11),
    Case("the newest cut short", NEWEST, cut(-60), "corruption", 5, 15),
    Case("a short log", NEWEST, cut(-60), "log-too-short", None, 15, path="index.sqlite3"),
    Case("a header", NEWEST, replaced(b'{"v":2', b'?"v":2'), "segment-unreadable", 1, 14),
    Case("another chain value", NEWEST, replaced(b'"prev_c":"', b'"prev_c":"0'), "segment-unreadable", 1, 14),
    Case("another origin", NEWEST, replaced(b'"es1', b'"es2'), "segment-header", 1, 14),
    Case("a newer segment", NEWEST, replaced(b'"format":1', b'"format":7'), "format-too-new", 1, 14),
    Case("a missing segment", SEALED, gone, "segment-header", 1, 14, path=NEWEST),
    Case("the newest segment", NEWEST, gone, "log-too-short", None, 15, path="projections.json"),
    Case("an empty segment", SEALED, written(b""), "segment-unreadable", 1, 10),
    Case("nothing but NULs", SEALED, written(b"\0" * 900), "segment-unreadable", 1, 10),
    Case("a folder for a segment", SEALED, folder, "segment-unreadable", None, 10),
    Case("a missing archived segment", OLDEST, gone, "segment-header", 1, 6, path="journal/archive/seg-00000006.jsonl"),
    Case(
        "another name",
        SEALED,
        lambda path: path.rename(path.with_name("seg-00000012.jsonl")),
        "segment-header",
        1,
        10,
        path="journal/seg-00000012.jsonl",
    ),
    Case(
        "archived and live",
        SEALED,
        lambda path: shutil.copy(path, path.parent / "archive"),
        "archived-twice",
        None,
        10,
        "info",
        "journal/archive/seg-00000010.jsonl",
    ),
    Case(
        "archived otherwise",
        SEALED,
        lambda path: (path.parent / "archive" / path.name).write_bytes(path.read_bytes().replace(b"more2", b"MORE2")),
        "archive-differs",
        9,
        10,
        path="journal/archive/seg-00000010.jsonl",
    ),
    Case("a stray file", SEALED, beside("notes", b""), "stray-file", None, None, "info", "journal/notes"),
    # Checkpoints.
    Case("a value", CHECKPOINT, replaced(b'"entity_rev":1', b'"entity_rev":2'), "checkpoint-differs", 2, 5, "warning"),
    Case(
        "a line",
        CHECKPOINT,
        replaced(b'\n{"is":"decision"', b'\n?"is":"decision"'),
        "checkpoint-differs",
        12,
        13,
        "warning",
    ),
    Case("half of it", CHECKPOINT, cut(-30), "checkpoint-differs", 15, 13, "warning"),
    Case("all of it", CHECKPOINT, written(b""), "checkpoint-differs", None, 13, "warning"),
    Case("a newer one", CHECKPOINT, replaced(b'"format":1', b'"format":2'), "checkpoint-differs", None, 13, "warning"),
    Case("no checkpoint", CHECKPOINT, beside("x", b""), "stray-file", None, None, "info", "journal/checkpoints/x"),
    # Blobs.
    Case("a missing blob", BLOBS, gone, "blob-damaged", None, 5),
    Case("a changed blob", BLOBS, replaced(b"xxx", b"xyx"), "blob-damaged", None, 5),
    Case("a folder for a blob", BLOBS, folder, "blob-damaged", None, 5),
    Case(
        "a blob of nobody",
        BLOBS,
        beside("ba" * 32, b"{}"),
        "blob-unreferenced",
        None,
        None,
        "info",
        "journal/blobs/ba/" + "ba" * 32,
    ),
    # The feed.
    Case("a head", FEED + "head.json", written(b"{"), "feed-damaged"),
    Case("a name in a head", FEED + "head.json", replaced(b'"reader"', b'"READER"'), "feed-damaged"),
    Case("no head", FEED + "head.json", gone, "feed-lost", path="feed"),
    Case("a slice", FEED + "seg-*", repacked(b'"mine2"', b'"MINE2"'), "feed-damaged", 4, 3),
    Case("a slice's header", FEED + "seg-*", repacked(b'"previous":[]', b'"previous":[1]'), "feed-damaged", 1, 1),
    Case("a packed slice", FEED + "seg-*", cut(-9), "feed-damaged", None, 1),
    Case("a missing slice", FEED + "seg-*", gone, "feed-damaged", None, 8, number=1),
    Case("a payload", FEED + "blobs/ba/*", written(pack(b"{}")), "feed-blob-damaged", None, 5),
    Case("a missing payload", FEED + "blobs/ba/*", gone, "feed-blob-damaged", None, 5),
    # Mirrors.
    Case("a mirror's head", MIRROR + "head.json", written(b"{"), "mirror-damaged"),
    Case("a mirror without a head", MIRROR + "head.json", gone, "mirror-damaged", None, 7),
    Case("a name in a mirror", MIRROR + "head.json", replaced(b'"author"', b'"AUTHOR"'), "mirror-damaged"),
    Case("a mirror's slice", MIRROR + "seg-*", repacked(b"there 1", b"THERE 1"), "mirror-damaged", 2, 3, number=1),
    Case("a mirror's last slice", MIRROR + "seg-*", gone, "mirror-damaged", None, 7, number=3),
    Case("a mirror's payload", MIRROR + "blobs/*/*", written(b"x"), "mirror-blob-damaged", None, 7),
    Case("no payload", MIRROR + "blobs/*/*", gone, "mirror-blob-missing", None, 7, "warning"),
    Case("a brake", MIRROR + "head.json", beside("brake.json", b"{"), "mirror-damaged", path=MIRROR + "brake.json"),
    Case(
        "an odd brake",
        MIRROR + "head.json",
        beside("brake.json", b'{"after_seq":-1,"pending":"no"}'),
        "mirror-damaged",
        path=MIRROR + "brake.json",
    ),
    Case(
        "a brake that holds nothing",
        MIRROR + "head.json",
        beside("brake.json", b'{"after_seq":8,"pending":false}'),
        "mirror-damaged",
        None,
        8,
        path=MIRROR + "brake.json",
    ),
    Case("a fork", MIRROR + "head.json", forked, "origin-forked", None, None, "warning", MIRROR + "fork/*"),
    Case("no evidence", MIRROR + "head.json", forked, "mirror-damaged", path=MIRROR + "fork/*"),
    # Projections and indexes.
    Case(
        "a projection",
        "entities/plan/mine1.json",
        replaced(b"here 1", b"HERE 1"),
        "projection-differs",
        None,
        2,
        "warning",
    ),
    Case("no projection", "entities/plan/mine1.json", gone, "projection-differs", None, 2, "warning"),
    Case("half a projection", "entities/plan/mine1.json", cut(9), "projection-differs", None, 2, "warning"),
    Case("a folder for a projection", "entities/plan/mine1.json", folder, "projection-differs", None, 2, "warning"),
    Case(
        "a projection of nothing",
        "entities/plan/mine1.json",
        lambda path: shutil.copy(path, path.with_name("zz.json")),
        "projection-differs",
        None,
        2,
        "warning",
        "entities/plan/zz.json",
    ),
    Case("a watermark", "projections.json", written(b"{"), "projections-behind", None, 0, "info"),
    Case("a watermark ahead", "projections.json", changed(applied_seq=99), "log-too-short", None, 99),
    Case("an index", "index.sqlite3", written(b"x"), "index-unreadable", None, None, "warning"),
    Case("a rev", "index.sqlite3", sql("UPDATE entities SET entity_rev = 9 WHERE seq = 2"), "index-differs", None, 2),
    Case("no entity", "index.sqlite3", sql("DELETE FROM entities WHERE seq = 2"), "index-differs", None, 2),
    Case("a place", "index.sqlite3", sql("UPDATE entities SET offset = 9 WHERE seq = 2"), "index-differs", None, 2),
    Case("a decision", "index.sqlite3", sql("DELETE FROM decisions WHERE seq = 9"), "index-differs", None, 9),
    Case("a bad range", "index.sqlite3", sql("INSERT INTO torn VALUES (6, 5, 9, 1)"), "index-differs", None, 6),
    Case("a position", "index.sqlite3", sql("UPDATE position SET seq = 99"), "log-too-short", None, 99),
    Case("an index of others", "federation/index.sqlite3", written(b"x"), "index-differs"),
    Case("rows of others", "federation/index.sqlite3", sql("DELETE FROM heads"), "index-differs"),
    # Cursors and who the store is.
    Case("a cursor", "cursors/claude.json", written(b"{"), "cursor-unreadable"),
    Case("a cursor ahead", "cursors/claude.json", changed(seq=99), "log-too-short", None, 99),
    Case("another cursor", "cursors/claude.json", changed(c="0" * 64), "cursor-differs", None, 4),
    Case(
        "no cursor",
        "cursors/claude.json",
        beside("X y.json", b""),
        "stray-file",
        None,
        None,
        "info",
        "cursors/X y.json",
    ),
    Case("where it stands", "local.json", written(b"{"), "identity"),
    Case("not where it stands", "local.json", gone, "identity"),
    Case("no object", "local.json", written(b"[]"), "identity"),
    Case("no publish", "local.json", changed(published=7), "identity"),
    Case("no redaction", "local.json", changed(redacting=7), "identity"),
    Case("an unknown publish", "local.json", changed(published=None), "published-differs", None, 15, "warning"),
    Case("another t", "local.json", published(t="0" * 64), "published-differs", None, 15),
    Case("another c", "local.json", published(c="0" * 64), "published-differs", None, 15),
    Case("a later publish", "local.json", published(last_seq=99), "log-too-short", None, 99),
    Case("a later gen", "local.json", published(gen=99), "feed-behind", None, 15, path=FEED + "head.json"),
    Case("a key", "store.json", replaced(b'"public_key": "', b'"public_key": "A'), "identity"),
    Case(
        "a former origin",
        "store.json",
        changed(previous=[{"origin": "es1" + "a" * 32, "last_seq": 1, "c": "", "t": ""}]),
        "segment-header",
        1,
        1,
        path=OLDEST,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.pattern}: {case.name}")
def test_damage_is_named(house: House, case: Case) -> None:
    path = house.find(case.pattern, case.number)
    case.damage(path)
    where = path if case.path is None else min(house.folder.glob(case.path))
    found = [finding for finding in house.findings() if finding.id == case.id and finding.path is not None]
    if case.id == "feed-lost":
        assert [finding.path for finding in found] == [str(path.parent)]
        return
    places = [(finding.path, finding.line, finding.seq, finding.severity) for finding in found]
    assert (str(where), case.line, case.seq, case.severity) in places, places


def test_a_feed_is_looked_at_behind_what_is_damaged(house: House) -> None:
    """[F6] of slices: one bad one hides no other."""
    repacked(b'"mine2"', b'"MINE2"')(house.find(FEED + "seg-*", 0))
    repacked(b'"more1"', b'"MORE1"')(house.find(FEED + "seg-*", 2))
    assert [(item.line, item.seq) for item in house.findings() if item.id == "feed-damaged"] == [(4, 3), (3, 12)]


def test_what_follows_from_one_loss_is_not_told_of_another_file(house: House) -> None:
    shutil.rmtree(house.find(FEED + "head.json").parent)
    assert [item.id for item in house.findings()] == ["feed-lost"]


def test_an_index_that_has_not_seen_the_newest_publish_is_behind_and_not_wrong(tmp_path: Path) -> None:
    """[T1]: the next look catches up."""
    world = World(tmp_path)
    store = world.store("author")
    put(store, "hidden", item_type="session")
    put(store, "shown")
    app.rebuild(store.store)
    store.publish()
    try:
        assert app.verify(store.store) == []
    finally:
        world.close_all()


@pytest.mark.parametrize("name", ["store.json"])
def test_a_store_that_cannot_be_opened_names_the_file(house: House, name: str) -> None:
    for data, kind in ((b"{", JournalError), (b'{"format":9}', FormatTooNew)):
        (house.folder / name).write_bytes(data)
        with pytest.raises(kind) as error:
            house.findings()
        assert error.value.path == str(house.folder / name)


def test_a_file_that_the_disk_does_not_give_is_named_and_stops_nothing(house: House) -> None:
    """EIO in any one of them; indexes are read by SQLite."""

    class Failing(QuickDisk):
        """Does not give one file."""

        def __init__(self, bad: Path) -> None:
            super().__init__()
            self._bad = bad

        @contextmanager
        def _opened(self, path: Path) -> Iterator[tuple[int, int]]:
            if path == self._bad:
                raise OSError(errno.EIO, "Input/output error", str(path))
            with super()._opened(path) as found:
                yield found

    read = {path for path in house.kept if path.suffix in (".json", ".jsonl", ".zst", "") and path.name != "store.json"}
    unread = {path for path in read if path.name in (".gitignore", "runs.jsonl") or path.suffix == ".lock"}
    for path in sorted(read - unread):
        if path.name.startswith("."):
            continue
        found = house.findings(disk=Failing(path))
        assert str(path) in [finding.path for finding in found if finding.severity != "info"], (path, found)
