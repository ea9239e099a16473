"""Answers of every kind of server, read and told on in every other format, held against the clients' own types."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
from anthropic.types import Message, RawMessageStreamEvent
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from bastide.errors import BastideError
from bastide.inference.gateway.watching import Watched
from bastide.inference.wires import FORMATS, Cut, gathered, told
from bastide.inference.wires.values import Call, Reasoning, Text

from . import shapes

WIRES = tuple(FORMATS)
TYPES: dict[str, tuple[Any, Any]] = {
    "chat": (ChatCompletion, ChatCompletionChunk),
    "completions": (Completion, Completion),
    "messages": (Message, RawMessageStreamEvent),
    "responses": (Response, ResponseStreamEvent),
}


@cache
def adapter(wire: str) -> TypeAdapter[Any]:
    return TypeAdapter(TYPES[wire][1])


def spelled(events: tuple[Any, ...], newline: str = "\n") -> bytes:
    """Events as a server sends them."""
    rows = []
    for event in events:
        kind = event.get("type") if isinstance(event, dict) else None
        data = event if isinstance(event, str) else json.dumps(event, ensure_ascii=False)
        rows.append((f"event: {kind}{newline}" if kind else "") + f"data: {data}{newline}{newline}")
    return "".join(rows).encode()


def heard(wire: str, *pieces: bytes) -> list[Any]:
    reader = FORMATS[wire].reader()
    return [*(event for piece in pieces for event in reader.feed(piece)), *reader.end()]


def events_of(data: bytes) -> list[Any]:
    """Events with their names as a client sees them."""
    found = []
    for block in data.decode().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n") if line)
        if lines and lines["data"] != "[DONE]":
            body = json.loads(lines["data"])
            assert lines.get("event", body.get("type")) == body.get("type")
            found.append(body)
    return found


@pytest.mark.parametrize("wire", WIRES)
def test_an_answer_is_read_whole_and_as_a_stream_that_is_cut_at_any_byte(wire: str) -> None:
    found = FORMATS[wire].read_reply(shapes.WHOLE[wire])
    assert found.choices[0].parts == shapes.parts(wire)
    assert found.choices[0].stop == ("end" if wire == "completions" else "calls")
    assert found.usage == shapes.used(wire) or wire in {"chat", "completions", "gemini"}
    assert (found.usage.input, found.usage.output, found.usage.cached, found.usage.thought) == (120, 45, 20, 10)  # type: ignore[union-attr]
    for newline in ("\n", "\r\n", "\r"):
        data = spelled(shapes.EVENTS[wire], newline)
        whole = heard(wire, data)
        assert gathered(whole).choices == found.choices
        assert gathered(whole).usage == found.usage
        step = 1 if newline == "\n" else 13
        assert heard(wire, *(data[place : place + step] for place in range(0, len(data), step))) == whole
        assert all(heard(wire, data[:cut], data[cut:]) == whole for cut in range(0, len(data), 211))


@pytest.mark.parametrize("theirs", WIRES)
@pytest.mark.parametrize("ours", ["chat", "completions", "messages", "responses"])
def test_an_answer_is_told_on_in_the_shapes_that_clients_know(theirs: str, ours: str) -> None:
    form, whole_type = FORMATS[ours], TYPES[ours][0]
    body = form.write_reply(FORMATS[theirs].read_reply(shapes.WHOLE[theirs]), model="ours", id="abc")
    made = whole_type.model_validate(json.loads(json.dumps(body)))
    assert made.model == "ours"
    writer = form.writer(model="ours", id="abc", usage=True, echo={})
    data = b"".join(writer.write(event) for event in heard(theirs, spelled(shapes.EVENTS[theirs])))
    events = events_of(data)
    for event in events:
        for choice in event.get("choices", []) if ours == "completions" else []:
            choice["finish_reason"] = choice["finish_reason"] or "stop"  # the type is that of whole answers
        adapter(ours).validate_python(event)
    assert data.endswith(b"data: [DONE]\n\n") == (ours in {"chat", "completions"})
    if ours == "completions":
        assert made.choices[0].text == shapes.SENTENCE
        return
    again = form.read_reply(body)
    said = tuple(part for part in again.choices[0].parts if not isinstance(part, Reasoning))
    assert said == ((Text(shapes.SENTENCE),) if theirs == "completions" else shapes.SAID)
    assert strip(gathered(heard(ours, data)).choices[0].parts, ours) == strip(again.choices[0].parts, ours)
    assert gathered(heard(ours, data)).usage == again.usage


def strip(parts: tuple[Any, ...], wire: str) -> list[Any]:
    """The parts without ids of reasonings; a whole message of a chat tells those first."""
    found = [(part.text, part.seal, part.maker) if isinstance(part, Reasoning) else part for part in parts]
    return sorted(found, key=lambda part: not isinstance(part, tuple)) if wire == "chat" else found


def test_the_events_of_messages_come_in_their_order_and_a_block_is_whole_before_the_next() -> None:
    writer = FORMATS["messages"].writer(model="ours", id="abc", usage=True, echo={})
    data = b"".join(writer.write(event) for event in heard("chat", spelled(shapes.EVENTS["chat"])))
    assert [(event["type"], event.get("index")) for event in events_of(data)] == [
        ("message_start", None),
        *[(f"content_block_{name}", 0) for name in ("start", "delta", "delta", "stop")],
        *[(f"content_block_{name}", 1) for name in ("start", "delta", "delta", "stop")],
        *[(f"content_block_{name}", 2) for name in ("start", "delta", "delta", "stop")],
        *[(f"content_block_{name}", 3) for name in ("start", "delta", "stop")],
        ("message_delta", None),
        ("message_stop", None),
    ]
    last = events_of(data)[-2]
    assert last["delta"] == {"stop_reason": "tool_use", "stop_sequence": None}
    assert last["usage"]["input_tokens"] == 100
    assert last["usage"]["cache_read_input_tokens"] == 20
    assert last["usage"]["output_tokens"] == 45


def test_the_events_of_responses_come_in_their_order_with_their_numbers() -> None:
    writer = FORMATS["responses"].writer(model="ours", id="abc", usage=True, echo={})
    found = events_of(b"".join(writer.write(event) for event in heard("chat", spelled(shapes.EVENTS["chat"]))))
    expected = [event["type"] for event in shapes.EVENTS["responses"]]
    expected[-4:-3] = []  # the second call comes in one piece
    assert [event["type"] for event in found] == expected
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    done = [event["item"] for event in found if event["type"] == "response.output_item.done"]
    assert found[-1]["response"]["output"] == done
    assert [event.get("output_index") for event in found[2:-1]] == sorted(
        event["output_index"] for event in found[2:-1]
    )


def test_calls_that_come_mixed_are_told_one_after_the_other() -> None:
    def piece(index: int, **call: Any) -> dict[str, Any]:
        return {"id": "x", "choices": [{"index": 0, "delta": {"tool_calls": [{"index": index, **call}]}}]}

    events = (
        piece(0, id="a", function={"name": "f", "arguments": '{"x"'}),
        piece(1, id="b", function={"name": "g", "arguments": "{}"}),
        piece(0, function={"arguments": ":1}"}),
        {"id": "x", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    )
    writer = FORMATS["messages"].writer(model="m", id="x", usage=True, echo={})
    data = b"".join(writer.write(event) for event in heard("chat", spelled(events)))
    assert gathered(heard("messages", data)).choices[0].parts == (Call("a", "f", '{"x":1}'), Call("b", "g", "{}"))
    assert events_of(data)[-2]["delta"]["stop_reason"] == "tool_use"


@pytest.mark.parametrize("client", ["chat", "responses"])
@pytest.mark.parametrize("server", ["messages", "chat"])
def test_a_call_without_arguments_is_told_with_an_empty_object(server: str, client: str) -> None:
    """Clients read arguments as JSON, and no text is none (BerriAI/litellm #5063)."""
    whole: dict[str, Any]
    if server == "messages":
        block = {"type": "tool_use", "id": "t", "name": "now", "input": {}}
        whole = {"type": "message", "content": [block], "stop_reason": "tool_use", "usage": {}}
        events: tuple[dict[str, Any], ...] = (
            {"type": "message_start", "message": {**whole, "content": []}},
            {"type": "content_block_start", "index": 0, "content_block": block},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": ""}},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {}},
            {"type": "message_stop"},
        )
    else:
        call = {"index": 0, "id": "t", "type": "function", "function": {"name": "now", "arguments": ""}}
        whole = {"choices": [{"message": {"tool_calls": [call]}, "finish_reason": "tool_calls"}]}
        events = (
            {"id": "x", "choices": [{"index": 0, "delta": {"tool_calls": [call]}}]},
            {"id": "x", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
        )
    if (server, client) != ("chat", "chat"):  # which is never translated
        writer = FORMATS[client].writer(model="m", id="x", usage=True, echo={})
        data = b"".join(writer.write(event) for event in heard(server, spelled(events)))
        assert gathered(heard(client, data)).choices[0].parts == (Call("t", "now", "{}"),)
        if client == "responses":
            told = [one.get("delta") for one in events_of(data) if one["type"].endswith("arguments.delta")]
            assert told == ["{}"], "who puts the pieces together has the same"
    replied = FORMATS[client].write_reply(FORMATS[server].read_reply(whole), model="m", id="x")
    assert FORMATS[client].read_reply(replied).choices[0].parts == (Call("t", "now", "{}"),)


def test_calls_that_all_count_as_the_first_are_told_apart_by_their_ids() -> None:
    call = {"index": 0, "function": {"name": "f", "arguments": "{}"}}
    rows = ({"id": "x", "choices": [{"index": 0, "delta": {"tool_calls": [{**call, "id": i}]}}]} for i in "ab")
    end = {"id": "x", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}
    assert gathered(heard("chat", spelled((*rows, end)))).choices[0].parts == (
        Call("a", "f", "{}"),
        Call("b", "f", "{}"),
    )


@pytest.mark.parametrize("wire", ["messages", "responses", "chat"])
def test_a_seal_finds_its_way_back_to_its_maker_through_a_client_of_another_format(wire: str) -> None:
    """The answer of one maker, kept by a client of another format, sent back with the next request."""
    for maker in ("messages", "responses", "gemini"):
        body = FORMATS[wire].write_reply(FORMATS[maker].read_reply(shapes.WHOLE[maker]), model="m", id="x")
        request: dict[str, Any]
        if wire == "chat":
            request = {"messages": [{"role": "user", "content": "?"}, body["choices"][0]["message"], *_answered(wire)]}
        elif wire == "messages":
            turn = {"role": "assistant", "content": body["content"]}
            request = {"max_tokens": 9, "messages": [{"role": "user", "content": "?"}, turn, *_answered(wire)]}
        else:
            request = {"input": [{"role": "user", "content": "?"}, *body["output"], *_answered(wire)]}
        sent = json.dumps(FORMATS[maker].write(FORMATS[wire].read(request), model="m", stream=False))
        assert shapes.SEAL[maker] in sent
        assert f"{maker}:" not in sent
        others = [other for other in shapes.SEAL if other != maker]
        foreign = [json.dumps(FORMATS[o].write(FORMATS[wire].read(request), model="m", stream=False)) for o in others]
        assert not any(shapes.SEAL[maker] in one for one in foreign)


def _answered(wire: str) -> list[dict[str, Any]]:
    if wire == "messages":
        ids = [{"type": "tool_result", "tool_use_id": one, "content": "!"} for one in ("call_1", "call_2")]
        return [{"role": "user", "content": ids}]
    if wire == "chat":
        return [{"role": "tool", "tool_call_id": one, "content": "!"} for one in ("call_1", "call_2")]
    return [{"type": "function_call_output", "call_id": one, "output": "!"} for one in ("call_1", "call_2")]


STOPS = [
    ("chat", {"choices": [{"message": {"content": "x"}, "finish_reason": "length"}]}, "max_tokens", "incomplete"),
    ("chat", {"choices": [{"message": {"content": "x"}, "finish_reason": "content_filter"}]}, "refusal", "incomplete"),
    ("messages", {"type": "message", "content": [], "stop_reason": "max_tokens"}, "max_tokens", "incomplete"),
    ("messages", {"type": "message", "content": [], "stop_reason": "refusal"}, "refusal", "incomplete"),
    (
        "messages",
        {"type": "message", "content": [], "stop_reason": "stop_sequence", "stop_sequence": "#"},
        "stop_sequence",
        "completed",
    ),
    ("gemini", {"candidates": [{"content": {"parts": []}, "finishReason": "MAX_TOKENS"}]}, "max_tokens", "incomplete"),
    ("gemini", {"promptFeedback": {"blockReason": "SAFETY"}}, "refusal", "incomplete"),
    (
        "responses",
        {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "output": []},
        "max_tokens",
        "incomplete",
    ),
]


@pytest.mark.parametrize(("wire", "raw", "reason", "status"), STOPS)
def test_why_an_answer_stopped_is_told_on(wire: str, raw: dict[str, Any], reason: str, status: str) -> None:
    found = FORMATS[wire].read_reply(raw)
    message = FORMATS["messages"].write_reply(found, model="m", id="x")
    assert message["stop_reason"] == reason
    assert message["stop_sequence"] == ("#" if reason == "stop_sequence" else None)
    assert FORMATS["responses"].write_reply(found, model="m", id="x")["status"] == status
    writer = FORMATS["messages"].writer(model="m", id="x", usage=True, echo={})
    assert events_of(b"".join(map(writer.write, told(found))))[-2]["delta"]["stop_reason"] == reason


ERRORS = [
    ("chat", ({"error": {"message": "no room"}},)),
    ("chat", (*shapes.EVENTS["chat"][:3], {"error": {"message": "no room"}})),
    ("messages", (*shapes.EVENTS["messages"][:3], {"type": "error", "error": {"type": "x", "message": "no room"}})),
    ("responses", (*shapes.EVENTS["responses"][:3], {"type": "error", "message": "no room", "code": "x"})),
    (
        "responses",
        (
            *shapes.EVENTS["responses"][:3],
            {"type": "response.failed", "response": {"error": {"code": "x", "message": "no room"}}},
        ),
    ),
    ("gemini", (*shapes.EVENTS["gemini"][:3], {"error": {"code": 503, "message": "no room", "status": "x"}})),
]


@pytest.mark.parametrize(("wire", "events"), ERRORS)
def test_an_error_in_the_middle_is_a_cut_that_says_it(wire: str, events: tuple[Any, ...]) -> None:
    last = heard(wire, spelled((*events, *shapes.EVENTS[wire][3:])))[-1]
    assert isinstance(last, Cut)
    assert "no room" in last.fault.message


@pytest.mark.parametrize(
    ("wire", "raw"),
    [
        ("chat", {"choices": []}),
        ("chat", {"choices": [{"message": {"content": 3}}]}),
        ("messages", {"type": "message", "content": [{"type": "server_tool_use"}]}),
        ("responses", {"output": [{"type": "web_search_call"}]}),
        ("responses", {"output": [], "status": "failed", "error": {"message": "x"}}),
        ("gemini", {"candidates": [{"content": {"parts": []}}]}),
        ("gemini", {"candidates": [{"finishReason": "MALFORMED_FUNCTION_CALL"}]}),
    ],
)
def test_what_is_no_answer_is_a_fault_of_the_server(wire: str, raw: dict[str, Any]) -> None:
    with pytest.raises(BastideError) as caught:
        FORMATS[wire].read_reply(raw)
    assert caught.value.code in {"inference.upstream_garbage", "inference.upstream_failed"}


def test_a_call_with_broken_arguments_is_not_told_as_an_object() -> None:
    message = {"content": None, "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": '{"x":'}}]}
    found = FORMATS["chat"].read_reply({"choices": [{"message": message, "finish_reason": "tool_calls"}]})
    with pytest.raises(BastideError, match="no JSON object"):
        FORMATS["messages"].write_reply(found, model="m", id="x")
    short = FORMATS["chat"].read_reply({"choices": [{"message": message, "finish_reason": "length"}]})
    assert FORMATS["messages"].write_reply(short, model="m", id="x")["content"] == []


