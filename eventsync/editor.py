"""Editor: a person changes a payload as JSON, in the editor of their choice.

The text stands in a private temporary folder. When it cannot be used it is kept, and the error says where: nothing a
person typed is thrown away.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from eventsync.errors import EditorFailed
from eventsync.text import pretty_json

_STANDARD_ERROR: Final = 2  # as good a terminal as standard output, which is kept for the answer of the command


@contextmanager
def edited(editor: str | None, payload: Mapping[str, Any], name: str) -> Iterator[dict[str, Any]]:
    """The payload after the person changed it; the text is kept when the block that uses it fails.

    Raises EditorFailed, or InvalidInput for what is no payload, with path and line of the kept text.
    """
    folder = Path(tempfile.mkdtemp(prefix="eventsync-"))  # mode 0700
    path = folder / f"{name}.json"
    before = (pretty_json(payload) + "\n").encode("utf-8")  # what nobody can see stands there as an escape of JSON
    path.write_bytes(before)
    try:
        _run(editor, path)
        yield _payload_in(path)
    except BaseException as error:
        if path.is_file() and path.read_bytes() != before:
            error.add_note(f"your text is kept in {path}")
        else:
            _discard(folder)
        raise
    _discard(folder)


def _discard(folder: Path) -> None:
    if folder.is_dir():  # an editor may have tidied up
        shutil.rmtree(folder)


def _run(editor: str | None, path: Path) -> None:
    if editor is None:
        raise EditorFailed("neither VISUAL nor EDITOR is set")
    try:
        code = subprocess.run([*shlex.split(editor), str(path)], stdout=_STANDARD_ERROR, check=False).returncode
    except (OSError, ValueError) as error:
        raise EditorFailed(f"{editor} cannot be run: {getattr(error, 'strerror', None) or error}") from None
    if code != 0:
        raise EditorFailed(f"{editor} ended with code {code}")


def _payload_in(path: Path) -> dict[str, Any]:
    from journal import InvalidInput, check_payload

    try:
        payload: dict[str, Any] = check_payload(path.read_bytes())
    except OSError as error:
        raise EditorFailed(f"the text is gone: {error.strerror}", path=path) from None
    except InvalidInput as error:
        error.path = str(path)
        error.line = _line_of(error.message)
        raise
    return payload


def _line_of(message: str) -> int | None:
    """The line json names in its message: `… line 3 column 5 (char 27)`."""
    words = message.split(": line ", 1)[-1].split(" ", 1)
    return int(words[0]) if len(words) == 2 and words[0].isdigit() else None
