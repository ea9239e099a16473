# ruff: noqa: E501 a table is read by its rows
"""Requests as clients send them, put into the words of every other format, and what is refused by its name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming
from pydantic import TypeAdapter

from bastide.errors import BadChat
from bastide.inference.wires import FORMATS, chat, gemini, messages, responses

from . import shapes

PNG = "iVBORw0KGgo="
PARAMS: dict[str, Any] = {
    "chat": CompletionCreateParamsNonStreaming,
    "messages": MessageCreateParamsNonStreaming,
    "responses": ResponseCreateParamsNonStreaming,
}
FORM = {"type": "object", "properties": {}, "additionalProperties": False}

# One conversation, as a client of each format says it.
SAME: dict[str, dict[str, Any]] = {
    "chat": {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
                    {"type": "image_url", "image_url": {"url": "https://a.example/b.jpg"}},
                    {"type": "file", "file": {"filename": "f.pdf", "file_data": "data:application/pdf;base64,QUJD"}},
                ],
            },
            {
                "role": "assistant",
                "content": "Let me look.",
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Łódź"}'}},
                    {"id": "c2", "type": "function", "function": {"name": "weather", "arguments": "{}"}},
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "Rain."},
            {"role": "tool", "tool_call_id": "c2", "content": "Sun."},
            {"role": "user", "content": "And?"},
        ],
        "tools": [
            {
                "type": "function",
                "function": {"name": "weather", "description": "What it is like", "parameters": shapes.SCHEMA},
            }
        ],
        "tool_choice": {"type": "function", "function": {"name": "weather"}},
        "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": FORM}},
        "max_tokens": 300,
        "temperature": 0.5,
        "top_p": 0.9,
    },
    "messages": {
        "model": "m",
        "system": [{"type": "text", "text": "Be brief."}],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
                    {"type": "image", "source": {"type": "url", "url": "https://a.example/b.jpg"}},
                    {
                        "type": "document",
                        "source": {"type": "base64", "media_type": "application/pdf", "data": "QUJD"},
                        "title": "f.pdf",
                    },
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "Let me look."},
                    {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Łódź"}},
                    {"type": "tool_use", "id": "c2", "name": "weather", "input": {}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "Rain."}]},
                    {"type": "tool_result", "tool_use_id": "c2", "content": [{"type": "text", "text": "Sun."}]},
                    {"type": "text", "text": "And?"},
                ],
            },
        ],
        "tools": [{"name": "weather", "description": "What it is like", "input_schema": shapes.SCHEMA}],
        "tool_choice": {"type": "tool", "name": "weather"},
        "output_config": {"format": {"type": "json_schema", "schema": FORM}},
        "max_tokens": 300,
        "temperature": 0.5,
        "top_p": 0.9,
    },
    "responses": {
        "model": "m",
        "instructions": "Be brief.",
        "input": [
            {
                "type": "message",
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "What is this?"},
                    {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "auto"},
                    {"type": "input_image", "image_url": "https://a.example/b.jpg", "detail": "auto"},
                    {"type": "input_file", "filename": "f.pdf", "file_data": "data:application/pdf;base64,QUJD"},
                ],
            },
            {"type": "message", "role": "assistant", "content": "Let me look."},
            {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": '{"city":"Łódź"}'},
            {"type": "function_call", "call_id": "c2", "name": "weather", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "Rain."},
            {"type": "function_call_output", "call_id": "c2", "output": "Sun."},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "And?"}]},
        ],
        "tools": [
            {
                "type": "function",
                "name": "weather",
                "description": "What it is like",
                "parameters": shapes.SCHEMA,
                "strict": None,
            }
        ],
        "tool_choice": {"type": "function", "name": "weather"},
        "text": {"format": {"type": "json_schema", "name": "answer", "schema": FORM}},
        "max_output_tokens": 300,
        "temperature": 0.5,
        "top_p": 0.9,
        "store": False,
    },
    "gemini": {
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [
            {
                "role": "user",
                "parts": [
                    {"text": "What is this?"},
                    {"inlineData": {"mimeType": "image/png", "data": PNG}},
                    {"fileData": {"mimeType": "image/jpeg", "fileUri": "https://a.example/b.jpg"}},
                    {"inlineData": {"mimeType": "application/pdf", "data": "QUJD"}},
                ],
            },
            {
                "role": "model",
                "parts": [
                    {"text": "Let me look."},
                    {"functionCall": {"id": "c1", "name": "weather", "args": {"city": "Łódź"}}},
                    {"functionCall": {"id": "c2", "name": "weather", "args": {}}},
                ],
            },
            {
                "role": "user",
                "parts": [
                    {"functionResponse": {"id": "c1", "name": "weather", "response": {"output": "Rain."}}},
                    {"functionResponse": {"id": "c2", "name": "weather", "response": {"output": "Sun."}}},
                    {"text": "And?"},
                ],
            },
        ],
        "tools": [
            {
                "functionDeclarations": [
                    {"name": "weather", "description": "What it is like", "parametersJsonSchema": shapes.SCHEMA}
                ]
            }
        ],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["weather"]}},
        "generationConfig": {
            "maxOutputTokens": 300,
            "temperature": 0.5,
            "topP": 0.9,
            "responseMimeType": "application/json",
            "responseJsonSchema": FORM,
        },
    },
}


def put(theirs: str, ours: str, body: dict[str, Any], *, stream: bool = False) -> dict[str, Any]:
    """A client's body in the words of a server."""
    return FORMATS[theirs].write(FORMATS[ours].read(body), model="m", stream=stream)


