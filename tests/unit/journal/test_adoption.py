"""A store from entity files alone, as a git clone brings them: copies with their contexts, in one batch [I2]."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from journal import (
    Adopted,
    DamagedStore,
    InvalidInput,
    NotAStore,
    OnlyEntityFiles,
    Store,
    StoreExists,
    adopt,
    find_store,
    is_bare,
)
from tests.doubles.disks import QuickDisk
from tests.doubles.machines import FixedMachine
from tests.doubles.stores import chain_lines, delete, new_store, notes, projection, put, state, tree

SEED = bytes(range(1, 33))


def cloned(store: Store, folder: Path) -> Path:
    """What git brings of a tracked store."""
    bare = folder / ".eventsync"
    bare.mkdir(parents=True)
    shutil.copytree(store.folder / "entities", bare / "entities")
    shutil.copy(store.folder / ".gitignore", bare)
    return bare


def adopted(bare: Path, name: str = "clone") -> Adopted:
    data_folder = bare.parent.with_name("clone-data")
    machine = FixedMachine(data_folder)
    return adopt(
        bare,
        name=name,
        disk=QuickDisk(),
        machine=machine,
        data_folder=data_folder,
        title=lambda payload: payload.get("title"),
        seed=SEED,
    )


def opened(bare: Path) -> Store:
    data_folder = bare.parent.with_name("clone-data")
    return Store.open(bare, disk=QuickDisk(), machine=FixedMachine(data_folder), data_folder=data_folder)


@pytest.fixture
def original(tmp_path: Path) -> Store:
    machine = FixedMachine(tmp_path / "data")
    store = Store.init(
        tmp_path / "original",
        tracked=["plan", "note"],
        disk=QuickDisk(),
        machine=machine,
        data_folder=tmp_path / "data",
    )
    put(store, "p1", "p2", "gone")
    put(store, "p1", n=2)
    put(store, "n1", item_type="note", text="ä" * 100_000)
    delete(store, "gone")
    return store


@pytest.fixture
def bare(original: Store, tmp_path: Path) -> Path:
    return cloned(original, tmp_path / "clone")


def test_every_entity_is_a_copy_with_its_context(original: Store, bare: Path) -> None:
    """[K1] [K2] [J6]: one batch of backfills under a new identity."""
    found = adopted(bare)
    assert (found.taken, found.left) == (3, ())
    store = opened(bare)
    store.refresh()
    assert store.origin != original.origin
    assert (store.name, store.previous) == ("clone", [])
    for head in original.list():
        copy = store.head(head.item_type, head.item_id)
        assert copy is not None
        assert (copy.version, copy.context, copy.claims) == (head.version, head.context, head.claims)
        assert store.get(*head[:2]).payload == original.get(*head[:2]).payload
    lines = [json.loads(line) for line in chain_lines(store)]
    assert [(line["action"], line["batch"], line["entity_rev"]) for line in lines] == [
        ("backfill", [number, 3], 1) for number in (1, 2, 3)
    ]
    assert store.moved() == []
    assert len(store.private_key()) == 32
    assert store.verify().findings == []
    assert notes(store) == []


def test_the_files_become_those_of_the_new_store(bare: Path) -> None:
    """[P2]: a file with a higher rev and seq that shows the same version is no newer one."""
    adopted(bare)
    store = opened(bare)
    put(store, "p2", n=3)
    assert json.loads(projection(store, "p1").read_bytes())["seq"] == 2
    assert store.verify().findings == []
    store.rebuild()
    assert store.verify().findings == []


def test_what_was_changed_by_hand_is_an_edit_on_top_of_its_version(original: Store, bare: Path) -> None:
    """[K1]: called a copy it would be a lie about somebody else's version."""
    path = bare / "entities" / "plan" / "p1.json"
    path.write_text(path.read_text().replace('"n": 2', '"n": 3'))
    adopted(bare)
    head = opened(bare).head("plan", "p1")
    assert head is not None
    assert head.version.origin != original.origin
    assert head.context == {original.origin: 4, head.version.origin: head.seq}


def test_what_is_private_stays_private_and_out_of_sight_of_git(original: Store, tmp_path: Path) -> None:
    """[F1]: even where somebody added the file to git by force."""
    with original.mutate(agent="test") as mutation:
        mutation.put("plan", "secret", {"title": "secret"}, private=True)
        mutation.put("plan", "p2", {"title": "p2"}, private=True)
    rules = original.folder / "entities" / "plan" / ".gitignore"
    assert rules.read_text().splitlines() == ["/.gitignore", "/p2.json", "/secret.json"]
    assert original.verify().findings == []
    bare = cloned(original, tmp_path / "clone")
    adopted(bare)
    store = opened(bare)
    head = store.head("plan", "secret")
    assert head is not None
    assert head.private
    with original.mutate(agent="test") as mutation:
        mutation.put("plan", "p2", {"title": "p2"}, private=False)
    assert rules.read_text().splitlines() == ["/.gitignore", "/secret.json"]


def test_a_store_that_git_does_not_see_has_no_such_rules(tmp_path: Path) -> None:
    store = new_store(tmp_path / "quiet")
    with store.mutate(agent="test") as mutation:
        mutation.put("plan", "secret", {}, private=True)
    assert not (store.folder / "entities" / "plan" / ".gitignore").exists()


