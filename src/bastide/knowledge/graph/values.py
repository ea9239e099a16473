"""What crosses the door of the graph. Offsets count characters of the document's text; ids are opaque.

`ent_` is an entity, `doc_` a document, `sec_` a section: a document's id, a colon, the stable id of the node.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime

from bastide.policy import Label

Wire = dict[str, object]


def _day(value: date | None) -> str | None:
    return value.isoformat() if value is not None else None


@dataclass(frozen=True, slots=True)
class GraphType:
    """A type of node or relation. `from_types` and `to_types` say what may stand at its ends; empty means any."""

    kind: str
    name: str
    about: str
    from_types: tuple[str, ...] = ()
    to_types: tuple[str, ...] = ()
    symmetric: bool = False
    inverse: str = ""
    transitive: bool = False
    shipped: bool = True

    def to_wire(self) -> Wire:
        """The shape of the wire."""
        return {
            "kind": self.kind,
            "name": self.name,
            "about": self.about,
            "from_types": list(self.from_types),
            "to_types": list(self.to_types),
            "symmetric": self.symmetric,
            "inverse": self.inverse or None,
            "transitive": self.transitive,
            "shipped": self.shipped,
        }


@dataclass(frozen=True, slots=True)
class PassageAt:
    """Where something stands: `text` is the document's text from `start` to `end`."""

    document_id: str
    name: str
    version: int
    section: tuple[str, ...]
    page: int | None
    start: int
    end: int
    text: str

    def to_wire(self) -> Wire:
        """The shape of the wire."""
        return {
            "document_id": self.document_id,
            "name": self.name,
            "version": self.version,
            "section": list(self.section),
            "page": self.page,
            "start": self.start,
            "end": self.end,
            "text": self.text,
        }


@dataclass(frozen=True, slots=True)
class Entity:
    """A node of the graph as the documents that the caller may read know it."""

    id: str
    name: str
    type: str
    aliases: tuple[str, ...] = ()
    mentions: int = 0
    documents: int = 0
    confidence: float = 0.0
    label: Label = field(default_factory=Label)
    first_seen: datetime | None = None
    last_seen: datetime | None = None

    def to_wire(self) -> Wire:
        """The shape of the wire."""
        return {
            "id": self.id,
            "name": self.name,
            "type": self.type,
            "aliases": list(self.aliases),
            "mentions": self.mentions,
            "documents": self.documents,
            "confidence": round(self.confidence, 3),
            "label": self.label.to_wire(),
            "first_seen": self.first_seen.isoformat() if self.first_seen else None,
            "last_seen": self.last_seen.isoformat() if self.last_seen else None,
        }


@dataclass(frozen=True, slots=True)
class Mention:
    """One passage that names an entity: how it is written there, how often, who found it, how sure."""

    id: str
    entity: str
    written: str
    start: int
    end: int
    times: int
    type: str
    extractor: str
    confidence: float
    seen_at: datetime
    passage: PassageAt

    def to_wire(self) -> Wire:
        """The shape of the wire."""
        return {
            "id": self.id,
            "entity": self.entity,
            "written": self.written,
            "start": self.start,
            "end": self.end,
            "times": self.times,
            "type": self.type,
            "extractor": self.extractor,
            "confidence": round(self.confidence, 3),
            "seen_at": self.seen_at.isoformat(),
            "passage": self.passage.to_wire(),
        }


