"""Evidence and law on the wire: receipts, the log, provider records, decisions."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field

from bastide.api.shapes.ground import Asked, LabelWire, Said


class Receipt(Said):
    """What was decided and done in one call; verifiable offline."""

    id: str
    time: str
    act: str
    decision: dict[str, Any]
    label: LabelWire
    endpoint: dict[str, Any]
    tls: dict[str, Any] | None
    model: str
    tokens: dict[str, int]
    usage: dict[str, Any] = Field(
        default={}, description="Of sound and pictures: `pictures`, `seconds`, `characters`; `estimated`."
    )
    estimated: bool = Field(default=False, description="Nobody has counted what was used: it is an estimate.")
    assurance: str
    input: str
    output: str
    leaf: str | None
    proof: str | None = Field(description="c2sp.org/tlog-proof text; null until the log has taken it in.")


class Verified(Said):
    """Whether the log is whole."""

    valid: bool
    size: int
    problems: list[Any]


class Explain(Asked):
    """Which endpoints could do this, under this label?"""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"label": {"class": "confidential", "personal": "personal"}, "capability": "chat"}]
        }
    )
    label: LabelWire = Field(default_factory=dict)
    capability: str = Field("chat", max_length=40)
    model: str | None = Field(None, max_length=200)
    purpose: str = Field("", max_length=200)
    provider: str | None = Field(None, max_length=200, description="Look at the endpoints of this record only.")


class Explained(Said):
    """The endpoints that may, the ones that may not and why, and what comes nearest."""

    allowed: list[dict[str, Any]]
    denied: list[dict[str, Any]]
    nearest: dict[str, Any] | None


class Draft(Asked):
    """A policy as a person writes it, YAML or JSON, with the cases it is tried on if it names some."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"text": "default: {class: internal}\n"}]})
    text: str = Field(max_length=1_000_000)


class Tried(Said):
    """What the draft would decide, case by case."""

    trials: list[dict[str, Any]]


class PastDraft(Draft):
    """A policy that is held against the calls on record."""

    calls: int = Field(1000, ge=1, le=100_000, description="How many of the last calls.")


class Replayed(Said):
    """What the draft would have decided of past calls, and what they would have cost."""

    calls: int
    since: str | None
    allowed: int
    refused: int
    without_alternative: int
    changes: list[dict[str, Any]]
    cost: dict[str, Any]
    unreadable: int


class PolicyText(Said):
    """The tenant's own policy; what it says beyond this shape is checked by the law itself."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={"examples": [{"enabled": ["local/onnx"], "default": {"class": "internal"}, "version": 1}]},
    )


class Readiness(Said):
    """Each part of the house."""

    status: str = Field(examples=["ready"])
    version: str
    parts: list[dict[str, Any]]
