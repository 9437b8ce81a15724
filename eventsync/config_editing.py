"""Config editing: how commands change config.toml: the text that people wrote, with its comments and its order.

What comes out is read before it replaces the file, whole and durable; else the file stays. No message holds a URL [R2].
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eventsync.config import REMOTE_NAME, Config, not_a_name, parse, text_of
from eventsync.errors import InvalidArgument, RemoteExists
from federation.errors import UnknownRemote
from federation.transports.urls import without_secrets
from journal import Disk

if TYPE_CHECKING:
    from tomlkit import TOMLDocument


def change(disk: Disk, path: Path, edit: Callable[[str], str]) -> Config:
    """Change the text of the file with `edit` and return what it says now; the caller holds the store lock.

    The new text is read before it replaces the old one, whole and durable; a ConfigError leaves the old one.
    """
    before = text_of(disk, path)
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
    if not re.fullmatch(REMOTE_NAME, name):
        raise InvalidArgument(not_a_name(name))


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
