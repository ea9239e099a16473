"""A key that may name some models only: whoever is asked by it is one of them, or a member of a route among them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from bastide.errors import BastideError, UnknownModel, UnknownRoute
from bastide.inference import ChatRequest, Message, ModelRoute, ModelSpec
from bastide.inference.gateway import Destined
from bastide.policy import Label
from bastide.store import Scope, new_id
from bastide.testing import Fails, Says, ScriptedModel

from .conftest import Rooms
from .test_by_file import PLAIN, body, destined, spec
from .test_gateway import ASKED, LEAST, add, call

CHAT = ChatRequest((Message("user", "When does the lease end?"),))


@pytest.fixture
def scope() -> Scope:
    allowed = frozenset({"model:use", "model:manage", "policy:read", "policy:manage", "audit:read"})
    return Scope(new_id("ten"), None, None, frozenset(), allowed, key=new_id("key"))


@pytest.fixture
async def servers(rooms: Rooms, scope: Scope) -> AsyncIterator[dict[str, ScriptedModel]]:
    """Three models `a`, `b`, `c`, and a route `writer` over the last two."""
    async with ScriptedModel(Says("by a")) as a, ScriptedModel(Says("by b")) as b, ScriptedModel(Says("by c")) as c:
        for name, server in (("a", a), ("b", b), ("c", c)):
            await add(rooms, scope, server, name, upstream=name, capabilities=("chat", "embeddings"))
        await rooms.inference.routes.add(scope, ModelRoute("writer", ("b", "c")))
        yield {"a": a, "b": b, "c": c}


def only(scope: Scope, *models: str) -> Scope:
    """The same caller with a key that may name these."""
    return replace(scope, models=models)


async def said(rooms: Rooms, scope: Scope, model: str | None = None, wire: str = "chat") -> Any:
    named = {} if model is None else {"model": model}
    asked: dict[str, Any] = {"chat": ASKED, "embeddings": {"input": "x"}}.get(wire, {"prompt": "x"})
    return await call(rooms, scope, {**asked, **named}, wire=wire)


async def test_what_is_not_listed_is_told_like_what_there_is_not(
    rooms: Rooms, scope: Scope, servers: dict[str, ScriptedModel]
) -> None:
    bound = only(scope, "a", "writer")
    assert [(await said(rooms, bound, name)).json["model"] for name in ("a", "writer")] == ["a", "b"]
    servers["b"].asked.clear()
    for wire in ("chat", "completions", "embeddings"):
        absent = await said(rooms, bound, "nobody", wire)
        alike = absent.body.decode()
        for name in ("b", "c", "local/extractive", "writers"):
            refused = await said(rooms, bound, name, wire)
            assert refused.status == absent.status == 404
            assert refused.body.decode().replace(f"'{name}'", "'nobody'").replace(f'"{name}"', '"nobody"') == alike
    assert [server.chats for server in (servers["b"], servers["c"])] == [[], []]


async def test_a_plan_of_one_key_is_none_of_another(
    rooms: Rooms, scope: Scope, servers: dict[str, ScriptedModel]
) -> None:
    """Within a tenth of a second, in which calls that are alike go by one plan."""
    bound, other = only(scope, "a"), only(scope, "b")
    for _ in range(3):
        assert [(await said(rooms, one, "b")).status for one in (scope, bound, other)] == [200, 404, 200]
        assert [(await said(rooms, one)).json["model"] for one in (bound, other)] == ["a", "b"]


async def test_a_route_that_is_listed_leads_to_its_members(
    rooms: Rooms, scope: Scope, servers: dict[str, ScriptedModel]
) -> None:
    async with ScriptedModel(Fails(503)) as broken:
        await add(rooms, scope, broken, "broken", upstream="x", capabilities=("chat",))
    await rooms.inference.routes.add(scope, ModelRoute("sure", ("broken", "c")))
    bound = only(scope, "sure")
    answer = await said(rooms, bound, "sure")
    assert (answer.status, answer.json["choices"][0]["message"]["content"]) == (200, "by c"), "and to the next one"
    assert (await said(rooms, bound, "c")).status == 404, "a member by its own name was not listed"
    assert (await said(rooms, only(scope, "a"), "writer")).status == 404


async def test_without_a_name_it_is_one_of_those(rooms: Rooms, scope: Scope, servers: dict[str, ScriptedModel]) -> None:
    assert (await said(rooms, only(scope, "c"))).json["model"] == "c"
    assert (await said(rooms, only(scope, "b*", "z"), "auto")).json["model"] == "b"
    assert (await said(rooms, only(scope, "writer"))).json["model"] == "b"
    assert (await said(rooms, only(scope, "z"))).status == 404
    assert (await said(rooms, only(scope, "writer"), wire="embeddings")).status != 404


async def test_a_refusal_offers_only_what_may_be_named(rooms: Rooms, scope: Scope) -> None:
    async with ScriptedModel(Says("x")) as server:
        await add(rooms, scope, server, "inhouse", upstream="inhouse")
        remote = ModelSpec("far", kind="openai", key="sk-1", upstream="far", provider="test/good", rank=1)
        await rooms.inference.add_model(scope, remote)
        secret = Label(cls="secret", air_gap=True)
        asked = {**ASKED, "model": "far"}
        offered = await call(rooms, only(scope, "far", "inhouse"), asked, label=secret)
        assert (offered.status, "inhouse may receive" in offered.json["error"]["next"]) == (409, True)
        bound = await call(rooms, only(scope, "far"), asked, label=secret)
        assert (bound.status, "inhouse" in bound.body.decode()) == (409, False)


async def test_the_houses_own_calls_hold_the_list(
    rooms: Rooms, scope: Scope, servers: dict[str, ScriptedModel]
) -> None:
    inference = rooms.inference
    found = await inference.generator(only(scope, "c"), LEAST)
    assert found is not None
    assert found.name == "c"
    bound = only(scope, "writer")
    by_route = await inference.generator(bound, LEAST)
    assert by_route is not None
    assert by_route.name == "writer", "the name that it may be asked by"
    reply = await inference.chat(bound, replace(CHAT, model=by_route.name), label=LEAST)
    assert (reply.text, reply.model) == ("by b", "b")
    assert await inference.generator(only(scope, "z"), LEAST) is None
    assert (await inference.chat(only(scope, "a"), CHAT, label=LEAST)).model == "a"
    with pytest.raises(UnknownModel):
        await inference.chat(bound, replace(CHAT, model="b"), label=LEAST)
    for name in ("a", "b"):
        with pytest.raises(UnknownModel):
            await inference.embed(bound, ["x"], label=LEAST, model=name)
    with pytest.raises(UnknownModel):
        await inference.rerank(bound, "x", ["y"], label=LEAST, model="local/rerank")
    with pytest.raises(UnknownModel):
        await inference.media.call(bound, "speech", {"input": "x"}, label=LEAST, model="a")
    with pytest.raises(BastideError):
        await inference.gateway.count(bound, "messages", b'{"model": "a", "messages": []}')
    assert len(servers["a"].chats) == 1


async def test_what_this_process_does_itself_is_bound_by_no_list(rooms: Rooms, scope: Scope) -> None:
    bound = only(scope, "z")
    passages = ["The lease ends on 30 June 2027."]
    reply = await rooms.inference.answer_extractively(bound, "When does the lease end?", passages, label=LEAST)
    assert reply.sentences[0].text == passages[0]
    if rooms.inference.has_embedder():
        assert (await rooms.inference.embed(bound, ["x"], label=LEAST)).model.startswith("local/")


async def test_lists_show_what_may_be_named_and_calls_of_others_see_all(
    rooms: Rooms, scope: Scope, servers: dict[str, ScriptedModel]
) -> None:
    inference, bound = rooms.inference, only(scope, "c", "local/*")
    assert (await said(rooms, bound, "c")).status == 200, "read first by who may name little"
    assert (await said(rooms, scope, "writer")).status == 200, "and whole all the same"
    names = [model.name for model in await inference.nameable(bound)]
    assert {name for name in names if not name.startswith("local/")} == {"c"}
    assert "local/extractive" in names
    assert await inference.routes.list(bound) == []
    with pytest.raises(UnknownRoute):
        await inference.routes.show(bound, "writer")
    assert [one.name for one in await inference.routes.list(only(scope, "w*"))] == ["writer"]


async def test_a_line_of_a_batch_is_no_way_round(rooms: Rooms, scope: Scope) -> None:
    await rooms.inference.add_model(scope, spec())
    assert isinstance(await destined(rooms, only(scope, "nightly"), PLAIN, body()), Destined)
    assert await destined(rooms, only(scope, "a"), PLAIN, body()) is None, "asked by itself, which says what is wrong"
