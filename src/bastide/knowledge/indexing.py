"""Indexing: what of a document is written to the tables, and how the tenant's extent follows. Inside a transaction."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np

from bastide.audit import JsonValue
from bastide.knowledge.graph import forget_graph, write_graph
from bastide.knowledge.naming import marks, named, word_sketches
from bastide.knowledge.preparing import Prepared
from bastide.knowledge.reading import Box, Node, PageRead
from bastide.knowledge.recipe import RECIPE
from bastide.knowledge.weaving import MENTION
from bastide.policy import Label
from bastide.store import Db, Json, queries

_Q = queries("bastide.knowledge")
_ADD_VERSION, _ADD_NODES, _ADD_CHUNKS = _Q["add_version"], _Q["add_nodes"], _Q["add_chunks"]
_ADD_POSTINGS, _ADD_EMBEDDINGS = _Q["add_postings"], _Q["add_embeddings"]
_ADD_MENTIONS, _FORGET_MENTIONS = _Q["add_mentions"], _Q["forget_mentions"]
_RELABEL, _FORGET_SUBJECTS, _ADD_SUBJECTS = _Q["relabel_document"], _Q["forget_subjects"], _Q["add_subjects"]
_EXTENT_OF, _GROW_EXTENT, _TRIM_EXTENT = _Q["extent_of_document"], _Q["grow_extent"], _Q["trim_extent"]
_FORGET_CHUNKS, _FORGET_POSTINGS, _FORGET_NODES = _Q["forget_chunks"], _Q["forget_postings"], _Q["forget_nodes"]

_KNOWN_NODES, _NAME_NODES = _Q["nodes_known"], _Q["name_nodes"]
_ADD_PAGES, _FORGET_PAGES = _Q["add_pages"], _Q["forget_pages"]

_UNIT_SEPARATOR = "\x1f"


@dataclass(frozen=True, slots=True)
class Known:
    """A document that is here, in its current version; its row is locked when it was found by name or id."""

    id: str
    number: int
    collection: str
    name: str
    version: int
    label: dict[str, object]
    fingerprint: bytes
    chunks: int


@dataclass(frozen=True, slots=True)
class Vectors:
    """The embeddings of a document's chunks, as the database reads them; `problem` says why there are none.

    `beside` are those of further embedders.
    """

    model: str = ""
    texts: Sequence[str] = ()
    problem: str = ""
    beside: tuple[Vectors, ...] = ()


async def write_version(db: Db, here: Known, *, blob: str, size: int, prepared: Prepared, vectors: Vectors) -> None:
    """One row for this version: what it is and what was found in it."""
    reading = prepared.reading
    await db.run(
        _ADD_VERSION,
        document=here.number,
        version=here.version,
        fingerprint=here.fingerprint,
        blob=blob,
        bytes=size,
        media_type=reading.media_type,
        title=reading.title or here.name,
        language=reading.language,
        pages=reading.pages,
        chunks=len(prepared.pieces),
        problems=[*reading.problems, *([vectors.problem] if vectors.problem else [])],
        marks=list(reading.marks),
    )


def label_change(before: Label, after: Label, reason: str) -> dict[str, JsonValue]:
    """A change of label as the audit log keeps it."""
    return {"from": cast("JsonValue", before.to_wire()), "to": cast("JsonValue", after.to_wire()), "reason": reason}


async def write_label(db: Db, number: int, label: Label) -> None:
    """Give a document another label, and make it findable by the subjects in it."""
    await db.run(_RELABEL, document=number, label=Json(label.to_wire()))
    await write_subjects(db, number, label)


async def write_subjects(db: Db, number: int, label: Label) -> None:
    """Whom the document is about, as its label says."""
    await db.run(_FORGET_SUBJECTS, document=number)
    if label.subjects:
        await db.run(_ADD_SUBJECTS, document=number, subjects=sorted(label.subjects))


async def write_index(db: Db, number: int, prepared: Prepared, vectors: Vectors) -> None:
    """The structure, the chunks, their words, their phrases and their vectors."""
    pieces, usual = prepared.pieces, prepared.reading.language
    await _write_nodes(db, number, prepared)
    await _write_pages(db, number, prepared.reading.page_reads)
    if not pieces:
        return
    written: list[tuple[int, int]] = await db.rows(
        tuple,
        _ADD_CHUNKS,
        document=number,
        ords=[piece.ord for piece in pieces],
        nodes=[piece.node for piece in pieces],
        sections=[_path(piece.section) for piece in pieces],
        pages=[piece.page for piece in pieces],
        starts=[piece.start for piece in pieces],
        ends=[piece.end for piece in pieces],
        texts=[piece.text for piece in pieces],
        languages=[piece.language or usual for piece in pieces],
        words=[piece.words for piece in pieces],
        lengths=list(prepared.lengths),
        parents=[piece.parent for piece in pieces],
        boxes=[_boxes(piece.boxes) for piece in pieces],
    )
    chunk_of = dict(written)
    columns = await asyncio.to_thread(_posting_columns, prepared, chunk_of)
    await db.run(_ADD_POSTINGS, document=number, **columns)
    await db.run(_ADD_MENTIONS, document=number, **_mention_columns(prepared, chunk_of))
    await write_graph(db, number, prepared.graph, chunk_of)
    for one in (vectors, *vectors.beside):
        if one.texts:
            await db.run(
                _ADD_EMBEDDINGS,
                document=number,
                model=one.model,
                chunks=[chunk_of[piece.ord] for piece in pieces],
                vectors=list(one.texts),
            )


async def _write_nodes(db: Db, number: int, prepared: Prepared) -> None:
    """The structure; a node that was there in the version before keeps its id."""
    nodes = prepared.reading.nodes
    known = await db.row(dict, _KNOWN_NODES, document=number) or {"ids": [], "marks": [], "sketches": [], "last": -1}
    own = await asyncio.to_thread(marks, prepared.reading)
    words = await asyncio.to_thread(word_sketches, prepared.reading)
    before = known["ids"], known["marks"], known["last"]
    ids, last = await asyncio.to_thread(partial(named, *before, own, sketched=(known["sketches"], words)))
    await db.run(_NAME_NODES, document=number, ids=ids, marks=own, sketches=words, last=last, recipe=RECIPE)
    await db.run(
        _ADD_NODES,
        document=number,
        ords=[node.ord for node in nodes],
        parents=[node.parent for node in nodes],
        kinds=[node.kind for node in nodes],
        levels=[node.level for node in nodes],
        titles=[node.title for node in nodes],
        starts=[node.start for node in nodes],
        ends=[node.end for node in nodes],
        pages=[node.page for node in nodes],
        languages=[node.language for node in nodes],
        ids=ids,
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


async def forget_index(db: Db, number: int) -> None:
    """Take a document out of the index; the document and its versions stay."""
    await db.run(_FORGET_POSTINGS, document=number)
    await db.run(_FORGET_MENTIONS, document=number)
    await forget_graph(db, number)
    await db.run(_FORGET_CHUNKS, document=number)  # embeddings go with them
    await db.run(_FORGET_NODES, document=number)
    await db.run(_FORGET_PAGES, document=number)


async def extent_of(db: Db, number: int) -> list[tuple[str, int, int]]:
    """What the document adds to the tenant's extent: (language, chunks, length)."""
    return await db.rows(tuple, _EXTENT_OF, document=number)


