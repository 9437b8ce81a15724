"""The house keeps its shape: what each room may touch, how large it may grow, and that its rules are cited.

Reads the source only; nothing is imported. import-linter guards the direction of the layers, this test guards what that
cannot see. A room that needs a door it has not got: change the table ROOMS, and say why in the row.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("eventsync", "federation", "journal")


class Door(NamedTuple):
    """One way out of pure code."""

    modules: frozenset[str]  # with all below them
    names: frozenset[str]  # built-in functions, and the last words of dotted names
    methods: frozenset[str]  # called on anything but a Disk


def door(modules: str = "", names: str = "", methods: str = "") -> Door:
    return Door(frozenset(modules.split()), frozenset(names.split()), frozenset(methods.split()))


DOORS = {
    "files": door(
        modules="fcntl filelock glob mmap os shutil tarfile tempfile zipfile",
        names="open io.open",
        methods="chmod exists hardlink_to is_dir is_file is_symlink iterdir lstat mkdir read_bytes read_text rglob "
        "rmdir samefile symlink_to touch unlink write_bytes write_text",
    ),
    "database": door(modules="sqlite3"),
    "processes": door(modules="multiprocessing resource signal subprocess"),
    "network": door(modules="ftplib http.client http.server socket ssl urllib.request urllib3"),
    "clock": door(modules="time", names="date.today datetime.now datetime.today datetime.utcnow"),
    "chance": door(modules="random secrets uuid", names="os.urandom"),
    "environment": door(
        modules="getpass platform platformdirs pwd",
        names="Path.cwd Path.home os.environ os.environb os.getcwd os.getenv os.getlogin os.putenv os.uname",
    ),
    "terminal": door(modules="click curses logging rich", names="input print sys.stderr sys.stdin sys.stdout"),
}

# The doors of each room. A room that is not here has none; a name that ends in "/" stands for a folder.
ROOMS: dict[str, set[str]] = {
    # journal: one room opens files, one knows the machine and the user's folders on it, one speaks SQLite.
    "journal/disk.py": {"files"},
    "journal/machine.py": {"files", "processes", "clock", "chance", "environment"},
    "journal/database.py": {"database"},
    # federation: what crosses the border of the store stands in transports; the rest uses the journal's disk.
    "federation/transports/brainclaw.py": {"files"},
    "federation/transports/directory.py": {"files"},
    # What lasts too long or wants too much runs in a child: this room starts, limits and ends it, and hands on its
    # environment.
    "federation/transports/child.py": {"files", "processes", "clock", "environment"},
    "federation/transports/worker.py": {"files", "processes"},
    # A folder on a file system that may hang is touched by a child too, which is a fork of this process. Whether it may
    # is told by the table of mounts.
    "federation/transports/mounts.py": {"files"},
    "federation/transports/watched.py": {"files", "processes", "clock"},
    # rsync: what arrived is opened here without following anything; the child starts the program.
    "federation/transports/rsync.py": {"files"},
    "federation/transports/rsync_worker.py": {"files", "processes", "environment"},
    # git: files without a name on this side of the child, all the rest beyond it.
    "federation/transports/git_dialogue.py": {"files"},
    "federation/transports/git_worker.py": {"files", "clock"},
    "federation/transports/git_wire.py": {"files", "processes", "environment"},
    "federation/transports/git_http.py": {"network"},
    "federation/transports/git_objects.py": {"files"},
    "federation/transports/git_repository.py": {"files"},
    # eventsync: composes, and meets the person. The only place with a terminal and an environment.
    "eventsync/": {"files", "processes", "clock", "chance", "environment", "terminal"},
}

MAX_MODULE_LINES = 500
MAX_FUNCTION_LINES = 60
# Names that say nothing about what lives behind the door.
EMPTY_NAMES = re.compile(r"(utils?|helpers?|commons?|managers?|handlers?|services?|misc)")
# They cost more than all of a short command: they are loaded by the command that needs them.
HEAVY_MODULES = {"cryptography", "dulwich", "pydantic", "rich"}
RULE_ID = re.compile(r"\[([TJPIRFK][0-9]+)\]")


class Use(NamedTuple):
    """A door found in a module."""

    line: int
    door: str
    what: str


def modules(package: str) -> list[Path]:
    """All source files of a package; a package without any is a failure, not an empty answer."""
    found = sorted((ROOT / package).rglob("*.py"))
    assert found, f"there is no package {package}"
    return found


def all_modules() -> list[Path]:
    return [path for package in PACKAGES for path in modules(package)]


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=named(path))


def nodes_at_run_time(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those behind `if TYPE_CHECKING`: a type opens no door."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and dotted(node.test).split(".")[-1] == "TYPE_CHECKING":
            for other in node.orelse:
                yield other
                yield from nodes_at_run_time(other)
            continue
        yield node
        yield from nodes_at_run_time(node)


def dotted(node: ast.AST) -> str:
    """`a.b.c` of a chain of attributes; a call or subscript at its head counts as `?`."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=name):
            return f"{dotted(value)}.{name}"
        case _:
            return "?"


