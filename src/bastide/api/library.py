"""The library: documents and collections shown in their layers, relabelled, indexed anew, deleted; search; answers."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import Any

from bastide.api.operations import Ask, Nothing, Operation, routes
from bastide.api.paging import page, whole
from bastide.api.shapes import knowledge as shapes
from bastide.api.shapes.ground import Listed, Pages, Removed
from bastide.knowledge import Ingested, Turn
from bastide.policy import Label

Wire = dict[str, Any]

READ, WRITE, ERASE = "knowledge:read", "knowledge:write", "knowledge:erase"


# -- documents --------------------------------------------------------------------------------------


async def add_text(ask: Ask[shapes.TextTold]) -> Wire:
    """A document given as text. One whose content is known already is `unchanged`."""
    given = ask.given
    taken = await ask.rooms.knowledge.ingest(
        ask.caller.scope,
        given.name,
        given.text.encode(),
        collection=given.collection or "default",
        label=given.label,
        subjects=given.subjects,
        metadata=given.metadata,
    )
    return taken.to_wire()


async def list_documents(ask: Ask[shapes.WhichDocuments]) -> Wire:
    """Newest first."""
    return page("documents", await ask.rooms.knowledge.documents(ask.caller.scope, **ask.given.model_dump()))


async def show_document(ask: Ask[Nothing]) -> Wire:
    """The document in its current version."""
    return (await ask.rooms.knowledge.document(ask.caller.scope, ask.id)).to_wire()


async def relabel(ask: Ask[shapes.Relabel]) -> Wire:
    """Tightening is free; loosening is a declassification, needs policy:manage and a reason, and is recorded.

    Metadata is changed key by key; which keys is recorded.
    """
    said = ask.given
    changed = await ask.rooms.knowledge.relabel(
        ask.caller.scope, ask.id, said.label or {}, reason=said.reason, metadata=said.metadata
    )
    return changed.to_wire()


async def delete_document(ask: Ask[shapes.WhyDelete]) -> Wire:
    """All its versions and everything made from them, in one transaction."""
    await ask.rooms.knowledge.delete(ask.caller.scope, ask.id, reason=ask.given.reason)
    return {"id": ask.id, "removed": True}


async def reindex(ask: Ask[Nothing]) -> Wire:
    """Read, cut, embed and index its original again."""
    return Ingested((await ask.rooms.knowledge.reindex(ask.caller.scope, ask.id),)).to_wire()


async def structure(ask: Ask[Nothing]) -> Wire:
    """The tree of headings, sections and paragraphs with their offsets, in reading order."""
    nodes = await ask.rooms.knowledge.structure(ask.caller.scope, ask.id)
    return whole("nodes", [node.to_wire() for node in nodes])


async def chunks(ask: Ask[Pages]) -> Wire:
    """What is searched and cited as a whole, in reading order."""
    return page("chunks", await ask.rooms.knowledge.chunks(ask.caller.scope, ask.id, **ask.given.model_dump()))


async def pages(ask: Ask[Nothing]) -> Wire:
    """By which tier each page was read, how sure that is, and why; none for a format without pages."""
    return whole("pages", [asdict(one) for one in await ask.rooms.knowledge.pages(ask.caller.scope, ask.id)])


async def diff(ask: Ask[shapes.WhichVersions]) -> Wire:
    """What was added, removed, changed and moved, node by node, in reading order."""
    found = await ask.rooms.knowledge.diff(ask.caller.scope, ask.id, **ask.given.model_dump())
    return whole("changes", [change.to_wire() for change in found])


async def versions(ask: Ask[Nothing]) -> Wire:
    """Newest first; of those that were replaced the original is kept."""
    found = await ask.rooms.knowledge.versions(ask.caller.scope, ask.id)
    return whole("versions", [version.to_wire() for version in found])


# -- collections ------------------------------------------------------------------------------------


async def list_collections(ask: Ask[Nothing]) -> Wire:
    """By name."""
    found = await ask.rooms.knowledge.collections(ask.caller.scope)
    return whole("collections", [one.to_wire() for one in found])


async def add_collection(ask: Ask[shapes.NewCollection]) -> Wire:
    """One that is there stays as it is."""
    return (await ask.rooms.knowledge.add_collection(ask.caller.scope, ask.given.name)).to_wire()


async def delete_collection(ask: Ask[Nothing]) -> Wire:
    """Its documents have to go first."""
    await ask.rooms.knowledge.delete_collection(ask.caller.scope, ask.id)
    return {"id": ask.id, "removed": True}


# -- questions --------------------------------------------------------------------------------------


async def search(ask: Ask[shapes.Search]) -> Wire:
    """Passages that best answer the query, best first, each with where it stands. Finding none is no error."""
    return (await ask.rooms.knowledge.search(ask.caller.scope, **ask.given.model_dump())).to_wire()


async def answer(ask: Ask[shapes.Question]) -> Wire:
    """An answer whose sentences cite passages by number; extractive where no model is allowed, and it says so."""
    return (await ask.rooms.knowledge.answer(ask.caller.scope, **await asked(ask))).to_wire()


async def asked(ask: Ask[shapes.Question]) -> dict[str, Any]:
    """What the room is asked: the turns before carry their labels, or the tenant's default."""
    said = ask.given
    turns: list[Turn] = []
    if said.history:
        default = (await ask.rooms.policy.refresh(ask.caller.scope)).default
        turns = [Turn(one.question, one.answer, Label.from_wire(one.label or {}, default)) for one in said.history]
    return {**said.model_dump(exclude={"history"}), "history": turns}


