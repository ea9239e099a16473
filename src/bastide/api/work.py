"""Jobs: dispatched, looked at, stopped, tried again; their types, and the lanes they run in."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Header
from starlette.responses import JSONResponse

from bastide.api.closing import Closing, unless
from bastide.api.describing import answers
from bastide.api.doorkeeper import Asking, Behind, Ending
from bastide.api.lane import check_text
from bastide.api.operations import Ask, Nothing, Operation, routes
from bastide.api.paging import page, whole
from bastide.api.reading import Route
from bastide.api.shapes import work as shapes
from bastide.api.shapes.ground import Listed
from bastide.api.values import Caller, Rooms
from bastide.errors import BadRequest, NoSuchJobType, Stopping, UnknownJobType
from bastide.policy import Label
from bastide.workflows import Job, JobRecord, Lane

_WAIT_S_MAX = 60.0
_WAIT = re.compile(r"(?:^|[,;])\s*wait\s*=\s*\"?(\d{1,6})\"?\s*(?:$|[,;])", re.IGNORECASE)

Wire = dict[str, Any]

_manages = partial(Operation, needs="work:manage")
_operates = partial(Operation, needs="platform:operate")
_runs = partial(Operation, needs="work:run")
_sees = partial(Operation, needs="work:read")


# -- jobs -------------------------------------------------------------------------------------------


async def dispatch(ask: Ask[shapes.NewJob]) -> Wire:
    """Hand in a job."""
    given, scope = ask.given, ask.caller.scope
    if given.due_at and given.delay_s is not None:
        raise BadRequest("Both due_at and delay_s are given.", next_step="Send one of them.")
    due_at = given.due_at
    if given.delay_s:
        due_at = datetime.now(UTC) + timedelta(seconds=given.delay_s)
    label = None
    if given.label is not None:
        label = Label.from_wire(given.label, (await ask.rooms.policy.refresh(scope)).default)
    job = Job(
        given.type,
        given.input,
        label=label,
        priority=given.priority,
        due_at=due_at,
        deadline=given.deadline,
        key=given.key,
        dedup=given.dedup,
        version=given.version,
        budget_tokens=given.budget_tokens,
        budget_eur=given.budget_eur,
    )
    return (await ask.rooms.workflows.dispatch(scope, job)).to_wire()


async def list_jobs(ask: Ask[shapes.WhichJobs]) -> Wire:
    """Newest first, without outputs: one's own; all of the tenant for who manages or oversees its work."""
    found = await ask.rooms.workflows.jobs(ask.caller.scope, **ask.given.model_dump())
    return page("jobs", found)


async def show_job(ask: Ask[Nothing]) -> Wire:
    """How it is now, and if it waits, why."""
    return (await ask.rooms.workflows.job(ask.caller.scope, ask.id)).to_wire()


async def time_line(ask: Ask[Nothing]) -> Wire:
    """All that happened to it, oldest first: attempts, steps, waits, decisions, costs."""
    return (await ask.rooms.workflows.trace(ask.caller.scope, ask.id)).to_wire()


async def cancel(ask: Ask[shapes.Cancel]) -> Wire:
    """Stop it, with the jobs that it fanned out to. Once this has answered `cancelled`, nothing more happens for it.

    Answers after ten seconds at the latest; a step that has not let go by then shows as `stopping`.
    """
    found = await ask.rooms.workflows.cancel(ask.caller.scope, ask.id, reason=ask.given.reason)
    return found.to_wire()


async def retry(ask: Ask[shapes.Retry]) -> Wire:
    """Try a failed or cancelled job again: steps that were done are not repeated."""
    return (await ask.rooms.workflows.retry(ask.caller.scope, ask.id, input=ask.given.input)).to_wire()


async def signal(ask: Ask[shapes.Signal]) -> Wire:
    """Say what the job waits for, or will. The first signal of a name counts; a second one is not `fresh`."""
    fresh = await ask.rooms.workflows.signal(ask.caller.scope, ask.id, ask.given.name, ask.given.payload)
    return {**(await ask.rooms.workflows.job(ask.caller.scope, ask.id)).to_wire(), "fresh": fresh}


# -- types and lanes --------------------------------------------------------------------------------


async def list_types(ask: Ask[Nothing]) -> Wire:
    """What can be asked for here, each with its input's schema, limits and an example."""
    ask.caller.scope.need("work:read")
    return whole("job_types", [kind.to_wire() for kind in ask.rooms.workflows.types() if not kind.internal])


async def show_type(ask: Ask[Nothing]) -> Wire:
    """One of them."""
    ask.caller.scope.need("work:read")
    try:
        return ask.rooms.workflows.type(ask.id).to_wire()
    except UnknownJobType as fault:
        raise NoSuchJobType(fault.message, type=ask.id[:80]) from fault


async def list_lanes(ask: Ask[Nothing]) -> Wire:
    """What this tenant has set; a type that is not listed runs as its own limits say."""
    return whole("lanes", [lane.to_wire() for lane in await ask.rooms.workflows.lanes(ask.caller.scope)])


