"""What rsync is asked and what it answers: words, rules, listings and versions, without any rsync."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.errors import InvalidUrl
from federation.transports.rsync_command import (
    STORE_FEEDS,
    Command,
    bring,
    encode_command,
    list_feed,
    list_kind,
    list_place,
    make,
    read_listing,
    read_version,
    remove,
    send,
    way_to,
)
from federation.transports.rsync_settings import RsyncSettings, read_settings
from federation.transports.rsync_worker import environment
from federation.transports.urls import RsyncUrl, parse

A = "es1" + "a" * 32
B = "es1" + "b" * 32
SLICE = "seg-00000001-00000009-0123456789ab.jsonl.zst"
BLOB = f"blobs/ab/ab{'0' * 62}.zst"
HOME = "/home/ada"


def calls(url: str, home: str = HOME, **settings: Any) -> list[Command]:
    """Every call there is, to one place."""
    parsed = parse(url)
    assert isinstance(parsed, RsyncUrl)
    way = way_to(parsed, read_settings(settings), home)
    return [
        list_place(way),
        list_feed(way, A),
        list_kind(way),
        bring(way, [f"{A}/head.json", f"{A}/{BLOB}"], Path("/store/in"), 1000),
        make(way, Path("/store/empty")),
        send(way, A, Path("/store/feed"), [SLICE], "--fsync"),
        remove(way, A, Path("/store/empty"), [SLICE]),
    ]


# --- words -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("rsync://host/module", "rsync://host/module/"),
        ("rsync://me:SECRET@[::1]:8730/module/my bus/", "rsync://me@[::1]:8730/module/my bus/"),
        ("host:bus", "host:bus/"),
        ("me@host:/srv/bus//", "me@host:/srv/bus/"),
        ("host:.", "host:./"),
        ("rsync+ssh://me@[fe80::1]:2222/srv/bus", "me@[fe80::1]:/srv/bus/"),
    ],
)
def test_the_place_stands_behind_two_dashes_and_holds_no_secret(url: str, place: str) -> None:
    for command in calls(url):
        behind = command.argv[command.argv.index("--") + 1 :]
        assert [word for word in behind if not word.startswith("/store")] in ([place], [f"{place}{A}/"])
        assert not any("SECRET" in word for word in command.argv) and "SECRET" not in command.given


@pytest.mark.parametrize("url", ["rsync://host/module", "host:bus", "host:my bus"])
def test_no_call_takes_along_what_is_no_file_and_no_name_is_an_argument(url: str) -> None:
    for command in calls(url):
        assert command.argv[0] == "rsync"
        assert not {"-a", "--archive", "--inplace", "--links", "--copy-links", "--delete-excluded"} & {*command.argv}
        assert not any(name in word for name in (SLICE, "head.json", "blobs") for word in command.argv)
    for command in calls(url)[3:]:
        assert {"--no-links", "--no-devices", "--no-specials", "--no-inc-recursive"} <= {*command.argv}


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("host:bus", "--no-secluded-args"),
        ("rsync://host/module/a-b_c.d", "--no-secluded-args"),
        ("host:my bus", "--secluded-args"),
        ("host:börse", "--secluded-args"),
        ("rsync://host/my module", "--secluded-args"),
    ],
)
def test_what_a_shell_could_read_is_kept_from_it(url: str, word: str) -> None:
    assert all(word in command.argv for command in calls(url))


@pytest.mark.parametrize(
    ("home", "config", "expected"),
    [
        ("/home/ada", None, "env HOME=/home/ada ssh -o BatchMode=yes"),
        ("/home/ada b", "/etc/my ssh", "env 'HOME=/home/ada b' ssh -F '/etc/my ssh' -o BatchMode=yes"),
        ("/home/o'brien", None, "env 'HOME=/home/o''brien' ssh -o BatchMode=yes"),
    ],
)
def test_ssh_is_called_with_fixed_words_and_the_home_of_the_user(home: str, config: str | None, expected: str) -> None:
    for command in calls("rsync+ssh://host:2222/srv/bus", home, ssh_config=config):
        shell = command.argv[command.argv.index("--rsh") + 1]
        assert shell.startswith(expected) and shell.endswith("-p 2222")
    assert "--rsh" not in calls("rsync://host/module", ssh_config=config)[0].argv


@pytest.mark.parametrize(
    ("url", "settings", "password", "named"),
    [
        ("rsync://host/module", {}, "", False),
        ("rsync://me:SECRET@host/module", {}, "SECRET", False),
        ("rsync://me@host/module", {"password_file": "/etc/login"}, "", True),
        ("rsync://me:SECRET@host/module", {"password_file": "/etc/login"}, "SECRET", False),
    ],
)
def test_a_password_stands_in_the_environment_only(
    url: str, settings: dict[str, Any], password: str, named: bool
) -> None:
    for command in calls(url, **settings):
        assert command.environment == {"RSYNC_PASSWORD": password}
        assert ("--password-file" in command.argv) is named


def test_only_what_is_asked_for_may_come_and_the_folders_it_is_in() -> None:
    assert calls("host:bus")[3].given.splitlines() == [
        f"+ /{A}/",
        f"+ /{A}/blobs/",
        f"+ /{A}/blobs/ab/",
        f"+ /{A}/head.json",
        f"+ /{A}/{BLOB}",
        "- *",
    ]
    assert calls("host:bus")[3].file_bytes == 1000


def test_what_is_held_is_never_taken_for_what_is_there() -> None:
    parsed = parse("host:bus")
    assert isinstance(parsed, RsyncUrl)
    way = way_to(parsed, read_settings({}), HOME)
    argv = bring(way, [f"{A}/head.json"], Path("/in"), 1000, held=[Path("/mirror"), Path("/feed")]).argv
    assert [word for word in argv if "-dest" in word] == ["--copy-dest=/mirror", "--copy-dest=/feed"]
    assert "--ignore-times" in argv and "--whole-file" not in argv
    assert "--whole-file" in bring(way, [f"{A}/{SLICE}"], Path("/in"), 1000).argv


def test_only_what_is_named_is_removed() -> None:
    removing = calls("host:bus")[-1]
    assert removing.given.splitlines() == [f"R /{SLICE}", "P *"]
    assert sum("--delete" in command.argv for command in calls("host:bus")) == 1


def test_a_call_goes_over_the_wire_in_one_line() -> None:
    for command in calls("rsync://me:p@ss w\u00f6rd@host/my module"):
        line = encode_command(command)
        assert b"\n" not in line
        assert Command(*json.loads(line))._replace(argv=command.argv) == command


# --- the environment -------------------------------------------------------------------------------------------------


def test_nothing_in_the_environment_changes_what_is_asked() -> None:
    inherited = dict.fromkeys(("RSYNC_RSH", "RSYNC_OLD_ARGS", "RSYNC_PASSWORD", "RSYNC_X", "PYTHONPATH", "HOME"), "x")
    found = environment(
        {**inherited, "PATH": "/bin", "SSH_AUTH_SOCK": "/agent", "LC_ALL": "de_DE"}, {"RSYNC_PASSWORD": ""}
    )
    assert found == {
        "PATH": "/bin",
        "SSH_AUTH_SOCK": "/agent",
        "LC_ALL": "C",
        "HOME": "/dev/null",
        "RSYNC_PASSWORD": "",
    }


# --- settings --------------------------------------------------------------------------------------------------------


def test_nothing_has_to_be_set() -> None:
    assert read_settings({}) == RsyncSettings(120, 1024, None, None)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ref_prefix", "refs/x"),
        ("deadline_second", 1),
        ("deadline_seconds", 0),
        ("deadline_seconds", True),
        ("deadline_seconds", "1"),
        ("max_mib", 1.5),
        ("max_mib", 0),
        ("ssh_config", "-oProxyCommand=touch"),
        ("ssh_config", "config"),
        ("ssh_config", ""),
        ("password_file", "-"),
        ("password_file", "secret"),
        ("password_file", "/etc/\nx"),
        ("password_file", 7),
    ],
)
def test_a_setting_that_is_none_is_named(key: str, value: object) -> None:
    with pytest.raises(InvalidUrl, match=key):
        read_settings({key: value})


# --- versions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("output", "version"),
    [
        (b"rsync  version 3.2.7  protocol version 32\nCopyright", (3, 2, 7)),
        (b"rsync  version v3.4.1  protocol version 32\n", (3, 4, 1)),
        (b"rsync  version 3.10.0pre1  protocol version 33\n", (3, 10, 0)),
        (b"openrsync: protocol version 29\nrsync version 2.6.9 compatible\n", None),
        (b"", None),
        (b"hello rsync  version 3.2.7", None),
    ],
)
def test_a_version_is_read(output: bytes, version: tuple[int, int, int] | None) -> None:
    assert read_version(output) == version


# --- listings --------------------------------------------------------------------------------------------------------

LISTING = f"""\
welcome to the box
drwxr-xr-x        4096 2026/06/10 14:03:22 .
-rw-r--r--          12 2026/06/10 14:03:22 README.md
lrwxrwxrwx          35 2026/06/10 14:03:22 {B}
drwxr-xr-x        4096 2026/06/10 14:03:22 {A}
-rw-r--r--         930 2026/06/10 14:03:22 {A}/head.json
-rw-r--r--   123456789 2026/06/10 14:03:22 {A}/{SLICE}
-rw-r--r--           1 2026/06/10 14:03:22 {A}/ head.json
-rw-r--r--           1 2026/06/10 14:03:22 {A}/head.json\\#012
drwx------        4096 2026/06/10 14:03:22 {A}/blobs
drwx------        4096 2026/06/10 14:03:22 {A}/blobs/ab
-rw-r--r--           7 2026/06/10 14:03:22 {A}/{BLOB}
prw-r--r--           0 2026/06/10 14:03:22 {A}/{SLICE.replace("09-", "10-")}
"""


def test_a_listing_is_read() -> None:
    seen = read_listing(LISTING.encode())
    assert seen.is_folder
    fifo = SLICE.replace("09-", "10-")
    assert seen.feeds == {A: {"head.json": 930, SLICE: 123456789, BLOB: 7, fifo: -1}, B: {}}
    assert (set(seen.folders), set(seen.others), seen.ignored) == ({A}, {"README.md"}, 5)
    assert seen.with_heads() == [A]


def test_a_listing_of_a_store_is_that_of_its_feeds() -> None:
    lines = [line for line in LISTING.splitlines() if line.endswith((".json", A))]
    inside = "\n".join(line.replace(" es1", f" {STORE_FEEDS}es1") for line in lines)
    store = f"{LISTING}drwx------ 4096 2026/06/10 14:03:22 .eventsync\n{inside}\n"
    assert ".eventsync" in read_listing(store.encode()).others
    assert read_listing(store.encode(), STORE_FEEDS).with_heads() == [A]
    assert read_listing(store.encode(), STORE_FEEDS).ignored == 1  # " head.json"


def test_what_a_killed_rsync_left_is_known_in_a_feed_only() -> None:
    left = [".head.json.Xy12Zz", f".{SLICE}.abcdef", f"blobs/ab/.ab{'0' * 62}.zst.123456"]
    others = [
        ".head.json.Xy12Zz1",
        "head.json.Xy12Zz",
        ".notes.Xy12Zz",
        f"blobs/cd/.ab{'0' * 62}.zst.123456",
        ".x/head.json",
    ]
    names = [*left, *others]
    lines = [f"-rw------- 7 2026/06/10 14:03:22 {A}/{name}" for name in names]
    lines += [f"-rw------- 7 2026/06/10 14:03:22 {name}" for name in names]
    seen = read_listing("\n".join(lines).encode())
    assert seen.feeds == {A: dict.fromkeys(left, 7)}
    assert seen.ignored == len(lines)


def test_nothing_is_no_listing_of_a_place() -> None:
    assert not read_listing(b"").is_folder
    assert not read_listing(b"-rw-r--r-- 12 2026/06/10 14:03:22 .").is_folder
    assert not read_listing(b"drwxr-xr-x %s 2026/06/10 14:03:22 ." % (b"9" * 5000)).is_folder


@given(
    st.binary(max_size=200) | st.lists(st.sampled_from([*LISTING.encode().splitlines(), b"\xff", b"."])).map(b"\n".join)
)
def test_any_bytes_are_a_listing_without_foreign_names(data: bytes) -> None:
    seen = read_listing(data)
    assert seen.folders <= seen.feeds.keys() <= {A, B}
    assert all(set(names) <= {"head.json", SLICE, BLOB, SLICE.replace("09-", "10-")} for names in seen.feeds.values())
