"""Writing: everything that documents are made of, many documents in one statement a table. Inside a transaction.

A statement costs what a passage does, so what is taken in together is written together: the rows of all documents as
columns, each row with the number of its document.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import numpy as np

from bastide.knowledge.graph import write_graphs
from bastide.knowledge.indexing import Known, Vectors
from bastide.knowledge.likeness import Sketch, write_likenesses
from bastide.knowledge.naming import marks, named, word_sketches
from bastide.knowledge.preparing import Prepared
from bastide.knowledge.reading import Box, Node, PageRead, Piece, Reading
from bastide.knowledge.recipe import RECIPE
from bastide.knowledge.weaving import MENTION
from bastide.store import Db, queries

_Q = queries("bastide.knowledge")
_ADD_VERSIONS, _ADD_NODES, _ADD_CHUNKS = _Q["add_versions"], _Q["add_nodes"], _Q["add_chunks"]
_ADD_POSTINGS, _ADD_EMBEDDINGS, _ADD_MENTIONS = _Q["add_postings"], _Q["add_embeddings"], _Q["add_mentions"]
_KNOWN_NODES, _ADD_PAGES = _Q["nodes_known"], _Q["add_pages"]

_UNIT_SEPARATOR = "\x1f"

ChunkOf = Mapping[int, int]
"""The chunk of each piece's ord."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A document whose row is there, with all that is to be written of its current version."""

    here: Known
    blob: str
    size: int
    prepared: Prepared
    vectors: Vectors
    alike: Sketch
    new: bool = False
    """Its row was made in this transaction: nothing of it was here before."""


@dataclass(frozen=True, slots=True)
class _Names:
    """The ids of a version's nodes, what they are known by, and the last id that was ever given out."""

    ids: Sequence[int]
    marks: Sequence[int]
    sketches: Sequence[int]
    last: int


async def write_entries(db: Db, entries: Sequence[Entry]) -> None:
    """The versions with their structure, chunks, words, phrases, names, vectors and sketches."""
    if not entries:
        return
    names = await _names_of(db, entries)
    await _write_versions(db, entries, names)
    await _write_nodes(db, entries, names)
    for one in entries:
        await _write_pages(db, one.here.number, one.prepared.reading.page_reads)
    await write_likenesses(db, [(one.here.number, one.alike) for one in entries])
    worded = [one for one in entries if one.prepared.pieces]
    if not worded:
        return
    chunks = await _write_chunks(db, worded)
    postings = await asyncio.to_thread(_posting_columns, worded, chunks)
    await db.run(_ADD_POSTINGS, **postings)
    await db.run(_ADD_MENTIONS, **_mention_columns(worded, chunks))
    await write_graphs(db, [(one.here.number, one.prepared.graph, of) for one, of in zip(worded, chunks, strict=True)])
    await _write_embeddings(db, worded, chunks)


async def _names_of(db: Db, entries: Sequence[Entry]) -> list[_Names]:
    """Ids for the nodes of each document; one that was there in the version before keeps its own."""
    before: list[dict[str, Any]] = []
    for one in entries:
        known = None if one.new else await db.row(dict, _KNOWN_NODES, document=one.here.number)
        before.append(known or {"ids": [], "marks": [], "sketches": [], "last": -1})
    return await asyncio.to_thread(_all_named, entries, before)


def _all_named(entries: Sequence[Entry], before: Sequence[Mapping[str, Any]]) -> list[_Names]:
    readings = [one.prepared.reading for one in entries]
    words = iter(word_sketches(*readings))
    return [
        _named(reading, known, list(islice(words, len(reading.nodes))))
        for reading, known in zip(readings, before, strict=True)
    ]


def _named(reading: Reading, known: Mapping[str, Any], words: Sequence[int]) -> _Names:
    own = marks(reading)
    ids, last = named(known["ids"], known["marks"], known["last"], own, sketched=(known["sketches"], words))
    return _Names(ids, own, words, last)


async def _write_versions(db: Db, entries: Sequence[Entry], names: Sequence[_Names]) -> None:
    """One row for each version: what it is and what was found in it."""
    readings = [one.prepared.reading for one in entries]
    await db.run(
        _ADD_VERSIONS,
        documents=[one.here.number for one in entries],
        versions=[one.here.version for one in entries],
        fingerprints=[one.here.fingerprint for one in entries],
        blobs=[one.blob for one in entries],
        bytes=[one.size for one in entries],
        media_types=[reading.media_type for reading in readings],
        titles=[one.prepared.reading.title or one.here.name for one in entries],
        languages=[reading.language for reading in readings],
        pages=[reading.pages for reading in readings],
        chunks=[len(one.prepared.pieces) for one in entries],
        problems=[json.dumps(_problems(one)) for one in entries],
        marks=[json.dumps(reading.marks) for reading in readings],
        node_ids=[_array(one.ids) for one in names],
        node_marks=[_array(one.marks) for one in names],
        node_sketches=[_array(one.sketches) for one in names],
        node_lasts=[one.last for one in names],
        recipe=RECIPE,
    )


def _problems(one: Entry) -> list[str]:
    return [*one.prepared.reading.problems, *([one.vectors.problem] if one.vectors.problem else [])]


