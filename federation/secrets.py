"""Secrets: strict patterns for what must never be published by accident.

Pure. Few patterns, each with a fixed prefix or frame, so that a finding is hardly ever wrong; the kind is named, the
secret never is [F1]. Looked at is a text as it stands, as JSON escapes it (twice, since a payload may hold JSON), as
UTF-16, and what stands in it as base64. What is packed or encrypted is not seen.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple


class _Pattern(NamedTuple):
    """A kind of secret. Only where one of the words stands is it looked for: long texts are mostly something else."""

    kind: str
    words: tuple[bytes, ...]
    found: re.Pattern[bytes]


def _token(kind: str, words: str, pattern: bytes) -> _Pattern:
    """A secret with a prefix of its own, which must not be the end of another word."""
    return _Pattern(kind, tuple(words.encode().split()), re.compile(rb"(?<![A-Za-z0-9])(?:" + pattern + rb")"))


_PATTERNS: Final = (
    _Pattern(
        "a private key",
        (b"-----BEGIN ", b"PuTTY-User-Key-File-", b"AGE-SECRET-KEY-"),
        re.compile(
            rb"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----"
            rb"|PuTTY-User-Key-File-[0-9]:|AGE-SECRET-KEY-1[0-9A-Z]{58}"
        ),
    ),
    _Pattern(
        "an AWS access key",
        (b"AKIA", b"ASIA"),
        re.compile(rb"(?<![A-Z0-9])(?:AKIA|ASIA)[A-Z2-7]{16}(?![A-Z0-9])"),
    ),
    _Pattern(
        "an AWS secret key",
        (b"ecret_", b"ECRET_", b"ecretAccess"),
        re.compile(
            rb"(?i:aws_?secret_?(?:access_?)?key|secret_?access_?key)[\"' ]{0,3}[:=][\"' ]{0,3}"
            rb"[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])"
        ),
    ),
    _token(
        "a GitHub token",
        "ghp_ gho_ ghu_ ghs_ ghr_ github_pat_",
        rb"gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{60,255}",
    ),
    _token(
        "a GitLab token",
        "glpat- gldt- glrt- glptt- glcbt- glft- glsoat- glimt- glagent-",
        rb"gl(?:pat|dt|rt|ptt|cbt|ft|soat|imt|agent)-[A-Za-z0-9_-]{20,64}",
    ),
    _token(
        "a Slack token",
        "xoxa- xoxb- xoxe- xoxo- xoxp- xoxr- xoxs- xapp-",
        rb"xox[abeoprs]-[A-Za-z0-9-]{20,255}|xapp-[0-9]-[A-Za-z0-9-]{20,255}",
    ),
    _token(
        "the address of a webhook",
        "hooks.slack.com/ /api/webhooks/",
        rb"hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9+/]{40,80}"
        rb"|discord(?:app)?\.com/api/webhooks/[0-9]{17,20}/[A-Za-z0-9_-]{60,80}",
    ),
    _token("a Stripe key", "k_live_", rb"[rs]k_live_[A-Za-z0-9]{20,255}"),
    _token("an API key", "sk-", rb"sk-(?:ant-|proj-)?[A-Za-z0-9_-]{32,255}"),
    _token("a Google API key", "AIza", rb"AIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])"),
    _token("a Google secret", "GOCSPX- ya29.", rb"GOCSPX-[A-Za-z0-9_-]{28}|ya29\.[A-Za-z0-9_-]{30,1024}"),
    _token("an npm token", "npm_", rb"npm_[A-Za-z0-9]{36}(?![A-Za-z0-9])"),
    _token("a PyPI token", "pypi-AgE", rb"pypi-AgE[A-Za-z0-9_-]{50,1024}"),
    _token("a Hugging Face token", "hf_", rb"hf_[A-Za-z]{34}(?![A-Za-z0-9])"),
    _token("a Docker token", "dckr_pat_", rb"dckr_pat_[A-Za-z0-9_-]{20,64}"),
    _token("a DigitalOcean token", "_v1_", rb"do[oprs]_v1_[a-f0-9]{64}"),
    _token("a SendGrid key", "SG.", rb"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])"),
    _token("an Azure storage key", "AccountKey=", rb"AccountKey=[A-Za-z0-9+/]{86}=="),
    _token("a Telegram token", ":AA", rb"[0-9]{8,10}:AA[A-Za-z0-9_-]{33}(?![A-Za-z0-9_-])"),
    _token("a Shopify token", "shpat_ shpca_ shppa_ shpss_", rb"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}"),
    _token("a Vault token", "hvs. hvb.", rb"hv[sb]\.[A-Za-z0-9_-]{24,255}"),
    _token("a Grafana token", "glsa_", rb"glsa_[A-Za-z0-9]{32}_[a-f0-9]{8}"),
    _Pattern(
        "a signed web token",
        (b".eyJ",),
        re.compile(rb"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{16,}\.eyJ[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{32,}"),
    ),
    _Pattern(
        "a login in a header",
        (b"Bearer ", b"bearer ", b"Basic ", b"basic "),
        re.compile(
            rb"(?i:authorization)[\"' ]{0,3}[:=][\"' ]{0,3}(?:(?i:bearer) {1,3}(?=[A-Za-z._~+/-]{0,64}[0-9])"
            rb"[A-Za-z0-9._~+/-]{20,}|(?i:basic) {1,3}[A-Za-z0-9+/]{12,}={0,2}(?![A-Za-z0-9+/]))"
        ),
    ),
    _Pattern(
        "a password in a URL",
        (b"://",),
        # Not one that only shows where a password goes: ${PASSWORD}, <password>, {password}, ***.
        re.compile(rb"(?i:[a-z])[A-Za-z0-9+.-]{1,20}://[^\s/:@\"\\]{1,64}:(?![$<{*])[^\s/:@\"\\]{6,128}@[A-Za-z0-9.-]"),
    ),
)
_WORDS: Final = [(word, pattern) for pattern in _PATTERNS for word in pattern.words]
# What a secret can be that has no sixteen letters, digits and signs of base64 in a row.
_WORDS_WITHOUT_RUN: Final = [
    (word, pattern)
    for word, pattern in _WORDS
    if word == b"-----BEGIN " or pattern.kind in ("a password in a URL", "a login in a header")
]
_ESCAPE: Final = re.compile(rb"\\(?:u([0-9A-Fa-f]{4})|(.))", re.DOTALL)
_PIECE: Final = 1024 * 1024  # bytes looked at together
_OVERLAP: Final = 64 * 1024  # bytes of the piece before: no secret is longer
_WHITE: Final = frozenset(b"nrtbf")
_ESCAPED: Final = 4  # JSON within JSON, so many times: a record, its payload, an answer in it, a message in that
_LAYERS: Final = 2  # base64 within base64
_RUN: Final = re.compile(rb"[A-Za-z0-9+/_-]{16,}")
_OURS: Final = re.compile(rb"[0-9a-f]{16,128}|w_[0-9]{1,10}-[0-9a-f]{8}")  # a digest, or the writer of a record
_LINE_BYTES: Final = (64, 76)  # into lines of these lengths base64 is broken in keys and mails
_NOT_PACKED: Final = bytes.maketrans(b"-_", b"+/")
_CUT_RUN: Final = 4096  # a longer run is one file; a shorter one may begin with a word that is none of it


def find_secret(data: bytes) -> str | None:
    """What kind of secret the bytes of a record or of its payload seem to hold, or None. Memory is that of a piece."""
    for start in range(0, max(len(data), 1), _PIECE):
        before, end = max(start - _OVERLAP, 0), start + _PIECE
        kind = _find(data[before:end], begins=before == 0, ends=end >= len(data))
        if kind is not None:
            return kind
    return None


def _find(piece: bytes, *, begins: bool, ends: bool, layers: int = _LAYERS) -> str | None:
    """The same of a piece. What touches an end that is none of the whole is cut: the piece beside it has it whole."""
    texts = _meant(piece)
    if b"\0" in texts[0]:
        texts.append(texts[0].replace(b"\0", b""))
    for text in texts:
        runs = list(_runs(text))
        kind = _kind_in(text, _WORDS if runs else _WORDS_WITHOUT_RUN, begins=begins, ends=ends)
        if kind is not None:
            return kind
        for run, is_cut in runs if layers else ():
            sure = layers < _LAYERS or (len(run) >= _CUT_RUN and not is_cut)
            for inner in _unpacked(run, 1 if sure else 4):
                kind = _find(inner, begins=True, ends=True, layers=layers - 1)
                if kind is not None:
                    return kind
    return None


def _meant(piece: bytes) -> list[bytes]:
    """What bytes mean without the escapes of JSON, once and as often as escapes are left."""
    texts = [piece]
    while b"\\" in texts[-1] and len(texts) <= _ESCAPED:
        texts.append(_ESCAPE.sub(_unescaped, texts[-1]))
    return texts[1:] or texts


def _runs(text: bytes) -> Iterator[tuple[bytes, bool]]:
    """What may be base64, lines put together, and whether it begins where the text does.

    What every record of ours has of this kind is none.
    """
    lines: list[bytes] = []
    is_cut, end = False, 0
    for found in _RUN.finditer(text):
        run = found[0]
        if lines and not (len(lines[-1]) in _LINE_BYTES and text[end : found.start()].isspace()):
            yield b"".join(lines), is_cut
            lines = []
        if not lines:
            if _OURS.fullmatch(run):
                continue
            is_cut = found.start() == 0
        lines.append(run)
        end = found.end()
    if lines:
        yield b"".join(lines), is_cut


def _unpacked(run: bytes, places: int) -> Iterator[bytes]:
    """What a run of base64 stands for, if it begins at one of the first places."""
    signs = run.translate(_NOT_PACKED)
    for start in range(places):
        part = signs[start:] if (len(signs) - start) % 4 != 1 else signs[start:-1]
        yield binascii.a2b_base64(part + b"=" * (-len(part) % 4))


def _kind_in(text: bytes, words: Sequence[tuple[bytes, _Pattern]], *, begins: bool, ends: bool) -> str | None:
    for word, pattern in words:
        if word in text:
            for found in pattern.found.finditer(text):
                if (begins or found.start() > 0) and (ends or found.end() < len(text)):
                    return pattern.kind
    return None


def _unescaped(found: re.Match[bytes]) -> bytes:
    """What an escape of JSON stands for: the n of a newline is no letter before a token."""
    if found[1] is not None:
        return chr(int(found[1], 16)).encode("utf-8", "replace")
    return b" " if found[2][0] in _WHITE else found[2]
