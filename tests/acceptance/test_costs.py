"""What a command costs does not depend on what was done before it: counts of files, bytes, fsyncs and statements.

Counts only, since times are noise here: `python -m benchmarks` measures those, after a hundred times more records.
"""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from benchmarks.feeds import entities, make_feed
from benchmarks.stores import directory, make_store, open_store
from benchmarks.watch import Seen, watch
from federation.holdings import Holdings
from federation.model import HEAD_FILE, OriginPull, PublishReport, Result
from federation.publisher import publish
from federation.puller import Settings, pull
from federation.withholding import PublishSettings
from journal import Store
from tests.acceptance.people import Person

FEW, MANY = 20, 4_000
ENTITIES = 200
ROOM_BYTES = 1_024  # longer numbers, and a longer list of slices in a head


def cost(folder: Path, verb: Callable[[Store], object]) -> Seen:
    """What a command needs for this, from opening the store to closing it."""
    with watch() as seen:
        store = open_store(folder)
        verb(store)
        store.close()
    assert seen.opened and seen.statements and seen.bytes_read, "nothing was seen"
    return seen


def assert_costs_the_same(few: Seen, many: Seen) -> None:
    """The same files are opened, but for numbers in their names; nothing more is synced or asked."""
    assert sorted(map(kind, many.opened)) == sorted(map(kind, few.opened))
    assert len(many.statements) == len(few.statements)
    assert many.fsyncs == few.fsyncs
    assert many.bytes_read <= few.bytes_read + ROOM_BYTES


def kind(name: str) -> str:
    """What a file is, by its name without numbers and digests."""
    return re.sub(r"[0-9a-f]{8,}", "", name)


def pulled(store: Store, bus: Path) -> OriginPull:
    holdings = Holdings(store)
    (remote,) = pull(holdings, [directory(holdings, bus)], Settings())
    holdings.close()
    (origin,) = remote.origins
    return origin


def published(store: Store) -> PublishReport:
    holdings = Holdings(store)
    report = publish(holdings, PublishSettings())
    holdings.close()
    return report


def put(store: Store, *ids: str) -> None:
    with store.mutate(agent="test") as mutation:
        for item_id in ids:
            mutation.put("plan", item_id, {"title": item_id})


@pytest.fixture
def stores(tmp_path: Path) -> tuple[Path, Path]:
    """A store with few records and one with many."""
    for records in (FEW, MANY):
        make_store(tmp_path / f"store-{records}", records, known=entities(ENTITIES))
    return tmp_path / f"store-{FEW}", tmp_path / f"store-{MANY}"


def test_a_put_costs_the_same_after_few_and_many_records(stores: tuple[Path, Path]) -> None:
    few, many = (cost(folder, lambda store: put(store, "p")) for folder in stores)
    assert few.fsyncs == 1
    assert_costs_the_same(few, many)


def test_a_get_costs_the_same_after_few_and_many_records(stores: tuple[Path, Path]) -> None:
    for folder in stores:
        store = open_store(folder)
        put(store, "p")
        store.close()
    few, many = (cost(folder, lambda store: store.get("plan", "p")) for folder in stores)
    assert few.fsyncs == 0
    assert_costs_the_same(few, many)


def test_a_publish_costs_the_same_after_few_and_many_records(stores: tuple[Path, Path]) -> None:
    for folder in stores:
        store = open_store(folder)
        published(store)
        put(store, *(f"p{number}" for number in range(10)))
        store.close()
    few, many = (cost(folder, published) for folder in stores)
    assert_costs_the_same(few, many)


class Reader(NamedTuple):
    """A store that has pulled a feed of so many records, and where it stands."""

    folder: Path
    bus: Path
    records: int


