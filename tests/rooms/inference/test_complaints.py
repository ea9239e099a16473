"""What users of other gateways complain of, by the numbers of their issues.

Most have their test where the thing itself is tested, with the number in its docstring; here are those that are about
several things at once.
"""

from __future__ import annotations

import asyncio
import gc
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest

from bastide.errors import Unavailable
from bastide.inference import ModelRoute, ModelSpec
from bastide.inference.gateway.attempt import Attempt
from bastide.inference.gateway.call import Running
from bastide.policy import Label
from bastide.settings import ServerSettings, Settings
from bastide.store import Scope, new_id
from bastide.tenancy import Tenancy
from bastide.testing import Fails, Raw, Says, ScriptedModel

from .accounts.test_usage import used
from .conftest import Rooms
from .test_gateway import ASKED, SAID, STOP, begin, call, chunked

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_ROLE = b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n'
BEFORE_THE_FIRST_WORD = {
    "cut": Raw(_HEAD),
    "malformed": chunked(b"data: {nonsense\n\n", STOP),
    "no event": chunked(b": alive\n\n"),
    "only an end": chunked(b"data: [DONE]\n\n"),
    "an error": chunked(b'data: {"error": {"message": "overloaded"}}\n\n'),
    "no stream": Raw(b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>"),
    "stalled": Raw(_HEAD, pause_s=60.0),
    "only its role": chunked(_ROLE),
    "its role, then an error": chunked(_ROLE, b'data: {"error": {"message": "overloaded"}}\n\n'),
}


@pytest.fixture
def chief() -> Scope:
    allowed = frozenset({"model:use", "model:manage", "policy:read", "policy:manage", "audit:read", "budget:manage"})
    return Scope(new_id("ten"), None, None, frozenset(), allowed, key=new_id("key"))


async def add(rooms: Rooms, scope: Scope, server: ScriptedModel, name: str, **more: Any) -> None:
    await rooms.inference.add_model(scope, ModelSpec(name, url=server.url, local=True, upstream="scripted", **more))


async def route(rooms: Rooms, scope: Scope, name: str, *members: str) -> None:
    await rooms.inference.routes.add(scope, ModelRoute(name, members))


@pytest.mark.parametrize("what", BEFORE_THE_FIRST_WORD)
async def test_a_stream_that_fails_before_its_first_word_is_told_by_another(
    rooms: Rooms, chief: Scope, what: str
) -> None:
    """BerriAI/litellm #40404: the fallback gets no request when a stream is cut, stalls or is malformed; #36768, #6957,
    #10972: what failed becomes status 200 and an empty end."""
    async with ScriptedModel(BEFORE_THE_FIRST_WORD[what]) as first, ScriptedModel("Here.") as second:
        await add(rooms, chief, first, "first")
        await add(rooms, chief, second, "second")
        await route(rooms, chief, "writer", "first", "second")
        taken = await call(rooms, chief, {**ASKED, "model": "writer", "stream": True})
        assert (taken.status, taken.text, taken.events[-1]) == (200, "Here.", "[DONE]")
        assert (len(first.chats), len(second.chats)) == (1, 1)
        if what == "stalled":  # it would be waited for again
            return
        alone = await call(rooms, chief, {**ASKED, "model": "first", "stream": True})
        if "role" in what:  # nobody else can answer: it is passed on at once
            assert (alone.status, b"overloaded" in alone.body or b"broke off" in alone.body) == (200, True)
        else:
            assert alone.status == 502
            assert alone.json["error"]["next"]
        asked = {**ASKED, "model": "writer", "stream": True, "max_tokens": 9}
        other = await call(rooms, chief, asked, wire="messages")
        assert other.status == 200
        assert b"Here." in other.body, "translated as well"


@pytest.mark.parametrize("what", ["cut", "only its role", "an error"])
async def test_who_answers_instead_is_who_has_answered(rooms: Rooms, chief: Scope, what: str) -> None:
    """#40404 as well: the answer that was told in the place of another is read, paused and accounted for as its own."""
    whole = b'{"choices":[{"index":0,"message":{"role":"assistant","content":"Whole."},"finish_reason":"stop"}]}'
    raw = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(whole), whole)
    async with ScriptedModel(BEFORE_THE_FIRST_WORD[what]) as first, ScriptedModel(Raw(raw)) as second:
        await add(rooms, chief, first, "first")
        await add(rooms, chief, second, "second")
        await route(rooms, chief, "writer", "first", "second")
        taken = await call(rooms, chief, {**ASKED, "model": "writer", "stream": True})
        assert (taken.status, taken.text, taken.events[-1]) == (200, "Whole.", "[DONE]")
        receipt = await rooms.audit.receipt(chief, taken.headers["x-bastide-receipt"])
        place = receipt.body["endpoint"]
        assert isinstance(place, dict)
        found = await used(rooms, chief, by="endpoint")
    assert [name for name, one in found.items() if one.calls] == [place["id"]]


