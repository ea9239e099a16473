"""The graph on the wire: types, entities, ties, episodes, decisions."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal

from pydantic import Field

from bastide.api.shapes.ground import Asked, LabelWire, Pages, Said
from bastide.api.shapes.work import example

ENTITY_EXAMPLE, OTHER_EXAMPLE = "ent_16j4k8m1v6t7c", "ent_0s2d9f3g5h7jq"

Types = list[str] | None


class WhichType(Asked):
    """A type of the tenant's own."""

    model_config = example(kind="relation", name="supervises")
    kind: Literal["node", "relation"]
    name: str = Field(max_length=100)


class NewType(WhichType):
    """A type of node or relation."""

    model_config = example(
        kind="relation", name="supervises", about="An authority watches over another.", from_types=["organisation"]
    )
    about: str = Field(max_length=1000)
    from_types: list[str] = Field(default_factory=list, description="What may stand at its beginning; empty: any.")
    to_types: list[str] = Field(default_factory=list)
    symmetric: bool = False
    inverse: str = Field("", max_length=100)
    transitive: bool = False


class Type(Said):
    """A type of node or relation."""

    kind: str
    name: str
    about: str
    shipped: bool


class WhichEntities(Pages):
    """What the list of entities is narrowed to."""

    query: str | None = Field(None, description="Whose name holds this.")
    type: str | None = None
    collection: str | None = None
    limit: int = Field(50, ge=1, le=200)


class Entity(Said):
    """A node of the graph, as the documents know it that the caller may read."""

    id: str
    name: str
    type: str
    aliases: list[str]
    mentions: int
    documents: int
    label: LabelWire


class Near(Asked):
    """How far, and along what."""

    depth: int = Field(1, ge=1, le=3)
    types: Types = None
    as_of: date | None = Field(None, description="Ties that hold on this day, or do not say when.")
    limit: int = Field(50, ge=1, le=200)


class KnownAt(Asked):
    """As it was known at a time."""

    known_at: datetime | None = None
    limit: int = Field(100, ge=1, le=500)


class WhichRelations(Pages):
    """What the list of ties is narrowed to."""

    id: str | None = Field(None, description="Of this entity, or of what this document itself does.")
    types: Types = None
    collection: str | None = None
    as_of: date | None = None
    known_at: datetime | None = None
    limit: int = Field(50, ge=1, le=200)


class WhichReferences(Asked):
    """Of what, and in which direction."""

    model_config = example(id="doc_06ar2k8m1v6t7c9d0e1f2g3h4j", incoming=True)
    id: str = Field(description="A document (doc_) or a section (sec_).")
    incoming: bool = Field(False, description="What refers to it.")
    limit: int = Field(50, ge=1, le=200)


class WhichEpisodes(Pages):
    """Which time."""

    collection: str | None = None
    since: date | None = None
    until: date | None = None
    known_at: datetime | None = None
    limit: int = Field(50, ge=1, le=200)


class FromTo(Asked):
    """Between whom."""

    model_config = example(from_id=ENTITY_EXAMPLE, to_id=OTHER_EXAMPLE, max_hops=3)
    from_id: str
    to_id: str
    max_hops: int = Field(3, ge=1, le=6)
    types: Types = None
    limit: int = Field(5, ge=1, le=20)


class Around(Asked):
    """From where, and how far."""

    model_config = example(seeds=[ENTITY_EXAMPLE], hops=2)
    seeds: list[str] = Field(min_length=1, max_length=50)
    hops: int = Field(1, ge=1, le=3)
    types: Types = None
    limit: int = Field(100, ge=1, le=500)


class Part(Said):
    """A part of the graph; `label` is the join of everything in it."""

    entities: list[dict[str, Any]]
    relations: list[dict[str, Any]]
    truncated: bool
    label: LabelWire


class AtLevel(Asked):
    """How coarse: 0 is the finest."""

    level: int = Field(0, ge=0, le=9)
    limit: int = Field(50, ge=1, le=200)


class Name(Asked):
    """A name, or an entity's id."""

    model_config = example(name="EDPB")
    name: str
    limit: int = Field(10, ge=1, le=200)


class Merge(Asked):
    """Which entities are one; the first gives the name."""

    model_config = example(entities=[ENTITY_EXAMPLE, OTHER_EXAMPLE], reason="The same authority under two names.")
    entities: list[str] = Field(min_length=2, max_length=50)
    reason: str = Field(max_length=2000)


class Split(Asked):
    """Which mentions name somebody else."""

    model_config = example(entity=ENTITY_EXAMPLE, mentions=["men_16j4k8m1v6t7c"], reason="Another person of that name.")
    entity: str
    mentions: list[str] = Field(min_length=1, max_length=1000)
    reason: str = Field(max_length=2000)


class Undo(Asked):
    """Which decision is taken back."""

    model_config = example(decision="dec_06ar2k8m1v6t7c9d0e1f2g3h4j", reason="It was a namesake.")
    decision: str
    reason: str = Field("", max_length=2000)


class Decision(Said):
    """A merge or a split: of what, who, why."""

    id: str
    kind: str
    entities: list[str]
    who: str
    why: str
    made_at: str
    undone_at: str | None
