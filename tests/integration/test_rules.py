"""Rules in whole stores: they decide after a pull what a person would, once, and leave alone what is theirs [K5]."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eventsync import exits
from eventsync.origins import block
from eventsync.sharing import Sharing
from federation.inbox import Filter
from federation.model import HEAD_FILE, OPEN_CAP, Verdict
from federation.puller import Settings
from journal import DiskFailed, StoreLocked
from tests.doubles.disks import Died, FaultyDisk
from tests.integration.forger import Forger
from tests.integration.world import (
    World,
    accept,
    accept_all,
    answers,
    by_origin,
    candidates,
    entities,
    meet,
    only,
    payload,
    pull,
    put,
    rebuilt,
    reject,
    remove,
    share,
    verdicts,
)

DEEP = os.environ.get("EVENTSYNC_DEEP") == "1"
ACCEPT = {"origin": "*", "action": "accept"}
HOLD = {"origin": "*", "action": "hold"}
REJECT = {"origin": "*", "action": "reject"}


def with_rules(store: Sharing, *rules: dict[str, str]) -> Sharing:
    """The store with these rules in its config, as the next command reads it."""
    path = store.store.folder / "config.toml"
    kept = path.read_text().split("[[rules]]")[0]
    tables = ["[[rules]]\n" + "".join(f"{key} = {value!r}\n" for key, value in rule.items()) for rule in rules]
    path.write_text(kept + "".join(tables))
    for name in ("config", "rules"):
        store.__dict__.pop(name, None)
    return store


def made_by(store: Sharing) -> dict[str, str]:
    """Which agent wrote what: `action type/id` → agent."""
    return {
        f"{record.action} {record.item_type}/{record.item_id}": record.agent
        for record in store.store.log()
        if record.cause is not None
    }


def held_by(store: Sharing) -> dict[str, str | None]:
    return {item.item_id: item.rule for item in candidates(store, Filter())}


# --- deciding --------------------------------------------------------------------------------------------------------


def test_rules_decide_what_a_person_would_by_the_same_records(world: World) -> None:
    """[K1] [K2] [K5] All but the agent of each record is what `accept` and `reject` write."""
    author, ruled, person = world.store("author"), world.store("ruled"), world.store("person")
    put(author, "p1", "p2")
    put(author, "n1", item_type="note")
    share(author)
    with_rules(ruled, {**REJECT, "type": "note", "name": "quiet", "reason": "not here"}, ACCEPT)
    run = pull(ruled)
    assert run.exit_code == exits.DONE
    pull(person)
    person.deciding("me").reject(
        [item.id for item in candidates(person) if item.item_type == "note"], reason="not here"
    )
    accept_all(person)
    assert entities(ruled) == entities(person)
    assert made_by(ruled) == {"accept plan/p1": "rule:2", "accept plan/p2": "rule:2", "reject note/n1": "rule:quiet"}

    def facts(store: Sharing) -> set[tuple[Any, ...]]:
        return {
            (record.action, record.item_id, record.summary, record.cause, record.root, str(record.context))
            for record in store.store.log()
            if record.cause is not None
        }

    assert facts(ruled) == facts(person)
    assert [(made.rule, made.candidate.item_id) for made in run.rules.made] == [
        ("2", "p1"),
        ("2", "p2"),
        ("quiet", "n1"),
    ]
    assert only(run).candidates == (0, 3, 0)
    assert len({record.batch and record.batch[1] for record in ruled.store.log() if record.cause}) == 1  # one batch
    before = answers(ruled)
    assert answers(rebuilt(ruled)) == before


def test_updates_and_deletions_are_followed_and_conflicts_are_not(world: World) -> None:
    """[K5] What neither side has seen of the other is a person's."""
    author, reader = world.store("author"), world.store("reader")
    with_rules(reader, ACCEPT)
    put(author, "p1", "p2", "p3")
    share(author)
    pull(reader)
    put(author, "p1", title="newer")
    remove(author, "p2")
    put(author, "p3", title="there")
    put(reader, "p3", title="here")
    share(author)
    run = pull(reader)
    assert payload(reader, "p1") == {"title": "newer"}
    assert entities(reader)["plan/p2"] == (2, None)
    assert payload(reader, "p3") == {"title": "here"}
    assert verdicts(reader)["plan/p3"] == Verdict.CONFLICT
    assert len(run.rules.made) == 2
    assert pull(reader).rules.made == ()


