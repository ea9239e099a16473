"""The worker: procrastinate's loop in this process, begun anew when the database was away too long."""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import monotonic
from typing import Any

from procrastinate import App
from procrastinate.job_context import JobContext
from procrastinate.worker import Worker as QueueWorker

from bastide.errors import BastideError
from bastide.settings import WorkSettings
from bastide.store import Json, Store, queries, told_to_end
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
_BEGIN_S = 60.0  # a loop that is not known by then is given up
_STALLED_S = 3600.0  # procrastinate forgets workers that were silent for so long
_NEVER_S = 1e6


class _Loop(QueueWorker):
    """procrastinate's worker, which tells who it is before it takes anything."""

    def __init__(self, *given: Any, tell: Callable[[int], Awaitable[None]], **named: Any) -> None:
        super().__init__(*given, **named)
        self._tell = tell

    @property
    def ending(self) -> bool:
        """Whether it was asked to stop, by us or by a part of it that failed."""
        return self._stop_event.is_set()

    async def _run_loop(self) -> None:
        assert self.worker_id is not None
        await self._tell(self.worker_id)
        await super()._run_loop()  # type: ignore[no-untyped-call]  # procrastinate leaves it untyped


class _LoopLost(Exception):
    """A loop that is no longer what it was: another is begun."""


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
        try:
            await self._task
        finally:
            late.cancel()

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
            loop = self._loop = self._new_loop()
            running = asyncio.create_task(loop.run(), name="queue")  # type: ignore[no-untyped-call]
            try:
                await self._accompany(loop, running)
            except (Exception, asyncio.CancelledError) as fault:
                if told_to_end():
                    raise
                count("worker_restarts")
                log.warning("the worker begins anew: %s: %s", type(fault).__name__, fault)
                await asyncio.sleep(_AGAIN_S)
            finally:
                await self._untell()

    def _new_loop(self) -> _Loop:
        return _Loop(
            app=self._app,
            tell=self._tell,
            queues=[
                queue_name(kind.name, version)
                for kind in self._registry
                for version in range(kind.compatible_from, kind.version + 1)
            ],
            concurrency=self._settings.concurrency,
            fetch_job_polling_interval=_POLL_S,
            abort_job_polling_interval=_NEVER_S,  # stops have their own way: see `heed`
            install_signal_handlers=False,
            update_heartbeat_interval=_NEVER_S,  # see `_accompany`
            stalled_worker_timeout=_STALLED_S,
            shutdown_graceful_timeout=self._settings.grace_s + _UNDO_S,
        )

    async def _accompany(self, loop: _Loop, running: asyncio.Task[None]) -> None:
        """Say that the loop lives for as long as it does. Raises when it ended unasked, or does not end.

        procrastinate's own heartbeat is one task of its loop: with the first beat that is cancelled it is over, and the
        loop lives on, unknown to those who hand out work.
        """
        leave_at, begun = float("inf"), monotonic()
        try:
            while not running.done() and monotonic() < (leave_at if self.id is not None else begun + _BEGIN_S):
                await asyncio.wait({running}, timeout=self._settings.heartbeat_s)
                if not running.done() and not await self._beat():
                    loop.stop()  # type: ignore[no-untyped-call]
                if loop.ending:
                    leave_at = min(leave_at, monotonic() + self._settings.grace_s + 2 * _UNDO_S)
            if not running.done() or running.cancelled():
                raise _LoopLost("It was cancelled." if running.done() else "It does not end, and is left behind.")
            running.result()
            if not self._leaving:
                raise _LoopLost("The others had given it up, or a part of it failed.")
        finally:
            running.cancel()

    async def _beat(self) -> bool:
        """Whether the others still know this worker; a database that does not answer leaves that open."""
        if self.id is None:
            return True
        try:
            async with asyncio.timeout(self._settings.stale_s):
                return await self._queue.beat(self.id)
        except (BastideError, TimeoutError) as fault:
            log.warning("the worker's heart: %s: %s", type(fault).__name__, fault)
            return True

    async def _tell(self, worker: int) -> None:
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
        self.id = worker
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
