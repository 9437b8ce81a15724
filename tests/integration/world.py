"""A world of whole stores in one folder, with a bus between them, as people use them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from eventsync.sharing import PullRun, Sharing
from federation.errors import SourceUnavailable
from federation.inbox import Filter
from federation.model import Candidate, DecisionReport, OriginPull, PublishReport, Refusal, Resolution
from federation.puller import Remote, Settings
from federation.receipts import receipts
from federation.transports import Transport
from federation.transports.directory import DirectoryTransport
from journal import Disk, Store
from tests.doubles.disks import QuickDisk
from tests.doubles.machines import FixedMachine

EVERYTHING = Filter(settled_too=True)


class World:
    """Stores by name, made with fixed keys, clocks and salts, and the bus they push to and pull from."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bus = folder / "bus"
        self.bus.mkdir()
        self.keys = folder / "keys"
        self._open: list[Sharing] = []

    def store(self, name: str, *, disk: Disk | None = None, bus: Path | None = None) -> Sharing:
        """A new store that has the bus as its remote."""
        seed = bytes([len(self._open) + 1]) + name.encode().ljust(31, b".")[:31]
        machine = FixedMachine(self.keys)
        store = Store.init(
            self.folder / name, name=name, disk=disk or QuickDisk(), machine=machine, data_folder=self.keys, seed=seed
        )
        found = self._opened(store)
        found.add_remote("bus", str(bus or self.bus))
        return found

    def reopened(
        self,
        store: Sharing,
        *,
        disk: Disk | None = None,
        folder: Path | None = None,
        machine: FixedMachine | None = None,
    ) -> Sharing:
        """The same store as the next command sees it."""
        self.close(store)
        machine = machine or FixedMachine(self.keys)
        path = folder or store.store.folder
        return self._opened(Store.open(path, disk=disk or QuickDisk(), machine=machine, data_folder=self.keys))

    def again(self, store: Sharing) -> Sharing:
        """The same store as another process has it open beside this one."""
        machine = FixedMachine(self.keys)
        return self._opened(Store.open(store.store.folder, disk=QuickDisk(), machine=machine, data_folder=self.keys))

    def copied(self, store: Sharing, name: str) -> Sharing:
        """A copy of a store's folder, which a person declared to be the store itself."""
        self.close(store)
        folder = self.folder / name
        shutil.copytree(store.store.folder, folder / ".eventsync")
        found = self.reopened(store, folder=folder)
        found.store.keep_identity()
        return found

    def _opened(self, store: Store) -> Sharing:
        found = Sharing(store)
        self._open.append(found)
        return found

    def close(self, store: Sharing) -> None:
        """Close the files of a store."""
        store.close()
        store.store.close()

    def close_all(self) -> None:
        """Close the files of all stores."""
        for store in self._open:
            self.close(store)


# --- what people do --------------------------------------------------------------------------------------------------


def put(store: Sharing, *ids: str, item_type: str = "plan", private: bool | None = None, **payload: Any) -> None:
    """Write entities in one batch; the payload of each has its id as title."""
    with store.store.mutate(agent="test") as mutation:
        for item_id in ids:
            mutation.put(item_type, item_id, {"title": item_id, **payload}, private=private)


def remove(store: Sharing, *ids: str, item_type: str = "plan") -> None:
    """Delete entities in one batch."""
    with store.store.mutate(agent="test") as mutation:
        for item_id in ids:
            mutation.delete(item_type, item_id)


def share(store: Sharing) -> PublishReport:
    """Publish and push; both must work."""
    report = store.publish()
    pushed = store.push(store.remotes(None))
    assert pushed.exit_code == 0, pushed
    return report


def pull(store: Sharing, remotes: Sequence[Remote] | None = None, *, confirm: bool = False) -> PullRun:
    """Pull from all remotes of the store, or from others."""
    return store.pull(store.remotes(None) if remotes is None else remotes, Settings(confirm=confirm))


def meet(*stores: Sharing) -> None:
    """Everybody shares, then everybody pulls."""
    for store in stores:
        share(store)
    for store in stores:
        pull(store)


def only(run: PullRun) -> OriginPull:
    """What the pull did for its one origin."""
    (remote,) = run.remotes
    assert remote.error is None, remote
    (found,) = remote.origins
    return found


def refusal(run: PullRun) -> Refusal:
    """Why the pull did not take its one origin."""
    found = only(run).refusal
    assert found is not None, run
    return found


def by_origin(run: PullRun) -> dict[str, OriginPull]:
    """What the pull did, by origin."""
    return {found.origin: found for remote in run.remotes for found in remote.origins}


def folder_remote(path: Path, store: Sharing, *, held_before: bool = False, pushed_before: bool = False) -> Remote:
    """A directory as a remote."""
    return place_remote(lambda: DirectoryTransport(path, store.store.disk), held_before, pushed_before)


