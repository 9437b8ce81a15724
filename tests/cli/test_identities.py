"""Copies of stores at the command line: how a person meets them, and gets out [I2] [R3]."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cli.answers import Answer, Program, Run


class Person:
    """Types commands about stores in folders of their own, with a bus between them."""

    def __init__(self, run: Run, folder: Path) -> None:
        self._run = run
        self.folder = folder
        self.bus = folder / "bus"

    def __call__(self, store: str, *words: str, code: int = 0) -> Answer:
        answer = self._run(*words, "--store", str(self.folder / store))
        assert answer.code == code, answer
        return answer

    def json(self, store: str, *words: str, code: int = 0) -> Answer:
        return self(store, *words, "--json", code=code)

    def new(self, store: str) -> None:
        self._run("init", str(self.folder / store))
        self(store, "remote", "add", "bus", str(self.bus))

    def copy(self, store: str, name: str) -> None:
        shutil.copytree(self.folder / store, self.folder / name)

    def origin(self, store: str) -> str:
        found: str = self.json(store, "identity", "show").document["origin_store_id"]
        return found

    def verdicts(self, store: str) -> dict[tuple[str, str], str]:
        """By origin and item id."""
        rows = self.json(store, "inbox", "--all").document["candidates"]
        return {(row["origin_store_id"], row["item_id"]): row["verdict"] for row in rows}


@pytest.fixture
def person(run: Run, tmp_path: Path) -> Person:
    return Person(run, tmp_path)


def test_the_story_of_a_copied_store(person: Person) -> None:
    """cp -r, 22, renew, both go on; a third store pulls both and sees what each did; the original pulls the copy."""
    person.new("home")
    person.new("third")
    person("home", "put", "plan", "shared", "--set", "n=1")
    person("home", "put", "plan", "mine", "--set", "n=1")
    person("home", "sync")
    person("third", "sync")
    person("third", "accept", "--all")
    person.copy("home", "laptop")

    for words in (["put", "note", "n", "--set", "a=1"], ["publish"], ["pull"], ["sync"], ["accept", "--all"]):
        assert "identity renew" in person("laptop", *words, code=22).err
    assert person("laptop", "ls").out.count("plan") == 2
    refused = person("laptop", "identity", "renew", code=22)
    assert "log ends at seq 2" in refused.out
    assert "--yes" in refused.err
    told = person.json("laptop", "identity", "renew", "--yes", "--name", "laptop").document
    home, laptop = person.origin("home"), person.origin("laptop")
    assert told == {
        "origin_store_id": laptop,
        "left": {"origin_store_id": home, "last_seq": 2},
        "rewritten": 0,
        "republished": 0,
        "behind": 2,
    }
    assert f"previous     {home} up to seq 2" in person("laptop", "identity", "show").out

    person("laptop", "put", "plan", "shared", "--set", "by=laptop")
    person("home", "put", "plan", "shared", "--set", "by=home")
    person("home", "put", "plan", "mine", "--set", "by=home")
    person("home", "sync")
    told_by_sync = person("laptop", "sync").out
    assert "bus  pushed" in told_by_sync
    assert "not there any more" not in told_by_sync
    person("third", "pull")
    person("home", "pull")
    assert person.verdicts("third") == {
        (home, "shared"): "update", (home, "mine"): "update", (laptop, "shared"): "update"
    }  # fmt: skip
    assert person.verdicts("home") == {(laptop, "shared"): "conflict"}
    assert person.verdicts("laptop") == {(home, "shared"): "conflict", (home, "mine"): "update"}
    for store in ("home", "laptop", "third"):
        assert person("laptop" if store == "laptop" else store, "verify").out == "ok\n"


def test_what_stands_only_in_the_old_feed_is_shown_again_when_asked_for(person: Person) -> None:
    person.new("home")
    person("home", "put", "plan", "p1", "--set", "n=1")
    person("home", "push")
    assert "nothing stands in an old feed only" in person("home", "identity", "republish").out
    told = person("home", "identity", "renew", "--yes").out
    assert "only the old feed shows 1 live entity" in told
    assert "1 entity written again as copies" in person("home", "identity", "republish").out
    assert "nothing stands in an old feed only" in person("home", "identity", "republish").out
    again = person.json("home", "identity", "renew", "--yes", "--publish-live").document
    assert (again["republished"], again["behind"]) == (1, 0)


def test_the_story_of_a_restored_store(person: Person) -> None:
    """[R3]: refused with 5, the message names the seq and the command; afterwards nothing is lost."""
    person.new("store")
    person.new("reader")
    person("store", "put", "plan", "p1", "--set", "n=1")
    person("store", "sync")
    person.copy("store", "backup")
    person("store", "put", "plan", "p2", "--set", "lost=true")
    person("store", "sync")
    shutil.rmtree(person.folder / "store")
    shutil.copytree(person.folder / "backup", person.folder / "store")
    person("store", "identity", "keep")
    person("store", "put", "plan", "p3", "--set", "since=true")
    before = {path: path.read_bytes() for path in person.bus.rglob("*") if path.is_file()}

    refused = person("store", "push", code=5)
    assert "both agree up to seq 1 [R3]" in refused.err
    assert "eventsync identity renew --at" in refused.err
    (remote,) = person.json("store", "push", code=5).document["remotes"]
    assert (remote["error"]["class"], remote["error"]["seq"]) == ("other_copy_published", 1)
    assert {path: path.read_bytes() for path in person.bus.rglob("*") if path.is_file()} == before

    old = person.origin("store")
    told = person("store", "identity", "renew", "--at", "1", "--yes").out
    assert "was left at seq 1" in told
    assert "1 entity written after that seq: said anew" in told
    person("store", "sync")
    person("reader", "sync")
    assert person.verdicts("store") == {(old, "p2"): "new"}
    assert set(person.verdicts("reader").values()) == {"new"}
    assert {item_id for _, item_id in person.verdicts("reader")} == {"p1", "p2", "p3"}


def test_a_seq_that_is_not_there_is_refused(person: Person) -> None:
    person.new("store")
    person("store", "put", "plan", "p1", "--set", "n=1")
    before = person.origin("store")
    assert "no record has seq 9" in person("store", "identity", "renew", "--at", "9", "--yes", code=2).err
    person("store", "identity", "renew", "--at", "-1", "--yes", code=2)
    person("store", "identity", "renew", "--name", "a\nb", "--yes", code=2)
    assert person.origin("store") == before


def test_a_lost_key_is_told_with_the_way_out(person: Person) -> None:
    """[I1]"""
    person.new("store")
    person("store", "put", "plan", "p1", "--set", "n=1")
    Path(person.json("store", "identity", "show").document["private_key_path"]).unlink()
    answer = person.json("store", "publish", code=12)
    assert answer.error["class"] == "key_missing"
    assert "identity renew" in answer.error["hint"]
    person("store", "identity", "renew", "--yes")
    person("store", "push")


def test_a_config_that_cannot_be_read_changes_no_identity(person: Person) -> None:
    person.new("store")
    before = person.origin("store")
    (person.folder / "store" / ".eventsync" / "config.toml").write_text("[publish]\ntypes = 7\n")
    person("store", "identity", "renew", "--yes", code=2)
    assert person.origin("store") == before


@pytest.mark.parametrize(("typed", "code", "renewed"), [("y\ny\n", 0, True), ("n\n", 22, False), ("\n", 22, False)])
def test_on_a_terminal_a_person_is_asked(terminal: Program, store: Path, typed: str, code: int, renewed: bool) -> None:
    terminal("put", "plan", "p1", "--set", "n=1")
    terminal("publish")
    before = terminal("identity", "show").out.split()[1]
    answer = terminal("identity", "renew", stdin=typed.encode())
    assert "take a new identity? this cannot be taken back [y/N]" in answer.out
    assert ("show them again? [y/N]" in answer.out) is renewed
    assert ("1 entity written again as copies" in answer.out) is renewed
    assert ("left as it is" in answer.out) is not renewed
    assert answer.code == code
    assert (terminal("identity", "show").out.split()[1] != before) is renewed
