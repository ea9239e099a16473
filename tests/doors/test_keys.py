"""A key that may name some models only, at every door: by unchanged clients, in late work and as a tool."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx2
import openai
import pytest

from bastide.testing import Says, ScriptedModel
from tests.doors.conftest import Company, bearer
from tests.doors.test_batches import batch_of, chat, ended, jsonl, lines_of
from tests.doors.test_tools import said, session

HELLO = [{"role": "user", "content": "Hello"}]


@dataclass(frozen=True)
class Bound:
    """A member's key that may name `lane` only, beside the route `way` to `other`."""

    id: str
    key: str


@pytest.fixture
async def bound(web: httpx2.AsyncClient, us: Company, model: ScriptedModel) -> AsyncIterator[Bound]:
    by = bearer(us.keys["administrator"])
    async with ScriptedModel(Says("By another.")) as server:
        body = {"name": "other", "url": server.url, "local": True, "model": "other", "capabilities": ["chat"]}
        assert (await web.post("/api/v1/models", json=body, headers=by)).status_code == 201
        route = {"name": "way", "members": ["other"]}
        assert (await web.post("/api/v1/routes", json=route, headers=by)).status_code == 201
        made = await web.post("/api/v1/keys", json={"role": "member", "models": ["lane"]}, headers=by)
        assert (made.status_code, made.json()["models"]) == (201, ["lane"])
        yield Bound(made.json()["id"], made.json()["key"])
        await web.delete("/api/v1/routes/way", headers=by)
        await web.delete("/api/v1/models/other", headers=by)


@pytest.fixture
async def client(served: str, bound: Bound) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{served}/v1", api_key=bound.key, max_retries=0) as made:
        yield made


async def answered(client: openai.AsyncOpenAI, model: str) -> str | None:
    reply = await client.chat.completions.create(model=model, messages=HELLO)  # type: ignore[arg-type]
    return reply.choices[0].message.content


async def test_it_names_its_models_and_no_others(
    client: openai.AsyncOpenAI, web: httpx2.AsyncClient, us: Company, bound: Bound
) -> None:
    assert [one.id async for one in client.models.list()] == ["lane"]
    assert (await client.models.retrieve("lane")).id == "lane"
    assert [await answered(client, name) for name in ("lane", "auto")] == ["One two three."] * 2
    for name in ("other", "way", "local/extractive"):
        with pytest.raises(openai.NotFoundError, match="There is no model"):
            await answered(client, name)
        with pytest.raises(openai.NotFoundError):
            await client.models.retrieve(name)
        with pytest.raises(openai.NotFoundError):
            await client.responses.create(model=name, input="Hello")
        with pytest.raises(openai.NotFoundError):
            await client.audio.speech.create(model=name, input="x", voice="one")
        with pytest.raises(openai.NotFoundError):
            await client.post("/rerank", cast_to=object, body={"model": name, "query": "x", "documents": ["y"]})
    mine = bearer(bound.key)
    assert (await web.get("/api/v1/me", headers=mine)).json()["models"] == ["lane"]
    listed = (await web.get("/api/v1/models", headers=mine)).json()["models"]
    assert [one["name"] for one in listed] == ["lane"]
    assert (await web.get("/api/v1/routes", headers=mine)).json()["routes"] == []
    explained = await web.post("/api/v1/decisions:explain", json={"model": "other"}, headers=mine)
    assert (explained.status_code, explained.json()["error"]["code"]) == (404, "inference.unknown_model")


