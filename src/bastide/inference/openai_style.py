"""The OpenAI-style wire, as a client: chat, streams, embeddings, the list of models.

Many servers speak it and few speak it well, so nothing that arrives is trusted to have a shape.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from bastide.egress import Client, Flow
from bastide.errors import (
    BadChat,
    BrokenReply,
    StreamBroken,
    UpstreamFailed,
    UpstreamGarbage,
)
from bastide.inference.adapters import ADAPTERS, Adapter, Offered
from bastide.inference.event_stream import events
from bastide.inference.speaking import chat_stream, put, put_back
from bastide.inference.upstream_faults import fault_of, told_in
from bastide.inference.values import Usage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_TOKENS_MAX = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Place:
    """Where on the permitted host the interface begins, the key for it, and how its kind of server is spoken to."""

    path: str
    key: str | None = field(default=None, repr=False)
    adapter: Adapter = ADAPTERS["openai"]
    pin: str = ""  # the upstream that a router must stay with
    model: str = ""  # as its server calls it

    def headers(self, accept: str = "application/json") -> dict[str, str]:
        """The headers of a request with a JSON body."""
        return {"content-type": "application/json", "accept": accept, **self.adapter.headers(self.key)}

    def spoken(self, wire: str) -> str:
        """The wire in which this server is asked: `wire` itself where it speaks that."""
        return self.adapter.speaks(wire) or wire

    def address(self, wire: str, *, stream: bool = False) -> str:
        """Where it is asked in this wire, or in the one that stands for it."""
        return self.path + self.adapter.path(self.spoken(wire), self.model, stream=stream)

    def encoded(self, body: Mapping[str, Any], wire: str) -> bytes:
        """A body as this server takes it. Raises BadChat for what JSON, or the server, cannot say."""
        spoken = self.spoken(wire)
        said = dict(body) if spoken == wire else put(body, spoken, self.model)
        return encode(self.adapter.prepared(said, spoken, self.pin))


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole answer, read."""

    text: str
    finish: str
    usage: Usage | None
    raw: dict[str, Any]

    @property
    def said(self) -> bytes:
        """What the receipt commits to: the text, or all messages when there is more than one plain text."""
        return said([choice.get("message") for choice in self.raw["choices"]])


@dataclass(frozen=True, slots=True)
class Chunk:
    """One piece of a streamed answer, read."""

    text: str
    finish: str | None
    usage: Usage | None
    raw: dict[str, Any]


class Gathered:
    """What a stream has said so far."""

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self._messages: dict[int, dict[str, Any]] = {}

    def add(self, chunk: Chunk) -> None:
        """Take in one more chunk."""
        self.usage = chunk.usage or self.usage
        for position, choice in enumerate(chunk.raw["choices"]):
            delta = choice.get("delta")
            if isinstance(delta, dict):
                message = self._messages.setdefault(_index(choice, position), {"content": ""})
                message["content"] += _words(delta.get("content"))
                for place, part in enumerate(_objects(delta.get("tool_calls"))):
                    _join_tool_call(message.setdefault("tool_calls", {}), part, place)

    @property
    def said(self) -> bytes:
        """As `Completion.said`, of what has arrived."""
        return said([self._messages[index] for index in sorted(self._messages)]) if self._messages else b""


async def complete(client: Client, place: Place, body: bytes) -> Completion:
    """One whole chat completion."""
    reply = await client.request("POST", place.address("chat"), content=body, headers=place.headers())
    if reply.status != 200:
        refuse(reply.status, reply.headers, reply.body, place)
    return read_completion(_chat_answer(reply.body, place))


async def stream(client: Client, place: Place, body: bytes) -> AsyncGenerator[Chunk]:
    """A chat completion in chunks, until its end. Raises StreamBroken if it has none."""
    headers = place.headers("text/event-stream")
    async with client.stream("POST", place.address("chat", stream=True), content=body, headers=headers) as flow:
        if flow.status != 200:
            refuse(flow.status, flow.headers, await flow.read(), place)
        if not flow.headers.get("content-type", "").lower().startswith("text/event-stream"):
            yield _whole_as_chunk(read_completion(_chat_answer(await flow.read(), place)))
            return
        spoken = place.spoken("chat")
        told = _passed(flow) if spoken == "chat" else chat_stream(flow, spoken, place.model)
        async with aclosing(told) as pieces, aclosing(_chunks(pieces)) as chunks:
            async for chunk in chunks:
                yield chunk


