"""Real rsync servers on the loopback, and ways to make the calls of the transport without a worker around them."""

from __future__ import annotations

import contextlib
import os
import pwd
import socket
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from federation.transports.child import Ended
from federation.transports.rsync import Work
from federation.transports.rsync_command import Command
from federation.transports.rsync_worker import environment
from tests.servers.git_servers import program
from tests.servers.listener import Listener, Program

MODULE: Final = "shared"
USER: Final = "reader"
PASSWORD: Final = "p@ss w/rd"
_FILE_IO: Final = 11


def rsync_daemon(root: Path, folder: Path, *settings: str, rsync: str | None = None) -> Listener:
    """An rsync daemon with one module. `folder` is for its config, `settings` are lines for the module."""
    folder.mkdir(exist_ok=True)
    (folder / "secrets").write_text(f"{USER}:{PASSWORD}\n")
    (folder / "secrets").chmod(0o600)
    rights = [f"uid = {os.getuid()}", f"gid = {os.getgid()}"] if os.getuid() == 0 else []
    lines = [f"[{MODULE}]", f"path = {root}", "use chroot = no", "read only = no", *rights, *settings]
    (folder / "rsyncd.conf").write_text("\n".join([*lines, ""]))
    return Listener(Program([rsync or program("rsync"), "--daemon", f"--config={folder / 'rsyncd.conf'}"]))


def login_needed(folder: Path) -> tuple[str, str]:
    """Lines for a module that lets only one user in."""
    return f"auth users = {USER}", f"secrets file = {folder / 'secrets'}"


def in_this_process(command: Command, deadline_seconds: float) -> Ended:
    """The same call, without the worker around it: for what is not about processes."""
    ran = subprocess.run(
        command.argv,
        input=command.given.encode(),
        env=environment(os.environ, command.environment),
        capture_output=True,
        cwd="/",
        start_new_session=True,
        timeout=deadline_seconds,
        check=False,
    )
    return Ended(ran.returncode, ran.stdout, ran.stderr, late=False)


def breaking_after(visible: int) -> Work:
    """Calls that break down when so many files were made visible on the other side."""
    left = visible

    def work(command: Command, deadline_seconds: float) -> Ended:
        nonlocal left
        if "--files-from=-" not in command.argv:
            return in_this_process(command, deadline_seconds)
        names = command.given.splitlines()
        some = command._replace(given="".join(f"{name}\n" for name in names[:left]))
        whole = len(names) <= left
        left -= len(names[:left])
        ended = in_this_process(some, deadline_seconds) if some.given else Ended(0, b"", b"", late=False)
        return ended if whole else ended._replace(code=_FILE_IO, errors=b"rsync: write failed: No space left\n")

    return work


def counting(work: Work, calls: list[Sequence[str]]) -> Work:
    """The same, with the words of each call put down."""

    def counted(command: Command, deadline_seconds: float) -> Ended:
        calls.append(command.argv)
        return work(command, deadline_seconds)

    return counted


def home() -> str:
    """Of the user that runs the tests."""
    return pwd.getpwuid(os.getuid()).pw_dir


# --- on the way to a server ------------------------------------------------------------------------------------------


class Between:
    """Passes connections on to another port. What comes down is changed or held back; so much, and it hangs up."""

    def __init__(
        self,
        port: int,
        *,
        down: Callable[[bytes], bytes] = bytes,
        up_bytes: int | None = None,
        down_bytes: int | None = None,
    ) -> None:
        self._port, self._down = port, down
        self._up_bytes, self._down_bytes = up_bytes, down_bytes

    def __call__(self, connection: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", self._port)) as server:
            upwards = [connection, server, bytes, self._up_bytes]
            up = threading.Thread(target=_pass, args=upwards, daemon=True)
            up.start()
            _pass(server, connection, self._down, self._down_bytes)
            up.join()


def _pass(
    source: socket.socket, target: socket.socket, change: Callable[[bytes], bytes], most_bytes: int | None
) -> None:
    """Pass on until one of them ends or enough has passed; then both have ended."""
    left = most_bytes
    with contextlib.suppress(OSError):
        while left != 0 and (data := source.recv(65536)):
            passed = change(data) if left is None else change(data)[:left]
            left = None if left is None else left - len(passed)
            target.sendall(passed)
    for one in (source, target):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


def trickle(data: bytes) -> bytes:
    """Nothing of it, and the connection stays open: the other side looks alive, and is never done."""
    threading.Event().wait(0.2)
    return data[:1]


class Replacing:
    """Puts other bytes in the place of some, and counts how often."""

    def __init__(self, old: bytes, new: bytes) -> None:
        assert len(old) == len(new), "the protocol counts bytes"
        self._old, self._new = old, new
        self.count = 0

    def __call__(self, data: bytes) -> bytes:
        self.count += data.count(self._old)
        return data.replace(self._old, self._new)
