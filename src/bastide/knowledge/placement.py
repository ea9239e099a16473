"""Placement: when a tenant's vectors leave the shared partition for one of their own, with a graph.

The procedure `knowledge.place` (schema/0002) does it in one transaction of the owner. Only afterwards does the
tenant's own table `placement` say that searches may use the graph; until then they are exact, and right.
"""

from __future__ import annotations

import asyncio

from bastide.store import Scope, Store, queries
from bastide.telemetry import count, log, timed

_Q = queries("bastide.knowledge")
_EXTENT, _UNPLACED = _Q["extent_in_all"], _Q["models_unplaced"]
_ADD, _TENANT, _PLACE = _Q["add_placement"], _Q["tenant_here"], _Q["place"]

DIMENSIONS = (384, 768, 1024)  # those for which queries.sql has a search through the graph


class Placement:
    """Gives large tenants a partition of their own, in the background, one at a time."""

    def __init__(self, store: Store, chunks_min: int) -> None:
        self._store = store
        self._chunks_min = chunks_min
        self._one_at_a_time = asyncio.Lock()
        self._running: set[asyncio.Task[None]] = set()

    def consider_soon(self, scope: Scope) -> None:
        """Look in the background whether this tenant has grown past the threshold."""
        task = asyncio.create_task(self._consider_quietly(scope))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def settled(self) -> None:
        """Wait for what is running."""
        while self._running:
            await asyncio.gather(*self._running, return_exceptions=True)

    async def stop(self) -> None:
        """Give up what is running; it is tried again after the next intake."""
        for task in list(self._running):
            task.cancel()
        await self.settled()

    async def _consider_quietly(self, scope: Scope) -> None:
        try:
            await self.consider(scope)
        except Exception as fault:  # the search stays exact, so this must not fail anybody
            count("knowledge_placement_failed")
            log.warning("a tenant's vectors could not be given their own partition: %s", type(fault).__name__)

    async def consider(self, scope: Scope) -> int:
        """Place every model of this tenant that has enough vectors; how many were placed."""
        async with self._store.under(scope) as db:
            if (await db.value(_EXTENT) or 0) < self._chunks_min:
                return 0
        async with self._one_at_a_time:
            async with self._store.under(scope) as db:
                due: list[tuple[str, int]] = await db.rows(tuple, _UNPLACED, least=self._chunks_min)
                tenant = await db.value(_TENANT)
            placed = 0
            for model, dimensions in due:
                if dimensions not in DIMENSIONS:
                    continue
                with timed("knowledge_placement"):
                    await self._place(str(tenant), model, dimensions)
                async with self._store.under(scope) as db:
                    await db.run(_ADD, model=model, dimensions=dimensions)
                placed += 1
        return placed

    async def _place(self, tenant: str, model: str, dimensions: int) -> None:
        async with (
            self._store.as_owner(reason="a tenant's vectors get a partition of their own") as owner,
            owner.transaction(),
        ):
            await owner.execute("set local maintenance_work_mem = '256MB'")
            await owner.execute("set local lock_timeout = '10s'")
            await owner.execute(_PLACE.sql, {"tenant": tenant, "model": model, "dimensions": dimensions})
