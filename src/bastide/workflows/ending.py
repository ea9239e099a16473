"""How a run ends, waits no longer, or gives its place back: each in one transaction with everything that follows."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from bastide.audit import Audit
from bastide.errors import BastideError
from bastide.policy import Label
from bastide.store import Db, Json, queries
from bastide.telemetry import count, observe
from bastide.workflows.dispatching import Chain
from bastide.workflows.queue import Claim
from bastide.workflows.values import JsonValue, Problem

_Q = queries("bastide.workflows")
_END, _WAKE_PARENT, _END_TOGETHER = _Q["end_run"], _Q["wake_parent"], _Q["end_together"]
_WAKE, _ANNOUNCE, _NOTE, _FINISH = _Q["wake_run"], _Q["announce"], _Q["add_moment"], _Q["finish"]

Happened = Callable[..., Coroutine[Any, Any, None]]
"""`await happened(db, kind, facts, label=, chain=)`: what triggers are told."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is written when a run ends."""

    status: str  # done, failed, cancelled
    output: bytes | None = None  # JSON
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class About:
    """What is told of a run that ends."""

    id: str
    type: str
    parent: str | None
    user: str | None
    led: Chain  # what led to it, and itself where a schedule or a trigger dispatched it
    label: Label
    attempt: int
    took_s: float  # since it was dispatched


class Endings:
    """Ends runs: the row, the queue, the parent, the log, and the triggers that follow the end of a job."""

    def __init__(self, audit: Audit, happened: Happened) -> None:
        self._audit = audit
        self._happened = happened

    async def end(self, db: Db, id: str, outcome: Outcome, *, claim: Claim | None = None) -> bool:
        """Write the end in this transaction; False when the run is not ours to end.

        With a claim: by the worker that holds it. Without: for a run that nobody holds.
        """
        problem = outcome.problem
        row = await db.row(
            tuple,
            _END,
            id=id,
            status=outcome.status,
            fence=claim.fence if claim else None,
            output=await db.seal(outcome.output, about=f"workflows.run|{id}|output") if outcome.output else None,
            code=problem.code if problem else None,
            problem=await sealed_problem(db, id, problem),
        )
        if row is None:
            return False
        about = _about(id, *row)
        if about.parent is not None:
            await self.end_of_part(db, about.parent)
        await self._follow(db, about, outcome)
        return True

    async def end_together(self, db: Db, waits_for: str, outputs: Mapping[str, bytes]) -> None:
        """Parts of one job that wait for exactly this are done, with what each gave."""
        sealed = [await db.seal(output, about=f"workflows.run|{id}|output") for id, output in outputs.items()]
        rows = await db.rows(tuple, _END_TOGETHER, ids=list(outputs), outputs=sealed, waits_for=waits_for)
        each = [_about(*row) for row in rows]
        for parent in {about.parent for about in each if about.parent is not None}:
            await self.end_of_part(db, parent)
        for about in each:
            await self._follow(db, about, Outcome("done", outputs[about.id]))

    async def finish(self, db: Db, claim: Claim, about: About, output: bytes) -> None:
        """The same for a run that is done and is no part of another: all of it goes with the commit, in one message.

        When the run is no longer the claim's, NotFound leaves the `async with` of the transaction.
        """
        assert about.parent is None, "the parent is looked at after the end"
        sealed = await db.seal(output, about=f"workflows.run|{about.id}|output")
        await db.at_commit(_FINISH, id=about.id, fence=claim.fence, output=sealed)
        await self._follow(db, about, Outcome("done", output))

    async def _follow(self, db: Db, about: About, outcome: Outcome) -> None:
        if about.parent is None or outcome.status != "done":
            details: dict[str, JsonValue] = {"type": about.type, "attempt": about.attempt}
            if outcome.problem:
                details["code"] = outcome.problem.code
            await self._audit.record(
                db, f"job.{outcome.status}", resource=about.id, outcome=outcome.status, details=details
            )
        facts = {
            "job": about.id,
            "type": about.type,
            "status": outcome.status,
            "parent": about.parent,
            "user": about.user,
        }
        await self._happened(db, "job.ended", facts, label=about.label, chain=about.led)
        count("jobs_ended", type=about.type, status=outcome.status)
        observe("job", about.took_s, type=about.type)

    @staticmethod
    async def end_of_part(db: Db, parent: str) -> None:
        """A part has ended: the parent goes on when it was the last. (Two last ones that do not see each other are
        caught by the feeder's turn.)"""
        if await db.value(_WAKE_PARENT, id=parent) is not None:
            await db.at_commit(_ANNOUNCE, said="ready")


def _about(
    id: str,
    kind: str,
    parent: str | None,
    user: str | None,
    origin: str | None,
    chain: Sequence[Sequence[str]],
    label: Mapping[str, object],
    attempt: int,
    took: timedelta,
) -> About:
    led = [(link[0], link[1]) for link in chain] + ([(origin, id)] if origin else [])
    return About(id, kind, parent, user, led, Label.from_wire(label), attempt, took.total_seconds())


async def wake(db: Db, run: str, waits_for: str) -> bool:
    """A run that waits for exactly this goes on; False when it does not wait for it (any more)."""
    if await db.value(_WAKE, id=run, waits_for=waits_for) is None:
        return False
    await note(db, run, "woken", {"by": waits_for})
    await db.at_commit(_ANNOUNCE, said="ready")
    return True


async def note(db: Db, run: str, kind: str, facts: Mapping[str, JsonValue] | None = None) -> None:
    """A line in the run's time line. `facts` hold no content."""
    await db.run(_NOTE, run=run, kind=kind, facts=Json(dict(facts or {})))


def problem_from(fault: BaseException) -> Problem:
    """What is told of an error: a known one in its own words, an unknown one by its kind only."""
    if isinstance(fault, BastideError):
        return Problem(fault.code, fault.message, fault.next_step or "")
    return Problem(
        "workflows.handler_failed",
        f"The job's code failed: {type(fault).__name__}: {str(fault)[:500]}",
        "Mend the cause, then `bastide job retry ID`; the worker's log has the details.",
    )


async def sealed_problem(db: Db, id: str, problem: Problem | None) -> bytes | None:
    """The words of a problem, sealed."""
    if problem is None:
        return None
    return await db.seal(json.dumps([problem.message, problem.next]).encode(), about=f"workflows.run|{id}|problem")


async def problem_of(db: Db, id: str, code: str | None, sealed: bytes | None) -> Problem | None:
    """The problem of a run, opened."""
    if code is None:
        return None
    if sealed is None:
        return Problem(code, "What was said of it has been deleted.")
    message, following = json.loads(await db.unseal(sealed, about=f"workflows.run|{id}|problem"))
    return Problem(code, message, following)
