"""Re-embedding: vectors made anew from chunks that are here.

    knowledge.reembed         what the embedders of a collection have not read yet is read by them
    knowledge.use_embedder    a collection, or all, gets another embedder: the old vectors answer until the new ones are
                              complete, then they go; or both stay, side by side

Each document is one step, written in its own transaction: a job that was interrupted goes on behind the last one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np

from bastide.audit import Audit
from bastide.errors import UnknownCollection, UnknownDocument
from bastide.inference import Inference
from bastide.knowledge import bounds
from bastide.knowledge.embedders import REMEMBERED_S, Embedders, Switched, of_collection
from bastide.knowledge.indexing import Known
from bastide.knowledge.members import MANAGE, need
from bastide.knowledge.mending import DOCUMENTS_MAX, one_by_one
from bastide.knowledge.preparing import heading
from bastide.policy import Label
from bastide.store import Db, Scope, Store, queries, vector_text
from bastide.workflows import Example, JobType, JsonValue, Limits, Run

_Q = queries("bastide.knowledge")
_BY_ID, _CHUNKS, _CHUNK_IDS = _Q["find_by_id"], _Q["chunks_to_embed"], _Q["chunk_ids"]
_ADD, _NOTE, _FORGET = _Q["add_embeddings"], _Q["note_embedded"], _Q["forget_vectors"]
_COLLECTIONS, _LACKING, _READ = _Q["collections_here"], _Q["documents_lacking"], _Q["models_of_document"]
_ROWS, _PUT, _SWITCH, _DROP = _Q["embedders"], _Q["put_embedders"], _Q["switch_embedder_on"], _Q["drop_embedders"]
_FORGET_OF = _Q["forget_vectors_of_collections"]

_AT_ONCE = 1_024
_ROUNDS_MAX = 5  # documents that came while the others were read were read by both: one round is the rule


@dataclass(frozen=True, slots=True)
class Shelved:
    """Which documents: those of a collection, or all."""

    collection: str | None = None


@dataclass(frozen=True, slots=True)
class Used:
    """Which embedder, for a collection or for all that have none of their own; `beside`: the others stay.

    `languages` are those that it knows; where none are said, as its name tells.
    """

    model: str
    collection: str | None = None
    beside: bool = False
    languages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Chunk:
    id: int
    section: list[str]
    text: str
    title: str


class ReembeddingJobs:
    """The code of both types."""

    def __init__(self, store: Store, audit: Audit, inference: Inference, embedders: Embedders) -> None:
        self._store = store
        self._audit = audit
        self._inference = inference
        self._embedders = embedders

    def types(self) -> tuple[JobType, ...]:
        """What is registered."""
        return (
            JobType(
                name="knowledge.reembed",
                about="Embeds what the embedders of a collection have not read: one was chosen, or none was there.",
                input=Shelved,
                run=self._reembed,
                permission="knowledge:write",
                limits=Limits(run_s=24 * 3600.0, per_tenant=1),
                example=Example({"collection": "notes"}, lambda out: isinstance(out, Mapping) and out["failed"] == []),
            ),
            JobType(
                name="knowledge.use_embedder",
                about="Gives a collection, or all, another embedder; old vectors answer until the new are complete.",
                input=Used,
                run=self._use,
                permission=MANAGE,
                limits=Limits(run_s=7 * 24 * 3600.0, per_tenant=1),
                example=Example({"model": "local/minilm"}, lambda out: isinstance(out, Mapping) and bool(out["on"])),
            ),
        )

    async def _reembed(self, run: Run[Shelved]) -> JsonValue:
        wanted = None if run.input.collection is None else bounds.collection(run.input.collection)

        async def find() -> JsonValue:
            async with self._store.under(run.scope) as db:
                names = [name for (name,) in await db.rows(tuple, _COLLECTIONS) if wanted in {None, name}]
            pairs = await self._embedders.pairs(run.scope, names)
            async with self._store.under(run.scope) as db:
                return await _lacking(db, pairs, others=True)

        ids = cast("list[str]", await run.step("find", find))
        return await one_by_one(run, ids, partial(self._embed_again, run.scope, None))

    # -- another embedder ---------------------------------------------------------------------------

    # 1. it is switched on for what comes from now on; no query asks it yet
    # 2. it reads what is here, document by document
    # 3. it is asked from now on; where it could read all, the others are switched off, unless they shall stay
    # 4. what they made goes, when no process can still be asking for it
    async def _use(self, run: Run[Used]) -> JsonValue:
        asked = run.input
        collection = None if asked.collection is None else bounds.collection(asked.collection)
        await self._embedders.check(run.scope, asked.model)
        usual = await self._embedders.usual(run.scope)
        before = cast(
            "dict[str, list[str]]",
            await run.write("switch on", partial(self._begin, run, collection, usual), past_members=True),
        )
        self._embedders.forget()
        done: dict[str, Any] = {"documents": 0, "chunks": 0, "failed": []}
        for number in range(_ROUNDS_MAX):
            failed = [one["document"] for one in done["failed"]]
            find = partial(self._unread, run.scope, before["collections"], asked.model, failed)
            ids = cast("list[str]", await run.step(f"find {number}", find))
            if not ids:
                break
            part = await one_by_one(run, ids, partial(self._embed_again, run.scope, asked.model), past_members=True)
            done = {word: done[word] + cast(Any, part[word]) for word in done}
        replaced = [] if asked.beside or done["failed"] else before["others"]
        await run.write("ask it", partial(self._end, run, collection, replaced), past_members=True)
        self._embedders.forget()
        if replaced:
            await asyncio.sleep(REMEMBERED_S)
            drop = partial(_drop, before["collections"], replaced)
            await run.write("drop", drop, past_members=True)
        kept = [one for one in before["others"] if one not in replaced]
        return {**done, "on": asked.model, "replaced": cast(JsonValue, replaced), "beside": cast(JsonValue, kept)}

    async def _begin(self, run: Run[Used], collection: str | None, usual: str | None, db: Db) -> JsonValue:
        """Switch it on, beside what there was, which is written down where it was only the rule."""
        model, languages = run.input.model, bounds.languages(run.input.languages)
        names = [name for (name,) in await db.rows(tuple, _COLLECTIONS)]
        if collection is not None and collection not in names:
            raise UnknownCollection(f"There is no collection {collection!r} here.")
        rows = await db.rows(Switched, _ROWS)
        own = {one.collection for one in rows if one.collection is not None}
        covered = [name for name in names if name not in own] if collection is None else [collection]
        there = [one for one in rows if one.collection == collection]
        if not there:
            for_all = of_collection(rows, collection) if collection is not None else []
            others = [one.model for one in for_all] or ([usual] if usual else [])
            await db.run(_PUT, collection=collection, models=others, state="on", languages=[])
        else:
            others = [one.model for one in there]
        await db.run(_PUT, collection=collection, models=[model], state="filling", languages=list(languages))
        await self._audit.record(
            db,
            "embedder.fill",
            resource=model,
            details={"collection": collection, "beside": run.input.beside, "languages": list(languages)},
        )
        return {"collections": covered, "others": [one for one in others if one != model]}

    async def _unread(self, scope: Scope, collections: Sequence[str], model: str, but: Sequence[str]) -> JsonValue:
        async with self._store.under(scope, past_members=True) as db:
            return await _lacking(db, [(name, model) for name in collections], others=False, but=but)

    async def _end(self, run: Run[Used], collection: str | None, replaced: Sequence[str], db: Db) -> JsonValue:
        await db.run(_SWITCH, collection=collection, model=run.input.model)
        await db.run(_DROP, collection=collection, models=list(replaced))
        await self._audit.record(
            db,
            "embedder.use",
            resource=run.input.model,
            details={"collection": collection, "replaced": list(replaced)},
        )
        return None

    # -- one document -------------------------------------------------------------------------------

    # Outside the transaction the chunks are embedded; inside, the document is locked and must still have just these.
    async def _embed_again(
        self, scope: Scope, model: str | None, document: str
    ) -> Callable[[Db], Awaitable[JsonValue]]:
        """By this embedder, or by all that the document's collection has and that have not read it; others' go then."""
        past = model is not None
        async with self._store.under(scope, past_members=past) as db:
            known = await db.row(Known, _BY_ID, id=document)
            if known is None:
                raise UnknownDocument
            chunks = await db.rows(_Chunk, _CHUNKS, id=document)
            read = {name for (name,) in await db.rows(tuple, _READ, document=known.number)}
        pairs = [] if model else await self._embedders.pairs(scope, [known.collection])
        wanted = [model] if model else [one for _, one in pairs]
        missing = [one for one in wanted if one not in read]
        made = [await self._embed(scope, chunks, Label.from_wire(known.label), one) for one in missing]
        ids = [chunk.id for chunk in chunks]

        async def write(db: Db) -> JsonValue:
            again = await db.row(Known, _BY_ID, id=document)
            if again is None:
                raise UnknownDocument
            await need(db, again.collection, "write")
            if (await db.value(_CHUNK_IDS, document=again.number) or []) != ids:
                return {"chunks": again.chunks}  # it was read anew meanwhile, and embedded with that
            await db.run(_FORGET, chunks=ids, of=missing, but=[] if past else wanted)
            for name, vectors in zip(missing, made, strict=True):
                await db.run(
                    _ADD,
                    documents=[again.number] * len(ids),
                    models=[name] * len(ids),
                    chunks=ids,
                    vectors=vectors,
                )
            await db.run(_NOTE, document=again.number, version=again.version)
            await self._audit.record(
                db,
                "document.reembed",
                resource=document,
                subjects=sorted(Label.from_wire(again.label).subjects),
                details={"version": again.version, "chunks": len(ids), "embedded_by": ", ".join(missing)},
            )
            return {"chunks": len(ids)}

        return write

    async def _embed(self, scope: Scope, chunks: Sequence[_Chunk], label: Label, model: str) -> list[str]:
        texts = [f"{heading(chunk.title, chunk.section)}\n{chunk.text}".strip() for chunk in chunks]
        written: list[str] = []
        for start in range(0, len(texts), _AT_ONCE):
            some = texts[start : start + _AT_ONCE]
            part = await self._inference.embed(scope, some, label=label, model=model, kind="passage")
            written += await asyncio.to_thread(_as_texts, part.vectors)
        return written


async def _lacking(
    db: Db, pairs: Sequence[tuple[str, str]], *, others: bool, but: Sequence[str] = ()
) -> list[JsonValue]:
    columns = {"collections": [name for name, _ in pairs], "models": [model for _, model in pairs]}
    rows = await db.rows(tuple, _LACKING, **columns, others=others, without=list(but), limit=DOCUMENTS_MAX)
    return [id for (id,) in rows]


async def _drop(collections: Sequence[str], models: Sequence[str], db: Db) -> JsonValue:
    await db.run(_FORGET_OF, collections=list(collections), models=list(models))
    return None


def _as_texts(vectors: np.ndarray) -> list[str]:
    return [vector_text(row) for row in vectors]