@pytest.fixture
def readers(tmp_path: Path) -> list[Reader]:
    """A store that has read a feed of few records, and one that has read many; both feeds have four slices."""
    found = []
    for name, records in {"few": FEW, "many": MANY}.items():
        reader = Reader(tmp_path / name / "store", tmp_path / name / "bus", records)
        make_feed(reader.bus, [records // 4] * 4, known=entities(ENTITIES))
        make_store(reader.folder)
        store = open_store(reader.folder)
        assert pulled(store, reader.bus).result is Result.NEW
        store.close()
        found.append(reader)
    return found


def cost_of_pull(reader: Reader, bus: Path, expected: Result) -> Seen:
    """What a pull needs that comes to the expected result."""
    results = []
    seen = cost(reader.folder, lambda store: results.append(pulled(store, bus).result))
    assert results == [expected]
    return seen


def test_a_pull_of_nothing_new_opens_no_slice_and_reads_no_payload(readers: list[Reader]) -> None:
    for reader in readers:
        seen = cost_of_pull(reader, reader.bus, Result.UP_TO_DATE)
        assert seen.opened_like(".zst") == []
        assert seen.fsyncs == 0
        # Heads, and the small files that say which store this is: no payload fits into what is left.
        (head,) = reader.bus.glob(f"*/{HEAD_FILE}")
        assert seen.bytes_read <= len(seen.opened_like(HEAD_FILE)) * head.stat().st_size + 2 * ROOM_BYTES


def test_a_pull_of_nothing_new_costs_the_same_after_few_and_many_records(readers: list[Reader]) -> None:
    few, many = (cost_of_pull(reader, reader.bus, Result.UP_TO_DATE) for reader in readers)
    assert_costs_the_same(few, many)


def test_a_pull_of_ten_new_records_opens_no_slice_but_theirs(tmp_path: Path, readers: list[Reader]) -> None:
    costs = []
    for reader in readers:
        grown = reader.bus.with_name("grown")
        make_feed(grown, [*[reader.records // 4] * 4, 10], known=entities(ENTITIES))
        costs.append(cost_of_pull(reader, grown, Result.UPDATED))
        new = f"seg-{reader.records + 1:08d}-{reader.records + 10:08d}-"
        assert [name for name in costs[-1].opened_like(".zst") if new not in name] == []
    assert_costs_the_same(*costs)


def test_no_question_of_a_pull_makes_sqlite_sort(tmp_path: Path, readers: list[Reader]) -> None:
    """Questions are asked again and again while a first pull goes on: each must follow an index."""
    reader = readers[0]
    grown = reader.bus.with_name("grown")
    make_feed(grown, [*[reader.records // 4] * 4, 10], known=entities(ENTITIES))
    seen = cost_of_pull(reader, grown, Result.UPDATED)
    database = sqlite3.connect(reader.folder / ".eventsync" / "federation" / "index.sqlite3")
    asked = [text for text in seen.statements if text.startswith("SELECT") and " heads " in text]
    plans = {text: database.execute(f"EXPLAIN QUERY PLAN {text}").fetchall() for text in asked}
    database.close()
    assert asked
    assert [text for text, plan in plans.items() if "TEMP B-TREE" in str(plan)] == []


@pytest.mark.parametrize("verb", ["accept", "reject"])
def test_deciding_about_many_candidates_looks_through_the_inbox_once(place: Path, verb: str) -> None:
    make_feed(place / "bus", [60], known=entities(60))
    reader = Person(place / "reader")
    reader.pull(str(place / "bus"))
    candidates = [candidate["id"] for candidate in reader.inbox()]
    looks = []
    for some in (candidates[:1], candidates[1:21]):
        with watch() as seen:
            reader.ask(verb, *some)
        looks.append([text for text in seen.statements if re.search("FROM heads +ORDER BY", text)])
    assert len(looks[0]) == len(looks[1]) == 1


HEAVY = {"cryptography", "dulwich", "pydantic", "rich"}
LOADED = (
    "import json, sys; from eventsync.cli import main; main(sys.argv[1:]); json.dump(list(sys.modules), sys.stderr)"
)


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        (["--version"], set()),
        (["put", "plan", "p", "--set", "title=x"], set()),
        (["ls"], set()),
        (["pull", "../bus"], {"pydantic"}),  # reads config.toml
    ],
)
def test_a_command_loads_only_what_it_needs(tmp_path: Path, arguments: list[str], allowed: set[str]) -> None:
    make_feed(tmp_path / "bus", [3])
    make_store(tmp_path / "here")
    store = open_store(tmp_path / "here")
    pulled(store, tmp_path / "bus")
    store.close()
    root = Path(__file__).resolve().parents[2]
    ended = subprocess.run(
        [sys.executable, "-c", LOADED, *arguments],
        cwd=tmp_path / "here",
        env={"PYTHONPATH": str(root), "HOME": str(tmp_path)},
        capture_output=True,
        check=True,
        timeout=60,
    )
    loaded = {name.partition(".")[0] for name in json.loads(ended.stderr)}
    assert loaded & HEAVY <= allowed
