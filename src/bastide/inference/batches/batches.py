"""Batches: asked for, looked at, stopped. Their work is a durable job; what it has not said yet is asked of that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from bastide.audit import Audit
from bastide.errors import BadBatch, BastideError, BatchEnded, JobEnded, UnknownBatch, UnknownJob
from bastide.inference.accounts import Reserving
from bastide.inference.batches.ending import batch_at_work, batch_of, end
from bastide.inference.batches.files import BYTES_MAX, PURPOSE, Files, file_of, kept_s, owner, seen_by, stopped
from bastide.inference.batches.following import STOP
from bastide.inference.batches.handed import batches as batches_handed
from bastide.inference.batches.handed import has
from bastide.inference.batches.lines import Problem
from bastide.inference.batches.values import ENDPOINTS, Batch
from bastide.inference.batches.withdrawing import Withdrawing, begin
from bastide.inference.batches.working import TYPE, Working
from bastide.inference.gateway import Gateway
from bastide.policy import Label
from bastide.store import Db, Json, Page, Scope, Store, ended, for_ever, is_id, new_id, queries
from bastide.telemetry import log
from bastide.tenancy import Tenancy
from bastide.workflows import Job, Workflows

_Q = queries("bastide.inference")
_ADD, _BATCHES, _CANCEL, _OVERDUE = _Q["add_batch"], _Q["batches"], _Q["cancel_batch"], _Q["overdue_batches"]

_WINDOWS_H: Final = (24, 48, 72)
_PAIRS_MAX, _KEY_MAX, _VALUE_MAX = 16, 64, 512
_LISTED_MAX: Final = 100
_FIRST_SWEEP_S, _SWEEP_S = 60.0, 3600.0


class Batches:
    """The batches and files of all tenants."""

    FILE_BYTES_MAX: Final = BYTES_MAX

    def __init__(
        self,
        store: Store,
        audit: Audit,
        tenancy: Tenancy,
        workflows: Workflows,
        gateway: Gateway,
        reserving: Reserving,
        *,
        files_bytes_max: int,
    ) -> None:
        """`files_bytes_max` of files are kept for each tenant."""
        self._store = store
        self._audit = audit
        self._tenancy = tenancy
        self._workflows = workflows
        self._sweeper: asyncio.Task[None] | None = None
        self.files = Files(store, audit, workflows, bytes_max=files_bytes_max)
        self._leave: Callable[[], None] = lambda: None
        self._beginning: set[asyncio.Task[None]] = set()
        workflows.register(Working(audit, tenancy, gateway, reserving).type())
        workflows.register(Withdrawing(audit, gateway, reserving).type())

    async def start(self, *, work: bool) -> None:
        """Where work is done, delete each hour what is past its days, and at once what nobody waits for elsewhere."""
        if work:
            self._leave = self._store.hearing.of_tenants("inference.handed", self._doomed)
            self._sweeper = asyncio.create_task(self._sweeping())

    async def stop(self) -> None:
        """Sweep no more."""
        self._leave()
        await ended(self._sweeper, *self._beginning)

    async def create(
        self,
        scope: Scope,
        *,
        input_file: str,
        endpoint: str,
        window: str = "24h",
        metadata: Mapping[str, str] | None = None,
        keep_s: int | None = None,
        label: Label,
    ) -> Batch:
        """Have the calls of a file made. What is wrong with its lines is found by the job, and told in the batch.

        `window`: what is not done by then is given up; `keep_s`: how long what came of it is kept.
        Raises UnknownFile, BadBatch, BadFile.
        """
        scope.need("model:use")
        scope.need("work:run")
        window_h = _checked(endpoint, window, metadata)
        keep_s = kept_s(keep_s, "output_expires_after.seconds")
        id = new_id("batch")
        async with self._store.under(scope) as db:
            file = await file_of(db, scope, input_file)
            if file.purpose != PURPOSE:
                raise BadBatch("What came of a batch is no input of another.", param="input_file_id")
            said = Label.of_scope(scope).join(label).join(file.said)
            whole = file.label.join(said)
            job = await self._workflows.dispatch(scope, Job(TYPE, {"batch": id}, label=said), db=db)
            await db.run(
                _ADD,
                id=id,
                job=job.id,
                input_file=file.id,
                endpoint=endpoint,
                window_h=window_h,
                metadata=None if metadata is None else Json(dict(metadata)),
                keep_s=keep_s,
                said=Json(said.to_wire()),
                label=Json(whole.to_wire()),
                subjects=sorted(whole.subjects),
                **owner(scope),
            )
            await self._audit.record(
                db, "batch.add", resource=id, subjects=sorted(whole.subjects), details={"file": file.id, "job": job.id}
            )
            return await _batch(db, scope, id)

    async def get(self, scope: Scope, id: str) -> Batch:
        """One batch, as it is now. Raises UnknownBatch, also for one of somebody else."""
        _need_to_look(scope)
        async with self._store.under(scope) as db:
            found = await _batch(db, scope, id)
        return await self._settled(scope, found)

    async def list(self, scope: Scope, *, cursor: str | None = None, limit: int = 20) -> Page[Batch]:
        """The batches that the scope may see, newest first; `cursor` is the last one seen."""
        _need_to_look(scope)
        limit = max(1, min(limit, _LISTED_MAX))
        async with self._store.under(scope) as db:
            rows = await db.rows(dict, _BATCHES, ids=None, after=cursor, limit=limit + 1, **seen_by(scope))
        items = [await self._settled(scope, batch_of(row)) for row in rows[:limit]]
        return Page(tuple(items), items[-1].id if len(rows) > limit else None)

    async def cancel(self, scope: Scope, id: str) -> Batch:
        """Stop a batch: nothing more is asked, and what was answered by then can be read. What is being asked is cut.

        Of which something was handed over, that is stopped there, too: it stays `cancelling` until what was answered
        there by then is collected. Raises UnknownBatch, BatchEnded.
        """
        _need_to_look(scope)
        scope.need("work:run")
        found = await self.get(scope, id)
        async with self._store.under(scope) as db:
            if found.live and found.status != "cancelling" and await db.run(_CANCEL, id=id):
                await self._audit.record(db, "batch.cancel", resource=id, subjects=sorted(found.label.subjects))
            found, elsewhere = await _batch(db, scope, id), await has(db, id)
        if not found.live:
            raise BatchEnded(f"The batch is {found.status} already.", batch=id)
        if elsewhere:
            with suppress(JobEnded):
                await self._workflows.signal(scope, found.job, STOP)
        else:
            await stopped(self._workflows, scope, found.job, wait_s=1.0)
        return await self.get(scope, id)

    async def sweep(self, scope: Scope) -> int:
        """Delete the files of a tenant that are past their days; how many. What a lost job left is ended first."""
        async with self._store.under(scope) as db:
            overdue = [id for (id,) in await db.rows(tuple, _OVERDUE)]
            overdue += await batches_handed(db)  # a job that was lost leaves what it had handed over
        for id in overdue:
            with suppress(UnknownBatch):
                await self.get(scope, id)
        await self._withdraw(scope)
        return await self.files.sweep(scope)

    @staticmethod
    async def forget_about(db: Db, subject: str) -> int:
        """Delete the files about a person and all that came of them, in this transaction; how many files."""
        return await Files.forget_about(db, subject)

    # -- what the job says --------------------------------------------------------------------------

    async def _settled(self, scope: Scope, batch: Batch) -> Batch:
        """The batch; where its job has ended without its knowledge (stopped, failed for good), ended with it."""
        if not batch.live:
            return batch
        try:
            job = await self._workflows.job(scope, batch.job)
        except UnknownJob:
            said: Problem = {
                "code": "job_gone",
                "message": "The job of this batch is gone.",
                "line": None,
                "param": None,
            }
            return await self._end(scope, batch.id, "failed", [said])
        if job.status == "cancelled":
            return await self._end(scope, batch.id, "cancelled", None)
        if job.status == "failed":
            problem = job.problem
            said = {
                "code": problem.code if problem else "workflows.failed",
                "message": problem.message if problem else "The job of this batch failed.",
                "line": None,
                "param": None,
            }
            return await self._end(scope, batch.id, "failed", [said])
        return batch

    async def _end(self, scope: Scope, id: str, status: str, problems: Sequence[Problem] | None) -> Batch:
        async with self._store.under(scope) as db:
            batch = await batch_at_work(db, id)
            return await end(db, self._audit, batch, status, problems) if batch.live else batch

    # -- what lies elsewhere ------------------------------------------------------------------------

    async def _withdraw(self, scope: Scope) -> None:
        """Have deleted what of the tenant's lies at providers and nobody waits for."""
        async with self._store.under(scope) as db:
            await begin(self._workflows, scope, db)

    def _doomed(self, tenant: str) -> None:
        task = asyncio.get_running_loop().create_task(self._begin(tenant))
        self._beginning.add(task)
        task.add_done_callback(self._beginning.discard)

    async def _begin(self, tenant: str) -> None:
        try:
            await self._withdraw(await self._tenancy.system_scope(tenant))
        except BastideError as fault:  # the sweeper comes by
            log.warning("what lies at a provider is not withdrawn yet: %s", fault.code)

    async def _sweeping(self) -> None:
        await asyncio.sleep(_FIRST_SWEEP_S)
        await for_ever("deleting files that are past their days", self._sweep_all, pause_s=_SWEEP_S)

    async def _sweep_all(self) -> None:
        for tenant in await self._tenancy.active_tenants():
            await self.sweep(await self._tenancy.system_scope(tenant))
        await asyncio.sleep(_SWEEP_S)


