"""The dialogue with a git worker: a job goes out, an answer or one of our errors comes back.

Knows deadlines, logins and what a failure means to the caller; knows nothing of feeds. A place that does not let us in,
or that was late too often, is given up: each later question gets the same error at once.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from federation.errors import (
    FederationError,
    RemoteReadOnly,
    RemoteRefused,
    RepositoryUnsupported,
    SourceUnavailable,
)
from federation.model import FEED_FILE, FEED_FOLDER, MAX_SLICE_FILE_BYTES
from federation.transports.child import Ended, run_worker
from federation.transports.git_job import Address, Answer, Caps, Job, decode_answer, encode_job
from federation.transports.git_login import find_login
from federation.transports.git_settings import GitSettings
from federation.transports.urls import GitUrl
from journal import ORIGIN, Disk, DiskFailed

AT_ONCE: Final = 50  # origins in one transfer: they share its caps
_WORKER: Final = "federation.transports.git_worker"
_MAX_LATE: Final = 4  # transfers in a row that miss their deadline: then it is the place, and not one large feed
_MAX_OBJECTS: Final = 1_000_000
_INFLATED: Final = 4  # times what may be received: slices are compressed already, heads and trees are small
_MAX_SAID: Final = 200  # characters of what a worker that broke down said
_GIVES_UP: Final = frozenset(["unauthorized", "not let in", "format"])

Work = Callable[[Job, float], Ended]


def in_a_child(job: Job, deadline_seconds: float) -> Ended:
    """Let a worker do a job, in a process of its own."""
    return run_worker(_WORKER, encode_job(job), deadline_seconds=deadline_seconds, descriptors=[job.spool])


class HistoryKept(Exception):
    """The place lets a ref go on only from where it is; nothing was changed. Never leaves this transport."""


class Spool:
    """A file without a name, there as long as this is: the worker writes what it brings, and reads what it sends."""

    def __init__(self, folder: Path) -> None:
        with tempfile.TemporaryFile(dir=folder) as file:
            self.descriptor = os.dup(file.fileno())
        weakref.finalize(self, os.close, self.descriptor)
        self._end = 0

    def add(self, data: bytes) -> tuple[int, int]:
        """Write at the end; offset and size."""
        offset, written = self._end, 0
        while written < len(data):
            written += os.pwrite(self.descriptor, data[written:], offset + written)
        self._end += len(data)
        return offset, len(data)

    def read(self, offset: int, size: int) -> bytes:
        """What stands there."""
        return os.pread(self.descriptor, size, offset)


class Dialogue:
    """Questions to one repository. `folder` is for files without a name."""

    def __init__(self, url: GitUrl, settings: GitSettings, disk: Disk, folder: Path, work: Work) -> None:
        self._url, self._settings, self._disk, self._folder, self._work = url, settings, disk, folder, work
        self._login: tuple[str | None, str | None] = (url.user, url.password)
        self._looked_for_login = False
        self._late = 0
        self._given_up: FederationError | None = None

    def spool(self) -> Spool:
        """A new spool."""
        self._disk.make_folder(self._folder)
        try:
            return Spool(self._folder)
        except OSError as error:
            raise DiskFailed(f"cannot make a file: {error.strerror}", path=self._folder) from error

    def bring(
        self, spool: Spool, kept: Mapping[str, str], only: Sequence[str] | None, *, whole: bool = False
    ) -> Answer:
        """List the refs, and bring what these origins, or all that changed, hold beyond what is kept.

        Raises when not even the list could be had.
        """
        answer = self._ask(self._job("bring", spool, kept=kept, only=only, whole=whole))
        if answer.listing is None:
            self._given_up = self.error(answer)
            raise self._given_up
        return answer

    def send(self, spool: Spool, name: str, old: str | None, **new: Any) -> str:
        """Move a ref from the commit `old` to a new one (parent, there, entries, blobs); that one.

        Raises HistoryKept when it has no parent, and the place does not take it therefore.
        """
        answer = self._ask(self._job("send", spool, name=name, old=old, **new))
        if answer.failure is not None and answer.failure[0] == "keeps":
            raise HistoryKept
        if answer.sent is None:
            raise self.error(answer)
        return answer.sent

    def error(self, answer: Answer) -> FederationError:
        """The error of ours for what did not work."""
        kind, message = answer.failure or ("unreachable", "the ref is not there any more")
        path = self._url.display
        for secret in filter(None, self._login if self._url.scheme in ("http", "https") else ()):
            message = message.replace(secret, "***")  # a server may repeat what it was sent [R2]
        match kind:
            case "unauthorized" | "not let in":
                return RemoteRefused(message, path=path)
            case "read only":
                return RemoteReadOnly(message, path=path)
            case "format":
                return RepositoryUnsupported(message, path=path)
            case "raced":
                return SourceUnavailable(f"{message}: nothing was overwritten", path=path, rule="R3")
            case _:
                return SourceUnavailable(message, path=path)

    # --- asking ---

    def _job(self, task: str, spool: Spool, **what: Any) -> Job:
        received = self._settings.max_mib * 1024 * 1024
        url = self._url
        return Job(
            task,
            Address(url.scheme, url.host, url.port, *self._login, url.path, self._settings.ssh_config),
            self._settings.ref_prefix,
            Caps(received, _INFLATED * received, MAX_SLICE_FILE_BYTES, _MAX_OBJECTS),
            spool.descriptor,
            str(self._folder),
            refs=ORIGIN.pattern,
            folders=FEED_FOLDER.pattern,
            files=FEED_FILE.pattern,
            at_most=AT_ONCE,
            **what,
        )

    def _ask(self, job: Job) -> Answer:
        """Let the job be done; once more with a login when one is asked for and can be found."""
        if self._given_up is not None:
            raise self._given_up
        answer = self._ask_once(job)
        if answer.failure is not None and answer.failure[0] == "unauthorized" and not self._looked_for_login:
            self._looked_for_login = True
            login = find_login(self._url, self._settings.deadline_seconds)
            if login is not None:
                self._login = login
                answer = self._ask_once(job._replace(address=job.address._replace(user=login[0], password=login[1])))
        kind, message = answer.failure or (None, "")
        if kind in _GIVES_UP:
            self._given_up = self.error(answer)
            raise self._given_up
        if kind == "disk":
            raise DiskFailed(f"cannot be written: {message}", path=self._folder)
        return answer

    def _ask_once(self, job: Job) -> Answer:
        ended = self._work(job, self._settings.deadline_seconds)
        answer = decode_answer(ended.output)
        if ended.late:
            return answer._replace(failure=("unreachable", self._lateness(answer)))
        self._late = 0
        if answer.failure is None and answer.brought is None and answer.sent is None:
            said = ended.errors.decode("utf-8", "replace").strip().rpartition("\n")[2]
            said = "".join(sign if sign.isprintable() else " " for sign in said)[:_MAX_SAID]
            return answer._replace(failure=("damaged", f"the transfer broke down: {said or ended.code}"))
        return answer

    def _lateness(self, answer: Answer) -> str:
        self._late += 1
        if self._late >= _MAX_LATE:
            self._given_up = SourceUnavailable(
                f"{self._late} transfers in a row were not done in time", path=self._url.display
            )
        done = "no answer within" if answer.listing is None else "the transfer was not done within"
        return f"{done} {self._settings.deadline_seconds:g} seconds"
