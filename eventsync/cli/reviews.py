"""The command that goes through the inbox with a person, one question after the other: review.

A key answers each. What is written is what accept, reject, snooze and inbox undo write, with the digest of what was
shown; whoever stops goes on later, since all that was decided is decided.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

import click

from eventsync import inbox_report, report
from eventsync.cli.commands import Command, opened_store, pass_console
from eventsync.cli.console import Console
from eventsync.errors import EditorFailed, InvalidArgument
from eventsync.resolving import accept_by_hand
from eventsync.sharing import Sharing, sharing
from eventsync.times import after_span
from federation.errors import CandidateMoved, DecisionNeeded
from federation.grouping import Offer
from federation.inbox import Difference, Filter
from federation.model import OPEN_VERDICTS, DecisionReport, Resolution, Verdict
from journal import InvalidInput

_SNOOZED_FOR: Final = "1d"
_KEYS: Final[Mapping[str, str]] = {
    "a": "accept",
    "m": "merge",
    "t": "theirs",
    "e": "edit",
    "r": "reject",
    "z": "snooze for a day",
    "s": "skip",
    "u": "undo the last one",
    "q": "quit",
}


@click.command("review", cls=Command, example="eventsync review\n    eventsync review --origin laptop")
@click.option("--origin", metavar="ORIGIN", help="Only of one origin: its id, a beginning of it, or its name.")
@click.option("--type", "item_type", metavar="TYPE", help="Only of one item type.")
@pass_console
def review(console: Console, origin: str | None, item_type: str | None) -> None:
    """Go through the inbox one by one, and answer each with a key.

    For a person at a terminal. What is held or snoozed is passed over; what several origins offer alike is asked once.
    """
    if not console.can_ask:
        raise InvalidArgument("review is for a person at a terminal; `eventsync inbox --json` is for programs")
    with opened_store(console) as store, sharing(store) as found:
        store.refuse_when_copied()
        found.holdings.look()
        wanted = Filter(found.origin_named(origin), item_type)
        Review(console, found, wanted).run()


class Review:
    """One walk through the inbox."""

    def __init__(self, console: Console, found: Sharing, wanted: Filter) -> None:
        self._console, self._found = console, found
        self._deciding = found.deciding(console.around.agent)
        candidates = [one for one in found.inbox.candidates(wanted) if not one.held and one.snoozed is None]
        self._offers = found.inbox.offers_of(one for one in candidates if one.verdict in OPEN_VERDICTS)
        self._decided: list[tuple[int, str]] = []  # which offer, and how
        self._last_seq: int | None = None  # of the last answer, as long as it can be taken back

    def run(self) -> None:
        """Ask until all is asked, or the person stops; then say what it came to."""
        at = 0
        while at < len(self._offers):
            seen = self._found.inbox.diff(self._offers[at].lead.id)
            if seen.candidate.verdict not in OPEN_VERDICTS:  # settled by an answer before
                at += 1
                continue
            self._show(at, self._offers[at], seen)
            key = self._console.key(self._keys(seen))
            if key == "q":
                break
            at = self._answered(key, at, seen)
        self._tell_end()

    def _show(self, at: int, offer: Offer, seen: Difference) -> None:
        sources = inbox_report.sources_of(offer)
        self._console.note("")
        self._console.note(f"{at + 1} of {len(self._offers)}, from {sources}")
        self._console.answer_styled(inbox_report.diff_lines(seen))

    def _keys(self, seen: Difference) -> dict[str, str]:
        """What can be done about one; a conflict is never taken as it is."""
        conflict, unreadable = (seen.candidate.verdict is verdict for verdict in (Verdict.CONFLICT, Verdict.UNREADABLE))
        without = set("amet" if unreadable else "a" if conflict else "mt") | set("" if self._last_seq else "u")
        return {key: text for key, text in _KEYS.items() if key not in without}

    def _answered(self, key: str, at: int, seen: Difference) -> int:
        """Do what a key says; which offer comes next. What cannot be done is told, and asked again."""
        if key == "s":
            return at + 1
        try:
            decided = self._verbs(seen)[key]()
        except (CandidateMoved, DecisionNeeded, InvalidInput, EditorFailed) as error:
            self._console.alarm(str(error))
            return at
        for record in decided.written:
            self._console.note(report.written_line(record))
        if key == "u":
            self._last_seq = None
            return self._decided.pop()[0]
        if decided.written:
            self._last_seq = decided.written[-1].seq
            self._decided.append((at, _KEYS[key].split()[0]))
        return at + 1

    def _verbs(self, seen: Difference) -> Mapping[str, Callable[[], DecisionReport]]:
        wanted, digest, deciding = [seen.candidate.id], seen.candidate.digest, self._deciding
        until = after_span(_SNOOZED_FOR, self._found.store.machine.now())
        return {
            "a": lambda: deciding.accept(wanted, digest=digest),
            "m": lambda: deciding.accept(wanted, Resolution.MERGE, digest=digest),
            "t": lambda: deciding.accept(wanted, Resolution.THEIRS, digest=digest),
            "e": lambda: accept_by_hand(self._found, self._console.around, wanted[0], digest),
            "r": lambda: deciding.reject(wanted, digest=digest),
            "z": lambda: deciding.snooze(wanted, until, digest=digest),
            "u": lambda: deciding.undo(self._last_seq),
        }

    def _tell_end(self) -> None:
        counts = Counter(how for _, how in self._decided)
        told = [f"{count} by {how}" for how, count in counts.items()]
        opened, held = self._found.pending()
        self._console.note("")
        self._console.note(f"decided: {', '.join(told) or 'nothing'}; {opened - held} open, {held} held")
