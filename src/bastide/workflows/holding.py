"""What a worker holds while a run is at work: the run, the right to commit for it, and what its steps gave."""

from __future__ import annotations

from dataclasses import dataclass

from bastide.policy import Label
from bastide.store import Scope
from bastide.workflows.dispatching import Chain
from bastide.workflows.queue import Claim
from bastide.workflows.registry import JobType
from bastide.workflows.values import JsonValue


class Suspended(BaseException):
    """The run waits and has let go of its worker. No `except Exception` of a job's code may catch this."""


@dataclass(frozen=True, slots=True)
class Memo:
    """What a step gave, once."""

    kind: str
    output: JsonValue


@dataclass(frozen=True, slots=True)
class Held:
    """What the worker knows of the run that it holds."""

    claim: Claim
    kind: JobType
    scope: Scope
    label: Label
    chain: Chain
    memos: dict[str, Memo]
