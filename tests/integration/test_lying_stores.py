"""Three stores among two that lie about everything: what each keeps is at every moment what a rebuild says [T1].

Verdicts are kept until something they depend on changes; what that is, lies find out. A failure tells its story; the
same seed plays it again. What a lie may come to is the model's business (tests/property).
"""

from __future__ import annotations

import contextlib
import json
import random
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eventsync.sharing import Sharing
from federation.model import Candidate, Resolution, Verdict
from journal import Draft, InvalidInput, Version
from tests.integration.forger import Forger
from tests.integration.world import (
    World,
    accept_all,
    answers,
    candidates,
    folder_remote,
    pull,
    put,
    rebuilt,
    remove,
    share,
)

TRACES = 40
DEEP_TRACES = 2_000
ITEMS = ("x", "y")
# How often each verb comes, of all of them.
VERBS = {
    "write": 3, "remove": 2, "share": 3, "pull": 2, "pull_one": 5, "accept": 4, "accept_all": 1, "reject": 2,
    "reopen": 1, "lie": 6, "redact": 1,
}  # fmt: skip


class Liar:
    """Signs what nobody should believe."""

    def __init__(self, seed: int, bus: Path) -> None:
        self.forger = Forger(seed)
        self._bus = bus
        self._gen = 0

    def publish(self) -> None:
        self._gen += 1
        self.forger.feed(gen=self._gen).put_into(self._bus)

    def redact(self, item_id: str) -> None:
        """A record that was redacted before anybody read it."""
        self.forger.redact(self.forger.record(item_id))

    def versions(self, item_id: str) -> Iterator[str]:
        """What its records about an entity are, or say they are."""
        for line in self.forger.lines:
            record = json.loads(line.data)
            if record.get("item_id") == item_id:
                yield record.get("root") or f"{self.forger.origin}@{record['seq']}#{line.after.c.hex()[:12]}"


