"""Redaction of a store that shares: its feed, what a push leaves, and what was withheld."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from eventsync.app import Surroundings
from eventsync.renewing import renew
from eventsync.sharing import Sharing
from federation.audit import audit
from federation.errors import FederationError
from federation.redaction import RedactReport, plan, redact
from journal import DamagedStore, JournalError, StoreCopied
from tests.crash.killing import DEEP
from tests.doubles.disks import CountingDisk, Died, FaultyDisk, Share
from tests.doubles.memory import MemoryPlace, MemoryTransport
from tests.doubles.searching import files_with
from tests.integration.world import (
    World,
    candidates,
    entities,
    feed_lines,
    head_of,
    own_feed,
    place_remote,
    pull,
    put,
    remove,
    share,
    verdicts,
)

SECRET = "hünter2-Zürich"


def take_back(store: Sharing, *seqs: int) -> RedactReport:
    return redact(store.holdings, seqs, "slipped in", "test")


def redactions(store: Sharing) -> list[tuple[bool, list[int]]]:
    """Of each redact record whether it is private, and the seqs it lists."""
    return [
        (record.private, [line["seq"] for line in json.loads(record.payload_bytes or b"")["lines"]])
        for record in store.store.log()
        if record.action == "redact"
    ]


@pytest.fixture
def shared(world: World) -> Sharing:
    """A store that published the secret in seq 2 and 3, withholds it in 4 (private) and 5 (its type), and not in 1."""
    a = world.store("a")
    put(a, "p1")
    put(a, "p1", text=SECRET)
    put(a, "p2", text=SECRET)
    put(a, "n1", item_type="note", text=SECRET, private=True)
    put(a, "s1", item_type="session", text=SECRET)
    share(a)
    return a


def test_what_was_published_is_a_stub_in_the_feed(world: World, shared: Sharing) -> None:
    """[F9] [J16]: signed anew over the same c and t, with the seqs it lists."""
    before, old = feed_lines(own_feed(shared)), head_of(own_feed(shared))
    report = take_back(shared, 2, 3, 4, 5)
    assert report.feed_changed
    after, head = feed_lines(own_feed(shared)), head_of(own_feed(shared))
    assert [json.loads(line).get("redacted", False) for line in after] == [False, True, True, False]
    assert (after[0], after[3]) == (before[0], before[3])
    assert (head["gen"], head["redacted"]) == (old["gen"] + 1, [2, 3])
    assert (head["last_seq"], head["c"], head["t"]) == (old["last_seq"], old["c"], old["t"])
    assert files_with(shared.store.folder, SECRET) == []
    assert [*audit(shared.holdings)] == []
    assert shared.store.verify().findings == []


def test_what_was_withheld_is_told_to_nobody(world: World, shared: Sharing) -> None:
    """[F1] [F9]: neither that there was something, nor that it is gone."""
    take_back(shared, 2, 4, 5)
    assert redactions(shared) == [(False, [2]), (True, [4, 5])]
    share(shared)
    shown = [json.loads(line) for line in feed_lines(own_feed(shared))]
    assert [line.get("seq") or line["skip"] for line in shown] == [1, 2, 3, [4, 5], 6, [7, 7]]
    assert shown[4]["payload"]["lines"] == [{"seq": 2, "blake3": shown[4]["payload"]["lines"][0]["blake3"]}]


def test_what_was_not_published_yet_never_is(world: World, shared: Sharing) -> None:
    """[F1] [F9]: a record that nobody saw becomes a skip, not a stub."""
    put(shared, "p3", text=SECRET)
    put(shared, "p3", n=2)
    take_back(shared, 6)
    assert redactions(shared) == [(True, [6])]
    reasons = {found.seq: found.reason for found in shared.explain().withheld}
    assert reasons == {6: "redacted", 8: "internal"}
    share(shared)
    shown = [json.loads(line) for line in feed_lines(own_feed(shared))]
    assert [line.get("seq") or line["skip"] for line in shown][4:] == [[6, 6], 7, [8, 8]]
    assert head_of(own_feed(shared))["redacted"] == []


def test_a_push_leaves_nothing_of_it_at_the_remote(world: World, shared: Sharing) -> None:
    """[F4] [F9]: slices that were taken back go at once, not one push later."""
    put(shared, "p4")
    share(shared)
    assert files_with(world.bus, SECRET)
    take_back(shared, 2, 3)
    share(shared)
    assert files_with(world.bus, SECRET) == []
    b = world.store("b")
    pull(b)
    assert files_with(b.store.folder, SECRET) == []
    assert verdicts(b) == {"plan/p1": "unreadable", "plan/p2": "unreadable", "plan/p4": "new"}
    assert {found.item_id: found.payload for found in candidates(b)}["p1"] is None


def test_a_place_that_keeps_its_history_is_told_of(world: World, shared: Sharing) -> None:
    """[F9]: only who runs it can make it forget."""
    place = MemoryPlace()

    class Keeping(MemoryTransport):
        def publish_anew(self, origin: str, folder: Path, names: Sequence[str], keep: frozenset[str]) -> bool:
            self.publish(origin, folder, names, keep)
            return False

    remote = place_remote(lambda: Keeping(place, is_local=True))
    assert shared.push([remote]).remotes[0].warnings == ()
    take_back(shared, 2)
    shared.publish()
    (report,) = shared.push([remote]).remotes
    assert report.result == "pushed"
    assert "can still be found there" in report.warnings[0]
    assert shared.push([remote]).remotes[0].warnings == ()


def test_a_payload_beside_the_feed_goes_too(world: World, shared: Sharing) -> None:
    """[J13] [F9]: and that of another record stays."""
    put(shared, "b1", text=SECRET + "x" * 70_000)
    put(shared, "b2", text="y" * 70_000)
    share(shared)
    assert len([*(own_feed(shared) / "blobs").rglob("*.zst")]) == 2
    take_back(shared, 6, 2, 3, 4, 5)
    assert files_with(shared.store.folder, SECRET) == []
    assert len([*(own_feed(shared) / "blobs").rglob("*.zst")]) == 1
    share(shared)
    assert files_with(world.bus, SECRET) == []
    b = world.store("b")
    pull(b)
    assert verdicts(b)["plan/b2"] == "new"


def test_merged_slices_are_redacted_too(world: World, shared: Sharing) -> None:
    """[F3] [F9]: whatever slice a line stands in by then."""
    for number in range(20):
        put(shared, f"q{number}")
        share(shared)
    take_back(shared, 3, 2, 4, 5)
    assert files_with(shared.store.folder, SECRET) == []
    share(shared)
    assert files_with(world.bus, SECRET) == []
    assert [*audit(shared.holdings)] == []


def test_redacting_what_is_redacted_does_nothing(world: World, shared: Sharing) -> None:
    take_back(shared, 2)
    share(shared)
    head = head_of(own_feed(shared))
    report = take_back(shared, 2)
    assert (report.plan.already, report.records, report.feed_changed) == ((2,), (), False)
    assert head_of(own_feed(shared)) == head
    assert len(redactions(shared)) == 1


def test_a_second_redaction_adds_to_the_first(world: World, shared: Sharing) -> None:
    """[F2]: the head lists all of them, sorted."""
    take_back(shared, 3)
    take_back(shared, 2)
    assert head_of(own_feed(shared))["redacted"] == [2, 3]
    share(shared)
    assert [*audit(shared.holdings)] == []
    b = world.store("b")
    pull(b)
    assert set(verdicts(b).values()) == {"unreadable"}


def test_a_tombstone_keeps_the_entity_deleted(world: World, shared: Sharing) -> None:
    """[K2] [F9]: for others too."""
    b = world.store("b")
    pull(b)
    remove(shared, "p2")
    take_back(shared, 6)
    share(shared)
    assert entities(shared)["plan/p2"] == (2, None)


# --- what is refused -------------------------------------------------------------------------------------------------


def test_without_the_key_nothing_is_begun(world: World, shared: Sharing) -> None:
    """[I1] [F9]: a feed that cannot be signed anew would keep the text."""
    shared.store.private_key_path.rename(world.folder / "key")
    with pytest.raises(DamagedStore, match="the private key of this store is not here"):
        take_back(shared, 2)
    assert redactions(shared) == []
    assert take_back(shared, 4).plan.lines[0].published is False


def test_a_copied_store_is_not_redacted(world: World, shared: Sharing) -> None:
    """[I2]"""
    shared.store.update_local(machine_id="another")
    with pytest.raises(StoreCopied):
        take_back(shared, 2)
    assert files_with(shared.store.folder, SECRET)


def test_a_plan_writes_nothing(world: World, shared: Sharing) -> None:
    before = head_of(own_feed(shared)), shared.store.position()
    found = plan(shared.holdings, [2, 4])
    assert [(line.seq, line.published) for line in found.plan.lines] == [(2, True), (4, False)]
    assert (head_of(own_feed(shared)), shared.store.position()) == before


# --- interrupted -----------------------------------------------------------------------------------------------------


def announced_only(store: Sharing, *seqs: int) -> None:
    """A redaction whose process ended right after its records were durable."""
    with store.holdings.lock(), store.store.lock():
        found = store.store.redaction.plan(seqs, lambda seq: store.holdings.own.find(seq) is not None)
        store.store.redaction.begin(found, "slipped in", "test")


def test_a_publish_ends_what_was_interrupted_and_shows_nothing_of_it(world: World, shared: Sharing) -> None:
    """[J16] [F9]: a line that was to be redacted before it was published is not published."""
    put(shared, "p3", text=SECRET)
    announced_only(shared, 2, 3, 4, 5, 6)
    a = world.reopened(shared)
    share(a)
    assert files_with(a.store.folder, SECRET) == []
    assert files_with(world.bus, SECRET) == []
    assert [*audit(a.holdings)] == []
    assert a.store.verify().findings == []


def test_a_redaction_ends_an_interrupted_one_first(world: World, shared: Sharing) -> None:
    announced_only(shared, 2)
    a = world.reopened(shared)
    take_back(a, 3, 4, 5)
    assert files_with(a.store.folder, SECRET) == []
    assert head_of(own_feed(a))["redacted"] == [2, 3]
    assert a.store.local()["redacting"] is None


KINDS = {"none": ("write", "fsync", "rename", "unlink"), "half": ("write",), "all": ("rename", "unlink")}


@pytest.mark.crash
@pytest.mark.parametrize("kills", [True, False])
@pytest.mark.parametrize("share_of_call", ["none", "half", "all"])
def test_a_fault_at_any_call_leaves_a_feed_that_others_can_read(
    quick_folder: Path, share_of_call: Share, kills: bool
) -> None:
    """[F4] [F9] [J16]: failed or killed anywhere, the next publish ends it, and nobody finds a contradiction."""

    def prepared(name: str) -> tuple[World, Sharing]:
        (quick_folder / name).mkdir()
        world = World(quick_folder / name)
        a = world.store("a")
        put(a, "p1", text=SECRET)
        put(a, "b1", text=SECRET + "x" * 70_000)
        put(a, "n1", item_type="note", text=SECRET, private=True)
        share(a)
        put(a, "p2")
        return world, a

    world, a = prepared("counted")
    counting = CountingDisk()
    take_back(world.reopened(a, disk=counting), 1, 2, 3)
    calls = [number for number, call in enumerate(counting.order, 1) if call in KINDS[share_of_call]]
    assert len(calls) > 8
    world.close_all()
    for at in calls if DEEP else calls[int(kills) :: 4]:
        world, a = prepared(f"at{at}")
        b = world.store("b")
        pull(b)
        struck = world.reopened(a, disk=FaultyDisk(at, share_of_call, kills=kills))
        with contextlib.suppress(Died, JournalError, FederationError):
            take_back(struck, 1, 2, 3)
        again = world.reopened(struck)
        share(again)
        assert pull(b).exit_code == 0
        take_back(again, 1, 2, 3)
        share(again)
        assert files_with(again.store.folder, SECRET) == []
        assert files_with(world.bus, SECRET) == []
        assert pull(b).exit_code == 0
        c = world.store("c")
        pull(c)
        assert {key: found for key, found in verdicts(c).items() if key != "plan/p2"} == {
            "plan/p1": "unreadable",
            "plan/b1": "unreadable",
        }
        assert [*audit(again.holdings)] == []
        assert [finding for finding in again.store.verify().findings if finding.severity != "info"] == []
        world.close_all()


def test_what_was_published_under_a_former_identity_goes_too(world: World, shared: Sharing) -> None:
    """[I2] [F9]: its feed is shown to nobody any more, so nobody is told; but the text goes from it."""
    renew(shared.store, Surroundings(agent="test"), None, None)
    a = world.reopened(shared)
    put(a, "p9", text=SECRET)
    share(a)
    seqs = [record.seq for record in a.store.log() if record.payload_bytes and SECRET in record.payload_bytes.decode()]
    assert 2 in seqs
    take_back(a, *seqs)
    assert files_with(a.store.folder, SECRET) == []
    assert [*audit(a.holdings)] == []
    assert a.store.verify().findings == []
    share(a)
    assert [*audit(a.holdings)] == []
    public, private = redactions(a)
    assert (public[0], private[0]) == (False, True)
    assert set(private[1]) >= {2, 3, 4, 5}
