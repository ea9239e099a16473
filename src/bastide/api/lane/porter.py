"""The porter of a process that answers calls of models alone: he says how it is, and shows everybody else the way.

`/healthz`, `/readyz` and `/metrics` are about this very process, so they are answered here. Any other connection is
joined, as it came, to the server of this home that answers everything. While there is none, the client is told so in
the shape that it expects.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, Final

from bastide import __version__, telemetry
from bastide.api.lane.answering import SAFETY, Answering
from bastide.api.lane.head import HEAD_BYTES_MAX
from bastide.api.lane.onward import Side
from bastide.api.lane.parts import grounds, means
from bastide.api.lane.values import CallRooms, Part
from bastide.egress import local_connection
from bastide.errors import AnsweredElsewhere, BastideError, Broken, RequestTooSlow
from bastide.inference import refusal
from bastide.store import new_id

_OURS: Final = {b"GET %b HTTP/1.1\r\n" % path: path.decode() for path in (b"/healthz", b"/readyz", b"/metrics")}
_LONGEST: Final = max(map(len, _OURS))
_HEAD_S: Final = 15.0
_JSON: Final = (b"content-type", b"application/json")
_TEXT: Final = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")

Find = Callable[[], str | None]
"""The address of the server that answers everything, if one runs."""


class Porter(Side):
    """One connection that is not, or no longer, for the lane."""

    def __init__(self, rooms: CallRooms, connections: set[Any], find: Find) -> None:
        super().__init__()
        self._rooms = rooms
        self._connections = connections
        self._find = find
        self._buffer = b""
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It was handed on."""
        super().connection_made(transport)
        self._connections.add(self)
        self._timer = asyncio.get_running_loop().call_later(_HEAD_S, self._too_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._connections.discard(self)
        for pending in (self._timer, self._task):
            if pending is not None:
                pending.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """The beginning of something, or more of what was passed on."""
        if self._task is not None:
            super().data_received(data)
            return
        self._buffer += data
        asked = next((path for line, path in _OURS.items() if self._buffer.startswith(line)), None)
        if asked is not None and b"\r\n\r\n" not in self._buffer and len(self._buffer) <= HEAD_BYTES_MAX:
            return
        if asked is None and len(self._buffer) < _LONGEST and any(line.startswith(self._buffer) for line in _OURS):
            return
        if self._timer is not None:
            self._timer.cancel()
        work = self._pass_on() if asked is None else self._say(asked)
        self._task = asyncio.get_running_loop().create_task(work)

    def shutdown(self) -> None:
        """The process stops: who was passed on is let finish, who has asked for nothing yet is not."""
        if self._task is None and self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        """It stops now."""
        if self.transport is not None:
            self.transport.abort()

    # -- what is answered here ----------------------------------------------------------------------

    async def _say(self, path: str) -> None:
        try:
            status, kind, said = await self._told(path)
        except Exception:
            telemetry.log.exception("%s failed", path)
            self._refuse(Broken(), path)
            return
        self._answer(status, [kind], said)

    async def _told(self, path: str) -> tuple[int, tuple[bytes, bytes], bytes]:
        if path == "/metrics":
            return 200, _TEXT, telemetry.render().encode()
        if path == "/healthz":
            return 200, _JSON, json.dumps({"status": "alive", "version": __version__}).encode()
        parts = [*await grounds(self._rooms), *means(self._rooms), self._rest()]
        broken = any(part.state == "broken" for part in parts)
        told = {"status": "not ready" if broken else "ready", "version": __version__}
        return 503 if broken else 200, _JSON, json.dumps({**told, "parts": [one.to_wire() for one in parts]}).encode()

    def _rest(self) -> Part:
        found = self._find()
        if found:
            return Part("rest", "ok", f"Calls of models are answered here; everything else is passed on to {found}.")
        return Part("rest", "attention", "Nobody answers what is no call of a model.", AnsweredElsewhere.next)

    # -- what is answered elsewhere -----------------------------------------------------------------

    async def _pass_on(self) -> None:
        found = self._find()
        early, self._buffer = self._buffer, b""
        path = early.partition(b" ")[2].partition(b" ")[0].decode("latin-1")
        if found is None:
            self._refuse(AnsweredElsewhere(), path)
            return
        try:
            there = await local_connection(found, Side)
        except BastideError as fault:
            self._refuse(AnsweredElsewhere(fault.message), path)
            return
        if there.transport is None or self.transport is None:
            if there.transport is not None:
                there.transport.close()
            return
        there.transport.write(early)
        self.join(there)
        telemetry.count("connections_passed_on")

    def _too_late(self) -> None:
        self._refuse(RequestTooSlow(), "")

    def _refuse(self, fault: BastideError, path: str) -> None:
        request_id = new_id("req")
        if path.startswith("/v1/"):
            self._answer(*refusal("messages" if path.startswith("/v1/messages") else "chat", fault, request_id))
        else:
            self._answer(fault.status, [_JSON], json.dumps({"error": fault.to_wire(request_id)}, default=str).encode())

    def _answer(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """A whole answer, the last of this connection."""
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        fixed = b"".join([f"{name}: {value}\r\n".encode() for name, value in SAFETY.items()])
        answering = Answering(transport.write, transport.close, fixed, stays=False)
        answering.on_head(status, headers)
        answering.on_piece(body)
        answering.on_end()
