"""Files on their way in, and bytes on their way out; what else is asked about documents stands in `library`."""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import AsyncGenerator, Sequence
from typing import IO, Annotated, Any, cast
from urllib.parse import quote

from fastapi import APIRouter, Header, Path, Query, Request
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.responses import JSONResponse, Response, StreamingResponse

from bastide.api.describing import BYTES, UPLOAD, answers
from bastide.api.doorkeeper import Asking, Behind
from bastide.api.forms import form_of
from bastide.api.lane import check_text, parse
from bastide.api.reading import Route
from bastide.api.refusals import fields_wrong
from bastide.api.shapes import knowledge as shapes
from bastide.api.values import Caller, Rooms
from bastide.errors import BadLabel, BadRequest, FieldsWrong, UnsupportedMedia
from bastide.knowledge import Original

_FILES_MAX = 1000
_FIELDS_MAX = 5000
_FIELDS = ("file", "collection", "label", "subjects", "metadata", "job")
_STAGED_MAX, _STAGED_BYTES_MAX = 64, 1024 * 1024
_LOOKS = 20
_PIECE_BYTES = 256 * 1024
_ASYNC = re.compile(r"(?:^|[,;])\s*respond-async\s*(?:$|[,;])", re.IGNORECASE)

router = APIRouter(route_class=Route, tags=["documents"])


class _Given:
    """What one request hands in: files as they came, and what is said of them."""

    def __init__(
        self, *, collection: str | None, label: Any, subjects: Sequence[str], job: str | None, metadata: Any = None
    ) -> None:
        self.files: list[UploadFile | tuple[str, bytes]] = []
        self.collection = collection
        self.label = label
        self.subjects = tuple(subjects)
        self.job = job
        self.metadata = metadata

    async def each(self) -> AsyncGenerator[tuple[str, bytes]]:
        """Name and bytes, one file at a time."""
        for file in self.files:
            yield file if isinstance(file, tuple) else (check_text(file.filename or ""), await file.read())


@router.post(
    "/api/v1/documents",
    status_code=201,
    summary="Take documents in",
    openapi_extra=UPLOAD,
    responses=answers(
        {201: shapes.Ingested, 200: shapes.Ingested, 202: shapes.Queued, 422: shapes.Ingested},
        about="201: at least one is new. 202: jobs take them in.",
    ),
)
async def take_in(
    request: Request,
    caller: Asking,
    rooms: Behind,
    prefer: Annotated[str, Header(description="`respond-async`: answer 202, and let jobs take the files in.")] = "",
) -> Response:
    """One or more files as multipart/form-data (`file`), or one text as JSON.

    A file whose content is known already is `unchanged`. A file that cannot be read is `refused` with its reason
    and the rest goes on; when every file was refused the status is that of the first refusal. With `Prefer:
    respond-async`, or the field `job` that names an open intake, the files are kept and jobs take them in.
    """
    caller.scope.need("knowledge:write")
    form, given = await _given(request)
    try:
        if given.job is not None or _ASYNC.search(prefer):
            applied = {"preference-applied": "respond-async"} if _ASYNC.search(prefer) else {}
            return JSONResponse(await _queue(given, caller, rooms), 202, applied)
        done = await _take_in(given, caller, rooms)
    finally:
        if form is not None:
            await form.close()
    return _taken(done, request)


async def _take_in(given: _Given, caller: Caller, rooms: Rooms) -> list[dict[str, Any]]:
    """Several files together; of one alone it is raised what is wrong with its name."""
    where, scope = given.collection or "default", caller.scope
    said: Any = {"label": given.label, "subjects": given.subjects, "metadata": given.metadata}
    if len(given.files) > 1:
        taken = await rooms.knowledge.batches.ingest(scope, given.each(), collection=where, **said)
        return cast("list[dict[str, Any]]", taken.to_wire()["documents"])
    done: list[dict[str, Any]] = []
    async for name, data in given.each():
        taken = await rooms.knowledge.ingest(scope, name, data, collection=where, **said)
        done += cast("list[dict[str, Any]]", taken.to_wire()["documents"])
    return done


async def _some(given: _Given) -> AsyncGenerator[list[tuple[str, bytes]]]:
    """The files, so many at a time that they are kept in one transaction and are no burden to the memory."""
    files: list[tuple[str, bytes]] = []
    size = 0
    async for name, data in given.each():
        if files and (len(files) >= _STAGED_MAX or size + len(data) > _STAGED_BYTES_MAX):
            yield files
            files, size = [], 0
        files.append((name, data))
        size += len(data)
    if files:
        yield files


