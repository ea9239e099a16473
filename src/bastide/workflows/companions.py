"""Companions: parts of one job that wait, done together with the one that is at work.

1. the part at work takes along what nobody has begun: parts of the same job and type, asked for by the same person with
   the same rights, chain and label. They wait for it, and count as begun once
2. they end in the transaction that records its step: all of them, with what each gives, or none
3. what did not end goes back to the queue: at once, or after a while when the worker has died

A part that was begun before takes nobody along and is not taken along, so that what kills a worker does so alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from bastide.errors import BastideError
from bastide.store import Db, Store, queries
from bastide.telemetry import count
from bastide.workflows.ending import Endings
from bastide.workflows.registry import Registry
from bastide.workflows.running import Run
from bastide.workflows.values import JsonValue

_Q = queries("bastide.workflows")
_TAKE, _HOLD, _LEAVE, _ANNOUNCE = _Q["take_along"], _Q["hold_along"], _Q["leave_behind"], _Q["announce"]

_LEASE_S = 300.0  # after so long without an end somebody else may begin them
_INPUT_BYTES_MAX = 64 * 1024


class Company:
    """The parts that one run has taken along: their inputs by id, the oldest first."""

    def __init__(self, store: Store, endings: Endings, run: Run[Any], inputs: Mapping[str, Any]) -> None:
        self._store = store
        self._endings = endings
        self._run = run
        self.inputs = inputs

    async def hold(self, db: Db) -> set[str]:
        """Those that are still with us, held until this transaction ends. One that somebody is stopping is not."""
        rows = await db.rows(tuple, _HOLD, ids=list(self.inputs), waits_for=_waits_for(self._run))
        return {id for (id,) in rows}

    async def end(self, db: Db, outputs: Mapping[str, JsonValue]) -> None:
        """They are done, with what each gave, in this transaction, which holds them."""
        packed = {id: self._run.pack(output) for id, output in outputs.items()}
        if packed:
            await self._endings.end_together(db, _waits_for(self._run), packed)
            count("jobs_together", len(packed), type=self._run.kind.name)

    async def leave(self, ids: Collection[str] | None = None, *, begun: bool = True) -> None:
        """These, or all that have not ended, go back to the queue; not `begun`: as if they had not been taken along."""
        if ids is None or ids:
            await _leave(self._store, self._run, None if ids is None else list(ids), begun=begun)


class Companions:
    """Takes parts along."""

    def __init__(self, store: Store, registry: Registry, endings: Endings) -> None:
        self._store = store
        self._registry = registry
        self._endings = endings

    @asynccontextmanager
    async def of(self, run: Run[Any], most: int) -> AsyncIterator[Company]:
        """At most so many others; what has not ended when this is left goes back to the queue."""
        if run.attempt > 1:  # what an attempt before had taken along need not wait for its time
            await _leave(self._store, run, None, begun=True)
            yield Company(self._store, self._endings, run, {})
            return
        try:
            async with self._store.under(run.scope) as db:
                rows: list[tuple[str, bytes]] = await db.rows(
                    tuple,
                    _TAKE,
                    run=run.id,
                    fence=run.claim.fence,
                    waits_for=_waits_for(run),
                    bytes=_INPUT_BYTES_MAX,
                    seconds=_LEASE_S,
                    limit=most,
                )
                opened = {id: await db.unseal(sealed, about=f"workflows.run|{id}|input") for id, sealed in rows}
            inputs = {id: self._registry.read_input(run.kind, opened[id]) for id in sorted(opened)}
            yield Company(self._store, self._endings, run, inputs)
        finally:
            await asyncio.shield(_leave(self._store, run, None, begun=True))


async def _leave(store: Store, run: Run[Any], ids: list[str] | None, *, begun: bool) -> None:
    with suppress(BastideError):  # the database is away, then: they go on by themselves after a while
        async with store.under(run.scope) as db:
            left = await db.run(_LEAVE, run=run.id, waits_for=_waits_for(run), ids=ids, fewer=0 if begun else 1)
            if left:
                await db.at_commit(_ANNOUNCE, said="ready")


def _waits_for(run: Run[Any]) -> str:
    return f"together {run.id}"
