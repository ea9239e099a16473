"""Schedules and triggers on the wire."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from bastide.api.shapes.ground import Asked, Said
from bastide.api.shapes.work import example


class Pages(Asked):
    """A page of a list."""

    cursor: str | None = Field(None, max_length=512, description="`next` of the page before.")
    limit: int = Field(50, ge=1, le=500, description="How many at most.")


class NewSchedule(Asked):
    """A job by the clock, dispatched as the person who makes this."""

    model_config = example(
        name="morning-note",
        type="summarise",
        input={"text": "The registry opens at nine."},
        cron="0 6 * * 1-5",
        timezone="Europe/Paris",
    )
    name: str = Field(max_length=400)
    type: str = Field(max_length=200, description="One of /api/v1/job-types.")
    cron: str = Field(max_length=400, description="Minute, hour, day, month, weekday.")
    timezone: str = Field("UTC", max_length=100, description="As Europe/Paris; with its daylight saving.")
    input: dict[str, Any] = Field(default_factory=dict)
    priority: int = Field(0, ge=-100, le=100)
    catch_up: bool = Field(False, description="After a pause of the house the last one that was missed is made good.")


class Schedule(Said):
    """A schedule as it is now."""

    id: str = Field(examples=["sch_06ar2k8m1v6t7c9d0e1f2g3h4j"])
    name: str
    type: str
    input: dict[str, Any]
    cron: str
    timezone: str
    paused: bool
    next_at: str | None
    last_at: str | None
    last_job: str | None
    last_problem: dict[str, Any] | None


class Preview(Asked):
    """When would it fire?"""

    model_config = example(cron="30 2 * * *", timezone="Europe/Paris", count=5)
    cron: str = Field(max_length=400)
    timezone: str = Field("UTC", max_length=100)
    count: int = Field(5, ge=1, le=100)


class Times(Said):
    """The next times, in the zone that was asked for."""

    times: list[str] = Field(examples=[["2026-03-29T03:00:00+02:00"]])


class NewTrigger(Asked):
    """A job by what happens, dispatched as the person who makes this."""

    model_config = example(
        name="title-contracts",
        on="document.ingested",
        filter={"collection": "contracts"},
        type="title",
        input={"text": "{name}"},
    )
    name: str = Field(max_length=400)
    on: str = Field(
        max_length=100,
        description="document.ingested, document.deleted, entity.changed, job.ended, metric or webhook.",
    )
    type: str = Field(max_length=200, description="One of /api/v1/job-types.")
    filter: dict[str, Any] = Field(default_factory=dict, description="Facts that must be so.")
    input: dict[str, Any] = Field(default_factory=dict, description="With placeholders such as `{document}`.")
    priority: int = Field(0, ge=-100, le=100)


class Trigger(Said):
    """A trigger as it is now. `secret` and `address` are there once: when a webhook is made, or its secret renewed."""

    id: str = Field(examples=["trg_06ar2k8m1v6t7c9d0e1f2g3h4j"])
    name: str
    on: str
    type: str
    filter: dict[str, Any]
    input: dict[str, Any]
    paused: bool
    last_at: str | None
    last_job: str | None
    last_problem: dict[str, Any] | None
    secret: str | None = None
    address: str | None = Field(None, description="Where a webhook's signed requests are sent.")


class Received(Said):
    """The webhook was taken."""

    id: str | None = Field(description="Of the job; null when nothing was dispatched.")
