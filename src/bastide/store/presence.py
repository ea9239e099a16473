"""Presence: whether the database answers, as far as the last question showed, and who must not wait for it.

What serves from memory asks with `promptly`: it learns at once that the database is away, and is not kept waiting for
its return as others are.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from bastide.errors import BastideError, DatabaseUnavailable
from bastide.store.ending import ended, told_to_end
from bastide.telemetry import gauge, log

Answer = TypeVar("Answer")

_LOOK_EVERY_S = 0.25


class Presence:
    """What is known of the database's presence."""

    def __init__(self, look: Callable[[], Awaitable[object]], reopen: Callable[[], Awaitable[object]]) -> None:
        """`look` raises when nobody answers; `reopen` replaces what broke while nobody did."""
        self._look = look
        self._reopen = reopen
        self._gone = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None
        self._asked: set[asyncio.Future[Any]] = set()
        self._hanging: asyncio.Future[Any] | None = None  # what was asked last and not answered in time
        self._back_at = float("-inf")

    @property
    def away(self) -> bool:
        """Whether the last question found nobody, and nobody has been found since."""
        return self._gone.is_set()

    @property
    def silent(self) -> bool:
        """Whether it is away, or somebody has asked it in vain for long and still does."""
        return self._gone.is_set() or (self._hanging is not None and not self._hanging.done())

    def excuses(self, read_at: float, *, stale_s: float) -> bool:
        """Whether what was read at `read_at` (monotonic) may serve because nothing can be read now.

        It was read since the database came back from where it was before: what was missed then is not passed over.
        """
        return read_at >= self._back_at and time.monotonic() - read_at <= stale_s

    def gone(self) -> None:
        """A connection broke, or there was none to be had. From now on somebody looks whether it is back."""
        if not self._gone.is_set():
            self._gone.set()
            gauge("database_away", 1)
            log.warning("the database is away")
        self.doubt()

    def doubt(self) -> None:
        """A question waited long for a connection: all may be in use, or nobody may be there. Somebody looks."""
        if self._looking is None:
            self._looking = asyncio.get_running_loop().create_task(self._await_return())

    async def returned(self, *, within_s: float) -> bool:
        """Whether the database is there, or comes back within this time."""
        looking = self._looking
        if looking is not None:
            await asyncio.wait({looking}, timeout=within_s)
        return not self.away

    async def stop(self) -> None:
        """Look no more."""
        await ended(self._looking)

    async def promptly(self, asked: Coroutine[Any, Any, Answer], *, within_s: float) -> Answer:
        """What `asked` gives. Raises DatabaseUnavailable when the database is away, or silent for `within_s`.

        What was asked goes on behind the caller, who is told no more of it; until it ends the database is silent.
        """
        task = asyncio.ensure_future(asked)
        gone = asyncio.ensure_future(self._gone.wait())
        try:
            await asyncio.wait({task, gone}, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            if not task.done():
                self._asked.add(task)
                task.add_done_callback(self._forget)
        if not task.done():
            self._hanging = task
            raise DatabaseUnavailable
        return task.result()

    async def unless_silent(self, ask: Callable[[], Coroutine[Any, Any, Answer]], *, within_s: float) -> Answer:
        """The same for whoever has something to go by without an answer: a database that is silent is not asked."""
        if self.silent:
            raise DatabaseUnavailable
        return await self.promptly(ask(), within_s=within_s)

    def _forget(self, task: asyncio.Future[Any]) -> None:
        self._asked.discard(task)
        if not task.cancelled():
            task.exception()  # was seen

    async def _await_return(self) -> None:
        while True:
            try:
                await self._look()
                if self._gone.is_set():
                    await self._reopen()
                break
            except (Exception, asyncio.CancelledError) as fault:
                if told_to_end():
                    raise
                if not isinstance(fault, (BastideError, OSError)):
                    log.exception("looking for the database failed; it is looked for again")
                self.gone()
                await asyncio.sleep(_LOOK_EVERY_S)
        self._looking = None
        if not self._gone.is_set():
            return
        self._back_at = time.monotonic()
        self._gone.clear()
        gauge("database_away", 0)
        log.warning("the database is back")
