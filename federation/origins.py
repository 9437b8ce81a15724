"""Origins: what a person decides about a whole origin: whom to believe, whom to block, whom to forget.

Each verb writes one record into the journal, and what follows from it is done by the refresh behind that: killed in
between, the next command does it. Everything else that is told of an origin is looked up here too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from federation.errors import DamagedFeed, ForkUndecided, NoSuchHead
from federation.holdings import Holdings
from federation.mirror import BRIDGE_PREFIX
from federation.model import Head, Pin, Refusal
from federation.trust import BLOCK, FORGET, TRUST, payload_of_choice
from federation.verification import read_head
from journal import JOURNAL_TYPE, Draft, Version, Written, encode_payload

HELD: Final = "held"  # the choice of the history that stands in our mirror


class Decision(NamedTuple):
    """What a decision about an origin wrote, and where its former mirror stands; nothing when it was so already."""

    written: tuple[Written, ...] = ()
    parked: Path | None = None


def block(holdings: Holdings, origin: str, *, reason: str | None, agent: str) -> Decision:
    """Keep an origin out of sight: nothing of it is pulled, shown or passed on until it is trusted again.

    Durable on return. Also of an origin that was never met. Raises as `Store.mutate`, and then nothing was done.
    """
    with _deciding(holdings):
        if holdings.trust.is_blocked(origin):
            return Decision()
        payload: dict[str, Any] = {"origin": origin} | ({} if reason is None else {"reason": reason})
        return Decision(_record(holdings, BLOCK, origin, payload, agent, summary=reason))


def forget(holdings: Holdings, origin: str, *, agent: str) -> Decision:
    """Put the mirror of an origin aside, and drop its quarantine: the next pull that finds it begins anew.

    Durable on return. One that is blocked stays blocked. Raises as `Store.mutate`, and then nothing was done.
    """
    with _deciding(holdings):
        if not (origin in holdings.mirror.origins() or holdings.trust.of(origin).chosen_at):
            holdings.quarantine.drop(origin)
            return Decision()
        head = _held_head(holdings, origin)
        pin = None if head is None else Pin(head.gen, head.last_seq, head.c, head.t)._asdict()
        decision = _parking(holdings, FORGET, origin, {"origin": origin, "head": pin}, agent)
        holdings.quarantine.drop(origin)
        return decision


def trust(holdings: Holdings, origin: str, chosen: str | None, *, agent: str) -> Decision:
    """End a block; and where two histories contradict each other, believe one of them.

    `chosen` is HELD, or the first digits of a head that is kept as evidence: then the mirror is put aside, and only a
    feed that comes by that head is taken in its place. Durable on return. ForkUndecided when there is a choice and none
    was made, NoSuchHead when that head is not there; else as `Store.mutate`. Then nothing was done.
    """
    with _deciding(holdings):
        unsettled = holdings.trust.unsettled(origin)
        if chosen is None and unsettled:
            raise ForkUndecided(
                f"{origin} signed two histories, and nobody said which is believed", path=f"{origin}/fork", rule="F5"
            )
        if chosen not in (None, HELD):
            if _is_taken(holdings, origin, chosen or ""):
                return Decision()
            name = _evidence_named(holdings, origin, chosen or "")
            head = evidence_head(holdings, origin, name)
            payload = payload_of_choice(origin, head, [], name)
            summary = f"the history of gen {head.gen}, seq {head.last_seq} instead of the one that was here"
            return _parking(holdings, TRUST, origin, payload, agent, root=_root(head), summary=summary)
        if unsettled:
            held = holdings.mirror.feed(origin).head()
            if held is None:
                raise DamagedFeed("no head stands beside the evidence", path=holdings.mirror.path(origin), rule="F5")
            payload = payload_of_choice(origin, held, holdings.mirror.fork_evidence(origin), None)
            summary = f"the history that is here, of gen {held.gen}, seq {held.last_seq}"
            return Decision(_record(holdings, TRUST, origin, payload, agent, root=_root(held), summary=summary))
        if not holdings.trust.is_blocked(origin):
            return Decision()
        payload = {"origin": origin, "head": None, "settled": []}
        return Decision(_record(holdings, TRUST, origin, payload, agent, summary="not blocked any more"))


# --- how -------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _deciding(holdings: Holdings) -> Iterator[None]:
    """Under the lock, with what was stopped before done; afterwards everything is as the new record has it."""
    holdings.store.refuse_when_copied()
    with holdings.lock():
        holdings.refresh()
        yield
        holdings.refresh()


def _parking(
    holdings: Holdings,
    action: str,
    origin: str,
    payload: dict[str, Any],
    agent: str,
    *,
    root: str | None = None,
    summary: str | None = None,
) -> Decision:
    """Write a record that puts the mirror aside, announced in the mirror first, so that a crash is made good."""
    mirrored = origin in holdings.mirror.origins()
    if mirrored:
        holdings.mirror.begin_parking(origin, holdings.store.position().seq)
    written = _record(holdings, action, origin, payload, agent, root=root, summary=summary)
    holdings.refresh()
    return Decision(written, holdings.mirror.parked(origin)[-1] if mirrored else None)


def _record(
    holdings: Holdings,
    action: str,
    origin: str,
    payload: dict[str, Any],
    agent: str,
    *,
    root: str | None = None,
    summary: str | None = None,
) -> tuple[Written, ...]:
    cause = f"{origin}@{holdings.pin(origin)}"
    draft = Draft(action, JOURNAL_TYPE, None, encode_payload(payload), summary=summary, cause=cause, root=root)
    with holdings.store.mutate(agent=agent) as mutation:
        mutation.add(draft)
    return tuple(holdings.store.last_commit.written)


def _root(head: Head) -> str:
    return str(Version(head.origin, head.last_seq, head.c[:12]))


def _held_head(holdings: Holdings, origin: str) -> Head | None:
    return None if origin.startswith(BRIDGE_PREFIX) else holdings.head(origin)


def _evidence_named(holdings: Holdings, origin: str, digits: str) -> str:
    """The evidence whose digest begins so; NoSuchHead when that is none, or more than one."""
    found = [name for name in holdings.mirror.fork_evidence(origin) if _digest(name).startswith(digits)]
    if len(found) != 1 or not digits:
        raise NoSuchHead(f"{'no' if not found else 'more than one'} head {digits[:40]!r} of {origin} is kept here")
    return found[0]


def _is_taken(holdings: Holdings, origin: str, digits: str) -> bool:
    """Whether that head was chosen already, and its feed has not come yet: the command was given twice."""
    choice = None if origin in holdings.mirror.origins() else holdings.trust.choice(origin)
    return choice is not None and choice.took is not None and bool(digits) and _digest(choice.took).startswith(digits)


def _digest(name: str) -> str:
    return name.removeprefix("head-").removesuffix(".json")


# --- what is known of an origin --------------------------------------------------------------------------------------


def evidence_head(holdings: Holdings, origin: str, name: str) -> Head:
    """A head that is kept as evidence; DamagedFeed when it is not what was kept."""
    found = read_head(holdings.mirror.evidence(origin, name), origin, lambda *_: None)
    if isinstance(found, Refusal):
        path = holdings.mirror.path(origin) / "fork" / name
        raise DamagedFeed(f"not the head that was kept as evidence: {found.message}", path=path, rule="F5")
    return found


def known(holdings: Holdings) -> list[str]:
    """All foreign origins that anything here speaks of: mirrored, decided about, or refused; sorted."""
    quarantined = {entry.origin for entry in holdings.quarantine.entries()}
    return sorted({*holdings.mirror.origins(), *holdings.trust.stances, *quarantined})


def state_of(holdings: Holdings, origin: str) -> str:
    """One word for where an origin stands; what needs a person comes first."""
    stance, mirrored = holdings.trust.of(origin), origin in holdings.mirror.origins()
    if stance.blocked_at:
        return "blocked"
    if not mirrored:
        return "awaited" if stance.chosen_at else "forgotten" if stance.forgotten_at else "refused"
    if origin in holdings.damaged:
        return "damaged"
    if origin.startswith(BRIDGE_PREFIX):
        return "bridge"
    return "fork" if holdings.trust.is_frozen(origin) else "ok"
