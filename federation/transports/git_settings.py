"""What a person may set for a git remote in config.toml, beside its URL. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from federation.errors import InvalidUrl
from federation.transports.settings import DEADLINE_SECONDS, read_common

# A word of a ref has no dot or dash in front, no `..`, and none of the signs that mean something to git.
_REFS: Final = re.compile(r"refs(?:/[A-Za-z0-9_](?:[A-Za-z0-9_-]|\.(?!\.|lock(?:/|$)|/|$))*)+/?", re.ASCII)
_PREFIX: Final = "refs/eventsync/"


class GitSettings(NamedTuple):
    """Checked settings."""

    ref_prefix: str = _PREFIX  # ends in a slash; the origin follows
    deadline_seconds: float = DEADLINE_SECONDS  # of one transfer, by the clock on the wall [R1]
    max_mib: int = 1024  # that one transfer may bring
    ssh_config: str | None = None  # instead of the user's


def read_settings(values: Mapping[str, Any]) -> GitSettings:
    """The settings of one remote; InvalidUrl names the first key that is unknown or has a value that is not allowed."""
    common = read_common(values, "a git", ["ref_prefix"])
    prefix = values.get("ref_prefix", _PREFIX)
    if not isinstance(prefix, str) or not _REFS.fullmatch(prefix):
        raise InvalidUrl("ref_prefix is none that git takes: refs/eventsync, or refs/heads/eventsync")
    return GitSettings(prefix.rstrip("/") + "/", *common)
