"""Stores that share no place, at the command line: what a relay passes on, and what it says where it cannot."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.cli.answers import Answer, Run
from tests.integration.forger import Forger


class Sites(NamedTuple):
    """Ada reaches the hub of her site, Cleo that of hers, and Ben both."""

    run: Run
    folder: Path

    def ask(self, who: str, *words: str) -> Answer:
        return self.run(*words, "--store", str(self.folder / who))

    def json(self, who: str, *words: str, code: int = 0) -> Any:
        answer = self.ask(who, *words, "--json")
        assert answer.code == code, answer
        return answer.document

    def relaying(self, who: str, hub: str) -> None:
        """`relay = true` for a hub."""
        config = self.folder / who / ".eventsync" / "config.toml"
        url = f'url = "{self.folder / hub}"\n'
        text = config.read_text()
        assert url in text
        config.write_text(text.replace(url, url + "relay = true\n"))


@pytest.fixture
def sites(run: Run, tmp_path: Path) -> Sites:
    found = Sites(run, tmp_path)
    for who, hubs in {"ada": ["north"], "ben": ["north", "south"], "cleo": ["south"]}.items():
        assert run("init", str(tmp_path / who), "--name", who).code == 0
        for hub in hubs:
            assert found.ask(who, "remote", "add", hub, str(tmp_path / hub)).code == 0
    assert found.ask("ada", "put", "plan", "p1", "--set", "title=One").code == 0
    assert found.ask("ada", "put", "plan", "p2", "--set", "title=Two").code == 0
    assert found.ask("ada", "sync").code == 0
    return found


def test_two_sites_learn_from_each_other_by_the_sync_of_one_who_reaches_both(sites: Sites) -> None:
    """[F10] Candidates are the author's own, and what was decided comes back to her."""
    sites.ask("ben", "push", "south")
    sites.relaying("ben", "north")
    sites.relaying("ben", "south")
    assert sites.ask("ben", "sync").code == 3  # nothing stood at the other hub that could be pulled
    ada = sites.json("ada", "identity", "show")["origin_store_id"]
    sites.json("cleo", "sync")
    rows = sites.json("cleo", "inbox")["candidates"]
    assert {(row["origin_store_id"], row["origin_name"], row["item_id"]) for row in rows} == {
        (ada, "ada", "p1"),
        (ada, "ada", "p2"),
    }
    assert sites.ask("cleo", "accept", rows[0]["id"]).code == 0
    assert sites.ask("cleo", "reject", rows[1]["id"]).code == 0
    sites.json("cleo", "sync")
    document = sites.json("ben", "sync")
    found = {row["name"]: {o["name"]: o["result"] for o in row["origins"]} for row in document["relay"]["remotes"]}
    assert found == {
        "north": {"ada": "up_to_date", "cleo": "relayed"},
        "south": {"ada": "up_to_date", "cleo": "up_to_date"},
    }
    sites.json("ada", "sync")
    told = {row["name"]: row for row in sites.json("ada", "status")["origins"]}
    assert (told["cleo"]["they_accepted"], told["cleo"]["they_rejected"]) == (1, 1)
    assert told["cleo"]["they_have_seq"] == 2
    receipts = sites.json("ada", "origin", "show", "cleo")["receipts"]
    assert {(row["item_id"], row["decision"]) for row in receipts} == {
        (rows[0]["item_id"], "accepted"),
        (rows[1]["item_id"], "rejected"),
    }


def test_a_push_tells_what_it_passed_on(sites: Sites) -> None:
    assert "nothing to relay" in sites.ask("ben", "push", "south", "--relay").out
    sites.ask("ben", "pull", "north")
    answer = sites.ask("ben", "push", "south", "--relay")
    assert (answer.code, answer.err) == (0, "")
    (line,) = [line for line in answer.out.splitlines() if "relayed" in line]
    assert line.startswith("south  relayed ada (es1")
    assert line.endswith(", seq 2")
    assert "1 feed of others was there already" in sites.ask("ben", "push", "south", "--relay").out
    assert sites.ask("ben", "push", "south", "--relay", "-q") == (0, "", "")
    assert sites.json("ben", "push", "south")["relay"] is None
    assert "relay = true" not in sites.ask("ben", "remote", "show", "south").out
    sites.relaying("ben", "south")
    assert "  relay = true\n" in sites.ask("ben", "remote", "show", "south").out


