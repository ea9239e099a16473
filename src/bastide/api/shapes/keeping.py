"""Upkeep on the wire: members, retention, holds, moving, likeness, quality."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bastide.api.shapes.ground import Asked, LabelWire, Pages, Said
from bastide.api.shapes.work import example

DOCUMENT_EXAMPLE = "doc_06ar2k8m1v6t7c9d0e1f2g3h4j"

Access = Literal["read", "write", "manage"]


class Kept(Said):
    """A collection with who may see it and how long it keeps its documents."""

    name: str
    documents: int
    members: dict[str, Access] = Field(description="None: everybody of the tenant.")
    retention_days: int | None
    created: str


class Members(Asked):
    """Who sees a collection."""

    model_config = example(members={"usr_06ar2k8m1v6t7c9d0e1f2g3h4j": "manage", "role:member": "read"})
    members: dict[str, Access] = Field(description="Ids of users or apps, or role:NAME, with what each may do.")
    reason: str = Field("", max_length=2000)


class Retention(Asked):
    """How long documents are kept after their last change."""

    model_config = example(days=365, reason="§ 257 HGB")
    days: int | None = Field(ge=1, le=36_500, description="Null: for good.")
    reason: str = Field("", max_length=2000)


class Move(Asked):
    """Which documents go where."""

    model_config = example(documents=[DOCUMENT_EXAMPLE], collection="archive")
    documents: list[str] = Field(min_length=1, max_length=1000)
    collection: str
    reason: str = Field("", max_length=2000)


class Moved(Said):
    """How many went."""

    moved: int
    collection: str


class Rename(Asked):
    """Another name."""

    model_config = example(name="lease-2026.pdf")
    name: str
    reason: str = Field("", max_length=2000)


class LabelToBe(Asked):
    """A label that is thought of."""

    model_config = example(label={"class": "confidential"})
    label: LabelWire


class HowMany(Asked):
    """How much is shown."""

    limit: int = Field(50, ge=1, le=500)


class Why(Asked):
    """A reason, kept in the log."""

    model_config = example(reason="Proceedings 4 O 12/26")
    reason: str = Field("", max_length=2000)


class Held(Said):
    """Whether it is on hold now."""

    id: str
    held: bool


class WhichAlike(Asked):
    """Among what, and how alike."""

    document: str | None = Field(None, description="Like this one.")
    collection: str | None = None
    least: float = Field(0.7, gt=0, le=1, description="The lowest similarity that is shown.")
    limit: int = Field(50, ge=1, le=500)


class OffEmbedder(Asked):
    """Which embedder, and where."""

    model_config = example(model="local/minilm", collection="contracts")
    model: str = Field(min_length=1, max_length=128)
    collection: str | None = Field(None, description="Null: for all collections that have none of their own.")


class Off(Said):
    """It is switched off."""

    model: str
    collection: str | None
    on: bool


class OfCollection(Asked):
    """Of one collection, or of all."""

    collection: str | None = None


class Doubts(Pages):
    """The same, page by page."""

    collection: str | None = None


class WatchedFile(Asked):
    """A file of a watched folder as it was when it was taken in."""

    model_config = example(path="leases/mill.pdf", document=DOCUMENT_EXAMPLE, bytes=18210, modified=1790000000000000000)
    path: str = Field(max_length=4096)
    document: str | None = Field(description="Null for one that was refused.")
    bytes: int = Field(ge=0)
    modified: int = Field(description="Nanoseconds since 1970.")


class Paths(Asked):
    """Files that are gone."""

    model_config = example(paths=["leases/mill.pdf"])
    paths: list[str] = Field(min_length=1, max_length=10_000)
