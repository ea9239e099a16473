"""Merging: which keys are one entity. A law of this file: a merge that is undone leaves everything as it was before.

What documents say (`alias_source`) and what people decided (`decision`) are links between keys. The keys that links
join are one entity; it is called by the key that the oldest link kept. The table `alias` holds the outcome and is
worked out anew from the links whenever one comes or goes, so undoing one is leaving it out: no merge changes a source.

An acronym links by itself only where all documents that explain it mean the same full name (score above `AUTOMATIC`);
otherwise it is a proposal (`Graph.resolve`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bastide.store import Db, queries

_Q = queries("bastide.knowledge")
_LOCK, _LINKS = _Q["lock_aliases"], _Q["links_around"]
_FORGET, _ADD = _Q["forget_aliases"], _Q["add_aliases"]

AUTOMATIC = 0.9
"""Documents merge two names by themselves only with a score above this."""


@dataclass(frozen=True, slots=True)
class Link:
    """`others` are `into`; the order of links is that of `order`."""

    order: str
    into: int
    others: tuple[int, ...]


def keys_of(pairs: Iterable[tuple[int, int]]) -> list[int]:
    """All keys of these pairs, once each."""
    return sorted({key for pair in pairs for key in pair})


def joined(links: Sequence[Link]) -> dict[int, int]:
    """Key -> the entity that it is, for every key that is another entity than itself."""
    parent: dict[int, int] = {}

    def root(key: int) -> int:
        while parent.get(key, key) != key:
            key = parent[key]
        return key

    for link in sorted(links, key=lambda one: (one.order, one.into, one.others)):
        top = root(link.into)
        for other in link.others:
            parent[root(other)] = top
            parent[top] = top
    return {key: root(key) for key in parent if root(key) != key}


# The links around these keys, transitively, are all that can have changed. One transaction of a tenant at a time works
# them out: two that each added a link would not see the other's.
async def settle(db: Db, keys: Sequence[int]) -> None:
    """Work out anew which entities these keys, and those linked with them, are."""
    await db.run(_LOCK)
    rows: list[tuple[str, list[int], bool]] = await db.rows(tuple, _LINKS, keys=list(keys), automatic=AUTOMATIC)
    around = sorted({*keys, *(key for _, linked, _ in rows for key in linked)})
    found = joined([Link(order, linked[0], tuple(linked[1:])) for order, linked, holds in rows if holds])
    await db.run(_FORGET, keys=around)
    if found:
        await db.run(_ADD, keys=list(found), entities=list(found.values()))
