"""Routes: one name for several models, through policy, egress and the journal, against real servers on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from tests.rooms.egress.conftest import Authority

from bastide.audit import Event
from bastide.errors import (
    BadRoute,
    BastideError,
    Forbidden,
    ModelExists,
    UnknownRoute,
    UpstreamBusy,
    UpstreamFailed,
    UpstreamPaced,
)
from bastide.inference import ModelRoute, ModelSpec
from bastide.inference.gateway.holding import worth_telling
from bastide.policy import Label
from bastide.store import Scope, new_id
from bastide.testing import Asked, Fails, Says, ScriptedModel

from .conftest import Rooms
from .test_gateway import ASKED, SAID, STOP, add, call, chunked
from .test_inference import remote

CONFIDENTIAL = Label(cls="confidential", personal="personal")
AWAY = "http://127.0.0.1:1/v1"


@pytest.fixture
def scope() -> Scope:
    allowed = frozenset({"model:use", "model:manage", "policy:read", "policy:manage", "audit:read"})
    return Scope(new_id("ten"), None, None, frozenset(), allowed, key=new_id("key"))


async def route(rooms: Rooms, scope: Scope, *members: str, name: str = "writer", **more: Any) -> None:
    await rooms.inference.routes.add(scope, ModelRoute(name, members, **more))


async def recorded(rooms: Rooms, scope: Scope, count: int, act: str = "inference") -> list[Event]:
    """What is on record, oldest first, once there is so much."""
    async with asyncio.timeout(60):
        while True:
            found = [one for one in (await rooms.audit.events(scope)).items if one.act == act]
            if len(found) >= count:
                return found[::-1]
            await asyncio.sleep(0.03)


# -- making them ------------------------------------------------------------------------------------


async def test_a_route_is_made_listed_shown_and_removed(rooms: Rooms, scope: Scope, neighbour: Scope) -> None:
    routes = rooms.inference.routes
    for name in ("a", "b"):
        await rooms.inference.add_model(scope, ModelSpec(name, url=AWAY, local=True, upstream=name))
    made = await routes.add(scope, ModelRoute("writer", ("b", "a"), "price", 250))
    assert (made.members, made.order, made.hedge_ms) == (("b", "a"), "price", 250)
    assert made.created is not None
    await routes.add(scope, ModelRoute("all", ("writer", "local/extractive")))
    assert [one.name for one in await routes.list(scope)] == ["all", "writer"]
    assert await routes.show(scope, "writer") == made
    assert await routes.members(scope, "all") == ("b", "a", "local/extractive")
    theirs = Scope(neighbour.tenant, None, None, frozenset(), frozenset({"model:use", "model:manage"}))
    assert await routes.list(theirs) == []
    assert (await call(rooms, theirs, {**ASKED, "model": "writer"})).status == 404
    for wrong in (routes.show, routes.remove):
        with pytest.raises(UnknownRoute):
            await wrong(theirs, "writer")
    with pytest.raises(BadRoute, match="no model or route"):
        await routes.add(theirs, ModelRoute("mine", ("a",)))
    await routes.remove(scope, "writer")
    assert await routes.members(scope, "all") == ("writer", "local/extractive"), "what is gone is passed over"
    with pytest.raises(UnknownRoute):
        await routes.remove(scope, "writer")
    assert [one.resource for one in await recorded(rooms, scope, 2, "route.add")] == ["writer", "all"]
    assert [one.resource for one in await recorded(rooms, scope, 1, "route.remove")] == ["writer"]


async def test_who_may_not_manage_models_makes_no_route(rooms: Rooms, scope: Scope) -> None:
    reader = Scope(scope.tenant, None, None, frozenset(), frozenset({"model:use"}))
    with pytest.raises(Forbidden):
        await rooms.inference.routes.add(reader, ModelRoute("x", ("local/extractive",)))
    with pytest.raises(Forbidden):
        await rooms.inference.routes.remove(reader, "x")


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        (ModelRoute("x", ()), BadRoute),
        (ModelRoute("x", ("a", "a")), BadRoute),
        (ModelRoute("x", ("a", "nothing")), BadRoute),
        (ModelRoute("x", ("x",)), BadRoute),
        (ModelRoute("auto", ("a",)), BadRoute),
        (ModelRoute("local/x", ("a",)), BadRoute),
        (ModelRoute("x y", ("a",)), BadRoute),
        (ModelRoute("x" * 129, ("a",)), BadRoute),
        (ModelRoute("x", ("a",), "dearest"), BadRoute),
        (ModelRoute("x", ("a",), hedge_ms=0), BadRoute),
        (ModelRoute("x", tuple(f"m{n}" for n in range(33))), BadRoute),
        (ModelRoute("a", ("local/extractive",)), ModelExists),
        (ModelRoute("r", ("a",)), ModelExists),
        (ModelRoute("first", ("second",)), BadRoute),
    ],
)
async def test_a_route_that_cannot_be(rooms: Rooms, scope: Scope, wrong: ModelRoute, kind: type[BastideError]) -> None:
    routes = rooms.inference.routes
    await rooms.inference.add_model(scope, ModelSpec("a", url=AWAY, local=True, upstream="a"))
    await route(rooms, scope, "a", name="r")
    for name, members in (("first", ("a",)), ("second", ("first",))):
        await route(rooms, scope, *members, name=name)
    await routes.remove(scope, "first")  # made again over `second`, it would lead to itself
    before = await routes.list(scope)
    with pytest.raises(kind):
        await routes.add(scope, wrong)
    assert await routes.list(scope) == before
    with pytest.raises(ModelExists):
        await rooms.inference.add_model(scope, ModelSpec("r", url=AWAY, local=True))
    with pytest.raises(ModelExists) as there:
        await routes.add(scope, ModelRoute("r", ("a",)))
    assert "bastide route remove r" in there.value.next_step


# -- asking by them ---------------------------------------------------------------------------------


async def test_the_next_member_answers_when_the_first_fails(rooms: Rooms, scope: Scope) -> None:
    async with ScriptedModel(Fails(500)) as broken, ScriptedModel("Here.") as whole:
        await add(rooms, scope, broken, "broken")
        await add(rooms, scope, whole, "whole")
        await route(rooms, scope, "broken", "whole")
        taken = await call(rooms, scope, {**ASKED, "model": "writer"})
        assert taken.json["choices"][0]["message"]["content"] == "Here."
        failed, done = await recorded(rooms, scope, 2)
        assert [one.outcome for one in (failed, done)] == ["failed", "done"]
        receipt = await rooms.audit.receipt(scope, taken.headers["x-bastide-receipt"])
        assert receipt.body["model"] == "whole"
        decision: Any = receipt.body["decision"]
        assert (decision["attempt"], decision["rejected"]) == ("fallback", [])
        first: Any = (await rooms.audit.receipt(scope, failed.id)).body
        assert decision["original"] == first["endpoint"]["id"], "it says whom it stands for"
        assert "attempt" not in first["decision"]
        assert (await call(rooms, scope, {**ASKED, "model": "writer"})).status == 200
        assert (len(broken.chats), len(whole.chats)) == (1, 2), "what failed is asked last for a while"


async def test_a_member_that_policy_refuses_is_never_asked(rooms: Rooms, scope: Scope, authority: Authority) -> None:
    """api7/aisix #766: a fallback goes where nobody allowed it."""
    async with (
        remote(rooms, authority, "api.foreign.example") as far,
        ScriptedModel(Fails(500)) as broken,
        ScriptedModel(Fails(503)) as other,
    ):
        await rooms.inference.add_model(scope, ModelSpec("far", provider="test/foreign", upstream="scripted"))
        await add(rooms, scope, broken, "broken")
        await add(rooms, scope, other, "other")
        await route(rooms, scope, "far", "broken", "other")
        assert (await call(rooms, scope, {**ASKED, "model": "writer"})).status == 200
        assert len(far.chats) == 1
        taken = await call(rooms, scope, {**ASKED, "model": "writer"}, label=CONFIDENTIAL)
        assert len(far.chats) == 1, "however the others fail"
        assert (len(broken.chats), len(other.chats)) == (1, 1)
        assert (taken.status, taken.json["error"]["code"]) == (502, "inference.upstream_failed")
        assert "503" in taken.json["error"]["message"], "the last fault is told"
        receipt = await rooms.audit.receipt(scope, taken.headers["x-bastide-receipt"])
        assert (receipt.body["model"], receipt.body["outcome"]) == ("other", "failed")
        (refused,) = receipt.body["decision"]["rejected"]  # type: ignore[call-overload, index]
        assert (refused["endpoint"], refused["rules"]) == ("test/foreign/scripted", ["R05"])
        await route(rooms, scope, "far", name="only")
        alone = await call(rooms, scope, {**ASKED, "model": "only"}, label=CONFIDENTIAL)
        assert (alone.status, alone.json["error"]["code"]) == (409, "inference.no_permitted_model")
        assert len(far.chats) == 1


