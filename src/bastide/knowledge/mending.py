"""Mending: documents that are here are read anew, after a better reader came.

    knowledge.reindex    the originals are read, cut, embedded and indexed anew; ids and versions stay
    knowledge.upgrade    the same for what an older recipe made; begun by the house itself

Each document is one step, written in its own transaction, so both go on where they were interrupted, and what was
searched before is searched until the moment it is replaced.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from bastide.errors import BastideError, Refusal, Unavailable, UnknownDocument
from bastide.knowledge import bounds
from bastide.knowledge.intake import Intake
from bastide.knowledge.recipe import RECIPE
from bastide.store import Db, Scope, Store, queries
from bastide.workflows import Example, Job, JobType, JsonValue, Limits, Retry, Run

_Q = queries("bastide.knowledge")
_OF, _THERE = _Q["documents_of"], _Q["documents_there"]
_BEHIND, _COUNT_BEHIND, _LEAVE = _Q["documents_behind"], _Q["count_behind"], _Q["leave_behind"]

UPGRADE = "knowledge.upgrade"
_LAST = -100  # of the tenant's work: whatever somebody waits for comes first

DOCUMENTS_MAX = 50_000
"""So many documents one job mends; a second one goes on with the rest."""

Mend = Callable[[str], Awaitable[Callable[[Db], Awaitable[JsonValue]]]]


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which documents: those named, or those of a collection, or all."""

    documents: tuple[str, ...] = ()
    collection: str | None = None


@dataclass(frozen=True, slots=True)
class Nothing:
    """It needs nothing."""


class MendingJobs:
    """The code of both types."""

    def __init__(self, store: Store, intake: Intake) -> None:
        self._store = store
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
                name=UPGRADE,
                about="Makes anew what an older version of the house has read; begun by itself, document by document.",
                input=Nothing,
                run=self._upgrade,
                permission="knowledge:manage",
                limits=Limits(run_s=7 * 24 * 3600.0, per_tenant=1, overall=1),
                retry=Retry(attempts=20, first_s=60.0),
                example=Example({}, lambda out: isinstance(out, Mapping) and out["failed"] == []),
            ),
        )

    async def behind(self, scope: Scope) -> Job | None:
        """The job that brings this tenant's documents up to date; None where none is behind."""
        async with self._store.under(scope, past_members=True) as db:
            behind = await db.value(_COUNT_BEHIND, recipe=RECIPE)
        return Job(UPGRADE, {}, priority=_LAST, dedup=UPGRADE) if behind else None

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

        return await one_by_one(run, cast("list[str]", await run.step("find", find)), mend)

    # The house has begun this, and reaches every collection. What cannot be made anew stays as it is, says so, and is
    # not tried again before the next recipe; what a part that is away would need waits for it.
    async def _upgrade(self, run: Run[Nothing]) -> JsonValue:
        async def find() -> JsonValue:
            async with self._store.under(run.scope, past_members=True) as db:
                return [id for (id,) in await db.rows(tuple, _BEHIND, recipe=RECIPE, limit=DOCUMENTS_MAX)]

        async def mend(document: str) -> Callable[[Db], Awaitable[JsonValue]]:
            try:
                act = await self._intake.ready_again(run.scope, document, keep=True)
            except UnknownDocument:
                raise
            except Refusal as no:
                return partial(_left, document, no)

            async def write(db: Db) -> JsonValue:
                return {"chunks": (await act(db)).chunks}

            return write

        return await one_by_one(run, cast("list[str]", await run.step("find", find)), mend, past_members=True)


async def _left(document: str, no: BastideError, db: Db) -> JsonValue:
    await db.run(_LEAVE, id=document, recipe=RECIPE, problem=f"Not brought up to date ({no.code}): {no.message}")
    return await _refused(document, no, db)


async def one_by_one(
    run: Run[Any], ids: Sequence[str], mend: Mend, *, past_members: bool = False
) -> dict[str, JsonValue]:
    """Each document as a step of its own; one that cannot be mended is named, and the rest goes on."""
    chunks = 0
    failed: list[JsonValue] = []
    for number, document in enumerate(ids):
        await run.progress(number, len(ids), document)
        done = await _one(run, document, mend, past_members)
        if "error" in done:
            failed.append(done)
        else:
            chunks += cast(int, done["chunks"])
    await run.progress(len(ids), len(ids))
    return {"documents": len(ids) - len(failed), "chunks": chunks, "failed": failed}


async def _one(run: Run[Any], document: str, mend: Mend, past_members: bool) -> dict[str, JsonValue]:
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
    return cast("dict[str, JsonValue]", await run.write(name, act, past_members=past_members))


async def _recorded(db: Db) -> JsonValue:
    raise AssertionError("a step that was recorded is not repeated")


async def _gone(db: Db) -> JsonValue:
    return {"chunks": 0}  # deleted meanwhile: nothing is left to mend


async def _refused(document: str, no: BastideError, db: Db) -> JsonValue:
    return {"document": document, "error": {"code": no.code, "message": no.message, "next": no.next_step}}


def _collection(name: str | None) -> str | None:
    return None if name is None else bounds.collection(name)
