"""Rules: which one fits a candidate. Pure."""

from __future__ import annotations

import time

import pytest

from federation.model import OPEN_VERDICTS, Candidate, Verdict
from federation.rules import DECIDABLE, Action, Rule, first_fitting, rule_named_by
from journal import Version

ADA, BEN = "es1" + "a" * 32, "es1" + "b" * 32


def candidate(
    item_id: str = "p1", *, origin: str = ADA, item_type: str = "plan", verdict: Verdict = Verdict.NEW
) -> Candidate:
    version = Version(origin, 1, "0" * 12)
    return Candidate(
        "cnd_0", origin, "", item_type, item_id, 1, 1, "create", verdict, None, None, "0" * 64, version, False
    )


@pytest.mark.parametrize("action", Action)
def test_without_a_verdict_a_rule_is_about_all_that_it_can_decide(action: Action) -> None:
    """[K5] Nothing takes the foreign side of a conflict by rule, and nothing accepts what cannot be read."""
    rule = Rule("any", action)
    found = {verdict for verdict in Verdict if rule.fits(candidate(verdict=verdict))}
    assert found == DECIDABLE[action]
    assert found <= OPEN_VERDICTS


def test_no_rule_accepts_a_conflict_whatever_it_says() -> None:
    """[K5] Not even one that was made without the config, which refuses it."""
    rule = Rule("bold", Action.ACCEPT, verdicts=frozenset(Verdict))
    for verdict in (Verdict.CONFLICT, Verdict.UNREADABLE, Verdict.KNOWN, Verdict.IDENTICAL):
        assert not rule.fits(candidate(verdict=verdict))


def test_each_part_of_a_rule_narrows_it() -> None:
    rule = Rule(
        "narrow", Action.ACCEPT, frozenset([ADA]), frozenset(["plan"]), frozenset([Verdict.NEW]), item_id="app-*"
    )
    assert rule.fits(candidate("app-1"))
    assert not rule.fits(candidate("app-1", origin=BEN))
    assert not rule.fits(candidate("app-1", item_type="note"))
    assert not rule.fits(candidate("app-1", verdict=Verdict.UPDATE))
    assert not rule.fits(candidate("my-app-1"))
    assert not rule.fits(candidate("APP-1"))


def test_an_origin_that_nobody_signed_has_to_be_named() -> None:
    bridged = candidate(origin="brainclaw:prj_0")
    assert not Rule("any", Action.ACCEPT).fits(bridged)
    assert Rule("named", Action.ACCEPT, frozenset(["brainclaw:prj_0"])).fits(bridged)


def test_the_first_rule_that_fits_counts() -> None:
    rules = [
        Rule("theirs", Action.REJECT, frozenset([BEN])),
        Rule("plans", Action.HOLD, types=frozenset(["plan"])),
        Rule("rest", Action.ACCEPT),
    ]
    assert first_fitting(rules, candidate()) == rules[1]
    assert first_fitting(rules, candidate(origin=BEN)) == rules[0]
    assert first_fitting(rules, candidate(item_type="note")) == rules[2]
    assert first_fitting(rules, candidate(item_type="note", verdict=Verdict.CONFLICT)) is None


def test_a_record_tells_its_rule_by_its_agent() -> None:
    assert rule_named_by(Rule("a", Action.ACCEPT).agent) == "a"
    assert [rule_named_by(agent) for agent in ("", "cli", "my-rule:a")] == [None] * 3


def test_no_pattern_makes_a_hostile_id_costly() -> None:
    """A pattern of many stars must not try all ways to cut an id."""
    rule = Rule("slow", Action.HOLD, item_id="*a" * 100 + "b")
    before = time.process_time()
    assert not rule.fits(candidate("a" * 512))
    assert time.process_time() - before < 30
