"""All task types, in the order in which they are shown."""

from __future__ import annotations

from bastide.inference.inference import Inference
from bastide.inference.tasks import (
    answering,
    comparing,
    condensing,
    embedding,
    entities,
    extracting,
    judging,
    redacting,
    reviewing,
    writing,
)
from bastide.workflows import JobType

_ROOMS = (
    condensing, judging, extracting, writing, comparing, answering, reviewing, entities, redacting, embedding,
)  # fmt: skip


def job_types(inference: Inference) -> list[JobType]:
    """The 18 types of work that need nothing but a model, or not even that, bound to these models."""
    return [kind.job_type(inference) for room in _ROOMS for kind in room.KINDS]
