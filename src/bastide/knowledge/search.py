"""Search: from a query to passages.

1. the query is embedded, before any transaction         4. the best are compared with it below the stems, too
2. its stems are looked up, and the vectors next to it   5. from them, and from the names in the query, a walk goes
3. both orders are fused, by weights that know languages    over the phrases that passages share
                                                         6. the best are shown with where they stand
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from bastide.errors import UnknownCollection
from bastide.knowledge.bounds import Filters
from bastide.knowledge.candidates import Asked, Candidates, Extent, candidates, postings_of, query_language
from bastide.knowledge.embedders import Embedders, Query
from bastide.knowledge.grams import gram_scores, grams_of
from bastide.knowledge.preparing import headings
from bastide.knowledge.ranking import Scored, fuse, led, spread, term_key
from bastide.knowledge.reading import terms
from bastide.knowledge.references import named_in
from bastide.knowledge.showing import highlights, why
from bastide.knowledge.values import Around, Passage
from bastide.knowledge.walking import Walk, walk
from bastide.knowledge.webs import Held, Webs
from bastide.policy import Label
from bastide.store import Db, Scope, Store, queries
from bastide.telemetry import observe

_Q = queries("bastide.knowledge")
_EXTENT, _WITHIN, _HAS_COLLECTION = _Q["extent"], _Q["documents_within"], _Q["has_collection"]
_TEXTS, _PASSAGES = _Q["texts"], _Q["passages"]
_AROUND = {"neighbours": _Q["neighbours"], "section": _Q["rest_of_sections"]}

COMPARED = 50  # so many of the best are read for their 5-grams
SEEDS = 100  # the walk starts at so many: of 40, 60 and 100 each was better on both halves of MuSiQue-train-100

WALKED_HERE = 200_000
"""A web with fewer mentions is walked in some two milliseconds: to hand that to a thread and wait costs as much."""

_NOWHERE = Walk({}, (), {})


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage with what its score was made of."""

    passage: Passage
    words: float
    cosine: float | None


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found. `rarity` is the idf of each stem of the query in the query's own language."""

    hits: tuple[Hit, ...]
    language: str
    notes: tuple[str, ...]
    took_ms: float
    receipt: str | None
    rarity: Mapping[str, float]
    receipts: Mapping[str, str] = field(default_factory=dict)
    """Of the model calls besides the query's embedding, by what they did."""


@dataclass(frozen=True, slots=True)
class _Row:
    chunk: int
    section: list[str]
    page: int | None
    start_at: int
    end_at: int
    text: str
    language: str
    document_id: str
    name: str
    collection: str
    version: int
    label: dict[str, object]
    title: str
    metadata: dict[str, object]

    @property
    def above(self) -> str:
        """The words of its title and headings."""
        return headings(self.title, self.section)


@dataclass(frozen=True, slots=True)
class _Beside:
    chunk: int
    step: int
    start: int
    end: int
    page: int | None
    text: str


class Finder:
    """Answers queries with passages."""

    def __init__(self, store: Store, embedders: Embedders) -> None:
        self._store = store
        self._embedders = embedders
        self._webs = Webs()

    async def find(
        self,
        scope: Scope,
        query: str,
        *,
        limit: int,
        filters: Filters,
        mode: str,
        rarity: bool = False,
        explain: bool = False,
        context: str = "none",
        label: Label | None = None,
    ) -> Found:
        """The passages that best answer `query`, best first. `label` is that of the query, where it was made from
        passages."""
        start = time.perf_counter()
        read = Query()
        if mode != "text":
            read = await self._embedders.read(
                scope, query, collection=filters.collection, strict=mode == "vector", label=label
            )
        embedded = read.embedded
        async with self._store.under(scope) as db:
            if filters.collection is not None and not await db.value(_HAS_COLLECTION, name=filters.collection):
                raise UnknownCollection(f"There is no collection {filters.collection!r} here.")
            extents = await db.rows(Extent, _EXTENT, model=embedded.model if embedded else "")
            within = await db.value(_WITHIN, **filters.columns()) if filters.narrow else None
            asked = Asked(query, query_language(query, extents), extents, embedded, mode, within, read.known)
            held = self._webs.held(scope.tenant, extents)
            if extents and mode in {"hybrid", "graph"}:
                held = await self._webs.of(db, scope.tenant, extents)
            order = await _order(db, asked, held)
            walked = await _walk(asked, order, held, explain) if mode in {"hybrid", "graph"} else _NOWHERE
            order = led(order, walked, always=mode == "graph")
            rows: dict[int, _Row] = {}
            kept = await _kept(db, order, rows, limit)
            beside = await _beside(db, kept, context)
            rare = await _rarity(db, asked, held) if rarity else {}
        hits = _hits(asked, kept, rows, walked if explain else None, beside)
        took = time.perf_counter() - start
        observe("knowledge_search", took, mode=mode)
        return Found(tuple(hits), asked.language, read.notes, took * 1000, embedded.receipt if embedded else None, rare)


async def _walk(asked: Asked, order: list[Scored], held: Held, explain: bool) -> Walk:
    """From the best of `order` over the phrases of the tenant; an empty walk where there are none."""
    web = held.web
    if not order or web is None or not len(web.chunks):
        return _NOWHERE
    seeds = {one.chunk: one.score for one in order[:SEEDS]}
    within = None if asked.within is None else np.isin(web.documents, asked.within)
    always = asked.mode == "graph"
    step = partial(walk, web, asked.query, asked.language, seeds, within=within, masses=explain, always=always)
    return step() if len(web.phrases) < WALKED_HERE else await asyncio.to_thread(step)


