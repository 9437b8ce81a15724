"""Inspecting: what is in one file of a store, for people, wherever the file stands and however damaged it is.

    sort   which kind of file it is, by what is in it, and by its name where that tells nothing
    read   its rows, its facts, and what is wrong with it

Reads that file and, for a part of a feed, the head and slices beside it; never a store. Changes nothing. Bytes are
hostile: limits come before parsers, and whatever the bytes are, the answer is a value.
"""

from __future__ import annotations

from pathlib import Path

from eventsync.inspecting.found import Inspection
from eventsync.inspecting.reading import read
from eventsync.inspecting.sorting import kind_of

__all__ = ["Inspection", "inspect"]


def inspect(path: Path) -> Inspection:
    """What is in a file. Its rows are read as they are taken; facts and faults are complete after the last one.

    InputUnreadable when there is no such regular file, NotOurFile when it is none of ours.
    """
    source = read(path)
    kind, look = kind_of(source)
    found = Inspection(kind, path, source.size_bytes)
    look(source, found)
    return found
