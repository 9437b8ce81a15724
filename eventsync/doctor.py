"""Doctor: examine a store on the worst night, and put right what can be without losing anything.

    examine: the machine → the store as a whole → its place and rights → all that `verify` reads → what others need
    mend:    a copy of each file that changes, then `mending`, then examine again

Whatever cannot be opened or read is a finding and not an error: this command has an answer to everything.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from eventsync import app, programs
from eventsync.ailments import TABLE, Found, ailing

if TYPE_CHECKING:
    from journal import Finding, JournalError, Store

# What a store must not lack to be looked at, and the finding that says so; the first class that fits counts.
_UNOPENED = {
    "OnlyEntityFiles": "only-entity-files",
    "NotAStore": "no-store",
    "FormatTooNew": "format-too-new",
    "DamagedStore": "store-unreadable",
    "JournalError": "store-unreadable",
}


class Deed(NamedTuple):
    """One thing that was put right, and the ailment that it was."""

    id: str
    message: str
    path: str | None = None


class Visit(NamedTuple):
    """What doctor found, after what it did, and where copies of what it changed stand."""

    findings: Sequence[Found]
    deeds: Sequence[Deed]
    backup: Path | None
    folder: Path | None  # of the store
    file_system: str | None


def visit(around: app.Surroundings) -> Visit:
    """Examine only."""
    return _visit(around, lambda store: ((), None))


def mend(around: app.Surroundings, *, places: Sequence[Path] = ()) -> Visit:
    """Put right what can be, with what stands in our feed, at remotes that are folders, and in `places`; then examine.

    StoreLocked, with nothing done, when another process holds a lock; DiskFailed with some of it done.
    """

    def mended(store: Store) -> tuple[Sequence[Deed], Path | None]:
        from eventsync.mending import mend

        return mend(store, [*places, *_folders(store)])

    return _visit(around, mended)


Mend = Callable[["Store"], tuple[Sequence[Deed], "Path | None"]]


def _visit(around: app.Surroundings, mended: Mend) -> Visit:
    strangers = list(programs.foreign_packages())
    if strangers:  # nothing of ours can be imported safely
        return Visit(strangers, (), None, None, None)
    from journal import JournalError

    try:
        with app.opened(around) as store:
            from federation.transports.mounts import type_at

            deeds, backup = mended(store)
            file_system = type_at(store.folder.resolve())
            return Visit([*_machine(), *examined(store)], deeds, backup, store.folder, file_system)
    except JournalError as error:
        ailment = _unopened(error)
        if ailment is None:
            raise
        found = Found(ailment, error.message, error.path, error.line, error.seq, TABLE[ailment].severity)
        return Visit([*_machine(), found], (), None, None, None)


def _unopened(error: JournalError) -> str | None:
    """The finding that an error while opening a store is; None for one that is an error of the command."""
    names = [kind.__name__ for kind in type(error).__mro__]
    if {"StoreLocked", "DiskFailed", "InvalidInput"} & set(names):
        return None
    return next((ailment for name, ailment in _UNOPENED.items() if name in names), None)


def _machine() -> Iterator[Found]:
    yield from programs.other_programs(os.environ.get("PATH", os.defpath))


def keys_folder() -> Path:
    """Where private keys are kept, as far as that can be told."""
    if next(programs.foreign_packages(), None) is not None:
        return Path()
    from journal import default_data_folder

    return default_data_folder().absolute()


# --- examining -------------------------------------------------------------------------------------------------------


def examined(store: Store) -> Iterator[Found]:
    """All that can be found of a store that can be opened."""
    from eventsync import health

    checks: list[tuple[str, Callable[[Store], Iterable[Found]]]] = [
        ("its place", health.place),
        ("whether it was moved", health.moved),
        ("its rights", health.rights),
        ("its key", health.key),
        ("its content", _content),
        ("its config and what its remotes need", _remotes),
        ("what git shows of it", health.tracked),
        ("what was left behind", health.leftovers),
    ]
    for what, check in checks:
        yield from _guarded(store, what, check)


def _guarded(store: Store, what: str, check: Callable[[Store], Iterable[Found]]) -> Iterator[Found]:
    from federation.errors import FederationError
    from journal import JournalError

    try:
        yield from check(store)
    except (JournalError, FederationError, OSError) as error:
        path = getattr(error, "path", None) or getattr(error, "filename", None)
        text = getattr(error, "message", None) or getattr(error, "strerror", None) or str(error)
        yield ailing("check-failed", f"{what} could not be looked at: {text}", path=path)


def _content(store: Store) -> Iterator[Found]:
    """What `verify` finds; a watermark that cannot be right is told from records that were lost [J11]."""
    mark = store.entity_files.watermark()
    findings = app.verify(store)
    is_doubtful = mark.synced_seq > mark.applied_seq or any(map(_speaks_of_watermark, findings))
    is_wrong = is_doubtful and _watermark_is_wrong(store)
    if is_wrong:
        text = f"says seq {mark.applied_seq}, and all other witnesses say that the log is whole [J11]"
        yield ailing("watermark-wrong", text, path=store.entity_files.mark_path, seq=mark.applied_seq)
    yield from (_as_found(finding) for finding in findings if not (is_wrong and _speaks_of_watermark(finding)))


def _speaks_of_watermark(finding: Finding) -> bool:
    return finding.id == "log-too-short" and Path(str(finding.path)).name == "projections.json"


def _watermark_is_wrong(store: Store) -> bool:
    from journal import DiskFailed, StoreLocked, watermark_is_wrong

    try:
        with store.lock():
            return watermark_is_wrong(store)
    except (StoreLocked, DiskFailed):  # then it counts as loss
        return False


def _as_found(finding: Finding) -> Found:
    row = TABLE[finding.id]
    fixable = finding.fixable if row.fix == "as found" else row.fix in ("always", "tries")
    return Found(finding.id, finding.message, finding.path, finding.line, finding.seq, finding.severity, fixable)


def _remotes(store: Store) -> Iterator[Found]:
    """Whether config.toml can be read, and whether the programs are here that its remotes need."""
    from eventsync.errors import ConfigError
    from eventsync.sharing import sharing
    from federation.errors import ProgramUnusable

    needed: dict[str, set[str]] = {}
    try:
        with sharing(store) as found:
            config = found.config
    except ConfigError as error:
        yield Found("config-invalid", error.message, error.path, error.line, severity="error")
        return
    for name, remote in config.remotes.items():
        for tool in _tools_for(remote.url):
            needed.setdefault(tool, set()).add(name)
    yield from programs.missing_tools(needed)
    if "rsync" in needed and programs.is_here("rsync"):
        from federation.transports.rsync import check_program

        try:
            warning = check_program(config.limits.transfer_seconds)
        except ProgramUnusable as error:
            yield ailing("tool-too-old", error.message)
        else:
            if warning is not None:
                yield ailing("tool-old", warning)


def _tools_for(url: str) -> Sequence[str]:
    """The programs of this machine that a remote needs."""
    from federation.errors import InvalidUrl
    from federation.transports import urls

    try:
        found = urls.parse(url)
    except InvalidUrl:  # whoever uses it is told
        return ()
    match found:
        case urls.RsyncUrl(scheme="ssh"):
            return ("rsync", "ssh")
        case urls.RsyncUrl():
            return ("rsync",)
        case urls.GitUrl(scheme="ssh"):
            return ("ssh",)
    return ()


def _folders(store: Store) -> list[Path]:
    """The remotes that are folders of this machine, and cannot hang."""
    from eventsync.errors import ConfigError
    from eventsync.sharing import sharing
    from federation.errors import InvalidUrl
    from federation.transports import urls
    from federation.transports.mounts import may_hang

    found: list[Path] = []
    try:
        with sharing(store) as known:
            remotes = known.config.remotes.values()
    except ConfigError:
        return []
    for remote in remotes:
        try:
            url = urls.parse(remote.url)
        except InvalidUrl:
            continue
        if isinstance(url, urls.Url):
            path = Path(os.path.expanduser(url.path)).absolute()  # noqa: PTH111 (as the remote does)
            found += [] if may_hang(path) else [path]
    return found
