"""Asking: entities, what stands near them, and ways between them, as the readable documents of a caller know them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from bastide.errors import BadOption, UnknownEntity
from bastide.knowledge.graph.naming import id_of, key_in
from bastide.knowledge.graph.types import SHIPPED
from bastide.knowledge.graph.values import Entity, Mention, Neighbour, PassageAt, Path, Relation, Subgraph
from bastide.policy import Label
from bastide.store import Db, queries

_Q = queries("bastide.knowledge")
_KEYS, _LIST, _NAMES, _TOTALS = _Q["keys_of_entities"], _Q["list_entities"], _Q["entity_names"], _Q["entity_totals"]
_MENTIONS, _NEAR, _AMONG = _Q["entity_mentions"], _Q["near"], _Q["ties_among"]
_TIES, _PASSAGES = _Q["list_ties"], _Q["passages_at"]

FAN_MAX = 400
"""Ties that one step follows, the strongest first."""

SYMMETRIC = [one.name for one in SHIPPED.relations.values() if one.symmetric]
"""Of these types a tie is the same read from either end."""

_ALIASES_MAX = 20


@dataclass(frozen=True, slots=True)
class Narrowed:
    """What a question about ties is narrowed to; None narrows nothing."""

    types: tuple[str, ...] | None = None
    as_of: date | None = None
    known_at: datetime | None = None
    collection: str | None = None


def key(identifier: object) -> int:
    """The key in an id of an entity. Raises UnknownEntity."""
    found = key_in(identifier)
    if found is None:
        raise UnknownEntity
    return found


async def owned(db: Db, keys: Iterable[int]) -> dict[int, list[int]]:
    """Each entity that these keys are, with all its keys."""
    rows: list[tuple[int, list[int]]] = await db.rows(tuple, _KEYS, keys=list(keys))
    return dict(rows)


async def page(
    db: Db, *, query: str | None, type: str | None, collection: str | None, after: tuple[int, int] | None, limit: int
) -> list[int]:
    """Entities, those named most often first."""
    rows: list[tuple[int]] = await db.rows(
        tuple,
        _LIST,
        said=query.casefold() if query else None,
        type=type,
        collection=collection,
        mentions=after[0] if after else None,
        entity=after[1] if after else None,
        limit=limit,
    )
    return [entity for (entity,) in rows]


async def described(db: Db, entities: Sequence[int], *, collection: str | None = None) -> dict[int, Entity]:
    """The entities that a readable document names, in the order asked; others are left out."""
    if not entities:
        return {}
    owners: list[int] = []
    keys: list[int] = []
    for entity, own in (await owned(db, entities)).items():
        owners += [entity] * len(own)
        keys += own
    named = await db.rows(dict, _NAMES, owners=owners, keys=keys, collection=collection)
    totals = await db.rows(tuple, _TOTALS, owners=owners, keys=keys, collection=collection)
    by_entity: dict[int, list[dict[str, Any]]] = {}
    for row in named:
        by_entity.setdefault(row["entity"], []).append(row)
    summed = {row[0]: row[1:] for row in totals}
    return {entity: _entity(entity, by_entity[entity], *summed[entity]) for entity in entities if entity in by_entity}


def _entity(
    entity: int,
    rows: list[dict[str, Any]],
    documents: int,
    labels: list[dict[str, object]],
    first: datetime,
    last: datetime,
) -> Entity:
    times: dict[str, int] = {}
    own = {row["name"] for row in rows if row["own"]}
    weights: dict[str, float] = {}
    for row in rows:
        times[row["name"]] = times.get(row["name"], 0) + row["times"]
        weights[row["type"]] = weights.get(row["type"], 0.0) + row["weight"]
    names = sorted(times, key=lambda name: (name not in own, -times[name], name))
    type = min(weights, key=lambda one: (-weights[one], one))
    label = Label.join_all(Label.from_wire(one) for one in labels)
    sure = max(row["confidence"] for row in rows if row["type"] == type)
    called = names[0]
    return Entity(
        id_of(entity),
        called,
        type,
        tuple(names[1 : 1 + _ALIASES_MAX]),
        sum(times.values()),
        documents,
        sure,
        label,
        first,
        last,
    )


async def one(db: Db, identifier: str) -> tuple[int, list[int], Entity]:
    """An entity with its keys. Raises UnknownEntity for one that no readable document names."""
    found = await owned(db, [key(identifier)])
    entity, keys = next(iter(found.items()))
    known = await described(db, [entity])
    if entity not in known:
        raise UnknownEntity
    return entity, keys, known[entity]


async def mentions(db: Db, keys: Sequence[int], *, after: tuple[str, int, str] | None, limit: int) -> list[Mention]:
    """The passages that name an entity, document by document."""
    rows = await db.rows(
        dict,
        _MENTIONS,
        keys=list(keys),
        after=after[0] if after else None,
        start=after[1] if after else None,
        extractor=after[2] if after else None,
        limit=limit,
    )
    return [
        Mention(
            id=f"{row['document_id']}:{row['start_at']}",
            entity=id_of(row["key"]),
            written=row["text"][row["start_at"] - row["passage_start"] : row["end_at"] - row["passage_start"]],
            start=row["start_at"],
            end=row["end_at"],
            times=row["times"],
            type=row["type"],
            extractor=row["extractor"],
            confidence=row["confidence"],
            seen_at=row["seen_at"],
            passage=PassageAt(
                row["document_id"],
                row["document"],
                row["version"],
                tuple(row["section"]),
                row["page"],
                row["passage_start"],
                row["passage_end"],
                row["text"],
            ),
        )
        for row in rows
    ]


# -- ties -------------------------------------------------------------------------------------------


async def passages(db: Db, places: Sequence[tuple[int, int, int]]) -> list[PassageAt | None]:
    """The text at each (chunk, start, end); None where it is gone or may not be read."""
    rows = await db.rows(dict, _PASSAGES, chunks=sorted({chunk for chunk, _, _ in places}))
    by_chunk: Mapping[int, dict[str, Any]] = {row["id"]: row for row in rows}
    found: list[PassageAt | None] = []
    for chunk, start, end in places:
        row = by_chunk.get(chunk)
        if row is None:
            found.append(None)
            continue
        text = row["text"][max(0, start - row["start_at"]) : end - row["start_at"]]
        found.append(
            PassageAt(
                row["document_id"],
                row["name"],
                row["version"],
                tuple(row["section"]),
                row["page"],
                start,
                start + len(text),
                text,
            )
        )
    return found


async def relations(
    db: Db,
    *,
    keys: Sequence[int] | None,
    document: str | None,
    narrowed: Narrowed,
    limit: int,
    offset: int = 0,
) -> list[Relation]:
    """Ties of an entity (all its keys), of a document, or of all, the strongest first."""
    rows = await db.rows(
        dict,
        _TIES,
        keys=list(keys) if keys is not None else None,
        document=document,
        symmetric=SYMMETRIC,
        types=list(narrowed.types) if narrowed.types is not None else None,
        collection=narrowed.collection,
        as_of=narrowed.as_of,
        known_at=narrowed.known_at,
        limit=limit,
        offset=offset,
    )
    return await _as_relations(db, rows)


async def _as_relations(db: Db, rows: Sequence[dict[str, Any]]) -> list[Relation]:
    found = await passages(db, [(row["chunk"], row["start_at"], row["end_at"]) for row in rows])
    return [
        Relation(
            from_id=row.get("document") or id_of(row["a"]),
            to_id=id_of(row["b"]),
            type=row["type"],
            weight=row["weight"],
            confidence=row["confidence"],
            sources=row["sources"],
            extractors=tuple(row["extractors"]),
            valid_from=row["valid_from"],
            valid_to=row["valid_to"],
            seen_at=row["seen_at"],
            passage=passage,
            label=Label.join_all(Label.from_wire(one) for one in row["labels"]),
        )
        for row, passage in zip(rows, found, strict=True)
    ]


async def neighbours(db: Db, start: int, *, depth: int, narrowed: Narrowed, limit: int) -> list[Neighbour]:
    """The entities up to `depth` steps away, the nearest first, each by its strongest tie. Raises UnknownEntity."""
    reached: dict[int, tuple[int, str, bool, float, int]] = {}
    open_ = [start]
    for hop in range(1, depth + 1):
        fresh: dict[int, tuple[int, str, bool, float, int]] = {}
        for via, entity, type, forward, weight in await _step(db, open_, narrowed):
            if entity != start and entity not in reached:
                before = fresh.get(entity)
                if before is None or weight > before[3]:
                    fresh[entity] = (hop, type, forward, weight, via)
        reached |= fresh
        open_ = list(fresh)
        if not open_ or len(reached) >= limit:
            break
    best = sorted(reached, key=lambda entity: (reached[entity][0], -reached[entity][3], entity))[:limit]
    known = await described(db, [start, *best])
    if start not in known:
        raise UnknownEntity
    return [
        Neighbour(known[entity], hop, type, forward, weight, id_of(via))
        for entity in best
        if entity in known
        for hop, type, forward, weight, via in (reached[entity],)
    ]


async def _step(db: Db, entities: Sequence[int], narrowed: Narrowed) -> list[tuple[int, int, str, bool, float]]:
    if not entities:
        return []
    return await db.rows(
        tuple,
        _NEAR,
        entities=list(entities),
        types=list(narrowed.types) if narrowed.types is not None else None,
        as_of=narrowed.as_of,
        fan=FAN_MAX,
    )


async def paths(db: Db, a: int, b: int, *, hops_max: int, narrowed: Narrowed, limit: int) -> list[Path]:
    """The shortest ways from one entity to another over the strongest ties, found from both ends."""
    back: dict[int, list[tuple[int, str]]] = {a: []}  # entity -> (the one before it, the tie)
    level, open_ = {a: 0}, [a]
    for hop in range(1, hops_max + 1):
        fresh: dict[int, list[tuple[int, str]]] = {}
        for via, entity, type, _, _ in await _step(db, open_, narrowed):
            if entity not in level:
                fresh.setdefault(entity, []).append((via, type))
        back |= fresh
        level |= dict.fromkeys(fresh, hop)
        open_ = list(fresh)
        if b in level or not open_:
            break
    if b not in level or a == b:
        return []
    ways: list[tuple[list[int], list[str]]] = [([b], [])]
    for _ in range(level[b]):
        longer: list[tuple[list[int], list[str]]] = []
        for nodes, types in ways:
            before: dict[int, str] = {}
            for via, type in back[nodes[0]]:
                if level[via] == level[nodes[0]] - 1:
                    before.setdefault(via, type)
            longer += [([via, *nodes], [type, *types]) for via, type in before.items()]
        ways = longer[: 4 * limit]
    known = await described(db, sorted({node for nodes, _ in ways for node in nodes}))
    found = [(nodes, types) for nodes, types in ways if all(node in known for node in nodes)]
    return [Path(tuple(known[node] for node in nodes), tuple(types)) for nodes, types in found[:limit]]


async def subgraph(db: Db, seeds: Sequence[int], *, hops: int, narrowed: Narrowed, limit: int) -> Subgraph:
    """The seeds, what stands near them, and all ties among these."""
    kept = dict.fromkeys(seeds)
    open_, truncated = list(seeds), False
    for _ in range(hops):
        fresh = dict.fromkeys(entity for _, entity, _, _, _ in await _step(db, open_, narrowed) if entity not in kept)
        open_ = list(fresh)[: max(0, limit - len(kept))]
        truncated = truncated or len(open_) < len(fresh)
        kept |= dict.fromkeys(open_)
        if not open_:
            break
    known = await described(db, list(kept))
    own = await owned(db, list(known)) if known else {}
    rows = (
        await db.rows(
            dict, _AMONG, keys=[one for keys in own.values() for one in keys], symmetric=SYMMETRIC, limit=20 * limit
        )
        if own
        else []
    )
    if narrowed.types is not None:
        rows = [row for row in rows if row["type"] in narrowed.types]
    ties = await _as_relations(db, [row for row in rows if row["a"] != row["b"]])
    label = Label.join_all([*(one.label for one in known.values()), *(one.label for one in ties)])
    return Subgraph(tuple(known.values()), tuple(ties), truncated, label)


def checked_types(types: Iterable[str] | None) -> tuple[str, ...] | None:
    """The names of relation types. Raises BadOption."""
    if types is None:
        return None
    found = tuple(types)
    if isinstance(types, str) or not found or not all(isinstance(one, str) and one.isidentifier() for one in found):
        raise BadOption("types is a list of the names of relation types.", option="types")
    return found
