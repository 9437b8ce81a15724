"""What every test gets: a hypothesis profile, a data folder of its own, and no setting of the user's.

The profile `ci` finds the same examples in every run; `deep` (HYPOTHESIS_PROFILE=deep) looks for new ones. Tests marked
`deep` are left out unless EVENTSYNC_DEEP=1 is set.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# No deadline: on a busy machine a slow example is no fault of the code.
settings.register_profile("ci", deadline=None, derandomize=True)
settings.register_profile(
    "deep",
    deadline=None,
    max_examples=5_000,
    stateful_step_count=100,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

# A shell without job control starts what runs in the background deaf to Ctrl-C, and programs inherit that.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_FOR_TESTS = frozenset(["EVENTSYNC_DEEP"])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that take minutes, unless they were asked for."""
    if os.environ.get("EVENTSYNC_DEEP") == "1":
        return
    deep = [item for item in items if item.get_closest_marker("deep")]
    items[:] = [item for item in items if not item.get_closest_marker("deep")]
    config.hook.pytest_deselected(items=deep)


@pytest.fixture(scope="session", autouse=True)
def _no_user_data_for_fixtures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fixtures that live longer than a test must not find the user's data either."""
    with pytest.MonkeyPatch.context() as patch:
        _move_into(tmp_path_factory.mktemp("user"), patch)
        yield


@pytest.fixture(autouse=True)
def _no_user_data(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys and settings of one test are not seen by another, and do not lie in its tmp_path, which may be a remote."""
    _move_into(tmp_path_factory.mktemp("user"), monkeypatch)


def _move_into(folder: Path, patch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("EVENTSYNC_")]:
        if name not in _FOR_TESTS:
            patch.delenv(name)
    for kind in ("data", "config", "state", "cache"):
        patch.setenv(f"XDG_{kind.upper()}_HOME", str(folder / kind))
    patch.setenv("EVENTSYNC_DATA_DIR", str(folder / "data" / "eventsync"))
