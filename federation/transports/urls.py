"""URLs: which remote does a text name, and is it safe to go there?

Pure. What a person or a config file wrote in, a Url or an InvalidUrl out, against a list of what is allowed and before
any library sees the text (DESIGN 5). Nothing that may be a secret gets into `display` or into an error [R2]. Looks at
no disk: whether a place is there, and what it is, the transport finds out.
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import Final, Literal, NamedTuple, NoReturn
from urllib.parse import unquote

from federation.errors import InvalidUrl

GitScheme = Literal["file", "git", "ssh", "http", "https"]

MAX_URL_LENGTH: Final = 4096  # characters: PATH_MAX of Linux
_SHOWN: Final = 200  # characters of a refused text that an error repeats

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_REMOTE_HELPER: Final = re.compile(r"([A-Za-z0-9+.-]*)::")  # git runs a program for ext::, fd:: and whatever else
_DRIVE: Final = re.compile(r"[A-Za-z]:(?!//)|/[A-Za-z]:(?:/|$)")
_PATH: Final = re.compile(r"/|(?:~|\.\.?)(?:/|$)")  # `/x`, `./x`, `../x`, `~/x`, and the folders themselves
_HOST_AND_PATH: Final = re.compile(r"(?:([^/@]*)@)?[^/]*?:")  # the scp form: a colon before the first slash
_USER: Final = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)
_QUERY: Final = re.compile(r"([?#]).+", re.DOTALL)
_BROKEN_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")

_HOST: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*", re.ASCII)  # no dash in front: it is no option
_IPV6: Final = re.compile(r"\[([0-9A-Fa-f:.]+)\]", re.ASCII)
_PORT: Final = re.compile(r":[0-9]{1,5}", re.ASCII)
_MAX_PORT: Final = 65535
_LOGIN: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*", re.ASCII)
_SHELL: Final = re.compile(r"[$`'\"\\;&|<>(){}*!\[\]]")  # the other side's shell may read a path once more
_LOOPBACK: Final = re.compile(r"localhost|127\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}|::1", re.ASCII)

_GIT_SCHEMES: Final[dict[str, GitScheme]] = {
    "git": "git",
    "git+ssh": "ssh",
    "git+https": "https",
    "git+http": "http",
    "git+file": "file",
}


class Url(NamedTuple):
    """A place that a transport may be asked to reach.

    `path` is as it was written, percent-decoded in `file://`: it may be relative, or begin with `~`. Only the app knows
    the working directory and the home folder, so it has to make the path absolute before it is stored or used.
    `display` is fit for status, logs and JSON.
    """

    kind: Literal["directory"]
    path: Path
    display: str


class GitUrl(NamedTuple):
    """A git repository, piece by piece. `path` of a `file` is as it was written, as in Url; else it is decoded.

    `host` is empty for a `file`, and an IPv6 address stands without brackets. Only http and https have a password.
    """

    kind: Literal["git"]
    scheme: GitScheme
    host: str
    port: int | None
    user: str | None
    password: str | None
    path: str
    display: str

    @property
    def may_carry_secrets(self) -> bool:
        """Whether credentials may go there: never in plain text over a network."""
        return self.scheme == "https" or (self.scheme == "http" and is_loopback(self.host))


def is_loopback(host: str) -> bool:
    """Whether what is sent to a host stays on this machine."""
    return _LOOPBACK.fullmatch(host) is not None


def parse(text: str) -> Url | GitUrl:
    """The place a URL names; InvalidUrl when its form is not allowed, not safe, or not supported by this version.

    Directories: `/path`, `./path`, `../path`, `~/path`, `file:///path`, and a bare name such as `bus` or `shared/bus`,
    which is a path from the working directory, as it is for cp, git and rsync. A bare name may hold no `@`, colon, `$(`
    or backtick: with `./` before it, it may. A folder whose name ends in `.git` is meant as a git remote, unless it is
    given as `file://`. Git beside that: `git+file://`, `git://`, `git+ssh://`, `git+https://`, `git+http://`, and
    `[user@]host:path.git`.
    """
    _refuse_unsafe(text, text)
    if found := _SCHEME.match(text):
        return _with_scheme(text, found[1].lower())
    on_host = None if _PATH.match(text) else _scp_form(text)
    if on_host is not None:
        return on_host
    if _ends_in_git(text):
        return GitUrl("git", "file", "", None, None, None, text, text)
    return Url("directory", Path(text), text)


def without_secrets(text: str) -> str:
    """A text that may be a URL, fit to be shown: what stands where passwords and tokens stand is left out [R2].

    Everything up to the last `@` goes: a password with a slash in it would else be taken for a host. Only a plain
    user name before a host stays. So do `?` and `#`, but not what follows them.
    """
    scheme = _SCHEME.match(text)
    rest = text[scheme.end() :] if scheme else text
    user, at, place = rest.rpartition("@")
    if at and (scheme or not _USER.fullmatch(user)):
        rest = f"***@{place}"
    if scheme:
        rest = _QUERY.sub(r"\1***", rest)
    return (scheme[0] if scheme else "") + rest


def _refuse_unsafe(piece: str, text: str) -> None:
    """Refuse what no place's name may be, whatever its form: a URL, or the path decoded from it."""
    if not piece or piece != piece.strip():
        _refuse(text, "is empty, or begins or ends with a space")
    if len(piece) > MAX_URL_LENGTH:
        _refuse(text, f"is longer than {MAX_URL_LENGTH} characters")
    if any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in piece):
        _refuse(text, "holds a control character, a line break or half a character")
    if piece.startswith("-"):
        _refuse(text, "begins with a dash and could be taken for an option")
    if found := _REMOTE_HELPER.match(piece):
        _refuse(found[0], "names a program to run, which is no place")
    if "\\" in piece or _DRIVE.match(piece):
        _refuse(text, "is a Windows path or holds a backslash")
    if piece.startswith("//"):
        _refuse(text, "begins with two slashes")


