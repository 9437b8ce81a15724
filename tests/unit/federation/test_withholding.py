"""What keeps an entity back: its tags and the files it names [F1]. In doubt it stays here."""

from __future__ import annotations

from typing import Any

import pytest

from federation.withholding import PublishSettings, Withholding, path_pattern, paths_of, tags_of


def reason(payload: dict[str, Any], **settings: Any) -> str | None:
    return Withholding(PublishSettings(**settings)).reason(payload)


@pytest.mark.parametrize(
    "tags",
    [
        ["internal"],
        ["a", "Internal "],
        "internal",
        "a, internal",
        "a internal",
        ["a,internal"],
        ["#internal"],
        ["ＩＮＴＥＲＮＡＬ"],
    ],
)
def test_a_tag_is_found_however_it_is_written(tags: Any) -> None:
    assert reason({"tags": tags}, withhold_tags=frozenset(["Internal"])) == "tag"


@pytest.mark.parametrize("tags", [None, [], "", 3, {"internal": 1}, [["internal"]], ["internals"], ["not-internal"]])
def test_another_tag_or_none_keeps_nothing_back(tags: Any) -> None:
    assert reason({"tags": tags, "title": "internal"}, withhold_tags=frozenset(["internal"])) is None


def test_a_tag_with_blanks_is_one_tag_and_each_of_its_words() -> None:
    assert tags_of({"tags": ["Next Year", "b"]}) == {"next year", "next", "year", "b"}
    assert reason({"tags": ["Next Year"]}, withhold_tags=frozenset(["next year"])) == "tag"


def test_only_what_is_tagged_goes_out_where_a_person_says_so() -> None:
    only = {"only_tags": frozenset(["shared"])}
    assert reason({"tags": ["shared", "x"]}, **only) is None
    assert reason({"tags": ["x"]}, **only) == "tag"
    assert reason({}, **only) == "tag"
    assert reason({"tags": ["shared", "own"]}, **only, withhold_tags=frozenset(["own"])) == "tag"


@pytest.mark.parametrize(
    "payload",
    [
        {"path": "secret/plan.md"},
        {"related_paths": ["src/a.py", "secret/plan.md"]},
        {"files": [{"path": "secret/plan.md"}]},
        {"files": {"secret/plan.md": "text"}},
        {"steps": [{"inner": {"file": "./secret/plan.md"}}]},
        {"File_Path": "Secret\\Plan.md"},
        {"files_touched": [["secret/plan.md"]]},
        {"path": "/srv/project/secret/plan.md"},
        {"path": "src/../secret/plan.md"},
        {"path": "secret//plan.md"},
        {"path": " secret/./plan.md "},
        {"path": "secret/old/plan.md"},
        {"filename": "secret"},
    ],
)
def test_a_folder_keeps_back_all_that_names_what_is_in_it(payload: dict[str, Any]) -> None:
    assert reason(payload, withhold_paths=("secret/",)) == "path"


@pytest.mark.parametrize(
    "payload",
    [
        {"path": "secrets/plan.md"},
        {"path": "src/not-secret/plan.md"},
        {"path": "src/secret.md"},
        {"title": "secret/plan.md"},
        {"path": None},
        {"path": 7},
        {"paths": {}},
    ],
)
def test_other_files_and_other_fields_keep_nothing_back(payload: dict[str, Any]) -> None:
    assert reason(payload, withhold_paths=("secret",)) is None


@pytest.mark.parametrize(
    ("glob", "found", "passed"),
    [
        ("*.pem", ["a.pem", "keys/a.PEM", "keys/a.pem/x"], ["a.pem.txt", "pem"]),
        ("src/*/private", ["src/a/private", "x/src/a/private/b"], ["src/private", "src/a/b/private"]),
        ("src/**/private", ["src/private", "src/a/private", "src/a/b/private/c"], ["private", "src/a/privates"]),
        ("**/private", ["private", "a/b/private"], ["privat"]),
        ("/etc", ["/etc/passwd", "/etc", "etc/passwd"], ["/x/etc/passwd"]),
        ("a?.txt", ["ab.txt"], ["a.txt", "a/.txt"]),
        ("a[1].txt", ["a[1].txt"], ["a1.txt"]),
        ("customer/**", ["customer/a", "x/customer/a/b"], ["customer"]),
        ("./docs/", ["docs/a", "x/docs"], ["doc"]),
    ],
)
def test_globs_are_read_as_the_manual_says(glob: str, found: list[str], passed: list[str]) -> None:
    pattern = path_pattern(glob)
    texts = {path: [*paths_of({"path": path})] for path in [*found, *passed]}
    assert [path for path, forms in texts.items() if any(map(pattern.search, forms))] == found


def test_an_attachment_has_a_name_that_counts() -> None:
    payload = {"attachment": {"name": "id_ed25519", "text": "x"}}
    assert reason(payload, withhold_paths=("id_*",)) == "path"


@pytest.mark.parametrize("glob", ["", "  ", "/", "./", "//"])
def test_a_glob_that_names_no_file_is_refused(glob: str) -> None:
    with pytest.raises(ValueError, match="names no file"):
        path_pattern(glob)
