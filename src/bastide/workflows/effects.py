"""Effects: what a job does to the world outside its own record, once, and only with the oversight that it needs.

    remembered?      what it gave is given back           the gate        one transaction that holds the run: still at
    how strict?      the type, the tenant's rule, the                     work under this fence, the oversight is
                     job itself: the strictest counts                     satisfied; only then `begun` is written
    a person?        the run waits, and comes here again  the work        with a key that is the same at every attempt
    a stop           meets the same row: it comes         the record      what it gave, with the step, in one commit
                     before the gate or after it

Outside, an effect happens at least once, and exactly once for whoever heeds the key: when a worker dies between the
gate and the record, the next attempt does it again with the same key.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from bastide.audit import Audit
from bastide.errors import (
    ApprovalMissing,
    ApprovalRefused,
    BadStepResult,
    Contended,
    DatabaseUnavailable,
    Refusal,
    StepTooSlow,
    Superseded,
    UndeclaredEffect,
)
from bastide.store import Db, Store, queries
from bastide.telemetry import count, log
from bastide.workflows.decisions import digest_of, strictest
from bastide.workflows.holding import Suspended
from bastide.workflows.overseeing import (
    Proposal,
    Row,
    arguments_of,
    ask,
    latest,
    proposal_of,
    result_of,
    verdicts_of,
    withdraw,
)
from bastide.workflows.registry import OVERSIGHT_RANK, JobType, Oversight
from bastide.workflows.running import Run
from bastide.workflows.values import JsonValue

_Q = queries("bastide.workflows")
_DECLARE, _HOLD, _BEGIN, _END = _Q["declare_effect"], _Q["hold_for_effect"], _Q["begin_effect"], _Q["end_effect"]
_IN_FLIGHT = _Q["effects_in_flight"]

_MODES: tuple[Oversight, ...] = tuple(OVERSIGHT_RANK)  # type: ignore[arg-type]  # its keys are the modes
_SPACE = uuid.UUID("6f2f1e0a-7f0b-5c39-9b67-6261737469de")
_JUDGED = "BST09"  # the state under which the triggers of 0002_approvals.sql and 0004_oversight.sql refuse
_SETTLE_S = 2.0  # a stop lets an effect that has begun say so long how it ended
_UNDO_S = 1.0

Work = Callable[[JsonValue, str], Awaitable[JsonValue]]


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The effect that a run asks for."""

    name: str  # as declared
    key: str  # as recorded: with its count when repeated
    arguments: JsonValue
    shown: str
    oversight: Oversight


@dataclass(frozen=True, slots=True)
class Agreed:
    """What an effect may begin with."""

    arguments: JsonValue
    digest: bytes
    approval: str | None


@dataclass(frozen=True, slots=True)
class _Opened:
    """What the gate says."""

    verdict: str  # begun, waiting, taken_over, refused
    value: JsonValue = None  # the arguments to run with, or what the person gave
    why: str = ""
    approval: str | None = None


