"""The paper on the command line, docs/cli.md, and the program say the same, both ways.

Commands, arguments and options are those click knows; exit codes and errors those of `exits`; keys of config.toml those
of its models; JSON keys those of `report.EMPTY`, and deeper ones those of documents that the program really prints.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import click
import pytest
from pydantic import BaseModel

from eventsync import exits, report
from eventsync.cli import program as root
from eventsync.cli.commands import common_options
from eventsync.config import Config, Remote, RuleTable
from journal import Parked
from tests.cli.answers import ROOT, Answer, Run
from tests.cli.test_help import COMMANDS
from tests.integration.forger import Forger

PAPERS = [ROOT / name for name in ("README.md", "docs/cli.md", "docs/doctor.md", "docs/tutorial.md")]
COMMON = {name for option in common_options() for name in [*option.opts, *option.secondary_opts]}
BY_NAME = {" ".join(path): command for path, command in COMMANDS.items()}


# --- reading the paper -----------------------------------------------------------------------------------------------


@cache
def sections() -> Mapping[str, str]:
    """Title → text of each third-level section of docs/cli.md."""
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    parts = re.split(r"(?m)^#{1,3} (.+)$", re.sub(r"(?ms)^```.*?^```$", lambda found: found[0].replace("#", ""), text))
    titles = parts[1::2]
    assert len(set(titles)) == len(titles)
    return dict(zip(titles, parts[2::2], strict=True))


def rows(section: str, first: str) -> list[list[str]]:
    """The rows of the table in a section whose first column is called so; an empty list when there is none."""
    found: list[list[str]] = []
    inside = False
    for line in sections()[section].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" |")] if line.startswith("|") else []
        if not cells:
            inside = False
        elif cells[0] == first:
            inside = True
        elif inside and not set(cells[0]) <= set("- "):
            found.append(cells)
    return found


def code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


# --- commands and options --------------------------------------------------------------------------------------------


def own_options(command: click.Command) -> Iterator[click.Option]:
    for param in command.params:
        if isinstance(param, click.Option) and not COMMON & set(param.opts):
            yield param


def names_of(options: Iterator[click.Option]) -> set[str]:
    return {name for option in options for name in [*option.opts, *option.secondary_opts]}


def test_every_command_has_a_section_and_every_section_of_a_command_has_one() -> None:
    assert set(BY_NAME) <= set(sections())
    synopses = {
        title: line
        for title, text in sections().items()
        for line in text.splitlines()
        if line.startswith("    eventsync ")
    }
    assert set(synopses) == set(BY_NAME)


@pytest.mark.parametrize("name", BY_NAME)
def test_the_synopsis_has_all_arguments_and_options(name: str) -> None:
    synopsis = sections()[name].lstrip("\n").splitlines()[0]
    assert synopsis.startswith(f"    eventsync {name}")
    words = synopsis.removeprefix(f"    eventsync {name}")
    assert set(re.findall(r"--[a-z-]+", words)) == names_of(own_options(BY_NAME[name]))
    arguments = [param.metavar for param in BY_NAME[name].params if isinstance(param, click.Argument)]
    assert None not in arguments
    rest = re.sub(r"--[a-z-]+( [A-Z][A-Z=/]*)?", "", words)
    assert re.findall(r"[A-Z|]{2,}", rest) == [re.sub(r"[^A-Z|]", "", str(metavar)) for metavar in arguments]


@pytest.mark.parametrize("name", BY_NAME)
def test_the_table_of_options_is_that_of_the_command(name: str) -> None:
    options = list(own_options(BY_NAME[name]))
    written = [code(row[0]) for row in rows(name, "option")]
    names = [word.split(" ")[0] for words in written for word in words]
    assert len(names) == len(set(names))
    assert set(names) == names_of(iter(options))
    takes_value = {word.split(" ")[0] for words in written for word in words if " " in word}
    assert takes_value == {option.opts[0] for option in options if not option.is_flag}
    assert all(len(row) == 2 and row[1] for row in rows(name, "option"))


def test_the_common_options_are_told_once() -> None:
    assert {word.split(" ")[0] for row in rows("Common options", "option") for word in code(row[0])} == COMMON


@pytest.mark.parametrize("title", sections())
def test_no_section_speaks_of_an_option_that_is_not_there(title: str) -> None:
    """A span or line that begins with a command is about that command, every other about the section's."""
    text = re.sub(r"(?ms)^```.*?^```$", "", sections()[title])
    for span in [*code(text), *re.findall(r"(?m)^    (.+)$", text)]:
        named = [name for name in BY_NAME if re.match(rf"(eventsync )?{name}\b", span)]
        about = max(named, key=len, default=title)
        commands = [BY_NAME[about]] if about in BY_NAME else BY_NAME.values()
        known = COMMON | {"--version"} | {name for command in commands for name in names_of(own_options(command))}
        assert set(re.findall(r"(?<![\w-])--[a-z-]+", span)) <= known, span