BAD = {
    "not JSON": lambda text: text[:-20],
    "a conflict of git": lambda text: "<<<<<<< HEAD\n" + text,
    "another entity": lambda text: text.replace('"item_id": "p1"', '"item_id": "p7"'),
    "no payload": lambda text: text.replace('"payload": {', '"body": {'),
    "no version": lambda text: text.replace("@4#", "@x#"),
    "a version without digest": lambda text: text.split("@4#")[0] + '@4"\n}\n',
    "a context that does not reach it": lambda text: text.replace('": 4', '": 3'),
    "a context that is none": lambda text: text.replace('"context": {', '"context": {"nobody": 1, '),
    "a seq that is true": lambda text: text.replace('": 4', '": true'),
    "a number that is none": lambda text: text.replace('"n": 2', '"n": NaN'),
    "too deep": lambda text: text.replace('"n": 2', '"n": ' + "[" * 70 + "]" * 70),
}


@pytest.mark.parametrize("spoil", BAD.values(), ids=BAD)
def test_a_file_that_is_not_as_written_is_put_aside_and_the_rest_is_taken(bare: Path, spoil: Any) -> None:
    """[P3]: never deleted, never guessed at."""
    path = bare / "entities" / "plan" / "p1.json"
    spoiled = spoil(path.read_text())
    assert spoiled != path.read_text()
    path.write_text(spoiled)
    found = adopted(bare)
    assert found.taken == 2
    assert [left.path for left in found.left] == [path]
    assert found.left[0].reason
    assert path.with_name("p1.json.unreadable-0").read_text() == spoiled
    store = opened(bare)
    assert ("plan", "p1") not in state(store)
    assert [finding.id for finding in store.verify().findings] == ["projection-differs"]


def test_names_that_no_journal_can_hold_are_left_out(bare: Path) -> None:
    """[J10]"""
    folder = bare / "entities"
    (folder / "Bad Type").mkdir()
    text = (folder / "plan" / "p1.json").read_text()
    for name, item_type, item_id in (
        ("Bad Type/x", "Bad Type", "x"),
        ("plan/P1", "plan", "P1"),
        ("plan/con", "plan", "con"),
    ):
        changed = text.replace('"item_id": "p1"', f'"item_id": "{item_id}"').replace('"plan"', f'"{item_type}"')
        (folder / f"{name}.json").write_text(changed)
    found = adopted(bare)
    assert found.taken == 3
    assert len(found.left) == 3


def test_no_files_make_an_empty_store(tmp_path: Path) -> None:
    bare = tmp_path / "clone" / ".eventsync"
    (bare / "entities").mkdir(parents=True)
    assert adopted(bare).taken == 0
    store = opened(bare)
    put(store, "p1")
    assert store.verify().findings == []


# --- where there is no store, or another one -------------------------------------------------------------------------


def test_commands_in_a_clone_are_told_what_is_here(bare: Path) -> None:
    with pytest.raises(OnlyEntityFiles, match="only entity files are here, and no journal"):
        Store.open(find_store(bare.parent))


def test_a_store_further_up_is_not_taken_for_the_one_that_is_meant(bare: Path, tmp_path: Path) -> None:
    new_store(tmp_path)
    (bare.parent / "deep").mkdir()
    assert find_store(bare.parent / "deep") == bare


def test_a_store_is_never_adopted(original: Store) -> None:
    """Not even one whose journal or local.json is gone: there is something that could be lost [J11]."""
    with pytest.raises(StoreExists):
        adopted(original.folder)
    (original.folder / "local.json").unlink()
    assert not is_bare(QuickDisk(), original.folder)


def test_a_store_whose_journal_went_missing_is_damaged_and_not_a_clone(original: Store, tmp_path: Path) -> None:
    """[J11]"""
    shutil.move(original.folder / "journal", tmp_path / "aside")
    assert not is_bare(QuickDisk(), original.folder)
    with pytest.raises(StoreExists):
        adopted(original.folder)
    with pytest.raises(DamagedStore):
        put(
            Store.open(original.folder, disk=QuickDisk(), machine=original.machine, data_folder=original.data_folder),
            "x",
        )


def test_a_store_whose_store_file_went_missing_is_damaged(original: Store) -> None:
    """[J11]: that is not the same as no store."""
    (original.folder / "store.json").unlink()
    with pytest.raises(DamagedStore, match="is missing, and there is a journal"):
        Store.open(find_store(original.folder.parent))


def test_a_folder_without_anything_is_no_store(tmp_path: Path) -> None:
    (tmp_path / ".eventsync").mkdir()
    with pytest.raises(NotAStore) as raised:
        Store.open(tmp_path)
    assert type(raised.value) is NotAStore


def test_a_store_file_that_git_brought_is_replaced(original: Store, bare: Path) -> None:
    """[I1]: its key is not here."""
    shutil.copy(original.folder / "store.json", bare)
    adopted(bare)
    assert opened(bare).origin != original.origin


def test_a_name_nobody_could_show_is_refused_and_nothing_is_made(bare: Path) -> None:
    before = tree(bare)
    with pytest.raises(InvalidInput):
        adopted(bare, name="a\nb")
    assert tree(bare) == before


def test_files_that_git_brings_later_are_no_sign_of_lost_records(original: Store) -> None:
    """[P2] [J11]: their seqs are those of another store."""
    path = projection(original, "p1")
    value = json.loads(path.read_text())
    path.write_text(json.dumps(value | {"seq": 900, "entity_rev": 90, "payload": {"title": "theirs"}}))
    found = original.verify().findings
    assert [(finding.id, finding.severity) for finding in found] == [("projection-differs", "warning")]
