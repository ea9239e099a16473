"""Watching an answer that is passed on as it comes: is it whole, what did it use, does it end as it should.

Not a byte is changed. Each event is decoded as far as that needs; what is no event of the wire ends the stream with
a fault, and an event that only tells of usage is kept back from a client that did not ask for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec

from bastide.errors import BastideError, StreamBroken, UpstreamFailed, UpstreamGarbage
from bastide.inference.upstream_faults import told_in
from bastide.inference.values import Usage

_EVENT_BYTES_MAX: Final = 8 * 1024 * 1024
_TOKENS_MAX: Final = 1_000_000_000
_ALIVE_HELD_MAX: Final = 4  # signs of life before an answer; who goes on to give some is told on, lest others hang up
_DONE: Final = b"data: [DONE]\n\n"


class _Seen(msgspec.Struct):
    """As much of an event or of a whole answer as is looked at, in any wire."""

    type: Any = None
    choices: Any = None
    usage: Any = None
    error: Any = None
    message: Any = None
    response: Any = None
    status: Any = None
    output: Any = None


class _ChoiceSeen(msgspec.Struct):
    index: Any = None
    finish_reason: Any = None


class _Chunk(msgspec.Struct):
    """An event of the chat and completions wires; what it says is passed over, not decoded."""

    type: Any = None
    choices: list[_ChoiceSeen] | None = None
    usage: Any = None
    error: Any = None


class _PieceSaid(msgspec.Struct):
    index: Literal[0] = 0
    finish_reason: None = None


class _Piece(msgspec.Struct):
    """The event that nearly all are: a piece of the one answer, and nothing else that matters."""

    choices: Annotated[list[_PieceSaid], msgspec.Meta(min_length=1, max_length=1)]
    type: None = None
    usage: None = None
    error: None = None


_DECODE: Final = msgspec.json.Decoder(_Seen).decode
_DECODE_CHUNK: Final = msgspec.json.Decoder(_Chunk).decode
_IS_PIECE: Final = msgspec.json.Decoder(_Piece).decode  # raises for whatever is to be looked at closely

Wire = TypeVar("Wire")


def _decoded(decode: Callable[[bytes], Wire], data: bytes) -> Wire:
    """What `decode` finds. It passes over text that nobody looks at, and would over what is not UTF-8 in it, too.

    Raises msgspec.DecodeError, UnicodeDecodeError or RecursionError.
    """
    if not data.isascii():
        data.decode()
    return decode(data)


def _is_text(data: bytes) -> bool:
    try:
        return data.isascii() or bool(data.decode())
    except UnicodeDecodeError:
        return False


class Watched:
    """An event stream of one wire. `ended` once it has said that it is whole; `events` counts what was said."""

    __slots__ = (
        "_alive",
        "_chunks",
        "_finished",
        "_held",
        "_later",
        "_others",
        "_separator",
        "_size",
        "_usage_wanted",
        "_wire",
        "counted",
        "done",
        "ended",
        "events",
        "fault",
    )

    def __init__(self, wire: str, *, usage_wanted: bool) -> None:
        self._wire = wire
        self._chunks = wire in {"chat", "completions"}
        self._usage_wanted = usage_wanted
        self._held = b""
        self._later: list[bytes] = []  # what came after it
        self._size = 0  # of that
        self._separator = b"\n\n"
        self._finished: set[int] = set()
        self._alive = 0  # comments before the first event
        self._others = 0  # the highest number of an answer beside the first
        self.counted: Usage | None = None  # as the server says it
        self.events = 0
        self.fault: BastideError | None = None  # what came after the events that may still go on
        self.ended = self.done = False

    def feed(self, piece: bytes) -> bytes:
        """What of `piece` may go on: whole events only, as far as they are sound; then `fault` is set."""
        separator = self._separator
        if not self._held and piece.endswith(separator):
            return self._looked_at(piece)
        if b"\n" not in piece:  # no event ends with it: to join it anew each time would take the square of its length
            if self._held:
                self._later.append(piece)
                self._size += len(piece)
            else:
                self._held = piece
            if len(self._held) + self._size > _EVENT_BYTES_MAX:
                self.fault = StreamBroken("One event of the stream is larger than any answer.")
            return b""
        text = self._all(piece)
        end = text.rfind(separator)
        if end < 0 and b"\r" in text:
            separator = self._separator = b"\r\n\r\n"
            end = text.rfind(separator)
        if end < 0:
            if len(text) > _EVENT_BYTES_MAX:
                self.fault = StreamBroken("One event of the stream is larger than any answer.")
            self._held = text
            return b""
        end += len(separator)
        whole, self._held = (text, b"") if end == len(text) else (text[:end], text[end:])
        return self._looked_at(whole)

    def end(self) -> bytes:
        """What is still to be sent when the server has said all; `fault` is set if it has not."""
        rest = b""
        if (held := self._all()).strip():
            rest = self._looked_at(held + self._separator)
        if self.fault is None and not self.ended:
            self.fault = StreamBroken()
        if self.fault is not None:
            return rest
        if self._chunks and not self.done:
            rest += _DONE
        return rest

    def _all(self, piece: bytes = b"") -> bytes:
        """What has come of events that had not ended; it is held no more."""
        text = b"".join((self._held, *self._later, piece))
        self._held, self._later, self._size = b"", [], 0
        return text

    def _looked_at(self, whole: bytes) -> bytes:
        events = whole.split(self._separator)
        is_piece = _IS_PIECE if self._chunks and _is_text(whole) else None
        left_out = []
        for place, event in enumerate(events):
            if is_piece is not None and event.startswith(b"data: {"):
                try:
                    is_piece(event[6:])
                except (msgspec.DecodeError, RecursionError):
                    pass  # something else, or no event at all
                else:
                    self.events += 1
                    continue
            try:
                if event and not self._look(event):
                    left_out.append(place)
            except StreamBroken as fault:
                self.fault = fault
                left_out += range(place, len(events))
                break
        if not left_out:
            return whole
        return b"".join([one + self._separator for place, one in enumerate(events) if one and place not in left_out])

    def _look(self, event: bytes) -> bool:
        """Whether the event goes on."""
        data = event[6:] if event.startswith(b"data: ") and b"\n" not in event else _data(event)
        if not data:  # a comment: it shows that the server lives, and is no beginning of an answer
            self._alive += 1
            return self.events > 0 or self._alive > _ALIVE_HELD_MAX
        if data == b"[DONE]":
            if self.events == 0:
                raise StreamBroken("The model's server ended its answer before it said anything.")
            self.done = self.ended = True
            return True
        seen: _Chunk | _Seen
        try:
            seen = _decoded(_DECODE_CHUNK, data) if self._chunks else _decoded(_DECODE, data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
            raise StreamBroken(_wrong_in(data)) from fault
        if seen.error is not None or seen.type == "error":
            told = told_in(msgspec.json.decode(data))
            raise StreamBroken(f"The model's server broke off: {told}")
        if seen.usage is not None:
            self._used(seen.usage)
        return self._chunk(seen) if type(seen) is _Chunk else self._typed(seen)

    def _chunk(self, seen: _Chunk) -> bool:
        self.events += 1
        choices = seen.choices
        if choices is None:
            raise StreamBroken("A piece of the stream has no `choices`.")
        for choice in choices:
            index = choice.index
            if choice.finish_reason is not None:
                self._finished.add(index if type(index) is int else 0)
                self.ended = len(self._finished) > self._others
            elif type(index) is int and index > self._others:  # of several answers each must say its end
                self._others = index
                self.ended = False
        return bool(choices) or self._usage_wanted or seen.usage is None

    def _typed(self, seen: Any) -> bool:
        """The named events of the messages and responses wires; those that tell a piece of the answer are counted."""
        if type(seen.type) is not str:
            raise StreamBroken("A piece of the stream has no `type`.")
        self.events += seen.type.endswith("delta") and seen.type != "message_delta"
        for inner in (seen.message, seen.response):
            if type(inner) is dict and inner.get("usage") is not None:
                self._used(inner["usage"])
        if seen.type in {"message_stop", "response.completed", "response.incomplete"}:
            self.ended = True
        if seen.type in {"response.failed", "response.cancelled"}:
            raise StreamBroken(f"The model's server broke off: {told_in(seen.response)}")
        return True

    def _used(self, usage: Any) -> None:
        counted = usage_of(usage)
        if counted is not None:  # the messages wire tells the input first and the output at its end
            before = self.counted or Usage()
            self.counted = Usage(max(counted.input, before.input), max(counted.output, before.output))


class _Counts(msgspec.Struct):
    """Tokens as the wires tell them, under either pair of names."""

    prompt_tokens: Any = None
    input_tokens: Any = None
    completion_tokens: Any = None
    output_tokens: Any = None
    cache_creation_input_tokens: Any = None
    cache_read_input_tokens: Any = None


class _Object(msgspec.Struct):
    """Any object; nothing of it is looked at."""


class _Choice(msgspec.Struct):
    message: _Object


class _Chat(msgspec.Struct):
    """A whole answer of the chat wire as it ought to be: as little of it is decoded as shows that."""

    choices: list[_Choice]
    usage: _Counts | None = None
    error: Any = None


_DECODE_CHAT: Final = msgspec.json.Decoder(_Chat).decode


def _wrong_in(data: bytes) -> str:
    try:
        seen = _decoded(_DECODE, data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "A piece of the stream is not a JSON object."
    if type(seen.choices) is list:
        return "A choice in a piece of the stream is not an object."
    return "A piece of the stream has no `choices`."


def whole_answer(wire: str, body: bytes) -> Usage | None:
    """What a whole answer used. Raises UpstreamGarbage for no answer, UpstreamFailed for an error in disguise."""
    if wire == "chat":
        try:
            chat = _decoded(_DECODE_CHAT, body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass  # what is wrong with it is found out below
        else:
            if chat.choices and chat.error is None:
                return None if chat.usage is None else _counted(chat.usage)
    return _looked_into(wire, body)


def _looked_into(wire: str, body: bytes) -> Usage | None:
    try:
        seen = _decoded(_DECODE, body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise UpstreamGarbage("The answer is not a JSON object.") from fault
    if seen.error is not None or (wire == "responses" and seen.status in ("failed", "cancelled")):
        raise UpstreamFailed(f"The model's server reports: {told_in(msgspec.json.decode(body))}")
    if wire in {"chat", "completions"}:
        choices = seen.choices
        if type(choices) is not list or not choices or not all(type(choice) is dict for choice in choices):
            raise UpstreamGarbage("The answer has no `choices`.")
        if wire == "chat" and type(choices[0].get("message")) is not dict:
            raise UpstreamGarbage("The answer's first choice has no message.")
    elif wire == "messages" and seen.type != "message":
        raise UpstreamGarbage("The answer is no message.")
    elif wire == "responses" and type(seen.output) is not list:
        raise UpstreamGarbage("The answer has no `output`.")
    return usage_of(seen.usage)


def usage_of(found: Any) -> Usage | None:
    """Tokens as the wires tell them, under either pair of names; None where they do not."""
    if not isinstance(found, Mapping):
        return None
    return _counted(_Counts(**{name: found.get(name) for name in _Counts.__struct_fields__}))


def _counted(told: _Counts) -> Usage | None:
    sent, got = told.prompt_tokens, told.completion_tokens
    cached = told.cache_creation_input_tokens is not None or told.cache_read_input_tokens is not None
    if type(sent) is int and type(got) is int and 0 <= sent < _TOKENS_MAX and 0 <= got < _TOKENS_MAX and not cached:
        return Usage(sent, got)
    sent = _count(told.input_tokens if told.prompt_tokens is None else told.prompt_tokens)
    got = _count(told.output_tokens if told.completion_tokens is None else told.completion_tokens)
    if sent is None and got is None:
        return None
    more = (_count(told.cache_creation_input_tokens) or 0) + (_count(told.cache_read_input_tokens) or 0)
    return Usage((sent or 0) + more, got or 0)


def _count(value: object) -> int | None:
    return value if type(value) is int and 0 <= value < _TOKENS_MAX else None


def _data(event: bytes) -> bytes:
    lines = event.replace(b"\r\n", b"\n").split(b"\n")
    return b"\n".join([line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:")])