async def test_a_server_that_thinks_long_and_shows_that_it_lives_is_told_on(rooms: Rooms, chief: Scope) -> None:
    """Whoever stands between would hang up on a line that is silent for a minute."""
    alive = [b": alive\n\n"] * 6
    async with ScriptedModel(chunked(*alive, SAID, STOP)) as server:
        await add(rooms, chief, server, "ours")
        taken = await call(rooms, chief, {**ASKED, "model": "ours", "stream": True})
    assert taken.text == "In"
    assert taken.body.count(b": alive") == 2
    assert taken.events[-1] == "[DONE]"


async def test_what_was_seen_is_paid_for_whoever_broke_off(rooms: Rooms, chief: Scope) -> None:
    """BerriAI/litellm #14457: spend is lost when the client leaves; #30667: nothing is noted of a stream that failed in
    the middle; maximhq/bifrost #3357: cancelled streams are not billed."""
    await rooms.inference.accounts.set_budget(chief, of="tenant", tokens=100_000)
    words = Says("one two three four five six seven eight", pause_s=0.05)
    async with ScriptedModel(words) as slow, ScriptedModel(chunked(SAID, SAID, end=False)) as broken:
        await add(rooms, chief, slow, "left")
        await add(rooms, chief, broken, "broke")
        taken, running = begin(rooms, chief, {**ASKED, "model": "left", "stream": True})
        await taken.begun.wait()
        running.cancel()
        await call(rooms, chief, {**ASKED, "model": "broke", "stream": True})
    found = await used(rooms, chief)
    for name in ("left", "broke"):
        assert (found[name].calls, found[name].estimated) == (1, 1)
        assert found[name].tokens_in >= 1
        assert found[name].tokens_out >= 1
    (budget,) = await rooms.inference.accounts.budgets(chief)
    assert budget.spent_tokens == sum(one.tokens_in + one.tokens_out for one in found.values())


async def test_nothing_of_a_call_is_left_however_it_ended(rooms: Rooms, chief: Scope) -> None:
    """BerriAI/litellm #12685, #15128, #27954, #38193, #25219: memory grows with the calls; workers are recycled."""
    async with ScriptedModel(Says("one two three")) as whole, ScriptedModel(Fails(500)) as failing:
        await add(rooms, chief, whole, "whole")
        await add(rooms, chief, failing, "failing")
        await add(rooms, chief, whole, "slow")
        await route(rooms, chief, "both", "failing", "whole")

        async def round_of_calls() -> None:
            for name in ("whole", "failing", "both", "nobody"):
                for stream in (False, True):
                    await call(rooms, chief, {**ASKED, "model": name, "stream": stream})
            _, running = begin(rooms, chief, {**ASKED, "model": "slow", "stream": True})
            running.cancel()
            await call(rooms, chief, b"{")

        for _ in range(20):
            await round_of_calls()
    await asyncio.sleep(0)
    gc.collect()
    assert [one for one in gc.get_objects() if isinstance(one, Running | Attempt)] == []


