"""Bad input: each is told with file, line, seq and rule where there is one, ends with its exit code, and does nothing.

Foreign feeds are signed by a forger, so that each has the one fault that is meant.
"""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from journal import InvalidInput, Store
from tests.acceptance.people import Person, Told, run
from tests.integration.forger import Forged, Forger


def told(answer: Told, code: int, slug: str) -> Any:
    """The error object of a command that failed as expected."""
    assert (answer.code, answer.error["class"], answer.error["exit_code"]) == (code, slug, code), answer
    return answer.error


@contextmanager
def unchanged(person: Person) -> Iterator[None]:
    """Nothing that is no cache is changed by what is done meanwhile [T1]."""
    before = person.truths()
    yield
    assert person.truths() == before


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another process holds the lock."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


# --- the store -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command", [["put", "plan", "p", "--set", "a=1"], ["pull"], ["publish"], ["inbox"], ["verify"]]
)
def test_not_a_store(place: Path, command: list[str]) -> None:
    answer = run(*command, "--store", str(place), "--json")
    assert told(answer, 10, "not_a_store")["path"] == str(place / ".eventsync")
    assert list(place.iterdir()) == []


@pytest.mark.parametrize(
    ("lock", "command"),
    [
        ("journal.lock", ["put", "plan", "p", "--set", "a=1"]),
        ("journal.lock", ["publish"]),
        ("federation/federation.lock", ["publish"]),
        ("federation/federation.lock", ["pull"]),
        ("federation/federation.lock", ["accept", "--all"]),
    ],
)
def test_a_locked_store(place: Path, monkeypatch: pytest.MonkeyPatch, lock: str, command: list[str]) -> None:
    monkeypatch.setenv("EVENTSYNC_LOCK_TIMEOUT", "0.05")
    person = Person(place / "here", place / "bus")
    person.write({"p": {}})
    person.ask("push")
    with locked(person.store / lock), unchanged(person):
        error = told(person.run(*command), 11, "store_locked")
    assert (error["path"], error["rule"]) == (str(person.store / lock), "J9")
    assert person.run(*command).code == 0


@pytest.mark.parametrize("command", [["put", "plan", "q", "--set", "a=1"], ["publish"], ["push"], ["pull"], ["sync"]])
def test_a_store_of_a_later_version(place: Path, command: list[str]) -> None:
    person = Person(place / "here", place / "bus")
    file = person.store / "store.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"format": 2}), encoding="utf-8")
    with unchanged(person):
        error = told(person.run(*command), 13, "format_too_new")
    assert (error["path"], error["rule"]) == (str(file), "J12")


def test_a_journal_of_a_later_version_is_read_and_not_written(place: Path) -> None:
    person = Person(place / "here")
    person.write({"p": {"n": 1}})
    (segment,) = (person.store / "journal").glob("seg-*")
    last = json.loads(segment.read_bytes().splitlines()[-1])
    forger = Forger()
    forger.lines, forger.start = [], forger.start._replace(seq=1, c=bytes.fromhex(last["c"]))
    forger.record("q", v=3)
    segment.write_bytes(segment.read_bytes() + b"\n" + forger.lines[0].data + b"\n")
    with unchanged(person):
        error = told(person.run("put", "plan", "q", "--set", "a=1"), 13, "format_too_new")
    assert (error["path"], error["rule"]) == (str(segment), "J12")
    assert error["line"] == segment.read_bytes()[: segment.read_bytes().index(forger.lines[0].data)].count(b"\n") + 1
    assert person.ask("show", "plan", "p")["payload"] == {"n": 1}