@pytest.mark.parametrize("status", [400, 422])
async def test_a_request_that_is_wrong_is_not_tried_elsewhere(rooms: Rooms, scope: Scope, status: int) -> None:
    async with ScriptedModel(Fails(status)) as first, ScriptedModel("Here.") as second:
        await add(rooms, scope, first, "first")
        await add(rooms, scope, second, "second")
        await route(rooms, scope, "first", "second")
        taken = await call(rooms, scope, {**ASKED, "model": "writer"})
    assert (taken.status, taken.json["error"]["code"]) == (400, "inference.upstream_refused")
    assert not second.chats


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        (Fails(400, "This model's maximum context length is 4096 tokens."), 400, "inference.context_exceeded"),
        (Fails(400, "prompt is too long: 208310 tokens > 200000 maximum"), 400, "inference.context_exceeded"),
        (Fails(400, "the request exceeds the available context size"), 400, "inference.context_exceeded"),
        (Fails(413, "too large"), 413, "inference.upstream_too_large"),
        (Fails(402, "no credit"), 502, "inference.upstream_failed"),
        (Fails(408, "too late"), 502, "inference.upstream_failed"),
    ],
    ids=["OpenAI", "Anthropic", "llama.cpp", "size", "credit", "time"],
)
async def test_what_only_this_server_cannot_do_goes_to_the_next(
    rooms: Rooms, scope: Scope, answer: Fails, status: int, code: str
) -> None:
    async with ScriptedModel(answer) as first, ScriptedModel("Here.") as second:
        await add(rooms, scope, first, "first")
        await add(rooms, scope, second, "second")
        await route(rooms, scope, "first", "second")
        taken = await call(rooms, scope, {**ASKED, "model": "writer"})
        assert (taken.status, len(first.chats)) == (200, 1)
        assert taken.json["choices"][0]["message"]["content"] == "Here."
        alone = await call(rooms, scope, {**ASKED, "model": "first"})
        assert (alone.status, alone.json["error"]["code"]) == (status, code)
        assert ("context_length_exceeded" in alone.body.decode()) is (code == "inference.context_exceeded")


