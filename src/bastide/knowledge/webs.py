"""Webs: the phrase graphs of tenants, held in this process while they are searched.

The rows of `knowledge.mention` are the record. What is held here is made from them under the tenant's own scope, and
holds hashes and numbers only. Each search names the state of the tenant's index that its transaction sees; a web of
another state is brought to it first, by the rows that are new and those that are gone: nothing that was erased
takes part in a later search. Who may not see a collection has a web of his own, made without its rows. A web that
nobody asks for is dropped after ten minutes.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from bastide.knowledge.weaving import EMPTY, MENTION, Batch, Web
from bastide.store import Db, queries
from bastide.telemetry import timed

_Q = queries("bastide.knowledge")
_NUMBERS, _ROWS, _SEEN = _Q["mention_numbers"], _Q["mention_rows"], _Q["mentions_seen"]

BYTES_MAX = 384 * 1024 * 1024
"""Of all webs together, and so of one: some 400,000 chunks of prose. A tenant with more is searched without."""

IDLE_S = 600.0
_ROWS_AT_ONCE = 20_000

State = tuple[tuple[str, int], ...]
"""For each language of a tenant's index the transaction that changed it last; with closed collections, what is seen."""

Key = tuple[str, tuple[str, ...]]
"""A tenant, and the collections that are closed to who asks."""


@dataclass(slots=True)
class _Held:
    web: Web
    state: State
    used: float


class Webs:
    """Gives a transaction the web of its tenant, as that transaction sees it."""

    def __init__(self, bytes_max: int = BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._held: OrderedDict[Key, _Held] = OrderedDict()
        self._turns: dict[Key, asyncio.Lock] = {}

    async def of(self, db: Db, tenant: str, state: State) -> Web | None:
        """The web in `state`; None where there is none, or where it would be too large."""
        self._drop_idle()
        seen = await db.row(tuple, _SEEN)
        assert seen is not None, "an expression always gives a row"
        key: Key = (tenant, tuple(sorted(seen[0])))
        if seen[1] is not None:
            state = (*state, seen[1:])
        held = self._held.get(key)
        if held is None or held.state != state:
            async with self._turns.setdefault(key, asyncio.Lock()):
                held = self._held.get(key)
                if held is None or held.state != state:
                    held = await self._brought(db, held, state)
                    if held is None:
                        self._held.pop(key, None)
                        return None
                    self._held[key] = held
        held.used = time.monotonic()
        self._held.move_to_end(key)
        while len(self._held) > 1 and sum(one.web.bytes for one in self._held.values()) > self._bytes_max:
            self._held.popitem(last=False)
        return held.web if len(held.web.chunks) else None

    # The state was read before the rows are: what is committed in between is found again at the next search.
    async def _brought(self, db: Db, held: _Held | None, state: State) -> _Held | None:
        web = held.web if held is not None else EMPTY
        with timed("knowledge_web"):
            here: list[int] = await db.value(_NUMBERS) or []
            gone = web.rows.keys() - here
            fresh = sorted(set(here) - web.rows.keys())
            batches: list[Batch] = []
            room = self._bytes_max - web.bytes
            for start in range(0, len(fresh), _ROWS_AT_ONCE):
                batches.append(await _fetched(db, fresh[start : start + _ROWS_AT_ONCE]))
                room -= 32 * len(batches[-1].mentions)
                if room < 0:
                    return None
            if gone or batches:
                web = await asyncio.to_thread(web.changed, _joined(batches), gone)
        return _Held(web, state, 0.0)

    def _drop_idle(self) -> None:
        """The webs that were last asked for long ago: the first ones."""
        limit = time.monotonic() - IDLE_S
        while self._held and next(iter(self._held.values())).used < limit:
            key, _ = self._held.popitem(last=False)
            self._turns.pop(key, None)


async def _fetched(db: Db, numbers: list[int]) -> Batch:
    row = await db.row(tuple, _ROWS, numbers=numbers)
    assert row is not None, "an aggregate always gives a row"
    there, documents, lengths, chunks, sizes, phrases = row
    return Batch(
        np.array(there or [], np.int64),
        np.array(documents or [], np.int64),
        np.array(lengths or [], np.int64) // 8,
        np.frombuffer(chunks or b"", "<i8").astype(np.int64),
        np.frombuffer(sizes or b"", "<i4").astype(np.int64),
        np.frombuffer(phrases or b"", MENTION),
    )


def _joined(batches: list[Batch]) -> Batch:
    if len(batches) == 1:
        return batches[0]
    number = np.zeros(0, np.int64)
    parts = [Batch(number, number, number, number, number, np.zeros(0, MENTION)), *batches]
    return Batch(
        np.concatenate([one.numbers for one in parts]),
        np.concatenate([one.documents for one in parts]),
        np.concatenate([one.counts for one in parts]),
        np.concatenate([one.chunks for one in parts]),
        np.concatenate([one.sizes for one in parts]),
        np.concatenate([one.mentions for one in parts]),
    )