async def _batch(db: Db, scope: Scope, id: str) -> Batch:
    if is_id(id, "batch"):
        row = await db.row(dict, _BATCHES, ids=[id], after=None, limit=1, **seen_by(scope))
        if row is not None:
            return batch_of(row)
    raise UnknownBatch(f"There is no batch {id[:80]!r} here.")


def _need_to_look(scope: Scope) -> None:
    """How a batch is, is how its job is."""
    scope.need("model:use")
    scope.need("work:read")


def _checked(endpoint: str, window: str, metadata: Mapping[str, str] | None) -> int:
    """The window in hours. Raises BadBatch."""
    if endpoint not in ENDPOINTS:
        raise BadBatch(f"A batch asks one of {', '.join(ENDPOINTS)}.", param="endpoint")
    hours = {f"{hours}h": hours for hours in _WINDOWS_H}.get(window)
    if hours is None:
        listed = ", ".join(f"{hours}h" for hours in _WINDOWS_H)
        raise BadBatch(f"The completion window is one of {listed}.", param="completion_window")
    for key, value in (metadata or {}).items():
        if len(key) > _KEY_MAX or len(value) > _VALUE_MAX:
            raise BadBatch(f"A key has {_KEY_MAX} characters at most, a value {_VALUE_MAX}.", param="metadata")
    if metadata is not None and len(metadata) > _PAIRS_MAX:
        raise BadBatch(f"There are {len(metadata)} pairs of metadata; at most {_PAIRS_MAX} are kept.", param="metadata")
    return hours
