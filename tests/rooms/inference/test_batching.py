"""Many chats as one job: each with its own receipt or refusal, none asked twice when the job is tried again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.conftest import scope_of

from bastide.app import House, open_house
from bastide.errors import Forbidden, JobInputWrong
from bastide.inference import ModelSpec
from bastide.settings import Settings
from bastide.store import Scope, Store
from bastide.testing import Asked, Fails, Says, ScriptedModel
from bastide.workflows import Job, JobRecord


@pytest.fixture(scope="module")
async def house(settings: Settings, store: Store) -> AsyncIterator[House]:
    """Every room, with a worker."""
    async with open_house(settings, sequence=True, work=True) as opened:
        yield opened


def chat(text: str, **more: Any) -> dict[str, Any]:
    """One request of a batch."""
    return {"messages": [{"role": "user", "content": text}], **more}


async def batch(house: House, scope: Scope, requests: list[Any], **more: Any) -> JobRecord:
    """A batch, at its end."""
    made = await house.workflows.dispatch(scope, Job("inference.batch", {"requests": requests, **more}))
    return await house.workflows.result(scope, made.id, timeout_s=60)


async def test_the_example_works(house: House, ours: Scope) -> None:
    example = house.workflows.type("inference.batch").example
    assert example is not None
    made = await house.workflows.dispatch(ours, Job("inference.batch", example.input))
    record = await house.workflows.result(ours, made.id, timeout_s=60)
    assert record.status == "done", record.problem
    assert example.check(record.output)


async def test_each_request_has_its_answer_in_its_place(house: House, ours: Scope) -> None:
    def echo(asked: Asked) -> Says:
        return Says(f"You said {asked.body['messages'][0]['content']}")

    async with ScriptedModel(echo) as server:
        await house.inference.add_model(ours, ModelSpec("ours", server.url, local=True))
        wanted = [chat("one", custom_id="a"), {"custom_id": "b", "messages": []}, chat("three", model="nowhere")]
        record = await batch(house, ours, [*wanted, chat("four")], model="ours")
    assert record.status == "done", record.problem
    out: Any = record.output
    assert (out["answered"], out["refused"]) == (2, 2)
    first, second, third, fourth = out["results"]
    assert (first["n"], first["custom_id"], first["text"]) == (0, "a", "You said one")
    assert second["error"]["code"] == "inference.bad_chat"
    assert third["error"]["code"] == "inference.unknown_model"
    assert (fourth["text"], fourth["model"]) == ("You said four", "ours")
    assert first["receipt"] != fourth["receipt"]
    assert (await house.audit.receipt(ours, fourth["receipt"])).id == fourth["receipt"]
    assert record.spent.tokens_in > 0
    assert record.progress.done == 4


async def test_what_was_answered_is_not_asked_again(house: House, ours: Scope) -> None:
    seen: list[str] = []

    def once_away(asked: Asked) -> Says | Fails:
        text = asked.body["messages"][0]["content"]
        seen.append(text)
        return Fails(503) if text == "two" and seen.count("two") == 1 else Says(f"You said {text}")

    async with ScriptedModel(once_away) as server:
        await house.inference.add_model(ours, ModelSpec("ours", server.url, local=True))
        record = await batch(house, ours, [chat("one"), chat("two"), chat("three")], model="ours")
    assert record.status == "done", record.problem
    assert record.attempt == 2
    assert seen.count("one") == 1
    assert seen.count("two") == 2
    assert seen.count("three") == 1
    out: Any = record.output
    assert [one["text"] for one in out["results"]] == ["You said one", "You said two", "You said three"]


@pytest.mark.parametrize("requests", [[], "no list", [1], {"a": 1}])
async def test_a_batch_that_is_none(house: House, ours: Scope, requests: Any) -> None:
    if requests == []:
        record = await batch(house, ours, requests)
        assert record.problem is not None
        assert record.problem.code == "inference.bad_chat"
        return
    with pytest.raises(JobInputWrong):
        await batch(house, ours, requests)


async def test_a_neighbours_model_does_not_answer(house: House, ours: Scope, neighbour: Scope) -> None:
    async with ScriptedModel("Secret.") as server:
        await house.inference.add_model(ours, ModelSpec("ours", server.url, local=True))
        record = await batch(house, neighbour, [chat("Hello")], model="ours")
        assert server.chats == []
    out: Any = record.output
    assert out["results"][0]["error"]["code"] == "inference.unknown_model"


async def test_who_may_not_call_models_dispatches_no_batch(house: House, ours: Scope) -> None:
    reader = scope_of(ours.tenant, permissions=ours.permissions - {"model:use"})
    with pytest.raises(Forbidden):
        await house.workflows.dispatch(reader, Job("inference.batch", {"requests": [chat("Hello")]}))


async def test_catalogues_are_asked_for_as_a_job(house: House, ours: Scope) -> None:
    async with ScriptedModel(names=("one", "two")) as server, ScriptedModel(names=("three",)) as away:
        for name, place in (("one", server), ("two", server), ("three", away)):
            await house.inference.add_model(ours, ModelSpec(name, place.url, local=True, upstream=name))
        away.listed = []
        made = await house.workflows.dispatch(ours, Job("inference.sync", {"provider": "local/runtime"}))
        record = await house.workflows.result(ours, made.id, timeout_s=60)
    out: Any = record.output
    assert (record.status, out["failed"]) == ("done", 1)
    by_model = {one["model"]: one for one in out["endpoints"]}
    assert set(by_model) == {"one", "three"}, "each endpoint once"
    assert by_model["one"]["came"] == ["one", "two"]
    assert by_model["three"]["error"]["code"] == "inference.upstream_garbage"
    member = scope_of(ours.tenant, permissions=frozenset({"work:run", "model:use"}))
    with pytest.raises(Forbidden):
        await house.workflows.dispatch(member, Job("inference.sync", {}))