def growth(prepared: Prepared) -> dict[str, list[int]]:
    """Chunks and terms by language, as `write_extent` adds them."""
    usual = prepared.reading.language
    change: dict[str, list[int]] = {}
    for piece, length in zip(prepared.pieces, prepared.lengths, strict=True):
        add = change.setdefault(piece.language or usual, [0, 0])
        add[0] += 1
        add[1] += length
    return change


async def write_extent(db: Db, added: dict[str, list[int]], taken: Sequence[tuple[str, int, int]]) -> None:
    """Change the tenant's extent by what was added less what was taken away; `taken` is (language, chunks, length)."""
    change = {language: list(pair) for language, pair in added.items()}
    for language, chunks, length in taken:
        pair = change.setdefault(language, [0, 0])
        pair[0] -= chunks
        pair[1] -= length
    if change:
        await db.run(
            _GROW_EXTENT,
            languages=list(change),
            chunks=[pair[0] for pair in change.values()],
            lengths=[pair[1] for pair in change.values()],
        )
    if taken:
        await db.run(_TRIM_EXTENT)


def _path(section: Sequence[str]) -> str:
    return _UNIT_SEPARATOR.join(part.replace(_UNIT_SEPARATOR, " ") for part in section)


def _posting_columns(prepared: Prepared, chunk_of: dict[int, int]) -> dict[str, Any]:
    """The postings as columns, sorted by term so that the index is filled in order."""
    ordered = sorted(prepared.postings.items())
    return {
        "terms": [term for term, _ in ordered],
        "chunks": ["{" + ",".join(str(chunk_of[place]) for place, _ in hits) + "}" for _, hits in ordered],
        "counts": ["{" + ",".join(str(number) for _, number in hits) + "}" for _, hits in ordered],
    }


def _mention_columns(prepared: Prepared, chunk_of: dict[int, int]) -> dict[str, bytes]:
    """The phrases as the arrays in bytes of `knowledge.mention`."""
    return {
        "chunks": np.array([chunk_of[piece.ord] for piece in prepared.pieces], "<i8").tobytes(),
        "sizes": np.array([len(packed) // MENTION.itemsize for packed in prepared.phrases], "<i4").tobytes(),
        "phrases": b"".join(prepared.phrases),
    }
