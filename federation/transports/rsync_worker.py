"""The child that runs one rsync: within limits, with an environment of its own, ended when the parent ends.

Light, since it starts anew for each call. What rsync says goes straight to the parent; its exit code becomes ours, with
128 and more for a signal, as shells count.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Final

from federation.transports.worker import Limits, keep_to, take_job

CANNOT_START: Final = 126
_SIGNALS: Final = 128
_NO_HOME: Final = "/dev/null"  # there rsync finds no .popt, where a person may have given options another meaning


def main() -> None:
    """The way in of the process."""
    argv, given, own, file_bytes = json.loads(take_job(Limits()))
    if file_bytes is not None:
        keep_to(Limits(file_bytes=file_bytes))
    try:
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, env=environment(os.environ, own))
    except OSError as error:
        os.write(2, f"{argv[0]}: {error.strerror}".encode())
        sys.exit(CANNOT_START)
    process.communicate(given.encode("utf-8", "surrogateescape"))
    code = process.returncode
    sys.exit(code if code >= 0 else _SIGNALS - code)


def environment(inherited: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """The environment of rsync: nothing in it changes what was asked, and messages are in English."""
    changing = ("CVSIGNORE", "HOME", "LANGUAGE", "PYTHONPATH")
    kept = {name: value for name, value in inherited.items() if not name.startswith("RSYNC_") and name not in changing}
    return {**kept, "LC_ALL": "C", "HOME": _NO_HOME, **own}


if __name__ == "__main__":
    main()
