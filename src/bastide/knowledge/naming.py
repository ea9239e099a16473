"""Naming: ids for the places of a document that outlive its next version.

A node is known by a mark, a 64-bit hash of its kind and of the words that are its own. Two versions are matched:
  1. what begins and ends both alike; then nodes whose mark is there just once in both, as far as their order agrees
  2. between two matched nodes: equal marks in order, then nodes of one kind whose words are alike (`aligning`), then
     nodes of one kind one by one, if equally many are left over
  3. what is left over elsewhere with an equal mark has moved
What is matched keeps its id; the rest gets a new one, and no id is given out twice.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from bastide.knowledge.aligning import aligned, sketches
from bastide.knowledge.reading import Reading

_BLANKS = re.compile(r"\s+")
_KINDS = 16
_GAP_MAX = 2_000_000
"""Old times new nodes between two anchors up to which equal ones are looked for in order."""


@dataclass(frozen=True, slots=True)
class _Side:
    """The nodes of one version: their marks, and a sketch of the words of each, or none of any."""

    marks: Sequence[int]
    sketches: Sequence[int]


def marks(reading: Reading) -> list[int]:
    """One mark a node: the hash of its own words, with its kind in the last four bits."""
    nodes = reading.nodes
    found: list[int] = []
    for node in nodes:
        words = _BLANKS.sub(" ", f"{node.title}\n{own_text(reading, node.ord)}").strip()
        digest = hashlib.blake2b(words.encode("utf-8", "replace"), digest_size=8).digest()
        kind = hashlib.blake2b(node.kind.encode(), digest_size=1).digest()[0] % _KINDS
        found.append(int.from_bytes(digest, "big", signed=True) // _KINDS * _KINDS + kind)
    return found


def word_sketches(*readings: Reading) -> list[int]:
    """One sketch a node, of its title and its own words: what is alike is found again though it changed."""
    return sketches([f"{node.title}\n{own_text(reading, node.ord)}" for reading in readings for node in reading.nodes])


def own_text(reading: Reading, ord: int) -> str:
    """The words of a node before its first child; a document and a table have none of their own."""
    node = reading.nodes[ord]
    if node.kind in {"document", "table"}:
        return ""
    following = reading.nodes[ord + 1].start if ord + 1 < len(reading.nodes) else node.end
    return reading.text[node.start : min(node.end, max(following, node.start))].strip()


def named(
    ids: Sequence[int],
    known: Sequence[int],
    last: int,
    new: Sequence[int],
    *,
    sketched: tuple[Sequence[int], Sequence[int]] = ((), ()),
) -> tuple[list[int], int]:
    """(an id for each of the marks `new`, the last id given out), where `ids` were those of the marks `known`.

    The first node is the document: it is always 0. With the sketches of both (`aligning`), what changed is found
    again by its words.
    """
    if len(ids) != len(known):
        ids, known = (), ()
    last = max([last, *ids], default=-1)
    of = dict.fromkeys(range(len(new)), -1)
    for old_at, new_at in matched(known, new, sketched=sketched):
        of[new_at] = ids[old_at]
    if new:
        of[0] = 0
    last = max(last, 0)
    found: list[int] = []
    for at in range(len(new)):
        if of[at] < 0:
            last += 1
            of[at] = last
        found.append(of[at])
    return found, last


def matched(
    old: Sequence[int], new: Sequence[int], *, sketched: tuple[Sequence[int], Sequence[int]] = ((), ())
) -> list[tuple[int, int]]:
    """Pairs of places (in `old`, in `new`) that are the same node, in the order of `old`; each place at most once."""
    if not old or not new:
        return []
    pairs = [(0, 0)]
    start = 1
    while start < min(len(old), len(new)) and old[start] == new[start]:
        pairs.append((start, start))
        start += 1
    tail = 0
    while tail < min(len(old), len(new)) - start and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    a_end, b_end = len(old) - tail, len(new) - tail
    ours, theirs = (_Side(of, own if len(own) == len(of) else ()) for of, own in zip((old, new), sketched, strict=True))
    anchors = _anchors(old, new, start, a_end, b_end)
    a, b = start, start
    for anchor_a, anchor_b in [*anchors, (a_end, b_end)]:
        pairs += _between(ours, theirs, (a, anchor_a), (b, anchor_b))
        if anchor_a < a_end:
            pairs.append((anchor_a, anchor_b))
        a, b = anchor_a + 1, anchor_b + 1
    pairs += [(len(old) - tail + at, len(new) - tail + at) for at in range(tail)]
    return sorted(pairs + _moved(old, new, pairs))


def _anchors(old: Sequence[int], new: Sequence[int], start: int, a_end: int, b_end: int) -> list[tuple[int, int]]:
    """Marks that are there once in both, in the longest order that both agree on (patience sorting)."""
    once_a, once_b = Counter(old[start:a_end]), Counter(new[start:b_end])
    place = {new[at]: at for at in range(start, b_end)}
    shared = [(at, place[old[at]]) for at in range(start, a_end) if once_a[old[at]] == once_b.get(old[at], 0) == 1]
    tops: list[int] = []
    chain: list[int] = []
    before: list[int] = []
    for at, (_, b) in enumerate(shared):
        pile = bisect_left(tops, b)
        before.append(chain[pile - 1] if pile else -1)
        tops[pile : pile + 1] = [b]
        chain[pile : pile + 1] = [at]
    longest: list[tuple[int, int]] = []
    at = chain[-1] if chain else -1
    while at >= 0:
        longest.append(shared[at])
        at = before[at]
    return longest[::-1]


def _between(old: _Side, new: _Side, here: tuple[int, int], there: tuple[int, int]) -> list[tuple[int, int]]:
    (a, a_end), (b, b_end) = here, there
    if a >= a_end or b >= b_end:
        return []
    pairs: list[tuple[int, int]] = []
    if (a_end - a) * (b_end - b) <= _GAP_MAX:
        blocks = SequenceMatcher(None, old.marks[a:a_end], new.marks[b:b_end], autojunk=False).get_matching_blocks()
        for left, right, size in blocks:
            pairs += _alike(old, new, (a, here[0] + left), (b, there[0] + right))
            pairs += [(here[0] + left + at, there[0] + right + at) for at in range(size)]
            a, b = here[0] + left + size, there[0] + right + size
        return pairs
    return _alike(old, new, here, there)


def _alike(old: _Side, new: _Side, here: tuple[int, int], there: tuple[int, int]) -> list[tuple[int, int]]:
    """Nodes that changed: those whose words are alike, and between them one by one where that is plain."""
    if here[0] >= here[1] or there[0] >= there[1]:
        return []
    kinds = (
        [mark % _KINDS for mark in old.marks[here[0] : here[1]]],
        [mark % _KINDS for mark in new.marks[there[0] : there[1]]],
    )
    near: list[tuple[int, int]] = []
    if old.sketches and new.sketches:
        near = aligned(old.sketches[here[0] : here[1]], new.sketches[there[0] : there[1]], *kinds)
    pairs: list[tuple[int, int]] = []
    a = b = 0
    for near_a, near_b in [*near, (len(kinds[0]), len(kinds[1]))]:
        pairs += _one_by_one((kinds[0][a:near_a], here[0] + a), (kinds[1][b:near_b], there[0] + b))
        if near_a < len(kinds[0]):
            pairs.append((here[0] + near_a, there[0] + near_b))
        a, b = near_a + 1, near_b + 1
    return pairs


def _one_by_one(old: tuple[list[int], int], new: tuple[list[int], int]) -> list[tuple[int, int]]:
    """Of each kind one by one, where both sides have equally many of it."""
    kinds: dict[int, tuple[list[int], list[int]]] = {}
    for side, (own, start) in enumerate((old, new)):
        for at, kind in enumerate(own, start):
            kinds.setdefault(kind, ([], []))[side].append(at)
    return [pair for left, right in kinds.values() if len(left) == len(right) for pair in zip(left, right, strict=True)]


def _moved(old: Sequence[int], new: Sequence[int], pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    taken_a, taken_b = {a for a, _ in pairs}, {b for _, b in pairs}
    waiting: dict[int, list[int]] = {}
    for at in range(len(old) - 1, -1, -1):
        if at not in taken_a:
            waiting.setdefault(old[at], []).append(at)
    found: list[tuple[int, int]] = []
    for at, mark in enumerate(new):
        if at not in taken_b and waiting.get(mark):
            found.append((waiting[mark].pop(), at))
    return found
