"""Looking for a text in everything a store keeps: every byte of every file, and what is packed in it."""

from __future__ import annotations

import contextlib
from pathlib import Path

import zstandard


def files_with(folder: Path, *texts: str) -> list[str]:
    """The files below a folder that hold one of these texts, raw or, where a file is a zstd frame, unpacked.

    SQLite keeps text as it is, so its pages, its log and its shared memory are searched as they are.
    """
    wanted = [form for text in texts for form in {text.encode(), text.encode("unicode_escape"), text.encode("utf-16")}]
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            with contextlib.suppress(zstandard.ZstdError):
                data += zstandard.ZstdDecompressor().decompressobj().decompress(data)
            if any(form in data for form in wanted) or any(text in path.name for text in texts):
                found.append(path.relative_to(folder).as_posix())
    return found
