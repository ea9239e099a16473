"""Following a job: one line that is written over until it has ended, and how to go on when somebody leaves."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime
from typing import TYPE_CHECKING, Any

from bastide.cli.line import segment
from bastide.cli.printing import LiveLine, how_long, sheet, wrap
from bastide.errors import BrokenReply, ServerSaid, Stopping, TooSlow, Unreachable

if TYPE_CHECKING:
    from bastide.cli.desk import Desk
    from bastide.cli.line import Line

ENDED = frozenset({"done", "failed", "cancelled"})

_PAUSE_S, _TRIES = 1.0, 60  # a server that starts again is waited for so long


async def follow(desk: Desk, line: Line, id: str) -> int:
    """Show a job until it ends, then what came out; the exit status. Ctrl-C leaves the job alone."""
    live = LiveLine(quiet=desk.as_json)
    said: str | None = None
    job: dict[str, Any] = {}
    try:
        async with aclosing(_states(line, id)) as states:
            async for job in states:
                if job["status"] in {"waiting", "delayed"} and job.get("why") and job["why"] != said:
                    said = job["why"]
                    live.note(wrap(f"It waits: {said}"))
                if job["status"] not in ENDED:
                    live.show(f"{job['type']}  {state(job)}")
    except asyncio.CancelledError:
        live.clear()
        print(f"\n{id} goes on. Follow it again with `bastide job follow {id}`.", file=sys.stderr)
        return 130
    live.clear()
    desk.say(job, lambda: ended(job))
    return 0 if job["status"] == "done" else 1


async def _states(line: Line, id: str) -> AsyncGenerator[dict[str, Any]]:
    """The job as it is, and again with each change, up to its end; a stream that breaks is taken up again."""
    job = await line.get(f"/api/v1/jobs/{segment(id)}")
    yield job
    tries = 0
    while job["status"] not in ENDED:
        try:
            async with aclosing(line.events(f"/api/v1/jobs/{segment(id)}/events")) as events:
                async for event in events:
                    if isinstance(event, dict) and event.get("id") == id and "status" in event:
                        job, tries = event, 0
                        yield job
            if job["status"] not in ENDED:
                await asyncio.sleep(_PAUSE_S)
            job = await line.get(f"/api/v1/jobs/{segment(id)}")
        except (Unreachable, BrokenReply, TooSlow, ServerSaid) as fault:
            tries += 1
            if tries >= _TRIES or (isinstance(fault, ServerSaid) and fault.wire_code != Stopping.code):
                raise
            await asyncio.sleep(_PAUSE_S)
    yield job


def state(job: dict[str, Any]) -> str:
    """Where a job stands, in a few words."""
    progress = job.get("progress") or {}
    words = [job["status"]]
    if job["status"] not in ENDED and progress.get("total"):
        words.append(f"{progress['done']} of {progress['total']}")
    if job["status"] not in ENDED and progress.get("note"):
        words.append(progress["note"])
    return "  ".join(words)


def ended(job: dict[str, Any]) -> str:
    """What came out of a job that has ended, for a person."""
    parts = []
    if job["status"] == "done" and job.get("output") is not None:
        parts.append(shown(job["output"]))
    if error := job.get("error"):
        parts.append(told(error))
    parts.append(f"{job['id']} {job['status']}{_after(job)}")
    return "\n\n".join(parts)


def told(error: dict[str, Any]) -> str:
    """An error that belongs to a job, with its next step."""
    lines = [wrap(f"{error['message']} ({error['code']})", "  ", "Error: ")]
    return "\n".join([*lines, wrap(error["next"], "  ", "Next:  ")] if error.get("next") else lines)


def shown(value: Any) -> str:
    """A job's output for a person: text as it is, an object a field a line."""
    if isinstance(value, dict):
        return sheet(value)
    if isinstance(value, list):
        return "\n".join(shown(one) for one in value)
    return wrap(str(value))


def _after(job: dict[str, Any]) -> str:
    if not (job.get("created_at") and job.get("ended_at")):
        return "."
    took = (_seconds(job["ended_at"]) - _seconds(job["created_at"])) * 1000
    return f" after {how_long(took)}."


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
