"""Each exit code that one store can reach, with its error object and its text."""

from __future__ import annotations

import fcntl
import json
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from eventsync.cli import main
from eventsync.cli.commands import Group
from tests.cli.answers import Answer, Program, Run, Start

KEYS = ["class", "exit_code", "message", "path", "line", "seq", "rule", "hint"]
PUT = ("put", "note", "n", "--set", "title=x")
NOTHING: dict[str, list[object]] = {"records": [], "left": []}


def check(answer: Answer, code: int, slug: str) -> None:
    """An answer with --json: the code, the empty document, and one error object with all its keys."""
    assert answer.code == code
    assert answer.document == NOTHING
    assert list(answer.error) == KEYS
    assert (answer.error["exit_code"], answer.error["class"]) == (code, slug)


@contextmanager
def locked(store: Path) -> Iterator[None]:
    with (store / "journal.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def test_0_done(run: Run, store: Path) -> None:
    assert run(*PUT).code == 0


def test_1_a_bug_is_told_shortly(capsys: pytest.CaptureFixture[str]) -> None:
    group = Group("test", sections={"Commands": {"crash": "tests.cli.crashing"}})

    def crash(*options: str) -> Answer:
        return Answer(main(["crash", *options], group=group), *capsys.readouterr())

    short = crash()
    assert short.code == 1
    assert short.err.splitlines()[0] == "eventsync: error: ZeroDivisionError: \\x1b[2Jhostile"
    assert "report it" in short.err
    assert "Traceback" not in short.err
    assert "Traceback" in crash("-v").err
    assert "\x1b" not in crash("-v").err
    check(crash("--json"), 1, "bug")


@pytest.mark.parametrize(
    "arguments",
    [["put", "note"], ["put", "note", "n"], ["put", "note", "n", "--no-such"], ["put", "note", "n", "m", "o"]],
)
def test_2_usage(run: Run, store: Path, arguments: list[str]) -> None:
    answer = run(*arguments)
    assert answer.code == 2
    assert answer.out == ""
    assert answer.err.startswith("eventsync: error: ")
    assert answer.err.endswith("hint: `eventsync put --help` shows how it is used\n")
    check(run(*arguments, "--json"), 2, "usage")


def test_2_what_comes_before_the_command_is_judged_too(run: Run) -> None:
    answer = run("--no-such", "put", "--json")
    assert (answer.code, answer.document, answer.error["class"]) == (2, {}, "usage")


def test_10_no_store(run: Run) -> None:
    check(run(*PUT, "--json"), 10, "not_a_store")
    assert "`eventsync init`" in run(*PUT).err


def test_10_a_folder_that_is_gone_has_no_store(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    check(run(*PUT, "--json"), 10, "not_a_store")


def test_11_locked(run: Run, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENTSYNC_LOCK_TIMEOUT", "0.05")
    with locked(store):
        check(run(*PUT, "--json"), 11, "store_locked")
    assert run(*PUT).code == 0


@pytest.mark.parametrize("timeout", ["soon", "-1", "nan", "inf"])
def test_2_a_lock_timeout_that_is_no_number(
    run: Run, store: Path, monkeypatch: pytest.MonkeyPatch, timeout: str
) -> None:
    monkeypatch.setenv("EVENTSYNC_LOCK_TIMEOUT", timeout)
    check(run(*PUT, "--json"), 2, "usage")
    assert run("--version").code == 0


def test_12_damaged(run: Run, store: Path) -> None:
    (store / "store.json").write_text("{", encoding="utf-8")
    check(run(*PUT, "--json"), 12, "damaged_store")


def test_12_records_were_lost(run: Run, store: Path) -> None:
    segment = store / "journal" / "seg-00000001.jsonl"
    before = segment.read_bytes()
    run(*PUT)
    segment.write_bytes(before)
    answer = run(*PUT, "--json")
    check(answer, 12, "log_shorter_than_known")
    assert answer.error["rule"] == "J11"
    assert segment.read_bytes() == before


def test_13_format_too_new(run: Run, store: Path) -> None:
    file = store / "store.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"format": 2}), encoding="utf-8")
    answer = run(*PUT, "--json")
    check(answer, 13, "format_too_new")
    assert answer.error["path"] == str(file)


def test_14_the_disk_is_full(start: Start, store: Path, run: Run) -> None:
    """A limit on file sizes stands in for a full disk; what was there stays as it was."""
    run(*PUT)
    segment = store / "journal" / "seg-00000001.jsonl"
    before = segment.read_bytes()
    process = start(
        *("put", "note", "m", "--set", "title=" + "x" * 50_000, "--json"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000)),
    )
    out, err = process.communicate(timeout=60)
    check(Answer(process.returncode, out.decode(), err.decode()), 14, "disk_failed")
    assert segment.read_bytes() == before


@pytest.mark.parametrize("arguments", [["ls"], ["ls", "--json"], ["show", "note", "n"], ["log", "--json"], ["--help"]])
def test_14_output_that_cannot_be_written_is_no_success(
    start: Start, store: Path, run: Run, arguments: list[str]
) -> None:
    run(*PUT)
    with Path("/dev/full").open("wb") as full:
        process = start(*arguments, stdout=full, stderr=subprocess.PIPE)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 14
    assert b"No space left" in err
    assert b"Traceback" not in err


def test_22_a_copied_store_waits_for_a_decision(run: Run, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("copy").mkdir()
    shutil.copytree(store, "copy/.eventsync")
    monkeypatch.chdir("copy")
    answer = run(*PUT, "--json")
    check(answer, 22, "store_copied")
    assert "identity show" in answer.error["hint"]
    assert "identity keep" in answer.error["hint"]
    assert run("ls").code == 0  # reading goes on
    monkeypatch.chdir("..")
    assert run(*PUT).code == 0  # the one that was copied is not concerned


SIGNALS = [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]


@pytest.mark.parametrize(("sent", "code", "slug"), SIGNALS)
def test_130_and_143_interrupted(
    program: Program, run: Run, store: Path, tmp_path: Path, sent: signal.Signals, code: int, slug: str
) -> None:
    run(*PUT)
    editor = tmp_path / "editor.sh"
    editor.write_text(f"sleep 0.3; kill -{sent.value} $PPID; exec sleep 30 > /dev/null 2>&1", encoding="utf-8")
    answer = program("edit", "note", "n", "--json", env={"EDITOR": f"sh '{editor}'"})
    check(answer, code, slug)


@pytest.mark.parametrize(("sent", "code", "slug"), SIGNALS)
def test_130_and_143_while_it_waits_for_the_lock(
    start: Start, store: Path, sent: signal.Signals, code: int, slug: str
) -> None:
    with locked(store):
        process = start(*PUT, "-v", env={"EVENTSYNC_LOCK_TIMEOUT": "60"}, stderr=subprocess.PIPE)
        assert process.stderr is not None
        assert process.stderr.readline() == f"eventsync: store {store}\n".encode()
        process.send_signal(sent)
        assert process.stderr.read() == f"eventsync: error: {slug}\n".encode()
        assert process.wait(60) == code


def test_143_removes_what_it_held(start: Start, run: Run, store: Path, tmp_path: Path) -> None:
    """Blocks with `finally` run: a text that is unchanged in the editor leaves nothing behind."""
    run(*PUT)
    editor = tmp_path / "editor.sh"
    editor.write_text('echo "$1" > seen.tmp; mv seen.tmp seen; exec sleep 30 > /dev/null 2>&1', encoding="utf-8")
    process = start("edit", "note", "n", env={"EDITOR": f"sh {editor}"}, stderr=subprocess.PIPE)
    for _ in range(600):
        if Path("seen").exists():
            break
        time.sleep(0.02)
    kept = Path(Path("seen").read_text().strip())
    assert kept.exists()
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 143
    assert not kept.parent.exists()


@pytest.mark.parametrize("arguments", [["log"], ["log", "--json"]])
def test_a_reader_that_leaves_early_is_no_error(start: Start, run: Run, store: Path, arguments: list[str]) -> None:
    from journal import Store

    with Store.open(".").mutate() as mutation:
        for number in range(3_000):
            mutation.put("note", f"n{number}", {"n": number}, summary="x" * 100)
    process = start(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.read(10)
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(60) == 0


def test_closed_outputs_are_no_error(program: Program, store: Path) -> None:
    import sys

    from tests.cli.answers import environment

    for closed in (">&-", "2>&-", "<&-"):
        line = f"exec '{sys.executable}' -m eventsync ls {closed}"
        assert subprocess.run(["sh", "-c", line], env=environment(), capture_output=True, check=False).returncode == 0
