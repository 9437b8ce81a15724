"""What others are doing: shown, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.answers import Run
from tests.integration.forger import Forger


@pytest.fixture
def bus(run: Run, store: Path, tmp_path: Path) -> Path:
    """Two others that show what they do, one of whom also plans."""
    bus = tmp_path / "bus"
    bus.mkdir()
    one, other = Forger(7), Forger(8)
    one.record("c1", item_type="claim", payload={"on": "plan/p"}, summary="first", agent="ada")
    one.record("c1", item_type="claim", action="update", payload={"on": "plan/q"}, summary="then", agent="ada")
    one.record("c2", item_type="claim", payload={"text": 'a plan with "item_type":"claim" in it'})
    one.record("c2", item_type="claim", action="delete")
    one.blob("c3", b'{"text":"%s"}' % (b"x" * 70_000), item_type="claim")
    one.record("p1", summary='"item_type":"session"')
    one.feed(name="one").put_into(bus)
    other.record("s1", item_type="session", payload={"long": "x" * 17_000}, agent="ben")
    other.feed(name="other").put_into(bus)
    assert run("peers").out == "no other store shows what it is doing\n"
    assert run("remote", "add", "bus", str(bus)).code == 0
    assert run("pull").code == 0
    return bus


def test_what_goes_on_is_shown_and_what_ended_is_not(run: Run, bus: Path) -> None:
    answer = run("peers", "--json")
    found = {peer["name"]: peer["activities"] for peer in answer.document["peers"]}
    assert {name: [one["item_id"] for one in told] for name, told in found.items()} == {
        "one": ["c3", "c1"],
        "other": ["s1"],
    }
    long, claim = found["one"]
    assert long["payload"] is None
    assert (claim["seq"], claim["action"], claim["agent"], claim["summary"]) == (2, "update", "ada", "then")
    assert (claim["payload"], claim["trust"]) == ({"on": "plan/q"}, "foreign")
    assert found["other"][0]["payload"] is None
    assert [one["item_id"] for one in run("inbox", "--json").document["candidates"]] == ["p1"]


def test_one_of_them_may_be_meant_and_a_blocked_one_is_out_of_sight(run: Run, bus: Path) -> None:
    header, line = run("peers", "other").out.splitlines()
    assert header.split() == ["FROM", "WHAT", "AGENT", "SINCE", "SUMMARY"]
    assert line.split()[:3] == ["other", "session/s1", "ben"]
    assert run("peers", "nobody").code == 2
    assert run("origin", "block", "one").code == 0
    assert [peer["name"] for peer in run("peers", "--json").document["peers"]] == ["other"]
