"""What people bring with them from other gateways: their addresses, and what they ask of one beside its wires."""

from __future__ import annotations

import anthropic
import httpx2
import openai
import pytest

from bastide.testing import ScriptedModel
from tests.doors.conftest import Company, bearer

HELLO = {"role": "user", "content": "Hello"}


async def test_an_address_without_its_beginning_or_with_two(served: str, us: Company, model: ScriptedModel) -> None:
    key = us.keys["member"]
    async with openai.AsyncOpenAI(base_url=served, api_key=key, max_retries=0) as client:
        said = await client.chat.completions.create(model="lane", messages=[HELLO])  # type: ignore[list-item]
        assert said.choices[0].message.content == "One two three."
        assert "lane" in [one.id async for one in client.models.list()]
        assert (await client.models.retrieve("lane")).id == "lane"
        brought = await client.files.create(file=("lines.jsonl", b"{}\n"), purpose="batch")
        listed = [one.id async for one in client.files.list()]
        assert listed[0] == brought.id
    async with openai.AsyncOpenAI(base_url=f"{served}/v1", api_key=key, max_retries=0) as usual:
        assert listed == [one.id async for one in usual.files.list()]
    async with anthropic.AsyncAnthropic(base_url=f"{served}/v1", api_key=key, max_retries=0) as other:
        told = await other.messages.create(model="lane", max_tokens=9, messages=[HELLO])  # type: ignore[list-item]
        assert told.content[0].type == "text"
    nobody = openai.AsyncOpenAI(base_url=served, api_key="bst_" + "0" * 64, max_retries=0)
    with pytest.raises(openai.AuthenticationError):
        await nobody.models.list()


@pytest.mark.parametrize("path", ["/v1/chat/completions/", "/chat/completions/", "/v1/v1/chat/completions"])
async def test_an_address_may_end_with_a_stroke(
    web: httpx2.AsyncClient, us: Company, model: ScriptedModel, path: str
) -> None:
    reply = await web.post(path, json={"model": "lane", "messages": [HELLO]}, headers=bearer(us.keys["member"]))
    assert reply.status_code == 200, reply.text


@pytest.mark.parametrize(
    ("method", "path", "word"),
    [
        ("GET", "/v1/responses/resp_1", "again"),
        ("POST", "/v1/conversations", "again"),
        ("GET", "/v1/chat/completions/1", "again"),
        ("POST", "/v1/messages/batches", "/v1/batches"),
        ("POST", "/v1/moderations", "chat"),
        ("GET", "/v1/vector_stores", "/api/v1/documents"),
        ("POST", "/v1/images/upscale", "/v1/images/edits"),
        ("POST", "/openai/deployments/gpt-4o/chat/completions", "/v1"),
        ("POST", "/key/generate", "from-litellm"),
        ("GET", "/v1/nothing", "/openapi.json"),
    ],
)
async def test_what_is_not_offered_says_what_stands_for_it(
    web: httpx2.AsyncClient, us: Company, method: str, path: str, word: str
) -> None:
    reply = await web.request(method, path, json={}, headers=bearer(us.keys["member"]))
    error = reply.json()["error"]
    assert (reply.status_code, error["code"]) == (404, "request.no_such_route")
    assert word in error["next"]
    assert (reply.json().get("type") == "error") is path.startswith("/v1/messages"), "in the wire's own shape"


async def test_anthropics_clients_list_models_too(served: str, us: Company, model: ScriptedModel) -> None:
    async with anthropic.AsyncAnthropic(base_url=served, api_key=us.keys["member"], max_retries=0) as client:
        listed = {one.id: one async for one in client.models.list()}
        assert (listed["lane"].type, listed["lane"].display_name) == ("model", "lane")
        one = await client.models.retrieve("lane")
        assert one.created_at is not None
        assert one.created_at.year >= 2026


async def test_tokens_are_counted_without_asking_anybody(
    served: str, us: Company, them: Company, model: ScriptedModel
) -> None:
    model.asked.clear()
    long = {"role": "user", "content": [{"type": "text", "text": "word " * 4000}]}
    tool = {"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}
    async with anthropic.AsyncAnthropic(base_url=served, api_key=us.keys["member"], max_retries=0) as client:
        ask = client.messages.count_tokens
        few = (await ask(model="lane", messages=[HELLO])).input_tokens  # type: ignore[list-item]
        more = (await ask(model="lane", messages=[HELLO], tools=[tool])).input_tokens  # type: ignore[list-item]
        many = (await ask(model="lane", messages=[HELLO, long], system="Be brief.")).input_tokens  # type: ignore[list-item]
        assert 1 <= few < more < 100
        assert 4000 <= many <= 6000
        with pytest.raises(anthropic.BadRequestError) as wrong:
            await ask(model="lane", messages=[])
        assert wrong.value.response.json()["type"] == "error"
    async with openai.AsyncOpenAI(base_url=f"{served}/v1", api_key=us.keys["member"], max_retries=0) as other:
        assert (await other.responses.input_tokens.count(model="lane", input="Hello")).input_tokens >= 1
    async with anthropic.AsyncAnthropic(base_url=served, api_key=them.keys["member"], max_retries=0) as stranger:
        with pytest.raises(anthropic.NotFoundError):
            await stranger.messages.count_tokens(model="lane", messages=[HELLO])  # type: ignore[list-item]
    assert model.asked == []
