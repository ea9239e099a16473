"""Onward: two connections joined, so that what one side says the other hears, no faster than it can listen."""

from __future__ import annotations

import asyncio
from typing import cast

_STOPS_AT = 256 * 1024  # bytes that wait for a slow side before the other is held back


class Side(asyncio.Protocol):
    """One end of the two. Bytes that come before there is another end are kept, and nothing further is read."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self._other: Side | None = None
        self._early = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It stands."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's own is none by its class
        self.transport.set_write_buffer_limits(_STOPS_AT)

    def data_received(self, data: bytes) -> None:
        """What was said."""
        if self._other is not None and self._other.transport is not None:
            self._other.transport.write(data)
            return
        self._early += data
        if self.transport is not None:
            self.transport.pause_reading()

    def join(self, other: Side) -> None:
        """From here on the two are one."""
        self._other, other._other = other, self
        if self._early:
            early, self._early = self._early, b""
            self.data_received(early)
        if self.transport is not None:
            self.transport.resume_reading()

    def pause_writing(self) -> None:
        """This side listens slowly."""
        if self._other is not None and self._other.transport is not None:
            self._other.transport.pause_reading()

    def resume_writing(self) -> None:
        """It listens again."""
        if self._other is not None and self._other.transport is not None:
            self._other.transport.resume_reading()

    def eof_received(self) -> bool:
        """This side has said all, and may listen still."""
        other = self._other.transport if self._other is not None else None
        if other is None or not other.can_write_eof():
            return False
        other.write_eof()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """This side is gone: the other is closed when it has heard all."""
        self.transport = None
        if self._other is not None and self._other.transport is not None:
            self._other.transport.close()
