"""Strict patterns for what must never be published by accident: what they find, and what they leave alone [F1]."""

from __future__ import annotations

import json
import time

import pytest

from federation.secrets import find_secret

# Put together here, so that no scanner takes this file for a leak.
WORD = "a1B2c3D4e5" * 30
SECRETS = {
    "a private key": [
        "-----BEGIN " + "PRIVATE KEY-----",
        "-----BEGIN " + "RSA PRIVATE KEY-----",
        "-----BEGIN " + "OPENSSH PRIVATE KEY-----\\nb3BlbnNz",
        "-----BEGIN " + "ENCRYPTED PRIVATE KEY-----",
        "-----BEGIN " + "PGP PRIVATE KEY BLOCK-----",
    ],
    "an AWS access key": ["AKI" + "AIOSFODNN7EXAMPLE"[:17], "key=ASI" + "AIOSFODNN7EXAMPLE"[:17] + ";"],
    "a GitHub token": [*(f"gh{kind}_" + WORD[:36] for kind in "pousr"), "github_" + "pat_" + WORD[:82]],
    "a GitLab token": ["glpat" + "-" + WORD[:20]],
    "a Slack token": ["xox" + "b-" + "1234567890-" + WORD[:20]],
    "a Stripe key": ["sk_" + "live_" + WORD[:24], "rk_" + "live_" + WORD[:24]],
    "an API key": ["sk" + "-" + WORD[:48], "sk-" + "ant-" + WORD[:40], "sk-" + "proj-" + WORD[:40]],
    "a Google API key": ["AI" + "za" + WORD[:35]],
    "an npm token": ["npm" + "_" + WORD[:36]],
    "a signed web token": [f"eyJ{WORD[:20]}." + f"eyJ{WORD[:40]}." + WORD[:43]],
    "a password in a URL": [
        "https://" + "user:" + "hunter22@" + "host",
        "postgres" + "://u:" + "s3cr3t-pw@" + "db.local/x",
    ],
}


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in SECRETS.items() for text in texts])
@pytest.mark.parametrize("frame", ["{}", "token: {}", "({})", "x {} y", "\n{}\n"])
def test_a_secret_is_found_in_a_record_and_its_kind_is_named(kind: str, text: str, frame: str) -> None:
    """[F1] The kind is told, the secret never."""
    for ascii_only in (True, False):
        line = json.dumps({"payload": {"note": frame.format(text), "ä": "ö"}}, ensure_ascii=ascii_only).encode()
        found = find_secret(line)
        assert found == kind
        assert text not in found


HARMLESS = [
    "-----BEGIN " + "PUBLIC KEY-----",
    "-----BEGIN " + "CERTIFICATE-----",
    "the words PRIVATE KEY alone",
    "AKIA",
    "AKI" + "A" + "1" * 16,  # no digit 1 in them
    "XAKI" + "A" + "B" * 16,
    "ghp_short",
    "gh" + "x_" + WORD[:36],
    "sk-short",
    "task-" + WORD[:48],
    "risk-" + WORD[:48],
    "npm_" + WORD[:35],
    "eyJ" + WORD[:20],
    "eyJ" + WORD[:20] + "." + WORD[:40],
    "https://example.org/a:b@c",
    "https://user@host/path",
    "https://host:8080/@scope/package",
    "http://localhost:3000",
    "git+ssh://git@host:22/x",
    "see http://a and mail b@c",
    "es1tc5ikmckyy47b5k5vkybvvwvsk7ejijf@18342#7182c17d121a",
    "0" * 400,
    WORD,
    "",
]


@pytest.mark.parametrize("text", HARMLESS)
def test_ordinary_text_is_left_alone(text: str) -> None:
    """[F1] A finding is hardly ever wrong: a wrong one stops a publish."""
    assert find_secret(json.dumps({"payload": {"note": text}}).encode()) is None


@pytest.mark.parametrize(
    "escaped",
    [
        SECRETS["a GitHub token"][0].replace("g", "\\u0067", 1),
        "".join(f"\\u{ord(sign):04x}" for sign in SECRETS["an npm token"][0]),
        SECRETS["a password in a URL"][0].replace("/", "\\/"),
        "A=1\\n" + SECRETS["an API key"][0] + "\\nB=2",
        "\\\\" + SECRETS["a GitLab token"][0],
        "\\u00e9" + SECRETS["a Slack token"][0],
    ],
)
def test_escapes_of_json_hide_no_secret_and_are_no_part_of_one(escaped: str) -> None:
    """[F1] An accepted copy has the bytes that others wrote."""
    assert find_secret(b'{"payload":{"note":"' + escaped.encode() + b'"}}') is not None


def test_a_record_of_the_largest_size_is_looked_through_in_no_time() -> None:
    """[J10] No pattern goes back and forth, whatever the text."""
    for part in (
        "\\",
        "\\u",
        "\\u0041",
        "-----BEGIN ",
        "://",
        "eyJ",
        "sk-",
        "a:b@",
        "https://" + "u:",
        "xoxb-",
        "AKIA",
        "eyJa.",
    ):
        line = (part * (256 * 1024 // len(part))).encode()
        began = time.process_time()
        find_secret(line)
        assert time.process_time() - began < 1, part


def test_bytes_that_are_no_text_are_looked_through_too() -> None:
    assert find_secret(b"\xff\xfe" + SECRETS["a GitHub token"][0].encode() + b"\xff") == "a GitHub token"
