"""OpenAI's chat completions: streams."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from bastide.errors import StreamBroken
from bastide.inference.wires import chat_turns
from bastide.inference.wires.chat_replies import (
    FINISHES,
    contents,
    detail,
    logprobs_read,
    logprobs_written,
    stop_read,
    usage_read,
    usage_written,
)
from bastide.inference.wires.events import Began, Closed, Ended, Event, Grew, Opened, Sealed, Stopped, Told
from bastide.inference.wires.json_text import call_id, object_in, own_id
from bastide.inference.wires.replies import list_of, number, object_of, table_of, text_of
from bastide.inference.wires.sse import DONE
from bastide.inference.wires.sse import plain as spelled
from bastide.inference.wires.stream_reading import Reader, Track
from bastide.inference.wires.values import Call, Counted, Reasoning, Refused, Text


class _Calls:
    """The calls of one choice: which index is which part."""

    def __init__(self, track: Track, identity: str) -> None:
        self._track, self._identity = track, identity
        self._places: dict[int, int] = {}
        self._ids: dict[int, str] = {}
        self._texts: dict[int, list[str]] = {}
        self._last = 0

    def heard(self, raw: Mapping[str, Any]) -> list[Event]:
        """A piece of a call. Some servers count all calls as the first one: another id is another call."""
        given = number(raw, "index")
        index = self._last if given is None else given
        function = table_of(raw, "function")
        known, name = text_of(raw, "id"), text_of(function, "name")
        events: list[Event] = []
        if index not in self._places or (known and name and known != self._ids[index]):
            events = self._begin(index, known, name)
        self._last = index
        text = text_of(function, "arguments")
        if text:
            self._texts[index].append(text)
            events.append(Grew(self._track.choice, self._places[index], text))
        return events

    def _begin(self, index: int, known: str, name: str) -> list[Event]:
        if not name:
            raise StreamBroken("The stream goes on with a call that did not begin.")
        events: list[Event] = []
        for other, place in self._places.items():  # one whose arguments are whole cannot go on
            if other == index or object_in("".join(self._texts[other])):
                events += self._track.shut(place)
        made = known or call_id(self._identity, self._track.choice, self._track.next)
        beside = self._track.called
        opened, place = self._track.open(Call(made, name), beside=beside)
        self._places[index], self._ids[index], self._texts[index] = place, made, []
        return [*events, *opened]


class Telling:
    """What the chunks of a chat mean."""

    def __init__(self) -> None:
        self._tracks: dict[int, Track] = {}
        self._calls: dict[int, _Calls] = {}
        self._began = False
        self._identity = ""

    def heard(self, said: Mapping[str, Any]) -> list[Event]:
        """One chunk. Raises StreamBroken or UpstreamGarbage."""
        events: list[Event] = []
        if not self._began:
            self._began = True
            self._identity = text_of(said, "id")
            events.append(Began(self._identity, text_of(said, "model"), number(said, "created") or 0))
        if type(said.get("choices")) is not list:
            raise StreamBroken("A piece of the stream has no `choices`.")
        for raw in map(object_of, list_of(said, "choices")):
            events += self._choice(raw)
        used = usage_read(said.get("usage"))
        return events if used is None else [*events, used]

    def over(self) -> list[Event]:
        """All has been said. Raises StreamBroken if a choice has not said why it stopped."""
        if not self._tracks or not all(track.stopped for track in self._tracks.values()):
            raise StreamBroken
        return [Ended()]

    def _choice(self, raw: Mapping[str, Any]) -> list[Event]:
        index = number(raw, "index") or 0
        track = self._tracks.get(index)
        if track is None:
            track = self._tracks[index] = Track(index)
            self._calls[index] = _Calls(track, self._identity)
        events = self._delta(track, table_of(raw, "delta"), raw)
        finish = raw.get("finish_reason")
        if finish is not None and not track.stopped:
            track.stopped = True
            events += [*track.close(), Stopped(index, stop_read(finish, called=track.called))]
        return events

    def _delta(self, track: Track, delta: Mapping[str, Any], raw: Mapping[str, Any]) -> list[Event]:
        events: list[Event] = []
        for entry in map(object_of, list_of(delta, "reasoning_details")):
            if (thought := detail(entry)) is not None:
                events += self._thought(track, thought, alone=entry.get("type") == "reasoning.encrypted")
        if not events and (plain := text_of(delta, "reasoning_content") or text_of(delta, "reasoning")):
            events += track.grow(Reasoning(), plain)
        logprobs = logprobs_read(raw.get("logprobs")) if raw.get("logprobs") else ()
        said = contents(delta) or ([Text("")] if logprobs else [])
        for part in said:
            scored = isinstance(part, Text)
            events += track.grow(Text("") if scored else Reasoning(), part.text, logprobs if scored else ())
        if refusal := text_of(delta, "refusal"):
            events += track.grow(Refused(""), refusal)
        for entry in list_of(delta, "tool_calls"):
            events += self._calls[track.choice].heard(object_of(entry))
        return events

    def _thought(self, track: Track, thought: Reasoning, *, alone: bool) -> list[Event]:
        """A piece of a reasoning; its seal ends it. What only its maker can read stands `alone`."""
        if alone:
            opened, place = track.open(thought)
            return [*opened, *track.shut(place)]
        events = track.grow(Reasoning(id=thought.id), thought.text)
        if thought.seal:
            place = track.next - 1
            events += [Sealed(track.choice, place, thought.seal, thought.maker), *track.shut(place)]
        return events


def reader() -> Reader:
    """A reader of such streams."""
    return Reader(Telling())


class Writer:
    """Writes a stream of chunks; `usage` says whether the client asked to be told what was used."""

    def __init__(self, *, model: str, id: str, usage: bool) -> None:
        self._model, self._id, self._wanted = model, id, usage
        self._head: dict[str, Any] = {}
        self._calls: dict[tuple[int, int], int] = {}
        self._parts: dict[tuple[int, int], Told] = {}
        self._greeted: set[int] = set()
        self._usage: Counted | None = None

    def write(self, event: Event) -> bytes:  # noqa: PLR0911 one event after the other
        """The bytes for an event; none for what is told with another."""
        match event:
            case Grew():
                return self._grown(event)
            case Opened():
                return self._opened(event)
            case Sealed():
                part = Reasoning("", event.seal, event.maker)
                seal = chat_turns.detail(part, event.place)
                if seal["type"] == "reasoning.encrypted":  # the text before it is what it seals
                    seal = {"type": "reasoning.text", "text": "", "signature": event.seal, **_form(seal)}
                return self._chunk(event.choice, {"reasoning_details": [seal]})
            case Closed():
                return b""
            case Began():
                made = event.created or int(time.time())
                self._head = {
                    "id": own_id("chatcmpl-", self._id or event.id),
                    "object": "chat.completion.chunk",
                    "created": made,
                    "model": self._model,
                }
            case Stopped():
                return self._chunk(event.choice, {}, finish=FINISHES[event.stop])
            case Counted():
                self._usage = event
            case Ended():
                if self._wanted:
                    used = usage_written(self._usage or Counted())
                    return spelled({**self._head, "choices": [], "usage": used}) + DONE
                return DONE
        return b""

    def _chunk(self, choice: int, delta: dict[str, Any], *, finish: str | None = None, logprobs: Any = None) -> bytes:
        greeting = b""
        if choice not in self._greeted:
            self._greeted.add(choice)
            greeting = self._piece(choice, {"role": "assistant", "content": "", "refusal": None}, None, None)
        return greeting + self._piece(choice, delta, finish, logprobs)

    def _piece(self, choice: int, delta: dict[str, Any], finish: str | None, logprobs: Any) -> bytes:
        told = {"index": choice, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        return spelled({**self._head, "choices": [told]})

    def _opened(self, event: Opened) -> bytes:
        part, key = event.part, (event.choice, event.place)
        self._parts[key] = part
        if isinstance(part, Call):
            index = self._calls[key] = sum(1 for other in self._calls if other[0] == event.choice)
            function = {"name": part.name, "arguments": ""}
            call = {"index": index, "id": part.id, "type": "function", "function": function}
            return self._chunk(event.choice, {"tool_calls": [call]})
        if isinstance(part, Reasoning) and part.seal:
            return self._chunk(event.choice, {"reasoning_details": [chat_turns.detail(part, event.place)]})
        return b""

    def _grown(self, event: Grew) -> bytes:
        key = (event.choice, event.place)
        part = self._parts[key]
        if isinstance(part, Call):
            call = {"index": self._calls[key], "function": {"arguments": event.text}}
            return self._chunk(event.choice, {"tool_calls": [call]})
        logprobs = logprobs_written(event.logprobs) if event.logprobs else None
        name = {Reasoning: "reasoning_content", Refused: "refusal"}.get(type(part), "content")
        return self._chunk(event.choice, {name: event.text}, logprobs=logprobs)


def _form(detail: Mapping[str, Any]) -> dict[str, Any]:
    return {name: detail[name] for name in ("format", "index") if name in detail}
