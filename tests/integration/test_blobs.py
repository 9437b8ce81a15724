"""Payloads that stand beside the slices: from one journal through feeds and mirrors into another [J13]."""

from __future__ import annotations

import itertools
import json
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from eventsync import app, exits
from eventsync.app import Surroundings
from eventsync.renewing import renew, show_again
from eventsync.sharing import Sharing
from federation.errors import BlobUnreadable, DecisionNeeded, SecretFound, SourceUnavailable
from federation.inbox import Filter
from federation.model import NO_PAYLOAD, Result, Verdict
from federation.packing import pack
from federation.redaction import redact
from federation.transports import Wanted
from journal import DamagedStore, InvalidInput
from tests.conformance.test_transports import files_in
from tests.doubles.disks import CountingDisk
from tests.doubles.memory import MemoryPlace, MemoryTransport
from tests.integration.forger import Forger
from tests.integration.world import (
    World,
    accept,
    accept_all,
    answers,
    candidates,
    entities,
    feed_lines,
    only,
    own_feed,
    payload,
    place_remote,
    pull,
    put,
    rebuilt,
    share,
    verdicts,
)

LONG = "x" * 70_000
ANYBODY = Surroundings(agent="test")
KEY = "-----BEGIN OPENSSH PRIVATE KEY-----"


def blobs_of(folder: Path) -> dict[str, bytes]:
    """The blob files of a feed, by name."""
    return {name: data for name, data in files_in(folder).items() if name.startswith("blobs/")}


def mirror_of(reader: Sharing, writer: Sharing) -> Path:
    return reader.holdings.mirror.path(writer.store.origin)


def on_bus(world: World, store: Sharing) -> Path:
    return world.bus / store.store.origin


def findings(store: Sharing) -> list[tuple[str, str]]:
    return [(found.id, found.severity) for found in app.verify(store.store)]


@pytest.fixture
def pair(world: World) -> tuple[Sharing, Sharing]:
    return world.store("writer"), world.store("reader")


# --- the way of a payload --------------------------------------------------------------------------------------------


def test_a_long_payload_reaches_another_store_as_a_short_one_does(world: World, pair: tuple[Sharing, Sharing]) -> None:
    writer, reader = pair
    put(writer, "long", text=LONG)
    put(writer, "short")
    share(writer)
    found = only(pull(reader))
    assert (found.result, found.records, found.warnings) == (Result.NEW, 2, ())
    assert verdicts(reader) == {"plan/long": "new", "plan/short": "new"}
    assert [item.payload for item in candidates(reader)] == [payload(writer, "long"), payload(writer, "short")]
    accept_all(reader)
    assert payload(reader, "long") == {"title": "long", "text": LONG}
    assert verdicts(reader) == {"plan/long": "known", "plan/short": "known"}
    assert findings(writer) == findings(reader) == []
    assert answers(reader) == answers(rebuilt(reader))


def test_a_copy_refers_to_the_same_content(world: World, pair: tuple[Sharing, Sharing]) -> None:
    """[K1]: byte for byte, so that a third store finds it to be what it says."""
    writer, reader = pair
    put(writer, "long", text=LONG)
    share(writer)
    pull(reader)
    accept_all(reader)
    share(reader)
    (record,) = reader.store.log()
    assert record.blob == next(iter(writer.store.log())).blob
    third = world.store("third")
    pull(third)
    assert {item.verdict for item in candidates(third)} == {Verdict.NEW}
    accept_all(third)
    assert {item.verdict for item in candidates(third)} == {Verdict.KNOWN}
    pull(writer)
    assert [(item.verdict, item.label) for item in candidates(writer)] == [(Verdict.KNOWN, "echo")]