async def statistics(ask: Ask[Nothing]) -> Wire:
    """Documents, chunks, languages; `queued` are documents that cannot be searched yet."""
    return (await ask.rooms.knowledge.statistics(ask.caller.scope)).to_wire()


_ALL, _ONE = "/api/v1/documents", "/api/v1/documents/{id}"
_SHELVES, _SHELF = "/api/v1/collections", "/api/v1/collections/{name}"

_COUNTS = "/api/v1/knowledge/statistics"
_D, _C = "document", "collection"

ADD_TEXT = Operation(
    "documents.add", "POST", _ALL, "Take a text in", add_text, shapes.TextTold, shapes.Ingested, 201, needs=WRITE
)
ANSWER = Operation(
    "answer",
    "POST",
    "/api/v1/answer",
    "Answer a question from the documents",
    answer,
    shapes.Question,
    shapes.Answer,
    needs=READ,
    effect="reads",
)
"""Both addresses take or give more than a message can hold, files and streams: their routes stand elsewhere."""

_reads = partial(Operation, needs=READ)
_writes = partial(Operation, needs=WRITE)
_erases = partial(Operation, needs=ERASE)

_DOCUMENTS = (
    _reads("documents.list", "GET", _ALL, "List the documents", list_documents, shapes.WhichDocuments, Listed),
    _reads("documents.get", "GET", _ONE, "Show a document", show_document, answer=shapes.Document, of=_D),
    _writes(
        "documents.relabel", "PATCH", _ONE, "Relabel or describe it", relabel, shapes.Relabel, shapes.Document, of=_D
    ),
    _erases("documents.delete", "DELETE", _ONE, "Delete a document", delete_document, shapes.WhyDelete, Removed, of=_D),
    _writes("documents.reindex", "POST", f"{_ONE}:reindex", "Index it anew", reindex, answer=shapes.Ingested, of=_D),
    _reads("documents.structure", "GET", f"{_ONE}/structure", "The structure layer", structure, answer=Listed, of=_D),
    _reads("documents.chunks", "GET", f"{_ONE}/chunks", "The chunks", chunks, Pages, Listed, of=_D),
    _reads("documents.pages", "GET", f"{_ONE}/pages", "How each page was read", pages, answer=Listed, of=_D),
    _reads("documents.diff", "GET", f"{_ONE}/diff", "What differs", diff, shapes.WhichVersions, Listed, of=_D),
    _reads("documents.versions", "GET", f"{_ONE}/versions", "The versions", versions, answer=Listed, of=_D),
)
_COLLECTIONS = (
    _reads("collections.list", "GET", _SHELVES, "List the collections", list_collections, answer=Listed),
    _writes(
        "collections.add",
        "POST",
        _SHELVES,
        "Make a collection",
        add_collection,
        shapes.NewCollection,
        shapes.Shelf,
        201,
    ),
    _erases(
        "collections.delete", "DELETE", _SHELF, "Delete an empty collection", delete_collection, answer=Removed, of=_C
    ),
)
_QUESTIONS = (
    _reads("search", "POST", "/api/v1/search", "Search", search, shapes.Search, shapes.Found, effect="reads"),
    _reads("knowledge.statistics", "GET", _COUNTS, "How much is here", statistics, answer=shapes.Statistics),
)
TABLE = (*_DOCUMENTS, *_COLLECTIONS, *_QUESTIONS)

router = routes(TABLE, tag="library")
