"""What one socket follows: named jobs, all jobs of some types, approvals; each change goes to its outbox."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from typing import Any, Protocol

from bastide.api.outbox import Outbox
from bastide.api.values import Caller, Rooms
from bastide.errors import BastideError, TooMany, Unavailable, UnknownJob
from bastide.telemetry import log
from bastide.workflows import JobRecord

JOBS_MAX = 1000
_SEEN_MAX = 2000
_APPROVALS_MAX = 200  # the newest
_APPROVALS_S = 2.0
_AWAY_S = 1.0


class Wanted(Protocol):
    """What to follow, or no longer."""

    @property
    def jobs(self) -> list[str]:
        """Ids of jobs."""
        ...

    @property
    def types(self) -> list[str]:
        """Names of types, or `*`."""
        ...

    @property
    def approvals(self) -> bool:
        """Whether approvals are meant as well."""
        ...


class Following:
    """What a socket follows. Nothing is followed that the caller may not see."""

    def __init__(self, rooms: Rooms, caller: Caller, outbox: Outbox) -> None:
        self._workflows, self._caller, self._outbox = rooms.workflows, caller, outbox
        self._jobs: set[str] = set()
        self._types: set[str] = set()
        self._approvals = False
        self._seen: dict[str, object] = {}  # what of each job was sent last
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def add(self, wanted: Wanted) -> dict[str, Any]:
        """Follow these as well; their present state comes at once. Raises UnknownJob, UnknownJobType, TooMany."""
        scope = self._caller.scope
        scope.need("work:read")
        for name in set(wanted.types) - {"*"}:
            self._workflows.type(name)
        if len(self._jobs | set(wanted.jobs)) > JOBS_MAX:
            raise _too_many()
        fresh = set(wanted.jobs) - self._jobs
        if fresh:  # one that is not ours is refused as unknown
            async with aclosing(self._workflows.watch(scope, sorted(fresh), for_s=0)) as states:
                await anext(states, None)
        if wanted.approvals and not self._approvals:
            await self._workflows.approvals.list(scope, status=None, limit=1)  # refuses who may not see them
        fresh = set(wanted.jobs) - self._jobs
        if len(self._jobs | fresh) > JOBS_MAX:  # another message was faster
            raise _too_many()
        for id in fresh:
            self._seen.pop(id, None)
        self._jobs |= fresh
        self._types |= set(wanted.types)
        self._approvals = self._approvals or wanted.approvals
        if fresh:
            self._run("jobs", self._follow_jobs)
        if wanted.types:
            self._run("types", self._follow_types)
        if self._approvals and "approvals" not in self._tasks:
            self._run("approvals", self._follow_approvals)
        return self._wire()

    async def drop(self, wanted: Wanted) -> dict[str, Any]:
        """Follow these no longer."""
        self._jobs -= set(wanted.jobs)
        self._types -= set(wanted.types)
        self._approvals = self._approvals and not wanted.approvals
        self._run("jobs", self._follow_jobs if self._jobs else None)
        if not self._types:
            self._run("types", None)
        if not self._approvals:
            self._run("approvals", None)
        return self._wire()

    def stop(self) -> None:
        """Follow nothing any more."""
        for task in self._tasks.values():
            task.cancel()

    def _wire(self) -> dict[str, Any]:
        return {"jobs": len(self._jobs), "types": sorted(self._types), "approvals": self._approvals}

    def _run(self, name: str, follow: Callable[[], Coroutine[Any, Any, None]] | None) -> None:
        if before := self._tasks.pop(name, None):
            before.cancel()
        if follow is not None:
            self._tasks[name] = asyncio.create_task(self._faithfully(name, follow))

    async def _faithfully(self, name: str, follow: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Again when the database was away; anything else ends it, and is said."""
        while True:
            try:
                return await follow()
            except Unavailable:
                await asyncio.sleep(_AWAY_S)
            except UnknownJob:
                await self._leave_out_what_is_gone()
            except BastideError as fault:
                self._outbox.state(name, {"event": "error", "error": fault.to_wire(self._caller.request_id)})
                return None
            except Exception:
                log.exception("following %s for socket %s failed", name, self._caller.request_id)
                await asyncio.sleep(_AWAY_S)

    async def _leave_out_what_is_gone(self) -> None:
        for id in sorted(self._jobs):
            try:
                await self._workflows.job(self._caller.scope, id)
            except UnknownJob:
                self._jobs.discard(id)

    async def _follow_jobs(self) -> None:
        if self._jobs:
            async with aclosing(self._workflows.watch(self._caller.scope, sorted(self._jobs))) as states:
                async for record in states:
                    if record.id in self._jobs:
                        await self._show(record)
                        if record.ended:
                            self._jobs.discard(record.id)

    async def _follow_types(self) -> None:
        async with aclosing(self._workflows.watch(self._caller.scope)) as states:
            async for record in states:
                if record.type in self._types or "*" in self._types:
                    await self._show(record)

    async def _show(self, record: JobRecord) -> None:
        if self._seen.get(record.id) == (record.revision, record.progress):
            return
        if record.ended or record.waits_for:
            record = await self._workflows.job(self._caller.scope, record.id)  # with what it gave, or why it waits
        self._outbox.state(record.id, {"event": "job", "job": record.to_wire()})
        self._seen.pop(record.id, None)
        self._seen[record.id] = record.revision, record.progress
        while len(self._seen) > _SEEN_MAX:
            self._seen.pop(next(iter(self._seen)))

    async def _follow_approvals(self) -> None:
        # Without their contents: to see what is proposed is itself an act that is recorded.
        seen: dict[str, Any] | None = None
        while True:
            page = await self._workflows.approvals.list(self._caller.scope, status=None, limit=_APPROVALS_MAX)
            now = {one.id: one.to_wire() for one in page.items}
            for id, wire in reversed(now.items()):
                if wire["status"] == "pending" if seen is None else wire != seen.get(id):
                    self._outbox.state(id, {"event": "approval", "approval": wire})
            seen = now
            await asyncio.sleep(_APPROVALS_S)


def _too_many() -> TooMany:
    return TooMany(f"One socket follows {JOBS_MAX} jobs at most.", next_step="Follow their type instead.")
