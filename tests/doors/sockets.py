"""A WebSocket client for tests, on a real connection: wsproto's rules and asyncio's streams."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Message,
    Ping,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)

PATIENCE_S = 20.0


class Refused(Exception):
    """The handshake was answered with an ordinary HTTP answer."""

    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        self.body = json.loads(body) if body else {}
        super().__init__(f"{status} {body!r}")


class Closed(Exception):
    """The server has closed the socket."""

    def __init__(self, code: int, reason: str) -> None:
        self.code, self.reason = code, reason
        super().__init__(f"{code} {reason}")


class Client:
    """One socket. Replies are found by their id; everything else is kept in order in `pushed`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.wire = WSConnection(ConnectionType.CLIENT)
        self.pushed: deque[dict[str, Any]] = deque()
        self.headers: dict[str, str] = {}
        self._replies: dict[object, dict[str, Any]] = {}
        self._came: deque[Any] = deque()
        self._text = ""
        self._last = 0

    async def event(self) -> Any:
        """The next thing that arrives; pings are answered on the way."""
        while not self._came:
            data = await asyncio.wait_for(self.reader.read(65536), PATIENCE_S)
            if not data:
                raise Closed(1006, "the connection ended without a close")
            self.wire.receive_data(data)
            for event in self.wire.events():
                if isinstance(event, Ping):
                    await self.put(event.response())
                else:
                    self._came.append(event)
        return self._came.popleft()

    async def put(self, event: Any) -> None:
        """Send one frame."""
        self.writer.write(self.wire.send(event))
        await self.writer.drain()

    async def say(self, wire: Any) -> None:
        """Send a message: text as it is, everything else as JSON."""
        await self.put(Message(data=wire if isinstance(wire, str | bytes) else json.dumps(wire)))

    async def hear(self) -> dict[str, Any]:
        """The next message. Raises Closed."""
        while True:
            event = await self.event()
            if isinstance(event, CloseConnection):
                raise Closed(event.code, event.reason or "")
            assert not isinstance(event, BytesMessage), "the server speaks text"
            if isinstance(event, TextMessage):
                self._text += event.data
                if event.message_finished:
                    text, self._text = self._text, ""
                    return dict(json.loads(text))

    async def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        """The whole reply to one operation."""
        self._last += 1
        number = self._last
        await self.say({"id": number, "op": op, **fields})
        while number not in self._replies:
            await self._sort(await self.hear())
        return self._replies.pop(number)

    async def ok(self, op: str, **fields: Any) -> dict[str, Any]:
        """What one operation gave."""
        reply = await self.ask(op, **fields)
        assert "ok" in reply, reply
        return dict(reply["ok"])

    async def refused(self, op: str, **fields: Any) -> dict[str, Any]:
        """The error that one operation gave."""
        reply = await self.ask(op, **fields)
        assert "error" in reply, reply
        return dict(reply["error"])

    async def push(self, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first push that fits; those before it are dropped."""
        while True:
            while self.pushed:
                one = self.pushed.popleft()
                if fits(one):
                    return one
            await self._sort(await self.hear())

    async def _sort(self, wire: dict[str, Any]) -> None:
        if "event" in wire:
            self.pushed.append(wire)
        else:
            self._replies[wire.get("id")] = wire

    async def closed(self) -> Closed:
        """How the server closes it; what comes before is dropped."""
        while True:
            try:
                await self.hear()
            except Closed as end:
                return end


@asynccontextmanager
async def connected(url: str, headers: dict[str, str] | None = None, *, path: str = "/ws") -> AsyncIterator[Client]:
    """A socket that is open. Raises Refused."""
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    client = Client(reader, writer)
    try:
        extra = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
        await client.put(Request(host=place.netloc, target=path, extra_headers=extra))
        event = await client.event()
        if isinstance(event, RejectConnection):
            body = b""
            while event.has_body:
                piece = await client.event()
                assert isinstance(piece, RejectData)
                body += piece.data
                if piece.body_finished:
                    break
            raise Refused(event.status_code, body)
        assert isinstance(event, AcceptConnection), event
        client.headers = {name.decode(): value.decode() for name, value in event.extra_headers}
        yield client
    finally:
        writer.close()
