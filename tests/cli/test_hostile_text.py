"""Foreign text steers nothing: whatever another store calls itself and its things, wherever this one tells of it.

One hostile feed with every kind of character that a terminal obeys or hides, in every place that has text; then each
command that may show it: in a pipe, on a terminal, as JSON, and what is kept in logs for cron's mail.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.cli.answers import Program, Run
from tests.integration.forger import Forger

# ESC with CSI, OSC and DCS; the same in C1; bidi marks, overrides and isolates; zero width, joiners, soft hyphen, tags,
# variation selectors; line breaks of all kinds, backspace, bell; a flood of marks; markup.
EVIL = (
    "\x1b[2J\x1b]0;owned\x07\x1bP1$q\x1b\\\x9b31m\x9d0;x\x9c\x90q\x9c\u061c\u200e\u200f\u202a\u202e\u2066\u2069\u200b\u200d"
    "\u2060\ufeff\u00ad\U000e0041\U000e007f\ufe0e\U000e0100\u2028\u2029\x85\v\f\r\nfake: all is well\b\b\x7f\0"
    + "e" + "\u0301" * 40 + "[bold red]x[/] ![y](z) \U0001f468\u200d\U0001f469"
)  # fmt: skip
STEERING = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    r"\U000e0000-\U000e01ef]|\u0301{9}"
)
IMPOSSIBLE = f"../{EVIL}"  # an id that no journal of ours may hold


def put_feed(bus: Path) -> None:
    forger = Forger()
    forger.record("p1", payload={"title": EVIL, EVIL: [EVIL]}, summary=EVIL, agent=EVIL, session_id=EVIL)
    forger.record(IMPOSSIBLE, payload={"title": EVIL}, summary=EVIL, agent=EVIL)
    forger.record("r1", payload={"reason": EVIL}, action=EVIL[:40])
    forger.record("c1", item_type="claim", payload={"title": EVIL}, summary=EVIL)
    forger.record("p2", payload={"title": EVIL}, summary=EVIL)
    forger.feed(name=EVIL).put_into(bus)
    other = Forger(8)
    other.record("p1", payload={"title": "other"}, summary=EVIL)
    other.feed(name=EVIL, t="0" * 64).put_into(bus)  # refused
    (bus / EVIL.replace("/", "").replace("\0", "")[:60]).write_text("x")


@pytest.fixture
def origin(run: Run, store: Path, tmp_path: Path) -> str:
    """A store that pulled the hostile feed; its origin."""
    bus = tmp_path / "bus"
    bus.mkdir()
    put_feed(bus)
    run("put", "plan", "p1", "--set", "title=mine")
    with (store / "config.toml").open("a") as file:
        file.write('[[rules]]\nname = "hold-all"\norigin = "*"\naction = "hold"\n')
    assert run("remote", "add", "bus", str(bus)).code == 0
    assert run("pull", "bus").code == 3
    return Forger().origin


def candidate(run: Run, item_id: str) -> str:
    (found,) = [one for one in run("inbox", "--all", "--json").document["candidates"] if one["item_id"] == item_id]
    return str(found["id"])


def commands(run: Run, origin: str, store: Path) -> list[list[str]]:
    """Every command that may tell of what others say."""
    conflict, fresh = candidate(run, "p1"), candidate(run, "p2")
    impossible = candidate(run, IMPOSSIBLE)
    files = [*(store / "federation" / "mirror" / origin).glob("seg-*"), store / "federation" / "runs.jsonl"]
    files.append(store / "federation" / "mirror" / origin / "head.json")
    return [
        *(["pull", "bus"], ["pull", "bus", "-v"], ["sync"], ["status"], ["remote", "show", "bus"]),
        *(["inbox"], ["inbox", "--all"], ["diff", conflict], ["diff", fresh], ["diff", impossible]),
        *(["origin", "list"], ["origin", "show", origin], ["rules", "test"]),
        *(["accept", conflict], ["accept", impossible], ["accept", "--all"], ["accept", fresh]),
        *(["log"], ["ls"], ["show", "plan", "p2"], ["unseen", "agent"], ["reject", impossible, "--reason", EVIL[:200]]),
        *(["snooze", conflict, "--for", "1d"], ["inbox", "undo"], ["log", "--entity", "plan/p2"]),
        *(["verify"], ["doctor"], ["origin", "block", origin], ["origin", "trust", origin], ["push", "bus", "--relay"]),
        *(["inspect", str(path)] for path in files),
        ["origin", "forget", origin],
    ]


def test_in_a_pipe_it_is_text_and_nothing_else(run: Run, store: Path, origin: str) -> None:
    shown = 0
    for words in commands(run, origin, store):
        answer = run(*words)
        said = answer.out + answer.err
        assert answer.code != 1, words
        assert not STEERING.search(said), (words, STEERING.search(said))
        assert not any(line.startswith("fake") for line in said.splitlines()), words
        shown += "owned" in said
    assert shown > 15  # it is shown, not left out


def test_as_json_it_is_ascii_and_the_same_text(run: Run, store: Path, origin: str) -> None:
    for words in commands(run, origin, store):
        answer = run(*words, "--json")
        assert (answer.out + answer.err).isascii(), words
        assert not STEERING.search(answer.out + answer.err), words
        for line in filter(None, answer.err.splitlines()):
            assert "error" in json.loads(line), words
    found = run("inbox", "--all", "--json").document["candidates"]
    assert all(one["trust"] == "foreign" for one in found)


def test_on_a_terminal_it_moves_nothing(run: Run, store: Path, origin: str, terminal: Program) -> None:
    told = ["pull", "inbox", "diff", "status", "origin", "accept"]
    chosen = {words[0]: words for words in reversed(commands(run, origin, store)) if words[0] in told}
    for words in chosen.values():
        out = re.sub(r"\x1b\[[0-9;]*[mK]|\x1b\[\?25[lh]|\x1b\[1A", "", terminal(*words).out)  # our own colours and bars
        out = out.replace("\r\n", "\n").replace("\r", "")
        assert not STEERING.search(out), (words, STEERING.search(out))
        assert not any(line.startswith("fake") for line in out.splitlines()), words


def test_logs_and_what_cron_mails_hold_it_as_ascii(run: Run, store: Path, origin: str) -> None:
    mail = run("sync", "--quiet")
    assert not STEERING.search(mail.out + mail.err)
    assert (store / "federation" / "runs.jsonl").read_bytes().isascii()


def test_a_number_that_is_none_leaves_each_document_json(run: Run, store: Path, tmp_path: Path) -> None:
    forger = Forger(7)
    start = '{"v":2,"seq":%d,"ts":"2026-11-22T12:00:00.000Z","writer":"w_1-00ff00ff","agent":"f","action":"create"'
    about = ',"item_type":"%s","item_id":"x1","entity_rev":1,"payload":{"a":1e999,"b":-1e999},"salt":"0000000000000001"'
    for seq, item_type in enumerate(("plan", "claim"), 1):
        forger.chained((start % seq + about % item_type).encode())
    forger.feed().put_into(tmp_path / "bus")
    assert run("remote", "add", "bus", str(tmp_path / "bus")).code == 0
    assert run("pull").code == 0
    (candidate,) = _strictly(run("inbox", "--json").out)["candidates"]
    (peer,) = _strictly(run("peers", "--json").out)["peers"]
    for shown in (candidate, peer["activities"][0]):
        assert shown["payload"] == {"a": "1e999", "b": "-1e999"}
    _strictly(run("diff", candidate["id"], "--json").out)
    assert run("accept", candidate["id"]).code != 0


def _strictly(text: str) -> Any:
    return json.loads(text, parse_constant=pytest.fail)
