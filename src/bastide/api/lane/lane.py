"""The protocol of a connection: one request at a time, each for the gateway, until one is for somebody else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Final, cast

from bastide import telemetry
from bastide.api.lane.answering import SAFETY, Answering
from bastide.api.lane.callers import Callers
from bastide.api.lane.head import HEAD_BYTES_MAX, Elsewhere, Head, Heads, may_be_ours
from bastide.egress import Outgoing
from bastide.errors import BastideError, BodyTooLarge, Broken, HeadTooLarge, RequestTooSlow
from bastide.inference import Gateway, Running, refusal
from bastide.policy import Label
from bastide.store import Scope, new_id

_BODY_BYTES_MAX: Final = 16 * 1024 * 1024
_AHEAD_BYTES_MAX: Final = 64 * 1024  # of further requests that are taken while one is answered
_SWEEP_S: Final = 1.0
_REQUEST_S: Final = 30.0  # between the first byte of a request and its last, unless it keeps coming
_STILL_S: Final = 15.0  # between two pieces of a body
_LINGERS_S: Final = 2.0  # what still comes of a refused request is taken and thrown away for so long
_IDLE_S: Final = 75.0  # a kept connection without a request
_UNREAD_S: Final = 120.0  # who takes not a byte of what was written for so long is let go
_SAFE: Final = b"".join([f"{name}: {value}\r\n".encode() for name, value in SAFETY.items()])


class Behind:
    """What all connections of a server share."""

    def __init__(self, gateway: Gateway, callers: Callers) -> None:
        self.gateway = gateway
        self.callers = callers
        self.heads = Heads()
        self.outgoing = Outgoing()
        self._open: set[Lane] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._counted: dict[tuple[str, int], int] = {}

    def opened(self, lane: Lane) -> None:
        """A connection has come."""
        self._open.add(lane)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_SWEEP_S, self._sweep)

    def left(self, lane: Lane) -> None:
        """It is gone, or it is the server's now."""
        self._open.discard(lane)

    def count(self, wire: str, status: int) -> None:
        """Count an answer; what was counted is told once a second."""
        key = (wire, status)
        self._counted[key] = self._counted.get(key, 0) + 1

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for lane in [one for one in self._open if one.late(now)]:
            lane.give_up()
        for lane in [one for one in self._open if one.unread(now)]:
            lane.abort()
        counted, self._counted = self._counted, {}
        for (wire, status), times in counted.items():
            telemetry.count("http_requests", times, method="POST", route=f"lane {wire}", status=str(status))
        self._timer = loop.call_later(_SWEEP_S, self._sweep) if self._open or counted else None


