"""Files in payloads: what `put --attach` takes, `show --attachment` gives it back byte for byte, and nothing else."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from eventsync.attachments import attachment_of, brief
from journal import Store
from tests.cli.answers import Program, Run, command_line, environment

CONTENTS: dict[str, bytes] = {
    "text": "grüße ✓\nzweite Zeile\r\n".encode(),
    "nothing": b"",
    "with a BOM": b"\xef\xbb\xbfx",
    "with a NUL": b"a\0b",
    "control characters": bytes(range(1, 128)),
    "every byte": bytes(range(256)),
    "no UTF-8": b"\xff\xfe",
    "long text": b"line of a log\n" * 100_000,
    "long, and no text": os.urandom(300_000),
    "text that grows": b'"\\\n' * 3_000_000,
}


def given(*arguments: str) -> bytes:
    """What a command writes to a pipe."""
    ended = subprocess.run(command_line(*arguments), capture_output=True, env=environment(), timeout=60, check=True)
    assert ended.stderr == b""
    return ended.stdout


def payload_of(run: Run, item_id: str = "n1") -> dict[str, Any]:
    payload = run("show", "note", item_id, "--json").document["payload"]
    assert isinstance(payload, dict)
    return payload


@pytest.mark.parametrize("case", CONTENTS)
def test_a_file_comes_back_as_it_was(run: Run, store: Path, tmp_path: Path, case: str) -> None:
    path = tmp_path / "trace.log"
    path.write_bytes(CONTENTS[case])
    assert run("put", "note", "n1", "--attach", str(path)).code == 0
    assert given("show", "note", "n1", "--attachment") == CONTENTS[case]
    assert run("verify").out == "ok\n"


def test_text_stays_text_and_all_else_is_base64(run: Run, store: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(CONTENTS["text"])
    (tmp_path / "b.bin").write_bytes(CONTENTS["no UTF-8"])
    run("put", "note", "n1", "--attach", str(tmp_path / "a.txt"))
    run("put", "note", "n2", "--attach", str(tmp_path / "b.bin"))
    assert payload_of(run) == {"attachment": {"name": "a.txt", "text": CONTENTS["text"].decode()}}
    assert payload_of(run, "n2") == {"attachment": {"name": "b.bin", "base64": base64.b64encode(b"\xff\xfe").decode()}}


def test_nothing_of_the_path_is_kept_but_its_last_part(run: Run, store: Path, tmp_path: Path) -> None:
    (tmp_path / "trace.log").write_bytes(b"x")
    run("put", "note", "n1", "--attach", str(tmp_path / "trace.log"))
    segment = (store / "journal" / "seg-00000001.jsonl").read_bytes()
    assert b'"name":"trace.log"' in segment
    assert str(tmp_path).encode() not in segment


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("a\nb\x1b[2J.log", "a b\\x1b[2J.log"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        (" x ", "x"),
        ("-rf", "-rf"),
        ("ü" * 120, "ü" * 120),
    ],
)
def test_a_name_is_kept_as_a_terminal_may_show_it(run: Run, store: Path, tmp_path: Path, name: str, kept: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    assert run("put", "note", "n1", "--attach", str(tmp_path / name)).code == 0
    assert payload_of(run)["attachment"]["name"] == kept


def test_a_name_that_is_no_text_is_kept_as_one(run: Run, store: Path, tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/\xff.log"
    Path(os.fsdecode(path)).write_bytes(b"x")
    assert run("put", "note", "n1", "--attach", os.fsdecode(path)).code == 0
    assert payload_of(run)["attachment"]["name"] == "\\udcff.log"


def test_a_file_goes_with_other_keys_and_stays_through_an_edit(run: Run, store: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"x")
    (tmp_path / "payload.json").write_text('{"n": 1}')
    run("put", "note", "n1", "--attach", str(tmp_path / "a.txt"), "--set", "title=T")
    run("edit", "note", "n1", "--set", "title=U")
    assert payload_of(run) == {"title": "U", "attachment": {"name": "a.txt", "text": "x"}}
    run("put", "note", "n2", "--attach", str(tmp_path / "a.txt"), "--file", str(tmp_path / "payload.json"))
    assert payload_of(run, "n2") == {"n": 1, "attachment": {"name": "a.txt", "text": "x"}}
    run("put", "note", "n1", "--set", "title=V")
    assert payload_of(run) == {"title": "V"}
    assert run("show", "note", "n1", "--rev", "2", "--json").document["payload"]["attachment"]["text"] == "x"
    assert given("show", "note", "n1", "--rev", "1", "--attachment") == b"x"


def test_a_key_of_that_name_is_not_overwritten(run: Run, store: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"x")
    answer = run("put", "note", "n1", "--attach", str(tmp_path / "a.txt"), "--set", "attachment=mine")
    assert (answer.code, "has a key 'attachment' already" in answer.err) == (2, True)
    assert run("ls", "--json").document["entities"] == []


def test_lists_show_the_name_where_there_is_nothing_else(run: Run, store: Path, tmp_path: Path) -> None:
    (tmp_path / "trace.log").write_bytes(b"x")
    run("put", "note", "n1", "--attach", str(tmp_path / "trace.log"))
    run("put", "note", "n2", "--attach", str(tmp_path / "trace.log"), "--set", "title=Crash")
    run("put", "note", "n3", "--attach", str(tmp_path / "trace.log"), "--summary", "mine")
    summaries = [row["summary"] for row in run("ls", "--json").document["entities"]]
    assert summaries == ["trace.log", "Crash", "mine"]


def test_people_see_how_much_it_is_and_not_all_of_it(run: Run, store: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"secret line\n" * 10_000)
    run("put", "note", "n1", "--attach", str(tmp_path / "a.txt"), "--set", "title=T")
    shown = run("show", "note", "n1").out
    assert "secret line" not in shown
    assert '"name": "a.txt"' in shown
    assert "120000 bytes" in shown
    assert '"title": "T"' in shown


def test_an_attachment_does_not_go_to_a_terminal(run: Run, terminal: Program, store: Path, tmp_path: Path) -> None:
    """A terminal obeys what it reads, and the file may be anybody's."""
    (tmp_path / "a.txt").write_bytes(b"\x1b[2J")
    run("put", "note", "n1", "--attach", str(tmp_path / "a.txt"))
    answer = terminal("show", "note", "n1", "--attachment")
    assert answer.code == 2
    assert "\x1b[2J" not in answer.out
    assert "not to a terminal" in answer.out


