"""Calls of a model as bytes on a socket, and their answers read by an independent parser."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import h11

from tests.doors.conftest import Company

ASKED = {"model": "lane", "messages": [{"role": "user", "content": "Hello"}]}


@asynccontextmanager
async def wire(served: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection, without anything on it."""
    parts = urlsplit(served)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        yield reader, writer
    finally:
        writer.close()


def request(us: Company, body: Any = ASKED, *lines: str, path: str = "/v1/chat/completions", key: str = "") -> bytes:
    """A call of the member's, as bytes; `lines` are further header lines."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = [f"POST {path} HTTP/1.1", "Host: h", f"Authorization: Bearer {key or us.keys['member']}", *lines]
    if not any(line.lower().startswith(("content-length", "transfer-encoding")) for line in lines):
        head.append(f"Content-Length: {len(data)}")
    return "\r\n".join(head).encode() + b"\r\n\r\n" + data


class Answers:
    """Reads answers by an independent parser, which refuses what is not HTTP."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._left = b""

    async def next(self, seconds: float = 60) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the next answer. Raises ConnectionResetError when there is none."""
        parser = h11.Connection(h11.CLIENT)
        parser.send(h11.Request(method="POST", target="/", headers=[("Host", "h"), ("Content-Length", "0")]))
        parser.send(h11.EndOfMessage())
        if self._left:
            parser.receive_data(self._left)
        status, headers, body = 0, {}, b""
        async with asyncio.timeout(seconds):
            while True:
                event = parser.next_event()
                if event is h11.NEED_DATA:
                    parser.receive_data(await self._reader.read(65536))
                elif isinstance(event, h11.Response):
                    status = event.status_code
                    headers = {name.decode(): value.decode() for name, value in event.headers}
                elif isinstance(event, h11.Data):
                    body += bytes(event.data)
                elif isinstance(event, h11.EndOfMessage):
                    self._left = parser.trailing_data[0]
                    return status, headers, body
                elif isinstance(event, h11.ConnectionClosed):
                    raise ConnectionResetError
