"""Retaining: what is past its collection's days is deleted, and what was deleted leaves the disk.

knowledge.retain     an effect, with the oversight that the tenant asks for: documents whose collection keeps them for
                     fewer days than have passed since their last change are deleted; those on hold stay, and are named
knowledge.rewrite    for the operator of the platform: this room's tables and the originals are written anew, because
                     PostgreSQL leaves the bytes of deleted rows in its files; each is locked for as long as that takes
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import cast

from bastide.knowledge.documents import Shelf
from bastide.knowledge.members import MANAGE, held
from bastide.knowledge.verifying import Traces, remains, traces
from bastide.store import Db, Scope, Store, queries
from bastide.workflows import Effect, Example, JobType, JsonValue, Limits, Run

_Q = queries("bastide.knowledge")
_PAST, _STILL = _Q["documents_past_retention"], _Q["past_retention"]

DOCUMENTS_MAX = 50_000
"""So many documents one job deletes; the next one goes on with the rest."""

_BATCH = 20
_SHOWN = 20
_REASON = "kept for as long as its collection keeps documents"


@dataclass(frozen=True, slots=True)
class Nothing:
    """It needs nothing."""


class Deleting:
    """Documents deleted in batches, each looked for afterwards. Shared by what erases and what retains."""

    def __init__(self, store: Store, shelf: Shelf) -> None:
        self._store = store
        self._shelf = shelf

    async def batch(
        self, run: Run[object], ids: Sequence[str], reason: str, *, past_members: bool, still: bool = False
    ) -> dict[str, JsonValue]:
        """Delete these in one transaction: {gone, held, left}; with `still` only those that are still past their days.

        `left` says in which tables something of them was found afterwards, and is empty; it is None where the worker
        died in between and nobody knows any more what to look for.
        """
        name = f"batch {ids[0]}"
        before: Traces | None = None
        if run.remembered(name) is None:
            async with self._store.under(run.scope, past_members=past_members) as db:
                before = await traces(db, ids)

        async def delete(db: Db) -> JsonValue:
            due = [id for (id,) in await db.rows(tuple, _STILL, ids=list(ids))] if still else list(ids)
            kept = await held(db, due)
            free = [one for one in due if one not in kept]
            gone = await self._shelf.delete_here(db, free, reason=reason, chain=run.chain)
            return {"gone": cast("JsonValue", gone), "held": cast("JsonValue", kept)}

        done = cast("dict[str, JsonValue]", await run.write(name, delete, past_members=past_members))
        gone = set(cast("list[str]", done["gone"]))

        async def look() -> JsonValue:
            if before is None:
                return None
            of = _only(before, gone)
            async with self._store.under(run.scope, past_members=past_members) as db:
                return cast("JsonValue", await remains(db, of)) if of.ids else {}

        return {**done, "left": await run.step(f"look {ids[0]}", look)}

    async def all(
        self, run: Run[object], ids: Sequence[str], reason: str, *, past_members: bool, still: bool = False
    ) -> dict[str, JsonValue]:
        """Batch by batch, so that a stop is heeded between two: what went, what is on hold, and what was left."""
        gone: list[str] = []
        on_hold: dict[str, str] = {}
        left: dict[str, JsonValue] = {}
        unknown = 0
        for start in range(0, len(ids), _BATCH):
            some = ids[start : start + _BATCH]
            done = await self.batch(run, some, reason, past_members=past_members, still=still)
            gone += cast("list[str]", done["gone"])
            on_hold |= cast("dict[str, str]", done["held"])
            if isinstance(done["left"], dict):
                left |= done["left"]
            else:
                unknown += 1
            await run.progress(start + len(some), len(ids))
        return {
            "erased": len(gone),
            "documents": cast("JsonValue", gone),
            "held": cast("JsonValue", on_hold),
            "left": left,
            "unverified": unknown,
        }


def _only(before: Traces, gone: set[str]) -> Traces:
    """What was taken of those that were deleted; nothing where some of the batch stay, whose words it may hold."""
    return before if set(before.ids) <= gone else Traces((), (), (), (), ())


class RetainingJobs:
    """The code of both types."""

    def __init__(self, store: Store, shelf: Shelf) -> None:
        self._store = store
        self._deleting = Deleting(store, shelf)

    def types(self) -> tuple[JobType, ...]:
        """What is registered."""
        return (
            JobType(
                name="knowledge.retain",
                about="Deletes documents that their collection has kept for its days; those on hold stay.",
                input=Nothing,
                run=self._retain,
                permission=MANAGE,
                limits=Limits(step_s=3600.0, run_s=4 * 3600.0, per_tenant=1),
                effects={"retain": Effect("Documents past their collection's days are deleted for good.")},
                example=Example({}, lambda out: isinstance(out, Mapping) and isinstance(out["erased"], int)),
            ),
            JobType(
                name="knowledge.rewrite",
                about="Writes the tables of documents anew, so that what was deleted leaves the disk; each is locked.",
                input=Nothing,
                run=self._rewrite,
                permission="platform:operate",
                limits=Limits(step_s=4 * 3600.0, run_s=5 * 3600.0, per_tenant=1, overall=1),
                example=Example({}, lambda out: isinstance(out, Mapping) and bool(out["tables"])),
            ),
        )

    async def _retain(self, run: Run[Nothing]) -> JsonValue:
        found = cast("list[str]", await run.step("find", partial(self._find, run.scope)))
        if not found:
            return {"erased": 0, "documents": [], "held": {}, "left": {}, "unverified": 0}

        async def retain(arguments: JsonValue, key: str) -> JsonValue:
            given = arguments.get("documents", []) if isinstance(arguments, Mapping) else []
            kept = set(given) if isinstance(given, Sequence) and not isinstance(given, str) else set()
            return await self._deleting.all(
                cast("Run[object]", run), [one for one in found if one in kept], _REASON, past_members=True, still=True
            )

        listed = ", ".join(found[:_SHOWN]) + (f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else "")
        shown = f"{len(found)} documents are past the days of their collection and are deleted for good: {listed}."
        return await run.effect("retain", {"documents": cast("JsonValue", found)}, retain, shown=shown)

    async def _find(self, scope: Scope) -> JsonValue:
        async with self._store.under(scope, past_members=True) as db:
            return [id for (id,) in await db.rows(tuple, _PAST, limit=DOCUMENTS_MAX)]

    async def _rewrite(self, run: Run[Nothing]) -> JsonValue:
        async def rewrite() -> JsonValue:
            done = await self._store.rewrite(["knowledge"], also=["store.blob", "store.blob_piece"])
            return cast("JsonValue", asdict(done))

        return await run.step("rewrite", rewrite)
