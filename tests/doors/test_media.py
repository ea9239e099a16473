"""Sound and pictures by the unchanged `openai` client, through a real server that remembers what it was sent."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

import httpx2
import openai
import pytest

from bastide.app import House
from tests.doors.conftest import Company, bearer, company
from tests.rooms.inference.test_metering import wav

SOUND = bytes(range(256)) * 40
PNG = b"\x89PNG\r\n\x1a\n" + SOUND
JPEG = b"\xff\xd8\xff\xe0" + SOUND
WAV = b"RIFF" + SOUND


@dataclass
class Studio:
    """A server of sound and pictures on loopback."""

    url: str = ""
    seen: list[tuple[str, str, bytes]] = field(default_factory=list)
    says: dict[str, bytes] = field(default_factory=dict)  # by the end of the path, instead of what follows below

    def form(self) -> list[tuple[str, str, str, bytes]]:
        """Name, file's name, media type and bytes of each part of the last form, by an independent parser."""
        _, kind, body = self.seen[-1]
        parsed = BytesParser(policy=HTTP).parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + body)
        parts = []
        for part in parsed.iter_parts():
            told = part["content-disposition"].params
            media_type = part.get_content_type() if part["content-type"] else ""
            parts.append((told["name"], told.get("filename", ""), media_type, part.get_payload(decode=True)))
        return parts


def event(kind: str) -> bytes:
    """An event of a stream of pictures."""
    told = {"type": f"image_edit.{kind}", "b64_json": "UE5H"}
    return f"event: {told['type']}\ndata: {json.dumps(told)}\n\n".encode()


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
                elif path.endswith("edits") and b'name="stream"' in made.seen[-1][2]:
                    media, body = "text/event-stream", b"".join(map(event, ("partial_image", "completed")))
                elif path.endswith(("generations", "edits", "variations")):
                    body = b'{"created": 1, "data": [{"b64_json": "UE5H"}]}'
                body = made.says.get(path.rpartition("/")[2], body)
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


async def add(web: httpx2.AsyncClient, whose: Company, url: str) -> None:
    """The studio as a model of a tenant."""
    body = {"name": "studio", "url": url, "local": True, "model": "studio-1"}
    body["capabilities"] = ["transcription", "speech", "images"]  # type: ignore[assignment]
    added = await web.post("/api/v1/models", json=body, headers=bearer(whose.keys["administrator"]))
    assert added.status_code == 201, added.text


@pytest.fixture
async def sounds(web: httpx2.AsyncClient, us: Company) -> AsyncIterator[Studio]:
    """The studio as a model of the tenant."""
    async with studio() as made:
        await add(web, us, made.url)
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


async def test_how_a_file_is_called_is_looked_into(
    client: openai.AsyncOpenAI, sounds: Studio, web: httpx2.AsyncClient, us: Company
) -> None:
    for name, kind in (("speech.wav", "none"), ("ada@example.org.wav", "personal")):
        heard = await client.audio.transcriptions.with_raw_response.create(
            model="studio", file=(name, WAV, "audio/wav")
        )
        receipt = heard.headers["x-bastide-receipt"]
        shown = await web.get(f"/api/v1/receipts/{receipt}", headers=bearer(us.keys["auditor"]))
        assert shown.json()["label"]["personal"] == kind


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
    for more in ({"voice": {"id": "ada@example.org"}}, {"ada@example.org": 1}, {"more": [[{"to": "ada@example.org"}]]}):
        body = {"model": "studio", "input": "Good morning.", **more}
        told = await web.post("/v1/audio/speech", json=body, headers=bearer(us.keys["member"]))
        receipt = told.headers["x-bastide-receipt"]
        shown = await web.get(f"/api/v1/receipts/{receipt}", headers=bearer(us.keys["auditor"]))
        assert shown.json()["label"]["personal"] == "personal", "so is all else that is text"
    picture = await client.images.generate(model="studio", prompt="A town", n=1)
    assert picture.data
    assert picture.data[0].b64_json == "UE5H"


