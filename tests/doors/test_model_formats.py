"""The unchanged `openai` and `anthropic` clients, each answered by a server of another format than its own."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from bastide.testing import ScriptedModel, Tells
from tests.doors.conftest import Company, bearer
from tests.rooms.inference.wires import shapes

KINDS = {"chat": "openai", "messages": "anthropic", "gemini": "gemini"}
FUNCTION: dict[str, Any] = {"name": "weather", "description": "What it is like", "parameters": shapes.SCHEMA}


@asynccontextmanager
async def model(
    web: httpx2.AsyncClient, us: Company, wire: str, *more: Tells
) -> AsyncIterator[tuple[str, ScriptedModel]]:
    """A model behind a server of this format: its name, and the server."""
    name, admin = f"m-{secrets.token_hex(4)}", bearer(us.keys["administrator"])
    async with ScriptedModel(Tells(shapes.WHOLE[wire], shapes.EVENTS[wire]), *more) as server:
        spec = {"name": name, "url": server.url, "local": True, "model": "u", "kind": KINDS[wire]}
        added = await web.post("/api/v1/models", json={**spec, "capabilities": ["chat"]}, headers=admin)
        assert added.status_code == 201, added.text
        try:
            yield name, server
        finally:
            await web.delete(f"/api/v1/models/{name}", headers=admin)


def sent(server: ScriptedModel) -> Any:
    return [one.body for one in server.asked if one.method == "POST"][-1]


@pytest.fixture
async def openai_client(served: str, us: Company) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{served}/v1", api_key=us.keys["member"], max_retries=0) as made:
        yield made


@pytest.fixture
async def anthropic_client(served: str, us: Company) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(base_url=served, api_key=us.keys["member"], max_retries=0) as made:
        yield made


@pytest.mark.parametrize("wire", ["messages", "gemini"])
async def test_a_chat_with_tools(
    web: httpx2.AsyncClient, us: Company, openai_client: openai.AsyncOpenAI, wire: str
) -> None:
    async with model(web, us, wire) as (name, server):
        asked: dict[str, Any] = {
            "model": name,
            "messages": [{"role": "user", "content": "The weather, and the time?"}],
            "tools": [{"type": "function", "function": FUNCTION}],
        }
        whole = await openai_client.chat.completions.create(**asked)
        calls = whole.choices[0].message.tool_calls or []
        assert [(c.id, c.function.name, c.function.arguments) for c in calls if c.type == "function"] == [
            ("call_1", "weather", shapes.WEATHER),
            ("call_2", "clock", shapes.TIME),
        ]
        assert (whole.choices[0].finish_reason, whole.choices[0].message.content) == ("tool_calls", shapes.SENTENCE)
        assert whole.usage is not None
        assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (120, 45)
        turns = [*asked["messages"], whole.choices[0].message.model_dump(exclude_none=True)]
        turns += [{"role": "tool", "tool_call_id": call.id, "content": "fine"} for call in calls]
        async with openai_client.chat.completions.stream(**{**asked, "messages": turns}) as stream:
            final = await stream.get_final_completion()
        assert final.choices[0].message.content == shapes.SENTENCE
        assert [call.function.arguments for call in final.choices[0].message.tool_calls or []] == [
            shapes.WEATHER,
            shapes.TIME,
        ]
        assert shapes.SEAL[wire] in str(sent(server)), "the seal of its thought came back to its maker"


@pytest.mark.parametrize("wire", ["chat", "messages"])
async def test_responses_with_tools(
    web: httpx2.AsyncClient, us: Company, openai_client: openai.AsyncOpenAI, wire: str
) -> None:
    async with model(web, us, wire) as (name, server):
        tools: Any = [{"type": "function", "strict": None, **FUNCTION}]
        items: Any = [{"role": "user", "content": "The weather?"}]
        whole = await openai_client.responses.create(model=name, input=items, tools=tools)
        assert whole.output_text == shapes.SENTENCE
        assert [tool.name for tool in whole.tools if tool.type == "function"] == ["weather"]
        assert [item.type for item in whole.output] == ["reasoning", "message", "function_call", "function_call"]
        items += [item.model_dump(exclude_none=True) for item in whole.output]
        items += [{"type": "function_call_output", "call_id": f"call_{n}", "output": "fine"} for n in (1, 2)]
        async with openai_client.responses.stream(model=name, input=items, tools=tools) as stream:
            kinds = [event.type async for event in stream]
            final = await stream.get_final_response()
        assert kinds[0] == "response.created"
        assert kinds[-1] == "response.completed"
        assert final.output_text == shapes.SENTENCE
        assert len(final.tools) == 1
        assert final.output[2].arguments == shapes.WEATHER  # type: ignore[union-attr]
        assert (final.usage.input_tokens, final.usage.output_tokens) == (120, 45)  # type: ignore[union-attr]
        assert "fine" in str(sent(server))


@pytest.mark.parametrize("wire", ["chat", "gemini"])
async def test_messages_with_tools(
    web: httpx2.AsyncClient, us: Company, anthropic_client: anthropic.AsyncAnthropic, wire: str
) -> None:
    async with model(web, us, wire) as (name, server):
        turns: Any = [{"role": "user", "content": "The weather?"}]
        tools: Any = [{"name": "weather", "input_schema": shapes.SCHEMA}]
        whole = await anthropic_client.messages.create(model=name, max_tokens=99, messages=turns, tools=tools)
        uses = [(block.id, block.name, block.input) for block in whole.content if block.type == "tool_use"]
        assert uses == [("call_1", "weather", {"city": "Łódź"}), ("call_2", "clock", {"zone": "CET"})]
        assert whole.stop_reason == "tool_use"
        assert (whole.usage.input_tokens, whole.usage.cache_read_input_tokens, whole.usage.output_tokens) == (
            100,
            20,
            45,
        )
        results = [{"type": "tool_result", "tool_use_id": one[0], "content": "fine"} for one in uses]
        turns += [{"role": "assistant", "content": whole.content}, {"role": "user", "content": results}]
        async with anthropic_client.messages.stream(model=name, max_tokens=99, messages=turns, tools=tools) as stream:
            said = "".join([text async for text in stream.text_stream])
            final = await stream.get_final_message()
        assert said == shapes.SENTENCE
        assert [block.input for block in final.content if block.type == "tool_use"] == [uses[0][2], uses[1][2]]
        assert (final.usage.input_tokens, final.usage.output_tokens) == (100, 45)
        assert "fine" in str(sent(server))
        assert (shapes.SEAL["gemini"] in str(sent(server))) == (wire == "gemini")


async def test_a_completion(web: httpx2.AsyncClient, us: Company, openai_client: openai.AsyncOpenAI) -> None:
    async with model(web, us, "messages") as (name, server):
        whole = await openai_client.completions.create(model=name, prompt="Once", max_tokens=9)
        stream = await openai_client.completions.create(model=name, prompt="Once", max_tokens=9, stream=True)
        said = "".join([chunk.choices[0].text async for chunk in stream])
        assert whole.choices[0].text == said == shapes.SENTENCE
        assert sent(server)["messages"] == [{"role": "user", "content": [{"type": "text", "text": "Once"}]}]


async def test_what_breaks_or_cannot_be_said_is_an_error_that_each_client_knows(
    web: httpx2.AsyncClient,
    us: Company,
    openai_client: openai.AsyncOpenAI,
    anthropic_client: anthropic.AsyncAnthropic,
) -> None:
    turns: Any = [{"role": "user", "content": "?"}]
    async with model(web, us, "chat", Tells({}, shapes.EVENTS["chat"], cut_after=5)) as (name, server):
        server.asked.clear()
        await anthropic_client.messages.create(model=name, max_tokens=9, messages=turns)
        with pytest.raises(anthropic.APIStatusError) as broken:
            async with anthropic_client.messages.stream(model=name, max_tokens=9, messages=turns) as stream:
                await stream.get_final_message()
        assert "inference.stream_broken" in str(broken.value.body)
        with pytest.raises(openai.APIError, match="broke off"):
            async for _ in await openai_client.responses.create(model=name, input="?", stream=True):
                pass
        with pytest.raises(anthropic.BadRequestError) as unsaid:
            await anthropic_client.messages.create(
                model=name, max_tokens=9, messages=turns, tools=[{"type": "web_search_20250305", "name": "web_search"}]
            )
        assert "tools[0].type" in unsaid.value.message
        with pytest.raises(openai.BadRequestError) as kept:
            await openai_client.responses.create(model=name, input="?", previous_response_id="resp_1")
        assert kept.value.param == "previous_response_id"


async def test_features_that_anthropics_clients_name_go_to_servers_of_their_format(
    web: httpx2.AsyncClient, us: Company, served: str, anthropic_client: anthropic.AsyncAnthropic
) -> None:
    turns: Any = [{"role": "user", "content": "?"}]
    named = [
        "context-management-2025-06-27",
        "files-api-2025-04-14",
        "message-threads-2026-08-12",
        "made-up-2031-01-01",
    ]
    edits: Any = {"edits": [{"type": "clear_tool_uses_20250919"}]}
    async with model(web, us, "messages") as (name, server):
        asked: Any = {"model": name, "max_tokens": 9, "messages": turns}
        await anthropic_client.messages.create(**asked)
        await anthropic_client.beta.messages.create(**asked, betas=named, context_management=edits)
        other = anthropic.AsyncAnthropic(base_url=f"{served}/v1", api_key=us.keys["member"], max_retries=0)  # no lane
        async with other, other.beta.messages.stream(**asked, betas=named) as stream:
            await stream.get_final_message()
        heads = [one.headers for one in server.asked if one.method == "POST"]
        assert [one.get("anthropic-beta") for one in heads] == [None, *["context-management-2025-06-27"] * 2]
        assert sent(server)["stream"] is True
    async with model(web, us, "chat") as (name, server):
        await anthropic_client.beta.messages.create(**{**asked, "model": name}, betas=named, context_management=edits)
        assert "anthropic-beta" not in server.chats[-1].headers


async def test_json_of_any_form_is_asked_for_where_a_server_has_no_field_for_it(
    web: httpx2.AsyncClient, us: Company, openai_client: openai.AsyncOpenAI
) -> None:
    async with model(web, us, "messages") as (name, server):
        turns: Any = [{"role": "system", "content": "You write JSON."}, {"role": "user", "content": "?"}]
        await openai_client.chat.completions.create(model=name, messages=turns, response_format={"type": "json_object"})
        first, second = sent(server)["system"]
        assert first["text"] == "You write JSON."
        assert "JSON object" in second["text"]
        assert "output_config" not in sent(server)


async def test_what_is_kept_nowhere_says_how_its_client_sends_it(
    web: httpx2.AsyncClient, us: Company, openai_client: openai.AsyncOpenAI
) -> None:
    items: Any = [{"role": "user", "content": "?"}, {"type": "item_reference", "id": "fc_1"}]
    async with model(web, us, "chat") as (name, server):
        with pytest.raises(openai.BadRequestError) as kept:
            await openai_client.responses.create(model=name, input=items)
        assert kept.value.param == "input[1].type"
        assert "`store` is false" in str(kept.value.body)
        assert not server.chats
