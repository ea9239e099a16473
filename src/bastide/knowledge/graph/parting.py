"""Parting: the splits that people made leave with the documents whose mentions they took, and are made again.

A split gave single mentions a key of their own. It is told by those of its places that stand in the documents at hand,
so nothing of another document goes along, and where these documents call what it was split from by a name. Documents
that are read anew bring the old key back; so the places are looked for under it. Of a split from what another split
made, the first is told with the places of both. Where a split stands already under its id, as in a copy of a collection
in its own house, the places that came join what it made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from bastide.audit import Audit
from bastide.errors import BadMerge
from bastide.knowledge.graph import deciding
from bastide.knowledge.graph.carried import PLACES_MAX, SPLITS_MAX, Called, Meant, Part, Parted, Place, reason
from bastide.knowledge.graph.naming import id_of
from bastide.store import Db, Scope, queries

_Q = queries("bastide.knowledge")
_SPLITS, _PLACES = _Q["all_splits"], _Q["places_in_documents"]


@dataclass(frozen=True, slots=True)
class Split:
    """A split as it was decided: the keys that it took mentions from, and those that it gave them."""

    id: str
    keys: Sequence[int]
    moved: Sequence[int]
    who: str
    why: str
    made_at: datetime
    holds: bool


@dataclass(frozen=True, slots=True)
class Lineage:
    """Which key each key was split from, and what each key was before any split."""

    splits: tuple[Split, ...]
    origin: Mapping[int, int] = field(default_factory=dict)
    by: Mapping[int, str] = field(default_factory=dict)
    """Key -> the split that made it and holds."""

    @classmethod
    def of(cls, splits: Iterable[Split]) -> Lineage:
        """Of all splits, those undone included: what was split from them was not."""
        made = tuple(splits)
        pairs = [(one, old, new) for one in made for old, new in zip(one.keys, one.moved, strict=True)]
        return cls(made, {new: old for _, old, new in pairs}, {new: one.id for one, _, new in pairs if one.holds})

    def line(self, key: int) -> list[int]:
        """The key, what it was split from, and so on to what no split made."""
        found = [key]
        while found[-1] in self.origin:
            found.append(self.origin[found[-1]])
        return found

    def root(self, key: int) -> int:
        """What the key was before any split."""
        return self.line(key)[-1]

    def today(self, key: int) -> int:
        """The key, or what it was split from by a split that holds no more."""
        return next(one for one in self.line(key) if one in self.by or one not in self.origin)


# -- out --------------------------------------------------------------------------------------------


async def lineage(db: Db) -> Lineage:
    """All splits of the tenant, the oldest first."""
    return Lineage.of(await db.rows(Split, _SPLITS))


async def parted(
    db: Db, documents: Sequence[str], known: Lineage, called: Mapping[int, Called]
) -> tuple[list[Parted], int]:
    """The splits that these documents tell, and of how many others they hold places. `called`: by key before splits."""
    if not known.by:
        return [], 0
    rows = await db.rows(tuple, _PLACES, documents=list(documents), keys=list(known.by))
    places: dict[int, list[Place]] = {}
    for key, document, start in rows:
        places.setdefault(key, []).append(Place(document, start))
    return partable(known, places, called)


def partable(
    known: Lineage, places: Mapping[int, Sequence[Place]], called: Mapping[int, Called]
) -> tuple[list[Parted], int]:
    """The splits that hold and have places, whose entities have a name; and how many have places but no name."""
    taken: dict[int, list[Place]] = {}  # by each key that a mention had on its way
    for key, found in places.items():
        for before in known.line(key)[:-1]:
            taken.setdefault(before, []).extend(found)
    told: dict[str, Parted] = {}
    left = 0
    for split in known.splits:
        moved = [(old, new) for old, new in zip(split.keys, split.moved, strict=True) if new in taken]
        if not split.holds or not moved:
            continue
        entities: list[Meant | None] = []
        for old, _ in moved:
            now = known.today(old)
            by = known.by.get(now)
            entities.append(called.get(now) if by is None else Part(by) if by in told else None)
        found = sorted({place for _, new in moved for place in taken[new]})
        meant = tuple(dict.fromkeys(one for one in entities if one is not None))
        if None in entities or len(found) > PLACES_MAX or len(told) == SPLITS_MAX:
            left += 1
        else:
            told[split.id] = Parted(split.id, meant, split.who or "somebody", split.why, split.made_at, tuple(found))
    return list(told.values()), left


# -- in ---------------------------------------------------------------------------------------------


async def part_again(
    db: Db,
    audit: Audit,
    scope: Scope,
    split: Parted,
    keys: Mapping[Meant, Sequence[int]],
    document_of: Mapping[str, str],
    collection: str,
) -> tuple[str, str, list[int]]:
    """Make a split again: `made`, `known` already, or `left`; why, or how much of it; and the keys that it made."""
    olds: list[int] = []
    for one in split.entities:
        found = keys.get(one, ())
        if isinstance(one, Called) and len(found) != 1:
            many = "more than one entity is" if found else "nothing in the documents that came is"
            return "left", f"{many} called {one}", []
        if not found:
            return "left", "the split that it rests on was left", []
        olds += found
    places = [(document_of[one.document], one.start) for one in split.places if one.document in document_of]
    who, why = scope.user or scope.app or "", reason(split, collection)
    standing = next((one for one in (await lineage(db)).splits if one.id == split.id and one.holds), None)
    into = dict(zip(standing.keys, standing.moved, strict=True)) if standing else None
    try:
        made, moved, count = await deciding.part(db, who, olds, places, why, into=into)
    except BadMerge:
        return "left", "none of its places names what it was split from", []
    if made is not None:
        await audit.record(db, "graph.split", resource=made, details={"entities": [id_of(one) for one in olds]})
    said = "" if count == len(split.places) else f"{count} of its {len(split.places)} places were found"
    return ("known" if made is None else "made"), said, moved