@pytest.mark.parametrize(
    "command", [["put", "plan", "q", "--set", "a=1"], ["publish"], ["push"], ["pull"], ["accept", "--all"]]
)
def test_a_copied_store(place: Path, command: list[str]) -> None:
    person = Person(place / "here", place / "bus")
    person.write({"p": {}})
    person.ask("push")
    shutil.copytree(place / "here", place / "copy")
    copy = Person.__new__(Person)
    copy.folder, copy.store = place / "copy", place / "copy" / ".eventsync"
    with unchanged(person), unchanged(copy):
        error = told(copy.run(*command), 22, "store_copied")
    assert (error["path"], error["rule"]) == (str(copy.store), "I2")
    assert person.run(*command).code == 0


@pytest.mark.parametrize("item_id", ["a/b", "a b", ".a", "a.", "con", "Ä", "x" * 128, ""])
def test_an_entity_id_that_is_not_allowed(place: Path, item_id: str) -> None:
    person = Person(place / "here")
    with unchanged(person):
        error = told(person.run("put", "plan", item_id, "--set", "a=1"), 2, "invalid_input")
    assert error["rule"] == "J10"
    assert "item id" in error["message"]


def test_a_candidate_whose_id_is_not_allowed_stays_one(place: Path) -> None:
    forger = Forger()
    forger.record("a/b")
    forger.record("good")
    forger.feed().put_into(place / "bus")
    person = Person(place / "here", place / "bus")
    person.pull()
    candidates = {item["item_id"]: item["id"] for item in person.inbox()}
    with unchanged(person):
        error = told(person.run("accept", candidates["a/b"]), 2, "invalid_input")
    assert error["rule"] == "J10"
    answer = person.run("accept", "--all")
    assert answer.code == 22
    assert [record["item_id"] for record in answer.document["records"]] == ["good"]
    assert [left["id"] for left in answer.document["left"]] == [candidates["a/b"]]
    assert [item["id"] for item in person.inbox()] == [candidates["a/b"]]
    assert person.run("reject", candidates["a/b"]).code == 0
    assert person.inbox() == []


# --- payloads --------------------------------------------------------------------------------------------------------

LONG = b"x" * 70_000  # what makes a payload too long for its line
# What stands in the payload under "field", and what is said of it.
BAD_VALUES: dict[str, tuple[bytes, str]] = {
    "a key that stands twice": (b'{"a":1,"b":2,"a":3}', "payload: key 'a' stands twice at field"),
    "NaN": (b"NaN", "payload: NaN is not a JSON number at field"),
    "Infinity": (b"[1,-Infinity]", "payload: -Infinity is not a JSON number at field[1]"),
    "a huge number": (b"1e999", "payload: number 1e999 is not finite at field"),
    "a huge integer": (b"1" + b"0" * 5_000, "is not finite at field"),
    "a lone surrogate": (b'{"a":"\\ud800"}', "payload has a lone surrogate at field.a"),
    "a lone surrogate in a key": (b'{"\\udfff":1}', "payload has a lone surrogate at field"),
    "65 levels": (b'{"a":' * 64 + b"1" + b"}" * 64, "payload is deeper than 64 levels at field.a.a."),
    "far too many levels": (b"[" * 100_000 + b"]" * 100_000, "payload is deeper than 64 levels"),
    "bytes that are no UTF-8": (b'"\xff"', "payload is not UTF-8"),
    "no JSON": (b"{'a':1}", "payload: Expecting"),
    "too many values": (b"[" + b"0," * 1_000_000 + b"0]", "payload has more than 1000000 values"),
    "too many bytes": (b'"' + b"x" * 16_777_216 + b'"', "the limit is 16777216"),
}


def with_field(value: bytes, pad: bytes) -> bytes:
    return b'{"pad":"' + pad + b'","field":' + value + b"}"


