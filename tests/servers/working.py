"""Ways to let a git worker work: in this process, where a test needs no process of its own, or breaking down."""

from __future__ import annotations

import gc
import json
import warnings
from collections.abc import Mapping
from typing import Any

from federation.transports.child import Ended
from federation.transports.git_job import Job, decode_job, encode_job
from federation.transports.git_worker import answer


def in_this_process(job: Job, deadline_seconds: float) -> Ended:
    """The same job, over the same wire, without the process around it: for what is not about processes."""
    lines: list[Mapping[str, Any]] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # the library leaves a connection that fails to the collector
        answer(decode_job(encode_job(job)), lines.append)
        if "failure" in lines[-1]:
            gc.collect()
    return Ended(0, b"".join(json.dumps(line).encode() + b"\n" for line in lines), b"", late=False)


def breaking_while_sending(job: Job, deadline_seconds: float) -> Ended:
    """The worker dies when it has to publish."""
    return Ended(-9, b"", b"killed", late=False) if job.task == "send" else in_this_process(job, deadline_seconds)
