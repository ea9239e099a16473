"""The values that cross the room's door: what is asked for, what became of it, and why it waits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from bastide.audit import JsonValue as JsonValue  # noqa: PLC0414 the room's own word for it
from bastide.policy import Label

Status = Literal["delayed", "queued", "handed", "running", "waiting", "stopping", "done", "failed", "cancelled"]

ENDED: frozenset[str] = frozenset({"done", "failed", "cancelled"})
"""The states that a job does not leave by itself."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is asked for: the type, its input, and how it may be done."""

    type: str
    input: Mapping[str, JsonValue] = field(default_factory=dict)
    label: Label | None = None  # joined with the label of who asks
    priority: int = 0  # -100 to 100, among the jobs of one tenant
    due_at: datetime | None = None  # not before
    deadline: datetime | None = None  # failed if not done by then
    key: str | None = None  # idempotency: the same key and type give the same job, for ever
    dedup: str | None = None  # while a job with it waits to begin, no second one is made
    version: int | None = None
    parent: str | None = None
    budget_tokens: int | None = None
    budget_eur: float | None = None


@dataclass(frozen=True, slots=True)
class Dispatched:
    """A job that was accepted; not `fresh` when it was there before by its key."""

    id: str
    type: str
    fresh: bool = True

    def to_wire(self) -> dict[str, object]:
        """What a 202 says."""
        return {"id": self.id, "type": self.type, "fresh": self.fresh}


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a job failed: a stable code, a sentence, the next step."""

    code: str
    message: str
    next: str = ""

    def to_wire(self) -> dict[str, object]:
        """As errors look everywhere."""
        return {"code": self.code, "message": self.message, "next": self.next or None}


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is: `done` of `total` (0 when nobody knows), and what it is at."""

    done: int = 0
    total: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class Spent:
    """What a job has used."""

    tokens_in: int = 0
    tokens_out: int = 0
    eur: float = 0.0


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A job as it is now. `output` and `problem` are there once it has ended; `why` while it waits."""

    id: str
    type: str
    version: int
    status: Status
    priority: int
    label: Label
    attempt: int
    progress: Progress
    spent: Spent
    revision: int  # grows with each change
    created_at: datetime
    due_at: datetime
    deadline: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    parent: str | None = None
    origin: str | None = None  # the schedule or trigger that dispatched it
    user: str | None = None
    waits_for: str | None = None  # time, children, signal NAME, approval ID
    why: str = ""  # why it waits, in plain words
    output: JsonValue = None
    problem: Problem | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self.status in ENDED

    def to_wire(self) -> dict[str, object]:
        """The job as the wire shows it; `handed` is a detail of the queue and shown as `queued`."""
        return {
            "id": self.id,
            "type": self.type,
            "version": self.version,
            "status": "queued" if self.status == "handed" else self.status,
            "priority": self.priority,
            "label": self.label.to_wire(),
            "attempt": self.attempt,
            "progress": {"done": self.progress.done, "total": self.progress.total, "note": self.progress.note or None},
            "spent": {"tokens_in": self.spent.tokens_in, "tokens_out": self.spent.tokens_out, "eur": self.spent.eur},
            "revision": self.revision,
            "created_at": self.created_at.isoformat(),
            "due_at": self.due_at.isoformat(),
            "deadline": _iso(self.deadline),
            "started_at": _iso(self.started_at),
            "ended_at": _iso(self.ended_at),
            "parent": self.parent,
            "origin": self.origin,
            "user": self.user,
            "waits_for": self.waits_for,
            "why": self.why or None,
            "output": self.output,
            "error": self.problem.to_wire() if self.problem else None,
        }


@dataclass(frozen=True, slots=True)
class Moment:
    """One line of a run's time line."""

    at: datetime
    kind: str  # dispatched, begun, step, effect, failed, taken over, waiting, woken, approval, stop, retry, ended
    said: str  # in plain words
    attempt: int = 0
    took_ms: float | None = None
    facts: Mapping[str, JsonValue] = field(default_factory=dict)

    def to_wire(self) -> dict[str, object]:
        """The line as the wire shows it."""
        return {
            "at": self.at.isoformat(),
            "kind": self.kind,
            "said": self.said,
            "attempt": self.attempt,
            "took_ms": self.took_ms,
            "facts": dict(self.facts),
        }


@dataclass(frozen=True, slots=True)
class Trace:
    """A job with all that happened to it, oldest first."""

    job: JobRecord
    moments: tuple[Moment, ...]

    def to_wire(self) -> dict[str, object]:
        """The job, its time line."""
        return {"job": self.job.to_wire(), "timeline": [moment.to_wire() for moment in self.moments]}


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of one of the jobs that a run fanned out to."""

    id: str
    status: str
    output: JsonValue = None
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class Lane:
    """What a tenant has set for one of its job types, or for all (`*`)."""

    type: str
    paused: bool = False
    concurrency: int | None = None
    rate: int | None = None  # begun at most so many ...
    rate_s: float | None = None  # ... in so many seconds

    def to_wire(self) -> dict[str, object]:
        """The lane as the wire shows it."""
        return {
            "type": self.type,
            "paused": self.paused,
            "concurrency": self.concurrency,
            "rate": self.rate,
            "rate_s": self.rate_s,
        }


@dataclass(frozen=True, slots=True)
class WorkHealth:
    """The whole house's queues, without a tenant's name."""

    workers: int  # that were heard of lately
    capacity: int  # runs they take at a time
    queued: int
    handed: int
    running: int
    waiting: int
    failed: int  # dead letters
    oldest_queued_s: float
    stuck: tuple[str, ...] = ()  # what is wrong, a sentence each


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
