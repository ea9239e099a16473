"""Who leaves before the head of an answer: the model's server is told at once, and what was asked is on the record."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest

from bastide.app import House
from tests.doors.calls import request, wire
from tests.doors.conftest import Company, bearer, company
from tests.rooms.inference.test_metering import wav


@dataclass
class Mute:
    """A model's server that takes every question and comes to the end of no answer."""

    url: str = ""
    asked: asyncio.Queue[str] = field(default_factory=asyncio.Queue)
    left: asyncio.Queue[str] = field(default_factory=asyncio.Queue)
    begins: bytes = b""  # what it says before it is silent


@asynccontextmanager
async def mute() -> AsyncIterator[Mute]:
    made = Mute()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"GET"):  # what does it list?
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        else:
            path = head.split(b" ")[1].decode()
            writer.write(made.begins)
            made.asked.put_nowait(path)
            while await reader.read(65536):
                pass
            made.left.put_nowait(path)
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        yield made


def form(file: str, data: bytes, **fields: str) -> tuple[str, bytes]:
    """A form with one file: its header line and its bytes."""
    mark = secrets.token_hex(8)
    parts = [
        f'--{mark}\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n'.encode() for n, v in fields.items()
    ]
    head = f'--{mark}\r\nContent-Disposition: form-data; name="{file}"; filename="a"\r\n\r\n'
    return f"Content-Type: multipart/form-data; boundary={mark}", b"".join(
        [*parts, head.encode(), data, f"\r\n--{mark}--\r\n".encode()]
    )


def told(**body: Any) -> tuple[str, bytes]:
    """A body of JSON: its header line and its bytes."""
    return "Content-Type: application/json", json.dumps(body).encode()


PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)
CALLS = {
    "/v1/audio/transcriptions": form("file", wav(2.5), model="all"),
    "/v1/audio/speech": told(model="all", input="Good morning.", voice="one"),
    "/v1/images/generations": told(model="all", prompt="A town", n=2),
    "/v1/images/edits": form("image", PNG, model="all", prompt="A town at night"),
    "/v1/images/variations": form("image", PNG, model="all"),
    "/v1/rerank": told(model="all", query="When does it end?", documents=["soup", "the lease"]),
    "/api/v1/search": told(query="When does the lease end?"),
    "/api/v1/answer": told(question="When does the lease end?"),
}
COUNTED = {
    "/v1/audio/transcriptions": {"seconds": 2.5},
    "/v1/audio/speech": {"characters": 13},
    "/v1/images/generations": {"pictures": 2},
    "/v1/images/edits": {"pictures": 1},
    "/v1/images/variations": {"pictures": 1},
}


@pytest.mark.parametrize("path", CALLS)
async def test_who_leaves_before_the_head_stops_the_model_and_is_told_of(
    served: str, web: httpx2.AsyncClient, house: House, platform_key: str, path: str
) -> None:
    whose = await company(house, platform_key, "leaver")
    chief = bearer(whose.keys["administrator"])
    capability = {"/v1/rerank": "rerank", "/api/v1/search": "rerank", "/api/v1/answer": "chat"}.get(path)
    can = [capability] if capability else ["transcription", "speech", "images"]
    if path.startswith("/api/"):
        paper = {"name": "lease.txt", "text": "The lease ends in June."}
        assert (await web.post("/api/v1/documents", json=paper, headers=chief)).status_code == 201
    async with mute() as server:
        spec = {"name": "all", "url": server.url, "local": True, "model": "all", "capabilities": can}
        assert (await web.post("/api/v1/models", json=spec, headers=chief)).status_code == 201
        line, body = CALLS[path]
        async with asyncio.timeout(60):
            async with wire(served) as (_, writer):
                writer.write(request(whose, body, line, path=path))
                asked = await server.asked.get()
            assert await server.left.get() == asked
    event = await _recorded(web, whose)
    assert (event["outcome"], event["resource"]) == ("aborted", "all")
    receipt = (await web.get(f"/api/v1/receipts/{event['id']}", headers=bearer(whose.keys["auditor"]))).json()
    (used,) = [one for one in (await web.get("/api/v1/usage", headers=chief)).json()["usage"] if one["name"] == "all"]
    assert {name: used[name] for name in COUNTED.get(path, ())} == COUNTED.get(path, {}), "as was asked for"
    if path != "/api/v1/answer":  # a chat counts what was seen, and that is nothing
        assert used["estimated"] == 1, "nobody has counted it"
        assert receipt["estimated"] is True
        assert receipt.get("usage") in (None, {**COUNTED.get(path, {}), "estimated": True})
    assert server.asked.empty(), "nobody was asked in its stead"


async def test_who_leaves_a_sound_that_has_begun_stops_it_too(
    served: str, web: httpx2.AsyncClient, house: House, platform_key: str
) -> None:
    whose = await company(house, platform_key, "leaver")
    chief = bearer(whose.keys["administrator"])
    async with mute() as server:
        server.begins = b"HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\nContent-Length: 9000\r\n\r\nID3abc"
        spec = {"name": "all", "url": server.url, "local": True, "model": "all", "capabilities": ["speech"]}
        assert (await web.post("/api/v1/models", json=spec, headers=chief)).status_code == 201
        line, body = CALLS["/v1/audio/speech"]
        async with asyncio.timeout(60):
            async with wire(served) as (reader, writer):
                writer.write(request(whose, body, line, path="/v1/audio/speech"))
                await reader.readuntil(b"ID3abc")
            await server.left.get()
    assert (await _recorded(web, whose))["outcome"] == "aborted"


async def _recorded(web: httpx2.AsyncClient, whose: Company) -> dict[str, Any]:
    """The event of the call, once it is recorded."""
    async with asyncio.timeout(60):
        while True:
            reply = await web.get("/api/v1/audit/events", headers=bearer(whose.keys["auditor"]))
            calls = [one for one in reply.json()["events"] if one["resource"] == "all" and one["outcome"] == "aborted"]
            if calls:
                return dict(calls[0])
            await asyncio.sleep(0.02)
