"""Commands on remotes: remote add, list, show, remove, rename, set-url."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from eventsync import remote_report
from eventsync.cli.commands import Command, Group, opened_store, pass_console
from eventsync.cli.console import Console
from eventsync.sharing import sharing
from eventsync.text import clean

if TYPE_CHECKING:
    from federation.probing import Probe

_HERE: Final = "eventsync.cli.remotes"

remote = Group(
    name="remote",
    help="Name the places this store publishes to and pulls from.",
    sections={
        "Commands": {
            "add": f"{_HERE}:add",
            "list": f"{_HERE}:list_",
            "show": f"{_HERE}:show",
            "remove": f"{_HERE}:remove",
            "rename": f"{_HERE}:rename",
            "set-url": f"{_HERE}:set_url",
        }
    },
)
_name = click.argument("name", metavar="NAME")
_url = click.argument("url", metavar="URL")


@click.command(
    "add",
    cls=Command,
    document="remote add",
    example="""
    eventsync remote add bus /mnt/shared/bus
    eventsync remote add other ../other-project
    eventsync remote add hub git@example.org:team/memory.git
    """,
)
@_name
@_url
@click.option("--no-probe", is_flag=True, help="Do not look whose feeds are there.")
@pass_console
def add(console: Console, name: str, url: str, no_probe: bool) -> None:
    """Add a remote, and look whose feeds are there.

    A remote is a folder that stores share, another store, one feed, a .brainclaw store, or a git repository. A place
    that cannot be reached now is added all the same.
    """
    with opened_store(console) as store, sharing(store) as found:
        kept = found.add_remote(name, url)
        if not console.json:
            console.note(f"remote {clean(name)}: {clean(kept)}")
            console.flush()
        probe = None if no_probe else found.probe(name)
        if console.json:
            console.document(remote_report.added_document(name, found.remote_status(name).url, probe))
            return
        if probe is not None:
            _tell_probe(console, name, probe)
        console.note(remote_report.next_line(name, found.place_of(name), probe))
        for warning in found.ways.warnings():
            console.warn(warning)


def _tell_probe(console: Console, name: str, probe: Probe) -> None:
    problem = remote_report.probe_problem(name, probe)
    if problem is not None:
        console.warn(problem)
    for line in remote_report.probe_lines(probe):
        console.note(line)


@click.command("list", cls=Command, document="remote list", example="eventsync remote list")
@pass_console
def list_(console: Console) -> None:
    """List the remotes."""
    with opened_store(console) as store, sharing(store) as found:
        remotes = [found.remote_status(name) for name in found.config.remotes]
        if console.json:
            console.document({"remotes": [remote_report.remote_document(entry) for entry in remotes]})
            return
        console.answer(f"{clean(entry.name)}  {clean(entry.url)}" for entry in remotes)


@click.command("show", cls=Command, document="remote show", example="eventsync remote show bus")
@_name
@pass_console
def show(console: Console, name: str) -> None:
    """Show a remote, how it went there last, and what has to be there for it to work."""
    with opened_store(console) as store, sharing(store) as found:
        details = found.remote_details(name)
        if console.json:
            console.document(remote_report.details_document(details))
            return
        console.answer(remote_report.details_lines(details))


@click.command("remove", cls=Command, document="remote remove", example="eventsync remote remove bus")
@_name
@pass_console
def remove(console: Console, name: str) -> None:
    """Remove a remote. What was pulled from it stays."""
    with opened_store(console) as store, sharing(store) as found:
        found.remove_remote(name)
        if console.json:
            console.document({"name": name})
        console.note(f"remote {clean(name)} removed; what was pulled from it stays")


@click.command("rename", cls=Command, document="remote rename", example="eventsync remote rename bus usb-stick")
@_name
@click.argument("new_name", metavar="NEW")
@pass_console
def rename(console: Console, name: str, new_name: str) -> None:
    """Give a remote another name."""
    with opened_store(console) as store, sharing(store) as found:
        found.rename_remote(name, new_name)
        if console.json:
            console.document({"name": new_name})
        console.note(f"remote {clean(name)} is now {clean(new_name)}")


@click.command("set-url", cls=Command, document="remote set-url", example="eventsync remote set-url bus /mnt/new/bus")
@_name
@_url
@pass_console
def set_url(console: Console, name: str, url: str) -> None:
    """Give a remote another URL."""
    with opened_store(console) as store, sharing(store) as found:
        kept = found.set_url(name, url)
        if console.json:
            console.document({"name": name, "url": found.remote_status(name).url})
        console.note(f"remote {clean(name)}: {clean(kept)}")
