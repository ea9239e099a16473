"""Models of this process behind the wires: extracts for a chat, vectors for an embedding."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final, Literal, Protocol

import msgspec

from bastide import telemetry
from bastide.errors import BadRequest, BastideError, Broken, WrongCapability
from bastide.inference.gateway.asking import Asking
from bastide.inference.gateway.refusing import last_event, of_ours, refusal
from bastide.inference.gateway.targets import Target
from bastide.inference.gateway.translating import Translated
from bastide.inference.gateway.values import EVENTS, JSON, Sink
from bastide.inference.values import ChatPiece, ChatReply, ChatRequest, Embedded
from bastide.policy import Label
from bastide.store import Scope

_INPUTS_MAX: Final = 2048  # as OpenAI has it
_CHATS: Final = frozenset({"chat", "completions", "messages", "responses"})
_ENCODER: Final = msgspec.json.Encoder()


class Models(Protocol):
    """The room's own operations, as far as they answer without a server."""

    async def chat(self, scope: Scope, request: ChatRequest, *, label: Label) -> ChatReply: ...
    def stream_chat(self, scope: Scope, request: ChatRequest, *, label: Label) -> AsyncGenerator[ChatPiece]: ...
    async def embed(
        self,
        scope: Scope,
        texts: list[str],
        *,
        label: Label,
        model: str | None = None,
        kind: Literal["passage", "query"] = "passage",
    ) -> Embedded: ...


class Here:
    """Answers calls of the wires by models of this process."""

    def __init__(self, models: Models) -> None:
        self._models = models

    async def embed(self, scope: Scope, texts: list[str], *, label: Label) -> Embedded:
        """Vectors by this machine's embedder."""
        return await self._models.embed(scope, texts, label=label)

    async def __call__(
        self, scope: Scope, label: Label, asking: Asking, target: Target, sink: Sink, request_id: str
    ) -> None:
        """Answer, or say why not; the sink gets a whole answer either way."""
        try:
            if asking.wire in _CHATS:
                await self._chat(scope, label, asking, target, sink, request_id)
            elif asking.wire == "embeddings":
                await self._embed(scope, label, asking, target, sink)
            else:
                raise WrongCapability(f"{target.model.name} answers chats only.", model=target.model.name)
        except BastideError as fault:
            _refuse(asking.wire, fault, sink, request_id)
        except Exception:
            telemetry.log.exception("a model of this process failed")
            _refuse(asking.wire, Broken(), sink, request_id)

    async def _chat(self, scope: Scope, label: Label, asking: Asking, target: Target, sink: Sink, id: str) -> None:
        """A chat, or what is put into one and whose answer is put back."""
        relay = None if asking.wire == "chat" else Translated(asking, "chat", target.model.name)
        body = asking.body if relay is None else relay.request(asking, target.model.name)
        request = ChatRequest.from_wire({**body, "model": target.model.name})
        if asking.stream:
            await self._stream(self._models.stream_chat(scope, request, label=label), relay, asking.wire, sink, id)
            return
        reply = await self._models.chat(scope, request, label=label)
        said = _ENCODER.encode(dict(reply.raw))
        if relay is not None:
            relay.feed(said)
            said = relay.end()
        sink.on_head(200, [JSON, (b"x-bastide-receipt", reply.receipt.encode())])
        sink.on_piece(said)
        sink.on_end()

    async def _stream(
        self, chunks: AsyncGenerator[ChatPiece], relay: Translated | None, wire: str, sink: Sink, id: str
    ) -> None:
        begun = False
        try:
            async with aclosing(chunks) as pieces:
                async for piece in pieces:
                    if not begun:
                        begun = True
                        sink.on_head(200, [EVENTS, (b"x-bastide-receipt", piece.receipt.encode())])
                    chunk = b"data: %b\n\n" % _ENCODER.encode(dict(piece.raw))
                    _give(sink, chunk if relay is None else relay.feed(chunk))
            _give(sink, b"data: [DONE]\n\n" if relay is None else relay.end())
            if relay is not None and relay.fault is not None:
                raise relay.fault
        except Exception as fault:
            if not begun:
                raise
            sink.on_piece(last_event(wire, of_ours(fault), id))
        sink.on_end()

    async def _embed(self, scope: Scope, label: Label, asking: Asking, target: Target, sink: Sink) -> None:
        body = asking.body
        texts = _texts(body.get("input"))
        query = body.get("input_type") == "query"
        found = await self._models.embed(
            scope, texts, label=label, model=target.model.name, kind="query" if query else "passage"
        )
        if body.get("dimensions") not in (None, found.dimensions):
            raise BadRequest(f"{found.model} gives {found.dimensions} dimensions.", param="dimensions")
        packed = body.get("encoding_format") == "base64"
        rows = [_row(index, vector, packed=packed) for index, vector in enumerate(found.vectors)]
        usage = {"prompt_tokens": found.usage.input, "total_tokens": found.usage.input}
        sink.on_head(200, [JSON, (b"x-bastide-receipt", found.receipt.encode())])
        sink.on_piece(_ENCODER.encode({"object": "list", "data": rows, "model": found.model, "usage": usage}))
        sink.on_end()


def _give(sink: Sink, said: bytes) -> None:
    if said:
        sink.on_piece(said)


def _row(index: int, vector: Any, *, packed: bool) -> dict[str, Any]:
    import numpy as np

    values = np.ascontiguousarray(vector, dtype="<f4")
    said = base64.b64encode(values.tobytes()).decode() if packed else [float(value) for value in values]
    return {"object": "embedding", "index": index, "embedding": said}


def _texts(given: Any) -> list[str]:
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise BadRequest(
            "`input` must be text, or a list of texts: tokens are not taken.",
            next_step="Send the texts; LangChain's OpenAIEmbeddings does with check_embedding_ctx_length=False.",
            param="input",
        )
    if len(texts) > _INPUTS_MAX:
        raise BadRequest(f"`input` has {len(texts)} texts; at most {_INPUTS_MAX} go into one call.", param="input")
    return texts


def _refuse(wire: str, fault: BastideError, sink: Sink, request_id: str) -> None:
    status, headers, body = refusal(wire, fault, request_id)
    sink.on_head(status, headers)
    sink.on_piece(body)
    sink.on_end()
