"""The values that cross policy's door."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bastide.errors import NoPermittedModel
from bastide.policy.label import LEAST, Label, Tolerance
from bastide.policy.record import Price, canonical

LOCAL_RECORDS = frozenset({"local/onnx", "local/runtime"})
"""What a fresh tenant may use: this machine, and nothing else."""


UNSAID = Label(cls="internal", personal="personal")
"""What a fresh tenant takes for granted of bytes of which nobody has said anything: the careful guess."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A place that bytes could go to: which record describes it, which model, at which address, and its name here."""

    id: str
    record_id: str
    model: str = ""
    kind: str = "api"
    url: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class RuleVerdict:
    """What one rule says, and why."""

    id: str
    ok: bool
    why: str

    def to_wire(self) -> dict[str, object]:
        """As the wire and the receipt show it."""
        return {"id": self.id, "ok": self.ok, "why": self.why}


@dataclass(frozen=True, slots=True)
class TenantPolicy:
    """What a tenant has decided. The default is that of a fresh tenant: this machine, and nothing else.

    `default` fills in what a label leaves unsaid; everything else bounds every label. An unlabelled document
    counts as internal and as holding personal data, because nobody has said that it does not.
    """

    enabled: frozenset[str] = LOCAL_RECORDS
    default: Label = UNSAID
    floor: str = "contract"
    tolerate: Tolerance = frozenset()
    zone: frozenset[str] | None = None
    min_seal: tuple[tuple[str, int], ...] = ()
    min_ual: int = 0
    air_gap: bool = False
    version: int = 0
    bounds: Label = field(init=False, compare=False, repr=False, default=LEAST)

    def __post_init__(self) -> None:
        bounds = Label(
            zone=self.zone,
            tolerate=self.tolerate,
            min_evidence=self.floor,
            min_seal=self.min_seal,
            min_ual=self.min_ual,
            air_gap=self.air_gap,
        )
        object.__setattr__(self, "bounds", bounds)

    def to_wire(self) -> dict[str, object]:
        """As the wire and a policy file write it."""
        bounds = self.bounds.to_wire()
        return {
            "enabled": sorted(self.enabled),
            "default": self.default.to_wire(),
            "floor": self.floor,
            "tolerate": bounds["tolerate"],
            "zone": bounds["zone"],
            "min_seal": bounds["min_seal"],
            "min_ual": self.min_ual,
            "air_gap": self.air_gap,
            "version": self.version,
        }


@dataclass(frozen=True, slots=True)
class Nearest:
    """The nearest way to a yes: an endpoint that is allowed, or the one that the fewest rules refuse."""

    endpoint: str
    allowed: bool
    rules: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    name: str = ""

    @property
    def text(self) -> str:
        """One sentence for a person."""
        if self.allowed:
            return f"{self.endpoint} may receive these bytes."
        return (
            f"The nearest is {self.endpoint}. It would need: "
            + "; ".join(need.removesuffix(".") for need in self.needs)
            + "."
        )

    def to_wire(self) -> dict[str, object]:
        """As the wire shows it."""
        return {
            "endpoint": self.endpoint,
            "name": self.name or None,
            "allowed": self.allowed,
            "rules": list(self.rules),
            "needs": list(self.needs),
        }


