"""One exit code for many results: what all failed alike with, or 3 when some worked; and cron hears nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.acceptance.people import Person, run
from tests.integration.forger import Forger


def good(bus: Path) -> None:
    forger = Forger(1)
    forger.record("p")
    forger.feed().put_into(bus)


def refused(bus: Path) -> None:
    forger = Forger(2)
    forger.record("p")
    forger.feed(t="0" * 64).put_into(bus)


def incomplete(bus: Path) -> None:
    forger = Forger(3)
    forger.record("p")
    feed = forger.feed()
    (feed.put_into(bus) / feed.slices[0]).unlink()


def too_new(bus: Path) -> None:
    forger = Forger(4)
    forger.record("p")
    forger.feed(format=2).put_into(bus)


def empty(bus: Path) -> None:
    bus.mkdir()


def missing(bus: Path) -> None:
    shutil.rmtree(bus, ignore_errors=True)


@pytest.mark.parametrize(
    ("states", "code"),
    [
        ([], 0),
        ([good], 0),
        ([empty], 0),
        ([good, empty], 0),
        ([refused], 5),
        ([refused, refused], 5),
        ([incomplete], 75),
        ([missing], 75),
        ([incomplete, missing], 75),
        ([too_new], 13),
        ([good, refused], 3),
        ([missing, good], 3),
        ([good, too_new, missing], 3),
        ([refused, missing], 5),  # none worked: the gravest
        ([missing, too_new, refused], 13),
    ],
)
def test_a_pull_from_several_remotes(place: Path, states: Sequence[Callable[[Path], None]], code: int) -> None:
    person = Person(place / "here", *(place / f"bus-{number}" for number in range(len(states))))
    for number, state in enumerate(states):
        state(place / f"bus-{number}")
    answer = person.run("pull", "--all")
    assert (answer.code, answer.document["exit_code"]) == (code, code)
    assert len(answer.document["remotes"]) == len(states)


def test_several_origins_in_one_remote_count_alike(place: Path) -> None:
    person = Person(place / "here")
    refused(place / "bus")
    incomplete(place / "bus")
    assert person.run("pull", str(place / "bus")).code == 5
    good(place / "bus")
    assert person.run("pull", str(place / "bus")).code == 3


@pytest.mark.parametrize(("missing_ones", "code"), [((), 0), ((1,), 3), ((0, 1), 75)])
def test_a_push_to_several_remotes(place: Path, missing_ones: tuple[int, ...], code: int) -> None:
    person = Person(place / "here", *(place / "mnt" / str(number) / "bus" for number in range(2)))
    person.write({"p": {}})
    for number in {0, 1} - set(missing_ones):
        (place / "mnt" / str(number)).mkdir(parents=True)
    answer = person.run("push", "--all")
    assert (answer.code, answer.document["exit_code"]) == (code, code)
    results = [remote["result"] for remote in answer.document["remotes"]]
    assert results == ["unavailable" if number in missing_ones else "pushed" for number in range(2)]


def test_a_sync_from_cron_says_nothing_when_all_is_well(place: Path) -> None:
    people = [Person(place / name, place / "bus") for name in ("ada", "bob")]
    for number, person in enumerate(people):
        person.write({f"p{number}": {}})
    for _ in range(3):
        for person in people:
            assert run("sync", "-q", "--store", str(person.folder)) == (0, "", "")
    assert [len(person.inbox()) for person in people] == [1, 1]


def test_a_sync_from_cron_says_which_feeds_vanished(place: Path) -> None:
    """That of another is no deletion, and told once; our own is published again."""
    ada, bob = (Person(place / name, place / "bus") for name in ("ada", "bob"))
    for person in (ada, bob, ada):
        person.write({f"of_{person.folder.name}": {}})
        assert run("sync", "-q", "--store", str(person.folder)) == (0, "", "")
    shutil.rmtree(place / "bus" / bob.origin)
    gone = "is not there any more; what was pulled stays"
    for times in (1, 0):
        code, out, err = run("sync", "-q", "--store", str(ada.folder))
        assert (code, out, err.count(gone), err.count("bob")) == (0, "", times, times)
    assert [item["item_id"] for item in ada.inbox()] == ["of_bob"]
    code, out, err = run("sync", "-q", "--store", str(bob.folder))
    assert (code, out, err.count("our feed was not there any more; it was published again")) == (0, "", 1)
    assert [remote["vanished"] for remote in ada.ask("pull")["remotes"]] == [[]]
    shutil.rmtree(place / "bus" / bob.origin)
    (remote,) = ada.ask("pull")["remotes"]
    assert remote["vanished"] == [{"origin_store_id": bob.origin, "name": "bob"}]


def test_a_sync_from_cron_says_what_went_wrong(place: Path) -> None:
    person = Person(place / "here", place / "bus")
    person.write({"p": {}})
    assert run("sync", "-q", "--store", str(person.folder)) == (0, "", "")
    shutil.rmtree(place / "bus")
    code, out, err = run("sync", "-q", "--store", str(person.folder))
    assert code == 75
    assert str(place / "bus") in out + err
