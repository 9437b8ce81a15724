"""How much may be redacted of one feed."""

from __future__ import annotations

import pytest

from federation.model import MAX_REDACTED
from federation.redaction import check_room
from journal import InvalidInput


def test_no_more_is_redacted_of_a_feed_than_its_readers_take() -> None:
    """[F9]"""
    check_room(MAX_REDACTED - 3, 3)
    check_room(0, 0)
    with pytest.raises(InvalidInput, match="99998 records of the feed are redacted, and 3 more") as error:
        check_room(MAX_REDACTED - 2, 3)
    assert error.value.rule == "F9"
