"""Config: config.toml of a store, which people write: remotes, what is published, limits.

Strict: an unknown key is an error that names file and key, never a setting that silently does nothing. A missing file
is all defaults. Edits keep comments and order. Loading pydantic costs more than a short command: who needs no config
must not import this room. Nothing here puts a URL into a message, be it in the place of a name: it may hold a
secret [R2].
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from eventsync.errors import ConfigError, InvalidArgument, RemoteExists
from federation.errors import UnknownRemote
from federation.transports.urls import without_secrets
from journal import DamagedStore, Disk

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

CONFIG_FILE: Final = "config.toml"
# Everything else is private until it is listed [F1].
DEFAULT_TYPES: Final = ("plan", "decision", "trap", "constraint", "handoff", "note")

_REMOTE_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}"
RemoteName = Annotated[str, StringConstraints(pattern=rf"^{_REMOTE_NAME}$")]
ItemType = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]


class Strict(BaseModel):
    """A table whose keys are all known."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Remote(BaseModel):
    """`[remotes.NAME]`: a place, and what its transport wants to know beside that."""

    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True)

    url: Annotated[str, StringConstraints(min_length=1, strict=True)]

    @property
    def settings(self) -> Mapping[str, Any]:
        """The keys that only the transport understands."""
        return dict(self.model_extra or {})


class Publish(Strict):
    """`[publish]`: what others may see [F1]."""

    types: tuple[ItemType, ...] = DEFAULT_TYPES
    saw: Annotated[bool, Field(strict=True)] = True  # tell others how far we have read them [F2]


class Limits(Strict):
    """`[limits]`: how long and how much."""

    # Wall clock of one transfer [R1], for remotes that set no `deadline_seconds` of their own.
    transfer_seconds: Annotated[int, Field(strict=True, ge=1, le=86_400)] = 120


class Config(Strict):
    """The whole file."""

    remotes: dict[RemoteName, Remote] = {}
    publish: Publish = Publish()
    limits: Limits = Limits()


# --- reading ---------------------------------------------------------------------------------------------------------


def read(disk: Disk, path: Path) -> Config:
    """The config at `path`; all defaults when there is none. ConfigError says file, line and key."""
    return parse(_text(disk, path), path)


def parse(text: str, path: Path) -> Config:
    """Read the text of a config; `path` is for the error only."""
    try:
        value = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"not TOML: {error}", path=path, line=_line_in(str(error), text)) from None
    try:
        return Config.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        keys = [str(key) for key in first["loc"] if key != "[key]"]
        raise ConfigError(_what(keys, first), path=path, line=_line_of(keys, text)) from None


def _text(disk: Disk, path: Path) -> str:
    try:
        return (disk.read_if_there(path) or b"").decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"not UTF-8 at byte {error.start}", path=path) from None
    except DamagedStore as error:
        raise ConfigError(error.message, path=path) from error


def _what(keys: list[str], error: Mapping[str, Any]) -> str:
    key = ".".join(map(without_secrets, keys))
    if error["type"] == "extra_forbidden":
        return f"unknown key {key!r}"
    if error["loc"][-1:] == ("[key]",):
        return _not_a_name(keys[-1])
    return f"{key}: {str(error['msg'])[:1].lower()}{str(error['msg'])[1:]}"


def _line_in(message: str, text: str) -> int | None:
    """The line tomllib names: `… (at line 3, column 5)` or `… (at end of document)`."""
    found = re.search(r"\(at line ([0-9]+)", message)
    return int(found[1]) if found else text.rstrip("\n").count("\n") + 1 if "(at end of document)" in message else None


def _line_of(keys: list[str], text: str) -> int | None:
    """The line of a key, or of the nearest table around it; None when the file writes it in another way."""
    names = [key for key in keys if not key.isdigit()]
    around, best = "", None
    for number, line in enumerate(text.split("\n"), start=1):
        header = re.match(r"\s*\[+\s*([^\]]+?)\s*\]+", line)
        key = re.match(r"\s*([A-Za-z0-9_.\"'-]+)\s*=", line)
        here = header[1] if header else ".".join(filter(None, [around, key[1]])) if key else None
        around = header[1] if header else around
        here = None if here is None else re.sub(r"[\"'\s]", "", here)
        if here == ".".join(names):
            return number
        if here is not None and ".".join(names).startswith(here + "."):
            best = number
    return best


