"""One answer as each kind of server tells it, whole and event by event: a thought, a sentence, two calls at once.

Written from the references of the formats (their fields, the order and the names of their events), with what real
servers do beside them: arguments in pieces, usage at the end, pings between.
"""

from __future__ import annotations

from typing import Any, Final

from bastide.inference.wires.values import Call, Counted, Reasoning, Text

THOUGHT, SENTENCE = "I need both.", "Let me look."
WEATHER, TIME = '{"city":"Łódź"}', '{"zone":"CET"}'
SEAL = {"messages": "c2VhbA==", "gemini": "dGhvdWdodA==", "responses": "ZW5jcnlwdGVk"}
SCHEMA: Final = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}

PARTS: Final[dict[str, tuple[Any, ...]]] = {
    "chat": (Reasoning(THOUGHT),),
    "messages": (Reasoning(THOUGHT, SEAL["messages"], "messages"),),
    "responses": (Reasoning(THOUGHT, SEAL["responses"], "responses", "rs_1"),),
    "gemini": (Reasoning(THOUGHT),),
}
SAID: Final = (Text(SENTENCE), Call("call_1", "weather", WEATHER), Call("call_2", "clock", TIME))
USED: Final = Counted(120, 45, 20, None, 10)
TEXT_ONLY: Final = "completions"


def parts(wire: str) -> tuple[Any, ...]:
    """What the answer says, in the neutral form."""
    if wire == TEXT_ONLY:
        return (Text(SENTENCE),)
    if wire == "gemini":  # its proof of the thought stands at the first call
        return (*PARTS[wire], SAID[0], Reasoning("", SEAL["gemini"], "gemini"), *SAID[1:])
    return (*PARTS[wire], *SAID)


def used(wire: str) -> Counted:
    """What it used; each format tells something less."""
    return Counted(120, 45, 20, 0, 10) if wire in {"messages", "responses"} else USED


_HEAD = {"id": "chatcmpl-9", "created": 1_764_000_000, "model": "upstream", "system_fingerprint": "fp_1"}
_CHAT_USAGE = {
    "prompt_tokens": 120,
    "completion_tokens": 45,
    "total_tokens": 165,
    "prompt_tokens_details": {"cached_tokens": 20},
    "completion_tokens_details": {"reasoning_tokens": 10},
}


def _call(identity: str, name: str, arguments: str) -> dict[str, Any]:
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}


def _delta(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return {**_HEAD, "object": "chat.completion.chunk", "choices": [choice]}


def _more(index: int, arguments: str) -> dict[str, Any]:
    return _delta(tool_calls=[{"index": index, "function": {"arguments": arguments}}])


_CHAT: Final = {
    **_HEAD,
    "object": "chat.completion",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": SENTENCE,
                "reasoning_content": THOUGHT,
                "refusal": None,
                "tool_calls": [_call("call_1", "weather", WEATHER), _call("call_2", "clock", TIME)],
            },
            "logprobs": None,
            "finish_reason": "tool_calls",
        }
    ],
    "usage": _CHAT_USAGE,
}
_CHAT_EVENTS: Final = (
    _delta(role="assistant", content=""),
    _delta(reasoning_content="I need "),
    _delta(reasoning_content="both."),
    _delta(content="Let me"),
    _delta(content=" look."),
    _delta(tool_calls=[{"index": 0, **_call("call_1", "weather", "")}]),
    _more(0, '{"city":'),
    _more(0, '"Łódź"}'),
    _delta(tool_calls=[{"index": 1, **_call("call_2", "clock", "")}]),
    _more(1, TIME),
    _delta("tool_calls"),
    {**_HEAD, "object": "chat.completion.chunk", "choices": [], "usage": _CHAT_USAGE},
    "[DONE]",
)

