"""Files and batches as OpenAI's clients ask for them: many calls behind whoever wants them, each decided by itself."""

from __future__ import annotations

from functools import partial
from typing import Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Request
from starlette.datastructures import FormData, UploadFile
from starlette.responses import JSONResponse, Response, StreamingResponse

from bastide.api.describing import BYTES, model_answers
from bastide.api.doorkeeper import Asking, Behind
from bastide.api.forms import opened_form
from bastide.api.lane import check_text
from bastide.api.operations import Ask, Nothing, Operation, routes
from bastide.api.paging import Paged
from bastide.api.reading import Route
from bastide.api.shapes import batches as shapes
from bastide.errors import BadFile

Wire = dict[str, Any]

_ANCHOR, _SECONDS = "expires_after[anchor]", "expires_after[seconds]"
_FIELDS: Final = frozenset({"file", "purpose", _ANCHOR, _SECONDS})
_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file", "purpose"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "purpose": {"enum": ["batch"]},
                        _ANCHOR: {"enum": ["created_at"]},
                        _SECONDS: {"type": "integer", "minimum": 3600, "maximum": 2592000},
                    },
                },
                "example": {"file": "questions.jsonl", "purpose": "batch"},
            }
        },
    }
}


async def list_files(ask: Ask[shapes.WhichFiles]) -> Wire:
    """Those of one's own user or key; all of the tenant for whoever may steer its work."""
    given = ask.given
    found = await ask.rooms.batches.files.list(
        ask.caller.scope,
        purpose=given.purpose,
        cursor=given.after,
        limit=given.limit,
        oldest_first=given.order == "asc",
    )
    return _page(found)


async def show_file(ask: Ask[Nothing]) -> Wire:
    """What is known of it, and the label of what stands in it."""
    return (await ask.rooms.batches.files.get(ask.caller.scope, ask.id)).to_wire()


async def delete_file(ask: Ask[shapes.HowDeleted]) -> Wire:
    """What came of it stays, unless `derived` is said: then its batches go, too, and one that runs is stopped."""
    await ask.rooms.batches.files.delete(ask.caller.scope, ask.id, derived=ask.given.derived)
    return {"id": ask.id, "object": "file", "deleted": True}


async def create_batch(ask: Ask[shapes.NewBatch]) -> Wire:
    """Each line becomes a call of its own, with its own decision, budget and receipt, by a durable job."""
    given, kept = ask.given, ask.given.output_expires_after
    made = await ask.rooms.batches.create(
        ask.caller.scope,
        input_file=given.input_file_id,
        endpoint=given.endpoint,
        window=given.completion_window,
        metadata=given.metadata,
        keep_s=kept.seconds if kept else None,
        label=ask.caller.label,
    )
    return made.to_wire()


async def list_batches(ask: Ask[shapes.WhichBatches]) -> Wire:
    """Newest first: those of one's own user or key; all of the tenant for whoever may steer its work."""
    given = ask.given
    return _page(await ask.rooms.batches.list(ask.caller.scope, cursor=given.after, limit=given.limit))


async def show_batch(ask: Ask[Nothing]) -> Wire:
    """How far it is; once it has ended, the files that came of it."""
    return (await ask.rooms.batches.get(ask.caller.scope, ask.id)).to_wire()


async def cancel_batch(ask: Ask[Nothing]) -> Wire:
    """No further line is asked; those that were answered can be read."""
    return (await ask.rooms.batches.cancel(ask.caller.scope, ask.id)).to_wire()


def _page(found: Paged) -> Wire:
    data = [one.to_wire() for one in found.items]
    return {
        "object": "list",
        "data": data,
        "has_more": found.cursor is not None,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
    }


_FILES, _BATCHES = "/v1/files", "/v1/batches"
_uses = partial(Operation, needs="model:use")

TABLE = (
    _uses("files.list", "GET", _FILES, "List the files", list_files, shapes.WhichFiles, shapes.PageOfOpenAI),
    _uses("files.get", "GET", f"{_FILES}/{{id}}", "Show a file", show_file, answer=shapes.File, of="file"),
    _uses(
        "files.delete",
        "DELETE",
        f"{_FILES}/{{id}}",
        "Delete a file",
        delete_file,
        shapes.HowDeleted,
        shapes.FileDeleted,
        of="file",
    ),
    _uses("batches.create", "POST", _BATCHES, "Have a file of calls made", create_batch, shapes.NewBatch, shapes.Batch),
    _uses("batches.list", "GET", _BATCHES, "List the batches", list_batches, shapes.WhichBatches, shapes.PageOfOpenAI),
    _uses("batches.get", "GET", f"{_BATCHES}/{{id}}", "Show a batch", show_batch, answer=shapes.Batch, of="batch"),
    _uses(
        "batches.cancel",
        "POST",
        f"{_BATCHES}/{{id}}/cancel",
        "Cancel a batch",
        cancel_batch,
        answer=shapes.Batch,
        of="batch",
    ),
)

router = APIRouter(route_class=Route, tags=["models"])


@router.post(_FILES, summary="Hand a file in", responses=model_answers({200: shapes.File}), openapi_extra=_FORM)
async def add_file(request: Request, caller: Asking, rooms: Behind) -> Response:
    """A JSONL file of calls, `purpose` batch: kept sealed for thirty days, or as `expires_after` says."""
    caller.scope.need("model:use")  # before a file is read
    async with opened_form(request, files_max=1, fields_max=8) as form:
        file, purpose, keep_s = _handed_in(form)
        made = await rooms.batches.files.add(
            caller.scope,
            check_text(file.filename or "").rpartition("/")[2],
            await file.read(),
            label=caller.label,
            purpose=purpose,
            keep_s=keep_s,
        )
    return JSONResponse(made.to_wire())


@router.get(
    f"{_FILES}/{{id}}/content",
    summary="What stands in a file",
    response_class=Response,
    responses=model_answers({}) | BYTES,
)
async def content(id: str, caller: Asking, rooms: Behind) -> Response:
    """As it was handed in, or a line for each call. That it was read is recorded."""
    found, pieces = await rooms.batches.files.content(caller.scope, id)
    headers = {
        "content-length": str(found.bytes),
        "content-disposition": f"attachment; filename*=UTF-8''{quote(found.name, safe='')}",
    }
    return StreamingResponse(pieces, media_type="application/octet-stream", headers=headers)


router.include_router(routes(TABLE, tag="models", told=model_answers))


def _handed_in(form: FormData) -> tuple[UploadFile, str, int | None]:
    """The file, its purpose, and for how long it is to be kept. Raises BadFile."""
    for name, value in form.multi_items():
        if name not in _FIELDS or isinstance(value, str) == (name == "file"):
            raise BadFile(f"The form has no field {name[:80]!r} of this kind; it has {', '.join(sorted(_FIELDS))}.")
    file, purpose = form.get("file"), form.get("purpose")
    if not isinstance(file, UploadFile):
        raise BadFile("The form has no `file`.", param="file")
    if not isinstance(purpose, str):
        raise BadFile("The form has no `purpose`.", param="purpose")
    seconds = form.get(_SECONDS)
    if (form.get(_ANCHOR) is None) != (seconds is None) or form.get(_ANCHOR) not in {None, "created_at"}:
        raise BadFile("The anchor is `created_at`, and goes with seconds.", param="expires_after.anchor")
    if seconds is None:
        return file, purpose, None
    if not isinstance(seconds, str) or not seconds.isdecimal() or len(seconds) > 9:
        raise BadFile("The seconds are a number.", param="expires_after.seconds")
    return file, purpose, int(seconds)