async def _write_nodes(db: Db, entries: Sequence[Entry], names: Sequence[_Names]) -> None:
    nodes: list[Node] = [node for one in entries for node in one.prepared.reading.nodes]
    await db.run(
        _ADD_NODES,
        documents=_repeated([(one.here.number, len(one.prepared.reading.nodes)) for one in entries]),
        ords=[node.ord for node in nodes],
        parents=[node.parent for node in nodes],
        kinds=[node.kind for node in nodes],
        levels=[node.level for node in nodes],
        titles=[node.title for node in nodes],
        starts=[node.start for node in nodes],
        ends=[node.end for node in nodes],
        pages=[node.page for node in nodes],
        languages=[node.language for node in nodes],
        ids=list(chain.from_iterable(one.ids for one in names)),
        boxes=[_boxes(node.boxes) for node in nodes],
        cells=[_cells(node) for node in nodes],
        sources=[node.source for node in nodes],
        confidences=[node.confidence for node in nodes],
    )


async def _write_pages(db: Db, number: int, pages: Sequence[PageRead]) -> None:
    """How each page was read."""
    if not pages:
        return
    await db.run(
        _ADD_PAGES,
        document=number,
        pages=[page.page for page in pages],
        widths=[page.width for page in pages],
        heights=[page.height for page in pages],
        tiers=[page.tier for page in pages],
        engines=[page.engine for page in pages],
        languages=[page.language for page in pages],
        bands=[page.band for page in pages],
        confidences=[page.confidence for page in pages],
        coverages=[page.coverage for page in pages],
        rotations=[page.rotation for page in pages],
        reasons=[page.reason for page in pages],
        doubts=[json.dumps(page.doubts) for page in pages],
        receipts=[json.dumps(page.receipts) for page in pages],
    )


async def _write_chunks(db: Db, entries: Sequence[Entry]) -> list[ChunkOf]:
    """The chunks; what each got as its id, document by document."""
    pieces: list[Piece] = [piece for one in entries for piece in one.prepared.pieces]
    usual = [one.prepared.reading.language for one in entries for _ in one.prepared.pieces]
    written: list[tuple[int, int, int]] = await db.rows(
        tuple,
        _ADD_CHUNKS,
        documents=_repeated([(one.here.number, len(one.prepared.pieces)) for one in entries]),
        ords=[piece.ord for piece in pieces],
        nodes=[piece.node for piece in pieces],
        sections=[_path(piece.section) for piece in pieces],
        pages=[piece.page for piece in pieces],
        starts=[piece.start for piece in pieces],
        ends=[piece.end for piece in pieces],
        texts=[piece.text for piece in pieces],
        languages=[piece.language or language for piece, language in zip(pieces, usual, strict=True)],
        words=[piece.words for piece in pieces],
        lengths=[length for one in entries for length in one.prepared.lengths],
        parents=[piece.parent for piece in pieces],
        boxes=[_boxes(piece.boxes) for piece in pieces],
    )
    found: dict[int, dict[int, int]] = {one.here.number: {} for one in entries}
    for document, ord, chunk in written:
        found[document][ord] = chunk
    return [found[one.here.number] for one in entries]


async def _write_embeddings(db: Db, entries: Sequence[Entry], chunks: Sequence[ChunkOf]) -> None:
    rows = [
        (one.here.number, of[piece.ord], vectors.model, text)
        for one, of in zip(entries, chunks, strict=True)
        for vectors in (one.vectors, *one.vectors.beside)
        if vectors.texts
        for piece, text in zip(one.prepared.pieces, vectors.texts, strict=True)
    ]
    if rows:
        documents, places, models, texts = (list(column) for column in zip(*rows, strict=True))
        await db.run(_ADD_EMBEDDINGS, documents=documents, chunks=places, models=models, vectors=texts)


def _posting_columns(entries: Sequence[Entry], chunks: Sequence[ChunkOf]) -> dict[str, Any]:
    """The postings as columns, sorted by term so that the index is filled in order."""
    rows = sorted(
        (term, place, hits) for place, one in enumerate(entries) for term, hits in one.prepared.postings.items()
    )
    numbers = [one.here.number for one in entries]
    return {
        "documents": [numbers[place] for _, place, _ in rows],
        "terms": [term for term, _, _ in rows],
        "chunks": [_array([chunks[place][ord] for ord, _ in hits]) for _, place, hits in rows],
        "counts": [_array([count for _, count in hits]) for _, _, hits in rows],
    }


def _mention_columns(entries: Sequence[Entry], chunks: Sequence[ChunkOf]) -> dict[str, list[Any]]:
    """The phrases as the arrays in bytes of `knowledge.mention`."""
    each = [one.prepared for one in entries]
    return {
        "documents": [one.here.number for one in entries],
        "chunks": [
            np.array([of[piece.ord] for piece in prepared.pieces], "<i8").tobytes()
            for prepared, of in zip(each, chunks, strict=True)
        ],
        "sizes": [
            np.array([len(packed) // MENTION.itemsize for packed in prepared.phrases], "<i4").tobytes()
            for prepared in each
        ],
        "phrases": [b"".join(prepared.phrases) for prepared in each],
    }


def _repeated(counts: Sequence[tuple[int, int]]) -> list[int]:
    return [number for number, count in counts for _ in range(count)]


def _array(numbers: Sequence[int]) -> str:
    return "{" + ",".join(map(str, numbers)) + "}"


def _path(section: Sequence[str]) -> str:
    return _UNIT_SEPARATOR.join(part.replace(_UNIT_SEPARATOR, " ") for part in section)


def _boxes(boxes: Sequence[Box]) -> str:
    return json.dumps([_edges(box) for box in boxes], separators=(",", ":")) if boxes else "[]"


def _edges(box: Box) -> list[float]:
    return [box.page, box.left, box.top, box.right, box.bottom]


def _cells(node: Node) -> str:
    found = [
        [cell.column, cell.start, cell.end, cell.span, cell.header, _edges(cell.box) if cell.box else None]
        for cell in node.cells
    ]
    return json.dumps(found, separators=(",", ":")) if found else "[]"
