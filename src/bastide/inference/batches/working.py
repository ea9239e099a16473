"""The work of a batch, which goes on where it was interrupted.

    1. the file is read and checked whole      3. what was answered together is kept together, under the run's fence
    2. lines are asked, a few at a time        4. one transaction ends the batch and names what came of it

A line holds its place among those in flight until it is kept: a worker that dies repeats at most those.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from bastide.audit import Audit
from bastide.errors import BastideError, UnknownBatch
from bastide.inference.batches.asking import Asking, Entry, expired
from bastide.inference.batches.ending import batch_at_work, end
from bastide.inference.batches.files import about
from bastide.inference.batches.lines import Line, Lines, Problem, read
from bastide.inference.batches.values import ENDPOINTS, Batch
from bastide.inference.gateway import Gateway
from bastide.policy import Label, personal_kind
from bastide.store import Db, Json, Scope, queries
from bastide.tenancy import Tenancy
from bastide.workflows import JobType, JsonValue, Limits, Retry, Run

_Q = queries("bastide.inference")
_BEGIN, _DONE, _COUNT, _KEEP = _Q["begin_batch"], _Q["lines_done"], _Q["count_lines"], _Q["keep_line"]
_BLOB, _DELETE_OUTPUTS = _Q["blob_of_input"], _Q["delete_outputs"]

TYPE: Final = "inference.batch_file"
_AT_ONCE: Final = 8
_KEPT_AT_ONCE: Final = 500
_LONGEST_S: Final = 8 * 86_400.0  # longer than any window: that is what bounds a batch


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which batch."""

    batch: str


class Working:
    """The code of the job type."""

    def __init__(self, audit: Audit, tenancy: Tenancy, gateway: Gateway, *, at_once: int = _AT_ONCE) -> None:
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
        batch, data = await self._opened(run)
        if batch.status in {"completed", "expired"}:
            return {"status": batch.status}
        if data is None:
            gone: Problem = {"code": "input_file_gone", "message": "The input file was deleted.", "param": None}
            return await self._end(run, "failed", [gone | {"line": None}])
        lines, problems = await asyncio.to_thread(read, data, batch.endpoint)
        del data
        if problems:
            return await self._end(run, "failed", problems)
        async with run.fenced() as db:
            await db.run(_DELETE_OUTPUTS, batches=[batch.id])
            await db.run(_BEGIN, id=batch.id, total=len(lines.numbers))
            done = {n for (n,) in await db.rows(tuple, _DONE, batch=batch.id)}
        keeping = Keeping(run, batch.id, batch.label, done)
        until = asyncio.get_running_loop().time() + batch.left_s
        wire = ENDPOINTS[batch.endpoint]
        asking = Asking(self._gateway, Standing(self._tenancy, run.scope).now, batch.said, wire, until=until)
        await self._all(run, asking, keeping, lines)
        late = await _late(keeping, lines)
        return await self._end(run, "expired" if late else "completed", None)

    async def _opened(self, run: Run[Wanted]) -> tuple[Batch, bytes | None]:
        async with run.fenced() as db:
            batch = await batch_at_work(db, run.input.batch)
            blob = await db.value(_BLOB, id=batch.input_file)
            return batch, None if blob is None else await db.get_blob(blob)

    async def _all(self, run: Run[Wanted], asking: Asking, keeping: Keeping, lines: Lines) -> None:
        """Ask every line that is not kept yet. Raises what the first of them fails by that is no answer."""
        left = ((n, line) for n, line in lines if n not in keeping.done)
        total = len(lines.numbers)

        async def ask(left: Iterator[tuple[int, Line]]) -> None:
            loop = asyncio.get_running_loop()
            for n, line in left:
                if loop.time() >= asking.until:
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


class Standing:
    """How who asked for a batch stands while it runs."""

    def __init__(self, tenancy: Tenancy, scope: Scope) -> None:
        self._tenancy = tenancy
        self._scope = scope

    async def now(self) -> Scope:
        """The scope, less what was taken from it since; the same object while nothing was. Raises DisabledKey."""
        known = self._scope
        found = await self._tenancy.scope_of_work(
            known.tenant,
            user=known.user,
            app=known.app,
            key=known.key,
            permissions=known.permissions,
            label=json.loads(known.label),
        )
        if found != known:
            self._scope = found
        return self._scope


class Keeping:
    """Keeps what came of lines, as many together as have come while the last ones were written."""

    def __init__(self, run: Run[Any], batch: str, label: Label, done: set[int]) -> None:
        self._run = run
        self._batch = batch
        self._label = label
        self._waiting: list[Entry] = []
        self._writing = asyncio.Lock()
        self.done = done

    async def keep(self, entry: Entry) -> None:
        """Returns when the entry is kept. Raises Superseded where the run is another's by now."""
        self._waiting.append(entry)
        async with self._writing:
            if entry.n not in self.done:  # nobody has taken it along meanwhile
                together, self._waiting = self._waiting, []
                await self._write(together)

    async def keep_all(self, entries: list[Entry]) -> None:
        """The same for many that are there at once."""
        async with self._writing:
            await self._write(entries)

    async def _write(self, entries: list[Entry]) -> None:
        label = self._label
        for entry in entries:  # an answer may say more of persons than its question
            label = label.join(Label(personal=personal_kind(entry.data)))
        failed = sum(entry.failed for entry in entries)
        async with self._run.fenced() as db:
            kept = await db.value(
                _COUNT,
                id=self._batch,
                answered=len(entries) - failed,
                failed=failed,
                tokens_in=sum(entry.tokens.input for entry in entries),
                tokens_out=sum(entry.tokens.output for entry in entries),
                tokens_cached=sum(entry.tokens.cached for entry in entries),
                tokens_thought=sum(entry.tokens.thought for entry in entries),
                label=Json(label.to_wire()),
            )
            if kept is None:
                raise UnknownBatch("The batch was deleted while it was worked on.")
            await db.many(_KEEP, [await self._row(db, entry) for entry in entries])
        self._label = label
        self.done.update(entry.n for entry in entries)

    async def _row(self, db: Db, entry: Entry) -> dict[str, Any]:
        sealed = await db.seal(entry.data, about=about(self._batch, entry.n))
        return {
            "batch": self._batch,
            "n": entry.n,
            "failed": entry.failed,
            "bytes": len(entry.data),
            "sealed": sealed,
        }


async def _late(keeping: Keeping, lines: Lines) -> bool:
    """Tell those that no time was left for; whether there are any."""
    late = [expired(n, line) for n, line in lines if n not in keeping.done]
    for start in range(0, len(late), _KEPT_AT_ONCE):
        await keeping.keep_all(late[start : start + _KEPT_AT_ONCE])
    return bool(late)


def _first(several: BaseExceptionGroup[BaseException]) -> BaseException:
    """What a group of lines failed by: what the house has a word for goes first."""
    ours, others = several.split(BastideError)
    found: BaseException | None = ours or others
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found or several
