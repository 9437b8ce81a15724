"""Text: the one sanitizer between what a record says and a terminal. Everything that anybody wrote goes through it.

Pure. What a terminal would obey (control characters, escape sequences) or a reader could not see (bidirectional
controls, invisible and unassigned characters, lone surrogates) becomes a visible escape such as `\\x1b` or `\\u202e`.
Nothing interprets markup.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any, Final

ELLIPSIS: Final = "…"
_LINE_BREAKS: Final = re.compile(r"\r\n|[\n\t]")
# Printable by their category, and yet nothing is seen: joiners, fillers, variation selectors, the empty braille.
_HIDDEN: Final = frozenset(
    map(
        chr,
        [
            *(0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F, 0x2800, 0x3164, 0xFFA0),
            *range(0xFE00, 0xFE10),
            *range(0xE0100, 0xE01F0),
        ],
    )
)
_EMOJI_STYLE: Final = "\ufe0f"  # fine behind a symbol: people type it without knowing
_MAX_MARKS: Final = 4  # marks on one letter; more of them paint over the lines above and below


def clean(text: str) -> str:
    """Text on one line that a terminal shows and does not obey; line breaks and tabs become a space."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(_LINE_BREAKS.sub(" ", text), _escape))


def clean_lines(text: str) -> str:
    """The same for text of several lines: its line breaks stay."""
    return "\n".join(map(clean, text.split("\n")))


def pretty_json(value: Any) -> str:
    """Indented JSON for people, as `clean` as any text and still JSON: escapes are those of JSON."""
    lines = json.dumps(value, ensure_ascii=False, indent=2).split("\n")
    return "\n".join("".join(_shown(line, _escape_json)) for line in lines)


def width(text: str) -> int:
    """How many columns a terminal needs for clean text: wide characters take two, marks none."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def shorten(text: str, columns: int) -> str:
    """Clean text cut to so many columns; what was cut shows as an ellipsis."""
    if width(text) <= columns:
        return text
    used, kept = width(ELLIPSIS), []
    for char in text:
        used += _columns(char)
        if used > columns:
            break
        kept.append(char)
    return ("".join(kept) + ELLIPSIS) if columns > 0 else ""


def pad(text: str, columns: int) -> str:
    """Clean text filled with spaces to so many columns."""
    return text + " " * (columns - width(text))


def _shown(text: str, escape: Callable[[str], str]) -> Iterator[str]:
    before, marks = "", 0
    for char in text:
        marks = marks + 1 if _is_mark(char) else 0
        if _is_visible(char, before) and marks <= _MAX_MARKS:
            yield char
        else:
            yield escape(char)
        before = char


def _is_visible(char: str, before: str) -> bool:
    if char in _HIDDEN:
        return char == _EMOJI_STYLE and before != "" and unicodedata.category(before) == "So"
    return char.isprintable()  # no category C (control, format, surrogate, private, unassigned), no Z but the space


def _is_mark(char: str) -> bool:
    return not char.isascii() and unicodedata.category(char) in ("Mn", "Me")


def _escape(char: str) -> str:
    code = ord(char)
    if unicodedata.category(char) == "Zs":  # the many widths of blank
        return " "
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _escape_json(char: str) -> str:
    return json.dumps(char, ensure_ascii=True)[1:-1]


def _columns(char: str) -> int:
    if char.isascii():
        return 1
    if _is_mark(char) or char in _HIDDEN:
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1