class Lane(asyncio.Protocol):
    """One connection."""

    def __init__(self, behind: Behind, connections: set[Any], elsewhere: Callable[[], asyncio.Protocol]) -> None:
        """`connections` are the open ones of the server; `elsewhere` makes whoever takes this one on."""
        self._behind = behind
        self._connections = connections
        self._elsewhere = elsewhere
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._write: Callable[[bytes], None]
        self._buffer = b""
        self._head: Head | None = None
        self._head_end = self._body_end = self._missing = 0
        self._rest = bytearray()  # of a body whose beginning is in the buffer
        self._answering: Answering | None = None
        self._task: asyncio.Task[None] | None = None
        self._wire, self._betas = "chat", b""
        self._began = self._heard = self._loop.time()
        self._closing = self._held = self._deaf = self._full = False
        self._unread, self._unread_since = 0, 0.0  # while it is full: how much, and since when no less

    # -- the connection -----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It stands."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own is none by its class
        self._write = partial(self._behind.outgoing.write, self._transport)
        self._connections.add(self)
        self._behind.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone: what runs for it is stopped."""
        self._leave()
        if self._task is not None:
            self._task.cancel()
        if self._answering is not None and self._answering.running is not None:
            self._answering.running.cancel()
        self._answering = None

    def _leave(self) -> None:
        self._connections.discard(self)
        self._behind.left(self)

    def data_received(self, data: bytes) -> None:
        """Some bytes of requests."""
        if self._deaf:
            return
        if not self._buffer:
            self._began = self._loop.time()
        self._heard = self._loop.time()
        if self._head is not None:
            self._gather(data)
            return
        self._buffer = self._buffer + data if self._buffer else data
        if self._answering is not None or self._task is not None or self._full:
            if len(self._buffer) > _AHEAD_BYTES_MAX and not self._held and self._transport is not None:
                self._held = True
                self._transport.pause_reading()
            return
        self._next()

    def _gather(self, data: bytes) -> None:
        """Some more of a body. To join it anew with each piece would take the square of its length."""
        self._rest += data
        if len(self._rest) >= self._missing:
            self._buffer = b"".join((self._buffer, self._rest))
            self._rest = bytearray()
            self._next()

    def pause_writing(self) -> None:
        """The client reads slowly: what writes to it is held back, and no further request of it is begun."""
        self._full, self._unread = True, 0
        if self._answering is not None and self._answering.running is not None:
            self._answering.running.pause()

    def resume_writing(self) -> None:
        """It reads on."""
        self._full = False
        if self._answering is not None and self._answering.running is not None:
            self._answering.running.resume()
        elif self._buffer:
            self._loop.call_soon(self._again)

    def shutdown(self) -> None:
        """The server stops: an idle connection is closed, another when its answer is out."""
        self._closing = True
        if self._answering is None and self._task is None:
            self._close()

    def abort(self) -> None:
        """It stops now: what is not answered will not be."""
        if self._transport is not None:
            self._transport.abort()

    def late(self, now: float) -> bool:
        """Whether a request does not come to its end, or none comes at all."""
        if self._full or self._answering is not None or self._task is not None:
            return False
        if not self._buffer:
            return self._heard + _IDLE_S < now
        return self._heard + _STILL_S < now or (self._head is None and self._began + _REQUEST_S < now)

    def unread(self, now: float) -> bool:
        """Whether nobody takes what was written."""
        if not self._full or self._transport is None:
            return False
        left = self._transport.get_write_buffer_size()
        if not 0 < self._unread <= left:
            self._unread_since = now
        self._unread = left
        return now - self._unread_since > _UNREAD_S

    def give_up(self) -> None:
        """Close a connection that is late; who had begun a request is told."""
        if self._buffer:
            self._refuse(RequestTooSlow(), "")
        self._close()

    def _close(self) -> None:
        """Close the connection once all is out that was written."""
        if self._transport is not None:
            self._behind.outgoing.flush()
            self._transport.close()

    # -- one request --------------------------------------------------------------------------------

    def _next(self) -> None:
        """Begin with the next request in the buffer, if all of it is there."""
        if self._head is None and not self._read_head():
            self._read_on()
            return
        head = self._head
        assert head is not None, "read just now"
        buffer, end = self._buffer, self._body_end
        if len(buffer) < end:
            self._missing = end - len(buffer)
            self._read_on()
            return
        body = buffer[self._head_end : end]
        self._buffer, self._head = buffer[end:], None
        self._let_in(head, body)

    def _read_on(self) -> None:
        """What was sent ahead is answered: more may come."""
        if self._held and self._transport is not None:
            self._held = False
            self._transport.resume_reading()

    def _read_head(self) -> bool:
        buffer = self._buffer
        ours = may_be_ours(buffer)
        if ours is None:
            return False
        end = buffer.find(b"\r\n\r\n") + 4
        if ours and (end == 3 or end > HEAD_BYTES_MAX):
            if len(buffer) > HEAD_BYTES_MAX:
                limit, self._deaf = HEAD_BYTES_MAX // 1024, True
                self._refuse(HeadTooLarge(f"The head of the request is over {limit} KiB."), "")
            return False
        try:
            if not ours:
                raise Elsewhere
            head, length = self._behind.heads.read(buffer[:end])
        except Elsewhere:
            self._go_elsewhere()
            return False
        self._wire, self._betas = head.wire, head.betas
        if length > _BODY_BYTES_MAX:
            limit = _BODY_BYTES_MAX // (1024 * 1024)
            self._deaf = True
            self._refuse(BodyTooLarge(f"The body is over the limit of {limit} MiB.", limit_bytes=_BODY_BYTES_MAX), "")
            return False
        self._head, self._head_end, self._body_end = head, end, end + length
        return True

    def _go_elsewhere(self) -> None:
        """The connection is another's from here on, who gets the bytes as they came."""
        transport, buffer = self._transport, self._buffer
        assert transport is not None, "bytes come over a connection"
        self._leave()
        self._behind.outgoing.flush()
        self._buffer, self._transport = b"", None
        server = self._elsewhere()
        transport.set_protocol(server)
        server.connection_made(transport)
        if self._held:
            transport.resume_reading()
        if buffer:
            server.data_received(buffer)

    def _let_in(self, head: Head, body: bytes) -> None:
        request_id = head.request_id or new_id("req")
        stays = head.stays and not self._closing
        known = self._behind.callers.known(head.said, head.headers)
        if known is None:
            self._task = self._loop.create_task(self._asked(head, body, request_id, stays=stays))
            return
        self._begin(*known, body, request_id, stays=stays)

    async def _asked(self, head: Head, body: bytes, request_id: str, *, stays: bool) -> None:
        try:
            found = await self._behind.callers.ask(head.said, head.headers)
        except BastideError as fault:
            self._task = None
            self._refuse(fault, request_id, stays=stays)
        except Exception:
            telemetry.log.exception("request %s failed at the door", request_id)
            self._task = None
            self._refuse(Broken(), request_id)
        else:
            self._task = None
            self._begin(*found, body, request_id, stays=stays)

    def _begin(self, scope: Scope, label: Label, body: bytes, request_id: str, *, stays: bool) -> None:
        answering = self._answer(request_id, stays=stays)
        running: Running = self._behind.gateway.begin(
            scope, label, self._wire, body, answering, request_id=request_id, betas=self._betas
        )
        answering.running = running
        if self._full:
            running.pause()

    def _answer(self, request_id: str, *, stays: bool) -> Answering:
        fixed = b"%bx-request-id: %b\r\n" % (_SAFE, request_id.encode())
        self._answering = answering = Answering(self._write, self._answered, fixed, stays=stays)
        return answering

    def _refuse(self, fault: BastideError, request_id: str, *, stays: bool = False) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        request_id = request_id or new_id("req")
        answering = self._answer(request_id, stays=stays)
        if not stays:
            self._closing = True
        status, headers, body = refusal(self._wire, fault, request_id)
        answering.on_head(status, headers)
        answering.on_piece(body)
        answering.on_end()

    def _answered(self) -> None:
        """The answer is out: on to the next request, or the end of the connection."""
        answering, self._answering = self._answering, None
        assert answering is not None, "it was just answered"
        self._behind.count(self._wire, answering.status)
        self._heard = self._began = self._loop.time()
        transport = self._transport
        if transport is None:
            return
        if self._closing or not answering.stays:
            if self._deaf:  # whoever is still sending reads nothing from a connection that is reset
                self._loop.call_later(_LINGERS_S, transport.close)
            else:
                self._close()
            return
        if self._buffer:
            self._loop.call_soon(self._again)
        else:
            self._read_on()

    def _again(self) -> None:
        idle = self._answering is None and self._task is None and not self._full
        if idle and self._buffer and self._transport is not None:
            self._next()
