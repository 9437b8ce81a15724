"""Identity: the key a store is known by, its origin id, and the file store.json.

The private key lives outside the store, so that copying or sharing a store never shares it [I1]. `local.json` remembers
machine, path and folder: when they differ the store was copied, and writing stops until a person says which it is [I2].
"""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from blake3 import blake3

from journal.disk import Disk
from journal.entity_files import ENTITIES_FOLDER
from journal.errors import DamagedStore, FormatTooNew, KeyMissing, NotAStore, OnlyEntityFiles
from journal.machine import Machine
from journal.model import STORE_FORMAT

STORE_FILE: Final = "store.json"
LOCAL_FILE: Final = "local.json"
ADOPTING: Final = "adopting"  # in local.json: a store is being made from entity files, and has no journal yet
_JOURNAL: Final = "journal"
_FACT_WORDS: Final = {"machine_id": "machine", "folder_id": "folder"}


class Previous(msgspec.Struct, frozen=True):
    """An origin this store had before, "self" up to last_seq [I2]."""

    origin: str
    last_seq: int
    c: str
    t: str


class StoreFile(msgspec.Struct, frozen=True, kw_only=True):
    """store.json: who this store is."""

    format: int
    origin_store_id: str
    public_key: str  # standard base64 of 32 raw bytes
    name: str
    created_at: str
    previous: list[Previous] = []

    @classmethod
    def of_key(cls, public_key: bytes, *, name: str, created_at: str) -> StoreFile:
        """Who a new store with this raw public key is [I1]."""
        text = base64.b64encode(public_key).decode("ascii")
        return cls(
            format=STORE_FORMAT,
            origin_store_id=origin_of(public_key),
            public_key=text,
            name=name,
            created_at=created_at,
        )


def origin_of(public_key: bytes) -> str:
    """The origin id of a raw Ed25519 public key [I1]."""
    return "es1" + base64.b32encode(blake3(public_key).digest()).decode("ascii")[:32].lower()


def key_path(data_folder: Path, origin: str) -> Path:
    """The private key file of an origin."""
    return data_folder / "keys" / f"{origin}.key"


def make_key(disk: Disk, data_folder: Path, seed: bytes | None = None) -> bytes:
    """Make an Ed25519 key, store it durably with mode 0600, and return the raw public key [I1]."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate() if seed is None else Ed25519PrivateKey.from_private_bytes(seed)
    public = key.public_key().public_bytes_raw()
    path = key_path(data_folder, origin_of(public))
    disk.make_folder_durably(path.parent)
    disk.replace_durably(path, base64.b64encode(key.private_bytes_raw()) + b"\n")
    return public


def public_key_of(private_key: bytes) -> bytes:
    """The raw public key of a raw private key (32 bytes each)."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(private_key).public_key().public_bytes_raw()


def read_key(disk: Disk, data_folder: Path, origin: str) -> bytes:
    """The raw private key (32 bytes) of an origin; KeyMissing when it is not there: then renew is the way [I2]."""
    path = key_path(data_folder, origin)
    data = disk.read_if_there(path)
    if data is None:
        raise KeyMissing("the private key of this store is not here", path=path, rule="I1")
    with contextlib.suppress(ValueError):
        key = base64.b64decode(data.strip(), validate=True)
        if len(key) == 32:
            return key
    raise KeyMissing("not a private key", path=path, rule="I1")


def read_store_file(disk: Disk, folder: Path) -> StoreFile:
    """store.json of a store; NotAStore, FormatTooNew or DamagedStore."""
    path = folder / STORE_FILE
    if is_bare(disk, folder):
        raise OnlyEntityFiles("only entity files are here, and no journal", path=folder, rule="I2")
    data = disk.read_if_there(path)
    if data is None and disk.is_folder(folder / _JOURNAL):
        raise DamagedStore("is missing, and there is a journal", path=path, rule="J11")
    if data is None:
        raise NotAStore("no store here", path=folder)
    try:
        value = json.loads(data)
        found = value.get("format") if isinstance(value, dict) else None
        if isinstance(found, int) and found > STORE_FORMAT:
            raise FormatTooNew(f"store format {found}, known is {STORE_FORMAT}", path=path, rule="J12")
        return msgspec.convert(value, StoreFile)
    except (ValueError, RecursionError) as error:
        raise DamagedStore(f"not a store file: {error}", path=path) from None


