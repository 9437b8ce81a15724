"""What tells whose machine a text was written on [F1]."""

from __future__ import annotations

import json

import pytest

from federation.personal import HOME_PATH, OWN_NAME, Personal

# Put together here, so that no path of a machine stands in this file.
HOME, USERS = "/".join(["", "home", ""]), "/".join(["", "Users", ""])

PLAIN = Personal()


@pytest.mark.parametrize(
    "text",
    [
        f"{HOME}alice",
        f"{HOME}alice/src/a.py",
        f"see {HOME}a.smith/x, line 3",
        f"({HOME}alice)",
        f"{USERS}Alice/Library",
        f"file://{HOME}alice/x",
        f"file:{HOME}alice/x",
        f"PATH={HOME}alice/bin:/usr/bin",
        f"/usr/bin:{HOME}alice/bin",
        f"/var{HOME}alice",
        f"/mnt/c{USERS}alice",
        f"C:{USERS}alice/x",
        "C:\\Users\\alice\\x",
        "c:\\\\users\\\\alice",
        f"{HOME}ubuntu and {HOME}alice",
        f"{HOME}łucja/x",
    ],
)
def test_a_home_folder_of_a_person_is_found(text: str) -> None:
    assert PLAIN.find(text) == HOME_PATH
    assert PLAIN.may_be_in(json.dumps({"payload": {"x": text}}, ensure_ascii=False).encode())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "at home/alice",
        f"src{HOME}index.html",
        f"https://example.org{HOME}alice",
        f"~{HOME}x",
        f".{HOME}x",
        HOME,
        f"{HOME}runner/work",
        f"{HOME}ubuntu/x",
        f"{HOME}$USER/x",
        f"{HOME}<name>/x",
        f"{HOME}{{user}}/x",
        f"{HOME}user/x",
        f"{USERS}Shared/x",
        f"{HOME}../etc",
        f"{HOME}root/x",
        "C:\\Users\\Public\\x",
        "C:\\Users\\%USERNAME%\\x",
        "the users\\alice of C",
        f"{HOME}*/x",
    ],
)
def test_other_paths_name_nobody(text: str) -> None:
    assert PLAIN.find(text) is None


def test_names_of_user_and_machine_are_found_as_words() -> None:
    found = Personal(["alice", "thinkpad-7.example.lan"])
    for text in (
        "alice",
        "by Alice.",
        "alice@host",
        "/srv/alice/x",
        "alice's",
        "on thinkpad-7",
        "THINKPAD-7.example.lan",
    ):
        assert found.find(text) == OWN_NAME, text
        assert found.may_be_in(text.encode()), text
    for text in ("malice", "alice2", "thinkpad-71", "bob"):
        assert found.find(text) is None, text
    assert not found.may_be_in(b'{"payload":{"x":"nothing"}}')


def test_a_name_that_json_escapes_is_looked_for_all_the_same() -> None:
    found = Personal(["łucja"])
    assert found.find("by Łucja") == OWN_NAME
    assert found.may_be_in(json.dumps({"x": "łucja"}).encode())
    assert Personal(["alice"]).may_be_in(b'{"x":"\\u0061lice"}')


@pytest.mark.parametrize("name", ["root", "runner", "Ubuntu", "localhost", "me", "abc", "", "1234", "user"])
def test_names_that_every_machine_has_are_no_names(name: str) -> None:
    assert Personal([name]).find(f"{name} is here, {name}") is None