_MESSAGE: Final = {
    "id": "msg_01",
    "type": "message",
    "role": "assistant",
    "model": "upstream",
    "content": [
        {"type": "thinking", "thinking": THOUGHT, "signature": SEAL["messages"]},
        {"type": "text", "text": SENTENCE},
        {"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Łódź"}},
        {"type": "tool_use", "id": "call_2", "name": "clock", "input": {"zone": "CET"}},
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {
        "input_tokens": 100,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 20,
        "output_tokens": 45,
        "output_tokens_details": {"thinking_tokens": 10},
        "service_tier": "standard",
    },
}


def _block(index: int, block: dict[str, Any], *deltas: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    return (
        {"type": "content_block_start", "index": index, "content_block": block},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    )


def _json(text: str) -> dict[str, Any]:
    return {"type": "input_json_delta", "partial_json": text}


_BEGUN = {"input_tokens": 100, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 20, "output_tokens": 1}
_MESSAGE_EVENTS: Final = (
    {"type": "message_start", "message": {**_MESSAGE, "content": [], "stop_reason": None, "usage": _BEGUN}},
    *_block(
        0,
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "thinking_delta", "thinking": "I need "},
        {"type": "thinking_delta", "thinking": "both."},
        {"type": "signature_delta", "signature": SEAL["messages"]},
    ),
    {"type": "ping"},
    *_block(1, {"type": "text", "text": ""}, *({"type": "text_delta", "text": one} for one in ("Let me", " look."))),
    *_block(
        2,
        {"type": "tool_use", "id": "call_1", "name": "weather", "input": {}},
        *map(_json, ("", '{"city":', '"Łódź"}')),
    ),
    *_block(3, {"type": "tool_use", "id": "call_2", "name": "clock", "input": {}}, _json(TIME)),
    {
        "type": "message_delta",
        "delta": {"stop_reason": "tool_use", "stop_sequence": None},
        "usage": {"output_tokens": 45, "output_tokens_details": {"thinking_tokens": 10}},
    },
    {"type": "message_stop"},
)

_REASONED = {
    "id": "rs_1",
    "type": "reasoning",
    "summary": [{"type": "summary_text", "text": THOUGHT}],
    "encrypted_content": SEAL["responses"],
}
_OUTPUT: Final[tuple[dict[str, Any], ...]] = (
    _REASONED,
    {
        "id": "msg_1",
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [{"type": "output_text", "text": SENTENCE, "annotations": [], "logprobs": []}],
    },
    {
        "id": "fc_1",
        "type": "function_call",
        "status": "completed",
        "call_id": "call_1",
        "name": "weather",
        "arguments": WEATHER,
    },
    {
        "id": "fc_2",
        "type": "function_call",
        "status": "completed",
        "call_id": "call_2",
        "name": "clock",
        "arguments": TIME,
    },
)
_RESPONSE: Final = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1_764_000_000,
    "status": "completed",
    "error": None,
    "incomplete_details": None,
    "model": "upstream",
    "output": list(_OUTPUT),
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "usage": {
        "input_tokens": 120,
        "input_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 0},
        "output_tokens": 45,
        "output_tokens_details": {"reasoning_tokens": 10},
        "total_tokens": 165,
    },
}


