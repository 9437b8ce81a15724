"""config.toml: strict, says where, keeps what people wrote, never repeats a URL."""

from __future__ import annotations

from pathlib import Path

import pytest

from eventsync import config, config_editing
from eventsync.errors import ConfigError, InvalidArgument, RemoteExists
from federation.errors import UnknownRemote
from federation.model import Verdict
from federation.rules import Action, Rule

PATH = Path("config.toml")
WRITTEN = """\
# mine
[publish]
types = ["plan"]  # only plans

[remotes.a]  # first
url = "/x"  # here
ref_prefix = "refs/heads/eventsync"

# about b
[remotes.b]
url = "/y"

# about limits
[limits]
transfer_seconds = 5
"""


def parsed(text: str) -> config.Config:
    return config.parse(text, PATH)


def urls(text: str) -> dict[str, str]:
    return {name: remote.url for name, remote in parsed(text).remotes.items()}


def test_an_empty_config_is_all_defaults() -> None:
    found = parsed("")
    assert found.remotes == {}
    assert found.publish.types == ("plan", "decision", "trap", "constraint", "handoff", "note")
    assert found.publish.saw is True


def test_a_config_is_read_whole() -> None:
    found = parsed(WRITTEN)
    assert found.publish.types == ("plan",)
    assert found.remotes["a"].url == "/x"
    assert found.remotes["a"].settings == {"ref_prefix": "refs/heads/eventsync"}
    assert found.limits.transfer_seconds == 5


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("typo = 1", 1, "unknown key 'typo'"),
        ("\n[publish]\n# why\ntypo = 1", 4, "unknown key 'publish.typo'"),
        ("[publish]\nsaw = 1", 2, "publish.saw"),
        ('[publish]\ntypes = ["plan", "Plan"]', 2, "publish.types.1"),
        ("[publish]\ntypes = 'plan'", 2, "publish.types"),
        ("[limits]\ntransfer_seconds = 0", 2, "limits.transfer_seconds"),
        ("[remotes.a]\nurl = 5", 2, "remotes.a.url"),
        ("[remotes.a]\nurl = ''", 2, "remotes.a.url"),
        ("[remotes.a]\nref = 'x'", 1, "remotes.a.url: field required"),
        ('[remotes."a b"]\nurl = "/x"', None, "'a b' is no name for a remote"),
        ("[remotes.-a]\nurl = '/x'", 1, "'-a' is no name for a remote"),
        ("[publish]\nsaw = ", 2, "not TOML"),
        ("[publish", 1, "not TOML"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(text: str, line: int | None, what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parsed(text)
    assert what in caught.value.message
    assert caught.value.path == "config.toml"
    assert caught.value.line == line


RULE = '[[rules]]\norigin = "*"\naction = "accept"\n'


def test_rules_are_read_in_their_order() -> None:
    origin = "es1" + "a" * 32
    named = f'[[rules]]\norigin = ["{origin}", "brainclaw:prj_0"]\ntypes = ["plan", "note"]\nverdict = "new"\n'
    first, second = parsed(f'{named}item_id = "a*"\nname = "ours"\nreason = "why"\naction = "reject"\n{RULE}').rule_list
    assert first == Rule(
        "ours",
        Action.REJECT,
        frozenset([origin, "brainclaw:prj_0"]),
        frozenset(["plan", "note"]),
        frozenset([Verdict.NEW]),
        "a*",
        "why",
    )
    assert second == Rule("2", Action.ACCEPT)


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        (f"{RULE}\n{RULE}typo = 1", 8, "unknown key 'rules.1.typo'"),
        (f"{RULE}\n{RULE}verdict = 'conflict'", 8, "rules.1.verdict: no rule accepts what is conflict"),
        (f"{RULE}verdicts = ['new', 'unreadable']", 4, "rules.0.verdicts: no rule accepts what is unreadable"),
        (f"{RULE}verdict = 'known'", 4, "rules.0.verdict.0"),
        (f"{RULE}type = 'plan'\ntypes = ['note']", 5, "give type or types, not both"),
        (f"{RULE}verdict = 'new'\nverdicts = ['gone']", 5, "give verdict or verdicts, not both"),
        (f"{RULE}types = []", 4, "rules.0.types"),
        (f"{RULE}name = 'a b'", 4, "rules.0.name"),
        (f"{RULE}name = 'a'\n{RULE}name = 'a'", 8, "two rules are called 'a'"),
        (f"{RULE}{RULE}name = '1'", 7, "two rules are called '1'"),
        ("[[rules]]\norigin = '*'", 1, "rules.0.action: field required"),
        ("[[rules]]\naction = 'hold'", 1, "rules.0.origin: field required"),
        ("[[rules]]\naction = 'take'\norigin = '*'", 2, "rules.0.action"),
        ("[[rules]]\naction = 'hold'\norigin = 'laptop'", 3, "neither an origin id nor '*'"),
        ("[rules]\naction = 'hold'", 1, "rules: "),
        ("rules = [{origin = '*', action = 'hold', typo = 1}]", 1, "unknown key 'rules.0.typo'"),
    ],
)
def test_a_rule_that_is_wrong_is_named_with_its_place(text: str, line: int, what: str) -> None:
    """[K5] Nothing takes the foreign side of a conflict by rule."""
    with pytest.raises(ConfigError) as caught:
        parsed(text)
    assert what in caught.value.message
    assert (caught.value.path, caught.value.line) == ("config.toml", line)


