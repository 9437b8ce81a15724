"""Withholding: what a person keeps back from the feed, by type, tag and path [F1].

Pure. A filter and what an entity says in, a reason or None out. Knows nothing of what was published before: that is
`outgoing`. In doubt something is kept back: tags and paths are compared without regard to case, and a text that may be
read in two ways is read in both.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

DEFAULT_TYPES: Final = ("plan", "decision", "trap", "constraint", "handoff", "note")
TAGS_KEY: Final = "tags"
# The keys of a payload, at any depth, whose texts name files. An attachment has only a name.
PATH_KEYS: Final = frozenset(
    [
        *("path", "paths", "file", "files", "filename", "filenames"),
        *("file_path", "file_paths", "related_path", "related_paths", "files_touched"),
    ]
)
_ATTACHMENT: Final = ("attachment", "name")
_SLASHES: Final = re.compile(r"[/\\]+")
_BETWEEN_TAGS: Final = re.compile(r"[\s,;]+")


class PublishSettings(NamedTuple):
    """What a person configured under [publish]."""

    types: frozenset[str] = frozenset(DEFAULT_TYPES)
    saw: bool = True
    withhold_tags: frozenset[str] = frozenset()
    only_tags: frozenset[str] = frozenset()
    withhold_paths: tuple[str, ...] = ()

    @property
    def asks_for_payloads(self) -> bool:
        """Whether what an entity says decides about it."""
        return bool(self.withhold_tags or self.only_tags or self.withhold_paths)


class Withholding:
    """The filter in force, for payloads."""

    def __init__(self, settings: PublishSettings) -> None:
        self._kept_back = frozenset(map(_tag, settings.withhold_tags))
        self._only = frozenset(map(_tag, settings.only_tags))
        self._paths = [path_pattern(glob) for glob in settings.withhold_paths]

    def reason(self, payload: Mapping[str, Any]) -> str | None:
        """Why an entity that says this is kept back: "tag" or "path"; None when it is not."""
        tags = tags_of(payload)
        if tags & self._kept_back or (self._only and not tags & self._only):
            return "tag"
        if self._paths and any(pattern.search(path) for path in paths_of(payload) for pattern in self._paths):
            return "path"
        return None


def tags_of(payload: Mapping[str, Any]) -> frozenset[str]:
    """The tags of a payload, as they are compared: a list of texts, or one text with tags in it."""
    value = payload.get(TAGS_KEY)
    texts = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    found = [text for text in texts if isinstance(text, str)]
    parts = [part for text in found for part in _BETWEEN_TAGS.split(text)]
    return frozenset(tag for tag in map(_tag, (*found, *parts)) if tag)


def _tag(text: str) -> str:
    return _folded(text).removeprefix("#")


def _folded(text: str) -> str:
    """A text as it is compared: letters in one case and one form."""
    return unicodedata.normalize("NFKC", text.strip()).casefold()


def paths_of(payload: Mapping[str, Any]) -> Iterator[str]:
    """All paths that a payload names, as they are compared; each as it is written, and without `.` and `..`."""
    attachment = payload.get(_ATTACHMENT[0])
    if isinstance(attachment, dict) and isinstance(attachment.get(_ATTACHMENT[1]), str):
        yield _compared(attachment[_ATTACHMENT[1]])
    for text in _path_texts(payload):
        path = _compared(text)
        yield path
        if "." in path:
            yield _without_dots(path)


def _path_texts(value: Any) -> Iterator[str]:
    """The texts under PATH_KEYS, wherever these stand."""
    waiting = [value]
    while waiting:
        found = waiting.pop()
        if isinstance(found, list):
            waiting += found
        elif isinstance(found, dict):
            for key, inner in found.items():
                if key.lower() in PATH_KEYS:
                    yield from (text for text in _flat(inner) if isinstance(text, str))
                waiting.append(inner)


def _flat(value: Any) -> Iterator[Any]:
    """The values of nested lists; of an object its keys: `files` may map paths to what is in them."""
    if isinstance(value, list | dict):
        for inner in value:
            yield from _flat(inner)
    else:
        yield value


def _compared(path: str) -> str:
    """Between slashes, so that a pattern finds whole names: `/src/a.py/`."""
    return _SLASHES.sub("/", f"/{_folded(path)}/")


def _without_dots(path: str) -> str:
    kept: list[str] = []
    for name in path.split("/"):
        if name == "..":
            del kept[-1:]
        elif name not in ("", "."):
            kept.append(name)
    return "/".join(["", *kept, ""])


def path_pattern(glob: str) -> re.Pattern[str]:
    """A glob as it is looked for in paths; ValueError when it names nothing.

    `*` and `?` stay within a name, `**` goes over several. What it finds is kept back with all that is below it. It may
    be found anywhere, but for one that begins with a slash.
    """
    text = _SLASHES.sub("/", _folded(glob))
    names = [name for name in text.split("/") if name not in ("", ".")]
    if not names:
        raise ValueError("names no file")
    start = "^/" if text.startswith("/") else "/"
    return re.compile(start + "".join(_part(name, last=at == len(names) - 1) for at, name in enumerate(names)))


def _part(name: str, *, last: bool) -> str:
    if name == "**":
        return "[^/]+/" if last else "(?:[^/]+/)*"
    words = {"*": "[^/]*", "?": "[^/]"}
    return "".join(words.get(char) or re.escape(char) for char in name) + "/"
