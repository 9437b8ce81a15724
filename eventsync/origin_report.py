"""Origin report: what is known of the stores this one learns from, and what was decided, as JSON or text.

Pure, as `report` is. Names, times and reasons of others are foreign text; what a person may paste is an id.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from eventsync.report import Document, count_of, key_of, records_document, short_origin, table, who_of
from eventsync.text import clean
from eventsync.times import ago

if TYPE_CHECKING:
    from eventsync.origins import OriginDecision, OriginDetails
    from federation.forks import Fork
    from federation.model import Head
    from federation.quarantine import Quarantined
    from federation.receipts import TheirDecision

_MOST_SHOWN: Final = 5
_STATES: Final = {
    "ok": "pulled as usual",
    "bridge": "another program's store, read as it is",
    "fork": "FORKED: it signed two histories, and nothing is taken until you decide",
    "damaged": "our mirror of it cannot be read",
    "blocked": "blocked by you: not pulled, not shown, not passed on",
    "awaited": "you chose a history of it; the next pull brings that one and no other",
    "forgotten": "forgotten: its mirror was put aside; a pull that finds it begins anew",
    "refused": "never taken: what it published was refused",
}


# --- JSON ------------------------------------------------------------------------------------------------------------


def list_document(found: Sequence[OriginDetails]) -> Document:
    """All origins, in short."""
    return {"origins": [_row(details) for details in found]}


def _row(found: OriginDetails) -> dict[str, Any]:
    status = found.status
    return {
        "origin_store_id": status.origin,
        "name": status.name,
        "state": status.state,
        "last_seq": status.last_seq,
        "published_at": status.published_at,
        "pending": status.pending,
        "held": status.held,
        "found_at": list(found.found_at),
        "quarantined": len(found.quarantine),
        "parked": [str(path) for path in found.parked],
    }


def details_document(found: OriginDetails) -> Document:
    """One origin, with all that is known of it."""
    status, head = found.status, found.head
    return {
        **_row(found),
        "public_key": None if head is None else head.public_key,
        "pin": None if head is None else pin_value(head),
        "start": None if head is None else {"seq": head.start_seq, "c": head.start_c},
        "previous": [] if head is None else [_former(entry) for entry in head.previous],
        "they_have_seq": status.they_have_seq,
        "they_accepted": status.they_accepted,
        "they_rejected": status.they_rejected,
        "they_took_back": status.they_took_back,
        "receipts": [_receipt_value(receipt) for receipt in found.receipts],
        "flagged": found.flagged,
        "blocked_because": found.blocked_because,
        "chosen": None if found.choice is None else found.choice.pin._asdict(),
        "forks": [_fork_value(fork) for fork in found.forks],
        "problem": found.problem,
        "quarantine": [_quarantined_value(entry) for entry in found.quarantine],
    }


def _former(entry: Mapping[str, Any]) -> str:
    """An origin that a store had before, and the seq at which it left that one, as it says."""
    return f"{entry.get('origin')}@{entry.get('last_seq')}"


def pin_value(head: Head) -> Document:
    """What was verified last of an origin."""
    return {"gen": head.gen, "seq": head.last_seq, "c": head.c, "t": head.t}


def _receipt_value(receipt: TheirDecision) -> Document:
    return {
        "version": str(receipt.version),
        "item_type": receipt.item_type,
        "item_id": receipt.item_id,
        "decision": receipt.decision,
        "at": receipt.at,
    }


def _fork_value(fork: Fork) -> Document:
    return {
        "head": digits_of(fork),
        "path": str(fork.path),
        "settled": fork.settled,
        "pin": pin_value(fork.other),
        "published_at": fork.other.published_at,
        "agree_up_to": fork.agree_up_to,
        "agree_exactly": fork.is_exact,
        "only_held": list(fork.only_held),
        "only_other": list(fork.only_other),
    }


def _quarantined_value(entry: Quarantined) -> Document:
    return {
        "path": str(entry.path),
        "files": list(entry.files),
        "bytes": entry.size_bytes,
        "first_at": entry.first_at,
        "last_at": entry.last_at,
        "times": entry.times,
        "remote": entry.remote,
        "result": entry.result,
        "rule": entry.rule,
        "message": entry.message,
    }


def decision_document(found: OriginDecision) -> Document:
    """What was decided about an origin."""
    return {
        "origin_store_id": found.origin,
        "name": found.name,
        "state": found.state,
        "parked": None if found.decision.parked is None else str(found.decision.parked),
        "records": records_document(found.decision.written)["records"],
    }


# --- text ------------------------------------------------------------------------------------------------------------


def digits_of(fork: Fork) -> str:
    """How a head that contradicts ours is called."""
    return fork.path.name.removeprefix("head-").removesuffix(".json")


def list_lines(found: Sequence[OriginDetails], now: str, columns: int | None) -> Iterator[str]:
    """A table of all origins."""
    rows = [
        [
            short_origin(details.status.origin),
            details.status.state,
            str(details.status.last_seq),
            _age(details.status.published_at, now),
            str(details.status.pending),
            clean(", ".join(details.found_at)) or "-",
            clean(details.status.name) or "-",
        ]
        for details in found
    ]
    yield from table(["ORIGIN", "STATE", "SEQ", "PUBLISHED", "OPEN", "FOUND AT", "NAME"], rows, columns)


def _age(published_at: str | None, now: str) -> str:
    return "-" if published_at is None else ago(published_at, now) or clean(published_at)


def details_lines(found: OriginDetails, now: str) -> Iterator[str]:
    """One origin, for a person who has to decide about it."""
    status = found.status
    yield f"{who_of(status.name, status.origin)}  {_STATES.get(status.state, status.state)}"
    yield f"  origin      {clean(status.origin)}"
    if found.problem is not None:
        yield f"  problem     {clean(found.problem)}"
    if found.blocked_because:
        yield f"  because     {clean(found.blocked_because)}"
    if found.head is not None:
        yield from _head_lines(found.head, now)
    if found.choice is not None and found.head is None:
        pin = found.choice.pin
        yield f"  chosen      gen {pin.gen}, seq {pin.seq}, c {clean(pin.c)}"
    yield f"  found at    {clean(', '.join(found.found_at)) or 'no remote, at the last pull'}"
    if found.head is not None:
        yield from _exchange_lines(found)
    for fork in found.forks:
        yield from _fork_lines(fork, status.origin)
    yield from _quarantine_lines(found.quarantine, now)
    for path in found.parked:
        yield f"  put aside   {clean(str(path))}"


def _head_lines(head: Head, now: str) -> Iterator[str]:
    yield f"  key         {clean(head.public_key)}"
    yield f"  pin         gen {head.gen}, seq {head.last_seq}"
    yield f"              c {head.c}"
    yield f"              t {head.t}"
    yield f"  published   {clean(head.published_at)} ({ago(head.published_at, now) or 'no time'})"
    yield f"  start       behind seq {head.start_seq}"
    for entry in head.previous:
        yield f"  before      {clean(_former(entry))}"


def _exchange_lines(found: OriginDetails) -> Iterator[str]:
    status = found.status
    held = f", {status.held} held" if status.held else ""
    yield f"  open        {count_of(status.pending, 'candidate')}{held}"
    read = (
        "does not say how far it read us" if status.they_have_seq is None else f"read us to seq {status.they_have_seq}"
    )
    yield f"  of ours     {read}; accepted {status.they_accepted}, rejected {status.they_rejected}"
    for receipt in found.receipts[:_MOST_SHOWN]:
        key = key_of(receipt.item_type, receipt.item_id)
        yield f"              {receipt.decision} {key} (seq {receipt.version.seq})"
    if found.flagged:
        yield "  flagged     some of its records claim to include what cannot be; those claims count for nothing [K4]"


def _fork_lines(fork: Fork, origin: str) -> Iterator[str]:
    """Both heads side by side."""
    told = "you decided against it" if fork.settled else "undecided"
    yield f"  contradicted by head {digits_of(fork)} ({told})"
    sides = (("", "what you hold", fork.held), ("", f"head {digits_of(fork)}", fork.other))
    rows = [[title, *_facts(head).values()] for _, title, head in sides]
    for line in table(["", *_facts(fork.held)], rows, None):
        yield f"    {line}"
    behind = f"both are the same up to seq {fork.agree_up_to}"
    yield f"    {behind}" if fork.is_exact else f"    {behind} at least: what it shows behind that is not here"
    yield f"    only in what you hold: {_some(fork.only_held)}"
    yield f"    only in the other: {_some(fork.only_other)}"
    yield f"    evidence: {clean(str(fork.path))}"
    if not fork.settled:
        yield "    ask its owner by another way which is right; then"
        yield f"      eventsync origin trust {clean(origin)} --keep            believe what you hold"
        yield f"      eventsync origin trust {clean(origin)} --take {digits_of(fork)}  believe the other"


def _facts(head: Head) -> Mapping[str, str]:
    return {
        "GEN": str(head.gen),
        "SEQ": str(head.last_seq),
        "C": head.c[:12],
        "T": head.t[:12],
        "PUBLISHED": clean(head.published_at),
        "NAME": clean(head.name),
    }


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(map(clean, names[:_MOST_SHOWN])) or "nothing"
    return f"{shown} and {len(names) - _MOST_SHOWN} more" if len(names) > _MOST_SHOWN else shown


def _quarantine_lines(entries: Sequence[Quarantined], now: str) -> Iterator[str]:
    for entry in entries[-_MOST_SHOWN:]:
        when = ago(entry.last_at, now) or "at an unknown time"
        times = "" if entry.times == 1 else f", {entry.times} times"
        yield f"  refused     {when}{times}, at {clean(entry.remote)}: {clean(entry.message)}"
        yield f"              kept in {clean(str(entry.path))}"
    if len(entries) > _MOST_SHOWN:
        yield f"              and {len(entries) - _MOST_SHOWN} older ones"


def decision_lines(found: OriginDecision, nothing: str) -> Iterator[str]:
    """What was decided, and what follows."""
    decision = found.decision
    who = who_of(found.name, found.origin)
    yield f"{who}: {_STATES.get(found.state, found.state)}" if decision.written else f"{who}: {nothing}"
    if decision.parked is not None:
        yield f"  what was held of it stands in {clean(str(decision.parked))}"
