"""How these tests meet the program: in this process where nothing is lost by it, as a process of its own elsewhere."""

from __future__ import annotations

import io
import os
import pty
import re
import select
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from eventsync.cli import main
from tests.cli.answers import Answer, Program, Run, Start, command_line, environment


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in ("EDITOR", "VISUAL", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """The program, in this process."""

    def call(*arguments: str, stdin: bytes = b"") -> Answer:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        capsys.readouterr()
        code = main(list(arguments))
        return Answer(code, *capsys.readouterr())

    return call


@pytest.fixture
def store(run: Run) -> Path:
    """A new store here; its `.eventsync` folder."""
    assert run("init").code == 0
    return Path(".eventsync").absolute()


@pytest.fixture
def program() -> Program:
    """The program, as a process."""

    def call(*arguments: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> Answer:
        ended = subprocess.run(
            command_line(*arguments), input=stdin, capture_output=True, env=environment(env), timeout=60, check=False
        )
        return Answer(ended.returncode, ended.stdout.decode(), ended.stderr.decode())

    return call


@pytest.fixture
def start() -> Iterator[Start]:
    """The program, as a process that is left running; at the end of the test it is gone."""
    started: list[subprocess.Popen[bytes]] = []

    def call(*arguments: str, env: Mapping[str, str] | None = None, **settings: Any) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen(command_line(*arguments), env=environment(env), **settings))
        return started[-1]

    yield call
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def terminal() -> Program:
    """The program, on a terminal of 24 lines and 80 columns; both outputs are one text."""

    def call(*arguments: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> Answer:
        ours, theirs = pty.openpty()
        size = {"COLUMNS": "80", "LINES": "24", "TERM": "xterm"}
        process = subprocess.Popen(
            command_line(*arguments),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment({**size, **(env or {})}),
        )
        os.close(theirs)
        os.write(ours, stdin)
        text = b""
        while select.select([ours], [], [], 60)[0]:
            try:
                some = os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
            if not some:
                break
            text += some
        os.close(ours)
        return Answer(process.wait(60), re.sub("\r\n", "\n", text.decode()), "")

    return call
