"""What the program said to a test, and the ways in which a test can call it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import eventsync

ROOT = Path(eventsync.__file__).parents[1]


class Answer(NamedTuple):
    """What the program said, and with which code it ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on standard output; fails when there is another, or none, or it is not ASCII."""
        self.out.encode("ascii")
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        """The one error object on standard error."""
        (line,) = self.err.splitlines()
        line.encode("ascii")
        (facts,) = json.loads(line).values()
        return facts


class Run(Protocol):
    def __call__(self, *arguments: str, stdin: bytes = b"") -> Answer: ...


class Program(Protocol):
    def __call__(self, *arguments: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> Answer: ...


class Start(Protocol):
    def __call__(
        self, *arguments: str, env: Mapping[str, str] | None = None, **settings: Any
    ) -> subprocess.Popen[bytes]: ...


def command_line(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "eventsync", *arguments]


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **(extra or {})}
