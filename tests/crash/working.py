"""Two stores at work: they write, roll, publish, pull and decide as fast as they can, and say what was acknowledged.

Run as a process of its own: `python -m tests.crash.working FOLDER BOOT_ID SEED`. Each line of its standard output is a
promise: what stands there must be found again, whatever happens to the machine from then on.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any

from eventsync.sharing import Sharing
from federation.inbox import Filter
from federation.model import Resolution
from federation.puller import Settings
from journal import Disk, Machine, Store

NAMES = ("one", "two")
_ROLL_BYTES = 60_000  # several rolls in a round


class Booted(Machine):
    """The real machine, in one of its boots."""

    def __init__(self, data_folder: Path, boot_id: str) -> None:
        super().__init__(data_folder)
        self._boot_id = boot_id

    @property
    def boot_id(self) -> str:
        return self._boot_id


def opened(folder: Path, name: str, boot_id: str) -> Sharing:
    """One of the stores, made when it is not there yet."""
    data = folder / "keys"
    machine = Booted(data, boot_id)
    if (folder / name).exists():
        store = Store.open(folder / name, disk=Disk(), machine=machine, data_folder=data)
        store.roll_bytes = _ROLL_BYTES
        return Sharing(store)
    store = Store.init(folder / name, name=name, disk=Disk(), machine=machine, data_folder=data)
    made = Sharing(store)
    made.add_remote("bus", str(folder / "bus"))
    return made


def closed(store: Sharing) -> None:
    """Close the files of a store."""
    store.holdings.close()
    store.store.close()


def _promise(store: Sharing, kind: str, **values: Any) -> None:
    print(json.dumps({"store": store.store.name, "kind": kind, **values}), flush=True)


def _promise_records(store: Sharing) -> None:
    for written in store.store.last_commit.written:
        _promise(store, "record", seq=written.seq, c=written.c)


def _write(store: Sharing, chance: random.Random) -> None:
    with store.store.mutate(agent="work") as mutation:
        for _ in range(chance.choice([1, 1, 1, 3, 12])):
            item_id = f"n{chance.randrange(60)}"
            head = store.store.head("note", item_id)
            if head is not None and not head.deleted and chance.random() < 0.1:
                mutation.delete("note", item_id)
            else:
                mutation.put("note", item_id, {"text": "x" * chance.choice([3, 300, 9_000, 70_000])})
    _promise_records(store)


def _share(store: Sharing) -> None:
    report = store.publish()
    _promise(store, "published", seq=report.last_seq, gen=report.gen)
    if store.push(store.remotes(None)).exit_code == 0:
        head = store.holdings.own.head()
        assert head is not None
        _promise(store, "pushed", seq=head.last_seq, c=head.c)


def _pull(store: Sharing) -> None:
    run = store.pull(store.remotes(None), Settings(confirm=True))
    for found in run.remotes[0].origins:
        _promise(store, "pulled", origin=found.origin, seq=found.last_seq, result=str(found.result))


def _decide(store: Sharing, chance: random.Random) -> None:
    store.holdings.look()
    open_ones = list(store.inbox.candidates(Filter()))[: chance.choice([1, 3, 10])]
    if not open_ones:
        return
    if chance.random() < 0.7:
        store.deciding("work").accept([found.id for found in open_ones], Resolution.THEIRS)
    else:
        store.deciding("work").reject([found.id for found in open_ones], reason="no")
    _promise_records(store)


def work(folder: Path, boot_id: str, seed: str) -> None:
    """Work until somebody ends it."""
    chance = random.Random(seed)
    stores = [opened(folder, name, boot_id) for name in NAMES]
    for store in stores:
        store.store.roll_bytes = _ROLL_BYTES
    while True:
        store = chance.choice(stores)
        step = chance.random()
        if step < 0.6:
            _write(store, chance)
        elif step < 0.75:
            _share(store)
        elif step < 0.9:
            _pull(store)
        else:
            _decide(store, chance)


if __name__ == "__main__":
    work(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
