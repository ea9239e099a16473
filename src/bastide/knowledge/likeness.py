"""Likeness: which documents say almost the same. Each has a sketch of its words, kept beside it and erased with it.

A sketch holds, for each of 128 orders of all hashes, the first of the document's shingles (five words in a row): the
share of equal places in two sketches estimates the Jaccard similarity of both sets of shingles, with a standard error
of at most 0.045 (MinHash: Broder 1997). Shingles are hashed under the tenant's key: to others a sketch is noise.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from bastide.errors import UnknownCollection, UnknownDocument
from bastide.store import Db, Scope, Store, queries

_Q = queries("bastide.knowledge")
_PUT, _SKETCHES, _TEXTS = _Q["put_likeness"], _Q["sketches"], _Q["texts_of"]
_HAS, _THERE = _Q["has_collection"], _Q["documents_there"]

PLACES = 128
SHINGLE_WORDS = 5
ALIKE_MIN = 0.5
"""Pairs below this similarity are not shown unless they are asked for."""

COMPARED_MAX = 100_000
"""So many documents of a tenant are compared: their sketches are 51 MB."""

_SHINGLES_MAX = 200_000  # of one document: a book of a thousand pages; a longer one is known by its first part
_SHOWN = 5  # paragraphs that stand in one of the two only
_SHOWN_CHARACTERS = 400
_DIFFERENCES_MAX = 50  # pairs of which it is said what differs
_AT_ONCE = 4_096

_WORD = re.compile(r"\w+")
# The 128 orders: h -> (a * h + b) >> 32 in 64 bits (Dietzfelbinger 1996). Fixed, or old sketches would mean nothing.
_SEED = np.random.Generator(np.random.PCG64(20_261_121))
_A: NDArray[np.uint64] = _SEED.integers(1, 2**63, PLACES, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
_B: NDArray[np.uint64] = _SEED.integers(0, 2**63, PLACES, dtype=np.uint64)


@dataclass(frozen=True, slots=True)
class Sketch:
    """What a document's words look like. `places` is empty for a document without words."""

    shingles: int
    places: bytes


@dataclass(frozen=True, slots=True)
class Alike:
    """Two documents that say almost the same; `similarity` is in [0, 1], 1 for equal content.

    `only_here` and `only_there` are paragraphs that stand in one of them only, in their order, at most five of each.
    """

    document: str
    other: str
    similarity: float
    same_content: bool
    only_here: tuple[str, ...] = ()
    only_there: tuple[str, ...] = ()

    def to_wire(self) -> dict[str, object]:
        """As the wire shows it."""
        return {**asdict(self), "similarity": round(self.similarity, 4)}


def sketch(texts: Sequence[str], key: bytes) -> Sketch:
    """The sketch of a document's texts under a tenant's key of 32 bytes. CPU-bound: 1 s a million words."""
    found = _shingles(texts)
    if not found:
        return Sketch(0, b"")
    hashes = np.fromiter((_hashed(one, key) for one in found), np.uint64, len(found))
    least = np.full(PLACES, 2**32 - 1, np.uint64)
    for start in range(0, len(hashes), _AT_ONCE):
        block = hashes[start : start + _AT_ONCE, None]
        least = np.minimum(least, ((block * _A + _B) >> np.uint64(32)).min(axis=0))
    return Sketch(len(found), least.astype("<u4").tobytes())


async def likeness_key(db: Db) -> bytes:
    """The tenant's key for sketches."""
    return await db.keyed(b"shingles", purpose="knowledge likeness")


async def write_likenesses(db: Db, made: Sequence[tuple[int, Sketch]]) -> None:
    """Keep the sketches of documents, by their number, in the transaction that writes their index."""
    await db.run(
        _PUT,
        documents=[number for number, _ in made],
        shingles=[one.shingles for _, one in made],
        sketches=[one.places for _, one in made],
    )


def _shingles(texts: Sequence[str]) -> set[str]:
    words = [word for text in texts for word in _WORD.findall(text.casefold())][:_SHINGLES_MAX]
    if len(words) <= SHINGLE_WORDS:
        return {" ".join(words)} if words else set()
    return {" ".join(words[start : start + SHINGLE_WORDS]) for start in range(len(words) - SHINGLE_WORDS + 1)}


def _hashed(shingle: str, key: bytes) -> int:
    return int.from_bytes(
        hashlib.blake2b(shingle.encode("utf-8", "replace"), digest_size=8, key=key).digest(), "little"
    )


@dataclass(frozen=True, slots=True)
class _Words:
    id: str
    fingerprint: bytes
    texts: list[str]