def under(name: str, modules: frozenset[str]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def ends_with(name: str, names: frozenset[str]) -> bool:
    return any(name == ending or ("." in ending and name.endswith(f".{ending}")) for ending in names)


def imported(node: ast.AST) -> list[str]:
    match node:
        case ast.Import(names=aliases):
            return [alias.name for alias in aliases]
        case ast.ImportFrom(module=str(module), names=aliases, level=0):
            return [f"{module}.{alias.name}" for alias in aliases]
        case _:
            return []


def goes_through(node: ast.AST, way_out: Door) -> str | None:
    """What in this node goes through it, as the reader finds it in the source."""
    for name in imported(node):
        if under(name, way_out.modules) or ends_with(name, way_out.names):
            return f"import {name}"
    match node:
        case ast.Attribute() if ends_with(dotted(node), way_out.names):
            return dotted(node)
        case ast.Call(func=ast.Name(id=name)) if name in way_out.names:
            return f"{name}()"
        case ast.Call(func=ast.Attribute(value=value, attr=name)) if name in way_out.methods:
            return None if dotted(value).lower().endswith("disk") else f".{name}()"
        case _:
            return None


def uses(tree: ast.AST) -> Iterator[Use]:
    """Every door that the code of a module goes through."""
    for node in nodes_at_run_time(tree):
        for name, way_out in DOORS.items():
            if what := goes_through(node, way_out):
                yield Use(getattr(node, "lineno", 0), name, what)


def doors_of(room: str) -> set[str]:
    """The doors that the table gives to a room, by itself and by the folders it is in."""
    return {door for name, doors in ROOMS.items() if room == name or room.startswith(name) for door in doors}


# --- doors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("package", PACKAGES)
def test_each_room_uses_only_its_doors(package: str) -> None:
    wrong = [
        f"{named(path)}:{use.line}: {use.what} needs the door {use.door!r}"
        for path in modules(package)
        for use in uses(parsed(path))
        if use.door not in doors_of(named(path))
    ]
    assert not wrong, "\n".join(wrong)


def test_every_row_of_the_table_is_a_room_that_uses_its_doors() -> None:
    used = {named(path): {use.door for use in uses(parsed(path))} for path in all_modules()}
    rows = [(name, doors) for name, doors in ROOMS.items() if not name.endswith("/")]
    unused = [
        f"{name}: no such room" if name not in used else f"{name}: never uses {sorted(doors - used[name])}"
        for name, doors in rows
        if doors - used.get(name, set())
    ]
    assert not unused, "\n".join(unused)


@pytest.mark.parametrize(
    ("source", "door"),
    [
        ("open('x')", "files"),
        ("import os.path", "files"),
        ("path.write_text('x')", "files"),
        ("(folder / 'x').unlink()", "files"),
        ("from sqlite3 import connect", "database"),
        ("import subprocess", "processes"),
        ("import urllib.request", "network"),
        ("from time import monotonic", "clock"),
        ("datetime.now(UTC)", "clock"),
        ("import datetime as dt\ndt.datetime.now()", "clock"),
        ("import secrets", "chance"),
        ("os.environ['HOME']", "environment"),
        ("from os import environ", "environment"),
        ("print('x')", "terminal"),
        ("sys.stdout.write('x')", "terminal"),
        ("def f():\n    import logging", "terminal"),
        ("if TYPE_CHECKING:\n    pass\nelse:\n    import random", "chance"),
    ],
)
def test_a_door_is_seen(source: str, door: str) -> None:
    assert door in {use.door for use in uses(ast.parse(source))}


@pytest.mark.parametrize(
    "source",
    [
        "store.open(path)",
        "self._disk.unlink(path)",
        "'a'.replace('a', 'b')",
        "if TYPE_CHECKING:\n    import os",
        "from datetime import UTC, datetime",
        "from pathlib import Path",
        "from urllib.parse import urlsplit",
        "from journal import time",
        "print = 1",
    ],
)
def test_what_is_no_door_is_left_alone(source: str) -> None:
    assert list(uses(ast.parse(source))) == []


# --- one door to the terminal ----------------------------------------------------------------------------------------


def test_what_a_person_reads_passes_one_room() -> None:
    """All text goes through the sanitizer there, or is JSON."""
    words = {"print", "click.echo", "click.secho", "click.confirm", "click.prompt", "click.pause", "rich.print"}
    words |= {"sys.stdout", "sys.stderr", "os.write"}
    speaking = {
        named(path)
        for path in modules("eventsync")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Name | ast.Attribute) and dotted(node) in words
    }
    assert speaking == {"eventsync/cli/console.py"}


