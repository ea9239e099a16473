"""Following a job: one line that is written over until it has ended, and how to go on when somebody leaves."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from bastide.cli.line import segment
from bastide.cli.printing import LiveLine, how_long, sheet, wrap
from bastide.cli.running import find
from bastide.errors import (
    BastideError,
    BrokenReply,
    DatabaseUnavailable,
    LostServer,
    ServerSaid,
    Stopping,
    TooSlow,
    Unreachable,
)

if TYPE_CHECKING:
    from bastide.cli.desk import Desk
    from bastide.cli.line import Line

ENDED = frozenset({"done", "failed", "cancelled"})

PATIENCE_S = 600.0
"""How long a server that is away is waited for, where nothing else is said."""

_PAUSE_S, _PAUSE_S_MAX = 1.0, 30.0
_PASSING = frozenset({Stopping.code, DatabaseUnavailable.code})  # what a server says that goes, or that just came


async def follow(desk: Desk, line: Line, id: str, *, patience_s: float = PATIENCE_S) -> int:
    """Show a job until it ends, then what came out; the exit status. Ctrl-C leaves the job alone.

    Raises LostServer when the server was away for `patience_s`.
    """
    try:
        job = await to_its_end(desk, line, id, patience_s=patience_s)
    except asyncio.CancelledError:
        print(f"\n{id} goes on. Follow it again with `bastide job follow {id}`.", file=sys.stderr)
        return 130
    desk.say(job, lambda: ended(job))
    return 0 if job["status"] == "done" else 1


async def to_its_end(desk: Desk, line: Line, id: str, *, patience_s: float = PATIENCE_S) -> dict[str, Any]:
    """The job at its end, shown until then on the live line. Raises LostServer."""
    live = LiveLine(quiet=desk.as_json)
    said: str | None = None
    job: dict[str, Any] = {}
    try:
        async with aclosing(states(line, id, lost=partial(_say_lost, live), patience_s=patience_s)) as seen:
            async for job in seen:
                if job["status"] in {"waiting", "delayed"} and job.get("why") and job["why"] != said:
                    said = job["why"]
                    live.note(wrap(f"It waits: {said}"))
                if job["status"] not in ENDED:
                    live.show(f"{job['type']}  {state(job)}")
    finally:
        live.clear()
    return job


async def output_of(desk: Desk, line: Line, id: str) -> dict[str, Any]:
    """What came out of a job that this command began. Raises ServerSaid, in its words, when it was not done."""
    job = await to_its_end(desk, line, id)
    if job["status"] != "done":
        raise not_done(job)
    output: dict[str, Any] = job["output"]
    return output


def not_done(job: dict[str, Any]) -> ServerSaid:
    """What kept a job from its output, as the error of the command that began it."""
    return ServerSaid(
        job.get("error") or {"code": "workflows.cancelled", "message": f"{job['id']} was cancelled."}, 409
    )


async def left(desk: Desk, line: Line, id: str, *, how: str = "") -> str:
    """What is said to somebody who leaves a job that this command began."""
    if desk.tenant is not None:  # its jobs act with a key that is handed back when this command ends
        await line.post(f"/api/v1/jobs/{segment(id)}:cancel", {"reason": "the command was left"})
        return f"\n{id} was stopped: the key for {desk.tenant} was borrowed for as long as this command runs."
    resumes = "" if find(desk.settings.home) else " when the house runs (`bastide up`)"
    return f"\n{id} goes on{how}{resumes}: `bastide job follow {id}`."


def _say_lost(live: LiveLine, tries: int, pause_s: float, fault: BastideError) -> None:
    if tries == 1:
        live.note(wrap(f"The server is lost: {fault.message} It is tried again; the job does not need us meanwhile."))
    else:
        live.show(f"The server is away; trying again in {pause_s:.0f} s.")


async def states(
    line: Line, id: str, *, lost: Callable[[int, float, BastideError], None], patience_s: float
) -> AsyncGenerator[dict[str, Any]]:
    """The job as it is, and again with each change, up to its end; a stream that breaks is taken up again.

    A server that does not answer is tried again after 1, 2, 4 ... 30 seconds, and each time `lost` is told how often
    it did not, how long the pause is (seconds), and why. Raises LostServer after `patience_s` without an answer.
    """
    path = f"/api/v1/jobs/{segment(id)}"
    job = await line.get(path)
    yield job
    away = _Away(patience_s)
    while job["status"] not in ENDED:
        try:
            async with aclosing(line.events(f"{path}/events")) as events:
                async for event in events:
                    if isinstance(event, dict) and event.get("id") == id and "status" in event:
                        job = event
                        away.ended()
                        yield job
            if job["status"] not in ENDED:
                await asyncio.sleep(_PAUSE_S)
            job = await line.get(path)
            away.ended()
        except (Unreachable, BrokenReply, TooSlow, ServerSaid) as fault:
            if isinstance(fault, ServerSaid) and fault.wire_code not in _PASSING:
                raise
            pause_s = away.pause_s(id, fault)
            lost(away.tries, pause_s, fault)
            await asyncio.sleep(pause_s)
    yield job


class _Away:
    """How often, and for how long, nobody has answered."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._since: float | None = None
        self.tries = 0

    @property
    def for_s(self) -> float:
        """Seconds since the first try that failed."""
        return 0.0 if self._since is None else time.monotonic() - self._since

    def ended(self) -> None:
        """Somebody has answered."""
        self._since, self.tries = None, 0

    def pause_s(self, id: str, fault: BastideError) -> float:
        """How long to wait until the next try. Raises LostServer when there is to be none."""
        self._since = self._since or time.monotonic()
        self.tries += 1
        left_s = self._patience_s - self.for_s
        if left_s <= 0:
            raise LostServer(
                f"The server did not answer for {how_long(self.for_s * 1000)}: {fault.message}",
                next_step=f"Start it with `bastide up`, then go on with `bastide job follow {id}`; the job is kept.",
            ) from fault
        return min(_PAUSE_S * 2.0 ** min(self.tries - 1, 10), _PAUSE_S_MAX, left_s)


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
