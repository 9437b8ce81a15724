"""A store for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from journal import Store
from tests.doubles.stores import new_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store with a fixed key, clock and salts, on a disk that does not wait."""
    found = new_store(tmp_path / "project")
    yield found
    found.close()
