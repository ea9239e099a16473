"""Weaving: which phrases the chunks of a tenant mention, and who mentions each. Pure; arrays only.

A `Web` is made from rows of `knowledge.mention`, and made anew from itself, the rows that came and those that went:
what is sorted already is copied, not sorted again. Nothing in it is text.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bastide.knowledge.phrases import TITLE, WHOLE, Mentioned

Ints = NDArray[np.int64]
Places = NDArray[np.int32]
Bytes = NDArray[np.uint8]

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
class Spans:
    """What is known of mentions besides their phrase, a column each; see `Mentioned`."""

    kind: Bytes
    run: Bytes
    start: Bytes
    length: Bytes
    times: Bytes

    def and_these(self, others: Spans) -> Spans:
        """These, then the others."""
        return Spans(*(np.concatenate(pair) for pair in zip(self.columns(), others.columns(), strict=True)))

    def columns(self) -> tuple[Bytes, ...]:
        """The five."""
        return self.kind, self.run, self.start, self.length, self.times

    @classmethod
    def of(cls, mentions: NDArray[np.void]) -> Spans:
        """Those of mentions as they are kept."""
        return cls(*(np.ascontiguousarray(mentions[name]) for name in ("kind", "run", "start", "length", "times")))


@dataclass(frozen=True, slots=True)
class Web:
    """Which phrases the chunks of a tenant mention. A chunk has a place, 0 to n - 1, in the order they were added; a
    phrase has a place among `names`.

    `rows` says which places are those of a row. What was dropped keeps its places, not alive, until it is too much.
    """

    rows: Mapping[int, tuple[int, int]]
    chunks: Ints
    documents: Ints
    alive: NDArray[np.bool_]
    # by chunk: place n has the mentions starts[n]:starts[n + 1]
    starts: Ints
    phrases: Places
    spans: Spans
    # by phrase: n is mentioned by holders[first[n]:first[n + 1]]
    names: Ints
    first: Ints
    holders: Places
    kinds: Bytes
    times: Bytes
    # of each phrase, among what is alive: who mentions it, where it stands by itself, who is called so
    count: Places
    whole: Places
    titled: Places
    # the chunks by number
    sorted_chunks: Ints
    sorted_places: Ints
    # the share of titles here that other passages mention: a sixth in an encyclopaedia, none where titles are sentences
    linked: float

    @property
    def bytes(self) -> int:
        """How much memory it takes."""
        return 15 * len(self.phrases) + 28 * len(self.names) + 41 * len(self.chunks) + 150 * len(self.rows)

    def changed(self, added: Batch, gone: Collection[int] = ()) -> Web:
        """A web with these rows and without those; this one stays as it is. What stays is copied, not sorted anew."""
        rows = {number: places for number, places in self.rows.items() if number not in gone}
        alive = self.alive.copy()
        for number in gone:
            low, high = self.rows[number]
            alive[low:high] = False
        if 2 * int(alive.sum()) < len(alive) - 64:
            return EMPTY.changed(self._kept(rows)).changed(added)
        place = len(self.chunks)
        for number, count in zip(added.numbers.tolist(), added.counts.tolist(), strict=True):
            rows[number] = (place, place + count)
            place += count
        bare = self._less([self.rows[number] for number in gone])
        chunks = np.concatenate([self.chunks, added.chunks])
        by_number = np.argsort(chunks, kind="stable")
        web = bare._with(added)
        return replace(
            web,
            rows=rows,
            chunks=chunks,
            documents=np.concatenate([self.documents, np.repeat(added.documents, added.counts)]),
            alive=np.concatenate([alive, np.ones(len(added.chunks), np.bool_)]),
            sorted_chunks=chunks[by_number],
            sorted_places=by_number,
            linked=_linked(web.count, web.titled),
        )

    def _less(self, gone: Sequence[tuple[int, int]]) -> Web:
        """The counts without the mentions of these places."""
        if not gone:
            return self
        at = np.concatenate([np.arange(self.starts[low], self.starts[high]) for low, high in gone])
        counts = _counts(self.phrases[at], self.spans.kind[at], len(self.names))
        return replace(self, count=self.count - counts[0], whole=self.whole - counts[1], titled=self.titled - counts[2])

    def _with(self, added: Batch) -> Web:
        """The mentions of these rows put among those that are here."""
        keys = np.ascontiguousarray(added.mentions["key"])
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
        fresh = np.setdiff1d(ordered, self.names, assume_unique=False)
        before = np.searchsorted(self.names, fresh)
        names = np.insert(self.names, before, fresh)
        phrases = np.searchsorted(names, keys).astype(np.int32)
        many = len(names)
        moved = np.arange(len(self.names), dtype=np.int32) + np.searchsorted(fresh, self.names).astype(np.int32)
        counts = _counts(phrases, added.mentions["kind"], many)
        lengths = np.insert(np.diff(self.first), before, 0) + np.bincount(phrases, minlength=many)
        slot = self.first[np.searchsorted(self.names, ordered, "right")]  # behind who mentions it already
        spans = Spans.of(added.mentions)
        holders = np.repeat(np.arange(len(self.chunks), len(self.chunks) + len(added.chunks)), added.sizes)
        sizes = np.concatenate([np.diff(self.starts), added.sizes])
        return replace(
            self,
            starts=np.concatenate([[0], np.cumsum(sizes)]),
            phrases=np.concatenate([moved[self.phrases], phrases]),
            spans=self.spans.and_these(spans),
            names=names,
            first=np.concatenate([[0], np.cumsum(lengths)]),
            holders=np.insert(self.holders, slot, holders[order].astype(np.int32)),
            kinds=np.insert(self.kinds, slot, spans.kind[order]),
            times=np.insert(self.times, slot, spans.times[order]),
            count=np.insert(self.count, before, 0) + counts[0],
            whole=np.insert(self.whole, before, 0) + counts[1],
            titled=np.insert(self.titled, before, 0) + counts[2],
        )

    def _kept(self, rows: Mapping[int, tuple[int, int]]) -> Batch:
        """These rows as they were added."""
        bounds = np.array(list(rows.values()), np.int64).reshape(-1, 2)
        _, places = expand(bounds[:, 0], bounds[:, 1])
        _, at = expand(self.starts[places], self.starts[places + 1])
        mentions = np.zeros(len(at), MENTION)
        mentions["key"] = self.names[self.phrases[at]]
        for name, column in zip(("kind", "run", "start", "length", "times"), self.spans.columns(), strict=True):
            mentions[name] = column[at]
        return Batch(
            np.array(list(rows), np.int64),
            self.documents[bounds[:, 0]] if len(bounds) else np.zeros(0, np.int64),
            bounds[:, 1] - bounds[:, 0],
            self.chunks[places],
            np.diff(self.starts)[places],
            mentions,
        )

    def places(self, chunks: Sequence[int]) -> Ints:
        """The place of each chunk, -1 for one that is not here."""
        return _found(self.sorted_chunks, np.asarray(chunks, np.int64), self.sorted_places)

    def places_of_phrases(self, keys: Sequence[int]) -> Ints:
        """The place of each phrase, by its key, -1 for one that is not here."""
        return _found(self.names, np.asarray(keys, np.int64), None)


def _found(ordered: Ints, wanted: Ints, places: Ints | None) -> Ints:
    if not len(ordered):
        return np.full(len(wanted), -1, np.int64)
    at = np.minimum(np.searchsorted(ordered, wanted), len(ordered) - 1)
    return np.where(ordered[at] == wanted, at if places is None else places[at], -1)


def _counts(phrases: Places, kinds: Bytes, many: int) -> tuple[Places, Places, Places]:
    """Of each phrase: its mentions, those that stand by themselves, those that are titles."""
    masks = (None, (kinds & WHOLE) > 0, (kinds & TITLE) > 0)
    found = [np.bincount(phrases if mask is None else phrases[mask], minlength=many) for mask in masks]
    return found[0].astype(np.int32), found[1].astype(np.int32), found[2].astype(np.int32)


def _linked(count: Places, titled: Places) -> float:
    titles = titled > 0
    return float(np.mean(count[titles] > titled[titles])) if titles.any() else 0.0


def _nothing(kind: type | np.dtype[Any]) -> NDArray[Any]:
    return np.zeros(0, kind)


EMPTY = Web(
    rows={},
    chunks=_nothing(np.int64),
    documents=_nothing(np.int64),
    alive=_nothing(np.bool_),
    starts=np.zeros(1, np.int64),
    phrases=_nothing(np.int32),
    spans=Spans.of(_nothing(MENTION)),
    names=_nothing(np.int64),
    first=np.zeros(1, np.int64),
    holders=_nothing(np.int32),
    kinds=_nothing(np.uint8),
    times=_nothing(np.uint8),
    count=_nothing(np.int32),
    whole=_nothing(np.int32),
    titled=_nothing(np.int32),
    sorted_chunks=_nothing(np.int64),
    sorted_places=_nothing(np.int64),
    linked=0.0,
)
"""A web without a chunk, to which others are added."""