async def _order(db: Db, asked: Asked, held: Held) -> list[Scored]:
    """Words and meaning as one order."""
    found = await candidates(db, asked, held)
    order = _fused(asked, found, None)
    if asked.mode == "vector" or not order or named_in(asked.query):
        return order  # a place that is named ("Article 17") is found by its term, not by who mentions articles most
    best = [one.chunk for one in order[:COMPARED]]
    known = {chunk: held.grams[chunk] for chunk in best if chunk in held.grams}
    unknown = [chunk for chunk in best if chunk not in known]
    if unknown:
        texts: list[tuple[int, list[str], str, str]] = await db.rows(tuple, _TEXTS, chunks=unknown)
        keys = grams_of([f"{headings(title, section)}\n{text}" for _, section, text, title in texts])
        fresh = {chunk: grams for (chunk, *_), grams in zip(texts, keys, strict=True)}
        held.keep(fresh)
        known |= fresh
    scores = gram_scores(asked.query, asked.language, list(known.values()))
    return _fused(asked, found, dict(zip(known, scores, strict=True)))


def _fused(asked: Asked, found: Candidates, grams: Mapping[int, float] | None) -> list[Scored]:
    return fuse(
        found.words,
        found.cosines,
        languages=found.languages,
        query_language=asked.language,
        known=asked.known,
        grams=grams,
    )


async def _kept(db: Db, order: Sequence[Scored], rows: dict[int, _Row], limit: int) -> list[Scored]:
    """The best of `order` that are shown; a few more are looked at, because equal texts are shown once."""
    chosen = order[: limit + 8 + limit // 2]
    if chosen:
        found = await db.rows(_Row, _PASSAGES, chunks=[one.chunk for one in chosen])
        rows.update((row.chunk, row) for row in found)
    places = {one.chunk: (_section(rows[one.chunk]), rows[one.chunk].text) for one in chosen if one.chunk in rows}
    return spread(chosen, places, limit)


async def _beside(db: Db, kept: Sequence[Scored], context: str) -> dict[int, list[Around]]:
    """What stands around each passage, where that was asked for."""
    found: dict[int, list[Around]] = {}
    if context in _AROUND and kept:
        for row in await db.rows(_Beside, _AROUND[context], chunks=[one.chunk for one in kept]):
            found.setdefault(row.chunk, []).append(Around(row.step, row.start, row.end, row.page, row.text))
    return found


def _hits(
    asked: Asked,
    kept: Sequence[Scored],
    rows: Mapping[int, _Row],
    walked: Walk | None,
    beside: Mapping[int, Sequence[Around]],
) -> list[Hit]:
    stems: dict[str, frozenset[str]] = {}
    words: dict[str, dict[str, bool]] = {}
    labels: dict[str, Label] = {}
    hits: list[Hit] = []
    for n, one in enumerate(kept, start=1):
        row = rows[one.chunk]
        if row.language not in stems:
            stems[row.language], words[row.language] = frozenset(terms(asked.query, row.language)), {}
        if (said := repr(row.label)) not in labels:
            labels[said] = Label.from_wire(row.label)
        marks = highlights(row.text, row.language, stems[row.language], words[row.language])
        passage = _passage(n, row, one.score, labels[said], marks, tuple(beside.get(one.chunk, ())))
        if walked is not None:
            reasons = why(
                one,
                text=row.text,
                above=row.above,
                language=row.language,
                query_stems=stems[row.language],
                walked=walked,
            )
            passage = replace(passage, why=reasons)
        hits.append(Hit(passage, one.words, one.cosine))
    return hits


def _section(row: _Row) -> str:
    """The section that has a name, without the numbers of paragraphs in it; "" where there is none."""
    named = [part for part in row.section if any(map(str.isalpha, part))]
    return "\n".join([row.document_id, *named]) if named else ""


def _passage(
    n: int, row: _Row, score: float, label: Label, marks: tuple[tuple[int, int], ...], around: tuple[Around, ...]
) -> Passage:
    return Passage(
        n=n,
        document_id=row.document_id,
        name=row.name,
        title=row.title,
        collection=row.collection,
        section=tuple(row.section),
        page=row.page,
        start=row.start_at,
        end=row.end_at,
        text=row.text,
        language=row.language,
        score=score,
        version=row.version,
        label=label,
        metadata=row.metadata,
        highlights=marks,
        around=around,
    )


async def _rarity(db: Db, asked: Asked, held: Held) -> dict[str, float]:
    """How rare each stem of the query is, by its idf: 1 where no chunk has it, near 0 where all have it."""
    total = next((extent.chunks for extent in asked.extents if extent.language == asked.language), 0)

    def idf(count: int) -> float:
        return math.log(1 + (total - count + 0.5) / (count + 0.5))

    stems = {term_key(asked.language, stem): stem for stem in terms(asked.query, asked.language)}
    found = await postings_of(db, list(stems), held)
    return {stem: idf(min(len(found[key].chunks), total)) / idf(0) for key, stem in stems.items()}
