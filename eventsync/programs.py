"""Programs: what the machine gives us to work with: packages by our names, other copies of this program, tools.

Loads nothing of the rooms below: a foreign package that took one of their names is found here, before it is imported.
Runs programs only to ask for their version, with a deadline.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Final

from eventsync import __version__
from eventsync.ailments import Found, ailing

_OURS: Final = ("journal", "federation")
_LIBRARIES: Final = (
    "blake3",
    "click",
    "cryptography",
    "dulwich",
    "filelock",
    "msgspec",
    "platformdirs",
    "pydantic",
    "rich",
    "tomlkit",
    "zstandard",
)
_TOOLS: Final[Mapping[str, tuple[str, ...]]] = {
    "git": ("git", "--version"),
    "ssh": ("ssh", "-V"),
    "rsync": ("rsync", "--version"),
}
_SECONDS: Final = 10.0
_NUMBER: Final = re.compile(r"[0-9]+(?:\.[0-9]+)+(?:p[0-9]+)?")
_OWN: Final = re.compile(r"eventsync (\S+)")


def foreign_packages() -> Iterator[Found]:
    """Packages that took our import names: what stands beside this package is ours, and nothing else."""
    home = Path(__file__).resolve().parents[1]
    for name in _OURS:
        found = importlib.util.find_spec(name)
        folders = [] if found is None else [*(found.submodule_search_locations or filter(None, [found.origin]))]
        strangers = [folder for folder in folders if Path(folder).resolve().parent != home]
        if strangers:
            whose = ", ".join(_distributions(name)) or "no distribution"
            yield ailing("foreign-package", f"{name} is another package, of {whose}", path=strangers[0])
        elif not folders:
            yield ailing("foreign-package", f"the package {name} is not installed")


def _distributions(name: str) -> list[str]:
    return [other for other in importlib.metadata.packages_distributions().get(name, []) if other != "eventsync"]


def other_programs(search: str) -> Iterator[Found]:
    """The eventsync that a shell would start, when it is not of this version. `search` is the PATH."""
    found = shutil.which("eventsync", path=search)
    if found is None or Path(found).resolve() == Path(sys.argv[0]).resolve():
        return
    answer = _asked((found, "--version"))
    version = _OWN.fullmatch(answer.strip())
    if version is None:
        yield ailing("program-differs", "the eventsync that the shell starts is another program", path=found)
    elif version[1] != __version__:
        yield ailing("program-differs", f"the shell starts eventsync {version[1]}, this is {__version__}", path=found)


def missing_tools(needed: Mapping[str, Collection[str]]) -> Iterator[Found]:
    """Tools that remotes need and this machine has not; `needed` says for each tool which remotes."""
    for tool, remotes in needed.items():
        if not is_here(tool):
            yield ailing("tool-missing", f"{tool} is not installed, and needed for {', '.join(sorted(remotes))}")


def is_here(tool: str) -> bool:
    """Whether a program is installed."""
    return shutil.which(tool) is not None


def versions() -> dict[str, str | None]:
    """What runs here, by name; None for what is not installed."""
    found: dict[str, str | None] = {"eventsync": __version__, "python": platform.python_version()}
    for name in _LIBRARIES:
        found[name] = None
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    for name, command in _TOOLS.items():
        number = _NUMBER.search(_asked(command)) if is_here(name) else None
        found[name] = None if number is None else number[0]
    return found


def machine() -> dict[str, str]:
    """What kind of machine this is; nothing that tells whose."""
    return {
        "system": platform.system(),
        "release": platform.release(),
        "machine": platform.machine(),
        "python": platform.python_implementation(),
        "encoding": sys.getfilesystemencoding(),
    }


def _asked(command: tuple[str, ...]) -> str:
    """What a program says of itself, on either output; nothing when it does not start, or takes too long."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("_")}
    try:
        ended = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_SECONDS,
            env={**environment, "LC_ALL": "C"},
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return ended.stdout.decode("utf-8", "replace")
