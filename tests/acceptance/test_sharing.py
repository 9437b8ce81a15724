"""Stores that share, seen from outside: nothing local changes by itself, nothing happens twice, all come to agree."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from tests.acceptance.people import Person

ENTITIES = 1_000


def own(name: str) -> dict[str, Any]:
    """A thousand entities: half only this person has, a quarter both have, a quarter both have but differ in."""
    half, quarter = ENTITIES // 2, ENTITIES // 4
    only = {f"{name}-{number}": {"title": f"{name} {number}"} for number in range(half)}
    same = {f"same-{number}": {"title": f"same {number}"} for number in range(quarter)}
    other = {f"other-{number}": {"title": f"{number} of {name}"} for number in range(quarter)}
    return only | same | other


def test_pulling_again_after_decisions_changes_no_byte_of_either_journal(place: Path) -> None:
    ada, bob = Person(place / "ada", place / "bus"), Person(place / "bob", place / "bus")
    for name, person in (("ada", ada), ("bob", bob)):
        person.write(own(name))
        person.ask("push")
    for person in (ada, bob):
        person.pull()
    found = bob.inbox()
    by_verdict = {
        verdict: [item["id"] for item in found if item["verdict"] == verdict] for verdict in ("new", "conflict")
    }
    assert {verdict: len(ids) for verdict, ids in by_verdict.items()} == {
        "new": ENTITIES // 2,
        "conflict": ENTITIES // 4,
    }
    bob.ask("accept", *by_verdict["new"])
    bob.ask("reject", *by_verdict["conflict"][:100])
    left = {item["id"] for item in bob.inbox()}
    assert left == set(by_verdict["conflict"][100:])

    bob.ask("push")
    journals = [person.journal() for person in (ada, bob)]
    for _ in range(2):
        for person in (ada, bob):
            person.pull()
    assert [person.journal() for person in (ada, bob)] == journals
    assert {item["id"] for item in bob.inbox()} == left
    # Ada sees her own versions come back as known, and nothing new but what Bob alone has.
    assert {item["item_id"].partition("-")[0] for item in ada.inbox()} == {"bob", "other"}


def test_a_ring_of_three_that_accept_everything_comes_to_rest(place: Path) -> None:
    buses = [place / f"bus-{number}" for number in range(3)]
    people = [Person(place / name) for name in ("ada", "bob", "eve")]
    for number, person in enumerate(people):
        person.write({f"p{number}": {"by": number}, f"q{number}": {"by": number}})
        person.write({f"n{number}": {"by": number}}, item_type="note")

    def lap() -> list[int]:
        """Once around: each takes all that its neighbour on the left has, and hands on; how many records there are."""
        for number, person in enumerate(people):
            if buses[number - 1].exists():
                person.pull(str(buses[number - 1]))
            person.ask("accept", "--all")
            person.ask("push", str(buses[number]))
        return [len(person.ask("log")["records"]) for person in people]

    laps = [lap() for _ in range(6)]
    assert laps[2:] == [laps[2]] * 4
    assert laps[-1] == [9, 9, 9]  # three of its own, and each of the others' once
    agreed = people[0].entities()
    assert len(agreed) == 9
    assert [person.entities() for person in people] == [agreed] * 3
    assert [person.inbox() for person in people] == [[], [], []]
    # A change goes around once, and the ring rests again.
    people[1].write({"p0": {"by": "all"}})
    laps = [lap() for _ in range(4)]
    assert laps[1:] == [laps[1]] * 3
    assert [person.entities()["plan/p0"] for person in people] == [{"by": "all"}] * 3
    assert [person.inbox() for person in people] == [[], [], []]
    for person in people:
        assert person.ask("verify")["ok"]


def test_the_same_feeds_from_two_folders_in_two_orders_are_one_candidate_per_entity(place: Path) -> None:
    ada, bob = Person(place / "ada"), Person(place / "bob")
    for name, person in (("ada", ada), ("bob", bob)):
        person.write({f"p{number}": {"by": name} for number in range(5)})
        person.ask("push", str(place / "older"))
    shutil.copytree(place / "older", place / "newer")
    for name, person in (("ada", ada), ("bob", bob)):
        person.write({f"p{number}": {"by": name, "again": True} for number in range(3, 8)})
        person.ask("push", str(place / "newer"))

    readers = []
    for first, second in (("older", "newer"), ("newer", "older")):
        reader = Person(place / f"reader-of-{first}")
        reader.pull(str(place / first))
        results = {origin["result"] for origin in reader.pull(str(place / second)).values()}
        assert results == ({"updated"} if first == "older" else {"stale"})
        before = reader.truths()
        for folder in (first, second, str(ada.folder), str(bob.folder)):
            reader.pull(str(place / folder))
        assert reader.truths() == before
        readers.append([(item["id"], item["seq"], item["payload"]) for item in reader.inbox("--all")])
    assert readers[0] == readers[1]
    assert len({candidate for candidate, _, _ in readers[0]}) == len(readers[0]) == 2 * 8
