"""What crosses the door of `knowledge`: documents, passages, answers. Offsets count characters of the plain text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal

from bastide.policy import Label

Mode = Literal["hybrid", "text", "vector", "graph"]
Status = Literal["ready", "queued", "unchanged", "refused"]
Wire = dict[str, object]


@dataclass(frozen=True, slots=True)
class IngestedDocument:
    """What became of one file. `error` has code, message and next step when it was refused."""

    id: str | None
    name: str
    status: Status
    chunks: int = 0
    version: int | None = None
    error: dict[str, str] | None = None
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ingested:
    """What became of the files that were handed in."""

    documents: tuple[IngestedDocument, ...]

    @property
    def ingested(self) -> int:
        """How many were taken in."""
        return self._count("ready")

    @property
    def unchanged(self) -> int:
        """How many were known by content."""
        return self._count("unchanged")

    @property
    def refused(self) -> int:
        """How many could not be read."""
        return self._count("refused")

    def _count(self, status: str) -> int:
        return sum(document.status == status for document in self.documents)

    def to_wire(self) -> Wire:
        """The shape of SURFACE."""
        return {
            "documents": [asdict(document) for document in self.documents],
            "ingested": self.ingested,
            "unchanged": self.unchanged,
            "refused": self.refused,
        }


@dataclass(frozen=True, slots=True)
class Document:
    """A document in its current version."""

    id: str
    collection: str
    name: str
    version: int
    label: Label
    created: datetime
    updated: datetime
    bytes: int
    media_type: str
    title: str
    language: str
    pages: int | None
    chunks: int
    problems: tuple[str, ...]
    marks: tuple[str, ...]
    metadata: dict[str, Any] = field(default_factory=dict)

    def to_wire(self) -> Wire:
        """The document as the wire shows it."""
        return {
            "id": self.id,
            "name": self.name,
            "title": self.title,
            "collection": self.collection,
            "version": self.version,
            "status": "ready",
            "media_type": self.media_type,
            "language": self.language,
            "bytes": self.bytes,
            "pages": self.pages,
            "chunks": self.chunks,
            "label": self.label.to_wire(),
            "problems": list(self.problems),
            "marks": list(self.marks),
            "metadata": dict(self.metadata),
            "created": self.created.isoformat(),
            "updated": self.updated.isoformat(),
        }


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a document; of those that are not current only the original is kept."""

    version: int
    current: bool
    bytes: int
    media_type: str
    title: str
    language: str
    pages: int | None
    chunks: int
    problems: list[str]
    created: datetime

    def to_wire(self) -> Wire:
        """The version as the wire shows it."""
        return {**asdict(self), "created": self.created.isoformat()}


@dataclass(frozen=True, slots=True)
class Original:
    """The bytes as they came in."""

    name: str
    version: int
    media_type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class StructureNode:
    """One place in the tree of a document; `parent` is the `ord` of the node it stands in."""

    ord: int
    parent: int | None
    kind: str
    level: int
    title: str
    start: int
    end: int
    page: int | None
    language: str
    id: int
    """What it is called in all versions of the document that hold it."""
    boxes: list[list[float]]
    """[page, left, top, right, bottom] on each page it stands on, in points from the upper left corner."""
    cells: list[list[Any]]
    """Of a table's row: [column, start, end, span, header, box] of each cell, with offsets in the row."""
    source: str
    """What says that it is what it is: markup, outline, font, layout, rules, alignment, words, ocr."""
    confidence: float

    def to_wire(self) -> Wire:
        """The node as the wire shows it."""
        return {**asdict(self), "confidence": round(self.confidence, 3)}


@dataclass(frozen=True, slots=True)
class Chunk:
    """One stretch of a document that is searched and cited as a whole."""

    ord: int
    node: int
    section: list[str]
    page: int | None
    start: int
    end: int
    text: str
    language: str
    words: int
    parent: int | None
    """The section it stands in, by its `ord`: what to show for more."""
    boxes: list[list[float]]
    """[page, left, top, right, bottom] on each page it stands on, in points from the upper left corner."""

    def to_wire(self) -> Wire:
        """The chunk as the wire shows it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Change:
    """One place in which two versions of a document differ."""

    what: Literal["added", "removed", "changed", "moved"]
    node: int
    """The id of the node, as `StructureNode.id`."""
    kind: str
    section: list[str]
    """The headings above it, in the newer version; in the older one for what was removed."""
    before: str
    """Its own words in the older version; "" for what was added."""
    after: str
    page: int | None

    def to_wire(self) -> Wire:
        """The change as the wire shows it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Collection:
    """A named shelf of documents."""

    name: str
    documents: int
    created: datetime

    def to_wire(self) -> Wire:
        """The collection as the wire shows it."""
        return {**asdict(self), "created": self.created.isoformat()}


