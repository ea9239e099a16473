"""The HTTP server behind the lane, bounded: a head has an end, in bytes and in time, and a body keeps coming.

uvicorn's own protocol takes headers without end and waits for the rest of a request for ever, from anybody.
"""

from __future__ import annotations

import asyncio
import json
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from bastide.api.refusals import envelope
from bastide.errors import BastideError, HeadTooLarge, RequestTooSlow
from bastide.store import new_id

_HEAD_BYTES_MAX: Final = 32 * 1024  # beside what came in one piece
_HEAD_S: Final = 30.0  # between the first byte of a head and its last
_STILL_S: Final = 60.0  # between two pieces of a body that somebody reads
_LOOK_S: Final = 5.0
_LINGERS_S: Final = 2.0  # whoever is still sending reads nothing from a connection that is reset


class Bounded(HttpToolsProtocol):
    """One connection."""

    _timer: asyncio.TimerHandle | None = None
    _in_head = True
    _deaf = False  # what still comes is thrown away
    _head_bytes = 0
    _since = _heard = 0.0  # a head is waited for; anything was heard

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as it is there
        """It was handed on."""
        super().connection_made(transport)
        self._since = self._heard = self.loop.time()
        self._timer = self.loop.call_later(_LOOK_S, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Some bytes of requests. What a head begins with counts from the second piece on."""
        if self._deaf:
            return
        self._heard = self.loop.time()
        goes_on = self._in_head
        super().data_received(data)
        if goes_on and self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > _HEAD_BYTES_MAX:
                self._refuse(HeadTooLarge(f"The head of the request is over {_HEAD_BYTES_MAX // 1024} KiB."))

    def on_message_begin(self) -> None:
        """A head begins."""
        self._in_head, self._head_bytes, self._since = True, 0, self.loop.time()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """It is whole."""
        self._in_head = False
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """A request is answered."""
        self._since = self.loop.time()
        super().on_response_complete()

    def late(self, now: float) -> bool:
        """Whether the client has begun what it does not end."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            return now - self._since > _HEAD_S
        return cycle.more_body and not self.flow.read_paused and now - self._heard > _STILL_S

    def _look(self) -> None:
        transport = self.transport
        if transport.is_closing() or transport.get_protocol() is not self:
            return
        if self.late(self.loop.time()):
            self._refuse(RequestTooSlow())
        else:
            self._timer = self.loop.call_later(_LOOK_S, self._look)

    def _refuse(self, fault: BastideError) -> None:
        """Tell who has not been answered at all, and close the connection."""
        self._deaf = True
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(_answer(fault))
        self.loop.call_later(_LINGERS_S, self.transport.close)


def _answer(fault: BastideError) -> bytes:
    body = json.dumps(envelope(fault, request_id=new_id("req")), default=str).encode()
    head = f"HTTP/1.1 {fault.status} Refused\r\ncontent-type: application/json\r\nconnection: close\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body