def place_remote(
    connect: Callable[[], Transport], held_before: bool = False, pushed_before: bool = False, name: str = "place"
) -> Remote:
    """Any place as a remote."""
    return Remote(name, f"place:{name}", connect, held_before, pushed_before)


def gone() -> Transport:
    """A place that cannot be reached."""
    raise SourceUnavailable("is gone")


def accept(store: Sharing, *ids: str, theirs: bool = False) -> DecisionReport:
    """Accept candidates of any origin by `type/id` or candidate id."""
    return store.deciding("test").accept([_candidate_id(store, text) for text in ids], over(theirs))


def snooze(store: Sharing, *keys: str) -> None:
    """Put candidates out of sight until something newer comes."""
    store.deciding("test").snooze([_candidate_id(store, text) for text in keys], None)


def reject(store: Sharing, *ids: str) -> DecisionReport:
    """Reject candidates of any origin by `type/id` or candidate id."""
    return store.deciding("test").reject([_candidate_id(store, text) for text in ids])


def accept_all(store: Sharing, *, theirs: bool = False) -> DecisionReport:
    """Accept everything that is open."""
    return store.deciding("test").accept_all(Filter(), over(theirs))


def over(theirs: bool) -> Resolution:
    """What is done about conflicts."""
    return Resolution.THEIRS if theirs else Resolution.LEAVE


def _candidate_id(store: Sharing, text: str) -> str:
    if "/" not in text:
        return text
    (found,) = [item.id for item in candidates(store) if f"{item.item_type}/{item.item_id}" == text]
    return found


# --- what can be seen ------------------------------------------------------------------------------------------------


def candidates(store: Sharing, wanted: Filter = EVERYTHING) -> list[Candidate]:
    """The inbox after a look, settled candidates too."""
    assert store.holdings.look() is None
    return list(store.inbox.candidates(wanted, payloads=True))


def verdicts(store: Sharing) -> dict[str, str]:
    """The verdict on each `type/id`, for stores that know it from one origin only."""
    found = candidates(store)
    assert len({(item.item_type, item.item_id) for item in found}) == len(found)
    return {f"{item.item_type}/{item.item_id}": str(item.verdict) for item in found}


def answers(store: Sharing) -> dict[str, Any]:
    """All that a store says of others, and of itself where others can have a part in it."""
    shown = [item._asdict() for item in candidates(store)]
    origins = store.holdings.mirror.origins()
    return {
        "candidates": shown,
        "counts": {origin: store.holdings.counts(origin) for origin in origins},
        "receipts": {origin: receipts(store.holdings, origin) for origin in origins},
        "brakes": {origin: store.holdings.mirror.brake(origin) for origin in origins},
        "notes": {origin: store.holdings.index.notes(origin) for origin in origins},
        "flagged": store.holdings.index.flagged_origins(),
        "entities": entities(store),
    }


def entities(store: Sharing) -> dict[str, tuple[int, Mapping[str, Any] | None]]:
    """Rev and payload of every local entity; a tombstone has none."""
    return {
        f"{head.item_type}/{head.item_id}": (
            head.entity_rev,
            None if head.deleted else store.store.get(head.item_type, head.item_id).payload,
        )
        for head in store.store.list(deleted=True)
    }


def payload(store: Sharing, item_id: str, item_type: str = "plan") -> dict[str, Any]:
    """The payload of a local entity."""
    return store.store.get(item_type, item_id).payload


def rebuilt(store: Sharing) -> Sharing:
    """The same store after all its caches were deleted and made again."""
    store.holdings.close()
    store.store.close()
    for path in (*store.store.folder.glob("index.sqlite3*"), *(store.store.folder / "federation").glob("index.*")):
        path.unlink()
    with store.holdings.lock():
        store.store.rebuild()
        store.holdings.rebuild()
    return store


def tree(folder: Path, *, without: Sequence[str] = ()) -> dict[str, bytes]:
    """All files below a folder by name; folders end in a slash. SQLite's shared memory holds nothing."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir():
            found[f"{name}/"] = b""
        elif not path.name.endswith("-shm") and path.name not in without:
            found[name] = path.read_bytes()
    return found


def feed_lines(folder: Path) -> list[bytes]:
    """All lines of a feed folder in order, as its head lists them."""
    import zstandard

    head = json.loads((folder / "head.json").read_bytes())["head"]
    lines: list[bytes] = []
    for entry in head["slices"]:
        raw = zstandard.ZstdDecompressor().decompress((folder / (entry["name"] + ".zst")).read_bytes())
        lines += raw.split(b"\n")[1:-1]
    return lines


def head_of(folder: Path) -> dict[str, Any]:
    """The head of a feed folder as a value."""
    found: dict[str, Any] = json.loads((folder / "head.json").read_bytes())["head"]
    return found


def own_feed(store: Sharing) -> Path:
    """Where a store keeps what it publishes."""
    return store.holdings.own.folder


def each_slice(folder: Path) -> Iterator[Path]:
    """The slice files of a feed folder, by name."""
    return iter(sorted(folder.glob("seg-*")))