async def _passed(flow: Flow) -> AsyncGenerator[bytes]:
    async for piece in flow:
        yield piece


def _chat_answer(body: bytes, place: Place) -> dict[str, Any]:
    """A whole answer as a chat's, whatever wire it came in."""
    answer, spoken = read_object(body), place.spoken("chat")
    return answer if spoken == "chat" or answer.get("error") else put_back(answer, spoken, place.model)


async def embed(
    client: Client, place: Place, model: str, texts: Sequence[str]
) -> tuple[NDArray[np.float32], int | None]:
    """Vectors `(n, d) float32` as the server gives them, and the tokens it counted."""
    body = place.encoded({"model": model, "input": list(texts), "encoding_format": "float"}, "embeddings")
    reply = await client.request("POST", place.address("embeddings"), content=body, headers=place.headers())
    if reply.status != 200:
        refuse(reply.status, reply.headers, reply.body, place)
    answer = read_object(reply.body)
    rows = answer.get("data")
    if not isinstance(rows, list) or len(rows) != len(texts):
        raise UpstreamGarbage(f"{len(texts)} texts were sent, and not as many vectors came back.")
    found: list[Any] = [None] * len(texts)
    for position, row in enumerate(rows):
        index = row.get("index", position) if isinstance(row, dict) else None
        if not isinstance(index, int) or not 0 <= index < len(texts) or found[index] is not None:
            raise UpstreamGarbage("The vectors are not numbered as the texts were.")
        found[index] = row.get("embedding")
    usage = answer.get("usage")
    counted = _count(usage.get("prompt_tokens", usage.get("total_tokens"))) if isinstance(usage, dict) else None
    return _matrix(found), counted


async def list_models(client: Client, place: Place) -> list[Offered]:
    """The models that the server says it offers."""
    reply = await client.request("GET", place.path + place.adapter.catalogue, headers=place.headers())
    if reply.status != 200:
        refuse(reply.status, reply.headers, reply.body, place)
    return place.adapter.offered(read_object(reply.body))


def encode(body: Mapping[str, Any]) -> bytes:
    """A body as bytes: what is sent, and what the receipt commits to. Raises BadChat for what JSON cannot say."""
    try:
        return json.dumps(body, ensure_ascii=True, separators=(",", ":"), allow_nan=False).encode()
    except (ValueError, TypeError, RecursionError) as fault:
        raise BadChat("The request holds something that JSON cannot say, such as NaN.") from fault


