"""What OpenAPI says of every route beside its body: the errors it may answer with, and the form of an upload."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from bastide.api.shapes.ground import LABEL_EXAMPLE, ModelRefused, Refused
from bastide.api.shapes.knowledge import NewText

_COMMON = {
    400: "The request is malformed.",
    401: "No key, or none that we know.",
    403: "The key may not do that.",
    404: "Not there, or not yours: the two look alike on purpose.",
    409: "The present state, or the law, does not allow it.",
    413: "Over a limit.",
    422: "Well-formed, but it cannot be worked with.",
    503: "A part that this needs does not answer.",
}

UPLOAD: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "array", "items": {"type": "string", "format": "binary"}},
                        "collection": {"type": "string"},
                        "label": {"type": "string", "description": "A label as JSON."},
                        "subjects": {"type": "array", "items": {"type": "string"}},
                        "metadata": {"type": "string", "description": "Metadata as JSON."},
                        "job": {"type": "string", "description": "An open intake that gathers the files."},
                    },
                },
                "example": {"file": ["lease.pdf"], "collection": "contracts", "label": str(LABEL_EXAMPLE)},
            },
            "application/json": {"schema": NewText.model_json_schema()},
        },
    }
}


TEXT: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}
BYTES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
}


def answers(shapes: dict[int, type[BaseModel]], *, about: str = "") -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route under /api/v1: its own shapes, and the one shape of every error."""
    return _answers(shapes, Refused, about)


def model_answers(shapes: dict[int, type[BaseModel]]) -> dict[int | str, dict[str, Any]]:
    """The same under /v1, where errors have the shape that OpenAI's clients read."""
    return _answers(shapes, ModelRefused, "")


def _answers(
    shapes: dict[int, type[BaseModel]], refused: type[BaseModel], about: str
) -> dict[int | str, dict[str, Any]]:
    told: dict[int | str, dict[str, Any]] = {
        status: {"model": refused, "description": said} for status, said in _COMMON.items()
    }
    for status, shape in shapes.items():
        told[status] = {"model": shape, "description": about or "Done."}
    return told
