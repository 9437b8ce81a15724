"""The stores in fixtures/stores: reading them gives what stands beside them, making them anew changes no byte."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import zstandard

from federation.audit import audit
from federation.feed import parse_head
from federation.signing import is_signed
from fixtures import make_stores
from fixtures.make_stores import CASES, EXPECTED, FOLDER, described, opened

EACH = pytest.mark.parametrize("case", sorted(path.name for path in FOLDER.iterdir()))


def expected(case: str) -> Any:
    return json.loads((FOLDER / case / EXPECTED).read_bytes())


def contents(folder: Path) -> Mapping[str, bytes]:
    """All files; of compressed ones what is in them, since compression is transport only [F3]."""
    return {
        path.relative_to(folder).as_posix(): zstandard.ZstdDecompressor().decompress(path.read_bytes())
        if path.suffix == ".zst"
        else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_every_case_that_is_made_is_there() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(CASES)


@EACH
def test_a_store_of_long_ago_is_read_as_it_was(case: str, tmp_path: Path) -> None:
    """[J4] [J7] [F1] [F2] [K3] Heads, log, feed, candidates and verdicts."""
    with opened(FOLDER / case, tmp_path) as people:
        found = {person.store.name: described(person) for person in people}
    assert json.loads(json.dumps(found)) == expected(case)


@EACH
def test_reading_changes_nothing_that_counts(case: str, tmp_path: Path) -> None:
    """[T1] Journal, feed and mirrors are the truths; the rest may come and go."""
    with opened(FOLDER / case, tmp_path) as people:
        for person in people:
            described(person)
            assert [finding for finding in audit(person.holdings) if finding.severity == "error"] == []
            with person.holdings.lock():
                person.store.rebuild()
                person.holdings.rebuild()
            assert json.loads(json.dumps(described(person))) == expected(case)[person.store.name]
            for part in ("journal", "feed", "federation/mirror"):
                there = FOLDER / case / person.store.name / part
                if there.is_dir():
                    assert contents(person.store.folder / part) == contents(there)


def test_making_them_anew_changes_no_byte(tmp_path: Path) -> None:
    make_stores.make(tmp_path)
    assert contents(tmp_path) == contents(FOLDER)


def test_their_heads_are_signed_by_the_keys_they_name() -> None:
    """[F2] [I1]"""
    heads = sorted(FOLDER.rglob("head.json"))
    assert heads
    for path in heads:
        head, signed, signature = parse_head(path.read_bytes())
        assert head.origin == path.parent.name
        assert is_signed(head.public_key, head.origin, signed, signature)


def test_the_cases_show_what_they_are_for() -> None:
    """A fixture that lost its point is worse than none."""
    verdicts = {item["verdict"] for person in expected("conflict").values() for item in person["candidates"]}
    assert verdicts == {"known", "new", "identical", "update", "gone", "conflict"}
    torn = expected("torn-tail")["author"]
    assert [finding[0] for finding in torn["findings"]] == ["torn-tail", "torn-tail", "void-batch"]
    assert torn["feed"][1:] == ["record 1", "skip 2 to 5", "record 6"]
    assert expected("withheld")["author"]["feed"][1:] == ["record 1", "skip 2 to 5", "skip 6 to 7", "record 8"]
    assert [item["entity"] for item in expected("withheld")["reader"]["candidates"]] == ["plan/shown", "plan/draft"]
    author, reader = (expected("blobs")[name] for name in ("author", "reader"))
    assert author["heads"]["plan/again"]["payload"] == reader["heads"]["plan/again"]["payload"]
    assert len([name for name in contents(FOLDER / "blobs" / "author") if "/blobs/" in name]) == 3  # one of them packed
    texts = b"".join(contents(FOLDER / "withheld" / "reader").values())
    assert b"secret" not in texts
    assert b"session" not in texts
