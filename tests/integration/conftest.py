"""What tests of whole stores get: a world."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """An empty world with a bus."""
    (tmp_path / "world").mkdir()
    found = World(tmp_path / "world")
    yield found
    found.close_all()
