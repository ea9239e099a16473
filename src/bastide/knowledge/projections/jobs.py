"""Jobs of projections. What waits stands in the outbox and not in the job, so each may die anywhere and be begun again.

knowledge.project          sends what waits for one target, until nothing is due; the house dispatches it by itself
knowledge.project.rebuild  empties the tenant's part of a target and sends everything anew: after a loss
knowledge.project.verify   counts and samples what a target holds against what is here; what differs is sent anew
knowledge.project.leave    empties the tenant's part of a target, looks whether it is empty, and forgets the target
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import cast

from bastide.audit import Audit
from bastide.errors import TargetBusy
from bastide.knowledge.projections.checking import Checking
from bastide.knowledge.projections.feeding import AT_A_TURN, Fed, Feeding
from bastide.store import Db, Scope, Store, queries
from bastide.workflows import Effect, JobType, JsonValue, Limits, Retry, Run

_Q = queries("bastide.knowledge")
_NOTE_ALL, _OVER, _FORGET_COPIES, _FORGET = (
    _Q["note_all_changes"],
    _Q["all_before_are_over"],
    _Q["forget_copies"],
    _Q["forget_projection"],
)

MANAGE = "knowledge:manage"
PROJECT, REBUILD, VERIFY, LEAVE = (
    "knowledge.project",
    "knowledge.project.rebuild",
    "knowledge.project.verify",
    "knowledge.project.leave",
)
_TURNS_MAX = 100_000
_WAITS = 120
_LONG = Limits(step_s=3600.0, run_s=12 * 3600.0, per_tenant=1)


@dataclass(frozen=True, slots=True)
class Which:
    """Which target."""

    projection: str


class ProjectionJobs:
    """The code of all four types."""

    def __init__(self, store: Store, audit: Audit, feeding: Feeding, checking: Checking) -> None:
        self._store = store
        self._audit = audit
        self._feeding = feeding
        self._checking = checking

    def types(self) -> tuple[JobType, ...]:
        """What is registered."""
        return (
            JobType(
                name=PROJECT,
                about="Sends what has changed to one target of projections, until nothing is due.",
                input=Which,
                run=self._project,
                permission=MANAGE,
                limits=_LONG,
            ),
            JobType(
                name=REBUILD,
                about="Empties the tenant's part of a target and sends everything anew.",
                input=Which,
                run=self._rebuild,
                permission=MANAGE,
                limits=_LONG,
            ),
            JobType(
                name=VERIFY,
                about="Counts and samples what a target holds against what is here; what differs is sent anew.",
                input=Which,
                run=self._verify,
                permission=MANAGE,
                limits=_LONG,
            ),
            JobType(
                name=LEAVE,
                about="Empties the tenant's part of a target, looks whether it is empty, and forgets the target.",
                input=Which,
                run=self._leave,
                permission=MANAGE,
                limits=_LONG,
                retry=Retry(attempts=8, first_s=2.0),
                effects={"leave": Effect("Everything of the tenant in this target is deleted.")},
            ),
        )

    async def _project(self, run: Run[Which]) -> JsonValue:
        return await self._feed(run)

    async def _feed(self, run: Run[Which]) -> dict[str, JsonValue]:
        total = Fed()
        for number in range(_TURNS_MAX):

            async def turn() -> JsonValue:
                return cast("JsonValue", asdict(await self._feeding.turn(run.scope, run.input.projection)))

            done = Fed(**cast("dict[str, int]", await run.step(f"turn {number}", turn)))  # type: ignore[arg-type]
            total = Fed(total.sent + done.sent, total.taken + done.taken, total.failed + done.failed, done.problem)
            await run.progress(total.tried, total.tried)
            if done.tried < AT_A_TURN:
                break
        return cast("dict[str, JsonValue]", asdict(total))

    # What was changed by a transaction that could not see the target yet is not in the outbox: such are waited for, and
    # everything is noted afterwards.
    async def _rebuild(self, run: Run[Which]) -> JsonValue:
        name = run.input.projection
        for _ in range(_WAITS):
            async with self._store.under(run.scope) as db:
                if await db.value(_OVER, name=name) is not False:
                    break
            await run.sleep("transactions before it", 0.5)
        await run.step("clear", partial(self._clear, run.scope, name))

        async def note(db: Db) -> JsonValue:
            await db.run(_FORGET_COPIES, name=name)
            await db.run(_NOTE_ALL, name=name)
            await self._audit.record(db, "projection.rebuild", resource=name)
            return None

        await run.write("note", note)
        return await self._feed(run)

    async def _verify(self, run: Run[Which]) -> JsonValue:
        name = run.input.projection

        async def compare() -> JsonValue:
            found = await self._checking.compare(run.scope, name)
            await self._checking.note(run.scope, name, found)
            return found

        return await run.step("compare", compare)

    async def _leave(self, run: Run[Which]) -> JsonValue:
        name = run.input.projection

        async def leave(arguments: JsonValue, key: str) -> JsonValue:
            return await run.step("clear", partial(self._clear, run.scope, name))

        done = await run.effect(
            "leave", {"projection": name}, leave, shown=f"The target {name} is emptied and forgotten."
        )

        async def forget(db: Db) -> JsonValue:
            await db.run(_FORGET, name=name)
            left = done if isinstance(done, Mapping) else {}
            await self._audit.record(db, "projection.remove", resource=name, details=cast("dict[str, JsonValue]", left))
            return None

        await run.write("forget", forget)
        return done

    async def _clear(self, scope: Scope, name: str) -> JsonValue:
        target = await self._feeding.target(scope, name)
        async with self._feeding.opened(scope, target) as adapter:
            before = await adapter.total()
            await adapter.clear()
            left = await adapter.total()
        if left:
            raise TargetBusy(f"The target still holds {left} items after it was told to delete them.")
        return {"deleted": before, "left": left}