def test_of_several_answers_that_are_passed_on_each_must_say_its_end() -> None:
    def chunk(index: int, finish: str | None) -> bytes:
        return spelled(({"choices": [{"index": index, "delta": {"content": "x"}, "finish_reason": finish}]},))

    first, second = chunk(0, None) + chunk(0, "stop"), chunk(1, None) + chunk(1, "stop")
    for data, whole in ((first, True), (first + second, True), (first + chunk(1, None), False)):
        watched = Watched("chat", usage_wanted=True)
        assert watched.feed(data) == data
        watched.end()
        assert (watched.fault is None) == whole
    assert isinstance(heard("chat", first + chunk(1, None))[-1], Cut)


_SAID = {"index": 0, "delta": {"content": "é"}}
_ODD: list[object] = [
    {"choices": [_SAID]},
    {"choices": [{**_SAID, "finish_reason": None}], "usage": None},
    {"choices": [{**_SAID, "index": 1}]},
    {"choices": [{**_SAID, "index": "0"}]},
    {"choices": [{**_SAID, "finish_reason": "stop"}]},
    {"choices": [_SAID, {**_SAID, "index": 1}]},
    {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}},
    {"choices": [_SAID], "usage": {"prompt_tokens": 3, "completion_tokens": 5}},
    {"choices": [_SAID], "error": {"message": "out of memory"}},
    {"choices": None},
    {"type": "error", "choices": [_SAID]},
    {},
    [],
    "word",
]
_RAW = [spelled((one,)) for one in _ODD] + [
    b": alive\n\n",
    b"data: [DONE]\n\n",
    b"data: {\n\n",
    b'data: {"a":"\xff"}\n\n',
]


