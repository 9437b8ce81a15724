"""Real git servers on the loopback: git daemon, sshd with git behind it, git's own http backend with a login.

A program that is missing is a failure of the test, never a skip: `make test` installs it.
"""

from __future__ import annotations

import base64
import http.server
import os
import pwd
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Final

import pytest

from tests.servers.listener import Listener, Program
from tests.servers.processes import wait_for

USER: Final = "reader"
PASSWORD: Final = "p@ss:w/rd"


def program(name: str) -> str:
    """Where a program is; servers stand where no user's PATH leads."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    assert found is not None, f"{name} is missing: run scripts/install-debian-packages"
    return found


def remove_proxies(environment: pytest.MonkeyPatch) -> None:
    """Traffic to the loopback goes there, whatever proxy this machine uses."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        environment.delenv(name)


def git_daemon(root: Path, *, writable: bool = True) -> Listener:
    """git:// for all repositories below a folder."""
    argv = [program("git"), "daemon", "--inetd", "--export-all", f"--base-path={root}"]
    argv += ["--enable=receive-pack"] if writable else []
    return Listener(Program([*argv, str(root)]))


class SshServer:
    """sshd with keys of its own. `config` is what a client needs to get in; an `outdated` one knows no protocol v2."""

    def __init__(self, folder: Path, *, outdated: bool = False) -> None:
        folder.mkdir(mode=0o700)
        for name in ("host_key", "user_key"):
            argv = [program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name)]
            subprocess.run(argv, check=True)
        (folder / "authorized_keys").write_bytes((folder / "user_key.pub").read_bytes())
        server = {
            "HostKey": folder / "host_key",
            "AuthorizedKeysFile": folder / "authorized_keys",
            "StrictModes": "no",
            "UsePAM": "no",
            "PasswordAuthentication": "no",
            "KbdInteractiveAuthentication": "no",
            "PermitRootLogin": "prohibit-password",
            "PidFile": "none",
            **({} if outdated else {"AcceptEnv": "GIT_PROTOCOL"}),
        }
        _write(folder / "sshd_config", server)
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd wants it; at boot the system makes it
        self.listener = Listener(Program([program("sshd"), "-i", "-e", "-f", str(folder / "sshd_config")]))
        host_key = " ".join((folder / "host_key.pub").read_text().split()[:2])
        (folder / "known_hosts").write_text(f"[127.0.0.1]:{self.listener.port} {host_key}\n")
        self._master: subprocess.Popen[bytes] | None = None
        self.user = pwd.getpwuid(os.getuid()).pw_name
        self.port = self.listener.port
        self.config = folder / "ssh_config"
        client = {
            "IdentityFile": folder / "user_key",
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": folder / "known_hosts",
            "GlobalKnownHostsFile": "/dev/null",
            "StrictHostKeyChecking": "yes",
        }
        _write(self.config, client)

    def keep_open(self) -> None:
        """One connection for all clients from now on: a key exchange costs more than all that a small test does."""
        self._control = Path(tempfile.mkdtemp(prefix="ssh-"))  # the path of a socket may have about a hundred bytes
        socket = self._control / "control"
        argv = [program("ssh"), "-F", str(self.config), "-p", str(self.port), "-o", f"ControlPath={socket}"]
        argv += ["-o", "ControlMaster=yes", "-o", "BatchMode=yes", "-N", f"{self.user}@127.0.0.1"]
        self._master = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda: socket.exists() or self._has_ended())
        assert not self._has_ended(), "ssh did not get in"
        with self.config.open("a") as config:
            config.write(f"ControlPath {socket}\n")

    def _has_ended(self) -> bool:
        return self._master is None or self._master.poll() is not None

    def stop(self) -> None:
        if self._master is not None:
            self._master.kill()
            self._master.wait()
            shutil.rmtree(self._control)
        self.listener.stop()


def _write(path: Path, settings: dict[str, object]) -> None:
    path.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))


class HttpServer:
    """git http-backend behind a login. `requests` are methods and paths in their order, refused ones included, and
    `headers` is what came with them.
    """

    def __init__(self, root: Path, *, login: bool = True) -> None:
        self.requests: list[str] = []
        self.headers: list[str] = []
        served = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                served.requests.append(f"{self.command} {self.path}")
                served.headers.append(str(self.headers))
                expected = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
                if login and self.headers.get("Authorization") != f"Basic {expected}":
                    self._say(401, {"WWW-Authenticate": 'Basic realm="test"'}, b"who are you?")
                    return
                self._answer(_body(self))

            do_POST = do_GET

            def _answer(self, body: bytes) -> None:
                path, _, query = self.path.partition("?")
                environment = {
                    "PATH": os.environ["PATH"],
                    "GIT_PROJECT_ROOT": str(root),
                    "GIT_HTTP_EXPORT_ALL": "1",
                    "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                    "REMOTE_USER": USER,  # who is let in may push
                    "REMOTE_ADDR": "127.0.0.1",
                    "REQUEST_METHOD": self.command,
                    "PATH_INFO": path,
                    "QUERY_STRING": query,
                    "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                    "CONTENT_LENGTH": str(len(body)),
                }
                argv = [program("git"), "http-backend"]
                ran = subprocess.run(argv, input=body, env=environment, capture_output=True, check=False)
                head, _, content = ran.stdout.partition(b"\r\n\r\n")
                fields = dict(line.split(": ", 1) for line in head.decode().splitlines())
                status = int(fields.pop("Status", "200").split()[0])
                self._say(status, fields, content)

            def _say(self, status: int, fields: dict[str, str], content: bytes) -> None:
                self.send_response(status)
                for name, value in {**fields, "Content-Length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
                """Quiet."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


def _body(request: http.server.BaseHTTPRequestHandler) -> bytes:
    if request.headers.get("Transfer-Encoding") != "chunked":
        return request.rfile.read(int(request.headers.get("Content-Length", 0)))
    body = b""
    while size := int(request.rfile.readline(), 16):
        body += request.rfile.read(size)
        request.rfile.readline()
    request.rfile.readline()
    return body
