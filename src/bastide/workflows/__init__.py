"""Workflows: durable work. What was dispatched is done once, whatever dies.

A job becomes a run in the caller's own transaction; any worker of a compatible version takes it, and takes it over
from one that died. Its steps are recorded once, its effects wait for the persons whose approval they need, and what
it was given and gave lies sealed under its tenant's key. Nothing here knows what a job does: rooms register types.
"""

from bastide.workflows.companions import Companions, Company
from bastide.workflows.decisions import OversightRule
from bastide.workflows.overseers import HASTY_S, Competence, Habit
from bastide.workflows.registry import Effect, Example, JobType, Limits, Retry
from bastide.workflows.running import Run
from bastide.workflows.values import Dispatched, Ended, Job, JobRecord, JsonValue, Lane, Trace, WorkHealth
from bastide.workflows.workflows import Workflows

__all__ = [
    "HASTY_S",
    "Companions",
    "Company",
    "Competence",
    "Dispatched",
    "Effect",
    "Ended",
    "Example",
    "Habit",
    "Job",
    "JobRecord",
    "JobType",
    "JsonValue",
    "Lane",
    "Limits",
    "OversightRule",
    "Retry",
    "Run",
    "Trace",
    "WorkHealth",
    "Workflows",
]