def test_updates_and_conflicts_of_long_payloads_are_judged_as_those_of_short_ones(
    pair: tuple[Sharing, Sharing],
) -> None:
    """[K3]: identical is asked of values, wherever they stand."""
    writer, reader = pair
    put(writer, "update", "same", "other", text=LONG)
    share(writer)
    pull(reader)
    accept(reader, "plan/update")
    with reader.store.mutate() as mutation:
        mutation.put("plan", "same", {"text": LONG, "title": "same"})  # other bytes, the same value
        mutation.put("plan", "other", {"text": LONG, "title": "another"})
    put(writer, "update", text=LONG + "!")
    share(writer)
    pull(reader)
    assert verdicts(reader) == {"plan/update": "update", "plan/same": "identical", "plan/other": "conflict"}
    found = reader.inbox.diff(next(item.id for item in candidates(reader) if item.item_id == "other"))
    assert found.foreign == {"title": "other", "text": LONG}
    assert found.local == {"title": "another", "text": LONG}


def test_blobs_go_before_slices_and_only_those_that_are_new(world: World, pair: tuple[Sharing, Sharing]) -> None:
    """[F4]"""
    writer, reader = pair
    place = MemoryPlace()
    remote = place_remote(lambda: MemoryTransport(place), pushed_before=True)
    put(writer, "one", text=LONG)
    writer.publish()
    writer.push([remote])
    kinds = [path.split("/")[1].partition("-")[0] for path in place.written]
    assert kinds == ["blobs", "seg", "head.json"]
    place.written.clear()
    put(writer, "two", text=LONG)
    put(writer, "again", "one", title="one", text=LONG)  # the content of the first, twice
    writer.publish()
    writer.push([remote])
    assert [path.split("/")[1].partition("-")[0] for path in place.written] == ["blobs", "seg", "head.json"]
    place.written.clear()
    writer.push([remote])
    assert place.written == []
    assert only(pull(reader, [remote])).records == 4
    assert len(blobs_of(mirror_of(reader, writer))) == 2


def test_a_feed_and_a_mirror_hold_the_same_files(world: World, pair: tuple[Sharing, Sharing]) -> None:
    """A mirror can be handed on as it is: each blob it refers to, superseded ones too, under the name it came with."""
    writer, reader = pair
    for number in range(3):
        put(writer, "p", text=LONG, n=number)
    share(writer)
    pull(reader)
    assert len(blobs_of(own_feed(writer))) == 3
    assert blobs_of(mirror_of(reader, writer)) == blobs_of(own_feed(writer)) == blobs_of(on_bus(world, writer))
    relayed = world.store("relayed")
    hub = world.folder / "hub"
    hub.mkdir()
    shutil.copytree(mirror_of(reader, writer), hub / writer.store.origin)
    relayed.add_remote("hub", str(hub))
    only(pull(relayed, relayed.remotes("hub")))
    assert payload(writer, "p") == candidates(relayed)[0].payload


def test_a_blob_is_packed_and_named_by_what_it_holds(pair: tuple[Sharing, Sharing]) -> None:
    writer, _ = pair
    put(writer, "p", text=LONG)
    writer.publish()
    data = writer.store.payload_bytes(writer.store.get("plan", "p").head) or b""
    digest = blake3(data).hexdigest()
    assert blobs_of(own_feed(writer)) == {f"blobs/{digest[:2]}/{digest}.zst": pack(data)}
    assert f'"payload_ref":{{"blake3":"{digest}","bytes":{len(data)}}}'.encode() in feed_lines(own_feed(writer))[0]


# --- what stays here -------------------------------------------------------------------------------------------------


def test_only_blobs_of_published_records_go_out(world: World, pair: tuple[Sharing, Sharing]) -> None:
    """[F1]"""
    writer, _ = pair
    put(writer, "open", text=LONG)
    put(writer, "mine", text=LONG, private=True)
    put(writer, "s1", item_type="session", text=LONG)
    put(writer, "first", text=LONG)
    put(writer, "first", text=LONG + "!", private=True)  # and with it the record before [F1]
    share(writer)
    digest = writer.store.log().__next__().blob
    assert digest is not None
    names = {f"blobs/{digest.blake3[:2]}/{digest.blake3}.zst"}
    assert blobs_of(own_feed(writer)).keys() == blobs_of(on_bus(world, writer)).keys() == names


