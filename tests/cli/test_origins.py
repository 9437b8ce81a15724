"""Origins at the command line: what a person sees of other stores, and how a fork is met and settled."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.cli.answers import Answer, Run
from tests.integration.forger import Forged, Forger
from tests.integration.world import feed_lines

EVIL_NAME = "lap\x1b[31mtop\u202e`rm -rf`"


class Stranger:
    """An origin on a bus that the store here pulls from."""

    def __init__(self, run: Run, bus: Path) -> None:
        self.run = run
        self.bus = bus
        self.forger = Forger()
        for name in ("p1", "p2"):
            self.forger.record(name)
        self.show(self.forger)
        assert run("remote", "add", "bus", str(bus)).code == 0
        assert run("pull").code == 0

    @property
    def origin(self) -> str:
        return self.forger.origin

    def show(self, forger: Forger, **settings: Any) -> Forged:
        found = forger.feed(**{"name": EVIL_NAME, "published_at": "2020-01-01T00:00:00.000Z"} | settings)
        found.put_into(self.bus)
        return found

    def fork(self) -> Answer:
        """Show another history; what the pull says to it."""
        other = self.forger.copy()
        del other.lines[1:]
        other.record("q2")
        other.record("q3")
        self.show(other, gen=2)
        answer = self.run("pull")
        assert answer.code == 5
        return answer

    def document(self, *words: str, code: int = 0) -> Any:
        answer = self.run(*words, "--json")
        assert answer.code == code, answer
        return answer.document


@pytest.fixture
def stranger(run: Run, store: Path, tmp_path: Path) -> Stranger:
    return Stranger(run, tmp_path / "bus")


def assert_clean(*answers: Answer) -> None:
    """Foreign names are text, and nothing that a terminal obeys."""
    for answer in answers:
        assert "\x1b" not in answer.out + answer.err
        assert "\u202e" not in answer.out + answer.err


def test_no_origin_is_known_at_first(run: Run, store: Path) -> None:
    assert "no other store is known yet" in run("origin", "list").out
    answer = run("origin", "show", "es1")
    assert answer.code == 2
    assert "eventsync origin list" in answer.err


def test_a_fork_is_told_with_the_command_that_helps_everywhere(stranger: Stranger) -> None:
    """[F5]"""
    pulled = stranger.fork()
    show = f"eventsync origin show {stranger.origin}"
    assert show in pulled.err and f"eventsync origin trust {stranger.origin}" in pulled.err
    status = stranger.run("status")
    assert "[fork]" in status.out and show in status.out
    shown = stranger.run("origin", "show", stranger.origin[:8])
    (fork,) = stranger.document("origin", "show", stranger.origin)["forks"]
    assert f"eventsync origin trust {stranger.origin} --keep" in shown.out
    assert f"eventsync origin trust {stranger.origin} --take {fork['head']}" in shown.out
    assert fork["path"] in shown.out
    undecided = stranger.run("origin", "trust", stranger.origin)
    assert undecided.code == 22
    assert "--keep" in undecided.err and "--take" in undecided.err
    listed = stranger.run("origin", "list")
    assert "fork" in listed.out
    assert_clean(pulled, status, shown, undecided, listed)


def test_what_was_refused_is_told_with_where_it_is_kept(stranger: Stranger) -> None:
    """[F5]"""
    found = stranger.forger.feed(gen=2)
    folder = found.put_into(stranger.bus)
    (folder / "head.json").write_bytes(Forger(9).signed(found.head))
    for _ in range(3):
        pulled = stranger.run("pull")
        assert pulled.code == 5
        assert f"eventsync origin show {stranger.origin}" in pulled.err
    shown = stranger.run("origin", "show", stranger.origin)
    assert "bad signature" in shown.out and ", 3 times, at bus" in shown.out
    (entry,) = stranger.document("origin", "show", stranger.origin)["quarantine"]
    assert (Path(entry["path"]) / "reason.json").exists()
    assert entry["path"] in shown.out


def test_the_story_of_a_fork_that_is_settled_for_the_other_side(stranger: Stranger) -> None:
    """[F5] Nothing is deleted, and the journal tells what was decided."""
    stranger.run("accept", "--all")
    stranger.fork()
    (fork,) = stranger.document("origin", "show", stranger.origin)["forks"]
    wrong = stranger.run("origin", "trust", stranger.origin, "--take", "zz")
    assert wrong.code == 2 and "eventsync origin show" in wrong.err
    both = stranger.run("origin", "trust", stranger.origin, "--keep", "--take", fork["head"])
    assert both.code == 2
    taken = stranger.document("origin", "trust", stranger.origin, "--take", fork["head"])
    assert taken["state"] == "awaited"
    assert (Path(taken["parked"]) / "head.json").exists()
    assert taken["records"][0]["action"] == "origin_trust"
    assert stranger.document("origin", "show", stranger.origin)["chosen"] == fork["pin"]
    assert stranger.run("pull").code == 0
    assert {row["item_id"] for row in stranger.document("inbox")["candidates"]} == {"q2", "q3"}
    assert "origin_trust" in stranger.run("log").out
    assert stranger.run("rebuild").code == stranger.run("verify").code == 0
    assert {row["item_id"] for row in stranger.document("inbox")["candidates"]} == {"q2", "q3"}


def test_a_block_hides_and_says_so_and_trust_undoes_it(stranger: Stranger) -> None:
    """[F6]"""
    blocked = stranger.document("origin", "block", stranger.origin, "--reason", "its key is lost")
    assert (blocked["state"], len(blocked["records"])) == ("blocked", 1)
    assert stranger.document("origin", "block", stranger.origin)["records"] == []
    assert stranger.document("inbox", "--all")["candidates"] == []
    pulled = stranger.run("pull")
    assert pulled.code == 0 and "blocked by you" in pulled.out
    assert stranger.document("pull")["remotes"][0]["origins"][0]["result"] == "blocked"
    assert "its key is lost" in stranger.run("origin", "show", stranger.origin).out
    assert "[blocked]" in stranger.run("status").out
    trusted = stranger.run("origin", "trust", stranger.origin)
    assert "pulled as usual" in trusted.out
    assert len(stranger.document("inbox")["candidates"]) == 2
    assert "nothing to decide" in stranger.run("origin", "trust", stranger.origin).out
    assert_clean(pulled, trusted)


def test_a_forgotten_origin_is_put_aside_and_may_come_again(stranger: Stranger) -> None:
    forgotten = stranger.document("origin", "forget", stranger.origin)
    assert forgotten["state"] == "forgotten"
    assert stranger.document("inbox", "--all")["candidates"] == []
    assert stranger.document("status")["origins"] == []
    (row,) = stranger.document("origin", "list")["origins"]
    assert row["parked"] == [forgotten["parked"]]
    assert stranger.document("pull")["remotes"][0]["origins"][0]["result"] == "new"


def test_what_was_decided_about_origins_is_never_published(stranger: Stranger, store: Path) -> None:
    """[F1] Whom a person trusts is nobody's business."""
    stranger.run("put", "plan", "own", "--set", "a=1")
    stranger.run("origin", "block", stranger.origin, "--reason", "a secret reason")
    stranger.run("origin", "trust", stranger.origin)
    stranger.run("origin", "forget", stranger.origin)
    assert stranger.run("publish").code == 0
    own = stranger.document("identity", "show")["origin_store_id"]
    published = feed_lines(store / "feed" / own)
    assert sum(b'"skip"' in line for line in published) == 1
    head = (store / "feed" / own / "head.json").read_bytes()
    for word in (b"secret reason", b"origin_block", b"origin_trust", stranger.origin.encode()):
        assert not any(word in line for line in [*published, head])


