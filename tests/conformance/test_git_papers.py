"""What docs/transports.md says of git can be typed as it stands there."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from federation.model import HEAD_FILE
from federation.transports import Listing
from federation.transports.git_dialogue import in_a_child
from tests.conformance.test_git import GitPlace
from tests.conformance.test_transports import S1, A, own_feed
from tests.servers.repositories import PREFIX, Repository

PAPER = Path(__file__).resolve().parents[2] / "docs" / "transports.md"


def section(title: str) -> str:
    """The text of a section of the paper."""
    return PAPER.read_text(encoding="utf-8").split(f"### {title}\n")[1].split("\n#")[0]


def commands(text: str) -> list[list[str]]:
    """What is to be typed: indented lines, and whole commands within the text."""
    typed = [line.strip() for line in text.splitlines() if line.startswith("    git ")]
    typed += [piece for piece in text.replace("\n", " ").split("`")[1::2] if piece.startswith("git fetch")]
    return [shlex.split(line) for line in typed]


def test_the_lines_of_git_that_show_a_feed_show_it(tmp_path: Path) -> None:
    place = GitPlace(tmp_path / "bus.git", str(tmp_path / "bus.git"), tmp_path / "memory")
    feed = own_feed(tmp_path / "feed", head=b"the head", s1=b"1")
    place.transport().publish(A, feed, [S1, HEAD_FILE], frozenset())
    elsewhere = Repository(tmp_path / "elsewhere.git")
    found = commands(section("Looking at it with git"))
    assert len(found) == 3, "two lines, and one for a repository elsewhere"
    said = []
    for words in found:
        words = [word.replace("<origin>", A).replace("<url>", str(place.path)) for word in words]
        ran = subprocess.run(
            words,
            cwd=elsewhere.path if "fetch" in words else tmp_path,
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "HOME": str(tmp_path)},
        )
        said.append(ran.stdout)
    assert said[0] == f"{place.tip(A)}\t{PREFIX}{A}\n"
    assert said[1] == "the head"
    assert elsewhere.content() == place.content()


def test_a_repository_in_place_needs_no_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    place = GitPlace(tmp_path / "bus.git", str(tmp_path / "bus.git"), tmp_path / "memory")
    place.way(in_a_child).publish(A, own_feed(tmp_path / "feed", head=b"1"), [HEAD_FILE], frozenset())
    assert place.way(in_a_child).origins() == Listing((A,), 0)