class Play:
    """The stores, the liars, and what happened so far."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.world = World(folder)
        self.stores = [self.world.store(name) for name in "abc"]
        self.liars = [Liar(number, self.world.bus) for number in (7, 8)]
        self.story: list[str] = []
        self.seen: Counter[str] = Counter()
        self._rng = random.Random(seed)

    def play(self) -> None:
        """Do as the seed says, and compare after each step."""
        for verb in self._rng.choices(list(VERBS), list(VERBS.values()), k=self._rng.randint(20, 40)):
            store = self._rng.choice(self.stores)
            told = getattr(self, f"_{verb}")(store)
            if told is None:
                continue
            self.story.append(f"{store.store.name} {verb}: {told}")
            before = answers(store)
            self.seen.update(str(item["verdict"]) for item in before["candidates"])
            assert answers(rebuilt(store)) == before, "\n".join(self.story)

    # --- what stores do: each tells what it did, None when there was nothing to do ---

    def _write(self, store: Sharing) -> str:
        item_id = self._rng.choice(ITEMS)
        put(store, item_id, n=self._rng.randrange(3))
        if self._rng.random() < 0.5:
            share(store)
        return item_id

    def _remove(self, store: Sharing) -> str | None:
        live = [head.item_id for head in store.store.list()]
        if not live:
            return None
        remove(store, self._rng.choice(live))
        return ", ".join(live)

    def _share(self, store: Sharing) -> str:
        return str(share(store).last_seq)

    def _pull(self, store: Sharing) -> str:
        pull(store)
        return "all"

    def _pull_one(self, store: Sharing) -> str | None:
        feeds = sorted(path for path in self.world.bus.iterdir() if path.name != store.store.origin)
        if not feeds:
            return None
        folder = self._rng.choice(feeds)
        pull(store, [folder_remote(folder, store)])
        return folder.name[:8]

    def _accept(self, store: Sharing) -> str | None:
        found = self._undecided(store, but=Verdict.UNREADABLE)
        if found is None:
            return None
        with contextlib.suppress(InvalidInput):  # ../z
            store.deciding("test").accept([found.id], Resolution.THEIRS)
        return _told(found)

    def _accept_all(self, store: Sharing) -> str:
        return str(len(accept_all(store, theirs=self._rng.random() < 0.5).written))

    def _reject(self, store: Sharing) -> str | None:
        found = self._undecided(store)
        if found is None:
            return None
        store.deciding("test").reject([found.id])
        return _told(found)

    def _undecided(self, store: Sharing, but: Verdict = Verdict.KNOWN) -> Candidate | None:
        found = [item for item in candidates(store) if item.verdict not in (Verdict.KNOWN, but)]
        return self._rng.choice(found) if found else None

    def _reopen(self, store: Sharing) -> str | None:
        rejects = [record for record in store.store.log() if record.action == "reject"]
        if not rejects:
            return None
        record = self._rng.choice(rejects)
        with store.store.mutate(agent="test") as mutation:
            mutation.add(Draft("reopen", record.item_type, record.item_id, cause=record.cause, root=record.root))
        return str(record.root)

    # --- what liars do ---

    def _lie(self, _: Sharing) -> str:
        rng, liar = self._rng, self._rng.choice(self.liars)
        forger, item_id = liar.forger, rng.choice((*ITEMS, *ITEMS, "../z"))
        roots = list(self._versions(rng.choice(ITEMS))) if rng.random() < 0.35 else []
        root = rng.choice(roots) if roots else None
        context = dict(self._entries(item_id, rng.choice((0.3, 0.6, 1.0))))
        claims = {origin: seq for origin, seq in context.items() if rng.random() < 0.2}
        if root is not None:
            root = root[:-3] + "000" if rng.random() < 0.1 else root
            version = Version.parse(root)
            context[version.origin] = version.seq
        elif rng.random() < 0.9:
            context[forger.origin] = forger.state.seq + 1
        said: dict[str, Any] = {"context": context or None, "claims": claims or None, "root": root}
        said |= {"action": "delete"} if rng.random() < 0.25 else {"action": "accept"}
        said |= {"payload": {"title": item_id, "n": rng.randrange(3)}} if said["action"] == "accept" else {}
        forger.record(item_id, v=3 if rng.random() < 0.07 else 2, **said)
        liar.publish()
        return f"{forger.origin[:8]} says {item_id} {said}"

    def _redact(self, _: Sharing) -> str:
        liar = self._rng.choice(self.liars)
        liar.redact(self._rng.choice(ITEMS))
        liar.publish()
        return liar.forger.origin[:8]

    def _entries(self, item_id: str, share: float) -> Iterator[tuple[str, int]]:
        """What a vector can name: what is here of the entity, shown or not, what is older, what nobody wrote yet."""
        newest = {liar.forger.origin: liar.forger.state.seq for liar in self.liars}
        for store in self.stores:
            head = store.store.head("plan", item_id) if item_id in ITEMS else None
            newest |= {store.store.origin: store.store.position().seq} if head is None else head.context
        for origin, seq in newest.items():
            if self._rng.random() < share:
                yield origin, max(1, seq - self._rng.choice((0, 0, 0, 0, 1, -1)))

    def _versions(self, item_id: str) -> Iterator[str]:
        for store in self.stores:
            for record in store.store.log():
                if record.item_id == item_id and record.entity_rev is not None:
                    yield record.root or f"{store.store.origin}@{record.seq}#{record.c[:12]}"
        for liar in self.liars:
            yield from liar.versions(item_id)


def _told(found: Candidate) -> str:
    return f"{found.origin[:8]}@{found.seq} {found.item_id} ({found.verdict})"


def play_all(seeds: range) -> Counter[str]:
    """Play the traces of many seeds, and count the verdicts that were seen."""
    seen: Counter[str] = Counter()
    for seed in seeds:
        with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
            played = Play(Path(folder), seed)
            try:
                played.play()
            finally:
                played.world.close_all()
            seen += played.seen
    return seen


def test_among_liars_what_is_kept_is_what_a_rebuild_says() -> None:
    """[T1] [K3] [K4] [K5] And every verdict has its chance."""
    assert play_all(range(TRACES)).keys() == {str(verdict) for verdict in Verdict}


@pytest.mark.deep
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("part", range(4))
def test_among_liars_what_is_kept_is_what_a_rebuild_says_deep(part: int) -> None:
    play_all(range(1_000_000 * (part + 1), 1_000_000 * (part + 1) + DEEP_TRACES // 4))
