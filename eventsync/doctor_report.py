"""Doctor report: what a visit of doctor comes to, as a JSON document fit for a bug report, or as lines of text.

Pure. No path tells where somebody's home is, no text who they are or what their records say: paths are told from the
store, or from `~`. Everything has passed `text`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from eventsync.ailments import TABLE, Found, anchor
from eventsync.doctor import Visit
from eventsync.report import Document, count_of
from eventsync.text import clean


class Places(NamedTuple):
    """What must not be told as it is: the folder that the store is in, that of the keys, the home, the user's name."""

    store: Path | None
    keys: Path
    home: Path
    user: str

    def hide(self, text: str) -> str:
        """A text in which paths say nothing of their owner."""
        shown = text
        if self.store is not None:
            for folder in {str(self.store.parent), str(self.store.parent.resolve())} - {"/"}:
                shown = shown.replace(f"{folder}/", "")
        shown = _replaced(shown, str(self.home), "~")
        shown = _replaced(shown, str(self.keys), "$EVENTSYNC_DATA_DIR")
        if self.user:
            shown = re.sub(rf"/{re.escape(self.user)}(?=/|$|[\s:'\"])", "/~", shown)
        return clean(shown)


def _replaced(text: str, folder: str, name: str) -> str:
    return text if folder in ("", "/", ".") else re.sub(rf"{re.escape(folder)}(?=/|$|[\s:'\"])", name, text)


# --- JSON ------------------------------------------------------------------------------------------------------------


def document(
    visit: Visit, places: Places, versions: Mapping[str, str | None], platform: Mapping[str, str], *, ok: bool
) -> Document:
    """All of a visit."""
    return {
        "ok": ok,
        "findings": [_finding(found, places) for found in visit.findings],
        "fixed": [
            {"id": deed.id, "message": places.hide(deed.message), "path": _hidden(deed.path, places)}
            for deed in visit.deeds
        ],
        "backup": _hidden(visit.backup, places),
        "versions": dict(versions),
        "platform": {**platform, "file_system": visit.file_system},
    }


def _finding(found: Found, places: Places) -> Document:
    return {
        "id": found.id,
        "severity": found.severity,
        "message": places.hide(found.message),
        "path": _hidden(found.path, places),
        "line": found.line,
        "seq": found.seq,
        "fixable": found.fixable,
        "anchor": anchor(found.id),
    }


def _hidden(path: Path | str | None, places: Places) -> str | None:
    return None if path is None else places.hide(str(path))


# --- text ------------------------------------------------------------------------------------------------------------


def lines(visit: Visit, places: Places) -> Iterator[tuple[str, str | None]]:
    """What was done, then what was found, the gravest first; each kind explained once."""
    for deed in visit.deeds:
        where = "" if deed.path is None else f"{deed.path}: "
        yield places.hide(f"fixed: {where}{deed.message}"), "added"
    if visit.backup is not None:
        yield places.hide(f"kept: what was changed, as it was, in {visit.backup}"), None
    explained = set[str]()
    for found in sorted(visit.findings, key=lambda found: _ORDER.index(found.severity)):
        if found.id not in explained:
            explained.add(found.id)
            yield f"{found.id}: {TABLE[found.id].sentence} {anchor(found.id)}", "header"
        yield f"  {_line(found, places)}", _STYLES.get(found.severity)


_ORDER = ("error", "warning", "info")
_STYLES = {"error": "error", "warning": "warning"}


def _line(found: Found, places: Places) -> str:
    line = "" if found.line is None else f":{found.line}"
    where = "" if found.path is None else f"{found.path}{line}: "
    seq = "" if found.seq is None else f" (seq {found.seq})"
    return places.hide(f"{found.severity}: {where}{found.message}{seq}")


def last_line(findings: Sequence[Found], *, is_fixing: bool) -> str:
    """What it comes to, and what helps."""
    counts = {name: sum(1 for found in findings if found.severity == name) for name in _ORDER[:2]}
    told = ", ".join(count_of(n, name) for name, n in counts.items() if n) or "ok"
    if is_fixing and any(found.severity == "error" and TABLE[found.id].fix == "tries" for found in findings):
        return f"{told}; `--from PATH` names another place that may have it: a backup, a store that pulls this one"
    can_fix = any(found.fixable for found in findings)
    return f"{told}; `eventsync doctor --fix` may help" if can_fix and not is_fixing else told
