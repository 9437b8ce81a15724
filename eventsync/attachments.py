"""Attachments: a file in a payload, under the key `attachment`, and how one gets it back.

    "attachment": {"name": "trace.log", "text": "…"}       what is text: UTF-8 without NUL
    "attachment": {"name": "shot.png", "base64": "…"}      all else

The bytes come back as they were. Nothing else of the file is kept: no path, no owner, no time.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from eventsync.errors import InputUnreadable, InvalidArgument
from eventsync.text import clean

KEY: Final = "attachment"
_MAX_NAME: Final = 255  # characters
_MAX_TEXT_BYTES: Final = 8 * 1024 * 1024
_READ: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC  # a pipe by that name must not hang us
_SHOWN: Final = "`show TYPE ID --attachment` gives it"

Payload = Mapping[str, Any]


class Attachment(NamedTuple):
    """A file: its name, without folders, and what is in it."""

    name: str
    data: bytes


def read_file(path: str) -> Attachment:
    """A regular file as an attachment; InputUnreadable when it cannot be read, or cannot be in any payload."""
    from journal import MAX_PAYLOAD_BYTES

    try:
        with os.fdopen(os.open(path, _READ), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise InputUnreadable("is no regular file", path=path)
            data = file.read(MAX_PAYLOAD_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL
        raise InputUnreadable(f"cannot be read: {getattr(error, 'strerror', None) or error}", path=path) from None
    if len(data) > MAX_PAYLOAD_BYTES:
        raise InputUnreadable(f"has more than {MAX_PAYLOAD_BYTES} bytes, the most a payload may have", path=path)
    name = clean(Path(path).name).strip()[:_MAX_NAME]
    return Attachment(name or "file", data)


def attached_to(payload: Payload, found: Attachment) -> Payload:
    """The payload with an attachment; InvalidArgument when it has that key already."""
    if KEY in payload:
        raise InvalidArgument(f"the payload has a key {KEY!r} already")
    return {**payload, KEY: {"name": found.name, **_encoded(found.data)}}


def _encoded(data: bytes) -> dict[str, str]:
    """As text where it is one: text can be read, compared, and searched for secrets."""
    packed = base64.b64encode(data).decode("ascii")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": packed}
    size = len(json.dumps(text, ensure_ascii=False).encode("utf-8"))
    fits = size <= max(len(packed), _MAX_TEXT_BYTES)  # what is long when escaped may be too long for a payload
    return {"text": text} if fits and "\0" not in text else {"base64": packed}


def attachment_of(payload: Payload) -> Attachment | None:
    """The attachment in a payload; None where there is none, or something else stands under that key."""
    value = payload.get(KEY)
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        return None
    text, packed = value.get("text"), value.get("base64")
    try:
        if isinstance(text, str) and packed is None:
            return Attachment(value["name"], text.encode("utf-8"))
        if isinstance(packed, str) and text is None:
            return Attachment(value["name"], base64.b64decode(packed, validate=True))
    except (binascii.Error, ValueError):
        pass
    return None


def brief(payload: object) -> object:
    """A payload as it is shown to people: of an attachment only how much it is."""
    found = attachment_of(payload) if isinstance(payload, dict) else None
    if found is None or not isinstance(payload, dict):
        return payload
    return {**payload, KEY: {**payload[KEY], "text" if "text" in payload[KEY] else "base64": _told(found)}}


def _told(found: Attachment) -> str:
    from blake3 import blake3

    return f"({len(found.data)} bytes, BLAKE3 {blake3(found.data).hexdigest()[:12]}: {_SHOWN})"
