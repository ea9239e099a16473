"""Feeding: what waits in the outbox of one target is sent, at least once, and marked when the target has taken it.

A document goes this way, so that a crash at any step is made good by doing it again:

1. its present state is read, or why there must be nothing of it
2. policy decides on it for this target; after a no it is taken away, because what lies there must not stay there
3. it is put; or taken, and then looked for
4. one transaction: the change goes, the copy is noted, the log is told

Between 3 and 4 a worker may die: the change is still there, and the same is sent again under the same ids. A worker who
comes to 4 and finds the change gone was overtaken: what it sent may be old, so the change is noted anew.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bastide import telemetry
from bastide.audit import Audit
from bastide.egress import Egress
from bastide.errors import (
    BastideError,
    BlobDamaged,
    NoPermittedModel,
    TargetBusy,
    TargetRefused,
    UnknownProjection,
)
from bastide.knowledge.projections.gathering import ERASED, Gathering, Withheld
from bastide.knowledge.projections.neo4j import Neo4j
from bastide.knowledge.projections.qdrant import Qdrant
from bastide.knowledge.projections.s3 import S3
from bastide.knowledge.projections.speaking import Wire
from bastide.knowledge.projections.values import Adapter, Content, Target
from bastide.policy import Decision, Label, Policy
from bastide.store import Db, Scope, Store, queries
from bastide.workflows import JsonValue

_Q = queries("bastide.knowledge")
_GET, _DUE, _SENT, _FAILED = _Q["get_projection"], _Q["changes_due"], _Q["change_sent"], _Q["change_failed"]
_PUT, _TAKEN, _NOTE = _Q["copy_put"], _Q["copy_taken"], _Q["note_some_changes"]
_TARGET_FAILED, _ANSWERED = _Q["projection_failed"], _Q["projection_answered"]

AT_A_TURN = 50
_ASKING_S = 120.0
_ADAPTERS: dict[str, Callable[[Target, Wire], Adapter]] = {"qdrant": Qdrant, "neo4j": Neo4j, "s3": S3}
_OF_ONE = (
    TargetRefused,
    NoPermittedModel,
    BlobDamaged,
)  # of this document; any other fault is of the target as a whole


@dataclass(frozen=True, slots=True)
class Fed:
    """What a turn did. `problem` is why it ended early; empty when everything that was due was tried."""

    sent: int = 0
    taken: int = 0
    failed: int = 0
    problem: str = ""

    @property
    def tried(self) -> int:
        """How many changes were tried."""
        return self.sent + self.taken + self.failed


class Feeding:
    """Feeds targets, and opens them for who verifies."""

    def __init__(self, store: Store, audit: Audit, policy: Policy, egress: Egress) -> None:
        self._store = store
        self._audit = audit
        self._policy = policy
        self._egress = egress
        self._gathering = Gathering(store)

    async def target(self, scope: Scope, name: str) -> Target:
        """The target with its key. Raises UnknownProjection."""
        async with self._store.under(scope) as db:
            row = await db.row(dict, _GET, name=name)
            if row is None:
                raise UnknownProjection
            sealed = row["sealed_key"]
            key = None if sealed is None else (await db.unseal(sealed, about=key_about(name))).decode()
        collections = None if row["collections"] is None else tuple(row["collections"])
        return Target(
            scope.tenant,
            name,
            row["kind"],
            row["url"],
            row["record"],
            row["options"],
            collections,
            row["class_max"],
            key,
        )

    async def content(self, scope: Scope, target: Target, document: str) -> Content | Withheld:
        """What the target should hold of a document, policy included."""
        found = await self._gathering.content(scope, target, document)
        if isinstance(found, Withheld):
            return found
        decision = await self._decided(scope, target, found.label)
        return found if decision.allowed else Withheld(f"Policy refuses: {decision.why}")

    @asynccontextmanager
    async def opened(self, scope: Scope, target: Target, label: Label | None = None) -> AsyncGenerator[Adapter]:
        """The target, for bytes with this label; without one for ids and counts. Raises NoPermittedModel."""
        decision = await self._decided(scope, target, label or Label())
        decision.permit()
        pinned = self._policy.record(target.record).attributes.get("spki_sha256")
        permit = self._egress.permit(decision, pins=tuple(pinned.value) if pinned else ())
        async with self._egress.open(permit, total_s=_ASKING_S) as client:
            yield _ADAPTERS[target.kind](target, Wire(client, target.url))

    async def turn(self, scope: Scope, name: str, *, even_resting: bool = False) -> Fed:
        """Send what is due, up to `AT_A_TURN` changes; ends early when the target as a whole does not answer."""
        target = await self.target(scope, name)
        async with self._store.under(scope) as db:
            due = await db.rows(tuple, _DUE, name=name, limit=AT_A_TURN, even_resting=even_resting)
        sent = taken = failed = 0
        for subject, seq, _ in due:
            try:
                put = await self._one(scope, target, subject, seq)
            except (TimeoutError, BastideError) as fault:
                problem = _told(fault)
                whole = not isinstance(fault, _OF_ONE)
                failed += 1
                await self._note_failure(scope, target, (subject, seq), problem, _wait(fault), whole=whole)
                if whole:
                    return Fed(sent, taken, failed, problem)
            else:
                sent, taken = sent + put, taken + (not put)
        if sent + taken:
            async with self._store.under(scope) as db:
                await db.run(_ANSWERED, name=name)
        return Fed(sent, taken, failed)

    async def _one(self, scope: Scope, target: Target, subject: str, seq: int) -> bool:
        """True when it was put, False when it was taken away."""
        if subject.startswith("ent_"):
            async with self.opened(scope, target) as adapter:
                await adapter.alias(subject, await self._gathering.same_as(scope, subject))
            async with self._store.under(scope) as db:
                await _mark(db, target, subject, seq)
            return True
        content = await self.content(scope, target, subject)
        if isinstance(content, Withheld):
            await self._take(scope, target, subject, seq, content.why)
            return False
        async with self.opened(scope, target, content.label) as adapter:
            items = await adapter.put(content)
        async with self._store.under(scope) as db:
            await _mark(db, target, subject, seq)
            await db.run(_PUT, name=target.name, subject=subject, items=items)
            await self._audit.record(
                db,
                "projection.put",
                resource=subject,
                subjects=sorted(content.label.subjects),
                details={"projection": target.name, "version": content.version, "items": items},
            )
        telemetry.count("projection_sent", kind=target.kind, act="put")
        return True

    async def _take(self, scope: Scope, target: Target, subject: str, seq: int, why: str) -> None:
        async with self.opened(scope, target) as adapter:
            await adapter.take(subject)
            left = await adapter.held(subject)
        if left:
            raise TargetBusy(f"The target still holds {left} items of {subject} after it was told to delete them.")
        async with self._store.under(scope) as db:
            await _mark(db, target, subject, seq)
            await db.run(_TAKEN, name=target.name, subject=subject, why=why)
            details: dict[str, JsonValue] = {"projection": target.name, "erased": why == ERASED}
            await self._audit.record(db, "projection.take", resource=subject, details=details)
        telemetry.count("projection_sent", kind=target.kind, act="take")

    async def _decided(self, scope: Scope, target: Target, label: Label) -> Decision:
        await self._policy.refresh(scope)
        return self._policy.decide(scope, label, target.endpoint, capability="storage")

    async def _note_failure(
        self, scope: Scope, target: Target, change: tuple[str, int], problem: str, wait_s: float, *, whole: bool
    ) -> None:
        subject, seq = change
        async with self._store.under(scope) as db:
            await db.run(_FAILED, name=target.name, subject=subject, seq=seq, problem=problem, wait_s=wait_s)
            if whole:
                await db.run(_TARGET_FAILED, name=target.name, problem=problem, wait_s=wait_s)
        telemetry.count("projection_failures", kind=target.kind, whole=str(whole).lower())


async def _mark(db: Db, target: Target, subject: str, seq: int) -> None:
    if not await db.run(_SENT, name=target.name, subject=subject, seq=seq):
        await db.run(_NOTE, name=target.name, ids=[subject])


def key_about(name: str) -> str:
    """What a target's sealed key is bound to."""
    return f"knowledge.projection|{name}|key"


def _told(fault: BaseException) -> str:
    return f"{fault.code}: {fault.message}"[:500] if isinstance(fault, BastideError) else "It took too long."


def _wait(fault: BaseException) -> float:
    wait = fault.facts.get("wait_s", 0.0) if isinstance(fault, BastideError) else 0.0
    return float(wait) if isinstance(wait, int | float) else 0.0
