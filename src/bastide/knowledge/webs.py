"""Webs: the phrase graphs of tenants, held in this process while they are searched.

The rows of `knowledge.mention` are the record. What is held here is made from them under the tenant's own scope, and
holds hashes and numbers only: the phrases, and, of late searches, the 5-grams of the chunks that were compared and the
postings of the stems. Each search names the state of the tenant's index that its transaction sees; what is held of
another state is brought to it first, by the rows that are new and those that are gone, or dropped: nothing that was
erased takes part in a later search. Who may not see a collection has a web of his own, made without its rows. A web
that nobody asks for is dropped after ten minutes.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np

from bastide.knowledge.grams import Keys
from bastide.knowledge.growing import Ints
from bastide.knowledge.postings import Postings
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
POSTINGS_MAX = 64 * 1024 * 1024  # bytes of a tenant's postings that are kept
CHANGED_MAX = 2_000  # documents that may have changed since

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
    def chunks(self) -> int:
        """How many chunks there are."""

    @property
    def written(self) -> int:
        """The transaction that changed it last."""

    @property
    def closed(self) -> Sequence[str]:
        """The collections that are closed to who asks."""

    @property
    def seen(self) -> str | None:
        """What of the documents that leaves."""


class Words(NamedTuple):
    """The postings of a term, and how many changes they have seen."""

    postings: Postings
    changes: int


@dataclass(slots=True)
class Held:
    """What is held of one tenant in one state: `web` once somebody walked, the 5-grams of chunks once compared, the
    postings of terms once searched. `changed` are the documents that changed since the first of them was read, and
    `whole` says that no chunk is here but those of the web, so that no other document changed."""

    state: State
    web: Web | None = None
    grams: dict[int, Keys] = field(default_factory=dict)
    postings: dict[int, Words] = field(default_factory=dict)
    postings_bytes: int = 0
    changed: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    whole: bool = False
    too_large: bool = False
    used: float = 0.0
    weighed: int = 0

    @property
    def bytes(self) -> int:
        """How much memory it takes."""
        web = self.web.bytes if self.web is not None else 0
        return web + GRAMS_BYTES * len(self.grams) + self.postings_bytes

    def keep(self, grams: Mapping[int, Keys]) -> None:
        """Keep the 5-grams of these chunks, too; of 20,000 at most."""
        if len(self.grams) + len(grams) > GRAMS_MAX:
            self.grams.clear()
        self.grams.update(grams)

    def keep_postings(self, postings: Mapping[int, Postings]) -> None:
        """Keep where these terms stand, too; of 64 MiB at most."""
        self._weigh_postings([key for key in postings if key in self.postings], -1)
        self.postings |= {key: Words(one, len(self.changed)) for key, one in postings.items()}
        self._weigh_postings(list(postings), 1)
        if self.postings_bytes > POSTINGS_MAX:
            self.postings.clear()
            self.postings_bytes = 0

    def _weigh_postings(self, keys: Sequence[int], sign: int) -> None:
        self.postings_bytes += sign * sum(self.postings[key].postings.bytes for key in keys)

    def follow(self, before: Held, documents: Ints) -> None:
        """Take over what still holds of another state, where these documents changed in between."""
        web = self.web
        assert web is not None, "the web was brought to this state first"
        self.keep(_alive(web, before.grams))
        if self.whole and before.whole and len(before.changed) + len(documents) <= CHANGED_MAX:
            self.changed = np.concatenate([before.changed, documents])
            self.postings, self.postings_bytes = dict(before.postings), before.postings_bytes


class Webs:
    """Gives a transaction the web of its tenant, as that transaction sees it."""

    def __init__(self, bytes_max: int = BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._held: OrderedDict[Key, Held] = OrderedDict()
        self._turns: dict[Key, asyncio.Lock] = {}

    def held(self, tenant: str, extents: Sequence[Extent]) -> Held:
        """What is held of this tenant in the state that `extents` show.

        It is empty, and not kept, where a web of another state is held, of which the next will be made.
        """
        key, state = _named(tenant, extents)
        return self._held_in(key, state)

    async def of(self, db: Db, tenant: str, extents: Sequence[Extent]) -> Held:
        """The same with its web; without one where it would be too large."""
        key, state = _named(tenant, extents)
        held = self._held_in(key, state)
        if held.web is None and not held.too_large:
            async with self._turns.setdefault(key, asyncio.Lock()):
                held = self._held_in(key, state)
                if held.web is None and not held.too_large:
                    await self._bring(db, held, self._held.get(key, held), sum(extent.chunks for extent in extents))
                    self._held[key] = held
                    self._held.move_to_end(key)
        if held.weighed != held.bytes:
            held.weighed = held.bytes
            while len(self._held) > 1 and sum(one.weighed for one in self._held.values()) > self._bytes_max:
                self._held.popitem(last=False)
        return held

    def _held_in(self, key: Key, state: State) -> Held:
        now = time.monotonic()
        while self._held and next(iter(self._held.values())).used < now - IDLE_S:  # those that were asked for long ago
            gone, _ = self._held.popitem(last=False)
            self._turns.pop(gone, None)
        known = self._held.get(key)
        held = known if known is not None and known.state == state else Held(state)
        held.used = now
        if known is None or known.web is None or known is held:
            self._held[key] = held
            self._held.move_to_end(key)
        return held

    # The state was read before the rows are: what is committed in between is found again at the next search.
    async def _bring(self, db: Db, held: Held, before: Held, chunks: int) -> None:
        was = web = before.web if before.web is not None else EMPTY
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
                    held.too_large = True
                    return
            more = _joined(batches)
            if gone or batches:
                web = await asyncio.to_thread(web.changed, more, gone)
        held.web, held.whole = web, int(np.count_nonzero(web.alive)) == chunks
        if before is not held:
            held.follow(
                before, np.concatenate([was.documents[[was.rows[number][0] for number in gone]], more.documents])
            )


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
    ((there, documents, lengths, chunks, sizes, phrases),) = await db.packed(_ROWS, numbers=numbers)
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
