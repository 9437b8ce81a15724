"""Stores of the other program, read by the bridge: its limits are not ours, and its copies can be damaged as well."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from eventsync import app, exits
from eventsync.sharing import Sharing
from federation.inbox import Filter
from federation.model import candidate_id
from journal import InvalidInput
from tests.integration.forger import Forger
from tests.integration.world import (
    World,
    accept,
    accept_all,
    answers,
    candidates,
    pull,
    put,
    rebuilt,
    reject,
)


class Bridged:
    """A store of the other program."""

    def __init__(self, parent: Path) -> None:
        self.folder = parent / "project" / ".brainclaw"
        (self.folder / "events").mkdir(parents=True)
        (self.folder / "config.yaml").write_text(f"project_id: prj_{'0' * 32}\n")
        self.origin = f"brainclaw:prj_{'0' * 32}"
        self._lines = b""

    def record(self, seq: int, item_id: str, value: Mapping[str, Any] | None = None) -> None:
        """Append a record, whatever its seq."""
        record = {
            "v": 2,
            "seq": seq,
            "ts": "2026-01-01T00:00:00.000Z",
            "writer": "w",
            "agent": "a",
            "action": "update",
            "item_type": "plan",
            "item_id": item_id,
            "entity_rev": 1,
            "payload": value or {"title": item_id},
        }
        self._lines += json.dumps(record).encode() + b"\n"
        (self.folder / "events" / "seg-00000001.jsonl").write_bytes(self._lines)


class Place:
    """A reader that holds a bridged store and a feed."""

    def __init__(self, world: World) -> None:
        self.bridged, self.forger = Bridged(world.folder), Forger()
        self.bridged.record(1, "bridged")
        self.bridged.record(2, "both")
        self.forger.record("signed")
        self.forger.record("both", payload={"signed": True})
        self.forger.feed().put_into(world.bus)
        self.reader = world.store("reader")
        self.reader.add_remote("other", str(self.bridged.folder))
        pull(self.reader)
        self.folder = self.reader.holdings.mirror.path(self.bridged.origin)


def same_when_rebuilt(store: Sharing) -> None:
    """What is kept is what the journal and the mirrors say."""
    before = answers(store)
    assert answers(rebuilt(store)) == before


# --- its limits and ours ---------------------------------------------------------------------------------------------


def test_a_bridged_candidate_that_breaks_a_limit_of_ours_is_left(world: World) -> None:
    """[J10] (DESIGN 10) That program knows no such limits."""
    reader = world.store("reader")
    bridged = Bridged(world.folder)
    bridged.record(1, "before")
    bridged.record(2, "deep", json.loads('{"a":' * 65 + "1" + "}" * 65))
    bridged.record(3, "no id/at all")
    bridged.record(4, "after")
    reader.add_remote("other", str(bridged.folder))
    pull(reader)
    report = accept_all(reader)
    assert [record.item_id for record in report.written] == ["before", "after"]
    assert [item.item_id for item in report.left] == ["deep", "no id/at all"]
    for item in report.left:
        with pytest.raises(InvalidInput):
            accept(reader, item.id)
    assert len(reject(reader, *(item.id for item in report.left)).written) == 2
    assert accept_all(reader).left == ()
    same_when_rebuilt(reader)


def test_a_seq_that_stands_twice_in_a_bridged_store_is_counted_once(world: World) -> None:
    """(DESIGN 10) Those behind it have a seq of their own, though it is another one here."""
    reader, bridged = world.store("reader"), Bridged(world.folder)
    for number, seq in enumerate((1, 2, 2, 3)):
        bridged.record(seq, f"p{number}")
    reader.add_remote("other", str(bridged.folder))

    def told() -> tuple[str, ...]:
        found = pull(reader)
        return next(found for remote in found.remotes for found in remote.origins).warnings

    assert told() == ("1 records with a seq used before (2), applied in file order",)
    for number, seq in enumerate((4, 5, 6)):
        bridged.record(seq, f"q{number}")
    assert told() == ("1 records with a seq used before (2), applied in file order",)
    assert [item.seq for item in candidates(reader)] == [1, 2, 3, 4, 5, 6, 7]
    assert told() == ("1 records with a seq used before (2), applied in file order",)
    same_when_rebuilt(reader)


# --- decisions -------------------------------------------------------------------------------------------------------


def test_a_decision_about_a_bridged_record_is_known_again_after_a_rebuild(world: World) -> None:
    """[K3] [K5] Taken over a conflict, accepted, rejected: each is settled from the journal alone."""
    place = Place(world)
    put(place.reader, "both", here=True)
    place.bridged.record(3, "rejected")
    pull(place.reader)
    accept(place.reader, candidate_id(place.bridged.origin, "plan", "both"), theirs=True)
    accept(place.reader, candidate_id(place.bridged.origin, "plan", "bridged"))
    reject(place.reader, candidate_id(place.bridged.origin, "plan", "rejected"))

    def verdicts() -> set[str]:
        return {str(item.verdict) for item in candidates(place.reader) if item.origin == place.bridged.origin}

    assert verdicts() == {"known"}
    same_when_rebuilt(place.reader)
    assert verdicts() == {"known"}
    place.bridged.record(4, "both", {"later": True})
    pull(place.reader)
    assert verdicts() == {"known", "conflict"}
    same_when_rebuilt(place.reader)


# --- a damaged copy --------------------------------------------------------------------------------------------------


def flip_a_bit(folder: Path) -> None:
    path = folder / "seg-00000001.jsonl"
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.write_bytes(data)


def shorten(folder: Path) -> None:
    path = folder / "seg-00000001.jsonl"
    path.write_bytes(path.read_bytes()[:-10])


def lose(folder: Path) -> None:
    (folder / "seg-00000001.jsonl").unlink()


def garble_the_state(folder: Path) -> None:
    (folder / "bridge.json").write_bytes(b"{")


@pytest.mark.parametrize("damage", [flip_a_bit, shorten, lose, garble_the_state])
@pytest.mark.parametrize("from_scratch", [False, True])
def test_beside_a_damaged_copy_of_a_bridged_store_others_go_on(
    world: World, damage: Callable[[Path], None], from_scratch: bool
) -> None:
    """[F6] [T1] It is left out and named."""
    place = Place(world)
    damage(place.folder)
    reader = world.reopened(place.reader)
    if from_scratch:
        reader = rebuilt(reader)
    reader.holdings.look()
    shown = [(item.origin, item.item_id) for item in reader.inbox.candidates(Filter(), payloads=True)]
    assert shown == [(place.forger.origin, "signed"), (place.forger.origin, "both")]
    assert list(reader.holdings.damaged) == [place.bridged.origin]
    place.forger.record("later")
    place.forger.feed(gen=2).put_into(world.bus)
    place.bridged.record(3, "later too")
    assert pull(reader).exit_code == exits.PARTLY
    taken = {record.item_id for record in accept_all(reader).written}
    assert taken == {"signed", "both", "later"}
    findings = app.verify(reader.store)
    assert {(found.id, found.severity) for found in findings} == {("mirror-damaged", "error")}
    assert all(str(place.folder) in str(found.path) for found in findings)
    again = app.rebuild(reader.store)
    assert len(again.left_out) == 1
    states = {found.origin: found.state for found in world.reopened(reader).status().origins}
    assert states == {place.bridged.origin: "damaged", place.forger.origin: "ok"}
