"""Seeking: a search with what may be added to it: its hops one after the other, and a re-ranker's order.

1. the query is searched; where it has hops, so are they, and what a first hop finds names the second (`hops`)
2. all that was found becomes one order
3. a re-ranker that may read the best of it puts them in its own order; refused or silent, the order stays, and a note
   says why
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial

from bastide.errors import BastideError
from bastide.inference import Inference
from bastide.knowledge.bounds import Filters, Ways
from bastide.knowledge.decomposing import Parts, decomposed
from bastide.knowledge.hops import bridged, chained, halves
from bastide.knowledge.preparing import headings
from bastide.knowledge.search import Finder, Found, Hit
from bastide.policy import Label
from bastide.store import Scope

Find = Callable[..., Awaitable[Found]]
"""A search that is fixed but for what is asked and its label."""

HOP_SHARE = 0.9
"""Of the score that a part of a question gives, beside that of the whole."""

RERANKED = 40
"""So many of the best are read by a re-ranker."""


class Seeker:
    """Answers queries with passages, as the finder does, and better where more may be used."""

    def __init__(self, finder: Finder, inference: Inference) -> None:
        self._finder = finder
        self._inference = inference

    async def find(
        self,
        scope: Scope,
        query: str,
        *,
        limit: int,
        filters: Filters,
        mode: str,
        ways: Ways,
        rarity: bool = False,
        explain: bool = False,
        context: str = "none",
    ) -> Found:
        """The passages that best answer `query`, best first."""
        start = time.perf_counter()
        reranks = ways.rerank == "auto" and await self._inference.has_reranker(scope)
        wide = max(limit, RERANKED) if reranks else limit
        find = partial(
            self._finder.find, scope, limit=wide, filters=filters, mode=mode, explain=explain, context=context
        )
        found = await find(query, rarity=rarity)
        if ways.decompose != "off" and found.hits:
            found = await self._hopped(scope, query, found, find, ways)
        if reranks and found.hits:
            found = await self._reranked(scope, query, found)
        kept = tuple(
            replace(hit, passage=replace(hit.passage, n=n)) for n, hit in enumerate(found.hits[:limit], start=1)
        )
        return replace(found, hits=kept, took_ms=(time.perf_counter() - start) * 1000)

    async def _hopped(self, scope: Scope, query: str, found: Found, find: Find, ways: Ways) -> Found:
        """What was found, and what the parts of the query find: those that name things first, then the bridged one."""
        own = Label.of_scope(scope)
        parts: Parts | None = None
        if ways.decompose == "always":
            parts = await decomposed(self._inference, scope, query, own)
        if parts is not None:
            note = (parts.note,) if parts.note else ()
            receipts = {**found.receipts, **({"decompose": parts.receipt} if parts.receipt else {})}
            found = replace(found, notes=(*found.notes, *note), receipts=receipts)
        before: list[Found] = []
        for part in (parts.questions if parts else ()) or halves(query):
            asked, label = _filled(part, before, own)
            if asked.casefold() != query.casefold():
                before.append(await find(asked, label=label))
                found = _merged(found, before[-1], asked, len(before))
        if not before and (ways.decompose == "always" or chained(query)):
            best = found.hits[0].passage
            asked = bridged(query, found.language, best.title, best.text)
            if asked:
                found = _merged(found, await find(asked, label=best.label), asked, 1)
        return found

    async def _reranked(self, scope: Scope, query: str, found: Found) -> Found:
        passages = [hit.passage for hit in found.hits]
        label = Label.join_all([Label.of_scope(scope), *(passage.label for passage in passages)])
        texts = [f"{headings(one.title, one.section)}\n{one.text}".strip() for one in passages]
        try:
            ranked = await self._inference.rerank(scope, query, texts, label=label)
        except BastideError as no:
            return replace(found, notes=(*found.notes, f"Not re-ranked ({no.code}): the order is the search's own."))
        hits = [_scored(hit, score) for hit, score in zip(found.hits, ranked.scores, strict=True)]
        hits.sort(key=lambda hit: -hit.passage.score)  # stable: equal scores stay in the search's order
        receipts = {**found.receipts, "rerank": ranked.receipt}
        return replace(found, hits=tuple(hits), receipts=receipts)


def _filled(part: str, before: Sequence[Found], own: Label) -> tuple[str, Label]:
    """A part with `#1` replaced by what the first part's best passage is called, and the label that it has by that."""
    label = own
    for number, found in enumerate(before, start=1):
        if f"#{number}" in part and found.hits:
            best = found.hits[0].passage
            part, label = part.replace(f"#{number}", best.title), label.join(best.label)
    return re.sub(r"#\d", "", part).strip() or part, label


def _merged(found: Found, more: Found, asked: str, number: int) -> Found:
    """Both as one order: what a part finds counts a little less than what the whole question finds."""
    hits = {(hit.passage.document_id, hit.passage.start): hit for hit in found.hits}
    for hit in more.hits:
        key, score = (hit.passage.document_id, hit.passage.start), HOP_SHARE * hit.passage.score
        known = hits.get(key)
        if known is None or known.passage.score < score:
            why = None if hit.passage.why is None else replace(hit.passage.why, hop=asked)
            hits[key] = replace(hit, passage=replace(hit.passage, score=score, why=why))
    order = sorted(hits.values(), key=lambda hit: -hit.passage.score)
    receipts = {**found.receipts, **({f"hop {number}": more.receipt} if more.receipt else {})}
    return replace(found, hits=tuple(order), receipts=receipts)


def _scored(hit: Hit, score: float) -> Hit:
    why = hit.passage.why
    told = None if why is None else replace(why, rerank=score)
    return replace(hit, passage=replace(hit.passage, score=score, why=told))