def test_an_attachment_that_nobody_reads_is_no_fault(run: Run, store: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"x" * 3_000_000)
    run("put", "note", "n1", "--attach", str(tmp_path / "a.txt"))
    process = subprocess.Popen(
        command_line("show", "note", "n1", "--attachment"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.read(10) == b"x" * 10
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    process.wait(60)


@pytest.mark.parametrize(
    "attachment",
    [
        None,
        "x",
        {},
        {"name": "a"},
        {"name": 1, "text": "x"},
        {"name": "a", "text": "x", "base64": "eA=="},
        {"name": "a", "base64": "no base64!"},
        {"name": "a", "base64": "eA"},
    ],
)
def test_what_is_no_attachment_is_none(run: Run, store: Path, attachment: object) -> None:
    payload = {} if attachment is None else {"attachment": attachment}
    run("put", "note", "n1", "--set", "n=1", *(["--set", f"attachment={json.dumps(attachment)}"] if payload else []))
    answer = run("show", "note", "n1", "--attachment")
    assert (answer.code, answer.out) == (2, "")
    assert "note/n1 has no attachment" in answer.err
    assert attachment_of(payload) is None
    assert brief(payload) == payload


def test_a_deleted_entity_has_no_attachment(run: Run, store: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"x")
    run("put", "note", "n1", "--attach", str(tmp_path / "a.txt"))
    run("rm", "note", "n1")
    assert run("show", "note", "n1", "--attachment").code == 2
    assert run("show", "note", "n1", "--rev", "2", "--attachment").code == 2
    assert given("show", "note", "n1", "--rev", "1", "--attachment") == b"x"


def test_json_has_the_attachment_already(run: Run, store: Path) -> None:
    answer = run("show", "note", "n1", "--attachment", "--json")
    assert answer.code == 2
    assert answer.document["payload"] is None


@pytest.mark.parametrize("size", [12_600_000, 20_000_000])
def test_a_file_that_is_too_large_is_refused_and_nothing_written(
    run: Run, store: Path, tmp_path: Path, size: int
) -> None:
    """[J10] Told what the limit is; a file far larger is not read to its end."""
    (tmp_path / "big").write_bytes(b"\xff")
    os.truncate(tmp_path / "big", size)
    answer = run("put", "note", "n1", "--attach", str(tmp_path / "big"), "--set", "pad=" + "x" * 100_000)
    assert answer.code == 2
    assert "16777216" in answer.err
    assert not (store / "journal" / "blobs").exists()
    assert list(Store.open(".").log()) == []


def test_what_is_no_regular_file_is_not_waited_for(run: Run, store: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    for name in ("pipe", "link", "."):
        answer = run("put", "note", "n1", "--attach", str(tmp_path / name))
        assert answer.code == 2
        assert str(tmp_path / name).rstrip("/.") in answer.err


def test_a_link_to_a_file_is_that_file_under_the_name_of_the_link(run: Run, store: Path, tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    run("put", "note", "n1", "--attach", str(tmp_path / "link"))
    assert payload_of(run) == {"attachment": {"name": "link", "text": "x"}}


def test_an_attachment_reaches_another_store(run: Run, store: Path, tmp_path: Path) -> None:
    content = CONTENTS["long, and no text"]
    (tmp_path / "shot.png").write_bytes(content)
    run("put", "note", "n1", "--attach", str(tmp_path / "shot.png"))
    run("remote", "add", "bus", str(tmp_path / "bus"))
    assert run("push").code == 0
    run("init", str(tmp_path / "there"))
    run("pull", str(tmp_path / "bus"), "--store", str(tmp_path / "there"))
    (candidate,) = run("inbox", "--json", "--store", str(tmp_path / "there")).document["candidates"]
    assert candidate["payload"] == payload_of(run)
    shown = run("diff", candidate["id"], "--store", str(tmp_path / "there")).out
    assert "300000 bytes" in shown
    assert len(shown) < 2_000
    assert run("accept", "--all", "--store", str(tmp_path / "there")).code == 0
    assert given("show", "note", "n1", "--attachment", "--store", str(tmp_path / "there")) == content


def test_a_declared_schema_lets_an_attachment_pass(run: Run, store: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"x")
    arguments = ["--set", "schema_version=1", "--set", "text=T", "--attach", str(tmp_path / "a.txt")]
    assert run("put", "note", "n1", *arguments).code == 0
    assert payload_of(run)["attachment"] == {"name": "a.txt", "text": "x"}
