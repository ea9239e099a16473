"""The gate: what holds for every request before any room is asked, and for every answer after.

1. the request gets its id, its own if it brought a good one        4. every error becomes our envelope
2. a body over the limit is cut while it arrives                     5. the answer gets its safety headers
3. the next door is asked                                            6. log and metrics, without content

A WebSocket passes in the same order; its messages are limited as bodies are, and its errors close it.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.websockets import WebSocketDisconnect

from bastide import telemetry
from bastide.api.addresses import address
from bastide.api.closing import Closing, unless
from bastide.api.lane import SAFETY
from bastide.api.refusals import refusal
from bastide.errors import ArchiveTooLarge, BadRequest, BastideError, BodyTooLarge, Broken, Stopping
from bastide.store import new_id

Message = MutableMapping[str, Any]
Wires = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Door = Callable[[Wires, Receive, Send], Awaitable[None]]

IMPORT_PATH = "/api/v1/collections:import"
_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_GOODBYE_S = 2.0  # how long a socket's last word may take: the other side may not be reading
_DRAINED_S = 20.0  # how long the rest of a body that is too large is read and thrown away


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """Bytes of one request's body: of JSON, of an upload of files, and of one to a path that has its own limit."""

    json_bytes_max: int = 16 * 1024 * 1024
    upload_bytes_max: int = 128 * 1024 * 1024
    uploads_to: Mapping[str, int] = field(default_factory=dict)
    message_bytes_max: int = 1024 * 1024  # of one message of a WebSocket

    def of(self, headers: Headers, path: str) -> int:
        """The limit for a request to this path with these headers."""
        upload = headers.get("content-type", "").lower().startswith("multipart/form-data")
        return self.uploads_to.get(path, self.upload_bytes_max) if upload else self.json_bytes_max


class Gate:
    """The outermost door, an ASGI application around the next one."""

    def __init__(
        self,
        inner: Door,
        limits: BodyLimits,
        closing: Closing | None = None,
        protocol: Callable[..., Any] | None = None,
    ) -> None:
        """`protocol` is what a server makes a connection's protocol with: see `serving`."""
        self._inner = inner
        self._limits = limits
        self._closing = closing or Closing()
        self.protocol = protocol

    async def close(self) -> None:
        """Let streams and sockets say goodbye: the server is about to stop. Takes three seconds at most."""
        await self._closing.close()

    async def __call__(self, scope: Wires, receive: Receive, send: Send) -> None:
        """Let one request through, or answer it here."""
        if scope["type"] == "lifespan":
            await self._inner(scope, receive, send)
        elif scope["type"] == "http":
            meant = address(scope["path"])
            if meant != scope["path"]:
                scope = {**scope, "path": meant, "raw_path": meant.encode()}
            await _Passage(self._inner, self._limits, scope, receive, send).run()
        elif scope["type"] == "websocket":
            with self._closing.held_open():  # until its last word is sent
                await _SocketPassage(self._inner, self._limits, scope, receive, send).run(self._closing)


class _Passage:
    """One request on its way through the gate."""

    def __init__(self, inner: Door, limits: BodyLimits, scope: Wires, receive: Receive, send: Send) -> None:
        self._inner, self._scope, self._receive, self._send = inner, scope, receive, send
        self._headers = Headers(scope=scope)
        self._limit = limits.of(self._headers, scope["path"])
        self.request_id = _request_id(scope, self._headers)
        self._seen = 0
        self._ended = False  # the whole body has been read
        self._too_large = False
        self._status = 0
        self._closed = False  # our own answer was sent; nothing more may be

    async def run(self) -> None:
        start = time.perf_counter()
        try:
            self._check_head()
            await self._inner(self._scope, self._counted_receive, self._marked_send)
        except BastideError as fault:
            await self._answer(fault)
        except asyncio.CancelledError:
            with suppress(Exception):
                await self._answer(Stopping())
            raise
        except Exception:
            telemetry.log.exception("request %s failed", self.request_id)
            await self._answer(Broken())
        finally:
            self._note(time.perf_counter() - start)

    def _check_head(self) -> None:
        _check_address(self._scope)
        length = self._headers.get("content-length", "0")
        if not length.isdecimal():
            raise BadRequest("The header Content-Length is not a number.")
        if int(length) > self._limit:
            self._too_large = True
            raise self._over()

    def _over(self) -> BodyTooLarge:
        kind = ArchiveTooLarge if self._scope["path"] == IMPORT_PATH else BodyTooLarge
        return kind(f"The body is over the limit of {self._limit // (1024 * 1024)} MiB.", limit_bytes=self._limit)

    async def _counted_receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._seen += len(message.get("body", b""))
            self._ended = not message.get("more_body", False)
            if self._seen > self._limit:
                self._too_large = True
                raise self._over()
        return message

    async def _marked_send(self, message: Message) -> None:
        if self._closed:
            return
        if message["type"] == "http.response.start":
            if self._too_large:  # whatever the application made of the cut body, this is the reason
                await self._answer(self._over())
                return
            self._status = message["status"]
            headers = MutableHeaders(raw=message.setdefault("headers", []))
            for name, value in SAFETY.items():
                headers.setdefault(name, value)
            headers["x-request-id"] = self.request_id
        await self._send(message)

    async def _answer(self, fault: BastideError) -> None:
        """Our envelope, unless an answer has already begun."""
        if self._status:
            return
        if self._too_large:
            await self._drain()
        response = refusal(fault, path=self._scope["path"], request_id=self.request_id)
        self._too_large = False
        await response(self._scope, self._receive, self._marked_send)
        self._closed = True

    async def _drain(self) -> None:
        # A client that is still sending reads no answer: the rest is taken and thrown away, within bounds.
        left = 16 * self._limit
        try:
            async with asyncio.timeout(_DRAINED_S):
                while not self._ended and left > 0:
                    message = await self._receive()
                    if message["type"] != "http.request":
                        return
                    left -= len(message.get("body", b""))
                    self._ended = not message.get("more_body", False)
        except TimeoutError:
            return

    def _note(self, seconds: float) -> None:
        route = getattr(self._scope.get("route"), "path", "unmatched")
        method = self._scope["method"] if self._scope["method"] in _METHODS else "other"
        telemetry.count("http_requests", method=method, route=route, status=str(self._status))
        telemetry.observe("http_request", seconds, route=route)
        telemetry.log.info("%s %s %d %.1f ms %s", method, route, self._status, seconds * 1000, self.request_id)


