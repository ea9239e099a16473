"""Remaking: the merges that people made leave with the documents that name their entities, and are made again.

A merge is told by what the documents at hand call its entities (`carried.py`). So it is told only where each of them is
named there, and nothing of another document goes along. An entity is called by a name of the key that was merged, or
else of a key that was one with it when the merge was made; what a split made (`parting.py`), by that split.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from bastide.audit import Audit
from bastide.errors import BadMerge, UnknownEntity
from bastide.knowledge.graph import deciding
from bastide.knowledge.graph.carried import MERGES_MAX, Called, Meant, Part, Parted, Told, reason
from bastide.knowledge.graph.extracting import RULES
from bastide.knowledge.graph.merging import AUTOMATIC
from bastide.knowledge.graph.naming import id_of
from bastide.knowledge.graph.parting import lineage, parted
from bastide.store import Db, Scope, queries

_Q = queries("bastide.knowledge")
_LINKS, _CALLED, _KEYS = _Q["links_that_hold"], _Q["names_in_documents"], _Q["keys_named"]


@dataclass(frozen=True, slots=True)
class Link:
    """What joins keys today: `said` by documents, or a `merge` or `split` that was decided."""

    id: str
    kind: str
    keys: Sequence[int]
    who: str
    why: str
    made_at: datetime


# -- out --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Decided:
    """The decisions that documents tell; and of how many others they name some of what they are about."""

    merges: tuple[Told, ...] = ()
    merges_left: int = 0
    splits: tuple[Parted, ...] = ()
    splits_left: int = 0


async def told(db: Db, documents: Sequence[str]) -> Decided:
    """What people decided, as far as these documents name what it is about."""
    links = await db.rows(Link, _LINKS, automatic=AUTOMATIC)
    if all(one.kind == "said" for one in links):
        return Decided()
    known = await lineage(db)
    keys = sorted({key for one in links for key in one.keys} | {one for key in known.origin for one in known.line(key)})
    roots = [known.root(key) for key in keys]
    rows = await db.rows(tuple, _CALLED, documents=list(documents), keys=keys, roots=roots, rules=RULES)
    called: dict[int, Meant] = {}
    before: dict[int, Called] = {}
    for key, root, name, type in rows:  # what is found by rule, and often, is found again
        before.setdefault(root, Called(name, type))
        if key == root:
            called.setdefault(key, Called(name, type))
    splits, splits_left = await parted(db, documents, known, before)
    carried = {one.id for one in splits}
    called |= {key: Part(by) for key, by in known.by.items() if by in carried}
    merges, merges_left = tellable(links, called)
    return Decided(tuple(merges), merges_left, tuple(splits), splits_left)


def tellable(links: Iterable[Link], called: Mapping[int, Meant]) -> tuple[list[Told], int]:
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


async def keys_named(db: Db, named: Iterable[Meant], documents: Sequence[str]) -> dict[Meant, list[int]]:
    """The keys of the entities that these documents call so."""
    wanted = sorted({one for one in named if isinstance(one, Called)}, key=str)
    if not wanted:
        return {}
    names, types = [one.name for one in wanted], [one.type for one in wanted]
    rows = await db.rows(tuple, _KEYS, names=names, types=types, documents=list(documents))
    return {Called(name, type): keys for name, type, keys in rows}


async def remake(
    db: Db, audit: Audit, scope: Scope, merge: Told, keys: Mapping[Meant, Sequence[int]], collection: str
) -> tuple[str, str]:
    """Make a merge again, as a decision of who brings it: `made`, `known` already, or `left`, and then why."""
    for one in merge.entities:
        found = keys.get(one, ())
        if isinstance(one, Called) and len(found) != 1:
            many = "more than one entity is" if found else "nothing in the documents that came is"
            return "left", f"{many} called {one}"
        if not found:
            return "left", f"{one} is not apart here"
    who, why = scope.user or scope.app or "", reason(merge, collection)
    try:
        made = await deciding.merge(db, who, [id_of(keys[one][0]) for one in merge.entities], why)
    except BadMerge:
        return "known", ""
    except UnknownEntity:
        return "left", "what they name is gone"
    await audit.record(db, "graph.merge", resource=made.id, details={"entities": list(made.entities)})
    return "made", ""
