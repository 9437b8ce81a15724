"""What a person may set for a remote in config.toml beside its URL, whatever program reaches it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple

from federation.errors import InvalidUrl

DEADLINE_SECONDS: Final = 120
_MAX_SECONDS: Final = 86_400
_MAX_MIB: Final = 1024 * 1024


class Settings(NamedTuple):
    """Checked settings that all remotes elsewhere share."""

    deadline_seconds: float = DEADLINE_SECONDS  # of one transfer, by the clock on the wall [R1]
    max_mib: int = 1024  # that one transfer may bring
    ssh_config: str | None = None  # instead of the user's


def read_common(values: Mapping[str, Any], kind: str, own: Collection[str]) -> Settings:
    """The settings that are shared; `own` are those that only this kind of remote has.

    InvalidUrl names the first key that is unknown or has a value that is not allowed.
    """
    unknown = sorted(values.keys() - {*Settings._fields, *own})
    if unknown:
        raise InvalidUrl(f"{kind} remote has no setting {unknown[0]!r}")
    found = Settings(**{key: value for key, value in values.items() if key in Settings._fields})
    if not _is_number(found.deadline_seconds, _MAX_SECONDS):
        raise InvalidUrl(f"deadline_seconds is a number between 1 and {_MAX_SECONDS}")
    if not _is_number(found.max_mib, _MAX_MIB) or found.max_mib % 1:
        raise InvalidUrl(f"max_mib is a whole number between 1 and {_MAX_MIB}")
    check_file("ssh_config", found.ssh_config)
    return found._replace(max_mib=int(found.max_mib))


def check_file(key: str, value: object) -> None:
    """Refuse what is neither left out nor the absolute path of a file, so that no program takes it for an option."""
    if value is not None and not (isinstance(value, str) and value.startswith("/") and value.isprintable()):
        raise InvalidUrl(f"{key} is the absolute path of a file")


def _is_number(value: object, most: int) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 1 <= value <= most
