"""git over http as forges and people run it: nginx asks for a login, fcgiwrap runs git's own backend.

Both get their sockets from us, open and listening, so nobody has to guess a free port or wait until a server is up.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.servers.git_servers import PASSWORD, USER, program

_TEMPORARY: Final = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
_PASSED_ON: Final = {
    "PATH_INFO": "$uri",
    "QUERY_STRING": "$query_string",
    "REQUEST_METHOD": "$request_method",
    "CONTENT_TYPE": "$content_type",
    "CONTENT_LENGTH": "$content_length",
    "HTTP_CONTENT_ENCODING": "$http_content_encoding",
    "GIT_PROTOCOL": "$http_git_protocol",
    "REMOTE_USER": "$remote_user",
    "REMOTE_ADDR": "$remote_addr",
}


class WebServer:
    """All repositories of this machine by their paths, for one user with a password; who gets in may push."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="web-")  # the path of a socket may have about a hundred bytes
        folder = Path(self._folder.name)
        (folder / "users").write_text(f"{USER}:{{SHA}}{_sha1(PASSWORD)}\n")
        gateway = folder / "gateway"
        with _listening(gateway) as to_gateway, socket.create_server(("127.0.0.1", 0)) as to_nginx:
            self.port = int(to_nginx.getsockname()[1])
            (folder / "nginx.conf").write_text(_config(folder, self.port, gateway))
            # Each serves the socket that it finds at a descriptor: fcgiwrap at 0, nginx at the one that NGINX names.
            self._gateway = _start([program("fcgiwrap"), "-c", "4"], stdin=to_gateway)
            argv = [program("nginx"), "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"]
            self._nginx = _start(argv, inherited=to_nginx, environment={"NGINX": f"{to_nginx.fileno()};"})

    def stop(self) -> None:
        for server in (self._nginx, self._gateway):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)
            server.wait()
        self._folder.cleanup()


def _sha1(text: str) -> str:
    return base64.b64encode(hashlib.sha1(text.encode()).digest()).decode()


def _listening(path: Path) -> socket.socket:
    found = socket.socket(socket.AF_UNIX)
    found.bind(str(path))
    found.listen()
    return found


def _start(
    argv: list[str],
    *,
    stdin: socket.socket | None = None,
    inherited: socket.socket | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL if stdin is None else stdin.fileno(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=() if inherited is None else (inherited.fileno(),),
        env={**os.environ, **(environment or {})},
        start_new_session=True,
    )


def _config(folder: Path, port: int, gateway: Path) -> str:
    backend = subprocess.run([program("git"), "--exec-path"], capture_output=True, text=True, check=True).stdout.strip()
    passed = {"SCRIPT_FILENAME": f"{backend}/git-http-backend", "GIT_PROJECT_ROOT": "/", "GIT_HTTP_EXPORT_ALL": "1"}
    lines = [f"{name}_temp_path {folder}/{name};" for name in _TEMPORARY]
    params = [f'fastcgi_param {name} "{value}";' for name, value in {**passed, **_PASSED_ON}.items()]
    return "\n".join(
        [
            "daemon off;",
            *(["user root;"] if os.getuid() == 0 else []),  # else it would become another one, who may read nothing
            f"pid {folder}/pid;",
            "events {}",
            "http {",
            "access_log off;",
            *lines,
            "server {",
            f"listen 127.0.0.1:{port};",
            "client_max_body_size 0;",
            "location / {",
            'auth_basic "test";',
            f"auth_basic_user_file {folder}/users;",
            f"fastcgi_pass unix:{gateway};",
            *params,
            "}}}",
            "",
        ]
    )
