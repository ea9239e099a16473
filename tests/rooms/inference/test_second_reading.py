"""What a second reader of the gateway found: each of these went wrong once."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from typing import Any, cast

import pytest

from bastide.errors import (
    AddressRefused,
    AirGapClosed,
    BastideError,
    PermitRefused,
    RateLimited,
    RedirectRefused,
    UpstreamBusy,
)
from bastide.inference import ModelSpec, refusal
from bastide.inference.gateway import Here
from bastide.inference.gateway import call as calling
from bastide.inference.gateway.asking import read
from bastide.inference.gateway.here import Models
from bastide.inference.gateway.holding import another_may_answer, asks_to_wait
from bastide.inference.gateway.ranking import best_first
from bastide.inference.gateway.targets import Group, Target
from bastide.inference.upstream_faults import fault_of
from bastide.inference.values import ChatPiece, ChatRequest, Model
from bastide.policy import Decision, Endpoint, Label, Price
from bastide.store import Scope
from bastide.testing import Fails, Raw, Says, ScriptedModel, Tells

from .conftest import Rooms
from .test_gateway import ASKED, Taken, add, begin, call, scope
from .test_routes import recorded, route

__all__ = ["scope"]

LEASE = [{"role": "system", "content": "The lease ends in June."}, *ASKED["messages"]]
MOVED = Raw(b"HTTP/1.1 302 Found\r\nLocation: https://status.example/\r\nContent-Length: 0\r\n\r\n")


# -- who leaves -------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
async def test_who_leaves_stops_a_model_of_this_process_and_hears_no_more_of_it(
    rooms: Rooms, scope: Scope, stream: bool
) -> None:
    taken, running = begin(rooms, scope, {"messages": LEASE, "model": "local/extractive", "stream": stream})
    async with asyncio.timeout(60):
        while running._task is None or not running._over:  # it has come to that model
            await asyncio.sleep(0)
    running.cancel()
    async with asyncio.timeout(60):
        await asyncio.wait([running._task])
    assert running._task.cancelled()
    assert not taken.begun.is_set(), "nothing comes after a cancel"


class Breaks:
    """Models of which one breaks in the middle of its answer, in a way that nobody thought of."""

    async def stream_chat(self, scope: Scope, request: ChatRequest, *, label: Label) -> AsyncGenerator[ChatPiece]:
        yield ChatPiece("In", "local/extractive", "rcp_x", {"choices": [{"index": 0, "delta": {"content": "In"}}]}, "")
        raise ZeroDivisionError


async def test_a_model_of_this_process_that_breaks_in_its_stream_says_so_in_the_stream(scope: Scope) -> None:
    here, taken = Here(cast(Models, Breaks())), Taken()
    asking = read("chat", b'{"messages": [{"role": "user", "content": "x"}], "stream": true}')
    target: Any = type("Extractive", (), {"model": type("Named", (), {"name": "local/extractive"})})
    await here(scope, Label(), asking, target, taken, "req_x")
    assert (taken.status, taken.ended.is_set()) == (200, True)
    assert taken.events[-1]["error"]["code"] == "request.broken"


# -- who stands in for whom -------------------------------------------------------------------------


async def test_a_server_that_redirects_is_stood_in_for(rooms: Rooms, scope: Scope) -> None:
    """A provider that is down sends its callers to a page about that."""
    async with ScriptedModel(MOVED) as moved, ScriptedModel("Here.") as whole:
        await add(rooms, scope, moved, "moved")
        await add(rooms, scope, whole, "whole")
        await route(rooms, scope, "moved", "whole")
        taken = await call(rooms, scope, {**ASKED, "model": "writer"})
        assert taken.json["choices"][0]["message"]["content"] == "Here."
        alone = await call(rooms, scope, {**ASKED, "model": "moved"})
        assert (alone.status, alone.json["error"]["code"]) == (502, "egress.redirect_refused")


@pytest.mark.parametrize("fault", [AddressRefused(), AirGapClosed(), PermitRefused(), RedirectRefused()])
def test_a_way_that_is_closed_to_one_server_is_not_closed_to_the_next(fault: BastideError) -> None:
    assert another_may_answer(fault)


@pytest.mark.parametrize("status", [404, 405, 410])
def test_a_server_that_is_not_the_right_one_is_told_from_a_wrong_request(status: int) -> None:
    fault = fault_of(status, {}, b"", None)
    assert (fault.code, another_may_answer(fault)) == ("inference.upstream_unknown_model", True)


@pytest.mark.parametrize("answer", [Fails(500), Fails(401), Fails(400), Fails(429)])
async def test_a_fault_names_the_model_whose_server_has_it(rooms: Rooms, scope: Scope, answer: Fails) -> None:
    """Behind a route nobody else can tell which of them it was."""
    async with ScriptedModel(answer) as server:
        await add(rooms, scope, server, "second")
        await route(rooms, scope, "second")
        taken = await call(rooms, scope, {**ASKED, "model": "writer"})
    assert taken.json["error"]["model"] == "second"


class Raises:
    """A relay with a fault that nobody thought of, after all of the answer has come."""

    begun, fault = False, None

    def begins(self, content_type: str) -> Raises:
        return self

    def feed(self, piece: bytes) -> bytes:
        return b""

    def end(self) -> bytes:
        raise KeyError("id")


async def test_a_fault_of_our_own_while_an_answer_is_put_together_leaves_nobody_waiting(
    rooms: Rooms, scope: Scope
) -> None:
    async with ScriptedModel(Says("Late.", pause_s=0.3)) as first, ScriptedModel("Here.") as second:
        await add(rooms, scope, first, "first")
        await add(rooms, scope, second, "second")
        await route(rooms, scope, "first", "second")
        await call(rooms, scope, {**ASKED, "model": "second"})  # from here on all is at hand
        taken, running = begin(rooms, scope, {**ASKED, "model": "writer"})
        (attempt,) = running._attempts
        attempt._relay = cast(Any, Raises())
        async with asyncio.timeout(60):
            await taken.ended.wait()
        assert taken.json["choices"][0]["message"]["content"] == "Here."
        _, failed, _ = await recorded(rooms, scope, 3)
        receipt: Any = (await rooms.audit.receipt(scope, failed.id)).body
        assert (failed.outcome, receipt["decision"]["unusable"]) == ("failed", "request.broken")


async def test_a_server_that_worked_on_a_request_and_broke_off_is_not_given_it_again(
    rooms: Rooms, scope: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kept connection that was just being closed breaks at once; one that breaks later had somebody at work."""
    asked = 0
    said = json.dumps({"choices": [{"index": 0, "message": {"content": "Here."}, "finish_reason": "stop"}]}).encode()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        for turn in range(2):
            head = await reader.readuntil(b"\r\n\r\n")
            if head.startswith(b"GET"):
                break
            await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r")[0]))
            asked += 1
            if turn:
                await asyncio.sleep(0.5)
                break
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(said), said))
        writer.close()

    monkeypatch.setattr(calling, "_AT_ONCE_S", 0.2)
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        await rooms.inference.add_model(scope, ModelSpec("ours", url=url, local=True, upstream="x"))
        assert (await call(rooms, scope, {**ASKED, "model": "ours"})).status == 200
        taken = await call(rooms, scope, {**ASKED, "model": "ours"})
    assert (taken.status, taken.json["error"]["code"], asked) == (502, "egress.broken_reply", 2)