@pytest.mark.parametrize("pad", [b"", LONG], ids=["in the line", "in a blob"])
@pytest.mark.parametrize("case", BAD_VALUES)
def test_a_payload_that_breaks_a_limit(place: Path, case: str, pad: bytes) -> None:
    """[J10] From a file and from standard input; the field is named, the value is not."""
    value, message = BAD_VALUES[case]
    person = Person(place / "here")
    person.write({"p": {"n": 1}})
    path = place / "payload.json"
    path.write_bytes(with_field(value, pad))
    for item_id in ("p", "new"):
        with unchanged(person):
            error = told(person.run("put", "plan", item_id, "--file", str(path)), 2, "invalid_input")
        assert error["rule"] == "J10"
        assert message in error["message"]
        assert LONG.decode() not in error["message"]
        assert len(error["message"]) < 400
    assert person.ask("show", "plan", "p")["payload"] == {"n": 1}
    assert [entity["item_id"] for entity in person.ask("ls")["entities"]] == ["p"]


@pytest.mark.parametrize("pad", ["", LONG.decode()], ids=["in the line", "in a blob"])
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (float("nan"), "number nan is not finite at field"),
        (10**5_000, "payload"),
        ("\ud800", "a lone surrogate at field"),
        ({1, 2}, "set is no JSON value at field"),
        (json.loads("[" * 64 + "]" * 64), "payload is deeper than 64 levels at field[0]"),
        ([0] * 1_000_001, "payload has more than 1000000 values"),
        ("x" * 16_777_216, "payload of plan/new has"),
    ],
    ids=["NaN", "a huge integer", "surrogate", "no value", "too deep", "too many", "too long"],
)
def test_a_value_that_a_program_puts_and_that_breaks_a_limit(place: Path, value: Any, message: str, pad: str) -> None:
    """[J10] By the Python face: none of the block is written, whatever else was good in it."""
    person = Person(place / "here")
    person.write({"p": {"n": 1}})
    store = Store.open(person.store)
    with unchanged(person), pytest.raises(InvalidInput) as caught, store.mutate() as mutation:
        mutation.put("plan", "good", {"pad": pad})
        mutation.put("plan", "new", {"pad": pad, "field": value})
    store.close()
    assert (caught.value.rule, message in caught.value.message) == ("J10", True), caught.value.message
    assert len(caught.value.message) < 400


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (["put", "Plan", "p", "--set", "a=1"], "item type"),
        (["put", "x" * 65, "p", "--set", "a=1"], "item type"),
        (["put", "plan", "P", "--set", "a=1"], "item id"),
        (["put", "plan", "q", "--set", "a=1", "--summary", "x" * 1_001], "summary"),
        (["put", "plan", "q", "--set", "a=1", "--summary", "\udcff"], "summary"),
        (["put", "plan", "q", "--set", "a=\udcff"], "at a"),
        (["put", "plan", "q", "--set", "a.b=1e999"], "at a.b"),
        (["edit", "plan", "p", "--set", "a.b=[1e999]"], "at a.b[0]"),
        (["rm", "plan", "../p"], "item id"),
    ],
)
def test_a_field_that_breaks_a_limit(place: Path, arguments: list[str], field: str) -> None:
    """[J10]"""
    person = Person(place / "here")
    person.write({"p": {"n": 1}})
    with unchanged(person):
        error = told(person.run(*arguments), 2, "invalid_input")
    assert error["rule"] == "J10"
    assert field in error["message"]


@pytest.mark.parametrize(("text", "what"), [("\udcff", "agent is not Unicode"), ("x" * 300_000, "most of it is agent")])
def test_an_agent_that_breaks_a_limit(place: Path, monkeypatch: pytest.MonkeyPatch, text: str, what: str) -> None:
    """[J10]"""
    person = Person(place / "here")
    person.write({"p": {"n": 1}})
    monkeypatch.setenv("EVENTSYNC_AGENT", text)
    with unchanged(person):
        error = told(person.run("put", "plan", "q", "--set", "a=1"), 2, "invalid_input")
    assert (error["rule"], what in error["message"]) == ("J10", True), error


# --- remotes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["pull", "push"])
def test_an_unknown_remote(place: Path, command: str) -> None:
    person = Person(place / "here", place / "bus")
    person.write({"p": {}})
    with unchanged(person):
        error = told(person.run(command, "elsewhere"), 10, "unknown_remote")
    assert "elsewhere" in error["message"]


