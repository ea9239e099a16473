"""Values of what dispatches jobs by itself: schedules by the clock, triggers by what happens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from bastide.workflows.values import JsonValue, Problem

EVENTS: Mapping[str, frozenset[str] | None] = {
    "document.ingested": frozenset({"document", "name", "collection", "version", "media_type", "class"}),
    "document.deleted": frozenset({"document", "name", "collection"}),
    "entity.changed": None,  # its room will say; until then any field is accepted
    "job.ended": frozenset({"job", "type", "status", "parent", "user"}),
    "metric": frozenset({"metric", "value", "crossed"}),
    "webhook": frozenset({"id", "timestamp", "body"}),
}
"""What a trigger can wait for, with the facts that come with it; None where they are not fixed."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """A job that is dispatched by the clock, as the person who made the schedule."""

    id: str
    name: str
    type: str
    input: Mapping[str, JsonValue]
    cron: str
    timezone: str
    priority: int
    catch_up: bool  # after a pause of the house, the last one that was missed is made good
    paused: bool
    user: str | None
    created_at: datetime
    next_at: datetime | None  # None while it is paused
    last_at: datetime | None = None  # the moment that was meant, not the one at which it was done
    last_job: str | None = None
    last_problem: Problem | None = None  # why it did not fire the last time

    def to_wire(self) -> dict[str, object]:
        """The schedule as the wire shows it."""
        return {
            "id": self.id,
            "name": self.name,
            "type": self.type,
            "input": dict(self.input),
            "cron": self.cron,
            "timezone": self.timezone,
            "priority": self.priority,
            "catch_up": self.catch_up,
            "paused": self.paused,
            "user": self.user,
            "created_at": self.created_at.isoformat(),
            "next_at": self.next_at.isoformat() if self.next_at else None,
            "last_at": self.last_at.isoformat() if self.last_at else None,
            "last_job": self.last_job,
            "last_problem": self.last_problem.to_wire() if self.last_problem else None,
        }


@dataclass(frozen=True, slots=True)
class Trigger:
    """A job that is dispatched whenever something happens, as the person who made the trigger."""

    id: str
    name: str
    on: str  # one of EVENTS
    type: str
    filter: Mapping[str, JsonValue]
    input: Mapping[str, JsonValue]  # with placeholders
    priority: int
    paused: bool
    user: str | None
    created_at: datetime
    last_at: datetime | None = None
    last_job: str | None = None
    last_problem: Problem | None = None  # why it did not fire the last time

    def to_wire(self) -> dict[str, object]:
        """The trigger as the wire shows it; never its secret."""
        return {
            "id": self.id,
            "name": self.name,
            "on": self.on,
            "type": self.type,
            "filter": dict(self.filter),
            "input": dict(self.input),
            "priority": self.priority,
            "paused": self.paused,
            "user": self.user,
            "created_at": self.created_at.isoformat(),
            "last_at": self.last_at.isoformat() if self.last_at else None,
            "last_job": self.last_job,
            "last_problem": self.last_problem.to_wire() if self.last_problem else None,
        }


@dataclass(frozen=True, slots=True)
class NewTrigger:
    """A trigger that was made; with the secret of a webhook, shown this once."""

    trigger: Trigger
    secret: str | None = None  # whsec_...

    def to_wire(self) -> dict[str, object]:
        """The trigger, and `secret` where it has one."""
        wire = self.trigger.to_wire()
        return wire if self.secret is None else {**wire, "secret": self.secret}


@dataclass(frozen=True, slots=True)
class NewWebhookSecret:
    """A webhook's secret in the place of the one before, which is good until `old_until`."""

    trigger: Trigger
    secret: str
    old_until: datetime

    def to_wire(self) -> dict[str, object]:
        """The trigger, `secret`, and how long the old one is still good."""
        return {**self.trigger.to_wire(), "secret": self.secret, "old_secret_until": self.old_until.isoformat()}


@dataclass(frozen=True, slots=True)
class Metric:
    """A number that a trigger can watch."""

    name: str
    about: str

    def to_wire(self) -> dict[str, object]:
        """The metric as the wire shows it."""
        return {"name": self.name, "about": self.about}
