"""Calls over the wires, through policy, egress and the journal, against real servers on loopback."""

from __future__ import annotations

import asyncio
import gc
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bastide.errors import UpstreamFailed, UpstreamGarbage
from bastide.inference import ModelSpec, Running
from bastide.inference.gateway.watching import Watched, whole_answer
from bastide.policy import Label
from bastide.store import Scope, new_id
from bastide.testing import Asked, Fails, Raw, Says, ScriptedModel

from .conftest import Rooms

LEAST = Label()
ASKED = {"messages": [{"role": "user", "content": "When does the lease end?"}]}


class Taken:
    """A sink that keeps what comes."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.pieces: list[bytes] = []
        self.begun, self.ended = asyncio.Event(), asyncio.Event()

    def on_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        assert not self.begun.is_set(), "one head"
        self.status = status
        self.headers = {name.decode(): value.decode() for name, value in headers}
        self.begun.set()

    def on_piece(self, piece: bytes) -> None:
        assert self.begun.is_set(), "a head comes first"
        assert not self.ended.is_set(), "nothing comes after the end"
        self.pieces.append(piece)

    def on_end(self) -> None:
        assert not self.ended.is_set(), "one end"
        self.ended.set()

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[Any]:
        lines = [part.removeprefix(b"data: ") for part in self.body.split(b"\n\n") if part.startswith(b"data: ")]
        return [line.decode() if line == b"[DONE]" else json.loads(line) for line in lines]

    @property
    def text(self) -> str:
        chunks = [one for one in self.events if isinstance(one, dict) and one.get("choices")]
        return "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)


def begin(rooms: Rooms, scope: Scope, body: Any, *, wire: str = "chat", label: Label = LEAST) -> tuple[Taken, Running]:
    taken = Taken()
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return taken, rooms.inference.gateway.begin(scope, label, wire, data, taken, request_id="req_test")


async def call(rooms: Rooms, scope: Scope, body: Any, *, wire: str = "chat", label: Label = LEAST) -> Taken:
    taken, _ = begin(rooms, scope, body, wire=wire, label=label)
    async with asyncio.timeout(60):
        await taken.ended.wait()
    return taken


@pytest.fixture
def scope() -> Scope:
    allowed = frozenset({"model:use", "model:manage", "policy:read", "policy:manage", "audit:read"})
    return Scope(new_id("ten"), None, None, frozenset(), allowed, key=new_id("key"))


async def add(rooms: Rooms, scope: Scope, server: ScriptedModel, name: str = "ours", **more: Any) -> None:
    await rooms.inference.add_model(scope, ModelSpec(name, url=server.url, local=True, **more))


async def test_an_answer_is_passed_on_byte_for_byte_and_leaves_a_receipt(rooms: Rooms, scope: Scope) -> None:
    async with ScriptedModel(Says("In June.")) as server:
        await add(rooms, scope, server)
        taken = await call(rooms, scope, {**ASKED, "model": "ours", "temperature": 0})
    assert taken.status == 200
    assert taken.headers["content-type"] == "application/json"
    assert taken.json["choices"][0]["message"]["content"] == "In June."
    sent = server.chats[0].body
    assert sent == {**ASKED, "model": "scripted", "temperature": 0}
    receipt = await rooms.audit.receipt(scope, taken.headers["x-bastide-receipt"])
    assert receipt.body["outcome"] == "done"
    assert receipt.body["tokens"] == {"input": 5, "output": 2}
    assert receipt.index is not None
    assert await rooms.audit.matches(scope, receipt.id, output=taken.body)
    assert not await rooms.audit.matches(scope, receipt.id, output=taken.body + b" ")


async def test_a_stream_is_passed_on_and_its_usage_only_to_who_asked(rooms: Rooms, scope: Scope) -> None:
    async with ScriptedModel(Says("It ends in June.")) as server:
        await add(rooms, scope, server)
        plain = await call(rooms, scope, {**ASKED, "model": "ours", "stream": True})
        told = await call(
            rooms, scope, {**ASKED, "model": "ours", "stream": True, "stream_options": {"include_usage": True}}
        )
    assert plain.headers["content-type"] == "text/event-stream"
    assert plain.text == told.text == "It ends in June."
    assert plain.events[-1] == told.events[-1] == "[DONE]"
    assert not any(isinstance(one, dict) and "usage" in one for one in plain.events)
    assert told.events[-2]["usage"]["completion_tokens"] == 4
    receipts = [await rooms.audit.receipt(scope, one.headers["x-bastide-receipt"]) for one in (plain, told)]
    assert [one.body["tokens"] for one in receipts] == [{"input": 5, "output": 4}] * 2


async def test_without_a_name_the_first_permitted_model_answers(rooms: Rooms, scope: Scope) -> None:
    async with ScriptedModel("Here.") as server:
        await add(rooms, scope, server)
        assert (await call(rooms, scope, ASKED)).json["choices"][0]["message"]["content"] == "Here."
        assert (await call(rooms, scope, {**ASKED, "model": "auto"})).status == 200


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "inference.bad_chat"),
        (b"[]", 400, "inference.bad_chat"),
        (b'{"messages": "x"}', 400, "inference.bad_chat"),
        (b'{"messages": []}', 400, "inference.bad_chat"),
        (b'{"messages": [{"role": "user", "content": "\xff"}]}', 400, "inference.bad_chat"),
        (b'{"messages": [1], "temperature": NaN}', 400, "inference.bad_chat"),
        (b'{"messages": [' + b"[" * 5000 + b"]" * 5000 + b"]}", 400, "inference.bad_chat"),
        (b'{"messages": [{}], "model": 3}', 400, "inference.bad_chat"),
        (b'{"messages": [{}], "stream": "yes"}', 400, "inference.bad_chat"),
        (b'{"messages": [{}], "stream": true, "stream_options": 1}', 400, "inference.bad_chat"),
        (b'{"messages": [' + b",".join([b"{}"] * 10_000) + b"]}", 400, "inference.bad_chat"),
        (b'{"messages": [{"x_label": {"class": "cosmic"}}]}', 400, "policy.bad_label"),
        (b'{"messages": [{}], "model": "nobody/knows"}', 404, "inference.unknown_model"),
        (b'{"messages": [{}], "model": "local/minilm"}', 400, "inference.wrong_capability"),
    ],
)
async def test_what_is_malformed_is_refused_in_the_wires_own_shape(
    rooms: Rooms, scope: Scope, body: bytes, status: int, code: str
) -> None:
    for wire in ("chat", "messages") if b"stream_options" not in body else ("chat", "completions"):
        taken = await call(rooms, scope, body, wire=wire)
        assert (taken.status, taken.json["error"]["code"]) == (status, code)
        assert taken.json["error"]["next"]
        assert taken.json["error"]["request_id"] == "req_test"
        assert (taken.json.get("type") == "error") is (wire == "messages")


async def test_two_fields_of_one_name_mean_one_thing_to_all(rooms: Rooms, scope: Scope) -> None:
    async with ScriptedModel("Here.") as server:
        await add(rooms, scope, server)
        twice = b'{"model": "nobody", "messages": [{"role": "user", "content": "x"}], "model": "ours"}'
        assert (await call(rooms, scope, twice)).status == 200
        assert server.chats[0].body["model"] == "scripted"


async def test_parts_carry_labels_and_the_strictest_wins(rooms: Rooms, scope: Scope) -> None:
    async with ScriptedModel("Here.") as server:
        await add(rooms, scope, server)
        part = {"type": "text", "text": "x", "x_label": {"class": "restricted", "personal": "special"}}
        body = {"model": "ours", "messages": [{"role": "user", "content": [part]}]}
        taken = await call(rooms, scope, body)
        assert "x_label" not in json.dumps(server.chats[0].body)
    receipt = await rooms.audit.receipt(scope, taken.headers["x-bastide-receipt"])
    label = receipt.body["label"]
    assert isinstance(label, dict)
    assert (label["class"], label["personal"]) == ("restricted", "special")


async def test_a_neighbours_model_is_not_there(rooms: Rooms, scope: Scope, neighbour: Scope) -> None:
    async with ScriptedModel("Here.") as server:
        await add(rooms, scope, server)
        assert (await call(rooms, scope, {**ASKED, "model": "ours"})).status == 200
        theirs = Scope(neighbour.tenant, None, None, frozenset(), frozenset({"model:use"}))
        assert (await call(rooms, theirs, {**ASKED, "model": "ours"})).status == 404
        nobody = Scope(scope.tenant, None, None, frozenset(), frozenset())
        assert (await call(rooms, nobody, {**ASKED, "model": "ours"})).status == 403
    assert len(server.chats) == 1


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        (Fails(500), 502, "inference.upstream_failed"),
        (Fails(429, headers={"retry-after": "7"}), 429, "inference.upstream_busy"),
        (Fails(401), 502, "inference.key_refused"),
        (Fails(400, "too long"), 400, "inference.upstream_refused"),
        (Fails(404), 502, "inference.upstream_unknown_model"),
        (Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc"), 502, "inference.upstream_garbage"),
        (Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"), 502, "inference.upstream_garbage"),
        (Raw(b'HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\n{"error":"x"}'), 502, "inference.upstream_failed"),
        (Raw(b"nonsense\r\n\r\n"), 502, "egress.broken_reply"),
        (Raw(b""), 502, "egress.broken_reply"),
    ],
)
async def test_a_server_that_fails_is_told_apart_and_recorded(
    rooms: Rooms, scope: Scope, answer: Any, status: int, code: str
) -> None:
    async with ScriptedModel(answer) as server:
        await add(rooms, scope, server)
        for stream in (False, True) if status != 429 else (False,):  # it is not asked again before its time
            taken = await call(rooms, scope, {**ASKED, "model": "ours", "stream": stream})
            assert (taken.status, taken.json["error"]["code"]) == (status, code)
            if status == 429:
                assert taken.headers["retry-after"] == "7"
            receipt = await rooms.audit.receipt(scope, taken.headers["x-bastide-receipt"])
            assert receipt.body["outcome"] == "failed"


def chunked(*events: bytes, end: bool = True) -> Raw:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    body = b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in events)
    return Raw(head + body + (b"0\r\n\r\n" if end else b""))


SAID = b'data: {"choices":[{"index":0,"delta":{"content":"In"},"finish_reason":null}]}\n\n'
STOP = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'


@pytest.mark.parametrize(
    "answer",
    [
        chunked(SAID, end=False),
        chunked(SAID),
        chunked(SAID, b'data: {"choices":[{"del\n\n', STOP),
        chunked(SAID, b'data: {"error":{"message":"out of memory"}}\n\n'),
        chunked(SAID, b"data: [1]\n\n"),
        chunked(SAID, SAID.replace(b"In", b"\xff"), STOP),
    ],
    ids=["cut", "no end", "malformed", "an error inside", "no object", "no text"],
)
async def test_a_stream_that_fails_says_so_and_never_just_stops(rooms: Rooms, scope: Scope, answer: Any) -> None:
    """BerriAI/litellm #36768, #6957, #10972: a fault of the server becomes status 200 and a silent stop."""
    async with ScriptedModel(answer) as server:
        await add(rooms, scope, server)
        taken = await call(rooms, scope, {**ASKED, "model": "ours", "stream": True})
    assert taken.status == 200
    assert taken.text == "In"
    assert taken.events[-1]["error"]["code"] == "inference.stream_broken"
    receipt = await rooms.audit.receipt(scope, taken.headers["x-bastide-receipt"])
    assert receipt.body["outcome"] == "failed"
    tokens = receipt.body["tokens"]
    assert isinstance(tokens, dict)
    assert tokens["output"] == 1, "what was seen is counted"


