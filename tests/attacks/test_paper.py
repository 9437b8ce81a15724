"""docs/security.md and the attacks say the same."""

from __future__ import annotations

import ast

import pytest

from tests.attacks.corpus import ATTACKS
from tests.attacks.paper import ROOT, Told, kinds, rows


def test_every_kind_of_hostile_feed_is_in_the_paper_with_an_answer() -> None:
    told = kinds()
    assert set(told) == {attack.kind for attack in ATTACKS}
    assert all(told.values())


def test_the_paper_tells_of_many_attacks_and_of_none_twice() -> None:
    told = rows()
    assert len(told) > 40
    assert len({(row.title, row.attack) for row in told}) == len(told)


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.test)
def test_the_test_that_the_paper_names_is_there(row: Told) -> None:
    tree = ast.parse((ROOT / row.path).read_text(encoding="utf-8"))
    assert row.test in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
