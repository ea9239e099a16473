"""What several bodies share: strict requests, open answers, labels, errors, pages."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

LABEL_EXAMPLE: dict[str, Any] = {"class": "internal", "personal": "none", "zone": ["FR", "DE"], "integrity": "trusted"}

Wire = dict[str, Any]

LabelWire = Annotated[
    dict[str, Any],
    WithJsonSchema(
        {
            "type": "object",
            "title": "Label",
            "description": "What may happen to these bytes. A missing field means the tenant's default.",
            "properties": {
                "class": {"enum": ["public", "internal", "confidential", "restricted", "secret"]},
                "personal": {"enum": ["none", "pseudonymised", "personal", "special", "criminal", "minor"]},
                "zone": {"type": ["array", "null"], "items": {"type": "string", "description": "ISO 3166-1 alpha-2"}},
                "min_seal": {"type": "object", "additionalProperties": {"type": "integer", "minimum": 0, "maximum": 4}},
                "tolerate": {"type": ["object", "null"], "additionalProperties": {"type": "array"}},
                "air_gap": {"type": "boolean"},
                "integrity": {"enum": ["trusted", "untrusted"]},
                "subjects": {"type": "array", "items": {"type": "string"}},
            },
            "examples": [LABEL_EXAMPLE],
        }
    ),
]


class Asked(BaseModel):
    """A request's body: a field that is not known is refused, because it was meant."""

    model_config = ConfigDict(extra="forbid", str_max_length=8 * 1024 * 1024)


class Pages(Asked):
    """A page of a list."""

    cursor: str | None = Field(None, max_length=512, description="`next` of the page before.")
    limit: int = Field(50, ge=1, le=500, description="How many at most.")


class Said(BaseModel):
    """An answer's body: fields may be added, never renamed."""

    model_config = ConfigDict(extra="allow")


class FieldProblem(Said):
    """What is wrong with one field."""

    field: str = Field(examples=["limit"])
    problem: str = Field(examples=["input should be less than or equal to 50"])


class Error(Said):
    """What was refused or broke, and what to do now."""

    code: str = Field(description="Stable; programs decide by it.", examples=["inference.no_permitted_model"])
    message: str = Field(examples=["No endpoint may receive these bytes."])
    next: str = Field(examples=["Add a local model, or ask an administrator whether the policy should be wider."])
    request_id: str | None = Field(examples=["req_06ar2k8m1v6t7c9d0e1f2g3h4j"])
    rules: list[str] | None = Field(None, description="The rules that said no.", examples=[["R04", "R10"]])
    fields: list[FieldProblem] | None = None


class Refused(Said):
    """The one shape of every error under /api/v1."""

    error: Error


class ModelError(Error):
    """An error in the shape that OpenAI's clients read, with our fields beside theirs."""

    type: str = Field(examples=["invalid_request_error"])
    param: str | None = Field(None, examples=["messages"])


class ModelRefused(Said):
    """The one shape of every error under /v1."""

    error: ModelError


class Listed(Said):
    """A page of a list, its items under the list's own name."""

    next: str | None = Field(description="Give it as `cursor` for the next page; null at the end.")


class Removed(Said):
    """It is gone."""

    id: str
    removed: bool = True
