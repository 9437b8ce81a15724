"""Health: does the store stand where a store can be well? Place, rights, key, room, and what was left behind.

Looks at files and folders from outside, not at what they say: that is `verify`. Changes nothing; all that is found here
are values.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import shutil
import stat
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from eventsync.ailments import Found, ailing
from eventsync.report import count_of
from federation.holdings import Holdings
from federation.quarantine import Quarantine
from federation.transports.mounts import is_local, type_at
from journal import (
    BACKUPS_FOLDER,
    DamagedStore,
    DiskFailed,
    KeyMissing,
    Store,
    StoreLocked,
    is_temporary,
    moved_words,
    public_key_of,
)

_LEAST_BYTES: Final = 100 * 1024 * 1024  # ten segments: below that nobody should wait any longer
_LEAST_FILES: Final = 1_000
_MOST_TOLD: Final = 20  # files of one kind; the rest is counted
_LOCK_SECONDS: Final = 0.05
_GIT_SECONDS: Final = 10.0
# Who made the folder may have put a repository into it, whose settings name programs: none of them is run.
_OBEYS_NOBODY: Final = ("--no-optional-locks", "-c", "core.fsmonitor=false", "-c", "safe.bareRepository=explicit")
# What a folder is called, or has in it, that such a program keeps in step with other machines.
_SYNCED_NAMES: Final = re.compile(
    r"Dropbox(?: \(.*\))?|OneDrive(?: - .*)?|Mobile Documents|com~apple~CloudDocs|iCloud Drive|iCloudDrive|Google Drive"
    r"|GoogleDrive.*|Nextcloud|ownCloud",
    re.IGNORECASE,
)
_SYNCED_MARKS: Final = (".stfolder", ".dropbox", ".dropbox.cache", ".owncloudsync.log", ".nextcloudsync.log")


# --- where it stands -------------------------------------------------------------------------------------------------


def place(store: Store) -> Iterator[Found]:
    """On which file system, in whose folder, with how much room."""
    folder = store.folder.resolve()
    yield from file_system(folder, type_at(folder))
    for above in (folder, *folder.parents):
        mark = next((name for name in _SYNCED_MARKS if (above / name).exists()), None)
        if mark is not None or _SYNCED_NAMES.fullmatch(above.name):
            why = f"has {mark}" if mark else "is named like one"
            yield ailing("synced-folder", f"the store is in a folder that is kept in step: it {why}", path=above)
            break
    found = os.statvfs(folder)
    yield from room(folder, found.f_bavail * found.f_frsize, found.f_favail if found.f_files else None)


def file_system(folder: Path, kind: str | None) -> Iterator[Found]:
    """What a file system of some type means for a store; None when the type cannot be told."""
    if kind is not None and not is_local(kind):
        yield ailing("network-filesystem", f"the store is on {kind}: locks and fsync may not hold there", path=folder)


def room(folder: Path, free_bytes: int, free_files: int | None) -> Iterator[Found]:
    """Whether there is room to go on; None for files where there is no limit."""
    if free_bytes < _LEAST_BYTES:
        yield ailing("disk-nearly-full", f"{free_bytes // 2**20} MiB are free", path=folder)
    elif free_files is not None and free_files < _LEAST_FILES:
        yield ailing("disk-nearly-full", f"only {free_files} more files can be made", path=folder)


def moved(store: Store) -> Iterator[Found]:
    """Whether the store is where it was [I2]."""
    try:
        facts = store.moved()
    except DamagedStore:  # `verify` tells
        return
    if facts:
        text = f"the store was copied, moved or restored: {moved_words(facts)} [I2]"
        yield ailing("store-copied", text, path=store.folder)


# --- rights ----------------------------------------------------------------------------------------------------------


def rights(store: Store) -> Iterator[Found]:
    """Files that others may read or that we may not write, and those that are not ours; of each kind the first few."""
    told = Counter[str]()
    for found in wrong_rights(store):
        told[found.id] += 1
        if told[found.id] <= _MOST_TOLD:
            yield found
    for ailment, count in told.items():
        if count > _MOST_TOLD:
            yield ailing(ailment, f"{count - _MOST_TOLD} more of this kind")


def wrong_rights(store: Store) -> Iterator[Found]:
    """All of them."""
    for path, found in each_file(store.folder):
        if not _is_of_git(store, path):
            yield from rights_of(path, found.st_mode, found.st_uid, os.geteuid())


def rights_of(path: Path, mode: int, owner: int, user: int) -> Iterator[Found]:
    """What is wrong with the rights of one file or folder, for this user."""
    wanted, found = 0o700 if stat.S_ISDIR(mode) else 0o600, stat.S_IMODE(mode)
    if owner != user:
        yield ailing("foreign-owner", f"belongs to user {owner}, and we are {user}", path=path)
    elif found & 0o777 != wanted:
        yield ailing("permissions", f"has mode {found:04o}, must have {wanted:04o}", path=path)


def each_file(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """A folder and all regular files and folders in it, with what is known of each; nothing is followed."""
    with contextlib.suppress(FileNotFoundError):  # gone meanwhile
        found = folder.lstat()
        if stat.S_ISDIR(found.st_mode) or stat.S_ISREG(found.st_mode):
            yield folder, found
        if stat.S_ISDIR(found.st_mode):
            with contextlib.suppress(PermissionError):
                for path in sorted(folder.iterdir()):
                    yield from each_file(path)


def _is_of_git(store: Store, path: Path) -> bool:
    """Whether git writes this file too, with the rights that it gives."""
    return store.entity_files.is_tracked and (
        path.name == ".gitignore" or (store.folder / "entities") in (path, *path.parents)
    )


def key(store: Store) -> Iterator[Found]:
    """The private key: here, the right one, and ours alone [I1]."""
    path = store.private_key_path
    try:
        found = path.lstat()
        for wrong in rights_of(path, found.st_mode, found.st_uid, os.geteuid()):
            yield wrong if wrong.id == "foreign-owner" else wrong._replace(id="key-permissions")
        if public_key_of(store.private_key()) != base64.b64decode(store.file.public_key):
            yield ailing("key-wrong", "is the private key of another store [I1]", path=path)
    except (FileNotFoundError, NotADirectoryError):
        yield ailing("key-missing", "the private key of this store is not here [I1]", path=path)
    except KeyMissing as error:
        yield ailing("key-wrong", error.message, path=path)
    except ValueError:  # the public key is none: `verify` tells
        return


def tracked(store: Store) -> Iterator[Found]:
    """Private entities that git shows to others all the same: it goes on with what it has seen once."""
    if not store.entity_files.is_tracked or shutil.which("git") is None:
        return
    asked = subprocess.run(
        ["git", *_OBEYS_NOBODY, "ls-files", "-z", "--", "entities"],
        cwd=store.folder,
        env={**os.environ, "GIT_ALLOW_PROTOCOL": "none", "GIT_NO_LAZY_FETCH": "1"},
        capture_output=True,
        timeout=_GIT_SECONDS,
        check=False,
    )
    shown = set(os.fsdecode(asked.stdout).split("\0")) if asked.returncode == 0 else set()
    for head in store.each():
        name = f"entities/{head.item_type}/{head.item_id}.json"
        if head.private and name in shown:
            yield ailing("private-file-tracked", "is private, and git has it", path=store.folder / name)


# --- what was left behind --------------------------------------------------------------------------------------------


def leftovers(store: Store) -> Iterator[Found]:
    """Files of interrupted commands, what was refused, and backups that doctor made."""
    for path, found in each_file(store.folder):
        # What stands in the journal is told by `verify`.
        if is_temporary(path.name) and stat.S_ISREG(found.st_mode) and store.folder / "journal" not in path.parents:
            yield ailing("leftover", "left behind by an interrupted write", path=path)
    holdings, left = Holdings(store), list[Path]()
    with contextlib.suppress(StoreLocked, DiskFailed), store.disk.lock(holdings.lock_path, _LOCK_SECONDS):
        left = left_in_staging(holdings)
    for path in left:
        yield ailing("leftover", "fetched by a command that was interrupted, and never looked at", path=path)
    for entry in Quarantine(store.disk, store.folder / "federation").entries():
        times = "" if entry.times <= 1 else f", {entry.times} times"
        yield ailing("quarantined", f"refused{times}: {entry.message}", path=entry.path)
    kept = store.folder / BACKUPS_FOLDER
    for name in sorted(store.disk.each_name(kept)):
        count = sum(1 for _, found in each_file(kept / name) if stat.S_ISREG(found.st_mode))
        yield ailing("backups", f"{count_of(count, 'file')} as before doctor changed them", path=kept / name)


def left_in_staging(holdings: Holdings) -> list[Path]:
    """Folders of fetched files whose process is gone. The caller holds the lock of sharing, so that none is begun."""
    disk, found = holdings.store.disk, list[Path]()
    staging = holdings.folder / "staging"
    for name in sorted(disk.each_name(staging)):
        with contextlib.suppress(StoreLocked), disk.lock(staging / name / "lock", 0):
            found.append(staging / name)
    return found