def test_a_decision_about_an_origin_is_none_that_inbox_undo_takes_back(stranger: Stranger) -> None:
    """[K5]"""
    stranger.run("reject", stranger.document("inbox")["candidates"][0]["id"])
    stranger.run("origin", "block", stranger.origin)
    stranger.run("origin", "trust", stranger.origin)
    undone = stranger.document("inbox", "undo")
    assert [row["action"] for row in undone["records"]] == ["reopen"]
    assert len(stranger.document("inbox")["candidates"]) == 2


def test_how_old_the_newest_publish_is_shows_when_somebody_holds_a_feed_back(stranger: Stranger) -> None:
    """[F5] Whoever stands between can freeze what is shown; nobody can tell but by its age."""
    days = (datetime.now(UTC) - datetime(2020, 1, 1, tzinfo=UTC)).days
    for words in (("status",), ("origin", "list"), ("origin", "show", stranger.origin)):
        out = stranger.run(*words).out
        assert f"{days} days ago" in out or f"{days + 1} days ago" in out  # a day may end meanwhile
    assert stranger.document("status")["origins"][0]["published_at"] == "2020-01-01T00:00:00.000Z"
    later = (datetime.now(UTC) + timedelta(days=9)).isoformat()
    stranger.forger.record("p3")
    stranger.show(stranger.forger, gen=2, published_at=later)
    stranger.run("pull")
    assert "in the future" in stranger.run("status").out


def test_a_copied_store_decides_nothing(stranger: Stranger, store: Path) -> None:
    """[I2]"""
    store.rename(store.with_name("elsewhere"))
    (store.parent / "copy").mkdir()
    copy = store.parent / "copy" / ".eventsync"
    store.with_name("elsewhere").rename(copy)
    for verb in ("block", "forget"):
        answer = stranger.run("origin", verb, stranger.origin, "--store", str(copy))
        assert answer.code == 22, answer
    assert stranger.run("origin", "show", stranger.origin, "--store", str(copy)).code == 0