def test_a_folder_that_vanished(place: Path) -> None:
    ada, bob = Person(place / "ada", place / "bus"), Person(place / "bob", place / "bus")
    ada.write({"p": {}})
    ada.ask("push")
    bob.pull()
    losses: list[tuple[str, Callable[[], object]]] = [
        ("place_missing", lambda: (place / "bus").rename(place / "away")),
        ("source_unavailable", lambda: (place / "bus").mkdir()),
    ]
    for told, lose in losses:
        lose()
        with unchanged(bob), unchanged(ada):
            answer = bob.run("pull")
            (remote,) = answer.document["remotes"]
            assert (answer.code, answer.document["exit_code"], remote["origins"]) == (75, 75, [])
            assert (remote["error"]["class"], remote["error"]["exit_code"]) == (told, 75)
            assert str(place / "bus") in f"{remote['url']} {remote['error']['path']}"
        assert len(bob.inbox()) == 1
    (place / "bus").rmdir()
    assert ada.run("push").code == 75  # a drive that is not mounted is not made up
    assert not (place / "bus").exists()


# --- feeds -----------------------------------------------------------------------------------------------------------


def three(item_id: str = "p") -> Forger:
    """An honest feed of three records in two slices, when it is cut at line 2."""
    forger = Forger()
    for number in range(3):
        forger.record(f"{item_id}{number}")
    return forger


def replaced(forger: Forger, line: int, data: bytes) -> Forged:
    """The feed with a line replaced, and everything signed as if it were so."""
    lines = [found.data for found in forger.lines]
    lines[line] = data
    return forger.feed(cuts=[2], bodies={1: b"".join(found + b"\n" for found in lines[2:])})


Fault = tuple[Forged, dict[str, Any]]


def malformed_line() -> Fault:
    feed = replaced(three(), 2, b"not a line")
    return feed, {"path": f"{feed.origin}/{feed.slices[1]}", "line": 2, "seq": 3}


def broken_chain() -> Fault:
    forger = three()
    feed = replaced(forger, 2, forger.lines[2].data.replace(b'"p2 3"', b'"p2 4"'))
    return feed, {"path": f"{feed.origin}/{feed.slices[1]}", "line": 2, "seq": 3}


def wrong_origin() -> Fault:
    other, feed = Forger(8), three().feed()
    other.record("p")
    head = other.feed().files["head.json"]
    return feed._replace(files={**feed.files, "head.json": head}), {"path": f"{feed.origin}/head.json"}


def bad_signature() -> Fault:
    feed = three().feed()
    value = json.loads(feed.files["head.json"])
    value["head"]["name"] = "somebody else"
    return feed._replace(files={**feed.files, "head.json": json.dumps(value).encode()}), {
        "path": f"{feed.origin}/head.json"
    }


def wrong_transcript() -> Fault:
    feed = three().feed(t="0" * 64)
    return feed, {"path": f"{feed.origin}/head.json"}


def no_head() -> Fault:
    feed = three().feed()
    return feed._replace(files={**feed.files, "head.json": b"{"}), {"path": f"{feed.origin}/head.json"}


@pytest.mark.parametrize(
    "fault", [malformed_line, broken_chain, wrong_origin, bad_signature, wrong_transcript, no_head]
)
def test_a_feed_that_is_refused(place: Path, fault: Callable[[], Fault]) -> None:
    feed, facts = fault()
    feed.put_into(place / "bus")
    good = Forger(9)
    good.record("good")
    good.feed().put_into(place / "bus")
    person = Person(place / "here")
    answer = person.run("pull", str(place / "bus"))
    origins = {origin["origin_store_id"]: origin for origin in answer.document["remotes"][0]["origins"]}
    refused, other = origins[feed.origin], origins[good.origin]
    assert (answer.code, refused["result"], refused["records"], other["result"]) == (3, "refused", 0, "new")
    assert refused["refusal"]["rule"] in ("F2", "F5")
    assert {key: refused["refusal"][key] for key in facts} == facts
    assert not (person.store / "federation" / "mirror" / feed.origin).exists()
    assert [item["item_id"] for item in person.inbox("--all")] == ["good"]
    shutil.rmtree(place / "bus" / good.origin)
    with unchanged(person):
        assert person.run("pull", str(place / "bus")).code == 5


