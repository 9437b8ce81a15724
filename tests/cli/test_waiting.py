"""Places that do not answer, met by the whole program: it goes on with the others, and ends in time or when it is told.

What happens first is told by what can be seen of it, never by a clock.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.cli.answers import ROOT, Program, Run, Start
from tests.servers.listener import Listener, dripping, silent
from tests.servers.processes import PATIENCE_SECONDS, Started, wait_for

FOREVER = 10 * PATIENCE_SECONDS
SHORT = 2


@pytest.fixture
def hung(tmp_path: Path) -> Mapping[str, str]:
    """The environment of a program for which the folder `hung` never answers."""
    (tmp_path / "hung").mkdir()
    return {
        "PYTHONPATH": f"{ROOT / 'tests' / 'doubles' / 'hanging'}{os.pathsep}{ROOT}",
        "HANGING": str(tmp_path / "hung"),
        "HANGING_SEEN": str(tmp_path / "seen"),
    }


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[Started]:
    found = Started(monkeypatch)
    yield found
    wait_for(lambda: not found.alive("eventsync", "git_worker", "ssh"))


@pytest.fixture
def servers() -> Iterator[tuple[Listener, Listener]]:
    with Listener(silent) as quiet, Listener(dripping) as slow:
        yield quiet, slow


@pytest.fixture
def author(run: Run, tmp_path: Path) -> None:
    """A store that has published a plan to the folder `good`."""
    here = ("--store", str(tmp_path / "author"))
    assert run("init", str(tmp_path / "author")).code == 0
    assert run("put", "plan", "pln_1", "--set", "title=there", *here).code == 0
    assert run("remote", "add", "good", str(tmp_path / "good"), *here).code == 0
    assert run("push", *here).code == 0


def remotes(tmp_path: Path, servers: tuple[Listener, Listener], seconds: int) -> str:
    """A config with two places that answer, the last one of all being one of them, and three that do not."""
    quiet, slow = servers
    urls = {
        "first": str(tmp_path / "good"),
        "hung": str(tmp_path / "hung"),
        "silent": f"git://127.0.0.1:{quiet.port}/bus",
        "dripping": f"git://127.0.0.1:{slow.port}/bus",
        "last": str(tmp_path / "good"),
    }
    late = dict.fromkeys(("hung", "silent", "dripping"), f"deadline_seconds = {seconds}\n")
    tables = [f'[remotes.{name}]\nurl = "{url}"\n{late.get(name, "")}' for name, url in urls.items()]
    return "\n".join(tables)


@pytest.mark.usefixtures("author")
@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_what_can_be_pulled_is_there_while_others_are_silent_and_ctrl_c_ends_them_all(
    run: Run,
    store: Path,
    start: Start,
    tmp_path: Path,
    hung: Mapping[str, str],
    servers: tuple[Listener, Listener],
    started: Started,
    how: signal.Signals,
    code: int,
) -> None:
    (store / "config.toml").write_text(remotes(tmp_path, servers, FOREVER))
    pulling = start("pull", "--all", env=hung, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for(lambda: all(server.accepted for server in servers) and (tmp_path / "seen").exists())
    wait_for(lambda: len(runs(store)) == 2)

    # All this works beside a pull that hangs: no lock is held over a network [J9].
    assert [found["item_id"] for found in run("inbox", "--json").document["candidates"]] == ["pln_1"]
    assert run("put", "plan", "pln_2", "--set", "title=here").code == 0
    assert run("show", "plan", "pln_2").code == 0
    assert run("accept", "--all").code == 0
    assert [found["item_id"] for found in run("ls", "--json").document["entities"]] == ["pln_1", "pln_2"]
    assert run("publish").code == 0
    assert run("pull", "first").code == 0
    assert [remote["last_error"] for remote in run("status", "--json").document["remotes"]] == [None] * 5
    assert pulling.poll() is None and len(started.alive("git_worker")) == 2

    pulling.send_signal(how)
    assert pulling.wait(PATIENCE_SECONDS) == code
    assert not started.alive("git_worker")
    wait_for(lambda: not started.alive("eventsync"))
    assert list((store / "federation" / "staging").iterdir()) == []
    assert run("verify").code == 0


def runs(store: Path) -> list[str]:
    """The remotes that a pull was done with, in that order."""
    path = store / "federation" / "runs.jsonl"
    return [json.loads(line)["remote"] for line in path.read_text().splitlines()] if path.exists() else []


@pytest.mark.usefixtures("author", "started")
@pytest.mark.parametrize("verb", ["pull", "push", "sync"])
def test_each_silent_place_ends_at_its_deadline_and_is_told_in_its_order(
    run: Run,
    store: Path,
    program: Program,
    tmp_path: Path,
    hung: Mapping[str, str],
    servers: tuple[Listener, Listener],
    verb: str,
) -> None:
    assert run("put", "plan", "pln_2", "--set", "title=here").code == 0
    (store / "config.toml").write_text(remotes(tmp_path, servers, SHORT))
    words = [verb, "--json"] if verb == "sync" else [verb, "--all", "--json"]
    told = program(*words, env=hung)
    assert told.code == 3
    reports = [told.document[part] for part in ("push", "pull")] if verb == "sync" else [told.document]
    for report in reports:
        assert [remote["name"] for remote in report["remotes"]] == ["first", "hung", "silent", "dripping", "last"]
        errors = [remote["error"] for remote in report["remotes"]]
        assert [error and error["exit_code"] for error in errors] == [None, 75, 75, 75, None]
        assert f"did not answer within {SHORT} seconds" in errors[1]["message"]


@pytest.mark.usefixtures("started")
def test_a_folder_that_hangs_is_75_and_its_hint_asks_about_the_drive(
    store: Path, program: Program, tmp_path: Path, hung: Mapping[str, str]
) -> None:
    settings = f"[remotes.nas]\nurl = '{tmp_path / 'hung'}'\ndeadline_seconds = {SHORT}\n"
    (store / "config.toml").write_text(settings)
    told = program("pull", "nas", env=hung)
    assert told.code == 75
    assert f"{tmp_path / 'hung'}: did not answer within {SHORT} seconds" in told.err
    assert "is the drive mounted" in told.err


def test_a_folder_takes_no_setting_but_its_deadline(run: Run, store: Path, tmp_path: Path) -> None:
    (tmp_path / "bus").mkdir()
    (store / "config.toml").write_text(f"[remotes.bus]\nurl = '{tmp_path / 'bus'}'\ndeadline = 3\n")
    told = run("pull", "bus", "--json")
    assert told.code == 2
    assert "no setting 'deadline'" in told.document["remotes"][0]["error"]["message"]
