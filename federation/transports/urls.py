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
RsyncScheme = Literal["daemon", "ssh"]

MAX_URL_LENGTH: Final = 4096  # characters: PATH_MAX of Linux
_SHOWN: Final = 200  # characters of a refused text that an error repeats

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_REMOTE_HELPER: Final = re.compile(r"([A-Za-z0-9+.-]*)::")  # git runs a program for ext::, fd:: and whatever else
_DRIVE: Final = re.compile(r"[A-Za-z]:(?!//)|/[A-Za-z]:(?:/|$)")
_PATH: Final = re.compile(r"/|(?:~|\.\.?)(?:/|$)")  # `/x`, `./x`, `../x`, `~/x`, and the folders themselves
_HOST_AND_PATH: Final = re.compile(r"(?:([^/@]*)@)?[^/]*?:")  # the scp form: a colon before the first slash
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_USER: Final = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)
_QUERY: Final = re.compile(r"([?#]).+", re.DOTALL)
_BROKEN_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")

_HOST: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*", re.ASCII)  # no dash in front: it is no option
_IPV6: Final = re.compile(r"\[([0-9A-Fa-f:.]+)\]", re.ASCII)
_PORT: Final = re.compile(r":[0-9]{1,5}", re.ASCII)
_MAX_PORT: Final = 65535
_LOGIN: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*", re.ASCII)
_SHELL: Final = re.compile(r"[$`'\"\\;&|<>(){}*!\[\]]")  # the other side's shell may read a path once more
_GLOB: Final = re.compile(r"\?|^~")  # so may the other side's rsync
_LOOPBACK: Final = re.compile(r"localhost|127\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}|::1", re.ASCII)

_GIT_SCHEMES: Final[dict[str, GitScheme]] = {
    "git": "git",
    "git+ssh": "ssh",
    "git+https": "https",
    "git+http": "http",
    "git+file": "file",
}
# No host has such a name: a slash was forgotten.
_NO_HOSTS: Final = frozenset(["file", "ftp", "http", "https", "rsync", "ssh"])


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


class RsyncUrl(NamedTuple):
    """A folder that rsync reaches, piece by piece, nothing decoded: rsync itself decodes nothing.

    `path` is `module` or `module/path` of a daemon; over ssh it is absolute, or relative to the home folder there. An
    IPv6 address stands without brackets. Only a daemon takes a password.
    """

    kind: Literal["rsync"]
    scheme: RsyncScheme
    host: str
    port: int | None
    user: str | None
    password: str | None
    path: str
    display: str


def is_loopback(host: str) -> bool:
    """Whether what is sent to a host stays on this machine."""
    return _LOOPBACK.fullmatch(host) is not None


