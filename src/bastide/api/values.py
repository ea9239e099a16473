"""What the doors stand on: the rooms behind them, and who asks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bastide.api.lane import CallRooms, Part
from bastide.inference.jobs import Batches
from bastide.knowledge import Knowledge, Projections
from bastide.policy import Label
from bastide.store import Scope
from bastide.workflows import Workflows


@dataclass(frozen=True)
class Rooms(CallRooms):
    """The rooms that the doors open on to."""

    workflows: Workflows
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
