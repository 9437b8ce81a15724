"""Whole stores are made here by the dozen: in memory where there is some."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doubles import stores


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder for stores and buses."""
    with stores.quick_folder() as folder:
        yield folder
