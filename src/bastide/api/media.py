"""Sound and pictures as OpenAI's clients ask for them."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from bastide.api.describing import model_answers
from bastide.api.doorkeeper import Asking, Behind
from bastide.api.forms import opened_form
from bastide.api.leaving import unless_gone
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

_PICTURES: Any = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["image"],
                    "properties": {
                        "image": {"type": "array", "items": {"type": "string", "format": "binary"}},
                        "mask": {"type": "string", "format": "binary"},
                        "model": {"type": "string"},
                        "prompt": {"type": "string"},
                        "n": {"type": "integer"},
                        "size": {"type": "string"},
                        "stream": {"type": "boolean"},
                    },
                },
                "example": {"image": ["town.png"], "model": "auto", "prompt": "The same town at night"},
            }
        },
    }
}
_IMAGES: Final = ("image", "image[]")
_IMAGES_MAX: Final = 16

router = APIRouter(route_class=Route, tags=["models"])


@router.post("/v1/audio/transcriptions", summary="Transcribe sound", responses=model_answers({}), openapi_extra=_FORM)
async def transcriptions(request: Request, caller: Asking, rooms: Behind) -> Response:
    """What is said in a file of sound. Fields beside `file` and `model` are passed on as they are."""
    caller.scope.need("model:use")  # before a file is read
    fields, files = await _form(request, ("file",), 1)
    if not files:
        raise BadRequest("The form has no `file`.", param="file")
    return await _asked(request, "transcription", "", fields, files, caller, rooms)


@router.post("/v1/images/edits", summary="Change pictures", responses=model_answers({}), openapi_extra=_PICTURES)
async def edits(request: Request, caller: Asking, rooms: Behind) -> Response:
    """Pictures made of pictures as a text says: `image` or `image[]`, up to 16 times, and a `mask` of what changes."""
    caller.scope.need("model:use")
    fields, files = await _form(request, (*_IMAGES, "mask"), _IMAGES_MAX + 1)
    if not any(fields.get("prompt", ())):
        raise BadRequest("The form has no `prompt`.", param="prompt")
    return await _made_of(request, "edits", fields, files, caller, rooms)


@router.post("/v1/images/variations", summary="Vary a picture", responses=model_answers({}), openapi_extra=_PICTURES)
async def variations(request: Request, caller: Asking, rooms: Behind) -> Response:
    """Pictures that are like a picture. Nothing is asked in words."""
    caller.scope.need("model:use")
    fields, files = await _form(request, _IMAGES, 1)
    return await _made_of(request, "variations", fields, files, caller, rooms)


async def _made_of(
    request: Request, wire: str, fields: dict[str, list[str]], files: list[Sent], caller: Caller, rooms: Rooms
) -> Response:
    if not any(file.field in _IMAGES for file in files):
        raise BadRequest("The form has no file `image`.", param="image")
    return await _asked(request, "images", wire, fields, files, caller, rooms)


async def _asked(
    request: Request,
    capability: str,
    wire: str,
    fields: dict[str, list[str]],
    files: list[Sent],
    caller: Caller,
    rooms: Rooms,
) -> Response:
    model = _named(fields.pop("model", [""])[0])
    call = rooms.inference.media.call(
        caller.scope, capability, fields, label=caller.label, model=model, files=files, wire=wire
    )
    return await unless_gone(request, _answered(call))


async def _form(request: Request, names: Sequence[str], files_max: int) -> tuple[dict[str, list[str]], list[Sent]]:
    """The fields of a form, and its files under these names. Raises BadRequest for a file under another."""
    fields: dict[str, list[str]] = {}
    files: list[Sent] = []
    async with opened_form(request, files_max=files_max, fields_max=50) as form:
        for name, value in form.multi_items():
            if isinstance(value, str):
                fields.setdefault(name, []).append(value)
            elif name in names:
                media_type = value.content_type or "application/octet-stream"
                files.append(Sent(value.filename or name, media_type, await value.read(), name))
            else:
                raise BadRequest(f"No file is meant in `{name[:64]}`.", param=name[:64])
    return fields, files


@router.post("/v1/audio/speech", summary="Speak a text", responses=model_answers({}))
async def speech(body: shapes.SpeechQuestion, request: Request, caller: Asking, rooms: Behind) -> Response:
    """A text as sound, in pieces as they come."""
    return await _told(request, "speech", body, caller, rooms)


@router.post("/v1/images/generations", summary="Make pictures", responses=model_answers({}))
async def images(body: shapes.PictureQuestion, request: Request, caller: Asking, rooms: Behind) -> Response:
    """Pictures of what a text describes."""
    return await _told(request, "images", body, caller, rooms)


async def _told(
    request: Request,
    capability: str,
    body: shapes.SpeechQuestion | shapes.PictureQuestion,
    caller: Caller,
    rooms: Rooms,
) -> Response:
    fields = body.model_dump(mode="json", exclude_unset=True)
    model = fields.pop("model", None)
    call = rooms.inference.media.call(caller.scope, capability, fields, label=caller.label, model=_named(model))
    return await unless_gone(request, _answered(call))


def _named(model: str | None) -> str | None:
    return None if model is None or model in _ANY else model


async def _answered(call: Coroutine[Any, Any, MediaAnswer]) -> Response:
    return _Passed(await call)


class _Passed(StreamingResponse):
    """An answer as it comes, whose call ends with it, even if the client has gone before a piece of it was read."""

    def __init__(self, answer: MediaAnswer) -> None:
        super().__init__(answer.pieces, media_type=answer.media_type, headers={RECEIPT: answer.receipt})
        self._pieces = answer.pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._pieces.aclose()