def said(messages: Sequence[Any]) -> bytes:
    """What an answer says, as bytes: the one plain text, else all messages in canonical JSON."""
    if len(messages) == 1 and isinstance(messages[0], dict) and not messages[0].get("tool_calls"):
        return _words(messages[0].get("content")).encode()
    return json.dumps(messages, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def read_completion(answer: dict[str, Any]) -> Completion:
    """The completion in a reply. Raises UpstreamGarbage, or UpstreamFailed when it is an error in disguise."""
    if answer.get("error"):
        raise UpstreamFailed(f"The model's server reports: {told_in(answer)}")
    choices = answer.get("choices")
    if not isinstance(choices, list) or not choices or not all(isinstance(choice, dict) for choice in choices):
        raise UpstreamGarbage("The answer has no `choices`.")
    message = choices[0].get("message")
    if not isinstance(message, dict):
        raise UpstreamGarbage("The answer's first choice has no message.")
    finish = choices[0].get("finish_reason")
    return Completion(
        text=_words(message.get("content")),
        finish=finish if isinstance(finish, str) else "stop",
        usage=_usage(answer.get("usage")),
        raw=answer,
    )


async def _chunks(flow: AsyncIterable[bytes]) -> AsyncGenerator[Chunk]:
    ended = False
    try:
        async with aclosing(events(flow)) as arriving:
            async for data in arriving:
                if data.strip() == b"[DONE]":
                    return
                chunk = _chunk(data)
                ended = ended or chunk.finish is not None
                yield chunk
    except BrokenReply as fault:
        if not ended:
            raise StreamBroken from fault
    if not ended:
        raise StreamBroken


def _chunk(data: bytes) -> Chunk:
    try:
        raw = read_object(data)
    except UpstreamGarbage as fault:
        raise StreamBroken("A piece of the stream is not a JSON object.") from fault
    if raw.get("error"):
        raise StreamBroken(f"The model's server broke off: {told_in(raw)}")
    choices = raw.get("choices")
    if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
        raise StreamBroken("A piece of the stream has no `choices`.")
    first = choices[0] if choices else {}
    delta = first.get("delta")
    finish = first.get("finish_reason")
    return Chunk(
        text=_words(delta.get("content")) if isinstance(delta, dict) else "",
        finish=finish if isinstance(finish, str) else None,
        usage=_usage(raw.get("usage")),
        raw=raw,
    )


def _whole_as_chunk(completion: Completion) -> Chunk:
    """The single chunk of a server that does not stream although it was asked to."""
    choices = [{**choice, "delta": choice.get("message")} for choice in completion.raw["choices"]]
    for choice in choices:
        choice.pop("message", None)
    raw = {**completion.raw, "object": "chat.completion.chunk", "choices": choices}
    return Chunk(completion.text, completion.finish, completion.usage, raw)


def refuse(status: int, headers: Mapping[str, str], body: bytes, place: Place) -> NoReturn:
    """Raises the error of our own tree for a status that is not 200."""
    raise fault_of(status, headers, body, place.key)


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a body, with no number that JSON does not have and no half character."""
    try:
        found = json.loads(body.decode("utf-8", "replace"), parse_constant=_no_constant)
        if not isinstance(found, dict):
            raise UpstreamGarbage("The answer is not a JSON object.")
        return {**(_whole_characters(found) if b"\\ud" in body.lower() else found)}
    except (ValueError, RecursionError) as fault:
        raise UpstreamGarbage("The answer is not JSON.") from fault


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _whole_characters(value: Any) -> Any:
    """The value with every half of a surrogate pair replaced: it could not be sent on as UTF-8."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, list):
        return [_whole_characters(item) for item in value]
    if isinstance(value, dict):
        return {_whole_characters(name): _whole_characters(item) for name, item in value.items()}
    return value


def _words(content: object) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "".join(str(part.get("text") or "") for part in parts if isinstance(part, dict))


def _usage(found: object) -> Usage | None:
    if not isinstance(found, dict):
        return None
    counted = (_count(found.get("prompt_tokens")), _count(found.get("completion_tokens")))
    return None if counted[0] is None else Usage(counted[0], counted[1] or 0)


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _TOKENS_MAX else None


def _objects(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _index(part: Mapping[str, Any], position: int) -> int:
    index = part.get("index")
    return index if isinstance(index, int) else position


def _join_tool_call(calls: dict[int, dict[str, str]], part: Mapping[str, Any], position: int) -> None:
    """A streamed tool call arrives in parts: its id and name once, its arguments in pieces."""
    call = calls.setdefault(_index(part, position), {"id": "", "name": "", "arguments": ""})
    function = part.get("function")
    pieces = {"id": part.get("id"), **(function if isinstance(function, dict) else {})}
    for name in call:
        call[name] += pieces[name] if isinstance(pieces.get(name), str) else ""


def normalised(batches: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """The rows of all batches, each of length 1. Raises UpstreamGarbage when their widths differ."""
    import numpy as np

    if not batches:
        return np.zeros((0, 0), dtype=np.float32)
    if len({batch.shape[1] for batch in batches}) != 1:
        raise UpstreamGarbage("The vectors are not all of one length.")
    rows = np.concatenate(batches)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / np.where(lengths > 0, lengths, 1)).astype(np.float32)


def _matrix(rows: list[Any]) -> NDArray[np.float32]:
    import numpy as np

    try:
        found = np.asarray(rows, dtype=np.float32)
    except (TypeError, ValueError) as fault:
        raise UpstreamGarbage("The vectors are not lists of numbers of one length.") from fault
    if found.ndim != 2 or found.shape[1] == 0 or not np.isfinite(found).all():
        raise UpstreamGarbage("The vectors are not lists of finite numbers of one length.")
    return found