def nameless(value: Any) -> Any:
    """A body without the names of its documents."""
    if isinstance(value, dict):
        return {name: nameless(one) for name, one in value.items() if name not in {"title", "filename"}}
    return [nameless(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize("theirs", SAME)
@pytest.mark.parametrize("ours", SAME)
def test_one_conversation_in_every_format(ours: str, theirs: str) -> None:
    found, expected = put(theirs, ours, SAME[ours]), SAME[theirs]
    if theirs != "gemini":
        TypeAdapter(PARAMS[theirs]).validate_python(found)
        if ours == "gemini":  # it has no names of documents
            found, expected = nameless(found), nameless(expected)
    assert found == expected


def test_a_stream_is_asked_for_with_what_it_used() -> None:
    assert put("chat", "messages", SAME["messages"], stream=True)["stream_options"] == {"include_usage": True}
    assert put("messages", "chat", SAME["chat"], stream=True)["stream"] is True
    assert "stream" not in put("gemini", "chat", SAME["chat"], stream=True)


SMALL: dict[str, dict[str, Any]] = {
    "chat": {"messages": [{"role": "user", "content": "?"}]},
    "messages": {"max_tokens": 9000, "messages": [{"role": "user", "content": "?"}]},
    "responses": {"input": "?"},
    "gemini": {"contents": [{"role": "user", "parts": [{"text": "?"}]}]},
    "completions": {"prompt": "?"},
}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
TWO = {"tools": [TOOL, {"type": "function", "function": {"name": "g"}}]}
ONE_OF = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [TOOL]}}
CONFIG = "generationConfig"
SAYS: list[tuple[str, dict[str, Any], str, dict[str, Any]]] = [
    ("chat", {"stop": "#", "seed": 3}, "messages", {"stop_sequences": ["#"]}),
    ("chat", {"stop": ["#"], "seed": 3, "n": 2}, "gemini", {CONFIG: {"stopSequences": ["#"], "seed": 3, "candidateCount": 2}}),
    ("chat", {"max_completion_tokens": 7}, "responses", {"max_output_tokens": 7}),
    ("chat", {}, "messages", {"max_tokens": 8192}),
    ("chat", {"user": "u"}, "messages", {"metadata": {"user_id": "u"}}),
    ("messages", {"metadata": {"user_id": "u"}}, "chat", {"user": "u"}),
    ("chat", {"metadata": {"k": "v"}}, "responses", {"metadata": {"k": "v"}}),
    ("chat", {"reasoning_effort": "high"}, "responses", {"reasoning": {"effort": "high"}}),
    ("chat", {"reasoning_effort": "high"}, "messages", {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}),
    ("chat", {"reasoning_effort": "none"}, "messages", {"thinking": {"type": "disabled"}}),
    ("chat", {"reasoning_effort": "low"}, "gemini", {CONFIG: {"thinkingConfig": {"thinkingBudget": 2048, "includeThoughts": True}}}),
    ("messages", {"thinking": {"type": "enabled", "budget_tokens": 4096}}, "chat", {"reasoning_effort": "medium"}),
    ("messages", {"thinking": {"type": "enabled", "budget_tokens": 4096}}, "gemini", {CONFIG: {"maxOutputTokens": 9000, "thinkingConfig": {"thinkingBudget": 4096, "includeThoughts": True}}}),
    ("messages", {"thinking": {"type": "disabled"}}, "chat", {"reasoning_effort": "none"}),
    ("responses", {"reasoning": {"effort": "low", "summary": "auto"}}, "messages", {"thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": "low"}}),
    ("chat", {"response_format": {"type": "json_object"}}, "gemini", {CONFIG: {"responseMimeType": "application/json"}}),
    ("chat", {"response_format": {"type": "json_object"}}, "responses", {"text": {"format": {"type": "json_object"}}}),
    ("chat", {"response_format": {"type": "json_object"}}, "messages", {"system": [{"type": "text", "text": messages._ONLY_JSON}], "output_config": None}),
    ("responses", {"instructions": "Be brief.", "text": {"format": {"type": "json_object"}}}, "messages", {"system": [{"type": "text", "text": "Be brief."}, {"type": "text", "text": messages._ONLY_JSON}]}),
    ("messages", {"output_format": {"type": "json_schema", "schema": FORM}}, "chat", {"response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": FORM}}}),
    ("chat", {"verbosity": "low"}, "responses", {"text": {"verbosity": "low"}}),
    ("chat", {"logprobs": True, "top_logprobs": 2}, "responses", {"top_logprobs": 2, "include": ["message.output_text.logprobs"]}),
    ("chat", {"logprobs": True, "top_logprobs": 2}, "gemini", {CONFIG: {"responseLogprobs": True, "logprobs": 2}}),
    ("completions", {"logprobs": 2, "n": 3}, "chat", {"logprobs": True, "top_logprobs": 2, "n": 3}),
    ("chat", {**TWO, "tool_choice": "required"}, "messages", {"tool_choice": {"type": "any"}}),
    ("chat", {**TWO, "tool_choice": "none"}, "messages", {"tool_choice": {"type": "none"}}),
    ("chat", {**TWO, "tool_choice": "none"}, "gemini", {"toolConfig": {"functionCallingConfig": {"mode": "NONE"}}}),
    ("chat", {**TWO, "parallel_tool_calls": False}, "messages", {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}),
    ("messages", {"tools": [{"name": "f", "input_schema": {}}], "tool_choice": {"type": "any", "disable_parallel_tool_use": True}}, "chat", {"tool_choice": "required", "parallel_tool_calls": False}),
    ("chat", {**TWO, "tool_choice": ONE_OF}, "messages", {"tools": [{"name": "f", "input_schema": {"type": "object"}}], "tool_choice": {"type": "auto"}}),
    ("chat", {**TWO, "tool_choice": ONE_OF}, "responses", {"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]}}),
    ("gemini", {"tools": [{"function_declarations": [{"name": "f", "parameters": {"type": "OBJECT"}}]}]}, "chat", {"tools": [TOOL]}),
    ("gemini", {"generation_config": {"max_output_tokens": 5}}, "chat", {"max_tokens": 5}),
]  # fmt: skip


@pytest.mark.parametrize(("ours", "more", "theirs", "expected"), SAYS)
def test_a_wish_in_the_words_of_another(ours: str, more: dict[str, Any], theirs: str, expected: dict[str, Any]) -> None:
    found = put(theirs, ours, {**SMALL[ours], **more})
    assert {name: found.get(name) for name in expected} == expected


SILENT: list[tuple[str, dict[str, Any], str]] = [
    ("chat", {"seed": 3, "store": True, "service_tier": "auto", "prompt_cache_key": "k"}, "messages"),
    ("chat", {"seed": 3, "metadata": {"a": "b"}, "verbosity": "low"}, "messages"),
    (
        "responses",
        {
            "store": True,
            "client_metadata": {"turn_id": "1"},
            "truncation": "disabled",
            "include": ["reasoning.encrypted_content"],
        },
        "chat",
    ),
    ("messages", {"service_tier": "auto", "cache_control": {"type": "ephemeral"}}, "chat"),
    ("chat", {"temperature": 1, "top_p": 1, "frequency_penalty": 0, "presence_penalty": 0.0}, "messages"),
    ("gemini", {"safetySettings": [{"category": "x"}]}, "chat"),
    ("chat", {"seed": 3, "presence_penalty": 0, "parallel_tool_calls": True, "tools": []}, "responses"),
]


@pytest.mark.parametrize(("ours", "more", "theirs"), SILENT)
def test_what_changes_no_answer_is_left_out(ours: str, more: dict[str, Any], theirs: str) -> None:
    assert put(theirs, ours, {**SMALL[ours], **more}) == put(theirs, ours, SMALL[ours])


def test_all_that_is_left_out_is_on_its_page() -> None:
    page = (Path(__file__).parents[4] / "docs" / "reference" / "wires.md").read_text(encoding="utf-8")
    names = {name for module in (chat, responses, messages, gemini) for name in module._UNHEARD} - {"model", "stream"}
    assert not [name for name in names if f"`{name}`" not in page]


def said(*content: Any, role: str = "user") -> dict[str, Any]:
    return {"messages": [{"role": role, "content": list(content)}]}


REFUSED: list[tuple[str, dict[str, Any], str, str]] = [
    ("chat", {"n": 2}, "messages", "n"),
    ("chat", {"n": 2}, "responses", "n"),
    ("chat", {"logprobs": True}, "messages", "logprobs"),
    ("chat", {"temperature": 1.5}, "messages", "temperature"),
    ("chat", {"logit_bias": {"1": 5}}, "gemini", "logit_bias"),
    ("chat", {"frequency_penalty": 1}, "messages", "frequency_penalty"),
    ("chat", {"stop": "#"}, "responses", "stop"),
    ("chat", {**TWO, "parallel_tool_calls": False}, "gemini", "parallel_tool_calls"),
    ("chat", {"web_search_options": {}}, "messages", "web_search_options"),
    ("chat", {"modalities": ["text", "audio"]}, "messages", "modalities"),
    ("chat", {"made_up": 1}, "messages", "made_up"),
    ("chat", {"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "messages", "tools[0].type"),
    ("chat", {"tools": [{"type": "function", "function": {"parameters": {}}}]}, "messages", "tools[0].function.name"),
    ("chat", {"tools": [{"type": "function", "function": {"name": "f", "parameters": 3}}]}, "messages", "tools[0].function.parameters"),
    ("chat", {"tool_choice": {"type": "function"}}, "messages", "tool_choice.function"),
    ("chat", said({"type": "image_url", "image_url": {"url": "data:image/tiff;base64,QUJD"}}), "messages", "messages[0].content[0].image_url.url"),
    ("chat", said({"type": "image_url", "image_url": {"url": "data:image/png;base64,###"}}), "messages", "messages[0].content[0].image_url.url"),
    ("chat", said({"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}), "messages", "messages[0].content[0].image_url.url"),
    ("chat", said({"type": "file", "file": {"file_id": "f"}}), "messages", "messages[0].content[0].file.file_id"),
    ("chat", said({"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}}), "messages", "messages"),
    ("chat", said({"type": "video"}), "messages", "messages[0].content[0].type"),
    ("chat", {"messages": [{"role": "robot", "content": "?"}]}, "messages", "messages[0].role"),
    ("chat", said({"type": "image_url", "image_url": {"url": "https://a.example/b"}}), "gemini", "messages"),
    ("chat", {"messages": [*SMALL["chat"]["messages"], {"role": "system", "content": "x"}]}, "gemini", "messages"),
    ("chat", {"messages": [{"role": "tool", "tool_call_id": "c", "content": "x"}]}, "gemini", "messages"),
    ("messages", {"max_tokens": None}, "chat", "max_tokens"),
    ("messages", {"max_tokens": "9"}, "chat", "max_tokens"),
    ("messages", {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "chat", "tools[0].type"),
    ("messages", {"container": "c"}, "chat", "container"),
    ("messages", {"mcp_servers": [{}]}, "chat", "mcp_servers"),
    ("messages", said({"type": "image", "source": {"type": "file", "file_id": "f"}}), "chat", "messages[0].content[0].source.type"),
    ("messages", said({"type": "document", "citations": {"enabled": True}, "source": {}}), "chat", "messages[0].content[0].citations.enabled"),
    ("messages", said({"type": "document", "source": {"type": "url", "url": "https://a.example/b.pdf"}}), "chat", "messages"),
    ("messages", {"messages": [*SMALL["messages"]["messages"], {"role": "assistant", "content": "{"}]}, "chat", "messages"),
    ("messages", {"messages": [*SMALL["messages"]["messages"], {"role": "assistant", "content": "{"}]}, "responses", "messages"),
    ("responses", {"previous_response_id": "r"}, "chat", "previous_response_id"),
    ("responses", {"conversation": "c"}, "chat", "conversation"),
    ("responses", {"background": True}, "chat", "background"),
    ("responses", {"truncation": "auto"}, "chat", "truncation"),
    ("responses", {"tools": [{"type": "web_search"}]}, "chat", "tools[0].type"),
    ("responses", {"input": [{"type": "item_reference", "id": "x"}]}, "chat", "input[0].type"),
    ("responses", {"input": [{"id": "x"}]}, "chat", "input[0].type"),
    ("gemini", {"tools": [{"googleSearch": {}}]}, "chat", "tools[0].googleSearch"),
    ("gemini", {"cachedContent": "c"}, "chat", "cachedContent"),
    ("completions", {"prompt": ["a", "b"]}, "chat", "prompt"),
    ("completions", {"prompt": [1, 2]}, "chat", "prompt"),
    ("completions", {"suffix": "x"}, "chat", "suffix"),
    ("completions", {"echo": True}, "chat", "echo"),
    ("completions", {"best_of": 3}, "chat", "best_of"),
    ("chat", TWO, "completions", "tools"),
]  # fmt: skip


@pytest.mark.parametrize(("ours", "more", "theirs", "field"), REFUSED)
def test_what_cannot_be_said_is_refused_by_its_name(ours: str, more: dict[str, Any], theirs: str, field: str) -> None:
    with pytest.raises(BadChat) as caught:
        put(theirs, ours, {**SMALL[ours], **more})
    assert caught.value.facts["field"] == caught.value.facts["param"] == field
    assert f"`{field}`" in caught.value.message


def test_a_picture_that_a_tool_gave_is_shown_to_a_chat_after_the_results() -> None:
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    turns = [
        {"role": "user", "content": "?"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "shot", "input": {}}]},
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "c", "content": [picture], "is_error": True}],
        },
    ]
    body: dict[str, Any] = {"max_tokens": 9, "messages": turns}
    tool, user = put("chat", "messages", body)["messages"][-2:]
    assert tool == {"role": "tool", "tool_call_id": "c", "content": ""}
    assert user["content"][0]["image_url"]["url"] == f"data:image/png;base64,{PNG}"
    response = put("gemini", "messages", body)["contents"][-1]["parts"][0]["functionResponse"]
    assert response["response"] == {"error": ""}
    assert response["parts"] == [{"inlineData": {"mimeType": "image/png", "data": PNG}}]


def test_a_tool_that_was_found_is_told_by_its_name() -> None:
    found = {"type": "tool_result", "tool_use_id": "c", "content": [{"type": "tool_reference", "tool_name": "clock"}]}
    turns = [
        {"role": "user", "content": "?"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "find", "input": {}}]},
        {"role": "user", "content": [found]},
    ]
    tools = [{"name": "find", "input_schema": {}}, {"name": "clock", "input_schema": {}, "defer_loading": True}]
    body = put("chat", "messages", {"max_tokens": 9, "messages": turns, "tools": tools})
    assert body["messages"][-1]["content"] == "clock"
    assert [tool["function"]["name"] for tool in body["tools"]] == ["find", "clock"]


def test_what_another_client_adds_to_an_answer_is_left_out() -> None:
    said = {"role": "assistant", "content": "June.", "provider_specific_fields": {"citations": []}, "annotations": []}
    body = {"messages": [*SMALL["chat"]["messages"], said, {"role": "user", "content": "Sure?"}]}
    assert put("messages", "chat", body)["messages"][1] == {
        "role": "assistant",
        "content": [{"type": "text", "text": "June."}],
    }


def test_calls_without_ids_are_matched_by_their_name_in_their_order() -> None:
    calls = [{"functionCall": {"name": "f", "args": {"n": n}}} for n in (1, 2)]
    results = [{"functionResponse": {"name": "f", "response": {"result": n}}} for n in (1, 2)]
    contents = [{"role": "model", "parts": calls}, {"role": "user", "parts": results}]
    messages = put("chat", "gemini", {"contents": [*SMALL["gemini"]["contents"], *contents]})["messages"]
    assert [one["id"] for one in messages[1]["tool_calls"]] == [one["tool_call_id"] for one in messages[2:]]
    assert [one["content"] for one in messages[2:]] == ['{"result":1}', '{"result":2}']
    assert len({one["tool_call_id"] for one in messages[2:]}) == 2
