"""Schedules and triggers, and the address that takes signed webhooks."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse

from bastide.api.describing import answers
from bastide.api.doorkeeper import HOOKS, Behind
from bastide.api.operations import Ask, Nothing, Operation, routes
from bastide.api.paging import page
from bastide.api.reading import Route
from bastide.api.shapes import timely as shapes
from bastide.api.shapes.ground import Listed, Removed
from bastide.errors import BodyTooLarge

_HOOK_BYTES_MAX = 1024 * 1024

Wire = dict[str, Any]


# -- schedules --------------------------------------------------------------------------------------


async def create_schedule(ask: Ask[shapes.NewSchedule]) -> Wire:
    """Have a job dispatched by the clock, in a zone with its daylight saving, as the person who makes this."""
    return (await ask.rooms.workflows.schedules.create(ask.caller.scope, **ask.given.model_dump())).to_wire()


async def list_schedules(ask: Ask[shapes.Pages]) -> Wire:
    """Oldest first."""
    return page("schedules", await ask.rooms.workflows.schedules.list(ask.caller.scope, **ask.given.model_dump()))


async def show_schedule(ask: Ask[Nothing]) -> Wire:
    """By id or name: when it fires next, and what became of the last time."""
    return (await ask.rooms.workflows.schedules.get(ask.caller.scope, ask.id)).to_wire()


async def delete_schedule(ask: Ask[Nothing]) -> Wire:
    """The jobs that it has dispatched stay."""
    await ask.rooms.workflows.schedules.delete(ask.caller.scope, ask.id)
    return {"id": ask.id, "removed": True}


async def pause_schedule(ask: Ask[Nothing]) -> Wire:
    """It dispatches nothing until it is resumed."""
    return (await ask.rooms.workflows.schedules.pause(ask.caller.scope, ask.id)).to_wire()


async def resume_schedule(ask: Ask[Nothing]) -> Wire:
    """It goes on with its next time; what passed meanwhile is not made good."""
    return (await ask.rooms.workflows.schedules.resume(ask.caller.scope, ask.id)).to_wire()


async def preview(ask: Ask[shapes.Preview]) -> Wire:
    """When it would fire next; nothing is made."""
    ask.caller.scope.need("work:read")
    given = ask.given
    times = await asyncio.to_thread(ask.rooms.workflows.schedules.preview, given.cron, given.timezone, given.count)
    return {"times": [moment.isoformat() for moment in times]}


# -- triggers ---------------------------------------------------------------------------------------


async def create_trigger(ask: Ask[shapes.NewTrigger]) -> Wire:
    """Have a job dispatched whenever something happens. A webhook's secret is in this answer and nowhere else."""
    return (await ask.rooms.workflows.triggers.create(ask.caller.scope, **ask.given.model_dump())).to_wire()


async def list_triggers(ask: Ask[shapes.Pages]) -> Wire:
    """Oldest first."""
    return page("triggers", await ask.rooms.workflows.triggers.list(ask.caller.scope, **ask.given.model_dump()))


async def show_trigger(ask: Ask[Nothing]) -> Wire:
    """By id or name; never its secret."""
    return (await ask.rooms.workflows.triggers.get(ask.caller.scope, ask.id)).to_wire()


async def delete_trigger(ask: Ask[Nothing]) -> Wire:
    """The jobs that it has dispatched stay."""
    await ask.rooms.workflows.triggers.delete(ask.caller.scope, ask.id)
    return {"id": ask.id, "removed": True}


async def pause_trigger(ask: Ask[Nothing]) -> Wire:
    """It dispatches nothing until it is resumed."""
    return (await ask.rooms.workflows.triggers.pause(ask.caller.scope, ask.id)).to_wire()


async def resume_trigger(ask: Ask[Nothing]) -> Wire:
    """It dispatches again."""
    return (await ask.rooms.workflows.triggers.resume(ask.caller.scope, ask.id)).to_wire()


