"""A run from the inside: what the code of a job type sees, and how its steps become durable.

The code is an ordinary coroutine. It is begun anew after a crash, a retry or a wait, and each named step that was
recorded gives at once what it gave then; so what lies between steps must not depend on the time or on chance.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar, cast

from bastide.errors import BadStepResult, BudgetExhausted, StepTooSlow, Superseded, TooLarge
from bastide.policy import Label
from bastide.store import Db, Json, Query, Scope, Store, queries
from bastide.workflows.dispatching import Chain, Dispatching
from bastide.workflows.ending import note, problem_of
from bastide.workflows.holding import Held, Memo, Suspended
from bastide.workflows.queue import Claim
from bastide.workflows.registry import JobType
from bastide.workflows.values import ENDED, Ended, Job, JsonValue

_Q = queries("bastide.workflows")
_HOLD, _ADD_STEP, _TIGHTEN = _Q["hold"], _Q["add_step"], _Q["tighten_run"]
_NOTE_PROGRESS, _NOTE_SPENT = _Q["note_progress"], _Q["note_spent"]
_SUSPEND, _IN_SECONDS, _SIGNAL = _Q["suspend_run"], _Q["in_seconds"], _Q["signal"]
_CHILDREN, _LEFT, _ALL_CHILDREN = _Q["children"], _Q["children_left"], _Q["all_children"]

_NAME = re.compile(r"[A-Za-z0-9_.:/ -]{1,120}")
_CHILDREN_AT_ONCE = 100
_PROGRESS_S = 0.2

T = TypeVar("T")
Work = Callable[[], Awaitable[JsonValue]]


class Performs(Protocol):
    """Who performs effects: the gate with the oversight."""

    async def perform(
        self,
        run: Run[Any],
        name: str,
        arguments: JsonValue,
        work: Callable[[JsonValue, str], Awaitable[JsonValue]],
        *,
        shown: str,
    ) -> JsonValue:
        """The effect's result, once."""
        ...


