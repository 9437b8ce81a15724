"""Payload models: the newest schemas as pydantic models. Loaded by `schemas`, and only when one is needed.

They say of what type a field is, and hardly more: keys nobody knows pass, and no field is required but the version. So
a payload that fails is one that a reader would trip over. A change here is a new version, with a step in `schemas`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Text = str | None
Texts = list[str] | None


class _Part(BaseModel):
    """An object within a payload."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True, hide_input_in_errors=True)


class _Document(_Part):
    """What all of them have in common."""

    schema_version: Literal[2]
    id: Text = None
    title: Text = None
    text: Text = None
    author: Text = None
    created_at: Text = None
    updated_at: Text = None
    status: Text = None
    tags: Texts = None
    plan_id: Text = None
    related_paths: Texts = None


class PlanStep(_Part):
    """A part of a plan."""

    id: Text = None
    text: Text = None
    status: Text = None
    assignee: Text = None


class Plan(_Document):
    """What is to be done."""

    type: Text = None
    priority: Text = None
    project: Text = None
    depends_on: Texts = None
    steps: list[PlanStep] | None = None
    started_at: Text = None
    completed_at: Text = None


class Decision(_Document):
    """What was decided, and how it went."""

    outcome: Text = None
    scope: Text = None


class Trap(_Document):
    """What others should not step into again."""

    severity: Text = None
    scope: Text = None
    visibility: Text = None


class Constraint(_Document):
    """What must hold."""

    category: Text = None
    scope: Text = None
    expires_at: Text = None


class Contract(_Part):
    """What the other agent can rely on, and has to see to."""

    files_touched: Texts = None
    pre_conditions: Texts = None
    post_conditions: Texts = None
    tests_to_verify: Texts = None
    linked_plans: Texts = None


class Review(_Part):
    """What came back."""

    requester: Text = None
    reviewer: Text = None
    verdict: Text = None
    summary: Text = None
    blocking_issues: Texts = None
    suggestions: Texts = None


class Handoff(_Document):
    """What one agent leaves to another."""

    from_: Text = Field(default=None, alias="from")
    to: Text = None
    narrative: Text = None
    contract: Contract | None = None
    review: Review | None = None


class Note(_Document):
    """What may be good to know."""

    visibility: Text = None
    note_type: Text = None


class Claim(_Document):
    """What somebody is working on."""

    agent: Text = None
    scope: Text = None
    description: Text = None
    released_at: Text = None


_MODELS: Final[Mapping[str, type[_Document]]] = {
    "plan": Plan,
    "decision": Decision,
    "trap": Trap,
    "constraint": Constraint,
    "handoff": Handoff,
    "note": Note,
    "claim": Claim,
}


def first_error(item_type: str, payload: Mapping[str, Any]) -> str | None:
    """The first field that is wrong and how, such as `steps.0.text: input should be a valid string`; None for none."""
    try:
        _MODELS[item_type].model_validate(payload)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg'][:1].lower()}{first['msg'][1:]}"
    return None


def json_schema_of(item_type: str) -> dict[str, Any]:
    """The model as JSON Schema."""
    schema = _MODELS[item_type].model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": item_type}