@settings(max_examples=300)
@given(st.lists(st.sampled_from(_RAW), max_size=8), st.booleans())
def test_events_that_come_together_are_watched_as_each_by_itself(events: list[bytes], wanted: bool) -> None:
    def watched(pieces: list[bytes]) -> tuple[object, ...]:
        seen, passed = Watched("chat", usage_wanted=wanted), b""
        for piece in pieces:
            if seen.fault is None:
                passed += seen.feed(piece)
        fault = seen.fault and seen.fault.message
        return passed, seen.events, seen.counted, seen.ended, seen.done, fault

    assert watched([b"".join(events)]) == watched(events)


@pytest.mark.parametrize("wire", ["messages", "responses"])
def test_a_stream_that_is_passed_on_is_watched_to_its_last_event(wire: str) -> None:
    """Cut anywhere before its last event it is broken; whole, what it used is known, and nothing is changed."""
    data = spelled(shapes.EVENTS[wire])
    events = data.count(b"\n\n")
    for keep in range(events + 1):
        part = b"".join(one + b"\n\n" for one in data.split(b"\n\n")[:keep])
        watched = Watched(wire, usage_wanted=True)
        assert watched.feed(part) + watched.end() == part
        assert (watched.fault is None) == (keep == events)
    assert watched.counted is not None
    assert (watched.counted.input, watched.counted.output) == (120, 45)
    told = sum(str(one["type"]).endswith("delta") for one in shapes.EVENTS[wire]) - (wire == "messages")
    assert watched.events == told


def test_a_thought_in_parts_of_the_content_is_read_as_one() -> None:
    content = [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, {"type": "text", "text": "Yes."}]
    whole = FORMATS["chat"].read_reply({"choices": [{"message": {"content": content}, "finish_reason": "stop"}]})
    assert whole.choices[0].parts == (Reasoning("Hm."), Text("Yes."))
    chunks = ({"choices": [{"index": 0, "delta": {"content": [one]}}]} for one in content)
    end = {"choices": [{"index": 0, "delta": {"content": "!"}, "finish_reason": "stop"}]}
    assert gathered(heard("chat", spelled((*chunks, end)))).choices[0].parts == (Reasoning("Hm."), Text("Yes.!"))
