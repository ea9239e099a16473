"""What is written in one turn of the event loop goes out at its end, all together.

A write wakes whoever waits at the other end, which costs more than the write itself. Where requests are written one by
one, as each is made ready, a server wakes for each, answers faster than the next is ready, and sleeps again; written
together, they find it awake.
"""

from __future__ import annotations

import asyncio


class Outgoing:
    """The writes of a turn, in their order."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: list[tuple[asyncio.Transport, bytes]] = []

    def write(self, transport: asyncio.Transport, data: bytes) -> None:
        """Write these at the end of the turn. Who closes the connection before calls `flush` first."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self.flush)
        self._waiting.append((transport, data))

    def flush(self) -> None:
        """Write what waits, now; for a connection that is gone it is lost."""
        waiting, self._waiting = self._waiting, []
        for transport, data in waiting:
            if not transport.is_closing():
                transport.write(data)
