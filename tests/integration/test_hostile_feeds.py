"""Whatever stands on a bus, with a good signature or without: nothing raises, nothing spreads, and others go on.

Seeded, so that every run is the same. EVENTSYNC_DEEP=1 plays many more.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from eventsync import exits
from eventsync.sharing import Sharing
from federation.errors import DecisionNeeded
from federation.inbox import Filter
from federation.model import HEAD_FILE, Result
from journal import InvalidInput
from tests.integration.forger import Forger
from tests.integration.world import (
    World,
    accept_all,
    answers,
    by_origin,
    candidates,
    only,
    over,
    pull,
    put,
    rebuilt,
    share,
    tree,
    verdicts,
)

DEEP = os.environ.get("EVENTSYNC_DEEP") == "1"
SEEDS = range(2_000) if DEEP else range(40)
CODES = {exits.DONE, exits.PARTLY, exits.FOREIGN_REFUSED, exits.TOO_NEW, exits.DECISION, exits.UNAVAILABLE}

SOMEBODY = "es1" + "s" * 32
JUNK: list[Any] = [
    *(None, True, False, 0, 1, -1, 2**31, 2**53, 2**63, 2**64, 10**30, 0.5, -0.0, 1e308),
    *("", "x", "\0", "\u202e", "\ud800", "🙂" * 300, "x" * 5_000, "../../x", "con", "es1" + "a" * 32),
    *([], [1], [[[]]], {}, {"a": 1}, {"": {}}, {SOMEBODY: 1}, {SOMEBODY: 2**60}),
    *(f"{SOMEBODY}@1", f"{SOMEBODY}@1#{'0' * 12}", f"{SOMEBODY}@0", "journal", "plan", "accept", "reject", "delete"),
]
# Not v and seq: what does not begin as a line must is refused before anybody asks what it means.
FIELDS = [
    *("ts", "writer", "agent", "agent_id", "session_id", "action", "item_type", "item_id", "entity_rev", "summary"),
    *("batch", "private", "cause", "root", "context", "claims", "payload", "payload_ref", "redacted", "salt", "extra"),
]


def hostile(seed: int, local: Sharing) -> Forger:
    """Signed lines of any content, some of them about what the reader has."""
    rng = random.Random(seed)
    forger = Forger()
    for _ in range(rng.randint(1, 12)):
        kind = rng.random()
        if kind < 0.1:
            forger.skip(rng.randint(1, 3))
        elif kind < 0.2:
            forger.chained(garbage(rng, forger.state.seq + 1))
        else:
            record(rng, forger, local.store.origin)
    return forger


def record(rng: random.Random, forger: Forger, local: str) -> None:
    """A record with some fields as no honest store writes them."""
    seq = forger.state.seq + 1
    vector = rng.choice([None, {forger.origin: seq}, {forger.origin: seq, local: rng.randint(1, 9)}, {local: 1}])
    fields: dict[str, Any] = {"context": vector}
    if rng.random() < 0.3:
        fields |= {"action": "accept", "root": f"{rng.choice([local, SOMEBODY])}@{rng.randint(1, 9)}#{'0' * 12}"}
    for name in rng.sample(FIELDS, rng.choice([0, 0, 1, 1, 2, 3])):
        fields[name] = rng.choice(JUNK)
    if rng.random() < 0.1:
        fields["v"] = rng.choice([0, 1, 3, 999_999])
    item_id = fields.pop("item_id", rng.choice(["mine", "shared", "theirs"]))
    forger.record(item_id, **fields)


def garbage(rng: random.Random, seq: int) -> bytes:
    """A line that is chained and no JSON, or not one that everybody reads alike."""
    start = b'{"v":2,"seq":%d,"action":"create","item_type":"plan","item_id":"mine"' % seq
    depth = rng.choice([65, 255, 257, 2_000])
    return rng.choice(
        [
            start + b',"payload":{"a":"\xff"}',
            start + b',"payload":{"a":"\xed\xa0\x80"}',
            start + b',"payload":{"a":1,"a":2}',
            start + b',"payload":{"a":NaN}',
            start + b',"payload":{"a":1e999}',
            start + b',"payload":' + b'{"a":' * depth + b"1" + b"}" * depth,
            start + b',"payload":{},"seq":1',
            start + b',"payload":{},"v":1',
            start + b',"payload":{},"item_id":"other"',
            start + b',"payload":{},"payload":{"b":1}',
            start + b',"redacted":true',
            start + b',"payload":{' + b" " * 1_000 + b"}",
            b'{"v":2,"seq":%d' % seq,
            b'{"v":2,"seq":%d,"action":"\\ud800","item_type":"plan","item_id":"\\udfff"' % seq,
            b'{"v":2,"seq":%d,' % seq + b"[" * 3_000,
        ]
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_signed_records_of_any_content_stop_nobody_and_leave_a_store_that_works(world: World, seed: int) -> None:
    """[F6] [K3] [T1] [J10]"""
    reader, honest, third = world.store("reader"), world.store("honest"), world.store("third")
    put(reader, "mine", "shared")
    share(reader)
    put(honest, "fine")
    share(honest)
    forger = hostile(seed, reader)
    cuts = sorted(random.Random(seed).sample(range(1, len(forger.lines)), k=min(2, len(forger.lines) - 1)))
    forger.feed(cuts=cuts).put_into(world.bus)

    run = pull(reader)
    assert by_origin(run)[honest.store.origin].result is Result.NEW
    assert by_origin(run)[forger.origin].result is Result.NEW
    assert run.exit_code in CODES
    before = answers(reader)
    assert answers(rebuilt(reader)) == before
    json.dumps([item.payload for item in candidates(reader)])

    report = accept_all(reader)
    assert "fine" in {written.item_id for written in report.written}
    for item in candidates(reader):
        for theirs in (False, True):
            try:
                reader.deciding("test").accept([item.id], over(theirs))
            except (DecisionNeeded, InvalidInput):
                assert report.left
    for item in list(reader.inbox.candidates(Filter())):
        reader.deciding("test").reject([item.id])
    assert not list(reader.inbox.candidates(Filter()))
    before = answers(reader)
    assert answers(rebuilt(reader)) == before

    # What was accepted goes out under the reader's own name, and harms nobody there either.
    share(reader)
    run = pull(third)
    assert by_origin(run)[reader.store.origin].result is Result.NEW
    accept_all(third, theirs=True)
    before = answers(third)
    assert answers(rebuilt(third)) == before
    assert [found for found in reader.store.verify().findings if found.severity == "error"] == []


@pytest.mark.parametrize("seed", SEEDS)
def test_signed_heads_of_any_content_are_a_value_and_no_exception(world: World, seed: int) -> None:
    """[F5] [F6]"""
    rng = random.Random(seed)
    reader, honest = world.store("reader"), world.store("honest")
    put(honest, "fine")
    share(honest)
    forger = Forger()
    for number in range(4):
        forger.record(f"p{number}")
    pinned = rng.random() < 0.5
    if pinned:
        short = forger.copy()
        del short.lines[2:]
        short.feed().put_into(world.bus)
        pull(reader)
    before = answers(reader)

    def change(head: dict[str, Any]) -> None:
        for _ in range(rng.randint(1, 2)):
            parts = [head, head["start"], *(head["slices"] if isinstance(head["slices"], list) else [])]
            place = rng.choice([part for part in parts if isinstance(part, dict)])
            place[rng.choice(sorted(place))] = rng.choice([junk for junk in JUNK if junk != "\ud800"])

    forger.feed(gen=2, cuts=[2], change=change).put_into(world.bus)
    run = pull(reader)
    assert run.exit_code in CODES
    result = by_origin(run)[forger.origin].result
    assert by_origin(run)[honest.store.origin].result in (Result.NEW, Result.UP_TO_DATE)
    mirrored = [line.data for line in reader.holdings.mirror.feed(forger.origin).lines(0)]
    assert mirrored in ([], [line.data for line in forger.lines[:2]], [line.data for line in forger.lines])
    if pinned and result not in (Result.UPDATED, Result.UP_TO_DATE):
        assert answers(reader)["candidates"][:2] == before["candidates"][:2]
    before = answers(reader)
    assert answers(rebuilt(reader)) == before


def damaged(rng: random.Random, folder: Path) -> None:
    """What a disk, a copy program or a stranger without the key may do to a feed."""
    path = rng.choice(sorted(folder.iterdir()))
    data = bytearray(path.read_bytes())
    match rng.choice(["flip", "flip", "cut", "grow", "remove", "swap", "empty"]):
        case "flip" if data:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            path.write_bytes(data)
        case "cut":
            path.write_bytes(data[: rng.randrange(len(data) + 1)])
        case "grow":
            path.write_bytes(bytes(data) + rng.randbytes(rng.choice([1, 100, 100_000])))
        case "remove":
            path.unlink()
        case "swap":
            other = rng.choice(sorted(folder.iterdir()))
            path.write_bytes(other.read_bytes())
        case _:
            path.write_bytes(b"")


@pytest.mark.parametrize("seed", SEEDS)
def test_what_happens_to_a_feed_on_the_way_is_never_taken_and_never_freezes_its_origin(world: World, seed: int) -> None:
    """[F5] A fork needs a signature: nobody else can bring one about."""
    rng = random.Random(seed)
    author, reader = world.store("author"), world.store("reader")
    for number in range(3):
        put(author, f"p{number}")
        share(author)
        if number == 1 and rng.random() < 0.5:
            pull(reader)
    put(author, "last")
    author.publish()
    author.push(author.remotes(None))
    folder = world.bus / author.store.origin
    good = tree(folder)
    for _ in range(5):
        held = [line.data for line in reader.holdings.mirror.feed(author.store.origin).lines(0)]
        damaged(rng, folder)
        if not any(folder.iterdir()):
            break
        run = pull(reader)
        found = by_origin(run)
        if author.store.origin in found:
            result = found[author.store.origin].result
            assert result in (Result.NEW, Result.UPDATED, Result.UP_TO_DATE, Result.REFUSED, Result.INCOMPLETE)
        assert reader.holdings.mirror.fork_evidence(author.store.origin) == []
        now = [line.data for line in reader.holdings.mirror.feed(author.store.origin).lines(0)]
        whole = [line.data for line in author.holdings.own.lines(0)]
        assert now in (held, whole)
    shutil.rmtree(folder)
    folder.mkdir()
    for name, data in good.items():
        (folder / name).write_bytes(data)
    assert only(pull(reader)).result in (Result.NEW, Result.UPDATED, Result.UP_TO_DATE)
    assert set(verdicts(reader)) == {"plan/p0", "plan/p1", "plan/p2", "plan/last"}
    mirror = reader.store.folder / "federation" / "mirror" / author.store.origin
    assert (mirror / HEAD_FILE).read_bytes() == good[HEAD_FILE]
