"""Checking: what a target holds, counted and sampled against PostgreSQL; what differs is put into the outbox.

Four questions: is everything here known to the target or waiting; does the number of its items agree; does it hold of
some documents what it should, asked one by one; and does it hold nothing of documents that were taken away.
"""

from __future__ import annotations

import secrets

from bastide.audit import Audit
from bastide.knowledge.projections.feeding import Feeding
from bastide.knowledge.projections.gathering import Withheld
from bastide.knowledge.projections.values import Adapter, Content, Target
from bastide.store import Scope, Store, queries
from bastide.workflows import JsonValue

_Q = queries("bastide.knowledge")
_HELD, _SOME, _GONE = _Q["copies_held"], _Q["some_copies"], _Q["some_departures"]
_LACKING, _WITHOUT, _NOTE = _Q["copies_lacking"], _Q["copies_without"], _Q["note_some_changes"]
_OLD = _Q["old_departures"]

SAMPLE = 50
_LISTED = 1_000


class Checking:
    """Compares one target with what is here."""

    def __init__(self, store: Store, audit: Audit, feeding: Feeding) -> None:
        self._store = store
        self._audit = audit
        self._feeding = feeding

    async def compare(self, scope: Scope, name: str) -> dict[str, JsonValue]:
        """What was found: {agrees, documents, items, found, differing, lingering, lacking}. Nothing is changed."""
        target = await self._feeding.target(scope, name)
        async with self._store.under(scope) as db:
            held = await db.row(dict, _HELD, name=name) or {}
            some = await db.rows(tuple, _SOME, name=name, seed=secrets.token_hex(8), limit=SAMPLE)
            gone = [id for (id,) in await db.rows(tuple, _GONE, name=name, limit=SAMPLE)]
            lacking = [id for (id,) in await db.rows(tuple, _LACKING, name=name, limit=_LISTED)]
            lacking += [id for (id,) in await db.rows(tuple, _WITHOUT, name=name, limit=_LISTED)]
        async with self._feeding.opened(scope, target) as adapter:
            total = await adapter.total()
            differing = [id for id, items in some if not await self._agrees(scope, target, adapter, id, items)]
            lingering = [id for id in gone if await adapter.held(id)]
        return {
            "agrees": not (differing or lingering or lacking) and total == held["items"],
            "documents": held["documents"],
            "items": held["items"],
            "found": total,
            "sampled": len(some),
            "differing": list[JsonValue](differing),
            "departed": len(gone),
            "lingering": list[JsonValue](lingering),
            "lacking": list[JsonValue](lacking),
        }

    async def note(self, scope: Scope, name: str, found: dict[str, JsonValue]) -> None:
        """Let what differs be sent anew, and the log know what was found."""
        ids: list[str] = []
        for one in ("differing", "lingering", "lacking"):
            listed = found[one]
            ids += [str(id) for id in listed] if isinstance(listed, list) else []
        async with self._store.under(scope) as db:
            await db.run(_NOTE, name=name, ids=sorted(set(ids)))
            await db.run(_OLD, name=name)
            details = {key: value for key, value in found.items() if not isinstance(value, list)}
            await self._audit.record(
                db, "projection.verify", resource=name, details={**details, "again": len(set(ids))}
            )

    async def _agrees(self, scope: Scope, target: Target, adapter: Adapter, id: str, items: int) -> bool:
        now = await self._feeding.content(scope, target, id)
        wanted = 0 if isinstance(now, Withheld) else items_of(target, now)
        return wanted == items == await adapter.held(id)


def items_of(target: Target, content: Content) -> int:
    """How many items the target should hold of a document."""
    if target.kind == "qdrant":
        return len(content.points)
    if target.kind == "s3":
        return len(content.versions)
    named = {one.entity for one in content.mentions}
    ties = {(one.a, one.b, one.type) for one in content.ties if one.a in named and one.b in named}
    return 1 + len(content.mentions) + len(ties)