def lines_to_type(paper: Path) -> Iterator[str]:
    """Everything in a paper that begins with `eventsync` and is meant as it stands, in a block or in a span."""
    text = paper.read_text(encoding="utf-8")
    lines = re.findall(r"(?m)^(?:\$ |    )?(?:[A-Z_]+=\S+ )?(eventsync .+)$", text)
    for line in [*lines, *re.findall(r"`(eventsync [^`]+)`", text)]:
        typed = re.split(r" +#| [|;>] | && ", line)[0]
        if not re.search(r"[\[(<…]|\.\.\.|(^| )[A-Z]+( |$)", typed):
            yield typed


@pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: paper.name)
def test_every_command_in_a_paper_can_be_typed(paper: Path) -> None:
    typed = list(lines_to_type(paper))
    assert typed
    for line in typed:
        words = shlex.split(line)[1:]
        while words and words[0].startswith("-"):
            del words[: 2 if words[0] == "--store" else 1]
        path = next((path for path in COMMANDS if tuple(words[: len(path)]) == path), None)
        if path is None:
            assert words[:1] in ([], ["remote"], ["identity"]), line
        elif len(words) > len(path):  # else it is a command by its name
            COMMANDS[path].make_context(path[-1], words[len(path) :])  # parses, and runs nothing


@pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: paper.name)
def test_every_link_in_a_paper_leads_somewhere(paper: Path) -> None:
    for text, target in re.findall(r"\[([^\]]+)\]\(([^)\s]+)\)", paper.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        there = paper.parent / name if name else paper
        assert there.exists(), (text, target)
        if anchor:
            titles = re.findall(r"(?m)^#+ (.+)$", there.read_text(encoding="utf-8"))
            anchors = {re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in titles}
            assert anchor in anchors, (text, target)


# --- the tables ------------------------------------------------------------------------------------------------------


def test_the_exit_codes_are_those_of_the_table() -> None:
    assert {int(row[0]): row[1] for row in rows("Exit codes", "code")} == dict(exits.MEANINGS)


def test_the_errors_are_those_of_the_table() -> None:
    written = [(code(row[0])[0], int(row[1])) for row in rows("Errors", "class")]
    assert len(written) == len(set(written))
    assert set(written) == {(row.slug, row.code) for row in exits.TABLE.values()} | {("bug", exits.BUG)}


def test_the_results_and_verdicts_are_those_of_a_pull() -> None:
    from federation.model import OPEN_VERDICTS, Result, Verdict

    assert [word for row in rows("pull", "result") for word in code(row[0])] == [str(result) for result in Result]
    verdicts = [word for row in rows("Candidates and verdicts", "verdict") for word in code(row[0])]
    assert set(verdicts) == {str(verdict) for verdict in Verdict}
    assert set(verdicts[:5]) == {str(verdict) for verdict in OPEN_VERDICTS}  # "the first five are open"
    (option,) = [option for option in own_options(BY_NAME["inbox"]) if option.opts == ["--verdict"]]
    assert isinstance(option.type, click.Choice)
    (row,) = [row for row in rows("inbox", "option") if "--verdict" in row[0]]
    assert code(row[1]) == list(option.type.choices)


def test_the_variables_are_those_the_program_looks_at() -> None:
    told = {word for row in rows("Environment", "variable") for word in code(row[0])}
    sources = [
        path.read_text(encoding="utf-8")
        for name in ("eventsync", "journal", "federation")
        for path in (ROOT / name).rglob("*.py")
    ]
    used = {name for text in sources for name in re.findall(r"(?<![A-Z_])EVENTSYNC_[A-Z]+(?:_[A-Z]+)*", text)}
    assert told == used | {"VISUAL", "EDITOR", "NO_COLOR"}
    assert all(name in str(root.epilog) for name in told)


def config_keys(model: type[BaseModel], before: str = "") -> Iterator[tuple[str, Any]]:
    """Every key of config.toml with its default; a table of tables is one whose key is NAME."""
    for name, field in model.model_fields.items():
        default = field.get_default()
        if isinstance(default, BaseModel):
            yield from config_keys(type(default), f"{before}{name}.")
        elif name == "remotes":
            yield from config_keys(Remote, f"{name}.NAME.")
        elif name == "rules":
            yield name, default
            yield from config_keys(RuleTable, f"{name}[].")
        else:
            yield f"{before}{name}", None if field.is_required() else default


def test_the_keys_of_config_are_those_of_its_models() -> None:
    written = {code(row[0])[0]: json.loads(code(row[2])[0]) if row[2] else None for row in rows("config.toml", "key")}
    expected = {key: list(value) if isinstance(value, tuple) else value for key, value in config_keys(Config)}
    assert written == expected


def test_the_example_of_config_is_one_and_has_all_keys() -> None:
    import tomllib

    (text,) = re.findall(r"(?ms)^```toml\n(.*?)^```$", sections()["config.toml"])
    config = Config.model_validate(tomllib.loads(text))
    assert config == Config(remotes=config.remotes, rules=config.rules)  # the defaults, as they stand in the table
    for key, _ in config_keys(Config):
        assert re.search(rf"(?m)^(\[\[{re.escape(key)}\]\]|{key.rpartition('.')[2]} = )", text), key


# --- JSON ------------------------------------------------------------------------------------------------------------


TYPES: Mapping[str, Any] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "list": list,
    "list of string": list,
    "object": dict,
    "map": dict,
    "null": type(None),
}
Keys = Mapping[str, frozenset[str]]


@cache
def keys(section: str) -> Keys:
    """Path → types, of the table of a section; what it says by naming another table is put in its place."""
    same = re.search(r"(?m)^JSON: as \[(.+?)\]", sections()[section])
    if same:
        return keys(same[1])
    found: dict[str, frozenset[str]] = {}
    for row in rows(section, "JSON key"):
        (path,), (types, _, like) = code(row[0]), row[1].partition(", as ")
        assert path not in found
        found[path] = frozenset(types.split(" or "))
        assert found[path] <= TYPES.keys(), (section, path)
        if like:
            other, _, within = code(like)[0].partition(": ")
            before = f"{within}." if within else ""
            inner = keys(other.replace("errors", "Errors"))
            found |= {f"{path}.{key.removeprefix(before)}": inner[key] for key in inner if key.startswith(before)}
    return found


def below(path: str, told: Keys) -> set[str]:
    """The keys of the object at a path."""
    before = f"{path}." if path else ""
    return {re.split(r"[.\[]", key.removeprefix(before))[0] for key in told if key.startswith(before)}


def is_of(value: Any, name: str) -> bool:
    return isinstance(value, TYPES[name]) and (name == "boolean" or not isinstance(value, bool))


def compare(value: Any, told: Keys, path: str = "") -> Iterator[str]:
    """Check a document against what is told, and return the paths that are in it."""
    if path and (path in told or not path.endswith("[]")):
        assert path in told, path
        assert any(is_of(value, name) for name in told[path]), f"{path} is {value!r}, told as {sorted(told[path])}"
        yield path
    if isinstance(value, list):
        if "list of string" in told[path]:
            assert all(isinstance(item, str) for item in value)
            return
        for item in value:
            yield from compare(item, told, f"{path}[]")
    if isinstance(value, dict) and "map" not in told.get(path, ()):
        assert value.keys() == below(path, told), path or "the document"
        for name, item in value.items():
            yield from compare(item, told, f"{path}.{name}" if path else name)