def test_rules_look_at_all_that_is_open_whoever_is_pulled(world: World) -> None:
    """What waits from an earlier pull is decided by a rule that was written since."""
    author, reader = world.store("author"), world.store("reader")
    put(author, "p1")
    share(author)
    pull(reader)
    with_rules(reader, ACCEPT)
    assert [made.candidate.item_id for made in pull(reader, []).rules.made] == ["p1"]


def test_a_dry_run_decides_nothing(world: World) -> None:
    author, reader = world.store("author"), world.store("reader")
    put(author, "p1")
    share(author)
    pull(reader)
    with_rules(reader, ACCEPT)
    run = reader.pull(reader.remotes(None), Settings(dry_run=True))
    assert run.rules.made == () and reader.store.position().seq == 0


def test_one_entity_from_several_origins_is_decided_one_by_one(world: World) -> None:
    """[K3] The second is judged against what the first has made; the same version is settled by the first."""
    one, two, three, reader = (world.store(name) for name in ("one", "two", "three", "reader"))
    put(one, "p1", n=1)
    share(one)
    pull(two)
    accept_all(two)
    put(three, "p1", n=3)
    put(two, "p2")
    share(two)
    pull(one)
    accept_all(one)
    put(one, "p2", n=2)  # seen by nobody yet: an update of what two has
    share(one)
    share(three)
    with_rules(reader, ACCEPT)
    pull(reader)
    assert payload(reader, "p2")["n"] == 2
    left = {(item.origin, item.item_id): item.verdict for item in candidates(reader, Filter())}
    assert {item_id for _, item_id in left} <= {"p1"} and set(left.values()) == {Verdict.CONFLICT}
    before = answers(reader)
    assert pull(reader).rules.made == ()
    assert answers(reader) == before


def test_what_breaks_our_limits_stays_open_and_is_told_while_the_rest_is_taken(world: World) -> None:
    """[J10] Each time, since it is each time so."""
    author, reader = world.store("author"), world.store("reader")
    put(reader, "case")
    put(author, "CASE", "p1")
    share(author)
    with_rules(reader, ACCEPT)
    for expected in (["p1"], []):
        run = pull(reader)
        assert [made.candidate.item_id for made in run.rules.made] == expected
        ((rule, left),) = run.rules.left
        assert (rule, left.item_id, left.reason) == ("1", "CASE", "item id differs from 'case' only in case")
        assert run.exit_code == exits.DONE


def test_ids_that_differ_only_in_case_do_not_stop_each_other(world: World) -> None:
    one, two, reader = world.store("one"), world.store("two"), world.store("reader")
    put(one, "case")
    put(two, "CASE", "p1")
    share(one)
    share(two)
    with_rules(reader, ACCEPT)
    run = pull(reader)
    assert len(run.rules.made) == 2 and len(run.rules.left) == 1


# --- holding ---------------------------------------------------------------------------------------------------------


def test_what_a_rule_holds_is_marked_and_taken_only_by_its_id(world: World) -> None:
    author, reader = world.store("author"), world.store("reader")
    put(author, "p1", "p2")
    share(author)
    with_rules(reader, {**HOLD, "item_id": "p1", "name": "look"}, {"origin": author.store.origin, "action": "accept"})
    run = pull(reader)
    assert run.rules.held == {"look": 1}
    assert held_by(reader) == {"p1": "look"}
    report = accept_all(reader)
    assert report.written == ()
    assert [(left.item_id, left.reason) for left in report.left] == [("p1", "held by rule 'look'")]
    accept(reader, "plan/p1")
    assert entities(reader).keys() == {"plan/p1", "plan/p2"}


