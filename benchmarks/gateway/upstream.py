"""A model's server that costs almost nothing: fixed answers, or streams with the time of each piece in it.

python -m benchmarks.gateway.upstream PORT

A request whose body holds `"pace": 10` is streamed a piece every 10 ms; `"stream": true` alone gives them at once. Each
piece of a paced stream carries the machine's monotonic clock, so that whoever reads it knows how old it is.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import cast

import uvloop

PIECES = 100
_ANSWER = {
    "id": "chatcmpl-fixed",
    "object": "chat.completion",
    "created": 1700000000,
    "model": "fixed",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "The lease of the town hall ends on 30 June 2031. " * 4},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 40, "completion_tokens": 48, "total_tokens": 88},
}
_BODY = json.dumps(_ANSWER).encode()
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(_BODY), _BODY)
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_LISTED = json.dumps({"object": "list", "data": [{"id": "fixed", "object": "model"}]}).encode()
LIST = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(_LISTED), _LISTED)


def _event(delta: dict[str, object], finish: str | None = None, **more: object) -> bytes:
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    value = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "fixed", "choices": choices, **more}
    data = b"data: %b\n\n" % json.dumps(value).encode()
    return b"%x\r\n%b\r\n" % (len(data), data)


_LAST = _event({}, "stop", usage=_ANSWER["usage"]) + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
_AT_ONCE = _HEAD + b"".join(_event({"content": f"word{n} "}) for n in range(PIECES)) + _LAST


class Upstream(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It stands."""
        self._transport, self._buffer = cast(asyncio.Transport, transport), b""

    def data_received(self, data: bytes) -> None:
        """Requests, one at a time."""
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end].lower()
        at = head.find(b"content-length: ")
        length = int(head[at + 16 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(self._buffer) < end + 4 + length:
            return
        body, self._buffer = self._buffer[end + 4 : end + 4 + length], self._buffer[end + 4 + length :]
        if head.startswith(b"get "):
            self._transport.write(LIST)
        elif b'"stream":true' not in body.replace(b" ", b""):
            self._transport.write(WHOLE)
        elif b'"pace"' in body:
            self._task = asyncio.get_running_loop().create_task(self._paced())
        else:
            self._transport.write(_AT_ONCE)

    async def _paced(self) -> None:
        self._transport.write(_HEAD)
        due = time.monotonic()
        for _ in range(PIECES):
            due += 0.01
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            self._transport.write(_event({"content": f"{time.monotonic_ns()}"}))
        self._transport.write(_LAST)


async def main() -> None:
    """Serve until told otherwise."""
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", int(sys.argv[1]), backlog=1024)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