@pytest.mark.parametrize("name", BY_NAME)
def test_the_keys_of_a_document_are_those_of_the_empty_one(name: str) -> None:
    assert below("", keys(name)) == report.EMPTY[name].keys()


class Told:
    """Documents as the program printed them, by command; each must be whole, whatever the exit code."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.documents: dict[str, list[Any]] = defaultdict(list)
        self.errors: list[Any] = []

    def __call__(self, *words: str, code: int = 0, store: Path | None = None) -> Any:
        name = next(" ".join(words[:n]) for n in (2, 1) if " ".join(words[:n]) in BY_NAME)
        answer: Answer = self._run(*words, "--json", *(() if store is None else ("--store", str(store))))
        assert answer.code == code, answer
        self.documents[name].append(answer.document)
        self.errors += [found["error"] for line in answer.err.splitlines() if "error" in (found := json.loads(line))]
        return answer.document


def decide_about_origins(tell: Told, store: Path, bus: Path) -> None:
    """A stranger signs two histories; then everything that can be said about that."""
    stranger = Forger()
    stranger.record("p1")
    two = stranger.copy()
    for forger, name in ((stranger, "p2"), (two, "p3")):
        forger.record(name)
    stranger.feed().put_into(bus)
    busy = Forger(8)
    for summary, payload in (("s", {"n": 1}), (None, {"long": "x" * 17_000})):
        busy.record(f"c{len(busy.lines)}", item_type="claim", summary=summary, payload=payload)
    busy.feed().put_into(bus)
    tell("remote", "add", "forged", str(bus), store=store)
    tell("pull", "forged", store=store)
    tell("peers", store=store)
    shutil.rmtree(bus / busy.origin)
    two.feed(gen=2).put_into(bus)
    tell("pull", "forged", code=5, store=store)
    (fork,) = tell("origin", "show", stranger.origin, store=store)["forks"]
    tell("origin", "trust", stranger.origin, code=22, store=store)
    tell("origin", "trust", stranger.origin, "--keep", store=store)
    tell("origin", "trust", stranger.origin, "--take", fork["head"], store=store)
    tell("origin", "show", stranger.origin, store=store)
    tell("origin", "list", store=store)
    tell("pull", "forged", store=store)
    tell("origin", "block", stranger.origin, "--reason", "no", store=store)
    tell("origin", "show", stranger.origin, store=store)
    tell("pull", "forged", store=store)
    tell("origin", "forget", stranger.origin, store=store)
    tell("origin", "show", stranger.origin, store=store)
    tell("origin", "trust", stranger.origin, store=store)
    tell("remote", "remove", "forged", store=store)


def decide_by_rule(tell: Told, ada: Path, ben: Path) -> None:
    """Rules of ben decide what ada has: they accept and hold something, and leave what breaks a limit."""
    tell("put", "note", "case", "--set", "a=1", store=ben)
    for name in ("CASE", "n2"):
        tell("put", "note", name, "--set", "a=1", store=ada)
    tell("put", "plan", "p7", "--set", "a=1", store=ada)
    tell("push", store=ada)
    tell("pull", store=ben)
    config = ben / ".eventsync" / "config.toml"
    settings = config.read_text()
    rules = ('type = "note"\naction = "accept"', 'types = ["plan"]\nverdict = "new"\nitem_id = "p*"\naction = "hold"')
    config.write_text(settings + "".join(f'[[rules]]\norigin = "*"\n{rule}\n' for rule in rules))
    tell("review", code=2, store=ben)
    tell("rules", store=ben)
    tell("rules", "list", store=ben)
    tell("rules", "test", store=ben)
    tell("pull", store=ben)
    tell("rules", "test", store=ben)
    tell("inbox", "--all", store=ben)
    config.write_text(settings)


@pytest.fixture
def told(run: Run, tmp_path: Path) -> Told:
    """A life in JSON: two stores over a bus, with everything that can come out differently."""
    tell = Told(run)
    ada, ben, bus = tmp_path / "ada", tmp_path / "ben", tmp_path / "bus"
    for folder in (ada, ben):
        tell("init", str(folder), "--name", folder.name)
        tell("remote", "add", "bus", str(bus), store=folder)
    tell("put", "plan", "p1", "--set", "title=One", store=ada)
    tell("put", "plan", "p2", "--set", "a=1", store=ada)
    tell("put", "note", "n1", "--set", "text=mine", "--private", store=ada)
    tell("put", "session", "s1", "--set", "a=1", store=ada)
    tell("put", "plan", "p4", "--set", f"path=C:{chr(92)}Users{chr(92)}Alice", store=ada)
    tell("publish", "--explain", store=ada)
    tell("remote", "list", store=ada)
    tell("schedule", "--cron", store=ada)
    tell("schedule", "--systemd", store=ada)
    tell("sync", store=ada)
    tell("sync", store=ben)
    tell("inbox", store=ben)
    tell("diff", "cnd_", code=2, store=ben)
    tell("diff", tell("inbox", store=ben)["candidates"][0]["id"], store=ben)
    tell("accept", "--all", store=ben)
    decide_by_rule(tell, ada, ben)
    tell("edit", "plan", "p1", "--set", "title=Two", store=ben)
    tell("rm", "plan", "p2", store=ben)
    tell("edit", "plan", "p1", "--set", "title=Three", store=ada)
    tell("rm", "note", "n1", store=ada)
    tell("sync", store=ben)
    tell("sync", store=ada)
    tell("status", store=ada)
    tell("push", "--relay", store=ben)
    tell("origin", "show", "ben", store=ada)
    config = ada / ".eventsync" / "config.toml"
    settings = config.read_text()
    config.write_text(settings + "max_changes = 0\n")
    tell("edit", "plan", "p1", "--set", "more=1", store=ben)
    tell("push", store=ben)
    tell("pull", code=22, store=ada)
    tell("status", store=ada)
    config.write_text(settings)
    tell("pull", "--confirm", store=ada)
    tell("accept", "--all", code=22, store=ada)
    conflict = next(row["id"] for row in tell("inbox", store=ada)["candidates"] if row["verdict"] == "conflict")
    tell("diff", conflict, store=ada)
    tell("accept", conflict, code=22, store=ada)
    tell("snooze", conflict, "--for", "3d", store=ada)
    tell("inbox", "--all", store=ada)
    tell("inbox", "--at", "1", store=ada)
    tell("reject", conflict, "--reason", "no", store=ada)
    tell("snooze", conflict, store=ada)
    tell("reject", conflict, store=ada)
    tell("inbox", "undo", store=ada)
    tell("inbox", "--all", store=ada)
    tell("log", store=ada)
    tell("log", store=ben)
    for words in (("show", "plan", "p1"), ("show", "plan", "p1", "--rev", "1"), ("ls", "--deleted")):
        tell(*words, store=ada)
    tell("unseen", "claude", "--ack", store=ada)
    theirs = tmp_path / "theirs" / ".brainclaw"
    (theirs / "coordination/plans").mkdir(parents=True)
    (theirs / "coordination/claims").mkdir()
    (theirs / "config.yaml").write_text(f"project_id: prj_{'0' * 32}")
    for name in ("plans/ok", "plans/bad", "claims/c"):
        (theirs / f"coordination/{name}.json").write_text('{"id":"ok"}')
    tell("migrate", str(theirs), code=3, store=ada)
    tell("migrate", str(theirs), "--dry-run", store=ada)
    tell("schema")
    tell("schema", "plan")
    parked = report.parked_value(Parked(1, 3, 3, {"plan": 2, "note": 1}))
    tell.documents["unseen"].append({**tell("unseen", "claude", store=ada), "gap": True, "parked": parked})
    tell("show", "plan", "p1", "--rev", "1", store=ben)
    tell("show", "plan", "p2", "--rev", "2", store=ben)
    origin = tell("identity", "show", store=ada)["origin_store_id"]
    (bus / origin / "head.json").write_text("junk")
    tell("pull", "bus", code=5, store=ben)
    tell("push", "bus", code=5, store=ada)
    tell("pull", str(tmp_path / "nowhere"), code=75, store=ada)
    tell("push", code=5, store=ada)
    tell("put", "plan", "p3", "--set", "key=AKIA" + "ABCDEFGHIJKLMNOP", store=ada)
    tell("sync", code=5, store=ada)
    tell("remote", "add", "again", str(bus), store=ada)
    tell("remote", "show", "bus", store=ada)
    shutil.rmtree(bus / origin)
    tell("pull", "bus", store=ben)
    tell("remote", "set-url", "bus", str(ben), store=ada)
    tell("remote", "rename", "bus", "other", store=ada)
    tell("remote", "remove", "other", store=ada)
    tell("redact", "2", "--reason", "no", code=22, store=ada)
    tell("redact", "2", "--reason", "no", "--yes", store=ada)
    tell("redact", "2", "--reason", "no", "--yes", store=ada)
    decide_about_origins(tell, ada, tmp_path / "forged")
    for name in ("verify", "rebuild", "checkpoint", "gc"):
        tell(name, store=ada)
    log = ada / ".eventsync" / "journal" / "seg-00000001.jsonl"
    log.write_bytes(log.read_bytes().replace(b'"One"', b'"Two"', 1))
    tell("verify", code=12, store=ada)
    tell("inspect", str(log), "--limit", "2", code=12)
    (own,) = (ben / ".eventsync" / "feed").iterdir()
    its_log = ben / ".eventsync" / "journal" / "seg-00000001.jsonl"
    for path in (own / "head.json", next(own.glob("seg-*")), ben / ".eventsync" / "store.json", its_log):
        tell("inspect", str(path))
    tell("doctor", code=12, store=ada)
    tell("doctor", "--fix", store=ada)
    shutil.copytree(ben, tmp_path / "copy")
    tell("put", "plan", "p9", "--set", "a=1", code=22, store=tmp_path / "copy")
    tell("identity", "show", store=tmp_path / "copy")
    tell("identity", "keep", store=tmp_path / "copy")
    shutil.copytree(ben / ".eventsync" / "entities", tmp_path / "clone" / ".eventsync" / "entities")
    (tmp_path / "clone" / ".eventsync" / "entities" / "plan" / "bad.json").write_text("{")
    tell("init", str(tmp_path / "clone"), code=3)
    tell("identity", "renew", code=22, store=tmp_path / "copy")
    tell("identity", "renew", "--yes", store=tmp_path / "copy")
    tell("identity", "republish", store=tmp_path / "copy")
    tell("identity", "show", store=tmp_path / "copy")
    tell("demo")
    return tell


def test_every_document_is_as_it_is_told_and_everything_told_is_in_one(told: Told) -> None:
    assert told.documents.keys() == BY_NAME.keys()
    for name, documents in told.documents.items():
        # A command that failed as a whole prints the empty document: null may stand there for anything.
        filled = [document for document in documents if document != report.EMPTY[name]]
        paths = {path for document in filled for path in compare(document, keys(name))}
        assert {code(row[0])[0] for row in rows(name, "JSON key")} <= paths, name
    assert {path for error in told.errors for path in compare(error, keys("Errors"))} == keys("Errors").keys()


def test_the_example_of_an_error_is_one(run: Run, store: Path) -> None:
    (text,) = re.findall(r"(?ms)^```json\n(.*?)^```$", sections()["Errors"])
    assert json.loads(run("show", "plan", "pln_9", "--json").err) == json.loads(text)


@pytest.mark.parametrize("document", [{"name": "a", "url": "b", "more": 1}, {"name": "a"}, {"name": "a", "url": 1}])
def test_a_document_that_is_not_as_told_is_seen(document: dict[str, Any]) -> None:
    with pytest.raises(AssertionError):
        list(compare(document, keys("remote add")))
