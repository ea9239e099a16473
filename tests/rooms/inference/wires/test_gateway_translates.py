"""Calls whose client and server speak different formats, through the whole gateway."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.rooms.inference.conftest import Rooms
from tests.rooms.inference.test_gateway import add, begin, call

from bastide.store import Scope, new_id
from bastide.testing import Fails, Raw, Says, ScriptedModel, Tells

from . import shapes
from .test_answers import heard, spelled

ASKED: dict[str, dict[str, Any]] = {
    "chat": {"messages": [{"role": "user", "content": "When?"}]},
    "completions": {"prompt": "When?"},
    "messages": {"max_tokens": 64, "messages": [{"role": "user", "content": "When?"}]},
    "responses": {"input": "When?"},
}
KINDS = {"chat": "openai", "messages": "anthropic", "gemini": "gemini"}
PATHS = {"chat": "/chat/completions", "messages": "/messages", "gemini": ":generateContent"}


@pytest.fixture
def scope() -> Scope:
    allowed = frozenset({"model:use", "model:manage", "policy:read", "policy:manage", "audit:read"})
    return Scope(new_id("ten"), None, None, frozenset(), allowed, key=new_id("key"))


def told(wire: str) -> Tells:
    return Tells(shapes.WHOLE[wire], shapes.EVENTS[wire])


@pytest.mark.parametrize("ours", ["messages", "responses"])
async def test_who_is_told_no_usage_by_a_server_is_told_the_estimate_that_is_counted(
    rooms: Rooms, scope: Scope, ours: str
) -> None:
    """Whole, as a stream, and by a server that does not stream although it is asked to."""
    said = {"choices": [{"index": 0, "message": {"content": "In June, says page 4."}, "finish_reason": "stop"}]}
    data = json.dumps(said).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(data)
    quiet = Says("In June, says page 4.", usage=False)
    async with ScriptedModel(quiet, quiet, Raw(head + data)) as server:
        await add(rooms, scope, server, upstream="u", capabilities=("chat",))
        for stream in (False, True, True):
            taken = await call(rooms, scope, {**ASKED[ours], "model": "ours", "stream": stream}, wire=ours)
            assert taken.status == 200, taken.body
            receipt = await rooms.audit.receipt(scope, taken.headers["x-bastide-receipt"])
            counted: Any = receipt.body["tokens"]
            assert counted["input"] > 5
            assert counted["output"] >= 5
            assert receipt.body["estimated"] is True
            if not stream:
                usage = taken.json["usage"]
            else:
                events = [line[6:] for line in taken.body.decode().split("\n") if line.startswith("data: {")]
                last = [json.loads(one) for one in events][-2 if ours == "messages" else -1]
                usage = last["usage"] if ours == "messages" else last["response"]["usage"]
            assert (usage["input_tokens"], usage["output_tokens"]) == (counted["input"], counted["output"])
        asking = {**ASKED["chat"], "model": "ours", "stream": True, "stream_options": {"include_usage": True}}
        own = await call(rooms, scope, asking)
        assert own.events[-2]["usage"]["completion_tokens"] == len(data) // 4, "in the server's own format as well"


@pytest.mark.parametrize("theirs", KINDS)
async def test_any_client_is_answered_by_any_server(rooms: Rooms, scope: Scope, theirs: str) -> None:
    async with ScriptedModel(told(theirs)) as server:
        await add(rooms, scope, server, kind=KINDS[theirs], upstream="u", capabilities=("chat",))
        for ours in ASKED.keys() - {theirs, "completions" if theirs == "chat" else ""}:
            asking = {**ASKED[ours], "model": "ours"}
            whole = await call(rooms, scope, asking, wire=ours)
            stream = await call(rooms, scope, {**asking, "stream": True}, wire=ours)
            assert (whole.status, stream.status) == (200, 200), whole.body
            assert whole.headers["content-type"] == "application/json"
            assert stream.headers["content-type"] == "text/event-stream"
            assert whole.json["model"] == "ours"
            assert shapes.SENTENCE in json.dumps(whole.json)
            assert "Let me" in stream.body.decode()
            for taken in (whole, stream):
                receipt = await rooms.audit.receipt(scope, taken.headers["x-bastide-receipt"])
                assert receipt.body["tokens"] == {"input": 120, "output": 45}
                assert receipt.body["outcome"] == "done"
                assert await rooms.audit.matches(scope, receipt.id, output=taken.body)
        asked = [one.path.partition("?")[0] for one in server.asked if one.method == "POST"]
        assert all(path.endswith((PATHS[theirs], ":streamGenerateContent")) for path in asked)


@pytest.mark.parametrize(("ours", "theirs"), [("messages", "chat"), ("responses", "messages"), ("chat", "gemini")])
async def test_a_stream_that_breaks_ends_with_an_error_in_the_client_s_own_format(
    rooms: Rooms, scope: Scope, ours: str, theirs: str
) -> None:
    async with ScriptedModel(Tells({}, shapes.EVENTS[theirs], cut_after=5)) as server:
        await add(rooms, scope, server, kind=KINDS[theirs], upstream="u", capabilities=("chat",))
        taken = await call(rooms, scope, {**ASKED[ours], "model": "ours", "stream": True}, wire=ours)
    assert taken.status == 200
    last = taken.body.decode().rstrip("\n").rpartition("\n\n")[2]
    body = json.loads(last.rpartition("data: ")[2])
    assert last.startswith("data: " if ours == "chat" else "event: error\n")
    assert body["error"]["code"] == "inference.stream_broken"
    if ours == "messages":
        assert body["type"] == "error"
    if ours == "responses":
        assert {"type", "code", "message", "param", "sequence_number"} <= set(body)
    receipt = await rooms.audit.receipt(scope, taken.headers["x-bastide-receipt"])
    assert receipt.body["outcome"] == "failed"


@pytest.mark.parametrize("wire", ["messages", "responses"])
async def test_the_same_format_is_passed_on_byte_for_byte_with_its_own_end_and_usage(
    rooms: Rooms, scope: Scope, wire: str
) -> None:
    kind = {"messages": "anthropic", "responses": "vllm"}[wire]
    cut = Tells(shapes.WHOLE[wire], shapes.EVENTS[wire], cut_after=len(shapes.EVENTS[wire]) - 1)
    async with ScriptedModel(told(wire), told(wire), cut) as server:
        await add(rooms, scope, server, kind=kind, upstream="u", capabilities=("chat",))
        whole = await call(rooms, scope, {**ASKED[wire], "model": "ours"}, wire=wire)
        stream = await call(rooms, scope, {**ASKED[wire], "model": "ours", "stream": True}, wire=wire)
        broken = await call(rooms, scope, {**ASKED[wire], "model": "ours", "stream": True}, wire=wire)
    assert whole.json == shapes.WHOLE[wire]
    assert heard(wire, stream.body) == heard(wire, spelled(shapes.EVENTS[wire]))
    assert stream.body.count(b"event: ") == len(shapes.EVENTS[wire])
    for taken in (whole, stream):
        receipt = await rooms.audit.receipt(scope, taken.headers["x-bastide-receipt"])
        assert receipt.body["tokens"] == {"input": 120, "output": 45}
    assert broken.body.count(b"event: error\n") == 1
    assert b"inference.stream_broken" in broken.body


async def test_what_one_server_cannot_be_told_goes_to_the_next_that_can(rooms: Rooms, scope: Scope) -> None:
    seeded = {**ASKED["chat"], "n": 2}
    async with ScriptedModel(told("messages")) as first, ScriptedModel(Says("From the second.")) as second:
        await add(rooms, scope, first, "first", kind="anthropic", upstream="u", capabilities=("chat",), rank=1)
        refused = await call(rooms, scope, {**seeded, "model": "first"})
        await add(rooms, scope, second, "second", rank=2)
        answered = await call(rooms, scope, seeded)
        assert not [one for one in first.asked if one.method == "POST"]
    assert (refused.status, refused.json["error"]["code"]) == (400, "inference.bad_chat")
    assert refused.json["error"]["param"] == "n"
    assert answered.status == 200
    assert answered.json["choices"][0]["message"]["content"] == "From the second."


async def test_a_server_that_does_not_stream_or_fails_is_told_in_the_client_s_format(
    rooms: Rooms, scope: Scope
) -> None:
    body = json.dumps(shapes.WHOLE["chat"]).encode()
    plain = Raw(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    empty = Raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
    async with ScriptedModel(plain, Fails(529, "overloaded"), empty) as server:
        await add(rooms, scope, server)
        asked = {**ASKED["messages"], "model": "ours"}
        stream = await call(rooms, scope, {**asked, "stream": True}, wire="messages")
        busy = await call(rooms, scope, asked, wire="messages")
        nothing = await call(rooms, scope, asked, wire="messages")
    assert heard("messages", stream.body)[-1] == heard("messages", spelled(shapes.EVENTS["messages"]))[-1]
    assert busy.json["type"] == nothing.json["type"] == "error"
    assert (busy.status, busy.json["error"]["code"]) == (502, "inference.upstream_failed")
    assert nothing.json["error"]["code"] == "inference.upstream_garbage"


@pytest.mark.parametrize("wire", ["messages", "responses", "completions"])
async def test_a_model_of_this_process_answers_in_every_format(rooms: Rooms, scope: Scope, wire: str) -> None:
    text = "The lease ends in June. The rent is due monthly.\n\nWhen does the lease end?"
    asked: dict[str, Any] = {
        "messages": {"max_tokens": 64, "messages": [{"role": "user", "content": text}]},
        "responses": {"input": text},
        "completions": {"prompt": text},
    }[wire]
    whole = await call(rooms, scope, {**asked, "model": "local/extractive"}, wire=wire)
    stream = await call(rooms, scope, {**asked, "model": "local/extractive", "stream": True}, wire=wire)
    assert (whole.status, stream.status) == (200, 200), whole.body
    assert "June" in json.dumps(whole.json)
    said = heard(wire, stream.body)
    assert "June" in "".join(getattr(event, "text", "") for event in said)
    assert type(said[-1]).__name__ == "Ended"


async def test_a_client_that_goes_is_billed_for_what_was_translated(rooms: Rooms, scope: Scope) -> None:
    async with ScriptedModel(Says("one two three four five six", pause_s=0.2)) as server:
        await add(rooms, scope, server)
        taken, running = begin(rooms, scope, {**ASKED["messages"], "model": "ours", "stream": True}, wire="messages")
        await taken.begun.wait()
        running.cancel()
    receipt = await rooms.audit.receipt(scope, taken.headers["x-bastide-receipt"])
    assert receipt.body["outcome"] == "aborted"
    assert receipt.body["tokens"]["output"] >= 1
