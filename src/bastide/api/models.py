"""The models of a tenant, as they are managed here and as OpenAI's clients list them; and the wire of re-rankers."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from bastide.api.describing import answers, model_answers
from bastide.api.doorkeeper import Asking, Behind
from bastide.api.leaving import unless_gone
from bastide.api.paging import whole
from bastide.api.questions import RECEIPT
from bastide.api.reading import Route
from bastide.api.shapes import models as shapes
from bastide.api.shapes.ground import Listed, Removed
from bastide.api.values import Caller, Rooms
from bastide.errors import BadRequest, UnknownModel
from bastide.inference import Model, ModelRoute, ModelSpec

_ANY = frozenset({"auto", ""})

router = APIRouter(route_class=Route, tags=["models"])


@router.post("/v1/rerank", summary="Rerank", responses=model_answers({200: shapes.Reranked}))
async def rerank(body: shapes.RerankQuestion, request: Request, caller: Asking, rooms: Behind) -> Any:
    """How well each text answers the query, best first. What a score means is the model's own."""
    texts = [one if isinstance(one, str) else one.get("text") for one in body.documents]
    if not all(isinstance(text, str) for text in texts):
        raise BadRequest("`documents` must be texts, or objects with a `text`.", param="documents")
    return await unless_gone(request, _reranked(body, [str(text) for text in texts], caller, rooms))


async def _reranked(body: shapes.RerankQuestion, documents: list[str], caller: Caller, rooms: Rooms) -> Response:
    found = await rooms.inference.rerank(
        caller.scope, body.query, documents, label=caller.label, model=None if body.model in _ANY else body.model
    )
    order = sorted(range(len(documents)), key=lambda place: -found.scores[place])[: body.top_n]
    results = [
        {
            "index": place,
            "relevance_score": found.scores[place],
            **({"document": {"text": documents[place]}} if body.return_documents else {}),
        }
        for place in order
    ]
    usage = {"prompt_tokens": found.usage.input, "total_tokens": found.usage.input}
    wire = {"id": found.receipt, "model": found.model, "results": results, "usage": usage}
    return JSONResponse(wire, headers={RECEIPT: found.receipt})


@router.get("/v1/models", summary="The models", responses=model_answers({200: shapes.ModelList}))
async def wire_models(caller: Asking, rooms: Behind) -> Any:
    """What this key may name as `model`."""
    models = await rooms.inference.nameable(caller.scope)
    routes = await rooms.inference.routes.list(caller.scope)
    listed = [*(_listed(model) for model in models), *map(_listed_route, routes)]
    ends = {"first_id": listed[0]["id"], "last_id": listed[-1]["id"]} if listed else {"first_id": None, "last_id": None}
    return JSONResponse({"object": "list", "data": listed, "has_more": False, **ends})


@router.get("/v1/models/{name:path}", summary="One model", responses=model_answers({}))
async def wire_model(name: str, caller: Asking, rooms: Behind) -> Any:
    """As OpenAI's clients retrieve it."""
    try:
        return JSONResponse(_listed(await _model(name, caller, rooms)))
    except UnknownModel:
        routes = [one for one in await rooms.inference.routes.list(caller.scope) if one.name == name]
        if not routes:
            raise
        return JSONResponse(_listed_route(routes[0]))


def _listed(model: Model) -> dict[str, Any]:
    return _shown_on_wires(model.name, model.added_at, owned_by=model.record, capabilities=list(model.capabilities))


def _listed_route(route: ModelRoute) -> dict[str, Any]:
    return _shown_on_wires(route.name, route.created, owned_by="route", members=list(route.members))


def _shown_on_wires(name: str, made: datetime | None, **more: Any) -> dict[str, Any]:
    """A model as OpenAI's clients read it, and as Anthropic's do."""
    at = made or datetime.fromtimestamp(0, UTC)
    openai = {"id": name, "object": "model", "created": int(at.timestamp())}
    return {**openai, "type": "model", "display_name": name, "created_at": at.isoformat(), **more}


async def _model(name: str, caller: Caller, rooms: Behind) -> Model:
    for model in await rooms.inference.nameable(caller.scope):
        if model.name == name:
            return model
    raise UnknownModel(f"There is no model {name[:128]!r} here.", model=name[:128])


# -- the models of a tenant -------------------------------------------------------------------------


@router.get("/api/v1/models", summary="List the models", responses=answers({200: Listed}))
async def list_models(caller: Asking, rooms: Behind) -> Any:
    """In the order in which they would be chosen."""
    models = await rooms.inference.nameable(caller.scope)
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
        rank=body.rank,
        requests_per_minute=body.requests_per_minute,
        pseudonymise=body.pseudonymise,
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
