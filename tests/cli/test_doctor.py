"""doctor: each thing it can find, made for real; what --fix makes good again, to the byte; and that it has an answer to
everything.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from blake3 import blake3

from eventsync import __version__, doctor, health, mending, programs
from eventsync.ailments import TABLE
from federation.mirror import evidence_name
from federation.packing import pack, unpack
from journal import Disk, Machine, Store, link, split_c, stub
from tests.cli.answers import ROOT, Run
from tests.crash.killing import DEEP
from tests.doubles.disks import CountingDisk, Died, FaultyDisk, QuickDisk
from tests.doubles.stores import quick_folder
from tests.integration.world import World, accept, pull, put, share

BLOB = "x" * 66_000  # too long for a line


# --- two stores that know each other ---------------------------------------------------------------------------------


class Life(NamedTuple):
    """A store with everything in it, as one who has it would meet it, and how to look at it and put it back."""

    folder: Path
    keys: Path
    peer: Path  # a store that pulls it
    kept: dict[Path, tuple[bytes, int]]

    @property
    def segments(self) -> list[Path]:
        return sorted((self.folder / "journal").glob("seg-*"))

    @property
    def tail(self) -> Path:
        return self.segments[-1]

    @property
    def feed(self) -> Path:
        (found,) = (self.folder / "feed").iterdir()
        return found

    @property
    def mirror(self) -> Path:
        (found,) = (self.folder / "federation" / "mirror").iterdir()
        return found

    @property
    def key(self) -> Path:
        return self.keys / "keys" / f"{self.feed.name}.key"

    def change(self, name: str, change: Callable[[dict[str, Any]], object]) -> None:
        """Change a JSON file of the store."""
        path = self.folder / name
        value = json.loads(path.read_bytes())
        change(value)
        path.write_text(json.dumps(value))

    def append(self, *bodies: str) -> None:
        """Write lines that chain behind the last one, as a program with a fault might; %d is the next seq."""
        data = self.tail.read_bytes()
        last = data.rstrip(b"\n").rpartition(b"\n")[2]
        parts, seq = split_c(last), json.loads(last)["seq"]
        assert parts is not None
        c = parts[1]
        for number, body in enumerate(bodies, seq + 1):
            text = body.replace("%d", str(number)).encode()
            c = link(c, text)
            data += b"\n" + text + b',"c":"' + c.hex().encode() + b'"}\n'
        self.tail.write_bytes(data)

    def files(self) -> dict[Path, tuple[bytes, int]]:
        found = [*self.folder.parent.rglob("*"), *self.keys.rglob("*")]
        return {
            path: (path.read_bytes(), stat.S_IMODE(path.stat().st_mode))
            for path in found
            if path.is_file() and not path.name.endswith(("-wal", "-shm"))
        }

    def without_caches(self) -> dict[Path, tuple[bytes, int]]:
        """All that a look may not change: caches catch up with the log when they are read."""
        caches = {self.folder / "entities", self.folder / "index.sqlite3", self.folder / "projections.json"}
        caches |= {self.folder / "federation" / "index.sqlite3"}
        return {path: found for path, found in self.files().items() if not caches & {path, *path.parents}}

    def restore(self) -> None:
        """As it was, in the same folder: a store that stands in another one counts as copied."""
        for above in (self.folder, self.keys):
            for path in above.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        for path in self.folder.parent.iterdir():
            if path != self.folder:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        for path, (data, mode) in self.kept.items():
            for above in reversed(path.parents):
                above.mkdir(exist_ok=True, mode=0o700)
            path.write_bytes(data)
            path.chmod(mode)


def record(rest: str, seq: str = "%d") -> str:
    return f'{{"v":2,"seq":{seq},"ts":"","writer":"w_1-00","agent":"x",{rest},"salt":"00"'


NOTE = record('"action":"session_start","item_type":"session"')


@pytest.fixture(scope="module")
def whole() -> Iterator[Life]:
    """Made once: two stores with several segments and slices, long payloads, a checkpoint, a reader, a mirror."""
    with quick_folder() as folder:
        world = World(folder)
        ada, ben = world.store("ada"), world.store("ben")
        ada.store.roll_bytes = 3_000
        put(ben, "theirs", text=BLOB)
        share(ben)
        for number in range(3):
            put(ada, f"p{number}", f"q{number}", text=f"number {number}")
        put(ada, "long", text=BLOB)
        ada.store.checkpoint()
        put(ada, "later", text="later")
        put(ada, "mine", private=True)
        put(ada, "last")
        pull(ada)
        accept(ada, "plan/theirs")
        share(ada)
        pull(ben)
        ada.store.ack("claude", 3)
        world.close_all()
        machine = Machine(world.keys)
        for name in ("ada", "ben"):
            with contextlib.closing(Store.open(folder / name, machine=machine, data_folder=world.keys)) as store:
                store.keep_identity()
                store.rebuild()
        life = Life(folder / "ada" / ".eventsync", world.keys, folder / "ben" / ".eventsync", {})
        life.kept.update(life.files())
        yield life


@pytest.fixture
def life(whole: Life, monkeypatch: pytest.MonkeyPatch) -> Iterator[Life]:
    monkeypatch.setenv("EVENTSYNC_DATA_DIR", str(whole.keys))
    monkeypatch.setenv("EVENTSYNC_STORE", str(whole.folder))
    yield whole
    whole.restore()


class Seen(NamedTuple):
    code: int
    document: Any

    @property
    def ids(self) -> set[str]:
        return {found["id"] for found in self.document["findings"]}

    @property
    def errors(self) -> set[str]:
        return {found["id"] for found in self.document["findings"] if found["severity"] == "error"}


def look(run: Run, *words: str) -> Seen:
    answer = run("doctor", "--json", *words)
    assert answer.err == "", answer
    return Seen(answer.code, answer.document)


# --- what can be wrong -----------------------------------------------------------------------------------------------


def flip(path: Path, before: bytes, after: bytes) -> None:
    data = path.read_bytes()
    assert len(before) == len(after)
    assert data.count(before) >= 1, (path, before)
    path.write_bytes(data.replace(before, after, 1))


def spoil(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(bytes(data))


def corruption(life: Life) -> None:
    flip(life.segments[0], b"number 1", b"numbEr 1")


def header_is_junk(life: Life) -> None:
    flip(life.segments[1], b'{"v":2,"segment"', b'["v":2,"segment"')


def header_of_nobody(life: Life) -> None:
    flip(life.segments[0], b'"origin_store_id":"es1', b'"origin_store_id":"es2')


def end_is_lost(life: Life) -> None:
    data = life.tail.read_bytes()
    life.tail.write_bytes(data[: data.rstrip(b"\n").rindex(b"\n")])


def watermark(life: Life) -> None:
    seq = json.loads((life.folder / "projections.json").read_bytes())["applied_seq"]
    flip(life.folder / "projections.json", b'"applied_seq":%d' % seq, b'"applied_seq":%d' % (seq + 80))


def no_blob(life: Life) -> None:
    next((life.folder / "journal" / "blobs").glob("*/*")).unlink()


def unneeded_blob(life: Life) -> None:
    Store.open(life.folder, disk=QuickDisk()).keep_payload(json.dumps({"x": BLOB}).encode())


def archived(life: Life, data: bytes) -> None:
    (life.folder / "journal" / "archive").mkdir(mode=0o700)
    path = life.folder / "journal" / "archive" / life.segments[0].name
    path.write_bytes(data)
    path.chmod(0o600)


def unasked_stub(life: Life) -> None:
    data = life.segments[0].read_bytes()
    line = data.split(b"\n")[2]
    life.segments[0].write_bytes(data.replace(line, stub(line).ljust(len(line), b"\n"), 1))


def unfinished_redaction(life: Life) -> None:
    line = life.segments[0].read_bytes().split(b"\n")[2]
    listed = {"seq": json.loads(line)["seq"], "blake3": blake3(stub(line)).hexdigest()}
    payload = json.dumps({"reason": "x", "lines": [listed]}, separators=(",", ":"))
    life.append(record(f'"action":"redact","item_type":"journal","payload":{payload}'))
    life.change("local.json", lambda local: local.update(redacting={"since": 1, "left": ["store"], "blobs": []}))


def torn(life: Life) -> None:
    with life.tail.open("ab") as file:
        file.write(b'\n{"v":2,"seq":99')


def index_with(sql: str) -> Callable[[Life], None]:
    def change(life: Life) -> None:
        with contextlib.closing(sqlite3.connect(life.folder / "index.sqlite3")) as db:
            db.execute(sql)
            db.commit()

    return change


def unvouched_checkpoint(life: Life) -> None:
    (path,) = (life.folder / "journal" / "checkpoints").iterdir()
    top, _, rest = path.read_bytes().partition(b"\n")
    last = json.loads(life.tail.read_bytes().rstrip(b"\n").rpartition(b"\n")[2])
    first_seq = int(life.tail.stem.removeprefix("seg-"))
    value = json.loads(top) | {
        "seq": last["seq"],
        "c": last["c"],
        "segment": first_seq,
        "offset": life.tail.stat().st_size,
    }
    found = path.with_name(f"cp-{last['seq']:08d}.jsonl")
    found.write_bytes(json.dumps(value, separators=(",", ":")).encode() + b"\n" + rest)
    found.chmod(0o600)


def a_file(name: str, data: bytes = b"x") -> Callable[[Life], None]:
    def make(life: Life) -> None:
        path = life.folder / name.replace("ORIGIN", life.mirror.name)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.write_bytes(data)
        path.chmod(0o600)

    return make


def shown_by_git(life: Life) -> None:
    (life.folder / ".gitignore").write_text("*\n!.gitignore\n!entities/\n!entities/plan/\n!entities/plan/*.json\n")
    git = ["git", "-C", str(life.folder.parent)]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "-f", ".eventsync/entities/plan/mine.json"], check=True)


class Damage(NamedTuple):
    """What is done, what doctor finds, how it ends, and how it ends after --fix (None: as before)."""

    id: str
    make: Callable[[Life], object]
    code: int = 0
    after: int | None = 0


DAMAGES: Sequence[Damage] = (
    Damage("store-unreadable", lambda life: (life.folder / "store.json").write_text("x"), 12, None),
    Damage("format-too-new", lambda life: life.change("store.json", lambda file: file.update(format=99)), 13, None),
    Damage("store-copied", lambda life: life.change("local.json", lambda local: local.update(path="/x")), 22, 22),
    Damage("identity", lambda life: (life.folder / "local.json").write_text("x"), 12, None),
    Damage("config-invalid", lambda life: (life.folder / "config.toml").write_text("x = "), 2, 2),
    Damage("corruption", corruption, 12),
    Damage("segment-unreadable", header_is_junk, 12),
    Damage("segment-header", header_of_nobody, 12),
    Damage("record-unreadable", lambda life: life.append('{"v":2,"seq":%d,"x":'), 12, 12),
    Damage("record-incomplete", lambda life: life.append(record('"action":"create","item_type":"plan"')), 12, 12),
    Damage("seq-not-dense", lambda life: life.append(NOTE.replace("%d", "900")), 12, 12),
    Damage(
        "rev-jump",
        lambda life: life.append(record('"action":"delete","item_type":"plan","item_id":"p1","entity_rev":9')),
        12,
        12,
    ),
    Damage("log-too-short", end_is_lost, 12),
    Damage("watermark-wrong", watermark, 12),
    Damage(
        "published-differs",
        lambda life: life.change("local.json", lambda local: local["published"].update(c="0" * 64)),
        12,
        12,
    ),
    Damage("blob-damaged", no_blob, 12),
    Damage("blob-unreferenced", unneeded_blob),
    Damage("archive-differs", lambda life: archived(life, b"x"), 12, 12),
    Damage("archived-twice", lambda life: archived(life, life.segments[0].read_bytes())),
    Damage("stub-unlisted", unasked_stub, 12, 12),
    Damage("redaction-unfinished", unfinished_redaction, 12),
    Damage("torn-tail", torn),
    Damage("void-batch", lambda life: life.append(record('"action":"x","item_type":"session","batch":[1,2]'))),
    Damage("stray-file", a_file("journal/.tmp-1-x")),
    Damage("index-unreadable", a_file("index.sqlite3", b"junk" * 1_000)),
    Damage("index-differs", index_with("UPDATE entities SET entity_rev = 7 WHERE item_id = 'p1'"), 12),
    Damage("index-behind", lambda life: life.append(NOTE)),
    Damage("projections-behind", lambda life: life.append(NOTE)),
    Damage("projection-differs", lambda life: flip(life.folder / "entities/plan/p1.json", b"number 1", b"numbEr 1")),
    Damage("checkpoint-differs", lambda life: spoil(next((life.folder / "journal/checkpoints").iterdir()))),
    Damage("checkpoint-unused", unvouched_checkpoint),
    Damage("cursor-unreadable", a_file("cursors/claude.json"), 12, 12),
    Damage(
        "cursor-differs", lambda life: life.change("cursors/claude.json", lambda kept: kept.update(c="0" * 64)), 12, 12
    ),
    Damage("feed-damaged", lambda life: spoil(next(life.feed.glob("seg-*"))), 12),
    Damage("feed-lost", lambda life: shutil.rmtree(life.feed), 12),
    Damage(
        "feed-behind", lambda life: life.change("local.json", lambda local: local["published"].update(gen=9)), 12, 12
    ),
    Damage("feed-blob-damaged", lambda life: next(life.feed.glob("blobs/*/*")).unlink(), 12),
    Damage("mirror-damaged", lambda life: (life.mirror / "head.json").write_text("x"), 12),
    Damage("mirror-blob-damaged", lambda life: spoil(next(life.mirror.glob("blobs/*/*"))), 12),
    Damage("mirror-blob-missing", lambda life: next(life.mirror.glob("blobs/*/*")).unlink()),
    Damage("origin-forked", a_file(f"federation/mirror/ORIGIN/fork/{evidence_name(b'x')}")),
    Damage("quarantined", a_file("federation/quarantine/ORIGIN/000000000000/head.json")),
    Damage("synced-folder", lambda life: (life.folder.parent / ".stfolder").mkdir()),
    Damage("permissions", lambda life: (life.folder / "store.json").chmod(0o644)),
    Damage("key-missing", lambda life: life.key.unlink(), 12, 12),
    Damage("key-wrong", lambda life: life.key.write_bytes(b"AAAA" * 10 + b"AAA=\n"), 12, 12),
    Damage("key-permissions", lambda life: life.key.chmod(0o640)),
    Damage("private-file-tracked", shown_by_git),
    Damage("leftover", a_file("entities/plan/.tmp-1-p1.json")),
    Damage("backups", a_file("backups/doctor-1/store.json")),
)
ELSEWHERE = {  # tests of their own, below
    "no-store",
    "only-entity-files",
    "check-failed",
    "index-in-use",
    "network-filesystem",
    "disk-nearly-full",
    "foreign-owner",
    "foreign-package",
    "program-differs",
    "tool-missing",
    "tool-too-old",
    "tool-old",
}
# What is a truth, and must be to the byte what it was.
TRUTHS = ("journal/seg-", "journal/blobs/", "feed/", "federation/mirror/", "store.json")


def test_everything_in_the_table_is_found_by_a_test() -> None:
    assert {damage.id for damage in DAMAGES} | ELSEWHERE == set(TABLE)


def test_nothing_is_found_in_a_store_that_is_well(run: Run, life: Life) -> None:
    seen = look(run)
    assert (seen.code, seen.document["ok"], seen.document["findings"]) == (0, True, [])
    assert run("doctor").out == "ok\n"
    assert look(run, "--fix").document["fixed"] == []
    assert {path: life.files()[path] for path in life.kept} == life.kept


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.id)
def test_each_thing_is_found_and_mended_where_that_loses_nothing(run: Run, life: Life, damage: Damage) -> None:
    damage.make(life)
    before = life.without_caches()
    seen = look(run)
    assert damage.id in seen.ids
    assert seen.code == damage.code, seen.document["findings"]
    assert life.without_caches() == before
    found = next(item for item in seen.document["findings"] if item["id"] == damage.id)
    assert found["anchor"] == f"docs/doctor.md#{damage.id}"
    if damage.after is None:
        return
    mended = look(run, "--fix")
    assert mended.code == damage.after, mended.document["findings"]
    assert (damage.id in mended.ids) == (TABLE[damage.id].fix == "never" or damage.after != 0), mended.document
    again = look(run, "--fix")
    assert (again.code, again.document["fixed"]) == (mended.code, [])
    if TABLE[damage.id].fix == "tries":
        assert mended.document["fixed"] or damage.after
        for path, kept in life.kept.items():
            name = path.relative_to(life.folder).as_posix() if life.folder in path.parents else ""
            assert not name.startswith(TRUTHS) or path.read_bytes() == kept[0] or damage.after, name


# --- what no damage to a store makes ---------------------------------------------------------------------------------


def test_where_no_store_is_doctor_has_an_answer_too(run: Run, tmp_path: Path) -> None:
    seen = look(run, "--store", str(tmp_path))
    assert (seen.code, seen.ids - {"program-differs"}) == (10, {"no-store"})
    assert look(run, "--fix", "--store", str(tmp_path)).code == 10
    (tmp_path / ".eventsync" / "entities").mkdir(parents=True)
    seen = look(run, "--store", str(tmp_path))
    assert (seen.code, seen.ids - {"program-differs"}) == (10, {"only-entity-files"})


def test_what_cannot_be_looked_at_is_a_finding_and_stops_nothing(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: object) -> object:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr("os.statvfs", refuse)
    (life.folder / "store.json").chmod(0o644)
    with contextlib.closing(Store.open(life.folder, machine=Machine(life.keys), data_folder=life.keys)) as store:
        found = {item.id: item for item in doctor.examined(store)}
    assert found["check-failed"].message == "its place could not be looked at: Permission denied"
    assert "permissions" in found


def test_an_index_that_others_work_on_is_not_looked_at(run: Run, life: Life) -> None:
    with QuickDisk().lock(life.folder / "federation" / "federation.lock", 1):
        seen = look(run)
    assert (seen.code, seen.ids) == (0, {"index-in-use"})


@pytest.mark.parametrize(("kind", "told"), [("nfs4", True), ("cifs", True), ("ext4", False), (None, False)])
def test_a_file_system_of_another_machine_is_told(kind: str | None, told: bool, tmp_path: Path) -> None:
    assert [found.id for found in health.file_system(tmp_path, kind)] == ["network-filesystem"] * told


def test_a_disk_that_is_nearly_full_is_told(tmp_path: Path) -> None:
    def ids(free_bytes: int, free_files: int | None) -> list[str]:
        return [found.id for found in health.room(tmp_path, free_bytes, free_files)]

    assert ids(10**9, None) == ids(10**9, 10**6) == []
    assert ids(10**6, None) == ids(10**9, 10) == ["disk-nearly-full"]


def test_what_belongs_to_another_user_is_told_and_not_touched(tmp_path: Path) -> None:
    assert [found.id for found in health.rights_of(tmp_path, 0o100600, 1, 1)] == []
    assert [found.id for found in health.rights_of(tmp_path, 0o100600, 2, 1)] == ["foreign-owner"]
    assert [found.id for found in health.rights_of(tmp_path, 0o040755, 1, 1)] == ["permissions"]
    assert TABLE["foreign-owner"].fix == "never"


def test_a_package_that_took_one_of_our_names_is_told_before_anything_is_imported(tmp_path: Path) -> None:
    (tmp_path / "federation").mkdir()
    (tmp_path / "federation" / "__init__.py").write_text("raise SystemExit('imported')")
    # The folder that a program is started in comes first on the path of Python.
    code = f"import sys; sys.path[1:1] = [{str(ROOT)!r}]; from eventsync.cli import main; sys.exit(main())"
    ended = subprocess.run(
        [sys.executable, "-c", code, "doctor", "--json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2, ended
    (found,) = json.loads(ended.stdout)["findings"]
    assert (found["id"], found["severity"]) == ("foreign-package", "error")


def program_that_says(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{text}'\n")
    path.chmod(0o755)


def test_another_eventsync_on_the_path_is_told(tmp_path: Path) -> None:
    for text, count in ((f"eventsync {__version__}", 0), ("eventsync 0.0.1", 1), ("something else", 1)):
        program_that_says(tmp_path, "eventsync", text)
        assert [found.id for found in programs.other_programs(str(tmp_path))] == ["program-differs"] * count


def test_tools_are_asked_for_only_where_a_remote_needs_them(
    run: Run, life: Life, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert look(run).ids == set()
    with (life.folder / "config.toml").open("a") as file:
        file.write('[remotes.box]\nurl = "ada@box:bus"\n')
    assert look(run).ids == {"tool-missing"}
    program_that_says(tmp_path, "ssh", "OpenSSH_9.2p1")
    for version, ailment, code in (("3.1.3", "tool-too-old", 2), ("3.2.7", "tool-old", 0)):
        program_that_says(tmp_path, "rsync", f"rsync  version {version}  protocol version 31")
        seen = look(run)
        assert (seen.code, seen.ids) == (code, {ailment})


# --- what is told, and to whom ---------------------------------------------------------------------------------------


def test_each_row_of_the_table_has_its_section_in_the_paper() -> None:
    paper = (ROOT / "docs" / "doctor.md").read_text()
    titles = re.findall(r"(?m)^### (.+)$", paper)
    assert titles == list(TABLE)
    for ailment, row in TABLE.items():
        section = paper.split(f"\n### {ailment}\n")[1].split("\n### ")[0]
        said = {word: section.split(f"- *{word}.* ")[1].split("\n- *")[0] for word in ("Means", "Intact", "Do")}
        assert all(text.strip() for text in said.values()), ailment
        assert row.fix == "never" or re.search("--fix|Nothing|As for", said["Do"]), ailment


def test_a_bug_report_tells_nothing_of_the_person(run: Run, life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(life.folder.parents[1]))
    corruption(life)
    (life.folder / "config.toml").write_text('[remotes.hub]\nurl = "git+https://ada:pass-word@hub.example/x.git"\n')
    a_file("federation/quarantine/ORIGIN/000000000000/head.json", b"number 9")(life)
    for words in (["doctor"], ["doctor", "--json"], ["doctor", "--fix"], ["doctor", "--json"]):
        said = run(*words)
        for private in ("number 1", "numbEr", "number 9", "pass-word", str(life.folder.parents[1])):
            assert private not in said.out + said.err, words


def test_the_text_names_what_it_is_where_and_what_explains_it(run: Run, life: Life) -> None:
    corruption(life)
    said = run("doctor")
    assert said.code == 12
    assert "docs/doctor.md#corruption" in said.out and "seg-00000001.jsonl" in said.out
    assert "eventsync doctor --fix" in said.out + said.err
    told = run("doctor", "--fix")
    assert (told.code, "docs/doctor.md" in told.out) == (0, True)
    assert "backups/doctor-" in told.out


# --- what --fix makes good again -------------------------------------------------------------------------------------


def flipped(data: bytes, start: int, end: int, chance: random.Random) -> bytes:
    found = bytearray(data)
    found[chance.randrange(start, end)] ^= 1 << chance.randrange(8)
    return bytes(found)


def published(life: Life) -> list[tuple[Path, int, int]]:
    """Where the lines of the log stand that our feed shows as they are, and the headers of segments."""
    shown = {
        line for path in life.feed.glob("seg-*") for line in (unpack(path.read_bytes(), 10**7) or b"").split(b"\n")
    }
    found = []
    for path in life.segments:
        data = path.read_bytes()
        for line in data.split(b"\n"):
            if line in shown - {b""} or line.startswith(b'{"v":2,"segment"'):
                found.append((path, data.index(line), data.index(line) + len(line)))
    return found


@pytest.mark.parametrize("seed", range(60 if DEEP else 12))
def test_a_bit_that_turned_over_in_a_published_log_is_turned_back(run: Run, life: Life, seed: int) -> None:
    chance = random.Random(seed)
    path, start, end = chance.choice(published(life))
    whole = path.read_bytes()
    path.write_bytes(flipped(whole, start, end, chance))
    seen = look(run)
    assert seen.errors
    mended = look(run, "--fix")
    if seen.errors == {"format-too-new"}:  # it may be one
        assert mended.code == 13
        return
    assert (mended.code, path.read_bytes()) == (0, whole), (seen.document, mended.document)


def test_a_line_comes_back_from_a_peer_when_our_own_feed_has_it_no_more(run: Run, life: Life) -> None:
    whole = life.segments[0].read_bytes()
    corruption(life)
    shutil.rmtree(life.feed)
    (life.folder / "config.toml").write_text("")  # the bus has it too
    told = run("doctor", "--fix")
    assert (told.code, "`--from PATH` names another place" in told.out) == (12, True)
    assert b"numbEr 1" in life.segments[0].read_bytes()
    assert look(run, "--fix", "--from", str(life.peer)).code == 0
    assert life.segments[0].read_bytes() == whole


def test_what_a_peer_made_up_does_not_come_into_the_log(run: Run, life: Life) -> None:
    """Its bytes are anybody's: what the chain does not prove stays lost, and is told."""
    corruption(life)
    shutil.rmtree(life.feed)
    (life.folder / "config.toml").write_text("")  # the bus has it too
    (mirror,) = (life.peer / "federation" / "mirror").iterdir()
    damaged = life.segments[0].read_bytes()
    for path in mirror.glob("seg-*"):
        path.write_bytes(pack((unpack(path.read_bytes(), 10**6) or b"").replace(b"number 1", b"number 7")))
    mended = look(run, "--fix", "--from", str(life.peer))
    assert mended.code == 12 and "corruption" in mended.errors
    assert life.segments[0].read_bytes() == damaged


def test_a_repair_that_is_cut_off_at_any_call_leaves_the_old_or_the_new(life: Life) -> None:
    whole = life.segments[0].read_bytes()
    corruption(life)
    damaged = life.segments[0].read_bytes()

    def repair(disk: Disk) -> None:
        with contextlib.closing(
            Store.open(life.folder, machine=Machine(life.keys), data_folder=life.keys, disk=disk)
        ) as store:
            mending.mend(store, [])

    counting = CountingDisk()
    repair(counting)
    assert life.segments[0].read_bytes() == whole
    for at in counting.numbers("none")[:: 1 if DEEP else 5]:
        life.restore()
        corruption(life)
        with contextlib.suppress(Died):
            repair(FaultyDisk(at, kills=True))
        assert life.segments[0].read_bytes() in (damaged, whole)
        repair(QuickDisk())
        assert life.segments[0].read_bytes() == whole
        with contextlib.closing(Store.open(life.folder, machine=Machine(life.keys), data_folder=life.keys)) as store:
            assert not [found for found in doctor.examined(store) if found.severity == "error"]
