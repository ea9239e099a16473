"""Search: from a query to passages.

1. the query is embedded, before any transaction       4. both orders are fused, by weights that know languages
2. its stems are looked up in every language here      5. from the best of them, and from the names in the query, a
3. the vectors next to it, exactly or by the graph        walk goes over the phrases that passages share
                                                       6. the best are fetched with where they stand
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bastide.errors import Refusal, Unavailable, UnknownCollection
from bastide.inference import Embedded, Inference
from bastide.knowledge.bounds import Filters
from bastide.knowledge.ranking import OTHER_LANGUAGE_WEIGHT, PLACE_WEIGHT, Scored, fuse, led, spread, term_key
from bastide.knowledge.reading import detect_language, terms
from bastide.knowledge.references import FIELD, named_in
from bastide.knowledge.values import Passage
from bastide.knowledge.walking import Walk, walk
from bastide.knowledge.webs import Webs
from bastide.policy import Label
from bastide.store import Db, Query, Scope, Store, queries, vector_text
from bastide.telemetry import observe

_Q = queries("bastide.knowledge")
_EXTENT, _WITHIN, _HAS_COLLECTION = _Q["extent"], _Q["documents_within"], _Q["has_collection"]
_RANK, _RANK_THROUGH_GRAPH, _TERM_COUNTS = _Q["rank"], _Q["rank_through_graph"], _Q["term_counts"]
_WALK_WIDELY, _PASSAGES = _Q["walk_widely"], _Q["passages"]
_BY_GRAPH: Mapping[int, Query] = {384: _Q["nearest_384"], 768: _Q["nearest_768"], 1024: _Q["nearest_1024"]}

CANDIDATES = 100  # from each ranking
_STEMS_MAX = 64  # of one query, in one language
_SHORT_QUERY_CHARACTERS = 60

# Embedders that know some languages only; one that is not named here knows all.
KNOWN_LANGUAGES: Mapping[str, frozenset[str]] = {"local/minilm": frozenset({"en"})}


@dataclass(frozen=True, slots=True)
class Extent:
    """How much a tenant has in one language, in chunks and in indexed terms; `graph` is the dimension of its graph
    of vectors, `written` the transaction that changed this last."""

    language: str
    chunks: int
    length: int
    graph: int | None = None
    written: int = 0


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


@dataclass(frozen=True, slots=True)
class _Asked:
    """One search, as the ranking needs it."""

    query: str
    language: str
    extents: list[Extent]
    embedded: Embedded | None
    mode: str
    within: list[int] | None


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


class Finder:
    """Answers queries with passages."""

    def __init__(self, store: Store, inference: Inference) -> None:
        self._store = store
        self._inference = inference
        self._webs = Webs()

    async def find(
        self, scope: Scope, query: str, *, limit: int, filters: Filters, mode: str, rarity: bool = False
    ) -> Found:
        """The passages that best answer `query`, best first."""
        start = time.perf_counter()
        embedded, notes = await self._embed(scope, query, mode)
        async with self._store.under(scope) as db:
            if filters.collection is not None and not await db.value(_HAS_COLLECTION, name=filters.collection):
                raise UnknownCollection(f"There is no collection {filters.collection!r} here.")
            extents = await db.rows(Extent, _EXTENT, model=embedded.model if embedded else "")
            language = query_language(query, extents)
            within = await db.value(_WITHIN, **_wire(filters)) if filters.narrow else None
            asked = _Asked(query, language, extents, embedded, mode, within)
            order = await _rank(db, asked)
            if mode in {"hybrid", "graph"} and order:
                walked = await self._walk(db, scope, asked, order)
                order = led(order, walked, always=mode == "graph")
            hits = await _hits(db, order, limit)
            rare = await _rarity(db, query, language, extents) if rarity else {}
        took = time.perf_counter() - start
        observe("knowledge_search", took, mode=mode)
        return Found(tuple(hits), language, notes, took * 1000, embedded.receipt if embedded else None, rare)

    async def _walk(self, db: Db, scope: Scope, asked: _Asked, order: list[Scored]) -> Walk:
        """From the best of `order` over the phrases of the tenant; an empty walk where there are none."""
        state = tuple(sorted((extent.language, extent.written) for extent in asked.extents))
        web = await self._webs.of(db, scope.tenant, state)
        if web is None:
            return Walk({}, ())
        seeds = {one.chunk: one.score for one in order[:CANDIDATES]}
        within = None if asked.within is None else np.isin(web.documents, asked.within)
        return await asyncio.to_thread(walk, web, asked.query, asked.language, seeds, within=within)

    async def _embed(self, scope: Scope, query: str, mode: str) -> tuple[Embedded | None, tuple[str, ...]]:
        if mode == "text":
            return None, ()
        try:
            return await self._inference.embed(scope, [query], label=Label.of_scope(scope), kind="query"), ()
        except (Refusal, Unavailable) as no:
            if mode == "vector":
                raise
            return None, (f"The query was not embedded ({no.code}): searched by words only.",)


async def _rank(db: Db, asked: _Asked) -> list[Scored]:
    if not asked.extents or asked.within == []:
        return []
    embedded = asked.embedded
    values = {
        **_terms(asked),
        "vector": vector_text(embedded.vectors[0]) if embedded else None,
        "model": embedded.model if embedded else "",
        "limit": CANDIDATES,
    }
    graph = asked.extents[0].graph
    found: list[tuple[int, float | None, float | None, str]]
    if graph is None or embedded is None or asked.within is not None:
        found = await db.rows(tuple, _RANK, within=asked.within, **values)
    else:
        await db.run(_WALK_WIDELY)
        near = await db.rows(tuple, _BY_GRAPH[graph], vector=values["vector"], model=embedded.model, limit=CANDIDATES)
        found = await db.rows(tuple, _RANK_THROUGH_GRAPH, near=[chunk for (chunk,) in near], **values)
    return fuse(
        {chunk: words for chunk, words, _, _ in found if words is not None},
        {chunk: cosine for chunk, _, cosine, _ in found if cosine is not None},
        languages={chunk: language for chunk, _, _, language in found},
        query_language=asked.language,
        known=KNOWN_LANGUAGES.get(embedded.model, frozenset()) if embedded is not None else frozenset(),
    )


def query_language(query: str, extents: list[Extent]) -> str:
    """The language a query is read in. What is too short to tell counts as the tenant's commonest language."""
    usual = max(extents, key=lambda extent: extent.chunks).language if extents else "en"
    language = detect_language(query, usual)
    if len(query) < _SHORT_QUERY_CHARACTERS and all(extent.language != language for extent in extents):
        return usual
    return language


