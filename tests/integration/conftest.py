"""What tests of whole stores get: a world, in memory where the system has such a folder."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.world import World

# These tests make hundreds of small stores and none of them cuts the power: SQLite need not wait for a platter.
_IN_MEMORY = Path("/dev/shm")


@pytest.fixture
def quick_folder() -> Iterator[Path]:
    """An empty folder on the fastest disk there is."""
    with tempfile.TemporaryDirectory(dir=_IN_MEMORY if _IN_MEMORY.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture
def world(quick_folder: Path) -> Iterator[World]:
    """An empty world with a bus."""
    found = World(quick_folder)
    yield found
    found.close_all()