class Likeness:
    """Finds documents that are alike."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def alike(
        self, scope: Scope, *, document: str | None, collection: str | None, least: float, limit: int
    ) -> tuple[Alike, ...]:
        """The pairs of this document, or of this collection, or of all: the most alike first.

        Only documents that the caller may read are compared. Raises UnknownDocument, UnknownCollection.
        """
        pairs = await self.near(scope, document=document, collection=collection, least=least, limit=limit)
        shown = pairs[:_DIFFERENCES_MAX]
        async with self._store.under(scope) as db:
            ids = sorted({id for _, one, other in shown for id in (one, other)})
            words = {row.id: row for row in await db.rows(_Words, _TEXTS, ids=ids)}
        told = await asyncio.to_thread(_told, shown, words)
        return (*told, *(Alike(one, other, similar, False) for similar, one, other in pairs[_DIFFERENCES_MAX:]))

    async def near(
        self, scope: Scope, *, document: str | None = None, collection: str | None, least: float, limit: int
    ) -> list[tuple[float, str, str]]:
        """The same by their sketches alone: (estimated similarity, one, other)."""
        async with self._store.under(scope) as db:
            if collection is not None and not await db.value(_HAS, name=collection):
                raise UnknownCollection(f"There is no collection {collection!r} here.")
            if document is not None and not await db.rows(tuple, _THERE, ids=[document]):
                raise UnknownDocument
            rows: list[tuple[str, int, bytes]] = await db.rows(
                tuple, _SKETCHES, collection=collection, limit=COMPARED_MAX
            )
        return await asyncio.to_thread(_pairs, rows, document, least, limit)


def _pairs(
    rows: Sequence[tuple[str, int, bytes]], document: str | None, least: float, limit: int
) -> list[tuple[float, str, str]]:
    """(estimated similarity, one, other), the most alike first; `one` is the asked document, else the older."""
    rows = [row for row in rows if row[2]]
    if not rows:
        return []
    ids = [row[0] for row in rows]
    table = np.frombuffer(b"".join(row[2] for row in rows), "<u4").reshape(len(rows), PLACES)
    if document is not None:
        if document not in ids:
            return []
        place = ids.index(document)
        shares = (table == table[place]).mean(axis=1)
        found = [(float(shares[n]), document, ids[n]) for n in np.flatnonzero(shares >= least) if n != place]
    else:
        found = [
            (share, ids[one], ids[other])
            for one, other in _candidates(table)
            if (share := float((table[one] == table[other]).mean())) >= least
        ]
    return sorted(found, key=lambda pair: (-pair[0], pair[1], pair[2]))[:limit]


def _candidates(table: NDArray[np.uint32]) -> set[tuple[int, int]]:
    """Pairs with an equal band: 32 bands of 4 places find 98.8 % of pairs of similarity 0.6, and more above.

    In a crowd of copies each is paired with the next one and with the first, so that a thousand equal files are no
    half a million pairs.
    """
    found: set[tuple[int, int]] = set()
    for start in range(0, PLACES, 4):
        band = np.ascontiguousarray(table[:, start : start + 4]).view([("", "<u4")] * 4).ravel()
        order = np.argsort(band, kind="stable")
        same = band[order][1:] == band[order][:-1]
        begins = np.concatenate(([True], ~same))
        first = np.maximum.accumulate(np.where(begins, np.arange(len(order)), 0))
        for at in np.flatnonzero(same):
            other = int(order[at + 1])
            for one in {int(order[first[at]]), int(order[at])}:
                found.add((min(one, other), max(one, other)))
    return found


def _told(pairs: Sequence[tuple[float, str, str]], words: dict[str, _Words]) -> list[Alike]:
    """The same pairs with their exact similarity and what differs; those deleted meanwhile are left out."""
    found = []
    for _, one, other in pairs:
        if one not in words or other not in words:
            continue
        here, there = words[one], words[other]
        left, right = _shingles(here.texts), _shingles(there.texts)
        either = left | right
        same = bytes(here.fingerprint) == bytes(there.fingerprint)
        similarity = 1.0 if same else len(left & right) / len(either) if either else 0.0
        found.append(Alike(one, other, similarity, same, _only(here, there), _only(there, here)))
    return sorted(found, key=lambda pair: (-pair.similarity, pair.document, pair.other))


def _only(here: _Words, there: _Words) -> tuple[str, ...]:
    known = set(_paragraphs(there))
    fresh = [one for one in dict.fromkeys(_paragraphs(here)) if one not in known]
    return tuple(one[:_SHOWN_CHARACTERS] for one in fresh[:_SHOWN])


def _paragraphs(words: _Words) -> list[str]:
    return [" ".join(line.split()) for text in words.texts for line in text.splitlines() if line.strip()]
