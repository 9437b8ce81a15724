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

_NOT_YET: Final = {
    "rsync": "rsync",
    "git+ssh": "git",
    "git+https": "git",
    "git+file": "git",
    "git": "git",
}
"""Schemes that are remotes by DESIGN 5 but have no transport in this version."""


class Url(NamedTuple):
    """A place that a transport may be asked to reach.

    `path` is as it was written, percent-decoded in `file://`: it may be relative, or begin with `~`. Only the app knows
    the working directory and the home folder, so it has to make the path absolute before it is stored or used.
    `display` is fit for status, logs and JSON.
    """

    kind: Literal["directory"]
    path: Path
    display: str


def parse(text: str) -> Url:
    """The place a URL names; InvalidUrl when its form is not allowed, not safe, or not supported by this version.

    Directories: `/path`, `./path`, `../path`, `~/path`, `file:///path`, and a bare name such as `bus` or `shared/bus`,
    which is a path from the working directory, as it is for cp, git and rsync. A bare name may hold no `@`, colon, `$(`
    or backtick: with `./` before it, it may. A folder whose name ends in `.git` is meant as a git remote, unless it is
    given as `file://`.
    """
    _refuse_unsafe(text, text)
    if found := _SCHEME.match(text):
        return _with_scheme(text, found[1].lower())
    if not _PATH.match(text):
        _refuse_other_programs_forms(text)
    if _ends_in_git(text):
        _refuse(text, "git remotes are not supported by this version")
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


def _with_scheme(text: str, scheme: str) -> Url:
    if scheme == "file":
        return Url("directory", Path(_path_of_file_url(text)), text)
    if scheme in _NOT_YET:
        _refuse(text, f"{_NOT_YET[scheme]} remotes are not supported by this version")
    _refuse(text, f"{scheme}:// is no kind of remote")


def _path_of_file_url(text: str) -> str:
    host, slash, rest = text[len("file://") :].partition("/")
    if host.lower() not in ("", "localhost") or not slash:
        _refuse(text, "file:// takes an absolute path on this machine: file:///path")
    if "?" in rest or "#" in rest:
        _refuse(text, "a ? or # in file:// is written %3F or %23")
    if _BROKEN_ESCAPE.search(rest):
        _refuse(text, "holds a % that is not followed by two hex digits")
    try:
        path = "/" + unquote(rest, errors="strict")
    except UnicodeDecodeError:
        _refuse(text, "holds %-escapes that are not UTF-8")
    _refuse_unsafe(path, text)
    return path


def _refuse_other_programs_forms(text: str) -> None:
    """Refuse a text without scheme that is no plain name: it could mean a host, a user or a command to somebody."""
    if "$(" in text or "`" in text:
        _refuse(text, "holds a shell command")
    if text.startswith("~"):
        _refuse(text, "the home of another user is not looked up")
    if found := _HOST_AND_PATH.match(text):
        if _ends_in_git(text):
            _refuse(text, "git remotes are not supported by this version")
        if found[1]:
            _refuse(text, "rsync remotes are not supported by this version")
        _refuse(text, "a colon before the first slash names a host: for a folder, begin with ./")
    if "@" in text:
        _refuse(text, "an @ names a user on a host: for a folder, begin with ./")


def _ends_in_git(text: str) -> bool:
    return text.rstrip("/").endswith(".git")


def _refuse(text: str, reason: str) -> NoReturn:
    """`repr` shows no control, escape or bidi character as itself: a refused text is still a foreign text."""
    shown = without_secrets(text)
    raise InvalidUrl(f"{shown[:_SHOWN] + '…' if len(shown) > _SHOWN else shown!r}: {reason}")