def _terms(asked: _Asked) -> dict[str, list[Any]]:
    """The query's stems in every language here, as columns; none where only vectors are asked for."""
    rows: list[tuple[int, float, float, float]] = []
    for extent in asked.extents if asked.mode != "vector" else ():
        weight = 1.0 if extent.language == asked.language else OTHER_LANGUAGE_WEIGHT
        for stem, times in list(terms(asked.query, extent.language).items())[:_STEMS_MAX]:
            key = term_key(extent.language, stem)
            rows.append((key, extent.chunks, extent.length / extent.chunks, weight * times))
    chunks = sum(extent.chunks for extent in asked.extents)
    mean = sum(extent.length for extent in asked.extents) / chunks
    for place in named_in(asked.query) if asked.mode != "vector" else ():
        rows.append((term_key(FIELD, place), chunks, mean, PLACE_WEIGHT))
    columns = zip(*rows, strict=True) if rows else ((), (), (), ())
    return dict(zip(("terms", "totals", "means", "weights"), map(list, columns), strict=True))


async def _hits(db: Db, order: list[Scored], limit: int) -> list[Hit]:
    """The best of `order` as passages; a few more are fetched, because equal texts are shown once."""
    chosen = order[: limit + 8 + limit // 2]
    if not chosen:
        return []
    rows = {row.chunk: row for row in await db.rows(_Row, _PASSAGES, chunks=[one.chunk for one in chosen])}
    kept = spread(chosen, {chunk: (_section(row), row.text) for chunk, row in rows.items()}, limit)
    return [Hit(_passage(n, rows[one.chunk], one.score), one.words, one.cosine) for n, one in enumerate(kept, start=1)]


def _section(row: _Row) -> str:
    """The section that has a name, without the numbers of paragraphs in it; "" where there is none."""
    named = [part for part in row.section if any(map(str.isalpha, part))]
    return "\n".join([row.document_id, *named]) if named else ""


def _passage(n: int, row: _Row, score: float) -> Passage:
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
        label=Label.from_wire(row.label),
    )


async def _rarity(db: Db, query: str, language: str, extents: list[Extent]) -> dict[str, float]:
    """How rare each stem of the query is, by its idf: 1 where no chunk has it, near 0 where all have it."""
    total = next((extent.chunks for extent in extents if extent.language == language), 0)

    def idf(count: int) -> float:
        return math.log(1 + (total - count + 0.5) / (count + 0.5))

    stems = {term_key(language, stem): stem for stem in terms(query, language)}
    counts: dict[int, int] = dict(await db.rows(tuple, _TERM_COUNTS, terms=list(stems)))
    return {stem: idf(min(counts.get(key, 0), total)) / idf(0) for key, stem in stems.items()}


def _wire(filters: Filters) -> dict[str, object]:
    return {name: getattr(filters, name) for name in Filters.__slots__}
