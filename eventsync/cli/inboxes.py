"""Commands on candidates: inbox and inbox undo, diff, accept, reject, snooze."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import click

from eventsync import app, exits, inbox_report, report
from eventsync.cli.commands import Command, CommandWithVerbs, opened_store, pass_console
from eventsync.cli.console import Console
from eventsync.resolving import accept_by_hand
from eventsync.sharing import Sharing, sharing
from eventsync.times import after_span, until_time
from federation.grouping import Offer, regrouped
from federation.inbox import Filter
from federation.model import Candidate, DecisionReport, Resolution, Verdict

_origin = click.option("--origin", metavar="ORIGIN", help="Only of one origin: its id, a beginning of it, or its name.")
_type = click.option("--type", "item_type", metavar="TYPE", help="Only of one item type.")
_candidates = click.argument("candidates", metavar="CND...", nargs=-1)


def _digest_of(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    if value is not None and not re.fullmatch(r"[0-9a-f]{12,64}", value, re.ASCII):
        raise click.BadParameter(f"{value[:80]!r} is not a digest: 12 to 64 hex digits")
    return value


_digest = click.option(
    "--digest", metavar="D", callback=_digest_of, help="Only if the candidate is still the record with this digest."
)


@click.command(
    "inbox",
    cls=CommandWithVerbs,
    verbs={"undo": "eventsync.cli.inboxes"},
    example="""
    eventsync inbox
    eventsync inbox --verdict conflict --json
    eventsync inbox undo
    """,
)
@_origin
@_type
@click.option("--verdict", type=click.Choice([verdict.value for verdict in Verdict]), help="Only with one verdict.")
@click.option("--limit", metavar="N", type=click.IntRange(min=1), help="At most N rows.")
@click.option(
    "--all", "settled_too", is_flag=True, help="Settled ones too, known and identical; held and snoozed ones."
)
@click.option(
    "--at", metavar="SEQ", type=click.IntRange(min=0), help="As it was when the journal ended at this record."
)
@click.pass_context
def inbox(
    context: click.Context,
    origin: str | None,
    item_type: str | None,
    verdict: str | None,
    limit: int | None,
    settled_too: bool,
    at: int | None,
) -> None:
    """List what other stores have that this one has not decided about.

    With --at what is held of others today is judged by what was here and decided then.
    """
    console = context.ensure_object(Console)
    if context.invoked_subcommand is not None:
        return
    with opened_store(console) as store, sharing(store) as found:
        stale = found.holdings.look()
        wanted = Filter(found.origin_named(origin), item_type, verdict, settled_too)
        held = 0 if at is not None else found.inbox.held(wanted)
        alike = {} if at is not None else found.inbox.offers()
        candidates = _candidates_wanted(found, wanted, at, payloads=console.json or at is not None)
        if console.json:
            rows = (inbox_report.candidate_row(one, alike.get(one.id)) for one in candidates)
            _stream(console, rows, wanted, limit, held)
        else:
            _show(console, found, list(candidates), alike, wanted, limit)
            if held and not settled_too:
                console.note(f"{held} more are held; `eventsync inbox --all` shows them")
        stale = stale or "; ".join(f"left out: {text}" for text in found.holdings.left_out())  # found while listing
        if stale:
            console.warn(f"candidates may be missing here: {stale}")


def _candidates_wanted(found: Sharing, wanted: Filter, at: int | None, *, payloads: bool) -> Iterator[Candidate]:
    if at is None:
        return found.inbox.candidates(wanted, payloads=payloads)
    from federation.hindsight import candidates_at

    return candidates_at(found.inbox, at, wanted, payloads=payloads)


def _stream(console: Console, rows: Iterator[Mapping[str, Any]], wanted: Filter, limit: int | None, held: int) -> None:
    """The document, candidate by candidate; snoozed ones are counted."""
    hidden = 0

    def shown() -> Iterator[Mapping[str, Any]]:
        nonlocal hidden
        for row in rows:
            if not row["snoozed"] or wanted.settled_too:
                yield row
            else:
                hidden += 1

    console.stream("candidates", islice(shown(), limit), lambda: {"held": held, "snoozed": hidden})


def _show(
    console: Console,
    found: Sharing,
    everything: Sequence[Candidate],
    alike: Mapping[str, Offer],
    wanted: Filter,
    limit: int | None,
) -> None:
    """The table, a line for all that are alike, and what it leaves out."""
    awake = [candidate for candidate in everything if candidate.snoozed is None or wanted.settled_too]
    shown = [candidate for candidate in awake if wanted.settled_too or not candidate.held]
    apart: inbox_report.Deletions = {}
    if console.columns is not None and wanted.verdict is None and not wanted.settled_too:
        shown, apart = inbox_report.deletions_apart(shown)
    offers = regrouped(shown, alike)
    rows = [_titled(found, offer) for offer in offers[: limit or console.rows]]
    console.answer_table(inbox_report.offer_lines(rows, alike, console.columns))
    console.answer(inbox_report.deletion_lines(apart))
    if len(offers) > len(rows):
        console.note(f"{len(offers) - len(rows)} more; --limit {len(offers)} shows them")
    if len(shown) > len(offers):
        console.note(inbox_report.grouped_line(len(offers), len(shown)))
    if not awake:
        console.note("inbox is empty")
    if len(everything) > len(awake):
        console.note(f"{len(everything) - len(awake)} snoozed: `eventsync inbox --all` shows them")


@click.command("undo", cls=Command, document="inbox undo", example="eventsync inbox undo")
@pass_console
def undo(console: Console) -> None:
    """Take the last decision back, by records of its own: nothing is removed.

    What was decided in one command is taken back together. Undoing is a decision too: undone, it is as before.
    """
    with opened_store(console) as store, sharing(store) as found:
        _print_decided(console, found.deciding(console.around.agent).undo(), "nothing was decided yet")


def _titled(found: Sharing, offer: Offer) -> Offer:
    """An offer with something to read in the list: the summary of its lead, or the title in the payload."""
    lead = offer.lead
    if lead.summary or lead.verdict is Verdict.UNREADABLE:
        return offer
    payload = found.inbox.payload(lead) if lead.payload is None else lead.payload
    titled = lead._replace(summary=app.summary_of(payload) if isinstance(payload, dict) else None)
    return Offer((titled, *offer.candidates[1:]))


@click.command("diff", cls=Command, example="eventsync diff cnd_9f343c0b1628")
@click.argument("candidate", metavar="CND")
@pass_console
def diff(console: Console, candidate: str) -> None:
    """Show a candidate beside what is here.

    In a conflict it shows what each side made of the version both build on.
    """
    with opened_store(console) as store, sharing(store) as found:
        found.holdings.look()
        seen = found.inbox.diff(candidate)
        if console.json:
            console.document(inbox_report.diff_document(seen))
            return
        console.answer_styled(inbox_report.diff_lines(seen))


@click.command(
    "accept",
    cls=Command,
    example="""
    eventsync accept cnd_9f343c0b1628
    eventsync accept --all --origin laptop
    eventsync accept cnd_9f343c0b1628 --merge
    EDITOR=nano eventsync accept cnd_9f343c0b1628 --edit
    """,
)
@_candidates
@click.option("--all", "everything", is_flag=True, help="All open candidates that need no choice, as one batch.")
@_origin
@_type
@click.option("--theirs", is_flag=True, help="Where it conflicts, take the foreign version over the local one.")
@click.option("--merge", is_flag=True, help="Where it conflicts, take from each side what only that side changed.")
@click.option("--edit", is_flag=True, help="Open the merge in your editor, and take what you make of it.")
@_digest
@pass_console
def accept(
    console: Console,
    candidates: tuple[str, ...],
    everything: bool,
    origin: str | None,
    item_type: str | None,
    theirs: bool,
    merge: bool,
    edit: bool,
    digest: str | None,
) -> None:
    """Take candidates over: each becomes one local record. Several are one batch, all or none.

    A conflict needs --theirs, --merge or --edit; the local version stays in the history. What both sides changed in
    different ways stops a merge.
    """
    if everything == bool(candidates):
        raise click.UsageError("give candidates or --all, one of them")
    if not everything and (origin or item_type):
        raise click.UsageError("--origin and --type go with --all")
    if theirs + merge + edit > 1:
        raise click.UsageError("give one of --theirs, --merge and --edit")
    if (edit or digest) and len(candidates) != 1:
        raise click.UsageError(f"{'--edit' if edit else '--digest'} is for one candidate")
    resolution = Resolution.THEIRS if theirs else Resolution.MERGE if merge else Resolution.LEAVE
    with opened_store(console) as store, sharing(store) as found:
        deciding = found.deciding(console.around.agent)
        if everything:
            decided = deciding.accept_all(Filter(found.origin_named(origin), item_type), resolution)
        elif edit:
            decided = accept_by_hand(found, console.around, candidates[0], digest)
        else:
            decided = deciding.accept(candidates, resolution, digest=digest)
        counts = {"held": decided.capped + decided.braked, "snoozed": decided.snoozed}
        _print_decided(console, decided, "nothing to accept", together=list(decided.together), **counts)


@click.command(
    "reject",
    cls=Command,
    example="""
    eventsync reject cnd_9f343c0b1628 --reason 'not for this project'
    """,
)
@_candidates
@click.option("--reason", metavar="R", help="Why; it stands in the record.")
@_digest
@pass_console
def reject(console: Console, candidates: tuple[str, ...], reason: str | None, digest: str | None) -> None:
    """Decline candidates: exactly the versions shown, from whomever they come. A newer version is a new question."""
    if not candidates:
        raise click.UsageError("give at least one candidate")
    if digest and len(candidates) != 1:
        raise click.UsageError("--digest is for one candidate")
    with opened_store(console) as store, sharing(store) as found:
        decided = found.deciding(console.around.agent).reject(candidates, reason=reason, digest=digest)
        _print_decided(console, decided, "nothing to reject", together=list(decided.together))


@click.command(
    "snooze",
    cls=Command,
    example="""
    eventsync snooze cnd_9f343c0b1628 --for 3d
    eventsync snooze cnd_9f343c0b1628 --until 2026-12-24T09:00
    eventsync snooze cnd_9f343c0b1628
    """,
)
@_candidates
@click.option("--until", metavar="TIME", help="Until this time; local time if it names no zone.")
@click.option("--for", "span", metavar="SPAN", help="For so long: 30m, 12h, 3d or 2w.")
@_digest
@pass_console
def snooze(
    console: Console, candidates: tuple[str, ...], until: str | None, span: str | None, digest: str | None
) -> None:
    """Put candidates out of sight for a while; they stay open.

    Without a time they come back with the next version. A newer version comes back in any case.
    """
    if not candidates:
        raise click.UsageError("give at least one candidate")
    if digest and len(candidates) != 1:
        raise click.UsageError("--digest is for one candidate")
    if until and span:
        raise click.UsageError("give --until or --for, not both")
    with opened_store(console) as store, sharing(store) as found:
        now = store.machine.now()
        time = until_time(until, now) if until else after_span(span, now) if span else None
        decided = found.deciding(console.around.agent).snooze(candidates, time, digest=digest)
        _print_decided(console, decided, "nothing to snooze", together=list(decided.together))


def _print_decided(console: Console, decided: DecisionReport, otherwise: str, **more: object) -> None:
    """Tell what was written and what was left; what is left open or to the brake needs a person (22)."""
    if decided.braked or any(entry.verdict != Verdict.KNOWN for entry in decided.left):
        console.exit_code = exits.DECISION
    if console.json:
        document = report.records_document(decided.written, inbox_report.left_rows(decided.left))
        console.document({**document, **more})
        return
    nothing = [] if decided.left or decided.braked else [otherwise]
    for line in [report.written_line(record) for record in decided.written] or nothing:
        console.note(line)
    for line in inbox_report.decided_lines(decided):
        console.note(line)
