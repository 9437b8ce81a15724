"""Another program's stores as remotes: what is offered is what that program's own reader says is there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.acceptance.people import Person

STORES = Path(__file__).resolve().parents[2].parent / "shared" / "brainclaw"
FAMILIES = {"plan", "decision", "trap", "constraint", "handoff"}
pytestmark = pytest.mark.skipif(not STORES.is_dir(), reason=f"the stores of that program are not at {STORES}")


@pytest.mark.parametrize("name", ["v2-small", "v2-torn"])
def test_the_candidates_are_the_entities_that_live_there(place: Path, name: str) -> None:
    oracle = json.loads((STORES / name / "oracle.json").read_bytes())
    living = {
        (entity["item_type"], entity["item_id"]): (entity["entity_rev"], entity["payload"])
        for entity in oracle["live"].values()
        if entity["item_type"] in FAMILIES
    }
    reader = Person(place)
    (found,) = reader.pull(str(STORES / name)).values()
    assert found["origin_store_id"] == f"brainclaw:{oracle['project_id']}"
    assert found["candidates"]["open"] == len(living)
    offered = {
        (item["item_type"], item["item_id"]): (item["entity_rev"], item["payload"])
        for item in reader.inbox()
        if item["verdict"] == "new"
    }
    assert offered == living
    before = reader.journal()
    assert {origin["result"] for origin in reader.pull(str(STORES / name)).values()} == {"up_to_date"}
    assert reader.journal() == before


@pytest.mark.parametrize("name", ["v2-small", "v2-torn"])
def test_what_is_accepted_is_what_lives_there(place: Path, name: str) -> None:
    oracle = json.loads((STORES / name / "oracle.json").read_bytes())
    reader = Person(place)
    reader.pull(str(STORES / name))
    reader.ask("accept", "--all")
    living = {
        f"{entity['item_type']}/{entity['item_id']}": entity["payload"]
        for entity in oracle["live"].values()
        if entity["item_type"] in FAMILIES
    }
    assert reader.entities() == living
    assert reader.inbox() == []
    assert reader.ask("verify")["ok"]
