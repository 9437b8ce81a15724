"""What is kept back by tag and path: at once, for good, with its tombstone and all that is decided about it [F1]."""

from __future__ import annotations

import json
from typing import Any

import pytest

from eventsync.sharing import Sharing
from federation.feed import parse_skip
from federation.model import PublishReport
from federation.publisher import publish
from federation.redaction import redact
from federation.withholding import PublishSettings
from tests.doubles.disks import CountingDisk
from tests.integration.world import (
    World,
    accept,
    feed_lines,
    own_feed,
    pull,
    put,
    rebuilt,
    reject,
    remove,
    share,
    snooze,
    verdicts,
)

TAGGED = PublishSettings(withhold_tags=frozenset(["own"]))
BY_PATH = PublishSettings(withhold_paths=("secret/",))
OPEN = PublishSettings()


def shown(store: Sharing) -> list[str]:
    """The records that the feed of a store shows, and `[a,b]` for its skips."""
    found = []
    for line in feed_lines(own_feed(store)):
        skip, value = parse_skip(line), json.loads(line)
        found.append(f"[{skip[0]},{skip[1]}]" if skip else f"{value['action']} {value['item_id']}")
    return found


def published(store: Sharing, settings: PublishSettings) -> PublishReport:
    return publish(store.holdings, settings)


KEPT: list[tuple[PublishSettings, dict[str, Any], str]] = [
    (TAGGED, {"tags": ["own"]}, "tag"),
    (BY_PATH, {"related_paths": ["secret/a.md"]}, "path"),
    (TAGGED, {"tags": "own", "text": "x" * 70_000}, "tag"),  # a blob
]


@pytest.mark.parametrize(("settings", "payload", "reason"), KEPT, ids=["tag", "path", "blob"])
def test_what_is_kept_back_is_so_from_its_beginning_and_for_good(
    world: World, settings: PublishSettings, payload: dict[str, Any], reason: str
) -> None:
    """[F1] [T1] A setting that changes later shows nothing of it, not even that it was deleted."""
    store = world.store("a")
    put(store, "p1")
    put(store, "p2")
    put(store, "p1", **payload)
    report = published(store, settings)
    assert shown(store) == ["[1,1]", "create p2", "[3,3]"]
    assert report.withheld == {("plan", reason): 2}
    assert not published(store, OPEN).changed
    remove(store, "p1")
    remove(store, "p2")
    assert published(store, OPEN).withheld == {("plan", "entity"): 1}
    assert shown(store) == ["[1,1]", "create p2", "[3,3]", "[4,4]", "delete p2"]
    put(store, "p1", title="anew")
    put(store, "p1", title="and on")
    remove(store, "p1")
    assert published(store, OPEN).published == 3
    assert not list((own_feed(store) / "blobs").glob("*/*"))


def test_a_type_that_is_listed_later_shows_no_deletion_of_what_was_kept_back(world: World) -> None:
    """[F1]"""
    store = world.store("a")
    put(store, "i1", "i2", item_type="idea")
    published(store, OPEN)
    wide = PublishSettings(frozenset(["idea"]))
    remove(store, "i1", item_type="idea")
    put(store, "i2", item_type="idea", title="for all")
    remove(store, "i2", item_type="idea")
    assert published(store, wide).withheld == {("idea", "entity"): 1}
    assert shown(store) == ["[1,2]", "[3,3]", "update i2", "delete i2"]


def test_what_everybody_saw_is_seen_to_go(world: World) -> None:
    """[F1] A tag that is kept back later hides nothing that is known already."""
    store = world.store("a")
    put(store, "p1", tags=["own"])
    published(store, OPEN)
    remove(store, "p1")
    assert published(store, TAGGED).withheld == {}
    assert shown(store) == ["create p1", "delete p1"]


def test_a_tag_that_is_taken_off_shows_what_comes_after(world: World) -> None:
    """[F1] The record that had the tag stays here, and what a crash left undone changes nothing."""
    store = world.store("a")
    put(store, "p1", tags=["own"])
    put(store, "p1", tags=[])
    assert published(store, TAGGED).withheld == {("plan", "tag"): 1}
    assert shown(store) == ["[1,1]", "update p1"]