@dataclass(frozen=True, slots=True)
class Relation:
    """A tie between two nodes: its strength over all sources, when it holds, and the passage that says it best."""

    from_id: str
    to_id: str
    type: str
    weight: float
    confidence: float
    sources: int
    extractors: tuple[str, ...]
    valid_from: date | None
    valid_to: date | None
    seen_at: datetime
    passage: PassageAt | None
    label: Label = field(default_factory=Label)

    def to_wire(self) -> Wire:
        """The shape of the wire. `valid_to` is the first day on which it no longer holds."""
        return {
            "from": self.from_id,
            "to": self.to_id,
            "type": self.type,
            "weight": round(self.weight, 3),
            "confidence": round(self.confidence, 3),
            "sources": self.sources,
            "extractors": list(self.extractors),
            "valid_from": _day(self.valid_from),
            "valid_to": _day(self.valid_to),
            "seen_at": self.seen_at.isoformat(),
            "passage": self.passage.to_wire() if self.passage else None,
            "label": self.label.to_wire(),
        }


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An entity near another: how many steps, by which tie (as read from the nearer node), how strongly."""

    entity: Entity
    hops: int
    type: str
    forward: bool
    weight: float
    via: str

    def to_wire(self) -> Wire:
        """The shape of the wire."""
        return {
            "entity": self.entity.to_wire(),
            "hops": self.hops,
            "type": self.type,
            "forward": self.forward,
            "weight": round(self.weight, 3),
            "via": self.via,
        }


@dataclass(frozen=True, slots=True)
class Subgraph:
    """Some nodes with the ties among them; `label` is the join of everything in it."""

    entities: tuple[Entity, ...]
    relations: tuple[Relation, ...]
    truncated: bool
    label: Label = field(default_factory=Label)

    def to_wire(self) -> Wire:
        """The shape of the wire."""
        return {
            "entities": [one.to_wire() for one in self.entities],
            "relations": [one.to_wire() for one in self.relations],
            "truncated": self.truncated,
            "label": self.label.to_wire(),
        }


@dataclass(frozen=True, slots=True)
class Path:
    """A way from one entity to another: `nodes[i]` and `nodes[i + 1]` are tied by `types[i]`."""

    nodes: tuple[Entity, ...]
    types: tuple[str, ...]

    def to_wire(self) -> Wire:
        """The shape of the wire."""
        return {"nodes": [one.to_wire() for one in self.nodes], "types": list(self.types)}


@dataclass(frozen=True, slots=True)
class Episode:
    """Something with a time: a dated sentence, or a version of a document that came in.

    `valid_from` to `valid_to` is when it was so, `seen_at` when this house learned it.
    """

    kind: str
    valid_from: date | None
    valid_to: date | None
    precision: str
    seen_at: datetime
    entities: tuple[str, ...]
    passage: PassageAt

    def to_wire(self) -> Wire:
        """The shape of the wire."""
        return {
            "kind": self.kind,
            "valid_from": _day(self.valid_from),
            "valid_to": _day(self.valid_to),
            "precision": self.precision,
            "seen_at": self.seen_at.isoformat(),
            "entities": list(self.entities),
            "passage": self.passage.to_wire(),
        }


@dataclass(frozen=True, slots=True)
class Candidate:
    """An entity that a name may mean, with the reasons and a score from 0 to 1."""

    entity: Entity
    score: float
    reasons: tuple[str, ...]

    def to_wire(self) -> Wire:
        """The shape of the wire."""
        return {"entity": self.entity.to_wire(), "score": round(self.score, 3), "reasons": list(self.reasons)}


@dataclass(frozen=True, slots=True)
class Decision:
    """A merge or a split: of what, who, why; and whether it was undone."""

    id: str
    kind: str
    entities: tuple[str, ...]
    who: str
    why: str
    made_at: datetime
    undone_at: datetime | None = None
    undone_by: str | None = None
    made: str | None = None
    """Of a split: the new entity."""

    def to_wire(self) -> Wire:
        """The shape of the wire."""
        return {
            "id": self.id,
            "kind": self.kind,
            "entities": list(self.entities),
            "who": self.who,
            "why": self.why,
            "made_at": self.made_at.isoformat(),
            "undone_at": self.undone_at.isoformat() if self.undone_at else None,
            "undone_by": self.undone_by,
            "made": self.made,
        }


@dataclass(frozen=True, slots=True)
class Community:
    """Entities that belong together. `summary` cites its sources by number: `sources[0]` is [1]."""

    id: str
    level: int
    parent: str | None
    size: int
    entities: tuple[Entity, ...]
    summary: str
    made_by: str
    made_at: datetime
    stale: bool
    """Some of what it was made from is gone: make them anew."""
    sources: tuple[PassageAt, ...]
    label: Label = field(default_factory=Label)

    def to_wire(self) -> Wire:
        """The shape of the wire."""
        return {
            "id": self.id,
            "level": self.level,
            "parent": self.parent,
            "size": self.size,
            "entities": [one.to_wire() for one in self.entities],
            "summary": self.summary,
            "made_by": self.made_by,
            "made_at": self.made_at.isoformat(),
            "stale": self.stale,
            "sources": [one.to_wire() for one in self.sources],
            "label": self.label.to_wire(),
        }


@dataclass(frozen=True, slots=True)
class GraphStatistics:
    """How large the graph is that the caller may see."""

    entities: int
    mentions: int
    relations: int
    facts: int
    citations: int
    communities: int
    by_type: dict[str, int]
    by_relation: dict[str, int]
    by_extractor: dict[str, int]

    def to_wire(self) -> Wire:
        """The shape of the wire."""
        return {
            "entities": self.entities,
            "mentions": self.mentions,
            "relations": self.relations,
            "facts": self.facts,
            "citations": self.citations,
            "communities": self.communities,
            "by_type": self.by_type,
            "by_relation": self.by_relation,
            "by_extractor": self.by_extractor,
        }
