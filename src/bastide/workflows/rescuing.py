"""Rescuing: what was lost goes on: a run whose worker is gone, a row that the queue lost, a run past its deadline."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from bastide.errors import DeadlinePassed, TooManyAttempts
from bastide.settings import WorkSettings
from bastide.store import Store, from_uuid, queries
from bastide.telemetry import count, log
from bastide.tenancy import Tenancy
from bastide.workflows.ending import Endings, Outcome, problem_from
from bastide.workflows.queue import SCHEMA

_Q = queries("bastide.workflows")
_LOST, _TAKE_OVER, _RELEASE, _OVERDUE = _Q["lost_runs"], _Q["take_over"], _Q["release"], _Q["overdue"]
_FORGET_ROWS, _LOST_ROWS, _OUTDATED, _PRUNE = _Q["forget_rows"], _Q["lost_rows"], _Q["outdated"], _Q["prune_workers"]
_WAKE_DUE = _Q["wake_due"]

_LOST_MAX = 4  # a run whose worker died so often is not begun again: it may be what kills them


@dataclass(frozen=True, slots=True)
class LostRun:
    """A run that nobody works at any more."""

    tenant: uuid.UUID
    id: str
    status: str
    lost: int
    attempt: int


class Rescuing:
    """The turns that one process at a time takes for all."""

    def __init__(self, store: Store, tenancy: Tenancy, endings: Endings, settings: WorkSettings) -> None:
        self._store = store
        self._tenancy = tenancy
        self._endings = endings
        self._settings = settings

    async def wake(self) -> tuple[int, float | None]:
        """Let go on what is due; how many, and in how many seconds the next is."""
        ((woken, next_s),) = await self._store.ask_as_operator(tuple, _WAKE_DUE, durable=False)
        return int(woken), next_s

    async def rescue(self) -> int:
        """Take over from workers that were not heard of, and end what is overdue; how many runs."""
        async with self._store.as_operator(reason="runs of lost workers") as db:
            lost = await db.rows(LostRun, _LOST, stale_s=self._settings.stale_s)
            overdue = await db.rows(tuple, _OVERDUE)
        await self.take_over(lost)
        for tenant, id in overdue:
            await self._end(tenant, id, Outcome("failed", problem=problem_from(DeadlinePassed())))
        return len(lost) + len(overdue)

    async def take_over(self, lost: Sequence[LostRun]) -> None:
        """Give these runs back to the queue; end those that were to stop, or that were lost too often."""
        for run in lost:
            if run.status == "running" and run.lost < _LOST_MAX:
                async with self._store.as_operator(reason=f"take over {run.id}", search_path=SCHEMA) as db:
                    if await db.value(_TAKE_OVER, tenant=run.tenant, id=run.id, attempt=run.attempt) is not None:
                        await db.run(_FORGET_ROWS, runs=[run.id])
                        count("jobs_taken_over")
                        log.warning("run %s is taken over from a worker that is gone", run.id)
            else:
                await self._give_up(run)

    async def _give_up(self, run: LostRun) -> None:
        async with self._store.as_operator(reason=f"give up {run.id}", search_path=SCHEMA) as db:
            held = await db.value(_RELEASE, tenant=run.tenant, id=run.id, status=run.status, attempt=run.attempt)
            await db.run(_FORGET_ROWS, runs=[run.id])
        if held is not None and run.lost >= _LOST_MAX:
            await self._end(run.tenant, run.id, Outcome("failed", problem=problem_from(TooManyAttempts())))
        elif held is not None:
            await self._end(run.tenant, run.id, Outcome("cancelled"))

    async def _end(self, tenant: uuid.UUID, id: str, outcome: Outcome) -> None:
        scope = await self._tenancy.system_scope(from_uuid("ten", tenant))
        async with self._store.under(scope) as db:
            await self._endings.end(db, id, outcome)

    async def reconcile(self) -> None:
        """Rows that the queue lost, workers long gone, jobs past their keeping."""
        async with self._store.as_operator(reason="reconcile the queue") as db:
            if found := await db.run(_LOST_ROWS):
                log.warning("%d runs were handed over and not in the queue: they are queued again", found)
            await db.run(_PRUNE)
            await db.run(_OUTDATED, days=self._settings.keep_days)
