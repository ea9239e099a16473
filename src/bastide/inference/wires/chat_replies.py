"""OpenAI's chat completions: whole answers."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from bastide.errors import UpstreamGarbage
from bastide.inference.wires import chat_turns
from bastide.inference.wires.json_text import call_id, own_id
from bastide.inference.wires.replies import list_of, number, object_of, score, table_of, text_of
from bastide.inference.wires.values import (
    Call,
    Choice,
    Counted,
    Logprob,
    Reasoning,
    Refused,
    Replied,
    Stop,
    Text,
)

_STOPS: Final[Mapping[str, Stop]] = {
    "stop": "end",
    "length": "length",
    "tool_calls": "calls",
    "function_call": "calls",
    "content_filter": "filter",
}
FINISHES: Final[Mapping[Stop, str]] = {
    "end": "stop",
    "sequence": "stop",
    "length": "length",
    "calls": "tool_calls",
    "filter": "content_filter",
    "refused": "content_filter",
}


def read(raw: Mapping[str, Any]) -> Replied:
    """The answer. Raises UpstreamGarbage for what is none."""
    identity = text_of(raw, "id")
    choices = sorted(map(object_of, list_of(raw, "choices")), key=lambda one: number(one, "index") or 0)
    if not choices:
        raise UpstreamGarbage("The answer has no `choices`.")
    return Replied(
        tuple(_choice(one, identity, place) for place, one in enumerate(choices)),
        text_of(raw, "model"),
        identity,
        number(raw, "created") or 0,
        usage_read(raw.get("usage")),
    )


def _choice(raw: Mapping[str, Any], identity: str, place: int) -> Choice:
    message = object_of(raw.get("message"))
    parts: list[Text | Reasoning | Call | Refused] = [*reasonings(message)]
    parts += contents(message)
    if refusal := text_of(message, "refusal"):
        parts.append(Refused(refusal))
    for entry in map(object_of, list_of(message, "tool_calls")):
        function = object_of(entry.get("function"))
        name = text_of(entry, "id") or call_id(identity, place, len(parts))
        parts.append(Call(name, text_of(function, "name"), text_of(function, "arguments")))
    called = any(isinstance(part, Call) for part in parts)
    return Choice(
        tuple(parts),
        stop_read(raw.get("finish_reason"), called=called),
        logprobs=logprobs_read(raw.get("logprobs")),
    )


def reasonings(message: Mapping[str, Any]) -> list[Reasoning]:
    """What a message tells of its reasoning. Raises UpstreamGarbage."""
    details = [found for one in list_of(message, "reasoning_details") if (found := detail(object_of(one)))]
    plain = text_of(message, "reasoning_content") or text_of(message, "reasoning")
    return details or ([Reasoning(plain)] if plain else [])


def contents(message: Mapping[str, Any]) -> list[Text | Reasoning]:
    """What a message says; Mistral's thinking models say it in parts. Raises UpstreamGarbage."""
    if not isinstance(message.get("content"), list):
        text = text_of(message, "content")
        return [Text(text)] if text else []
    found: list[Text | Reasoning] = []
    for one in map(object_of, list_of(message, "content")):
        if one.get("type") == "thinking":
            thought = "".join(text_of(object_of(piece), "text") for piece in list_of(one, "thinking"))
            found += [Reasoning(thought)] if thought else []
        elif text := text_of(one, "text"):
            found.append(Text(text))
    return found


def detail(raw: Mapping[str, Any]) -> Reasoning | None:
    """A reasoning with its seal, or a piece of one; None for a kind that is not known."""
    maker = chat_turns.maker_of(text_of(raw, "format"))
    kind, known = text_of(raw, "type"), text_of(raw, "id")
    if kind == "reasoning.encrypted":
        return Reasoning("", text_of(raw, "data"), maker, known, redacted=maker == "messages")
    if kind == "reasoning.summary":
        return Reasoning(text_of(raw, "summary"), id=known)
    if kind == "reasoning.text":
        seal = text_of(raw, "signature")
        return Reasoning(text_of(raw, "text"), seal, maker if seal else "", known)
    return None


def stop_read(found: Any, *, called: bool) -> Stop:
    """Why it stopped; some servers say "stop" for calls."""
    stop = _STOPS.get(found, "end") if isinstance(found, str) else "end"
    return "calls" if called and stop == "end" else stop


def usage_read(found: Any) -> Counted | None:
    """The tokens, None where they are not told."""
    if not isinstance(found, Mapping):
        return None
    sent, got = table_of(found, "prompt_tokens_details"), table_of(found, "completion_tokens_details")
    return Counted(
        number(found, "prompt_tokens") or 0,
        number(found, "completion_tokens") or 0,
        number(sent, "cached_tokens"),
        number(sent, "cache_write_tokens"),
        number(got, "reasoning_tokens"),
    )


def logprobs_read(found: Any) -> tuple[Logprob, ...]:
    """How likely each token was."""
    if not isinstance(found, Mapping):
        return ()
    return tuple(_logprob(object_of(one)) for one in list_of(found, "content"))


def _logprob(raw: Mapping[str, Any]) -> Logprob:
    given = raw.get("bytes")
    return Logprob(
        text_of(raw, "token"),
        score(raw.get("logprob")),
        tuple(given) if isinstance(given, list) else None,
        tuple(_logprob(object_of(one)) for one in list_of(raw, "top_logprobs")),
    )


# -- writing ----------------------------------------------------------------------------------------


def write(replied: Replied, *, model: str, id: str) -> dict[str, Any]:
    """The answer as a client of chats reads it."""
    body: dict[str, Any] = {
        "id": own_id("chatcmpl-", id),
        "object": "chat.completion",
        "created": replied.created or int(time.time()),
        "model": model,
        "choices": [_written(place, choice) for place, choice in enumerate(replied.choices)],
    }
    if replied.usage is not None:
        body["usage"] = usage_written(replied.usage)
    return body


def _written(place: int, choice: Choice) -> dict[str, Any]:
    texts = [part.text for part in choice.parts if isinstance(part, Text)]
    content = "".join(texts) if texts else None
    message = {"role": "assistant", "content": content, "refusal": None, **chat_turns.spoken(choice.parts, sealed=True)}
    return {
        "index": place,
        "message": message,
        "logprobs": logprobs_written(choice.logprobs) if choice.logprobs else None,
        "finish_reason": FINISHES[choice.stop],
    }


def usage_written(counted: Counted) -> dict[str, Any]:
    """The tokens as the OpenAI chat formats tell them."""
    usage: dict[str, Any] = {
        "prompt_tokens": counted.input,
        "completion_tokens": counted.output,
        "total_tokens": counted.input + counted.output,
    }
    sent = {"cached_tokens": counted.cached, "cache_write_tokens": counted.written}
    if any(value is not None for value in sent.values()):
        usage["prompt_tokens_details"] = {name: value for name, value in sent.items() if value is not None}
    if counted.thought is not None:
        usage["completion_tokens_details"] = {"reasoning_tokens": counted.thought}
    return usage


def logprobs_written(logprobs: tuple[Logprob, ...]) -> dict[str, Any]:
    """How likely each token was, as the chat formats tell it."""
    return {"content": [logprob_written(one) for one in logprobs], "refusal": None}


def logprob_written(one: Logprob, *, inner: bool = False) -> dict[str, Any]:
    """One token, and the others that it might have been."""
    data = None if one.bytes is None else list(one.bytes)
    told = {"token": one.token, "bytes": data, "logprob": one.logprob}
    return told if inner else {**told, "top_logprobs": [logprob_written(other, inner=True) for other in one.top]}
