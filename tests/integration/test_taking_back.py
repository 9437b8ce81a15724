"""Redaction that travels: what others redact goes from mirror, index and inbox, and nothing else changes."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from eventsync.sharing import Sharing
from federation.audit import audit
from federation.errors import FederationError
from federation.feed import body_of, build_slice, prev_c_of
from federation.model import Result
from federation.packing import pack
from federation.redaction import redact
from federation.taking_back import copies_here
from journal import JournalError
from tests.crash.killing import DEEP
from tests.doubles.disks import CountingDisk, Died, FaultyDisk, QuickDisk, Share
from tests.doubles.searching import files_with
from tests.integration.forger import Forger
from tests.integration.world import (
    World,
    accept,
    accept_all,
    answers,
    candidates,
    folder_remote,
    only,
    own_feed,
    pull,
    put,
    rebuilt,
    refusal,
    reject,
    share,
    tree,
    verdicts,
)

SECRET = "hünter2-Zürich"


def take_back(store: Sharing, *seqs: int) -> None:
    redact(store.holdings, seqs, "slipped in", "test")


def mirrored(reader: Sharing, origin: str) -> list[bytes]:
    return [line.data for line in reader.holdings.mirror.feed(origin).lines(0)]


@pytest.fixture
def pair(world: World) -> tuple[Sharing, Sharing]:
    """An author who published the secret in p2, p3 and a long payload, and a reader who pulled all of it."""
    a, b = world.store("a"), world.store("b")
    put(a, "p1")
    put(a, "p2", text=SECRET)
    share(a)
    pull(b)
    put(a, "p3", text=SECRET)
    with a.store.mutate(agent="test") as mutation:
        mutation.put("plan", "p4", {"text": SECRET + "x" * 70_000}, summary=SECRET)
    put(a, "p5")
    share(a)
    pull(b)
    assert files_with(b.store.folder, SECRET)
    return a, b


# --- honest redactions -----------------------------------------------------------------------------------------------


def test_what_an_author_redacts_is_in_no_file_of_its_readers(world: World, pair: tuple[Sharing, Sharing]) -> None:
    """[F9]: mirror, payloads beside it, index with all its pages."""
    a, b = pair
    take_back(a, 2, 3, 4)
    share(a)
    assert only(pull(b)).result is Result.UPDATED
    b.holdings.close()
    assert files_with(b.store.folder, SECRET) == []
    assert files_with(world.bus, SECRET) == []
    assert [*audit(b.holdings)] == []
    own = [line.data for line in a.holdings.own.lines(0)]
    assert mirrored(b, a.store.origin) == own
    wanted = {
        "plan/p1": "new",
        "plan/p2": "unreadable",
        "plan/p3": "unreadable",
        "plan/p4": "unreadable",
        "plan/p5": "new",
    }
    assert verdicts(b) == wanted
    assert {found.item_id: (found.label, found.summary) for found in candidates(b)}["p4"] == ("redacted", None)
    before = answers(b)
    assert answers(rebuilt(world.reopened(b))) == before
    assert only(pull(b)).result is Result.UP_TO_DATE


def test_a_reader_who_comes_late_sees_the_same(world: World, pair: tuple[Sharing, Sharing]) -> None:
    """[F9]: whoever read it before or after the redaction, and in however many slices."""
    a, b = pair
    take_back(a, 3)
    for number in range(20):
        put(a, f"q{number}")
        share(a)
        if number in (2, 9):
            take_back(a, 2)
    pull(b)
    c = world.store("c")
    pull(c)
    assert mirrored(b, a.store.origin) == mirrored(c, a.store.origin)
    assert candidates(b) == candidates(c)
    assert [*audit(b.holdings), *audit(c.holdings)] == []


def test_other_origins_keep_what_they_say(world: World, pair: tuple[Sharing, Sharing]) -> None:
    """[F6] [F9]: only its author takes a record back."""
    a, b = pair
    other = world.store("other")
    put(other, "o1", text=SECRET)
    share(other)
    pull(b)
    take_back(a, 2, 3, 4)
    share(a)
    pull(b)
    assert {name.split("/")[2] for name in files_with(b.store.folder, SECRET)} == {other.store.origin}
    assert verdicts(b)["plan/o1"] == "new"


def test_a_feed_without_redactions_costs_nothing_more(world: World, pair: tuple[Sharing, Sharing]) -> None:
    """[F9]: a redaction that was followed is not looked at again."""
    a, b = pair
    take_back(a, 2)
    share(a)
    pull(b)
    before = tree(b.store.folder / "federation" / "mirror")

    class Watching(QuickDisk):
        slices = 0

        def read(self, path: Path, start: int = 0, size: int = -1) -> bytes:
            self.slices += path.suffix == ".zst"
            return super().read(path, start, size)

    disk = Watching()
    again = world.reopened(b, disk=disk)
    assert only(pull(again)).result is Result.UP_TO_DATE
    assert disk.slices == 0
    assert tree(b.store.folder / "federation" / "mirror") == before


def test_what_was_refused_of_an_origin_goes_with_what_it_redacts(world: World, pair: tuple[Sharing, Sharing]) -> None:
    """[F9]: a refused feed is kept for people, and may hold the same text."""
    a, b = pair
    folder = world.bus / a.store.origin
    put(a, "p6", text=SECRET)
    share(a)
    head = (folder / "head.json").read_bytes()
    (folder / "head.json").write_bytes(head.replace(b'"gen":3', b'"gen":4'))
    assert only(pull(b)).result is Result.REFUSED
    assert b.holdings.quarantine.entries(a.store.origin)
    (folder / "head.json").write_bytes(head)
    take_back(a, 2, 3, 4, 6)
    share(a)
    assert only(pull(b)).result is Result.UPDATED
    assert b.holdings.quarantine.entries() == []
    b.holdings.close()
    assert files_with(b.store.folder, SECRET) == []


def test_decisions_about_what_is_redacted_stay(world: World, pair: tuple[Sharing, Sharing]) -> None:
    """[K5] [F9]: accepted and rejected versions are not asked for again."""
    a, b = pair
    accept(b, "plan/p2")
    reject(b, "plan/p3")
    take_back(a, 2, 3, 4)
    share(a)
    pull(b)
    assert (verdicts(b)["plan/p2"], verdicts(b)["plan/p3"]) == ("known", "known")
    assert b.store.get("plan", "p2").payload["text"] == SECRET


def test_copies_that_were_accepted_are_flagged_until_they_are_redacted_too(
    world: World, pair: tuple[Sharing, Sharing]
) -> None:
    """[F9]: they are our own records, so only we can take them back."""
    a, b = pair
    accept_all(b)
    put(b, "mine")
    take_back(a, 2, 4)
    share(a)
    found = only(pull(b))
    copies = copies_here(b.holdings)
    assert {copy.item_id for copy in copies} == {"p2", "p4"}
    assert [text for text in found.warnings if "redacted what our seq" in text] == [
        f"{a.store.origin} redacted what our seq {copy.seq} took over: plan/{copy.item_id}" for copy in copies
    ]
    (warning,) = b.status().warnings
    assert warning.startswith("2 of our records took over what its author has redacted since: seq ")
    take_back(b, *(copy.seq for copy in copies))
    assert copies_here(b.holdings) == []
    assert only(pull(b)).warnings == ()
    assert b.status().warnings == []
    take_back(b, next(record.seq for record in b.store.log() if record.item_id == "p3"))
    take_back(a, 3)
    share(a)
    share(b)
    pull(b)
    assert files_with(b.store.folder, SECRET) == []


def test_an_author_sees_who_has_read_its_redactions(world: World, pair: tuple[Sharing, Sharing]) -> None:
    """[F9]: as far as others tell how far they read."""
    a, b = pair

    def told() -> bool | None:
        share(b)
        pull(a)
        (origin,) = a.status().origins
        return origin.they_took_back

    assert told() is None
    take_back(a, 2)
    share(a)
    assert told() is False
    pull(b)
    assert told() is True
    put(a, "p6")
    share(a)
    assert told() is True
    take_back(a, 3)
    share(a)
    assert told() is False


# --- what is not told, or told wrongly -------------------------------------------------------------------------------


def test_a_redaction_that_is_not_published_yet_is_waited_for(world: World, pair: tuple[Sharing, Sharing]) -> None:
    """[F9]: a stub stands only where a signed record lists it; its owner has it, and publishes it next."""
    a, b = pair
    take_back(a, 2)
    direct = [folder_remote(own_feed(a).parent, b)]
    before = mirrored(b, a.store.origin)
    found = refusal(pull(b, direct))
    assert (found.result, found.rule, found.seq) == (Result.INCOMPLETE, "F9", 2)
    assert "no record of the feed tells of it yet" in found.message
    assert mirrored(b, a.store.origin) == before
    late = world.store("late")
    assert refusal(pull(late, [folder_remote(own_feed(a).parent, late)])).result is Result.INCOMPLETE
    assert late.holdings.mirror.origins() == []
    a.publish()
    assert only(pull(b, direct)).result is Result.UPDATED
    assert only(pull(late, [folder_remote(own_feed(a).parent, late)])).result is Result.NEW


def forged(count: int = 3) -> Forger:
    forger = Forger(5)
    for number in range(1, count + 1):
        forger.record(f"p{number}", payload={"text": f"{SECRET} {number}"})
    return forger


def test_a_digest_that_is_not_that_of_the_stub_is_a_fork(world: World) -> None:
    """[F9]: the record says one thing, the line we hold another."""
    b, forger = world.store("b"), forged()
    forger.feed().put_into(world.bus)
    pull(b)
    before = mirrored(b, forger.origin)
    forger.redact(2, listed={2: b"another stub"})
    forger.feed(gen=2).put_into(world.bus)
    found = refusal(pull(b))
    assert (found.result, found.rule, found.seq) == (Result.FORK, "F9", 2)
    assert "is redacted to another stub than its record lists" in found.message
    assert mirrored(b, forger.origin) == before
    assert b.holdings.mirror.fork_evidence(forger.origin)
    late = world.store("late")
    assert refusal(pull(late)).result is Result.REFUSED


def test_a_stub_that_says_something_else_is_refused(world: World) -> None:
    """[F9]: to a new reader the digest is all there is."""
    late, forger = world.store("late"), forged()
    forger.redact(2)
    line = forger.lines[1]
    forger.lines[1] = line._replace(data=line.data.replace(b'"entity_rev":1', b'"entity_rev":9'))
    forger.feed().put_into(world.bus)
    assert (refusal(pull(late)).result, refusal(pull(late)).rule) == (Result.REFUSED, "F9")


def test_a_record_lists_only_what_stood_before_it(world: World) -> None:
    """[F9]: nobody redacts what is not written yet."""
    b, forger = world.store("b"), forged()
    forger.redact(1, listed={5: b"x", 4: b"y"})
    forger.record("p5")
    forger.feed(redacted=[1, 5]).put_into(world.bus)
    assert refusal(pull(b)).result is Result.INCOMPLETE


def test_a_head_that_lists_nothing_lets_every_line_stand(world: World) -> None:
    """[F9]: record and head, both are asked for."""
    b, forger = world.store("b"), forged()
    forger.record(
        None,
        action="redact",
        item_type="journal",
        entity_rev=None,
        payload={"reason": "r", "lines": [{"seq": 1, "blake3": "00" * 32}]},
    )
    forger.feed().put_into(world.bus)
    assert only(pull(b)).result is Result.NEW
    assert verdicts(b)["plan/p1"] == "new"


@pytest.mark.parametrize(
    "payload",
    [{}, {"reason": 1}, {"reason": "r", "lines": [{"seq": "1", "blake3": "00"}]}, {"reason": "r", "lines": {}}, None],
)
def test_a_redact_record_that_nobody_can_read_lists_nothing(world: World, payload: object) -> None:
    """[F9]"""
    b, forger = world.store("b"), forged()
    forger.record(None, action="redact", item_type="journal", entity_rev=None, payload=payload)
    forger.feed(redacted=[1]).put_into(world.bus)
    assert refusal(pull(b)).result is Result.INCOMPLETE


def test_a_line_of_a_later_version_stays_and_is_shown_to_nobody(world: World) -> None:
    """[J12] [F9]: its stub cannot be built by us; it is no fork."""
    b, forger = world.store("b"), forged(1)
    forger.record("later", v=3)
    forger.feed().put_into(world.bus)
    pull(b)
    line = forger.lines[1]
    short = b'{"v":3,"seq":2,"redacted":true,"action":"create","item_type":"plan","item_id":"later","c":"%s"}'
    forger.lines[1] = line._replace(data=short % line.after.c.hex().encode())
    forger.redacted = [2]
    forger.redact(listed={2: forger.lines[1].data})
    forger.feed(gen=2).put_into(world.bus)
    assert only(pull(b)).result is Result.UPDATED
    assert verdicts(b)["plan/later"] == "unreadable"


def test_too_many_redactions_are_refused(world: World) -> None:
    """[F2]"""
    b, forger = world.store("b"), forged(1)
    forger.feed(redacted=list(range(1, 100_002))).put_into(world.bus)
    found = refusal(pull(b))
    assert (found.result, "more than 100000 redacted seqs" in found.message) == (Result.REFUSED, True)


# --- interrupted -----------------------------------------------------------------------------------------------------

KINDS = {"none": ("write", "fsync", "rename", "unlink"), "half": ("write",), "all": ("rename", "unlink")}


@pytest.mark.crash
@pytest.mark.parametrize("kills", [True, False])
@pytest.mark.parametrize("share_of_call", ["none", "half", "all"])
def test_a_pull_that_fails_anywhere_is_ended_by_the_next(quick_folder: Path, share_of_call: Share, kills: bool) -> None:
    """[F4] [F9]: failed or killed at any call, the text goes with the next pull, or the next look."""

    def prepared(name: str) -> tuple[World, Sharing, Sharing]:
        (quick_folder / name).mkdir()
        world = World(quick_folder / name)
        a, b = world.store("a"), world.store("b")
        put(a, "p1", text=SECRET)
        put(a, "long", text=SECRET + "x" * 70_000)
        share(a)
        pull(b)
        put(a, "p2")
        take_back(a, 1, 2)
        share(a)
        return world, a, b

    world, _, b = prepared("counted")
    counting = CountingDisk()
    pull(world.reopened(b, disk=counting))
    calls = [number for number, call in enumerate(counting.order, 1) if call in KINDS[share_of_call]]
    assert len(calls) >= 5
    world.close_all()
    for at in calls if DEEP else calls[int(kills) :: 3]:
        world, _, b = prepared(f"at{at}")
        struck = world.reopened(b, disk=FaultyDisk(at, share_of_call, kills=kills))
        with contextlib.suppress(Died, JournalError, FederationError):
            pull(struck)
        again = world.reopened(struck)
        assert pull(again).exit_code == 0
        again.holdings.close()
        assert files_with(again.store.folder, SECRET) == []
        assert verdicts(again) == {"plan/p1": "unreadable", "plan/long": "unreadable", "plan/p2": "new"}
        assert [*audit(again.holdings)] == []
        before = answers(again)
        assert answers(rebuilt(again)) == before
        world.close_all()


def test_another_stub_in_a_mirror_is_damage(world: World, pair: tuple[Sharing, Sharing]) -> None:
    """[F9]: verify knows by the digest that the record lists."""
    a, b = pair
    take_back(a, 2)
    share(a)
    pull(b)
    held = b.holdings.mirror.feed(a.store.origin)
    head = held.head()
    assert head is not None
    (file,) = [file for file in held.slices() if file.first_seq <= 2 <= file.last_seq]
    raw = held.raw(file).replace(b'"redacted":true,"action":"create"', b'"redacted":true,"action":"update"')
    built = build_slice(head.origin, file.first_seq, file.last_seq, prev_c_of(raw), head.previous, body_of(raw))
    (held.folder / f"{file.name}.zst").unlink()
    (held.folder / built.slice.file_name).write_bytes(pack(built.raw))
    held.forget_cached()
    (found,) = [finding for finding in audit(b.holdings) if finding.id == "mirror-damaged"]
    assert found.seq == 2
    assert "is redacted to a stub that no record of its feed lists [F9]" in found.message
