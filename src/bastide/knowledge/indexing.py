"""Indexing: a document's row and label, the index that goes with it, the tenant's extent. Inside a transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from bastide.audit import JsonValue
from bastide.knowledge.graph import forget_graph
from bastide.knowledge.preparing import Prepared
from bastide.policy import Label
from bastide.store import Db, Json, queries

_Q = queries("bastide.knowledge")
_RELABEL, _FORGET_SUBJECTS, _ADD_SUBJECTS = _Q["relabel_document"], _Q["forget_subjects"], _Q["add_subjects"]
_EXTENT_OF, _GROW_EXTENT, _TRIM_EXTENT = _Q["extent_of_document"], _Q["grow_extent"], _Q["trim_extent"]
_FORGET_CHUNKS, _FORGET_POSTINGS, _FORGET_NODES = _Q["forget_chunks"], _Q["forget_postings"], _Q["forget_nodes"]
_FORGET_MENTIONS, _FORGET_PAGES = _Q["forget_mentions"], _Q["forget_pages"]


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
