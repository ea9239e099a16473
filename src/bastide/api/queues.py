"""How the queues are, as /metrics, /readyz and `bastide doctor` tell it; asked for at most every five seconds."""

from __future__ import annotations

import asyncio
import time

from bastide.api.lane import Part
from bastide.errors import Fault, Unavailable
from bastide.telemetry import gauge
from bastide.workflows import Workflows, WorkHealth

_FRESH_S = 5.0
_PATIENCE_S = 3.0
_LONG_S = 60.0  # a job that waits for longer while workers are free has been overlooked


class Queues:
    """The health of all work of the house, remembered for a moment."""

    def __init__(self, workflows: Workflows) -> None:
        self._workflows = workflows
        self._health: WorkHealth | None = None
        self._asked = float("-inf")
        self._asking = asyncio.Lock()

    async def health(self) -> WorkHealth:
        """At most five seconds old. Raises Unavailable when the database did not answer within them."""
        async with self._asking:
            if time.monotonic() - self._asked > _FRESH_S:
                self._health, self._asked = await self._look(), time.monotonic()
        if self._health is None:
            raise Unavailable("The queues do not answer.")
        return self._health

    async def _look(self) -> WorkHealth | None:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                return await self._workflows.health()
        except (Fault, TimeoutError):
            return None

    async def measure(self) -> None:
        """Set the gauges. While the database does not answer they stay as they were."""
        try:
            found = await self.health()
        except Unavailable:
            return
        for state in ("queued", "handed", "running", "waiting", "failed"):
            gauge("jobs", getattr(found, state), state=state)
        gauge("workers", found.workers)
        gauge("work_capacity", found.capacity)
        gauge("oldest_queued_seconds", found.oldest_queued_s)
        gauge("dead_letters", found.failed)

    async def part(self) -> Part:
        """The one sentence that matters most, and what to do about it."""
        try:
            found = await self.health()
        except Unavailable as fault:
            return Part("work", "attention", fault.message, fault.next_step)
        waiting = found.queued + found.handed
        said = f"{_number(found.workers, 'worker')}, {_number(waiting, 'job')} {'waits' if waiting == 1 else 'wait'}."
        trouble, step = _trouble(found)
        return Part("work", "attention", f"{trouble} {said}", step) if trouble else Part("work", "ok", said)


def _trouble(found: WorkHealth) -> tuple[str, str]:
    """What needs a person first, and what to do about it; two empty texts when nothing does."""
    if not found.workers:
        step = "Start one: `bastide serve --role worker`, here or on any machine that reaches the database."
        return "No worker was heard of lately.", step
    if found.oldest_queued_s > _LONG_S and found.handed + found.running < found.capacity:
        step = "`bastide job list --status queued` shows them; `bastide job show ID` says why one waits."
        return f"A job waits for {found.oldest_queued_s:.0f} s though workers are free.", step
    if found.stuck:
        return " ".join(found.stuck[:3]), "`bastide job trace ID` shows where each of them stands."
    if found.failed:
        step = "`bastide job list --status failed` shows them; mend the cause, then `bastide job retry ID`."
        return f"{_number(found.failed, 'job')} failed for good.", step
    return "", ""


def _number(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"
