"""OpenAI's older completions: requests, answers and streams. A prompt is what a user says, an answer its text."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from bastide.errors import StreamBroken, UpstreamGarbage
from bastide.inference.wires.chat_replies import FINISHES, stop_read, usage_read, usage_written
from bastide.inference.wires.events import Began, Ended, Event, Grew, Opened, Stopped
from bastide.inference.wires.fields import Fields, cannot, refused
from bastide.inference.wires.json_text import own_id
from bastide.inference.wires.replies import list_of, number, object_of, score, table_of, text_of
from bastide.inference.wires.sse import DONE, plain
from bastide.inference.wires.stream_reading import Reader, Track
from bastide.inference.wires.values import Asked, Choice, Counted, Logprob, Replied, Text, Turn

_FINISHES: Final = {**FINISHES, "calls": "stop"}
_UNHEARD: Final = ("model", "stream", "stream_options")


def read(body: dict[str, Any]) -> Asked:
    """The request. Raises BadChat, which names the field."""
    fields = Fields(body)
    fields.drop(*_UNHEARD)
    fields.only("echo", False)
    fields.only("suffix", "")
    prompts = fields.texts("prompt")
    if len(prompts) != 1 or not prompts[0]:
        raise refused("prompt", "must be one text: this model's server takes one at a time, and no tokens")
    n = fields.whole("n", 1, 128) or 1
    fields.only("best_of", n)
    asked = Asked(
        turns=(Turn("user", (Text(prompts[0]),)),),
        max_tokens=fields.whole("max_tokens", 1),
        temperature=fields.number("temperature", 0, 2),
        top_p=fields.number("top_p", 0, 1),
        top_k=fields.whole("top_k", 1),
        stop=fields.texts("stop"),
        seed=fields.whole("seed", -(2**63)),
        frequency_penalty=fields.number("frequency_penalty", -2, 2),
        presence_penalty=fields.number("presence_penalty", -2, 2),
        logit_bias=fields.table("logit_bias") or {},
        n=n,
        logprobs=fields.whole("logprobs", 0, 20),
        user=fields.text("user"),
    )
    fields.done()
    return asked


def write(asked: Asked, *, model: str, stream: bool) -> dict[str, Any]:
    """The body for a server of completions. Raises BadChat for anything but one text of a user."""
    parts = asked.turns[0].parts
    first = parts[0] if len(asked.turns) == 1 and asked.turns[0].role == "user" and len(parts) == 1 else None
    if not isinstance(first, Text):
        raise cannot("messages", "completions: more than one text of a user")
    for name, said in {"tools": asked.tools, "response_format": asked.form, "reasoning_effort": asked.thinking}.items():
        if said:
            raise cannot(name, "completions")
    optional = {
        "max_tokens": asked.max_tokens,
        "temperature": asked.temperature,
        "top_p": asked.top_p,
        "top_k": asked.top_k,
        "stop": list(asked.stop) or None,
        "seed": asked.seed,
        "frequency_penalty": asked.frequency_penalty,
        "presence_penalty": asked.presence_penalty,
        "logit_bias": dict(asked.logit_bias) or None,
        "n": asked.n if asked.n > 1 else None,
        "logprobs": asked.logprobs,
        "user": asked.user or None,
        "stream": True if stream else None,
        "stream_options": {"include_usage": True} if stream else None,
    }
    return {"model": model, "prompt": first.text, **{name: one for name, one in optional.items() if one is not None}}


def read_reply(raw: Mapping[str, Any]) -> Replied:
    """The answer. Raises UpstreamGarbage for what is none."""
    choices = sorted(map(object_of, list_of(raw, "choices")), key=lambda one: number(one, "index") or 0)
    if not choices:
        raise UpstreamGarbage("The answer has no `choices`.")
    made = tuple(
        Choice(
            (Text(text),) if (text := text_of(one, "text")) else (),
            stop_read(one.get("finish_reason"), called=False),
            logprobs=_logprobs(one.get("logprobs")),
        )
        for one in choices
    )
    return Replied(
        made, text_of(raw, "model"), text_of(raw, "id"), number(raw, "created") or 0, usage_read(raw.get("usage"))
    )


def _logprobs(found: Any) -> tuple[Logprob, ...]:
    if not isinstance(found, Mapping):
        return ()
    tokens, numbers, tops = list_of(found, "tokens"), list_of(found, "token_logprobs"), list_of(found, "top_logprobs")
    rows = []
    for place, (token, value) in enumerate(zip(tokens, numbers, strict=False)):
        top = tops[place] if place < len(tops) and isinstance(tops[place], Mapping) else {}
        others = tuple(Logprob(str(name), score(one)) for name, one in top.items())
        rows.append(Logprob(str(token), score(value), top=others))
    return tuple(rows)


def write_reply(replied: Replied, *, model: str, id: str) -> dict[str, Any]:
    """The answer as a client of completions reads it: its text alone."""
    rows = [
        _row(
            place,
            "".join(part.text for part in choice.parts if isinstance(part, Text)),
            _FINISHES[choice.stop],
            _written(choice.logprobs, 0)[0],
        )
        for place, choice in enumerate(replied.choices)
    ]
    body = {**_head(model, id, replied.created), "choices": rows}
    return body if replied.usage is None else {**body, "usage": usage_written(replied.usage)}


def _head(model: str, identity: str, created: int) -> dict[str, Any]:
    made = created or int(time.time())
    return {"id": own_id("cmpl-", identity), "object": "text_completion", "created": made, "model": model}


def _row(place: int, text: str, finish: str | None, logprobs: dict[str, Any] | None) -> dict[str, Any]:
    return {"text": text, "index": place, "logprobs": logprobs, "finish_reason": finish}


def _written(logprobs: tuple[Logprob, ...], offset: int) -> tuple[dict[str, Any] | None, int]:
    """The tokens from `offset` characters on, and where the next ones begin."""
    if not logprobs:
        return None, offset
    offsets = []
    for one in logprobs:
        offsets.append(offset)
        offset += len(one.token)
    told = {
        "tokens": [one.token for one in logprobs],
        "token_logprobs": [one.logprob for one in logprobs],
        "top_logprobs": [{other.token: other.logprob for other in one.top} for one in logprobs],
        "text_offset": offsets,
    }
    return told, offset


class Telling:
    """What the chunks of a completion mean."""

    def __init__(self) -> None:
        self._tracks: dict[int, Track] = {}
        self._began = False

    def heard(self, said: Mapping[str, Any]) -> list[Event]:
        """One chunk. Raises StreamBroken or UpstreamGarbage."""
        events: list[Event] = []
        if not self._began:
            self._began = True
            events.append(Began(text_of(said, "id"), text_of(said, "model"), number(said, "created") or 0))
        if type(said.get("choices")) is not list:
            raise StreamBroken("A piece of the stream has no `choices`.")
        for raw in map(object_of, list_of(said, "choices")):
            index = number(raw, "index") or 0
            track = self._tracks.setdefault(index, Track(index))
            text = text_of(raw, "text")
            if text:
                events += track.grow(Text(""), text, _logprobs(table_of(raw, "logprobs") or None))
            finish = raw.get("finish_reason")
            if finish is not None and not track.stopped:
                track.stopped = True
                events += [*track.close(), Stopped(index, stop_read(finish, called=False))]
        used = usage_read(said.get("usage"))
        return events if used is None else [*events, used]

    def over(self) -> list[Event]:
        """All has been said. Raises StreamBroken if a choice has not said why it stopped."""
        if not self._tracks or not all(track.stopped for track in self._tracks.values()):
            raise StreamBroken
        return [Ended()]


def reader() -> Reader:
    """A reader of such streams."""
    return Reader(Telling())


class Writer:
    """Writes a stream of chunks: texts alone."""

    def __init__(self, *, model: str, id: str, usage: bool) -> None:
        self._model, self._id, self._wanted = model, id, usage
        self._head: dict[str, Any] = {}
        self._texts: set[tuple[int, int]] = set()
        self._offsets: dict[int, int] = {}
        self._usage: Counted | None = None

    def write(self, event: Event) -> bytes:
        """The bytes for an event; none for what has no place here."""
        match event:
            case Grew() if (event.choice, event.place) in self._texts:
                told, self._offsets[event.choice] = _written(event.logprobs, self._offsets.get(event.choice, 0))
                return plain({**self._head, "choices": [_row(event.choice, event.text, None, told)]})
            case Opened(part=Text()):
                self._texts.add((event.choice, event.place))
            case Began():
                self._head = _head(self._model, self._id or event.id, event.created)
            case Stopped():
                return plain({**self._head, "choices": [_row(event.choice, "", _FINISHES[event.stop], None)]})
            case Counted():
                self._usage = event
            case Ended():
                if self._wanted:
                    used = usage_written(self._usage or Counted())
                    return plain({**self._head, "choices": [], "usage": used}) + DONE
                return DONE
        return b""