def test_remotes_can_be_added_behind_rules() -> None:
    added = config_editing.add_remote(RULE, "a", "/x")
    assert urls(added) == {"a": "/x"} and len(parsed(added).rule_list) == 1
    assert config_editing.remove_remote(added, "a").startswith(RULE)


@pytest.mark.parametrize("text", ["[remotes.a]\nurl = 'https://ada:hunter2@host'\nurl = 'x'", "remotes = 'hunter2'"])
def test_no_error_repeats_a_value_that_may_be_a_secret(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parsed(text)
    assert "hunter2" not in str(caught.value)


def test_adding_a_remote_leaves_every_byte_before_it() -> None:
    added = config_editing.add_remote(WRITTEN, "c", 'we"ird\\')
    assert added.startswith(WRITTEN)
    assert urls(added) == {"a": "/x", "b": "/y", "c": 'we"ird\\'}


def test_removing_a_remote_leaves_the_comments_of_others() -> None:
    removed = config_editing.remove_remote(WRITTEN, "a")
    assert urls(removed) == {"b": "/y"}
    assert [line for line in removed.splitlines() if line.startswith("#")] == ["# mine", "# about b", "# about limits"]
    assert config_editing.remove_remote(WRITTEN, "b").count("# about limits\n[limits]") == 1


def test_renaming_a_remote_changes_its_header_only() -> None:
    assert config_editing.rename_remote(WRITTEN, "a", "z") == WRITTEN.replace("[remotes.a]", "[remotes.z]")


def test_another_url_changes_that_value_only() -> None:
    assert config_editing.set_url(WRITTEN, "b", "/z") == WRITTEN.replace('"/y"', '"/z"')


@pytest.mark.parametrize(
    "text",
    [
        '[remotes]\na = {url = "x"}\nb = {url = "y"}\n',
        'remotes.a.url = "x"\nremotes.b.url = "y"\n',
        'remotes = {a = {url="x"}, b = {url="y"}}\n',
        '[remotes.a]\nurl="x"\n[limits]\ntransfer_seconds=3\n[remotes.b]\nurl="y"\n',
        '[remotes."a"]\r\nurl="x"\r\n# b\r\n[remotes.b]\r\nurl="y"',
    ],
)
def test_remotes_can_be_changed_however_they_are_written(text: str) -> None:
    assert urls(config_editing.add_remote(text, "c", "z")) == {"a": "x", "b": "y", "c": "z"}
    assert urls(config_editing.remove_remote(text, "a")) == {"b": "y"}
    assert urls(config_editing.rename_remote(text, "a", "c")) == {"c": "x", "b": "y"}
    assert urls(config_editing.set_url(text, "a", "z")) == {"a": "z", "b": "y"}


def test_a_remote_that_is_not_there_is_unknown() -> None:
    for edit in (config_editing.remove_remote, lambda text, name: config_editing.set_url(text, name, "/z")):
        with pytest.raises(UnknownRemote):
            edit(WRITTEN, "nobody")
    with pytest.raises(UnknownRemote):
        config_editing.rename_remote(WRITTEN, "nobody", "c")


def test_a_name_that_is_taken_or_no_name_is_refused() -> None:
    names = ("b", "a b", "", "-a", "x" * 65, 'a]\nurl = "/evil"\n[remotes.b')
    for name, refused in zip(names, [RemoteExists, *[InvalidArgument] * 5], strict=True):
        with pytest.raises(refused):
            config_editing.add_remote(WRITTEN, name, "/z")
        with pytest.raises(refused):
            config_editing.rename_remote(WRITTEN, "a", name)
