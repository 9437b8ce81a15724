"""Payloads too long for a line: where they stand, how they are read, and what is said when one is gone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from blake3 import blake3

from journal import DamagedStore, DiskFailed, Draft, Finding, InvalidInput, NoSuchEntity, Store
from journal.codec import blob_ref, decode_record
from journal.model import MAX_INLINE_BYTES, MAX_PAYLOAD_BYTES, BlobRef, parse_blob_ref
from tests.doubles.disks import CountingDisk, FaultyDisk
from tests.doubles.stores import chain_lines, delete, drop_index, projection, put, reopened, state, tree

FRAME = len(b'{"a":""}')
LONG = {"a": "x" * MAX_INLINE_BYTES}


def put_payload(store: Store, item_id: str, payload: object) -> None:
    with store.mutate(agent="test") as mutation:
        mutation.put("plan", item_id, payload)  # type: ignore[arg-type]


def blob_files(store: Store) -> dict[str, bytes]:
    return tree(store.folder / "journal" / "blobs")


def the_blob(store: Store) -> Path:
    (name,) = blob_files(store)
    return store.folder / "journal" / "blobs" / name


def findings(store: Store) -> list[Finding]:
    return store.verify().findings


# --- where a payload stands ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [MAX_INLINE_BYTES - 1, MAX_INLINE_BYTES])
def test_64_kib_stay_in_the_line(store: Store, size: int) -> None:
    """[J10]"""
    put_payload(store, "p1", {"a": "x" * (size - FRAME)})
    record = decode_record(chain_lines(store)[-1])
    assert (len(record.payload_bytes or b""), record.blob) == (size, None)
    assert blob_files(store) == {}


def test_one_byte_more_is_a_blob_that_the_line_refers_to(store: Store) -> None:
    """[J13]: the bytes are those that would have stood in the line, ü and all."""
    payload = {"ü": "é" * 32_769}
    put_payload(store, "p1", payload)
    data = json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()
    digest = blake3(data).hexdigest()
    line = chain_lines(store)[-1]
    assert f'"entity_rev":1,"payload_ref":{{"blake3":"{digest}","bytes":{len(data)}}},"salt":'.encode() in line
    assert b'"payload":' not in line
    assert blob_files(store) == {f"{digest[:2]}/{digest}": data}
    assert the_blob(store).stat().st_mode & 0o777 == 0o600


def test_a_payload_in_a_blob_is_read_as_if_it_stood_in_the_line(store: Store) -> None:
    for item_id in ("p1", "p2"):
        put_payload(store, item_id, LONG | {"title": item_id})
    assert store.get("plan", "p1").payload == LONG | {"title": "p1"}
    assert json.loads(projection(store, "p1").read_bytes())["payload"] == LONG | {"title": "p1"}
    drop_index(store)
    again = reopened(store)
    assert state(again) == {("plan", name): (1, LONG | {"title": name}) for name in ("p1", "p2")}
    record = again.history.rev("plan", "p2", 1).record
    assert json.loads(again.payload_of(record) or b"") == LONG | {"title": "p2"}
    assert findings(again) == []


def test_an_entity_goes_from_line_to_blob_and_back(store: Store) -> None:
    """[J3]: only where the payload stands is another."""
    for payload in ({"n": 1}, LONG, {"n": 2}):
        put_payload(store, "p1", payload)
        assert store.get("plan", "p1").payload == payload
    delete(store, "p1")
    put_payload(store, "p1", LONG)
    assert store.get("plan", "p1").head.entity_rev == 5
    assert findings(store) == []


def test_the_same_content_is_one_file(store: Store) -> None:
    with store.mutate() as mutation:
        for item_id in ("p1", "p2"):
            mutation.put("plan", item_id, LONG)
    put_payload(store, "p1", LONG)
    assert len(blob_files(store)) == 1
    assert findings(store) == []


def test_content_that_was_damaged_is_made_good_by_putting_it_again(store: Store) -> None:
    put_payload(store, "p1", LONG)
    the_blob(store).write_bytes(b"x")
    put_payload(store, "p2", LONG)
    assert store.get("plan", "p1").payload == LONG
    assert findings(store) == []


def test_16_mib_are_the_most(store: Store) -> None:
    """[J10]"""
    put_payload(store, "p1", {"a": "x" * (MAX_PAYLOAD_BYTES - FRAME)})
    assert len(store.payload_bytes(store.get("plan", "p1").head) or b"") == MAX_PAYLOAD_BYTES
    before = tree(store.folder / "journal")
    with pytest.raises(InvalidInput, match="payload of plan/p2 has 16777217 bytes, the limit is 16777216"):
        put_payload(store, "p2", {"a": "x" * (MAX_PAYLOAD_BYTES - FRAME + 1)})
    assert tree(store.folder / "journal") == before


@pytest.mark.parametrize(
    "payload",
    [
        LONG | {"deep": json.loads("[" * 64 + "]" * 64)},
        LONG | {"b": "\ud800"},
        LONG | {"b": float("nan")},
        LONG | {"b": 10**400},
        {"a": [0] * 1_000_000},
        [LONG],
    ],
    ids=["deep", "surrogate", "nan", "huge integer", "many values", "no object"],
)
def test_the_rules_for_payloads_hold_for_blobs_too(store: Store, payload: object) -> None:
    """[J10]: and nothing was written."""
    before = tree(store.folder / "journal")
    with pytest.raises(InvalidInput, match="J10"):
        put_payload(store, "p1", payload)
    assert tree(store.folder / "journal") == before


def test_a_million_values_may_stand_in_a_payload_and_commas_in_texts_are_none() -> None:
    """[J10]"""
    from journal import check_payload

    most = b'{"a":[' + b"0," * 999_997 + b'0],"b":"[,{"}'
    check_payload(most)
    with pytest.raises(InvalidInput, match="more than 1000000 values"):
        check_payload(most.replace(b"[0,", b"[0,0,", 1))
    check_payload(b'{"a":"' + rb"\",[{\\," * 1_000_000 + b'"}')


def test_a_batch_that_is_refused_leaves_no_blob(store: Store) -> None:
    """[J10]: a later record of the batch is too long for its line."""
    before = tree(store.folder / "journal")
    with pytest.raises(InvalidInput, match="record has"), store.mutate(agent="x" * 300_000) as mutation:
        mutation.put("plan", "p1", LONG)
    assert tree(store.folder / "journal") == before


# --- a draft that names a blob ---------------------------------------------------------------------------------------


def test_a_draft_may_name_a_payload_that_is_kept_already(store: Store) -> None:
    data = json.dumps(LONG, separators=(",", ":")).encode()
    with store.lock():
        ref = store.keep_payload(data)
        with store.mutate() as mutation:
            mutation.add(Draft("create", "plan", "p1", blob=ref))
    assert store.get("plan", "p1").payload == LONG
    assert json.loads(projection(store, "p1").read_bytes())["payload"] == LONG


def test_a_draft_that_names_a_payload_nobody_keeps_is_not_written(store: Store) -> None:
    before = tree(store.folder / "journal")
    with pytest.raises(DamagedStore, match="the blob is missing"), store.mutate() as mutation:
        mutation.add(Draft("create", "plan", "p1", blob=BlobRef("0" * 64, 70_000)))
    assert tree(store.folder / "journal") == before


@pytest.mark.parametrize("action", ["delete", "session_start"])
def test_what_has_no_payload_has_no_blob_either(store: Store, action: str) -> None:
    """[J2]"""
    with pytest.raises(InvalidInput, match="with a payload"), store.mutate() as mutation:
        mutation.add(Draft(action, "plan", "p1", blob=BlobRef("0" * 64, 70_000)))


# --- order and durability --------------------------------------------------------------------------------------------


def test_a_blob_is_durable_before_its_line_is_written(store: Store) -> None:
    """[J13]: file, rename, then every folder on the way; the log comes after."""
    put(store, "p0")
    disk = CountingDisk()
    put_payload(reopened(store, disk=disk), "p1", LONG)
    assert disk.order[:8] == ["write", "fsync", "rename", "fsync", "fsync", "fsync", "write", "fsync"]
    digest = the_blob(store).name
    assert disk.written[0] == store.folder / "journal" / "blobs" / digest[:2] / digest


def test_a_blob_found_is_synced_before_a_line_refers_to_it(store: Store) -> None:
    """Whoever wrote it may have died before it was durable."""
    put_payload(store, "p1", LONG)
    disk = CountingDisk()
    put_payload(reopened(store, disk=disk), "p2", LONG)
    assert disk.order[:6] == ["fsync", "fsync", "fsync", "fsync", "write", "fsync"]


@pytest.mark.parametrize(("at", "share"), [*((n, "none") for n in range(1, 7)), (1, "half"), (3, "all")])
def test_a_blob_that_cannot_be_written_fails_the_mutation(store: Store, at: int, share: str) -> None:
    """[J13] [J5]: the log is as it was, and so is every answer."""
    put(store, "p0")
    lines = chain_lines(store)
    failing = reopened(store, disk=FaultyDisk(at, share))  # type: ignore[arg-type]
    with pytest.raises(DiskFailed):
        put_payload(failing, "p1", LONG)
    assert chain_lines(store) == lines
    assert [finding.severity for finding in findings(failing) if finding.severity != "info"] == []
    with pytest.raises(NoSuchEntity):
        failing.get("plan", "p1")
    put_payload(failing, "p1", LONG)
    assert failing.get("plan", "p1").payload == LONG


def test_what_a_crash_left_is_told_and_stays(store: Store) -> None:
    put_payload(store, "p1", LONG)
    with store.lock():
        ref = store.keep_payload(b'{"a":"written for a record that never came"}')
    path = store.segments.blobs.path(ref.blake3)
    left = path.with_name(".tmp-1-" + path.name)
    left.write_bytes(b"half")
    assert [(found.id, found.severity, found.path) for found in findings(store)] == [
        ("stray-file", "info", str(left)),
        ("blob-unreferenced", "info", str(path)),
    ]
    store.rebuild()
    assert path.is_file()
    assert not left.exists()


# --- damage ----------------------------------------------------------------------------------------------------------


def lose(path: Path) -> None:
    path.unlink()


def shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b" ")


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[40_000] ^= 1
    path.write_bytes(data)


def turn_into_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def turn_into_a_pipe(path: Path) -> None:
    import os

    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("harm", [lose, shorten, lengthen, flip, turn_into_a_folder, turn_into_a_pipe])
def test_a_blob_that_is_not_good_is_an_error_of_its_entity_alone(store: Store, harm: object) -> None:
    """[J13]: the error and `verify` name entity and file, and everything else goes on."""
    put(store, "p0")
    put_payload(store, "p1", LONG)
    path = the_blob(store)
    harm(path)  # type: ignore[operator]
    with pytest.raises(DamagedStore) as caught:
        store.get("plan", "p1")
    assert (caught.value.path, caught.value.seq) == (str(path), 2)
    assert caught.value.message.startswith("plan/p1: ")
    assert store.get("plan", "p0").payload == {"title": "p0"}
    assert [head.item_id for head in store.list()] == ["p0", "p1"]
    assert [record.seq for record in store.log()] == [1, 2]
    (found,) = [finding for finding in findings(store) if finding.severity == "error"]
    assert (found.id, found.path, found.seq) == ("blob-damaged", str(path), 2)
    put(store, "p2")
    assert str(path) in (store.rebuild() or "")
    assert store.get("plan", "p2").payload == {"title": "p2"}
    assert json.loads(projection(store, "p1").read_bytes())["payload"] == LONG  # all that is left of it


def test_a_damaged_blob_has_a_new_rev_put_over_it(store: Store) -> None:
    put_payload(store, "p1", LONG)
    the_blob(store).unlink()
    put_payload(store, "p1", {"n": 2})
    assert store.get("plan", "p1") == (store.head("plan", "p1"), {"n": 2})
    assert [finding.id for finding in findings(store)] == ["blob-damaged"]  # rev 1 is still lost


def test_a_blob_whose_size_is_another_is_not_read(store: Store) -> None:
    put_payload(store, "p1", LONG)
    with the_blob(store).open("r+b") as file:
        file.truncate(10**12)
    disk = CountingDisk()
    again = reopened(store, disk=disk)
    with pytest.raises(DamagedStore, match="the blob is damaged"):
        again.get("plan", "p1")
    assert disk.bytes_read < 10_000


@pytest.mark.parametrize(
    "data",
    [
        b"null",
        b"[]",
        b"{}",
        b'"x"',
        b'{"blake3":"%s"}' % (b"0" * 64),
        b'{"blake3":"%s","bytes":0}' % (b"0" * 64),
        b'{"blake3":"%s","bytes":-1}' % (b"0" * 64),
        b'{"blake3":"%s","bytes":1.5}' % (b"0" * 64),
        b'{"blake3":"%s","bytes":"1"}' % (b"0" * 64),
        b'{"blake3":"%s","bytes":true}' % (b"0" * 64),
        b'{"blake3":"%s","bytes":16777217}' % (b"0" * 64),
        b'{"blake3":"%s","bytes":1}' % (b"0" * 63),
        b'{"blake3":"%s","bytes":1}' % (b"A" * 64),
        b'{"blake3":"../../%s","bytes":1}' % (b"0" * 58),
        b'{"blake3":"%s\\n","bytes":1}' % (b"0" * 64),
        b"[" * 100_000,
    ],
)
def test_what_is_no_reference_is_none(data: bytes) -> None:
    """[J13]"""
    assert parse_blob_ref(data) is None


def test_a_reference_may_say_more_than_we_know() -> None:
    """Keys of later versions are passed over."""
    ref = blob_ref(b"{}")
    data = b'{"blake3":"%s","more":[1],"bytes":2}' % ref.blake3.encode()
    assert parse_blob_ref(data) == ref == (blake3(b"{}").hexdigest(), 2)