async def test_a_change_holds_for_the_next_call(
    client: openai.AsyncOpenAI, web: httpx2.AsyncClient, us: Company, them: Company, bound: Bound
) -> None:
    async def bind(key: str, **body: object) -> httpx2.Response:
        return await web.patch(f"/api/v1/keys/{bound.id}", json=body, headers=bearer(key))

    assert await answered(client, "lane")
    for key, status in ((them.keys["administrator"], 404), (us.keys["member"], 403), (bound.key, 403)):
        assert (await bind(key, models=None)).status_code == status
    assert (await bind(us.keys["administrator"])).status_code == 422, "what is left out lifts nothing"
    changed = await bind(us.keys["administrator"], models=["way"])
    assert (changed.status_code, changed.json()["models"]) == (200, ["way"])
    with pytest.raises(openai.NotFoundError):
        await answered(client, "lane")
    assert [await answered(client, name) for name in ("way", "auto")] == ["By another."] * 2
    with pytest.raises(openai.NotFoundError):
        await answered(client, "other")
    assert (await bind(us.keys["administrator"], models=None)).json()["models"] is None
    assert await answered(client, "other") == "By another."
    shown = await web.get("/api/v1/keys", params={"limit": 500}, headers=bearer(us.keys["administrator"]))
    assert next(one for one in shown.json()["keys"] if one["id"] == bound.id)["models"] is None


async def test_a_rotated_key_keeps_its_list(
    served: str, client: openai.AsyncOpenAI, web: httpx2.AsyncClient, us: Company, bound: Bound
) -> None:
    assert await answered(client, "lane")
    place, by = f"/api/v1/keys/{bound.id}:rotate", bearer(us.keys["administrator"])
    made = await web.post(place, json={}, headers=by)
    assert (made.status_code, made.json()["id"], made.json()["models"]) == (200, bound.id, ["lane"])
    with pytest.raises(openai.AuthenticationError):
        await answered(client, "lane")
    async with openai.AsyncOpenAI(base_url=f"{served}/v1", api_key=made.json()["key"], max_retries=0) as again:
        assert await answered(again, "lane") == "One two three."
        with pytest.raises(openai.NotFoundError):
            await answered(again, "other")


async def test_late_work_and_tools_hold_the_list(
    client: openai.AsyncOpenAI, served: str, web: httpx2.AsyncClient, us: Company, bound: Bound, at_work: object
) -> None:
    batch = await ended(
        client, await batch_of(client, jsonl(chat("a", "x", model="lane"), chat("b", "x", model="other")))
    )
    assert batch.request_counts is not None
    assert (batch.request_counts.completed, batch.request_counts.failed) == (1, 1)
    (error,) = await lines_of(client, batch.error_file_id)
    assert (error["custom_id"], error["response"]["status_code"]) == ("b", 404)
    async with session(served, bound.key) as mcp:
        await mcp.call_tool("documents_add", {"name": "pears.md", "text": "# Pears\n\nThe pears are picked in May.\n"})
        wrong = await mcp.call_tool("answer", {"question": "When are the pears picked?", "model": "other"})
        assert wrong.is_error
        answer = said(await mcp.call_tool("answer", {"question": "When are the pears picked?"}))
        assert answer["model"] in {"lane", "local/extractive"}, "whichever of them, it is none that was not listed"
        assert said(await mcp.call_tool("search", {"query": "pears"}))["passages"], "a search is the house's own"


@pytest.mark.parametrize("many", [101, 501, 20_000])
async def test_a_list_has_one_bound_and_one_error_however_long_it_is(
    web: httpx2.AsyncClient, us: Company, bound: Bound, many: int
) -> None:
    by, names = bearer(us.keys["administrator"]), [f"m{n}" for n in range(many)]
    for method, path in (("POST", "/api/v1/keys"), ("PATCH", f"/api/v1/keys/{bound.id}")):
        body = {"role": "member", "models": names} if method == "POST" else {"models": names}
        reply = await web.request(method, path, json=body, headers=by)
        error = reply.json()["error"]
        assert (reply.status_code, error["code"]) == (422, "tenancy.bad_models")
        assert "at most 100 names" in error["message"]
    same = await web.post("/api/v1/keys", json={"role": "member", "models": ["lane"] * many}, headers=by)
    assert (same.status_code, same.json()["models"]) == (201, ["lane"]), "a name that comes again is one name"
