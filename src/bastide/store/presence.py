"""Presence: whether the database answers, as far as the last question showed, and who must not wait for it.

What serves from memory asks with `promptly`: it learns at once that the database is away, and is not kept waiting for
its return as others are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from bastide.errors import BastideError, DatabaseUnavailable
from bastide.telemetry import gauge, log

Answer = TypeVar("Answer")

_LOOK_EVERY_S = 0.25


class Presence:
    """What is known of the database's presence."""

    def __init__(self, look: Callable[[], Awaitable[object]]) -> None:
        """`look` asks the database something small, and raises when it does not answer."""
        self._look = look
        self._gone = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None
        self._asked: set[asyncio.Future[Any]] = set()

    @property
    def away(self) -> bool:
        """Whether the last question found nobody, and nobody has been found since."""
        return self._gone.is_set()

    def gone(self) -> None:
        """A question found nobody. From now on somebody looks whether it is back."""
        if not self._gone.is_set():
            self._gone.set()
            gauge("database_away", 1)
            log.warning("the database is away")
        if self._looking is None:
            self._looking = asyncio.get_running_loop().create_task(self._await_return())

    async def stop(self) -> None:
        """Look no more."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    async def promptly(self, asked: Coroutine[Any, Any, Answer], *, within_s: float) -> Answer:
        """What `asked` gives. Raises DatabaseUnavailable when the database is away, or silent for `within_s`.

        What was asked goes on behind the caller, who is told no more of it.
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
            raise DatabaseUnavailable
        return task.result()

    def _forget(self, task: asyncio.Future[Any]) -> None:
        self._asked.discard(task)
        if not task.cancelled():
            task.exception()  # was seen

    async def _await_return(self) -> None:
        while True:
            try:
                await self._look()
                break
            except (BastideError, OSError):
                await asyncio.sleep(_LOOK_EVERY_S)
        self._looking = None
        self._gone.clear()
        gauge("database_away", 0)
        log.warning("the database is back")
