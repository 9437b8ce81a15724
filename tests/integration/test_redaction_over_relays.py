"""Redaction that travels on: through relays, past places and stores that are behind, and the word of who followed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from eventsync.sharing import Sharing
from federation.audit import audit
from federation.model import HEAD_FILE, Result
from federation.relaying import Passed
from federation.taking_back import copies_here
from tests.doubles.memory import MemoryPlace, MemoryTransport
from tests.doubles.searching import files_with
from tests.integration.forger import Forger
from tests.integration.test_relaying import Chain, relayed, results
from tests.integration.test_taking_back import mirrored, take_back
from tests.integration.world import (
    World,
    accept,
    answers,
    by_origin,
    candidates,
    each_slice,
    folder_remote,
    place_remote,
    pull,
    put,
    rebuilt,
    share,
    tree,
)

SECRET = "hünter2-Zürich"


class Secrets(Chain):
    """The chain after Ada wrote the secret three times, and everybody read it; Ben and Cleo accepted p2."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        put(self.ada, "p1")
        put(self.ada, "p2", text=SECRET)
        put(self.ada, "p3", text=SECRET)
        with self.ada.store.mutate(agent="test") as mutation:
            mutation.put("plan", "p4", {"text": SECRET + "x" * 70_000}, summary=SECRET)
        put(self.ada, "p5")
        self.pass_on()
        pull(self.cleo)
        for store in (self.ben, self.cleo):
            accept(store, "plan/p2")

    def redact(self) -> None:
        take_back(self.ada, 2, 3, 4)

    def answer(self) -> None:
        """Cleo shares, Ben takes that back to the bus, and Ada reads it."""
        share(self.cleo)
        share(self.ben)
        pull(self.ben, [self.to_hub])
        relayed(self.ben, folder_remote(self.world.bus, self.ben, pushed_before=True))
        pull(self.ada)

    def text_of_others(self, store: Sharing) -> list[str]:
        """The files with the secret among all that a store keeps of others: mirrors, payloads, index."""
        store.holdings.close()
        return files_with(store.store.folder / "federation", SECRET)


@pytest.fixture
def chain(world: World) -> Secrets:
    return Secrets(world)


def test_what_was_redacted_is_gone_at_every_stop_of_the_way(chain: Secrets) -> None:
    """[F9] [F10]"""
    ada, ben, cleo = chain.ada, chain.ben, chain.cleo
    assert chain.text_of_others(ben)
    assert files_with(chain.on_hub, SECRET)
    chain.redact()
    assert results(chain.pass_on()) == {chain.origin: Passed.RELAYED}
    assert by_origin(pull(cleo))[chain.origin].result is Result.UPDATED
    assert files_with(ada.store.folder, SECRET) == []
    assert files_with(chain.world.bus, SECRET) == []
    assert files_with(chain.hub, SECRET) == []
    for store in (ben, cleo):
        assert chain.text_of_others(store) == []
        found = {item.item_id: (str(item.verdict), item.label) for item in candidates(store)}
        assert found["p3"] == ("unreadable", "redacted")
        assert found["p5"] == ("new", None)
        assert [*audit(store.holdings)] == []
        before = answers(store)
        assert answers(rebuilt(store)) == before
    assert mirrored(cleo, chain.origin) == mirrored(ben, chain.origin)
    assert tree(chain.on_hub) == tree(chain.on_bus)


def test_copies_that_were_accepted_are_flagged_wherever_they_are(chain: Secrets) -> None:
    """[F9] Only who took it over can take it back; those copies are records of their own."""
    chain.redact()
    chain.pass_on()
    pull(chain.cleo)
    for store in (chain.ben, chain.cleo):
        (copy,) = copies_here(store.holdings)
        assert (copy.item_id, copy.of.origin) == ("p2", chain.origin)
        (warning,) = store.status().warnings
        assert warning.startswith("1 of our records took over what its author has redacted since")
        take_back(store, copy.seq)
        assert store.status().warnings == []
        store.holdings.close()
        assert files_with(store.store.folder, SECRET) == []


def test_the_author_sees_through_the_relay_who_followed(chain: Secrets) -> None:
    """[F9] `saw` travels with each feed."""

    def told() -> dict[str, bool | None]:
        chain.answer()
        return {found.name: found.they_took_back for found in chain.ada.status().origins}

    assert told() == {"ben": None, "cleo": None}
    chain.redact()
    chain.pass_on()
    assert told() == {"ben": True, "cleo": False}
    pull(chain.cleo)
    assert told() == {"ben": True, "cleo": True}


def test_a_place_that_still_serves_the_old_form_brings_nothing_back(chain: Secrets) -> None:
    """[F5] [F9] Older than what we hold: stale, and nobody goes back for it."""
    old = chain.world.folder / "old"
    shutil.copytree(chain.hub, old)
    chain.redact()
    chain.pass_on()
    pull(chain.cleo)
    before = tree(chain.cleo.store.folder / "federation" / "mirror")
    found = by_origin(pull(chain.cleo, [folder_remote(old, chain.cleo)]))[chain.origin]
    assert found.result is Result.STALE
    assert tree(chain.cleo.store.folder / "federation" / "mirror") == before
    assert chain.text_of_others(chain.cleo) == []
    raised = results(relayed(chain.cleo, folder_remote(old, chain.cleo, pushed_before=True)))
    assert raised[chain.origin] is Passed.RELAYED  # and so the place is mended by whoever knows more
    assert files_with(old, SECRET) == []


