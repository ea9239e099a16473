"""Search, answers, statistics."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from bastide.api.describing import answers
from bastide.api.doorkeeper import Asking, Behind
from bastide.api.reading import Route
from bastide.api.refusals import envelope
from bastide.api.shapes import knowledge as shapes
from bastide.errors import BastideError, Broken
from bastide.knowledge import Answer
from bastide.telemetry import log

RECEIPT = "x-bastide-receipt"
EVENT_STREAM = "text/event-stream"
_PATIENCE_S = 2.0  # for so long an answer that is asked for as a stream may still become a plain error
_ALIVE_S = 5.0  # then a comment shows that it is being worked on

router = APIRouter(route_class=Route, tags=["questions"])


@router.post("/api/v1/search", summary="Search", responses=answers({200: shapes.Found}))
async def search(body: shapes.Search, caller: Asking, rooms: Behind) -> Any:
    """Passages that best answer the query, best first, each with where it stands. Finding none is no error."""
    found = await rooms.knowledge.search(
        caller.scope,
        body.query,
        limit=body.limit,
        collection=body.collection,
        filters=body.filters,
        mode=body.mode,
    )
    return JSONResponse(found.to_wire())


@router.post("/api/v1/answer", summary="Answer a question from the documents", responses=answers({200: shapes.Answer}))
async def answer(body: shapes.Question, request: Request, caller: Asking, rooms: Behind) -> Response:
    """An answer whose sentences cite passages by number; extractive where no model is allowed, and it says so.

    With `Accept: text/event-stream` the answer comes as the event `answer`, a failure as the event `error`;
    comments in between show that it is being worked on.
    """
    work = rooms.knowledge.answer(
        caller.scope, body.question, model=body.model, limit=body.limit, collection=body.collection
    )
    if EVENT_STREAM not in request.headers.get("accept", ""):
        found = await work
        return JSONResponse(found.to_wire(), headers=_receipt(found))
    task = asyncio.create_task(work)
    try:
        await asyncio.wait({task}, timeout=_PATIENCE_S)
        headers = _receipt(task.result()) if task.done() else {}
    except BaseException:
        task.cancel()
        raise
    events = _events(task, request.url.path, caller.request_id)
    return StreamingResponse(events, media_type=EVENT_STREAM, headers=headers)


def _receipt(found: Answer) -> dict[str, str]:
    return {RECEIPT: found.receipt} if found.receipt else {}


async def _events(task: asyncio.Task[Answer], path: str, request_id: str) -> AsyncIterator[str]:
    try:
        while not (await asyncio.wait({task}, timeout=_ALIVE_S))[0]:
            yield ": working\n\n"
        try:
            wire = ("answer", task.result().to_wire())
        except BastideError as fault:
            wire = ("error", envelope(fault, path=path, request_id=request_id))
        except Exception:
            log.exception("answer to request %s failed", request_id)
            wire = ("error", envelope(Broken(), path=path, request_id=request_id))
        yield f"event: {wire[0]}\ndata: {json.dumps(wire[1])}\n\n"
    finally:
        task.cancel()


@router.get("/api/v1/knowledge/statistics", summary="How much is here", responses=answers({200: shapes.Statistics}))
async def statistics(caller: Asking, rooms: Behind) -> Any:
    """Documents, chunks, languages; `queued` are documents that cannot be searched yet."""
    return JSONResponse((await rooms.knowledge.statistics(caller.scope)).to_wire())
