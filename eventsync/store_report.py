"""Store report: what commands on the store as a whole come to, as JSON documents or lines of text.

Pure, as `report` is; every word that a record, a file name or a person brought in has passed `text`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from eventsync.report import Document, count_of
from eventsync.text import clean, pad

if TYPE_CHECKING:
    from pathlib import Path

    from eventsync.app import StoreFacts
    from eventsync.renewing import Prospect, Renewal
    from journal import Adopted, Archived, Finding, LeftOut, Taken

# --- JSON -------------------------------------------------------------------------------------------------------------


def findings_document(findings: Sequence[Finding], ok: object) -> Document:
    """What verify found; doctor prints the same shape."""
    rows = [
        {
            "id": finding.id,
            "severity": str(finding.severity),
            "message": finding.message,
            "path": None if finding.path is None else str(finding.path),
            "line": finding.line,
            "seq": finding.seq,
            "fixable": finding.fixable,
        }
        for finding in findings
    ]
    return {"ok": bool(ok), "findings": rows}


def checkpoint_document(taken: Taken) -> Document:
    """A checkpoint that was made, or was there."""
    return {
        "seq": taken.seq,
        "path": str(taken.path),
        "blake3": taken.digest,
        "entities": taken.counts.entities,
        "decisions": taken.counts.decisions,
        "written": taken.is_new,
    }


def archived_document(done: Archived) -> Document:
    """What a gc put aside."""
    return {
        "moved": [segment.path.name for segment in done.moved],
        "live": done.live,
        "archived": done.archived,
        "behind_seq": done.behind_seq,
    }


def made_document(facts: StoreFacts, adopted: Adopted | None) -> Document:
    """What init made."""
    return {
        "origin_store_id": facts.origin,
        "name": facts.name,
        "path": str(facts.path),
        "adopted": None if adopted is None else adopted.taken,
        "left": [{"path": str(found.path), "reason": found.reason} for found in (adopted.left if adopted else ())],
    }


def identity_document(facts: StoreFacts) -> Document:
    """Who a store is."""
    return {
        "origin_store_id": facts.origin,
        "name": facts.name,
        "public_key": facts.public_key,
        "created_at": facts.created_at,
        "path": str(facts.path),
        "private_key_path": str(facts.private_key_path),
        "private_key_here": facts.private_key_here,
        "moved": list(facts.moved),
        "previous": [{"origin": p.origin, "last_seq": p.last_seq, "c": p.c, "t": p.t} for p in facts.previous],
    }


def renewal_document(renewed: Renewal, behind: int) -> Document:
    """What a new identity left, and what was written because of it."""
    return {
        "origin_store_id": renewed.origin,
        "left": {"origin_store_id": renewed.left_origin, "last_seq": renewed.left_at},
        "rewritten": renewed.rewritten,
        "republished": renewed.republished,
        "behind": behind,
    }


# --- text -------------------------------------------------------------------------------------------------------------


def finding_line(finding: Finding) -> str:
    """One finding: how bad, where, what."""
    where = "" if finding.path is None else f"{finding.path}{'' if finding.line is None else f':{finding.line}'}: "
    seq = "" if finding.seq is None else f" (seq {finding.seq})"
    return clean(f"{finding.severity}: {where}{finding.message}{seq}")


def findings_line(findings: Sequence[Finding]) -> str:
    """The last line of verify."""
    counts = {name: sum(1 for f in findings if str(f.severity) == name) for name in ("error", "warning")}
    return "ok" if not any(counts.values()) else ", ".join(count_of(n, name) for name, n in counts.items() if n)


def checkpoint_line(taken: Taken) -> str:
    """A checkpoint that was made, or was there."""
    what = "checkpoint" if taken.is_new else "nothing is new since the checkpoint"
    return f"{what} at seq {taken.seq}: {taken.counts.entities} entities, {taken.counts.decisions} decisions"


def archived_line(done: Archived) -> str:
    """What a gc put aside, or why nothing."""
    there = f"{count_of(done.live, 'segment')} live, {done.archived} in the archive"
    if done.behind_seq is None:
        return f"nothing moved: there are not two checkpoints yet that can be relied on; {there}"
    return f"{count_of(len(done.moved), 'segment')} moved behind the checkpoint at seq {done.behind_seq}; {there}"


def identity_lines(facts: StoreFacts) -> Iterator[str]:
    """Who a store is, for people."""
    from journal import moved_words

    key = str(facts.private_key_path)
    rows = [
        ("origin", facts.origin),
        ("name", facts.name),
        ("made", facts.created_at),
        ("path", str(facts.path)),
        ("public key", facts.public_key),
        ("private key", key if facts.private_key_here else f"not on this machine; it was kept as {key}"),
        ("place", "as it was" if not facts.moved else f"not as it was: {moved_words(facts.moved)}"),
        *(("previous", f"{previous.origin} up to seq {previous.last_seq}") for previous in facts.previous),
    ]
    for name, value in rows:
        yield f"{pad(name, 13)}{clean(value)}"


def made_line(origin: str, path: Path) -> str:
    """What init made."""
    return clean(f"store {origin} made in {path}")


def adopted_line(count: int) -> str:
    """What init found of another store."""
    return f"{count_of(count, 'entity')} taken over from the files that were here; pull to learn what else there is"


def left_out_line(found: LeftOut) -> str:
    """An entity file that init could not take."""
    return clean(f"{found.path}: {found.reason}; it was put aside")


def kept_line(origin: str, moved: Sequence[str]) -> str:
    """What identity keep did."""
    return clean(f"{origin} stays here" + (": where it stands now is written down" if moved else ", as it was"))


def prospect_lines(found: Prospect) -> Iterator[str]:
    """What a renewal would do."""
    yield clean(f"{found.origin} would be left at seq {found.left_at}")
    yield f"the log ends at seq {found.last_seq}; published is what stands up to seq {found.published_seq}"


def renewal_lines(renewed: Renewal, behind: int) -> Iterator[str]:
    """What a renewal did."""
    yield clean(f"this store is {renewed.origin} from now on; {renewed.left_origin} was left at seq {renewed.left_at}")
    if renewed.rewritten:
        yield f"{count_of(renewed.rewritten, 'entity')} written after that seq: said anew under the new identity"
    if renewed.republished:
        yield f"{count_of(renewed.republished, 'entity')} written again as copies: the next publish shows them"
    if behind:
        yield f"{behind_line(behind)}; `eventsync identity republish` shows them again"


def behind_line(behind: int) -> str:
    """What a reader lacks who gets the new feed only."""
    return f"only the old feed shows {count_of(behind, 'live entity')}: whoever reads just the new one lacks them"


def republished_line(count: int) -> str:
    """What republish wrote."""
    return f"{count_of(count, 'entity')} written again as copies" if count else "nothing stands in an old feed only"