def test_a_relay_that_is_behind_never_takes_a_redaction_back(chain: Secrets) -> None:
    """[F9] [F10]"""
    behind = chain.world.store("behind")
    pull(behind)
    chain.redact()
    chain.pass_on()
    before = tree(chain.hub)
    assert results(relayed(behind, folder_remote(chain.hub, behind, pushed_before=True))) == {
        chain.origin: Passed.NEWER_THERE
    }
    assert tree(chain.hub) == before
    elsewhere = folder_remote(chain.world.folder / "elsewhere", behind)
    assert results(relayed(behind, elsewhere)) == {chain.origin: Passed.RELAYED}  # it cannot know yet
    assert files_with(chain.world.folder / "elsewhere", SECRET)
    pull(behind)
    assert results(relayed(behind, elsewhere)) == {chain.origin: Passed.RELAYED}
    assert files_with(chain.world.folder / "elsewhere", SECRET) == []


def test_who_comes_late_and_hears_it_through_a_relay_only_never_sees_it(chain: Secrets) -> None:
    """[F9]"""
    chain.redact()
    chain.pass_on()
    late = chain.world.store("late", bus=chain.hub)
    pull(late)
    assert mirrored(late, chain.origin) == mirrored(chain.ben, chain.origin)
    assert chain.text_of_others(late) == []


@pytest.mark.parametrize("after", range(5))
def test_a_relay_of_a_redaction_that_breaks_down_is_made_good(chain: Secrets, after: int) -> None:
    """[F4] [F9]"""
    place = MemoryPlace()
    whole = place_remote(lambda: MemoryTransport(place, is_local=True), pushed_before=True)
    relayed(chain.ben, whole)
    chain.redact()
    share(chain.ada)
    pull(chain.ben)
    broken = place_remote(lambda: MemoryTransport(place, is_local=True, fails_after=after), pushed_before=True)
    relayed(chain.ben, broken)
    late = chain.world.store("late")
    assert by_origin(pull(late, [whole]))[chain.origin].result in (Result.NEW, Result.INCOMPLETE)
    relayed(chain.ben, whole)
    pull(late, [whole])
    assert chain.text_of_others(late) == []
    (chain.world.folder / "seen").mkdir()
    for number, data in enumerate(place.files.values()):
        assert isinstance(data, bytes)
        (chain.world.folder / "seen" / str(number)).write_bytes(data)
    assert files_with(chain.world.folder / "seen", SECRET) == []


def test_nothing_that_a_git_ref_leads_to_holds_it_after_a_relay(chain: Secrets) -> None:
    """[F9] decision 0025: the relay begins the ref anew. What the place keeps without a name is its own to remove."""
    path = chain.world.folder / "hub.git"
    subprocess.run(["git", "init", "-q", "--bare", str(path)], check=True)

    def texts() -> bool:
        argv = ["git", "-C", str(path), "rev-list", "--objects", f"refs/eventsync/{chain.origin}"]
        lines = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.splitlines()
        found = chain.world.folder / "objects"
        shutil.rmtree(found, ignore_errors=True)
        found.mkdir()
        for line in lines:
            name = line.split(" ")[0]
            kind = subprocess.run(["git", "-C", str(path), "cat-file", "-t", name], check=True, capture_output=True)
            argv = ["git", "-C", str(path), "cat-file", kind.stdout.decode().strip(), name]
            (found / name).write_bytes(subprocess.run(argv, check=True, capture_output=True).stdout)
        return bool(files_with(found, SECRET))

    def pass_on() -> Passed:
        (remote,) = chain.ben.remotes(str(path))
        return results(relayed(chain.ben, remote))[chain.origin]

    assert pass_on() is Passed.RELAYED
    assert texts()
    chain.redact()
    share(chain.ada)
    pull(chain.ben)
    assert pass_on() is Passed.RELAYED
    assert not texts()
    (place,) = chain.cleo.remotes(str(path))
    assert by_origin(pull(chain.cleo, [place]))[chain.origin].result is Result.UPDATED
    assert chain.text_of_others(chain.cleo) == []


def test_a_line_of_a_later_version_keeps_its_feed_here_once_it_is_redacted(world: World) -> None:
    """[J12] [F9] Its stub cannot be built by us, so neither can the slice that the head lists."""
    ben, forger, hub = world.store("ben"), Forger(), world.folder / "hub"
    forger.record("later", v=3)
    forger.feed().put_into(world.bus)
    pull(ben)
    line = forger.lines[0]
    short = b'{"v":3,"seq":1,"redacted":true,"action":"create","item_type":"plan","item_id":"later","c":"%s"}'
    forger.lines[0] = line._replace(data=short % line.after.c.hex().encode())
    forger.redacted = [1]
    forger.redact(listed={1: forger.lines[0].data})
    forger.feed(gen=2, cuts=[1]).put_into(world.bus)
    pull(ben)
    run = relayed(ben, folder_remote(hub, ben))
    assert results(run) == {forger.origin: Passed.INCOMPLETE}
    assert not (hub / forger.origin / HEAD_FILE).exists()


def test_what_ben_sends_is_what_ada_signed_although_he_made_the_stubs_himself(chain: Secrets) -> None:
    """[F3] [F9] A mirror with a cut of its own, stubs of its own making: the bytes are hers."""
    for number in range(20):
        put(chain.ada, f"q{number}")
        share(chain.ada)
        pull(chain.ben)
        if number == 9:
            take_back(chain.ada, 2)
    chain.redact()
    assert results(chain.pass_on()) == {chain.origin: Passed.RELAYED}
    listed = {path.name: path.read_bytes() for path in each_slice(chain.on_bus)}
    head = (chain.on_bus / HEAD_FILE).read_text()
    for path in each_slice(chain.on_hub):
        assert path.name.removesuffix(".zst") in head
        assert path.read_bytes() == listed[path.name]
    assert [path for path in Path(chain.hub).rglob("*") if path.is_file() and SECRET in path.name] == []