async def test_calls_go_on_while_every_connection_of_the_database_is_taken(
    rooms: Rooms, chief: Scope, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """BerriAI/litellm #34479, #18708: all keys are refused with 401 when the connections to PostgreSQL are used up."""
    monkeypatch.setattr("bastide.store.store._REVIVE_S", 1.0)  # what a connection is waited for
    async with ScriptedModel("Here.") as server, AsyncExitStack() as taken:
        await add(rooms, chief, server, "ours")
        assert (await call(rooms, chief, {**ASKED, "model": "ours"})).status == 200
        for _ in range(settings.store.pool_size_max):
            await taken.enter_async_context(rooms.store.under(chief))
        stranger = asyncio.create_task(Tenancy(rooms.store, rooms.audit).authenticate("bst_" + "0" * 64))
        for _ in range(20):
            assert (await call(rooms, chief, {**ASKED, "model": "ours"})).status == 200
        with pytest.raises(Unavailable):  # that nobody could look is not that nobody knows
            await stranger
    assert len(server.chats) == 21


async def test_the_place_that_answers_is_judged_and_not_the_name_that_was_asked_for(rooms: Rooms, chief: Scope) -> None:
    """api7/aisix #766, BerriAI/litellm #3524: region is a tag that callers assert, rules look at the requested name,
    and where nothing fits, something else answers silently. vercel/ai #10157, vippsas/manifold #739: a bound that
    holds."""
    async with ScriptedModel("Here.") as server:
        await add(rooms, chief, server, "ours")
        await add(rooms, chief, server, "fr-sovereign")
        await route(rooms, chief, "eu-only", "fr-sovereign", "ours")
        nowhere = Label(zone=frozenset({"DE"}), min_ual=4)
        body = {**ASKED, "model": "eu-only", "metadata": {"tags": ["eu"]}, "region": "eu", "allowed_model_region": "eu"}
        refused = await call(rooms, chief, body, label=nowhere)
        assert (refused.status, refused.json["error"]["code"]) == (409, "inference.no_permitted_model")
        assert {one["endpoint"] for one in refused.json["error"]["rejected"]} == {"local/runtime/scripted"}
        assert server.chats == [], "no fallback outside what is allowed, and no word of the caller's changes that"
        answered = await call(rooms, chief, body)
        receipt = await rooms.audit.receipt(chief, answered.headers["x-bastide-receipt"])
        assert receipt.body["endpoint"]["id"] == "local/runtime/scripted"  # type: ignore[call-overload, index]


async def test_each_of_many_tenants_has_routes_of_its_own(rooms: Rooms, chief: Scope) -> None:
    """envoyproxy/ai-gateway PR #2349: routing plans of their own for thousands of tenants."""
    tenants = [replace(chief, tenant=new_id("ten"), key=new_id("key")) for _ in range(40)]
    async with ScriptedModel(lambda asked: Says(asked.body["model"])) as server:
        for number, scope in enumerate(tenants):
            await rooms.inference.add_model(
                scope, ModelSpec("ours", url=server.url, local=True, upstream=f"upstream-{number}")
            )
            await route(rooms, scope, "assistant", "ours")
        answers = await asyncio.gather(*(call(rooms, scope, {**ASKED, "model": "assistant"}) for scope in tenants))
        assert [one.status for one in answers] == [200] * len(tenants), [one.json for one in answers]
        assert [one.json["choices"][0]["message"]["content"] for one in answers] == [
            f"upstream-{number}" for number in range(len(tenants))
        ]
        assert (await call(rooms, chief, {**ASKED, "model": "assistant"})).status == 404


def test_nobody_but_this_machine_is_answered_unless_that_is_said() -> None:
    """Portkey-AI/gateway 1.15.2 listens on all interfaces by default."""
    assert ServerSettings().host == "127.0.0.1"
