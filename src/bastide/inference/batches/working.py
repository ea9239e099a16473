"""The work of a batch, which goes on where it was interrupted.

    1. the file is read and checked whole      3. what was answered together is kept together, under the run's fence
    2. lines are asked, a few at a time        4. one transaction ends the batch and names what came of it

What a provider works through by itself is handed over before the others are asked, and followed after that; while it
is waited for, no worker is held. A line that is asked holds its place among those in flight until it is kept: a worker
that dies repeats at most those.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

from bastide.audit import Audit
from bastide.errors import BastideError
from bastide.inference.accounts import Reserving
from bastide.inference.batches.asking import Asking, Entry, cancelled, out_of_time
from bastide.inference.batches.ending import batch_at_work, end
from bastide.inference.batches.following import OUT_OF_TIME, Following, Work, happened
from bastide.inference.batches.handed import Handed, of_batch
from bastide.inference.batches.keeping import Keeping, Standing
from bastide.inference.batches.lines import Line, Lines, Problem, read
from bastide.inference.batches.planning import Planning
from bastide.inference.batches.values import ENDPOINTS, Batch
from bastide.inference.gateway import Gateway
from bastide.store import Db, queries
from bastide.tenancy import Tenancy
from bastide.workflows import JobType, JsonValue, Limits, Retry, Run

_Q = queries("bastide.inference")
_BEGIN, _DONE = _Q["begin_batch"], _Q["lines_done"]
_BLOB, _DELETE_OUTPUTS = _Q["blob_of_input"], _Q["delete_outputs"]

TYPE: Final = "inference.batch_file"
_AT_ONCE: Final = 8
_LONGEST_S: Final = 8 * 86_400.0  # longer than any window: that is what bounds a batch


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which batch."""

    batch: str