WHOLE = b'{"choices":[{"index":0,"message":{"content":"H\\u00e9 \xc3\xa9"}}],"usage":{"prompt_tokens":5}}'


@settings(max_examples=600)
@given(st.integers(0, 999), st.integers(0, 255), st.booleans())
def test_what_is_passed_over_is_json_and_text_all_the_same(place: int, byte: int, stream: bool) -> None:
    """Most of an answer is not decoded; what is passed on must be what an independent parser takes."""
    data = bytearray(SAID[6:-2].replace(b"In", b"\xc3\xa9 \\u00e9") if stream else WHOLE)
    data[place % len(data)] = byte
    if stream:
        watched = Watched("chat", usage_wanted=True)
        passed = watched.feed(b"data: %b\n\n" % data) and watched.fault is None and b"\n" not in data
    else:
        try:
            whole_answer("chat", bytes(data))
            passed = True
        except (UpstreamGarbage, UpstreamFailed):
            passed = False
    if passed:
        assert isinstance(json.loads(data.decode()), dict)


@pytest.mark.parametrize("cut", [1, 3, 7, 20, 1000])
async def test_events_are_whole_however_they_arrive(rooms: Rooms, scope: Scope, cut: int) -> None:
    raw = b": alive\n\n" + SAID + STOP
    pieces = [raw[at : at + cut] for at in range(0, len(raw), cut)]
    async with ScriptedModel(chunked(*pieces)) as server:
        await add(rooms, scope, server)
        taken = await call(rooms, scope, {**ASKED, "model": "ours", "stream": True})
    assert taken.text == "In"
    assert taken.events[-1] == "[DONE]", "a server that forgets to say so is helped out"
    assert all(piece.endswith(b"\n\n") for piece in taken.pieces)


