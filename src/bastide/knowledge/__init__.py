"""Knowledge: what a tenant has written down, found again with its source.

Documents enter by `ingest` and leave by `delete`; between the two, `search` answers with passages and
`answer` with sentences that cite them. A document has three layers that one DELETE removes together: its
bytes, given back bit for bit; its structure, with offsets; its chunks, with words and vectors. Nothing
here chooses a model or a place: see `inference` and `policy`.
"""

from bastide.knowledge.graph import GraphType
from bastide.knowledge.knowledge import Knowledge
from bastide.knowledge.projections import Departure, NewProjection, Projection, Projections
from bastide.knowledge.reading.ocr import available as scans_are_read
from bastide.knowledge.told import Answer, Telling, Turn, Unsupported
from bastide.knowledge.values import (
    Chunk,
    Collection,
    Document,
    Ingested,
    IngestedDocument,
    Original,
    Passage,
    SearchResult,
    Statistics,
)
from bastide.knowledge.watching import WatchedFile

__all__ = [
    "Answer",
    "Chunk",
    "Collection",
    "Departure",
    "Document",
    "GraphType",
    "Ingested",
    "IngestedDocument",
    "Knowledge",
    "NewProjection",
    "Original",
    "Passage",
    "Projection",
    "Projections",
    "SearchResult",
    "Statistics",
    "Telling",
    "Turn",
    "Unsupported",
    "WatchedFile",
    "scans_are_read",
]
