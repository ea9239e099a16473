"""Sound and pictures by the unchanged `openai` client, through a real server that remembers what it was sent."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx2
import openai
import pytest

from tests.doors.conftest import Company, bearer

SOUND = bytes(range(256)) * 40
WAV = b"RIFF" + SOUND


@dataclass
class Studio:
    """A server of sound and pictures on loopback."""

    url: str = ""
    seen: list[tuple[str, str, bytes]] = field(default_factory=list)


@asynccontextmanager
async def studio() -> AsyncIterator[Studio]:
    made = Studio()

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                length = int((re.search(r"content-length: (\d+)", head, re.I) or [0, 0])[1])
                kind = (re.search(r"content-type: ([^\r]+)", head, re.I) or ["", ""])[1]
                path = head.split(" ")[1]
                made.seen.append((path, kind, await reader.readexactly(length)))
                media, body = "application/json", json.dumps({"data": [{"id": "studio"}]}).encode()
                if path.endswith("transcriptions"):
                    body = b'{"text": "Good morning."}'
                elif path.endswith("speech"):
                    media, body = "audio/mpeg", SOUND
                elif path.endswith("generations"):
                    body = b'{"created": 1, "data": [{"b64_json": "UE5H"}]}'
                head_out = f"HTTP/1.1 200 OK\r\nContent-Type: {media}\r\nContent-Length: {len(body)}\r\n\r\n"
                writer.write(head_out.encode() + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connection, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield made
    finally:
        server.close()


@pytest.fixture
async def sounds(web: httpx2.AsyncClient, us: Company) -> AsyncIterator[Studio]:
    """The studio as a model of the tenant."""
    async with studio() as made:
        body = {"name": "studio", "url": made.url, "local": True, "model": "studio-1"}
        body["capabilities"] = ["transcription", "speech", "images"]  # type: ignore[assignment]
        added = await web.post("/api/v1/models", json=body, headers=bearer(us.keys["administrator"]))
        assert added.status_code == 201, added.text
        yield made
        await web.delete("/api/v1/models/studio", headers=bearer(us.keys["administrator"]))


@pytest.fixture
async def client(served: str, us: Company) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{served}/v1", api_key=us.keys["member"], max_retries=0) as made:
        yield made


async def test_sound_becomes_words(client: openai.AsyncOpenAI, sounds: Studio) -> None:
    heard = await client.audio.transcriptions.create(
        model="studio", file=("speech.wav", WAV, "audio/wav"), language="en", timestamp_granularities=["word"]
    )
    assert heard.text == "Good morning."
    path, kind, body = sounds.seen[-1]
    assert path == "/v1/audio/transcriptions"
    assert kind.startswith("multipart/form-data; boundary=")
    assert WAV in body, "byte for byte"
    assert b'name="model"\r\n\r\nstudio-1\r\n' in body
    assert b'name="language"\r\n\r\nen\r\n' in body
    assert b'filename="speech.wav"\r\nContent-Type: audio/wav' in body
    assert b"timestamp_granularities" in body


async def test_words_become_sound_and_pictures(
    client: openai.AsyncOpenAI, sounds: Studio, web: httpx2.AsyncClient, us: Company
) -> None:
    spoken = await client.audio.speech.with_raw_response.create(model="studio", input="Good morning.", voice="one")
    assert spoken.content == SOUND
    assert json.loads(sounds.seen[-1][2]) == {"model": "studio-1", "input": "Good morning.", "voice": "one"}
    receipt = spoken.headers["x-bastide-receipt"]
    shown = await web.get(f"/api/v1/receipts/{receipt}", headers=bearer(us.keys["auditor"]))
    assert shown.json()["outcome"] == "done"
    assert shown.json()["label"]["personal"] == "none"
    written = await client.audio.speech.with_raw_response.create(
        model="studio", input="Write to ada@example.org.", voice="one"
    )
    shown = await web.get(
        f"/api/v1/receipts/{written.headers['x-bastide-receipt']}", headers=bearer(us.keys["auditor"])
    )
    assert shown.json()["label"]["personal"] == "personal", "what is to be spoken is looked into"
    picture = await client.images.generate(model="studio", prompt="A town", n=1)
    assert picture.data
    assert picture.data[0].b64_json == "UE5H"


async def test_what_a_model_cannot_do_and_whose_it_is(
    client: openai.AsyncOpenAI, sounds: Studio, served: str, them: Company
) -> None:
    with pytest.raises(openai.BadRequestError):
        await client.chat.completions.create(model="studio", messages=[{"role": "user", "content": "x"}])
    with pytest.raises(openai.BadRequestError):
        await client.audio.speech.create(model="local/extractive", input="x", voice="one")
    with pytest.raises(openai.BadRequestError):
        await client.post("/audio/transcriptions", cast_to=object, body={"model": "studio"})
    count = len(sounds.seen)
    async with openai.AsyncOpenAI(base_url=f"{served}/v1", api_key=them.keys["member"], max_retries=0) as other:
        with pytest.raises(openai.NotFoundError):
            await other.audio.speech.create(model="studio", input="x", voice="one")
    assert len(sounds.seen) == count
