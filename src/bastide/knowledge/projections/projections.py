"""Projections: the class. Each operation asks the scope first. No search and no answer ever reads from a target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bastide.audit import Audit
from bastide.egress import Egress
from bastide.errors import (
    AlreadyThere,
    BadProjection,
    ProjectionExists,
    UnknownCollection,
    UnknownProjection,
)
from bastide.knowledge import bounds
from bastide.knowledge.projections.checked import checked
from bastide.knowledge.projections.checking import Checking
from bastide.knowledge.projections.feeding import Feeding, key_about
from bastide.knowledge.projections.jobs import LEAVE, MANAGE, PROJECT, REBUILD, VERIFY, ProjectionJobs
from bastide.knowledge.projections.values import Departure, NewProjection, Projection
from bastide.knowledge.projections.waking import Waiting, Waking
from bastide.policy import Label, Policy
from bastide.store import Db, Json, Scope, Store, queries
from bastide.tenancy import Tenancy
from bastide.workflows import Dispatched, Job, Workflows

READ = "knowledge:read"

_Q = queries("bastide.knowledge")
_ADD, _SAME, _LIST, _LEAVES = (
    _Q["add_projection"],
    _Q["same_place"],
    _Q["list_projections"],
    _Q["projection_leaves"],
)
_FORGET, _DEPARTURES, _HAS = _Q["forget_projection"], _Q["departures"], _Q["has_collection"]


class Projections:
    """Copies of a tenant's documents in other systems: kept up to date, verified, taken away."""

    def __init__(
        self,
        store: Store,
        audit: Audit,
        tenancy: Tenancy,
        policy: Policy,
        egress: Egress,
        workflows: Workflows,
    ) -> None:
        self._store = store
        self._audit = audit
        self._policy = policy
        self._workflows = workflows
        self.feeding = Feeding(store, audit, policy, egress)
        self.checking = Checking(store, audit, self.feeding)
        self.waking = Waking(store, tenancy, workflows)
        for kind in ProjectionJobs(store, audit, self.feeding, self.checking).types():
            workflows.register(kind)

    async def start(self, *, work: bool) -> None:
        """With `work`, look for what waits."""
        if work:
            self.waking.start()

    async def stop(self) -> None:
        """Look no more; what waits stays in the outbox."""
        await self.waking.stop()

    async def add(self, scope: Scope, new: NewProjection) -> tuple[Projection, Dispatched]:
        """A new target, and the job that fills it: both are here, or neither. Its record must be enabled by then.

        Raises BadProjection, ProjectionExists, UnknownRecord, UnknownCollection.
        """
        scope.need(MANAGE)
        new = checked(new)
        record = self._policy.record(new.record)
        if (record.kind == "local") != new.record.startswith("local/"):
            raise BadProjection("This record does not describe such a place.", field="record")
        async with self._store.under(scope) as db:
            for name in new.collections or ():
                if not await db.value(_HAS, name=name):
                    raise UnknownCollection(f"There is no collection {name!r} here.")
            if same := await db.value(_SAME, kind=new.kind, url=new.url, options=Json(dict(new.options))):
                raise ProjectionExists(f"The projection {same} leads to this place already.", name=same)
            try:
                await self._write(db, scope, new)
            except AlreadyThere as fault:
                raise ProjectionExists(f"There is a projection {new.name} already.", name=new.name) from fault
            details: dict[str, Any] = {"kind": new.kind, "url": new.url, "record": new.record, "class": new.class_max}
            details["collections"] = None if new.collections is None else list(new.collections)
            await self._audit.record(db, "projection.add", resource=new.name, details=details)
            job = Job(REBUILD, {"projection": new.name}, label=Label.of_scope(scope))
            made = await self._workflows.dispatch(scope, job, db=db)
            return await self._one(db, new.name), made

    async def list(self, scope: Scope) -> tuple[Projection, ...]:
        """All targets of the tenant by name, with how far behind each is."""
        scope.need(READ)
        async with self._store.under(scope) as db:
            return tuple(_projection(row) for row in await db.rows(dict, _LIST, name=None))

    async def get(self, scope: Scope, name: str) -> Projection:
        """One target. Raises UnknownProjection."""
        scope.need(READ)
        async with self._store.under(scope) as db:
            return await self._one(db, name)

    async def feed(self, scope: Scope, name: str) -> Dispatched:
        """Send now what waits; it is sent by itself within seconds, too. Raises UnknownProjection."""
        return await self._dispatch(scope, PROJECT, name)

    async def rebuild(self, scope: Scope, name: str) -> Dispatched:
        """Empty the tenant's part of the target and send everything anew. Raises UnknownProjection."""
        return await self._dispatch(scope, REBUILD, name)

    async def verify(self, scope: Scope, name: str) -> Dispatched:
        """Count and sample what the target holds against what is here. Raises UnknownProjection."""
        return await self._dispatch(scope, VERIFY, name)

    async def remove(
        self, scope: Scope, name: str, *, abandon: bool = False, reason: str = ""
    ) -> Dispatched | Projection:
        """Empty the tenant's part of the target, then forget it: a job, which fails when the target does not answer.

        With `abandon` it is forgotten at once, and what it held stays there: its last state is given back and recorded.
        Raises UnknownProjection.
        """
        scope.need(MANAGE)
        why = bounds.reason(reason)
        async with self._store.under(scope) as db:
            found = await self._one(db, name)
            if abandon:
                await db.run(_FORGET, name=name)
                left: dict[str, Any] = {"reason": why, "documents_left": found.documents, "items_left": found.items}
                await self._audit.record(db, "projection.abandon", resource=name, details=left)
                return found
            await db.run(_LEAVES, name=name)
            job = Job(LEAVE, {"projection": name}, label=Label.of_scope(scope))
            return await self._workflows.dispatch(scope, job, db=db)

    async def departures(
        self, scope: Scope, *, documents: Sequence[str] | None = None, limit: int = 200
    ) -> tuple[Departure, ...]:
        """What became of documents that were erased, or kept from a target: gone when, verified when, or why not."""
        scope.need(READ)
        ids = None if documents is None else [bounds.document_id(one) for one in documents]
        async with self._store.under(scope, past_members=True) as db:
            rows = await db.rows(Departure, _DEPARTURES, documents=ids, limit=bounds.limit(limit, 1000))
        return tuple(rows)

    async def waiting(self) -> Waiting:
        """What waits in all outboxes of the house; for its health."""
        return await self.waking.waiting()

    async def _dispatch(self, scope: Scope, type: str, name: str) -> Dispatched:
        scope.need(MANAGE)
        async with self._store.under(scope) as db:
            await self._one(db, name)
        return await self._workflows.dispatch(scope, Job(type, {"projection": name}))

    async def _write(self, db: Db, scope: Scope, new: NewProjection) -> None:
        await db.run(
            _ADD,
            name=new.name,
            kind=new.kind,
            url=new.url,
            record=new.record,
            options=Json(dict(new.options)),
            sealed_key=None if new.key is None else await db.seal(new.key.encode(), about=key_about(new.name)),
            collections=None if new.collections is None else [*new.collections],
            class_max=new.class_max,
            user=scope.user,
            app=scope.app,
            key=scope.key,
            permissions=sorted(scope.permissions),
            label=Json(Label.of_scope(scope).to_wire()),
        )

    @staticmethod
    async def _one(db: Db, name: str) -> Projection:
        row = await db.row(dict, _LIST, name=name)
        if row is None:
            raise UnknownProjection
        return _projection(row)


def _projection(row: dict[str, Any]) -> Projection:
    collections = None if row["collections"] is None else tuple(row["collections"])
    return Projection(**{**row, "collections": collections})
