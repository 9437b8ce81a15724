"""The forger: any signed feed under a key we know, also those that no honest store would publish.

Lines are added one by one, honest or not; `feed` cuts them into slices, signs a head and gives the files. What is
handed to it as an override goes into the signed head as it is.
"""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from federation import feed
from federation.model import HEAD_FILE
from federation.packing import pack
from federation.signing import sign
from federation.verification import State
from journal import chain_start, encode_header, link, origin_of, stub

TIME = "2026-11-22T12:00:00.000Z"


class Line(NamedTuple):
    """A feed line, and the state of the feed after it."""

    data: bytes
    after: State


class Forged(NamedTuple):
    """A whole feed: its origin, the signed head as a value, and its files by name."""

    origin: str
    head: Mapping[str, Any]
    files: Mapping[str, bytes]

    @property
    def slices(self) -> list[str]:
        """The names of its slice files, in order."""
        return [entry["name"] + ".zst" for entry in self.head["slices"]]

    def put_into(self, bus: Path) -> Path:
        """Let this feed, and nothing of an earlier one, stand on a bus."""
        folder = bus / self.origin
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name, data in self.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        return folder


class Forger:
    """A key, and the lines signed under it so far."""

    def __init__(
        self, seed: int = 7, *, start: tuple[int, bytes] | None = None, previous: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        self.key = bytes([seed]) * 32
        self.public_key = Ed25519PrivateKey.from_private_bytes(self.key).public_key().public_bytes_raw()
        self.origin = origin_of(self.public_key)
        self.previous = list(previous)
        seq, c = start or (0, chain_start(self.origin))
        self.start = State(seq, c, feed.transcript_start(self.origin, seq, c))
        self.lines: list[Line] = []
        self.blobs: dict[str, bytes] = {}  # files of packed payloads
        self.redacted: list[int] = []

    def copy(self) -> Forger:
        """Another forger with the same key and the same lines, which can go on in another way."""
        other = Forger(self.key[0], start=(self.start.seq, self.start.c), previous=self.previous)
        other.lines = list(self.lines)
        other.blobs = dict(self.blobs)
        other.redacted = list(self.redacted)
        return other

    @property
    def state(self) -> State:
        """Seq, c and t after the last line."""
        return self.lines[-1].after if self.lines else self.start

    # --- lines ---

    def record(self, item_id: str | None = "p1", **fields: Any) -> int:
        """An honest record, with any field as given (None leaves it out); its seq."""
        seq = self.state.seq + 1
        value: dict[str, Any] = {
            "v": 2,
            "seq": seq,
            "ts": TIME,
            "writer": "w_1-00ff00ff",
            "agent": "forger",
            "action": "create",
            "item_type": "plan",
            "item_id": item_id,
            "entity_rev": 1,
            "payload": {"title": f"{item_id} {seq}"},
            "salt": f"{seq:016x}",
        }
        value |= fields
        if value["action"] == "delete" and "payload" not in fields:
            value["payload"] = None
        body = json.dumps({k: v for k, v in value.items() if v is not None}, ensure_ascii=False, separators=(",", ":"))
        return self.chained(body.encode("utf-8", "surrogatepass")[:-1])

    def blob(self, item_id: str, content: bytes, **fields: Any) -> int:
        """A record whose payload, of any bytes, stands beside the slices; its seq."""
        digest = blake3(content).hexdigest()
        self.blobs[f"blobs/{digest[:2]}/{digest}.zst"] = pack(content)
        return self.record(item_id, payload=None, payload_ref={"blake3": digest, "bytes": len(content)}, **fields)

    def edit(self, item_id: str, **fields: Any) -> int:
        """An authored update of an entity, on top of what this forger wrote of it."""
        return self.record(item_id, action="update", **fields)

    def redact(self, *seqs: int, listed: Mapping[int, bytes] | None = None) -> int:
        """Put stubs in the place of records, and write the record that tells of them; its seq.

        `listed` are other bytes than the stubs, or of other seqs, whose digests that record lists.
        """
        stubs: dict[int, bytes] = {}
        for at, line in enumerate(self.lines):
            if line.after.seq in seqs:
                stubs[line.after.seq] = stub(line.data)
                self.lines[at] = Line(stubs[line.after.seq], line.after)
        self.redacted = sorted({*self.redacted, *seqs})
        told = [{"seq": seq, "blake3": blake3(data).hexdigest()} for seq, data in (stubs | dict(listed or {})).items()]
        payload = {"reason": "slipped in", "lines": told}
        return self.record(None, action="redact", item_type="journal", entity_rev=None, payload=payload)

    def chained(self, body: bytes) -> int:
        """A line of any bytes up to `,"c":"`, with the c that follows; its seq."""
        before = self.state
        c = link(before.c, body)
        return self.line(body + b',"c":"%s"}' % c.hex().encode(), c)

    def line(self, data: bytes, c: bytes) -> int:
        """A line of any bytes that counts as the next record, whatever it says; its seq."""
        before = self.state
        seq = before.seq + 1
        self.lines.append(Line(data, State(seq, c, feed.transcript_step(before.t, b"L", seq, seq, c))))
        return seq

    def skip(self, count: int = 1) -> int:
        """A skip over the next seqs, of records that nobody sees; the last of them."""
        before = self.state
        c, last = before.c, before.seq + count
        for seq in range(before.seq + 1, last + 1):
            c = link(c, b'{"v":2,"seq":%d' % seq)
        self.lines.append(
            Line(
                feed.skip_line(before.seq + 1, last, c),
                State(last, c, feed.transcript_step(before.t, b"S", before.seq + 1, last, c)),
            )
        )
        return last

    # --- slices and head ---

    def raw_slice(self, first: int, end: int, *, body: bytes | None = None) -> bytes:
        """The raw bytes of a slice of lines [first:end], or of another body."""
        before = self.lines[first - 1].after if first else self.start
        lines = b"".join(line.data + b"\n" for line in self.lines[first:end]) if body is None else body
        return encode_header(self.origin, before.seq + 1, before.c, self.previous) + b"\n" + lines

    def feed(
        self,
        *,
        cuts: Sequence[int] = (),
        gen: int = 1,
        bodies: Mapping[int, bytes] | None = None,
        change: Callable[[dict[str, Any]], None] | None = None,
        **fields: Any,
    ) -> Forged:
        """Sign what there is. `cuts` are line numbers where a new slice begins; `bodies` replaces the lines of a slice.

        `fields` replace fields of the head; `change` may do anything to it before it is signed.
        """
        edges = [0, *cuts, len(self.lines)] if self.lines else [0]
        raws = [
            self.raw_slice(first, end, body=(bodies or {}).get(number))
            for number, (first, end) in enumerate(itertools.pairwise(edges))
        ]
        entries, files = [], {}
        for raw, first, end in zip(raws, edges, edges[1:], strict=False):
            first_seq = (self.lines[first - 1].after.seq if first else self.start.seq) + 1
            name = slice_name(first_seq, self.lines[end - 1].after.seq, raw)
            entries.append({"name": name, "raw_bytes": len(raw), "blake3": blake3(raw).hexdigest()})
            files[name + ".zst"] = pack(raw)
        head = self.head(entries, gen=gen) | fields
        if change is not None:
            change(head)
        return Forged(self.origin, head, files | self.blobs | {HEAD_FILE: self.signed(head)})

    def head(self, slices: Sequence[Mapping[str, Any]], *, gen: int = 1) -> dict[str, Any]:
        """The head of what there is, as a value."""
        import base64

        return {
            "format": 1,
            "gen": gen,
            "origin_store_id": self.origin,
            "public_key": base64.b64encode(self.public_key).decode(),
            "name": f"forger {self.key[0]}",
            "start": {"seq": self.start.seq, "c": self.start.c.hex()},
            "previous": list(self.previous),
            "last_seq": self.state.seq,
            "c": self.state.c.hex(),
            "t": self.state.t.hex(),
            "slices": list(slices),
            "redacted": list(self.redacted),
            "published_at": TIME,
            "saw": {},
        }

    def signed(self, head: Mapping[str, Any]) -> bytes:
        """head.json of any value, with this forger's signature."""
        return feed.head_file(head, sign(self.key, feed.signed_bytes(head)))


def slice_name(first: int, last: int, raw: bytes) -> str:
    """The name of a slice, without `.zst`."""
    return f"seg-{first:08d}-{last:08d}-{blake3(raw).hexdigest()[:12]}.jsonl"
