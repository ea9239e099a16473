"""Writing: what a document gives to the graph is written, and taken away, in the document's own transaction.

Every row hangs on the document, so nothing is shared between two documents that are taken in at once: the same new name
in both is two rows with one key, and no one waits. Only the aliases are shared; those of a tenant are changed by one
transaction at a time, and only where a document explains an acronym or a decision is near.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from bastide.knowledge.graph.extracting import RULES, Extracted, Named, Tied
from bastide.knowledge.graph.merging import keys_of, settle
from bastide.store import Db, queries

_Q = queries("bastide.knowledge")
_ADD_NAMES, _ADD_TIES, _ADD_FACTS = _Q["add_entity_sources"], _Q["add_relation_sources"], _Q["add_facts"]
_ADD_CITATIONS, _ADD_ALIASES, _FORGET = _Q["add_citations"], _Q["add_alias_sources"], _Q["forget_graph"]
_PRUNE, _PRUNE_ALIASES = _Q["prune_decisions"], _Q["prune_aliases"]
_LINKED, _FORGET_EXTRACTED = _Q["linked_keys"], _Q["forget_extracted"]


async def write_graph(db: Db, document: int, graph: Extracted, chunk_of: Mapping[int, int]) -> None:
    """What the document says, by passage; `chunk_of` gives the chunk of each piece's ord."""
    await write_names(db, document, graph.names, chunk_of, RULES)
    await write_ties(db, document, graph.ties, chunk_of, RULES)
    if graph.facts:
        await db.run(
            _ADD_FACTS,
            document=document,
            chunks=[chunk_of[one.chunk] for one in graph.facts],
            kinds=[one.kind for one in graph.facts],
            starts=[one.start for one in graph.facts],
            ends=[one.end for one in graph.facts],
            sentence_starts=[one.sentence[0] for one in graph.facts],
            sentence_ends=[one.sentence[1] for one in graph.facts],
            firsts=[one.first for one in graph.facts],
            afters=[one.after for one in graph.facts],
            details=[one.detail for one in graph.facts],
            values=[_storable(one.value) for one in graph.facts],
            keys=["{" + ",".join(map(str, one.keys)) + "}" for one in graph.facts],
        )
    if graph.citations:
        await db.run(
            _ADD_CITATIONS,
            document=document,
            chunks=[chunk_of[one.chunk] for one in graph.citations],
            starts=[one.start for one in graph.citations],
            ends=[one.end for one in graph.citations],
            places=[one.place for one in graph.citations],
            details=[one.detail for one in graph.citations],
            acts=[one.act for one in graph.citations],
        )
    if graph.aliases:
        await db.run(
            _ADD_ALIASES,
            document=document,
            chunks=[chunk_of[one.chunk] for one in graph.aliases],
            shorts=[one.short for one in graph.aliases],
            fulls=[one.full for one in graph.aliases],
            reasons=[one.reason for one in graph.aliases],
            scores=[one.score for one in graph.aliases],
            starts=[one.start for one in graph.aliases],
            ends=[one.end for one in graph.aliases],
        )
        await settle(db, keys_of((one.short, one.full) for one in graph.aliases))


async def write_names(
    db: Db, document: int, names: Sequence[Named], chunk_of: Mapping[int, int], extractor: str
) -> None:
    """The names that one extractor found in a document."""
    if names:
        await db.run(
            _ADD_NAMES,
            document=document,
            extractor=extractor,
            chunks=[chunk_of[one.chunk] for one in names],
            keys=[one.key for one in names],
            types=[one.type for one in names],
            names=[one.name.replace("\0", "")[:300] for one in names],
            starts=[one.start for one in names],
            ends=[one.end for one in names],
            times=[one.times for one in names],
            confidences=[one.confidence for one in names],
            selves=[one.self for one in names],
        )


async def write_ties(db: Db, document: int, ties: Sequence[Tied], chunk_of: Mapping[int, int], extractor: str) -> None:
    """The ties that one extractor found in a document."""
    if ties:
        await db.run(
            _ADD_TIES,
            document=document,
            extractor=extractor,
            chunks=[chunk_of[one.chunk] for one in ties],
            ones=[one.a for one in ties],
            others=[one.b for one in ties],
            types=[one.type for one in ties],
            starts=[one.start for one in ties],
            ends=[one.end for one in ties],
            weights=[one.weight for one in ties],
            confidences=[one.confidence for one in ties],
            firsts=[one.first for one in ties],
            afters=[one.after for one in ties],
        )


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