def _with_scheme(text: str, scheme: str) -> Url | GitUrl:
    if scheme == "file":
        return Url("directory", Path(_path_of_file_url(text)), text)
    if scheme == "git+file":
        return GitUrl("git", "file", "", None, None, None, _path_of_file_url(text), text)
    if scheme in _GIT_SCHEMES:
        return _git_server(text, _GIT_SCHEMES[scheme])
    if scheme == "rsync":
        _refuse(text, "rsync remotes are not supported by this version")
    _refuse(text, f"{scheme}:// is no kind of remote")


# --- git servers -----------------------------------------------------------------------------------------------------


def _git_server(text: str, scheme: GitScheme) -> GitUrl:
    if "?" in text or "#" in text:
        _refuse(text, "a git URL has no ? and no #")
    if _BROKEN_ESCAPE.search(text):
        _refuse(text, "holds a % that is not followed by two hex digits")
    place, slash, rest = text[text.index("://") + 3 :].partition("/")
    login, at, server = place.rpartition("@")
    path = slash + rest
    host, port = _host_and_port(text, server)
    user, password = _login(text, login, scheme) if at else (None, None)
    if scheme in ("git", "ssh"):
        path = _decoded(text, path)
    if len(path) < 2:
        _refuse(text, "names no repository on its host")
    _refuse_unsafe(path, text)
    if _SHELL.search(path):
        _refuse(text, "holds a sign that a shell could read as a command")
    display = without_secrets(text) if scheme in ("http", "https") else text
    found = GitUrl("git", scheme, host, port, user, password, path, display)
    if (user or password) and scheme == "http" and not found.may_carry_secrets:
        _refuse(text, "credentials are never sent over plain http: use git+https://")
    return found


def _host_and_port(text: str, server: str) -> tuple[str, int | None]:
    literal = _IPV6.match(server)
    if literal:
        host, rest = literal[1], server[literal.end() :]
    else:
        host, colon, port = server.partition(":")
        rest = colon + port
        if not _HOST.fullmatch(host):
            _refuse(text, "names no host")
    if not rest:
        return host, None
    if not _PORT.fullmatch(rest) or not 1 <= int(rest[1:]) <= _MAX_PORT:
        _refuse(text, "names no port")
    return host, int(rest[1:])


def _login(text: str, login: str, scheme: GitScheme) -> tuple[str, str | None]:
    user, colon, password = login.partition(":")
    if scheme == "git":
        _refuse(text, "git:// takes no user")
    if scheme == "ssh":
        if colon:
            _refuse(text, "ssh takes no password from a URL")
        if not _LOGIN.fullmatch(user):
            _refuse(text, "names no user")
        return user, None
    user, password = _decoded(text, user), _decoded(text, password)
    if not user or ":" in user or any(unicodedata.category(sign) == "Cc" for sign in user + password):
        _refuse(text, "holds no user, or one that cannot be sent")
    return user, password if colon else None


def _scp_form(text: str) -> GitUrl | None:
    """`[user@]host:path.git`; None for a plain name. What could mean something to another program is refused."""
    if "$(" in text or "`" in text:
        _refuse(text, "holds a shell command")
    if text.startswith("~"):
        _refuse(text, "the home of another user is not looked up")
    found = _HOST_AND_PATH.match(text)
    if found is None:
        if "@" in text:
            _refuse(text, "an @ names a user on a host: for a folder, begin with ./")
        return None
    if not _ends_in_git(text):
        if found[1]:
            _refuse(text, "rsync remotes are not supported by this version")
        _refuse(text, "a colon before the first slash names a host: for a folder, begin with ./")
    before, path = text[: found.end() - 1], text[found.end() :]
    user, at, host = before.rpartition("@")
    if at and not _LOGIN.fullmatch(user):
        _refuse(text, "names no user")
    if not _HOST.fullmatch(host):
        _refuse(text, "names no host")
    _refuse_unsafe(path, text)
    if _SHELL.search(path):
        _refuse(text, "holds a sign that a shell could read as a command")
    return GitUrl("git", "ssh", host, None, user if at else None, None, path, text)


# --- paths -----------------------------------------------------------------------------------------------------------


def _path_of_file_url(text: str) -> str:
    host, slash, rest = text[text.index("://") + 3 :].partition("/")
    if host.lower() not in ("", "localhost") or not slash:
        _refuse(text, "takes an absolute path on this machine: file:///path")
    if "?" in rest or "#" in rest:
        _refuse(text, "a ? or # in file:// is written %3F or %23")
    if _BROKEN_ESCAPE.search(rest):
        _refuse(text, "holds a % that is not followed by two hex digits")
    path = "/" + _decoded(text, rest)
    _refuse_unsafe(path, text)
    return path


def _decoded(text: str, piece: str) -> str:
    try:
        return unquote(piece, errors="strict")
    except UnicodeDecodeError:
        _refuse(text, "holds %-escapes that are not UTF-8")


def _ends_in_git(text: str) -> bool:
    return text.rstrip("/").endswith(".git")


def _refuse(text: str, reason: str) -> NoReturn:
    """`repr` shows no control, escape or bidi character as itself: a refused text is still a foreign text."""
    shown = without_secrets(text)
    raise InvalidUrl(f"{shown[:_SHOWN] + '…' if len(shown) > _SHOWN else shown!r}: {reason}")
