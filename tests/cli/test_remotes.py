"""What is told of remotes that are not there, or cannot be added: the class of each error, and a hint that helps."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.answers import Run
from tests.integration.forger import Forger


@pytest.mark.parametrize(
    ("words", "code", "slug", "helps"),
    [
        (("pull",), 10, "unknown_remote", "`eventsync remote add NAME PATH`"),
        (("pull", "nobody"), 10, "unknown_remote", "`eventsync remote add NAME PATH`"),
        (("remote", "show", "nobody"), 10, "unknown_remote", "`eventsync remote list`"),
        (("remote", "add", "bus", "/elsewhere"), 2, "remote_exists", "`eventsync remote set-url NAME URL`"),
        (("remote", "rename", "other", "bus"), 2, "remote_exists", "`eventsync remote list`"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_the_hint_names_the_command_that_helps(
    run: Run, store: Path, words: tuple[str, ...], code: int, slug: str, helps: str
) -> None:
    if words != ("pull",):
        for name in ("bus", "other"):
            assert run("remote", "add", name, f"/nowhere/{name}").code == 0
    answer = run(*words, "--json")
    assert (answer.code, answer.error["class"]) == (code, slug)
    assert helps in answer.error["hint"]


@pytest.mark.parametrize("name", ["a b", "", "x" * 65])
def test_a_bad_name_is_a_mistake_of_the_command_not_of_the_config(run: Run, store: Path, name: str) -> None:
    answer = run("remote", "add", name, "/x", "--json")
    assert (answer.code, answer.error["class"]) == (2, "usage")
    assert "is no name for a remote" in answer.error["message"]


def test_a_place_that_is_missing_may_be_a_drive_that_is(run: Run, store: Path) -> None:
    answer = run("pull", "/nowhere/at/all")
    assert answer.code == 75
    assert answer.err.endswith("hint: is the drive mounted, the network there? nothing was changed, try again later\n")


def test_the_hint_after_a_possible_secret_does_not_promise_what_an_edit_cannot_do(run: Run, store: Path) -> None:
    run("put", "plan", "pln_1", "--set", "key=AKIA" + "ABCDEFGHIJKLMNOP")
    error = run("publish", "--json").error
    assert "`eventsync redact SEQ --reason TEXT`" in error["hint"]
    assert "--private" not in error["hint"]
    assert run("redact", str(error["seq"]), "--reason", "a key slipped in", "--yes").code == 0
    assert run("publish").code == 0


@pytest.mark.parametrize("url", ["{}", "file://{}"])
def test_a_git_repository_is_not_filled_as_a_folder(run: Run, store: Path, tmp_path: Path, url: str) -> None:
    """Whoever adds the same place as git+file:// would never see what stands beside the objects."""
    bare = tmp_path / "hub"
    for name in ("objects", "refs"):
        (bare / name).mkdir(parents=True)
    (bare / "HEAD").write_text("ref: refs/heads/main\n")
    run("put", "plan", "pln_1", "--set", "a=1")
    added = run("remote", "add", "hub", url.format(bare))
    assert "is a git repository and no folder to share" in added.out + added.err
    for words in (("push", "hub"), ("pull", "hub"), ("sync",)):
        answer = run(*words)
        assert answer.code != 0
        assert "is a git repository and no folder to share" in answer.err
    assert {path.name for path in bare.iterdir()} == {"HEAD", "objects", "refs"}


# --- looking at once -------------------------------------------------------------------------------------------------


def published(run: Run, folder: Path, bus: Path, name: str = "ada") -> str:
    """A store that has published two records to a bus; its origin."""
    here = ("--store", str(folder))
    assert run("init", str(folder), "--name", name).code == 0
    for item_id in ("pln_1", "pln_2"):
        assert run("put", "plan", item_id, "--set", "title=x", *here).code == 0
    assert run("remote", "add", "bus", str(bus), *here).code == 0
    assert run("push", *here).code == 0
    origin: str = run("identity", "show", "--json", *here).document["origin_store_id"]
    return origin


