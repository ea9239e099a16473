"""Workflows: the room's one class. Jobs are dispatched, looked at, stopped, tried again; a worker may run here."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from bastide.audit import Audit
from bastide.errors import BadJob, JobEnded, JobHasEffects, JobNotFailed, UnknownJob
from bastide.policy import Policy
from bastide.settings import WorkSettings
from bastide.store import Db, Page, Scope, Store, is_id, queries
from bastide.telemetry import count
from bastide.tenancy import Tenancy
from bastide.workflows import overseeing, queue
from bastide.workflows.approvals import Approvals
from bastide.workflows.chains import AT_WORK
from bastide.workflows.companions import Companions
from bastide.workflows.dispatching import Dispatching
from bastide.workflows.effects import Effects
from bastide.workflows.ending import Endings, note, wake
from bastide.workflows.executing import Executing
from bastide.workflows.feeder import Feeder
from bastide.workflows.overseers import Overseers
from bastide.workflows.registry import JobType, Registry
from bastide.workflows.rescuing import Rescuing
from bastide.workflows.schedules import Schedules
from bastide.workflows.sight import Sight, record_of
from bastide.workflows.triggers import Triggers
from bastide.workflows.values import ENDED, Dispatched, Job, JobRecord, JsonValue, Lane, Trace, WorkHealth
from bastide.workflows.watching import changes
from bastide.workflows.weighing import refuse_restart
from bastide.workflows.worker import Worker

_Q = queries("bastide.workflows")
_JOBS, _LOCK, _STOP, _RETRY = _Q["jobs"], _Q["lock_run"], _Q["stop_runs"], _Q["retry_run"]
_OVERSEER_STOPPED = _Q["overseer_stopped"]
_FORGET_STEPS, _EFFECTS_OF, _ADD_SIGNAL, _ANNOUNCE = (
    _Q["forget_steps"],
    _Q["effects_of"],
    _Q["add_signal"],
    _Q["announce"],
)
_LANES, _SET_LANE, _HEALTH = _Q["lanes"], _Q["set_lane"], _Q["health"]
_SET_PAUSE, _END_PAUSE = _Q["set_pause"], _Q["end_pause"]
_FORGET_SUBJECT, _RUNS_ABOUT, _FORGET_MENTION = _Q["forget_subject"], _Q["runs_about"], _Q["forget_mention"]
_FORGET_STEPS_OF, _FORGET_SIGNALS_OF = _Q["forget_steps_of"], _Q["forget_signals_of"]

_LIMIT_MAX = 500
_STATUSES = ("delayed", "queued", "running", "waiting", "stopping", "done", "failed", "cancelled")
_SIGNAL_BYTES_MAX = 1024 * 1024
_WATCHED_MAX = 1000


class Workflows:
    """Durable work: what was dispatched is done once, whatever dies."""

    def __init__(self, store: Store, audit: Audit, tenancy: Tenancy, policy: Policy, settings: WorkSettings) -> None:
        self._store = store
        self._audit = audit
        self._settings = settings
        self._registry = Registry()
        self._dispatching = Dispatching(store, audit, policy, self._registry)
        self._sight = Sight(self._registry, settings)
        self.triggers = Triggers(store, audit, tenancy, self._dispatching, self._registry)
        self.schedules = Schedules(store, audit, tenancy, self._dispatching, self._registry)
        self.orders = (self.schedules, self.triggers)
        self.approvals = Approvals(store, audit, tenancy, self._registry, self.cancel)
        self.overseers = Overseers(store, audit, tenancy, self._registry)
        self._endings = Endings(audit, self.triggers.happened)
        self.companions = Companions(store, self._registry, self._endings)
        effects = Effects(store, audit)
        executing = Executing(store, tenancy, self._registry, self._dispatching, self._endings, effects)
        self._worker = Worker(store, self._registry, executing, settings)
        rescuing = Rescuing(store, tenancy, self._endings, settings)
        turns = (self.approvals.turn, self.schedules.turn, self.triggers.turn)
        self._feeder = Feeder(store, self._registry, rescuing, self._worker, settings, turns)
        self._works = False

    async def start(self, *, work: bool) -> None:
        """Bring the queue's tables up to date; with `work`, feed it and take from it."""
        await queue.install(self._store)
        self._works = work
        if work:
            await self._worker.start()
            self._feeder.start()
            self._dispatching.feeder = self._feeder.look

    async def stop(self) -> None:
        """Take nothing more; what runs is finished or given back."""
        if self._works:
            self._works = False
            self._dispatching.feeder = None
            await self._feeder.stop()
            await self._worker.stop()

    # -- types --------------------------------------------------------------------------------------

    def register(self, kind: JobType) -> None:
        """Make a type known, before the room starts. Raises ValueError when its name is taken."""
        self._registry.add(kind)

    def types(self) -> list[JobType]:
        """All types, model-only first, by name."""
        return list(self._registry)

    def type(self, name: str) -> JobType:
        """One type. Raises UnknownJobType."""
        return self._registry.get(name)

    # -- jobs ---------------------------------------------------------------------------------------

    async def dispatch(self, scope: Scope, job: Job, *, db: Db | None = None) -> Dispatched:
        """Accept a job. With `db` it is there if and only if that transaction commits (then name the job's label).

        Raises Forbidden, UnknownJobType, UnknownJobVersion, JobInputWrong, JobTooLarge, JobLabelRefused, BadJob.
        """
        if db is None and self._registry.get(job.type).internal:
            raise BadJob(f"{job.type} is dispatched by the house alone.", field="type")
        if db is None:
            return await self._dispatching.ask(scope, job, chain=AT_WORK.get())
        self._dispatching.need(scope, self._registry.get(job.type))
        return await self._dispatching.put(db, scope, job, chain=AT_WORK.get())

    async def job(self, scope: Scope, id: str) -> JobRecord:
        """One job, with why it waits. Raises UnknownJob."""
        scope.need("work:read")
        async with self._store.under(scope) as db:
            row = await self._row(db, scope, id)
            return await record_of(db, row, why=await self._sight.why(db, row))

    async def jobs(
        self,
        scope: Scope,
        *,
        status: str | None = None,
        type: str | None = None,
        parent: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page[JobRecord]:
        """The jobs, newest first: all of the tenant for who may steer or oversee, else one's own. Without outputs."""
        scope.need("work:read")
        if status is not None and status not in _STATUSES:
            raise BadJob(f"There is no status {status[:40]!r}; there are: {', '.join(_STATUSES)}.")
        statuses = None if status is None else [status, "handed"] if status == "queued" else [status]
        limit = max(1, min(limit, _LIMIT_MAX))
        rows = await self._rows(
            scope, told=True, statuses=statuses, kind=type, parent=parent, after=cursor, limit=limit + 1
        )
        more = rows[limit - 1].id if len(rows) > limit else None
        return Page(tuple(rows[:limit]), more)

    async def trace(self, scope: Scope, id: str) -> Trace:
        """A job with all that happened to it. Raises UnknownJob."""
        scope.need("work:read")
        async with self._store.under(scope) as db:
            row = await self._row(db, scope, id)
            return await self._sight.trace(db, await record_of(db, row, why=await self._sight.why(db, row)))

    async def result(self, scope: Scope, id: str, *, timeout_s: float = 60.0) -> JobRecord:
        """The job when it has ended, or as it is after `timeout_s`."""
        async with aclosing(self.watch(scope, [id], for_s=timeout_s)) as seen:
            async for _ in seen:
                pass
        return await self.job(scope, id)

    async def watch(
        self, scope: Scope, ids: Sequence[str] | None = None, *, for_s: float | None = None
    ) -> AsyncGenerator[JobRecord]:
        """Each change of these jobs, beginning with how they are; ends when all have ended, or after `for_s`.

        Without `ids`: of the newest hundred that the scope may see. Records come without outputs. Raises UnknownJob.
        """
        scope.need("work:read")
        if ids is not None:
            if len(ids) > _WATCHED_MAX:
                raise BadJob(f"At most {_WATCHED_MAX} jobs are watched at a time.")
            found = await self._rows(scope, ids=list(ids), limit=len(ids))
            if missing := set(ids) - {record.id for record in found}:
                raise UnknownJob(f"There is no job {min(missing)[:80]!r} here.")

        async def look(wanted: Sequence[str] | None) -> list[JobRecord]:
            return await self._rows(
                scope, ids=None if wanted is None else list(wanted), limit=100 if wanted is None else len(wanted)
            )

        async with aclosing(changes(look, ids, for_s)) as stream:
            async for record in stream:
                yield record

    async def cancel(self, scope: Scope, id: str, *, reason: str = "", wait_s: float = 10.0) -> JobRecord:
        """Stop a job and all its parts: not one further step is recorded, not one further effect begins.

        When a worker holds it, waits up to `wait_s` until that has let go; then the status is `cancelled`, else
        `stopping`. Raises UnknownJob, JobEnded, Forbidden.
        """
        if not scope.permissions & {"work:run", "work:manage", "work:approve"}:
            scope.need("work:run")
        async with self._store.under(scope) as db:
            row = await self._row(db, scope, id)
            if row["status"] in ENDED:
                raise JobEnded(f"The job {id} is {row['status']} already.")
            stopped = await db.rows(tuple, _STOP, id=id)
            for run, status, _ in stopped:
                if status == "stopping":
                    await db.at_commit(_ANNOUNCE, said=f"stop:{run}")
            await note(db, id, "stop")
            await self._audit.record(
                db, "job.stop", resource=id, details={"reason": reason[:500], "parts": len(stopped) - 1}
            )
            if row["parent"]:
                await self._endings.end_of_part(db, row["parent"])
            count("jobs_stopped")
        return await self.result(scope, id, timeout_s=wait_s)

    async def retry(self, scope: Scope, id: str, *, input: Mapping[str, JsonValue] | None = None) -> JobRecord:
        """Begin a failed or cancelled job again; its recorded steps are not repeated.

        With another `input` it begins from nothing, which is refused once it had effects. What an overseer has stopped
        is begun again by an overseer who has not asked for it. Raises UnknownJob, NotYourDecision, JobNotFailed,
        JobHasEffects, and for an input what `dispatch` raises.
        """
        scope.need("work:run")
        async with self._store.under(scope) as db:
            row = await self._row(db, scope, id)
            kind = self._registry.get(row["type"])
            scope.need(kind.permission)
            await db.row(tuple, _LOCK, id=id)
            if await db.value(_OVERSEER_STOPPED, run=id):
                refuse_restart(scope, row)
            packed = None
            if input is not None:
                _, plain = self._registry.check_input(kind, input)
                if await db.value(_EFFECTS_OF, run=id):
                    raise JobHasEffects
                packed = await db.seal(plain, about=f"workflows.run|{id}|input")
            if await db.value(_RETRY, id=id, input=packed) is None:
                raise JobNotFailed(f"The job {id} is {row['status']}.")
            if packed is not None:
                await db.run(_FORGET_STEPS, run=id)
            await note(db, id, "retry")
            await self._audit.record(db, "job.retry", resource=id, details={"mended": input is not None})
            await db.at_commit(_ANNOUNCE, said="ready")
        return await self.job(scope, id)

    async def signal(self, scope: Scope, id: str, name: str, payload: JsonValue = None) -> bool:
        """Send something to a run that waits for it, or will; the first of a name counts, False for a second.

        Raises UnknownJob, JobEnded, BadJob.
        """
        scope.need("work:run")
        if not 0 < len(name) <= 100 or not name.isprintable():
            raise BadJob("The name of a signal is a text of 1 to 100 printable characters.")
        try:
            packed = json.dumps(payload, ensure_ascii=False, allow_nan=False).encode()
        except (TypeError, ValueError, RecursionError) as fault:
            raise BadJob(f"The signal's payload is not JSON: {fault}.") from fault
        if len(packed) > _SIGNAL_BYTES_MAX:
            raise BadJob(f"A signal carries at most {_SIGNAL_BYTES_MAX} bytes.")
        async with self._store.under(scope) as db:
            row = await self._row(db, scope, id)
            await db.row(tuple, _LOCK, id=id)  # the run's own look for signals waits for us, or has seen nothing yet
            if row["status"] in ENDED:
                raise JobEnded(f"The job {id} is {row['status']} already.")
            sealed = await db.seal(packed, about=f"workflows.signal|{id}|{name}")
            fresh = await db.value(_ADD_SIGNAL, run=id, name=name, payload=sealed, sender=scope.user) is not None
            await wake(db, id, f"signal {name}")
        return fresh

    async def forget(self, db: Db, subject: str) -> int:
        """Delete what ended runs, schedules and triggers hold about a person, in this transaction; how many runs.

        Raises Forbidden while a run about the person has not ended: cancel it first.
        """
        keyed = await db.keyed(subject.encode(), purpose="workflows subject")
        left = [row[0] for row in await db.rows(tuple, _RUNS_ABOUT, subject=keyed)]
        if left:
            raise JobNotFailed(f"{len(left)} jobs about this person have not ended: {', '.join(left[:5])}.")
        runs = [row[0] for row in await db.rows(tuple, _FORGET_SUBJECT, subject=keyed)]
        for query in (_FORGET_STEPS_OF, _FORGET_SIGNALS_OF):
            await db.run(query, runs=runs)
        await overseeing.forget(db, runs)
        await db.run(_FORGET_MENTION, subject=keyed, runs=runs)
        for orders in self.orders:
            await orders.forget(db, subject)
        return len(runs)

    # -- steering -----------------------------------------------------------------------------------

    async def lanes(self, scope: Scope) -> list[Lane]:
        """What this tenant has set for its job types."""
        scope.need("work:read")
        async with self._store.under(scope) as db:
            return [Lane(*row) for row in await db.rows(tuple, _LANES)]

    async def set_lane(self, scope: Scope, lane: Lane) -> Lane:
        """Pause, slow or widen one type (`*`: all work of the tenant). Raises UnknownJobType, BadJob."""
        scope.need("work:manage")
        if lane.type != "*":
            self._registry.get(lane.type)
        if (lane.concurrency is not None and not 0 < lane.concurrency <= 10_000) or (
            lane.rate is not None and not (0 < lane.rate <= 10**6 and 0 < (lane.rate_s or 0) <= 86_400)
        ):
            raise BadJob("concurrency and rate are positive numbers, and a rate has its seconds.")
        async with self._store.under(scope) as db:
            await db.run(
                _SET_LANE,
                type=lane.type,
                paused=lane.paused,
                concurrency=lane.concurrency,
                rate=lane.rate,
                rate_s=lane.rate_s,
            )
            await self._audit.record(db, "work.lane", resource=lane.type, details={"paused": lane.paused})
            await db.at_commit(_ANNOUNCE, said="ready")
        return lane

    async def pause(self, scope: Scope, type: str = "*") -> None:
        """Begin nothing more of this type for anybody; what runs goes on. For the platform's operator."""
        await self._platform(scope, type, "work.pause", _SET_PAUSE)

    async def resume(self, scope: Scope, type: str = "*") -> None:
        """End a pause; `*` ends all."""
        await self._platform(scope, type, "work.resume", _END_PAUSE)

    async def _platform(self, scope: Scope, type: str, act: str, query: Any) -> None:
        scope.need("platform:operate")
        if type != "*":
            self._registry.get(type)
        async with self._store.as_operator(reason=act) as db:
            await db.run(query, type=type)
            await self._audit.record(db, act, resource=type)
            await db.at_commit(_ANNOUNCE, said="ready")

    async def health(self) -> WorkHealth:
        """The whole house's queues. Tells nothing of any tenant."""
        async with self._store.as_operator(reason="health of the queues") as db:
            row = await db.row(tuple, _HEALTH, stale_s=self._settings.stale_s)
        assert row is not None
        workers, capacity, queued, handed, running, waiting, failed, oldest, slow = row
        stuck = [f"{slow} jobs were asked to stop more than ten minutes ago and still run."] if slow else []
        return WorkHealth(
            workers=workers,
            capacity=int(capacity),
            queued=queued,
            handed=handed,
            running=running,
            waiting=waiting,
            failed=failed,
            oldest_queued_s=float(oldest),
            stuck=tuple(stuck),
        )

    # -- rows ---------------------------------------------------------------------------------------

    async def _row(self, db: Db, scope: Scope, id: str) -> dict[str, Any]:
        if not is_id(id, "job"):
            raise UnknownJob(f"{id[:80]!r} is not a job's id.")
        row = await db.row(dict, _JOBS, **_asked(scope, ids=[id], limit=1))
        if row is None:
            raise UnknownJob(f"There is no job {id} here.")
        return row

    async def _rows(self, scope: Scope, *, told: bool = False, **asked: Any) -> list[JobRecord]:
        """`told`: with why they wait."""
        async with self._store.under(scope) as db:
            rows = await db.rows(dict, _JOBS, **_asked(scope, **asked))
            whys = await self._sight.whys(db, rows) if told else [""] * len(rows)
            return [await record_of(db, row, why=why, full=False) for row, why in zip(rows, whys, strict=True)]


def _asked(
    scope: Scope,
    *,
    ids: list[str] | None = None,
    statuses: list[str] | None = None,
    kind: str | None = None,
    parent: str | None = None,
    after: str | None = None,
    limit: int,
) -> dict[str, Any]:
    """The parameters of the one question for jobs: who may neither steer nor oversee sees their own."""
    return {
        "mine": not scope.permissions & {"work:manage", "work:approve"},
        "user": scope.user,
        "key": scope.key,
        "ids": ids,
        "status": statuses,
        "type": kind,
        "parent": parent,
        "after": after,
        "limit": limit,
    }
