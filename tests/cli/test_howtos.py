"""The how-tos are typed as they stand, on real servers, and what comes back is compared with what they say.

A comment `<!-- on NAME -->` says on which machine the next block is typed: each has a home with a store, where commands
are typed. Names of hosts and places in the paper stand for servers and folders of this test.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from eventsync import config
from tests.cli.answers import ROOT, Run, environment
from tests.cli.test_tutorial import Names, Terminal, steps
from tests.servers.git_servers import PASSWORD, USER, SshServer, program, remove_proxies
from tests.servers.repositories import Repository
from tests.servers.web_server import WebServer

PAPER = ROOT / "docs" / "howtos.md"
MACHINES = {"laptop": 2, "desktop": 1, "server": 1}  # how many plans the store of each has


def section(number: int) -> str:
    """The text of a recipe."""
    (found,) = re.findall(rf"(?ms)^## {number}\. .*?(?=^## |\Z)", PAPER.read_text(encoding="utf-8"))
    return str(found)


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """Machine and text of each console block."""
    found = re.findall(r"(?ms)^<!-- on (\w+) -->\n(```console\n.*?^```$)", text)
    assert len(found) == text.count("```console"), "a block without a machine"
    yield from found


class Machines(Terminal):
    """Types on several machines, whose names and places stand for others: `real` says for which."""

    def __init__(self, shims: Path, monkeypatch: pytest.MonkeyPatch, real: Mapping[str, str]) -> None:
        super().__init__(shims, monkeypatch)
        self._names = dict(sorted(real.items(), key=lambda item: -len(item[0])))
        monkeypatch.setenv("PATH", f"{shims}:{environment()['PATH']}")

    def type(self, command: str) -> str:
        for name, real in self._names.items():
            command = command.replace(name, real)
        printed = super().type(command)
        for name, real in self._names.items():
            printed = printed.replace(real, name)
        return printed


def type_on_machines(text: str, root: Path, terminal: Machines, monkeypatch: pytest.MonkeyPatch) -> int:
    """Type all blocks; how many commands there were. Each must print what the paper says and end with 0."""
    names, typed = Names(), 0
    for machine, block in blocks(text):
        terminal.type(f"cd {shlex.quote(str(root / machine))}")
        monkeypatch.setenv("HOME", str(root / machine))
        found = list(steps(block))
        for step, following in zip(found, [*found[1:], None], strict=True):
            printed = terminal.type(names.real(step.command))
            assert names.match(step.output, printed), f"{step.command}\nis to print\n{step.output}but\n{printed}"
            asked = following is not None and following.command == "echo $?"
            assert asked or terminal.code == 0, f"{step.command} ended with {terminal.code}"
            typed += 1
    return typed


@pytest.fixture
def root(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Homes with a store each."""
    remove_proxies(monkeypatch)
    for name, plans in MACHINES.items():
        here = ("--store", str(tmp_path / name))
        assert run("init", str(tmp_path / name), "--name", name).code == 0
        for number in range(plans):
            assert run("put", "plan", f"{name}_{number}", "--set", f"title={name} {number}", *here).code == 0
    return tmp_path


@pytest.fixture
def shims(tmp_path: Path) -> Path:
    folder = tmp_path / "shims"
    folder.mkdir()
    return folder


def shim(folder: Path, name: str, script: str) -> None:
    """A program that stands before the one of the system."""
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def ssh(tmp_path: Path, shims: Path) -> Iterator[SshServer]:
    """One server that stands for all hosts; `ssh` finds it by any name, as the config of a user would have it."""
    server = SshServer(tmp_path / "ssh")
    server.keep_open()
    with server.config.open("a") as config:
        config.write(f"HostName 127.0.0.1\nPort {server.port}\n")
    shim(shims, "ssh", f'exec {program("ssh")} -F {shlex.quote(str(server.config))} "$@"')
    yield server
    server.stop()