def test_a_sync_relays_only_where_config_says_so(sites: Sites) -> None:
    assert sites.json("ben", "sync", code=3)["relay"] == {"remotes": [], "exit_code": 0}  # south is not there yet
    assert not (sites.folder / "south").exists()


def test_what_stands_there_and_cannot_be_believed_is_an_error_that_says_so(sites: Sites) -> None:
    """[F10] 3: the rest went on."""
    forger = Forger()
    forger.record()
    forger.feed().put_into(sites.folder / "north")
    sites.ask("ben", "pull", "north")
    (sites.folder / "south" / forger.origin).mkdir(parents=True)
    (sites.folder / "south" / forger.origin / "head.json").write_text("junk")
    answer = sites.ask("ben", "push", "south", "--relay")
    assert answer.code == 3
    assert "relayed ada" in answer.out
    assert f"relay of forger 7: refused: {forger.origin}/head.json: not a head" in answer.err
    assert "hint: nothing was changed there" in answer.err
    document = sites.json("ben", "push", "south", "--relay", code=3)
    assert {row["name"]: row["result"] for row in document["relay"]["remotes"][0]["origins"]} == {
        "ada": "up_to_date",
        "forger 7": "refused",
    }
    (row,) = [row for row in sites.json("ben", "status")["remotes"] if row["name"] == "south"]
    assert "not a head" in row["last_error"]
    assert (sites.folder / "south" / forger.origin / "head.json").read_text() == "junk"


def test_a_feed_that_forked_is_held_back_and_says_what_helps(sites: Sites) -> None:
    """[F5]"""
    forger, other = Forger(), Forger()
    forger.record("p1")
    other.record("p2")
    forger.feed().put_into(sites.folder / "north")
    sites.ask("ben", "pull", "north")
    other.feed(gen=2).put_into(sites.folder / "north")
    assert sites.ask("ben", "pull", "north").code == 3
    answer = sites.ask("ben", "push", "south", "--relay")
    assert (answer.code, answer.err) == (0, "")
    assert f"`eventsync origin show {forger.origin}` tells more" in answer.out
    assert sites.ask("ben", "origin", "trust", forger.origin, "--keep").code == 0
    assert "relayed forger 7" in sites.ask("ben", "push", "south", "--relay").out


def test_a_relay_by_git_moves_one_ref_for_each_origin(sites: Sites) -> None:
    hub = sites.folder / "hub.git"
    subprocess.run(["git", "init", "-q", "--bare", str(hub)], check=True)
    sites.ask("ben", "remote", "add", "hub", str(hub))
    sites.ask("ben", "put", "plan", "b1", "--set", "title=Mine")
    sites.ask("ben", "pull", "north")
    assert sites.ask("ben", "push", "hub", "--relay").code == 0
    refs = subprocess.run(["git", "-C", str(hub), "for-each-ref"], check=True, capture_output=True, text=True).stdout
    names = [sites.json(who, "identity", "show")["origin_store_id"] for who in ("ada", "ben")]
    assert sorted(line.rpartition("/")[2] for line in refs.splitlines()) == sorted(names)
    sites.ask("cleo", "remote", "add", "hub", str(hub))
    sites.ask("ada", "edit", "plan", "p1", "--set", "title=Uno")
    sites.ask("ada", "push", "north")
    sites.ask("ben", "pull", "north")
    assert "relayed ada" in sites.ask("ben", "push", "hub", "--relay").out
    found = sites.json("cleo", "pull", "hub")["remotes"][0]["origins"]
    assert {(row["name"], row["last_seq"]) for row in found} == {("ada", 3), ("ben", 1)}
