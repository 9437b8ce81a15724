"""Taking over the real stores of that program, against what its own reader says lives in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from eventsync.app import Surroundings
from eventsync.migration import migrate
from federation.brainclaw import MEMORY_FAMILIES
from journal import why_wrong
from tests.doubles.stores import new_store, tree

STORES = Path(__file__).resolve().parents[2].parent / "shared" / "brainclaw"
pytestmark = pytest.mark.skipif(not STORES.is_dir(), reason=f"the stores of that program are not at {STORES}")

_FAMILIES = {
    "active_constraints": "constraint",
    "recent_decisions": "decision",
    "known_traps": "trap",
    "open_handoffs": "handoff",
    "plan_items": "plan",
}


def oracle(name: str) -> Any:
    return json.loads((STORES / name / "oracle.json").read_bytes())


def documents(name: str) -> dict[tuple[str, str], Any]:
    """The documents of memory as they stand in files: what its reader loads."""
    folders = ("memory/constraints", "memory/decisions", "memory/traps", "coordination/handoffs", "coordination/plans")
    return {
        (folder.rpartition("/")[2].removesuffix("s"), path.stem): json.loads(path.read_bytes())
        for folder in folders
        for path in (STORES / name / ".brainclaw" / folder).glob("*.json")
    }


@pytest.mark.parametrize("name", ["v1-legacy", "v2-small", "v2-torn"])
def test_everything_that_program_remembers_is_taken(name: str, tmp_path: Path) -> None:
    """[K1]"""
    source = STORES / name / ".brainclaw"
    before = tree(source)
    store = new_store(tmp_path / "project")
    done = migrate(store, Surroundings(), source.parent)
    assert done.parked == []
    assert done.found.origin == f"brainclaw:{oracle(name)['project_id']}"
    taken = {head[:2]: store.get(*head[:2]).payload for head in store.list()}
    assert taken == documents(name)
    loaded = oracle(name)["loadState_counts"]
    if name == "v1-legacy":
        assert taken.keys() == {(_FAMILIES[family], item_id) for family, ids in loaded.items() for item_id in ids}
    else:
        live = {(entity["item_type"], entity["item_id"]): entity for entity in oracle(name)["live"].values()}
        memory = {key: entity["payload"] for key, entity in live.items() if key[0] in MEMORY_FAMILIES}
        assert taken == memory
        left = {entry.item_type: entry.entities for entry in done.found.left}
        assert left == oracle(name)["registry_counts"]
    assert all(why_wrong(key[0], payload) is None for key, payload in taken.items())
    assert store.verify().findings == []
    last_seq = store.position().seq
    assert last_seq == len(taken) + 1
    assert migrate(store, Surroundings(), source).before == 1
    assert store.position().seq == last_seq
    assert tree(source) == before
    store.close()
