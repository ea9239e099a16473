"""Answers, at once or while they are made."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from bastide.api.describing import answers
from bastide.api.doorkeeper import Asking, Behind
from bastide.api.leaving import unless_gone
from bastide.api.library import ANSWER, asked
from bastide.api.operations import Ask
from bastide.api.reading import Route
from bastide.api.refusals import envelope
from bastide.api.shapes import knowledge as shapes
from bastide.errors import BastideError, Broken
from bastide.knowledge import Telling
from bastide.telemetry import log

RECEIPT = "x-bastide-receipt"
EVENT_STREAM = "text/event-stream"
_PATIENCE_S = 2.0  # for so long an answer that is asked for as a stream may still become a plain error
_ALIVE_S = 5.0  # then a comment shows that it is being worked on

router = APIRouter(route_class=Route, tags=["questions"])


@router.post(ANSWER.path, summary=ANSWER.about, responses=answers({200: shapes.Answer}))
async def answer(body: shapes.Question, request: Request, caller: Asking, rooms: Behind) -> Response:
    """An answer whose sentences cite passages by number; extractive where no model is allowed, and it says so.

    With `Accept: text/event-stream` it comes while it is made: `passages` (numbered; what is written cites these
    numbers), `text` as often as words come, and `answer` last, which alone is checked and numbered anew. A failure
    is the event `error`; comments in between show that it is being worked on.
    """
    streamed = EVENT_STREAM in request.headers.get("accept", "")
    return await unless_gone(request, _answered(Ask(caller, rooms, body), streamed=streamed))


async def _answered(ask: Ask[shapes.Question], *, streamed: bool) -> Response:
    said, caller, rooms = await asked(ask), ask.caller, ask.rooms
    if not streamed:
        found = await rooms.knowledge.answer(caller.scope, **said)
        return JSONResponse(found.to_wire(), headers=_receipt(found.receipt))
    told = rooms.knowledge.tell(caller.scope, **said)
    events = _Events(told, caller.request_id)
    try:
        receipt = await events.first(_PATIENCE_S)
    except BaseException:
        await events.close()
        raise
    headers = {**_receipt(receipt), "x-accel-buffering": "no"}
    return StreamingResponse(events.lines(), media_type=EVENT_STREAM, headers=headers)


def _receipt(receipt: str | None) -> dict[str, str]:
    return {RECEIPT: receipt} if receipt else {}


class _Events:
    """What is told of an answer as lines of an event stream; what fails before the first of them is a plain error."""

    def __init__(self, told: AsyncGenerator[Telling], request_id: str) -> None:
        self._told = told
        self._request_id = request_id
        self._next: asyncio.Task[Telling | None] = asyncio.create_task(self._take())

    async def _take(self) -> Telling | None:
        return await anext(self._told, None)

    async def first(self, patience_s: float) -> str | None:
        """The receipt's id, where the first event comes in time. Raises what goes wrong before that."""
        done, _ = await asyncio.wait({self._next}, timeout=patience_s)
        event = self._next.result() if done else None
        return event.receipt if event else None

    async def lines(self) -> AsyncIterator[str]:
        """The stream. A client that leaves stops the model."""
        try:
            while True:
                while not (await asyncio.wait({self._next}, timeout=_ALIVE_S))[0]:
                    yield ": working\n\n"
                event = self._next.result()
                if event is None:
                    return
                self._next = asyncio.create_task(self._take())
                yield _line(event.kind, event.to_wire())
        except BastideError as fault:
            yield _line("error", envelope(fault, request_id=self._request_id))
        except Exception:
            log.exception("answer to request %s failed", self._request_id)
            yield _line("error", envelope(Broken(), request_id=self._request_id))
        finally:
            await self.close()

    async def close(self) -> None:
        """Stop what is being made."""
        self._next.cancel()
        await asyncio.gather(self._next, return_exceptions=True)
        await self._told.aclose()


def _line(kind: str, wire: dict[str, Any]) -> str:
    return f"event: {kind}\ndata: {json.dumps(wire, ensure_ascii=False)}\n\n"
