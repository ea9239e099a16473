"""Withdrawing: what nobody waits for any more is stopped and deleted where it lies, as long as that takes.

A batch that has ended, was cancelled or erased leaves files at its providers. A job for each of them asks for their
deletion; what is refused is told in the log, and asked for again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from bastide.audit import Audit
from bastide.errors import BastideError, DatabaseUnavailable, UnknownBatch
from bastide.inference.accounts import Reserving, Took
from bastide.inference.batch_wire import BatchClient, CannotList, Theirs
from bastide.inference.batches.handed import Handed, doomed, drop, note
from bastide.inference.batches.receipting import eur_of
from bastide.inference.gateway import Gateway
from bastide.inference.values import Usage
from bastide.policy import Label
from bastide.store import Db, Scope
from bastide.workflows import Job, JobType, JsonValue, Limits, Retry, Run, Workflows

TYPE: Final = "inference.withdraw"
_SURE_S: Final = 10.0  # as of what is handed over
_STOPPING_S: Final = 1.0
_PAUSES_S: Final = (2.0, 15.0, 60.0, 300.0, 900.0, 3600.0)
_TRIES_MAX: Final = 720  # a month


@dataclass(frozen=True, slots=True)
class Doomed:
    """Which file of calls."""

    handed: str


class Withdrawing:
    """The code of the job type."""

    def __init__(self, audit: Audit, gateway: Gateway, reserving: Reserving) -> None:
        self._audit = audit
        self._gateway = gateway
        self._reserving = reserving

    def type(self) -> JobType:
        """What is registered."""
        return JobType(
            name=TYPE,
            about="Stops and deletes what of a batch still lies at a provider, until it does not.",
            input=Doomed,
            run=self._run,
            permission="model:use",
            limits=Limits(per_tenant=4, overall=16),
            retry=Retry(attempts=20, first_s=5.0),
            internal=True,
        )

    async def _run(self, run: Run[Doomed]) -> JsonValue:
        async with run.fenced() as db:
            rows = await doomed(db, id=run.input.handed)
        if not rows:
            return {"deleted": 0}
        one = rows[0]
        pause = await self._unknown(run, one)
        if pause is None:
            try:
                async with self._gateway.by_file.reach(run.scope, one.model, one.key) as client:
                    found, theirs, known = await self._found(client, one)
                    if await self._stopped(client, theirs):
                        files, outcome = await self._delete(client, found), "done" if known else "unknown"
                        used = None if theirs is None or _collected(one) else theirs.used
                        return await run.write("gone", partial(self._gone, found, files, outcome, used))
                pause = _STOPPING_S
            except DatabaseUnavailable:
                raise
            except BastideError as fault:
                if one.tries >= _TRIES_MAX:
                    return await run.write("gone", partial(self._gone, one, 0, "given up", None))
                pause = await self._refused(run, one, fault)
        await run.rest(pause)
        raise AssertionError("what rests is begun anew")

    @staticmethod
    async def _unknown(run: Run[Doomed], one: Handed) -> float | None:
        """How long to wait until what was asked for last is there, or is not."""
        open_ = one.state in {"uploading", "creating"} and one.asked_s < _SURE_S and not one.problem
        return _SURE_S - one.asked_s if open_ else None

    @staticmethod
    async def _found(client: BatchClient, one: Handed) -> tuple[Handed, Theirs | None, bool]:
        """It with the ids of what is there although nobody had written that down, how its batch is, and whether all of
        that can be known."""
        theirs, known = None, True
        try:
            if one.state == "uploading" and one.upstream_file is None:
                one = replace(one, upstream_file=await client.find_file(one.file_name))
            if one.state == "creating" and one.upstream_batch is None and one.upstream_file is not None:
                theirs = await client.find_batch(one.upstream_file)
                one = one if theirs is None else replace(one, upstream_batch=theirs.id)
        except CannotList:  # the file that we know of can be deleted all the same
            known = False
        if one.upstream_batch is not None:
            theirs = await client.look(one.upstream_batch)
        if theirs is not None:
            one = replace(one, upstream_output=theirs.output, upstream_errors=theirs.errors)
        return one, theirs, known

    @staticmethod
    async def _stopped(client: BatchClient, theirs: Theirs | None) -> bool:
        """Whether nothing is worked on there any more; if it is, it was told to stop."""
        if theirs is None or theirs.ended:
            return True
        if theirs.status != "cancelling":
            await client.cancel(theirs.id)
        return False

    @staticmethod
    async def _delete(client: BatchClient, one: Handed) -> int:
        files = [file for file in (one.upstream_file, one.upstream_output, one.upstream_errors) if file is not None]
        for file in files:
            await client.delete(file)
        return len(files)

    async def _gone(self, one: Handed, files: int, outcome: str, used: Usage | None, db: Db) -> JsonValue:
        if used is not None:  # what was answered there and nobody has collected is paid for all the same
            took, endpoint = Took(used, eur_of(one, used), "aborted"), one.model.endpoint_id
            await self._reserving.settle(
                db, one.account, one.id, [took], endpoint=endpoint, currency=one.price.currency
            )
        await self._reserving.release(db, one.id)
        await drop(db, one.id)
        await self._record(db, one, outcome, {"deleted": files})
        return {"deleted": files}

    async def _refused(self, run: Run[Doomed], one: Handed, fault: BastideError) -> float:
        """Told once; how long to wait before it is asked for again."""
        async with run.fenced() as db:
            try:
                await note(db, replace(one, tries=one.tries + 1, problem=fault.code), doomed=True)
            except UnknownBatch:
                return 0.0
            if not one.tries:
                await self._record(db, one, "failed", {"problem": fault.code})
        told = fault.facts.get("retry_after_s")
        pause = _PAUSES_S[min(one.tries, len(_PAUSES_S) - 1)]
        return max(pause, float(told)) if isinstance(told, int | float) else pause

    async def _record(self, db: Db, one: Handed, outcome: str, more: Mapping[str, JsonValue]) -> None:
        details: dict[str, JsonValue] = {"from": one.model.endpoint_id, "their_batch": one.upstream_batch, **more}
        subjects = sorted({name for label in one.labels for name in label.subjects})
        await self._audit.record(
            db, "batch.withdraw", resource=one.batch, subjects=subjects, outcome=outcome, details=details
        )


def _collected(one: Handed) -> bool:
    """Whether its answers were read, each of which is settled by itself."""
    return one.upstream_output is not None or one.upstream_errors is not None


async def begin(workflows: Workflows, scope: Scope, db: Db) -> None:
    """Have withdrawn what nobody waits for; each file has one job, however often this is said."""
    for one in await doomed(db):
        job = Job(TYPE, {"handed": one.id}, label=Label.of_scope(scope), key=f"withdraw {one.id}")
        await workflows.dispatch(scope, job, db=db)