async def _queue(given: _Given, caller: Caller, rooms: Rooms) -> dict[str, Any]:
    """Several files that belong to no intake get one of their own, so that one job stands for them all."""
    parent, label, subjects = given.job, given.label, given.subjects
    own = parent is None and len(given.files) > 1
    if own:
        opened = await rooms.knowledge.intake(
            caller.scope, collection=given.collection or "default", label=label, subjects=subjects
        )
        parent, label, subjects = opened.id, None, ()
    queued: list[dict[str, Any]] = []
    try:
        async for files in _some(given):
            made = await rooms.knowledge.stage_all(
                caller.scope,
                files,
                job=parent,
                collection=given.collection,
                label=label,
                subjects=subjects,
                metadata=given.metadata,
            )
            queued += [
                {"id": None, "name": name, "status": "queued", "chunks": 0, "error": None, "job": one.id}
                for (name, _), one in zip(files, made, strict=True)
            ]
    finally:
        if own and parent is not None:
            await rooms.knowledge.close_intake(caller.scope, parent)
    return {
        "documents": queued,
        "ingested": 0,
        "unchanged": 0,
        "refused": 0,
        "queued": len(queued),
        "job": parent or queued[0]["job"],
    }


@router.post("/api/v1/intakes", status_code=202, summary="Open an intake", responses=answers({202: shapes.Intake}))
async def open_intake(body: shapes.NewIntake, caller: Asking, rooms: Behind) -> Any:
    """One job that gathers files: POST each to /api/v1/documents with this `job`, then close it, then follow the job.

    What is named here holds for all its files. It closes by itself an hour after its last file. `workers` says how
    many processes can take files in now.
    """
    made = await rooms.knowledge.intake(
        caller.scope, collection=body.collection or "default", label=body.label, subjects=body.subjects
    )
    for _ in range(_LOOKS):  # a worker that is just starting is waited for
        if workers := (await rooms.workflows.health()).workers:
            break
        await asyncio.sleep(0.1)
    return JSONResponse({"job": made.id, "workers": workers}, 202)


@router.post(
    "/api/v1/intakes/{id}:close", status_code=202, summary="Close an intake", responses=answers({202: shapes.Closed})
)
async def close_intake(id: str, caller: Asking, rooms: Behind) -> Any:
    """No further file comes; its job ends when all its files have been taken in or refused."""
    await rooms.knowledge.close_intake(caller.scope, id)
    return JSONResponse({"job": id}, 202)


@router.get("/api/v1/jobs/{id}/artifact", summary="The file that a job made", response_class=Response, responses=BYTES)
async def artifact(id: str, caller: Asking, rooms: Behind) -> Response:
    """An export, for one: bit for bit, for a week."""
    file = tempfile.TemporaryFile()  # noqa: SIM115  # closed when the last piece is sent
    try:
        made = await rooms.knowledge.artifact_into(caller.scope, id, file)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    headers = {**_disposition(made.name), "content-length": str(made.bytes)}
    return StreamingResponse(_pieces(file), media_type=made.media_type, headers=headers)


async def _pieces(file: IO[bytes]) -> AsyncGenerator[bytes]:
    with file:
        while piece := await asyncio.to_thread(file.read, _PIECE_BYTES):
            yield piece


def _taken(done: list[dict[str, Any]], request: Request) -> Response:
    count = {word: sum(one["status"] == word for one in done) for word in ("ready", "queued", "unchanged", "refused")}
    wire: dict[str, Any] = {
        "documents": done,
        "ingested": count["ready"] + count["queued"],
        "unchanged": count["unchanged"],
        "refused": count["refused"],
    }
    if count["refused"] < len(done):
        return JSONResponse(wire, 201 if wire["ingested"] else 200)
    error = done[0]["error"] or {}
    return JSONResponse({**wire, "error": {**error, "request_id": request.state.request_id}}, 422)


