"""The table of exits: every error has a row, every hint is harmless, several codes make one."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

import eventsync
from eventsync.errors import Terminated, ToolError
from eventsync.exits import GRAVITY, MEANINGS, TABLE, combine, exit_of
from federation.errors import FederationError, NoSuchCandidate, SecretFound, UnknownRemote
from journal import DiskFailed, JournalError, LogShorterThanKnown, NoSuchEntity, NotAStore, StoreCopied

# What a person could paste and lose something by.
DESTRUCTIVE = re.compile(r"\brm\b|\bdelete\b|\bremove\b|--force|--yes|\bgit push\b|>|\bmv\b|\bkill\b", re.IGNORECASE)


def all_below(kind: type[BaseException]) -> Iterator[type[BaseException]]:
    for below in kind.__subclasses__():
        yield below
        yield from all_below(below)


ERRORS = sorted({kind for base in (JournalError, FederationError, ToolError) for kind in all_below(base)}, key=str)


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_has_a_row_of_its_own(kind: type[BaseException]) -> None:
    assert kind.__name__ in TABLE


@pytest.mark.parametrize(
    ("error", "code", "slug"),
    [
        (NotAStore("x"), 10, "not_a_store"),
        (NoSuchEntity("x"), 2, "no_such_entity"),
        (StoreCopied("x"), 22, "store_copied"),
        (LogShorterThanKnown("x"), 12, "log_shorter_than_known"),
        (DiskFailed("x"), 14, "disk_failed"),
        (UnknownRemote("x"), 10, "unknown_remote"),
        (SecretFound("x"), 22, "secret_found"),
        (NoSuchCandidate("x"), 2, "no_such_candidate"),
        (click.BadParameter("x"), 2, "usage"),
        (PermissionError(13, "x"), 14, "disk_failed"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (Terminated(), 143, "terminated"),
        (ZeroDivisionError(), 1, "bug"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_an_error_means_its_code_and_class(error: BaseException, code: int, slug: str) -> None:
    assert exit_of(error)[:2] == (code, slug)


def test_an_error_without_a_row_means_what_it_derives_from() -> None:
    class Fresh(DiskFailed):
        pass

    assert exit_of(Fresh("x")) == TABLE["DiskFailed"]


@pytest.mark.parametrize("name", TABLE)
def test_a_row_has_a_known_code_a_slug_and_no_destructive_hint(name: str) -> None:
    row = TABLE[name]
    assert row.code in MEANINGS
    assert re.fullmatch(r"[a-z][a-z_]*", row.slug)
    assert row.hint is None or not DESTRUCTIVE.search(row.hint)


def test_classes_of_our_own_errors_are_told_apart_by_their_slug() -> None:
    slugs = [TABLE[kind.__name__].slug for kind in ERRORS]
    assert len(set(slugs)) == len(slugs)


def test_the_order_of_gravity_knows_every_failure() -> None:
    assert set(GRAVITY) == set(MEANINGS) - {0, 3}
    assert len(set(GRAVITY)) == len(GRAVITY)


@pytest.mark.parametrize(
    ("codes", "code"),
    [
        ([], 0),
        ([0, 0], 0),
        ([5], 5),
        ([75, 75], 75),
        ([0, 75], 3),
        ([0, 5, 75], 3),
        ([3, 5], 3),
        ([75, 5], 5),
        ([75, 4, 22], 22),
        ([12, 5], 12),
        ([1, 14], 1),
        ([99, 75], 99),
        ([0, 130], 130),
        ([143, 5], 143),
    ],
)
def test_several_codes_make_one(codes: list[int], code: int) -> None:
    assert combine(codes) == code


@given(st.lists(st.sampled_from(sorted(MEANINGS))))
def test_one_code_of_several_does_not_depend_on_their_order(codes: list[int]) -> None:
    assert combine(codes) == combine(codes[::-1]) == combine(sorted(codes))
    assert (combine(codes) == 0) == (set(codes) <= {0})


def test_the_table_loads_nothing_heavy() -> None:
    code = "import sys, eventsync.exits; print(sorted(sys.modules))"
    root = Path(eventsync.__file__).parents[1]
    loaded = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True).stdout
    assert not {"click", "journal", "msgspec", "pydantic"} & set(re.findall(r"\w+", loaded))


def test_every_paper_that_a_hint_names_is_there() -> None:
    root = Path(__file__).resolve().parents[3]
    named = {name for row in TABLE.values() for name in re.findall(r"docs/[a-z]+\.md", row.hint or "")}
    assert named
    assert [name for name in sorted(named) if not (root / name).is_file()] == []
