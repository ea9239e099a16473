"""Law: provider records, the tenant's policy, and what would be decided."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from starlette.responses import JSONResponse

from bastide.api.describing import answers
from bastide.api.doorkeeper import Asking, Behind
from bastide.api.paging import whole
from bastide.api.reading import Route
from bastide.api.shapes import law as shapes
from bastide.api.shapes.ground import Listed
from bastide.api.values import Caller, Rooms
from bastide.errors import BastideError, UnknownModel
from bastide.policy import Endpoint, Trial, read_policy
from bastide.store import Scope

router = APIRouter(route_class=Route, tags=["law"])


@router.get("/api/v1/providers", summary="List the provider records", responses=answers({200: Listed}))
async def list_records(caller: Asking, rooms: Behind) -> Any:
    """Which places are known, and which of them this tenant has enabled."""
    enabled = (await rooms.policy.settings(caller.scope)).enabled
    records = [
        {
            "id": record.id,
            "title": record.title,
            "kind": record.kind,
            "url": record.url,
            "models": [entry.name for entry in record.models],
            "enabled": record.id in enabled,
            "reviewed_at": record.reviewed_at.isoformat() if record.reviewed_at else None,
            "hash": record.hash,
        }
        for record in rooms.policy.records()
    ]
    return JSONResponse(whole("providers", records))


@router.get("/api/v1/providers/{id:path}", summary="Show a provider record", responses=answers({}))
async def show_record(id: str, caller: Asking, rooms: Behind) -> Any:
    """Every fact with its evidence, source, date and expiry; and what can be estimated from them."""
    caller.scope.need("policy:read")
    record = rooms.policy.record(id)
    return JSONResponse({**record.to_wire(), "hash": record.hash, "view": rooms.policy.view(id).to_wire()})


@router.get("/api/v1/policies", summary="The tenant's policy", responses=answers({200: shapes.PolicyText}))
async def show_policy(caller: Asking, rooms: Behind) -> Any:
    """As it is in force."""
    return JSONResponse((await rooms.policy.settings(caller.scope)).to_wire())


@router.put("/api/v1/policies", summary="Replace the tenant's policy", responses=answers({200: shapes.PolicyText}))
async def set_policy(body: shapes.PolicyText, caller: Asking, rooms: Behind) -> Any:
    """`version` is that of the policy it replaces: a change in between is refused with 409."""
    draft = read_policy(body.model_dump(mode="json"))
    return JSONResponse((await rooms.policy.set_policy(caller.scope, draft)).to_wire())


@router.post("/api/v1/policies:test", summary="Try a policy", responses=answers({200: shapes.Tried}))
async def test_policy(body: shapes.Draft, caller: Asking, rooms: Behind) -> Any:
    """What a draft would decide, for its own cases or for usual ones; nothing is set."""
    trials = await asyncio.to_thread(_tried, rooms, caller.scope, body.text)
    return JSONResponse({"trials": [trial.to_wire() for trial in trials]})


def _tried(rooms: Rooms, scope: Scope, text: str) -> list[Trial]:
    with tempfile.TemporaryDirectory(prefix="bastide-draft-") as folder:
        place = Path(folder) / "draft.yaml"
        place.write_text(text, "utf-8")
        return rooms.policy.test_file(scope, place)


@router.post(
    "/api/v1/decisions:replay", summary="What would have been decided?", responses=answers({200: shapes.Replayed})
)
async def replay(body: shapes.PastDraft, caller: Asking, rooms: Behind) -> Any:
    """What a draft would have decided of the last calls on record, where they could have gone, and at what price.

    Nothing is set. The labels on record hold the bounds of the policy of their day: a looser draft frees none of them.
    """
    with tempfile.TemporaryDirectory(prefix="bastide-draft-") as folder:
        place = Path(folder) / "draft.yaml"
        await asyncio.to_thread(place.write_text, body.text, "utf-8")
        found = await rooms.policy.replay_file(caller.scope, place, calls=body.calls)
    return JSONResponse(found.to_wire())


@router.post("/api/v1/decisions:explain", summary="What would be decided?", responses=answers({200: shapes.Explained}))
async def explain(body: shapes.Explain, caller: Asking, rooms: Behind) -> Any:
    """Where bytes with this label may go, where not and by which rules, and the nearest way to a yes.

    What the label leaves out is as in a call that says nothing; what is found in the content of a call comes on top.
    `rank` is the order in which a route asks its members, where that is as `listed`; else the cheapest comes first.
    A model that is named, or a member of a route that is, and whose own budget or rate has nothing left, is among the
    denied with the code of that error as its rule.
    """
    label = await rooms.policy.label(caller.scope, body.label)
    if body.provider:
        rooms.policy.record(body.provider)  # an unknown one is refused by its name
    endpoints, listed, closed = await _named(body.model, caller, rooms) if body.model else (None, False, None)
    found = rooms.policy.explain(
        caller.scope, label, endpoints, body.capability, purpose=body.purpose, listed=listed, closed=closed
    )
    wire = found.to_wire()
    if body.provider:
        for side in ("allowed", "denied"):
            wire[side] = [one for one in _listed(wire[side]) if one["record"] == body.provider]
    return JSONResponse(wire)


def _listed(value: object) -> list[dict[str, Any]]:
    assert isinstance(value, list)
    return value


async def _named(name: str, caller: Caller, rooms: Rooms) -> tuple[list[Endpoint], bool, Mapping[int, BastideError]]:
    """What the name leads to, whether it is asked as listed, and which of it have nothing left to be asked with."""
    wanted, listed = tuple[str, ...](), False
    if caller.scope.may_name(name):
        route = await rooms.inference.routes.of(caller.scope, name)
        wanted, listed = (route.members, route.order == "listed") if route else ((name,), False)
    models = {model.name: model for model in await rooms.inference.models(caller.scope)}
    found = [models[one] for one in wanted if one in models]
    if found:
        endpoints = [
            Endpoint(one.endpoint_id, one.record, one.upstream, "local" if one.local else "api", one.url, one.name)
            for one in found
        ]
        spent = await rooms.inference.spent(caller.scope, [one.name for one in found])
        return endpoints, listed, {place: spent[one.name] for place, one in enumerate(found) if one.name in spent}
    raise UnknownModel(f"There is no model {name[:128]!r} here.", model=name[:128])
