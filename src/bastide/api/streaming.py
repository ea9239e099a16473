"""A job's changes as server-sent events, from now to its end."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Annotated, Any

from fastapi import APIRouter, Header
from starlette.responses import Response, StreamingResponse

from bastide.api.closing import Closing
from bastide.api.describing import answers
from bastide.api.doorkeeper import Asking, AskingAgain, Behind, Ending
from bastide.api.entrance import still_welcome
from bastide.api.questions import EVENT_STREAM
from bastide.api.reading import Route
from bastide.api.refusals import envelope
from bastide.api.values import Caller
from bastide.errors import BastideError, Broken
from bastide.telemetry import log
from bastide.workflows import Workflows

_HEARTBEAT_S = 15.0
_AGAIN_S = 4.0  # the key is asked for again so often
_PATH = "/api/v1/jobs/{id}/events"

router = APIRouter(route_class=Route, tags=["work"])

_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {EVENT_STREAM: {"schema": {"type": "string"}}},
        "description": "`event: job`, `id:` its revision.",
    },
    204: {"description": "It has ended, and Last-Event-ID shows that its end is known."},
}


@router.get(_PATH, summary="Follow a job", response_class=Response, responses={**answers({}), **_STREAM})
async def follow(
    id: str,
    caller: Asking,
    rooms: Behind,
    again: AskingAgain,
    ending: Ending,
    *,
    last_event_id: Annotated[
        str | None, Header(max_length=40, description="The revision that was seen last; only later ones come.")
    ] = None,
) -> Response:
    """One `event: job` for each change, with the job as its data; the stream ends with the job.

    The present state comes first. Changes that follow each other faster than they are read come as one.
    """
    record = await rooms.workflows.job(caller.scope, id)
    seen = int(last_event_id) if last_event_id and last_event_id.isdecimal() else -1
    if record.ended and seen >= record.revision:
        return Response(status_code=204)  # a browser that gets this does not come again
    changes = _changes(rooms.workflows, caller, id, seen)
    events = _events(changes, again, caller, ending)
    return StreamingResponse(events, media_type=EVENT_STREAM, headers={"x-accel-buffering": "no"})


async def _changes(workflows: Workflows, caller: Caller, id: str, seen: int) -> AsyncGenerator[str]:
    last: object = None
    async with aclosing(workflows.watch(caller.scope, [id])) as states:
        async for state in states:
            if state.revision < seen or (state.revision, state.progress) == last:
                continue
            record = await workflows.job(caller.scope, id)  # what is watched comes without output and reasons
            last = record.revision, record.progress
            yield f"event: job\nid: {record.revision}\ndata: {json.dumps(record.to_wire(), ensure_ascii=False)}\n\n"


async def _events(
    changes: AsyncGenerator[str], again: Callable[[], Awaitable[Caller]], caller: Caller, ending: Closing
) -> AsyncIterator[str]:
    with ending.held_open():
        async with aclosing(changes):
            try:
                async for event in _with_heartbeat(changes, again, caller, ending):
                    yield event
            except BastideError as fault:
                yield _error(envelope(fault, request_id=caller.request_id))
            except Exception:
                log.exception("events of request %s failed", caller.request_id)
                yield _error(envelope(Broken(), request_id=caller.request_id))


async def _with_heartbeat(
    changes: AsyncGenerator[str], again: Callable[[], Awaitable[Caller]], caller: Caller, ending: Closing
) -> AsyncIterator[str]:
    """The changes; a comment when nothing has changed for a while. Raises when the key is refused now."""
    sent = asked = time.monotonic()
    coming, ended = asyncio.ensure_future(anext(changes, None)), asyncio.ensure_future(ending.asked())
    try:
        while True:
            await asyncio.wait({coming, ended}, timeout=_AGAIN_S, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                ended.result()  # raises
            now = time.monotonic()
            if now - asked >= _AGAIN_S * 0.9:
                await still_welcome(again, caller)
                asked = now
            if coming.done():
                event = coming.result()
                if event is None:
                    return
                yield event
                sent, coming = now, asyncio.ensure_future(anext(changes, None))
            elif now - sent >= _HEARTBEAT_S - _AGAIN_S / 2:
                yield ": still here\n\n"
                sent = now
    finally:
        coming.cancel()
        ended.cancel()
        await asyncio.gather(coming, ended, return_exceptions=True)


def _error(body: dict[str, object]) -> str:
    return f"event: error\ndata: {json.dumps(body)}\n\n"
