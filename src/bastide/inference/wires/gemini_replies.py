"""Google's generateContent: whole answers and streams, whose pieces are answers themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bastide.errors import StreamBroken, UpstreamGarbage
from bastide.inference.wires.events import Began, Closed, Ended, Event, Gathering, Grew, Sealed, Stopped, gathered
from bastide.inference.wires.gemini_contents import one as part_of
from bastide.inference.wires.json_text import arguments, call_id, object_in
from bastide.inference.wires.replies import list_of, number, object_of, score, table_of, text_of
from bastide.inference.wires.seals import marked, unmarked
from bastide.inference.wires.sse import plain
from bastide.inference.wires.stream_reading import Reader, Track
from bastide.inference.wires.values import Call, Choice, Counted, Logprob, Reasoning, Refused, Replied, Stop, Text

_FILTERED: Final = frozenset({
    "SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT",
    "IMAGE_RECITATION", "LANGUAGE", "MODEL_ARMOR",
})  # fmt: skip
_FAILED: Final = frozenset({
    "MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MISSING_THOUGHT_SIGNATURE",
    "MALFORMED_RESPONSE",
})  # fmt: skip
_REASONS: Final[Mapping[Stop, str]] = {
    "end": "STOP", "sequence": "STOP", "calls": "STOP", "length": "MAX_TOKENS", "filter": "SAFETY", "refused": "SAFETY",
}  # fmt: skip


class Telling:
    """What the pieces of an answer mean; a whole answer is one piece."""

    def __init__(self) -> None:
        self._tracks: dict[int, Track] = {}
        self._identity = ""
        self._began = self._blocked = False

    def heard(self, said: Mapping[str, Any]) -> list[Event]:
        """One piece. Raises StreamBroken or UpstreamGarbage."""
        events: list[Event] = []
        if not self._began:
            self._began = True
            self._identity = text_of(said, "responseId")
            events.append(Began(self._identity, text_of(said, "modelVersion")))
        candidates = list_of(said, "candidates")
        if not candidates and table_of(said, "promptFeedback").get("blockReason"):
            self._blocked = True
            events.append(Stopped(0, "filter"))
        for place, raw in enumerate(map(object_of, candidates)):
            index = number(raw, "index")
            events += self._candidate(place if index is None else index, raw)
        used = usage_read(said.get("usageMetadata"))
        return events if used is None else [*events, used]

    def over(self) -> list[Event]:
        """All has been said. Raises StreamBroken if a candidate has not said why it stopped."""
        if not self._blocked and not (self._tracks and all(track.stopped for track in self._tracks.values())):
            raise StreamBroken
        return [Ended()]

    def _candidate(self, index: int, raw: Mapping[str, Any]) -> list[Event]:
        track = self._tracks.setdefault(index, Track(index))
        events: list[Event] = []
        logprobs = logprobs_read(raw.get("logprobsResult"))
        for part in map(object_of, list_of(table_of(raw, "content"), "parts")):
            told = self._part(track, part, logprobs)
            logprobs = () if any(isinstance(one, Grew) and one.logprobs for one in told) else logprobs
            events += told
        reason = text_of(raw, "finishReason")
        if reason and not track.stopped:
            if reason in _FAILED:
                raise StreamBroken(f"The model's server stopped with {reason}.")
            track.stopped = True
            events += [*track.close(), Stopped(index, _stop(reason, called=track.called))]
        return events

    def _part(self, track: Track, raw: Mapping[str, Any], logprobs: tuple[Logprob, ...]) -> list[Event]:
        events: list[Event] = []
        seal = text_of(raw, "thoughtSignature")
        if raw.get("thought"):
            events += track.grow(Reasoning(), text_of(raw, "text"))
            if seal:
                part, place = unmarked("", seal, "gemini"), track.next - 1
                events += [Sealed(track.choice, place, part.seal, part.maker, part.redacted), *track.shut(place)]
        elif seal:
            opened, place = track.open(unmarked("", seal, "gemini"))
            events += [*opened, *track.shut(place)]
        if raw.get("functionCall") is not None:
            call = table_of(raw, "functionCall")
            known = text_of(call, "id") or call_id(self._identity, track.choice, track.next)
            opened, place = track.open(Call(known, text_of(call, "name")))
            events += [*opened, Grew(track.choice, place, arguments(table_of(call, "args"))), *track.shut(place)]
        elif not raw.get("thought") and (text := text_of(raw, "text")):
            events += track.grow(Text(""), text, logprobs)
        return events


def _stop(reason: str, *, called: bool) -> Stop:
    if reason == "MAX_TOKENS":
        return "length"
    return "filter" if reason in _FILTERED else "calls" if called else "end"


def read(raw: Mapping[str, Any]) -> Replied:
    """The answer. Raises UpstreamGarbage for what is none."""
    telling = Telling()
    try:
        return gathered([*telling.heard(raw), *telling.over()])
    except StreamBroken as fault:
        raise UpstreamGarbage("The answer has no candidate that is whole.") from fault


def reader() -> Reader:
    """A reader of streams of such answers."""
    return Reader(Telling())


def usage_read(found: Any) -> Counted | None:
    """The tokens: what was thought is told beside the output."""
    if not isinstance(found, Mapping):
        return None
    thought = number(found, "thoughtsTokenCount")
    return Counted(
        (number(found, "promptTokenCount") or 0) + (number(found, "toolUsePromptTokenCount") or 0),
        (number(found, "candidatesTokenCount") or 0) + (thought or 0),
        number(found, "cachedContentTokenCount"),
        thought=thought,
    )


def logprobs_read(found: Any) -> tuple[Logprob, ...]:
    """How likely each token was."""
    if not isinstance(found, Mapping):
        return ()
    tops = list_of(found, "topCandidates")
    rows = []
    for place, one in enumerate(map(object_of, list_of(found, "chosenCandidates"))):
        others = list_of(object_of(tops[place]), "candidates") if place < len(tops) else []
        rows.append(_logprob(one, tuple(_logprob(object_of(other)) for other in others)))
    return tuple(rows)


def _logprob(raw: Mapping[str, Any], top: tuple[Logprob, ...] = ()) -> Logprob:
    return Logprob(text_of(raw, "token"), score(raw.get("logProbability")), top=top)


# -- writing ----------------------------------------------------------------------------------------


def write(replied: Replied, *, model: str, id: str) -> dict[str, Any]:
    """The answer as a client of generateContent reads it. Raises UpstreamGarbage for a call that is no JSON object."""
    candidates = [_candidate(place, choice) for place, choice in enumerate(replied.choices)]
    body: dict[str, Any] = {"candidates": candidates, "modelVersion": model, "responseId": id}
    return body if replied.usage is None else {**body, "usageMetadata": usage_written(replied.usage)}


def _candidate(place: int, choice: Choice) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    seal = ""
    for part in choice.parts:
        if isinstance(part, Call) and choice.stop == "length" and object_in(part.arguments) is None:
            continue  # a call that was cut by the limit is no call
        told, seal = _told(part, seal)
        rows += told
    rows += [{"text": "", "thoughtSignature": seal}] if seal else []
    found: dict[str, Any] = {
        "content": {"role": "model", "parts": rows},
        "finishReason": _REASONS[choice.stop],
        "index": place,
    }
    if choice.logprobs:
        found["logprobsResult"] = _logprobs_written(choice.logprobs)
    return found


def _told(part: Text | Reasoning | Call | Refused, seal: str) -> tuple[list[dict[str, Any]], str]:
    """The rows that a part is, and the seal that the next one is to carry."""
    if isinstance(part, Reasoning):
        if not part.text:
            return [], marked(part, "gemini") or seal
        own = {"thoughtSignature": marked(part, "gemini")} if part.seal else {}
        return [{"text": part.text, "thought": True, **own}], seal
    if isinstance(part, Call) and object_in(part.arguments) is None:
        raise UpstreamGarbage(f"The model calls {part.name[:64]!r} with arguments that are no JSON object.")
    row = part_of(part, {})
    return [{**row, "thoughtSignature": seal} if seal else row], ""


def _logprobs_written(logprobs: tuple[Logprob, ...]) -> dict[str, Any]:
    def one(told: Logprob) -> dict[str, Any]:
        return {"token": told.token, "logProbability": told.logprob}

    tops = [{"candidates": [one(other) for other in each.top]} for each in logprobs]
    return {"chosenCandidates": [one(each) for each in logprobs], "topCandidates": tops}


def usage_written(counted: Counted) -> dict[str, Any]:
    """The tokens as this format tells them."""
    told = {
        "promptTokenCount": counted.input,
        "cachedContentTokenCount": counted.cached,
        "candidatesTokenCount": counted.output - (counted.thought or 0),
        "thoughtsTokenCount": counted.thought,
        "totalTokenCount": counted.input + counted.output,
    }
    return {name: value for name, value in told.items() if value is not None}


class Writer:
    """Writes a stream of pieces: texts as they come, a call when it is whole; the last piece says what was used."""

    def __init__(self, *, model: str, id: str) -> None:
        self._model, self._id = model, id
        self._whole = Gathering()
        self._seals: dict[int, str] = {}
        self._stops: list[dict[str, Any]] = []

    def write(self, event: Event) -> bytes:  # noqa: PLR0911 one event after the other
        """The bytes for an event; none for what is told with another."""
        self._whole.take(event)
        match event:
            case Grew():
                part = self._whole.kind(event.choice, event.place)
                if isinstance(part, Reasoning):
                    return self._piece(event.choice, [{"text": event.text, "thought": True}])
                if isinstance(part, Call) or not (event.text or event.logprobs):
                    return b""
                rows, self._seals[event.choice] = _told(Text(event.text), self._seals.get(event.choice, ""))
                return self._piece(event.choice, rows, event.logprobs)
            case Closed():
                part = self._whole.part(event.choice, event.place)
                if isinstance(part, Reasoning) and part.seal and part.text:
                    own = {"text": "", "thought": True, "thoughtSignature": marked(part, "gemini")}
                    return self._piece(event.choice, [own])
                if isinstance(part, Reasoning) and part.seal:
                    self._seals[event.choice] = marked(part, "gemini")
                if isinstance(part, Call) and object_in(part.arguments) is not None:
                    rows, self._seals[event.choice] = _told(part, self._seals.get(event.choice, ""))
                    return self._piece(event.choice, rows)
            case Began():
                self._id = self._id or event.id
            case Stopped():
                seal = self._seals.pop(event.choice, "")
                rows = [{"text": "", "thoughtSignature": seal}] if seal else []
                content = {"role": "model", "parts": rows}
                self._stops.append({"content": content, "finishReason": _REASONS[event.stop], "index": event.choice})
            case Ended():
                usage = usage_written(self._whole.usage or Counted())
                return plain({"candidates": self._stops, **self._named(), "usageMetadata": usage})
        return b""

    def _named(self) -> dict[str, Any]:
        return {"modelVersion": self._model, "responseId": self._id}

    def _piece(self, choice: int, rows: list[dict[str, Any]], logprobs: tuple[Logprob, ...] = ()) -> bytes:
        candidate: dict[str, Any] = {"content": {"role": "model", "parts": rows}, "index": choice}
        if logprobs:
            candidate["logprobsResult"] = _logprobs_written(logprobs)
        return plain({"candidates": [candidate], **self._named()})
