"""Run log: one line for each push, pull or relay of a remote, federation/runs.jsonl; read for `status` and for what a
remote is known to be.

Nothing of the store depends on it: a line that is no run is passed over, and old ones go when it grows.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from journal import Store

_MOST_BYTES: Final = 1024 * 1024  # it is cut in half beyond this
Run = dict[str, Any]


class Past(NamedTuple):
    """What earlier runs tell of a place."""

    held: bool  # a pull from there found feeds once
    pushed: bool  # a push to there worked once
    found_last: frozenset[str]  # origins of others that the last pull found there
    showed: bool  # a feed under the origin in force was there once
    relayed: bool  # feeds of others were passed on to there once


class RunLog:
    """The runs of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._path = store.folder / "federation" / "runs.jsonl"

    def add(
        self, verb: str, remote: str, url: str, result: str, *, error: Exception | None, origins: Sequence[str]
    ) -> None:
        """Note down what a run came to; `url` is the one that is shown [R2]."""
        run = {
            "ts": self._store.machine.now(),
            "verb": verb,
            "remote": remote or None,
            "url": url,
            "result": result,
            "error": None if error is None else str(error)[:500],
            "origins": list(origins),
        }
        disk = self._store.disk
        size = disk.size(self._path)
        if size is not None and size > _MOST_BYTES:
            data = disk.read(self._path, size // 2)
            disk.replace(self._path, data[data.find(b"\n") + 1 :])
        disk.make_folder(self._path.parent)
        disk.add_line(self._path, json.dumps(run).encode() + b"\n")

    def runs(self) -> list[Run]:
        """All runs, oldest first."""
        data = self._store.disk.read_if_there(self._path) or b""
        found = []
        for line in data.splitlines():
            with contextlib.suppress(ValueError, RecursionError):
                run = json.loads(line)
                if isinstance(run, dict) and isinstance(run.get("ts"), str):
                    found.append(run)
        return found


def found_last(runs: Sequence[Run], remote: str) -> frozenset[str]:
    """The origins that the last pull which reached a remote of that name found there."""
    return _found_last([run for run in runs if run.get("remote") == remote and run.get("verb") == "pull"])


def _found_last(pulls: Sequence[Run]) -> frozenset[str]:
    reached = [run for run in pulls if run.get("error") is None or run.get("origins")]
    return frozenset(map(str, reached[-1].get("origins") or ())) if reached else frozenset()


def past(runs: Sequence[Run], url: str, kind: str, own: str) -> Past:
    """What runs tell of the place at a URL; `own` is the origin in force."""
    there = [run for run in runs if run.get("url") == url]
    pulls = [run for run in there if run.get("verb") == "pull"]
    pushed = [run for run in there if run.get("error") is None and run.get("result") == "pushed"]
    # That a git server takes no pushes shows after a person has said yes: a sync need not ask for that again.
    refused = kind == "git" and any(run.get("result") == "read_only" for run in there)
    return Past(
        any(run.get("origins") for run in pulls),
        bool(pushed) or refused,
        _found_last(pulls),
        any(own in run.get("origins", ()) for run in pushed),
        any(run.get("origins") for run in there if run.get("verb") == "relay"),
    )
