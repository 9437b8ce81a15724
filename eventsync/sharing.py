"""Sharing: the use cases between stores. Composes config, transports and federation; prints nothing.

Knows which remote a person means, and keeps the run log.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from eventsync import exits
from eventsync.app import summary_of
from eventsync.errors import InvalidArgument
from eventsync.origins import named, status_of
from eventsync.publishing import own_names, screening_of, settings_of
from eventsync.relaying import RelayRun, relay_after
from eventsync.ruling import recounted, rules_in, run_rules
from eventsync.run_log import Run, RunLog, found_last, past
from eventsync.ways import Ways, check_settings
from federation.deciding import Deciding
from federation.errors import FederationError, UnknownRemote
from federation.holdings import Holdings
from federation.inbox import Inbox
from federation.model import OriginPull, OriginStatus, PublishReport, PushReport, RemotePull, Result
from federation.publisher import Plan, explain, publish
from federation.puller import Remote, Settings, pull
from federation.pusher import push
from federation.redaction import newest_redaction
from federation.rules import Rule
from federation.ruling import NO_RULES, RuleRun
from federation.taking_back import copies_here
from federation.transports import urls
from journal import JournalError, Store, moved_words

if TYPE_CHECKING:
    from eventsync.config import Config
    from federation.probing import Probe

_PULL_CODES: Final = {
    Result.NEW: exits.DONE,
    Result.UPDATED: exits.DONE,
    Result.UP_TO_DATE: exits.DONE,
    Result.STALE: exits.DONE,
    Result.BLOCKED: exits.DONE,
    Result.INCOMPLETE: exits.UNAVAILABLE,
    Result.REFUSED: exits.FOREIGN_REFUSED,
    Result.FORK: exits.FOREIGN_REFUSED,
}


class RemoteStatus(NamedTuple):
    """What the run log says of a remote."""

    name: str
    url: str
    last_success_at: str | None
    last_try_at: str | None
    last_error: str | None


class RemoteDetails(NamedTuple):
    """A remote, and what has to be there for it to work."""

    status: RemoteStatus
    kind: str
    settings: Mapping[str, Any]
    other_side: Sequence[str]


class StoreStatus(NamedTuple):
    """Where this store stands."""

    origin: str
    name: str
    path: Path
    last_seq: int
    applied_seq: int
    published_seq: int


class Status(NamedTuple):
    """What `status` tells."""

    store: StoreStatus
    pending: int
    held: int  # of those pending
    remotes: Sequence[RemoteStatus]
    origins: Sequence[OriginStatus]
    warnings: Sequence[str]
    now: str  # when it was asked


class PushRun(NamedTuple):
    """A push to one or several remotes."""

    remotes: Sequence[PushReport]
    exit_code: int


class PullRun(NamedTuple):
    """A pull from one or several remotes, and what rules decided after it."""

    remotes: Sequence[RemotePull]
    exit_code: int
    rules: RuleRun = NO_RULES


class SyncRun(NamedTuple):
    """A sync: what each part came to; `publish_error` when nothing could be published."""

    publish: PublishReport | None
    publish_error: Exception | None
    push: PushRun
    pull: PullRun
    relay: RelayRun
    exit_code: int


class Sharing:
    """One open store with its config and what it holds of others."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.holdings = Holdings(store)
        self.config_path = store.folder / "config.toml"
        self.run_log = RunLog(store)
        self.ways = Ways(store)

    def close(self) -> None:
        """Close the cache, and let go of the places that were reached."""
        self.holdings.close()
        self.ways.close()

    @cached_property
    def config(self) -> Config:
        """config.toml; read when first needed, since pydantic costs more than a short command."""
        from eventsync import config as configs

        return configs.read(self.store.disk, self.config_path)

    # --- remotes ---

    def add_remote(self, name: str, url: str) -> str:
        """Add a remote and return its URL as it is shown: a path is made absolute, and secrets are left out [R2]."""
        from eventsync.config_editing import add_remote

        kept = _absolute(url)
        self._change(lambda text: add_remote(text, name, kept))
        return urls.parse(kept).display

    def probe(self, name: str) -> Probe:
        """Whose feeds stand at a remote. Whatever keeps us from looking is in the answer."""
        from federation.probing import Probe, probe

        try:
            return probe(self.holdings, self.remotes(name)[0])
        except JournalError as error:
            return Probe(error=error)

    def remove_remote(self, name: str) -> None:
        """Remove a remote; what was pulled from it stays [F10]."""
        from eventsync.config_editing import remove_remote

        self._change(lambda text: remove_remote(text, name))

    def rename_remote(self, name: str, new_name: str) -> None:
        """Give a remote another name."""
        from eventsync.config_editing import rename_remote

        self._change(lambda text: rename_remote(text, name, new_name))

    def set_url(self, name: str, url: str) -> str:
        """Give a remote another URL and return it as it is shown."""
        from eventsync.config_editing import set_url

        kept = _absolute(url)
        self._change(lambda text: set_url(text, name, kept))
        return urls.parse(kept).display

    def _change(self, edit: Callable[[str], str]) -> None:
        from eventsync.config_editing import change

        with self.store.lock():
            self.config = change(self.store.disk, self.config_path, edit)

    def remotes(self, wanted: str | None) -> list[Remote]:
        """The remote of a name, the place of a URL, or with None all that are configured."""
        history = self.run_log.runs()
        if wanted is None:
            return [
                self._remote(name, remote.url, remote.settings, history) for name, remote in self.config.remotes.items()
            ]
        if wanted in self.config.remotes:
            remote = self.config.remotes[wanted]
            return [self._remote(wanted, remote.url, remote.settings, history)]
        if not (set(wanted) & set("/:") or wanted.startswith((".", "~")) or Path(wanted).is_dir()):
            raise UnknownRemote(f"no remote {urls.without_secrets(wanted)!r}")
        return [self._remote("", _absolute(wanted), {}, history)]

    def _remote(self, name: str, url: str, settings: Mapping[str, Any], history: Sequence[Run]) -> Remote:
        parsed = urls.parse(_absolute(url))  # a person may have written ~ or ./ into the config
        known = past(history, parsed.display, parsed.kind, self.store.origin)
        way = self.ways.to(parsed, settings, self.config.limits.transfer_seconds)
        limits = self.config.brake_limits(name)
        return Remote(
            name,
            parsed.display,
            way,
            held_before=known.held,
            pushed_before=known.pushed,
            found_last=known.found_last,
            showed_before=known.showed,
            limits=limits,
            relayed_before=known.relayed,
        )

    # --- verbs ---

    def publish(self, *, allow_findings: bool = False) -> PublishReport:
        """Publish what is new; errors as `federation.publisher.publish`."""
        table = self.config.publish
        screening = screening_of(table, own_names())
        return publish(self.holdings, settings_of(table), screening, allow_findings=allow_findings)

    def explain(self) -> Plan:
        """What a publish would do with each record, and what would stop it."""
        table = self.config.publish
        return explain(self.holdings, settings_of(table), screening_of(table, own_names()))

    def push(self, remotes: Sequence[Remote], *, named: bool = False, confirmed: bool = False) -> PushRun:
        """Push what was published. A place that can only be read is a fault only when a person named it."""
        reports = push(self.holdings, remotes, confirmed=confirmed, ended=self._note_push)
        return PushRun(reports, exits.combine([_push_code(report, named) for report in reports]))

    def pull(self, remotes: Sequence[Remote], settings: Settings) -> PullRun:
        """Pull, and keep a line of each remote for `status`."""
        reports = pull(self.holdings, remotes, settings, (lambda _: None) if settings.dry_run else self._note_pull)
        ruled = NO_RULES if settings.dry_run else run_rules(self)
        codes = [code for report in reports for code in _pull_codes(report)]
        codes += [] if ruled.error is None else [exits.exit_of(ruled.error).code]
        code = exits.combine(codes)
        if code == exits.DONE and any(found.braked for report in reports for found in report.origins):
            code = exits.DECISION
        reports = [recounted(self.holdings, report) for report in reports] if ruled.made else reports
        return PullRun(reports, code, ruled)

    def sync(self) -> SyncRun:
        """Publish, push to and pull from all remotes, then relay where that is wanted: what was just pulled, too.

        What fails stops nothing that can go on.
        """
        report, error = None, None
        try:
            report = self.publish()
        except (FederationError, JournalError) as caught:
            error = caught
        remotes = self.remotes(None)
        pushed = self.push(remotes)
        pulled = self.pull(remotes, Settings())
        both = [pair for pair in zip(remotes, pushed.remotes, strict=True) if self.config.remotes[pair[0].name].relay]
        relayed = relay_after(self, [remote for remote, _ in both], [report for _, report in both])
        codes = [] if error is None else [exits.exit_of(error).code]
        codes += [exits.DAMAGED] if report is not None and report.left_out else []
        codes += [code for code in (pushed.exit_code, pulled.exit_code, relayed.exit_code) if code != exits.DONE]
        worst = exits.combine(codes)
        succeeded = error is None and exits.DONE in (pushed.exit_code, pulled.exit_code)
        code = exits.combine([worst, exits.DONE]) if succeeded and worst not in (exits.DONE, exits.DECISION) else worst
        return SyncRun(report, error, pushed, pulled, relayed, code)

    @property
    def published_types(self) -> frozenset[str]:
        """The item types that others may see."""
        return frozenset(self.config.publish.types)

    # --- inbox ---

    @property
    def inbox(self) -> Inbox:
        """The candidates."""
        return Inbox(self.holdings, self.rules)

    @cached_property
    def rules(self) -> Sequence[Rule]:
        """What a person said beforehand about candidates."""
        return rules_in(self)

    def deciding(self, agent: str) -> Deciding:
        """The decisions of an agent about them."""
        return Deciding(self.inbox, agent, summary_of)

    def origin_named(self, wanted: str | None) -> str | None:
        """The origin id a person means, among those that are mirrored; errors as `origins.named`."""
        return None if wanted is None else named(self.holdings, wanted, self.holdings.mirror.origins())

    def pending(self) -> tuple[int, int]:
        """How many candidates are open, and how many of them are held."""
        counts = [self.holdings.counts(origin) for origin in self.holdings.mirror.origins()]
        return sum(count.open + count.held for count in counts), sum(count.held for count in counts)

    # --- status ---

    def status(self) -> Status:
        """Where this store, its remotes and the origins it knows stand."""
        stale = self.holdings.look()
        own = self.holdings.own.head()
        position = self.store.position()
        redacted = newest_redaction(self.holdings.own)
        origins = [status_of(self.holdings, origin, redacted) for origin in self.holdings.mirror.origins()]
        published = self.holdings.published_seq
        lost = "the feed that this store publishes is gone: see `doctor`" if own is None and published else None
        warnings = [text for text in (stale, self._moved_warning(), lost, *self._copies_warnings()) if text]
        return Status(
            StoreStatus(
                self.store.origin,
                self.store.name,
                self.store.folder,
                position.seq,
                self.store.entity_files.watermark().applied_seq,
                published,
            ),
            sum(found.pending for found in origins),
            sum(found.held for found in origins),
            [self.remote_status(name) for name in self.config.remotes],
            origins,
            warnings,
            self.store.machine.now(),
        )

    def _moved_warning(self) -> str | None:
        moved = self.store.moved()
        if not moved:
            return None
        return f"the store was copied, moved or restored: {moved_words(moved)}; {exits.TABLE['StoreCopied'].hint}"

    def _copies_warnings(self) -> Iterator[str]:
        copies = copies_here(self.holdings)
        if copies:
            seqs = " ".join(str(copy.seq) for copy in copies[:20])
            yield f"{len(copies)} of our records took over what its author has redacted since: seq {seqs}"

    def remotes_that_showed(self, origin: str) -> list[str]:
        """The remotes whose last pull that reached them found a feed of this origin, as the run log tells."""
        return [name for name in self.config.remotes if origin in found_last(self.run_log.runs(), name)]

    def remote_status(self, name: str) -> RemoteStatus:
        """What the run log says of one remote."""
        if name not in self.config.remotes:
            raise UnknownRemote(f"no remote {urls.without_secrets(name)!r}")
        url = urls.parse(self.config.remotes[name].url).display
        runs = [run for run in self.run_log.runs() if run.get("remote") == name]
        good = [run for run in runs if run.get("error") is None]
        # A pull that works must not hide a push that fails; that a place can only be pulled from is no failure.
        last = {run.get("verb"): run for run in runs}
        failing = [run for run in last.values() if run.get("error") and run.get("result") != "read_only"]
        failed = sorted((run["ts"], run["error"]) for run in failing)
        return RemoteStatus(
            name,
            url,
            good[-1]["ts"] if good else None,
            runs[-1]["ts"] if runs else None,
            failed[-1][1] if failed else None,
        )

    def place_of(self, name: str) -> urls.Url | urls.GitUrl | urls.RsyncUrl:
        """Where a remote is."""
        return urls.parse(_absolute(self.config.remotes[name].url))

    def remote_details(self, name: str) -> RemoteDetails:
        """What the run log says of one remote, its settings, and how the other side is set up."""
        from eventsync.other_side import other_side

        status = self.remote_status(name)
        remote = self.config.remotes[name]
        url = self.place_of(name)
        check_settings(url, remote.settings)
        settings = {**({"relay": True} if remote.relay else {}), **remote.settings}
        return RemoteDetails(status, url.kind, settings, other_side(url, remote.settings))

    # --- the run log ---

    def _note_push(self, report: PushReport) -> None:
        if report.name:
            own = [self.store.origin]
            self.run_log.add("push", report.name, report.url, report.result, error=report.error, origins=own)

    def _note_pull(self, report: RemotePull) -> None:
        failed = [found for found in report.origins if _pull_code(found) != exits.DONE]
        error = report.error or (FederationError(str(failed[0].refusal)) if failed else None)
        origins = [found.origin for found in report.origins]
        self.run_log.add("pull", report.name, report.url, "pulled", error=error, origins=origins)


