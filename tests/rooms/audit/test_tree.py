"""The tree against the definition in RFC 6962, by property and by known values."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bastide.audit.merkle import (
    EMPTY_ROOT,
    NotProven,
    check_consistency,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    leaf_hashes,
    node_hash,
    root_from_inclusion,
)
from bastide.audit.tiles import (
    Frontier,
    TileReader,
    Tiles,
    edge_tiles,
    number_path,
    pack_entries,
    tile_path,
    unpack_entries,
    widths,
)

# RFC 6962 implementations share these eight entries and roots.
ENTRIES = [
    bytes.fromhex(x)
    for x in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]

SIZES = st.one_of(st.integers(0, 40), st.sampled_from([63, 64, 65, 255, 256, 257, 511, 512, 513, 600]))


def naive(hashes: list[bytes]) -> bytes:
    """MTH as section 2.1 defines it."""
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    k = 1
    while k * 2 < len(hashes):
        k *= 2
    return node_hash(naive(hashes[:k]), naive(hashes[k:]))


def grown(size: int, cuts: tuple[int, ...] = ()) -> tuple[list[bytes], Frontier, Tiles]:
    hashes = leaf_hashes(b"%d" % i for i in range(size))
    frontier, tiles = Frontier(), Tiles()
    bounds = sorted({0, size, *(cut for cut in cuts if cut < size)})
    for low, high in pairwise(bounds):
        tiles.update(frontier.extend(hashes[low:high]))
    return hashes, frontier, tiles


def test_the_roots_that_every_implementation_knows() -> None:
    frontier = Frontier()
    assert frontier.root() == EMPTY_ROOT
    for entry, root in zip(ENTRIES, ROOTS, strict=True):
        frontier.extend([leaf_hash(entry)])
        assert frontier.root().hex() == root


@given(SIZES, st.lists(st.integers(1, 600), max_size=6))
@settings(max_examples=80)
def test_root_and_tiles_are_those_of_the_definition(size: int, cuts: list[int]) -> None:
    hashes, frontier, tiles = grown(size, tuple(cuts))
    assert frontier.root() == naive(hashes)
    assert {(level, n): 32 * width for level, n, width in widths(size)} == {at: len(x) for at, x in tiles.items()}
    for (level, n), held in tiles.items():
        span = 256**level
        for i in range(len(held) // 32):
            low = (n * 256 + i) * span
            assert held[32 * i : 32 * i + 32] == naive(hashes[low : low + span])


@given(SIZES.filter(bool), st.data())
@settings(max_examples=80)
def test_inclusion_is_proven_and_nothing_else_is(size: int, data: st.DataObject) -> None:
    hashes, frontier, tiles = grown(size)
    index = data.draw(st.integers(0, size - 1))
    proof = inclusion_proof(index, size, TileReader(tiles))
    assert root_from_inclusion(hashes[index], index, size, proof) == frontier.root()
    other = data.draw(st.integers(0, size - 1).filter(lambda i: i != index)) if size > 1 else None
    if other is not None:
        assert not _proves(hashes[other], index, size, proof, frontier.root())
        assert not _proves(hashes[index], other, size, proof, frontier.root())
        hurt = data.draw(st.integers(0, len(proof) - 1))
        assert not _proves(hashes[index], index, size, [*proof[:hurt], b"\0" * 32, *proof[hurt + 1 :]], frontier.root())
        assert not _proves(hashes[index], index, size, proof[:-1], frontier.root())
    assert not _proves(hashes[index], index, size, [*proof, b"\0" * 32], frontier.root())
    assert not _proves(hashes[index], size, size, proof, frontier.root())


def _proves(leaf: bytes, index: int, size: int, proof: list[bytes], root: bytes) -> bool:
    try:
        return root_from_inclusion(leaf, index, size, proof) == root
    except NotProven:
        return False


@given(SIZES, SIZES, st.data())
@settings(max_examples=120)
def test_a_beginning_is_proven_and_nothing_else_is(one: int, two: int, data: st.DataObject) -> None:
    old, new = sorted((one, two))
    hashes, frontier, tiles = grown(new)
    proof = consistency_proof(old, new, TileReader(tiles))
    first, second = naive(hashes[:old]), frontier.root()
    check_consistency(old, new, first, second, proof)
    wrong = b"\7" * 32
    for bad in (
        (old, new, wrong, second, proof),
        (old, new, first, second, [*proof, wrong]),
        (new, old, second, first, proof) if old != new else (old, new, wrong, second, proof),
    ):
        with pytest.raises(NotProven):
            check_consistency(*bad)
    if proof:
        hurt = data.draw(st.integers(0, len(proof) - 1))
        with pytest.raises(NotProven):
            check_consistency(old, new, first, second, [*proof[:hurt], wrong, *proof[hurt + 1 :]])
        with pytest.raises(NotProven):
            check_consistency(old, new, first, second, proof[:-1])
        with pytest.raises(NotProven):
            check_consistency(old, new, first, wrong, proof)


@given(SIZES, st.integers(0, 300))
@settings(max_examples=60)
def test_a_restored_frontier_goes_on_as_if_nothing_had_happened(size: int, more: int) -> None:
    _, frontier, tiles = grown(size)
    again = Frontier.restore(size, {(level, n): tiles[level, n] for level, n, _ in edge_tiles(size)})
    assert again.root() == frontier.root()
    fresh = leaf_hashes(b"more %d" % i for i in range(more))
    assert again.extend(list(fresh)) == frontier.extend(list(fresh))
    assert again.root() == frontier.root()


def test_a_frontier_is_not_restored_from_too_little() -> None:
    _, _, tiles = grown(300)
    with pytest.raises(NotProven):
        Frontier.restore(300, {(0, 1): tiles[0, 1][:-1], (1, 0): tiles[1, 0]})
    with pytest.raises(NotProven):
        Frontier.restore(300, {})


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_entry_bundles_come_back(entries: list[bytes]) -> None:
    bundle = pack_entries(entries)
    assert unpack_entries(bundle) == entries
    if bundle:
        with pytest.raises(NotProven):
            unpack_entries(bundle[:-1] if entries[-1] else bundle + b"\0")


def test_paths_are_those_of_tlog_tiles() -> None:
    assert number_path(1234067) == "x001/x234/067"
    assert number_path(0) == "000"
    assert number_path(1000) == "x001/000"
    assert tile_path(0, 273, 112) == "tile/0/273.p/112"
    assert tile_path("entries", 5) == "tile/entries/005"
    seventy_thousand = list(widths(70_000))
    assert sum(1 for level, _, width in seventy_thousand if level == 0 and width == 256) == 273
    assert [one for one in seventy_thousand if one[2] < 256] == [(0, 273, 112), (1, 1, 17), (2, 0, 1)]
