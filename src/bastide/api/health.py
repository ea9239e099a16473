"""Health: alive, ready, measured; and, for the platform's administrator, examined."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from bastide import __version__, telemetry
from bastide.api.describing import TEXT, answers
from bastide.api.doorkeeper import Asking, Behind
from bastide.api.lane import Part, grounds, means
from bastide.api.queues import Queues
from bastide.api.shapes import law as shapes
from bastide.api.values import Notices, Rooms
from bastide.egress import Egress
from bastide.errors import BastideError
from bastide.knowledge import scans_are_read

_VERIFIED_SIZE_MAX = 20_000  # up to here `doctor` verifies the whole log: a second or less
_BEHIND_S = 300.0

router = APIRouter(tags=["health"])


@router.get("/healthz", summary="Alive?", responses=answers({}))
async def healthz() -> Any:
    """Says that the process answers; asks nothing of any room."""
    return JSONResponse({"status": "alive", "version": __version__})


@router.get("/readyz", summary="Ready?", responses={200: {"model": shapes.Readiness}, 503: {"model": shapes.Readiness}})
async def readyz(request: Request, rooms: Behind) -> Any:
    """Each part of the house; 503 while one that is needed does not answer."""
    parts = await parts_of(rooms, request)
    broken = any(part.state == "broken" for part in parts)
    wire = {
        "status": "not ready" if broken else "ready",
        "version": __version__,
        "parts": [part.to_wire() for part in parts],
    }
    return JSONResponse(wire, 503 if broken else 200)


@router.get("/metrics", summary="Prometheus metrics", response_class=PlainTextResponse, responses=TEXT)
async def metrics(request: Request) -> Response:
    """Counters, durations and how the queues are, without content, names or tenants."""
    await _queues(request).measure()
    return PlainTextResponse(telemetry.render(), media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/api/v1/doctor", summary="What is wrong?", responses=answers({200: shapes.Readiness}))
async def doctor(request: Request, caller: Asking, rooms: Behind) -> Any:
    """Every part as /readyz has it, and what takes longer to look at: row security and the log itself."""
    caller.scope.need("platform:operate")
    parts = await parts_of(rooms, request) + await proxy_parts(rooms.egress)
    if not any(part.state == "broken" for part in parts):
        documents = await _documents(rooms, caller.scope.tenant)
        scans = await _scans(rooms, caller.scope.tenant)
        parts += [await _row_security(rooms), await _log(rooms), documents, scans, *await _projections(rooms)]
    broken = any(part.state == "broken" for part in parts)
    wire = {
        "status": "broken" if broken else "ready",
        "version": __version__,
        "parts": [part.to_wire() for part in parts],
    }
    return JSONResponse(wire)


async def parts_of(rooms: Rooms, request: Request) -> list[Part]:
    """The rooms, and what else this process has to say of itself."""
    notices = cast(Notices, request.app.state.notices)
    ground = await grounds(rooms)
    if any(part.state == "broken" for part in ground):
        work = Part("work", "attention", "Nothing is known of the queues while the database is away.", ground[0].next)
    else:
        work = await _queues(request).part()
    return [*ground, work, *means(rooms), *notices()]


def _queues(request: Request) -> Queues:
    return cast(Queues, request.app.state.queues)


async def _row_security(rooms: Rooms) -> Part:
    faults = await rooms.store.lint()
    if not faults:
        return Part("row security", "ok", "Every table of a tenant is closed to the others.")
    listed = "; ".join(f"{fault.object}: {fault.rule}" for fault in faults)
    return Part("row security", "broken", f"It could be bypassed: {listed}.", faults[0].next)


async def _log(rooms: Rooms) -> Part:
    size = (await rooms.audit.health()).size
    if size > _VERIFIED_SIZE_MAX:
        return Part("log", "ok", f"{size} events; verify them with `bastide audit verify`.")
    found = await rooms.audit.verify()
    if found.valid:
        return Part("log", "ok", f"All {found.size} events verified.")
    step = "Keep the database as it is and find out who wrote to it; `bastide audit verify` lists all."
    return Part("log", "broken", "; ".join(found.problems[:3]) or "The log is not valid.", step)


async def _scans(rooms: Rooms, tenant: str) -> Part:
    """Whether pages without text are read. No fault of the house where not: the engine comes from elsewhere."""
    found = await asyncio.to_thread(scans_are_read)
    if not found.ready:
        return Part("scans", "ok", f"Scans are not read: missing are {', '.join(found.missing)}.", found.next)
    models = await rooms.inference.models(await rooms.tenancy.system_scope(tenant))
    eyes = [model.name for model in models if any(one.startswith("vision") for one in model.capabilities)]
    sight = (
        f"Pages that it cannot read are shown to {', '.join(eyes)}."
        if eyes
        else "Pages that it cannot read stay so: no model has the capability vision."
    )
    said = f"Scans are read by {found.engine} in {len(found.languages)} languages."
    lacking = f" Not there: {', '.join(found.missing)}." if found.missing else ""
    return Part("scans", "ok", f"{said}{lacking} {sight}", found.next)


async def _documents(rooms: Rooms, tenant: str) -> Part:
    scope = await rooms.tenancy.system_scope(tenant)
    statistics = await rooms.knowledge.statistics(scope)
    return Part("knowledge", "ok", f"{statistics.documents} documents, {statistics.chunks} chunks in this tenant.")


async def proxy_parts(egress: Egress) -> list[Part]:
    """Whether the organisation's proxy answers; nothing where there is none. Models of our own go on without it."""
    try:
        place = await egress.ask_proxy()
    except BastideError as fault:
        return [Part("proxy", "attention", fault.message, fault.next_step)]
    if place is None:
        return []
    return [Part("proxy", "ok", f"{place} answers; what is outside is reached through it.")]


async def _projections(rooms: Rooms) -> list[Part]:
    """How far behind the copies in other systems are; nothing where nothing waits."""
    waiting = await rooms.projections.waiting()
    if not waiting.changes:
        return []
    said = f"{waiting.changes} changes wait for {waiting.targets} targets, the oldest for {waiting.oldest_s:.0f} s."
    if waiting.oldest_s < _BEHIND_S:
        return [Part("projections", "busy", said)]
    return [Part("projections", "attention", said, "`bastide call projections.list` says what keeps each target.")]