def test_the_scanner_looks_into_blobs(pair: tuple[Sharing, Sharing]) -> None:
    """[F1] Wherever in it the secret stands, and nothing of it went out."""
    writer, _ = pair
    for number, before in enumerate([0, 1024 * 1024 - 20, 1024 * 1024 + 50_000, 3_000_000]):
        put(writer, f"p{number}", text="a " * (before // 2) + KEY + " b" * 50_000)
        with pytest.raises(SecretFound) as caught:
            writer.publish()
        assert caught.value.seq == 2 * number + 1
        assert blobs_of(own_feed(writer)) == {}
        put(writer, f"p{number}", private=True)
    assert writer.explain().findings == ()
    put(writer, "last", text=LONG + KEY)
    assert [(entry.item_id, entry.kind) for entry in writer.explain().findings] == [("last", "secret")]
    writer.publish(allow_findings=True)
    assert len(blobs_of(own_feed(writer))) == 1


# --- payloads that are not there -------------------------------------------------------------------------------------


def lose(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def swap(path: Path) -> None:
    path.write_bytes(pack(b'{"another":"payload"}'))


def bomb(path: Path) -> None:
    path.write_bytes(pack(bytes(200_000_000)))


def grow(path: Path) -> None:
    path.write_bytes(path.read_bytes() + bytes(20_000_000))


def link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


HARMS = [lose, cut, swap, bomb, grow, link]


@pytest.mark.parametrize("harm", HARMS)
def test_a_payload_that_is_missing_or_wrong_there_is_an_error_of_its_entity_alone(
    world: World, pair: tuple[Sharing, Sharing], harm: Callable[[Path], None]
) -> None:
    """[J13] The rest of the feed is taken, and the payload is asked for again."""
    writer, reader = pair
    put(writer, "long", text=LONG)
    put(writer, "short")
    share(writer)
    (name,) = blobs_of(on_bus(world, writer))
    harm(on_bus(world, writer) / name)
    for result in (Result.NEW, Result.UP_TO_DATE):
        run = pull(reader)
        assert (only(run).result, run.exit_code) == (result, exits.DONE)
        assert [text for text in only(run).warnings if "1 payload" in text]
        assert verdicts(reader) == {"plan/long": "unreadable", "plan/short": "new"}
        (found,) = [item for item in candidates(reader) if item.item_id == "long"]
        assert (found.label, found.payload) == (NO_PAYLOAD, None)
        assert blobs_of(mirror_of(reader, writer)) == {}
        assert findings(reader) == [("mirror-blob-missing", "warning")]
    with pytest.raises(DecisionNeeded, match=NO_PAYLOAD):
        accept(reader, "plan/long")
    report = accept_all(reader)
    assert [record.item_id for record in report.written] == ["short"]
    assert [left.reason for left in report.left] == [f"unreadable: {NO_PAYLOAD}"]
    assert answers(reader) == answers(rebuilt(reader))
    (on_bus(world, writer) / name).unlink(missing_ok=True)
    share(writer)  # finds out, and makes it good
    run = pull(reader)
    assert only(run).warnings == ()
    assert verdicts(reader) == {"plan/long": "new", "plan/short": "known"}
    accept_all(reader)
    assert payload(reader, "long") == payload(writer, "long")
    assert findings(reader) == []


def test_a_place_that_breaks_down_over_blobs_gives_what_it_gave(world: World, pair: tuple[Sharing, Sharing]) -> None:
    """Slices that were verified are not fetched again for it."""
    writer, reader = pair
    put(writer, "long", text=LONG)
    put(writer, "short")
    place = MemoryPlace()
    writer.publish()
    writer.push([place_remote(lambda: MemoryTransport(place), pushed_before=True)])

    class Breaking(MemoryTransport):
        def fetch(self, origin: str, wanted: Any, into: Path) -> tuple[str, ...]:
            if any(item.name.startswith("blobs/") for item in wanted):
                raise SourceUnavailable("broke down")
            return super().fetch(origin, wanted, into)

    assert only(pull(reader, [place_remote(lambda: Breaking(place))])).records == 2
    assert verdicts(reader) == {"plan/long": "unreadable", "plan/short": "new"}
    assert only(pull(reader, [place_remote(lambda: MemoryTransport(place))])).records == 0
    assert verdicts(reader) == {"plan/long": "new", "plan/short": "new"}


def test_only_what_is_missing_is_asked_for(world: World, pair: tuple[Sharing, Sharing]) -> None:
    writer, reader = pair
    place, asked = MemoryPlace(), list[Wanted]()

    class Listening(MemoryTransport):
        def fetch(self, origin: str, wanted: Any, into: Path) -> tuple[str, ...]:
            asked.extend(item for item in wanted if item.name.startswith("blobs/"))
            return super().fetch(origin, wanted, into)

    remote = place_remote(lambda: Listening(place), pushed_before=True)
    put(writer, "p1", "p2", text=LONG)
    writer.publish()
    writer.push([remote])
    pull(reader, [remote])
    assert len({item.name for item in asked}) == len(asked) == 2
    size = len(json.dumps({"title": "p1", "text": LONG}, separators=(",", ":")))
    assert {item.max_bytes for item in asked} == {size + 64 * 1024}
    asked.clear()
    put(writer, "p3")
    put(writer, "p4", title="p1", text=LONG)  # content that the reader has
    writer.publish()
    writer.push([remote])
    pull(reader, [remote])
    pull(reader, [remote])
    assert asked == []
    next(mirror_of(reader, writer).rglob("*.zst"))
    assert verdicts(reader).keys() == {f"plan/p{n}" for n in range(1, 5)}


@pytest.mark.parametrize("harm", HARMS)
def test_a_payload_that_a_mirror_lost_is_noticed_told_and_fetched_again(
    world: World, pair: tuple[Sharing, Sharing], harm: Callable[[Path], None]
) -> None:
    """[J13] Whoever reads it finds out; nothing is answered that is not what was signed."""
    writer, reader = pair
    put(writer, "long", text=LONG)
    put(writer, "short")
    share(writer)
    pull(reader)
    (name,) = blobs_of(mirror_of(reader, writer))
    path = mirror_of(reader, writer) / name
    harm(path)
    (found,) = [found for found in app.verify(reader.store) if found.severity != "info"]
    assert (found.id.startswith("mirror-blob"), found.path, found.seq) == (True, str(path), 1)
    long = next(item for item in candidates(reader) if item.item_id == "long")
    assert (long.verdict, long.label, long.payload) == (Verdict.UNREADABLE, NO_PAYLOAD, None)
    assert verdicts(reader) == {"plan/long": "unreadable", "plan/short": "new"}
    assert only(pull(reader)).warnings == ()
    assert verdicts(reader) == {"plan/long": "new", "plan/short": "new"}
    assert findings(reader) == []


def test_accepting_what_a_mirror_lost_names_the_file_and_writes_nothing(pair: tuple[Sharing, Sharing]) -> None:
    writer, reader = pair
    put(writer, "long", text=LONG)
    put(writer, "short")
    share(writer)
    pull(reader)
    ids = {item.item_id: item.id for item in candidates(reader)}
    (name,) = blobs_of(mirror_of(reader, writer))
    swap(mirror_of(reader, writer) / name)
    with pytest.raises(BlobUnreadable) as caught:
        accept(reader, ids["short"], ids["long"])
    assert caught.value.path == str(mirror_of(reader, writer) / name)
    assert caught.value.message.startswith("plan/long: ")
    assert entities(reader) == {}
    assert blobs_of(reader.store.folder / "journal") == {}
    assert [record.item_id for record in accept_all(reader).written] == ["short"]


def test_a_local_payload_that_is_damaged_stops_no_look_at_what_others_have(pair: tuple[Sharing, Sharing]) -> None:
    """[J13] It is never the same as another; once it is mended, everything is as it was."""
    writer, reader = pair
    put(writer, "p", "q", text=LONG)
    put(reader, "p", text=LONG)
    share(writer)
    pull(reader)
    assert verdicts(reader) == {"plan/p": "identical", "plan/q": "new"}
    (path,) = (reader.store.folder / "journal" / "blobs").rglob("??" + "?" * 62)
    content = path.read_bytes()
    path.unlink()
    put(reader, "r")
    again = rebuilt(reader)
    assert verdicts(again) == {"plan/p": "conflict", "plan/q": "new"}
    assert again.store.stale is None or "blob" in again.store.stale
    with pytest.raises(DamagedStore):
        again.store.get("plan", "p")
    path.write_bytes(content)
    assert verdicts(again) == {"plan/p": "identical", "plan/q": "new"}


def test_a_new_identity_shows_long_payloads_again_as_copies(world: World, pair: tuple[Sharing, Sharing]) -> None:
    """[I2] [K1]: they refer to content that is here already."""
    writer, reader = pair
    put(writer, "long", text=LONG)
    share(writer)
    pull(reader)
    accept_all(reader)
    renew(writer.store, ANYBODY, None, None)
    writer = world.reopened(writer)
    assert show_again(writer.store, ANYBODY) == 1
    assert len(list((writer.store.folder / "journal" / "blobs").rglob("??" + "?" * 62))) == 1
    share(writer)
    pull(reader)
    assert {item.verdict for item in candidates(reader)} == {Verdict.KNOWN}
    third = world.store("third")
    pull(third)
    accept_all(third)
    assert payload(third, "long") == {"title": "long", "text": LONG}
    assert findings(writer) == findings(third) == []


def test_a_redaction_takes_a_long_payload_from_everywhere_here_and_from_the_place(
    world: World, pair: tuple[Sharing, Sharing]
) -> None:
    """[F9] [J16]"""
    writer, _ = pair
    put(writer, "long", text=LONG)
    put(writer, "other", text=LONG)
    share(writer)
    redact(writer.holdings, [1], "slipped in", "test")
    share(writer)
    assert len(blobs_of(writer.store.folder / "journal")) == 1
    assert len(blobs_of(own_feed(writer))) == 1
    assert blobs_of(on_bus(world, writer)) == blobs_of(own_feed(writer))
    assert findings(writer) == []


# --- our own, damaged ------------------------------------------------------------------------------------------------


def test_a_payload_that_is_lost_here_is_told_and_everything_else_is_published(
    world: World, pair: tuple[Sharing, Sharing]
) -> None:
    """[J13] Once it is back, a push makes it good."""
    writer, reader = pair
    put(writer, "long", text=LONG)
    put(writer, "short")
    (path,) = (writer.store.folder / "journal" / "blobs").rglob("??" + "?" * 62)
    content = path.read_bytes()
    path.unlink()
    report = writer.publish()
    assert report.published == 2
    assert [text for text in report.left_out if "plan/long" in text and str(path) in text]
    assert writer.publish().left_out == ()
    assert writer.push(writer.remotes(None)).exit_code == 0
    assert ("feed-blob-damaged", "error") in findings(writer)
    pull(reader)
    assert verdicts(reader) == {"plan/long": "unreadable", "plan/short": "new"}
    path.write_bytes(content)
    share(writer)
    assert findings(writer) == []
    pull(reader)
    assert verdicts(reader) == {"plan/long": "new", "plan/short": "new"}


def test_a_sync_with_a_payload_that_is_lost_here_is_partly_done(pair: tuple[Sharing, Sharing]) -> None:
    writer, _ = pair
    put(writer, "long", text=LONG)
    shutil.rmtree(writer.store.folder / "journal" / "blobs")
    run = writer.sync()
    assert (run.exit_code, run.push.exit_code) == (exits.PARTLY, exits.DONE)


def test_a_payload_that_our_feed_lost_is_made_again_from_the_journal(
    world: World, pair: tuple[Sharing, Sharing]
) -> None:
    writer, reader = pair
    put(writer, "long", text=LONG)
    share(writer)
    shutil.rmtree(own_feed(writer) / "blobs")
    assert findings(writer) == [("feed-blob-damaged", "error")]
    put(writer, "short")
    share(writer)
    assert findings(writer) == []
    assert len(blobs_of(on_bus(world, writer))) == 1
    pull(reader)
    assert verdicts(reader) == {"plan/long": "new", "plan/short": "new"}


def test_what_can_be_had_nowhere_stays_where_it_was_pushed_to(world: World, pair: tuple[Sharing, Sharing]) -> None:
    """A store that lost a payload does not take it away from others."""
    writer, reader = pair
    put(writer, "long", text=LONG)
    share(writer)
    shutil.rmtree(own_feed(writer) / "blobs")
    shutil.rmtree(writer.store.folder / "journal" / "blobs")
    put(writer, "short")
    share(writer)
    pull(reader)
    assert verdicts(reader) == {"plan/long": "new", "plan/short": "new"}


def test_a_blob_that_no_line_refers_to_goes_from_the_place_at_the_next_push(
    world: World, pair: tuple[Sharing, Sharing]
) -> None:
    writer, _ = pair
    put(writer, "long", text=LONG)
    share(writer)
    digest = "ab" + "0" * 62
    stray = on_bus(world, writer) / "blobs" / "ab" / f"{digest}.zst"
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"of a record that is redacted now")
    put(writer, "short")
    share(writer)
    assert not stray.exists()
    assert len(blobs_of(on_bus(world, writer))) == 1


def test_what_a_killed_publish_left_goes_with_the_next(pair: tuple[Sharing, Sharing]) -> None:
    writer, _ = pair
    put(writer, "long", text=LONG)
    writer.publish()
    (name,) = blobs_of(own_feed(writer))
    left = (own_feed(writer) / name).parent / ".tmp-1-half"
    left.write_bytes(b"half")
    (own_feed(writer) / name).unlink()
    put(writer, "again", title="long", text=LONG)
    writer.publish()
    assert not left.exists()
    assert len(blobs_of(own_feed(writer))) == 1


# --- hostile feeds ---------------------------------------------------------------------------------------------------


def test_a_foreign_payload_may_stand_beside_the_feed_whatever_its_size(world: World) -> None:
    forger, reader = Forger(), world.store("reader")
    forger.blob("tiny", b'{"n":1}')
    forger.blob("spaced", b' { "n" : 1 } ')
    body = forger.lines[-1].data[:-72].replace(b'"seq":2', b'"seq":3').replace(b'"spaced"', b'"blanks"')
    forger.chained(body.replace(b'"payload_ref":{', b'"payload_ref" : { '))
    forger.feed().put_into(world.bus)
    pull(reader)
    shown = {item.item_id: item.payload for item in candidates(reader)}
    assert shown == {"tiny": {"n": 1}, "spaced": {"n": 1}, "blanks": {"n": 1}}
    accept_all(reader)
    assert {record.blob for record in reader.store.log()} == {None}
    assert set(verdicts(reader).values()) == {"known"}


NO_PAYLOADS: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"{",
    "no object": b"[1]",
    "no UTF-8": b'{"a":"\xff"}',
    "too deep": b'{"a":' * 300 + b"1" + b"}" * 300,
    "far too deep": b"[" * 1_000_000,
    "too many values": b'{"a":[' + b"0," * 1_000_000 + b"0]}",
}


@pytest.mark.parametrize("case", NO_PAYLOADS)
def test_content_that_is_no_payload_never_enters_a_mirror(world: World, case: str) -> None:
    """[J13] Though its hash is the one that was signed."""
    forger, reader = Forger(), world.store("reader")
    forger.blob("bad", NO_PAYLOADS[case])
    forger.record("good")
    forger.feed().put_into(world.bus)
    assert pull(reader).exit_code == exits.DONE
    assert verdicts(reader) == {"plan/bad": "unreadable", "plan/good": "new"}
    assert blobs_of(reader.holdings.mirror.path(forger.origin)) == {}
    assert json.dumps([item.payload for item in candidates(reader)])


@pytest.mark.parametrize(
    "fields",
    [
        {"payload_ref": None, "payload": None},
        {"payload_ref": "x"},
        {"payload_ref": {"blake3": "0" * 64}},
        {"payload_ref": {"blake3": "0" * 64, "bytes": 20_000_000}},
        {"payload_ref": {"blake3": "../../../head.json", "bytes": 2}},
        {"payload_ref": {"blake3": "0" * 64, "bytes": 2}, "payload": {"and": "inline"}},
    ],
)
def test_a_reference_that_is_none_is_not_followed(world: World, fields: dict[str, Any]) -> None:
    forger, reader = Forger(), world.store("reader")
    forger.record("bad", **({"payload": None} | fields))
    forger.record("good")
    forger.feed().put_into(world.bus)
    assert pull(reader).exit_code == exits.DONE
    assert verdicts(reader) == {"plan/bad": "unreadable", "plan/good": "new"}
    with pytest.raises(DecisionNeeded):
        accept(reader, "plan/bad")


def test_two_sizes_for_one_content_are_two_references(world: World) -> None:
    """A lie about one must not spoil the other, nor go back and forth."""
    forger, reader = Forger(), world.store("reader")
    content = b'{"n":1}'
    forger.blob("good", content)
    ref = {"blake3": blake3(content).hexdigest(), "bytes": len(content) + 1}
    forger.record("lie", payload=None, payload_ref=ref)
    forger.feed().put_into(world.bus)
    for _ in range(3):
        pull(reader)
        assert verdicts(reader) == {"plan/good": "new", "plan/lie": "unreadable"}


def test_what_stands_in_a_payload_is_no_reference(world: World) -> None:
    forger, reader = Forger(), world.store("reader")
    inner = {"payload_ref": {"blake3": "0" * 64, "bytes": 2}}
    forger.record("nested", payload=inner)
    forger.record("text", payload={"a": json.dumps(inner)})
    forger.feed().put_into(world.bus)
    assert only(pull(reader)).warnings == ()
    assert verdicts(reader) == {"plan/nested": "new", "plan/text": "new"}


def test_a_copy_of_a_long_payload_that_differs_from_its_root_is_unreadable(world: World) -> None:
    """[K4]"""
    author, liar, reader = Forger(1), Forger(2), world.store("reader")
    author.blob("p", b'{"n":1}')
    author.feed().put_into(world.bus)
    root = f"{author.origin}@1#{author.state.c.hex()[:12]}"
    liar.blob("p", b'{"n":2}', action="accept", cause=f"{author.origin}@1", root=root, context={author.origin: 1})
    liar.feed().put_into(world.bus)
    pull(reader)
    found = {item.origin: (str(item.verdict), item.label) for item in candidates(reader)}
    assert found[author.origin] == ("new", None)
    assert found[liar.origin] == ("unreadable", "a copy that differs from the record it names")


def test_a_copy_whose_root_has_lost_its_payload_waits_for_it(world: World) -> None:
    """[K4] What is not shown cannot be compared; once it is there, a lie is found out."""
    author, liar, reader = Forger(1), Forger(2), world.store("reader")
    author.blob("p", b'{"n":1}')
    folder = author.feed().put_into(world.bus)
    (name,) = author.blobs
    (folder / name).unlink()
    root = f"{author.origin}@1#{author.state.c.hex()[:12]}"
    liar.blob("p", b'{"n":2}', action="accept", cause=f"{author.origin}@1", root=root, context={author.origin: 1})
    liar.feed().put_into(world.bus)
    pull(reader)
    assert {item.origin: str(item.verdict) for item in candidates(reader)} == {
        author.origin: "unreadable",
        liar.origin: "new",
    }
    (folder / name).write_bytes(author.blobs[name])
    pull(reader)
    assert {item.origin: str(item.verdict) for item in candidates(reader)} == {
        author.origin: "new",
        liar.origin: "unreadable",
    }


def test_a_long_payload_that_breaks_a_limit_of_ours_is_left(world: World) -> None:
    """[J10] Nothing is written, the blobs of those beside it neither."""
    forger, reader = Forger(), world.store("reader")
    forger.blob("good", b'{"text":"' + LONG.encode() + b'"}')
    forger.blob("twice", b'{"a":1,"a":"' + LONG.encode() + b'"}')
    forger.feed().put_into(world.bus)
    pull(reader)
    with pytest.raises(InvalidInput, match="'a' stands twice"):
        accept(reader, "plan/good", "plan/twice")
    assert entities(reader) == {}
    assert blobs_of(reader.store.folder / "journal") == {}
    report = accept_all(reader)
    assert [record.item_id for record in report.written] == ["good"]
    assert [left.item_id for left in report.left] == ["twice"]


def test_of_many_long_payloads_few_are_in_memory_at_once(world: World, pair: tuple[Sharing, Sharing]) -> None:
    """From publish to accept; what is held is a few of them, however many there are."""
    writer, reader = pair
    size, count = 1_000_000, 30
    for number in range(count):
        put(writer, f"p{number}", text=f"{number} " * (size // len(f"{number} ")))
    tracemalloc.start()
    try:
        share(writer)
        pull(reader)
        assert all(isinstance(item.payload, dict) for item in reader.inbox.candidates(Filter(), payloads=True))
        assert len(accept_all(reader).written) == count
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(entities(reader)) == count
    assert peak < 12 * size


def test_a_pull_of_nothing_new_opens_no_blob(world: World, pair: tuple[Sharing, Sharing]) -> None:
    writer, reader = pair
    put(writer, *(f"p{number}" for number in range(5)), text=LONG)
    share(writer)
    pull(reader)
    disk = CountingDisk()
    again = world.reopened(reader, disk=disk)
    disk.reset()
    assert only(pull(again)).result is Result.UP_TO_DATE
    assert disk.bytes_read < len(LONG) // 4


def test_of_very_long_payloads_some_wait_for_the_next_pull(pair: tuple[Sharing, Sharing]) -> None:
    """So that a feed that does not fit on this disk gives at least as much as one pull may take."""
    writer, reader = pair
    reader.holdings.blob_bytes_at_once = 2 * len(LONG) + 1_000
    put(writer, *(f"p{number}" for number in range(5)), text=LONG)
    put(writer, "larger", text=3 * LONG)
    share(writer)
    counts = []
    for _ in range(6):
        pull(reader)
        counts.append(list(verdicts(reader).values()).count("unreadable"))
    assert counts[-1] == 0
    assert all(0 <= before - after <= 3 for before, after in itertools.pairwise([6, *counts]))


def test_of_very_many_payloads_some_wait_for_the_next_pull(
    world: World,
) -> None:
    """What one pull asks for is bounded; nothing is lost by it."""
    forger, reader = Forger(), world.store("reader")
    reader.holdings.blobs_at_once = 100
    for number in range(250):
        forger.blob(f"p{number}", b'{"n":%d}' % number)
    forger.feed(cuts=[50, 100]).put_into(world.bus)
    for left in (150, 50, 0, 0):
        pull(reader)
        assert list(verdicts(reader).values()).count("unreadable") == left