def test_decisions_go_where_their_entity_went(world: World) -> None:
    """[F1] A reject would tell that there is something of that name here, and why."""
    store, other = world.store("a"), world.store("b")
    put(store, "p1", "p2", tags=["own"])
    put(store, "p3")
    published(store, TAGGED)
    put(other, "p1", "p2", "p3", "p4", title="other")
    share(other)
    pull(store)
    snooze(store, "plan/p1", "plan/p3")  # a decision with a payload of its own
    reject(store, "plan/p1", "plan/p3", "plan/p4")
    remove(store, "p1", "p3")
    assert published(store, TAGGED).withheld == {("plan", "entity"): 3}
    assert [line for line in shown(store) if "reject" in line] == ["reject p3", "reject p4"]
    put(store, "p2", title="public now")
    pull(store)
    reject(store, "plan/p2")
    published(store, TAGGED)
    assert shown(store)[-2:] == ["update p2", "reject p2"]


def test_an_accepted_record_is_judged_like_any_other(world: World) -> None:
    """[F1]"""
    store, other = world.store("a"), world.store("b")
    put(other, "p1", tags=["own"])
    share(other)
    pull(store)
    accept(store, "plan/p1")
    assert published(store, TAGGED).withheld == {("plan", "tag"): 1}


def test_a_private_entity_stays_private_whatever_happens_to_it(world: World) -> None:
    """[F1] A record, its tombstone, decisions about it, then `put --public`: only what comes after that is shown."""
    store, other = world.store("a"), world.store("b")
    put(store, "p1", private=True, text="hidden")
    published(store, OPEN)
    remove(store, "p1")
    published(store, OPEN)
    put(other, "p1", title="other")
    share(other)
    pull(store)
    reject(store, "plan/p1")
    published(store, OPEN)
    put(store, "p1", title="again")  # over a tombstone: still private
    published(store, OPEN)
    assert not any("p1" in line for line in shown(store))
    put(store, "p1", title="open", private=False)
    remove(store, "p1")
    published(store, OPEN)
    assert shown(store)[-2:] == ["update p1", "delete p1"]


def test_what_was_redacted_unseen_hides_no_deletion_of_what_was_seen(world: World) -> None:
    """[F1] [J16] Its reader would keep it for ever."""
    store = world.store("a")
    put(store, "p1")
    published(store, OPEN)
    put(store, "p1", text="oops")
    redact(store.holdings, [2], "a slip", "test")
    published(store, OPEN)
    remove(store, "p1")
    assert published(store, OPEN).withheld == {}
    assert shown(store)[-1] == "delete p1"


def test_caches_that_were_deleted_change_no_answer(world: World) -> None:
    """[T1] What was kept back is told by the feed and the journal alone."""
    store = world.store("a")
    put(store, "p1", tags=["own"])
    put(store, "p2")
    published(store, TAGGED)
    store = rebuilt(store)
    remove(store, "p1", "p2")
    assert published(store, OPEN).withheld == {("plan", "entity"): 1}


def test_a_payload_that_cannot_be_read_is_kept_back_where_it_would_decide(world: World) -> None:
    """[F1] [J13] Nobody knows what tags it has; without a filter its line goes out as before."""
    store = world.store("a")
    put(store, "p1", text="x" * 70_000)
    (blob,) = [path for path in (store.store.folder / "journal" / "blobs").glob("*/*") if path.is_file()]
    blob.unlink()
    assert published(store, TAGGED).withheld == {("plan", "unreadable"): 1}


def test_readers_learn_nothing_of_it(world: World) -> None:
    """[F1] Not by a name in their inbox either."""
    store, reader = world.store("a"), world.store("b")
    (store.store.folder / "config.toml").write_text(
        (store.store.folder / "config.toml").read_text()
        + '[publish]\nwithhold_tags = ["own"]\nwithhold_paths = ["secret/**", "*.pem"]\nonly_tags = ["team"]\n'
    )
    store = world.reopened(store)
    put(store, "p1", tags=["own", "team"])
    put(store, "p2", tags=["team"], path="secret/x")
    put(store, "p3", tags=["team"], files=["a.pem"])
    put(store, "p4")
    put(store, "p5", tags=["team"])
    share(store)
    remove(store, "p1", "p2", "p3", "p4", "p5")
    share(store)
    pull(reader)
    assert verdicts(reader) == {"plan/p5": "known"}


@pytest.mark.parametrize("deleted", [1, 12])
def test_a_deletion_reads_back_no_further_than_it_must(world: World, deleted: int) -> None:
    """[F1] What is new is read as before; for what was published long ago the log is read once, however many go."""
    disk = CountingDisk()
    store = world.store("a", disk=disk)
    names = [f"p{number}" for number in range(40)]
    for name in names:
        put(store, name, text="x" * 1000)
    published(store, OPEN)
    remove(store, *names[:deleted])
    disk.reset()
    assert published(store, OPEN).published == deleted
    assert disk.bytes_read < 400_000
