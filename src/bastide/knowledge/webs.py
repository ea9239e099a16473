"""Webs: the phrase graphs of tenants, held in this process while they are searched.

The rows of `knowledge.mention` are the record. What is held here is made from them under the tenant's own scope, and
holds hashes and numbers only: the phrases, and the 5-grams of chunks that were compared lately. Each search names the
state of the tenant's index that its transaction sees; what is held of another state is brought to it first, by the
rows that are new and those that are gone: nothing that was erased takes part in a later search. Who may not see a
collection has a web of his own, made without its rows. A web that nobody asks for is dropped after ten minutes.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from bastide.knowledge.grams import Keys
from bastide.knowledge.weaving import EMPTY, MENTION, Batch, Web
from bastide.store import Db, queries
from bastide.telemetry import timed

_Q = queries("bastide.knowledge")
_NUMBERS, _ROWS = _Q["mention_numbers"], _Q["mention_rows"]

BYTES_MAX = 384 * 1024 * 1024
"""Of all webs together, and so of one: some 400,000 chunks of prose. A tenant with more is searched without."""

IDLE_S = 600.0
_ROWS_AT_ONCE = 20_000

GRAMS_MAX = 20_000  # chunks of a tenant whose 5-grams are kept
GRAMS_BYTES = 2_800  # of one: 680 of four bytes, and their place

State = tuple[object, ...]
"""For each language of a tenant's index the transaction that changed it last; with closed collections, what is seen."""

Key = tuple[str, tuple[str, ...]]
"""A tenant, and the collections that are closed to who asks."""


class Extent(Protocol):
    """What a row of the tenant's extent says of the state of its index."""

    @property
    def language(self) -> str:
        """Of which language it is."""

    @property
    def written(self) -> int:
        """The transaction that changed it last."""

    @property
    def closed(self) -> Sequence[str]:
        """The collections that are closed to who asks."""

    @property
    def seen(self) -> str | None:
        """What of the phrases that leaves."""


@dataclass(slots=True)
class Held:
    """What is held of one tenant in one state: `web` once somebody walked, and the 5-grams of chunks once compared."""

    state: State
    web: Web | None = None
    grams: dict[int, Keys] = field(default_factory=dict)
    used: float = 0.0

    @property
    def bytes(self) -> int:
        """How much memory it takes."""
        return (self.web.bytes if self.web is not None else 0) + GRAMS_BYTES * len(self.grams)

    def keep(self, grams: Mapping[int, Keys]) -> None:
        """Keep the 5-grams of these chunks, too; of 20,000 at most."""
        if len(self.grams) + len(grams) > GRAMS_MAX:
            self.grams.clear()
        self.grams.update(grams)


class Webs:
    """Gives a transaction the web of its tenant, as that transaction sees it."""

    def __init__(self, bytes_max: int = BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._held: OrderedDict[Key, Held] = OrderedDict()
        self._turns: dict[Key, asyncio.Lock] = {}

    def held(self, tenant: str, extents: Sequence[Extent]) -> Held:
        """What is held of this tenant in the state that `extents` show; empty, and not kept, where that is another."""
        key, state = _named(tenant, extents)
        held = self._held.get(key)
        return held if held is not None and held.state == state else Held(state)

    async def of(self, db: Db, tenant: str, extents: Sequence[Extent]) -> Held:
        """The same with its web; without one where there are no phrases, or where it would be too large."""
        self._drop_idle()
        key, state = _named(tenant, extents)
        held = self._held.get(key)
        if held is None or held.state != state or held.web is None:
            async with self._turns.setdefault(key, asyncio.Lock()):
                held = self._held.get(key)
                if held is None or held.state != state or held.web is None:
                    held = await self._brought(db, held, state)
                    if held.web is None:
                        self._held.pop(key, None)
                        return held
                    self._held[key] = held
        held.used = time.monotonic()
        self._held.move_to_end(key)
        while len(self._held) > 1 and sum(one.bytes for one in self._held.values()) > self._bytes_max:
            self._held.popitem(last=False)
        return held

    # The state was read before the rows are: what is committed in between is found again at the next search.
    async def _brought(self, db: Db, held: Held | None, state: State) -> Held:
        web = held.web if held is not None and held.web is not None else EMPTY
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
                    return Held(state)
            if gone or batches:
                web = await asyncio.to_thread(web.changed, _joined(batches), gone)
        return Held(state, web, _alive(web, held.grams) if held is not None else {})

    def _drop_idle(self) -> None:
        """The webs that were last asked for long ago: the first ones."""
        limit = time.monotonic() - IDLE_S
        while self._held and next(iter(self._held.values())).used < limit:
            key, _ = self._held.popitem(last=False)
            self._turns.pop(key, None)


def _named(tenant: str, extents: Sequence[Extent]) -> tuple[Key, State]:
    state: State = tuple(sorted((extent.language, extent.written) for extent in extents))
    closed = tuple(sorted(extents[0].closed)) if extents else ()
    return (tenant, closed), (*state, extents[0].seen) if closed else state


def _alive(web: Web, grams: Mapping[int, Keys]) -> dict[int, Keys]:
    """The 5-grams of those chunks that are still here."""
    chunks = list(grams)
    places = web.places(chunks)
    return {
        chunk: grams[chunk]
        for chunk, place in zip(chunks, places.tolist(), strict=True)
        if place >= 0 and web.alive[place]
    }


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
