"""What `doctor --fix` must never do: bring back what was redacted, believe a peer, take a loss for a turned byte."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventsync import app, mending
from eventsync.app import Surroundings
from eventsync.sharing import Sharing
from federation.feed import build_slice, prev_c_of
from federation.packing import pack, unpack
from journal import LogShorterThanKnown, link, split_c, watermark_is_wrong
from tests.doubles.stores import quick_folder
from tests.integration.world import World, pull, put, reject, share

SECRET = "the name of the rose"


@pytest.fixture
def world() -> Iterator[World]:
    with quick_folder() as folder:
        found = World(folder)
        yield found
        found.close_all()


def log_of(store: Sharing) -> Path:
    return max((store.store.folder / "journal").glob("seg-*"))


def errors(store: Sharing) -> set[str]:
    return {found.id for found in app.verify(store.store) if found.severity == "error"}


def holds(folder: Path, text: str) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


def forget_feeds(store: Sharing, world: World) -> None:
    """Leave nothing of the own feed but in the mirrors of others."""
    shutil.rmtree(store.store.folder / "feed")
    shutil.rmtree(world.bus)
    world.bus.mkdir()


def redacted(world: World) -> tuple[Sharing, Sharing]:
    """A store that took a secret back, and one whose mirror has it still."""
    ada, ben = world.store("ada"), world.store("ben")
    put(ada, "p1")
    put(ada, "p2", text=SECRET)
    put(ada, "p3")
    share(ada)
    pull(ben)
    app.redact(ada.store, Surroundings(), [2], "a slip")
    share(ada)
    return ada, ben


@pytest.mark.parametrize("has_own_feed", [True, False])
def test_a_damaged_stub_comes_back_as_the_stub_whoever_has_the_line_still(world: World, has_own_feed: bool) -> None:
    """[J16]"""
    ada, ben = redacted(world)
    if not has_own_feed:
        forget_feeds(ada, world)
    whole = log_of(ada).read_bytes()
    assert SECRET.encode() not in whole
    log_of(ada).write_bytes(whole.replace(b'"redacted":true', b'"redacted":tRue', 1))
    ada = world.reopened(ada)
    assert "corruption" in errors(ada)
    mending.mend(ada.store, [ben.store.folder])
    assert log_of(ada).read_bytes() == whole
    assert holds(ada.store.folder, SECRET) == []


def test_a_line_beside_a_stub_is_restored_and_the_stub_stays(world: World) -> None:
    """[J16]: the c of a stub proves nothing before it, so a signature has to."""
    ada, ben = redacted(world)
    whole = log_of(ada).read_bytes()
    for title in (b'"title":"p1"', b'"title":"p3"'):
        log_of(ada).write_bytes(whole.replace(title, title.upper(), 1))
        ada = world.reopened(ada)
        mending.mend(ada.store, [ben.store.folder])
        assert log_of(ada).read_bytes() == whole
    assert holds(ada.store.folder, SECRET) == []


def test_a_redaction_takes_the_copies_that_doctor_kept(world: World) -> None:
    """[J16]"""
    ada = world.store("ada")
    put(ada, "p1", text=SECRET)
    put(ada, "p2")
    share(ada)
    log_of(ada).write_bytes(log_of(ada).read_bytes().replace(b'"title":"p2"', b'"title":"P2"'))
    ada = world.reopened(ada)
    _, backup = mending.mend(ada.store, [])
    assert backup is not None
    assert holds(backup, SECRET)
    app.redact(ada.store, Surroundings(), [1], "a slip")
    assert holds(ada.store.folder, SECRET) == []


def forged(mirror: Path) -> None:
    """Make a mirror say something else in its last line, with names, hashes and chain as they must be."""
    (path,) = mirror.glob("seg-*")
    raw = unpack(path.read_bytes(), 10**7) or b""
    _, *lines, last, _ = raw.split(b"\n")
    parts, before = split_c(last), split_c(lines[-1])
    assert parts is not None and before is not None
    body = parts[0].replace(b"honest", b"forged")
    lines.append(body + b',"c":"' + link(before[1], body).hex().encode() + b'"}')
    first, end = int(path.name.split("-")[1]), int(path.name.split("-")[2])
    text = b"".join(line + b"\n" for line in lines)
    built = build_slice(mirror.name, first, end, prev_c_of(raw), (), text)
    path.unlink()
    (mirror / f"{built.slice.name}.zst").write_bytes(pack(built.raw))


def test_a_peer_cannot_make_up_the_end_of_the_log(world: World) -> None:
    """[J7]: anybody can go on from our last good c; what we remember of the lost one is what counts."""
    ada, ben = world.store("ada"), world.store("ben")
    put(ada, "p1")
    put(ada, "p2", text="honest")
    share(ada)
    pull(ben)
    forget_feeds(ada, world)
    whole = log_of(ada).read_bytes()
    lost = whole[: whole.rindex(b'\n{"v":2,"seq":2')]
    log_of(ada).write_bytes(lost)
    (mirror,) = (ben.store.folder / "federation" / "mirror").iterdir()
    kept = {path: path.read_bytes() for path in mirror.glob("seg-*")}
    forged(mirror)
    ada = world.reopened(ada)
    mending.mend(ada.store, [ben.store.folder])
    assert log_of(ada).read_bytes() == lost
    assert "log-too-short" in errors(ada)
    for path in mirror.glob("seg-*"):
        path.unlink()
    for path, data in kept.items():
        path.write_bytes(data)
    mending.mend(ada.store, [ben.store.folder])
    assert log_of(ada).read_bytes() == whole


def rejecting(world: World) -> Sharing:
    """A store whose last record is a decision, of which no entity file speaks, and that published nothing."""
    ada, ben = world.store("ada"), world.store("ben")
    put(ben, "theirs", "others")
    share(ben)
    put(ada, "p1")
    pull(ada)
    reject(ada, "plan/theirs")
    reject(ada, "plan/others")
    return ada


def cut_last_record(store: Sharing) -> None:
    data = log_of(store).read_bytes()
    log_of(store).write_bytes(data[: data.rindex(b'\n{"v":2,"seq":')])


@pytest.mark.parametrize("index", ["gone", "behind"])
def test_a_lost_record_that_only_the_watermark_knows_of_stays_a_loss(world: World, index: str) -> None:
    """[J11]: however often somebody reads, repairs or tries to write in between."""
    ada, old = rejecting(world), world.folder / "old.sqlite3"
    path = ada.store.folder / "index.sqlite3"
    if index == "behind":
        first = World.copied(world, ada, "earlier")
        cut_last_record(first)
        cut_last_record(first)
        (first.store.folder / "projections.json").unlink()
        (first.store.folder / "index.sqlite3").unlink()
        first = world.reopened(first)
        first.store.rebuild()
        world.close(first)
        shutil.copy(first.store.folder / "index.sqlite3", old)
    world.close(ada)
    cut_last_record(ada)
    for left in ada.store.folder.glob("index.sqlite3*"):
        left.unlink()
    if index == "behind":
        shutil.copy(old, path)
    for _ in range(2):
        ada = world.reopened(ada)
        assert [*ada.store.log()]
        with pytest.raises(LogShorterThanKnown):
            put(ada, "p2")
        with ada.store.lock():
            assert not watermark_is_wrong(ada.store)
        mending.mend(ada.store, [])
        assert errors(ada) >= {"log-too-short"}


def test_a_watermark_that_is_wrong_by_more_than_a_byte_is_left_to_a_person(world: World) -> None:
    """[J11]"""
    ada = world.store("ada")
    put(ada, "p1")
    path = ada.store.folder / "projections.json"
    for seq, is_wrong in ((9, True), (12, False)):
        path.write_text(json.dumps(json.loads(path.read_bytes()) | {"applied_seq": seq}, separators=(",", ":")) + "\n")
        ada = world.reopened(ada)
        with ada.store.lock():
            assert watermark_is_wrong(ada.store) == is_wrong
