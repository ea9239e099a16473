"""The formats by name: what each reads and writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from bastide.inference.wires import (
    chat,
    chat_replies,
    chat_stream,
    completions,
    gemini,
    gemini_replies,
    messages,
    messages_replies,
    messages_stream,
    responses,
    responses_replies,
    responses_stream,
)
from bastide.inference.wires.events import StreamReader, StreamWriter
from bastide.inference.wires.values import Asked, Replied


class _WriteRequest(Protocol):
    def __call__(self, asked: Asked, *, model: str, stream: bool) -> dict[str, Any]: ...


class _WriteReply(Protocol):
    def __call__(self, replied: Replied, *, model: str, id: str) -> dict[str, Any]: ...


class _Writer(Protocol):
    def __call__(self, *, model: str, id: str, usage: bool, echo: Mapping[str, Any]) -> StreamWriter: ...


@dataclass(frozen=True, slots=True)
class Format:
    """One format. What a client asks wrongly, or what a server's format has no word for, raises BadChat with the
    field; what a server answers wrongly raises UpstreamGarbage, and in a stream is a Cut.

    `echoed` are the fields of a request that stand in its answer, too; a writer is given them as `echo`.
    """

    name: str
    read: Callable[[dict[str, Any]], Asked]
    write: _WriteRequest
    read_reply: Callable[[Mapping[str, Any]], Replied]
    write_reply: _WriteReply
    reader: Callable[[], StreamReader]
    writer: _Writer
    echoed: tuple[str, ...] = ()


def _chat(*, model: str, id: str, usage: bool, echo: Mapping[str, Any]) -> StreamWriter:
    return chat_stream.Writer(model=model, id=id, usage=usage)


def _completions(*, model: str, id: str, usage: bool, echo: Mapping[str, Any]) -> StreamWriter:
    return completions.Writer(model=model, id=id, usage=usage)


def _messages(*, model: str, id: str, usage: bool, echo: Mapping[str, Any]) -> StreamWriter:
    return messages_stream.Writer(model=model, id=id)


def _responses(*, model: str, id: str, usage: bool, echo: Mapping[str, Any]) -> StreamWriter:
    return responses_stream.Writer(model=model, id=id, echo=echo)


def _gemini(*, model: str, id: str, usage: bool, echo: Mapping[str, Any]) -> StreamWriter:
    return gemini_replies.Writer(model=model, id=id)


FORMATS: Final[Mapping[str, Format]] = {
    one.name: one
    for one in (
        Format("chat", chat.read, chat.write, chat_replies.read, chat_replies.write, chat_stream.reader, _chat),
        Format(
            "completions",
            completions.read,
            completions.write,
            completions.read_reply,
            completions.write_reply,
            completions.reader,
            _completions,
        ),
        Format(
            "messages",
            messages.read,
            messages.write,
            messages_replies.read,
            messages_replies.write,
            messages_stream.reader,
            _messages,
        ),
        Format(
            "responses",
            responses.read,
            responses.write,
            responses_replies.read,
            responses_replies.write,
            responses_stream.reader,
            _responses,
            responses.ECHOED,
        ),
        Format(
            "gemini",
            gemini.read,
            gemini.write,
            gemini_replies.read,
            gemini_replies.write,
            gemini_replies.reader,
            _gemini,
        ),
    )
}
"""The formats that are translated into each other."""
