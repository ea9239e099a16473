"""Keeping documents: who sees a collection and how long it is kept, holds, moving, likeness, quality, past answers."""

from __future__ import annotations

from functools import partial
from typing import Any

from bastide.api.operations import Ask, Nothing, Operation, routes
from bastide.api.paging import page, whole
from bastide.api.shapes import keeping as shapes
from bastide.api.shapes.ground import Listed, Pages
from bastide.api.shapes.knowledge import Document
from bastide.knowledge import WatchedFile

Wire = dict[str, Any]


# -- collections ------------------------------------------------------------------------------------


async def show_collection(ask: Ask[Nothing]) -> Wire:
    """With its members, none meaning everybody, and its retention."""
    return (await ask.rooms.knowledge.upkeep.collection(ask.caller.scope, ask.id)).to_wire()


async def set_members(ask: Ask[shapes.Members]) -> Wire:
    """Exactly these from now on; with none it is open to the tenant. Who is no member finds nothing of it, anywhere."""
    given = ask.given
    kept = await ask.rooms.knowledge.upkeep.set_members(ask.caller.scope, ask.id, given.members, reason=given.reason)
    return kept.to_wire()


async def set_retention(ask: Ask[shapes.Retention]) -> Wire:
    """The job `knowledge.retain` deletes what is past; schedule it."""
    given = ask.given
    kept = await ask.rooms.knowledge.upkeep.set_retention(ask.caller.scope, ask.id, given.days, reason=given.reason)
    return kept.to_wire()


# -- documents --------------------------------------------------------------------------------------


async def move(ask: Ask[shapes.Move]) -> Wire:
    """All or none; their ids stay, and so does what was answered from them."""
    given = ask.given
    moved = await ask.rooms.knowledge.upkeep.move(
        ask.caller.scope, given.documents, given.collection, reason=given.reason
    )
    return {"moved": moved, "collection": given.collection}


async def rename(ask: Ask[shapes.Rename]) -> Wire:
    """Its id stays."""
    given = ask.given
    renamed = await ask.rooms.knowledge.upkeep.rename(ask.caller.scope, ask.id, given.name, reason=given.reason)
    return renamed.to_wire()


async def preview_label(ask: Ask[shapes.LabelToBe]) -> Wire:
    """What another label would mean for the answers that were given from it; nothing is changed."""
    told = await ask.rooms.knowledge.upkeep.relabel(
        ask.caller.scope, ask.id, ask.given.label, reason="a preview", dry_run=True
    )
    return told.to_wire()


async def past_answers(ask: Ask[shapes.HowMany]) -> Wire:
    """Which answers cited it, under which label it stood then, and their receipts; newest first."""
    found = await ask.rooms.knowledge.upkeep.answers_from(ask.caller.scope, ask.id, limit=ask.given.limit)
    return whole("answers", [one.to_wire() for one in found])


async def hold(ask: Ask[shapes.Why]) -> Wire:
    """Nothing deletes it until it is released; whoever tries is told the reason."""
    await ask.rooms.knowledge.upkeep.hold(ask.caller.scope, ask.id, reason=ask.given.reason)
    return {"id": ask.id, "held": True}


async def release(ask: Ask[shapes.Why]) -> Wire:
    """It may be deleted like any other."""
    await ask.rooms.knowledge.upkeep.release(ask.caller.scope, ask.id, reason=ask.given.reason)
    return {"id": ask.id, "held": False}


async def list_holds(ask: Ask[Pages]) -> Wire:
    """By id, each with why it is kept and since when."""
    return page("holds", await ask.rooms.knowledge.upkeep.holds(ask.caller.scope, **ask.given.model_dump()))


# -- watched folders --------------------------------------------------------------------------------


async def watched(ask: Ask[Nothing]) -> Wire:
    """What the files of a watched folder were when they were last taken in; a folder is named by a hash."""
    found = await ask.rooms.knowledge.upkeep.watched(ask.caller.scope, ask.id)
    return {"files": [one.to_wire() for one in found]}


async def note_watched(ask: Ask[shapes.WatchedFile]) -> Wire:
    """Remember a file as it is now."""
    given = ask.given
    file = WatchedFile(given.path, given.document, given.bytes, given.modified)
    await ask.rooms.knowledge.upkeep.note_watched(ask.caller.scope, ask.id, file)
    return file.to_wire()


async def forget_watched(ask: Ask[shapes.Paths]) -> Wire:
    """These files are no longer there; their documents stay."""
    await ask.rooms.knowledge.upkeep.forget_watched(ask.caller.scope, ask.id, ask.given.paths)
    return {"forgotten": len(ask.given.paths)}


# -- the whole --------------------------------------------------------------------------------------