@contextlib.contextmanager
def sharing(store: Store) -> Iterator[Sharing]:
    """The sharing side of an open store."""
    found = Sharing(store)
    try:
        yield found
    finally:
        found.close()


def _absolute(url: str) -> str:
    """A URL as config keeps it: a path must not depend on where a command is run."""
    parsed = urls.parse(url)
    is_path = isinstance(parsed, urls.Url) or parsed.scheme == "file"
    if "://" in url or not is_path:
        return url
    path = os.path.abspath(Path(parsed.path).expanduser())  # noqa: PTH100 - resolve() would follow a symlink the person means
    if not path.isprintable():
        raise InvalidArgument(f"a path that cannot be printed: {path!r}")
    urls.parse(path)  # where the working directory made it one that is not allowed
    return path


def _pull_code(found: OriginPull) -> int:
    if found.refusal is not None and found.refusal.too_new:
        return exits.TOO_NEW
    if found.refusal is not None and found.refusal.damaged:
        return exits.DAMAGED
    return _PULL_CODES[found.result]


def _pull_codes(report: RemotePull) -> list[int]:
    if report.error is not None:
        return [exits.exit_of(report.error).code]
    return [_pull_code(found) for found in report.origins] or [exits.DONE]


def _push_code(report: PushReport, named: bool) -> int:
    if report.error is None or (report.result == "read_only" and not named):
        return exits.DONE
    return exits.exit_of(report.error).code
