"""The role `gateway`: calls of models answered by the rooms that they need, everything else passed on to the home's
server, and nothing in memory that neither wants."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from bastide.api import Behind, Callers, Lane, Porter, bound, bound_together
from bastide.app import House
from bastide.errors import PortTaken
from bastide.settings import ServerSettings
from bastide.testing import ScriptedModel
from tests.doors.calls import ASKED, Answers, request, wire
from tests.doors.conftest import Company, bearer
from tests.doors.sockets import connected
from tests.journeys.processes import free_port

HEAVY = (
    "fastapi starlette uvicorn pydantic mcp numpy onnxruntime onnx tokenizers safetensors procrastinate lxml PIL typer"
)
ROOMS = "bastide.api.doors bastide.app bastide.knowledge bastide.workflows bastide.compliance bastide.inference.jobs"


@dataclass
class Gate:
    """A gateway in this process, on the rooms of the house; `server` is where it passes on to."""

    url: str = ""
    server: str | None = None
    open: set[Any] = field(default_factory=set)


@pytest.fixture(scope="module")
async def gate(house: House, served: str) -> AsyncIterator[Gate]:
    made = Gate(server=served)
    behind = Behind(house.inference.gateway, Callers(house.tenancy, house.policy))
    porter = partial(Porter, house, made.open, lambda: made.server)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Lane(behind, made.open, porter), "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield made
    server.close()
    for one in tuple(made.open):
        one.abort()


async def test_real_clients_are_answered_whatever_they_ask(gate: Gate, us: Company, model: ScriptedModel) -> None:
    key = us.keys["member"]
    async with openai.AsyncOpenAI(base_url=f"{gate.url}/v1", api_key=key, max_retries=0) as client:
        turns: Any = ASKED["messages"]
        said = await client.chat.completions.create(model="lane", messages=turns)
        assert said.choices[0].message.content == "One two three."
        assert "lane" in [one.id async for one in client.models.list()]
        pieces = await client.chat.completions.create(model="lane", messages=turns, stream=True)
        heard = "".join([one.choices[0].delta.content or "" async for one in pieces if one.choices])
        assert heard == "One two three."
    async with anthropic.AsyncAnthropic(base_url=gate.url, api_key=key, max_retries=0) as other:
        message = await other.messages.create(model="lane", max_tokens=9, messages=turns)
        assert message.content[0].text == "One two three."  # type: ignore[union-attr]
    assert len(model.chats) == 3


async def test_what_is_no_plain_call_goes_on_with_not_a_byte_lost(
    gate: Gate, us: Company, model: ScriptedModel
) -> None:
    data = json.dumps(ASKED).encode()
    async with wire(gate.url) as (reader, writer):
        answers = Answers(reader)
        writer.write(request(us))
        assert (await answers.next())[0] == 200
        ahead = request(us, b"", "Transfer-Encoding: chunked") + b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data)
        writer.write(ahead + request(us))  # the second one is answered over there, too
        assert [(await answers.next())[0] for _ in range(2)] == [200, 200]
    async with httpx2.AsyncClient(base_url=gate.url, headers=bearer(us.keys["member"]), timeout=60) as client:
        text = "\n\n".join(f"Gate {number} of the wall is shut at nine. {'é' * 400}" for number in range(2_000))
        made = await client.post("/api/v1/documents", json={"name": f"gates-{id(gate)}.md", "text": text})
        assert made.status_code == 201, made.text
        document = made.json()["documents"][0]["id"]
        assert (await client.get(f"/api/v1/documents/{document}/original")).content == text.encode()
    async with connected(gate.url, bearer(us.keys["member"])) as socket:
        assert "jobs" in await socket.ok("jobs.list", limit=1)


async def test_a_neighbour_is_a_stranger_here_too(gate: Gate, us: Company, them: Company, model: ScriptedModel) -> None:
    async with httpx2.AsyncClient(base_url=gate.url, timeout=30) as client:
        theirs = await client.post("/v1/chat/completions", json=ASKED, headers=bearer(them.keys["member"]))
        assert (theirs.status_code, theirs.json()["error"]["code"]) == (404, "inference.unknown_model")
        nobody = await client.post("/v1/chat/completions", json=ASKED, headers=bearer("bst_" + "0" * 64))
        assert nobody.status_code == 401
        ours = await client.post("/v1/chat/completions", json=ASKED, headers=bearer(us.keys["member"]))
        receipt = ours.headers["x-bastide-receipt"]
        for company, expected in ((us, 200), (them, 404)):
            key = bearer(company.keys["administrator"])
            async with asyncio.timeout(60):
                while (found := await client.get(f"/api/v1/receipts/{receipt}", headers=key)).status_code == 503:
                    await asyncio.sleep(0.05)
            assert found.status_code == expected
    assert len(model.chats) == 1


async def test_how_it_is_it_says_itself_and_what_it_cannot_reach_it_names(gate: Gate, us: Company) -> None:
    there, gate.server = gate.server, None
    try:
        async with httpx2.AsyncClient(base_url=gate.url, timeout=30) as client:
            assert (await client.get("/healthz")).json()["status"] == "alive"
            ready = (await client.get("/readyz")).json()
            parts = {part["name"]: part["state"] for part in ready["parts"]}
            assert (ready["status"], parts["database"], parts["rest"]) == ("ready", "ok", "attention")
            assert "bastide_http_requests_total" in (await client.get("/metrics")).text
            for server in (None, f"http://127.0.0.1:{free_port()}", "http://192.0.2.1:80"):
                gate.server = server
                for path, shape in (("/v1/models", "type"), ("/v1/messages/batches", "type"), ("/api/v1/me", "next")):
                    refused = await client.get(path, headers=bearer(us.keys["member"]))
                    told = refused.json()["error"]
                    assert (refused.status_code, refused.headers["connection"]) == (503, "close")
                    assert told["code"] == "app.answered_elsewhere" or "app.answered_elsewhere" in told["message"]
                    assert shape in told
    finally:
        gate.server = there


async def test_what_is_no_http_is_for_the_server_as_well(gate: Gate) -> None:
    for said in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET /healthz HTTP/0.9\r\n\r\n", b"G"):
        async with wire(gate.url) as (reader, writer):
            writer.write(said)
            writer.write_eof()
            async with asyncio.timeout(60):
                answer = await reader.read()
            assert answer == b"" or answer.startswith(b"HTTP/1.1 400 ")


async def test_a_port_is_shared_within_one_home_and_with_nobody_else(tmp_path: Path) -> None:
    settings, ours, theirs = ServerSettings(port=free_port()), tmp_path / "ours", tmp_path / "theirs"
    for place in (ours, theirs):
        place.mkdir()
    async with bound_together(settings, ours) as first, bound_together(settings, ours) as second:
        assert first[0].getsockname() == second[0].getsockname()
        first[0].listen()
        second[0].listen()
        with pytest.raises(PortTaken):
            async with bound_together(settings, theirs):
                pass
        with pytest.raises(PortTaken):
            await bound(settings)
        for one in (*first, *second):
            one.close()
    held = await bound(settings)
    held[0].listen()
    with pytest.raises(PortTaken):
        async with bound_together(settings, ours):
            pass
    held[0].close()
    async with bound_together(replace(settings, port=0), ours) as free:
        assert free[0].getsockname()[1]
        free[0].close()


def test_it_loads_nothing_that_it_does_not_need() -> None:
    """BerriAI/litellm #24512, #24518, #24521: a package that nobody needed took the keys with it."""
    code = "import sys, bastide.cli.gatekeeping; print(*sys.modules)"
    loaded = set(subprocess.check_output([sys.executable, "-c", code], text=True).split())
    assert not loaded & {*HEAVY.split(), *ROOMS.split()}
    assert {"bastide.inference", "bastide.audit", "bastide.policy", "bastide.egress"} <= loaded, "the law is there"
