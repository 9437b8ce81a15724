"""Copies of what nobody here can look up: a decision on one is about what it showed, and settles no honest version.

A copy names a version of an origin that was never pulled, digest and all: the forger has read it. Whether it shows what
that version is turns out when the version comes, or another copy of it.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from eventsync.sharing import Sharing
from federation.hindsight import candidates_at
from tests.integration.forger import Forger
from tests.integration.test_decisions import of, same_when_rebuilt, verdict, version
from tests.integration.world import EVERYTHING, World, accept, payload, pull, reject


def snooze(store: Sharing, candidate: str) -> None:
    store.deciding("test").snooze([candidate], None)


def author_of(title: str = "true") -> Forger:
    """An origin whose first record is a plan."""
    forger = Forger(3)
    forger.record("good", payload={"title": title})
    return forger


def copier_of(author: Forger, title: str = "true", *, seed: int = 9) -> Forger:
    """An origin that shows something as a copy of that record."""
    forger = Forger(seed)
    forger.record(
        "good", action="accept", root=str(version(author, 1)), context={author.origin: 1}, payload={"title": title}
    )
    return forger


def brought(world: World, reader: Sharing, *forgers: Forger, gen: int = 1) -> None:
    """Put feeds on the bus, and pull them."""
    for forger in forgers:
        forger.feed(gen=gen).put_into(world.bus)
    pull(reader)


@pytest.mark.parametrize(("decide", "expected"), [(reject, "new"), (accept, "update"), (snooze, "new")])
def test_a_decision_on_a_false_copy_leaves_the_version_it_names_open(
    world: World, decide: Callable[[Sharing, str], object], expected: str
) -> None:
    """[K5] No honest version is silenced, whatever was shown under its name before it came."""
    reader, author = world.store("reader"), author_of()
    liar = copier_of(author, "junk")
    brought(world, reader, liar)
    decide(reader, of(reader, liar.origin).id)
    brought(world, reader, author)
    found = of(reader, author.origin)
    assert (found.verdict, found.snoozed) == (expected, None)
    assert verdict(reader, liar.origin) == ("unreadable" if decide is snooze else "known")
    same_when_rebuilt(reader)
    (then,) = [
        item
        for item in candidates_at(reader.inbox, reader.store.position().seq, EVERYTHING)
        if item.origin == author.origin
    ]
    assert then.verdict == expected
    accept(reader, found.id)
    assert payload(reader, "good") == {"title": "true"}


@pytest.mark.parametrize("decide", [reject, accept])
def test_a_decision_on_a_true_copy_settles_the_version_wherever_it_comes_from(
    world: World, decide: Callable[[Sharing, str], object]
) -> None:
    """[K5] Nobody is asked twice about the same."""
    reader, author = world.store("reader"), author_of()
    first, second, liar = copier_of(author), copier_of(author, seed=8), copier_of(author, "junk", seed=7)
    brought(world, reader, first)
    decide(reader, of(reader, first.origin).id)
    brought(world, reader, second, liar)
    assert verdict(reader, second.origin) == "known"
    assert verdict(reader, liar.origin) == ("new" if decide is reject else "update")
    brought(world, reader, author)
    assert verdict(reader, author.origin) == "known"
    assert verdict(reader, liar.origin) in ("unreadable", "known")
    same_when_rebuilt(reader)


def test_of_two_false_copies_of_one_version_each_is_decided_by_itself(world: World) -> None:
    """[K5] And undoing one decision leaves the other."""
    reader, author = world.store("reader"), author_of()
    liars = [copier_of(author, "junk", seed=9), copier_of(author, "other junk", seed=8)]
    brought(world, reader, *liars)
    reject(reader, of(reader, liars[0].origin).id)
    assert [verdict(reader, liar.origin) for liar in liars] == ["known", "new"]
    reject(reader, of(reader, liars[1].origin).id)
    reader.deciding("test").undo()
    assert [verdict(reader, liar.origin) for liar in liars] == ["known", "new"]
    brought(world, reader, author)
    assert verdict(reader, author.origin) == "new"
    same_when_rebuilt(reader)


def test_who_takes_its_false_copy_back_leaves_the_true_version_open_too(world: World) -> None:
    """[F9] [K5] What was decided on cannot be looked at any more: then it is asked, not silenced."""
    reader, author = world.store("reader"), author_of()
    liar = copier_of(author, "junk")
    brought(world, reader, liar)
    reject(reader, of(reader, liar.origin).id)
    liar.redact(1)
    brought(world, reader, liar, gen=2)
    brought(world, reader, author)
    assert verdict(reader, author.origin) == "new"
    assert verdict(reader, liar.origin) == "known"
    same_when_rebuilt(reader)


@pytest.mark.parametrize(("content", "expected"), [(b'{"title":"true"}', "known"), (b'{"title":"junk"}', "new")])
def test_payloads_beside_the_feeds_are_compared_too(world: World, content: bytes, expected: str) -> None:
    """[J13] [K5]"""
    reader, author, copier = world.store("reader"), author_of(), Forger(9)
    root = str(version(author, 1))
    copier.blob("good", content, action="accept", root=root, context={author.origin: 1})
    brought(world, reader, copier)
    reject(reader, of(reader, copier.origin).id)
    brought(world, reader, author)
    assert verdict(reader, author.origin) == expected
    same_when_rebuilt(reader)
