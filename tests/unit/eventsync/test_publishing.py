"""The second opinion on what looks like a secret: how the library is asked. A stand-in has its two calls [F1]."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from eventsync.config import Publish
from eventsync.errors import LibraryMissing
from eventsync.publishing import library_scan, own_names, screening_of


class StandIn:
    """Finds the word sphinx in a line, while it is set up."""

    def __init__(self) -> None:
        self.settings: list[Any] = []
        self.lines: list[str] = []

    @contextlib.contextmanager
    def transient_settings(self, wanted: Any) -> Iterator[None]:
        self.settings.append(wanted)
        yield

    def scan_line(self, line: str) -> Iterator[SimpleNamespace]:
        self.lines.append(line)
        if "sphinx" in line:
            yield SimpleNamespace(type="Secret Riddle", secret_value=line)


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    found = StandIn()
    names: dict[str, dict[str, Any]] = {
        "detect_secrets": {},
        "detect_secrets.core": {},
        "detect_secrets.core.scan": {"scan_line": found.scan_line},
        "detect_secrets.settings": {"transient_settings": found.transient_settings},
    }
    for name, contents in names.items():
        module = ModuleType(name)
        vars(module).update(contents)
        monkeypatch.setitem(sys.modules, name, module)
    return found


def test_each_line_of_a_text_is_asked_about_and_the_kind_is_named(library: StandIn) -> None:
    scan = library_scan()
    assert scan("nothing\nhere") is None
    assert scan("a\nthe sphinx knows\nb") == "a secret (secret riddle, says detect-secrets)"
    assert library.lines == ["nothing", "here", "a", "the sphinx knows"]


def test_no_detector_of_randomness_and_none_that_asks_the_network_is_used(library: StandIn) -> None:
    library_scan()("x")
    (settings,) = library.settings
    names = [plugin["name"] for plugin in settings["plugins_used"]]
    assert "KeywordDetector" in names
    assert [name for name in names if "Entropy" in name or "IP" in name] == []
    assert settings["filters_used"] == []  # filters are where it would verify a finding at a server


def test_the_library_is_asked_only_where_a_person_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "detect_secrets", None)
    assert screening_of(Publish(), frozenset()).library is None
    with pytest.raises(LibraryMissing):
        screening_of(Publish(secret_scan="library"), frozenset())


def test_what_is_personal_is_looked_for_unless_a_person_allows_it() -> None:
    assert screening_of(Publish(home_paths="allow"), frozenset()).personal is None
    assert not screening_of(Publish(), frozenset()).stop_at_personal
    assert screening_of(Publish(home_paths="stop"), frozenset()).stop_at_personal
    assert {"alice", "bob"} <= own_names({"USER": "alice", "LOGNAME": "bob"})
