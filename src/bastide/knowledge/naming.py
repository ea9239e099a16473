"""Naming: ids for the places of a document that outlive its next version.

A node is known by a mark, a 64-bit hash of its kind and of the words that are its own. Two versions are matched:
  1. what begins and ends both alike; then nodes whose mark is there just once in both, as far as their order agrees
  2. between two matched nodes: equal marks in order, then nodes of one kind one by one, if equally many are left over
  3. what is left over elsewhere with an equal mark has moved
What is matched keeps its id; the rest gets a new one, and no id is given out twice.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher

from bastide.knowledge.reading import Reading

_BLANKS = re.compile(r"\s+")
_KINDS = 16
_GAP_MAX = 2_000_000
"""Old times new nodes between two anchors up to which equal ones are looked for in order."""


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


def own_text(reading: Reading, ord: int) -> str:
    """The words of a node before its first child; a document and a table have none of their own."""
    node = reading.nodes[ord]
    if node.kind in {"document", "table"}:
        return ""
    following = reading.nodes[ord + 1].start if ord + 1 < len(reading.nodes) else node.end
    return reading.text[node.start : min(node.end, max(following, node.start))].strip()


def named(ids: Sequence[int], known: Sequence[int], last: int, new: Sequence[int]) -> tuple[list[int], int]:
    """(an id for each of the marks `new`, the last id given out), where `ids` were those of the marks `known`.

    The first node is the document: it is always 0.
    """
    if len(ids) != len(known):
        ids, known = (), ()
    last = max([last, *ids], default=-1)
    of = dict.fromkeys(range(len(new)), -1)
    for old_at, new_at in matched(known, new):
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


def matched(old: Sequence[int], new: Sequence[int]) -> list[tuple[int, int]]:
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
    anchors = _anchors(old, new, start, a_end, b_end)
    a, b = start, start
    for anchor_a, anchor_b in [*anchors, (a_end, b_end)]:
        pairs += _between(old, new, (a, anchor_a), (b, anchor_b))
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


def _between(
    old: Sequence[int], new: Sequence[int], here: tuple[int, int], there: tuple[int, int]
) -> list[tuple[int, int]]:
    (a, a_end), (b, b_end) = here, there
    if a >= a_end or b >= b_end:
        return []
    pairs: list[tuple[int, int]] = []
    if (a_end - a) * (b_end - b) <= _GAP_MAX:
        blocks = SequenceMatcher(None, old[a:a_end], new[b:b_end], autojunk=False).get_matching_blocks()
        for left, right, size in blocks:
            pairs += _alike(old, new, (a, here[0] + left), (b, there[0] + right))
            pairs += [(here[0] + left + at, there[0] + right + at) for at in range(size)]
            a, b = here[0] + left + size, there[0] + right + size
        return pairs
    return _alike(old, new, here, there)


def _alike(
    old: Sequence[int], new: Sequence[int], here: tuple[int, int], there: tuple[int, int]
) -> list[tuple[int, int]]:
    """Nodes that changed: of each kind one by one, where both sides have equally many of it."""
    kinds: dict[int, tuple[list[int], list[int]]] = {}
    for side, (marks_of, (start, end)) in enumerate(((old, here), (new, there))):
        for at in range(start, end):
            kinds.setdefault(marks_of[at] % _KINDS, ([], []))[side].append(at)
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
