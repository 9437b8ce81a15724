"""Staging: private folders for what is fetched and not yet verified; never read by anything else.

Each belongs to one process, which holds a lock in it, so that a folder nobody holds is known to be left behind.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from journal import Disk, Store, StoreLocked

_LOCK: Final = "lock"


@contextlib.contextmanager
def staging_folder(store: Store, root: Path, lock: Callable[[], AbstractContextManager[None]]) -> Iterator[Path]:
    """A folder of this process, gone afterwards. What killed processes left is swept, under the lock of sharing."""
    disk, own = store.disk, root / store.machine.writer
    with contextlib.ExitStack() as held:
        with lock():
            disk.make_folder(own)
            held.enter_context(disk.lock(own / _LOCK, 0))
            _sweep(disk, root, own.name)
        held.callback(disk.remove_tree, own)
        yield own


def _sweep(disk: Disk, root: Path, own: str) -> None:
    for name in disk.names(root):
        if name == own:
            continue
        with contextlib.suppress(StoreLocked), disk.lock(root / name / _LOCK, 0):
            disk.remove_tree(root / name)
