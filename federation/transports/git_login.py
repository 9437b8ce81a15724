"""Credentials for https, from where the user's git finds them: `git credential fill`, where git is there.

Only asked, never told: what a helper keeps is its own. Nothing is asked of a person, since nobody may be there.
"""

from __future__ import annotations

from typing import Final

from federation.errors import SourceUnavailable
from federation.transports.child import run
from federation.transports.urls import GitUrl

# No prompt on the terminal, and no program that opens a window.
_SILENT: Final = {"GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "", "SSH_ASKPASS": "", "GCM_INTERACTIVE": "never"}


def find_login(url: GitUrl, deadline_seconds: float) -> tuple[str, str] | None:
    """User and password for a place, or None where there are none, or where they must not be sent."""
    if not url.may_carry_secrets:
        return None
    host = f"[{url.host}]" if ":" in url.host else url.host
    facts = {
        "protocol": url.scheme,
        "host": host if url.port is None else f"{host}:{url.port}",
        "path": url.path.lstrip("/"),
        "username": url.user,
    }
    given = "".join(f"{name}={value}\n" for name, value in facts.items() if value is not None) + "\n"
    try:
        ended = run(
            ["git", "credential", "fill"],
            given=given.encode(),
            deadline_seconds=deadline_seconds,
            environment=_SILENT,
        )
    except SourceUnavailable:  # there is no git
        return None
    lines = [line.partition("=") for line in ended.output.decode("utf-8", "replace").splitlines()]
    found = {name: value for name, sign, value in lines if sign}
    if ended.code != 0 or not found.get("username") or "password" not in found:
        return None
    return found["username"], found["password"]
