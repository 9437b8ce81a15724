"""Secrets: strict patterns for what must never be published by accident.

Pure. Few patterns, each with a fixed prefix or frame, so that a finding is hardly ever wrong; the kind is named, the
secret never is [F1].
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple


class _Pattern(NamedTuple):
    """A kind of secret. Only where one of the words stands is it looked for: long texts are mostly something else."""

    kind: str
    words: tuple[bytes, ...]
    found: re.Pattern[bytes]


_PATTERNS: Final = (
    _Pattern(
        "a private key",
        (b"-----BEGIN ",),
        re.compile(rb"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----"),
    ),
    _Pattern(
        "an AWS access key",
        (b"AKIA", b"ASIA"),
        re.compile(rb"(?<![A-Z0-9])(?:AKIA|ASIA)[A-Z2-7]{16}(?![A-Z0-9])"),
    ),
    _Pattern(
        "a GitHub token",
        (b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_", b"github_pat_"),
        re.compile(rb"(?<![A-Za-z0-9])(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{60,255})"),
    ),
    _Pattern("a GitLab token", (b"glpat-",), re.compile(rb"(?<![A-Za-z0-9])glpat-[A-Za-z0-9_-]{20,64}")),
    _Pattern(
        "a Slack token",
        tuple(b"xox%c-" % kind for kind in b"abeoprs"),
        re.compile(rb"(?<![A-Za-z0-9])xox[abeoprs]-[A-Za-z0-9-]{20,255}"),
    ),
    _Pattern("a Stripe key", (b"k_live_",), re.compile(rb"(?<![A-Za-z0-9])[rs]k_live_[A-Za-z0-9]{20,255}")),
    _Pattern("an API key", (b"sk-",), re.compile(rb"(?<![A-Za-z0-9])sk-(?:ant-|proj-)?[A-Za-z0-9_-]{32,255}")),
    _Pattern("a Google API key", (b"AIza",), re.compile(rb"(?<![A-Za-z0-9])AIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])")),
    _Pattern("an npm token", (b"npm_",), re.compile(rb"(?<![A-Za-z0-9])npm_[A-Za-z0-9]{36}(?![A-Za-z0-9])")),
    _Pattern(
        "a signed web token",
        (b".eyJ",),
        re.compile(rb"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{16,}\.eyJ[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{32,}"),
    ),
    _Pattern(
        "a password in a URL",
        (b"://",),
        re.compile(rb"[a-z][a-z0-9+.-]{1,20}://[^\s/:@\"\\]{1,64}:[^\s/:@\"\\]{6,128}@[A-Za-z0-9.-]"),
    ),
)
_ESCAPE: Final = re.compile(rb"\\(?:u([0-9A-Fa-f]{4})|(.))", re.DOTALL)
_PIECE: Final = 1024 * 1024  # bytes looked at together
_OVERLAP: Final = 64 * 1024  # bytes of the piece before: no secret is longer
_WHITE: Final = frozenset(b"nrtbf")


def find_secret(data: bytes) -> str | None:
    """What kind of secret the bytes of a record or of its payload seem to hold, or None. Memory is that of a piece."""
    for start in range(0, max(len(data), 1), _PIECE):
        before, end = max(start - _OVERLAP, 0), start + _PIECE
        kind = _find(data[before:end], begins=before == 0, ends=end >= len(data))
        if kind is not None:
            return kind
    return None


def _find(piece: bytes, *, begins: bool, ends: bool) -> str | None:
    """The same of a piece. What touches an end that is none of the whole is cut: the piece beside it has it whole."""
    text = _ESCAPE.sub(_unescaped, piece) if b"\\" in piece else piece
    for pattern in _PATTERNS:
        if any(word in text for word in pattern.words):
            for found in pattern.found.finditer(text):
                if (begins or found.start() > 0) and (ends or found.end() < len(text)):
                    return pattern.kind
    return None


def _unescaped(found: re.Match[bytes]) -> bytes:
    """What an escape of JSON stands for: the n of a newline is no letter before a token."""
    if found[1] is not None:
        return chr(int(found[1], 16)).encode("utf-8", "replace")
    return b" " if found[2][0] in _WHITE else found[2]
