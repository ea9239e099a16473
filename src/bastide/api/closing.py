"""Closing: what would go on for ever (a stream of events, a WebSocket) ends when the house is asked to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import NoReturn, TypeVar

from bastide.errors import Stopping

_PATIENCE_S = 3.0

Result = TypeVar("Result")


class Closing:
    """Whether the doors are about to close, and what is still open behind them."""

    def __init__(self) -> None:
        self._asked = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._open = 0

    @contextmanager
    def held_open(self) -> Iterator[None]:
        """Something that does not end by itself, open while the block runs: `close` waits for it."""
        self._open += 1
        self._empty.clear()
        try:
            yield
        finally:
            self._open -= 1
            if not self._open:
                self._empty.set()

    async def asked(self) -> NoReturn:
        """Raises Stopping once `close` is called."""
        await self._asked.wait()
        raise Stopping("The server is stopping.", next_step="Come again in a moment.")

    async def close(self) -> None:
        """Ask, and wait until all have said goodbye, at most three seconds."""
        self._asked.set()
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self._empty.wait()
        except TimeoutError:
            return


async def unless(work: Awaitable[Result], *reasons: Awaitable[NoReturn]) -> Result:
    """What `work` gives, unless one of the reasons raises before it is done; then the work is cancelled."""
    tasks: list[asyncio.Future[Result]] = [asyncio.ensure_future(one) for one in (work, *reasons)]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return next(task for task in tasks if task.done()).result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