def test_a_git_project(root: Path, shims: Path, ssh: SshServer, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "team").mkdir()
    Repository(root / "team" / "app.git")
    web = WebServer(encrypted=True)
    try:
        monkeypatch.setenv("SSL_CERT_FILE", str(web.certificate))
        monkeypatch.setenv("GIT_SSL_CAINFO", str(web.certificate))
        shim(shims, "ask", f'case "$1" in Username*) echo {USER};; *) echo {shlex.quote(PASSWORD)};; esac')
        monkeypatch.setenv("GIT_ASKPASS", str(shims / "ask"))
        (root / "server" / ".gitconfig").write_text("[credential]\n\thelper = store\n")
        real = {
            "git@forge.example:team/app.git": f"{ssh.user}@forge.example:{root}/team/app.git",
            "https://forge.example/team/app.git": f"https://127.0.0.1:{web.port}{root}/team/app.git",
        }
        assert type_on_machines(section(1), root, Machines(shims, monkeypatch, real), monkeypatch) == 7
    finally:
        web.stop()


def test_a_machine_that_ssh_reaches(root: Path, shims: Path, ssh: SshServer, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "box").mkdir()
    real = {
        "ada@box:bus": f"{ssh.user}@box:{root}/box/bus",
        "ada@box git init --quiet --bare bus.git": f"{ssh.user}@box git init --quiet --bare {root}/box/bus.git",
        "ada@laptop:notes": f"{ssh.user}@laptop:{root}/laptop",
    }
    assert type_on_machines(section(2), root, Machines(shims, monkeypatch, real), monkeypatch) == 7


def test_a_stick(root: Path, shims: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "media" / "stick").mkdir(parents=True)
    (root / "run").mkdir()
    shim(shims, "umount", f'mv "$1" {root}/run/stick')
    real = {"/run/media/ada/stick": str(root / "run" / "stick"), "/media/stick": str(root / "media" / "stick")}
    assert type_on_machines(section(3), root, Machines(shims, monkeypatch, real), monkeypatch) == 7


def test_the_rules_are_read_as_they_stand() -> None:
    (text,) = re.findall(r"(?ms)^```toml\n(.*?)^```$", section(6))
    rules = config.parse(text, PAPER).rule_list
    assert [(rule.name, rule.action) for rule in rules] == [
        ("no-handoffs", "reject"),
        ("look", "hold"),
        ("laptop", "accept"),
    ]


def test_a_folder_that_syncthing_carries(root: Path, shims: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "laptop" / "Sync").mkdir()
    assert type_on_machines(section(4), root, Machines(shims, monkeypatch, {}), monkeypatch) == 2


def test_the_line_for_cron_says_nothing_when_all_is_well(root: Path, shims: Path, run: Run) -> None:
    """As cron runs it: by sh, with next to nothing in its environment, the whole path of the program in front."""
    (line,) = re.findall(r"(?ms)^```cron\n(.*?)\n```$", section(5))
    command = re.sub(r"^([*/0-9]+ +){5}", "", line).strip()
    assert command.startswith("eventsync ")
    (root / "notes").symlink_to(root / "laptop")
    assert run("remote", "add", "bus", str(root / "bus"), "--store", str(root / "laptop")).code == 0
    variables = {"HOME": str(root), "PATH": "/usr/bin:/bin", "EVENTSYNC_DATA_DIR": environment()["EVENTSYNC_DATA_DIR"]}
    program_path = f"{sys.executable} -m eventsync"
    for _ in range(2):
        ended = subprocess.run(
            ["/bin/sh", "-c", command.replace("eventsync", program_path, 1)],
            env={**variables, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            check=False,
        )
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")
    assert [path.name for path in (root / "bus").iterdir()] == [
        run("identity", "show", "--json", "--store", str(root / "laptop")).document["origin_store_id"]
    ]


def test_two_sites_and_one_that_reaches_both(root: Path, shims: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "srv").mkdir()
    real = {"/srv/office": str(root / "srv" / "office"), "/srv/home": str(root / "srv" / "home")}
    assert type_on_machines(section(7), root, Machines(shims, monkeypatch, real), monkeypatch) == 11
