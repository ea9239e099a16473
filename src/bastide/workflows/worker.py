"""The worker: procrastinate's loop in this process, begun anew when the database was away too long."""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from procrastinate import App
from procrastinate.job_context import JobContext
from procrastinate.worker import Worker as QueueWorker

from bastide.errors import BastideError
from bastide.settings import WorkSettings
from bastide.store import Json, Store, queries
from bastide.telemetry import count, log
from bastide.workflows.executing import Executing
from bastide.workflows.queue import TASK, Queue, StoreConnector, queue_name
from bastide.workflows.registry import Registry
from bastide.workflows.rescuing import LostRun

_Q = queries("bastide.workflows")
_ADD, _DROP, _HELD = _Q["add_worker"], _Q["drop_worker"], _Q["held_of"]

_AGAIN_S = 1.0
_UNDO_S = 10.0
_POLL_S = 2.0  # a look into the queue when nothing was announced
_KNOWN_S = 5.0


class _Loop(QueueWorker):
    """procrastinate's worker, which tells who it is before it takes anything."""

    def __init__(self, *given: Any, tell: Callable[[int], Awaitable[None]], **named: Any) -> None:
        super().__init__(*given, **named)
        self._tell = tell

    async def _run_loop(self) -> None:
        assert self.worker_id is not None
        await self._tell(self.worker_id)
        await super()._run_loop()  # type: ignore[no-untyped-call]  # procrastinate leaves it untyped


class Worker:
    """Takes runs from the queue and executes them, `concurrency` at a time."""

    def __init__(self, store: Store, registry: Registry, executing: Executing, settings: WorkSettings) -> None:
        self._store = store
        self._registry = registry
        self._executing = executing
        self._settings = settings
        self._connector = StoreConnector(store)
        self._queue = Queue(self._connector)
        self._app = App(connector=self._connector)
        self._app.job_manager = self._queue
        self._app.task(name=TASK, pass_context=True)(self._one)
        self._loop: _Loop | None = None
        self._task: asyncio.Task[None] | None = None
        self._leaving = False
        self._orphans: set[str] = set()
        self._known = asyncio.Event()
        self.id: int | None = None  # under which the database knows this worker

    async def start(self) -> None:
        """Begin to work; returns when the database knows of it, or could not be told within a few seconds."""
        self._task = asyncio.create_task(self._keep_working(), name="worker")
        with suppress(TimeoutError):
            async with asyncio.timeout(_KNOWN_S):
                await self._known.wait()

    async def stop(self) -> None:
        """Take nothing more; what runs may finish within the grace, then it is given back."""
        self._leaving = True
        if self._task is None:
            return
        if self._loop:
            self._loop.stop()  # type: ignore[no-untyped-call]
        late = asyncio.get_running_loop().call_later(self._settings.grace_s, self._interrupt)
        beating = asyncio.create_task(self._beat())
        try:
            await self._task
        finally:
            late.cancel()
            beating.cancel()

    async def _beat(self) -> None:
        # procrastinate's heartbeat ends when it is asked to stop; its last runs are still at work.
        while self.id is not None:
            await asyncio.sleep(self._settings.heartbeat_s)
            with suppress(BastideError):
                await self._queue.update_heartbeat(self.id)

    def _interrupt(self) -> None:
        for at_work in list(self._executing.at_work.values()):
            at_work.stop(leaving=True)

    async def heed(self, run: str) -> None:
        """Somebody asked to stop this run: if it is here, it is interrupted."""
        at_work = self._executing.at_work.get(run)
        if at_work is not None:
            at_work.stop()

    @property
    def busy(self) -> bool:
        """Whether runs are at work here."""
        return bool(self._executing.at_work)

    async def look_around(self) -> list[LostRun]:
        """Heed stops that were not heard; name the runs that the database thinks are here and are not.

        Such a run was claimed while the database went away; it is named when it was missed twice.
        """
        if self.id is None:
            return []
        held = await self._store.ask_as_operator(LostRun, _HELD, durable=False, worker=self.id)
        missed = [run for run in held if run.id not in self._executing.at_work]
        for run in held:
            if run.status == "stopping":
                await self.heed(run.id)
        again = [run for run in missed if run.id in self._orphans]
        self._orphans = {run.id for run in missed}
        return again

    async def _keep_working(self) -> None:
        while not self._leaving:
            self._loop = _Loop(
                app=self._app,
                tell=self._tell,
                queues=[
                    queue_name(kind.name, version)
                    for kind in self._registry
                    for version in range(kind.compatible_from, kind.version + 1)
                ],
                concurrency=self._settings.concurrency,
                fetch_job_polling_interval=_POLL_S,
                abort_job_polling_interval=3600.0,  # stops have their own way: see `heed`
                install_signal_handlers=False,
                update_heartbeat_interval=self._settings.heartbeat_s,
                stalled_worker_timeout=3600.0,
                shutdown_graceful_timeout=self._settings.grace_s + _UNDO_S,
            )
            try:
                await self._loop.run()  # type: ignore[no-untyped-call]
            except Exception as fault:
                count("worker_restarts")
                log.warning("the worker begins anew: %s", fault)
                await asyncio.sleep(_AGAIN_S)
            finally:
                await self._untell()

    async def _tell(self, worker: int) -> None:
        self.id = worker
        types = {kind.name: [kind.compatible_from, kind.version] for kind in self._registry}
        async with self._store.as_operator(reason="a worker begins") as db:
            await db.run(
                _ADD,
                id=worker,
                host=platform.node(),
                pid=os.getpid(),
                concurrency=self._settings.concurrency,
                types=Json(types),
            )
        self._known.set()

    async def _untell(self) -> None:
        worker, self.id = self.id, None
        if worker is not None:
            with suppress(BastideError):
                async with self._store.as_operator(reason="a worker ends") as db:
                    await db.run(_DROP, id=worker)

    async def _one(self, context: JobContext, /, **ids: str) -> None:
        assert context.job.id is not None
        claim = self._queue.claims.get(context.job.id)
        if claim is not None:
            await self._executing.execute(claim)