async def test_lines_that_end_in_crlf_are_events_too(rooms: Rooms, scope: Scope) -> None:
    events = [one.replace(b"\n\n", b"\r\n\r\n") for one in (SAID, SAID, STOP)]
    async with ScriptedModel(chunked(*events)) as server:
        await add(rooms, scope, server)
        taken = await call(rooms, scope, {**ASKED, "model": "ours", "stream": True})
    assert taken.body.count(b'"In"') == 2
    assert b"[DONE]" in taken.body


async def test_a_server_that_does_not_stream_is_streamed_for(rooms: Rooms, scope: Scope) -> None:
    answer = b'{"choices":[{"index":0,"message":{"role":"assistant","content":"Whole."},"finish_reason":"stop"}]}'
    raw = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(answer), answer)
    async with ScriptedModel(Raw(raw)) as server:
        await add(rooms, scope, server)
        taken = await call(rooms, scope, {**ASKED, "model": "ours", "stream": True})
    assert taken.text == "Whole."
    assert taken.events[-1] == "[DONE]"


async def test_who_leaves_stops_the_server_and_what_was_seen_is_recorded(rooms: Rooms, scope: Scope) -> None:
    """BerriAI/litellm #14457, maximhq/bifrost #3357: what a client left behind is neither stopped nor counted."""
    async with ScriptedModel(Says("one two three four five six seven eight", pause_s=0.1)) as server:
        await add(rooms, scope, server)
        taken, running = begin(rooms, scope, {**ASKED, "model": "ours", "stream": True})
        await taken.begun.wait()
        running.cancel()
        seen = len(taken.pieces)
        async with asyncio.timeout(60):
            while not server.closed_early:
                await asyncio.sleep(0.02)
    assert len(taken.pieces) == seen
    receipt = await rooms.audit.receipt(scope, taken.headers["x-bastide-receipt"])
    assert receipt.body["outcome"] == "aborted"


