"""Anthropic's messages: streams."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bastide.errors import StreamBroken
from bastide.inference.wires.events import Began, Closed, Ended, Event, Grew, Opened, Sealed, Stopped, Told, joined
from bastide.inference.wires.json_text import arguments
from bastide.inference.wires.messages_replies import block, head, reason_of, reasoning, stop_read, usage_read
from bastide.inference.wires.messages_replies import usage_written as usage_of
from bastide.inference.wires.replies import number, object_of, table_of, text_of
from bastide.inference.wires.seals import marked, unmarked
from bastide.inference.wires.sequencing import InTurn
from bastide.inference.wires.sse import named
from bastide.inference.wires.stream_reading import Reader
from bastide.inference.wires.values import Call, Counted, Reasoning, Text

_CONTENT: Final = ("content_block_start", "message_delta", "message_stop")


class Telling:
    """What the events of a stream of messages mean; one that forgets its message_start begins all the same."""

    def __init__(self) -> None:
        self._places: dict[int, int] = {}
        self._silent: set[int] = set()  # calls without a word of arguments until now: at their end that is an object
        self._began = self._ended = False
        self._counted: Counted | None = None

    def heard(self, said: Mapping[str, Any]) -> list[Event]:
        """One event. Raises StreamBroken or UpstreamGarbage."""
        events: list[Event] = []  # of a ping, or of something newer for which nobody asked
        kind = said.get("type")
        if not self._began and kind in _CONTENT:
            self._began = True
            return [Began(), *self.heard(said)]
        match kind:
            case "content_block_delta":
                events = self._delta(said)
            case "content_block_start":
                events = self._start(said)
            case "content_block_stop":
                place = self._place(said)
                events = [*([Grew(0, place, "{}")] if place in self._silent else []), Closed(0, place)]
            case "message_start":
                message, self._began = table_of(said, "message"), True
                events = [Began(text_of(message, "id"), text_of(message, "model")), *self._used(message)]
            case "message_delta":
                delta = table_of(said, "delta")
                stop = Stopped(0, stop_read(delta), text_of(delta, "stop_sequence"))
                events = [*([stop] if delta.get("stop_reason") else []), *self._used(said)]
            case "message_stop":
                self._ended = True
                events = [Ended()]
        return events

    def over(self) -> list[Event]:
        """Nothing is left. Raises StreamBroken without a message_stop."""
        if not self._ended:
            raise StreamBroken
        return []

    def _used(self, raw: Mapping[str, Any]) -> list[Event]:
        """What was used until now: the input is told at the beginning, the output at the end."""
        found = usage_read(raw.get("usage"))
        if found is None:
            return []
        self._counted = found if self._counted is None else joined(self._counted, found)
        return [self._counted]

    def _place(self, said: Mapping[str, Any]) -> int:
        index = number(said, "index")
        if index is None or index not in self._places:
            raise StreamBroken("The stream goes on with a block that did not begin.")
        return self._places[index]

    def _start(self, said: Mapping[str, Any]) -> list[Event]:
        raw = table_of(said, "content_block")
        place = len(self._places)
        self._places[number(said, "index") or 0] = place
        kind = raw.get("type")
        if kind == "tool_use":
            given = table_of(raw, "input")
            opened: list[Event] = [Opened(0, place, Call(text_of(raw, "id"), text_of(raw, "name")))]
            if given:
                return [*opened, Grew(0, place, arguments(given))]
            self._silent.add(place)
            return opened
        if kind == "text":
            text = text_of(raw, "text")
            return [Opened(0, place, Text("")), *([Grew(0, place, text)] if text else [])]
        if kind in ("thinking", "redacted_thinking"):
            return [Opened(0, place, reasoning(raw))]
        raise StreamBroken(f"The stream holds a block of the type {str(kind)[:64]!r}, for which nobody asked.")

    def _delta(self, said: Mapping[str, Any]) -> list[Event]:
        place, delta = self._place(said), object_of(said.get("delta"))
        match delta.get("type"):
            case "text_delta":
                return [Grew(0, place, text_of(delta, "text"))]
            case "input_json_delta":
                text = text_of(delta, "partial_json")
                if not text:
                    return []
                self._silent.discard(place)
                return [Grew(0, place, text)]
            case "thinking_delta":
                return [Grew(0, place, text_of(delta, "thinking"))]
            case "signature_delta":
                part = unmarked("", text_of(delta, "signature"), "messages")
                return [Sealed(0, place, part.seal, part.maker)] if part.seal else []
        return []  # citations


def reader() -> Reader:
    """A reader of such streams."""
    return Reader(Telling())


class Writer:
    """Writes a stream of messages: blocks one after the other, each with its start and its stop."""

    def __init__(self, *, model: str, id: str) -> None:
        self._model, self._id = model, id
        self._turn = InTurn()
        self._index = -1
        self._part: Told = Text("")
        self._hidden = False  # a block of thinking that is told by its start alone
        self._stop: tuple[str, str | None] = ("end_turn", None)
        self._usage = Counted()

    def write(self, event: Event) -> bytes:
        """The bytes for an event; none for what waits or is not told here."""
        return b"".join([self._written(one) for one in self._turn.take(event)])

    def _written(self, event: Event) -> bytes:
        match event:
            case Grew():
                return self._grown(event.text)
            case Opened():
                return self._opened(event)
            case Sealed():
                self._part = Reasoning("", event.seal, event.maker)
            case Closed():
                return self._closed()
            case Began():
                message = {**head(self._model, self._id or event.id), "usage": usage_of(self._usage)}
                return named({"type": "message_start", "message": message})
            case Stopped():
                self._stop = reason_of(event.stop, event.sequence)
            case Counted():
                self._usage = event
            case Ended():
                reason, sequence = self._stop
                delta = {"stop_reason": reason, "stop_sequence": sequence}
                told = named({"type": "message_delta", "delta": delta, "usage": usage_of(self._usage)})
                return told + named({"type": "message_stop"})
        return b""

    def _opened(self, event: Opened) -> bytes:
        self._index += 1
        self._part = part = event.part
        if isinstance(part, Call):
            begun = {"type": "tool_use", "id": part.id, "name": part.name, "input": {}}
        elif isinstance(part, Reasoning):
            begun = block(part)
            self._hidden = begun["type"] == "redacted_thinking"
            if not self._hidden:
                begun["signature"] = ""
        else:
            begun = {"type": "text", "text": ""}
        return named({"type": "content_block_start", "index": self._index, "content_block": begun})

    def _grown(self, text: str) -> bytes:
        if isinstance(self._part, Call):
            delta = {"type": "input_json_delta", "partial_json": text}
        elif isinstance(self._part, Reasoning):
            delta = {"type": "thinking_delta", "thinking": text}
        else:
            delta = {"type": "text_delta", "text": text}
        return named({"type": "content_block_delta", "index": self._index, "delta": delta})

    def _closed(self) -> bytes:
        seal = b""
        part = self._part
        if isinstance(part, Reasoning) and part.seal and not self._hidden:
            delta = {"type": "signature_delta", "signature": marked(part, "messages")}
            seal = named({"type": "content_block_delta", "index": self._index, "delta": delta})
        return seal + named({"type": "content_block_stop", "index": self._index})
