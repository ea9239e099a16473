"""Heads and bodies that do not end, at the addresses that are not for the lane."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from bastide.api.bounded import Bounded
from tests.doors.calls import wire
from tests.doors.test_slow_readers import Reluctant

PIECE = b"".join(b"X-%d: %b\r\n" % (n, b"a" * 100) for n in range(100))


@pytest.mark.parametrize("begin", [b"GET /healthz HTTP/1.1\r\nHost: h\r\n", b"GET /healthz HTTP/1.1\r\nX: ", b"GET /"])
async def test_a_head_without_end_is_refused(served: str, begin: bytes) -> None:
    piece = PIECE if begin.endswith(b"\n") else b"a" * 10_000
    async with asyncio.timeout(60), wire(served) as (reader, writer):
        writer.write(begin)
        answer = asyncio.create_task(reader.read(64 * 1024))
        for _ in range(1000):
            if answer.done():
                break
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        head, _, body = (await answer).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 431 ")
    assert json.loads(body)["error"]["code"] == "request.head_too_large"


class Linked(Reluctant):
    """Its protocol is known to it."""

    protocol: Any = None

    def get_protocol(self) -> Any:
        """Who has it."""
        return self.protocol

    def get_extra_info(self, name: str) -> None:
        """Nothing."""


@pytest.fixture
async def handed() -> tuple[Bounded, Linked]:
    """A connection to an application that reads and never answers."""

    async def reads(_scope: Any, receive: Any, _send: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    config, transport = Config(cast(Any, reads), lifespan="off", log_config=None), Linked()
    config.load()
    transport.protocol = made = Bounded(config=config, server_state=ServerState(), app_state={})
    made.connection_made(cast(Any, transport))
    return made, transport


async def test_who_does_not_end_what_was_begun_is_late(handed: tuple[Bounded, Linked]) -> None:
    connection, _ = handed
    now = asyncio.get_running_loop().time()
    assert not connection.late(now + 20)
    assert connection.late(now + 60), "nothing comes at all"
    connection.data_received(b"POST / HTTP/1.1\r\nHost: h\r\n")
    assert connection.late(now + 60), "a head is not whole"
    connection.data_received(b"Content-Length: 10\r\n\r\n12345")
    await asyncio.sleep(0)
    assert not connection.late(now + 50)
    assert connection.late(now + 90), "nor is a body"
    connection.data_received(b"67890")
    assert not connection.late(now + 9000), "the rest is ours to do"
    connection.connection_lost(None)


async def test_who_is_late_is_told(handed: tuple[Bounded, Linked], monkeypatch: pytest.MonkeyPatch) -> None:
    connection, transport = handed
    connection.data_received(b"GET / HTTP/1.1\r\nHo")
    monkeypatch.setattr(connection, "late", lambda now: True)
    connection._look()
    assert transport.written.startswith(b"HTTP/1.1 408 ")
    connection.connection_lost(None)
