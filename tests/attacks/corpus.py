"""The corpus: what a hostile place, a stranger, or the owner of a key may show to a reader, and what must come of it.

A table. Each attack is one feed, shown to a reader that holds an honest one under the same origin, or none. `playing`
tells how it went.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from eventsync import exits
from federation.model import HEAD_FILE, MAX_HEAD_BYTES, Result
from federation.packing import pack
from journal import stub
from tests.integration.forger import Forged, Forger

Build = Callable[[Forger], Forged]


class Attack(NamedTuple):
    """One hostile feed. `build` gets a forger that already signed what the reader holds, if it holds anything."""

    name: str  # unique, in a few words
    kind: str  # as docs/security.md groups them
    by: Literal["place", "owner"]  # who can do it: whoever runs the place, or only who has the private key
    build: Build
    result: Result
    code: int  # of a pull that meets nothing else
    words: str  # in what the person is told
    rule: str = "F5"
    pinned: bool = True  # whether the reader holds a feed of this origin before


def honest(pinned: bool = True) -> Forger:
    """What was signed before: two records, three that nobody sees, two records. Without a pin it is still the same."""
    forger = Forger()
    for name in ("p1", "p2"):
        forger.record(name)
    forger.skip(3)
    for name in ("p6", "p7"):
        forger.record(name)
    return forger


def held_feed(forger: Forger) -> Forged:
    """The honest feed that the reader holds; its gen leaves room below."""
    return forger.feed(gen=5, cuts=[2])


def good_news(forger: Forger) -> Forged:
    """An honest feed that goes on from what was held."""
    forger.record("news")
    return forger.feed(gen=99, cuts=[2, 5])


# --- how it is made --------------------------------------------------------------------------------------------------


def _with(found: Forged, **files: bytes | None) -> Forged:
    """A feed with one file of it replaced or taken away; `head` is its head, `last` its last slice."""
    names = {"head": HEAD_FILE, "last": found.slices[-1], "first": found.slices[0]}
    changed: dict[str, bytes | None] = {names[name]: data for name, data in files.items()}
    kept = {name: data for name, data in found.files.items() if name not in changed}
    return found._replace(files=kept | {name: data for name, data in changed.items() if data is not None})


def _news(forger: Forger, **settings: Any) -> Forged:
    """Good news, but for what is said otherwise."""
    forger.record("news")
    return forger.feed(gen=6, cuts=[2, 5], **settings)


def _part(forger: Forger, keep: int) -> Forger:
    other = forger.copy()
    del other.lines[keep:]
    return other


def _body(forger: Forger, lines: Sequence[bytes]) -> Forged:
    """One slice of these lines, signed under a head that says what the honest ones come to."""
    return forger.feed(gen=6, bodies={0: b"".join(line + b"\n" for line in lines)})


def _lines(forger: Forger) -> list[bytes]:
    forger.record("news")
    return [line.data for line in forger.lines]


# --- rollback and freeze ---------------------------------------------------------------------------------------------


def older_feed(forger: Forger) -> Forged:
    return _part(forger, 2).feed(gen=1)


def older_feed_signed_anew(forger: Forger) -> Forged:
    return _part(forger, 2).feed(gen=77)


def older_gen(forger: Forger) -> Forged:
    return forger.feed(gen=4)


def the_same_for_ever(forger: Forger) -> Forged:
    return held_feed(forger)


# --- forks -----------------------------------------------------------------------------------------------------------


def another_record_at_the_end(forger: Forger) -> Forged:
    other = _part(forger, 4)
    other.record("other")
    return other.feed(gen=6)


def another_record_in_between(forger: Forger) -> Forged:
    other = _part(forger, 1)
    for name in ("o2", "o3", "o4", "o5", "o6", "o7", "o8"):
        other.record(name)
    return other.feed(gen=6, cuts=[3])


def another_history_with_an_older_gen(forger: Forger) -> Forged:
    other = _part(forger, 1)
    other.record("other")
    return other.feed(gen=1)


def another_transcript(forger: Forger) -> Forged:
    return forger.feed(gen=6, t="0" * 64)


def another_start(forger: Forger) -> Forged:
    label = [{"origin": "es1" + "a" * 32, "last_seq": 1, "c": "0" * 64, "t": "0" * 64}]
    moved = Forger(7, start=(1, forger.lines[0].after.c), previous=label)
    moved.lines = forger.lines[1:]
    moved.record("news")
    return moved.feed(gen=6)


# --- mix and match ---------------------------------------------------------------------------------------------------


def new_head_over_old_slices(forger: Forger) -> Forged:
    old = held_feed(forger)
    return _with(_news(forger), last=None)._replace(files={**old.files, HEAD_FILE: _news(forger).files[HEAD_FILE]})


def slice_of_another_history(forger: Forger) -> Forged:
    other = forger.copy()
    other.record("other")
    found = _news(forger)
    wrong = other.feed(gen=6, cuts=[2, 5])
    return _with(found, last=wrong.files[wrong.slices[-1]])


def slices_with_their_names_exchanged(forger: Forger) -> Forged:
    forger.record("news")
    forger.record("more")
    found = forger.feed(gen=6, cuts=[5, 6])
    first, second = found.slices[-2:]
    files = {**found.files, first: found.files[second], second: found.files[first]}
    return found._replace(files=files)


# --- forged origins --------------------------------------------------------------------------------------------------


def head_signed_by_another_key(forger: Forger) -> Forged:
    found = _news(forger)
    return _with(found, head=Forger(8).signed(found.head))


def head_changed_after_signing(forger: Forger) -> Forged:
    found = _news(forger)
    return _with(found, head=found.files[HEAD_FILE].replace(b'"gen":6', b'"gen":7'))


def key_of_another_in_the_head(forger: Forger) -> Forged:
    return _news(forger, public_key=base64.b64encode(Forger(8).public_key).decode())


def feed_of_another_origin(forger: Forger) -> Forged:
    other = Forger(8)
    other.record("p1")
    return other.feed(gen=6)._replace(origin=forger.origin)


def no_head_at_all(forger: Forger) -> Forged:
    return _with(_news(forger), head=b'{"head":{},"signature":""}')


def head_of_nested_brackets(forger: Forger) -> Forged:
    return _with(_news(forger), head=b"[" * 200_000)


def head_that_is_too_large(forger: Forger) -> Forged:
    found = _news(forger)
    return _with(found, head=found.files[HEAD_FILE] + b" " * MAX_HEAD_BYTES)


def head_of_a_later_format(forger: Forger) -> Forged:
    return _news(forger, format=2)


def start_that_is_none(forger: Forger) -> Forged:
    return _news(forger, start={"seq": 0, "c": "0" * 64})


# --- truncated, reordered, overlapping -------------------------------------------------------------------------------


def slice_missing(forger: Forger) -> Forged:
    return _with(_news(forger), last=None)


def slice_cut_short(forger: Forger) -> Forged:
    found = _news(forger)
    return _with(found, last=found.files[found.slices[-1]][:-9])


def slice_with_a_bit_turned(forger: Forger) -> Forged:
    found = _news(forger)
    data = bytearray(found.files[found.slices[-1]])
    data[len(data) // 2] ^= 1
    return _with(found, last=bytes(data))


def slice_that_unpacks_to_much(forger: Forger) -> Forged:
    return _with(_news(forger), last=pack(bytes(64 * 1024 * 1024)))


def lines_cut_off_and_signed(forger: Forger) -> Forged:
    return _body(forger, _lines(forger)[:-1])


def lines_in_another_order(forger: Forger) -> Forged:
    *lines, before, last = _lines(forger)
    return _body(forger, [*lines, last, before])


def line_left_out(forger: Forger) -> Forged:
    first, _, *rest = _lines(forger)
    return _body(forger, [first, *rest])


def line_twice(forger: Forger) -> Forged:
    lines = _lines(forger)
    return _body(forger, [*lines, lines[-1]])


def slices_listed_in_another_order(forger: Forger) -> Forged:
    return _news(forger, change=lambda head: head["slices"].reverse())


def overlapping_slices(forger: Forger) -> Forged:
    def overlap(head: dict[str, Any]) -> None:
        head["slices"].append(head["slices"][-1])

    return _news(forger, change=overlap)


def slice_left_out_of_the_head(forger: Forger) -> Forged:
    def leave_out(head: dict[str, Any]) -> None:
        del head["slices"][1]

    return _news(forger, change=leave_out)


def slice_name_that_climbs(forger: Forger) -> Forged:
    def climb(head: dict[str, Any]) -> None:
        head["slices"][-1]["name"] = "../../../../../../tmp/evil"

    return _news(forger, change=climb)


# --- what was shown is hidden ----------------------------------------------------------------------------------------


def skip_over_the_end(forger: Forger) -> Forged:
    other = _part(forger, 4)
    other.skip(9)
    return other.feed(gen=6)


def skip_in_place_of_a_shown_record(forger: Forger) -> Forged:
    lines = _lines(forger)
    lines[1] = b'{"v":2,"skip":[2,2],"c":"%s"}' % forger.lines[1].after.c.hex().encode()
    return _body(forger, lines)


def skip_that_overlaps(forger: Forger) -> Forged:
    lines = _lines(forger)
    lines[-1] = b'{"v":2,"skip":[7,8],"c":"%s"}' % forger.state.c.hex().encode()
    return _body(forger, lines)


def stub_that_nobody_listed(forger: Forger) -> Forged:
    lines = _lines(forger)
    lines[1] = stub(lines[1])
    return _body(forger, lines)


def stub_listed_by_the_head_alone(forger: Forger) -> Forged:
    lines = _lines(forger)
    lines[1] = stub(lines[1])
    forger.redacted = [2]
    return _body(forger, lines)


def stub_listed_with_another_digest(forger: Forger) -> Forged:
    forger.redact(2, listed={2: b"another stub"})
    return forger.feed(gen=6)


def content_changed_in_place(forger: Forger) -> Forged:
    lines = _lines(forger)
    lines[0] = lines[0].replace(b'"title":"p1', b'"title":"px')
    return _body(forger, lines)


_DONE, _REFUSED, _WAIT = exits.DONE, exits.FOREIGN_REFUSED, exits.UNAVAILABLE
_FORK = (Result.FORK, _REFUSED)
_NO = (Result.REFUSED, _REFUSED)
_LATER = (Result.INCOMPLETE, _WAIT)
_OLD = (Result.STALE, _DONE)

ATTACKS: Final[Sequence[Attack]] = (
    Attack("an older state of the feed", "rollback", "place", older_feed, *_OLD, "older than what we hold"),
    Attack(
        "an older state, signed anew", "rollback", "owner", older_feed_signed_anew, *_OLD, "older than what we hold"
    ),
    Attack("an older gen over the same records", "rollback", "place", older_gen, *_OLD, "older than what we hold"),
    Attack("the same feed for ever", "freeze", "place", the_same_for_ever, Result.UP_TO_DATE, _DONE, ""),
    Attack("another record at the end", "fork", "owner", another_record_at_the_end, *_FORK, "other content"),
    Attack("another record in between", "fork", "owner", another_record_in_between, *_FORK, "slice header"),
    Attack("another history, older gen", "fork", "owner", another_history_with_an_older_gen, *_FORK, "other content"),
    Attack("another transcript", "fork", "owner", another_transcript, *_FORK, "other content"),
    Attack("another start", "fork", "owner", another_start, *_FORK, "starts elsewhere"),
    Attack("a new head over old slices", "mix and match", "place", new_head_over_old_slices, *_LATER, "missing"),
    Attack("a slice of another history", "mix and match", "place", slice_of_another_history, *_LATER, "does not match"),
    Attack(
        "slices with exchanged names", "mix and match", "place", slices_with_their_names_exchanged, *_LATER, "not match"
    ),
    Attack("a head signed by another key", "forged origin", "place", head_signed_by_another_key, *_NO, "signature"),
    Attack("a head changed after signing", "forged origin", "place", head_changed_after_signing, *_NO, "signature"),
    Attack("the key of another in the head", "forged origin", "place", key_of_another_in_the_head, *_NO, "signature"),
    Attack("the feed of another origin", "head for another origin", "place", feed_of_another_origin, *_NO, "another"),
    Attack("no head at all", "forged origin", "place", no_head_at_all, *_NO, "not a head", "F2"),
    Attack("a head of nested brackets", "forged origin", "place", head_of_nested_brackets, *_NO, "not a head", "F2"),
    Attack("a head that is too large", "forged origin", "place", head_that_is_too_large, *_LATER, "head.json"),
    Attack(
        "a head of a later format",
        "forged origin",
        "owner",
        head_of_a_later_format,
        Result.REFUSED,
        exits.TOO_NEW,
        "format 2",
        "F2",
    ),
    Attack("a start that is none", "forged origin", "owner", start_that_is_none, *_NO, "start.c"),
    Attack("a slice that is missing", "truncated", "place", slice_missing, *_LATER, "missing"),
    Attack("a slice cut short", "truncated", "place", slice_cut_short, *_LATER, "does not match"),
    Attack("a slice with a bit turned", "truncated", "place", slice_with_a_bit_turned, *_LATER, "does not match"),
    Attack("a slice that unpacks to much", "truncated", "place", slice_that_unpacks_to_much, *_LATER, "not match"),
    Attack("lines cut off and signed", "truncated", "owner", lines_cut_off_and_signed, *_FORK, "its name says"),
    Attack("lines in another order", "reordered", "owner", lines_in_another_order, *_FORK, "line we hold"),
    Attack("a line left out", "reordered", "owner", line_left_out, *_FORK, "line we hold"),
    Attack("a line twice", "reordered", "owner", line_twice, *_FORK, "expected"),
    Attack("slices in another order", "reordered", "owner", slices_listed_in_another_order, *_NO, "slices", "F2"),
    Attack("overlapping slices", "overlapping slices", "owner", overlapping_slices, *_NO, "slices", "F2"),
    Attack("a slice left out", "overlapping slices", "owner", slice_left_out_of_the_head, *_NO, "slices", "F2"),
    Attack("a slice name that climbs", "overlapping slices", "owner", slice_name_that_climbs, *_NO, "", "F2"),
    Attack("a skip over the end", "hidden by skips", "owner", skip_over_the_end, *_FORK, ""),
    Attack(
        "a skip in place of a record",
        "hidden by skips",
        "owner",
        skip_in_place_of_a_shown_record,
        *_FORK,
        "line we hold",
    ),
    Attack("a skip that overlaps", "hidden by skips", "owner", skip_that_overlaps, *_FORK, "skip"),
    Attack("a stub that nobody listed", "stubs", "owner", stub_that_nobody_listed, *_FORK, "line we hold"),
    Attack(
        "a stub that only the head lists", "stubs", "owner", stub_listed_by_the_head_alone, *_LATER, "no record", "F9"
    ),
    Attack("a stub with another digest", "stubs", "owner", stub_listed_with_another_digest, *_FORK, "stub", "F9"),
    Attack("content changed in place", "fork", "owner", content_changed_in_place, *_FORK, "line we hold"),
)

# Without a pin nothing is contradicted: what cannot be true by itself is refused, the rest is a feed like any other.
_FIRST_SIGHT: Final[Mapping[Result, Result]] = {Result.FORK: Result.REFUSED}
_TRUE_BY_ITSELF: Final = frozenset(["rollback", "freeze"])
_TRUE_WITHOUT_PIN: Final = frozenset(
    [
        "another record at the end",
        "another record in between",
        "another history, older gen",
        "another start",
        "a skip over the end",
    ]
)
FIRST_SIGHT: Final[Sequence[Attack]] = tuple(
    attack._replace(
        name=f"{attack.name}, at first sight",
        result=_FIRST_SIGHT.get(attack.result, attack.result),
        words="" if attack.result is Result.FORK else attack.words,
        pinned=False,
    )
    for attack in ATTACKS
    if attack.kind not in _TRUE_BY_ITSELF and attack.name not in _TRUE_WITHOUT_PIN
)

EVERYTHING: Final = (*ATTACKS, *FIRST_SIGHT)