async def test_the_fastest_goes_first_once_it_is_known(rooms: Rooms, scope: Scope) -> None:
    async with ScriptedModel(Says("Slowly.", pause_s=0.2)) as slow, ScriptedModel("At once.") as fast:
        await add(rooms, scope, slow, "slow")
        await add(rooms, scope, fast, "fast")
        await route(rooms, scope, "slow", "fast", order="latency")
        for _ in range(4):
            assert (await call(rooms, scope, {**ASKED, "model": "writer"})).status == 200
    assert (len(slow.chats), len(fast.chats)) == (1, 3)


async def test_a_second_is_asked_when_the_first_is_slow_and_both_are_on_record(rooms: Rooms, scope: Scope) -> None:
    async with ScriptedModel(Says("Late.", pause_s=5.0)) as slow, ScriptedModel("Soon.") as fast:
        await add(rooms, scope, slow, "slow")
        await add(rooms, scope, fast, "fast")
        await route(rooms, scope, "slow", "fast", hedge_ms=60)
        taken = await call(rooms, scope, {**ASKED, "model": "writer"})
        assert taken.json["choices"][0]["message"]["content"] == "Soon."
        found = {one.resource: one.outcome for one in await recorded(rooms, scope, 2)}
        assert found == {"slow": "aborted", "fast": "done"}
        receipt = await rooms.audit.receipt(scope, taken.headers["x-bastide-receipt"])
        assert (receipt.body["model"], receipt.body["outcome"]) == ("fast", "done")
        assert receipt.body["decision"]["attempt"] == "hedge"  # type: ignore[call-overload, index]
        swift = await call(rooms, scope, {**ASKED, "model": "fast"})
        assert swift.status == 200
    assert (len(slow.chats), len(fast.chats)) == (1, 2)


