"""Taking over a store of brainclaw: all of its memory, once, in one batch; the source never notices."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from eventsync.app import Surroundings
from eventsync.migration import document, migrate, preview
from eventsync.sharing import Sharing
from federation.errors import NoProject, SourceUnavailable
from federation.migration import Migrated
from federation.model import Verdict
from journal import DiskFailed, StoreCopied
from tests.doubles.disks import CountingDisk, Died, FaultyDisk
from tests.integration.test_bridge import ORIGIN, PROJECT, Source, line
from tests.integration.world import World, accept_all, candidates, pull, put, rebuilt, remove, share, verdicts

DOCUMENTS: Mapping[str, Mapping[str, Any]] = {
    "coordination/plans/pln_1.json": {"id": "pln_1", "text": "Ship it", "schema_version": 2},
    "memory/decisions/dec_1.json": {"id": "dec_1", "text": "Yes", "n": 1e21},
    "memory/constraints/cst_1.json": {"id": "cst_1", "text": "ü 🙂"},
    "memory/traps/trp_1.json": {"id": "trp_1", "text": "Careful", "visibility": "private"},
    "memory/traps/trp_2.json": {"id": "trp_2", "text": "Careful too", "visibility": "shared"},
    "coordination/handoffs/hnd_1.json": {"id": "hnd_1", "text": "Over to you", "from": "a"},
    "memory/instructions/ins_1.json": {"id": "ins_1", "text": "Be kind"},
    "memory/traps-private/laptop/trp_9.json": {"id": "trp_9"},
    "coordination/claims/clm_1.json": {"id": "clm_1"},
    "coordination/runtime/claude/rtn_1.json": {"id": "rtn_1"},
    "coordination/inbox/cnd_1.json": {"id": "cnd_1"},
}
TAKEN = {"plan": 1, "decision": 1, "constraint": 1, "trap": 2, "handoff": 1, "instruction": 1}


@pytest.fixture
def source(world: World) -> Source:
    return Source(world.folder)


@pytest.fixture
def documents(source: Source) -> Source:
    """A source without a journal."""
    source.events.rmdir()
    for name, value in DOCUMENTS.items():
        write(source, name, json.dumps(value, indent=2, ensure_ascii=False).encode() + b"\n")
    (source.folder / "events.jsonl").write_text('{"action":"update","item_type":"state"}\n')
    return source


@pytest.fixture
def ada(world: World) -> Sharing:
    return world.store("ada")


def write(source: Source, name: str, data: bytes) -> Path:
    path = source.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def run(store: Sharing, source: Source) -> Migrated:
    return migrate(store.store, Surroundings(agent="mover"), source.folder)


def look(folder: Path) -> dict[str, tuple[int, int, bytes | None]]:
    """All that is in a folder and below it, with times."""
    return {
        str(path.relative_to(folder)): (
            path.stat().st_ino,
            path.stat().st_mtime_ns,
            path.read_bytes() if path.is_file() else None,
        )
        for path in [folder, *sorted(folder.rglob("*"))]
    }


def entities(store: Sharing) -> dict[str, Any]:
    return {f"{head[0]}/{head[1]}": store.store.get(*head[:2]).payload for head in store.store.list()}


def reasons(done: Migrated) -> dict[str, str]:
    return {f"{entry.item_type}/{entry.item_id}": entry.reason for entry in done.parked}


# --- without a journal -----------------------------------------------------------------------------------------------


def test_documents_become_entities_in_one_batch(ada: Sharing, documents: Source) -> None:
    """[J2] [J6]: one note, one backfill each."""
    done = run(ada, documents)
    records = list(ada.store.log())
    assert [record.action for record in records] == ["genesis", *["backfill"] * 7]
    assert {record.batch for record in records} == {(number, 8) for number in range(1, 9)}
    assert {record.agent for record in records} == {"mover"}
    assert (done.found.format, done.taken, done.parked, done.here) == ("v1", TAKEN, [], 0)
    taken = [name for name in DOCUMENTS if "traps-private" not in name and not name.startswith("coordination/r")]
    memory = [DOCUMENTS[name] for name in taken if not name.startswith(("coordination/c", "coordination/i"))]
    assert {value["id"]: value for value in entities(ada).values()} == {value["id"]: value for value in memory}
    assert {entry.item_type: entry.entities for entry in done.found.left} == {
        "claim": 1,
        "runtime_note": 1,
        "candidate": 1,
        "trap": 1,
    }
    assert ada.store.verify().findings == []


def test_what_is_private_there_is_private_here(ada: Sharing, documents: Source) -> None:
    """[F1]"""
    run(ada, documents)
    private = {head.item_id for head in ada.store.list() if head.private}
    assert private == {"trp_1"}


def test_documents_are_authored_here(ada: Sharing, documents: Source) -> None:
    """[K1]: there is no record they could be a copy of."""
    run(ada, documents)
    head = ada.store.head("plan", "pln_1")
    assert head is not None
    assert head.version.origin == ada.store.origin
    assert [head.summary for head in ada.store.list("plan")] == ["Ship it"]


def test_the_older_layout_is_found(ada: Sharing, documents: Source) -> None:
    """Where the folder of today holds nothing at all."""
    (documents.folder / "coordination/plans").rename(documents.folder / "plans")
    write(documents, "decisions/old.json", b'{"id":"old"}')  # hidden by memory/decisions
    (documents.folder / "memory/constraints/cst_1.json").unlink()
    write(documents, "constraints/cst_7.json", b'{"id":"cst_7"}')
    assert run(ada, documents).taken == TAKEN
    assert {"plan/pln_1", "constraint/cst_7", "decision/dec_1"} <= entities(ada).keys()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "payload: "),
        (b"[]", "payload is not a JSON object"),
        (b'{"id":', "payload: "),
        (b"\xff", "payload is not UTF-8"),
        (b'\xef\xbb\xbf{"id":"x"}', "payload: "),
        (b'{"text":"no id"}', "it has no id"),
        (b'{"id":7}', "it has no id"),
        (b'{"id":"a","a":1,"a":2}', "payload: key 'a' stands twice"),
        (b'{"id":"a","n":NaN}', "payload: "),
        (b'{"id":"a","n":1e999}', "payload: "),
        (b'{"id":"a","t":"\\ud800"}', "payload has a lone surrogate"),
        (b'{"id":"a","x":' + b"[" * 70 + b"]" * 70 + b"}", "payload is deeper than 64 levels"),
        (b'{"id":"../../x"}', "item id '../../x' is not"),
        (b'{"id":"con"}', "item id 'con' is a device name"),
        (b'{"id":"\\u001b[2J"}', "item id "),
        (b'{"id":"PLN_1"}', "item id 'PLN_1' differs from 'pln_1' only in case"),
        (b'{"id":"pln_1"}', "another document has the id 'pln_1' too"),
    ],
)
def test_what_cannot_be_taken_is_parked_with_its_reason(
    ada: Sharing, documents: Source, data: bytes, reason: str
) -> None:
    """[J10]: and all the rest is taken."""
    write(documents, "coordination/plans/zzz.json", data)
    done = run(ada, documents)
    assert done.taken == TAKEN
    (parked,) = done.parked
    assert parked.reason.startswith(reason)
    (note,) = [record for record in ada.store.log() if record.action == "genesis"]
    kept = json.loads(note.payload_bytes or b"")
    assert (kept["parked"], kept["parked_count"]) == ([parked._asdict()], 1)
    document(done, dry_run=False)


def test_what_is_no_file_is_parked_or_passed_over(ada: Sharing, documents: Source) -> None:
    plans = documents.folder / "coordination/plans"
    (plans / "link.json").symlink_to("/etc/hostname")
    os.mkfifo(plans / "pipe.json")
    (plans / "folder.json").mkdir()
    (plans / ".pln_1.json.77.1.tmp").write_text("half")
    (plans / ".x.json").write_text("{}")
    (plans / "notes.txt").write_text("x")
    assert reasons(run(ada, documents)) == dict.fromkeys(
        ["plan/link", "plan/pipe", "plan/folder"], "its file cannot be read, or is too large"
    )


def test_no_link_leads_out_of_the_source(ada: Sharing, documents: Source, tmp_path: Path) -> None:
    (tmp_path / "pln_9.json").write_text('{"id":"pln_9"}')
    (documents.folder / "coordination/plans/pln_1.json").unlink()
    (documents.folder / "coordination/plans").rmdir()
    (documents.folder / "coordination/plans").symlink_to(tmp_path)
    with pytest.raises(SourceUnavailable):
        run(ada, documents)
    assert entities(ada) == {}


# --- with a journal --------------------------------------------------------------------------------------------------


@pytest.fixture
def journal(source: Source) -> Source:
    """A source whose journal has two segments, a deletion, a torn end and a seq that was used twice."""
    first = [line(1, "pln_1", "create"), line(2, "pln_2", "create"), line(3, "pln_1"), line(4, "pln_2", "delete")]
    source.write(source.batch(*first))
    second = [
        line(5, "dec_1", "create", item_type="decision"),
        line(5, "dec_2", "create", item_type="decision"),
        line(6, "clm_1", "claim", item_type="claim"),
        line(7, "trp_1", "backfill", item_type="trap", payload={"id": "trp_1", "text": "t", "visibility": "host"}),
    ]
    source.write(source.batch(*second) + b'\n{"v":2,"seq":8,"ts":"20', segment=5)
    return source


def test_what_lives_in_a_journal_is_copied(ada: Sharing, journal: Source) -> None:
    """[K1] [K2]: a backfill names the record it is a copy of, so that a pull of the same store knows it."""
    done = run(ada, journal)
    assert (done.found.format, done.taken) == ("v2", {"plan": 1, "decision": 2, "trap": 1})
    records = {record.item_id: record for record in ada.store.log() if record.action == "backfill"}
    causes = {"pln_1": 3, "dec_1": 5, "dec_2": 6, "trp_1": 8}  # a seq that was used twice is raised, as in a pull
    assert {item_id: record.cause for item_id, record in records.items()} == {
        item_id: f"{ORIGIN}@{seq}" for item_id, seq in causes.items()
    }
    assert all(record.context == {ORIGIN: causes[str(item_id)]} for item_id, record in records.items())
    assert entities(ada)["plan/pln_1"] == {"id": "pln_1", "text": "pln_1 at 3 ✓ 🙂"}
    assert [(entry.item_type, entry.entities) for entry in done.found.left] == [("claim", 1)]
    assert ada.store.verify().findings == []
    pull(ada, remotes(ada, journal))
    assert set(verdicts(ada).values()) <= {Verdict.KNOWN}
    assert len(verdicts(ada)) >= 4
    assert rebuilt(ada).store.verify().findings == []
    assert set(verdicts(ada).values()) <= {Verdict.KNOWN}


def remotes(store: Sharing, source: Source) -> Any:
    if not any(remote.name == "old" for remote in store.remotes(None)):
        store.add_remote("old", str(source.folder))
    return store.remotes("old")


def test_what_happens_there_later_is_an_update(ada: Sharing, journal: Source) -> None:
    """[K3]: and no conflict: nothing was changed here since."""
    run(ada, journal)
    journal.write(
        journal.batch(line(9, "pln_1"), line(10, "dec_1", "delete", item_type="decision"), line(11, "pln_3")),
        segment=9,
    )
    again = run(ada, journal)
    assert (again.before, again.has_changed, again.written) == (1, True, [])
    pull(ada, remotes(ada, journal))
    found = {item.item_id: item.verdict for item in candidates(ada)}
    assert (found["pln_1"], found["dec_1"], found["pln_3"]) == (Verdict.UPDATE, Verdict.GONE, Verdict.NEW)


def test_two_stores_that_took_over_the_same_have_the_same(world: World, journal: Source) -> None:
    """[K1]: they are copies of one version."""
    ada, ben = world.store("ada"), world.store("ben")
    run(ada, journal)
    run(ben, journal)
    share(ada)
    share(ben)
    pull(ada)
    pull(ben)
    assert {*verdicts(ada).values(), *verdicts(ben).values()} <= {Verdict.KNOWN}


def test_documents_that_the_journal_never_spoke_of_are_taken_too(ada: Sharing, journal: Source) -> None:
    """That program lists them at once, and writes them down with its next change."""
    write(journal, "coordination/plans/pln_1.json", b'{"id":"pln_1","text":"another"}')
    write(journal, "coordination/plans/pln_2.json", b'{"id":"pln_2","text":"deleted in the journal"}')
    write(journal, "coordination/plans/byhand.json", b'{"id":"pln_7","text":"by hand"}')
    write(journal, "coordination/plans/x.json", b'{"id":"pln_2","text":"another name"}')
    write(journal, "memory/instructions/ins_1.json", b'{"id":"ins_1"}')
    done = run(ada, journal)
    assert done.taken == {"plan": 2, "decision": 2, "trap": 1, "instruction": 1}
    assert entities(ada)["plan/pln_7"] == {"id": "pln_7", "text": "by hand"}
    assert entities(ada)["plan/pln_1"]["text"] == "pln_1 at 3 ✓ 🙂"


def test_a_record_that_breaks_our_limits_is_parked(ada: Sharing, source: Source) -> None:
    """[J10]"""
    lines = [
        line(1, "a").replace(b"at 1", b"\\ud800"),
        line(2, "b", payload={"n": "?"}).replace(b'"?"', b"1e999"),
        line(3, "x/y"),
        line(4, "good"),
    ]
    source.write(source.batch(*lines))
    done = run(ada, source)
    assert done.taken == {"plan": 1}
    assert reasons(done)["plan/a"] == "payload has a lone surrogate at text"
    assert reasons(done)["plan/b"].startswith("payload: number")
    assert "is not [A-Za-z0-9]" in reasons(done)["plan/x/y"]


# --- what is here already --------------------------------------------------------------------------------------------


def test_nothing_that_is_here_is_overwritten(ada: Sharing, documents: Source) -> None:
    with ada.store.mutate() as mutation:
        mutation.put("plan", "pln_1", {"id": "pln_1", "text": "ours"})
        mutation.put("decision", "dec_1", {"n": 1e21, "text": "Yes", "id": "dec_1"})
    put(ada, "cst_1", item_type="constraint")
    remove(ada, "cst_1", item_type="constraint")
    put(ada, "HND_1", item_type="handoff")
    done = run(ada, documents)
    assert done.here == 1
    assert reasons(done) == {
        "plan/pln_1": "another version of it is here",
        "constraint/cst_1": "it was deleted here",
        "handoff/hnd_1": "item id 'hnd_1' differs from 'HND_1' only in case",
    }
    assert done.taken == {"trap": 2, "instruction": 1}
    assert entities(ada)["plan/pln_1"]["text"] == "ours"


def test_what_was_accepted_from_there_before_is_here(ada: Sharing, journal: Source) -> None:
    pull(ada, remotes(ada, journal))
    assert len(accept_all(ada).written) == 4
    done = run(ada, journal)
    assert (done.taken, done.here, done.parked, done.written) == ({}, 4, [], [])


# --- once ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["documents", "journal"])
def test_a_second_run_writes_nothing(ada: Sharing, kind: str, request: pytest.FixtureRequest) -> None:
    """Also in a store that was rebuilt, with entities changed or deleted meanwhile."""
    source: Source = request.getfixturevalue(kind)
    run(ada, source)
    remove(ada, "pln_1")
    put(ada, "trp_1", item_type="trap")
    last_seq = ada.store.position().seq
    for store in (ada, rebuilt(ada)):
        done = run(store, source)
        assert (done.before, done.has_changed, done.taken, done.parked, done.written) == (1, False, {}, (), [])
        assert store.store.position().seq == last_seq


def test_two_sources_are_two_migrations(ada: Sharing, documents: Source) -> None:
    run(ada, documents)
    (documents.folder / "config.yaml").write_text(f"project_id: prj_{'f' * 32}\n")
    write(documents, "coordination/plans/pln_2.json", b'{"id":"pln_2"}')
    done = run(ada, documents)
    assert (done.before, done.taken, done.here) == (None, {"plan": 1}, 7)


def test_a_source_with_nothing_to_take_leaves_no_note(ada: Sharing, source: Source) -> None:
    """So that it can be taken over when there is something."""
    done = run(ada, source)
    assert (done.taken, done.written, list(ada.store.log())) == ({}, [], [])
    source.write(source.batch(line(1, "pln_1", "create")))
    assert run(ada, source).taken == {"plan": 1}


def test_a_preview_tells_the_same_and_writes_nothing(ada: Sharing, documents: Source) -> None:
    write(documents, "coordination/plans/zzz.json", b"[]")
    told = preview(ada.store, documents.folder)
    assert list(ada.store.log()) == []
    done = run(ada, documents)
    assert told._replace(written=done.written) == done
    assert preview(ada.store, documents.folder).before == 1


# --- the source ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["documents", "journal"])
def test_the_source_is_untouched(ada: Sharing, kind: str, request: pytest.FixtureRequest) -> None:
    """No byte, no time, no new file, no lock."""
    source: Source = request.getfixturevalue(kind)
    lock = source.folder.parent / ".brainclaw.store-mutation.lock"
    lock.write_text('{"pid":1,"timestamp":1,"token":"x"}')  # that program is writing: nobody here waits for it
    before = look(source.folder.parent)
    run(ada, source)
    preview(ada.store, source.folder.parent)
    assert look(source.folder.parent) == before


def test_a_folder_and_the_one_it_is_in_are_the_same(world: World, documents: Source) -> None:
    """Also where our own store stands beside it."""
    for number, path in enumerate((documents.folder, documents.folder.parent)):
        store = world.store(f"s{number}")
        assert migrate(store.store, Surroundings(), path).taken == TAKEN
    beside = world.store("beside")
    documents.folder.rename(beside.store.folder.parent / ".brainclaw")
    assert migrate(beside.store, Surroundings(), beside.store.folder.parent).taken == TAKEN


def test_who_it_is_may_stand_in_either_file(ada: Sharing, documents: Source) -> None:
    (documents.folder / "config.yaml").write_text("store: {}\n")
    with pytest.raises(NoProject, match="says which project"):
        run(ada, documents)
    for text in ("not json", "[]", '{"project_id":7}', '{"project_id":"prj_x\\nproject_id: y"}'):
        (documents.folder / "project.identity.json").write_text(text)
        with pytest.raises(NoProject):
            run(ada, documents)
    (documents.folder / "project.identity.json").write_text(json.dumps({"project_id": PROJECT}))
    assert run(ada, documents).found.origin == ORIGIN


def test_where_there_is_none_it_is_said(ada: Sharing, tmp_path: Path) -> None:
    with pytest.raises(NoProject, match=r"no \.brainclaw store here"):
        migrate(ada.store, Surroundings(), tmp_path)


# --- the store -------------------------------------------------------------------------------------------------------


def test_a_copied_store_takes_nothing_over(world: World, ada: Sharing, documents: Source) -> None:
    """[I2]"""
    import shutil

    from journal import Store
    from tests.doubles.machines import FixedMachine

    shutil.copytree(ada.store.folder, world.folder / "copy" / ".eventsync")
    copy = Store.open(world.folder / "copy", machine=FixedMachine(world.keys), data_folder=world.keys)
    with pytest.raises(StoreCopied):
        migrate(copy, Surroundings(), documents.folder)
    copy.close()


def test_thousands_are_one_write_and_one_sync(world: World, source: Source) -> None:
    """[J5]"""
    source.write(source.batch(*(line(seq, f"pln_{seq:05}", "create") for seq in range(1, 3_001))))
    disk = CountingDisk()
    ada = world.store("ada", disk=disk)
    put(ada, "warm")
    disk.reset()
    assert run(ada, source).taken == {"plan": 3_000}
    assert disk.order.index("fsync") == 1  # the write, and then this
    assert disk.calls["fsync"] == 1
    assert ada.store.position().seq == 3_002


@pytest.mark.crash
@pytest.mark.parametrize("kills", [False, True], ids=["refused", "killed"])
def test_whatever_the_disk_does_all_or_nothing_is_taken(world: World, documents: Source, kills: bool) -> None:
    """[J5] [J6]: and a later run does what is missing, once."""
    for at in range(1, 12):
        ada = world.store(f"ada{at}")
        faulty = world.reopened(ada, disk=FaultyDisk(at, "half", kills=kills))
        try:
            run(faulty, documents)
        except (Died, DiskFailed):
            pass
        after = world.reopened(ada)
        assert len(entities(after)) in (0, 7)
        run(after, documents)
        assert len(entities(after)) == 7
        assert sum(record.action == "genesis" for record in after.store.log()) == 1
