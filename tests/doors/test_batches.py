"""Files and batches by the unchanged `openai` client, against a really served house and a small real server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import openai
import pytest
from openai.types import Batch

from bastide.testing import Asked, Fails, Says, ScriptedModel
from tests.doors.conftest import Company, bearer
from tests.rooms.inference.batch_provider import BatchProvider

CHATS: Any = "/v1/chat/completions"


@pytest.fixture
async def client(served: str, us: Company) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{served}/v1", api_key=us.keys["member"], max_retries=0) as made:
        yield made


@pytest.fixture
async def model(web: httpx2.AsyncClient, us: Company) -> AsyncIterator[ScriptedModel]:
    """A model of the tenant that repeats what it hears, and refuses to hear of rain."""

    def echo(asked: Asked) -> Says | Fails:
        heard = str(asked.body["messages"][-1]["content"])
        return Fails(400, "no weather") if "rain" in heard else Says(f"You said {heard}")

    async with ScriptedModel(echo) as made:
        body = {"name": "echo", "url": made.url, "local": True, "model": "scripted", "capabilities": ["chat"]}
        added = await web.post("/api/v1/models", json=body, headers=bearer(us.keys["administrator"]))
        assert added.status_code == 201, added.text
        yield made
        await web.delete("/api/v1/models/echo", headers=bearer(us.keys["administrator"]))


def chat(name: str, text: Any, *, url: str = CHATS, **body: Any) -> dict[str, Any]:
    """A line that asks for a chat."""
    body = {"model": "echo", "messages": [{"role": "user", "content": text}], **body}
    return {"custom_id": name, "method": "POST", "url": url, "body": body}


def jsonl(*lines: Any) -> bytes:
    """Lines as a file; a text stands as it is."""
    return b"".join((one if isinstance(one, str) else json.dumps(one)).encode() + b"\n" for one in lines)


async def batch_of(client: openai.AsyncOpenAI, data: bytes, **more: Any) -> Batch:
    """A batch of these lines, just made."""
    file = await client.files.create(file=("calls.jsonl", data), purpose="batch")
    wanted: Any = {"endpoint": CHATS, "completion_window": "24h", **more}
    return await client.batches.create(input_file_id=file.id, **wanted)


async def ended(client: openai.AsyncOpenAI, batch: Batch) -> Batch:
    """The batch, once nothing more comes of it by itself."""
    async with asyncio.timeout(60):
        while batch.status in {"validating", "in_progress", "finalizing", "cancelling"}:
            await asyncio.sleep(0.1)
            batch = await client.batches.retrieve(batch.id)
    return batch


async def lines_of(client: openai.AsyncOpenAI, file: str | None) -> list[Any]:
    """What stands in a file."""
    assert file is not None
    return [json.loads(line) for line in (await client.files.content(file)).text.splitlines()]


async def test_each_line_has_its_answer_or_its_error(
    client: openai.AsyncOpenAI, model: ScriptedModel, web: httpx2.AsyncClient, us: Company
) -> None:
    given = jsonl(
        chat("one", "Good\nmorning"),
        "",
        chat("two", "rain"),
        chat("three", "hello", model="nowhere"),
        chat("four", "é"),
    )
    file = await client.files.create(file=("calls.jsonl", given), purpose="batch")
    assert (file.object, file.bytes, file.filename, file.purpose) == ("file", len(given), "calls.jsonl", "batch")
    assert file.expires_at is not None
    assert file.expires_at - file.created_at == 30 * 86_400
    assert (await client.files.retrieve(file.id)).id == file.id
    assert (await client.files.content(file.id)).content == given, "bit for bit"
    made = await client.batches.create(
        input_file_id=file.id, endpoint=CHATS, completion_window="24h", metadata={"case": "7"}
    )
    assert (made.object, made.status, made.metadata) == ("batch", "validating", {"case": "7"})
    batch = await ended(client, made)
    assert batch.status == "completed", batch.errors
    assert batch.request_counts is not None
    assert batch.request_counts.model_dump() == {"total": 4, "completed": 2, "failed": 2}
    assert batch.completed_at is not None
    assert batch.in_progress_at is not None
    assert made.created_at <= batch.in_progress_at <= batch.completed_at
    answers, errors = await lines_of(client, batch.output_file_id), await lines_of(client, batch.error_file_id)
    assert [one["custom_id"] for one in answers] == ["one", "four"], "in the order of the file"
    for one, said in zip(answers, ["You said Good\nmorning", "You said é"], strict=True):
        assert one["id"].startswith("batch_req_")
        assert (one["error"], one["response"]["status_code"]) == (None, 200)
        assert one["response"]["body"]["choices"][0]["message"]["content"] == said
        shown = await web.get(f"/api/v1/receipts/{one['response']['receipt']}", headers=bearer(us.keys["auditor"]))
        assert shown.json()["outcome"] == "done", "a receipt of its own"
    assert len({one["response"]["receipt"] for one in answers}) == 2
    refused, unknown = errors
    assert (refused["custom_id"], unknown["custom_id"]) == ("two", "three")
    assert refused["response"]["status_code"] == 400
    assert refused["response"]["body"]["error"]["type"] == "invalid_request_error", "in the words of the wire"
    assert unknown["response"]["body"]["error"]["code"] == "inference.unknown_model"
    assert batch.usage is not None
    assert batch.usage.total_tokens == sum(one["response"]["body"]["usage"]["total_tokens"] for one in answers)
    output = await client.files.retrieve(str(batch.output_file_id))
    assert (output.purpose, output.filename) == ("batch_output", f"{batch.id}_output.jsonl")
    assert output.bytes == len((await client.files.content(output.id)).content)


async def test_what_is_wrong_with_a_file_is_told_by_its_line(client: openai.AsyncOpenAI, model: ScriptedModel) -> None:
    heard = len(model.asked)
    wrong = jsonl(
        chat("a", "x"),
        "{not json",
        chat("a", "x"),
        chat("b", "x", url="/v1/embeddings"),
        chat("c", "x", stream=True),
        {"custom_id": "d", "method": "GET", "url": CHATS, "body": {}},
        {"custom_id": "e", "method": "POST", "url": CHATS},
        {"method": "POST", "url": CHATS, "body": {}},
        "[]",
        {"custom_id": "f", "method": "POST", "url": CHATS, "body": [1]},
    )
    batch = await ended(client, await batch_of(client, wrong))
    assert batch.status == "failed"
    assert batch.errors is not None
    assert [(one.line, one.code) for one in batch.errors.data or ()] == [
        (2, "invalid_json_line"),
        (3, "duplicate_custom_id"),
        (4, "mismatched_endpoint"),
        (5, "streaming_not_supported"),
        (6, "invalid_method"),
        (7, "missing_required_parameter"),
        (8, "invalid_custom_id"),
        (9, "invalid_request"),
        (10, "invalid_request"),
    ]
    assert (batch.output_file_id, batch.error_file_id) == (None, None)
    empty = await ended(client, await batch_of(client, b"\n \n"))
    assert empty.errors is not None
    assert [one.code for one in empty.errors.data or ()] == ["empty_file"]
    assert len(model.asked) == heard, "nothing was asked"


async def test_a_batch_is_cancelled_and_what_was_answered_stays(
    client: openai.AsyncOpenAI, web: httpx2.AsyncClient, us: Company
) -> None:
    held = asyncio.Event()

    def slow(asked: Asked) -> Says:
        last = asked.body["messages"][-1]["content"]
        if last != "quick":
            held.set()
        return Says("Done.", pause_s=0.0 if last == "quick" else 30.0)

    boss = bearer(us.keys["administrator"])
    async with ScriptedModel(slow) as server:
        spec = {"name": "slow", "url": server.url, "local": True, "model": "scripted", "capabilities": ["chat"]}
        assert (await web.post("/api/v1/models", json=spec, headers=boss)).status_code == 201
        lines = [chat("quick", "quick", model="slow"), *(chat(f"n{n}", "slow", model="slow") for n in range(40))]
        batch = await batch_of(client, jsonl(*lines))
        async with asyncio.timeout(60):
            await held.wait()
            while (now := await client.batches.retrieve(batch.id)).request_counts is None or (
                now.request_counts.completed < 1
            ):
                await asyncio.sleep(0.05)
        stopped = await client.batches.cancel(batch.id)
        assert stopped.status in {"cancelling", "cancelled"}
        done = await ended(client, stopped)
        asked = len(server.chats)
        await web.delete("/api/v1/models/slow", headers=boss)
    assert done.status == "cancelled"
    assert done.cancelled_at is not None
    assert asked < 20, "no further line was asked"
    assert [one["custom_id"] for one in await lines_of(client, done.output_file_id)] == ["quick"]
    with pytest.raises(openai.ConflictError):
        await client.batches.cancel(batch.id)


async def test_a_batch_asks_nothing_more_for_a_key_that_was_disabled(
    served: str, web: httpx2.AsyncClient, us: Company
) -> None:
    boss = bearer(us.keys["administrator"])
    made = (await web.post("/api/v1/keys", json={"role": "member"}, headers=boss)).json()
    async with ScriptedModel(Says("Yes.", pause_s=0.3)) as server:
        spec = {"name": "slow", "url": server.url, "local": True, "model": "scripted", "capabilities": ["chat"]}
        assert (await web.post("/api/v1/models", json=spec, headers=boss)).status_code == 201
        async with openai.AsyncOpenAI(base_url=f"{served}/v1", api_key=made["key"], max_retries=0) as leaver:
            batch = await batch_of(leaver, jsonl(*(chat(f"n{n}", "x", model="slow") for n in range(400))))
        async with asyncio.timeout(60):
            while len(server.chats) < 10:
                await asyncio.sleep(0.05)
        assert (await web.post(f"/api/v1/keys/{made['id']}:disable", headers=boss)).status_code == 200
        async with openai.AsyncOpenAI(base_url=f"{served}/v1", api_key=us.keys["administrator"]) as chief:
            done = await ended(chief, await chief.batches.retrieve(batch.id))
            answers = await lines_of(chief, done.output_file_id)
        await web.delete("/api/v1/models/slow", headers=boss)
    assert done.errors is not None
    assert (done.status, [one.code for one in done.errors.data or ()]) == ("failed", ["tenancy.disabled_key"])
    assert 0 < len(answers) <= len(server.chats) < 200


async def test_files_and_batches_are_listed_in_pages(client: openai.AsyncOpenAI, model: ScriptedModel) -> None:
    batches = [await batch_of(client, jsonl(chat("a", f"turn {turn}"))) for turn in range(3)]
    newest = [one.id for one in reversed(batches)]
    page = await client.batches.list(limit=2)
    assert [one.id for one in page.data] == newest[:2]
    assert page.has_next_page()
    assert (await page.get_next_page()).data[0].id == newest[2]
    files = [one.input_file_id for one in batches]
    seen = [one.id async for one in client.files.list(limit=1, purpose="batch")]
    assert seen[:3] == list(reversed(files))
    oldest = [one.id async for one in client.files.list(order="asc", purpose="batch")]
    assert oldest == list(reversed(seen))
    assert [one async for one in client.files.list(purpose="vision")] == []
    for one in batches:
        assert (await ended(client, one)).status == "completed"


async def test_files_that_are_none(client: openai.AsyncOpenAI) -> None:
    good = ("a.jsonl", b"{}\n")
    for purpose in ("assistants", "fine-tune", "vision", "user_data", "evals", "batch_output"):
        with pytest.raises(openai.BadRequestError) as told:
            await client.files.create(file=good, purpose=purpose)  # type: ignore[arg-type]
        assert (told.value.code, told.value.param) == ("inference.bad_file", "purpose")
    with pytest.raises(openai.BadRequestError):
        await client.files.create(file=("a.jsonl", b""), purpose="batch")
    for seconds in (1, 10**9):
        with pytest.raises(openai.BadRequestError) as told:
            await client.files.create(
                file=good, purpose="batch", expires_after={"anchor": "created_at", "seconds": seconds}
            )
        assert told.value.param == "expires_after.seconds"
    short = await client.files.create(
        file=good, purpose="batch", expires_after={"anchor": "created_at", "seconds": 3600}
    )
    assert short.expires_at is not None
    assert short.expires_at - short.created_at == 3600
    with pytest.raises(openai.BadRequestError):
        await client.files.create(file=good, purpose="batch", extra_body={"shelf": "top"})
    with pytest.raises(openai.BadRequestError):
        await client.post("/files", cast_to=object, body={"purpose": "batch"})


async def test_batches_that_are_none(client: openai.AsyncOpenAI) -> None:
    file = await client.files.create(file=("a.jsonl", jsonl(chat("a", "x"))), purpose="batch")

    async def told(**wrong: Any) -> str | None:
        asked: Any = {"input_file_id": file.id, "endpoint": CHATS, "completion_window": "24h", **wrong}
        with pytest.raises(openai.BadRequestError) as refused:
            await client.batches.create(**asked)
        return refused.value.param

    assert await told(endpoint="/v1/moderations") == "endpoint"
    assert await told(completion_window="1h") == "completion_window"
    assert await told(metadata={"k": "v" * 513}) == "metadata"
    assert await told(output_expires_after={"anchor": "created_at", "seconds": 60}) == "output_expires_after.seconds"
    with pytest.raises(openai.NotFoundError):
        await client.batches.create(input_file_id="file_x", endpoint=CHATS, completion_window="24h")


async def test_a_file_goes_with_what_came_of_it_when_that_is_said(
    client: openai.AsyncOpenAI, model: ScriptedModel
) -> None:
    batch = await ended(client, await batch_of(client, jsonl(chat("a", "x"))))
    await client.files.delete(batch.input_file_id)
    with pytest.raises(openai.NotFoundError):
        await client.files.retrieve(batch.input_file_id)
    assert len(await lines_of(client, batch.output_file_id)) == 1, "what came of it stays"
    assert (await client.files.delete(str(batch.output_file_id))).deleted
    with pytest.raises(openai.NotFoundError):
        await client.files.content(str(batch.output_file_id))
    again = await ended(client, await batch_of(client, jsonl(chat("a", "x"))))
    await client.files.delete(again.input_file_id, extra_query={"derived": "true"})
    for gone in (client.batches.retrieve(again.id), client.files.retrieve(str(again.output_file_id))):
        with pytest.raises(openai.NotFoundError):
            await gone


async def test_whose_a_file_is(
    client: openai.AsyncOpenAI, model: ScriptedModel, served: str, us: Company, them: Company
) -> None:
    batch = await ended(client, await batch_of(client, jsonl(chat("a", "x"))))
    ids = (batch.input_file_id, str(batch.output_file_id))
    for key in (them.keys["administrator"], us.keys["worker"]):  # the neighbour, and a colleague with a key of his own
        async with openai.AsyncOpenAI(base_url=f"{served}/v1", api_key=key, max_retries=0) as other:
            for asked in (
                *(other.files.retrieve(id) for id in ids),
                *(other.files.content(id) for id in ids),
                *(other.files.delete(id) for id in ids),
                other.batches.retrieve(batch.id),
                other.batches.cancel(batch.id),
                other.batches.create(input_file_id=ids[0], endpoint=CHATS, completion_window="24h"),
            ):
                with pytest.raises(openai.NotFoundError):
                    await asked
            assert not {one.id async for one in other.files.list()} & set(ids)
            assert batch.id not in {one.id async for one in other.batches.list()}
    async with openai.AsyncOpenAI(base_url=f"{served}/v1", api_key=us.keys["administrator"]) as boss:
        assert (await boss.batches.retrieve(batch.id)).id == batch.id, "who steers the work of the tenant sees it"


async def test_the_same_by_a_tool(web: httpx2.AsyncClient, us: Company, client: openai.AsyncOpenAI) -> None:
    file = await client.files.create(file=("a.jsonl", jsonl(chat("a", "x"))), purpose="batch")
    call = {"name": "files_get", "arguments": {"file": file.id}}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
    headers = {**bearer(us.keys["member"]), "accept": "application/json, text/event-stream"}
    reply = await web.post("/mcp", json=body, headers=headers)
    assert reply.json()["result"]["structuredContent"]["filename"] == "a.jsonl"


async def test_a_provider_s_own_batch_looks_like_any_other(
    client: openai.AsyncOpenAI, served: str, web: httpx2.AsyncClient, us: Company, them: Company
) -> None:
    """By the unchanged client: a refused line in its own place, the neighbour outside, a cancel that reaches far."""
    boss = bearer(us.keys["administrator"])
    async with BatchProvider() as provider:
        provider.held = True
        spec = {"name": "nightly", "kind": "ovhcloud-batch", "url": provider.url, "local": True, "model": "scripted"}
        added = await web.post("/api/v1/models", json=spec, headers=boss)
        assert (added.status_code, added.json()["capabilities"]) == (201, ["batch.chat"]), added.text
        with pytest.raises(openai.BadRequestError, match=r"batch\.chat"):
            await client.chat.completions.create(model="nightly", messages=[{"role": "user", "content": "x"}])
        secret: Any = [{"type": "text", "text": "Tiefseewal", "x_label": {"risk": "prohibited"}}]
        lines = [chat("one", "Hello", model="nightly"), chat("no", secret, model="nightly")]
        batch = await batch_of(client, jsonl(*lines, chat("two", "Bye", model="nightly")))
        await provider.until(lambda: bool(provider.batches))
        running = await client.batches.retrieve(batch.id)
        assert running.status == "in_progress"
        assert running.request_counts is not None
        assert running.request_counts.model_dump() == {"total": 3, "completed": 0, "failed": 1}
        async with openai.AsyncOpenAI(base_url=f"{served}/v1", api_key=them.keys["member"], max_retries=0) as theirs:
            with pytest.raises(openai.NotFoundError):
                await theirs.batches.cancel(batch.id)
        provider.finish()
        done = await ended(client, batch)
        assert (done.status, done.errors) == ("completed", None)
        answers = await lines_of(client, done.output_file_id)
        assert [(one["custom_id"], one["response"]["body"]["choices"][0]["message"]["content"]) for one in answers] == [
            ("one", "You said Hello"),
            ("two", "You said Bye"),
        ]
        (refused,) = await lines_of(client, done.error_file_id)
        assert (refused["custom_id"], refused["response"]["status_code"]) == ("no", 409)
        assert b"Tiefseewal" not in provider.heard
        for one in answers:
            shown = await web.get(f"/api/v1/receipts/{one['response']['receipt']}", headers=bearer(us.keys["auditor"]))
            assert shown.json()["outcome"] == "done"
        assert done.usage is not None
        assert done.usage.total_tokens == 30

        second = await batch_of(client, jsonl(chat("three", "Hello", model="nightly")))
        await provider.until(lambda: len(provider.made) == 2)
        stopped = await client.batches.cancel(second.id)
        assert stopped.status == "cancelling"
        await provider.until(lambda: provider.batches[provider.made[1]]["status"] == "cancelling")
        provider.finish(status="cancelled", only=lambda n: False)
        assert (await ended(client, stopped)).status == "cancelled"
        await provider.until(lambda: not provider.files)
        await web.delete("/api/v1/models/nightly", headers=boss)