def test_a_feed_of_a_later_version(place: Path) -> None:
    feed = three().feed(format=2)
    feed.put_into(place / "bus")
    person = Person(place / "here")
    with unchanged(person):
        answer = person.run("pull", str(place / "bus"))
    (origin,) = answer.document["remotes"][0]["origins"]
    assert (answer.code, origin["result"], origin["refusal"]["path"]) == (13, "refused", f"{feed.origin}/head.json")


def test_a_slice_that_is_missing_or_not_what_was_signed(place: Path) -> None:
    feed = three().feed(cuts=[2])
    folder = feed.put_into(place / "bus")
    person = Person(place / "here")
    for content in (b"x", b"", None):
        (folder / feed.slices[1]).unlink(missing_ok=True)
        if content is not None:
            (folder / feed.slices[1]).write_bytes(content)
        with unchanged(person):
            answer = person.run("pull", str(place / "bus"))
        (origin,) = answer.document["remotes"][0]["origins"]
        assert (answer.code, origin["result"], origin["records"]) == (75, "incomplete", 0)
        assert (origin["refusal"]["path"], origin["refusal"]["rule"]) == (f"{feed.origin}/{feed.slices[1]}", "F5")
        assert person.inbox("--all") == []
    feed.put_into(place / "bus")
    assert [origin["result"] for origin in person.pull(str(place / "bus")).values()] == ["new"]


def test_a_head_that_was_rolled_back_is_stale(place: Path) -> None:
    forger = three()
    person = Person(place / "here")
    forger.feed(gen=2).put_into(place / "bus")
    person.pull(str(place / "bus"))
    older = forger.copy()
    del older.lines[2]
    feed = older.feed(gen=1)
    feed.put_into(place / "bus")
    with unchanged(person):
        (origin,) = person.pull(str(place / "bus")).values()
    assert (origin["result"], origin["refusal"]["rule"]) == ("stale", "F5")
    assert origin["refusal"]["path"] == f"{feed.origin}/head.json"
    assert "2026-11-22T12:00:00" in origin["refusal"]["message"]  # its age
    assert len(person.inbox()) == 3


def test_a_feed_that_forked_is_frozen_and_kept_as_evidence(place: Path) -> None:
    forger = three()
    person = Person(place / "here")
    forger.feed().put_into(place / "bus")
    person.pull(str(place / "bus"))
    other = forger.copy()
    del other.lines[2]
    other.record("another")
    forked = other.feed(gen=2)
    forked.put_into(place / "bus")
    held = {name: data for name, data in person.truths().items() if "/fork/" not in name}
    for _ in range(2):
        answer = person.run("pull", str(place / "bus"))
        (origin,) = answer.document["remotes"][0]["origins"]
        assert (answer.code, origin["result"], origin["refusal"]["rule"]) == (5, "fork", "F5")
        assert {name: data for name, data in person.truths().items() if "/fork/" not in name} == held
    evidence = [data for name, data in person.truths().items() if "/fork/" in name]
    assert evidence == [forked.files["head.json"]]
    assert {item["item_id"] for item in person.inbox()} == {"p0", "p1", "p2"}
    # The honest feed comes back: only a person can decide which one to believe.
    forger.edit("p0")
    forger.feed(gen=3).put_into(place / "bus")
    assert person.run("pull", str(place / "bus")).code == 5
    (origin,) = person.ask("status")["origins"]
    assert origin["state"] == "fork"
