"""Comparing: what differs between two versions of a document. Pure and CPU-bound; run in a thread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from bastide.knowledge.naming import marks, matched, own_text
from bastide.knowledge.reading import Reading
from bastide.knowledge.values import Change

What = Literal["added", "removed", "changed", "moved"]


def called(ids: Sequence[int], known: Sequence[int], reading: Reading) -> list[int]:
    """The ids of a version's nodes, read again: as they were given, or matched where the reader has learnt since."""
    own = marks(reading)
    if list(known) == own:
        return list(ids)
    found = [-1] * len(own)
    for there, here in matched(known, own):
        found[here] = ids[there]
    return found


def changes(older: Reading, older_ids: Sequence[int], newer: Reading, newer_ids: Sequence[int]) -> tuple[Change, ...]:
    """Every node that was added, removed, changed or moved; in reading order, what was removed where it stood.

    A node whose words and place among its neighbours are the same is no change, wherever on the page it is now.
    Nodes whose id is not known (-1) are told as removed and added.
    """
    before = {id_: ord for ord, id_ in enumerate(older_ids) if id_ >= 0}
    after = {id_: ord for ord, id_ in enumerate(newer_ids) if id_ >= 0}
    stayed = _in_order([before[id_] for id_ in newer_ids if id_ in before and id_ in after])
    found: list[tuple[float, Change]] = []
    place = -1.0
    for ord, id_ in enumerate(newer_ids):
        if id_ not in before:
            found.append((place + 0.5, _change("added", newer, ord, id_, "", own_text(newer, ord))))
            continue
        old = before[id_]
        old_text, text = own_text(older, old), own_text(newer, ord)
        if " ".join(old_text.split()) != " ".join(text.split()):
            found.append((old, _change("changed", newer, ord, id_, old_text, text)))
        elif old not in stayed:
            found.append((place + 0.5, _change("moved", newer, ord, id_, old_text, text)))
        place = old if old in stayed else place
    for ord, id_ in enumerate(older_ids):
        if id_ not in after:
            found.append((ord, _change("removed", older, ord, id_, own_text(older, ord), "")))
    found.sort(key=lambda pair: pair[0])  # stable: what was added at one place keeps its order
    return tuple(change for _, change in found if change.before or change.after)


def _in_order(places: Sequence[int]) -> set[int]:
    """The longest run of places that only grow: what did not move (patience sorting)."""
    tops: list[int] = []
    chain: list[int] = []
    before: dict[int, int] = {}
    for at, place in enumerate(places):
        low, high = 0, len(tops)
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if tops[middle] < place else (low, middle)
        before[at] = chain[low - 1] if low else -1
        tops[low : low + 1] = [place]
        chain[low : low + 1] = [at]
    stayed: set[int] = set()
    at = chain[-1] if chain else -1
    while at >= 0:
        stayed.add(places[at])
        at = before[at]
    return stayed


def _change(what: What, reading: Reading, ord: int, id_: int, before: str, after: str) -> Change:
    node = reading.nodes[ord]
    section: list[str] = []
    parent = node.parent
    while parent:
        above = reading.nodes[parent]
        if above.kind == "section":
            section.insert(0, above.title)
        parent = above.parent
    return Change(what, id_, node.kind, section, before, after, node.page)
