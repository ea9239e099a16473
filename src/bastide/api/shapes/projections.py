"""Projections on the wire: a target, how far behind it is, and what became of what was erased."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue

from bastide.api.shapes.ground import Asked, Said
from bastide.api.shapes.work import example

Class = Literal["public", "internal", "confidential", "restricted", "secret"]


class NewTarget(Asked):
    """A system that is to hold copies."""

    model_config = example(
        name="vectors", kind="qdrant", url="http://127.0.0.1:6333", options={"collection": "bastide"}
    )
    name: str = Field(max_length=63)
    kind: Literal["qdrant", "neo4j", "s3"]
    url: str = Field(max_length=2000)
    record: str = Field("local/runtime", description="The provider record that describes the place.")
    key: str | None = Field(None, description="Kept sealed. Neo4j: USER:PASSWORD or a token; S3: ACCESS:SECRET.")
    options: dict[str, JsonValue] = Field(
        default_factory=dict,
        description="qdrant: collection, text. neo4j: database. s3: bucket, region, prefix, plain.",
    )
    collections: list[str] | None = Field(None, description="Null: all that have no members.")
    class_max: Class = Field("internal", description="Documents of a higher class are not sent.")


class Target(Said):
    """A target, and how far behind it is."""

    name: str
    kind: str
    url: str
    documents: int = Field(description="Of which it holds something.")
    items: int
    behind: int = Field(description="Changes that were not sent yet.")
    oldest_s: float
    refused: int
    problem: str
    leaving: bool


class Added(Said):
    """The target, and the job that fills it."""

    projection: Target
    job: str


class Begun(Said):
    """The job that was dispatched."""

    job: str


class Removing(Asked):
    """How a target is removed."""

    abandon: bool = Field(False, description="Forget it at once; what it holds stays there.")
    reason: str = Field("", max_length=2000)


class Removal(Said):
    """The job that empties it, or what was left in it."""

    job: str | None
    left: Target | None


class WhichDepartures(Asked):
    """Of which document."""

    document: str | None = None
    limit: int = Field(200, ge=1, le=1000)
