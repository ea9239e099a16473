"""One attempt, from the claim to its outcome: load, run the type's code, and write what became of it.

returned              done                      a Refusal, a fault of the code's own   failed: retrying helps nobody
Suspended             it waits, and has let go   what may pass by itself               put off, then failed
Superseded            another has it             stopped by a person                   cancelled
the process stops     given back                 past its deadline                     failed
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bastide.errors import (
    BadStepResult,
    BastideError,
    Contended,
    DatabaseUnavailable,
    DeadlinePassed,
    NotFound,
    Refusal,
    StepTooSlow,
    Superseded,
    TooMany,
    Unavailable,
    UnknownJobVersion,
)
from bastide.policy import Label
from bastide.store import Scope, Store, from_uuid, queries
from bastide.telemetry import count, log
from bastide.tenancy import Tenancy
from bastide.workflows.chains import AT_WORK
from bastide.workflows.dispatching import Dispatching
from bastide.workflows.ending import About, Endings, Outcome, note, problem_from, sealed_problem
from bastide.workflows.holding import Held, Memo, Suspended
from bastide.workflows.queue import Claim
from bastide.workflows.registry import JobType, Registry
from bastide.workflows.running import Performs, Run
from bastide.workflows.values import JsonValue

_Q = queries("bastide.workflows")
_LOAD, _PUT_OFF, _GIVE_BACK = _Q["load_run"], _Q["put_off"], _Q["give_back"]

_UNDO_S = 5.0  # a handler that was told to stop may clean up so long


@dataclass(slots=True)
class AtWork:
    """A run that this process holds now."""

    claim: Claim
    task: asyncio.Task[JsonValue] | None = None
    run: Run[Any] | None = None
    stopping: bool = False  # a person asked
    leaving: bool = False  # this process stops
    told: bool = False

    def stop(self, *, leaving: bool = False) -> None:
        """No further step; what runs is interrupted."""
        known = self.leaving if leaving else self.stopping
        self.stopping = self.stopping or not leaving
        self.leaving = self.leaving or leaving
        if self.run:
            self.run.stopping = True
        if self.task and not (known and self.told):  # told once: its clean-up is not interrupted again
            self.told = True
            self.task.cancel()


class Executing:
    """Executes claims."""

    def __init__(
        self,
        store: Store,
        tenancy: Tenancy,
        registry: Registry,
        dispatching: Dispatching,
        endings: Endings,
        effects: Performs,
    ) -> None:
        self._store = store
        self._tenancy = tenancy
        self._registry = registry
        self._dispatching = dispatching
        self._endings = endings
        self._effects = effects
        self.at_work: dict[str, AtWork] = {}

    async def execute(self, claim: Claim) -> None:
        """Everything about one claim. Never raises but for a database that is away, or a cancelled worker."""
        at_work = self.at_work[claim.run] = AtWork(claim)
        tenant = from_uuid("ten", claim.tenant)
        scope = await self._tenancy.system_scope(tenant)
        try:
            try:
                held, given, row = await self._load(claim, scope)
            except BastideError as fault:
                if isinstance(fault, Unavailable):
                    raise
                await self._fail(claim, scope, fault, None, failures=10**6)
                return
            await self._attempt(at_work, held, given, row)
        finally:
            del self.at_work[claim.run]

    async def _load(self, claim: Claim, system: Scope) -> tuple[Held, Any, Mapping[str, Any]]:
        kind = self._registry.runnable(claim.type, claim.version)
        if kind is None:
            raise UnknownJobVersion(f"This worker cannot run {claim.type} version {claim.version}.")
        (row,) = await self._store.ask(system, dict, _LOAD, again=True, id=claim.run)
        row["loaded"] = time.monotonic()
        packed = await self._store.unseal(system, row["input"], about=f"workflows.run|{claim.run}|input")
        memos: dict[str, Memo] = {}
        for name, sort, output in row["steps"] or ():
            sealed, about = base64.b64decode(output), f"workflows.step|{claim.run}|{name}"
            memos[name] = Memo(sort, json.loads(await self._store.unseal(system, sealed, about=about)))
        label = Label.from_wire(row["label"])
        scope = await self._tenancy.scope_of_work(
            system.tenant,
            user=row["user_id"],
            app=row["app_id"],
            key=row["key_id"],
            permissions=row["permissions"],
            label=label.to_wire(),
        )
        origin = row["origin"]
        chain = [(link[0], link[1]) for link in row["chain"]] + ([(origin, claim.run)] if origin else [])
        given = self._registry.read_input(kind, packed)
        return Held(claim, kind, scope, label, chain, memos), given, row

    async def _attempt(self, at_work: AtWork, held: Held, given: Any, row: Mapping[str, Any]) -> None:
        claim, kind = held.claim, held.kind
        if row["left_s"] is not None and row["left_s"] <= 0:  # it is not begun at all
            await self._fail(claim, held.scope, DeadlinePassed(), kind, failures=row["failures"])
            return
        run: Run[Any] = Run(self._store, self._dispatching, self._effects, held, given)
        at_work.run = run
        limit = kind.limits.run_s if row["left_s"] is None else min(kind.limits.run_s, row["left_s"])
        overdue = row["left_s"] is not None and row["left_s"] <= kind.limits.run_s
        task = at_work.task = asyncio.create_task(_as_coroutine(kind, run), name=f"run {claim.run}")
        if at_work.stopping or at_work.leaving:
            at_work.stop(leaving=at_work.leaving)
        try:
            done, _ = await asyncio.wait({task}, timeout=max(limit, 0.001))
            if not done:
                run.stopping = True
                await _interrupt(task)
                slow = DeadlinePassed() if overdue else StepTooSlow(f"The attempt took longer than {limit:g} s.")
                await self._fail(claim, held.scope, slow, kind, failures=row["failures"])
                return
        except asyncio.CancelledError:  # the worker itself is being stopped
            at_work.stop(leaving=True)
            await _interrupt(task)
            await asyncio.shield(self._outcome(at_work, held, task, row))
            raise
        await self._outcome(at_work, held, task, row)

    async def _outcome(
        self, at_work: AtWork, held: Held, task: asyncio.Task[JsonValue], row: Mapping[str, Any]
    ) -> None:
        claim, failures = held.claim, row["failures"]
        fault = _fault_of(task)
        if isinstance(fault, Suspended) or (isinstance(fault, Superseded) and not at_work.stopping):
            return
        if at_work.stopping:
            await self._end(claim, held.scope, Outcome("cancelled"))
        elif at_work.leaving and fault is not None:
            await self._give_back(claim, held.scope)
        elif fault is not None:
            await self._fail(claim, held.scope, fault, held.kind, failures=failures)
        else:
            assert at_work.run is not None
            try:
                packed = at_work.run.pack(task.result())
            except BastideError as unusable:
                await self._fail(claim, held.scope, unusable, held.kind, failures=failures)
                return
            await self._finish(at_work.run, row, packed)

    async def _end(self, claim: Claim, scope: Scope, outcome: Outcome) -> bool:
        async with self._store.under(scope) as db:
            return await self._endings.end(db, claim.run, outcome, claim=claim)

    async def _finish(self, run: Run[Any], row: Mapping[str, Any], packed: bytes) -> None:
        claim, parent = run.claim, row["parent"]
        if parent is not None:
            await self._end(claim, run.scope, Outcome("done", packed))
            return
        took_s = row["age_s"] + time.monotonic() - row["loaded"]
        about = About(claim.run, claim.type, parent, row["user_id"], run.chain, run.label, claim.attempt, took_s)
        with suppress(NotFound):  # it is no longer ours, as in `end`
            async with self._store.under(run.scope) as db:
                await self._endings.finish(db, claim, about, packed)

    async def _give_back(self, claim: Claim, scope: Scope) -> None:
        async with self._store.under(scope) as db:
            if await db.value(_GIVE_BACK, id=claim.run, fence=claim.fence) is not None:
                await note(db, claim.run, "given back")

    async def _fail(
        self, claim: Claim, scope: Scope, fault: BaseException, kind: JobType | None, *, failures: int
    ) -> None:
        if not isinstance(fault, BastideError):
            log.error("run %s (%s) failed: %s", claim.run, claim.type, _where(fault))
        problem = problem_from(fault)
        count("job_attempts_failed", type=claim.type)
        counts = (
            0 if isinstance(fault, DatabaseUnavailable | Contended) else 1
        )  # the house's own troubles are not the job's
        again = kind is not None and may_pass(fault) and failures + counts < kind.retry.attempts
        async with self._store.under(scope) as db:
            await note(db, claim.run, "failed", {"code": problem.code, "again": again})
            if not again or kind is None:
                await self._endings.end(db, claim.run, Outcome("failed", problem=problem), claim=claim)
                return
            await db.run(
                _PUT_OFF,
                id=claim.run,
                fence=claim.fence,
                counts=counts,
                pause_s=kind.retry.pause_s(failures + counts),
                code=problem.code,
                problem=await sealed_problem(db, claim.run, problem),
            )


def may_pass(fault: BaseException) -> bool:
    """Whether another attempt may succeed: what was refused stays refused, what was unusable stays unusable."""
    if isinstance(fault, Contended | Unavailable | TooMany):
        return True
    return not isinstance(fault, Refusal | BadStepResult)


async def _as_coroutine(kind: JobType, run: Run[Any]) -> JsonValue:
    AT_WORK.set(run.chain)  # what the code causes is known to come from here
    try:
        return await kind.run(run)
    except (SystemExit, KeyboardInterrupt) as fault:  # these two would end the loop, and with it the whole worker
        raise RuntimeError(f"{type(fault).__name__} was raised by the job's code") from fault


def _where(fault: BaseException) -> str:
    """The kind of an error and the places it came through; not its words, which may be content."""
    frames = traceback.extract_tb(fault.__traceback__)[-5:]
    places = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in reversed(frames)]
    return f"{type(fault).__name__} at {', from '.join(places)}"


def _fault_of(task: asyncio.Task[JsonValue]) -> BaseException | None:
    if not task.done():  # it did not obey; whatever it still does is not committed
        return asyncio.CancelledError()
    if task.cancelled():
        return asyncio.CancelledError()
    return task.exception()


async def _interrupt(task: asyncio.Task[JsonValue]) -> None:
    """Cancel, and wait a little: a handler that swallows it is left behind, without the right to commit."""
    task.cancel()
    _, left = await asyncio.wait({task}, timeout=_UNDO_S)
    if left:
        log.error("%s does not stop; it is left behind and can commit nothing", task.get_name())
        count("jobs_left_behind")
