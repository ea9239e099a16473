"""Mending: documents that are here are read, or embedded, anew: after a better reader came, or another embedder.

    knowledge.reindex    the originals are read, cut, embedded and indexed anew; ids and versions stay
    knowledge.reembed    only the vectors: of chunks that the present embedder has not seen

Each document is one step, written in its own transaction, so both go on where they were interrupted, and what was
searched before is searched until the moment it is replaced.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import numpy as np

from bastide.audit import Audit
from bastide.errors import BastideError, NoEmbedder, Refusal, Unavailable, UnknownDocument
from bastide.inference import Inference
from bastide.knowledge import bounds
from bastide.knowledge.indexing import Known
from bastide.knowledge.intake import Intake
from bastide.knowledge.members import need
from bastide.knowledge.preparing import heading
from bastide.policy import Label
from bastide.store import Db, Scope, Store, queries, vector_text
from bastide.workflows import Example, JobType, JsonValue, Limits, Run

_Q = queries("bastide.knowledge")
_OF, _THERE, _WITHOUT = _Q["documents_of"], _Q["documents_there"], _Q["documents_without_vectors"]
_BY_ID, _CHUNKS, _CHUNK_IDS = _Q["find_by_id"], _Q["chunks_to_embed"], _Q["chunk_ids"]
_FORGET, _ADD, _NOTE = _Q["forget_embeddings"], _Q["add_embeddings"], _Q["note_embedded"]

DOCUMENTS_MAX = 50_000
"""So many documents one job mends; a second one goes on with the rest."""

_AT_ONCE = 1_024

Mend = Callable[[str], Awaitable[Callable[[Db], Awaitable[JsonValue]]]]


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which documents: those named, or those of a collection, or all."""

    documents: tuple[str, ...] = ()
    collection: str | None = None


@dataclass(frozen=True, slots=True)
class Shelved:
    """Which documents: those of a collection, or all."""

    collection: str | None = None


@dataclass(frozen=True, slots=True)
class _Chunk:
    id: int
    section: list[str]
    text: str
    title: str


