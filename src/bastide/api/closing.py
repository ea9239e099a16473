"""Closing: what would go on for ever (a stream of events, a WebSocket) ends when the house is asked to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

_PATIENCE_S = 3.0


class Closing:
    """Whether the doors are about to close, and what is still open behind them."""

    def __init__(self) -> None:
        self._asked = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._open = 0

    @contextmanager
    def held_open(self) -> Iterator[asyncio.Event]:
        """Something that does not end by itself, open while the block runs; the event says that it should end."""
        self._open += 1
        self._empty.clear()
        try:
            yield self._asked
        finally:
            self._open -= 1
            if not self._open:
                self._empty.set()

    async def close(self) -> None:
        """Ask, and wait until all have said goodbye, at most three seconds."""
        self._asked.set()
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self._empty.wait()
        except TimeoutError:
            return
