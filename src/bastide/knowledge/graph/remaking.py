"""Remaking: the merges that people made leave with the documents that name their entities, and are made again.

A merge is told by what the documents at hand call its entities: a name and a type, never a key. So it is told only
where each of its entities is named in them, and nothing of another document goes along. An entity is called by a name
of the key that was merged, or else of a key that was one with it when the merge was made. What rests on a split is not
told: a split gives single mentions a key of their own, and documents that are read anew bring the old one back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bastide.audit import Audit
from bastide.errors import BadMerge, UnknownEntity
from bastide.knowledge import bounds
from bastide.knowledge.graph import deciding
from bastide.knowledge.graph.extracting import RULES
from bastide.knowledge.graph.merging import AUTOMATIC
from bastide.knowledge.graph.naming import id_of
from bastide.store import Db, Scope, queries

_Q = queries("bastide.knowledge")
_LINKS, _CALLED, _KEYS = _Q["links_that_hold"], _Q["names_in_documents"], _Q["keys_named"]

MERGES_MAX = 5_000
"""Merges in one export, the oldest first."""

ENTITIES_MAX = 50
_NAME_MAX, _WORD_MAX = 300, 200


@dataclass(frozen=True, slots=True)
class Called:
    """What documents call an entity."""

    name: str
    type: str

    def __str__(self) -> str:
        """As a person reads it."""
        return f"{self.name} ({self.type})"


@dataclass(frozen=True, slots=True)
class Told:
    """A merge as an export tells it: the entities, the one that stays first; who, why, when."""

    id: str
    entities: tuple[Called, ...]
    who: str
    why: str
    made_at: datetime

    def to_wire(self) -> dict[str, object]:
        """As the manifest has it."""
        return {
            "id": self.id,
            "entities": [{"name": one.name, "type": one.type} for one in self.entities],
            "who": self.who,
            "why": self.why,
            "made_at": self.made_at.isoformat(),
        }

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Told:
        """Out of a manifest. Raises KeyError, TypeError, ValueError or BadOption for what is none."""
        entities = tuple(
            Called(_text(one["name"], _NAME_MAX), _text(one["type"], _WORD_MAX)) for one in wire["entities"]
        )
        made_at = datetime.fromisoformat(wire["made_at"])
        if not 2 <= len(set(entities)) == len(entities) <= ENTITIES_MAX or made_at.tzinfo is None:
            raise ValueError("no merge")
        why = bounds.reason(wire["why"])
        return cls(_text(wire["id"], _WORD_MAX), entities, _text(wire["who"], _WORD_MAX), why, made_at)

    def reason(self, collection: str) -> str:
        """Why it is made again: where it comes from, and what was said there."""
        head = f"Brought with the collection {collection}, where {self.who} decided it on {self.made_at.date()}: "
        return (head + self.why)[: bounds.REASON_CHARACTERS_MAX].strip()


@dataclass(frozen=True, slots=True)
class Link:
    """What joins keys today: `said` by documents, or a `merge` or `split` that was decided."""

    id: str
    kind: str
    keys: Sequence[int]
    who: str
    why: str
    made_at: datetime


def _text(value: object, most: int) -> str:
    """Text that is there, and that the database takes."""
    if not isinstance(value, str) or not bounds.reason(value) or len(value) > most:
        raise ValueError("no text")
    return value


# -- out --------------------------------------------------------------------------------------------


async def told(db: Db, documents: Sequence[str]) -> tuple[list[Told], int]:
    """The merges whose entities these documents name; and of how many others they name some."""
    links = await db.rows(Link, _LINKS, automatic=AUTOMATIC)
    if not any(one.kind == "merge" for one in links):
        return [], 0
    split = {key for one in links if one.kind == "split" for key in one.keys}
    keys = sorted({key for one in links for key in one.keys} - split)
    rows = await db.rows(tuple, _CALLED, documents=list(documents), keys=keys, rules=RULES)
    called: dict[int, Called] = {}
    for key, name, type in rows:  # what is found by rule, and often, is found again
        called.setdefault(key, Called(name, type))
    return tellable(links, called)


def tellable(links: Iterable[Link], called: Mapping[int, Called]) -> tuple[list[Told], int]:
    """The merges among `links`, in order, whose entities all have a name in `called`; and how many have some."""
    parent: dict[int, int] = {}
    name = dict(called)  # of a key, and of the entity that it is by now
    found: list[Told] = []
    left = 0

    def root(key: int) -> int:
        while parent.get(key, key) != key:
            key = parent[key]
        return key

    for link in links:
        names = [called.get(key) or name.get(root(key)) for key in link.keys]
        known = list(dict.fromkeys(one for one in names if one is not None))
        if link.kind == "merge" and known:
            if None in names or len(known) < 2 or len(found) == MERGES_MAX:
                left += 1
            else:
                found.append(Told(link.id, tuple(known), link.who or "somebody", link.why, link.made_at))
        top = root(link.keys[0])
        for key in link.keys:
            parent[root(key)] = top
        parent[top] = top
        if known:
            name.setdefault(top, known[0])
    return found, left


# -- in ---------------------------------------------------------------------------------------------


async def keys_named(db: Db, merges: Iterable[Told], documents: Sequence[str]) -> dict[Called, list[int]]:
    """The keys of the entities that these documents call so."""
    wanted = sorted({one for merge in merges for one in merge.entities}, key=str)
    if not wanted:
        return {}
    names, types = [one.name for one in wanted], [one.type for one in wanted]
    rows = await db.rows(tuple, _KEYS, names=names, types=types, documents=list(documents))
    return {Called(name, type): keys for name, type, keys in rows}


async def remake(
    db: Db, audit: Audit, scope: Scope, merge: Told, keys: Mapping[Called, Sequence[int]], collection: str
) -> tuple[str, str]:
    """Make a merge again, as a decision of who brings it: `made`, `known` already, or `left`, and then why."""
    for one in merge.entities:
        if len(keys.get(one, ())) != 1:
            many = "more than one entity is" if keys.get(one) else "nothing in the documents that came is"
            return "left", f"{many} called {one}"
    who, why = scope.user or scope.app or "", merge.reason(collection)
    try:
        made = await deciding.merge(db, who, [id_of(keys[one][0]) for one in merge.entities], why)
    except BadMerge:
        return "known", ""
    except UnknownEntity:
        return "left", "what they name is gone"
    await audit.record(db, "graph.merge", resource=made.id, details={"entities": list(made.entities)})
    return "made", ""
