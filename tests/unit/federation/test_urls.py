"""URLs: what is taken, what is refused, and that no secret is ever shown [R2]."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.errors import InvalidUrl
from federation.transports.urls import MAX_URL_LENGTH, Url, parse, without_secrets


def refusal(text: str) -> str:
    with pytest.raises(InvalidUrl) as caught:
        parse(text)
    return str(caught.value)


# --- what is taken ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "/srv/bus",
        "/",
        "./bus",
        "../bus",
        ".",
        "..",
        "~",
        "~/bus",
        "/srv/a:b",
        "/srv/me@home/bus",
        "./$(odd)",
        "./user@host:path",
        "/srv/mit Leerzeichen",
        "./börse/日本",
        "/srv/bus/",
    ],
)
def test_a_path_is_a_directory_and_kept_as_it_is(text: str) -> None:
    assert parse(text) == Url("directory", Path(text), text)


@pytest.mark.parametrize("text", ["bus", "shared/bus", ".hidden", "my bus", "bus%20", "bus~", "börse"])
def test_a_bare_name_is_a_path_from_the_working_directory(text: str) -> None:
    assert parse(text) == Url("directory", Path(text), text)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("file:///srv/bus", "/srv/bus"),
        ("file://localhost/srv/bus", "/srv/bus"),
        ("FILE://LocalHost/srv/bus", "/srv/bus"),
        ("file:///", "/"),
        ("file:///srv/my%20bus", "/srv/my bus"),
        ("file:///srv/b%C3%B6rse", "/srv/börse"),
        ("file:///srv/100%25", "/srv/100%"),
        ("file:///srv/a%3Fb%23c", "/srv/a?b#c"),
        ("file:///srv/a:b@c", "/srv/a:b@c"),
        ("file:///srv/bus.git", "/srv/bus.git"),
    ],
)
def test_a_file_url_is_decoded(text: str, path: str) -> None:
    assert parse(text) == Url("directory", Path(path), text)


# --- what is known but not supported ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("rsync://host/module", "rsync"),
        ("rsync://host:8730/module/bus", "rsync"),
        ("RSYNC://host/module", "rsync"),
        ("user@host:bus", "rsync"),
        ("user@host:/srv/bus", "rsync"),
        ("git+ssh://git@host/bus", "git"),
        ("git+https://host/bus", "git"),
        ("git+file:///srv/bus", "git"),
        ("git://host/bus", "git"),
        ("git@host:team/bus.git", "git"),
        ("host:bus.git", "git"),
        ("/srv/bus.git", "git"),
        ("./bus.git/", "git"),
        ("~/bus.git", "git"),
        ("bus.git", "git"),
    ],
)
def test_a_kind_that_has_no_transport_yet_is_named(text: str, kind: str) -> None:
    assert refusal(text).endswith(f": {kind} remotes are not supported by this version")


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        ("   ", "is empty"),
        (" /srv/bus", "begins or ends with a space"),
        ("/srv/bus\n", "begins or ends with a space"),
        ("/srv/bus\nother", "control character"),
        ("/srv/\0bus", "control character"),
        ("/srv/\x1b[31mbus", "control character"),
        ("/srv/\x7fbus", "control character"),
        ("/srv/\x85bus", "control character"),
        ("/srv/\u2028bus", "line break"),
        ("/srv/\udc80bus", "half a character"),
        ("/" + "a" * MAX_URL_LENGTH, "is longer than"),
        ("-oProxyCommand=touch", "begins with a dash"),
        ("--upload-pack=touch", "begins with a dash"),
        ("ext::sh -c touch", "'ext::': names a program to run"),
        ("fd::17", "'fd::': names a program to run"),
        ("any-thing::x", "'any-thing::': names a program to run"),
        ("::x", "'::': names a program to run"),
        ("file::/srv", "'file::': names a program to run"),
        ("C:\\bus", "Windows path"),
        ("C:/bus", "Windows path"),
        ("c:bus", "Windows path"),
        ("file:///C:/bus", "Windows path"),
        ("file:///srv/a%5Cb", "backslash"),
        ("/srv\\bus", "backslash"),
        ("//server/share", "two slashes"),
        ("file:////server/share", "two slashes"),
        ("$(touch)", "shell command"),
        ("bus/$(touch)", "shell command"),
        ("`touch`", "shell command"),
        ("$(touch)@host:bus", "shell command"),
        ("~other/bus", "another user"),
        ("host:bus", "names a host"),
        ("file:/srv/bus", "names a host"),
        ("me@server", "names a user"),
        ("https://host/bus", "https:// is no kind of remote"),
        ("HTTP://host/bus", "http:// is no kind of remote"),
        ("ssh://host/bus", "ssh:// is no kind of remote"),
        ("a://host/bus", "a:// is no kind of remote"),
        ("git+ext://host/bus", "git+ext:// is no kind of remote"),
        ("file://host/srv/bus", "takes an absolute path on this machine"),
        ("file://bus", "takes an absolute path on this machine"),
        ("file://", "takes an absolute path on this machine"),
        ("file://localhost", "takes an absolute path on this machine"),
        ("file:///srv/bus?a=b", "is written %3F or %23"),
        ("file:///srv/bus#a", "is written %3F or %23"),
        ("file:///srv/%", "two hex digits"),
        ("file:///srv/%0", "two hex digits"),
        ("file:///srv/%zz", "two hex digits"),
        ("file:///srv/%ff", "not UTF-8"),
        ("file:///srv/%ed%a0%80", "not UTF-8"),
        ("file:///srv/%00", "control character"),
        ("file:///srv/%0abus", "control character"),
        ("ｆｉｌｅ:///srv/bus", "names a host"),
    ],
)
def test_what_is_not_allowed_is_refused_with_the_reason(text: str, reason: str) -> None:
    assert reason in refusal(text)


def test_a_refused_text_is_shown_without_what_would_move_a_terminal() -> None:
    assert "\x1b" not in refusal("/srv/\x1b[2Jbus")
    assert "\u202e" not in refusal("https://host/\u202ebus")
    assert "\\udc80" in refusal("/srv/\udc80bus")


def test_a_long_refused_text_is_cut() -> None:
    assert len(refusal("https://host/" + "x" * 3000)) < 300


# --- secrets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:SECRET@host/bus", "https://***@host/bus"),
        ("https://SECRET@host/bus", "https://***@host/bus"),
        ("https://me:SEC@RET@host/bus", "https://***@host/bus"),
        ("https://me:SEC/RET@host/bus", "https://***@host/bus"),
        ("https://me:SEC?RET@host/bus", "https://***@host/bus"),
        ("https://me:SEC#RET@host/bus", "https://***@host/bus"),
        ("https://host/bus?token=SECRET", "https://host/bus?***"),
        ("https://host/bus#SECRET", "https://host/bus#***"),
        ("rsync://me:SECRET@host/module", "rsync://***@host/module"),
        ("git+https://me:SECRET@host/bus", "git+https://***@host/bus"),
        ("file://me:SECRET@host/srv", "file://***@host/srv"),
        ("me:SECRET@host:bus", "***@host:bus"),
        ("me:SEC/RET@host:bus", "***@host:bus"),
        ("https:/me:SECRET@host/bus", "***@host/bus"),
        ("git@host:bus", "git@host:bus"),
        ("https://host:443/bus", "https://host:443/bus"),
        ("/srv/bus", "/srv/bus"),
        ("", ""),
    ],
)
def test_secrets_are_left_out_of_what_is_shown(text: str, shown: str) -> None:
    assert without_secrets(text) == shown


@given(
    scheme=st.sampled_from(["https", "rsync", "git+https", "git+ssh", "file", "ssh", "ftp", "git"]),
    before=st.text("abc:/?#@%-", max_size=8),
    after=st.text("abc:/?#@%-", max_size=8),
)
def test_no_error_repeats_a_password(scheme: str, before: str, after: str) -> None:
    assert "SECRET" not in refusal(f"{scheme}://me:{before}SECRET{after}@host/bus")


@given(st.text(st.characters(exclude_categories=()), max_size=40))
def test_any_text_is_a_directory_or_refused(text: str) -> None:
    try:
        url = parse(text)
    except InvalidUrl as error:
        assert str(error).isprintable()
    else:
        assert url.display == text
        assert not set("\0\n\\") & set(str(url.path)) and str(url.path).encode()
