"""The feeder: hands due runs to the queue in fair order, as many as the living workers can take.

Every worker process has one; a lock lets one feed at a time, and a lease gives the slower duties to one of them.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from time import monotonic

from bastide.errors import BastideError
from bastide.settings import WorkSettings
from bastide.store import Store, ended, for_ever, queries
from bastide.telemetry import timed
from bastide.workflows.queue import SCHEMA
from bastide.workflows.registry import Registry
from bastide.workflows.rescuing import Rescuing
from bastide.workflows.worker import Worker

_Q = queries("bastide.workflows")
_FEED = _Q["feed"]
_TAKE_DUTY, _DROP_DUTY = _Q["take_duty"], _Q["drop_duty"]

Turn = Callable[[], Awaitable[object]]

_LOOKS = 4  # empty looks before it rests: an announcement may be ahead of a commit, or stand for several
_LOOK_S = 0.015
_FULL_S = 0.25  # the longest wait for places while work is waiting
_DUTY_S = 5.0
_SLOW_S = 2.5  # between two looks for lost runs, deadlines, schedules: an idle house should cost next to nothing
_RECONCILE_S = 15.0


class Feeder:
    """Feeds, wakes, rescues, and gives the room's other parts their turn."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        rescuing: Rescuing,
        worker: Worker,
        settings: WorkSettings,
        turns: Sequence[Turn],
    ) -> None:
        self._store = store
        self._registry = registry
        self._rescuing = rescuing
        self._worker = worker
        self._settings = settings
        self._turns = turns
        self._ready = asyncio.Event()
        self._holder = uuid.uuid4()
        self._tasks: list[asyncio.Task[None]] = []
        self._types = "[]"
        self._slow_s = min(_SLOW_S, settings.stale_s / 3)

    def start(self) -> None:
        """Begin."""
        self._types = json.dumps(
            [
                {
                    "type": kind.name,
                    "oldest": kind.compatible_from,
                    "newest": kind.version,
                    "per_tenant": kind.limits.per_tenant,
                    "overall": kind.limits.overall,
                    "rate": kind.limits.rate,
                    "rate_s": kind.limits.rate_s,
                }
                for kind in self._registry
            ]
        )
        loops = {"feeder": self._feed, "duties": self._duties, "listener": self._listen}
        self._tasks = [asyncio.create_task(for_ever(name, turn), name=name) for name, turn in loops.items()]

    def look(self) -> None:
        """Something was dispatched in this process."""
        self._ready.set()

    async def stop(self) -> None:
        """Hand nothing over any more."""
        tasks, self._tasks = self._tasks, []
        await ended(*tasks)
        with suppress(BastideError):
            async with self._store.as_operator(reason="give the duties up") as db:
                await db.run(_DROP_DUTY, name="duties", holder=self._holder)

    # -- feeding ------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        async for said in self._store.listen("workflows"):
            if said.startswith("stop:"):
                await self._worker.heed(said.removeprefix("stop:"))
            else:
                self._ready.set()
        await asyncio.sleep(0.2)

    async def _feed(self) -> None:
        looks, full_s = 0, _LOOK_S / 3
        try:
            async with asyncio.timeout(self._settings.poll_s):  # `wait_for` may swallow a cancellation (Python 3.11)
                await self._ready.wait()
        except TimeoutError:
            looks = _LOOKS - 1  # nothing was announced: one look is enough
        while looks < _LOOKS:
            self._ready.clear()
            handed = await self.feed()
            looks = 0 if handed else looks + 1
            if handed:
                full_s = min(full_s * 1.5, _FULL_S) if handed < 0 else _LOOK_S / 3
                await asyncio.sleep(full_s)
            elif looks < _LOOKS:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_S):
                        await self._ready.wait()

    async def feed(self) -> int:
        """One turn; how many runs were handed over, or -1 when some wait until more places are free."""
        with timed("work_feed"):
            ((handed,),) = await self._store.ask_as_operator(
                tuple,
                _FEED,
                search_path=SCHEMA,
                durable=False,
                alone="workflows feeder",
                types=self._types,
                stale_s=self._settings.stale_s,
            )
        return int(handed)

    # -- duties -------------------------------------------------------------------------------------

    async def _duties(self) -> None:
        began, reconciled, looked = 0.0, monotonic(), 0.0
        while True:
            if self._worker.busy or monotonic() - looked > self._slow_s:
                looked = monotonic()
                again = await self._worker.look_around()
                if again:
                    await self._rescuing.take_over(again)
            if await self._on_duty():
                woken, next_s = await self._rescuing.wake()
                if woken:
                    self._ready.set()
                if monotonic() - began >= self._slow_s:
                    began = monotonic()
                    await self._slow_duties()
                    if began - reconciled > _RECONCILE_S:
                        reconciled = began
                        await self._rescuing.reconcile()
                wait = self._settings.poll_s if next_s is None else min(self._settings.poll_s, max(0.01, next_s))
            else:
                wait = self._settings.poll_s
            await asyncio.sleep(wait)

    async def _slow_duties(self) -> None:
        if await self._rescuing.rescue():
            self._ready.set()
        for turn in self._turns:
            await turn()

    async def _on_duty(self) -> bool:
        held = await self._store.ask_as_operator(
            tuple, _TAKE_DUTY, durable=False, name="duties", holder=self._holder, seconds=_DUTY_S
        )
        return bool(held)
