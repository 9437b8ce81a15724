"""A store that claims to include what cannot be: where a person meets that, on a terminal and as JSON [K4]."""

from __future__ import annotations

from pathlib import Path

from tests.cli.answers import Run
from tests.integration.forger import Forger


def test_a_false_claim_is_told_by_the_pull_and_shown_where_people_look(run: Run, tmp_path: Path) -> None:
    """[K4] By name and once; and it changes nothing."""
    store, bus, liar = tmp_path / "store", tmp_path / "bus", Forger()
    run("init", str(store))
    at = ("--store", str(store))
    run("put", "plan", "p1", "--set", "title=Mine", *at)
    run("remote", "add", "bus", str(bus), *at)
    run("sync", *at)
    own = run("status", "--json", *at).document["store"]["origin_store_id"]
    liar.record("p1", context={liar.origin: 1, own: 99}, payload={"title": "trust me"})
    liar.record("p2", context={liar.origin: 2, own: 98}, payload={"title": "trust me"})
    liar.feed(name="\x1b[2Jliar").put_into(bus)

    pulled = run("pull", *at)
    told = f"says that plan/p1 includes {own}@99, which cannot be"
    assert pulled.out.count(told) == 1
    assert "and 1 more of its records are like that" in pulled.out
    assert "cannot be" not in run("pull", *at).out

    rows = run("inbox", "--json", *at).document["candidates"]
    assert {row["item_id"]: (row["verdict"], row["false_claim"]) for row in rows} == {
        "p1": ("conflict", f"{own}@99"),
        "p2": ("new", f"{own}@98"),
    }
    assert [found["flagged"] for found in run("status", "--json", *at).document["origins"]] == [True]
    status = run("status", *at)
    assert "claims what cannot be" in status.out
    assert "\x1b" not in status.out
    shown = run("diff", next(row["id"] for row in rows if row["item_id"] == "p1"), *at)
    assert f"says that it includes {own}@99, which cannot be" in shown.out
    assert run("origin", "show", liar.origin, "--json", *at).document["flagged"] is True
