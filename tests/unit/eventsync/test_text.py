"""The sanitizer: nothing that anybody wrote can steer a terminal, hide, or reorder what is read."""

from __future__ import annotations

import json
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventsync.text import clean, clean_lines, pad, pretty_json, shorten, width

ANY_TEXT = st.text(st.characters(exclude_categories=()))  # lone surrogates too
HIDDEN_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x9b2J", "\\x9b2J"),  # C1: one-byte CSI
        ("a\x00b\x7f", "a\\x00b\\x7f"),
        ("a\rb", "a\\x0db"),
        ("\u202eevil\u202c", "\\u202eevil\\u202c"),
        ("\u2066x\u2069", "\\u2066x\\u2069"),
        ("zero\u200bwidth\u200d\ufeff", "zero\\u200bwidth\\u200d\\ufeff"),
        ("soft\u00adhyphen", "soft\\xadhyphen"),
        ("tag\U000e0041", "tag\\U000e0041"),
        ("line\u2028paragraph\u2029", "line\\u2028paragraph\\u2029"),
        ("lone\ud800", "lone\\ud800"),
        ("private\ue000", "private\\ue000"),
        ("unassigned\u0378", "unassigned\\u0378"),
        ("filler\u3164\u2800", "filler\\u3164\\u2800"),
        ("selector\ufe0f\U000e0100", "selector\\ufe0f\\U000e0100"),
    ],
)
def test_what_a_terminal_would_obey_or_hide_becomes_visible(hostile: str, shown: str) -> None:
    assert clean(hostile) == shown


@pytest.mark.parametrize(
    "fine", ["", "plain", "Grüße ✓", "日本語", "עברית", "[bold]no markup[/bold]", "⚠\ufe0f careful", "e\u0301"]
)
def test_ordinary_text_stays_as_it_is(fine: str) -> None:
    assert clean(fine) == fine


def test_line_breaks_tabs_and_wide_blanks_become_a_space() -> None:
    assert clean("a\nb\r\nc\td\u00a0e\u3000f") == "a b c d e f"


def test_marks_cannot_be_stacked_over_other_lines() -> None:
    assert clean("a" + "\u0301" * 6) == "a" + "\u0301" * 4 + "\\u0301" * 2


def test_text_of_several_lines_keeps_its_line_breaks_only() -> None:
    assert clean_lines("a\n\x1bb\tc\n") == "a\n\\x1bb c\n"


@given(ANY_TEXT)
def test_clean_text_holds_nothing_hidden_and_stays_on_its_line(text: str) -> None:
    shown = clean(text)
    assert not {unicodedata.category(char) for char in shown} & HIDDEN_CATEGORIES
    assert len(shown.splitlines()) <= 1


@given(ANY_TEXT)
def test_cleaning_twice_changes_nothing(text: str) -> None:
    assert clean(clean(text)) == clean(text)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | ANY_TEXT,
        lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT, inner),
    )
)
def test_pretty_json_is_clean_and_still_the_same_json(value: object) -> None:
    shown = pretty_json(value)
    assert json.loads(shown) == value
    assert all(clean(line) == line for line in shown.split("\n"))


def test_every_character_there_is_passes_or_is_escaped() -> None:
    for code in range(sys.maxunicode + 1):
        char = chr(code)
        shown = clean(char)
        assert shown == char or shown == " " or shown.startswith("\\"), hex(code)


@pytest.mark.parametrize(("text", "columns"), [("abc", 3), ("日本", 4), ("e\u0301", 1), ("", 0)])
def test_width_counts_columns_and_not_characters(text: str, columns: int) -> None:
    assert width(text) == columns


@pytest.mark.parametrize(
    ("text", "columns", "cut"),
    [
        ("abcdef", 6, "abcdef"),
        ("abcdef", 5, "abcd…"),
        ("日本語", 5, "日本…"),
        ("日本語", 4, "日…"),
        ("abc", 1, "…"),
        ("abc", 0, ""),
    ],
)
def test_cut_text_fits_and_says_that_it_was_cut(text: str, columns: int, cut: str) -> None:
    assert shorten(text, columns) == cut
    assert width(cut) <= columns


@given(ANY_TEXT, st.integers(min_value=0, max_value=40))
def test_cut_text_never_needs_more_columns_than_there_are(text: str, columns: int) -> None:
    assert width(shorten(clean(text), columns)) <= columns


def test_padding_counts_columns() -> None:
    assert pad("日", 4) == "日  "
    assert pad("long", 2) == "long"
