"""Pacing: never more requests in any minute than an endpoint allows, whatever comes, and a pool of keys as one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.rooms.egress.conftest import Authority

from bastide.errors import UpstreamPaced
from bastide.inference import ChatRequest, ModelRoute, ModelSpec
from bastide.inference.pacing import Pace
from bastide.policy import Label
from bastide.store import Scope, new_id
from bastide.testing import Fails, ScriptedModel

from .conftest import Rooms
from .test_catalogue import HOST, OVH, PUBLIC
from .test_gateway import ASKED, add, call
from .test_inference import remote


@pytest.fixture
def scope() -> Scope:
    allowed = frozenset({"model:use", "model:manage", "policy:read", "policy:manage", "audit:read"})
    return Scope(new_id("ten"), None, None, frozenset(), allowed, key=new_id("key"))


@given(
    rate=st.integers(1, 12),
    steps=st.lists(st.floats(0, 40, allow_nan=False), max_size=80),
    held=st.none() | st.tuples(st.integers(0, 79), st.floats(0, 90)),
)
def test_law_no_minute_has_more_than_its_rate(rate: int, steps: list[float], held: tuple[int, float] | None) -> None:
    pace, now, went = Pace(rate), 100.0, list[float]()
    for number, step in enumerate(steps):
        now += step
        if held is not None and held[0] == number:
            pace.hold(held[1], now)
        wait = pace.take(now)
        if wait == 0:
            went.append(now)
        else:
            assert pace.wait_s(now) == wait
            assert Pace.wait_s(pace, now + wait + 1e-6) == 0, "after the wait it may go"
    for moment in went:
        assert sum(moment <= other < moment + 60 for other in went) <= rate


def test_a_rate_is_used_up_before_anybody_waits() -> None:
    pace = Pace(400)
    assert [pace.take(10.0) for _ in range(400)] == [0.0] * 400
    assert pace.take(10.0) == 60.0
    assert pace.take(70.0) == 0.0


async def test_an_endpoint_that_is_full_says_when_to_come_back(rooms: Rooms, scope: Scope) -> None:
    async with ScriptedModel("Here.") as server:
        await add(rooms, scope, server, requests_per_minute=2)
        for status in (200, 200, 429, 429):
            taken = await call(rooms, scope, {**ASKED, "model": "ours"})
            assert taken.status == status
        assert taken.json["error"]["code"] == "inference.upstream_paced"
        assert 0 < int(taken.headers["retry-after"]) <= 60
        await add(rooms, scope, server, "again", requests_per_minute=2)
        assert (await call(rooms, scope, {**ASKED, "model": "again"})).status == 429, "the same key and model"
        await add(rooms, scope, server, "other", requests_per_minute=2, key="sk-other")
        assert (await call(rooms, scope, {**ASKED, "model": "other"})).status == 200
    assert len(server.chats) == 3


async def test_several_keys_are_a_pool(rooms: Rooms, scope: Scope) -> None:
    async with ScriptedModel("Here.") as server:
        for number in range(3):
            await add(rooms, scope, server, f"key{number}", requests_per_minute=2, key=f"sk-{number}")
        await rooms.inference.routes.add(scope, ModelRoute("pool", ("key0", "key1", "key2")))
        taken = [await call(rooms, scope, {**ASKED, "model": "pool"}) for _ in range(8)]
    assert [one.status for one in taken] == [200] * 6 + [429] * 2
    keys = [one.headers["authorization"] for one in server.chats]
    assert keys == [f"Bearer sk-{number}" for number in (0, 0, 1, 1, 2, 2)]
    receipts = [await rooms.audit.receipt(scope, one.headers["x-bastide-receipt"]) for one in taken[:6]]
    assert [one.body["model"] for one in receipts] == ["key0", "key0", "key1", "key1", "key2", "key2"]


@pytest.mark.parametrize("wait", ["30", None], ids=["seconds", "a date"])
async def test_a_server_that_asks_to_wait_is_not_asked_until_then(rooms: Rooms, scope: Scope, wait: str | None) -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    async with (
        ScriptedModel(Fails(429, headers={"retry-after": wait or later})) as busy,
        ScriptedModel("Here.") as other,
    ):
        await add(rooms, scope, busy, "busy")
        await add(rooms, scope, other, "other")
        await rooms.inference.routes.add(scope, ModelRoute("both", ("busy", "other")))
        for _ in range(3):
            assert (await call(rooms, scope, {**ASKED, "model": "both"})).status == 200
        alone = await call(rooms, scope, {**ASKED, "model": "busy"})
    assert (len(busy.chats), len(other.chats)) == (1, 3)
    assert alone.status == 429
    assert 15 <= int(alone.headers["retry-after"]) <= 30


async def test_a_body_that_is_too_large_goes_where_it_may(rooms: Rooms, scope: Scope, authority: Authority) -> None:
    async with remote(rooms, authority, HOST) as ovh, ScriptedModel("Here.") as ours:
        spec = ModelSpec("ovh", kind="ovhcloud", provider=OVH, upstream="scripted")
        await rooms.inference.add_model(scope, spec)
        await add(rooms, scope, ours)
        await rooms.inference.routes.add(scope, ModelRoute("both", ("ovh", "ours")))
        large = {"messages": [{"role": "user", "content": "x" * 2_100_000}]}
        refused = await call(rooms, scope, {**large, "model": "ovh"}, label=PUBLIC)
        assert (refused.status, refused.json["error"]["code"]) == (413, "inference.upstream_too_large"), refused.json
        assert (await call(rooms, scope, {**large, "model": "both"}, label=PUBLIC)).status == 200
        assert (len(ovh.chats), len(ours.chats)) == (0, 1)
        spaces = b'{"model": "both", "messages": [{"role": "user", "content": "x"}]' + b" " * 2_100_000 + b"}"
        assert (await call(rooms, scope, spaces, label=PUBLIC)).status == 200
        assert len(ovh.chats) == 1, "what is sent counts, not how it came"


async def test_the_rate_of_a_record_holds_where_none_is_said(rooms: Rooms, scope: Scope) -> None:
    spec = ModelSpec("o", kind="ovhcloud", provider="ovhcloud/ai-endpoints/gra", upstream="gpt-oss-120b")
    await rooms.inference.add_model(scope, spec)
    view = await rooms.inference.gateway.fetch(scope)
    (target,) = view.group("chat", "o").targets
    assert (target.pace.per_minute, target.body_bytes_max) == (400, 2_000_000)


async def test_calls_of_the_house_itself_wait_their_turn_or_say_when(rooms: Rooms, scope: Scope) -> None:
    async with ScriptedModel("Here.") as server:
        await add(rooms, scope, server, requests_per_minute=2)
        asked = ChatRequest.from_wire({**ASKED, "model": "ours"})
        await rooms.inference.chat(scope, asked, label=Label())
        assert (await call(rooms, scope, {**ASKED, "model": "ours"})).status == 200
        with pytest.raises(UpstreamPaced) as full:
            await rooms.inference.chat(scope, asked, label=Label())
        assert (await call(rooms, scope, {**ASKED, "model": "ours"})).status == 429, "one pace, however it is asked"
    wait = full.value.facts["retry_after_s"]
    assert isinstance(wait, int)
    assert 0 < wait <= 60
    assert len(server.chats) == 2


async def test_a_short_wait_is_waited_for(rooms: Rooms, scope: Scope) -> None:
    async with ScriptedModel(Fails(429, headers={"retry-after": "1"}), "Here.") as server:
        await add(rooms, scope, server)
        assert (await call(rooms, scope, {**ASKED, "model": "ours"})).status == 429
        asked = ChatRequest.from_wire({**ASKED, "model": "ours"})
        assert (await rooms.inference.chat(scope, asked, label=Label())).text == "Here."