def _response_events() -> tuple[dict[str, Any], ...]:
    begun = {**_RESPONSE, "status": "in_progress", "output": [], "usage": None}
    rows: list[tuple[str, dict[str, Any]]] = [("created", {"response": begun}), ("in_progress", {"response": begun})]
    empty: tuple[dict[str, Any], ...] = ({"summary": []}, {"content": []}, {"arguments": ""}, {"arguments": ""})
    for index, item in enumerate(_OUTPUT):
        at = {"item_id": item["id"], "output_index": index}
        status = {} if index == 0 else {"status": "in_progress"}
        opened = {**{k: v for k, v in item.items() if k != "encrypted_content"}, **empty[index], **status}
        rows.append(("output_item.added", {"output_index": index, "item": opened}))
        if index == 0:
            part = {"summary_index": 0, "part": {"type": "summary_text", "text": ""}}
            rows.append(("reasoning_summary_part.added", {**at, **part}))
            for text in ("I need ", "both."):
                rows.append(("reasoning_summary_text.delta", {**at, "summary_index": 0, "delta": text}))
            rows.append(("reasoning_summary_text.done", {**at, "summary_index": 0, "text": THOUGHT}))
            rows.append(("reasoning_summary_part.done", {**at, "summary_index": 0, "part": item["summary"][0]}))
        elif index == 1:
            here, content = {**at, "content_index": 0}, item["content"][0]
            rows.append(("content_part.added", {**here, "part": {**content, "text": ""}}))
            for text in ("Let me", " look."):
                rows.append(("output_text.delta", {**here, "delta": text, "logprobs": []}))
            rows.append(("output_text.done", {**here, "text": SENTENCE, "logprobs": []}))
            rows.append(("content_part.done", {**here, "part": content}))
        else:
            for text in (item["arguments"][:6], item["arguments"][6:]):
                rows.append(("function_call_arguments.delta", {**at, "delta": text}))
            rows.append(("function_call_arguments.done", {**at, "arguments": item["arguments"]}))
        rows.append(("output_item.done", {"output_index": index, "item": item}))
    rows.append(("completed", {"response": _RESPONSE}))
    return tuple({"type": f"response.{kind}", "sequence_number": n, **more} for n, (kind, more) in enumerate(rows))


def _candidate(*rows: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    end = {"finishReason": finish} if finish else {}
    return {
        "candidates": [{"content": {"role": "model", "parts": list(rows)}, "index": 0, **end}],
        "usageMetadata": {
            "promptTokenCount": 120,
            "cachedContentTokenCount": 20,
            "candidatesTokenCount": 35,
            "thoughtsTokenCount": 10,
            "totalTokenCount": 165,
        },
        "modelVersion": "upstream",
        "responseId": "r1",
    }


_FIRST = {"functionCall": {"id": "call_1", "name": "weather", "args": {"city": "Łódź"}}}
_SECOND = {"functionCall": {"id": "call_2", "name": "clock", "args": {"zone": "CET"}}}
_SEALED = {**_FIRST, "thoughtSignature": SEAL["gemini"]}
_GEMINI: Final = _candidate({"text": THOUGHT, "thought": True}, {"text": SENTENCE}, _SEALED, _SECOND, finish="STOP")
_GEMINI_EVENTS: Final = (
    _candidate({"text": "I need ", "thought": True}),
    _candidate({"text": "both.", "thought": True}),
    _candidate({"text": "Let me"}),
    _candidate({"text": " look."}),
    _candidate(_SEALED),
    _candidate(_SECOND, finish="STOP"),
)

_TEXT_HEAD = {"id": "cmpl-9", "object": "text_completion", "created": 1_764_000_000, "model": "upstream"}


def _row(text: str, finish: str | None) -> dict[str, Any]:
    return {**_TEXT_HEAD, "choices": [{"index": 0, "text": text, "logprobs": None, "finish_reason": finish}]}


WHOLE: Final[dict[str, dict[str, Any]]] = {
    "chat": _CHAT,
    "messages": _MESSAGE,
    "responses": _RESPONSE,
    "gemini": _GEMINI,
    "completions": {**_row(SENTENCE, "stop"), "usage": _CHAT_USAGE},
}
EVENTS: Final[dict[str, tuple[Any, ...]]] = {
    "chat": _CHAT_EVENTS,
    "messages": _MESSAGE_EVENTS,
    "responses": _response_events(),
    "gemini": _GEMINI_EVENTS,
    "completions": (
        _row("Let me", None),
        _row(" look.", None),
        _row("", "stop"),
        {**_TEXT_HEAD, "choices": [], "usage": _CHAT_USAGE},
        "[DONE]",
    ),
}
