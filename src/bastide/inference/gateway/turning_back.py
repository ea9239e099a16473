"""Turning pseudonyms of an answer back into what they stand for, in whole answers and in streams of any wire.

A pseudonym may be cut between two events. The shortest end of a text that may begin one is held back, by the text that
it belongs to (a choice, a block, an argument of a tool), and told as soon as it cannot, or when that text ends.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from bastide.errors import BastideError
from bastide.inference.gateway.asking import Asking
from bastide.inference.gateway.pseudonyms import Hidden, Pseudonyms
from bastide.inference.gateway.relaying import Relay
from bastide.inference.values import Usage

_BETWEEN: Final = re.compile(rb"(\r?\n\r?\n)")
_LINE: Final = re.compile(rb"\r?\n")
_CHOICE_TEXTS: Final = ("content", "reasoning_content", "reasoning", "refusal")
_BLOCK_TEXTS: Final = ("text", "partial_json", "thinking")

Key = tuple[Any, ...]
Event = dict[str, Any]
Place = tuple[Key, dict[str, Any], str, Callable[[str], Event]]
"""A text of an event that goes on: whose it is, where it stands, and an event that would tell some more of it."""


class TurnedBack:
    """A relay whose request goes out with pseudonyms, and whose answer comes back without."""

    def __init__(self, relay: Relay, asking: Asking, hidden: Hidden) -> None:
        self._relay = relay
        self._hidden = hidden
        self._stream = TurnedEvents(hidden.pseudonyms) if asking.stream else None
        self.begun = False
        self.media_type = relay.media_type

    @property
    def fault(self) -> BastideError | None:
        """As of the relay."""
        return self._relay.fault

    def request(self, asking: Asking, upstream: str) -> dict[str, Any]:
        """The body with pseudonyms."""
        return self._relay.request(self._hidden.asked(asking), upstream)

    def begins(self, content_type: str) -> TurnedBack:
        """As of the relay."""
        self._relay = self._relay.begins(content_type)
        return self

    def feed(self, piece: bytes) -> bytes:
        """What may go on, turned back."""
        return self._turned(self._relay.feed(piece))

    def end(self) -> bytes:
        """The rest."""
        out = self._turned(self._relay.end())
        return out if self._stream is None else out + self._stream.flush(lambda key: True)

    def usage(self, sent: bytes) -> Usage:
        """As of the relay."""
        return self._relay.usage(sent)

    def _turned(self, out: bytes) -> bytes:
        if self._stream is None:
            return self._hidden.pseudonyms.turn_back_bytes(out)
        turned = self._stream.feed(out) if out else b""
        return turned if self._relay.fault is None else turned + self._stream.flush(lambda key: True)


class TurnedEvents:
    """The whole events of a stream, one after the other."""

    def __init__(self, pseudonyms: Pseudonyms) -> None:
        self._pseudonyms = pseudonyms
        self._held: dict[Key, tuple[str, Callable[[str], Event]]] = {}

    def feed(self, out: bytes) -> bytes:
        """The events with the values themselves; what must be told before one of them comes before it."""
        parts = _BETWEEN.split(out)
        return b"".join(
            self._event(parts[at], parts[at + 1] if at + 1 < len(parts) else b"") for at in range(0, len(parts), 2)
        )

    def flush(self, of: Callable[[Key], bool]) -> bytes:
        """What was held back of these texts: it began no pseudonym."""
        keys = [key for key in self._held if of(key)]
        return b"".join([_told(make(rest)) for rest, make in (self._held.pop(key) for key in keys)])

    def _event(self, event: bytes, between: bytes) -> bytes:
        lines = _LINE.split(event) if event else []
        data = b"\n".join([line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:")])
        if not data:
            return event + between
        if data.strip() == b"[DONE]":
            return self.flush(lambda key: True) + event + between
        told = msgspec.json.decode(data)
        if type(told) is not dict:
            return event + between
        ended = _ends(told)
        places = list(_places(told))
        for key, inside, field, make in places:
            rest, _ = self._held.pop(key, ("", make))
            if ended is not None and ended(key):
                inside[field] = self._pseudonyms.turn_back(rest + inside[field])
            else:
                inside[field], rest = self._pseudonyms.ready(rest + inside[field])
                if rest:
                    self._held[key] = (rest, make)
        before = self.flush(ended) if ended is not None else b""
        if not places:
            return before + self._pseudonyms.turn_back_bytes(event) + between
        kept = [line for line in lines if not line.startswith(b"data:")]
        return before + b"\n".join([*kept, b"data: " + msgspec.json.encode(told)]) + (between or b"\n\n")


def _told(event: Event) -> bytes:
    name = b"event: %b\n" % event["type"].encode() if "type" in event else b""
    return b"%bdata: %b\n\n" % (name, msgspec.json.encode(event))


def _places(event: Event) -> Iterator[Place]:
    """The texts in an event of any wire that later events go on with."""
    choices = event.get("choices")
    kind = event.get("type")
    if type(choices) is list:
        for choice in choices:
            if type(choice) is dict:
                yield from _of_choice(event, choice)
    elif kind == "content_block_delta" and type(delta := event.get("delta")) is dict:
        for field in _BLOCK_TEXTS:
            if type(delta.get(field)) is str:
                kept = {"type": delta.get("type"), field: None}
                yield (event.get("index"), field), delta, field, _again(event, {"delta": kept})
    elif type(kind) is str and kind.endswith(".delta") and type(event.get("delta")) is str:
        key = (event.get("item_id"), event.get("output_index"), event.get("content_index"), kind)
        yield key, event, "delta", _again(event, {"delta": None})


def _of_choice(event: Event, choice: dict[str, Any]) -> Iterator[Place]:
    index = choice.get("index", 0)

    def told(**more: Any) -> Callable[[str], Event]:
        return _again(event, {"choices": [{"index": index, **more, "finish_reason": False}]})

    if type(choice.get("text")) is str:
        yield (index, "text"), choice, "text", told(text=None)
    delta = choice.get("delta")
    if type(delta) is not dict:
        return
    for field in _CHOICE_TEXTS:
        if type(delta.get(field)) is str:
            yield (index, field), delta, field, told(delta={field: None})
    if type(call := delta.get("function_call")) is dict and type(call.get("arguments")) is str:
        yield (index, "function_call"), call, "arguments", told(delta={"function_call": {"arguments": None}})
    for place, call in enumerate(calls if type(calls := delta.get("tool_calls")) is list else []):
        if type(call) is dict and type(made := call.get("function")) is dict and type(made.get("arguments")) is str:
            which = call.get("index", place)
            more = [{"index": which, "function": {"arguments": None}}]
            yield (index, "tool", which), made, "arguments", told(delta={"tool_calls": more})


def _filled(value: Any, rest: str) -> Any:
    """The value with `rest` where None stands, and null for False."""
    if value is None or value is False:
        return rest if value is None else None
    if type(value) is dict:
        return {name: _filled(one, rest) for name, one in value.items()}
    return [_filled(one, rest) for one in value] if type(value) is list else value


def _again(event: Event, changed: Event) -> Callable[[str], Event]:
    """An event like this one, without what it counts, that tells some more where None stands in `changed`."""
    kept = {name: value for name, value in event.items() if name not in {"choices", "usage", "obfuscation"}}
    return lambda rest: {**kept, **_filled(changed, rest)}


def _ends(event: Event) -> Callable[[Key], bool] | None:
    """Which texts end with this event; None for none."""
    choices = event.get("choices")
    kind = event.get("type")
    if type(choices) is list:
        over = {one.get("index", 0) for one in choices if type(one) is dict and one.get("finish_reason") is not None}
        return (lambda key: key[0] in over) if over else None
    if kind == "content_block_stop":
        return lambda key: key[0] == event.get("index")
    if type(kind) is str and kind.endswith((".done", ".completed", ".incomplete", ".failed", "message_stop")):
        item = event.get("item_id")
        return lambda key: item is None or key[0] == item
    return None
