"""What the doors stand on: the rooms behind them, and what each part of the house says of itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from bastide.audit import Audit
from bastide.egress import Egress
from bastide.inference import Inference
from bastide.inference.jobs import Batches
from bastide.knowledge import Knowledge, Projections
from bastide.policy import Label, Policy
from bastide.settings import Settings
from bastide.store import Scope, Store
from bastide.tenancy import Tenancy
from bastide.workflows import Workflows


@dataclass(frozen=True, slots=True)
class Part:
    """How one part of the house is: `message` says what is so, `next` what to do about it."""

    name: str
    state: Literal["ok", "busy", "attention", "broken"]
    message: str
    next: str = ""

    def to_wire(self) -> dict[str, object]:
        """The part as /readyz and `bastide doctor` show it."""
        return {"name": self.name, "state": self.state, "message": self.message, "next": self.next or None}


@dataclass(frozen=True)
class Rooms:
    """The rooms that the doors open on to."""

    settings: Settings
    store: Store
    audit: Audit
    tenancy: Tenancy
    policy: Policy
    egress: Egress
    workflows: Workflows
    inference: Inference
    batches: Batches
    knowledge: Knowledge
    projections: Projections


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and under which label: the key's own, tightened by `X-Label` and never loosened."""

    scope: Scope
    label: Label
    request_id: str


Notices = Callable[[], list[Part]]
"""What else the process has to say of itself, beside its rooms: examples that are still being read."""