class MendingJobs:
    """The code of both types."""

    def __init__(self, store: Store, audit: Audit, inference: Inference, intake: Intake) -> None:
        self._store = store
        self._audit = audit
        self._inference = inference
        self._intake = intake

    def types(self) -> tuple[JobType, ...]:
        """What is registered."""
        return (
            JobType(
                name="knowledge.reindex",
                about="Reads, cuts, embeds and indexes the originals of documents anew; ids and versions stay.",
                input=Chosen,
                run=self._reindex,
                permission="knowledge:write",
                limits=Limits(run_s=24 * 3600.0, per_tenant=2),
                example=Example({"collection": "notes"}, lambda out: isinstance(out, Mapping) and out["failed"] == []),
            ),
            JobType(
                name="knowledge.reembed",
                about="Embeds what the present embedder has not seen: after another was chosen, or none was there.",
                input=Shelved,
                run=self._reembed,
                permission="knowledge:write",
                limits=Limits(run_s=24 * 3600.0, per_tenant=1),
                example=Example({"collection": "notes"}, lambda out: isinstance(out, Mapping) and out["failed"] == []),
            ),
        )

    async def _reindex(self, run: Run[Chosen]) -> JsonValue:
        asked = run.input

        async def find() -> JsonValue:
            async with self._store.under(run.scope) as db:
                if asked.documents:
                    ids = [bounds.document_id(one) for one in asked.documents]
                    rows = await db.rows(tuple, _THERE, ids=ids)
                    if len(rows) < len(set(ids)):
                        raise UnknownDocument
                else:
                    wanted = _collection(asked.collection)
                    rows = await db.rows(tuple, _OF, collection=wanted, subject=None, limit=DOCUMENTS_MAX)
            return [id for (id,) in rows]

        async def mend(document: str) -> Callable[[Db], Awaitable[JsonValue]]:
            act = await self._intake.ready_again(run.scope, document)

            async def write(db: Db) -> JsonValue:
                return {"chunks": (await act(db)).chunks}

            return write

        return await _one_by_one(run, cast("list[str]", await run.step("find", find)), mend)

    async def _reembed(self, run: Run[Shelved]) -> JsonValue:
        async def find() -> JsonValue:
            model = await self._embedder(run.scope)
            wanted = _collection(run.input.collection)
            async with self._store.under(run.scope) as db:
                rows = await db.rows(tuple, _WITHOUT, collection=wanted, model=model, limit=DOCUMENTS_MAX)
            return [id for (id,) in rows]

        return await _one_by_one(
            run, cast("list[str]", await run.step("find", find)), partial(self._embed_again, run.scope)
        )

    async def _embedder(self, scope: Scope) -> str:
        """The name of the embedder that a document would get now. Raises NoEmbedder."""
        known = [one for one in await self._inference.models(scope) if "embeddings" in one.capabilities]
        known.sort(key=lambda one: not one.built_in)
        if not known:
            raise NoEmbedder
        return known[0].name

    # Outside the transaction the chunks are embedded; inside, the document is locked and must still have just these.
    async def _embed_again(self, scope: Scope, document: str) -> Callable[[Db], Awaitable[JsonValue]]:
        async with self._store.under(scope) as db:
            known = await db.row(Known, _BY_ID, id=document)
            if known is None:
                raise UnknownDocument
            chunks = await db.rows(_Chunk, _CHUNKS, id=document)
        model, vectors = await self._embed(scope, chunks, Label.from_wire(known.label))
        ids = [chunk.id for chunk in chunks]

        async def write(db: Db) -> JsonValue:
            again = await db.row(Known, _BY_ID, id=document)
            if again is None:
                raise UnknownDocument
            await need(db, again.collection, "write")
            if (await db.value(_CHUNK_IDS, document=again.number) or []) != ids:
                return {"chunks": again.chunks}  # it was read anew meanwhile, and embedded with that
            await db.run(_FORGET, chunks=ids)
            await db.run(_ADD, document=again.number, model=model, chunks=ids, vectors=vectors)
            await db.run(_NOTE, document=again.number, version=again.version)
            await self._audit.record(
                db,
                "document.reembed",
                resource=document,
                subjects=sorted(Label.from_wire(again.label).subjects),
                details={"version": again.version, "chunks": len(ids), "embedded_by": model},
            )
            return {"chunks": len(ids)}

        return write

    async def _embed(self, scope: Scope, chunks: Sequence[_Chunk], label: Label) -> tuple[str, list[str]]:
        texts = [f"{heading(chunk.title, chunk.section)}\n{chunk.text}".strip() for chunk in chunks]
        written: list[str] = []
        model = ""
        for start in range(0, len(texts), _AT_ONCE):
            part = await self._inference.embed(scope, texts[start : start + _AT_ONCE], label=label, kind="passage")
            written += await asyncio.to_thread(_as_texts, part.vectors)
            model = part.model
        return model, written


async def _one_by_one(run: Run[Chosen] | Run[Shelved], ids: Sequence[str], mend: Mend) -> JsonValue:
    """Each document as a step of its own; one that cannot be mended is named, and the rest goes on."""
    chunks, failed = 0, []
    for number, document in enumerate(ids):
        await run.progress(number, len(ids), document)
        done = await _one(run, document, mend)
        if "error" in done:
            failed.append(done)
        else:
            chunks += cast(int, done["chunks"])
    await run.progress(len(ids), len(ids))
    return {"documents": len(ids) - len(failed), "chunks": chunks, "failed": failed}


async def _one(run: Run[Chosen] | Run[Shelved], document: str, mend: Mend) -> dict[str, JsonValue]:
    name = f"document {document}"
    if run.remembered(name) is not None:
        return cast("dict[str, JsonValue]", await run.write(name, _recorded))
    try:
        act = await mend(document)
    except UnknownDocument:
        act = _gone
    except Unavailable:
        raise  # what is away may come back: the job is tried again, and goes on here
    except Refusal as no:
        act = partial(_refused, document, no)
    return cast("dict[str, JsonValue]", await run.write(name, act))


async def _recorded(db: Db) -> JsonValue:
    raise AssertionError("a step that was recorded is not repeated")


async def _gone(db: Db) -> JsonValue:
    return {"chunks": 0}  # deleted meanwhile: nothing is left to mend


async def _refused(document: str, no: BastideError, db: Db) -> JsonValue:
    return {"document": document, "error": {"code": no.code, "message": no.message, "next": no.next_step}}


def _as_texts(vectors: np.ndarray) -> list[str]:
    return [vector_text(row) for row in vectors]


def _collection(name: str | None) -> str | None:
    return None if name is None else bounds.collection(name)