async def set_lane(ask: Ask[shapes.Lane]) -> Wire:
    """Pause a type, or limit how many of it run at a time or begin in a while; running jobs go on."""
    lane = await ask.rooms.workflows.set_lane(ask.caller.scope, Lane(**ask.given.model_dump()))
    return lane.to_wire()


async def pause(ask: Ask[shapes.WhichType]) -> Wire:
    """For the platform's operator: nothing new is begun, in any tenant; what runs is finished."""
    await ask.rooms.workflows.pause(ask.caller.scope, ask.given.type)
    return {"type": ask.given.type, "paused": True}


async def resume(ask: Ask[shapes.WhichType]) -> Wire:
    """For the platform's operator: go on."""
    await ask.rooms.workflows.resume(ask.caller.scope, ask.given.type)
    return {"type": ask.given.type, "paused": False}


_JOB = "/api/v1/jobs/{id}"
DISPATCH = _runs("jobs.dispatch", "POST", "/api/v1/jobs", "Dispatch a job", dispatch, shapes.NewJob)
TABLE = (
    _sees("jobs.list", "GET", "/api/v1/jobs", "List the jobs", list_jobs, shapes.WhichJobs, Listed),
    _sees("jobs.get", "GET", _JOB, "Show a job", show_job, answer=shapes.Job, of="job"),
    _sees("jobs.timeline", "GET", f"{_JOB}/timeline", "A job's time line", time_line, answer=shapes.TimeLine, of="job"),
    _runs("jobs.cancel", "POST", f"{_JOB}:cancel", "Stop a job", cancel, shapes.Cancel, shapes.Job, of="job"),
    _runs("jobs.retry", "POST", f"{_JOB}:retry", "Try a job again", retry, shapes.Retry, shapes.Job, of="job"),
    _runs("jobs.signal", "POST", f"{_JOB}:signal", "Signal a job", signal, shapes.Signal, shapes.Job, of="job"),
    _sees("job-types.list", "GET", "/api/v1/job-types", "List the job types", list_types, answer=Listed),
    _sees(
        "job-types.get",
        "GET",
        "/api/v1/job-types/{name}",
        "Show a job type",
        show_type,
        answer=shapes.JobType,
        of="type",
    ),
    _sees("lanes.list", "GET", "/api/v1/lanes", "List the lanes", list_lanes, answer=Listed),
    _manages("lanes.set", "PUT", "/api/v1/lanes", "Set a lane", set_lane, shapes.Lane, shapes.LaneSaid),
    _operates("work.pause", "POST", "/api/v1/work:pause", "Pause all work", pause, shapes.WhichType, shapes.Paused),
    _operates("work.resume", "POST", "/api/v1/work:resume", "Resume all work", resume, shapes.WhichType, shapes.Paused),
)
"""All but dispatching, whose route reads two headers more."""

router = APIRouter(route_class=Route, tags=["work"])


@router.post(
    DISPATCH.path,
    status_code=202,
    summary=DISPATCH.about,
    responses=answers({202: shapes.Accepted, 200: shapes.Accepted}, about="200: it was there before, or has ended."),
)
async def dispatch_job(
    body: shapes.NewJob,
    caller: Asking,
    rooms: Behind,
    ending: Ending,
    *,
    idempotency_key: Annotated[
        str | None, Header(min_length=1, max_length=200, description="The same as `key` in the body.")
    ] = None,
    prefer: Annotated[
        str | None,
        Header(max_length=200, description="`wait=N`: answer with the job once it has ended, at most N <= 60 s."),
    ] = None,
) -> Any:
    """The job is durable when this answers: 202 with its id, or 200 when the same key or dedup has given one before.

    Follow it at /api/v1/jobs/{id}/events or by the WebSocket.
    """
    if idempotency_key is not None:
        if body.key not in (None, idempotency_key):
            raise BadRequest("Idempotency-Key and the body's key differ.", next_step="Send one of them.")
        body.key = check_text(idempotency_key)
    wire = await dispatch(Ask(caller, rooms, body))
    status, headers = 202 if wire["fresh"] else 200, {"location": f"{DISPATCH.path}/{wire['id']}"}
    wanted = _WAIT.search(prefer or "")
    if wanted:
        wait_s = min(float(wanted[1]), _WAIT_S_MAX)
        record = await _result(caller, rooms, str(wire["id"]), wait_s, ending)
        wire = {**record.to_wire(), "fresh": wire["fresh"]}
        status, headers["preference-applied"] = 200 if record.ended else status, f"wait={wait_s:g}"
    return JSONResponse(wire, status, headers=headers)


async def _result(caller: Caller, rooms: Rooms, id: str, wait_s: float, ending: Closing) -> JobRecord:
    """The job when it has ended, when the time is over, or when the server is about to stop."""
    with ending.held_open():
        try:
            return await unless(rooms.workflows.result(caller.scope, id, timeout_s=wait_s), ending.asked())
        except Stopping:
            return await rooms.workflows.job(caller.scope, id)


router.include_router(routes(TABLE, tag="work"))
