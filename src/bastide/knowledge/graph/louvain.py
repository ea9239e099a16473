"""Louvain: groups of nodes that are tied more closely with each other than with the rest. Pure and deterministic.

After Blondel, Guillaume, Lambiotte and Lefebvre, "Fast unfolding of communities in large networks" (2008): each node
goes to the group of a neighbour where modularity grows most, until none does; then groups become nodes, and so on.
Nodes are visited in their order and ties are broken by the lower number, so the same graph gives the same groups.
Every level is given: level 0 is the finest.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

LEVELS_MAX = 4
_ROUNDS_MAX = 20
_GAIN_MIN = 1e-9

Ints = NDArray[np.int64]


def levels(count: int, a: Sequence[int], b: Sequence[int], weights: Sequence[float]) -> list[Ints]:
    """For each level, the group of each of `count` nodes `(count,) int64`; groups are numbered from 0 without a gap."""
    ones, others = np.asarray(a, np.int64), np.asarray(b, np.int64)
    strength = np.asarray(weights, np.float64)
    found: list[Ints] = []
    own = np.arange(count, dtype=np.int64)
    size = count
    for _ in range(LEVELS_MAX):
        groups = _moved(size, ones, others, strength)
        fewer = int(groups.max()) + 1 if size else 0
        if fewer == size:
            break
        own = groups[own]
        found.append(own.copy())
        ones, others, strength = _merged(groups[ones], groups[others], strength, fewer)
        size = fewer
    return found or [own]


def _merged(a: Ints, b: Ints, weights: NDArray[np.float64], size: int) -> tuple[Ints, Ints, NDArray[np.float64]]:
    """Ties between groups, each pair once; those within a group stay as loops."""
    pairs, place = np.unique(np.minimum(a, b) * size + np.maximum(a, b), return_inverse=True)
    return pairs // size, pairs % size, np.bincount(place, weights, len(pairs)).astype(np.float64)


def _moved(size: int, a: Ints, b: Ints, weights: NDArray[np.float64]) -> Ints:
    """One level: nodes move to the group of a neighbour as long as that raises modularity."""
    near: list[dict[int, float]] = [{} for _ in range(size)]
    for one, other, weight in zip(a.tolist(), b.tolist(), weights.tolist(), strict=True):
        if one != other:
            near[one][other] = near[one].get(other, 0.0) + weight
            near[other][one] = near[other].get(one, 0.0) + weight
    degree = np.bincount(a, weights, size) + np.bincount(b, weights, size)
    total = float(degree.sum())
    group = list(range(size))
    if total == 0.0:
        return np.asarray(group, np.int64)
    degrees = degree.tolist()
    sums = list(degrees)
    for _ in range(_ROUNDS_MAX):
        moves = 0
        for node in range(size):
            moves += _move(node, near[node], group, degrees[node], sums, total)
        if not moves:
            break
    return np.unique(np.asarray(group, np.int64), return_inverse=True)[1].astype(np.int64)


def _move(node: int, near: dict[int, float], group: list[int], degree: float, sums: list[float], total: float) -> int:
    """Whether the node went to another group: the one where what it is tied with exceeds what chance would tie."""
    here = group[node]
    ties: dict[int, float] = {here: 0.0}
    for other, weight in near.items():
        ties[group[other]] = ties.get(group[other], 0.0) + weight
    sums[here] -= degree
    best, best_gain = here, ties[here] - sums[here] * degree / total
    for one in sorted(ties):
        gain = ties[one] - sums[one] * degree / total
        if gain > best_gain + _GAIN_MIN:
            best, best_gain = one, gain
    sums[best] += degree
    group[node] = best
    return int(best != here)
