"""Tiles: the tree cut into static pieces of 256 hashes, and the frontier that grows them.

The layout is C2SP tlog-tiles: `tile/<L>/<N>[.p/<W>]` holds hashes of height 8L, 256 to a full tile;
`tile/entries/<N>[.p/<W>]` holds the entries themselves, each after its length in two bytes.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Mapping

from bastide.audit.merkle import EMPTY_ROOT, HASH_BYTES, NotProven, node_hash

WIDTH = 256
HEIGHT = 8


Tiles = dict[tuple[int, int], bytes]
"""(level, n) -> the concatenated hashes of that tile."""


def number_path(n: int) -> str:
    """A tile's number as a path: 1234067 -> `x001/x234/067`."""
    parts = [f"{n % 1000:03d}"]
    while n := n // 1000:
        parts.append(f"x{n % 1000:03d}")
    return "/".join(reversed(parts))


def tile_path(level: int | str, n: int, width: int = WIDTH) -> str:
    """Where a tile lies, relative to the log; level `entries` names the entry bundles."""
    return f"tile/{level}/{number_path(n)}" + (f".p/{width}" if width < WIDTH else "")


def widths(size: int) -> Iterable[tuple[int, int, int]]:
    """Every tile (level, n, width) of a tree of `size`, level by level, the partial one last in its level."""
    level = 0
    while hashes := size >> (HEIGHT * level):
        yield from ((level, n, WIDTH) for n in range(hashes // WIDTH))
        if rest := hashes % WIDTH:
            yield level, hashes // WIDTH, rest
        level += 1


def place(height: int, n: int) -> tuple[int, int, int, int]:
    """Where the hash of a complete subtree is found: (level, tile, offset, count); `count` hashes fold into it."""
    level, rest = divmod(height, HEIGHT)
    tile, offset = divmod(n << rest, WIDTH)
    return level, tile, offset, 1 << rest


class TileReader:
    """Hashes of complete subtrees, folded from tiles that lie at hand.

    Raises NotProven when a tile is missing or too narrow.
    """

    def __init__(self, tiles: Mapping[tuple[int, int], bytes]) -> None:
        self._tiles = tiles

    def __call__(self, height: int, n: int) -> bytes:
        level, tile, offset, count = place(height, n)
        held = self._tiles.get((level, tile), b"")
        if len(held) < (offset + count) * HASH_BYTES:
            raise NotProven(f"tile {level}/{tile} lacks the hashes from {offset} to {offset + count}")
        return fold([held[i * HASH_BYTES : (i + 1) * HASH_BYTES] for i in range(offset, offset + count)])


def fold(hashes: list[bytes]) -> bytes:
    """The root over 2**k hashes."""
    while len(hashes) > 1:
        hashes = [node_hash(hashes[i], hashes[i + 1]) for i in range(0, len(hashes), 2)]
    return hashes[0]


class Frontier:
    """The right edge of a tree: enough to append leaves, to fill tiles, and to know the root.

    `restore` builds it again from the partial tiles that a crash or another process left.
    """

    __slots__ = ("_edges", "_stack", "size")

    def __init__(self) -> None:
        self.size = 0
        self._stack: list[tuple[int, bytes]] = []  # complete subtrees (height, hash), falling heights
        self._edges: list[list[bytes]] = [[]]  # the unfilled tile of each level

    @classmethod
    def restore(cls, size: int, tiles: Mapping[tuple[int, int], bytes]) -> Frontier:
        """The frontier of a tree of `size`, from its partial tiles (`edge_tiles` names them).

        Raises NotProven when one is missing or too narrow.
        """
        frontier = cls()
        frontier.size = size
        edges = [(level, n, width) for level, n, width in edge_tiles(size)]
        frontier._edges = [[] for _ in range(max((level for level, _, _ in edges), default=0) + 1)]
        for level, n, width in reversed(edges):
            held = tiles.get((level, n), b"")
            if len(held) < width * HASH_BYTES:
                raise NotProven(f"tile {level}/{n} lacks hashes: {len(held) // HASH_BYTES} of {width}")
            hashes = [held[i * HASH_BYTES : (i + 1) * HASH_BYTES] for i in range(width)]
            frontier._edges[level] = hashes
            for found in hashes:
                frontier._push(HEIGHT * level, found)
        return frontier

    def _push(self, height: int, found: bytes) -> None:
        stack = self._stack
        while stack and stack[-1][0] == height:
            found = node_hash(stack.pop()[1], found)
            height += 1
        stack.append((height, found))

    def extend(self, hashes: list[bytes]) -> Tiles:
        """Append leaf hashes; the tiles that changed, full ones and the new partial edge."""
        stack, edges, changed, sha256 = self._stack, self._edges, {}, hashlib.sha256
        touched = 0
        leaves = edges[0]
        for found in hashes:
            leaves.append(found)
            height = 0
            current = found
            while stack and stack[-1][0] == height:
                current = sha256(b"\1" + stack.pop()[1] + current).digest()
                height += 1
                if not height & 7:
                    level = height >> 3
                    if level == len(edges):
                        edges.append([])
                    full = edges[level - 1]
                    changed[level - 1, (self.size >> height)] = b"".join(full)
                    full.clear()
                    edges[level].append(current)
                    touched = max(touched, level)
            stack.append((height, current))
            self.size += 1
        for level in range(touched + 1) if hashes else ():
            if edges[level]:
                changed[level, self.size >> (HEIGHT * (level + 1))] = b"".join(edges[level])
        return changed

    def copy(self) -> Frontier:
        """A second frontier that goes its own way from here."""
        other = Frontier()
        other.size = self.size
        other._stack = list(self._stack)
        other._edges = [list(level) for level in self._edges]
        return other

    def edges(self) -> list[list[bytes]]:
        """The hashes of each level's unfilled tile."""
        return self._edges

    def root(self) -> bytes:
        """MTH of everything appended so far."""
        if not self._stack:
            return EMPTY_ROOT
        result = self._stack[-1][1]
        for _, left in reversed(self._stack[:-1]):
            result = node_hash(left, result)
        return result


def edge_tiles(size: int) -> list[tuple[int, int, int]]:
    """The partial tiles (level, n, width) at the right edge of a tree of `size`."""
    return [(level, n, width) for level, n, width in _last_tiles(size) if width]


def _last_tiles(size: int) -> Iterable[tuple[int, int, int]]:
    level = 0
    while hashes := size >> (HEIGHT * level):
        yield level, hashes // WIDTH, hashes % WIDTH
        level += 1


def pack_entries(entries: Iterable[bytes]) -> bytes:
    """An entry bundle: each entry after its length, two bytes, big-endian."""
    return b"".join(struct.pack(">H", len(entry)) + entry for entry in entries)


def unpack_entries(bundle: bytes) -> list[bytes]:
    """The entries of a bundle. Raises NotProven when it is cut off."""
    entries, at = [], 0
    while at < len(bundle):
        if at + 2 > len(bundle):
            raise NotProven("an entry bundle ends inside a length")
        end = at + 2 + int.from_bytes(bundle[at : at + 2], "big")
        if end > len(bundle):
            raise NotProven("an entry bundle ends inside an entry")
        entries.append(bundle[at + 2 : end])
        at = end
    return entries
