"""Commands that exchange: publish, push, pull, sync, status."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import click

from eventsync import exchange_report, exits, relay_report, rules_report
from eventsync.cli.commands import Command, opened_store, pass_console
from eventsync.cli.console import Console
from eventsync.relaying import RelayRun, relay_after
from eventsync.sharing import PullRun, Sharing, sharing
from federation.errors import UnknownRemote
from federation.model import PublishReport
from federation.puller import Remote, Settings
from federation.ruling import RuleRun


@click.command(
    "publish",
    cls=Command,
    example="""
    eventsync publish
    eventsync publish --explain
    """,
)
@click.option("--explain", is_flag=True, help="Show what would be published and withheld, and why; publish nothing.")
@click.option("--yes", is_flag=True, help="Publish although something was found that should perhaps not go out.")
@pass_console
def publish(console: Console, explain: bool, yes: bool) -> None:
    """Sign what is new and add it to this store's feed.

    Types that are not listed in [publish].types and private records stay here. Publishing reaches nobody by itself:
    `push` does.
    """
    with opened_store(console) as store, sharing(store) as found:
        if explain:
            _explain(console, found)
            return
        report = found.publish(allow_findings=yes)
        console.exit_code = _warn_of_published(console, report)
        if console.json:
            console.document(exchange_report.publish_document(report))
            return
        for line in exchange_report.publish_lines(report):
            console.note(line)


def _warn_of_published(console: Console, report: PublishReport) -> int:
    """Tell of payloads that cannot be read here and did not go out, as everything else did; the exit code for that.

    Tell also of what went out and names a person or a machine.
    """
    for text in exchange_report.personal_warnings(report):
        console.warn(text)
    for text in report.left_out:
        console.warn(f"left out: {text}")
    return exits.DAMAGED if report.left_out else exits.DONE


def _explain(console: Console, found: Sharing) -> None:
    plan, head = found.explain(), found.holdings.own.head()
    if console.json:
        gen, slices = (head.gen, len(head.slices)) if head is not None else (0, 0)
        counts = Counter((entry.item_type, entry.reason or "") for entry in plan.withheld)
        last_seq = 0 if head is None else head.last_seq
        report = PublishReport(found.store.origin, last_seq, gen, plan.published, counts, slices, False)
        console.document(exchange_report.publish_document(report, plan))
        return
    console.answer(exchange_report.explain_lines(plan, each=console.verbose))


@click.command(
    "push",
    cls=Command,
    example="""
    eventsync push bus
    eventsync push --all
    eventsync push hub --relay
    """,
)
@click.argument("remote", metavar="[REMOTE]", required=False)
@click.option("--all", "everywhere", is_flag=True, help="Push to all remotes.")
@click.option("--yes", is_flag=True, help="Push for the first time to a remote that is not local.")
@click.option("--relay", is_flag=True, help="Pass on the feeds of others that are held here, too.")
@pass_console
def push(console: Console, remote: str | None, everywhere: bool, yes: bool, relay: bool) -> None:
    """Publish what is new, then copy the feed to a remote, or to all.

    With --relay the place also gets what was pulled from elsewhere and is newer than what stands there.
    """
    with opened_store(console) as store, sharing(store) as found:
        remotes = _meant(found, remote, everywhere)
        report = found.publish()
        run = found.push(remotes, named=remote is not None, confirmed=yes)
        relayed = relay_after(found, remotes, run.remotes, confirmed=yes) if relay else None
        codes = [run.exit_code] if relayed is None else [run.exit_code, relayed.exit_code]
        console.exit_code = exits.combine(codes) or _warn_of_published(console, report)
        _warn(console, found)
        if console.json:
            console.document(exchange_report.push_document(run, relayed, console.exit_code))
            return
        _tell(console, exchange_report.push_lines(run), exchange_report.push_problems(run, named=remote is not None))
        _alarm(console, exchange_report.push_alarms(run))
        if relayed is not None:
            _tell_relayed(console, relayed)


@click.command(
    "pull",
    cls=Command,
    example="""
    eventsync pull bus
    eventsync pull ../other-project
    eventsync pull --all
    """,
)
@click.argument("remote", metavar="[REMOTE|URL]", required=False)
@click.option("--all", "everywhere", is_flag=True, help="Pull from all remotes.")
@click.option("--confirm", is_flag=True, help="Release what was held because it was more at once than usual.")
@click.option("--dry-run", is_flag=True, help="Fetch and verify, and keep nothing.")
@pass_console
def pull(console: Console, remote: str | None, everywhere: bool, confirm: bool, dry_run: bool) -> None:
    """Fetch what others published, verify it, and show what is new as candidates in the inbox.

    Nothing local changes: `inbox` lists the candidates, `accept` and `reject` decide.
    """
    with opened_store(console) as store, sharing(store) as found:
        run = found.pull(_meant(found, remote, everywhere), Settings(confirm, dry_run))
        console.exit_code = run.exit_code
        _warn(console, found)
        if console.json:
            console.document(exchange_report.pull_document(run))
            return
        _tell_pulled(console, found, run)


def _tell_pulled(console: Console, found: Sharing, run: PullRun) -> None:
    _tell(console, exchange_report.pull_lines(run), exchange_report.pull_problems(run))
    for brake in exchange_report.pull_brakes(run):
        console.error(brake.message, None)
        console.error_lines([*brake.lines, f"hint: {brake.hint}"])
    _alarm(console, exchange_report.pull_alarms(run))
    for warning in exchange_report.pull_warnings(run):
        console.warn(warning)
    _tell_rules(console, run.rules)
    pending, held = found.pending()
    if pending:
        console.note(exchange_report.open_line(pending, held))


def _tell_rules(console: Console, run: RuleRun) -> None:
    for line in rules_report.run_lines(run):
        console.note(line)
    for warning in rules_report.run_warnings(run):
        console.warn(warning)
    if run.error is not None:
        console.error(f"rules could not decide: {run.error}", exits.exit_of(run.error).hint)


def _tell(console: Console, lines: Iterable[str], problems: Iterable[tuple[str, str | None]]) -> None:
    """What was done, and on standard error what was not."""
    for line in lines:
        console.note(line)
    for message, hint in problems:
        console.error(message, hint)


def _tell_relayed(console: Console, run: RelayRun) -> None:
    _tell(console, relay_report.relay_lines(run), relay_report.relay_problems(run))
    _alarm(console, relay_report.relay_alarms(run))


def _alarm(console: Console, messages: Iterable[str]) -> None:
    for message in messages:
        console.alarm(message)


def _warn(console: Console, found: Sharing) -> None:
    """What concerns this machine and no remote: once, however many remotes it was noticed at."""
    for text in found.ways.warnings():
        console.warn(text)


def _meant(found: Sharing, remote: str | None, everywhere: bool) -> list[Remote]:
    """The remotes a person means: one, or all."""
    if remote is not None and everywhere:
        raise click.UsageError("give a remote or --all, not both")
    remotes = found.remotes(remote)
    if not remotes and not everywhere:
        raise UnknownRemote("no remote is configured")
    return remotes


@click.command(
    "sync",
    cls=Command,
    example="""
    eventsync sync
    0 3 * * *  eventsync --store ~/notes sync --quiet     (a line for cron)
    """,
)
@pass_console
def sync(console: Console) -> None:
    """Publish, push to and pull from all remotes: the line for cron.

    Where config.toml says so, what was pulled from others is passed on too.
    """
    with opened_store(console) as store, sharing(store) as found:
        run = found.sync()
        console.exit_code = run.exit_code
        _warn(console, found)
        if run.publish is not None:
            _warn_of_published(console, run.publish)
        if console.json:
            console.document(exchange_report.sync_document(run))
            return
        if run.publish is not None:
            _tell(console, exchange_report.publish_lines(run.publish), ())
        if run.publish_error is not None:
            console.error(f"nothing was published: {run.publish_error}", exits.exit_of(run.publish_error).hint)
        _tell(console, exchange_report.push_lines(run.push), exchange_report.push_problems(run.push, named=False))
        _alarm(console, exchange_report.push_alarms(run.push))
        _tell_pulled(console, found, run.pull)
        _tell_relayed(console, run.relay)


@click.command("status", cls=Command, example="eventsync status")
@pass_console
def status(console: Console) -> None:
    """Show where this store, its remotes and the stores it learns from stand."""
    with opened_store(console) as store, sharing(store) as found:
        seen = found.status()
        if console.json:
            console.document(exchange_report.status_document(seen))
        else:
            console.answer(exchange_report.status_lines(seen))
        for warning in seen.warnings:
            console.warn(warning)