def test_a_new_remote_says_whose_feeds_are_there_and_what_to_run(run: Run, store: Path, tmp_path: Path) -> None:
    origin = published(run, tmp_path / "ada", tmp_path / "bus")
    told = run("remote", "add", "bus", str(tmp_path / "bus"))
    assert (told.code, told.err) == (0, "")
    assert f"  ada ({origin[:11]}…)  records up to seq 2\n" in told.out
    assert "`eventsync pull bus`" in told.out and "`eventsync sync`" in told.out
    assert run("inbox", "--json").document["candidates"] == []  # nothing of it is kept
    assert not (store / "federation" / "mirror").exists()

    found = run("remote", "add", "again", str(tmp_path / "bus"), "--json").document["probe"]
    assert found["origins"] == [
        {"origin_store_id": origin, "name": "ada", "last_seq": 2, "own": False, "refusal": None}
    ]
    assert (found["error"], found["ignored"]) == (None, 0)
    own = run("remote", "add", "again", str(tmp_path / "bus"), "--json", "--store", str(tmp_path / "ada"))
    assert [feed["own"] for feed in own.document["probe"]["origins"]] == [True]


def test_a_feed_that_cannot_be_believed_is_told_beside_the_others(run: Run, store: Path, tmp_path: Path) -> None:
    forged, honest = (
        published(run, tmp_path / "ada", tmp_path / "bus"),
        published(run, tmp_path / "ben", tmp_path / "bus"),
    )
    head = tmp_path / "bus" / forged / "head.json"
    head.write_bytes(head.read_bytes().replace(b'"gen":1', b'"gen":2'))
    (tmp_path / "bus" / "stray").touch()
    told = run("remote", "add", "bus", str(tmp_path / "bus"), "--json")
    assert told.code == 0
    found = {feed["origin_store_id"]: feed for feed in told.document["probe"]["origins"]}
    assert (found[forged]["refusal"], found[forged]["last_seq"]) == ("bad signature", None)
    assert (found[honest]["refusal"], found[honest]["last_seq"]) == (None, 2)
    assert told.document["probe"]["ignored"] == 1


def test_a_hostile_name_reaches_the_terminal_as_text(run: Run, store: Path, tmp_path: Path) -> None:
    forger = Forger()
    forger.record("p1")
    forger.feed(name="\x1b[2Jada\u202e").put_into(tmp_path / "bus")
    told = run("remote", "add", "bus", str(tmp_path / "bus"))
    assert "\\x1b[2Jada\\u202e (es1" in told.out
    assert "\x1b" not in told.out + told.err


def test_a_place_that_cannot_be_reached_is_added_with_a_warning(run: Run, store: Path) -> None:
    """A second try would find that it is there already: what was asked for is done, and the exit code says so."""
    told = run("remote", "add", "stick", "/nowhere/at/all")
    assert told.code == 0
    assert "eventsync: warning: stick was added, and cannot be reached now: /nowhere/at/all" in told.err
    assert "`eventsync remote show stick`" in told.err
    error = run("remote", "add", "drive", "/nowhere/at/all", "--json").document["probe"]["error"]
    assert (error["class"], error["exit_code"]) == ("source_unavailable", 75)
    assert [remote["name"] for remote in run("remote", "list", "--json").document["remotes"]] == ["stick", "drive"]


def test_a_folder_that_the_first_push_will_make_is_no_problem(run: Run, store: Path, tmp_path: Path) -> None:
    told = run("remote", "add", "bus", str(tmp_path / "bus"))
    assert (told.code, told.err) == (0, "")
    assert "nothing stands there yet: the first push makes the folder" in told.out
    assert not (tmp_path / "bus").exists()
    (tmp_path / "empty").mkdir()
    assert "reached, and there are no feeds yet" in run("remote", "add", "empty", str(tmp_path / "empty")).out


def test_nothing_is_looked_at_when_nobody_wants_it(run: Run, store: Path) -> None:
    told = run("remote", "add", "stick", "/nowhere/at/all", "--no-probe")
    assert (told.code, told.err) == (0, "")
    assert told.out.splitlines()[0] == "remote stick: /nowhere/at/all"
    assert told.out.splitlines()[1].startswith("next: `eventsync sync`")
    assert run("remote", "add", "drive", "/nowhere", "--no-probe", "--json").document["probe"] is None


