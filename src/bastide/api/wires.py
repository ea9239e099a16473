"""The model wires on the ASGI application: the same calls as on the fast lane, for whoever comes this way.

Bodies are passed to the gateway as they came, and answers back as they come; nothing here reads either.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from bastide.api.describing import model_answers
from bastide.api.doorkeeper import Asking, Behind
from bastide.api.leaving import GONE, gone
from bastide.api.shapes import models as shapes
from bastide.api.values import Caller, Rooms
from bastide.errors import UnsupportedMedia
from bastide.inference import Running, betas_named

_PLAIN: Final = frozenset({"", "identity"})
_HELD_MAX: Final = 1024 * 1024  # bytes that wait for a slow client before the server is held back

router = APIRouter(tags=["models"])


class Waiting:
    """A sink that an ASGI answer is read from."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self._pieces: deque[bytes] = deque()
        self._held = 0
        self._news = asyncio.Event()
        self._ended = False
        self.running: Running | None = None

    def on_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """The answer begins."""
        self.status, self.headers = status, headers
        self._news.set()

    def on_piece(self, piece: bytes) -> None:
        """Some of its body."""
        self._pieces.append(piece)
        self._held += len(piece)
        if self._held > _HELD_MAX and self.running is not None:
            self.running.pause()
        self._news.set()

    def on_end(self) -> None:
        """All of it."""
        self._ended = True
        self._news.set()

    async def begun(self, request: Request) -> bool:
        """Wait for the head; False if the client has gone before."""
        left = asyncio.ensure_future(gone(request))
        left.add_done_callback(lambda _: self._news.set())
        try:
            while not (self.status or left.done()):
                await self._news.wait()
                self._news.clear()
        finally:
            left.cancel()
        return bool(self.status)

    async def pieces(self) -> AsyncGenerator[bytes]:
        """The body."""
        assert self.running is not None, "begun before it is read"
        while True:
            while self._pieces:
                piece = self._pieces.popleft()
                self._held -= len(piece)
                if self._held <= _HELD_MAX:
                    self.running.resume()
                yield piece
            if self._ended:
                return
            await self._news.wait()
            self._news.clear()

    @property
    def whole(self) -> bytes | None:
        """The body where all of it is there."""
        return b"".join(self._pieces) if self._ended else None


class _Streamed(StreamingResponse):
    """A stream whose call ends with it, even if the client has gone before a piece of it was read."""

    def __init__(self, taken: Waiting, headers: dict[str, str]) -> None:
        super().__init__(taken.pieces(), taken.status, {**headers, "x-accel-buffering": "no"})
        self._running = taken.running

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            if self._running is not None:
                self._running.cancel()


async def _called(wire: str, request: Request, caller: Caller, rooms: Rooms) -> Response:
    packed = request.headers.get("content-encoding", "").strip().lower()
    if packed not in _PLAIN:
        raise UnsupportedMedia("The body is compressed.", next_step="Send it as plain JSON, without Content-Encoding.")
    body = await request.body()
    betas = betas_named(",".join(request.headers.getlist("anthropic-beta")))
    taken = Waiting()
    taken.running = rooms.inference.gateway.begin(
        caller.scope, caller.label, wire, body, taken, request_id=caller.request_id, betas=betas
    )
    begun = False
    try:
        begun = await taken.begun(request)
    finally:
        if not begun:
            taken.running.cancel()
    if not begun:
        return Response(status_code=GONE)
    headers = {name.decode(): value.decode() for name, value in taken.headers}
    whole = taken.whole
    if whole is not None:
        return Response(whole, taken.status, headers)
    return _Streamed(taken, headers)


async def _counted(wire: str, request: Request, caller: Caller, rooms: Rooms, **more: Any) -> Response:
    tokens = await rooms.inference.gateway.count(caller.scope, wire, await request.body())
    return JSONResponse({"input_tokens": tokens, "estimated": True, **more})


def _described(shape: type[Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": shape.model_json_schema()}}}}


@router.post(
    "/v1/chat/completions",
    summary="Chat",
    responses=model_answers({200: shapes.Completion}),
    openapi_extra=_described(shapes.Chat),
)
async def chat(request: Request, caller: Asking, rooms: Behind) -> Response:
    """Continue a conversation. With `stream`, pieces come as they are written and end with `[DONE]`.

    The receipt's id is in X-Bastide-Receipt; of a stream it is complete when the stream has ended. A message or a
    part of one may carry `x_label`, the label of what stands in it: the strictest one holds for the call.
    """
    return await _called("chat", request, caller, rooms)


@router.post(
    "/v1/completions",
    summary="Complete a text",
    responses=model_answers({}),
    openapi_extra=_described(shapes.Prompt),
)
async def completions(request: Request, caller: Asking, rooms: Behind) -> Response:
    """Go on with a text, as OpenAI's older clients ask for it."""
    return await _called("completions", request, caller, rooms)


@router.post(
    "/v1/responses", summary="Respond", responses=model_answers({}), openapi_extra=_described(shapes.ResponseQuestion)
)
async def responses(request: Request, caller: Asking, rooms: Behind) -> Response:
    """A response as OpenAI's newer clients ask for it. Nothing is kept: send the earlier turns again."""
    return await _called("responses", request, caller, rooms)


@router.post(
    "/v1/messages", summary="Message", responses=model_answers({}), openapi_extra=_described(shapes.MessageQuestion)
)
async def messages(request: Request, caller: Asking, rooms: Behind) -> Response:
    """A message as Anthropic's clients ask for it; the key may come in `x-api-key`."""
    return await _called("messages", request, caller, rooms)


@router.post(
    "/v1/embeddings",
    summary="Embeddings",
    responses=model_answers({200: shapes.Embeddings}),
    openapi_extra=_described(shapes.EmbeddingQuestion),
)
async def embeddings(request: Request, caller: Asking, rooms: Behind) -> Response:
    """One vector a text, L2-normalised. `input_type: query` asks for vectors of questions where the model has two."""
    return await _called("embeddings", request, caller, rooms)


@router.post(
    "/v1/messages/count_tokens",
    summary="Count the tokens of a message",
    responses=model_answers({}),
    openapi_extra=_described(shapes.Counting),
)
async def count_message(request: Request, caller: Asking, rooms: Behind) -> Response:
    """As Anthropic's clients ask for it: an estimate, for which nothing is sent to any model."""
    return await _counted("messages", request, caller, rooms)


@router.post(
    "/v1/responses/input_tokens",
    summary="Count the tokens of a response's input",
    responses=model_answers({}),
    openapi_extra=_described(shapes.ResponseQuestion),
)
async def count_response(request: Request, caller: Asking, rooms: Behind) -> Response:
    """As OpenAI's clients ask for it: an estimate, for which nothing is sent to any model."""
    return await _counted("responses", request, caller, rooms, object="response.input_tokens")
