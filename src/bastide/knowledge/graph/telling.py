"""Telling: what happened when, and what points where.

An episode has two times: when it was so (`valid_from` to `valid_to`, as the text says) and when this house learned it
(`seen_at`). A citation is led to its place when it is asked: an act to the documents that are it, "Article 17" to the
section whose heading names it. What it points to may come or go; nothing is left pointing to nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from bastide.errors import UnknownEntity
from bastide.knowledge.graph import asking
from bastide.knowledge.graph.naming import id_of
from bastide.knowledge.graph.values import Episode, PassageAt, Relation
from bastide.knowledge.ranking import term_key
from bastide.knowledge.references import FIELD, named_by
from bastide.policy import Label
from bastide.store import Db, queries

_Q = queries("bastide.knowledge")
_EPISODES, _INTAKES = _Q["episodes"], _Q["intakes"]
_FROM, _TO, _ARE, _NODES = _Q["citations_from"], _Q["citations_to"], _Q["documents_that_are"], _Q["place_nodes"]
_SECTION, _NUMBER = _Q["section_place"], _Q["document_number"]


# -- when -------------------------------------------------------------------------------------------


async def episodes(
    db: Db,
    *,
    keys: Sequence[int] | None = None,
    collection: str | None = None,
    since: date | None = None,
    until: date | None = None,
    known_at: datetime | None = None,
    limit: int,
    offset: int = 0,
) -> list[Episode]:
    """Dated sentences with a name in them, the earliest first."""
    rows = await db.rows(
        dict,
        _EPISODES,
        keys=list(keys) if keys is not None else None,
        collection=collection,
        since=since,
        until=until,
        known_at=known_at,
        limit=limit,
        offset=offset,
    )
    found = await asking.passages(db, [(row["chunk"], row["start_at"], row["end_at"]) for row in rows])
    roots = await _roots(db, {key for row in rows for key in row["keys"]})
    return [
        Episode(
            kind="event",
            valid_from=row["valid_from"],
            valid_to=row["valid_to"],
            precision=row["precision"],
            seen_at=row["seen_at"],
            entities=tuple(dict.fromkeys(id_of(roots.get(key, key)) for key in row["keys"])),
            passage=passage,
        )
        for row, passage in zip(rows, found, strict=True)
        if passage is not None
    ]


async def _roots(db: Db, keys: set[int]) -> dict[int, int]:
    owned = await asking.owned(db, sorted(keys)) if keys else {}
    return {key: entity for entity, own in owned.items() for key in own}


async def intakes(db: Db, keys: Sequence[int], *, known_at: datetime | None, limit: int) -> list[Episode]:
    """The versions of the documents that name an entity, as they came in: of each only when it was learned."""
    return [
        Episode(
            kind="intake",
            valid_from=None,
            valid_to=None,
            precision="",
            seen_at=row["created"],
            entities=(),
            passage=PassageAt(row["document_id"], row["name"], row["version"], (), None, 0, 0, row["title"]),
        )
        for row in await db.rows(dict, _INTAKES, keys=list(keys), known_at=known_at, limit=limit)
    ]


def moment(one: Episode) -> tuple[date, int, str, int]:
    """By what a time line is ordered: when it was so, else when it was learned."""
    when = one.valid_from or one.valid_to or one.seen_at.date()
    return when, 0 if one.kind == "event" else 1, one.passage.document_id, one.passage.start


# -- where ------------------------------------------------------------------------------------------


def section_in(identifier: str) -> tuple[str, int | None]:
    """The document, and the node where a section is meant. Raises UnknownEntity."""
    if match := re.fullmatch(r"sec_(doc_[0-9a-z]{26}):(\d{1,9})", identifier):
        return match[1], int(match[2])
    if re.fullmatch(r"doc_[0-9a-z]{26}", identifier):
        return identifier, None
    raise UnknownEntity


def section_id(document: str, node: int) -> str:
    """The id of a section of a document."""
    return f"sec_{document}:{node}"


async def points_to(db: Db, identifier: str, limit: int) -> list[Relation]:
    """What a document or a section refers to: places that are here, and the acts that are not."""
    document, node = section_in(identifier)
    number = await db.value(_NUMBER, id=document)
    if number is None:
        raise UnknownEntity
    span = await _span(db, document, node)
    rows = await db.rows(
        dict,
        _FROM,
        document=document,
        from_at=span[0] if span else None,
        to_at=span[1] if span else None,
        limit=limit,
    )
    acts = sorted({row["act"] for row in rows if row["act"] is not None})
    are: dict[int, list[tuple[str, int]]] = {}
    for key, id, at in await db.rows(tuple, _ARE, keys=acts):
        are.setdefault(key, []).append((id, at))
    names = {number: document} | {at: id for found in are.values() for id, at in found}
    terms = {term_key(FIELD, row["place"]): row["place"] for row in rows if row["place"]}
    heads: dict[tuple[int, str], int] = {}
    for term, at, headed in await db.rows(tuple, _NODES, terms=list(terms), documents=list(names)):
        if headed is not None:
            heads[at, terms[term]] = headed
    passages = await asking.passages(db, [(row["chunk"], row["start_at"], row["end_at"]) for row in rows])
    found: dict[tuple[str, str], Relation] = {}
    for row, passage in zip(rows, passages, strict=True):
        targets = [(document, number)] if row["act"] is None else are.get(row["act"], [])
        for target in [_target(id, heads.get((at, row["place"])), row) for id, at in targets] or [id_of(row["act"])]:
            if target is not None and target != identifier:
                _count(found, _pointer(identifier, target, row, passage))
    return sorted(found.values(), key=lambda one: (-one.weight, one.to_id))


def _target(document: str, node: int | None, row: dict[str, Any]) -> str | None:
    if not row["place"]:
        return document
    if node is None:  # the act is here and has no such place, or its places have no headings
        return document if row["act"] is not None else None
    return section_id(document, node)


async def points_here(db: Db, identifier: str, limit: int) -> list[Relation]:
    """What refers to a document or a section, document by document."""
    document, node = section_in(identifier)
    if await db.value(_NUMBER, id=document) is None:
        raise UnknownEntity
    place = None
    if node is not None:
        row = await db.row(dict, _SECTION, document=document, node=node)
        places = sorted(named_by([row["title"]])) if row is not None else []
        if not places:
            return []
        place = places[0]
    rows = await db.rows(dict, _TO, place=place, document=document, limit=limit)
    passages = await asking.passages(db, [(row["chunk"], row["start_at"], row["end_at"]) for row in rows])
    found: dict[tuple[str, str], Relation] = {}
    for row, passage in zip(rows, passages, strict=True):
        if row["document"] != document or node is not None:
            _count(found, _pointer(row["document"], identifier, row, passage))
    return sorted(found.values(), key=lambda one: (-one.weight, one.from_id))


def _pointer(from_id: str, to_id: str, row: dict[str, Any], passage: PassageAt | None) -> Relation:
    label = Label.from_wire(row["label"])
    return Relation(from_id, to_id, "refers_to", 1.0, 0.9, 1, ("rules",), None, None, row["seen_at"], passage, label)


def _count(found: dict[tuple[str, str], Relation], one: Relation) -> None:
    before = found.get((one.from_id, one.to_id))
    if before is None:
        found[one.from_id, one.to_id] = one
        return
    values = {name: getattr(before, name) for name in before.__slots__}
    found[one.from_id, one.to_id] = Relation(
        **values | {"weight": before.weight + 1, "sources": before.sources + 1, "label": before.label.join(one.label)}
    )


async def _span(db: Db, document: str, node: int | None) -> tuple[int, int] | None:
    """Where a section stands; None for a whole document. Raises UnknownEntity."""
    if node is None:
        return None
    row = await db.row(dict, _SECTION, document=document, node=node)
    if row is None:
        raise UnknownEntity
    return row["start_at"], row["end_at"]
