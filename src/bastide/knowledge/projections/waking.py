"""Waking: a worker looks every few seconds whether something waits for a target, and dispatches the job that sends it.

The job is dispatched in the name of who added the target, with the rights that are left to them. What waits is measured
at the same look: `bastide_projection_behind` and `bastide_projection_oldest_seconds`, by kind.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass

from bastide import telemetry
from bastide.errors import BastideError
from bastide.knowledge.projections.jobs import PROJECT
from bastide.knowledge.projections.values import KINDS
from bastide.store import Store, ended, for_ever, from_uuid, queries
from bastide.telemetry import log
from bastide.tenancy import Tenancy
from bastide.workflows import Job, Workflows

_Q = queries("bastide.knowledge")
_WAITING = _Q["projections_to_wake"]

_LOOK_S = 2.0
_AGAIN_S = 5.0  # a job that was just dispatched for a target is given time to begin
_AT_A_LOOK = 1_000


@dataclass(frozen=True, slots=True)
class Waiting:
    """How much waits in all outboxes of the house."""

    targets: int = 0
    changes: int = 0
    oldest_s: float = 0.0


class Waking:
    """The look, in the background of one process."""

    def __init__(self, store: Store, tenancy: Tenancy, workflows: Workflows) -> None:
        self._store = store
        self._tenancy = tenancy
        self._workflows = workflows
        self._task: asyncio.Task[None] | None = None
        self._woken: dict[tuple[str, str], float] = {}

    def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.create_task(for_ever("looking at projections", self._turn, pause_s=_LOOK_S))

    async def stop(self) -> None:
        """Look no more."""
        await ended(self._task)
        self._task = None

    async def waiting(self) -> Waiting:
        """What waits, in all tenants."""
        async with self._store.as_operator(reason="projections that are behind") as db:
            rows = await db.rows(dict, _WAITING, limit=_AT_A_LOOK)
        oldest = max((row["oldest_s"] for row in rows), default=0.0)
        return Waiting(len(rows), sum(row["behind"] for row in rows), oldest)

    async def look(self) -> int:
        """Dispatch for what is due; how many jobs."""
        async with self._store.as_operator(reason="projections that are behind") as db:
            rows = await db.rows(dict, _WAITING, limit=_AT_A_LOOK)
        _measure([(row["kind"], row["behind"], row["oldest_s"]) for row in rows])
        now, woken = time.monotonic(), 0
        self._woken = {one: at for one, at in self._woken.items() if now - at < _AGAIN_S}
        for row in rows:
            tenant = from_uuid("ten", row["tenant_id"])
            if not row["due"] or (tenant, row["name"]) in self._woken:
                continue
            self._woken[(tenant, row["name"])] = now
            try:
                scope = await self._tenancy.scope_of_work(
                    tenant,
                    user=row["user_id"],
                    app=row["app_id"],
                    key=row["key_id"],
                    permissions=row["permissions"],
                    label=row["label"],
                )
                job = Job(PROJECT, {"projection": row["name"]}, dedup=row["name"])
                woken += (await self._workflows.dispatch(scope, job)).fresh
            except BastideError as fault:  # who added it was disabled, or may no longer: it stays behind, and shows so
                log.info("a projection is not fed: %s", fault.code)
                telemetry.count("projection_not_woken", code=fault.code)
        return woken

    async def _turn(self) -> None:
        await self.look()
        await asyncio.sleep(_LOOK_S)


def _measure(rows: list[tuple[str, int, float]]) -> None:
    behind, oldest = Counter[str](), dict.fromkeys(KINDS, 0.0)
    for kind, changes, seconds in rows:
        behind[kind] += changes
        oldest[kind] = max(oldest[kind], seconds)
    for kind in KINDS:
        telemetry.gauge("projection_behind", behind[kind], kind=kind)
        telemetry.gauge("projection_oldest_seconds", oldest[kind], kind=kind)
