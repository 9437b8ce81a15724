"""What one command costs, counted: it must not depend on how much there is already."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from journal import Draft, Store
from tests.doubles.disks import CountingDisk
from tests.doubles.stores import new_store, put, quick_folder, reopened, tail

ROOT = Path(__file__).resolve().parents[3]
MANY = 20_000
BATCH = 5_000


@pytest.fixture(scope="module")
def large() -> Iterator[Store]:
    """A store with many records in several segments; each test opens it anew."""
    with quick_folder() as folder:
        store = new_store(folder / "large")
        store.roll_bytes = 1_000_000
        for start in range(0, MANY, BATCH):
            with store.mutate() as mutation:
                for number in range(start, start + BATCH):
                    if number % 10:  # most of a log is of no entity that a file would have to be made for
                        mutation.add(Draft("run_progress", "agent_run", f"r{number}"))
                    else:
                        mutation.put("plan", f"p{number // 10:05}", {"title": f"p{number}"})
        assert len(store.segments.segments()) > 2
        yield store
        store.close()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Store]:
    store = new_store(tmp_path / "small")
    for number in range(10):
        put(store, f"p{number:05}")
    yield store
    store.close()


def cost_of_a_put(store: Store) -> tuple[CountingDisk, int]:
    disk = CountingDisk()
    again = reopened(store, disk=disk)
    put(again, "p00001", text="warm")
    disk.reset()
    put(again, "p00001", text="once more")
    again.close()
    return disk, disk.bytes_read


def test_a_mutation_costs_one_fsync(small: Store) -> None:
    """[J5]: in the steady state, however many records it has."""
    disk = CountingDisk()
    again = reopened(small, disk=disk)
    put(again, "p1")
    disk.reset()
    put(again, "p1", n=2)
    assert disk.calls["fsync"] == 1
    disk.reset()
    put(again, *(f"q{number}" for number in range(100)))
    assert disk.calls["fsync"] == 1


def test_the_first_mutation_of_a_command_costs_one_fsync_too(small: Store) -> None:
    """[J5]: a command writes once."""
    disk = CountingDisk()
    put(reopened(small, disk=disk), "p1")
    assert disk.calls["fsync"] == 1


def test_one_write_carries_the_whole_mutation(small: Store) -> None:
    """[J5]: and one each for the projections and the watermark."""
    disk = CountingDisk()
    again = reopened(small, disk=disk)
    put(again, "p1")
    disk.reset()
    put(again, "p1", n=2)
    assert disk.order == ["write", "fsync", "write", "rename", "write", "rename"]


def test_a_put_reads_as_much_from_a_large_store_as_from_a_small_one(small: Store, large: Store) -> None:
    """Append is independent of history."""
    disk, few = cost_of_a_put(small)
    other, many = cost_of_a_put(large)
    assert disk.calls == other.calls
    assert abs(few - many) < 100, "the same, but for longer numbers"
    assert many < 2_000


def test_a_get_reads_as_much_from_a_large_store_as_from_a_small_one(small: Store, large: Store) -> None:
    """Reading one entity is independent of history."""
    costs = []
    for store in (small, large):
        disk = CountingDisk()
        again = reopened(store, disk=disk)
        assert again.get("plan", "p00003").payload["title"]
        costs.append((disk.calls, disk.bytes_read))
        again.close()
    assert costs[0][0] == costs[1][0]
    assert abs(costs[0][1] - costs[1][1]) < 100
    assert costs[1][1] < 1_500
    assert set(costs[1][0]) == {"read"}


def test_a_read_with_nothing_new_looks_at_no_record(large: Store) -> None:
    """[P1]: reads compare positions with the tail, O(1)."""
    disk = CountingDisk()
    again = reopened(large, disk=disk)
    again.refresh()
    assert disk.bytes_read < 700, "the watermark and local.json"
    assert again.stale is None


def test_the_newest_records_are_read_from_the_end(large: Store) -> None:
    disk = CountingDisk()
    again = reopened(large, disk=disk)
    assert [record.seq for record in again.log(last=2)][-1] == again.position().seq
    assert disk.bytes_read < 2 * tail(again).stat().st_size + 10_000


def test_a_seq_is_found_by_the_names_of_the_segments(large: Store) -> None:
    """[J8]"""
    disk = CountingDisk()
    again = reopened(large, disk=disk)
    disk.reset()
    assert again.position_at(MANY // 2).seq <= MANY // 2
    assert disk.bytes_read <= 4_096


def test_opening_the_journal_loads_no_heavy_module() -> None:
    """They load in the command that needs them."""
    names = "cryptography", "dulwich", "filelock", "pydantic", "rich", "platformdirs", "subprocess", "asyncio"
    program = f"import sys; from journal import Store; print([name for name in {names} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"
