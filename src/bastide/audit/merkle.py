"""The Merkle tree of RFC 6962: hashes, the frontier of a growing tree, and proofs.

A leaf hash is SHA-256(0x00 || entry), an inner hash SHA-256(0x01 || left || right); the two prefixes
keep a leaf from posing as a node. Everything here is pure: bytes in, bytes out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()

Subtree = Callable[[int, int], bytes]
"""`subtree(height, n)`: the hash over leaves [n * 2**height, (n + 1) * 2**height)."""


class NotProven(Exception):
    """The evidence does not hold; the message says what is wrong with it."""


def leaf_hash(entry: bytes) -> bytes:
    """The hash of one entry as a leaf (RFC 6962, section 2.1)."""
    return hashlib.sha256(b"\0" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two subtrees joined (RFC 6962, section 2.1)."""
    return hashlib.sha256(b"\1" + left + right).digest()


def leaf_hashes(entries: Iterable[bytes]) -> list[bytes]:
    """The leaf hashes of many entries, in their order."""
    sha256 = hashlib.sha256
    return [sha256(b"\0" + entry).digest() for entry in entries]


def split(size: int) -> int:
    """The largest power of two smaller than `size` (size > 1)."""
    return 1 << ((size - 1).bit_length() - 1)


def pieces(low: int, high: int) -> list[tuple[int, int]]:
    """The complete subtrees (height, n) that make up leaves [low, high), left to right.

    `low` must be aligned as RFC 6962 aligns it: a multiple of the smallest power of two that holds the range.
    """
    found: list[tuple[int, int]] = []
    while low < high:
        height = (high - low).bit_length() - 1
        found.append((height, low >> height))
        low += 1 << height
    return found


def range_hash(low: int, high: int, subtree: Subtree) -> bytes:
    """MTH(D[low:high]) of an aligned, non-empty range."""
    result = b""
    for height, n in reversed(pieces(low, high)):
        right = result
        result = subtree(height, n)
        if right:
            result = node_hash(result, right)
    return result


def inclusion_ranges(index: int, size: int) -> list[tuple[int, int]]:
    """The leaf ranges whose hashes make up the inclusion proof, from the leaf's sibling up to the root's child."""
    low, high, found = 0, size, []
    while high - low > 1:
        middle = low + split(high - low)
        if index < middle:
            found.append((middle, high))
            high = middle
        else:
            found.append((low, middle))
            low = middle
    return found[::-1]


def consistency_ranges(old: int, new: int) -> list[tuple[int, int]]:
    """The leaf ranges whose hashes prove that the tree of size `old` is a beginning of that of size `new`."""
    if not 0 < old < new:
        return []
    low, high, whole, found = 0, new, True, []
    while high != old:
        middle = low + split(high - low)
        if old <= middle:
            found.append((middle, high))
            high = middle
        else:
            found.append((low, middle))
            low, whole = middle, False
    return [*([] if whole else [(low, high)]), *found[::-1]]


def inclusion_proof(index: int, size: int, subtree: Subtree) -> list[bytes]:
    """PATH(index, D[size]) of RFC 6962, section 2.1.1."""
    return [range_hash(low, high, subtree) for low, high in inclusion_ranges(index, size)]


def consistency_proof(old: int, new: int, subtree: Subtree) -> list[bytes]:
    """PROOF(old, D[new]) of RFC 6962, section 2.1.2."""
    return [range_hash(low, high, subtree) for low, high in consistency_ranges(old, new)]


def root_from_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes:
    """The root that `proof` leads to from the leaf hash at `index` of a tree of `size` (RFC 9162, section 2.1.3.2).

    Raises NotProven when the proof has not the length that this position needs.
    """
    if not 0 <= index < size:
        raise NotProven(f"index {index} is not inside a tree of {size}")
    position, last, result = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise NotProven("the inclusion proof is too long")
        if position & 1 or position == last:
            result = node_hash(sibling, result)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            result = node_hash(result, sibling)
        position, last = position >> 1, last >> 1
    if last:
        raise NotProven("the inclusion proof is too short")
    return result


def check_consistency(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Prove that the tree (old, old_root) is a beginning of (new, new_root) (RFC 9162, section 2.1.4.2).

    Raises NotProven when it is not, or when the proof is of another length.
    """
    if not 0 <= old <= new:
        raise NotProven(f"a tree of {old} cannot be a beginning of one of {new}")
    if old in {0, new}:
        if proof or (old_root != new_root if old == new else old_root != EMPTY_ROOT):
            raise NotProven("two roots for one size" if old == new else "the empty tree has another root")
        return
    path = list(proof) if old & (old - 1) else [old_root, *proof]
    if not path:
        raise NotProven("the consistency proof is empty")
    position, last = old - 1, new - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    first = second = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise NotProven("the consistency proof is too long")
        if position & 1 or position == last:
            first, second = node_hash(sibling, first), node_hash(sibling, second)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            second = node_hash(second, sibling)
        position, last = position >> 1, last >> 1
    if last or first != old_root or second != new_root:
        raise NotProven("the consistency proof does not lead from the one root to the other")
