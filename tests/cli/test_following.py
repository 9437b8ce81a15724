"""log --follow: what is there, then what comes, as processes and people see it."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import IO

import pytest

from journal import Store
from tests.cli.answers import Run, Start

Follower = subprocess.Popen[bytes]


@pytest.fixture(autouse=True)
def _store(store: Path) -> None:
    """Every test here has a store."""


@pytest.fixture
def follow(start: Start) -> Iterator[Start]:
    """`log --follow` with more arguments; its pipes are closed at the end."""
    started: list[Follower] = []

    def call(*arguments: str, **_: object) -> Follower:
        process = start("log", "--follow", *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        started.append(process)
        return process

    yield call
    for process in started:
        process.kill()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def out(process: Follower) -> IO[bytes]:
    assert process.stdout is not None
    return process.stdout


def line(process: Follower) -> list[str]:
    return out(process).readline().decode().split()


def said(process: Follower) -> bytes:
    assert process.stderr is not None
    return process.stderr.read()


def test_what_comes_is_shown_as_it_comes(run: Run, follow: Start) -> None:
    run("put", "note", "a", "--set", "n=1")
    process = follow()
    assert line(process)[2:4] == ["create", "note/a"]
    for number in range(3):
        run("put", "note", "a", "--set", f"n={number + 2}")
        assert line(process)[2:] == ["update", "note/a", "rev", str(number + 2)]
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert (out(process).read(), said(process)) == (b"", b"")


def test_with_json_each_line_is_an_object(run: Run, follow: Start) -> None:
    run("put", "note", "a", "--set", "n=1")
    run("put", "note", "b", "--set", "n=1")
    run("put", "note", "a", "--set", "n=2")
    process = follow("--json", "--entity", "note/a", "--since", "1")
    (expected,) = run("log", "--entity", "note/a", "--since", "1", "--json").document["records"]
    assert json.loads(out(process).readline()) == expected
    run("rm", "note", "b")
    run("rm", "note", "a")
    assert json.loads(out(process).readline())["action"] == "delete"
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert out(process).read() == b""


def test_the_newest_so_many_come_first(run: Run, follow: Start) -> None:
    for number in range(5):
        run("put", "note", f"n{number}", "--set", "n=1")
    process = follow("--limit", "2")
    assert [line(process)[3] for _ in range(2)] == ["note/n3", "note/n4"]
    run("put", "note", "new", "--set", "n=1")
    assert line(process)[3] == "note/new"


def test_segments_may_begin_and_writers_may_be_many(follow: Start) -> None:
    process = follow("--json")
    for number in range(12):
        with closing(Store.open(".")) as store:
            store.roll_bytes = 600
            with store.mutate() as mutation:
                mutation.put("note", f"n{number}", {"n": number})
                mutation.put("note", f"m{number}", {"n": number})
    assert [json.loads(out(process).readline())["seq"] for _ in range(24)] == list(range(1, 25))


def test_it_ends_quietly_when_nobody_reads_any_more(run: Run, follow: Start) -> None:
    """At once, not with the next record."""
    run("put", "note", "a", "--set", "n=1")
    process = follow()
    line(process)
    out(process).close()
    assert process.wait(60) == 0
    assert said(process) == b""


def test_following_nothing_prints_nothing(follow: Start) -> None:
    process = follow("--json")
    # It looks for new records, and so has come past the beginning, when it sees this one.
    with closing(Store.open(".")) as store, store.mutate() as mutation:
        mutation.put("note", "a", {})
    assert json.loads(out(process).readline())["seq"] == 1
    process.terminate()
    assert process.wait(60) == 143
    assert json.loads(said(process))["error"]["class"] == "terminated"
    assert out(process).read() == b""


def test_damage_is_told_once_and_does_not_end_it(run: Run, store: Path, follow: Start) -> None:
    """[J7]"""
    for name in "abc":
        run("put", "note", name, "--set", f"text={name * 5}")
    segment = store / "journal" / "seg-00000001.jsonl"
    segment.write_bytes(segment.read_bytes().replace(b"bbbbb", b"xxxxx"))
    for path in store.glob("index.sqlite3*"):
        path.unlink()
    process = follow()
    assert [line(process)[0] for _ in range(2)] == ["1", "3"]
    run("put", "note", "d", "--set", "n=1")
    assert line(process)[3] == "note/d"
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    (warning,) = said(process).decode().splitlines()
    assert "records may be missing here" in warning
