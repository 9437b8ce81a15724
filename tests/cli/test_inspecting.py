"""inspect: any one file of a store or feed, whole or damaged, wherever it stands."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eventsync.errors import InputUnreadable, NotOurFile
from eventsync.inspecting import inspect
from federation.model import SLICE_SUFFIX
from federation.packing import pack, unpack
from journal import Record
from journal.codec import chain_start, encode_header, encode_record
from tests.cli.answers import Run
from tests.crash.killing import DEEP
from tests.doubles.stores import quick_folder
from tests.integration.forger import Forger
from tests.integration.world import World, accept, pull, put, share

BLOB = "x" * 66_000  # too long for a line
ORIGIN = "es1" + "a" * 32


@pytest.fixture(scope="module")
def stores() -> Iterator[Path]:
    """Two stores that share, each file of which a person might want to look into."""
    with quick_folder() as folder:
        world = World(folder)
        author, reader = world.store("author"), world.store("reader")
        author.store.roll_bytes = 2_000
        for number in range(3):
            put(author, "p1", f"q{number}", text=f"grüße {number}")
            share(author)
        put(author, "long", text=BLOB)
        put(author, "hidden", item_type="session")
        put(author, "p1", text="later")
        share(author)
        assert pull(reader).exit_code == 0
        accept(reader, "plan/p1", "plan/q1", "plan/long")
        author.store.checkpoint()
        with author.store.lock():
            author.store.ack("claude", 3)
        mirror = reader.holdings.mirror
        mirror.freeze(
            author.store.origin, (author.store.folder / "feed" / author.store.origin / "head.json").read_bytes()
        )
        world.close_all()
        yield folder


def seen(path: Path, *, limit: int | None = None) -> dict[str, Any]:
    """All that an inspection of a file comes to."""
    found = inspect(path)
    rows = list(found.rows)
    return {"kind": found.kind, "rows": rows, "facts": found.facts, "faults": found.faults, "whole": found.is_whole}


def errors(path: Path) -> list[tuple[str, int | None, int | None, int | None]]:
    found = seen(path)
    return [(f.id, f.line, f.byte, f.seq) for f in found["faults"] if f.severity == "error"]


def only(folder: Path, pattern: str) -> Path:
    return min(path for path in folder.rglob(pattern) if path.is_file())


KINDS = {
    "author/.eventsync/journal/seg-00000001.jsonl": "segment",
    "author/.eventsync/journal/checkpoints/cp-*.jsonl": "checkpoint",
    "author/.eventsync/journal/blobs/*/*": "blob",
    "author/.eventsync/feed/*/seg-*.zst": "slice",
    "author/.eventsync/feed/*/head.json": "head",
    "author/.eventsync/feed/*/blobs/*/*.zst": "blob",
    "author/.eventsync/entities/plan/p1.json": "projection",
    "author/.eventsync/projections.json": "projections",
    "author/.eventsync/store.json": "store",
    "author/.eventsync/local.json": "local",
    "author/.eventsync/cursors/claude.json": "cursor",
    "reader/.eventsync/federation/mirror/*/head.json": "head",
    "reader/.eventsync/federation/mirror/*/fork/head-*.json": "fork evidence",
    "reader/.eventsync/federation/runs.jsonl": "runs",
    "keys/keys/*.key": "private key",
}
# Told by their names alone where nothing in them says what they are: not under another name.
BY_NAME = ("private key", "fork evidence", "blob")


@pytest.mark.parametrize("pattern", KINDS)
def test_each_file_of_a_store_is_known_and_whole(stores: Path, run: Run, pattern: str) -> None:
    for path in stores.glob(pattern):
        document = run("inspect", str(path), "--json").document
        assert (document["kind"], document["whole"], document["faults"]) == (KINDS[pattern], True, [])
        answer = run("inspect", str(path))
        assert (answer.code, answer.err) == (0, "")
        assert answer.out.startswith(f"{KINDS[pattern]}  {path}  ")
        assert answer.out.endswith("\nwhole\n")
    assert [*stores.glob(pattern)]


@pytest.mark.parametrize("pattern", [pattern for pattern, kind in KINDS.items() if kind not in BY_NAME])
def test_a_file_is_known_by_what_is_in_it(stores: Path, tmp_path: Path, pattern: str) -> None:
    """Copied elsewhere under any name."""
    copy = tmp_path / "download (3)"
    shutil.copy(next(stores.glob(pattern)), copy)
    found = seen(copy)
    assert (found["kind"], found["whole"]) == (KINDS[pattern], True)


# --- segments --------------------------------------------------------------------------------------------------------


def test_a_segment_is_told_line_by_line(stores: Path, run: Run) -> None:
    path = only(stores, "author/.eventsync/journal/seg-00000001.jsonl")
    lines = path.read_bytes().split(b"\n")
    document = run("inspect", str(path), "--json").document
    for row in document["rows"]:
        record = json.loads(lines[row["line"] - 1])
        assert path.read_bytes()[row["byte"] :][: row["size_bytes"]] == lines[row["line"] - 1]
        assert (row["seq"], row["c"], row["chain"]) == (record["seq"], record["c"], "follows")
    facts = document["facts"]
    assert (facts["first_seq"], facts["last_seq"]) == (1, document["rows"][-1]["seq"])
    assert facts["last_c"] == document["rows"][-1]["c"]
    assert facts["records"] == len(document["rows"])
    assert document["rows"][0]["batch"] == [1, 2]
    text = run("inspect", str(path)).out
    assert "  LINE      BYTE  KIND       SEQ" in text
    assert "create plan/p1  rev 1  batch 1/2" in text


def test_damage_in_a_segment_is_named_and_the_rest_is_shown(stores: Path, tmp_path: Path, run: Run) -> None:
    """[J4] [J7]"""
    path = tmp_path / "seg-00000001.jsonl"
    data = only(stores, "author/.eventsync/journal/seg-00000001.jsonl").read_bytes()
    at = data.index("grüße 1".encode())
    path.write_bytes(data.replace("grüße 1".encode(), "GRÜße 1".encode(), 1))
    line, begins = data.count(b"\n", 0, at) + 1, data.rindex(b"\n", 0, at) + 1
    answer = run("inspect", str(path), "--json")
    assert answer.code == 12
    (fault,) = [fault for fault in answer.document["faults"] if fault["id"] == "corruption"]
    assert (fault["line"], fault["byte"], fault["seq"]) == (line, begins, 3)
    rows = answer.document["rows"]
    assert [(row["seq"], row["chain"]) for row in rows][:4] == [
        (1, "follows"),
        (2, "follows"),
        (3, "broken"),
        (4, "follows"),
    ]
    assert f"error: line {line}, byte {begins}, seq 3: " in run("inspect", str(path)).out
    assert "damaged: 1 error" in run("inspect", str(path)).out


def test_a_segment_without_its_header_is_read_as_far_as_that_goes(stores: Path, tmp_path: Path) -> None:
    """[J8]: only where the chain comes from is not known."""
    path = tmp_path / "copy.jsonl"
    data = only(stores, "author/.eventsync/journal/seg-00000001.jsonl").read_bytes()
    path.write_bytes(b"?" + data[1:])
    found = seen(path)
    assert errors(path) == [("segment-header", 1, 0, None)]
    assert [row.chain for row in found["rows"]] == ["taken"] + ["follows"] * (len(found["rows"]) - 1)


def test_the_end_of_a_segment_may_be_a_torn_tail_but_no_whole_line(stores: Path, tmp_path: Path) -> None:
    """[J7]"""
    path = tmp_path / "seg-00000001.jsonl"
    data = only(stores, "author/.eventsync/journal/seg-00000001.jsonl").read_bytes()
    path.write_bytes(data[:-40])
    assert errors(path) == []
    assert [fault.id for fault in seen(path)["faults"]] == ["torn-tail", "void-batch"]
    assert seen(path)["rows"][-1].kind == "damaged"
    path.write_bytes(data + b'\n{"v":2,"seq":99,"junk":1}\n')
    assert [found[0] for found in errors(path)] == ["corruption"]


def test_a_segment_under_the_name_of_another_is_told(stores: Path, tmp_path: Path) -> None:
    path = tmp_path / "seg-00000009.jsonl"
    shutil.copy(only(stores, "author/.eventsync/journal/seg-00000001.jsonl"), path)
    assert [found[0] for found in errors(path)] == ["wrong-place"]


def test_a_void_batch_and_a_note_are_told_as_what_they_are(tmp_path: Path) -> None:
    """[J6] [J7]"""
    fields: dict[str, Any] = {"v": 2, "action": "create", "item_type": "plan", "item_id": "p", "entity_rev": 1}
    note: dict[str, Any] = {"kind": "torn_tail", "ranges": [], "torn": None}
    records = [
        Record(seq=1, batch=(1, 2), payload=raw({}), **fields),
        Record(seq=2, v=2, action="journal_note", item_type="journal", payload=raw(note)),
    ]
    assert [row.kind for row in seen(segment_of(tmp_path, records))["rows"]] == ["void", "note"]


def raw(value: Any) -> Any:
    import msgspec

    return msgspec.Raw(json.dumps(value).encode())


def segment_of(folder: Path, records: list[Record]) -> Path:
    c = chain_start(ORIGIN)
    data = encode_header(ORIGIN, 1, c) + b"\n"
    for record in records:
        line, c = encode_record(record, c)
        data += b"\n" + line + b"\n"
    path = folder / "seg-00000001.jsonl"
    path.write_bytes(data)
    return path


# --- feeds -----------------------------------------------------------------------------------------------------------


def test_the_slices_of_a_feed_lead_to_the_transcript_of_its_head(stores: Path, run: Run) -> None:
    """[F2] [F3]"""
    folder = only(stores, "author/.eventsync/feed/*/head.json").parent
    head = run("inspect", str(folder / "head.json"), "--json").document
    assert [row["note"] for row in head["rows"]] == [None] * head["facts"]["slices"]
    facts: dict[str, Any] = {}
    for row in head["rows"]:
        facts = run("inspect", str(folder / (row["summary"] + ".zst")), "--json").document["facts"]
        assert (facts["first_seq"], facts["last_seq"]) == (row["seq"], row["last_seq"])
        assert facts["listed"] is True
    assert (facts["last_c"], facts["transcript"]) == (head["facts"]["c"], head["facts"]["t"])


def test_a_slice_of_a_mirror_has_its_transcript_too(stores: Path) -> None:
    folder = only(stores, "reader/.eventsync/federation/mirror/*/head.json").parent
    for path in folder.glob("seg-*"):
        assert seen(path)["facts"]["transcript"] is not None


def test_a_slice_alone_is_judged_by_its_name_and_its_chain(stores: Path, tmp_path: Path, run: Run) -> None:
    """[F3]: packed or not."""
    packed = max(only(stores, "author/.eventsync/feed/*/head.json").parent.glob("seg-*"))
    raw_bytes = unpack(packed.read_bytes(), 10**6) or b""
    plain = tmp_path / packed.name.removesuffix(SLICE_SUFFIX)
    plain.write_bytes(raw_bytes)
    found = seen(plain)
    assert (found["whole"], found["facts"]["transcript"]) == (True, None)
    assert found["facts"]["skips"] > 0
    plain.write_bytes(raw_bytes.replace(b"later", b"LATER"))
    assert {found[0] for found in errors(plain)} == {"wrong-hash", "feed-line"}
    (fault,) = [fault for fault in errors(plain) if fault[0] == "feed-line"]
    at = raw_bytes.index(b"later")
    assert fault[1:3] == (raw_bytes.count(b"\n", 0, at) + 1, raw_bytes.rindex(b"\n", 0, at) + 1)
    cut = tmp_path / packed.name
    cut.write_bytes(packed.read_bytes()[:-3])
    answer = run("inspect", str(cut), "--json")
    assert (answer.code, answer.document["faults"][0]["id"]) == (12, "packing")


def test_a_slice_that_does_not_fit_the_feed_beside_it_is_told(stores: Path, tmp_path: Path) -> None:
    """[F5]: signed bytes and place."""
    folder = tmp_path / "feed"
    shutil.copytree(only(stores, "author/.eventsync/feed/*/head.json").parent, folder)
    first, *_, last = sorted(folder.glob("seg-*"))
    body = unpack(last.read_bytes(), 10**6) or b""
    last.write_bytes(pack(body.replace(b"later", b"LATER")))
    assert {found[0] for found in errors(last)} == {"wrong-hash", "feed-line"}
    first.unlink()
    assert seen(last)["facts"]["transcript"] is None
    assert seen(folder / "head.json")["rows"][0].note == "not here"


def test_stubs_count_only_where_the_head_lists_them(tmp_path: Path) -> None:
    """[F9]"""
    forger = Forger()
    forger.record("p1")
    forger.redact(1)
    folder = forger.feed().put_into(tmp_path)
    (path,) = folder.glob("seg-*")
    assert seen(path)["whole"]
    assert seen(path)["rows"][0].kind == "stub"
    folder = forger.feed(redacted=[]).put_into(tmp_path)
    (path,) = folder.glob("seg-*")
    assert ("feed-line", 2, 191, 1) in [(f[0], f[1], f[2], f[3]) for f in errors(path)]


def test_a_head_tells_who_signed_it_and_whether_that_is_true(stores: Path, tmp_path: Path, run: Run) -> None:
    """[F2] [F5]"""
    path = only(stores, "author/.eventsync/feed/*/head.json")
    assert run("inspect", str(path), "--json").document["facts"]["signature"].startswith("good")
    value = json.loads(path.read_bytes())
    value["head"]["name"] = "somebody else"
    (tmp_path / "head.json").write_text(json.dumps(value))
    answer = run("inspect", str(tmp_path / "head.json"))
    assert answer.code == 12
    assert "bad signature [F5]" in answer.out
    assert "somebody else" in answer.out
    value["head"]["format"] = 9
    (tmp_path / "head.json").write_text(json.dumps(value))
    answer = run("inspect", str(tmp_path / "head.json"), "--json")
    assert (answer.code, answer.document["faults"][0]["id"]) == (13, "format-too-new")


def test_evidence_is_shown_beside_what_it_contradicts(stores: Path) -> None:
    """[F5]"""
    facts = seen(only(stores, "reader/.eventsync/federation/mirror/*/fork/head-*.json"))["facts"]
    assert facts["held"]["last_seq"] == facts["last_seq"]


# --- small files -----------------------------------------------------------------------------------------------------


def test_no_secret_is_shown(stores: Path, run: Run) -> None:
    """[I1]: whose a key is, and never what it is; of the machine's id only the beginning."""
    for path in stores.glob("keys/keys/*.key"):
        for options in ([], ["--json"]):
            answer = run("inspect", str(path), *options)
            assert path.read_text().strip() not in answer.out + answer.err
            assert path.name.removesuffix(".key") in answer.out
    local = only(stores, "author/.eventsync/local.json")
    machine = json.loads(local.read_bytes())["machine_id"]
    assert len(machine) > 6
    assert machine not in run("inspect", str(local)).out + run("inspect", str(local), "--json").out


