"""Git servers over smart http: the library's client, with what it leaves open closed.

Runs in a worker; loaded only for http. One request has one answer: no redirect is followed, since it could lead
anywhere, and no server that cannot speak the smart protocol is read file by file. What comes in is counted.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any, Final

from dulwich.client import GitClient, Urllib3HttpGitClient, default_urllib3_manager
from dulwich.config import ConfigDict
from urllib3.exceptions import HTTPError

from federation.transports.git_job import Address, Failure

_POST_BYTES: Final = 64 * 1024 * 1024  # larger pushes are sent in chunks, which some servers refuse
_GIT_CONTENT: Final = "application/x-git-"


def client_for(address: Address, moved: Callable[[int, str], None]) -> GitClient:
    """A client for a repository; `moved` is told of every piece that is read. Nothing is sent yet."""
    host = f"[{address.host}]" if ":" in address.host else address.host
    port = f":{address.port}" if address.port else ""
    base = f"{address.scheme}://{host}{port}{address.path}"
    config = ConfigDict()  # not the user's
    config.set((b"http",), b"postBuffer", str(_POST_BYTES).encode())
    pool: Any = _Pool(default_urllib3_manager(config, base_url=base), moved)
    return Urllib3HttpGitClient(
        base, pool_manager=pool, config=config, username=address.user, password=address.password, thin_packs=False
    )


class _Pool:
    """The library's connections, behind the one call that its client makes."""

    def __init__(self, pool: Any, moved: Callable[[int, str], None]) -> None:
        self._pool, self._moved = pool, moved
        self._last: Any = None
        self.headers: Mapping[str, str] = pool.headers

    def request(self, method: str, url: str, **given: Any) -> Any:
        """One request, one answer; its content is read as it is wanted."""
        if self._last is not None:
            self._last.close()  # of the first answer the library forgets that
        try:
            answer = self._last = self._pool.request(
                method, url, redirect=False, retries=False, decode_content=False, **given
            )
        except HTTPError as error:
            raise Failure("unreachable", f"cannot be reached: {_reason(error)}") from error
        if 300 <= answer.status < 400:
            raise Failure("unreachable", f"has moved (status {answer.status}); redirects are not followed")
        if answer.status == 403:
            raise Failure("not let in", "does not let us in (status 403)")
        if answer.status == 200 and not (answer.headers.get("Content-Type") or "").startswith(_GIT_CONTENT):
            raise Failure("unreachable", "is no git server that speaks the smart protocol")
        read, close = answer.read, answer.close

        def counted(size: int | None = None) -> bytes:
            data: bytes = read(size)
            self._moved(len(data), "read")
            return data

        def left() -> None:
            """The library stops where git's answer ends; when http's ends there too, the connection serves the next."""
            with contextlib.suppress(HTTPError):  # cut off here, it is of no more use
                if answer.closed or not read(1):
                    return
            close()

        answer.read, answer.close = counted, left
        return answer


def _reason(error: HTTPError) -> str:
    """What the system said, without the library's words around it."""
    cause = error.__cause__ or error.__context__
    return (cause.strerror if isinstance(cause, OSError) else None) or type(error).__name__
