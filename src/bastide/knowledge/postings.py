"""Postings: where the stems of a query stand, and BM25 over that. Pure; arrays only.

The rows of `knowledge.posting` are the record. A search reads those of its terms as bytes, under the tenant's own
scope, and adds up here, which the database does row by row and many times dearer. What was read of a term serves the
next search that sees the same state of the index (see `webs`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bastide.knowledge.growing import Ints, Places, expand

K1, B = 1.2, 0.75

Floats = NDArray[np.float64]

_HEADER = 5  # words of four bytes before the elements of an array, as the database sends it
_DENSE = 16  # chunks that may lie between two of a tenant's, before sums by their number would be mostly empty


class Term(NamedTuple):
    """A stem of a query in one language: how many chunks that has, their mean length, what the stem counts."""

    key: int
    total: int
    mean: float
    weight: float


@dataclass(frozen=True, slots=True)
class Postings:
    """Where one term stands: `sizes[i]` of the chunks are of `documents[i]`; `counts` are times * 65536 + length of the
    chunk in terms."""

    documents: Ints
    sizes: Ints
    chunks: Ints
    counts: Places

    @property
    def bytes(self) -> int:
        """How much memory it takes."""
        return 12 * len(self.chunks) + 16 * len(self.documents) + 600

    def renewed(self, documents: Ints, by: Postings) -> Postings:
        """Without what stands in these documents, and with what stands in them now."""
        stays = np.isin(self.documents, documents, invert=True)
        here = np.repeat(stays, self.sizes)
        return Postings(
            np.concatenate([self.documents[stays], by.documents]),
            np.concatenate([self.sizes[stays], by.sizes]),
            np.concatenate([self.chunks[here], by.chunks]),
            np.concatenate([self.counts[here], by.counts]),
        )


_NO_INTS = np.zeros(0, np.int64)
NOWHERE = Postings(_NO_INTS, _NO_INTS, _NO_INTS, np.zeros(0, np.int32))


@dataclass(frozen=True, slots=True)
class Ranked:
    """Chunks that hold a stem of the query, by number, each with its score."""

    chunks: Ints
    scores: Floats

    def best(self, most: int) -> dict[int, float]:
        """The best `most`, and those that are as good as the last of them."""
        here = self.scores >= (np.partition(self.scores, -most)[-most] if len(self.scores) > most else 0.0)
        return dict(zip(self.chunks[here].tolist(), self.scores[here].tolist(), strict=True))

    def of(self, chunks: Sequence[int]) -> dict[int, float]:
        """The scores of those among `chunks` that have one."""
        if not len(self.chunks):
            return {}
        wanted = np.asarray(chunks, np.int64)
        at = np.minimum(np.searchsorted(self.chunks, wanted), len(self.chunks) - 1)
        there = self.chunks[at] == wanted
        return dict(zip(wanted[there].tolist(), self.scores[at[there]].tolist(), strict=True))


def ranked(terms: Sequence[Term], known: Mapping[int, Postings], within: Sequence[int] | None) -> Ranked:
    """BM25 in Lucene's form over these terms: idf = ln(1 + (N - df + 0.5) / (df + 0.5)), k1 = 1.2, b = 0.75, N and the
    mean length those of the term's language. `within` leaves the chunks of these documents; df counts all."""
    chunks: list[Ints] = []
    scores: list[Floats] = []
    for term in terms:
        found = known.get(term.key, NOWHERE)
        many = len(found.chunks)
        if not many:
            continue
        weight = term.weight * math.log(1 + (max(term.total - many, 0) + 0.5) / (many + 0.5))
        times = found.counts >> 16
        score = weight * times / (times + (K1 * (1 - B) + K1 * B / term.mean * (found.counts & 0xFFFF)))
        here = slice(None) if within is None else np.repeat(np.isin(found.documents, within), found.sizes)
        chunks.append(found.chunks[here])
        scores.append(score[here])
    return _summed(np.concatenate(chunks), np.concatenate(scores)) if chunks else Ranked(_NO_INTS, np.zeros(0))


def _summed(chunks: Ints, scores: Floats) -> Ranked:
    """Each chunk once, in order, with the sum of its scores, none of which is 0."""
    if not len(chunks):
        return Ranked(chunks, scores)
    low, high = int(chunks.min()), int(chunks.max())
    if high - low > _DENSE * len(chunks):
        once, place = np.unique(chunks, return_inverse=True)
        return Ranked(once, np.bincount(place, scores).astype(np.float64, copy=False))
    sums = np.bincount(chunks - low, scores).astype(np.float64, copy=False)
    held = np.flatnonzero(sums)
    return Ranked(held + low, sums[held])


def read(documents: bytes, sizes: bytes, chunks: bytes, counts: bytes) -> Postings:
    """The rows of one term as the database sends them, one after the other: the documents' numbers, how many chunks of
    each, which, and their counts, the latter two as arrays."""
    many = np.frombuffer(sizes, ">i4").astype(np.int64)
    high, low = _elements(chunks, many, 2)
    (count,) = _elements(counts, many, 1)
    number = np.frombuffer(documents, ">i8").astype(np.int64)
    return Postings(number, many, high.astype(np.int64) << 32 | low.view(np.uint32), count)


def _elements(sent: bytes, many: Ints, width: int) -> list[Places]:
    """The elements of arrays that stand one after the other, `many[i]` of `width` words each: the first words of all,
    the second ones."""
    words = np.frombuffer(sent, ">i4").astype(np.int32)
    step = width + 1  # each element begins with its length
    starts = np.cumsum(_HEADER + step * many) - step * many
    owner, place = expand(np.zeros_like(many), many)
    at = starts[owner] + step * place
    return [words[at + n] for n in range(1, step)]
