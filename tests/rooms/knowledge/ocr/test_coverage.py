"""Shapes and ink coverage against what is slow and plain, and on pages whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from bastide.knowledge.reading.ocr.coverage import coverage
from bastide.knowledge.reading.ocr.shapes import shapes, threshold
from bastide.knowledge.reading.ocr.values import Place


def _flooded(mask: np.ndarray) -> set[tuple[int, int, int, int, int]]:
    """The patches found the slow way: (left, top, right, bottom, ink)."""
    left = {(int(y), int(x)) for y, x in np.argwhere(mask)}
    found = set()
    while left:
        todo, patch = [left.pop()], set()
        while todo:
            y, x = todo.pop()
            patch.add((y, x))
            for near in ((y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)):
                if near in left:
                    left.discard(near)
                    todo.append(near)
        ys, xs = [y for y, _ in patch], [x for _, x in patch]
        found.add((min(xs), min(ys), max(xs) + 1, max(ys) + 1, len(patch)))
    return found


@settings(max_examples=150)
@given(arrays.arrays(bool, st.tuples(st.integers(1, 14), st.integers(1, 14))))
def test_patches_are_those_of_a_flood(mask: np.ndarray) -> None:
    found = shapes(mask)
    told = list(
        zip(*(edge.tolist() for edge in (found.left, found.top, found.right, found.bottom, found.ink)), strict=True)
    )
    slow = _flooded(mask)
    assert set(told) == slow
    assert sum(patch[4] for patch in told) == mask.sum()
    everything = np.ones(len(told), bool)
    assert np.array_equal(found.paint(everything, mask.shape), mask)


def test_a_spiral_is_one_patch() -> None:
    mask = np.zeros((41, 41), bool)
    for ring in range(0, 20, 2):
        mask[ring, ring : 41 - ring] = True
        mask[ring : 41 - ring, 40 - ring] = True
        mask[40 - ring, ring : 41 - ring] = True
        mask[ring + 2 : 41 - ring, ring] = True
        mask[ring + 2, ring : ring + 3] = True
    assert len(shapes(mask).ink) == len(_flooded(mask))


@given(st.integers(0, 120), st.integers(140, 255), st.integers(1, 400))
def test_the_threshold_parts_two_shades(dark: int, light: int, share: int) -> None:
    pixels = np.full(1000, light, np.uint8)
    pixels[:share] = dark
    assert dark <= threshold(pixels.reshape(20, 50)) < light


def _lined(lines: int = 10) -> tuple[np.ndarray, list[Place]]:
    """A page of lines of letter-like strokes at 300 dpi, and one box a word."""
    pixels = np.full((lines * 60 + 120, 1500), 255, np.uint8)
    places = []
    for top in range(60, 60 + lines * 60, 60):
        for left in range(90, 1350, 180):
            for letter in range(left, left + 150, 25):
                pixels[top : top + 24, letter : letter + 5] = 0
                pixels[top : top + 5, letter : letter + 15] = 0
            places.append(Place(left, top, left + 140, top + 24))
    return pixels, places


def test_words_cover_their_ink() -> None:
    pixels, places = _lined()
    found = coverage(pixels, places)
    assert found.share >= 0.99
    assert found.missed == ()


@pytest.mark.parametrize("line", [0, 4, 9])
def test_a_line_that_was_left_out_is_missed_where_it_is(line: int) -> None:
    pixels, places = _lined()
    top = 60 + 60 * line
    found = coverage(pixels, [place for place in places if place.top != top])
    assert found.share == pytest.approx(0.9, abs=0.01)
    assert found.missed
    assert all(abs(place.top - top) < 12 for place in found.missed)


def test_nothing_read_covers_nothing() -> None:
    pixels, _ = _lined()
    assert coverage(pixels, ()).share == 0


def test_rulings_stains_and_specks_are_no_text() -> None:
    pixels, places = _lined()
    clean = coverage(pixels, places)
    pixels[30:34, 50:1450] = 0
    pixels[:, 1400:1404] = 0
    pixels[400:700, 1420:1490] = 0
    dice = np.random.default_rng(0)
    pixels[dice.integers(0, pixels.shape[0], 800), dice.integers(0, 1500, 800)] = 0
    found = coverage(pixels, places)
    assert found.share >= 0.97
    assert found.rulings >= 2
    assert clean.rulings == 0


def test_a_blank_page_has_no_ink() -> None:
    found = coverage(np.full((300, 300), 255, np.uint8), ())
    assert (found.share, found.ink, found.missed) == (1.0, 0, ())
