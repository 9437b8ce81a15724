"""What the end of an rsync call means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.errors import FederationError, ProgramUnusable, RemoteReadOnly, RemoteRefused, SourceUnavailable
from federation.transports.child import Ended
from federation.transports.rsync_answer import failure, knows_no_fsync


def ended(code: int | None, said: str) -> Ended:
    return Ended(code, b"", said.encode(), late=code is None)


@pytest.mark.parametrize(
    ("code", "said", "kind", "text", "of_place"),
    [
        (5, "@ERROR: auth failed on module bus\n", RemoteRefused, "auth failed on module bus", True),
        (5, "@ERROR: access denied to bus from box (10.0.0.7)", RemoteRefused, "access denied to bus", True),
        (5, "@ERROR: Unknown module 'bus'", SourceUnavailable, "the daemon refused: Unknown module 'bus'", True),
        (5, "@ERROR: max connections (1) reached -- try again later", SourceUnavailable, "max connections", True),
        (
            255,
            "me@box: Permission denied (publickey).\nrsync: connection unexpectedly closed",
            RemoteRefused,
            "publickey",
            True,
        ),
        (12, "me@box: Permission denied (publickey).\nrsync: write error: x", RemoteRefused, "publickey", True),
        (12, "bash: rsync: Permission denied", SourceUnavailable, "was cut off", True),
        (12, 'rsync: [Receiver] mkdir "x" failed: Permission denied (13)', SourceUnavailable, "was cut off", True),
        (255, "Host key verification failed.\n", RemoteRefused, "Host key verification failed", True),
        (255, "ssh: connect to host box port 22: Connection refused", SourceUnavailable, "did not get in", True),
        (
            1,
            "ERROR: module is read only\nrsync error: syntax or usage error (code 1)",
            RemoteReadOnly,
            "read only",
            True,
        ),
        (12, "rrsync: sending to read-only server is not allowed", RemoteReadOnly, "read-only server", True),
        (23, 'rsync: [sender] opendir "x" failed: Permission denied (13)', SourceUnavailable, 'opendir "x"', False),
        (11, "rsync: [receiver] write failed: No space left on device (28)", SourceUnavailable, "No space left", False),
        (12, "rsync: connection unexpectedly closed (0 bytes)\nrsync error: x", SourceUnavailable, "was cut off", True),
        (30, "rsync error: timeout in data send/receive (code 30)", SourceUnavailable, "fell silent", True),
        (127, "sh: rsync: command not found", SourceUnavailable, "not installed there", True),
        (126, "rsync: No such file or directory", ProgramUnusable, "cannot be started", True),
        (137, "", SourceUnavailable, "ended with code 137", False),
        (None, "whatever", SourceUnavailable, "within 7 seconds", False),
    ],
)
def test_an_end_is_one_of_our_errors(
    code: int | None, said: str, kind: type[FederationError], text: str, of_place: bool
) -> None:
    found = failure(ended(code, said), "host:bus", 7)
    assert type(found.error) is kind
    assert text in str(found.error)
    assert found.of_place is of_place
    assert "rsync error" not in str(found.error)


def test_who_knows_more_than_the_exit_code_says_it() -> None:
    found = failure(ended(23, "rsync: change_dir failed"), "host:bus", 7, "there is no such folder")
    assert str(found.error) == "host:bus: there is no such folder: change_dir failed"


@pytest.mark.parametrize(
    ("code", "said", "expected"),
    [
        (1, "rsync: --fsync: unknown option", True),
        (4, "The server is configured to refuse --fsync", True),
        (0, "--fsync", False),
        (23, "rsync: mkstemp failed", False),
        (None, "--fsync", False),
    ],
)
def test_a_server_that_knows_no_fsync_is_noticed(code: int | None, said: str, expected: bool) -> None:
    assert knows_no_fsync(ended(code, said)) is expected


@given(st.integers(0, 255) | st.none(), st.binary(max_size=2000))
def test_nothing_that_is_said_moves_a_terminal_or_floods_it(code: int | None, said: bytes) -> None:
    error = failure(Ended(code, b"", said, late=code is None), "host:bus", 7).error
    assert str(error).isprintable() and len(str(error)) < 500
