"""Anthropic's messages: whole answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bastide.errors import UpstreamGarbage
from bastide.inference.wires.json_text import arguments, object_in, own_id
from bastide.inference.wires.replies import list_of, number, object_of, table_of, text_of
from bastide.inference.wires.seals import marked, unmarked
from bastide.inference.wires.values import Call, Choice, Counted, Reasoning, Refused, Replied, Stop, Text

STOPS: Final[Mapping[str, Stop]] = {
    "end_turn": "end",
    "max_tokens": "length",
    "stop_sequence": "sequence",
    "tool_use": "calls",
    "pause_turn": "end",
    "refusal": "refused",
    "model_context_window_exceeded": "length",
}
_REASONS: Final[Mapping[Stop, str]] = {
    "end": "end_turn",
    "length": "max_tokens",
    "sequence": "stop_sequence",
    "calls": "tool_use",
    "refused": "refusal",
    "filter": "refusal",
}


def read(raw: Mapping[str, Any]) -> Replied:
    """The answer. Raises UpstreamGarbage for what is none."""
    if raw.get("type") != "message":
        raise UpstreamGarbage("The answer is no message.")
    parts = tuple(part for one in list_of(raw, "content") if (part := _part(object_of(one))) is not None)
    choice = Choice(parts, stop_read(raw), text_of(raw, "stop_sequence"))
    return Replied((choice,), text_of(raw, "model"), text_of(raw, "id"), usage=usage_read(raw.get("usage")))


def _part(raw: Mapping[str, Any]) -> Text | Reasoning | Call | Refused | None:
    kind = raw.get("type")
    if kind == "text":
        return Text(text_of(raw, "text")) if raw.get("text") else None
    if kind == "tool_use":
        return Call(text_of(raw, "id"), text_of(raw, "name"), arguments(table_of(raw, "input")))
    if kind in ("thinking", "redacted_thinking"):
        return reasoning(raw)
    raise UpstreamGarbage(f"The answer holds a block of the type {str(kind)[:64]!r}, for which nobody asked.")


def reasoning(raw: Mapping[str, Any]) -> Reasoning:
    """A block of thinking. Raises UpstreamGarbage."""
    if raw.get("type") == "redacted_thinking":
        return unmarked("", text_of(raw, "data"), "messages", redacted=True)
    return unmarked(text_of(raw, "thinking"), text_of(raw, "signature"), "messages")


def stop_read(raw: Mapping[str, Any]) -> Stop:
    """Why it stopped."""
    return STOPS.get(text_of(raw, "stop_reason"), "end")


def usage_read(found: Any) -> Counted | None:
    """The tokens: the input is told without what came from a cache or went into it."""
    if not isinstance(found, Mapping):
        return None
    cached, written = number(found, "cache_read_input_tokens"), number(found, "cache_creation_input_tokens")
    return Counted(
        (number(found, "input_tokens") or 0) + (cached or 0) + (written or 0),
        number(found, "output_tokens") or 0,
        cached,
        written,
        number(table_of(found, "output_tokens_details"), "thinking_tokens"),
    )


# -- writing ----------------------------------------------------------------------------------------


def write(replied: Replied, *, model: str, id: str) -> dict[str, Any]:
    """The answer as a client of messages reads it. Raises UpstreamGarbage for a call that is no JSON object."""
    choice = replied.choices[0]
    stop, sequence = reason_of(choice.stop, choice.sequence)
    return {
        **head(model, id),
        "content": [block(part) for part in choice.parts if _told(part, choice.stop)],
        "stop_reason": stop,
        "stop_sequence": sequence,
        "usage": usage_written(replied.usage or Counted()),
    }


def reason_of(stop: Stop, sequence: str) -> tuple[str, str | None]:
    """Why it stopped, and at which sequence."""
    return _REASONS[stop], sequence or None


def head(model: str, id: str) -> dict[str, Any]:
    """What every message begins with."""
    return {
        "id": own_id("msg_", id),
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def _told(part: Text | Reasoning | Call | Refused, stop: Stop) -> bool:
    """A call that was cut by the limit is no call."""
    return not (isinstance(part, Call) and stop == "length" and object_in(part.arguments) is None)


def block(part: Text | Reasoning | Call | Refused) -> dict[str, Any]:
    """A part as a block of content. Raises UpstreamGarbage."""
    match part:
        case Reasoning():
            seal = marked(part, "messages")
            if part.seal and not part.text and (part.redacted or part.maker != "messages"):
                return {"type": "redacted_thinking", "data": seal}
            return {"type": "thinking", "thinking": part.text, "signature": seal}
        case Call():
            given = object_in(part.arguments)
            if given is None:
                raise UpstreamGarbage(f"The model calls {part.name[:64]!r} with arguments that are no JSON object.")
            return {"type": "tool_use", "id": part.id, "name": part.name, "input": given}
    return {"type": "text", "text": part.text}


def usage_written(counted: Counted) -> dict[str, Any]:
    """The tokens as this format tells them."""
    plain = counted.input - (counted.cached or 0) - (counted.written or 0)
    usage: dict[str, Any] = {
        "input_tokens": max(plain, 0),
        "cache_creation_input_tokens": counted.written,
        "cache_read_input_tokens": counted.cached,
        "output_tokens": counted.output,
    }
    if counted.thought is not None:
        usage["output_tokens_details"] = {"thinking_tokens": counted.thought}
    return usage
