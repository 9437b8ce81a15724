"""Exchange report: what publish, push, pull, sync and status come to, as JSON documents or lines of text.

Pure, as `report` is. Everything foreign passes `text`; in JSON it stands in data fields.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from eventsync.brake_report import Refused, kinds_of, load_document, refused, released_lines
from eventsync.exits import exit_of
from eventsync.relay_report import relay_document
from eventsync.report import Document, error_value, key_of, short_origin, who_of
from eventsync.rules_report import run_document
from eventsync.text import clean
from eventsync.times import ago

if TYPE_CHECKING:
    from eventsync.relaying import RelayRun
    from eventsync.sharing import PullRun, PushRun, Status, SyncRun
    from federation.model import (
        OriginPull,
        OriginStatus,
        PublishReport,
        PushReport,
        Refusal,
        RemotePull,
    )
    from federation.publisher import Plan

_REASONS: Final = {
    "type": "type is not in [publish].types",
    "private": "private",
    "tag": "kept back by its tags ([publish].withhold_tags, only_tags)",
    "path": "names a file that is kept back ([publish].withhold_paths)",
    "entity": "about an entity that was kept back before",
    "unreadable": "cannot be read here, so nobody knows whether its tags and paths keep it back",
    "redacted": "redacted before anybody saw it",
    "internal": "the journal's own",
    "void": "of a batch that was never finished",
    "torn": "lost in a crash before it was acknowledged",
    "former": "written under a former identity, and said anew under this one",
}
_NAMED: Final = 3  # records that stand by name for all that fare alike
_TOLD: Final = 5  # records with something personal that a publish names
_RESULTS: Final = {
    "new": "new",
    "updated": "updated",
    "up_to_date": "up to date",
    "stale": "older than what is here",
    "incomplete": "incomplete, try again later",
    "refused": "REFUSED",
    "fork": "FORKED",
    "blocked": "blocked by you, passed over",
    "pushed": "pushed",
    "read_only": "can only be pulled from",
    "nothing_to_publish": "nothing was published yet",
    "needs_decision": "needs your word",
    "unavailable": "unavailable",
    "failed": "failed",
}
_HINTS: Final = {
    "stale": "nothing was changed; the other side may have been restored from a backup, or this copy is an old one",
    "incomplete": "nothing was changed: a later pull takes it when all of it is there",
    "refused": "nothing was changed; `eventsync origin show {origin}` shows what was refused and where it is kept, "
    "`eventsync origin block {origin}` passes it over",
    "fork": "nothing was changed; `eventsync origin show {origin}` shows both sides, `eventsync origin trust {origin}` "
    "decides whom to believe",
    "damaged": "`eventsync verify` tells more; `eventsync origin forget {origin}` puts aside what is here, and the "
    "next pull brings it again",
}


# --- JSON ------------------------------------------------------------------------------------------------------------


def publish_document(report: PublishReport, plan: Plan | None = None) -> Document:
    """What a publish did, or with a `plan` would do."""
    withheld: dict[str, int] = {}
    for (item_type, _), count in report.withheld.items():
        withheld[item_type] = withheld.get(item_type, 0) + count
    return {
        "origin_store_id": report.origin,
        "last_seq": report.last_seq,
        "gen": report.gen,
        "published": report.published,
        "withheld": withheld,
        "slices": report.slices,
        "left_out": list(report.left_out),
        "explain": None if plan is None else _explained(plan),
        "findings": [found._asdict() for found in (report.personal.first if plan is None else plan.findings)],
    }


def push_document(run: PushRun, relayed: RelayRun | None = None, exit_code: int | None = None) -> Document:
    """What a push did for each remote, and a relay if there was one."""
    rows = [
        {
            "name": report.name or None,
            "url": report.url,
            "result": report.result,
            "error": error_value(report.error),
            "last_seq": report.last_seq,
            "warnings": list(report.warnings),
        }
        for report in run.remotes
    ]
    return {
        "remotes": rows,
        "relay": None if relayed is None else relay_document(relayed),
        "exit_code": run.exit_code if exit_code is None else exit_code,
    }


def pull_document(run: PullRun) -> Document:
    """What a pull did for each remote and origin."""
    rows = [
        {
            "name": report.name or None,
            "url": report.url,
            "error": error_value(report.error),
            "origins": [_origin_pull(found) for found in report.origins],
            "ignored": report.ignored,
            "vanished": [{"origin_store_id": found.origin, "name": found.name} for found in report.vanished],
        }
        for report in run.remotes
    ]
    return {"remotes": rows, "rules": run_document(run.rules), "exit_code": run.exit_code}


def _origin_pull(found: OriginPull) -> Document:
    refusal = None
    if found.refusal is not None:
        facts = found.refusal._asdict()
        refusal = {key: facts[key] for key in ("message", "rule", "path", "line", "seq")}
    return {
        "origin_store_id": found.origin,
        "name": found.name,
        "result": str(found.result),
        "records": found.records,
        "last_seq": found.last_seq,
        "candidates": found.candidates._asdict(),
        "refusal": refusal,
        "braked": found.braked,
        "brake": load_document(found.load),
        "warnings": list(found.warnings),
    }


def sync_document(run: SyncRun) -> Document:
    """What each part of a sync came to."""
    return {
        "publish": None if run.publish is None else publish_document(run.publish),
        "publish_error": error_value(run.publish_error),
        "push": push_document(run.push),
        "pull": pull_document(run.pull),
        "relay": relay_document(run.relay),
        "exit_code": run.exit_code,
    }


def status_document(status: Status) -> Document:
    """Where everything stands."""
    store = status.store
    return {
        "store": {
            "origin_store_id": store.origin,
            "name": store.name,
            "path": str(store.path),
            "last_seq": store.last_seq,
            "applied_seq": store.applied_seq,
            "published_seq": store.published_seq,
        },
        "pending": status.pending,
        "held": status.held,
        "remotes": [remote._asdict() for remote in status.remotes],
        "origins": [
            {
                "origin_store_id": found.origin,
                "name": found.name,
                "last_seq": found.last_seq,
                "state": found.state,
                "pending": found.pending,
                "held": found.held,
                "brake": load_document(found.load),
                "they_have_seq": found.they_have_seq,
                "they_accepted": found.they_accepted,
                "they_rejected": found.they_rejected,
                "they_took_back": found.they_took_back,
                "published_at": found.published_at,
                "flagged": found.flagged,
            }
            for found in status.origins
        ],
    }


# --- text ------------------------------------------------------------------------------------------------------------


def publish_lines(report: PublishReport) -> Iterator[str]:
    """What a publish did, and what it kept back."""
    if not report.changed:
        yield f"nothing new to publish (seq {report.last_seq})" if report.gen else "nothing to publish yet"
    elif not report.published and not report.withheld:
        yield f"nothing new but how far others were read (gen {report.gen})"
    else:
        yield f"published {_count(report.published, 'record')} up to seq {report.last_seq} (gen {report.gen})"
    yield from withheld_lines(report.withheld)


def withheld_lines(withheld: Mapping[tuple[str, str], int]) -> Iterator[str]:
    """What was kept back, by type and reason."""
    for (item_type, reason), count in sorted(withheld.items()):
        if reason != "internal":
            yield f"  withheld {_count(count, 'record')} of {clean(item_type)}: {_REASONS.get(reason, reason)}"


def personal_warnings(report: PublishReport) -> Iterator[str]:
    """What went out and tells whose machine it comes from."""
    for found in report.personal.first[:_TOLD]:
        yield f"{found} holds {found.what}; [publish].home_paths says what is done about that"
    if report.personal.total > _TOLD:
        more = report.personal.total - _TOLD
        yield f"{_count(more, 'more record')} of these {'holds' if more == 1 else 'hold'} something of that kind"


def explain_lines(plan: Plan, *, each: bool) -> Iterator[str]:
    """What a publish would do, by type and reason, or with each record; and what was found in what would go out."""
    stops = any(found.kind == "secret" for found in plan.findings)
    would = "would stop at a possible secret; with --yes it would publish" if stops else "would publish"
    yield f"{would} {_count(plan.published, 'record')} and withhold {len(plan.withheld)}"
    if each:
        for row in plan.records:
            reason = "goes out" if row.reason is None else _REASONS.get(row.reason, row.reason)
            yield f"  seq {row.seq}  {key_of(row.item_type, row.item_id)}  {reason}"
    else:
        yield from _grouped(plan)
    for found in plan.findings:
        yield clean(f"  {found} {'looks as if it held' if found.kind == 'secret' else 'holds'} {found.what}")


def _grouped(plan: Plan) -> Iterator[str]:
    """The records of a plan by what would happen to them and why, and of which type; the first ones by name."""
    groups: dict[tuple[bool, str, str], list[str]] = {}
    for row in plan.records:
        if row.reason != "internal":
            names = groups.setdefault((row.reason is not None, row.item_type, row.reason or ""), [])
            names += [clean(row.item_id)] if row.item_id is not None and row.item_id not in names[-1:] else []
    counts = Counter((row.reason is not None, row.item_type, row.reason or "") for row in plan.records)
    for (is_withheld, item_type, reason), names in sorted(groups.items()):
        what = f"{_count(counts[is_withheld, item_type, reason], 'record')} of {clean(item_type)}"
        first = ", ".join([*names[:_NAMED], *(["…"] if len(names) > _NAMED else [])])
        why = f": {_REASONS.get(reason, reason)}" if is_withheld else ""
        yield f"  {'withhold' if is_withheld else 'publish'} {what}{why}{f' ({first})' if first else ''}"


def _explained(plan: Plan) -> list[Document]:
    secrets = {found.seq for found in plan.findings if found.kind == "secret"}
    return [row._asdict() | ({"reason": "secret"} if row.seq in secrets else {}) for row in plan.records]


def push_lines(run: PushRun) -> Iterator[str]:
    """One line for each remote."""
    for report in run.remotes:
        yield _push_line(report)


def push_alarms(run: PushRun) -> Iterator[str]:
    """What a push had to make good: for standard error, even with -q."""
    for report in run.remotes:
        yield from (f"{report.name or report.url}: {warning}" for warning in report.warnings)


def _push_line(report: PushReport) -> str:
    seq = "" if report.last_seq is None else f", seq {report.last_seq}"
    return f"{clean(report.name or report.url)}  {_RESULTS.get(report.result, report.result)}{seq}"


def push_problems(run: PushRun, *, named: bool) -> Iterator[tuple[str, str | None]]:
    """What went wrong in a push, and what helps: for standard error, even with -q.

    That a place can only be pulled from is a fault when a person named it.
    """
    for report in run.remotes:
        if report.error is not None and (named or report.result != "read_only"):
            yield _at(report.name or report.url, report.error), exit_of(report.error).hint


def _at(where: str, error: Exception) -> str:
    """An error and the remote it is about; the name is left out where the error begins with it."""
    return str(error) if str(error).startswith(where) else f"{where}: {error}"


def pull_lines(run: PullRun) -> Iterator[str]:
    """A line for each remote and one for each origin found there."""
    for report in run.remotes:
        yield from _remote_pull_lines(report)


def _remote_pull_lines(report: RemotePull) -> Iterator[str]:
    state = "  failed" if report.error is not None else "" if report.origins else "  no feeds of others"
    yield f"{clean(report.name or report.url)}{state}"
    for found in report.origins:
        records = f", {_count(found.records, 'record')}" if found.records else ""
        yield f"  {who_of(found.name, found.origin)}  {_RESULTS[found.result]}{records}{_open_words(found)}"
        for warning in found.warnings:
            yield f"    note: {clean(warning)}"
        yield from released_lines(found)


def pull_problems(run: PullRun) -> Iterator[tuple[str, str | None]]:
    """What went wrong in a pull, and what helps: for standard error, even with -q."""
    for report in run.remotes:
        where = report.name or report.url
        if report.error is not None:
            yield _at(where, report.error), exit_of(report.error).hint
        for found in report.origins:
            who = f"{where}: {found.name or found.origin}"
            if found.refusal is not None and found.result != "stale":
                yield f"{who}: {_RESULTS[found.result]}: {found.refusal}", _pull_hint(found, found.refusal)


def _pull_hint(found: OriginPull, refusal: Refusal) -> str | None:
    """What helps; it names the origin by its id, which is safe to paste."""
    hint = _HINTS.get("damaged" if refusal.damaged else str(found.result))
    return None if hint is None else hint.format(origin=found.origin)


def pull_brakes(run: PullRun) -> Iterator[Refused]:
    """What waits for a person because it was much at once: for standard error, even with -q."""
    for report in run.remotes:
        yield from refused(report)


def pull_alarms(run: PullRun) -> Iterator[str]:
    """Feeds that vanished, which is no deletion: for standard error, even with -q."""
    for report in run.remotes:
        for found in report.vanished:
            who = who_of(found.name, found.origin)
            yield f"{report.name or report.url}: the feed of {who} is not there any more; what was pulled stays"


def pull_warnings(run: PullRun) -> Iterator[str]:
    """What a person should know although the pull worked."""
    for report in run.remotes:
        for found in report.origins:
            if found.result == "stale":
                who = f"{report.name or report.url}: {found.name or found.origin}"
                yield f"{who}: {found.refusal}; {_HINTS['stale']}"


def _open_words(found: OriginPull) -> str:
    counts = found.candidates
    held = f", {counts.held} held" if counts.held else ""
    return f"; {counts.open} open{held}" if counts.open or counts.held else ""


def status_lines(status: Status) -> Iterator[str]:
    """Where everything stands, for a person."""
    store = status.store
    yield f"{clean(store.name)} ({short_origin(store.origin)})  {clean(str(store.path))}"
    unpublished = store.last_seq - store.published_seq
    news = f", {_count(unpublished, 'record')} not yet published" if unpublished > 0 else ""
    yield f"  last seq {store.last_seq}, published up to seq {store.published_seq}{news}"
    for remote in status.remotes:
        last = f"last success {remote.last_success_at}" if remote.last_success_at else "never reached yet"
        error = f"; last error: {clean(remote.last_error)}" if remote.last_error else ""
        yield f"  remote {clean(remote.name)}  {clean(remote.url)}  {last}{error}"
    for found in status.origins:
        yield _origin_line(found, status.now)
        yield from _origin_advice(found)
        if found.load is not None:
            yield f"    held by the brake: {kinds_of(found.load)}; `eventsync pull --confirm` releases them"
    if status.pending:
        yield f"  {open_line(status.pending, status.held)}"
    else:
        yield "  inbox is empty"


def _origin_advice(found: OriginStatus) -> Iterator[str]:
    """The command that helps where an origin needs a person."""
    if found.state == "fork":
        yield f"    it signed two histories: `eventsync origin show {clean(found.origin)}` shows both and how to decide"
    if found.state == "damaged":
        yield f"    our mirror of it cannot be read: `eventsync origin show {clean(found.origin)}`, `eventsync verify`"


def _origin_line(found: OriginStatus, now: str) -> str:
    read = "" if found.they_have_seq is None else f", has read us up to seq {found.they_have_seq}"
    decided = f", accepted {found.they_accepted} and rejected {found.they_rejected} of ours"
    decided = decided if found.they_accepted or found.they_rejected else ""
    state = "" if found.state == "ok" else f" [{found.state}]"
    pending = f"{found.pending} open{_held_words(found.pending, found.held)}"
    taken = {None: "", True: ", took back what we redacted", False: ", has not read our redactions yet"}
    what = f"{pending}{read}{decided}{taken[found.they_took_back]}"
    what += ", claims what cannot be" if found.flagged else ""
    age = None if found.published_at is None else ago(found.published_at, now)
    # What was published just now is no news; what stays old may be held back by somebody between.
    published = f" published {age}" if age is not None and age.endswith(("days ago", "future")) else ""
    return f"  from {who_of(found.name, found.origin)}{state}  seq {found.last_seq}{published}, {what}"


def open_line(pending: int, held: int) -> str:
    """How many candidates are open, held ones too, and which command shows them."""
    where = "eventsync inbox --all" if held else "eventsync inbox"
    return f"{_count(pending, 'candidate')} open{_held_words(pending, held)}; `{where}` shows them"


def _held_words(pending: int, held: int) -> str:
    return "" if not held else ", all held" if held == pending else f", {held} held"


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