@pytest.mark.parametrize(
    ("pattern", "change", "kind"),
    [
        ("author/.eventsync/store.json", ("public_key", "AAAA"), "identity"),
        ("author/.eventsync/store.json", ("format", 2), "format-too-new"),
        ("author/.eventsync/local.json", ("published", {"last_seq": "x"}), "wrong-key"),
        ("author/.eventsync/projections.json", ("synced_seq", 99), "wrong-key"),
        ("author/.eventsync/projections.json", ("boot_id", 1), "wrong-key"),
        ("author/.eventsync/entities/plan/p1.json", ("payload", {"title": "by hand"}), "payload-changed"),
        ("author/.eventsync/entities/plan/p1.json", ("version", "p1"), "wrong-key"),
        ("author/.eventsync/cursors/claude.json", ("c", "zz"), "wrong-key"),
        ("author/.eventsync/cursors/claude.json", ("seq", -1), "wrong-key"),
    ],
)
def test_a_small_file_is_asked_for_what_it_must_hold(
    stores: Path, tmp_path: Path, pattern: str, change: tuple[str, Any], kind: str
) -> None:
    path = stores / pattern
    copy = tmp_path / path.name
    copy.write_text(json.dumps({**json.loads(path.read_bytes()), change[0]: change[1]}))
    assert [found[0] for found in errors(copy)] == [kind]


