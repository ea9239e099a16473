"""Carrying: from the segments of a process into the outbox, many calls in one transaction, each exactly once.

    1. what is read from the segments is composed, with its tenants' keys, in a thread and in short slices
    2. one statement writes it and how far it goes, in one transaction: into the outbox (`audit.carry`), or, where this
       process takes the turns of the log, straight into the log (see `entering`)
    3. a fault leaves open whether that was committed: the database is asked how far it is, and one goes on from there

A process that is gone left calls that had begun and have no end: they are recorded as interrupted, last of all.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from bastide.audit.composing import Composer, Row
from bastide.audit.entering import Enter
from bastide.audit.entries import Begun, Noted, Reading
from bastide.audit.segments import Owned, Reader
from bastide.store import Store, TenantKeys, queries, to_uuid
from bastide.telemetry import count, log

_Q = queries("bastide.audit")
_CARRY, _CARRIED, _FORGET = _Q["carry"], _Q["carried"], _Q["forget_journal"]

_BATCH: Final = 256
_SLICE: Final = 16  # calls that are composed before others may run
_SLICE_SHARED: Final = 8  # the same where calls are answered in the same process
_PAUSE_S: Final = 0.001  # between two slices while there is time: whoever shares a core waits for a slice at most

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Batch:
    """What is carried in one transaction, and the frame that comes after it."""

    rows: Sequence[Row]
    ids: Sequence[str]  # of all that were read; what cannot be recorded has no row
    upto: int


class Carrying:
    """One owner's segments on their way."""

    def __init__(
        self,
        store: Store,
        owned: Owned,
        composer: Composer,
        thread: Executor,
        enter: Enter | None = None,
        *,
        answers: Callable[[], bool] = lambda: True,
    ) -> None:
        """`enter` is the way into the log of the process that takes its turns; `answers` tells whether this process
        answers calls, too, which wait while others compose."""
        self._answers = answers
        self._enter = enter
        self._store = store
        self._owned = owned
        self._composer = composer
        self._thread = thread
        self._place: int | None = None  # how far the database is; None: ask
        self._came_from = -1  # the place before the batch that waits
        self._waiting: Batch | None = None
        self.drained = False  # what was read last was the end of what is there
        self._restart()

    def _restart(self) -> None:
        self._reader = Reader(self._owned)
        self._reading = Reading()
        self._begun: dict[str, Begun] = {}
        self._last_seen = 0
        self._passed = 0  # the frame after some that hold nothing to be carried
        self._waiting = None
        self.drained = False

    @property
    def place(self) -> int:
        """The frames before this one were carried or hold nothing, as far as is known."""
        return max(self._place or 0, self._passed)

    async def step(self) -> Sequence[str] | None:
        """Carry what comes next; the ids of those calls, or None when nothing is left. Raises what the store raises."""
        if self._place is None:
            place = await self.asked()
            if self._waiting is None or place != self._waiting.upto:
                waits = self._waiting is not None and place == self._came_from
                if not waits:
                    self._restart()
            self._place = place
            if self._waiting is not None and place == self._waiting.upto:
                return self._arrived(self._waiting)
        if self._waiting is None:
            noted, upto = await self._off(self._read)
            if not noted:
                self._passed = upto
                return None
            self._waiting = await self._composed(noted, upto)
        return await self._carried(self._waiting)

    async def finish(self) -> int:
        """The owner is gone: carry all, and what has no end as interrupted; how many those were. Then forget it."""
        lost: list[Begun] = []
        while True:
            while await self.step() is not None:
                pass
            upto = self._reader.number + 1
            if not self._begun or self._place is None or self._place >= upto:
                break
            lost = list(self._begun.values())
            self._waiting = await self._composed([one.interrupted(self._last_seen) for one in lost], upto)
        await self._off(lambda: self._owned.release(whole=True))
        await self._store.ask_as_operator(tuple, _FORGET, owner=self._owned.name)
        return len(lost)

    async def _carried(self, batch: Batch) -> Sequence[str] | None:
        assert self._place is not None
        self._came_from, self._place = self._place, None  # until we know
        if not await self._write(batch, self._came_from):
            return await self.step()
        self._place = batch.upto
        return self._arrived(batch)

    def _arrived(self, batch: Batch) -> Sequence[str]:
        self._waiting = None
        return batch.ids

    # -- in the thread ------------------------------------------------------------------------------

    def _read(self) -> tuple[list[Noted], int]:
        found: list[Noted] = []
        self.drained = False
        place = self._place or 0
        for number, content, first in self._reader.read():
            if first:
                self._reading.begin()
            at, begun, over, lost = self._reading.read(content)
            self._last_seen = at
            if lost:
                count("journal_entries_lost", lost)
                log.error("%d receipts in the journal rest on a damaged frame and are lost", lost)
            self._begun.update((one.id, one) for one in begun)
            for one in over:
                self._begun.pop(one.id, None)
            if number >= place:
                found += over
            if len(found) >= _BATCH:
                break
        else:
            self.drained = True
        return found, self._reader.number

    def _compose(self, noted: Sequence[Noted], keys: Mapping[str, TenantKeys]) -> list[Row]:
        rows, shared, pause = [], self._answers(), _PAUSE_S if self.drained else 0.0
        slice = _SLICE_SHARED if shared else _SLICE
        for n, one in enumerate(noted, 1):
            try:
                rows.append(self._composer.row(one, keys[one.who.tenant]))
            except ValueError as fault:
                count("journal_entries_lost")
                log.error("the receipt %s cannot be recorded: %s", one.id, fault)
            if n % slice == 0 and (shared or pause):
                time.sleep(pause)
        return rows

    # -- the database -------------------------------------------------------------------------------

    async def _composed(self, noted: Sequence[Noted], upto: int) -> Batch:
        keys = {tenant: await self._store.keys_of(tenant) for tenant in {one.who.tenant for one in noted}}
        rows = await self._off(lambda: self._compose(noted, keys))
        return Batch(rows, [one.id for one in noted], upto)

    async def asked(self) -> int:
        """How far the database is, whoever carried that."""
        rows = await self._store.ask_as_operator(tuple, _CARRIED, owner=self._owned.name)
        return rows[0][0] if rows else 0

    async def _write(self, batch: Batch, place: int) -> bool:
        rows = batch.rows
        if self._enter is not None and rows:
            entered = await self._enter(self._owned.name, place, batch.upto, rows)
            if entered is not None:
                return entered
        uuids = {tenant: str(to_uuid(tenant)) for tenant in {row.tenant for row in rows}}
        about = [(uuids[row.tenant], row.id, one) for row in rows for one in row.mentions]
        # Lists are sent as one text or one value of bytes each: the driver would look at every letter of their items.
        values: dict[str, Any] = {
            "owner": self._owned.name,
            "place": place,
            "upto": batch.upto,
            "tenants": ",".join([uuids[row.tenant] for row in rows]),
            "ids": ",".join([row.id for row in rows]),
            "acts": ",".join([row.act for row in rows]),
            "outcomes": ",".join([row.outcome for row in rows]),
            "times": ",".join([str(row.t) for row in rows]),
            "bodies": "\n".join([row.body for row in rows]),
            "sizes": ",".join([str(len(row.sealed)) for row in rows]),
            "sealed": b"".join([row.sealed for row in rows]),
            "about_tenants": ",".join([tenant for tenant, _, _ in about]),
            "about_ids": ",".join([id for _, id, _ in about]),
            "about": b"".join([one for _, _, one in about]),
        }
        async with self._store.as_operator(reason="carry the journal") as db:
            return bool(await db.value(_CARRY, **values))

    async def _off(self, work: Callable[[], Answer]) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