# --- what is a person's ----------------------------------------------------------------------------------------------


def test_what_the_brake_holds_no_rule_takes_before_a_person_has_looked(world: World) -> None:
    author, reader = world.store("author"), world.store("reader")
    path = reader.store.folder / "config.toml"
    path.write_text(path.read_text() + "max_changes = 2\n")
    with_rules(reader, ACCEPT)
    put(author, "p0")
    share(author)
    pull(reader)
    put(author, "p1", "p2", "p3")
    share(author)
    run = pull(reader)
    assert (run.exit_code, run.rules.made, only(run).candidates.held) == (exits.DECISION, (), 3)
    assert pull(reader).rules.made == ()
    assert len(pull(reader, confirm=True).rules.made) == 3


def test_beyond_the_cap_the_next_pull_goes_on(world: World) -> None:
    reader, forger = world.store("reader"), Forger()
    for number in range(OPEN_CAP + 3):
        forger.record(f"p{number}")
    forger.feed().put_into(world.bus)
    with_rules(reader, ACCEPT)
    assert [len(pull(reader).rules.made) for _ in range(3)] == [OPEN_CAP, 3, 0]


def undo(store: Sharing) -> None:
    store.deciding("me").undo()


def snooze(store: Sharing) -> None:
    store.deciding("me").snooze([item.id for item in candidates(store, Filter())], None)


def reject_and_reopen(store: Sharing) -> None:
    reject(store, "plan/p1")
    undo(store)


@pytest.mark.parametrize("rule", [ACCEPT, REJECT], ids=["accept", "reject"])
@pytest.mark.parametrize("touch", [snooze, reject_and_reopen])
def test_what_a_person_has_had_a_hand_in_is_left_to_them_until_it_is_new(
    world: World, rule: dict[str, str], touch: Callable[[Sharing], None]
) -> None:
    author, reader = world.store("author"), world.store("reader")
    put(author, "p1")
    share(author)
    pull(reader)
    touch(reader)
    with_rules(reader, rule)
    assert pull(reader).rules.made == ()
    assert pull(rebuilt(reader)).rules.made == ()
    put(author, "p1", title="newer")
    share(author)
    assert len(pull(reader).rules.made) == 1


@pytest.mark.parametrize("rule", [ACCEPT, REJECT], ids=["accept", "reject"])
def test_what_a_rule_did_can_be_undone_and_is_not_done_again(world: World, rule: dict[str, str]) -> None:
    """[K5] A decision that was taken back is a person's."""
    author, reader = world.store("author"), world.store("reader")
    put(author, "p1", "p2")
    share(author)
    pull(reader)
    accept(reader, "plan/p2")
    put(author, "p2", title="newer")
    share(author)
    before = {key: value for key, (_, value) in entities(reader).items() if value is not None}
    with_rules(reader, rule)
    assert len(pull(reader).rules.made) == 2
    undo(reader)
    assert {key: value for key, (_, value) in entities(reader).items() if value is not None} == before
    assert set(held_by(reader)) == {"p1", "p2"}
    for _ in range(2):
        assert pull(reader).rules.made == ()
    assert answers(rebuilt(reader)) == answers(reader)
    undo(reader)  # what was undone is decided again, by hand
    assert held_by(reader) == {}


def test_no_rule_believes_an_origin_that_contradicts_itself(world: World) -> None:
    """[F5] What it had before the fork waits for a person too."""
    reader, forger = world.store("reader"), Forger()
    forger.record("p1")
    forger.feed().put_into(world.bus)
    pull(reader)
    shutil.rmtree(world.bus / forger.origin)
    other = Forger()
    other.record("p1", title="another")
    other.feed(gen=2).put_into(world.bus)
    with_rules(reader, ACCEPT)
    run = pull(reader)
    assert (only(run).result, run.exit_code) == ("fork", exits.FOREIGN_REFUSED)
    assert run.rules.made == () and reader.store.position().seq == 0


