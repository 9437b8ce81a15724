"""Causality: what is a foreign record to us? The table of K3, with the checks of K4 and the joins of K2.

Pure. A foreign head, the local head and what is known of the world in; a judgement out. Knows no clock and no revision
numbers of others: two versions are ordered when one's context names the other, and otherwise they conflict.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, NamedTuple, Protocol

from federation.merging import same_json
from federation.model import Verdict
from journal import MAX_CONTEXT_ENTRIES, InvalidInput, LocalHead, Ref, Version, check_payload

MAX_JOINED: Final = 16  # origins that an accept takes into the context only because they offer the same payload


class ForeignHead(NamedTuple):
    """The newest record of a foreign entity, as causality needs it."""

    origin: str
    item_type: str
    item_id: str
    seq: int
    digest: str  # the record's c, or of bridged records the BLAKE3 of the line
    tombstone: bool
    root: Version | None = None
    context: Mapping[str, int] | None = None
    claims: Mapping[str, int] = {}
    unreadable: str | None = None  # why its bytes cannot be read: redacted, newer format, fails its schema

    @property
    def version(self) -> Version:
        """The authored version this is, or is a copy of [K1]."""
        return self.root or Version(self.origin, self.seq, self.digest[:12])

    @property
    def full_context(self) -> Mapping[str, int]:
        """The context, with the default of [K2] where it is absent."""
        return {self.origin: self.seq} if self.context is None else self.context


class Facts(Protocol):
    """What this store can check a claim against [K4]."""

    def is_self(self, origin: str, seq: int) -> bool:
        """Whether a record of that origin and seq is ours; former origins included up to their last seq."""
        ...

    def shown(self, seq: int) -> bool:
        """Whether that record of ours is known to be published, in the clear or redacted, under any origin of ours."""
        ...

    def undone(self, origin: str, seq: int, item_type: str, item_id: str) -> bool:
        """Whether an accept of ours made that version of the entity: if our head does not include it, it was undone."""
        ...

    def pin(self, origin: str) -> int:
        """The seq up to which we verified an origin, 0 when we never did."""
        ...

    def newest_version(self, origin: str, item_type: str, item_id: str) -> int:
        """The newest version of an entity that an origin authored, as far as our mirror of it goes; 0 for none."""
        ...

    def is_version(self, origin: str, seq: int, item_type: str, item_id: str) -> bool | None:
        """Whether a mirrored record is a version of that entity its origin authored; None when it is not shown."""
        ...

    def is_copy(self, foreign: ForeignHead) -> bool | None:
        """Whether a copy is the mirrored record it names, digest and payload included; None when that is not shown."""
        ...


class Judgement(NamedTuple):
    """A verdict and why.

    `false_entry` is a context entry that counted as absent. `waits_on` and `root_waits_on` name an origin and a seq of
    it that our mirror does not hold yet: once it does, the verdict may be another.
    """

    verdict: Verdict
    label: str | None = None
    false_entry: tuple[str, int] | None = None
    waits_on: tuple[str, int] | None = None
    root_waits_on: tuple[str, int] | None = None


def judge(
    foreign: ForeignHead,
    local: LocalHead | None,
    *,
    decided: bool,
    same_payload: Callable[[], bool],
    facts: Facts,
) -> Judgement:
    """The verdict on a foreign head: first match in the table of [K3]. `same_payload` is asked at most once."""
    found = _judged(foreign, local, decided, same_payload, facts)
    lie = found.false_entry or next(_false_on_sight(foreign, local, facts), None)
    return found._replace(false_entry=lie)


def _judged(
    foreign: ForeignHead, local: LocalHead | None, decided: bool, same_payload: Callable[[], bool], facts: Facts
) -> Judgement:
    version = foreign.version
    if decided or (local is not None and local.context.get(version.origin, 0) >= version.seq):
        return Judgement(Verdict.KNOWN, _label(foreign, facts))
    if facts.undone(version.origin, version.seq, foreign.item_type, foreign.item_id):
        return Judgement(Verdict.KNOWN, _label(foreign, facts))  # one of ours that was undone: it is nothing new to us
    if _takes_back(foreign):
        return Judgement(Verdict.KNOWN)  # nobody else's affair
    reason = foreign.unreadable or impossible(foreign, facts)
    if reason is not None:
        return Judgement(Verdict.UNREADABLE, reason)
    root = foreign.root
    root_waits_on = root[:2] if root is not None and _above_pin(foreign, root.origin, root.seq, facts) else None
    return _compared(foreign, local, same_payload, facts)._replace(root_waits_on=root_waits_on)


def _compared(
    foreign: ForeignHead, local: LocalHead | None, same_payload: Callable[[], bool], facts: Facts
) -> Judgement:
    """The lower rows of the table: a readable version that is not known."""
    if local is None or is_taken_back(local):
        return Judgement(Verdict.KNOWN if foreign.tombstone else Verdict.NEW)
    if local.deleted and foreign.tombstone:
        return Judgement(Verdict.IDENTICAL)
    if not local.deleted and not foreign.tombstone and same_payload():
        return Judgement(Verdict.IDENTICAL)
    return _ordered(foreign, local, facts)


def _label(foreign: ForeignHead, facts: Facts) -> str | None:
    if facts.is_self(foreign.version.origin, foreign.version.seq):
        return "echo"
    return "duplicate" if foreign.root is not None else None


def impossible(foreign: ForeignHead, facts: Facts) -> str | None:
    """Why a record claims what cannot be, or None [K4]."""
    context = foreign.full_context
    if len(context) > MAX_CONTEXT_ENTRIES or len(foreign.claims) > MAX_CONTEXT_ENTRIES:
        return f"context has more than {MAX_CONTEXT_ENTRIES} entries"
    root = foreign.root
    if root is None:
        return None if context.get(foreign.origin) == foreign.seq else "authored, but its context does not name itself"
    if not _reached(root, context, foreign.claims):
        return "a copy whose context does not reach its root"
    if root.origin == foreign.origin and root.seq >= foreign.seq:
        return "a copy of a later record"
    if facts.is_self(root.origin, root.seq):
        return "a copy of a version of ours that we do not have"
    if root.seq <= facts.pin(root.origin) and facts.is_copy(foreign) is False:
        return "a copy that differs from the record it names"
    return None


def _takes_back(foreign: ForeignHead) -> bool:
    """Whether its author undid an accept of what was not there before: see `is_taken_back` [K5]."""
    is_copy = foreign.unreadable is None and foreign.tombstone and foreign.root is not None
    return is_copy and not _reached(foreign.version, foreign.full_context, foreign.claims)


def _reached(version: Version, context: Mapping[str, int], claims: Mapping[str, int]) -> bool:
    return max(context.get(version.origin, 0), claims.get(version.origin, 0)) >= version.seq


def is_taken_back(local: LocalHead) -> bool:
    """Whether the entity came by an accept that was undone, and nothing was here before [K5].

    Its tombstone names the version that was accepted and does not reach it.
    """
    return local.deleted and not _reached(local.version, local.context, local.claims)


class PutBack(NamedTuple):
    """What the record that undoes an accept says of itself: of which version it is a copy, and what it includes."""

    root: Version
    context: dict[str, int]
    claims: dict[str, int]


def put_back(former: LocalHead | None, declined: Version) -> PutBack:
    """Undo an accept: the former version once more, with exactly what that included [K5].

    Where nothing was here before, it is a tombstone that names what was accepted, and reaches nothing.
    """
    if former is None:
        return PutBack(declined, {}, {})
    return PutBack(former.version, dict(former.context), dict(former.claims))


def _ordered(foreign: ForeignHead, local: LocalHead, facts: Facts) -> Judgement:
    """update or gone when the other side has seen our latest version, else conflict."""
    origin, seq, _ = local.version
    seen = Verdict.GONE if foreign.tombstone else Verdict.UPDATE
    lie: tuple[str, int] | None = None
    unsure: tuple[str, int] | None = None
    for vector in (foreign.full_context, foreign.claims):
        entry = vector.get(origin, 0)
        if entry < seq:
            continue
        if is_false(foreign, local, origin, entry, facts):
            lie = lie or ((origin, entry) if vector is not foreign.claims else None)  # claims are what others said
        elif _is_enough(foreign, local, local.version, entry, facts):
            waits = (origin, entry) if _above_pin(foreign, origin, entry, facts) else None
            return Judgement(seen, None, lie, waits)
        else:
            unsure = (origin, seq)  # until that is shown
    return Judgement(Verdict.CONFLICT, None, lie, unsure)


def covers(cause: Ref, foreign: ForeignHead, shows_the_same: Callable[[], bool]) -> bool:
    """Whether a decision on the version of a foreign head covers that head; `cause` is the record it was taken on [K5].

    Who decides on a copy has seen the copy, which may be a false one of a version that nobody here can look at. Another
    record of the same version is covered only when it shows the same.
    """
    return cause in ((foreign.origin, foreign.seq), foreign.version[:2]) or shows_the_same()


def includes(foreign: ForeignHead, local: LocalHead, version: Version, facts: Facts) -> bool:
    """Whether a foreign record can be taken to include a version from the history of a local entity [K3] [K4]."""
    return any(
        entry >= version.seq
        and not is_false(foreign, local, version.origin, entry, facts)
        and _is_enough(foreign, local, version, entry, facts)
        for entry in _entries_for(foreign, version.origin)
    )


def _is_enough(foreign: ForeignHead, local: LocalHead, version: Version, entry: int, facts: Facts) -> bool:
    """Whether an entry that can be true also says that a version was seen.

    Not when that is one of ours that no feed has shown: a copy of this store may include it, and anybody can say so.
    Enough is then only what another copy wrote under a former origin of ours, after we left it, as far as we saw it: it
    builds on all that both had in common. So nothing goes over an edit that nobody was shown [K4].
    """
    origin = version.origin
    if facts.is_self(origin, entry):
        return _was_shown(local, entry, facts)
    if not facts.is_self(origin, version.seq) or _was_shown(local, version.seq, facts):
        return True
    return origin == foreign.origin or facts.is_version(origin, entry, foreign.item_type, foreign.item_id) is True


def _was_shown(local: LocalHead, seq: int, facts: Facts) -> bool:
    """Whether others can have seen a version of ours: its record, or a copy that we showed under a later origin."""
    return facts.shown(seq) or (seq == local.version.seq < local.seq and facts.shown(local.seq))


def _entries_for(foreign: ForeignHead, origin: str) -> Iterator[int]:
    for vector in (foreign.full_context, foreign.claims):
        if origin in vector:
            yield vector[origin]


def _above_pin(foreign: ForeignHead, origin: str, seq: int, facts: Facts) -> bool:
    return origin != foreign.origin and not facts.is_self(origin, seq) and seq > facts.pin(origin)


def is_false(foreign: ForeignHead, local: LocalHead | None, origin: str, seq: int, facts: Facts) -> bool:
    """Whether a context entry cannot be true and therefore counts as absent [K4]."""
    if facts.is_self(origin, seq):
        known = local is not None and seq <= local.context.get(origin, 0)
        return not known and not facts.undone(origin, seq, foreign.item_type, foreign.item_id)
    if origin == foreign.origin and seq > foreign.seq:
        return True
    if origin == foreign.origin and seq == foreign.seq:
        return foreign.root is not None
    if origin != foreign.origin and seq > facts.pin(origin):
        return False  # nothing is known of it yet
    if local is not None and (origin, seq) == local.version[:2]:
        return False
    return not _may_be_version(foreign, origin, seq, facts)


def _false_on_sight(foreign: ForeignHead, local: LocalHead | None, facts: Facts) -> Iterator[tuple[str, int]]:
    """Context entries that cannot be true by what we know of ourselves and its origin of itself; no mirror is read."""
    for origin, seq in foreign.full_context.items():
        on_sight = facts.is_self(origin, seq) or (origin == foreign.origin and seq >= foreign.seq)
        if on_sight and is_false(foreign, local, origin, seq, facts):
            yield origin, seq


def _may_be_version(foreign: ForeignHead, origin: str, seq: int, facts: Facts) -> bool:
    if facts.newest_version(origin, foreign.item_type, foreign.item_id) == seq:
        return True
    return facts.is_version(origin, seq, foreign.item_type, foreign.item_id) is not False


class Joined(NamedTuple):
    """Context and claims of a record that builds on a local head and an accepted foreign one [K2] [K4]."""

    context: dict[str, int]
    claims: dict[str, int]
    false_entries: tuple[tuple[str, int], ...]


def join(foreign: ForeignHead, local: LocalHead | None, facts: Facts) -> Joined:
    """The element-wise maximum of what an accept builds on.

    Entries that cannot be true are left out. Entries of other origins above our pin go to `claims`; in their place the
    newest version we hold of that origin goes to the context. An authored record then adds itself; a copy adds nothing.
    """
    context = dict(local.context) if local is not None else {}
    claims = dict(local.claims) if local is not None else {}
    false: list[tuple[str, int]] = []
    for origin, seq in foreign.full_context.items():
        if seq <= context.get(origin, 0):
            continue
        if is_false(foreign, local, origin, seq, facts):
            false.append((origin, seq))
        elif _is_hearsay(foreign, origin, seq, facts):
            _raise(claims, origin, seq)
            newest = facts.newest_version(origin, foreign.item_type, foreign.item_id)
            _raise(context, origin, newest if newest <= seq else 0)
        else:
            _raise(context, origin, seq)
    for origin, seq in foreign.claims.items():
        if seq <= max(context.get(origin, 0), claims.get(origin, 0)):
            continue
        if is_false(foreign, local, origin, seq, facts):
            false.append((origin, seq))
        else:  # of our own versions we need nobody's word
            _raise(context if facts.is_self(origin, seq) else claims, origin, seq)
    _include(foreign, context, claims, facts)
    return Joined(context, _needed(claims, context, foreign.version.origin), tuple(false))


def _is_hearsay(foreign: ForeignHead, origin: str, seq: int, facts: Facts) -> bool:
    """Whether an entry can be checked against nothing we hold: above our pin of another origin, or not shown there."""
    if origin == foreign.origin or facts.is_self(origin, seq):
        return False
    key = (foreign.item_type, foreign.item_id)
    if seq > facts.pin(origin):
        return True
    return facts.newest_version(origin, *key) != seq and facts.is_version(origin, seq, *key) is not True


def including(joined: Joined, versions: Iterable[Version], limit: int = MAX_JOINED) -> Joined:
    """A join that also includes versions which were seen to have the accepted payload, whoever made them [K2].

    Only these versions, and nothing that their records say they include: a liar could offer what an honest store offers
    and hide by its context what others have [K4]. Fewer than there are yield at worst a question.
    """
    context = dict(joined.context)
    for origin, seq, _ in versions:
        is_more = origin not in context
        if is_more and (limit == 0 or len(context) >= MAX_CONTEXT_ENTRIES - 1):  # a version of ours adds itself
            continue
        limit -= is_more
        _raise(context, origin, seq)
    return joined._replace(context=context, claims=_needed(joined.claims, context, ""))


def _needed(claims: Mapping[str, int], context: Mapping[str, int], root: str) -> dict[str, int]:
    """Claims that say more than the context, at most as many as a record may have: fewer yield at worst a conflict."""
    more = {origin: seq for origin, seq in claims.items() if seq > context.get(origin, 0)}
    kept = sorted(more, key=lambda origin: (origin != root, origin))[:MAX_CONTEXT_ENTRIES]
    return {origin: more[origin] for origin in kept}


def _include(foreign: ForeignHead, context: dict[str, int], claims: dict[str, int], facts: Facts) -> None:
    """See to it that what is accepted is reached, though the entry that named it fell to a lie beside it."""
    origin, seq, _ = foreign.version
    if max(context.get(origin, 0), claims.get(origin, 0)) < seq:
        _raise(claims if _above_pin(foreign, origin, seq, facts) else context, origin, seq)


def _raise(vector: dict[str, int], origin: str, seq: int) -> None:
    if seq > vector.get(origin, 0):
        vector[origin] = seq


def same_payload(one: bytes | None, other: bytes | None) -> bool:
    """Whether two payloads are the same JSON value; one that is absent or cannot be read is never the same."""
    if one is None or other is None:
        return False
    try:
        return one == other or same_json(check_payload(one), check_payload(other))
    except InvalidInput:
        return False