async def duplicates(ask: Ask[shapes.WhichAlike]) -> Wire:
    """Pairs of documents that say almost the same, the most alike first."""
    given = ask.given
    found = await ask.rooms.knowledge.upkeep.duplicates(
        ask.caller.scope,
        document_id=given.document,
        collection=given.collection,
        least=given.least,
        limit=given.limit,
    )
    return whole("pairs", [one.to_wire() for one in found])


async def quality(ask: Ask[shapes.OfCollection]) -> Wire:
    """What could not be read, and why, in counts."""
    return (await ask.rooms.knowledge.upkeep.quality(ask.caller.scope, collection=ask.given.collection)).to_wire()


async def doubtful(ask: Ask[shapes.Doubts]) -> Wire:
    """The documents behind those counts."""
    return page("documents", await ask.rooms.knowledge.upkeep.doubtful(ask.caller.scope, **ask.given.model_dump()))


async def list_embedders(ask: Ask[Nothing]) -> Wire:
    """Each embedder of each collection with how many of its chunks it has read; vectors that are left over, too."""
    return whole("embedders", [one.to_wire() for one in await ask.rooms.knowledge.upkeep.embedders(ask.caller.scope)])


async def switch_embedder_off(ask: Ask[shapes.OffEmbedder]) -> Wire:
    """Its vectors go in the same transaction. Another is switched on by the job knowledge.use_embedder."""
    given = ask.given
    await ask.rooms.knowledge.upkeep.switch_off(ask.caller.scope, given.model, collection=given.collection)
    return {"model": given.model, "collection": given.collection, "on": False}


_ONE, _SHELF = "/api/v1/documents/{id}", "/api/v1/collections/{name}"
_D, _C = "document", "collection"
_PLACE = "/api/v1/watched/{id}"
_reads = partial(Operation, needs="knowledge:read")
_writes = partial(Operation, needs="knowledge:write")
_manages = partial(Operation, needs="knowledge:manage")

TABLE = (
    _reads("collections.get", "GET", _SHELF, "Show a collection", show_collection, answer=shapes.Kept, of=_C),
    _reads(
        "collections.set-members",
        "PUT",
        f"{_SHELF}/members",
        "Say who sees a collection",
        set_members,
        shapes.Members,
        shapes.Kept,
        of=_C,
    ),
    _manages(
        "collections.set-retention",
        "PUT",
        f"{_SHELF}/retention",
        "Say how long a collection keeps its documents",
        set_retention,
        shapes.Retention,
        shapes.Kept,
        of=_C,
    ),
    _writes("documents.move", "POST", "/api/v1/documents:move", "Move documents", move, shapes.Move, shapes.Moved),
    _writes("documents.rename", "POST", f"{_ONE}:rename", "Rename a document", rename, shapes.Rename, Document, of=_D),
    _writes(
        "documents.preview-label",
        "POST",
        f"{_ONE}:preview-label",
        "What another label would mean",
        preview_label,
        shapes.LabelToBe,
        effect="reads",
        of=_D,
    ),
    _reads(
        "documents.answers",
        "GET",
        f"{_ONE}/answers",
        "What was answered from it",
        past_answers,
        shapes.HowMany,
        Listed,
        of=_D,
    ),
    _manages("documents.hold", "POST", f"{_ONE}:hold", "Keep a document", hold, shapes.Why, shapes.Held, of=_D),
    _manages("documents.release", "POST", f"{_ONE}:release", "End a hold", release, shapes.Why, shapes.Held, of=_D),
    _reads("holds.list", "GET", "/api/v1/holds", "List the documents on hold", list_holds, Pages, Listed),
    _reads("embedders.list", "GET", "/api/v1/embedders", "List the embedders", list_embedders, answer=Listed),
    _manages(
        "embedders.off",
        "POST",
        "/api/v1/embedders:off",
        "Switch an embedder off",
        switch_embedder_off,
        shapes.OffEmbedder,
        shapes.Off,
    ),
    _reads("watched.get", "GET", _PLACE, "What a watched folder held", watched, of="place"),
    _writes("watched.note", "PUT", _PLACE, "Remember a file", note_watched, shapes.WatchedFile, of="place"),
    _writes("watched.forget", "POST", f"{_PLACE}:forget", "Forget files", forget_watched, shapes.Paths, of="place"),
    _reads(
        "knowledge.duplicates",
        "GET",
        "/api/v1/knowledge/duplicates",
        "Find what says the same",
        duplicates,
        shapes.WhichAlike,
        Listed,
    ),
    _reads(
        "knowledge.quality", "GET", "/api/v1/knowledge/quality", "How well it was read", quality, shapes.OfCollection
    ),
    _reads(
        "knowledge.doubtful",
        "GET",
        "/api/v1/knowledge/doubtful",
        "Which documents were not read well",
        doubtful,
        shapes.Doubts,
        Listed,
    ),
)

router = routes(TABLE, tag="keeping")
