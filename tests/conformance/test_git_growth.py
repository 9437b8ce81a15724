"""How a git repository grows under the stores that publish to it: by what is new, its list and its name, and no more.

`python -m benchmarks` publishes a thousand times; docs/performance.md says what came of it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.growth import collect, publish_often, size_of

RECORDS = 10
MOST_BYTES = 12 * 1024  # of the repository for each publish: a slice, head.json, a tree, a commit


def grown(tmp_path: Path, publishes: int) -> int:
    """Bytes of a repository after so many publishes."""
    repository = tmp_path / f"{publishes}.git"
    feed_bytes = publish_often(tmp_path / f"store-{publishes}", repository, publishes=publishes, records=RECORDS)
    size = size_of(repository)
    assert size.objects == 4 * publishes
    assert feed_bytes < size.size_bytes < feed_bytes + publishes * MOST_BYTES
    collect(repository)
    assert size_of(repository).objects == size.objects, "all that was published can still be reached"
    assert size_of(repository).size_bytes < size.size_bytes
    return size.size_bytes


def test_a_publish_adds_four_objects_and_few_bytes(tmp_path: Path) -> None:
    grown(tmp_path, 20)


@pytest.mark.deep
@pytest.mark.timeout(3600)
def test_a_thousand_publishes_cost_a_thousand_times_as_much(tmp_path: Path) -> None:
    few, many = grown(tmp_path, 100), grown(tmp_path, 1_000)
    assert many < 20 * few  # lists of slices are longer, up to a limit
