"""One bit of a store turns over: either every answer is what it was, or `verify` names the file."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eventsync import app
from eventsync.sharing import Sharing
from federation.errors import FederationError
from journal import JournalError
from tests.crash.killing import DEEP
from tests.doubles.stores import quick_folder
from tests.integration.world import World, accept, answers, pull, put, reject, remove, share

pytestmark = pytest.mark.crash

BLOB = "x" * 66_000  # too long for a line
FLIPS = 1_000 if DEEP else 250
# What is one of the three truths, or made from them. Config, key and run log are texts for people.
ROOMS = ("journal", "feed", "federation/mirror", "entities", "projections.json", "index.sqlite3", "federation/index.")


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    with quick_folder() as folder:
        yield folder


def reader_of(world: World) -> Sharing:
    """A store with several segments and slices, a mirror of several slices, and all kinds of verdicts."""
    author, reader = world.store("author"), world.store("reader")
    reader.store.roll_bytes = 2_000
    put(reader, "p1", "p2", "p7", text="here")
    put(reader, "mine", text=BLOB)
    for number in range(3):
        put(author, "p1", "p3", "p4", "p5", f"q{number}", text=f"there {number}")
        share(author)
    put(author, "long", "longer", text=BLOB)
    share(author)
    assert pull(reader).exit_code == 0
    accept(reader, "plan/p3", "plan/p4", "plan/q1", "plan/long")
    reject(reader, "plan/p5")
    share(reader)
    put(author, "p4", "p5", text="later")
    remove(author, "p3")
    share(author)
    put(reader, "p2", "p4", text="here too")
    remove(reader, "p7")
    assert pull(reader).exit_code == 0
    share(reader)
    assert reader.holdings.look() is None
    return reader


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def restore(folder: Path, kept: dict[Path, bytes]) -> None:
    for path, data in files(folder).items():
        if path not in kept:
            path.unlink()
        elif data != kept[path]:
            path.write_bytes(data := kept[path])
    for path in kept.keys() - files(folder).keys():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(kept[path])


def all_answers(store: Sharing) -> Any:
    """All that a store says, and the files that agents read; the text of the error when it says nothing."""
    entity_files = {path.name: path.read_bytes() for path in (store.store.folder / "entities").rglob("*.json")}
    records = [(record.seq, record.c, record.payload_bytes) for record in store.store.log()]
    own = store.holdings.own.head()
    return entity_files, answers(store), records, store.store.stale, own and own.raw, store.status()


def told(folder: Path, world: World, store: Sharing) -> tuple[list[str], Any]:
    """What `verify` finds, and then what the store answers."""
    found = world.reopened(store)
    try:
        findings = [str(finding) for finding in app.verify(found.store) if finding.severity != "info"]
    except (FederationError, JournalError) as error:
        findings = [str(error)]
    try:
        said = all_answers(found)
    except (FederationError, JournalError, AssertionError) as error:
        said = f"{type(error).__name__}: {error}"
    world.close(found)
    return findings, said


def test_a_bit_that_turns_over_changes_no_answer_or_is_named(tmp_path: Path) -> None:
    world, chance = World(tmp_path), random.Random("flips")
    store = reader_of(world)
    folder = store.store.folder
    world.close_all()
    findings, expected = told(folder, world, store)
    assert findings == []
    kept = files(folder)
    assert told(folder, world, store) == ([], expected)
    flippable = [path for path in kept if str(path.relative_to(folder)).startswith(ROOMS) and kept[path]]
    # Databases are mostly empty.
    filled = {path: [at for at, byte in enumerate(kept[path]) if byte] for path in flippable}
    changed = 0
    unnamed = []
    for number in range(FLIPS):
        path = chance.choice(flippable)
        at, bit = chance.choice(filled[path]), chance.randrange(8)
        data = bytearray(kept[path])
        data[at] ^= 1 << bit
        path.write_bytes(data)
        findings, said = told(folder, world, store)
        if said != expected:
            changed += 1
            if not any(path.name in finding for finding in findings):
                unnamed.append((number, path.name, at, bit, findings))
        restore(folder, kept)
    assert unnamed == []
    assert changed > FLIPS // 4
