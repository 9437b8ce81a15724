"""What became of a mirror on this disk: one damaged origin stops no other [F6], one replaced is read anew [T1]."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from eventsync import app, exits
from eventsync.cli import main
from eventsync.sharing import Sharing
from federation.errors import DamagedFeed
from federation.inbox import Filter
from federation.model import BRAKE_CHANGES, HEAD_FILE, Resolution, Result, candidate_id
from tests.integration.forger import Forger
from tests.integration.world import (
    World,
    accept_all,
    answers,
    by_origin,
    candidates,
    each_slice,
    entities,
    pull,
    put,
    rebuilt,
    share,
)


def flip_a_bit(folder: Path) -> None:
    """In the newest slice, behind the magic of zstd."""
    path = list(each_slice(folder))[-1]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def lose_a_slice(folder: Path) -> None:
    list(each_slice(folder))[-1].unlink()


def truncate_the_head(folder: Path) -> None:
    path = folder / HEAD_FILE
    path.write_bytes(path.read_bytes()[:-20])


def empty_the_head(folder: Path) -> None:
    (folder / HEAD_FILE).write_bytes(b"")


def garble_the_brake(folder: Path) -> None:
    (folder / "brake.json").write_bytes(b"{")


DAMAGES = (flip_a_bit, lose_a_slice, truncate_the_head, empty_the_head, garble_the_brake)
each_damage = pytest.mark.parametrize("damage", DAMAGES)
WITHOUT_READING = (truncate_the_head, empty_the_head, garble_the_brake)  # what is seen without reading a slice


def own_of(forger: Forger) -> str:
    """The entity that only this forger has."""
    return f"of_{forger.key[0]}"


class Place:
    """A reader that holds feeds of two origins, one of which is damaged."""

    def __init__(self, world: World, damage: Callable[[Path], None]) -> None:
        self.bad, self.good = sorted((Forger(1), Forger(2)), key=lambda forger: forger.origin)
        self._world = world
        self.reader = world.store("reader")
        for forger in (self.bad, self.good):
            forger.record("both", payload={"by": forger.origin})
            forger.record(own_of(forger))
        self.publish(self.bad, self.good)
        pull(self.reader)
        self.undamaged = world.folder / "undamaged"
        self.folder = self.reader.holdings.mirror.path(self.bad.origin)
        shutil.copytree(self.folder, self.undamaged)
        damage(self.folder)
        self.reader = world.reopened(self.reader)

    def publish(self, *forgers: Forger) -> None:
        for forger in forgers:
            forger.feed(gen=len(forger.lines)).put_into(self._world.bus)

    def repair(self) -> None:
        shutil.rmtree(self.folder)
        shutil.copytree(self.undamaged, self.folder)
        self.reader = self._world.reopened(self.reader)


def listed(store: Sharing) -> set[tuple[str, str]]:
    """What the inbox shows, with payloads, after a look that may tell of damage."""
    store.holdings.look()
    return {(item.origin, item.item_id) for item in store.inbox.candidates(Filter(), payloads=True)}


@each_damage
def test_beside_a_damaged_mirror_others_are_listed_and_accepted(world: World, damage: Callable[[Path], None]) -> None:
    """[F6] Whatever the damaged one cannot give is left out, and told."""
    place = Place(world, damage)
    good, bad = place.good.origin, place.bad.origin
    assert {item for item in listed(place.reader) if item[0] == good} == {(good, "both"), (good, own_of(place.good))}
    taken = {record.item_id for record in accept_all(place.reader).written}
    assert taken == {"both", own_of(place.good)}
    assert list(place.reader.holdings.damaged) == [bad]
    assert str(place.folder) in place.reader.holdings.left_out()[0]


@each_damage
def test_what_a_damaged_mirror_holds_is_not_decided(world: World, damage: Callable[[Path], None]) -> None:
    """[K3] Nothing could be judged; the error says what cannot be read, and nothing is written."""
    place = Place(world, damage)
    name = candidate_id(place.bad.origin, "plan", own_of(place.bad))
    with pytest.raises(DamagedFeed) as told:
        place.reader.deciding("test").accept([name], Resolution.THEIRS)
    assert str(place.folder) in str(told.value)
    assert entities(place.reader) == {}


@pytest.mark.parametrize("damage", [lose_a_slice, *WITHOUT_READING])
def test_beside_a_damaged_mirror_others_are_pulled(world: World, damage: Callable[[Path], None]) -> None:
    """[F6] Exit 12 for the damaged one alone, 3 beside others."""
    place = Place(world, damage)
    place.bad.record("later")
    place.good.record("later")
    place.publish(place.bad, place.good)
    run = pull(place.reader)
    found = by_origin(run)
    refused = found[place.bad.origin].refusal
    assert refused is not None
    assert refused.damaged
    assert found[place.good.origin].result is Result.UPDATED
    assert run.exit_code == exits.PARTLY
    assert (place.good.origin, "later") in listed(place.reader)
    shutil.rmtree(world.bus / place.good.origin)
    assert pull(place.reader).exit_code == exits.DAMAGED


@each_damage
def test_a_damaged_mirror_stops_no_publish(world: World, damage: Callable[[Path], None]) -> None:
    """[F6] [F2] Of what cannot be read nothing is said to have been seen."""
    place = Place(world, damage)
    put(place.reader, "mine")
    assert share(place.reader).published == 1
    head = place.reader.holdings.own.head()
    assert head is not None
    assert place.good.origin in head.saw


@each_damage
def test_a_damaged_mirror_is_named(world: World, damage: Callable[[Path], None]) -> None:
    """[T1] By verify always, by status as soon as it was read, by a rebuild that had to go without it."""
    place = Place(world, damage)
    if damage in WITHOUT_READING:
        states = {found.origin: found.state for found in place.reader.status().origins}
        assert states == {place.bad.origin: "damaged", place.good.origin: "ok"}
    findings = app.verify(place.reader.store)
    assert [(found.id, found.severity) for found in findings] == [("mirror-damaged", "error")]
    assert str(place.folder) in str(findings[0].path)
    again = app.rebuild(place.reader.store)
    assert len(again.left_out) == 1
    assert str(place.folder) in again.left_out[0]
    place.reader = world.reopened(place.reader)
    states = {found.origin: found.state for found in place.reader.status().origins}
    assert states == {place.bad.origin: "damaged", place.good.origin: "ok"}
    assert any(str(place.folder) in text for text in place.reader.status().warnings)


def test_the_command_line_says_what_it_goes_without(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """[F6] A rebuild ends with 12 and names it, and so does what lists the candidates of the others."""
    place = Place(world, flip_a_bit)
    store = str(place.reader.store.folder)
    world.close(place.reader)
    said: list[str] = []
    for command, code in (("inbox", exits.DONE), ("rebuild", exits.DAMAGED), ("inbox", exits.DONE)):
        assert main([command, "--json", "--store", store]) == code
        out, error = capsys.readouterr()
        assert "left out" in error
        assert place.bad.origin in error
        said.append(out)
    assert json.loads(said[0]) == json.loads(said[2])
    assert [row["origin_store_id"] for row in json.loads(said[0])["candidates"]] == [place.good.origin] * 2


@each_damage
@pytest.mark.parametrize("meanwhile", ["nothing", "looked", "accepted", "rebuilt"])
def test_a_mirror_that_was_repaired_gives_all_its_answers_again(
    world: World, damage: Callable[[Path], None], meanwhile: str
) -> None:
    """[T1] Whatever was judged in between, the cache says what a rebuild says."""
    place = Place(world, damage)
    match meanwhile:
        case "looked":
            listed(place.reader)
        case "accepted":
            accept_all(place.reader)
        case "rebuilt":
            rebuilt(place.reader)
    place.repair()
    before = answers(place.reader)
    assert {item.origin for item in candidates(place.reader)} == {place.bad.origin, place.good.origin}
    assert answers(rebuilt(place.reader)) == before


@each_damage
def test_what_needs_a_damaged_mirror_is_judged_without_it(world: World, damage: Callable[[Path], None]) -> None:
    """[F6] [K4] A third store builds on what the damaged mirror would show."""
    place = Place(world, damage)
    accept_all(place.reader)
    third = Forger(5)
    version = f"{place.bad.origin}@2#{place.bad.lines[1].after.c.hex()[:12]}"
    item_id = own_of(place.bad)
    third.record(
        item_id, action="accept", root=version, context={place.bad.origin: 2}, payload={"title": f"{item_id} 2"}
    )
    third.record("both", context={place.bad.origin: 1, third.origin: 2})
    third.feed().put_into(world.bus)
    found = by_origin(pull(place.reader))
    assert found[third.origin].result is Result.NEW
    assert {(third.origin, item_id), (third.origin, "both")} <= {
        (item.origin, item.item_id) for item in place.reader.inbox.candidates(Filter(settled_too=True))
    }
    place.repair()
    before = answers(place.reader)
    assert answers(rebuilt(place.reader)) == before


def test_a_damaged_mirror_releases_no_brake(world: World) -> None:
    """[K5] What cannot be counted may be too much."""
    reader, forger = world.store("reader"), Forger()
    forger.record("p0")
    forger.feed().put_into(world.bus)
    pull(reader)
    for number in range(BRAKE_CHANGES + 1):
        forger.record(f"more{number}")
    forger.feed(gen=2).put_into(world.bus)
    assert pull(reader).exit_code == exits.DECISION
    folder = reader.holdings.mirror.path(forger.origin)
    brake = folder / "brake.json"
    for pending in (True, False):
        brake.write_text(json.dumps({"after_seq": 1, "pending": pending}))
        head = (folder / HEAD_FILE).read_bytes()
        truncate_the_head(folder)
        reader = rebuilt(world.reopened(reader))
        assert reader.holdings.damaged
        assert accept_all(reader).written == ()
        (folder / HEAD_FILE).write_bytes(head)
        reader = world.reopened(reader)
        assert {item.item_id for item in candidates(reader, Filter()) if not item.held} == {"p0"}
    assert len(accept_all(reader).written) == 1


# --- replaced --------------------------------------------------------------------------------------------------------


def other_history(forger: Forger, length: int) -> Forger:
    """Another feed under the same key: from a fork that a person decided against, or a restored backup."""
    other = Forger(forger.key[0])
    for number in range(length):
        other.record(f"p{number}" if number % 2 else f"other{number}", payload={"other": number})
    return other


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("length", [1, 3, 4, 8])
def test_a_mirror_that_was_replaced_by_another_gives_the_same_answers_as_a_rebuild(
    world: World, length: int, cut: bool
) -> None:
    """[T1] [F7] Shorter, as long or longer: nothing of the former one is left in the index."""
    reader, forger = world.store("reader"), Forger()
    for number in range(4):
        forger.record(f"p{number}")
    forger.feed(cuts=(2,)).put_into(world.bus)
    pull(reader)
    before = candidates(reader)
    other = other_history(forger, length)
    found = other.feed(gen=2, cuts=range(1, length) if cut else ())
    folder = reader.holdings.mirror.path(forger.origin)
    shutil.rmtree(folder)
    found.put_into(folder.parent)
    reader = world.reopened(reader)
    now = answers(reader)
    assert candidates(reader) != before
    assert answers(rebuilt(reader)) == now


@pytest.mark.parametrize("cuts", [(), (2,), (1, 2, 3, 4, 5), (5,)])
def test_a_mirror_of_the_same_feed_grown_and_cut_anew_gives_the_same_answers(
    world: World, cuts: tuple[int, ...]
) -> None:
    """[F3] [F7] From a relay, say: nothing is taken twice."""
    reader, forger = world.store("reader"), Forger()
    for number in range(4):
        forger.record(f"p{number}")
    forger.feed(cuts=(2,)).put_into(world.bus)
    pull(reader)
    forger.edit("p1")
    forger.record("p5")
    folder = reader.holdings.mirror.path(forger.origin)
    shutil.rmtree(folder)
    forger.feed(gen=2, cuts=cuts).put_into(folder.parent)
    reader = world.reopened(reader)
    now = answers(reader)
    assert len(now["candidates"]) == 5
    assert answers(rebuilt(reader)) == now


# --- what is told of others' mirrors ---------------------------------------------------------------------------------


def test_a_contradiction_at_the_end_of_an_older_slice_is_told(world: World) -> None:
    """[F2] Not only at the newest seq that we hold."""
    reader, author, other = world.store("reader"), Forger(1), Forger(2)
    for number in range(6):
        author.record(f"p{number}")
    author.feed(cuts=(2, 4)).put_into(world.bus)
    state = author.lines[3].after
    other.record("x")

    def told(c: str, t: str, gen: int) -> tuple[str, ...]:
        other.feed(gen=gen, saw={author.origin: {"seq": 4, "c": c, "t": t}}).put_into(world.bus)
        return by_origin(pull(reader))[other.origin].warnings

    pull(reader)
    assert told(state.c.hex(), state.t.hex(), 1) == ()
    wrong = f"{other.origin} and we hold different content of {author.origin} at seq 4"
    assert told(state.c.hex(), "0" * 64, 2) == (wrong,)
    assert told("0" * 64, state.t.hex(), 3) == (wrong,)
