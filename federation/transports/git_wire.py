"""Git servers: how each kind is reached, over git:// or the system's ssh; http stands in git_http.

Runs in a worker. The library gets its pieces one by one, never a URL with a login: secrets stand in no text it could
repeat [R2], and nothing in its arguments can be taken for an option. It sees no config of the user's. What comes in is
counted, and cut off when it is more than we take.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator, Sequence
from typing import Final

from dulwich.client import (
    GitClient,
    HTTPProxyUnauthorized,
    HTTPUnauthorized,
    SSHGitClient,
    SSHVendor,
    SubprocessWrapper,
    TCPGitClient,
)
from dulwich.errors import GitProtocolError, HangupException, NotGitRepository

from federation.transports.git_job import Address, Failure
from federation.transports.ssh import ssh_argv

_MAX_SAID: Final = 300  # characters of what a server says that are repeated
_NOT_LET_IN: Final = ("permission denied", "host key verification failed", "too many authentication failures")
_NOT_WRITABLE: Final = ("service not enabled",)


def connect(address: Address, max_bytes: int) -> tuple[GitClient, bytes]:
    """A client for a server, and the path to ask it for. Nothing is sent yet."""
    count = _Count(max_bytes)
    path = address.path.encode()
    match address.scheme:
        case "git":
            return TCPGitClient(address.host, address.port, thin_packs=False, report_activity=count.moved), path
        case "ssh":
            vendor = _SystemSsh(address.ssh_config)
            client = SSHGitClient(
                address.host,
                port=address.port,
                username=address.user,
                vendor=vendor,
                thin_packs=False,
                report_activity=count.moved,
            )
            return client, path
        case "http" | "https":
            from federation.transports.git_http import client_for  # urllib3 costs as much as all the rest

            return client_for(address, count.moved), b""
    raise ValueError(f"no scheme {address.scheme!r}")


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Turn what the library and the system raise into a Failure."""
    try:
        yield
    except HTTPUnauthorized as error:
        raise Failure("unauthorized", "asks for credentials") from error
    except HTTPProxyUnauthorized as error:
        raise Failure("not let in", "the proxy on the way asks for credentials") from error
    except NotGitRepository as error:
        raise Failure("unreachable", "is no git repository, or is not shown to us") from error
    except HangupException as error:
        lines = [line.decode("utf-8", "replace") for line in error.stderr_lines or []]
        raise _of_what_was_said(lines, "the connection was cut off") from error
    except GitProtocolError as error:
        raise _of_what_was_said([str(error)], "the transfer failed") from error
    except (OSError, AssertionError, EOFError, IndexError, KeyError, TypeError, ValueError) as error:
        # No such host, nobody there, cut off; the rest is what the library does with an answer it did not expect.
        text = error.strerror if isinstance(error, OSError) else None
        raise Failure("unreachable", text or f"not an answer of a git server ({type(error).__name__})") from error


def _of_what_was_said(lines: Sequence[str], otherwise: str) -> Failure:
    """The failure behind the words of a server or of ssh: the last line that says something."""
    said = " ".join("".join(c if c.isprintable() else " " for c in line).strip() for line in lines[-4:]).strip()
    lower = " ".join(lines).lower()
    kind = "unreachable"
    if any(words in lower for words in _NOT_LET_IN):
        kind = "not let in"
    elif any(words in lower for words in _NOT_WRITABLE):
        kind = "read only"
    return Failure(kind, f"{otherwise}: {said[:_MAX_SAID]}" if said else otherwise)


class _Count:
    """Bytes that came in, and the most that may."""

    def __init__(self, max_bytes: int) -> None:
        self._left = max_bytes

    def moved(self, size: int, way: str) -> None:
        """Called by the library for each piece, before its content is read."""
        if way == "read":
            self._left -= size
            if self._left < 0:
                raise Failure("damaged", "more bytes than are taken at once")


# --- ssh -------------------------------------------------------------------------------------------------------------


class _SystemSsh(SSHVendor):
    """The ssh of this system, in batch mode: it never asks, and opens nothing beside the one session."""

    def __init__(self, config: str | None) -> None:
        self._config = config

    def run_command(  # the library's signature
        self,
        host: str,
        command: bytes,
        username: str | None = None,
        port: int | None = None,
        password: str | None = None,
        key_filename: str | None = None,
        ssh_command: str | None = None,
        protocol_version: int | None = None,
    ) -> SubprocessWrapper:
        """Start ssh; host and user were checked when the URL was parsed, and stand behind `--`."""
        argv = ssh_argv(self._config, port)
        environment = dict(os.environ)
        if command.startswith(b"git-upload-pack"):
            argv += ["-o", "SendEnv=GIT_PROTOCOL"]
            environment["GIT_PROTOCOL"] = "version=2"
        argv += ["--", f"{username}@{host}" if username else host]
        try:
            started = subprocess.Popen(
                [*argv, command],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
            )
        except OSError as error:
            raise Failure("unreachable", f"ssh cannot be started: {error.strerror}") from error
        return SubprocessWrapper(started)