def parse(text: str) -> Url | GitUrl | RsyncUrl:
    """The place a URL names; InvalidUrl when its form is not allowed, not safe, or not supported by this version.

    Directories: `/path`, `./path`, `../path`, `~/path`, `file:///path`, and a bare name such as `bus` or `shared/bus`,
    which is a path from the working directory, as it is for cp, git and rsync. A bare name may hold no `@`, colon, `$(`
    or backtick: with `./` before it, it may. A folder whose name ends in `.git` is meant as a git remote, unless it is
    given as `file://`. Git beside that: `git+file://`, `git://`, `git+ssh://`, `git+https://`, `git+http://`, and
    `[user@]host:path.git`. Rsync: `rsync://` to a daemon, `rsync+ssh://`, and `[user@]host:path` for all other paths.
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
        _refuse(
            found[0], "names a program to run, which is no place (a module of an rsync daemon is rsync://host/module)"
        )
    if "\\" in piece or _DRIVE.match(piece):
        _refuse(text, "is a Windows path or holds a backslash")
    if piece.startswith("//"):
        _refuse(text, "begins with two slashes")


def _with_scheme(text: str, scheme: str) -> Url | GitUrl | RsyncUrl:
    if scheme == "file":
        return Url("directory", Path(_path_of_file_url(text)), text)
    if scheme == "git+file":
        return GitUrl("git", "file", "", None, None, None, _path_of_file_url(text), text)
    if scheme in _GIT_SCHEMES:
        return _git_server(text, _GIT_SCHEMES[scheme])
    if scheme == "rsync":
        return _rsync_daemon(text)
    if scheme == "rsync+ssh":
        return _rsync_over_ssh(text)
    _refuse(text, f"{scheme}:// is no kind of remote")


# --- git servers -----------------------------------------------------------------------------------------------------


def _git_server(text: str, scheme: GitScheme) -> GitUrl:
    login, server, path = _pieces(text, "a git URL")
    if _BROKEN_ESCAPE.search(text):
        _refuse(text, "holds a % that is not followed by two hex digits")
    host, port = _host_and_port(text, server)
    user, password = (None, None) if login is None else _login(text, login, scheme)
    if scheme in ("git", "ssh"):
        path = _decoded(text, path)
    _refuse_unsafe_path(path, text, "names no repository on its host")
    display = without_secrets(text) if scheme in ("http", "https") else text
    found = GitUrl("git", scheme, host, port, user, password, path, display)
    if (user or password) and scheme == "http" and not found.may_carry_secrets:
        _refuse(text, "credentials are never sent over plain http: use git+https://")
    return found


def _pieces(text: str, what: str) -> tuple[str | None, str, str]:
    """What stands before an `@`, None without one; host and port; and the path, with its slash."""
    if "?" in text or "#" in text:
        _refuse(text, f"{what} has no ? and no #")
    place, slash, rest = text[text.index("://") + 3 :].partition("/")
    login, at, server = place.rpartition("@")
    return login if at else None, server, slash + rest


def _refuse_unsafe_path(path: str, text: str, if_empty: str) -> None:
    """Refuse a path on a host that another program could take for more than a path."""
    if not path.strip("/"):
        _refuse(text, if_empty)
    _refuse_unsafe(path, text)
    if _SHELL.search(path):
        _refuse(text, "holds a sign that a shell could read as a command")


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
    if scheme == "git":
        _refuse(text, "git:// takes no user")
    if scheme == "ssh":
        return _ssh_user(text, login), None
    user, colon, password = login.partition(":")
    user, password = _decoded(text, user), _decoded(text, password)
    if not user or ":" in user or _CONTROL.search(user + password):
        _refuse(text, "holds no user, or one that cannot be sent")
    return user, password if colon else None


def _ssh_user(text: str, login: str) -> str:
    if ":" in login:
        _refuse(text, "ssh takes no password from a URL")
    if not _LOGIN.fullmatch(login):
        _refuse(text, "names no user")
    return login


# --- rsync -----------------------------------------------------------------------------------------------------------


def _rsync_daemon(text: str) -> RsyncUrl:
    login, server, path = _pieces(text, "an rsync URL")
    host, port = _host_and_port(text, server)
    user, colon, password = (login or "").partition(":")
    if login is not None and not _LOGIN.fullmatch(user):
        _refuse(text, "names no user")
    password = _decoded(text, password)
    if _CONTROL.search(password):
        _refuse(text, "holds a password that cannot be sent")
    path = path[1:]
    _refuse_unsafe_rsync_path(path, text, "names no module of its host")
    if path.startswith("/"):
        _refuse(text, "names no module: two slashes behind the host")
    display = without_secrets(text) if colon else text
    return RsyncUrl("rsync", "daemon", host, port, user or None, password if colon else None, path, display)


def _rsync_over_ssh(text: str) -> RsyncUrl:
    """The path is absolute, or with `/~/` in front relative to the home folder."""
    login, server, path = _pieces(text, "an rsync URL")
    host, port = _host_and_port(text, server)
    user = None if login is None else _ssh_user(text, login)
    path = path.removeprefix("/~/")
    _refuse_unsafe_rsync_path(path, text, "names no folder on its host")
    return RsyncUrl("rsync", "ssh", host, port, user, None, path, text)


def _refuse_unsafe_rsync_path(path: str, text: str, if_empty: str) -> None:
    _refuse_unsafe_path(path, text, if_empty)
    if _GLOB.search(path):
        _refuse(text, "holds a sign that rsync could read as something else")


# --- the form of scp -------------------------------------------------------------------------------------------------


def _scp_form(text: str) -> GitUrl | RsyncUrl | None:
    """`[user@]host:path`: git when it ends in `.git`, else rsync; None for a plain name."""
    if "$(" in text or "`" in text:
        _refuse(text, "holds a shell command")
    if text.startswith("~"):
        _refuse(text, "the home of another user is not looked up")
    found = _HOST_AND_PATH.match(text)
    if found is None:
        if "@" in text:
            _refuse(text, "an @ names a user on a host: for a folder, begin with ./")
        return None
    before, path = text[: found.end() - 1], text[found.end() :]
    login, at, host = before.rpartition("@")
    user = login if at else None
    if user is not None and not _LOGIN.fullmatch(user):
        _refuse(text, "names no user")
    if not _HOST.fullmatch(host):
        _refuse(text, "names no host")
    if _ends_in_git(text):
        _refuse_unsafe_path(path, text, "names no repository on its host")
        return GitUrl("git", "ssh", host, None, user, None, path, text)
    if user is None and host.lower() in _NO_HOSTS:
        _refuse(text, f"begins like a URL: write {host.lower()}://, or for a folder, begin with ./")
    if path.startswith(":"):
        _refuse(text, "a module of an rsync daemon is rsync://host/module")
    path = path.removeprefix("~/")
    _refuse_unsafe_rsync_path(path, text, "names no folder on its host: for the home folder, write host:.")
    return RsyncUrl("rsync", "ssh", host, None, user, None, path, text)


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
