"""The oracle: what causality must say, told from the versions that payloads truly include.

Between honest stores every verdict is the one that true sets give, but for one case that K4 allows. What builds on a
lie is held to what a lie can never do. `Broken` is raised at the first answer that is not allowed; `counts` tells how
often less than all was said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from federation.causality import Joined, Judgement
from federation.model import Verdict
from journal import LocalHead, Ref, Version
from tests.property.causality_stores import (
    Held,
    Key,
    Line,
    MemoryStore,
    changes_entity,
    covering,
    named,
    reaches_nothing,
    same_payload,
    shows_the_same,
)

UNDONE: Final = "accepts undone"
CLAIMED: Final = "records with claims"
ASKED_AGAIN: Final = "known by claims only, so asked again"
UNSURE: Final = "of an edit that was never shown and only a copy of the store can know, so asked"
PASSED_ON: Final = "honest, and unreadable by a lie it passed on"
HIDDEN: Final = "hidden by a lie that was accepted"


class Broken(AssertionError):
    """A rule does not hold."""


def expected(store: MemoryStore, line: Line) -> Verdict:
    """The verdict of [K3], with true sets in place of contexts."""
    held = here(store, line)
    if decision_on(store, line) is not None or (held is not None and line.version in held.line.truth):
        return Verdict.KNOWN
    if reaches_nothing(line):
        return Verdict.KNOWN  # its author took back what it had accepted
    if is_ours(store, line.version, line.key):
        return Verdict.KNOWN  # we took it back
    if held is None:
        return Verdict.KNOWN if line.foreign.tombstone else Verdict.NEW
    if _identical(held, line):
        return Verdict.IDENTICAL
    if Ref(*held.head.version[:2]) in line.truth:
        return Verdict.GONE if line.foreign.tombstone else Verdict.UPDATE
    return Verdict.CONFLICT


def here(store: MemoryStore, line: Line) -> Held | None:
    """What is here of the entity; nothing where all that ever was here was taken back."""
    held = store.heads.get(line.key)
    return None if held is None or reaches_nothing(held.line) else held


def is_ours(store: MemoryStore, version: Ref, key: Key) -> bool:
    """Whether an accept of the store made that version: its head includes it, unless it was undone."""
    return store.undone(*version, *key)


def decision_on(store: MemoryStore, line: Line) -> Line | None:
    """What was looked at when this was settled: this record, the version itself, or a copy that showed the same."""
    for (version, key, _), shown in store.decisions.items():
        is_it = shown.own in (line.own, version)
        if key == line.key and version in covering(line) and (is_it or shows_the_same(shown, line)):
            return shown
    return None


def _identical(held: Held, line: Line) -> bool:
    if held.head.deleted or line.foreign.tombstone:
        return held.head.deleted and line.foreign.tombstone
    return same_payload(held.line, line)


class Oracle:
    """Looks at every verdict and every record of one trace."""

    def __init__(self, liars: frozenset[str] = frozenset()) -> None:
        self.liars = liars
        self.counts: Counter[str] = Counter()
        self._known: dict[str, set[tuple[Key, Ref]]] = {}  # by context, so for good
        self._kept: dict[str, KeptVerdicts] = {}

    def renewed(self, before: str, after: str) -> None:
        """A store goes on under another origin: what was settled stays so, and every verdict is asked anew."""
        self._known[after] = set(self._known.get(before, ()))

    def known_by(self, origin: str) -> set[tuple[Key, Ref]]:
        """What a store knew so far, for a backup of it."""
        return set(self._known.get(origin, ()))

    def restored(self, origin: str, known: set[tuple[Key, Ref]]) -> None:
        """A store is what it was at a backup."""
        self._known[origin] = set(known)

    # --- verdicts ---

    def check(self, store: MemoryStore) -> None:
        """Judge all rows of a store and compare."""
        kept = self._kept.setdefault(store.origin, KeptVerdicts())
        kept.forget_what_changed(store)
        for line in store.rows():
            judgement = store.judge(line)
            held = here(store, line)
            try:
                if line.lied or (held is not None and held.line.lied):
                    self._check_safety(store, line, judgement)
                else:
                    self._check_exactly(store, line, judgement)
                self._check_settled(store, line, judgement.verdict)
                kept.compare(line, judgement)
            except Broken as broken:
                says = f"{named(store.origin)} judges {named(line.origin)}@{line.record.seq} {judgement.verdict}"
                raise Broken(f"{says}: {broken}") from None

    def _check_exactly(self, store: MemoryStore, line: Line, judgement: Judgement) -> None:
        wanted, found = expected(store, line), judgement.verdict
        if judgement.false_entry is not None:
            raise Broken("it is called a lie, and all are honest [K4]")
        if found is wanted:
            return
        if wanted is Verdict.KNOWN and found in (Verdict.CONFLICT, Verdict.IDENTICAL) and _only_claimed(store, line):
            self.counts[ASKED_AGAIN] += 1
            return
        if wanted in (Verdict.UPDATE, Verdict.GONE) and found is Verdict.CONFLICT and _is_secret(store, line):
            self.counts[UNSURE] += 1
            return
        raise Broken(f"it must be {wanted} [K3]")

    def _check_safety(self, store: MemoryStore, line: Line, judgement: Judgement) -> None:
        """What a lie can never do, whoever passed it on."""
        found, held = judgement.verdict, here(store, line)
        if judgement.false_entry is not None and line.origin not in self.liars:
            raise Broken("its origin is called a liar, and only passes on what it was told [K4]")
        if judgement.false_entry is None and line.origin in self.liars and _is_false_on_sight(store, line):
            raise Broken("it says what we know cannot be, and its origin is not flagged [K4]")
        if found is Verdict.UNREADABLE:
            self.counts[PASSED_ON] += line.origin not in self.liars
            return
        if found is not Verdict.KNOWN and _contradicts_itself(line):
            raise Broken("it does not include what it says it is, and can be accepted [K4]")
        if found is not Verdict.KNOWN and _is_false_copy(store, line):
            raise Broken("it differs from the record it names, and we hold that one [K4]")
        if held is None:
            if found is not expected(store, line):
                raise Broken("there never was a local record [K3]")
            return
        if found is Verdict.NEW or (found is Verdict.IDENTICAL and not _identical(held, line)):
            raise Broken("that is not what is here [K3]")
        version = Ref(*held.head.version[:2])
        is_sure = version in line.truth or not store.is_self(*version) or was_shown(store, held)
        if found in (Verdict.UPDATE, Verdict.GONE) and not is_sure:
            raise Broken("it would go over an edit that nobody was ever shown [K4]")
        if found is Verdict.KNOWN and decision_on(store, line) is None:
            self._check_known(store, line, held)

    def _check_known(self, store: MemoryStore, line: Line, held: Held) -> None:
        """A lie hides only what a context names; `check_record` saw what may stand there."""
        version = line.version
        if version in held.line.truth or reaches_nothing(line) or is_ours(store, version, line.key):
            return
        if held.head.context.get(version.origin, 0) < version.seq:
            raise Broken("no context and no decision says so [K3]")
        self.counts[HIDDEN] += version.origin not in self.liars

    def _check_settled(self, store: MemoryStore, line: Line, verdict: Verdict) -> None:
        decision = decision_on(store, line)
        name, known = (line.key, line.version), self._known.setdefault(store.origin, set())
        if verdict is not Verdict.KNOWN:
            if decision is not None or name in known:
                raise Broken(f"{named(line.version)} was settled before [K5]")
        elif decision is None:
            known |= {name} if here(store, line) is not None and not reaches_nothing(line) else set()

    def forget(self, store: MemoryStore, key: Key) -> None:
        """An accept was undone: what only that had settled may be asked again [K5]."""
        context = store.heads[key].head.context
        known = self._known.get(store.origin, set())
        kept = {(other, ref) for other, ref in known if other != key or context.get(ref.origin, 0) >= ref.seq}
        self._known[store.origin] = kept
        self.counts[UNDONE] += 1

    # --- records ---

    def check_record(self, store: MemoryStore, line: Line, before: LocalHead | None) -> None:
        """Whether a new record tells what it includes [K2]; `before` is the local head it stands on."""
        context, claims, root = line.foreign.full_context, line.foreign.claims, line.foreign.root
        if root is None and context.get(line.origin) != line.record.seq:
            raise Broken("an authored record does not name itself [K2]")
        if root is not None and not line.foreign.tombstone and not _is_reached(root, context, claims):
            raise Broken("a copy does not reach its root, so nobody can read it [K4]")
        for origin in {ref.origin for ref in line.truth} | set(context) | set(claims):
            if line.lied and (origin != store.origin or is_ours(store, Ref(origin, context.get(origin, 0)), line.key)):
                _check_lie(store, line, origin, before)
                continue
            newest = max((ref.seq for ref in line.truth if ref.origin == origin), default=0)
            says = (context.get(origin, 0), claims.get(origin, 0))
            if any(seq and Ref(origin, seq) not in line.truth for seq in says) or max(says) < newest:
                raise Broken(f"a record includes {named(origin)}@{newest}, and (context, claims) say {says} [K2]")

    def check_join(self, joined: Joined) -> None:
        """Where all are honest nothing is left out, and nothing is claimed that the context says already."""
        for origin, seq in joined.false_entries:
            raise Broken(f"{named(origin)}@{seq} is called a lie, and all are honest [K4]")
        for origin, seq in joined.claims.items():
            if seq <= joined.context.get(origin, 0):
                raise Broken(f"the claim {named(origin)}@{seq} says no more than the context [K4]")
        self.counts[CLAIMED] += bool(joined.claims)


class KeptVerdicts:
    """The verdicts a store keeps until what they depend on changes, by the rules of `federation.index`.

    A judgement says itself what it waits for; whatever is kept must be what would be judged now.
    """

    def __init__(self) -> None:
        self._rows: dict[tuple[str, Key], tuple[Line, Judgement]] = {}
        self._log_seen = 0
        self._states_seen = 0

    def forget_what_changed(self, store: MemoryStore) -> None:
        """Local records (decisions are some), a publish and mirrors that got where a judgement waits."""
        touched = {line.key for line in store.log[self._log_seen :]}
        published = len(store.feed.states) > self._states_seen
        for name, (line, judgement) in list(self._rows.items()):
            waits = (judgement.waits_on, judgement.root_waits_on)
            if (
                line.key in touched
                or (published and (judgement.false_entry is not None or judgement.waits_on is not None))
                or any(wait is not None and store.pin(wait[0]) >= wait[1] for wait in waits)
            ):
                del self._rows[name]
        self._log_seen, self._states_seen = len(store.log), len(store.feed.states)

    def compare(self, line: Line, judgement: Judgement) -> None:
        """Keep a judgement; Broken when another one was kept and nothing told that it had changed."""
        before, kept = self._rows.get((line.origin, line.key), (line, judgement))
        if before is line and kept[:2] != judgement[:2]:
            raise Broken(f"{kept.verdict} ({kept.label}) was kept, and nothing says that it changed [T1]")
        self._rows[line.origin, line.key] = (line, judgement)


def _is_false_copy(store: MemoryStore, line: Line) -> bool:
    """Whether our mirror shows the record that this one says it is a copy of, and that is another."""
    root, mirror = line.foreign.root, store.mirrors.get(line.version.origin)
    shown = None if root is None or mirror is None else mirror.lines.get(root.seq)
    if shown is None:
        return False
    same_entity = shown.key == line.key and shown.foreign.tombstone == line.foreign.tombstone
    return not (shown.own == root and shown.foreign.root is None and same_entity and same_payload(shown, line))


def was_shown(store: MemoryStore, held: Held) -> bool:
    """Whether our feeds, or one that went on under a former origin, show this version of ours or a copy of it."""
    return any(store.shown(seq) for seq in (held.head.version.seq, held.line.record.seq))


def _is_secret(store: MemoryStore, line: Line) -> bool:
    """Whether the local version is ours and shown by no feed we know: only a copy of this store can include it [K4]."""
    held = store.heads[line.key]
    return store.is_self(*held.head.version[:2]) and not was_shown(store, held)


def _is_false_on_sight(store: MemoryStore, line: Line) -> bool:
    """Whether a context says of us that we wrote what we never did, or of its origin what that has not written yet."""
    own = [
        found for found in store.log if found.key == line.key and changes_entity(found) and found.foreign.root is None
    ]
    for origin, seq in line.foreign.full_context.items():
        if origin == store.origin and seq > max(
            (found.record.seq for found in own if found.origin == origin), default=0
        ):
            return True
        if origin == line.origin and (
            seq > line.record.seq or (seq == line.record.seq and line.foreign.root is not None)
        ):
            return True
    return False


def _contradicts_itself(line: Line) -> bool:
    """Whether an authored record does not name itself, or a copy does not reach its root."""
    foreign = line.foreign
    if foreign.root is None:
        return foreign.full_context.get(line.origin) != line.record.seq
    return not _is_reached(foreign.root, foreign.full_context, foreign.claims)


def _is_reached(root: Version, context: Mapping[str, int], claims: Mapping[str, int]) -> bool:
    return max(context.get(root.origin, 0), claims.get(root.origin, 0)) >= root.seq


def _only_claimed(store: MemoryStore, line: Line) -> bool:
    """Whether the local head has this version in its claims and not in its context: an entry lay above our pin [K4]."""
    held = store.heads.get(line.key)
    origin, seq = line.version
    return held is not None and held.head.claims.get(origin, 0) >= seq > held.head.context.get(origin, 0)


def _check_lie(store: MemoryStore, line: Line, origin: str, before: LocalHead | None) -> None:
    """What a lie can bring into a context: what we could have looked up, and then nothing that is plainly untrue."""
    seq = line.foreign.full_context.get(origin, 0)
    if Ref(origin, seq) in line.truth:
        return
    if before is not None and (seq <= before.context.get(origin, 0) or (origin, seq) == before.version[:2]):
        return
    if is_ours(store, Ref(origin, seq), line.key):
        return
    if seq > store.pin(origin):
        raise Broken(f"{named(origin)}@{seq} came into a context and is above our pin {store.pin(origin)} [K4]")
    if store.is_version(origin, seq, *line.key) is False and seq != store.newest_version(origin, *line.key):
        raise Broken(f"{named(origin)}@{seq} came into a context and is no version of the entity [K4]")
