"""Candidates: what of a tenant's chunks may answer a query, each with its scores by words and by meaning.

Words: the query's stems are looked up in every language here. Meaning: the vectors next to the query's, exactly, or by
the graph of a tenant's own partition. Both are read under the tenant's row security.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bastide.inference import Embedded
from bastide.knowledge.postings import NOWHERE, Postings, Term, ranked, read
from bastide.knowledge.ranking import OTHER_LANGUAGE_WEIGHT, PLACE_WEIGHT, term_key
from bastide.knowledge.reading import detect_language, terms
from bastide.knowledge.references import FIELD, named_in
from bastide.knowledge.webs import Held
from bastide.store import Db, Query, queries, vector_text

_Q = queries("bastide.knowledge")
_POSTINGS, _POSTINGS_OF_DOCUMENTS, _NEAREST = _Q["postings"], _Q["postings_of_documents"], _Q["nearest"]
_BY_GRAPH: Mapping[int, Query] = {384: _Q["nearest_384"], 768: _Q["nearest_768"], 1024: _Q["nearest_1024"]}

MOST = 100  # from each ranking
_STEMS_MAX = 64  # of one query, in one language
_SHORT_QUERY_CHARACTERS = 60


@dataclass(frozen=True, slots=True)
class Extent:
    """How much a tenant has in one language, in chunks and in indexed terms; `graph` is the dimension of its graph
    of vectors, `written` the transaction that changed this last; `closed` are the collections that who asks may not
    see, and `seen` what of the documents that leaves."""

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


async def candidates(db: Db, asked: Asked, held: Held) -> Candidates:
    """The best 100 by words and the best 100 by meaning, with both scores; none where nothing is here."""
    if not asked.extents or asked.within == []:
        return Candidates({}, {}, {})
    terms = _terms(asked) if asked.mode != "vector" else []
    words = ranked(terms, await postings_of(db, [term.key for term in terms], held), asked.within)
    best = words.best(MOST)
    found = await _meant(db, asked, list(best))
    usual = asked.extents[0].language
    return Candidates(
        best | words.of([chunk for chunk, _, _ in found if chunk not in best]),
        {chunk: cosine for chunk, cosine, _ in found if cosine is not None},
        dict.fromkeys(best, usual) | {chunk: language or usual for chunk, _, language in found},
    )


async def postings_of(db: Db, keys: Sequence[int], held: Held) -> dict[int, Postings]:
    """Where each of these terms stands; read where it is not held, and of what is held the documents that changed."""
    known = {key: held.postings[key] for key in keys if key in held.postings}
    stale = [key for key, (_, changes) in known.items() if changes < len(held.changed)]
    found = {key: postings for key, (postings, _) in known.items()}
    fresh: dict[int, Postings] = {}
    if stale:
        documents = np.unique(held.changed[min(known[key].changes for key in stale) :])
        rows = await db.packed(_POSTINGS_OF_DOCUMENTS, terms=stale, documents=documents.tolist())
        there = {key: read(*columns) for key, *columns in rows}
        fresh = {key: found[key].renewed(documents, there.get(key, NOWHERE)) for key in stale}
    if len(known) < len(keys):
        lacking = [key for key in keys if key not in known]
        rows = await db.packed(_POSTINGS, terms=lacking)
        fresh |= dict.fromkeys(lacking, NOWHERE) | {key: read(*columns) for key, *columns in rows}
    held.keep_postings(fresh)
    return found | fresh


async def _meant(db: Db, asked: Asked, best: list[int]) -> list[tuple[int, float | None, str | None]]:
    """The chunks nearest to the query, and these, each with its cosine, and its language where there are several."""
    embedded, several = asked.embedded, len(asked.extents) > 1
    if embedded is None and not (several and best):
        return []
    graph = asked.extents[0].graph
    values = {
        "vector": vector_text(embedded.vectors[0]) if embedded else None,
        "model": embedded.model if embedded else "",
        "chunks": best,
        "limit": MOST,
        "several": several,
    }
    if graph is None or embedded is None or asked.within is not None:
        return await db.rows(tuple, _NEAREST, within=asked.within, **values)
    return await db.rows(tuple, _BY_GRAPH[graph], **values)


def query_language(query: str, extents: list[Extent]) -> str:
    """The language a query is read in. What is too short to tell counts as the tenant's commonest language."""
    usual = max(extents, key=lambda extent: extent.chunks).language if extents else "en"
    language = detect_language(query, usual)
    if len(query) < _SHORT_QUERY_CHARACTERS and all(extent.language != language for extent in extents):
        return usual
    return language


def _terms(asked: Asked) -> list[Term]:
    """The query's stems in every language here, and the places that it names."""
    found: list[Term] = []
    for extent in asked.extents:
        weight = 1.0 if extent.language == asked.language else OTHER_LANGUAGE_WEIGHT
        for stem, times in list(terms(asked.query, extent.language).items())[:_STEMS_MAX]:
            key = term_key(extent.language, stem)
            found.append(Term(key, extent.chunks, extent.length / extent.chunks, weight * times))
    chunks = sum(extent.chunks for extent in asked.extents)
    mean = sum(extent.length for extent in asked.extents) / chunks
    found += [Term(term_key(FIELD, place), chunks, mean, PLACE_WEIGHT) for place in named_in(asked.query)]
    return found
