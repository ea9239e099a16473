"""A request's body, decoded once and looked at as far as every wire has the same: model, stream, labels, size.

What was decoded is what is sent, encoded anew: a body that means one thing to us and another to the server (two
fields of one name) cannot be.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from bastide.errors import BadChat, BadLabel
from bastide.inference.gateway.checking import check
from bastide.inference.wires.fields import refused
from bastide.policy import Label

_ANY: Final = frozenset({"auto", ""})
_DEPTH_MAX: Final = 64
_DECODER: Final = msgspec.json.Decoder()
encode: Final[Callable[[dict[str, Any]], bytes]] = msgspec.json.Encoder().encode
"""A body as the bytes that are sent."""
_ANSWER_TOKENS_MAX: Final = 131_072  # no answer is longer, whatever is asked for: so much is reserved of a budget
_LABEL: Final = "x_label"  # of a message or one of its parts; it says what that content is, and is not sent on


@dataclass(slots=True)
class Asking:
    """A request: `model` is None where any will do; `usage_wanted` whether its stream is to tell what it used."""

    wire: str
    body: dict[str, Any]
    model: str | None
    stream: bool
    usage_wanted: bool
    label: Label | None


def read(wire: str, data: bytes) -> Asking:
    """The request in a body. Raises BadChat, which names the field, and BadLabel."""
    try:
        body = _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise BadChat(f"The body is not JSON: {_plainly(fault, data)}.") from fault
    if type(body) is not dict:
        raise BadChat("The body must be a JSON object.")
    model = body.get("model")
    if model is not None and type(model) is not str:
        raise refused("model", "must be a name")
    stream = body.get("stream")
    if stream is not None and type(stream) is not bool:
        raise refused("stream", "must be true or false")
    wanted = True
    if stream and wire in {"chat", "completions"}:
        options = body.get("stream_options")
        if options is not None and type(options) is not dict:
            raise refused("stream_options", "must be an object")
        wanted = bool(options and options.get("include_usage"))
    check(wire, body)
    label = _declared(body, data)
    return Asking(wire, body, None if model in _ANY else model, bool(stream), wanted, label)


def tokens_guessed(data: bytes, body: dict[str, Any]) -> int:
    """How many tokens a call may take, before it is made: four bytes each, and what it may answer at most."""
    most = body.get("max_tokens") or body.get("max_completion_tokens") or body.get("max_output_tokens") or 1024
    return len(data) // 4 + (min(most, _ANSWER_TOKENS_MAX) if type(most) is int and most > 0 else 1024)


# -- what the request says of its parts -------------------------------------------------------------


def _declared(body: dict[str, Any], data: bytes) -> Label | None:
    """The join of the labels that parts of the content carry; they are taken out."""
    if data.find(b"x_label") < 0 and data.find(b"\\u00") < 0:  # nobody pays for what hardly anybody says
        return None
    try:
        labels = [Label.from_wire(one) for one in _taken(body, 0)]
    except BadLabel as fault:
        raise BadLabel(fault.message, param=_LABEL) from fault
    return Label.join_all(labels) if labels else None


def _taken(value: Any, depth: int) -> Iterator[Any]:
    if depth > _DEPTH_MAX:
        raise BadChat("The body is nested too deeply.")
    if type(value) is dict:
        if _LABEL in value:
            yield value.pop(_LABEL)
        for inner in value.values():
            yield from _taken(inner, depth + 1)
    elif type(value) is list:
        for inner in value:
            yield from _taken(inner, depth + 1)


def _plainly(fault: Exception, data: bytes) -> str:
    """What is wrong and where, without a word of the body."""
    try:
        text = data.decode()
        if not text.strip():
            return "it is empty"
        json.loads(text, parse_constant=_no_number, parse_float=_number, parse_int=_number)
        deep = isinstance(fault, RecursionError)
    except RecursionError:
        deep = True
    except json.JSONDecodeError as wrong:
        return f"{wrong.msg[:1].lower()}{wrong.msg[1:]} (character {wrong.pos})"
    except UnicodeDecodeError as wrong:
        return f"it is not UTF-8 at byte {wrong.start}"
    except ValueError as wrong:
        return str(wrong)
    return "it is nested too deeply" if deep else "a text in it holds half of a surrogate pair"  # which json takes


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no JSON value")


def _number(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError("a number in it is too large")
    return value
