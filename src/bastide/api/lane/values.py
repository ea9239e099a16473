"""What the lane stands on: the rooms that a call of a model needs, and what a part of the house says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bastide.audit import Audit
from bastide.egress import Egress
from bastide.inference import Inference
from bastide.policy import Policy
from bastide.settings import Settings
from bastide.store import Store
from bastide.tenancy import Tenancy


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
class CallRooms:
    """The rooms that a call of a model needs."""

    settings: Settings
    store: Store
    audit: Audit
    tenancy: Tenancy
    policy: Policy
    egress: Egress
    inference: Inference
