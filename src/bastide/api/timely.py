"""Schedules and triggers, and the address that takes signed webhooks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel
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

_manages = partial(Operation, needs="work:manage")
_sees = partial(Operation, needs="work:read")


# -- schedules --------------------------------------------------------------------------------------


async def create_schedule(ask: Ask[shapes.NewSchedule]) -> Wire:
    """Have a job dispatched by the clock, in a zone with its daylight saving, as the person who makes this."""
    return (await ask.rooms.workflows.schedules.create(ask.caller.scope, **ask.given.model_dump())).to_wire()


async def preview(ask: Ask[shapes.Preview]) -> Wire:
    """When it would fire next; nothing is made."""
    ask.caller.scope.need("work:read")
    given = ask.given
    times = await asyncio.to_thread(ask.rooms.workflows.schedules.preview, given.cron, given.timezone, given.count)
    return {"times": [moment.isoformat() for moment in times]}


# -- triggers ---------------------------------------------------------------------------------------


async def create_trigger(ask: Ask[shapes.NewTrigger]) -> Wire:
    """Have a job dispatched whenever something happens. A webhook's secret is in this answer and nowhere else."""
    return _with_address(
        (await ask.rooms.workflows.triggers.create(ask.caller.scope, **ask.given.model_dump())).to_wire()
    )


async def renew_secret(ask: Ask[Nothing]) -> Wire:
    """Another secret for a webhook, shown this once; the old one is good for a day more."""
    return _with_address((await ask.rooms.workflows.triggers.renew_secret(ask.caller.scope, ask.id)).to_wire())


def _with_address(wire: Wire) -> Wire:
    """Where signed requests are sent, beside the secret that signs them."""
    return {**wire, "address": f"{HOOKS}{wire['id']}"} if "secret" in wire else wire


# -- both -------------------------------------------------------------------------------------------

_PAUSED = "It dispatches nothing until it is resumed."


def _kept(kind: str, answer: type[BaseModel], *, shown: str, resumed: str) -> tuple[Operation, ...]:
    """How orders of one kind are listed, shown, deleted, paused and resumed: the same for schedules and triggers."""

    def orders(ask: Ask[Any]) -> Any:
        return getattr(ask.rooms.workflows, f"{kind}s")

    async def list_all(ask: Ask[shapes.Pages]) -> Wire:
        """Oldest first."""
        return page(f"{kind}s", await orders(ask).list(ask.caller.scope, **ask.given.model_dump()))

    async def delete(ask: Ask[Nothing]) -> Wire:
        """The jobs that it has dispatched stay."""
        await orders(ask).delete(ask.caller.scope, ask.id)
        return {"id": ask.id, "removed": True}

    def one(verb: str, about: str) -> Callable[[Ask[Nothing]], Awaitable[Wire]]:
        async def run(ask: Ask[Nothing]) -> Wire:
            found: Wire = (await getattr(orders(ask), verb)(ask.caller.scope, ask.id)).to_wire()
            return found

        run.__doc__ = about
        return run

    all_of, one_of = f"/api/v1/{kind}s", f"/api/v1/{kind}s/{{id}}"
    said: Wire = {"answer": answer, "of": kind}
    return (
        _manages(f"{kind}s.list", "GET", all_of, f"List the {kind}s", list_all, shapes.Pages, Listed),
        _manages(f"{kind}s.get", "GET", one_of, f"Show a {kind}", one("get", shown), **said),
        _manages(f"{kind}s.delete", "DELETE", one_of, f"Delete a {kind}", delete, answer=Removed, of=kind),
        _manages(f"{kind}s.pause", "POST", f"{one_of}:pause", f"Pause a {kind}", one("pause", _PAUSED), **said),
        _manages(f"{kind}s.resume", "POST", f"{one_of}:resume", f"Resume a {kind}", one("resume", resumed), **said),
    )


_SCHEDULES, _TRIGGERS = "/api/v1/schedules", "/api/v1/triggers"
TABLE = (
    _sees(
        "schedules.preview",
        "POST",
        f"{_SCHEDULES}:preview",
        "When would a schedule fire?",
        preview,
        shapes.Preview,
        shapes.Times,
        effect="reads",
    ),
    _manages(
        "schedules.create",
        "POST",
        _SCHEDULES,
        "Make a schedule",
        create_schedule,
        shapes.NewSchedule,
        shapes.Schedule,
        201,
    ),
    *_kept(
        "schedule",
        shapes.Schedule,
        shown="By id or name: when it fires next, and what became of the last time.",
        resumed="It goes on with its next time; what passed meanwhile is not made good.",
    ),
    _manages(
        "triggers.create", "POST", _TRIGGERS, "Make a trigger", create_trigger, shapes.NewTrigger, shapes.Trigger, 201
    ),
    *_kept("trigger", shapes.Trigger, shown="By id or name; never its secret.", resumed="It dispatches again."),
    _manages(
        "triggers.renew-secret",
        "POST",
        f"{_TRIGGERS}/{{id}}:renew-secret",
        "Renew a webhook's secret",
        renew_secret,
        answer=shapes.Trigger,
        of="trigger",
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