@pytest.mark.parametrize("value", ['{"after_seq":1,"pending":true}', '{"after_seq":1,"pending":1}'])
def test_a_brake_is_shown(tmp_path: Path, run: Run, value: str) -> None:
    (tmp_path / "b").write_text(value)
    answer = run("inspect", str(tmp_path / "b"), "--json")
    assert answer.document["kind"] == "brake"
    assert answer.code == (0 if "true" in value else 12)


def test_a_bridge_and_its_copies_are_shown(tmp_path: Path) -> None:
    line = {"v": 2, "seq": 1, "ts": "t", "writer": "w", "agent": "a", "action": "create", "item_type": "plan"}
    (tmp_path / "seg-00000001.jsonl").write_text(json.dumps(line, separators=(",", ":")) + "\nnonsense\n")
    (tmp_path / "bridge.json").write_text(
        json.dumps({"name": "x", "segments": [{"name": "seg-1.jsonl", "bytes": 1, "blake3": "0" * 64, "stamp": ""}, 7]})
    )
    found = seen(tmp_path / "seg-00000001.jsonl")
    assert (found["kind"], [row.kind for row in found["rows"]]) == ("bridged segment", ["record", "passed over"])
    found = seen(tmp_path / "bridge.json")
    assert ([row.note for row in found["rows"]], errors(tmp_path / "bridge.json")) == (
        ["not here"],
        [("wrong-key", None, None, None)],
    )