async def test_here_models_answer_over_the_wire_too(rooms: Rooms, scope: Scope) -> None:
    asked = {"messages": [{"role": "system", "content": "The lease ends in June."}, *ASKED["messages"]]}
    whole = await call(rooms, scope, {**asked, "model": "local/extractive"})
    assert "June" in whole.json["choices"][0]["message"]["content"]
    streamed = await call(rooms, scope, {**asked, "model": "local/extractive", "stream": True})
    assert "June" in streamed.text
    other = await call(rooms, scope, {"input": "x", "model": "local/extractive"}, wire="embeddings")
    assert other.json["error"]["code"] == "inference.wrong_capability"


async def test_what_changes_here_holds_for_the_very_next_call(rooms: Rooms, scope: Scope, neighbour: Scope) -> None:
    asked = {**ASKED, "model": "ours"}
    payer = replace(scope, permissions=scope.permissions | {"budget:manage"})
    async with ScriptedModel("Here.") as server:
        await add(rooms, scope, server)
        assert [(await call(rooms, scope, asked)).status for _ in range(3)] == [200] * 3
        assert (await call(rooms, neighbour, asked)).status == 404, "a plan is of one tenant"
        other = {**asked, "messages": [{"role": "user", "content": "Write to ada@example.org."}]}
        receipts = [(await call(rooms, scope, body)).headers["x-bastide-receipt"] for body in (asked, other, asked)]
        labels = [(await rooms.audit.receipt(scope, one)).body["label"] for one in receipts]
        assert [one["personal"] for one in labels] == ["none", "personal", "none"], "and of what was found"
        budget = await rooms.inference.accounts.set_budget(payer, of="tenant", tokens=1)
        statuses = [(await call(rooms, scope, asked)).status for _ in range(2)]
        assert statuses[-1] == 402, "a budget lets one call begin that it can begin to pay"
        await rooms.inference.accounts.remove_budget(payer, budget.id)
        assert (await call(rooms, scope, asked)).status == 200
        (model,) = [one for one in await rooms.inference.models(scope) if one.name == "ours"]
        await rooms.policy.contradict(model.record, "a probe says otherwise")
        assert (await call(rooms, scope, asked)).status == 409
        await rooms.policy.release(replace(scope, permissions=scope.permissions | {"platform:operate"}), model.record)
        assert (await call(rooms, scope, asked)).status == 200
        await rooms.inference.remove_model(scope, "ours")
        assert (await call(rooms, scope, asked)).status == 404


async def test_a_call_that_is_over_leaves_no_circle_of_objects(rooms: Rooms, scope: Scope) -> None:
    """Thousands of calls a second would otherwise be held up by the collector of circles, all at once."""
    async with ScriptedModel(Says("In June.")) as server:
        await add(rooms, scope, server)
        asked = {**ASKED, "model": "ours"}
        await call(rooms, scope, asked)
        gc.collect()
        gc.disable()
        try:
            for body in (asked, {**asked, "stream": True}, b"{"):
                await call(rooms, scope, body)
            await asyncio.sleep(0)
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            kinds = {type(one) for one in gc.garbage}
            left = {kind for kind in kinds if kind.__module__.startswith("bastide.")} - {ScriptedModel, Asked}
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
    assert left == set()
