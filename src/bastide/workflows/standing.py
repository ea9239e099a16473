"""Standing orders: what schedules and triggers have in common. Each dispatches jobs until it is deleted.

They are known by id or by name; who steers work lists, shows, pauses, resumes and deletes them, and each act is in the
audit log. An erasure reaches what they hold: see `blotting`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from bastide.audit import Audit
from bastide.errors import AlreadyThere, BlobDamaged, NotFound, Unprocessable
from bastide.store import Db, Page, Query, Scope, Store
from bastide.telemetry import log
from bastide.tenancy import Tenancy
from bastide.workflows.blotting import ERASED, Named
from bastide.workflows.dispatching import Dispatching
from bastide.workflows.keeping import check_name, plain
from bastide.workflows.registry import JobType, Registry
from bastide.workflows.timely import Schedule, Trigger
from bastide.workflows.values import JsonValue, Problem

Order = TypeVar("Order", Schedule, Trigger)

_LIMIT_MAX = 500
_PRIORITY_MAX = 100


@dataclass(frozen=True, slots=True)
class Questions:
    """What is asked of one kind of order."""

    some: Query
    pause: Query
    resume: Query
    delete: Query


class StandingOrders(ABC, Generic[Order]):
    """Orders of one kind: how they are kept. What they do is the subclass's."""

    kind: ClassVar[str]  # schedule, as the audit log says it
    asks: ClassVar[Questions]
    unknown: ClassVar[type[NotFound]]
    wrong: ClassVar[type[Unprocessable]]

    def __init__(
        self, store: Store, audit: Audit, tenancy: Tenancy, dispatching: Dispatching, registry: Registry
    ) -> None:
        self._store = store
        self._audit = audit
        self._tenancy = tenancy
        self._dispatching = dispatching
        self._registry = registry

    async def list(self, scope: Scope, *, cursor: str | None = None, limit: int = 100) -> Page[Order]:
        """Those of the tenant, oldest first."""
        scope.need("work:manage")
        limit = max(1, min(limit, _LIMIT_MAX))
        async with self._store.under(scope) as db:
            rows = await db.rows(dict, self.asks.some, one=None, after=cursor, limit=limit + 1)
            items = tuple([await self._opened(db, row) for row in rows[:limit]])
        return Page(items, items[-1].id if len(rows) > limit else None)

    async def get(self, scope: Scope, which: str) -> Order:
        """One of them, by its id or its name. Raises UnknownSchedule or UnknownTrigger."""
        scope.need("work:manage")
        async with self._store.under(scope) as db:
            return await self._one(db, which)

    async def delete(self, scope: Scope, which: str) -> None:
        """It fires no more; the jobs that it has dispatched stay. Raises as `get` does."""
        scope.need("work:manage")
        async with self._store.under(scope) as db:
            found = await self._one(db, which)
            await db.run(self.asks.delete, id=found.id)
            await self._audit.record(db, f"{self.kind}.delete", resource=found.id)

    async def pause(self, scope: Scope, which: str) -> Order:
        """It fires no more until it is resumed. Raises as `get` does."""
        scope.need("work:manage")
        async with self._store.under(scope) as db:
            found = await self._one(db, which)
            if await db.value(self.asks.pause, id=found.id) is not None:
                await self._audit.record(db, f"{self.kind}.pause", resource=found.id)
            return await self._one(db, found.id)

    async def resume(self, scope: Scope, which: str) -> Order:
        """It fires again, from now on: what fell into the pause is left out. Raises as `get` does, BadSchedule."""
        scope.need("work:manage")
        async with self._store.under(scope) as db:
            found = await self._one(db, which)
            if await db.value(self.asks.resume, id=found.id, **await self._afresh(db, found)) is not None:
                await self._audit.record(db, f"{self.kind}.resume", resource=found.id)
            return await self._one(db, found.id)

    # -- erasure ------------------------------------------------------------------------------------

    async def forget(self, db: Db, subject: str) -> int:
        """Delete those that name a person, and what was said of the person; how many orders went."""
        named = Named([subject])
        gone = 0
        for row in await self._all(db):
            said = (row["name"], row["label"], await self._readable(db, row))
            if any(named.found_in(one) for one in said):
                await db.run(self.asks.delete, id=row["id"])
                await self._audit.record(
                    db, f"{self.kind}.delete", resource=row["id"], subjects=[subject], details={"reason": "erasure"}
                )
                gone += 1
        await self._forget_problems(db, named)
        return gone

    async def blot(self, db: Db, documents: Collection[str]) -> int:
        """Blot out what names deleted documents, by their ids; how many orders did. They are paused, and say why."""
        named = Named(documents)
        blotted = 0
        for row in await self._all(db):
            held = await self._readable(db, row)
            if named.found_in(held):
                await self._rewrite(db, row["id"], named.blotted(held), ERASED)
                await self._audit.record(db, f"{self.kind}.pause", resource=row["id"], details={"reason": "erasure"})
                blotted += 1
        await self._forget_problems(db, named)
        return blotted

    async def _all(self, db: Db) -> Sequence[dict[str, Any]]:
        return await db.rows(dict, self.asks.some, one=None, after=None, limit=None)

    async def _readable(self, db: Db, row: Mapping[str, Any]) -> JsonValue:
        try:
            return await self._held(db, row)
        except BlobDamaged:  # nobody can read it any more; it must not keep an erasure from the others
            log.warning("the %s %s does not open", self.kind, row["id"])
            return None

    @abstractmethod
    async def _held(self, db: Db, row: Mapping[str, Any]) -> JsonValue:
        """What it holds sealed. Raises BlobDamaged."""

    @abstractmethod
    async def _rewrite(self, db: Db, id: str, held: JsonValue, problem: Problem) -> None:
        """Hold this instead, paused, with the reason."""

    @abstractmethod
    async def _forget_problems(self, db: Db, named: Named) -> None:
        """The words of a problem that names one of these go; its code stays."""

    # -- making and reading -------------------------------------------------------------------------

    def _admitted(self, scope: Scope, name: str, type: str, priority: int) -> JobType:
        """The type, if the caller may have it dispatched. Raises Forbidden, UnknownJobType, BadSchedule, BadTrigger."""
        scope.need("work:manage")
        kind = self._registry.get(type)
        self._dispatching.need(scope, kind)
        if kind.internal:
            raise self.wrong(f"{kind.name} is dispatched by the house alone.", field="type")
        check_name(name, self.wrong)
        if not -_PRIORITY_MAX <= priority <= _PRIORITY_MAX:
            raise self.wrong(f"priority is a number from -{_PRIORITY_MAX} to {_PRIORITY_MAX}.", field="priority")
        return kind

    @asynccontextmanager
    async def _making(self, scope: Scope) -> AsyncGenerator[Db]:
        """The transaction in which one is made. Raises AlreadyThere when its name is taken."""
        try:
            async with self._store.under(scope) as db:
                yield db
        except AlreadyThere as fault:
            raise AlreadyThere(f"There is a {self.kind} of this name already.") from fault

    async def _one(self, db: Db, which: str) -> Order:
        row = await db.row(dict, self.asks.some, one=plain(which), after=None, limit=1)
        if row is None:
            raise self.unknown
        return await self._opened(db, row)

    @abstractmethod
    async def _opened(self, db: Db, row: Mapping[str, Any]) -> Order:
        """The order that a row tells of."""

    async def _afresh(self, db: Db, found: Order) -> Mapping[str, object]:
        """What a resumed order begins with."""
        return {}
