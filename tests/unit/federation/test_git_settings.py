"""What may be set for a git remote, and what a worker and its parent say to each other."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.errors import InvalidUrl
from federation.transports.git_job import (
    Address,
    Answer,
    Caps,
    Entry,
    Found,
    Job,
    decode_answer,
    decode_job,
    encode_job,
)
from federation.transports.git_memory import blob_id
from federation.transports.git_settings import GitSettings, read_settings


def test_nothing_has_to_be_set() -> None:
    assert read_settings({}) == GitSettings("refs/eventsync/", 120, 1024, None)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("refs/eventsync", "refs/eventsync/"),
        ("refs/heads/eventsync/", "refs/heads/eventsync/"),
        ("refs/x/y.z/a-b_c", "refs/x/y.z/a-b_c/"),
    ],
)
def test_a_prefix_ends_in_a_slash(given: str, kept: str) -> None:
    assert read_settings({"ref_prefix": given}).ref_prefix == kept


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "refs",
        "refs/",
        "heads/x",
        "refs//x",
        "/refs/x",
        "refs/x//",
        "refs/../x",
        "refs/a..b",
        "refs/.a",
        "refs/a.",
        "refs/a./b",
        "refs/a.lock",
        "refs/a.lock/b",
        "refs/-a",
        "refs/a b",
        "refs/a~b",
        "refs/a^b",
        "refs/a:b",
        "refs/a?b",
        "refs/a*b",
        "refs/a[b",
        "refs/a\\b",
        "refs/a@{b",
        "refs/a\nb",
        "refs/börse",
        7,
        None,
        ["refs/x"],
    ],
)
def test_a_prefix_that_git_would_read_in_its_own_way_is_refused(prefix: object) -> None:
    with pytest.raises(InvalidUrl, match="ref_prefix"):
        read_settings({"ref_prefix": prefix})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("deadline_seconds", 0),
        ("deadline_seconds", -1),
        ("deadline_seconds", 86_401),
        ("deadline_seconds", "60"),
        ("deadline_seconds", True),
        ("deadline_seconds", float("nan")),
        ("deadline_seconds", float("inf")),
        ("max_mib", 0),
        ("max_mib", 1.5),
        ("max_mib", "1"),
        ("ssh_config", "relative"),
        ("ssh_config", "-oProxyCommand=x"),
        ("ssh_config", "/with\nline"),
        ("ssh_config", 1),
        ("anything", 1),
        ("Deadline_seconds", 1),
    ],
)
def test_a_key_or_value_that_is_not_known_is_refused_by_name(key: str, value: object) -> None:
    with pytest.raises(InvalidUrl, match=key):
        read_settings({key: value})


def test_all_that_is_set_is_kept() -> None:
    given = {"ref_prefix": "refs/x", "deadline_seconds": 0.5 + 1, "max_mib": 7, "ssh_config": "/etc/x"}
    assert read_settings(given) == GitSettings("refs/x/", 1.5, 7, "/etc/x")


# --- jobs and answers ------------------------------------------------------------------------------------------------

ADDRESS = Address("ssh", "host", 22, "me", "sécret\n", "/bus", None)
CAPS = Caps(1, 2, 3, 4)
names = st.text(st.characters(max_codepoint=255), max_size=20)
entries = st.lists(st.builds(Entry, st.integers(0, 0o777777), names, names), max_size=5)


@given(entries, st.dictionaries(names, names, max_size=3), st.none() | st.lists(names, max_size=3))
def test_a_job_arrives_as_it_was_sent(lines: list[Entry], kept: dict[str, str], only: list[str] | None) -> None:
    job = Job("send", ADDRESS, "refs/x/", CAPS, 7, "/tmp", kept=kept, only=only, entries=tuple(lines), blobs=[(1, 2)])
    sent = encode_job(job)
    assert b"\n" not in sent
    assert decode_job(sent) == job


@given(st.integers(0, 400))
def test_of_an_answer_only_whole_lines_count(cut: int) -> None:
    found = {"commit": "c", "entries": [[0o100644, "n", "i"]], "files": {"n": [1, 2]}, "plain": True}
    said = b"".join(json.dumps(line).encode() + b"\n" for line in ({"listing": {"a": "c"}}, {"brought": {"a": found}}))
    whole = Answer({"a": "c"}, {"a": Found("c", (Entry(0o100644, "n", "i"),), {"n": (1, 2)}, plain=True)})
    assert decode_answer(said) == whole
    assert decode_answer(said[:cut]) in (Answer(), Answer({"a": "c"}), whole)


def test_a_blob_is_named_as_git_names_it() -> None:
    assert blob_id(b"") == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
    assert blob_id(b"hello\n") == "ce013625030ba8dba906f756967f9e9ca394464a"
