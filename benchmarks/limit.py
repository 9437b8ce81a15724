"""The limit: the least that anybody must do to take a feed in.

One pass over the slices: read, unpack, hash, recompute c and t, check UTF-8 once per slice, decode with the payload
left raw, keep the newest record of each entity, write those once. No signature, no copy into a mirror, no fsync, no
verdict. Shares no code with the program, which is compared with it.
"""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import msgspec
import zstandard
from blake3 import blake3


class _Line(msgspec.Struct, gc=False):
    seq: int
    action: str
    item_type: str
    item_id: str
    entity_rev: int
    c: str
    payload: msgspec.Raw
    summary: str | None = None


def take_in(feed: Path, database: Path) -> int:
    """Take in the feed in a folder and return how many records it has; ValueError when c, t or a hash is not signed."""
    head = json.loads((feed / "head.json").read_bytes())["head"]
    c, t = bytes.fromhex(head["start"]["c"]), _transcript_start(head)
    newest: dict[tuple[str, str], tuple[_Line, int, int]] = {}
    decode = msgspec.json.Decoder(_Line).decode
    count = 0
    for entry in head["slices"]:
        packed = (feed / f"{entry['name']}.zst").read_bytes()
        raw = zstandard.ZstdDecompressor().decompress(packed, max_output_size=entry["raw_bytes"])
        if blake3(raw).hexdigest() != entry["blake3"]:
            raise ValueError(f"{entry['name']} is not what was signed")
        raw.decode("utf-8")
        at = raw.index(b"\n") + 1
        for line in raw[at:-1].split(b"\n"):
            c = blake3(c + line[:-72]).digest()
            found = decode(line)
            place = found.seq.to_bytes(8, "big")
            t = blake3(t + b"L" + place + place + c).digest()
            newest[found.item_type, found.item_id] = (found, at, len(line))
            at += len(line) + 1
            count += 1
    if (c.hex(), t.hex()) != (head["c"], head["t"]):
        raise ValueError("the lines are not what was signed")
    _write(database, newest)
    return count


def _transcript_start(head: dict[str, dict[str, str]]) -> bytes:
    origin, start = str(head["origin_store_id"]), head["start"]
    return blake3(
        b"eventsync/t1" + origin.encode() + int(start["seq"]).to_bytes(8, "big") + bytes.fromhex(start["c"])
    ).digest()


def _write(database: Path, newest: dict[tuple[str, str], tuple[_Line, int, int]]) -> None:
    db = sqlite3.connect(database)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    with db:
        db.execute(
            "CREATE TABLE heads (item_type TEXT, item_id TEXT, seq INTEGER, entity_rev INTEGER, action TEXT, "
            "digest TEXT, summary TEXT, offset INTEGER, length INTEGER, PRIMARY KEY (item_type, item_id)) WITHOUT ROWID"
        )
        db.executemany(
            "INSERT INTO heads VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (*key, line.seq, line.entity_rev, line.action, line.c, line.summary, at, length)
                for key, (line, at, length) in newest.items()
            ),
        )
    db.close()