@pytest.mark.parametrize("name", ["store.json", "head.json", "local.json", "projections.json", "brake.json", "x.json"])
@pytest.mark.parametrize("data", [b"", b"\0" * 40, b"{", b"\xff", b'{"a":1,"a":2}', b'{"a":' + b"9" * 5000 + b"}"])
def test_a_file_of_ours_that_cannot_be_read_at_all_is_damaged(tmp_path: Path, run: Run, name: str, data: bytes) -> None:
    path = tmp_path / "entities" / "plan" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    assert run("inspect", str(path)).code == 12


# --- checkpoints -----------------------------------------------------------------------------------------------------


def test_a_checkpoint_is_told_line_by_line_and_counted(stores: Path, tmp_path: Path) -> None:
    """[J14]"""
    path = only(stores, "author/.eventsync/journal/checkpoints/cp-*.jsonl")
    found = seen(path)
    assert found["facts"]["entities"] == sum(1 for row in found["rows"] if row.kind in ("entity", "tombstone"))
    lines = path.read_bytes().split(b"\n")
    copy = tmp_path / path.name
    copy.write_bytes(b"\n".join([lines[0], b"{", *lines[2:]]))
    begins = len(lines[0]) + 1
    assert errors(copy) == [("checkpoint-line", 2, begins, None), ("checkpoint-end", None, None, None)]
    copy.write_bytes(b"\n".join([lines[1], lines[0], *lines[2:]]))
    assert [found[:2] for found in errors(copy)] == [
        ("checkpoint-line", 1),
        ("checkpoint-line", 2),
        ("checkpoint-end", None),
    ]
    copy.write_bytes(path.read_bytes()[:-10])
    assert [found[0] for found in errors(copy)] == ["checkpoint-line", "checkpoint-end"]
    copy = tmp_path / "cp-00000001.jsonl"
    shutil.copy(path, copy)
    assert [found[0] for found in errors(copy)] == ["wrong-place"]


