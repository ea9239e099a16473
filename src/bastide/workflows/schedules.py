"""Schedules: jobs by the clock, each time once, however many processes look at the clock.

A moment that is due is dispatched under a key made of the schedule and that moment, and the schedule moves on in the
same transaction. So a process that dies in between has done nothing, a second one that comes to it finds it moved, and
a clock that is put back comes to keys that are taken. Whether something is due is asked of the database's clock alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from bastide.errors import (
    BadSchedule,
    BastideError,
    DatabaseUnavailable,
    Unavailable,
    UnknownJobType,
    UnknownSchedule,
)
from bastide.store import Db, Scope, from_uuid, new_id, queries
from bastide.telemetry import count, log
from bastide.workflows.blotting import Named
from bastide.workflows.cron import Cron
from bastide.workflows.ending import problem_from
from bastide.workflows.keeping import Maker, kept_of, kept_problem, opened_problem, speaks
from bastide.workflows.standing import Questions, StandingOrders
from bastide.workflows.timely import Schedule
from bastide.workflows.values import Job, JsonValue, Problem

_Q = queries("bastide.workflows")
_ADD, _SCHEDULES, _DUE, _ALL_DUE = _Q["add_schedule"], _Q["schedules"], _Q["schedule_due"], _Q["schedules_due"]
_MOVE, _NOW, _BLOT, _FORGET_PROBLEM = _Q["move_schedule"], _Q["time_now"], _Q["blot_schedule"], _Q["forget_problem"]

_LATE = timedelta(minutes=5)  # what is later than this was missed
_AT_A_TURN = 500
_PREVIEW_MAX = 100
_TICK = timedelta(microseconds=1)


class Schedules(StandingOrders[Schedule]):
    """Makes, keeps and fires schedules."""

    kind, asks = "schedule", Questions(_SCHEDULES, _Q["pause_schedule"], _Q["resume_schedule"], _Q["delete_schedule"])
    unknown, wrong = UnknownSchedule, BadSchedule

    async def create(
        self,
        scope: Scope,
        *,
        name: str,
        type: str,
        cron: str,
        timezone: str = "UTC",
        input: Mapping[str, JsonValue] | None = None,
        priority: int = 0,
        catch_up: bool = False,
    ) -> Schedule:
        """A schedule that dispatches as the caller, who needs the right to this type of job.

        With `catch_up`, the last moment that was missed while the house was down is made good; else a moment that is
        five minutes past is left out. Raises BadSchedule, AlreadyThere, and for the job what `dispatch` raises.
        """
        kind = self._admitted(scope, name, type, priority)
        times = Cron.read(cron, timezone)
        _, packed = self._registry.check_input(kind, input or {})
        id = new_id("sch")
        async with self._making(scope) as db:
            await db.run(
                _ADD,
                id=id,
                name=name,
                type=kind.name,
                input=await db.seal(packed, about=_about(id, "input")),
                cron=times.fields,
                timezone=timezone,
                priority=priority,
                catch_up=catch_up,
                next_at=times.next(await _now(db)),
                **kept_of(scope),
            )
            details: dict[str, JsonValue] = {"type": kind.name, "cron": times.fields, "timezone": timezone}
            await self._audit.record(db, "schedule.create", resource=id, details=details)
            return await self._one(db, id)

    @staticmethod
    def preview(cron: str, timezone: str = "UTC", n: int = 5, *, after: datetime | None = None) -> tuple[datetime, ...]:
        """The next `n` moments (at most 100) after `after`, else after now, in the schedule's zone.

        Raises BadSchedule.
        """
        times = Cron.read(cron, timezone)
        begin = (after or datetime.now(UTC)).astimezone(UTC)
        return tuple(moment.astimezone(times.zone) for moment in times.upcoming(begin, max(1, min(n, _PREVIEW_MAX))))

    # -- firing -------------------------------------------------------------------------------------

    async def turn(self) -> int:
        """Fire what is due; how many jobs were dispatched. Harmless however many come here at once."""
        async with self._store.as_operator(reason="schedules that are due") as db:
            due = await db.rows(tuple, _ALL_DUE, limit=_AT_A_TURN)
        fired = 0
        for tenant, id in due:
            try:
                fired += await self._fire(from_uuid("ten", tenant), id)
            except DatabaseUnavailable:
                raise
            except Unavailable as fault:
                log.info("the schedule %s waits for its next turn: %s", id, fault)
        return fired

    async def _fire(self, tenant: str, id: str) -> bool:
        system = await self._tenancy.system_scope(tenant)
        async with self._store.under(system) as db:
            row = await db.row(dict, _SCHEDULES, one=id, after=None, limit=1)
        if row is None:
            return False
        try:
            scope = await Maker.of(row).scope(self._tenancy, tenant)
            self._dispatching.need(scope, self._registry.get(row["type"]))
            await self._dispatching.ready(scope)
            async with self._store.under(scope) as db:
                return await self._dispatch_due(db, scope, id)
        except Unavailable:
            raise
        except Exception as fault:  # whatever it is, it must not come again each second
            if isinstance(fault, UnknownJobType) and row["now"] - row["next_at"] < _LATE:
                return False  # a process of another version may know the type, and come to it in time
            if not isinstance(fault, BastideError):
                log.exception("the schedule %s could not be fired", id)
            await self._pass_over(system, id, fault)
            return False

    async def _dispatch_due(self, db: Db, scope: Scope, id: str) -> bool:
        due = await self._due(db, id)
        if due is None:
            return False
        if due.meant is None or (due.missed and not due.row["catch_up"]):
            await self._move(db, id, due, problem=_left_out(due) if due.meant else None)
            return False
        made = await self._dispatching.put(
            db,
            scope,
            Job(
                due.row["type"],
                json.loads(await db.unseal(due.row["input"], about=_about(id, "input"))),
                priority=due.row["priority"],
                key=f"{id}@{due.meant.isoformat()}",
            ),
            origin=id,
        )
        await self._move(db, id, due, job=made.id)
        count("schedules_fired", fresh=str(made.fresh).lower())
        return made.fresh

    async def _pass_over(self, system: Scope, id: str, fault: Exception) -> None:
        """This time is given up, with the reason; a schedule that cannot even be read is paused."""
        problem = problem_from(fault)
        async with self._store.under(system) as db:
            known = None
            try:
                due = await self._due(db, id)
            except BadSchedule:
                await self._note(db, id, problem, next_at=await _now(db))
                await db.value(self.asks.pause, id=id)
            else:
                if due is None:
                    return
                known = due.row["problem_code"]
                await self._move(db, id, due, problem=problem)
            if known != problem.code:  # the log says it once, not every minute
                details: dict[str, JsonValue] = {"code": problem.code}
                await self._audit.record(db, "schedule.refused", resource=id, outcome="refused", details=details)
        count("schedules_refused", code=problem.code)

    async def _due(self, db: Db, id: str) -> _Due | None:
        row = await db.row(dict, _DUE, id=id)
        if row is None:
            return None
        times = Cron.read(row["cron"], row["timezone"])
        now: datetime = row["now"]
        meant = times.last(row["next_at"] - _TICK, now) if row["next_at"] <= now else None
        return _Due(row, meant, times.next(now), missed=meant is not None and now - meant > _LATE)

    async def _move(
        self, db: Db, id: str, due: _Due, *, job: str | None = None, problem: Problem | None = None
    ) -> None:
        if due.missed:
            count("schedules_late", caught_up=str(job is not None).lower())
        await self._note(db, id, problem, next_at=due.next_at, last_at=due.meant if job else None, job=job)

    @staticmethod
    async def _note(
        db: Db,
        id: str,
        problem: Problem | None,
        *,
        next_at: datetime,
        last_at: datetime | None = None,
        job: str | None = None,
    ) -> None:
        code, sealed = await kept_problem(db, problem, about=_about(id, "problem"))
        await db.run(_MOVE, id=id, next_at=next_at, last_at=last_at, job=job, code=code, problem=sealed)

    # -- what is kept -------------------------------------------------------------------------------

    async def _opened(self, db: Db, row: Mapping[str, Any]) -> Schedule:
        id = row["id"]
        return Schedule(
            id=id,
            name=row["name"],
            type=row["type"],
            input=json.loads(await db.unseal(row["input"], about=_about(id, "input"))),
            cron=row["cron"],
            timezone=row["timezone"],
            priority=row["priority"],
            catch_up=row["catch_up"],
            paused=row["paused"],
            user=row["user_id"],
            created_at=row["created_at"],
            next_at=None if row["paused"] else row["next_at"],
            last_at=row["last_at"],
            last_job=row["last_job"],
            last_problem=await opened_problem(db, row["problem_code"], row["problem"], about=_about(id, "problem")),
        )

    async def _afresh(self, db: Db, found: Schedule) -> Mapping[str, object]:
        return {"next_at": Cron.read(found.cron, found.timezone).next(await _now(db))}

    async def _held(self, db: Db, row: Mapping[str, Any]) -> JsonValue:
        held: JsonValue = json.loads(await db.unseal(row["input"], about=_about(row["id"], "input")))
        return held

    async def _rewrite(self, db: Db, id: str, held: JsonValue, problem: Problem) -> None:
        packed = json.dumps(held, ensure_ascii=False).encode()
        code, sealed = await kept_problem(db, problem, about=_about(id, "problem"))
        await db.run(_BLOT, id=id, input=await db.seal(packed, about=_about(id, "input")), code=code, problem=sealed)

    async def _forget_problems(self, db: Db, named: Named) -> None:
        for row in await self._all(db):
            if row["problem"] and await speaks(db, row["problem"], named, about=_about(row["id"], "problem")):
                await db.run(_FORGET_PROBLEM, id=row["id"])


@dataclass(frozen=True, slots=True)
class _Due:
    """A schedule whose row is locked: the moment that is to be fired, if there is one, and the next."""

    row: dict[str, Any]
    meant: datetime | None
    next_at: datetime
    missed: bool


def _left_out(due: _Due) -> Problem:
    return Problem(
        "workflows.schedule_missed",
        f"{due.meant:%Y-%m-%d %H:%M} UTC was left out: no worker was there at that time.",
        "Nothing is to be done; with catch_up the last one that was missed is made good.",
    )


async def _now(db: Db) -> datetime:
    now: datetime = await db.value(_NOW)
    return now.astimezone(UTC)


def _about(id: str, part: str) -> str:
    return f"workflows.schedule|{id}|{part}"
