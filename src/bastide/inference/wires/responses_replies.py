"""OpenAI's responses: whole answers."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from bastide.errors import UpstreamFailed, UpstreamGarbage
from bastide.inference.upstream_faults import told_in
from bastide.inference.wires.chat_replies import logprob_written, logprobs_read
from bastide.inference.wires.json_text import own_id
from bastide.inference.wires.replies import list_of, number, object_of, table_of, text_of
from bastide.inference.wires.seals import marked, unmarked
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

Told = Text | Reasoning | Call | Refused


def read(raw: Mapping[str, Any]) -> Replied:
    """The answer. Raises UpstreamGarbage for what is none, UpstreamFailed for one that says so."""
    if raw.get("status") in ("failed", "cancelled") or raw.get("error") is not None:
        raise UpstreamFailed(f"The model's server reports: {told_in(raw)}")
    if type(raw.get("output")) is not list:
        raise UpstreamGarbage("The answer has no `output`.")
    parts: list[Told] = []
    logprobs: list[Logprob] = []
    for item in map(object_of, list_of(raw, "output")):
        parts += _parts(item, logprobs)
    stop = stop_read(raw, called=any(isinstance(part, Call) for part in parts))
    choice = Choice(tuple(parts), stop, logprobs=tuple(logprobs))
    return Replied(
        (choice,),
        text_of(raw, "model"),
        text_of(raw, "id"),
        number(raw, "created_at") or 0,
        usage_read(raw.get("usage")),
    )


def _parts(item: Mapping[str, Any], logprobs: list[Logprob]) -> list[Told]:
    kind = item.get("type")
    if kind == "function_call":
        return [call(item)]
    if kind == "reasoning":
        return [reasoning(item)]
    if kind != "message":
        raise UpstreamGarbage(f"The answer holds an item of the type {str(kind)[:64]!r}, for which nobody asked.")
    parts: list[Told] = []
    for part in map(object_of, list_of(item, "content")):
        if part.get("type") == "refusal":
            parts.append(Refused(text_of(part, "refusal")))
        elif text := text_of(part, "text"):
            parts.append(Text(text))
            logprobs += logprobs_read({"content": part.get("logprobs")})
    return parts


def call(item: Mapping[str, Any]) -> Call:
    """A call of a function. Raises UpstreamGarbage."""
    return Call(text_of(item, "call_id"), text_of(item, "name"), text_of(item, "arguments"))


def reasoning(item: Mapping[str, Any]) -> Reasoning:
    """A reasoning: its summary, or its text where a server tells that. Raises UpstreamGarbage."""
    found = list_of(item, "summary") or list_of(item, "content")
    text = "\n\n".join(text_of(object_of(one), "text") for one in found)
    return unmarked(text, text_of(item, "encrypted_content"), "responses", id=text_of(item, "id"))


def stop_read(raw: Mapping[str, Any], *, called: bool) -> Stop:
    """Why it stopped."""
    if raw.get("status") == "incomplete":
        reason = table_of(raw, "incomplete_details").get("reason")
        return "filter" if reason == "content_filter" else "length"
    return "calls" if called else "end"


def usage_read(found: Any) -> Counted | None:
    """The tokens, None where they are not told."""
    if not isinstance(found, Mapping):
        return None
    sent, got = table_of(found, "input_tokens_details"), table_of(found, "output_tokens_details")
    return Counted(
        number(found, "input_tokens") or 0,
        number(found, "output_tokens") or 0,
        number(sent, "cached_tokens"),
        number(sent, "cache_write_tokens"),
        number(got, "reasoning_tokens"),
    )


# -- writing ----------------------------------------------------------------------------------------


def write(replied: Replied, *, model: str, id: str) -> dict[str, Any]:
    """The answer as a client of responses reads it."""
    choice = replied.choices[0]
    identity = own_id("resp_", id)
    logprobs = choice.logprobs
    items = []
    for place, part in enumerate(choice.parts):
        items.append(item(part, item_id(part, identity, place), logprobs if isinstance(part, Text) else ()))
        logprobs = () if isinstance(part, Text) else logprobs
    body = head(model, identity, replied.created)
    return finished(body, items, choice.stop, replied.usage)


def head(model: str, identity: str, created: int) -> dict[str, Any]:
    """What every response has, before anything of it is there."""
    return {
        "id": identity,
        "object": "response",
        "created_at": created or int(time.time()),
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "metadata": {},
        "model": model,
        "output": [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "store": False,
        "temperature": None,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        "truncation": "disabled",
        "usage": None,
        "user": None,
    }


def finished(body: Mapping[str, Any], items: list[dict[str, Any]], stop: Stop, usage: Counted | None) -> dict[str, Any]:
    """A response that is whole, or as whole as it will be."""
    reason = {"length": "max_output_tokens", "filter": "content_filter", "refused": "content_filter"}.get(stop)
    return {
        **body,
        "status": "incomplete" if reason else "completed",
        "incomplete_details": {"reason": reason} if reason else None,
        "output": items,
        "usage": usage_written(usage or Counted()),
    }


def item_id(part: Told, identity: str, place: int) -> str:
    """The id of the item that a part is."""
    if isinstance(part, Reasoning) and part.id:
        return part.id
    prefix = {Call: "fc", Reasoning: "rs"}.get(type(part), "msg")
    return f"{prefix}_{identity.removeprefix('resp_')}_{place}"


def item(part: Told, identity: str, logprobs: tuple[Logprob, ...] = (), status: str = "completed") -> dict[str, Any]:
    """A part as an item of the output."""
    match part:
        case Call():
            whole = part.arguments or ("{}" if status == "completed" else "")  # clients read it as JSON
            given = {"arguments": whole, "call_id": part.id, "name": part.name}
            return {"id": identity, "type": "function_call", "status": status, **given}
        case Reasoning():
            summary = [summary_part(part.text)] if part.text else []
            seal = {"encrypted_content": marked(part, "responses")} if part.seal else {}
            return {"id": identity, "type": "reasoning", "summary": summary, **seal}
    content = [content_part(part, logprobs)]
    return {"id": identity, "type": "message", "status": status, "role": "assistant", "content": content}


def content_part(part: Text | Refused, logprobs: tuple[Logprob, ...] = ()) -> dict[str, Any]:
    """A text or a refusal as a part of a message."""
    if isinstance(part, Refused):
        return {"type": "refusal", "refusal": part.text}
    return {"type": "output_text", "text": part.text, "annotations": [], "logprobs": logprobs_of(logprobs)}


def logprobs_of(logprobs: tuple[Logprob, ...]) -> list[dict[str, Any]]:
    """How likely each token was; in this format the bytes are always told."""
    return [_with_bytes(logprob_written(one)) for one in logprobs]


def _with_bytes(told: dict[str, Any]) -> dict[str, Any]:
    if told["bytes"] is None:
        told["bytes"] = list(str(told["token"]).encode("utf-8", "replace"))
    if "top_logprobs" in told:
        told["top_logprobs"] = [_with_bytes(one) for one in told["top_logprobs"]]
    return told


def summary_part(text: str) -> dict[str, Any]:
    """Some of the summary of a reasoning."""
    return {"type": "summary_text", "text": text}


def usage_written(counted: Counted) -> dict[str, Any]:
    """The tokens as this format tells them."""
    return {
        "input_tokens": counted.input,
        "input_tokens_details": {"cached_tokens": counted.cached or 0, "cache_write_tokens": counted.written or 0},
        "output_tokens": counted.output,
        "output_tokens_details": {"reasoning_tokens": counted.thought or 0},
        "total_tokens": counted.input + counted.output,
    }