class Effects:
    """Performs effects."""

    def __init__(self, store: Store, audit: Audit) -> None:
        self._store = store
        self._audit = audit
        self._declared: dict[tuple[str, int], JobType] = {}

    async def perform(
        self,
        run: Run[Any],
        name: str,
        arguments: JsonValue,
        work: Work,
        *,
        shown: str = "",
        oversight: Oversight = "none",
    ) -> JsonValue:
        """The effect's result: done now, done earlier, or given by the person who took it over.

        `work(arguments, key)` is called with the arguments that were agreed to, after the gate is committed; the key
        is the same at every attempt. `oversight` asks for more than the type and the tenant do, never for less.
        Raises UndeclaredEffect, ApprovalRefused and ApprovalMissing (none of them retried), Superseded once the run is
        stopped or taken over, StepTooSlow, and what `work` raises.
        """
        key = run.step_key(name)
        if (memo := run.remembered(key)) is not None:
            return memo.output
        if name not in run.kind.effects:
            raise UndeclaredEffect(f"{run.kind.name} declares no effect {name!r}.", effect=name)
        await self._declare(run.kind)
        wanted = _Wanted(name, key, arguments, shown, strictest(run.kind.effects[name].oversight, oversight))
        # Between the gate and the record nothing may be cut off: who asks to stop, however often, is heard inside.
        stop, stopped = asyncio.Event(), None
        doing = asyncio.create_task(self._do(run, wanted, work, stop), name=f"effect {key} of {run.id}")
        while not doing.done():
            try:
                await asyncio.wait({doing})
            except asyncio.CancelledError as asked:
                stopped = asked
                stop.set()
        fault = doing.exception()
        if stopped is not None:
            raise stopped from fault
        return doing.result()

    @staticmethod
    async def in_flight(db: Db, run: str) -> list[str]:
        """The effects of this run that its present worker has begun and not ended; a stop waits until there is none."""
        return [name for (name,) in await db.rows(tuple, _IN_FLIGHT, run=run)]

    async def _declare(self, kind: JobType) -> None:
        # The database must know what is declared before its trigger can hold anybody to it.
        if self._declared.get((kind.name, kind.version)) is kind:
            return
        async with self._store.as_operator(reason=f"what the job type {kind.name} declares") as db:
            for effect, one in kind.effects.items():
                await db.run(_DECLARE, type=kind.name, version=kind.version, effect=effect, mode=one.oversight)
        self._declared[kind.name, kind.version] = kind

    async def _do(self, run: Run[Any], wanted: _Wanted, work: Work, stop: asyncio.Event) -> JsonValue:
        async with self._judged(run, wanted) as db:
            held = await db.row(tuple, _HOLD, run=run.id, fence=run.claim.fence, effect=wanted.name)
            if held is None:
                raise Superseded
            opened = await self._gate(db, run, wanted, _MODES[held[0] or 0])
        if opened.verdict == "waiting":
            raise Suspended
        if opened.verdict == "refused":
            raise ApprovalRefused(opened.why, approval=opened.approval, effect=wanted.name)
        if opened.verdict == "taken_over":
            return opened.value
        return await self._carry_out(run, wanted, partial(work, opened.value, str(key_of(run, wanted.key))), stop)

    @asynccontextmanager
    async def _judged(self, run: Run[Any], wanted: _Wanted) -> AsyncIterator[Db]:
        """A transaction of the run's scope; a no of the table's own trigger is told as what it is."""
        try:
            async with self._store.under(run.scope) as db:
                yield db
        except Exception as fault:
            if getattr(fault, "sqlstate", None) != _JUDGED:
                raise
            raise ApprovalMissing(
                f"The effect {wanted.name} needs a person's approval, and there is none for these arguments.",
                effect=wanted.name,
            ) from fault

    # -- the gate -----------------------------------------------------------------------------------

    async def _gate(self, db: Db, run: Run[Any], wanted: _Wanted, needed: Oversight) -> _Opened:
        mode = strictest(wanted.oversight, needed)
        if OVERSIGHT_RANK[mode] < OVERSIGHT_RANK["approve"]:
            return await self._unasked(db, run, wanted, mode)
        row = await latest(db, run.id, wanted.key)
        if row is not None and await self._is_for(db, row, wanted) and await self._stands(db, row, mode):
            return await self._as_decided(db, run, wanted, row)
        if row is not None:
            await withdraw(db, row)
        asked, deadline = await ask(db, run.id, wanted.key, mode, Proposal(wanted.arguments, wanted.shown))
        await run.suspend(f"approval {asked}", wake_at=deadline, db=db)
        count("approvals_asked", mode=mode)
        return _Opened("waiting")

    async def _unasked(self, db: Db, run: Run[Any], wanted: _Wanted, mode: Oversight) -> _Opened:
        digest, notice = digest_of(wanted.key, wanted.arguments, wanted.shown), None
        if mode == "informed":
            known = await latest(db, run.id, wanted.key)
            if known is not None and bytes(known.digest) == digest:
                notice = known.id
            else:
                notice, _ = await ask(db, run.id, wanted.key, mode, Proposal(wanted.arguments, wanted.shown))
        return await self._begin(db, run, wanted, Agreed(wanted.arguments, digest, notice))

    @staticmethod
    async def _is_for(db: Db, row: Row, wanted: _Wanted) -> bool:
        """Whether this was asked about these arguments. What a person was shown stays as it was shown."""
        if row.mode == "informed":
            return False
        shown = (await proposal_of(db, row)).shown
        return digest_of(wanted.key, wanted.arguments, shown) == bytes(row.digest)

    @staticmethod
    async def _stands(db: Db, row: Row, mode: Oversight) -> bool:
        """Whether what was asked or decided still counts; if not, persons are asked anew."""
        if row.status == "withdrawn" or (row.retried and row.status in {"refused", "expired", "stopped"}):
            return False
        return row.status in {"refused", "expired", "stopped", "taken_over"} or (
            OVERSIGHT_RANK[row.mode] >= OVERSIGHT_RANK[mode]
        )

    async def _as_decided(self, db: Db, run: Run[Any], wanted: _Wanted, row: Row) -> _Opened:
        if row.status in {"pending", "stopped"} or (row.status == "expired" and row.fallback == "cancel"):
            await run.suspend(row.waits_for, db=db)  # woken too early; a stop or a deadline is about to end the run
            return _Opened("waiting")
        if row.status == "taken_over":
            given = await result_of(db, row)
            return _Opened("taken_over", await run.remember(db, wanted.key, "effect", given, 0.0))
        if row.status == "approved":
            agreed = Agreed(await arguments_of(db, row), bytes(row.agreed), row.id)
            shown = (await proposal_of(db, row)).shown
            if digest_of(wanted.key, agreed.arguments, shown) != agreed.digest:
                raise ApprovalMissing("What is kept is not what the person agreed to.", effect=wanted.name)
            return await self._begin(db, run, wanted, agreed)
        if row.status == "expired":
            return _Opened("refused", why=f"Nobody has decided about {wanted.name} in time.", approval=row.id)
        said = (await verdicts_of(db, [row.id]))[row.id]
        reason = next((one.reason for one in reversed(said) if one.verdict == "refused"), "") or "no reason given"
        return _Opened("refused", why=f"A person has refused {wanted.name}: {reason}", approval=row.id)

    async def _begin(self, db: Db, run: Run[Any], wanted: _Wanted, agreed: Agreed) -> _Opened:
        # Row and event go with the commit: nothing between it and the work is waited for. The table's trigger judges.
        await db.at_commit(
            _BEGIN,
            run=run.id,
            name=wanted.key,
            key=key_of(run, wanted.key),
            fence=run.claim.fence,
            approval=agreed.approval,
            digest=agreed.digest,
        )
        details: dict[str, JsonValue] = {"type": run.kind.name, "effect": wanted.key, "digest": agreed.digest.hex()}
        if agreed.approval:
            details["approval"] = agreed.approval
        await self._audit.record(db, "effect.begin", resource=run.id, outcome="begun", details=details)
        return _Opened("begun", agreed.arguments, approval=agreed.approval)

    # -- the work -----------------------------------------------------------------------------------

    async def _carry_out(
        self, run: Run[Any], wanted: _Wanted, work: Callable[[], Awaitable[JsonValue]], stop: asyncio.Event
    ) -> JsonValue:
        if stop.is_set():  # it was let through in the very moment of the stop, and has not begun
            await self._note_end(run, wanted, "failed")
            raise Superseded
        limit, began = run.kind.limits.step_s, time.perf_counter()
        task, stopping = asyncio.ensure_future(work()), asyncio.ensure_future(stop.wait())
        await asyncio.wait({task, stopping}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        if stopping.done() and not task.done():
            # What has left the house cannot be called back; for a moment it may still say how it ended.
            await asyncio.wait({task}, timeout=_SETTLE_S)
        stopping.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=_UNDO_S)
        fault = _fault_of(task)
        if fault is None:
            return await self._record(run, wanted, task.result(), (time.perf_counter() - began) * 1000)
        await self._note_end(run, wanted, "failed" if isinstance(fault, Refusal) else "unknown")
        if isinstance(fault, asyncio.CancelledError):
            if not task.done():
                log.error("the effect %s of %s does not let itself be stopped", wanted.key, run.id)
            raise StepTooSlow(f"The effect {wanted.name} took longer than {limit:g} s.", step=wanted.key) from fault
        raise fault

    async def _record(self, run: Run[Any], wanted: _Wanted, output: JsonValue, took_ms: float) -> JsonValue:
        for tries_left in (2, 1, 0):
            try:
                async with self._store.under(run.scope) as db:
                    given = await run.remember(db, wanted.key, "effect", output, took_ms)
                    await db.at_commit(_END, run=run.id, name=wanted.key, fence=run.claim.fence, status="done")
                break
            except Contended:
                if not tries_left:
                    raise
            except (Refusal, BadStepResult):  # superseded, or nothing that can be kept: it has happened all the same
                await self._note_end(run, wanted, "done")
                raise
        count("effects", type=run.kind.name, outcome="done")
        return given

    async def _note_end(self, run: Run[Any], wanted: _Wanted, status: str) -> None:
        count("effects", type=run.kind.name, outcome=status)
        with suppress(DatabaseUnavailable):  # it then stays begun, and is done again with the same key
            async with self._store.under(run.scope) as db:
                await db.run(_END, run=run.id, name=wanted.key, fence=run.claim.fence, status=status)


def _fault_of(task: asyncio.Future[JsonValue]) -> BaseException | None:
    return asyncio.CancelledError() if not task.done() or task.cancelled() else task.exception()


def key_of(run: Run[Any], name: str) -> uuid.UUID:
    """The idempotency key of an effect: of this tenant, run and name, whoever attempts it and whenever."""
    return uuid.uuid5(_SPACE, f"{run.scope.tenant}|{run.id}|{name}")