async def _given(request: Request) -> tuple[FormData | None, _Given]:
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == "multipart/form-data":
        form = await form_of(request, files_max=_FILES_MAX, fields_max=_FIELDS_MAX)
        try:
            return form, _from_form(form)
        except BaseException:
            await form.close()
            raise
    if kind == "application/json":
        try:
            text = shapes.NewText.model_validate(parse(await request.body()))
        except ValidationError as fault:
            raise fields_wrong(fault) from fault
        given = _Given(
            collection=text.collection,
            label=text.label,
            subjects=text.subjects,
            job=text.job,
            metadata=text.metadata,
        )
        given.files.append((text.name, text.text.encode()))
        return None, given
    raise UnsupportedMedia(f"The body is {kind or 'of no named type'}.")


def _from_form(form: FormData) -> _Given:
    for name, value in form.multi_items():
        if isinstance(value, str):
            check_text(value)
        if name not in _FIELDS or isinstance(value, str) != (name != "file"):
            raise FieldsWrong(f"The form has no field {name[:80]!r} of this kind; it has {', '.join(_FIELDS)}.")
    files = [value for value in form.getlist("file") if isinstance(value, UploadFile)]
    if not files:
        raise FieldsWrong("The form holds no file.", next_step="Send each file as a part named `file`.")
    label = str(form.get("label") or "")
    try:
        wire = parse(label.encode()) if label else None
    except BadRequest as fault:
        raise BadLabel("The form's field label is not JSON.") from fault
    if wire is not None and not isinstance(wire, dict):
        raise BadLabel("A label is an object.")
    subjects = [str(one) for one in form.getlist("subjects") if one]
    given = _Given(
        collection=str(form.get("collection") or "") or None,
        label=wire,
        subjects=subjects,
        job=str(form.get("job") or "") or None,
        metadata=_metadata(str(form.get("metadata") or "")),
    )
    given.files += files
    return given


def _metadata(field: str) -> Any:
    try:
        return parse(field.encode()) if field else None
    except BadRequest as fault:
        raise FieldsWrong("The form's field metadata is not JSON.") from fault


@router.get(
    "/api/v1/documents/{id}/original",
    summary="The original, bit for bit",
    response_class=Response,
    responses=BYTES,
)
async def original(
    id: str,
    caller: Asking,
    rooms: Behind,
    version: Annotated[int | None, Query(ge=1, description="The current one unless named.")] = None,
) -> Response:
    """The bytes as they came in."""
    return _attached(await rooms.knowledge.original(caller.scope, id, version=version))


@router.post(
    "/api/v1/collections:import",
    status_code=202,
    summary="Take a collection in as it was exported",
    openapi_extra=UPLOAD,
    responses=answers({202: shapes.Closed}),
)
async def bring(request: Request, caller: Asking, rooms: Behind) -> Response:
    """The zip file of the job knowledge.export, as `file` of a form; a job brings its documents, versions and labels.

    It may be larger than a document: what BASTIDE_EXPORT_MB says, and is read from the disk piece by piece.

    `collection` puts them elsewhere. Nothing that is there is replaced, and a file that was changed is refused.
    """
    caller.scope.need("knowledge:write")
    form, given = await _given(request)
    try:
        file = given.files[0] if given.files else None
        if not isinstance(file, UploadFile):
            raise FieldsWrong("The form holds no file.", next_step="Send the zip file as a part named `file`.")
        made = await rooms.knowledge.upkeep.bring(caller.scope, file.file, collection=given.collection)
        return JSONResponse({"job": made.id}, 202)
    finally:
        if form is not None:
            await form.close()


@router.get(
    "/api/v1/documents/{id}/pages/{page}/image",
    summary="A page as it looks",
    response_class=Response,
    responses=answers({}) | {200: {"content": {"image/png": {}}, "description": "A picture."}},
)
async def page_image(
    id: str,
    page: Annotated[int, Path(ge=1)],
    caller: Asking,
    rooms: Behind,
    *,
    dpi: Annotated[int, Query(ge=20, le=400, description="How fine.")] = 100,
    version: Annotated[int | None, Query(ge=1, description="The current one unless named.")] = None,
) -> Response:
    """PNG. That it was looked at is recorded."""
    picture = await rooms.knowledge.page_image(caller.scope, id, page, dpi=dpi, version=version)
    return Response(picture, media_type="image/png")


def _attached(found: Original) -> Response:
    return Response(found.data, media_type=found.media_type, headers=_disposition(found.name))


def _disposition(name: str) -> dict[str, str]:
    return {"content-disposition": f"attachment; filename*=UTF-8''{quote(name.rpartition('/')[2], safe='')}"}
