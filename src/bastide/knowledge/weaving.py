"""Weaving: which phrases the chunks of a tenant mention, and who mentions each. Pure; arrays only.

A `Web` is made from rows of `knowledge.mention`, and made anew from itself, the rows that came and those that went:
what is there already stays where it is (see `growing`). Nothing in it is text.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bastide.knowledge.growing import Bytes, Holders, Index, Ints, Places, Spare, expand
from bastide.knowledge.phrases import TITLE, WHOLE, Mentioned

MENTION = np.dtype([("key", "<i8"), ("kind", "u1"), ("run", "u1"), ("start", "u1"), ("length", "u1"), ("times", "u1")])
"""How a mention is kept: 13 bytes."""


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

    def columns(self) -> tuple[Bytes, ...]:
        """The five."""
        return self.kind, self.run, self.start, self.length, self.times

    @classmethod
    def of(cls, mentions: NDArray[np.void]) -> Spans:
        """Those of mentions as they are kept."""
        return cls(*(np.ascontiguousarray(mentions[name]) for name in ("kind", "run", "start", "length", "times")))


@dataclass(frozen=True, slots=True)
class Web:
    """Which phrases the chunks of a tenant mention. A chunk has a place, 0 to n - 1, in the order they were added; so
    has a phrase.

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
    # by phrase: its key, and who mentions it
    names: Ints
    held: Holders
    # of each phrase, among what is alive: who mentions it, where it stands by itself, who is called so
    count: Places
    whole: Places
    titled: Places
    # the places by number and by key
    of_chunk: Index
    of_name: Index
    spare: Spare = field(default_factory=Spare, compare=False)
    told: dict[str, float] = field(default_factory=dict, compare=False)

    @property
    def bytes(self) -> int:
        """How much memory it takes."""
        return 16 * len(self.phrases) + 42 * len(self.names) + 42 * len(self.chunks) + 150 * len(self.rows)

    @property
    def linked(self) -> float:
        """The share of the titles here that other passages mention: a sixth in an encyclopaedia, none where titles are
        sentences."""
        if "linked" not in self.told:
            titles = self.titled > 0
            self.told["linked"] = float(np.mean(self.count[titles] > self.titled[titles])) if titles.any() else 0.0
        return self.told["linked"]

    def changed(self, added: Batch, gone: Collection[int] = ()) -> Web:
        """A web with these rows and without those; this one stays as it is. What stays is not sorted anew."""
        rows = dict(self.rows)
        left = [rows.pop(number) for number in gone]
        alive = np.concatenate([self.alive, np.ones(len(added.chunks), np.bool_)])
        for low, high in left:
            alive[low:high] = False
        if 2 * (int(alive.sum()) - len(added.chunks)) < len(self.alive) - 64:
            return EMPTY.changed(self._kept(rows)).changed(added)
        before = place = len(self.chunks)
        for number, count in zip(added.numbers.tolist(), added.counts.tolist(), strict=True):
            rows[number] = (place, place + count)
            place += count
        spare = self.spare if before else Spare()
        spans = Spans.of(added.mentions)
        phrases, names, of_name = self._named(np.ascontiguousarray(added.mentions["key"]), spare)
        many = len(names)
        holders = np.repeat(np.arange(before, place, dtype=np.int32), added.sizes)
        count, whole, titled = self._counted(phrases, spans.kind, left, many)
        columns = zip(("kind", "run", "start", "length", "times"), self.spans.columns(), spans.columns(), strict=True)
        return Web(
            rows=rows,
            chunks=spare.behind("chunks", self.chunks, added.chunks),
            documents=spare.behind("documents", self.documents, np.repeat(added.documents, added.counts)),
            alive=alive,
            starts=spare.behind("starts", self.starts, self.starts[-1] + np.cumsum(added.sizes)),
            phrases=spare.behind("phrases", self.phrases, phrases),
            spans=Spans(*(spare.behind(name, column, more) for name, column, more in columns)),
            names=names,
            held=self.held.and_these(phrases, holders, spans.kind, spans.times, many),
            count=count,
            whole=whole,
            titled=titled,
            of_chunk=self.of_chunk.and_these(added.chunks, np.arange(before, place, dtype=np.int32)),
            of_name=of_name,
            spare=spare,
        )

    def _named(self, keys: Ints, spare: Spare) -> tuple[Places, Ints, Index]:
        """The place of each of these phrases, with the names and their index, which hold those that are new, too."""
        places = self.of_name.of(keys)
        new = places < 0
        fresh, which = np.unique(keys[new], return_inverse=True)
        places[new] = len(self.names) + which
        at = np.arange(len(self.names), len(self.names) + len(fresh), dtype=np.int32)
        names = spare.behind("names", self.names, fresh)
        return places.astype(np.int32), names, self.of_name.and_these(fresh, at)

    def _counted(
        self, phrases: Places, kinds: Bytes, gone: Sequence[tuple[int, int]], many: int
    ) -> tuple[Places, Places, Places]:
        """Of each phrase its mentions, those that stand by themselves, those that are titles: with these, without what
        is in those places."""
        at = [np.arange(self.starts[low], self.starts[high]) for low, high in gone]
        away = np.concatenate([np.zeros(0, np.int64), *at])
        found: list[Places] = []
        for held, mask in ((self.count, 0), (self.whole, WHOLE), (self.titled, TITLE)):
            counts = np.zeros(many, np.int32)
            counts[: len(held)] = held
            for some, kind, sign in ((phrases, kinds, 1), (self.phrases[away], self.spans.kind[away], -1)):
                np.add.at(counts, some if not mask else some[(kind & mask) > 0], sign)
            found.append(counts)
        return found[0], found[1], found[2]

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
        return self.of_chunk.of(np.asarray(chunks, np.int64))

    def places_of_phrases(self, keys: Sequence[int]) -> Ints:
        """The place of each phrase, by its key, -1 for one that is not here."""
        return self.of_name.of(np.asarray(keys, np.int64))


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
    held=Holders.empty(),
    count=_nothing(np.int32),
    whole=_nothing(np.int32),
    titled=_nothing(np.int32),
    of_chunk=Index.empty(),
    of_name=Index.empty(),
)
"""A web without a chunk, to which others are added."""
