"""Ruling: the use cases of rules: what they decide after a pull, and what they would decide.

A short command must not load pydantic because there might be rules: config.toml is parsed only where the word occurs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from federation.errors import FederationError
from federation.inbox import Filter, Inbox
from federation.ruling import NO_RULES, Ruled, RuleRun, ruled
from federation.ruling import run_rules as decide
from journal import DamagedStore, JournalError

if TYPE_CHECKING:
    from eventsync.sharing import Sharing
    from federation.holdings import Holdings
    from federation.model import RemotePull
    from federation.rules import Rule

_AGENT = "rules"  # of the batch; each record says which rule it was


def rules_in(sharing: Sharing) -> Sequence[Rule]:
    """The rules in config.toml, in their order; ConfigError when it has some and cannot be used as it is."""
    try:
        data = sharing.store.disk.read_if_there(sharing.config_path) or b""
    except DamagedStore:
        return sharing.config.rule_list  # which says what is wrong with the file
    return sharing.config.rule_list if b"rules" in data or b"\\" in data else ()


def run_rules(sharing: Sharing) -> RuleRun:
    """Decide what rules can decide; why they could not is in the answer: what was pulled before stays and is told."""
    if not sharing.rules:
        return NO_RULES
    try:
        return decide(sharing.deciding(_AGENT), sharing.inbox, sharing.rules)
    except (FederationError, JournalError) as error:
        return RuleRun(error=error)


def recounted(holdings: Holdings, report: RemotePull) -> RemotePull:
    """A report with the candidates as they are after the rules."""
    origins = (found._replace(candidates=holdings.counts(found.origin)) for found in report.origins)
    return report._replace(origins=tuple(origins))


class Rehearsal(NamedTuple):
    """What rules would come to: all open candidates, each with the first rule that fits."""

    rules: Sequence[Rule]
    candidates: Sequence[Ruled]


def rehearse(sharing: Sharing, config: Path | None, origin: str | None, item_type: str | None) -> Rehearsal:
    """What the rules would do now with candidates of an origin and a type, or of all; nothing is decided.

    `config` is a file to try in place of the store's; ConfigError when it cannot be used.
    """
    rules = sharing.rules if config is None else _rules_of_file(sharing, config)
    found = ruled(Inbox(sharing.holdings), rules, Filter(origin))
    return Rehearsal(rules, [item for item in found if item_type in (None, item.candidate.item_type)])


def _rules_of_file(sharing: Sharing, path: Path) -> Sequence[Rule]:
    from eventsync import config as configs
    from eventsync.errors import InputUnreadable

    if sharing.store.disk.size(path) is None:
        raise InputUnreadable("is not there", path=str(path))
    return configs.read(sharing.store.disk, path).rule_list