class Working:
    """The code of the job type."""

    def __init__(
        self, audit: Audit, tenancy: Tenancy, gateway: Gateway, reserving: Reserving, *, at_once: int = _AT_ONCE
    ) -> None:
        self._reserving = reserving
        self._audit = audit
        self._tenancy = tenancy
        self._gateway = gateway
        self._at_once = at_once

    def type(self) -> JobType:
        """What is registered."""
        return JobType(
            name=TYPE,
            about="Makes the calls of a batch that was handed in as a file, each with its own decision and receipt.",
            input=Wanted,
            run=self._run,
            permission="model:use",
            limits=Limits(run_s=_LONGEST_S, per_tenant=2, overall=8),
            retry=Retry(attempts=8, first_s=5.0),
            internal=True,
        )

    async def _run(self, run: Run[Wanted]) -> JsonValue:
        batch, kept, handed = await self._opened(run)
        if batch.status in {"completed", "expired"}:
            return {"status": batch.status}
        work = Work(run, batch, Standing(self._tenancy, run.scope), Keeping(run, batch.id, batch.label, kept))
        at_theirs = {n for one in handed for n in one.lines if n not in kept}
        begun = batch.live and batch.total > 0
        if batch.status != "cancelling" and (not begun or len(kept) + len(at_theirs) < batch.total):
            problems = await self._read(work)
            if problems:
                return await self._end(run, "failed", problems)
            await self._plan_and_ask(work, at_theirs)
        await Following(self._audit, self._gateway, self._reserving, self._read).follow(work)
        return await self._last(work)

    async def _opened(self, run: Run[Wanted]) -> tuple[Batch, set[int], list[Handed]]:
        async with run.fenced() as db:
            batch = await batch_at_work(db, run.input.batch)
            kept = {n for (n,) in await db.rows(tuple, _DONE, batch=batch.id)}
            return batch, kept, await of_batch(db, batch.id)

    async def _read(self, work: Work) -> list[Problem]:
        """Have the lines at hand; what is wrong with them."""
        if work.lines is not None:
            return []
        async with work.run.fenced() as db:
            blob = await db.value(_BLOB, id=work.batch.input_file)
            data = None if blob is None else await db.get_blob(blob)
        if data is None:
            return [{"code": "input_file_gone", "message": "The input file was deleted.", "param": None, "line": None}]
        work.lines, problems = await asyncio.to_thread(read, data, work.batch.endpoint)
        return problems

    async def _plan_and_ask(self, work: Work, at_theirs: set[int]) -> None:
        """What a provider works through by itself is handed over; the rest is asked here, one by one."""
        run, batch, lines = work.run, work.batch, work.at_hand
        async with run.fenced() as db:
            await db.run(_DELETE_OUTPUTS, batches=[batch.id])
            await db.run(_BEGIN, id=batch.id, total=len(lines.numbers))
        until = asyncio.get_running_loop().time() + batch.left_s
        planning = Planning(run, batch, self._gateway, self._reserving, work.standing, work.keeping)
        here = await planning.plan(lines, at_theirs)
        await Following(self._audit, self._gateway, self._reserving, self._read).hand(work)
        asking = Asking(self._gateway, work.standing.now, batch.said, ENDPOINTS[batch.endpoint], until=until)
        await self._all(run, asking, work.keeping, ((n, lines.at(n)) for n in sorted(here)), len(lines.numbers))
        if asking.late and run.remembered(OUT_OF_TIME) is None:
            await run.write(OUT_OF_TIME, happened)

    async def _last(self, work: Work) -> JsonValue:
        """Tell those lines that nobody has told yet, and end."""
        async with work.run.fenced() as db:
            batch = await batch_at_work(db, work.batch.id)
        stopping, late = batch.status == "cancelling", False
        if len(work.keeping.done) < batch.total:
            problems = await self._read(work)
            if problems:
                return await self._end(work.run, "failed", problems)
            late = await _late(work.keeping, work.at_hand, cancelled if stopping else out_of_time)
        status = "expired" if late or work.run.remembered(OUT_OF_TIME) else "completed"
        return await self._end(work.run, "cancelled" if stopping else status, None)

    async def _all(
        self, run: Run[Wanted], asking: Asking, keeping: Keeping, left: Iterator[tuple[int, Line]], total: int
    ) -> None:
        """Ask every line that is left. Raises what the first of them fails by that is no answer."""

        async def ask(left: Iterator[tuple[int, Line]]) -> None:
            loop = asyncio.get_running_loop()
            for n, line in left:
                if loop.time() >= asking.until or keeping.stopping:
                    return
                entry = await asking.entry(n, line)
                if entry is None:  # no time is left for this one
                    continue
                await keeping.keep(entry)
                await run.progress(len(keeping.done), total)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._at_once):
                    group.create_task(ask(left))
        except BaseExceptionGroup as several:
            raise _first(several) from several

    async def _end(self, run: Run[Wanted], status: str, problems: list[Problem] | None) -> JsonValue:
        ended = await run.write("end", partial(self._ended, run.input.batch, status, problems))
        if isinstance(ended, dict) and isinstance(ended["in"], int) and isinstance(ended["out"], int):
            await run.spent(tokens_in=ended["in"], tokens_out=ended["out"])
        return ended

    async def _ended(self, id: str, status: str, problems: list[Problem] | None, db: Db) -> JsonValue:
        batch = await end(db, self._audit, await batch_at_work(db, id), status, problems)
        return {
            "status": batch.status,
            "total": batch.total,
            "completed": batch.answered,
            "failed": batch.failed,
            "in": batch.tokens_in,
            "out": batch.tokens_out,
        }


async def _late(keeping: Keeping, lines: Lines, told: Callable[[int, str], Entry]) -> bool:
    """Tell those that nobody has answered; whether there are any."""
    late = [told(n, line.custom_id) for n, line in lines if n not in keeping.done]
    await keeping.keep_all(late)
    return bool(late)


def _first(several: BaseExceptionGroup[BaseException]) -> BaseException:
    """What a group of lines failed by: what the house has a word for goes first."""
    ours, others = several.split(BastideError)
    found: BaseException | None = ours or others
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found or several
