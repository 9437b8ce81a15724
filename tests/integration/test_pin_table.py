"""The pin table [F5], every row: a real store pulls forged feeds from a real directory."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import zstandard

from eventsync import exits
from eventsync.sharing import PullRun, Sharing
from federation.model import HEAD_FILE, MAX_HEAD_BYTES, Refusal, Result
from federation.packing import pack
from journal import stub
from tests.integration.forger import Forged, Forger
from tests.integration.world import (
    World,
    by_origin,
    candidates,
    entities,
    only,
    pull,
    put,
    refusal,
    share,
    tree,
    verdicts,
)

NOT_COMPARED = ("runs.jsonl", "federation.lock", "journal.lock", "index.sqlite3-wal")


@pytest.fixture
def reader(world: World) -> Sharing:
    """A store that pulled from the empty bus once."""
    store = world.store("reader")
    assert pull(store).exit_code == exits.DONE
    return store


def forger_of(count: int, seed: int = 7) -> Forger:
    forger = Forger(seed)
    for number in range(1, count + 1):
        forger.record(f"p{number}")
    return forger


def held(reader: Sharing, bus: Path, forger: Forger, **settings: Any) -> Forged:
    """Let the reader hold what a forger has so far."""
    found = forger.feed(**settings)
    found.put_into(bus)
    assert only(pull(reader)).result is Result.NEW
    return found


class Kept:
    """All files of a store at one time; what a refusal may not touch."""

    def __init__(self, store: Sharing) -> None:
        self._store = store
        self.files = self._now()

    def _now(self) -> Mapping[str, bytes]:
        found = tree(self._store.store.folder, without=NOT_COMPARED)
        return {name: data for name, data in found.items() if not name.startswith("federation/quarantine/")}

    def assert_untouched(self, *, but: str | None = None) -> None:
        now = self._now()
        if but is not None:
            now = {name: data for name, data in now.items() if not name.startswith(but)}
        assert now == self.files


def assert_refused(run: PullRun, result: Result, code: int, *words: str) -> Refusal:
    found = refusal(run)
    assert (found.result, run.exit_code) == (result, code)
    for word in words:
        assert word in str(found)
    return found


# --- refused: not signed by the key the origin is made from ----------------------------------------------------------


def other_signature(forger: Forger) -> Forged:
    found = forger.feed()
    return found._replace(files=dict(found.files) | {HEAD_FILE: Forger(8).signed(found.head)})


def flipped_signature(forger: Forger) -> Forged:
    found = forger.feed()
    raw = found.files[HEAD_FILE].replace(b'"gen":1', b'"gen":2')
    return found._replace(files=dict(found.files) | {HEAD_FILE: raw})


def other_key(forger: Forger) -> Forged:
    import base64

    return forger.feed(public_key=base64.b64encode(Forger(8).public_key).decode())


def other_origin(forger: Forger) -> Forged:
    other = forger_of(2, seed=8).feed()
    return other._replace(origin=forger.origin)


def wrong_start(forger: Forger) -> Forged:
    return forger.feed(start={"seq": 0, "c": "0" * 64})


def no_head(forger: Forger) -> Forged:
    return forger.feed()._replace(files={HEAD_FILE: b"{}"})


@pytest.mark.parametrize(
    ("feed", "words"),
    [
        (other_signature, "bad signature"),
        (flipped_signature, "bad signature"),
        (other_key, "bad signature"),
        (other_origin, "another origin"),
        (wrong_start, "start.c"),
        (no_head, "not a head"),
    ],
)
@pytest.mark.parametrize("pinned", [False, True])
def test_a_head_that_its_origin_did_not_sign_is_refused_and_nothing_is_kept(
    world: World, reader: Sharing, feed: Callable[[Forger], Forged], words: str, pinned: bool
) -> None:
    """[F5] row 1 [I1]: exit 5, with a pin and without; it freezes nothing, since anyone can write such a file."""
    forger = forger_of(3)
    if pinned:
        held(reader, world.bus, forger)
        forger.record("p4")
    before = Kept(reader)
    feed(forger).put_into(world.bus)
    assert_refused(pull(reader), Result.REFUSED, exits.FOREIGN_REFUSED, words, forger.origin)
    before.assert_untouched()
    forger.feed(gen=2).put_into(world.bus)
    assert only(pull(reader)).result is (Result.UPDATED if pinned else Result.NEW)


def test_a_head_of_a_later_format_is_told_as_too_new(world: World, reader: Sharing) -> None:
    """[J12] Exit 13, which says that a newer program would read it."""
    forger_of(3).feed(format=2).put_into(world.bus)
    before = Kept(reader)
    assert_refused(pull(reader), Result.REFUSED, exits.TOO_NEW, "format 2")
    before.assert_untouched()


def test_a_start_is_checked_against_the_mirror_of_the_previous_origin(world: World, reader: Sharing) -> None:
    """[F5] row 1, [F2] [I2]: a renewed store cannot claim to continue what its previous origin did not publish."""
    first = forger_of(3)
    held(reader, world.bus, first)
    label = {"origin": first.origin, "last_seq": 3, "c": first.state.c.hex(), "t": first.state.t.hex()}
    liar = Forger(9, start=(3, b"\1" * 32), previous=[label])
    honest = Forger(10, start=(3, first.state.c), previous=[label])
    for forger in (liar, honest):
        forger.record("p9")
        forger.feed().put_into(world.bus)
    found = by_origin(pull(reader))
    assert found[liar.origin].result is Result.REFUSED
    assert "previous origin" in str(found[liar.origin].refusal)
    assert found[honest.origin].result is Result.NEW
    assert not (reader.store.folder / "federation" / "mirror" / liar.origin).exists()
    honest.record("p10")
    honest.feed(gen=2, cuts=[1]).put_into(world.bus)
    assert by_origin(pull(reader))[honest.origin].result is Result.UPDATED


# --- fork: a signed contradiction ------------------------------------------------------------------------------------


def other_lines(forger: Forger, keep: int, count: int) -> Forger:
    """The same feed up to a line, and then another one."""
    other = forger.copy()
    del other.lines[keep:]
    while len(other.lines) < count:
        other.record("other", entity_rev=len(other.lines))
    return other


def at_the_pin(forger: Forger) -> Forged:
    return other_lines(forger, 4, 5).feed(gen=2)


def another_transcript(forger: Forger) -> Forged:
    return forger.feed(gen=2, t="0" * 64)


def below_the_pin(forger: Forger) -> Forged:
    return other_lines(forger, 1, 3).feed(gen=2)


def older_gen(forger: Forger) -> Forged:
    return other_lines(forger, 2, 5).feed(gen=1)


def ends_inside_our_skip(forger: Forger) -> Forged:
    other = forger.copy()
    del other.lines[2:]
    other.record("p3")
    return other.feed(gen=2)


def skips_over_the_pin(forger: Forger) -> Forged:
    other = forger.copy()
    del other.lines[3:]
    other.skip(9)
    return other.feed(gen=2)


def start_moved(forger: Forger) -> Forged:
    other = forger.copy()
    label = [{"origin": "es1" + "a" * 32, "last_seq": 1, "c": "0" * 64, "t": "0" * 64}]
    moved = Forger(7, start=(1, other.lines[0].after.c), previous=label)
    moved.lines = other.lines[1:]
    moved.record("p9")
    return moved.feed(gen=2)


def another_line_below_the_pin(forger: Forger) -> Forged:
    """c and t of the end are those of the true feed, which the merged slice does not hold."""
    forger.record("p9")
    lines = [line.data for line in forger.lines]
    lines[1] = lines[1].replace(b'"title":"p2', b'"title":"px')
    return forger.feed(gen=2, bodies={0: b"".join(line + b"\n" for line in lines)})


def cut_inside_our_skip(forger: Forger) -> Forged:
    """A slice that begins where no line of ours ends."""
    other = forger.copy()
    del other.lines[2:]
    other.skip(1)
    other.skip(2)
    other.record("p9")
    return other.feed(gen=2, cuts=[3])


def fewer_lines_below_the_pin(forger: Forger) -> Forged:
    forger.record("p9")
    lines = [line.data for number, line in enumerate(forger.lines) if number != 1]
    return forger.feed(gen=2, bodies={0: b"".join(line + b"\n" for line in lines)})


def lines_that_do_not_recompute(forger: Forger) -> Forged:
    forger.record("p9")
    return forger.feed(gen=2, cuts=[len(forger.lines) - 1], c="0" * 64)


def an_unlisted_stub(forger: Forger) -> Forged:
    forger.record("p9")
    lines = [line.data for line in forger.lines]
    lines[1] = stub(lines[1])
    return forger.feed(gen=2, bodies={0: b"".join(line + b"\n" for line in lines)})


def an_unlisted_stub_behind_the_pin(forger: Forger) -> Forged:
    forger.record("p9")
    return forger.feed(gen=2, cuts=[len(forger.lines) - 1], bodies={1: stub(forger.lines[-1].data) + b"\n"})


FORKS = [
    at_the_pin,
    another_transcript,
    below_the_pin,
    older_gen,
    ends_inside_our_skip,
    skips_over_the_pin,
    start_moved,
    another_line_below_the_pin,
    fewer_lines_below_the_pin,
    cut_inside_our_skip,
    lines_that_do_not_recompute,
    an_unlisted_stub,
    an_unlisted_stub_behind_the_pin,
]


def with_a_skip() -> Forger:
    forger = forger_of(2)
    forger.skip(3)
    forger.record("p6")
    forger.record("p7")
    return forger


@pytest.mark.parametrize("feed", FORKS)
def test_a_signed_contradiction_freezes_its_origin_and_keeps_the_evidence(
    world: World, reader: Sharing, feed: Callable[[Forger], Forged]
) -> None:
    """[F5] row 2 and 6: exit 5, both heads are kept, the mirror is not touched, and honest data comes too late."""
    forger = with_a_skip()
    first = held(reader, world.bus, forger)
    before, shown = Kept(reader), candidates(reader)
    contradiction = feed(forger.copy())
    contradiction.put_into(world.bus)
    assert_refused(pull(reader), Result.FORK, exits.FOREIGN_REFUSED, forger.origin)

    mirror = reader.store.folder / "federation" / "mirror" / forger.origin
    before.assert_untouched(but=f"federation/mirror/{forger.origin}/fork/")
    (evidence,) = (mirror / "fork").iterdir()
    assert evidence.read_bytes() == contradiction.files[HEAD_FILE]
    assert (mirror / HEAD_FILE).read_bytes() == first.files[HEAD_FILE]
    assert candidates(reader) == shown

    forger.record("honest")
    forger.feed(gen=9).put_into(world.bus)
    assert_refused(pull(reader), Result.FORK, exits.FOREIGN_REFUSED, "frozen")
    assert list((mirror / "fork").iterdir()) == [evidence]
    assert candidates(reader) == shown
    (status,) = reader.status().origins
    assert status.state == "fork"


def test_other_origins_of_the_bus_go_on_when_one_forks(world: World, reader: Sharing) -> None:
    """[F6] One bad origin never stops the others: exit 3, partly done."""
    forger, honest = with_a_skip(), forger_of(2, seed=8)
    held(reader, world.bus, forger)
    at_the_pin(forger.copy()).put_into(world.bus)
    honest.feed().put_into(world.bus)
    run = pull(reader)
    found = by_origin(run)
    assert found[forger.origin].result is Result.FORK
    assert found[honest.origin].result is Result.NEW
    assert run.exit_code == exits.PARTLY
    honest.record("p3")
    honest.feed(gen=2).put_into(world.bus)
    found = by_origin(pull(reader))
    assert found[forger.origin].result is Result.FORK
    assert (found[honest.origin].result, found[honest.origin].records) == (Result.UPDATED, 1)


def test_a_dry_run_that_meets_a_fork_keeps_nothing_of_it(world: World, reader: Sharing) -> None:
    """[F5]"""
    from federation.puller import Settings

    forger = with_a_skip()
    held(reader, world.bus, forger)
    before = Kept(reader)
    at_the_pin(forger.copy()).put_into(world.bus)
    run = reader.pull(reader.remotes(None), Settings(dry_run=True))
    assert_refused(run, Result.FORK, exits.FOREIGN_REFUSED)
    before.assert_untouched()


# --- stale -----------------------------------------------------------------------------------------------------------


def test_a_feed_that_went_back_is_stale_and_changes_nothing(world: World, reader: Sharing) -> None:
    """[F5] row 3: by seq or by gen, exit 0, with a warning that says when it was published."""
    forger = with_a_skip()
    older = [forger_part(forger, count) for count in range(1, 5)]
    forger.feed(gen=5, published_at="2026-11-23T08:00:00.000Z").put_into(world.bus)
    pull(reader)
    before = Kept(reader)
    longer = forger.copy()
    longer.record("p9")
    for stale in [
        *(part.feed(gen=gen) for part in older for gen in (2, 5, 9)),
        forger.feed(gen=4),
        longer.feed(gen=4),
    ]:
        stale.put_into(world.bus)
        assert_refused(pull(reader), Result.STALE, exits.DONE, "published 2026-11-22T12:00:00.000Z")
        before.assert_untouched()
    longer.feed(gen=6).put_into(world.bus)
    assert only(pull(reader)).result is Result.UPDATED


def forger_part(forger: Forger, count: int) -> Forger:
    part = forger.copy()
    del part.lines[count:]
    return part


# --- up to date ------------------------------------------------------------------------------------------------------


def test_a_later_head_over_the_same_lines_replaces_ours(world: World, reader: Sharing) -> None:
    """[F5] row 4 [F3]: merged slices and a new `saw` come without a byte of slices being fetched."""
    forger = with_a_skip()
    held(reader, world.bus, forger, cuts=[1, 2, 3])
    mirror = reader.store.folder / "federation" / "mirror" / forger.origin
    slices = {path.name: path.read_bytes() for path in mirror.glob("seg-*")}
    shown = candidates(reader)
    saw = {reader.store.origin: {"seq": 0, "c": "0" * 64, "t": "0" * 64}}
    later = forger.feed(gen=2, saw=saw)
    folder = later.put_into(world.bus)
    for path in folder.glob("seg-*"):
        path.unlink()  # not needed, so not missed
    run = pull(reader)
    assert (only(run).result, run.exit_code, only(run).records) == (Result.UP_TO_DATE, exits.DONE, 0)
    assert (mirror / HEAD_FILE).read_bytes() == later.files[HEAD_FILE]
    assert {path.name: path.read_bytes() for path in mirror.glob("seg-*")} == slices
    assert candidates(reader) == shown
    assert reader.status().origins[0].they_have_seq == 0


def test_two_heads_of_one_gen_over_the_same_lines_do_not_take_turns(world: World, reader: Sharing) -> None:
    """[F5] row 4: only a higher gen replaces a head; pulling from two places changes nothing any more."""
    forger = with_a_skip()
    first = held(reader, world.bus, forger)
    mirror = reader.store.folder / "federation" / "mirror" / forger.origin
    forger.feed(name="another").put_into(world.bus)
    before = Kept(reader)
    assert only(pull(reader)).result is Result.UP_TO_DATE
    before.assert_untouched()
    assert (mirror / HEAD_FILE).read_bytes() == first.files[HEAD_FILE]


def test_the_same_head_again_changes_nothing(world: World, reader: Sharing) -> None:
    """[F5] row 4"""
    held(reader, world.bus, with_a_skip())
    before = Kept(reader)
    for _ in range(2):
        run = pull(reader)
        assert (only(run).result, run.exit_code) == (Result.UP_TO_DATE, exits.DONE)
        before.assert_untouched()


# --- incomplete ------------------------------------------------------------------------------------------------------


def change_file(name_at: int, change: Callable[[bytes], bytes | None]) -> Callable[[Path, Forged], None]:
    def apply(folder: Path, found: Forged) -> None:
        path = folder / found.slices[name_at]
        data = change(path.read_bytes())
        path.unlink()
        if data is not None:
            path.write_bytes(data)

    return apply


def bomb(data: bytes) -> bytes:
    compressor = zstandard.ZstdCompressor(level=3).compressobj()
    zeros = bytes(1024 * 1024)
    return b"".join([*(compressor.compress(zeros) for _ in range(64)), compressor.flush()])


def raw_plus_one(data: bytes) -> bytes:
    return pack(zstandard.ZstdDecompressor().decompress(data) + b"\n")


def padded(data: bytes) -> bytes:
    """The signed raw bytes, in a file larger than what may be fetched for them."""
    skippable = b"\x50\x2a\x4d\x18" + (100_000).to_bytes(4, "little") + bytes(100_000)
    return skippable + data


def bit_flipped(data: bytes) -> bytes:
    return data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :]


FAULTS: Mapping[str, Callable[[bytes], bytes | None]] = {
    "missing": lambda data: None,
    "empty": lambda data: b"",
    "truncated": lambda data: data[: len(data) // 2],
    "without its last byte": lambda data: data[:-1],
    "bit-flipped": bit_flipped,
    "of other content": lambda data: pack(b"other"),
    "one byte more than signed": raw_plus_one,
    "a bomb": bomb,
    "the right bytes in a file that is too large": padded,
    "the right bytes and others behind them": lambda data: data + b"\0",
    "the right bytes in two frames": lambda data: data + pack(b""),
    "not compressed": lambda data: zstandard.ZstdDecompressor().decompress(data),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("at", [0, 2])
@pytest.mark.parametrize("pinned", [False, True])
def test_a_slice_that_is_not_what_was_signed_is_incomplete_until_it_is(
    world: World, reader: Sharing, fault: str, at: int, pinned: bool
) -> None:
    """[F5] row 5: exit 75, nothing at all persists, also not of the good slices; a retry with honest data takes it."""
    forger = forger_of(2)
    if pinned:
        held(reader, world.bus, forger)
    for number in range(6):
        forger.record(f"new{number}")
    found = forger.feed(gen=2, cuts=[2, 4, 6] if pinned else [2, 4])
    before = Kept(reader)
    folder = found.put_into(world.bus)
    change_file(at + pinned, FAULTS[fault])(folder, found)
    for _ in range(2):
        assert_refused(pull(reader), Result.INCOMPLETE, exits.UNAVAILABLE, found.slices[at + pinned])
        before.assert_untouched()
    found.put_into(world.bus)
    assert only(pull(reader)).result is (Result.UPDATED if pinned else Result.NEW)
    assert set(verdicts(reader)) == {"plan/p1", "plan/p2", *(f"plan/new{number}" for number in range(6))}


def test_a_head_that_is_missing_or_too_large_is_incomplete(world: World, reader: Sharing) -> None:
    """[F5] A head is read up to 8 MiB."""
    forger = forger_of(2)
    folder = forger.feed().put_into(world.bus)
    raw = (folder / HEAD_FILE).read_bytes()
    (folder / HEAD_FILE).write_bytes(raw + b" " * (MAX_HEAD_BYTES - len(raw) + 1))
    before = Kept(reader)
    assert_refused(pull(reader), Result.INCOMPLETE, exits.UNAVAILABLE, HEAD_FILE)
    before.assert_untouched()
    (folder / HEAD_FILE).write_bytes(raw + b" " * (MAX_HEAD_BYTES - len(raw)))
    assert only(pull(reader)).result is Result.NEW


def test_a_pull_of_honest_slices_takes_the_newest_of_two_incomplete_states(world: World, reader: Sharing) -> None:
    """[F5] A copy program that brings files in any order is waited for."""
    forger = forger_of(3)
    found = forger.feed(cuts=[1, 2])
    folder = found.put_into(world.bus)
    data = {name: (folder / name).read_bytes() for name in found.slices}
    for name in found.slices:
        (folder / name).unlink()
    for name in reversed(found.slices):
        assert pull(reader).exit_code == exits.UNAVAILABLE
        (folder / name).write_bytes(data[name])
    assert only(pull(reader)).records == 3


# --- lines that are not what the head says ---------------------------------------------------------------------------


def joined(forger: Forger, *replaced: tuple[int, bytes]) -> bytes:
    lines = [line.data for line in forger.lines]
    for number, data in replaced:
        lines[number] = data
    return b"".join(line + b"\n" for line in lines)


def line_without_its_c(forger: Forger) -> bytes:
    return joined(forger, (2, forger.lines[2].data[:-40] + b'"}'))


def malformed(forger: Forger) -> bytes:
    return joined(forger, (2, b'{"what":"ever"}'))


def blank(forger: Forger) -> bytes:
    return joined(forger, (2, b""))


def blank_at_the_end(forger: Forger) -> bytes:
    return joined(forger) + b"\n"


def no_last_newline(forger: Forger) -> bytes:
    return joined(forger)[:-1]


def seq_gap(forger: Forger) -> bytes:
    return joined(forger, (1, b"")).replace(b"\n\n", b"\n")


def seq_twice(forger: Forger) -> bytes:
    return joined(forger, (2, forger.lines[1].data))


def overlapping_skip(forger: Forger) -> bytes:
    return joined(forger, (2, b'{"v":2,"skip":[2,3],"c":"%s"}' % forger.lines[2].after.c.hex().encode()))


def skip_instead_of_a_record(forger: Forger) -> bytes:
    """c follows, t does not: what the head says was shown is withheld."""
    return joined(forger, (2, b'{"v":2,"skip":[3,3],"c":"%s"}' % forger.lines[2].after.c.hex().encode()))


def unlisted_stub(forger: Forger) -> bytes:
    return joined(forger, (2, stub(forger.lines[2].data)))


def another_record(forger: Forger) -> bytes:
    return joined(forger, (2, forger.lines[2].data.replace(b"p3", b"p9")))


def cr_before_newline(forger: Forger) -> bytes:
    return joined(forger).replace(b"\n", b"\r\n")


BODIES = [
    line_without_its_c,
    malformed,
    blank,
    blank_at_the_end,
    no_last_newline,
    seq_gap,
    seq_twice,
    overlapping_skip,
    skip_instead_of_a_record,
    unlisted_stub,
    another_record,
    cr_before_newline,
]


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("pinned", [False, True])
def test_lines_that_do_not_recompute_are_refused_without_a_pin_and_a_fork_with_one(
    world: World, reader: Sharing, body: Callable[[Forger], bytes], pinned: bool
) -> None:
    """[F5] row 6: the slice is what was signed, and contradicts its own head."""
    forger = forger_of(4)
    if pinned:
        short = forger_part(forger, 1)
        held(reader, world.bus, short)
    before = Kept(reader)
    forger.feed(gen=2, bodies={0: body(forger)}).put_into(world.bus)
    result = Result.FORK if pinned else Result.REFUSED
    found = assert_refused(pull(reader), result, exits.FOREIGN_REFUSED)
    assert found.rule == "F5"
    before.assert_untouched(but=f"federation/mirror/{forger.origin}/fork/" if pinned else None)


@pytest.mark.parametrize("key", ["first_seq", "prev_c", "origin_store_id", "format", "previous"])
def test_a_slice_with_another_header_is_refused(world: World, reader: Sharing, key: str) -> None:
    """[F3] [F5] row 6: a slice is a pure function of its lines."""
    from blake3 import blake3

    forger = forger_of(2)
    raw = forger.raw_slice(0, 2)
    header = json.loads(raw[: raw.index(b"\n")])
    header["segment"][key] = {"previous": [1], "format": 3, "first_seq": 2}.get(key, "0" * 64)
    raw = json.dumps(header, separators=(",", ":")).encode() + raw[raw.index(b"\n") :]
    digest = blake3(raw).hexdigest()
    name = f"seg-00000001-00000002-{digest[:12]}.jsonl"
    head = forger.head([{"name": name, "raw_bytes": len(raw), "blake3": digest}])
    Forged(forger.origin, head, {HEAD_FILE: forger.signed(head), name + ".zst": pack(raw)}).put_into(world.bus)
    found = assert_refused(pull(reader), Result.REFUSED, exits.FOREIGN_REFUSED, "header")
    assert found.line == 1


def test_a_slice_whose_name_says_another_end_is_refused(world: World, reader: Sharing) -> None:
    """[F5] row 6"""
    forger = forger_of(3)
    forger.skip(2)

    def longer(head: dict[str, Any]) -> None:
        head["last_seq"] = 6
        head["slices"][0]["name"] = head["slices"][0]["name"].replace("00000005", "00000006")

    found = forger.feed(change=longer)
    files = {HEAD_FILE: found.files[HEAD_FILE], found.slices[0]: next(iter(found.files.values()))}
    found._replace(files=files).put_into(world.bus)
    assert_refused(pull(reader), Result.REFUSED, exits.FOREIGN_REFUSED, "its name says 6")


# --- taken -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cuts", [[], [1], [3], [5], [2, 4, 5], [1, 2, 3, 4, 5, 6]])
@pytest.mark.parametrize("later_cuts", [[], [1], [4], [6], [2, 5, 7], [1, 2, 3, 4, 5, 6, 7, 8]])
def test_slices_merged_or_cut_in_any_way_since_the_pin_are_taken_and_answer_the_same(
    world: World, reader: Sharing, cuts: list[int], later_cuts: list[int]
) -> None:
    """[F5] row 7 [F3]: a slice that reaches below the pin must be what we hold there, and only the rest is kept."""
    forger = forger_of(3)
    forger.skip(2)
    forger.record("p6")
    forger.edit("p1")
    held(reader, world.bus, forger, cuts=[cut for cut in cuts if cut < len(forger.lines)])
    forger.skip(1)
    forger.edit("p2")
    forger.record("p10")
    forger.edit("p6")
    found = forger.feed(gen=2, cuts=later_cuts)
    found.put_into(world.bus)
    taken = only(pull(reader))
    assert (taken.result, taken.records, taken.last_seq) == (Result.UPDATED, 3, forger.state.seq)

    other = world.store("other")
    assert only(pull(other)).result is Result.NEW
    assert candidates(other) == candidates(reader)
    mirrored = [line.data for line in reader.holdings.mirror.feed(forger.origin).lines(0)]
    assert mirrored == [line.data for line in forger.lines]


def test_a_listed_redaction_below_the_pin_is_no_fork(world: World, reader: Sharing) -> None:
    """[F5] [F9]"""
    forger = forger_of(3)
    held(reader, world.bus, forger)
    forger.redact(2)
    forger.feed(gen=2).put_into(world.bus)
    assert only(pull(reader)).result is Result.UPDATED


def test_a_reader_that_comes_late_takes_the_same_feed(world: World, reader: Sharing) -> None:
    """[F5] row 7, with what honest stores publish."""
    author = world.store("author")
    for number in range(5):
        put(author, f"p{number}", f"q{number}", item_type="plan")
        put(author, f"s{number}", item_type="session")
        share(author)
        if number % 2:
            assert only(pull(reader)).result in (Result.NEW, Result.UPDATED)
    pull(reader)
    late = world.store("late")
    pull(late)
    assert candidates(late) == candidates(reader)
    assert len(candidates(late)) == 10
    assert entities(late) == {}
