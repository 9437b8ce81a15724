"""What a person may set for a git remote in config.toml, beside its URL. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from federation.errors import InvalidUrl

DEADLINE_SECONDS: Final = 120
_MAX_SECONDS: Final = 86_400
_MAX_MIB: Final = 1024 * 1024
# A word of a ref has no dot or dash in front, no `..`, and none of the signs that mean something to git.
_REFS: Final = re.compile(r"refs(?:/[A-Za-z0-9_](?:[A-Za-z0-9_-]|\.(?!\.|lock(?:/|$)|/|$))*)+/?", re.ASCII)


class GitSettings(NamedTuple):
    """Checked settings."""

    ref_prefix: str = "refs/eventsync/"  # ends in a slash; the origin follows
    deadline_seconds: float = DEADLINE_SECONDS  # of one transfer, by the clock on the wall [R1]
    max_mib: int = 1024  # that one transfer may bring
    ssh_config: str | None = None  # instead of the user's


def read_settings(values: Mapping[str, Any]) -> GitSettings:
    """The settings of one remote; InvalidUrl names the first key that is unknown or has a value that is not allowed."""
    unknown = sorted(values.keys() - GitSettings._fields)
    if unknown:
        raise InvalidUrl(f"a git remote has no setting {unknown[0]!r}")
    found = GitSettings(**values)
    prefix = found.ref_prefix
    if not _is_text(prefix) or not _REFS.fullmatch(prefix):
        raise InvalidUrl("ref_prefix is none that git takes: refs/eventsync, or refs/heads/eventsync")
    if not _is_number(found.deadline_seconds, _MAX_SECONDS):
        raise InvalidUrl(f"deadline_seconds is a number between 1 and {_MAX_SECONDS}")
    if not _is_number(found.max_mib, _MAX_MIB) or found.max_mib % 1:
        raise InvalidUrl(f"max_mib is a whole number between 1 and {_MAX_MIB}")
    config = found.ssh_config
    if config is not None and not (_is_text(config) and config.startswith("/") and config.isprintable()):
        raise InvalidUrl("ssh_config is the absolute path of a file")
    return found._replace(ref_prefix=prefix.rstrip("/") + "/", max_mib=int(found.max_mib))


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_number(value: object, most: int) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 1 <= value <= most
