"""Durable work on the wire: jobs, their types, lanes."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import AwareDatetime, ConfigDict, Field

from bastide.api.shapes.ground import LABEL_EXAMPLE, Asked, LabelWire, Said

JOB_EXAMPLE = "job_06ar2k8m1v6t7c9d0e1f2g3h4j"

Status = Literal["delayed", "queued", "running", "waiting", "stopping", "done", "failed", "cancelled"]


def example(**fields: Any) -> ConfigDict:
    """The configuration of a request's shape, with one example."""
    return ConfigDict(json_schema_extra={"examples": [fields]})


class NewJob(Asked):
    """A job to be done: its type, its input, and how it may be done."""

    model_config = example(type="summarise", input={"text": "The lease ends in June."}, key="lease-7", priority=0)
    type: str = Field(max_length=200, description="One of /api/v1/job-types.")
    input: dict[str, Any] = Field(default_factory=dict, description="As the type's schema has it.")
    label: LabelWire | None = Field(None, description="Joined with the caller's own; it can only tighten.")
    priority: int = Field(0, ge=-100, le=100, description="Among the jobs of this tenant; the higher the sooner.")
    due_at: AwareDatetime | None = Field(None, description="Not before this moment (ISO 8601 with a time zone).")
    delay_s: float | None = Field(None, ge=0, le=366 * 86400, description="Not before so many seconds have passed.")
    deadline: AwareDatetime | None = Field(None, description="Failed if it is not done by then.")
    key: str | None = Field(
        None, min_length=1, max_length=200, description="The same key gives the same job, for ever."
    )
    dedup: str | None = Field(
        None, min_length=1, max_length=200, description="While a job with it waits to begin, no second one is made."
    )
    version: int | None = Field(None, ge=1, description="Of the type; the newest unless named.")
    budget_tokens: int | None = Field(None, ge=1, description="It fails when its models have used more.")
    budget_eur: float | None = Field(None, gt=0)


class Accepted(Said):
    """The job's id; not `fresh` when it was there before. With `Prefer: wait` the whole job."""

    id: str = Field(examples=[JOB_EXAMPLE])
    type: str
    fresh: bool = Field(description="False: the same key or dedup has given a job that was there.")


class Job(Said):
    """A job as it is now."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [{"id": JOB_EXAMPLE, "status": "queued"}]})
    id: str
    type: str
    version: int
    status: Status
    priority: int
    label: LabelWire = Field(examples=[LABEL_EXAMPLE])
    attempt: int = Field(description="How often it was begun.")
    progress: dict[str, Any] = Field(description="`done` of `total` (0: unknown), `note`.")
    spent: dict[str, Any] = Field(description="`tokens_in`, `tokens_out`, `eur`.")
    revision: int = Field(description="Grows with each change.")
    created_at: str
    due_at: str
    deadline: str | None
    started_at: str | None
    ended_at: str | None
    parent: str | None = Field(description="The job that fanned out to it.")
    origin: str | None = Field(description="The schedule or trigger that dispatched it.")
    user: str | None
    waits_for: str | None
    why: str | None = Field(description="Why it waits, in plain words.")
    output: Any = Field(description="What it gave, once it is done.")
    error: dict[str, Any] | None = Field(description="Why it failed: code, message, next.")


class TimeLine(Said):
    """A job with all that happened to it, oldest first."""

    job: Job
    timeline: list[dict[str, Any]]


class WhichJobs(Asked):
    """A page of the jobs that the caller may see."""

    status: Status | None = Field(None, description="In this state only.")
    type: str | None = Field(None, max_length=200, description="Of this type only.")
    parent: str | None = Field(None, max_length=80, description="Fanned out by this job only.")
    cursor: str | None = Field(None, max_length=512, description="`next` of the page before.")
    limit: int = Field(50, ge=1, le=500, description="How many at most.")


class Cancel(Asked):
    """Why a job is stopped."""

    model_config = example(reason="The lease was withdrawn.")
    reason: str = Field("", max_length=1000, description="Kept in the job's time line.")


class Retry(Asked):
    """A failed job once more, as it is or with a mended input."""

    model_config = example(input={"text": "The lease ends in July."})
    input: dict[str, Any] | None = Field(None, description="Only for a job that has had no effect yet.")


class Signal(Asked):
    """What a job waits for, or will."""

    model_config = example(name="signed", payload={"by": "the tenant"})
    name: str = Field(min_length=1, max_length=200)
    payload: Any = None


class JobType(Said):
    """One kind of work, with the JSON schema of its input."""

    name: str = Field(examples=["summarise"])
    about: str
    tier: int
    version: int
    permission: str
    input: dict[str, Any]
    effects: dict[str, Any]
    limits: dict[str, Any]
    example: dict[str, Any] | None


class Lane(Asked):
    """How one type of jobs (`*`: all of them) may run in this tenant. It replaces what was set before."""

    model_config = example(type="summarise", paused=False, concurrency=4, rate=100, rate_s=60)
    type: str = Field(min_length=1, max_length=200)
    paused: bool = False
    concurrency: int | None = Field(None, ge=1, le=10_000, description="At a time.")
    rate: int | None = Field(None, ge=1, le=1_000_000, description="Begun at most so many in `rate_s` seconds.")
    rate_s: float | None = Field(None, gt=0, le=86400)


class LaneSaid(Said):
    """The lane as it is now."""

    type: str
    paused: bool
    concurrency: int | None
    rate: int | None
    rate_s: float | None


class Paused(Said):
    """What the platform's operator has paused or resumed."""

    type: str
    paused: bool


class WhichType(Asked):
    """A type of jobs, or all."""

    model_config = example(type="*")
    type: str = Field("*", min_length=1, max_length=200)