# --- editing ---------------------------------------------------------------------------------------------------------


def change(disk: Disk, path: Path, edit: Callable[[str], str]) -> Config:
    """Change the text of the file with `edit` and return what it says now; the caller holds the store lock.

    The new text is read before it replaces the old one, whole and durable; a ConfigError leaves the old one.
    """
    before = _text(disk, path)
    parse(before, path)
    after = edit(before)
    config = parse(after, path)
    if after != before:
        disk.replace_durably(path, after.encode("utf-8"))
    return config


def add_remote(text: str, name: str, url: str) -> str:
    """The text with `[remotes.NAME]` at its end, all else as it was; RemoteExists when the name is taken."""
    import tomlkit

    _check_name(name)
    document = tomlkit.parse(text)
    if name in document.get("remotes", {}):
        raise RemoteExists(f"there is a remote {name!r} already")
    if isinstance(document.get("remotes"), tomlkit.items.InlineTable):
        document["remotes"][name] = {"url": url}
        return document.as_string()
    gap = "" if not text.strip() else "\n" if text.endswith("\n") else "\n\n"
    return f"{text}{gap}[remotes.{name}]\nurl = {tomlkit.item(url).as_string()}\n"


def remove_remote(text: str, name: str) -> str:
    """The text without a remote; UnknownRemote when there is none."""
    document, remotes = _remotes(text, name)
    comments = _comments_behind(remotes[name])
    del remotes[name]
    _put_in_gap(remotes, comments)
    return document.as_string()


def set_url(text: str, name: str, url: str) -> str:
    """The text with another URL for a remote; UnknownRemote when there is none."""
    document, remotes = _remotes(text, name)
    remotes[name]["url"] = url
    return document.as_string()


def rename_remote(text: str, name: str, new_name: str) -> str:
    """The text with another name for a remote; UnknownRemote when there is none."""
    _check_name(new_name)
    document, remotes = _remotes(text, name)
    if new_name in remotes:
        raise RemoteExists(f"there is a remote {new_name!r} already")
    header = re.compile(rf"(?m)^([ \t]*\[[ \t]*remotes[ \t]*\.[ \t]*)(\"?){re.escape(name)}\2(?=[ \t]*[.\]])")
    renamed, headers = header.subn(rf"\g<1>{new_name}", text)
    if headers:
        return renamed
    remote = remotes[name]
    del remotes[name]
    remotes[new_name] = remote
    return document.as_string()


def _check_name(name: str) -> None:
    if not re.fullmatch(_REMOTE_NAME, name):
        raise InvalidArgument(_not_a_name(name))


def _not_a_name(name: str) -> str:
    return f"{without_secrets(name)!r} is no name for a remote: [A-Za-z0-9][A-Za-z0-9_-]{{0,63}}"


def _remotes(text: str, name: str) -> tuple[TOMLDocument, Any]:
    import tomlkit

    document = tomlkit.parse(text)
    remotes = document.get("remotes", {})
    if name not in remotes:
        raise UnknownRemote(f"no remote {without_secrets(name)!r}")
    return document, remotes


def _comments_behind(remote: Any) -> str:
    """The comments at the end of a table: they stand before the next one, and speak of that."""
    import tomlkit

    if not isinstance(remote, tomlkit.items.Table):
        return ""
    body = remote.value.body
    last_key = max((at for at, (key, _) in enumerate(body) if key is not None), default=-1)
    return "".join(item.as_string() for _, item in body[last_key + 1 :])


def _put_in_gap(remotes: Any, comments: str) -> None:
    """Put text where tomlkit has left a gap for what was taken out."""
    import tomlkit

    if not comments.strip() or not isinstance(remotes, tomlkit.items.Table):
        return
    body = remotes.value.body
    gap = next((at for at, (_, item) in enumerate(body) if isinstance(item, tomlkit.items.Null)), None)
    if gap is not None:
        body[gap] = (None, tomlkit.items.Whitespace(comments))
