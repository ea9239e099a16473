"""The application: gate, doorkeeper and routes, one behind the other."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.routing import Route

from bastide import __version__
from bastide.api import (
    accounts,
    batches,
    documents,
    evidence,
    graph,
    health,
    identity,
    keeping,
    law,
    library,
    media,
    models,
    offering,
    oversight,
    projections,
    questions,
    refusals,
    routing,
    streaming,
    timely,
    wires,
    work,
)
from bastide.api.closing import Closing
from bastide.api.doorkeeper import HOOKS, OPEN, Doorkeeper
from bastide.api.gate import IMPORT_PATH, BodyLimits, Gate
from bastide.api.lane import Behind, Callers
from bastide.api.queues import Queues
from bastide.api.serving import before
from bastide.api.socket import Talk
from bastide.api.tools import PATH, Tools
from bastide.api.values import Notices, Rooms
from bastide.inference.jobs import Batches
from bastide.settings import Settings

_ABOUT = """Documents in, answers with their sources out, and a receipt for every call to a model.

Every address but /healthz, /readyz, /metrics, this one and a webhook's needs `Authorization: Bearer bst_...`.
`X-Company-ID`, `X-User-ID` and `X-App-ID` narrow the key, `X-Label` (JSON) tightens the label of the call.
`X-Request-ID` is echoed. Every error has a stable code, a message and a next step.

The WebSocket `/ws` takes the operations on durable work as messages, `{"id": 1, "op": "jobs.list"}`, and pushes
what is followed: `{"id": 2, "op": "subscribe", "jobs": ["job_..."], "types": ["*"], "approvals": true}`. A browser
sends its key as the first message, `{"authorization": "Bearer bst_..."}`.
"""
_HEADERS = {
    "X-Label": "A label as JSON that tightens this call's, never loosens it.",
    "X-Request-ID": "Echoed in the answer and in errors.",
}


OPERATIONS = (
    work.DISPATCH,
    library.ADD_TEXT,
    library.ANSWER,
    *library.TABLE,
    *keeping.TABLE,
    *graph.TABLE,
    *projections.TABLE,
    *routing.TABLE,
    *offering.TABLE,
    *work.TABLE,
    *oversight.TABLE,
    *timely.TABLE,
    *accounts.TABLE,
    *batches.TABLE,
)
"""What a message of the WebSocket may name, and what is a tool of MCP."""


_FORM_BYTES = 4 * 1024 * 1024  # of an upload, besides what is in the files


def create(rooms: Rooms, *, notices: Notices = list, limits: BodyLimits | None = None) -> Gate:
    """The ASGI application on these rooms; `notices` adds to what /readyz says. `limits`: those of the settings."""
    app = FastAPI(
        title="Bastide",
        version=__version__,
        description=_ABOUT,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
    )
    closing = Closing()
    app.state.rooms, app.state.notices, app.state.closing = rooms, notices, closing
    app.state.queues = Queues(rooms.workflows)
    app.router.redirect_slashes = False
    refusals.install(app)
    for part in (
        health,
        documents,
        library,
        keeping,
        graph,
        projections,
        questions,
        work,
        streaming,
        oversight,
        timely,
        models,
        routing,
        offering,
        wires,
        media,
        batches,
        evidence,
        law,
        identity,
        accounts,
    ):
        app.router.routes.extend(part.router.routes)  # as they are: including them would work each out once more
    app.router.routes.append(Route(PATH, Tools(rooms, OPERATIONS), methods=["POST"], include_in_schema=False))
    app.openapi = lambda: _described(app)  # type: ignore[method-assign]  # FastAPI's own way to add to it
    talk = Talk(rooms, {one.name: one for one in OPERATIONS})
    doorkeeper = Doorkeeper(app, rooms, talk)
    shared = Behind(rooms.inference.gateway, Callers(rooms.tenancy, rooms.policy))
    return Gate(doorkeeper, limits or limits_of(rooms.settings), closing, before(shared))


def limits_of(settings: Settings) -> BodyLimits:
    """How large a body may be. What an export holds comes in again, so an archive may be larger than a document."""
    upload = max(settings.knowledge.document_bytes_max, Batches.FILE_BYTES_MAX) + _FORM_BYTES
    archive = settings.knowledge.archive_bytes_max + _FORM_BYTES
    return BodyLimits(upload_bytes_max=upload, uploads_to={IMPORT_PATH: archive})


def _described(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        schema["components"]["securitySchemes"] = {
            "key": {"type": "http", "scheme": "bearer", "bearerFormat": "bst_...", "description": "An API key."}
        }
        for path, operations in schema["paths"].items():
            for operation in operations.values():
                operation["security"] = [] if path in OPEN or path.startswith(HOOKS) else [{"key": []}]
                operation.setdefault("parameters", []).extend(_header(name) for name in _HEADERS)
        app.openapi_schema = schema
    return app.openapi_schema


def _header(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "required": False,
        "schema": {"type": "string"},
        "description": _HEADERS[name],
    }
