"""The model wires, byte for byte as OpenAI's clients expect them, and the models of a tenant."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import asdict
from datetime import datetime
from typing import Any

import numpy as np
from fastapi import APIRouter
from starlette.responses import JSONResponse, Response, StreamingResponse

from bastide.api.describing import answers, model_answers
from bastide.api.doorkeeper import Asking, Behind
from bastide.api.paging import whole
from bastide.api.questions import EVENT_STREAM, RECEIPT
from bastide.api.reading import Route
from bastide.api.refusals import envelope
from bastide.api.shapes import models as shapes
from bastide.api.shapes.ground import Listed, Removed
from bastide.api.values import Caller
from bastide.errors import BadRequest, BastideError, Broken, Fault, UnknownModel
from bastide.inference import ChatPiece, ChatRequest, Model, ModelSpec
from bastide.telemetry import log

_INPUTS_MAX = 2048  # as OpenAI has it
_ANY = frozenset({"auto", ""})

router = APIRouter(route_class=Route, tags=["models"])


@router.post("/v1/chat/completions", summary="Chat", responses=model_answers({200: shapes.Completion}))
async def chat(body: shapes.Chat, caller: Asking, rooms: Behind) -> Response:
    """Continue a conversation. With `stream`, pieces come as they are written and end with `[DONE]`.

    The receipt's id is in X-Bastide-Receipt; of a stream it is complete when the stream has ended.
    """
    wire = body.model_dump(mode="json", exclude_unset=True)
    if wire.get("model") in _ANY:
        wire.pop("model")
    request = ChatRequest.from_wire(wire)
    if not body.stream:
        reply = await rooms.inference.chat(caller.scope, request, label=caller.label)
        return JSONResponse(dict(reply.raw), headers={RECEIPT: reply.receipt})
    pieces = rooms.inference.stream_chat(caller.scope, request, label=caller.label)
    try:
        first = await anext(pieces)
    except StopAsyncIteration as empty:
        raise Fault("The model gave nothing at all.") from empty
    except BaseException:
        await pieces.aclose()
        raise
    headers = {RECEIPT: first.receipt, "x-accel-buffering": "no"}
    return StreamingResponse(_stream(first, pieces, caller), media_type=EVENT_STREAM, headers=headers)


async def _stream(first: ChatPiece, pieces: AsyncGenerator[ChatPiece], caller: Caller) -> AsyncIterator[str]:
    async with aclosing(pieces):
        try:
            yield _event(first.raw)
            async for piece in pieces:
                yield _event(piece.raw)
        except BastideError as fault:
            yield _event(envelope(fault, path="/v1/", request_id=caller.request_id))
            return
        except Exception:
            log.exception("stream of request %s failed", caller.request_id)
            yield _event(envelope(Broken(), path="/v1/", request_id=caller.request_id))
            return
    yield "data: [DONE]\n\n"


def _event(raw: Any) -> str:
    return f"data: {json.dumps(dict(raw), ensure_ascii=False, separators=(',', ':'))}\n\n"


@router.post("/v1/embeddings", summary="Embeddings", responses=model_answers({200: shapes.Embeddings}))
async def embeddings(body: shapes.EmbeddingQuestion, caller: Asking, rooms: Behind) -> Any:
    """One vector a text, L2-normalised. `input_type: query` asks for vectors of questions where the model has two."""
    texts = _texts(body.input)
    kind = "query" if (body.model_extra or {}).get("input_type") == "query" else "passage"
    found = await rooms.inference.embed(
        caller.scope,
        texts,
        label=caller.label,
        model=None if body.model in _ANY else body.model,
        kind="query" if kind == "query" else "passage",
    )
    if body.dimensions not in (None, found.dimensions):
        raise BadRequest(f"{found.model} gives {found.dimensions} dimensions.", param="dimensions")
    vectors = np.ascontiguousarray(found.vectors, dtype="<f4")
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": base64.b64encode(vector.tobytes()).decode()
            if body.encoding_format == "base64"
            else [float(value) for value in vector],
        }
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": found.usage.input, "total_tokens": found.usage.input}
    wire = {"object": "list", "data": data, "model": found.model, "usage": usage}
    return JSONResponse(wire, headers={RECEIPT: found.receipt})


def _texts(given: str | list[str] | list[int] | list[list[int]]) -> list[str]:
    texts = [given] if isinstance(given, str) else given
    if not texts or not all(isinstance(text, str) for text in texts):
        raise BadRequest("`input` must be text, or a list of texts: tokens are not taken.", param="input")
    if len(texts) > _INPUTS_MAX:
        raise BadRequest(f"`input` has {len(texts)} texts; at most {_INPUTS_MAX} go into one call.", param="input")
    return [str(text) for text in texts]


@router.get("/v1/models", summary="The models", responses=model_answers({200: shapes.ModelList}))
async def wire_models(caller: Asking, rooms: Behind) -> Any:
    """What this key may name as `model`."""
    models = await rooms.inference.models(caller.scope)
    return JSONResponse({"object": "list", "data": [_listed(model) for model in models]})


@router.get("/v1/models/{name:path}", summary="One model", responses=model_answers({}))
async def wire_model(name: str, caller: Asking, rooms: Behind) -> Any:
    """As OpenAI's clients retrieve it."""
    return JSONResponse(_listed(await _model(name, caller, rooms)))


def _listed(model: Model) -> dict[str, Any]:
    created = int(model.added_at.timestamp()) if model.added_at else 0
    return {
        "id": model.name,
        "object": "model",
        "created": created,
        "owned_by": model.record,
        "capabilities": list(model.capabilities),
    }


async def _model(name: str, caller: Caller, rooms: Behind) -> Model:
    for model in await rooms.inference.models(caller.scope):
        if model.name == name:
            return model
    raise UnknownModel(f"There is no model {name[:128]!r} here.", model=name[:128])


# -- the models of a tenant -------------------------------------------------------------------------


@router.get("/api/v1/models", summary="List the models", responses=answers({200: Listed}))
async def list_models(caller: Asking, rooms: Behind) -> Any:
    """In the order in which they would be chosen."""
    models = await rooms.inference.models(caller.scope)
    return JSONResponse(whole("models", [_shown(model) for model in models]))


@router.post("/api/v1/models", status_code=201, summary="Add a model", responses=answers({201: shapes.Model}))
async def add_model(body: shapes.NewModel, caller: Asking, rooms: Behind) -> Any:
    """Its endpoint is enabled for the tenant. A server that does not answer now is told in `problem`."""
    spec = ModelSpec(
        name=body.name,
        url=body.url,
        kind=body.kind,
        key=body.key,
        provider=body.provider,
        local=body.local,
        upstream=body.model,
        capabilities=tuple(body.capabilities) if body.capabilities is not None else None,
    )
    return JSONResponse(_shown(await rooms.inference.add_model(caller.scope, spec)), 201)


@router.get("/api/v1/models/{name:path}", summary="Show a model", responses=answers({200: shapes.Model}))
async def show_model(name: str, caller: Asking, rooms: Behind) -> Any:
    """Its key is never shown; `has_key` says that there is one."""
    return JSONResponse(_shown(await _model(name, caller, rooms)))


@router.delete("/api/v1/models/{name:path}", summary="Remove a model", responses=answers({200: Removed}))
async def remove_model(name: str, caller: Asking, rooms: Behind) -> Any:
    """Its sealed key goes with it."""
    await rooms.inference.remove_model(caller.scope, name)
    return JSONResponse({"id": name, "removed": True})


def _shown(model: Model) -> dict[str, Any]:
    wire = asdict(model)
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in wire.items()}
