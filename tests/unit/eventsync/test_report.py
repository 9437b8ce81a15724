"""Documents and lines: stable keys, ASCII JSON, clean text."""

from __future__ import annotations

import json
from typing import Any

import pytest

from eventsync import report, store_report
from eventsync.app import Shown
from eventsync.exits import TABLE
from journal import DamagedStore, Finding, LocalHead, Record, Version, Written
from journal.model import Place

HOSTILE = "\x1b[2Jtitle \u202e"


def head(**changes: Any) -> LocalHead:
    values: dict[str, Any] = {
        "item_type": "plan",
        "item_id": "pln_1",
        "entity_rev": 2,
        "seq": 7,
        "c": "0" * 64,
        "version": Version("es1" + "a" * 32, 7, "0" * 12),
        "context": {},
        "claims": {},
        "deleted": False,
        "private": False,
        "summary": "Ship it",
        "place": Place(1, 0, 0),
    }
    return LocalHead(**values | changes)


def record(**changes: Any) -> Record:
    values: dict[str, Any] = {
        "v": 2,
        "seq": 7,
        "ts": "2026-01-01T00:00:00.000Z",
        "writer": "w_1",
        "agent": "cli",
        "action": "update",
        "item_type": "plan",
        "item_id": "pln_1",
        "entity_rev": 2,
        "summary": "Ship it",
    }
    return Record(**values | changes)


def test_json_is_ascii_even_for_half_characters() -> None:
    assert report.dump({"a": "ü\ud800\x7f"}).encode("ascii") == b'{"a": "\\u00fc\\ud800\\u007f"}'


def test_a_long_list_streams_to_the_document_it_would_be_at_once() -> None:
    rows = [{"n": 1}, {"n": 2}]
    before, after = report.dump_list("rows", {"rows": [], "stale": False, "rest": None})
    text = before + "".join(report.chunks(rows)) + after
    assert json.loads(text) == {"rows": rows, "stale": False, "rest": None}
    assert list(json.loads(text)) == ["rows", "stale", "rest"]


def test_a_long_list_without_items_is_a_document_too() -> None:
    before, after = report.dump_list("rows", {"rows": []})
    assert json.loads(before + "".join(report.chunks([])) + after) == {"rows": []}


def test_long_lists_come_first_in_their_documents() -> None:
    assert next(iter(report.EMPTY["ls"])) == "entities"
    assert next(iter(report.EMPTY["log"])) == "records"


def test_an_error_document_has_all_its_keys() -> None:
    error = DamagedStore("bad line", path="journal/seg-00000001.jsonl", line=7, seq=19, rule="J1")
    document = report.error_document(TABLE["DamagedStore"], error, str(error), "look")
    assert document == {
        "error": {
            "class": "damaged_store",
            "exit_code": 12,
            "message": "bad line",
            "path": "journal/seg-00000001.jsonl",
            "line": 7,
            "seq": 19,
            "rule": "J1",
            "hint": "look",
        }
    }


def test_an_error_document_of_a_foreign_error_takes_no_facts_from_it() -> None:
    error = ImportError("no", path="/somewhere")
    facts = report.error_document(TABLE["OSError"], error, "text", None)["error"]
    assert (facts["message"], facts["path"]) == ("text", None)


def test_documents_have_the_keys_of_the_design() -> None:
    assert list(report.entity_row(head())) == ["item_type", "item_id", "entity_rev", "seq", "summary", "deleted"]
    assert list(report.record_row(record())) == [
        *("seq", "ts", "action", "item_type", "item_id", "entity_rev", "summary", "cause", "root", "agent")
    ]
    written = report.records_document([Written(7, "update", "plan", "pln_1", 2, "0" * 64)])
    assert list(written) == ["records", "left"]
    assert list(written["records"][0]) == ["seq", "action", "item_type", "item_id", "entity_rev"]


def test_a_filled_document_has_the_keys_of_the_empty_one() -> None:
    shown = Shown("plan", "pln_1", 1, 1, {}, None, {})
    assert list(report.shown_document(shown)) == list(report.EMPTY["show"])
    assert list(store_report.findings_document([], True)) == list(report.EMPTY["verify"])


def test_a_table_lines_up_and_is_cut_to_the_terminal() -> None:
    lines = list(report.entity_lines([head(), head(item_id="日本", summary="x" * 50)], 40))
    assert lines[0] == "TYPE  ID     REV  SEQ  SUMMARY"
    assert lines[1] == "plan  pln_1  2    7    Ship it"
    assert lines[2] == "plan  日本   2    7    " + "x" * 16 + "…"


def test_a_table_for_a_pipe_is_not_cut() -> None:
    assert list(report.entity_lines([head(summary="x" * 500)], None))[1].endswith("x" * 500)


def test_a_deleted_entity_says_so() -> None:
    assert "pln_1 (deleted)" in list(report.entity_lines([head(deleted=True)], None))[1]


@pytest.mark.parametrize(
    "lines",
    [
        list(report.entity_lines([head(summary=HOSTILE, item_id=HOSTILE)], None)),
        [report.record_line(record(summary=HOSTILE, action=HOSTILE, ts=HOSTILE, item_type=HOSTILE))],
        [report.record_line(record(summary="title", cause=f"brainclaw:{HOSTILE}@{HOSTILE}"))],
        [report.written_line(Written(1, HOSTILE, HOSTILE, HOSTILE, 1, ""))],
        list(report.shown_lines(Shown(HOSTILE, HOSTILE, 1, 1, {}, HOSTILE, {HOSTILE: HOSTILE}))),
    ],
)
def test_hostile_text_is_inert_in_every_line(lines: list[str]) -> None:
    text = "\n".join(lines)
    assert "title" in text
    assert not {"\x1b", "\u202e"} & set(text)


def test_findings_are_told_one_a_line_and_counted() -> None:
    damaged = Finding("line", "error", "bad line", "journal/seg-00000001.jsonl", 7, 19, True)
    odd = Finding("stray", "warning", HOSTILE)
    assert store_report.finding_line(damaged) == "error: journal/seg-00000001.jsonl:7: bad line (seq 19)"
    assert store_report.finding_line(odd) == "warning: \\x1b[2Jtitle \\u202e"
    assert store_report.findings_line([damaged, odd, odd]) == "1 error, 2 warnings"
    assert store_report.findings_line([]) == "ok"
    assert store_report.findings_document([damaged], False)["findings"] == [
        {
            "id": "line",
            "severity": "error",
            "message": "bad line",
            "path": "journal/seg-00000001.jsonl",
            "line": 7,
            "seq": 19,
            "fixable": True,
        }
    ]


def test_an_entity_that_is_gone_or_redacted_says_so() -> None:
    assert list(report.shown_lines(Shown("plan", "p", 1, 1, {}, None, None)))[-1] == "deleted"
    assert list(report.shown_lines(Shown("plan", "p", 1, 1, {}, None, None, redacted=True)))[-1] == "redacted"


@pytest.mark.parametrize(
    ("cause", "end"),
    [
        ("es1" + "a" * 32 + "@7", "  from es1aaaaaaaa…@7"),
        ("brainclaw:prj_1@7", "  from brainclaw:prj_1@7"),
        (None, ""),
    ],
)
def test_a_record_that_was_decided_about_another_names_it(cause: str | None, end: str) -> None:
    assert report.record_line(record(summary="Ship it", cause=cause)).endswith(f"Ship it{end}")


def test_a_record_of_no_entity_is_shown_by_its_type() -> None:
    line = report.record_line(
        record(action="journal_note", item_type="journal", item_id=None, entity_rev=None, summary=None)
    )
    assert line.endswith("journal_note journal")
