"""Dispatching: a job becomes a run, in the transaction of whoever asks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime

from bastide.audit import Audit
from bastide.errors import AlreadyThere, BadJob, BastideError, UnknownJob
from bastide.policy import Label, Policy
from bastide.store import Db, Json, Scope, Store, is_id, new_id, queries
from bastide.telemetry import count
from bastide.workflows.registry import JobType, Registry
from bastide.workflows.values import ENDED, Dispatched, Job, JsonValue

_Q = queries("bastide.workflows")
_ADD, _BY_KEY, _BY_DEDUP = _Q["add_run"], _Q["find_run_by_key"], _Q["find_run_by_dedup"]
_MENTION, _ANNOUNCE, _LOCK = _Q["add_mention"], _Q["announce"], _Q["lock_run"]

Chain = Sequence[tuple[str, str]]
"""What led to a job: (trigger or schedule, job) of each before it, oldest first."""

_ANNOUNCE_S = 0.005
_KEY_MAX = 200
_PRIORITY_MAX = 100


class Dispatching:
    """Writes runs."""

    def __init__(self, store: Store, audit: Audit, policy: Policy, registry: Registry) -> None:
        self._store = store
        self._audit = audit
        self._policy = policy
        self._registry = registry
        self._announced = 0.0
        self.feeder: Callable[[], None] | None = None  # wakes the feeder of this process, where there is one

    async def ask(self, scope: Scope, job: Job, *, chain: Chain = ()) -> Dispatched:
        """The same as `put`, in a transaction of its own, for a caller whose rights are checked here."""
        self.need(scope, self._registry.get(job.type))
        await self._policy.refresh(scope)  # before the transaction
        for last in (False, True):
            try:
                async with self._store.under(scope) as db:
                    made = await self.put(db, scope, job, chain=chain, alone=True)
                await self._announce()
                return made
            except AlreadyThere:  # the run with the same key began or ended between two looks
                if last:
                    raise
                await asyncio.sleep(0.01)
        raise AssertionError("unreachable")

    @staticmethod
    def need(scope: Scope, kind: JobType) -> None:
        """Refuse who may not dispatch this type. Raises Forbidden."""
        scope.need("work:run")
        scope.need(kind.permission)

    async def ready(self, scope: Scope) -> None:
        """Read the tenant's law, which `put` asks for, while no connection is held."""
        await self._policy.refresh(scope)

    async def put(
        self,
        db: Db,
        scope: Scope,
        job: Job,
        *,
        origin: str | None = None,
        chain: Chain = (),
        alone: bool = False,
        recorded: bool = True,
    ) -> Dispatched:
        """Write a run in this transaction. Rights are the caller's matter; input, version and label are checked.
        `alone`: nothing else is in this transaction, so nobody can look for the run before its end.

        Raises UnknownJobType, UnknownJobVersion, JobInputWrong, JobTooLarge, JobLabelRefused, BadJob, UnknownJob.
        """
        kind = self._registry.get(job.type)
        version = self._registry.check_version(kind, job.version)
        given, packed = self._registry.check_input(kind, job.input)
        label = (await self._policy.refresh(scope)).default if job.label is None else job.label
        label = label.join(Label.of_scope(scope))
        if kind.label is not None:
            label = label.join(kind.label(given, label))
        self._registry.check_label(kind, label)
        _check(job)
        if job.parent is not None:
            await self._check_parent(db, job.parent)
        id = new_id("job")
        row = {
            "id": id,
            "type": kind.name,
            "version": version,
            "priority": job.priority,
            "due_at": job.due_at,
            "deadline": job.deadline,
            "parent": job.parent,
            "origin": origin,
            "chain": Json([list(link) for link in chain]),
            "key": job.key,
            "dedup": job.dedup,
            "user": scope.user,
            "app": scope.app,
            "key_id": scope.key,
            "permissions": sorted(scope.permissions),
            "label": Json(label.to_wire()),
            "input": await db.seal(packed, about=f"workflows.run|{id}|input"),
            "budget_tokens": job.budget_tokens,
            "budget_eur": job.budget_eur,
        }
        if alone and not (job.key or job.dedup or label.subjects):
            await db.at_commit(_ADD, **row)  # nothing can be there already: it need not be looked at
        elif await db.value(_ADD, **row) is None:
            return await self._known(db, job, kind)
        for subject in label.subjects:
            await db.run(_MENTION, subject=await db.keyed(subject.encode(), purpose="workflows subject"), run=id)
        if recorded:
            details: dict[str, JsonValue] = {
                "type": kind.name,
                "version": version,
                "origin": origin,
                "parent": job.parent,
            }
            await self._audit.record(
                db,
                "job.dispatch",
                resource=id,
                subjects=sorted(label.subjects),
                details={name: value for name, value in details.items() if value is not None},
            )
        if not alone:
            await db.at_commit(_ANNOUNCE, said="ready")
        count("jobs_dispatched", type=kind.name)
        return Dispatched(id, kind.name)

    async def _known(self, db: Db, job: Job, kind: JobType) -> Dispatched:
        known = await db.value(_BY_KEY, type=kind.name, key=job.key) if job.key else None
        if known is None and job.dedup:
            known = await db.value(_BY_DEDUP, type=kind.name, dedup=job.dedup)
        if known is None:
            raise AlreadyThere
        return Dispatched(known, kind.name, fresh=False)

    @staticmethod
    async def _check_parent(db: Db, parent: str) -> None:
        row = await db.row(tuple, _LOCK, id=parent)
        if row is None:
            raise UnknownJob(f"There is no job {parent[:80]!r} to be the parent.")
        if row[0] in ENDED:
            raise UnknownJob(f"The job {parent} has ended; it takes no further parts.")

    async def _announce(self) -> None:
        # After the commit, in a transaction that writes nothing: a NOTIFY inside would make all commits that carry one
        # wait for each other's disk. Of jobs that come thick, one in five milliseconds is announced: the feeder looks
        # several times before it rests.
        if self.feeder is not None:
            self.feeder()
            return
        now = time.monotonic()
        if now - self._announced > _ANNOUNCE_S:
            self._announced = now
            with suppress(BastideError):  # the job is there; the feeder finds it at its next look
                await self._store.ask_as_operator(tuple, _ANNOUNCE, durable=False, said="ready")


def _check(job: Job) -> None:
    if not -_PRIORITY_MAX <= job.priority <= _PRIORITY_MAX:
        raise BadJob(f"priority is a number from -{_PRIORITY_MAX} to {_PRIORITY_MAX}, not {job.priority}.")
    for name, text in (("key", job.key), ("dedup", job.dedup)):
        if text is not None and not (0 < len(text) <= _KEY_MAX and text.isprintable()):
            raise BadJob(f"{name} is a text of 1 to {_KEY_MAX} printable characters.")
    for name, moment in (("due_at", job.due_at), ("deadline", job.deadline)):
        if moment is not None:
            _check_moment(name, moment)
    for name, budget in (("budget_tokens", job.budget_tokens), ("budget_eur", job.budget_eur)):
        if budget is not None and not 0 <= budget < 1e15:
            raise BadJob(f"{name} is a number that is not negative.")
    if job.parent is not None and not is_id(job.parent, "job"):
        raise UnknownJob(f"{job.parent[:80]!r} is not a job's id.")


def _check_moment(name: str, moment: datetime) -> None:
    if moment.tzinfo is None:
        raise BadJob(f"{name} needs a time zone, such as 2026-11-21T08:00:00+01:00.")
    if not 2000 <= moment.year < 2200:
        raise BadJob(f"{name} lies in the year {moment.year}.")