# --- what is none of ours --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data", [b"", b"hello\n", b"{}", b'{"a":1}', b"[1]", b"\x28\xb5\x2f\xfdjunk", b"SQLite format 3\0"]
)
def test_what_is_none_of_ours_is_not_shown(tmp_path: Path, run: Run, data: bytes) -> None:
    path = tmp_path / "thing"
    path.write_bytes(data)
    answer = run("inspect", str(path), "--json")
    assert (answer.code, answer.error["class"]) == (2, "not_our_file")
    assert answer.document["kind"] is None


def test_only_regular_files_are_opened(tmp_path: Path, run: Run) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", ".", "nothing", "pipe/below"):
        answer = run("inspect", str(tmp_path / name), "--json")
        assert (answer.code, answer.error["class"]) == (2, "input_unreadable"), name


# --- hostile files ---------------------------------------------------------------------------------------------------


def test_nothing_in_a_file_reaches_a_terminal_raw(tmp_path: Path, run: Run) -> None:
    evil = "\x1b[31m\x9b1m\u202e\u200b\x07[bold]"
    fields: dict[str, Any] = {"v": 2, "item_type": evil, "action": evil, "entity_rev": 1, "payload": raw({evil: evil})}
    records = [Record(seq=1, item_id=evil, summary=evil, **fields)]
    path = segment_of(tmp_path, records)
    folder = tmp_path / evil.replace("/", "")
    folder.mkdir()
    forger = Forger()
    forger.record("p1", summary=evil, payload={evil: evil})
    feed = forger.feed(name=evil).put_into(folder)
    (folder / "store.json").write_text(json.dumps({"a": evil}))
    broken = folder / "seg-00000002.jsonl"
    broken.write_bytes(path.read_bytes() + evil.encode() + b"\n")
    for found in [path, broken, folder / "store.json", *feed.iterdir()]:
        out = run("inspect", str(found)).out
        assert not set(out) & set("\x1b\x9b\u202e\u200b\x07"), found
        run("inspect", str(found), "--json").out.encode("ascii")


