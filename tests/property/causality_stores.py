"""Stores in memory for the model of causality: real records and real judgements, no disk.

A store is a log, a feed (what of the log it showed), mirrors (what it took of other feeds) and decisions. Records are
sealed by the journal's own `seal`; `judge` and `join` are those of `federation.causality`, unless a mutant takes their
place. Beside each record stands what only the model knows: the versions its payload truly includes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, NamedTuple, Protocol, cast

import msgspec

from federation import causality
from federation.causality import Facts, ForeignHead, Joined, Judgement, PutBack
from federation.model import OPEN_VERDICTS, Verdict
from journal import ActionClass, Draft, Entry, LocalHead, Machine, Record, Ref, Version, chain_start
from journal import Line as JournalLine
from journal.identity import Previous
from journal.mutation import Author, seal
from journal.projection import head_of
from journal.renewal import is_own, leave, taken_over

Key = tuple[str, str]
Decided = tuple[Version, Key, Ref]  # a version of one entity, and the record on which it was decided [K5]
Truth = frozenset[Ref]


class Judge(Protocol):
    """`federation.causality.judge`, or a mutant of it."""

    def __call__(
        self,
        foreign: ForeignHead,
        local: LocalHead | None,
        *,
        decided: bool,
        same_payload: Callable[[], bool],
        facts: Facts,
    ) -> Judgement: ...


class Line(NamedTuple):
    """A record as it stands in a log and in feeds, with what the model knows of it."""

    origin: str
    record: Record
    foreign: ForeignHead  # as others read it
    truth: Truth  # the authored versions its payload includes
    lied: bool = False  # a liar wrote it, or it builds on what a liar wrote

    @property
    def key(self) -> Key:
        """The entity."""
        return self.foreign.item_type, self.foreign.item_id

    @property
    def version(self) -> Ref:
        """The authored version this is, or claims to be a copy of."""
        return Ref(*self.foreign.version[:2])

    @property
    def own(self) -> Version:
        """This very record, whatever it claims to be a copy of."""
        return Version(self.origin, self.record.seq, self.record.c[:12])


class Held(NamedTuple):
    """The local head of an entity and the record it came from."""

    head: LocalHead
    line: Line


class Accepted(NamedTuple):
    """An accept that can be undone as long as its record is the head: what was here before, and what was decided."""

    record: Line
    former: Held | None
    decided: Decided


def covers(decided: Decided, shown: Line, line: Line) -> bool:
    """Whether a decision that was taken when `shown` was looked at covers another line."""
    version, key, cause = decided
    if key != line.key or version not in covering(line):
        return False
    return causality.covers(cause, line.foreign, lambda: shows_the_same(shown, line))


class Rules(NamedTuple):
    """What is under test. A mutant replaces one of these."""

    judge: Judge = causality.judge
    join: Callable[[ForeignHead, LocalHead | None, Facts], Joined] = causality.join
    including: Callable[[Joined, Iterable[Version]], Joined] = causality.including
    root_of_copy: Callable[[ForeignHead], Version | None] = lambda foreign: foreign.version
    put_back: Callable[[LocalHead | None, Version], PutBack] = causality.put_back
    rejected: Callable[[Line, Verdict], Version] = lambda line, verdict: (
        line.own if verdict is Verdict.UNREADABLE else line.foreign.version
    )
    covers: Callable[[Decided, Line, Line], bool] = covers
    facts: Callable[[Facts], Facts] = lambda facts: facts
    taken_over: Callable[[LocalHead, bytes | None, Mapping[str, int]], Draft] = taken_over


def named(what: str | Ref) -> str:
    """An origin or version of the model as people read it: A, A@3."""
    return what[3].upper() if isinstance(what, str) else f"{what.origin[3].upper()}@{what.seq}"


class Feed:
    """What an origin showed so far; skips are seqs without a line. Append-only, so an older state is a lower seq."""

    def __init__(self, start: int = 0) -> None:
        self.start = start
        self.lines: dict[int, Line] = {}
        self.states: list[int] = []  # last_seq of each publish

    @property
    def last_seq(self) -> int:
        """Up to where the newest state goes."""
        return self.states[-1] if self.states else self.start

    def copied(self) -> Feed:
        """The same feed, which goes on by itself."""
        found = Feed(self.start)
        found.lines, found.states = dict(self.lines), list(self.states)
        return found


class Mirror:
    """What was taken of one foreign feed."""

    def __init__(self) -> None:
        self.pin = 0
        self.lines: dict[int, Line] = {}
        self.newest: dict[Key, Line] = {}

    def copied(self) -> Mirror:
        """The same mirror, which goes on by itself."""
        found = Mirror()
        found.pin, found.lines, found.newest = self.pin, dict(self.lines), dict(self.newest)
        return found


class _Clockwork:
    """Machine of the model: no clock, no chance. The salt makes every c another."""

    writer: Final = "w_model"

    def __init__(self, name: str) -> None:
        self._name = name

    def now(self) -> str:
        return "2026-01-01T00:00:00.000Z"

    def salt(self) -> str:
        return self._name


class MemoryStore:
    """One store. It is also the Facts that causality asks, with the meaning of `federation.holdings`."""

    def __init__(self, origin: str, rules: Rules) -> None:
        self.origin = origin
        self.previous: list[Previous] = []
        self.former_feeds: dict[str, Feed] = {}
        self.log: list[Line] = []
        self.heads: dict[Key, Held] = {}
        self.feed = Feed()
        self.mirrors: dict[str, Mirror] = {}
        self.decisions: dict[Decided, Line] = {}  # and what was shown then
        self.rejections: list[Decided] = []
        self.accepts: list[Accepted] = []
        self.joined: Joined | None = None  # by the newest accept
        self._c = chain_start(origin)
        self._machine = cast("Machine", _Clockwork(origin))
        self._rules = rules
        self._facts = rules.facts(self)

    # --- writing ---

    def write(self, key: Key, payload: bytes | None, *, private: bool | None = None) -> Line:
        """put, edit or rm: an authored version on top of the local head [K1]."""
        held = self.heads.get(key)
        live = held is not None and not held.head.deleted
        action = "delete" if payload is None else "update" if live else "create"
        return self._append(
            Draft(action, *key, payload, private=private), frozenset() if held is None else held.line.truth
        )

    def accept(self, line: Line) -> Line:
        """An unmodified copy; over a conflict (`--theirs`) an authored version [K1]."""
        authored = self.judge(line).verdict is Verdict.CONFLICT
        root = None if authored else self._rules.root_of_copy(line.foreign)
        return self._build_on(line, line.record.payload_bytes, root)

    def merge(self, line: Line, payload: bytes) -> Line:
        """`--merge` or `--edit`: an authored version on top of both [K1]."""
        return self._build_on(line, payload, None)

    def _build_on(self, line: Line, payload: bytes | None, root: Version | None) -> Line:
        held = self.heads.get(line.key)
        beside = self._alike(line)
        joined = self._rules.join(line.foreign, held.head if held else None, self._facts)
        self.joined = joined = self._rules.including(joined, [other.foreign.version for other in beside])
        draft = Draft(
            "delete" if payload is None else "accept",
            *line.key,
            payload,
            cause=str(Ref(line.origin, line.foreign.seq)),
            root=None if root is None else str(root),
            context=joined.context,
            claims=joined.claims,
        )
        decided = self._decide(line, line.foreign.version)
        truth = line.truth | (held.line.truth if held else frozenset())
        truth |= {ref for other in beside for ref in self._own_truth(other)}
        written = self._append(draft, truth, lied=line.lied)
        self.accepts.append(Accepted(written, held, decided))
        return written

    def _alike(self, line: Line) -> list[Line]:
        """Rows that offer what this one does and ask for a decision; of copies those that we can look up."""
        return [
            other
            for other in self.rows()
            if other is not line
            and other.key == line.key
            and other.foreign.tombstone == line.foreign.tombstone
            and same_payload(other, line)
            and self.judge(other).verdict in OPEN_VERDICTS - {Verdict.UNREADABLE}
            and (other.foreign.root is None or self.is_copy(other.foreign))
        ]

    def _own_truth(self, line: Line) -> Iterator[Ref]:
        """The version that a row shows, and those which its author wrote before."""
        version = line.version
        author = self.mirrors[version.origin].lines.get(version.seq) or line
        yield version
        yield from (ref for ref in author.truth if ref.origin == version.origin and ref.seq < version.seq)

    def undoable(self) -> list[Accepted]:
        """The accepts on which nothing was built yet."""
        return [found for found in self.accepts if self.heads[found.record.key].line == found.record]

    def undo(self, accepted: Accepted) -> Line:
        """Take an accept back: what was here before, once more, and the candidate is open again [K5]."""
        version, key, _ = accepted.decided
        former = accepted.former
        root, context, claims = self._rules.put_back(former.head if former else None, version)
        payload = None if former is None else former.line.record.payload_bytes
        action = "delete" if payload is None else "rollback"
        draft = Draft(action, *key, payload, root=str(root), context=context, claims=claims)
        truth = former.line.truth if former else frozenset()
        self.decisions.pop(accepted.decided, None)
        self.accepts.remove(accepted)
        return self._append(draft, truth)

    def reject(self, line: Line) -> None:
        """A decision on exactly this version; on this record alone where it cannot be read: its root may lie [K5]."""
        version = self._rules.rejected(line, self.judge(line).verdict)
        draft = Draft("reject", *line.key, cause=str(Ref(line.origin, line.foreign.seq)), root=str(version))
        self._append(draft, frozenset())
        self.rejections.append(self._decide(line, version))

    def _decide(self, line: Line, version: Version) -> Decided:
        decided = version, line.key, Ref(line.origin, line.foreign.seq)
        self.decisions[decided] = line
        return decided

    def reopen(self, rejected: Decided) -> None:
        """Take a rejection back [K5]."""
        version, key, _ = rejected
        del self.decisions[rejected]
        self._append(Draft("reopen", *key, root=str(version)), frozenset())
        self.rejections = [other for other in self.rejections if other != rejected]

    # --- copies and new identities [I2] ---

    def copied(self) -> MemoryStore:
        """The same store in another place, as `cp -r` or a backup makes it. Both think that they are it."""
        found = MemoryStore(self.origin, self._rules)
        found.previous, found.log, found.heads = list(self.previous), list(self.log), dict(self.heads)
        found.feed, found.decisions = self.feed.copied(), dict(self.decisions)
        found.former_feeds = {origin: feed.copied() for origin, feed in self.former_feeds.items()}
        found.mirrors = {origin: mirror.copied() for origin, mirror in self.mirrors.items()}
        found.rejections, found.accepts, found._c = list(self.rejections), list(self.accepts), self._c
        return found

    def renew(self, origin: str, at: int | None = None) -> list[Line]:
        """Go on under a new origin; what was written after seq `at` under the old one is written anew."""
        at = self.last_seq if at is None else at
        former = {line.origin for line in self.log} | {self.origin}
        self.former_feeds[self.origin], self.feed = self.feed, Feed(at)
        self.previous = leave(self.previous, Previous(self.origin, at, "", ""))
        self.origin, self._machine = origin, cast("Machine", _Clockwork(origin))
        told = []
        for key, (head, line) in list(self.heads.items()):
            if line.record.seq <= at:
                continue
            kept = {name: self._newest_own(name, key) for name, seq in head.context.items() if self._is_left(name, seq)}
            draft = self._rules.taken_over(head, line.record.payload_bytes, kept)
            truth = frozenset(ref for ref in line.truth if ref.origin not in former or not self._is_left(*ref))
            told.append(self._append(draft, truth, lied=line.lied))
        return told

    def adopted(self, origin: str) -> tuple[MemoryStore, list[Line]]:
        """A store from the entity files of this one, as a git clone has them: nothing else is known to it."""
        found = MemoryStore(origin, self._rules)
        live = [held for held in self.heads.values() if not held.head.deleted and not held.head.private]
        return found, [found.say_again(held) for held in live]

    def say_again(self, held: Held) -> Line:
        """An unmodified copy of the version that a head shows."""
        draft = Draft(
            "delete" if held.head.deleted else "backfill",
            *held.line.key,
            held.line.record.payload_bytes,
            root=str(held.head.version),
            context=held.head.context,
            claims=held.head.claims,
        )
        return self._append(draft, held.line.truth, lied=held.line.lied)

    def _is_left(self, origin: str, seq: int) -> bool:
        """Whether a seq of a former origin stands in our log and is not ours any more."""
        return seq <= len(self.log) and self.log[seq - 1].origin == origin and not is_own(self.previous, origin, seq)

    def _newest_own(self, origin: str, key: Key) -> int:
        found = [line for line in self.log if line.key == key and changes_entity(line) and line.foreign.root is None]
        mine = [line.record.seq for line in found if line.origin == origin and self.is_self(origin, line.record.seq)]
        return max(mine, default=0)

    def republish(self) -> list[Line]:
        """Show again, as copies, what stands in the feeds of former origins only: live entities, unseen deletions."""
        return [
            self.say_again(held)
            for held in list(self.heads.values())
            if held.line.origin != self.origin
            and not held.head.private
            and not (held.head.deleted and self.shown(held.line.record.seq))
        ]

    def _append(self, draft: Draft, truth: Truth, *, lied: bool = False) -> Line:
        found = seal(
            [draft],
            origin=self.origin,
            last_seq=self.last_seq,
            last_c=self._c,
            author=Author(),
            machine=self._machine,
            head=self.head,
        )[0]
        self._c = found.c
        return self.keep(found.record, found.line, truth, lied=lied)

    def keep(self, record: Record, data: bytes, truth: Truth, *, lied: bool) -> Line:
        """Take a sealed record into the log, and what it makes of its entity."""
        if record.root is None:  # an origin's version has seen those before it, also one that was undone
            truth |= {Ref(self.origin, record.seq), *self._own_versions(record)}
        line = Line(self.origin, record, foreign_head(self.origin, record), truth, lied)
        self.log.append(line)
        if changes_entity(line):
            held = self.heads.get(line.key)
            line = line._replace(lied=lied or (held is not None and held.line.lied))
            self.log[-1] = line
            entry = Entry(JournalLine(0, data, bytes.fromhex(record.c), True), record, False)
            self.heads[line.key] = Held(head_of(entry, 1, self.origin), line)
        return line

    def _own_versions(self, record: Record) -> Iterator[Ref]:
        key = (record.item_type, record.item_id)
        mine = (line for line in self.log if line.origin == self.origin and line.key == key and changes_entity(line))
        return (Ref(line.origin, line.record.seq) for line in mine if line.foreign.root is None)

    def forge(self, draft: Draft, context: Mapping[str, int] | None, claims: Mapping[str, int]) -> Line:
        """A record that says of its context whatever a liar likes; it includes itself and nothing else."""
        seq = self.last_seq + 1
        record = Record(
            v=2,
            seq=seq,
            ts=self._machine.now(),
            writer=self._machine.writer,
            agent="liar",
            action=draft.action,
            item_type=draft.item_type,
            item_id=draft.item_id,
            entity_rev=1,
            cause=draft.cause,
            root=draft.root,
            context=None if context is None else dict(context),
            claims=dict(claims) or None,
            payload=msgspec.UNSET if draft.payload is None else msgspec.Raw(draft.payload),
            salt=self._machine.salt(),
            c=f"{seq:04x}" + self.origin[3:7].encode().hex() + "0" * 52,
        )
        return self.keep(record, b"", frozenset([Ref(self.origin, seq)]), lied=True)

    @property
    def last_seq(self) -> int:
        """Of the log."""
        return len(self.log)

    def head(self, item_type: str, item_id: str) -> LocalHead | None:
        """The local head as the journal has it."""
        held = self.heads.get((item_type, item_id))
        return None if held is None else held.head

    # --- sharing ---

    def publish(self, withheld: frozenset[str] = frozenset()) -> bool:
        """Show what is new but private entities and withheld types, for good [F1]; False when nothing is new."""
        new = self.log[self.feed.last_seq :]
        if not new:
            return False
        private = {line.key: line.record.private for line in new}
        for line in new:
            withheld_now = line.record.private or private[line.key] or line.record.item_type in withheld
            if line.origin == self.origin and not withheld_now:
                self.feed.lines[line.record.seq] = line
        self.feed.states.append(self.last_seq)
        return True

    def take(self, origin: str, lines: Mapping[int, Line], last_seq: int) -> bool:
        """Take a state of a feed into the mirror; an older one than we hold is stale and changes nothing [F5].

        What is ours under a former origin makes no candidate [F8].
        """
        mirror = self.mirrors.get(origin) or Mirror()
        if last_seq <= mirror.pin or origin == self.origin:
            return False
        self.mirrors[origin] = mirror
        for seq in range(mirror.pin + 1, last_seq + 1):
            if seq in lines:
                mirror.lines[seq] = lines[seq]
                if changes_entity(lines[seq]) and not self.is_self(origin, seq):
                    mirror.newest[lines[seq].key] = lines[seq]
        mirror.pin = last_seq
        return True

    # --- judging ---

    def rows(self) -> Iterator[Line]:
        """The newest record of every foreign entity, by origin and seq."""
        for _, mirror in sorted(self.mirrors.items()):
            yield from sorted(mirror.newest.values(), key=lambda line: line.foreign.seq)

    def judge(self, line: Line) -> Judgement:
        """The verdict on one row [K3]."""
        held = self.heads.get(line.key)
        return self._rules.judge(
            line.foreign,
            held.head if held else None,
            decided=any(self._rules.covers(decided, shown, line) for decided, shown in self.decisions.items()),
            same_payload=lambda: held is not None and same_payload(held.line, line),
            facts=self._facts,
        )

    # --- facts [K4] ---

    def is_self(self, origin: str, seq: int) -> bool:
        """Whether a record is ours."""
        return origin == self.origin or is_own(self.previous, origin, seq)

    def shown(self, seq: int) -> bool:
        """Whether our feed shows it; of a former origin whether our feed did, or the one that went on under it."""
        origin = next((entry.origin for entry in self.previous if seq <= entry.last_seq), self.origin)
        if origin == self.origin:
            return seq in self.feed.lines
        return seq in self.former_feeds[origin].lines or (origin in self.mirrors and seq in self.mirrors[origin].lines)

    def undone(self, origin: str, seq: int, item_type: str, item_id: str) -> bool:
        """Whether an accept of ours made that version of the entity."""
        if not self.is_self(origin, seq) or not 0 < seq <= len(self.log):
            return False
        line = self.log[seq - 1]
        is_version = line.origin == origin and _is_version_of(line, (item_type, item_id))
        return is_version and line.record.cause is not None

    def pin(self, origin: str) -> int:
        """Up to where our mirror of an origin goes."""
        return self.mirrors[origin].pin if origin in self.mirrors else 0

    def newest_version(self, origin: str, item_type: str, item_id: str) -> int:
        """The newest authored version by an origin that its newest record in our mirror includes."""
        line = self.mirrors[origin].newest.get((item_type, item_id)) if origin in self.mirrors else None
        newest = 0 if line is None else line.foreign.full_context.get(origin, 0)
        if line is None or newest > line.foreign.seq:
            return 0
        return 0 if self.is_version(origin, newest, item_type, item_id) is False else newest

    def is_version(self, origin: str, seq: int, item_type: str, item_id: str) -> bool | None:
        """Whether a mirrored record is an authored version of the entity; None where the feed does not show it."""
        line = self.mirrors[origin].lines.get(seq) if origin in self.mirrors else None
        if line is None:
            return None
        return _is_version_of(line, (item_type, item_id))

    def is_copy(self, foreign: ForeignHead) -> bool | None:
        """Whether a copy is the record it names; None where our mirror does not show that one."""
        root, key = foreign.version, (foreign.item_type, foreign.item_id)
        line = self.mirrors[root.origin].lines.get(root.seq) if root.origin in self.mirrors else None
        if line is None:
            return None
        copy = self.mirrors[foreign.origin].newest[key]
        return line.own == root and _is_version_of(line, key) and same_payload(line, copy)


def reaches_nothing(line: Line) -> bool:
    """Whether this is the tombstone of an accept that was undone: it names what was accepted, and does not reach it."""
    foreign, root = line.foreign, line.foreign.root
    if root is None or not foreign.tombstone:
        return False
    return max(foreign.full_context.get(root.origin, 0), foreign.claims.get(root.origin, 0)) < root.seq


def covering(line: Line) -> tuple[Version, Version]:
    """The versions on which a decision settles this row: the one it shows, and this very record of it."""
    return line.foreign.version, line.own


def _is_version_of(line: Line, key: Key) -> bool:
    return changes_entity(line) and line.foreign.root is None and line.key == key


def foreign_head(origin: str, record: Record) -> ForeignHead:
    """A record as other stores read it."""
    return ForeignHead(
        origin,
        record.item_type,
        record.item_id or "",
        record.seq,
        record.c,
        record.action_class is ActionClass.TOMBSTONE,
        None if record.root is None else Version.parse(record.root),
        record.context,
        record.claims or {},
    )


def changes_entity(line: Line) -> bool:
    """Whether a record is a new head of its entity, live or tombstone [J2]."""
    return line.record.action_class in (ActionClass.STATE, ActionClass.TOMBSTONE)


def shows_the_same(one: Line, other: Line) -> bool:
    """Whether two records of an entity leave it the same."""
    return one.foreign.tombstone == other.foreign.tombstone and same_payload(one, other)


def same_payload(one: Line, other: Line) -> bool:
    """Whether two live entities are the same; payloads of the model are written in one way only."""
    return one.record.payload_bytes == other.record.payload_bytes