async def test_pictures_become_others(
    client: openai.AsyncOpenAI, sounds: Studio, web: httpx2.AsyncClient, us: Company
) -> None:
    pictures = [("a.png", PNG, "image/png"), ("b", JPEG, "application/octet-stream")]
    told = await client.images.with_raw_response.edit(
        model="studio",
        image=pictures,
        mask=("mask.png", PNG + b"mask"),
        prompt="Write ada@example.org on the wall",
        n=2,
        size="1024x1024",
    )
    made = told.parse().data
    assert made
    assert made[0].b64_json == "UE5H"
    assert sounds.seen[-1][0] == "/v1/images/edits"
    parts = sounds.form()
    assert {name: data for name, file, _, data in parts if not file} == {
        "model": b"studio-1",
        "prompt": b"Write ada@example.org on the wall",
        "n": b"2",
        "size": b"1024x1024",
    }
    assert [part for part in parts if part[1]] == [
        ("image[]", "a.png", "image/png", PNG),
        ("image[]", "b", "image/jpeg", JPEG),
        ("mask", "mask.png", "image/png", PNG + b"mask"),
    ], "byte for byte, and each as what it is"
    shown = await web.get(f"/api/v1/receipts/{told.headers['x-bastide-receipt']}", headers=bearer(us.keys["auditor"]))
    assert (shown.json()["outcome"], shown.json()["model"]) == ("done", "studio")
    assert shown.json()["label"]["personal"] == "personal", "what is asked is looked into"
    assert shown.json()["usage"] == {"pictures": 1, "estimated": False}, "as many as came"
    assert shown.json()["tokens"] == {"input": 0, "output": 0}, "bytes are no tokens"
    stream = await client.images.edit(model="studio", image=PNG, prompt="At night", stream=True, partial_images=1)
    assert [one.type async for one in stream] == ["image_edit.partial_image", "image_edit.completed"]
    with pytest.deprecated_call():  # by the client; there are models that do nothing else
        varied = await client.images.create_variation(model="studio", image=("a.png", PNG))
    assert varied.data
    assert sounds.seen[-1][0] == "/v1/images/variations"
    assert [part[0] for part in sounds.form()] == ["model", "image"]


@pytest.mark.parametrize(
    ("path", "form", "code", "param"),
    [
        ("edits", {"prompt": (None, "x"), "image": ("a.png", SOUND, "image/png")}, "inference.bad_picture", "image"),
        ("edits", {"prompt": (None, "x"), "image": ("a.webp", b"RIFF\0\0\0\0WAVE")}, "inference.bad_picture", "image"),
        ("edits", {"prompt": (None, "x"), "image": ("a.svg", b"<svg/>")}, "inference.bad_picture", "image"),
        ("edits", {"prompt": (None, "x"), "image": ("a", PNG), "mask": ("m", b"")}, "inference.bad_picture", "mask"),
        ("edits", {"image": ("a.png", PNG)}, "request.malformed", "prompt"),
        ("edits", {"prompt": (None, ""), "image": ("a.png", PNG)}, "request.malformed", "prompt"),
        ("edits", {"prompt": (None, "x"), "mask": ("a.png", PNG)}, "request.malformed", "image"),
        ("edits", {"prompt": (None, "x"), "image": (None, "no file")}, "request.malformed", "image"),
        ("edits", {"prompt": (None, "x"), "file": ("a.png", PNG)}, "request.malformed", "file"),
        ("variations", {"model": (None, "studio")}, "request.malformed", "image"),
        ("variations", {"image": ("a.png", PNG), "mask": ("a.png", PNG)}, "request.malformed", ""),
    ],
)
async def test_a_form_without_pictures_is_told_what_is_wrong(
    web: httpx2.AsyncClient, us: Company, sounds: Studio, path: str, form: Any, code: str, param: str
) -> None:
    count = len(sounds.seen)
    reply = await web.post(f"/v1/images/{path}", files=form, headers=bearer(us.keys["member"]))
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error.get("param") or "") == (400, code, param)
    assert "JPEG, PNG, GIF or WebP" in error["next"] or code != "inference.bad_picture"
    assert len(sounds.seen) == count, "nothing is sent"


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
        with pytest.raises(openai.NotFoundError):
            await other.images.edit(model="studio", image=PNG, prompt="x")
    with pytest.raises(openai.BadRequestError):
        await client.images.edit(model="local/extractive", image=PNG, prompt="x")
    assert len(sounds.seen) == count


