"""Doubles that we ship: what stands outside the house, as small real servers for tests.

Scripted model: an OpenAI-style server on loopback that answers from a script and remembers what it
was asked. It is spoken to over real sockets, so a test through it passes the whole way: decision,
permit, connection, wire, receipt.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

_REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests"}


@dataclass(frozen=True, slots=True)
class Says:
    """An answer in words. Streamed, it goes word by word with `pause_s` between; `cut_after` words it breaks off."""

    text: str
    pause_s: float = 0.0
    cut_after: int | None = None
    usage: bool = True
    finish: str = "stop"
    message: Mapping[str, Any] = field(default_factory=dict)  # further fields of the message, e.g. tool_calls


@dataclass(frozen=True, slots=True)
class Fails:
    """An answer that is an error of the server."""

    status: int
    message: str = "scripted failure"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Raw:
    """The very bytes of the reply, head and body; after them the connection is closed."""

    reply: bytes
    pause_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Tells:
    """An answer as its server would have it: `whole`, or these events where a stream is asked for. `cut_after` so many
    of them it breaks off."""

    whole: Mapping[str, Any]
    events: tuple[object, ...] = ()
    cut_after: int | None = None


Answer = str | Says | Fails | Raw | Tells


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came; a body that is no JSON, such as a form, is its bytes."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any


class ScriptedModel:
    """A real model server on loopback: `async with ScriptedModel("Hello.") as model: model.url`.

    It answers in the form of the path that it is asked at: chat completions, completions, responses, messages, and
    Gemini's generateContent. What it lists of its models is in `listed` and may be changed. Answers are used in their
    order, the last one for ever; a function gives an answer for each request.
    Embeddings are made from the words of a text, so that texts with common words are near each other; a re-ranking
    counts the words that text and query have in common.
    """

    def __init__(
        self, *answers: Answer | Callable[[Asked], Answer], names: tuple[str, ...] = ("scripted",), tls: Any = None
    ) -> None:
        """`names` are the models that it lists; `tls` is a server's SSL context."""
        self._answers = list(answers) or ["Scripted."]
        self.listed: list[dict[str, Any]] = [{"id": name, "object": "model"} for name in names]
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self.asked: list[Asked] = []
        self.port = 0
        self.closed_early = 0  # connections that the other side left in the middle of an answer

    @property
    def url(self) -> str:
        """Where its interface begins."""
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}/v1"

    @property
    def chats(self) -> list[Asked]:
        """The requests for a chat, without those for the list of models."""
        return [asked for asked in self.asked if asked.path.endswith("/chat/completions")]

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connection, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._open):
            writer.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while await self._exchange(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:  # noqa: PLR0911 one answer a kind
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ", 2)
        fields = dict(line.split(": ", 1) for line in head[1:] if ": " in line)
        headers = {name.lower(): value for name, value in fields.items()}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        plain = headers.get("content-type", "").startswith("multipart/")
        asked = Asked(method, path, headers, body if plain else json.loads(body) if body else None)
        self.asked.append(asked)
        if method == "GET" and path.partition("?")[0].endswith("/models"):
            theirs = [{**row, "name": f"models/{row['id']}"} for row in self.listed]  # as Gemini names them
            return await _send(writer, {"object": "list", "data": self.listed, "models": theirs})
        answer = self._next(asked)
        if isinstance(answer, Raw):
            writer.write(answer.reply)
            await writer.drain()
            await asyncio.sleep(answer.pause_s)
            return False
        if isinstance(answer, Fails):
            error = {"error": {"message": answer.message, "type": "scripted"}}
            return await _send(writer, error, status=answer.status, headers=answer.headers)
        place = path.partition("?")[0].rpartition("/")[2]
        streams = not isinstance(asked.body, bytes) and bool(asked.body.get("stream"))
        streams = streams or place.endswith(":streamGenerateContent")
        if isinstance(answer, Tells):
            if streams:
                return await self._stream(writer, map(_Word, answer.events), Says("", cut_after=answer.cut_after))
            return await _send(writer, answer.whole)
        makes = _MAKES.get(place)
        if makes is not None:
            return await _send(writer, makes(asked.body))
        says = Says(answer) if isinstance(answer, str) else answer
        form = None if path.endswith("/chat/completions") else _FORMS.get(place.rpartition(":")[2])
        if streams:
            events = form.streamed(asked.body, says) if form else _chat_events(asked.body, says)
            return await self._stream(writer, events, says)
        await asyncio.sleep(says.pause_s)
        return await _send(writer, form.whole(asked.body, says) if form else _completion(asked.body, says))

    def _next(self, asked: Asked) -> Answer:
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return answer if isinstance(answer, Answer) else answer(asked)

    async def _stream(self, writer: asyncio.StreamWriter, events: Iterable[object], says: Says) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        told = 0
        try:
            for event in events:
                said = isinstance(event, _Word)
                if said and told == says.cut_after:
                    return False
                await _event(writer, event.event if isinstance(event, _Word) else event)
                told += said
                if said:
                    await asyncio.sleep(says.pause_s)
        except ConnectionError:
            self.closed_early += 1
            return False
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True


@dataclass(frozen=True, slots=True)
class _Word:
    """An event that tells a word of the answer."""

    event: object


@dataclass(frozen=True, slots=True)
class _Form:
    """How one wire tells an answer."""

    whole: Callable[[Mapping[str, Any], Says], dict[str, Any]]
    streamed: Callable[[Mapping[str, Any], Says], Iterator[object]]


async def _send(
    writer: asyncio.StreamWriter,
    body: Mapping[str, Any],
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> bool:
    content = json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Scripted')}", "Content-Type: application/json"]
    lines += [f"Content-Length: {len(content)}", *(f"{name}: {value}" for name, value in (headers or {}).items())]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + content)
    await writer.drain()
    return True


async def _event(writer: asyncio.StreamWriter, value: object) -> None:
    if writer.is_closing():
        raise ConnectionResetError
    data = value if isinstance(value, str) else json.dumps(value)
    kind = value.get("type") if isinstance(value, dict) else None
    named = f"event: {kind}\n" if kind else ""
    event = f"{named}data: {data}\n\n".encode()
    writer.write(f"{len(event):x}\r\n".encode() + event + b"\r\n")
    await writer.drain()


def _pieces(says: Says) -> list[str]:
    words = says.text.split(" ")
    return [word if place == 0 else f" {word}" for place, word in enumerate(words)]


def _chat_events(body: Mapping[str, Any], says: Says) -> Iterator[object]:
    for place, piece in enumerate(_pieces(says)):
        yield _Word(_chunk(body, {"content": piece, **({} if place else {"role": "assistant"})}))
    yield _chunk(body, {}, finish=says.finish)
    if says.usage and (body.get("stream_options") or {}).get("include_usage"):
        yield {**_chunk(body, {}), "choices": [], "usage": _usage(body, says)}
    yield "[DONE]"


def _completion(body: Mapping[str, Any], says: Says) -> dict[str, Any]:
    message = {"role": "assistant", "content": says.text, **says.message}
    reply = _head(body, "chat.completion")
    reply["choices"] = [{"index": 0, "message": message, "finish_reason": says.finish, "logprobs": None}]
    return {**reply, "usage": _usage(body, says)} if says.usage else reply


def _chunk(body: Mapping[str, Any], delta: Mapping[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {
        **_head(body, "chat.completion.chunk"),
        "choices": [{"index": 0, "delta": dict(delta), "finish_reason": finish}],
    }


def _head(body: Mapping[str, Any], kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-scripted", "object": kind, "created": 1_700_000_000, "model": body.get("model")}


def _usage(body: Mapping[str, Any], says: Says) -> dict[str, int]:
    turns = body.get("messages") or body.get("contents") or [{"content": body.get("prompt") or body.get("input")}]
    asked = sum(len(str(turn.get("content") or turn.get("parts") or "").split()) for turn in turns)
    said = len(says.text.split())
    return {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}


def _embeddings(body: Mapping[str, Any]) -> dict[str, Any]:
    texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
    rows = [{"object": "embedding", "index": place, "embedding": _vector(text)} for place, text in enumerate(texts)]
    tokens = sum(len(text.split()) for text in texts)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "model": body.get("model"), "data": rows, "usage": usage}


def _reranked(body: Mapping[str, Any]) -> dict[str, Any]:
    """Best first, by how many of the query's words a text has."""
    words = set(str(body["query"]).lower().split())
    shares = [len(words & set(text.lower().split())) / max(len(words), 1) for text in body["documents"]]
    order = sorted(range(len(shares)), key=lambda place: -shares[place])
    rows = [{"index": place, "relevance_score": shares[place]} for place in order[: body.get("top_n")]]
    return {"model": body.get("model"), "results": rows, "usage": {"total_tokens": sum(map(len, body["documents"]))}}


def _vector(text: str, dimensions: int = 32) -> list[float]:
    found = [0.01] * dimensions
    for word in text.lower().split():
        found[hashlib.sha256(word.encode()).digest()[0] % dimensions] += 1.0
    return found


def _text(body: Mapping[str, Any], says: Says) -> dict[str, Any]:
    choice = {"index": 0, "text": says.text, "finish_reason": says.finish, "logprobs": None}
    return {**_head(body, "text_completion"), "choices": [choice], "usage": _usage(body, says)}


def _text_events(body: Mapping[str, Any], says: Says) -> Iterator[object]:
    for piece in _pieces(says):
        yield _Word({**_head(body, "text_completion"), "choices": [{"index": 0, "text": piece, "finish_reason": None}]})
    yield {**_head(body, "text_completion"), "choices": [{"index": 0, "text": "", "finish_reason": says.finish}]}
    yield "[DONE]"


def _counts(body: Mapping[str, Any], says: Says) -> dict[str, int]:
    counted = _usage(body, says)
    return {"input_tokens": counted["prompt_tokens"], "output_tokens": counted["completion_tokens"]}


def _message(body: Mapping[str, Any], says: Says) -> dict[str, Any]:
    content = [{"type": "text", "text": says.text}]
    kept = {"id": "msg_scripted", "type": "message", "role": "assistant", "model": body.get("model")}
    return {**kept, "content": content, "stop_reason": "end_turn", "stop_sequence": None, "usage": _counts(body, says)}


def _message_events(body: Mapping[str, Any], says: Says) -> Iterator[object]:
    begun = {**_message(body, says), "content": [], "stop_reason": None}
    yield {"type": "message_start", "message": {**begun, "usage": {**_counts(body, says), "output_tokens": 1}}}
    yield {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    for piece in _pieces(says):
        yield _Word({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}})
    yield {"type": "content_block_stop", "index": 0}
    ended = {"stop_reason": "end_turn", "stop_sequence": None}
    yield {"type": "message_delta", "delta": ended, "usage": {"output_tokens": _counts(body, says)["output_tokens"]}}
    yield {"type": "message_stop"}


def _response(body: Mapping[str, Any], says: Says) -> dict[str, Any]:
    part = {"type": "output_text", "text": says.text, "annotations": []}
    item = {"id": "msg_scripted", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
    counted = _counts(body, says)
    usage = {**counted, "total_tokens": sum(counted.values())}
    kept = {"id": "resp_scripted", "object": "response", "created_at": 1_700_000_000, "status": "completed"}
    return {**kept, "model": body.get("model"), "output": [item], "error": None, "usage": usage}


def _response_events(body: Mapping[str, Any], says: Says) -> Iterator[object]:
    begun = {**_response(body, says), "status": "in_progress", "output": [], "usage": None}
    yield {"type": "response.created", "sequence_number": 0, "response": begun}
    place = {"item_id": "msg_scripted", "output_index": 0, "content_index": 0}
    for number, piece in enumerate(_pieces(says), 1):
        yield _Word({"type": "response.output_text.delta", "sequence_number": number, **place, "delta": piece})
    yield {"type": "response.completed", "sequence_number": 1_000, "response": _response(body, says)}


def _candidate(body: Mapping[str, Any], says: Says, text: str, finish: str | None) -> dict[str, Any]:
    one: dict[str, Any] = {"index": 0, "content": {"role": "model", "parts": [{"text": text}]}}
    if finish is None:
        return {"candidates": [one]}
    counted = _usage(body, says)
    usage = {
        "promptTokenCount": counted["prompt_tokens"],
        "candidatesTokenCount": counted["completion_tokens"],
        "totalTokenCount": counted["total_tokens"],
    }
    return {"candidates": [{**one, "finishReason": finish}], "usageMetadata": usage, "modelVersion": "scripted"}


def _candidate_events(body: Mapping[str, Any], says: Says) -> Iterator[object]:
    for piece in _pieces(says):
        yield _Word(_candidate(body, says, piece, None))
    yield _candidate(body, says, "", "STOP")


_GENERATED = _Form(lambda body, says: _candidate(body, says, says.text, "STOP"), _candidate_events)
_FORMS: Mapping[str, _Form] = {
    "completions": _Form(_text, _text_events),
    "messages": _Form(_message, _message_events),
    "responses": _Form(_response, _response_events),
    "generateContent": _GENERATED,
    "streamGenerateContent": _GENERATED,
}
_MAKES: Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {"embeddings": _embeddings, "rerank": _reranked}
