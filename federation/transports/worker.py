"""The worker's side of `child`: keep to limits, end with the parent, take one job.

Light, since a worker starts anew for each job: only the standard library is imported here.
"""

from __future__ import annotations

import os
import resource
import signal
import threading
from typing import Final, NamedTuple

_PIPE_BYTES: Final = 64 * 1024


class Limits(NamedTuple):
    """What a worker may use, beside time."""

    memory_bytes: int = 1024 * 1024 * 1024  # of data it allocates: mapped files do not count
    file_bytes: int = 4 * 1024 * 1024 * 1024  # of any one file it writes


def take_job(limits: Limits) -> bytes:
    """Keep to limits, end with the parent, and return the job."""
    keep_to(limits)
    job = bytearray()
    while not job.endswith(b"\n"):
        piece = os.read(0, _PIPE_BYTES)
        if not piece:
            os._exit(1)  # the parent ended before it said what to do
        job += piece
    threading.Thread(target=_end_with_parent, daemon=True).start()
    return bytes(job)


def keep_to(limits: Limits) -> None:
    """Set limits for this process and those it starts; they can be narrowed later, never widened."""
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_DATA, limits.memory_bytes)
    _limit(resource.RLIMIT_FSIZE, limits.file_bytes)


def _end_with_parent() -> None:
    """The parent holds the other end of our standard input until it has all it wants: its end is ours."""
    while os.read(0, _PIPE_BYTES):
        pass
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _limit(what: int, wanted: int) -> None:
    hard = resource.getrlimit(what)[1]
    least = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(what, (least, least))