class _SocketPassage:
    """One WebSocket on its way through the gate."""

    def __init__(self, inner: Door, limits: BodyLimits, scope: Wires, receive: Receive, send: Send) -> None:
        self._inner, self._scope, self._receive, self._send = inner, scope, receive, send
        self._limit = limits.message_bytes_max
        self.request_id = _request_id(scope, Headers(scope=scope))
        self._opened = self._ended = False
        self._code = 1000

    async def run(self, closing: Closing) -> None:
        start = time.perf_counter()
        try:
            _check_address(self._scope)
            await unless(self._inner(self._scope, self._measured_receive, self._marked_send), closing.asked())
        except BastideError as fault:
            await self._refuse(fault)
        except asyncio.CancelledError:
            await self._refuse(Stopping())
            raise
        except (OSError, WebSocketDisconnect):
            self._ended = True  # the other side is gone
        except Exception:
            telemetry.log.exception("socket %s failed", self.request_id)
            await self._refuse(Broken())
        finally:
            seconds = time.perf_counter() - start
            telemetry.count("sockets", code=str(self._code))
            telemetry.log.info("socket closed %d after %.1f s %s", self._code, seconds, self.request_id)

    async def _measured_receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            self._ended, self._code = True, int(message.get("code") or 1005)
        text = message.get("text") or ""
        size = max(len(message.get("bytes") or b""), len(text), len(text.encode()) if len(text) <= self._limit else 0)
        if size > self._limit:
            raise BodyTooLarge(f"A message is over the limit of {self._limit // 1024} KiB.", limit_bytes=self._limit)
        return message

    async def _marked_send(self, message: Message) -> None:
        if self._ended:
            return
        if message["type"] == "websocket.close":
            self._ended, self._code = True, message.get("code", 1000)
        elif message["type"] in {"websocket.accept", "websocket.http.response.start"}:
            self._opened = True
            headers = MutableHeaders(raw=message.setdefault("headers", []))
            for name, value in (SAFETY if message["type"] != "websocket.accept" else {}).items():
                headers.setdefault(name, value)
            headers["x-request-id"] = self.request_id
        await self._send(message)

    async def _refuse(self, fault: BastideError) -> None:
        """Our envelope as an answer to the handshake, or as the last message of a socket that is open."""
        code = _close_code(fault)
        with suppress(Exception):
            async with asyncio.timeout(_GOODBYE_S):
                await self._say_goodbye(fault, code)

    async def _say_goodbye(self, fault: BastideError, code: int) -> None:
        response = refusal(fault, path=self._scope["path"], request_id=self.request_id)
        if self._opened:
            await self._marked_send({"type": "websocket.send", "text": bytes(response.body).decode()})
        elif "websocket.http.response" in self._scope.get("extensions", {}):
            await response(self._scope, self._receive, self._marked_send)
            self._ended, self._code = True, fault.status
        await self._marked_send({"type": "websocket.close", "code": code, "reason": fault.code})


def _close_code(fault: BastideError) -> int:
    """What a socket is closed with: 4401 and 4403 for a key, 1009 for size, 1001 when we stop, 1011 for a fault."""
    if isinstance(fault, Stopping):
        return 1001
    if fault.status in {401, 403}:
        return 4000 + fault.status
    if fault.status == 413:
        return 1009
    return 1011 if fault.status >= 500 else 1008


def _request_id(scope: Wires, headers: Headers) -> str:
    given = headers.get("x-request-id", "")
    request_id = given if _REQUEST_ID.fullmatch(given) else new_id("req")
    scope.setdefault("state", {})["request_id"] = request_id
    return request_id


def _check_address(scope: Wires) -> None:
    if b"%00" in scope.get("raw_path", b"") or b"%00" in scope.get("query_string", b""):
        raise BadRequest("The address holds a NUL character.", next_step="Remove the NUL character (%00).")


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