async def renew_secret(ask: Ask[Nothing]) -> Wire:
    """Another secret for a webhook, shown this once; the old one is good for a day more."""
    return (await ask.rooms.workflows.triggers.renew_secret(ask.caller.scope, ask.id)).to_wire()


_SCHEDULES, _SCHEDULE = "/api/v1/schedules", "/api/v1/schedules/{id}"
_TRIGGERS, _TRIGGER = "/api/v1/triggers", "/api/v1/triggers/{id}"
_A_SCHEDULE: Wire = {"answer": shapes.Schedule, "of": "schedule"}
_A_TRIGGER: Wire = {"answer": shapes.Trigger, "of": "trigger"}
TABLE = (
    Operation(
        "schedules.preview",
        "POST",
        f"{_SCHEDULES}:preview",
        "When would a schedule fire?",
        preview,
        shapes.Preview,
        shapes.Times,
    ),
    Operation(
        "schedules.create",
        "POST",
        _SCHEDULES,
        "Make a schedule",
        create_schedule,
        shapes.NewSchedule,
        shapes.Schedule,
        201,
    ),
    Operation("schedules.list", "GET", _SCHEDULES, "List the schedules", list_schedules, shapes.Pages, Listed),
    Operation("schedules.get", "GET", _SCHEDULE, "Show a schedule", show_schedule, **_A_SCHEDULE),
    Operation(
        "schedules.delete", "DELETE", _SCHEDULE, "Delete a schedule", delete_schedule, answer=Removed, of="schedule"
    ),
    Operation("schedules.pause", "POST", f"{_SCHEDULE}:pause", "Pause a schedule", pause_schedule, **_A_SCHEDULE),
    Operation("schedules.resume", "POST", f"{_SCHEDULE}:resume", "Resume a schedule", resume_schedule, **_A_SCHEDULE),
    Operation(
        "triggers.create", "POST", _TRIGGERS, "Make a trigger", create_trigger, shapes.NewTrigger, shapes.Trigger, 201
    ),
    Operation("triggers.list", "GET", _TRIGGERS, "List the triggers", list_triggers, shapes.Pages, Listed),
    Operation("triggers.get", "GET", _TRIGGER, "Show a trigger", show_trigger, **_A_TRIGGER),
    Operation("triggers.delete", "DELETE", _TRIGGER, "Delete a trigger", delete_trigger, answer=Removed, of="trigger"),
    Operation("triggers.pause", "POST", f"{_TRIGGER}:pause", "Pause a trigger", pause_trigger, **_A_TRIGGER),
    Operation("triggers.resume", "POST", f"{_TRIGGER}:resume", "Resume a trigger", resume_trigger, **_A_TRIGGER),
    Operation(
        "triggers.renew-secret",
        "POST",
        f"{_TRIGGER}:renew-secret",
        "Renew a webhook's secret",
        renew_secret,
        **_A_TRIGGER,
    ),
)

router = APIRouter(route_class=Route, tags=["timely"])
router.include_router(routes(TABLE, tag="timely"))

_BODY = {"requestBody": {"required": True, "content": {"application/json": {"schema": {}, "example": {"rent": 900}}}}}


@router.post(
    f"{HOOKS}{{id}}",
    status_code=202,
    summary="Take a signed webhook",
    openapi_extra=_BODY,
    responses=answers({202: shapes.Received}),
)
async def hook(id: str, request: Request, rooms: Behind) -> Any:
    """Signed as Standard Webhooks says: `webhook-id`, `webhook-timestamp`, `webhook-signature`; no key is asked for.

    The same `webhook-id` dispatches once. At most 1 MiB.
    """
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > _HOOK_BYTES_MAX:
            raise BodyTooLarge("A webhook's body is over the limit of 1 MiB.", limit_bytes=_HOOK_BYTES_MAX)
    done = await rooms.workflows.triggers.received(id, dict(request.headers), bytes(body))
    return JSONResponse(done.to_wire() if done else {"id": None}, 202)