def test_what_unpacks_to_too_much_is_stopped(tmp_path: Path) -> None:
    """[F3]: nothing more than a slice may hold is ever in memory."""
    path = tmp_path / ("0" * 64 + ".zst")
    path.write_bytes(pack(b"{" + b" " * (17 * 1024 * 1024)))
    assert len(path.read_bytes()) < 10_000
    assert errors(path)[0][0] == "packing"
    named = tmp_path / "seg-00000001-00000002-000000000000.jsonl.zst"
    shutil.copy(path, named)
    assert errors(named)[0][0] == "packing"


def test_numbers_that_no_store_would_take_are_told_and_stop_nothing(tmp_path: Path) -> None:
    fields: dict[str, Any] = {"v": 2, "action": "create", "item_type": "plan", "item_id": "p"}
    for odd in ({"entity_rev": 10**30}, {"entity_rev": 1, "context": {"x": 10**30}}, {"batch": (10**30, 10**30)}):
        records = [
            Record(seq=1, payload=raw({}), **fields, **odd),
            Record(seq=2, entity_rev=1, payload=raw({}), **fields | {"item_id": "q"}),
        ]
        found = seen(segment_of(tmp_path, records))
        assert [row.seq for row in found["rows"]] == [1, 2]
        assert found["whole"] == (odd.get("entity_rev") != 10**30)


def test_a_row_limit_shows_less_and_judges_all(stores: Path, tmp_path: Path, run: Run) -> None:
    path = tmp_path / "seg-00000001.jsonl"
    data = only(stores, "author/.eventsync/journal/seg-00000001.jsonl").read_bytes()
    path.write_bytes(data.replace("grüße 1".encode(), "GRÜße 1".encode(), 1))
    document = run("inspect", str(path), "--limit", "1", "--json").document
    assert (len(document["rows"]), document["whole"]) == (1, False)
    assert document["rows_left"] == len(seen(path)["rows"]) - 1
    assert "more: --limit N shows more" in run("inspect", str(path), "--limit", "1").out


def damaged(data: bytes, chance: random.Random) -> bytes:
    """The same bytes, damaged in one way."""
    at, end = sorted(chance.choices(range(len(data) + 1), k=2))
    match chance.randrange(6):
        case 0 | 1:
            spoilt = bytearray(data)
            spoilt[min(at, len(data) - 1)] ^= 1 << chance.randrange(8)
            return bytes(spoilt)
        case 2:
            return data[:at]
        case 3:
            return data[:at] + data[end:]
        case 4:
            return data[:at] + chance.randbytes(chance.randrange(1, 40)) + data[at:]
        case _:
            return data[:at] + b"\0" * (end - at) + data[end:]


CHECKED = ("segment", "slice", "head", "fork evidence", "blob")  # these prove all of themselves


def test_whatever_is_done_to_a_file_nothing_raises_and_damage_is_told(stores: Path, tmp_path: Path) -> None:
    """A file that proves itself is never called whole when it is not, but for the end of a log, which may be torn."""
    chance = random.Random("inspect")
    files = [path for pattern in KINDS for path in stores.glob(pattern)]
    for number in range(20_000 if DEEP else 2_000):
        path = files[number % len(files)]
        folder = tmp_path / path.parent.name
        folder.mkdir(exist_ok=True)
        data = path.read_bytes()
        copy, spoilt = folder / path.name, damaged(data, chance)
        copy.write_bytes(spoilt)
        try:
            found = seen(copy)
        except (InputUnreadable, NotOurFile):
            continue
        if found["kind"] in CHECKED and found["whole"] and spoilt != data:
            is_log = found["kind"] == "segment"
            is_cut = data.startswith(spoilt) or "torn-tail" in [fault.id for fault in found["faults"]]
            is_packing = path.name.endswith(".zst") and unpack(spoilt, 10**7) == unpack(data, 10**7)
            assert (is_log and (is_cut or is_blank(data, spoilt))) or is_packing, (number, path.name)
        copy.unlink()


def is_blank(data: bytes, spoilt: bytes) -> bool:
    """Whether only what means nothing in a log is different: blank lines [J5]."""
    return [*filter(None, data.split(b"\n"))] == [*filter(None, spoilt.split(b"\n"))]