def test_a_damaged_mirror_is_left_alone_and_the_others_are_decided(world: World) -> None:
    """[F6]"""
    one, two, reader = world.store("one"), world.store("two"), world.store("reader")
    put(one, "p1")
    put(two, "p2")
    meet(one, two, reader)
    (reader.holdings.mirror.path(one.store.origin) / HEAD_FILE).write_bytes(b"junk")
    with_rules(reader, ACCEPT)
    run = pull(world.reopened(reader))
    assert [made.candidate.item_id for made in run.rules.made] == ["p2"]
    assert by_origin(run)[one.store.origin].refusal is not None


# --- killed and refused ----------------------------------------------------------------------------------------------


def scene(folder: Path) -> tuple[World, Sharing]:
    """A store with rules, before a pull that brings something for each of them."""
    folder.mkdir()
    world = World(folder)
    author, other, reader = world.store("first"), world.store("zoe"), world.store("reader")
    assert author.store.origin < other.store.origin  # so its version of p1 is taken first
    put(author, "p1", "p2")
    put(author, "n1", item_type="note")
    share(author)
    pull(other)
    accept_all(other)
    put(other, "p1", title="newer")
    share(other)
    with_rules(reader, {**REJECT, "type": "note"}, {**HOLD, "item_id": "p2"}, ACCEPT)
    return world, reader


def ended(world: World, store: Sharing) -> dict[str, Any]:
    """All answers, and what was decided; a seq or a salt may be another one."""
    decided = Counter(
        (record.action, record.item_type, record.item_id, record.cause, record.root, record.agent)
        for record in store.store.log()
        if record.cause is not None
    )
    told = answers(store)
    world.close_all()
    return {**told, "decided": decided}


@pytest.mark.parametrize("kills", [True, False], ids=["killed", "refused by the disk"])
def test_a_pull_that_ends_anywhere_and_the_next_one_come_to_the_same(tmp_path: Path, kills: bool) -> None:
    """[F7] [K5] Nothing is decided twice, nothing is forgotten: at each write, fsync and rename of the pull."""
    world, reader = scene(tmp_path / "whole")
    disk = FaultyDisk(10**9, kills=kills)
    reader = world.reopened(reader, disk=disk)
    start = disk.count
    pull(reader)
    steps = disk.count - start
    wanted = ended(world, reader)
    assert steps > 20 and len(wanted["decided"]) == 3  # p1 twice, in two batches
    for number in range(0 if kills else 3, steps, 1 if DEEP else 7):
        world, reader = scene(tmp_path / f"at {number}")
        disk = FaultyDisk(10**9, kills=kills)
        reader = world.reopened(reader, disk=disk)
        disk.at = disk.count + 1 + number
        try:
            pull(reader)
        except (Died, DiskFailed):
            pass
        assert disk.has_struck, number
        reader = world.reopened(reader)
        pull(reader)
        assert ended(world, reader) == wanted, number
        shutil.rmtree(tmp_path / f"at {number}")


def test_rules_that_cannot_be_written_leave_the_pull_done_and_say_why(world: World) -> None:
    """What was pulled stays; exit code and report tell what did not work."""
    author, reader = world.store("author"), world.store("reader")
    put(author, "p1")
    share(author)
    with_rules(reader, ACCEPT)

    reader.store.lock_timeout = 0
    with (reader.store.folder / "journal.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run = pull(reader)
    assert isinstance(run.rules.error, StoreLocked)
    assert (run.exit_code, only(run).result) == (exits.PARTLY, "new")
    assert [made.candidate.item_id for made in pull(reader).rules.made] == ["p1"]


def test_what_comes_from_an_origin_that_a_person_blocked_is_left_alone(world: World) -> None:
    """[F5] Also what was there before it was blocked."""
    author, reader = world.store("author"), world.store("reader")
    put(author, "p1")
    share(author)
    pull(reader)
    block(reader, author.store.origin, "no", "me")
    with_rules(reader, ACCEPT)
    run = pull(reader)
    assert (run.rules.made, run.rules.error) == ((), None)
