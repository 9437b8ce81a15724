"""A real power cut: an ext4 file system on a loop device is shut down while stores work, and everything it had not
written yet is gone. What was acknowledged is there afterwards.

Needs root, for the loop device, and takes a minute: `make crash` runs it, `make test` does not.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import random
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from eventsync.sharing import Sharing
from federation.puller import Remote, Settings
from federation.transports.directory import DirectoryTransport
from journal import Disk, Store
from tests.crash.working import NAMES, closed, opened

pytestmark = [pytest.mark.crash, pytest.mark.deep]

ROUNDS = 50
ROOT = Path(__file__).resolve().parents[2]
_IMAGE_BYTES = 256 * 1024 * 1024
_SHUT_DOWN = 0x8004587D  # _IOR('X', 125, u32) of ext4: every later write fails
_LOSE_THE_REST = struct.pack("I", 2)  # and what the journal of the file system holds in memory is lost


class Drive:
    """An ext4 image that can be cut off."""

    def __init__(self, folder: Path, options: str) -> None:
        self._image, self.folder, self._options = folder / "image", folder / "drive", options
        self.folder.mkdir()
        with self._image.open("wb") as file:
            file.truncate(_IMAGE_BYTES)
        _call("mkfs.ext4", "-q", str(self._image))

    @contextlib.contextmanager
    def mounted(self) -> Iterator[Path]:
        """The drive as it is after a boot."""
        _call("mount", "-o", f"loop,{self._options}", str(self._image), str(self.folder))
        try:
            yield self.folder
        finally:
            _call("umount", str(self.folder))

    def cut(self) -> None:
        """Now the power is gone."""
        root = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(root, _SHUT_DOWN, _LOSE_THE_REST)
        finally:
            os.close(root)


def _call(*argv: str) -> None:
    subprocess.run(argv, check=True, timeout=60, capture_output=True)


def work_until_the_cut(drive: Drive, folder: Path, number: int, seconds: float) -> list[dict[str, Any]]:
    """Promises made before the power went.

    Not those made while it went: ext4 lets an fsync that is under way just then succeed, and loses its bytes. A bare
    loop of write, fsync and print shows that as well, and no disk without power says anything.
    """
    argv = [sys.executable, "-m", "tests.crash.working", str(folder), f"boot-{number}", f"seed-{number}"]
    process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    promises = [json.loads(process.stdout.readline())]
    listening = threading.Thread(target=lambda lines: promises.extend(map(json.loads, lines)), args=[process.stdout])
    listening.start()
    time.sleep(seconds)
    before = len(promises)
    drive.cut()
    listening.join()
    assert process.wait(60) != 0  # the disk fails under it: it does not go on
    process.stdout.close()
    return promises[:before]


def by_store(promises: Sequence[dict[str, Any]], kind: str, name: str) -> list[dict[str, Any]]:
    return [promise for promise in promises if (promise["kind"], promise["store"]) == (kind, name)]


def check_store(store: Sharing, promises: Sequence[dict[str, Any]], reader: Sharing, bus: Path) -> None:
    name = store.store.name
    found = {record.seq: record.c for record in store.store.log()}
    assert store.store.stale is None
    for promise in by_store(promises, "record", name):
        assert found.get(promise["seq"]) == promise["c"], promise
    report = store.store.verify()
    assert [finding for finding in report.findings if finding.severity == "error"] == []
    head = store.holdings.own.head()
    published = [promise["seq"] for promise in by_store(promises, "published", name)]
    assert (head.last_seq if head else 0) >= max(published, default=0)
    assert head is None or found[head.last_seq] == head.c  # no seq that others saw stands for anything else here
    for promise in by_store(promises, "pulled", name):
        pin = store.holdings.pin(promise["origin"])
        assert pin >= promise["seq"], promise
    check_caches(store)
    check_bus(store, promises, reader, bus)
    with store.store.mutate(agent="check") as mutation:
        mutation.put("note", "after", {"text": "after the cut"})
    assert store.store.last_commit.written[0].seq > max(found)


def check_caches(store: Sharing) -> None:
    """What caches say after the boot is what they say when made anew."""
    assert store.holdings.look() is None
    before = answers(store)
    store.store.rebuild()
    with store.holdings.lock():
        store.holdings.rebuild()
    assert answers(store) == before


def answers(store: Sharing) -> Any:
    from tests.integration.world import EVERYTHING

    files = {
        path.relative_to(store.store.folder): json.loads(path.read_bytes())
        for path in (store.store.folder / "entities").rglob("*.json")
    }
    inbox = [found._asdict() for found in store.inbox.candidates(EVERYTHING, payloads=True)]
    return store.store.list(deleted=True), files, inbox


def check_bus(store: Sharing, promises: Sequence[dict[str, Any]], reader: Sharing, bus: Path) -> None:
    """A store on another machine, which lost nothing, finds no contradiction in what is pushed after the boot."""
    pushed = [promise["seq"] for promise in by_store(promises, "pushed", store.store.name)]
    store.publish()
    assert store.push(store.remotes(None)).exit_code == 0
    remote = Remote("bus", "bus", lambda: DirectoryTransport(bus, reader.store.disk), False, False)
    run = reader.pull([remote], Settings(confirm=True))
    assert run.exit_code == 0, run
    held = reader.holdings.pin(store.store.origin)
    assert held >= max(pushed, default=0)


@pytest.mark.parametrize("options", ["data=ordered", "data=writeback,commit=60"])
@pytest.mark.timeout(1800)
def test_what_was_acknowledged_before_a_power_cut_is_there_after_it(tmp_path: Path, options: str) -> None:
    if os.geteuid() != 0 or not Path("/dev/loop-control").exists():
        pytest.skip("a loop device needs root and /dev/loop-control")
    chance = random.Random(options)
    drive = Drive(tmp_path, options)
    reader = Sharing(Store.init(tmp_path / "reader", disk=Disk(), data_folder=tmp_path / "reader-keys"))
    promised = 0
    with drive.mounted() as folder:
        (folder / "bus").mkdir()
        for name in NAMES:
            closed(opened(folder, name, "boot-0"))
        os.sync()
    for number in range(1, ROUNDS + 1):
        with drive.mounted() as folder:
            promises = work_until_the_cut(drive, folder, number, chance.uniform(0.0, 0.6))
        promised += len(promises)
        with drive.mounted() as folder:
            for name in NAMES:
                store = opened(folder, name, f"check-{number}")
                try:
                    check_store(store, promises, reader, folder / "bus")
                finally:
                    closed(store)
    closed(reader)
    assert promised > ROUNDS
