"""Personal: what tells whose machine a text was written on, and means nothing to anybody else [F1].

Pure. Paths of home folders of persons, and names that the caller knows: of the user and of the machine. Folders and
names that many machines have (root, ubuntu, runner) name nobody.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

HOME_PATH: Final = "a path of somebody's home folder"
OWN_NAME: Final = "the name of this user or machine"

_NOBODY: Final = frozenset(
    [
        *("admin", "administrator", "anonymous", "build", "builder", "centos", "container", "debian", "default"),
        *("deploy", "desktop", "developer", "docker", "ec2-user", "everybody", "fedora", "git", "github", "guest"),
        *("home", "host", "hostname", "jenkins", "laptop", "linux", "local", "localhost", "machine", "me", "name"),
        *("nobody", "node", "nonroot", "pi", "postgres", "public", "root", "runner", "server", "service", "shared"),
        *("someone", "somebody", "sync", "system", "test", "tester", "ubuntu", "user", "username", "users", "vagrant"),
        *("vscode", "worker", "work", "workstation", "www-data", "you", "your-name", "yourname"),
    ]
)
_MIN_NAME: Final = 4  # a shorter name stands in too many words by accident
_NAME: Final = r"([^/\s\"'`<>|:*?\\,;()\[\]{}$&%]+)"
_HOMES: Final = re.compile(
    # A folder of that name within a project or a URL is none: `src/home/`, `example.org/home/`.
    rf"(?<![\w.~-])(?:/var|/export|/mnt/[a-z]|/cygdrive/[a-z]|/[a-z])?/(?:home|Users)/+{_NAME}"
    rf"|(?i:(?<!\w)[a-z]:[\\/]+Users[\\/]+){_NAME}"
)
_HOME_WORDS: Final = (b"home/", b"sers/", b"sers\\", b"SERS\\", b"SERS/")


class Personal:
    """Looks for home folders and for some names."""

    def __init__(self, own_names: Iterable[str] = ()) -> None:
        names = {part for name in own_names for part in (name, name.partition(".")[0])}
        self._names = sorted(name.casefold() for name in names if is_telling(name))
        words = "|".join(map(re.escape, self._names))
        self._own = re.compile(rf"(?<![a-z0-9])(?:{words})(?![a-z0-9])") if words else None
        self._bytes = [name.encode("utf-8", "replace") for name in self._names if name.isascii()]
        self._always = len(self._bytes) < len(self._names)

    def may_be_in(self, line: bytes) -> bool:
        """Whether the bytes of a record have to be looked at; cheap, and never wrongly no."""
        if self._always or any(word in line for word in _HOME_WORDS) or b"\\u" in line:
            return True
        lower = line.lower() if self._bytes else b""
        return any(name in lower for name in self._bytes)

    def find(self, text: str) -> str | None:
        """What a text tells: HOME_PATH, OWN_NAME or None."""
        for found in _HOMES.finditer(text):
            if is_telling(found[1] or found[2], at_least=1):
                return HOME_PATH
        return OWN_NAME if self._own is not None and self._own.search(text.casefold()) else None


def is_telling(name: str, at_least: int = _MIN_NAME) -> bool:
    """Whether a name is one that says who somebody is, and not one of those that every other machine has."""
    return len(name) >= at_least and name.casefold().strip(".") not in _NOBODY and any(map(str.isalpha, name))
