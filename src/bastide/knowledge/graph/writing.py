"""Writing: what a document gives to the graph is written, and taken away, in the document's own transaction.

Every row hangs on the document, so nothing is shared between two documents that are taken in at once: the same new name
in both is two rows with one key, and no one waits. Only the aliases are shared; those of a tenant are changed by one
transaction at a time, and only where a document explains an acronym or a decision is near.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from bastide.knowledge.graph.extracting import RULES, Alias, Extracted, Named, Tied
from bastide.knowledge.graph.merging import keys_of, settle
from bastide.store import Db, queries

_Q = queries("bastide.knowledge")
_ADD_NAMES, _ADD_TIES, _ADD_FACTS = _Q["add_entity_sources"], _Q["add_relation_sources"], _Q["add_facts"]
_ADD_CITATIONS, _ADD_ALIASES, _FORGET = _Q["add_citations"], _Q["add_alias_sources"], _Q["forget_graph"]
_PRUNE, _PRUNE_ALIASES = _Q["prune_decisions"], _Q["prune_aliases"]
_LINKED, _FORGET_EXTRACTED = _Q["linked_keys"], _Q["forget_extracted"]

Said = tuple[int, Extracted, Mapping[int, int]]
"""A document's number, what it says, and the chunk of each of its pieces by the piece's ord."""


async def write_graphs(db: Db, graphs: Sequence[Said]) -> None:
    """What documents say, by passage; all of them in one statement a table."""
    await _add_names(db, [(number, of[one.chunk], one) for number, graph, of in graphs for one in graph.names], RULES)
    await _add_ties(db, [(number, of[one.chunk], one) for number, graph, of in graphs for one in graph.ties], RULES)
    await _add_facts(db, graphs)
    await _add_citations(db, graphs)
    await _add_aliases(db, [(number, of[one.chunk], one) for number, graph, of in graphs for one in graph.aliases])


async def write_names(
    db: Db, document: int, names: Sequence[Named], chunk_of: Mapping[int, int], extractor: str
) -> None:
    """The names that one extractor found in a document."""
    await _add_names(db, [(document, chunk_of[one.chunk], one) for one in names], extractor)


async def write_ties(db: Db, document: int, ties: Sequence[Tied], chunk_of: Mapping[int, int], extractor: str) -> None:
    """The ties that one extractor found in a document."""
    await _add_ties(db, [(document, chunk_of[one.chunk], one) for one in ties], extractor)


async def _add_names(db: Db, rows: Sequence[tuple[int, int, Named]], extractor: str) -> None:
    if rows:
        await db.run(
            _ADD_NAMES,
            extractor=extractor,
            documents=[document for document, _, _ in rows],
            chunks=[chunk for _, chunk, _ in rows],
            keys=[one.key for _, _, one in rows],
            types=[one.type for _, _, one in rows],
            names=[one.name.replace("\0", "")[:300] for _, _, one in rows],
            starts=[one.start for _, _, one in rows],
            ends=[one.end for _, _, one in rows],
            times=[one.times for _, _, one in rows],
            confidences=[one.confidence for _, _, one in rows],
            selves=[one.self for _, _, one in rows],
        )


async def _add_ties(db: Db, rows: Sequence[tuple[int, int, Tied]], extractor: str) -> None:
    if rows:
        await db.run(
            _ADD_TIES,
            extractor=extractor,
            documents=[document for document, _, _ in rows],
            chunks=[chunk for _, chunk, _ in rows],
            ones=[one.a for _, _, one in rows],
            others=[one.b for _, _, one in rows],
            types=[one.type for _, _, one in rows],
            starts=[one.start for _, _, one in rows],
            ends=[one.end for _, _, one in rows],
            weights=[one.weight for _, _, one in rows],
            confidences=[one.confidence for _, _, one in rows],
            firsts=[one.first for _, _, one in rows],
            afters=[one.after for _, _, one in rows],
        )


async def _add_facts(db: Db, graphs: Sequence[Said]) -> None:
    rows = [
        (number, ord, of[one.chunk], one)
        for number, graph, of in graphs
        for ord, one in enumerate(graph.facts, start=1)
    ]
    if rows:
        facts = [one for _, _, _, one in rows]
        await db.run(
            _ADD_FACTS,
            documents=[document for document, _, _, _ in rows],
            ords=[ord for _, ord, _, _ in rows],
            chunks=[chunk for _, _, chunk, _ in rows],
            kinds=[one.kind for one in facts],
            starts=[one.start for one in facts],
            ends=[one.end for one in facts],
            sentence_starts=[one.sentence[0] for one in facts],
            sentence_ends=[one.sentence[1] for one in facts],
            firsts=[one.first for one in facts],
            afters=[one.after for one in facts],
            details=[one.detail for one in facts],
            values=[_storable(one.value) for one in facts],
            keys=["{" + ",".join(map(str, one.keys)) + "}" for one in facts],
        )


async def _add_citations(db: Db, graphs: Sequence[Said]) -> None:
    rows = [
        (number, ord, of[one.chunk], one)
        for number, graph, of in graphs
        for ord, one in enumerate(graph.citations, start=1)
    ]
    if rows:
        await db.run(
            _ADD_CITATIONS,
            documents=[document for document, _, _, _ in rows],
            ords=[ord for _, ord, _, _ in rows],
            chunks=[chunk for _, _, chunk, _ in rows],
            starts=[one.start for _, _, _, one in rows],
            ends=[one.end for _, _, _, one in rows],
            places=[one.place for _, _, _, one in rows],
            details=[one.detail for _, _, _, one in rows],
            acts=[one.act for _, _, _, one in rows],
        )


async def _add_aliases(db: Db, rows: Sequence[tuple[int, int, Alias]]) -> None:
    if rows:
        await db.run(
            _ADD_ALIASES,
            documents=[document for document, _, _ in rows],
            chunks=[chunk for _, chunk, _ in rows],
            shorts=[one.short for _, _, one in rows],
            fulls=[one.full for _, _, one in rows],
            reasons=[one.reason for _, _, one in rows],
            scores=[one.score for _, _, one in rows],
            starts=[one.start for _, _, one in rows],
            ends=[one.end for _, _, one in rows],
        )
        await settle(db, keys_of((one.short, one.full) for _, _, one in rows))


async def forget_graph(db: Db, document: int) -> None:
    """Take a document out of the graph while it is here: what its names were merged with is worked out anew."""
    linked: Any = await db.value(_LINKED, document=document)
    await db.run(_FORGET, document=document)
    if linked:
        await settle(db, linked)
        await db.at_commit(_PRUNE)  # then, because a new version may bring the names back
        await db.at_commit(_PRUNE_ALIASES)


async def forget_extracted(db: Db, document: int, extractor: str) -> None:
    """Take away what one extractor found; `extractor` is the beginning of its name."""
    await db.run(_FORGET_EXTRACTED, document=document, extractor=extractor)


def _storable(value: Decimal | None) -> Decimal | None:
    return value if value is None or value < Decimal(10) ** 30 else None
