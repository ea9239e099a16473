"""Aligning: nodes of two versions whose words are alike though not the same. Pure.

A node's words are kept as 64 bits (Charikar, "Similarity estimation techniques from rounding algorithms", 2002): two
sketches differ in as large a share of their bits as the angle between the counts of their words is of a half turn.
Words that are not the same at all differ in half of the bits. So a version is compared with the one before it without
its text being kept.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

ALIKE_BITS_MIN = 43
"""Of 64 equal bits so many make two nodes alike; words without anything in common have 32, give or take 4."""

_WORD = re.compile(r"\w+")
_WORDS_MAX = 64  # of one node: its beginning and its end
_NODES_AT_ONCE = 2_048
_CELLS_MAX = 250_000
"""Old times new nodes of one gap up to which they are compared each with each."""


def sketches(texts: Sequence[str]) -> list[int]:
    """One sketch a text, signed, 64 bits; 0 of a text without words."""
    found: list[int] = []
    for start in range(0, len(texts), _NODES_AT_ONCE):
        found += _sketches(texts[start : start + _NODES_AT_ONCE])
    return found


def _sketches(texts: Sequence[str]) -> list[int]:
    sizes, digests = [], []
    for text in texts:
        words = _WORD.findall(text.casefold())
        if len(words) > _WORDS_MAX:
            words = words[: _WORDS_MAX // 2] + words[-_WORDS_MAX // 2 :]
        sizes.append(len(words))
        digests += [_digest(word) for word in words]
    if not digests:
        return [0] * len(texts)
    bits = np.unpackbits(np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 8), axis=1).astype(np.int16)
    ends = np.cumsum(sizes)
    sums = np.concatenate([np.zeros((1, 64), np.int32), np.cumsum(bits, axis=0, dtype=np.int32)])
    ones = sums[ends] - sums[ends - np.array(sizes)]
    packed = np.packbits(2 * ones > np.array(sizes)[:, None], axis=1)
    # No words, no sketch; and a sketch of words is never that of none.
    return [
        (int.from_bytes(row.tobytes(), "big", signed=True) or 1) if size else 0
        for row, size in zip(packed, sizes, strict=True)
    ]


@lru_cache(maxsize=16_384)
def _digest(word: str) -> bytes:
    return hashlib.blake2b(word.encode("utf-8", "replace"), digest_size=8).digest()


def aligned(
    old: Sequence[int], new: Sequence[int], old_kinds: Sequence[int], new_kinds: Sequence[int]
) -> list[tuple[int, int]]:
    """Pairs of places whose sketches are alike and whose kinds are equal, in an order that both agree on.

    Of all such sets of pairs that with the most bits in common above the least (Needleman and Wunsch, 1970). None where
    the gap is too large to be compared.
    """
    if not old or not new or len(old) * len(new) > _CELLS_MAX:
        return []
    gains = _gains(old, new, old_kinds, new_kinds)
    if not gains.any():
        return []
    best = np.zeros((len(old) + 1, len(new) + 1), np.int32)
    for row in range(1, len(old) + 1):
        taken = best[row - 1, :-1] + gains[row - 1]
        best[row, 1:] = np.maximum.accumulate(np.maximum(best[row - 1, 1:], taken))
    pairs: list[tuple[int, int]] = []
    a, b = len(old), len(new)
    while a and b:
        if best[a, b] == best[a, b - 1]:
            b -= 1
        elif best[a, b] == best[a - 1, b]:
            a -= 1
        else:
            a, b = a - 1, b - 1
            pairs.append((a, b))
    return pairs[::-1]


def _gains(
    old: Sequence[int], new: Sequence[int], old_kinds: Sequence[int], new_kinds: Sequence[int]
) -> NDArray[np.int32]:
    ours, theirs = np.array(old, np.int64), np.array(new, np.int64)
    equal = 64 - np.bitwise_count((ours[:, None] ^ theirs[None, :]).view(np.uint64)).astype(np.int32)
    fits = (
        (np.array(old_kinds)[:, None] == np.array(new_kinds)[None, :]) & (ours != 0)[:, None] & (theirs != 0)[None, :]
    )
    return np.where(fits & (equal >= ALIKE_BITS_MIN), equal - ALIKE_BITS_MIN + 1, 0).astype(np.int32)
