"""The papers are clean: no path of somebody's machine, no package registry, no test that tests nothing.

Looks at every file that git tracks, or would track if it were added.
"""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Written so that no pattern matches its own text.
MACHINE_PATH = re.compile(r"(?<![\w.~-])/(?:work|root|home/[a-z_][\w.-]*|Users/[A-Za-z][\w.-]*)/")
REGISTRY = re.compile(
    r"pypi[.]org|pythonhosted[.]org|npmjs[.](?:org|com)|yarnpkg[.]com|crates[.]io|deb[.]debian[.]org|proxy[.]golang[.]org"
    r"|--(?:extra-)?index[-]url|--find[-]links"
)


def tracked_texts() -> Iterator[tuple[str, str]]:
    """Name and text of each file; files with NUL bytes or not in UTF-8 are no texts."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in sorted(set(listing.stdout.decode().split("\0")) - {""}):
        path = ROOT / name
        if path.is_symlink() or not path.is_file():
            continue
        content = path.read_bytes()
        if b"\0" in content:
            continue
        try:
            yield name, content.decode()
        except UnicodeDecodeError:
            continue


def places(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{name}:{number}: {found.group()}"
        for name, text in tracked_texts()
        for number, line in enumerate(text.splitlines(), start=1)
        if (found := pattern.search(line))
    ]


def test_there_are_files_to_look_at() -> None:
    assert "pyproject.toml" in dict(tracked_texts())


def test_no_file_holds_a_path_of_a_machine() -> None:
    found = places(MACHINE_PATH)
    assert not found, "\n".join(found)


def test_no_file_names_a_package_registry() -> None:
    found = places(REGISTRY)
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "parts", [["", "work", "x"], ["", "root", ".ssh"], ["", "home", "ann", ""], ["file://", "root", ""]]
)
def test_a_path_of_a_machine_is_seen(parts: list[str]) -> None:
    assert MACHINE_PATH.search("at " + "/".join(parts))


@pytest.mark.parametrize(
    "parts",
    [
        ["~", "work", "x"],
        ["host", "work", "x"],
        ["", "home", ""],
        ["https://host", "root", "x"],
        [".", "work", "x"],
        ["", "homework", "x"],
    ],
)
def test_other_paths_are_left_alone(parts: list[str]) -> None:
    assert not MACHINE_PATH.search("/".join(parts))


def is_empty(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether a function has nothing in it but a docstring, `pass`, `...`, `return` or `assert True`."""
    for statement in function.body:
        match statement:
            case ast.Pass() | ast.Expr(value=ast.Constant()) | ast.Return(value=None):
                continue
            case ast.Assert(test=ast.Constant()):
                continue
            case _:
                return False
    return True


def empty_tests(source: str) -> list[str]:
    return [
        f"{node.lineno}: {node.name}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if node.name.startswith("test") and is_empty(node)
    ]


def test_every_test_tests_something() -> None:
    empty = [
        f"{path.relative_to(ROOT)}:{place}"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for place in empty_tests(path.read_text(encoding="utf-8"))
    ]
    assert not empty, "\n".join(empty)


def test_an_empty_test_is_seen() -> None:
    assert empty_tests("def test_a():\n    '''Says much.'''\n    pass\n") == ["1: test_a"]
    assert empty_tests("def test_a():\n    assert f()\n") == []
