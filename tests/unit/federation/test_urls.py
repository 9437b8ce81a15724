"""URLs: what is taken, what is refused, and that no secret is ever shown [R2]."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.errors import InvalidUrl
from federation.transports.urls import MAX_URL_LENGTH, GitUrl, RsyncUrl, Url, parse, without_secrets


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


# --- git -------------------------------------------------------------------------------------------------------------


def git(text: str) -> GitUrl:
    found = parse(text)
    assert isinstance(found, GitUrl)
    return found


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/srv/bus.git", "/srv/bus.git"),
        ("./bus.git/", "./bus.git/"),
        ("../other/.git", "../other/.git"),
        ("~/bus.git", "~/bus.git"),
        ("bus.git", "bus.git"),
        ("/srv/a:b@c.git", "/srv/a:b@c.git"),
        ("git+file:///srv/bus", "/srv/bus"),
        ("git+file://localhost/srv/my%20bus.git", "/srv/my bus.git"),
        ("GIT+FILE:///srv/bus", "/srv/bus"),
    ],
)
def test_a_repository_on_this_machine_is_a_path(text: str, path: str) -> None:
    assert git(text) == GitUrl("git", "file", "", None, None, None, path, text)


@pytest.mark.parametrize(
    ("text", "scheme", "host", "port", "user", "path"),
    [
        ("git://host/bus", "git", "host", None, None, "/bus"),
        ("git://host:9419/~me/bus.git", "git", "host", 9419, None, "/~me/bus.git"),
        ("git://[::1]:9419/bus", "git", "::1", 9419, None, "/bus"),
        ("git://127.0.0.1/b%C3%B6rse/my%20bus.git", "git", "127.0.0.1", None, None, "/börse/my bus.git"),
        ("git+ssh://host/srv/bus", "ssh", "host", None, None, "/srv/bus"),
        ("git+ssh://git@host:2222/~/bus.git", "ssh", "host", 2222, "git", "/~/bus.git"),
        ("git+ssh://me@[fe80::1]/srv/bus", "ssh", "fe80::1", None, "me", "/srv/bus"),
        ("git@host:team/bus.git", "ssh", "host", None, "git", "team/bus.git"),
        ("host:/srv/bus.git", "ssh", "host", None, None, "/srv/bus.git"),
        ("my_alias:bus.git", "ssh", "my_alias", None, None, "bus.git"),
        ("git+https://host/team/bus.git", "https", "host", None, None, "/team/bus.git"),
        ("git+https://host:8443/my%20bus", "https", "host", 8443, None, "/my%20bus"),
        ("git+http://host/bus", "http", "host", None, None, "/bus"),
    ],
)
def test_a_repository_on_a_host_is_taken_apart(
    text: str, scheme: str, host: str, port: int | None, user: str | None, path: str
) -> None:
    found = git(text)
    assert (found.scheme, found.host, found.port, found.user, found.path) == (scheme, host, port, user, path)
    assert (found.password, found.display) == (None, text)


@pytest.mark.parametrize(
    ("text", "user", "password"),
    [
        ("git+https://me:SECRET@host/bus", "me", "SECRET"),
        ("git+https://SECRET@host/bus", "SECRET", None),
        ("git+https://me@example.org:SE%2FC%3ARET@host/bus", "me@example.org", "SE/C:RET"),
        ("git+https://me:SE%40CRET@host/bus", "me", "SE@CRET"),
        ("git+http://me:SECRET@127.0.0.1:8080/bus", "me", "SECRET"),
        ("git+http://me:SECRET@localhost/bus", "me", "SECRET"),
        ("git+http://me:SECRET@[::1]/bus", "me", "SECRET"),
    ],
)
def test_a_login_is_taken_and_never_shown(text: str, user: str, password: str | None) -> None:
    found = git(text)
    assert (found.user, found.password) == (user, password)
    assert "SE" not in found.display and "***@" in found.display


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("git+https://host/bus", True),
        ("git+http://127.0.0.1/bus", True),
        ("git+http://localhost/bus", True),
        ("git+http://host/bus", False),
        ("git+http://localhost.example.org/bus", False),
        ("git+http://127.0.0.1.example.org/bus", False),
        ("git://127.0.0.1/bus", False),
        ("git+ssh://host/bus", False),
        ("/srv/bus.git", False),
    ],
)
def test_secrets_may_go_where_nobody_on_the_way_can_read_them(text: str, allowed: bool) -> None:
    assert git(text).may_carry_secrets is allowed


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("git+ssh://-oProxyCommand=touch/bus", "names no host"),
        ("git+ssh://-oProxyCommand=touch@host/bus", "names no user"),
        ("git+ssh://host:-oProxyCommand/bus", "names no port"),
        ("git+ssh://git@-oProxyCommand=touch/bus", "names no host"),
        ("git@-oProxyCommand=touch:bus.git", "names no host"),
        ("-oProxyCommand=touch@host:bus.git", "begins with a dash"),
        ("git@host:-oProxyCommand=touch.git", "begins with a dash"),
        ("git@host:--upload-pack=touch.git", "begins with a dash"),
        ("git+ssh://host/--upload-pack=$(touch)", "a shell could read"),
        ("git+ssh://ho$(touch)st/bus", "names no host"),
        ("git+ssh://ho st/bus", "names no host"),
        ("git+ssh://h%6Fst/bus", "names no host"),
        ("git+ssh://hóst/bus", "names no host"),
        ("git+ssh:///srv/bus", "names no host"),
        ("git+ssh://host", "names no repository"),
        ("git+ssh://host/", "names no repository"),
        ("git+ssh://host:0/bus", "names no port"),
        ("git+ssh://host:65536/bus", "names no port"),
        ("git+ssh://host:22a/bus", "names no port"),
        ("git+ssh://host:٢٢/bus", "names no port"),
        ("git+ssh://[::1/bus", "names no host"),
        ("git+ssh://[::1]x/bus", "names no port"),
        ("git+ssh://[::g]/bus", "names no host"),
        ("git+ssh://me:SECRET@host/bus", "ssh takes no password"),
        ("git+ssh://me@you@host/bus", "names no user"),
        ("git+ssh://host/bus%0atouch", "control character"),
        ("git+ssh://host/bus%00touch", "control character"),
        ("git+ssh://host/%24%28touch%29", "a shell could read"),
        ("git+ssh://host/bus'; touch x '", "a shell could read"),
        ("git+ssh://host/bus`touch`", "a shell could read"),
        ("git+ssh://host/bus|touch", "a shell could read"),
        ("git+ssh://host//bus", "two slashes"),
        ("git+ssh://host/bus?x", "no ? and no #"),
        ("git+ssh://host/%zz", "two hex digits"),
        ("git+ssh://host/%ff", "not UTF-8"),
        ("git://me@host/bus", "takes no user"),
        ("git+http://me:SECRET@host/bus", "never sent over plain http"),
        ("git+http://SECRET@host/bus", "never sent over plain http"),
        ("git+https://host/bus?token=SECRET", "no ? and no #"),
        ("git+https://host/bus#SECRET", "no ? and no #"),
        ("git+https://:SECRET@host/bus", "holds no user"),
        ("git+https://me:SEC%0aRET@host/bus", "holds no user"),
        ("git+https://host", "names no repository"),
        ("git+https://host/bus\n", "begins or ends with a space"),
        ("git+https://host/b\nus", "control character"),
        ("git+file://host/srv/bus", "takes an absolute path"),
        ("git+ext::sh -c touch", "names a program to run"),
        ("host:b$(touch).git", "shell command"),
        ("host:b;touch.git", "a shell could read"),
        ("C:/bus.git", "Windows path"),
        ("C:bus.git", "Windows path"),
        ("\\\\server\\bus.git", "Windows path"),
        ("-bus.git", "begins with a dash"),
        ("$(touch).git", "shell command"),
        ("a@b/bus.git", "names a user"),
        ("h ost:bus.git", "names no host"),
        ("m e@host:bus.git", "names no user"),
    ],
)
def test_a_git_url_that_could_mean_something_to_a_program_is_refused(text: str, reason: str) -> None:
    said = refusal(text)
    assert reason in said
    assert "SECRET" not in said


# --- rsync -----------------------------------------------------------------------------------------------------------


def rsync(text: str) -> RsyncUrl:
    found = parse(text)
    assert isinstance(found, RsyncUrl)
    return found


@pytest.mark.parametrize(
    ("text", "scheme", "host", "port", "user", "path"),
    [
        ("rsync://host/module", "daemon", "host", None, None, "module"),
        ("rsync://host:8730/module/my bus/", "daemon", "host", 8730, None, "module/my bus/"),
        ("RSYNC://me@[::1]:8730/module", "daemon", "::1", 8730, "me", "module"),
        ("rsync://host/100%25", "daemon", "host", None, None, "100%25"),
        ("rsync+ssh://host/srv/bus", "ssh", "host", None, None, "/srv/bus"),
        ("rsync+ssh://me@host:2222/~/bus", "ssh", "host", 2222, "me", "bus"),
        ("rsync+ssh://[fe80::1]/srv/bus", "ssh", "fe80::1", None, None, "/srv/bus"),
        ("me@host:bus", "ssh", "host", None, "me", "bus"),
        ("host:/srv/bus", "ssh", "host", None, None, "/srv/bus"),
        ("host:bus", "ssh", "host", None, None, "bus"),
        ("host:.", "ssh", "host", None, None, "."),
        ("host:~/bus", "ssh", "host", None, None, "bus"),
        ("my_alias:shared/börse/my bus", "ssh", "my_alias", None, None, "shared/börse/my bus"),
        ("me@git:bus", "ssh", "git", None, "me", "bus"),
    ],
)
def test_a_folder_on_a_host_is_taken_apart_and_never_decoded(
    text: str, scheme: str, host: str, port: int | None, user: str | None, path: str
) -> None:
    found = rsync(text)
    assert (found.scheme, found.host, found.port, found.user, found.path) == (scheme, host, port, user, path)
    assert (found.password, found.display) == (None, text)


@pytest.mark.parametrize(
    ("text", "password"),
    [
        ("rsync://me:SECRET@host/module", "SECRET"),
        ("rsync://me:SE%2FC%40RET@host/module", "SE/C@RET"),
        ("rsync://me:SE:CRET@host/module", "SE:CRET"),
    ],
)
def test_a_password_for_a_daemon_is_taken_and_never_shown(text: str, password: str) -> None:
    found = rsync(text)
    assert (found.user, found.password, found.display) == ("me", password, "rsync://***@host/module")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("rsync://-oProxyCommand=touch/module", "names no host"),
        ("rsync://me@-oProxyCommand=touch/module", "names no host"),
        ("rsync://-me@host/module", "names no user"),
        ("rsync://m%65@host/module", "names no user"),
        ("rsync://:SECRET@host/module", "names no user"),
        ("rsync://me:SEC%0aRET@host/module", "cannot be sent"),
        ("rsync://me:SEC%ffRET@host/module", "not UTF-8"),
        ("rsync:///module", "names no host"),
        ("rsync://host", "names no module"),
        ("rsync://host/", "names no module"),
        ("rsync://host//module", "two slashes"),
        ("rsync://host:0/module", "names no port"),
        ("rsync://host:-e/module", "names no port"),
        ("rsync://host/-module", "begins with a dash"),
        ("rsync://host/--rsync-path=touch", "begins with a dash"),
        ("rsync://host/mod*", "a shell could read"),
        ("rsync://host/mod[ule]", "a shell could read"),
        ("rsync://host/{a,b}", "a shell could read"),
        ("rsync://host/mod?le", "no ? and no #"),
        ("rsync://host/module#x", "no ? and no #"),
        ("rsync://host/mod\nule", "control character"),
        ("rsync://host/mod\\ule", "backslash"),
        ("rsync://host/C:/bus", "Windows path"),
        ("rsync+ssh://-oProxyCommand=touch/bus", "names no host"),
        ("rsync+ssh://me@-oProxyCommand=touch/bus", "names no host"),
        ("rsync+ssh://-oProxyCommand=touch@host/bus", "names no user"),
        ("rsync+ssh://me:SECRET@host/bus", "ssh takes no password"),
        ("rsync+ssh://host:22 -oProxyCommand=touch/bus", "names no port"),
        ("rsync+ssh://host", "names no folder"),
        ("rsync+ssh://host/", "names no folder"),
        ("rsync+ssh://host/~/", "names no folder"),
        ("rsync+ssh://host/~/-e touch", "begins with a dash"),
        ("rsync+ssh://host/~/~other", "something else"),
        ("rsync+ssh://host//bus", "two slashes"),
        ("rsync+ssh://host/$(touch)", "a shell could read"),
        ("host:-e touch", "begins with a dash"),
        ("host:--rsh=touch", "begins with a dash"),
        ("host: -e touch", "begins or ends with a space"),
        ("me@-oProxyCommand=touch:bus", "names no host"),
        ("-oProxyCommand=touch:bus", "begins with a dash"),
        ("-oProxyCommand=touch@host:bus", "begins with a dash"),
        ("m e@host:bus", "names no user"),
        ("h ost:bus", "names no host"),
        ("host:", "names no folder"),
        ("host:/", "names no folder"),
        ("host:~", "something else"),
        ("host:~other/bus", "something else"),
        ("host:bus?", "something else"),
        ("host:b*s", "a shell could read"),
        ("host:b[u]s", "a shell could read"),
        ("host:{a,b}", "a shell could read"),
        ("host:$HOME", "a shell could read"),
        ("host:$(touch)", "shell command"),
        ("host:`touch`", "shell command"),
        ("host:bus;touch", "a shell could read"),
        ("host:bus|touch", "a shell could read"),
        ("host:bus touch'", "a shell could read"),
        ("host:bus\ntouch", "control character"),
        ("host:C:/bus", "Windows path"),
        ("host:srv\\bus", "backslash"),
        ("host://bus", "host:// is no kind of remote"),
        ("me@host://bus", "two slashes"),
        ("me@host::module", "rsync://host/module"),
        ("host::module", "rsync://host/module"),
        ("host:ext::touch", "names a program to run"),
        ("me:SECRET@host:bus", "names no user"),
        ("file:/srv/bus", "write file://"),
        ("https:/host/bus", "write https://"),
        ("rsync:/host/bus", "write rsync://"),
    ],
)
def test_an_rsync_url_that_could_mean_something_to_a_program_is_refused(text: str, reason: str) -> None:
    said = refusal(text)
    assert reason in said
    assert "SECRET" not in said


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
        ("ｆｉｌｅ:///srv/bus", "names no host"),
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
    scheme=st.sampled_from(["https", "rsync", "git+https", "git+ssh", "file", "ssh", "ftp", "git", "git+http"]),
    before=st.text("abc:/?#@%-", max_size=8),
    after=st.text("abc:/?#@%-", max_size=8),
)
def test_no_password_is_repeated(scheme: str, before: str, after: str) -> None:
    try:
        found = parse(f"{scheme}://me:{before}SECRET{after}@host/bus")
    except InvalidUrl as error:
        assert "SECRET" not in str(error)
    else:
        assert "SECRET" not in found.display


@given(st.text(st.characters(exclude_categories=()), max_size=40))
def test_any_text_is_a_place_or_refused(text: str) -> None:
    try:
        url = parse(text)
    except InvalidUrl as error:
        assert str(error).isprintable()
    else:
        assert not isinstance(url, Url) or url.display == text
        assert not set("\0\n\\") & set(str(url.path)) and str(url.path).encode()


SCHEMES = ["git+ssh://", "git://", "git+https://", "git+http://", "rsync://", "rsync+ssh://", ""]


@given(st.sampled_from(SCHEMES), st.text(st.sampled_from("ab-:/@.~[]?*$%0 \n"), max_size=40) | st.text(max_size=40))
def test_nothing_in_a_url_can_be_an_option(scheme: str, text: str) -> None:
    try:
        url = parse(scheme + text)
    except InvalidUrl:
        return
    if not isinstance(url, Url):
        assert not any(piece.startswith("-") for piece in (url.host, url.path))
        assert url.scheme not in ("ssh", "daemon") or not (url.user or "").startswith("-")
    if isinstance(url, RsyncUrl):
        assert url.host and url.path.strip("/") and not set(url.path) & set("*?[]{}$`'\"\\;&|<>()!\n")
        assert not url.path.startswith(("~", "//", ":")) and (url.scheme == "ssh" or not url.path.startswith("/"))