async def test_a_hedge_that_cannot_be_sent_leaves_the_first_alone(rooms: Rooms, scope: Scope) -> None:
    async with ScriptedModel(Says("Late.", pause_s=0.4)) as slow, ScriptedModel(Fails(500)) as broken:
        await add(rooms, scope, slow, "slow")
        await add(rooms, scope, broken, "broken")
        await add(rooms, scope, broken, "paced", requests_per_minute=1, upstream="scripted2")
        await call(rooms, scope, {**ASKED, "model": "paced"})
        await route(rooms, scope, "slow", "broken", name="one", hedge_ms=40)
        await route(rooms, scope, "slow", "paced", name="two", hedge_ms=40)
        for name in ("one", "two"):
            taken = await call(rooms, scope, {**ASKED, "model": name})
            assert taken.json["choices"][0]["message"]["content"] == "Late."
    assert len(broken.chats) == 2, "the one that waits for its minute was not asked again"


class Hasty(ScriptedModel):
    """Answers once on each connection; the next request on it finds that it has just been closed."""

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._exchange(reader, writer)
        await reader.readuntil(b"\r\n\r\n")
        self.closed_early += 1
        writer.close()


async def test_a_kept_connection_that_was_just_closed_is_made_anew(rooms: Rooms, scope: Scope) -> None:
    async with Hasty("Here.") as server, ScriptedModel("Not here.") as other:
        await add(rooms, scope, server, "hasty")
        await add(rooms, scope, other, "other")
        await route(rooms, scope, "hasty", "other")
        for _ in range(3):
            taken = await call(rooms, scope, {**ASKED, "model": "writer"})
            assert taken.json["choices"][0]["message"]["content"] == "Here."
    assert server.closed_early == 2, "a request met a closed connection, and was sent again to the same server"
    assert not other.chats


async def test_a_stream_that_broke_is_not_told_by_another(rooms: Rooms, scope: Scope) -> None:
    """BerriAI/litellm #19077: a stream that has begun is told on by another model."""
    async with ScriptedModel(chunked(SAID)) as broken, ScriptedModel("Here.") as whole:
        await add(rooms, scope, broken, "broken")
        await add(rooms, scope, whole, "whole")
        await route(rooms, scope, "broken", "whole")
        taken = await call(rooms, scope, {**ASKED, "model": "writer", "stream": True})
    assert taken.text == "In"
    assert taken.events[-1]["error"]["code"] == "inference.stream_broken"
    assert not whole.chats


async def test_a_stream_that_fails_before_its_first_event_goes_elsewhere(rooms: Rooms, scope: Scope) -> None:
    async with ScriptedModel(chunked(b"data: [1]\n\n")) as broken, ScriptedModel(chunked(SAID, STOP)) as whole:
        await add(rooms, scope, broken, "broken")
        await add(rooms, scope, whole, "whole")
        await route(rooms, scope, "broken", "whole")
        taken = await call(rooms, scope, {**ASKED, "model": "writer", "stream": True})
    assert (taken.status, taken.text) == (200, "In")


def test_of_several_waits_the_shortest_is_told() -> None:
    day, soon = UpstreamBusy(retry_after_s=86_400), UpstreamBusy(retry_after_s=5)
    paced, silent, failed = UpstreamPaced(retry_after_s=2), UpstreamBusy(), UpstreamFailed()
    assert worth_telling(None, day) is day
    assert worth_telling(day, soon) is worth_telling(soon, day) is soon
    assert worth_telling(day, paced) is worth_telling(paced, day) is paced
    assert worth_telling(silent, paced) is silent, "what a server said, where nobody says how long"
    assert worth_telling(day, silent) is silent
    assert worth_telling(failed, paced) is failed
    assert worth_telling(paced, failed) is failed


async def test_every_member_that_may_is_tried_and_the_last_fault_told(rooms: Rooms, scope: Scope) -> None:
    answers: list[Callable[[Asked], Fails]] = [lambda _, n=n: Fails(500 + n) for n in range(3)]  # type: ignore[misc]
    servers = [ScriptedModel(one) for one in answers]
    for number, server in enumerate(servers):
        await server.__aenter__()
        await add(rooms, scope, server, f"m{number}")
    await route(rooms, scope, "m0", "m1", "m2")
    taken = await call(rooms, scope, {**ASKED, "model": "writer"})
    for server in servers:
        await server.__aexit__(None, None, None)
    assert "(502)" in taken.json["error"]["message"]
    assert [one.resource for one in await recorded(rooms, scope, 3)] == ["m0", "m1", "m2"]
    assert taken.headers["x-bastide-receipt"]
