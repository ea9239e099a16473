"""Sound and pictures as OpenAI's clients ask for them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.datastructures import UploadFile
from starlette.responses import Response, StreamingResponse

from bastide.api.describing import model_answers
from bastide.api.doorkeeper import Asking, Behind
from bastide.api.questions import RECEIPT
from bastide.api.reading import Route
from bastide.api.shapes import models as shapes
from bastide.api.values import Caller, Rooms
from bastide.errors import BadRequest
from bastide.inference import MediaAnswer, Sent

_ANY = frozenset({"auto", ""})
_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "model": {"type": "string"},
                        "language": {"type": "string"},
                        "response_format": {"type": "string"},
                        "stream": {"type": "boolean"},
                    },
                },
                "example": {"file": "speech.wav", "model": "auto", "language": "en"},
            }
        },
    }
}

router = APIRouter(route_class=Route, tags=["models"])


@router.post("/v1/audio/transcriptions", summary="Transcribe sound", responses=model_answers({}), openapi_extra=_FORM)
async def transcriptions(request: Request, caller: Asking, rooms: Behind) -> Response:
    """What is said in a file of sound. Fields beside `file` and `model` are passed on as they are."""
    caller.scope.need("model:use")  # before a file is read
    async with request.form(max_files=1, max_fields=50) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise BadRequest("The form has no `file`.", param="file")
        fields: dict[str, Any] = {}
        for name, value in form.multi_items():
            if isinstance(value, str):
                fields.setdefault(name, []).append(value)
        model = (fields.pop("model", None) or [None])[0]
        sent = Sent(file.filename or "sound", file.content_type or "application/octet-stream", await file.read())
    answer = await rooms.inference.media.call(
        caller.scope, "transcription", fields, label=caller.label, model=_named(model), file=sent
    )
    return _answered(answer)


@router.post("/v1/audio/speech", summary="Speak a text", responses=model_answers({}))
async def speech(body: shapes.SpeechQuestion, caller: Asking, rooms: Behind) -> Response:
    """A text as sound, in pieces as they come."""
    return await _told("speech", body, caller, rooms)


@router.post("/v1/images/generations", summary="Make pictures", responses=model_answers({}))
async def images(body: shapes.PictureQuestion, caller: Asking, rooms: Behind) -> Response:
    """Pictures of what a text describes."""
    return await _told("images", body, caller, rooms)


async def _told(
    capability: str, body: shapes.SpeechQuestion | shapes.PictureQuestion, caller: Caller, rooms: Rooms
) -> Response:
    fields = body.model_dump(mode="json", exclude_unset=True)
    model = fields.pop("model", None)
    answer = await rooms.inference.media.call(caller.scope, capability, fields, label=caller.label, model=_named(model))
    return _answered(answer)


def _named(model: str | None) -> str | None:
    return None if model is None or model in _ANY else model


def _answered(answer: MediaAnswer) -> Response:
    return StreamingResponse(answer.pieces, media_type=answer.media_type, headers={RECEIPT: answer.receipt})