class Run(Generic[T]):
    """One attempt at a job. Made by the worker; never kept beyond its handler."""

    def __init__(self, store: Store, dispatching: Dispatching, effects: Performs, held: Held, given: T) -> None:
        self._store = store
        self._dispatching = dispatching
        self._effects = effects
        self._held = held
        self._label = held.label
        self._names: Counter[str] = Counter()
        self._progress_at = 0.0
        self.stopping = False  # somebody asked to stop: no further step begins
        self.input = given

    @property
    def id(self) -> str:
        """The job's id."""
        return self._held.claim.run

    @property
    def scope(self) -> Scope:
        """Who asked for the job, with the rights that are left to them."""
        return self._held.scope

    @property
    def label(self) -> Label:
        """The label of everything that the run has seen."""
        return self._label

    @property
    def attempt(self) -> int:
        """How often the run was begun, this time included."""
        return self._held.claim.attempt

    @property
    def kind(self) -> JobType:
        """The job's type."""
        return self._held.kind

    @property
    def claim(self) -> Claim:
        """The right to commit for this run."""
        return self._held.claim

    @property
    def chain(self) -> Chain:
        """What led to this job."""
        return self._held.chain

    # -- steps --------------------------------------------------------------------------------------

    async def step(self, name: str, work: Work, *, timeout_s: float | None = None) -> JsonValue:
        """What `work` gives, computed once and kept. A repeated name counts: `name#2`.

        Raises BadStepResult for what is not JSON, StepTooSlow, Superseded when the run is no longer ours.
        """
        key = self._key(name)
        if (memo := self.remembered(key)) is not None:
            return memo.output
        self._refuse_stopping()
        began = time.perf_counter()
        result = await self._in_time(name, work(), timeout_s)
        packed = self.pack(result)
        about = f"workflows.step|{self.id}|{key}"
        kept = await self._store.ask(
            self.scope,
            tuple,
            _ADD_STEP,
            run=self.id,
            name=key,
            kind="step",
            fence=self.claim.fence,
            output=await self._store.seal(self.scope, packed, about=about),
            took_ms=(time.perf_counter() - began) * 1000,
        )
        if not kept:
            raise Superseded
        return self._memo(key, "step", packed)

    async def write(
        self, name: str, work: Callable[[Db], Awaitable[JsonValue]], *, past_members: bool = False
    ) -> JsonValue:
        """The same for a change in our own database: `work` runs in the transaction that records the step.

        So it happens exactly once, whatever dies. It must not wait for anything but the database. `past_members` is as
        in `Store.under`.
        """
        key = self._key(name)
        if (memo := self.remembered(key)) is not None:
            return memo.output
        self._refuse_stopping()
        began = time.perf_counter()
        async with self.fenced(past_members=past_members) as db:
            packed = self.pack(await self._in_time(name, work(db), None))
            await self._keep(db, key, "write", packed, began)
        return self._memo(key, "write", packed)

    async def effect(
        self,
        name: str,
        arguments: JsonValue,
        work: Callable[[JsonValue, str], Awaitable[JsonValue]],
        *,
        shown: str = "",
    ) -> JsonValue:
        """A declared effect on the world outside: with the oversight that it needs, and a key for idempotency.

        `work(arguments, key)` may be repeated with the same key if the worker dies in it. `shown` is what a person who
        decides must see. Raises ApprovalRefused.
        """
        return await self._effects.perform(cast("Run[Any]", self), name, arguments, work, shown=shown)

    # -- waiting ------------------------------------------------------------------------------------

    async def sleep(self, name: str, seconds: float) -> None:
        """Go on after so many seconds, by the clock of the database; the worker is free meanwhile."""
        key = self._key(name)
        async with self.fenced() as db:
            until = await self._until(db, key, seconds)
            if not await self._past(db, until):
                await self.suspend("time", wake_at=until, db=db)
        self._unless_suspended()

    async def signal(self, name: str, *, timeout_s: float | None = None) -> JsonValue:
        """What was sent to this run under `name`, now or earlier; None when nothing came in time."""
        key = self._key(name)
        async with self.fenced() as db:
            row = await db.row(tuple, _SIGNAL, run=self.id, name=name)
            if row is not None:
                return cast(JsonValue, json.loads(await db.unseal(row[0], about=f"workflows.signal|{self.id}|{name}")))
            until = await self._until(db, key, timeout_s) if timeout_s is not None else None
            if until is not None and await self._past(db, until):
                return None
            await self.suspend(f"signal {name}", wake_at=until, db=db)
        self._unless_suspended()
        raise AssertionError("unreachable")

    async def rest(self, seconds: float, *, until: str | None = None) -> None:
        """Be begun anew after so many seconds, or at the signal `until`; go on if that came. Nothing is recorded."""
        async with self.fenced() as db:
            if until is not None and await db.row(tuple, _SIGNAL, run=self.id, name=until) is not None:
                return
            wake_at = await db.value(_IN_SECONDS, seconds=float(seconds))
            await self.suspend("time" if until is None else f"signal {until}", wake_at=wake_at, db=db)
        self._unless_suspended()

    async def fan_out(self, name: str, jobs: Sequence[Job]) -> list[Ended]:
        """Dispatch these jobs as parts of this one, wait until all have ended, and give what became of each, in order.

        A part that fails is not an error here: look at `status`.
        """
        key = self._key(name)
        memo = self.remembered(key)
        if memo is None:
            ids: list[str] = []
            for start in range(0, len(jobs), _CHILDREN_AT_ONCE):
                ids += await self._dispatch_parts(key, jobs[start : start + _CHILDREN_AT_ONCE], start)
            async with self.fenced() as db:
                packed = self.pack(ids)
                await self._keep(db, key, "children", packed, time.perf_counter())
            memo = Memo("children", self._memo(key, "children", packed))
        known = cast("list[str]", memo.output)
        ended = {one.id: one for one in await self._joined(_CHILDREN, ids=known)}
        return [ended[id] for id in known]

    async def join(self) -> list[Ended]:
        """Wait until every part of this job has ended, whoever dispatched it; the oldest first."""
        return await self._joined(_ALL_CHILDREN)

    async def _dispatch_parts(self, key: str, jobs: Sequence[Job], start: int) -> list[str]:
        async with self.fenced() as db:
            made = []
            for number, job in enumerate(jobs, start):
                part = replace(
                    job,
                    parent=self.id,
                    key=job.key or f"{self.id}/{key}/{number}",
                    label=self._label.join(job.label) if job.label else self._label,
                )
                made.append(await self._dispatching.put(db, self.scope, part, chain=self.chain, recorded=False))
        return [one.id for one in made]

    async def _joined(self, query: Query, **values: Any) -> list[Ended]:
        async with self.fenced() as db:
            if await db.value(_LEFT, parent=self.id):
                await self.suspend("children", db=db)
            else:
                rows = await db.rows(tuple, query, parent=self.id, **values)
                return [await _ended(db, *row) for row in rows]
        self._unless_suspended()
        raise AssertionError("unreachable")

    # -- telling ------------------------------------------------------------------------------------

    async def progress(self, done: int, total: int, note: str = "") -> None:
        """Say how far it is. Told at most five times a second; it never goes back."""
        now = time.monotonic()
        if now - self._progress_at < _PROGRESS_S and done < total:
            return
        self._progress_at = now
        told: dict[str, Any] = {"done": max(0, done), "total": max(0, total), "note": note[:200]}
        if not await self._store.ask(self.scope, tuple, _NOTE_PROGRESS, id=self.id, fence=self.claim.fence, **told):
            raise Superseded

    async def tighten(self, label: Label) -> None:
        """The run has seen bytes with this label: from now on it is at least as strict."""
        joined = self._label.join(label)
        if joined == self._label:
            return
        async with self._store.under(self.scope) as db:
            if not await db.run(_TIGHTEN, id=self.id, fence=self.claim.fence, label=Json(joined.to_wire())):
                raise Superseded
        self._label = joined

    async def spent(self, *, tokens_in: int = 0, tokens_out: int = 0, eur: float = 0.0) -> None:
        """Add to what the job has used. Raises BudgetExhausted when it is over."""
        async with self._store.under(self.scope) as db:
            row = await db.row(
                tuple,
                _NOTE_SPENT,
                id=self.id,
                fence=self.claim.fence,
                tokens_in=tokens_in,
                tokens_out=tokens_out,
                eur=eur,
            )
        if row is None:
            raise Superseded
        tokens, euros, tokens_max, euros_max = row
        if (tokens_max is not None and tokens > tokens_max) or (euros_max is not None and euros > euros_max):
            raise BudgetExhausted(f"The job has used {tokens} tokens and {euros:.4f} EUR, more than its budget.")

    # -- for this room ------------------------------------------------------------------------------

    def remembered(self, key: str) -> Memo | None:
        """What this step gave in an earlier attempt."""
        return self._held.memos.get(key)

    @asynccontextmanager
    async def fenced(self, *, past_members: bool = False) -> AsyncIterator[Db]:
        """A transaction that holds the run: until it ends nobody can stop it or take it over. Raises Superseded."""
        async with self._store.under(self.scope, past_members=past_members) as db:
            if await db.value(_HOLD, id=self.id, fence=self.claim.fence) is None:
                raise Superseded
            yield db

    async def remember(self, db: Db, key: str, kind: str, output: JsonValue, took_ms: float) -> JsonValue:
        """Record what a step gave, in this transaction; gives it back as a later attempt will see it."""
        packed = self.pack(output)
        await self._keep(db, key, kind, packed, time.perf_counter() - took_ms / 1000)
        return self._memo(key, kind, packed)

    async def suspend(self, waits_for: str, *, wake_at: datetime | None = None, db: Db) -> None:
        """Let go of the worker at the end of this transaction, which holds the run.

        What wakes the run must lock its row before it looks, so that neither misses the other. The caller leaves the
        `async with` and then calls nothing else: see `_unless_suspended`.
        """
        if not await db.run(_SUSPEND, id=self.id, fence=self.claim.fence, waits_for=waits_for, wake_at=wake_at):
            raise Superseded
        await note(db, self.id, "waiting", {"for": waits_for})
        self._suspended = True

    _suspended = False

    def _unless_suspended(self) -> None:
        if self._suspended:
            raise Suspended

    def _refuse_stopping(self) -> None:
        if self.stopping:
            raise Superseded("The run is being stopped: no further step begins.")

    def _key(self, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a step")
        self._names[name] += 1
        return name if self._names[name] == 1 else f"{name}#{self._names[name]}"

    step_key = _key

    async def _in_time(self, name: str, work: Awaitable[JsonValue], timeout_s: float | None) -> JsonValue:
        limit = min(timeout_s or self.kind.limits.step_s, self.kind.limits.step_s)
        try:
            async with asyncio.timeout(limit) as clock:
                return await work
        except TimeoutError as fault:
            if not clock.expired():
                raise
            raise StepTooSlow(f"The step {name} took longer than {limit:g} s.", step=name) from fault

    def pack(self, value: JsonValue) -> bytes:
        """The value as it is kept. Raises BadStepResult or TooLarge."""
        try:
            packed = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
        except (TypeError, ValueError, RecursionError) as fault:
            raise BadStepResult(f"A step returned a {type(value).__name__} that is not JSON: {fault}.") from fault
        if len(packed) > self.kind.limits.output_bytes_max:
            raise TooLarge(
                f"A step returned {len(packed)} bytes; {self.kind.name} may give {self.kind.limits.output_bytes_max}.",
                next_step="Keep it as a document and return its id.",
            )
        return packed

    async def _keep(self, db: Db, key: str, kind: str, packed: bytes, began: float) -> None:
        kept = await db.run(
            _ADD_STEP,
            run=self.id,
            name=key,
            kind=kind,
            fence=self.claim.fence,
            output=await db.seal(packed, about=f"workflows.step|{self.id}|{key}"),
            took_ms=(time.perf_counter() - began) * 1000,
        )
        if not kept:
            raise Superseded

    def _memo(self, key: str, kind: str, packed: bytes) -> JsonValue:
        memo = self._held.memos[key] = Memo(kind, json.loads(packed))
        return memo.output

    async def _until(self, db: Db, key: str, seconds: float) -> datetime:
        memo = self.remembered(key)
        if memo is None:
            until: datetime = await db.value(_IN_SECONDS, seconds=float(seconds))
            packed = self.pack(until.isoformat())
            await self._keep(db, key, "sleep", packed, time.perf_counter())
            memo = Memo("sleep", self._memo(key, "sleep", packed))
        return datetime.fromisoformat(str(memo.output))

    @staticmethod
    async def _past(db: Db, until: datetime) -> bool:
        now: datetime = await db.value(_IN_SECONDS, seconds=0.0)
        return now >= until


async def _ended(db: Db, id: str, status: str, output: bytes | None, code: str | None, problem: bytes | None) -> Ended:
    assert status in ENDED
    value = json.loads(await db.unseal(output, about=f"workflows.run|{id}|output")) if output else None
    return Ended(id, status, value, await problem_of(db, id, code, problem))
