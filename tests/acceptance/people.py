"""People: stores as a person or a script meets them, through the command line alone and with --json."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from eventsync.cli import main
from journal import Store
from tests.doubles.disks import QuickDisk


class Told(NamedTuple):
    """What the program said, and with which code it ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on standard output."""
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        """The one error object on standard error."""
        return json.loads(self.err)["error"]


def run(*arguments: str) -> Told:
    """The program, in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(list(arguments))
    return Told(code, out.getvalue(), err.getvalue())


class Person:
    """Somebody who has a store; `folder` holds it."""

    def __init__(self, folder: Path, *remotes: Path) -> None:
        self.folder = folder
        self.store = folder / ".eventsync"
        self.ask("init", str(folder))
        for number, remote in enumerate(remotes):
            self.ask("remote", "add", f"bus{number}", str(remote))

    def run(self, *arguments: str) -> Told:
        """A command about the store, with --json."""
        return run(*arguments, "--store", str(self.folder), "--json")

    def ask(self, *arguments: str) -> Any:
        """The document of a command that must work."""
        told = self.run(*arguments)
        assert told.code == 0, told
        return told.document

    # --- what people do ---

    def write(self, entities: Mapping[str, Any], item_type: str = "plan") -> None:
        """Write entities, all in one batch: the one thing that is not done by the command line, which is slower."""
        store = Store.open(self.folder, disk=QuickDisk())
        with store.mutate(agent="test") as mutation:
            for item_id, payload in entities.items():
                mutation.put(item_type, item_id, payload)
        store.close()

    def pull(self, *where: str) -> dict[str, Any]:
        """Pull, which must work; what it came to, by origin."""
        remotes = self.ask("pull", *where)["remotes"]
        assert all(remote["error"] is None for remote in remotes)
        return {origin["origin_store_id"]: origin for remote in remotes for origin in remote["origins"]}

    # --- what can be seen ---

    @property
    def origin(self) -> str:
        """The origin id of the store."""
        found: str = json.loads((self.store / "store.json").read_bytes())["origin_store_id"]
        return found

    def entities(self) -> dict[str, Any]:
        """The payload of every live entity."""
        listed = self.ask("ls")["entities"]
        return {
            f"{entity['item_type']}/{entity['item_id']}": self.ask("show", entity["item_type"], entity["item_id"])[
                "payload"
            ]
            for entity in listed
        }

    def inbox(self, *options: str) -> list[Any]:
        """The candidates."""
        found: list[Any] = self.ask("inbox", *options)["candidates"]
        return found

    def journal(self) -> dict[str, bytes]:
        """The files of the log."""
        return {path.name: path.read_bytes() for path in (self.store / "journal").glob("seg-*")}

    def truths(self) -> dict[str, bytes]:
        """Everything that is no cache: journal, own feed, mirrors [T1]."""
        return {
            path.relative_to(self.store).as_posix(): path.read_bytes()
            for part in ("journal", "feed", "federation/mirror")
            for path in sorted((self.store / part).rglob("*"))
            if path.is_file()
        }
