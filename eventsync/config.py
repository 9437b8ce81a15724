"""Config: config.toml of a store, which people write: remotes, what is published, limits, rules.

Strict: an unknown key is an error that names file and key, never a setting that silently does nothing. A missing file
is all defaults. Loading pydantic costs more than a short command: who needs no config must not import this room.
Nothing here puts a URL into a message, be it in the place of a name: it may hold a secret [R2].
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError

from eventsync.errors import ConfigError
from federation.mirror import BRIDGE_PREFIX
from federation.model import BRAKE_CHANGES, BRAKE_DELETIONS, BrakeLimits, Verdict
from federation.rules import DECIDABLE, Action, Rule
from federation.transports.urls import without_secrets
from federation.withholding import DEFAULT_TYPES, path_pattern
from journal import ORIGIN, DamagedStore, Disk

CONFIG_FILE: Final = "config.toml"
REMOTE_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}"
RuleName = Annotated[str, StringConstraints(strict=True, pattern=rf"^{REMOTE_NAME}$")]
RemoteName = Annotated[str, StringConstraints(pattern=rf"^{REMOTE_NAME}$")]
ItemType = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
EntityName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}/[A-Za-z0-9][A-Za-z0-9._-]{0,126}$")]
Tag = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


def _names_files(glob: str) -> str:
    path_pattern(glob)  # ValueError when it names none
    return glob


Glob = Annotated[str, StringConstraints(max_length=1000), AfterValidator(_names_files)]


# How much one pull may bring of a known origin before a person has to look; 0 leaves everything to a person [K5].
BrakeLimit = Annotated[int, Field(strict=True, ge=0, le=1_000_000)]


class Strict(BaseModel):
    """A table whose keys are all known."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Remote(BaseModel):
    """`[remotes.NAME]`: a place, and what its transport wants to know beside that."""

    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True)

    url: Annotated[str, StringConstraints(min_length=1, strict=True)]
    max_changes: BrakeLimit | None = None  # None: as [limits] has it
    max_deletions: BrakeLimit | None = None
    relay: Annotated[bool, Field(strict=True)] = False  # `sync` passes on feeds of others to there [F10]

    @property
    def settings(self) -> Mapping[str, Any]:
        """The keys that only the transport understands."""
        return dict(self.model_extra or {})


class Publish(Strict):
    """`[publish]`: what others may see [F1]."""

    types: tuple[ItemType, ...] = DEFAULT_TYPES  # everything else is private until it is listed
    withhold_tags: tuple[Tag, ...] = ()
    only_tags: tuple[Tag, ...] = ()
    withhold_paths: tuple[Glob, ...] = ()
    saw: Annotated[bool, Field(strict=True)] = True  # tell others how far we have read them [F2]
    secret_scan: Literal["strict", "library"] = "strict"  # patterns of our own, or those of a library too
    not_secret: tuple[EntityName, ...] = ()  # entities that only look as if they held a secret
    home_paths: Literal["warn", "stop", "allow"] = "warn"


class Limits(Strict):
    """`[limits]`: how long and how much."""

    # Wall clock of one transfer [R1], for remotes that set no `deadline_seconds` of their own.
    transfer_seconds: Annotated[int, Field(strict=True, ge=1, le=86_400)] = 120
    max_changes: BrakeLimit = BRAKE_CHANGES
    max_deletions: BrakeLimit = BRAKE_DELETIONS


OpenVerdict = Literal["new", "update", "gone", "conflict", "unreadable"]


def _listed(value: object) -> object:
    """One text for a list of one."""
    return [value] if isinstance(value, str) else value


def _origin(value: str) -> str:
    if not (value == "*" or ORIGIN.fullmatch(value) or value.startswith(BRIDGE_PREFIX)):
        text = "neither an origin id nor '*'; `eventsync status --json` tells the ids"
        raise PydanticCustomError("rule", text)
    return value


OriginName = Annotated[str, StringConstraints(strict=True, max_length=200), AfterValidator(_origin)]
Origins = Annotated[tuple[OriginName, ...], BeforeValidator(_listed), Field(min_length=1)]
Types = Annotated[tuple[ItemType, ...], BeforeValidator(_listed), Field(min_length=1)]
Verdicts = Annotated[tuple[OpenVerdict, ...], BeforeValidator(_listed), Field(min_length=1)]