def test_a_store_of_another_program_is_named_by_its_project(run: Run, store: Path, tmp_path: Path) -> None:
    folder = tmp_path / "project" / ".brainclaw"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("project_id: prj_0123456789abcdef0123456789abcdef\n")
    found = run("remote", "add", "other", str(tmp_path / "project"), "--json").document["probe"]["origins"]
    assert [(feed["origin_store_id"], feed["name"]) for feed in found] == [
        ("brainclaw:prj_0123456789abcdef0123456789abcdef", "project")
    ]


def test_a_place_elsewhere_needs_a_word_before_a_sync_publishes_to_it(run: Run, store: Path) -> None:
    told = run("remote", "add", "hub", "git@example.org:team/bus.git", "--no-probe")
    assert "next: `eventsync push hub --yes` publishes there" in told.out


# --- how the other side is set up ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "settings", "kind", "typed"),
    [
        ("/mnt/team's/bus", "", "directory", ["eventsync remote add shared '/mnt/team'\"'\"'s/bus'"]),
        ("/mnt/bus.git", "", "git", ["git init --bare /mnt/bus.git", "git ls-remote /mnt/bus.git 'refs/eventsync/*'"]),
        (
            "git@example.org:team/bus.git",
            'ref_prefix = "refs/heads/eventsync"',
            "git",
            [
                "ssh git@example.org git init --bare team/bus.git",
                "git ls-remote git@example.org:team/bus.git",
                "git ls-remote git@example.org:team/bus.git 'refs/heads/eventsync/*'",
            ],
        ),
        (
            "git+ssh://ann@example.org:2222/srv/bus",
            'ssh_config = "/etc/my ssh"',
            "git",
            [
                "ssh -F '/etc/my ssh' -p 2222 ann@example.org git init --bare /srv/bus",
                "GIT_SSH_COMMAND='ssh -F '\"'\"'/etc/my ssh'\"'\"'' git ls-remote ssh://ann@example.org:2222/srv/bus",
                "GIT_SSH_COMMAND='ssh -F '\"'\"'/etc/my ssh'\"'\"'' git ls-remote ssh://ann@example.org:2222/srv/bus "
                "'refs/eventsync/*'",
            ],
        ),
        (
            "git+https://ann:SECRET@example.org/team/bus.git",
            "",
            "git",
            [
                "git ls-remote https://example.org/team/bus.git",
                "git ls-remote https://example.org/team/bus.git 'refs/eventsync/*'",
            ],
        ),
        ("ann@box:sync/bus", "", "rsync", ["ssh ann@box rsync --version"]),
        (
            "rsync+ssh://ann@box:2222/srv/bus",
            'ssh_config = "/etc/my ssh"',
            "rsync",
            ["ssh -F '/etc/my ssh' -p 2222 ann@box rsync --version"],
        ),
        ("rsync://ann:SECRET@box/bus/team", "", "rsync", ["rsync rsync://ann@box/bus/team/"]),
        (
            "rsync://ann@[::1]:8730/bus",
            'password_file = "/etc/my login"',
            "rsync",
            ["rsync --password-file='/etc/my login' 'rsync://ann@[::1]:8730/bus/'"],
        ),
        (
            "git://[::1]:9418/bus",
            "",
            "git",
            [
                "git daemon --export-all --base-path=FOLDER FOLDER",
                "git ls-remote 'git://[::1]:9418/bus' 'refs/eventsync/*'",
            ],
        ),
    ],
)
def test_a_remote_tells_what_to_type_on_the_other_side(
    run: Run, store: Path, url: str, settings: str, kind: str, typed: list[str]
) -> None:
    (store / "config.toml").write_text(f'[remotes.bus]\nurl = "{url}"\n{settings}\n')
    found = run("remote", "show", "bus", "--json").document
    assert found["kind"] == kind
    assert [line.strip() for line in found["other_side"] if line.startswith(" ")] == typed
    assert list(found["settings"]) == ([settings.split(" ")[0]] if settings else [])
    shown = run("remote", "show", "bus").out
    assert all(f"      {line}\n" in shown for line in typed)
    assert "SECRET" not in shown and "SECRET" not in str(found)
