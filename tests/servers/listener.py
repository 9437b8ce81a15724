"""A port of the loopback where each connection gets what the test says: a real server in inetd mode, or a bad one.

The kernel picks the port, so no two tests meet. `stop` (or leaving the `with`) ends every process that was started.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Final, Protocol, Self

_PACK: Final = re.compile(rb"PACK\0\0\0\x02(....)", re.DOTALL)
_PACK_START_BYTES: Final = 12
_CLOSED: Final = -1  # what a closed socket gives as its descriptor


class Answering(Protocol):
    """What is done with a connection."""

    def __call__(self, connection: socket.socket) -> None: ...


class Listener:
    """Accepts until it is stopped; each connection has a thread of its own."""

    def __init__(self, answer: Answering) -> None:
        self._answer = answer
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.accepted = 0
        self._open: set[socket.socket] = set()
        self._changing = threading.Lock()  # what is open
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return  # stopped
            self.accepted += 1
            with self._changing:
                self._open.add(connection)
            thread = threading.Thread(target=self._serve, args=[connection], daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            self._answer(connection)
        with self._changing:
            self._open.discard(connection)

    def stop(self) -> None:
        """Close the port and all connections, and wait until everybody who served one is done."""
        _close(self._socket)
        self._accepting.join()
        with self._changing:
            still_open = list(self._open)
        for connection in still_open:
            _close(connection)
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _close(connection: socket.socket) -> None:
    """Whoever waits for it in another thread is told that it ended."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


class Program:
    """A server program that speaks to one connection over its standard input and output, until that is closed."""

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self._argv, self._environment = argv, {**os.environ, **(environment or {})}

    def __call__(self, connection: socket.socket) -> None:
        with connection.dup() as given:  # so that it is open while the process starts, whoever closes ours
            process = subprocess.Popen(
                self._argv,
                stdin=given.fileno(),
                stdout=given.fileno(),
                stderr=subprocess.DEVNULL,
                env=self._environment,
                start_new_session=True,
            )
        try:
            # However long it lasts: a shared ssh connection lives as long as the suite that opened it.
            while connection.fileno() != _CLOSED and process.poll() is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.1)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


class Counting:
    """Passes a connection on to another port, and counts what moves: before it arrives, so nothing is counted late.

    `objects` has a number for each pack that was seen, either way.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self.up_bytes = self.down_bytes = 0
        self.objects: list[int] = []

    def __call__(self, connection: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", self._port)) as server:
            up = threading.Thread(target=self._pass_up, args=[connection, server], daemon=True)
            up.start()
            try:
                end = b""
                while data := server.recv(65536):
                    self.down_bytes += len(data)
                    end = self._look(end + data)
                    connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
            finally:
                up.join()  # until the client hangs up, or we do

    def _pass_up(self, connection: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            end = b""
            while data := connection.recv(65536):
                self.up_bytes += len(data)
                end = self._look(end + data)
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)

    def _look(self, data: bytes) -> bytes:
        """Look for the start of a pack; what may be a piece of one is seen again with what follows."""
        found = _PACK.search(data)
        if found is None:
            return data[-(_PACK_START_BYTES - 1) :]
        self.objects.append(int.from_bytes(found[1], "big"))
        return data[found.end() :][-(_PACK_START_BYTES - 1) :]


def silent(connection: socket.socket) -> None:
    """Says nothing as long as somebody listens."""
    while connection.recv(65536):
        pass


def dripping(connection: socket.socket) -> None:
    """Says a byte of a listing now and then: always alive, never done."""
    connection.settimeout(None)
    with contextlib.suppress(OSError):
        for digit in b"fff0" + b"0" * 10_000:
            connection.send(bytes([digit]))
            if threading.Event().wait(0.05):
                return


def cutting(connection: socket.socket) -> None:
    """Hangs up in the middle of a line."""
    connection.recv(65536)
    connection.send(b"003e" + b"0" * 20)
