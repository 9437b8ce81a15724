"""What a person may set for an rsync remote in config.toml, beside its URL. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from federation.transports.settings import DEADLINE_SECONDS, check_file, read_common


class RsyncSettings(NamedTuple):
    """Checked settings."""

    deadline_seconds: float = DEADLINE_SECONDS  # of one transfer, by the clock on the wall [R1]
    max_mib: int = 1024  # that one transfer may bring
    ssh_config: str | None = None  # instead of the user's
    password_file: str | None = None  # for a daemon; its first line is the password


def read_settings(values: Mapping[str, Any]) -> RsyncSettings:
    """The settings of one remote; InvalidUrl names the first key that is unknown or has a value that is not allowed."""
    common = read_common(values, "an rsync", ["password_file"])
    check_file("password_file", values.get("password_file"))
    return RsyncSettings(*common, values.get("password_file"))