async def test_each_is_counted_in_its_own_unit_and_a_spent_budget_holds(
    served: str, web: httpx2.AsyncClient, house: House, platform_key: str
) -> None:
    whose = await company(house, platform_key, "studio")
    chief = bearer(whose.keys["administrator"])

    async def counted() -> dict[str, Any]:
        (one,) = (await web.get("/api/v1/usage", headers=chief)).json()["usage"]
        return {name: number for name, number in one.items() if number}

    async with (
        studio() as made,
        openai.AsyncOpenAI(base_url=f"{served}/v1", api_key=whose.keys["member"], max_retries=0) as client,
    ):
        await add(web, whose, made.url)
        made.says["generations"] = b'{"data": [{"b64_json": "UE5H"}, {"b64_json": "UE5H"}]}'
        await client.images.generate(model="studio", prompt="A town", n=2)
        stream = await client.images.edit(model="studio", image=PNG, prompt="At night", stream=True)
        assert [one.type async for one in stream][-1] == "image_edit.completed"
        sound = ("speech.wav", wav(2.5), "audio/wav")
        await client.audio.transcriptions.create(model="studio", file=sound)
        made.says["transcriptions"] = b'{"text": "x", "usage": {"type": "duration", "seconds": 7}}'
        await client.audio.transcriptions.create(model="studio", file=("a.mp3", SOUND, "audio/mpeg"))
        await client.audio.speech.create(model="studio", input="Gr\u00fc\u00dfe", voice="one")
        exact = {"name": "studio", "calls": 5, "pictures": 3, "seconds": 9.5, "characters": 5}
        assert await counted() == exact
        made.says["transcriptions"] = b'{"text": "x"}'
        await client.audio.transcriptions.create(model="studio", file=("a.mp3", bytes(4000), "audio/mpeg"))
        assert await counted() == {**exact, "calls": 6, "seconds": 10.0, "estimated": 1}, "a guess, and said to be one"
        told = {"type": "tokens", "input_tokens": 14, "output_tokens": 45, "total_tokens": 59}
        made.says["transcriptions"] = json.dumps({"text": "x", "usage": told}).encode()
        await client.audio.transcriptions.create(model="studio", file=("a.mp3", SOUND, "audio/mpeg"))
        found = await counted()
        assert (found["tokens_in"], found["tokens_out"], found["seconds"], found["estimated"]) == (14, 45, 10.0, 1)
        head, row = (await web.get("/api/v1/usage.csv", headers=chief)).text.splitlines()
        assert head.endswith(",unconverted,pictures,seconds,characters")
        assert row.endswith(",False,3,10.0,5")
        budget = await web.post("/api/v1/budgets", json={"scope": "tenant", "eur": 0}, headers=chief)
        assert budget.status_code == 201, budget.text
        await client.images.generate(model="studio", prompt="A town")  # a model of ours costs nothing
        budget = await web.post("/api/v1/budgets", json={"scope": "tenant", "tokens": 0}, headers=chief)
        assert budget.status_code == 201, budget.text
        count = len(made.seen)
        refused = []
        for call in (
            client.images.generate(model="studio", prompt="A town"),
            client.images.edit(model="studio", image=PNG, prompt="At night"),
            client.audio.transcriptions.create(model="studio", file=sound),
            client.audio.speech.create(model="studio", input="x", voice="one"),
        ):
            with pytest.raises(openai.APIStatusError) as fault:
                await call
            refused.append((fault.value.status_code, fault.value.code))
        assert refused == [(402, "inference.budget_spent")] * 4
        assert len(made.seen) == count, "nothing is sent"
