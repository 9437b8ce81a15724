"""Grouping by example: what is alike, what stands for it, and how little is read to tell."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest

from federation.grouping import Offer, offers, regrouped
from federation.merging import same_json
from federation.model import Candidate, Snooze, Verdict, candidate_id
from journal import Version


def one(origin: str, item_id: str = "p", verdict: Verdict = Verdict.NEW, held: bool = False) -> Candidate:
    """An open candidate of an origin."""
    return Candidate(
        candidate_id(origin, "plan", item_id),
        origin,
        origin,
        "plan",
        item_id,
        1,
        1,
        "create",
        verdict,
        None,
        None,
        "d" * 64,
        Version(origin, 1, "d" * 12),
        held,
    )


class Payloads:
    """What each origin has, and of whom it was asked."""

    def __init__(self, **payloads: object) -> None:
        self._payloads = payloads
        self.asked: list[str] = []

    def __call__(self, candidate: Candidate) -> bytes | None:
        self.asked.append(candidate.origin)
        payload = self._payloads[candidate.origin]
        return payload if payload is None or isinstance(payload, bytes) else json.dumps(payload).encode()


def sources(found: Iterable[Offer]) -> list[str]:
    return ["".join(one.origin for one in offer.candidates) for offer in found]


def test_the_same_payload_is_one_offer_however_it_is_written() -> None:
    payloads = Payloads(a={"n": 1, "t": "é", "x": [1.0]}, b=b'{"x":[1],"t":"\\u00e9","n":1.0}', c={"n": 2})
    assert sources(offers([one("a"), one("b"), one("c")], payloads)) == ["ab", "c"]


@pytest.mark.parametrize("other", [True, "1", 1.5, None, [1], {"n": 1}, 0, 1e300, -1, 10**30])
@pytest.mark.parametrize("value", [1, 1.0, True, 0.0, -0.0, 1e300, 10**30, 1e30, "1", [], [1.0]])
def test_alike_is_what_is_the_same_json_value(value: object, other: object) -> None:
    found = offers([one("a"), one("b")], Payloads(a={"v": value}, b={"v": other}))
    assert (len(found) == 1) == same_json({"v": value}, {"v": other})


def test_what_only_one_origin_has_is_never_read() -> None:
    payloads = Payloads()
    found = offers([one(origin, f"p{number}") for number, origin in enumerate("abcd")], payloads)
    assert (sources(found), payloads.asked) == (["a", "b", "c", "d"], [])


def test_bytes_that_are_equal_are_read_once_each() -> None:
    payloads = Payloads(a={"n": 1}, b={"n": 1}, c={"n": 1})
    assert sources(offers(map(one, "abc"), payloads)) == ["abc"]
    assert payloads.asked == ["a", "b", "c"]


def test_deletions_are_alike_and_nothing_else_is_like_them() -> None:
    payloads = Payloads(a=b"", b=b"", c={})
    assert sources(
        offers([one("a", verdict=Verdict.GONE), one("b", verdict=Verdict.CONFLICT), one("c")], payloads)
    ) == [
        "ab",
        "c",
    ]


def test_what_cannot_be_read_and_what_is_settled_stands_for_itself() -> None:
    payloads = Payloads(a=None, b=None, c={}, d={}, e={})
    found = [one("a"), one("b"), one("c", verdict=Verdict.UNREADABLE), one("d", verdict=Verdict.IDENTICAL), one("e")]
    assert sources(offers(found, payloads)) == ["a", "b", "c", "d", "e"]
    assert "c" not in payloads.asked


def test_what_is_no_payload_is_like_the_same_bytes_only() -> None:
    payloads = Payloads(a=b'{"a":1,"a":1}', b=b'{"a":1,"a":1}', c=b'{"a":1, "a":1}', d={"a": 1})
    assert sources(offers(map(one, "abcd"), payloads)) == ["ab", "c", "d"]


def test_another_entity_is_another_offer_and_offers_of_one_entity_stand_together() -> None:
    payloads = Payloads(a={}, b={}, c={"n": 1}, d={})
    found = [one("a", "p"), one("b", "q"), one("c", "p"), one("d", "P")]
    assert sources(offers(found, payloads)) == ["a", "c", "b", "d"]


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (one("b"), one("a", held=True)),
        (one("b"), one("a")._replace(snoozed=Snooze(None))),
        (one("b", verdict=Verdict.UPDATE), one("a", verdict=Verdict.CONFLICT)),
        (one("b"), one("a")._replace(version=Version("z", 9, "e" * 12))),
        (one("a"), one("b")),
        (one("b", verdict=Verdict.CONFLICT), one("a", held=True)),
    ],
    ids=["held", "snoozed", "conflict", "copy", "order", "rather a conflict than held"],
)
def test_the_one_that_can_be_accepted_stands_for_the_others(better: Candidate, worse: Candidate) -> None:
    for candidates in ([better, worse], [worse, better]):
        (offer,) = offers(candidates, Payloads(a={}, b={}))
        assert offer.lead == better


def test_a_part_of_the_candidates_is_grouped_as_all_of_them_without_a_look() -> None:
    everything = [one("a", held=True), one("b"), one("c"), one("d", "q")]
    (alike, other, _) = offers(everything, Payloads(a={}, b={"n": 1}, c={}, d={}))
    known = {member.id: offer for offer in (alike, other) for member in offer.candidates}
    assert sources(regrouped(everything, known)) == ["ca", "b", "d"]
    assert sources(regrouped([one("d", "q"), one("a", held=True)], known)) == ["d", "a"]
