"""Evidence: receipts, and the log that they stand in."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import JSONResponse, PlainTextResponse, Response

from bastide.api.describing import BYTES, TEXT, answers
from bastide.api.doorkeeper import Asking, Behind
from bastide.api.paging import Cursor, Limit
from bastide.api.reading import Route
from bastide.api.shapes import law as shapes
from bastide.api.shapes.ground import Listed
from bastide.audit import Event
from bastide.errors import UnknownTile

# Tile numbers as C2SP tlog-tiles writes them, `x001/x234/067`, or as plain numbers; `.p/8` is a partial tile.
_TILE = re.compile(r"(?:(?P<plain>\d{1,15})|(?P<parts>(?:x\d{3}/){0,5}\d{3}))(?:\.p/(?P<width>\d{1,3}))?")

router = APIRouter(route_class=Route, tags=["evidence"])


@router.get("/api/v1/receipts/{id}", summary="A receipt", responses=answers({200: shapes.Receipt}))
async def receipt(id: str, caller: Asking, rooms: Behind) -> Any:
    """What was decided and done in one call; keep it in a file and verify it offline with `bastide verify`."""
    return JSONResponse((await rooms.audit.receipt(caller.scope, id)).to_wire())


@router.get("/api/v1/audit/events", summary="What happened", responses=answers({200: Listed}))
async def events(caller: Asking, rooms: Behind, cursor: Cursor = None, limit: Limit = 50) -> Any:
    """The tenant's events, newest first."""
    found = await rooms.audit.events(caller.scope, cursor=cursor, limit=limit)
    return JSONResponse({"events": [_event(event) for event in found.items], "next": found.cursor})


def _event(event: Event) -> dict[str, Any]:
    return {**asdict(event), "time": event.time.isoformat(), "subjects": list(event.subjects)}


@router.get(
    "/api/v1/audit/checkpoint",
    summary="The last signed checkpoint",
    response_class=PlainTextResponse,
    responses=TEXT,
)
async def checkpoint(caller: Asking, rooms: Behind) -> Response:
    """A signed note (C2SP tlog-checkpoint). It tells nothing of any tenant."""
    return PlainTextResponse(await rooms.audit.checkpoint())


@router.get("/api/v1/audit/key", summary="The log's public key", response_class=PlainTextResponse, responses=TEXT)
async def log_key(caller: Asking, rooms: Behind) -> Response:
    """As `bastide verify --key` takes it."""
    return PlainTextResponse(await rooms.audit.key() + "\n")


@router.get(
    "/api/v1/audit/tile/{level}/{n:path}", summary="A tile of the log", response_class=Response, responses=BYTES
)
async def tile(
    level: int,
    n: str,
    caller: Asking,
    rooms: Behind,
    width: Annotated[int | None, Query(ge=1, le=256, description="How many hashes of a partial tile.")] = None,
) -> Response:
    """Hashes of 32 bytes each, as C2SP tlog-tiles numbers them. They tell nothing of any tenant."""
    found = _TILE.fullmatch(n)
    if not found:
        raise UnknownTile
    number = int(found["plain"] or found["parts"].replace("x", "").replace("/", ""))
    wanted = int(found["width"]) if found["width"] else width
    content = await rooms.audit.tile(level, number, wanted)
    return Response(content, media_type="application/octet-stream")


@router.post("/api/v1/audit:verify", summary="Verify the whole log", responses=answers({200: shapes.Verified}))
async def verify(caller: Asking, rooms: Behind) -> Any:
    """From its stored leaves: the hashes, the signatures, and that nothing vanished. Reads the whole log."""
    caller.scope.need("audit:verify")
    return JSONResponse((await rooms.audit.verify()).to_wire())
