"""Keeping what came of lines, under the fence of the run that works on them, in the name of who asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from bastide.errors import UnknownBatch
from bastide.inference.batches.asking import Entry
from bastide.inference.batches.files import about
from bastide.policy import Label, personal_kind
from bastide.store import Db, Json, Scope, queries
from bastide.tenancy import Tenancy
from bastide.workflows import Run

_Q = queries("bastide.inference")
_COUNT, _KEEP = _Q["count_lines"], _Q["keep_line"]
_AT_ONCE = 500

Beside = Callable[[Db], Awaitable[None]]
"""What is written in the same transaction."""


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
        self.stopping = False  # the batch is being cancelled: nothing more is asked

    async def keep(self, entry: Entry) -> None:
        """Returns when the entry is kept. Raises Superseded where the run is another's by now."""
        self._waiting.append(entry)
        async with self._writing:
            if entry.n not in self.done:  # nobody has taken it along meanwhile
                together, self._waiting = self._waiting, []
                await self._write(together)

    async def keep_all(self, entries: list[Entry], beside: Beside | None = None) -> None:
        """The same for many that are there at once; with the first of them, what is written `beside`."""
        async with self._writing:
            for start in range(0, max(len(entries), 1), _AT_ONCE):
                await self._write(entries[start : start + _AT_ONCE], None if start else beside)

    async def _write(self, entries: list[Entry], beside: Beside | None = None) -> None:
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
            if beside is not None:
                await beside(db)
        self.stopping = kept == "cancelling"
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
