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
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
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
    """All repositories of this machine by their paths, for one user with a password; who gets in may push.

    An encrypted one speaks https; whoever shall believe it has to be told its `certificate`.
    """

    def __init__(self, *, encrypted: bool = False) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="web-")  # the path of a socket may have about a hundred bytes
        folder = Path(self._folder.name)
        (folder / "users").write_text(f"{USER}:{{SHA}}{_sha1(PASSWORD)}\n")
        gateway = folder / "gateway"
        self.certificate = _make_certificate(folder) if encrypted else None
        with _listening(gateway) as to_gateway, socket.create_server(("127.0.0.1", 0)) as to_nginx:
            self.port = int(to_nginx.getsockname()[1])
            (folder / "nginx.conf").write_text(_config(folder, self.port, gateway, self.certificate))
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


def _make_certificate(folder: Path) -> Path:
    """One for the loopback, signed by itself, with its key beside it."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    made = made.add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
    pem = serialization.Encoding.PEM
    (folder / "key").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    (folder / "certificate").write_bytes(made.sign(key, hashes.SHA256()).public_bytes(pem))
    return folder / "certificate"


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


def _config(folder: Path, port: int, gateway: Path, certificate: Path | None) -> str:
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
            f"listen 127.0.0.1:{port}{' ssl' if certificate else ''};",
            *([f"ssl_certificate {certificate};", f"ssl_certificate_key {folder}/key;"] if certificate else []),
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
