"""Following: what of a batch lies at its providers, until nothing of it does.

Between two looks the run lets go of its worker; whatever goes on later finds all that it needs in the database.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from bastide.audit import Audit
from bastide.errors import UnknownBatch
from bastide.inference.accounts import Reserving
from bastide.inference.batches.asking import cancelled, out_of_time
from bastide.inference.batches.collecting import Collecting
from bastide.inference.batches.ending import batch_at_work
from bastide.inference.batches.handed import Handed, of_batch
from bastide.inference.batches.handing import Handing, Later
from bastide.inference.batches.keeping import Keeping, Standing
from bastide.inference.batches.lines import Lines, Problem
from bastide.inference.batches.receipting import Receipting
from bastide.inference.batches.values import Batch
from bastide.inference.gateway import Gateway
from bastide.store import Db
from bastide.workflows import JsonValue, Run

STOP: Final = "stop"
"""The signal that a batch is being cancelled."""

OUT_OF_TIME: Final = "out of time"
"""The step that is recorded where a provider, or we, left no time for some of it."""

_GRACE_S: Final = 900.0  # a provider that was late or was told to stop may say so much later what came of it


@dataclass(slots=True)
class Work:
    """One attempt at a batch; `lines` once they were read."""

    run: Run[Any]
    batch: Batch
    standing: Standing
    keeping: Keeping
    lines: Lines | None = None

    @property
    def at_hand(self) -> Lines:
        """The lines, which have been read."""
        assert self.lines is not None, "they were read before"
        return self.lines


class Following:
    """Follows what is handed over of one batch."""

    def __init__(
        self,
        audit: Audit,
        gateway: Gateway,
        reserving: Reserving,
        read: Callable[[Work], Awaitable[list[Problem]]],
    ) -> None:
        """`read` has the lines of the batch at hand."""
        self._audit = audit
        self._gateway = gateway
        self._reserving = reserving
        self._read = read

    async def hand(self, work: Work) -> None:
        """Hand over what is planned, as far as that goes now."""
        async with work.run.fenced() as db:
            handed = await of_batch(db, work.batch.id)
        for one in handed:
            if one.state != "running":
                try:
                    await self._handing(work).hand(one)
                except Later:  # it is followed
                    continue

    async def follow(self, work: Work) -> None:
        """Until nothing is at a provider any more."""
        while True:
            async with work.run.fenced() as db:
                work.batch = await batch_at_work(db, work.batch.id)
                handed = await of_batch(db, work.batch.id)
            if not handed:
                return
            pauses = []
            for one in handed:
                try:
                    if await self._forward(work, one) and work.run.remembered(OUT_OF_TIME) is None:
                        await work.run.write(OUT_OF_TIME, happened)
                except Later as later:
                    pauses.append(later.seconds)
            if pauses and min(pauses) > 0:
                batch = work.batch
                await work.run.progress(len(work.keeping.done), batch.total, _lies(handed))
                pause = min(pauses) if batch.left_s <= 0 else min(*pauses, max(batch.left_s, 1.0))
                await work.run.rest(pause, until=None if batch.status == "cancelling" else STOP)

    async def _forward(self, work: Work, one: Handed) -> bool:
        """Whether time has run out for it. Raises Later."""
        batch, stopping = work.batch, work.batch.status == "cancelling"
        if batch.left_s < -_GRACE_S or (stopping and (one.state != "running" or batch.stopping_s > _GRACE_S)):
            told = cancelled if stopping else out_of_time
            await self._lines(work)
            await self._receipting(work).finish(one, lambda n, name, _: told(n, name))
            return not stopping
        if one.wait_s > 0 and not (stopping or batch.over):
            raise Later(one.wait_s)
        if one.state != "running":
            await self._lines(work)
            if batch.left_s <= 0:
                await self._receipting(work).finish(one, lambda n, name, _: out_of_time(n, name))
                return True
            await self._handing(work).hand(one)
            raise Later(0.0)
        collecting = Collecting(work.run, batch, self._audit, self._gateway, work.standing)
        theirs = await collecting.look(one, stopping=stopping or batch.over)
        await self._lines(work)
        await collecting.collect(one, theirs, self._receipting(work))
        return theirs is not None and (theirs.status == "expired" or (theirs.status == "cancelled" and batch.over))

    async def _lines(self, work: Work) -> None:
        if await self._read(work):
            raise UnknownBatch("What the batch was made of is not there any more.")

    def _receipting(self, work: Work) -> Receipting:
        return Receipting(self._audit, self._reserving, work.keeping, work.at_hand)

    def _handing(self, work: Work) -> Handing:
        return Handing(
            work.run,
            work.batch,
            self._audit,
            self._gateway,
            self._reserving,
            work.standing,
            self._receipting(work),
        )


async def happened(_: Db) -> JsonValue:
    """What the step records: that it was so."""
    return True


def _lies(handed: list[Handed]) -> str:
    """What is waited for, as the job's progress says it."""
    places = ", ".join(sorted({one.model.endpoint_id for one in handed}))
    problems = ", ".join(sorted({one.problem for one in handed if one.problem}))
    lines = sum(len(one.lines) for one in handed)
    said = f"{lines:,} {'line is' if lines == 1 else 'lines are'} handed over to {places}"
    return f"{said} (last time: {problems})" if problems else said
