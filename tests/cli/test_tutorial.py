"""The tutorial and the README are typed as they stand, and what comes back is compared with what they say.

In a block marked `console` a line `$ …` is a command, lines `> …` go on with it, the rest is what it prints: all of it,
standard output and error as one. A command ends with 0 unless the next one is `echo $?`. Where they may differ:

    …                          in a line: anything; alone on a line: any lines
    2026-11-23T04:25:17.192Z   any time
    cnd_… and es1… ids         any id, but each id of the paper is one id of the program throughout, and no two are the
                               same; in commands the real one is put in its place
"""

from __future__ import annotations

import io
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import pytest

from eventsync.cli import main
from tests.cli.answers import ROOT, Run, environment

TUTORIAL = ROOT / "docs" / "tutorial.md"
README = ROOT / "README.md"

_TIME = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z"
_IDS = {"candidate": "cnd_[0-9a-f]{12}", "origin": "es1[a-z2-7]{32}", "short": "es1[a-z2-7]{8}…"}
_ANYTHING = {"time": _TIME, "lines": "(?:.*\n)*", "any": ".*"}
_WRITTEN = {**_IDS, "time": _TIME, "lines": "(?m:^…\n)", "any": "…"}
TOKEN = re.compile("|".join(f"(?P<{kind}>{text})" for kind, text in _WRITTEN.items()))


# --- the paper -------------------------------------------------------------------------------------------------------


class Step(NamedTuple):
    """One command of a paper, the line it stands in, and what it prints."""

    line: int
    command: str
    output: str = ""


def steps(text: str) -> Iterator[Step]:
    """The commands of all console blocks, in order."""
    for block in re.finditer(r"(?ms)^```console\n(.*?)^```$", text):
        found: list[Step] = []
        for number, line in enumerate(block[1].splitlines(), start=text.count("\n", 0, block.start(1)) + 1):
            if line.startswith("$ "):
                found.append(Step(number, line[2:]))
            elif line.startswith("> ") and found[-1].output == "":
                found[-1] = found[-1]._replace(command=f"{found[-1].command}\n{line[2:]}")
            else:
                found[-1] = found[-1]._replace(output=f"{found[-1].output}{line}\n")
        yield from found


class Names:
    """The ids of a paper, and those of the program that they stand for."""

    def __init__(self) -> None:
        self._real: dict[str, str] = {}

    def real(self, text: str) -> str:
        """The text with the real ids in the places of those of the paper, as far as they are known."""
        return TOKEN.sub(lambda found: self._real.get(found[0], found[0]), text)

    def match(self, paper: str, printed: str) -> bool:
        """Whether the program printed what the paper says; ids that are new in it are learned."""
        pattern, new, end = "", [], 0
        for found in TOKEN.finditer(paper):
            pattern += re.escape(paper[end : found.start()])
            kind, end = str(found.lastgroup), found.end()
            if kind in _IDS:
                new.append(found[0])
                pattern += f"({_IDS[kind]})"
            else:
                pattern += _ANYTHING[kind]
        whole = re.fullmatch(pattern + re.escape(paper[end:]), printed)
        return whole is not None and all(map(self._learn, new, whole.groups()))

    def _learn(self, paper: str, real: str) -> bool:
        if len(paper) == 35:  # a long origin has a short form too
            self._learn(f"{paper[:11]}…", f"{real[:11]}…")
        known = self._real.setdefault(paper, real)
        return known == real and len(set(self._real.values())) == len(self._real)


# --- typing it -------------------------------------------------------------------------------------------------------


class Terminal:
    """Types commands: `cd` and `eventsync` in this process, which is fast, everything else in a shell."""

    def __init__(self, shims: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        shim = shims / "eventsync"
        shim.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m eventsync "$@"\n')
        shim.chmod(0o755)
        monkeypatch.setenv("LC_ALL", "C.UTF-8")
        self._path = str(shims)
        self._chdir: Callable[[str], None] = monkeypatch.chdir
        self.code = 0

    def type(self, command: str) -> str:
        """Run a command as a shell would, and return both outputs as one text."""
        words = list(shlex.shlex(command, posix=True, punctuation_chars=True))
        if words[0] == "cd" and len(words) == 2:
            self._chdir(words[1])
            return ""
        if words[0] == "eventsync" and not any(set(word) <= set("();<>|&") for word in words):
            return self._in_this_process(shlex.split(command)[1:])
        environ = environment()
        script = f"(exit {self.code})\n{command}"
        ended = subprocess.run(
            ["/bin/sh", "-c", script],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**environ, "PATH": f"{self._path}:{environ['PATH']}"},
            timeout=60,
            check=False,
        )
        self.code = ended.returncode
        return ended.stdout.decode()

    def _in_this_process(self, arguments: list[str]) -> str:
        raw = io.BytesIO()
        both = io.TextIOWrapper(raw, encoding="utf-8", write_through=True)
        with redirect_stdout(both), redirect_stderr(both):
            self.code = main(arguments)
        return raw.getvalue().decode()