@dataclass(frozen=True, slots=True)
class Why:
    """What put a passage where it is: the stems of the query in it, BM25 by stems and by 5-grams, cosine (None where
    it was not looked at), the share of the walk over phrases against the most, the phrases by which it came, and
    which ranking did most."""

    stems: tuple[str, ...]
    words: float
    grams: float
    cosine: float | None
    graph: float
    phrases: tuple[str, ...]
    by: Literal["words", "vectors", "graph"]
    rerank: float | None = None  # what a re-ranker gave it, where one read it
    hop: str = ""  # the part of the question that found it, or found it further up than the whole

    def to_wire(self) -> Wire:
        """The reasons as the wire shows them."""
        return {
            "by": self.by,
            "stems": list(self.stems),
            "phrases": list(self.phrases),
            "words": round(self.words, 4),
            "grams": round(self.grams, 4),
            "cosine": None if self.cosine is None else round(self.cosine, 4),
            "graph": round(self.graph, 4),
            **({"hop": self.hop} if self.hop else {}),
            **({} if self.rerank is None else {"rerank": round(self.rerank, 4)}),
        }


@dataclass(frozen=True, slots=True)
class Around:
    """What stands beside a passage in its document: `step` chunks before (negative) or after it."""

    step: int
    start: int
    end: int
    page: int | None
    text: str

    def to_wire(self) -> Wire:
        """The neighbour as the wire shows it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class CitedCell:
    """One cell of a table's row that is cited; `answers` where it tells what was asked."""

    column: int
    heading: str
    """Of its column; "" where the table has none."""
    text: str
    box: tuple[float, ...] | None
    """[page, left, top, right, bottom], in points from the upper left corner."""
    answers: bool

    def to_wire(self) -> Wire:
        """The cell as the wire shows it."""
        return {**asdict(self), "box": list(self.box) if self.box else None}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a cited sentence stands: the paragraph, row or figure, and its boxes, (page, edges) each."""

    kind: str
    start: int
    end: int
    page: int | None
    boxes: tuple[tuple[int, tuple[float, float, float, float]], ...]
    cells: tuple[CitedCell, ...] = ()

    def to_wire(self) -> Wire:
        """The place as the wire shows it."""
        return {
            "kind": self.kind,
            "start": self.start,
            "end": self.end,
            "page": self.page,
            "boxes": [{"page": page, "edges": list(edges)} for page, edges in self.boxes],
            "cells": [cell.to_wire() for cell in self.cells],
        }


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk that answers a query, with where it stands; `n` is its number in this answer, from 1.

    `highlights` are (start, end) in `text` of the words that matched; `why` and `around` are there on demand, `places`
    where an answer cites it.
    """

    n: int
    document_id: str
    name: str
    title: str
    collection: str
    section: tuple[str, ...]
    page: int | None
    start: int
    end: int
    text: str
    language: str
    score: float
    version: int
    label: Label
    highlights: tuple[tuple[int, int], ...] = ()
    why: Why | None = None
    around: tuple[Around, ...] = ()
    places: tuple[Place, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """That of its document."""

    def to_wire(self) -> Wire:
        """The shape of SURFACE; `why` and `around` only where they were asked for."""
        more: Wire = {}
        if self.why is not None:
            more["why"] = self.why.to_wire()
        if self.around:
            more["around"] = [one.to_wire() for one in self.around]
        if self.places:
            more["places"] = [one.to_wire() for one in self.places]
        return {
            "n": self.n,
            "document_id": self.document_id,
            "name": self.name,
            "title": self.title,
            "collection": self.collection,
            "section": list(self.section),
            "page": self.page,
            "start": self.start,
            "end": self.end,
            "text": self.text,
            "language": self.language,
            "score": round(self.score, 4),
            "version": self.version,
            "label": self.label.to_wire(),
            "metadata": dict(self.metadata),
            "highlights": [list(span) for span in self.highlights],
            **more,
        }


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Passages, best first. `notes` says what the search had to do without, such as vectors."""

    passages: tuple[Passage, ...]
    took_ms: float
    notes: tuple[str, ...] = ()
    receipts: Mapping[str, str] = field(default_factory=dict)

    def to_wire(self) -> Wire:
        """The shape of SURFACE."""
        return {
            "passages": [passage.to_wire() for passage in self.passages],
            "took_ms": round(self.took_ms, 2),
            "notes": list(self.notes),
            "receipts": dict(self.receipts),
        }


@dataclass(frozen=True, slots=True)
class Statistics:
    """How much a tenant has here."""

    documents: int
    chunks: int
    entities: int
    queued: int
    refused: int
    languages: dict[str, int]

    def to_wire(self) -> Wire:
        """The shape of SURFACE."""
        return asdict(self)