# --- shape -----------------------------------------------------------------------------------------------------------


def test_modules_stay_small() -> None:
    sizes = {named(path): len(path.read_text(encoding="utf-8").splitlines()) for path in all_modules()}
    large = [f"{name}: {lines} lines" for name, lines in sizes.items() if lines > MAX_MODULE_LINES]
    assert not large, "\n".join(large)


def test_functions_stay_short() -> None:
    long = [
        f"{named(path)}:{node.lineno}: {node.name} has {lines} lines"
        for path in all_modules()
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > MAX_FUNCTION_LINES
    ]
    assert not long, "\n".join(long)


def test_every_module_says_what_lives_in_it() -> None:
    silent = [named(path) for path in all_modules() if not ast.get_docstring(parsed(path))]
    assert not silent, "\n".join(silent)


def test_every_name_on_a_door_means_something() -> None:
    words = {named(path): path.relative_to(ROOT).with_suffix("").parts for path in all_modules()}
    empty = [
        name
        for name, parts in words.items()
        if any(EMPTY_NAMES.fullmatch(word) for part in parts for word in part.lower().split("_"))
    ]
    assert not empty, "\n".join(empty)


def test_every_package_tells_type_checkers_that_it_is_typed() -> None:
    assert [package for package in PACKAGES if not (ROOT / package / "py.typed").is_file()] == []


# --- errors ----------------------------------------------------------------------------------------------------------


def swallows(handler: ast.ExceptHandler) -> bool:
    """Whether a handler takes any exception there is, and does nothing about it."""
    if handler.type is None:
        return True
    caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    broad = any(dotted(error).split(".")[-1] in ("Exception", "BaseException") for error in caught)
    return broad and all(does_nothing(statement) for statement in handler.body)


def does_nothing(statement: ast.stmt) -> bool:
    match statement:
        case ast.Pass() | ast.Continue() | ast.Break() | ast.Expr(value=ast.Constant()):
            return True
        case ast.Return(value=None | ast.Constant()):
            return True
        case _:
            return False


def test_no_error_is_swallowed() -> None:
    silent = [
        f"{named(path)}:{node.lineno}"
        for path in all_modules()
        for node in ast.walk(parsed(path))
        if (isinstance(node, ast.ExceptHandler) and swallows(node))
        or (isinstance(node, ast.Call) and suppresses_everything(node))
    ]
    assert not silent, "\n".join(silent)


def suppresses_everything(call: ast.Call) -> bool:
    broad = {"Exception", "BaseException"} & {dotted(argument) for argument in call.args}
    return dotted(call.func).split(".")[-1] == "suppress" and bool(broad)


# --- start-up --------------------------------------------------------------------------------------------------------


def test_a_short_command_loads_no_heavy_module() -> None:
    run = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "eventsync", "--version"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    imports = [line for line in run.stderr.splitlines() if line.startswith("import time:")]
    if run.returncode != 0:
        pytest.fail("\n".join(line for line in run.stderr.splitlines() if line not in imports))
    loaded = {line.rsplit("|", 1)[1].strip() for line in imports}
    assert any(name.split(".")[0] == "eventsync" for name in loaded), "no import was seen"
    assert {name.split(".")[0] for name in loaded} & HEAVY_MODULES == set()


# --- rules -----------------------------------------------------------------------------------------------------------


def rules_of_the_format() -> list[str]:
    """The ids of all rules that docs/format.md states, in their order there."""
    paper = ROOT / "docs" / "format.md"
    assert paper.is_file(), "docs/format.md is missing: it states the rules that the code keeps"
    rules = list(dict.fromkeys(RULE_ID.findall(paper.read_text(encoding="utf-8"))))
    assert rules, "docs/format.md states no rule such as [J1]"
    return rules


def words_of(paths: list[Path]) -> set[str]:
    """Everything in these files that could be a rule id: `[J1]`, `rule="J1"` and `Keeps J1, J2` all count."""
    return {word for path in paths for word in re.findall(r"[A-Za-z0-9]+", path.read_text(encoding="utf-8"))}


def test_every_rule_of_the_format_is_cited_by_code() -> None:
    cited = words_of(all_modules())
    assert [rule for rule in rules_of_the_format() if rule not in cited] == []


def test_every_rule_of_the_format_is_cited_by_a_test() -> None:
    # This folder reads the rules; it tests none of them.
    tests = [path for path in sorted((ROOT / "tests").rglob("*.py")) if "architecture" not in path.parts]
    cited = words_of(tests)
    assert [rule for rule in rules_of_the_format() if rule not in cited] == []
