"""The feed that a store publishes stays its own [T1] and readable, whatever name it has and whatever was put there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from eventsync.sharing import Sharing, sharing
from federation.errors import DamagedFeed
from federation.publisher import publish
from federation.withholding import PublishSettings
from journal import MAX_NAME_CHARS, InvalidInput, Store
from tests.doubles.disks import QuickDisk
from tests.integration.world import World, each_slice, head_of, only, own_feed, pull, put, share, tree

# --- its name --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["x" * MAX_NAME_CHARS, "\U0001d54f" * MAX_NAME_CHARS, '"' * MAX_NAME_CHARS, "ñ ä 名"],
    ids=["long", "wide", "escaped", "foreign"],
)
def test_a_head_with_any_name_that_a_store_may_have_is_read_here_and_there(world: World, name: str) -> None:
    """[F2] [J10]"""
    opened = Store.init(world.folder / "named", name=name, disk=QuickDisk(), data_folder=world.keys)
    with closing(opened), sharing(opened) as store:
        store.add_remote("bus", str(world.bus))
        put(store, "p1")
        share(store)
        head = store.holdings.own.head()
        assert head is not None
        assert head.name == name
    assert only(pull(world.store("reader"))).name == name


@pytest.mark.parametrize(
    "name",
    ["x" * (MAX_NAME_CHARS + 1), "", " ", "a\nb", "\u202eevil", "\x1b[31m", "\ud800"],
    ids=["long", "empty", "blank", "newline", "turned", "escape", "surrogate"],
)
def test_a_name_that_others_would_not_take_is_refused_before_there_is_a_store(tmp_path: Path, name: str) -> None:
    """[F2] [J10]"""
    with pytest.raises(InvalidInput):
        Store.init(tmp_path / "store", name=name, data_folder=tmp_path / "keys")
    assert not (tmp_path / "store" / ".eventsync").exists()


def test_a_folder_whose_name_is_no_name_gives_one_that_is(tmp_path: Path) -> None:
    """[F2] Nobody chose it: it is made to fit."""
    folder = tmp_path / ("é\n" + "x" * 200)
    folder.mkdir()
    with closing(Store.init(folder, data_folder=tmp_path / "keys")) as store:
        assert store.name == "é" + "x" * (MAX_NAME_CHARS - 1)


def test_a_head_that_nobody_could_read_is_not_written(world: World) -> None:
    """[F2] [T1] A person wrote a longer name into store.json: the former head stands until that is mended."""
    store = world.store("store")
    put(store, "p1")
    share(store)
    path = store.store.folder / "store.json"
    mended = path.read_text()
    path.write_text(json.dumps(json.loads(mended) | {"name": "x" * 300}))
    store = world.reopened(store)
    put(store, "p2")
    before = head_of(own_feed(store))
    with pytest.raises(InvalidInput, match=r"name"):
        publish(store.holdings, PublishSettings())
    assert head_of(own_feed(store)) == before
    path.write_text(mended)
    store = world.reopened(store)
    assert publish(store.holdings, PublishSettings()).last_seq == 2
    assert len(list(each_slice(own_feed(store)))) == 2


# --- another head in its place ---------------------------------------------------------------------------------------


def other_lines(world: World, store: Sharing, copy: Sharing) -> None:
    """A copy of the store wrote something else and published it under the same gen."""
    put(store, "ours")
    put(copy, "theirs", other=True)
    publish(store.holdings, PublishSettings())
    publish(copy.holdings, PublishSettings())


def other_transcript(world: World, store: Sharing, copy: Sharing) -> None:
    """The same records, and the copy withheld one of them."""
    publish(store.holdings, PublishSettings())
    publish(copy.holdings, PublishSettings(frozenset(["note"])))


@pytest.mark.parametrize(("publish_both", "differs"), [(other_lines, "c"), (other_transcript, "t")])
def test_nothing_is_published_onto_a_head_that_is_not_the_one_published_last(
    world: World, publish_both: Callable[[World, Sharing, Sharing], None], differs: str
) -> None:
    """[T1] Two contents of one gen would be a fork to everybody."""
    store = world.store("store")
    put(store, "p0")
    publish(store.holdings, PublishSettings())
    put(store, "p1")
    copy = world.copied(store, "copy")
    store = world.reopened(store)
    publish_both(world, store, copy)
    ours, theirs = head_of(own_feed(store)), head_of(own_feed(copy))
    assert (ours["gen"], ours["last_seq"]) == (theirs["gen"], theirs["last_seq"])
    assert ours[differs] != theirs[differs]
    shutil.rmtree(own_feed(store))
    shutil.copytree(own_feed(copy), own_feed(store))
    store = world.reopened(store)
    put(store, "p2")
    before = tree(own_feed(store)), (store.store.folder / "local.json").read_bytes()
    for _ in range(2):
        with pytest.raises(DamagedFeed, match=r"not the one that was published last.*\[T1\]"):
            publish(store.holdings, PublishSettings())
    assert (tree(own_feed(store)), (store.store.folder / "local.json").read_bytes()) == before


def test_a_head_of_a_later_gen_that_ends_elsewhere_is_not_published_onto(world: World) -> None:
    """[T1] local.json may be behind after a kill, but then the lines are ours."""
    store = world.store("store")
    put(store, "p0")
    publish(store.holdings, PublishSettings())
    copy = world.copied(store, "copy")
    store = world.reopened(store)
    for number in range(2):
        put(copy, f"theirs{number}", other=True)
        publish(copy.holdings, PublishSettings())
    shutil.rmtree(own_feed(store))
    shutil.copytree(own_feed(copy), own_feed(store))
    store = world.reopened(store)
    put(store, "p1", "p2", "p3")
    before = tree(own_feed(store))
    with pytest.raises(DamagedFeed, match=r"T1"):
        publish(store.holdings, PublishSettings())
    assert tree(own_feed(store)) == before


def test_a_publish_that_was_killed_before_it_was_noted_down_goes_on(world: World) -> None:
    """[T1] [F4] The head is ours, though local.json remembers the one before."""
    store = world.store("store")
    put(store, "p0")
    publish(store.holdings, PublishSettings())
    local = store.store.folder / "local.json"
    before = json.loads(local.read_bytes())
    put(store, "p1")
    publish(store.holdings, PublishSettings())
    local.write_text(json.dumps(before))
    store = world.reopened(store)
    put(store, "p2")
    assert publish(store.holdings, PublishSettings()).gen == 3
    assert head_of(own_feed(store))["last_seq"] == 3


def test_a_feed_that_was_lost_is_neither_forgotten_nor_held_against_who_read_it(world: World) -> None:
    """[T1] [F2]: what was published stays published, and who says that they read it says the truth."""
    a, b = world.store("a"), world.store("b")
    put(a, "p1")
    share(a)
    pull(b)
    put(b, "p2")
    share(b)
    shutil.rmtree(own_feed(a))
    found = world.reopened(a)
    assert only(pull(found)).warnings == ()
    status = found.status()
    assert status.store.published_seq == 1
    assert [text for text in status.warnings if "is gone: see `doctor`" in text]