@dataclass(frozen=True, slots=True)
class Decision:
    """May these bytes go there? With every rule's verdict, and what it rests on."""

    allowed: bool
    endpoint: Endpoint
    record_hash: str
    policy_hash: str
    rules: tuple[RuleVerdict, ...]
    label: Label
    capability: str
    purpose: str
    decided_at: datetime
    expires_at: datetime
    attempt: str = "direct"
    original: str = ""  # the endpoint that it stands for, where it is no direct attempt

    @property
    def failed(self) -> tuple[RuleVerdict, ...]:
        """The rules that refuse, in order."""
        return tuple(verdict for verdict in self.rules if not verdict.ok)

    @property
    def why(self) -> str:
        """The reasons of the refusal in one line; empty if allowed."""
        return " ".join(f"{verdict.id}: {verdict.why}" for verdict in self.failed)

    @property
    def digest(self) -> str:
        """`sha256:` over the canonical decision, by which a permit or a receipt names it."""
        return "sha256:" + hashlib.sha256(canonical(self.to_wire())).hexdigest()

    def permit(self, nearest: Nearest | None = None) -> None:
        """Return if the bytes may go.

        Raises NoPermittedModel, which names the rules and the nearest alternative.
        """
        if self.allowed:
            return
        rules = [verdict.id for verdict in self.failed]
        raise NoPermittedModel(
            f"{self.endpoint.id} may not receive these bytes. {self.why}",
            next_step=nearest.text if nearest else None,
            rules=rules,
            endpoint=self.endpoint.id,
            nearest=nearest.to_wire() if nearest else {},
        )

    def to_wire(self) -> dict[str, Any]:
        """As a receipt keeps it; `attempt` and `original` are told of whatever is no direct attempt."""
        stands_for = {} if self.attempt == "direct" else {"attempt": self.attempt, "original": self.original}
        return {
            **stands_for,
            "allowed": self.allowed,
            "policy": self.policy_hash,
            "endpoint": self.endpoint.id,
            "record": self.record_hash,
            "model": self.endpoint.model,
            "capability": self.capability,
            "purpose": self.purpose,
            "rules": [verdict.to_wire() for verdict in self.rules],
            "decided_at": self.decided_at.isoformat(),
            "expires_at": self.expires_at.isoformat(),
        }


@dataclass(frozen=True, slots=True)
class Allowed:
    """An endpoint that may receive the bytes, with its place in the ranking."""

    endpoint: Endpoint
    rank: int
    price: Price
    seal_min: int
    seal_unknown: tuple[str, ...]

    def to_wire(self) -> dict[str, object]:
        """As the wire shows it."""
        return {
            "endpoint": self.endpoint.id,
            "record": self.endpoint.record_id,
            "model": self.endpoint.model,
            "name": self.endpoint.name or None,
            "rank": self.rank,
            "price": self.price.to_wire(),
            "seal_min": self.seal_min,
            "seal_is": "estimate",
            "seal_unknown": list(self.seal_unknown),
        }


@dataclass(frozen=True, slots=True)
class Denied:
    """An endpoint that may not receive the bytes, and why."""

    endpoint: Endpoint
    rules: tuple[str, ...]
    why: str
    remedies: tuple[str, ...] = ()  # where it is no rule that refuses

    def to_wire(self) -> dict[str, object]:
        """As the wire shows it."""
        return {
            "endpoint": self.endpoint.id,
            "record": self.endpoint.record_id,
            "model": self.endpoint.model,
            "name": self.endpoint.name or None,
            "rules": list(self.rules),
            "why": self.why,
        }


@dataclass(frozen=True, slots=True)
class Explanation:
    """Where bytes with one label may go, where not, and the nearest way to a yes."""

    label: Label
    capability: str
    allowed: tuple[Allowed, ...]
    denied: tuple[Denied, ...]
    nearest: Nearest | None

    def to_wire(self) -> dict[str, object]:
        """The shape of `POST /api/v1/decisions:explain`."""
        return {
            "label": self.label.to_wire(),
            "capability": self.capability,
            "allowed": [one.to_wire() for one in self.allowed],
            "denied": [one.to_wire() for one in self.denied],
            "nearest": self.nearest.to_wire() if self.nearest else {},
        }


@dataclass(frozen=True, slots=True)
class Trial:
    """One line of a policy test: what a draft would decide for one label and one endpoint."""

    label: Mapping[str, object]
    endpoint: str
    allowed: bool
    rules: tuple[str, ...]
    expected: bool | None = None

    @property
    def ok(self) -> bool:
        """True if nothing else was expected."""
        return self.expected is None or self.expected == self.allowed

    def to_wire(self) -> dict[str, object]:
        """As the command line prints it."""
        return {
            "label": dict(self.label),
            "endpoint": self.endpoint,
            "allowed": self.allowed,
            "rules": list(self.rules),
            "expected": self.expected,
            "ok": self.ok,
        }
