"""Demo: stores in a temporary folder share over a directory, and over a git repository, told as a story.

Runs the real use cases on real files, with keys of its own in the same folder, and removes everything afterwards.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from eventsync import exchange_report as words
from eventsync import inbox_report as inbox_words
from eventsync.report import short_origin
from eventsync.sharing import Sharing, sharing
from eventsync.text import pretty_json
from federation.grouping import regrouped
from federation.inbox import Filter
from federation.model import Resolution
from federation.puller import Settings
from journal import Store

Tell = Callable[[str], None]


def run(tell: Tell) -> None:
    """Play the story; `tell` gets a line at a time. An AssertionError means that something did not come out as told."""
    with tempfile.TemporaryDirectory(prefix="eventsync-demo-") as folder:
        root = Path(folder)
        (root / "bus").mkdir()
        with _store(root, "laptop") as laptop, _store(root, "desktop") as desktop:
            for store in (laptop, desktop):
                store.add_remote("bus", str(root / "bus"))
            _share_a_folder(laptop, desktop, tell)
            _disagree(laptop, desktop, tell)
            with _store(root, "server") as server:
                _share_a_repository(root, laptop, server, tell)
        tell("")
        tell("That is all there is to it. Make a store of your own with `eventsync init`.")


@contextmanager
def _store(root: Path, name: str) -> Iterator[Sharing]:
    store = Store.init(root / name, name=name, data_folder=root / "keys")
    try:
        with sharing(store) as found:
            yield found
    finally:
        store.close()


def _share_a_folder(laptop: Sharing, desktop: Sharing, tell: Tell) -> None:
    tell("Two stores, `laptop` and `desktop`, and a shared folder between them: the bus.")
    tell("")
    tell("1. On the laptop an agent writes down a plan and a decision, and keeps a session to itself.")
    with laptop.store.mutate(agent="demo") as mutation:
        mutation.put(
            "plan", "pln_1", {"title": "Number invoices by table", "status": "open"}, summary="Number invoices"
        )
        mutation.put("decision", "dec_1", {"title": "Use SQLite", "why": "one file"}, summary="Use SQLite")
        mutation.put("session", "ses_1", {"started": "09:00"})
    _exchange(laptop, tell)
    tell("")
    tell("2. The desktop pulls. What is new waits in its inbox; nothing of its own has changed.")
    _pull(desktop, tell)
    _show_inbox(desktop, tell)
    assert not desktop.store.list()
    tell("")
    tell("3. The desktop accepts both, and goes on with the plan.")
    desktop.deciding("demo").accept_all(Filter())
    with desktop.store.mutate(agent="demo") as mutation:
        mutation.put(
            "plan", "pln_1", {"title": "Number invoices by table", "status": "done"}, summary="Number invoices"
        )
    _exchange(desktop, tell)


def _disagree(laptop: Sharing, desktop: Sharing, tell: Tell) -> None:
    tell("")
    tell("4. Meanwhile the laptop changed the same plan. Neither has seen the other: a conflict, and it is shown.")
    with laptop.store.mutate(agent="demo") as mutation:
        mutation.put("plan", "pln_1", {"title": "Number invoices by year", "status": "open"}, summary="Number invoices")
    _pull(laptop, tell)
    _show_inbox(laptop, tell)
    conflict = next(iter(laptop.inbox.candidates(Filter(verdict="conflict"))))
    for styled in inbox_words.diff_lines(laptop.inbox.diff(conflict.id)):
        tell(f"   {styled.text}")
    tell("")
    tell("5. A person merges: what only one side changed is taken from there. Both versions stay in the history.")
    laptop.deciding("demo").accept([conflict.id], Resolution.MERGE)
    for line in pretty_json(laptop.store.get("plan", "pln_1").payload).splitlines():
        tell(f"   {line}")
    _exchange(laptop, tell)
    _pull(desktop, tell)
    tell("")
    tell("6. The desktop accepts: the merge has seen its version, so it is no conflict. Pulling again changes nothing.")
    desktop.deciding("demo").accept_all(Filter())
    before = (laptop.store.position().seq, desktop.store.position().seq)
    _pull(laptop, tell)
    _pull(desktop, tell)
    assert before == (laptop.store.position().seq, desktop.store.position().seq)
    assert laptop.store.get("plan", "pln_1").payload == desktop.store.get("plan", "pln_1").payload
    assert not list(desktop.inbox.candidates(Filter()))


def _share_a_repository(root: Path, laptop: Sharing, server: Sharing, tell: Tell) -> None:
    tell("")
    tell("7. A third store stands on a server. It shares no folder with them, but a git repository: the hub.")
    hub = root / "hub.git"
    _make_repository(hub)
    for store in (laptop, server):
        store.add_remote("hub", str(hub))
    _push(laptop, tell, "hub")
    _pull(server, tell, "hub")
    _show_inbox(server, tell)
    server.deciding("demo").accept_all(Filter())
    with server.store.mutate(agent="demo") as mutation:
        mutation.put("trap", "trp_1", {"title": "The clock of the server is an hour late"}, summary="Late clock")
    _exchange(server, tell, "hub")
    tell("")
    tell("8. In the hub each store has a ref of its own, and no branch: a project's remote can be the place too.")
    refs = _refs_of(hub)
    assert len(refs) == 2
    for ref in refs:
        folder, _, origin = ref.rpartition("/")
        tell(f"   hub: {folder}/{short_origin(origin)}")
    _pull(laptop, tell, "hub")
    _show_inbox(laptop, tell)
    assert [found.item_id for found in laptop.inbox.candidates(Filter())] == ["trp_1"]


def _make_repository(path: Path) -> None:
    """An empty bare repository: what `git init --bare` makes, where git need not be installed."""
    from dulwich.repo import Repo

    Repo.init_bare(path, mkdir=True).close()


def _refs_of(path: Path) -> list[str]:
    from dulwich.repo import Repo

    with Repo(str(path)) as repository:
        return sorted(ref.decode() for ref in repository.refs.allkeys() if ref != b"HEAD")


def _exchange(store: Sharing, tell: Tell, remote: str | None = None) -> None:
    for line in words.publish_lines(store.publish()):
        tell(f"   {store.store.name}: {line}")
    _push(store, tell, remote)


def _push(store: Sharing, tell: Tell, remote: str | None) -> None:
    for line in words.push_lines(store.push(store.remotes(remote))):
        tell(f"   {store.store.name}: push to {line}")


def _pull(store: Sharing, tell: Tell, remote: str | None = None) -> None:
    for line in words.pull_lines(store.pull(store.remotes(remote), Settings())):
        tell(f"   {store.store.name}: {'pull from ' if not line.startswith(' ') else ''}{line}")


def _show_inbox(store: Sharing, tell: Tell) -> None:
    alike = store.inbox.offers()
    for line in inbox_words.offer_lines(regrouped(store.inbox.candidates(Filter()), alike), alike, None):
        tell(f"   {line}")
