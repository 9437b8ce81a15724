"""A file system that hangs, for a whole program: no system call about the path HANGING, or one below it, ever returns.

In force with this folder on PYTHONPATH. The process that made such a call writes itself down in HANGING_SEEN.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any


def _hanging(call: Callable[..., Any], hung: str, seen: str) -> Callable[..., Any]:
    def touch(path: Any = ".", *arguments: Any, **named: Any) -> Any:
        name = path if isinstance(path, int) else os.fspath(path)
        if name == hung or (isinstance(name, str) and name.startswith(hung + "/")):
            with Path(seen).open("a", encoding="utf-8") as file:
                file.write(f"{os.getpid()} {call.__name__}\n")
            signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP})
            while True:
                signal.pause()
        return call(path, *arguments, **named)

    return touch


if "HANGING" in os.environ:
    for name in ("open", "stat", "lstat", "scandir", "listdir", "mkdir", "readlink", "access", "rename", "unlink"):
        setattr(os, name, _hanging(getattr(os, name), os.environ["HANGING"], os.environ["HANGING_SEEN"]))
