"""Candidates that declare a schema: those that fail it are unreadable, and nothing else changes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from eventsync.sharing import Sharing
from federation.errors import DecisionNeeded
from federation.model import Candidate, Verdict
from journal import Draft, SchemaFailed, Version
from tests.integration.world import World, accept, accept_all, answers, candidates, pull, put, rebuilt, reject, share


def write(store: Sharing, item_id: str, payload: str, item_type: str = "plan", **draft: Any) -> None:
    """Write a payload as a program that knows other schemas would."""
    with store.store.mutate() as mutation:
        mutation.add(Draft("backfill", item_type, item_id, payload.encode(), **draft))


def one(store: Sharing, item_id: str) -> Candidate:
    (found,) = [item for item in candidates(store) if item.item_id == item_id]
    return found


@pytest.mark.parametrize(
    ("payload", "label"),
    [
        ('{"schema_version":2,"title":3}', "fails its schema: title: input should be a valid string"),
        ('{"schema_version":"2"}', "fails its schema: schema_version: is not a positive integer"),
        ('{"schema_version":7}', "newer format: schema_version 7 of plan, known is 2"),
        ('{"schema\\u005fversion":2,"tags":1}', "fails its schema: tags: input should be a valid list"),
        (
            '{"text":"' + "x" * 9_000 + '","schema_version":2,"steps":[1]}',
            "fails its schema: steps.0: input should be",
        ),
    ],
)
def test_what_fails_its_schema_is_unreadable(world: World, payload: str, label: str) -> None:
    """[K3]: kept, shown, never guessed; it can be rejected."""
    a, b = world.store("a"), world.store("b")
    write(a, "p1", payload)
    put(a, "fine", schema_version=2, tags=["x"])
    put(a, "free", steps="whatever")
    share(a)
    pull(b)
    found = one(b, "p1")
    assert found.verdict == Verdict.UNREADABLE
    assert found.label is not None and found.label.startswith(label)
    assert [one(b, name).verdict for name in ("fine", "free")] == [Verdict.NEW] * 2
    with pytest.raises(DecisionNeeded, match="unreadable: "):
        accept(b, "plan/p1")
    assert len(accept_all(b).written) == 2
    before = answers(b)
    assert answers(rebuilt(b)) == before
    reject(b, "plan/p1")
    assert one(b, "p1").verdict == Verdict.KNOWN


def test_types_without_a_schema_and_payloads_without_a_version_pass(world: World) -> None:
    a, b = world.store("a"), world.store("b")
    write(a, "n1", '{"title":3,"tags":"a","steps":[1],"text":"about \\"schema_version\\": 9"}')
    write(a, "n2", '{"inner":{"schema_version":"x"}}')
    share(a)
    pull(b)
    assert {one(b, name).verdict for name in ("n1", "n2")} == {Verdict.NEW}


def test_only_the_newest_version_counts(world: World) -> None:
    a, b = world.store("a"), world.store("b")
    write(a, "p1", '{"schema_version":2,"tags":1}')
    write(a, "p1", '{"schema_version":2,"tags":["mended"]}')
    write(a, "p2", '{"schema_version":2}')
    write(a, "p2", '{"schema_version":2,"tags":1}')
    share(a)
    pull(b)
    assert (one(b, "p1").verdict, one(b, "p2").verdict) == (Verdict.NEW, Verdict.UNREADABLE)


def test_what_is_known_stays_known_though_it_fails(world: World) -> None:
    """[K1] [K3]: an earlier program accepted it, and its copy comes back."""
    a, b = world.store("a"), world.store("b")
    write(a, "p1", '{"schema_version":2,"tags":1}')
    share(a)
    (record,) = a.store.log()
    version = Version(a.store.origin, 1, record.c[:12])
    write(
        b,
        "p1",
        '{"schema_version":2,"tags":1}',
        cause=f"{a.store.origin}@1",
        root=str(version),
        context={a.store.origin: 1},
    )
    share(b)
    pull(a)
    pull(b)
    assert (one(a, "p1").verdict, one(a, "p1").label) == (Verdict.KNOWN, "echo")
    assert one(b, "p1").verdict == Verdict.KNOWN


def test_payloads_are_compared_and_copied_as_they_were_recorded(world: World) -> None:
    """[K1] [K3]: lifted they would be the same; as JSON values they are not."""
    a, b = world.store("a"), world.store("b")
    write(a, "p1", '{"schema_version":1,"tags":"x"}')
    write(a, "p2", '{"schema_version":1,"tags":"x"}')
    write(b, "p1", '{"schema_version":2,"tags":["x"]}')
    share(a)
    pull(b)
    assert one(b, "p1").verdict == Verdict.CONFLICT
    accept(b, "plan/p2")
    head, payload = b.store.get("plan", "p2")
    assert payload == {"schema_version": 2, "tags": ["x"]}
    assert json.loads(b.store.payload_bytes(head) or b"") == {"schema_version": 1, "tags": "x"}


def test_making_an_old_payload_private_leaves_it_as_it_stands(world: World) -> None:
    """[F1]: only an edit of what it says writes it anew."""
    from eventsync import app

    a = world.store("a")
    write(a, "p1", '{"schema_version":1,"tags":"x"}', summary="kept")
    app.edit(a.store, app.Surroundings(), "plan", "p1", app.Edit(lambda payload: payload, private=True))
    head = a.store.head("plan", "p1")
    assert head is not None
    assert (head.entity_rev, head.private, head.summary) == (2, True, "kept")
    assert a.store.payload_bytes(head) == b'{"schema_version":1,"tags":"x"}'
    app.edit(a.store, app.Surroundings(), "plan", "p1", app.Edit(lambda payload: payload | {"title": "t"}))
    head = a.store.head("plan", "p1")
    assert head is not None
    assert json.loads(a.store.payload_bytes(head) or b"") == {"schema_version": 2, "tags": ["x"], "title": "t"}


def test_a_merge_that_fails_its_schema_writes_nothing(world: World) -> None:
    """One side took up a newer version, the other one wrote by the older: together they are neither."""
    from federation.model import Resolution

    a, b = world.store("a"), world.store("b")
    put(a, "p1", schema_version=1)
    share(a)
    pull(b)
    accept_all(b)
    put(a, "p1", schema_version=2, n=1)
    write(b, "p1", '{"title":"p1","schema_version":1,"tags":"x"}')
    share(a)
    pull(b)
    found = one(b, "p1")
    assert found.verdict == Verdict.CONFLICT
    before = answers(b)
    with pytest.raises(SchemaFailed, match="payload of plan/p1: tags: "):
        b.deciding("test").accept([found.id], Resolution.MERGE)
    assert answers(b) == before
