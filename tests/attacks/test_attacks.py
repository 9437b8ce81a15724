"""Every row of the corpus over a folder, and a sample of each kind over a bare git repository."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attacks.corpus import ATTACKS, EVERYTHING, Attack
from tests.attacks.places import BareGit, Folder
from tests.attacks.playing import play
from tests.doubles.stores import quick_folder

DEEP = os.environ.get("EVENTSYNC_DEEP") == "1"
SAMPLE = EVERYTHING if DEEP else [*{attack.kind: attack for attack in ATTACKS}.values()]


def name_of(attack: Attack) -> str:
    return attack.name


@pytest.fixture
def place() -> Iterator[Path]:
    with quick_folder() as folder:
        yield folder


def test_every_attack_has_a_name_of_its_own() -> None:
    assert len({attack.name for attack in EVERYTHING}) == len(EVERYTHING)
    assert {attack.by for attack in EVERYTHING} == {"place", "owner"}


@pytest.mark.parametrize("attack", EVERYTHING, ids=name_of)
def test_an_attack_over_a_folder_is_answered_three_times_alike_and_then_honest_data_is_taken(
    place: Path, attack: Attack
) -> None:
    """[F5] [F6] [T1]"""
    outcome = play(attack, Folder(place), place)
    assert outcome.problems == (), outcome


@pytest.mark.parametrize("attack", SAMPLE, ids=name_of)
def test_an_attack_over_a_git_repository_is_answered_the_same(place: Path, attack: Attack) -> None:
    """[F5] [F6]"""
    outcome = play(attack, BareGit(place), place)
    assert outcome.problems == (), outcome
