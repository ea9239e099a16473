"""OpenAI's responses: streams."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from bastide.errors import StreamBroken
from bastide.inference.upstream_faults import told_in
from bastide.inference.wires import responses_replies as replies
from bastide.inference.wires.chat_replies import logprobs_read
from bastide.inference.wires.events import (
    Began,
    Closed,
    Ended,
    Event,
    Gathering,
    Grew,
    Opened,
    Sealed,
    Stopped,
    Told,
)
from bastide.inference.wires.json_text import own_id
from bastide.inference.wires.replies import number, table_of, text_of
from bastide.inference.wires.sequencing import InTurn
from bastide.inference.wires.sse import named
from bastide.inference.wires.stream_reading import Reader
from bastide.inference.wires.values import Call, Counted, Logprob, Reasoning, Refused, Stop, Text

_Key = tuple[int, int]
_SUMMARY: Final = "response.reasoning_summary_text.delta"
_ITEM: Final = -1  # the place of a part that is an item of its own


class Telling:
    """What the events of a stream of responses mean."""

    def __init__(self) -> None:
        self._places: dict[_Key, int] = {}
        self._open: set[_Key] = set()
        self._grown: set[_Key] = set()
        self._thoughts: dict[_Key, str] = {}
        self._called = self._ended = False

    def heard(self, said: Mapping[str, Any]) -> list[Event]:
        """One event. Raises StreamBroken or UpstreamGarbage."""
        hear = _HEARD.get(text_of(said, "type"))
        return [] if hear is None else hear(self, said)

    def over(self) -> list[Event]:
        """Nothing is left. Raises StreamBroken without a response.completed or response.incomplete."""
        if not self._ended:
            raise StreamBroken
        return []

    def _created(self, said: Mapping[str, Any]) -> list[Event]:
        raw = table_of(said, "response")
        return [Began(text_of(raw, "id"), text_of(raw, "model"), number(raw, "created_at") or 0)]

    def _failed(self, said: Mapping[str, Any]) -> list[Event]:
        raise StreamBroken(f"The model's server broke off: {told_in(said.get('response'))}")

    def _text(self, said: Mapping[str, Any]) -> list[Event]:
        return self._grow(self._key(said), Text(""), said)

    def _refusal(self, said: Mapping[str, Any]) -> list[Event]:
        return self._grow(self._key(said), Refused(""), said)

    def _arguments(self, said: Mapping[str, Any]) -> list[Event]:
        return self._grow((self._key(said)[0], _ITEM), Call("", ""), said)

    def _part_added(self, said: Mapping[str, Any]) -> list[Event]:
        kind = table_of(said, "part").get("type")
        if kind == "reasoning_text":
            return []
        return self._start(self._key(said), Refused("") if kind == "refusal" else Text(""))

    def _part_done(self, said: Mapping[str, Any]) -> list[Event]:
        return self._close(self._key(said))

    def _summary_added(self, said: Mapping[str, Any]) -> list[Event]:
        if not number(said, "summary_index"):
            return []
        return self._thought({**said, "type": _SUMMARY, "delta": "\n\n"})

    def _key(self, said: Mapping[str, Any]) -> _Key:
        return number(said, "output_index") or 0, number(said, "content_index") or 0

    def _start(self, key: _Key, part: Told) -> list[Event]:
        if key in self._places:
            return []
        place = self._places[key] = len(self._places)
        self._open.add(key)
        self._called = self._called or isinstance(part, Call)
        return [Opened(0, place, part)]

    def _grow(self, key: _Key, part: Told, said: Mapping[str, Any]) -> list[Event]:
        started = self._start(key, part)
        self._grown.add(key)
        logprobs = logprobs_read({"content": said.get("logprobs")}) if said.get("logprobs") else ()
        return [*started, Grew(0, self._places[key], text_of(said, "delta"), logprobs)]

    def _thought(self, said: Mapping[str, Any]) -> list[Event]:
        """A summary or the text itself: where a server tells both, the first that comes."""
        key, kind = (self._key(said)[0], _ITEM), text_of(said, "type")
        if self._thoughts.setdefault(key, kind) != kind:
            return []
        return self._grow(key, Reasoning(), said)

    def _close(self, key: _Key) -> list[Event]:
        if key not in self._open:
            return []
        self._open.discard(key)
        return [Closed(0, self._places[key])]

    def _added(self, said: Mapping[str, Any]) -> list[Event]:
        item, key = table_of(said, "item"), (self._key(said)[0], _ITEM)
        match item.get("type"):
            case "function_call":
                return self._start(key, Call(text_of(item, "call_id"), text_of(item, "name")))
            case "reasoning":
                return self._start(key, Reasoning(id=text_of(item, "id")))
            case "message":
                return []
        raise StreamBroken(f"The stream holds an item of the type {str(item.get('type'))[:64]!r}: nobody asked for it.")

    def _done(self, said: Mapping[str, Any]) -> list[Event]:
        item, index = table_of(said, "item"), self._key(said)[0]
        key = (index, _ITEM)
        if item.get("type") == "message":
            return [event for other in sorted(self._open) if other[0] == index for event in self._close(other)]
        events = self._added(said)
        place = self._places[key]
        if item.get("type") == "function_call":
            found = replies.call(item)
            text = "" if key in self._grown else found.arguments
            events += [Grew(0, place, text)] if text else []
        else:
            thought = replies.reasoning(item)
            events += [Grew(0, place, thought.text)] if thought.text and key not in self._grown else []
            events += [Sealed(0, place, thought.seal, thought.maker, thought.redacted)] if thought.seal else []
        return [*events, *self._close(key)]

    def _finished(self, said: Mapping[str, Any]) -> list[Event]:
        raw = table_of(said, "response")
        self._ended = True
        events: list[Event] = [event for key in sorted(self._open) for event in self._close(key)]
        events.append(Stopped(0, replies.stop_read(raw, called=self._called)))
        used = replies.usage_read(raw.get("usage"))
        return [*events, *([] if used is None else [used]), Ended()]


_HEARD: Final[Mapping[str, Callable[[Telling, Mapping[str, Any]], list[Event]]]] = {
    "response.created": Telling._created,
    "response.output_item.added": Telling._added,
    "response.content_part.added": Telling._part_added,
    "response.output_text.delta": Telling._text,
    "response.refusal.delta": Telling._refusal,
    "response.function_call_arguments.delta": Telling._arguments,
    "response.reasoning_summary_part.added": Telling._summary_added,
    _SUMMARY: Telling._thought,
    "response.reasoning_text.delta": Telling._thought,
    "response.content_part.done": Telling._part_done,
    "response.output_item.done": Telling._done,
    "response.completed": Telling._finished,
    "response.incomplete": Telling._finished,
    "response.failed": Telling._failed,
    "response.cancelled": Telling._failed,
}


def reader() -> Reader:
    """A reader of such streams."""
    return Reader(Telling())


class Writer:
    """Writes a stream of responses: each part is an item of the output, whole before the next one begins."""

    def __init__(self, *, model: str, id: str, echo: Mapping[str, Any]) -> None:
        self._model, self._id, self._echo = model, id, echo
        self._turn, self._whole = InTurn(), Gathering()
        self._items: list[dict[str, Any]] = []
        self._number = 0
        self._body: dict[str, Any] = {}
        self._stop: Stop = "end"
        self._item = ""
        self._part: Told = Text("")
        self._summed = False  # a reasoning has begun to tell its summary
        self._logprobs: tuple[Logprob, ...] = ()

    def write(self, event: Event) -> bytes:
        """The bytes for an event; none for what waits or is told with another."""
        return b"".join([self._written(one) for one in self._turn.take(event)])

    def _say(self, kind: str, **more: Any) -> bytes:
        event = {"type": f"response.{kind}", "sequence_number": self._number, **more}
        self._number += 1
        return named(event)

    def _said(self, kind: str, **more: Any) -> bytes:
        return self._say(kind, item_id=self._item, output_index=len(self._items), **more)

    def _written(self, event: Event) -> bytes:
        self._whole.take(event)
        match event:
            case Grew():
                return self._grown(event)
            case Opened():
                return self._opened(event.part)
            case Closed():
                return self._closed(self._whole.part(event.choice, event.place))
            case Began():
                identity = own_id("resp_", self._id or event.id)
                self._body = {**replies.head(self._model, identity, event.created), **self._echo}
                return self._say("created", response=self._body) + self._say("in_progress", response=self._body)
            case Stopped():
                self._stop = event.stop
            case Ended():
                whole = replies.finished(self._body, self._items, self._stop, self._whole.usage or Counted())
                return self._say(whole["status"], response=whole)
        return b""

    def _opened(self, part: Told) -> bytes:
        self._item = replies.item_id(part, self._body["id"], len(self._items))
        self._part, self._logprobs, self._summed = part, (), False
        item = replies.item(part, self._item, status="in_progress")
        if not isinstance(part, Text | Refused):
            item.pop("encrypted_content", None)
            return self._say("output_item.added", output_index=len(self._items), item=item)
        item["content"] = []
        added = self._say("output_item.added", output_index=len(self._items), item=item)
        return added + self._said("content_part.added", content_index=0, part=replies.content_part(part))

    def _grown(self, event: Grew) -> bytes:
        match self._part:
            case Text():
                self._logprobs += event.logprobs
                logprobs = replies.logprobs_of(event.logprobs)
                return self._said("output_text.delta", content_index=0, delta=event.text, logprobs=logprobs)
            case Refused():
                return self._said("refusal.delta", content_index=0, delta=event.text)
            case Call():
                return self._said("function_call_arguments.delta", delta=event.text)
        begun = b""
        if not self._summed:
            begun = self._said("reasoning_summary_part.added", summary_index=0, part=replies.summary_part(""))
        self._summed = True
        return begun + self._said("reasoning_summary_text.delta", summary_index=0, delta=event.text)

    def _closed(self, part: Told) -> bytes:
        done = b""
        match part:
            case Text():
                logprobs = replies.logprobs_of(self._logprobs)
                done = self._said("output_text.done", content_index=0, text=part.text, logprobs=logprobs)
            case Refused():
                done = self._said("refusal.done", content_index=0, refusal=part.text)
            case Call():
                if not part.arguments:  # clients read them as JSON
                    done = self._said("function_call_arguments.delta", delta="{}")
                given = part.arguments or "{}"
                done += self._said("function_call_arguments.done", name=part.name, arguments=given)
            case Reasoning() if part.text:
                done = self._said("reasoning_summary_text.done", summary_index=0, text=part.text)
                told = replies.summary_part(part.text)
                done += self._said("reasoning_summary_part.done", summary_index=0, part=told)
        if isinstance(part, Text | Refused):
            whole = replies.content_part(part, self._logprobs)
            done += self._said("content_part.done", content_index=0, part=whole)
        item = replies.item(part, self._item, self._logprobs)
        done += self._say("output_item.done", output_index=len(self._items), item=item)
        self._items.append(item)
        return done
