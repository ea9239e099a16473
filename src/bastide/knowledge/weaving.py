"""Weaving: which phrases the chunks of a tenant mention, and who mentions each. Pure; arrays only.

A `Web` is made from rows of `knowledge.mention`, and made anew from itself, the rows that came and those that went:
what is sorted already is merged. Nothing in it is text.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bastide.knowledge.phrases import TITLE, Mentioned

Ints = NDArray[np.int64]

MENTION = np.dtype([("key", "<i8"), ("kind", "u1"), ("run", "u1"), ("start", "u1"), ("length", "u1"), ("times", "u1")])
"""How a mention is kept: 13 bytes."""


def expand(low: Ints, high: Ints) -> tuple[Ints, Ints]:
    """For slices low[i]:high[i], which slice each element is of, and where it stands."""
    lengths = high - low
    whole = int(lengths.sum())
    owner = np.repeat(np.arange(len(low)), lengths)
    first = np.repeat(np.cumsum(lengths) - lengths, lengths)
    return owner, np.arange(whole) - first + np.repeat(low, lengths)


def pack(mentions: Sequence[Mentioned]) -> bytes:
    """The mentions of one chunk as bytes, 13 each."""
    rows = [(m.key, m.kind, m.run % 255 if m.run >= 0 else 255, m.start, m.length, m.times) for m in mentions]
    array = np.zeros(len(rows), MENTION)
    for name, column in zip(("key", "kind", "run", "start", "length", "times"), zip(*rows, strict=True), strict=False):
        array[name] = column if name == "key" else np.minimum(column, 255)
    return array.tobytes()


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of `knowledge.mention`, one a document: `counts[i]` of the chunks are of row `numbers[i]`, `sizes[j]` of the
    mentions are of `chunks[j]`."""

    numbers: Ints
    documents: Ints
    counts: Ints
    chunks: Ints
    sizes: Ints
    mentions: NDArray[np.void]


@dataclass(frozen=True, slots=True)
class Web:
    """Which phrases the chunks of a tenant mention. A chunk has a place, 0 to n - 1, in the order they were added.

    `rows` says which places are those of a row. What was dropped keeps its places, not alive, until it is too much.
    """

    rows: Mapping[int, tuple[int, int]]
    chunks: Ints
    documents: Ints
    starts: Ints
    mentions: NDArray[np.void]
    alive: NDArray[np.bool_]
    # the same mentions by phrase
    keys: Ints
    holders: NDArray[np.int32]
    kinds: NDArray[np.uint8]
    times: NDArray[np.uint8]
    # the chunks by number
    sorted_chunks: Ints
    sorted_places: Ints
    linked: float
    """The share of the titles here that other passages mention: a sixth in an encyclopaedia, none where titles are
    sentences."""

    @property
    def bytes(self) -> int:
        """How much memory it takes."""
        return 27 * len(self.mentions) + 41 * len(self.chunks) + 150 * len(self.rows)

    def changed(self, added: Batch, gone: Collection[int] = ()) -> Web:
        """A web with these rows and without those; this one stays as it is."""
        rows = {number: places for number, places in self.rows.items() if number not in gone}
        alive = self.alive.copy()
        for number in gone:
            first, last = self.rows[number]
            alive[first:last] = False
        if 2 * int(alive.sum()) < len(alive) - 64:
            return EMPTY.changed(self._kept(rows)).changed(added)
        place = len(self.chunks)
        for number, count in zip(added.numbers.tolist(), added.counts.tolist(), strict=True):
            rows[number] = (place, place + count)
            place += count
        chunks = np.concatenate([self.chunks, added.chunks])
        sizes = np.concatenate([np.diff(self.starts), added.sizes])
        holders = np.repeat(np.arange(len(self.chunks), len(chunks), dtype=np.int32), added.sizes)
        keys = np.concatenate([self.keys, added.mentions["key"]])
        order = np.argsort(keys, kind="stable")  # what is sorted already is merged, not sorted
        keys, kinds = keys[order], np.concatenate([self.kinds, added.mentions["kind"]])[order]
        by_number = np.argsort(chunks, kind="stable")
        return Web(
            rows=rows,
            chunks=chunks,
            documents=np.concatenate([self.documents, np.repeat(added.documents, added.counts)]),
            starts=np.concatenate([[0], np.cumsum(sizes)]),
            mentions=np.concatenate([self.mentions, added.mentions]),
            alive=np.concatenate([alive, np.ones(len(added.chunks), np.bool_)]),
            keys=keys,
            holders=np.concatenate([self.holders, holders])[order],
            kinds=kinds,
            times=np.concatenate([self.times, added.mentions["times"]])[order],
            sorted_chunks=chunks[by_number],
            sorted_places=by_number,
            linked=_linked(keys, kinds),
        )

    def _kept(self, rows: Mapping[int, tuple[int, int]]) -> Batch:
        """These rows as they were added."""
        bounds = np.array(list(rows.values()), np.int64).reshape(-1, 2)
        _, places = expand(bounds[:, 0], bounds[:, 1])
        _, at = expand(self.starts[places], self.starts[places + 1])
        return Batch(
            np.array(list(rows), np.int64),
            self.documents[bounds[:, 0]] if len(bounds) else np.zeros(0, np.int64),
            bounds[:, 1] - bounds[:, 0],
            self.chunks[places],
            np.diff(self.starts)[places],
            self.mentions[at],
        )

    def places(self, chunks: Sequence[int]) -> Ints:
        """The place of each chunk, -1 for one that is not here."""
        wanted = np.asarray(chunks, np.int64)
        if not len(self.sorted_chunks):
            return np.full(len(wanted), -1, np.int64)
        at = np.minimum(np.searchsorted(self.sorted_chunks, wanted), len(self.sorted_chunks) - 1)
        return np.where(self.sorted_chunks[at] == wanted, self.sorted_places[at], -1)


def _nothing(kind: type | np.dtype[Any]) -> NDArray[Any]:
    return np.zeros(0, kind)


EMPTY = Web(
    rows={},
    chunks=_nothing(np.int64),
    documents=_nothing(np.int64),
    starts=np.zeros(1, np.int64),
    mentions=_nothing(MENTION),
    alive=_nothing(np.bool_),
    keys=_nothing(np.int64),
    holders=_nothing(np.int32),
    kinds=_nothing(np.uint8),
    times=_nothing(np.uint8),
    sorted_chunks=_nothing(np.int64),
    sorted_places=_nothing(np.int64),
    linked=0.0,
)
"""A web without a chunk, to which others are added."""


def _linked(keys: Ints, kinds: NDArray[np.uint8]) -> float:
    titles, times = np.unique(keys[(kinds & TITLE) > 0], return_counts=True)
    if not len(titles):
        return 0.0
    holders = np.searchsorted(keys, titles, "right") - np.searchsorted(keys, titles, "left")
    return float(np.mean(holders > times))