# -- who is asked behind the server -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("wire", "kind", "more", "field"),
    [
        ("messages", "anthropic", {"mcp_servers": [{"type": "url", "url": "https://else.example/mcp"}]}, "mcp_servers"),
        ("messages", "anthropic", {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type"),
        ("messages", "anthropic", {"tools": [{"type": "web_fetch_20250910", "name": "web_fetch"}]}, "tools[0].type"),
        ("responses", "vllm", {"tools": [{"type": "mcp", "server_url": "https://else.example"}]}, "tools[0].type"),
        ("responses", "vllm", {"tools": [{"type": "web_search_preview"}]}, "tools[0].type"),
        ("chat", "openai", {"web_search_options": {"search_context_size": "low"}}, "web_search_options"),
    ],
)
async def test_a_server_is_not_asked_to_ask_others(
    rooms: Rooms, scope: Scope, wire: str, kind: str, more: dict[str, Any], field: str
) -> None:
    """What a call holds goes to whom it was decided on, also where its server speaks the client's own format."""
    bodies: dict[str, dict[str, Any]] = {
        "chat": ASKED,
        "messages": {**ASKED, "max_tokens": 9},
        "responses": {"input": "x"},
    }
    async with ScriptedModel() as server:
        await add(rooms, scope, server, kind=kind)
        asked = len(server.asked)
        taken = await call(rooms, scope, {**bodies[wire], **more, "model": "ours"}, wire=wire)
        assert (taken.status, taken.json["error"]["param"]) == (400, field)
        assert len(server.asked) == asked


# -- clocks and waits -------------------------------------------------------------------------------


def timed(name: str, latency_s: float = 0.0) -> Target:
    model = Model(name, "openai", ("chat",), "local/runtime", upstream=name)
    endpoint = Endpoint(f"local/runtime/{name}", "local/runtime", name, "local", "http://127.0.0.1:1/v1")
    target = Target(model, None, None, endpoint, Price())
    if latency_s:
        target.took(latency_s)
    return target


def first_of(group: Group) -> str:
    yes = cast(Decision, type("Yes", (), {"allowed": True}))
    return best_first(group, [yes] * len(group.targets))[0][0].model.name


def test_one_slow_answer_does_not_shut_a_server_out_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is never asked can never show that it is fast again."""
    slow, fast = timed("slow"), timed("fast")
    group = Group.of([slow, fast], by_latency=True)
    for target, seconds in ((slow, 30.0), (fast, 0.5)):
        assert first_of(group) == target.model.name, "who was never asked goes first"
        target.took(seconds)
    assert [first_of(group) for _ in range(3)] == ["fast"] * 3
    later = time.monotonic() + 50.0
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert first_of(group) == "fast"
    later += 11.0
    assert [first_of(group) for _ in range(3)] == ["slow", "fast", "fast"], "one call finds out, not all of them"
    slow.took(0.1)
    assert first_of(group) == "slow", "what was measured then does not weigh on what is measured now"


def test_a_clock_that_is_set_changes_no_order(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = timed("first"), timed("second")
    group = Group.of([first, second])
    first.failed(time.monotonic())
    assert first_of(group) == "second"
    later, now = time.monotonic() + 6.0, time.time()
    monkeypatch.setattr(time, "monotonic", lambda: later)
    monkeypatch.setattr(time, "time", lambda: now - 3600.0)
    assert first_of(group) == "first", "it failed six seconds ago, whatever the clock says"


def test_a_latency_is_never_less_than_nothing() -> None:
    target = timed("one", 0.2)
    target.took(-3600.0)  # between the two looks at it the clock was set
    assert target.latency_s >= 0


@pytest.mark.parametrize(("wait", "told"), [(0.2, b"1"), (1.0, b"1"), (19.2, b"20"), (19.6, b"20"), (7, b"7")])
def test_who_waits_as_long_as_was_said_is_let_in(wait: float, told: bytes) -> None:
    _, headers, _ = refusal("chat", RateLimited(retry_after_s=wait), "req_x")
    assert dict(headers)[b"retry-after"] == told


async def test_a_server_that_is_overloaded_says_for_how_long(rooms: Rooms, scope: Scope) -> None:
    async with ScriptedModel(Fails(503, headers={"Retry-After": "17"})) as server:
        await add(rooms, scope, server)
        taken = await call(rooms, scope, {**ASKED, "model": "ours"})
    assert (taken.status, taken.headers["retry-after"], taken.json["error"]["retry_after_s"]) == (502, "17", 17)


def test_who_asks_to_wait_for_a_day_is_asked_again_before() -> None:
    """A model that nobody may ask until tomorrow because of one odd answer could be freed by a restart only."""
    target = timed("one")
    asks_to_wait(target, UpstreamBusy(retry_after_s=86_400))
    assert 500 < target.pace.wait_s(time.monotonic()) <= 600


# -- what is told -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wire", "body", "field"),
    [
        ("chat", {**ASKED, "n": 2}, "n"),
        ("chat", {**ASKED, "logprobs": True}, "logprobs"),
        ("chat", {**ASKED, "tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        ("responses", {"input": "x", "previous_response_id": "resp_x"}, "previous_response_id"),
    ],
)
async def test_what_to_do_next_is_about_the_field_that_is_wrong(
    rooms: Rooms, scope: Scope, wire: str, body: dict[str, Any], field: str
) -> None:
    async with ScriptedModel() as server:
        await add(rooms, scope, server, kind="anthropic")
        error = (await call(rooms, scope, {**body, "model": "ours"}, wire=wire)).json["error"]
    assert (error["code"], error["param"]) == ("inference.bad_chat", field)
    assert f"`{field}`" in error["next"]


async def test_a_stream_of_messages_that_forgets_its_beginning_is_told_all_the_same(rooms: Rooms, scope: Scope) -> None:
    events = (
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "In June."}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
        {"type": "message_stop"},
    )
    async with ScriptedModel(Tells({}, events)) as server:
        await add(rooms, scope, server, kind="anthropic")
        taken = await call(rooms, scope, {"input": "x", "model": "ours", "stream": True}, wire="responses")
    assert taken.status == 200
    kinds = [json.loads(line[6:])["type"] for line in taken.body.decode().splitlines() if line.startswith("data: ")]
    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")