def write_store_file(disk: Disk, folder: Path, file: StoreFile) -> None:
    """Replace store.json durably; DiskFailed leaves the old one."""
    value = msgspec.to_builtins(file)
    disk.replace_durably(folder / STORE_FILE, (json.dumps(value, indent=2) + "\n").encode())


def is_bare(disk: Disk, folder: Path) -> bool:
    """Whether there are entity files here, as git brings them, and nothing of a store that could be lost.

    A store whose journal went missing is none such: its local.json says that there was one.
    """
    if disk.is_folder(folder / _JOURNAL) or not disk.is_folder(folder / ENTITIES_FOLDER):
        return False
    local = read_local(disk, folder)
    return not local or bool(local.get(ADOPTING))


def fingerprint(machine: Machine, folder: Path) -> dict[str, str]:
    """Where a store stands, as local.json keeps it [I2]."""
    return {
        "machine_id": machine.machine_id,
        "path": str(folder.resolve()),
        "folder_id": machine.folder_id(folder),
    }


def read_local(disk: Disk, folder: Path) -> dict[str, Any]:
    """local.json; {} when it is missing, which counts as a copied store; DamagedStore when it cannot be read."""
    path = folder / LOCAL_FILE
    data = disk.read_if_there(path)
    if data is None:
        return {}
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise DamagedStore("not JSON", path=path, rule="I2") from None
    if not isinstance(value, dict):
        raise DamagedStore("not a JSON object", path=path, rule="I2")
    return value


def what_is_wrong(local: Mapping[str, Any]) -> str | None:
    """Why these values cannot be those of local.json, in words; None when they can."""
    published, redacting = local.get("published"), local.get("redacting")
    if not local:
        return "is missing: where this store stands, and what it published last, is not known any more [I2]"
    if published is not None:
        seq = published.get("last_seq") if isinstance(published, dict) else None
        if not isinstance(published, dict) or not isinstance(seq, int) or seq < 0:
            return "published is no memory of a publish [J11]"
    if redacting is not None and not (isinstance(redacting, dict) and isinstance(redacting.get("since"), int)):
        return "redacting does not say what a redaction has to do [J16]"
    return None


def write_local(disk: Disk, folder: Path, value: dict[str, Any]) -> None:
    """Replace local.json durably; DiskFailed leaves the old one."""
    disk.replace_durably(folder / LOCAL_FILE, (json.dumps(value, indent=2, sort_keys=True) + "\n").encode())


def moved_facts(found: Mapping[str, Any], here: Mapping[str, str]) -> list[str]:
    """Which facts of local.json do not fit this place; empty when the store is where it was."""
    return [key for key, value in here.items() if found.get(key) != value]


def moved_words(facts: Sequence[str]) -> str:
    """What differs, for people: `its path and folder differ`."""
    names = [_FACT_WORDS.get(fact, fact) for fact in facts]
    several = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
    return f"its {several} {'differ' if len(names) > 1 else 'differs'}"


def published_seq(local: Mapping[str, Any]) -> int:
    """The highest seq that others were told of, as local.json has it of the last publish; 0 before the first [J11].

    Under a new identity it is that of the former one until the next publish: the log held it, and must hold it still.
    """
    published = local.get("published")
    seq = published.get("last_seq") if isinstance(published, dict) else None
    return seq if isinstance(seq, int) else 0


def published_of(local: Mapping[str, Any], file: StoreFile) -> dict[str, Any] | None:
    """What local.json keeps of the last publish under the origin in force, None when there was none yet."""
    published = local.get("published")
    if not isinstance(published, dict):
        return None
    first = file.previous[0].origin if file.previous else file.origin_store_id  # older programs named no origin
    return published if published.get("origin", first) == file.origin_store_id else None
