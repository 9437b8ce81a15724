"""Resolving: a person settles a candidate by hand, in an editor.

The lock is not held while somebody thinks: what was shown is compared with what is there when they are done. Whatever
fails, nothing is written, and what was typed is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventsync.editor import edited
from federation.errors import CandidateMoved, ConflictUndecided
from federation.merging import left_undecided, marked
from federation.model import DecisionReport, Verdict
from journal import check_item_id, check_item_type

if TYPE_CHECKING:
    from eventsync.app import Surroundings
    from eventsync.sharing import Sharing


def accept_by_hand(found: Sharing, around: Surroundings, candidate: str, digest: str | None) -> DecisionReport:
    """Accept what a person makes of local and foreign, put together as far as that goes.

    ConflictUndecided when a marked place is left, CandidateMoved when candidate or entity changed meanwhile,
    EditorFailed, InvalidInput: nothing is written. Other errors as `Deciding.accept`.
    """
    found.store.refuse_when_copied()  # rather now than after an hour in the editor
    found.holdings.look()
    deciding = found.deciding(around.agent)
    seen = found.inbox.diff(candidate)
    if digest is not None and not seen.candidate.digest.startswith(digest):
        raise CandidateMoved(f"{seen.candidate.id} is another record now: seq {seen.candidate.seq}", rule="K5")
    merged = seen.merged
    if merged is None or seen.candidate.verdict in (Verdict.KNOWN, Verdict.UNREADABLE):
        return deciding.accept([candidate], digest=digest)  # there is nothing to edit: it says why
    name = f"{check_item_type(seen.candidate.item_type)}-{check_item_id(seen.candidate.item_id)}"
    text, mark = marked(merged)
    with edited(around.editor, text, name) as payload:
        undecided = left_undecided(payload, mark)
        if undecided:
            raise ConflictUndecided(f"{seen.candidate.id}: still undecided: {', '.join(undecided)}", rule="K5")
        return deciding.accept_edited(seen, payload)