def type_all(text: str, terminal: Terminal) -> None:
    """Type the commands of a paper; AssertionError at the first that does not print what it should."""
    names = Names()
    done = Step(0, "")
    for step in steps(text):
        asked = step.command == "echo $?"
        assert asked or terminal.code == 0, f"line {done.line}: `{done.command}` ended with {terminal.code}"
        printed = terminal.type(names.real(step.command))
        assert names.match(step.output, printed), (
            f"line {step.line}: `{step.command}` is to print\n{names.real(step.output)}but it printed\n{printed}"
        )
        done = step
    assert terminal.code == 0, f"line {done.line}: `{done.command}` ended with {terminal.code}"


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    shims = tmp_path / "shims"
    shims.mkdir()
    return Terminal(shims, monkeypatch)


def test_the_tutorial_is_true(terminal: Terminal, tmp_path: Path) -> None:
    type_all(TUTORIAL.read_text(encoding="utf-8"), terminal)
    assert list(Path().iterdir()) == []  # it leaves nothing behind, as it promises


@pytest.fixture
def shared_folder(run: Run, tmp_path: Path) -> None:
    """Where the README begins: here is a laptop's store, and a desktop has published to the shared folder."""
    bus, desktop = str(tmp_path / "shared"), ("--store", str(tmp_path / "desktop"))
    life = [
        ("init", "--name", "laptop"),
        ("put", "plan", "pln_1", "--set", "title=Number invoices by year", "--set", "status=open"),
        ("put", "decision", "dec_1", "--set", "title=Use SQLite"),
        ("remote", "add", "shared", bus),
        ("sync",),
        ("init", str(tmp_path / "desktop"), "--name", "desktop"),
        ("remote", "add", "shared", bus, *desktop),
        ("pull", *desktop),
        ("accept", "--all", *desktop),
        ("edit", "decision", "dec_1", "--set", "title=Use SQLite in WAL mode", *desktop),
        ("edit", "plan", "pln_1", "--set", "status=done", *desktop),
        ("put", "trap", "trp_1", "--set", "title=BIGINT arrives as text", *desktop),
        ("sync", *desktop),
        ("edit", "plan", "pln_1", "--set", "title=Number invoices by table"),
    ]
    for words in life:
        assert run(*words).code == 0, words


@pytest.mark.usefixtures("shared_folder")
def test_the_picture_in_the_readme_is_true(terminal: Terminal) -> None:
    type_all(README.read_text(encoding="utf-8"), terminal)


def test_the_python_in_the_readme_prints_what_it_says(store: Path) -> None:
    (code,) = re.findall(r"(?ms)^```python\n(.*?)^```$", README.read_text(encoding="utf-8"))
    said = re.findall(r"(?m)^print\(.*\) +# (.*)$", code)
    printed = io.StringIO()
    with redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), {})
    assert printed.getvalue().splitlines() == said
    assert len(said) == code.count("print(")


# --- that a difference is seen ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        ("decision  dec_1  1    2    Use SQLite", "decision  dec_1  1    2    Use Postgres"),
        ("plan/pln_1 updated (seq 3, rev 2)", "plan/pln_1 updated (seq 3, rev 3)"),
        ("$ echo $?\n22\n", "$ echo $?\n12\n"),
        ("$ echo $?\n22\n", ""),
        ("ok\n", "ok\nand more\n"),
        ("inbox is empty\n", ""),
        ("cnd_a693ebdc2f14  new  decision/dec_1\n", "cnd_56608cc34d2c  new  decision/dec_1\n"),
        ("ben (es1kinroedb…)  new", "ben (es1333ikqv6…)  new"),
    ],
)
def test_a_tutorial_that_is_not_true_is_seen(change: tuple[str, str], terminal: Terminal) -> None:
    text = TUTORIAL.read_text(encoding="utf-8")
    assert change[0] in text
    with pytest.raises(AssertionError, match=r"^line "):
        type_all(text.replace(*change), terminal)


def test_an_id_of_the_paper_is_one_id_of_the_program_and_another_is_another() -> None:
    names = Names()
    assert names.match("a cnd_000000000001 b", "a cnd_aaaaaaaaaaaa b")
    assert names.real("accept cnd_000000000001 cnd_000000000002") == "accept cnd_aaaaaaaaaaaa cnd_000000000002"
    assert not names.match("cnd_000000000001", "cnd_bbbbbbbbbbbb")
    assert not names.match("cnd_000000000002", "cnd_aaaaaaaaaaaa")


def test_an_ellipsis_stands_for_anything_on_its_line_and_alone_for_lines() -> None:
    assert Names().match("a…d\n", "abcd\n")
    assert not Names().match("a…d\n", "ab\ncd\n")
    assert Names().match("a\n…\nd\n", "a\nb\nc\nd\n")
    assert Names().match("at 2026-11-23T04:25:17.192Z\n", "at 1999-01-01T00:00:00.000Z\n")
    assert not Names().match("at 2026-11-23T04:25:17.192Z\n", "at noon\n")


def test_a_short_origin_is_the_beginning_of_the_long_one() -> None:
    long, other = "es1" + "a" * 32, "es1" + "b" * 32
    names = Names()
    assert names.match(f"{long}\n", f"{other}\n")
    assert names.match("es1aaaaaaaa…)\n", "es1bbbbbbbb…)\n")
    assert not names.match("es1aaaaaaaa…)\n", "es1cccccccc…)\n")
