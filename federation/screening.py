"""Screening: what stands in the records that are about to go out, and should perhaps not [F1].

Pure. The bytes of a record and of its payload in, findings out: secrets, which stop a publish, and what is personal,
of which a person is told. A finding names record and field, never what stands there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from federation.fields import Field, fields_of
from federation.personal import Personal
from federation.secrets import find_secret
from journal import Record, decode_record

SECRET: Final = "secret"
PERSONAL: Final = "personal"


class Finding(NamedTuple):
    """One thing that was found in a record; the id is None when it is itself what was found."""

    seq: int
    item_type: str
    item_id: str | None
    what: str
    place: str | None  # None where it stands in no field alone
    kind: str  # SECRET or PERSONAL

    def __str__(self) -> str:
        name = self.item_type if self.item_id is None else f"{self.item_type}/{self.item_id}"
        return f"the record with seq {self.seq} ({name}{'' if self.place is None else f', {self.place}'})"


class Screening(NamedTuple):
    """What is looked for.

    `library` is a second opinion on each text: the kind of secret it may hold, or None. `not_secret` are entities, as
    `type/id`, of which a person knows that they only look so. `personal` None: nobody wants to know.
    """

    not_secret: frozenset[str] = frozenset()
    library: Callable[[str], str | None] | None = None
    personal: Personal | None = None
    stop_at_personal: bool = False

    def findings(self, line: bytes, blob: bytes | None) -> list[Finding]:
        """What is found in a record: at most one secret, then at most one that is personal.

        Nothing is parsed where the bytes show that nothing is there, unless a library has to be asked.
        """
        parts = [line] if blob is None else [line, blob]
        kind = next(filter(None, map(find_secret, parts)), None)
        is_personal = self.personal is not None and any(map(self.personal.may_be_in, parts))
        if kind is None and self.library is None and not is_personal:
            return []
        record, fields = decode_record(line), [*_fields(line, blob)]
        found = [self._secret(record, kind, fields), self._personal(record, fields) if is_personal else None]
        return [finding for finding in found if finding is not None]

    def _secret(self, record: Record, kind: str | None, fields: Sequence[Field]) -> Finding | None:
        """The first field that holds one; none of them alone where `kind` was found in the record as a whole."""
        if f"{record.item_type}/{record.item_id}" in self.not_secret:
            return None
        for field in fields:
            what = None if kind is None else find_secret(field.text.encode("utf-8", "replace"))
            if what is None and self.library is not None:
                what = self.library(field.text)
            if what is not None:
                return _finding(record, SECRET, what, field)
        return None if kind is None else _finding(record, SECRET, kind, None)

    def _personal(self, record: Record, fields: Sequence[Field]) -> Finding | None:
        for field in fields:
            what = None if self.personal is None else self.personal.find(field.text)
            if what is not None:
                return _finding(record, PERSONAL, what, field)
        return None


def _finding(record: Record, kind: str, what: str, field: Field | None) -> Finding:
    is_id = field is not None and field.place == "item_id"
    item_id = None if is_id or find_secret((record.item_id or "").encode()) is not None else record.item_id
    return Finding(record.seq, record.item_type, item_id, what, None if field is None else field.place, kind)


def _fields(line: bytes, blob: bytes | None) -> Iterator[Field]:
    """All texts of a record that a person wrote; a payload that stands beside it is named as if it did not."""
    value = json.loads(line)
    if blob is not None:
        value["payload"] = json.loads(blob)
    for name in ("c", "salt", "ts"):
        value.pop(name, None)
    return fields_of(value, _is_secret)


def _is_secret(key: str) -> bool:
    return find_secret(key.encode("utf-8", "replace")) is not None