class RuleTable(Strict):
    """One `[[rules]]`: what is done about candidates of a kind, without asking [K5]."""

    action: Action
    origin: Origins
    type: Types | None = None
    types: Types | None = None
    verdict: Verdicts | None = None
    verdicts: Verdicts | None = None
    item_id: Annotated[str, StringConstraints(strict=True, min_length=1, max_length=256)] | None = None
    name: RuleName | None = None
    reason: Annotated[str, StringConstraints(strict=True, max_length=1_000)] | None = None

    @field_validator("verdict", "verdicts", mode="after")
    @classmethod
    def _can_be_decided(cls, value: tuple[str, ...] | None, info: ValidationInfo) -> tuple[str, ...] | None:
        action = info.data.get("action")
        for verdict in value or ():
            if action is not None and verdict not in DECIDABLE[action]:
                raise PydanticCustomError("rule", f"no rule accepts what is {verdict}: a person decides that [K5]")
        return value

    @field_validator("types", "verdicts", mode="after")
    @classmethod
    def _is_said_once(cls, value: tuple[str, ...] | None, info: ValidationInfo) -> tuple[str, ...] | None:
        one = str(info.field_name).removesuffix("s")
        if value is not None and info.data.get(one) is not None:
            raise PydanticCustomError("rule", f"give {one} or {one}s, not both")
        return value

    def rule(self, number: int) -> Rule:
        """The same for those who decide."""
        types, verdicts = self.type or self.types, self.verdict or self.verdicts
        return Rule(
            self.name or str(number),
            self.action,
            None if "*" in self.origin else frozenset(self.origin),
            None if types is None else frozenset(types),
            None if verdicts is None else frozenset(map(Verdict, verdicts)),
            self.item_id,
            self.reason,
        )


class Config(Strict):
    """The whole file."""

    remotes: dict[RemoteName, Remote] = {}
    publish: Publish = Publish()
    limits: Limits = Limits()
    rules: tuple[RuleTable, ...] = ()

    @cached_property
    def rule_list(self) -> tuple[Rule, ...]:
        """The rules in their order; one without a name is called after its place."""
        return tuple(table.rule(number) for number, table in enumerate(self.rules, 1))

    def brake_limits(self, remote: str) -> BrakeLimits:
        """How much one pull from a remote may bring [K5]; of a place without a name what holds for all."""
        own = self.remotes.get(remote)
        changes, deletions = (None, None) if own is None else (own.max_changes, own.max_deletions)
        return BrakeLimits(
            self.limits.max_changes if changes is None else changes,
            self.limits.max_deletions if deletions is None else deletions,
        )


# --- reading ---------------------------------------------------------------------------------------------------------


def read(disk: Disk, path: Path) -> Config:
    """The config at `path`; all defaults when there is none. ConfigError says file, line and key."""
    return parse(text_of(disk, path), path)


def parse(text: str, path: Path) -> Config:
    """Read the text of a config; `path` is for the error only."""
    try:
        value = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"not TOML: {error}", path=path, line=_line_in(str(error), text)) from None
    try:
        config = Config.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        keys = [key for key in first["loc"] if key != "[key]"]
        raise ConfigError(_what(keys, first), path=path, line=_line_of(keys, text)) from None
    _refuse_names_given_twice(config, text, path)
    return config


def _refuse_names_given_twice(config: Config, text: str, path: Path) -> None:
    seen: set[str] = set()
    for number, rule in enumerate(config.rule_list):
        if rule.name in seen:
            line = _line_of(["rules", number, "name"], text)
            raise ConfigError(f"rules.{number}.name: two rules are called {rule.name!r}", path=path, line=line)
        seen.add(rule.name)


def text_of(disk: Disk, path: Path) -> str:
    """The text of the file, empty when there is none; ConfigError when it is no text."""
    try:
        return (disk.read_if_there(path) or b"").decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"not UTF-8 at byte {error.start}", path=path) from None
    except DamagedStore as error:
        raise ConfigError(error.message, path=path) from error


def _what(keys: Sequence[str | int], error: Mapping[str, Any]) -> str:
    key = ".".join(map(without_secrets, map(str, keys)))
    if error["type"] == "extra_forbidden":
        return f"unknown key {key!r}"
    if error["loc"][-1:] == ("[key]",):
        return not_a_name(str(keys[-1]))
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{key}: {message[:1].lower()}{message[1:]}"


def _line_in(message: str, text: str) -> int | None:
    """The line tomllib names: `… (at line 3, column 5)` or `… (at end of document)`."""
    found = re.search(r"\(at line ([0-9]+)", message)
    return int(found[1]) if found else text.rstrip("\n").count("\n") + 1 if "(at end of document)" in message else None


def _line_of(keys: Sequence[str | int], text: str) -> int | None:
    """The line of a key, or of the nearest table around it; None when the file writes it in another way."""
    while keys and isinstance(keys[-1], int):  # one of a list of values
        keys = keys[:-1]
    wanted = ".".join(map(str, keys))
    around, best = "", None
    tables: Counter[str] = Counter()  # of each list of tables, so far
    for number, line in enumerate(text.split("\n"), start=1):
        header = re.match(r"\s*(\[+)\s*([^\]]+?)\s*\]+", line)
        key = re.match(r"\s*([A-Za-z0-9_.\"'-]+)\s*=", line)
        if header:
            around = re.sub(r"[\"'\s]", "", header[2])
            if header[1] == "[[":
                tables[around] += 1
                around = f"{around}.{tables[around] - 1}"
        here = around if header else ".".join(filter(None, [around, key[1]])) if key else None
        here = None if here is None else re.sub(r"[\"'\s]", "", here)
        if here == wanted:
            return number
        if here is not None and wanted.startswith(here + "."):
            best = number
    return best


def not_a_name(name: str) -> str:
    """What is said of a name that no remote can have."""
    return f"{without_secrets(name)!r} is no name for a remote: [A-Za-z0-9][A-Za-z0-9_-]{{0,63}}"
