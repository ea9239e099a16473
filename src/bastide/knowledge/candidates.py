"""Candidates: what of a tenant's chunks may answer a query, each with its scores by words and by meaning.

Words: the query's stems are looked up in every language here. Meaning: the vectors next to the query's, exactly, or by
the graph of a tenant's own partition. One question to the database, under the tenant's row security.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bastide.inference import Embedded
from bastide.knowledge.ranking import OTHER_LANGUAGE_WEIGHT, PLACE_WEIGHT, term_key
from bastide.knowledge.reading import detect_language, terms
from bastide.knowledge.references import FIELD, named_in
from bastide.store import Db, Query, queries, vector_text

_Q = queries("bastide.knowledge")
_RANK, _RANK_THROUGH_GRAPH, _WALK_WIDELY = _Q["rank"], _Q["rank_through_graph"], _Q["walk_widely"]
_BY_GRAPH: Mapping[int, Query] = {384: _Q["nearest_384"], 768: _Q["nearest_768"], 1024: _Q["nearest_1024"]}

MOST = 100  # from each ranking
_STEMS_MAX = 64  # of one query, in one language
_SHORT_QUERY_CHARACTERS = 60


@dataclass(frozen=True, slots=True)
class Extent:
    """How much a tenant has in one language, in chunks and in indexed terms; `graph` is the dimension of its graph
    of vectors, `written` the transaction that changed this last; `closed` are the collections that who asks may not
    see, and `seen` what of the phrases that leaves."""

    language: str
    chunks: int
    length: int
    graph: int | None = None
    written: int = 0
    closed: Sequence[str] = ()
    seen: str | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """One search, as the rankings need it; `within` are the documents that a filter leaves, by number, `known` the
    languages that the embedder of the query knows, none for all."""

    query: str
    language: str
    extents: list[Extent]
    embedded: Embedded | None
    mode: str
    within: list[int] | None
    known: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Candidates:
    """By chunk: BM25 of the query's stems, cosine, language. A chunk may lack either score."""

    words: Mapping[int, float]
    cosines: Mapping[int, float]
    languages: Mapping[int, str]


async def candidates(db: Db, asked: Asked) -> Candidates:
    """The best 100 by words and the best 100 by meaning, with both scores; none where nothing is here."""
    if not asked.extents or asked.within == []:
        return Candidates({}, {}, {})
    embedded = asked.embedded
    values = {
        **_terms(asked),
        "vector": vector_text(embedded.vectors[0]) if embedded else None,
        "model": embedded.model if embedded else "",
        "limit": MOST,
        "several": len(asked.extents) > 1,
    }
    graph = asked.extents[0].graph
    found: list[tuple[int, float | None, float | None, str | None]]
    if graph is None or embedded is None or asked.within is not None:
        found = await db.rows(tuple, _RANK, within=asked.within, **values)
    else:
        await db.run(_WALK_WIDELY)
        near = await db.rows(tuple, _BY_GRAPH[graph], vector=values["vector"], model=embedded.model, limit=MOST)
        found = await db.rows(tuple, _RANK_THROUGH_GRAPH, near=[chunk for (chunk,) in near], **values)
    return Candidates(
        {chunk: words for chunk, words, _, _ in found if words is not None},
        {chunk: cosine for chunk, _, cosine, _ in found if cosine is not None},
        {chunk: language or asked.extents[0].language for chunk, _, _, language in found},
    )


def query_language(query: str, extents: list[Extent]) -> str:
    """The language a query is read in. What is too short to tell counts as the tenant's commonest language."""
    usual = max(extents, key=lambda extent: extent.chunks).language if extents else "en"
    language = detect_language(query, usual)
    if len(query) < _SHORT_QUERY_CHARACTERS and all(extent.language != language for extent in extents):
        return usual
    return language


def _terms(asked: Asked) -> dict[str, list[Any]]:
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
